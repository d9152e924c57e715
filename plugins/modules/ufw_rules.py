#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_rules
short_description: Make ufw hold the wanted rules, and only touch its own
version_added: 0.1.0
description:
  - Compares the wanted rules with the rules ufw has, adds what is missing, and removes rules that carry the comment
    prefix O(prefix) and are no longer wanted.
  - Rules of others stay. A rule that others have already added counts as present and is not taken over.
  - New rules are added before old ones go and before ufw is enabled, so that a machine stays reachable.
  - The first rule that fits a packet counts. Where a rule of others keeps out what a rule for certain machines lets
    in, ours is put before it; theirs stays.
  - When ufw is enabled, the kernel's packet filter is compared with ufw's files; ufw is reloaded where they differ.
  - Then the effect is read back. Every packet that O(rules) and O(needs) let through is followed through the rules in
    force of iptables and nftables, those of others too, in their order; so are packets to O(closed). The module fails
    where one is certain to be stopped, or let in. Conditions that it does not know may hold or not, and count neither
    way.
author:
  - eth2xk8s maintainers (@eth2xk8s)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
    details: Also where ufw is not installed yet; every wanted rule is then missing.
  diff_mode:
    description: Returns what has changed, or would change, when in diff mode.
    support: full
options:
  rules:
    description: The rules that must be there.
    type: list
    elements: dict
    required: true
    suboptions: &rule
      name:
        description: What the rule is for; becomes its comment, after the prefix.
        type: str
        required: true
      action:
        description: What happens to a packet that matches.
        type: str
        choices: [allow, deny, reject, limit]
        default: allow
      route:
        description: Whether the rule is for packets that are passed on to another machine or pod.
        type: bool
        default: false
      direction:
        description: Whether the rule is for packets that arrive or that leave. Ignored for routed rules.
        type: str
        choices: [in, out]
        default: in
      interface_in:
        description: Interface on which the packet arrives.
        type: str
      interface_out:
        description: Interface by which the packet leaves.
        type: str
      proto:
        description: Protocol.
        type: str
        choices: [any, tcp, udp]
        default: any
      port:
        description: Destination port, range with a colon, or a list of those with commas.
        type: str
      from_ip:
        description: Source address or network.
        type: str
        default: any
      to_ip:
        description: Destination address or network.
        type: str
        default: any
      sample:
        description:
          - Source addresses from which a packet must get through.
          - Those of the rule where it is not given; with an empty list nothing is asked.
        type: list
        elements: str
  needs:
    description:
      - Rules for what the machine needs beyond O(rules), such as packets to the other machines of the site.
      - Only where a rule of others keeps them out is a rule added.
      - The options are those of O(rules).
    type: list
    elements: dict
    default: []
    suboptions: *rule
  closed:
    description: Ports that no machine beyond O(rules) may reach.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What listens there.
        type: str
        required: true
      proto:
        description: Protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      port:
        description: The port.
        type: int
        required: true
  inside:
    description:
      - The network behind the machine's own interfaces, such as that of its pods; packets from and to it are taken from
        there.
    type: dict
    default: {}
    suboptions:
      network:
        description: The network. Without one there is none.
        type: str
      interface:
        description: How the names of these interfaces begin.
        type: str
      services:
        description: A network of addresses that become others on the way; packets to it may take any interface.
        type: str
  prefix:
    description: How the comment of our own rules begins.
    type: str
    default: "eth2xk8s: "
  incoming:
    description: Default policy for packets that arrive.
    type: str
    choices: [allow, deny]
    default: deny
  outgoing:
    description: Default policy for packets that leave.
    type: str
    choices: [allow, deny]
    default: allow
  routed:
    description: Default policy for packets that are passed on.
    type: str
    choices: [allow, deny]
    default: deny
  enabled:
    description: Whether ufw filters, now and after a boot. V(false) leaves it as it is.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Let only the nodes reach the NFS server
  eth2xk8s.staking.ufw_rules:
    rules:
      - name: SSH
        proto: tcp
        port: "22"
      - name: NFS from the nodes
        proto: tcp
        port: "2049"
        from_ip: 172.20.10.11
