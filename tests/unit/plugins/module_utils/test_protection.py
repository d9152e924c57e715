from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, as_json
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _history, _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._interchange import read_interchange
from tests.unit.plugins.keys_support import (
    FIXTURES,
    PUBKEYS,
    ROOT_A,
    VERSIONS,
    BoltWriter,
    flipped,
    heavy,
    interchange,
    prysm_tree,
    unpack,
    write_database,
)

R1, R2 = b"\x01" * 32, b"\x02" * 32
DATABASES = [
    *(pytest.param(f"prysm/{v}/validator.db.xz", f"prysm/{v}/export.json", id=v) for v in VERSIONS),
    *(
        pytest.param(f"prysm-live/{path.name.split('.export')[0]}.db.xz", f"prysm-live/{path.name}", id=path.stem)
        for path in sorted(FIXTURES.glob("prysm-live/*.json"))
    ),
]


@pytest.mark.parametrize(("database", "export"), DATABASES)
def test_agrees_with_prysms_own_export(database: str, export: str, tmp_path: Path) -> None:
    """As sets of records per key; Prysm leaves the vote from 0 to 0 out of an export, though its database has it."""
    read = _protection.read_database(str(unpack(database, tmp_path / "validator.db")))
    exported = read_interchange(str(FIXTURES / export))
    assert read.genesis_validators_root == exported.genesis_validators_root
    assert set(read.keys) == set(exported.keys)
    for key, part in exported.keys.items():
        ours = read.keys[key]
        assert ours.blocks == part.blocks
        votes = set(ours.attestation_records())
        assert {vote for vote in votes if vote[:2] != (0, 0)} == {
            vote for vote in part.attestation_records() if vote[:2] != (0, 0)
        }
        assert votes >= set(part.attestation_records())
        assert ours.watermarks() == part.watermarks()
        assert _history.lacking(ours, part) == []


def test_names_the_keys_that_an_import_blacklisted(tmp_path: Path) -> None:
    path = unpack("prysm-live/blacklisted-v7.1.6.db.xz", tmp_path / "validator.db")
    history = _protection.read_database(str(path))
    assert len(history.blacklisted) == 4 and history.blacklisted < set(history.keys)


def test_reads_the_old_format_that_a_migration_down_writes(tmp_path: Path) -> None:
    """Nothing that the database knew before may be missing after."""
    down = _protection.read_database(
        str(unpack("prysm/v1.3.4/validator-migrated-down.db.xz", tmp_path / "validator.db"))
    )
    before = read_interchange(str(FIXTURES / "prysm/v1.3.4/export.json"))
    for key, part in before.keys.items():
        assert down.keys[key].watermarks().missing(part.watermarks()) == []
        spans = {(a.source, a.target) for a in down.keys[key].attestation_records()}
        assert spans >= {(a.source, a.target) for a in part.attestation_records()}


RECORDS = st.dictionaries(
    st.sampled_from(PUBKEYS),
    st.tuples(
        st.dictionaries(st.integers(0, 2**64 - 1), st.sampled_from([R1, R2, bytes(32)]), max_size=5).map(
            lambda d: list(d.items())
        ),
        st.dictionaries(
            st.integers(0, 2**64 - 1),
            st.tuples(st.integers(0, 2**64 - 1), st.sampled_from([R1, bytes(32)])),
            max_size=5,
        ).map(lambda d: [(min(source, target), target, root) for target, (source, root) in d.items()]),
    ),
    max_size=4,
)


