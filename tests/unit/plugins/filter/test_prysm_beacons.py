"""The beacon nodes beside the first."""

from __future__ import annotations

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_beacons import prysm_beacons
from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_directories import prysm_directories

FIRST: dict[str, t.Any] = {"name": "beacon", "p2pTcpPort": 13000, "p2pUdpPort": 12000, "p2pQuicPort": 13000}


def test_one_beacon_node_has_none_beside_it() -> None:
    assert prysm_beacons(FIRST, 1, "/data") == []
    assert prysm_beacons(FIRST, "1", "/data") == []


def test_each_has_a_directory_and_ports_of_its_own() -> None:
    second, third = prysm_beacons(FIRST, "3", "/data")
    assert second == {
        "name": "beacon-2",
        "dataVolumePath": "/data/beacon-2",
        "p2pTcpPort": 13001,
        "p2pUdpPort": 12001,
        "p2pQuicPort": 13001,
        "checkpointSyncUrl": "",
    }
    assert (third["name"], third["p2pUdpPort"]) == ("beacon-3", 12002)
    assert [second["dataVolumePath"], third["dataVolumePath"]] == prysm_directories([], "/data", 3)[1:]


def test_each_has_an_execution_client_of_its_own_where_there_is_one() -> None:
    found = prysm_beacons(FIRST, 3, "/data", endpoints=["http://a:8551", "http://b:8551"])
    assert [entry.get("web3Provider") for entry in found] == ["http://b:8551", None]


def test_the_address_of_a_checkpoint_stays_as_it_was_installed() -> None:
    installed = [{"name": "beacon-2", "checkpointSyncUrl": "https://old"}]
    found = prysm_beacons(FIRST, 3, "/data", checkpoint="https://new", installed=installed)
    assert [entry["checkpointSyncUrl"] for entry in found] == ["https://old", "https://new"]


def test_they_are_called_after_the_first() -> None:
    assert [entry["name"] for entry in prysm_beacons({"name": "node"}, 2, "/data")] == ["node-2"]
