"""The preflight reads what the inventory gives, and says everything that is missing without showing a value."""

from __future__ import annotations

import datetime
import time
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.eth2xk8s.staking.plugins.action.site_preflight import ActionModule
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import moment
from tests.unit.plugins.keys_support import FIXTURES, write_keystores

TABLE = str(Path(__file__).parents[3] / "roles/prysm_helm/files/eth2prysm/files/versions.yaml")
FEE = "0x000000000000000000000000000000000000dEaD"
SECRET = "5f" * 32
KEYS = str(FIXTURES / "prysm/keystores")
CLIENT = {
    "name": "validator1",
    "keystores": [KEYS],
    "fee_recipient": FEE,
    "wallet_password": "hunter2",
    "keystore_password": "hunter3",
}
SOUND = {
    "prysm_data_dir": "/data/prysm",
    "prysm_network": "hoodi",
    "prysm_execution_endpoints": ["http://a:8551"],
    "prysm_jwt_secret": SECRET,
    "prysm_validators": [CLIENT],
}
LOCKED = "!locked"


class Templar:
    """Values that begin with ! cannot be had."""

    def template(self, value: t.Any) -> t.Any:
        if value == LOCKED:
            raise AnsibleError("Attempting to decrypt but no vault secrets found.")
        if isinstance(value, str) and value.startswith("!"):
            raise AnsibleError(f"'{value[1:]}' is undefined")
        return value


