# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The controller's side of the run lock: which ansible-playbook process this is, and whether another still lives."""

from __future__ import annotations

import getpass
import hashlib
import json
import multiprocessing
import os
import platform
import re
import socket
import subprocess
import sys
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError, status
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._site_run import Run

#: The kernel's number of the process namespace that everything else is below of (PROC_PID_INIT_INO).
_OUTERMOST = "pid:[4026531836]"

OURS, ALIVE, GONE, UNSEEN = "ours", "alive", "gone", "unseen"


def _text(path: str) -> str:
    """A small file's text; nothing when it cannot be read, which then proves nothing."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _hash(text: str) -> str:
    return hashlib.sha256(("eth2xk8s " + text).encode()).hexdigest()[:16] if text else ""


def controller_pid() -> int:
    """The ansible-playbook process itself; tasks run in processes it has forked."""
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid


def started_of(pid: int) -> str | None:
    """When a process was started, in words that only compare; None when there is none, "" when it cannot be read."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        pass
    if sys.platform == "linux":
        # Ticks since boot, the 22nd field; the second may hold spaces and brackets.
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 else ""
    return _said("ps", "-o", "lstart=", "-p", str(pid))


def _cards() -> list[str]:
    """Network cards that are devices, so that two machines made from one image differ."""
    base = "/sys/class/net"
    try:
        names = [name for name in sorted(os.listdir(base)) if status(os.path.join(base, name, "device")) is not None]
    except (OSError, UnreadableError):
        return []
    return [_hash(address) for address in (_text(os.path.join(base, name, "address")) for name in names) if address]


def identify(pid: int) -> Run:
    """What tells this process from every other one, on this and on any other controller."""
    linux = sys.platform == "linux"
    try:
        namespace = os.readlink("/proc/self/ns/pid") if linux else sys.platform
    except OSError:
        namespace = ""
    found: Run = {
        "controller": socket.gethostname(),
        "machine": _hash(_text("/etc/machine-id") or _text("/var/lib/dbus/machine-id") or platform.node()),
        "cards": _cards(),
        "boot": _text("/proc/sys/kernel/random/boot_id") if linux else _said("sysctl", "-n", "kern.boottime"),
        "namespace": namespace,
        "pid": pid,
        "started": started_of(pid) or "",
    }
    return {"id": _hash(json.dumps(found, sort_keys=True))[:12], **found}


def describe(pid: int, playbook: str, command: str) -> Run:
    """The record of this run."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    if os.environ.get("SUDO_USER") and user == "root":
        user = f"{os.environ['SUDO_USER']} (as root)"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return {**identify(pid), "playbook": playbook, "command": command, "user": user, "since": since}


def verdict(holder: Run, mine: Run, look: t.Callable[[int], str | None] = started_of) -> str:
    """Whether another run still lives; UNSEEN when this controller has no way to know."""
    if holder["id"] == mine["id"]:
        return OURS
    if not holder["machine"] or holder["machine"] != mine["machine"] or not holder["boot"] or not mine["boot"]:
        return UNSEEN
    if not holder["namespace"] or holder["namespace"] != mine["namespace"]:
        return UNSEEN
    if holder["boot"] != mine["boot"]:
        # Machines and containers made from one image share the machine's number, and each has its own boot.
        same = holder["controller"] == mine["controller"] and (
            bool(set(holder["cards"]) & set(mine["cards"])) or holder["cards"] == mine["cards"]
        )
        outermost = holder["namespace"] in (_OUTERMOST, "darwin")
        return GONE if same and outermost else UNSEEN
    started = look(holder["pid"])
    if started is None:
        return GONE
    return ALIVE if not started or not holder["started"] or started == holder["started"] else GONE


def refusal(holder: Run, judged: str, path: str, host: str, named: str = "") -> str:
    """Who has the lock, from where, since when, doing what, and what to do."""
    who = (
        f"Refused, nothing was changed: another playbook runs on this site. {holder['user']} on {holder['controller']} "
        f"runs `{holder['command']}` since {holder['since']} (run {holder['id']}, process {holder['pid']}; "
        f"{path} on {host})."
    )
    if judged == ALIVE:
        return f"{who} Wait until it ends, or end it (kill {holder['pid']}), and run this again."
    wrong = f" {named} is not its number." if named and named != holder["id"] else ""
    return (
        f"{who}{wrong} Wait until it ends. It is not visible from this controller: only if it is certain that it does "
        f"not run any more (`ps -p {holder['pid']}` on {holder['controller']}), run this again with "
        f"-e site_run_take_over={holder['id']}"
    )


def command_line(arguments: t.Mapping[str, t.Any], names: t.Iterable[str]) -> str:
    """The command as typed, as far as it holds no secret: of variables the names only."""
    words = ["ansible-playbook", *(os.path.basename(str(name)) for name in arguments.get("args") or ())]
    for source in arguments.get("inventory") or ():
        near = os.path.relpath(str(source))
        words += ["-i", str(source) if "," in str(source) or near.startswith("..") else near]
    if arguments.get("subset"):
        words += ["--limit", str(arguments["subset"])]
    for option, values in (("--tags", arguments.get("tags")), ("--skip-tags", arguments.get("skip_tags"))):
        if values and list(values) != ["all"]:
            words += [option, ",".join(str(value) for value in values)]
    for name in sorted(names):
        words += ["-e", re.sub(r"[^\w.-]", "?", str(name))[:64]]
    return " ".join(words)
