"""The final values of the release: nothing goes past the checks."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._release_values import (
    Place,
    claims,
    of_entries,
    overlapping,
    problems,
    secrets,
    undeclared_signers,
)

ROOT = Path(__file__).parents[4]

WANTED: dict[str, t.Any] = {
    "network": "custom",
    "customNetwork": {"chainConfig": {"CONFIG_NAME": "x"}},
    "persistentVolumeType": "nfs",
    "nfs": {"serverIp": "172.20.10.10", "user": 1001, "group": 2000},
    "image": {"version": "v7.1.6"},
    "beacon": {"dataVolumePath": "/data/prysm/beacon"},
    "validators": {
        name: {
            "name": name,
            "dataVolumePath": f"/data/prysm/{name}",
            "walletVolumePath": f"/data/prysm/wallet-{name}",
            "walletPasswordSecretName": f"wallet-password-{name}",
            "feeRecipient": "0x" + "1" * 40,
        }
        for name in ("validator1", "validator2")
    },
    "chartDigest": "abc",
}


def merged(base: t.Any, over: t.Any) -> t.Any:
    """As the combine filter merges."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return copy.deepcopy(over)
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"validators": {"validator1": {"dataVolumePath": "/elsewhere"}}}, "data_dir in prysm_validators"),
        ({"validators": {"validator1": {"walletVolumePath": "/elsewhere"}}}, "wallet_dir in prysm_validators"),
        ({"validators": {"validator1": {"dataVolumePath": "/data/prysm//validator1"}}}, "dataVolumePath"),
        ({"validators": {"validator1": {"name": "validator3"}}}, "adds the client validator3"),
        ({"validators": {"ghost": {"dataVolumePath": "/g", "walletVolumePath": "/w"}}}, "adds the client ghost"),
        ({"validators": [{"name": "ghost"}]}, "takes the client validator1 out"),
        ({"validators": {"validator1": {"walletExistingClaim": "other"}}}, "walletExistingClaim"),
        ({"validators": {"validator1": {"walletPasswordSecretName": "other"}}}, "walletPasswordSecretName"),
        ({"validators": {"validator1": {"feeRecipient": "0x" + "2" * 40}}}, "fee_recipient in prysm_validators"),
        ({"validatorDefaults": {"walletVolumePath": "/data/prysm/wallet-validator1"}}, "validatorDefaults"),
        ({"standby": {"enabled": True}}, "prysm_standby, which holds where the lock is proved"),
        ({"podManagementPolicy": "Parallel"}, "set prysm_standby instead"),
        ({"validatorDefaults": {"dataExistingClaim": "one"}}, "validatorDefaults"),
        ({"persistentVolumeType": "hostPath", "hostPath": {"node": "worker"}}, "persistentVolumeType"),
        ({"nfs": {"serverIp": "172.20.10.99"}}, "nfs.serverIp"),
        ({"image": {"version": "v1.3.4"}}, "prysm_version"),
        ({"network": "mainnet"}, "prysm_network"),
        ({"beacon": {"web3Provider": "http://172.20.10.99:8551"}}, "set prysm_execution_endpoints instead"),
        ({"beacon": {"fallbackWeb3Providers": ["http://a:8545"]}}, "set prysm_execution_endpoints instead"),
        ({"additionalBeacons": [{"name": "b", "dataVolumePath": "/b"}]}, "set prysm_beacon_nodes and"),
        ({"beacon": {"jwtSecretName": "other"}}, "set prysm_jwt_secret instead"),
        ({"beacon": {"checkpointSyncUrl": "https://other.example"}}, "set prysm_checkpoint_sync_url instead"),
        ({"beacon": {"dataVolumePath": "/data/prysm/validator1"}}, "are both /data/prysm/validator1"),
        ({"beacon": {"dataVolumePath": "/data/prysm"}}, "lies in beacon.dataVolumePath"),
        ({"beacon": {"dataVolumePath": "/data/prysm/wallet-validator2/x"}}, "lies in validators.validator2"),
    ],
)
def test_what_the_checks_have_not_seen_is_refused(values: dict[str, t.Any], words: str) -> None:
    assert problems(WANTED, WANTED) == []
    found = problems(WANTED, merged(WANTED, values))
    assert found
    assert any(words in one for one in found), found


