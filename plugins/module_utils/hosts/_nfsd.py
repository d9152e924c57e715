# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""What the kernel's NFS server says about itself: versions, lease, exports, and who holds which state."""

from __future__ import annotations

import ctypes
import errno
import functools
import ipaddress
import os
import re
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    UnreadableError,
    is_there,
    reason_of,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._places import resolve

#: Where the kernel's NFS server shows itself; the file threads is there only when this machine can serve.
ROOT = "/proc/fs/nfsd"

STATE = re.compile(r"^- (?P<id>\S+): \{(?P<body>.*)\}\s*$")
FIELD = re.compile(r'(\w[\w-]*): ("(?:[^"\\]|\\.)*"|[^,}]+)')


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


def parse_versions(text: str) -> list[str]:
    """The versions switched on in /proc/fs/nfsd/versions (`-3 +4 -4.0 +4.1 +4.2`)."""
    return [word[1:] for word in text.split() if word.startswith("+")]


def parse_info(text: str) -> dict[str, str]:
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


def parse_states(text: str) -> list[dict[str, str]]:
    """The states in /proc/fs/nfsd/clients/N/states: one line each, in YAML's flow style."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        match = STATE.match(line)
        if match is None:
            raise NfsdError(f"this state of the NFS server is not understood: {line[:200]!r}")
        fields = {key: value.strip().strip('"') for key, value in FIELD.findall(match.group("body"))}
        if "type" not in fields:
            raise NfsdError(f"this state of the NFS server has no type: {line[:200]!r}")
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


def client_file(folder: str, name: str) -> str | None:
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


def inode_of(path: str) -> str | None:
    """A file as states name it, by device and inode; None when nothing is there."""
    now = status(path, follow=False)
    if now is None:
        return None
    return f"{os.major(now.st_dev):02x}:{os.minor(now.st_dev):02x}:{now.st_ino}"


def is_of(state: t.Mapping[str, str], path: str, inode: str | None) -> bool:
    """Whether a state is of the file at a path, or of one that had its name."""
    return (inode is not None and state.get("superblock") == inode) or _is_named(state, path)


def holds(path: str) -> list[Hold]:
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
    inode = inode_of(path)
    found = set()
    for name in names:
        folder = os.path.join(root, name)
        try:
            states = parse_states(client_file(folder, "states") or "")
        except NfsdError as exc:
            raise UnreadableError(folder, str(exc)) from exc
        for state in states:
            same = inode is not None and state.get("superblock") == inode
            if state["type"] in ("lock", "deleg") and is_of(state, path, inode):
                address = parse_info(client_file(folder, "info") or "").get("address", "unknown")
                found.add(Hold(host_of(address), state["type"], not same))
    return sorted(found)


#: Stands for a backslash at the end of a line, in a text that can have no such character.
_CONTINUED = "\0"


def _words(text: str) -> t.Iterator[list[str]]:
    """The words of each line of an export table, as exportfs splits them: white space, quotes, `#` before a word."""
    line: list[str] = []
    word, quoted, begun = "", False, False
    comment = False
    # A line that ends in a backslash goes on, but no comment does.
    for char in re.sub(r"\\\n[ \t]*", _CONTINUED, text) + "\n":
        if char == _CONTINUED:
            char = "\n" if comment else " "
        if char == "\n":
            if begun:
                line.append(word)
            if line:
                yield line
            line, word, quoted, begun, comment = [], "", False, False, False
        elif comment:
            continue
        elif char == '"':
            quoted, begun = not quoted, True
        elif char.isspace() and not quoted:
            if begun:
                line.append(word)
            word, begun = "", False
        elif char == "#" and not begun:
            comment = True
        else:
            word, begun = word + char, True


def parse_exports(text: str) -> list[dict[str, t.Any]]:
    """Path, client and options of each line of an export table (etab, exports, *.exports).

    `host (rw)` is two clients: host with the defaults, and everybody with rw. No client at all is everybody, and so are
    options (`-rw`) that no client follows.
    """
    found = []
    for path, *clients in _words(text):
        common: list[str] = []
        if not clients or clients[-1].startswith("-"):
            clients.append("")
        for word in clients:
            if word.startswith("-"):
                common = word[1:].split(",")
                continue
            client, bracket, options = _unescape(word).partition("(")
            given = options.rstrip(")").split(",") if bracket else []
            found.append({"path": _unescape(path), "client": client or "*", "options": common + given})
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def who(client: str) -> str:
    """A client of an export in words."""
    return client + " (everybody)" if client in ("*", "0.0.0.0/0", "::/0", "0.0.0.0/0.0.0.0") else client


def is_client(client: str, allowed: t.Sequence[str]) -> bool:
    """Whether a client of an export is one of these addresses, however both are written."""
    address = client.partition("/")
    if address[1] and address[2] in ("32", "128", "255.255.255.255"):
        client = address[0]
    return canonical(client) in {canonical(item) for item in allowed}


def below(path: str, other: str) -> bool:
    """Whether a path is the other or below it, by the text of both."""
    return (path.rstrip("/") + "/").startswith(other.rstrip("/") + "/")


def covers(export: str, path: str) -> bool:
    """Whether an export of one path hands out the other: the same, above it, or below it."""
    one, other = (os.path.normpath("/" + item.lstrip("/")) for item in (export, path))
    return below(one, other) or below(other, one)


class Mount(t.NamedTuple):
    """A mount: which part of which file system is seen where."""

    device: str
    root: str
    point: str


def parse_mounts(text: str) -> list[Mount]:
    """The mounts in /proc/self/mountinfo."""
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) > 5:
            found.append(Mount(fields[2], _unescape(fields[3]), _unescape(fields[4])))
    return found


def located(path: str, mounts: t.Sequence[Mount]) -> tuple[str, str] | None:
    """Device of a real path, and its place within that file system: the same for every name that it has."""
    best: Mount | None = None
    for mount in mounts:
        # Of two mounts on one point the later one is seen.
        if below(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    if best is None:
        return None
    rest = path[len(best.point.rstrip("/")) :].strip("/")
    return best.device, os.path.normpath(os.path.join(best.root, rest))


class Tree:
    """Directories compared by what they are: behind links, bind mounts, `..` and `//`."""

    def __init__(self, root: str, mounts: t.Sequence[Mount]) -> None:
        self.root = root
        self.mounts = mounts

    def real(self, path: str) -> str:
        """Where a path leads, below our root."""
        return resolve(os.path.join(self.root, path.lstrip("/")))

    def is_there(self, path: str) -> bool:
        """Whether a path leads to anything."""
        return status(self.real(path)) is not None

    def covers(self, export: str, path: str, options: t.Sequence[str] = ()) -> bool:
        """Whether an export gives a directory, one above it, or one below it."""
        if covers(export, path):
            return True
        one, other = self.real(export), self.real(path)
        if covers(one, other):
            return True
        first, second = status(one), status(other)
        if first is not None and second is not None and os.path.samestat(first, second):
            return True
        there, here = located(one, self.mounts), located(other, self.mounts)
        if there is None or here is None:
            return False
        if there[0] == here[0] and covers(there[1], here[1]):
            return True
        # What is mounted below the directory may be given by another name as well.
        if any(
            below(mount.point, other) and mount.device == there[0] and covers(mount.root, there[1])
            for mount in self.mounts
        ):
            return True
        # With crossmnt what is mounted below it is handed out as well.
        return "crossmnt" in options and any(
            below(mount.point, one) and mount.device == here[0] and covers(mount.root, here[1]) for mount in self.mounts
        )


def strangers(
    exports: t.Sequence[t.Mapping[str, t.Any]], path: str, clients: t.Sequence[str], tree: Tree | None = None
) -> list[t.Mapping[str, t.Any]]:
    """Exports that give anything of the path to a machine that is not one of the clients.

    What is not there hands out nothing; but below NFSv4's pseudo root (fsid=0) directories appear as they are bound.
    """
    foreign = [item for item in exports if not is_client(str(item["client"]), clients)]
    pseudo = [str(item["path"]) for item in foreign if {"fsid=0", "fsid=root"} & set(item["options"])]
    found = []
    for item in foreign:
        export = str(item["path"])
        given = tree.covers(export, path, item["options"]) if tree else covers(export, path)
        absent = tree is not None and not given and not tree.is_there(export)
        if given or (absent and any(below(export, root) for root in pseudo)):
            found.append(item)
    return found


def _may_be(client: str, address: str) -> bool:
    """Whether a client of an export may be the machine at an address; of a name or pattern that is not known."""
    try:
        network = ipaddress.ip_network(client, strict=False)
    except ValueError:
        return True
    here = ipaddress.ip_address(canonical(address))
    return here.version == network.version and here in network


def roots(exports: t.Sequence[t.Mapping[str, t.Any]], clients: t.Sequence[str]) -> list[t.Mapping[str, t.Any]]:
    """Exports that are NFSv4's root for one of the clients: it finds every other path below that directory."""
    return [
        item
        for item in exports
        if {"fsid=0", "fsid=root"} & set(item["options"])
        and os.path.normpath(str(item["path"])) != "/"
        and any(_may_be(str(item["client"]), address) for address in clients)
    ]


