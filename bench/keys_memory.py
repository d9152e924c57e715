#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""Memory and time of what reads whole histories, by the number of keys: it must not grow with their records.

.venv/bin/python bench/keys_memory.py [--keys 100 1000 10000] [--epochs 512]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
LIMIT = 300
WORK = {
    "marks (guard, census, report)": "_protection.read_marks(one)",
    "compare two databases": "_compare.compare(one, other)",
    "compare with an interchange file": "_compare.compare(one, file)",
    "report of an interchange file": "_compare.summarised(file)",
    "nothing (the interpreter)": "None",
}
SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from ansible_collections.eth2xk8s.staking.plugins.module_utils import _compare, _protection
one, other, file = sys.argv[1:]
result = {work}
if isinstance(result, _compare.Comparison):
    assert not result.lacking and not result.findings, "the histories differ"
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""
WRITE = """
import json, sys
sys.path.insert(0, {root!r})
from ansible_collections.eth2xk8s.staking.plugins.module_utils import _compare, _interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils._history import History

def write(side):
    with open(sys.argv[2], "w") as out:
        head = '{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"%s"}},"data":[' % side.root
        for key, part, _barred in side.entries:
            entry = _interchange.document(History(side.root, {{key: part}}))["data"][0]
            out.write(head + json.dumps(entry))
            head = ","
        out.write("]}}")

_compare.opened(sys.argv[1], write)
"""


def run(script: str, work: str, *args: str) -> tuple[float, float, float]:
    """Wall and CPU seconds, and the highest resident size in MiB, of a process of its own."""
    script = script.format(root=str(ROOT / "collections"), work=work)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", script, *args], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read().split()
    _pid, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"it failed: {work}"
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, int(said[-1]) / 1024 if said else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--epochs", type=int, default=512)
    args = parser.parse_args()
    console = Console()
    table = Table("", "keys", "wall s", "CPU s", "MiB", f"of {LIMIT} MiB", title=f"{args.epochs} epochs a key")
    go = ROOT / ".venv/bin/go"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, console.status("working"):
        tool = Path(name) / "bighistory"
        subprocess.run([go, "build", "-C", ROOT / "lab/prysm", "-o", tool, "./cmd/bighistory"], check=True)
        for keys in args.keys:
            one, other, file = (Path(name) / part for part in ("one.db", "other.db", "file.json"))
            for path, batch in ((one, 32), (other, 100)):
                path.unlink(missing_ok=True)
                shape = ["-keys", str(keys), "-epochs", str(args.epochs), "-batch", str(batch)]
                subprocess.run([tool, "-path", path, *shape], check=True)
            run(WRITE, "", str(one), str(file))
            for what, work in WORK.items():
                wall, cpu, size = run(SCRIPT, work, str(one), str(other), str(file))
                table.add_row(what, str(keys), f"{wall:.1f}", f"{cpu:.1f}", f"{size:.0f}", f"{size / LIMIT:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
