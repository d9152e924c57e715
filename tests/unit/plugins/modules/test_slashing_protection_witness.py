"""The copy of the record in the cluster, against a small API server that keeps ConfigMaps as the real one does."""

from __future__ import annotations

import base64
import gzip
import json
import random
import threading
import time
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Cluster
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _cluster_history, _record
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import ClientState, Key, Record
from ansible_collections.eth2xk8s.staking.plugins.modules import slashing_protection_witness as module
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, ROOT_B, run_module

K = PUBKEYS
MAPS = "/api/v1/namespaces/kube-system/configmaps"


class Api:
    """ConfigMaps of one namespace: versions, conflicts, refusals."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, t.Any]] = {}
        self.version = 0
        self.status = 0
        self.writes: list[str] = []
        self.before_write: t.Callable[[], None] = lambda: None
        self.lock = threading.RLock()

    def put(self, body: dict[str, t.Any], name: str | None) -> int:
        with self.lock:
            own = body["metadata"]["name"]
            if name is None and own in self.maps:
                return 409
            if name is not None:
                if own not in self.maps:
                    return 404
                version = self.maps[own]["metadata"]["resourceVersion"]
                # Without a version it is taken, whatever was written meanwhile.
                if body["metadata"].get("resourceVersion", version) != version:
                    return 409
            self.version += 1
            body["metadata"]["resourceVersion"] = str(self.version)
            self.maps[own] = body
            self.writes.append(own)
            return 200


@pytest.fixture
def api(tmp_path: Path) -> t.Iterator[Api]:
    state = Api()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: t.Any) -> None:
            pass

        def answer(self, status: int, document: t.Any) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            found = list(state.maps.values()) if self.path == MAPS else []
            self.answer(state.status or 200, {"items": found})

        def do_POST(self) -> None:
            self.write(None)

        def do_PUT(self) -> None:
            self.write(self.path.rpartition("/")[2])

        def write(self, name: str | None) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["Content-Type"] == "application/json"
            act, state.before_write = state.before_write, lambda: None
            act()
            self.answer(state.put(body, name), body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    (tmp_path / "kubeconfig").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": address}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )  # fmt: skip
    yield state
    server.shutdown()
    server.server_close()


def run(tmp_path: Path, record: Record | None = None, **more: t.Any) -> dict[str, t.Any]:
    params = {"kubeconfig": str(tmp_path / "kubeconfig"), "namespace": "kube-system", "timeout": 2, **more}
    if record is not None:
        params.update(state="present", record=_record.to_document(record))
    return run_module(module, **params)


def many(count: int, target: int, start: int = 0) -> Record:
    return Record(ROOT_A, {f"0x{number:096x}": Key(None, 1, target, "v1") for number in range(start, start + count)})


RECORD = Record(
    ROOT_A, {K[0]: Key(9, 4, 5, "v1", 1, (8, 9), 5, 0b11), K[1]: Key()}, {"v1": ClientState("a-b", 7, "v7.1.6")}
)


def test_an_empty_cluster_has_an_empty_record_and_one_that_does_not_answer_is_a_failure(
    tmp_path: Path, api: Api
) -> None:
    assert run(tmp_path)["record"] == _record.to_document(_record.EMPTY)
    api.status = 500
    assert "cannot be read" in run(tmp_path, timeout=0)["msg"]
    api.status = 403
    assert run(tmp_path)["failed"]
    assert run(tmp_path, kubeconfig=str(tmp_path / "nowhere"))["failed"]


def test_what_is_written_is_read_back_without_single_records(tmp_path: Path, api: Api) -> None:
    done = run(tmp_path, RECORD)
    assert done["changed"] and done["written"] == done["configmaps"] == ["eth2prysm-history-0"]
    slim = _record.to_document(_cluster_history.slim(RECORD))
    assert done["record"] == run(tmp_path)["record"] == slim and slim["keys"][K[0]]["blocks"] == []
    meta = api.maps["eth2prysm-history-0"]["metadata"]
    assert meta["labels"] == {"eth2xk8s.staking/history": "true"}
    again = run(tmp_path, RECORD)
    assert not again["changed"] and again["written"] == [] and len(api.writes) == 1
    higher = run(tmp_path, Record(ROOT_A, {K[0]: Key(10, 4, 6)}))
    assert not higher["changed"] and higher["written"] and higher["record"]["keys"][K[0]]["client"] == "v1"


def test_check_mode_writes_nothing(tmp_path: Path, api: Api) -> None:
    params = {"kubeconfig": str(tmp_path / "kubeconfig"), "namespace": "kube-system", "state": "present"}
    told = run_module(module, check=True, record=_record.to_document(RECORD), **params)
    assert told["changed"] and told["written"] and api.maps == {}


def test_an_older_record_lowers_nothing(tmp_path: Path, api: Api) -> None:
    run(tmp_path, RECORD)
    before = run(tmp_path)["record"]
    older = Record(ROOT_A, {K[0]: Key(1, 1, 1, "v0")}, {"v1": ClientState(None, 3, "v1.2.2")})
    assert run(tmp_path, older)["record"] == before


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(ROOT_A, {K[0]: Key(client="v2", moves=1)}), "belongs to v1 and to v2"),
        (Record(ROOT_B, {}), "different networks"),
        (Record(None, {}, {"v1": ClientState("other")}), "two identities"),
    ],
)
def test_contradictions_are_refused_and_written_nowhere(tmp_path: Path, api: Api, record: Record, reason: str) -> None:
    run(tmp_path, RECORD)
    assert reason in run(tmp_path, record)["msg"] and len(api.writes) == 1


def test_many_keys_are_split_and_every_part_is_small(tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cluster_history, "KEYS", 200)
    done = run(tmp_path, many(450, 5))
    assert done["configmaps"] == [f"eth2prysm-history-{i}" for i in range(3)] and len(done["record"]["keys"]) == 450
    assert all(len(json.dumps(item)) < 700_000 for item in api.maps.values())
    api.writes.clear()
    more = run(tmp_path, many(451, 6, start=1))
    assert len(more["record"]["keys"]) == 452 and more["configmaps"] == done["configmaps"]
    assert {entry["target"] for key, entry in more["record"]["keys"].items() if int(key, 16)} == {6}


def test_parts_of_hard_to_pack_keys_stay_below_the_limit() -> None:
    rng = random.Random(3)
    keys = {
        f"0x{rng.getrandbits(384):096x}": Key(*(rng.getrandbits(64) for _ in range(3)), "validator1")
        for _ in range(_cluster_history.KEYS)
    }
    part = _cluster_history.Copy("eth2prysm-history-0", "", Record(ROOT_A, keys))
    assert len(json.dumps(_cluster_history.render(part, "x"))) < _cluster_history.LIMIT


def test_two_writers_at_once_lose_nothing(tmp_path: Path, api: Api) -> None:
    cluster = Cluster(str(tmp_path / "kubeconfig"))
    for target, mine in ((50, RECORD), (60, Record(ROOT_A, {K[3]: Key(client="v3")}))):
        other = Record(ROOT_A, {K[2]: Key(None, 1, target, "v2"), K[0]: Key(target, 4, 5)})

        def meanwhile(other: Record = other) -> None:
            _cluster_history.keep(cluster, "kube-system", other, False, time.monotonic() + 60)

        # Between what this one has read and what it writes: first where nothing is yet, then over what is there.
        api.before_write = meanwhile
        done = run(tmp_path, mine)["record"]["keys"]
        assert done[K[2]]["target"] == done[K[0]]["slot"] == target and set(mine.keys) <= set(done)
    assert set(run(tmp_path)["record"]["keys"]) == {K[0], K[1], K[2], K[3]}


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"record.json.gz": "%%%"},
        {"record.json.gz": base64.b64encode(b"{}").decode()},
        {"record.json.gz": base64.b64encode(gzip.compress(b"{}")).decode()},
        {"record.json.gz": base64.b64encode(gzip.compress(_record.render_record(RECORD))[:-9]).decode()},
        {"record.json.gz": base64.b64encode(gzip.compress(_record.render_record(RECORD)) + b"x").decode()},
        {"record.json.gz": base64.b64encode(gzip.compress(b" " * (65 << 20))).decode()},
    ],
)
@pytest.mark.parametrize("marked", ["name", "label"])
def test_a_damaged_part_is_a_failure_not_less_history(tmp_path: Path, api: Api, data: t.Any, marked: str) -> None:
    name = "eth2prysm-history-7" if marked == "name" else "other"
    labels = {} if marked == "name" else {"eth2xk8s.staking/history": "true"}
    api.maps[name] = {
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels, "resourceVersion": "1"},
        "binaryData": data,
    }
    assert f"ConfigMap kube-system/{name}" in run(tmp_path)["msg"]
    assert run(tmp_path, RECORD)["failed"] and api.writes == []


def test_other_configmaps_do_not_matter(tmp_path: Path, api: Api) -> None:
    api.maps["kube-root-ca.crt"] = {"metadata": {"name": "kube-root-ca.crt", "resourceVersion": "1"}}
    assert run(tmp_path, RECORD)["changed"]


KEYS_OF_ANY = st.dictionaries(
    st.sampled_from(K), st.tuples(*[st.none() | st.integers(0, 9)] * 3).map(lambda marks: Key(*marks)), max_size=len(K)
)


@settings(max_examples=60, deadline=None)
@given(first=KEYS_OF_ANY, second=KEYS_OF_ANY, third=KEYS_OF_ANY, size=st.integers(1, 3))
def test_whatever_is_written_the_parts_together_are_the_join(
    first: t.Any, second: t.Any, third: t.Any, size: int
) -> None:
    copies: dict[str, _cluster_history.Copy] = {}
    whole = _record.EMPTY
    before, _cluster_history.KEYS = _cluster_history.KEYS, size
    try:
        for keys in (first, second, third):
            news = Record(ROOT_A, keys)
            for copy in _cluster_history.raised(list(copies.values()), news):
                document = _cluster_history.render(copy, "x")
                document["metadata"]["resourceVersion"] = "5"
                parsed = _cluster_history.parse(document)
                assert parsed is not None and parsed.record == copy.record
                copies[copy.name] = parsed
            whole = _record.join(whole, news)
            assert _cluster_history.whole(copies.values()) == whole
            assert all(len(copy.record.keys) <= size for copy in copies.values())
            assert _cluster_history.raised(list(copies.values()), news) == []
    finally:
        _cluster_history.KEYS = before


def test_a_part_that_would_be_too_large_is_refused() -> None:
    rng = random.Random(3)
    keys = {f"0x{rng.getrandbits(384):096x}": Key() for _ in range(12000)}
    with pytest.raises(StakingError, match="would be"):
        _cluster_history.render(_cluster_history.Copy("eth2prysm-history-0", "", Record(None, keys)), "x")
