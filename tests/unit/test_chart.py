"""What the Helm chart renders, and what it refuses and why."""

from __future__ import annotations

import copy
import datetime
import functools
import json
import os
import random
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_manifest_problems import prysm_manifest_problems

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
#: A start of Helm takes a tenth of a second, and these tests have hundreds: `make check` tries a few of the cases,
#: others each day, and `make test` all of them.
EVERY = pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["few", "all"])
needs_helm = pytest.mark.skipif(HELM is None, reason="no helm: set HELM_BINARY, or put helm on the PATH")


def some(cases: t.Iterable[t.Any], whole: bool, count: int, *salt: str) -> list[t.Any]:
    """Every case, or a few; salt are the parameters of the test, so that each of its runs has others."""
    every = list(cases)
    today = random.Random(" ".join([datetime.date.today().isoformat(), *salt]))
    return every if whole else today.sample(every, min(count, len(every)))


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


@functools.cache
def _helm(values: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Asked once for the same values, and without collecting garbage: a process that ends at once needs none."""
    assert HELM is not None
    return subprocess.run(
        [HELM, "template", "eth2prysm", str(CHART), "--namespace", "prysm", "--values", "-", *args],
        input=values,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOGC": "off"},
    )


def helm(values: dict[str, t.Any], *args: str) -> subprocess.CompletedProcess[str]:
    return _helm(json.dumps(values), *args)


def render(more: dict[str, t.Any] | None = None, *args: str) -> dict[tuple[str, str], dict[str, t.Any]]:
    """The objects of a rendered chart, by kind and name."""
    done = helm(merge(BASE, more or {}), *args)
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.load_all(done.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if one]
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


def arguments(objects: dict[tuple[str, str], dict[str, t.Any]], name: str) -> tuple[list[str], str, list[str]]:
    """The guard's own arguments, the program that it becomes, and that one's arguments."""
    container = pod(objects, name)["containers"][0]
    assert container["command"] == ["/guard-bin/busybox", "sh", "/guard/guard.sh"]
    split = container["args"].index("--")
    return container["args"][:split], container["args"][split + 1], container["args"][split + 2 :]


@needs_helm
@pytest.mark.parametrize(
    ("version", "beacon", "validator"),
    [
        pytest.param("v1.2.2", "/app/beacon-chain/beacon-chain", "/app/validator/validator", id="v1.2.2"),
        pytest.param("v1.3.2", "/app/beacon-chain/beacon-chain", "/app/validator/validator", id="v1.3.2"),
        pytest.param("v1.3.3", "/app/cmd/beacon-chain/beacon-chain", "/app/cmd/validator/validator", id="v1.3.3"),
        pytest.param("v4.1.1", "/app/cmd/beacon-chain/beacon-chain", "/app/cmd/validator/validator", id="v4.1.1"),
        pytest.param("v4.1.1-hotfix", "/app/cmd/beacon-chain/beacon-chain", "/app/cmd/validator/validator", id="fix"),
        pytest.param("v4.2.0", "/beacon-chain", "/validator", id="v4.2.0"),
        pytest.param("v7.1.6", "/beacon-chain", "/validator", id="v7.1.6"),
    ],
)
def test_the_guard_becomes_the_program_of_the_version(version: str, beacon: str, validator: str) -> None:
    objects = render({"image": {"version": version}, **CUSTOM})
    guard, program, rest = arguments(objects, "beacon")
    assert (guard, program) == (["beacon", "/data/prysm/beacon", "nfs", "0"], beacon)
    assert "--datadir=/data/prysm/beacon" in rest
    guard, program, rest = arguments(objects, "validator1")
    assert guard == ["validator", "/data/prysm/validator", "nfs", "0", "/data/prysm/wallet"]
    assert program == validator
    assert "--datadir=/data/prysm/validator" in rest


@needs_helm
@pytest.mark.parametrize("kind", ["nfs", "hostPath", "storageClass", "existingClaim"])
def test_every_version_of_the_table_has_one_program_on_every_storage(kind: str) -> None:
    claims = {"dataExistingClaim": "d", "walletExistingClaim": "w"} if kind == "existingClaim" else {}
    wallet = {"walletExistingClaim": "w"} if kind == "storageClass" else claims
    for version in ("v1.3.0", "v2.1.4", "v4.0.3-hotfix", "v7.0.0-rc.1", "v9.0.0"):
        objects = render(
            {
                "image": {"version": version, "untestedVersion": version},
                "persistentVolumeType": kind,
                "hostPath": {"node": "worker"},
                "beacon": {"dataExistingClaim": "b" if kind == "existingClaim" else ""},
                "validators": {"validator1": wallet, "validator2": {f: f"{c}2" for f, c in wallet.items()}},
                **CUSTOM,
            }
        )
        for name in ("beacon", "validator1", "validator2"):
            guard, program, _ = arguments(objects, name)
            assert program.startswith("/") and "\n" not in program
            assert guard[2] == ("nfs" if kind == "nfs" else "other")


@needs_helm
def test_both_guards_know_the_same_and_the_second_runs_without_the_first_ones_image() -> None:
    identity = "0c5f6e0e-7d0f-4a0e-9d64-1d6f0a1f7a10"
    objects = render({"validators": {"validator1": {"dataIdentity": identity}}})
    for name in ("validator1", "beacon"):
        spec = pod(objects, name)
        (first,), (second,) = spec["initContainers"], spec["containers"]
        known = [{e["name"]: e["value"] for e in one["env"]} for one in (first, second)]
        assert known[0].pop("GUARD_INSTALL") == "/guard-bin"
        assert (known[1].pop("HOME"), known[1].pop("PATH")) == ("/tmp", "/guard-bin")
        assert {key: value for key, value in known[0].items() if key != "GUARD_HOSTS"} == known[1]
        if name == "validator1":
            assert known[0].pop("GUARD_HOSTS") == "beacon-service"
            assert known[0] == {"GUARD_VERSION": "v7.1.6", "GUARD_LAYOUT": "2", "GUARD_IDENTITY": identity}
        mounts = [{m["name"]: m for m in one["volumeMounts"]} for one in (first, second)]
        assert "readOnly" not in mounts[0]["guard-bin"] and mounts[1]["guard-bin"]["readOnly"] is True
        assert mounts[1]["guard"]["readOnly"] is True
        assert {"name": "guard-bin", "emptyDir": {}} in spec["volumes"]


@needs_helm
@pytest.mark.parametrize(
    ("version", "layout"),
    [("v1.2.2", "1"), ("v1.3.0", "2"), ("v2.1.4", "2"), ("v7.1.6", "2"), ("v4.1.1-hotfix", "2")],
)
def test_the_guard_knows_the_layout_of_the_version(version: str, layout: str) -> None:
    env = pod(render({"image": {"version": version}, **CUSTOM}), "validator1")["containers"][0]["env"]
    assert {"name": "GUARD_LAYOUT", "value": layout} in env
    assert {"name": "GUARD_VERSION", "value": version.partition("-")[0]} in env


@needs_helm
def test_a_pod_that_waits_for_the_lock_is_neither_killed_nor_ready() -> None:
    for name in ("beacon", "validator1"):
        container = pod(render(), name)["containers"][0]
        probe = container["startupProbe"]
        # Liveness begins when startup has succeeded, which the guard's wait must not end.
        assert probe["periodSeconds"] * probe["failureThreshold"] > 10 * 365 * 86400
        assert probe["tcpSocket"] == {"port": "metrics"}
        assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"


@needs_helm
def test_a_client_starts_anew_when_its_beacon_node_is_silent() -> None:
    objects = render()
    beacon, client = (pod(objects, name)["containers"][0] for name in ("beacon", "validator1"))
    assert "tcpSocket" in beacon["livenessProbe"]
    probe = client["livenessProbe"]
    assert probe["exec"]["command"] == ["/guard-bin/busybox", "sh", "/guard/connections.sh"]
    # A node is lost after 40 s; what restarts sooner may find the same dead address again.
    assert 20 <= probe["periodSeconds"] * probe["failureThreshold"] <= 40
    assert "connections.sh" in objects["ConfigMap", "eth2prysm-guard"]["data"]


@needs_helm
def test_no_log_is_written_beside_the_database() -> None:
    for version, without in (("v7.1.2", False), ("v7.1.3", True), ("v7.3.1", True)):
        objects = render({"image": {"version": version}, **CUSTOM})
        for name in ("beacon", "validator1"):
            assert ("--disable-ephemeral-log-file" in args(objects, name)) is without
    local = render({"persistentVolumeType": "hostPath", "hostPath": {"node": "worker"}, "image": {"version": "v7.3.1"}})
    assert "--disable-ephemeral-log-file" not in args(local, "beacon"), "a disk of the node's own takes it"


@needs_helm
@pytest.mark.parametrize(("version", "there"), [("v2.1.3", False), ("v2.1.4", True), ("v7.1.6", True)])
def test_builders_are_used_where_an_entry_says_so_and_prysm_can(version: str, there: bool) -> None:
    for wanted in (True, False):
        objects = render({"image": {"version": version}, "validators": {"validator1": {"builder": wanted}}, **CUSTOM})
        assert ("--enable-builder" in args(objects, "validator1")) is (wanted and there)


@needs_helm
def test_graffiti_reaches_prysm_as_it_was_written() -> None:
    # Kubernetes makes $ of $$ and the value of a variable of $(NAME).
    for graffiti, escaped in (('it\'s "5" $(HOME)', 'it\'s "5" $$(HOME)'), ("$$(HOME) $1", "$$$$(HOME) $$1")):
        objects = render({"validators": {"validator1": {"graffiti": graffiti}}})
        assert f"--graffiti={escaped}" in args(objects, "validator1")


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

    for version in (
        "v1.2.2",
        "v1.3.3",
        "v1.3.4",
        "v2.0.0",
        "v2.1.4",
        "v3.2.2",
        "v4.2.1",
        "v5.1.0",
        "v5.1.1",
        "v5.3.3",
        "v7.1.6",
    ):
        objects = render({"image": {"version": version}, **CUSTOM})
        for workload, program in (("beacon", "beacon-chain"), ("validator1", "validator")):
            for arg in arguments(objects, workload)[2]:
                flag = arg.partition("=")[0][2:]
                spans = [span.strip().split("..") for span in known[program][flag].split(";")]
                assert any(
                    number(first) <= number(version) and (last == "NEW" or number(version) <= number(last))
                    for first, last in spans
                ), f"{program} {version} does not know --{flag}"


@needs_helm
@pytest.mark.parametrize("version", ["v7.3.2", "v8.0.0", "v7.1.9", "v1.4.0", "v7.3.1-rc.1"])
def test_a_release_that_was_not_checked_is_refused_unless_it_is_named(version: str) -> None:
    assert "set image.untestedVersion to " + version in refusal({"image": {"version": version}, **CUSTOM})
    refusal({"image": {"version": version, "untestedVersion": "v7.3.1"}, **CUSTOM})
    render({"image": {"version": version, "untestedVersion": version}, **CUSTOM})


def images(objects: dict[tuple[str, str], dict[str, t.Any]], name: str) -> list[str]:
    spec = pod(objects, name)
    return [one["image"] for one in spec["initContainers"] + spec["containers"]]


@needs_helm
def test_a_mirror_and_a_digest_are_obeyed_everywhere() -> None:
    digests = {"beacon": f"sha256:{'a' * 64}", "validator": f"sha256:{'b' * 64}"}
    objects = render(
        {
            "image": {
                "version": "v7.1.6",
                "beaconImage": "mirror.example:5000/prysm/beacon",
                "validatorImage": "mirror.example:5000/prysm/validator",
                "beaconDigest": digests["beacon"],
                "validatorDigest": digests["validator"],
            },
            "guard": {"image": "mirror.example:5000/busybox:1.37.0-musl"},
        }
    )
    for name, kind in (("beacon", "beacon"), ("validator1", "validator"), ("validator2", "validator")):
        assert images(objects, name) == [
            "mirror.example:5000/busybox:1.37.0-musl",
            f"mirror.example:5000/prysm/{kind}:v7.1.6@{digests[kind]}",
        ]


@needs_helm
@pytest.mark.parametrize("digest", ["sha256:abc", "a" * 64, f"md5:{'a' * 64}", f"sha256:{'A' * 64}"])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    assert "beaconDigest" in refusal({"image": {"beaconDigest": digest}})


@needs_helm
@pytest.mark.parametrize(
    ("more", "beacon", "validator"),
    [
        pytest.param({"image": {"version": "v7.1.6"}}, 180, 120, id="as-ever"),
        pytest.param({"validatorDefaults": {"terminationGracePeriodSeconds": 10}}, 180, 30, id="never-too-short"),
        pytest.param(
            {"image": {"version": "v7.3.1"}, "validatorDefaults": {"terminationGracePeriodSeconds": 10}},
            180, 45, id="duty-aware",
        ),
        pytest.param({"beacon": {"extraArgs": ["--postpone-shutdown-for-proposals"]}}, 840, 120, id="two-epochs"),
        pytest.param(
            {"beacon": {"extraArgs": ["--postpone-shutdown-for-proposals=false"]}}, 180, 120, id="switched-off"
        ),
        pytest.param({"emergency": {"beacon": ["--postpone-shutdown-for-proposals"]}}, 840, 120, id="in-an-emergency"),
    ],
)  # fmt: skip
def test_a_pod_is_given_the_time_that_its_version_may_take_to_end(
    more: dict[str, t.Any], beacon: int, validator: int
) -> None:
    objects = render(more)
    found = {name: pod(objects, name)["terminationGracePeriodSeconds"] for name in ("beacon", "validator1")}
    assert found == {"beacon": beacon, "validator1": validator}


@needs_helm
def test_an_emergency_reaches_every_program_of_its_kind_and_no_other() -> None:
    before, objects = render(), render({"emergency": {"beacon": ["--blacklist-roots=0xaa"], "validator": ["--novel"]}})
    assert arguments(objects, "beacon")[2] == [*arguments(before, "beacon")[2], "--blacklist-roots=0xaa"]
    for name in ("validator1", "validator2"):
        assert arguments(objects, name)[2] == [*arguments(before, name)[2], "--novel"]


@needs_helm
@pytest.mark.parametrize(
    ("program", "argument", "reason"),
    [
        ("beacon", "--datadir=/x", "--datadir is refused"),
        ("validator", "--interop-num-validators=4", "--interop-num-validators is refused"),
        ("validator", "--other-wallet=/x", "touches keys"),
        ("validator", "--clear-db-now", "touches history"),
        ("beacon", "--hoodi", "use network"),
        ("beacon", "--a --b", "is not understood"),
        ("beacon", "novel", "is not understood"),
        ("beacon", "--novel=$(HOME)", "Kubernetes would expand"),
    ],
)
def test_an_emergency_is_no_way_around_what_is_refused(program: str, argument: str, reason: str) -> None:
    assert reason in refusal({"emergency": {program: [argument]}})


@needs_helm
def test_the_names_of_dangerous_arguments_are_refused_by_both_readers_of_the_table() -> None:
    """The chart and the role refuse the same arguments of an emergency."""
    table = yaml.safe_load((CHART / "files/versions.yaml").read_text(encoding="utf-8"))
    for pattern in table["refusedPatterns"].values():
        re.compile(pattern)
    assert not [name for name in table["refusedArgs"] if name in table["allowedArgs"]["validator"]]


@needs_helm
@pytest.mark.parametrize(
    ("config", "lines"),
    [
        pytest.param(
            {"BLOB_SCHEDULE": [{"EPOCH": 9, "MAX_BLOBS_PER_BLOCK": 12}, {"EPOCH": 19, "MAX_BLOBS_PER_BLOCK": 15}]},
            ["BLOB_SCHEDULE:", "  - EPOCH: 9", "    MAX_BLOBS_PER_BLOCK: 12", "  - EPOCH: 19",
             "    MAX_BLOBS_PER_BLOCK: 15"], id="blob-schedule",
        ),
        pytest.param(
            {"GAS_LIMIT_SCHEDULE": [{"EPOCH": 132352, "GAS_LIMIT": 200000000}]},
            ["GAS_LIMIT_SCHEDULE:", "  - EPOCH: 132352", "    GAS_LIMIT: 200000000"], id="gas-limit-schedule",
        ),
        pytest.param({"BLOB_SCHEDULE": []}, ["BLOB_SCHEDULE: []"], id="none"),
        pytest.param(
            {"FULU_FORK_EPOCH": str(2**64 - 1), "ALTAIR_FORK_EPOCH": 10000000, "GENESIS_FORK_VERSION": "0x20000089"},
            ["ALTAIR_FORK_EPOCH: 10000000", f"FULU_FORK_EPOCH: {2**64 - 1}", "GENESIS_FORK_VERSION: 0x20000089"],
            id="scalars",
        ),
    ],
)  # fmt: skip
def test_a_private_chain_may_have_lists(config: dict[str, t.Any], lines: list[str]) -> None:
    objects = render({"network": "custom", "customNetwork": {"chainConfig": config}})
    text = objects["ConfigMap", "eth2prysm-chain-config"]["data"]["chain.yaml"]
    assert [line for line in text.splitlines() if line.strip()] == lines
    assert set(yaml.safe_load(text)) == set(config)


@needs_helm
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"FULU_FORK_EPOCH": 2**64 - 1}, "Write it in quotes"),
        ({"GENESIS_FORK_VERSION": 0x20000089}, "GENESIS_FORK_VERSION is 5.36871049e+08, a number to YAML"),
        ({"DEPOSIT_CONTRACT_ADDRESS": int("42" * 20, 16)}, "hexadecimal with 0x"),
        ({"BLOB_SCHEDULE": [{"EPOCH": 2**64 - 1, "MAX_BLOBS_PER_BLOCK": 1}]}, "Write it in quotes"),
        ({"BLOB_SCHEDULE": [1, 2]}, "BLOB_SCHEDULE"),
        ({"BLOB_SCHEDULE": [{"epoch": 1}]}, "BLOB_SCHEDULE"),
        ({"BLOB_SCHEDULE": [{"EPOCH": "1\n- EPOCH: 2"}]}, "BLOB_SCHEDULE"),
        ({"BLOB_SCHEDULE": {"EPOCH": 1}}, "BLOB_SCHEDULE"),
        ({"X": [{"Y": [1]}]}, "X"),
    ],
)
def test_a_chain_configuration_that_would_be_read_otherwise_is_refused(config: dict[str, t.Any], reason: str) -> None:
    assert reason in refusal({"network": "custom", "customNetwork": {"chainConfig": config}})


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
    pytest.param({"validators": {"validator1": {"dataIdentity": "x"}}}, "dataIdentity", id="no-identity"),
    pytest.param(
        {"validators": {name: {"dataIdentity": "0c5f6e0e-7d0f-4a0e-9d64-1d6f0a1f7a10"} for name in BASE["validators"]}},
        "same dataIdentity",
        id="one-identity-twice",
    ),
    pytest.param({"validators": {"x" * 53: client("x")}}, "x" * 53, id="long-name"),
    pytest.param({"validators": {"x.y": client("x")}}, "x.y", id="no-label"),
    pytest.param({"validators": {"X": client("x")}}, "validators", id="capital-name"),
    pytest.param(
        {"validators": {"a": {**client("a"), "name": "validator1"}}}, "two entries are named", id="name-twice"
    ),
    pytest.param({"persistentVolumeType": "ceph"}, "persistentVolumeType", id="unknown-storage"),
    pytest.param({"beacon": {"fallbackWeb3Providers": ["http://a:1"]}}, "one execution client only", id="fallback"),
    pytest.param(
        {"beacon": {"web3Provider": "http://127.0.0.1:8551"}}, "the pod of the beacon", id="endpoint-loopback"
    ),
    pytest.param({"beacon": {"web3Provider": "http://[::1]:8551/"}}, "web3Provider leads to the pod", id="loopback-v6"),
    pytest.param({"beacon": {"checkpointSyncUrl": "http://localhost:3500"}}, "checkpointSyncUrl leads", id="localhost"),
    pytest.param({"beacon": {"genesisBeaconApiUrl": "http://0.0.0.0"}}, "genesisBeaconApiUrl leads", id="unspecified"),
    pytest.param({"beacon": {"web3Provider": "https://u:hunter2@a:8551"}}, "Leave it out", id="endpoint-password"),
    pytest.param({"validators": {"beacon": client("x")}}, "has the beacon's name", id="name-of-the-beacon"),
    pytest.param({"valdators": {}}, "valdators", id="misspelt"),
    pytest.param({"beacon": {"replicas": 2}}, "replicas", id="replicas"),
    pytest.param({"validators": {"validator1": {"replicas": 2}}}, "replicas", id="validator-replicas"),
    pytest.param({"image": {"version": "latest"}}, "version", id="latest"),
    pytest.param({"nfs": {"serverIp": "172.20.10.10:/x"}}, "serverIp", id="server-with-a-path"),
    pytest.param({"nfs": {"serverIp": "172.20.10.10,10.0.0.9"}}, "serverIp", id="two-servers"),
]


@needs_helm
@pytest.mark.parametrize(("values", "reason"), REFUSALS)
def test_refuses_with_the_reason(values: dict[str, t.Any], reason: str) -> None:
    assert reason in refusal(values)


@needs_helm
def test_a_refused_password_is_not_repeated() -> None:
    assert "hunter2" not in refusal({"validators": {"validator1": {"walletPassword": "hunter2"}}})
    assert "hunter2" not in refusal({"beacon": {"web3Provider": "https://u:hunter2@a:8551"}})


@needs_helm
@pytest.mark.parametrize("url", ["http://10.127.0.5:8551", "https://localhost.example.org", "http://[fd00::1]:8551"])
def test_addresses_that_only_look_like_the_pods_own(url: str) -> None:
    assert f"--execution-endpoint={url}" in args(render({"beacon": {"web3Provider": url}}), "beacon")


# ---- Places: one of them used twice is two signers, however it is written.

A = "/data/prysm/a"
SAME = [A, f"{A}/"]
BELOW = [f"{A}/b", f"{A}/b/c/", f"{A}/.b", "/data/prysm", "/data", "/data/"]
SPELT = [f"{A}//", "//data/prysm/a", "/data//prysm/a", "/data/./prysm/a", f"{A}/.", "/data/x/../prysm/a", f"{A}/..",
         "/", "/..",
         "/data/prysm/../prysm/b", "data/prysm/a", "./a", " /data/prysm/a", "/data/prysm/a ", "/data/pr\tysm",
         "/data\n/prysm/a", ""]  # fmt: skip
FINE = [f"{A}b", f"{A}-b/", "/data/prysm/...", "/data/prysm/..a", "/data/prysm/a.b", "/other/a"]


def two_places(first: str, second: str, one: str, other: str) -> dict[str, t.Any]:
    """Values in which two fields hold these paths."""
    values = merge(BASE, {"beacon": {"dataVolumePath": "/disk/beacon"}})
    values["validators"] = {
        name: client(name, dataVolumePath=f"/disk/{name}", walletVolumePath=f"/disk/wallet-{name}")
        for name in ("validator1", "validator2")
    }
    for field, path in ((first, one), (second, other)):
        where, _, key = field.rpartition(".")
        (values["beacon"] if where == "beacon" else values["validators"][where])[key] = path
    return values


PAIRS = [
    ("validator1.dataVolumePath", "validator2.dataVolumePath"),
    ("validator1.walletVolumePath", "validator2.walletVolumePath"),
    ("validator2.dataVolumePath", "validator1.walletVolumePath"),
    ("validator1.dataVolumePath", "validator1.walletVolumePath"),
    ("beacon.dataVolumePath", "validator2.dataVolumePath"),
    ("validator1.walletVolumePath", "beacon.dataVolumePath"),
]


@needs_helm
@EVERY
@pytest.mark.parametrize(("first", "second", "storage"), [*((*pair, "nfs") for pair in PAIRS), (*PAIRS[2], "hostPath")])
def test_no_two_volumes_are_one_place(first: str, second: str, storage: str, whole: bool) -> None:
    wrong = []
    kind = {"persistentVolumeType": storage, "hostPath": {"node": "worker"}}
    kinds = ((SAME, "both"), (BELOW, "below"), (SPELT, ""))
    for path, reason in [(p, r) for paths, r in kinds for p in some(paths, whole, 2, first, second, storage)]:
        done = helm({**two_places(first, second, A, path), **kind})
        if not done.returncode or reason not in done.stderr or (reason and "Slashing risk" not in done.stderr):
            wrong.append((path, done.stderr))
    for path in some(FINE, whole, 1, first, second, storage):
        done = helm({**two_places(first, second, A, path), **kind})
        if done.returncode:
            wrong.append((path, done.stderr))
        elif f'path: "{path.rstrip("/")}"\n' not in done.stdout:
            wrong.append((path, "is not what is mounted"))
    assert wrong == []


@needs_helm
@pytest.mark.parametrize("shape", ["map", "list", "named"])
def test_places_are_compared_in_every_shape_of_the_values(shape: str) -> None:
    values = two_places(*PAIRS[0], A, f"{A}/b")
    entries = values["validators"]
    if shape == "list":
        values["validators"] = [{"name": name, **entry} for name, entry in entries.items()]
    if shape == "named":
        values["validators"] = {f"x{n}": {**e, "name": name} for n, (name, e) in enumerate(entries.items())}
    done = helm(values)
    assert done.returncode and "Slashing risk" in done.stderr


CLAIMS = [
    pytest.param("existingClaim", {"dataExistingClaim": "c"}, {"dataExistingClaim": "c"}, {}, id="data-data"),
    pytest.param("existingClaim", {"walletExistingClaim": "c"}, {"walletExistingClaim": "c"}, {}, id="wallet-wallet"),
    pytest.param("existingClaim", {"walletExistingClaim": "c"}, {"dataExistingClaim": "c"}, {}, id="wallet-data"),
    pytest.param("existingClaim", {"dataExistingClaim": "c"}, {}, {"dataExistingClaim": "c"}, id="data-beacon"),
    pytest.param("storageClass", {"walletExistingClaim": "c"}, {"walletExistingClaim": "c"}, {}, id="class-wallets"),
    pytest.param("storageClass", {"walletExistingClaim": "validator2-data"}, {}, {}, id="class-made"),
    pytest.param("storageClass", {"walletExistingClaim": "beacon-data"}, {}, {}, id="class-beacon"),
    pytest.param("storageClass", {"dataExistingClaim": "validator2-data"}, {}, {}, id="class-data-made"),
]


@needs_helm
@pytest.mark.parametrize(("kind", "one", "two", "beacon"), CLAIMS)
def test_no_two_volumes_are_one_claim(
    kind: str, one: dict[str, str], two: dict[str, str], beacon: dict[str, str]
) -> None:
    own = kind == "existingClaim"

    def entry(name: str, more: dict[str, str]) -> dict[str, str]:
        return {"walletExistingClaim": f"w-{name}", **({"dataExistingClaim": f"d-{name}"} if own else {}), **more}

    values = {
        "persistentVolumeType": kind,
        "beacon": {**({"dataExistingClaim": "b"} if own else {}), **beacon},
        "validators": {"validator1": entry("1", one), "validator2": entry("2", two)},
    }
    assert "Slashing risk" in refusal(values)
    values["validators"] = {"validator1": entry("1", {}), "validator2": entry("2", {})}
    values["beacon"] = {"dataExistingClaim": "b"} if own else {}
    render(values)


@needs_helm
@pytest.mark.parametrize("storage", ["nfs", "hostPath"])
@pytest.mark.parametrize("field", ["dataExistingClaim", "walletExistingClaim"])
def test_a_claim_beside_a_path_is_not_taken_unseen(field: str, storage: str) -> None:
    """The claim would be mounted, and the path be what everything else looks at."""
    kind = {"persistentVolumeType": storage, "hostPath": {"node": "worker"}}
    assert f"{field} is c" in refusal({**kind, "validators": {"validator1": {field: "c"}}})
    assert "dataExistingClaim is c" in refusal({**kind, "beacon": {"dataExistingClaim": "c"}})


# ---- Arguments.

PROGRAMS = {"beacon": ("beacon", "extraArgs"), "validator": ("validators", "validator1", "extraArgs")}


def with_args(program: str, given: list[t.Any], version: str = "v7.1.6") -> dict[str, t.Any]:
    values: t.Any = given
    for key in reversed(PROGRAMS[program]):
        values = {key: values}
    return merge({"image": {"version": version}, **CUSTOM}, values)


# What a private chain and ordinary operators need.
NEEDED = {
    "beacon": [
        "--no-discovery", "--bootstrap-node=", "--min-sync-peers=1", "--minimum-peers-per-subnet=0",
        "--contract-deployment-block=0", "--deposit-contract=0x4242424242424242424242424242424242424242",
        "--chain-id=1337", "--network-id=1337", "--peer=/ip4/172.20.0.1/tcp/13100/p2p/16Uiu2HAm",
        "--peer=/ip4/172.20.0.1/tcp/13200/p2p/16Uiu2HAn", "--p2p-local-ip=127.0.0.1", "--p2p-denylist=10.0.0.0/8",
        "--p2p-max-peers=100", "--disable-quic", "--subscribe-all-subnets", "--block-batch-limit=512",
        "--verbosity=debug",
        "--slots-per-archive-point=2048", "--disable-ephemeral-log-file", "--enable-historical-state-representation",
        "--max-goroutines=10000", "--http-mev-relay=http://172.20.10.30:18550", "--disable-quic=false",
    ],
    "validator": [
        "--verbosity=debug", "--disable-ephemeral-log-file", "--enable-builder", "--grpc-max-msg-size=10000000",
        "--suggested-gas-limit=60000000", "--disable-attest-timely", "--grpc-retries=10", "--enable-builder=true",
    ],
}  # fmt: skip


@needs_helm
@pytest.mark.parametrize("program", PROGRAMS)
def test_takes_the_arguments_that_operators_need(program: str) -> None:
    objects = render(with_args(program, NEEDED[program]))
    given = args(objects, "beacon" if program == "beacon" else "validator1")
    assert given[-len(NEEDED[program]) :] == NEEDED[program], "in their order, and behind the chart's own"


@needs_helm
def test_a_private_chain_of_the_first_releases_can_be_followed() -> None:
    values = with_args("beacon", ["--interop-eth1data-votes"], "v1.3.4")
    assert "--interop-eth1data-votes" in args(render(values), "beacon")
    reason = refusal({"beacon": {"extraArgs": ["--interop-eth1data-votes"]}})
    assert "network custom only" in reason


def test_what_is_refused_is_not_allowed_and_has_a_reason() -> None:
    for flags in TABLE["allowedArgs"].values():
        assert not set(flags) & set(TABLE["refusedArgs"])
        for flag, entry in flags.items():
            assert set(entry) <= {"first", "last", "value", "network"}, flag
    assert all(isinstance(reason, str) and len(reason) > 10 for reason in TABLE["refusedArgs"].values())


@needs_helm
def test_what_the_chart_sets_cannot_be_set_by_hand() -> None:
    """But for what does no harm twice."""
    for version in ("v1.2.2", "v2.1.4", "v5.3.3", "v7.1.6"):
        objects = render({
            "image": {"version": version}, **CUSTOM,
            "beacon": {"p2pHostIp": "1.2.3.4", "p2pHostDns": "x", "checkpointSyncUrl": "http://x",
                       "genesisBeaconApiUrl": "http://x", "genesisStateFile": "/x"},
        })  # fmt: skip
        for name, program in (("beacon", "beacon"), ("validator1", "validator")):
            flags = {arg.partition("=")[0][2:] for arg in arguments(objects, name)[2]}
            free = flags & set(TABLE["allowedArgs"][program])
            assert free <= {"disable-ephemeral-log-file", "bootstrap-node"}
            assert flags - free <= set(TABLE["refusedArgs"])


@needs_helm
@EVERY
@pytest.mark.parametrize("program", PROGRAMS)
def test_refuses_every_dangerous_argument_with_its_reason(program: str, whole: bool) -> None:
    """The list is one for both programs, so each takes its half."""
    wrong = []
    for flag in some(sorted(TABLE["refusedArgs"])[list(PROGRAMS).index(program) :: 2], whole, 10, program):
        done = helm(merge(BASE, with_args(program, [f"--{flag}"])))
        if f"--{flag} is refused: {TABLE['refusedArgs'][flag]}" not in done.stderr:
            wrong.append((flag, done.stderr))
    assert wrong == []


FORMS = [
    ["--clear-db=true"],
    ["-clear-db"],
    ["-clear-db=true"],
    ["---clear-db"],
    ["--Clear-DB"],
    ["--CLEAR-DB=1"],
    ["clear-db"],
    [" --clear-db"],
    ["--clear-db "],
    ["\t--clear-db"],
    ["--clear-db\n"],
    ["--verbosity=info\n--clear-db"],
    ["--", "--clear-db"],
    ["--verbosity=info --clear-db"],
    ["--verbosity", "--clear-db"],
    ["--verbosity"],
    ["--verbosity", "info"],
    [""],
    [" "],
    ["--"],
    ["-"],
    ["---"],
    ["--=x"],
    ["--verbosity=$(HOME)"],
    ["--$(HOME)"],
    ["$(HOME)"],
    ["--verbosity=$$(HOME)"],
    ["--verbosity=a\u00a0b"],
    ["\u2014clear-db"],
    ["--\u0441lear-db"],
    ["--clear\u200b-db"],
    ["accounts"],
    ["db"],
    ["true"],
    [None],
    [1],
    [True],
    [["--clear-db"]],
    [{"clear-db": True}],
    ["--no-such-flag"],
    ["--no-such-flag=1"],
    ["--verbosityx=info"],
    ["--verbosit=info"],
    ["--verbosity.=info"],
    ["--disable-ephemeral-log-file=maybe"],
    ["--disable-ephemeral-log-file="],
    ["--disable-ephemeral-log-file=true=false"],
    ["--verbosity=info", "--clear-db"],
    "--clear-db",
    {"clear-db": True},
]


@needs_helm
@EVERY
@pytest.mark.parametrize(("program", "skip"), [("beacon", ()), ("validator", ("--skip-schema-validation",))])
def test_no_way_of_writing_slips_through(program: str, skip: tuple[str, ...], whole: bool) -> None:
    wrong = []
    for form in some(FORMS, whole, 10, program):
        done = helm(merge(BASE, with_args(program, t.cast(list[t.Any], form))), *skip)
        if not done.returncode or "xtraArgs" not in done.stderr:
            wrong.append((form, done.stderr))
    assert wrong == []


@needs_helm
@EVERY
@pytest.mark.parametrize("program", PROGRAMS)
def test_arguments_are_those_of_the_version(program: str, whole: bool) -> None:
    def number(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split("."))

    wrong = []
    for version in ("1.2.2", "2.1.4", "5.3.3", "7.1.6"):
        given, others = [], []
        for flag, entry in TABLE["allowedArgs"][program].items():
            argument = f"--{flag}=1" if "value" in entry else f"--{flag}"
            first, last = entry.get("first", "0.0.0"), entry.get("last", "99.0.0")
            if number(first) <= number(version) <= number(last):
                given.append(argument)
            elif version in ("1.2.2", "7.1.6"):
                others.append((flag, argument))
        for flag, argument in some(others, whole, 8, program, version):
            done = helm(merge(BASE, with_args(program, [argument], f"v{version}")))
            if f"has no --{flag}" not in done.stderr or not done.returncode:
                wrong.append((version, flag, done.stderr))
        assert set(given) <= set(args(render(with_args(program, given, f"v{version}")), ARGS_OF[program]))
    assert wrong == []


ARGS_OF = {"beacon": "beacon", "validator": "validator1"}


def test_the_allowed_arguments_are_prysms_own() -> None:
    """Against the flag intervals of Prysm's own history, where they are at hand."""
    facts = os.environ.get("PRYSM_FLAGS")
    if not facts:
        pytest.skip("PRYSM_FLAGS does not name a table of Prysm's flags")
    known: dict[str, set[str]] = {}
    for line in Path(facts).read_text(encoding="utf-8").splitlines():
        if line.startswith("====="):
            section = known.setdefault(line.split()[1], set())
        elif " | " in line:
            section.add(line.split(" | ")[0])
            section.update(re.findall(r"'([a-z0-9-]+)'", line))
    for program, name in (("beacon", "beacon-chain"), ("validator", "validator")):
        assert set(TABLE["allowedArgs"][program]) <= known[name]


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


@needs_helm
@pytest.mark.parametrize("version", ["v1.2.2", "v7.1.6"])
def test_networks_in_which_no_peers_are_looked_for(version: str) -> None:
    """Old versions take a network for each flag, and know no word for the private ones."""
    denied = {"image": {"version": version}, "beacon": {"p2pDenylist": ["private", "203.0.113.0/24", "fd00::/8"]}}
    found = [arg for arg in arguments(render({**CUSTOM, **denied}), "beacon")[2] if "denylist" in arg]
    networks = [arg.partition("=")[2] for arg in found]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "203.0.113.0/24", "fd00::/8"} <= set(networks)
    assert "private" not in networks
    assert "p2pDenylist" in refusal({"beacon": {"p2pDenylist": ["192.168.1.1"]}}).replace("/", ".").replace("'", "")