def preflight(monkeypatch: pytest.MonkeyPatch, variables: dict[str, t.Any], **args: t.Any) -> dict[str, t.Any]:
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args=args)
    action._templar = Templar()
    action._loader = DataLoader()
    action._shared_loader_obj = SimpleNamespace(lookup_loader=lookup_loader)
    return action.run(None, variables)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, [], id="sound"),
        pytest.param({"prysm_network": None}, ["prysm_network is not set"], id="no-network"),
        pytest.param({"prysm_execution_endpoints": []}, ["prysm_execution_endpoints is empty"], id="no-endpoint"),
        pytest.param(
            {"prysm_execution_endpoints": ["http://127.0.0.1:8551"], "prysm_checkpoint_sync_url": "http://localhost:3500"},
            [
                "prysm_execution_endpoints: http://127.0.0.1:8551 is the pod itself",
                "prysm_checkpoint_sync_url: http://localhost:3500 is the pod itself",
            ],
            id="loopback",
        ),
        pytest.param({"prysm_no_history_because": {"0x" + "ab" * 48: "a new test chain"}}, [], id="reason"),
        pytest.param(
            {"prysm_no_history_because": {"0x" + "ab" * 48: "new", "0x12": "a new test chain"}},
            ["say in a few words why 0xabab", "not a 48-byte"],
            id="reason-that-is-none",
        ),
        pytest.param({"prysm_no_history_because": LOCKED}, ["prysm_no_history_because"], id="reason-locked"),
        pytest.param({"prysm_network": "custom", "prysm_execution_endpoints": []}, [], id="custom-without-endpoint"),
        pytest.param({"prysm_network": "custom", "prysm_jwt_secret": ""}, [], id="custom-without-secret"),
        pytest.param({"prysm_jwt_secret": ""}, ["is not set: the 64"], id="no-secret"),
        pytest.param({"prysm_jwt_secret": "abc"}, ["is not a JWT secret"], id="no-such-secret"),
        pytest.param({"prysm_jwt_secret": LOCKED}, ["prysm_jwt_secret cannot be decrypted"], id="locked-secret"),
        pytest.param({"prysm_jwt_secret": "!vault_jwt"}, ["'vault_jwt' is undefined"], id="undefined-secret"),
        pytest.param(
            {"prysm_jwt_secret": "", "prysm_jwt_secret_file": "/nowhere"},
            ["/nowhere cannot be read"],
            id="no-secret-file",
        ),
        pytest.param({"prysm_jwt_secret": int(SECRET, 16)}, ["reads prysm_jwt_secret as a number"], id="number"),
        pytest.param({"prysm_network": False}, ["reads prysm_network as a boolean"], id="network-no"),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "fee_recipient": int(FEE, 16), "wallet_password": 1234567}]},
            ["reads fee_recipient of validator1 as a number", "reads wallet_password of validator1 as a number"],
            id="values-without-quotes",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "keystore_password": True, "graffiti": datetime.date(2026, 1, 2)}]},
            ["reads graffiti of validator1 as a date", "reads keystore_password of validator1 as a boolean"],
            id="words-and-dates",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "keystore_password": ["hunter2"], "wallet_password": {"hunter2": 1}}]},
            ["wallet_password of validator1 as a dictionary", "keystore_password of validator1 as a list"],
            id="passwords-in-lists",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "keystore_passwords": ["hunter2"], "keystore_password_file": ["/x"]}]},
            ["keystore_password_file of validator1 as a list", "must be a dictionary (key or file name: password)"],
            id="passwords-as-a-list",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "name": ["v1"], "keystores_on": 5}]},
            ["reads name of entry 1 of prysm_validators as a list", "reads keystores_on of entry 1"],
            id="name-in-a-list",
        ),
        pytest.param(
            {"prysm_network": ["hoodi"], "prysm_execution_endpoints": 8551},
            ["reads prysm_network as a list", "prysm_execution_endpoints must be an address"],
            id="not-even-text",
        ),
        pytest.param({"prysm_validators": []}, ["prysm_validators is empty"], id="no-clients"),
        pytest.param({"prysm_data_dir": None}, ["prysm_data_dir is not set"], id="no-data-dir"),
        pytest.param({"prysm_data_dir": "prysm"}, ["prysm_data_dir must be an absolute path"], id="relative-data-dir"),
        pytest.param({"prysm_data_dir": LOCKED}, ["prysm_data_dir cannot be decrypted"], id="locked-data-dir"),
        pytest.param(
            {"prysm_validators": [CLIENT, ["a"], "v2", {**CLIENT, "name": ""}]},
            [
                "entry 2 of prysm_validators is a list; it must be a dictionary with a name",
                "entry 3 of prysm_validators is text", "entry 4 of prysm_validators has no name",
            ],
            id="entries-that-are-none",
        ),
        pytest.param(
            {"prysm_validators": [CLIENT, CLIENT]}, ["2 entries of prysm_validators are called validator1"], id="twice"
        ),
        pytest.param({"prysm_validators": None}, ["prysm_validators is not set"], id="clients-not-set"),
        pytest.param({"prysm_validators": {"name": "x"}}, ["prysm_validators must be a list"], id="clients-as-a-map"),
        pytest.param({"prysm_validators": LOCKED}, ["prysm_validators cannot be decrypted"], id="locked-clients"),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "wallet_password": LOCKED, "fee_recipient": "x"}]},
            ["wallet_password of validator1 cannot be decrypted", "fee_recipient of validator1 is not an address"],
            id="locked-password-and-no-recipient",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "name": "v2", "wallet_password_file": "/nowhere"}]},
            ["wallet_password_file of v2: /nowhere cannot be read"],
            id="no-password-file",
        ),
        pytest.param(
            {"prysm_validators": [{"name": "v2"}], "prysm_jwt_secret": "", "prysm_execution_endpoints": []},
            [
                "prysm_execution_endpoints", "prysm_jwt_secret", "v2 has no keystores", "v2 has no fee_recipient",
                "v2 has no wallet_password",
            ],
            id="everything",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "keystores": ["/nowhere", KEYS, "/no/*.json"]}]},
            ["keystores of validator1: /nowhere: No such", "/no/*.json: No such file or directory (patterns"],
            id="no-such-keystores",
        ),
        pytest.param({"prysm_validators": [{**CLIENT, "keystores": []}]}, ["no keystores"], id="no-keystores"),
        pytest.param({"prysm_validators": [{**CLIENT, "keystores": KEYS}]}, ["must be a list of paths"], id="one-path"),
        pytest.param({"prysm_validators": [{**CLIENT, "keystores": LOCKED}]}, ["be decrypted"], id="locked-paths"),
        pytest.param(
            {"prysm_validators": [{key: CLIENT[key] for key in CLIENT if key != "keystore_password"}]},
            ["validator1 has no keystore_password, keystore_password_file or keystore_passwords, and no password lies"],
            id="no-keystore-password",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "keystore_passwords": LOCKED}]},
            ["keystore_passwords of validator1 cannot be decrypted"],
            id="locked-passwords",
        ),
        pytest.param(
            {"prysm_validators": [{**CLIENT, "slashing_protection": ["/gone.json", KEYS]}]},
            [
                "slashing_protection of validator1: /gone.json is not a file",
                "/keystores is not a file on this controller",
            ],
            id="no-history",
        ),
        pytest.param(
            {
                "prysm_validators": [
                    {**CLIENT, "name": "v1", "keystores": ["/gone"], "wallet_password_file": "/pw"}
                    | {"slashing_protection": ["/h"]},
                    {**CLIENT, "name": "v2", "keystores": ["/gone"], "keystore_password_file": "/pw2"},
                ]
            },
            ["/pw cannot be read", "of v1: /h", "of v1: /gone", "of v2: /pw2 cannot be read", "of v2: /gone"],
            id="files-of-every-client",
        ),
    ],
)  # fmt: skip
def test_what_the_inventory_lacks(monkeypatch: pytest.MonkeyPatch, changes: dict[str, t.Any], words: list[str]) -> None:
    given = {name: value for name, value in {**SOUND, **changes}.items() if value is not None}
    result = preflight(monkeypatch, given)
    assert len(result["problems"]) == len(words), result["problems"]
    assert all(word in one for word, one in zip(words, result["problems"], strict=False)), result["problems"]
    assert not any(secret in str(result) for secret in ("hunter", SECRET))
    assert "failed" not in result


