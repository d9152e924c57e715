"""What the store offers: the tracks of MicroK8s and what differs between them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .layout import STORE

RISKS = ("stable", "candidate", "beta", "edge")

# minor: (patch, revision). One build serves all risks of a track.
TRACKS = {
    20: (13, 2948),
    21: (14, 3410),
    22: (17, 4553),
    23: (17, 5372),
    24: (17, 5890),
    25: (16, 6256),
    26: (15, 6668),
    27: (16, 6994),
    28: (15, 7394),
    29: (15, 7729),
    30: (14, 8063),
    31: (14, 8297),
    32: (13, 8548),
    33: (12, 8703),
    34: (8, 8826),
    35: (4, 8911),
    36: (3, 9024),
}


@dataclass(frozen=True)
class Release:
    """One revision of the snap in one channel."""

    channel: str
    version: str
    revision: int

    @property
    def minor(self) -> int:
        return int(self.version.split(".")[1])

    @property
    def base(self) -> str:
        if self.minor < 21:
            return "core"
        return "core18" if self.minor < 27 else "core20" if self.minor < 34 else "core22"


class NoSuchChannel(Exception):
    """The store has no such channel; `valid` says whether the name could be one."""

    def __init__(self, channel: str, valid: bool) -> None:
        super().__init__(channel)
        self.channel = channel
        self.valid = valid


def full_channel(channel: str, current: str = "") -> str:
    """`1.28` -> `1.28/stable`, `edge` -> the current track's edge, empty -> the current channel or latest/stable."""
    if not channel:
        return current or "latest/stable"
    parts = channel.split("/")
    if parts[0] in RISKS:
        parts.insert(0, current.split("/")[0] if current else "latest")
    if len(parts) == 1:
        parts.append("stable")
    if len(parts) > 3 or parts[1] not in RISKS or not all(parts):
        raise NoSuchChannel(channel, valid=False)
    return "/".join(parts)


def published() -> dict[str, Release]:
    """Every channel with what it holds; the store's own file may add to it (a new revision, say)."""
    channels = {}
    newest = max(TRACKS)
    for minor, (patch, revision) in TRACKS.items():
        for risk in RISKS:
            channels[f"1.{minor}/{risk}"] = (f"v1.{minor}.{patch}", revision)
            if minor == newest:
                channels[f"latest/{risk}"] = (f"v1.{minor}.{patch}", revision)
    more = STORE / "channels.json"
    if more.exists():
        channels |= {name: (v, int(r)) for name, (v, r) in json.loads(more.read_text()).items()}
    return {name: Release(name, version, revision) for name, (version, revision) in channels.items()}


def find(channel: str) -> Release:
    """What a full channel name holds."""
    try:
        return published()[channel]
    except KeyError:
        raise NoSuchChannel(channel, valid=True) from None


def build_for(minor: int) -> str:
    """The Kubernetes build that plays a minor: its own if the store has it, else the nearest."""
    builds = sorted(int(path.name.split(".")[1]) for path in (STORE / "microk8s/kubernetes").iterdir())
    return "1." + str(min(builds, key=lambda have: (abs(have - minor), -have)))
