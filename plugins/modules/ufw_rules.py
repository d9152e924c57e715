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
  - Rules of anybody else stay. A rule somebody else has already added counts as present and is not taken over.
  - New rules are added before old ones go and before ufw is enabled, so that a machine stays reachable.
  - When ufw is enabled, the kernel's packet filter is compared with ufw's files; ufw is reloaded where they differ.
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
    suboptions:
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

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _ufw

RULES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
DEFAULTS = "/etc/default/ufw"
CONF = "/etc/ufw/ufw.conf"
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

    def run(self, arguments: t.Sequence[str]) -> str:
        """Run ufw; its refusal is ours."""
        command = [str(self.ufw), *arguments]
        rc, out, err = self.module.run_command(command, environ_update={"LC_ALL": "C"})
        if rc != 0:
            self.module.fail_json(msg="{0} failed: {1}".format(" ".join(command), (err or out).strip()))
        return str(out)

    def ipv6(self) -> bool:
        """Whether ufw keeps rules for IPv6 as well; it does unless told otherwise."""
        return (_ufw.setting(read(DEFAULTS), "IPV6") or "yes") == "yes"

    def known(self) -> t.List[_ufw.Known]:
        """The rules in ufw's files."""
        found = []
        for family, path in RULES.items():
            found += _ufw.parse_rules(read(path), family)
        return found

    def policies(self) -> t.Dict[str, str]:
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

    def iptables(self) -> t.Iterator[t.Tuple[int, str, str]]:
        """Each family's packet filter: its number, its program, and its rules or why they cannot be read."""
        for family, program in ((4, "iptables"), (6, "ip6tables")):
            if family == 6 and not self.ipv6():
                continue
            path = self.module.get_bin_path(program)
            if path is None:
                yield family, "", "{0} is not installed".format(program)
                continue
            rc, out, err = self.module.run_command([path, "-w", "-S"])
            if rc == 0:
                yield family, str(path), str(out)
            else:
                yield family, "", "{0} -S failed: {1}".format(program, err.strip())

    def repair(self) -> None:
        """Put back the ways to ufw's chains that somebody has flushed, before ufw drops what comes by no way."""
        for family, program, text in self.iptables():
            commands = _ufw.repair(text, family) if program else ""
            if commands:
                rc, _out, err = self.module.run_command([program + "-restore", "-w", "--noflush"], data=commands)
                if rc != 0:
                    self.module.fail_json(msg="{0}-restore failed: {1}".format(program, err.strip()))

    def drift(self) -> t.List[str]:
        """How the kernel differs from ufw's files. What cannot be read differs."""
        found = []
        policies = {POLICY_NAMES[name][1]: value for name, value in self.policies().items()}
        for family, program, text in self.iptables():
            found += _ufw.drift(read(RULES[family]), text, policies, family) if program else [text]
        return found


def main() -> None:
    """Read the parameters, compare, act, read back."""
    rule_spec = {
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
    }
    module = AnsibleModule(
        argument_spec={
            "rules": {"type": "list", "elements": "dict", "required": True, "options": rule_spec},
            "prefix": {"type": "str", "default": "eth2xk8s: "},
            "incoming": {"type": "str", "choices": ["allow", "deny"], "default": "deny"},
            "outgoing": {"type": "str", "choices": ["allow", "deny"], "default": "allow"},
            "routed": {"type": "str", "choices": ["allow", "deny"], "default": "deny"},
            "enabled": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        result = apply(module, Firewall(module))
    except _ufw.UfwError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


def apply(module: AnsibleModule, firewall: Firewall) -> t.Dict[str, t.Any]:
    """Bring ufw to what is wanted and say what that took."""
    params = module.params
    names: t.Dict[_ufw.Rule, str] = {}
    for item in params["rules"]:
        names.setdefault(_ufw.wanted(item), params["prefix"] + item["name"])
    ipv6 = firewall.ipv6()
    planned = _ufw.plan(list(names), firewall.known(), params["prefix"], ipv6)
    now = firewall.policies()
    policies = [
        "{0} {1}".format(name, params[name]) for name in POLICY_NAMES if now[name] != _ufw.POLICIES[params[name]]
    ]
    enable = params["enabled"] and not (firewall.is_enabled() and firewall.at_boot())
    drift = firewall.drift() if params["enabled"] and not enable else []
    result: t.Dict[str, t.Any] = {
        "added": [str(rule) for rule in planned.add],
        "removed": [str(rule) for rule in planned.remove],
        "policies": policies,
        "enabled": bool(enable),
        "drift": drift,
        "installed": firewall.ufw is not None,
    }
    result["changed"] = bool(planned.add or planned.remove or policies or enable or drift)
    result["diff"] = {
        "before": "".join(line + "\n" for line in result["removed"]),
        "after": "".join(line + "\n" for line in result["added"] + policies),
    }
    if module.check_mode or not result["changed"]:
        return result
    if firewall.ufw is None:
        module.fail_json(msg="ufw is not installed", **result)

    firewall.repair()
    for rule in planned.add:
        firewall.run(rule.arguments(comment=names[rule]))
    for name in (name for name in POLICY_NAMES if now[name] != _ufw.POLICIES[params[name]]):
        firewall.run(["default", params[name], name])
    for rule in planned.remove:
        firewall.run(rule.arguments(delete=True))
    if enable:
        if not firewall.at_boot():
            module.run_command(["systemctl", "enable", "ufw.service"], check_rc=True)
        firewall.run(["--force", "enable"])
    if drift:
        firewall.run(["reload"])

    left = _ufw.plan(list(names), firewall.known(), params["prefix"], firewall.ipv6())
    wrong = ["missing: {0}".format(rule) for rule in left.add] + [
        "still there: {0}".format(rule) for rule in left.remove
    ]
    if params["enabled"]:
        wrong += [] if firewall.is_enabled() and firewall.at_boot() else ["ufw is not enabled"]
        wrong += firewall.drift()
    if wrong:
        module.fail_json(msg="ufw took the commands but is not as wanted: {0}".format("; ".join(wrong)), **result)
    return result


if __name__ == "__main__":
    main()
