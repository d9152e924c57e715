"""What a first start needs, what later ones leave as it is, and which keys may wait: the role's own expressions."""

from __future__ import annotations

import base64
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.template import trust_as_template

from tests.unit.roles.test_host_roles import ROOT, evaluate, render

pytestmark = pytest.mark.thorough

TASKS = ROOT / "roles/prysm_helm/tasks"
KEYS = ["0x" + digit * 96 for digit in "abcdef"]
GIVEN = {
    "role_path": str(ROOT / "roles/prysm_helm"),
    "prysm_helm_version": "v7.1.6",
    "prysm_helm_network": "hoodi",
    "prysm_helm_execution_endpoints": ["http://a:8551"],
    "prysm_helm_checkpoint_sync_url": ["https://one", "https://two"],
    "prysm_helm_values": {},
    "prysm_helm_chain_config": {},
    "prysm_helm_data_dir": "/data/prysm",
    "prysm_helm_empty_beacon_database": False,
    "prysm_helm_jwt_secret": "5f" * 32,
    "prysm_helm_jwt_secret_file": "",
}
INSTALLED = {"beacon": {"checkpointSyncUrl": "https://old"}}


def say(name: str, **variables: t.Any) -> t.Any:
    return evaluate("prysm_helm", name, **{**GIVEN, **variables})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", []),
        ("https://one", ["https://one"]),
        ("https://one, https://two", ["https://one", "https://two"]),
        (["https://one", ""], ["https://one"]),
        ([], []),
    ],
)
def test_one_address_or_several(given: t.Any, found: list[str]) -> None:
    assert say("__prysm_helm_checkpoints", prysm_helm_checkpoint_sync_url=given) == found
    assert say("__prysm_helm_endpoints", prysm_helm_execution_endpoints=given) == found


def test_pods_get_the_password_that_the_wallet_was_made_with(tmp_path: Path) -> None:
    place = tmp_path / "password"
    place.write_bytes(b"Wallet-Pass-1! \r\n\n")
    entry = {"name": "v1", "wallet_password_file": str(place)}
    secrets = say("__prysm_helm_secret_data", prysm_helm_validators=[entry])
    wallets = evaluate(
        "prysm_wallet", "__prysm_wallet_password", __prysm_wallet_name="v1", prysm_wallet_validators=[entry]
    )
    assert secrets["wallet-password-v1"] == {"password": wallets} == {"password": "Wallet-Pass-1! "}


def test_the_secrets_that_differ_are_stored_with_their_namespace() -> None:
    given = {
        "prysm_helm_namespace": "prysm",
        "prysm_helm_release": "eth2prysm",
        "prysm_helm_validators": [{"name": name, "wallet_password": f"{name} \n"} for name in ("v1", "v2")],
        "__prysm_helm_found": {"differing_secrets": ["jwt-secret", "wallet-password-v2"]},
    }
    lines = render("prysm_helm", "secrets.yml.j2", **{**GIVEN, **given})
    namespace, *secrets = yaml.safe_load_all("\n".join(lines))
    assert namespace == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prysm"}}
    labels = {"app.kubernetes.io/part-of": "eth2prysm"}
    for secret, name, data in (
        (secrets[0], "wallet-password-v2", {"password": "v2 "}),
        (secrets[1], "jwt-secret", {"jwt.hex": "5f" * 32}),
    ):
        assert secret == {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": name, "namespace": "prysm", "labels": labels},
            "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
        }
    assert len(secrets) == 2


