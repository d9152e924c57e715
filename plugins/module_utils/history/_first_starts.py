# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Keys that start without a history: what the chain said of each, and how long those that it calls active must wait.

A file beside the site's record remembers the answer, so that a running client's keys are asked about once; when it is
lost, the chain is asked again.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    as_json,
    is_there,
    open_directory,
    parse_json,
    read_file,
    replace_file,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._activity import UNKNOWN, is_active
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import (
    History,
    key_history,
    pack_attestation,
    pack_block,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._interchange import document
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, normalise

_LIMIT = 64 << 20
_WORDS = 3
#: What a key without its history waits: everything it could have signed for is decided by then.
WAIT_EPOCHS = 2
_SHOWN = 3


class FirstStartError(StakingError):
    """A key must not start."""


class Start(t.NamedTuple):
    """What was found out of one key."""

    status: str
    slot: int
    #: Only of keys that were active: why they may start, the epoch, and when (in seconds since 1970).
    because: str = ""
    epoch: int | None = None
    not_before: int | None = None


class Chain(t.NamedTuple):
    """What the beacon node said."""

    statuses: dict[str, str]
    current_slot: int
    genesis_time: int
    genesis_validators_root: str


class Clock(t.NamedTuple):
    """How the chain counts."""

    seconds_per_slot: int = 12
    slots_per_epoch: int = 32


def faults(because: t.Any, pubkeys: t.Container[str], all_known: bool = True) -> list[str]:
    """What is wrong with the reasons for starting keys without their history, a sentence each."""
    if not isinstance(because, dict):
        return ["prysm_no_history_because must be a dictionary: a public key, and the reason for this key"]
    found = []
    seen = set()
    for name, reason in because.items():
        try:
            key = normalise(name)
        except PubkeyError as exc:
            found.append(f"prysm_no_history_because: {exc}; write each key in quotes")
            continue
        if all_known and key not in pubkeys:
            found.append(f"prysm_no_history_because: {key} is not a key of this site; is it misspelt?")
        if key in seen:
            found.append(f"prysm_no_history_because: {key} is named twice")
        seen.add(key)
        if not isinstance(reason, str) or len(reason.split()) < _WORDS:
            found.append(
                f"prysm_no_history_because: say in a few words why {key} may start without its history, such as 'the"
                " disk with its history is broken, the machine is gone'"
            )
    return found


# -- the file ---------------------------------------------------------------------------------------------------------


def read(path: str) -> dict[str, Start]:
    """What was found out before."""
    if not is_there(path):
        return {}
    content = parse_json(read_file(path, _LIMIT), path)
    if not isinstance(content, dict) or content.get("version") != 1 or not isinstance(content.get("keys"), dict):
        raise UnreadableError(path, "is not a list of first starts. Move it away; the chain is then asked again")
    found = {}
    for name, entry in content["keys"].items():
        try:
            start = Start(**entry)
            numbers = [number for number in (start.slot, start.epoch, start.not_before) if number is not None]
            if not isinstance(start.status, str) or not all(type(number) is int and number >= 0 for number in numbers):
                raise ValueError("a number is none")
            if (start.epoch is None) != (start.not_before is None):
                raise ValueError("half of an entry is missing")
            found[normalise(name)] = start
        except (TypeError, ValueError, PubkeyError) as exc:
            raise UnreadableError(path, f"its entry {name:.20} is damaged ({exc}). Move the file away") from exc
    return found


def render(starts: t.Mapping[str, Start]) -> bytes:
    """As it stands in the file."""
    return as_json(
        {
            "version": 1,
            "keys": {
                key: {name: value for name, value in start._asdict().items() if value not in (None, "")}
                for key, start in starts.items()
            },
        }
    )


def put(path: str, data: bytes) -> bool:
    """Write a file if it is not so already; say whether."""
    if is_there(path) and read_file(path, _LIMIT) == data:
        return False
    directory, name = os.path.split(path)
    if not is_there(directory):
        os.mkdir(directory, 0o700)
    fd = open_directory(directory)
    try:
        replace_file(fd, name, data, 0o600)
    finally:
        os.close(fd)
    return True


# -- what follows -----------------------------------------------------------------------------------------------------


def to_ask(
    starts: t.Mapping[str, Start], unknown: t.Mapping[str, t.Sequence[str]], running: t.Container[str]
) -> dict[str, list[str]]:
    """Keys, by client, that the chain must be asked about.

    What was found out counts only as long as the client runs: while it is stopped, a key can be used elsewhere. A key
    that waits and still has no history was cut off before that was written.
    """
    found = {}
    for client, keys in unknown.items():
        known = starts if client in running else {}
        ask = [key for key in keys if key not in known or known[key].not_before is not None]
        if ask:
            found[client] = ask
    return found


def waiting(starts: t.Mapping[str, Start], clients: t.Mapping[str, t.Sequence[str]], now: float) -> dict[str, int]:
    """Seconds, by client, until the last of its keys may sign."""
    found = {}
    for client, keys in clients.items():
        ends = [starts[key].not_before for key in keys if key in starts]
        left = max((end - now for end in ends if end is not None), default=0)
        if left > 0:
            found[client] = int(left) + 1
    return found


def answered(
    starts: t.Mapping[str, Start], asked: t.Sequence[str], chain: Chain, because: t.Mapping[str, str], clock: Clock
) -> dict[str, Start]:
    """With the chain's answers; an error when a key is active and nothing says why it may start."""
    active = [key for key in asked if is_active(chain.statuses.get(key, "active"))]
    unexplained = [key for key in active if key not in because]
    if unexplained:
        shown = ", ".join(unexplained[:_SHOWN]) + (", ..." if len(unexplained) > _SHOWN else "")
        raise FirstStartError(
            f"Slashing risk: the chain calls {len(unexplained)} keys active of which no history was given and nothing"
            f" is known here: {shown}. Stop the client that signs with them, export its slashing protection history"
            " (see docs/guides), and name the file in slashing_protection of their entry of prysm_validators. Only if"
            " that history is lost, say so for each key:"
            f""" -e '{{"prysm_no_history_because": {{"{unexplained[0]}": "why it is lost, and what signed last"}}}}'"""
        )
    epoch = chain.current_slot // clock.slots_per_epoch
    begin = chain.current_slot + WAIT_EPOCHS * clock.slots_per_epoch + 1
    not_before = chain.genesis_time + begin * clock.seconds_per_slot
    new = dict(starts)
    for key in asked:
        status = chain.statuses.get(key, UNKNOWN)
        new[key] = (
            Start(status, chain.current_slot, because[key], epoch, not_before)
            if key in active
            else Start(status, chain.current_slot)
        )
    return new


def floor(starts: t.Mapping[str, Start], pubkeys: t.Iterable[str], root: str) -> bytes | None:
    """The history of keys that have lost theirs: nothing up to the moment they were asked about is signed again."""
    keys = {}
    for key in pubkeys:
        start = starts.get(key)
        if start is not None and start.epoch is not None:
            keys[key] = key_history([pack_block(start.slot, None)], [pack_attestation(start.epoch, start.epoch, None)])
    return as_json(document(History(root, keys))) if keys else None
