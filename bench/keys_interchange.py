#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""A large interchange file read, checked and compared with another: time and the most memory it took.

.venv/bin/python bench/keys_interchange.py [--keys 1000] [--records 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "collections"))

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import lacking
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._interchange import (
    check_interchange,
    read_interchange,
)

ROOT = "0x" + "ab" * 32


def write(path: Path, keys: int, records: int) -> None:
    """Half blocks, half attestations; every record with its root."""
    with path.open("w") as file:
        metadata = {"interchange_format_version": "5", "genesis_validators_root": ROOT}
        file.write(f'{{"metadata": {json.dumps(metadata)}, "data": [')
        for key in range(keys):
            half = records // 2
            entry = {
                "pubkey": f"0x{key:096x}",
                "signed_blocks": [
                    {"slot": str(i * 37 + key), "signing_root": f"0x{i * 7919 + key + 1:064x}"} for i in range(half)
                ],
                "signed_attestations": [
                    {
                        "source_epoch": str(i),
                        "target_epoch": str(i + 1),
                        "signing_root": f"0x{i * 104729 + key + 1:064x}",
                    }
                    for i in range(records - half)
                ],
            }
            file.write(("," if key else "") + json.dumps(entry))
        file.write("]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--records", type=int, default=1000)
    args = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "interchange.json"
        with console.status("writing the file"):
            write(path, args.keys, args.records)
        size = path.stat().st_size
        # In a process of its own, whose memory is nobody else's.
        ready, done = os.pipe()
        child = os.fork()
        if child == 0:
            start, cpu = time.perf_counter(), time.process_time()
            history = read_interchange(str(path))
            check_interchange(history, str(path), ROOT)
            read = time.perf_counter() - start
            other = read_interchange(str(path))
            again = time.perf_counter()
            assert not any(lacking(other.keys[key], part) for key, part in history.keys.items())
            compared = time.perf_counter() - again
            figures = [
                read,
                compared,
                time.process_time() - cpu,
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            ]
            os.write(done, json.dumps(figures).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(done)
        read, compared, cpu, memory = json.loads(os.read(ready, 1000))
    table = Table("", "", title=f"{args.keys} keys x {args.records} records, {size / 1e6:.0f} MB")
    table.add_row("read and checked", f"{read:.1f} s")
    table.add_row("compared with another in memory", f"{compared:.1f} s")
    table.add_row("read, checked and compared (<= 10 s)", f"{read + compared:.1f} s")
    table.add_row("CPU of all that, and of reading the other", f"{cpu:.1f} s")
    table.add_row("most memory, both histories (<= 300 MiB)", f"{memory:.0f} MiB")
    console.print(table)


if __name__ == "__main__":
    main()
