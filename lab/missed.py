"""Which duties were missed, and which faults were in play, as `lab fault` has written them down."""

from __future__ import annotations

import json
import math
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
#: Faults that last until something ends them.
LASTING = {name for names in ENDS.values() for name in names}
#: A fault that is over, or lasts no time, is a cause for as long as a client takes to start and to reach its next duty.
AFTER = 60.0
NO_FAULT = "no fault"


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
    """The faults that a moment lies in, or shortly after: as `power-cut worker`. [NO_FAULT] without any."""
    ends: dict[tuple[str, str], float] = {}
    texts: dict[tuple[str, str], str] = {}
    for event in events:
        if event.at > at:
            break
        if event.name in ENDS:
            for which in ((name, event.words[0]) for name in ENDS[event.name]):
                # What has ended does not end again.
                ends[which] = min(ends.get(which, event.at), event.at)
            continue
        # partition takes several machines; each of them is healed by itself.
        for machine in event.words if event.name == "partition" else event.words[:1]:
            texts[event.name, machine] = " ".join((event.name, *event.words))
            ends[event.name, machine] = math.inf if event.name in LASTING else event.at
    found = [text for which, text in texts.items() if at - ends[which] <= AFTER]
    return list(dict.fromkeys(found)) or [NO_FAULT]


def by_key(misses: Iterable[dict[str, t.Any]], events: Sequence[Event]) -> dict[str, dict[str, t.Any]]:
    """Key -> how many attestations and blocks it missed, and how often each cause was in play."""
    found: dict[str, dict[str, t.Any]] = {}
    for miss in misses:
        row = found.setdefault(miss["key"], {"attestation": 0, "block": 0, "causes": Counter()})
        row[miss["kind"]] += 1
        row["causes"].update(causes(miss["at"], events))
    return found
