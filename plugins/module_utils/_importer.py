# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Bring keystores into a wallet, or take keys out of it: what would change, and doing it."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _keystore, _protection, _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    StakingError,
    UnreadableError,
    is_directory,
    is_file,
    is_there,
    parse_json,
    read_file,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._locks import hold, lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils._pubkey import PubkeyError, normalise

#: deposit_data files list every deposit of a person; this is room for a hundred thousand.
_DEPOSIT_LIMIT = 128 << 20


class Passwords:
    """Which password opens which keystore: by public key, path, file name or directory, else the common one."""

    def __init__(self, common: str | None = None, by_name: t.Mapping[str, str] | None = None) -> None:
        self._common = common
        self._by_name: dict[str, str] = {}
        for name, password in (by_name or {}).items():
            if not isinstance(password, str):
                raise StakingError(f"the keystore password for {name} is not a text")
            try:
                self._by_name[normalise(name)] = password
            except PubkeyError:
                self._by_name[name.rstrip("/")] = password

    def of(self, keystore: _keystore.Keystore) -> str:
        place = keystore.place
        for name in (keystore.pubkey, place, os.path.basename(place), os.path.dirname(place)):
            if name and name in self._by_name:
                return self._by_name[name]
        if self._common is None:
            raise StakingError(f"{place}: no password is given for this keystore ({keystore.pubkey})")
        return self._common


def _in_directory(path: str) -> list[_keystore.Keystore]:
    try:
        names = sorted(os.listdir(path))
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    found = []
    for name in names:
        place = os.path.join(path, name)
        if not is_file(place) or not (name.endswith(".json") or name.startswith("keystore")):
            continue
        data = read_file(os.path.realpath(place), _DEPOSIT_LIMIT, what=place)
        document = parse_json(data, place)
        if is_deposit_data(document):
            continue
        found.append(_keystore.parse_keystore(data, place))
    if not found:
        raise UnreadableError(path, "holds no keystore")
    return found


def is_deposit_data(document: t.Any) -> bool:
    """Whether a JSON document is what the deposit tool writes beside its keystores."""
    return isinstance(document, list) and all(isinstance(item, dict) and "pubkey" in item for item in document)


def deposited(paths: t.Iterable[str]) -> set[str]:
    """The public keys that deposit_data files name."""
    keys: set[str] = set()
    for path in paths:
        document = parse_json(read_file(os.path.realpath(path), _DEPOSIT_LIMIT, what=path), path)
        if not is_deposit_data(document):
            raise UnreadableError(path, "is not a deposit_data file")
        try:
            keys.update(normalise(item["pubkey"]) for item in document)
        except PubkeyError as exc:
            raise UnreadableError(path, str(exc)) from exc
    return keys


def gather(paths: t.Iterable[str], contents: t.Iterable[tuple[str, str]] = ()) -> list[_keystore.Keystore]:
    """Every keystore of these files and directories, and of these (name, content) pairs."""
    found = []
    for path in paths:
        if is_directory(path):
            found.extend(_in_directory(path))
        else:
            data = read_file(os.path.realpath(path), _keystore.KEYSTORE_LIMIT, what=path)
            found.append(_keystore.parse_keystore(data, path))
    for name, content in contents:
        data = content.encode("utf-8", "surrogateescape")
        if not is_deposit_data(_json_list(data, name)):
            found.append(_keystore.parse_keystore(data, name))
    return found


def _json_list(data: bytes, name: str) -> t.Any:
    return parse_json(data, name) if data.lstrip()[:1] == b"[" else None


class Request(t.NamedTuple):
    """What a wallet shall look like."""

    wallet_dir: str
    password: str
    owner: int = -1
    group: int = -1
    data_dir: str | None = None
    keystores: tuple[_keystore.Keystore, ...] = ()
    passwords: Passwords = Passwords()
    deposits: frozenset[str] | None = None
    remove: tuple[str, ...] = ()
    reason: str = ""
    reinstate: tuple[str, ...] = ()
    now: str = ""
    cost: int = 262144


