from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError
from tests.unit.plugins.keys_support import PAGE, BoltWriter, flipped, heavy

TREES = st.recursive(
    st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=50), max_size=8),
    lambda inner: st.dictionaries(st.binary(min_size=1, max_size=20), st.one_of(st.binary(max_size=300), inner)),
    max_leaves=10,
)
SETTINGS = settings(
    max_examples=2000 if heavy() else 30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SAMPLE = {
    b"a": {number.to_bytes(8, "big"): bytes(32) for number in range(400)},
    b"b": {b"c": {b"d": b"e"}},
    b"big": {b"x": bytes(9000)},
}


def read(path: Path, data: bytes) -> t.Any:
    path.write_bytes(data)
    return _boltdb.read(str(path), attempts=2, pause=0)


@SETTINGS
@given(tree=TREES)
def test_reads_back_any_tree(tmp_path: Path, tree: t.Any) -> None:
    # The root holds buckets only.
    tree = {key: value for key, value in tree.items() if isinstance(value, dict)}
    assert read(tmp_path / "db", BoltWriter().dump(tree)) == tree


def test_reads_branches_overflow_pages_and_nested_buckets(tmp_path: Path) -> None:
    writer = BoltWriter(fill=200)
    tree = {**SAMPLE, b"many": {b"%06d" % i: b"v%d" % i for i in range(5000)}}
    assert read(tmp_path / "db", writer.dump(tree)) == tree
    assert len(writer.pages) > 500


@SETTINGS
@given(
    changes=st.lists(st.tuples(st.integers(0, 16 * PAGE), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 16 * PAGE),
)
def test_damage_never_hangs_or_crashes(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    damaged = flipped(BoltWriter().dump(SAMPLE), changes)
    if cut % 2:
        damaged = damaged[:cut]
    try:
        read(tmp_path / "db", damaged)
    except UnreadableError as exc:
        assert str(exc).startswith(str(tmp_path / "db") + ": ")


@pytest.mark.thorough
def test_every_possible_cut_is_refused(tmp_path: Path) -> None:
    whole = BoltWriter().dump(SAMPLE)
    for size in [*range(0, 300, 7), *range(300, len(whole), 501), len(whole) - 1]:
        with pytest.raises(UnreadableError):
            read(tmp_path / "db", whole[:size])


OLD = BoltWriter(txid=8).dump({b"old": {b"a": b"1"}})


@pytest.mark.parametrize("at", [0, 8, 16, 20, 24, 32, 40, 48, 56, 64, 65, 72, 79])
@pytest.mark.parametrize("value", [0x00, 0x07, 0xFF])
def test_the_newer_description_is_never_the_damaged_one(tmp_path: Path, at: int, value: int) -> None:
    """bbolt would go on from the older state, without a word."""
    damaged = flipped(OLD, [(at, value)])
    if damaged == OLD:
        return
    with pytest.raises(_boltdb.BoltError, match=r"it may be the newer one.*transaction 7"):
        read(tmp_path / "db", damaged)
    with pytest.raises(_boltdb.BoltError, match="it may be the newer one"):
        _boltdb.transaction(str(tmp_path / "db"))


def test_a_newer_description_that_says_it_is_the_older_one_is_found_out(tmp_path: Path) -> None:
    assert OLD[64] == 8
    with pytest.raises(_boltdb.BoltError, match="it may be the newer one"):
        read(tmp_path / "db", flipped(OLD, [(64, 6)]))


def test_a_damaged_older_description_costs_nothing_and_is_said(tmp_path: Path) -> None:
    path = tmp_path / "db"
    assert read(path, flipped(OLD, [(PAGE + 72, 7)])) == {b"old": {b"a": b"1"}}
    notes = _boltdb.consistently(str(path), lambda database: (database.buckets(), database.notes)[1])
    assert notes == ["the older of its two descriptions is damaged; transaction 8 was read"]


def test_two_damaged_descriptions_are_no_database(tmp_path: Path) -> None:
    with pytest.raises(_boltdb.BoltError, match="both its descriptions are damaged"):
        read(tmp_path / "db", flipped(OLD, [(76, 7), (PAGE + 76, 7)]))


@pytest.mark.parametrize("txid", [2, 7, 900, 2**40])
def test_the_transaction_is_that_of_the_newest_state(tmp_path: Path, txid: int) -> None:
    (tmp_path / "db").write_bytes(BoltWriter(txid=txid).dump(SAMPLE))
    assert _boltdb.transaction(str(tmp_path / "db")) == txid


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("fewer elements on a leaf", {10: 1}),
        ("no elements on a leaf", {10: 0, 11: 0}),
        ("a key that is shorter", {16 + 8: 1}),
        ("a value that is longer", {16 + 12: 0xFF}),
    ],
)
def test_damaged_counters_are_not_read_as_less(tmp_path: Path, what: str, changes: dict[int, int]) -> None:
    data = BoltWriter(fill=PAGE - 100).dump({b"many": {b"%06d" % i: b"value" for i in range(900)}})
    # Without the last, which is the root: a database may be empty.
    pages = [i for i in range(3, len(data) // PAGE) if data[i * PAGE + 8] in (1, 2)][:-1]
    assert len(pages) > 4
    for page in pages:
        damaged = flipped(data, [(page * PAGE + at, value) for at, value in changes.items()])
        with pytest.raises(_boltdb.BoltError):
            read(tmp_path / "db", damaged)


def with_freelist(data: bytes, *numbers: int) -> bytes:
    page = bytearray(data[2 * PAGE : 3 * PAGE])
    page[10:12] = len(numbers).to_bytes(2, "little")
    page[16 : 16 + 8 * len(numbers)] = b"".join(number.to_bytes(8, "little") for number in numbers)
    return data[: 2 * PAGE] + bytes(page) + data[3 * PAGE :]


def test_a_page_that_is_used_and_free_is_refused(tmp_path: Path) -> None:
    data = BoltWriter().dump(SAMPLE)
    with pytest.raises(_boltdb.BoltError, match="lists pages as free that it uses"):
        read(tmp_path / "db", with_freelist(data, 3))
    with pytest.raises(_boltdb.BoltError, match="runs over its page"):
        read(tmp_path / "db", flipped(data, [(2 * PAGE + 10, 0xFE), (2 * PAGE + 11, 0xFF)]))


def test_a_page_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    writer = BoltWriter(fill=200)
    data = writer.dump({b"many": {b"%06d" % i: b"v" for i in range(500)}})
    branch = next(i for i in range(3, len(data) // PAGE) if data[i * PAGE + 8] == 1)
    first_child = branch * PAGE + 16 + 8
    looped = data[:first_child] + branch.to_bytes(8, "little") + data[first_child + 8 :]
    with pytest.raises(_boltdb.BoltError, match="is used twice"):
        read(tmp_path / "db", looped)


@pytest.mark.parametrize("content", [b"", b"not a database", bytes(100_000), b'{"metadata": {}}'])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(_boltdb.BoltError, match="is not a bbolt database"):
        read(tmp_path / "db", content)


def test_a_database_that_is_written_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer commits, and then overwrites pages of the state that was being read."""
    path = tmp_path / "db"
    old, new = BoltWriter(txid=6).dump(SAMPLE), BoltWriter(txid=8).dump({b"n": {b"a": b"b"}, **SAMPLE})
    path.write_bytes(old)
    real, calls = os.pread, 0

    def pread(fd: int, length: int, offset: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 5:
            path.write_bytes(bytes(2 * PAGE) + b"\xff" * (len(old) - 2 * PAGE))
            with path.open("r+b") as file:
                file.write(new)
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    assert _boltdb.read(str(path), pause=0) == {b"n": {b"a": b"b"}, **SAMPLE}


def test_a_database_that_is_always_being_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "db"
    path.write_bytes(BoltWriter(txid=2).dump(SAMPLE))
    real, txid = os.pread, 2

    def pread(fd: int, length: int, offset: int) -> bytes:
        nonlocal txid
        if offset == 0:
            txid += 2
            path.write_bytes(BoltWriter(txid=txid).dump(SAMPLE))
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(_boltdb.BoltError, match="was written to during each of 3 attempts"):
        _boltdb.read(str(path), attempts=3, pause=0)


def test_a_database_that_is_written_to_all_the_time_is_copied_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading takes longer than its owner rests; copying does not."""
    path = tmp_path / "db"
    path.write_bytes(BoltWriter(txid=2).dump(SAMPLE))
    txid = 2

    def work(database: _boltdb.Database) -> tuple[int, t.Any]:
        nonlocal txid
        found = {name: tree.whole() for name, tree in database.buckets().items()}
        txid += 2
        path.write_bytes(BoltWriter(txid=txid).dump(SAMPLE))
        return database.meta.txid, found

    number, found = _boltdb.consistently(str(path), work, pause=0)
    assert number == 2 + 2 * _boltdb._DIRECT and found == SAMPLE


def test_damage_in_a_copy_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "db"
    txid = 2

    def work(database: _boltdb.Database) -> None:
        nonlocal txid
        txid += 2
        path.write_bytes(BoltWriter(txid=txid).dump(SAMPLE))
        raise _boltdb.BoltError("x", "is damaged")

    path.write_bytes(BoltWriter(txid=txid).dump(SAMPLE))
    with pytest.raises(_boltdb.BoltError, match="is damaged"):
        _boltdb.consistently(str(path), work, pause=0)
    assert txid == 2 + 2 * (_boltdb._DIRECT + 1)
