#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""How long a client's keys are silent when the machine of its active pod fails, and what duties that costs.

One fault after the other, each at a random moment of a slot, on the machine that both clients sign on; beacon node and
name server are on the other. `--keys 64 --seconds-per-slot 12 --slots-per-epoch 32 --phases 30` is mainnet's rhythm and
takes hours; --keep leaves the lab and its site for the next call.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "collections")]

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore
from tests.rehearsal.conftest import Inventory, Lab, validators
from tests.rehearsal.standby import PINNED, all_on, pairs

PASSWORD = "bench-password"
HEALS = {"freeze": "thaw", "cable-out": "cable-in", "power-cut": "power-on", "mute": "heal"}
#: In seconds: every key has had a duty, and what was late is there.
PATIENCE = 240.0
console = Console(stderr=True)


def keystores(folder: Path, count: int) -> None:
    """Keys that are worth nothing, with the fewest rounds that there can be."""
    folder.mkdir(parents=True)
    keys = [(1 + secrets.randbelow(_bls.R - 1)).to_bytes(32, "big") for _ in range(count)]
    for number, (key, public) in enumerate(zip(keys, _bls.public_keys(keys, 2), strict=True)):
        document = {
            "version": 4,
            "uuid": f"00000000-0000-4000-8000-{number:012d}",
            "path": f"m/12381/3600/{number}/0/0",
            "pubkey": public.hex(),
            "crypto": _keystore.encrypt(key, PASSWORD.encode(), _keystore.new_kdf("pbkdf2", 1024)),
        }
        (folder / f"keystore-{number}.json").write_text(json.dumps(document))


def site(lab: Lab, folder: Path, keys: int) -> None:
    """Two clients with a standby each, half of the keys each."""
    entries = validators()
    for entry in entries:
        keystores(folder / entry["name"], keys // 2)
        entry.update(keystores=[str(folder / entry["name"])], keystore_password=PASSWORD)
    words = Inventory(folder / "inventory", entries, prysm_standby=True, prysm_helm_values=PINNED).words
    if lab.play("site.yml", *words, check=False, timeout=3600).failed:
        sys.exit("site.yml failed")


def signed(lab: Lab, since: int) -> list[dict[str, t.Any]]:
    return t.cast("list[dict[str, t.Any]]", lab.chain(f"/judge/signatures?since={since}"))


def one_fault(lab: Lab, fault: str, pause: float) -> tuple[list[float], float]:
    """Seconds to the first signature of each client's other pod, and the share of keys that missed a duty by then."""
    lab.wait("both clients sign on worker", lambda: all_on(lab, "worker"), seconds=PATIENCE)
    lab.all_sign_on(seconds=PATIENCE + 400)
    old = {signs.name for signs, _waits in pairs(lab).values()}
    since, slot = len(signed(lab, 0)), lab.chain("/head")["slot"]
    time.sleep(pause)
    begun = time.time()
    lab.fault(fault, "worker")
    first: dict[str, float] = {}

    def both() -> bool:
        for one in signed(lab, since):
            pod = str(one["client"]).partition("/")[0]
            if pod not in old:
                first.setdefault(pod, one["at"] - begun)
        return len(first) == 2

    lab.wait("both clients sign elsewhere", both, seconds=PATIENCE)
    until = max(first.values()) + begun
    if HEALS[fault] == "power-on":
        lab.power_on("worker")
    else:
        lab.fault(HEALS[fault], "worker")
    time.sleep(2.5 * lab.chain("/config")["seconds_per_slot"])
    missed = {one["key"] for one in lab.chain(f"/judge/missed?since={slot}") if begun - 1 <= one["at"] <= until}
    return sorted(first.values()), len(missed) / len(lab.judge()["keys"])


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", default="freeze,cable-out,power-cut")
    parser.add_argument("--phases", type=int, default=5)
    parser.add_argument("--keys", type=int, default=64)
    parser.add_argument("--seconds-per-slot", type=int, default=2)
    parser.add_argument("--slots-per-epoch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="use the lab that runs, with its site, and leave it")
    chosen = parser.parse_args()
    chance, lab = random.Random(chosen.seed), Lab()
    state = Path(os.environ.setdefault("LAB_STATE_DIR", tempfile.mkdtemp(prefix="bench-failover-")))
    if not json.loads(lab.command("status", "--format", "json").stdout)["running"]:
        rhythm = (str(chosen.seconds_per_slot), "--slots-per-epoch", str(chosen.slots_per_epoch))
        lab.command("up", "--seconds-per-slot", *rhythm, timeout=3600)
        with console.status("site.yml"):
            site(lab, state / "bench", chosen.keys)
    table = Table("fault", "first signature elsewhere", "median", "longest", "keys that missed a duty", "most in one")
    try:
        for fault in chosen.faults.split(","):
            times: list[float] = []
            shares: list[float] = []
            for number in range(chosen.phases):
                with console.status(f"{fault} {number + 1} of {chosen.phases}"):
                    found, share = one_fault(lab, fault, chance.uniform(0, chosen.seconds_per_slot))
                console.print(f"{fault}: {', '.join(f'{one:.1f} s' for one in found)}; {share:.1%} of the keys")
                times += found
                shares.append(share)
            row = (f"{statistics.median(times):.1f} s", f"{max(times):.1f} s", f"{statistics.mean(shares):.1%}")
            table.add_row(fault, f"{len(times)} times", *row, f"{max(shares):.1%}")
        Console().print(table, f"offences: {len(lab.judge()['offences'])}")
    finally:
        if not chosen.keep:
            lab.command("down")


if __name__ == "__main__":
    main()
