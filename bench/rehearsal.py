#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""The rehearsal's figures: from caches to a signing site, its memory at rest, and a second run that changes nothing.

With --cold the caches are put aside first (and back afterwards): then the first row is the build from nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
LAB = str(ROOT / "bin/lab")


def timed(*command: str, env: dict[str, str]) -> tuple[float, str]:
    """Seconds and output of a command that must succeed."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - began, done.stdout + done.stderr


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", action="store_true", help="with empty caches of the lab (Go's and apt's own stay)")
    chosen = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="bench-rehearsal-"))
    env = {**os.environ, "LAB_STATE_DIR": str(state)}
    if chosen.cold:
        env["XDG_CACHE_HOME"] = str(state / "cache")
        env["GOCACHE"], env["GOMODCACHE"] = str(state / "gocache"), str(state / "gomod")
    site = (LAB, "exec", "--", "ansible-playbook", "site.yml", "-i", "inventory/testnet")
    rows: list[tuple[str, str, str]] = []
    try:
        up, _ = timed(LAB, "up", env=env)
        rows.append(("lab up" + (", nothing cached" if chosen.cold else ", cached"), f"{up:.0f} s", ""))
        first, _ = timed(*site, env=env)
        rows.append(("site.yml from bare machines", f"{first:.0f} s", ""))
        rows.append(("both together", f"{up + first:.0f} s", "<= 25 min" if chosen.cold else "<= 6 min"))
        second, output = timed(*site, env=env)
        changed = sum(int(n) for n in re.findall(r"changed=(\d+)", output))
        rows.append(("second run of site.yml", f"{second:.0f} s, {changed} changed", "<= 60 s, 0 changed"))
        time.sleep(30)
        status = json.loads(timed(LAB, "status", "--format", "json", env=env)[1])
        rows.append(("memory of the whole lab at rest", f"{status['memory_mib']} MiB", "<= 6144 MiB"))
        for machine in ("nfs", "master", "worker"):
            subprocess.run([LAB, "fault", "power-cut", machine], env=env, check=True)
        began = time.monotonic()
        for machine in ("nfs", "master", "worker"):
            subprocess.run([LAB, "fault", "power-on", machine], env=env, check=True)
        probe = "/snap/bin/microk8s kubectl get pods -n prysm --no-headers 2>/dev/null | grep -c ' 1/1 '"
        while time.monotonic() - began < 300:
            done = subprocess.run(
                [LAB, "ssh", "master", "--", probe], env=env, capture_output=True, text=True, check=False
            )
            if done.stdout.strip() == "3" and time.monotonic() - began > 20:
                break
            time.sleep(1)
        rows.append(("power back on -> all pods Ready", f"{time.monotonic() - began:.0f} s", ""))
        verdict = json.loads(timed(LAB, "judge", "--format", "json", env=env)[1])
        rows.append(("offences at the judge", f"{len(verdict['offences'])} of {verdict['signatures']} signatures", "0"))
    finally:
        subprocess.run([LAB, "down"], env=env, capture_output=True, check=False)
        shutil.rmtree(state, ignore_errors=True)
    table = Table("what", "measured", "wanted", title="Rehearsal")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