@settings(
    max_examples=500 if heavy() else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(keys=RECORDS)
def test_a_database_and_an_interchange_of_the_same_records_are_the_same_history(tmp_path: Path, keys: t.Any) -> None:
    database = _protection.read_database(str(write_database(tmp_path / "data", keys)))
    path = tmp_path / "i.json"
    path.write_bytes(as_json(interchange(keys)))
    exported = read_interchange(str(path))
    for key in keys:
        assert (database.keys[key].blocks, database.keys[key].attestations) == (
            exported.keys[key].blocks,
            exported.keys[key].attestations,
        )
        assert database.keys[key].watermarks() == exported.keys[key].watermarks()


def test_marks_without_records_count(tmp_path: Path) -> None:
    """Left of a migration: what must not be signed again stays known."""
    raw = bytes.fromhex(PUBKEYS[0][2:])
    tree = prysm_tree({PUBKEYS[0]: ([(77, R1)], [])})
    tree[b"pubkeys-bucket"] = {raw: {b"att-signing-roots-bucket": {(12).to_bytes(8, "big"): R1}}}
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump(tree))
    assert _protection.read_database(str(path)).keys[PUBKEYS[0]].watermarks() == (77, None, 12)


@pytest.mark.parametrize(
    ("bucket", "content", "reason"),
    [
        (b"genesis-info-bucket", {b"genesis-val-root": b"short"}, "genesis validators root is not 32 bytes"),
        (b"pubkeys-bucket", {b"short": {}}, "something that is not a public key"),
        (b"pubkeys-bucket", {b"k" * 48: b"value"}, "attestation history is not a bucket"),
        (b"pubkeys-bucket", {b"k" * 48: {b"att-source-epochs-bucket": b"value"}}, "is a value where a bucket"),
        (
            b"pubkeys-bucket",
            {b"k" * 48: {b"att-source-epochs-bucket": {b"12345678": b"123"}}},
            "not a list of 8-byte numbers",
        ),
        (b"pubkeys-bucket", {b"k" * 48: {b"att-source-epochs-bucket": {b"1": b""}}}, "is not a number of 8 bytes"),
        (b"proposal-history-bucket-interchange", {b"k" * 48: {b"1": R1}}, "a slot is not a number"),
        (b"proposal-history-bucket-interchange", {b"k" * 48: {b"12345678": bytes(33)}}, "is not a signing root"),
        (b"attestation-history-bucket-interchange", {b"k" * 48: b"123"}, "old format is damaged"),
        (b"highest-signed-proposals-bucket", {b"k" * 48: b"123"}, "is not a number of 8 bytes"),
        (b"slashable-public-keys", {b"k": b"\x01"}, "not a public key"),
    ],
)
def test_says_what_is_wrong_and_where(tmp_path: Path, bucket: bytes, content: t.Any, reason: str) -> None:
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump({**prysm_tree({}), bucket: content}))
    with pytest.raises(StakingError) as refused:
        _protection.read_database(str(path))
    assert str(refused.value).startswith(f"{path}: ") and reason in str(refused.value)


@pytest.mark.parametrize(("database", "export"), DATABASES)
def test_a_summary_is_what_the_records_amount_to(database: str, export: str, tmp_path: Path) -> None:
    path = str(unpack(database, tmp_path / "validator.db"))
    whole, summary = _protection.read_database(path), _protection.read_marks(path)
    assert summary == whole.summary()
    assert (summary.findings, summary.notes) == ((), ())
    assert summary.transaction is not None and summary.transaction > 30


def test_a_summary_names_the_newest_records_one_by_one(tmp_path: Path) -> None:
    keys = {PUBKEYS[0]: ([(slot, R1) for slot in range(100, 140)], [(e, e + 1, R1) for e in range(1000) if e % 3])}
    summary = _protection.read_marks(str(write_database(tmp_path, keys))).keys[PUBKEYS[0]]
    assert summary.slots == tuple(range(108, 140))
    assert summary.last_target == 999
    assert [summary.targets >> n & 1 for n in range(513)] == [
        int(998 - n >= 0 and (998 - n) % 3 > 0 and n < 512) for n in range(513)
    ]
    assert (summary.blocks, summary.attestations) == (40, 666)


LEFT = {
    b"lowest-signed-source-bucket": b"pubkeys-bucket",
    b"lowest-signed-target-bucket": b"pubkeys-bucket",
    b"lowest-signed-proposals-bucket": b"proposal-history-bucket-interchange",
    b"highest-signed-proposals-bucket": b"proposal-history-bucket-interchange",
}


