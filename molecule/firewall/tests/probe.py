"""Asks every TCP port of a machine for an answer, below this machine's own packet filter.

probe.py ADDRESS prints the ports that answer. Whether something listens there does not matter: where nothing does, a
machine that lets the packet through refuses the connection, and that is an answer, too.
"""

from __future__ import annotations

import errno
import ipaddress
import random
import re
import socket
import struct
import subprocess
import sys
import time

IP, TCP, SYN, SYN_ACK, RST = 0x0800, 6, 0x02, 0x12, 0x04
SOURCE_PORT = 61000


def route(address: str) -> tuple[str, str, str]:
    """Interface, own address and the other's hardware address."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", (address, 9))
    time.sleep(0.5)
    way = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=True).stdout
    interface, own = re.findall(r"dev (\S+) .*?src (\S+)", way)[0]
    near = subprocess.run(["ip", "neigh", "show", address], capture_output=True, text=True, check=True).stdout
    return interface, own, re.findall(r"lladdr (\S+)", near)[0]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(own: bytes, other: bytes, port: int) -> bytes:
    """An IPv4 packet that opens a connection."""
    tcp = struct.pack("!HHLLBBHHH", SOURCE_PORT, port, port, 0, 0x50, SYN, 1024, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(own + other + struct.pack("!HH", TCP, 20) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, TCP, 0) + own + other
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def push(wire: socket.socket, frame: bytes) -> None:
    """Send, as soon as there is room in the queue."""
    for _ in range(500):
        try:
            wire.send(frame)
            return
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.ENOBUFS):
                raise
            time.sleep(0.01)
    raise TimeoutError("the network takes no packets")


def answers(wire: socket.socket, other: bytes) -> set[int]:
    """Ports from which something has come back so far."""
    found = set()
    while True:
        try:
            frame = wire.recv(256)
        except BlockingIOError:
            return found
        if len(frame) >= 54 and frame[12:14] == b"\x08\x00" and frame[23] == TCP and frame[26:30] == other:
            port, to = struct.unpack("!HH", frame[34:38])
            if to == SOURCE_PORT and frame[47] & 0x3F in (SYN_ACK, RST, RST | 0x10):
                found.add(port)


def main() -> None:
    """Twice, in another order each time, because a packet may be lost."""
    address = sys.argv[1]
    interface, own, hardware = route(address)
    source, target = ipaddress.ip_address(own).packed, ipaddress.ip_address(address).packed
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(IP)) as wire:
        wire.bind((interface, 0))
        wire.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)  # SO_RCVBUFFORCE
        wire.setblocking(False)
        frame = bytes.fromhex(hardware.replace(":", "")) + wire.getsockname()[4] + struct.pack("!H", IP)
        found: set[int] = set()
        for _ in range(2):
            ports = list(range(1, 65536))
            random.shuffle(ports)
            for number, port in enumerate(ports):
                push(wire, frame + packet(source, target, port))
                if number % 64 == 0:
                    found |= answers(wire, target)
                    time.sleep(0.002)
            time.sleep(0.5)
            found |= answers(wire, target)
    print(*sorted(found))


if __name__ == "__main__":
    main()
