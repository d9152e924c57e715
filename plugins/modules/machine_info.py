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
  mentions:
    description:
      - Of each word, paths of small text files that are looked through for it, in any case. Wildcards stand for every
        path that matches.
      - What else they say may be secret, and is not in the result.
    type: dict
    default: {}
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
    description:
      - Whether to ask what C(apt-get dist-upgrade) would do.
      - That it would do nothing is kept below C(/var/cache/eth2xk8s) until the packages, their lists or apt's
        configuration change.
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
  beacon_database:
    description:
      - The data directory of a beacon node, to say whether it has begun its database, and where from.
      - >-
        A beacon node fetches a checkpoint at its first start alone; a database that has begun ignores the provider
        later. One that could not begin leaves a database without a block behind, so it is looked into, where it lies.
        Nothing is locked.
    type: path
  clock:
    description: Limits of M(eth2xk8s.staking.clock_info), to measure the clock as well.
    type: dict
    suboptions:
      max_offset_seconds:
        description: How far the clock may be from any source that chronyd has not rejected.
        type: float
        default: 0.5
      max_skew_ppm:
        description: How uncertain the frequency of the clock may be.
        type: float
        default: 100
      min_sources:
        description: How many sources must agree.
        type: int
        default: 1
  ssh:
    description: Options of M(eth2xk8s.staking.ssh_server_info), to read the SSH server as well.
    type: dict
    suboptions:
      sources:
        description: Networks that may connect, to judge the connection Ansible came by. Empty means any.
        type: list
        elements: str
        default: []
      ignore_files:
        description: Configuration files whose ports are not to be reported.
        type: list
        elements: path
        default: []
      config_files:
        description: Files of this collection, in one of which it writes the port.
        type: list
        elements: path
        default: [/etc/ssh/sshd_config.d/10-eth2xk8s-port.conf, /etc/ssh/eth2xk8s-port.conf]
  also:
    description:
      - Questions of others by their names, to answer in the same go. Each may have every option but this one,
        O(execution) and O(system).
    type: dict
    default: {}
  execution:
    description:
      - Execution clients, to be asked as a beacon node on this machine would ask them - that they give nothing without
        a token, that they accept the token made from the secret, which chain they follow, that they have the engine
        API, and whether they have caught up with their chain.
      - A beacon node says of itself that it is healthy for at least a minute while its execution client is of no use;
        so that is asked before it starts.
      - What cannot be used is reported, and never fails the task.
    type: dict
    suboptions:
      endpoints:
        description: Addresses such as C(http://172.20.10.20:8551).
        type: list
        elements: str
        required: true
      secret:
        description: The secret shared with the execution client, 64 hexadecimal digits.
        type: str
        default: ""
      chain_id:
        description: The id of the chain it has to follow; 0 to accept any.
        type: int
        default: 0
      engine:
        description: Whether Prysm uses the engine API, with a token (from v3.0.0 on).
        type: bool
        default: true
      may_sync:
        description: Whether an endpoint that is still syncing will do.
        type: bool
        default: false
      timeout:
        description: Seconds to wait for each answer.
        type: float
        default: 10
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

- name: Look at the execution client from this node
  eth2xk8s.staking.machine_info:
    execution:
      endpoints: ["http://172.20.10.20:8551"]
      secret: "{{ prysm_jwt_secret }}"
      chain_id: 560048
  register: seen
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
mentions:
  description: Of each word of O(mentions) the paths of files that have it, or that cannot be read.
  returned: always
  type: dict
  sample: {"Automatic-Reboot": ["/etc/apt/apt.conf.d/50unattended-upgrades"]}
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
beacon_database:
  description:
    - C(begun) is V(none) where no beacon node has begun yet; V(genesis) or V(checkpoint) for where it began; V(unknown)
      for a large database, which has begun and is not looked into.
    - C(msg) says why it cannot be read; then there is no C(begun).
  returned: with O(beacon_database)
  type: dict
  sample: {"begun": "checkpoint"}
clock:
  description: What M(eth2xk8s.staking.clock_info) returns.
  returned: with O(clock)
  type: dict
  sample: {"problems": []}
ssh:
  description: What M(eth2xk8s.staking.ssh_server_info) returns.
  returned: with O(ssh)
  type: dict
  sample: {"serving_ports": [22]}
also:
  description: Of each of O(also) what would be returned for it alone.
  returned: always
  type: dict
  sample: {"timesync": {"paths": {}, "units": {}}}
execution:
  description: What was found of each of O(execution.endpoints). Of an address no more than host and port.
  returned: with O(execution)
  type: dict
  contains:
    problems:
      description: A sentence for each endpoint that cannot be used.
      type: list
      elements: str
      sample: ["the execution endpoint http://172.20.10.20:8551 does not answer: connection refused"]
    notes:
      description: What is worth saying of those that can be used.
      type: list
      elements: str
      sample: []
    endpoints:
      description:
        - What was found, in the order of O(execution.endpoints).
        - >-
          C(kind) is empty, or one of address, secret, dead, open, unauthorized, clock, host, strange, method, chain,
          syncing.
      type: list
      elements: dict
      sample:
        - endpoint: http://172.20.10.20:8551
          kind: ""
          problem: ""
          note: ""
          chain_id: 560048
          block: 123456
          block_time: 1796000000
          syncing: false
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
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.sys_info import get_distribution, get_distribution_version

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _chrony, _ssh_server
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._machine import (
    BOOTED,
    LISTS,
    Apt,
    ask,
    differing,
    expand,
    lists_age,
    look,
    measure_clock,
    memory,
    mentioned,
    parse_packages,
    pending,
    read,
    read_units,
    space,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._ports import taken
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _beacon_database, _execution

QUESTION: dict[str, dict[str, t.Any]] = {
    "paths": {"type": "list", "elements": "path", "default": []},
    "files": {"type": "dict", "default": {}},
    "texts": {"type": "list", "elements": "path", "default": []},
    "mentions": {"type": "dict", "default": {}},
    "units": {"type": "list", "elements": "str", "default": []},
    "packages": {"type": "bool", "default": False},
    "upgrades": {"type": "bool", "default": False},
    "disks": {"type": "list", "elements": "path", "default": []},
    "ports": {"type": "list", "elements": "str", "default": []},
    "beacon_database": {"type": "path"},
    "clock": {"type": "dict", "options": _chrony.LIMITS},
    "ssh": {"type": "dict", "options": _ssh_server.QUESTION},
}


def packages(module: AnsibleModule) -> tuple[list[str], list[str]]:
    """Installed and interrupted packages."""
    rc, out, err = ask(module, ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\\t${Package}\\n"])
    if rc != 0:
        module.fail_json(msg=f"dpkg cannot list the installed packages: {(err or out).strip()}")
    return parse_packages(out)


def beacon_database(directory: str) -> dict[str, str]:
    """How a beacon node's database has begun, or why it cannot be read."""
    try:
        return {"begun": _beacon_database.begun(directory)}
    except (StakingError, OSError) as exc:
        return {"msg": f"The beacon node's database cannot be read: {exc}"}


def answer(module: AnsibleModule, asked: t.Mapping[str, t.Any], units: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is said to one question; the units of all questions are known by then."""
    paths = {path: look(path) for path in expand(asked["paths"])}
    texts = {path: read(path) for path in expand(asked["texts"])}
    installed, broken = packages(module) if asked["packages"] else ([], [])
    found = {
        "paths": {path: seen for path, seen in paths.items() if seen is not None},
        "differing": differing(asked["files"]),
        "texts": {path: text for path, text in texts.items() if text is not None},
        "mentions": {word: mentioned(word, expand(paths)) for word, paths in asked["mentions"].items()},
        "units": {unit: units[unit] for unit in asked["units"]},
        "packages": installed,
        "broken_packages": broken,
        "pending": pending(module, Apt()) if asked["upgrades"] else [],
        "package_lists_age_seconds": lists_age(LISTS),
        "disks": {path: space(path) for path in asked["disks"]},
        "taken": [one._asdict() for one in taken(asked["ports"])],
        "time": int(time.time()),
        "memory_bytes": memory(read("/proc/meminfo") or ""),
        "cores": len(os.sched_getaffinity(0)),
    }
    if asked["beacon_database"] is not None:
        found["beacon_database"] = beacon_database(asked["beacon_database"])
    if asked["clock"] is not None:
        found["clock"] = measure_clock(module, asked["clock"])
    if asked["ssh"] is not None:
        found["ssh"] = _ssh_server.report(module, asked["ssh"])
    return found


def questions(module: AnsibleModule) -> dict[str, dict[str, t.Any]]:
    """The questions of others, each with its defaults."""
    found = {}
    for name, asked in module.params["also"].items():
        result = ArgumentSpecValidator(QUESTION).validate(asked)
        if result.error_messages:
            module.fail_json(msg="also.{}: {}".format(name, "; ".join(result.error_messages)))
        found[name] = result.validated_parameters
    return found


def report(module: AnsibleModule) -> dict[str, t.Any]:
    """Everything that was asked for."""
    also = questions(module)
    named = [unit for asked in [module.params, *also.values()] for unit in asked["units"]]
    units = read_units(module, list(dict.fromkeys(named)))
    execution = module.params["execution"]
    return {
        **answer(module, module.params, units),
        "also": {name: answer(module, asked, units) for name, asked in also.items()},
        **({} if execution is None else {"execution": _execution.report(execution)}),
    }


def system(module: AnsibleModule) -> dict[str, t.Any]:
    """Facts of M(ansible.builtin.setup) that roles of this collection use, for the distributions that they run on.

    Its own collectors are twice as much to send, and to load, as all the rest.
    """
    version = get_distribution_version() or ""
    systemd = module.get_bin_path("systemctl") and is_there(BOOTED)
    return {
        "ansible_distribution": get_distribution(),
        "ansible_distribution_version": version,
        "ansible_distribution_major_version": version.split(".")[0],
        "ansible_service_mgr": "systemd" if systemd else "unknown",
        "ansible_nodename": platform.node(),
        "ansible_hostname": platform.node().split(".")[0],
        "ansible_python_version": platform.python_version(),
    }


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={
            **QUESTION,
            "also": {"type": "dict", "default": {}},
            # Not one of those that may stand in O(also): what they are given is not kept out of logs.
            "execution": {"type": "dict", "options": _execution.QUESTION},
            "system": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    facts = {"ansible_facts": system(module)} if module.params["system"] else {}
    module.exit_json(changed=False, **facts, **report(module))


if __name__ == "__main__":
    main()