def unseen(directories: t.Sequence[str], path: str, tree: Tree) -> list[str]:
    """Directories of an export that its clients do not see as the server does, and why."""
    top = tree.real(path)
    found = []
    for directory in directories:
        real = tree.real(directory)
        hidden = [mount.point for mount in tree.mounts if below(real, mount.point) and below(mount.point, top)]
        hidden = [point for point in hidden if point != top]
        if real != os.path.normpath(os.path.join(top, os.path.relpath(directory, path))):
            found.append(f"{directory} is a link that leads to {real}")
        elif hidden:
            found.append(f"{directory} is on a mount of its own ({max(hidden, key=len)})")
    return found


class Setting(t.NamedTuple):
    """A value in the configuration of the NFS server, and the file that sets it."""

    file: str
    key: str
    value: str


def conf_order(names: t.Iterable[str]) -> list[str]:
    """The files of a directory like /etc/nfs.conf.d that are read, in the C library's order of versions."""
    taken = [name for name in names if name.endswith(".conf") and not name.startswith(".") and name != ".conf"]
    strverscmp = ctypes.CDLL(None).strverscmp

    def compare(one: str, other: str) -> int:
        return int(strverscmp(os.fsencode(one), os.fsencode(other)))

    return sorted(taken, key=functools.cmp_to_key(compare))


