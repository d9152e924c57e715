# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Bring keystores into a wallet, or take keys out of it: what would change, and doing it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import struct
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb, _places
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    is_directory,
    is_there,
    parse_json,
    read_file,
    reason_of,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import DATABASE
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks import hold, hold_client, lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _keystore, _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, normalise
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _stores

#: deposit_data files list every deposit of a person; this is room for a hundred thousand.
_DEPOSIT_LIMIT = 128 << 20


#: How deep Prysm 4.2 and later look for keystores below a directory that they are given.
_DEPTH = 2

#: What other tools keep beside keystores, by name: passed over, and said so.
_COMPANIONS = (
    (re.compile(r"bls_to_execution_change", re.I), "is a change of withdrawal credentials"),
    (re.compile(r"signed_exit_transaction|voluntary_exit", re.I), "is a signed exit"),
    (re.compile(r"deposit[_-]data", re.I), "is deposit data"),
    (re.compile(r"validator_definitions", re.I), "is a client's list of its accounts"),
    (re.compile(r"pubkeys?\b|validators?\.json", re.I), "is a list of keys"),
    (re.compile(r"\.(?:zip|gz|xz|bz2|zst|7z|tar|tgz)\Z", re.I), "is an archive, which is not opened"),
    (re.compile(r"\.(?:gpg|pgp|asc|age|enc|p7m)\Z", re.I), "is encrypted, and is not opened"),
    (re.compile(r"\.(?:txt|pass|password|passwd|pwd|secret)\Z", re.I), "may be a password"),
    (re.compile(r"(?:pass(?:word|phrase|wd)|secret)s?\Z", re.I), "may be a password"),
)
#: Histories by name, as Lighthouse, Nimbus, Teku, Lodestar and Prysm call them; one that is damaged is one, too.
_HISTORY = re.compile(r"slash(?:ing)?[-_ ]?protect|validator[^/]*\.db(?:\W|\Z)", re.I)
#: Lodestar's is a keystore of all its keys together.
_CACHE = re.compile(r"key[-_]?cache|keystores?\.cache", re.I)
#: What only a history says, in the form of any client: EIP-3076, also inside another document; the tables of Lighthouse
#: and Nimbus; Teku's files.
_SAYS_HISTORY = re.compile(
    rb"interchange_format_version|signed_?(?:blocks|attestations)|lastSigned(?:Block|Attestation)", re.I
)


class PassedOver(t.NamedTuple):
    """A file or directory among keystores that is none, and what it is."""

    path: str
    reason: str


class Collected(t.NamedTuple):
    """What lies at the places that were given: keystores, and everything else by name."""

    keystores: list[_keystore.Keystore]
    #: The content of each keystore's file, by its place.
    contents: dict[str, bytes]
    #: Passwords that lie beside keystores, by the place of the keystore.
    beside: dict[str, str]
    #: Slashing protection: interchange files and databases.
    histories: list[str]
    passed_over: list[PassedOver]
    #: Keys that deposit data names, by file.
    deposits: dict[str, list[str]]
    problems: list[StakingError]
    #: Keys that a cluster signs for with shares of them, by the file that says so.
    clusters: dict[str, list[str]]

    def unmatched(self) -> dict[str, list[str]]:
        """Keys of deposit data that no keystore here holds, by file."""
        held = {keystore.pubkey for keystore in self.keystores} - {""}
        left = {path: [key for key in keys if key not in held] for path, keys in self.deposits.items()}
        return {path: keys for path, keys in left.items() if keys}


class Passwords:
    """Which password opens which keystore: by public key, path, file name or directory, else the common one.

    A password file beside a keystore counts where nothing else is given.
    """

    def __init__(
        self,
        common: str | None = None,
        by_name: t.Mapping[str, str] | None = None,
        beside: t.Mapping[str, str] | None = None,
    ) -> None:
        self._common = common
        self._beside = dict(beside or {})
        self._by_name: dict[str, str] = {}
        for name, password in (by_name or {}).items():
            if not isinstance(password, str):
                raise StakingError(f"the keystore password for {name} is not a text; put it in quotes")
            try:
                self._by_name[normalise(name)] = password
            except PubkeyError:
                self._by_name[str(name).rstrip("/")] = password

    def find(self, keystore: _keystore.Keystore, beside: t.Mapping[str, str] | None = None) -> str | None:
        """The password for a keystore, if one is known."""
        place = keystore.place
        for name in (keystore.pubkey, place, os.path.basename(place), os.path.dirname(place)):
            if name and name in self._by_name:
                return self._by_name[name]
        if self._common is not None:
            return self._common
        return {**self._beside, **(beside or {})}.get(place)

    def of(self, keystore: _keystore.Keystore) -> str:
        found = self.find(keystore)
        if found is None:
            whose = f" ({keystore.pubkey})" if keystore.pubkey else ""
            raise StakingError(f"{keystore.place}: no password is given for this keystore{whose}")
        return found


