from __future__ import annotations

import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils._cluster import Cluster, Never, describe

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
