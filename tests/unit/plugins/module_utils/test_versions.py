from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import (
    Table,
    Version,
    VersionError,
    chosen_images,
    moment,
    move,
)

TODAY = moment("2026-11-28")

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
        pytest.param("v6.0.5", "hoodi", "Fulu fork (2025-10-28 18:53:12 UTC), which needs v6.1.0", id="before-fulu"),
        pytest.param(
            "v7.3.0",
            "hoodi",
            "withdrawn (2026-10-26 17:42:48 UTC), so it needs v6.1.0 to v7.2.0, or v7.3.1",
            id="a-hole",
        ),
        pytest.param("v7.1.8", "sepolia", "Gloas fork (2026-10-06 13:53:36 UTC), which needs v7.2.0", id="gloas"),
        pytest.param("v7.3.2", "mainnet", "never checked against Prysm v7.3.2", id="newer"),
        pytest.param("v7.1.9", "mainnet", "never checked against Prysm v7.1.9", id="in-the-middle"),
        pytest.param("v1.4.0", "custom", "never checked against Prysm v1.4.0", id="there-is-no-such-tag"),
        pytest.param("v7.3.1-rc.1", "mainnet", "set prysm_untested_version to v7.3.1-rc.1", id="candidate"),
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
    assert any(reason in words for words in table.fit(version, network, TODAY).refusals)


@pytest.mark.parametrize("network", ["mainnet", "hoodi", "sepolia", "custom"])
@pytest.mark.parametrize("version", ["v7.2.0", "v7.3.1"])
def test_todays_release_may_follow_what_lives(table: Table, version: str, network: str) -> None:
    assert table.fit(version, network, TODAY) == ([], [])


# fmt: off
# The first release that has a fork, the one before it, and when the network forks. From the releases' source.
FORKS = [
    ("mainnet", "v2.0.0", "v1.4.4", "2021-10-27T10:56:23Z"), ("mainnet", "v3.0.0", "v2.1.4", "2022-09-06T11:34:47Z"),
    ("mainnet", "v4.0.0", "v3.2.2", "2023-04-12T22:27:35Z"), ("mainnet", "v5.0.0", "v4.2.1", "2024-03-13T13:55:35Z"),
    ("mainnet", "v6.0.0", "v5.3.3", "2025-05-07T10:05:11Z"), ("mainnet", "v7.0.0", "v6.1.4", "2025-12-03T21:49:11Z"),
    ("hoodi", "v6.1.0", "v6.0.5", "2025-10-28T18:53:12Z"),
    ("sepolia", "v4.2.1", "v4.2.0", "2024-01-30T22:51:12Z"), ("sepolia", "v5.3.0", "v5.2.0", "2025-03-05T07:29:36Z"),
    ("sepolia", "v6.1.0", "v6.0.5", "2025-10-14T07:36:00Z"), ("sepolia", "v7.2.0", "v7.1.8", "2026-10-06T13:53:36Z"),
    ("holesky", "v5.3.0", "v5.2.0", "2025-02-24T21:55:12Z"), ("holesky", "v6.1.0", "v6.0.5", "2025-10-01T08:48:00Z"),
    ("prater", "v2.0.0", "v1.4.4", "2021-09-02T12:24:00Z"), ("prater", "v2.1.4", "v2.1.3", "2022-08-04T12:24:00Z"),
    ("prater", "v3.2.2", "v3.2.1", "2023-03-14T22:25:36Z"), ("prater", "v4.2.0", "v4.1.1", "2024-01-17T06:32:00Z"),
    ("pyrmont", "v2.0.0", "v1.4.4", "2021-08-19T12:00:07Z"),
]
# fmt: on


@pytest.mark.parametrize(("network", "first", "before", "at"), FORKS)
def test_a_fork_divides_releases_at_its_second(table: Table, network: str, first: str, before: str, at: str) -> None:
    forks = moment(at)
    for now in (forks - 25 * 3600, forks - 1):
        assert table.fit(before, network, now).refusals == []
        (words,) = table.fit(before, network, now).warnings
        assert before in words and f"{first} or later" in words
        assert not any(at[:10] in words for words in table.fit(first, network, now).warnings)
    assert "cannot follow" in table.fit(before, network, forks).refusals[0]
    assert table.fit(first, network, forks).refusals == []


