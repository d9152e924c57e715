# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""On which ports a machine serves SSH, as far as its configuration, systemd and the kernel tell."""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import re
import shlex
import typing as t

LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp

#: A connection, for `sshd -T -C`: with a `Match LocalPort` in its configuration sshd answers for a connection only, so
#: every field that a Match can ask for is given. Any connection does: no Match block may hold a Port or ListenAddress.
CONNECTION = "user=root,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22,rdomain="


def effective_ports(text: str) -> list[int]:
    """The ports in the answer of `sshd -T`."""
    return sorted({int(word) for word in re.findall(r"^port (\d+)$", text, re.MULTILINE)})


def bound_addresses(text: str) -> list[str]:
    """Addresses in the answer of `sshd -T` that are narrower than every address."""
    found = re.findall(r"^listenaddress (\S+)$", text, re.MULTILINE)
    return [item for item in found if not re.match(r"^(\[::\]|0\.0\.0\.0|::)(:\d+)?$", item)]


def lines_of(text: str, keyword: str) -> list[str]:
    """Lines of an sshd configuration file with this keyword, outside Match blocks."""
    found = []
    for line in text.splitlines():
        words = _arguments(line) or [""]
        if words[0].lower() == "match":
            break
        if words[0].lower() == keyword:
            found.append(line.strip())
    return found


def port_lines(text: str) -> list[str]:
    """Lines that set a port."""
    return lines_of(text, "port")


def listen_lines(text: str) -> list[str]:
    """Lines that bind an address together with a port, which no other line can then change."""
    return [
        line for line in lines_of(text, "listenaddress") if re.search(r"(\]|[^:]):\d+$", [*_arguments(line), ""][1])
    ]


Read = t.Callable[[str], str]
Find = t.Callable[[str], t.Sequence[str]]
_DEPTH = 16  # sshd follows no more


def _arguments(line: str) -> list[str]:
    """The words of a line as sshd splits them: quotes, comments, and an equals sign after the keyword."""
    line = re.sub(r'^\s*"?(\w+)"?\s*=?\s*', r"\1 ", line)
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        # A quote that does not end: sshd refuses the line.
        return line.split()


def files(main: str, read: Read, find: Find) -> list[tuple[str, list[str]]]:
    """Every file of a configuration in the order in which sshd reads it, with its lines outside of Match blocks.

    A file can come more than once. What is included inside a Match block is for some connections only.
    """
    found: list[tuple[str, list[str]]] = []

    def walk(path: str, depth: int, matched: bool) -> None:
        lines: list[str] = []
        if not matched:
            found.append((path, lines))
        for line in read(path).splitlines():
            words = _arguments(line.strip())
            if not words or words[0].startswith("#"):
                continue
            keyword = words[0].lower()
            if keyword == "match":
                # `Match all` is for everything again.
                matched = [word.lower() for word in words[1:]] != ["all"]
            elif keyword == "include" and depth < _DEPTH:
                for pattern in words[1:]:
                    for name in find(os.path.join(os.path.dirname(main), pattern)):
                        walk(name, depth + 1, matched)
            elif not matched:
                lines.append(line.strip())

    walk(main, 0, False)
    return found


def reads(found: t.Sequence[tuple[str, list[str]]], path: str, main: str, read: Read) -> bool:
    """Whether sshd reads a file, or would if it were there."""
    if any(name == path for name, _lines in found):
        return True
    for name, _lines in found:
        for line in lines_of(read(name), "include"):
            for pattern in _arguments(line)[1:]:
                if fnmatch.fnmatchcase(path, os.path.join(os.path.dirname(main), pattern)):
                    return True
    return False


def told(options: str) -> list[str]:
    """Options on sshd's command line that decide where it listens; these win over every file."""
    found = []
    words = options.split()
    for number, word in enumerate(words):
        rest = words[number + 1] if number + 1 < len(words) else ""
        decides = word.startswith("-o") and re.match(r"(?i)(port|listenaddress)\b", word[2:] or rest)
        if decides or word.startswith(("-p", "-f")):
            found.append(word if len(word) > 2 else word + " " + rest)
    return found


def listens(text: str) -> list[str]:
    """What ssh.socket listens on in the answer of `systemctl show -p Listen`, each as ListenStream takes it."""
    return re.findall(r"(\S+) \(Stream\)", text.replace("Listen=", " "))


def addresses(streams: t.Sequence[str], both: bool) -> tuple[list[str], list[str]]:
    """The addresses that ssh.socket listens on, without their ports, and what else it listens on.

    both says that [::] stands for IPv4 as well.
    """
    found: list[str] = []
    others: list[str] = []
    for stream in streams:
        address, colon, port = stream.rpartition(":")
        if not colon or not port.isdigit() or stream.startswith(("/", "@", "vsock:")):
            others.append(stream)
        elif address in ("[::]", "*", "") and both:
            found += ["0.0.0.0", "[::]"]
        else:
            found.append(address)
    return list(dict.fromkeys(found)), others


def socket_ports(text: str) -> list[int]:
    """The ports of ssh.socket in the answer of `systemctl show -p Listen`."""
    return sorted({int(port) for port in re.findall(r":(\d+) \(Stream\)", text)})


def listening(text: str) -> dict[str, int]:
    """Inode -> port of every listening socket in /proc/net/tcp or tcp6."""
    found = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTEN:
            found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def connection(environment: t.Mapping[str, str]) -> dict[str, t.Any] | None:
    """Who is connected to which address and port, from SSH_CONNECTION."""
    words = environment.get("SSH_CONNECTION", "").split()
    if len(words) != 4 or not (words[1].isdigit() and words[3].isdigit()):
        return None
    return {"client": words[0], "server": words[2], "server_port": int(words[3])}


def allowed(client: str, sources: t.Sequence[str]) -> bool:
    """Whether an address is in one of the networks; with no networks everybody is."""
    address = ipaddress.ip_address(client.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    networks = [ipaddress.ip_network(source, strict=False) for source in sources]
    return not networks or any(address in network for network in networks)
