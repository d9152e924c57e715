# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""AES-128 in counter mode, by the system's cryptography package, and without it where it is not installed yet.

The second way is slow; it exists so that check mode tells the truth on a machine that has no packages yet.
"""

from __future__ import annotations

try:
    from cryptography.hazmat.backends import default_backend
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False


def aes128_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt (in counter mode they are the same)."""
    if len(key) != 16 or len(iv) != 16:
        raise ValueError("AES-128-CTR takes a key and an initial counter of 16 bytes each")
    if HAS_CRYPTOGRAPHY:
        # Old releases of the package want the backend said; new ones ignore it.
        encryptor = Cipher(algorithms.AES(key), modes.CTR(iv), backend=default_backend()).encryptor()
        return encryptor.update(data) + encryptor.finalize()
    return aes128_ctr_plain(key, iv, data)


def _times_x(byte: int) -> int:
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def _make_sbox() -> bytes:
    """The substitution table of FIPS 197: the inverse in GF(2^8), then the affine map."""
    sbox = bytearray(256)
    p = q = 1
    while True:
        p ^= _times_x(p)  # times 3
        q ^= q << 1  # divided by 3
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotated = q | q << 8
        sbox[p] = (q ^ rotated >> 7 ^ rotated >> 6 ^ rotated >> 5 ^ rotated >> 4 ^ 0x63) & 0xFF
        if p == 1:
            break
    sbox[0] = 0x63
    return bytes(sbox)


_SBOX = _make_sbox()
_SHIFTED = [0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11]


def _expand(key: bytes) -> list[bytes]:
    words = [key[i : i + 4] for i in range(0, 16, 4)]
    constant = 1
    for i in range(4, 44):
        word = words[-1]
        if i % 4 == 0:
            word = (word[1:] + word[:1]).translate(_SBOX)
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _times_x(constant)
        words.append(bytes(a ^ b for a, b in zip(words[-4], word)))
    return [b"".join(words[i : i + 4]) for i in range(0, 44, 4)]


def _encrypt_block(keys: list[bytes], block: bytes) -> bytes:
    state = bytes(a ^ b for a, b in zip(block, keys[0]))
    for number, key in enumerate(keys[1:], 1):
        substituted = state.translate(_SBOX)
        state = bytes(substituted[i] for i in _SHIFTED)
        if number < 10:
            mixed = bytearray(16)
            for column in range(0, 16, 4):
                four = state[column : column + 4]
                whole = four[0] ^ four[1] ^ four[2] ^ four[3]
                for i in range(4):
                    mixed[column + i] = four[i] ^ whole ^ _times_x(four[i] ^ four[(i + 1) % 4])
            state = bytes(mixed)
        state = bytes(a ^ b for a, b in zip(state, key))
    return state


def aes128_ctr_plain(key: bytes, iv: bytes, data: bytes) -> bytes:
    """The same in plain Python."""
    keys = _expand(key)
    counter = int.from_bytes(iv, "big")
    stream = bytearray()
    for block in range(-(-len(data) // 16)):
        stream += _encrypt_block(keys, ((counter + block) % (1 << 128)).to_bytes(16, "big"))
    return bytes(a ^ b for a, b in zip(data, stream))
