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
  system:
    description:
      - Whether to set facts of the system - distribution, service_mgr, nodename, hostname, python_version - as
        M(ansible.builtin.setup) does, which takes longer.
    type: bool
    default: false
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

import os
import platform
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.facts.system.distribution import DistributionFactCollector
from ansible.module_utils.facts.system.service_mgr import ServiceMgrFactCollector

from ansible_collections.eth2xk8s.staking.plugins.module_utils._machine import (
    LISTS,
    ask,
    differing,
    expand,
    lists_age,
    look,
    memory,
    parse_packages,
    parse_pending,
    read,
    read_units,
    space,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._ports import taken


def report(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Everything that was asked for."""
    params = module.params
    paths = {path: look(path) for path in expand(params["paths"])}
    texts = {path: read(path) for path in expand(params["texts"])}
    units = read_units(module, params["units"])
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
        "differing": differing(params["files"]),
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


def system(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Facts of M(ansible.builtin.setup) that roles of this collection use, by its own readers."""
    told = DistributionFactCollector().collect(module=module)
    found = {"ansible_" + name: value for name, value in told.items()}
    found["ansible_system"] = platform.system()
    manager = ServiceMgrFactCollector().collect(module=module, collected_facts=found)
    return {
        **found,
        "ansible_service_mgr": manager["service_mgr"],
        "ansible_nodename": platform.node(),
        "ansible_hostname": platform.node().split(".")[0],
        "ansible_python_version": platform.python_version(),
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
            "system": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    facts = {"ansible_facts": system(module)} if module.params["system"] else {}
    module.exit_json(changed=False, **facts, **report(module))


if __name__ == "__main__":
    main()
