from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, as_json
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _record
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import KeyHistory, Marks, lacking
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import ClientState, Key, Record
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, ROOT_B, heavy, tree_of, write_database

R1 = b"\x01" * 32
K = PUBKEYS
HIGHEST = 2**64 - 1
RECORD = Record(ROOT_A, {K[0]: Key(72, 8, 9), K[1]: Key(None, 8, 9)})


def raise_record(path: str, news: Record) -> tuple[Record, Record]:
    """As the guard and the claims do it: read, joined with the news, and written, under one lock."""
    with _record.locked(path) as copies:
        before = _record.join(*copies.found.values())
        after = _record.join(before, news)
        copies.write(after)
        return before, after


def test_the_record_is_read_and_compared_like_any_history(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    raise_record(path, RECORD)
    history, place = _record.read_history(path)
    assert (history.format, place) == ("record", path)
    assert {key: part.watermarks() for key, part in history.keys.items()} == {
        key: entry.watermarks() for key, entry in RECORD.keys.items()
    }
    database = write_database(tmp_path / "data", {K[0]: ([(72, R1)], [(8, 9, R1)])})
    known, _ = _record.read_history(str(database))
    for key, wanted in history.keys.items():
        assert bool(lacking(known.keys.get(key, KeyHistory()), wanted)) == (
            bool(known.keys.get(key, KeyHistory()).watermarks().missing(RECORD.keys[key].watermarks()))
        )


# -- joining and raising ----------------------------------------------------------------------------------------------


@st.composite
def keys_of_any_kind(draw: st.DrawFn) -> Key:
    number = st.one_of(st.integers(0, 700), st.integers(0, HIGHEST))
    blocks = tuple(sorted(draw(st.sets(number, max_size=_record.BLOCKS))))
    last = draw(st.none() | number)
    votes = 0 if last is None else draw(st.integers(0, _record._ALL_VOTES)) & ((1 << min(last + 1, 512)) - 1) | 1
    marks = Marks(*[draw(st.none() | number) for _ in range(3)])
    marks = marks.join(Marks(blocks[-1] if blocks else None, None, last))
    client = draw(st.sampled_from([None, "validator1", "validator2"]))
    moves = draw(st.integers(0, 2)) if client is not None else 0
    return Key(*marks, client, moves, blocks, last, votes)


STATES = st.builds(
    ClientState,
    st.none() | st.sampled_from(["1c7e1a0e-0000-4000-8000-000000000001", "1c7e1a0e-0000-4000-8000-000000000002"]),
    st.none() | st.integers(0, HIGHEST),
    st.sampled_from([None, "v1.2.2", "v1.3.4", "v7.1.6", "v7.1.6-rc.1", "v4.0.3-hotfix"]),
    st.integers(0, 2),
)
RECORDS = st.builds(
    Record,
    st.sampled_from([None, ROOT_A]),
    st.dictionaries(st.sampled_from(K[:3]), keys_of_any_kind(), max_size=3),
    st.dictionaries(st.sampled_from(["validator1", "validator2"]), STATES, max_size=2),
)
SETTINGS = settings(
    max_examples=500 if heavy() else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def joined(*records: Record) -> Record | None:
    """None where claims or identities contradict each other."""
    try:
        return _record.join(*records)
    except StakingError:
        return None


def covers(high: Record, low: Record) -> None:
    """Everything that the lower one knows, within what a record keeps."""
    for key, entry in low.keys.items():
        other = high.keys[key]
        assert other.watermarks().missing(entry.watermarks()) == []
        assert all(slot in other.blocks or len(other.blocks) == _record.BLOCKS for slot in entry.blocks)
        if entry.last is not None:
            assert other.last is not None and other.last >= entry.last
            assert entry.votes_until(other.last) & ~other.votes == 0
        assert other.moves >= entry.moves
        assert other.moves > entry.moves or entry.client in (None, other.client)
    for name, state in low.clients.items():
        now = high.clients[name]
        assert now.replaced >= state.replaced
        if now.replaced == state.replaced:
            assert state.transaction is None or (now.transaction is not None and now.transaction >= state.transaction)
            assert state.version is None or now.version is not None
            assert state.identity in (None, now.identity)


@SETTINGS
@given(one=RECORDS, two=RECORDS, three=RECORDS)
def test_a_join_is_one_whatever_the_order_and_lowers_nothing(one: Record, two: Record, three: Record) -> None:
    assert joined(one, one) == one == joined(one)
    assert joined(one, two) == joined(two, one)
    together = joined(one, two, three)
    assert together == joined(three, one, two)
    if together is None:
        return
    for record in (one, two, three):
        covers(together, record)
        assert joined(together, record) == together
    # By parts as well, unless two parts contradict each other and only the third has the later claim.
    for left, right in ((one, (two, three)), (two, (one, three))):
        part = joined(*right)
        if part is not None:
            assert joined(left, part) == together


def test_the_later_claim_counts_and_two_of_the_same_time_are_refused() -> None:
    one, two = Record(None, {K[0]: Key(client="validator1")}), Record(None, {K[0]: Key(client="validator2")})
    with pytest.raises(StakingError, match="belongs to validator1 and to validator2"):
        _record.join(one, two)
    later = Record(None, {K[0]: Key(client="validator2", moves=1)})
    assert _record.join(one, later).keys[K[0]].client == "validator2"


def test_records_of_two_networks_and_of_two_sites_are_not_joined() -> None:
    with pytest.raises(StakingError, match="different networks"):
        _record.join(RECORD, RECORD._replace(genesis_validators_root=ROOT_B))
    with pytest.raises(StakingError, match="validator1 has two identities"):
        _record.join(*(Record(None, {}, {"validator1": ClientState(identity=i)}) for i in ("a", "b")))


def test_votes_are_aligned_by_their_epoch() -> None:
    early, late = Key(target=5, last=5, votes=0b101), Key(target=7, last=7, votes=0b1)
    assert _record.join_keys([early, late]) == Key(target=7, last=7, votes=0b10101)
    far = Key(target=HIGHEST, last=HIGHEST, votes=1)
    assert _record.join_keys([early, far]) == far


@SETTINGS
@given(record=RECORDS)
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, record: Record) -> None:
    data = _record.render_record(record)
    assert _record.parse_record(data, "x") == record
    assert json.loads(data) == _record.to_document(record)
    assert _record.from_document(json.loads(json.dumps(_record.to_document(record))), "x") == record


@SETTINGS
@given(news=st.lists(RECORDS, min_size=1, max_size=6))
def test_whatever_comes_the_record_is_never_lowered(tmp_path_factory: pytest.TempPathFactory, news: t.Any) -> None:
    path = tmp_path_factory.mktemp("record") / ".history" / "record.json"
    last = _record.EMPTY
    for item in news:
        try:
            before, after = raise_record(str(path), item)
        except StakingError:
            assert _record.read_record(str(path)) == last, "a contradiction changes nothing"
            continue
        assert before == last and _record.read_record(str(path)) == after
        covers(after, last)
        covers(after, item)
        last = after
    if path.exists():
        assert oct(path.stat().st_mode & 0o777) == "0o600" and oct(path.parent.stat().st_mode & 0o777) == "0o700"


def test_runs_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / ".history").mkdir(mode=0o700)
    path = str(tmp_path / ".history" / "record.json")
    news = [Record(ROOT_A, {K[i % 4]: Key(i, i, i)}) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: raise_record(path, item), news))
    assert _record.read_record(path).keys == {K[i]: Key(12 + i, 12 + i, 12 + i) for i in range(4)}


