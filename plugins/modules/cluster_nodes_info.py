#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_nodes_info
short_description: Name the nodes of a cluster, or say soon that it does not answer
version_added: 0.1.0
description:
  - Asks the API server of a kubeconfig for its nodes. One that does not answer is given up within a minute; other
    modules of Kubernetes wait for several.
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
"""

EXAMPLES = r"""
- name: Ask a cluster for its nodes
  eth2xk8s.staking.cluster_nodes_info:
    kubeconfig: /root/.kube/config
"""

RETURN = r"""
nodes:
  description: Their names.
  returned: success
  type: list
  elements: str
  sample: [master, worker]
"""

import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
)


def plain(words: str) -> str:
    """What urllib3 says of a connection, without its own objects: the last thing in quotes, if there is one."""
    told = re.findall(r"""["']([^"']*(?:timed out|refused|unreachable|[Nn]ame|certificate)[^"']*)["']""", words)
    return re.sub(r"^<[^>]*>: ", "", told[-1]) if told else words


def main() -> None:
    """Read the parameters, ask, report."""
    module = AnsibleModule(argument_spec=CLUSTER_ARGUMENTS, supports_check_mode=True)
    try:
        nodes = Cluster(module.params["kubeconfig"], module.params["context"]).nodes()
    except (Never, NotYet) as exc:
        module.fail_json(msg=plain(str(exc)))
    module.exit_json(changed=False, nodes=nodes)


if __name__ == "__main__":
    main()
