# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""Keeping a node away from this machine's NFS server: its packets are dropped, then the server forgets it.

In this order: a node that was only forgotten comes back within a second and may take its locks again. What it wrote
before is on the disk; what it writes later never arrives, and is refused should it arrive (RFC 8881, section 8.4.3).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _expiry, _nfsd

PORT = "2049"
#: Marks a rule as this collection's.
COMMENT = "eth2xk8s failover"

#: Runs a command; its exit status and what it printed.
Run = t.Callable[[t.Sequence[str]], t.Tuple[int, str]]


class BlockError(Exception):
    """A firewall that does not do what it is told."""


def tool(address: str) -> str:
    """The program for the rules of an address. BlockError names what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError as exc:
        raise BlockError(f"{address!r} is no IP address") from exc
    return "iptables" if found.version == 4 else "ip6tables"


def rule(address: str) -> list[str]:
    """The rule that drops what a node sends to the NFS server, as both programs take it."""
    drop = ["-s", address, "-p", "tcp", "--dport", PORT]
    return [*drop, "-m", "comment", "--comment", COMMENT, "-j", "DROP"]


def _do(run: Run, command: t.Sequence[str]) -> str:
    status, text = run(command)
    if status != 0:
        raise BlockError(f"`{' '.join(command)}` failed: {text.strip() or status}")
    return text


def is_blocked(address: str, run: Run) -> bool:
    """Whether the rule is there."""
    return run([tool(address), "-w", "-C", "INPUT", *rule(address)])[0] == 0


def block(address: str, run: Run) -> bool:
    """Drop what a node sends, ahead of every other rule; whether that changed anything."""
    if is_blocked(address, run):
        return False
    _do(run, [tool(address), "-w", "-I", "INPUT", "1", *rule(address)])
    return True


def allow(address: str, run: Run) -> bool:
    """Take the rule away, however often it is there; whether that changed anything."""
    changed = False
    while is_blocked(address, run):
        _do(run, [tool(address), "-w", "-D", "INPUT", *rule(address)])
        changed = True
    return changed


def clients_of(addresses: t.Iterable[str], clients: t.Iterable[_expiry.Client]) -> list[_expiry.Client]:
    """The clients of the NFS server that are at one of these addresses."""
    wanted = {_nfsd.canonical(address) for address in addresses}
    return [client for client in clients if _nfsd.canonical(client.address) in wanted]