@pytest.mark.parametrize(
    "values",
    [
        {"beacon": {"extraArgs": ["--p2p-max-peers=30"], "resources": {"limits": {"memory": "9Gi"}}}},
        {"validators": {"validator1": {"graffiti": "hello", "extraArgs": ["--verbosity=debug"]}}},
        {"validatorDefaults": {"terminationGracePeriodSeconds": 30}},
        {"image": {"validatorImage": "mirror.example/prysm/validator", "pullSecrets": [{"name": "mirror"}]}},
        {"beacon": {"dataVolumePath": "/data/prysm/beacon2"}},
    ],
)
def test_what_concerns_no_key_may_be_set(values: dict[str, t.Any]) -> None:
    assert problems(WANTED, merged(WANTED, values)) == []


def test_other_storage_is_a_decision_of_its_own() -> None:
    final = merged(WANTED, {"persistentVolumeType": "storageClass"})
    assert problems(WANTED, final)
    assert problems(WANTED, final, other_storage=True) == []


NOISE = st.sampled_from(["", "/", "/./", "//"])


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4), st.lists(NOISE, min_size=5, max_size=5))
def test_a_path_is_compared_by_the_place_and_not_by_its_spelling(parts: list[str], noise: list[str]) -> None:
    plain = "/" + "/".join(parts)
    spelt = "/" + "".join(f"{dots or '/'}{part}" for dots, part in zip(noise, parts, strict=False)) + noise[4]
    assert overlapping([Place("one", plain), Place("other", spelt)])
    assert overlapping([Place("one", plain), Place("other", plain + "/below")])
    assert not overlapping([Place("one", plain), Place("other", plain + "x")])


@pytest.mark.parametrize("path", ["", "relative", "/a/../b", "/a/..", ".."])
def test_a_path_that_climbs_or_is_none_is_refused(path: str) -> None:
    assert overlapping([Place("one", path)])


# -- what Helm would install ------------------------------------------------------------------------------------------


def rendered(**changes: t.Any) -> list[dict[str, t.Any]]:
    """A client as the chart renders it, with one thing changed."""
    server, paths = changes.get("server", "172.20.10.10"), {"data": "/data/prysm/v1", "wallet": "/data/prysm/wallet-v1"}
    paths.update(changes.get("paths", {}))
    volumes = [
        {
            "kind": "PersistentVolume",
            "metadata": {"name": f"pv-{name}"},
            "spec": {
                "nfs": {"server": server, "path": path},
                "claimRef": {"namespace": "prysm", "name": f"v1-{name}"},
            },
        }
        for name, path in paths.items()
    ]
    claims = [
        {"kind": "PersistentVolumeClaim", "metadata": {"name": f"v1-{name}"}, "spec": {"volumeName": f"pv-{name}"}}
        for name in paths
    ]
    container = {
        "name": "validator",
        "image": "gcr.io/offchainlabs/prysm/validator:v7.1.6",
        "args": ["--datadir=/data/prysm/validator", "--wallet-dir=/data/prysm/wallet", *changes.get("args", [])],
        "volumeMounts": [
            {"name": "data", "mountPath": "/data/prysm/validator"},
            {"name": "wallet", "mountPath": "/data/prysm/wallet"},
        ],
    }
    workload = {
        "kind": changes.get("kind", "StatefulSet"),
        "metadata": {"name": changes.get("name", "v1")},
        "spec": {
            "template": {
                "spec": {
                    "containers": [container, *changes.get("more", [])],
                    "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": f"v1-{name}"}} for name in paths],
                }
            }
        },
    }
    return [*volumes, *claims, workload]


