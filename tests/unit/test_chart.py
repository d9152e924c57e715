"""What the Helm chart renders, and what it refuses and why."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).parents[2] / "roles/prysm_helm/files/eth2prysm"
TABLE = yaml.safe_load((CHART / "files/versions.yaml").read_text(encoding="utf-8"))
FEE = "0x1111111111111111111111111111111111111111"


def find_helm() -> str | None:
    """HELM_BINARY, the PATH, or one that the rehearsal built."""
    named = os.environ.get("HELM_BINARY")
    if named:
        return named
    cache = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "eth2xk8s-lab"
    built = sorted(path for path in cache.glob("**/helm") if path.is_file() and os.access(path, os.X_OK))
    return shutil.which("helm") or (str(built[0]) if built else None)


HELM = find_helm()
needs_helm = pytest.mark.skipif(HELM is None, reason="no helm: set HELM_BINARY, or put helm on the PATH")


def client(name: str, **more: t.Any) -> dict[str, t.Any]:
    return {
        "dataVolumePath": f"/data/prysm/{name}",
        "walletVolumePath": f"/data/prysm/wallet-{name}",
        "walletPasswordSecretName": f"wallet-password-{name}",
        "graffiti": "eth2 x k8s",
        "feeRecipient": FEE,
        **more,
    }


BASE: dict[str, t.Any] = {
    "network": "hoodi",
    "nfs": {"serverIp": "172.20.10.10"},
    "beacon": {"web3Provider": "http://172.20.10.20:8551", "jwtSecretName": "jwt-secret"},
    "validators": {"validator1": client("validator1"), "validator2": client("validator2")},
}
CUSTOM = {"network": "custom", "customNetwork": {"chainConfig": {"SECONDS_PER_SLOT": 2}}}


def merge(base: dict[str, t.Any], more: dict[str, t.Any]) -> dict[str, t.Any]:
    """Helm's own way to merge: maps deeply, everything else replaced."""
    result = copy.deepcopy(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return result


def helm(values: dict[str, t.Any], *args: str) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    return subprocess.run(
        [HELM, "template", "eth2prysm", str(CHART), "--namespace", "prysm", "--values", "-", *args],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )


def render(more: dict[str, t.Any] | None = None, *args: str) -> dict[tuple[str, str], dict[str, t.Any]]:
    """The objects of a rendered chart, by kind and name."""
    done = helm(merge(BASE, more or {}), *args)
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def refusal(more: dict[str, t.Any]) -> str:
    done = helm(merge(BASE, more))
    assert done.returncode != 0, "it was not refused"
    return done.stderr


def pod(objects: dict[tuple[str, str], dict[str, t.Any]], name: str) -> dict[str, t.Any]:
    return objects["StatefulSet", name]["spec"]["template"]["spec"]


def args(objects: dict[tuple[str, str], dict[str, t.Any]], name: str) -> list[str]:
    return pod(objects, name)["containers"][0]["args"]


@needs_helm
def test_each_workload_is_one_pod_that_moves_only_when_told() -> None:
    objects = render()
    for name in ("beacon", "validator1", "validator2"):
        spec = objects["StatefulSet", name]["spec"]
        assert spec["replicas"] == 1
        assert spec["updateStrategy"] == {"type": "OnDelete"}
        assert spec["template"]["metadata"]["labels"]["app"] == name


@needs_helm
def test_no_container_has_more_rights_than_it_needs() -> None:
    objects = render()
    for name in ("beacon", "validator1"):
        spec = pod(objects, name)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, 1001, 2000)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["initContainers"] + spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    assert not any(kind in ("ClusterRole", "ClusterRoleBinding", "Role", "Secret") for kind, _ in objects)


