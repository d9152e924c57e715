"""Which packets get through, tried with packets: every TCP port, from the gateway and from machine to machine."""

from __future__ import annotations

import base64
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

ADDRESSES = {"nfs-server": "172.20.10.10", "master": "172.20.10.11", "worker": "172.20.10.12"}
testinfra_hosts = ["ansible://nfs-server"]
ROOT = Path(__file__).parents[3]
PROBE = Path(__file__).with_name("probe.py")
# Listens for datagrams, and says which of its ports got one.
LISTENER = """
import pathlib, selectors, socket, sys
everywhere = selectors.DefaultSelector()
for port in sys.argv[1:]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", int(port)))
    everywhere.register(sock, selectors.EVENT_READ, port)
while True:
    for key, _events in everywhere.select():
        with open("/run/datagrams", "a") as file:
            print(key.data, key.fileobj.recv(99).decode(), file=file)
"""
SEND = "import socket, sys; a, b, *c = sys.argv[1:]; [socket.socket(2, 2).sendto(b.encode(), (a, int(p))) for p in c]"
UDP = (111, 4789, 8472, 12000, 13000)
# Two pods, and something that is none, each in a network namespace behind an interface of its own.
PODS = """
set -e
sysctl -qw net.ipv4.ip_forward=1
while read -r name address; do
    ip netns add $name
    ip link add $name type veth peer name eth0 netns $name
    ip address add 169.254.1.1/32 dev $name
    ip link set $name up
    ip netns exec $name ip link set lo up
    ip netns exec $name ip link set eth0 up
    ip netns exec $name ip address add $address/32 dev eth0
    ip netns exec $name ip route add 169.254.1.1 dev eth0
    ip netns exec $name ip route add default via 169.254.1.1 dev eth0
    ip route add $address dev $name
done <<EOF
cali1 10.1.77.1
cali2 10.1.77.2
other3 192.0.2.3
EOF
"""
SERVE = "import socket; s = socket.create_server(('', 5353)); [s.accept()[0].close() for _ in iter(int, 1)]"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


@pytest.fixture(scope="module")
def machines(machine: t.Any) -> dict[str, t.Any]:
    found = {name: machine(name) for name in ADDRESSES}
    text = base64.b64encode(PROBE.read_bytes()).decode()
    for machine in found.values():
        machine.check_output(f"echo {text} | base64 -d > /var/tmp/probe.py")
    return found


def converge_again(works: bool = True) -> str:
    """Run the role once more, on one machine; what it said."""
    inventories = ["-i", str(ROOT / "inventory/testnet"), "-i", str(ROOT / "inventory/lab")]
    play = str(ROOT / "molecule/firewall/converge.yml")
    command = ["ansible-playbook", *inventories, "--limit", "worker", play]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode == 0) is works, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def received(machine: t.Any) -> int:
    """Packets that have reached a machine, whatever became of them."""
    return sum(int(line.split()[2]) for line in machine.check_output("cat /proc/net/dev").splitlines()[2:])


# The gateway is the administrator and no node; nfs-server is neither, and yet one of the site's machines.
@pytest.mark.parametrize(
    ("source", "target", "opened"),
    [
        pytest.param("gateway", "nfs-server", {22}, id="stranger-to-nfs"),
        pytest.param("nfs-server", "master", {22, 13000}, id="stranger-to-master"),
        pytest.param("nfs-server", "worker", {22, 13000}, id="stranger-to-worker"),
        pytest.param("gateway", "master", {22, 13000, 16443}, id="administrator-to-master"),
        pytest.param("worker", "master", {22, 10250, 13000, 16443, 25000}, id="worker-to-master"),
        pytest.param("master", "worker", {22, 10250, 13000, 25000}, id="master-to-worker"),
        pytest.param("worker", "nfs-server", {22, 2049}, id="node-to-nfs"),
    ],
)
def test_no_port_is_open_beyond_the_list(
    machines: dict[str, t.Any], source: str, target: str, opened: set[int]
) -> None:
    before = received(machines[target])
    if source == "gateway":
        command = [sys.executable, str(PROBE), ADDRESSES[target]]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    else:
        out = machines[source].check_output(f"python3 /var/tmp/probe.py {ADDRESSES[target]}")
    # Every port is asked twice; of a packet that never arrived nothing can be said, so few may be lost.
    assert received(machines[target]) - before > 0.98 * 2 * 65535
    assert {int(port) for port in out.split()} == opened


