"""What a client may start with: its database beside the record, the notes and every other database of the site."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import typing as t
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _judge, _record
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import KeySummary
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._judge import Request
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import ClientState, Key, Record
from tests.unit.plugins.keys_support import (
    FIXTURES,
    PUBKEYS,
    ROOT_A,
    ROOT_B,
    BoltWriter,
    heavy,
    older_layout,
    prysm_tree,
    write_database,
)

R1 = b"\x01" * 32
K = PUBKEYS
ID_1, ID_2 = "1c7e1a0e-0000-4000-8000-000000000001", "1c7e1a0e-0000-4000-8000-000000000002"


def keys(*numbers: int, high: int = 9) -> t.Any:
    return {K[i]: ([(high * 8, R1)], [(high - 1, high, R1)]) for i in numbers}


def votes(*targets: int, blocks: t.Iterable[int] = ()) -> t.Any:
    return ([(slot, R1) for slot in blocks], [(target - 1, target, R1) for target in targets])


def client(name: str, directory: Path, numbers: list[int], **more: t.Any) -> _judge.Client:
    return _judge.Client(name, str(directory), tuple(K[i] for i in numbers), **more)


def judge(record: Record, *clients: tuple[str, Path, list[int]], **more: t.Any) -> _judge.Verdict:
    return _judge.judge(record, [client(*item) for item in clients], Request(**more))


def on_record(directory: Path) -> Record:
    """What is on record once a client with this database may start."""
    return _record.join(_judge.as_record(_judge.look(str(directory))[0]), Record(ROOT_A, {}))


def write_at(directory: Path, transaction: int, *args: t.Any, **more: t.Any) -> Path:
    path = write_database(directory, *args, **more)
    path.write_bytes(BoltWriter(transaction).dump(prysm_tree(*args, **more)))
    return path


def write_layout(directory: Path, layout: int, transaction: int = 7) -> None:
    """A database as Prysm before v1.3.0 (layout 1), or since, has it."""
    tree = prysm_tree(keys(0)) if layout == 2 else older_layout(prysm_tree(keys(0)))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "validator.db").write_bytes(BoltWriter(transaction).dump(tree))


def reasons(verdict: _judge.Verdict) -> str:
    return " | ".join(refusal.reason for refusal in verdict.refusals)


RECORD = Record(ROOT_A, {K[0]: Key(72, 8, 9), K[1]: Key(None, 8, 9)})


def test_a_client_with_its_history_may_start(tmp_path: Path) -> None:
    write_database(tmp_path, keys(0, 1))
    verdict = judge(RECORD, ("v1", tmp_path, [0, 1]))
    assert verdict.refusals == []
    assert verdict.news.keys[K[1]] == Key(72, 8, 9, "v1", 0, (72,), 9, 1)
    assert verdict.news.clients == {"v1": ClientState(None, 7, None)}


def test_a_new_key_may_start_without_a_database(tmp_path: Path) -> None:
    verdict = judge(RECORD, ("v1", tmp_path / "missing", [5]))
    assert verdict.refusals == [] and verdict.news.keys[K[5]] == Key(client="v1")


@pytest.mark.parametrize(
    ("database", "reason"),
    [
        pytest.param(None, "but its database is missing", id="missing"),
        pytest.param(({}, None), "knows nothing of it", id="empty"),
        pytest.param((keys(2), ROOT_A), "knows nothing of it", id="of-other-keys"),
        pytest.param((keys(0, high=8), ROOT_A), "highest target 8 instead of 9", id="older"),
        pytest.param(({K[0]: ([], [(8, 9, R1)])}, ROOT_A), "highest slot none instead of 72", id="without-blocks"),
        pytest.param((keys(0), ROOT_B), f"another network: {ROOT_B} instead of {ROOT_A}", id="foreign"),
        pytest.param(b"damaged", "is not a bbolt database", id="damaged"),
    ],
)
def test_a_known_key_does_not_start_with_less_than_it_had(tmp_path: Path, database: t.Any, reason: str) -> None:
    if isinstance(database, bytes):
        (tmp_path / "validator.db").write_bytes(database)
    elif database is not None:
        write_database(tmp_path, database[0], root=database[1])
    verdict = judge(RECORD, ("v1", tmp_path, [0]))
    assert len(verdict.refusals) == 1 and reason in verdict.refusals[0].reason
    assert verdict.refusals[0].client == "v1"
    assert all(entry.client is None for entry in verdict.news.keys.values()) and not verdict.news.clients


def test_the_minimal_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "validator-client-data/slashing-protection").mkdir(parents=True)
    (tmp_path / "validator-client-data/configuration.yaml").write_text(f"genesisValidatorsRoot: '{ROOT_A}'\n")
    verdict = judge(_record.EMPTY, ("v1", tmp_path, [0]))
    assert "which is not locked" in verdict.refusals[0].reason


def test_one_key_or_one_directory_for_two_clients_is_refused(tmp_path: Path) -> None:
    verdict = judge(_record.EMPTY, ("v1", tmp_path / "a", [0]), ("v2", tmp_path / "b", [0]))
    assert [r.reason for r in verdict.refusals] == ["is a key of v1 too"]
    for there in (False, True):
        verdict = judge(_record.EMPTY, ("v1", tmp_path / "d", [0]), ("v2", tmp_path / "x/../d", [1]))
        assert "is the data directory of v1 too" in verdict.refusals[0].reason
        if not there:
            (tmp_path / "x").mkdir()
            write_database(tmp_path / "d", {})


def test_one_database_under_two_names_is_refused(tmp_path: Path) -> None:
    """A hard link has the inode of a bind mount, and a path of its own."""
    path = write_database(tmp_path / "a", keys(0))
    (tmp_path / "b").mkdir()
    os.link(path, tmp_path / "b/validator.db")
    verdict = judge(_record.EMPTY, ("v1", tmp_path / "a", [0]), ("v2", tmp_path / "b", [1]))
    assert "b/validator.db is the database of v1 too" in reasons(verdict)


def test_another_networks_database_never_reaches_the_record(tmp_path: Path) -> None:
    write_database(tmp_path / "a", keys(0), root=ROOT_A)
    write_database(tmp_path / "b", keys(1), root=ROOT_B)
    verdict = judge(_record.EMPTY, ("v1", tmp_path / "a", [0]), ("v2", tmp_path / "b", [1]))
    assert [r.client for r in verdict.refusals] == ["v2"]
    assert {key: entry.watermarks() for key, entry in verdict.news.keys.items()} == {K[0]: (72, 8, 9)}
    with pytest.raises(StakingError, match="another network needs another data directory"):
        judge(RECORD, ("v1", tmp_path / "a", [0]), genesis_validators_root=ROOT_B)


def test_what_any_database_of_the_run_knows_counts_at_once(tmp_path: Path) -> None:
    """Without a record yet, a key does not start with the older of two databases."""
    write_database(tmp_path / "a", {K[0]: ([], [(8, 10, R1)])})
    write_database(tmp_path / "b", {K[0]: ([], [(2, 3, R1)])})
    for order in (("a", "b"), ("b", "a")):
        clients = [(name, tmp_path / name, [0] if name == "b" else [1]) for name in order]
        verdict = judge(_record.EMPTY, *clients)
        assert [(r.client, r.pubkey) for r in verdict.refusals] == [("b", K[0])]
        assert "highest target 3 instead of 10" in verdict.refusals[0].reason
        assert str(tmp_path / "a/validator.db") in verdict.refusals[0].reason


def test_blacklisted_keys_are_named(tmp_path: Path) -> None:
    write_database(tmp_path, keys(0, 1), blacklisted=[K[1], K[2]])
    assert judge(RECORD, ("v1", tmp_path, [0, 1])).blacklisted == {"v1": [K[1]]}


def test_a_database_that_comes_back_may_start_again(tmp_path: Path) -> None:
    path = write_database(tmp_path / "data", keys(0))
    shutil.copy(path, tmp_path / "kept")
    write_database(tmp_path / "data", {})
    assert judge(RECORD, ("v1", tmp_path / "data", [0])).refusals
    shutil.copy(tmp_path / "kept", path)
    assert not judge(RECORD, ("v1", tmp_path / "data", [0])).refusals


def test_a_key_of_another_client_is_refused_until_it_was_claimed(tmp_path: Path) -> None:
    record = Record(ROOT_A, {K[0]: Key(client="validator1")})
    verdict = judge(record, ("validator2", tmp_path / "b", [0]))
    assert "belongs to validator1, by the site's record" in reasons(verdict) and "move_key.yml" in reasons(verdict)
    assert K[0] not in verdict.news.keys
    verdict = judge(record, ("validator1", tmp_path / "b", [0]))
    assert not verdict.refusals and _record.join(record, verdict.news).keys == record.keys


# -- loss below the highest numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        pytest.param(votes(1, 2, 3, 4), votes(1, 4), "2 votes are missing, the first for target 2", id="between"),
        pytest.param(votes(1, 2, 3, 4), votes(1, 2, 4), "1 vote is missing, the first for target 3", id="one"),
        pytest.param(
            votes(9, blocks=(5, 6, 7, 8)),
            votes(9, blocks=(5, 8)),
            "2 blocks are missing, the first at slot 6",
            id="blocks",
        ),
        pytest.param(
            votes(1, 600, 1000), votes(1, 1000), "1 vote is missing, the first for target 600", id="far-apart"
        ),
    ],
)
def test_loss_below_the_highest_numbers_is_a_refusal(tmp_path: Path, before: t.Any, after: t.Any, reason: str) -> None:
    write_database(tmp_path, {K[0]: before})
    record = on_record(tmp_path)
    assert not judge(record, ("v1", tmp_path, [0])).refusals
    write_database(tmp_path, {K[0]: after})
    assert reason in reasons(judge(record, ("v1", tmp_path, [0])))


def floored(directory: Path, floor: int, slots: int, *targets: int, blocks: t.Iterable[int] = ()) -> None:
    tree = prysm_tree({K[0]: votes(*targets, blocks=blocks)})
    raw = bytes.fromhex(K[0][2:])
    tree[b"lowest-signed-target-bucket"][raw] = floor.to_bytes(8, "big")
    tree[b"lowest-signed-proposals-bucket"][raw] = slots.to_bytes(8, "big")
    directory.mkdir(exist_ok=True)
    (directory / "validator.db").write_bytes(BoltWriter().dump(tree))


def test_what_a_floor_forbids_may_be_missing(tmp_path: Path) -> None:
    write_database(tmp_path, {K[0]: votes(5, 6, 7, 9, blocks=(50, 60, 70))})
    record = on_record(tmp_path)
    floored(tmp_path, 7, 60, 9, blocks=(70,))
    assert not judge(record, ("v1", tmp_path, [0])).refusals
    floored(tmp_path, 6, 60, 9, blocks=(70,))
    assert "1 vote is missing, the first for target 7" in reasons(judge(record, ("v1", tmp_path, [0])))
    floored(tmp_path, 7, 59, 9, blocks=(70,))
    assert "1 block is missing, the first at slot 60" in reasons(judge(record, ("v1", tmp_path, [0])))


def test_what_prysm_prunes_may_be_missing(tmp_path: Path) -> None:
    """Votes 512 epochs behind the newest, with a flag; blocks 54000 epochs behind, always."""
    old = 10
    write_database(tmp_path, {K[0]: votes(old, old + 300, blocks=(old, 400))})
    record = on_record(tmp_path)
    for newest, fine in ((old + 511, False), (old + 512, True), (old + 5000, True)):
        # The lowest numbers stay when records are pruned.
        floored(tmp_path, 1, 1, *({old + 300} if newest < 5000 else ()), newest, blocks=(old, 400, 500))
        assert bool(reasons(judge(record, ("v1", tmp_path, [0])))) is not fine, newest
    newest_slot = 400 + 54000 * 32
    floored(tmp_path, 1, 1, old, old + 300, blocks=(newest_slot,))
    assert not judge(record, ("v1", tmp_path, [0])).refusals
    floored(tmp_path, 1, 1, old, old + 300, blocks=(newest_slot - 1,))
    assert "1 block is missing, the first at slot 400" in reasons(judge(record, ("v1", tmp_path, [0])))


def test_older_blocks_than_are_on_record_do_not_count(tmp_path: Path) -> None:
    write_database(tmp_path, {K[0]: votes(9, blocks=range(10, 45))})
    record = on_record(tmp_path)
    assert len(record.keys[K[0]].blocks) == 32
    write_database(tmp_path, {K[0]: votes(9, blocks=range(10, 100))})
    assert not judge(record, ("v1", tmp_path, [0])).refusals, "32 newer ones stand for those before"


@settings(max_examples=300 if heavy() else 60, deadline=None)
@given(
    had=st.sets(st.integers(1, 600), min_size=1, max_size=40),
    lost=st.sets(st.integers(1, 600), max_size=5),
    more=st.sets(st.integers(601, 1200), max_size=3),
    floor=st.integers(0, 600),
)
def test_a_missing_vote_is_loss_unless_the_floor_forbids_it_or_it_is_out_of_the_window(
    had: set[int], lost: set[int], more: set[int], floor: int
) -> None:
    """Against the plain words, by sets instead of bits."""
    left = (had | more) - lost

    def key(targets: set[int]) -> Key:
        last = max(targets, default=None)
        bits = sum(1 << (last - target) for target in targets if last is not None and last - target < 512)
        return Key(None, None, last, last=last, votes=bits)

    want, have = key(had), key(left)
    part = KeySummary(None, None, have.target, None, None, floor, (), have.last, have.votes)
    expected = {
        target
        for target in had - left
        if target > max(had) - 512 and target > floor and (not left or target > max(left) - 512)
    }
    short = _judge.shortfall(want, part)
    if have.target is None or have.target < max(had):
        assert short and short[0].startswith("highest target")
    elif expected:
        assert short == [
            f"{len(expected)} {'vote is' if len(expected) == 1 else 'votes are'} missing, the first for target"
            f" {min(expected)}"
        ]
    else:
        assert short == []


# -- real Prysm -------------------------------------------------------------------------------------------------------

REAL = sorted(str(path.relative_to(FIXTURES)) for path in FIXTURES.glob("**/*.db.xz"))


def unpacked(name: str, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    with lzma.open(FIXTURES / name) as packed:
        (directory / "validator.db").write_bytes(packed.read())
    return directory


def real(name: str, record: Record, directory: Path) -> _judge.Verdict:
    known, _ = _judge.look(str(directory))
    return _judge.judge(record, [_judge.Client(name, str(directory), tuple(known.keys))], Request())


@pytest.mark.parametrize("name", REAL)
def test_every_database_of_real_prysm_is_clean_against_itself(tmp_path: Path, name: str) -> None:
    directory = unpacked(name, tmp_path / "v")
    first = real("v", _record.EMPTY, directory)
    if "migrated-down" in name and first.refusals:
        # Going down mixes up the votes of several keys; a reader that sees it says so.
        assert "is not to be trusted" in reasons(first)
        return
    assert first.refusals == [] and first.news.keys
    record = _record.parse_record(_record.render_record(first.news), "x")
    assert record == first.news
    again = real("v", record, directory)
    assert again.refusals == [] and _record.join(record, again.news) == record
    # And none of it may go: neither its votes nor its blocks.
    known, _ = _judge.look(str(directory))
    for key, part in known.keys.items():
        want = record.keys[key]
        if part.targets and part.last_target != part.floor_target:
            assert _judge.shortfall(want, part._replace(targets=0, last_target=None, highest_target=None))
        for slot in part.slots:
            left = tuple(other for other in part.slots if other != slot)
            if slot > (part.floor_slot or 0) and left:
                highest = max(left) if slot == part.highest_slot else part.highest_slot
                assert _judge.shortfall(want, part._replace(slots=left, highest_slot=highest)), (key, slot)


VERSIONS = [name for name in REAL if name.startswith("prysm/") and name.endswith("/validator.db.xz")]


@pytest.mark.parametrize("name", VERSIONS)
def test_the_same_import_by_every_version_is_the_same_history(tmp_path: Path, name: str) -> None:
    """Going from one release to the next, with nothing signed between, is never loss."""
    record = real("v", _record.EMPTY, unpacked(VERSIONS[0], tmp_path / "first")).news
    verdict = real("v", record._replace(clients={}), unpacked(name, tmp_path / "v"))
    assert verdict.refusals == []


# -- every database below the data directory --------------------------------------------------------------------------


def test_the_database_of_a_client_that_is_not_declared_any_more_counts(tmp_path: Path) -> None:
    write_database(tmp_path / "validator1", {K[0]: votes(5, 500)})
    write_database(tmp_path / "validator2", {K[0]: votes(5, 200)})
    record = Record(ROOT_A, {K[0]: Key(None, 99, 100)})
    clients = [("validator2", tmp_path / "validator2", [0])]
    assert not judge(record, *clients).refusals
    verdict = judge(record, *clients, data_root=str(tmp_path))
    assert "highest target 200 instead of 500" in reasons(verdict)
    assert str(tmp_path / "validator1/validator.db") in reasons(verdict)
    assert verdict.news.keys[K[0]].target == 500, "what was found goes on record"
    assert not judge(record, *clients, data_root=str(tmp_path), exclude=("validator1",)).refusals


def minimal(directory: Path, key: str, target: int, root: str = ROOT_A) -> None:
    folder = directory / "validator-client-data/slashing-protection"
    folder.mkdir(parents=True)
    (folder.parent / "configuration.yaml").write_text(f"genesisValidatorsRoot: '{root}'\n")
    (folder / f"{key}.yaml").write_text(
        f"lastSignedAttestationSourceEpoch: 1\nlastSignedAttestationTargetEpoch: {target}\n"
    )


def test_whatever_way_it_is_reached_each_database_counts_once(tmp_path: Path) -> None:
    root, away = tmp_path / "data", tmp_path / "away"
    write_database(root / "v", keys(0))
    write_database(root / "old/deep/down", keys(1))
    write_database(away / "linked", keys(2))
    write_database(away / "linked/below", keys(3))
    write_database(root / "beacon/beaconchaindata", keys(5))
    (root / "beacon/blobs/0x12").mkdir(parents=True)
    minimal(root / "small", K[4], 50)
    (root / "dir").symlink_to(away / "linked")
    (root / "again").symlink_to(root / "old")
    (root / "circle").symlink_to(root / "circle")
    (root / "up").symlink_to(root)
    (root / "file").mkdir()
    (root / "file/validator.db").symlink_to(away / "linked/validator.db")
    found = sorted(_judge.databases(str(root)))
    assert found == sorted(
        str(path)
        for path in (
            root / "v/validator.db",
            root / "old/deep/down/validator.db",
            away / "linked/validator.db",
            root / "small/validator-client-data",
        )
    )
    verdict = judge(_record.EMPTY, ("v", root / "v", [0, 4]), data_root=str(root))
    assert [r.pubkey for r in verdict.refusals] == [K[4]] and "small/validator-client-data" in reasons(verdict)


@pytest.mark.parametrize(
    "name", ["validator.db.bak", "old-validator.db", "VALIDATOR.DB", "copy", "backups/prysm_1.backup", "lost+found/#12"]
)
@pytest.mark.parametrize("by", ["name", "link"])
def test_a_database_of_another_name_counts_at_every_start(tmp_path: Path, name: str, by: str) -> None:
    root, away = tmp_path / "data", tmp_path / "away"
    write_database(root / "v", keys(0, high=20))
    place = root / "gone" / name
    place.parent.mkdir(parents=True)
    other = write_database(away, keys(0, high=50))
    if by == "link":
        place.symlink_to(other)
    else:
        other.rename(place)
    verdict = judge(_record.EMPTY, ("v", root / "v", [0]), data_root=str(root))
    assert [r.pubkey for r in verdict.refusals] == [K[0]]
    assert judge(_record.EMPTY, ("v", root / "v", [0]), data_root=str(root), exclude=("gone",)).refusals == []
    place.resolve().write_bytes(place.read_bytes()[:5000])
    assert "not a whole bbolt database" in reasons(judge(_record.EMPTY, ("v", root / "v", [0]), data_root=str(root)))


def test_what_is_no_validators_database_is_left_alone(tmp_path: Path) -> None:
    write_database(tmp_path / "v", keys(0))
    (tmp_path / "v/notes.txt").write_text("x" * 9000)
    (tmp_path / "v/empty").touch()
    os.mkfifo(tmp_path / "v/pipe")
    (tmp_path / "network-keys").write_bytes(BoltWriter().dump({b"keys": {b"a": b"b"}}))
    assert sorted(_judge.databases(str(tmp_path))) == [str(tmp_path / "v/validator.db")]


@pytest.mark.parametrize("kind", ["damaged", "dangling", "circle", "directory", "fifo", "minimal"])
def test_one_that_cannot_be_read_is_a_refusal_unless_it_is_named(tmp_path: Path, kind: str) -> None:
    write_database(tmp_path / "v", keys(0))
    place = tmp_path / "old"
    place.mkdir()
    if kind == "damaged":
        (place / "validator.db").write_bytes(b"x" * 9000)
    elif kind == "dangling":
        (place / "validator.db").symlink_to("/nowhere/validator.db")
    elif kind == "circle":
        (place / "validator.db").symlink_to(place / "validator.db")
    elif kind == "directory":
        (place / "validator.db").mkdir()
    elif kind == "fifo":
        os.mkfifo(place / "validator.db")
    else:
        (place / "validator-client-data/slashing-protection").mkdir(parents=True)
        (place / "validator-client-data/slashing-protection/x.yaml").write_text("{}")
        (place / "validator-client-data/configuration.yaml").write_text("{}")
    verdict = judge(_record.EMPTY, ("v", tmp_path / "v", [0]), data_root=str(tmp_path))
    assert [r.client for r in verdict.refusals] == [None], verdict.refusals
    assert str(place) in reasons(verdict) and "prysm_wallet_exclude" in reasons(verdict)
    for name in ("old", str(place), "old/"):
        assert not judge(_record.EMPTY, ("v", tmp_path / "v", [0]), data_root=str(tmp_path), exclude=(name,)).refusals


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_a_directory_that_cannot_be_looked_at_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    write_database(tmp_path / "v", keys(0))
    write_database(tmp_path / "old", keys(0, high=50))
    real_call = getattr(os, call)

    def fails(path: t.Any, *args: t.Any, **more: t.Any) -> t.Any:
        if str(path) == str(tmp_path / "old"):
            raise OSError(code, os.strerror(code))
        return real_call(path, *args, **more)

    monkeypatch.setattr(os, call, fails)
    verdict = judge(_record.EMPTY, ("v", tmp_path / "v", [0]), data_root=str(tmp_path))
    assert str(tmp_path / "old") in reasons(verdict)


def test_what_is_of_another_network_bars_nothing_and_is_named(tmp_path: Path) -> None:
    write_database(tmp_path / "v", keys(0))
    old = write_database(tmp_path / "of-another-chain", keys(0, high=90), root=ROOT_B)
    verdict = judge(_record.EMPTY, ("v", tmp_path / "v", [0]), data_root=str(tmp_path))
    assert not verdict.refusals and verdict.foreign == [str(old)] and verdict.news.keys[K[0]].target == 9
    # Before it is known which network the site is of, it counts, and goes on no record.
    shutil.rmtree(tmp_path / "v")
    verdict = judge(_record.EMPTY, ("v", tmp_path / "v", [0]), data_root=str(tmp_path))
    assert "its database is missing" in reasons(verdict)
    assert verdict.news.keys == {} and verdict.news.genesis_validators_root is None


# -- notes beside the database, and what is on record of it -----------------------------------------------------------


def noted(directory: Path, **notes: str) -> None:
    for name, text in notes.items():
        (directory / f".validator-{name.replace('_', '-')}").write_text(text)


def one(directory: Path, record: Record = _record.EMPTY, **more: t.Any) -> _judge.Verdict:
    request = {name: more.pop(name) for name in list(more) if name in Request._fields}
    return _judge.judge(record, [client("v1", directory, [0], **more)], Request(**request))


@pytest.mark.parametrize("where", ["note", "record"])
def test_an_older_copy_is_known_by_its_transaction(tmp_path: Path, where: str) -> None:
    write_at(tmp_path, 90, keys(0))
    for number, refused in ((90, False), (89, False), (91, True), (2**64 - 1, True)):
        record = Record(ROOT_A, {}, {"v1": ClientState(transaction=number if where == "record" else None)})
        if where == "note":
            noted(tmp_path, transaction=f"{number}\n")
        verdict = one(tmp_path, record)
        assert bool(verdict.refusals) is refused
        assert not refused or f"at transaction 90, and {'.validator-t' if where == 'note' else 'the s'}" in reasons(
            verdict
        )
    assert _boltdb.transaction(str(tmp_path / "validator.db")) == 90


def test_a_database_replaced_on_purpose_is_taken_anew_and_judged_by_its_history(tmp_path: Path) -> None:
    write_layout(tmp_path, 1, 90)
    noted(tmp_path, transaction="90\n", version="1 v1.2.2\n", id=f"{ID_2}\n")
    record = Record(ROOT_A, {K[0]: Key(72, 8, 9, "v1")}, {"v1": ClientState(ID_1, 900, "v1.3.4")})
    assert len(one(tmp_path, record, version="v1.2.2").refusals) == 3
    verdict = one(tmp_path, record, version="v1.2.2", replaced=("v1",))
    assert not verdict.refusals
    after = _record.join(record, verdict.news)
    assert after.clients["v1"] == ClientState(ID_2, 90, "v1.2.2", 1)
    assert not one(tmp_path, after, version="v1.2.2").refusals
    again = one(tmp_path, after, version="v1.2.2", replaced=("v1",))
    assert _record.join(after, again.news) == after, "told twice, it is the same"
    short = one(tmp_path, Record(ROOT_A, {K[0]: Key(73, 8, 9)}), replaced=("v1",))
    assert "highest slot 72 instead of 73" in reasons(short)


@pytest.mark.parametrize("sign", ["note", "record", "expected", "live"])
def test_a_database_that_was_there_and_is_gone_is_a_refusal_though_nothing_was_signed(
    tmp_path: Path, sign: str
) -> None:
    record = Record(None, {K[0]: Key(client="v1")}, {"v1": ClientState(transaction=3 if sign == "record" else None)})
    if sign == "note":
        noted(tmp_path, transaction="3\n")
    elif sign == "expected":
        noted(tmp_path, db_expected="seen\n")
    verdict = one(tmp_path, record, live=("v1",) if sign == "live" else ())
    assert "Is the data disk mounted?" in reasons(verdict)
    assert not one(tmp_path / "new", _record.EMPTY).refusals


@pytest.mark.parametrize(
    ("seen", "wanted", "refused"),
    [
        ("2 v1.3.4", "v1.2.2", True),
        ("2 v7.1.6", "v1.2.2", True),
        ("2 v1.3.0", "v1.2.2", True),
        ("1 v1.2.2", "v1.0.5", True),
        ("2 v7.1.6", "v1.3.0", False),
        ("1 v1.2.2", "v1.2.2", False),
        ("1 v1.2.2", "v7.1.6", False),
        ("2 v1.3.0-rc.1", "v1.3.4", False),
        # A later table of layouts knows more than this one.
        ("3 v9.0.0", "v7.1.6", True),
        ("1 v1.3.4", "v1.2.2", True),
    ],
)
def test_an_older_layout_than_the_database_has_is_refused(
    tmp_path: Path, seen: str, wanted: str, refused: bool
) -> None:
    physical = min(int(seen[0]), 2)
    write_layout(tmp_path, physical)
    noted(tmp_path, version=seen + "\n")
    verdict = one(tmp_path, version=wanted)
    assert bool(verdict.refusals) is refused
    assert not refused or ("rollback.yml" in reasons(verdict) and seen.split()[1] in reasons(verdict))
    (tmp_path / ".validator-version").unlink()
    if not seen.startswith("3"):
        record = Record(ROOT_A, {}, {"v1": ClientState(version=seen.split()[1])})
        assert bool(one(tmp_path, record, version=wanted).refusals) is refused
    # Without any note, the database itself says in which layout it is.
    assert bool(one(tmp_path, version=wanted).refusals) is (physical > _judge.layout(wanted))


def test_an_uninstalled_release_that_comes_back_at_an_older_version_is_refused(tmp_path: Path) -> None:
    """The whole way: what a running client noted goes on record, and outlives the directory's notes."""
    write_at(tmp_path, 5, keys(0))
    noted(tmp_path, version="2 v1.3.4\n", transaction="5\n")
    record = one(tmp_path, version="v1.3.4").news
    assert record.clients["v1"] == ClientState(None, 5, "v1.3.4")
    for path in tmp_path.glob(".validator-*"):
        path.unlink()
    assert "opened by Prysm v1.3.4 (the site's record)" in reasons(one(tmp_path, record, version="v1.2.2"))


