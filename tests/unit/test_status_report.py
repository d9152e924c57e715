"""What status.yml makes of what it read: what looks well and is not has to be among the problems."""

from __future__ import annotations

import re
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._site_status import site_status

ROOT = Path(__file__).parents[2]
CLIENT = {"name": "validator1", "database": "/data/prysm/validator1/validator.db"}
KEY = "0x" + "ab" * 48


def node(name: str) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.36.3"}},
    }


def lease(name: str, age: float) -> dict[str, t.Any]:
    renewed = (datetime.now(UTC) - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"renewTime": renewed}}


def read(**more: t.Any) -> dict[str, t.Any]:
    base = {"name": "core22", "held": True}
    return {
        "clock": {"problems": [], "offset_seconds": 0.0},
        "node": {
            "name": "x",
            "certificates": [],
            "snap": {"held": True},
            "snapd": {"can_hold": True},
            "bases": [base],
        },
        "watch": {"delivered": True, "reason": ""},
        **more,
    }


def report(control_planes: int = 1, **given: t.Any) -> dict[str, t.Any]:
    planes = [f"cp{number}" for number in range(1, control_planes + 1)]
    names = [*planes, "worker"]
    machines: dict[str, dict[str, t.Any]] = {name: read() for name in ("nfs", *names)}
    for name, more in given.pop("hosts", {}).items():
        machines[name] |= more
    ages = given.pop("ages", {})
    cluster = {
        "nodes": {"resources": [node(name) for name in names]},
        "leases": {"resources": [lease(name, ages.get(name, 5)) for name in names]},
        "at": datetime.now(UTC).timestamp(),
        "votes": {"skipped": True},
        "tunnels": {"results": []},
        **given.pop("cluster", {}),
    }
    readings = {
        "groups": {"site": ["nfs", *names], "microk8s": names, "control_plane": planes, "nfs": ["nfs"]},
        "machines": machines,
        "cluster": cluster,
        "prysm": {"release": {"workloads": {}}, "beacons": {"beacon": {"ready": True}}, **given.pop("prysm", {})},
        "storage": {"uniqueness": {"keys": {}}, **given.pop("storage", {})},
    }
    return site_status(readings, given.pop("clients", []))


def problems(control_planes: int = 1, **given: t.Any) -> list[str]:
    return t.cast("list[str]", report(control_planes, **given)["problems"])


def votes(*roles: str) -> dict[str, t.Any]:
    return {"datastore": [{"address": f"10.0.0.{n}:19001", "role": role} for n, role in enumerate(roles, 1)]}


def test_a_site_that_is_well_has_no_problems() -> None:
    assert problems() == []
    assert problems(3, cluster={"votes": votes("voter", "voter", "voter")}) == []


