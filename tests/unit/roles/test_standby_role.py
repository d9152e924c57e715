"""When the role prysm_helm gives a client a second pod, and which of two may go when a node is emptied."""

from __future__ import annotations

import re
import typing as t

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._standby import takers
from tests.unit.roles.test_host_roles import ROOT, evaluate

FOUND: dict[str, t.Any] = {"values": {}, "workloads": {}, "node_addresses": [], "pods_per_client": 1}
RUN = "run-1"
KINDS = ("outdated", "current", "new")
PROVED = {"run": RUN, "proved": True, "reasons": []}


def ask(expression: str, **more: t.Any) -> t.Any:
    given = {
        "site_run_id": RUN,
        "prysm_validators": [{"name": "validator1"}, {"name": "validator2"}],
        "__prysm_helm_found": FOUND,
        "prysm_standby": True,
        "site_fence": PROVED,
        "__prysm_helm_probe": {"proved": True, "reasons": []},
        **more,
    }
    return evaluate("prysm_helm", expression, **given)


def found(replicas: int = 1, policy: str = "OrderedReady", standby: bool = False) -> dict[str, t.Any]:
    one = {"replicas": replicas, "policy": policy, "stale": False}
    beacon = {"replicas": 1, "policy": "OrderedReady", "stale": False}
    values = {"standby": {"enabled": True, "because": ""}} if standby else {}
    workloads = {"validator1": one, "beacon": beacon}
    return {**FOUND, "values": values, "workloads": workloads, "pods_per_client": 2 if standby else 1}


def test_clients_that_were_stopped_or_are_not_of_the_release_are_outdated() -> None:
    def states(**more: t.Any) -> dict[str, list[str]]:
        given = {kind: ask(f"__prysm_helm_states.{kind} | map(attribute='name')", **more) for kind in KINDS}
        return {**given, "halted": ask("__prysm_helm_states.halted", **more)}

    both = ["validator1", "validator2"]
    assert states() == {"outdated": [], "current": both, "new": both, "halted": []}
    there = {"__prysm_helm_found": found(0), "__prysm_helm_installed": {"validators": {"validator1": {}}}}
    assert states(**there) == {
        "outdated": ["validator1"], "current": ["validator2"], "new": ["validator2"], "halted": ["validator1"]
    }  # fmt: skip


def test_a_site_that_wants_none_has_the_values_of_before() -> None:
    for more in ({"prysm_standby": False}, {"prysm_standby": False, "__prysm_helm_found": found()}):
        assert ask("__prysm_helm_standby.given", **more) == {}


def test_a_proved_fence_gives_a_standby() -> None:
    wanted = {"standby": {"enabled": True, "because": ""}, "podManagementPolicy": "Parallel"}
    assert ask("__prysm_helm_standby.given") == wanted
    assert ask("__prysm_helm_standby.remake", __prysm_helm_found=found()) == ["validator1"]
    assert ask("__prysm_helm_standby.remake", __prysm_helm_found=found(2, "Parallel", True)) == []


@pytest.mark.parametrize(
    ("fence", "because"),
    [
        pytest.param({}, "the fence was not proved", id="nothing"),
        pytest.param({**PROVED, "run": "another run"}, "the fence was not proved", id="of-another-run"),
        pytest.param({**PROVED, "proved": False, "reasons": ["a", "b"]}, "a; b", id="reasons"),
        pytest.param({"run": RUN, "reasons": []}, "the fence was not proved", id="no-verdict"),
    ],
)
def test_what_is_not_proved_is_one_pod_and_the_reason(fence: dict[str, t.Any], because: str) -> None:
    """Also where there was a standby: what was proved once may have changed."""
    for there in (FOUND, found(2, "Parallel", True)):
        values = ask("__prysm_helm_standby.given", site_fence=fence, __prysm_helm_found=there)
        assert values["standby"]["enabled"] is False
        assert because in values["standby"]["because"]
    assert values["podManagementPolicy"] == "Parallel", "the set is not made anew for that"


@pytest.mark.parametrize("probe", [{}, {"proved": False, "reasons": ["the lock was not tried from two nodes"]}])
def test_nor_is_what_two_pods_have_not_tried(probe: dict[str, t.Any]) -> None:
    values = ask("__prysm_helm_standby.given", __prysm_helm_probe=probe)
    assert values["standby"]["enabled"] is False
    assert ("not tried" if probe else "not proved") in values["standby"]["because"]
    there = found(2, "Parallel", True)
    assert ask("__prysm_helm_standby.given", __prysm_helm_probe=probe, __prysm_helm_found=there)["standby"]["enabled"]


def test_the_probe_holds_on_a_node_that_has_nothing_of_the_release() -> None:
    nodes = [
        {
            "metadata": {"name": name},
            "spec": {},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": f"10.0.0.{n}"}, {"type": "Hostname", "address": name}],
            },
        }
        for n, name in enumerate(("a", "b"))
    ]
    given = {"__prysm_helm_nodes": {"resources": nodes}, "__prysm_helm_probe_pods": {"resources": [a_pod("a")]}}
    assert ask("__prysm_helm_probe_nodes", **given) == ["b", "a"]
    assert ask("__prysm_helm_probe_addresses", **given) == ["10.0.0.1"]


