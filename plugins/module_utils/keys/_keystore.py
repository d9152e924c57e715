# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""EIP-2335 keystores, version 4: read strictly, decrypt, encrypt."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import typing as t
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    parse_json,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._aes import aes128_ctr
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, from_bytes, normalise

#: A keystore is less than 1 KiB; whatever is much longer is something else.
KEYSTORE_LIMIT = 64 * 1024
#: Work and memory a file may ask of us: sixteen times what the standard's own defaults cost.
_MAX_ITERATIONS = 16 * 262144
_MAX_MEMORY = 1 << 30

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")


class KeystoreError(UnreadableError):
    """A file is not an EIP-2335 keystore that we can read."""


class WrongPasswordError(KeystoreError):
    """The password does not open the file: its checksum says so."""

    def __init__(self, place: str, oddity: str = "") -> None:
        more = f"; {oddity}, which may not be meant" if oddity else ""
        super().__init__(place, f"the password is wrong (the checksum does not match){more}")


class Kdf(t.NamedTuple):
    """How a password becomes a key, and what that costs."""

    function: str
    salt: bytes
    n: int = 0
    r: int = 0
    p: int = 0
    c: int = 0

    def memory(self) -> int:
        """Bytes needed while it runs."""
        return 128 * self.r * (self.n + self.p + 2) if self.function == "scrypt" else 0

    def derive(self, password: bytes) -> bytes:
        """32 bytes; other threads run meanwhile."""
        if self.function == "scrypt":
            return hashlib.scrypt(
                password, salt=self.salt, n=self.n, r=self.r, p=self.p, dklen=32, maxmem=self.memory() + (1 << 20)
            )
        return hashlib.pbkdf2_hmac("sha256", password, self.salt, self.c, 32)

    def as_dict(self) -> dict[str, t.Any]:
        """As it stands in a file."""
        params: dict[str, t.Any] = {"dklen": 32, "salt": self.salt.hex()}
        if self.function == "scrypt":
            params.update(n=self.n, r=self.r, p=self.p)
        else:
            params.update(c=self.c, prf="hmac-sha256")
        return {"function": self.function, "message": "", "params": params}


class Crypto(t.NamedTuple):
    """The encrypted part of a keystore or a wallet, taken apart and checked."""

    place: str
    kdf: Kdf
    checksum: bytes
    iv: bytes
    message: bytes

    def decrypt(self, *passwords: bytes) -> bytes:
        """The secret, by the first password that fits."""
        for password in dict.fromkeys(passwords):
            try:
                key = self.kdf.derive(password)
            except (ValueError, OverflowError, MemoryError) as exc:
                raise KeystoreError(self.place, f"its key derivation cannot be run here: {exc}") from exc
            if hmac.compare_digest(hashlib.sha256(key[16:] + self.message).digest(), self.checksum):
                return aes128_ctr(key[:16], self.iv, self.message)
        raise WrongPasswordError(self.place)


class Keystore(t.NamedTuple):
    """One EIP-2335 file. The standard lets the public key be left out: it is then empty until the file is opened."""

    place: str
    crypto: Crypto
    pubkey: str

    def open(self, password: str) -> bytes:
        """The secret key; an error unless the public key is really its own."""
        secret, derived = self._secret(password)
        if self.pubkey and derived != self.pubkey:
            raise KeystoreError(self.place, f"says it is {self.pubkey}, but its secret belongs to {derived}")
        return secret

    def named(self, password: str | None) -> Keystore:
        """The same with its public key, which needs the password where the file does not say it."""
        if self.pubkey:
            return self
        if password is None:
            raise KeystoreError(self.place, "has no pubkey field, and no password is given to derive its public key")
        return self._replace(pubkey=self._secret(password)[1])

    def _secret(self, password: str) -> tuple[bytes, str]:
        try:
            secret = self.crypto.decrypt(*spellings(password))
        except WrongPasswordError as exc:
            raise WrongPasswordError(self.place, _oddity(password)) from exc
        if len(secret) != 32:
            raise KeystoreError(self.place, f"holds {len(secret)} bytes instead of a 32-byte secret key")
        try:
            return secret, from_bytes(_bls.public_key(secret))
        except _bls.SecretKeyError as exc:
            raise KeystoreError(self.place, str(exc)) from exc


def password_bytes(password: str) -> bytes:
    """A password as EIP-2335 spells it: NFKD, without control characters."""
    decomposed = unicodedata.normalize("NFKD", password)
    return "".join(c for c in decomposed if not (c < " " or "\x7f" <= c <= "\x9f")).encode("utf-8")


def _password_bytes_of_prysm(password: str) -> bytes:
    """A password as Prysm's library spells it: of each character with its accents, only the first code point."""
    kept: list[str] = []
    for character in password:
        if unicodedata.combining(character) and kept:
            continue
        first = unicodedata.normalize("NFKD", character)[0]
        if not (first < " " or first == "\x7f"):
            kept.append(first)
    return "".join(kept).encode("utf-8")


