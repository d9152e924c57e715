"""The library kubernetes in parts: what reads kubeconfigs and sends requests, without its models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster import _kubernetes

COLLECTIONS = Path(__file__).parents[4] / "collections"
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {token: secret}}]
"""
TRY = """
import sys
from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster import _kubernetes
%s
library = _kubernetes.load()
assert not [name for name in sys.modules if name.startswith("kubernetes")] or %r
client = library.config.new_client_from_config(config_file=sys.argv[1])
assert client.configuration.host == "https://127.0.0.1:1"
assert client.configuration.get_api_key_with_prefix("authorization") == "Bearer secret"
try:
    client.call_api("/version", "GET", auth_settings=["BearerToken"], _preload_content=False, _request_timeout=1)
except library.api_exception:
    raise SystemExit("an answer, where nobody listens")
except Exception as exc:
    assert "127.0.0.1" in str(exc), exc
import kubernetes
assert kubernetes.client.CoreV1Api and kubernetes.client.V1Pod
"""


def run(script: str, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
    command = [sys.executable, "-c", script, *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("before", "whole"),
    [
        pytest.param("", False, id="in-parts"),
        pytest.param("import kubernetes", True, id="loaded-before"),
        pytest.param("_kubernetes._parts = lambda: importlib.no_such_thing", True, id="whose-parts-are-others"),
    ],
)
def test_a_client_comes_of_it_and_the_whole_library_still_does(
    before: str, whole: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(KUBECONFIG)
    script = TRY % (before.replace("importlib", "_kubernetes.importlib"), whole)
    run(script, str(path))


def test_the_models_are_not_read() -> None:
    script = (
        "import sys\nseen = []\n"
        "class Spy:\n    find_spec = staticmethod(lambda name, *_: seen.append(name))\n"
        "sys.meta_path.insert(0, Spy)\n"
        "from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster import _cluster\n"
        "assert _cluster.IMPORT_ERROR is None, _cluster.IMPORT_ERROR\n"
        "assert 'kubernetes.client.api_client' in seen\n"
        "assert not [name for name in seen if name.startswith('kubernetes.client.models.')]\n"
    )
    run(script)


def test_a_library_that_is_not_there_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kubernetes.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(_kubernetes.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(ImportError):
        _kubernetes.load()
