# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""One key, one wallet, one client: gather every place a key can be, and say what contradicts that.

What cannot be read is reported and counts as danger; a place that is not there (a wallet before its first import) is
simply empty.
"""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _places
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    is_directory,
    is_there,
    open_regular,
    read_file,
    reason_of,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._places import Identity, file_place, identity
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import (
    BEACON_DATABASE,
    BEACON_STORES,
    DATABASE,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import Marks
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore, _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, from_bytes, normalise
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _importer, _stores

_LIST_LIMIT = 64 << 20
_LINE = re.compile(r"[,;\s]+")

#: Where a link must not lead the search.
_NEVER = ("/dev", "/proc", "/sys")

_NOT_SEARCHED = "they were not searched for keys: run again without --limit, and for every machine"
_REMEDY = "; remove it, or, once you know that no key of this site is in it, name it in prysm_wallet_search_exclude"
_ROOT_REMEDY = "; remove it, or, once you know that no client is given it, name it in prysm_wallet_exclude"

#: Kinds of places from which a key can sign, or is about to.
_SIGNING = ("wallet", "declared", "live", "keystore")


class Place(t.NamedTuple):
    """Where a key was found."""

    kind: str
    where: str
    client: str | None = None


class WalletEntry(t.NamedTuple):
    """A wallet to look into."""

    path: str
    client: str | None = None
    password: str | None = None


class Entry(t.NamedTuple):
    """Any other place to look into; passwords are those of keystores that do not say whose they are."""

    path: str
    client: str | None = None
    passwords: _importer.Passwords = _importer.Passwords()


class Workload(t.NamedTuple):
    """Something in the cluster that can sign; wallet and data_dir are None when they lie on another machine."""

    client: str
    where: str
    wallet: str | None = None
    data_dir: str | None = None


class MachineKey(t.NamedTuple):
    """A key on the own disks of a machine, in which kind of place, and where there."""

    key: str
    kind: str
    where: str


class Machine(t.NamedTuple):
    """What the own disks of a machine hold; files are those that matter, unreadable pairs of place and reason."""

    host: str
    searched: bool
    msg: str = ""
    #: Whether it is this very machine.
    here: bool = False
    keys: tuple[MachineKey, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()


def machine_report(host: str, found: t.Mapping[str, t.Any], here: bool) -> dict[str, t.Any]:
    """A Machine as validator_key_uniqueness takes it, of what machine_key_info found there; empty if it was not asked.

    One that could not be asked says why in `msg`, and has found nothing out.
    """
    return {
        "host": host,
        "here": here,
        "searched": found.get("searched", False),
        "msg": found.get("msg", ""),
        "keys": found.get("keys", []),
        "unreadable": found.get("unreadable", []),
        "files": found.get("files", []),
    }


class Duplicate(t.NamedTuple):
    """A key that is, or has been, in places that contradict each other."""

    key: str
    reason: str
    places: list[Place]


class Conflict(t.NamedTuple):
    """A directory that serves two clients."""

    where: str
    reason: str


class InputError(UnreadableError):
    """Something that was given to be imported is not what it must be: no second signer, but nothing to go on with."""


class Owner(t.NamedTuple):
    """Whose directory it is, and what it is to that client."""

    client: str | None
    what: str
    path: str


class WalletSeen(t.NamedTuple):
    """How a wallet was read."""

    path: str
    client: str | None
    keys: int
    read: str


class WalletContent(t.NamedTuple):
    """The keys of a wallet, digests of their secrets where it was decrypted, and how it was read."""

    pubkeys: tuple[str, ...]
    secrets: tuple[bytes, ...]
    read: str


def read_wallet(entry: WalletEntry, derive: bool = False) -> WalletContent | None:
    """The keys of a wallet, by its manifest or its password; None when there is no wallet."""
    if not is_there(entry.path):
        return None
    found = _wallet.find(entry.path)
    manifest = manifests.read_manifest(entry.path)
    if not found.exists:
        if manifest is not None:
            raise UnreadableError(found.path, "is gone, though there is a manifest of its keys")
        previous = os.path.join(os.path.dirname(found.path), _wallet.PREVIOUS)
        if is_there(previous):
            raise UnreadableError(found.path, f"is gone, though {previous} is there; rename that to this name")
        return None
    data = found.read()
    if manifest is not None and manifest.describes(data):
        return WalletContent(manifest.pubkeys, (), "manifest")
    if entry.password is None:
        why = "has no manifest" if manifest is None else "is not the file its manifest was written for"
        raise UnreadableError(found.path, f"{why}, and no password is given to read it")
    return _decrypt(data, found.path, [entry.password], derive)


def _decrypt(data: bytes, place: str, passwords: t.Sequence[str], derive: bool) -> WalletContent:
    for i, password in enumerate(passwords):
        try:
            keys = _wallet.parse(data, place, password)
        except _keystore.WrongPasswordError:
            if i + 1 == len(passwords):
                raise
            continue
        if derive:
            _wallet.check_pairs(keys, place)
        digests = tuple(hashlib.sha256(key.secret).digest() for key in keys)
        return WalletContent(tuple(key.pubkey for key in keys), digests, "password")
    raise UnreadableError(place, "it belongs to no declared client, and no password is known to read it")


class Census:
    """Everything found so far."""

    def __init__(self, derive: bool = False) -> None:
        self.derive = derive
        #: Grows with everything that is found, readable or not.
        self.found = 0
        self.places: dict[str, list[Place]] = {}
        self.unreadable: list[UnreadableError] = []
        self.conflicts: list[Conflict] = []
        self.wallets: list[WalletSeen] = []
        self.passed_over: list[_importer.PassedOver] = []
        self._companions = _stores.Companions()
        #: Files that have been looked into, each by its directory and name.
        self._seen: set[Identity] = set()
        self._secrets: dict[bytes, tuple[str, str]] = {}
        self._same_secret: list[Duplicate] = []
        self._passwords: list[str] = []
        #: Wallet and data directories, and the directories that these lie in.
        self._owners: dict[Identity, Owner] = {}
        self._inside: dict[Identity, list[Owner]] = {}
        self._wallet_dirs: set[Identity] = set()
        self._data_dirs: set[Identity] = set()
        #: Databases and wallet files of clients, by device and inode: a hard link is one file as well.
        self._files: dict[Identity, Owner] = {}
        #: Clients that have a wallet here, or shall have one, and where; those of which it could not be read.
        self._clients: dict[str, str] = {}
        self._failed: set[str | None] = set()
        self._running: set[str] = set()
        #: Keystores given by content: path on the controller, and digest.
        self._given: set[tuple[str, str]] = set()

    def add(self, key: str, place: Place) -> None:
        """A key was found in a place."""
        self.found += 1
        places = self.places.setdefault(key, [])
        if place not in places:
            places.append(place)

    def fail(self, error: StakingError, place: str) -> None:
        """A place could not be read."""
        self.found += 1
        if not isinstance(error, UnreadableError):
            error = UnreadableError(place, str(error))
        self.unreadable.append(error)

    def fail_input(self, error: StakingError, place: str) -> None:
        """Something that was given cannot be used."""
        place = error.place if isinstance(error, UnreadableError) else place
        reason = error.reason if isinstance(error, UnreadableError) else str(error)
        self.fail(InputError(place, reason), place)

    def _conflict(self, where: str, reason: str) -> None:
        conflict = Conflict(where, reason)
        if conflict not in self.conflicts:
            self.conflicts.append(conflict)

    # -- whose directory it is ----------------------------------------------------------------------------------------

    def _declare(self, path: str, client: str | None, what: str, label: str | None = None) -> Identity | None:
        """A directory is a client's: not another's too, not in another's, and not around another's."""
        try:
            own = identity(path)
            around = _places.above(path)
        except StakingError as exc:
            self.fail(exc, path)
            self._failed.add(client)
            return None
        owner = self._owners.get(own)
        if owner is not None:
            if owner.client != client:
                self._conflict(path, f"is the {what} of {owner.client} and of {label or client}")
            return own
        owner = self._owners[own] = Owner(client, what, path)
        said = owner._replace(client=label or client)
        for _path, outer in around:
            other = self._owners.get(outer)
            if other is not None and None not in (client, other.client) and other.client != client:
                self._nested(said, other)
            self._inside.setdefault(outer, []).append(owner)
        for other in self._inside.get(own, []):
            if None not in (client, other.client) and other.client != client:
                self._nested(other, said)
        return own

    def _nested(self, inner: Owner, outer: Owner) -> None:
        self._conflict(
            inner.path, f"({inner.what} of {inner.client}) lies in {outer.path}, the {outer.what} of {outer.client}"
        )

    def _own_file(self, path: str, client: str | None, what: str) -> None:
        """A file that a client signs with: by no name may it be another client's too."""
        found = status(path)
        if found is None:
            return
        owner = self._files.setdefault((found.st_dev, found.st_ino), Owner(client, what, path))
        if owner.client != client:
            self._conflict(path, f"is the same file as {owner.path}: the {what} of {owner.client} and of {client}")

    # -- wallets ------------------------------------------------------------------------------------------------------

    def add_wallets(self, entries: t.Sequence[WalletEntry]) -> None:
        """Look into wallets; those without a manifest that fits are decrypted, on all cores."""
        todo: list[WalletEntry] = []
        for entry in entries:
            if entry.password and entry.password not in self._passwords:
                self._passwords.append(entry.password)
            if entry.client is not None:
                self._clients.setdefault(entry.client, entry.path)
            own = self._declare(entry.path, entry.client, "wallet")
            if own is None or own in self._wallet_dirs:
                continue
            self._wallet_dirs.add(own)
            todo.append(entry)
        for entry, outcome in zip(todo, _keystore.parallel(self._open_wallet, todo, _keystore.cores())):
            if isinstance(outcome, StakingError):
                self.fail(outcome, entry.path)
                self._failed.add(entry.client)
            elif outcome is not None:
                self._take(entry, outcome)
            try:
                stones = self._take_tombstones(entry)
                self._take_files(entry, outcome, stones)
            except StakingError as exc:
                self.fail(exc, entry.path)

    def _take_files(
        self, entry: WalletEntry, outcome: WalletContent | StakingError | None, stones: t.Collection[str]
    ) -> None:
        """The wallet's own file has been read; what an interrupted import left beside it is read here."""
        for kind in _wallet.KINDS:
            path = os.path.join(entry.path, kind, "accounts", _wallet.FILE)
            if not is_there(os.path.dirname(path)):
                continue
            self._seen.add(file_place(path))
            self._own_file(path, entry.client, "wallet")
            for name in (_wallet.PREVIOUS, _wallet.TEMPORARY):
                left = os.path.join(os.path.dirname(path), name)
                if is_there(left):
                    self._seen.add(file_place(left))
                    self._left_over(entry, left, path, outcome, stones)

    def _left_over(
        self,
        entry: WalletEntry,
        left: str,
        path: str,
        outcome: WalletContent | StakingError | None,
        stones: t.Collection[str],
    ) -> None:
        """A file that an interrupted import left: its keys are the wallet's, or have left it, or are a find."""
        data = read_file(left, _wallet.WALLET_LIMIT)
        if is_there(path) and data == read_file(path, _wallet.WALLET_LIMIT):
            return
        try:
            _keystore.parse_document(data, left)
        except StakingError:
            if os.path.basename(left) == _wallet.TEMPORARY:
                return  # Half written: no program opens it.
        passwords = [entry.password] if entry.password else []
        content = _decrypt(data, left, [*passwords, *self._passwords], self.derive)
        own = outcome.pubkeys if isinstance(outcome, WalletContent) else ()
        for key in content.pubkeys:
            if key not in own and key not in stones:
                self.add(key, Place("wallet", left, entry.client))

    def _open_wallet(self, entry: WalletEntry) -> WalletContent | StakingError | None:
        try:
            return read_wallet(entry, self.derive)
        except StakingError as exc:
            return exc
        except OSError as exc:
            return UnreadableError(str(exc.filename or entry.path), reason_of(exc))

    def _take(self, entry: WalletEntry, content: WalletContent) -> None:
        self.found += 1
        self.wallets.append(WalletSeen(entry.path, entry.client, len(content.pubkeys), content.read))
        place = Place("wallet", entry.path, entry.client)
        for key in content.pubkeys:
            self.add(key, place)
        # A secret under another name signs for its true key all the same.
        for key, digest in zip(content.pubkeys, content.secrets):
            other = self._secrets.setdefault(digest, (key, entry.path))
            if other[0] != key:
                self._same_secret.append(
                    Duplicate(
                        key,
                        f"has the same secret as {other[0]}: one of the two is mislabelled",
                        [place, Place("wallet", other[1])],
                    )
                )

    def _take_tombstones(self, entry: WalletEntry) -> set[str]:
        try:
            stones = manifests.read_tombstones(entry.path)
        except StakingError as exc:
            self.fail(exc, entry.path)
            return set()
        for stone in stones:
            self.add(stone.pubkey, Place("tombstone", entry.path, entry.client))
        return {stone.pubkey for stone in stones}

    # -- everything else ----------------------------------------------------------------------------------------------

    def add_data_dirs(self, entries: t.Iterable[Entry], exclude: t.Collection[Identity] = ()) -> None:
        """Which keys ever signed from a data directory."""
        for entry in entries:
            own = self._declare(entry.path, entry.client, "data directory")
            if own is None or own in self._data_dirs:
                continue
            self._data_dirs.add(own)
            try:
                self._data_dir(entry, exclude)
            except StakingError as exc:
                self.fail(exc, entry.path)
            except OSError as exc:
                self.fail(UnreadableError(entry.path, reason_of(exc)), entry.path)

    def _data_dir(self, entry: Entry, exclude: t.Collection[Identity]) -> None:
        if not is_there(entry.path):
            return
        for name in sorted(os.listdir(entry.path)):
            path = os.path.join(entry.path, name)
            if name in (DATABASE, _protection.MINIMAL):
                if name == DATABASE:
                    self._own_file(path, entry.client, "database")
                self._history(path, entry.client)
            elif name.startswith(DATABASE) and file_place(path) not in exclude:
                self.look(path, (entry,))

    def _history(self, path: str, client: str | None) -> None:
        try:
            self._seen.add(file_place(path))
            keys = signed_keys(path)
        except (StakingError, OSError) as exc:
            self.fail(exc if isinstance(exc, StakingError) else UnreadableError(path, reason_of(exc)), path)
            return
        for key in keys:
            self.add(key, Place("history", path, client))

    def add_keystores(self, entries: t.Iterable[Entry]) -> None:
        """Keystore files and directories; their public keys stand in the clear, or their passwords are known."""
        for entry in entries:
            found = _importer.collect([entry.path])
            for problem in found.problems:
                self.fail_input(problem, entry.path)
            self.passed_over += found.passed_over
            for keystore in found.keystores:
                try:
                    self._seen.add(file_place(keystore.place))
                    keystore = keystore.named(entry.passwords.find(keystore, found.beside))
                    store = self._companions.store(keystore.place, keystore.pubkey, {})
                except StakingError as exc:
                    self.fail_input(exc, entry.path)
                    continue
                self.add(keystore.pubkey, Place("keystore", keystore.place, entry.client))
                if store is not None and store.sure:
                    # Whoever owns that store signs with it, until the keystore is moved out of it.
                    self.add(keystore.pubkey, Place("wallet", store.path))

    def add_keystore_contents(
        self, items: t.Iterable[tuple[str, str, str | None]], passwords: _importer.Passwords | None = None
    ) -> None:
        """Keystores given by name, content and client."""
        passwords = passwords or _importer.Passwords()
        for name, content, client in items:
            try:
                for keystore in _importer.gather([], [(name, content)]):
                    named = keystore.named(passwords.find(keystore))
                    self.add(named.pubkey, Place("keystore", name, client))
                    self._given.add((name, _digest(content.encode("utf-8", "surrogateescape"))))
            except StakingError as exc:
                self.fail_input(exc, name)

    def add_listed(self, kind: str, listed: t.Mapping[str, t.Any], what: str) -> None:
        """Keys that somebody names for a client: the inventory, or a running client itself."""
        for client, keys in listed.items():
            if kind == "live":
                self._running.add(client)
            if not isinstance(keys, (list, tuple)):
                self.fail(UnreadableError(f"{what} of {client}", "is not a list of keys"), client)
                continue
            seen = set()
            for text in keys:
                try:
                    key = normalise(text)
                except PubkeyError as exc:
                    self.fail(UnreadableError(f"{what} of {client}", str(exc)), client)
                    continue
                if key in seen and kind == "declared":
                    self._conflict(f"{what} of {client}", f"names {key} more than once")
                if key not in seen:
                    self.add(key, Place(kind, f"{what} of {client}", client))
                seen.add(key)

    def add_workloads(self, workloads: t.Sequence[Workload]) -> None:
        """What the cluster starts, or would, with which wallets and databases; to be told after those declared."""
        new: dict[Identity, WalletEntry] = {}
        for item in workloads:
            self._running.add(item.client)
            if item.wallet is None:
                self._conflict(item.where, "signs with a wallet that cannot be looked into from here")
            for path, what in ((item.wallet, "wallet"), (item.data_dir, "data directory")):
                if path is None:
                    continue
                own = self._declare(path, item.client, what, item.where)
                if what != "wallet" or own is None or own in self._wallet_dirs:
                    continue
                if self._owners[own].client == item.client:
                    new[own] = WalletEntry(path, item.client)
        self.add_wallets(list(new.values()))

    def add_tombstones(self, entries: t.Iterable[Entry]) -> None:
        """Files of tombstones, or directories of wallets that have some."""
        for entry in entries:
            try:
                if is_directory(entry.path):
                    stones = manifests.read_tombstones(entry.path)
                else:
                    stones = manifests.parse_tombstones(read_file(entry.path, manifests.LIMIT), entry.path)
            except StakingError as exc:
                self.fail(exc, entry.path)
                continue
            kind = "departed" if entry.client is None else "tombstone"
            for stone in stones:
                self.add(stone.pubkey, Place(kind, entry.path, entry.client))

    def add_elsewhere(self, paths: t.Iterable[str]) -> None:
        """Lists of keys that live at other sites: one a line, or a manifest."""
        for path in paths:
            try:
                for key in _listed_keys(read_file(os.path.realpath(path), _LIST_LIMIT, what=path), path):
                    self.add(key, Place("elsewhere", path))
            except StakingError as exc:
                self.fail(exc, path)

    def excluded(self, root: str | None, paths: t.Iterable[str]) -> set[Identity]:
        """What is not to be searched, by identity; nothing that a client of this site is given may be among it."""
        found: set[Identity] = set()
        for path in paths:
            path = os.path.join(root or "/", path)
            try:
                own = {identity(path), file_place(path)}
                for outer in own:
                    for owner in [*self._inside.get(outer, []), *filter(None, [self._owners.get(outer)])]:
                        self._conflict(
                            path, f"is excluded, but {owner.path}, the {owner.what} of {owner.client}, is there"
                        )
                if root is not None and identity(path) == identity(root):
                    self._conflict(path, "is excluded, but is the directory that is to be searched")
                found |= own
            except StakingError as exc:
                self.fail(exc, path)
        return found

    def search(self, root: str, owners: t.Sequence[Entry] = (), exclude: t.Sequence[str] = ()) -> None:
        """Find what nobody declared: wallets, databases and keystores below a directory, by what they hold."""
        known = len(self.unreadable)
        try:
            skip = self.excluded(root, exclude)
            skip.update(identity(path) for path in _NEVER)
            if is_there(root):
                self._search(root, owners, skip)
        except StakingError as exc:
            self.fail(exc, root)
        self._advise(known, _ROOT_REMEDY)

    def _search(self, root: str, owners: t.Sequence[Entry], skip: set[Identity]) -> None:
        whose: dict[Identity | None, str | None] = {}
        beacon: set[Identity | None] = set()
        # Links are followed, each directory once: a client that is given a link follows it too.
        for directory in _places.walk(root, lambda exc: self.fail(exc, root), skip):
            owner, around = self._owners.get(directory.identity), whose.get(directory.parent)
            if owner is not None and None not in (owner.client, around) and owner.client != around:
                # By a bind mount or a link, which the directory's own path does not show.
                self._nested(owner, Owner(around, "place", os.path.dirname(directory.path)))
            if directory.again:
                continue
            whose[directory.identity] = around if owner is None else owner.client
            name = os.path.basename(directory.path)
            try:
                if directory.parent in beacon or self._is_beacons(directory.path):
                    beacon.add(directory.identity)
                if name == _protection.MINIMAL and file_place(directory.path) not in self._seen:
                    self._history(directory.path, self._owner(directory.path, owners))
            except StakingError as exc:
                self.fail(exc, directory.path)
            by_name = directory.identity in beacon
            for name, path in directory.files:
                if (directory.identity, name) in skip or (by_name and not _stores.may_matter(name)):
                    continue
                self.look(path, owners)

    @staticmethod
    def _is_beacons(path: str) -> bool:
        """Whether a directory is where a Prysm beacon node keeps blocks, blobs or columns."""
        head, name = os.path.split(path)
        return name == BEACON_DATABASE or (name in BEACON_STORES and is_directory(os.path.join(head, BEACON_DATABASE)))

    def _advise(self, known: int, remedy: str, host: str = "") -> None:
        """Say of what could not be read since then what can be done about it."""
        self.unreadable[known:] = [
            error if isinstance(error, InputError) else UnreadableError(host + error.place, error.reason + remedy)
            for error in self.unreadable[known:]
        ]

    def look(self, path: str, owners: t.Sequence[Entry] = ()) -> None:
        """Take what a file (or a minimal database) holds that nobody declared, whatever it is called."""
        try:
            place = file_place(path)
            if place in self._seen:
                return
            self._seen.add(place)
            self._look(path, _places.follow(path), owners)
        except (StakingError, OSError) as exc:
            if isinstance(exc, OSError):
                exc = UnreadableError(path, reason_of(exc))
            try:
                gone = not is_there(path)
            except StakingError:
                gone = False
            if not gone:
                self.fail(exc, path)

    def _look(self, path: str, real: str, owners: t.Sequence[Entry]) -> None:
        name = os.path.basename(path).lower()
        if name in (DATABASE, _protection.MINIMAL):
            self._history(real, self._owner(path, owners))
            return
        if _wallet.FILE in name:
            self._stray_wallet(path, real)
            return
        kind = _stores.kind_of(real)
        if kind == _stores.BOLT:
            if name.startswith(DATABASE) or _protection.is_validators_database(real):
                self._history(real, self._owner(path, owners))
        elif kind == _stores.JSON:
            self._stray_json(path, real)
            if name.endswith((".yml", ".yaml")):
                self._stray_list(path, real)  # JSON is YAML too
        elif kind == _stores.YAML:
            self._stray_list(path, real)

    def _owner(self, path: str, owners: t.Sequence[Entry]) -> str | None:
        """The client in whose directory a file lies."""
        known = {identity(entry.path): entry.client for entry in owners}
        for _path, own in _places.above(path):
            if own in known:
                return known[own]
            if own in self._owners:
                return self._owners[own].client
        return None

    def add_machines(self, machines: t.Iterable[Machine]) -> None:
        """What other machines found on their own disks, and what there is on this one's; to be told last."""
        for machine in machines:
            if not machine.searched:
                self.fail(UnreadableError(f"the disks of {machine.host}", machine.msg or _NOT_SEARCHED), machine.host)
            elif machine.here:
                self._look_again(machine)
            else:
                self._take_machine(machine)
            for place, reason in machine.unreadable:
                # Files that can be read here have been: what is left are directories, and the disks themselves.
                if not (machine.here and place in machine.files):
                    self.fail(UnreadableError(f"{machine.host}:{place}", reason + _REMEDY), machine.host)

    def _look_again(self, machine: Machine) -> None:
        """Into the files of this very machine: passwords are known here, and what has been looked into already."""
        known = len(self.unreadable)
        for path in machine.files:
            self.look(path)
        self._advise(known, _REMEDY, f"{machine.host}:")

    def _take_machine(self, machine: Machine) -> None:
        """The keys that another machine has found, as it says."""
        for item in machine.keys:
            where = f"{machine.host}:{item.where}"
            try:
                self.add(normalise(item.key), Place(item.kind, where))
            except PubkeyError as exc:
                self.fail(UnreadableError(where, str(exc)), machine.host)

    def _stray_wallet(self, path: str, real: str) -> None:
        """A file with the name of a wallet, or of a copy of one, that is no declared client's own."""
        wallet_dir = os.path.dirname(os.path.dirname(os.path.dirname(path)))
        if os.path.basename(path) == _wallet.FILE and _wallet.find(wallet_dir).path == path:
            manifest = manifests.read_manifest(wallet_dir)
            if manifest is not None and manifest.describes(read_file(real, _wallet.WALLET_LIMIT)):
                self._take(WalletEntry(wallet_dir), WalletContent(manifest.pubkeys, (), "manifest"))
                self._take_tombstones(WalletEntry(wallet_dir))
                return
        self._undeclared_wallet(path, read_file(real, _wallet.WALLET_LIMIT))

    def _undeclared_wallet(self, path: str, data: bytes) -> None:
        try:
            content = _decrypt(data, path, self._passwords, self.derive)
        except _keystore.WrongPasswordError:
            raise UnreadableError(
                path, "it belongs to no declared client, and none of the known passwords opens it"
            ) from None
        self._take(WalletEntry(path), content)

    def _stray_json(self, path: str, real: str) -> None:
        data = _read_sealed(real)
        if not _stores.may_be_sealed(data):
            return
        if len(data) > _wallet.WALLET_LIMIT:
            raise UnreadableError(
                path, f"has the start of a keystore or a wallet, but is longer than {len(data)} bytes"
            )
        try:
            document = _keystore.parse_document(data, path)
        except UnreadableError as exc:
            if _keystore.looks_sealed(data):
                raise UnreadableError(path, f"looks like a keystore or a wallet, but {exc.reason}") from exc
            return
        remote = _stores.remote_key(document, path)
        if remote is not None:
            self.add(normalise(remote), Place("wallet", os.path.dirname(os.path.dirname(path))))
        for key in _stores.distributed_keys(document):
            self.add(normalise(key), Place("wallet", os.path.dirname(path)))
        parts = _stores.sealed_documents(document, path)
        for part in parts:
            self._sealed(path, part, data)

    def _sealed(self, path: str, document: dict[str, t.Any], data: bytes) -> None:
        """One keystore or wallet in a file."""
        stated = document.get("pubkey")
        if stated in (None, ""):
            # A wallet says nothing of its keys in the clear, and a keystore need not.
            crypto = _keystore.parse_crypto(document, path)
            if len(crypto.message) != 32:
                self._undeclared_wallet(path, data)
                return
            key = self._open_nameless(_keystore.Keystore(path, crypto, ""))
        else:
            try:
                key = normalise(stated)
            except PubkeyError:
                raise UnreadableError(path, "is a keystore without a public key") from None
        store = None
        if (path, _digest(data)) not in self._given:
            store = self._companions.store(path, key, document)
        self.add(key, Place("keystore", path) if store is None else Place("wallet", store.path))

    def _open_nameless(self, keystore: _keystore.Keystore) -> str:
        for password in self._passwords:
            try:
                return keystore.named(password).pubkey
            except _keystore.WrongPasswordError:
                continue
        raise UnreadableError(keystore.place, "has no pubkey field, and none of the known passwords opens it")

    def _stray_list(self, path: str, real: str) -> None:
        """What another client's list of accounts says that it signs with."""
        data = read_file(real, _stores.YAML_LIMIT)
        if not _stores.may_be_listed(data):
            return
        found = _stores.listed(data.decode("utf-8", "replace"), path)
        place = Place("wallet", os.path.dirname(path))
        for key in found.keys:
            self.add(normalise(key), place)
        for secret in found.secrets:
            try:
                self.add(from_bytes(_bls.public_key(secret)), place)
            except _bls.SecretKeyError:
                continue  # no key of this curve
        for name in found.files:
            self._listed_keystore(path, name)
        if found.hidden:
            raise UnreadableError(
                path, f"has a signer use a key that is kept in {found.hidden} and cannot be read here"
            )

    def _listed_keystore(self, path: str, name: str) -> None:
        """A keystore that a list names; the path may be that of a container."""
        for place in (name, os.path.join(os.path.dirname(path), os.path.basename(name))):
            if is_there(place):
                document = _keystore.parse_document(
                    read_file(_places.follow(place), _keystore.KEYSTORE_LIMIT, what=place), place
                )
                key = normalise(document.get("pubkey") if isinstance(document, dict) else None)
                self.add(key, Place("wallet", os.path.dirname(place)))
                return
        raise UnreadableError(path, f"has a signer use the keystore {name}, which is not there")

    # -- the question -------------------------------------------------------------------------------------------------

    def duplicates(self, reinstate: t.Collection[str] = ()) -> list[Duplicate]:
        """Every key whose places contradict each other; keys to reinstate may be where they have left before."""
        found = list(self._same_secret)
        for key in sorted(self.places):
            places = self.places[key]
            reasons = contradictions(places, self._clients, key in reinstate)
            if reasons:
                found.append(Duplicate(key, "; ".join(reasons), places))
        return found

    def settle(self) -> None:
        """What can be said only when everything has been looked at; to be called before conflicts are read."""
        read = {seen.client for seen in self.wallets}
        for client in sorted(self._running & set(self._clients)):
            if client not in read and client not in self._failed:
                self._conflict(
                    self._clients[client],
                    f"holds no wallet, although {client} runs or is installed; mount the disk that holds it, or say in"
                    " wallet_dir where it is",
                )


