# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What the chain says of validator keys, asked of a beacon node: which of them are, or have been, active."""

from __future__ import annotations

import base64
import datetime
import json
import re
import typing as t
import urllib.parse

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, normalise

#: Keys in one question: they stand in its address.
CHUNK = 20
UNKNOWN = "unknown"
#: The statuses of the standard API. Active ones have duties; nothing else signs.
_STATUSES = (
    "pending_initialized",
    "pending_queued",
    "active_ongoing",
    "active_exiting",
    "active_slashed",
    "exited_unslashed",
    "exited_slashed",
    "withdrawal_possible",
    "withdrawal_done",
)
#: Those of Prysm's own API before v2.0, by the nearest of the standard ones.
_OLD_STATUSES = {
    "UNKNOWN_STATUS": UNKNOWN,
    "INVALID": UNKNOWN,
    "DEPOSITED": "pending_initialized",
    "PARTIALLY_DEPOSITED": "pending_initialized",
    "PENDING": "pending_queued",
    "ACTIVE": "active_ongoing",
    "EXITING": "active_exiting",
    "SLASHING": "active_slashed",
    "EXITED": "exited_unslashed",
}
_ROOT = re.compile(r"0x[0-9a-fA-F]{64}\Z")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?Z\Z")

#: Gives the text behind a path of the beacon node's API.
Get = t.Callable[[str], str]


class ActivityError(StakingError):
    """A beacon node's answer is none that can be relied on."""


class Head(t.NamedTuple):
    """Where a beacon node is."""

    genesis_time: int
    genesis_validators_root: str
    head_slot: int
    syncing: bool
    optimistic: bool


def is_active(status: str) -> bool:
    """Whether a key of this status has duties."""
    return status.startswith("active")


def _json(get: Get, path: str) -> t.Any:
    try:
        return json.loads(get(path))
    except ValueError as exc:
        raise ActivityError(f"the answer to {path.partition('?')[0]} is not JSON: {exc}") from exc


def _field(answer: t.Any, path: str, *names: str) -> t.Any:
    for name in names:
        if not isinstance(answer, dict) or name not in answer:
            raise ActivityError(f"the answer to {path.partition('?')[0]} lacks {'.'.join(names)}")
        answer = answer[name]
    return answer


def _number(answer: t.Any, path: str, *names: str) -> int:
    value = _field(answer, path, *names)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ActivityError(f"the answer to {path} has no number in {'.'.join(names)}")
    return value


def _flag(answer: t.Any, path: str, *names: str) -> bool:
    value = _field(answer, path, *names)
    if not isinstance(value, bool):
        raise ActivityError(f"the answer to {path} has no true or false in {'.'.join(names)}")
    return value


def _chunks(pubkeys: t.Sequence[str]) -> t.Iterator[t.Sequence[str]]:
    for i in range(0, len(pubkeys), CHUNK):
        yield pubkeys[i : i + CHUNK]


class Standard:
    """The standard beacon API, which Prysm serves from v2.0 on."""

    def __init__(self, get: Get) -> None:
        self._get = get

    def head(self) -> Head:
        path = "/eth/v1/node/syncing"
        syncing = _json(self._get, path)
        data = _field(syncing, path, "data")
        # Before v2.1 there is no execution layer to be optimistic about.
        optimistic = _flag(syncing, path, "data", "is_optimistic") if "is_optimistic" in data else False
        head, behind = _number(syncing, path, "data", "head_slot"), _flag(syncing, path, "data", "is_syncing")
        path = "/eth/v1/beacon/genesis"
        genesis = _json(self._get, path)
        root = _field(genesis, path, "data", "genesis_validators_root")
        if not isinstance(root, str) or not _ROOT.match(root):
            raise ActivityError(f"the answer to {path} has no genesis_validators_root")
        return Head(_number(genesis, path, "data", "genesis_time"), root.lower(), head, behind, optimistic)

    def statuses(self, pubkeys: t.Sequence[str]) -> dict[str, str]:
        found = dict.fromkeys(pubkeys, UNKNOWN)
        for chunk in _chunks(pubkeys):
            path = "/eth/v1/beacon/states/head/validators?" + "&".join(f"id={key}" for key in chunk)
            answer = _json(self._get, path)
            listed = _field(answer, path, "data")
            if not isinstance(listed, list):
                raise ActivityError("the answer to /eth/v1/beacon/states/head/validators is not a list")
            for item in listed:
                try:
                    key = normalise(_field(item, path, "validator", "pubkey"))
                except PubkeyError as exc:
                    raise ActivityError(f"the answer of the beacon node: {exc}") from exc
                status = _field(item, path, "status")
                if status not in _STATUSES:
                    raise ActivityError(f"the beacon node gives {key} the status {status!r:.40}, which is not known")
                # Of all that some versions answer when they know none of the keys, only what was asked counts.
                if key in found:
                    found[key] = status
        return found


