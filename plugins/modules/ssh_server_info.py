#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_server_info
short_description: Say on which ports a machine serves SSH, and who is connected
version_added: 0.1.0
description:
  - Reads sshd's effective configuration, systemd's C(ssh.socket), the kernel's listening sockets and the connection
    Ansible itself came by.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  sources:
    description: Networks that may use SSH. Empty means everybody.
    type: list
    elements: str
    default: []
  ignore_files:
    description: Configuration files whose ports are not reported in RV(port_lines).
    type: list
    elements: path
    default: []
  config_files:
    description:
      - Files for a setting of our own, written or not. The first that sshd reads outside of any Match block is used,
        else the last.
      - Its ports are not reported in RV(port_lines).
    type: list
    elements: path
    default: [/etc/ssh/sshd_config.d/10-eth2xk8s-port.conf, /etc/ssh/eth2xk8s-port.conf]
"""

EXAMPLES = r"""
- name: Read the SSH server
  eth2xk8s.staking.ssh_server_info:
  register: ssh
"""

RETURN = r"""
configured_ports:
  description: Ports in sshd's effective configuration.
  returned: always
  type: list
  elements: int
  sample: [22]
socket_activated:
  description: Whether systemd listens in place of sshd.
  returned: always
  type: bool
  sample: false
socket_ports:
  description: Ports of C(ssh.socket), when it is active.
  returned: always
  type: list
  elements: int
  sample: []
socket_addresses:
  description: Addresses of C(ssh.socket), when it is active.
  returned: always
  type: list
  elements: str
  sample: ["0.0.0.0", "[::]"]
socket_others:
  description: What else C(ssh.socket) listens on.
  returned: always
  type: list
  elements: str
  sample: []
config_file:
  description: Which of O(config_files) is used.
  returned: always
  type: str
  sample: /etc/ssh/sshd_config.d/10-eth2xk8s-port.conf
config_file_there:
  description: Whether it is written.
  returned: always
  type: bool
  sample: false
reads_config_file:
  description: Whether sshd's configuration includes it, outside of any Match block.
  returned: always
  type: bool
  sample: true
command_line:
  description: Options in C(/etc/default/ssh) that decide where sshd listens.
  returned: always
  type: list
  elements: str
  sample: []
serving_ports:
  description: Ports on which sshd, or systemd for it, really listens.
  returned: always
  type: list
  elements: int
  sample: [22]
other_ports:
  description: Ports on which another program listens, with its name.
  returned: always
  type: dict
  sample: {"2049": "kernel"}
bound_addresses:
  description: Addresses sshd is bound to, where these are not all addresses.
  returned: always
  type: list
  elements: str
  sample: []
port_lines:
  description: Configuration files, included ones as well, with lines that set a port.
  returned: always
  type: dict
  sample: {"/etc/ssh/sshd_config": ["Port 22"]}
listen_lines:
  description: Configuration files with lines that bind an address together with a port.
  returned: always
  type: dict
  sample: {}
ipv6:
  description: Whether the kernel has IPv6.
  returned: always
  type: bool
  sample: true
connection:
  description: >-
    Client, server and server_port of the connection Ansible came by, and whether the client is allowed by O(sources);
    empty when it is not SSH.
  returned: always
  type: dict
  sample: {"client": "172.20.0.1", "server": "172.20.10.10", "server_port": 22, "allowed": true}
problems:
  description: What could not be read.
  returned: always
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _ssh_server


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(argument_spec=_ssh_server.QUESTION, supports_check_mode=True)
    module.exit_json(changed=False, **_ssh_server.report(module, module.params))


if __name__ == "__main__":
    main()
