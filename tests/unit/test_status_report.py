"""What status.yml makes of the nodes: what looks well and is not has to be among the problems."""

from __future__ import annotations

import json
import re
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[2]


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
        "status_clock": {"problems": [], "offset_seconds": 0.0},
        "status_node": {
            "name": "x",
            "certificates": [],
            "snap": {"held": True},
            "snapd": {"can_hold": True},
            "bases": [base],
        },
        "status_watch": {"delivered": True, "reason": ""},
        **more,
    }


def problems(control_planes: int = 1, **given: t.Any) -> list[str]:
    hosts: dict[str, dict[str, t.Any]] = {"nfs": read(__prysm_wallet_uniqueness={}), "worker": read()}
    planes = [f"cp{number}" for number in range(1, control_planes + 1)]
    hosts |= {name: read() for name in planes}
    for name, more in given.pop("hosts", {}).items():
        hosts[name] |= more
    names = [*planes, "worker"]
    ages = given.pop("ages", {})
    variables: dict[str, t.Any] = {
        "groups": {"site": ["nfs", *names], "microk8s": names, "control_plane": planes, "nfs": ["nfs"]},
        "hostvars": hosts,
        "storage": hosts["nfs"],
        "prysm_validators": [],
        "site_clients": [],
        "prysm_data_dir": "/data/prysm",
        "status_release": {},
        "status_nodes": {"resources": [node(name) for name in names]},
        "status_leases": {"resources": [lease(name, ages.get(name, 5)) for name in names]},
        "status_votes": {"skipped": True},
        "status_tunnels": {"results": []},
        "status_pods": {},
        "status_beacon": {"ready": True},
        "status_duties": {},
        **given,
    }
    text = (ROOT / "playbooks/templates/status.json.j2").read_text(encoding="utf-8")
    found = Templar(DataLoader(), variables=variables).template(trust_as_template(text))
    report = json.loads(found) if isinstance(found, str) else found
    return t.cast("list[str]", report["problems"])


def votes(*roles: str) -> dict[str, t.Any]:
    return {"datastore": [{"address": f"10.0.0.{n}:19001", "role": role} for n, role in enumerate(roles, 1)]}


def test_a_site_that_is_well_has_no_problems() -> None:
    assert problems() == []
    assert problems(3, status_votes=votes("voter", "voter", "voter")) == []


def unheld(*names: str) -> dict[str, t.Any]:
    node = read()["status_node"]
    bases = [{"name": name, "held": name not in names} for name in ("core22", "snapd")]
    return {"status_node": {**node, "snap": {"held": "microk8s" not in names}, "bases": bases}}


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
            {"hosts": {"cp1": {"status_watch": {"delivered": False, "reason": "no event; snap restart x"}}}},
            "control plane cp1: no event; snap restart x",
            id="deaf",
        ),
        pytest.param(
            {"hosts": {"cp1": {"status_watch": {"msg": "module failed"}}}}, "control plane cp1: module failed", id="not"
        ),
        pytest.param(
            {"ages": {"worker": 90}},
            "node worker is not Ready",
            id="a-lease-that-is-old",
        ),
        pytest.param(
            {"status_tunnels": {"results": [{"tunnel_host": "cp1", "peers": [{"name": "worker", "reason": "slow"}]}]}},
            "network from cp1 to worker: slow.*tx-checksum-ip-generic off",
            id="a-slow-tunnel",
        ),
        pytest.param(
            {"control_planes": 3, "status_votes": votes("voter", "voter", "spare")},
            "of 3 control planes only 2 vote",
            id="too-few-voters",
        ),
        pytest.param({"control_planes": 3, "status_votes": {"msg": "x"}}, "only 0 vote .*not read", id="unread-voters"),
    ],
)
def test_what_looks_well_and_is_not_is_named(given: dict[str, t.Any], problem: str) -> None:
    found = problems(**given)
    assert len(found) == 1, found
    assert re.search(problem, found[0]), found
