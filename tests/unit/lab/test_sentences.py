"""Trouble gets one clear sentence that says what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from lab import ROOT, control, faults, host
from lab.commands import run
from lab.errors import LabError
from lab.layout import Layout, spec
from lab.supervisor import Supervisor


def test_without_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        host.check(Layout(tmp_path), building=False)


def test_without_tun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "TUN", tmp_path / "tun")
    with pytest.raises(LabError, match="load the kernel module tun"):
        host.check(Layout(tmp_path), building=False)


def test_without_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "TUN", Path("/dev/null"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(host, "_packages", lambda log: None)
    usage = namedtuple("usage", "total used free")(1, 1, 3 << 30)
    monkeypatch.setattr(host.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(LabError, match=r"has 3\.0 GiB free.*free some space"):
        host.check(Layout(tmp_path), building=True)


@pytest.mark.parametrize(
    "named", ["http://someone:secret@127.0.0.1:{port}", "127.0.0.1:{port}", "http://127.0.0.1:nine"]
)
def test_with_a_proxy_that_is_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "TUN", Path("/dev/null"))
    with socket.socket() as bound:  # bound, but nobody listens
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", named.format(port=bound.getsockname()[1]))
        with pytest.raises(LabError, match=r"https_proxy names does not answer.*unset https_proxy\.$") as caught:
            host.check(Layout(tmp_path / "state"), building=True)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "state").exists()


def test_a_missing_program_is_named() -> None:
    with pytest.raises(LabError, match="needs the program 'no-such-program'"):
        run(["no-such-program"], what="This test")


def test_a_failure_shows_the_last_words() -> None:
    with pytest.raises(LabError, match=r"Baking failed: sh ended with exit code 3\.\n    oven is cold"):
        run(["sh", "-c", "echo oven is cold; exit 3"], what="Baking")


def test_unknown_machine_and_fault(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no machine 'x'.*nfs, master, worker"):
        spec("x")
    with pytest.raises(LabError, match=r"no fault 'x'.*freeze"):
        faults.inflict(Layout(tmp_path), "x", [])


def test_a_stale_record_is_no_running_lab(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.running.write_text(json.dumps({"pid": os.getpid(), "start": "1"}))
    assert control.init_pid(layout) is None
    with pytest.raises(LabError, match="not running: start it by `lab up`"):
        control.ask(layout, "status")


@pytest.mark.parametrize("words", [["status"], ["down"]])
def test_commands_without_a_lab_end_well(words: list[str], tmp_path: Path) -> None:
    env = {**os.environ, "LAB_STATE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "lab", *words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "not running" in done.stdout + done.stderr


def test_two_checkouts_are_two_labs(tmp_path: Path) -> None:
    assert Layout(tmp_path / "a").identity != Layout(tmp_path / "b").identity


def test_what_the_host_refuses_is_said_and_not_taken_for_the_end_of_the_lab(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    supervisor = Supervisor(Layout(tmp_path), {})
    for fault in (ProcessLookupError(3, "No such process"), FileNotFoundError(2, "No such file or directory")):

        def fail(machine: str, fault: OSError = fault) -> None:
            raise fault

        monkeypatch.setattr(supervisor, "do_power_on", fail)
        answer = supervisor.ask({"do": "power-on", "machine": "nfs"})
        assert answer == {"error": f"The host does not let the lab do that: {fault}."}
