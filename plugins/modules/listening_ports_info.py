#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: listening_ports_info
short_description: Say which ports of a machine are taken, and by which program
version_added: 0.1.0
description:
  - Reads C(/proc). A port that a pod has of its node is not taken in this sense, since nothing listens there.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  ports:
    description: The ports to look at, such as C(13000/tcp).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: See whether another beacon node runs here
  eth2xk8s.staking.listening_ports_info:
    ports: [13000/tcp, 12000/udp]
  register: ports
"""

RETURN = r"""
taken:
  description: Those of O(ports) that are taken, and the program that has them; empty for the kernel's own.
  returned: always
  type: list
  elements: dict
  sample: [{"port": "13000/tcp", "program": "lighthouse", "pid": 1234}]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._ports import taken


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={"ports": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    module.exit_json(changed=False, taken=[one._asdict() for one in taken(module.params["ports"])])


if __name__ == "__main__":
    main()