# -- reading ----------------------------------------------------------------------------------------------------------

ENTRY = {"slot": 5, "source": 1, "target": 2, "client": "v1", "blocks": [4, 5], "votes": {"last": 2, "bits": "5"}}
STATE = {"identity": "a-b", "transaction": 7, "version": "v7.1.6"}


def document(entry: t.Any = ENTRY, state: t.Any = STATE, **more: t.Any) -> dict[str, t.Any]:
    return {"version": 2, "genesis_validators_root": ROOT_A, "keys": {K[0]: entry}, "clients": {"v1": state}, **more}


def test_both_versions_are_read(tmp_path: Path) -> None:
    assert _record.from_document(document(), "x") == Record(
        ROOT_A, {K[0]: Key(5, 1, 2, "v1", 0, (4, 5), 2, 0b101)}, {"v1": ClientState("a-b", 7, "v7.1.6")}
    )
    old = {"version": 1, "genesis_validators_root": None, "keys": {K[0]: {"slot": 5, "source": None, "target": 2}}}
    path = tmp_path / "record.json"
    path.write_bytes(as_json(old))
    assert _record.read_record(str(path)) == Record(None, {K[0]: Key(5, None, 2)})
    raise_record(str(path), Record(None, {K[0]: Key(4, 1, 1)}))
    assert json.loads(path.read_text())["version"] == 2
    assert _record.read_record(str(path)) == Record(None, {K[0]: Key(5, 1, 2)})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "fields are others"),
        ({"version": 1, "keys": {}}, "fields are others"),
        ({"version": 3, "keys": {}, "clients": {}, "genesis_validators_root": None}, "version is not known"),
        ({"version": True, "keys": {}, "genesis_validators_root": None}, "version is not known"),
        ({"version": 2, "keys": {}, "genesis_validators_root": None}, "fields are others"),
        ({"version": 1, "keys": {}, "genesis_validators_root": "x"}, "root is damaged"),
        ({"version": 1, "keys": [], "genesis_validators_root": None}, "not an object"),
        ({"version": 1, "keys": {"x": {}}, "genesis_validators_root": None}, "not a 48-byte"),
        ({"version": 1, "keys": {K[0]: {"slot": 1}}, "genesis_validators_root": None}, "entry of .* is damaged"),
        ({"version": 1, "keys": {K[0]: ENTRY}, "genesis_validators_root": None}, "entry of .* is damaged"),
        (document({**ENTRY, "slot": -1}), "is not a number"),
        (document({**ENTRY, "slot": 5.0}), "is not a number"),
        (document({**ENTRY, "slot": True}), "is not a number"),
        (document({**ENTRY, "target": 2**64}), "is not a number"),
        (document({**ENTRY, "slot": 4}), "above its highest"),
        (document({**ENTRY, "target": None}), "above its highest"),
        (document({**ENTRY, "blocks": [5, 4]}), "not in order"),
        (document({**ENTRY, "blocks": [5, 5]}), "not in order"),
        (document({**ENTRY, "blocks": [None]}), "not a list"),
        (document({**ENTRY, "blocks": list(range(33)), "slot": 40}), "not a list"),
        (document({**ENTRY, "votes": {"last": 2, "bits": "4"}}), "not of their epochs"),
        (document({**ENTRY, "votes": {"last": 2, "bits": "f"}}), "not of their epochs"),
        (document({**ENTRY, "votes": {"last": 2, "bits": "0x1"}}), "votes are others"),
        (document({**ENTRY, "votes": {"last": 2, "bits": "01"}}), "votes are others"),
        (document({**ENTRY, "votes": {"last": 999, "bits": "1" * 129}, "target": 999}), "votes are others"),
        (document({**ENTRY, "client": ""}), "client is not a name"),
        (document({**ENTRY, "client": 5}), "client is not a name"),
        (document({**ENTRY, "client": None, "moves": 1}), "moved to no client"),
        (document({**ENTRY, "moves": 0}), "not a count"),
        (document({**ENTRY, "other": 0}), "fields are others"),
        (document(state={**STATE, "transaction": "7"}), "is not a number"),
        (document(state={**STATE, "version": "latest"}), "not a release"),
        (document(state={**STATE, "version": 7}), "not a release"),
        (document(state={**STATE, "identity": "a/b"}), "not a name"),
        (document(state={**STATE, "more": 1}), "fields are others"),
        (document(clients={"": STATE}), "not a name"),
        (document(clients=[]), "not an object"),
    ],
)
def test_a_damaged_record_is_danger_not_a_fresh_start(tmp_path: Path, content: t.Any, reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(as_json(content))
    with pytest.raises(StakingError, match=reason) as refused:
        _record.read_record(str(path))
    assert str(refused.value).startswith(f"{path}: ")
    before = tree_of(tmp_path)
    with pytest.raises(StakingError):
        raise_record(str(path), RECORD)
    assert tree_of(tmp_path) == before


def mutations(data: bytes, rng: random.Random, count: int) -> t.Iterator[bytes]:
    for _ in range(count):
        changed = bytearray(data)
        kind = rng.randrange(4)
        at = rng.randrange(len(changed))
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            changed[at] = rng.randrange(256)
        elif kind == 2:
            del changed[at : at + rng.randrange(1, 40)]
        else:
            changed[at:at] = data[at : at + rng.randrange(1, 40)]
        yield bytes(changed)


def test_a_record_damaged_anyhow_is_read_or_refused_never_a_traceback() -> None:
    data = _record.render_record(_record.from_document(document({**ENTRY, "moves": 3}), "x"))
    rng = random.Random(7)
    read = 0
    for changed in mutations(data, rng, 4000 if heavy() else 1500):
        try:
            _record.parse_record(changed, "x")
            read += 1
        except StakingError:
            pass
    assert read < 1000


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ELOOP, errno.ENAMETOOLONG])
@pytest.mark.parametrize("call", ["stat", "lstat", "open", "read", "replace", "fsync"])
def test_a_call_that_fails_once_never_lowers_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """Each use of the call, one after the other, fails once; what is on disk never goes down."""
    path = tmp_path / ".history" / "record.json"
    raise_record(str(path), RECORD)
    real = getattr(os, call)
    for number in range(40):
        used = [0]

        def fails_once(*args: t.Any, used: list[int] = used, number: int = number, **more: t.Any) -> t.Any:
            used[0] += 1
            if used[0] == number + 1:
                raise OSError(code, os.strerror(code))
            return real(*args, **more)

        monkeypatch.setattr(os, call, fails_once)
        try:
            raise_record(str(path), Record(ROOT_A, {K[0]: Key(number, 1, 2)}))
        except StakingError:
            pass
        finally:
            monkeypatch.setattr(os, call, real)
        covers(_record.read_record(str(path)), RECORD)
        if used[0] <= number:
            break