def is_deposit_data(document: t.Any) -> bool:
    """Whether a JSON document is what the deposit tool writes beside its keystores."""
    return isinstance(document, list) and all(isinstance(item, dict) and "pubkey" in item for item in document)


def _deposited(document: t.Any, path: str) -> list[str]:
    return _normalised((item["pubkey"] for item in document), path)


def _normalised(keys: t.Iterable[t.Any], path: str) -> list[str]:
    try:
        return [normalise(key) for key in keys]
    except PubkeyError as exc:
        raise UnreadableError(path, str(exc)) from exc


def deposited(paths: t.Iterable[str]) -> set[str]:
    """The public keys that deposit_data files name."""
    keys: set[str] = set()
    for path in paths:
        document = parse_json(read_file(os.path.realpath(path), _DEPOSIT_LIMIT, what=path), path)
        if not is_deposit_data(document):
            raise UnreadableError(path, "is not a deposit_data file")
        keys.update(_deposited(document, path))
    return keys


KEYSTORE, HISTORY, DEPOSIT, CLUSTER, OTHER = "keystore", "history", "deposit", "cluster", "other"


def classify(name: str, data: bytes, place: str) -> tuple[str, str, t.Any]:
    """What a file among keystores is: kind, why it is no keystore, and its JSON. What claims to be one must be one.

    It claims to be one by holding "crypto", by its name, or by being a .json file that cannot be read as JSON.
    """
    lower = name.lower()
    stem, dot, ending = lower.rpartition(".")
    companion = next((reason for pattern, reason in _COMPANIONS if pattern.search(name)), "")
    claims = (stem if dot else lower).startswith("keystore") and (ending == "json" if dot else not companion)
    if data[16:20] == _BOLT_MAGIC:
        return HISTORY, "is a slashing-protection database", None
    if _HISTORY.search(name) and not _keystore.looks_sealed(data):
        return HISTORY, "is a slashing-protection history", None
    if _SAYS_HISTORY.search(data) and not _keystore.looks_sealed(data):
        return HISTORY, "is a slashing-protection history", None
    if data.startswith(b"$ANSIBLE_VAULT"):
        raise _keystore.KeystoreError(place, "is encrypted by Ansible Vault, which only the controller can open")
    try:
        document = _keystore.parse_document(data, place)
    except UnreadableError:
        if claims or _keystore.looks_sealed(data) or (ending == "json" and dot and not companion):
            raise
        return OTHER, companion or "is no keystore", None
    if isinstance(document, dict):
        if _keystore.is_keystore(document):
            if _keystore.is_execution_account(document) and not claims:
                return OTHER, "is an account of the execution layer", document
            if _keystore.is_seed(document) and not claims:
                return OTHER, "is a wallet with a seed, which no client signs with", document
            if not claims and (_CACHE.search(name) or _keystore.is_cache(document)):
                return OTHER, "is a client's cache of its keys", document
            if not claims and _keystore.is_of_another_version(document):
                return OTHER, "is sealed, but of another version than keystores of validators (4)", document
            return KEYSTORE, "", document
        metadata = document.get("metadata")
        if isinstance(metadata, dict) and "interchange_format_version" in metadata:
            return HISTORY, "is a slashing-protection history", document
    if isinstance(document, (dict, list)) and _sealed_inside(document, place):
        raise _keystore.KeystoreError(place, "holds keystores in a list; write each into a file of its own")
    if is_deposit_data(document):
        return DEPOSIT, "is deposit data", document
    if _stores.distributed_keys(document):
        return CLUSTER, "lists keys that a cluster signs for (SSV, Charon)", document
    if claims:
        raise _keystore.KeystoreError(place, "is not an EIP-2335 keystore: crypto is missing")
    return OTHER, companion or "is JSON, but no keystore", document


