# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""How a machine's SSH server is configured, where it listens, and by which connection Ansible came."""

from __future__ import annotations

import glob
import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import is_directory, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _sshd

CONFIG_FILE = "/etc/ssh/sshd_config"
OPTIONS_FILE = "/etc/default/ssh"
#: Files of this collection, in one of which it writes the port.
OWN = ["/etc/ssh/sshd_config.d/10-eth2xk8s-port.conf", "/etc/ssh/eth2xk8s-port.conf"]
SSH_PROGRAMS = ("sshd", "sshd-session", "sshd-auth")


def read(path: str) -> str:
    """The text of a file, empty when it is not there or not ours to read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def programs() -> dict[str, str]:
    """Inode -> name of the program that holds the socket."""
    found: dict[str, str] = {}
    for folder in glob.glob("/proc/[0-9]*"):
        name = read(folder + "/comm").strip()
        try:
            links = [os.path.join(folder, "fd", number) for number in os.listdir(folder + "/fd")]
        except OSError:
            continue
        for link in links:
            try:
                target = os.readlink(link)
            except OSError:
                continue
            # sshd's children hold its sockets too, and systemd holds those it has handed over: sshd's name wins.
            if target.startswith("socket:[") and found.get(target[8:-1]) not in SSH_PROGRAMS:
                found[target[8:-1]] = name
    return found


def came_by() -> dict[str, t.Any]:
    """The SSH connection this process descends from. sudo strips the variable, so look at the ancestors as well."""
    pid = os.getpid()
    while pid > 1:
        items = read(f"/proc/{pid}/environ").split("\0")
        found = _sshd.connection(dict(item.split("=", 1) for item in items if "=" in item))
        if found:
            return found
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return {}


#: What can be asked, as options of a module.
QUESTION: dict[str, dict[str, t.Any]] = {
    "sources": {"type": "list", "elements": "str", "default": []},
    "ignore_files": {"type": "list", "elements": "path", "default": []},
    "config_files": {"type": "list", "elements": "path", "default": OWN},
}


def report(module: AnsibleModule, asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Everything known about this machine's SSH server; module runs the commands."""
    problems = []
    sshd = module.get_bin_path("sshd", opt_dirs=["/usr/sbin"])
    effective = ""
    if sshd is None:
        problems.append("sshd is not installed")
    else:
        # sshd -T refuses without this directory, which is there only once sshd has run since the boot.
        if not is_directory("/run/sshd"):
            os.mkdir("/run/sshd", 0o755)
        rc, effective, err = module.run_command([sshd, "-T", "-C", _sshd.CONNECTION])
        if rc != 0:
            problems.append(f"sshd -T failed: {err.strip()}")
    socket_text = ""
    systemctl = module.get_bin_path("systemctl")
    if systemctl is not None:
        _rc, socket_text, _err = module.run_command(
            [systemctl, "show", "-p", "ActiveState", "-p", "Listen", "-p", "BindIPv6Only", "ssh.socket"]
        )
    active = "ActiveState=active" in socket_text.splitlines()
    socket_ports = _sshd.socket_ports(socket_text) if active else []
    alone = read("/proc/sys/net/ipv6/bindv6only").strip() == "1"
    both = "BindIPv6Only=both" in socket_text or (not alone and "BindIPv6Only=ipv6-only" not in socket_text)
    addresses, beside = _sshd.addresses(_sshd.listens(socket_text) if active else [], both)
    ipv6 = is_there("/proc/net/if_inet6") and bool(read("/proc/net/if_inet6").strip())

    sockets = dict(_sshd.listening(read("/proc/net/tcp")), **_sshd.listening(read("/proc/net/tcp6")))
    owners = programs()
    serving, others = set(), {}
    for inode, port in sockets.items():
        owner = owners.get(inode, "kernel")
        if owner in SSH_PROGRAMS or (port in socket_ports and owner == "systemd"):
            serving.add(port)
        else:
            others[str(port)] = owner
    port_lines, listen_lines = {}, {}
    configuration = _sshd.files(CONFIG_FILE, read, lambda pattern: sorted(glob.glob(pattern)))
    files = asked["config_files"]
    taken = [path for path in files if _sshd.reads(configuration, path, CONFIG_FILE, read)]
    own = (taken or files[-1:])[0]
    for path, lines in configuration:
        text = "\n".join(lines)
        if _sshd.listen_lines(text):
            listen_lines[path] = _sshd.listen_lines(text)
        if _sshd.port_lines(text) and path not in [own, *asked["ignore_files"]]:
            port_lines[path] = _sshd.port_lines(text)
    options = re.findall(r"^\s*SSHD_OPTS=(.*)$", read(OPTIONS_FILE), re.MULTILINE)
    connection = came_by()
    if connection:
        try:
            connection["allowed"] = _sshd.allowed(connection["client"], asked["sources"])
        except ValueError as exc:
            problems.append(str(exc))
            connection["allowed"] = False
    return {
        "configured_ports": _sshd.effective_ports(effective),
        "socket_activated": active,
        "socket_ports": socket_ports,
        "socket_addresses": addresses,
        "socket_others": beside,
        "config_file": own,
        "config_file_there": is_there(own),
        "reads_config_file": own in taken,
        "command_line": _sshd.told(options[-1].strip("\"'")) if options else [],
        "serving_ports": sorted(serving),
        "other_ports": others,
        "bound_addresses": _sshd.bound_addresses(effective),
        "port_lines": port_lines,
        "listen_lines": listen_lines,
        "ipv6": ipv6,
        "connection": connection,
        "problems": problems,
    }
