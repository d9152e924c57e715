"""Every operation, killed where it changes something, is finished by the same command.

An operation is run once as a whole, to see which of its tasks change something; then it is killed in some of them, and
run again. Every day ten of them, chosen by the day, in one operation and its way back. Before a release two of each
operation, about 90 minutes. CUT_OFF=drain,move_key tries every place of those operations, CUT_OFF=all of all. Where
several places are tried, the run that goes on after one is cut off in the next, until one ends. What was tried is
printed, as a part of what there is.
"""

from __future__ import annotations

import datetime
import itertools
import os
import random
import re
import time
import typing as t
from collections.abc import Iterator

import pytest
import yaml

from .conftest import KEYSTORES, Inventory, Lab, killed_when, moved_validators, validators

ASKED = os.environ.get("CUT_OFF", "")
#: CUT_OFF_SEED repeats what another day has chosen.
SEED = int(os.environ.get("CUT_OFF_SEED") or datetime.date.today().toordinal())
CHANCE = random.Random(SEED)
#: A task, and which time it is that it comes in a run.
Place = tuple[str, int]


class Operation(t.NamedTuple):
    """What is cut off, and what brings the site back to where it begins."""

    forward: tuple[str, ...]
    back: tuple[str, ...]
    signs: bool = True


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Operation]:
    folder = tmp_path_factory.mktemp("inventories")
    plain = Inventory(folder / "plain", validators())
    other = validators()
    other[0]["graffiti"] = "another text"
    changed = Inventory(folder / "changed", other)
    moved = Inventory(folder / "moved", moved_validators())
    key = "0x" + yaml.safe_load(KEYSTORES[1].read_text())["pubkey"]
    move = ("playbooks/move_key.yml", "-e", f"move_key={key}")
    node = "worker"
    return {
        "site": Operation(("site.yml", *changed.words), ("site.yml", *plain.words)),
        "upgrade": Operation(
            ("upgrade.yml", "-e", "prysm_version=v1.3.4"), ("playbooks/rollback.yml", "-e", "prysm_version=v1.3.3")
        ),
        "rollback": Operation(
            ("playbooks/rollback.yml", "-e", "prysm_version=v1.2.2"), ("upgrade.yml", "-e", "prysm_version=v1.3.3")
        ),
        "drain": Operation(
            ("playbooks/drain.yml", "-e", f"node={node}"),
            ("playbooks/drain.yml", "-e", f"node={node}", "-e", "node_state=uncordoned"),
        ),
        "move_key": Operation(
            (*move, "-e", "move_from=validator1", "-e", "move_to=validator2", *moved.words),
            (*move, "-e", "move_from=validator2", "-e", "move_to=validator1", *plain.words),
        ),
        "uninstall": Operation(
            ("playbooks/uninstall.yml", "-e", "prysm_uninstall=eth2prysm"), ("site.yml", *plain.words), signs=False
        ),
    }


#: Whose way back changes as much: it is cut off as well, so no run is spent on going back. Ten cuts of an upgrade or of
#: the move of a key, which wait for the duties of every client, take longer than a day has.
BOTH_WAYS = ("drain", "site")
NAMES = ["drain", "upgrade", "rollback", "move_key", "uninstall", "site"]


def changes(output: str) -> list[Place]:
    """The tasks of a run that have changed something, in their order."""
    found: list[Place] = []
    count: dict[str, int] = {}
    task = ""
    for line in output.splitlines():
        begun = re.match(r"TASK \[(.+?)\] \**$", line)
        if begun:
            task = begun.group(1)
            count[task] = count.get(task, 0) + 1
        elif line.startswith("changed: [") and (task, count[task]) not in found:
            found.append((task, count[task]))
    return found


def cut_off(place: Place, words: tuple[str, ...], seconds: float) -> tuple[bool, str]:
    """Run a playbook and kill it in a task; whether it came there, and its output."""
    task, times = place
    seen = itertools.count(1)
    return killed_when(lambda line: line.startswith(f"TASK [{task}]") and next(seen) == times, seconds, *words)