@needs_helm
def test_the_apis_of_the_beacon_are_not_reachable_from_outside() -> None:
    objects = render()
    service = objects["Service", "beacon-service"]["spec"]
    assert service["type"] == "ClusterIP"
    assert [port["port"] for port in service["ports"]] == [4000, 3500]
    host_ports = {p["containerPort"] for p in pod(objects, "beacon")["containers"][0]["ports"] if "hostPort" in p}
    assert host_ports == {12000, 13000}
    rules = objects["NetworkPolicy", "eth2prysm-beacon"]["spec"]["ingress"]
    open_to_all = {port["port"] for rule in rules if "from" not in rule for port in rule["ports"]}
    assert open_to_all == {13000, 12000, 8080}


@needs_helm
def test_a_validator_may_talk_to_names_and_the_beacon_only() -> None:
    policy = render()["NetworkPolicy", "eth2prysm-validators"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    everywhere = [port["port"] for rule in policy["egress"] if "to" not in rule for port in rule["ports"]]
    assert everywhere == [53, 53]


@needs_helm
def test_nfs_volumes_keep_the_lock_with_the_server_and_outlive_the_release() -> None:
    objects = render()
    volume = objects["PersistentVolume", "prysm-eth2prysm-validator1-data"]["spec"]
    assert volume["nfs"] == {"server": "172.20.10.10", "path": "/data/prysm/validator1"}
    assert volume["persistentVolumeReclaimPolicy"] == "Retain"
    assert {"nfsvers=4.2", "hard", "timeo=50"} <= set(volume["mountOptions"])
    assert volume["claimRef"]["name"] == "validator1-data"
    claim = objects["PersistentVolumeClaim", "validator1-data"]["spec"]
    assert (claim["storageClassName"], claim["volumeName"]) == ("", "prysm-eth2prysm-validator1-data")


@needs_helm
def test_claims_of_a_storage_class_outlive_the_release() -> None:
    objects = render(
        {
            "persistentVolumeType": "storageClass",
            "validators": {"validator1": {"walletExistingClaim": "w1"}, "validator2": {"walletExistingClaim": "w2"}},
        }
    )
    claim = objects["PersistentVolumeClaim", "validator1-data"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    # On such volumes a group would be written into the wallet's mode, which Prysm checks.
    assert "fsGroup" not in pod(objects, "validator1")["securityContext"]


@needs_helm
def test_passwords_come_from_secrets_named_in_the_values() -> None:
    objects = render()
    volumes = {volume["name"]: volume for volume in pod(objects, "validator1")["volumes"]}
    assert volumes["wallet-password"]["secret"]["secretName"] == "wallet-password-validator1"
    assert "--wallet-password-file=/run/prysm/wallet-password/wallet_pass.txt" in args(objects, "validator1")
    mounts = {mount["name"]: mount for mount in pod(objects, "validator1")["containers"][0]["volumeMounts"]}
    assert mounts["wallet"]["readOnly"] is True


@needs_helm
def test_no_command_is_set_because_its_path_differs_by_version() -> None:
    objects = render()
    for name in ("beacon", "validator1"):
        assert "command" not in pod(objects, name)["containers"][0]


@needs_helm
def test_graffiti_reaches_prysm_as_it_was_written() -> None:
    objects = render({"validators": {"validator1": {"graffiti": 'it\'s "5" $(HOME)'}}})
    assert '--graffiti=it\'s "5" $$(HOME)' in args(objects, "validator1")


@needs_helm
@pytest.mark.parametrize(
    ("version", "repository"),
    [
        pytest.param("v1.3.4", "gcr.io/prysmaticlabs/prysm", id="old"),
        pytest.param("v6.0.0", "gcr.io/prysmaticlabs/prysm", id="last-of-the-old-place"),
        pytest.param("v6.0.1", "gcr.io/offchainlabs/prysm", id="first-of-the-new-place"),
        pytest.param("v7.1.6", "gcr.io/offchainlabs/prysm", id="new"),
    ],
)
def test_images_come_from_where_the_version_was_published(version: str, repository: str) -> None:
    objects = render({"image": {"version": version}, **CUSTOM})
    assert pod(objects, "beacon")["containers"][0]["image"] == f"{repository}/beacon-chain:{version}"
    assert pod(objects, "validator1")["containers"][0]["image"] == f"{repository}/validator:{version}"


# What each era of Prysm understands; an unknown flag makes it exit with success, doing nothing.
ERAS = [
    pytest.param("v1.2.2", {"--http-web3provider"}, {"--execution-endpoint", "--jwt-secret"}, id="v1.2.2"),
    pytest.param("v1.3.4", {"--http-web3provider"}, {"--execution-endpoint", "--jwt-secret"}, id="v1.3.4"),
    pytest.param("v2.1.4", {"--http-web3provider", "--jwt-secret"}, {"--execution-endpoint"}, id="v2.1.4"),
    pytest.param("v3.0.0", {"--execution-endpoint", "--jwt-secret"}, {"--http-web3provider"}, id="v3.0.0"),
    pytest.param("v5.0.4", {"--execution-endpoint", "--p2p-quic-port"}, {"--http-web3provider"}, id="v5.0.4"),
    pytest.param("v7.1.6", {"--execution-endpoint", "--p2p-quic-port"}, {"--http-web3provider"}, id="v7.1.6"),
]


@needs_helm
@pytest.mark.parametrize(("version", "wanted", "unwanted"), ERAS)
def test_the_beacon_gets_the_flags_of_its_version(version: str, wanted: set[str], unwanted: set[str]) -> None:
    given = {arg.partition("=")[0] for arg in args(render({"image": {"version": version}, **CUSTOM}), "beacon")}
    assert wanted <= given
    assert not unwanted & given


@needs_helm
@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        pytest.param("v1.3.4", set(), id="v1.3.4"),
        pytest.param("v1.4.1", {"--enable-doppelganger"}, id="v1.4.1"),
        pytest.param("v2.1.0", {"--enable-doppelganger", "--suggested-fee-recipient"}, id="v2.1.0"),
        pytest.param("v7.1.6", {"--enable-doppelganger", "--suggested-fee-recipient"}, id="v7.1.6"),
    ],
)
def test_a_validator_gets_the_flags_of_its_version(version: str, wanted: set[str]) -> None:
    given = {arg.partition("=")[0] for arg in args(render({"image": {"version": version}, **CUSTOM}), "validator1")}
    assert given & {"--enable-doppelganger", "--suggested-fee-recipient"} == wanted


