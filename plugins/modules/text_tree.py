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
  - Writes each file whose content, mode, owner or group differs, atomically. What else is in the directory stays.
  - A copy of a directory takes a round trip for each file; this takes one for all of them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.diff
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
    description: Number of the user that the files belong to. By default new ones have the user of the module.
    type: int
    default: -1
  group:
    description: Number of the group that the files belong to. By default new ones have that of the user.
    type: int
    default: -1
  private:
    description: Whether only their owner reads the files.
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
import stat
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    open_directory,
    replace_file,
)


def place(dest: str, path: str) -> str:
    """Where a file is written; a path that leads out of the directory is refused."""
    inside = path[1:] if dest == "/" and path.startswith("/") else path
    if {"", "..", "."} & set(inside.split("/")):
        raise ValueError(f"{path!r} is not a path below {dest}")
    return os.path.join(dest, inside)


def read(dest: str, path: str) -> str | None:
    """What is in a file; None when it is not there."""
    try:
        with open(place(dest, path), encoding="utf-8", errors="replace", newline="") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def mode(params: dict[str, t.Any]) -> int:
    """How the files may be read."""
    return 0o600 if params["private"] else 0o644


def is_as_wanted(path: str, content: str, params: dict[str, t.Any]) -> bool:
    """Whether a file is there as it shall be; where none is written over, being there will do."""
    there = read(params["dest"], path)
    if there is None or not params["overwrite"]:
        return there is not None
    status = os.stat(place(params["dest"], path))
    return (
        there == content
        and stat.S_IMODE(status.st_mode) == mode(params)
        and params["owner"] in (-1, status.st_uid)
        and params["group"] in (-1, status.st_gid)
    )


def differing(params: dict[str, t.Any]) -> list[str]:
    """The paths of the files that are not as they shall be."""
    return [path for path, content in sorted(params["files"].items()) if not is_as_wanted(path, content, params)]


def diff(params: dict[str, t.Any], paths: list[str]) -> list[dict[str, str]]:
    """What changes in these files, for people; nothing of what only their owner may read."""
    if params["private"]:
        return []
    return [
        {
            "before_header": path,
            "after_header": path,
            "before": read(params["dest"], path) or "",
            "after": params["files"][path],
        }
        for path in paths
    ]


def write(path: str, params: dict[str, t.Any]) -> None:
    """Write one of the files."""
    directory, name = os.path.split(place(params["dest"], path))
    if params["make_directories"]:
        os.makedirs(directory, mode=0o755, exist_ok=True)
    folder = open_directory(directory)
    try:
        content = params["files"][path].encode("utf-8")
        replace_file(folder, name, content, mode(params), params["owner"], params["group"])
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
    params = module.params
    try:
        paths = differing(params)
        shown = diff(params, paths)
        if not module.check_mode:
            for path in paths:
                write(path, params)
            left = differing(params) if paths else []
            if left:
                module.fail_json(msg=f"{params['dest']} was written, but these are not as written: {', '.join(left)}")
    except (OSError, StakingError, ValueError) as exc:
        module.fail_json(msg=f"{params['dest']} cannot be written: {exc}")
    module.exit_json(changed=bool(paths), written=paths, diff=shown)


if __name__ == "__main__":
    main()