class Outcome(t.NamedTuple):
    """What changed, or would; never a secret."""

    changed: bool
    imported: list[str]
    removed: list[str]
    before: list[str]
    pubkeys: list[str]
    mended: list[str]
    wallet_file: str


class _Now(t.NamedTuple):
    """What is on the disk."""

    found: _wallet.Found
    data: bytes | None
    keys: list[_wallet.Key]
    manifest: bytes | None
    stones: list[manifests.Tombstone]


def _look(request: Request) -> _Now:
    found = _wallet.find(request.wallet_dir)
    data = found.read() if found.exists else None
    keys: list[_wallet.Key] = []
    if data is not None:
        data, keys = _open(data, found, request)
    path = os.path.join(request.wallet_dir, manifests.MANIFEST)
    beside = read_file(path, manifests.LIMIT) if is_there(path) else None
    return _Now(found, data, keys, beside, manifests.read_tombstones(request.wallet_dir))


def _open(data: bytes, found: _wallet.Found, request: Request) -> tuple[bytes, list[_wallet.Key]]:
    try:
        keys = _wallet.parse(data, found.path, request.password)
    except UnreadableError:
        # A run that was stopped may have left the file it was about to replace.
        previous = os.path.join(os.path.dirname(found.path), _wallet.PREVIOUS)
        if not is_there(previous):
            raise
        data = read_file(previous, _wallet.WALLET_LIMIT)
        keys = _wallet.parse(data, previous, request.password)
    _wallet.check_pairs(keys, found.path, _keystore.cores())
    return data, keys


def _new_keys(request: Request, now: _Now) -> list[_wallet.Key]:
    there = {key.pubkey for key in now.keys}
    wanted: dict[str, _keystore.Keystore] = {}
    for keystore in request.keystores:
        if request.deposits is not None and keystore.pubkey not in request.deposits:
            raise StakingError(f"{keystore.place}: {keystore.pubkey} is not in the deposit data given with it")
        if keystore.pubkey not in there:
            wanted.setdefault(keystore.pubkey, keystore)
    buried = {stone.pubkey: stone for stone in now.stones}
    for pubkey, keystore in wanted.items():
        if pubkey in buried and pubkey not in request.reinstate:
            raise StakingError(
                f"{keystore.place}: {pubkey} has left {request.wallet_dir} on {buried[pubkey].removed}"
                f" ({buried[pubkey].reason}) and may live elsewhere now; to bring it back name it in 'reinstate'"
            )
    todo = [(keystore, request.passwords.of(keystore)) for keystore in wanted.values()]
    workers = _keystore.workers_for(keystore.crypto.kdf for keystore, _password in todo)
    secrets = _keystore.parallel(lambda item: item[0].open(item[1]), todo, workers)
    return [_wallet.Key(keystore.pubkey, secret) for (keystore, _password), secret in zip(todo, secrets)]


def _plan(request: Request, now: _Now) -> tuple[list[_wallet.Key], list[manifests.Tombstone], list[str], list[str]]:
    """The keys and tombstones there shall be, and which keys come and go."""
    if request.remove:
        gone = set(request.remove)
        keys = [key for key in now.keys if key.pubkey not in gone]
        removed = [key.pubkey for key in now.keys if key.pubkey in gone]
        known = {stone.pubkey for stone in now.stones}
        added = [manifests.Tombstone(key, request.now, request.reason) for key in removed if key not in known]
        return keys, now.stones + added, [], removed
    new = _new_keys(request, now)
    keys = now.keys + new
    back = {key.pubkey for key in keys} & set(request.reinstate)
    stones = [stone for stone in now.stones if stone.pubkey not in back]
    return keys, stones, [key.pubkey for key in new], []


