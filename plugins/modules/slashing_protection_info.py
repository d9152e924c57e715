#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_info
short_description: Report what a slashing-protection database or interchange file knows
version_added: 0.1.0
description:
  - Reads Prysm's C(validator.db) itself, also while its validator runs, without Prysm and without taking its lock.
    Prysm's own export fails or says nothing on several versions.
  - Reads EIP-3076 interchange files (version 5) strictly, and Prysm's minimal (file) database.
  - Without O(records), memory does not grow with the records.
  - Never changes anything.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  path:
    description:
      - A C(validator.db), an interchange file, the data directory of a validator client, or the site's record of
        signing.
    type: path
    required: true
  records:
    description:
      - Whether to return the whole records of each key, not only what they amount to.
    type: bool
    default: false
  pubkeys:
    description:
      - Public keys to report; all when not given. A key that is not known is not in the result.
    type: list
    elements: str
  missing_ok:
    description:
      - Whether a path that is not there is reported by RV(exists) instead of being a failure.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Read what validator1 has signed
  eth2xk8s.staking.slashing_protection_info:
    path: /data/prysm/validator1
  register: history
"""

RETURN = r"""
exists:
  description: Whether there is anything at that path.
  returned: success
  type: bool
  sample: true
path:
  description: The file or directory that was read in the end.
  returned: success
  type: str
  sample: /data/prysm/validator1/validator.db
format:
  description: V(prysm), V(prysm-minimal), V(interchange), V(record), or V(none) when there is nothing.
  returned: success
  type: str
  sample: prysm
genesis_validators_root:
  description: The network the history belongs to; null when the database does not know it yet.
  returned: success
  type: str
  sample: "0x4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95"
locked_by:
  description: Who holds the lock on the database; null when it is free.
  returned: success
  type: str
  sample: null
findings:
  description:
    - What a file says against itself (slashable pairs of an interchange file, votes that only one index of a database
      knows).
  returned: success
  type: list
  elements: str
  sample: []
notes:
  description: What is only unusual (keys listed twice, a damaged older meta page).
  returned: success
  type: list
  elements: str
  sample: []
transaction:
  description: bbolt's number of the state that was read; null when it is no C(validator.db).
  returned: success
  type: int
  sample: 56
keys:
  description: What is known of each key.
  returned: success
  type: dict
  contains:
    highest_slot:
      description: The highest slot of a signed block; null when there is none.
      type: int
    highest_source:
      description: The highest source epoch of a signed attestation; null when there is none.
      type: int
    highest_target:
      description: The highest target epoch; null when there is none.
      type: int
    blocks:
      description: How many blocks are on record, or with O(records) the blocks themselves.
      type: raw
    attestations:
      description: How many attestations are on record, or with O(records) the attestations themselves.
      type: raw
    blacklisted:
      description: Whether Prysm refuses all duties of the key because of an import.
      type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, is_file
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._compare import summarised
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import (
    History,
    KeyHistory,
    KeySummary,
    Summary,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks import lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._protection import NoDatabaseError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import read_history
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all


def _hex(root: bytes | None) -> str | None:
    return None if root is None else "0x" + root.hex()


def describe(part: KeyHistory | KeySummary, blacklisted: bool) -> dict[str, t.Any]:
    """One key's history as a result."""
    described: dict[str, t.Any] = {
        "highest_slot": part.highest_slot,
        "highest_source": part.highest_source,
        "highest_target": part.highest_target,
        "blacklisted": blacklisted,
    }
    if isinstance(part, KeySummary):
        described.update(blocks=part.blocks, attestations=part.attestations)
    else:
        described["blocks"] = [{"slot": b.slot, "signing_root": _hex(b.root)} for b in part.block_records()]
        described["attestations"] = [
            {"source_epoch": a.source, "target_epoch": a.target, "signing_root": _hex(a.root)}
            for a in part.attestation_records()
        ]
    return described


def report(history: History | Summary, wanted: list[str] | None) -> dict[str, t.Any]:
    """A history as a result."""
    empty = KeySummary() if isinstance(history, Summary) else KeyHistory()
    keys = sorted({*history.keys, *history.blacklisted})
    if wanted is not None:
        keys = [key for key in keys if key in wanted]
    return {
        "format": history.format,
        "genesis_validators_root": history.genesis_validators_root,
        "findings": list(history.findings),
        "notes": list(history.notes),
        "transaction": history.transaction,
        "keys": {key: describe(history.keys.get(key, empty), key in history.blacklisted) for key in keys},
    }


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "records": {"type": "bool", "default": False},
            "pubkeys": {"type": "list", "elements": "str", "no_log": False},
            "missing_ok": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    try:
        wanted = None if module.params["pubkeys"] is None else normalise_all(module.params["pubkeys"])
        history: History | Summary
        history, found = (read_history if module.params["records"] else summarised)(path)
        locked_by = lock_holder(found) if is_file(found) else None
    except NoDatabaseError as exc:
        if not module.params["missing_ok"]:
            module.fail_json(msg=str(exc))
        nothing = report(Summary(None, {}, format="none"), None)
        module.exit_json(changed=False, exists=False, path=path, locked_by=None, **nothing)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(
        changed=False,
        exists=True,
        path=found,
        locked_by=locked_by,
        **report(history, wanted),
    )


if __name__ == "__main__":
    main()
