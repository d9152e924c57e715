from __future__ import annotations

import base64
import json
import typing as t
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _keystore, _wallet
from tests.unit.plugins.keys_support import (
    FIXTURE_KEYS,
    FIXTURES,
    PUBKEYS,
    SECRETS,
    VERSIONS,
    WALLET_PASSWORD,
    flipped,
    heavy,
)

KEYS = [_wallet.Key(pubkey, secret) for pubkey, secret in zip(PUBKEYS, SECRETS, strict=True)]


def wallet(content: t.Any, **outer: t.Any) -> bytes:
    """A wallet file of any content."""
    plain = content if isinstance(content, bytes) else json.dumps(content).encode()
    crypto = _keystore.encrypt(plain, WALLET_PASSWORD.encode(), _keystore.new_kdf("pbkdf2", 2))
    return json.dumps({"crypto": crypto, "uuid": "x", "version": 4, "name": "keystore", **outer}).encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_reads_what_real_prysm_wrote(version: str) -> None:
    found = _wallet.find(str(FIXTURES / "prysm" / version / "wallet"))
    keys = _wallet.parse(found.read(), found.path, WALLET_PASSWORD)
    _wallet.check_pairs(keys, found.path)
    assert {key.pubkey: key.secret for key in keys} == dict(FIXTURE_KEYS)


def test_writes_what_real_prysm_writes() -> None:
    """The same fields, in the same places, of the same types and lengths: only the random parts differ."""

    def shape(value: t.Any) -> t.Any:
        if isinstance(value, dict):
            return {name: shape(inner) for name, inner in value.items()}
        return len(value) if isinstance(value, str) else value

    real = (FIXTURES / "prysm/v7.1.6/wallet/direct/accounts/all-accounts.keystore.json").read_bytes()
    keys = [_wallet.Key(pubkey, secret) for pubkey, secret in FIXTURE_KEYS]
    ours = _wallet.render(keys, WALLET_PASSWORD)
    assert shape(json.loads(ours)) == shape(json.loads(real))
    assert list(json.loads(ours)) == list(json.loads(real))


@settings(max_examples=200 if heavy() else 30, deadline=None)
@given(chosen=st.lists(st.sampled_from(KEYS), unique=True), password=st.text("abC1!~ ", min_size=1, max_size=20))
def test_what_is_written_is_read_back_in_order(chosen: list[_wallet.Key], password: str) -> None:
    data = _wallet.render(chosen, password, cost=2)
    assert _wallet.parse(data, "w", password) == chosen
    with pytest.raises(_keystore.WrongPasswordError, match=r"^w: the password is wrong"):
        _wallet.parse(data, "w", password + "x")


@pytest.mark.parametrize("empty", [None, []])
def test_an_empty_wallet_is_a_wallet(empty: t.Any) -> None:
    assert _wallet.parse(wallet({"private_keys": empty, "public_keys": empty}), "w", WALLET_PASSWORD) == []


def test_opens_what_another_program_wrote(tmp_path: Path) -> None:
    """The same content, in another dress: capitals, other spacing and order, more fields, another derivation."""
    keys = KEYS[:3]
    plain = json.dumps(
        {
            "extra": {"anything": 1},
            "public_keys": [base64.b64encode(bytes.fromhex(key.pubkey[2:])).decode() for key in keys],
            "private_keys": [base64.b64encode(key.secret).decode() for key in keys],
        },
        separators=(",", ":"),
    )
    for kdf in (_keystore.new_kdf("scrypt", 16), _keystore.new_kdf("pbkdf2", 3)):
        crypto = _keystore.encrypt(plain.encode(), WALLET_PASSWORD.encode(), kdf)
        crypto["cipher"]["message"] = crypto["cipher"]["message"].upper()
        crypto["checksum"]["message"] = crypto["checksum"]["message"].upper()
        crypto["kdf"]["params"]["salt"] = crypto["kdf"]["params"]["salt"].upper()
        document = {"version": 4, "more": [None, 1.5e3], "disabled_public_keys": None, "uuid": None, "crypto": crypto}
        text = json.dumps(document, indent=3).replace("\n", "\r\n")
        assert _wallet.parse(f"\r\n {text}\r\n".encode(), "w", WALLET_PASSWORD) == keys


GOOD = {
    "private_keys": ["b3M1x80nwISQM2R5UkPzg4AZ/xL3hCRCxQsQgMlb8iE="],
    "public_keys": ["oEXREK79hWaMGCbuYVu1lpFlfolRMntDhv5DG5h29rtRMGtOio3MrnFD5JnnjRldCg=="],
}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(wallet(b"\xff"), "content is not JSON", id="not-text"),
        pytest.param(wallet(b'{"private_keys":[],"private_keys":[]}'), "content is not JSON", id="twice"),
        pytest.param(wallet([]), "no lists of keys", id="list"),
        pytest.param(wallet({"private_keys": []}), "no lists of keys", id="one-list"),
        pytest.param(wallet({"private_keys": [], "public_keys": "x"}), "do not belong together", id="no-list"),
        *(
            pytest.param(wallet(content), "do not belong together", id=f"{where}-{value!r}")
            for value in ({}, 0, "", False, 0.0)
            for where, content in (
                ("secrets", {"private_keys": value, "public_keys": None}),
                ("publics", {"private_keys": [], "public_keys": value}),
                ("both", {"private_keys": value, "public_keys": value}),
            )
        ),
        pytest.param(wallet({**GOOD, "public_keys": []}), "do not belong together", id="other-lengths"),
        pytest.param(wallet(GOOD), "public key that is not 48 bytes", id="long-key"),
        pytest.param(wallet({**GOOD, "public_keys": ["€"]}), "not 48 bytes in base64", id="no-base64"),
        pytest.param(wallet({**GOOD, "public_keys": [5]}), "not 48 bytes in base64", id="number"),
        pytest.param(
            wallet({"private_keys": [], "public_keys": []}, disabled_public_keys=["a045"]),
            "they would come alive",
            id="disabled-keys",
        ),
        pytest.param(wallet({}, disabled_public_keys=5), "they would come alive", id="disabled-number"),
        pytest.param(wallet({}, version=3), "not version 4", id="version"),
        pytest.param(b"", "is not JSON", id="empty"),
    ],
)
def test_says_what_is_wrong_and_where_and_nothing_of_the_content(data: bytes, reason: str) -> None:
    with pytest.raises(StakingError) as refused:
        _wallet.parse(data, "the/wallet", WALLET_PASSWORD)
    assert str(refused.value).startswith("the/wallet: ")
    assert reason in str(refused.value)
    assert GOOD["private_keys"][0] not in str(refused.value)


