# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Prysm's wallet on disk: ``<wallet>/direct/accounts/all-accounts.keystore.json``, the same from v1.0 to today.

A change is all or nothing: the new file is written beside the old one, brought to disk, opened and compared, and only
then renamed over it; the old one stays under another name until the new one has been opened under its own.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import stat
import typing as t
import uuid

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    fsync_directory,
    is_there,
    open_directory,
    parse_json,
    read_file,
    reason_of,
    remove_if_there,
    replace_file,
    write_new,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import from_bytes

FILE = "all-accounts.keystore.json"
PREVIOUS = f".{FILE}.previous"
TEMPORARY = f".{FILE}.tmp"
#: About 230 bytes a key: room for a quarter of a million keys.
WALLET_LIMIT = 64 << 20

#: Directories that make a directory a wallet. Prysm from v2.1 on takes the last two for names of the first, but then
#: opens the first all the same.
KINDS = ("direct", "derived", "remote", "imported", "local")


class WalletError(UnreadableError):
    """A wallet is not what Prysm would open."""


class Key(t.NamedTuple):
    """One key of a wallet. Never printed: the secret is kept out of its text."""

    pubkey: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.pubkey})"


class Found(t.NamedTuple):
    """Where a wallet's file is, or would be."""

    wallet_dir: str
    kind: str
    exists: bool

    @property
    def path(self) -> str:
        return os.path.join(self.wallet_dir, self.kind, "accounts", FILE)

    def read(self) -> bytes:
        """The file's bytes."""
        return read_file(self.path, WALLET_LIMIT)


def find(wallet_dir: str) -> Found:
    """Where Prysm would look for the accounts of a wallet directory."""
    try:
        kinds = [kind for kind in KINDS if is_there(os.path.join(wallet_dir, kind))]
        if kinds:
            os.listdir(wallet_dir)
    except OSError as exc:
        raise WalletError(wallet_dir, reason_of(exc)) from exc
    if len(kinds) > 1:
        raise WalletError(wallet_dir, f"holds two wallets ({' and '.join(kinds)}); Prysm opens neither")
    if not kinds:
        return Found(wallet_dir, "direct", False)
    if kinds == ["remote"]:
        raise WalletError(wallet_dir, "is the wallet of a remote signer; which keys it signs for cannot be read here")
    if kinds[0] in ("imported", "local"):
        raise WalletError(
            wallet_dir,
            f"has its keys in {kinds[0]}, where Prysm never looks: it makes an empty direct beside it and opens that;"
            f" rename {kinds[0]} to direct while no client uses it",
        )
    found = Found(wallet_dir, kinds[0], True)
    if not is_there(found.path):
        return found._replace(exists=False)
    return found


def check_new_password(password: str) -> None:
    """The rules of both of Prysm's eras for the password of a new wallet.

    Up to v2.0.2 Prysm also judges how easy it is to guess, but only where it makes the wallet itself: it opens ours.
    """
    check_password(password)
    missing = [
        what
        for what, there in (
            ("at least 8 characters", len(password) >= 8),
            ("a letter", any(c.isalpha() for c in password)),
            ("a digit", any(c.isdigit() for c in password)),
            ("a sign that is neither letter nor digit", any(not c.isalnum() and c != " " for c in password)),
        )
        if not there
    ]
    if missing:
        raise StakingError(f"the password for a new wallet needs {', '.join(missing)}: older versions of Prysm insist")


def check_password(password: str) -> None:
    """What any wallet's password must be to mean the same to every version of Prysm."""
    if not password:
        raise StakingError("the wallet password is empty")
    if any(not " " <= c <= "~" for c in password):
        raise StakingError(
            "the wallet password holds a character outside printable ASCII; Prysm normalises those in a way of its own"
            " and may not open the wallet"
        )


