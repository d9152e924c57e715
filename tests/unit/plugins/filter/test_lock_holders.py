"""Whose the locks of validator clients are to be."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.eth2xk8s.staking.plugins.filter.lock_holders import lock_holders

CLIENTS = [{"name": f"validator{n}", "database": f"/data/validator{n}/validator.db"} for n in (1, 2)]
DUTIES = {
    "validator1": {"node": "master", "addresses": ["10.0.0.1"]},
    "validator2": {"node": "worker", "addresses": ["10.0.0.2", "fd00::2"]},
}


def test_each_by_its_own_node() -> None:
    assert lock_holders(CLIENTS, DUTIES) == [
        {"path": "/data/validator1/validator.db", "address": ["10.0.0.1"]},
        {"path": "/data/validator2/validator.db", "address": ["10.0.0.2", "fd00::2"]},
    ]


def test_any_holder_where_no_server_knows() -> None:
    assert [one["address"] for one in lock_holders(CLIENTS, DUTIES, named=False)] == [[], []]


def test_a_node_without_an_address_is_not_any_holder() -> None:
    with pytest.raises(AnsibleFilterError, match="validator2 signs on worker"):
        lock_holders(CLIENTS, {**DUTIES, "validator2": {"node": "worker", "addresses": []}})
