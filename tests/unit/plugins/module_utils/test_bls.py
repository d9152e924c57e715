from __future__ import annotations

import functools
import random
import sys
import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls
from tests.unit.plugins.keys_support import FIXTURE_KEYS, heavy

EDGES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 127, 128, 129, 255, 256, 511, 512, 513, 2**64, 2**254, _bls.R // 2, _bls.R - 1]


@functools.cache
def library() -> t.Any:
    """The library that this is held against; imported where it is used, because that takes a second."""
    # It raises the limit so far that deep JSON would crash the interpreter in other tests.
    limit = sys.getrecursionlimit()
    from py_ecc.bls import G2ProofOfPossession

    sys.setrecursionlimit(limit)
    return G2ProofOfPossession


def as_bytes(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize("number", EDGES)
def test_agrees_with_a_library_at_the_edges(number: int) -> None:
    assert _bls.public_key(as_bytes(number)) == library().SkToPk(number)


@pytest.mark.parametrize("width", [2, 3, 4, 7, 8])
def test_every_width_of_the_table_gives_the_same(width: int) -> None:
    assert _bls._derive(EDGES, width) == [_bls.public_key(as_bytes(number)) for number in EDGES]


def test_agrees_with_a_library_on_random_secrets() -> None:
    source = random.Random(2335)
    numbers = [source.randrange(1, _bls.R) for _ in range(10_000 if heavy() else 20)]
    assert _bls.public_keys([as_bytes(n) for n in numbers], 2) == [library().SkToPk(n) for n in numbers]


def test_many_keys_on_several_cores_come_in_order() -> None:
    secrets = [as_bytes(number) for number in range(1, 1102)]
    assert _bls.public_keys(secrets, 3) == _bls._derive(list(range(1, 1102)), 5)


def test_agrees_with_real_keys() -> None:
    assert [("0x" + _bls.public_key(secret).hex(), secret) for _key, secret in FIXTURE_KEYS] == FIXTURE_KEYS


@pytest.mark.parametrize("secret", [bytes(32), as_bytes(_bls.R), b"\xff" * 32, b"\x01", b""])
def test_refuses_what_is_no_secret_key(secret: bytes) -> None:
    with pytest.raises(_bls.SecretKeyError, match="not a number from 1 to the order"):
        _bls.public_keys([as_bytes(5), secret])
