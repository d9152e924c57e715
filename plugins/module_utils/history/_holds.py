# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""Why a client is on hold, by the first line of its hold, the command that takes the hold away, and what it says."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._judge import HOLD_BEGINS

_MOVE = re.compile(r"move of (?P<key>0x[0-9a-f]{96}) from (?P<from>\S+) to (?P<to>\S+)")
_ROLLBACK = re.compile(r"rollback to (?P<version>v\S+)")
_SITE = "site.yml:"


def advice(text: str) -> str:
    """A sentence: what to run, or to do, for a hold with this text."""
    line = text.strip().partition("\n")[0]
    if line.startswith(HOLD_BEGINS):
        return "Restore the newest validator.db, then run site.yml: it takes the hold away."
    move = _MOVE.fullmatch(line)
    if move:
        command = (
            f"playbooks/move_key.yml -e move_key={move['key']} -e move_from={move['from']} -e move_to={move['to']}"
        )
        return f"To finish the move: {command}. To give it up: the same with -e move_abort=true."
    rollback = _ROLLBACK.fullmatch(line)
    if rollback:
        return (
            f"To finish the rollback: playbooks/rollback.yml -e prysm_version={rollback['version']}. To give it up: "
            "playbooks/rollback.yml -e rollback_abort=true -e prysm_version=VERSION, with the version of before."
        )
    if line.startswith(_SITE):
        return "Run site.yml: it goes on, and takes the hold away."
    return "This collection did not write it, or not to its end: remove the file once its reason is known and gone."


def move_state(
    wallets: t.Mapping[str, t.Container[str]],
    key: str,
    source: str,
    target: str,
    holds: t.Sequence[str],
    abort: bool,
) -> str:
    """How far the move of a key has come: begin, begun or done.

    `wallets` are the keys by client, `holds` what the two clients are on hold with. A move to `abort` that was not
    begun is done.
    """
    if holds:
        return "begun"
    made = key in wallets[target] and key not in wallets[source]
    return "done" if abort or made else "begin"
