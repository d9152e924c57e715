"""Who can sign in a cluster, told from the API server's own objects."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _signers
from tests.unit.plugins.module_utils.signing_forms import ORDINARY, SIGNING
from tests.unit.test_chart import needs_helm, render

NFS = "172.20.10.10"
CLAIMS = [
    {"metadata": {"namespace": "prysm", "name": f"validator1-{what}"}, "spec": {"volumeName": f"pv-{what}"}}
    for what in ("data", "wallet")
]
VOLUMES = [
    {"metadata": {"name": "pv-data"}, "spec": {"nfs": {"server": NFS, "path": "/data/prysm/validator1"}}},
    {"metadata": {"name": "pv-wallet"}, "spec": {"nfs": {"server": NFS, "path": "/data/prysm/wallet-validator1"}}},
]
KNOWN = _signers.storage([NFS], CLAIMS, VOLUMES)
SPEC: dict[str, t.Any] = {
    "nodeName": "worker",
    "containers": [
        {
            "name": "validator",
            "image": "registry.example/prysm/validator:v7.1.6",
            "args": ["--datadir=/data/prysm/validator", "--wallet-dir=/data/prysm/wallet", "--monitoring-port=9000"],
            "volumeMounts": [
                {"name": "data", "mountPath": "/data/prysm/validator"},
                {"name": "wallet", "mountPath": "/data/prysm/wallet"},
            ],
        }
    ],
    "volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "validator1-data"}},
        {"name": "wallet", "persistentVolumeClaim": {"claimName": "validator1-wallet"}},
    ],
}


def pod(namespace: str = "prysm", **status: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {
            "namespace": namespace,
            "name": "validator1-0",
            "ownerReferences": [{"kind": "StatefulSet", "name": "validator1"}],
        },
        "spec": copy.deepcopy(SPEC),
        "status": status
        or {"phase": "Running", "containerStatuses": [{"name": "validator", "state": {"running": {}}}]},
    }


def one(item: dict[str, t.Any], kind: str = "Pod") -> _signers.Signer:
    (found,) = _signers.signers(kind, item, "prysm", KNOWN)
    return found


def test_a_pod_of_the_site() -> None:
    seen = one(pod())
    assert (seen.client, seen.port, seen.runs) == ("validator1", 9000, True)
    assert (seen.wallet.path, seen.data.path) == ("/data/prysm/wallet-validator1", "/data/prysm/validator1")
    assert one(pod(phase="Pending")).runs is False
    assert _signers.signers("Pod", pod(phase="Succeeded"), "prysm", KNOWN) == []


@pytest.mark.parametrize("kind", sorted(_signers.TEMPLATES))
def test_what_would_start_pods_counts_also_when_it_is_scaled_to_nothing(kind: str) -> None:
    item: dict[str, t.Any] = {"metadata": {"namespace": "other", "name": "second"}, "spec": {"replicas": 0}}
    template: dict[str, t.Any] = item
    for step in _signers.TEMPLATES[kind]:
        template = template.setdefault(step, {})
    template["spec"] = copy.deepcopy(SPEC)
    template["spec"]["volumes"][1] = {"name": "wallet", "nfs": {"server": NFS, "path": "/data/prysm/wallet-validator1"}}
    seen = one(item, kind)
    assert (seen.client, seen.wallet.path, seen.port) == ("other/second", "/data/prysm/wallet-validator1", None)
    # Claims belong to a namespace: the same name elsewhere is another claim.
    assert seen.data.path is None and "other/validator1-data" in seen.data.where


@pytest.mark.parametrize(
    ("volume", "where"),
    [
        ({"hostPath": {"path": "/var/wallet"}}, "/var/wallet on worker"),
        ({"nfs": {"server": "10.0.0.9", "path": "/w"}}, "10.0.0.9:/w"),
        ({"emptyDir": {}}, "the volume wallet"),
        ({"persistentVolumeClaim": {"claimName": "gone"}}, "the claim prysm/gone, which is bound to nothing"),
        (None, "/data/prysm/wallet inside its container"),
    ],
)
def test_a_wallet_that_lies_elsewhere_is_said_to(volume: t.Any, where: str) -> None:
    item = pod()
    if volume is None:
        del item["spec"]["containers"][0]["volumeMounts"][1]
    else:
        item["spec"]["volumes"][1] = {"name": "wallet", **volume}
    assert one(item).wallet == (None, where)


def test_a_directory_below_a_mount_is_followed() -> None:
    item = pod()
    container = item["spec"]["containers"][0]
    container["args"][1:2] = ["--wallet-dir", "/all/wallet-b/"]
    container["volumeMounts"][1] = {"name": "wallet", "mountPath": "/all", "subPath": "sub"}
    assert one(item).wallet.path == "/data/prysm/wallet-validator1/sub/wallet-b"


@pytest.mark.parametrize(
    ("container", "signs"),
    [
        ({"image": "x/validator@sha256:00", "args": []}, True),
        ({"image": "localhost:5000/validator", "args": []}, True),
        ({"image": "x/custom", "command": ["/app/validator"]}, True),
        ({"image": "x/custom", "args": ["--wallet-dir=/w"]}, True),
        ({"image": "sigp/lighthouse:v7", "args": ["lighthouse", "vc"]}, True),
        ({"image": "x/web3signer"}, True),
        ({"image": "x/validator:v1", "args": ["slashing-protection-history", "import", "--datadir=/x"]}, False),
        ({"image": "x/beacon-chain:v7.1.6", "args": ["--datadir=/x"]}, False),
        ({"image": "x/validator-exporter:v1"}, False),
    ],
)
def test_tells_signers_from_others(container: dict[str, t.Any], signs: bool) -> None:
    assert _signers.signs(container) is signs


def test_a_client_that_hides_its_metrics_has_no_port() -> None:
    item = pod()
    item["spec"]["containers"][0]["args"].append("--disable-account-metrics")
    assert one(item).port is None


def release(config: t.Any, chart: str = "eth2prysm") -> dict[str, t.Any]:
    text = json.dumps({"chart": {"metadata": {"name": chart}}, "config": config}).encode()
    packed = base64.b64encode(base64.b64encode(gzip.compress(text))).decode()
    meta = {"namespace": "other", "name": "sh.helm.release.v1.site.v1", "labels": {"name": "site"}}
    return {"metadata": meta, "data": {"release": packed}}


def test_reads_the_values_of_a_release() -> None:
    values = {
        "nfs": {"serverIp": NFS},
        "validators": {"v": {"walletVolumePath": "/data/prysm/wallet-v", "dataVolumePath": "/data/prysm/v"}},
    }
    (seen,) = _signers.released(release(values), "prysm", KNOWN)
    assert (seen.client, seen.wallet.path, seen.data.path) == ("other/v", "/data/prysm/wallet-v", "/data/prysm/v")
    assert _signers.released(release(values, "something-else"), "prysm", KNOWN) == []
    assert _signers.released(release(None), "prysm", KNOWN) == []
    values["nfs"] = {"serverIp": "10.0.0.9"}
    (seen,) = _signers.released(release(values), "prysm", KNOWN)
    assert seen.wallet == (None, "10.0.0.9:/data/prysm/wallet-v")


@pytest.mark.parametrize(
    "validators",
    [
        [{"name": "v", "walletVolumePath": "/data/prysm/wallet-v"}],
        {"first": {"name": "v", "walletVolumePath": "/data/prysm/wallet-v"}},
    ],
    ids=["a-list", "another-name"],
)
def test_reads_every_form_of_values_that_the_chart_takes(validators: t.Any) -> None:
    values = {"nfs": {"serverIp": NFS}, "validators": validators}
    values["validatorDefaults"] = {"dataVolumePath": "/data/prysm/v"}
    (seen,) = _signers.released(release(values), "prysm", KNOWN)
    assert (seen.client, seen.wallet.path, seen.data.path) == ("other/v", "/data/prysm/wallet-v", "/data/prysm/v")


@pytest.mark.parametrize("data", [None, {}, {"release": "!"}, {"release": "eA=="}, {"release": "ZUE9PQ=="}])
def test_a_release_that_cannot_be_read_is_danger(data: t.Any) -> None:
    with pytest.raises(StakingError, match="the Helm release other/site cannot be read"):
        _signers.released({**release({}), "data": data}, "prysm", KNOWN)


# -- what a pod can read ----------------------------------------------------------------------------------------------

WALLETS = {"validator1": "/data/prysm/wallet-validator1", "validator2": "/data/prysm/wallet-validator2"}
DATA = {"validator1": "/data/prysm/validator1", "validator2": "/data/prysm/validator2"}


def site(**more: t.Any) -> _signers.Storage:
    return _signers.storage([NFS, "nfs.Site."], CLAIMS, VOLUMES, WALLETS, DATA, "/data/prysm/", **more)


def mounting(volume: dict[str, t.Any], kind: str = "Deployment", **mount: t.Any) -> dict[str, t.Any]:
    """A workload of a renamed image with one volume."""
    container = {"name": "app", "image": "registry.local/app:1"}
    container["volumeMounts"] = [{"name": "v", "mountPath": "/mnt", **mount}]  # type: ignore[assignment]
    spec = {"containers": [container], "volumes": [{"name": "v", **volume}]}
    item: dict[str, t.Any] = {"metadata": {"namespace": "other", "name": "app"}}
    template = item
    for step in _signers.TEMPLATES.get(kind, ()):
        template = template.setdefault(step, {})
    template["spec"] = spec
    return item


def nfs(path: str, server: str = NFS) -> dict[str, t.Any]:
    return {"nfs": {"server": server, "path": path}}


def reads(item: dict[str, t.Any], kind: str = "Deployment", known: _signers.Storage | None = None) -> list[str | None]:
    return [signer.wallet.path for signer in _signers.signers(kind, item, "prysm", known or site())]


ONE = ["/data/prysm/wallet-validator1"]


@pytest.mark.parametrize(
    ("volume", "mount", "wallets"),
    [
        pytest.param(nfs("/data/prysm/wallet-validator1"), {}, ONE, id="it"),
        pytest.param(nfs("/data//prysm/./wallet-validator1/"), {}, ONE, id="it-spelt-otherwise"),
        pytest.param(nfs("/data/x/../prysm/wallet-validator1"), {}, ONE, id="dots"),
        pytest.param(nfs("/data/prysm/wallet-validator1/direct/accounts"), {}, ONE, id="within"),
        pytest.param(nfs("/data/prysm/wallet-validator1", "NFS.site"), {}, ONE, id="by-name"),
        pytest.param(nfs("/data/prysm/wallet-validator1", f"[{NFS}]"), {}, ONE, id="in-brackets"),
        pytest.param(nfs("/data/prysm"), {"subPath": "wallet-validator1"}, ONE, id="sub-path"),
        pytest.param(nfs("/data/prysm/wallet-validator1", "10.9.9.9"), {}, [None], id="another-address"),
        pytest.param(nfs("/data/prysm/wallet-of-old"), {}, ["/data/prysm/wallet-of-old"], id="of-no-entry"),
        pytest.param(
            {"csi": {"volumeAttributes": {"server": NFS, "share": "/data/prysm/wallet-validator1"}}}, {}, ONE, id="csi",
        ),
        pytest.param(
            {"csi": {"volumeAttributes": {"server": NFS, "share": "/data/prysm", "subDir": "wallet-validator1"}}},
            {}, ONE, id="csi-below",
        ),
        pytest.param(nfs("/prysm/wallet-validator1"), {}, ONE, id="below-the-servers-root"),
        pytest.param(nfs("/export/data/prysm/wallet-validator1/direct"), {}, ONE, id="bind-mount"),
        pytest.param(
            {"flexVolume": {"options": {"share": f"{NFS}:/data/prysm/wallet-validator1"}}}, {}, ONE, id="flex-volume"
        ),
        pytest.param(
            {"csi": {"volumeAttributes": {"source": f"nfs://{NFS}/data/prysm/wallet-validator1"}}}, {}, ONE, id="source"
        ),
        pytest.param({"hostPath": {"path": "/mnt/nas/wallet-validator1"}}, {}, [None], id="a-mount-of-the-node"),
        pytest.param({"hostPath": {"path": "/data/prysm/wallet-validator1"}}, {}, [None], id="host-path"),
        pytest.param({"hostPath": {"path": "/data/prysm/wallet-validator1/direct"}}, {}, [None], id="host-path-within"),
        pytest.param({"secret": {"secretName": "wallet-password-validator1"}}, {}, [None], id="password"),
        pytest.param({"secret": {"secretName": "keystore-0"}}, {}, [None], id="keystores"),
        pytest.param({"secret": {"secretName": "t-validator-keys"}}, {}, [None], id="validator-keys"),
        pytest.param(
            {"secret": {"secretName": "x", "items": [{"key": "keystore-m_12381_3600_0_0_0-1.json", "path": "a"}]}},
            {}, [None], id="keystore-in-a-secret",
        ),
        pytest.param({"projected": {"sources": [{"secret": {"name": "validator-keys"}}]}}, {}, [None], id="projected"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["Pod", *_signers.TEMPLATES])
def test_a_workload_that_can_read_keys_is_a_signer_whatever_it_runs(
    kind: str, volume: dict[str, t.Any], mount: dict[str, t.Any], wallets: list[str | None]
) -> None:
    item = mounting(volume, kind, **mount)
    assert reads(item, kind) == wallets
    (found,) = _signers.signers(kind, item, "prysm", site())
    assert (found.client, found.entry, found.program) == ("other/app", "other/app", "")
    assert "it can read" in found.why


KEYSTORE = '{"version": 4,\n "crypto" : {"kdf": {"function": "scrypt"}, "checksum": {}}}'


@pytest.mark.parametrize(
    "data",
    [{"a": KEYSTORE}, {"a": "", "b.yaml": "type: file-raw\nprivateKey: 0x" + "1" * 64}, {"0x" + "a" * 96: "x"}],
    ids=["keystore", "raw-key", "named-by-its-key"],
)
@pytest.mark.parametrize("how", ["volume", "projected", "variable", "variables"])
def test_a_secret_counts_by_what_it_says_whatever_its_name(how: str, data: dict[str, str]) -> None:
    volume = {"projected": {"sources": [{"secret": {"name": "app"}}]}} if how == "projected" else {"emptyDir": {}}
    item = mounting({"secret": {"secretName": "app"}} if how == "volume" else volume)
    container = item["spec"]["template"]["spec"]["containers"][0]
    if how == "variable":
        key = list(data)[-1]
        container["env"] = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "app", "key": key}}}]
    elif how == "variables":
        container["envFrom"] = [{"secretRef": {"name": "app"}}]
    secrets = {("other", "app"): data}
    assert reads(item, known=site(secret=lambda *key: secrets.get(key))) == [None]
    if how == "variable" and key.startswith("0x"):
        return  # The name of what it takes says it.
    assert reads(item, known=site(secret=lambda *_key: {"a": "postgres://", "tls.crt": "x"})) == []
    assert reads(item, known=site()) == []


@pytest.mark.parametrize(
    "name",
    ["teku-keys", "prysm-wallet", "validator1-wallet", "validators-keys", "staking-keys", "nimbus-secrets",
     "dirk-wallets", "charon-enr-private-key", "web3signer-keys", "mainnet-validator-mnemonic", "wallet-direct"],
)  # fmt: skip
def test_names_of_secrets_that_hold_keys(name: str) -> None:
    assert reads(mounting({"secret": {"secretName": name}})) == [None]


@pytest.mark.parametrize("name", ["jwt-signing-keys", "android-keystore", "ssh-keys", "db-wallet", "validator-config"])
def test_names_of_other_secrets(name: str) -> None:
    assert reads(mounting({"secret": {"secretName": name}})) == []


def test_a_program_of_any_name_is_told_by_its_configuration() -> None:
    item = mounting({"configMap": {"name": "c"}})
    item["spec"]["template"]["spec"]["containers"][0]["args"] = ["--config-file", "/mnt/v.yaml"]
    texts = {"v.yaml": "datadir: /d\nwallet-dir: /w\n"}
    assert reads(item, known=site(config_map=lambda *_key: texts)) == [None]
    texts["v.yaml"] = "datadir: /d\n"
    assert reads(item, known=site(config_map=lambda *_key: texts)) == []


VC = "exec lighthouse vc --datadir /d\n"


def starting(name: str, text: str, kind: str = "configMap", **more: t.Any) -> tuple[t.Any, _signers.Storage]:
    """A workload that mounts one file of a config map or Secret at /s."""
    volume = {"configMap": {"configMap": {"name": "c"}}, "secret": {"secret": {"secretName": "c"}}}[kind]
    item = mounting(volume, mountPath="/s")
    item["spec"]["template"]["spec"]["containers"][0].update(more)

    def texts(_namespace: str, _name: str) -> dict[str, str]:
        return {name: text}

    return item, site(**{"config_map" if kind == "configMap" else "secret": texts})


@pytest.mark.parametrize("kind", ["configMap", "secret"])
@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("start.sh", VC, ["sh", "start.sh"]),
        ("start.sh", VC, ["./start.sh"]),
        ("start.sh", "#!/bin/sh\n" + VC, ["sh", "-c", "cd /s && ./start.sh"]),
        ("run", VC, ["sh", "/s/run"]),
        ("run", VC, ["sh", "-c", "cat /s/run | sh"]),
        ("run", VC, ["sh", "-c", "cp /s/run /tmp/x; sh /tmp/x"]),
        ("lib.sh", "start() { lighthouse vc; }\n", ["bash", "-c", ". /s/lib.sh; start"]),
        ("supervisord.conf", "[program:a]\ncommand=/opt/lighthouse vc\n", ["supervisord", "-c", "/s/supervisord.conf"]),
        ("Procfile", "a: lighthouse vc\n", ["foreman", "start"]),
        ("docker-entrypoint.sh", "#!/bin/sh\n/opt/app --wallet-dir=/w\n", []),
    ],
)
def test_scripts_that_a_container_can_read_are_read(kind: str, name: str, text: str, command: list[str]) -> None:
    item, known = starting(name, text, kind, command=command)
    assert reads(item, known=known) == [None]


@pytest.mark.parametrize(
    ("name", "text", "more"),
    [
        ("user", "validator", {}),
        ("password", "lighthouse", {}),
        ("prometheus.yml", "- job_name: lighthouse vc\n", {}),
        ("dashboard.json", '{"title": "lighthouse vc"}', {}),
        ("notes.md", "Run `lighthouse vc`.\n", {}),
        ("wait.sh", "until curl -fs http://validator1:8081/healthz; do sleep 1; done\n", {}),
        ("init.sql", "create user validator;\n", {}),
        # What runs beside a client's other programs is decided by what is told.
        ("vc.sh", VC, {"image": "sigp/lighthouse:v8", "args": ["lighthouse", "bn"]}),
        ("vc.sh", VC, {"image": "gcr.io/offchainlabs/prysm/beacon-chain:v7", "args": ["--datadir=/d"]}),
    ],
)
@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_other_files_of_a_container_say_nothing(kind: str, name: str, text: str, more: dict[str, t.Any]) -> None:
    item, known = starting(name, text, kind, **more)
    assert reads(item, known=known) == []


@pytest.mark.parametrize("hook", ["postStart", "preStop", "livenessProbe", "readinessProbe", "startupProbe"])
def test_commands_beside_a_containers_own_count(hook: str) -> None:
    command = {"exec": {"command": ["sh", "-c", "pgrep lighthouse || lighthouse vc &"]}}
    more = {hook: command} if hook.endswith("Probe") else {"lifecycle": {hook: command}}
    item, known = starting("x", "", command=["sleep", "infinity"], **more)
    assert reads(item, known=known) == [None]
    command["exec"]["command"] = ["sh", "-c", "curl -fs http://localhost:8080/healthz"]
    assert reads(item, known=known) == []


@pytest.mark.parametrize("path", ["/data/prysm", "/data/prysm/", "/data", "/", "//data//prysm"])
def test_a_mount_above_holds_all_wallets(path: str) -> None:
    assert {*reads(mounting(nfs(path)))} == {*WALLETS.values(), None}


def test_a_database_counts_as_well() -> None:
    (found,) = _signers.signers("Deployment", mounting(nfs(DATA["validator1"])), "prysm", site())
    assert (found.wallet.path, found.data.path) == (None, DATA["validator1"])
    assert "database /data/prysm/validator1" in found.why


@pytest.mark.parametrize(
    "volume",
    [
        nfs("/data/prysm/beacon"), nfs("/srv/other"), nfs("/data/prysmatic"), nfs("/data/prysm/validator10"),
        {"emptyDir": {}}, {"hostPath": {"path": "/"}}, {"hostPath": {"path": "/var/lib/kubelet"}},
        {"hostPath": {"path": "/var"}}, {"hostPath": {"path": "/proc"}}, {"hostPath": {"path": "/data/prysm/beacon"}},
        {"secret": {"secretName": "grafana-tls"}}, {"secret": {"secretName": "kafka-keystore"}},
        {"secret": {"secretName": "x-keystore", "items": [{"key": "keystore.jks", "path": "keystore.jks"}]}},
        {"secret": {"secretName": "beacon-jwt"}}, {"configMap": {"name": "coredns"}},
        {"projected": {"sources": [{"serviceAccountToken": {}}, {"configMap": {"name": "kube-root-ca.crt"}}]}},
    ],
)  # fmt: skip
def test_ordinary_volumes_do_not_count(volume: dict[str, t.Any]) -> None:
    assert reads(mounting(volume)) == []


@pytest.mark.parametrize("name", sorted(ORDINARY))
def test_ordinary_pods_are_no_signers(name: str) -> None:
    item = mounting({"hostPath": {"path": "/"}}, "Pod")
    item["spec"]["containers"] = [{**ORDINARY[name], "volumeMounts": [{"name": "v", "mountPath": "/host"}]}]
    assert _signers.signers("Pod", item, "prysm", site()) == []


@pytest.mark.parametrize("group", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("family", sorted(SIGNING))
def test_containers_of_all_kinds_count(group: str, family: str) -> None:
    for form in SIGNING[family].values():
        item = pod(phase="Pending")
        item["spec"] = {"containers": [{"name": "app", "image": "nginx"}], group: [form]}
        assert _signers.signers("Pod", item, "prysm", KNOWN)


def test_a_native_sidecar_that_runs_is_seen_to_run() -> None:
    item = pod()
    container = {**item["spec"]["containers"][0], "restartPolicy": "Always", "name": "side"}
    item["spec"].update(initContainers=[container], containers=[{"name": "app", "image": "nginx"}])
    item["status"]["initContainerStatuses"] = [{"name": "side", "state": {"running": {}}}]
    assert one(item).runs


def test_a_job_counts_until_it_has_finished() -> None:
    item = mounting(nfs(ONE[0]), "Job")
    item["spec"]["suspend"] = True
    assert reads(item, "Job") == ONE
    item["status"] = {"conditions": [{"type": "Suspended", "status": "True"}]}
    assert reads(item, "Job") == ONE
    item["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert reads(item, "Job") == []


def test_the_pods_that_import_and_fetch_are_no_signers() -> None:
    item = pod()
    item["spec"]["containers"][0] = {**ORDINARY["prysm-import"]}
    item["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/d"}]
    assert _signers.signers("Pod", item, "prysm", site()) == []
    item["spec"]["containers"][0]["volumeMounts"].append({"name": "wallet", "mountPath": "/w"})
    assert reads(item, "Pod") == ONE


def test_a_client_of_the_site_counts_once_and_its_guard_with_it() -> None:
    item = pod()
    mounts = item["spec"]["containers"][0]["volumeMounts"]
    item["spec"]["initContainers"] = [{**ORDINARY["guard-of-a-validator"], "volumeMounts": mounts}]
    (found,) = _signers.signers("Pod", item, "prysm", site())
    assert (found.client, found.wallet.path) == ("validator1", ONE[0])


def test_a_client_that_can_read_the_wallet_of_another_counts_for_both() -> None:
    item = pod()
    item["spec"]["volumes"].append({"name": "all", **nfs("/data/prysm")})
    item["spec"]["containers"][0]["volumeMounts"].append({"name": "all", "mountPath": "/all"})
    found = _signers.signers("Pod", item, "prysm", site())
    assert {signer.wallet.path for signer in found} >= {*WALLETS.values()}
    assert {signer.client for signer in found} == {"validator1"}


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "DaemonSet", "Job", "CronJob", "ReplicaSet"])
def test_only_a_stateful_set_is_the_client_of_its_name(kind: str) -> None:
    item = mounting(nfs(ONE[0]), kind)
    item["metadata"] = {"namespace": "prysm", "name": "validator1"}
    (found,) = _signers.signers(kind, item, "prysm", site())
    assert found.client == "prysm/validator1"


def test_a_pod_is_named_by_what_is_behind_it() -> None:
    def owned(kind: str, name: str, by: tuple[str, str] | None) -> tuple[str, dict[str, t.Any]]:
        owners = [{"kind": by[0], "name": by[1], "controller": True}] if by else []
        return kind, {"metadata": {"namespace": "other", "name": name, "ownerReferences": owners}}

    known = site(
        owned=[
            owned("ReplicaSet", "vc-5d4f", ("Deployment", "vc")),
            owned("ReplicaSet", "lone-set", None),
            owned("Job", "nightly-123", ("CronJob", "nightly")),
            owned("Job", "import-keys", None),
        ]
    )
    for by, name in (
        (("ReplicaSet", "vc-5d4f"), "vc"), (("ReplicaSet", "lone-set"), "lone-set"),
        (("ReplicaSet", "gone-77"), "gone"),
        (("Job", "nightly-123"), "nightly"), (("Job", "import-keys"), "import-keys"), (("DaemonSet", "a-b"), "a-b"),
    ):  # fmt: skip
        item = mounting(nfs(ONE[0]), "Pod")
        item["metadata"]["ownerReferences"] = [{"kind": by[0], "name": by[1], "controller": True}]
        (found,) = _signers.signers("Pod", item, "prysm", known)
        assert found.entry == f"other/{name}"


@pytest.mark.parametrize(
    ("args", "env", "paths"),
    [
        (["--wallet-dir=/w/a/../b"], {}, ["/wallets/b"]),
        (["--wallet-dir=//w//b/"], {}, ["/wallets/b"]),
        (["-wallet-dir=/w/b"], {}, ["/wallets/b"]),
        (["--wallet-dir", "/w/b"], {}, ["/wallets/b"]),
        (["--wallet-dir=/w/$(NAME)"], {"NAME": "b"}, ["/wallets/b"]),
        (["--wallet-dir=/w/$(NAME)"], {}, [None]),
        (["--wallet-dir=$(DIR)"], {"BASE": "/w", "DIR": "$(BASE)/b"}, ["/wallets/b"]),
        (["--wallet-dir=b"], {}, [None]),
        # The last counts; where they differ, all are said.
        (["--wallet-dir=/w/a", "--wallet-dir=/w/b"], {}, ["/wallets/b", "/wallets/a"]),
        (["--wallet-dir=/w/b", "--wallet-dir", "/w/b"], {}, ["/wallets/b"]),
        (["--wallet-dir=/w/a", "--wallet-dir=/elsewhere"], {}, [None, "/wallets/a"]),
        (["--config-file=/w/c.yaml"], {}, [None]),
    ],
)
def test_follows_the_wallet_directory(args: list[str], env: dict[str, str], paths: list[str | None]) -> None:
    item = mounting(nfs("/wallets"), "Pod", mountPath="/w")
    variables = [{"name": name, "value": value} for name, value in env.items()]
    item["spec"]["containers"][0].update(image="x/validator", args=[*args, "--datadir=/d"], env=variables)
    assert reads(item, "Pod") == paths


@pytest.mark.parametrize(
    ("mount", "variables", "path"),
    [
        ({"subPathExpr": "$(WHO)"}, [{"name": "WHO", "value": "b"}], "/wallets/b"),
        ({"subPathExpr": "$(POD)"}, [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
         "/wallets/app"),
        ({"subPathExpr": "$(WHO)"}, [{"name": "WHO", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}], None),
        ({"subPathExpr": "$(WHO)"}, [], None),
        ({"subPath": "a/../b"}, [], "/wallets/b"),
        ({"mountPropagation": "HostToContainer"}, [], "/wallets"),
    ],
)  # fmt: skip
def test_follows_what_a_mount_shows(mount: dict[str, t.Any], variables: list[t.Any], path: str | None) -> None:
    item = mounting(nfs("/wallets"), "Pod", mountPath="/w", **mount)
    item["spec"]["containers"][0].update(image="x/validator", args=["--wallet-dir=/w", "--datadir=/d"], env=variables)
    assert reads(item, "Pod") == [path]
    if "mountPropagation" in mount:
        item["spec"]["containers"][0]["args"][0] = "--wallet-dir=/w/below"
        assert reads(item, "Pod") == [None]


def test_the_claims_of_a_stateful_set_are_followed() -> None:
    claims = [
        {"metadata": {"namespace": "other", "name": f"v-app-{i}"}, "spec": {"volumeName": f"pv-{i}"}} for i in range(2)
    ]
    volumes = [{"metadata": {"name": f"pv-{i}"}, "spec": nfs(f"/data/prysm/wallet-validator{i + 1}")} for i in range(2)]
    known = _signers.storage([NFS], claims, volumes, WALLETS, DATA, "/data/prysm")
    item = mounting({}, "StatefulSet")
    item["spec"]["template"]["spec"]["volumes"] = []
    assert sorted(map(str, reads(item, "StatefulSet", known))) == sorted(WALLETS.values())


def test_a_volume_kept_for_a_claim_counts_as_its_volume() -> None:
    claims: list[t.Any] = [{"metadata": {"namespace": "other", "name": "c"}, "spec": {}}]
    volumes = [{"metadata": {"name": "pv"}, "spec": {**nfs(ONE[0]), "claimRef": {"namespace": "other", "name": "c"}}}]
    known = _signers.storage([NFS], claims, volumes, WALLETS, DATA, "/data/prysm")
    assert reads(mounting({"persistentVolumeClaim": {"claimName": "c"}}), known=known) == ONE


@pytest.mark.parametrize(
    ("data", "volume"),
    [
        ({"run.sh": "#!/bin/sh\nexec lighthouse vc --datadir=/d\n"}, {"configMap": {"name": "c"}}),
        (
            {"x": "#!/bin/sh\nexec lighthouse vc"},
            {"configMap": {"name": "c", "items": [{"key": "x", "path": "run.sh"}]}},
        ),
        ({"run.sh": "teku vc"}, {"projected": {"sources": [{"configMap": {"name": "c"}}]}}),
        ({"keystore-0.json": "{}"}, {"configMap": {"name": "c"}}),
        ({"any": '{"crypto": {"kdf": {}}, "pubkey": "00"}'}, {"configMap": {"name": "c"}}),
    ],
)
def test_config_maps_are_read(data: dict[str, str], volume: dict[str, t.Any]) -> None:
    item = mounting(volume, "Pod")
    item["spec"]["containers"][0]["command"] = ["sh", "/mnt/run.sh"]
    maps = {("other", "c"): data}
    assert _signers.signers("Pod", item, "prysm", site(config_map=lambda space, name: maps.get((space, name))))
    item["spec"]["containers"][0]["command"] = ["sh", "/mnt/other.sh"]
    harmless = {("other", "c"): {"run.sh": "exec nginx", "history.json": '{"keys": {"0x00": {}}}'}}
    assert not _signers.signers("Pod", item, "prysm", site(config_map=lambda space, name: harmless.get((space, name))))


def test_a_configuration_is_read_where_a_config_map_or_the_pod_itself_writes_it() -> None:
    teku = {"name": "teku", "image": "consensys/teku", "args": ["--config-file=/data/teku.yaml"]}
    teku["volumeMounts"] = [{"name": "v", "mountPath": "/data"}]  # type: ignore[list-item]
    item = mounting({"emptyDir": {}}, "Pod")
    item["spec"]["containers"] = [teku]
    (found,) = _signers.signers("Pod", item, "prysm", site())
    assert "/data/teku.yaml, which may give it keys, cannot be looked into" in found.why
    script = "echo 'data-path: /d' > /x/teku.yaml; echo \"ee-endpoint: $EE\" >> /x/teku.yaml"
    writer = {"name": "init", "image": "busybox", "command": ["sh", "-c", script]}
    writer["volumeMounts"] = [{"name": "v", "mountPath": "/x"}]  # type: ignore[list-item]
    item["spec"]["initContainers"] = [writer]
    assert _signers.signers("Pod", item, "prysm", site()) == []
    for line in (
        "echo 'validator-keys: /k:/p' >> /x/teku.yaml",
        "cat /keys >> /x/teku.yaml",
        "sed s/a/b/ > /x/teku.yaml",
    ):
        writer["command"] = ["sh", "-c", f"{script}; {line}"]
        assert _signers.signers("Pod", item, "prysm", site()), line
    maps = {("other", "c"): {"teku.yaml": "data-path: /d"}}
    item["spec"].update(initContainers=[], volumes=[{"name": "v", "configMap": {"name": "c"}}])
    known = site(config_map=lambda space, name: maps.get((space, name)))
    assert _signers.signers("Pod", item, "prysm", known) == []


def test_variables_from_secrets_with_keys_count() -> None:
    item = mounting({"emptyDir": {}}, "Pod")
    container = item["spec"]["containers"][0]
    container["env"] = [
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "wallet-password-validator1", "key": "p"}}}
    ]
    assert reads(item, "Pod") == [None]
    container["env"] = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "grafana", "key": "password"}}}]
    assert reads(item, "Pod") == []
    container["envFrom"] = [{"secretRef": {"name": "validator-keys"}}]
    assert reads(item, "Pod") == [None]


def test_a_release_is_read_with_the_defaults_of_its_chart_and_its_claims() -> None:
    values = {"validators": {"v": {"walletExistingClaim": "w", "dataVolumePath": "/data//prysm/v/"}}}
    secret = release(values)
    (seen,) = _signers.released(secret, "prysm", KNOWN)
    assert (seen.wallet.path, seen.data.path) == (None, None)
    text = {"chart": {"metadata": {"name": "eth2prysm"}, "values": {"nfs": {"serverIp": NFS}}}, "config": values}
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(text).encode()))).decode()
    secret["data"] = {"release": packed}
    claims = [{"metadata": {"namespace": "other", "name": "w"}, "spec": {"volumeName": "pv-wallet"}}]
    (seen,) = _signers.released(secret, "prysm", _signers.storage([NFS], claims, VOLUMES))
    assert (seen.wallet.path, seen.data.path) == ("/data/prysm/wallet-validator1", "/data/prysm/v")


@needs_helm
def test_of_the_charts_own_workloads_only_its_validators_are_signers() -> None:
    docs = render({"validators": {"validator1": {"graffiti": "exec lighthouse vc"}}}).values()
    by_kind: dict[str, list[t.Any]] = {}
    for item in docs:
        item["metadata"].setdefault("namespace", "prysm")
        by_kind.setdefault(item["kind"], []).append(item)
    maps = {item["metadata"]["name"]: item.get("data") or {} for item in by_kind["ConfigMap"]}
    server = by_kind["PersistentVolume"][0]["spec"]["nfs"]["server"]
    known = _signers.storage(
        [server], by_kind["PersistentVolumeClaim"], by_kind["PersistentVolume"], WALLETS, DATA, "/data/prysm",
        config_map=lambda _space, name: maps.get(name),
    )  # fmt: skip
    found = [
        signer for item in by_kind["StatefulSet"] for signer in _signers.signers("StatefulSet", item, "prysm", known)
    ]
    assert found and all(signer.program == "Prysm" and signer.wallet.path and signer.data.path for signer in found)
    names = [item["metadata"]["name"] for item in by_kind["StatefulSet"]]
    assert [signer.client for signer in found] == [name for name in names if "beacon" not in name]


@pytest.mark.parametrize(
    ("volume", "counts"),
    [
        ("/data/v+1", True),
        ("/data/v+1/validator.db", True),
        ("172.20.10.10:/data/v+1", True),
        ("172.20.10.10:/data/wallet/direct", True),
        ("/data/v+10", False),
        ("/data/vv1", False),
        ("/data", False),
        ("/mnt/data/v+1", False),
    ],
)
def test_a_process_counts_by_what_it_has_of_the_directories(volume: str, counts: bool) -> None:
    read = {
        "a": [{"pid": 7, "reason": "it is Prysm", "volumes": ["/other", volume]}],
        "b": [{"pid": 8, "reason": "it is Prysm"}, {"pid": 9, "reason": "it is Teku", "volumes": []}],
    }
    found = _signers.processes_using(read, ["/data/v+1", "/data/wallet"])
    assert found == (["process 7 on a (it is Prysm)"] if counts else [])
