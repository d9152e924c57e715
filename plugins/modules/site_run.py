#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_run
short_description: Take or give back the run lock of a site
version_added: 0.1.0
description:
  - One playbook at a time may change a site. The lock is a record on the machine that holds the data, of who runs what,
    from which controller and since when.
  - A second run is refused with that record. A run whose controller process is gone is taken over; whether it is can be
    seen from its own controller only. From another one it has to be named in O(take_over).
  - The same ansible-playbook process may take the lock any number of times.
  - In check mode nothing is taken or given back; a run that has the lock is a warning.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  state:
    description:
      - V(taken) takes the lock.
      - V(held) fails unless this run has it, so that a run that was taken over goes no further.
      - V(released) gives it back, if this run still has it.
    type: str
    choices: [taken, held, released]
    default: taken
  playbook:
    description: What runs, in the words of the record.
    type: str
    default: ""
  take_over:
    description: The number of the one run that may be taken over although it is not visible from here.
    type: str
    default: ""
  path:
    description: Where the record is.
    type: path
    default: /var/lib/eth2xk8s/run.json
  run:
    description: This run. The action plugin fills it in.
    type: dict
"""

EXAMPLES = r"""
- name: Take the run lock
  eth2xk8s.staking.site_run:
    playbook: upgrade

- name: Give the run lock back
  eth2xk8s.staking.site_run:
    state: released
"""

RETURN = r"""
run:
  description: The number of this run.
  returned: success
  type: str
  sample: 5f0c9a7be21d
taken_over:
  description: The run that was taken over.
  returned: when there was one
  type: dict
holder:
  description: The run that has the lock, when it is another one.
  returned: when there is one
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._site_run import PATH, read_run, release, take


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["taken", "held", "released"], "default": "taken"},
            "playbook": {"type": "str", "default": ""},
            "take_over": {"type": "str", "default": ""},
            "path": {"type": "path", "default": PATH},
            "run": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    state, path, run = module.params["state"], module.params["path"], module.params["run"]
    if not run:
        module.fail_json(msg="run is missing: this module works through its action plugin only")
    try:
        if state == "held" or module.check_mode:
            holder = read_run(path)
        elif state == "taken":
            holder = take(path, run, module.params["take_over"])
        else:
            holder = release(path, run["id"])
    except (OSError, StakingError) as exc:
        module.fail_json(
            msg=f"The run lock cannot be used: {exc}. If the file is damaged, make sure that no playbook runs on this "
            f"site from any controller, then remove {path}."
        )
    others = holder if holder is not None and holder["id"] != run["id"] else None
    # Whoever runs is no part of the site's state: taking turns changes nothing of it.
    module.exit_json(changed=False, run=run["id"], held=holder is not None and others is None, holder=others)


if __name__ == "__main__":
    main()
