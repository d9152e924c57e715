"""Which node a machine is, while it cannot be asked: by name, else by address, and never by a guess."""

from __future__ import annotations

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.filter.node_named import node_named
from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._nodes import OUT_OF_SERVICE
from tests.unit.roles.test_host_roles import evaluate


def node(name: str, *addresses: str, taint: str = "", port: int | None = 10250) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name},
        "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]} if taint else {},
        "status": {
            "addresses": [*({"type": "InternalIP", "address": one} for one in addresses),
                          {"type": "Hostname", "address": name}],
            **({"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}} if port else {}),
        },
    }  # fmt: skip


NODES = [node("master", "172.20.10.11"), node("worker", "172.20.10.12")]


def test_by_its_name() -> None:
    found = node_named(NODES, "worker", ["10.0.0.12"])
    assert (found["node"], found["addresses"]) == ("worker", ["172.20.10.12", "10.0.0.12"])
    assert (found["kubelet"], found["out_of_service"]) == (("172.20.10.12", 10250), False)


def test_by_an_address_where_the_inventory_calls_it_otherwise() -> None:
    assert node_named(NODES, "node2", ["172.20.10.12"])["node"] == "worker"


def test_a_name_counts_before_an_address() -> None:
    assert node_named(NODES, "master", ["172.20.10.12"])["node"] == "master"


def test_two_or_none_are_no_node() -> None:
    assert node_named(NODES, "other", ["172.20.10.11", "172.20.10.12"])["node"] == ""
    assert node_named(NODES, "other")["node"] == ""


def test_a_node_that_was_taken_out_of_service_is_known() -> None:
    gone = node("worker", "172.20.10.12", taint="node.kubernetes.io/out-of-service", port=None)
    found = node_named([gone], "worker")
    assert (found["out_of_service"], found["kubelet"]) == (True, ("172.20.10.12", 10250))
    assert evaluate("prysm_helm", "__prysm_helm_out_of_service.key") == OUT_OF_SERVICE


def test_what_could_not_be_read_on_a_node_may_sign() -> None:
    def signs(answer: dict[str, t.Any]) -> list[t.Any]:
        return evaluate("prysm_helm", "__prysm_helm_signs_there", __prysm_helm_left_there=answer)

    ends, lives = {"pid": 7, "ending": True}, {"pid": 8, "ending": False}
    assert signs({"processes": []}) == signs({"processes": [ends]}) == []
    assert signs({"processes": [ends, lives]}) == [lives]
    assert len(signs({"failed": True, "msg": "no answer"})) == 1
