from __future__ import annotations

import copy
import json
import os
import typing as t
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    read_file,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _keystore
from tests.unit.plugins.keys_support import (
    FIXTURE_KEYS,
    FIXTURES,
    KEYSTORE_PASSWORD,
    PUBKEYS,
    SECRETS,
    flipped,
    heavy,
    keystore,
)

# The two examples in the text of EIP-2335.
SALT = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
VECTOR_PASSWORD = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑"  # noqa: RUF001 - the alphabet is the point
VECTOR_SECRET = bytes.fromhex("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")
VECTOR_PUBKEY = "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07"


def vector(kdf: dict[str, t.Any], checksum: str, message: str) -> dict[str, t.Any]:
    return {
        "crypto": {
            "kdf": kdf,
            "checksum": {"function": "sha256", "params": {}, "message": checksum},
            "cipher": {
                "function": "aes-128-ctr",
                "params": {"iv": "264daa3f303d7259501c93d997d84fe6"},
                "message": message,
            },
        },
        "pubkey": VECTOR_PUBKEY,
        "path": "",
        "uuid": "1d85ae20-35c5-4611-98e8-aa14a633906f",
        "version": 4,
    }


VECTORS = [
    pytest.param(
        vector(
            {
                "function": "scrypt",
                "params": {"dklen": 32, "n": 262144, "p": 1, "r": 8, "salt": SALT},
                "message": "",
            },
            "d2217fe5f3e9a1e34581ef8a78f7c9928e436d36dacc5e846690a5581e8ea484",
            "06ae90d55fe0a6e9c5c3bc5b170827b2e5cce3929ed3f116c2811e6366dfe20f",
        ),
        id="scrypt",
    ),
    pytest.param(
        vector(
            {
                "function": "pbkdf2",
                "params": {"dklen": 32, "c": 262144, "prf": "hmac-sha256", "salt": SALT},
                "message": "",
            },
            "8a9f5d9912ed7e75ea794bc5a89bca5f193721d30868ade6f73043c6ea6febf1",
            "cee03fde2af33149775b7223e7845e4fb2c8ae1792e5f99fe9ecf474cc8c16ad",
        ),
        id="pbkdf2",
    ),
]


def parse(document: t.Any) -> _keystore.Keystore:
    return _keystore.parse_keystore(json.dumps(document).encode(), "k.json")


@pytest.mark.parametrize("document", VECTORS)
def test_opens_the_standards_own_examples(document: dict[str, t.Any]) -> None:
    assert parse(document).open(VECTOR_PASSWORD) == VECTOR_SECRET


def test_spells_the_standards_password_as_it_says() -> None:
    assert _keystore.password_bytes(VECTOR_PASSWORD).hex() == "7465737470617373776f7264f09f9491"


@pytest.mark.parametrize("path", sorted((FIXTURES / "prysm/keystores").iterdir()), ids=lambda path: path.name[-15:])
def test_opens_keystores_of_another_library(path: Path) -> None:
    opened = _keystore.parse_keystore(path.read_bytes(), str(path))
    assert (opened.pubkey, opened.open(KEYSTORE_PASSWORD)) in FIXTURE_KEYS


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("plain", [b"plain"], id="ascii"),
        pytest.param("a\x00b\x1fc\x7fd\x80e\x9ff\n", [b"abcdef", b"abcd\xc2\x80e\xc2\x9ff"], id="control-characters"),
        pytest.param("päss", [b"pa\xcc\x88ss", b"pass"], id="accent"),
        pytest.param("pa\u0308ss", [b"pa\xcc\x88ss", b"pass"], id="accent-apart"),
        pytest.param("é", [b"e\xcc\x81", b"e"], id="only-accent"),
        pytest.param("ab c", [b"ab c"], id="space-stays"),
    ],
)
def test_tries_the_standards_spelling_and_then_prysms(typed: str, expected: list[bytes]) -> None:
    assert list(_keystore.spellings(typed)) == expected


def test_opens_what_prysms_library_made_of_an_accented_password() -> None:
    document = keystore(0, "pass")
    assert parse(document).open("päss") == SECRETS[0]


