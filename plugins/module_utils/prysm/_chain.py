# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""The chain's clock and a beacon node's head: what time it is, and whether the node keeps up with it.

The clock is genesis plus slots, never the metric beacon_clock_time_slot: Prysm sets that when a block arrives, so it is
0 after a start and stands still when the chain does. A beacon node whose execution client is dead says that it is
healthy; only its head tells.
"""

from __future__ import annotations

import calendar
import json
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import NotYet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import MetricsError, head_slot

# Where Prysm answers: the standard interface from v2.0 on, its own on the same port up to v5.1.0.
_GENESIS = ("/eth/v1/beacon/genesis", "/eth/v1alpha1/node/genesis")
_CONFIG = ("/eth/v1/config/spec", "/eth/v1alpha1/beacon/config")
_HEAD = ("/eth/v1/node/syncing", "/eth/v1alpha1/beacon/chainhead")

# Where no answer comes for so long, a network policy may keep the API server out: it is not asked again for a while.
_PATIENCE, _PAUSE = 3.0, 60.0


class ChainError(ValueError):
    """An answer that does not say what it should."""


class Clock(t.NamedTuple):
    """What it takes to know the slot from the time."""

    genesis: int
    seconds_per_slot: float

    def slot(self, now: float) -> int | None:
        """The slot at a time; None before genesis."""
        if now < self.genesis:
            return None
        return int((now - self.genesis) // self.seconds_per_slot)


class Head(t.NamedTuple):
    """Where a beacon node's chain ends, and what it says of itself."""

    slot: int
    syncing: bool = False
    optimistic: bool = False


class View(t.NamedTuple):
    """One look at the chain. The problem is empty when the node keeps up."""

    slot: int | None
    head: int | None
    problem: str


def _object(text: str) -> dict[str, t.Any]:
    try:
        content = json.loads(text)
    except ValueError as exc:
        raise ChainError(f"not JSON: {text[:80]!r}") from exc
    if not isinstance(content, dict):
        raise ChainError(f"not an object: {text[:80]!r}")
    inner = content.get("data", content.get("config", content))
    if not isinstance(inner, dict):
        raise ChainError(f"not an object: {text[:80]!r}")
    return inner


def _number(value: t.Any, what: str) -> int:
    try:
        number = int(str(value))
    except ValueError as exc:
        raise ChainError(f"{what} is {value!r}, not a number") from exc
    if number < 0:
        raise ChainError(f"{what} is {value!r}")
    return number


def genesis_time(text: str) -> int:
    """Genesis in Unix seconds, from either interface."""
    data = _object(text)
    if "genesisTime" in data:
        try:
            found = calendar.timegm(time.strptime(str(data["genesisTime"]), "%Y-%m-%dT%H:%M:%SZ"))
        except ValueError as exc:
            raise ChainError(f"genesisTime is {data['genesisTime']!r}") from exc
    else:
        found = _number(data.get("genesis_time"), "genesis_time")
    if found <= 0:
        raise ChainError("the beacon node does not know the genesis yet")
    return found


def seconds_per_slot(text: str) -> float:
    """The length of a slot, from either interface."""
    data = _object(text)
    if "SLOT_DURATION_MS" in data:
        found = _number(data["SLOT_DURATION_MS"], "SLOT_DURATION_MS") / 1000
    else:
        found = float(_number(data.get("SECONDS_PER_SLOT", data.get("SecondsPerSlot")), "SECONDS_PER_SLOT"))
    if found <= 0:
        raise ChainError("a slot has no length")
    return found


def head(text: str) -> Head:
    """The head, from either interface."""
    data = _object(text)
    if "headSlot" in data:
        return Head(_number(data["headSlot"], "headSlot"))
    return Head(
        _number(data.get("head_slot"), "head_slot"),
        data.get("is_syncing") is True,
        data.get("is_optimistic") is True,
    )