"""

RETURN = r"""
added:
  description: Rules that were missing, in ufw's words.
  returned: always
  type: list
  elements: str
  sample: ["allow in proto tcp from any to any port 22"]
removed:
  description: Rules of ours that were no longer wanted.
  returned: always
  type: list
  elements: str
  sample: []
policies:
  description: Default policies that had to be changed.
  returned: always
  type: list
  elements: str
  sample: ["incoming deny"]
drift:
  description: How the kernel's packet filter differed from ufw's files.
  returned: always
  type: list
  elements: str
  sample: []
first:
  description: Rules that have to be met before rules of others, with these.
  returned: always
  type: list
  elements: str
  sample: ["allow out from any to 172.20.10.10 (before: deny out from any to 172.16.0.0/12)"]
blocked:
  description: >-
    Rules in force that stop packets which are needed, and these; before ufw is as wanted only rules that come before
    its own.
  returned: always
  type: list
  elements: str
  sample: ["-A INPUT -j REJECT stops MicroK8s from a node (tcp 172.20.10.11 -> 172.20.10.12:10250)"]
exposed:
  description: Rules in force that open ports of O(closed), or a port that no rule opens, to anybody.
  returned: always
  type: list
  elements: str
  sample: []
installed:
  description: Whether ufw is installed.
  returned: always
  type: bool
  sample: true
enabled:
  description: Whether ufw had to be enabled.
  returned: always
  type: bool
  sample: false
"""

import functools
import json
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _netfilter, _reach, _ufw

RULES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
DEFAULTS = "/etc/default/ufw"
CONF = "/etc/ufw/ufw.conf"
LEGACY = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
USER_CHAINS = {4: "ufw-user-", 6: "ufw6-user-"}
#: Where programs keep the rules that they load at boot.
PLACES = (
    "/etc/iptables/rules.v4",
    "/etc/iptables/rules.v6",
    "/etc/nftables.conf",
    "/etc/ufw/before.rules",
    "/etc/ufw/before6.rules",
    "/etc/ufw/after.rules",
    "/etc/ufw/after6.rules",
    "/etc/sysconfig/iptables",
    "/etc/rc.local",
)
#: Ports that a machine does not use; one of them stands for every port that nobody opened.
UNUSED = (47011, 31987, 61717, 5)
POLICY_NAMES = {
    "incoming": ("DEFAULT_INPUT_POLICY", "INPUT"),
    "outgoing": ("DEFAULT_OUTPUT_POLICY", "OUTPUT"),
    "routed": ("DEFAULT_FORWARD_POLICY", "FORWARD"),
}


def read(path: str) -> str:
    """The text of a file; empty where ufw is not installed."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


