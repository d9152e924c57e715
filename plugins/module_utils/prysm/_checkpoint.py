# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Is this a provider that a new beacon node can begin from? Asked for what Prysm itself will fetch."""

from __future__ import annotations

import re
import struct
import time
import typing as t
import urllib.parse

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _http

_ROOT = re.compile(r"^0x[0-9a-f]{64}$")
#: A state begins with its genesis time, its genesis validators root and its slot, in every fork.
_STATE = struct.Struct("<Q32sQ")


class Wanted(t.NamedTuple):
    """The network, and how old its finalized state may be."""

    #: In words, for messages.
    network: str
    #: Empty where it is not known.
    genesis_validators_root: str
    #: Empty where it is not known.
    genesis_fork_version: str
    #: 0 where it is not known.
    genesis_time: int
    seconds_per_slot: float
    slots_per_epoch: int
    max_age: float
    timeout: float = 20


class Finding(t.NamedTuple):
    """What one provider has. The problem is empty when a beacon node can begin from it."""

    provider: str
    url: str
    problem: str
    root: str = ""
    genesis_time: int = 0
    epoch: int | None = None
    checkpoint: str = ""
    age: float | None = None


class _Refusal(Exception):
    pass


class _Missing(_Refusal):
    pass


def _base(url: str) -> str:
    """The address that Prysm asks: it puts its own path in the place of whatever path is given."""
    base = _http.check(url)
    if urllib.parse.urlsplit(base).path:
        raise _http.AddressError(
            "has a path behind its host, which Prysm leaves out: give scheme and host (and port) of a provider that "
            "needs none"
        )
    return base


def _ask(url: str, path: str, timeout: float, limit: int = 1 << 20, accept: str = "application/json") -> bytes:
    try:
        answer = _http.ask(url + path, None, {"Accept": accept}, timeout, limit)
    except _http.Unreachable as exc:
        raise _Refusal(f"does not answer: {exc}") from exc
    if answer.status == 404:
        raise _Missing(f"has no {path} (HTTP 404): it does not serve checkpoints")
    if answer.status in (401, 403):
        raise _Refusal(f"does not let this machine in (HTTP {answer.status})")
    if answer.status == 429:
        raise _Refusal("is asked too often (HTTP 429): wait, or give another provider")
    if answer.status != 200:
        raise _Refusal(f"answers HTTP {answer.status} to {path}")
    return answer.body


def _data(url: str, path: str, timeout: float) -> dict[str, t.Any]:
    body = _ask(url, path, timeout)
    try:
        found = _http.parse(body)
        data = found["data"]
    except (ValueError, KeyError, TypeError) as exc:
        raise _Refusal(f"answers to {path} what no beacon API does: is this the address of a web page?") from exc
    if not isinstance(data, dict):
        raise _Refusal(f"answers to {path} what no beacon API does")
    return data


def _number(data: t.Mapping[str, t.Any], name: str) -> int:
    try:
        found = int(str(data[name]))
    except (KeyError, ValueError) as exc:
        raise _Refusal(f"gives no {name}") from exc
    if found < 0:
        raise _Refusal(f"gives {found} as {name}")
    return found


def _root(data: t.Mapping[str, t.Any], name: str) -> str:
    found = str(data.get(name, "")).lower()
    if not _ROOT.match(found):
        raise _Refusal(f"gives no {name}")
    return found


def _state(url: str, which: str, timeout: float) -> tuple[int, str, int]:
    """(genesis time, genesis validators root, slot) of a state; of what Prysm fetches whole, the beginning alone."""
    path = f"/eth/v2/debug/beacon/states/{which}"
    body = _ask(url, path, timeout, _STATE.size, "application/octet-stream")
    if len(body) < _STATE.size:
        raise _Refusal(f"gives no state at {path}")
    # A state has zero bytes in its slot; text has none.
    if 0 not in body:
        raise _Refusal(f"gives {path} in another form than Prysm can read (SSZ)")
    genesis, root, slot = _STATE.unpack(body)
    return genesis, "0x" + root.hex(), slot


def _is_network(what: str, root: str, wanted: Wanted) -> None:
    if wanted.genesis_validators_root and root != wanted.genesis_validators_root.lower():
        raise _Refusal(
            f"serves {what} of another network: genesis validators root {root[:12]}…, but {wanted.network} has "
            f"{wanted.genesis_validators_root[:12]}…"
        )


def _span(seconds: float) -> str:
    for length, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"


def _age(slot: int, genesis: int, wanted: Wanted, now: float) -> float:
    return now - (genesis + slot * wanted.seconds_per_slot)