_BOLT_MAGIC = struct.pack("<I", _boltdb.MAGIC)


def _sealed_inside(document: t.Any, place: str) -> bool:
    return bool(_stores.sealed_documents(document, place))


Read = t.Callable[[str], bytes]


def _read(path: str) -> bytes:
    return read_file(_places.follow(path), _DEPOSIT_LIMIT, what=path)


def collect(paths: t.Iterable[str], read: Read = _read) -> Collected:
    """Every keystore of these files and directories, and whatever else lies there, by name.

    Each path gives at least one keystore, or is a problem; so is a file that claims to be a keystore and is none.
    """
    into = Collected([], {}, {}, [], [], {}, [], {})
    for path in paths:
        before = len(into.keystores), len(into.problems)
        try:
            if is_directory(path):
                _in_directory(path, into, read, _DEPTH, set())
                if (len(into.keystores), len(into.problems)) == before:
                    raise UnreadableError(path, "holds no keystore" + _what_instead(path, into))
            else:
                _take(path, into, read, named=True)
        except StakingError as exc:
            if isinstance(exc, UnreadableError) and exc.place == path and _pattern(path, exc.reason):
                exc = UnreadableError(path, f"{exc.reason} (patterns are not expanded: name the directory)")
            into.problems.append(exc)
    held = {keystore.pubkey for keystore in into.keystores}
    for place, keys in into.clusters.items():
        here = [key for key in keys if key in held]
        if here:
            into.problems.append(
                StakingError(
                    f"Slashing risk: {place} says that a cluster signs for {here[0]}, whose keystore is here. Make sure"
                    " that its operators have stopped for good, then move that file away"
                )
            )
    return into


def _pattern(path: str, reason: str) -> bool:
    return any(sign in path for sign in "*?[") and reason == os.strerror(errno.ENOENT)


def _what_instead(path: str, into: Collected) -> str:
    inside = [os.path.basename(item.path) for item in into.passed_over if item.path.startswith(path.rstrip("/") + "/")]
    return f" (only {', '.join(inside[:3])}{' and more' if len(inside) > 3 else ''})" if inside else ""


def _in_directory(path: str, into: Collected, read: Read, depth: int, around: set[_places.Identity]) -> None:
    """Take what lies in a directory, as deep as Prysm looks; links are followed as it follows them."""
    here = _places.identity(path)
    if here in around:
        return
    try:
        names = sorted(os.listdir(path))
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    for name in names:
        place = os.path.join(path, name)
        try:
            found = status(place)
            if name.startswith("."):
                into.passed_over.append(PassedOver(place, "is hidden"))
            elif found is None:
                raise UnreadableError(place, "is a broken symbolic link")
            elif stat.S_ISDIR(found.st_mode):
                if name == _protection.MINIMAL or _is_leveldb_of_validators(place):
                    into.histories.append(path if name == _protection.MINIMAL else place)
                    into.passed_over.append(PassedOver(place, "is a slashing-protection database"))
                elif depth > 1:
                    _in_directory(place, into, read, depth - 1, around | {here})
                else:
                    into.passed_over.append(PassedOver(place, "is a directory deeper than Prysm looks"))
            elif not stat.S_ISREG(found.st_mode):
                into.passed_over.append(PassedOver(place, "is not a regular file"))
            else:
                _take(place, into, read, names=names)
        except StakingError as exc:
            into.problems.append(exc)


def _is_leveldb_of_validators(path: str) -> bool:
    """Whether a directory is Lodestar's database of what its keys signed; that of its beacon node says nothing."""
    return "validator" in os.path.basename(path).lower() and is_there(os.path.join(path, "CURRENT"))


