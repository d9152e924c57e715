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
  - >-
    Says what lies at given paths, which files are not as they should be, in which state systemd units and Debian
    packages are, and how large the machine is.
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
  files:
    description: Content by path of files that should be there, owned by root, with mode 0644.
    type: dict
    default: {}
  texts:
    description: Paths of small text files to read. Wildcards stand for every path that matches.
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
  upgrades:
    description: Whether to ask what C(apt-get dist-upgrade) would do.
    type: bool
    default: false
  disks:
    description: Paths whose file systems are measured; of a path that is not there yet, the one it will be on.
    type: list
    elements: path
    default: []
  ports:
    description:
      - Ports to look at, such as C(13000/tcp). Reads C(/proc). A port that a pod has of its node is not taken in this
        sense, since nothing listens there.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look at the machine
  eth2xk8s.staking.machine_info:
    paths: [/usr/sbin/ufw, /run/reboot-required]
    files:
      /etc/apt/apt.conf.d/99site: "{{ lookup('ansible.builtin.template', 'apt.conf.j2') }}"
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
differing:
  description: Those of O(files) that are not there, or differ in content, owner, group or mode.
  returned: always
  type: list
  elements: str
  sample: [/etc/apt/apt.conf.d/99site]
texts:
  description: Content of each of O(texts) that can be read.
  returned: always
  type: dict
  sample: {"/etc/timezone": "Etc/UTC"}
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
pending:
  description: >-
    What C(apt-get dist-upgrade) and an autoremove would do, from the package lists that are there; why it cannot be
    told counts as something to do.
  returned: always
  type: list
  elements: str
  sample: ["Inst openssl"]
package_lists_age_seconds:
  description: Age of apt's package lists; more than ten years where there are none.
  returned: always
  type: int
  sample: 1200
disks:
  description: Size and free space in bytes.
  returned: always
  type: dict
  sample: {"/data": {"size": 250000000000, "free": 100000000000}}
taken:
  description: Those of O(ports) that are taken, and the program that has them; empty for the kernel's own.
  returned: always
  type: list
  elements: dict
  sample: [{"port": "13000/tcp", "program": "lighthouse", "pid": 1234}]
time:
  description: The machine's clock, in seconds since 1970.
  returned: always
  type: int
  sample: 1795905240
memory_bytes:
  description: Memory that the kernel has.
  returned: always
  type: int
  sample: 8000000000
cores:
  description: Processors that a program may use.
  returned: always
  type: int
  sample: 4
"""

import glob
import hashlib
import os
import re
import stat
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils._ports import taken

LARGEST = 1024 * 1024
# An image made freshly has this directory with a fresh date and nothing in it.
LISTS = "/var/lib/apt/lists"
NEVER = 10**9
# The third letter of a package's state: half installed, unpacked, half configured, waiting for a trigger.
INTERRUPTED = "HUFWt"


def expand(patterns: t.Sequence[str]) -> t.List[str]:
    """The paths that are meant; one without wildcards stands for itself."""
    found: t.List[str] = []
    for pattern in patterns:
        found += sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
    return found


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


def read(path: str) -> t.Optional[str]:
    """The beginning of a text file; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(LARGEST)
    except OSError:
        return None


def differs(path: str, content: str, owner: int = 0) -> bool:
    """Whether a file is anything but this content, owned by root, readable by all."""
    found = look(path) or {}
    wanted = {
        "type": "file",
        "uid": owner,
        "gid": owner,
        "mode": "0644",
        "sha256": hashlib.sha256(content.encode("utf-8")).hexdigest(),
    }
    return found != wanted


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
        letters, _unused, name = line.partition("\t")
        state, error = (letters + "   ")[1], (letters + "   ")[2]
        if state in INTERRUPTED or error == "R":
            broken.append(name)
        elif state == "i":
            installed.append(name)
    return sorted(set(installed)), sorted(set(broken))


def parse_pending(rc: int, out: str, err: str) -> t.List[str]:
    """What a simulation of apt-get would install and remove, or why it cannot tell."""
    if rc != 0:
        return [(err or out).strip()[-500:] or "apt-get failed"]
    return re.findall(r"^((?:Inst|Remv|Purg) \S+)", out, re.MULTILINE)


def lists_age(folder: str) -> int:
    """Seconds since apt last fetched its lists."""
    releases = glob.glob(folder + "/*Release")
    stamps = [folder, os.path.dirname(folder) + "/periodic/update-success-stamp"]
    times = [os.path.getmtime(stamp) for stamp in stamps if is_there(stamp)]
    return max(0, int(time.time() - max(times))) if releases and times else NEVER


def memory(meminfo: str) -> int:
    """MemTotal in bytes."""
    match = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def space(path: str) -> t.Dict[str, int]:
    """Size and free space of the file system a path is on, or will be on."""
    while not is_there(path):
        path = os.path.dirname(path.rstrip("/")) or "/"
    status = os.statvfs(path)
    return {"size": status.f_blocks * status.f_frsize, "free": status.f_bavail * status.f_frsize}


def ask(module: AnsibleModule, question: t.Sequence[str]) -> t.Tuple[int, str, str]:
    """Run a command that only reads, in plain English."""
    rc, out, err = module.run_command(list(question), environ_update={"LC_ALL": "C.UTF-8"})
    return int(rc), str(out), str(err)


def report(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Everything that was asked for."""
    params = module.params
    paths = {path: look(path) for path in expand(params["paths"])}
    texts = {path: read(path) for path in expand(params["texts"])}
    units: t.Dict[str, t.Dict[str, t.Any]] = {unit: {"active": False, "file_state": ""} for unit in params["units"]}
    if units:
        question = ["systemctl", "show", "-p", "Names", "-p", "ActiveState", "-p", "UnitFileState", "--", *units]
        rc, out, err = ask(module, question)
        if rc != 0:
            module.fail_json(msg="systemd does not say how its units are: {0}".format((err or out).strip()))
        units.update({name: state for name, state in parse_units(out).items() if name in units})
    installed: t.List[str] = []
    broken: t.List[str] = []
    if params["packages"]:
        rc, out, err = ask(module, ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\\t${Package}\\n"])
        if rc != 0:
            module.fail_json(msg="dpkg does not say which packages there are: {0}".format((err or out).strip()))
        installed, broken = parse_packages(out)
    pending: t.List[str] = []
    if params["upgrades"]:
        pending = parse_pending(*ask(module, ["apt-get", "--simulate", "--auto-remove", "dist-upgrade"]))
    return {
        "paths": {path: found for path, found in paths.items() if found is not None},
        "differing": [path for path, content in params["files"].items() if differs(path, content)],
        "texts": {path: text for path, text in texts.items() if text is not None},
        "units": units,
        "packages": installed,
        "broken_packages": broken,
        "pending": pending,
        "package_lists_age_seconds": lists_age(LISTS),
        "disks": {path: space(path) for path in params["disks"]},
        "taken": [one._asdict() for one in taken(params["ports"])],
        "time": int(time.time()),
        "memory_bytes": memory(read("/proc/meminfo") or ""),
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "dict", "default": {}},
            "texts": {"type": "list", "elements": "path", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "bool", "default": False},
            "upgrades": {"type": "bool", "default": False},
            "disks": {"type": "list", "elements": "path", "default": []},
            "ports": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **report(module))


if __name__ == "__main__":
    main()
