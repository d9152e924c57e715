"""The proof that validator clients have stopped: whatever could still run is left, or could not be asked."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Never, NotYet
from ansible_collections.eth2xk8s.staking.plugins.modules import validator_stopped
from tests.unit.plugins.keys_support import run_module

DATA, WALLET = "/data/prysm/validator1", "/data/prysm/wallets/validator1"
Answer = list[t.Any] | Exception


def pod(name: str = "validator1-0", uid: str = "u1", node: str = "worker", **more: t.Any) -> dict[str, t.Any]:
    meta = {"name": name, "uid": uid, "namespace": more.pop("namespace", "prysm"), **more.pop("meta", {})}
    return {
        "metadata": meta,
        "spec": {"nodeName": node, "volumes": more.pop("volumes", [])},
        "status": {"phase": more.pop("phase", "Running")},
    }


def a_set(name: str, replicas: int) -> dict[str, t.Any]:
    return {"metadata": {"name": name}, "spec": {"replicas": replicas}}


class Looks:
    """A cluster whose answers are given, one look after the other; the last one stays."""

    def __init__(
        self,
        pods: t.Sequence[Answer] = ([],),
        running: dict[str, list[Answer]] | None = None,
        sets: t.Sequence[Answer] = ([],),
        **kinds: Answer,
    ) -> None:
        self._pods, self._sets = list(pods), list(sets)
        self._running = running if running is not None else {"master": [[]], "worker": [[]]}
        self._kinds = kinds

    @staticmethod
    def _next(answers: list[t.Any]) -> t.Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def everywhere(self, kind: str) -> list[dict[str, t.Any]]:
        return self._next(self._pods) if kind == "pods" else self._next([self._kinds.get(kind, [])])

    def sets(self, namespace: str) -> list[dict[str, t.Any]]:
        assert namespace == "prysm"
        return self._next(self._sets)

    def nodes(self) -> list[str]:
        return list(self._running)

    def running(self, node: str) -> list[tuple[str, str, str]]:
        return self._next(self._running[node])


@pytest.fixture
def prove(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    def call(cluster: Looks | Exception, **params: t.Any) -> dict[str, t.Any]:
        def make(*_: t.Any) -> t.Any:
            if isinstance(cluster, Exception):
                raise cluster
            return cluster

        monkeypatch.setattr(validator_stopped, "Cluster", make)
        return run_module(validator_stopped, **{"clients": ["validator1"], "timeout": 0, "interval": 0, **params})

    return call


Prove = t.Callable[..., "dict[str, t.Any]"]


def test_stopped_is_no_pod_and_no_container_on_any_node(prove: Prove) -> None:
    others = [pod("beacon-0", "u9"), pod("validator11-0", "u8"), pod("validator1", "u7"), pod("xvalidator1-0", "u6")]
    running = {"master": [[]], "worker": [[("prysm", "beacon-0", "u9"), ("prysm", "validator11-0", "u8")]]}
    result = prove(Looks([others], running, [[a_set("validator1", 0), a_set("beacon", 1)]]))
    assert "failed" not in result, result["msg"]
    assert result["nodes"] == ["master", "worker"]


OF_THE_CLIENT = [
    pytest.param(pod(), id="ordinal-0"),
    pytest.param(pod("validator1-1"), id="ordinal-1"),
    pytest.param(pod("validator1-17"), id="ordinal-17"),
    pytest.param(pod("old", meta={"labels": {"app": "validator1"}}), id="label"),
    pytest.param(pod("x", meta={"ownerReferences": [{"kind": "StatefulSet", "name": "validator1"}]}), id="owner"),
    pytest.param(pod(node=""), id="not-scheduled"),
    pytest.param(pod(phase="Pending"), id="pending"),
    pytest.param(pod(phase="Unknown"), id="unknown"),
    pytest.param(pod(phase="Failed"), id="failed-by-its-own-name"),
    pytest.param(pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}), id="terminating"),
    pytest.param(pod(node="gone", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}), id="terminating-on-no-node"),
    pytest.param(pod(namespace="other"), id="another-namespace"),
]


@pytest.mark.parametrize("one", OF_THE_CLIENT)
def test_every_pod_of_a_client_counts(prove: Prove, one: dict[str, t.Any]) -> None:
    result = prove(Looks([[one]]))
    assert result["failed"] and one["metadata"]["name"] in result["msg"]
    assert len(result["left"]) == 1


def claim(name: str = "validator1-data", namespace: str = "prysm", volume: str = "pv1") -> dict[str, t.Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"volumeName": volume}}


SOURCES = [
    pytest.param({"nfs": {"server": "172.20.10.10", "path": DATA}}, True, id="nfs"),
    pytest.param({"nfs": {"server": "nfs.example", "path": DATA + "/"}}, True, id="another-name-of-the-server"),
    pytest.param({"nfs": {"server": "s", "path": "/data//prysm/./x/../validator1"}}, True, id="spelling"),
    pytest.param({"nfs": {"server": "s", "path": "/data/prysm"}}, True, id="above"),
    pytest.param({"nfs": {"server": "s", "path": "/"}}, True, id="the-whole-server"),
    pytest.param({"nfs": {"server": "s", "path": DATA + "/copy"}}, True, id="below"),
    pytest.param({"nfs": {"server": "s", "path": WALLET}}, True, id="wallet"),
    pytest.param({"csi": {"volumeAttributes": {"share": "/data/prysm", "subdir": "validator1"}}}, True, id="csi"),
    pytest.param({"hostPath": {"path": DATA}}, True, id="host-path"),
    pytest.param({"local": {"path": DATA}}, True, id="local"),
    pytest.param({"nfs": {"server": "s", "path": "/data/prysm/validator11"}}, False, id="a-name-that-begins-alike"),
    pytest.param({"nfs": {"server": "s", "path": "/data/prysm/beacon"}}, False, id="beacon"),
    pytest.param({"hostPath": {"path": "/"}}, False, id="an-agent"),
    pytest.param({"emptyDir": {}}, False, id="empty"),
]


@pytest.mark.parametrize("by_claim", [True, False])
@pytest.mark.parametrize(("source", "counts"), SOURCES)
def test_whatever_mounts_the_data_counts_in_any_namespace(
    prove: Prove, source: dict[str, t.Any], counts: bool, by_claim: bool
) -> None:
    kinds: dict[str, t.Any] = {}
    volumes = [{"name": "v", **source}]
    if by_claim:
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
        kinds = {
            "persistentvolumes": [{"metadata": {"name": "pv1"}, "spec": source}],
            "persistentvolumeclaims": [claim("c", "other")],
        }
    one = pod("staking-abc", namespace="other", volumes=volumes)
    result = prove(Looks([[one]], **kinds), volumes=[DATA, WALLET])
    assert result.get("failed", False) is counts
    if counts:
        assert result["left"] == ["pod other/staking-abc on worker"]


def test_with_its_volumes_known_an_equal_name_elsewhere_is_another_site(prove: Prove) -> None:
    other = pod(namespace="other", volumes=[{"nfs": {"server": "s", "path": "/other/validator1"}}])
    running = {"worker": [[("other", "validator1-0", "u1")]]}
    assert "failed" not in prove(Looks([[other]], running), volumes=[DATA])
    assert prove(Looks([[other]], running))["failed"]


def test_a_pod_that_has_ended_and_only_mounted_it_is_gone(prove: Prove) -> None:
    one = pod("prysm-import", phase="Succeeded", volumes=[{"nfs": {"server": "s", "path": DATA}}])
    assert "failed" not in prove(Looks([[one]]), volumes=[DATA])


@pytest.mark.parametrize("space", ["prysm", "other"])
@pytest.mark.parametrize("name", ["validator1-0", "validator1-3", "validator1-6c8f-xyz"])
@pytest.mark.parametrize("volumes", [[], [DATA]])
def test_a_container_the_api_server_has_forgotten_still_signs(
    prove: Prove, space: str, name: str, volumes: list[str]
) -> None:
    running = {"master": [[]], "worker": [[(space, name, "u1")]]}
    result = prove(Looks(running=running), volumes=volumes)
    place = name if space == "prysm" else f"other/{name}"
    assert result["left"] == [f"containers of {place} on worker"]


def test_a_container_is_remembered_by_the_pod_it_was(prove: Prove) -> None:
    """Deleted by force, its pod has another name than the client."""
    one = pod("x", meta={"labels": {"app": "validator1"}})
    result = prove(Looks([[one], []], {"worker": [[("prysm", "x", "u1")]]}), timeout=1)
    assert result["left"] == ["containers of x on worker"]


def test_a_node_that_cannot_be_asked_counts_as_signing(prove: Prove) -> None:
    result = prove(Looks(running={"master": [[]], "worker": [NotYet("timeout")]}))
    assert result["failed"] and "cannot read node worker" in result["msg"]
    assert "failed" not in prove(
        Looks(running={"master": [[]], "worker": [NotYet("timeout")]}), proved_nodes=["worker"]
    )


def test_a_node_without_a_node_object_is_not_proved(prove: Prove) -> None:
    result = prove(Looks(), nodes=["master", "old-worker"])
    assert result["failed"] and "old-worker" in result["msg"] and "no Node object" in result["msg"]
    assert "failed" not in prove(Looks(), nodes=["master", "old-worker"], proved_nodes=["old-worker"])


def test_the_node_that_had_the_pod_is_asked_although_the_pod_is_gone(prove: Prove) -> None:
    result = prove(Looks([[pod(node="gone")], []]), timeout=1)
    assert result["unreadable"] == ["node gone: it has no Node object any more, so its kubelet cannot be asked"]


def test_a_pod_that_is_being_deleted_on_a_proved_node_is_disregarded(prove: Prove) -> None:
    going = pod(node="dead", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    result = prove(Looks([[going]]), proved_nodes=["dead"])
    assert "failed" not in result and result["disregarded"] == ["pod validator1-0 on dead"]
    # One that is not being deleted comes back with the node.
    assert prove(Looks([[pod(node="dead")]]), proved_nodes=["dead"])["failed"]


def test_a_set_that_still_wants_pods_has_not_stopped(prove: Prove) -> None:
    result = prove(Looks(sets=[[a_set("validator1", 1)]]))
    assert result["failed"] and "wants 1 pods" in result["msg"] and result["replicas"] == {}


def test_replicas_that_somebody_has_set_are_reported(prove: Prove) -> None:
    assert prove(Looks(sets=[[a_set("validator1", 3)]]))["replicas"] == {"validator1": 3}
    assert prove(Looks(sets=[[a_set("validator1", 2)]]), uids=["gone"])["replicas"] == {"validator1": 2}


@pytest.mark.parametrize("kind", ["pods", "sets", "persistentvolumes", "persistentvolumeclaims"])
def test_what_the_api_server_does_not_say_is_not_proved(prove: Prove, kind: str) -> None:
    broken: dict[str, t.Any] = {kind: [NotYet("503")] if kind in ("pods", "sets") else NotYet("503")}
    result = prove(Looks(**broken), volumes=[DATA])
    assert result["failed"] and "503" in result["msg"]


def test_an_api_that_says_no_is_not_asked_again(prove: Prove) -> None:
    assert "403" in prove(Never("403 Forbidden"), timeout=3600)["msg"]


def test_no_nodes_are_no_proof(prove: Prove) -> None:
    assert prove(Looks(running={}))["failed"] is True
    assert prove(Looks(running={"worker": [[]]}), proved_nodes=["worker"])["failed"] is True


def test_waits_for_the_last_container(prove: Prove) -> None:
    cluster = Looks([[pod()], []], {"worker": [[("prysm", "validator1-0", "u1")], []]}, [[a_set("validator1", 1)], []])
    assert "failed" not in prove(cluster, timeout=60)


def test_a_successor_is_not_mistaken_for_the_old_pod(prove: Prove) -> None:
    def cluster() -> Looks:
        return Looks([[pod(uid="u2")]], {"worker": [[("prysm", "validator1-0", "u2")]]}, [[a_set("validator1", 1)]])

    assert "failed" not in prove(cluster(), uids=["u1"])
    assert prove(cluster())["failed"] is True
    assert prove(cluster(), uids=["u2"])["failed"] is True


def test_nothing_to_stop_is_stopped(prove: Prove) -> None:
    assert "failed" not in prove(Never("no cluster"), clients=[])
