"""The nodes of a cluster, and why they cannot be named."""

from __future__ import annotations

import json
import socket
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.modules import cluster_nodes_info


def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, server: str) -> dict[str, t.Any]:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    with patch_module_args({"kubeconfig": str(path)}), pytest.raises(SystemExit):
        cluster_nodes_info.main()
    return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


def test_a_server_that_is_not_there_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        told = ask(capsys, tmp_path, f"https://127.0.0.1:{closed.getsockname()[1]}")["msg"]
    assert "refused" in told and "object at 0x" not in told and len(told) < 120


@pytest.mark.parametrize(
    ("words", "plain"),
    [
        (
            "/api/v1/nodes: HTTPSConnectionPool(host='10.0.0.1', port=16443): Max retries exceeded with url: "
            "/api/v1/nodes (Caused by ConnectTimeoutError(<HTTPSConnection(host='10.0.0.1', port=16443) at 0x7f>, "
            "'Connection to 10.0.0.1 timed out. (connect timeout=10)'))",
            "Connection to 10.0.0.1 timed out. (connect timeout=10)",
        ),
        ("/api/v1/nodes: 403 Forbidden", "/api/v1/nodes: 403 Forbidden"),
        ("the Python library kubernetes is missing: x", "the Python library kubernetes is missing: x"),
    ],
)
def test_what_is_said_of_a_connection_is_plain(words: str, plain: str) -> None:
    assert cluster_nodes_info.plain(words) == plain
