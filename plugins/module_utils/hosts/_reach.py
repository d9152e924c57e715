# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The packets that a machine's firewall rules are about: which must get through, and which must not."""

from __future__ import annotations

import functools
import ipaddress
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._netfilter import (
    FORWARD,
    INPUT,
    OUTPUT,
    Fate,
    Packet,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._ufw import Rule

#: Addresses in different parts of the Internet: who comes from anywhere may come from any of them.
WORLD = {
    4: ("93.184.215.14", "151.101.1.69", "8.8.8.8"),
    6: ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450:4001:81b::200e", "2001:4860:4860::8888"),
}
#: What is asked of a rule for every port: the ports that the machines of a site have for each other.
_EVERY = (("tcp", 2049), ("tcp", 16443), ("tcp", 10250), ("udp", 4789))


class Route(t.NamedTuple):
    """How a machine reaches an address."""

    interface: str
    own: str


#: Asks the machine; None where it has no way, or the address is its own.
Routes = t.Callable[[str], t.Optional[Route]]
Fates = t.Callable[[Packet], Fate]


class Inside(t.NamedTuple):
    """The network behind a machine's own interfaces, and their name with a plus.

    services is a network of addresses that become others on the way, so by which interface is not known.
    """

    network: str
    interface: str
    services: str = ""

    def leads(self, address: str) -> str | None:
        """The interface to an address; None where the machine's routes say."""
        if _is_in(address, self.network):
            return self.interface
        return "" if self.services and _is_in(address, self.services) else None


def _hosts(network: str, family: int, inside: Inside | None, interface: str) -> list[str]:
    if network == "any":
        if interface and inside is not None:
            return _hosts(inside.network, family, None, "")
        return [] if interface else list(WORLD[family])
    found = ipaddress.ip_network(network)
    if found.version != family:
        return []
    # An address well inside, and none that stands for the network.
    step = min(found.num_addresses // 2 + 1, found.num_addresses - 1)
    return [str(found[step])]


def _ports(rule: Rule) -> list[tuple[str, int]]:
    if rule.port == "any":
        return [pair for pair in _EVERY if rule.proto in ("any", pair[0])]
    ports = [int(end) for part in rule.port.split(",") for end in part.split(":")]
    return [(proto, port) for port in ports for proto in (("tcp", "udp") if rule.proto == "any" else (rule.proto,))]


@functools.lru_cache(maxsize=None)
def _is_in(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def packets(
    rule: Rule, family: int, routes: Routes, inside: Inside | None, sample: t.Sequence[str] | None = None
) -> list[list[Packet]]:
    """Packets that a rule lets through, in groups of which one must get through."""
    sources = _hosts(rule.source, family, inside, rule.interface_in)
    targets = _hosts(rule.target, family, inside, rule.interface_out)
    if sample is not None:
        sources = [item for item in sample if ipaddress.ip_address(item).version == family]
    groups = []
    for proto, port in _ports(rule):
        group = []
        for source in sources if rule.route or rule.direction == "in" else targets:
            if rule.route:
                group += [_passed_on(rule, proto, port, source, target, routes, inside) for target in targets]
            else:
                group.append(_own(rule, proto, port, source, routes, inside))
        made = [packet for packet in group if packet is not None]
        if made:
            groups.append(made)
    return groups


def _own(rule: Rule, proto: str, port: int, other: str, routes: Routes, inside: Inside | None) -> Packet | None:
    route = routes(other)
    if route is None:
        return None
    led = inside.leads(other) if inside is not None else None
    interface = route.interface if led is None else led
    if rule.direction == "in":
        own = route.own if rule.target == "any" else str(ipaddress.ip_network(rule.target)[0])
        return Packet(INPUT, proto, other, own, port, interface_in=rule.interface_in or interface)
    own = route.own if rule.source == "any" else str(ipaddress.ip_network(rule.source)[0])
    return Packet(OUTPUT, proto, own, other, port, interface_out=rule.interface_out or interface)


def _passed_on(
    rule: Rule, proto: str, port: int, source: str, target: str, routes: Routes, inside: Inside | None
) -> Packet | None:
    """A packet for another machine or pod. One between two other machines, or from a pod to itself, there is not."""

    def interface(address: str, given: str) -> str | None:
        if given:
            return given
        led = inside.leads(address) if inside is not None else None
        if led is not None:
            return led
        route = routes(address)
        return None if route is None else route.interface

    arrives, leaves = interface(source, rule.interface_in), interface(target, rule.interface_out)
    if arrives is None or leaves is None or (source == target and not (rule.interface_in or rule.interface_out)):
        return None
    return Packet(FORWARD, proto, source, target, port, arrives, leaves)


def asked_for(
    rules: t.Iterable[Rule],
    samples: t.Mapping[Rule, t.Any],
    families: t.Iterable[int],
    inside: Inside | None,
) -> list[str]:
    """The addresses to which ways will be asked for, so that they can be asked for at once."""
    found: list[str] = []

    def note(address: str) -> None:
        found.append(address)

    for family in families:
        found += WORLD[family]
        for rule in rules:
            packets(rule, family, note, inside, samples.get(rule))
    return list(dict.fromkeys(found))


def blocked(groups: t.Iterable[t.Sequence[Packet]], fates: Fates) -> t.Iterator[tuple[Packet, str]]:
    """For each group none of whose packets gets through and is answered: one of them, or its answer, and by what."""
    for group in groups:
        found = [_stopped(packet, fates) for packet in group]
        if found and found[0] is not None and None not in found:
            yield found[0]


def _stopped(packet: Packet, fates: Fates) -> tuple[Packet, str] | None:
    """A packet or the answer to it, whichever is stopped, and what stops it."""
    for one in (packet, packet.answer()):
        fate = fates(one)
        if fate.passes is False:
            return one, fate.by
    return None


def exposed(
    ports: t.Iterable[tuple[str, int]], family: int, routes: Routes, fates: Fates, pending: bool = False
) -> t.Iterator[tuple[Packet, str]]:
    """Ports that are certain to let in packets from the world: a packet, and what lets it in.

    pending says that policies are about to change, so that only a rule counts.
    """
    for proto, port in ports:
        for address in WORLD[family]:
            route = routes(address)
            if route is None:
                continue
            packet = Packet(INPUT, proto, address, route.own, port, interface_in=route.interface)
            fate = fates(packet)
            if fate.passes and not (pending and (not fate.by or fate.by.startswith("the policy"))):
                yield packet, fate.by or "no rule stops it"
                break


def says(packet: Packet) -> str:
    """A packet in words."""
    if packet.reply:
        return f"the answer, {packet.proto} {packet.source}:{packet.source_port} -> {packet.target}"
    return f"{packet.proto} {packet.source} -> {packet.target}:{packet.port}"
