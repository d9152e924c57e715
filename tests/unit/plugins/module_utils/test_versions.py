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


@pytest.mark.parametrize("key", ["networks", "features"])
def test_a_table_with_a_hole_is_refused(key: str) -> None:
    content: dict[str, t.Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    del content[key]
    with pytest.raises(VersionError, match=key):
        Table(content)
