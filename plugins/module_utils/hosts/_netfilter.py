# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What the kernel's packet filter does with a packet, from the rules in force, in their order.

A condition that is not understood may hold or not. A verdict is certain only where it comes out either way, so what
is said here is never more than the rules say.
"""

from __future__ import annotations

import copy
import functools
import ipaddress
import re
import shlex
import typing as t

ACCEPT, DROP, REJECT = "ACCEPT", "DROP", "REJECT"
INPUT, OUTPUT, FORWARD = "INPUT", "OUTPUT", "FORWARD"
#: The chains that a packet meets, by table, besides those that translate addresses.
_WAYS = {
    INPUT: (("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", INPUT), ("filter", INPUT), ("security", INPUT)),
    FORWARD: (
        ("raw", "PREROUTING"),
        ("mangle", "PREROUTING"),
        ("mangle", FORWARD),
        ("filter", FORWARD),
        ("security", FORWARD),
        ("mangle", "POSTROUTING"),
    ),
    OUTPUT: (
        ("raw", OUTPUT),
        ("mangle", OUTPUT),
        ("filter", OUTPUT),
        ("security", OUTPUT),
        ("mangle", "POSTROUTING"),
    ),
}
#: The hooks of nftables on the same ways.
_HOOKS = {
    INPUT: ("ingress", "prerouting", "input"),
    FORWARD: ("ingress", "prerouting", "forward", "postrouting", "egress"),
    OUTPUT: ("output", "postrouting", "egress"),
}
#: The priority at which the kernel looks up a packet's connection.
_CONNTRACK = -200


class FilterError(Exception):
    """Rules that cannot be understood."""


class Packet(t.NamedTuple):
    """The first packet of a connection, or the answer to it. An interface that is not known is empty, and no loopback.

    tracked says whether the kernel has looked up its connection; None where that is not certain.
    """

    hook: str
    proto: str
    source: str
    target: str
    port: int
    interface_in: str = ""
    interface_out: str = ""
    mark: int = 0
    source_port: int = 50123
    tracked: bool | None = True
    reply: bool = False

    @property
    def family(self) -> int:
        return ipaddress.ip_address(self.source).version

    def answer(self) -> Packet:
        """What comes back the same way."""
        return self._replace(
            hook={INPUT: OUTPUT, OUTPUT: INPUT}.get(self.hook, self.hook),
            source=self.target,
            target=self.source,
            port=self.source_port,
            source_port=self.port,
            interface_in=self.interface_out,
            interface_out=self.interface_in,
            reply=not self.reply,
        )


_ALL = 0xFFFFFFFF


class Mark(t.NamedTuple):
    """The mark of a packet, and those of its bits that are not known."""

    bits: int
    unknown: int


class Sets:
    """The sets of addresses in the answer of `ipset save`."""

    def __init__(self, text: str = "") -> None:
        self._created: dict[str, list[str]] = {}
        self._elements: dict[str, list[list[str]]] = {}
        # Blacklists are long, and each address is asked for often.
        self._parsed: dict[str, list[tuple[int, int, int, bool]] | None] = {}
        self._answers: dict[tuple[str, str], bool | None] = {}
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["create"] and len(words) > 2:
                self._created[words[1]] = words[2:]
            elif words[:1] == ["add"] and len(words) > 2:
                self._elements.setdefault(words[1], []).append(words[2:])

    def has(self, name: str, address: str) -> bool | None:
        """Whether an address is in a set; None where that is not known, as with sets of more than addresses."""
        if (name, address) not in self._answers:
            self._answers[name, address] = self._ask(name, address)
        return self._answers[name, address]

    def _ask(self, name: str, address: str) -> bool | None:
        kind, *options = self._created.get(name) or [""]
        if kind == "list:set":
            return _any([self.has(words[0], address) for words in self._elements.get(name, [])])
        if kind not in ("hash:ip", "hash:net", "bitmap:ip") or {"netmask", "bitmask"} & set(options):
            return None
        if name not in self._parsed:
            self._parsed[name] = _spans(self._elements.get(name, []))
        spans = self._parsed[name]
        if spans is None:
            return None
        here = ipaddress.ip_address(address)
        there = int(here)
        found = [item for item in spans if item[0] == here.version and item[1] <= there <= item[2]]
        # The narrowest entry counts, and one with nomatch takes its addresses out.
        return bool(found) and not min(found, key=lambda item: item[2] - item[1])[3]


def _spans(elements: t.Sequence[t.Sequence[str]]) -> list[tuple[int, int, int, bool]] | None:
    """Version, first and last address of each element of a set, and whether it is an exception."""
    found: list[tuple[int, int, int, bool]] = []
    try:
        for words in elements:
            network = ipaddress.ip_network(words[0], strict=False)
            ends = int(network.network_address), int(network.broadcast_address)
            found.append((network.version, *ends, "nomatch" in words[1:]))
    except ValueError:
        return None
    return found


class Rule(t.NamedTuple):
    """A rule of a chain: conditions, what it does, and its text."""

    conditions: list[tuple[str, bool, str]]
    target: str
    options: list[str]
    text: str
    goto: bool = False
    sets: Sets | None = None


class Chain(t.NamedTuple):
    """A chain; only the kernel's own have a policy."""

    policy: str
    rules: list[Rule]


