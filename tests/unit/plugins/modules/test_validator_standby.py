"""The pod that waits gets the new template first: when it can, whose it is, and what it says when it does not wait."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Never, NotYet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._standby import turn
from ansible_collections.eth2xk8s.staking.plugins.modules import validator_standby
from tests.unit.plugins.keys_support import run_module

Object = dict[str, t.Any]
OLD, NEW = "validator1-old", "validator1-new"


def volumes(claim: str = "data-validator1") -> Object:
    return {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}, {"name": "tmp", "emptyDir": {}}]
    }


def a_set(replicas: int = 2, revision: str = NEW, seen: int = 3, claim: str = "data-validator1") -> Object:
    return {
        "metadata": {"name": "validator1", "generation": 3},
        "spec": {"replicas": replicas, "template": {"spec": volumes(claim)}},
        "status": {"updateRevision": revision, "observedGeneration": seen},
    }


def pod(number: int, does: str, revision: str = OLD, **more: t.Any) -> Object:
    """One that signs, waits, comes, or is refused by its guard."""
    container: Object = {"name": "validator", "restartCount": 0, "started": does == "signs", "ready": does == "signs"}
    container["state"] = {
        "signs": {"running": {}},
        "waits": {"running": {}},
        "comes": {"waiting": {"reason": "ContainerCreating"}},
        "pulls": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        "refused": {"waiting": {"reason": "CrashLoopBackOff"}},
    }[does]
    if does == "refused":
        container["lastState"] = {"terminated": {"message": "guard: REFUSED: an older copy", "exitCode": 1}}
    return {
        "metadata": {
            "name": f"validator1-{number}",
            "uid": more.pop("uid", f"u{number}"),
            "labels": {"app": "validator1", "controller-revision-hash": revision},
            **({"deletionTimestamp": "now"} if more.pop("ends", False) else {}),
        },
        "spec": {
            "nodeName": more.pop("node", ("master", "worker")[number]),
            **volumes(more.pop("claim", "data-validator1")),
        },
        "status": {"containerStatuses": [container]},
    }


def test_the_one_that_waits_comes_first() -> None:
    found = turn(a_set(), [pod(0, "signs"), pod(1, "waits")])
    assert (found.reason, found.stale, found.renew) == ("", True, True)
    assert (found.signer["metadata"]["uid"], found.other["metadata"]["uid"]) == ("u0", "u1")
    found = turn(a_set(), [pod(0, "signs"), pod(1, "waits", NEW)])
    assert (found.stale, found.renew) == (True, False), "an earlier run has renewed it"
    assert turn(a_set(), [pod(0, "signs"), pod(1, "refused", NEW)]).renew, "what held it back may be put right"
    assert not turn(a_set(), [pod(0, "signs", NEW), pod(1, "waits", NEW)]).stale


@pytest.mark.parametrize(
    ("a", "pods", "reason"),
    [
        pytest.param(a_set(1), [pod(0, "signs")], "1 pods of 1", id="without-a-standby"),
        pytest.param(a_set(0), [], "0 pods of 0", id="stopped"),
        pytest.param({}, [], "0 pods of 0", id="not-there"),
        pytest.param(a_set(), [pod(0, "signs"), pod(1, "waits", ends=True)], "1 pods of 2", id="one-ends"),
        pytest.param(a_set(), [pod(0, "waits"), pod(1, "waits")], "0 of its pods", id="nobody-signs"),
        pytest.param(a_set(), [pod(0, "signs"), pod(1, "signs")], "2 of its pods", id="two-have-started"),
        pytest.param(a_set(), [pod(0, "signs"), pod(1, "waits", node="master")], "one node", id="one-node"),
        pytest.param(a_set(claim="other"), [pod(0, "signs"), pod(1, "waits")], "another one", id="moves-elsewhere"),
        pytest.param(a_set(), [pod(0, "signs"), pod(1, "waits", claim="other")], "another one", id="is-elsewhere"),
    ],
)
def test_what_is_not_two_pods_on_one_lock_is_left_alone(a: Object, pods: list[Object], reason: str) -> None:
    assert reason in turn(a, pods).reason


def test_a_template_that_is_not_read_yet_is_no_answer() -> None:
    for seen in (a_set(seen=2), a_set(revision="")):
        with pytest.raises(NotYet):
            turn(seen, [pod(0, "signs"), pod(1, "waits")])


class Site:
    """A cluster whose looks are given, one after the other; the last one stays."""

    def __init__(self, *looks: list[Object] | Exception, a: Object | None = None) -> None:
        self.looks, self.a, self.deleted = list(looks), a or a_set(), [("", "")][:0]

    def sets(self, _namespace: str) -> list[Object]:
        return [self.a]

    def items(self, path: str, query: dict[str, str]) -> list[Object]:
        assert (path, query) == ("/api/v1/namespaces/prysm/pods", {"labelSelector": "app=validator1"})
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        return found

    def write(self, method: str, path: str, body: Object) -> Object:
        assert method == "DELETE"
        self.deleted.append((path.rpartition("/")[2], body["preconditions"]["uid"]))
        return {}


@pytest.fixture
def renew(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., Object]:
    def call(site: Site, **params: t.Any) -> Object:
        monkeypatch.setattr(validator_standby, "Cluster", lambda *_: site)
        return run_module(
            validator_standby, **{"client": "validator1", "interval": 0.001, "settle": 0, "timeout": 0.2, **params}
        )

    return call


Renew = t.Callable[..., Object]
BEFORE = [pod(0, "signs"), pod(1, "waits")]
AFTER = [pod(0, "signs"), pod(1, "waits", NEW, uid="u2")]


def test_the_waiting_pod_is_made_anew_and_waited_for(renew: Renew) -> None:
    site = Site(BEFORE, BEFORE, [BEFORE[0]], NotYet("away"), [BEFORE[0], pod(1, "comes", NEW, uid="u2")], AFTER)
    done = renew(site)
    assert site.deleted == [("validator1-1", "u1")]
    assert done["changed"]
    assert done["ready"]
    assert done["signer"] == {"name": "validator1-0", "uid": "u0", "node": "master", "stale": True}


def test_one_that_is_new_already_is_only_waited_for(renew: Renew) -> None:
    site = Site(AFTER)
    assert renew(site)["ready"]
    assert not renew(site)["changed"]
    assert site.deleted == []


def test_nothing_is_done_where_no_pod_waits(renew: Renew) -> None:
    site = Site([pod(0, "signs")], a=a_set(1))
    done = renew(site)
    assert (done["changed"], done["ready"], site.deleted) == (False, False, [])
    assert "1 pods of 1" in done["reason"]


def test_a_dry_run_deletes_nothing(renew: Renew) -> None:
    site = Site(BEFORE)
    done = renew(site, check=True)
    assert (done["changed"], done["ready"], site.deleted) == (True, True, [])


@pytest.mark.parametrize(
    ("does", "words"),
    [("refused", "an older copy"), ("pulls", "no such image"), ("comes", "after 0.2 s")],
)
def test_a_successor_that_does_not_wait_is_a_failure_and_says_why(renew: Renew, does: str, words: str) -> None:
    site = Site(BEFORE, [BEFORE[0], pod(1, does, NEW, uid="u2")])
    done = renew(site)
    assert done["failed"]
    assert words in done["msg"]
    assert "validator1 signs as before" in done["msg"]


def test_it_has_to_wait_for_a_while(renew: Renew) -> None:
    assert "after 0.2 s" in renew(Site(BEFORE, AFTER), settle=5)["msg"]
    ends = [BEFORE[0], pod(1, "comes", NEW, uid="u2")]
    assert "failed" in renew(Site(BEFORE, *[AFTER, ends] * 400), settle=0.1), "it ends again and again"


def test_the_signer_is_the_one_of_the_end(renew: Renew) -> None:
    taken = [pod(0, "waits", NEW, uid="u3"), pod(1, "signs", NEW, uid="u2")]
    done = renew(Site(BEFORE, [pod(1, "comes", NEW, uid="u2")], taken))
    assert done["signer"] == {"name": "validator1-1", "uid": "u2", "node": "worker", "stale": False}


def test_a_cluster_that_cannot_be_asked_is_said(renew: Renew) -> None:
    assert "403" in renew(Site(Never("403 Forbidden")))["msg"]
    assert "away" in renew(Site(NotYet("away")))["msg"]