def _take(path: str, into: Collected, read: Read, named: bool = False, names: t.Collection[str] | None = None) -> None:
    """Take a file; one that is named itself must be a keystore."""
    name = os.path.basename(path)
    data = read(path)
    kind, reason, document = classify(name, data, path)
    if kind == KEYSTORE or (named and kind == OTHER):
        keystore = _keystore.parse_keystore(data, path)
        into.keystores.append(keystore)
        into.contents[path] = data
        if names is None:
            names = os.listdir(os.path.dirname(path) or os.curdir)
        beside = _stores.password_beside(path, names)
        if beside is not None:
            into.beside[path] = _password(read(beside), beside)
        return
    if named and kind == DEPOSIT:
        raise UnreadableError(path, "is deposit data, not a keystore")
    if named:
        raise UnreadableError(path, f"{reason}, not a keystore; name it in slashing_protection")
    if kind == HISTORY:
        into.histories.append(path)
    elif kind == DEPOSIT:
        into.deposits[path] = _deposited(document, path)
    elif kind == CLUSTER:
        into.clusters[path] = _normalised(_stores.distributed_keys(document), path)
    into.passed_over.append(PassedOver(path, reason))


def _password(data: bytes, place: str) -> str:
    """A password as it stands in a file; line ends at its end are not part of it."""
    if len(data) > _stores.PASSWORD_LIMIT:
        raise UnreadableError(place, "is too long to be the password of the keystore beside it")
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise UnreadableError(place, "is not UTF-8 text") from exc


def gather(paths: t.Iterable[str], contents: t.Iterable[tuple[str, str]] = ()) -> list[_keystore.Keystore]:
    """Every keystore of these files and directories, and of these (name, content) pairs."""
    collected = collect(paths)
    if collected.problems:
        raise together(collected.problems)
    found = collected.keystores
    for name, content in contents:
        data = content.encode("utf-8", "surrogateescape")
        if classify(os.path.basename(name), data, name)[0] not in (DEPOSIT, HISTORY, CLUSTER):
            found.append(_keystore.parse_keystore(data, name))
    return found


def together(problems: t.Sequence[StakingError]) -> StakingError:
    """Several problems as one."""
    return problems[0] if len(problems) == 1 else StakingError(" | ".join(map(str, problems)))


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
    #: Whether keys to remove that are not there get a tombstone as well.
    also_missing: bool = False
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
    """What is on the disk: the wallet's file (current), what it would be replaced with if damaged, and what counts."""

    found: _wallet.Found
    current: bytes | None
    previous: bytes | None
    data: bytes | None
    keys: list[_wallet.Key]
    manifest: bytes | None
    stones: list[manifests.Tombstone]


def _look(request: Request) -> _Now:
    found = _wallet.find(request.wallet_dir)
    current = found.read() if found.exists else None
    place = os.path.join(os.path.dirname(found.path), _wallet.PREVIOUS)
    previous = read_file(place, _wallet.WALLET_LIMIT) if is_there(place) else None
    path = os.path.join(request.wallet_dir, manifests.MANIFEST)
    beside = read_file(path, manifests.LIMIT) if is_there(path) else None
    if current is None and previous is None and beside is not None:
        raise _wallet.WalletError(
            found.path,
            f"is gone, though {path} lists its keys; put the file back from a backup, or remove the list if the keys"
            " have left this wallet for good",
        )
    stones = manifests.read_tombstones(request.wallet_dir)
    data, keys = _open(current, previous, found, place, request, {stone.pubkey for stone in stones})
    return _Now(found, current, previous, data, keys, beside, stones)


def _open(
    current: bytes | None,
    previous: bytes | None,
    found: _wallet.Found,
    place: str,
    request: Request,
    buried: set[str],
) -> tuple[bytes | None, list[_wallet.Key]]:
    """The wallet that counts, and its keys. The previous file counts only where the current one is damaged or gone."""
    if current is not None:
        try:
            keys = _wallet.parse(current, found.path, request.password)
        except _keystore.WrongPasswordError:
            raise  # Another password is no damage: the previous file must not take its place.
        except UnreadableError:
            if previous is None:
                raise
        else:
            _wallet.check_pairs(keys, found.path, _keystore.cores())
            if previous is not None and previous != current:
                _nothing_lost(previous, place, keys, buried, request)
            return current, keys
    if previous is None:
        return None, []
    # A run that was stopped may have left the file it was about to replace.
    keys = _wallet.parse(previous, place, request.password)
    _wallet.check_pairs(keys, place, _keystore.cores())
    back = [key.pubkey for key in keys if key.pubkey in buried and key.pubkey not in request.reinstate]
    if back:
        raise _wallet.WalletError(
            found.path,
            f"is {'gone' if current is None else 'damaged'}, and {place}, which would take its place, holds {back[0]},"
            " which has left this wallet; put a backup of the wallet in its place",
        )
    return previous, keys