# ---- A standby.

STANDBY = {"standby": {"enabled": True}}


@needs_helm
def test_without_a_standby_nothing_of_it_is_there() -> None:
    """What is installed stays as it is, whatever else is said about a standby that is not wanted."""
    plain = helm(BASE).stdout
    assert helm(merge(BASE, {"standby": {"enabled": False, "because": "NFSv3"}})).stdout == plain
    for trace in (
        "pulse.sh:",
        "/guard/pulse.sh",
        "Parallel",
        "minAvailable",
        "replicas: 2",
        "podAntiAffinity",
        "tolerations",
    ):
        assert trace not in plain


@needs_helm
def test_with_a_standby_each_client_has_two_pods_on_two_nodes() -> None:
    objects = render(STANDBY)
    for name in ("validator1", "validator2"):
        spec = objects["StatefulSet", name]["spec"]
        assert (spec["replicas"], spec["podManagementPolicy"]) == (2, "Parallel")
        assert spec["updateStrategy"] == {"type": "OnDelete"}
        (term,) = pod(objects, name)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert term["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]
        # A node that the API server does not hear of may well sign.
        tolerated = {one["key"] for one in pod(objects, name)["tolerations"] if "tolerationSeconds" not in one}
        assert tolerated == {"node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"}
    plain = render()
    assert objects["StatefulSet", "beacon"] == plain["StatefulSet", "beacon"], "only what has the lock of a client"


@needs_helm
def test_what_an_operator_says_of_nodes_stays_beside_it() -> None:
    zones = {"labelSelector": {"matchLabels": {"app": "beacon"}}, "topologyKey": "zone"}
    given = {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [zones]},
        },
        "tolerations": [{"key": "staking", "operator": "Exists"}],
    }
    spec = pod(render({**STANDBY, "validatorDefaults": given}), "validator1")
    assert spec["affinity"]["nodeAffinity"] == given["affinity"]["nodeAffinity"]
    terms = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms[0] == zones and len(terms) == 2
    assert spec["tolerations"][0] == {"key": "staking", "operator": "Exists"} and len(spec["tolerations"]) == 3


