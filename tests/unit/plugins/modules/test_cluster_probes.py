"""Probes of a cluster that looks well: watches that deliver nothing, a tunnel that loses packets, an empty backup."""

from __future__ import annotations

import io
import json
import socket
import ssl
import subprocess
import tarfile
import threading
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.modules import (
    microk8s_backup_info,
    microk8s_watch_probe,
    pod_network_probe,
)


def run(module: t.Any, capsys: pytest.CaptureFixture[str], **arguments: t.Any) -> dict[str, t.Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


# --- watches --------------------------------------------------------------------------------------------------------

# A kubectl with an object in a file: a watch follows the file, unless it is broken in one way or another.
KUBECTL = """#!/bin/sh
echo "$*" >> {root}/calls
case "$*" in
*apply*) cat > {root}/object; {apply} ;;
*--raw*) {watch} ;;
*patch*) for last in "$@"; do :; done; {patch} ;;
*delete*) rm -f {root}/object ;;
esac
"""
FOLLOW = "for n in $(seq 100); do cat {root}/event 2>/dev/null && break; sleep 0.05; done; exec sleep 30"
APPLIED = """echo '{{"metadata": {{"resourceVersion": "17"}}}}'"""
WRITE = 'echo "$last" > {root}/event'
WORKER = "This MicroK8s deployment is acting as a node in a cluster. Please use the microk8s kubectl on the master."


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., Path]:
    def make(apply: str = APPLIED, watch: str = FOLLOW, patch: str = WRITE) -> Path:
        program = tmp_path / "microk8s"
        parts = {"apply": apply, "watch": watch, "patch": patch}
        program.write_text(KUBECTL.format(root=tmp_path, **{k: v.format(root=tmp_path) for k, v in parts.items()}))
        program.chmod(0o755)
        monkeypatch.setattr(microk8s_watch_probe, "MICROK8S", str(program))
        return tmp_path

    return make


def test_an_event_that_comes_is_delivered(kubectl: t.Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    root = kubectl()
    result = run(microk8s_watch_probe, capsys)
    assert (result["delivered"], result["reason"], result["changed"]) == (True, "", False)
    calls = (root / "calls").read_text()
    assert "resourceVersion=17&" in calls, "what was there before is no event"
    assert calls.index("apply") < calls.index("--raw")
    assert not (root / "object").exists(), "nothing is left behind"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        pytest.param({"watch": "exec sleep 30"}, "not delivered to a watch within 0.5 seconds", id="deaf"),
        pytest.param({"watch": "echo gone >&2; exit 1"}, "a watch ended: gone", id="a-watch-that-ends"),
        pytest.param({"patch": "echo timed out >&2; exit 1"}, "could not be tried: timed out", id="no-writes"),
        pytest.param({"apply": "echo refused >&2; exit 1"}, "could not be tried: refused", id="no-api"),
        pytest.param({"apply": f"echo '{WORKER}'"}, "acting as a node in a cluster", id="a-worker"),
    ],
)
def test_what_does_not_come_is_named_with_its_remedy(
    kubectl: t.Callable[..., Path], capsys: pytest.CaptureFixture[str], broken: dict[str, str], why: str
) -> None:
    root = kubectl(**broken)
    result = run(microk8s_watch_probe, capsys, seconds=0.5)
    assert result["delivered"] is False
    assert why in result["reason"]
    if "watch" in broken:
        assert "snap restart microk8s.daemon-k8s-dqlite" in result["reason"]
        assert not (root / "object").exists()


def test_check_mode_writes_nothing(kubectl: t.Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    root = kubectl()
    assert run(microk8s_watch_probe, capsys, _ansible_check_mode=True)["delivered"] is None
    assert not (root / "calls").exists()


# --- the pods' network ----------------------------------------------------------------------------------------------


class Kubelet:
    """Something that listens like a kubelet, and reads what it is sent, or not."""

    def __init__(self, folder: Path, reads: bool = True) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=k", "-days", "2"),
                *("-keyout", folder / "key", "-out", folder / "crt"),
            ],
            check=True,
            capture_output=True,
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "crt", folder / "key")
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.server.bind(("127.0.0.1", 0))
        self.server.listen()
        self.port = self.server.getsockname()[1]
        self.reads = reads
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        plain, _ = self.server.accept()
        self.kept = self.context.wrap_socket(plain, server_side=True)
        while self.reads and self.kept.recv(65536):
            pass