OWN = [{"name": "v1", "data_dir": "/data/prysm/v1", "wallet_dir": "/data/prysm/wallet-v1"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "ghost"},
        {"kind": "Deployment"},
        {"server": "172.20.10.99"},
        {"paths": {"wallet": "/data/prysm/wallet-v2"}},
        {"paths": {"data": "/data/prysm/v2"}},
        {"args": ["--wallet-dir=/elsewhere"]},
        {"more": [{"name": "vc", "image": "sigp/lighthouse:v5.3.0", "args": ["lighthouse", "vc"]}]},
    ],
)
def test_a_signer_that_the_inventory_does_not_have_is_seen_in_the_manifests(changes: dict[str, t.Any]) -> None:
    assert undeclared_signers(rendered(), OWN, "172.20.10.10", "prysm") == []
    assert undeclared_signers(rendered(**changes), OWN, "172.20.10.10", "prysm")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"persistentVolumeType": "nfs", "validators": {"a": {"walletExistingClaim": "x"}}}, {}),
        ({"persistentVolumeType": "hostPath"}, {"a": {"wallet": "a-wallet", "data": "a-data"}}),
        (
            {"persistentVolumeType": "storageClass", "validators": {"a": {"walletExistingClaim": "w"}}},
            {"a": {"wallet": "w", "data": "a-data"}},
        ),
        (
            {
                "persistentVolumeType": "existingClaim",
                "validators": [{"name": "a", "walletExistingClaim": "w", "dataExistingClaim": "d"}],
            },
            {"a": {"wallet": "w", "data": "d"}},
        ),
    ],
)
def test_the_claims_of_each_client_follow_from_the_values(values: dict[str, t.Any], expected: t.Any) -> None:
    assert claims(values, ["a"]) == expected


def test_an_entry_becomes_the_values_that_sites_have_had_since_the_first_version() -> None:
    entry = {"name": "validator1", "keystores": ["/k"], "wallet_password": "secret", "slashing_protection": ["/h"]}
    assert of_entries([entry], "/data/prysm") == {
        "validator1": {
            "name": "validator1",
            "dataVolumePath": "/data/prysm/validator1",
            "walletVolumePath": "/data/prysm/wallet-validator1",
            "walletPasswordSecretName": "wallet-password-validator1",
            "feeRecipient": "",
            "graffiti": "",
            "dataIdentity": "",
        }
    }
    given = {"fee_recipient": "0x" + "1" * 40, "graffiti": "hi", "builder": True, "data_dir": "/other"}
    found = of_entries([{**entry, **given}], "/data/prysm", {"validator1": "uuid"})["validator1"]
    assert (found["feeRecipient"], found["graffiti"], found["builder"]) == ("0x" + "1" * 40, "hi", True)
    assert (found["dataVolumePath"], found["dataIdentity"]) == ("/other", "uuid")


def test_no_option_about_keys_reaches_the_values_and_every_other_one_does() -> None:
    spec = yaml.safe_load((ROOT / "roles/prysm_helm/meta/argument_specs.yml").read_text())
    options = spec["argument_specs"]["main"]["options"]["prysm_helm_validators"]["options"]
    schema = json.loads((ROOT / "roles/prysm_helm/files/eth2prysm/values.schema.json").read_text())
    (found,) = of_entries([dict.fromkeys(options, "x")], "/data").values()
    assert set(found) <= set(schema["definitions"]["validator"]["properties"])
    assert not any("password" in name.lower() or "key" in name.lower() for name in found if "Secret" not in name)


def test_the_secrets_are_those_that_the_values_name() -> None:
    names = ["validator1", "validator2", "validator3"]
    found = secrets(names, {"validator3": " b \r\n\n", "validator1": "a\nb"})
    assert found == {
        "wallet-password-validator1": {"password": "a\nb"},
        "wallet-password-validator3": {"password": " b "},
    }
    values = of_entries([{"name": name} for name in names], "/data")
    assert set(found) < {value["walletPasswordSecretName"] for value in values.values()}
    assert secrets([], {"validator1": "a"}, "5f5f") == {"jwt-secret": {"jwt.hex": "5f5f"}}