def test_what_a_database_says_itself_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_database(tmp_path, keys(0))
    real_look = _judge.look

    def look(path: str) -> tuple[_judge.Known, str]:
        known, place = real_look(path)
        return known._replace(layout=2, findings=(f"{K[0]}: a vote has no root", f"{K[5]}: of no client")), place

    monkeypatch.setattr(_judge, "look", look)
    assert "not to be trusted: a vote has no root" in reasons(one(tmp_path))
    assert "of no client" not in reasons(one(tmp_path)) and len(one(tmp_path, version="v1.3.0").refusals) == 1
    assert "of a newer layout" in reasons(one(tmp_path, version="v1.2.2"))


def test_the_layout_follows_the_table_that_is_given(tmp_path: Path) -> None:
    assert [_judge.layout(v) for v in ("v1.0.5", "v1.1.0", "v1.2.2", "v1.3.0-rc.1", "v1.3.0", "v7.1.6")] == [
        0, 1, 1, 2, 2, 2,
    ]  # fmt: skip
    noted(tmp_path, version="2 v8.0.0\n")
    write_database(tmp_path, keys(0))
    changes = ("1.1.0", "1.3.0", "8.0.0")
    assert one(tmp_path, version="v7.1.6", schema_changes=changes).refusals
    assert not one(tmp_path, version="v8.0.1", schema_changes=changes).refusals
    assert "is not a Prysm release tag" in reasons(one(tmp_path, version="latest"))


