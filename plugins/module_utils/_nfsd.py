# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's NFS server says about itself: versions, lease, exports, and who holds which state."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    UnreadableError,
    is_there,
    reason_of,
    status,
)

#: Where the kernel's NFS server shows itself; the file threads is there only when this machine can serve.
ROOT = "/proc/fs/nfsd"

STATE = re.compile(r"^- (?P<id>\S+): \{(?P<body>.*)\}\s*$")
FIELD = re.compile(r'(\w[\w-]*): ("(?:[^"\\]|\\.)*"|[^,}]+)')
CLIENT = re.compile(r"(\S+?)\(([^)]*)\)")


class NfsdError(Exception):
    """A text of the NFS server that cannot be understood."""


def _word(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.read().strip()
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc


def blind(patience: float = 0, pause: float = 0.2) -> str | None:
    """Why this machine does not know the locks of its NFS clients now; None when it knows them, or has no such clients.

    A server that stops forgets every lock. Its clients keep theirs, and take them back in the grace period after its
    start: until that is over, a lock that is held reads as free. patience are seconds to wait for that.
    """
    deadline = time.monotonic() + patience
    while True:
        if not is_there(os.path.join(ROOT, "threads")):
            return None
        if _word(os.path.join(ROOT, "threads")) == "0":
            return "the NFS server of this machine is stopped, so the locks of its clients cannot be seen; start it"
        if _word(os.path.join(ROOT, "v4_end_grace")) == "Y":
            return None
        if time.monotonic() >= deadline:
            return "the NFS server has just started, and its clients may still take their locks back (grace period)"
        time.sleep(pause)


def parse_versions(text: str) -> t.List[str]:
    """The versions switched on in /proc/fs/nfsd/versions (`-3 +4 -4.0 +4.1 +4.2`)."""
    return [word[1:] for word in text.split() if word.startswith("+")]


def parse_info(text: str) -> t.Dict[str, str]:
    """The `key: value` lines of /proc/fs/nfsd/clients/N/info."""
    found = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found[key.strip()] = value.strip().strip('"')
    return found


def host_of(address: str) -> str:
    """The address without its port: `172.20.10.11:871`, `[fd00::1]:871`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address


def parse_states(text: str) -> t.List[t.Dict[str, str]]:
    """The states in /proc/fs/nfsd/clients/N/states: one line each, in YAML's flow style."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        match = STATE.match(line)
        if match is None:
            raise NfsdError("this state of the NFS server is not understood: {0!r}".format(line[:200]))
        fields = {key: value.strip().strip('"') for key, value in FIELD.findall(match.group("body"))}
        if "type" not in fields:
            raise NfsdError("this state of the NFS server has no type: {0!r}".format(line[:200]))
        found.append(fields)
    return found


def canonical(address: str) -> str:
    """An address in the one spelling we compare; a name stays as it is."""
    try:
        found = ipaddress.ip_address(address.strip().strip("[]"))
    except ValueError:
        return address.strip()
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


class Hold(t.NamedTuple):
    """What a client of the NFS server holds of a file."""

    address: str
    #: lock, or deleg: then the server does not know whether the client has locked the file.
    kind: str
    #: Whether it is another file that had the same name: removed or renamed over below its client.
    replaced: bool


def _client_file(folder: str, name: str) -> str | None:
    """A file of one client; None when the client has just left."""
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENXIO):
            return None
        raise UnreadableError(path, reason_of(exc)) from exc


def _is_named(state: t.Mapping[str, str], path: str) -> bool:
    """Whether a state is of a file that has, or had, this name. After a restart the server knows no names."""
    name = _unescape(state.get("filename", ""))
    if name.endswith(" (deleted)"):
        name = name[: -len(" (deleted)")]
    if "/" not in name.strip("/"):
        return name == path
    return name == path if name.startswith("/") else path.endswith("/" + name)


def holds(path: str) -> t.List[Hold]:
    """What clients of this machine's NFS server hold of a file: by device and inode, and by its name.

    The name finds what the inode does not: a client that still signs on a file that was removed or renamed over.
    """
    root = os.path.join(ROOT, "clients")
    try:
        names = os.listdir(root)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return []
        raise UnreadableError(root, reason_of(exc)) from exc
    now = status(path, follow=False)
    inode = None
    if now is not None:
        inode = "{0:02x}:{1:02x}:{2}".format(os.major(now.st_dev), os.minor(now.st_dev), now.st_ino)
    found = set()
    for name in names:
        folder = os.path.join(root, name)
        try:
            states = parse_states(_client_file(folder, "states") or "")
        except NfsdError as exc:
            raise UnreadableError(folder, str(exc)) from exc
        for state in states:
            same = inode is not None and state.get("superblock") == inode
            if state["type"] in ("lock", "deleg") and (same or _is_named(state, path)):
                address = parse_info(_client_file(folder, "info") or "").get("address", "unknown")
                found.add(Hold(host_of(address), state["type"], not same))
    return sorted(found)


def parse_exports(text: str) -> t.List[t.Dict[str, t.Any]]:
    """Path, client and options of each line of an export table (etab, exports, *.exports)."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        if line.startswith('"'):
            path, _unused, rest = line[1:].partition('"')
        else:
            path, _unused, rest = line.partition(" ") if " " in line else line.partition("\t")
        path = _unescape(path.strip())
        clients = CLIENT.findall(rest)
        for client, options in clients:
            found.append({"path": path, "client": client, "options": options.split(",")})
        # A client without parentheses takes the defaults; no client at all is everybody.
        bare = CLIENT.sub(" ", rest).split()
        found += [{"path": path, "client": client, "options": []} for client in bare if not client.startswith("-")]
        if not clients and not bare:
            found.append({"path": path, "client": "*", "options": []})
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def covers(export: str, path: str) -> bool:
    """Whether an export of one path hands out the other: the same, above it, or below it."""
    one, other = export.rstrip("/") + "/", path.rstrip("/") + "/"
    return one.startswith(other) or other.startswith(one)


def strangers(
    exports: t.Sequence[t.Mapping[str, t.Any]], path: str, clients: t.Sequence[str]
) -> t.List[t.Mapping[str, t.Any]]:
    """Exports that give anything of the path to somebody who is not one of the clients."""
    return [item for item in exports if covers(str(item["path"]), path) and item["client"] not in clients]