@pytest.mark.parametrize("name", ["wallet_password", "keystore_password", "keystore_passwords", "prysm_jwt_secret"])
def test_part_of_a_secret_that_is_no_template_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    value = "!hunter2{{x}}"
    given = {**SOUND, name: value} if name in SOUND else {**SOUND, "prysm_validators": [{**CLIENT, name: value}]}
    [problem] = preflight(monkeypatch, given)["problems"]
    assert problem.startswith(name) and "write !unsafe before it" in problem and "hunter" not in problem


def test_a_password_file_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "password"
    place.write_bytes("hunter2\r\n".encode("utf-16"))
    given = {**SOUND, "prysm_validators": [{**CLIENT, "keystore_password_file": str(place)}]}
    assert preflight(monkeypatch, given)["problems"] == [
        f"keystore_password_file of validator1: {place} is not UTF-8 text"
    ]


@pytest.mark.parametrize(
    ("changes", "placed"),
    [
        pytest.param({}, True, id="sound"),
        pytest.param({"prysm_validators": []}, True, id="no-clients"),
        pytest.param({"prysm_data_dir": ""}, False, id="no-data-dir"),
        pytest.param({"prysm_validators": [CLIENT, {"keystores": [KEYS]}]}, False, id="no-name"),
        pytest.param({"prysm_validators": ["v1"]}, False, id="text"),
        pytest.param({"prysm_validators": "v1"}, False, id="no-list"),
    ],
)
def test_no_machine_is_asked_for_what_the_inventory_gives_no_place(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, t.Any], placed: bool
) -> None:
    """The roles' questions name directories of clients: their templates would end the look at the NFS server."""
    assert preflight(monkeypatch, {**SOUND, **changes})["placed"] is placed


def test_an_old_prysm_needs_neither_secret_nor_recipient(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {**SOUND, "prysm_jwt_secret": "", "prysm_validators": [{**CLIENT, "fee_recipient": ""}]}
    assert preflight(monkeypatch, given, engine=False, fee_recipient=False)["problems"] == []


@pytest.mark.parametrize(
    ("network", "version", "untested", "words"),
    [
        pytest.param("hoodi", "v7.3.1", "", "", id="follows"),
        pytest.param("hoodi", "v7.3.0", "", "v7.3.0 cannot follow hoodi", id="left-the-network"),
        pytest.param("goerli", "v7.3.1", "", "network 'goerli' is unknown", id="no-such-network"),
        pytest.param("holesky", "v7.3.1", "", "shut down", id="dead"),
        pytest.param("mainnet", "v99.0.0", "", "never checked against Prysm v99.0.0", id="unknown"),
        pytest.param("mainnet", "v99.0.0", "v99.0.0", "", id="unknown-and-named"),
        pytest.param("mainnet", "7", "", "prysm_version: '7' is not a Prysm release tag", id="no-tag"),
        pytest.param("custom", "v1.3.3", "", "", id="a-private-chain"),
    ],
)
def test_a_release_that_does_not_follow_is_said_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, network: str, version: str, untested: str, words: str
) -> None:
    monkeypatch.setattr(time, "time", lambda: moment("2026-11-28"))
    given = {**SOUND, "prysm_network": network}
    found = preflight(monkeypatch, given, table=TABLE, version=version, untested=untested)["problems"]
    assert bool(found) is bool(words)
    assert words in " ".join(found)