def _decode(text: t.Any, length: int, place: str, what: str) -> bytes:
    if isinstance(text, str):
        try:
            raw = base64.b64decode(text.encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raw = b""
        if len(raw) == length:
            return raw
    raise WalletError(place, f"holds a {what} that is not {length} bytes in base64")


def parse(data: bytes, place: str, password: str) -> list[Key]:
    """Every key of a wallet file, in its order; the pairs are not derived here, see check_pairs."""
    document = parse_json(data, place)
    crypto = _keystore.parse_crypto(document, place)
    if document.get("disabled_public_keys"):
        raise WalletError(place, "disables keys, which Prysm from v1.3.4 on ignores: they would come alive")
    plain = crypto.decrypt(*_keystore.spellings(password))
    # No parser's message may quote what was decrypted.
    try:
        content = parse_json(plain, place)
    except UnreadableError:
        raise WalletError(place, "opens, but its content is not JSON") from None
    if not isinstance(content, dict) or not {"private_keys", "public_keys"} <= set(content):
        raise WalletError(place, "opens, but holds no lists of keys")
    # Go writes an empty list as null; anything else that is no list is damage, not an empty wallet.
    secrets, publics = ([] if content[name] is None else content[name] for name in ("private_keys", "public_keys"))
    if not isinstance(secrets, list) or not isinstance(publics, list) or len(secrets) != len(publics):
        raise WalletError(place, "opens, but its lists of secret and public keys do not belong together")
    keys = [
        Key(from_bytes(_decode(public, 48, place, "public key")), _decode(secret, 32, place, "secret key"))
        for public, secret in zip(publics, secrets)
    ]
    if len({key.pubkey for key in keys}) != len(keys) or len({key.secret for key in keys}) != len(keys):
        raise WalletError(place, "holds a key more than once")
    return keys


def check_pairs(keys: t.Sequence[Key], place: str, workers: int = 1) -> None:
    """Every public key must be its secret's own: Prysm itself never looks."""
    try:
        derived = _bls.public_keys([key.secret for key in keys], workers)
    except _bls.SecretKeyError as exc:
        raise WalletError(place, str(exc)) from exc
    for key, public in zip(keys, derived):
        if from_bytes(public) != key.pubkey:
            raise WalletError(place, f"lists a secret under {key.pubkey} that belongs to {from_bytes(public)}")


def render(keys: t.Sequence[Key], password: str, cost: int = 262144) -> bytes:
    """A wallet file as Prysm writes it."""

    def listed(values: t.Iterable[bytes]) -> list[str] | None:
        # Go writes an empty list of keys as null.
        return [base64.b64encode(value).decode("ascii") for value in values] or None

    plain = json.dumps(
        {
            "private_keys": listed(key.secret for key in keys),
            "public_keys": listed(bytes.fromhex(key.pubkey[2:]) for key in keys),
        },
        indent="\t",
    )
    crypto = _keystore.encrypt(plain.encode("ascii"), password.encode("ascii"), _keystore.new_kdf("pbkdf2", cost))
    document = {"crypto": crypto, "uuid": str(uuid.uuid4()), "version": 4, "name": "keystore"}
    return (json.dumps(document, indent="\t")).encode("ascii")


class Store:
    """A wallet directory to be changed: opened without following links, locked against a second change."""

    def __init__(self, wallet_dir: str, owner: int = -1, group: int = -1) -> None:
        self.wallet_dir = wallet_dir
        self.owner = owner
        self.group = group
        self.found = find(wallet_dir)
        if self.found.kind != "direct":
            raise WalletError(wallet_dir, f"is a {self.found.kind} wallet; keys can only be imported into a direct one")
        self._fds: list[int] = []

    def __enter__(self) -> Store:
        """Make the directories that are missing and take the lock."""
        parent, name = os.path.split(os.path.normpath(self.wallet_dir))
        try:
            # The parent may be reached through links: it is the operator's, the wallet is the client's.
            self._fds.append(os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as exc:
            raise WalletError(parent, f"the wallet's parent directory: {reason_of(exc)}") from exc
        try:
            for part in (name, self.found.kind, "accounts"):
                self._descend(part)
            try:
                fcntl.flock(self.wallet_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise WalletError(self.wallet_dir, "is being changed by another run right now") from exc
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    @property
    def wallet_fd(self) -> int:
        return self._fds[1]

    @property
    def accounts_fd(self) -> int:
        return self._fds[3]

    def _descend(self, name: str) -> None:
        parent = self._fds[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            fsync_directory(parent)
        except FileExistsError:
            pass
        except OSError as exc:
            raise WalletError(self.wallet_dir, f"cannot make {name}: {reason_of(exc)}") from exc
        self._fds.append(open_directory(name, parent, os.path.join(self.wallet_dir, name)))
        set_mode(self._fds[-1], 0o700, self.owner, self.group)

    def save(self, expected: bytes | None, data: bytes, verify: t.Callable[[bytes], None]) -> None:
        """Replace the wallet file, which must still be what it was when it was read."""
        fd = self.accounts_fd
        try:
            # What an interrupted run left has been read, and put in order, before.
            if self._read(FILE) != expected or self._read(PREVIOUS) is not None:
                raise WalletError(self.found.path, "changed while its new content was prepared; run again")
            remove_if_there(fd, TEMPORARY)
            try:
                write_new(fd, TEMPORARY, data, 0o600, self.owner, self.group)
                verify(self._need(TEMPORARY))
                if expected is not None:
                    os.link(FILE, PREVIOUS, src_dir_fd=fd, dst_dir_fd=fd)
                    fsync_directory(fd)
                os.rename(TEMPORARY, FILE, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                remove_if_there(fd, TEMPORARY)
                raise
            fsync_directory(fd)
            self._verify_or_return(verify)
            if remove_if_there(fd, PREVIOUS):
                fsync_directory(fd)
        except OSError as exc:
            raise WalletError(self.found.path, f"cannot be written: {reason_of(exc)}") from exc

    def _verify_or_return(self, verify: t.Callable[[bytes], None]) -> None:
        fd = self.accounts_fd
        try:
            verify(self._need(FILE))
        except BaseException:
            if self._read(PREVIOUS) is not None:
                os.rename(PREVIOUS, FILE, src_dir_fd=fd, dst_dir_fd=fd)
            else:
                remove_if_there(fd, FILE)
            fsync_directory(fd)
            raise

    def tidy(self, chosen: bytes, previous: bytes | None) -> bool:
        """Finish what an interrupted run left behind: chosen is what the wallet holds, previous has been read."""
        fd = self.accounts_fd
        changed = False
        try:
            now, beside = self._read(FILE), self._read(PREVIOUS)
            if beside != previous or chosen not in (now, beside):
                raise WalletError(self.found.path, "changed while its new content was prepared; run again")
            if now != chosen:
                os.rename(PREVIOUS, FILE, src_dir_fd=fd, dst_dir_fd=fd)
                changed = True
            # Two names of one file are not renamed onto each other.
            changed = remove_if_there(fd, PREVIOUS) or changed
            changed = remove_if_there(fd, TEMPORARY) or changed
            if changed:
                fsync_directory(fd)
        except OSError as exc:
            raise WalletError(self.found.path, f"cannot be put in order: {reason_of(exc)}") from exc
        return changed

    def write_beside(self, name: str, data: bytes) -> None:
        """Write a manifest or a list of tombstones."""
        try:
            replace_file(self.wallet_fd, name, data, 0o600, self.owner, self.group)
        except OSError as exc:
            place = os.path.join(self.wallet_dir, name)
            raise WalletError(place, f"cannot be written: {reason_of(exc)}") from exc

    def _read(self, name: str) -> bytes | None:
        try:
            os.lstat(name, dir_fd=self.accounts_fd)
        except FileNotFoundError:
            return None
        return self._need(name)

    def _need(self, name: str) -> bytes:
        return read_file(name, WALLET_LIMIT, self.accounts_fd, os.path.join(os.path.dirname(self.found.path), name))


def set_mode(fd: int, mode: int, owner: int, group: int) -> bool:
    """Give an open file or directory its mode and owner; say whether that changed anything."""
    now = os.fstat(fd)
    changed = False
    if (owner != -1 and now.st_uid != owner) or (group != -1 and now.st_gid != group):
        os.fchown(fd, owner, group)
        changed = True
    if stat.S_IMODE(now.st_mode) != mode:
        os.fchmod(fd, mode)
        changed = True
    return changed


def wanted_modes(wallet_dir: str) -> list[tuple[str, int]]:
    """Every path of a wallet with the mode it must have (paths that do not exist included)."""
    found = find(wallet_dir)
    accounts = os.path.dirname(found.path)
    return [
        (wallet_dir, 0o700),
        (os.path.dirname(accounts), 0o700),
        (accounts, 0o700),
        (found.path, 0o600),
        (os.path.join(wallet_dir, manifests.MANIFEST), 0o600),
        (os.path.join(wallet_dir, manifests.TOMBSTONES), 0o600),
    ]


def wrong_modes(wallet_dir: str, owner: int, group: int) -> list[str]:
    """Paths of a wallet whose mode or owner Prysm would trip over, or others could read."""
    wrong = []
    for path, mode in wanted_modes(wallet_dir):
        try:
            now = os.lstat(path)
        except FileNotFoundError:
            continue
        if (
            stat.S_IMODE(now.st_mode) != mode
            or (owner != -1 and now.st_uid != owner)
            or (group != -1 and now.st_gid != group)
        ):
            wrong.append(path)
    return wrong


def mend_modes(wallet_dir: str, owner: int, group: int) -> None:
    """Set what wrong_modes found, without following links."""
    modes = dict(wanted_modes(wallet_dir))
    for path in wrong_modes(wallet_dir, owner, group):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            set_mode(fd, modes[path], owner, group)
        finally:
            os.close(fd)