class Firewall:
    """ufw on this machine."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.ufw = module.get_bin_path("ufw")
        self.ways: dict[str, str] = {}

    def run(self, arguments: t.Sequence[str]) -> str:
        """Run ufw; its refusal is ours."""
        command = [str(self.ufw), *arguments]
        rc, out, err = self.module.run_command(command, environ_update={"LC_ALL": "C"})
        if rc != 0:
            self.module.fail_json(msg="{} failed: {}".format(" ".join(command), (err or out).strip()))
        return str(out)

    def ipv6(self) -> bool:
        """Whether ufw keeps rules for IPv6 as well; it does unless told otherwise."""
        return (_ufw.setting(read(DEFAULTS), "IPV6") or "yes") == "yes"

    def known(self) -> list[_ufw.Known]:
        """The rules in ufw's files."""
        found = []
        for family, path in RULES.items():
            found += _ufw.parse_rules(read(path), family)
        return found

    def plan(self, rules: Wanted) -> _ufw.Plan:
        """What ufw's files lack of the rules that are wanted, and have beyond them."""
        return _ufw.plan(rules.rules, self.known(), self.module.params["prefix"], self.ipv6(), rules.needs)

    def policies(self) -> dict[str, str]:
        """The default policies in ufw's files."""
        text = read(DEFAULTS)
        return {name: _ufw.setting(text, names[0]) for name, names in POLICY_NAMES.items()}

    def is_enabled(self) -> bool:
        """Whether ufw is meant to filter."""
        return _ufw.setting(read(CONF), "ENABLED") == "yes"

    def at_boot(self) -> bool:
        """Whether systemd starts ufw at boot."""
        systemctl = self.module.get_bin_path("systemctl")
        if systemctl is None:
            return True
        rc, out, _err = self.module.run_command([systemctl, "is-enabled", "ufw.service"])
        return rc == 0 and out.strip() == "enabled"

    def iptables(self) -> t.Iterator[tuple[int, str, str]]:
        """Each family's packet filter: its number, its program, and its rules or why they cannot be read."""
        for family, program in ((4, "iptables"), (6, "ip6tables")):
            if family == 6 and not self.ipv6():
                continue
            path = self.module.get_bin_path(program)
            if path is None:
                yield family, "", f"{program} is not installed"
                continue
            rc, out, err = self.module.run_command([path, "-w", "-S"])
            if rc == 0:
                yield family, str(path), str(out)
            else:
                yield family, "", f"{program} -S failed: {err.strip()}"

    def repair(self) -> None:
        """Put back the ways to ufw's chains that somebody has flushed, before ufw drops what comes by no way."""
        for family, program, text in self.iptables():
            commands = _ufw.repair(text, family) if program else ""
            if commands:
                rc, _out, err = self.module.run_command([program + "-restore", "-w", "--noflush"], data=commands)
                if rc != 0:
                    self.module.fail_json(msg=f"{program}-restore failed: {err.strip()}")

    def inside(self) -> _reach.Inside | None:
        """The network behind the machine's own interfaces."""
        given = self.module.params["inside"]
        if not given.get("network"):
            return None
        interface = (given.get("interface") or "").rstrip("+") + "+"
        return _reach.Inside(given["network"], interface, given.get("services") or "")

    def ask_ways(self, addresses: t.Iterable[str]) -> None:
        """Ask for the ways to all of these with one program. What it does not say of one is asked alone."""
        asked = [address for address in dict.fromkeys(addresses) if address not in self.ways]
        if not asked:
            return
        ip = self.module.get_bin_path("ip", opt_dirs=["/sbin"], required=True)
        questions = "".join(f"route get {address}\n" for address in asked)
        _rc, out, err = self.module.run_command([ip, "-o", "-force", "-batch", "-"], data=questions)
        for line in str(out).splitlines():
            # "local" and the like may come first.
            for address in (word for word in line.split()[:2] if word in asked):
                self.ways[address] = line
        for number in re.findall(r"^Command failed -:(\d+)$", str(err), re.MULTILINE):
            self.ways.setdefault(asked[int(number) - 1], "")

    def way(self, address: str) -> str:
        """What ip says of the way to an address; empty where there is none."""
        if address not in self.ways:
            ip = self.module.get_bin_path("ip", opt_dirs=["/sbin"], required=True)
            rc, out, _err = self.module.run_command([ip, "-o", "route", "get", address])
            self.ways[address] = str(out) if rc == 0 else ""
        return self.ways[address]

    def route(self, address: str) -> _reach.Route | None:
        """How this machine reaches an address; None where it does not, or is there itself."""
        way = self.way(address)
        interface, own = re.search(r" dev (\S+)", way), re.search(r" src (\S+)", way)
        if interface is None or own is None or interface.group(1) == "lo":
            return None
        return _reach.Route(interface.group(1), own.group(1))

    @functools.lru_cache(maxsize=len(RULES))  # noqa: B019 - one object a run
    def tables(self, family: int) -> tuple[list[_netfilter.Tables], set[tuple[str, str]]]:
        """The rules in force of iptables, in either of its forms, and which tables of nftables these are."""
        begin = "iptables" if family == 4 else "ip6tables"
        found: list[_netfilter.Tables] = []
        skip: set[tuple[str, str]] = set()
        wrong = []
        modern = self.module.get_bin_path(begin + "-nft-save")
        legacy = self.module.get_bin_path(begin + "-legacy-save")
        # To ask the older form makes its tables, so it is asked only where these are there.
        programs = [modern] + ([legacy] if is_there(LEGACY[family]) and read(LEGACY[family]).strip() else [])
        if not (modern or legacy):
            programs = [self.module.get_bin_path(begin + "-save")]
        for program in (program for program in programs if program):
            rc, text, err = self.module.run_command([program])
            if rc != 0:
                wrong.append(f"{program} failed: {err.strip()}")
                continue
            sets = self.sets() if "--match-set" in text else None
            parsed = _netfilter.parse_save(text, "(iptables-legacy) " if program == legacy else "", sets)
            found.append(parsed)
            if program != legacy:
                # iptables shows the rules of a table that filters nothing as if it did.
                for name in list(parsed):
                    if ("ip" if family == 4 else "ip6", name) in self.asleep():
                        del parsed[name]
                foreign = re.findall(r"^# Table `(\w+)' is incompatible", text, re.MULTILINE)
                names = {"filter", "mangle", "nat", "raw", "security"} - set(foreign)
                skip = {("ip" if family == 4 else "ip6", name) for name in names}
        # A kernel without nftables has but the older form.
        if wrong and not found:
            raise _netfilter.FilterError("; ".join(wrong))
        return found, skip

    @functools.lru_cache(maxsize=1)  # noqa: B019 - one object a run
    def sets(self) -> _netfilter.Sets | None:
        """The sets of addresses that rules of iptables may name; without an answer what they hold is not known."""
        ipset = self.module.get_bin_path("ipset")
        if ipset is None:
            return None
        rc, text, _err = self.module.run_command([ipset, "save"])
        return _netfilter.Sets(text) if rc == 0 else None

    @functools.lru_cache(maxsize=1)  # noqa: B019 - one object a run
    def nftables(self) -> tuple[t.Any, set[_netfilter.TableName]] | None:
        """What nft lists, and which tables of it are dormant; a kernel without nftables has none."""
        nft = self.module.get_bin_path("nft")
        if nft is None:
            return None
        rc, out, err = self.module.run_command([nft, "-j", "list", "ruleset"])
        if rc != 0 and re.search(r"(Protocol|Operation) not supported", err):
            return None
        if rc != 0:
            raise _netfilter.FilterError(f"nft -j list ruleset failed: {err.strip()}")
        try:
            document = json.loads(out or "{}")
            if not _netfilter.have_flags(document):
                return document, set()
        except ValueError:
            # Before version 1.1 nft writes what it has freed where a table has flags, and may break off there.
            document = self.nft_in_pieces(nft)
        rc, text, err = self.module.run_command([nft, "list", "ruleset"])
        if rc != 0:
            raise _netfilter.FilterError(f"nft list ruleset failed: {err.strip()}")
        return document, _netfilter.dormant(text)

    def nft_in_pieces(self, nft: str) -> dict[str, t.Any]:
        """What nft lists, asked for without its tables."""
        found: list[t.Any] = []
        wanted = [["sets"], ["maps"], ["chains"]]
        while wanted:
            words = ["-j", "list", *wanted.pop(0)]
            _rc, out, err = self.module.run_command([nft, *words])
            try:
                document = json.loads(out)
                found += document["nftables"]
                if words[-1] == "chains":
                    wanted += [["chain", *name] for name in _netfilter.chain_names(document)]
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                raise _netfilter.FilterError(
                    "the answer of nft {} is not understood: {}".format(" ".join(words), err.strip() or exc)
                ) from exc
        return {"nftables": found}

    def asleep(self) -> set[_netfilter.TableName]:
        """Tables that filter nothing."""
        listed = self.nftables()
        return listed[1] if listed is not None else set()

    def ruleset(self, skip: set[_netfilter.TableName]) -> _netfilter.Ruleset | None:
        """The rules in force of nftables."""
        listed = self.nftables()
        try:
            return None if listed is None else _netfilter.Ruleset(listed[0], skip, listed[1])
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise _netfilter.FilterError(f"the answer of nft -j list ruleset is not understood: {exc}") from exc

    def named(self, by: str) -> str:
        """A rule, and the file that it comes from where one holds it."""
        rule = re.sub(r"^(-t \w+ )?(\(iptables-legacy\) )?", "", by)
        for place in PLACES if rule.startswith("-A ") else ():
            if rule in (re.sub(r"\s+", " ", line.strip()) for line in read(place).splitlines()):
                return f"{by} ({place})"
        return by

    def families(self) -> tuple[int, ...]:
        """Families that the kernel has and ufw filters."""
        return (4, 6) if self.ipv6() and is_there("/proc/net/if_inet6") else (4,)

    def drift(self) -> list[str]:
        """How the kernel differs from ufw's files. What cannot be read differs."""
        found = []
        policies = {POLICY_NAMES[name][1]: value for name, value in self.policies().items()}
        for family, program, text in self.iptables():
            found += _ufw.drift(read(RULES[family]), text, policies, family) if program else [text]
        return found