def _oddity(password: str) -> str:
    """What a file or an editor may have done to a password, without the password."""
    if not password:
        return "it is empty"
    if "\n" in password:
        return "it has more than one line"
    return "it begins or ends with white space" if password != password.strip() else ""


def spellings(password: str) -> tuple[bytes, ...]:
    """What a password may have become in the file, the standard's way first."""
    if all(" " <= c <= "~" for c in password):
        return (password.encode("ascii"),)
    # The mark that Windows puts before the text of a file is hardly part of a password.
    texts = (password, password[1:]) if password.startswith(_MARK) else (password,)
    try:
        return tuple(dict.fromkeys(way(text) for text in texts for way in (password_bytes, _password_bytes_of_prysm)))
    except UnicodeEncodeError as exc:
        raise StakingError("a password is not valid text") from exc


#: What a field must be, in words.
_TYPES = {int: "a number", str: "a text in quotes", dict: "an object"}

_MARK = "\ufeff"
_UTF8 = _MARK.encode()
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def parse_document(data: bytes, place: str) -> t.Any:
    """A keystore's JSON; Windows puts a mark before UTF-8, which means nothing."""
    if data.startswith(_UTF16):
        raise KeystoreError(place, "is UTF-16 text; save it as UTF-8")
    return parse_json(data[len(_UTF8) :] if data.startswith(_UTF8) else data, place)


class _Reader:
    """Takes a JSON document apart; every complaint names the file and the field."""

    def __init__(self, place: str) -> None:
        self.place = place

    def fail(self, reason: str) -> t.NoReturn:
        raise KeystoreError(self.place, reason)

    def get(self, mapping: t.Any, path: str, kind: type) -> t.Any:
        value = mapping
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                other = [have for have in value if have.lower() == name] if isinstance(value, dict) else []
                hint = f" (it is spelt {other[0]!r:.60})" if other else ""
                self.fail(f"is not an EIP-2335 keystore: {path} is missing{hint}")
            value = value[name]
        if kind is int and isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
            value = int(value)  # JSON has one kind of number: 4.0 is 4
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(f"is not an EIP-2335 keystore: {path} has the wrong type (it must be {_TYPES[kind]})")
        return value

    def number(self, mapping: t.Any, path: str, low: int, high: int) -> int:
        value = t.cast(int, self.get(mapping, path, int))
        if not low <= value <= high:
            self.fail(f"{path} is {value if abs(value) < 1 << 64 else 'a huge number'}; {low} to {high} are accepted")
        return value

    def hexadecimal(self, mapping: t.Any, path: str, length: int | None = None) -> bytes:
        text = t.cast(str, self.get(mapping, path, str))
        if not _HEX.match(text):
            self.fail(f"{path} is not hexadecimal")
        if length is not None and len(text) != 2 * length:
            self.fail(f"{path} has {len(text) // 2} bytes instead of {length}")
        return bytes.fromhex(text)

    def one_of(self, mapping: t.Any, path: str, *known: str) -> str:
        value = t.cast(str, self.get(mapping, path, str))
        if value not in known:
            self.fail(f"{path} is {value[:40]!r}; only {' and '.join(known)} are known")
        return value


def parse_crypto(document: t.Any, place: str) -> Crypto:
    """The checked encrypted part of a document that has one."""
    read = _Reader(place)
    if read.number(document, "version", 0, 1 << 32) != 4:
        read.fail("is not version 4 of the keystore format")
    function = read.one_of(document, "crypto.kdf.function", "scrypt", "pbkdf2")
    params = "crypto.kdf.params."
    read.number(document, params + "dklen", 32, 32)
    salt = read.hexadecimal(document, params + "salt")
    if function == "scrypt":
        n = read.number(document, params + "n", 2, 1 << 22)
        if n & (n - 1):
            read.fail(f"{params}n is {n}, which is not a power of two")
        kdf = Kdf(
            function,
            salt,
            n=n,
            r=read.number(document, params + "r", 1, 64),
            p=read.number(document, params + "p", 1, 64),
        )
        if kdf.memory() > _MAX_MEMORY or kdf.n * kdf.r * kdf.p > 16 * 262144 * 8:
            read.fail("asks for more memory or time than any honest keystore")
    else:
        read.one_of(document, params + "prf", "hmac-sha256")
        kdf = Kdf(function, salt, c=read.number(document, params + "c", 1, _MAX_ITERATIONS))
    read.one_of(document, "crypto.checksum.function", "sha256")
    read.one_of(document, "crypto.cipher.function", "aes-128-ctr")
    return Crypto(
        place=place,
        kdf=kdf,
        checksum=read.hexadecimal(document, "crypto.checksum.message", 32),
        iv=read.hexadecimal(document, "crypto.cipher.params.iv", 16),
        message=read.hexadecimal(document, "crypto.cipher.message"),
    )


