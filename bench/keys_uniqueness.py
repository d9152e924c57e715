#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../.venv/bin/python" "$0" "$@"'
"""Uniqueness over many keys: by manifest, by password, and by password with every public key derived.

.venv/bin/python bench/keys_uniqueness.py [--keys 10000] [--wallets 50]
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "collections"))

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore, _manifest, _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _uniqueness

PASSWORD = "Bench-password-1"


def spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(work: t.Callable[[], t.Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), spent()
    work()
    return time.perf_counter() - wall, spent() - cpu


def census(directory: Path, wallets: int, keys: int, password: str | None, derive: bool = False) -> None:
    found = _uniqueness.Census(derive)
    found.add_wallets(
        [_uniqueness.WalletEntry(str(directory / f"wallet-{i}"), f"validator{i}", password) for i in range(wallets)]
    )
    found.search(str(directory))
    assert len(found.places) == keys and not found.duplicates() and not found.unreadable, found.unreadable[:1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--wallets", type=int, default=50)
    args = parser.parse_args()
    console = Console()
    share = args.keys // args.wallets
    with tempfile.TemporaryDirectory() as name, console.status("making wallets"):
        directory = Path(name)
        secrets = [(7 + i).to_bytes(32, "big") for i in range(share * args.wallets)]
        publics = ["0x" + raw.hex() for raw in _bls.public_keys(secrets, _keystore.cores())]
        pairs = [_wallet.Key(*pair) for pair in zip(publics, secrets, strict=True)]
        for i in range(args.wallets):
            own = pairs[i * share : (i + 1) * share]
            data = _wallet.render(own, PASSWORD)
            wallet = directory / f"wallet-{i}"
            (wallet / "direct/accounts").mkdir(parents=True)
            (wallet / "direct/accounts" / _wallet.FILE).write_bytes(data)
            manifest = _manifest.manifest_for(data, [key.pubkey for key in own])
            (wallet / _manifest.MANIFEST).write_bytes(_manifest.render_manifest(manifest))
        kdfs = [_keystore.new_kdf() for _ in range(args.wallets)]
        total = share * args.wallets
        by_manifest = measure(lambda: census(directory, args.wallets, total, None))
        for path in directory.glob(f"*/{_manifest.MANIFEST}"):
            path.unlink()
        alone = measure(lambda: _keystore.parallel(lambda kdf: kdf.derive(PASSWORD.encode()), kdfs, _keystore.cores()))
        by_password = measure(lambda: census(directory, args.wallets, total, PASSWORD))
        derived = measure(lambda: census(directory, args.wallets, total, PASSWORD, derive=True))
    table = Table("", "wall s", "CPU s", title=f"{total} keys in {args.wallets} wallets, {_keystore.cores()} cores")
    table.add_row("with manifests (<= 2 s)", *(f"{value:.2f}" for value in by_manifest))
    table.add_row("key derivation function of the wallets alone", *(f"{value:.2f}" for value in alone))
    table.add_row("decrypted", *(f"{value:.2f}" for value in by_password))
    table.add_row("decrypted, every public key derived", *(f"{value:.2f}" for value in derived))
    table.add_row("decrypted / alone (<= 1.1)", *(f"{a / b:.2f}" for a, b in zip(by_password, alone, strict=True)))
    console.print(table)


if __name__ == "__main__":
    main()