def test_a_wrong_password_is_named_as_that() -> None:
    with pytest.raises(_keystore.WrongPasswordError, match=r"^k\.json: the password is wrong"):
        parse(keystore(0)).open("something else")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (f"{KEYSTORE_PASSWORD} ", "it begins or ends with white space"),
        (f"\t{KEYSTORE_PASSWORD}x", "it begins or ends with white space"),
        (f"{KEYSTORE_PASSWORD}\nand more", "it has more than one line"),
        ("", "it is empty"),
        ("hunter2-hunter2", "does not match)"),
    ],
)
def test_what_an_editor_may_have_done_to_a_password_is_named(typed: str, words: str) -> None:
    with pytest.raises(_keystore.WrongPasswordError) as refused:
        parse(keystore(1)).open(typed)
    assert words in str(refused.value)
    assert KEYSTORE_PASSWORD not in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_a_password() -> None:
    assert parse(keystore(1)).open(f"\ufeff{KEYSTORE_PASSWORD}") == SECRETS[1]


@pytest.mark.parametrize("number", [0, 1])
def test_refuses_a_keystore_under_another_keys_name(number: int) -> None:
    document = keystore(number, pubkey=PUBKEYS[3][2:])
    with pytest.raises(_keystore.KeystoreError, match=f"its secret belongs to {PUBKEYS[number]}"):
        parse(document).open(KEYSTORE_PASSWORD)


def test_a_keystore_need_not_say_its_public_key() -> None:
    """EIP-2335 leaves the field to the writer; the secret says whose it is."""
    for stated in (..., None, ""):
        nameless = parse(change(keystore(0), "pubkey", stated))
        assert nameless.pubkey == "" and nameless.open(KEYSTORE_PASSWORD) == SECRETS[0]
        assert nameless.named(KEYSTORE_PASSWORD).pubkey == PUBKEYS[0]
        with pytest.raises(_keystore.KeystoreError, match="has no pubkey field, and no password is given"):
            nameless.named(None)
        with pytest.raises(_keystore.WrongPasswordError):
            nameless.named("something else")


@pytest.mark.parametrize(
    "dress",
    [
        pytest.param(lambda text: "\ufeff" + text, id="mark-of-windows"),
        pytest.param(lambda text: text.replace('"version": 4', '"version": 4.0'), id="4.0"),
        pytest.param(lambda text: text.replace('"dklen": 32', '"dklen": 3.2e1'), id="3.2e1"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="line-ends"),
        pytest.param(lambda text: text.replace(PUBKEYS[0][2:], PUBKEYS[0].upper()), id="capitals"),
    ],
)
def test_takes_what_the_standard_takes(dress: t.Callable[[str], str]) -> None:
    text = dress(json.dumps(keystore(0), indent=1))
    assert _keystore.parse_keystore(text.encode("utf-8"), "k.json").open(KEYSTORE_PASSWORD) == SECRETS[0]


def test_a_field_in_capitals_is_named() -> None:
    document = keystore(0)
    document["Crypto"] = document.pop("crypto")
    with pytest.raises(UnreadableError, match=r"crypto.kdf.function is missing \(it is spelt 'Crypto'\)"):
        parse(document)


