"""An upgrade over two minors under validators, on a chain as slow as mainnet, whose epochs are what they may miss."""

from __future__ import annotations

import pytest

from .conftest import Lab

pytestmark = pytest.mark.by_hand
UP = ("--seconds-per-slot", "12", "--slots-per-epoch", "32")
MINORS = (34, 35, 36)
SITE = ("-i", "inventory/testnet")


def channel(minor: int) -> tuple[str, ...]:
    return ("-e", f"microk8s_channel=1.{minor}/stable")


def targets(lab: Lab) -> dict[str, tuple[int, int]]:
    """Key -> the last epoch it attested, and how many it has attested."""
    return {key: (seen["last_target"], seen["attestations"]) for key, seen in lab.judge()["keys"].items()}


@pytest.fixture(scope="module")
def before() -> dict[str, tuple[int, int]]:
    """What every key had attested when the first upgrade began."""
    return {}


def test_a_site_at_an_older_minor(lab: Lab, before: dict[str, tuple[int, int]]) -> None:
    lab.play("site.yml", *SITE, *channel(MINORS[0]), timeout=3600)
    assert set(lab.versions().values()) == {f"v1.{MINORS[0]}"}
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=800)
    before.update(targets(lab))


@pytest.mark.parametrize("minor", MINORS[1:])
def test_an_upgrade_under_validators(lab: Lab, minor: int) -> None:
    lab.play("playbooks/cluster_upgrade.yml", *SITE, *channel(minor), timeout=3600)
    assert lab.versions() == {"master": f"v1.{minor}", "worker": f"v1.{minor}"}
    assert lab.cordoned() == set()


def test_every_validator_missed_one_epoch_at_most(lab: Lab, before: dict[str, tuple[int, int]]) -> None:
    """Over both upgrades: the epochs that have gone by, less those attested."""
    lab.all_sign_on(seconds=800)
    after = targets(lab)
    missed = {key: after[key][0] - last - (after[key][1] - count) for key, (last, count) in before.items()}
    print(f"\nepochs missed: {missed}")
    assert max(missed.values()) <= 1, missed


def test_a_second_time_it_changes_nothing(lab: Lab) -> None:
    again = lab.play("playbooks/cluster_upgrade.yml", *SITE, *channel(MINORS[-1]))
    assert sum(again.changed.values()) == 0, again.output[-4000:]


def test_a_minor_back_is_refused(lab: Lab) -> None:
    play = lab.play("playbooks/cluster_upgrade.yml", *SITE, *channel(MINORS[0]), check=False)
    assert play.failed
    assert "one minor version at a time, and never back" in play.said