@pytest.mark.parametrize(
    ("version", "network", "date", "refused", "warned"),
    [
        pytest.param("v7.3.0", "hoodi", "2026-10-18", False, True, id="the-hole-is-ahead"),
        pytest.param("v7.3.0", "hoodi", "2026-10-26T17:42:47Z", False, True, id="its-last-second"),
        pytest.param("v7.3.0", "hoodi", "2026-10-26T17:42:48Z", True, False, id="in-the-hole"),
        pytest.param("v7.3.0", "hoodi", "2028-01-01", True, False, id="for-ever"),
        pytest.param("v7.3.0", "mainnet", "2026-11-28", False, False, id="a-hole-of-one-network"),
        pytest.param("v7.3.0", "sepolia", "2026-11-28", False, False, id="and-not-of-another"),
        pytest.param("v7.2.0", "hoodi", "2026-11-28", False, False, id="before-the-hole"),
        pytest.param("v7.3.1", "hoodi", "2026-11-28", False, False, id="after-the-hole"),
        pytest.param("v6.1.4", "hoodi", "2026-11-28", False, False, id="the-oldest-with-fulu-there"),
        pytest.param("v1.3.4", "mainnet", "2021-04-01", False, True, id="in-its-time"),
        pytest.param("v1.3.4", "prater", "2021-04-01", False, True, id="prater-in-its-time"),
        pytest.param("v5.0.3", "prater", "2024-04-16", False, False, id="prater-lives"),
        pytest.param("v5.0.3", "prater", "2024-04-18", True, False, id="prater-is-dead"),
        pytest.param("v2.1.1", "pyrmont", "2021-12-01", False, False, id="pyrmont-lives"),
        pytest.param("v2.1.2", "pyrmont", "2021-12-01", True, False, id="pyrmont-means-mainnet"),
        pytest.param("v2.1.3", "sepolia", "2022-06-21", False, True, id="sepolia-before-the-merge"),
        pytest.param("v2.1.3", "sepolia", "2022-08-01", True, False, id="sepolia-after-it"),
        pytest.param("v5.3.1", "hoodi", "2025-04-01", True, False, id="no-hoodi-yet"),
        pytest.param("v1.2.2", "custom", "2026-11-28", False, False, id="private-chains-are-not-judged"),
    ],
)
def test_what_is_right_depends_on_network_and_date(
    table: Table, version: str, network: str, date: str, refused: bool, warned: bool
) -> None:
    fit = table.fit(version, network, moment(date))
    assert (bool(fit.refusals), bool(fit.warnings)) == (refused, warned), fit


