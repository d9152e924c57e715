# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""Whether a lock on the NFS server is a fence between two nodes: what may allow a second pod of a validator client.

Everything is judged from what was read; what was not read is a reason against it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._nfsd import canonical

#: From 4.1 on the server keeps the locks, and a client that lost one is told so.
VERSIONS = ("4.1", "4.2")
#: Of mounts: each says that locks stay on the node, or that a write may be lost without an error.
_NEVER = ("soft", "softerr", "softreval", "nolock", "lock=none")
#: Settings of the kernel's NFS client that take a lost lock back without a word.
_RECOVERS = re.compile(r"(?m)^[Y1]$|^[^#\n]*[ .]recover_lost_locks(=[1yY]|[^=_a-z0-9]|$)")


class Server(t.NamedTuple):
    """The NFS server, as nfs_server_info has read it."""

    running: bool
    versions: t.Sequence[str]
    lease_seconds: int
    grace_seconds: int
    delegations: bool
    problems: t.Sequence[str]


class Mount(t.NamedTuple):
    """An NFS mount of a node."""

    source: str
    kind: str
    options: t.Sequence[str]


class Node(t.NamedTuple):
    """A node, as it was read."""

    name: str
    #: Its /proc/mounts; None when it was not read.
    mounts: str | None
    #: Texts that may set recover_lost_locks, by path; None when they were not read.
    settings: t.Mapping[str, str] | None


class Probe(t.NamedTuple):
    """What two pods on two nodes have seen of one lock; None for what was not tried."""

    first: str
    second: str
    #: While the first held it, the second was refused, and the server knew of a lock (and of no delegation).
    refused: bool | None
    known: bool | None
    #: Once the first one's client had been expired, the second got it, and the first could write no more.
    passed: bool | None
    write_failed: bool | None


def server_of(read: t.Mapping[str, t.Any]) -> Server:
    """The server; one that was not read does not run."""
    return Server(
        running=bool(read.get("running", False)),
        versions=[str(one) for one in read.get("versions") or []],
        lease_seconds=int(read.get("lease_seconds") or 0),
        grace_seconds=int(read.get("grace_seconds") or 0),
        delegations=bool(read.get("delegations", True)),
        problems=[str(one) for one in read.get("problems") or []],
    )


