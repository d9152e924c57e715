#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_network_probe
short_description: Measure how fast the pods' network carries data to other nodes
version_added: 0.1.0
description:
  - Sends data to the kubelet of each other node through the tunnel that carries the pods' traffic, and takes the time
    until the other side has acknowledged all of it. The kubelet refuses the request; that it came is all that counts.
  - On some kernels and network cards VXLAN loses nearly every packet whose checksum the card is to fill in; pods then
    reach each other, but a thousand times more slowly.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  peers:
    description: The other nodes, with their addresses in the tunnel.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The node's name.
        type: str
        required: true
      address:
        description: The address of its VXLAN device.
        type: str
        required: true
  port:
    description: Where the kubelet listens.
    type: int
    default: 10250
  kib:
    description: How much is sent. A kubelet reads 256 KiB of what it refuses.
    type: int
    default: 192
  seconds:
    description: How long that may take.
    type: float
    default: 5
"""

EXAMPLES = r"""
- name: Measure the way to the worker
  eth2xk8s.staking.pod_network_probe:
    peers: [{name: worker, address: 10.1.1.0}]
  register: network
"""

RETURN = r"""
peers:
  description: What was measured, for each of O(peers). C(reason) is empty where all of it arrived in time.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "worker", "address": "10.1.1.0", "seconds": 0.02, "reason": ""}]
"""

import fcntl
import socket
import ssl
import struct
import termios
import time

from ansible.module_utils.basic import AnsibleModule


def unacknowledged(connection: socket.socket) -> int:
    """How much of what was sent the other side has not acknowledged."""
    return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])


def measure(address: str, port: int, kib: int, seconds: float) -> tuple[float, str]:
    """How long it took, and why it was not all in time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is told to whoever answers, and nothing believed.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    begun = time.monotonic()
    left = kib * 1024
    try:
        plain = socket.create_connection((address, port), timeout=seconds)
        with plain, context.wrap_socket(plain) as connection:
            head = f"POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: {left}\r\n\r\n"
            connection.sendall(head.encode("ascii") + b"\0" * left)
            while True:
                left = unacknowledged(connection)
                took = time.monotonic() - begun
                if left == 0:
                    return took, "" if took < seconds else f"{kib} KiB took {took:.1f} seconds"
                if took >= seconds:
                    return took, f"{left // 1024} of {kib} KiB did not arrive within {seconds:g} seconds"
                time.sleep(0.005)
    except socket.timeout:
        return time.monotonic() - begun, f"{kib} KiB did not arrive within {seconds:g} seconds"
    except OSError as exc:
        return time.monotonic() - begun, exc.strerror or str(exc)


def main() -> None:
    """Measure the way to each node."""
    module = AnsibleModule(
        argument_spec={
            "peers": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str", "required": True},
                },
            },
            "port": {"type": "int", "default": 10250},
            "kib": {"type": "int", "default": 192},
            "seconds": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    found = []
    for peer in module.params["peers"]:
        took, reason = measure(peer["address"], module.params["port"], module.params["kib"], module.params["seconds"])
        found.append({**peer, "seconds": round(took, 3), "reason": reason})
    module.exit_json(changed=False, peers=found)


if __name__ == "__main__":
    main()