def signed_keys(path: str) -> list[str]:
    """The keys that have signed, by a database or a minimal one; the one place where the census reads a history."""
    if is_directory(path):
        known: t.Mapping[str, t.Any] = _protection.read_minimal(path).keys
    else:
        known = _protection.read_marks(path).keys
    return [key for key, part in known.items() if part.watermarks() != Marks()]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_sealed(path: str) -> bytes:
    """A file that may be a keystore or a wallet; of one that is too long, a little more than a wallet may have."""
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        if size > _wallet.WALLET_LIMIT:
            # Interchange files and the like: only the start is looked at.
            start = os.pread(fd, 1 << 20, 0)
            return start if not _keystore.looks_sealed(start) else start.ljust(_wallet.WALLET_LIMIT + 1)
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)
    return read_file(path, _wallet.WALLET_LIMIT)


def _listed_keys(data: bytes, path: str) -> list[str]:
    if data.lstrip()[:1] == b"{":
        return list(manifests.parse_manifest(data, path).pubkeys)
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError as exc:
        raise UnreadableError(path, "is not a list of keys") from exc
    keys = []
    for number, line in enumerate(lines, 1):
        for text in filter(None, _LINE.split(line.partition("#")[0])):
            try:
                keys.append(normalise(text))
            except PubkeyError as exc:
                raise UnreadableError(path, f"line {number}: {exc}") from exc
    return keys


