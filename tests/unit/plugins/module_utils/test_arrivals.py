"""Whatever arrives, in whatever form: the file that Prysm is given never says less than any source."""

from __future__ import annotations

import itertools
import json
import typing as t
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _arrivals, _history, _interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._arrivals import Request, gather, settle
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import KeyHistory, key_history, lacking
from tests.unit.plugins.keys_support import (
    FIXTURES,
    PUBKEYS,
    ROOT_A,
    ROOT_B,
    heavy,
    interchange,
    write_database,
)

A, B = PUBKEYS[:2]
R1, R2 = b"\x01" * 32, b"\x02" * 32
SETTINGS = settings(
    max_examples=3000 if heavy() else 300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

# A key that was never slashed signs blocks of rising slots and votes of rising targets whose sources never fall; what a
# source knows of it is some of that, complete or pruned or as a watermark.
SIGNED_BLOCKS = st.lists(st.integers(0, 30), max_size=6, unique=True).map(sorted)
SIGNED_VOTES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 8)), max_size=7, unique_by=lambda vote: vote[0]
).map(lambda votes: _rising(votes))


def _rising(votes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found, source = [], 0
    for step, lag in sorted(votes):
        target = 2 * step + 1
        source = max(source, target - 1 - lag, 0) if target - 1 - lag > source else source
        found.append((source, target))
    return found


def root_of(kind: str, *numbers: int) -> bytes:
    return json.dumps([kind, *numbers]).encode().ljust(32, b".")


class Dialect(t.NamedTuple):
    """How a client keeps what was signed."""

    kept: int
    roots: bool
    watermark: bool


DIALECTS = st.builds(Dialect, kept=st.integers(1, 8), roots=st.booleans(), watermark=st.booleans())


def known(dialect: Dialect, blocks: list[int], votes: list[tuple[int, int]]) -> KeyHistory:
    """What a client of some dialect tells of a key."""
    if dialect.watermark:
        slots = [max(blocks)] if blocks else []
        pairs = [(max(s for s, _t in votes), max(t for _s, t in votes))] if votes else []
    else:
        slots, pairs = blocks[-dialect.kept :], votes[-dialect.kept :]
    keep_roots = dialect.roots and not dialect.watermark
    return key_history(
        [_history.pack_block(slot, root_of("b", slot) if keep_roots else None) for slot in slots],
        [_history.pack_attestation(*pair, root_of("v", *pair) if keep_roots else None) for pair in pairs],
    )


def as_prysm_takes_it(part: KeyHistory) -> KeyHistory:
    """After an import the floors of the database are its lowest records."""
    return key_history(
        [_history.pack_block(*b) for b in part.block_records()],
        [_history.pack_attestation(*v) for v in part.attestation_records()],
    )


def may_block(part: KeyHistory, slot: int) -> bool:
    """EIP-3076, for a message that was never signed before."""
    if part.floor_slot is not None and slot <= part.floor_slot:
        return False
    return all(b.slot != slot for b in part.block_records())


def may_vote(part: KeyHistory, source: int, target: int) -> bool:
    if part.floor_source is not None and source < part.floor_source:
        return False
    if part.floor_target is not None and target <= part.floor_target:
        return False
    return all(
        v.target != target and not v.source < source < target < v.target and not source < v.source < v.target < target
        for v in part.attestation_records()
    )


@SETTINGS
@given(
    blocks=SIGNED_BLOCKS,
    votes=SIGNED_VOTES,
    cuts=st.lists(st.tuples(DIALECTS, st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=4),
)
def test_together_they_forbid_all_that_any_of_them_forbids_and_nothing_else(
    blocks: list[int], votes: list[tuple[int, int]], cuts: list[tuple[Dialect, int, int]]
) -> None:
    """Message by message, by the rules of EIP-3076 and not by our own comparison."""
    parts = [known(dialect, blocks[: len(blocks) - b], votes[: len(votes) - v]) for dialect, b, v in cuts]
    settled, against = settle(parts)
    result = as_prysm_takes_it(settled)
    assert against == []
    for part in parts:
        assert lacking(result, part) == []
    for slot in range(33):
        assert may_block(result, slot) == all(may_block(part, slot) for part in parts), slot
    for target in range(28):
        for source in range(target):
            forbidden = not all(may_vote(part, source, target) for part in parts)
            assert may_vote(result, source, target) == (not forbidden), (source, target, settled)
    assert settle([result])[0] == result == settle([result, *parts])[0]


@SETTINGS
@given(
    parts=st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 12), st.sampled_from([None, R1, R2])), max_size=5),
            st.lists(
                st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([None, R1, R2])).filter(
                    lambda vote: vote[0] <= vote[1]
                ),
                max_size=5,
            ),
            st.tuples(*[st.none() | st.integers(0, 12)] * 3),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_also_what_contradicts_itself_is_never_said_less(parts: list[t.Any]) -> None:
    """Such files are refused; but were one taken, nothing would be lost."""
    made = [
        key_history(
            [_history.pack_block(*b) for b in blocks],
            [_history.pack_attestation(*v) for v in votes],
            floors=floors,
        )
        for blocks, votes, floors in parts
    ]
    settled, against = settle(made)
    result = as_prysm_takes_it(settled)
    for part in made:
        for slot in range(14):
            assert may_block(part, slot) or not may_block(result, slot)
        for source, target in itertools.product(range(11), repeat=2):
            if source <= target:
                assert may_vote(part, source, target) or not may_vote(result, source, target), (source, target)
        if not against:
            assert lacking(result, part) == []


