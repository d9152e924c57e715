"""Which duties were missed, and which faults were in play, as `lab fault` has written them down."""

from __future__ import annotations

import json
import typing as t
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

#: What ends a fault of the same machine; `heal` ends those of its link, and thaws it.
ENDS = {
    "thaw": ("freeze",),
    "power-on": ("power-cut",),
    "cable-in": ("cable-out",),
    "disk-free": ("disk-full",),
    "api-up": ("api-down",),
    "heal": ("freeze", "cable-out", "partition", "block", "mute", "slow-link", "nfs-hang"),
}
#: A fault that is over, or lasts no time, is a cause for as long as a client takes to start and to reach its next duty.
AFTER = 60.0
NOBODY = "no fault"


class Event(t.NamedTuple):
    """A fault, or the end of one, as `lab fault` brought it about."""

    at: float
    name: str
    words: tuple[str, ...]


def note(path: Path, event: Event) -> None:
    """Write it down, one line each."""
    with path.open("a") as out:
        out.write(json.dumps(event) + "\n")


def read(path: Path) -> list[Event]:
    """What was written down; nothing where there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Event(at, name, tuple(words)) for at, name, words in map(json.loads, lines)]


def causes(at: float, events: Sequence[Event]) -> list[str]:
    """The faults that a moment lies in, or shortly after: as `power-cut worker`. [NOBODY] without any."""
    open_since: dict[tuple[str, str], str] = {}
    late: dict[tuple[str, str], float] = {}
    for event in events:
        if event.at > at:
            break
        machine = event.words[0] if event.words else ""
        for ended in ENDS.get(event.name, ()):
            if (ended, machine) in open_since:
                late[ended, machine] = event.at
        if event.name not in ENDS:
            # partition takes several machines; each of them is healed by itself.
            for one in event.words if event.name == "partition" else (machine,):
                open_since[event.name, one] = " ".join((event.name, *event.words))
                late.pop((event.name, one), None)
                if not any(event.name in ends for ends in ENDS.values()):
                    late[event.name, one] = event.at
    found = [text for which, text in open_since.items() if which not in late or at - late[which] <= AFTER]
    return list(dict.fromkeys(found)) or [NOBODY]


def by_key(misses: Iterable[dict[str, t.Any]], events: Sequence[Event]) -> dict[str, dict[str, t.Any]]:
    """Key -> how many attestations and blocks it missed, and how often each cause was in play."""
    found: dict[str, dict[str, t.Any]] = {}
    for miss in misses:
        row = found.setdefault(miss["key"], {"attestation": 0, "block": 0, "causes": Counter()})
        row[miss["kind"]] += 1
        row["causes"].update(causes(miss["at"], events))
    return found
