# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What modules have answered, for reports: any part of it may be missing, because it could not be read."""

from __future__ import annotations

import typing as t

Reading = t.Mapping[str, t.Any]


def below(found: Reading, *names: str) -> Reading:
    """What lies below these names; empty where any of them is not there."""
    for name in names:
        found = found.get(name) or {}
    return found


def wallets_not_read(storage: Reading) -> list[str]:
    """Why the keys of the wallets are not known; nothing where they are."""
    seen = below(storage, "uniqueness")
    return [] if "keys" in seen else [f"the wallets were not read: {seen.get('msg', 'no answer')}"]


def has_history(result: Reading) -> bool:
    """Whether a client's slashing protection history was read."""
    return isinstance(result.get("keys"), t.Mapping)
