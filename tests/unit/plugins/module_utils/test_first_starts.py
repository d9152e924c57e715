from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _arrivals, _first_starts, _interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._first_starts import Chain, Clock, Start
from ansible_collections.eth2xk8s.staking.plugins.modules import validator_first_starts
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, run_module

A, B, C = PUBKEYS[:3]
WHY = "the disk with it is broken"
CHAIN = Chain({A: "active_ongoing", B: "pending_queued"}, 1000, 50_000, ROOT_A)


def test_what_is_asked_about() -> None:
    starts = {A: Start("pending_queued", 5), B: Start("active_ongoing", 5, WHY, 0, 99)}
    unknown = {"v1": [A, B], "v2": [C], "v3": []}
    assert _first_starts.to_ask(starts, unknown, ["v1"]) == {"v1": [B], "v2": [C]}
    # While a client is stopped its keys can be used elsewhere: what was found out before does not count.
    assert _first_starts.to_ask(starts, unknown, []) == {"v1": [A, B], "v2": [C]}


@pytest.mark.parametrize("status", ["active_ongoing", "active_exiting", "active_slashed"])
def test_an_active_key_needs_a_reason(status: str) -> None:
    chain = CHAIN._replace(statuses={A: status})
    with pytest.raises(StakingError, match=f"1 keys active.*{A}.*slashing_protection.*prysm_no_history_because"):
        _first_starts.answered({}, [A], chain, {}, Clock())
    start = _first_starts.answered({}, [A], chain, {A: WHY}, Clock())[A]
    assert start == Start(status, 1000, WHY, 31, 50_000 + (1000 + 64 + 1) * 12)


@pytest.mark.parametrize(
    "status", ["unknown", "pending_initialized", "pending_queued", "exited_slashed", "withdrawal_done"]
)
def test_any_other_starts_fresh(status: str) -> None:
    starts = _first_starts.answered({}, [A], CHAIN._replace(statuses={A: status}), {}, Clock())
    assert starts == {A: Start(status, 1000)} and _first_starts.waiting(starts, {"v1": [A]}, 0) == {}


def test_a_key_that_was_not_answered_for_counts_as_active() -> None:
    with pytest.raises(StakingError, match="1 keys active"):
        _first_starts.answered({}, [C], CHAIN, {}, Clock())


def test_the_wait_is_as_long_as_its_longest_key_s() -> None:
    starts = {
        A: Start("active_ongoing", 5, WHY, 0, 1000),
        B: Start("active_ongoing", 5, WHY, 0, 1500),
        C: Start("unknown", 5),
    }
    clients = {"v1": [A, B], "v2": [C]}
    assert _first_starts.waiting(starts, clients, 900.5) == {"v1": 600}
    assert _first_starts.waiting(starts, clients, 1500) == {}


def test_the_floor_forbids_everything_up_to_now(tmp_path: Path) -> None:
    starts = _first_starts.answered({}, [A, B], CHAIN, {A: WHY}, Clock())
    data = _first_starts.floor(starts, [A, B], ROOT_A)
    assert data is not None
    (tmp_path / "floor.json").write_bytes(data)
    history = _interchange.read_interchange(str(tmp_path / "floor.json"))
    assert list(history.keys) == [A] and history.keys[A].watermarks() == (1000, 31, 31)
    settled, against = _arrivals.settle([history.keys[A]])
    assert against == [] and (settled.floor_slot, settled.floor_source, settled.floor_target) == (1000, 31, 31)
    assert _first_starts.floor(starts, [B], ROOT_A) is None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    starts = {A: Start("active_ongoing", 5, WHY, 0, 1000), B: Start("unknown", 7)}
    path = tmp_path / ".history/first-starts.json"
    assert _first_starts.read(str(path)) == {}
    assert _first_starts.put(str(path), _first_starts.render(starts))
    assert _first_starts.read(str(path)) == starts and path.stat().st_mode & 0o777 == 0o600
    assert not _first_starts.put(str(path), _first_starts.render(starts))


@pytest.mark.parametrize(
    "content",
    [
        "x",
        "[]",
        '{"version": 2, "keys": {}}',
        '{"version": 1, "keys": []}',
        json.dumps({"version": 1, "keys": {"0x12": {"status": "unknown", "slot": 1}}}),
        json.dumps({"version": 1, "keys": {A: 5}}),
        json.dumps({"version": 1, "keys": {A: {"status": "unknown"}}}),
        json.dumps({"version": 1, "keys": {A: {"status": "unknown", "slot": "1"}}}),
        json.dumps({"version": 1, "keys": {A: {"status": "unknown", "slot": True}}}),
        json.dumps({"version": 1, "keys": {A: {"status": "active_ongoing", "slot": 1, "epoch": 1}}}),
        json.dumps({"version": 1, "keys": {A: {"status": "unknown", "slot": 1, "more": 1}}}),
    ],
)
def test_a_damaged_file_is_a_refusal(tmp_path: Path, content: str) -> None:
    path = tmp_path / "first-starts.json"
    path.write_text(content)
    with pytest.raises(StakingError, match=r"first-starts\.json"):
        _first_starts.read(str(path))