def unheld(*names: str) -> dict[str, t.Any]:
    node = read()["node"]
    bases = [{"name": name, "held": name not in names} for name in ("core22", "snapd")]
    return {"node": {**node, "snap": {"held": "microk8s" not in names}, "bases": bases}}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        pytest.param(
            {"hosts": {"worker": unheld("core22", "snapd")}},
            "snapd may refresh core22, snapd on worker at any time.* snap refresh --hold core22 snapd",
            id="bases-free",
        ),
        pytest.param({"hosts": {"cp1": unheld("microk8s")}}, "may refresh microk8s on cp1", id="free"),
        pytest.param(
            {"hosts": {"cp1": {"watch": {"delivered": False, "reason": "no event; snap restart x"}}}},
            "control plane cp1: no event; snap restart x",
            id="deaf",
        ),
        pytest.param(
            {"hosts": {"cp1": {"watch": {"msg": "module failed"}}}}, "control plane cp1: module failed", id="not"
        ),
        pytest.param(
            {"ages": {"worker": 90}},
            "node worker is not Ready; run on cp1: microk8s kubectl describe node worker",
            id="a-lease-that-is-old",
        ),
        pytest.param(
            {
                "cluster": {
                    "tunnels": {"results": [{"tunnel_host": "cp1", "peers": [{"name": "worker", "reason": "slow"}]}]}
                }
            },
            "network from cp1 to worker: slow.*tx-checksum-ip-generic off",
            id="a-slow-tunnel",
        ),
        pytest.param(
            {"control_planes": 3, "cluster": {"votes": votes("voter", "voter", "spare")}},
            "of 3 control planes only 2 vote",
            id="too-few-voters",
        ),
        pytest.param(
            {"control_planes": 3, "cluster": {"votes": {"msg": "x"}}}, "only 0 vote .*not read", id="unread-voters"
        ),
        pytest.param({"hosts": {"nfs": {"clock": {"problems": ["1 s off"]}}}}, "clock of nfs: 1 s off", id="clock"),
        pytest.param(
            {"hosts": {"nfs": {"clock": {"unreachable": True, "msg": "no route"}}}},
            "clock of nfs: not measured: no route",
            id="unreachable",
        ),
        pytest.param({"hosts": {"nfs": {"clock": {}}}}, "clock of nfs: not measured: unreachable", id="left-out"),
        pytest.param(
            {"hosts": {"worker": {"node": {"msg": "x"}}}}, "certificates of worker were not read: x", id="node"
        ),
        pytest.param(
            {"hosts": {"cp1": {"node": {"certificates": [{"name": "ca", "days_left": 29}]}}}},
            "certificate ca of cp1 has 29 days left; run site.yml",
            id="certificate",
        ),
        pytest.param(
            {"hosts": {"cp1": {"inventory": {"secret_readable": False}}}}, "the JWT secret cannot be read", id="jwt"
        ),
        pytest.param(
            {"hosts": {"worker": {"needs": {"problems": ["no answer"]}}}},
            r"no answer \(asked from worker\)",
            id="needs",
        ),
        pytest.param({"cluster": {"nodes": {"msg": "refused"}}}, "the cluster cannot be read: refused", id="cluster"),
        pytest.param({"prysm": {"beacons": {"beacon": {"msg": "refused"}}}}, "beacon: refused", id="beacon"),
        pytest.param({"prysm": {"release": {"msg": "refused"}}}, "refused", id="release"),
        pytest.param(
            {"prysm": {"release": {"workloads": {}, "edited": {"beacon": ["a", "b", "c", "d"]}}}},
            "beacon was edited by hand: a; b; c$",
            id="edited",
        ),
        pytest.param(
            {"prysm": {"release": {"workloads": {}, "unmerged": {"beacon": ["a"]}}}},
            "beacon is not as Helm has it: a. Run site.yml",
            id="unmerged",
        ),
        pytest.param(
            {"prysm": {"release": {"workloads": {}, "recorded": False}}}, "Helm has no record", id="no-record-of-helm"
        ),
        pytest.param(
            {"prysm": {"release": {"workloads": {}, "unfinished": ["x"], "status": "pending-upgrade"}}},
            "the release is pending-upgrade",
            id="cut-off",
        ),
        pytest.param(
            {"prysm": {"release": {"workloads": {}, "values": {"emergency": {"beacon": ["--x"], "validator": []}}}}},
            "EMERGENCY: every beacon runs with --x",
            id="emergency",
        ),
        pytest.param({"prysm": {"ahead": {"problems": ["a fork is ahead"]}}}, "a fork is ahead", id="fork"),
        pytest.param({"storage": {"uniqueness": None}}, "the wallets were not read: no answer", id="no-wallets"),
        pytest.param(
            {"storage": {"uniqueness": {"unreachable": True, "msg": "no route"}}},
            "the wallets were not read: no route",
            id="no-storage",
        ),
        pytest.param({"prysm": {"beacons": {}}}, "beacon: not read", id="no-beacon"),
        pytest.param({"storage": {"refused": "in two places"}}, "KEYS: in two places", id="refused"),
        pytest.param({"clients": [CLIENT]}, "validator1: duties were not read", id="no-duties"),
    ],
)
def test_what_looks_well_and_is_not_is_named(given: dict[str, t.Any], problem: str) -> None:
    found = problems(**given)
    assert len(found) == 1, found
    assert re.search(problem, found[0]), found


