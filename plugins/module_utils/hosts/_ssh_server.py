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
    effective, problems = _effective(module)
    socket = _socket(module)
    options = re.findall(r"^\s*SSHD_OPTS=(.*)$", read(OPTIONS_FILE), re.MULTILINE)
    connection, unknown = _connection(asked["sources"])
    return {
        "configured_ports": _sshd.effective_ports(effective),
        "bound_addresses": _sshd.bound_addresses(effective),
        **socket,
        **_open_ports(socket["socket_ports"]),
        **_configuration(asked["config_files"], asked["ignore_files"]),
        "command_line": _sshd.told(options[-1].strip("\"'")) if options else [],
        "ipv6": is_there("/proc/net/if_inet6") and bool(read("/proc/net/if_inet6").strip()),
        "connection": connection,
        "problems": problems + unknown,
    }


def _effective(module: AnsibleModule) -> tuple[str, list[str]]:
    """The answer of `sshd -T`, and what is wrong with it."""
    sshd = module.get_bin_path("sshd", opt_dirs=["/usr/sbin"])
    if sshd is None:
        return "", ["sshd is not installed"]
    # sshd -T refuses without this directory, which is there only once sshd has run since the boot.
    if not is_directory("/run/sshd"):
        os.mkdir("/run/sshd", 0o755)
    rc, text, err = module.run_command([sshd, "-T", "-C", _sshd.CONNECTION])
    return text, [f"sshd -T failed: {err.strip()}"] if rc != 0 else []


def _socket(module: AnsibleModule) -> dict[str, t.Any]:
    """Whether systemd listens in sshd's place, and where."""
    text = ""
    systemctl = module.get_bin_path("systemctl")
    if systemctl is not None:
        _rc, text, _err = module.run_command(
            [systemctl, "show", "-p", "ActiveState", "-p", "Listen", "-p", "BindIPv6Only", "ssh.socket"]
        )
    active = "ActiveState=active" in text.splitlines()
    alone = read("/proc/sys/net/ipv6/bindv6only").strip() == "1"
    both = "BindIPv6Only=both" in text or (not alone and "BindIPv6Only=ipv6-only" not in text)
    addresses, beside = _sshd.addresses(_sshd.listens(text) if active else [], both)
    return {
        "socket_activated": active,
        "socket_ports": _sshd.socket_ports(text) if active else [],
        "socket_addresses": addresses,
        "socket_others": beside,
    }


def _open_ports(socket_ports: t.Container[int]) -> dict[str, t.Any]:
    """The ports on which sshd listens, or systemd for it, and those on which other programs do."""
    sockets = dict(_sshd.listening(read("/proc/net/tcp")), **_sshd.listening(read("/proc/net/tcp6")))
    owners = programs()
    serving, others = set(), {}
    for inode, port in sockets.items():
        owner = owners.get(inode, "kernel")
        if owner in SSH_PROGRAMS or (port in socket_ports and owner == "systemd"):
            serving.add(port)
        else:
            others[str(port)] = owner
    return {"serving_ports": sorted(serving), "other_ports": others}


def _configuration(own: t.Sequence[str], ignored: t.Sequence[str]) -> dict[str, t.Any]:
    """In which file of this collection sshd looks for the port, and what other files say of ports."""
    configuration = _sshd.files(CONFIG_FILE, read, lambda pattern: sorted(glob.glob(pattern)))
    taken = [path for path in own if _sshd.reads(configuration, path, CONFIG_FILE, read)]
    chosen = (taken or own[-1:])[0]
    port_lines, listen_lines = {}, {}
    for path, lines in configuration:
        text = "\n".join(lines)
        if _sshd.listen_lines(text):
            listen_lines[path] = _sshd.listen_lines(text)
        if _sshd.port_lines(text) and path not in [chosen, *ignored]:
            port_lines[path] = _sshd.port_lines(text)
    return {
        "config_file": chosen,
        "config_file_there": is_there(chosen),
        "reads_config_file": chosen in taken,
        "port_lines": port_lines,
        "listen_lines": listen_lines,
    }


def _connection(sources: t.Sequence[str]) -> tuple[dict[str, t.Any], list[str]]:
    """The connection by which Ansible came, whether it is from one of the networks, and why that is not known."""
    found = came_by()
    if not found:
        return {}, []
    try:
        return {**found, "allowed": _sshd.allowed(found["client"], sources)}, []
    except ValueError as exc:
        return {**found, "allowed": False}, [str(exc)]
