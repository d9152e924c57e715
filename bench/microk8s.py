#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""How long the role microk8s takes for a control plane and a worker: check mode, the cluster, the rest, a second run.

bin/lab exec -- bench/microk8s.py [--tasks] [--keep]
The two machines are given new disks first. Budgets (2 cores, packages and snap cached): 60 s until both nodes are Ready
with dns, 15 s for a run that changes nothing. The rest is metrics-server and Python's packages for Kubernetes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PLAYBOOK = ROOT / "molecule/microk8s/converge.yml"
BUDGET = {"both Ready with dns": "60", "second": "15"}
DNS_ALONE = ["-e", json.dumps({"microk8s_addons": ["dns"], "microk8s_is_helm_client": False})]
CHANGED = re.compile(r"changed=(\d+).*?unreachable=(\d+).*?failed=(\d+)")
TASK = re.compile(r"^(.+?) -{3,} +([\d.]+)s$", re.MULTILINE)


def play(*options: str) -> tuple[float, int, list[tuple[float, str]]]:
    """Seconds, changes, and the slowest tasks of one run of the role; a run that fails ends the benchmark."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), str(PLAYBOOK), *options],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout[-4000:] + done.stderr[-2000:])
    slowest = sorted(((float(found[2]), found[1]) for found in TASK.finditer(done.stdout)), reverse=True)
    return seconds, sum(int(match[1]) for match in CHANGED.finditer(done.stdout)), slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", action="store_true", help="the slowest tasks of each run, too")
    parser.add_argument("--keep", action="store_true", help="keep the machines as they are: only the second run")
    chosen = parser.parse_args()
    if "ANSIBLE_INVENTORY" not in os.environ:
        print("microk8s: skipped, there is no lab here (bin/lab exec -- bench/microk8s.py)")
        return
    runs: dict[str, list[str]] = {
        "check": ["--check"],
        "both Ready with dns": DNS_ALONE,
        "the rest": [],
        "second": [],
    }
    if chosen.keep:
        runs = {"second": []}
    else:
        subprocess.run([str(ROOT / "bin/lab"), "reset", "master", "worker"], check=True, capture_output=True)
    table = Table("run", "s", "budget", "changed", title=f"microk8s on two machines, load {os.getloadavg()[0]:.1f}")
    slow = Table("run", "s", "task")
    for name, options in runs.items():
        seconds, changed, slowest = play(*options)
        table.add_row(name, f"{seconds:.1f}", BUDGET.get(name, ""), str(changed))
        for spent, task in slowest[:12]:
            slow.add_row(name, f"{spent:.1f}", task)
    Console().print(table)
    if chosen.tasks:
        Console().print(slow)


if __name__ == "__main__":
    main()
