"""Running other programs, with an error that a person can act on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

Log = Callable[[str], None]


def quiet(_: str) -> None:
    """A log that nobody reads."""


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    log: Log = quiet,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run `command`, hand each line it prints to `log`, return all of it.

    Raises LabError with the last lines when it fails; `what` says in a few words what it was for.
    """
    words = [str(word) for word in command]
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as exc:
        raise LabError(f"{what} needs the program {words[0]!r}, which is not installed.") from exc
    with process:
        if stdin is not None and process.stdin:
            process.stdin.write(stdin)
            process.stdin.close()
        lines = []
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                log(lines[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        tail = "\n    ".join(lines[-15:])
        raise LabError(f"{what} failed: {words[0]} ended with exit code {process.returncode}.\n    {tail}")
    return "\n".join(lines)