Tables = t.Dict[str, t.Dict[str, Chain]]


class Verdict(t.NamedTuple):
    """What may become of a packet, and the rule or policy that decides."""

    verdict: str
    certain: bool
    by: str


# --- iptables-save -------------------------------------------------------------------------------------------------

_SHORT = {
    "-s": "source",
    "-d": "target",
    "-i": "interface_in",
    "-o": "interface_out",
    "-p": "proto",
    "--dport": "port",
    "--dports": "port",
    "--destination-port": "port",
    "--sport": "source_port",
    "--sports": "source_port",
    "--ports": "either_port",
    "--ctstate": "state",
    "--state": "state",
    "--dst-type": "target_type",
    "--src-type": "source_type",
    "--mark": "mark",
    "--ctproto": "proto",
    "--pkt-type": "packet_type",
    "--tcp-flags": "flags",
    "--syn": "syn",
    "--comment": "comment",
    "--match-set": "set",
    "--src-range": "source_range",
    "--dst-range": "target_range",
}
_TWO = ("--tcp-flags", "--match-set")
_QUOTES = re.compile(r"""["'\\#]""")


def parse_save(text: str, label: str = "", sets: Sets | None = None) -> Tables:
    """The tables in the answer of iptables-save, or of `iptables -S` for the table filter.

    label is put before the text of each rule; sets are those that the rules name.
    """
    tables: Tables = {}
    table = tables.setdefault("filter", {})
    for line in text.splitlines():
        if line.startswith("*"):
            table = {} if line[1:].strip() == "nat" else tables.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            table[name] = Chain("" if policy == "-" else policy, [])
        elif line.startswith("-P "):
            _p, name, policy = line.split()
            table[name] = Chain(policy, [])
        elif line.startswith("-N "):
            table[line.split()[1]] = Chain("", [])
        elif line.startswith("-A "):
            name, rule = _parse_rule(line)
            table.setdefault(name, Chain("", [])).rules.append(rule._replace(text=label + rule.text, sets=sets))
    return tables


def _parse_rule(line: str) -> tuple[str, Rule]:
    try:
        # Most rules quote nothing, and shlex takes its time.
        words = shlex.split(line) if _QUOTES.search(line) else line.split()
    except ValueError as exc:
        raise FilterError(f"this rule of the packet filter is not understood: {line}") from exc
    chain, rest = words[1], words[2:]
    conditions: list[tuple[str, bool, str]] = []
    target, goto = "", False
    while rest:
        word = rest.pop(0)
        wanted = word != "!"
        if not wanted:
            word = rest.pop(0)
        if word in ("-j", "-g", "--jump", "--goto"):
            target, goto = rest.pop(0), word in ("-g", "--goto")
            break
        if word == "-m":
            # A match without conditions that are known below may hold or not.
            name = rest.pop(0)
            if name in ("rpfilter", "socket", "u32", "statistic", "random", "time", "quota", "bpf", "osf"):
                conditions.append(("unknown", wanted, name))
            continue
        value = ""
        for _number in range(2 if word in _TWO else 1):
            if rest and not rest[0].startswith("-") and rest[0] != "!":
                value += " " + rest.pop(0)
        value = value.strip()
        conditions.append((_SHORT.get(word, "unknown"), wanted, value))
    return chain, Rule(conditions, target, rest, line, goto)


# --- Does a condition hold? True, False, or None where that is not known -------------------------------------------

_OWN = re.compile(r"^(lo|cali|vxlan|docker|br-|veth|cni|flannel|tun|tap|wg|virbr|lxc|kube|nodelocaldns)")


def _interface(pattern: str, name: str) -> bool | None:
    """Whether an interface is meant; a name with a plus at its end is one of several, which one is not known."""
    plain = pattern.rstrip("+*")
    prefix = plain != pattern
    if name.endswith("+"):
        begin = name[:-1]
        if prefix and begin.startswith(plain):
            return True
        return None if plain.startswith(begin) else False
    if name:
        return name.startswith(plain) if prefix else name == plain
    if not plain:
        return True
    # An interface to other machines, which one is not known.
    return False if _OWN.match(plain) else None