@pytest.mark.parametrize("name", sorted(LEFT))
@pytest.mark.parametrize("empty", [False, True])
def test_records_that_are_gone_are_damage(tmp_path: Path, name: bytes, empty: bool) -> None:
    """Prysm writes the lowest and highest beside the records, and never removes the last of those."""
    tree = prysm_tree({key: ([(5, R1)], [(1, 2, R1)]) for key in PUBKEYS[:3]})
    raw = bytes.fromhex(PUBKEYS[1][2:])
    for other in LEFT:
        if other != name:
            tree[other] = {key: value for key, value in tree[other].items() if key != raw}
    if empty:
        tree[LEFT[name]][raw] = {}
    else:
        del tree[LEFT[name]][raw]
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump(tree))
    with pytest.raises(StakingError, match=f"lowest.* of {PUBKEYS[1]}, but none of its"):
        _protection.read_marks(str(path))


@pytest.mark.parametrize("name", sorted(prysm_tree({})))
def test_a_bucket_that_every_prysm_makes_is_not_missing(tmp_path: Path, name: bytes) -> None:
    tree = prysm_tree({PUBKEYS[0]: ([(5, R1)], [(1, 2, R1)])})
    tree[name + b"x"] = tree.pop(name)
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump(tree))
    with pytest.raises(StakingError, match=f"lacks the bucket {name.decode()}"):
        _protection.read_marks(str(path))


@pytest.mark.parametrize("part", [b"att-source-epochs-bucket", b"att-target-epochs-bucket"])
def test_a_vote_that_only_one_index_knows_counts_and_is_a_finding(tmp_path: Path, part: bytes) -> None:
    """An older Prysm that wrote to a newer one's database leaves that behind: the newer one does not see the vote."""
    votes = [(epoch, epoch + 1, R1) for epoch in range(5)]
    tree = prysm_tree({PUBKEYS[0]: ([], votes)})
    bucket = tree[b"pubkeys-bucket"][bytes.fromhex(PUBKEYS[0][2:])][part]
    del bucket[max(bucket)]
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump(tree))
    history = _protection.read_database(str(path))
    assert history.keys[PUBKEYS[0]].watermarks() == (None, 4, 5)
    assert history.keys[PUBKEYS[0]].attestation_count == 5
    assert any("by its source or by its target only" in finding for finding in history.findings)
    assert history.findings == _protection.read_marks(str(path)).findings


def test_pruning_is_no_damage(tmp_path: Path) -> None:
    """Prysm prunes by source in the one index and by target in the other, so their ends differ."""
    votes = [(epoch, epoch + 3, R1) for epoch in range(600)]
    tree = prysm_tree({PUBKEYS[0]: ([], votes)})
    key = tree[b"pubkeys-bucket"][bytes.fromhex(PUBKEYS[0][2:])]
    for part, last in ((b"source", 599), (b"target", 602)):
        name = b"att-%s-epochs-bucket" % part
        key[name] = {e: v for e, v in key[name].items() if int.from_bytes(e, "big") > last - 512}
    key[b"att-signing-roots-bucket"] = {
        e: v for e, v in key[b"att-signing-roots-bucket"].items() if int.from_bytes(e, "big") > 602 - 512
    }
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump(tree))
    assert _protection.read_marks(str(path)).findings == ()


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump({b"blocks": {b"a": b"b"}}))
    with pytest.raises(StakingError, match="a database, but not a validator's"):
        _protection.read_database(str(path))


