# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: site_keys
short_description: The report of the playbook keys
version_added: 0.1.0
description:
  - Says of each key where it is, what it has signed and whether it runs, and in sentences what speaks against it. What
    could not be read is one of them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: running
options:
  _input:
    description: What the role prysm_wallet has published of wallets, histories and the record.
    type: dict
    required: true
  running:
    description: What M(eth2xk8s.staking.validator_duties) has returned of all clients.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ prysm_wallet_report | eth2xk8s.staking.site_keys(prysm_helm_duties_seen) }}"
"""

RETURN = r"""
_value:
  description: C(keys), C(wallets), and C(problems), a list of sentences.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._site_keys import site_keys


class FilterModule:
    """Filters of the playbooks."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"site_keys": site_keys}
