# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_images
short_description: The images of a version as the chart's values have them
version_added: 0.1.0
description:
  - Takes an image from a mirror, where the values name one, and pins it to a digest, where they give one. The chart
    does the same.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: values, version
options:
  _input:
    description: The images of the version, as M(eth2xk8s.staking.prysm_version_info) gives them.
    type: dict
    required: true
  values:
    description: The values C(image) that are given to the chart.
    type: dict
    required: true
  version:
    description: The version of Prysm.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the validator's image
  ansible.builtin.debug:
    msg: "{{ (wanted.images | eth2xk8s.staking.prysm_images(values.image, 'v7.1.6')).validator }}"
"""

RETURN = r"""
_value:
  description: The images, V(beacon) and V(validator).
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import chosen_images


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_images": chosen_images}
