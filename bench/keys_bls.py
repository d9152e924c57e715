#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""Public keys of random secrets against the library py_ecc, and how long each takes.

.venv/bin/python bench/keys_bls.py [--count 10000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import sys
import time
from pathlib import Path

from py_ecc.bls import G2ProofOfPossession
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "collections"))

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    args = parser.parse_args()
    numbers = [1 + secrets.randbelow(_bls.R - 1) for _ in range(args.count)]
    console = Console()
    with console.status(f"deriving {args.count} keys twice"):
        start = time.perf_counter()
        ours = _bls.public_keys([number.to_bytes(32, "big") for number in numbers], _keystore.cores())
        middle = time.perf_counter()
        with multiprocessing.get_context("fork").Pool(_keystore.cores()) as pool:
            theirs = pool.map(G2ProofOfPossession.SkToPk, numbers, chunksize=50)
        end = time.perf_counter()
    table = Table("", "s", "us a key", title=f"{args.count} random secrets, {_keystore.cores()} cores")
    table.add_row("ours", f"{middle - start:.2f}", f"{(middle - start) / args.count * 1e6:.0f}")
    table.add_row("py_ecc", f"{end - middle:.2f}", f"{(end - middle) / args.count * 1e6:.0f}")
    wrong = sum(a != b for a, b in zip(ours, theirs, strict=True))
    table.add_row("different (0)", str(wrong), "")
    console.print(table)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
