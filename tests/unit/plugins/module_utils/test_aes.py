from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _aes


def test_the_plain_way_knows_the_standards_own_example() -> None:
    keys = _aes._expand(bytes(range(16)))
    assert _aes._encrypt_block(keys, bytes.fromhex("00112233445566778899aabbccddeeff")) == bytes.fromhex(
        "69c4e0d86a7b0430d8cdb78070b4c55a"
    )


@given(key=st.binary(min_size=16, max_size=16), iv=st.binary(min_size=16, max_size=16), data=st.binary(max_size=70))
def test_both_ways_agree_with_the_library(key: bytes, iv: bytes, data: bytes) -> None:
    expected = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)
    assert _aes.aes128_ctr_plain(key, iv, data) == expected
    assert _aes.aes128_ctr(key, iv, data) == expected


def test_the_counter_wraps_around() -> None:
    key, data = b"k" * 16, bytes(48)
    expected = Cipher(algorithms.AES(key), modes.CTR(b"\xff" * 16)).encryptor().update(data)
    assert _aes.aes128_ctr_plain(key, b"\xff" * 16, data) == expected


def test_works_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = _aes.aes128_ctr(b"k" * 16, b"i" * 16, b"secret")
    monkeypatch.setattr(_aes, "HAS_CRYPTOGRAPHY", False)
    assert _aes.aes128_ctr(b"k" * 16, b"i" * 16, b"secret") == with_it


@pytest.mark.parametrize(("key", "iv"), [(b"short", b"i" * 16), (b"k" * 16, b"short"), (b"k" * 32, b"i" * 16)])
def test_refuses_other_sizes(key: bytes, iv: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes each"):
        _aes.aes128_ctr(key, iv, b"")