def allowed_lag(slots_per_epoch: int, seconds: float) -> int:
    """How many slots a head may be behind: some proposers miss theirs, and a block and a look take seconds."""
    return max(4, slots_per_epoch // 4, int(12 // seconds) if seconds else 0)


def head_problem(now: Head, first: int | None, slot: int | None, lag: int, why_no_clock: str) -> str:
    """Why this head is no proof that the node follows the chain; empty when it is.

    `first` is the head of the first look, `slot` the clock's (None when there is no clock, for the reason given). A
    negative lag asks nothing of its age.
    """
    if now.optimistic:
        return f"the head at slot {now.slot} is optimistic: the execution client has not checked it"
    at = f"the clock is at {slot}" if slot is not None else "the clock cannot be read"
    if now.syncing:
        return f"it is syncing: the head is at slot {now.slot}, {at}"
    if lag < 0:
        return ""
    if slot is None:
        if first is not None and now.slot > first:
            return ""
        return f"the head is at slot {now.slot}, and {why_no_clock}"
    if now.slot > slot + 1:
        return f"the head is at slot {now.slot}, but by the clock of this machine it is {slot}: set the clock right"
    if slot - now.slot <= lag:
        return ""
    if now.slot == 0:
        return f"it has not taken in a block yet, {at}: check the execution client"
    if first is not None and now.slot > first:
        return f"the head is at slot {now.slot}, {at}: it is catching up"
    return f"the head is at slot {now.slot}, {at}: check the execution client"


class Reader(t.Protocol):
    """As much of a cluster as it takes."""

    def metrics(self, namespace: str, pod: str, port: int) -> str: ...

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> str: ...


class Chain:
    """Looks at one beacon node again and again, and remembers what does not change."""

    def __init__(self, cluster: Reader, name: str, params: t.Mapping[str, t.Any], metrics_port: int) -> None:
        self._cluster = cluster
        self._pod = f"{name}-0"
        self._namespace: str = params["namespace"]
        self._metrics_port = metrics_port
        self._api_port: int = params["api_port"]
        self._lag: int = params["head_slots_behind"]
        self._slots_per_epoch: int = params["slots_per_epoch"]
        self._genesis: int = params["genesis_time"]
        self._told_genesis = 0
        self._length: float = params["seconds_per_slot"]
        self._first: int | None = None
        self._slow, self._asks_again = "", 0.0

    def _ask(self, paths: t.Sequence[str]) -> str:
        """The answer of the first interface that has one."""
        start = time.monotonic()
        if self._slow and start < self._asks_again:
            raise NotYet(self._slow)
        self._slow = ""
        last: NotYet | None = None
        for path in paths:
            try:
                return self._cluster.proxy(self._namespace, self._pod, self._api_port, path)
            except NotYet as exc:
                last = exc
                now = time.monotonic()
                if now - start > _PATIENCE:
                    self._slow, self._asks_again = str(exc), now + _PAUSE
                    break
        raise last or NotYet("nothing to ask")

    def clock(self) -> tuple[Clock | None, str]:
        """The chain's clock, or why there is none."""
        try:
            if not self._told_genesis:
                try:
                    self._told_genesis = genesis_time(self._ask(_GENESIS))
                except (NotYet, ChainError):
                    if not self._genesis:
                        raise
            if not self._length:
                self._length = seconds_per_slot(self._ask(_CONFIG))
        except (NotYet, ChainError) as exc:
            return None, f"the chain's clock cannot be read from {self._pod}: {exc}"
        return Clock(self._genesis or self._told_genesis, self._length), ""

    def head(self) -> Head:
        """The head: of the node's interface, else of its metrics (which know it from the first block after a start)."""
        try:
            return head(self._ask(_HEAD))
        except (NotYet, ChainError) as exc:
            try:
                found = head_slot(self._cluster.metrics(self._namespace, self._pod, self._metrics_port))
            except MetricsError as second:
                raise NotYet(str(second)) from exc
            if found is None:
                raise
            return Head(found)

    def look(self, clock_of_this_machine: t.Callable[[], float] = time.time) -> View:
        """One look."""
        clock, why = self.clock()
        # Taken before the head is read: what the reading takes must not count against the head.
        now = clock_of_this_machine()
        slot = clock.slot(now) if clock else None
        if self._genesis and self._told_genesis and self._genesis != self._told_genesis:
            return View(
                slot,
                None,
                f"{self._pod} follows another chain: its genesis is {self._told_genesis}, not {self._genesis}",
            )
        if clock and slot is None:
            return View(None, None, f"the chain begins in {clock.genesis - now:.0f} s")
        try:
            seen = self.head()
        except (NotYet, ChainError) as exc:
            return View(slot, None, f"the head of {self._pod} cannot be read: {exc}")
        lag = self._lag or allowed_lag(self._slots_per_epoch, self._length)
        problem = head_problem(seen, self._first, slot, lag, why)
        if self._first is None:
            self._first = seen.slot
        return View(slot, seen.slot, problem)


# Arguments of the modules that look at the chain; documented in the fragment eth2xk8s.staking.chain.
CHAIN_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "api_port": {"type": "int", "default": 3500},
    "genesis_time": {"type": "int", "default": 0},
    "seconds_per_slot": {"type": "float", "default": 0},
    "slots_per_epoch": {"type": "int", "default": 32},
    "head_slots_behind": {"type": "int", "default": 0},
}