@pytest.mark.parametrize("name", ["transaction", "version", "id"])
@pytest.mark.parametrize("text", ["", "x", "-1", "1 2 3", "9" * 30, "1\n2\n", "\0"])
def test_a_damaged_note_is_a_refusal(tmp_path: Path, name: str, text: str) -> None:
    write_database(tmp_path, keys(0))
    noted(tmp_path, **{name: text})
    assert f".validator-{name}: does not hold" in reasons(one(tmp_path))


@pytest.mark.parametrize("kind", ["directory", "link"])
@pytest.mark.parametrize("name", ["transaction", "version", "id"])
def test_a_note_that_cannot_be_read_is_a_refusal(tmp_path: Path, name: str, kind: str) -> None:
    write_database(tmp_path, keys(0))
    path = tmp_path / f".validator-{name}"
    if kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/nowhere")
    assert str(path) in reasons(one(tmp_path))


def test_wallet_and_database_of_two_clients_are_refused(tmp_path: Path) -> None:
    data, wallet = tmp_path / "data", tmp_path / "wallet"
    write_database(data, keys(0))
    wallet.mkdir()
    record = Record(ROOT_A, {}, {"v1": ClientState(ID_1)})
    assert not one(data, record, wallet_dir=str(wallet)).refusals, "one that is not written yet is no other"
    noted(data, id=ID_1 + "\n")
    noted(wallet, id=ID_1.upper() + "\n")
    verdict = one(data, record, wallet_dir=str(wallet))
    assert not verdict.refusals and verdict.news.clients["v1"].identity == ID_1
    noted(wallet, id=ID_2 + "\n")
    assert f"but its wallet has {ID_2}" in reasons(one(data, record, wallet_dir=str(wallet)))
    noted(data, id=ID_2 + "\n")
    assert f"but the site's record has {ID_1}" in reasons(one(data, record, wallet_dir=str(wallet)))


