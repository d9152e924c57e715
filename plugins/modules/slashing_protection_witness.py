#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_witness
short_description: Keep a copy of the record of signing in the cluster
version_added: 0.1.0
description:
  - Writes the record that M(eth2xk8s.staking.slashing_protection_guard) returns into ConfigMaps, so that it outlives
    the machine that has the data; and reads it, for the option C(records) of that module.
  - The copy only ever grows. It is joined with what is there, written only in the place of what was read, and read
    back.
  - Single votes and blocks are left out. No secret is in it.
  - Fails when the cluster or a ConfigMap cannot be read. A cluster that has none has an empty record.
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
  - eth2xk8s.staking.cluster
options:
  state:
    description: Whether to bring the copy up to O(record), or only to read it.
    type: str
    choices: [present, query]
    default: query
  record:
    description: The record, for O(state=present).
    type: dict
  namespace:
    description: Namespace of the ConfigMaps. It must be there, and outlive the release.
    type: str
    default: prysm
  timeout:
    description: Seconds to wait for a cluster that does not answer.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Read what the cluster knows of the site's keys
  eth2xk8s.staking.slashing_protection_witness:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    namespace: kube-system
  register: witness

- name: Keep a copy of the record in the cluster
  eth2xk8s.staking.slashing_protection_witness:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    namespace: kube-system
    state: present
    record: "{{ history.record }}"
"""

RETURN = r"""
changed:
  description: Whether the copy has a key, or a client, that it did not have. That numbers rise is not a change.
  returned: success
  type: bool
record:
  description: The record that the cluster has now.
  returned: success
  type: dict
configmaps:
  description: The ConfigMaps that hold it.
  returned: success
  type: list
  elements: str
  sample: [eth2prysm-history-0]
written:
  description: Those that were written.
  returned: success
  type: list
  elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._cluster_history import CANNOT, keep
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import from_document


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_ARGUMENTS,
            "state": {"type": "str", "choices": ["present", "query"], "default": "query"},
            "record": {"type": "dict"},
            "timeout": {"type": "int", "default": 60},
        },
        required_if=[("state", "present", ["record"])],
        supports_check_mode=True,
    )
    params = module.params
    deadline = time.monotonic() + params["timeout"]
    try:
        news = from_document(params["record"], "record") if params["state"] == "present" else None
        cluster = Cluster(params["kubeconfig"], params["context"])
        module.exit_json(**keep(cluster, params["namespace"], news, module.check_mode, deadline))
    except (NotYet, Never, StakingError) as exc:
        module.fail_json(msg=f"{CANNOT}{exc}")


if __name__ == "__main__":
    main()
