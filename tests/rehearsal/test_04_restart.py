"""Machines that ask for a restart while validators sign: emptied first, one after the other, and nobody signs twice."""

from __future__ import annotations

import concurrent.futures
import re
import time

import pytest

from .conftest import Lab

pytestmark = pytest.mark.by_hand
MACHINES = ("nfs", "master", "worker")
BOOT = "cat /proc/sys/kernel/random/boot_id"


def boots(lab: Lab) -> dict[str, str]:
    """Which boot of each machine this is."""
    return {machine: lab.on(machine, BOOT) for machine in MACHINES}


def changed(output: str, task: str) -> int:
    """How often a task has changed something."""
    return len(re.findall(rf"TASK \[[^\]]*{re.escape(task)}.*\n+changed:", output))


def away(lab: Lab, pool: concurrent.futures.Executor) -> set[str]:
    """The machines that do not answer, all asked at the same time."""
    codes = pool.map(lambda machine: lab.command("ssh", machine, "--", "true", check=False).returncode, MACHINES)
    return {machine for machine, code in zip(MACHINES, codes, strict=True) if code}


def test_the_site_is_built(lab: Lab) -> None:
    lab.play("site.yml")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)


def test_machines_that_ask_for_it_are_restarted_one_by_one(lab: Lab) -> None:
    before = boots(lab)
    for machine in MACHINES:
        lab.on(machine, "touch /run/reboot-required")
    seen = set()
    with concurrent.futures.ThreadPoolExecutor(1 + len(MACHINES)) as pool:
        run = pool.submit(lab.play, "site.yml", timeout=3600)
        while not run.done():
            gone = away(lab, pool)
            assert len(gone) <= 1, gone
            seen |= gone
            time.sleep(1)
        done = run.result()
    # What ran there was moved with proof of stop, not deleted.
    turns = done.output.split("PLAY [Restart the machines that run Prysm]")[1:]
    turns[-1] = turns[-1].partition("\nPLAY [")[0]
    moved = [(changed(turn, "stop | Scale it to nothing"), changed(turn, "start | Start it")) for turn in turns]
    assert all(stopped == started for stopped, started in moved), moved
    assert sum(stopped for stopped, _ in moved) >= 2
    assert "prove | Prove that its node holds its lock" in done.output
    assert seen  # a machine is back within seconds: not every one is caught
    after = boots(lab)
    assert {machine for machine in MACHINES if after[machine] != before[machine]} == set(MACHINES)
    assert lab.nodes_ready() == {"master": True, "worker": True}
    assert lab.cordoned() == set()
    lab.all_sign_on(seconds=120)


def test_a_second_time_it_changes_nothing(lab: Lab) -> None:
    before = boots(lab)
    assert set(lab.play("site.yml").changed.values()) == {0}
    assert boots(lab) == before


def test_a_node_whose_work_nobody_can_take_is_stopped_first(lab: Lab) -> None:
    """The other node takes no pods: validators stand still during the restart, and sign on after it."""
    before = boots(lab)
    pods = lab.kubectl("get pods --all-namespaces")["items"]
    busy = next(pod["spec"]["nodeName"] for pod in pods if pod["metadata"]["name"].startswith("validator1"))
    other = {"master": "worker", "worker": "master"}[busy]
    lab.on("master", f"/snap/bin/microk8s kubectl cordon {other}")
    lab.on(busy, "touch /run/reboot-required")
    try:
        lab.play("site.yml")
        assert {machine for machine, boot in boots(lab).items() if boot != before[machine]} == {busy}
        assert lab.cordoned() == {other}
    finally:
        lab.on("master", f"/snap/bin/microk8s kubectl uncordon {other}")
    lab.all_sign_on(seconds=120)


def test_a_node_is_not_restarted_while_nobody_can_say_what_runs_there(lab: Lab) -> None:
    """The API is down: the run stops, and the machine goes on as it was."""
    before = boots(lab)
    lab.on("worker", "touch /run/reboot-required")
    lab.fault("api-down", "master")
    try:
        done = lab.play("site.yml", check=False)
        assert done.failed
        assert "does not answer" in done.said
        assert boots(lab) == before
    finally:
        lab.fault("api-up", "master")
        lab.on("worker", "rm /run/reboot-required")
    lab.all_sign_on(seconds=120)


def test_a_node_leaves_and_comes_back_while_validators_sign(lab: Lab) -> None:
    """What runs on it moves first, each with its proofs."""
    pods = {pod["metadata"]["name"]: pod for pod in lab.kubectl("get pods --all-namespaces")["items"]}
    there = [name for name, pod in pods.items() if pod["spec"].get("nodeName") == "worker" and "validator" in name]
    if not there:
        lab.play("playbooks/drain.yml", "-e", "node=master")
        lab.play("playbooks/drain.yml", "-e", "node=master", "-e", "node_state=uncordoned")
    done = lab.play("playbooks/leave_node.yml", "-e", "leave_node=worker", timeout=3600)
    assert "stop | Prove that it runs on no node" in done.output
    assert "prove | Prove that its node holds its lock" in done.output
    assert set(lab.nodes_ready()) == {"master"}
    lab.all_sign_on(seconds=120)
    lab.play("site.yml", timeout=3600)
    assert lab.nodes_ready() == {"master": True, "worker": True}
    lab.all_sign_on(seconds=120)