@pytest.mark.parametrize(
    "keys", [[KEYS[0], KEYS[0]], [KEYS[0], KEYS[1]._replace(secret=SECRETS[0])]], ids=["key", "secret"]
)
def test_a_key_twice_is_refused(keys: list[_wallet.Key]) -> None:
    with pytest.raises(_wallet.WalletError, match="holds a key more than once"):
        _wallet.parse(_wallet.render(keys, WALLET_PASSWORD, 2), "w", WALLET_PASSWORD)


def test_a_secret_under_another_keys_name_is_found() -> None:
    wrong = [KEYS[0], _wallet.Key(PUBKEYS[1], SECRETS[2])]
    with pytest.raises(_wallet.WalletError, match=f"under {PUBKEYS[1]} that belongs to {PUBKEYS[2]}"):
        _wallet.check_pairs(wrong, "w")


def test_a_key_never_prints_its_secret() -> None:
    assert SECRETS[0].hex() not in repr(KEYS[0]) and repr(SECRETS[0]) not in repr(KEYS)


DAMAGED = _wallet.render(KEYS[:2], WALLET_PASSWORD, 2)


@settings(max_examples=2000 if heavy() else 150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 3000))
def test_damage_is_an_error_or_changes_nothing(changes: list[tuple[int, int]], cut: int) -> None:
    damaged = flipped(DAMAGED, changes)
    if cut % 2:
        damaged = damaged[:cut]
    try:
        assert _wallet.parse(damaged, "w", WALLET_PASSWORD) == KEYS[:2]
    except StakingError as exc:
        assert str(exc).startswith("w: ")


def test_finds_a_wallet_where_prysm_looks(tmp_path: Path) -> None:
    assert _wallet.find(str(tmp_path / "missing")).exists is False
    (tmp_path / "lost+found").mkdir()
    assert _wallet.find(str(tmp_path)).kind == "direct"
    accounts = tmp_path / "derived" / "accounts"
    accounts.mkdir(parents=True)
    assert _wallet.find(str(tmp_path)) == (str(tmp_path), "derived", False)
    (accounts / _wallet.FILE).write_bytes(DAMAGED)
    assert _wallet.find(str(tmp_path)) == (str(tmp_path), "derived", True)
    (tmp_path / "direct").mkdir()
    with pytest.raises(_wallet.WalletError, match="two wallets"):
        _wallet.find(str(tmp_path))


@pytest.mark.parametrize("kind", ["imported", "local"])
def test_a_wallet_where_prysm_never_looks_is_refused(tmp_path: Path, kind: str) -> None:
    """Seen with v7.1.6: it lists no key, makes `direct` beside it, and from then on finds no wallet at all."""
    accounts = tmp_path / kind / "accounts"
    accounts.mkdir(parents=True)
    (accounts / _wallet.FILE).write_bytes(DAMAGED)
    with pytest.raises(_wallet.WalletError, match=f"rename {kind} to direct"):
        _wallet.find(str(tmp_path))
    with pytest.raises(_wallet.WalletError, match=f"rename {kind} to direct"):
        _wallet.Store(str(tmp_path))
    (tmp_path / kind).rename(tmp_path / "direct")
    assert _wallet.find(str(tmp_path)) == (str(tmp_path), "direct", True)


def test_refuses_wallets_it_cannot_read_or_must_not_write(tmp_path: Path) -> None:
    (tmp_path / "a" / "remote").mkdir(parents=True)
    (tmp_path / "b" / "derived" / "accounts").mkdir(parents=True)
    with pytest.raises(_wallet.WalletError, match="remote signer"):
        _wallet.find(str(tmp_path / "a"))
    with pytest.raises(_wallet.WalletError, match="only be imported into a direct one"):
        _wallet.Store(str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("Ab1!", "at least 8 characters"),
        ("12345678!", "a letter"),
        ("abcdefgh!", "a digit"),
        ("abcdefg1", "neither letter nor digit"),
        ("abcdef 1", "neither letter nor digit"),
        ("", "empty"),
        ("Pässwort1!", "outside printable ASCII"),
        ("Password1!\n", "outside printable ASCII"),
    ],
)
def test_a_new_wallet_password_must_do_for_every_prysm(password: str, reason: str) -> None:
    with pytest.raises(StakingError, match=reason) as refused:
        _wallet.check_new_password(password)
    assert not password or password not in str(refused.value)
