"""What Helm recorded, and which workloads are behind it."""

from __future__ import annotations

import base64
import gzip
import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster import _release


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


def test_a_release_that_is_being_removed_is_there_until_it_is_gone() -> None:
    """Its values are what says where the histories are, and at which version."""
    found = _release.records([secret(1, "superseded", {"v": 1}), secret(2, "uninstalling", {"v": 2})])
    newest = _release.newest(found)
    assert newest is not None and newest.status == "uninstalling"
    assert _release.values(newest) == {"v": 2}


# The statuses of Helm's records, oldest first, and the numbers of those that have to go before Helm runs again.
@pytest.mark.parametrize(
    ("statuses", "gone"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["deployed"], [], id="whole"),
        pytest.param(["superseded", "deployed"], [], id="whole-with-history"),
        pytest.param(["pending-install"], [1], id="first-install-cut-off"),
        pytest.param(["failed"], [1], id="first-install-failed"),
        pytest.param(["deployed", "pending-upgrade"], [2], id="upgrade-cut-off"),
        pytest.param(["superseded", "deployed", "pending-rollback"], [3], id="rollback-cut-off"),
        pytest.param(["deployed", "failed"], [1, 2], id="the-same-change-would-fail-again"),
        pytest.param(["superseded", "deployed", "failed", "failed"], [1, 2, 3, 4], id="failed-twice"),
        pytest.param(["deployed", "failed", "pending-upgrade"], [2, 3], id="failed-then-cut-off"),
        pytest.param(["failed", "deployed"], [1], id="failed-long-ago"),
        pytest.param(["uninstalling"], [1], id="removal-cut-off"),
        pytest.param(["superseded", "uninstalling"], [1, 2], id="nothing-whole-is-left"),
        pytest.param(["uninstalled"], [1], id="kept-history"),
        pytest.param(["superseded", "superseded", "uninstalled"], [1, 2, 3], id="kept-history-of-more"),
        pytest.param(["superseded", "deployed", "unknown"], [3], id="unknown"),
        pytest.param(["deployed", "pending-something-new"], [2], id="of-a-newer-helm"),
        pytest.param(["deployed", ""], [2], id="without-a-status"),
    ],
)
def test_every_half_done_state_can_be_finished(statuses: list[str], gone: list[int]) -> None:
    found = _release.records([secret(number, status) for number, status in enumerate(statuses, 1)])
    assert _release.unfinished(found) == [f"sh.helm.release.v1.eth2prysm.v{number}" for number in gone]


@given(
    st.lists(st.sampled_from(["deployed", "superseded", "failed", "pending-upgrade", "uninstalling", "uninstalled"]))
)
def test_what_is_left_of_the_records_is_whole_or_nothing(statuses: list[str]) -> None:
    found = _release.records([secret(number, status) for number, status in enumerate(statuses, 1)])
    left = [one.status for one in found if one.name not in _release.unfinished(found)]
    assert not left or set(left) <= {"deployed", "superseded"}
    if set(statuses) - {"deployed", "superseded"}:
        assert not left or "deployed" in left


def full(revision: int, status: str, manifest: t.Any) -> dict[str, t.Any]:
    made = secret(revision, status)
    made["data"]["release"] = pack({"config": {}, "manifest": manifest})
    return made


def test_the_objects_of_a_revision_are_read_from_its_record() -> None:
    text = "---\n# Source: a\nkind: Service\nmetadata: {name: x}\n---\n---\nkind: ConfigMap\nmetadata: {name: y}\n"
    (record,) = _release.records([full(1, "deployed", text)])
    assert [one["metadata"]["name"] for one in _release.manifest(record)] == ["x", "y"]
    with pytest.raises(_release.ReleaseError, match=r"eth2prysm\.v1"):
        _release.manifest(_release.records([full(1, "deployed", "{")])[0])


@pytest.mark.parametrize(
    ("statuses", "of"),
    [
        (["deployed"], [1]), (["superseded", "deployed"], [2]), (["deployed", "pending-upgrade"], [1, 2]),
        (["superseded", "uninstalling"], [2]), (["uninstalled"], []), ([], []), (["failed"], [1]),
    ],
)  # fmt: skip
def test_live_objects_are_of_the_newest_revision_or_of_the_whole_one_before(statuses: list[str], of: list[int]) -> None:
    found = _release.records([secret(number, status) for number, status in enumerate(statuses, 1)])
    assert [record.revision for record in _release.installed(found)] == of


def test_without_records_the_objects_tell_version_and_places() -> None:
    def stateful_set(name: str, component: str) -> dict[str, t.Any]:
        labels = {
            "app.kubernetes.io/instance": "eth2prysm",
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/version": "v7.1.6",
        }
        return {"metadata": {"name": name, "namespace": "prysm", "labels": labels}}

    def volume(name: str, path: str) -> dict[str, t.Any]:
        return {"metadata": {"name": f"prysm-eth2prysm-{name}"}, "spec": {"nfs": {"path": path}}}

    sets = [stateful_set("beacon", "beacon"), stateful_set("v1", "validator"), stateful_set("v2", "validator")]
    volumes = [volume("beacon-data", "/d/b"), volume("v1-data", "/d/v1"), volume("v1-wallet", "/d/w1")]
    assert _release.from_objects(sets, volumes) == {
        "image": {"version": "v7.1.6"},
        "validators": {"v1": {"name": "v1", "dataVolumePath": "/d/v1", "walletVolumePath": "/d/w1"}},
    }
    assert _release.from_objects([], volumes) == {}


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
        "replicas": 1, "policy": "OrderedReady", "settled": True, "pod": "u1", "node": "worker", "stale": False,
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


