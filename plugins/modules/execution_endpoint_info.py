#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: execution_endpoint_info
short_description: Say whether a beacon node on this machine could use an execution client
version_added: 0.1.0
description:
  - >-
    Asks each endpoint as a beacon node would: that it gives nothing without a token, that it accepts the token made
    from the secret, which chain it follows, that it has the engine API, and whether it has caught up with its chain.
  - >-
    A beacon node says of itself that it is healthy for at least a minute while its execution client is of no use; so
    that is asked before it starts.
  - What cannot be used is reported, and never fails the task.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  endpoints:
    description: Addresses such as C(http://172.20.10.20:8551).
    type: list
    elements: str
    required: true
  secret:
    description: The secret shared with the execution client, 64 hexadecimal digits.
    type: str
    default: ""
  chain_id:
    description: The id of the chain it has to follow; 0 to accept any.
    type: int
    default: 0
  engine:
    description: Whether Prysm uses the engine API, with a token (from v3.0.0 on).
    type: bool
    default: true
  may_sync:
    description: Whether an endpoint that is still syncing will do.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for each answer.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Look at the execution client from this node
  eth2xk8s.staking.execution_endpoint_info:
    endpoints: ["http://172.20.10.20:8551"]
    secret: "{{ prysm_jwt_secret }}"
    chain_id: 560048
  register: seen
"""

RETURN = r"""
problems:
  description: A sentence for each endpoint that cannot be used.
  returned: always
  type: list
  elements: str
  sample: ["the execution endpoint http://172.20.10.20:8551 does not answer: connection refused: nothing listens there"]
notes:
  description: What is worth saying of those that can be used.
  returned: always
  type: list
  elements: str
  sample: []
endpoints:
  description:
    - What was found, in the order of O(endpoints). Of an address no more than host and port.
    - >-
      C(kind) is empty, or one of address, secret, dead, open, unauthorized, clock, host, strange, method, chain,
      syncing.
  returned: always
  type: list
  elements: dict
  sample:
    - endpoint: http://172.20.10.20:8551
      kind: ""
      problem: ""
      note: ""
      chain_id: 560048
      block: 123456
      block_time: 1796000000
      syncing: false
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._execution import Wanted, examine


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "endpoints": {"type": "list", "elements": "str", "required": True},
            "secret": {"type": "str", "default": "", "no_log": True},
            "chain_id": {"type": "int", "default": 0},
            "engine": {"type": "bool", "default": True},
            "may_sync": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    params = module.params
    wanted = Wanted(*(params[name] for name in ("chain_id", "engine", "secret", "may_sync", "timeout")))
    found = [examine(url, wanted) for url in params["endpoints"]]
    module.exit_json(
        changed=False,
        problems=[f"the execution endpoint {one.endpoint} {one.problem}" for one in found if one.problem],
        notes=[f"the execution endpoint {one.endpoint} {one.note}" for one in found if one.note],
        endpoints=[one._asdict() for one in found],
    )


if __name__ == "__main__":
    main()
