#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_fence
short_description: Judge whether a lock on the NFS server is a fence between two nodes
version_added: 0.1.0
description:
  - A second pod of a validator client is only allowed where the lock that both want is kept by the NFS server, passes
    from a node that has fallen silent to another, and cannot be used by the first any more.
  - Judges what was read of the server and of the nodes, and what two pods on two nodes have seen. What was not read is
    a reason against it.
  - No machine is contacted, and nothing is changed.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  server:
    description: What M(eth2xk8s.staking.nfs_server_info) has said of the NFS server; empty when it was not read.
    type: dict
    default: {}
  addresses:
    description: Addresses by which nodes mount the server. Other mounts are not judged; without any, all are.
    type: list
    elements: str
    default: []
  nodes:
    description: The nodes that may run a client.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The node.
        type: str
        required: true
      texts:
        description:
          - What was read of it, by path - C(/proc/mounts), and texts that may set C(recover_lost_locks). What is left
            out was not read.
        type: dict
        default: {}
  probe:
    description:
      - What two pods have said (C(files/fence-probe.sh) of the role prysm_helm). With it only
        that is judged.
    type: dict
    suboptions:
      first:
        description: The node of the pod that held the lock.
        type: str
        required: true
      second:
        description: The node of the one that wanted it.
        type: str
        required: true
      first_log:
        description: What the first said.
        type: str
        default: ""
      second_log:
        description: What the second said.
        type: str
        default: ""
      known:
        description: Whether the server knew of the lock while the first held it; left out when it was not asked.
        type: bool
      expired:
        description: Whether the first one's client was expired.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Judge the fence
  eth2xk8s.staking.storage_fence:
    server: "{{ nfs }}"
    addresses: [172.20.10.10]
    nodes:
      - name: worker
        texts: "{{ machine.texts }}"
  register: fence
"""

RETURN = r"""
proved:
  description: Whether nothing stands against it.
  returned: success
  type: bool
  sample: false
reasons:
  description: What stands against it, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["there are fewer than two nodes that may run a client"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _fence


def probe_of(told: t.Mapping[str, t.Any]) -> _fence.Probe:
    """What two pods have seen, from their words."""
    held, write_failed = _fence.first_said(told["first_log"])
    refused, got = _fence.second_said(told["second_log"])
    return _fence.Probe(
        first=told["first"],
        second=told["second"],
        refused=(refused or not got) if held and (refused or got) else None,
        known=told["known"],
        passed=got if told["expired"] else None,
        write_failed=write_failed if told["expired"] else None,
    )


def judge(params: t.Mapping[str, t.Any]) -> list[str]:
    """Everything that stands against it."""
    if params["probe"] is not None:
        return _fence.of_probe(probe_of(params["probe"]))
    nodes = [_fence.node_of(one["name"], one["texts"]) for one in params["nodes"]]
    return _fence.reasons(_fence.server_of(params["server"]), nodes, params["addresses"])


def main() -> None:
    """Read the parameters, judge, report."""
    module = AnsibleModule(
        argument_spec={
            "server": {"type": "dict", "default": {}},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "nodes": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "texts": {"type": "dict", "default": {}},
                },
            },
            "probe": {
                "type": "dict",
                "options": {
                    "first": {"type": "str", "required": True},
                    "second": {"type": "str", "required": True},
                    "first_log": {"type": "str", "default": ""},
                    "second_log": {"type": "str", "default": ""},
                    "known": {"type": "bool"},
                    "expired": {"type": "bool", "default": False},
                },
            },
        },
        supports_check_mode=True,
    )
    found = judge(module.params)
    module.exit_json(changed=False, proved=not found, reasons=found)


if __name__ == "__main__":
    main()