@needs_helm
def test_every_argument_is_known_to_the_version() -> None:
    """Against the flag intervals of Prysm's own history, where they are at hand."""
    facts = os.environ.get("PRYSM_FLAGS")
    if not facts:
        pytest.skip("PRYSM_FLAGS does not name a table of Prysm's flags")
    known: dict[str, dict[str, str]] = {}
    for line in Path(facts).read_text(encoding="utf-8").splitlines():
        if line.startswith("====="):
            section = known.setdefault(line.split()[1], {})
        elif " | " in line:
            name, interval = line.split(" | ")[:2]
            section[name] = interval

    def number(tag: str) -> tuple[int, ...]:
        return tuple(int(part) for part in tag.lstrip("v").split("-")[0].split("."))

    for version in ("v1.2.2", "v1.3.3", "v1.3.4", "v2.0.0", "v2.1.4", "v3.2.2", "v4.2.1", "v5.3.3", "v6.1.4", "v7.1.6"):
        objects = render({"image": {"version": version}, **CUSTOM})
        for workload, program in (("beacon", "beacon-chain"), ("validator1", "validator")):
            for arg in args(objects, workload):
                flag = arg.partition("=")[0][2:]
                # Old names of these are aliases to this day.
                if flag in ("grpc-gateway-host", "grpc-gateway-port"):
                    continue
                spans = [span.strip().split("..") for span in known[program][flag].split(";")]
                assert any(
                    number(first) <= number(version) and (last == "NEW" or number(version) <= number(last))
                    for first, last in spans
                ), f"{program} {version} does not know --{flag}"


