"""What playbooks take from the variables of several machines at once."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.eth2xk8s.staking.plugins.filter.machine_addresses import machine_addresses
from ansible_collections.eth2xk8s.staking.plugins.filter.machines_seen import machines_seen

SIZES = {"nfs": {"memory_gb": 2, "disk_gb": 250}, "node": {"memory_gb": 8, "disk_gb": 20}}
NOTHING = {
    "unreachable": "",
    "failed": "",
    "problems": [],
    "apart": 0,
    "taken": [],
    "memory_bytes": None,
    "disk_bytes": None,
    "min_memory": 0,
    "min_disk": 0,
}
SEEN = "prysm_helm_machine_seen"
TAKEN = [{"port": "13000/tcp", "program": "geth", "pid": 7}]
KUBERNETES = [{"port": "16443/tcp", "program": "kubelite", "pid": 8}]
SNAP = {"/var/snap/microk8s/current": {"type": "link"}}


@pytest.mark.parametrize(
    ("variables", "seen"),
    [
        ({"__site_apart": 0}, {}),
        ({"__site_apart": -61}, {"apart": -61}),
        ({}, {"apart": None, "failed": "no answer"}),
        ({SEEN: {"unreachable": True}}, {"apart": None, "unreachable": "no answer"}),
        ({SEEN: {"unreachable": True, "msg": "No route"}}, {"apart": None, "unreachable": "No route"}),
        ({SEEN: {"msg": "sudo?"}}, {"apart": None, "failed": "sudo?"}),
        ({SEEN: {"unreachable": False, "msg": "x"}, "__site_apart": 0}, {}),
        ({SEEN: {"taken": TAKEN}, "__site_apart": 0}, {"taken": TAKEN}),
        ({SEEN: {"taken": KUBERNETES}, "__site_apart": 0}, {"taken": KUBERNETES}),
        ({SEEN: {"taken": KUBERNETES + TAKEN, "paths": SNAP}, "__site_apart": 0}, {"taken": TAKEN}),
        (
            {SEEN: {"memory_bytes": 4, "disks": {"/": {"size": 9}}}, "__site_apart": 0},
            {"memory_bytes": 4, "disk_bytes": 9},
        ),
        ({SEEN: {"disks": {}}, "__site_apart": 0}, {}),
    ],
)
def test_what_was_registered_was_seen(variables: dict[str, t.Any], seen: dict[str, t.Any]) -> None:
    found = machines_seen(
        ["worker"],
        {"worker": variables},
        ["worker"],
        ["nfs"],
        cluster_ports=["16443/tcp"],
        installed_at=next(iter(SNAP)),
    )
    assert found == {"worker": {**NOTHING, **seen}}


def test_without_a_place_to_look_at_no_port_is_the_cluster_s_own() -> None:
    variables = {SEEN: {"taken": KUBERNETES, "paths": SNAP}, "__site_apart": 0}
    found = machines_seen(["worker"], {"worker": variables}, ["worker"], ["nfs"], cluster_ports=["16443/tcp"])
    assert found["worker"]["taken"] == KUBERNETES


def test_a_machine_that_a_task_failed_on_is_not_sound() -> None:
    found = machines_seen(["worker"], {"worker": {"__site_apart": 0}}, [], ["nfs"])
    assert found["worker"]["failed"] == "a task ended with the error shown above"


def test_a_machine_that_was_lost_at_the_run_lock_is_not_reached() -> None:
    """It plays no part in the preflight: nothing but the first task that wanted it has tried."""
    lost = {"__site_run_taken": {"unreachable": True, "msg": "No route"}}
    found = machines_seen(["nfs"], {"nfs": lost}, [], ["nfs"])
    assert (found["nfs"]["unreachable"], found["nfs"]["failed"]) == ("No route", "")
    for taken in ({"unreachable": False}, {"skipped": True}):
        found = machines_seen(["nfs"], {"nfs": {"__site_run_taken": taken}}, [], ["nfs"])
        assert found["nfs"]["unreachable"] == "" and found["nfs"]["failed"]


@pytest.mark.parametrize(
    ("database", "problems"), [({"msg": "torn"}, ["torn"]), ({"msg": "x", "begun": False}, []), ({}, [])]
)
def test_a_database_that_cannot_be_read_is_the_matter_of_the_machine_that_has_it(
    database: dict[str, t.Any], problems: list[str]
) -> None:
    variables = {"__site_apart": 0, "prysm_helm_beacon_database": database}
    found = machines_seen(["nfs", "worker"], {"nfs": variables, "worker": variables}, ["nfs", "worker"], ["nfs"], SIZES)
    assert (found["nfs"]["problems"], found["worker"]["problems"]) == (problems, [])
    assert (found["nfs"]["min_memory"], found["nfs"]["min_disk"]) == (2, 250)
    assert (found["worker"]["min_memory"], found["worker"]["min_disk"]) == (8, 20)


def test_machines_that_share_a_name_are_both_there() -> None:
    variables = {
        "a": {"ansible_facts": {"hostname": "Node"}, "ansible_host": "10.0.0.1"},
        "b": {"ansible_facts": {"hostname": "node"}, "ansible_host": "10.0.0.2"},
    }
    assert machine_addresses(["b", "a"], variables) == [
        {"name": "node", "address": "10.0.0.2"},
        {"name": "node", "address": "10.0.0.1"},
    ]


@pytest.mark.parametrize(
    ("variables", "missing"), [({"ansible_facts": {}}, "hostname"), ({"ansible_facts": {"hostname": "a"}}, "host")]
)
def test_a_machine_without_a_name_is_an_error(variables: dict[str, t.Any], missing: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"a has no .*{missing}"):
        machine_addresses(["a"], {"a": variables})