RULE = {
    "name": {"type": "str", "required": True},
    "action": {"type": "str", "choices": ["allow", "deny", "reject", "limit"], "default": "allow"},
    "route": {"type": "bool", "default": False},
    "direction": {"type": "str", "choices": ["in", "out"], "default": "in"},
    "interface_in": {"type": "str"},
    "interface_out": {"type": "str"},
    "proto": {"type": "str", "choices": ["any", "tcp", "udp"], "default": "any"},
    "port": {"type": "str"},
    "from_ip": {"type": "str", "default": "any"},
    "to_ip": {"type": "str", "default": "any"},
    "sample": {"type": "list", "elements": "str"},
}
CLOSED = {
    "name": {"type": "str", "required": True},
    "proto": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    "port": {"type": "int", "required": True},
}
INSIDE = {"network": {"type": "str"}, "interface": {"type": "str"}, "services": {"type": "str"}}
ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "rules": {"type": "list", "elements": "dict", "required": True, "options": RULE},
    "needs": {"type": "list", "elements": "dict", "default": [], "options": RULE},
    "closed": {"type": "list", "elements": "dict", "default": [], "options": CLOSED},
    "inside": {"type": "dict", "default": {}, "options": INSIDE},
    "prefix": {"type": "str", "default": "eth2xk8s: "},
    "incoming": {"type": "str", "choices": ["allow", "deny"], "default": "deny"},
    "outgoing": {"type": "str", "choices": ["allow", "deny"], "default": "allow"},
    "routed": {"type": "str", "choices": ["allow", "deny"], "default": "deny"},
    "enabled": {"type": "bool", "default": True},
}


