"""Who can sign in a cluster, told from the API server's own objects."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _signers
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError

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


@pytest.mark.parametrize("data", [None, {}, {"release": "!"}, {"release": "eA=="}, {"release": "ZUE9PQ=="}])
def test_a_release_that_cannot_be_read_is_danger(data: t.Any) -> None:
    with pytest.raises(StakingError, match="the Helm release other/site cannot be read"):
        _signers.released({**release({}), "data": data}, "prysm", KNOWN)
