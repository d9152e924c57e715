# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_manifest_problems
short_description: Signers in rendered manifests that the inventory does not have
version_added: 0.1.0
description:
  - Looks in manifests, as C(helm template) prints them, for everything that can sign. Each must be a client of the
    site, with its own wallet and database on the NFS server.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: clients, server, namespace
options:
  _input:
    description: The manifests, as YAML.
    type: str
    required: true
  clients:
    description: The clients of the site, each with C(name), C(data_dir) and C(wallet_dir).
    type: list
    elements: dict
    required: true
  server:
    description: Address of the NFS server, as the volumes name it.
    type: str
    required: true
  namespace:
    description: Namespace of the release.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Check what would be installed
  ansible.builtin.assert:
    that: >-
      rendered.stdout | eth2xk8s.staking.prysm_manifest_problems(clients, '172.20.10.10', 'prysm') | length == 0
"""

RETURN = r"""
_value:
  description: One sentence for each signer.
  type: list
  elements: str
"""

import typing as t

import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._release_values import undeclared_signers


def prysm_manifest_problems(text: str, clients: list[dict[str, t.Any]], server: str, namespace: str) -> list[str]:
    """The sentences, see the documentation."""
    try:
        return undeclared_signers(list(yaml.safe_load_all(text)), clients, server, namespace)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as exc:
        raise AnsibleFilterError(f"The rendered manifests cannot be read: {exc!r:.200}") from exc


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_manifest_problems": prysm_manifest_problems}
