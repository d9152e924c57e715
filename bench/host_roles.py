#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""How long the host roles take on three bare machines of a running lab: check mode, first run, second run.

bin/lab exec -- .venv/bin/python bench/host_roles.py
The machines are given new disks before the check and before the first run. Budgets (2 cores, packages cached): 90 s the
first time, 25 s the second.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PLAYBOOK = ROOT / "playbooks/machines.yml"
BUDGET = {"first": 90.0, "second": 25.0}
CHANGED = re.compile(r"changed=(\d+).*?unreachable=(\d+).*?failed=(\d+)")


def play(*options: str) -> tuple[float, int]:
    """Seconds and changes of one run of all roles; a run that fails ends the benchmark."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), str(PLAYBOOK), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout[-4000:] + done.stderr[-2000:])
    return time.perf_counter() - started, sum(int(match[1]) for match in CHANGED.finditer(done.stdout))


def main() -> None:
    if "ANSIBLE_INVENTORY" not in os.environ:
        print("host roles: skipped, there is no lab here (bin/lab exec -- bench/host_roles.py)")
        return
    table = Table("run", "s", "budget", "changed", title="base, timesync, firewall, nfs_server on three machines")
    for name, options in (("check", ["--check"]), ("first", []), ("second", [])):
        if name != "second":
            subprocess.run([str(ROOT / "bin/lab"), "reset"], check=True)
        seconds, changed = play(*options)
        table.add_row(name, f"{seconds:.1f}", f"{BUDGET.get(name, '')}", str(changed))
    Console().print(table)


if __name__ == "__main__":
    main()