def parse_conf(text: str, file: str, section: str = "nfsd") -> list[Setting]:
    """What a file like /etc/nfs.conf says about the server, in its order; `include` comes back as a key."""
    found, now = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            now = line[1:].partition("]")[0].split('"')[0].strip().lower()
            continue
        key, equals, value = line.partition("=")
        key = key.strip().lower()
        if equals and (now == section or key == "include"):
            value = re.sub(r"(#|\s;).*$", "", value).strip().strip("\"'")
            found.append(Setting(file, key, value))
    return found


_WORDS = {
    "y": "1",
    "yes": "1",
    "on": "1",
    "true": "1",
    "t": "1",
    "n": "0",
    "no": "0",
    "off": "0",
    "false": "0",
    "f": "0",
}
#: What we leave alone: the server listens on every address at the port that clients know, and its unit sets nothing.
_ALWAYS = {"host": "", "port": "2049", "ExecStart": ""}


def same_value(one: str, other: str) -> bool:
    """Whether two values mean the same."""
    first, second = (_WORDS.get(item.lower(), item.lower().lstrip("0") or "0") for item in (one, other))
    return first == second


def overrides(settings: t.Sequence[Setting], wanted: t.Mapping[str, str], file: str) -> list[Setting]:
    """Values that win over those of our file, and differ; settings are in the order in which they are read."""
    after = max((number for number, item in enumerate(settings) if item.file == file), default=-1)
    found: dict[str, Setting] = {}
    for number, item in enumerate(settings):
        if item.key in wanted:
            later, want = number > after, wanted[item.key]
        elif item.key in _ALWAYS:
            later, want = True, _ALWAYS[item.key]
        else:
            continue
        if item.file == file or not later:
            continue
        if same_value(item.value, want):
            found.pop(item.key, None)
        else:
            found[item.key] = item
    return list(found.values())


_STARTS = re.compile(r"\b(rpc\.nfsd|nfsdctl)\b(?P<rest>[^|;&'\"]*)")


def parse_unit(text: str, file: str) -> list[Setting]:
    """How a unit file starts the server, where it gives settings on the command line: these win over every file."""
    found: list[Setting] = []
    for line in text.replace("\\\n", " ").splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.strip() != "ExecStart":
            continue
        if not value.strip():
            found = []
        for match in _STARTS.finditer(value):
            rest = [word for word in match.group("rest").split() if not word.startswith("$")]
            if rest not in ([], ["autostart"]):
                found.append(Setting(file, "ExecStart", value.strip()))
    return found
