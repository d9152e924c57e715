#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""Importing keystores: how much more than the key derivation function alone does it cost, on all cores?

.venv/bin/python bench/keys_import.py [--count 100] [--kdf scrypt|pbkdf2]
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "collections"))

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _importer

PASSWORD = "bench password"


def spent() -> float:
    """Seconds of all cores so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(work: t.Callable[[], t.Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), spent()
    work()
    return time.perf_counter() - wall, spent() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--kdf", choices=["scrypt", "pbkdf2"], default="scrypt")
    args = parser.parse_args()
    console = Console()
    keys = [(1 + secrets.randbelow(_bls.R - 1)).to_bytes(32, "big") for _ in range(args.count)]
    with tempfile.TemporaryDirectory() as name, console.status(f"making {args.count} keystores"):
        directory = Path(name)
        (directory / "keys").mkdir()
        password = PASSWORD.encode()

        def make(item: tuple[bytes, bytes]) -> dict[str, t.Any]:
            kdf = _keystore.new_kdf(args.kdf, 262144)
            return {
                "version": 4,
                "uuid": "x",
                "path": "",
                "pubkey": item[1].hex(),
                "crypto": _keystore.encrypt(item[0], password, kdf),
            }

        kdfs = [_keystore.new_kdf(args.kdf, 262144) for _ in keys]
        workers = _keystore.workers_for(kdfs)
        pairs = list(zip(keys, _bls.public_keys(keys, workers), strict=True))
        for i, document in enumerate(_keystore.parallel(make, pairs, workers)):
            (directory / "keys" / f"keystore-{i}.json").write_text(json.dumps(document))

        alone = measure(lambda: _keystore.parallel(lambda kdf: kdf.derive(password), kdfs, workers))

        def run() -> None:
            outcome = _importer.run(
                _importer.Request(
                    str(directory / "wallet"),
                    "Bench-password-1",
                    keystores=tuple(_importer.gather([str(directory / "keys")])),
                    passwords=_importer.Passwords(PASSWORD),
                )
            )
            assert len(outcome.imported) == args.count

        whole = measure(run)
        again = measure(lambda: run_again(directory))
    table = Table("", "wall s", "CPU s", title=f"{args.count} {args.kdf} keystores, {workers} workers")
    table.add_row("key derivation alone", *(f"{value:.2f}" for value in alone))
    table.add_row("import, read-back included", *(f"{value:.2f}" for value in whole))
    table.add_row("the same again (nothing to do)", *(f"{value:.2f}" for value in again))
    table.add_row("derivation / import (>= 0.9)", *(f"{a / b:.3f}" for a, b in zip(alone, whole, strict=True)))
    console.print(table)


def run_again(directory: Path) -> None:
    request = _importer.Request(
        str(directory / "wallet"),
        "Bench-password-1",
        keystores=tuple(_importer.gather([str(directory / "keys")])),
        passwords=_importer.Passwords(PASSWORD),
    )
    assert not _importer.run(request).changed


if __name__ == "__main__":
    main()
