# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_secrets
short_description: The Secrets that the pods mount
version_added: 0.1.0
description:
  - Gives the password of each wallet as Prysm takes it, and the secret that the beacon node shares with the execution
    client. Of a password line ends at its end are dropped, and nothing else; a space there belongs to it.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: passwords, jwt
options:
  _input:
    description: Names of the clients. One without a password has no Secret.
    type: list
    elements: str
    required: true
  passwords:
    description: The password of each client's wallet, by the client's name.
    type: dict
    required: true
  jwt:
    description: The secret that is shared with the execution client; empty where there is none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Store the Secret of validator1
  kubernetes.core.k8s:
    definition:
      apiVersion: v1
      kind: Secret
      metadata: {name: wallet-password-validator1, namespace: prysm}
      stringData: "{{ (['validator1'] | eth2xk8s.staking.prysm_secrets(passwords))['wallet-password-validator1'] }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: The texts in each Secret, by its name.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._release_values import secrets


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_secrets": secrets}