def test_every_record_has_a_root_afterwards_and_a_known_one_is_kept() -> None:
    without = known(Dialect(9, False, False), [3, 5], [(1, 2), (2, 3)])
    rooted = known(Dialect(9, True, False), [3, 5], [(1, 2), (2, 3)])
    settled, _ = settle([without])
    assert {b.root for b in settled.block_records()} == {_interchange.FILLER}
    assert {v.root for v in settled.attestation_records()} == {_interchange.FILLER}
    assert settle([without, rooted])[0] == settle([rooted, settled])[0] == settle([rooted])[0]


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (([(5, R1)], []), ([(5, R2)], []), "two blocks for slot 5"),
        (([(5, R1), (9, R1)], []), ([(5, R2), (8, R2)], []), "two blocks for slot 5"),
        (([], [(1, 3, R1)]), ([], [(1, 3, R2)]), "two attestations for target 3"),
        (([], [(1, 2, R1), (2, 9, R1)]), ([], [(1, 2, R1), (3, 8, R2)]), "surrounds"),
    ],
)
def test_two_sources_against_each_other_are_found(one: t.Any, other: t.Any, words: str) -> None:
    parts = [
        key_history([_history.pack_block(*b) for b in blocks], [_history.pack_attestation(*v) for v in votes])
        for blocks, votes in (one, other)
    ]
    assert words in " ".join(settle(parts)[1])


def test_what_prysm_prunes_while_it_imports_becomes_the_floor() -> None:
    old, new = 32 * 100, 32 * (100 + 54_000)
    settled, against = settle([known(Dialect(9, True, False), [old, old + 31, old + 32, new], [])])
    assert [b.slot for b in settled.block_records()] == [old + 32, new] and against == []
    votes = [(epoch, epoch + 1) for epoch in range(10, 10_000)]
    part = key_history([], [_history.pack_attestation(*vote, R1) for vote in votes])
    settled, against = settle([part])
    assert against == [] and settled.attestation_count == _arrivals.KEPT_EPOCHS + 1
    assert lacking(as_prysm_takes_it(settled), part) == []


# -- files ------------------------------------------------------------------------------------------------------------


def write(path: Path, document: t.Any) -> str:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def ask(tmp_path: Path, *sources: t.Any, **more: t.Any) -> _arrivals.Gathered:
    request: dict[str, t.Any] = {
        "sources": tuple(str(s) for s in sources),
        "pubkeys": (A, B),
        "database": str(tmp_path / "data/validator.db"),
        "dest": str(tmp_path / "history.json"),
        **more,
    }
    return gather(Request(**request))


def test_several_sources_become_one_sorted_file_for_the_client_s_keys_alone(tmp_path: Path) -> None:
    one = write(tmp_path / "one.json", interchange({B: ([(5, None)], []), PUBKEYS[2]: ([(1, R1)], [])}))
    two = write(tmp_path / "two.json", interchange({A: ([], [(1, 2, R1)]), B: ([(5, R1)], [])}))
    found = ask(tmp_path, one, two, one)
    assert found.keys == sorted([A, B]) and found.without == [] and found.others == {one: 1, two: 0}
    assert sorted(found.lacking) == found.keys and found.genesis_validators_root == ROOT_A
    written = json.loads((tmp_path / "history.json").read_text())
    assert [entry["pubkey"] for entry in written["data"]] == sorted([A, B])
    assert (tmp_path / "history.json").stat().st_mode & 0o777 == 0o600
    history = _interchange.read_interchange(str(tmp_path / "history.json"))
    assert list(history.keys[B].block_records()) == [(5, R1)]