@functools.lru_cache(maxsize=None)
def _address(value: str, address: str) -> bool | None:
    try:
        here = ipaddress.ip_address(address)
        networks = [ipaddress.ip_network(part, strict=False) for part in value.split(",")]
    except ValueError:
        return None
    return any(network.version == here.version and here in network for network in networks)


def _range(value: str, address: str) -> bool | None:
    first, dash, last = value.partition("-")
    try:
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last if dash else first)
        here = ipaddress.ip_address(address)
    except ValueError:
        return None
    return low.version == here.version and int(low) <= int(here) <= int(high)


def _port(value: str, port: int) -> bool | None:
    for part in value.split(","):
        first, colon, last = part.partition(":")
        if not (first or "0").isdigit() or not (last or "0").isdigit():
            return None
        if int(first or 0) <= port <= (int(last or 65535) if colon else int(first)):
            return True
    return False


def _proto(value: str, packet: Packet) -> bool | None:
    numbers = {"6": "tcp", "17": "udp", "0": "all"}
    value = numbers.get(value.lower(), value.lower())
    return value in ("all", packet.proto)


def _mark(value: str, mark: Mark) -> bool | None:
    wanted, slash, cover = value.partition("/")
    try:
        mask = int(cover, 0) if slash else _ALL
        return None if mask & mark.unknown else mark.bits & mask == int(wanted, 0)
    except ValueError:
        return None


def _state(packet: Packet) -> str | None:
    """The state of a packet's connection; before the kernel has looked, it is none it knows."""
    known = "established" if packet.reply else "new"
    return None if packet.tracked is None else known if packet.tracked else "invalid"


def _type(value: str, local: bool | None) -> bool | None:
    kinds = set(value.upper().split(","))
    if "LOCAL" in kinds:
        return local
    return False if kinds <= {"BROADCAST", "MULTICAST", "ANYCAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT"} else None


def _holds(condition: tuple[str, bool, str], packet: Packet, mark: Mark, sets: Sets | None) -> bool | None:
    kind, wanted, value = condition
    found: bool | None
    if kind in ("source", "target"):
        found = _address(value, getattr(packet, kind))
    elif kind in ("source_range", "target_range"):
        found = _range(value, packet.source if kind == "source_range" else packet.target)
    elif kind in ("interface_in", "interface_out"):
        name = getattr(packet, kind)
        # What arrives leaves by none, and what leaves has arrived by none.
        none = (kind == "interface_in" and packet.hook == OUTPUT) or (kind == "interface_out" and packet.hook == INPUT)
        found = False if none else _interface(value, name)
    elif kind == "set":
        name, _space, flags = value.partition(" ")
        end = {"src": packet.source, "dst": packet.target}.get(flags)
        found = None if sets is None or end is None else sets.has(name, end)
    elif kind == "proto":
        found = _proto(value, packet)
    elif kind in ("port", "source_port"):
        found = _port(value, getattr(packet, kind))
    elif kind == "either_port":
        found = _any([_port(value, packet.port), _port(value, packet.source_port)])
    elif kind == "state":
        state = _state(packet)
        found = None if state is None else state.upper() in value.upper().split(",")
    elif kind == "target_type":
        found = _type(value, packet.hook == INPUT)
    elif kind == "source_type":
        found = _type(value, packet.hook == OUTPUT)
    elif kind == "mark":
        found = _mark(value, mark)
    elif kind == "packet_type":
        found = value == "unicast"
    elif kind == "syn":
        found = packet.proto == "tcp" and not packet.reply
    elif kind == "flags":
        mask, _space, flags = value.partition(" ")
        has = {"SYN", "ACK"} if packet.reply else {"SYN"}
        names = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"} if mask == "ALL" else set(mask.split(","))
        found = packet.proto == "tcp" and names & has == set(flags.replace("NONE", "").split(",")) - {""}
    elif kind == "comment":
        return True
    else:
        return None
    return found if found is None or wanted else not found


def _all(found: t.Iterable[bool | None]) -> bool | None:
    result: bool | None = True
    for item in found:
        if item is False:
            return False
        if item is None:
            result = None
    return result