def run(request: Request, check: bool = False) -> Outcome:
    """Make the wallet what it shall be; with check, only say what that would mean."""
    _wallet.check_password(request.password)
    now = _look(request)
    if now.data is None and not request.remove:
        _wallet.check_new_password(request.password)
    keys, stones, imported, removed = _plan(request, now)
    write_wallet = bool(imported or removed) or (now.data is None and not request.remove)
    pubkeys = [key.pubkey for key in keys]
    mended = _wallet.wrong_modes(request.wallet_dir, request.owner, request.group)
    accounts = os.path.dirname(now.found.path)
    for name in (_wallet.PREVIOUS, _wallet.TEMPORARY):
        if is_there(os.path.join(accounts, name)):
            mended.append(os.path.join(accounts, name))
    if not write_wallet and now.data is not None:
        listed = manifests.render_manifest(manifests.manifest_for(now.data, pubkeys))
        if listed != now.manifest:
            mended.append(os.path.join(request.wallet_dir, manifests.MANIFEST))
    if stones != now.stones and not write_wallet:
        mended.append(os.path.join(request.wallet_dir, manifests.TOMBSTONES))
    changed = write_wallet or bool(mended)
    # An interrupted run's old file that goes back is a change like any other.
    touched = write_wallet or (now.data is not None and now.data != now.found.read())
    if touched and check:
        _refuse_live(request, now.found)
    elif changed and not check:
        with contextlib.ExitStack() as stack:
            if touched:
                _lock_out(request, now.found, stack)
            _apply(request, now, keys, stones, write_wallet)
    before = [key.pubkey for key in now.keys]
    return Outcome(changed, imported, removed, before, pubkeys, sorted(set(mended)), now.found.path)


def _databases(request: Request, found: _wallet.Found) -> list[str]:
    """Where the wallet's client has its database, and with that its lock."""
    directories = [os.path.dirname(os.path.dirname(found.path))]
    if request.data_dir is not None:
        directories.append(request.data_dir)
    for directory in directories:
        if is_there(os.path.join(directory, _protection.MINIMAL)):
            raise StakingError(
                f"{directory} holds {_protection.MINIMAL}, Prysm's minimal database, which nobody locks: whether a"
                " validator client runs on this wallet cannot be seen"
            )
    return [os.path.join(directory, _protection.DATABASE) for directory in directories]


def _refuse_live(request: Request, found: _wallet.Found) -> None:
    """A running client reloads its wallet within a second: whatever is written is live at once."""
    for database in _databases(request, found):
        holder = lock_holder(database)
        if holder is not None:
            raise StakingError(
                f"{database} is locked by {holder}: a validator client is running on this wallet, and a change would"
                " be live at once; stop it first"
            )


def _lock_out(request: Request, found: _wallet.Found, stack: contextlib.ExitStack) -> None:
    """Refuse a wallet whose client runs, and let none start until the stack ends: it cannot open its database."""
    _refuse_live(request, found)
    for database in _databases(request, found):
        if not stack.enter_context(hold(database)):
            raise StakingError(f"{database} was locked this very moment: a validator client is starting; stop it first")


def _apply(
    request: Request,
    now: _Now,
    keys: list[_wallet.Key],
    stones: list[manifests.Tombstone],
    write_wallet: bool,
) -> None:
    def verify(data: bytes, wanted: list[_wallet.Key]) -> None:
        if _wallet.parse(data, now.found.path, request.password) != wanted:
            raise _wallet.WalletError(now.found.path, "does not hold what was written to it")

    with _wallet.Store(request.wallet_dir, request.owner, request.group) as store:
        if now.data is not None:
            store.tidy(lambda data: verify(data, now.keys))
        if len(stones) > len(now.stones):
            # Before the key goes: stopped in between, the key is in two minds and nobody may start with it.
            store.write_beside(manifests.TOMBSTONES, manifests.render_tombstones(stones))
        if write_wallet:
            data = _wallet.render(keys, request.password, request.cost)
            store.save(now.data, data, lambda found: verify(found, keys))
        data_now = store.found.read() if is_there(store.found.path) else None
        if data_now is not None:
            beside = manifests.render_manifest(manifests.manifest_for(data_now, [key.pubkey for key in keys]))
            if beside != now.manifest:
                store.write_beside(manifests.MANIFEST, beside)
        if len(stones) < len(now.stones):
            store.write_beside(manifests.TOMBSTONES, manifests.render_tombstones(stones))
    _wallet.mend_modes(request.wallet_dir, request.owner, request.group)