def test_a_database_that_lacks_nothing_needs_no_file(tmp_path: Path) -> None:
    write_database(tmp_path / "data", {A: ([(5, R1), (7, R1)], [(1, 2, R1), (2, 3, R1)]), B: ([], [])})
    source = write(tmp_path / "one.json", interchange({A: ([(5, None)], [(1, 2, None)])}))
    found = ask(tmp_path, source)
    assert found.lacking == {} and found.keys == [] and not (tmp_path / "history.json").exists()
    assert found.without == [B]


def test_what_the_database_knows_goes_along_also_of_keys_that_have_left(tmp_path: Path) -> None:
    write_database(tmp_path / "data", {PUBKEYS[2]: ([(9, R1)], []), A: ([(5, R1)], [(1, 2, R1)])})
    source = write(tmp_path / "one.json", interchange({A: ([(5, None), (6, R1)], [])}))
    assert ask(tmp_path, source).keys == sorted([A, PUBKEYS[2]])
    history = _interchange.read_interchange(str(tmp_path / "history.json"))
    assert list(history.keys[PUBKEYS[2]].block_records()) == [(9, R1)]
    assert list(history.keys[A].block_records()) == [(5, R1), (6, R1)]
    assert list(history.keys[A].attestation_records()) == [(1, 2, R1)]


def test_an_old_database_is_a_source_as_its_directory_is(tmp_path: Path) -> None:
    old = write_database(tmp_path / "old", {A: ([(5, R1)], [(1, 2, R1)])})
    for source in (old, old.parent):
        assert ask(tmp_path, source).keys == [A]


@pytest.mark.parametrize(
    "path",
    sorted([*FIXTURES.glob("prysm/v*/export.json"), *FIXTURES.glob("prysm-live/*.json")]),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_what_real_prysm_exported_arrives_whole(tmp_path: Path, path: Path) -> None:
    history = _interchange.read_interchange(str(path))
    signed = [key for key, part in history.keys.items() if _arrivals.has_signed(part)]
    if history.findings:
        # Records without roots, imported twice: real Prysm has blacklisted these keys.
        assert "blacklisted" in path.name
        with pytest.raises(StakingError, match="both without a root"):
            ask(tmp_path, path, pubkeys=tuple(history.keys))
        return
    found = ask(tmp_path, path, pubkeys=tuple(history.keys))
    assert found.keys == sorted(signed) and found.without == sorted(set(history.keys) - set(signed))
    written = _interchange.read_interchange(str(tmp_path / "history.json"))
    for key in signed:
        assert written.keys[key].block_count == history.keys[key].block_count
        assert {v[:2] for v in written.keys[key].attestation_records()} == {
            v[:2] for v in history.keys[key].attestation_records()
        }
        assert lacking(written.keys[key], history.keys[key]) == []


def test_keys_without_any_history_are_named_unless_the_record_knows_them(tmp_path: Path) -> None:
    source = write(tmp_path / "one.json", interchange({A: ([], [])}))
    assert ask(tmp_path, source).without == sorted([A, B])
    record = {
        "version": 1,
        "genesis_validators_root": ROOT_A,
        "keys": {
            A: {"slot": 5, "source": None, "target": None},
            B: {"slot": None, "source": None, "target": None},
        },
    }
    path = write(tmp_path / "record.json", record)
    assert ask(tmp_path, source, known_by=(path, str(tmp_path / "none"))).without == [B]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SQLite format 3\0" + bytes(84), "SQLite database of another client"),
        (b"\x1f\x8b\x08" + bytes(50), "packed"),
        (b"PK\x03\x04" + bytes(50), "packed"),
        (b"\xfd7zXZ\0" + bytes(50), "packed"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "packed"),
        (b"---\nlastSignedBlockSlot: 5\n", "teku slashing-protection export"),
        ("{}".encode("utf-16"), "UTF-16 text"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n00", "Ansible Vault"),
        (b"", "is empty"),
        (b"not json", "is not JSON"),
        (None, "is not there"),
        ("directory", "directory without a validator.db"),
        ("leveldb", "Lodestar's database. Export it"),
        (b'lastSignedBlockSlot: "9"\n', "Teku's own. Export it"),
    ],
)
def test_what_is_no_history_is_refused_with_the_way_out(tmp_path: Path, content: t.Any, words: str) -> None:
    path = tmp_path / ("source.yml" if "Teku" in words else "source")
    if content in ("directory", "leveldb"):
        path.mkdir()
        if content == "leveldb":
            (path / "CURRENT").write_text("MANIFEST-000001\n")
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(StakingError, match=words) as refused:
        ask(tmp_path, path)
    assert str(path) in str(refused.value)