def test_a_problem_is_one_line_of_the_list() -> None:
    lost = "Task failed: Data could not be sent to remote host.\nConnection to nfs port 22 timed out\n"
    (problem,) = report(hosts={"nfs": {"clock": {"unreachable": True, "msg": lost}}})["problems"]
    assert problem == (
        "clock of nfs: not measured: Data could not be sent to remote host. Connection to nfs port 22 timed out"
    )


def test_what_is_no_fault_is_a_note() -> None:
    needs = {"notes": ["the client syncs"], "problems": []}
    found = report(hosts={"cp1": {"needs": needs}, "worker": {"needs": needs}})
    assert (found["problems"], found["notes"]) == ([], ["the client syncs"])
    text = (ROOT / "playbooks/templates/status.txt.j2").read_text(encoding="utf-8")
    said = Templar(DataLoader(), variables={"site_status": found}).template(trust_as_template(text))
    assert "notes\n- the client syncs\n" in said
    assert "No problems." in said


def test_a_report_that_is_put_together_late_calls_no_node_dead() -> None:
    """The leases are judged by when they were read: on a busy machine the rest takes longer than a lease lasts."""
    long_ago = datetime.now(UTC).timestamp() - 300
    assert problems(ages={"cp1": 305, "worker": 305}, cluster={"at": long_ago}) == []
    assert problems(ages={"cp1": 305, "worker": 341}, cluster={"at": long_ago}) == [
        "node worker is not Ready; run on cp1: microk8s kubectl describe node worker. If it is gone: "
        "playbooks/failover.yml -e node=worker"
    ]


def test_a_part_that_was_not_read_stops_no_report() -> None:
    """Whatever was not read, down to nothing at all, is among the problems."""
    found = site_status({"groups": {"site": ["nfs", "cp1"], "microk8s": ["cp1"]}}, [CLIENT])
    text = "\n".join(found["problems"])
    for part in ("clock of nfs", "clock of cp1", "certificates of cp1", "cluster", "beacon", "validator1", "wallets"):
        assert part in text


DUTY = {"status": "ACTIVE", "last_attested_slot": 90, "missing": ""}
SIGNED = {"highest_slot": 1, "highest_source": 2, "highest_target": 3, "blacklisted": False}


def client(seen: dict[str, t.Any], **storage: t.Any) -> dict[str, t.Any]:
    found = {"proved": True, "problem": "", "version": "v7.1.6", "node": "worker", "keys": {KEY: DUTY}, **seen}
    kept = {"wallets": {"validator1": [KEY]}, "histories": {"validator1": {"keys": {KEY: SIGNED}}}, **storage}
    return report(prysm={"duties": {"clients": {"validator1": found}}}, storage=kept, clients=[CLIENT])


def test_of_each_client_it_says_duties_lock_and_history() -> None:
    lock = {"state": "held", "addresses": ["10.0.0.2"], "holder": ""}
    found = client({}, locks={"locks": {CLIENT["database"]: lock}})
    assert found["problems"] == []
    (one,) = found["clients"]
    assert (one["performs_duties"], one["lock"], one["lock_holders"]) == (True, "held", ["10.0.0.2"])
    assert one["keys"][0]["highest_target"] == 3


@pytest.mark.parametrize(
    ("seen", "storage", "problem"),
    [
        ({}, {"holds": {"validator1": "history: an older copy"}}, "validator1 is .*: history: an older copy"),
        ({"proved": False, "problem": "there is no pod"}, {}, "validator1: there is no pod"),
        ({"proved": False, "keys": {KEY: {**DUTY, "missing": "slot 9"}}}, {}, "validator1: slot 9"),
        (
            {},
            {"histories": {"validator1": {"keys": {KEY: {**SIGNED, "blacklisted": True}}}}},
            "validator1: Prysm refuses all duties of 0xabababab",
        ),
    ],
)
def test_what_is_wrong_with_a_client_is_named(seen: dict[str, t.Any], storage: dict[str, t.Any], problem: str) -> None:
    (found,) = client(seen, **storage)["problems"]
    assert re.search(problem, found)


