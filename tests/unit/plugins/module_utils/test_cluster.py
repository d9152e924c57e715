from __future__ import annotations

import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    Cluster,
    Crashes,
    Never,
    Pod,
    describe,
    last_words,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import tag as find_tag

META = {"name": "validator1-0", "uid": "u1"}


def pod(**status: t.Any) -> dict[str, t.Any]:
    spec = {"nodeName": "worker", "containers": [{"image": "registry/validator:v7.1.6"}]}
    return {"metadata": dict(META), "spec": spec, "status": status}


def test_a_running_pod_has_no_problem() -> None:
    seen = describe(
        pod(
            conditions=[{"type": "Ready", "status": "True"}],
            initContainerStatuses=[{"name": "guard", "ready": True, "state": {"terminated": {"message": "free"}}}],
            containerStatuses=[{"name": "validator", "ready": True, "restartCount": 2, "state": {"running": {}}}],
        )
    )
    assert (seen.started, seen.ready, seen.problem, seen.restarts, seen.node) == (True, True, "", 2, "worker")


def test_a_refusal_of_the_guard_is_told_and_not_waited_for() -> None:
    last = {"terminated": {"exitCode": 1, "message": "guard: REFUSED: validator.db is missing\n"}}
    guard = {"name": "guard", "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}
    seen = describe(pod(initContainerStatuses=[guard]))
    assert (seen.problem, seen.hopeless) == ("REFUSED: validator.db is missing", True)


def test_an_old_refusal_of_a_guard_that_passed_since_is_history() -> None:
    last = {"terminated": {"message": "guard: REFUSED: not mounted"}}
    guard = {"name": "guard", "ready": True, "state": {"terminated": {"message": "free"}}, "lastState": last}
    assert describe(pod(initContainerStatuses=[guard])).hopeless is False


def test_a_refusal_in_the_container_of_prysm_is_told_too() -> None:
    last = {"terminated": {"exitCode": 1, "message": "guard: REFUSED: validator.db is an older copy\n"}}
    waits = {
        "name": "validator",
        "ready": False,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": last,
    }
    seen = describe(pod(containerStatuses=[waits]))
    assert (seen.problem, seen.hopeless) == ("REFUSED: validator.db is an older copy", True)
    runs = {**waits, "state": {"running": {}}, "started": True}
    assert describe(pod(containerStatuses=[runs])).hopeless is False


def test_a_guard_that_waits_in_the_container_of_prysm_is_told() -> None:
    waits = {"name": "validator", "ready": False, "started": False, "state": {"running": {}}}
    seen = describe(pod(containerStatuses=[waits]))
    assert (seen.started, seen.hopeless, "its log says for what" in seen.problem) == (False, False, True)


def test_waiting_for_a_lock_is_told() -> None:
    guard = {"name": "guard", "ready": False, "state": {"running": {}}}
    assert "init container guard" in describe(pod(initContainerStatuses=[guard])).problem


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_a_missing_image_is_named(reason: str) -> None:
    waiting = {"waiting": {"reason": reason, "message": 'Back-off pulling image "x"'}}
    seen = describe(pod(containerStatuses=[{"name": "validator", "state": waiting}]))
    assert seen.problem.startswith(f"{reason}: ")
    assert seen.hopeless is False


def test_a_crash_loop_says_its_last_words() -> None:
    last = {"terminated": {"exitCode": 1, "message": "first\ncannot obtain database lock\n"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    seen = describe(pod(containerStatuses=[{"name": "validator", "state": waiting, "lastState": last}]))
    assert "exit code 1" in seen.problem
    assert "cannot obtain database lock" in seen.problem


REFUSAL = {"terminated": {"exitCode": 1, "message": "guard: REFUSED: validator.db is missing\n"}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("kind", "state", "ready", "hopeless"),
    [
        pytest.param("initContainerStatuses", BACK_OFF, False, True, id="init-waits"),
        pytest.param("initContainerStatuses", {"running": {}}, False, True, id="init-tries-again"),
        pytest.param("initContainerStatuses", {"terminated": {}}, True, False, id="init-has-passed"),
        pytest.param("containerStatuses", BACK_OFF, False, True, id="main-waits"),
        pytest.param("containerStatuses", REFUSAL, False, True, id="main-just-refused"),
        pytest.param("containerStatuses", {"running": {}}, False, False, id="main-runs-again"),
        pytest.param("containerStatuses", {"running": {}}, True, False, id="main-has-passed"),
    ],
)
def test_a_refusal_counts_in_either_container(kind: str, state: dict[str, t.Any], ready: bool, hopeless: bool) -> None:
    entry = {"name": "x", "ready": ready, "state": state, "lastState": REFUSAL}
    seen = describe(pod(**{kind: [entry]}))
    assert seen.hopeless is hopeless
    assert ("REFUSED: validator.db is missing" in seen.problem) is hopeless


@pytest.mark.parametrize(
    ("restarts", "ended", "hopeless"),
    [
        pytest.param(2, {}, False, id="twice"),
        pytest.param(3, {}, True, id="three-times"),
        pytest.param(
            9, {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:09:59Z"}, True, id="short-runs"
        ),
        pytest.param(
            9, {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:10:00Z"}, False, id="a-long-run"
        ),
        pytest.param(9, {"startedAt": None, "finishedAt": "x"}, True, id="times-unknown"),
    ],
)
@pytest.mark.parametrize("backing_off", [True, False])
def test_a_container_that_keeps_ending_is_hopeless(
    restarts: int, ended: dict[str, t.Any], hopeless: bool, backing_off: bool
) -> None:
    end = {"terminated": {"exitCode": 1, "message": "corrupt input", **ended}}
    entry = {"name": "beacon", "restartCount": restarts, "state": BACK_OFF if backing_off else end, "lastState": end}
    seen = describe(pod(containerStatuses=[entry]))
    assert seen.hopeless is hopeless
    assert "(exit code 1): corrupt input" in seen.problem


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("a\nb\nc\n", "b c"),
        ("\x1b[31mFATAL\x1b[0m main: no\ngoroutine 1\nmain.go:3", "FATAL main: no"),
        ("level=info msg=x\ntime=1 level=fatal msg=y\nz", "time=1 level=fatal msg=y"),
        ("panic: nil\n\ngoroutine 1 [running]:\nmain.main()", "panic: nil"),
        ("", ""),
    ],
)
def test_last_words_are_those_that_tell(message: str, words: str) -> None:
    assert last_words(message) == words


@pytest.mark.parametrize(
    ("first", "second", "again"),
    [
        pytest.param("at 12:00:01 slot 5: no", "at 12:00:13 slot 9: no", True, id="but-for-numbers"),
        pytest.param("no beacon", "no wallet", False, id="other-words"),
        pytest.param("", "", False, id="no-words"),
    ],
)
def test_the_same_end_twice_is_noticed(first: str, second: str, again: bool) -> None:
    def look(restarts: int, message: str) -> Pod:
        end = {"terminated": {"exitCode": 1, "message": message, "reason": "Error"}}
        return describe(
            pod(containerStatuses=[{"name": "x", "restartCount": restarts, "state": BACK_OFF, "lastState": end}])
        )

    crashes = Crashes()
    assert [crashes.again(look(0, first)), crashes.again(look(0, first))] == [False, False]
    assert crashes.again(look(1, second)) is again


def test_a_container_that_cannot_be_made_is_told() -> None:
    waiting = {"waiting": {"reason": "RunContainerError", "message": "runc create failed: exec /bin/sh"}}
    seen = describe(pod(initContainerStatuses=[{"name": "guard", "state": waiting}]))
    assert seen.problem == "guard: RunContainerError: runc create failed: exec /bin/sh"


def test_a_container_that_is_being_made_is_no_problem() -> None:
    waiting = {"waiting": {"reason": "PodInitializing"}}
    assert describe(pod(containerStatuses=[{"name": "validator", "state": waiting}])).problem == ""


def test_a_pod_nobody_can_take_is_told() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    assert describe(pod(conditions=[condition])).problem == "not scheduled: 0/2 nodes are available"


def test_a_kubeconfig_that_is_not_there_is_never_going_to_work() -> None:
    with pytest.raises(Never, match="/nowhere"):
        Cluster("/nowhere")


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("gcr.io/prysmaticlabs/prysm/validator:v1.2.2", "v1.2.2"),
        ("mirror:5000/prysm/validator:v1.2.2", "v1.2.2"),
        (f"mirror:5000/prysm/validator:v1.2.2@sha256:{'a' * 64}", "v1.2.2"),
        (f"mirror:5000/prysm/validator@sha256:{'a' * 64}", ""),
        ("mirror:5000/prysm/validator", ""),
        ("validator:v1.2.2", "v1.2.2"),
    ],
)
def test_the_tag_of_an_image_is_found_beside_port_and_digest(image: str, tag: str) -> None:
    assert find_tag(image) == tag
