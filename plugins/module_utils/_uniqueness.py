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
import stat
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _importer, _keystore, _protection, _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    StakingError,
    UnreadableError,
    is_directory,
    is_there,
    parse_json,
    read_file,
    reason_of,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._history import History, Marks
from ansible_collections.eth2xk8s.staking.plugins.module_utils._pubkey import PubkeyError, normalise

_LIST_LIMIT = 64 << 20
_LINE = re.compile(r"[,;\s]+")

#: Where a link must not lead the search.
_NEVER = ("/dev", "/proc", "/sys")

_NOT_SEARCHED = "nobody has searched them for keys: run again without --limit, and for every machine"
_REMEDY = "; remove it, or, once you know that no key of this site is in it, name it in prysm_wallet_search_exclude"

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
    """Any other place to look into."""

    path: str
    client: str | None = None


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


class Duplicate(t.NamedTuple):
    """A key that is, or has been, in places that contradict each other."""

    key: str
    reason: str
    places: list[Place]


class Conflict(t.NamedTuple):
    """A directory that serves two clients."""

    where: str
    reason: str


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
    raise UnreadableError(place, "nobody declared it, and no password is known to read it")


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
        self._seen: set[str] = set()
        self._secrets: dict[bytes, tuple[str, str]] = {}
        self._same_secret: list[Duplicate] = []
        self._passwords: list[str] = []
        #: Real path of a wallet or data directory -> its client.
        self._owners: dict[str, str | None] = {}

    def add(self, key: str, place: Place) -> None:
        """A key was found in a place."""
        self.found += 1
        self.places.setdefault(key, []).append(place)

    def fail(self, error: StakingError, place: str) -> None:
        """A place could not be read."""
        self.found += 1
        if not isinstance(error, UnreadableError):
            error = UnreadableError(place, str(error))
        self.unreadable.append(error)

    # -- wallets ------------------------------------------------------------------------------------------------------

    def add_wallets(self, entries: t.Sequence[WalletEntry]) -> None:
        """Look into wallets; those without a manifest that fits are decrypted, on all cores."""
        chosen: dict[str, WalletEntry] = {}
        for entry in entries:
            if entry.password and entry.password not in self._passwords:
                self._passwords.append(entry.password)
            real = os.path.realpath(entry.path)
            if real in chosen:
                if chosen[real].client != entry.client:
                    self.conflicts.append(
                        Conflict(entry.path, f"is the wallet of {chosen[real].client} and of {entry.client}")
                    )
                continue
            chosen[real] = entry
            self._owners[real] = entry.client
            self._seen.add(real)
        todo = list(chosen.values())
        for entry, outcome in zip(todo, _keystore.parallel(self._open_wallet, todo, _keystore.cores())):
            if isinstance(outcome, StakingError):
                self.fail(outcome, entry.path)
            elif outcome is not None:
                self._take(entry, outcome)
            self._take_tombstones(entry)

    def _open_wallet(self, entry: WalletEntry) -> WalletContent | StakingError | None:
        try:
            return read_wallet(entry, self.derive)
        except StakingError as exc:
            return exc

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

    def _take_tombstones(self, entry: WalletEntry) -> None:
        try:
            stones = manifests.read_tombstones(entry.path)
        except StakingError as exc:
            self.fail(exc, entry.path)
            return
        for stone in stones:
            self.add(stone.pubkey, Place("tombstone", entry.path, entry.client))

    # -- everything else ----------------------------------------------------------------------------------------------

    def add_data_dirs(self, entries: t.Iterable[Entry]) -> None:
        """Which keys ever signed from a data directory."""
        for entry in entries:
            real = os.path.realpath(entry.path)
            if real in self._owners:
                if self._owners[real] != entry.client:
                    self.conflicts.append(
                        Conflict(entry.path, f"is the data directory of {self._owners[real]} and of {entry.client}")
                    )
                continue
            self._owners[real] = entry.client
            if not is_there(entry.path):
                continue
            try:
                names = os.listdir(entry.path)
            except OSError as exc:
                self.fail(UnreadableError(entry.path, reason_of(exc)), entry.path)
                continue
            for name in sorted(names):
                if name.startswith(_protection.DATABASE) or name == _protection.MINIMAL:
                    self._history(os.path.join(entry.path, name), entry.client)

    def _history(self, path: str, client: str | None) -> None:
        self._seen.add(os.path.realpath(path))
        try:
            if is_directory(path):
                history: History = _protection.read_minimal(path)
            else:
                history = _protection.read_database(path)
        except (StakingError, OSError) as exc:
            self.fail(exc if isinstance(exc, StakingError) else UnreadableError(path, reason_of(exc)), path)
            return
        for key, part in history.keys.items():
            if part.marks() != Marks():
                self.add(key, Place("history", path, client))

    def add_keystores(self, entries: t.Iterable[Entry]) -> None:
        """Keystore files and directories; their public keys stand in the clear."""
        for entry in entries:
            try:
                keystores = _importer.gather([entry.path])
            except StakingError as exc:
                self.fail(exc, entry.path)
                continue
            for keystore in keystores:
                self._seen.add(os.path.realpath(keystore.place))
                self.add(keystore.pubkey, Place("keystore", keystore.place, entry.client))

    def add_keystore_contents(self, items: t.Iterable[tuple[str, str, str | None]]) -> None:
        """Keystores given by name, content and client."""
        for name, content, client in items:
            try:
                for keystore in _importer.gather([], [(name, content)]):
                    self.add(keystore.pubkey, Place("keystore", name, client))
            except StakingError as exc:
                self.fail(exc, name)

    def add_listed(self, kind: str, listed: t.Mapping[str, t.Any], what: str) -> None:
        """Keys that somebody names for a client: the inventory, or a running client itself."""
        for client, keys in listed.items():
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
                    self.conflicts.append(Conflict(f"{what} of {client}", f"names {key} more than once"))
                if key not in seen:
                    self.add(key, Place(kind, f"{what} of {client}", client))
                seen.add(key)

    def add_workloads(self, workloads: t.Sequence[Workload]) -> None:
        """What the cluster starts, or would, with which wallets and databases; to be told after those declared."""
        new: dict[str, WalletEntry] = {}
        for item in workloads:
            if item.wallet is None:
                self.conflicts.append(Conflict(item.where, "signs with a wallet that cannot be looked into from here"))
            for path, what in ((item.wallet, "wallet"), (item.data_dir, "data directory")):
                if path is None:
                    continue
                real = os.path.realpath(path)
                owner = self._owners.setdefault(real, item.client)
                if owner != item.client:
                    self.conflicts.append(Conflict(path, f"is the {what} of {owner} and of {item.where}"))
                elif what == "wallet" and real not in self._seen:
                    new[real] = WalletEntry(path, item.client)
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

    def search(self, root: str, owners: t.Sequence[Entry] = (), exclude: t.Sequence[str] = ()) -> None:
        """Find what nobody declared: wallets, databases and keystores below a directory."""
        if not is_there(root):
            return
        skipped = {os.path.realpath(path) for path in (root, *exclude, *_NEVER)}

        def on_error(exc: OSError) -> None:
            self.fail(UnreadableError(str(exc.filename or root), reason_of(exc)), root)

        # Links are followed, each directory once: a client that is given a link follows it too.
        for directory, names, files in os.walk(root, onerror=on_error, followlinks=True):
            names[:] = sorted(name for name in names if _first_visit(os.path.join(directory, name), skipped))
            if _protection.MINIMAL in names:
                path = os.path.join(directory, _protection.MINIMAL)
                if os.path.realpath(path) not in self._seen:
                    self._history(path, _owner(path, owners))
            for name in sorted(filter(may_matter, files)):
                self.look(os.path.join(directory, name), owners)

    def look(self, path: str, owners: t.Sequence[Entry] = ()) -> None:
        """Take what a file (or a minimal database) holds that nobody declared, whatever it is."""
        name = os.path.basename(path)
        if os.path.realpath(path) in self._seen:
            return
        if name.startswith(_protection.DATABASE) or name == _protection.MINIMAL:
            self._history(path, _owner(path, owners))
        elif _wallet.FILE in name:
            self._stray_wallet(path)
        else:
            self._stray_keystore(path)

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
        self.unreadable[known:] = [
            UnreadableError(f"{machine.host}:{error.place}", error.reason + _REMEDY)
            for error in self.unreadable[known:]
        ]

    def _take_machine(self, machine: Machine) -> None:
        """The keys that another machine has found, as it says."""
        for item in machine.keys:
            where = f"{machine.host}:{item.where}"
            try:
                self.add(normalise(item.key), Place(item.kind, where))
            except PubkeyError as exc:
                self.fail(UnreadableError(where, str(exc)), machine.host)

    def _stray_wallet(self, path: str) -> None:
        wallet_dir = os.path.dirname(os.path.dirname(os.path.dirname(path)))
        name = os.path.basename(path)
        if os.path.realpath(wallet_dir) in self._seen:
            if name in (_wallet.FILE, _wallet.PREVIOUS, _wallet.TEMPORARY):
                # The file itself, or what an interrupted import left of it: read, or to be finished, with its wallet.
                return
        elif name == _wallet.FILE:
            try:
                if _wallet.find(wallet_dir).path == path:
                    manifest = manifests.read_manifest(wallet_dir)
                    if manifest is not None and manifest.describes(read_file(path, _wallet.WALLET_LIMIT)):
                        self._take(WalletEntry(wallet_dir), WalletContent(manifest.pubkeys, (), "manifest"))
                        self._take_tombstones(WalletEntry(wallet_dir))
                        return
            except StakingError as exc:
                self.fail(exc, path)
                return
        try:
            data = read_file(path, _wallet.WALLET_LIMIT)
        except StakingError as exc:
            self.fail(exc, path)
            return
        self._undeclared_wallet(path, data)

    def _undeclared_wallet(self, path: str, data: bytes) -> None:
        try:
            content = _decrypt(data, path, self._passwords, self.derive)
        except _keystore.WrongPasswordError:
            self.fail(UnreadableError(path, "nobody declared it, and none of the known passwords opens it"), path)
        except StakingError as exc:
            self.fail(exc, path)
        else:
            self._take(WalletEntry(path), content)

    def _stray_keystore(self, path: str) -> None:
        try:
            found = status(path)
            if found is None or not stat.S_ISREG(found.st_mode) or found.st_size > _wallet.WALLET_LIMIT:
                return
            data = read_file(os.path.realpath(path), _wallet.WALLET_LIMIT, what=path)
        except (StakingError, OSError) as exc:
            if is_there(path):
                self.fail(exc if isinstance(exc, StakingError) else UnreadableError(path, reason_of(exc)), path)
            return
        try:
            # A large file is taken apart only when it is worth it.
            document = parse_json(data, path) if may_be_sealed(data) else {}
        except StakingError:
            return  # not a keystore, whatever it is
        if not _is_sealed(document):
            return
        if document.get("pubkey") is None:
            # A wallet says nothing of its keys in the clear: this is one under another name, or cannot be told from it.
            self._undeclared_wallet(path, data)
            return
        try:
            key = normalise(document["pubkey"])
        except PubkeyError:
            self.fail(UnreadableError(path, "is a keystore that does not say whose"), path)
            return
        self.add(key, Place("wallet" if _is_in_use(path, key) else "keystore", path))

    # -- the question -------------------------------------------------------------------------------------------------

    def duplicates(self, reinstate: t.Collection[str] = ()) -> list[Duplicate]:
        """Every key whose places contradict each other; keys to reinstate may be where they have left before."""
        found = list(self._same_secret)
        with_wallet = {seen.client for seen in self.wallets} - {None}
        for key in sorted(self.places):
            places = self.places[key]
            reasons = contradictions(places, with_wallet, key in reinstate)
            if reasons:
                found.append(Duplicate(key, "; ".join(reasons), places))
        return found


