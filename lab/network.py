"""The lab's network: a bridge with the gateway's addresses, and a tap for each machine."""

from __future__ import annotations

from lab.commands import run
from lab.layout import EXECUTION_ADDRESS, GATEWAY, PREFIX, PROVIDER_ADDRESS, TIME_ADDRESSES

BRIDGE = "site0"


def ip(*words: str) -> str:
    """Run `ip` in this process' network namespace."""
    return run(["ip", *words], what=f"Setting up the lab's network (ip {' '.join(words)})")


def create_bridge() -> None:
    """Loopback, and the bridge that is the site's network."""
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    for address in (GATEWAY, *TIME_ADDRESSES, EXECUTION_ADDRESS, PROVIDER_ADDRESS):
        ip("addr", "add", f"{address}/{PREFIX}", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


def create_tap(name: str) -> None:
    """A tap on the bridge."""
    ip("tuntap", "add", "dev", name, "mode", "tap")
    ip("link", "set", name, "master", BRIDGE)
    ip("link", "set", name, "up")


def cable(tap: str, *, plugged: bool) -> None:
    """Pull a machine's cable out of the switch, or put it back.

    Setting the tap itself down would be the machine's card breaking: User Mode Linux does not recover from that.
    """
    ip("link", "set", tap, *(("master", BRIDGE) if plugged else ("nomaster",)))


def partition(taps: list[str], *, apart: bool) -> None:
    """Move machines to a network of their own that reaches nobody else, or back."""
    other = "site1"
    if apart and other not in run(["ip", "-br", "link"], what="Listing the lab's links"):
        ip("link", "add", other, "type", "bridge", "forward_delay", "0")
        ip("link", "set", other, "up")
    for tap in taps:
        ip("link", "set", tap, "master", other if apart else BRIDGE)


def drop(tap: str, *, sent: str | None = None, received: str | None = None) -> None:
    """Drop frames that a machine sends, or that are for it, where they match an nftables expression ("": all)."""
    rules = f"add table bridge {tap}\n"
    for hook, device, match in (("prerouting", "iifname", sent), ("postrouting", "oifname", received)):
        if match is not None:
            rules += f"add chain bridge {tap} {hook} {{ type filter hook {hook} priority 0; }}\n"
            rules += f'add rule bridge {tap} {hook} {device} "{tap}" {match} drop\n'
    run(["nft", "-f", "-"], what=f"Dropping what goes through {tap}", stdin=rules)


def drop_nothing(tap: str) -> None:
    """Undo `drop`; no fault where there was none."""
    rules = f"add table bridge {tap}\ndelete table bridge {tap}\n"
    run(["nft", "-f", "-"], what=f"Healing {tap}", stdin=rules)
