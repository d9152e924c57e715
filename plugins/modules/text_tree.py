#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: text_tree
short_description: Write a directory of text files in one go
version_added: 0.1.0
description:
  - Writes each file whose content differs, atomically. What else is in the directory stays.
  - A copy of a directory takes a round trip for each file; this takes one for all of them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  dest:
    description: The directory.
    type: path
    required: true
  files:
    description: Content by path below O(dest).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write a small chart
  eth2xk8s.staking.text_tree:
    dest: /var/lib/eth2xk8s/charts/eth2prysm
    files:
      Chart.yaml: "{{ lookup('ansible.builtin.file', 'Chart.yaml') }}"
"""

RETURN = r"""
written:
  description: Paths that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [Chart.yaml]
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import open_directory, replace_file


def differing(dest: str, files: dict[str, str]) -> list[str]:
    """The paths whose content is not what it shall be."""
    found = []
    for path, content in sorted(files.items()):
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "" in parts:
            raise ValueError(f"{path!r} is not a path below {dest}")
        try:
            with open(os.path.join(dest, path), "rb") as handle:
                same = handle.read() == content.encode("utf-8")
        except FileNotFoundError:
            same = False
        if not same:
            found.append(path)
    return found


def write(dest: str, files: dict[str, str], paths: list[str]) -> None:
    """Write these of the files."""
    for path in paths:
        directory, name = os.path.split(os.path.join(dest, path))
        os.makedirs(directory, mode=0o755, exist_ok=True)
        folder = open_directory(directory)
        try:
            replace_file(folder, name, files[path].encode("utf-8"), 0o644)
        finally:
            os.close(folder)


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    dest, files = module.params["dest"], module.params["files"]
    try:
        paths = differing(dest, files)
        if paths and not module.check_mode:
            write(dest, files, paths)
            left = differing(dest, files)
            if left:
                module.fail_json(msg=f"{dest} was written, but these are not as written: {', '.join(left)}")
    except (OSError, ValueError) as exc:
        module.fail_json(msg=f"{dest} cannot be written: {exc}")
    module.exit_json(changed=bool(paths), written=paths)


if __name__ == "__main__":
    main()
