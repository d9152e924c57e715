"""Joins and leaves that faults cut short: said in a sentence, and the next run finishes."""

from __future__ import annotations

import pytest

from lab import ROOT

from .conftest import Lab, Play

pytestmark = pytest.mark.by_hand
BUILD = ("molecule/microk8s/converge.yml",)
JOINING = "test -e /var/snap/microk8s/current/var/lock/join-in-progress"


def bare(lab: Lab, machine: str) -> None:
    """A machine installed anew. It has another identity, so its former self is taken out as the refusal says."""
    lab.command("reset", machine)
    lab.wait(f"{machine} is given up", lambda: lab.nodes_ready().get(machine) is False, seconds=120)
    refused = lab.play(*BUILD, check=False)
    assert refused.failed
    command = f"microk8s remove-node {machine}"
    assert f"run on the seed: {command}" in refused.said
    lab.on("master", f"/snap/bin/{command}")


def prepared(lab: Lab) -> None:
    """Clocks and an NFS server, which leave_node.yml wants to see right before pods move."""
    lab.play("playbooks/machines.yml")


def joins(lab: Lab, *more: str) -> Play:
    """A run that finishes: both nodes Ready, and nothing left for the next one."""
    play = lab.play(*BUILD, *more)
    assert lab.nodes_ready() == {"master": True, "worker": True}
    again = lab.play(*BUILD, *more)
    assert sum(again.changed.values()) == 0, again.output[-4000:]
    return play


# --- joining ---------------------------------------------------------------------------------------------------------


def test_a_cluster_agent_that_is_down(lab: Lab) -> None:
    """Port 25000 is closed: said in a sentence, and the next run finishes."""
    lab.play(*BUILD, "--limit", "master")
    lab.on("master", "systemctl stop snap.microk8s.daemon-cluster-agent")
    play = lab.play(*BUILD, check=False)
    assert play.failed
    assert "worker does not reach port 25000 of 172.20.10.11" in play.said
    lab.on("master", "systemctl start snap.microk8s.daemon-cluster-agent")
    joins(lab)


def test_a_token_that_has_ended(lab: Lab) -> None:
    """The node is as it was: nothing is left of the join but what the next one takes away."""
    bare(lab, "worker")
    slow = ("-e", "microk8s_join_token_ttl_seconds=1")
    lab.fault("slow-link", "worker", "700", "0")
    try:
        play = lab.play(*BUILD, *slow, check=False)
    finally:
        lab.fault("heal", "worker")
    assert play.failed
    assert "could not join 172.20.10.11" in play.said
    assert "Invalid token" in play.output
    assert lab.on("master", "cat /var/snap/microk8s/current/credentials/cluster-tokens.txt") == ""
    joins(lab)


@pytest.mark.parametrize("machine", ["worker", "master"])
def test_a_power_cut_in_the_middle_of_a_join(lab: Lab, machine: str) -> None:
    """Of either side: the run says so, no token outlives it for long, and the next one finishes."""
    bare(lab, "worker")
    play = lab.during("worker", JOINING, lambda: lab.fault("power-cut", machine), *BUILD)
    assert play.failed
    lab.power_on(machine)
    if machine == "master":
        # What it sometimes leaves of a file that was just appended to, as ext4 does.
        tokens = "/var/snap/microk8s/current/credentials"
        lab.on("master", f"for f in cluster certs-request; do head -c 33 /dev/zero >> {tokens}/$f-tokens.txt; done")
    joins(lab)


def test_a_partition_in_the_middle_of_a_join(lab: Lab) -> None:
    """The two nodes do not reach each other, but the controller reaches both."""
    bare(lab, "worker")
    short = ("-e", "microk8s_ready_timeout_seconds=60")
    try:
        play = lab.during("worker", JOINING, lambda: lab.fault("block", "worker", "master"), *BUILD, *short)
    finally:
        lab.fault("heal", "worker")
    assert play.failed
    assert "run again" in play.said
    joins(lab)


# --- what looks well and is not --------------------------------------------------------------------------------------


def test_nothing_is_drained_while_a_control_plane_is_deaf(lab: Lab) -> None:
    """Watches that stall: everything else goes on, and a pod that is stopped would get no successor."""
    prepared(lab)
    joins(lab)
    lab.on("master", "touch /var/snap/microk8s/current/var/lock/watches-stalled")
    play = lab.play("playbooks/leave_node.yml", "-e", "leave_node=worker", check=False)
    assert play.failed
    assert "Nothing was drained or stopped" in play.said
    assert "snap restart microk8s.daemon-k8s-dqlite microk8s.daemon-kubelite" in play.said
    assert lab.cordoned() == set()
    lab.on("master", "snap restart microk8s.daemon-k8s-dqlite microk8s.daemon-kubelite")
    lab.wait("the API is back", lambda: lab.nodes_ready() == {"master": True, "worker": True}, seconds=180)


