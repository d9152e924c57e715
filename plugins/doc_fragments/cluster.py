# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module that reads the cluster has in common, beside the fragment attributes."""

    DOCUMENTATION = r"""
author:
  - eth2xk8s maintainers (@eth2xk8s)
requirements:
  - kubernetes (Python library)
options:
  namespace:
    description: Namespace of the pods.
    type: str
    default: prysm
  kubeconfig:
    description: Path of the kubeconfig file.
    type: path
  context:
    description: Context in the kubeconfig.
    type: str
"""
