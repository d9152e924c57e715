"""Whose the locks of validator clients are to be."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.eth2xk8s.staking.plugins.filter.lock_holders import lock_holders

CLIENTS = [{"name": f"validator{n}", "database": f"/data/validator{n}/validator.db"} for n in (1, 2)]
DUTIES = {"validator1": {"node": "master"}, "validator2": {"node": "worker"}}


def node(name: str, *addresses: str) -> dict[str, object]:
    found = [{"type": "InternalIP", "address": address} for address in addresses]
    return {"metadata": {"name": name}, "status": {"addresses": [*found, {"type": "Hostname", "address": name}]}}


def test_each_by_its_own_node() -> None:
    assert lock_holders(CLIENTS, DUTIES, [node("master", "10.0.0.1"), node("worker", "10.0.0.2", "fd00::2")]) == [
        {"path": "/data/validator1/validator.db", "address": ["10.0.0.1"]},
        {"path": "/data/validator2/validator.db", "address": ["10.0.0.2", "fd00::2"]},
    ]


def test_any_holder_where_no_server_knows() -> None:
    assert [one["address"] for one in lock_holders(CLIENTS, DUTIES, [])] == [[], []]


@pytest.mark.parametrize("nodes", [[node("master", "10.0.0.1")], [node("master", "10.0.0.1"), node("worker")]])
def test_a_node_without_an_address_is_not_any_holder(nodes: list[dict[str, object]]) -> None:
    with pytest.raises(AnsibleFilterError, match="validator2 signs on worker"):
        lock_holders(CLIENTS, DUTIES, nodes)