@needs_helm
def test_a_private_chain_is_configured_for_both_programs() -> None:
    config = {"CONFIG_NAME": "private", "ALTAIR_FORK_EPOCH": 10000000, "GENESIS_FORK_VERSION": "0x20000089"}
    objects = render({"network": "custom", "customNetwork": {"chainConfig": config}})
    text = objects["ConfigMap", "eth2prysm-chain-config"]["data"]["chain.yaml"]
    assert text.splitlines() == [
        "ALTAIR_FORK_EPOCH: 10000000",
        "CONFIG_NAME: private",
        "GENESIS_FORK_VERSION: 0x20000089",
    ]
    for name in ("beacon", "validator1"):
        assert "--chain-config-file=/config/chain.yaml" in args(objects, name)
        assert "--custom" not in args(objects, name)


@needs_helm
def test_understands_the_values_of_the_tutorial() -> None:
    tutorial = {
        "namespace": "prysm",
        "ethereumTestnet": "pyrmont",
        "persistentVolumeType": "nfs",
        "nfs": {"serverIp": "172.20.10.10", "user": 1001, "group": 2000},
        "image": {
            "beaconImage": "gcr.io/prysmaticlabs/prysm/beacon-chain",
            "validatorImage": "gcr.io/prysmaticlabs/prysm/validator",
            "version": "v1.3.4",
        },
        "beacon": {
            "name": "beacon",
            "dataVolumePath": "/data/prysm/beacon",
            "p2pUdpPort": 12000,
            "p2pTcpPort": 13000,
            "web3Provider": "http://127.0.0.1:8545",
            "fallbackWeb3Providers": ["http://127.0.0.1:8546", "http://127.0.0.1:8547"],
        },
        "validatorStartWaitTime": 780,
        "validators": {
            "validator1": {
                "name": "validator1",
                "dataVolumePath": "/data/prysm/validator-1",
                "walletVolumePath": "/data/prysm/wallet-1",
                "walletPasswordSecretName": "wallet-password-1",
                "graffiti": "eth2 x k8s",
            }
        },
    }
    done = helm(tutorial)
    assert done.returncode == 0, done.stderr
    objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(done.stdout) if o}
    given = args(objects, "beacon")
    assert "--pyrmont" in given
    assert given.count("--fallback-web3provider=http://127.0.0.1:8546") == 1
    assert pod(objects, "validator1")["initContainers"][0]["args"][3] == "780"


@needs_helm
def test_validators_may_be_a_list() -> None:
    values = {**BASE, "validators": [{"name": name, **client(name)} for name in ("a", "b")]}
    done = helm(values)
    assert done.returncode == 0, done.stderr
    assert {o["metadata"]["name"] for o in yaml.safe_load_all(done.stdout) if o and o["kind"] == "StatefulSet"} == {
        "beacon",
        "a",
        "b",
    }


