"""A site with a standby through its life: each operation on two pods a client, and the site as it was after it.

Each step prints which duties it cost; pytest shows that of a step which fails, and with -s all of it.
"""

from __future__ import annotations

import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .conftest import KEYSTORES, Inventory, Lab, moved_validators, validators
from .standby import CLIENTS, PINNED, all_on, pairs, pods

pytestmark = pytest.mark.by_hand
KEY = "0x" + yaml.safe_load(KEYSTORES[1].read_text())["pubkey"]
MOVE = ("playbooks/move_key.yml", "-e", f"move_key={KEY}")


def inventory(folder: Path, entries: list[dict[str, t.Any]]) -> tuple[str, ...]:
    return Inventory(folder / "inventory", entries, prysm_standby=True, prysm_helm_values=PINNED).words


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return inventory(tmp_path_factory.mktemp("site"), validators())


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return inventory(tmp_path_factory.mktemp("moved"), moved_validators())


def two_each(lab: Lab, version: str) -> None:
    """Of each client one pod signs, and one waits on another node."""
    lab.wait("of each client one pod signs and one waits", lambda: set(pairs(lab)) == set(CLIENTS), seconds=180)
    assert {pod.version for pod in pods(lab)} == {version}


@pytest.fixture
def cost(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Print which duties a chapter has cost."""
    slot = lab.chain("/head")["slot"]
    yield
    said = lab.command("missed", "--since", str(slot)).stdout
    print(f"{time.strftime('%H:%M:%S')} FIGURE {request.node.name}\n{said}", flush=True)


def bring_to_worker(lab: Lab) -> None:
    lab.wait("both clients sign on worker", lambda: all_on(lab, "worker"), seconds=180)
    lab.all_sign_on(seconds=120)


def unchanged(lab: Lab, site: tuple[str, ...], *more: str) -> None:
    done = lab.play("site.yml", *site, *more)
    assert set(done.changed.values()) == {0}, done.output[-4000:]
    report = lab.play("playbooks/status.yml", *site, *more)
    assert report.said.count("standby on") == len(CLIENTS), report.output[-4000:]


def test_the_site_is_built(lab: Lab, site: tuple[str, ...]) -> None:
    lab.play("site.yml", *site, timeout=3600)
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=120)
    two_each(lab, "v1.3.3")


def test_a_key_is_moved_and_comes_back(lab: Lab, site: tuple[str, ...], moved: tuple[str, ...], cost: None) -> None:
    for words, here, there in ((moved, *CLIENTS), (site, *reversed(CLIENTS))):
        lab.play(*MOVE, "-e", f"move_from={here}", "-e", f"move_to={there}", *words, timeout=3600)
        lab.all_sign_on(seconds=180)
        two_each(lab, "v1.3.3")
        unchanged(lab, words)


def test_a_rollback_over_the_layout_and_the_way_back(lab: Lab, site: tuple[str, ...], cost: None) -> None:
    older = ("-e", "prysm_version=v1.2.2")
    lab.play("playbooks/rollback.yml", *site, *older, timeout=3600)
    lab.all_sign_on(seconds=180)
    two_each(lab, "v1.2.2")
    unchanged(lab, site, *older)
    lab.play("upgrade.yml", *site, "-e", "prysm_version=v1.3.3", timeout=3600)
    lab.all_sign_on(seconds=180)
    two_each(lab, "v1.3.3")
    unchanged(lab, site)


def test_a_node_without_power_is_taken_out_after_its_standby_signs(lab: Lab, site: tuple[str, ...], cost: None) -> None:
    bring_to_worker(lab)
    lab.fault("power-cut", "worker")
    lab.all_sign_on(seconds=120)
    lab.play("playbooks/failover.yml", *site, "-e", "node=worker")
    lab.all_sign_on(seconds=120)
    assert lab.cordoned() == {"worker"}
    assert {pod.node for pod in pods(lab) if pod.started} == {"master"}
    assert set(lab.play("playbooks/failover.yml", *site, "-e", "node=worker").changed.values()) == {0}
    lab.power_on("worker")
    lab.wait("worker is Ready", lambda: lab.nodes_ready()["worker"], seconds=180)
    lab.play("playbooks/rejoin.yml", *site, "-e", "node=worker")
    two_each(lab, "v1.3.3")
    unchanged(lab, site)


def test_a_node_leaves_and_comes_back(lab: Lab, site: tuple[str, ...], cost: None) -> None:
    bring_to_worker(lab)
    lab.play("playbooks/leave_node.yml", *site, "-e", "leave_node=worker", timeout=3600)
    lab.all_sign_on(seconds=180)
    assert sum(pod.started for pod in pods(lab)) == len(CLIENTS)
    lab.play("site.yml", *site, timeout=3600)
    two_each(lab, "v1.3.3")
    unchanged(lab, site)


def test_a_client_that_is_stopped_by_uninstall_comes_back(lab: Lab, site: tuple[str, ...]) -> None:
    lab.play("playbooks/uninstall.yml", *site, "-e", "prysm_uninstall=eth2prysm")
    lab.wait("no pod is left", lambda: not pods(lab), seconds=60)
    lab.play("site.yml", *site, timeout=3600)
    lab.all_sign_on(seconds=180)
    two_each(lab, "v1.3.3")
    unchanged(lab, site)