@needs_helm
@pytest.mark.parametrize(
    ("version", "program"),
    [
        ("v1.2.2", "/app/validator/validator"),
        ("v1.3.4", "/app/cmd/validator/validator"),
        ("v4.2.0", "/validator"),
        ("v7.1.6", "/validator"),
    ],
)
def test_a_standby_waits_where_prysm_starts(version: str, program: str) -> None:
    """Everything is loaded by then, and the lock that it gets there is held until the pod ends."""
    objects = render({**STANDBY, "image": {"version": version}, **CUSTOM})
    plain = render({"image": {"version": version}, **CUSTOM})
    (first,), (second,) = pod(objects, "validator1")["initContainers"], pod(objects, "validator1")["containers"]
    assert first["args"] == ["beacon", "/guard-bin", "other", "0"], "it waits for nothing"
    assert {"name": "GUARD_INSTALL", "value": "/guard-bin"} in first["env"]
    assert {mount["name"] for mount in first["volumeMounts"]} == {"guard", "guard-bin"}
    old = pod(plain, "validator1")["containers"][0]
    at = old["args"].index("--") + 1
    beat = ["/guard-bin/busybox", "sh", "/guard/pulse.sh", "/data/prysm/validator/.validator-lock"]
    assert second["args"] == [*old["args"][:at], *beat, *old["args"][at:]]
    assert second["args"][at + len(beat)] == program
    assert {key: value for key, value in second.items() if key != "args"} == {
        key: value for key, value in old.items() if key != "args"
    }, "the same probes: one that waits is neither killed nor Ready"
    assert "pulse.sh" in objects["ConfigMap", "eth2prysm-guard"]["data"]