def _belong_together(wallet: Place, history: Place) -> bool:
    """Whether a wallet (or its tombstones) and a database were the same client's, one that nobody declares any more."""
    if wallet.kind not in ("wallet", "tombstone") or wallet.client is not None or history.client is not None:
        return False
    place, name = os.path.split(os.path.normpath(wallet.where))
    return name.startswith("wallet-") and history.where.startswith(os.path.join(place, name[len("wallet-") :]) + os.sep)


def contradictions(
    places: t.Sequence[Place], with_wallet: t.Collection[str | None] = (), may_return: bool = False
) -> list[str]:
    """Why these places of one key cannot all be right; empty when they can."""
    reasons = []
    wallets = sorted({place.where for place in places if place.kind == "wallet"})
    if len(wallets) > 1:
        reasons.append(f"is in {len(wallets)} wallets")
    owners = {place.client for place in places if place.kind in _SIGNING and place.client is not None}
    if owners and any(place.kind == "wallet" and place.client is None for place in places) and len(wallets) == 1:
        # The next import would make it two.
        reasons.append(f"belongs to {', '.join(sorted(map(str, owners)))}, and is in a wallet of no declared client")
    if len(owners) > 1:
        reasons.append(f"belongs to {len(owners)} clients: {', '.join(sorted(map(str, owners)))}")
    stones = [place for place in places if place.kind == "tombstone"]
    for stone in stones if not may_return else ():
        if stone.where in wallets:
            reasons.append(f"is in {stone.where}, which it has left")
        elif stone.client is not None and stone.client in owners:
            reasons.append(f"is with {stone.client}, which it has left")
    left = {stone.client for stone in stones if stone.client is not None}
    signed = {
        place.where
        for place in places
        if place.kind == "history"
        and place.client not in (owners | left)
        and not any(_belong_together(other, place) for other in places)
    }
    if signed and (owners or wallets):
        reasons.append(f"has also signed with {', '.join(sorted(signed))}, and no tombstone says that it left there")
    for kind, reason in (("elsewhere", "lives at another site"), ("departed", "has left this site")):
        if any(place.kind == kind for place in places) and (owners or wallets):
            reasons.append(reason)
    live = {place.client for place in places if place.kind == "live"}
    if not wallets and live & set(with_wallet):
        reasons.append("is live, but in none of the wallets: it signs from a place that is not declared")
    return reasons