@pytest.mark.parametrize(
    ("because", "words"),
    [
        ({A: WHY}, None),
        ({A.upper().replace("0X", "0x"): WHY}, None),
        ({}, None),
        ([A], "must be a dictionary"),
        (None, "must be a dictionary"),
        ("because", "must be a dictionary"),
        ({A: "yes"}, "say in a few words why"),
        ({A: "lost it"}, "say in a few words why"),
        ({A: True}, "say in a few words why"),
        ({A: ["a", "b", "c"]}, "say in a few words why"),
        ({A[:-1]: WHY}, "is not a 48-byte"),
        ({int(A, 16): WHY}, "write each key in quotes"),
        ({C: WHY}, "is it misspelt"),
        ({A: WHY, A.upper().replace("0X", "0x"): WHY}, "named twice"),
    ],
)
def test_reasons_are_typed(because: t.Any, words: str | None) -> None:
    found = _first_starts.faults(because, {A, B})
    assert len(found) == (0 if words is None else 1) and (words or "") in "".join(found)


# -- the module -------------------------------------------------------------------------------------------------------


def run(tmp_path: Path, check: bool = False, **more: t.Any) -> dict[str, t.Any]:
    params: dict[str, t.Any] = {
        "path": str(tmp_path / ".history/first-starts.json"),
        "clients": {"v1": [A, B], "v2": [C]},
        "unknown": {"v1": [A, B], "v2": []},
        **more,
    }
    return run_module(validator_first_starts, check, **params)


def told(a: str = "active_ongoing") -> dict[str, t.Any]:
    """What validator_activity_info returns, long ago."""
    return {
        "statuses": {A: a, B: "unknown"},
        "active": [],
        "current_slot": 1000,
        "current_epoch": 31,
        "genesis_time": 50_000,
        "genesis_validators_root": ROOT_A,
        "changed": False,
    }


def test_first_it_says_what_to_ask_and_writes_nothing(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result["ask"] == {"v1": [A, B]} and result["wait"] == {} and not result["changed"]
    assert list(tmp_path.iterdir()) == []


def test_an_active_key_is_refused_and_nothing_is_remembered(tmp_path: Path) -> None:
    result = run(tmp_path, chain=told())
    assert result["failed"] and "Slashing risk" in result["msg"] and list(tmp_path.iterdir()) == []
    # Another run asks again: a refusal is no answer.
    assert run(tmp_path)["ask"] == {"v1": [A, B]}


def test_others_start_and_are_not_asked_about_again_while_they_run(tmp_path: Path) -> None:
    result = run(tmp_path, chain=told("pending_queued"))
    assert result["changed"] and result["ask"] == {} and result["floored"] == []
    assert run(tmp_path, running=["v1"])["ask"] == {}
    assert run(tmp_path)["ask"] == {"v1": [A, B]}
    assert not run(tmp_path, running=["v1"], chain=told("active_ongoing"))["changed"]


def test_with_a_reason_a_floor_is_written_and_waited_for(tmp_path: Path) -> None:
    chain = {**told(), "genesis_time": 4_000_000_000}
    result = run(tmp_path, chain=chain, because={A: WHY})
    assert result["changed"] and result["floored"] == ["v1"] and result["wait"]["v1"] > 3600
    floor = _interchange.read_interchange(str(tmp_path / ".history/floor-v1.json"))
    assert list(floor.keys) == [A]
    # The wait is remembered by the runs that follow, whatever they know by then.
    assert run(tmp_path, unknown={})["wait"]["v1"] > 3600
    # Cut off before the floor was imported: asked again, and the reason is needed again.
    assert run(tmp_path, running=["v1"])["ask"] == {"v1": [A]}


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    result = run(tmp_path, check=True, chain=told(), because={A: WHY})
    assert result["changed"] and result["floored"] == ["v1"] and list(tmp_path.iterdir()) == []


def test_a_misspelt_reason_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    assert "misspelt" in run(tmp_path, because={PUBKEYS[3]: WHY})["msg"]
    assert "must be a dictionary" in run(tmp_path, because=[A])["msg"]
    assert "is not what validator_activity_info returns" in run(tmp_path, chain={"statuses": {}})["msg"]
