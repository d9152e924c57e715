"""Six faults at random moments, over and over: no key signs twice, and all perform soon after the last has healed.

Two pods a client, a beacon node on each node. Each sequence comes from its number alone: FAULTS=17 runs number 17,
FAULTS=0-99 a hundred of them. FAULTS_SHARD=1/3 takes every third. FAULTS_KEPT names a file that keeps the outcome of
each; what has passed is not run again. `make faults` says all of these. About three minutes each.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from .conftest import Inventory, Lab, validators

pytestmark = pytest.mark.by_hand
KUBECTL = "timeout 20 /snap/bin/microk8s kubectl"
TODAY = datetime.date.today().toordinal()
FIRST, _, LAST = (os.environ.get("FAULTS") or f"{TODAY}-{TODAY + 2}").partition("-")
PART, _, PARTS = (os.environ.get("FAULTS_SHARD") or "1/1").partition("/")
SEEDS = range(int(FIRST), int(LAST or FIRST) + 1)[int(PART) - 1 :: int(PARTS)]
KEPT = Path(os.environ.get("FAULTS_KEPT") or os.devnull)
MANY = 6
#: After the last fault has healed.
PERFORMS = 120
NODES, MACHINES = ("master", "worker"), ("master", "worker", "nfs")


class Kind(t.NamedTuple):
    """A fault of a machine, or of none, and what ends it: words of `lab fault`, or a command of kubectl."""

    name: str
    machines: tuple[str, ...]
    heal: str = ""


KINDS = (
    Kind("freeze", MACHINES, "thaw"),
    Kind("power-cut", MACHINES, "power-on"),
    Kind("cable-out", MACHINES, "cable-in"),
    Kind("mute", MACHINES, "heal"),
    Kind("partition", MACHINES, "heal"),
    Kind("block", NODES, "heal"),
    Kind("slow-link", NODES, "heal"),
    Kind("nfs-hang", ("nfs",), "heal"),
    Kind("nfs-restart", ("nfs",)),
    Kind("kubelet-killed", NODES),
    Kind("containerd-killed", NODES),
    Kind("delete pod -n prysm {client}-{pod} --force", ()),
    Kind("delete pod -n prysm {client}-{pod} --wait=false", ()),
    Kind("delete pod -n prysm beacon{beacon}-0 --wait=false", ()),
    Kind("delete pod -n kube-system -l k8s-app=kube-dns --wait=false", ()),
)


class Step(t.NamedTuple):
    """What happens, and when: seconds from the sequence's beginning."""

    at: float
    words: tuple[str, ...]
    #: kubectl on the first control plane, which may be away: then nothing happens.
    kubectl: bool


def sequence(seed: int) -> list[Step]:
    """MANY faults, and what ends each. A machine has one at a time; several machines may have theirs together."""
    chance = random.Random(seed)
    steps: list[Step] = []
    free = dict.fromkeys(MACHINES, 0.0)
    now = 0.0
    for _ in range(MANY):
        kind = chance.choice(KINDS)
        now += chance.uniform(0, 12)
        if not kind.machines:
            words = kind.name.format(
                client=chance.choice(("validator1", "validator2")),
                pod=chance.choice("01"),
                beacon=chance.choice(("", "-2")),
            )
            steps.append(Step(now, tuple(words.split()), kubectl=True))
            continue
        machine = chance.choice(kind.machines)
        begins = max(now, free[machine])
        ends = begins + chance.choice((chance.uniform(1, 10), chance.uniform(10, 60)))
        more = {"block": (chance.choice([m for m in MACHINES if m != machine]),), "slow-link": ("300", "10")}
        steps.append(Step(begins, (kind.name, machine, *more.get(kind.name, ())), kubectl=False))
        if kind.heal:
            steps.append(Step(ends, (kind.heal, machine), kubectl=False))
            free[machine] = ends + 1
    return sorted(steps)


def bring_about(lab: Lab, step: Step) -> None:
    if step.kubectl:
        with contextlib.suppress(subprocess.TimeoutExpired):
            lab.command("ssh", "master", "--", f"{KUBECTL} {' '.join(step.words)}", check=False, timeout=30)
        return
    # A machine that has just got its power answers nobody yet.
    done = lab.command("fault", *step.words, check=False, timeout=180)
    if done.returncode and step.words[0] in {"nfs-restart", "kubelet-killed", "containerd-killed", "slow-link"}:
        print(f"   {step.words[0]} did not come about: {done.stderr.strip()[-200:]}", flush=True)
    else:
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("faults") / "inventory"
    words = Inventory(folder, validators(), prysm_standby=True, prysm_beacon_nodes=2).words
    lab.play("site.yml", *words, timeout=3600)
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=120)
    return words


def known() -> set[int]:
    """The sequences that are kept as passed; one that failed is run again."""
    kept = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.is_file() else []
    return {one["seed"] for one in kept if "performs_after" in one and not one["offences"]}


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_in_a_row_cost_no_key_more_than_duties(lab: Lab, site: tuple[str, ...], seed: int) -> None:
    if seed in known():
        pytest.skip(f"it has passed, as {KEPT} says")
    lab.all_sign_on(seconds=PERFORMS)
    slot, began, steps = lab.chain("/head")["slot"], time.monotonic(), sequence(seed)
    for step in steps:
        time.sleep(max(0.0, began + step.at - time.monotonic()))
        print(f"{time.monotonic() - began:6.1f} s  {' '.join(step.words)}", flush=True)
        bring_about(lab, step)
    healed = time.monotonic()
    outcome: dict[str, t.Any] = {"seed": seed, "faults": [" ".join(step.words) for step in steps]}
    try:
        lab.all_sign_on(seconds=PERFORMS)
        outcome["performs_after"] = round(time.monotonic() - healed)
    finally:
        outcome["missed"] = json.loads(lab.command("missed", "--since", str(slot), "--format", "json").stdout)
        outcome["offences"] = lab.judge()["offences"]
        print(json.dumps(outcome), flush=True)
        with KEPT.open("a") as kept:
            kept.write(json.dumps(outcome) + "\n")
    assert outcome["offences"] == []


def test_the_site_is_as_it_was(lab: Lab, site: tuple[str, ...]) -> None:
    """Nothing is left that a run would mend."""
    done = lab.play("site.yml", *site)
    assert set(done.changed.values()) == {0}, done.output[-4000:]
    assert not lab.play("playbooks/status.yml", *site).failed
