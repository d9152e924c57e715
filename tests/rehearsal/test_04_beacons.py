"""Several beacon nodes: a site gets a second one, and its clients go on while one of them is away.

Each step prints what it has seen; pytest shows that of a step which fails, and with -s all of it.
"""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest

from .conftest import Inventory, Lab, validators

pytestmark = pytest.mark.by_hand
KUBECTL = "/snap/bin/microk8s kubectl"
BEACONS = ("beacon", "beacon-2")
#: Epochs of the lab are 16 s.
EPOCH = 16


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The site of every other test."""
    return Inventory(tmp_path_factory.mktemp("one") / "inventory", validators()).words


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The same site with a second beacon node."""
    return Inventory(tmp_path_factory.mktemp("two") / "inventory", validators(), prysm_beacon_nodes=2).words


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def pods(lab: Lab, component: str) -> dict[str, dict[str, t.Any]]:
    found = lab.kubectl(f"get pods -n prysm -l app.kubernetes.io/component={component}")["items"]
    return {pod["metadata"]["name"]: pod for pod in found}


def identities(lab: Lab, component: str) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in pods(lab, component).items()}


def nodes(lab: Lab) -> dict[str, str]:
    """Beacon node -> the node its pod is Ready on; empty where it is not."""
    return {
        name.removesuffix("-0"): pod["spec"].get("nodeName", "")
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
        else ""
        for name, pod in pods(lab, "beacon").items()
    }


def attestations(lab: Lab) -> dict[str, list[int]]:
    """Key -> the epochs that it has attested, in their order."""
    found: dict[str, list[int]] = {}
    for one in lab.chain("/judge/signatures?since=0"):
        if one["kind"] == "attestation":
            found.setdefault(one["key"], []).append(one["target"])
    return found


def missed(lab: Lab, before: dict[str, list[int]], what: str) -> dict[str, int]:
    """Epochs that each key has missed since, up to its last attestation: printed."""
    found = {}
    for key, targets in attestations(lab).items():
        last = max(before[key])
        found[key[:10]] = max(targets) - last - sum(target > last for target in targets)
    say(f"FIGURE {what}: epochs missed by key {found}")
    return found


def an_epoch_passes(lab: Lab) -> None:
    """What is going to be missed has been missed."""
    lab.all_sign_on(seconds=6 * EPOCH)
    time.sleep(2 * EPOCH)


def test_a_site_gets_a_second_beacon_node(lab: Lab, one: tuple[str, ...], two: tuple[str, ...]) -> None:
    """It is proved before any client is given it; the first keeps its pod, and each client moves once."""
    lab.play("site.yml", *one, timeout=3600)
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=120)
    beacon, clients = identities(lab, "beacon"), identities(lab, "validator")
    before = attestations(lab)
    lab.play("site.yml", *two, timeout=3600)
    an_epoch_passes(lab)
    missed(lab, before, "a second beacon node")
    after = identities(lab, "beacon")
    assert sorted(after) == ["beacon-0", "beacon-2-0"] and after["beacon-0"] == beacon["beacon-0"]
    moved = identities(lab, "validator")
    assert sorted(moved) == sorted(clients) and not set(moved.values()) & set(clients.values())
    assert sorted(nodes(lab).values()) == ["master", "worker"]


def test_the_second_run_changes_nothing(lab: Lab, two: tuple[str, ...]) -> None:
    assert set(lab.play("site.yml", *two).changed.values()) == {0}


def test_both_are_in_the_report(lab: Lab, two: tuple[str, ...], tmp_path: Path) -> None:
    report = tmp_path / "status.json"
    lab.play("playbooks/status.yml", *two, "-e", "status_format=json", "-e", f"status_file={report}")
    beacons = json.loads(report.read_text())["beacons"]
    assert {found["name"]: found["ready"] for found in beacons} == {"beacon": True, "beacon-2": True}


@pytest.mark.parametrize("beacon", BEACONS)
def test_clients_go_on_while_one_is_away(lab: Lab, beacon: str) -> None:
    """Whichever they use: the pod is deleted, and does not come back before the end."""
    before = attestations(lab)
    lab.on("master", f"{KUBECTL} scale statefulset -n prysm {beacon} --replicas=0")
    time.sleep(4 * EPOCH)
    lab.all_sign_on(seconds=6 * EPOCH)
    found = missed(lab, before, f"{beacon} away")
    lab.on("master", f"{KUBECTL} scale statefulset -n prysm {beacon} --replicas=1")
    lab.wait("both are Ready", lambda: all(nodes(lab).get(name) for name in BEACONS), seconds=180)
    assert max(found.values()) <= 1


def test_a_node_with_one_is_emptied(lab: Lab, two: tuple[str, ...]) -> None:
    """No node takes it: it waits until the node is back, and that is no fault."""
    before = attestations(lab)
    away = next(name for name, node in nodes(lab).items() if node == "worker")
    done = lab.play("playbooks/drain.yml", *two, "-e", "node=worker")
    an_epoch_passes(lab)
    missed(lab, before, "drain")
    assert f"{away} waits for a node of its own" in done.said
    assert nodes(lab)[away] == ""
    assert set(lab.play("site.yml", *two).changed.values()) == {0}
    lab.play("playbooks/drain.yml", *two, "-e", "node=worker", "-e", "node_state=uncordoned")
    lab.wait("both are Ready", lambda: all(nodes(lab).values()), seconds=180)


def test_an_upgrade_restarts_one_at_a_time(lab: Lab, two: tuple[str, ...]) -> None:
    before = attestations(lab)
    lab.play("upgrade.yml", *two, "-e", "prysm_version=v1.3.4", timeout=3600)
    an_epoch_passes(lab)
    missed(lab, before, "upgrade")
    assert all("v1.3.4" in pod["spec"]["containers"][0]["image"] for pod in pods(lab, "beacon").values())
    assert sorted(nodes(lab).values()) == ["master", "worker"]


def test_back_to_one(lab: Lab, one: tuple[str, ...]) -> None:
    lab.play("site.yml", *one, "-e", "prysm_version=v1.3.4", timeout=3600)
    assert list(pods(lab, "beacon")) == ["beacon-0"]
    lab.all_sign_on(seconds=6 * EPOCH)


def test_no_key_signed_twice(lab: Lab) -> None:
    assert lab.judge()["offences"] == []
