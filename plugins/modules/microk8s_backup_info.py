#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microk8s_backup_info
short_description: Judge a backup of MicroK8s' datastore
version_added: 0.1.0
description:
  - Reads the archive that C(microk8s dbctl backup) made, which is one pair of files for each entry of the datastore,
    and looks for entries that every cluster has. C(dbctl) has been seen to succeed with an archive that holds nothing.
  - No value is returned, since Secrets are among them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  path:
    description: The archive.
    type: path
    required: true
  namespaces:
    description: Namespaces that must be in it, besides C(kube-system).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Judge a backup
  eth2xk8s.staking.microk8s_backup_info:
    path: /var/backups/microk8s/before-1.36-stable.tar.gz
    namespaces: [prysm]
  register: backup
"""

RETURN = r"""
entries:
  description: How many entries are in it.
  returned: success
  type: int
  sample: 306
faults:
  description: What is wrong with it; empty for a usable backup.
  returned: success
  type: list
  elements: str
  sample: ["/registry/namespaces/prysm is not in it"]
"""

import posixpath
import tarfile
import typing as t
import zlib

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import KNOWN_KEYS, backup_faults

LONGEST_KEY = 4096


def judge(path: str, namespaces: t.Sequence[str]) -> dict[str, t.Any]:
    """What an archive holds, and what is wrong with it."""
    entries: dict[str, dict[str, int]] = {}
    keys: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                stem, ending = posixpath.splitext(member.name)
                if not member.isfile() or ending not in (".key", ".data"):
                    continue
                entries.setdefault(stem, {})[ending[1:]] = member.size
                if ending == ".key":
                    handle = archive.extractfile(member)
                    text = handle.read(LONGEST_KEY) if handle else b""
                    keys[stem] = text.decode("utf-8", "replace").strip("\0\r\n ")
    except (OSError, EOFError, tarfile.TarError, zlib.error) as exc:
        return {"entries": len(entries), "faults": [f"it cannot be read to its end: {exc}"]}
    wanted = [*KNOWN_KEYS, *(f"/registry/namespaces/{name}" for name in namespaces)]
    return {"entries": len(entries), "faults": backup_faults(entries, keys, sorted(set(wanted)))}


def main() -> None:
    """Read the archive and report."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "namespaces": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **judge(module.params["path"], module.params["namespaces"]))


if __name__ == "__main__":
    main()
