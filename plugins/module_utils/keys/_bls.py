# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Public keys of BLS12-381 secret keys: one multiplication of the generator of G1, many keys at a time.

The scalar is cut into signed digits; every digit picks a multiple of the generator from a table, so one key costs one
addition a digit. Additions are affine, and all keys of a batch share one inversion a digit (Montgomery's trick).
Running time depends on the secrets: this is for a machine that already holds them, not for signing.
"""

from __future__ import annotations

import multiprocessing
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError

#: The field's modulus, the group's order, and the generator.
P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
R = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
GENERATOR = (
    0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB,
    0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1,
)
_HALF = (P - 1) // 2

Point = t.Optional[t.Tuple[int, int]]


class SecretKeyError(StakingError):
    """A number is not a secret key of the curve."""


def _invert(values: list[int]) -> list[int]:
    """Invert many field elements, none of them zero, for the price of one inversion."""
    running = 1
    before = []
    for value in values:
        before.append(running)
        running = running * value % P
    inverse = pow(running, -1, P)
    inverted = [0] * len(values)
    for i in range(len(values) - 1, -1, -1):
        inverted[i] = inverse * before[i] % P
        inverse = inverse * values[i] % P
    return inverted


def _add(left: list[Point], right: list[Point]) -> list[Point]:
    """Add two lists of points, element by element."""
    result = list(left)
    where = []
    tops = []
    bottoms = []
    for i, (a, b) in enumerate(zip(left, right)):
        if b is None:
            continue
        if a is None:
            result[i] = b
            continue
        bottom = b[0] - a[0]
        top = b[1] - a[1]
        if bottom == 0:
            if top != 0 or a[1] == 0:
                result[i] = None
                continue
            top, bottom = 3 * a[0] * a[0], 2 * a[1]
        where.append(i)
        tops.append(top)
        bottoms.append(bottom % P)
    for i, top, inverse in zip(where, tops, _invert(bottoms)):
        x1, y1 = t.cast(t.Tuple[int, int], left[i])
        x2 = t.cast(t.Tuple[int, int], right[i])[0]
        slope = top * inverse % P
        x3 = (slope * slope - x1 - x2) % P
        result[i] = (x3, (slope * (x1 - x3) - y1) % P)
    return result


_TABLES: dict[int, list[list[Point]]] = {}


def _table(width: int) -> list[list[Point]]:
    """For every digit's place the multiples 0 .. 2^(width-1) of the generator shifted to that place."""
    if width not in _TABLES:
        places = 255 // width + 1
        bases: list[Point] = [GENERATOR]
        for _place in range(places - 1):
            base = [bases[-1]]
            for _bit in range(width):
                base = _add(base, base)
            bases.append(base[0])
        rows: list[list[Point]] = [[None] * places, bases]
        # Doubling the number of known multiples at each step keeps the batches, and so the shared inversions, large.
        while len(rows) <= 1 << (width - 1):
            top = len(rows) - 1
            wanted = min(top, (1 << (width - 1)) + 1 - len(rows))
            flat = _add(rows[top] * wanted, [point for row in rows[1 : wanted + 1] for point in row])
            rows.extend(flat[i * places : (i + 1) * places] for i in range(wanted))
        _TABLES[width] = [[row[place] for row in rows] for place in range(places)]
    return _TABLES[width]


def _derive(secrets: list[int], width: int) -> list[bytes]:
    table = _table(width)
    full, half = 1 << width, 1 << (width - 1)
    left = list(secrets)
    sums: list[Point] = [None] * len(left)
    for row in table:
        picked: list[Point] = []
        for i, value in enumerate(left):
            digit = value & (full - 1)
            if digit > half:
                digit -= full
            left[i] = (value - digit) >> width
            if digit < 0:
                x, y = t.cast(t.Tuple[int, int], row[-digit])
                picked.append((x, P - y))
            else:
                picked.append(row[digit])
        sums = _add(sums, picked)
    keys = []
    for point in sums:
        x, y = t.cast(t.Tuple[int, int], point)
        keys.append((x | (0b101 if y > _HALF else 0b100) << 381).to_bytes(48, "big"))
    return keys


def _derive_share(share: tuple[list[int], int]) -> list[bytes]:
    return _derive(*share)


def secret_number(secret: bytes) -> int:
    """A secret key's 32 bytes as the number they stand for."""
    number = int.from_bytes(secret, "big")
    if len(secret) != 32 or not 0 < number < R:
        raise SecretKeyError("a secret key is not a number from 1 to the order of the curve")
    return number


def public_keys(secrets: t.Sequence[bytes], workers: int = 1) -> list[bytes]:
    """The compressed public keys (48 bytes each) of secret keys (32 bytes each)."""
    numbers = [secret_number(secret) for secret in secrets]
    width = 4 if len(numbers) < 100 else 7 if len(numbers) < 1000 else 10
    if workers < 2 or len(numbers) < 1000:
        return _derive(numbers, width)
    _table(width)  # before the fork, so that it is made once
    step = -(-len(numbers) // workers)
    shares = [(numbers[i : i + step], width) for i in range(0, len(numbers), step)]
    with multiprocessing.get_context("fork").Pool(len(shares)) as pool:
        return [key for keys in pool.map(_derive_share, shares, chunksize=1) for key in keys]


def public_key(secret: bytes) -> bytes:
    """The compressed public key of one secret key."""
    return public_keys([secret])[0]