def _first_visit(path: str, visited: set[str]) -> bool:
    """Whether a directory has not been searched yet; from now on it has."""
    real = os.path.realpath(path)
    if real in visited:
        return False
    visited.add(real)
    return True


def may_matter(name: str) -> bool:
    """Whether a file of this name may hold keys or what they signed: a beacon node keeps many thousands that do not."""
    return _wallet.FILE in name or name.startswith((_protection.DATABASE, "keystore")) or name.endswith(".json")


def may_be_sealed(data: bytes) -> bool:
    """Whether a file's content can be a keystore or a wallet, as far as a glance tells."""
    return b'"crypto"' in data


def _is_sealed(document: t.Any) -> bool:
    """Whether a document is a keystore or a wallet; an account of the execution layer has names for objects."""
    if not _keystore.is_keystore(document):
        return False
    parts = [document["crypto"].get(name) for name in ("checksum", "cipher", "kdf")]
    return document.get("version") == 4 or any(isinstance(part, dict) for part in parts)


def _is_in_use(path: str, key: str) -> bool:
    """Whether a keystore lies as Lighthouse, Lodestar and Nimbus keep what they sign with: below its own name."""
    name = os.path.basename(os.path.dirname(path)).lower()
    return name in (key, key[2:])


def _owner(path: str, owners: t.Sequence[Entry]) -> str | None:
    real = os.path.realpath(path)
    for entry in owners:
        if real.startswith(os.path.realpath(entry.path) + os.sep):
            return entry.client
    return None


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
        reasons.append(f"belongs to {', '.join(sorted(map(str, owners)))}, and is in a wallet that nobody declared")
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
        reasons.append("is live, but in none of the wallets: it is signed for from a place nobody declared")
    return reasons
