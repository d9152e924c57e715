"""What Helm recorded, and which workloads are behind it."""

from __future__ import annotations

import base64
import gzip
import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _release


def pack(content: t.Any) -> str:
    """A record as Helm puts it into a Secret."""
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()


def secret(revision: int, status: str, config: t.Any = None) -> dict[str, t.Any]:
    return {
        "metadata": {
            "name": f"sh.helm.release.v1.eth2prysm.v{revision}",
            "labels": {"owner": "helm", "name": "eth2prysm", "status": status, "version": str(revision)},
        },
        "data": {"release": pack({"name": "eth2prysm", "config": config})},
    }


def test_the_newest_revision_counts_whatever_the_order() -> None:
    found = _release.records([secret(10, "deployed", {"a": 10}), secret(9, "superseded"), secret(2, "superseded")])
    newest = _release.newest(found)
    assert newest is not None
    assert newest.revision == 10, "by number, not by text"
    assert _release.values(newest) == {"a": 10}


def test_an_attempt_that_never_finished_counts_and_is_named() -> None:
    found = _release.records([secret(1, "deployed", {"v": 1}), secret(2, "pending-upgrade", {"v": 2})])
    newest = _release.newest(found)
    assert newest is not None
    assert _release.values(newest) == {"v": 2}
    assert _release.unfinished(found) == ["sh.helm.release.v1.eth2prysm.v2"]


def test_a_release_that_was_uninstalled_is_none() -> None:
    assert _release.newest(_release.records([secret(1, "uninstalled"), secret(2, "superseded")])) is None


def test_a_release_without_values_has_none() -> None:
    assert _release.values(_release.records([secret(1, "deployed", None)])[0]) == {}


@pytest.mark.parametrize(
    "packed",
    ["", "%%%", base64.b64encode(b"x").decode(), pack([1]), pack({"config": [1]}), pack({})[:-8]],
    ids=["empty", "no base64", "base64 once", "a list", "values a list", "cut"],
)
def test_a_damaged_record_is_named(packed: str) -> None:
    broken = secret(3, "deployed")
    broken["data"]["release"] = packed
    with pytest.raises(_release.ReleaseError, match=r"eth2prysm\.v3"):
        _release.values(_release.records([broken])[0])


@given(st.binary(max_size=200))
def test_any_bytes_give_values_or_one_clear_error(raw: bytes) -> None:
    record = _release.Record("the-secret", 1, "deployed", base64.b64encode(base64.b64encode(raw)).decode())
    try:
        assert isinstance(_release.values(record), dict)
    except _release.ReleaseError as exc:
        assert "the-secret" in str(exc)


def test_a_secret_without_a_revision_is_refused() -> None:
    with pytest.raises(_release.ReleaseError, match="no label `version`"):
        _release.records([{"metadata": {"name": "odd", "labels": {"owner": "helm"}}}])


def a_set(**status: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "validator1", "generation": 4},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 4, "updateRevision": "validator1-new", **status},
    }


def a_pod(revision: str = "validator1-new", guards: t.Any = None) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "validator1-0", "uid": "u1", "labels": {"controller-revision-hash": revision}},
        "spec": {"nodeName": "worker"},
        "status": {"initContainerStatuses": guards or [{"ready": True, "restartCount": 2}]},
    }


def test_a_pod_of_the_newest_specification_stays() -> None:
    assert _release.workload(a_set(), [a_pod()]) == {
        "replicas": 1, "settled": True, "pod": "u1", "node": "worker", "stale": False,
    }  # fmt: skip


def test_a_pod_of_an_older_specification_is_stale() -> None:
    assert _release.workload(a_set(), [a_pod("validator1-old")])["stale"]


def test_a_pod_whose_guard_failed_is_stale() -> None:
    assert _release.workload(a_set(), [a_pod(guards=[{"ready": False, "restartCount": 1}])])["stale"]
    assert not _release.workload(a_set(), [a_pod(guards=[{"ready": False, "restartCount": 0}])])["stale"]
    again = a_pod()
    ended = {"terminated": {"message": "guard: REFUSED: an older copy"}}
    again["status"]["containerStatuses"] = [{"ready": False, "restartCount": 3, "lastState": ended}]
    assert _release.workload(a_set(), [again])["stale"], "Prysm's own container runs the same guard"
    again["status"]["containerStatuses"][0]["ready"] = True
    assert not _release.workload(a_set(), [again])["stale"]


def test_no_pod_is_not_stale() -> None:
    other = a_pod()
    other["metadata"]["name"] = "validator10-0"
    assert _release.workload(a_set(), [other]) == {
        "replicas": 1, "settled": True, "pod": "", "node": "", "stale": False,
    }  # fmt: skip


@pytest.mark.parametrize("status", [{"observedGeneration": 3}, {"updateRevision": ""}, {"updateRevision": None}])
def test_what_the_controller_has_not_seen_is_not_settled(status: dict[str, t.Any]) -> None:
    assert not _release.workload(a_set(**status), [])["settled"]


def test_secrets_that_are_missing_or_hold_something_else_are_named() -> None:
    held = {"password": base64.b64encode(b"right").decode()}
    found = [{"metadata": {"name": name}, "data": data} for name, data in
             (("same", held), ("more", {**held, "x": "eA=="}), ("empty", None))]  # fmt: skip
    found.append({"metadata": {"name": "other"}, "data": {"password": base64.b64encode(b"wrong").decode()}})
    wanted = {name: {"password": "right"} for name in ("same", "more", "empty", "other", "gone")}
    assert _release.differing(wanted, found) == ["empty", "gone", "more", "other"]


def test_the_proxy_reaches_pods_from_the_nodes_and_their_tunnels() -> None:
    nodes = [
        {
            "metadata": {"annotations": {"projectcalico.org/IPv4VXLANTunnelAddr": "10.1.219.64"}},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": "172.20.10.11"},
                    {"type": "InternalIP", "address": "fd00::1"},
                    {"type": "Hostname", "address": "master"},
                ]
            },
        },
        {"metadata": {}, "status": {"addresses": [{"type": "InternalIP", "address": "172.20.10.12"}]}},
    ]
    assert _release.addresses(nodes) == ["10.1.219.64", "172.20.10.11", "172.20.10.12"]
