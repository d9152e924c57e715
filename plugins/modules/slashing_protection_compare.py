#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_compare
short_description: Prove that one history protects at least as well as another
version_added: 0.1.0
description:
  - Compares two histories record by record, signing roots included, and fails when the first lacks anything of the
    second, belongs to another network, contradicts itself, or refuses a key its duties.
  - Goes through both key by key, so that memory does not grow with their records. A large interchange file is kept in
    parts in C(/var/tmp) meanwhile.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  have:
    description:
      - The history that is about to be used (a C(validator.db), a data directory, an interchange file, or the site's
        record of signing).
    type: path
    required: true
  want:
    description:
      - The history it must not fall behind, in any of these forms.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: See that nothing was lost on the way
  eth2xk8s.staking.slashing_protection_compare:
    have: /data/prysm/validator1/.rollback/validator.db
    want: /data/prysm/validator1/validator.db
"""

RETURN = r"""
lacking:
  description: What is missing, by key.
  returned: always
  type: dict
  sample: {}
keys:
  description: How many keys were compared.
  returned: success
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._compare import compare


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "have": {"type": "path", "required": True},
            "want": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    have, want = module.params["have"], module.params["want"]
    try:
        found = compare(have, want)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc), lacking={})
    if found.lacking:
        words = "; ".join(f"{key[:12]}… {', '.join(reasons)}" for key, reasons in sorted(found.lacking.items()))
        module.fail_json(msg=f"{have} protects less than {want}: {words}", lacking=found.lacking)
    if found.findings:
        module.fail_json(msg=f"{have} contradicts itself: {'; '.join(found.findings[:5])}", lacking={})
    module.exit_json(changed=False, lacking={}, keys=found.keys)


if __name__ == "__main__":
    main()
