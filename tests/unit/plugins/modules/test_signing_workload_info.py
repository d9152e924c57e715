"""The whole way over HTTP: an API server of a few objects is asked as the real one is."""

from __future__ import annotations

import base64
import json
import threading
import typing as t
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("kubernetes")

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Cluster, NotYet
from ansible_collections.eth2xk8s.staking.plugins.modules import signing_workload_info
from tests.unit.plugins.keys_support import PUBKEYS, run_module
from tests.unit.plugins.module_utils.signing_forms import ORDINARY, SIGNING
from tests.unit.plugins.module_utils.test_signers import CLAIMS, NFS, SPEC, VOLUMES, pod, release

METRICS = f'validator_statuses{{pubkey="{PUBKEYS[0]}"}} 3\n'
PROXY = "/api/v1/namespaces/prysm/pods/validator1-0:9000/proxy/metrics"
LISTS = (*signing_workload_info._LISTS.values(), "/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes",
         "/api/v1/secrets", "/api/v1/configmaps")  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> t.Iterator[dict[str, t.Any]]:
    """Path -> answer (text, or a list of objects); kubeconfig names the file that leads there."""
    answers: dict[str, t.Any] = {path: [] for path in LISTS}
    answers["queries"] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            answers["queries"][path] = urllib.parse.unquote(query)
            answer = answers.get(urllib.parse.unquote(self.path), answers.get(path))
            self.send_response(200 if answer is not None else 503)
            self.end_headers()
            if answer is None:
                self.wfile.write(b"*execution.Service: ERROR, why")
            if answer is not None:
                text = answer if isinstance(answer, str) else json.dumps({"items": answer})
                self.wfile.write(text.encode())

        def log_message(self, *_: t.Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "x"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    answers["kubeconfig"] = str(tmp_path / "config")
    yield answers
    server.shutdown()
    server.server_close()


def look(api: dict[str, t.Any], **params: t.Any) -> dict[str, t.Any]:
    return run_module(
        signing_workload_info, kubeconfig=api["kubeconfig"], storage_hosts=[NFS], **{"timeout": 0, **params}
    )


def test_without_a_cluster_nobody_signs(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none")
    result = run_module(signing_workload_info, kubeconfig=nowhere, missing_ok=True)
    assert (result["exists"], result["workloads"], result["live"]) == (False, [], {})
    assert "cannot be read, so any key may be in use" in run_module(signing_workload_info, kubeconfig=nowhere)["msg"]


def test_an_empty_cluster_has_no_signer(api: dict[str, t.Any]) -> None:
    result = look(api)
    assert (result["exists"], result["workloads"], result["live"]) == (True, [], {})


def test_finds_the_sites_client_and_a_second_one_on_its_wallet(api: dict[str, t.Any]) -> None:
    api["/api/v1/persistentvolumeclaims"], api["/api/v1/persistentvolumes"] = CLAIMS, VOLUMES
    second = {"metadata": {"namespace": "old", "name": "validator"}, "spec": {"template": {"spec": {**SPEC}}}}
    second["spec"]["template"]["spec"]["volumes"] = [
        {"name": "wallet", "nfs": {"server": NFS, "path": "/data/prysm/wallet-validator1"}}
    ]
    api["/api/v1/pods"], api["/apis/apps/v1/deployments"] = [pod()], [second]
    api[PROXY] = METRICS
    result = look(api)
    assert result["live"] == {"validator1": [PUBKEYS[0]]}
    assert [(w["client"], w["wallet"]) for w in result["workloads"]] == [
        ("validator1", "/data/prysm/wallet-validator1"),
        ("old/validator", "/data/prysm/wallet-validator1"),
    ]
    assert [w["client"] for w in look(api, ignore=["old/validator"])["workloads"]] == ["validator1"]


@pytest.mark.parametrize("path", [*LISTS, PROXY])
def test_what_cannot_be_read_is_danger(api: dict[str, t.Any], path: str) -> None:
    reader = pod("other")
    reader["spec"]["containers"] = [{"name": "a", "image": "b", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}]
    reader["spec"]["volumes"] = [{"name": "c", "configMap": {"name": "c"}}]
    api["/api/v1/pods"], api[PROXY] = [pod(), reader], METRICS
    assert not look(api).get("failed")
    del api[path]
    result = look(api)
    assert result["failed"] and "cannot be read, so any key may be in use" in result["msg"]


def test_what_is_said_with_a_refusal_is_kept(api: dict[str, t.Any]) -> None:
    with pytest.raises(NotYet, match="503") as caught:
        Cluster(api["kubeconfig"]).proxy("prysm", "beacon-0", 8080, "/healthz")
    assert caught.value.body == "*execution.Service: ERROR, why"


def test_a_running_client_that_hides_its_keys_is_danger(api: dict[str, t.Any]) -> None:
    hiding = pod()
    hiding["spec"]["containers"][0]["args"].append("--disable-account-metrics")
    api["/api/v1/pods"] = [hiding]
    assert "its metrics are off" in look(api)["msg"]


def other(kind: str = "Deployment", **spec: t.Any) -> dict[str, t.Any]:
    """A workload with a Lighthouse that signs."""
    template = {"spec": {"containers": [SIGNING["Lighthouse"]["vc"]], **spec}}
    return {"metadata": {"namespace": "old", "name": "lh"}, "spec": {"replicas": 0, "template": template}}


def running(name: str = "lh-5d-x") -> dict[str, t.Any]:
    return {
        "metadata": {
            "namespace": "old",
            "name": name,
            "ownerReferences": [{"kind": "ReplicaSet", "name": "lh-5d", "controller": True}],
        },
        "spec": {"containers": [SIGNING["Lighthouse"]["vc"]]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}}]},
    }


