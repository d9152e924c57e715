# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The one spelling of a validator's public key: lower case, with 0x."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError

_KEY = re.compile(r"(?:0[xX])?([0-9a-fA-F]{96})\Z")


class PubkeyError(StakingError):
    """A string is not a BLS public key."""


def normalise(text: t.Any) -> str:
    """Return the key in the one spelling we compare."""
    match = _KEY.match(text) if isinstance(text, str) else None
    if match is None:
        shown = repr(text if not isinstance(text, str) or len(text) <= 120 else text[:117] + "...")
        raise PubkeyError(f"{shown} is not a 48-byte hexadecimal public key")
    return "0x" + match.group(1).lower()


def normalise_all(texts: t.Iterable[t.Any]) -> list[str]:
    """Normalise several keys, in order; a key named twice is kept once."""
    return list(dict.fromkeys(normalise(text) for text in texts))


def from_bytes(raw: bytes) -> str:
    """A 48-byte key as text."""
    if len(raw) != 48:
        raise PubkeyError(f"a public key has 48 bytes, not {len(raw)}")
    return "0x" + raw.hex()
