#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""Memory and time of what reads whole histories, by the number of keys: it must not grow with their records.

.venv/bin/python bench/keys_memory.py [--keys 100 1000 10000] [--epochs 512]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
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
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _compare, _protection
one, other, file = sys.argv[1:]
result = {work}
if isinstance(result, _compare.Comparison):
    assert not result.lacking and not result.findings, "the histories differ"
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""
#: Whole modules, as a playbook runs them.
MODULES = {
    "guard, the first time": ("slashing_protection_guard", {"record": "{record}", "clients": "{clients}"}),
    "guard, once more, with a witness": (
        "slashing_protection_guard",
        {"record": "{record}", "witnesses": ["{record}.copy"], "clients": "{clients}", "data_root": "{data}"},
    ),
    "uniqueness, below the whole data directory": (
        "validator_key_uniqueness",
        {"data_dirs": [{"path": "{data}", "client": "validator1"}], "root": "{data}"},
    ),
    "compare": ("slashing_protection_compare", {"have": "{one}", "want": "{other}"}),
}
MODULE = """
import importlib, json, sys
sys.path.insert(0, {root!r})
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module("ansible_collections.eth2xk8s.staking.plugins.modules." + sys.argv[1])
said = sys.stdout
sys.stdout = open(sys.argv[3], "w")
with open(sys.argv[2]) as given, patch_module_args(json.load(given)):
    try:
        module.main()
    except SystemExit as exc:
        assert not exc.code, open(sys.argv[3]).read()[:2000]
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")), file=said)
"""
KEYS = """
import json, sys
sys.path.insert(0, {root!r})
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
print(json.dumps(sorted(_protection.read_marks(sys.argv[1]).keys)).replace(" ", ""), 0)
"""
WRITE = """
import json, sys
sys.path.insert(0, {root!r})
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _compare, _interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import History

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


def filled(params: t.Any, values: dict[str, t.Any]) -> t.Any:
    """The parameters of a module with paths and lists in place."""
    if isinstance(params, dict):
        return {name: filled(value, values) for name, value in params.items()}
    if isinstance(params, list):
        return [filled(value, values) for value in params]
    for name, value in values.items():
        if params == f"{{{name}}}":
            return value
        params = params.replace(f"{{{name}}}", str(value)) if isinstance(value, (str, Path)) else params
    return params


def modules(place: Path, one: Path, other: Path) -> Iterator[tuple[str, float, float, float]]:
    """Every whole module on a client's data directory with this database: seconds and MiB."""
    listed = subprocess.run(
        [sys.executable, "-c", KEYS.format(root=str(ROOT / "collections")), one],
        stdout=subprocess.PIPE, check=True, text=True,
    ).stdout  # fmt: skip
    data, record = place / "data", place / "record.json"
    shutil.rmtree(data, ignore_errors=True)
    record.unlink(missing_ok=True)
    data.mkdir()
    os.link(one, data / "validator.db")
    pubkeys = json.loads(listed.split()[0])
    clients = [{"name": "validator1", "data_dir": str(data), "pubkeys": pubkeys, "version": "v7.1.6"}]
    values = {"clients": clients, "data": str(data), "record": str(record), "one": str(one), "other": str(other)}
    for what, (module, params) in MODULES.items():
        (place / "params.json").write_text(json.dumps(filled(params, values)))
        yield what, *run(MODULE, "", module, str(place / "params.json"), str(place / "said"))
        if record.exists():
            shutil.copy(record, f"{record}.copy")


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
            for what, wall, cpu, size in modules(Path(name), one, other):
                table.add_row(what, str(keys), f"{wall:.1f}", f"{cpu:.1f}", f"{size:.0f}", f"{size / LIMIT:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
