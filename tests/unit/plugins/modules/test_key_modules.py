"""The four key modules as Ansible runs them: arguments in, result out, and never a secret in what they print."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _importer
from ansible_collections.eth2xk8s.staking.plugins.modules import (
    prysm_wallet_import,
    prysm_wallet_info,
    slashing_protection_export,
    slashing_protection_guard,
    slashing_protection_info,
    validator_key_uniqueness,
)
from tests.unit.plugins.keys_support import (
    FIXTURES,
    KEYSTORE_PASSWORD,
    PUBKEYS,
    ROOT_A,
    SECRETS,
    WALLET_PASSWORD,
    interchange,
    keystore,
    run_module,
    tree_of,
    unpack,
    write_database,
    write_keystores,
)

K = PUBKEYS
R1 = b"\x01" * 32


@pytest.fixture(autouse=True)
def cheap_wallets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_importer.Request.__new__, "__defaults__", (*_importer.Request.__new__.__defaults__[:-1], 2))


def wallet_keys(directory: Path) -> list[str]:
    found = _wallet.find(str(directory))
    return [key.pubkey for key in _wallet.parse(found.read(), found.path, WALLET_PASSWORD)]


def test_imports_from_files_contents_and_password_files(tmp_path: Path) -> None:
    (tmp_path / "wp").write_text(WALLET_PASSWORD + "\n")
    (tmp_path / "kp").write_text(KEYSTORE_PASSWORD + "\r\n")
    params = {
        "wallet_dir": str(tmp_path / "w"),
        "wallet_password_file": str(tmp_path / "wp"),
        "keystores": [str(write_keystores(tmp_path / "keys", 0, 1))],
        "keystore_contents": [
            {"name": "from-the-controller.json", "content": json.dumps(keystore(2, "its own"))},
            {"name": "deposit_data-1.json", "content": "[]"},
        ],
        "keystore_password_file": str(tmp_path / "kp"),
        "keystore_passwords": {"from-the-controller.json": "its own"},
    }
    told = run_module(prysm_wallet_import, check=True, **params)
    assert told["changed"] and not (tmp_path / "w").exists()
    done = run_module(prysm_wallet_import, **params)
    assert done["imported"] == K[:3] == done["pubkeys"] == wallet_keys(tmp_path / "w")
    assert (done["diff"], done["imported"]) == (told["diff"], told["imported"])
    again = run_module(prysm_wallet_import, **params)
    assert (again["changed"], again["imported"], again["pubkeys"]) == (False, [], K[:3])
    gone = run_module(
        prysm_wallet_import,
        wallet_dir=str(tmp_path / "w"),
        wallet_password=WALLET_PASSWORD,
        state="absent",
        pubkeys=[K[1].upper().replace("0X", "0x")],
    )
    assert gone["removed"] == [K[1]] and wallet_keys(tmp_path / "w") == [K[0], K[2]]


def test_several_wallets_in_one_call_are_each_whole_or_untouched(tmp_path: Path) -> None:
    def wallet(name: str, *numbers: int, **changes: t.Any) -> dict[str, t.Any]:
        contents = [{"name": f"k{i}.json", "content": json.dumps(keystore(i))} for i in numbers]
        given = {"wallet_password": WALLET_PASSWORD, "keystore_password": KEYSTORE_PASSWORD, **changes}
        return {"wallet_dir": str(tmp_path / name), "keystore_contents": contents, **given}

    first, second = wallet("w1", 0, 1), wallet("w2", 2, expected_pubkeys=[K[3]])
    told = run_module(prysm_wallet_import, check=True, wallets=[first, second])
    assert told["changed"] and not list(tmp_path.iterdir())
    refused = run_module(prysm_wallet_import, wallets=[first, wallet("w2", 2, keystore_password="not it")])
    assert refused["failed"] and refused["changed"] and refused["msg"].startswith(f"{tmp_path}/w2: ")
    assert wallet_keys(tmp_path / "w1") == K[:2] and not (tmp_path / "w2").exists()
    done = run_module(prysm_wallet_import, wallets=[first, second])
    assert [(one["wallet_dir"], one["changed"], one["pubkeys"]) for one in done["wallets"]] == [
        (first["wallet_dir"], False, K[:2]),
        (second["wallet_dir"], True, K[2:3]),
    ]
    assert done["changed"] and [one["after_header"] for one in done["diff"]] == [
        one["wallet_file"] for one in done["wallets"]
    ]
    assert K[3] in done["warnings"][0]["event"]["msg"]
    assert not run_module(prysm_wallet_import, wallets=[first, second])["changed"]
    assert not run_module(prysm_wallet_import, wallets=[])["changed"]
    for text in (WALLET_PASSWORD, KEYSTORE_PASSWORD, "not it"):
        assert text not in told["_printed"] + refused["_printed"] + done["_printed"]


def test_a_wallet_needs_its_password_and_one_way_to_be_named(tmp_path: Path) -> None:
    for params in (
        {},
        {"wallet_dir": str(tmp_path / "w")},
        {"wallets": [{"wallet_dir": str(tmp_path / "w")}]},
        {"wallet_dir": "w", "wallet_password": "x", "wallets": [{"wallet_dir": "v", "wallet_password": "y"}]},
    ):
        assert run_module(prysm_wallet_import, **params)["failed"], params
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "no keystore is given"),
        ({"state": "absent"}, "no key is named in 'pubkeys'"),
        ({"pubkeys": [K[0]]}, "'pubkeys' belongs to state 'absent'"),
        ({"state": "absent", "pubkeys": ["0x12"]}, "not a 48-byte"),
        ({"keystores": ["/nowhere"]}, "/nowhere: No such file"),
        ({"keystore_contents": [{"name": "k.json", "content": "{"}]}, "k.json: is not JSON"),
        ({"keystore_contents": [{"name": "k.json", "content": json.dumps(keystore(0))}]}, "no password is given"),
        ({"owner": "nobody-of-that-name", "keystores": ["/x"]}, "there is no user"),
        ({"group": "nobody-of-that-name", "keystores": ["/x"]}, "there is no group"),
    ],
)
def test_refuses_in_one_sentence(tmp_path: Path, params: dict[str, t.Any], reason: str) -> None:
    result = run_module(prysm_wallet_import, wallet_dir=str(tmp_path / "w"), wallet_password=WALLET_PASSWORD, **params)
    assert result["failed"] and reason in result["msg"] and "Traceback" not in result["_printed"]
    assert not (tmp_path / "w").exists()


def places(tmp_path: Path) -> dict[str, t.Any]:
    for name, numbers in (("v1", [0, 1]), ("v2", [2])):
        run_module(
            prysm_wallet_import,
            wallet_dir=str(tmp_path / f"wallet-{name}"),
            wallet_password=WALLET_PASSWORD,
            keystore_password=KEYSTORE_PASSWORD,
            keystore_contents=[{"name": f"k{i}", "content": json.dumps(keystore(i))} for i in numbers],
        )
    return {
        "wallets": [
            {"path": str(tmp_path / f"wallet-{name}"), "client": name, "password": WALLET_PASSWORD}
            for name in ("v1", "v2")
        ],
        "data_dirs": [{"path": str(tmp_path / name), "client": name} for name in ("v1", "v2")],
        "root": str(tmp_path),
    }


def test_says_where_every_key_is_and_fails_on_two_places(tmp_path: Path) -> None:
    params = places(tmp_path)
    before = tree_of(tmp_path)
    clean = run_module(validator_key_uniqueness, **params)
    assert not clean["changed"] and set(clean["keys"]) == set(K[:3])
    assert clean["keys"][K[2]] == [{"kind": "wallet", "where": str(tmp_path / "wallet-v2"), "client": "v2"}]
    contents = [{"name": "new.json", "content": json.dumps(keystore(0)), "client": "v2"}]
    double = run_module(validator_key_uniqueness, keystore_contents=contents, **params)
    assert double["failed"] and [item["key"] for item in double["duplicates"]] == [K[0]]
    assert double["msg"].startswith(f"Slashing risk: {K[0]} belongs to 2 clients: v1, v2")
    missing = run_module(validator_key_uniqueness, elsewhere=["/nowhere"], **params)
    assert missing["unreadable"] == [{"place": "/nowhere", "reason": "No such file or directory"}]
    assert tree_of(tmp_path) == before


def test_reports_a_wallet_by_its_manifest_or_its_password(tmp_path: Path) -> None:
    wallet = str(tmp_path / "wallet-v1")
    assert run_module(prysm_wallet_info, wallet_dir=wallet)["exists"] is False
    places(tmp_path)
    run_module(
        prysm_wallet_import,
        wallet_dir=wallet,
        wallet_password=WALLET_PASSWORD,
        state="absent",
        pubkeys=[K[0]],
        reason="moved",
    )
    found = run_module(prysm_wallet_info, wallet_dir=wallet)
    assert (found["pubkeys"], found["read"]) == ([K[1]], "manifest")
    assert [(stone["pubkey"], stone["reason"]) for stone in found["tombstones"]] == [(K[0], "moved")]
    (tmp_path / "wallet-v1" / "key-manifest.json").unlink()
    assert "no password is given" in run_module(prysm_wallet_info, wallet_dir=wallet)["msg"]
    opened = run_module(prysm_wallet_info, wallet_dir=wallet, wallet_password=WALLET_PASSWORD)
    assert (opened["pubkeys"], opened["read"]) == ([K[1]], "password")


def test_a_key_may_return_only_when_it_is_named(tmp_path: Path) -> None:
    params = places(tmp_path)
    run_module(
        prysm_wallet_import,
        wallet_dir=str(tmp_path / "wallet-v1"),
        wallet_password=WALLET_PASSWORD,
        state="absent",
        pubkeys=[K[0]],
    )
    params["keystore_contents"] = [{"name": "k0", "content": json.dumps(keystore(0)), "client": "v1"}]
    refused = run_module(validator_key_uniqueness, **params)
    assert refused["duplicates"][0]["reason"] == "is with v1, which it has left"
    assert not run_module(validator_key_uniqueness, reinstate=[K[0]], **params).get("failed")


def test_says_what_lies_beside_keystores(tmp_path: Path) -> None:
    keys = write_keystores(tmp_path / "keys", 0)
    (keys / "slashing_protection.json").write_text("{}")
    (keys / "deposit_data-1.json").write_text(json.dumps([{"pubkey": K[0][2:]}, {"pubkey": K[4][2:]}]))
    (keys / "keystore-m_12381_3600_0_0_0.txt").write_text(KEYSTORE_PASSWORD)
    done = run_module(
        prysm_wallet_import,
        wallet_dir=str(tmp_path / "w"),
        wallet_password=WALLET_PASSWORD,
        keystores=[str(keys)],
        expected_pubkeys=[K[0], K[5]],
    )
    assert done["pubkeys"] == [K[0]] and done["histories"] == [str(keys / "slashing_protection.json")]
    assert {Path(item["path"]).name for item in done["passed_over"]} == {
        "slashing_protection.json",
        "deposit_data-1.json",
        "keystore-m_12381_3600_0_0_0.txt",
    }
    assert [item["event"]["msg"] for item in done["warnings"]] == [
        f"{keys}/deposit_data-1.json names 1 keys that no keystore holds: {K[4]}",
        f"deposit data names 1 keys that no keystore holds: {K[5]}",
    ]
    assert KEYSTORE_PASSWORD not in done["_printed"]
    asked = run_module(validator_key_uniqueness, keystores=[{"path": str(keys), "client": "v1"}])
    assert not asked.get("failed") and len(asked["passed_over"]) == 3


def test_a_keystore_without_a_public_key_is_known_by_its_password(tmp_path: Path) -> None:
    document = keystore(0)
    del document["pubkey"]
    (tmp_path / "k.json").write_text(json.dumps(document))
    content = {"name": "c.json", "content": json.dumps(document), "client": "v2"}
    place = {"path": str(tmp_path / "k.json"), "client": "v1"}
    for password in ({}, {"password": "something else"}):
        refused = run_module(validator_key_uniqueness, keystores=[{**place, **password}])
        assert refused["failed"] and refused["msg"].startswith("Keystores that cannot be used: ")
    both = run_module(
        validator_key_uniqueness,
        keystores=[{**place, "password": KEYSTORE_PASSWORD}],
        keystore_contents=[{**content, "password": KEYSTORE_PASSWORD}],
    )
    assert "belongs to 2 clients: v1, v2" in both["msg"] and KEYSTORE_PASSWORD not in both["_printed"]


@pytest.mark.parametrize(
    ("params", "starts"),
    [
        (
            {"keystores": [{"path": "/nowhere", "client": "v1"}]},
            "Keystores that cannot be used: /nowhere: No such file",
        ),
        ({"keystore_contents": [{"name": "k", "content": "{"}]}, "Keystores that cannot be used: k: is not JSON"),
        ({"elsewhere": ["/nowhere"]}, "What cannot be read may hold a key a second time: /nowhere: No such file"),
        ({"declared": {"v1": [K[0]], "v2": [K[0]]}}, f"Slashing risk: {K[0]} belongs to 2 clients"),
    ],
)
def test_a_slashing_risk_is_said_only_where_it_is_one(params: dict[str, t.Any], starts: str) -> None:
    result = run_module(validator_key_uniqueness, **params)
    assert result["failed"] and result["msg"].startswith(starts)


def test_exports_only_the_keys_named(tmp_path: Path) -> None:
    write_database(tmp_path / "v1", {K[i]: ([(80, R1)], [(8, 10, R1)]) for i in range(3)}, blacklisted=[K[2]])
    params = {"path": str(tmp_path / "v1" / "validator.db"), "dest": str(tmp_path / "out.json")}
    assert "blacklists 1 keys" in run_module(slashing_protection_export, **params)["msg"]
    assert run_module(slashing_protection_export, pubkeys=[K[1], K[5]], **params)["keys"] == 1
    assert list(run_module(slashing_protection_info, path=params["dest"])["keys"]) == [K[1]]


def test_a_missing_password_file_is_an_unreadable_place(tmp_path: Path) -> None:
    result = run_module(validator_key_uniqueness, wallets=[{"path": str(tmp_path), "password_file": "/nowhere"}])
    assert result["failed"] and result["unreadable"][0]["place"] == "/nowhere"


def test_reports_what_a_database_knows(tmp_path: Path) -> None:
    path = unpack("prysm/v7.1.6/validator.db.xz", tmp_path / "validator.db")
    result = run_module(slashing_protection_info, path=str(tmp_path))
    export = json.loads((FIXTURES / "prysm/v7.1.6/export.json").read_text())
    assert result["path"] == str(path) and result["format"] == "prysm" and result["locked_by"] is None
    assert result["genesis_validators_root"] == export["metadata"]["genesis_validators_root"]
    for entry in export["data"]:
        part = result["keys"][entry["pubkey"]]
        assert part["blocks"] == len(entry["signed_blocks"])
        assert part["highest_slot"] == max(int(block["slot"]) for block in entry["signed_blocks"])
        assert part["highest_target"] == max(int(vote["target_epoch"]) for vote in entry["signed_attestations"])
    whole = run_module(slashing_protection_info, path=str(path), records=True, pubkeys=[export["data"][0]["pubkey"]])
    assert len(whole["keys"]) == 1
    assert len(whole["keys"][export["data"][0]["pubkey"]]["attestations"]) == len(
        export["data"][0]["signed_attestations"]
    )


def test_reports_a_missing_database_only_when_asked_to(tmp_path: Path) -> None:
    assert run_module(slashing_protection_info, path=str(tmp_path))["failed"]
    nothing = run_module(slashing_protection_info, path=str(tmp_path), missing_ok=True)
    assert (nothing["exists"], nothing["format"], nothing["keys"]) == (False, "none", {})


def test_reports_what_an_interchange_file_says_against_itself(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(json.dumps(interchange({K[0]: ([(5, R1), (5, None)], [])})))
    result = run_module(slashing_protection_info, path=str(tmp_path / "i.json"))
    assert result["findings"] == [f"{K[0]}: two blocks for slot 5"]


def guard(tmp_path: Path, *numbers: int, check: bool = False, **more: t.Any) -> dict[str, t.Any]:
    clients = [{"name": "v1", "data_dir": str(tmp_path / "v1"), "pubkeys": [K[i] for i in numbers]}]
    return run_module(
        slashing_protection_guard, check=check, record=str(tmp_path / ".history/record.json"), clients=clients, **more
    )


def test_guards_a_validator_through_its_life(tmp_path: Path) -> None:
    assert guard(tmp_path, 0, check=True)["changed"] and not (tmp_path / ".history").exists()
    first = guard(tmp_path, 0)
    assert first["changed"] and first["added"] == [K[0]]
    database = write_database(tmp_path / "v1", {K[0]: ([(80, R1)], [(8, 10, R1)])})
    risen = guard(tmp_path, 0)
    assert not risen["changed"], "numbers rise by themselves; that is not a change of ours"
    assert risen["raised"] == [K[0]] and risen["keys"][K[0]] == {"slot": 80, "source": 8, "target": 10}
    database.unlink()
    refused = guard(tmp_path, 0)
    assert refused["failed"] and refused["refusals"][0]["pubkey"] == K[0]
    assert refused["msg"].startswith(f"Slashing risk: v1: {K[0]} has signed at this site, but its database is missing")
    assert guard(tmp_path, 0, 5)["failed"]
    assert K[5] not in guard(tmp_path, 0)["keys"], "a refused start leaves no trace"
    write_database(tmp_path / "v1", {K[0]: ([(88, R1)], [(9, 11, R1)])}, blacklisted=[K[0]])
    back = guard(tmp_path, 0, genesis_validators_root=ROOT_A)
    assert not back.get("failed") and back["blacklisted"] == {"v1": [K[0]]}
    assert "refuses all duties of 1 keys of v1" in back["_printed"]
    assert guard(tmp_path, 0, genesis_validators_root="0x12")["failed"]


# -- no secret anywhere -----------------------------------------------------------------------------------------------


def every_spelling(secret: bytes) -> list[str]:
    return [secret.hex(), base64.b64encode(secret).decode(), repr(secret), str(int.from_bytes(secret, "big"))]


def test_no_run_prints_or_writes_a_secret(tmp_path: Path) -> None:
    """Good runs and bad ones: every output and every file is searched for every secret used."""
    printed = []
    wallet_password, keystore_password = "Wallet-secret-1!", "Keystore-secret-2!"
    good = {
        "wallet_dir": str(tmp_path / "w"),
        "wallet_password": wallet_password,
        "keystore_password": keystore_password,
        "keystore_contents": [
            {"name": f"k{i}", "content": json.dumps(keystore(i, keystore_password))} for i in range(3)
        ],
    }
    mislabelled = json.dumps(keystore(3, keystore_password, pubkey=K[4][2:]))
    for params in (
        good,
        {**good, "keystore_passwords": {"k1": "Another-secret-3!"}},
        {**good, "wallet_password": wallet_password + "x"},
        {**good, "wallet_password": "Pässword-secret-4!"},
        {**good, "keystore_password": keystore_password + "x", "wallet_dir": str(tmp_path / "other")},
        {**good, "keystore_contents": [{"name": "bad", "content": mislabelled}]},
        {**good, "keystore_contents": [{"name": "bad", "content": mislabelled[:300]}]},
    ):
        for check in (True, False):
            printed.append(run_module(prysm_wallet_import, check=check, **params)["_printed"])
    wallets = [{"path": str(tmp_path / "w"), "client": "v1", "password": wallet_password}]
    printed.append(run_module(validator_key_uniqueness, wallets=wallets, root=str(tmp_path))["_printed"])
    wallets[0]["password"] = wallet_password + "x"
    (tmp_path / "w" / "key-manifest.json").unlink()
    printed.append(run_module(validator_key_uniqueness, wallets=wallets, root=str(tmp_path))["_printed"])
    secrets = ["Wallet-secret", "Keystore-secret", "Another-secret", "ssword-secret"]
    for secret in SECRETS[:5]:
        secrets += every_spelling(secret)
    for text in printed:
        assert [secret for secret in secrets if secret in text] == []
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert [secret for secret in secrets if secret.encode() in content] == []
            assert not any(secret in content for secret in SECRETS)


without_prysm = pytest.mark.skipif(
    "PRYSM_BINARIES" not in os.environ, reason="PRYSM_BINARIES does not name a folder of Prysm binaries"
)

# -- real Prysm -------------------------------------------------------------------------------------------------------


@pytest.mark.real_prysm
@pytest.mark.skipif(
    "PRYSM_BINARIES" not in os.environ, reason="PRYSM_BINARIES does not name a folder of Prysm binaries"
)
def test_real_prysm_lists_what_was_imported(tmp_path: Path) -> None:
    """Every file named validator* in the folder, of whatever version."""
    binaries = sorted(Path(os.environ["PRYSM_BINARIES"]).glob("**/validator*"))
    assert binaries, "no validator in PRYSM_BINARIES"
    places(tmp_path)
    (tmp_path / "password").write_text(WALLET_PASSWORD)
    for binary in binaries:
        listed = subprocess.run(
            [
                str(binary),
                f"--datadir={tmp_path / 'home'}",
                "accounts",
                "list",
                # A sub-command that has a flag of its own does not see the program's.
                "--accept-terms-of-use",
                f"--wallet-dir={tmp_path / 'wallet-v1'}",
                f"--wallet-password-file={tmp_path / 'password'}",
            ],
            env={"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found = re.findall(r"0x[0-9a-f]{96}", listed.stdout)
        assert found == K[:2], f"{binary}: {listed.stdout}{listed.stderr}"


@pytest.mark.real_prysm
@pytest.mark.skipif(
    "PRYSM_BINARIES" not in os.environ, reason="PRYSM_BINARIES does not name a folder of Prysm binaries"
)
def test_real_prysm_exports_what_we_read(tmp_path: Path) -> None:
    for binary in sorted(Path(os.environ["PRYSM_BINARIES"]).glob("**/validator*")):
        data = tmp_path / binary.parent.name / binary.name
        unpack("prysm/v7.1.6/validator.db.xz", data / "validator.db")
        (data / "tosaccepted").touch()
        for name in ("slashing-protection-history", "slashing-protection"):
            subprocess.run(
                [str(binary), name, "export", f"--datadir={data}", f"--slashing-protection-export-dir={data}"],
                env={"HOME": str(data)},
                capture_output=True,
                timeout=60,
                check=False,
            )
        ours = run_module(slashing_protection_info, path=str(data), records=True)
        theirs = run_module(slashing_protection_info, path=str(data / "slashing_protection.json"), records=True)
        assert theirs.get("keys") == ours["keys"], binary


# -- documentation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [
        prysm_wallet_import,
        prysm_wallet_info,
        validator_key_uniqueness,
        slashing_protection_info,
        slashing_protection_guard,
    ],
    ids=lambda module: module.__name__.rsplit(".", 1)[-1],
)
def test_the_examples_are_tasks_of_documented_options(module: t.Any) -> None:
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    name = "eth2xk8s.staking." + yaml.safe_load(module.DOCUMENTATION)["module"]
    for task in yaml.safe_load(module.EXAMPLES):
        assert set(task[name]) <= set(options)
    assert yaml.safe_load(module.RETURN)