def _nothing_lost(
    previous: bytes, place: str, keys: t.Sequence[_wallet.Key], buried: set[str], request: Request
) -> None:
    """What an interrupted run left is removed only when every key in it is in the wallet, or has left it."""
    try:
        old = _wallet.parse(previous, place, request.password)
    except UnreadableError as exc:
        raise _wallet.WalletError(
            place, f"was left by an interrupted run and cannot be read ({exc.reason}); move it away by hand"
        ) from exc
    secrets = {key.secret for key in keys}
    lost = [key.pubkey for key in old if key.secret not in secrets and key.pubkey not in buried]
    if lost:
        raise _wallet.WalletError(
            place, f"was left by an interrupted run and holds {lost[0]}, which the wallet lacks; move it away by hand"
        )


def _new_keys(request: Request, now: _Now) -> list[_wallet.Key]:
    there = {key.pubkey for key in now.keys}
    wanted: dict[str, list[_keystore.Keystore]] = {}
    for keystore in request.keystores:
        keystore = keystore.named(request.passwords.find(keystore))
        if request.deposits is not None and keystore.pubkey not in request.deposits:
            raise StakingError(f"{keystore.place}: {keystore.pubkey} is not in the deposit data given with it")
        files = wanted.setdefault(keystore.pubkey, [])
        # The same file twice, or a copy of it, is one.
        if keystore.crypto._replace(place="") not in [other.crypto._replace(place="") for other in files]:
            files.append(keystore)
    new = {pubkey: files for pubkey, files in wanted.items() if pubkey not in there}
    buried = {stone.pubkey: stone for stone in now.stones}
    for pubkey, files in new.items():
        if pubkey in buried and pubkey not in request.reinstate:
            raise StakingError(
                f"{files[0].place}: {pubkey} has left {request.wallet_dir} on {buried[pubkey].removed}"
                f" ({buried[pubkey].reason}) and may live elsewhere now; to bring it back name it in 'reinstate'"
            )
    # Of several files for one key, each is opened: opening refuses a secret that is another key's.
    todo = [
        (keystore, request.passwords.of(keystore))
        for pubkey, files in wanted.items()
        if pubkey in new or len(files) > 1
        for keystore in files
    ]
    workers = _keystore.workers_for(keystore.crypto.kdf for keystore, _password in todo)
    secrets = _keystore.parallel(lambda item: item[0].open(item[1]), todo, workers)
    opened = {keystore.pubkey: secret for (keystore, _password), secret in zip(todo, secrets)}
    return [_wallet.Key(pubkey, opened[pubkey]) for pubkey in new]


def _plan(request: Request, now: _Now) -> tuple[list[_wallet.Key], list[manifests.Tombstone], list[str], list[str]]:
    """The keys and tombstones there shall be, and which keys come and go."""
    if request.remove:
        gone = set(request.remove)
        keys = [key for key in now.keys if key.pubkey not in gone]
        removed = [key.pubkey for key in now.keys if key.pubkey in gone]
        known = {stone.pubkey for stone in now.stones}
        buried = request.remove if request.also_missing else removed
        added = [manifests.Tombstone(key, request.now, request.reason) for key in buried if key not in known]
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
    touched = write_wallet or now.data != now.current
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
                f"{directory} holds {_protection.MINIMAL}, Prysm's minimal database, which has no lock: whether a"
                " validator client runs on this wallet cannot be seen"
            )
    return [os.path.join(directory, DATABASE) for directory in directories]


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
    databases = _databases(request, found)
    if request.data_dir is not None:
        # With the lock that its guard waits for, which holds whatever becomes of the database's own.
        if not stack.enter_context(hold_client(request.data_dir)):
            raise StakingError(f"the client of {request.data_dir} is starting this very moment; stop it first")
        databases.remove(os.path.join(request.data_dir, DATABASE))
    for database in databases:
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
            store.tidy(now.data, now.previous)
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