def test_a_node_that_is_registered_under_its_other_card(lab: Lab) -> None:
    """It is who it is by its machine: left alone, and named."""
    device = lab.on("worker", "ip -o route show default").split(" dev ")[1].split()[0]
    arguments = "/var/snap/microk8s/current/args/kubelet"
    lab.on("worker", f"ip addr add 172.20.10.112/20 dev {device}")
    lab.on("worker", f"sed -i 's/^--node-ip=.*/--node-ip=172.20.10.112/' {arguments}")
    lab.on("worker", "snap restart microk8s.daemon-kubelite")
    seen = "/snap/bin/microk8s kubectl get node worker -o wide"
    lab.wait("its other address", lambda: "172.20.10.112" in lab.on("master", seen), seconds=120)
    play = lab.play(*BUILD)
    assert "it is registered under 172.20.10.112, not under 172.20.10.12" in play.said
    assert sum(play.changed.values()) == 0
    lab.on("worker", f"sed -i 's/^--node-ip=.*/--node-ip=172.20.10.12/' {arguments}")
    lab.on("worker", f"snap restart microk8s.daemon-kubelite; ip addr del 172.20.10.112/20 dev {device}")


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_a_power_cut_in_the_middle_of_leaving(lab: Lab) -> None:
    """`microk8s leave` cannot be run twice by itself; the role makes it so."""
    leave = ("playbooks/leave_node.yml", "-e", "leave_node=worker")
    gone = "test ! -e /var/snap/microk8s/current/certs/ca.remote.crt"
    prepared(lab)
    play = lab.during("worker", gone, lambda: lab.fault("power-cut", "worker"), *leave)
    assert play.failed
    lab.power_on("worker")
    lab.play(*leave)
    assert lab.nodes_ready() == {"master": True}
    # What the node was about to become may be half made, so that nobody can say whether it is empty.
    joins(lab, "-e", "microk8s_discard_local_cluster=true")


TWO = """
site:
  children:
    nfs: {hosts: {nfs-server: {ansible_host: 172.20.10.10}}}
    microk8s:
      children:
        control_plane: {hosts: {master: {ansible_host: 172.20.10.11}, worker: {ansible_host: 172.20.10.12}}}
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The inventory with the worker as a second control plane, whose datastore the firewall lets through as well."""
    place = tmp_path_factory.mktemp("two")
    (place / "hosts.yml").write_text(TWO)
    (place / "group_vars").symlink_to(ROOT / "inventory/testnet/group_vars")
    return "-i", str(place), "-i", "inventory/lab"


@pytest.mark.parametrize(
    "cut_when",
    [
        pytest.param("! systemctl is-active --quiet snap.microk8s.daemon-kubelite", id="still-in-the-datastore"),
        pytest.param(
            "! grep -q 172.20.10.11: /var/snap/microk8s/current/var/kubernetes/backend/cluster.yaml", id="out"
        ),
    ],
)
def test_a_power_cut_in_the_middle_of_a_control_planes_leaving(lab: Lab, two: tuple[str, ...], cut_when: str) -> None:
    """The next run finishes, and the node may come back."""
    leave = ("playbooks/leave_node.yml", "-e", "leave_node=worker")
    if lab.on("master", "grep -c Address: /var/snap/microk8s/current/var/kubernetes/backend/cluster.yaml") == "1":
        lab.play("playbooks/machines.yml", *two)
        if "worker" in lab.nodes_ready():
            lab.play(*leave)  # as the worker it was until now
        joins(lab, *two)
    play = lab.during("worker", cut_when, lambda: lab.fault("power-cut", "worker"), *leave, *two)
    assert play.failed
    lab.power_on("worker")
    lab.play(*leave, *two)
    assert lab.nodes_ready() == {"master": True}
    joins(lab, *two)


def test_a_control_plane_that_left_and_was_used_since(lab: Lab, two: tuple[str, ...]) -> None:
    """It has the cluster's certificate authority, which is no reason to take what it holds for half a join."""
    lab.play("playbooks/leave_node.yml", "-e", "leave_node=worker", *two)
    lab.on("worker", "/snap/bin/microk8s kubectl create namespace precious")
    play = lab.play(*BUILD, *two, check=False)
    assert play.failed
    assert "worker already has a cluster of its own, and joining would destroy it" in play.said
    assert "precious" in lab.on("worker", "/snap/bin/microk8s kubectl get namespaces -o name")