def test_the_pods_of_the_probe_are_given_the_script_as_it_is() -> None:
    given = {
        "role_path": str(ROOT / "roles/prysm_helm"),
        "prysm_helm_nfs_server": "172.20.10.10",
        "__prysm_helm_release_values": {"image": {}},
        "__prysm_helm_guard_image": "busybox:musl",
        "__prysm_helm_probe_mode": "hold",
        "__prysm_helm_probe_node": "worker",
        "ansible_search_path": [str(ROOT / "roles/prysm_helm")],
    }
    path = ROOT / "roles/prysm_helm/templates/fence-pod.yml.j2"
    made = yaml.safe_load(ask(f"lookup('ansible.builtin.template', '{path}', convert_data=false)", **given))
    (container,) = made["spec"]["containers"]
    script = (ROOT / "roles/prysm_helm/files/fence-probe.sh").read_text(encoding="utf-8")
    # As Kubernetes takes it: $$ is a $.
    assert container["args"][0].replace("$$", "$").strip() == script.strip()
    assert container["args"][1:] == ["fence-probe.sh", "hold", "/probe/lock"]
    assert made["spec"]["volumes"] == [
        {"name": "probe", "nfs": {"server": "172.20.10.10", "path": "/data/prysm/.fence-probe"}}
    ]


def test_a_client_that_was_stopped_is_not_started_by_its_standby() -> None:
    values = ask("__prysm_helm_standby.given", __prysm_helm_found=found(0))
    assert values["standby"]["enabled"] is False and "validator1 had been stopped" in values["standby"]["because"]
    assert (
        ask("__prysm_helm_standby.given", __prysm_helm_found=found(0, "Parallel", True))["standby"]["enabled"] is True
    )


def a_pod(node: str | None = "worker2", **more: t.Any) -> dict[str, t.Any]:
    meta = {"name": "validator1-1", **({"deletionTimestamp": "now"} if more.pop("going", False) else {})}
    states = [{"name": "validator", "state": more.pop("state", {"running": {}})}]
    return {
        "metadata": meta,
        "spec": {} if node is None else {"nodeName": node},
        "status": {} if more.pop("new", False) else {"containerStatuses": states},
    }


def test_a_pod_that_runs_on_a_node_that_lives_takes_over() -> None:
    assert takers([a_pod("worker"), a_pod()], ["worker2"]) == ["validator1-1"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([], id="none"),
        pytest.param([a_pod("worker3")], id="on-a-dead-node"),
        pytest.param([a_pod(None, new=True)], id="not-scheduled"),
        pytest.param([a_pod(new=True)], id="not-started"),
        pytest.param([a_pod(going=True)], id="going"),
        pytest.param([a_pod(state={"waiting": {"reason": "CrashLoopBackOff"}})], id="crashing"),
    ],
)
def test_what_cannot_take_over_is_not_counted_on(other: list[dict[str, t.Any]]) -> None:
    assert takers([a_pod("worker"), *other], ["worker2"]) == []


@pytest.mark.parametrize(
    "beat", [[], ["/guard-bin/busybox", "sh", "/guard/pulse.sh", "/data/prysm/validator/.validator-lock"]]
)
def test_what_prysm_would_be_started_with_is_known_behind_the_beat(beat: list[str]) -> None:
    """A new version is asked whether it knows its arguments; what stands before the program is none of them."""
    words = [
        "validator",
        "/data",
        "nfs",
        "0",
        "/wallet",
        "--",
        *beat,
        "/validator",
        "--accept-terms-of-use",
        "--datadir=/x",
    ]
    rendered = {
        "kind": "StatefulSet",
        "spec": {
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/component": "validator"}},
                "spec": {"containers": [{"args": words}]},
            }
        },
    }
    found = ask("__prysm_helm_arguments", __prysm_helm_rendered={"stdout": yaml.safe_dump(rendered)})
    assert found == {"beacon": [], "validator": ["--accept-terms-of-use", "--datadir=/x"]}


def test_a_process_that_has_the_directories_of_a_client_is_named() -> None:
    (task,) = [
        task
        for task in yaml.safe_load((ROOT / "roles/prysm_helm/tasks/processes.yml").read_text(encoding="utf-8"))
        if "vars" in task
    ]
    process = {"pid": 7, "reason": "it is Prysm", "volumes": ["172.20.10.10:/data/prysm/wallet-v1"]}
    left = ask(
        task["vars"]["__prysm_helm_left"].strip()[2:-2],
        __prysm_helm_processes={"results": [{"__prysm_helm_machine": "worker", "processes": [process]}]},
        __prysm_helm_stopping={"name": "v1", "data_dir": "/data/prysm/v1", "wallet_dir": "/data/prysm/wallet-v1"},
    )
    assert left == ["process 7 on worker (it is Prysm)"]


def test_a_hold_is_lifted_after_the_check_of_the_history_and_nowhere_else() -> None:
    """The pod of a client on hold starts at once when the file is gone."""
    folder = ROOT / "roles/prysm_helm/tasks"
    names = [task["name"] for task in yaml.safe_load((folder / "start.yml").read_text(encoding="utf-8"))]
    order = [next(n for n, name in enumerate(names) if word in name) for word in ("Check its history", "Lift the hold")]
    assert order == sorted(order)
    lifting = [
        path.name
        for path in folder.glob("*.yml")
        if re.search(r"path: .*\.hold\b.*\n\s+state: absent", path.read_text(encoding="utf-8"))
    ]
    assert sorted(lifting) == ["activity.yml", "start.yml"]