class Effect:
    """What the rules in force do with the packets that matter here, in one family."""

    def __init__(self, firewall: Firewall, family: int, pending: bool) -> None:
        self.firewall = firewall
        self.family = family
        self.tables, skip = firewall.tables(family)
        self.ruleset = firewall.ruleset(skip)
        # What is about to change: ufw's chains for its rules may accept, and its policies do not count.
        self.opaque = {
            name
            for every in self.tables
            for name in every.get("filter", {})
            if pending and name.startswith(USER_CHAINS[family])
        }
        self.pending = pending
        self.fates = functools.lru_cache(maxsize=None)(self._fate)

    def _fate(self, packet: _netfilter.Packet) -> _netfilter.Fate:
        found = _netfilter.fate(packet, self.tables, self.ruleset, self.opaque, policies=not self.pending)
        table = "ip" if self.family == 4 else "ip6"
        if found.passes and (table, "filter") in self.firewall.asleep():
            by = f"table {table} filter, which is dormant until `nft add table {table} filter`,"
            return found._replace(by=by)
        return found

    def blocked(
        self, names: t.Mapping[_ufw.Rule, str], samples: t.Mapping[_ufw.Rule, t.Any]
    ) -> t.Iterator[tuple[str, str]]:
        """What stops packets that are needed, and these."""
        inside = self.firewall.inside()
        for rule, name in names.items():
            if rule.denies():
                continue
            groups = _reach.packets(rule, self.family, self.firewall.route, inside, samples.get(rule))
            for packet, by in _reach.blocked(groups, self.fates):
                yield self.firewall.named(by), f"{name} ({_reach.says(packet)})"

    def exposed(self, closed: t.Mapping[tuple[str, int], str]) -> t.Iterator[tuple[str, str]]:
        """What lets in anybody, and where."""
        for packet, by in _reach.exposed(closed, self.family, self.firewall.route, self.fates, self.pending):
            name = closed[packet.proto, packet.port]
            yield self.firewall.named(by), f"{name} ({packet.proto} {packet.port})"