def change(document: dict[str, t.Any], path: str, value: t.Any) -> dict[str, t.Any]:
    changed = copy.deepcopy(document)
    *parents, last = path.split(".")
    inner = changed
    for name in parents:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("version", 3, "not version 4"),
        ("version", "4", "version has the wrong type"),
        ("version", True, "version has the wrong type"),
        ("version", ..., "version is missing"),
        ("crypto", ..., "crypto.kdf.function is missing"),
        ("crypto", [], "crypto.kdf.function is missing"),
        ("crypto.kdf.function", "argon2", "only scrypt and pbkdf2 are known"),
        ("crypto.kdf.params.dklen", 31, "dklen is 31"),
        ("crypto.kdf.params.salt", "xyz", "salt is not hexadecimal"),
        ("crypto.kdf.params.salt", "abc", "salt is not hexadecimal"),
        ("crypto.kdf.params.c", 0, "c is 0"),
        ("crypto.kdf.params.c", 1 << 40, "are accepted"),
        ("crypto.kdf.params.c", 1 << 100, "c is a huge number"),
        ("crypto.kdf.params.c", "2", "wrong type"),
        ("crypto.kdf.params.prf", "hmac-sha1", "only hmac-sha256"),
        ("crypto.checksum.function", "md5", "only sha256"),
        ("crypto.checksum.message", "00", "has 1 bytes instead of 32"),
        ("crypto.cipher.function", "aes-256-gcm", "only aes-128-ctr"),
        ("crypto.cipher.params.iv", "00", "has 1 bytes instead of 16"),
        ("crypto.cipher.message", "00" * 31, "holds 31 encrypted bytes"),
        ("pubkey", "12", "not a 48-byte"),
        ("pubkey", 12, "not a 48-byte"),
    ],
)
def test_says_what_is_wrong_and_where(path: str, value: t.Any, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        parse(change(keystore(0), path, value))
    assert str(refused.value).startswith("k.json: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" + ",".join(f'"{i}":1' for i in range(3)) + "]", "is not JSON"),
        (
            "{" + ",".join(f'"{i}":1' for i in range(300_000)) + ',"299999":2}',
            "the name '299999' occurs more than once",
        ),
        ('{"a":' + "7" * 1_000_000 + "}", "a number of 1000000 digits"),
        ('{"a":-' + "7" * 1_000_000 + "}", "a number of 1000001 digits"),
    ],
    ids=["no-object", "many-names", "long-number", "long-negative"],
)
def test_no_text_keeps_the_reader_busy_for_ever(text: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        _keystore.parse_keystore(text.encode(), "k.json")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"n": 3}, "not a power of two"),
        ({"n": 1 << 30}, "are accepted"),
        ({"n": 1 << 22, "r": 64}, "more memory or time"),
        ({"n": 1 << 20, "p": 64}, "more memory or time"),
        ({"r": 0}, "r is 0"),
        ({"p": 0}, "p is 0"),
    ],
)
def test_a_keystore_cannot_make_us_work_for_ever(params: dict[str, int], reason: str) -> None:
    document = keystore(1)
    document["crypto"]["kdf"]["params"].update(params)
    with pytest.raises(_keystore.KeystoreError, match=reason):
        parse(document)


def test_a_derivation_that_cannot_be_run_is_an_error_of_the_file() -> None:
    document = keystore(1)
    document["crypto"]["kdf"]["params"].update(n=1 << 17, r=1)  # scrypt allows n only below 2^(16 r)
    with pytest.raises(_keystore.KeystoreError, match=r"k\.json: its key derivation cannot be run"):
        parse(document).open(KEYSTORE_PASSWORD)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"version":4,"version":4}',
        b"[" * 100_000,
        b'{"version":NaN}',
        b"7" * 5000,
    ],
    ids=["empty", "cut", "list", "null", "not-text", "twice", "deep", "nan", "long-number"],
)
def test_anything_else_is_one_clear_error(text: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"^k\.json: "):
        _keystore.parse_keystore(text, "k.json")


@settings(max_examples=2000 if heavy() else 150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 2000))
def test_damage_is_an_error_or_changes_nothing(changes: list[tuple[int, int]], cut: int) -> None:
    whole = json.dumps(DAMAGED).encode()
    damaged = flipped(whole, changes)
    if cut < len(whole):
        damaged = damaged[:cut] if cut % 3 == 0 else damaged
    try:
        assert _keystore.parse_keystore(damaged, "k.json").open(KEYSTORE_PASSWORD) == SECRETS[2]
    except StakingError as exc:
        assert str(exc).startswith("k.json: ")


DAMAGED = keystore(2)


def test_never_waits_for_a_pipe_or_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "missing"):
        with pytest.raises(UnreadableError, match=str(path)):
            read_file(str(path), 100)


def test_the_first_failure_of_many_is_raised() -> None:
    def work(number: int) -> int:
        if number in (3, 5):
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="3"):
        _keystore.parallel(work, range(8), 4)
    assert _keystore.parallel(work, [7, 6], 4) == [7, 6]


def test_memory_bounds_how_many_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_keystore, "cores", lambda: 64)
    monkeypatch.setattr(_keystore, "_available_memory", lambda: 1 << 30)
    assert _keystore.workers_for([_keystore.new_kdf("scrypt", 262144)]) == 2
    assert _keystore.workers_for([_keystore.new_kdf("scrypt", 1 << 22)]) == 1
    assert _keystore.workers_for([_keystore.new_kdf("pbkdf2")]) == 64
