#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_info
short_description: Read many small facts of a machine in one go
version_added: 0.1.0
description:
  - Says what lies at given paths, in which state systemd units and Debian packages are, and how much space there is.
  - One question for what would otherwise be dozens of tasks, so that a run that has nothing to do is over quickly.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  paths:
    description: Paths to look at. Wildcards stand for every path that matches.
    type: list
    elements: path
    default: []
  units:
    description: systemd units to ask about.
    type: list
    elements: str
    default: []
  packages:
    description: Whether to read the states of all Debian packages.
    type: bool
    default: false
  disks:
    description: Paths whose file systems are measured; of a path that is not there yet, the one it will be on.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Look at the machine
  eth2xk8s.staking.machine_info:
    paths: [/usr/sbin/ufw, /run/reboot-required]
    units: [ssh.service]
    packages: true
    disks: [/data]
  register: machine
"""

RETURN = r"""
paths:
  description: >-
    What lies at each path that exists: type (file, directory, link or other), target of a link, uid, gid, mode, and
    sha256 of a file of up to one mebibyte.
  returned: always
  type: dict
  sample: {"/usr/sbin/ufw": {"type": "file", "uid": 0, "gid": 0, "mode": "0755"}}
units:
  description: Of each unit, whether it is active, and its UnitFileState (enabled, masked, empty when there is none).
  returned: always
  type: dict
  sample: {"ssh.service": {"active": true, "file_state": "enabled"}}
packages:
  description: Names of the packages that are installed and configured.
  returned: always
  type: list
  elements: str
  sample: [ufw]
broken_packages:
  description: Names of the packages whose installation was interrupted.
  returned: always
  type: list
  elements: str
  sample: []
disks:
  description: Size and free space in bytes.
  returned: always
  type: dict
  sample: {"/data": {"size": 250000000000, "free": 100000000000}}
"""

import glob
import hashlib
import os
import stat
import typing as t

from ansible.module_utils.basic import AnsibleModule

LARGEST = 1024 * 1024
# The third letter of a package's state: half installed, unpacked, half configured, waiting for a trigger.
INTERRUPTED = "HUFWt"


def look(path: str) -> t.Optional[t.Dict[str, t.Any]]:
    """What lies at a path; None when nothing does."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    found: t.Dict[str, t.Any] = {
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mode": "{0:04o}".format(stat.S_IMODE(status.st_mode)),
        "type": "other",
    }
    if stat.S_ISLNK(status.st_mode):
        found.update(type="link", target=os.readlink(path))
    elif stat.S_ISDIR(status.st_mode):
        found["type"] = "directory"
    elif stat.S_ISREG(status.st_mode):
        found["type"] = "file"
        if status.st_size <= LARGEST:
            try:
                with open(path, "rb") as handle:
                    found["sha256"] = hashlib.sha256(handle.read()).hexdigest()
            except OSError:
                found["sha256"] = ""
    return found


def parse_units(text: str) -> t.Dict[str, t.Dict[str, t.Any]]:
    """The blocks of `systemctl show -p Names -p ActiveState -p UnitFileState`."""
    found = {}
    for block in text.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name in fields.get("Names", "").split():
            found[name] = {
                "active": fields.get("ActiveState") in ("active", "activating", "reloading"),
                "file_state": fields.get("UnitFileState", ""),
            }
    return found


def parse_packages(text: str) -> t.Tuple[t.List[str], t.List[str]]:
    """Installed and interrupted packages in the answer of dpkg-query."""
    installed, broken = [], []
    for line in text.splitlines():
        # Two letters and a third for errors, kept apart by a tab from the name: `ii \tufw`.
        letters, _, name = line.partition("\t")
        state, error = (letters + "   ")[1], (letters + "   ")[2]
        if state in INTERRUPTED or error == "R":
            broken.append(name)
        elif state == "i":
            installed.append(name)
    return sorted(set(installed)), sorted(set(broken))


def space(path: str) -> t.Dict[str, int]:
    """Size and free space of the file system a path is on, or will be on."""
    while not os.path.exists(path):
        path = os.path.dirname(path.rstrip("/")) or "/"
    status = os.statvfs(path)
    return {"size": status.f_blocks * status.f_frsize, "free": status.f_bavail * status.f_frsize}


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "bool", "default": False},
            "disks": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    paths = {}
    for pattern in params["paths"]:
        for path in glob.glob(pattern) if glob.has_magic(pattern) else [pattern]:
            found = look(path)
            if found is not None:
                paths[path] = found
    units: t.Dict[str, t.Dict[str, t.Any]] = {unit: {"active": False, "file_state": ""} for unit in params["units"]}
    if units:
        question = ["systemctl", "show", "-p", "Names", "-p", "ActiveState", "-p", "UnitFileState", "--", *units]
        _rc, out, _err = module.run_command(question, check_rc=True)
        units.update({name: state for name, state in parse_units(out).items() if name in units})
    installed: t.List[str] = []
    broken: t.List[str] = []
    if params["packages"]:
        question = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\\t${Package}\\n"]
        _rc, out, _err = module.run_command(question, check_rc=True)
        installed, broken = parse_packages(out)
    disks = {path: space(path) for path in params["disks"]}
    module.exit_json(changed=False, paths=paths, units=units, packages=installed, broken_packages=broken, disks=disks)


if __name__ == "__main__":
    main()
