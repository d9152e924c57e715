"""Comparing key by key says exactly what comparing whole histories in memory says."""

from __future__ import annotations

import random
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, as_json
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _compare, _history, _protection, _record
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import History, KeyHistory
from tests.unit.plugins.keys_support import (
    PUBKEYS,
    ROOT_A,
    ROOT_B,
    BoltWriter,
    heavy,
    interchange,
    prysm_tree,
    write_database,
)

R = [bytes([n]) * 32 for n in range(1, 4)]
FORMS = ["database", "directory", "interchange", "twice", "record"]


def a_history(rng: random.Random) -> dict[str, t.Any]:
    keys = {}
    for key in rng.sample(PUBKEYS, rng.randint(1, 6)):
        votes = {target: (rng.randint(0, target), target, rng.choice(R)) for target in rng.sample(range(40), 6)}
        blocks = {slot: (slot, rng.choice(R)) for slot in rng.sample(range(60), rng.randint(0, 5))}
        keys[key] = (sorted(blocks.values()), sorted(votes.values()))
    return keys


def write(form: str, keys: dict[str, t.Any], directory: Path, root: str = ROOT_A) -> Path:
    directory.mkdir()
    if form in ("database", "directory"):
        path = write_database(directory, keys, root)
        return path if form == "database" else directory
    path = directory / "file.json"
    document = interchange(keys, root)
    if form == "twice":
        # The same key in two entries, in any order.
        document["data"] = [
            {**entry, "signed_attestations": entry["signed_attestations"][part::2]}
            for entry in reversed(document["data"])
            for part in (0, 1)
        ]
    if form == "record":
        marks = {key: _record.Key(*_summary(*records)) for key, records in keys.items()}
        path.write_bytes(_record.render_record(_record.Record(root, marks)))
    else:
        path.write_bytes(as_json(document))
    return path


def _summary(blocks: t.Any, votes: t.Any) -> tuple[int | None, int | None, int | None]:
    return (
        max((b[0] for b in blocks), default=None),
        max((v[0] for v in votes), default=None),
        max((v[1] for v in votes), default=None),
    )


def in_memory(have: History, want: History) -> dict[str, list[str]]:
    found = {}
    for key, wanted in want.keys.items():
        short = _history.lacking(have.keys.get(key, KeyHistory()), wanted)
        if short:
            found[key] = short
    return found


@pytest.mark.parametrize("want_form", FORMS)
@pytest.mark.parametrize("have_form", FORMS)
def test_the_same_as_in_memory(tmp_path: Path, have_form: str, want_form: str) -> None:
    rng = random.Random(f"{have_form} {want_form}")
    for number in range(200 if heavy() else 8):
        want_keys = a_history(rng)
        have_keys = dict(want_keys) if rng.random() < 0.3 else a_history(rng)
        if rng.random() < 0.5:
            have_keys.update(want_keys)
        have = write(have_form, have_keys, tmp_path / f"have-{number}")
        want = write(want_form, want_keys, tmp_path / f"want-{number}")
        expected = in_memory(_record.read_history(str(have))[0], _record.read_history(str(want))[0])
        found = _compare.compare(str(have), str(want))
        assert (found.lacking, found.keys) == (expected, len(want_keys))


@pytest.mark.parametrize("form", FORMS)
def test_a_summary_is_the_same_as_in_memory(tmp_path: Path, form: str) -> None:
    path = write(form, a_history(random.Random(form)), tmp_path / "data")
    summary, place = _compare.summarised(str(path))
    history, other = _record.read_history(str(path))
    assert sorted(summary.findings) == sorted(history.findings)
    assert (summary._replace(findings=()), place) == (history.summary()._replace(findings=()), other)


def test_another_network_is_no_comparison(tmp_path: Path) -> None:
    keys = {PUBKEYS[0]: ([], [(1, 2, R[0])])}
    one, other = write("database", keys, tmp_path / "a"), write("database", keys, tmp_path / "b", ROOT_B)
    with pytest.raises(StakingError, match=f"belongs to network {ROOT_A}, .* to {ROOT_B}"):
        _compare.compare(str(one), str(other))


def test_damage_behind_the_last_wanted_key_is_found(tmp_path: Path) -> None:
    tree = prysm_tree({key: ([], [(1, 2, R[0])]) for key in PUBKEYS})
    last = max(tree[b"pubkeys-bucket"])
    tree[b"pubkeys-bucket"][last] = {}
    have = tmp_path / "validator.db"
    have.write_bytes(BoltWriter().dump(tree))
    want = write("interchange", {min(PUBKEYS): ([], [(1, 2, R[0])])}, tmp_path / "want")
    with pytest.raises(StakingError, match="none of its votes"):
        _compare.compare(str(have), str(want))


def test_what_only_one_index_knows_is_said(tmp_path: Path) -> None:
    """Our reader counts the vote, Prysm would not."""
    tree = prysm_tree({PUBKEYS[0]: ([], [(1, 2, R[0]), (2, 3, R[0])])})
    bucket = tree[b"pubkeys-bucket"][bytes.fromhex(PUBKEYS[0][2:])][b"att-target-epochs-bucket"]
    del bucket[max(bucket)]
    have = tmp_path / "validator.db"
    have.write_bytes(BoltWriter().dump(tree))
    found = _compare.compare(str(have), str(have))
    assert not found.lacking and len(found.findings) == 1


def test_merged_floors_are_the_lowest() -> None:
    """Nothing between 10 and 100 is forbidden by a client that is given both."""
    parts = [
        History(None, {PUBKEYS[0]: _history.key_history([_history.pack_block(slot, None)], [])}) for slot in (10, 100)
    ]
    merged = _history.merge(parts).keys[PUBKEYS[0]]
    assert (merged.floor_slot, merged.highest_slot) == (10, 100)
    wanted = _history.key_history([_history.pack_block(50, R[0])], [])
    assert _history.lacking(merged, wanted) == ["1 blocks, the first at slot 50"]


def test_reads_each_side_of_a_running_database_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("database", a_history(random.Random(1)), tmp_path / "data")
    real, tries = _protection.Reader.entries, 0

    def entries(reader: _protection.Reader) -> t.Iterator[t.Any]:
        nonlocal tries
        tries += 1
        if tries == 1:
            # Committed meanwhile: what was read may be neither the old state nor the new.
            path.write_bytes(BoltWriter(txid=9).dump(prysm_tree({PUBKEYS[0]: ([], [(5, 6, R[0])])})))
        return real(reader)

    monkeypatch.setattr(_protection.Reader, "entries", entries)
    assert _compare.summarised(str(path))[0].keys[PUBKEYS[0]].watermarks() == (None, 5, 6)
    assert tries == 2
