# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On which ports a machine serves SSH, as far as its configuration, systemd and the kernel tell."""

from __future__ import annotations

import ipaddress
import re
import typing as t

LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp


def effective_ports(text: str) -> t.List[int]:
    """The ports in the answer of `sshd -T`."""
    return sorted({int(word) for word in re.findall(r"^port (\d+)$", text, re.MULTILINE)})


def bound_addresses(text: str) -> t.List[str]:
    """Addresses in the answer of `sshd -T` that are narrower than every address."""
    found = re.findall(r"^listenaddress (\S+)$", text, re.MULTILINE)
    return [item for item in found if not re.match(r"^(\[::\]|0\.0\.0\.0|::)(:\d+)?$", item)]


def lines_of(text: str, keyword: str) -> t.List[str]:
    """Lines of an sshd configuration file with this keyword, outside Match blocks."""
    found = []
    for line in text.splitlines():
        words = re.split(r"[\s=]+", line.strip(), maxsplit=1)
        if words[0].lower() == "match":
            break
        if words[0].lower() == keyword:
            found.append(line.strip())
    return found


def port_lines(text: str) -> t.List[str]:
    """Lines that set a port."""
    return lines_of(text, "port")


def listen_lines(text: str) -> t.List[str]:
    """Lines that bind an address together with a port, which no other line can then change."""
    return [
        line for line in lines_of(text, "listenaddress") if re.search(r"(\]|[^:]):\d+(\s|$)", line.split(None, 1)[-1])
    ]


def socket_ports(text: str) -> t.List[int]:
    """The ports of ssh.socket in the answer of `systemctl show -p Listen`."""
    return sorted({int(port) for port in re.findall(r":(\d+) \(Stream\)", text)})


def listening(text: str) -> t.Dict[str, int]:
    """Inode -> port of every listening socket in /proc/net/tcp or tcp6."""
    found = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTEN:
            found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def connection(environment: t.Mapping[str, str]) -> t.Optional[t.Dict[str, t.Any]]:
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