def grouped(found: t.Iterable[tuple[str, str]], words: str, most: int = 3) -> list[str]:
    """One sentence for each rule that decides."""
    those: dict[str, list[str]] = {}
    for by, what in found:
        if what not in those.setdefault(by, []):
            those[by].append(what)
    return [
        f"{by} {words} {', '.join(items[:most])}{f' and {len(items) - most} more' if len(items) > most else ''}"
        for by, items in those.items()
    ]


class Wanted(t.NamedTuple):
    """The rules that the parameters name."""

    rules: list[_ufw.Rule]
    #: Those that are wanted only where a rule of others keeps out what they let through.
    needs: list[_ufw.Rule]
    #: The comment of each.
    names: dict[_ufw.Rule, str]
    #: Source addresses from which a packet must get through.
    samples: dict[_ufw.Rule, t.Any]


def wanted(params: t.Mapping[str, t.Any]) -> Wanted:
    """The rules of the parameters; of several that are one rule the first names it."""
    names: dict[_ufw.Rule, str] = {}
    samples: dict[_ufw.Rule, t.Any] = {}
    for item in params["rules"]:
        rule = _ufw.wanted(item)
        names.setdefault(rule, params["prefix"] + item["name"])
        samples.setdefault(rule, item.get("sample"))
    rules = list(names)
    for item in params["needs"]:
        names.setdefault(_ufw.wanted(item), params["prefix"] + item["name"])
    return Wanted(rules, [rule for rule in names if rule not in rules], names, samples)


class Work(t.NamedTuple):
    """What has to be done so that ufw is as wanted."""

    plan: _ufw.Plan
    #: Default policies that have to be changed, by name.
    policies: dict[str, str]
    enable: bool
    drift: list[str]

    def words(self) -> dict[str, t.Any]:
        """As the module returns it."""
        return {
            "added": [str(rule) for rule in self.plan.add],
            "removed": [str(rule) for rule in self.plan.remove],
            "policies": [f"{name} {policy}" for name, policy in self.policies.items()],
            "enabled": self.enable,
            "drift": self.drift,
            "first": [
                "{} (before: {})".format(rule, "; ".join(str(other) for other in others))
                for rule, others in self.plan.first
            ],
            "changed": bool(self.plan.add or self.plan.remove or self.policies or self.enable or self.drift),
        }


def compare(firewall: Firewall, rules: Wanted) -> Work:
    """What ufw lacks of what is wanted."""
    params = firewall.module.params
    plan = firewall.plan(rules)
    now = firewall.policies()
    policies = {name: params[name] for name in POLICY_NAMES if now[name] != _ufw.POLICIES[params[name]]}
    enable = params["enabled"] and not (firewall.is_enabled() and firewall.at_boot())
    drift = firewall.drift() if params["enabled"] and not enable else []
    return Work(plan, policies, bool(enable), drift)


