# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""What ufw has been told, what it should be told, and the difference. No Ansible, no commands: texts in, lists out."""

from __future__ import annotations

import binascii
import functools
import ipaddress
import re
import typing as t

TUPLE = "### tuple ### "
KERNEL_CHAINS = ("INPUT", "OUTPUT", "FORWARD")
POLICIES = {"deny": "DROP", "allow": "ACCEPT", "reject": "REJECT"}
# How the kernel's own chains lead to ufw's, in this order.
STEPS = ("before-logging", "before", "after", "after-logging", "reject", "track")
_BLANKET = re.compile(r'-A \S+( -m comment --comment ("[^"]*"|\S+))* -j (ACCEPT|DROP|REJECT)\b')
CHAINS = ("ufw{n}-user-input", "ufw{n}-user-output", "ufw{n}-user-forward")


class UfwError(Exception):
    """A rule or a file of ufw that cannot be understood."""


class Rule(t.NamedTuple):
    """One rule as ufw compares it: its comment is not part of what it is."""

    action: str
    route: bool
    direction: str
    interface_in: str
    interface_out: str
    proto: str
    port: str
    source: str
    source_port: str
    target: str

    def arguments(self, delete: bool = False, comment: str = "", first: bool = False) -> list[str]:
        """The words that follow `ufw` to add this rule, at the end or before all others, or to delete it."""
        words = ["route"] if self.route else []
        if delete or first:
            words.append("delete" if delete else "prepend")
        words.append(self.action)
        if self.route:
            if self.interface_in:
                words += ["in", "on", self.interface_in]
            if self.interface_out:
                words += ["out", "on", self.interface_out]
        else:
            words.append(self.direction)
            if self.interface_in or self.interface_out:
                words += ["on", self.interface_in or self.interface_out]
        if self.proto != "any":
            words += ["proto", self.proto]
        words += ["from", _word(self.source)]
        if self.source_port != "any":
            words += ["port", self.source_port]
        words += ["to", _word(self.target)]
        if self.port != "any":
            words += ["port", self.port]
        if comment and not delete:
            words += ["comment", comment]
        return words

    def denies(self) -> bool:
        """Whether the rule keeps packets out; `ufw deny log ...` is written deny_log."""
        return self.action.partition("_")[0] in ("deny", "reject")

    def overlaps(self, other: Rule) -> bool:
        """Whether there may be a packet of both rules."""
        return self._same_way(other) and all(
            (
                _interfaces_meet(self.interface_in, other.interface_in),
                _interfaces_meet(self.interface_out, other.interface_out),
                self.proto == other.proto or "any" in (self.proto, other.proto),
                _ports_meet(self.port, other.port),
                _ports_meet(self.source_port, other.source_port),
                _network_in(self.source, other.source) or _network_in(other.source, self.source),
                _network_in(self.target, other.target) or _network_in(other.target, self.target),
            )
        )

    def _same_way(self, other: Rule) -> bool:
        return self.route == other.route and (self.route or self.direction == other.direction)

    def to_the_world(self) -> bool:
        """Whether the other side is anybody: then a rule that keeps some of them out may well be meant."""
        source = self.source == "any" and not self.interface_in
        target = self.target == "any" and not self.interface_out
        return source or target if self.route else (source if self.direction == "in" else target)

    def stops(self, other: Rule) -> bool:
        """Whether this rule, met first, keeps out what the other lets in."""
        return self.denies() and not other.to_the_world() and self.overlaps(other)

    def families(self, ipv6: bool) -> tuple[int, ...]:
        """The address families for which ufw writes this rule."""
        for address in (self.source, self.target):
            if address != "any":
                return (ipaddress.ip_network(address).version,)
        return (4, 6) if ipv6 else (4,)

    def __str__(self) -> str:
        return " ".join(self.arguments())


def _ranges(ports: str) -> list[tuple[int, int]]:
    if ports == "any":
        return [(0, 65535)]
    ends = [part.split(":") for part in ports.split(",")]
    return [(int(end[0]), int(end[-1])) for end in ends]


def _ports_meet(one: str, other: str) -> bool:
    return any(low <= last and high >= first for first, last in _ranges(one) for low, high in _ranges(other))


