"""The newcomer's path: the site is set up before its deposits are seen, and begins by itself when they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import KEYSTORES, Lab

pytestmark = pytest.mark.by_hand
KEYS = ["0x" + json.loads(path.read_text())["pubkey"] for path in KEYSTORES]


def say(lab: Lab, folder: Path, **statuses: str) -> None:
    """The chain has this to say of each key from now on."""
    file = folder / "statuses.json"
    file.write_text(json.dumps(statuses))
    lab.chain("/validators", str(file))


def pods(lab: Lab) -> dict[str, tuple[str, int]]:
    """Pod -> its identity, and how often its containers have restarted."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(container["restartCount"] for container in pod["status"].get("containerStatuses", [])),
        )
        for pod in lab.kubectl("get pods -n prysm")["items"]
    }


def test_a_site_whose_deposits_nobody_has_seen_ends_well(lab: Lab, tmp_path: Path) -> None:
    say(lab, tmp_path, **dict.fromkeys(KEYS[:2], "unknown"), **dict.fromkeys(KEYS[2:], "pending"))
    done = lab.play("site.yml", timeout=3600)
    assert "No duties yet, which is no fault, and no restart is needed when they come" in done.said
    for key in KEYS:
        assert key in done.said.lower()
    assert lab.attested() == {}


def test_the_status_names_the_keys_that_wait(lab: Lab) -> None:
    said = lab.play("playbooks/status.yml").said.lower()
    assert "pending" in said
    for key in KEYS:
        assert key[:10] in said


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    assert set(lab.play("site.yml").changed.values()) == {0}


def test_keys_that_become_active_sign_without_a_restart(lab: Lab, tmp_path: Path) -> None:
    before = pods(lab)
    say(lab, tmp_path, **dict.fromkeys(KEYS[1:], "active"))
    lab.wait("three keys attest", lambda: sorted(lab.attested()) == sorted(KEYS[1:]), seconds=180)
    say(lab, tmp_path, **{KEYS[0]: "active"})
    lab.wait("all keys attest", lambda: sorted(lab.attested()) == sorted(KEYS), seconds=180)
    assert pods(lab) == before


def test_a_key_that_has_signed_and_waits_now_is_no_newcomer(lab: Lab, tmp_path: Path) -> None:
    """Either the beacon node follows another chain, or the key has left: the proof of duties says so."""
    lab.play("site.yml")
    say(lab, tmp_path, **{KEYS[0]: "pending"})
    done = lab.play("site.yml", "-e", "prysm_helm_duties_timeout=60", check=False)
    assert done.failed
    assert KEYS[0] in done.said.lower()
    say(lab, tmp_path, **{KEYS[0]: "active"})
    lab.all_sign_on(seconds=120)
