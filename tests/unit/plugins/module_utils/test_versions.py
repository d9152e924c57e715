from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils._versions import (
    Table,
    Version,
    VersionError,
    move,
)

FILE = Path(__file__).parents[4] / "roles/prysm_helm/files/eth2prysm/files/versions.yaml"


@pytest.fixture(scope="module")
def table() -> Table:
    return Table(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def test_releases_compare_in_the_order_they_came() -> None:
    tags = ["v1.3.4", "v1.10.0", "v4.0.3", "v4.0.3-hotfix", "v7.0.0-alpha.1", "v7.0.0-rc.1", "v7.0.0-rc.2", "v7.0.0"]
    mixed = [*tags[4:], *tags[:4]]
    assert sorted(mixed, key=Version.parse) == tags


@pytest.mark.parametrize("text", ["latest", "7.1", "v7.1.6+abc", "", "v7.1.6 "])
def test_what_is_not_a_release_is_refused(text: str) -> None:
    with pytest.raises(VersionError, match="not a Prysm release tag"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        pytest.param("", "v7.1.6", "install", id="nothing-there"),
        pytest.param("v7.1.6", "v7.1.6", "same", id="same"),
        pytest.param("v1.3.3", "v1.3.4", "upgrade", id="patch-up"),
        pytest.param("v1.10.0", "v1.9.0", "downgrade", id="not-alphabetical"),
        pytest.param("v7.0.0-rc.1", "v7.0.0", "upgrade", id="candidate"),
    ],
)
def test_says_which_way_a_move_goes(current: str, wanted: str, expected: str) -> None:
    assert move(current, wanted) == expected


@pytest.mark.parametrize(
    ("version", "layout"), [("v1.2.2", 1), ("v1.3.0-rc.1", 2), ("v1.3.0", 2), ("v1.3.4", 2), ("v7.1.6", 2)]
)
def test_counts_the_layouts_of_the_database(table: Table, version: str, layout: int) -> None:
    assert table.layout(version) == layout


@pytest.mark.parametrize(
    ("version", "network", "reason"),
    [
        pytest.param("v1.3.4", "mainnet", "cannot follow mainnet", id="old-on-mainnet"),
        pytest.param("v6.1.4", "hoodi", "needs v7.0.0 or later", id="before-fulu"),
        pytest.param("v1.3.4", "prater", "prater was shut down", id="dead-prater"),
        pytest.param("v1.3.4", "pyrmont", "pyrmont was shut down", id="dead-pyrmont"),
        pytest.param("v7.1.6", "holesky", "holesky was shut down", id="dead-holesky"),
        pytest.param("v1.3.4", "hoodi", "has no --hoodi", id="no-flag"),
        pytest.param("v1.2.1", "custom", "older than v1.2.2", id="too-old"),
        pytest.param("7.1.6", "custom", "not an image tag", id="no-v"),
        pytest.param("v7.1.6", "goerli", "is unknown", id="unknown-network"),
    ],
)
def test_refuses_with_the_reason(table: Table, version: str, network: str, reason: str) -> None:
    assert any(reason in words for words in table.refusals(version, network))


@pytest.mark.parametrize("network", ["mainnet", "hoodi", "sepolia", "custom"])
def test_todays_release_may_follow_what_lives(table: Table, network: str) -> None:
    assert table.refusals("v7.1.6", network) == []


@pytest.mark.parametrize("version", ["v1.2.2", "v1.3.4", "v7.1.6"])
def test_every_release_may_follow_a_private_chain(table: Table, version: str) -> None:
    assert table.refusals(version, "custom") == []


@pytest.mark.parametrize(
    ("current", "wanted", "up", "down"),
    [
        pytest.param("v1.3.4", "v1.2.2", [], ["v1.3.0"], id="down-over-1.3.0"),
        pytest.param("v1.2.2", "v1.3.4", ["v1.3.0"], [], id="up-over-1.3.0"),
        pytest.param("v1.3.0", "v1.2.2", [], ["v1.3.0"], id="from-the-change-itself"),
        pytest.param("v7.1.6", "v1.3.0", [], [], id="to-the-change-itself"),
    ],
)
def test_finds_the_layout_changes_on_the_way(
    table: Table, current: str, wanted: str, up: list[str], down: list[str]
) -> None:
    assert table.schema_changes(current, wanted) == (up, down)


def test_images_moved_with_v6_0_1(table: Table) -> None:
    assert table.images("v6.0.0")["beacon"] == "gcr.io/prysmaticlabs/prysm/beacon-chain:v6.0.0"
    assert table.images("v6.0.1-rc.1")["validator"] == "gcr.io/offchainlabs/prysm/validator:v6.0.1-rc.1"


def test_a_release_nobody_checked_is_said_to_be_one(table: Table) -> None:
    assert table.warnings("v7.1.6") == []
    assert "newer than v7.1.6" in table.warnings("v7.2.0")[0]


# fmt: off
RELEASES = [
    "v1.2.2", "v1.3.0", "v1.3.4", "v1.4.4", "v2.0.0", "v2.0.6", "v2.1.0", "v2.1.4", "v3.0.0",
    "v3.2.2", "v4.0.8", "v4.1.1", "v4.1.1-hotfix", "v4.2.0", "v4.2.1", "v5.0.0", "v5.0.1", "v5.0.2",
    "v5.0.4", "v5.1.0", "v5.3.3", "v6.0.0", "v6.1.4", "v7.0.0-rc.1", "v7.0.0", "v7.1.6", "v8.0.0",
]
# fmt: on


