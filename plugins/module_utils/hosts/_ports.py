# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Which ports of this machine are taken, and by which program, read from /proc."""

from __future__ import annotations

import os
import re
import typing as t

#: The state of a socket that waits for others: LISTEN of TCP, and a bound UDP socket.
_WAITING = {"tcp": "0A", "udp": "07"}


class Taken(t.NamedTuple):
    """A port, and who has it; no program where that is the kernel, or has ended meanwhile."""

    port: str
    program: str
    pid: int


def waiting(text: str, protocol: str) -> dict[int, set[str]]:
    """Port -> the inodes of its sockets, from /proc/net/tcp and its like."""
    found: dict[int, set[str]] = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _WAITING[protocol]:
            continue
        found.setdefault(int(fields[1].rpartition(":")[2], 16), set()).add(fields[9])
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def _owners(root: str, inodes: t.Container[str]) -> dict[str, tuple[str, int]]:
    """Inode -> (program, pid) of the sockets asked for."""
    found: dict[str, tuple[str, int]] = {}
    for name in os.listdir(root):
        if not name.isdigit():
            continue
        try:
            links = os.listdir(f"{root}/{name}/fd")
        except OSError:
            continue
        for link in links:
            try:
                match = re.match(r"socket:\[(\d+)\]", os.readlink(f"{root}/{name}/fd/{link}"))
            except OSError:
                continue
            if match and match.group(1) in inodes:
                found[match.group(1)] = (_read(f"{root}/{name}/comm").strip(), int(name))
    return found


def taken(ports: t.Iterable[str], root: str = "/proc") -> list[Taken]:
    """Those of the ports (13000/tcp, 12000/udp) that are taken."""
    sockets: dict[str, set[str]] = {}
    wanted = list(dict.fromkeys(ports))
    for protocol in _WAITING:
        # Of the first process: its network is the machine's.
        for family in ("", "6"):
            for number, inodes in waiting(_read(f"{root}/1/net/{protocol}{family}"), protocol).items():
                if f"{number}/{protocol}" in wanted:
                    sockets.setdefault(f"{number}/{protocol}", set()).update(inodes)
    owners = _owners(root, {inode for inodes in sockets.values() for inode in inodes})
    found = []
    for port in wanted:
        if port in sockets:
            names = sorted(owners[inode] for inode in sockets[port] if inode in owners)
            program, pid = names[0] if names else ("", 0)
            found.append(Taken(port, program, pid))
    return found
