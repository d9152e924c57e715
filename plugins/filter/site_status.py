# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: site_status
short_description: The report of the playbook status
version_added: 0.1.0
description:
  - Puts together what modules and roles have read of a site, and says in sentences what is wrong. What was not read is
    one of them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: clients
options:
  _input:
    description:
      - What was read, each part as a module or a role has registered or published it. V(groups) (the inventory's),
        V(machines) (by host, each with V(clock), V(node), V(watch), V(inventory), V(needs)), V(cluster) (V(nodes),
        V(leases), V(at), when these were read, in seconds since 1970, V(votes), V(tunnels)), V(prysm) (what the role
        prysm_helm has published), V(storage) (what the role prysm_wallet has published, and V(wallets), the keys of
        each client), V(certificate_days) (certificates are named so long before they end).
      - Any part below these may be missing.
    type: dict
    required: true
  clients:
    description: The validator clients, as P(eth2xk8s.staking.prysm_clients#filter) gives them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ readings | eth2xk8s.staking.site_status(site_clients) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(release), C(machines), C(certificates), C(execution), C(nodes), C(voters), C(pods), C(beacons), C(clients),
    C(problems), a list of sentences, and C(notes), sentences about what is no fault.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._site_status import site_status


class FilterModule:
    """Filters of the playbooks."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"site_status": site_status}
