"""The lab's network: a bridge with the gateway's addresses, and a tap for each machine."""

from __future__ import annotations

import contextlib

from lab.commands import run
from lab.errors import LabError
from lab.layout import GATEWAY, PREFIX, TIME_ADDRESSES

BRIDGE = "site0"


def ip(*words: str) -> str:
    """Run `ip` in this process' network namespace."""
    return run(["ip", *words], what=f"Setting up the lab's network (ip {' '.join(words)})")


def create_bridge() -> None:
    """Loopback, and the bridge that is the site's network."""
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    for address in (GATEWAY, *TIME_ADDRESSES):
        ip("addr", "add", f"{address}/{PREFIX}", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


def create_tap(name: str) -> None:
    """A tap on the bridge."""
    ip("tuntap", "add", "dev", name, "mode", "tap")
    ip("link", "set", name, "master", BRIDGE)
    ip("link", "set", name, "up")


def cable(tap: str, *, plugged: bool) -> None:
    """Pull a machine's cable, or put it back."""
    ip("link", "set", tap, "up" if plugged else "down")


def partition(taps: list[str], *, apart: bool) -> None:
    """Move machines to a network of their own that reaches nobody else, or back."""
    other = "site1"
    if apart and other not in run(["ip", "-br", "link"], what="Listing the lab's links"):
        ip("link", "add", other, "type", "bridge", "forward_delay", "0")
        ip("link", "set", other, "up")
    for tap in taps:
        ip("link", "set", tap, "master", other if apart else BRIDGE)


def shape(tap: str, *, delay_ms: int, loss_percent: float) -> None:
    """Make the link to a machine slow and lossy; zero and zero make it whole again."""
    if delay_ms == 0 and loss_percent == 0:
        words = ["tc", "qdisc", "del", "dev", tap, "root"]
        with contextlib.suppress(LabError):  # there may be nothing to remove
            run(words, what="Restoring the link")
        return
    run(
        ["tc", "qdisc", "replace", "dev", tap, "root", "netem", "delay", f"{delay_ms}ms", "loss", f"{loss_percent}%"],
        what=f"Shaping the link {tap}",
    )
