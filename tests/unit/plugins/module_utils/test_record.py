from __future__ import annotations

import shutil
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _record
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError, as_json
from ansible_collections.eth2xk8s.staking.plugins.module_utils._history import KeyHistory, Marks, lacking
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, ROOT_B, heavy, tree_of, write_database

R1 = b"\x01" * 32
K = PUBKEYS


def keys(*numbers: int, high: int = 9) -> t.Any:
    return {K[i]: ([(high * 8, R1)], [(high - 1, high, R1)]) for i in numbers}


def judge(record: _record.Record, *clients: tuple[str, Path, list[int]], **more: t.Any) -> _record.Verdict:
    return _record.judge(
        record,
        [_record.Client(name, str(directory), tuple(K[i] for i in numbers)) for name, directory, numbers in clients],
        **more,
    )


RECORD = _record.Record(ROOT_A, {K[0]: Marks(72, 8, 9), K[1]: Marks(None, 8, 9)})


def test_a_client_with_its_history_may_start(tmp_path: Path) -> None:
    write_database(tmp_path, keys(0, 1))
    verdict = judge(RECORD, ("v1", tmp_path, [0, 1]))
    assert verdict.refusals == [] and verdict.news.keys[K[1]] == (72, 8, 9)


def test_a_new_key_may_start_without_a_database(tmp_path: Path) -> None:
    verdict = judge(RECORD, ("v1", tmp_path / "missing", [5]))
    assert verdict.refusals == [] and verdict.news.keys[K[5]] == Marks()


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


def test_the_minimal_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "validator-client-data/slashing-protection").mkdir(parents=True)
    (tmp_path / "validator-client-data/configuration.yaml").write_text(f"genesisValidatorsRoot: '{ROOT_A}'\n")
    verdict = judge(_record.Record(None, {}), ("v1", tmp_path, [0]))
    assert "which is not locked" in verdict.refusals[0].reason


def test_one_key_or_one_directory_for_two_clients_is_refused(tmp_path: Path) -> None:
    verdict = judge(_record.Record(None, {}), ("v1", tmp_path / "a", [0]), ("v2", tmp_path / "b", [0]))
    assert [r.reason for r in verdict.refusals] == ["is a key of v1 too"]
    verdict = judge(_record.Record(None, {}), ("v1", tmp_path, [0]), ("v2", tmp_path / "x/..", [1]))
    assert "is the data directory of v1 too" in verdict.refusals[0].reason


def test_another_networks_database_never_reaches_the_record(tmp_path: Path) -> None:
    write_database(tmp_path / "a", keys(0), root=ROOT_A)
    write_database(tmp_path / "b", keys(1), root=ROOT_B)
    verdict = judge(_record.Record(None, {}), ("v1", tmp_path / "a", [0]), ("v2", tmp_path / "b", [1]))
    assert [r.client for r in verdict.refusals] == ["v2"]
    assert verdict.news.keys == {K[0]: (72, 8, 9), K[1]: Marks()}
    with pytest.raises(StakingError, match="another network needs another data directory"):
        judge(RECORD, ("v1", tmp_path / "a", [0]), genesis_validators_root=ROOT_B)


def test_what_any_database_of_the_run_knows_counts_at_once(tmp_path: Path) -> None:
    """Without a record yet, a key does not start with the older of two databases."""
    write_database(tmp_path / "a", {K[0]: ([], [(8, 10, b"\x01" * 32)])})
    write_database(tmp_path / "b", {K[0]: ([], [(2, 3, b"\x01" * 32)])})
    for order in (("a", "b"), ("b", "a")):
        clients = [(name, tmp_path / name, [0] if name == "b" else [1]) for name in order]
        verdict = judge(_record.Record(None, {}), *clients)
        assert [(r.client, r.pubkey) for r in verdict.refusals] == [("b", K[0])]
        assert "highest target 3 instead of 10" in verdict.refusals[0].reason