def test_networks_are_compared(tmp_path: Path) -> None:
    one = write(tmp_path / "one.json", interchange({A: ([(5, R1)], [])}))
    two = write(tmp_path / "two.json", interchange({B: ([(5, R1)], [])}, ROOT_B))
    zero = write(tmp_path / "zero.json", interchange({B: ([(5, R1)], [])}, "0x" + "00" * 32))
    with pytest.raises(StakingError, match=r"different networks.*one\.json.*two\.json"):
        ask(tmp_path, one, two)
    with pytest.raises(StakingError, match=r"different networks.*one\.json.*this site"):
        ask(tmp_path, one, genesis_validators_root=ROOT_B)
    with pytest.raises(StakingError, match=r"zero\.json: metadata\.genesis_validators_root is zero"):
        ask(tmp_path, one, zero)
    write_database(tmp_path / "data", {A: ([(1, R1)], [])}, ROOT_B)
    with pytest.raises(StakingError, match="different networks"):
        ask(tmp_path, one)


def test_a_contradiction_is_a_refusal_and_nothing_is_written(tmp_path: Path) -> None:
    one = write(tmp_path / "one.json", interchange({A: ([(5, R1), (5, R2)], [])}))
    with pytest.raises(StakingError, match=r"one\.json contradicts itself about 0x.*two blocks for slot 5"):
        ask(tmp_path, one)
    two = write(tmp_path / "two.json", interchange({A: ([(5, R1)], [])}))
    three = write(tmp_path / "three.json", interchange({A: ([(5, R2)], [])}))
    with pytest.raises(StakingError, match=r"two\.json and .*three\.json contradict each other"):
        ask(tmp_path, two, three)
    # Of a key that is not this client's it says nothing.
    assert ask(tmp_path, one, two, pubkeys=(B,)).without == [B] and not (tmp_path / "history.json").exists()


def test_a_number_that_no_chain_reaches_is_not_imported(tmp_path: Path) -> None:
    one = write(tmp_path / "one.json", interchange({A: ([((1 << 64) - 1, R1)], [])}))
    with pytest.raises(StakingError, match=r"one\.json .*slot 18446744073709551615 is larger than any"):
        ask(tmp_path, one)


def test_equal_watermarks_of_two_clients_are_no_contradiction(tmp_path: Path) -> None:
    one = write(tmp_path / "one.json", interchange({A: ([(5, None)], [(1, 2, None)])}))
    two = write(tmp_path / "two.json", interchange({A: ([(5, None)], [(1, 2, None)])}))
    assert ask(tmp_path, one, two).keys == [A]


def test_a_blacklisted_key_is_a_refusal_once_something_must_be_imported(tmp_path: Path) -> None:
    write_database(tmp_path / "data", {A: ([(5, R1)], [])}, blacklisted=[A])
    one = write(tmp_path / "one.json", interchange({A: ([(5, R1)], [])}))
    assert ask(tmp_path, one).lacking == {}
    two = write(tmp_path / "two.json", interchange({A: ([(6, R1)], [])}))
    with pytest.raises(StakingError, match="blacklists 1 keys"):
        ask(tmp_path, one, two)


def test_the_same_answer_twice_is_the_same_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one.json", interchange({A: ([(5, None)], [(1, 2, None)]), B: ([(1, R1)], [])}))
    two = write(tmp_path / "two.json", interchange({A: ([(4, R1)], [(1, 2, R2)])}))
    ask(tmp_path, one, two)
    first = (tmp_path / "history.json").read_bytes()
    ask(tmp_path, two, one)
    assert (tmp_path / "history.json").read_bytes() == first
    again = ask(tmp_path, tmp_path / "history.json", dest=str(tmp_path / "again.json"))
    assert again.keys == sorted([A, B]) and (tmp_path / "again.json").read_bytes() == first


def test_what_arrives_is_named_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/a")
    entries = [
        {"name": "v1", "slashing_protection": ["one.json", f"{tmp_path}/x/../one.json", "~/one.json"]},
        {"name": "v2", "slashing_protection": ["rel.json"], "keystores_on": "nfs"},
        {"name": "v3", "keystores_on": "nfs"},
    ]
    beside = {"v1": {"on": "controller", "paths": ["two.json", "one.json"]}, "v3": {"on": "controller", "paths": []}}
    found = _arrivals.arriving(entries, beside, "/in")
    assert [(one.client, one.on, one.path) for one in found] == [
        ("v1", "controller", f"{tmp_path}/one.json"),
        ("v1", "controller", "/home/a/one.json"),
        ("v1", "controller", f"{tmp_path}/two.json"),
        ("v2", "nfs", "rel.json"),
    ]
    assert found[3].dest == "rel.json"
    assert len({one.dest for one in found[:2]}) == 2, "two files of one name"
    assert all(one.dest.startswith("/in/v1/") and one.dest.endswith("-one.json") for one in found[:2])
