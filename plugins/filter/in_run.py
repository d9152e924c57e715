# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: in_run
short_description: The hosts of a play, once its playbook's opening has run
version_added: 0.1.0
description:
  - Gives a pattern of hosts, if C(playbooks/internal/open.yml) has run in this very ansible-playbook process, and is
    an error otherwise.
  - Stands in a play's C(hosts), which no option of the command can pass over. Tasks can be passed over.
  - Besides groups it takes what a machine is for, as P(eth2xk8s.staking.site_layout#filter) has it - C(helm_client),
    C(storage), C(keys), C(lock), C(gates), C(prepared). What a site on a cluster of others leaves out matches no
    machine; a group that a site on MicroK8s cannot be without is an error when it is empty.
  - A node that the run leaves out, because it is gone, is in no play.
options:
  _input:
    description: The pattern.
    type: str
    required: true
  opening:
    description: Whether this is the opening itself. Then only the options of the command are looked at.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Act
  hosts: "{{ 'nfs' | eth2xk8s.staking.in_run }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: The pattern of hosts.
  type: str
"""

import typing as t

from ansible import context
from ansible.errors import AnsibleFilterError
from jinja2 import pass_context

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _controller, _site_layout

_LISTS = ("listhosts", "listtasks", "listtags", "syntax")


def _matching(groups: t.Mapping[str, t.Sequence[str]], pattern: str, away: str) -> str:
    try:
        return _site_layout.pattern(groups, pattern, away)
    except LookupError as exc:
        raise AnsibleFilterError(f"Refused, nothing was changed: {exc}, and this play is for it.") from exc


def _listed(groups: t.Mapping[str, t.Sequence[str]], pattern: str) -> str:
    """For an option that only lists, with whatever inventory."""
    try:
        return _site_layout.pattern(groups, pattern)
    except LookupError:
        return pattern


@pass_context
def in_run(jinja: t.Any, pattern: str, opening: bool = False) -> str:
    """The pattern, or an error that ends the run before this play."""
    if any(context.CLIARGS.get(option) for option in _LISTS):
        return _listed(jinja.get("groups") or {}, pattern)
    for option in ("start_at_task", "step"):
        if context.CLIARGS.get(option):
            raise AnsibleFilterError(
                f"Refused, nothing was changed: --{option.replace('_', '-')} leaves out what must be checked first. "
                "Run the whole playbook; what is right already stays as it is."
            )
    if opening:
        return pattern
    ours = _controller.identify(_controller.controller_pid())["id"]
    hostvars = jinja.get("hostvars") or {}
    for host in hostvars:
        found = hostvars[host]
        if "site_run_id" in found and found["site_run_id"] == ours:
            return _matching(jinja.get("groups") or {}, pattern, found["site_layout"]["away"])
    raise AnsibleFilterError(
        "Refused, nothing was changed: the checks that open this playbook did not run. They are left out by --tags, "
        "--skip-tags, an inventory without machines, or a playbook that imports a part of this collection's; run the "
        "whole playbook."
    )


class FilterModule:
    """Filters of the playbooks."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"in_run": in_run}
