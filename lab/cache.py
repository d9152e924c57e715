"""Things that take long to make, kept by the content they were made from.

An entry lies at `${XDG_CACHE_HOME:-~/.cache}/eth2xk8s-lab/NAME/HASH`. It is made beside its place and renamed, so an
entry that exists is whole; a lock lets two labs that need the same thing make it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.commands import Log, quiet
from lab.errors import LabError


def cache_root() -> Path:
    """Where the caches of all labs of this user lie."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "eth2xk8s-lab"


def digest(inputs: Iterable[bytes | str | Path]) -> str:
    """One hash over texts, bytes, and the names and contents of files and directories."""
    total = hashlib.sha256()

    def add(data: bytes) -> None:
        total.update(len(data).to_bytes(8, "big") + data)

    for item in inputs:
        if isinstance(item, Path):
            files = sorted(path for path in item.rglob("*") if path.is_file()) if item.is_dir() else [item]
            for path in files:
                if "__pycache__" in path.parts:
                    continue
                add(str(path.relative_to(item.parent)).encode())
                add(path.read_bytes())
        else:
            add(item.encode() if isinstance(item, str) else item)
    return total.hexdigest()[:16]


def cached(
    name: str,
    inputs: Iterable[bytes | str | Path],
    build: Callable[[Path], None],
    *,
    log: Log = quiet,
) -> Path:
    """The directory of entry `name` for these inputs; `build` fills an empty directory when it does not exist yet."""
    entry = cache_root() / name / digest(inputs)
    if entry.is_dir():
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with entry.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if entry.is_dir():
                return entry
            work = entry.with_suffix(".making")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                build(work)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
            work.rename(entry)
            log(f"{name}: kept as {entry}")
    except OSError as exc:
        if exc.errno == 28:  # ENOSPC
            raise LabError(f"The disk under {cache_root()} is full: free some space there and start again.") from exc
        raise
    return entry