def of_two(name: str, revision: str = "validator1-new", ready: bool = False, **container: t.Any) -> dict[str, t.Any]:
    made = a_pod(revision)
    made["metadata"].update(name=name, uid=name)
    made["spec"]["nodeName"] = f"node-of-{name}"
    made["status"]["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
    made["status"]["containerStatuses"] = [{"ready": ready, "state": {"running": {}}, **container}]
    return made


def test_of_two_pods_the_one_that_is_ready_signs_and_either_may_be_stale() -> None:
    found = _release.workload(a_set(), [of_two("validator1-0"), of_two("validator1-1", ready=True)])
    assert (found["pod"], found["node"], found["stale"]) == ("validator1-1", "node-of-validator1-1", False)
    old = [of_two("validator1-0", "validator1-old"), of_two("validator1-1", ready=True)]
    assert _release.workload(a_set(), old)["stale"]
    old[0]["metadata"]["deletionTimestamp"] = "now"
    assert not _release.workload(a_set(), old)["stale"], "it is going already"
    assert not _release.workload(a_set(), [of_two("validator1-0", ready=True), of_two("validator1-x")])["stale"]


def test_a_standby_that_waits_again_after_a_refusal_is_not_stale() -> None:
    """It is never Ready, whatever it does; one that keeps ending is."""
    ended = {"terminated": {"message": "guard: REFUSED: the lock on x is lost before the start"}}
    first = of_two("validator1-0", ready=True)
    assert not _release.workload(a_set(), [first, of_two("validator1-1", lastState=ended)])["stale"]
    crashes = of_two("validator1-1", lastState=ended, state={"waiting": {"reason": "CrashLoopBackOff"}})
    assert _release.workload(a_set(), [first, crashes])["stale"]


def test_no_pod_is_not_stale() -> None:
    other = a_pod()
    other["metadata"]["name"] = "validator10-0"
    assert _release.workload(a_set(), [other]) == {
        "replicas": 1, "policy": "OrderedReady", "settled": True, "pod": "", "node": "", "stale": False,
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


def test_what_has_to_become_of_each_client() -> None:
    listed = [{"name": name} for name in ("well", "stale", "stopped", "fresh")]
    workloads = {
        "stopped": {"replicas": 0, "stale": False},
        "stale": {"replicas": 1, "stale": True},
        "well": {"replicas": 2, "stale": False},
        "beacon": {"replicas": 0, "stale": True},
    }
    before = {"validators": {"well": {}, "stale": {}, "stopped": None}}
    well, stale, stopped, fresh = listed
    assert _release.clients_by_state(listed, workloads, before, ["beacon"]) == (
        [stale, stopped], [well, fresh], [fresh], ["stopped"], False
    )  # fmt: skip
    assert _release.clients_by_state(listed, {}, {}, ["beacon"]) == ([], listed, listed, [], False)


@pytest.mark.parametrize(
    ("changes", "steady"),
    [
        ({}, True),
        ({"a": {"replicas": 2, "stale": False}}, True),
        ({"a": {"replicas": 1, "stale": True}}, False),
        ({"a": {"replicas": 0, "stale": False}}, False),
        ({"beacon": {"replicas": 1, "stale": True}}, False),
        ({"beacon": {"replicas": 0, "stale": False}}, False),
        ({"beacon": {}}, False),
        ({"beacon-2": {"replicas": 1, "stale": True}}, False),
        ({"beacon-2": {}}, False),
    ],
)
def test_a_release_is_steady_while_nothing_is_left_to_do(changes: dict[str, t.Any], steady: bool) -> None:
    right = {"replicas": 1, "stale": False}
    workloads, before = {"a": right, "beacon": right, "beacon-2": right, **changes}, {"validators": {"a": {}}}
    assert _release.clients_by_state([{"name": "a"}], workloads, before, ["beacon", "beacon-2"]).steady is steady
    assert not _release.clients_by_state([], workloads, before, ["beacon"]).steady, "without a client"
    assert not _release.clients_by_state([{"name": "b"}], workloads, before, ["beacon"]).steady, "a new client"


def test_a_client_has_two_pods_with_a_standby() -> None:
    wanted = {"enabled": True, "because": ""}
    assert _release.pods_per_client({"standby": wanted}) == 2
    for values in ({}, {"standby": None}, {"standby": {**wanted, "enabled": False}}):
        assert _release.pods_per_client(values) == 1


def test_what_stands_before_the_program_is_no_argument_of_it() -> None:
    def workload(component: str, *words: str) -> dict[str, t.Any]:
        template = {
            "metadata": {"labels": {"app.kubernetes.io/component": component}},
            "spec": {"containers": [{"args": ["--of-the-guard", "--", *words]}, {"args": ["--of-another"]}]},
        }
        return {"kind": "StatefulSet", "spec": {"template": template}}

    objects = [
        None,
        {"kind": "Service"},
        workload("validator", "sh", "/validator", "--datadir=/a", "--b", "--b"),
        workload("validator", "/validator", "--datadir=/c", "--b", "word"),
    ]
    assert _release.program_arguments(objects) == {
        "beacon": [], "validator": ["--datadir=/a", "--b", "--datadir=/c"]
    }  # fmt: skip