REFUSALS = [
    pytest.param({"validators": {"validator1": {"walletPassword": "x"}}}, "walletPasswordSecretName", id="password"),
    pytest.param(
        {"validators": {"validator2": {"walletVolumePath": "/data/prysm/wallet-validator1"}}},
        "two signers for one key",
        id="one-wallet-twice",
    ),
    pytest.param(
        {"validators": {"validator2": {"dataVolumePath": "/data/prysm/validator1"}}},
        "two signers for one key",
        id="one-database-twice",
    ),
    pytest.param({"network": ""}, "mainnet is always typed", id="no-network"),
    pytest.param({"network": "goerli"}, "goerli is not one of", id="unknown-network"),
    pytest.param({"network": "pyrmont"}, "has no --pyrmont", id="flag-gone"),
    pytest.param(
        {"network": "pyrmont", "image": {"version": "v2.1.2"}}, "would follow mainnet", id="flag-that-means-mainnet"
    ),
    pytest.param({"image": {"version": "v5.3.1"}}, "has no --hoodi", id="flag-not-yet"),
    pytest.param({"image": {"version": "v1.0.0"}, "network": "mainnet"}, "older than v1.2.2", id="too-old"),
    pytest.param({"network": "custom"}, "Prysm would follow mainnet", id="custom-without-config"),
    pytest.param({"validators": {"validator1": {"feeRecipient": ""}}}, "burn the block rewards", id="no-fee-recipient"),
    pytest.param({"validators": {"validator1": {"feeRecipient": "0x" + "0" * 40}}}, "burn address", id="burn-address"),
    pytest.param({"validators": {"validator1": {"graffiti": "ü" * 17}}}, "34 bytes long", id="graffiti-too-long"),
    pytest.param({"nfs": {"mountOptions": ["nfsvers=4.2"]}}, "must contain hard", id="not-hard"),
    pytest.param({"nfs": {"mountOptions": ["hard"]}}, "nfsvers=4.1", id="no-nfs-version"),
    pytest.param({"nfs": {"mountOptions": ["hard", "nfsvers=4.2", "nolock"]}}, "mountOptions", id="nolock"),
    pytest.param({"nfs": {"mountOptions": ["hard", "nfsvers=4.2", "local_lock=all"]}}, "mountOptions", id="local-lock"),
    pytest.param({"nfs": {"mountOptions": ["hard", "nfsvers=3"]}}, "mountOptions", id="nfs3"),
    pytest.param({"persistentVolumeType": "hostPath"}, "without their history", id="host-path-anywhere"),
    pytest.param({"namespace": "other"}, "helm --namespace other", id="namespace"),
    pytest.param({"beacon": {"extraArgs": ["--clear-db"]}}, "deletes", id="clear-db"),
    pytest.param(
        {"validators": {"validator1": {"extraArgs": ["--force-clear-db=true"]}}}, "without asking", id="force-clear-db"
    ),
    pytest.param({"validatorDefaults": {"extraArgs": ["--datadir=/tmp"]}}, "--datadir is refused", id="datadir"),
    pytest.param({"validatorDefaults": {"extraArgs": ["-force-clear-db"]}}, "extraArgs", id="one-dash"),
    pytest.param({"validatorDefaults": {"extraArgs": ["--web", "true"]}}, "extraArgs", id="stray-argument"),
    pytest.param({"beacon": {"fallbackWeb3Providers": ["http://a:1"]}}, "one execution client only", id="fallback"),
    pytest.param({"validators": {"beacon": client("x")}}, "has the beacon's name", id="name-of-the-beacon"),
    pytest.param({"valdators": {}}, "valdators", id="misspelt"),
    pytest.param({"beacon": {"replicas": 2}}, "replicas", id="replicas"),
    pytest.param({"validators": {"validator1": {"replicas": 2}}}, "replicas", id="validator-replicas"),
    pytest.param({"image": {"version": "latest"}}, "version", id="latest"),
]


@needs_helm
@pytest.mark.parametrize(("values", "reason"), REFUSALS)
def test_refuses_with_the_reason(values: dict[str, t.Any], reason: str) -> None:
    assert reason in refusal(values)


@needs_helm
def test_a_refused_password_is_not_repeated() -> None:
    assert "hunter2" not in refusal({"validators": {"validator1": {"walletPassword": "hunter2"}}})


@needs_helm
@pytest.mark.parametrize("flag", sorted(TABLE["refusedArgs"]))
def test_refuses_every_dangerous_argument(flag: str) -> None:
    assert f"--{flag} is refused" in refusal({"validatorDefaults": {"extraArgs": [f"--{flag}"]}})


@needs_helm
def test_lint_finds_nothing() -> None:
    assert HELM is not None
    done = subprocess.run(
        [HELM, "lint", "--strict", str(CHART), "--values", "-"],
        input=json.dumps(BASE),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    def check(spec: dict[str, t.Any], value: t.Any, path: str) -> None:
        if not isinstance(value, dict) or "properties" not in spec:
            return
        assert spec["additionalProperties"] is False, f"{path} takes anything"
        assert set(value) <= set(spec["properties"]), path
        for key, inner in value.items():
            check(spec["properties"][key], inner, f"{path}.{key}")

    check(schema, values, "values")