def test_a_client_of_others_that_is_switched_off_is_said_with_the_entry_to_add(api: dict[str, t.Any]) -> None:
    api["/apis/apps/v1/deployments"] = [other()]
    (seen,) = look(api)["workloads"]
    assert (seen["client"], seen["wallet"], seen["data_dir"]) == ("old/lh", None, None)
    assert "Deployment old/lh (it is Lighthouse, told vc" in seen["where"]
    assert "made sure that it has no key of this site, add old/lh to prysm_wallet_foreign_signers" in seen["where"]
    for params in ({"ignore": ["old/lh"]}, {"asked": ["old/lh"]}):
        assert look(api, **params)["workloads"] == []
    for params in ({"ignore": ["lh"]}, {"asked": ["other/lh"]}, {"ignore": ["prysm/lh"]}):
        assert len(look(api, **params)["workloads"]) == 1


def test_a_client_of_others_that_runs_is_a_refusal_that_says_both_ways_out(api: dict[str, t.Any]) -> None:
    api["/apis/apps/v1/deployments"], api["/api/v1/pods"] = [other()], [running(), running("lh-5d-y")]
    sets = {"metadata": {**other()["metadata"], "name": "lh-5d"}, "spec": other()["spec"]}
    sets["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "lh", "controller": True}]
    api["/apis/apps/v1/replicasets"] = [sets]
    message = look(api)["msg"]
    assert "Pod old/lh-5d-x runs (it is Lighthouse, told vc), and which keys it has is not known" in message
    assert "with client old/lh, in prysm_wallet_key_managers" in message
    assert "add old/lh to prysm_wallet_foreign_signers" in message
    assert "old/lh-5d-y" in message
    for params in ({"ignore": ["old/lh"]}, {"asked": ["old/lh"]}):
        result = look(api, **params)
        assert (result["workloads"], result["live"]) == ([], {})


def test_a_client_that_is_asked_elsewhere_may_not_have_a_wallet_of_the_site(api: dict[str, t.Any]) -> None:
    wallets = {"validator1": "/data/prysm/wallet-validator1"}
    item = other(volumes=[{"name": "v", "nfs": {"server": NFS, "path": "/data/prysm"}}])
    container = {**SIGNING["Lighthouse"]["vc"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    item["spec"]["template"]["spec"]["containers"] = [container]
    api["/apis/apps/v1/deployments"] = [item]
    (seen,) = look(api, asked=["old/lh"], wallets=wallets, data_root="/data/prysm")["workloads"]
    assert (seen["client"], seen["wallet"]) == ("old/lh", wallets["validator1"])


@pytest.mark.parametrize("kind", sorted(set(signing_workload_info._LISTS) - {"Pod", "CronJob"}))
def test_every_kind_is_asked_for(api: dict[str, t.Any], kind: str) -> None:
    api[signing_workload_info._LISTS[kind]] = [other(suspend=True)]
    assert [seen["client"] for seen in look(api)["workloads"]] == ["old/lh"]


def test_pods_of_prysm_whose_metrics_are_off_may_be_asked_elsewhere(api: dict[str, t.Any]) -> None:
    hiding = pod()
    hiding["spec"]["containers"][0]["args"].append("--disable-monitoring")
    api["/api/v1/pods"] = [hiding]
    assert look(api).get("failed")
    for name in ("validator1", "prysm/validator1"):
        assert look(api, asked=[name])["live"] == {}


def test_a_pod_that_can_read_a_wallet_is_named(api: dict[str, t.Any]) -> None:
    backup = pod("tools")
    backup["metadata"]["ownerReferences"] = []
    backup["spec"]["containers"][0] = {"name": "b", "image": "restic/restic", "args": ["backup", "/w"]}
    backup["spec"]["containers"][0]["volumeMounts"] = [{"name": "w", "mountPath": "/w"}]
    backup["spec"]["volumes"] = [{"name": "w", "nfs": {"server": NFS, "path": "/data/prysm/wallet-validator1/"}}]
    api["/api/v1/pods"] = [backup]
    wallets = {"validator1": "/data/prysm/wallet-validator1"}
    (seen,) = look(api, wallets=wallets, data_root="/data/prysm")["workloads"]
    assert (seen["client"], seen["wallet"]) == ("tools/validator1-0", wallets["validator1"])
    assert "it can read the wallet /data/prysm/wallet-validator1" in seen["where"]


def test_a_secret_is_read_for_keystores_and_nothing_of_it_is_returned(api: dict[str, t.Any]) -> None:
    keystore = '{"crypto": {"kdf": {"function": "scrypt"}}, "pubkey": "8e48", "version": 4}'
    data = {"a": base64.b64encode(keystore.encode()).decode(), "b": "*", "c": None}
    secret = {"metadata": {"namespace": "tools", "name": "app"}, "data": data}
    api["/api/v1/secrets?fieldSelector=type!=helm.sh/release.v1"] = [secret]
    api["/api/v1/pods"] = [pod("tools")]
    container = {"name": "a", "image": "x/y", "volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    volumes = [{"name": "s", "secret": {"secretName": "app"}}]
    api["/api/v1/pods"][0]["spec"] = {"containers": [container], "volumes": volumes}
    result = look(api)
    assert ["it can read the Secret tools/app" in one["where"] for one in result["workloads"]] == [True]
    assert "scrypt" not in json.dumps(result)


def test_ordinary_pods_say_nothing(api: dict[str, t.Any]) -> None:
    pods = []
    for name, container in ORDINARY.items():
        pods.append(pod("kube-system"))
        pods[-1]["metadata"]["name"] = name
        pods[-1]["spec"] = {"containers": [container]}
    api["/api/v1/pods"] = pods
    assert look(api)["workloads"] == []


def test_releases_count_whatever_became_of_them(api: dict[str, t.Any]) -> None:
    paths = {"walletVolumePath": "/data/prysm/wallet-v", "dataVolumePath": "/data/prysm/v"}
    api["/api/v1/secrets"] = [release({"nfs": {"serverIp": NFS}, "validators": {"v": paths}})]
    assert [seen["client"] for seen in look(api)["workloads"]] == ["other/v"]
    # Failed and unfinished ones too: only values that were replaced, or taken away, count no more.
    query = api["queries"]["/api/v1/secrets"]
    assert query == "labelSelector=owner=helm,status!=superseded,status!=uninstalled"


def two_pods(**waiting: t.Any) -> list[dict[str, t.Any]]:
    """One that signs, and its standby in the guard: its container runs, and nothing answers there."""
    signs, waits = pod(), pod()
    waits["metadata"]["name"] = "validator1-1"
    for made, ready in ((signs, True), (waits, False)):
        for entry in made["status"]["containerStatuses"]:
            entry.update(ready=ready, started=ready)
    waits["status"]["containerStatuses"][0].update(waiting)
    return [signs, waits]


def test_a_standby_has_the_keys_of_the_one_that_signs(api: dict[str, t.Any]) -> None:
    api["/api/v1/persistentvolumeclaims"], api["/api/v1/persistentvolumes"] = CLAIMS, VOLUMES
    api["/api/v1/pods"], api[PROXY] = two_pods(), METRICS
    result = look(api)
    assert result["live"] == {"validator1": [PUBKEYS[0]]}, result.get("msg")
    assert {w["client"] for w in result["workloads"]} == {"validator1"}


@pytest.mark.parametrize("which", ["has-started", "alone", "another-wallet", "the-other-waits-too"])
def test_one_that_may_be_more_than_a_standby_is_danger(api: dict[str, t.Any], which: str) -> None:
    api["/api/v1/persistentvolumeclaims"], api["/api/v1/persistentvolumes"] = CLAIMS, VOLUMES
    api[PROXY] = METRICS
    signs, waits = two_pods(**({"started": True} if which == "has-started" else {}))
    if which == "another-wallet":
        claim = next(v for v in waits["spec"]["volumes"] if "wallet" in v["name"])
        claim.clear()
        claim.update(name="wallet", nfs={"server": NFS, "path": "/data/prysm/wallet-validator2"})
    if which == "the-other-waits-too":
        signs["status"]["containerStatuses"][0].update(ready=False, started=False)
        del api[PROXY]
    api["/api/v1/pods"] = [waits] if which == "alone" else [signs, waits]
    result = look(api)
    assert result["failed"] and "so any key may be in use" in result["msg"]


OWN = {"validator1": {"wallet": "validator1-wallet", "data": "validator1-data"}}


def on_claims(api: dict[str, t.Any]) -> None:
    """The site's client on volumes of a storage class, of which nobody knows a path."""
    api["/api/v1/persistentvolumeclaims"] = CLAIMS
    api["/api/v1/persistentvolumes"] = [
        {"metadata": {"name": f"pv-{what}"}, "spec": {"csi": {"driver": "x", "volumeHandle": what}}}
        for what in ("data", "wallet")
    ]
    api["/api/v1/pods"], api[PROXY] = [pod()], METRICS


def test_the_sites_own_claims_are_no_wallet_of_somebody_else(api: dict[str, t.Any]) -> None:
    on_claims(api)
    assert "add prysm/validator1 to prysm_wallet_foreign_signers" in look(api)["workloads"][0]["where"]
    result = look(api, claims=OWN)
    assert (result["workloads"], result["unseen"]) == ([], ["validator1"])
    # What it signs with counts all the same.
    assert result["live"] == {"validator1": [PUBKEYS[0]]}


def test_a_machine_that_sees_them_is_where_they_are_read(api: dict[str, t.Any]) -> None:
    on_claims(api)
    paths = {"wallets": {"validator1": "/mnt/wallet"}, "data_dirs": {"validator1": "/mnt/data"}}
    result = look(api, claims=OWN, **paths)
    assert [(w["client"], w["wallet"], w["data_dir"]) for w in result["workloads"]] == [
        ("validator1", "/mnt/wallet", "/mnt/data")
    ]
    assert result["unseen"] == []


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"validator1": {**OWN["validator1"], "wallet": "other"}}, id="another-wallet"),
        pytest.param({"validator1": {**OWN["validator1"], "data": "other"}}, id="another-database"),
        pytest.param({"validator2": OWN["validator1"]}, id="another-client-s"),
        pytest.param({"validator1": {"wallet": "validator1-wallet"}}, id="half"),
    ],
)
def test_a_client_on_other_claims_than_its_own_is_named(api: dict[str, t.Any], claims: dict[str, t.Any]) -> None:
    on_claims(api)
    result = look(api, claims=claims)
    assert [w["client"] for w in result["workloads"]] == ["validator1"]
    assert result["workloads"][0]["wallet"] is None
    assert result["unseen"] == []


def test_claims_of_the_same_names_elsewhere_are_not_the_sites(api: dict[str, t.Any]) -> None:
    on_claims(api)
    strange = pod("old")
    api["/api/v1/pods"] = [pod(), strange]
    api[PROXY.replace("prysm", "old")] = METRICS
    result = look(api, claims=OWN)
    assert [w["client"] for w in result["workloads"]] == ["old/validator1"]
    assert result["live"] == {"validator1": [PUBKEYS[0]], "old/validator1": [PUBKEYS[0]]}


def test_another_workload_on_the_sites_claims_is_named(api: dict[str, t.Any]) -> None:
    on_claims(api)
    second = {"metadata": {"namespace": "prysm", "name": "copy"}, "spec": {"template": {"spec": SPEC}}}
    api["/apis/apps/v1/deployments"] = [second]
    result = look(api, claims=OWN)
    assert [w["client"] for w in result["workloads"]] == ["prysm/copy"]