# -- record and databases gone at once --------------------------------------------------------------------------------


def test_an_empty_disk_is_refused_with_the_likely_cause_and_the_way_out(tmp_path: Path) -> None:
    verdict = one(tmp_path, RECORD, lost="/data/.history/record.json", copies=("/var/lib/x/record.json",))
    first = verdict.refusals[0]
    assert first.client is None
    assert "/data/.history/record.json is gone, but /var/lib/x/record.json knows 2 keys, of which 2 have signed" in (
        first.reason
    )
    for words in ("data disk is not mounted", "server was rebuilt", "newest validator.db", "never an older copy"):
        assert words in first.reason
    write_database(tmp_path, keys(0))
    assert not one(tmp_path, RECORD, lost="/data/.history/record.json").refusals, "the database came back"


def test_a_client_that_runs_without_its_database_speaks_against_going_on(tmp_path: Path) -> None:
    write_database(tmp_path / "v1", keys(0))
    dirs = {"v1": str(tmp_path / "v1"), "v2": str(tmp_path / "v2")}
    assert _judge.lost_clients({"v1": [K[0]], "v2": [], "other/v3": [K[3]]}, dirs) == []
    found = _judge.lost_clients({"v1": [K[0]], "v2": [K[1]]}, dirs)
    assert len(found) == 1 and "v2 runs with 1 key," in found[0] and "not mounted" in found[0]


def test_only_the_watchers_own_hold_is_lifted(tmp_path: Path) -> None:
    hold = tmp_path / ".validator-hold"
    assert _judge.lift_hold(str(tmp_path)) is False
    for text in ("moved\n", "", " history: x", "History: x"):
        hold.write_text(text)
        assert _judge.lift_hold(str(tmp_path)) is False and hold.exists()
    hold.unlink()
    hold.symlink_to("/nowhere")
    assert _judge.lift_hold(str(tmp_path)) is False and hold.is_symlink()
    hold.unlink()
    hold.write_text("history: older\n")
    assert _judge.lift_hold(str(tmp_path)) is True and not hold.exists()