@pytest.mark.parametrize("mirror", ["", "registry.example:5000/busybox:1.37.0-musl"])
def test_nodes_fetch_every_image_of_the_pods(mirror: str) -> None:
    """The guard's is of another registry: a client stopped for an upgrade must not find out that it is not given."""
    release = {"image": {"pullSecrets": [], "beaconImage": "", "beaconDigest": "", "validatorImage": "",
                         "validatorDigest": ""}}  # fmt: skip
    images = {kind: f"registry/{kind}" for kind in ("beacon", "validator")}
    given = {
        **GIVEN,
        "prysm_helm_values": {"guard": {"image": mirror}} if mirror else {},
        "__prysm_helm_release_values": release,
        "__prysm_helm_wanted": {"images": images},
        "__prysm_helm_node_name": "worker",
    }
    pod = yaml.safe_load("\n".join(render("prysm_helm", "fetch-pod.yml.j2", **given)))
    values = yaml.safe_load((ROOT / "roles/prysm_helm/files/eth2prysm/values.yaml").read_text(encoding="utf-8"))
    guard = mirror or values["guard"]["image"]
    assert [one["image"] for one in pod["spec"]["containers"]] == [*images.values(), guard]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({"at": 340.0, "what": "q"}, [], id="eleven-minutes-ago"),
        pytest.param({"at": 990.0, "what": "other"}, [], id="something-else"),
        pytest.param({"at": 990.0, "what": "q"}, ["b"], id="just-now"),
    ],
)
def test_what_was_asked_just_before_is_not_asked_again(asked: dict[str, t.Any], found: list[str]) -> None:
    tasks = {task["name"]: task for task in yaml.safe_load((TASKS / "upstream.yml").read_text())}
    text = tasks["upstream | Find the machines that were asked just before"]["ansible.builtin.set_fact"]
    expression = trust_as_template(text["__prysm_helm_just_asked"].replace("now(utc=true).timestamp()", "1000.0"))
    machines = {"a": {}, "b": {"prysm_helm_needs_asked": asked}}
    given = {
        "prysm_helm_beacon_machines": ["a", "b"],
        "hostvars": {name: {"inventory_hostname": name, **known} for name, known in machines.items()},
        "__prysm_helm_question": "q",
        "just_asked": expression,
    }
    assert evaluate("prysm_helm", "just_asked", **given) == found


@pytest.mark.parametrize(
    ("begun", "installed", "first", "value", "asked"),
    [
        pytest.param("none", {}, True, "https://one", True, id="first-start"),
        pytest.param("none", INSTALLED, True, "https://one", True, id="emptied-by-hand"),
        pytest.param("checkpoint", INSTALLED, False, "https://old", False, id="another-address-later"),
        pytest.param("checkpoint", {}, False, "", False, id="installed-again"),
        pytest.param("unknown", INSTALLED, False, "https://old", False, id="large"),
        pytest.param("genesis", INSTALLED, False, "https://one", True, id="begun-without"),
    ],
)
def test_the_address_is_used_by_a_beacon_node_that_begins(
    begun: str, installed: dict[str, t.Any], first: bool, value: str, asked: bool
) -> None:
    seen = {"prysm_helm_beacon_database": {"begun": begun}, "__prysm_helm_installed": installed}
    assert say("__prysm_helm_first_start", **seen) is first
    assert say("__prysm_helm_checkpoint_value", **seen) == value
    assert say("__prysm_helm_asks_providers", **seen) is asked


@pytest.mark.parametrize(
    ("network", "urls", "begun", "asked"),
    [
        ("hoodi", [], "none", True),
        ("mainnet", [], "none", True),
        ("sepolia", [], "none", True),
        ("custom", [], "none", False),
        ("custom", ["http://a"], "none", True),
        ("hoodi", [], "genesis", False),
        ("hoodi", [], "checkpoint", False),
    ],
)
def test_every_public_network_needs_one_at_the_first_start(
    network: str, urls: list[str], begun: str, asked: bool
) -> None:
    assert asked is say(
        "__prysm_helm_asks_providers",
        prysm_helm_network=network,
        prysm_helm_checkpoint_sync_url=urls,
        prysm_helm_beacon_database={"begun": begun},
    )


def test_a_database_that_will_be_emptied_begins_again() -> None:
    seen = {
        "prysm_helm_beacon_database": {"begun": "checkpoint"},
        "__prysm_helm_installed": INSTALLED,
        "__prysm_helm_wanted": {"beacon_database_incompatible": True},
    }
    assert say("__prysm_helm_first_start", **seen) is False
    assert say("__prysm_helm_first_start", **seen, prysm_helm_empty_beacon_database=True) is True
    assert say("__prysm_helm_checkpoint_value", **seen, prysm_helm_empty_beacon_database=True) == "https://one"


@pytest.mark.parametrize(
    ("network", "values", "source"),
    [
        ("mainnet", {}, ""),
        ("hoodi", {}, "https://one"),
        ("custom", {}, "https://one"),
        ("hoodi", {"beacon": {"genesisStateFile": "/data/prysm/beacon/genesis.ssz"}}, ""),
        ("hoodi", {"beacon": {"genesisBeaconApiUrl": "https://g"}}, "https://g"),
    ],
)
def test_where_the_genesis_state_comes_from(network: str, values: dict[str, t.Any], source: str) -> None:
    assert say("__prysm_helm_genesis_from", prysm_helm_network=network, prysm_helm_values=values) == source


