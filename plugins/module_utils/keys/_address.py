# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Addresses of the execution layer, and the checksum in the case of their letters (EIP-55)."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

_WORD = (1 << 64) - 1
#: Bytes of a block, of the hash, and rounds of Keccak-f[1600] (the Keccak reference, 3.0, section 1).
_BLOCK, _DIGEST, _ROUNDS = 136, 32, 24


def _rotate(word: int, by: int) -> int:
    by %= 64
    return ((word << by) | (word >> (64 - by))) & _WORD


def _permute(state: list[int]) -> list[int]:
    """Keccak-f[1600]; the lane (x, y) is at x + 5 * y."""
    register = 1
    for _round in range(_ROUNDS):
        columns = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        state = [state[i] ^ columns[(i + 4) % 5] ^ _rotate(columns[(i + 1) % 5], 1) for i in range(25)]
        moved = list(state)
        x, y, lane = 1, 0, state[1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            lane, moved[x + 5 * y] = state[x + 5 * y], _rotate(lane, (step + 1) * (step + 2) // 2)
        state = [
            moved[i] ^ (~moved[(i + 1) % 5 + i - i % 5] & moved[(i + 2) % 5 + i - i % 5] & _WORD) for i in range(25)
        ]
        for bit in range(7):
            if register & 1:
                state[0] ^= 1 << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
    return state


def keccak256(data: bytes) -> bytes:
    """The hash that Ethereum calls Keccak-256. SHA3-256, which hashlib has, pads in another way."""
    padded = bytearray(data) + bytes(_BLOCK - len(data) % _BLOCK)
    padded[len(data)] |= 0x01
    padded[-1] |= 0x80
    state = [0] * 25
    for begin in range(0, len(padded), _BLOCK):
        for lane in range(_BLOCK // 8):
            state[lane] ^= int.from_bytes(padded[begin + 8 * lane : begin + 8 * lane + 8], "little")
        state = _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[: _DIGEST // 8])


def with_checksum(address: str) -> str:
    """The address with the letters' case that EIP-55 gives it."""
    digits = address[2:].lower()
    case = keccak256(digits.encode("ascii")).hex()
    return "0x" + "".join(digit.upper() if int(by, 16) >= 8 else digit for digit, by in zip(digits, case))


def is_mistyped(address: str) -> bool:
    """Whether an address has letters of both cases, and not as its checksum has them.

    In one case only, an address says nothing of itself.
    """
    if not _ADDRESS.fullmatch(address):
        return False
    letters = address[2:]
    return letters not in (letters.lower(), letters.upper()) and address != with_checksum(address)