# -- copies -----------------------------------------------------------------------------------------------------------


def test_all_copies_are_raised_to_one(tmp_path: Path) -> None:
    own, witness = str(tmp_path / "data/.history/record.json"), str(tmp_path / "var/lib/x/record.json")
    (tmp_path / "data").mkdir()
    (tmp_path / "var").mkdir()
    raise_record(own, RECORD)
    with _record.locked(own, [witness, own]) as copies:
        assert list(copies.found) == [own] and copies.primary == RECORD
        after = _record.join(RECORD, Record(None, {K[0]: Key(80, 9, 10)}))
        assert sorted(copies.write(after)) == sorted([own, witness])
    assert _record.read_record(own) == _record.read_record(witness) == after
    Path(own).unlink()
    with _record.locked(own, [witness]) as copies:
        assert copies.primary is None and copies.found == {witness: after}
        assert copies.write(after, make=False) == [] and not Path(own).exists()
        with pytest.raises(StakingError, match="about to be lowered"):
            copies.write(RECORD)


def test_two_copies_in_one_directory_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with _record.locked(str(tmp_path / "a.json"), [str(tmp_path / "b.json")], seconds=1) as copies:
        copies.write(RECORD)
    assert _record.read_record(str(tmp_path / "b.json")) == RECORD


