"""A key moves with its history, whatever cuts the move off, and no secret is anywhere on the way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import KEYSTORES, Inventory, Lab, history, killed_when, moved_validators, records
from .secret_search import OUTPUTS, assert_no_secret, log, play, vault

__all__ = ["log", "vault"]

PUBKEYS = ["0x" + json.loads(path.read_text())["pubkey"] for path in KEYSTORES]
MOVED = PUBKEYS[1]
MOVE = ("playbooks/move_key.yml", "-e", f"move_key={MOVED}", "-e", "move_from=validator1", "-e", "move_to=validator2")


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """The keystore stands under the other client, with the password it has."""
    return Inventory(tmp_path_factory.mktemp("moved") / "inventory", moved_validators())


def metrics_keys(lab: Lab, client: str) -> set[str]:
    """The keys a running client says it has."""
    path = f"/api/v1/namespaces/prysm/pods/{client}-0:8081/proxy/metrics"
    text = lab.on("master", f"/snap/bin/microk8s kubectl get --raw {path}")
    return {key for key in PUBKEYS if re.search(rf"^validator_statuses\{{[^}}]*{key}", text, re.M)}


def killed_at(task: str, *words: str) -> bool:
    """Run a playbook and kill it in a task; whether it came there."""
    came, output = killed_when(lambda line: line.startswith("TASK [") and task in line, 1.5, *words)
    OUTPUTS.append(output)
    return came


def leftovers(lab: Lab) -> str:
    """What a move keeps in the data directories while it is not done."""
    return lab.on(
        "nfs", "ls -A /data/prysm/validator1 /data/prysm/validator2 | grep -e hold -e '[.]move' -e replacing || true"
    )


def test_the_site_is_built(lab: Lab) -> None:
    play(lab, "site.yml")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)


def test_a_move_that_the_inventory_does_not_want_is_refused(lab: Lab) -> None:
    done = play(lab, *MOVE, check=False)
    assert done.failed
    assert f"First move the keystore of {MOVED} in the inventory" in done.output
    lab.all_sign_on()


def give_up(lab: Lab, moved: Inventory, task: str) -> None:
    """A move that is cut off in a task, before the key has left its wallet: both clients go on as they were."""
    assert killed_at(task, *MOVE, *moved.words), f"the move never came to {task!r}"
    done = play(lab, "site.yml", check=False)
    assert done.failed
    assert "move_abort=true" in done.output
    play(lab, *MOVE, "-e", "move_abort=true")
    assert metrics_keys(lab, "validator1") == set(PUBKEYS[:2])
    lab.all_sign_on(seconds=120)
    assert leftovers(lab) == ""


def test_a_move_that_was_begun_is_given_up(lab: Lab, moved: Inventory) -> None:
    give_up(lab, moved, "Wait for it to end")


@pytest.mark.by_hand
@pytest.mark.parametrize("task", ["Put both clients on hold", "Take its database on record"])
def test_wherever_it_was_cut_off_it_is_given_up(lab: Lab, moved: Inventory, task: str) -> None:
    give_up(lab, moved, task)
    assert set(play(lab, *MOVE, "-e", "move_abort=true").changed.values()) == {0}
    assert set(play(lab, "site.yml").changed.values()) == {0}


def cut_off(lab: Lab, moved: Inventory, task: str) -> None:
    """Killed in a task; between two attempts, the two clients stay silent or sign what is theirs."""
    assert killed_at(task, *MOVE, *moved.words), f"the move never came to {task!r}"
    lab.on("nfs", "sleep 8")
    assert lab.judge()["offences"] == []
    holders = [lab.on("nfs", f"grep -c {MOVED} /data/prysm/wallet-{name}/key-manifest.json || true")
               for name in ("validator1", "validator2")]  # fmt: skip
    assert holders.count("0") >= 1


@pytest.mark.by_hand
@pytest.mark.parametrize("task", ["Wait for it to end", "Put the copy in the place of the database"])
def test_a_move_that_is_cut_off_early_signs_nothing_twice(lab: Lab, moved: Inventory, task: str) -> None:
    cut_off(lab, moved, task)


@pytest.mark.parametrize("task", ["Take the key out of its wallet", "Import the keys of every client"])
def test_a_move_that_is_cut_off_signs_nothing_twice(lab: Lab, moved: Inventory, task: str) -> None:
    """Where it hurts: around the moment at which the key is in no wallet."""
    cut_off(lab, moved, task)


@pytest.mark.by_hand
def test_a_move_that_is_cut_off_at_its_end_signs_nothing_twice(lab: Lab, moved: Inventory) -> None:
    cut_off(lab, moved, "Lift the hold of validator2")


def not_given_up(lab: Lab, moved: Inventory) -> None:
    done = play(lab, *MOVE, *moved.words, "-e", "move_abort=true", check=False)
    assert done.failed
    assert "Run the command without move_abort to finish the move" in done.output


def test_a_move_whose_key_has_left_is_not_given_up(lab: Lab, moved: Inventory) -> None:
    not_given_up(lab, moved)


def test_run_again_the_move_finishes(lab: Lab, moved: Inventory) -> None:
    play(lab, *MOVE, *moved.words)
    assert metrics_keys(lab, "validator1") == {PUBKEYS[0]}
    assert metrics_keys(lab, "validator2") == {MOVED, *PUBKEYS[2:]}
    lab.all_sign_on(seconds=120)
    missing = records(history(lab, "validator1", MOVED)) - records(history(lab, "validator2", MOVED))
    assert missing == set()
    assert history(lab, "validator1", MOVED)["attestations"], "it had a history to bring along"
    assert leftovers(lab) == ""


def test_a_move_that_was_made_is_not_given_up(lab: Lab, moved: Inventory) -> None:
    """No client is on hold for it any more. Who reads that all is well would think that it was undone."""
    not_given_up(lab, moved)


def test_a_second_time_it_changes_nothing(lab: Lab, moved: Inventory) -> None:
    assert set(play(lab, *MOVE, *moved.words).changed.values()) == {0}


def test_the_site_agrees_with_the_inventory_that_was_moved(lab: Lab, moved: Inventory) -> None:
    assert set(play(lab, "site.yml", *moved.words).changed.values()) == {0}


def test_the_site_refuses_the_inventory_of_before(lab: Lab) -> None:
    """Who forgets to keep the edit does not get the key back by accident."""
    done = play(lab, "site.yml", "--tags", "prysm_wallet", check=False)
    assert done.failed
    assert f"{MOVED} belongs to 2 clients" in done.output
    assert "is with validator1, which it has left" in done.output


def test_no_secret_is_in_any_output_log_or_file(lab: Lab, vault: dict[str, str], log: Path) -> None:
    assert_no_secret(lab, vault, log)
