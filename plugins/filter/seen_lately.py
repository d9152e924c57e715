# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: seen_lately
short_description: Whether what was seen of a machine is there, and not ten minutes old
version_added: 0.1.0
description:
  - What another has asked of M(eth2xk8s.staking.machine_info) for a role may be used while this holds. A machine whose
    clock is that far from the controller's was not seen lately either, and is looked at again.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: What M(eth2xk8s.staking.machine_info) has returned; empty when it was not asked.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look at the machine
  eth2xk8s.staking.machine_info:
    paths: [/etc/chrony/chrony.conf]
  when: not timesync_seen | eth2xk8s.staking.seen_lately
"""

RETURN = r"""
_value:
  description: Whether it may be used.
  type: bool
"""

import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._machine import seen_at


def seen_lately(seen: t.Mapping[str, t.Any]) -> bool:
    """Whether it may be used, see the documentation."""
    return seen_at(seen, time.time())


class FilterModule:
    """A filter over what was seen of a machine."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"seen_lately": seen_lately}
