#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_export
short_description: Write what a database knows as an interchange file, without Prysm
version_added: 0.1.0
description:
  - Reads a stopped validator's C(validator.db) itself and writes all of it, or some keys, as an EIP-3076 interchange
    file. Prysm's own export fails or says nothing on several versions.
  - Reads the file back and fails unless it protects at least as well as the database.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  path:
    description: The C(validator.db), or the data directory that holds it. Its lock must be free.
    type: path
    required: true
  dest:
    description: The file to write. Its directory must exist.
    type: path
    required: true
  pubkeys:
    description: Public keys to write; all when not given. A key that never signed is left out.
    type: list
    elements: str
  known_by:
    description:
      - A database or interchange file. What it knows already is left out, because an import that meets a record again
        keeps it twice, and without a signing root makes Prysm refuse the key all its duties.
    type: path
  owner:
    description: User id of the file.
    type: int
    default: 0
  group:
    description: Group id of the file.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Write the history of validator1
  eth2xk8s.staking.slashing_protection_export:
    path: /data/prysm/validator1
    dest: /root/validator1-history.json
"""

RETURN = r"""
keys:
  description: How many keys the file has.
  returned: success
  type: int
  sample: 2
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    as_json,
    open_directory,
    read_file,
    replace_file,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import KeyHistory, lacking, unknown_to
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._interchange import document, read_interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks import lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._protection import read_any
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all


def export(params: dict[str, t.Any], pretend: bool) -> tuple[bool, int]:
    """Write the file if it is not there already; say whether, and how many keys it has."""
    dest = params["dest"]
    history, found = read_any(params["path"])
    if params["pubkeys"] is not None:
        wanted = normalise_all(params["pubkeys"])
        history = history._replace(
            keys={key: part for key, part in history.keys.items() if key in wanted},
            blacklisted=history.blacklisted.intersection(wanted),
        )
    holder = lock_holder(found)
    if holder is not None:
        raise StakingError(
            f"{found} is locked by {holder}: its validator still runs, so the file would soon be too old"
        )
    if history.blacklisted:
        raise StakingError(
            f"{found} blacklists {len(history.blacklisted)} keys, which an interchange file cannot say: "
            + ", ".join(sorted(history.blacklisted))
        )
    known: dict[str, KeyHistory] = {}
    if params["known_by"] is not None:
        known = read_any(params["known_by"])[0].keys
    news = {key: unknown_to(known.get(key, KeyHistory()), part) for key, part in history.keys.items()}
    # Prysm makes room for every key of the wallet as it starts, before the key has signed anything.
    listed = {key: part for key, part in news.items() if part.blocks or part.attestations}
    data = as_json(document(history._replace(keys=listed)))
    now = status(dest)
    if now is not None and now.st_size == len(data) and read_file(dest, len(data)) == data:
        return False, len(listed)
    if not pretend:
        folder = open_directory(os.path.dirname(dest))
        try:
            replace_file(folder, os.path.basename(dest), data, 0o600, params["owner"], params["group"])
        finally:
            os.close(folder)
        written = read_interchange(dest)
        for key, part in history.keys.items():
            got, had = written.keys.get(key, KeyHistory()), known.get(key, KeyHistory())
            short = lacking(got, news[key]) + had.watermarks().join(got.watermarks()).missing(part.watermarks())
            if short:
                raise StakingError(f"{dest} lacks of {key}: {'; '.join(short)}")
    return True, len(listed)


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "pubkeys": {"type": "list", "elements": "str", "no_log": False},
            "known_by": {"type": "path"},
            "owner": {"type": "int", "default": 0},
            "group": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        changed, keys = export(module.params, module.check_mode)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=changed, keys=keys)


if __name__ == "__main__":
    main()
