"""How many beacon nodes a site has: in the values, the directories and the firewall alike."""

from __future__ import annotations

import typing as t

import pytest

from tests.unit.roles.test_host_roles import ROOT, evaluate

POST_MERGE: dict[str, t.Any] = {"features": {"web3Provider": False}}
PRE_MERGE: dict[str, t.Any] = {"features": {"web3Provider": True}}


def ask(expression: str, **more: t.Any) -> t.Any:
    given = {
        "prysm_validators": [{"name": "validator1"}],
        "prysm_data_dir": "/data/prysm",
        "role_path": str(ROOT / "roles/prysm_helm"),
        "__prysm_helm_wanted": POST_MERGE,
        "__prysm_helm_first_start": False,
        "prysm_execution_endpoints": ["http://a:8551", "http://b:8551"],
        **more,
    }
    return evaluate("prysm_helm", expression, **given)


def test_a_site_has_one_unless_it_says_otherwise() -> None:
    assert ask("__prysm_helm_more_beacons") == []
    assert ask("__prysm_helm_beacons") == ["beacon"]


def test_the_second_has_the_second_execution_client_from_v3_on() -> None:
    (second,) = ask("__prysm_helm_more_beacons", prysm_beacon_nodes=2)
    assert (second["name"], second["web3Provider"], second["p2pTcpPort"]) == ("beacon-2", "http://b:8551", 13001)
    (second,) = ask("__prysm_helm_more_beacons", prysm_beacon_nodes=2, __prysm_helm_wanted=PRE_MERGE)
    assert "web3Provider" not in second, "all have the same ones, with fallbacks"


def test_a_new_one_needs_a_checkpoint_and_the_first_is_left_as_it_is() -> None:
    given = {"prysm_beacon_nodes": 2, "prysm_checkpoint_sync_url": "https://new"}
    installed = {"beacon": {"name": "beacon"}, "additionalBeacons": []}
    assert ask("__prysm_helm_some_begin", **given, __prysm_helm_installed=installed) is True
    (second,) = ask("__prysm_helm_more_beacons", **given, __prysm_helm_installed=installed)
    assert second["checkpointSyncUrl"] == "https://new"
    later = {**installed, "additionalBeacons": [{"name": "beacon-2", "checkpointSyncUrl": "https://old"}]}
    assert ask("__prysm_helm_some_begin", **given, __prysm_helm_installed=later) is False
    (second,) = ask("__prysm_helm_more_beacons", **given, __prysm_helm_installed=later)
    assert second["checkpointSyncUrl"] == "https://old", "another address would restart it for nothing"


def test_one_that_is_given_up_is_no_client_that_is_missing() -> None:
    later = {
        "beacon": {"name": "beacon"},
        "additionalBeacons": [{"name": "beacon-2"}],
        "validators": {"validator1": {}},
    }
    assert ask("__prysm_helm_old_beacons", __prysm_helm_installed=later) == ["beacon", "beacon-2"]


def test_they_are_called_after_the_first() -> None:
    names = ask("__prysm_helm_beacons", prysm_beacon_nodes=3, prysm_helm_values={"beacon": {"name": "node"}})
    assert names == ["node", "node-2", "node-3"]
    others = ask("__prysm_helm_other_beacons", prysm_beacon_nodes=3, __prysm_helm_beacon="beacon-2")
    assert others == ["beacon", "beacon-3"]


def test_each_has_a_directory_on_the_server() -> None:
    site = {"prysm_validators": [{"name": "validator1"}], "prysm_data_dir": "/data/prysm", "prysm_beacon_nodes": 2}
    made = evaluate("nfs_server", "nfs_server_directories", **site)
    assert made[:3] == ["/data/prysm/beacon", "/data/prysm/beacon-2", "/data/prysm/validator1"]
    looked = evaluate("prysm_wallet", "__prysm_wallet_wanted", **site)
    assert looked == ["/data/prysm/beacon", "/data/prysm/beacon-2", "/data/prysm/validator1"]


@pytest.mark.parametrize(
    ("count", "ports"), [(1, ["12000", "13000", "13000"]), (2, ["12000,12001", "13000,13001"] * 2)]
)
def test_the_firewall_opens_the_ports_of_each(count: int, ports: list[str]) -> None:
    rules = evaluate("firewall", "__firewall_beacon_rules", prysm_beacon_nodes=count)
    assert {rule["port"] for rule in rules} == set(ports)
    free = evaluate("firewall", "firewall_p2p_ports", prysm_beacon_nodes=count)
    assert len(free) == len(set(free)) == 3 * count