@pytest.mark.parametrize(
    ("network", "config", "values", "chain"),
    [
        ("mainnet", {}, {}, 1),
        ("hoodi", {"DEPOSIT_CHAIN_ID": 7}, {}, 560048),
        ("sepolia", {}, {}, 11155111),
        ("custom", {}, {}, 0),
        ("custom", {"DEPOSIT_CHAIN_ID": 1337}, {}, 1337),
        ("custom", {"DEPOSIT_CHAIN_ID": "1337"}, {}, 1337),
        ("custom", {"DEPOSIT_CHAIN_ID": 1}, {"beacon": {"extraArgs": ["--chain-id=1337"]}}, 1337),
    ],
)
def test_the_chain_of_the_execution_client(
    network: str, config: dict[str, t.Any], values: dict[str, t.Any], chain: int
) -> None:
    given = {"prysm_helm_network": network, "prysm_helm_chain_config": config, "prysm_helm_values": values}
    assert say("__prysm_helm_chain_id", **given) == chain


@pytest.mark.parametrize(
    ("version", "network", "secret", "engine"),
    [
        ("v7.1.6", "hoodi", "5f" * 32, True),
        ("v3.0.0", "custom", "5f" * 32, True),
        ("v2.1.4", "custom", "5f" * 32, False),
        ("v7.1.6", "custom", "", False),
        ("v7.1.6", "hoodi", "", True),
    ],
)
def test_who_asks_with_a_token(version: str, network: str, secret: str, engine: bool) -> None:
    given = {"prysm_helm_version": version, "prysm_helm_network": network, "prysm_helm_jwt_secret": secret}
    assert say("__prysm_helm_engine", **given) is engine


def unsigned(**seen: t.Any) -> t.Any:
    task = next(task for task in yaml.safe_load((TASKS / "duties.yml").read_text()) if "have not" in task["name"])
    return evaluate(
        "prysm_helm",
        "asked",
        **GIVEN,
        asked=trust_as_template(task["ansible.builtin.set_fact"]["__prysm_helm_unsigned"]),
        **seen,
        prysm_helm_pubkeys={
            "validator1": KEYS[:3],
            "validator2": [key.upper().replace("0X", "0x") for key in KEYS[3:]],
        },
    )


def test_keys_that_have_signed_may_not_wait() -> None:
    nothing = {"slot": None, "source": None, "target": None, "client": "validator1", "blocks": [], "votes": None}
    record = {
        KEYS[0]: nothing,
        KEYS[1]: {**nothing, "target": 0},
        KEYS[2]: {**nothing, "slot": 5},
        KEYS[3]: {**nothing, "blocks": [5]},
        KEYS[4]: {**nothing, "votes": {"last": 3, "bits": "1"}},
    }
    document = {"version": 2, "keys": record}
    content = base64.b64encode(json.dumps(document).encode()).decode()
    assert unsigned(__prysm_helm_signed_record={"content": content}) == [KEYS[0], KEYS[5]]
    # The check of the histories has read it: it says the same, and is not skipped for want of a file.
    assert unsigned(__prysm_helm_guarded={"record": document}) == [KEYS[0], KEYS[5]]
    guarded = {"skipped": True}
    assert unsigned(__prysm_helm_guarded=guarded, __prysm_helm_signed_record={"content": content}) == [KEYS[0], KEYS[5]]


@pytest.mark.parametrize(
    "other",
    [
        {"prysm_helm_network": "sepolia"},
        {"prysm_helm_version": "v7.1.5"},
        {"prysm_helm_jwt_secret": "ab" * 32},
        {"prysm_helm_execution_endpoints": ["http://172.20.10.21:8551"]},
        {"prysm_helm_checkpoint_sync_url": "https://another.example"},
        {"prysm_helm_accept_syncing_execution": True},
        {"prysm_helm_beacon_database": {"begun": "checkpoint"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_an_answer_holds_for_the_same_question_only(other: dict[str, t.Any]) -> None:
    given = {
        "prysm_helm_network": "hoodi",
        "prysm_helm_version": "v7.1.6",
        "prysm_helm_jwt_secret": "5f" * 32,
        "prysm_helm_execution_endpoints": ["http://172.20.10.20:8551"],
        "prysm_helm_checkpoint_sync_url": "https://one.example",
        "prysm_helm_accept_syncing_execution": False,
        "prysm_helm_beacon_database": {"begun": "none"},
    }
    question = say("__prysm_helm_question", **given)
    assert say("__prysm_helm_question", **given) == question
    assert say("__prysm_helm_question", **{**given, **other}) != question