def test_a_record_that_is_locked_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    with (
        _record.locked(path),
        pytest.raises(StakingError, match="in use by another run"),
        _record.locked(path, seconds=0.2),
    ):
        pass


def test_the_watchers_copy_counts_for_its_own_record_only(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    assert _record.witnesses_of("/data/r.json", str(config)) == _record.witnesses_of("/data/r.json", None) == []
    config.write_text(json.dumps({"record": "/data/r.json", "witness": "/w.json"}))
    assert _record.witnesses_of("/data/x/../r.json", str(config)) == ["/w.json"]
    assert _record.witnesses_of("/other/r.json", str(config)) == []
    config.write_text("{}")
    with pytest.raises(StakingError, match="not the configuration"):
        _record.witnesses_of("/data/r.json", str(config))


# -- claims -----------------------------------------------------------------------------------------------------------


def test_a_claim_passes_on_only_when_the_key_was_released_or_reassigned() -> None:
    record = Record(None, {K[0]: Key(5, 1, 2, "validator1")})
    news, refusals = _record.claim(record, {"validator2": [K[0]]})
    assert news == _record.EMPTY and "belongs to validator1, by the site's record" in refusals[0]
    assert "claimed for validator2" in refusals[0]
    for more in ({"released": {(K[0], "validator1")}}, {"released": {(K[0], None)}}, {"reassign": [K[0]]}):
        news, refusals = _record.claim(record, {"validator2": [K[0]]}, **more)
        assert refusals == [] and _record.join(record, news).keys[K[0]] == Key(5, 1, 2, "validator2", 1)
    for more in ({"released": {(K[1], "validator1"), (K[0], "validator3")}}, {"reassign": [K[1]]}):
        assert _record.claim(record, {"validator2": [K[0]]}, **more)[1]
    assert _record.claim(record, {"validator1": [K[0]]}) == (_record.EMPTY, [])
    assert _record.claim(_record.EMPTY, {"a": [K[0]], "b": [K[0]]})[1] == [f"{K[0]} is claimed for a and for b"]


def claimer(path: str, client: str, seed: int, granted: t.Any) -> None:
    rng = random.Random(seed)
    for _ in range(8):
        wanted = rng.sample(K[:4], rng.randint(1, 3))
        with _record.locked(path) as copies:
            before = _record.join(*copies.found.values())
            news, refusals = _record.claim(before, {client: wanted})
            if not refusals:
                copies.write(_record.join(before, news))
        if not refusals:
            granted.put((client, wanted))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_interleaving_no_key_is_granted_to_two_clients(tmp_path: Path, seed: int) -> None:
    path = str(tmp_path / "record.json")
    context = multiprocessing.get_context("fork")
    granted: t.Any = context.Queue()
    workers = [context.Process(target=claimer, args=(path, f"v{i}", seed * 10 + i, granted)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    owners: dict[str, set[str]] = {}
    while not granted.empty():
        client, keys = granted.get()
        for key in keys:
            owners.setdefault(key, set()).add(client)
    assert owners and all(len(clients) == 1 for clients in owners.values())
    record = _record.read_record(path)
    assert {key: {entry.client} for key, entry in record.keys.items()} == owners
