"""Which packets get through, tried with packets: from the gateway, which is no node, and from machine to machine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import typing as t

import pytest
import testinfra

ADDRESSES = {"nfs-server": "172.20.10.10", "master": "172.20.10.11", "worker": "172.20.10.12"}
# What anybody may reach, whether or not something listens there.
PUBLIC = {"nfs-server": {22}, "master": {22, 13000}, "worker": {22, 13000}}
testinfra_hosts = ["ansible://nfs-server"]
CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
# Listens on every port that is tried, so that a closed port is closed by the filter and not for want of a program.
LISTENER = """
import selectors, socket, sys
everywhere = selectors.DefaultSelector()
for port in sys.argv[1:]:
    everywhere.register(socket.create_server(("", int(port))), selectors.EVENT_READ)
while True:
    for key, _events in everywhere.select():
        key.fileobj.accept()[0].close()
"""
PORTS = [111, 2049, 8080, 10250, 10255, 10257, 12379, 13000, 16443, 19001, 25000]


@pytest.fixture(scope="module")
def machines(host: t.Any) -> t.Iterator[dict[str, t.Any]]:
    inventory = host.backend.ansible_runner.inventory_file
    found = {name: testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory) for name in ADDRESSES}
    for machine in found.values():
        free = [port for port in PORTS if not machine.socket(f"tcp://0.0.0.0:{port}").is_listening]
        text = base64.b64encode(LISTENER.encode()).decode()
        machine.check_output(f"echo {text} | base64 -d > /var/tmp/everywhere.py")
        command = f"python3 /var/tmp/everywhere.py {' '.join(map(str, free))}"
        machine.check_output(f"systemd-run --collect --unit=everywhere {command}")
    yield found
    for machine in found.values():
        machine.run("systemctl stop everywhere")


async def answers(address: str, port: int, many: asyncio.Semaphore) -> bool:
    async with many:
        try:
            _reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 2)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


async def scan(address: str, ports: t.Iterable[int]) -> set[int]:
    many = asyncio.Semaphore(800)
    ports = list(ports)
    found = await asyncio.gather(*(answers(address, port, many) for port in ports))
    return {port for port, answer in zip(ports, found, strict=True) if answer}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_stranger_reaches_no_port_beyond_the_list(machines: dict[str, t.Any], name: str) -> None:
    assert asyncio.run(scan(ADDRESSES[name], range(1, 32768))) == PUBLIC[name]


@pytest.mark.parametrize(
    ("source", "target", "opened"),
    [
        pytest.param("worker", "master", {10250, 13000, 16443, 25000}, id="worker-to-master"),
        pytest.param("master", "worker", {10250, 13000, 25000}, id="master-to-worker"),
        pytest.param("worker", "nfs-server", {2049}, id="node-to-nfs"),
        pytest.param("nfs-server", "master", {13000}, id="nfs-is-no-node"),
    ],
)
def test_nodes_reach_what_they_need(machines: dict[str, t.Any], source: str, target: str, opened: set[int]) -> None:
    reached = {
        port for port in PORTS if machines[source].run(f"python3 -c {CONNECT!r} {ADDRESSES[target]} {port}").rc == 0
    }
    assert reached == opened


def test_the_filter_is_on_again_after_a_restart_of_the_machine(machines: dict[str, t.Any]) -> None:
    for machine in machines.values():
        assert machine.check_output("systemctl is-enabled ufw") == "enabled"
        assert "-P INPUT DROP" in machine.check_output("iptables -S")
