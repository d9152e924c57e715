"""Machines and processors: where each should run, and processes that are really moved."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import placement
from lab.placement import GAIN, family, pin, place, used_by, used_of

SHARES = st.floats(0, 1, allow_nan=False)


def test_two_busy_machines_do_not_share_one_processor_while_another_is_idle() -> None:
    places = place({1: 0.5, 2: 0.0, 3: 0.5}, {1: 0, 2: 1, 3: 0}, {0: 0.0, 1: 0.0})
    assert places[1] != places[3]


def test_nobody_is_moved_for_nothing() -> None:
    """Three busy machines on two processors: one pair shares, whichever."""
    where = {1: 0, 2: 1, 3: 0}
    assert place({1: 0.5, 2: 1.0, 3: 0.5}, where, {0: 0.0, 1: 0.0}) == where


def test_a_machine_gives_way_to_what_others_do() -> None:
    assert place({1: 0.5}, {1: 0}, {0: 0.5, 1: 0.0}) == {1: 1}


@given(st.lists(st.tuples(SHARES, st.integers(0, 3)), max_size=8), st.lists(SHARES, min_size=4, max_size=4))
def test_a_move_always_empties_the_fullest(machines: list[tuple[float, int]], others: list[float]) -> None:
    loads = {pid: load for pid, (load, _) in enumerate(machines)}
    where = {pid: cpu for pid, (_, cpu) in enumerate(machines)}
    found = place(loads, where, dict(enumerate(others)))

    def fullest(places: dict[int, int]) -> float:
        return max(used + sum(loads[p] for p in loads if places[p] == cpu) for cpu, used in enumerate(others))

    assert set(found) == set(where)
    assert found == where or fullest(found) < fullest(where) - GAIN


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is only one processor here")
def test_a_process_its_children_and_later_ones_are_moved() -> None:
    cpu = max(os.sched_getaffinity(0))
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & read _; sleep 61 & wait"], stdin=subprocess.PIPE)
    try:
        for count in (2, 3):
            while len(family(parent.pid)) < count:
                time.sleep(0.01)
            if count == 2:
                pin(parent.pid, cpu)
            assert [os.sched_getaffinity(pid) for pid in family(parent.pid)] == [{cpu}] * count
            if count == 2:  # only now: the third would come while the two are looked at
                assert parent.stdin is not None
                parent.stdin.write(b"\n")
                parent.stdin.flush()
    finally:
        for pid in reversed(family(parent.pid)):
            os.kill(pid, 9)
        parent.wait()


def test_what_a_process_uses_is_seen() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    cpus = os.sched_getaffinity(0)
    before = used_of(cpus)
    try:
        while used_by(busy.pid) < 0.2:
            time.sleep(0.05)
        after = used_of(cpus)
        assert sum(after.values()) - sum(before.values()) >= 0.1
    finally:
        busy.kill()
        busy.wait()
    assert used_by(busy.pid) == 0


def test_a_machine_that_is_gone_is_forgotten() -> None:
    process = subprocess.Popen(["sleep", "60"])
    watched = placement.Placement(first=0)
    watched.add(process.pid)
    seen = watched._look()
    process.kill()
    process.wait()
    watched._adjust(seen, watched._look())
    assert watched.where == {}


def test_processes_that_end_while_they_are_looked_at_are_no_error() -> None:
    watched = placement.Placement(first=0)
    for _ in range(150):
        process = subprocess.Popen(["sh", "-c", "(true & true & true); exec true"])
        watched.add(process.pid)
        watched._look()
        process.wait()
        watched.add(process.pid)
    watched._adjust(watched._look(), watched._look())
    assert watched.where == {}
