"""Addresses of the execution layer: the hash against known digests, the checksum against EIP-55's own examples."""

from __future__ import annotations

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _address

EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"The quick brown fox jumps over the lazy dog", "4d741b6f1eb29cb2a9b9911c82f56fa8"),
        # The selector of transfer(address,uint256), which every wallet has.
        (b"transfer(address,uint256)", "a9059cbb"),
    ],
)
def test_the_hash(data: bytes, digest: str) -> None:
    assert _address.keccak256(data).hex().startswith(digest)


def test_blocks_of_every_length_differ() -> None:
    assert len({_address.keccak256(b"a" * length) for length in range(300)}) == 300


@pytest.mark.parametrize("address", EIP_55)
def test_the_checksum(address: str) -> None:
    assert _address.with_checksum(address.lower()) == address
    assert not _address.is_mistyped(address)
    assert not _address.is_mistyped(address.lower())


@pytest.mark.parametrize("address", EIP_55[4:])
def test_one_letter_of_another_case_is_seen(address: str) -> None:
    for place, letter in enumerate(address):
        if place >= 2 and letter.isalpha():
            assert _address.is_mistyped(address[:place] + letter.swapcase() + address[place + 1 :])


@pytest.mark.parametrize("text", ["", "0x12", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x" + "g" * 40])
def test_what_is_no_address_is_not_called_mistyped(text: str) -> None:
    assert not _address.is_mistyped(text)
