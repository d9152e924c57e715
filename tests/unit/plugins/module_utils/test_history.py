from __future__ import annotations

import itertools
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _history
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import History, KeyHistory, Marks
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, ROOT_B, heavy

ROOTS = st.sampled_from([None, b"\x01" * 32, b"\x02" * 32])
BLOCKS = st.lists(st.tuples(st.integers(0, 12), ROOTS), max_size=6)
VOTES = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), ROOTS).map(lambda v: (min(v[:2]), max(v[:2]), v[2])), max_size=8
)
SETTINGS = settings(max_examples=3000 if heavy() else 60, deadline=None)


def build(blocks: t.Iterable[t.Any], votes: t.Iterable[t.Any]) -> KeyHistory:
    return _history.key_history(
        [_history.pack_block(*block) for block in blocks], [_history.pack_attestation(*vote) for vote in votes]
    )


MARKS = st.builds(Marks, *[st.none() | st.integers(0, 9)] * 3)
HISTORIES = st.builds(build, BLOCKS, VOTES)


@SETTINGS
@given(blocks=BLOCKS, votes=VOTES)
def test_keeps_each_record_once_and_knows_the_highest(blocks: list[t.Any], votes: list[t.Any]) -> None:
    history = build(blocks, votes)
    assert set(history.block_records()) == set(blocks) and history.block_count == len(set(blocks))
    assert set(history.attestation_records()) == set(votes) and history.attestation_count == len(set(votes))
    assert history.watermarks() == Marks(
        max((b[0] for b in blocks), default=None),
        max((v[0] for v in votes), default=None),
        max((v[1] for v in votes), default=None),
    )


@SETTINGS
@given(history=HISTORIES)
def test_finds_exactly_the_slashable_pairs(history: KeyHistory) -> None:
    """Against the definition, pair by pair."""
    blocks, votes = list(history.block_records()), list(history.attestation_records())
    double_slots = {a.slot for a, b in itertools.combinations(blocks, 2) if a.slot == b.slot}
    double_targets = {a.target for a, b in itertools.combinations(votes, 2) if a.target == b.target}
    surrounded = {
        (b.source, b.target) for a, b in itertools.permutations(votes, 2) if a.source < b.source and b.target < a.target
    }
    found = _history.slashable_pairs(history)
    assert {int(text.split()[-1]) for text in found if text.startswith("two blocks")} == double_slots
    assert {int(text.split()[-1]) for text in found if text.startswith("two attestations")} == double_targets
    named = [text.split("that from ")[1].split(" to ") for text in found if "surrounds" in text]
    assert {(int(source), int(target)) for source, target in named} == surrounded


def forbids_block(history: KeyHistory, slot: int, root: bytes) -> bool:
    """Whether a signer that has this history refuses a block, as EIP-3076 wants it."""
    if history.floor_slot is not None and slot <= history.floor_slot:
        return (slot, root) not in set(history.block_records())
    return any(b.slot == slot and b.root != root for b in history.block_records())


def forbids_vote(history: KeyHistory, source: int, target: int, root: bytes) -> bool:
    if (source, target, root) in set(history.attestation_records()):
        return False
    if history.floor_source is not None and source < history.floor_source:
        return True
    if history.floor_target is not None and target <= history.floor_target:
        return True
    return any(
        (a.target == target and (a.source, a.root) != (source, root))
        or (a.source < source and target < a.target)
        or (source < a.source and a.target < target)
        for a in history.attestation_records()
    )


@SETTINGS
@given(have=HISTORIES, want=HISTORIES)
def test_a_history_that_lacks_nothing_forbids_whatever_contradicts_the_other(
    have: KeyHistory, want: KeyHistory
) -> None:
    if _history.lacking(have, want):
        return
    want = want._replace(floor_slot=None, floor_source=None, floor_target=None)  # what was signed, no more
    new = b"\x09" * 32  # something that neither has signed
    for slot in range(14):
        if forbids_block(want, slot, new):
            assert forbids_block(have, slot, new), slot
    for source, target in itertools.combinations_with_replacement(range(10), 2):
        if forbids_vote(want, source, target, new):
            assert forbids_vote(have, source, target, new), (source, target)


@SETTINGS
@given(history=HISTORIES, blocks=BLOCKS, votes=VOTES)
def test_more_records_never_lack_anything(history: KeyHistory, blocks: list[t.Any], votes: list[t.Any]) -> None:
    assert _history.lacking(history, history) == []
    more = _history.merge(
        [History(None, {"k": history}), History(None, {"k": build(blocks, votes)})],
    ).keys["k"]
    assert _history.lacking(more, history) == []
    assert _history.lacking(more, build(blocks, votes)) == []


def test_says_what_is_lacking() -> None:
    want = build([(5, b"\1" * 32), (9, b"\1" * 32)], [(1, 2, b"\1" * 32), (2, 4, b"\1" * 32)])
    empty = _history.lacking(build([], []), want)
    assert empty[:3] == [
        "highest slot none instead of 9",
        "highest source none instead of 2",
        "highest target none instead of 4",
    ]
    older = _history.lacking(build([(5, b"\1" * 32)], [(1, 2, b"\1" * 32)]), want)
    assert "highest target 2 instead of 4" in older and "1 blocks, the first at slot 9" in older
    gap = _history.lacking(build([(4, None), (9, b"\1" * 32)], [(0, 1, None), (2, 4, b"\1" * 32)]), want)
    assert gap == ["1 blocks, the first at slot 5", "1 attestations, the first from 1 to 2"]


def test_a_floor_makes_up_for_records_below_it() -> None:
    want = build([(5, b"\1" * 32), (9, b"\1" * 32)], [(1, 2, b"\1" * 32), (2, 4, b"\1" * 32)])
    pruned = build([(9, b"\1" * 32)], [(2, 4, b"\1" * 32)])
    assert _history.lacking(pruned, want) == []
    no_floor = pruned._replace(floor_slot=None, floor_source=None, floor_target=None)
    assert len(_history.lacking(no_floor, want)) == 2


def test_a_floor_of_targets_alone_does_not_make_up_for_a_record() -> None:
    """The vote from 1 to 7 would surround the missing one, and nothing else forbids it."""
    root = b"\1" * 32
    have, want = build([], [(0, 5, root), (4, 9, root)]), build([], [(3, 4, root)])
    assert not forbids_vote(have, 1, 7, root) and forbids_vote(want, 1, 7, root)
    assert _history.lacking(have, want) == ["1 attestations, the first from 3 to 4"]


def test_histories_of_different_networks_are_not_joined() -> None:
    with pytest.raises(_history.HistoryError, match="different networks"):
        _history.merge([History(ROOT_A, {}), History(ROOT_B, {})])
    joined = _history.merge([History(ROOT_A, {}, frozenset(PUBKEYS[:1])), History(None, {PUBKEYS[1]: build([], [])})])
    assert (joined.genesis_validators_root, joined.blacklisted) == (ROOT_A, {PUBKEYS[0]})


@SETTINGS
@given(a=MARKS, b=MARKS)
def test_joined_marks_are_short_of_neither(a: Marks, b: Marks) -> None:
    assert a.join(b).missing(a) == [] and a.join(b).missing(b) == []
    assert (a.missing(b) == []) == (a.join(b) == a)