PEER = [{"name": "worker", "address": "127.0.0.1"}]


def test_a_tunnel_that_carries_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = run(pod_network_probe, capsys, peers=PEER, port=Kubelet(tmp_path).port)["peers"]
    assert (found["name"], found["reason"]) == ("worker", "")
    assert found["seconds"] < 5


@pytest.mark.parametrize("kib", [64, 8192], ids=["all-of-it-is-in-the-sender", "not-even-that"])
def test_a_tunnel_that_carries_the_first_packets_only_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kib: int
) -> None:
    """A connection alone says nothing: small packets come through where large ones are lost."""
    kubelet = Kubelet(tmp_path, reads=False)
    (found,) = run(pod_network_probe, capsys, peers=PEER, port=kubelet.port, kib=kib, seconds=0.5)["peers"]
    assert "did not arrive within 0.5 seconds" in found["reason"]


def test_a_node_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (found,) = run(pod_network_probe, capsys, peers=PEER, port=port)["peers"]
    assert found["reason"] == "Connection refused"


# --- backups --------------------------------------------------------------------------------------------------------

WHOLE = {
    "0": ("/registry/namespaces/kube-system", b"ns"),
    "1": ("/registry/services/specs/default/kubernetes", b"svc"),
    "2": ("/registry/namespaces/prysm", b"ns"),
    "3": ("/registry/secrets/prysm/jwt", b"secret"),
}


def archive(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo("backup")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(f"backup/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def pairs(entries: dict[str, tuple[str, bytes]]) -> dict[str, bytes]:
    return {f"{n}.key": key.encode() for n, (key, _) in entries.items()} | {
        f"{n}.data": data for n, (_, data) in entries.items()
    }


def without(name: str) -> dict[str, bytes]:
    return {key: value for key, value in pairs(WHOLE).items() if key != name}


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        pytest.param(pairs(WHOLE), "", id="whole"),
        pytest.param({}, "kube-system", id="a-directory-and-nothing-in-it"),
        pytest.param({"0.key": b"/registry", "0.data": b"x"}, "kube-system", id="one-pair"),
        pytest.param({"a.key": b"", "b.data": b""}, "only one half", id="two-files-that-are-no-pair"),
        pytest.param(without("1.data"), "only one half, such as backup/1", id="half-an-entry"),
        pytest.param(without("2.key"), "namespaces/prysm is not in it", id="without-the-sites-namespace"),
        pytest.param({**pairs(WHOLE), "0.data": b""}, "kube-system is not in it", id="an-entry-without-content"),
    ],
)
def test_a_backup_is_judged_by_what_every_cluster_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, bytes], fault: str
) -> None:
    archive(tmp_path / "b.tar.gz", files)
    result = run(microk8s_backup_info, capsys, path=str(tmp_path / "b.tar.gz"), namespaces=["prysm", "kube-system"])
    assert bool(result["faults"]) is bool(fault)
    assert fault in "; ".join(result["faults"])
    assert "secret" not in json.dumps({k: v for k, v in result.items() if k != "invocation"})


@pytest.mark.parametrize("cut", [0, 20, 200])
def test_a_backup_that_was_cut_off_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: int) -> None:
    archive(tmp_path / "whole.tar.gz", pairs(WHOLE))
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:cut])
    assert run(microk8s_backup_info, capsys, path=str(tmp_path / "cut.tar.gz"))["faults"]
    assert run(microk8s_backup_info, capsys, path=str(tmp_path / "absent.tar.gz"))["faults"]