def parse_keystore(data: bytes, place: str) -> Keystore:
    """A keystore from its text; nothing is decrypted yet."""
    document = parse_document(data, place)
    crypto = parse_crypto(document, place)
    if len(crypto.message) > 64 and not document.get("pubkey"):
        raise KeystoreError(
            place,
            "is a wallet of Prysm, with all keys in one file: take keystores out of it (validator accounts backup)",
        )
    if len(crypto.message) != 32:
        raise KeystoreError(place, f"holds {len(crypto.message)} encrypted bytes instead of a 32-byte secret key")
    # A wallet of Prysm is told from a keystore by this field; EIP-2335 lets a keystore leave it out as well.
    stated = document.get("pubkey")
    try:
        pubkey = "" if stated is None or stated == "" else normalise(stated)
    except PubkeyError as exc:
        raise KeystoreError(place, f"its pubkey field: {exc}") from exc
    return Keystore(place, crypto, pubkey)


def is_keystore(document: t.Any) -> bool:
    """Whether a JSON document claims to be a keystore (and must then be a good one); Go reads names in any case."""
    return isinstance(document, dict) and any(
        name.lower() == "crypto" and isinstance(value, dict) for name, value in document.items()
    )


def _crypto(document: t.Any) -> dict[str, t.Any]:
    """The encrypted part of a document, however it spells the name; empty when it has none."""
    parts = [value for name, value in document.items() if name.lower() == "crypto"] if is_keystore(document) else []
    return next((part for part in parts if isinstance(part, dict)), {})


def is_sealed(document: t.Any) -> bool:
    """Whether a document is a keystore or a wallet, not any program's settings that have a field of that name."""
    inner = _crypto(document)
    return is_keystore(document) and (
        document.get("version") == 4 or any(isinstance(inner.get(part), dict) for part in ("checksum", "cipher", "kdf"))
    )


def is_execution_account(document: t.Any) -> bool:
    """Whether a document is an account of the execution layer: it has names where EIP-2335 has objects."""
    return not is_sealed(document) and isinstance(_crypto(document).get("cipher"), str)


def is_seed(document: t.Any) -> bool:
    """Whether a document is a seed that makes accounts, itself none: EIP-2386 (ethdo, Lighthouse), or Rocket Pool's."""
    cipher = _crypto(document).get("cipher")
    message = cipher.get("message") if isinstance(cipher, dict) else None
    if not isinstance(message, str) or "pubkey" in document:
        return False
    # A seed is 64 bytes at most; what Prysm signs with is longer, a key is shorter.
    if document.get("version") == 4:
        return len(message) == 128 and "next_account" in document
    return len(message) <= 128 and document.get("version") == 1 and "nextaccount" in document


def is_cache(document: t.Any) -> bool:
    """Whether a document is Lighthouse's cache of the keys that it has opened, which it can make anew."""
    return is_keystore(document) and isinstance(document.get("uuids"), list) and not {"version", "pubkey"} & {*document}


def is_of_another_version(document: t.Any) -> bool:
    """Whether a document says that it is sealed in another way: Nimbus' network key is (1), and geth's accounts (3)."""
    version = document.get("version") if is_keystore(document) else None
    if not isinstance(version, int) or isinstance(version, bool) or version == 4:
        return False
    try:
        normalise(document.get("pubkey"))
    except PubkeyError:
        return True
    return False  # With a validator's key it is a keystore all the same, of a draft of EIP-2335 or of what comes after.


def looks_sealed(data: bytes) -> bool:
    """Whether text that cannot be taken apart may be a keystore or a wallet all the same: cut off, or damaged."""
    text = data.replace(b"\0", b"").lower()
    if b'"crypto"' not in text or (b'"ciphertext"' in text and b'"checksum"' not in text):
        return False
    return any(name in text for name in (b'"checksum"', b'"cipher"', b'"kdf"'))


def new_kdf(function: str = "pbkdf2", cost: int = 262144) -> Kdf:
    """What new files use; the cost is c or n."""
    salt = os.urandom(32)
    return Kdf("scrypt", salt, n=cost, r=8, p=1) if function == "scrypt" else Kdf("pbkdf2", salt, c=cost)


def encrypt(secret: bytes, password: bytes, kdf: Kdf) -> dict[str, t.Any]:
    """The crypto part of a new file."""
    key = kdf.derive(password)
    iv = os.urandom(16)
    message = aes128_ctr(key[:16], iv, secret)
    return {
        "checksum": {
            "function": "sha256",
            "message": hashlib.sha256(key[16:] + message).hexdigest(),
            "params": {},
        },
        "cipher": {"function": "aes-128-ctr", "message": message.hex(), "params": {"iv": iv.hex()}},
        "kdf": kdf.as_dict(),
    }


def _available_memory() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 1 << 30


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def workers_for(kdfs: t.Iterable[Kdf]) -> int:
    """How many derivations to run side by side: every core, as far as memory goes."""
    need = max((kdf.memory() for kdf in kdfs), default=0)
    return max(1, min(cores(), _available_memory() * 3 // 4 // need if need else cores()))


_T = t.TypeVar("_T")
_S = t.TypeVar("_S")


def parallel(work: t.Callable[[_T], _S], items: t.Sequence[_T], workers: int) -> list[_S]:
    """The results in order; the first failure, in order, is the one that is raised. hashlib releases the lock."""
    if workers < 2 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
