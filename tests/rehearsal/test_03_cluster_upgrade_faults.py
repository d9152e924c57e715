"""Upgrades of the cluster that faults cut short: said in a sentence, and the next run finishes."""

from __future__ import annotations

import json

import pytest

from .conftest import Lab

pytestmark = pytest.mark.by_hand
FIRST = 30
SHORT = ("-e", "microk8s_ready_timeout_seconds=90")
REFRESHING = "pgrep --full '[s]nap refresh --classic'"
OFFLINE = "/usr/lib/snapd/store/offline"
CHANNELS = "/usr/lib/snapd/store/channels.json"


def upgrade_to(minor: int) -> tuple[str, ...]:
    return ("playbooks/cluster_upgrade.yml", "-e", f"microk8s_channel=1.{minor}/stable")


def current(lab: Lab) -> int:
    """The minor that both nodes run."""
    (version,) = set(lab.versions().values())
    return int(version.rpartition(".")[2])


def finishes(lab: Lab, minor: int) -> None:
    """The next run brings both nodes to the new version, and leaves nothing for the one after."""
    lab.play(*upgrade_to(minor))
    assert lab.versions() == {"master": f"v1.{minor}", "worker": f"v1.{minor}"}
    assert lab.nodes_ready() == {"master": True, "worker": True}
    assert lab.cordoned() == set()
    again = lab.play(*upgrade_to(minor))
    assert sum(again.changed.values()) == 0, again.output[-4000:]


def test_a_cluster_at_an_older_minor(lab: Lab) -> None:
    lab.play("playbooks/machines.yml")  # clocks and an NFS server, which the upgrade wants to see right
    lab.play("molecule/microk8s/converge.yml", "-e", f"microk8s_channel=1.{FIRST}/stable")
    assert set(lab.versions().values()) == {f"v1.{FIRST}"}


@pytest.mark.parametrize(("refreshed", "cut"), [("worker", "worker"), ("worker", "master"), ("master", "master")])
def test_a_power_cut_in_the_middle_of_a_refresh(lab: Lab, refreshed: str, cut: str) -> None:
    """Of the node itself, of the seed, of both in one: the node stays cordoned until the next run."""
    minor = current(lab) + 1
    play = lab.during(refreshed, REFRESHING, lambda: lab.fault("power-cut", cut), *upgrade_to(minor))
    assert play.failed
    lab.power_on(cut)
    lab.wait("the API knows who is cordoned", lambda: lab.cordoned() == {refreshed}, seconds=120)
    finishes(lab, minor)


def test_a_partition_in_the_middle_of_the_workers_refresh(lab: Lab) -> None:
    """The worker is taken back, and follows the channel of before again: the next run is as the first one was."""
    minor = current(lab) + 1
    try:
        play = lab.during(
            "worker", REFRESHING, lambda: lab.fault("block", "worker", "master"), *upgrade_to(minor), *SHORT
        )
    finally:
        lab.fault("heal", "worker")
    assert play.failed
    assert f"worker did not become Ready at 1.{minor}/stable" in play.said
    assert "It was taken back to revision" in play.said
    assert f"1.{minor - 1}/stable" in lab.on("worker", "snap list microk8s")
    finishes(lab, minor)


def test_a_clock_that_goes_wrong_in_the_middle(lab: Lab) -> None:
    """No pod may start there until it is right."""
    minor = current(lab) + 1

    def goes_wrong() -> None:
        lab.on("worker", "systemctl stop chrony")
        lab.fault("clock", "worker", "3600")

    play = lab.during("worker", REFRESHING, goes_wrong, *upgrade_to(minor))
    assert play.failed
    assert "The clocks of worker and master differ by 3" in play.said
    assert lab.cordoned() == {"worker"}
    again = lab.play(*upgrade_to(minor), check=False)
    assert again.failed
    assert "The clocks of worker and master differ by 3" in again.said
    lab.fault("clock", "worker", "-3600")
    lab.on("worker", "systemctl start chrony")
    finishes(lab, minor)


def test_a_store_that_does_not_answer(lab: Lab) -> None:
    minor = current(lab) + 1
    lab.on("worker", f"touch {OFFLINE}")
    play = lab.play(*upgrade_to(minor), check=False)
    lab.on("worker", f"rm {OFFLINE}")
    assert play.failed
    assert "unable to contact snap store" in play.said
    assert "It still has revision" in play.said
    assert lab.versions() == {"master": f"v1.{minor}", "worker": f"v1.{minor - 1}"}
    finishes(lab, minor)


def test_a_worker_that_somebody_took_back(lab: Lab) -> None:
    """`snap revert` leaves the channel as it is, so that it says nothing of what runs."""
    minor = current(lab)
    lab.on("worker", "snap revert microk8s")
    lab.wait("the old version", lambda: lab.versions()["worker"] == f"v1.{minor - 1}", seconds=120)
    finishes(lab, minor)


def test_a_newer_base_alone_is_taken_on_an_empty_node(lab: Lab) -> None:
    """Its refresh ends every container of the node (the kicker of MicroK8s), so the node is drained first."""
    minor = current(lab)
    rows = [line.split() for line in lab.on("worker", "snap list").splitlines()[1:]]
    new = json.dumps({row[0]: ["20300101", int(row[2]) + 1] for row in rows if row[0] != "microk8s"})
    for machine in ("master", "worker"):
        lab.on(machine, f"echo '{new}' > /usr/lib/snapd/store/bases.json")
    finishes(lab, minor)
    for machine in ("master", "worker"):
        after = [line.split() for line in lab.on(machine, "snap list").splitlines()[1:]]
        assert {row[1] for row in after if row[0] != "microk8s"} == {"20300101"}
        assert all("held" in row[-1].split(",") for row in after)


def test_a_patch_release_in_the_same_channel(lab: Lab) -> None:
    """Held, a node gets it in no other way. What is seen Ready is the kubelet that runs since."""
    minor = current(lab)
    old = lab.on("worker", "snap list microk8s").split()[-4]
    new = json.dumps({f"1.{minor}/stable": [f"v1.{minor}.99", int(old) + 1]})
    for machine in ("master", "worker"):
        lab.on(machine, f"echo '{new}' > {CHANNELS}")
    finishes(lab, minor)
    assert {lab.on(m, "snap list microk8s").split()[-4] for m in ("master", "worker")} == {str(int(old) + 1)}