def test_a_secret_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jwt.hex").write_text(f"0x{SECRET}\n")
    given = {**SOUND, "prysm_jwt_secret": "", "prysm_jwt_secret_file": str(tmp_path / "jwt.hex")}
    found = preflight(monkeypatch, given)
    assert (found["changed"], found["problems"], found["secret_readable"]) == (False, [], True)


def test_files_of_the_controller_are_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = write_keystores(tmp_path / "keys", 0)
    (keys / "keystore-m_12381_3600_0_0_0.txt").write_text("hunter3")
    vault = VaultLib([("default", VaultSecret(b"vault-password"))])
    (tmp_path / "locked").write_bytes(vault.encrypt(b"hunter2"))
    (tmp_path / "history.json").write_text("{}")
    client = {"name": "v1", "keystores": [str(keys)], "fee_recipient": FEE, "wallet_password_file": "~/locked"}
    client["slashing_protection"] = ["~/history.json"]
    monkeypatch.setenv("HOME", str(tmp_path))
    found = preflight(monkeypatch, {**SOUND, "prysm_validators": [client]})
    assert found["problems"] == [
        "wallet_password_file of v1: ~/locked cannot be decrypted: give the vault's password (--ask-vault-pass or "
        "--vault-password-file)"
    ], "the password of the keystore lies beside it"


def test_what_lies_on_the_nfs_server_is_looked_for_there(monkeypatch: pytest.MonkeyPatch) -> None:
    client = {
        **CLIENT, "keystores_on": "nfs", "keystores": ["/secure/keys[1]", "~/keys"], "wallet_password_file": "/here",
        "keystore_password_file": "/secure/password", "slashing_protection": ["/secure/history.json"],
    }  # fmt: skip
    found = preflight(monkeypatch, {**SOUND, "prysm_validators": [client]})
    assert found["problems"] == ["wallet_password_file of validator1: /here cannot be read on this controller"]
    assert found["on_nfs"] == [
        ("keystore_password_file of validator1", "/secure/password"),
        ("keystores of validator1", "/secure/keys[1]"),
        ("slashing_protection of validator1", "/secure/history.json"),
    ]
    assert found["nfs_paths"][1] == "/secure/keys[[]1]"
    named = {"storage": {"named": [list(one) for one in found["on_nfs"]], "there": ["/secure/password"]}}
    said = preflight(monkeypatch, {}, machines={}, named=named)["msg"].splitlines()[1:]
    assert said == [
        "- keystores of validator1: /secure/keys[1] is not there on storage",
        "- slashing_protection of validator1: /secure/history.json is not there on storage",
    ]


def test_everything_is_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "the execution endpoint http://a:8551 does not answer: connection refused"
    result = preflight(
        monkeypatch,
        {},
        inventory=["no secret"],
        machines={"nfs": {"unreachable": "No route to host"}, "master": {"apart": 100.0}},
        needs={"master": {"problems": [sentence]}, "worker": {"problems": [sentence]}},
    )
    assert result["failed"]
    assert [line[:12] for line in result["msg"].splitlines()[1:]] == [
        "- no secret", "- nfs cannot", "- the clock ", "- the execut",
    ]  # fmt: skip


def test_an_endpoint_that_could_not_be_asked_is_not_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {
        "master": {
            "problems": ["the execution endpoint x was not asked: prysm_jwt_secret is not 64 hexadecimal digits"]
        }
    }
    said = preflight(monkeypatch, {}, inventory=["prysm_jwt_secret is not set"], machines={}, needs=needs)["msg"]
    assert said.count("prysm_jwt_secret") == 1
    assert "was not asked" in preflight(monkeypatch, {}, inventory=[], machines={}, needs=needs)["msg"]


def test_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    result = preflight(monkeypatch, {}, machines={"master": {"apart": 1.0}}, needs={"master": {"unjudged": ["later"]}})
    assert "failed" not in result
    assert result["msg"] == "later (asked from master)"
