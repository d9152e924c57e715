# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_features
short_description: Which flags and abilities a Prysm release has
version_added: 0.1.0
description:
  - Asks the version table as M(eth2xk8s.staking.prysm_version_info) does, where no machine has been asked yet.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The version table, the chart's C(files/versions.yaml) on the controller.
    type: path
    required: true
  version:
    description: The release, such as V(v7.1.6).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say whether a fee recipient is needed
  ansible.builtin.debug:
    msg: "{{ ('eth2prysm/files/versions.yaml' | eth2xk8s.staking.prysm_features(prysm_version)).feeRecipient }}"
"""

RETURN = r"""
_value:
  description: Whether the release has it, by the name that the table gives it.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import Table, VersionError


def prysm_features(table: str, version: str) -> dict[str, bool]:
    """Whether a release has each of the features of the table at this path."""
    try:
        return Table.read(table).features(version)
    except VersionError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    """Ansible's name for what is in here."""

    def filters(self) -> dict[str, t.Any]:
        return {"prysm_features": prysm_features}