@settings(
    max_examples=1000 if heavy() else 30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.integers(8192, 40_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_is_never_a_crash(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    path = tmp_path / "validator.db"
    path.write_bytes(flipped(WHOLE, changes))
    try:
        _protection.read_database(str(path))
    except StakingError as exc:
        assert str(exc).startswith(f"{path}: ")


WHOLE = BoltWriter().dump(prysm_tree({PUBKEYS[0]: ([(5, R1)], [(1, 2, R1)]), PUBKEYS[1]: ([(6, R1)], [(1, 3, R1)])}))


def minimal(directory: Path, **entry: t.Any) -> Path:
    folder = directory / "validator-client-data" / "slashing-protection"
    folder.mkdir(parents=True)
    (folder.parent / "configuration.yaml").write_text(f"genesisValidatorsRoot: '{ROOT_A}'\n")
    text = "".join(f"{name}: {value}\n" for name, value in entry.items())
    (folder / f"{PUBKEYS[0]}.yaml").write_text(text)
    return directory


def test_reads_the_minimal_database(tmp_path: Path) -> None:
    directory = minimal(
        tmp_path, latestSignedBlockSlot=7, lastSignedAttestationSourceEpoch=1, lastSignedAttestationTargetEpoch=2
    )
    history, place = _protection.read_any(str(directory))
    assert (history.format, history.genesis_validators_root) == ("prysm-minimal", ROOT_A)
    assert place.endswith("validator-client-data") and history.keys[PUBKEYS[0]].watermarks() == (7, 1, 2)


def test_a_damaged_minimal_database_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StakingError, match=r"\.yaml: latestSignedBlockSlot is not a slot"):
        _protection.read_any(str(minimal(tmp_path, latestSignedBlockSlot="'x'")))


def test_two_databases_in_one_directory_are_refused(tmp_path: Path) -> None:
    write_database(minimal(tmp_path), {})
    with pytest.raises(StakingError, match="holds both"):
        _protection.read_any(str(tmp_path))


def test_reads_whatever_it_is_pointed_at(tmp_path: Path) -> None:
    keys = {PUBKEYS[0]: ([(5, R1)], [(1, 2, R1)])}
    path = write_database(tmp_path / "data", keys)
    file = tmp_path / "i.json"
    file.write_bytes(b"\n  " + as_json(interchange(keys)))
    found = [_protection.read_any(str(place)) for place in (path, path.parent, file)]
    assert [item[1] for item in found] == [str(path), str(path), str(file)]
    assert len({item[0].keys[PUBKEYS[0]].attestations for item in found}) == 1
    for place in (tmp_path / "missing", tmp_path):
        with pytest.raises(_protection.NoDatabaseError):
            _protection.read_any(str(place))


@pytest.mark.parametrize(("migrated", "by_target", "layout"), [(True, True, 2), (False, True, 2), (False, False, 1)])
def test_knows_the_layout(tmp_path: Path, migrated: bool, by_target: bool, layout: int) -> None:
    """An import into a new database notes no migrations, and has the newer layout all the same."""
    tree = prysm_tree({PUBKEYS[0]: ([(5, R1)], [(1, 2, R1)])})
    if not migrated:
        tree[b"migrations"] = {}
    if not by_target:
        del tree[b"pubkeys-bucket"][bytes.fromhex(PUBKEYS[0][2:])][b"att-target-epochs-bucket"]
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump(tree))
    assert _protection.read_marks(str(path)).layout == layout
    assert _protection.read_database(str(path)).findings == ()


def test_votes_of_a_key_that_left_the_old_format_are_missed(tmp_path: Path) -> None:
    """Migrated down: what is beside it is no longer all of it."""
    path = unpack("prysm/v1.3.4/validator-migrated-down.db.xz", tmp_path / "validator.db")
    data = path.read_bytes()
    summary = _protection.read_marks(str(path))
    raw = bytes.fromhex(next(key for key, part in summary.keys.items() if part.highest_target)[2:])
    assert all("were migrated down" in finding for finding in summary.findings) and len(summary.findings) == 4
    for at in (match.start() for match in re.finditer(re.escape(raw), data)):
        changed = flipped(data, [(at + 47, data[at + 47] ^ 1)])
        path.write_bytes(changed)
        try:
            now = _protection.read_marks(str(path))
        except StakingError:
            continue
        assert "0x" + raw.hex() in now.keys and now.keys["0x" + raw.hex()].highest_target == 91
