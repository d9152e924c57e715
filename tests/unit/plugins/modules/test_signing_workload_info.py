"""The whole way over HTTP: an API server of a few objects is asked as the real one is."""

from __future__ import annotations

import json
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("kubernetes")

from ansible_collections.eth2xk8s.staking.plugins.modules import signing_workload_info
from tests.unit.plugins.keys_support import PUBKEYS, run_module
from tests.unit.plugins.module_utils.test_signers import CLAIMS, NFS, SPEC, VOLUMES, pod

METRICS = f'validator_statuses{{pubkey="{PUBKEYS[0]}"}} 3\n'
PROXY = "/api/v1/namespaces/prysm/pods/validator1-0:9000/proxy/metrics"
LISTS = (*signing_workload_info._LISTS.values(), "/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes",
         "/api/v1/secrets")  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> t.Iterator[dict[str, t.Any]]:
    """Path -> answer (text, or a list of objects); kubeconfig names the file that leads there."""
    answers: dict[str, t.Any] = {path: [] for path in LISTS}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            self.send_response(200 if answer is not None else 503)
            self.end_headers()
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
    api["/api/v1/pods"], api[PROXY] = [pod()], METRICS
    assert not look(api).get("failed")
    del api[path]
    result = look(api)
    assert result["failed"] and "cannot be read, so any key may be in use" in result["msg"]


def test_a_running_client_that_hides_its_keys_is_danger(api: dict[str, t.Any]) -> None:
    hiding = pod()
    hiding["spec"]["containers"][0]["args"].append("--disable-account-metrics")
    api["/api/v1/pods"] = [hiding]
    assert "its metrics are off" in look(api)["msg"]
