"""Asking a running lab, and running commands inside its network."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import ROOT, namespaces
from lab.errors import LabError
from lab.layout import Layout
from lab.supervisor import CONTROL, init_pid


def _connect(layout: Layout) -> socket.socket:
    pid = init_pid(layout)
    if pid is None:
        raise LabError("The lab is not running: start it by `lab up`.")
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(f"/proc/{pid}/root{CONTROL}")
    except OSError as exc:
        connection.close()
        raise LabError("The lab is running but does not answer: end it by `lab down` and start it again.") from exc
    return connection


def ask(layout: Layout, do: str, **arguments: t.Any) -> t.Any:
    """Have the running lab do something; its answer. LabError when it refuses or is not there."""
    with _connect(layout) as connection, connection.makefile("rw", encoding="utf-8") as stream:
        stream.write(json.dumps({"do": do, **arguments}) + "\n")
        stream.flush()
        answer = json.loads(stream.readline() or '{"error": "The lab ended while it was asked."}')
    if "error" in answer:
        raise LabError(answer["error"])
    return answer["result"]


def supervisor_pid(layout: Layout) -> int:
    """The supervisor's process number as seen from here: its network namespace is the lab's."""
    with _connect(layout) as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def entrance(layout: Layout) -> Callable[[], None]:
    """A function that moves the process that calls it into the lab's network, with the lab's name server."""
    network = f"/proc/{supervisor_pid(layout)}/ns/net"
    resolver = layout.resolv_conf

    def enter() -> None:
        namespaces.enter(network, namespaces.CLONE_NEWNET)
        namespaces.private_mounts()
        with contextlib.suppress(OSError):
            namespaces.mount(resolver, Path("/etc/resolv.conf").resolve(), "", namespaces.MS_BIND)

    return enter


def ssh_options(layout: Layout) -> list[str]:
    """Options with which ssh logs in to the machines as root, trusting only their own host key."""
    options = ["IdentitiesOnly=yes", "GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes", "ConnectTimeout=5"]
    options.append(f"UserKnownHostsFile={layout.known_hosts}")
    return ["-F", "none", "-i", str(layout.key), *(word for option in options for word in ("-o", option))]


def inventories(layout: Layout) -> list[str]:
    """What the site in this lab was built by: the testnet's inventory and the lab's own, unless others were chosen."""
    try:
        return layout.inventory.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return [str(ROOT / "inventory/testnet"), str(ROOT / "inventory/lab")]


def environment(layout: Layout) -> dict[str, str]:
    """What Ansible needs to know to work on the lab's machines, as environment variables."""
    tools = str(Path(sys.executable).parent)
    control = Path("/tmp") / f"{layout.identity}-ssh"
    return {
        **os.environ,
        "PATH": f"{tools}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "ANSIBLE_INVENTORY": ",".join(inventories(layout)),
        "ANSIBLE_REMOTE_USER": "root",
        "ANSIBLE_PRIVATE_KEY_FILE": str(layout.key),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=300s -o ServerAliveInterval=15 "
        "-o ServerAliveCountMax=4 -o IdentitiesOnly=yes "
        f"-o UserKnownHostsFile={layout.known_hosts} -o GlobalKnownHostsFile=/dev/null",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(ROOT / "lab" / "machine-files" / "example-vault-password"),
        "ANSIBLE_FORCE_COLOR": os.environ.get("ANSIBLE_FORCE_COLOR", "1" if sys.stdout.isatty() else "0"),
        "LAB_STATE_DIR": str(layout.state),
        "LAB_SSH_CONFIG": str(layout.ssh_config),
    }


def run_inside(
    layout: Layout, command: Sequence[str], *, capture: bool = False, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command inside the lab's network with its environment."""
    try:
        return subprocess.run(
            command,
            env=environment(layout),
            preexec_fn=entrance(layout),
            capture_output=capture,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as exc:
        raise LabError(f"There is no program {command[0]!r}.") from exc


def on_machine(layout: Layout, address: str, command: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a machine as root."""
    return run_inside(
        layout,
        ["ssh", *ssh_options(layout), "-o", "BatchMode=yes", f"root@{address}", command],
        capture=True,
        timeout=timeout,
    )
