"""Which faults a missed duty is put down to."""

from __future__ import annotations

from pathlib import Path

from lab import missed
from lab.missed import Event


def event(at: float, name: str, *words: str) -> Event:
    return Event(at, name, words)


def test_a_fault_counts_while_it_lasts_and_for_a_while_after() -> None:
    events = [event(10, "power-cut", "worker"), event(50, "power-on", "worker")]
    for at, wanted in (
        (9, missed.NO_FAULT),
        (10, "power-cut worker"),
        (110, "power-cut worker"),
        (111, missed.NO_FAULT),
    ):
        assert missed.causes(at, events) == [wanted], at


def test_one_that_nothing_ends_goes_on() -> None:
    assert missed.causes(9000, [event(10, "cable-out", "master")]) == ["cable-out master"]
    assert missed.causes(9000, [event(10, "cable-out", "master"), event(20, "cable-in", "worker")]) == [
        "cable-out master"
    ]


def test_one_that_lasts_no_time_counts_for_a_while() -> None:
    events = [event(10, "nfs-restart", "nfs")]
    assert missed.causes(60, events) == ["nfs-restart nfs"]
    assert missed.causes(90, events) == [missed.NO_FAULT]


def test_one_that_has_ended_does_not_end_again() -> None:
    events = [event(10, "mute", "nfs"), event(20, "heal", "nfs"), event(100, "heal", "nfs")]
    assert missed.causes(110, events) == [missed.NO_FAULT]


def test_one_that_comes_again_has_not_ended() -> None:
    events = [event(10, "freeze", "nfs"), event(20, "thaw", "nfs"), event(30, "freeze", "nfs")]
    assert missed.causes(500, events) == ["freeze nfs"]


def test_several_machines_of_a_partition_are_healed_one_by_one() -> None:
    events = [event(10, "partition", "master", "worker"), event(20, "heal", "master")]
    assert missed.causes(500, events) == ["partition master worker"]
    assert missed.causes(500, [*events, event(30, "heal", "worker")]) == [missed.NO_FAULT]


def test_what_was_written_down_is_read_again(tmp_path: Path) -> None:
    path, events = tmp_path / "faults.jsonl", [event(10, "block", "master", "nfs"), event(20.5, "heal", "master")]
    assert missed.read(path) == []
    for one in events:
        missed.note(path, one)
    assert missed.read(path) == events


def test_misses_are_counted_by_key_with_what_was_in_play() -> None:
    events = [event(10, "freeze", "nfs"), event(12, "mute", "worker"), event(20, "thaw", "nfs")]
    misses = [
        {"key": "0xa", "kind": "attestation", "at": 11, "slot": 1},
        {"key": "0xa", "kind": "block", "at": 15, "slot": 2},
        {"key": "0xb", "kind": "attestation", "at": 5, "slot": 0},
    ]
    assert missed.by_key(misses, events) == {
        "0xa": {"attestation": 1, "block": 1, "causes": {"freeze nfs": 2, "mute worker": 1}},
        "0xb": {"attestation": 1, "block": 0, "causes": {missed.NO_FAULT: 1}},
    }