class Old:
    """Prysm's own API before v2.0, by its HTTP gateway."""

    def __init__(self, get: Get) -> None:
        self._get = get

    def head(self) -> Head:
        path = "/eth/v1alpha1/node/syncing"
        syncing = _flag(_json(self._get, path), path, "syncing")
        path = "/eth/v1alpha1/beacon/chainhead"
        head = _number(_json(self._get, path), path, "headSlot")
        path = "/eth/v1alpha1/node/genesis"
        genesis = _json(self._get, path)
        begin = _field(genesis, path, "genesisTime")
        match = _TIME.match(begin) if isinstance(begin, str) else None
        if match is None:
            raise ActivityError(f"the answer to {path} has no genesisTime")
        time = datetime.datetime.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
        root = _bytes(_field(genesis, path, "genesisValidatorsRoot"), 32, path)
        return Head(int(time.timestamp()), "0x" + root.hex(), head, syncing, False)

    def statuses(self, pubkeys: t.Sequence[str]) -> dict[str, str]:
        found = dict.fromkeys(pubkeys, UNKNOWN)
        for chunk in _chunks(pubkeys):
            keys = [("public_keys", base64.b64encode(bytes.fromhex(key[2:])).decode()) for key in chunk]
            path = "/eth/v1alpha1/validator/statuses?" + urllib.parse.urlencode(keys)
            answer = _json(self._get, path)
            names, statuses = _field(answer, path, "publicKeys"), _field(answer, path, "statuses")
            if not isinstance(names, list) or not isinstance(statuses, list) or len(names) != len(statuses):
                raise ActivityError("the answer to /eth/v1alpha1/validator/statuses does not say which status is whose")
            answered = set()
            for name, item in zip(names, statuses):
                key = "0x" + _bytes(name, 48, path).hex()
                status = _field(item, path, "status")
                if status not in _OLD_STATUSES:
                    raise ActivityError(f"the beacon node gives {key} the status {status!r:.40}, which is not known")
                answered.add(key)
                if key in found:
                    found[key] = _OLD_STATUSES[status]
            if not answered.issuperset(chunk):
                raise ActivityError("the beacon node did not answer for every key")
        return found


def _bytes(text: t.Any, size: int, path: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:  # no base64, or not even ASCII
        found = b""
    if len(found) != size:
        raise ActivityError(f"the answer to {path.partition('?')[0]} has no {size} bytes where they belong")
    return found


def api_of(version: str, get: Get) -> Standard | Old:
    """The API that a version of Prysm serves on its port for HTTP."""
    match = re.match(r"v([0-9]+)\.", version)
    if match is None:
        raise ActivityError(f"{version!r:.40} is not a version of Prysm")
    return Standard(get) if int(match.group(1)) >= 2 else Old(get)


def behind(head: Head, now: float, seconds_per_slot: int, slots_per_epoch: int) -> tuple[int, str]:
    """The slot by the clock, and what speaks against relying on this head; empty when nothing does."""
    slot = max(0, int(now - head.genesis_time) // seconds_per_slot)
    if now < head.genesis_time:
        return 0, ""
    if head.syncing:
        return slot, "the beacon node is still syncing"
    if head.optimistic:
        return slot, "the beacon node has not verified its head (its execution client is behind)"
    if slot - head.head_slot > 2 * slots_per_epoch:
        return slot, f"the beacon node's head is {slot - head.head_slot} slots behind the clock"
    if head.head_slot - slot > slots_per_epoch:
        return slot, f"the beacon node's head is {head.head_slot - slot} slots ahead of this machine's clock"
    return max(slot, head.head_slot), ""
