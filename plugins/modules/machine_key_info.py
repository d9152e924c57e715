#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_key_info
short_description: Find the validator keys on a machine's own disks
version_added: 0.1.0
description:
  - Looks through every file system that is the machine's own, what is kept in memory included, for Prysm's wallets, its
    slashing-protection databases, EIP-2335 keystores and the key stores of other clients, of any origin; the
    layers of containers and images are no exception.
  - Never looks at a network file system, at one made by a user's program (FUSE), or into packed read-only ones such as
    snaps.
  - A wallet is read by the manifest that M(eth2xk8s.staking.prysm_wallet_import) keeps beside it, keystores and
    databases as they are. No password is needed, and no secret leaves the machine. What cannot be read, such as a
    wallet without a manifest, is reported in RV(unreadable), for M(eth2xk8s.staking.validator_key_uniqueness) to
    refuse.
  - Never changes anything.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  paths:
    description: Directories to search, with the local file systems mounted below them.
    type: list
    elements: path
    default: [/]
  exclude:
    description: Directories and files to leave out.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Find the keys on a node's own disks
  eth2xk8s.staking.machine_key_info:
    exclude: [/srv/checked-by-hand]
  register: disks
"""

RETURN = r"""
searched:
  description: Whether the machine has been searched.
  returned: always
  type: bool
  sample: true
keys:
  description: Every key found.
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: The public key.
      type: str
    kind:
      description:
        - What it was found in, V(wallet), V(history), V(keystore) or V(tombstone). A key store that another client
          signs with counts as a wallet.
      type: str
    where:
      description: The wallet's directory, or the file.
      type: str
unreadable:
  description: What could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    place:
      description: The file or directory.
      type: str
    reason:
      description: Why.
      type: str
files:
  description: The files in which all this was found.
  returned: success
  type: list
  elements: str
  sample: [/root/old/direct/accounts/all-accounts.keystore.json]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _disks
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import Census


def search(paths: list[str], exclude: list[str]) -> dict[str, t.Any]:
    """Look at every file that may matter, and keep those that do."""
    census = Census()
    files = []
    for path in _disks.candidates(_disks.read_mounts(), paths, exclude, census.unreadable.append):
        before = census.found
        census.look(path)
        if census.found != before:
            files.append(_printable(path))
    keys = [
        {"key": key, "kind": place.kind, "where": _printable(place.where)}
        for key, places in sorted(census.places.items())
        for place in places
    ]
    unreadable = [{"place": _printable(item.place), "reason": item.reason} for item in census.unreadable]
    return {"searched": True, "keys": keys, "unreadable": unreadable, "files": files}


def _printable(path: str) -> str:
    """A path as JSON can carry it: names may hold bytes that are no text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": ["/"]},
            "exclude": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(searched=False, msg="only root can search every disk of a machine; run it with become: true")
    try:
        module.exit_json(changed=False, **search(module.params["paths"], module.params["exclude"]))
    except (StakingError, OSError) as exc:
        module.fail_json(searched=False, msg=f"The disks of this machine cannot be searched: {exc}")


if __name__ == "__main__":
    main()