def test_a_history_that_cannot_be_read_stops_no_report() -> None:
    (one,) = client({}, histories={"validator1": {"failed": True, "msg": "damaged"}})["clients"]
    assert one["keys"][0]["highest_slot"] is None
    assert one["lock"] == "unknown"


def test_the_text_lays_out_what_the_report_says() -> None:
    found = client({"waiting": {}}, locks={"locks": {}})
    text = (ROOT / "playbooks/templates/status.txt.j2").read_text(encoding="utf-8")
    said = Templar(DataLoader(), variables={"site_status": found}).template(trust_as_template(text))
    assert "validator1: performs its duties, v7.1.6 on worker; validator.db unknown" in said
    assert "signed up to block 1, source 2, target 3" in said
    assert "No problems." in said


def fenced(watched: bool = True, **server: t.Any) -> dict[str, dict[str, t.Any]]:
    """What makes a lock a fence, as it was read of each machine."""
    options = "rw,vers=4.2,hard,local_lock=none"
    node = {
        "fence": {"node": {"texts": {"/proc/mounts": f"172.20.10.10:/x /y nfs4 {options} 0 0\n", "/proc/cmdline": ""}}}
    }
    nfs = {"running": True, "versions": ["4", "4.1", "4.2"], "lease_seconds": 15, "grace_seconds": 15}
    return {
        "nfs": {
            "fence": {
                "server": {**nfs, "delegations": False, "problems": [], **server},
                "watcher": {"units": {"eth2xk8s-expire.service": {"active": watched}}},
            }
        },
        "cp1": node,
        "worker": node,
    }


def with_standby(values: dict[str, t.Any], hosts: t.Any = None, **seen: t.Any) -> dict[str, t.Any]:
    found = {"proved": True, "problem": "", "version": "v7.1.6", "node": "worker", "keys": {KEY: DUTY}, **seen}
    return report(
        prysm={
            "release": {"workloads": {}, "values": {"standby": values, "nfs": {"serverIp": "172.20.10.10"}}},
            "duties": {"clients": {"validator1": found}},
        },
        hosts=fenced() if hosts is None else hosts,
        storage={"wallets": {"validator1": [KEY]}, "histories": {"validator1": {"keys": {KEY: SIGNED}}}},
        clients=[CLIENT],
    )


def test_a_standby_is_said_and_so_is_why_there_is_none() -> None:
    found = with_standby({"enabled": True, "because": ""}, standby="worker2")
    assert (found["problems"], found["clients"][0]["standby"]) == ([], "worker2")
    (problem,) = with_standby({"enabled": False, "because": "the NFS server serves version 3"})["problems"]
    assert problem == "no client has a standby: the NFS server serves version 3"
    (problem,) = with_standby({"enabled": True, "because": ""}, standby="")["problems"]
    assert problem.startswith("validator1 has no standby now")
    assert with_standby({})["problems"] == []
    text = (ROOT / "playbooks/templates/status.txt.j2").read_text(encoding="utf-8")
    told = with_standby({"enabled": True}, standby="worker2", waiting={})
    said = Templar(DataLoader(), variables={"site_status": told}).template(trust_as_template(text))
    assert "v7.1.6 on worker, standby on worker2;" in said


def test_two_pods_without_a_proved_fence_are_a_problem() -> None:
    """It was proved when site.yml ran; that somebody switched delegations on is seen at every look."""
    on = {"enabled": True, "because": ""}
    (problem,) = with_standby(on, fenced(delegations=True), standby="worker2")["problems"]
    assert "not proved to be a fence" in problem and "fs.leases-enable" in problem
    (problem,) = with_standby(on, fenced(watched=False), standby="worker2")["problems"]
    assert problem.startswith("eth2xk8s-expire.service does not run on nfs: ") and problem.endswith("Run site.yml")
    unread = with_standby(on, {}, standby="worker2")["problems"]
    assert len(unread) == 4 and sum("not proved to be a fence" in words for words in unread) == 3
    assert with_standby({"enabled": False, "because": ""}, {})["problems"] == []