@pytest.mark.parametrize("version", RELEASES)
def test_every_release_works_with_its_own_beacon_node(table: Table, version: str) -> None:
    assert table.pair_refusal(version, version) == ""


@pytest.mark.parametrize("validator", [one for one in RELEASES if one.startswith("v1.")])
@pytest.mark.parametrize("beacon", RELEASES[RELEASES.index("v3.0.0") :])
def test_mixed_eras_are_refused_in_both_directions(table: Table, validator: str, beacon: str) -> None:
    for client, node in ((validator, beacon), (beacon, validator)):
        words = table.pair_refusal(client, node)
        assert client in words and node in words


@pytest.mark.parametrize(
    ("validator", "beacon", "works"),
    [
        pytest.param("v6.1.4", "v7.1.6", True, id="measured"),
        pytest.param("v2.0.0", "v7.1.6", True, id="StreamBlocksAltair-is-still-there"),
        pytest.param("v1.3.4", "v7.1.6", False, id="measured-flood"),
        pytest.param("v1.3.4", "v4.2.1", False, id="attests-but-never-proposes"),
        pytest.param("v2.0.6", "v1.4.4", False, id="no-StreamBlocksAltair-yet"),
        pytest.param("v4.2.0", "v4.1.1", False, id="no-StreamSlots-yet"),
        pytest.param("v7.1.6", "v5.0.1", False, id="no-GetHealth-yet"),
        pytest.param("v7.1.6", "v5.0.2", True, id="GetHealth"),
        pytest.param("v1.3.4-hotfix", "v1.3.4", True, id="hotfix"),
    ],
)
def test_which_validators_work_with_which_beacon(table: Table, validator: str, beacon: str, works: bool) -> None:
    assert (table.pair_refusal(validator, beacon) == "") is works


def test_a_version_the_table_has_no_pair_for_is_refused(table: Table) -> None:
    content: dict[str, t.Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    content["pairs"] = content["pairs"][:1]
    assert "does not say" in Table(content).pair_refusal("v7.1.6", "v7.1.6")


@pytest.mark.parametrize(
    ("current", "wanted", "order"),
    [
        pytest.param("", "v7.1.6", "beacon_first", id="install"),
        pytest.param("v7.1.6", "v7.1.6", "beacon_first", id="same"),
        pytest.param("v6.1.4", "v7.1.6", "beacon_first", id="up"),
        pytest.param("v7.1.6", "v6.1.4", "validators_first", id="down"),
        pytest.param("v1.3.4", "v7.1.6", "together", id="up-over-eras"),
        pytest.param("v7.1.6", "v1.3.4", "together", id="down-over-eras"),
        pytest.param("v1.3.4", "v1.2.2", "validators_first", id="down-within-v1"),
    ],
)
def test_says_in_which_order_a_site_moves(table: Table, current: str, wanted: str, order: str) -> None:
    found, why = table.order(current, wanted)
    assert found == order
    assert (why != "") is (order == "together")


@pytest.mark.parametrize("current", RELEASES)
@pytest.mark.parametrize("wanted", RELEASES)
def test_no_move_ever_runs_a_pair_that_does_not_work(table: Table, current: str, wanted: str) -> None:
    order, _ = table.order(current, wanted)
    pairs = {"beacon_first": (current, wanted), "validators_first": (wanted, current), "together": (wanted, wanted)}
    assert table.pair_refusal(*pairs[order]) == ""


@pytest.mark.parametrize(
    ("current", "wanted", "opens"),
    [
        pytest.param("v1.3.4", "v7.1.6", False, id="young-database-crash-loops"),
        pytest.param("v7.1.6", "v1.3.4", False, id="panics"),
        pytest.param("v7.1.6", "v6.1.4", True, id="measured"),
        pytest.param("v6.1.4", "v7.1.6", True, id="up"),
        pytest.param("v1.3.3", "v1.3.4", True, id="patch"),
        pytest.param("v5.0.0", "v4.2.1", False, id="deposit-snapshot"),
        pytest.param("v5.0.2", "v5.0.3", False, id="finalized-index"),
        pytest.param("", "v7.1.6", True, id="install"),
        pytest.param("v7.1.6", "v7.1.6", True, id="same"),
    ],
)
def test_says_when_the_beacons_own_directory_must_be_emptied(
    table: Table, current: str, wanted: str, opens: bool
) -> None:
    words = table.beacon_database_refusal(current, wanted)
    assert (words == "") is opens
    if not opens:
        assert "prysm_helm_empty_beacon_database=true" in words and "validator.db is not touched" in words


@pytest.mark.parametrize(("network", "slot_zero"), [("mainnet", 1606824023), ("hoodi", 1742213400), ("custom", 0)])
def test_knows_the_genesis_of_public_networks(table: Table, network: str, slot_zero: int) -> None:
    assert table.genesis(network) == slot_zero


@pytest.mark.parametrize(
    ("network", "needed"), [("mainnet", False), ("hoodi", True), ("sepolia", True), ("custom", False)]
)
def test_knows_where_a_beacon_needs_a_checkpoint(table: Table, network: str, needed: bool) -> None:
    assert table.needs_checkpoint(network) is needed


@pytest.mark.parametrize("key", ["networks", "features", "pairs", "beaconDatabase"])
def test_a_table_with_a_hole_is_refused(key: str) -> None:
    content: dict[str, t.Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    del content[key]
    with pytest.raises(VersionError, match=key):
        Table(content)