@pytest.fixture(scope="module")
def coverage(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    tried: dict[str, str] = {}
    yield tried
    said = ", ".join(f"{name} {what}" for name, what in tried.items())
    plugins = request.config.pluginmanager
    # What passed is worth reading, too.
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        plugins.getplugin("terminalreporter").write_line(f"\nseed {SEED}; tasks that change something, cut off: {said}")


def test_the_site_is_built(lab: Lab) -> None:
    lab.play("site.yml")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)


def test_ten_cuts_of_the_day_are_finished(lab: Lab, operations: dict[str, Operation], coverage: dict[str, str]) -> None:
    name = CHANCE.choice(BOTH_WAYS)
    ways = operations[name].forward, operations[name].back
    places = [changes(lab.play(*words).output) for words in ways]
    assert all(places), "it changes nothing"
    chosen = [sorted(CHANCE.sample(there, min(5, len(there))), key=there.index) for there in places]
    left = chosen
    while any(left):
        left = [cut_off_in_turn(lab, words, there) for words, there in zip(ways, left, strict=True)]
    coverage[name] = " and ".join(f"{len(c)} of {len(there)}" for c, there in zip(chosen, places, strict=True))
    assert set(lab.play(*ways[1]).changed.values()) == {0}
    lab.all_sign_on(seconds=180)


def finish(lab: Lab, words: tuple[str, ...], place: Place | None) -> None:
    """Cut a run off in a place, unless there is none, and let the same command finish it."""
    if place is not None:
        print(f"{words[0]} {place}", flush=True)
        assert cut_off(place, words, CHANCE.uniform(0.2, 2))[0], f"the run never came to {place}"
        time.sleep(3)
        assert lab.judge()["offences"] == [], place
    finished = lab.play(*words, check=False)
    assert not finished.failed, f"cut off in {place}: {finished.output[-6000:]}"
    assert lab.judge()["offences"] == [], place


@pytest.mark.by_hand
@pytest.mark.parametrize("name", NAMES)
def test_the_same_command_finishes_it(
    lab: Lab, operations: dict[str, Operation], coverage: dict[str, str], name: str
) -> None:
    wanted = ASKED.split(",")
    if ASKED and name not in wanted and "all" not in wanted:
        pytest.skip("another machine's work")
    operation = operations[name]
    places = changes(lab.play(*operation.forward).output)
    lab.play(*operation.back)
    assert places, "it changes nothing"
    chosen = places if ASKED else sorted(CHANCE.sample(places, min(2, len(places))), key=places.index)
    coverage[name] = f"{len(chosen)} of {len(places)}"
    left = list(chosen)
    while left:
        place = left[0]
        if ASKED:
            left = cut_off_in_turn(lab, operation.forward, left)
        else:
            left.pop(0)
            finish(lab, operation.forward, place)
        if operation.signs:
            lab.all_sign_on(seconds=180)
        again = lab.play(*operation.forward)
        assert set(again.changed.values()) == {0}, f"from {place} on: {again.output[-3000:]}"
        lab.play(*operation.back)
        lab.all_sign_on(seconds=180)


def cut_off_in_turn(lab: Lab, words: tuple[str, ...], places: list[Place]) -> list[Place]:
    """Each run goes on where the last was cut off, and is cut off in the next place. Those it did not come to."""
    left = list(places)
    while left:
        print(f"{words[0]} {left[0]}", flush=True)
        came, output = cut_off(left[0], words, CHANCE.uniform(0.2, 2))
        if not came:
            assert not re.search(r"^\S+ .*(failed|unreachable)=[1-9]|^ERROR", output, re.M), output[-6000:]
            break
        left.pop(0)
        time.sleep(3)
        assert lab.judge()["offences"] == []
    assert not left or left != places, f"no run came to {left[0]}"
    finish(lab, words, None)
    return left
