"""Damage never reads as less: whatever happens to the bytes of a real database, it is an error, or all is still known.

KEYS_HEAVY=1 tries some ten thousand changes.
"""

from __future__ import annotations

import os
import random
import tracemalloc
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _history, _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import Marks, Summary
from tests.unit.plugins.keys_support import FIXTURES, PAGE, PUBKEYS, heavy, unpack, write_database

#: Without what Prysm has migrated down: it is found fault with as it is, and has its votes once only.
FILES = sorted(
    str(path.relative_to(FIXTURES)) for path in FIXTURES.glob("prysm*/**/*.db.xz") if "migrated-down" not in path.name
)
TRIES = 700 if heavy() else 15


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged description is looked at again: its owner could be writing it."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


def used_pages(path: Path) -> list[int]:
    """Pages of the newest state: what is free does not count."""

    def work(database: _boltdb.Database) -> list[int]:
        for tree in database.buckets().values():
            tree.whole()
        return [0, 1, *(page for page in range(2, database.meta.pages) if database._used[page])]

    return _boltdb.consistently(str(path), work)


def a_bit(rng: random.Random, data: bytearray, pages: list[int]) -> None:
    page = bytes(data[(start := rng.choice(pages) * PAGE) : start + PAGE])
    # Where something is: most of a page is empty.
    at = rng.choice([i for i, byte in enumerate(page) if byte] or [0])
    data[start + at] ^= 1 << rng.randrange(8)


def a_byte(rng: random.Random, data: bytearray, pages: list[int]) -> None:
    data[rng.choice(pages) * PAGE + rng.randrange(600)] = rng.randrange(256)


def zeros(rng: random.Random, data: bytearray, pages: list[int]) -> None:
    start, size = rng.choice(pages) * PAGE + rng.randrange(0, 1024, 8), rng.choice([8, 64, 512])
    data[start : start + size] = bytes(size)


def a_word(rng: random.Random, data: bytearray, pages: list[int]) -> None:
    """A word of one page in the place of another's."""
    one, other = (rng.choice(pages) * PAGE + rng.randrange(0, 512, 8) for _ in range(2))
    data[one : one + 8] = data[other : other + 8]


def a_page(rng: random.Random, data: bytearray, pages: list[int]) -> None:
    one, other = rng.choice(pages) * PAGE, rng.choice(pages) * PAGE
    data[one : one + PAGE] = data[other : other + PAGE]


KINDS = [a_bit, a_byte, zeros, a_word, a_page]


def less(was: Summary, now: Summary) -> list[str]:
    """What is no longer known."""
    found = []
    for key, part in was.keys.items():
        if part.watermarks() != Marks():
            have = now.keys[key].watermarks() if key in now.keys else Marks()
            found += [f"{key[:10]} {reason}" for reason in have.missing(part.watermarks())]
    return found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_damage_never_reads_as_less(tmp_path: Path, name: str, kind: t.Callable[..., None]) -> None:
    path = unpack(name, tmp_path / "validator.db")
    pages = used_pages(path)
    whole, was = path.read_bytes()[: (max(pages) + 64) * PAGE], _protection.read_marks(str(path))
    rng = random.Random(f"{name} {kind.__name__}")
    silent = []
    with path.open("r+b") as file:
        for number in range(TRIES):
            data = bytearray(whole)
            for _ in range(rng.choice([1, 1, 1, 2, 4])):
                kind(rng, data, pages)
            os.pwrite(file.fileno(), data, 0)
            try:
                now = _protection.read_marks(str(path))
            except StakingError as exc:
                assert str(exc).startswith(f"{path}: ")
                continue
            silent += [f"try {number}: {reason}" for reason in less(was, now)]
    assert silent == []


@pytest.mark.parametrize("name", FILES)
def test_no_good_database_is_refused_or_found_fault_with(tmp_path: Path, name: str) -> None:
    summary = _protection.read_marks(str(unpack(name, tmp_path / "validator.db")))
    assert (summary.findings, summary.notes) == ((), ())
    assert summary.keys


def test_every_bit_of_both_meta_pages(tmp_path: Path) -> None:
    path = unpack("prysm-live/altair-v7.1.6.db.xz", tmp_path / "validator.db")
    was = _protection.read_marks(str(path))
    with path.open("r+b") as file:
        for page in (0, 1):
            whole = os.pread(file.fileno(), 80, page * PAGE)
            for bit in range(0, 640, 1 if heavy() else 7):
                data = bytearray(whole)
                data[bit // 8] ^= 1 << bit % 8
                os.pwrite(file.fileno(), data, page * PAGE)
                try:
                    now = _protection.read_marks(str(path))
                except StakingError:
                    continue
                assert now.transaction == was.transaction and less(was, now) == []
            os.pwrite(file.fileno(), whole, page * PAGE)
    assert _protection.read_marks(str(path)) == was


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    """Some kilobytes a key are its summary; its records alone would be 200 times as much."""

    def peak(keys: int, epochs: int) -> int:
        history = {
            "0x" + bytes([n, *range(47)]).hex(): ([], [(e, e + 1, bytes([e % 256] * 32)) for e in range(1, epochs)])
            for n in range(keys)
        }
        path = str(write_database(tmp_path / f"{keys}-{epochs}", history))
        del history
        tracemalloc.start()
        _protection.read_marks(path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(4, 512), peak(64, 512)
    assert many - few < 60 * 6_000
    assert _history.SUMMARY_EPOCHS == 512 and PUBKEYS