@needs_helm
def test_what_looks_for_signers_sees_a_client_behind_the_beat() -> None:
    """Guard and beat stand before Prysm: it is the site's client all the same, with its own wallet."""
    given = [
        {"name": name, "data_dir": f"/data/prysm/{name}", "wallet_dir": f"/data/prysm/wallet-{name}"}
        for name in ("validator1", "validator2")
    ]
    text = helm(merge(BASE, STANDBY)).stdout
    assert prysm_manifest_problems(text, given, "172.20.10.10", "prysm") == []
    (problem,) = prysm_manifest_problems(text, given[:1], "172.20.10.10", "prysm")
    assert "validator2" in problem


@needs_helm
@pytest.mark.parametrize(("clients", "stay"), [(1, 0), (2, 1), (5, 4)])
def test_of_pods_that_sign_one_at_a_time_may_go(clients: int, stay: int) -> None:
    """One that waits is never Ready, and must not stand in the way of a drain."""
    names = [f"validator{number}" for number in range(1, clients + 1)]
    more = {name: client(name) for name in names}
    done = helm({**merge(BASE, STANDBY), "validators": more}, "--kube-version", "1.28.0")
    assert done.returncode == 0, done.stderr
    budgets = [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "PodDisruptionBudget"]
    assert [one["spec"].get("minAvailable") for one in budgets] == [stay]
    assert "maxUnavailable" not in budgets[0]["spec"]
    assert budgets[0]["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    old = helm({**merge(BASE, STANDBY), "validators": more}, "--kube-version", "1.22.0")
    assert "unhealthyPodEvictionPolicy" not in old.stdout and old.returncode == 0


@needs_helm
@pytest.mark.parametrize(("server", "api"), [("v1.20.15", "policy/v1beta1"), ("v1.36.0-2+abc", "policy/v1")])
def test_objects_are_written_for_the_version_of_kubernetes_that_is_named(server: str, api: str) -> None:
    """Helm knows no server where it only writes text; the value wins over what it assumes."""
    done = helm(merge(BASE, {"kubeVersion": server}), "--kube-version", "1.24.0")
    budgets = [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "PodDisruptionBudget"]
    assert [one["apiVersion"] for one in budgets] == [api], done.stderr


@needs_helm
def test_a_set_that_was_parallel_may_stay_so() -> None:
    spec = render({"podManagementPolicy": "Parallel"})["StatefulSet", "validator1"]["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"]) == (1, "Parallel")


@needs_helm
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"persistentVolumeType": "hostPath", "hostPath": {"node": "worker"}}, "persistentVolumeType is hostPath"),
        ({"persistentVolumeType": "storageClass"}, "persistentVolumeType is storageClass"),
        ({"validatorStartWaitTime": 780}, "validatorStartWaitTime is 780"),
        ({"nfs": {"mountOptions": ["nfsvers=3", "hard"]}}, "mountOptions"),
    ],
)
def test_a_standby_is_refused_where_the_lock_is_no_fence(values: dict[str, t.Any], reason: str) -> None:
    assert reason in refusal({**STANDBY, **values})