@functools.lru_cache(maxsize=None)
def _network_in(inner: str, outer: str) -> bool:
    if outer == "any" or inner == outer:
        return True
    if inner == "any":
        return False
    one, other = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    if isinstance(one, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return one.subnet_of(other)
    return isinstance(one, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network) and one.subnet_of(other)


def _interface_in(inner: str, outer: str) -> bool:
    if not outer or inner == outer:
        return True
    return outer.endswith("+") and inner.startswith(outer[:-1])


def _interfaces_meet(one: str, other: str) -> bool:
    if one.endswith("+") and other.endswith("+"):
        return one.startswith(other[:-1]) or other.startswith(one[:-1])
    return not one or not other or _interface_in(one, other) or _interface_in(other, one)


class Known(t.NamedTuple):
    """A rule found in ufw's files."""

    rule: Rule
    comment: str
    family: int


def _word(address: str) -> str:
    if address == "any":
        return "any"
    network = ipaddress.ip_network(address)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


@functools.lru_cache(maxsize=None)
def _address(text: str) -> str:
    if text in ("", "any", "0.0.0.0/0", "::/0"):
        return "any"
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as exc:
        raise UfwError(f"'{text}' is neither an address nor a network") from exc


def _ports(text: str) -> str:
    """Ports in one spelling: ufw sorts them its own way."""
    if text in ("", "any"):
        return "any"
    parts = []
    for part in text.split(","):
        ends = part.strip().split(":")
        if len(ends) > 2 or not all(end.isdigit() and 0 < int(end) < 65536 for end in ends):
            raise UfwError(f"'{text}' is not a port, a range or a list of them")
        parts.append(":".join(str(int(end)) for end in ends))
    return ",".join(sorted(parts, key=lambda part: [int(end) for end in part.split(":")]))


def wanted(options: t.Mapping[str, t.Any]) -> Rule:
    """A rule from the options of the module."""
    rule = Rule(
        action=options.get("action") or "allow",
        route=bool(options.get("route")),
        direction=options.get("direction") or "in",
        interface_in=options.get("interface_in") or "",
        interface_out=options.get("interface_out") or "",
        proto=options.get("proto") or "any",
        port=_ports(str(options.get("port") or "")),
        source=_address(options.get("from_ip") or ""),
        source_port="any",
        target=_address(options.get("to_ip") or ""),
    )
    if rule.port.count(",") + rule.port.count(":") and rule.proto == "any":
        raise UfwError(f"ufw wants a protocol beside several ports: {rule}")
    if not rule.route and rule.interface_in and rule.interface_out:
        raise UfwError(f"only a routed rule has two interfaces: {rule}")
    return rule


def parse_rules(text: str, family: int) -> list[Known]:
    """Every rule in the text of user.rules or user6.rules."""
    found = []
    for line in text.splitlines():
        if not line.startswith(TUPLE):
            continue
        words = line[len(TUPLE) :].split()
        comment = ""
        if words and words[-1].startswith("comment="):
            try:
                comment = binascii.unhexlify(words.pop()[len("comment=") :]).decode("utf-8", "replace")
            except (binascii.Error, ValueError) as exc:
                raise UfwError(f"this comment in ufw's rules cannot be read: {line}") from exc
        # action proto dport dst sport src [dapp sapp] direction; a rule without a direction is an old incoming one.
        if len(words) in (6, 8):
            words.append("in")
        if len(words) not in (7, 9):
            raise UfwError(f"this line of ufw's rules is not understood: {line}")
        action, proto, port, target, source_port, source = words[:6]
        direction, interface_in, interface_out = _direction(words[-1])
        rule = Rule(
            action=action.split(":")[-1],
            route=action.startswith("route:"),
            direction=direction,
            interface_in=interface_in,
            interface_out=interface_out,
            proto=proto,
            port=_ports(port),
            source=_address(source),
            source_port=_ports(source_port),
            target=_address(target),
        )
        found.append(Known(rule, comment, family))
    return found


def _direction(word: str) -> tuple[str, str, str]:
    direction, interface_in, interface_out = "in", "", ""
    for part in word.split("!"):
        way, _unused, interface = part.partition("_")
        if way not in ("in", "out"):
            raise UfwError(f"'{word}' is not a direction of ufw")
        if way == "in":
            interface_in = interface
        else:
            interface_out = interface
        direction = way
    if "!" in word:
        direction = "in"
    return direction, interface_in, interface_out


def routed(rule: Rule) -> Rule:
    """A routed rule has no direction of its own; ufw writes one or the other."""
    return rule._replace(direction="in") if rule.route else rule


class Plan(t.NamedTuple):
    """What has to be added, what has to go, and which of the former has to be met before which rules of others."""

    add: list[Rule]
    remove: list[Rule]
    first: t.Sequence[tuple[Rule, tuple[Rule, ...]]] = ()


def _before(rule: Rule, known: t.Sequence[Known], families: t.Sequence[int], prefix: str) -> tuple[Rule, ...]:
    """Rules of others that are met before a rule, or before its place at the end, and keep out what it lets in."""
    found: list[Rule] = []
    for family in families:
        for item in known:
            if item.family != family:
                continue
            if routed(item.rule) == routed(rule):
                break
            if not item.comment.startswith(prefix) and item.rule.stops(rule) and item.rule not in found:
                found.append(item.rule)
    return tuple(found)


def plan(
    rules: t.Sequence[Rule],
    known: t.Sequence[Known],
    prefix: str,
    ipv6: bool,
    needs: t.Sequence[Rule] = (),
) -> Plan:
    """Compare: a rule is satisfied whoever added it; only rules that carry the prefix may be removed.

    The first rule that fits a packet counts, so a rule of others that keeps out what ours lets in is preceded by ours
    and stays. needs are rules that are wanted only where a rule of others keeps out what they let through.
    """
    wanted_now = list(dict.fromkeys(rules))
    for need in needs:
        others = [item for item in known if item.family in need.families(ipv6) and not item.comment.startswith(prefix)]
        if need not in wanted_now and any(item.rule.stops(need) for item in others):
            wanted_now.append(need)
    present = {(routed(item.rule), item.family) for item in known}
    add, first = [], []
    for rule in wanted_now:
        families = rule.families(ipv6)
        before = _before(rule, known, families, prefix) if not rule.denies() else ()
        if before:
            first.append((rule, before))
        if before or not all((routed(rule), family) in present for family in families):
            add.append(rule)
    keep = {routed(rule) for rule in wanted_now}
    remove = []
    for item in known:
        if item.comment.startswith(prefix) and routed(item.rule) not in keep and item.rule not in remove:
            remove.append(item.rule)
    return Plan(add, remove, tuple(first))


def setting(text: str, name: str) -> str:
    """The value of NAME=value or NAME="value" in a shell-like file; empty when absent."""
    value = ""
    for line in text.splitlines():
        key, equals, rest = line.strip().partition("=")
        if equals and key.strip() == name:
            value = rest.strip().strip("\"'")
    return value


def count(text: str, chain: str) -> int:
    """How many rules a chain has, in a rules file or in the answer of `iptables -S`."""
    return sum(1 for line in text.splitlines() if line.startswith(f"-A {chain} "))


def _jumps(family: int) -> list[str]:
    names = ["{}-{}".format("ufw" if family == 4 else "ufw6", step) for step in STEPS]
    return [f"{chain} -j {name}-{chain.lower()}" for chain in KERNEL_CHAINS for name in names]


def lost_jumps(live_text: str, family: int) -> list[str]:
    """The ways from the kernel's chains to ufw's that somebody has flushed, in the answer of `iptables -S`."""
    live = set(live_text.splitlines())
    return [jump for jump in _jumps(family) if "-A " + jump not in live]


def repair(live_text: str, family: int) -> str:
    """What `iptables-restore --noflush` has to be told to put lost jumps back, all in their order; else nothing.

    ufw makes them together with its chains, and never again while these are there, empty or not: switched on after an
    `iptables -F` it would drop everything, the connection of whoever switches it on included.
    """
    live = live_text.splitlines()
    first = "-N {}-before-logging-input".format("ufw" if family == 4 else "ufw6")
    if first not in live or not lost_jumps(live_text, family):
        return ""
    left = ["-D " + line[len("-A ") :] for line in live if line[len("-A ") :] in _jumps(family)]
    return "\n".join(["*filter", *left, *("-A " + jump for jump in _jumps(family)), "COMMIT", ""])


def _blankets(live_text: str, family: int) -> list[str]:
    """Rules for every packet that are met before the kernel's chains lead to ufw's: with them ufw has no effect."""
    found, reached = [], set()
    jumps = {"-A " + jump for jump in _jumps(family)}
    for line in live_text.splitlines():
        chain = line.split()[1] if line.startswith("-A ") else ""
        if line in jumps:
            reached.add(chain)
        elif chain in KERNEL_CHAINS and chain not in reached and _BLANKET.match(line):
            found.append(line)
    return found


def drift(rules_text: str, live_text: str, policies: t.Mapping[str, str], family: int) -> list[str]:
    """How the packet filter in the kernel differs from what ufw's files say. Empty means: as told."""
    found = []
    for chain in CHAINS:
        name = chain.format(n="" if family == 4 else "6")
        told, live = count(rules_text, name), count(live_text, name)
        if told != live:
            found.append(f"{name} has {live} rules in the kernel and {told} in ufw's file")
    lost = lost_jumps(live_text, family)
    if lost:
        found.append("in the kernel nothing leads to {}".format(", ".join(jump.split()[-1] for jump in lost)))
    found += [f"{rule} is met before ufw's chains" for rule in _blankets(live_text, family)]
    for chain, policy in policies.items():
        if f"-P {chain} {policy}" not in live_text.splitlines():
            found.append(f"the policy of {chain} in the kernel is not {policy}")
    return found
