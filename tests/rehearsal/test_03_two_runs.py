"""Two people, two commands, one site: one run acts, the other says who does, and no key is ever in two wallets.

RUNS=50 tries that many moments; each pair takes as long as a run of the wallets, every tenth as long as a whole run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
import typing as t

import pytest
import yaml

from .conftest import Inventory, Lab, Play, begin, moved_validators

pytestmark = pytest.mark.by_hand
COUNT = int(os.environ.get("RUNS", "12"))
CHANCE = random.Random(20261128)


def end(run: subprocess.Popen[str]) -> Play:
    output = run.communicate(timeout=1200)[0]
    return Play(run.returncode, output)


def wallets(lab: Lab) -> list[str]:
    """The keys of both wallets, one after the other."""
    found: list[str] = []
    for number in (1, 2):
        found += json.loads(lab.on("nfs", f"cat /data/prysm/wallet-validator{number}/key-manifest.json"))["pubkeys"]
    return found


@pytest.fixture(scope="module")
def contradicting(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """Another person's inventory gives one of the keys to the other client."""
    return Inventory(tmp_path_factory.mktemp("other") / "inventory", moved_validators())


def test_the_site_is_built(lab: Lab) -> None:
    lab.play("site.yml")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)
    assert len(wallets(lab)) == 4


@pytest.mark.parametrize("number", range(COUNT))
def test_of_two_runs_one_acts(lab: Lab, contradicting: Inventory, number: int) -> None:
    whole = number % 10 == 9
    step: tuple[str, ...] = () if whole else ("--tags", "prysm_wallet")
    other = (*contradicting.words, *step) if number % 2 else step
    first = begin("site.yml", *(step if CHANCE.random() < 0.5 or not number % 2 else other))
    swapped = number % 2 and first.args[-len(other) :] == list(other)
    time.sleep(CHANCE.uniform(0, 60 if whole else 20))
    second = begin("site.yml", *(step if swapped else other))
    plays = [end(first), end(second)]
    keys = wallets(lab)
    assert len(keys) == len(set(keys)) == 4
    reasons = ("another playbook runs on this site", "belongs to 2 clients")
    for play in plays:
        assert not play.failed or any(reason in play.said for reason in reasons), play.output[-3000:]
        assert play.failed or set(play.changed.values()) == {0}
    # The inventory that contradicts the site never wins; the other one does, unless it came in the other's way.
    if number % 2:
        assert any(play.failed for play in plays)
    else:
        assert not all(play.failed for play in plays)


def test_all_sign_on(lab: Lab) -> None:
    lab.all_sign_on()


def test_the_record_gives_each_key_to_one_client(lab: Lab) -> None:
    record = t.cast("dict[str, t.Any]", yaml.safe_load(lab.on("nfs", "cat /data/prysm/.history/record.json")))
    owners = [entry["client"] for entry in record["keys"].values()]
    assert sorted(owners) == ["validator1"] * 2 + ["validator2"] * 2
