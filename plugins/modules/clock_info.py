#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: clock_info
short_description: Say how far a clock is off, and whether a validator may be started on it
version_added: 0.1.0
description:
  - Reads C(chronyc -c tracking) and C(chronyc -c sources) and judges them.
  - What cannot be read is a problem too.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  max_offset_seconds:
    description: How far the clock may be from any source that chronyd has not rejected.
    type: float
    default: 0.5
  max_skew_ppm:
    description: How uncertain the frequency of the clock may be.
    type: float
    default: 100
  min_sources:
    description: How many sources must agree.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Measure the clock
  eth2xk8s.staking.clock_info:
    max_offset_seconds: 0.5
  register: clock
"""

RETURN = r"""
offset_seconds:
  description: How far the clock is ahead of (negative, behind) the time; the worst of all measurements.
  returned: when chronyd answers
  type: float
  sample: 0.000012
skew_ppm:
  description: Uncertainty of the clock's frequency.
  returned: when chronyd answers
  type: float
  sample: 0.3
leap:
  description: Leap status.
  returned: when chronyd answers
  type: str
  sample: Normal
sources:
  description: Sources with name, state, stratum, reachable, offset and error.
  returned: when chronyd answers
  type: list
  elements: dict
  sample: []
problems:
  description: Why no validator may be started on this clock; empty when one may.
  returned: always
  type: list
  elements: str
  sample: ["its clock is 3600.000 s ahead (allowed: 0.5 s)"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._chrony import LIMITS
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._machine import measure_clock


def main() -> None:
    """Read the parameters, measure, report."""
    module = AnsibleModule(argument_spec=LIMITS, supports_check_mode=True)
    module.exit_json(changed=False, **measure_clock(module, module.params))


if __name__ == "__main__":
    main()