def _fresh(what: str, age: float, wanted: Wanted) -> None:
    if age > wanted.max_age:
        raise _Refusal(
            f"has {what} of {_span(age)} ago, and more than {_span(wanted.max_age)} is too old to be trusted: it does "
            "not follow the network, or the network does not finalize"
        )
    if age < -wanted.seconds_per_slot * wanted.slots_per_epoch:
        raise _Refusal(f"has {what} of {_span(-age)} in the future: set the clock of this machine right")


def examine(url: str, wanted: Wanted, clock: t.Callable[[], float] = time.time) -> Finding:
    """One provider, seen from this machine."""
    place = _http.shown(url)
    found = Finding(place, url, "")
    try:
        base = _base(url)
    except _http.AddressError as exc:
        return found._replace(problem=str(exc))
    found = found._replace(url=base)
    try:
        data = _data(base, "/eth/v1/beacon/genesis", wanted.timeout)
        root, genesis = _root(data, "genesis_validators_root"), _number(data, "genesis_time")
        found = found._replace(root=root, genesis_time=genesis)
        _is_network("a chain", root, wanted)
        fork = str(data.get("genesis_fork_version", "")).lower()
        if wanted.genesis_fork_version and fork and fork != wanted.genesis_fork_version.lower():
            raise _Refusal(
                f"serves a chain of another network: genesis fork version {fork}, but {wanted.network} has "
                f"{wanted.genesis_fork_version}"
            )
        if wanted.genesis_time and genesis != wanted.genesis_time:
            raise _Refusal(
                f"serves a chain that began at {genesis}, but {wanted.network} began at {wanted.genesis_time}"
            )
        data = _data(base, "/eth/v1/beacon/states/head/finality_checkpoints", wanted.timeout)
        if not isinstance(data.get("finalized"), dict):
            raise _Refusal("gives no finalized checkpoint")
        epoch, checkpoint = _number(data["finalized"], "epoch"), _root(data["finalized"], "root")
        age = _age(epoch * wanted.slots_per_epoch, genesis, wanted, clock())
        found = found._replace(epoch=epoch, checkpoint=checkpoint, age=age)
        if epoch == 0:
            raise _Refusal("has no finalized checkpoint but genesis")
        _fresh("a finalized checkpoint", age, wanted)
        _unused, of_state, slot = _state(base, "finalized", wanted.timeout)
        _is_network("a finalized state", of_state, wanted)
        if of_state != root:
            raise _Refusal("serves a finalized state of another chain than its genesis")
        _fresh("a finalized state", _age(slot, genesis, wanted, clock()), wanted)
    except _Refusal as exc:
        return found._replace(problem=str(exc))
    return found


def examine_genesis(url: str, wanted: Wanted) -> str:
    """Why no beacon node can get the genesis state from there; empty when it can."""
    try:
        base = _base(url)
        try:
            _unused, root, slot = _state(base, "genesis", wanted.timeout)
        except _Missing:
            return "has no genesis state, which a beacon node of this network needs once"
        _is_network("a genesis state", root, wanted)
    except (_http.AddressError, _Refusal) as exc:
        return str(exc)
    return "" if slot == 0 else f"serves as the genesis state one of slot {slot}"


def _root_at(found: Finding, slot: int, timeout: float) -> str:
    """The root of the block at a slot, or of the last one before it within an epoch; empty where it is not kept."""
    try:
        return _root(_data(found.url, f"/eth/v1/beacon/blocks/{slot}/root", timeout), "root")
    except _Missing:
        return ""


def agree(first: Finding, second: Finding, wanted: Wanted) -> tuple[str, bool]:
    """(why two providers must not both be believed, whether asking again may help); empty when they agree."""
    if first.root != second.root:
        return f"{first.provider} and {second.provider} serve two different networks", False
    low, high = sorted((first, second), key=lambda one: one.epoch or 0)
    differ = (
        f"{first.provider} and {second.provider} disagree about the finalized block of epoch {low.epoch}. One of them "
        "follows a wrong chain: find out which before a beacon node begins from either"
    )
    if low.epoch == high.epoch:
        return ("" if low.checkpoint == high.checkpoint else differ), False
    slot = (low.epoch or 0) * wanted.slots_per_epoch
    try:
        for back in range(wanted.slots_per_epoch):
            root = _root_at(high, slot - back, wanted.timeout)
            if root:
                if root == low.checkpoint:
                    return "", False
                # An earlier block than the checkpoint's proves nothing: that one may not be kept.
                if back == 0:
                    return differ, False
                break
    except _Refusal as exc:
        return f"{high.provider} {exc}", True
    return (
        f"{low.provider} and {high.provider} could not be compared: the first has finalized epoch {low.epoch}, the "
        f"second {high.epoch} and nothing of the first's"
    ), True