def _any(found: t.Sequence[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


# --- Walking -------------------------------------------------------------------------------------------------------

_FINAL = {"ACCEPT": ACCEPT, "DROP": DROP, "REJECT": REJECT}
#: Chains of Kubernetes and its network. Which pods there are, and what may reach them, changes all the time and is
#: their affair: they are taken to let through what is theirs.
_MANAGED = ("cali-", "KUBE-", "CNI-", "FLANNEL-")
#: Whole tables of theirs in nftables: kube-proxy's from Kubernetes 1.29 on drops what goes to a service that is none.
_MANAGED_TABLES = ("kube-proxy", "calico", "cali-", "cni", "flannel")
#: Targets that let the packet go on.
_ON = (
    "LOG",
    "NFLOG",
    "ULOG",
    "TRACE",
    "CT",
    "NOTRACK",
    "CONNMARK",
    "TOS",
    "DSCP",
    "TTL",
    "HL",
    "SET",
    "CHECKSUM",
    "AUDIT",
)


class _Walk:
    """One packet through the chains of one table. opaque are chains that may accept, whatever is in them now."""

    def __init__(self, chains: t.Mapping[str, Chain], packet: Packet, opaque: t.Container[str] = ()) -> None:
        self.chains = chains
        self.packet = packet
        self.opaque = opaque
        self.mark = Mark(packet.mark, 0)

    def chain(self, name: str, certain: bool, depth: int = 0) -> tuple[list[Verdict], bool | None]:
        """Verdicts in a chain, and whether the packet leaves it without one (None: it may).

        certain says whether the packet comes here at all.
        """
        if name in self.opaque:
            return [Verdict(ACCEPT, False, name)], None
        if name not in self.chains or depth > 32:
            return [], None
        found: list[Verdict] = []
        maybe = False  # whether an earlier rule may have ended the packet's way through this chain
        away = False  # whether it may have left the chain without a verdict
        for rule in self.chains[name].rules:
            if rule.target in (DROP, REJECT) and name.startswith(_MANAGED):
                continue
            holds = _all(_holds(condition, self.packet, self.mark, rule.sets) for condition in rule.conditions)
            if holds is False:
                continue
            sure = certain and holds is True and not maybe
            leaves: bool | None = True
            if rule.target in _FINAL:
                found.append(Verdict(_FINAL[rule.target], sure, rule.text))
                leaves = False
            elif rule.target == "RETURN":
                if holds is True:
                    break
                maybe = away = True
            elif rule.target in self.chains or rule.target in self.opaque:
                more, leaves = self.chain(rule.target, sure, depth + 1)
                found += more
                if rule.goto and leaves is not False:
                    if holds is True:
                        maybe = maybe or leaves is None
                        break
                    maybe = away = True
            else:
                self._changes(rule, sure)
                leaves = True if rule.target in _ON or rule.target in ("", "MARK") else None
                if leaves is None:
                    # A program, or a target that is not known here, decides.
                    found += [Verdict(verdict, False, rule.text) for verdict in (ACCEPT, DROP)]
            if leaves is False and holds is True:
                return found, None if away else False
            maybe = maybe or leaves is not True
        return found, None if maybe else True

    def _changes(self, rule: Rule, sure: bool) -> None:
        if rule.target != "MARK":
            return
        option, _space, value = " ".join(rule.options).partition(" ")
        number, slash, mask = value.partition("/")
        try:
            bits, cover = int(number, 0), int(mask, 0) if slash else _ALL
        except ValueError:
            self.mark = Mark(0, _ALL)
            return
        if option == "--or-mark":
            cover = bits
        elif option == "--and-mark":
            bits, cover = 0, ~bits & _ALL
        elif option == "--set-mark":
            cover |= bits
        elif option != "--set-xmark":
            sure, cover = False, _ALL
        known, unknown = self.mark
        if option == "--set-xmark" and bits & ~cover:
            # What is outside of the mask is turned over.
            sure, cover = False, cover | bits
        if sure:
            self.mark = Mark((known & ~cover) | bits, unknown & ~cover)
        else:
            self.mark = Mark(known, unknown | cover)


def _in_table(
    table: str, chains: t.Mapping[str, Chain], name: str, packet: Packet, opaque: t.Container[str], policies: bool
) -> list[Verdict]:
    """What may become of a packet in a chain of the kernel."""
    if name not in chains:
        return [Verdict(ACCEPT, True, "")]
    walk = _Walk(chains, packet, opaque)
    found, leaves = walk.chain(name, True)
    if leaves is not False:
        policy = chains[name].policy if policies else ACCEPT
        found.append(Verdict(policy or ACCEPT, leaves is True, f"the policy of {name}"))
    shown = "" if table == "filter" else f"-t {table} "
    return [item._replace(by=shown + item.by) for item in found]


def _decided(found: t.Sequence[Verdict]) -> bool | None:
    """Whether a packet passes a chain; None where that is not certain."""
    passes = {item.verdict == ACCEPT for item in found}
    return passes.pop() if len(passes) == 1 else None


class Fate(t.NamedTuple):
    """Whether a packet gets through, None where that is not certain; and what decides."""

    passes: bool | None
    by: str


def fate(
    packet: Packet,
    tables: t.Sequence[Tables],
    ruleset: Ruleset | None = None,
    opaque: t.Container[str] = (),
    policies: bool = True,
) -> Fate:
    """What becomes of a packet that meets each of these sets of tables, and nftables' own.

    opaque and policies are for what is about to change: chains that may accept, policies that do not count.
    """
    unsure = False
    opened = ""
    if _leave_untracked(tables) or (ruleset is not None and ruleset.untracks):
        packet = packet._replace(tracked=None)
    for every in tables:
        for table, name in _WAYS[packet.hook]:
            # The table raw comes before the kernel looks up connections.
            seen = packet._replace(tracked=False) if table == "raw" and packet.tracked else packet
            found = _in_table(table, every.get(table, {}), name, seen, opaque, policies)
            passes = _decided(found)
            if passes is False:
                return Fate(False, _decider(found, False))
            if passes is None:
                unsure = True
            elif table == "filter":
                opened = _decider(found, True)
    if ruleset is not None:
        ruleset = ruleset.beside(tables)
        found_in = ruleset.fate(packet)
        if found_in.passes is False:
            return found_in
        unsure = unsure or found_in.passes is None
        opened = opened or found_in.by
    return Fate(None if unsure else True, opened)


def _leave_untracked(tables: t.Sequence[Tables]) -> bool:
    """Whether a rule keeps packets out of the kernel's table of connections."""
    return any(
        rule.target == "NOTRACK" or (rule.target == "CT" and "--notrack" in rule.options) for rule in _rules(tables)
    )


def _rules(tables: t.Sequence[Tables]) -> t.Iterator[Rule]:
    for every in tables:
        for table in every.values():
            for chain in table.values():
                yield from chain.rules


def _decider(found: t.Sequence[Verdict], passes: bool) -> str:
    """The rule that decides for every packet that comes as far; those before it decide for some."""
    those = [item.by for item in found if (item.verdict == ACCEPT) is passes and item.by]
    return those[-1] if those else ""


# --- nftables ------------------------------------------------------------------------------------------------------

Json = t.Any
#: Expressions that let the packet go on. Any other condition may hold or not.
_NFT_ON = (
    "counter",
    "log",
    "mangle",
    "notrack",
    "dup",
    "ct helper",
    "set",
    "map",
    "none",
    "flow",
    "ct timeout",
    "continue",
)
#: Expressions that may end the packet's way, or take it elsewhere; an unknown one is a map of verdicts.
_NFT_AWAY = ("queue", "fwd", "synproxy", "tproxy", "xt", "unknown")
_NFT_TRANSLATE = ("dnat", "redirect", "snat", "masquerade")
#: Matches what no other element of a set or map does.
_CATCH_ALL = "*"


def _marks(expressions: t.Iterable[Json]) -> set[str]:
    """Whose mark a rule changes: of the packet (meta), of the connection (ct)."""
    found = set()
    for expression in expressions:
        changed = expression.get("mangle", {}).get("key") if isinstance(expression, dict) else None
        for kind, value in (changed or {}).items():
            if isinstance(value, dict) and value.get("key") == "mark":
                found.add(str(kind))
    return found


TableName = t.Tuple[str, str]  # family and name


def have_flags(document: Json) -> bool:
    """Whether a table in an answer of `nft -j` has flags. Which ones, nft before 1.1 says wrongly."""
    items = document.get("nftables", []) if isinstance(document, dict) else []
    return any("flags" in (item.get("table") or {}) for item in items if isinstance(item, dict))


def dormant(text: str) -> set[TableName]:
    """The tables in the answer of `nft list ruleset` that filter nothing."""
    found = set()
    table: TableName = ("", "")
    for line in text.splitlines():
        words = line.split()
        if line.startswith("table ") and len(words) > 2:
            table = (words[1], words[2])
        # A line of the table itself is one tab in.
        elif line.startswith("\tflags ") and "dormant" in re.split(r"[\s,;]+", line):
            found.add(table)
    return found


def chain_names(document: Json) -> list[tuple[str, str, str]]:
    """The chains in the answer of `nft -j list chains`."""
    items = [item["chain"] for item in document.get("nftables", []) if "chain" in item]
    return [(item["family"], item["table"], item["name"]) for item in items]


def _mentions(expression: Json, names: t.Container[str]) -> bool:
    """Whether an expression, or one inside it, has one of these names."""
    if isinstance(expression, dict):
        return any(key in names or _mentions(value, names) for key, value in expression.items())
    return isinstance(expression, list) and any(_mentions(item, names) for item in expression)


class _Done(t.NamedTuple):
    """What a rule of nftables does with a packet."""

    verdicts: list[Verdict]
    #: Whether its conditions hold.
    holds: bool | None
    #: Whether the packet leaves it without a verdict.
    leaves: bool | None
    #: Whether the packet's way through the chain is at its end with it.
    ends: bool


class Ruleset:
    """The answer of `nft -j list ruleset`, without the tables that iptables-save shows and those that are dormant."""

    def __init__(self, document: Json, skip: t.Container[TableName] = (), asleep: t.Container[TableName] = ()) -> None:
        self.chains: dict[tuple[str, str, str], dict[str, Json]] = {}
        self.rules: dict[tuple[str, str, str], list[dict[str, Json]]] = {}
        self.sets: dict[tuple[str, str, str], dict[str, Json]] = {}
        #: Whose marks are changed on the way: meta, ct.
        self.marked: set[str] = set()
        #: Whether a rule keeps packets out of the kernel's table of connections.
        self.untracks = False
        #: Whether one makes the kernel keep that table; without, no chain of type nat is run.
        self.tracks = False
        for item in document.get("nftables", []) if isinstance(document, dict) else []:
            for kind, value in item.items():
                if kind not in ("chain", "rule", "set", "map"):
                    continue
                family, table = value["family"], value["table"]
                if (family, table) in skip or (family, table) in asleep or table.startswith(_MANAGED_TABLES):
                    continue
                if kind == "chain":
                    self.chains[family, table, value["name"]] = value
                elif kind == "rule":
                    self.rules.setdefault((family, table, value["chain"]), []).append(value)
                    self.marked |= _marks(value.get("expr", []))
                    self.untracks = self.untracks or _mentions(value.get("expr"), ("notrack",))
                    self.tracks = self.tracks or _mentions(value.get("expr"), ("ct", *_NFT_TRANSLATE))
                else:
                    self.sets[family, table, value["name"]] = value

    def beside(self, tables: t.Sequence[Tables]) -> Ruleset:
        """The same rules, for packets that meet those of iptables as well."""
        found = copy.copy(self)
        if any(rule.target in ("MARK", "CONNMARK") for rule in _rules(tables)):
            found.marked = {"meta", "ct"}
        found.tracks = self.tracks or any(
            kind == "state" for rule in _rules(tables) for kind, _w, _v in rule.conditions
        )
        return found

    def fate(self, packet: Packet) -> Fate:
        """What becomes of a packet in every base chain that it meets."""
        unsure, opened = False, ""
        for key, chain, meets in self._base(packet):
            found, leaves = self._chain(key, _at(packet, chain), meets, 0)
            if leaves is not False:
                policy = str(chain.get("policy", "accept")).upper()
                certain = meets and leaves is True
                found.append(Verdict(policy, certain, "the policy of chain {2} in table {0} {1}".format(*key)))
            if not meets:
                found.append(Verdict(ACCEPT, False, ""))
            passes = _decided(found)
            if passes is False:
                return Fate(False, _decider(found, False))
            if any(item.by == _TRANSLATED for item in found):
                # To or from where it goes on is not known, so nothing behind this is.
                return Fate(None, "")
            unsure = unsure or passes is None
            opened = _decider(found, True)
        return Fate(None if unsure else True, opened)

    def _base(self, packet: Packet) -> list[tuple[tuple[str, str, str], dict[str, Json], bool]]:
        """The base chains that a packet meets in their order, and whether that is certain."""
        hooks = _HOOKS[packet.hook]
        families = ("inet", "ip" if packet.family == 4 else "ip6", "netdev")
        found = []
        for key, chain in self.chains.items():
            if key[0] not in families or chain.get("hook") not in hooks:
                continue
            meets: bool | None = True
            if chain["hook"] in ("ingress", "egress"):
                name = packet.interface_in if chain["hook"] == "ingress" else packet.interface_out
                meets = _device(chain.get("dev"), name)
            if chain.get("type") == "nat" and not (self.tracks and packet.tracked):
                meets = None
            if chain.get("type") == "nat" and packet.reply:
                # Only the first packet of a connection comes here.
                continue
            if meets is not False:
                found.append((key, chain, meets is True))
        return sorted(found, key=lambda item: (hooks.index(item[1]["hook"]), _prio(item[1])))

    def _chain(
        self, key: tuple[str, str, str], packet: Packet, certain: bool, depth: int
    ) -> tuple[list[Verdict], bool | None]:
        """Verdicts in a chain, and whether the packet leaves it without one (None: it may)."""
        found: list[Verdict] = []
        if depth > 32 or key not in self.chains:
            return found, None
        maybe = away = False
        for rule in self.rules.get(key, []):
            done = self._rule(rule, key, packet, certain and not maybe, depth)
            found += done.verdicts
            if done.holds is False:
                continue
            if done.leaves is False and done.holds is True:
                return found, None if away else False
            away = away or done.ends
            if done.ends and done.holds is True:
                maybe = maybe or done.leaves is None
                break
            maybe = maybe or done.leaves is not True or done.ends
        return found, None if maybe else True

    def _rule(
        self, rule: dict[str, Json], key: tuple[str, str, str], packet: Packet, certain: bool, depth: int
    ) -> _Done:
        """What a rule does with a packet, expression by expression, up to the first that is not for it."""
        found: list[Verdict] = []
        holds: bool | None = True
        leaves: bool | None = True
        ends = False
        for expression in rule.get("expr", []):
            kind, value = next(iter(expression.items())) if isinstance(expression, dict) else (expression, None)
            if kind == "vmap":
                kind, value = self._mapped(value, packet, key)
            if kind == "match":
                holds = _all([holds, self._match(value, packet, key)])
            elif kind in _NFT_AWAY:
                text = f"{kind} in table {key[0]} {key[1]}"
                found += [Verdict(verdict, False, text) for verdict in (ACCEPT, DROP)]
                holds, leaves = _all([holds, None]), None
            elif kind in _NFT_TRANSLATE:
                found += [Verdict(verdict, False, _TRANSLATED) for verdict in (ACCEPT, DROP)]
                leaves = False
            elif kind == "reject" and not _rejects(value, packet):
                holds = False
            elif kind in ("accept", "drop", "reject"):
                verdict = {"drop": DROP, "reject": REJECT}.get(kind, ACCEPT)
                text = "chain {2} in table {0} {1}, rule {3}: {4}".format(*key, rule.get("handle", "?"), kind)
                found.append(Verdict(verdict, certain and holds is True, text))
                leaves = False
            elif kind in ("jump", "goto"):
                target = (key[0], key[1], str((value or {}).get("target")))
                more, leaves = self._chain(target, packet, certain and holds is True, depth + 1)
                found += more
                ends = kind == "goto" and leaves is not False
            elif kind == "return":
                ends = True
            elif kind not in _NFT_ON:
                holds = _all([holds, None])
            if holds is False:
                break
        return _Done(found, holds, leaves, ends)

    def _match(self, match: Json, packet: Packet, key: tuple[str, str, str]) -> bool | None:
        if isinstance(match["left"], dict) and "concat" in match["left"]:
            found = self._in_concat(match["left"]["concat"], match["right"], packet, key)
            return found if match.get("op") in ("==", "in") or found is None else not found
        value = self._value(match["left"], packet)
        if value is False:
            # A field of another protocol: the rule is not for this packet, whatever it asks.
            return False
        found = self._in(value, match["right"], key, match["left"])
        if match.get("op") in ("==", "in"):
            return found
        return None if found is None or match.get("op") != "!=" else not found

    def _in_concat(self, parts: list[Json], right: Json, packet: Packet, key: tuple[str, str, str]) -> bool | None:
        """Several fields together: `ip saddr . tcp dport @hosts`."""
        values = [self._value(part, packet) for part in parts]
        if False in [value is not False for value in values]:
            return False
        if isinstance(right, str) and right.startswith("@"):
            known = self.sets.get((key[0], key[1], right[1:]))
            right = None if known is None or "dynamic" in known.get("flags", []) else {"set": known.get("elem", [])}
        if not isinstance(right, dict):
            return None
        results: list[bool | None] = []
        for item in right["set"] if isinstance(right.get("set"), list) else [right]:
            item = item.get("elem", {}).get("val") if isinstance(item, dict) and "elem" in item else item
            wanted = item.get("concat") if isinstance(item, dict) else None
            if not isinstance(wanted, list) or len(wanted) != len(values):
                return None
            results.append(_all([self._in(*each, key, None) for each in zip(values, wanted)]))
        return True if True in results else None if None in results else False

    def _value(self, left: Json, packet: Packet) -> Json:
        """The packet's value of an expression; None where it is not known."""
        if not isinstance(left, dict):
            return None
        kind, value = next(iter(left.items()))
        if not isinstance(value, dict):
            return None
        version = "ip" if packet.family == 4 else "ip6"
        if kind == "payload":
            protocol, field = value.get("protocol"), value.get("field")
            if protocol in ("ip", "ip6"):
                if protocol != version:
                    return False
                return {"saddr": packet.source, "daddr": packet.target, "protocol": packet.proto}.get(
                    str(field), packet.proto if field == "nexthdr" else None
                )
            if protocol in ("tcp", "udp", "th"):
                if protocol not in ("th", packet.proto):
                    return False
                return {"dport": packet.port, "sport": packet.source_port}.get(str(field))
        elif kind == "meta":
            return {
                "l4proto": packet.proto,
                "nfproto": "ipv4" if packet.family == 4 else "ipv6",
                "protocol": version,
                "iifname": ("iif", packet.interface_in) if packet.hook != OUTPUT else False,
                "oifname": ("oif", packet.interface_out) if packet.hook != INPUT else False,
                "iif": ("iif", packet.interface_in) if packet.hook != OUTPUT else False,
                "oif": ("oif", packet.interface_out) if packet.hook != INPUT else False,
                "mark": None if "meta" in self.marked else packet.mark,
                "pkttype": "unicast",
            }.get(str(value.get("key")))
        elif kind == "ct":
            if value.get("key") == "state":
                return _state(packet)
            if not packet.tracked:
                return packet.tracked
            return 0 if value.get("key") == "mark" and "ct" not in self.marked else None
        elif kind == "fib" and value.get("result") == "type" and "daddr" in value.get("flags", []):
            return "local" if packet.hook == INPUT else None
        return None

    def _in(self, value: Json, right: Json, key: tuple[str, str, str], left: Json) -> bool | None:
        if value is None or value is False:
            return value
        if right == _CATCH_ALL:
            return True
        if isinstance(right, str) and right.startswith("@"):
            known = self.sets.get((key[0], key[1], right[1:]))
            if known is None or "dynamic" in known.get("flags", []):
                return None
            right = {"set": known.get("elem", [])}
        if isinstance(right, dict) and "set" in right:
            results = [self._in(value, item, key, left) for item in right["set"]]
            return True if True in results else None if None in results else False
        if isinstance(right, list):
            return self._in(value, {"set": right}, key, left)
        if isinstance(right, dict) and "elem" in right:
            return self._in(value, right["elem"].get("val"), key, left)
        if isinstance(right, dict) and "prefix" in right:
            return _address("{addr}/{len}".format(**right["prefix"]), str(value))
        if isinstance(right, dict) and "range" in right:
            low, high = right["range"]
            if isinstance(value, int):
                return low <= value <= high if isinstance(low, int) and isinstance(high, int) else None
            return _range(f"{low}-{high}", str(value))
        if isinstance(right, dict):
            return None
        if isinstance(value, tuple):
            return _interface(str(right), value[1])
        if isinstance(value, str) and ("." in value or ":" in value):
            return _address(str(right), value)
        return str(value) == str(right)

    def _mapped(self, value: Json, packet: Packet, key: tuple[str, str, str]) -> tuple[str, Json]:
        """The verdict of a verdict map for this packet; unknown where that is not certain."""
        data = value.get("data")
        if isinstance(data, str) and data.startswith("@"):
            known = self.sets.get((key[0], key[1], data[1:]))
            data = None if known is None or "dynamic" in known.get("flags", []) else {"set": known.get("elem", [])}
        here = self._value(value.get("key"), packet)
        if here is None or not isinstance(data, dict):
            return "unknown", None
        for entry in sorted(data.get("set", []), key=_catches_all):
            if not isinstance(entry, list) or len(entry) != 2:
                return "unknown", None
            found = self._in(here, entry[0], key, value.get("key"))
            if found is None:
                return "unknown", None
            if found:
                kind, target = next(iter(entry[1].items()))
                return str(kind), target
        return "none", None


#: Stands for the rule in a verdict of one that changes where a packet comes from or goes to.
_TRANSLATED = "a translation of addresses"


def _at(packet: Packet, chain: t.Mapping[str, Json]) -> Packet:
    """A packet as a base chain sees it: with its connection, or before the kernel has looked that up."""
    if not packet.tracked or chain["hook"] not in ("ingress", "prerouting", "output"):
        return packet
    if chain["hook"] != "ingress" and _prio(chain) >= _CONNTRACK:
        return packet._replace(tracked=None) if _prio(chain) == _CONNTRACK else packet
    return packet._replace(tracked=False)


def _rejects(value: Json, packet: Packet) -> bool:
    """Whether a rejection is for a packet of this kind. nft leaves out a condition that the kind of answer implies."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "tcp reset":
        return packet.proto == "tcp"
    return {"icmp": 4, "icmpv6": 6}.get(str(kind), packet.family) == packet.family


def _device(value: Json, interface: str) -> bool | None:
    """Whether an interface is one of a chain's devices; nft before 1.1 does not always say which these are."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        return None
    results = [_interface(str(name), interface) for name in names]
    return True if True in results else None if None in results else False


def _catches_all(entry: Json) -> bool:
    key = entry[0] if isinstance(entry, list) and entry else entry
    return bool((key.get("elem", {}).get("val") if isinstance(key, dict) else key) == _CATCH_ALL)


def _prio(chain: t.Mapping[str, Json]) -> int:
    found = chain.get("prio")
    return found if isinstance(found, int) else 0