def nfs_mounts(text: str) -> list[Mount]:
    """The NFS mounts of a /proc/mounts."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and words[2] in ("nfs", "nfs4"):
            found.append(Mount(words[0].replace("\\040", " "), words[2], words[3].split(",")))
    return found


def _host(source: str) -> str:
    if source.startswith("["):
        return canonical(source[1:].partition("]")[0])
    return canonical(source.partition(":")[0])


def of_server(server: Server) -> list[str]:
    """What of the server stands against it."""
    if not server.running:
        return ["the NFS server does not run"]
    found = []
    served = [version for version in server.versions if version != "4"]
    others = [version for version in served if version not in VERSIONS]
    if others:
        found.append(f"the NFS server serves version {', '.join(others)}, by which a lock can be lost unnoticed")
    if not set(served) & set(VERSIONS):
        found.append("the NFS server serves neither version 4.1 nor 4.2")
    if server.delegations:
        found.append("fs.leases-enable is not 0 on the NFS server: with a delegation it forgets locks when it restarts")
    if server.lease_seconds <= 0:
        found.append("the lease of the NFS server was not read")
    elif server.grace_seconds < server.lease_seconds:
        found.append(
            f"the grace period of the NFS server ({server.grace_seconds} s) is shorter than its lease "
            f"({server.lease_seconds} s)"
        )
    return found + [str(problem) for problem in server.problems]


def of_mount(node: str, mount: Mount) -> list[str]:
    """What of a mount stands against it."""
    values = dict(option.partition("=")[::2] for option in mount.options)
    where = f"{mount.source} on {node}"
    found = []
    version = values.get("vers") or values.get("nfsvers") or ""
    if mount.kind != "nfs4" or version not in VERSIONS:
        found.append(f"{where} is mounted by NFS {version or 'of an unknown version'}, not 4.1 or 4.2")
    if values.get("local_lock", "unknown") != "none":
        found.append(f"{where} has local_lock={values.get('local_lock', 'unknown')}: its locks do not reach the server")
    if "hard" not in values:
        found.append(f"{where} is not a hard mount: a write may be lost")
    found += [f"{where} has the option {option}" for option in mount.options if option in _NEVER]
    return found


def recovering(texts: t.Mapping[str, str]) -> list[str]:
    """The paths, of texts that may set recover_lost_locks, whose text has the kernel take lost locks back."""
    return [path for path, text in sorted(texts.items()) if _RECOVERS.search(text)]


def of_node(node: Node, servers: t.Collection[str]) -> list[str]:
    """What of a node stands against it. Nothing may be mounted yet: each start of a pod looks at its own mount."""
    if node.mounts is None:
        return [f"the mounts of {node.name} were not read"]
    if not node.settings:
        return [f"whether {node.name} takes lost locks back (recover_lost_locks) was not read"]
    found = [
        f"{node.name} takes lost locks back ({path}: recover_lost_locks): it would sign on with a lock that another has"
        for path in recovering(node.settings)
    ]
    own = {canonical(server) for server in servers}
    for mount in nfs_mounts(node.mounts):
        if not own or _host(mount.source) in own:
            found += of_mount(node.name, mount)
    return list(dict.fromkeys(found))


def of_probe(probe: Probe) -> list[str]:
    """What two pods have seen that stands against it."""
    if not probe.first or not probe.second or probe.first == probe.second:
        return ["the lock was not tried from two nodes"]
    tried = (
        (probe.refused, f"{probe.second} got the lock while {probe.first} held it"),
        (probe.known, f"the NFS server did not know of the lock that {probe.first} held"),
        (probe.passed, f"{probe.second} did not get the lock when the NFS server had expired {probe.first}"),
        (probe.write_failed, f"{probe.first} could still write after it had lost the lock"),
    )
    found = [words for seen, words in tried if seen is False]
    if any(seen is None for seen, _words in tried):
        found.append(f"the lock was not tried to its end from {probe.first} and {probe.second}")
    return found


def reasons(server: Server, nodes: t.Sequence[Node], servers: t.Collection[str]) -> list[str]:
    """Everything that stands against a standby, a sentence each; none where the fence is proved by what was read."""
    found = of_server(server)
    if len({node.name for node in nodes}) < 2:
        found.append("there are fewer than two nodes that may run a client")
    for node in nodes:
        found += of_node(node, servers)
    return found


def node_of(name: str, texts: t.Mapping[str, str]) -> Node:
    """A node, from the texts that machine_info has read of it."""
    settings = {path: text for path, text in texts.items() if path != "/proc/mounts"}
    return Node(name, texts.get("/proc/mounts"), settings or None)


# ---- The words of the probe's pods, see files/fence-probe.sh of the role prysm_helm.


_REFUSED = "probe: write refused: "
#: How a kernel, and a busybox, say EIO: what a write gets whose lock is lost. A full disk is no proof.
_LOST = ("input/output error", "i/o error")


def first_said(log: str) -> tuple[bool, bool | None]:
    """Of the pod that holds the lock: whether it had it, and whether its writes fail now; None before the first."""
    lines = log.split("\n")
    writes = [line for line in lines if line.startswith("probe: wrote") or line.startswith(_REFUSED)]
    if not writes:
        return "probe: locked" in lines, None
    last = writes[-1].lower()
    return "probe: locked" in lines, last.startswith(_REFUSED) and any(words in last for words in _LOST)


def second_said(log: str) -> tuple[bool, bool]:
    """Of the pod that wants it: whether it was refused, and whether it has got it."""
    lines = log.split("\n")
    return "probe: refused" in lines, "probe: locked" in lines