def main() -> None:
    """Read the parameters, compare, act, read back."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = apply(module, Firewall(module))
    except (_ufw.UfwError, _netfilter.FilterError, StakingError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


def apply(module: AnsibleModule, firewall: Firewall) -> dict[str, t.Any]:
    """Bring ufw to what is wanted and say what that took."""
    rules = wanted(module.params)
    work = compare(firewall, rules)
    result = {**work.words(), "installed": firewall.ufw is not None, "blocked": [], "exposed": []}
    if module.params["enabled"]:
        effect(firewall, rules.names, rules.samples, result)
    result["diff"] = {
        "before": "".join(line + "\n" for line in result["removed"]),
        "after": "".join(line + "\n" for line in result["added"] + result["policies"]),
    }
    if module.check_mode:
        return result
    refuse(module, result)
    if not result["changed"]:
        return result
    if firewall.ufw is None:
        module.fail_json(msg="ufw is not installed", **result)
    carry_out(firewall, work, rules.names)
    wrong = unfinished(firewall, rules)
    if wrong:
        module.fail_json(msg="ufw took the commands but is not as wanted: {}".format("; ".join(wrong)), **result)
    if module.params["enabled"]:
        firewall.tables.cache_clear()
        firewall.nftables.cache_clear()
        after = dict(result, changed=False)
        effect(firewall, rules.names, rules.samples, after)
        result.update(blocked=after["blocked"], exposed=after["exposed"])
        refuse(module, result)
    return result


def carry_out(firewall: Firewall, work: Work, names: t.Mapping[_ufw.Rule, str]) -> None:
    """Give ufw the rules and settings that it lacks: new rules before old ones go and before it is enabled."""
    firewall.repair()
    first = {rule for rule, _others in work.plan.first}
    present = {_ufw.routed(item.rule) for item in firewall.known()}
    for rule in work.plan.add:
        if rule in first and _ufw.routed(rule) in present:
            # ufw has no word to move a rule. Where it stands it has no effect, so nothing is closed meanwhile.
            firewall.run(rule.arguments(delete=True))
        firewall.run(rule.arguments(comment=names[rule], first=rule in first))
    for name, policy in work.policies.items():
        firewall.run(["default", policy, name])
    for rule in work.plan.remove:
        firewall.run(rule.arguments(delete=True))
    if work.enable:
        if not firewall.at_boot():
            firewall.module.run_command(["systemctl", "enable", "ufw.service"], check_rc=True)
        firewall.run(["--force", "enable"])
    if work.drift:
        firewall.run(["reload"])


def unfinished(firewall: Firewall, rules: Wanted) -> list[str]:
    """What is not as wanted, by what ufw and the kernel say now."""
    left = firewall.plan(rules)
    wrong = [f"missing: {rule}" for rule in left.add] + [f"still there: {rule}" for rule in left.remove]
    if firewall.module.params["enabled"]:
        wrong += [] if firewall.is_enabled() and firewall.at_boot() else ["ufw is not enabled"]
        wrong += firewall.drift()
    return wrong


def effect(
    firewall: Firewall,
    names: t.Mapping[_ufw.Rule, str],
    samples: t.Mapping[_ufw.Rule, t.Any],
    result: dict[str, t.Any],
) -> None:
    """Add to the result what the rules in force stop, and what they let in."""
    params = firewall.module.params
    pending = bool(result["changed"])
    closed = {(item["proto"], item["port"]): str(item["name"]) for item in params["closed"]}
    # What a rule opens on purpose to anybody is not to be closed.
    known = [item.rule for item in firewall.known()]
    for proto, port in list(closed):
        if any(_opens(rule, proto, port) for rule in names):
            del closed[proto, port]
    for port in UNUSED:
        if closed and not any(_opens(rule, "tcp", port) for rule in [*names, *known]):
            closed["tcp", port] = "a port that no rule opens"
            break
    blocked: list[tuple[str, str]] = []
    exposed: list[tuple[str, str]] = []
    firewall.ask_ways(_reach.asked_for(names, samples, firewall.families(), firewall.inside()))
    for family in firewall.families():
        one = Effect(firewall, family, pending)
        blocked += one.blocked(
            {rule: name[len(params["prefix"]) :] for rule, name in names.items()},
            samples,
        )
        exposed += one.exposed(closed)
    result["blocked"] = grouped(blocked, "stops")
    result["exposed"] = grouped(exposed, "lets in anybody to")


def _opens(rule: _ufw.Rule, proto: str, port: int) -> bool:
    """Whether a rule opens a port to anybody."""
    probe = _ufw.wanted({"proto": proto, "port": str(port)})
    return not rule.denies() and rule.source == "any" and not rule.interface_in and rule.overlaps(probe)


def refuse(module: AnsibleModule, result: dict[str, t.Any]) -> None:
    """Fail where the rules in force stop what is needed, or let in what must not come in."""
    wrong = []
    if result["blocked"]:
        wrong.append("The firewall keeps out what the site needs: {}".format("; ".join(result["blocked"])))
    if result["exposed"]:
        wrong.append("The firewall is open where it must not be: {}".format("; ".join(result["exposed"])))
    if wrong:
        module.fail_json(
            msg="{}. Rules of other programs stay as they are; delete each rule named here (`iptables -D ...`, or"
            " `ufw delete ...` for a rule in ufw-user-...), also in the file that loads it at boot, or put it behind"
            " ufw's chains, or take the site's addresses out of the set that it names, then run again.".format(
                ". ".join(wrong)
            ),
            **result,
        )


if __name__ == "__main__":
    main()
