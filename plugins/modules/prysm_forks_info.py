#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prysm_forks_info
short_description: Say whether the beacon node follows its network through the next forks
version_added: 0.1.0
description:
  - Asks the beacon node for its own schedule of forks (C(/eth/v1/config/spec)) and holds it against the chart's version
    table.
  - A fork of the network that the beacon node does not know, one that it would take alone, and a version that the table
    says does not follow are named, however far ahead they are.
  - Never fails for what it finds.
options:
  table:
    description: The content of the chart's C(files/versions.yaml).
    type: dict
    required: true
  network:
    description: The network that is followed.
    type: str
    required: true
  version:
    description: The release that runs.
    type: str
    required: true
  untested:
    description: A release that the table does not know, and that is run all the same.
    type: str
    default: ""
  name:
    description: Name of the beacon node's workload.
    type: str
    default: beacon
  api_port:
    description: Where the beacon node answers the beacon API, through the API server.
    type: int
    default: 3500
  now:
    description: The moment that is asked about. The machine's clock when empty.
    type: str
    default: ""
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
"""

EXAMPLES = r"""
- name: Ask what lies ahead
  eth2xk8s.staking.prysm_forks_info:
    table: "{{ version_table }}"
    network: sepolia
    version: v7.1.8
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
  register: ahead
"""

RETURN = r"""
problems:
  description: What keeps, or will keep, this beacon node from following its network. Empty when nothing does.
  returned: always
  type: list
  elements: str
  sample: []
unread:
  description: Why the beacon node's own schedule was not read; empty when it was. The table was asked all the same.
  returned: always
  type: str
  sample: ""
"""

import json
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import Table, VersionError, moment


def schedule(params: dict[str, t.Any]) -> tuple[dict[str, t.Any], str]:
    """The beacon node's own schedule, and why it could not be read."""
    try:
        cluster = Cluster(params["kubeconfig"], params["context"])
        path = "/eth/v1/config/spec"
        answer = cluster.proxy(params["namespace"], f"{params['name']}-0", params["api_port"], path)
        spec = json.loads(answer).get("data")
    except (Never, NotYet, ValueError, AttributeError) as exc:
        return {}, f"the beacon node's schedule of forks cannot be read: {exc}"
    if not isinstance(spec, dict):
        return {}, "the beacon node's schedule of forks cannot be read: it is no mapping"
    return spec, ""


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "table": {"type": "dict", "required": True},
            "network": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "untested": {"type": "str", "default": ""},
            "name": {"type": "str", "default": "beacon"},
            "api_port": {"type": "int", "default": 3500},
            "now": {"type": "str", "default": ""},
            **CLUSTER_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    version, network = module.params["version"], module.params["network"]
    try:
        table = Table(module.params["table"])
        now = moment(module.params["now"]) if module.params["now"] else time.time()
        fit = table.fit(version, network, now, module.params["untested"])
        spec, unread = schedule(module.params)
        found = [*fit.refusals, *fit.warnings, *table.schedule(version, network, spec, now)]
    except VersionError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, problems=list(dict.fromkeys(found)), unread=unread)


if __name__ == "__main__":
    main()
