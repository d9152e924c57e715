"""What to run for a client that is on hold: every text that a role writes leads to its command."""

from __future__ import annotations

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._holds import advice, move_state
from tests.unit.plugins.keys_support import PUBKEYS
from tests.unit.roles.test_host_roles import evaluate


def test_a_move_is_finished_by_its_own_command() -> None:
    given = {"prysm_wallet_move_key": PUBKEYS[0], "prysm_wallet_move_from": "a", "prysm_wallet_move_to": "b"}
    text = evaluate("prysm_wallet", "__prysm_wallet_move_note", **given)
    command = f"playbooks/move_key.yml -e move_key={PUBKEYS[0]} -e move_from=a -e move_to=b"
    assert advice(text) == f"To finish the move: {command}. To give it up: the same with -e move_abort=true."


def test_a_hold_of_the_site_is_taken_away_by_the_site() -> None:
    assert advice(evaluate("prysm_helm", "__prysm_helm_activity_note")).startswith("Run site.yml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rollback to v1.2.2\n20261130T060000Z\n", "playbooks/rollback.yml -e prysm_version=v1.2.2"),
        ("history: validator.db is gone\n", "Restore the newest validator.db"),
        ("maintenance until Monday", "remove the file"),
        ("move of my things", "remove the file"),
        ("", "remove the file"),
    ],
)
def test_others_by_what_they_say(text: str, words: str) -> None:
    assert words in advice(text)


@pytest.mark.parametrize(
    ("source", "target", "holds", "abort", "state"),
    [
        ("kept key", "other", [], False, "begin"),
        ("kept", "other key", [], False, "done"),
        # Both have it, or neither: no end of a move looks like that.
        ("kept key", "other key", [], False, "begin"),
        ("kept", "other", [], False, "begin"),
        ("kept", "other", ["move of ..."], False, "begun"),
        ("kept", "other key", ["something else"], True, "begun"),
        ("kept key", "other", [], True, "done"),
    ],
)
def test_how_far_a_move_has_come(source: str, target: str, holds: list[str], abort: bool, state: str) -> None:
    assert move_state({"a": source.split(), "b": target.split()}, "key", "a", "b", holds, abort) == state
