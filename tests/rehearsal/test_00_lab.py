"""The lab itself: it starts, breaks things for real, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import ROOT


class SmallLab:
    """A lab with a state directory of its own and one or two machines."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.env = {**os.environ, "LAB_STATE_DIR": str(state)}

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(ROOT / "bin/lab"), *words], env=self.env, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return (done.stdout + done.stderr).strip()

    @property
    def init(self) -> int:
        """The process whose end ends the lab."""
        return int(json.loads((self.state / "running.json").read_text())["pid"])

    def processes(self) -> list[str]:
        """Command lines on this host that name this lab's state directory, or live below its init."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"{self.state}/" in line and "pytest" not in line:
                found.append(line)
        return found

    def wait_gone(self) -> None:
        deadline = time.monotonic() + 15
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert self.processes() == []


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLab]:
    lab = SmallLab(tmp_path_factory.mktemp("first"))
    lab("up", "nfs", "spare1")
    yield lab
    lab("down")
    lab.wait_gone()


def test_machines_are_bare_debian(first: SmallLab) -> None:
    assert first("ssh", "nfs", "--", "hostname; ls /data /snap/bin/microk8s 2>&1 | grep -c 'No such'") == "nfs\n2"


def test_a_second_lab_up_is_refused(first: SmallLab) -> None:
    assert "already running" in first("up", code=1)


def test_two_labs_do_not_see_each_other(first: SmallLab, tmp_path: Path) -> None:
    """The same addresses, other machines."""
    second = SmallLab(tmp_path)
    try:
        second("up", "nfs")
        first("ssh", "nfs", "--", "touch /root/this-is-the-first")
        assert second("ssh", "nfs", "--", "test -e /root/this-is-the-first || echo other") == "other"
        second("down")
        assert first("ssh", "nfs", "--", "test -e /root/this-is-the-first && echo still") == "still"
    finally:
        second("down")


def test_a_killed_lab_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    lab = SmallLab(tmp_path)
    lab("up", "nfs")
    lab("ssh", "nfs", "--", "echo kept > /root/note; sync")
    os.kill(lab.init, signal.SIGKILL)
    lab.wait_gone()
    assert "not running" in lab("status")
    lab("up", "nfs")
    assert lab("ssh", "nfs", "--", "cat /root/note") == "kept"
    lab("down")
    lab.wait_gone()


def test_ctrl_c_during_lab_up_leaves_nothing(tmp_path: Path) -> None:
    lab = SmallLab(tmp_path)
    process = subprocess.Popen([str(ROOT / "bin/lab"), "up", "nfs"], env=lab.env, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / "running.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert process.returncode != 0
    lab.wait_gone()


def test_power_cut_and_return(first: SmallLab) -> None:
    first("ssh", "spare1", "--", "echo written > /root/note; sync; sysctl -q kernel.hostname")
    first("fault", "power-cut", "spare1")
    assert "off" in first("status")
    first("up", "spare1")
    assert first("ssh", "spare1", "--", "cat /root/note") == "written"


def test_freeze_and_thaw(first: SmallLab) -> None:
    first("fault", "freeze", "spare1")
    assert "timed out" in first("ssh", "spare1", "--", "true", code=255).lower()
    first("fault", "thaw", "spare1")
    assert first("ssh", "spare1", "--", "echo back") == "back"


def test_a_reboot_inside_comes_back_with_network(first: SmallLab) -> None:
    boot = first("ssh", "spare1", "--", "cat /proc/sys/kernel/random/boot_id")
    first("ssh", "spare1", "--", "systemd-run --on-active=1 systemctl reboot")
    deadline = time.monotonic() + 60
    again = boot
    while again == boot and time.monotonic() < deadline:
        time.sleep(2)
        command = [str(ROOT / "bin/lab"), "ssh", "spare1", "--", "cat /proc/sys/kernel/random/boot_id"]
        again = (
            subprocess.run(command, env=first.env, capture_output=True, text=True, check=False).stdout.strip() or boot
        )
    assert again != boot


def test_partition_block_and_heal(first: SmallLab) -> None:
    reach = "timeout 2 bash -c '</dev/tcp/172.20.10.13/22' 2>/dev/null && echo reached || echo cut"
    assert first("ssh", "nfs", "--", reach) == "reached"
    first("fault", "block", "spare1", "nfs")
    assert first("ssh", "nfs", "--", reach) == "cut"
    assert first("ssh", "spare1", "--", "echo reachable from elsewhere") == "reachable from elsewhere"
    first("fault", "heal", "spare1")
    assert first("ssh", "nfs", "--", reach) == "reached"
    first("fault", "partition", "spare1")
    assert first("ssh", "nfs", "--", reach) == "cut"
    first("fault", "heal", "spare1")
    assert first("ssh", "nfs", "--", reach) == "reached"


def test_a_mute_machine_hears(first: SmallLab) -> None:
    heard = "awk '/^Icmp: [0-9]/ {print $10}' /proc/net/snmp"
    ping = "ping -c 3 -W 1 172.20.10.13 > /dev/null && echo answered || echo silence"
    # Who cannot answer is still known by its address.
    assert first("ssh", "nfs", "--", ping) == "answered"
    before = int(first("ssh", "spare1", "--", heard))
    first("fault", "mute", "spare1")
    assert "mute" in first("status")
    assert first("ssh", "nfs", "--", ping) == "silence"
    first("fault", "heal", "spare1")
    assert int(first("ssh", "spare1", "--", heard)) >= before + 3
    assert first("ssh", "nfs", "--", ping) == "answered"


def test_an_nfs_server_that_hangs_lives(first: SmallLab) -> None:
    first("ssh", "nfs", "--", "systemd-run -q -u listener python3 -m http.server 2049")
    ask = "timeout 4 curl -s -o /dev/null http://172.20.10.10:2049 && echo answered || echo silence"
    assert first("ssh", "spare1", "--", f"sleep 1; {ask}") == "answered"
    first("fault", "nfs-hang", "nfs")
    assert "port 2049 hangs" in first("status")
    assert first("ssh", "spare1", "--", ask) == "silence"
    assert first("ssh", "nfs", "--", "systemctl is-active listener") == "active"
    first("fault", "heal", "nfs")
    assert first("ssh", "spare1", "--", ask) == "answered"
    first("ssh", "nfs", "--", "systemctl stop listener")


def test_cable_and_slow_link(first: SmallLab) -> None:
    first("fault", "cable-out", "spare1")
    assert "cable out" in first("status")
    first("fault", "cable-in", "spare1")
    first("fault", "slow-link", "spare1", "150")
    shown = first("ssh", "nfs", "--", "ping -c 2 -q 172.20.10.13 | tail -1")
    assert float(shown.split("/")[4]) > 100
    first("fault", "heal", "spare1")


def test_clock_and_disk(first: SmallLab) -> None:
    first("ssh", "spare1", "--", "systemctl stop systemd-timesyncd")
    first("fault", "clock", "spare1", "3600")
    assert abs(int(first("ssh", "spare1", "--", "date +%s")) - time.time() - 3600) < 30
    first("fault", "clock", "spare1", "-3600")
    assert abs(int(first("ssh", "spare1", "--", "date +%s")) - time.time()) < 30
    first("fault", "disk-full", "spare1")
    assert "No space left" in first("ssh", "spare1", "--", "head -c 1M /dev/zero > /root/big; true")
    first("fault", "disk-free", "spare1")


def test_a_reset_machine_is_bare(first: SmallLab) -> None:
    first("ssh", "spare1", "--", "touch /root/used; sync")
    first("reset", "spare1")
    assert first("ssh", "spare1", "--", "ls /root") == ""


def test_names_time_packages_and_images_are_at_the_gateway(first: SmallLab) -> None:
    assert first("ssh", "nfs", "--", "getent hosts 0.pool.ntp.org | wc -l") == "1"
    assert "172.20.10.13" in first("ssh", "nfs", "--", "getent hosts spare1")
    first("ssh", "nfs", "--", "apt-get update -q")
    catalogue = first(
        "ssh", "nfs", "--", "curl -s -o /dev/null -w '%{http_code}' http://172.20.0.1:5000/v2/pause/manifests/nope"
    )
    assert catalogue == "404"
