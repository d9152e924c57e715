#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_provider_info
short_description: Say whether a new beacon node could begin from a provider of checkpoints
version_added: 0.1.0
description:
  - >-
    Asks each provider for what Prysm fetches at its first start: that it answers, is of the right network (by the
    genesis validators root, also of the state it serves), and has a finalized state that is recent enough. Of a state
    no more than its beginning is read.
  - >-
    Where several are given, each has to agree with the first about a finalized block: the provider that a beacon node
    begins from decides which chain it follows.
  - What cannot be used is reported, and never fails the task.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  urls:
    description: Beacon APIs that serve a finalized state. None at all is a problem, too.
    type: list
    elements: str
    required: true
  network:
    description: What the network is called, for messages.
    type: str
    required: true
  genesis_validators_root:
    description: The network's; empty where it is not known.
    type: str
    default: ""
  genesis_fork_version:
    description: The network's; empty where it is not known.
    type: str
    default: ""
  genesis_time:
    description: The network's, in Unix seconds; 0 where it is not known.
    type: int
    default: 0
  seconds_per_slot:
    description: The length of a slot.
    type: float
    default: 12
  slots_per_epoch:
    description: Slots in an epoch.
    type: int
    default: 32
  genesis_state_from:
    description: Where the genesis state must be had from, when the network needs it; empty when it does not.
    type: str
    default: ""
  max_age:
    description: How many seconds old the finalized state may be.
    type: float
    default: 86400
  timeout:
    description: Seconds to wait for each answer.
    type: float
    default: 20
  compare_timeout:
    description: Seconds to go on asking while two providers cannot be compared.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Look at the providers from this node
  eth2xk8s.staking.checkpoint_provider_info:
    urls: ["https://checkpoint-sync.hoodi.ethpandaops.io", "http://172.20.10.30:3500"]
    network: hoodi
    genesis_validators_root: "0x212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f"
  register: seen
"""

RETURN = r"""
problems:
  description: A sentence for each provider that a beacon node cannot begin from, and for each two that disagree.
  returned: always
  type: list
  elements: str
  sample: ["the checkpoint provider http://172.20.10.30:3500 does not answer: connection refused"]
unjudged:
  description: Providers that this machine cannot ask yet, and why. They have to be asked again.
  returned: always
  type: list
  elements: str
  sample: []
providers:
  description: What was found, in the order of O(urls). Of an address no more than host and port.
  returned: always
  type: list
  elements: dict
  sample:
    - provider: https://checkpoint-sync.hoodi.ethpandaops.io
      problem: ""
      epoch: 53000
      checkpoint: "0x12..."
      age: 900.5
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _http
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._checkpoint import (
    Finding,
    Wanted,
    agree,
    examine,
    examine_genesis,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._needs import no_checkpoint

SHOWN = ("provider", "problem", "epoch", "checkpoint", "age")


def compare(found: list[Finding], wanted: Wanted, seconds: float) -> list[str]:
    """What stands against believing all of them; asked again while that may help."""
    deadline = time.monotonic() + seconds
    sound = [one for one in found if not one.problem]
    while True:
        verdicts = [agree(sound[0], other, wanted) for other in sound[1:]]
        left = [words for words, _again in verdicts if words]
        if not left or time.monotonic() >= deadline or not any(again for words, again in verdicts if words):
            return left
        time.sleep(5)
        sound = [one for one in (examine(one.url, wanted) for one in sound) if not one.problem] or sound


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            "network": {"type": "str", "required": True},
            "genesis_validators_root": {"type": "str", "default": ""},
            "genesis_fork_version": {"type": "str", "default": ""},
            "genesis_time": {"type": "int", "default": 0},
            "seconds_per_slot": {"type": "float", "default": 12},
            "slots_per_epoch": {"type": "int", "default": 32},
            "genesis_state_from": {"type": "str", "default": ""},
            "max_age": {"type": "float", "default": 86400},
            "timeout": {"type": "float", "default": 20},
            "compare_timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    wanted = Wanted(*(params[name] for name in Wanted._fields))
    certificates = _http.has_authorities()
    judged = [url for url in params["urls"] if certificates or not url.startswith("https:")]
    found = [examine(url, wanted) for url in judged]
    problems = [] if params["urls"] else [no_checkpoint(params["network"])]
    problems += [f"the checkpoint provider {one.provider} {one.problem}" for one in found if one.problem]
    if sum(not one.problem for one in found) > 1:
        problems += compare(found, wanted, params["compare_timeout"])
    source = params["genesis_state_from"]
    # Of a provider that is of no use at all, one sentence is enough.
    useless = any(one.problem for one in found if one.url.rstrip("/") == source.rstrip("/"))
    if source and not useless and (certificates or not source.startswith("https:")):
        words = examine_genesis(source, wanted)
        problems += [f"the checkpoint provider {_http.shown(source)} {words}"] if words else []
    module.exit_json(
        changed=False,
        problems=problems,
        unjudged=[
            f"the checkpoint provider {_http.shown(url)} cannot be asked before ca-certificates is installed"
            for url in params["urls"]
            if url not in judged
        ],
        providers=[{name: getattr(one, name) for name in SHOWN} for one in found],
    )


if __name__ == "__main__":
    main()
