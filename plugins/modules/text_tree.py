#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: text_tree
short_description: Write text files in one go
version_added: 0.1.0
description:
  - Writes each file whose content differs, atomically. What else is in the directory stays, and so do the owner and the
    mode of files that are not written.
  - A copy of a directory takes a round trip for each file; this takes one for all of them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  dest:
    description: The directory.
    type: path
    default: /
  files:
    description: Content by path below O(dest), which is absolute where O(dest=/).
    type: dict
    required: true
  overwrite:
    description: Whether a file that is there with another content is written.
    type: bool
    default: true
  make_directories:
    description: Whether directories that are missing are made. Without it they are an error.
    type: bool
    default: true
  owner:
    description: Number of the user that written files belong to. By default the one that the module runs as.
    type: int
    default: -1
  group:
    description: Number of the group that written files belong to. By default that of the user.
    type: int
    default: -1
  private:
    description: Whether only their owner reads written files.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write a small chart
  eth2xk8s.staking.text_tree:
    dest: /var/lib/eth2xk8s/charts/eth2prysm
    files:
      Chart.yaml: "{{ lookup('ansible.builtin.file', 'Chart.yaml') }}"

- name: Leave a note in two data directories that are there
  eth2xk8s.staking.text_tree:
    files:
      /data/prysm/validator1/.note: "seen\n"
      /data/prysm/validator2/.note: "seen\n"
    overwrite: false
    make_directories: false
    private: true
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
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    open_directory,
    replace_file,
)


def place(dest: str, path: str) -> str:
    """Where a file is written; a path that leads out of the directory is refused."""
    inside = path.removeprefix("/") if dest == "/" else path
    if {"", "..", "."} & set(inside.split("/")):
        raise ValueError(f"{path!r} is not a path below {dest}")
    return os.path.join(dest, inside)


def differing(dest: str, files: dict[str, str], overwrite: bool = True) -> list[str]:
    """The paths whose content is not what it shall be; those that are missing, where none is to be written over."""
    found = []
    for path, content in sorted(files.items()):
        try:
            with open(place(dest, path), "rb") as handle:
                same = not overwrite or handle.read() == content.encode("utf-8")
        except FileNotFoundError:
            same = False
        if not same:
            found.append(path)
    return found


def write(dest: str, path: str, content: str, params: dict[str, t.Any]) -> None:
    """Write one of the files."""
    directory, name = os.path.split(place(dest, path))
    if params["make_directories"]:
        os.makedirs(directory, mode=0o755, exist_ok=True)
    folder = open_directory(directory)
    try:
        mode = 0o600 if params["private"] else 0o644
        replace_file(folder, name, content.encode("utf-8"), mode, params["owner"], params["group"])
    finally:
        os.close(folder)


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "default": "/"},
            "files": {"type": "dict", "required": True},
            "overwrite": {"type": "bool", "default": True},
            "make_directories": {"type": "bool", "default": True},
            "owner": {"type": "int", "default": -1},
            "group": {"type": "int", "default": -1},
            "private": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    dest, files, overwrite = (module.params[name] for name in ("dest", "files", "overwrite"))
    try:
        paths = differing(dest, files, overwrite)
        if paths and not module.check_mode:
            for path in paths:
                write(dest, path, files[path], module.params)
            left = differing(dest, files, overwrite)
            if left:
                module.fail_json(msg=f"{dest} was written, but these are not as written: {', '.join(left)}")
    except (OSError, StakingError, ValueError) as exc:
        module.fail_json(msg=f"{dest} cannot be written: {exc}")
    module.exit_json(changed=bool(paths), written=paths)


if __name__ == "__main__":
    main()