def test_datagrams(machines: dict[str, t.Any]) -> None:
    """The beacon's peers come from anywhere, the pods' network from nodes alone."""
    worker = machines["worker"]
    text = base64.b64encode(LISTENER.encode()).decode()
    worker.check_output(f"echo {text} | base64 -d > /var/tmp/datagrams.py")
    ports = " ".join(map(str, UDP))
    worker.check_output(f"systemd-run --collect --unit=datagrams python3 /var/tmp/datagrams.py {ports}")
    try:
        worker.check_output("sleep 1")
        for source in ("nfs-server", "master"):
            machines[source].check_output(f"python3 -c {SEND!r} {ADDRESSES['worker']} {source} {ports}")
        worker.check_output("sleep 1")
        got = {tuple(line.split()) for line in worker.check_output("cat /run/datagrams").splitlines()}
    finally:
        worker.run("systemctl stop datagrams; rm -f /run/datagrams")
    assert {int(port) for port, source in got if source == "nfs-server"} == {12000, 13000}
    assert {int(port) for port, source in got if source == "master"} == {4789, 12000, 13000}


def test_pods_reach_each_other_and_their_node_and_nothing_else_reaches_them(machines: dict[str, t.Any]) -> None:
    worker = machines["worker"]
    text = base64.b64encode(PODS.encode()).decode()
    worker.check_output(f"echo {text} | base64 -d | sh")
    try:
        worker.check_output(f'systemd-run --collect --unit=pod ip netns exec cali2 python3 -c "{SERVE}"')
        worker.check_output("sleep 1")

        def connects(source: str, address: str, port: int) -> bool:
            return bool(worker.run(f"ip netns exec {source} python3 -c {CONNECT!r} {address} {port}").rc == 0)

        assert connects("cali1", "10.1.77.2", 5353), "pod to pod"
        assert connects("cali1", "169.254.1.1", 22), "pod to its node"
        assert not connects("other3", "10.1.77.2", 5353)
    finally:
        worker.run("systemctl stop pod; for name in cali1 cali2 other3; do ip netns delete $name; done")


def test_what_others_added_stays_and_what_the_role_no_longer_wants_goes(machines: dict[str, t.Any]) -> None:
    worker = machines["worker"]
    worker.check_output("ufw allow 4444/tcp comment 'an operator'")
    worker.check_output("ufw allow 5555/tcp comment 'eth2xk8s: of an older release'")
    converge_again()
    rules = worker.check_output("ufw status")
    assert "4444/tcp" in rules
    assert "5555/tcp" not in rules
    worker.check_output("ufw delete allow 4444/tcp")


def reaches(machine: t.Any, address: str, port: int) -> bool:
    return bool(machine.run(f"python3 -c {CONNECT!r} {address} {port}").rc == 0)


def test_the_site_is_reached_in_spite_of_the_advice_against_scans(machines: dict[str, t.Any]) -> None:
    """Providers that forbid scans advise to deny every private network; the site is in one."""
    worker = machines["worker"]
    try:
        worker.check_output("ufw prepend deny out to 172.16.0.0/12; ufw prepend deny out to 10.0.0.0/8")
        assert not reaches(worker, ADDRESSES["master"], 22)
        assert "before: deny out from any to 172.16.0.0/12" in converge_again()
        assert reaches(worker, ADDRESSES["master"], 22)
        assert reaches(worker, ADDRESSES["nfs-server"], 22)
        assert not reaches(worker, "172.20.0.1", 22), "the rule stays"
        assert "changed=0" in converge_again()
    finally:
        worker.run("ufw delete deny out to 172.16.0.0/12; ufw delete deny out to 10.0.0.0/8")
    converge_again()
    assert "to the site" not in worker.check_output("ufw status"), "it has no use any more"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param(
            "INPUT -p tcp -m tcp --dport 10200:10300 -j REJECT",
            "keeps out what the site needs: -A INPUT -p tcp -m tcp --dport 10200:10300 -j REJECT",
            id="closed",
        ),
        pytest.param("FORWARD -d 10.1.0.0/16 -j DROP", "-A FORWARD -d 10.1.0.0/16 -j DROP stops", id="pods-closed"),
        pytest.param("INPUT -p tcp -j ACCEPT", "-A INPUT -p tcp -j ACCEPT lets in anybody to NFS", id="open"),
    ],
)
def test_a_rule_ahead_of_ufw_is_named_and_stays(machines: dict[str, t.Any], rule: str, said: str) -> None:
    worker = machines["worker"]
    worker.check_output(f"iptables -I {rule}")
    try:
        assert said in converge_again(works=False)
        assert rule.removesuffix(" -j REJECT") in worker.check_output("iptables -S")
    finally:
        worker.check_output(f"iptables -D {rule}")
    assert "changed=0" in converge_again()


def test_a_filter_that_somebody_flushed_is_put_back(machines: dict[str, t.Any]) -> None:
    worker = machines["worker"]
    worker.check_output("iptables -P INPUT ACCEPT; iptables -F")
    assert "ufw-user-input -p udp" not in worker.check_output("iptables -S INPUT")
    converge_again()
    assert "-P INPUT DROP" in worker.check_output("iptables -S")
    assert "--dport 13000" in worker.check_output("iptables -S ufw-user-input")


def test_the_filter_is_on_again_after_a_restart_of_the_machine(machines: dict[str, t.Any]) -> None:
    for machine in machines.values():
        assert machine.check_output("systemctl is-enabled ufw") == "enabled"