def test_moments_and_epochs_of_the_table_agree(table: Table) -> None:
    content: dict[str, t.Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for name, network in content["networks"].items():
        begins = [moment(one["from"]) for one in network.get("follow", [])]
        assert begins == sorted(begins)
        for one in network.get("follow", []):
            if "epoch" in one:
                assert moment(one["from"]) == network["genesis"] + one["epoch"] * 384, (name, one)
        if begins:
            assert begins[0] == network["genesis"], name


def test_every_release_between_oldest_and_newest_is_listed_once_and_in_order(table: Table) -> None:
    content: dict[str, t.Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    order = [Version.parse(one) for one in content["releases"]]
    assert order == sorted(set(order))
    assert (content["releases"][0], content["releases"][-1]) == (content["oldest"], content["newest"])


@pytest.mark.parametrize(
    ("version", "network", "spec", "date", "words"),
    [
        pytest.param(
            "v7.3.0",
            "hoodi",
            {"GLOAS_FORK_EPOCH": "132352"},
            "2026-10-24",
            "takes the Gloas fork at 2026-10-26 17:42:48 UTC, and v7.3.0 forks into Gloas there",
            id="alone",
        ),
        pytest.param(
            "v7.1.8",
            "sepolia",
            {"GLOAS_FORK_EPOCH": str(2**64 - 1)},
            "2026-10-05",
            "does not take the Gloas fork of sepolia at 2026-10-06 13:53:36 UTC (in 38 hours)",
            id="behind",
        ),
        pytest.param("v7.1.8", "sepolia", {"GLOAS_FORK_EPOCH": str(2**64 - 1)}, "2026-10-07", "(already)", id="late"),
        pytest.param(
            "v8.0.0",
            "mainnet",
            {"HEZE_FORK_EPOCH": "900000"},
            "2026-11-28",
            "the version table does not know of it",
            id="unknown",
        ),
        pytest.param(
            "v7.2.0",
            "sepolia",
            {"GLOAS_FORK_EPOCH": "353024", "FULU_FORK_EPOCH": "272640"},
            "2026-10-05",
            "",
            id="right",
        ),
        pytest.param(
            "v7.1.6",
            "mainnet",
            {"GLOAS_FORK_EPOCH": str(2**64 - 1), "ALTAIR_FORK_EPOCH": "74240"},
            "2026-11-28",
            "",
            id="nothing-ahead",
        ),
        pytest.param(
            "v7.1.6", "hoodi", {"DENEB_FORK_EPOCH": "0", "ELECTRA_FORK_EPOCH": "2048"}, "2026-11-28", "", id="old-forks"
        ),
        pytest.param("v7.1.6", "custom", {"GLOAS_FORK_EPOCH": "5"}, "2026-11-28", "", id="private"),
    ],
)
def test_the_beacons_own_schedule_is_held_against_the_table(
    table: Table, version: str, network: str, spec: dict[str, str], date: str, words: str
) -> None:
    found = table.schedule(version, network, spec, moment(date))
    assert words in " ".join(found) and bool(found) is bool(words)


@pytest.mark.parametrize(
    ("network", "date", "config", "order"),
    [
        pytest.param("sepolia", "2026-10-05", {}, "beacon_first", id="before-gloas"),
        pytest.param("sepolia", "2026-11-28", {}, "together", id="in-gloas"),
        pytest.param("hoodi", "2026-11-28", {}, "beacon_first", id="hoodi-is-not"),
        pytest.param("mainnet", "2026-11-28", {}, "beacon_first", id="mainnet-is-not"),
        pytest.param("custom", "2026-11-28", {"GLOAS_FORK_EPOCH": 10}, "together", id="private-with-gloas"),
        pytest.param("custom", "2026-11-28", {"GLOAS_FORK_EPOCH": "0x0a"}, "together", id="in-hexadecimal"),
        pytest.param(
            "custom", "2026-11-28", {"GLOAS_FORK_EPOCH": "soon"}, "together", id="unreadable-counts-as-danger"
        ),
        pytest.param("custom", "2026-11-28", {"GLOAS_FORK_EPOCH": str(2**64 - 1)}, "beacon_first", id="never"),
        pytest.param("custom", "2026-11-28", {}, "beacon_first", id="private-without"),
    ],
)
def test_over_v7_3_0_both_move_together_where_gloas_is(
    table: Table, network: str, date: str, config: dict[str, t.Any], order: str
) -> None:
    forks = table.forks_together(network, moment(date), config)
    for current, wanted in (("v7.2.0", "v7.3.1"), ("v7.3.1", "v7.2.0")):
        found, why = table.order(current, wanted, forks)
        expected = order if order == "together" or wanted == "v7.3.1" else "validators_first"
        assert found == expected
        assert ("envelopes" in why) is (order == "together")
    assert table.order("v7.3.0", "v7.3.1", forks)[0] == "beacon_first"


@pytest.mark.parametrize(
    ("validator", "beacon", "works"),
    [("v7.2.0", "v7.3.1", False), ("v7.3.1", "v7.2.0", False), ("v7.3.0", "v7.3.1", True), ("v7.2.0", "v7.1.8", True)],
)
def test_pairs_after_gloas(table: Table, validator: str, beacon: str, works: bool) -> None:
    assert (table.pair_refusal(validator, beacon, {"Gloas"}) == "") is works
    assert table.pair_refusal(validator, beacon) == ""


@pytest.mark.parametrize(
    ("version", "program", "arguments", "seconds"),
    [
        ("v7.2.0", "validator", [], 30),
        ("v7.3.0", "validator", [], 45),
        ("v7.3.1", "beacon", [], 60),
        ("v7.1.6", "beacon", ["--verbosity=debug", "--postpone-shutdown-for-proposals"], 840),
        ("v7.1.6", "beacon", ["--postpone-shutdown-for-proposals=true"], 840),
        ("v7.1.6", "beacon", ["--postpone-shutdown-for-proposals=false"], 60),
    ],
)
def test_knows_how_long_a_stop_may_take(
    table: Table, version: str, program: str, arguments: list[str], seconds: int
) -> None:
    assert table.stop_seconds(version, program, arguments) == seconds


@pytest.mark.parametrize(
    ("program", "argument", "reason"),
    [
        pytest.param("beacon", "--disable-last-epoch-targets", "", id="on-the-list"),
        pytest.param("beacon", "--blacklist-roots=0xaa,0xbb", "", id="not-on-the-list"),
        pytest.param("beacon", "--sync-from=head", "", id="of-2025"),
        pytest.param("beacon", "--never-heard-of=1", "", id="of-tomorrow"),
        pytest.param("beacon", "--disable-broadcast-slashings", "", id="the-list-wins-over-the-pattern"),
        pytest.param("beacon", "--datadir=/x", "another place is a database without", id="places"),
        pytest.param("validator", "--interop-num-validators=4", "keys that everybody knows", id="refused-keys"),
        pytest.param("validator", "--web3signer-v2-url=http://x", "touches keys", id="keys-of-tomorrow"),
        pytest.param("validator", "--validator-keys=/x", "touches keys", id="keys-by-that-name"),
        pytest.param("validator", "--web-ui", "touches keys", id="web"),
        pytest.param("beacon", "--monkey-patch", "", id="a-word-with-key-in-it"),
        pytest.param("validator", "--other-wallet=/x", "touches keys", id="another-wallet"),
        pytest.param("validator", "--disable-slashing-protection-v9", "touches history", id="history-of-tomorrow"),
        pytest.param("validator", "--clear-db-now", "touches history", id="clear-db-of-tomorrow"),
        pytest.param("validator", "--disable-protection-checks", "touches history", id="protection"),
        pytest.param("validator", "--ignore-history", "touches history", id="history"),
        pytest.param("validator", "--reset-attestations", "touches history", id="reset"),
        pytest.param("validator", "--remote-signing-url=http://x", "touches keys", id="a-remote-signer"),
        pytest.param("validator", "--mnemonic-file=/x", "touches secrets", id="mnemonic"),
        pytest.param("validator", "--default-recipient=0x0", "touches rewards", id="recipient"),
        pytest.param("validator", "--default-fee-recipient=0x0", "touches rewards", id="rewards"),
        pytest.param("beacon", "--http-host=0.0.0.0", "the chart sets it", id="what-the-chart-sets"),
        pytest.param("beacon", "--sepolia", "use network", id="another-network"),
        pytest.param("beacon", "-x", "not understood", id="short"),
        pytest.param("beacon", "--x --datadir=/y", "not understood", id="two-in-one"),
        pytest.param("beacon", "--x=$(SECRET)", "not understood", id="kubernetes-expands"),
        pytest.param("beacon", "--X", "not understood", id="capitals"),
        pytest.param("beacon", "--x=1\n", "not understood", id="line-end"),
        pytest.param("slasher", "--x", "for beacon or validator", id="no-such-program"),
    ],
)
def test_an_emergency_may_bring_new_arguments_and_not_dangerous_ones(
    table: Table, program: str, argument: str, reason: str
) -> None:
    found = table.emergency_refusals({program: [argument]})
    assert reason in " ".join(found) and bool(found) is bool(reason)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-10-06 13:53:36", "1791294816"])
def test_what_is_not_a_moment_is_refused(text: str) -> None:
    with pytest.raises(VersionError, match="not a moment"):
        moment(text)


@pytest.mark.parametrize("version", ["v1.2.2", "v1.3.4", "v7.1.6"])
def test_every_release_may_follow_a_private_chain(table: Table, version: str) -> None:
    assert table.fit(version, "custom", TODAY).refusals == []


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


def test_a_release_that_was_not_checked_runs_only_when_it_is_named(table: Table) -> None:
    assert table.fit("v8.0.0", "mainnet", TODAY).refusals
    assert table.fit("v8.0.0", "mainnet", TODAY, untested="v8.0.1").refusals, "another one was named"
    found = table.fit("v8.0.0", "mainnet", TODAY, untested="v8.0.0")
    assert not found.refusals and "never checked against Prysm v8.0.0" in found.warnings[0]


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


@pytest.mark.parametrize("key", ["networks", "features", "pairs", "together", "stop", "releases", "beaconDatabase"])
def test_a_table_with_a_hole_is_refused(key: str) -> None:
    content: dict[str, t.Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    del content[key]
    with pytest.raises(VersionError, match=key):
        Table(content)


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "registry/validator:v7.1.6"),
        ({"validatorImage": "", "validatorDigest": None}, "registry/validator:v7.1.6"),
        ({"validatorImage": "mirror:5000/v"}, "mirror:5000/v:v7.1.6"),
        ({"validatorDigest": "sha256:ab"}, "registry/validator:v7.1.6@sha256:ab"),
        ({"validatorImage": "mirror/v", "validatorDigest": "sha256:ab"}, "mirror/v:v7.1.6@sha256:ab"),
        ({"beaconImage": "mirror/b", "beaconDigest": "sha256:cd"}, "registry/validator:v7.1.6"),
    ],
)
def test_an_image_is_of_the_mirror_and_pinned_where_the_values_say_so(values: dict[str, t.Any], image: str) -> None:
    assert chosen_images({"validator": "registry/validator:v7.1.6"}, values, "v7.1.6") == {"validator": image}