def test_the_record_is_read_and_compared_like_any_history(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    _record.raise_record(path, RECORD)
    history, place = _record.read_history(path)
    assert (history.format, place) == ("record", path)
    assert {key: part.marks() for key, part in history.keys.items()} == RECORD.keys
    database = write_database(tmp_path / "data", keys(0))
    known, _ = _record.read_history(str(database))
    for key, wanted in history.keys.items():
        assert bool(lacking(known.keys.get(key, KeyHistory()), wanted)) == (
            bool(known.keys.get(key, KeyHistory()).marks().missing(RECORD.keys[key]))
        )


def test_blacklisted_keys_are_named(tmp_path: Path) -> None:
    write_database(tmp_path, keys(0, 1), blacklisted=[K[1], K[2]])
    assert judge(RECORD, ("v1", tmp_path, [0, 1])).blacklisted == {"v1": [K[1]]}


MARKS = st.builds(Marks, *[st.none() | st.integers(0, 2**64 - 1)] * 3)
RECORDS = st.builds(
    _record.Record, st.sampled_from([None, ROOT_A]), st.dictionaries(st.sampled_from(K), MARKS, max_size=4)
)
SETTINGS = settings(
    max_examples=500 if heavy() else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SETTINGS
@given(news=st.lists(RECORDS, min_size=1, max_size=6))
def test_whatever_comes_the_record_is_never_lowered(tmp_path_factory: pytest.TempPathFactory, news: t.Any) -> None:
    path = tmp_path_factory.mktemp("record") / ".history" / "record.json"
    last = _record.Record(None, {})
    for item in news:
        before, after = _record.raise_record(str(path), item)
        assert before == last and _record.read_record(str(path)) == after
        for old in (last, item):
            for key, marks in old.keys.items():
                assert after.keys[key].missing(marks) == []
        last = after
    assert oct(path.stat().st_mode & 0o777) == "0o600" and oct(path.parent.stat().st_mode & 0o777) == "0o700"


def test_runs_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / ".history").mkdir(mode=0o700)
    path = str(tmp_path / ".history" / "record.json")
    news = [_record.Record(ROOT_A, {K[i % 4]: Marks(i, i, i)}) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: _record.raise_record(path, item), news))
    assert _record.read_record(path).keys == {K[i]: Marks(12 + i, 12 + i, 12 + i) for i in range(4)}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "fields are others"),
        ({"version": 1, "keys": {}}, "fields are others"),
        ({"version": 2, "keys": {}, "genesis_validators_root": None}, "version is not known"),
        ({"version": 1, "keys": {}, "genesis_validators_root": "x"}, "root is damaged"),
        ({"version": 1, "keys": [], "genesis_validators_root": None}, "not an object"),
        ({"version": 1, "keys": {"x": {}}, "genesis_validators_root": None}, "not a 48-byte"),
        ({"version": 1, "keys": {K[0]: {"slot": 1}}, "genesis_validators_root": None}, "entry of .* is damaged"),
        (
            {
                "version": 1,
                "keys": {K[0]: {"slot": -1, "source": None, "target": None}},
                "genesis_validators_root": None,
            },
            "is damaged",
        ),
    ],
)
def test_a_damaged_record_is_danger_not_a_fresh_start(tmp_path: Path, document: t.Any, reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(as_json(document))
    with pytest.raises(StakingError, match=reason) as refused:
        _record.read_record(str(path))
    assert str(refused.value).startswith(f"{path}: ")
    before = tree_of(tmp_path)
    with pytest.raises(StakingError):
        _record.raise_record(str(path), RECORD)
    assert tree_of(tmp_path) == before


def test_a_database_that_comes_back_may_start_again(tmp_path: Path) -> None:
    path = write_database(tmp_path / "data", keys(0))
    shutil.copy(path, tmp_path / "kept")
    write_database(tmp_path / "data", {})
    assert judge(RECORD, ("v1", tmp_path / "data", [0])).refusals
    shutil.copy(tmp_path / "kept", path)
    assert not judge(RECORD, ("v1", tmp_path / "data", [0])).refusals
