# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The time between two duties of validator keys, by what their client says of its schedule.

A client knows the duties of the current epoch and shows them in its metrics (validator_next_attestation_slot and
validator_next_proposal_slot from v1.3.4 on, validator_in_sync_committee from v4.0.0; validator/client/duties.go,
logDuties). What the next epoch brings is not shown: a duty in its first slot has to be expected. All times are in
slots since genesis.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import ON_DUTY, duties, parse

_ATTESTS, _PROPOSES = "validator_next_attestation_slot", "validator_next_proposal_slot"
_SYNCS = "validator_in_sync_committee"


class Schedule(t.NamedTuple):
    """What one client has to do."""

    #: The slots of its keys' attestations and proposals that are known; of other epochs, too.
    slots: tuple[int, ...]
    #: Keys on duty whose slots the client does not say.
    untold: int
    #: Keys with a duty in every slot.
    syncing: int


class Gap(t.NamedTuple):
    """The time without a duty that begins now."""

    slots: float
    #: Whether this epoch has one as long as wanted, before now or after. Without, there is no use in waiting.
    hope: bool
    #: Why there is none, where it is not for the slots.
    problem: str


def schedule(metrics: str) -> Schedule:
    """The duties of the keys of one client, of its metrics."""
    on_duty = {key for key, seen in duties(metrics).keys.items() if seen.status in ON_DUTY}
    slots: list[int] = []
    told: set[str] = set()
    syncing: set[str] = set()
    for sample in parse(metrics, {_ATTESTS, _PROPOSES, _SYNCS}):
        key = sample.labels.get("pubkey", "").lower()
        if key not in on_duty or not math.isfinite(sample.value):
            continue
        if sample.name == _SYNCS:
            if sample.value == 1:
                syncing.add(key)
            continue
        slots.append(int(sample.value))
        if sample.name == _ATTESTS:
            told.add(key)
    return Schedule(tuple(sorted(slots)), len(on_duty - told), len(syncing))


def gap(schedules: t.Iterable[Schedule], now: float, slots_per_epoch: int, wanted: float) -> Gap:
    """The time from now to the next duty of any client, and whether it is worth waiting for a longer one."""
    every = list(schedules)
    untold, syncing = sum(one.untold for one in every), sum(one.syncing for one in every)
    if untold:
        return Gap(0, False, f"the client does not say when {untold} of its keys have their next duty")
    if syncing:
        return Gap(0, False, f"{syncing} of its keys are in a sync committee, and have a duty in every slot")
    slot = int(now)
    begin = slot - slot % slots_per_epoch
    end = begin + slots_per_epoch
    due = sorted({one for each in every for one in each.slots if one >= begin})
    if any(one.slots and max(one.slots) < begin for one in every):
        # It asks for the duties of an epoch when that begins.
        return Gap(0, True, "the client has not fetched the duties of this epoch yet")
    ahead = [one for one in due if one >= slot]
    # A duty takes its whole slot: an aggregate is due at two thirds of it.
    free = 0.0 if slot in due else min([*ahead, end]) - now
    bounds = [begin - 1, *due, end]
    longest = max(after - before - 1 for before, after in zip(bounds, bounds[1:]))
    return Gap(free, longest >= wanted, "")
