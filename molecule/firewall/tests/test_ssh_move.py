"""SSH moves to another port without ever locking out, whatever happens on the way. The order matters: it moves on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).parents[3]
ADDRESS = "172.20.10.12"
PORT_FILE = "/etc/ssh/sshd_config.d/10-eth2xk8s-port.conf"
testinfra_hosts = ["ansible://worker"]


def command(port: int, *options: str) -> list[str]:
    inventories = ["-i", str(ROOT / "inventory/testnet"), "-i", str(ROOT / "inventory/lab")]
    play = str(ROOT / "molecule/firewall/steps/move.yml")
    return ["ansible-playbook", *inventories, play, "-e", f"firewall_ssh_port={port}", *options]


def move(port: int, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(port, *options), cwd=ROOT, capture_output=True, text=True, check=False)


def serves(port: int) -> bool:
    """Whether an SSH server answers there."""
    try:
        with socket.create_connection((ADDRESS, port), 2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def served() -> set[int]:
    return {port for port in (22, 2222) if serves(port)}


def on_worker(port: int, script: str) -> str:
    """Run something there, by a connection of its own."""
    options = ["-F", os.environ["LAB_SSH_CONFIG"], "-o", "ControlPath=none", "-p", str(port)]
    done = subprocess.run(["ssh", *options, f"root@{ADDRESS}", script], capture_output=True, text=True, check=True)
    return done.stdout


def went_back(port: int, condition: str) -> None:
    """Wait until the countdown has ended and the machine is as before."""
    deadline = time.monotonic() + 180
    while True:
        try:
            on_worker(port, f"{condition} && ! systemctl is-active eth2xk8s-ssh-rollback.timer")
            return
        except subprocess.CalledProcessError:
            assert time.monotonic() < deadline, "it did not go back by itself"
            time.sleep(2)


def cut_off(old: int, new: int, *, when: set[int], unplug: bool) -> None:
    """Begin a move, and end it the hard way as soon as sshd has been told these ports."""
    lines = "\n".join(f"Port {port}" for port in sorted(when))
    script = f'until [ "$(grep ^Port {PORT_FILE} 2>&1)" = "{lines}" ]; do sleep 0.1; done'
    hurry = ("-e", "firewall_ssh_rollback_seconds=30")
    play = subprocess.Popen(command(new, *hurry), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        on_worker(old, script)
        if unplug:
            subprocess.run(["lab", "fault", "cable-out", "worker"], check=True)
    finally:
        os.killpg(play.pid, signal.SIGKILL)
        play.wait()
    if unplug:
        time.sleep(3)
        subprocess.run(["lab", "fault", "cable-in", "worker"], check=True)


def test_a_port_that_a_rule_of_others_keeps_closed_is_refused_before_anything(host: t.Any) -> None:
    host.check_output("iptables -I INPUT -p tcp --dport 2222 -j DROP")
    done = move(2222)
    host.check_output("iptables -D INPUT -p tcp --dport 2222 -j DROP")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "The firewall of worker keeps out what the site needs: -A INPUT -p tcp -m tcp --dport 2222 -j DROP" in said
    assert served() == {22}
    assert not host.file(PORT_FILE).exists


def test_a_port_where_no_login_succeeds_changes_nothing(host: t.Any) -> None:
    closed = "/etc/ssh/sshd_config.d/00-closed.conf"
    host.check_output(f"printf 'Match LocalPort 2222\\n  DenyUsers *\\n' > {closed}")
    done = move(2222)
    host.check_output(f"rm {closed}")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "SSH on worker stays on 22; it could not move to port 2222: Logging in to worker over port 2222" in said
    assert served() == {22}
    assert not host.file(PORT_FILE).exists


def test_a_connection_that_breaks_half_way_leaves_the_old_port() -> None:
    cut_off(22, 2222, when={22, 2222}, unplug=True)
    went_back(22, "test ! -e " + PORT_FILE)
    assert served() == {22}


def test_it_moves_and_a_second_run_changes_nothing() -> None:
    done = move(2222)
    assert done.returncode == 0, done.stdout + done.stderr
    assert served() == {2222}
    assert " 22/tcp" not in on_worker(2222, "ufw status").replace("\n", " ")
    again = move(2222)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "changed=0" in again.stdout, again.stdout


def test_a_run_that_is_killed_when_the_new_port_is_alone_goes_back_and_the_next_one_finishes() -> None:
    cut_off(2222, 22, when={22}, unplug=False)
    went_back(2222, f"grep -qx 'Port 2222' {PORT_FILE}")
    assert served() == {2222}


def test_it_moves_where_the_firewall_is_off() -> None:
    on_worker(2222, "ufw disable")
    done = move(22, "-e", "firewall_enabled=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert served() == {22}
    assert "inactive" in on_worker(22, "ufw status")


def test_a_port_in_a_file_that_is_included_from_elsewhere_is_taken_out() -> None:
    on_worker(22, "echo Port 22 > /etc/own-ssh.conf; echo Include /etc/own-ssh.conf >> /etc/ssh/sshd_config")
    done = move(2222)
    assert done.returncode == 0, done.stdout + done.stderr
    assert served() == {2222}
    again = move(2222)
    assert "changed=0" in again.stdout, again.stdout
    assert move(22).returncode == 0
    assert served() == {22}


def test_it_moves_where_nothing_is_included() -> None:
    on_worker(22, "sed -i '/^Include/d' /etc/ssh/sshd_config; systemctl reload ssh.service")
    done = move(2222)
    assert done.returncode == 0, done.stdout + done.stderr
    assert served() == {2222}
    assert move(22).returncode == 0
    assert served() == {22}


def test_it_moves_where_systemd_listens_in_place_of_sshd() -> None:
    """At the addresses that it had, and at no other."""
    on_worker(22, "mkdir -p /etc/systemd/system/ssh.socket.d")
    own = f"[Socket]\\nListenStream=\\nListenStream={ADDRESS}:22\\n"
    on_worker(22, f"printf '{own}' > /etc/systemd/system/ssh.socket.d/own.conf; systemctl daemon-reload")
    on_worker(22, "systemctl disable --now ssh.service; systemctl enable --now ssh.socket")
    assert served() == {22}
    done = move(2222)
    assert done.returncode == 0, done.stdout + done.stderr
    assert served() == {2222}
    assert on_worker(2222, "systemctl is-active ssh.socket").strip() == "active"
    assert on_worker(2222, "systemctl show -P Listen ssh.socket").split() == [f"{ADDRESS}:2222", "(Stream)"]
