# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: service_differing
short_description: What of a service is not as it should be, by what was seen of the machine
version_added: 0.1.0
description:
  - Files, directories and systemd units that belong together. All files and directories are root's.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: machine
options:
  _input:
    description: What should be there.
    type: dict
    required: true
    suboptions:
      files:
        description: Content by path of files that everybody may read (mode 0644).
        type: dict
      private_files:
        description: Content by path of files that only root may read (mode 0600).
        type: dict
      directories:
        description: Mode by path.
        type: dict
      units:
        description: By the name of a systemd unit, V(enabled), or V(running), which is enabled and active.
        type: dict
  machine:
    description:
      - What M(eth2xk8s.staking.machine_info) has returned, RV(eth2xk8s.staking.machine_info#module:paths) and
        RV(eth2xk8s.staking.machine_info#module:units), asked for all of these.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what would be changed
  ansible.builtin.debug:
    msg: "{{ wanted | eth2xk8s.staking.service_differing(machine) }}"
  vars:
    wanted:
      files:
        /etc/chrony/chrony.conf: "{{ lookup('ansible.builtin.template', 'chrony.conf.j2') }}"
      units:
        chrony.service: running
"""

RETURN = r"""
_value:
  description: Paths that are not there or differ in kind, content, owner, group or mode, and units in another state.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._machine import service_differing


class FilterModule:
    """A filter over what was seen of a machine."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"service_differing": service_differing}
