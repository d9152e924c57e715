# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The site's own record of what each key has signed, and whose key it is. It only ever grows.

It is kept in several copies (beside the data, on the root disk of the machine that has the data, in the cluster); what
counts is all of them joined. Whoever reads a copy in order to change it holds its lock from before the reading.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    fsync_directory,
    is_file,
    is_there,
    open_directory,
    open_regular,
    parse_json,
    read_file,
    reason_of,
    replace_file,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import (
    MAX_EPOCH,
    History,
    HistoryError,
    Marks,
    key_history,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, normalise
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import Version, VersionError

#: What is kept of a key's records: the slots of its newest blocks, and which of the newest epochs have a vote. Prysm
#: itself prunes votes that are older than this.
BLOCKS = 32
EPOCHS = 512

_LIMIT = 64 << 20
_ALL_VOTES = (1 << EPOCHS) - 1
_ROOT = re.compile(r"0x[0-9a-f]{64}\Z")
_BITS = re.compile(r"[1-9a-f][0-9a-f]*\Z")
_CLIENT = re.compile(r"[!-~]{1,317}\Z")
_IDENTITY = re.compile(r"[0-9A-Za-z-]{1,64}\Z")
#: Interchange files, which are JSON too, have none of these names.
_FIRST_NAME = re.compile(rb'\s*\{\s*"(?:clients|genesis_validators_root|keys|version)"')

_MARKS = {"slot", "source", "target"}
_KEY = {*_MARKS, "client", "blocks", "votes"}
_CLIENT_STATE = {"identity", "transaction", "version"}


class ClaimError(StakingError):
    """A key belongs to another client."""


class Key(t.NamedTuple):
    """What is on record of one key."""

    slot: int | None = None
    source: int | None = None
    target: int | None = None
    #: The client that may sign with it, and how often it has passed from one to another: the later claim counts.
    client: str | None = None
    moves: int = 0
    #: Slots of its newest blocks, upwards.
    blocks: tuple[int, ...] = ()
    #: The newest target on record, and which of the epochs up to it have a vote: bit 0 is that target, bit n the epoch
    #: n before it.
    last: int | None = None
    votes: int = 0

    def watermarks(self) -> Marks:
        """The three numbers that must never go down."""
        return Marks(self.slot, self.source, self.target)

    def has_signed(self) -> bool:
        """Whether it is known to have signed anything."""
        return self.watermarks() != Marks() or bool(self.blocks) or self.last is not None

    def knowledge(self) -> Key:
        """What it has signed, whoever may sign with it."""
        return self._replace(client=None, moves=0)

    def votes_until(self, last: int) -> int:
        """Its votes as seen from a later target."""
        ahead = last - self.last if self.last is not None else EPOCHS
        return self.votes << ahead & _ALL_VOTES if 0 <= ahead < EPOCHS else 0


class ClientState(t.NamedTuple):
    """What is on record of one client's database."""

    identity: str | None = None
    #: bbolt's number of its newest transaction.
    transaction: int | None = None
    #: The highest version of Prysm that has opened it.
    version: str | None = None
    #: How often the database was replaced on purpose: numbers of the one before do not count any more.
    replaced: int = 0


class Record(t.NamedTuple):
    """What each key has signed at this site, and with which client."""

    genesis_validators_root: str | None
    keys: dict[str, Key]
    clients: t.Mapping[str, ClientState] = {}

    def history(self) -> History:
        """The record as a history: what it forbids, without single records."""
        keys = {
            key: key_history([], [], entry.watermarks(), (entry.slot, entry.source, entry.target))
            for key, entry in self.keys.items()
        }
        return History(self.genesis_validators_root, keys, format="record")

    def knowledge(self) -> Record:
        """Only what keys have signed: no claims, no clients, no key that has signed nothing."""
        keys = {key: entry.knowledge() for key, entry in self.keys.items() if entry.has_signed()}
        return Record(self.genesis_validators_root, keys)


EMPTY = Record(None, {})


def normalise_root(text: str) -> str:
    """A genesis validators root in the one spelling we compare."""
    if not _ROOT.match(text.lower()):
        raise StakingError(f"{text!r:.80} is not a genesis validators root (0x and 64 hexadecimal digits)")
    return text.lower()


# -- documents --------------------------------------------------------------------------------------------------------


class _Damaged(Exception):
    pass


def _number(value: t.Any, what: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_EPOCH):
        raise _Damaged(f"{what} is not a number")
    return value


def _counter(entry: dict[str, t.Any], name: str) -> int:
    value = _number(entry.get(name, 0), name)
    if value is None or (not value and name in entry):
        raise _Damaged(f"{name} is not a count")
    return value


def _text(value: t.Any, form: t.Pattern[str], what: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not form.match(value)):
        raise _Damaged(f"{what} is not a name")
    return value


def _votes(value: t.Any) -> tuple[int | None, int]:
    if value is None:
        return None, 0
    if not isinstance(value, dict) or set(value) != {"last", "bits"}:
        raise _Damaged("votes are others")
    last, bits = _number(value["last"], "the last vote"), value["bits"]
    if last is None or not isinstance(bits, str) or len(bits) > EPOCHS // 4 or not _BITS.match(bits):
        raise _Damaged("votes are others")
    votes = int(bits, 16)
    if not votes & 1 or votes.bit_length() > last + 1:
        raise _Damaged("votes are not of their epochs")
    return last, votes


def _blocks(value: t.Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > BLOCKS or None in value:
        raise _Damaged("blocks are not a list of slots")
    slots = [t.cast(int, _number(slot, "a block's slot")) for slot in value]
    if slots != sorted(set(slots)):
        raise _Damaged("blocks are not in order")
    return tuple(slots)


def _key(entry: t.Any, version: int) -> Key:
    wanted = _MARKS if version == 1 else _KEY
    if not isinstance(entry, dict) or set(entry) - ({"moves"} if version > 1 else set()) != wanted:
        raise _Damaged("its fields are others")
    marks = Marks(**{name: _number(entry[name], name) for name in sorted(_MARKS)})
    if version == 1:
        return Key(*marks)
    client, moves = _text(entry["client"], _CLIENT, "client"), _counter(entry, "moves")
    blocks, (last, votes) = _blocks(entry["blocks"]), _votes(entry["votes"])
    if moves and client is None:
        raise _Damaged("it has moved to no client")
    # The highest is never below a record.
    if Marks(blocks[-1] if blocks else None, None, last).join(marks) != marks:
        raise _Damaged("its records are above its highest slot or target")
    return Key(*marks, client, moves, blocks, last, votes)


def _client(entry: t.Any) -> ClientState:
    if not isinstance(entry, dict) or set(entry) - {"replaced"} != _CLIENT_STATE:
        raise _Damaged("its fields are others")
    version = entry["version"]
    if version is not None:
        try:
            Version.parse(version if isinstance(version, str) else "")
        except VersionError as exc:
            raise _Damaged("version is not a release") from exc
    return ClientState(
        _text(entry["identity"], _IDENTITY, "identity"),
        _number(entry["transaction"], "transaction"),
        version,
        _counter(entry, "replaced"),
    )


def from_document(document: t.Any, place: str) -> Record:
    """A record from a document of version 1 or 2; anything else is danger, not a fresh start."""

    def fail(reason: str) -> t.NoReturn:
        raise UnreadableError(place, f"is not a record of signing: {reason}")

    version = document.get("version") if isinstance(document, dict) else None
    names = {"version", "genesis_validators_root", "keys"}
    if not isinstance(document, dict) or set(document) != (names if version == 1 else {*names, "clients"}):
        fail("its fields are others")
    if version not in (1, 2) or not isinstance(version, int) or isinstance(version, bool):
        fail("its version is not known")
    root = document["genesis_validators_root"]
    if root is not None and (not isinstance(root, str) or not _ROOT.match(root)):
        fail("its genesis validators root is damaged")
    keys: dict[str, Key] = {}
    clients: dict[str, ClientState] = {}
    if not isinstance(document["keys"], dict) or not isinstance(document.get("clients", {}), dict):
        fail("its keys or clients are not an object")
    for name, entry in document["keys"].items():
        try:
            key = normalise(name)
        except PubkeyError as exc:
            fail(str(exc))
        try:
            if key in keys:
                raise _Damaged("it is there twice")
            keys[key] = _key(entry, version)
        except _Damaged as exc:
            fail(f"the entry of {key} is damaged: {exc}")
    for name, entry in document.get("clients", {}).items():
        try:
            if _text(name, _CLIENT, "it") is None:
                raise _Damaged("it has no name")
            clients[name] = _client(entry)
        except _Damaged as exc:
            fail(f"the entry of client {name!r:.80} is damaged: {exc}")
    return Record(root, keys, clients)


def to_document(record: Record) -> dict[str, t.Any]:
    """A record as a document of version 2."""
    keys: dict[str, t.Any] = {}
    for key, entry in sorted(record.keys.items()):
        keys[key] = {
            **entry.watermarks()._asdict(),
            "client": entry.client,
            "blocks": list(entry.blocks),
            "votes": None if entry.last is None else {"last": entry.last, "bits": f"{entry.votes:x}"},
        }
        if entry.moves:
            keys[key]["moves"] = entry.moves
    clients: dict[str, t.Any] = {}
    for name, state in sorted(record.clients.items()):
        clients[name] = {"identity": state.identity, "transaction": state.transaction, "version": state.version}
        if state.replaced:
            clients[name]["replaced"] = state.replaced
    return {
        "version": 2,
        "genesis_validators_root": record.genesis_validators_root,
        "keys": keys,
        "clients": clients,
    }


def parse_record(data: bytes, place: str) -> Record:
    """A record from its text."""
    return from_document(parse_json(data, place), place)


def render_record(record: Record) -> bytes:
    """As it stands in the file: an entry a line."""
    document = to_document(record)

    def lines(entries: dict[str, t.Any]) -> str:
        inner = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        return "{\n" + inner + "\n  }" if entries else "{}"

    text = (
        f'{{\n  "version": 2,\n  "genesis_validators_root": {json.dumps(document["genesis_validators_root"])},\n'
        f'  "clients": {lines(document["clients"])},\n  "keys": {lines(document["keys"])}\n}}\n'
    )
    return text.encode("ascii")


def read_record(path: str) -> Record:
    """The record of a site; an empty one when there is none yet."""
    if not is_there(path):
        return EMPTY
    return parse_record(read_file(path, _LIMIT), path)


def is_record(path: str) -> bool:
    """Whether a file is a record of signing, by how it begins."""
    fd = open_regular(path)
    try:
        return _FIRST_NAME.match(os.pread(fd, 256, 0)) is not None
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)


def read_history(path: str) -> tuple[History, str]:
    """The site's record, or whatever _protection.read_any reads; and the path that was read in the end."""
    if is_file(path) and is_record(path):
        return read_record(path).history(), path
    return _protection.read_any(path)


# -- joining ----------------------------------------------------------------------------------------------------------


def join_keys(entries: t.Sequence[Key], key: str = "a key") -> Key:
    """Everything that any of them knows of a key; two claims that contradict each other are an error."""
    if entries and all(entry == entries[0] for entry in entries[1:]):
        return entries[0]
    marks = Marks()
    for entry in entries:
        marks = marks.join(entry.watermarks())
    moves = max((entry.moves for entry in entries), default=0)
    claims = sorted({entry.client for entry in entries if entry.moves == moves and entry.client is not None})
    if len(claims) > 1:
        raise ClaimError(
            f"{key} belongs to {' and to '.join(claims)}, by two copies of the site's record. Find out which of them"
            f" signs with it, take it out of the other's wallet, and name it in prysm_wallet_reassign"
        )
    last = max((entry.last for entry in entries if entry.last is not None), default=None)
    votes = 0
    if last is not None:
        for entry in entries:
            votes |= entry.votes_until(last)
    blocks = sorted({slot for entry in entries for slot in entry.blocks})[-BLOCKS:]
    return Key(*marks, claims[0] if claims else None, moves, tuple(blocks), last, votes)


def _join_clients(states: t.Sequence[ClientState], name: str) -> ClientState:
    replaced = max(state.replaced for state in states)
    states = [state for state in states if state.replaced == replaced]
    identities = sorted({state.identity for state in states if state.identity is not None})
    if len(identities) > 1:
        raise HistoryError(
            f"{name} has two identities, by two copies of the site's record: {' and '.join(identities)}. One of them is"
            " of another site, or of a data directory that was made anew"
        )
    versions = [state.version for state in states if state.version is not None]
    return ClientState(
        identities[0] if identities else None,
        max((state.transaction for state in states if state.transaction is not None), default=None),
        max(versions, key=lambda text: (Version.parse(text), text), default=None),
        replaced,
    )


def join(*records: Record) -> Record:
    """Everything that any of them knows; nothing is ever lowered."""
    roots = {record.genesis_validators_root for record in records} - {None}
    if len(roots) > 1:
        raise HistoryError(f"records of different networks: {' and '.join(sorted(map(str, roots)))}")
    keys: dict[str, list[Key]] = {}
    clients: dict[str, list[ClientState]] = {}
    for record in records:
        for key, entry in record.keys.items():
            keys.setdefault(key, []).append(entry)
        for name, state in record.clients.items():
            clients.setdefault(name, []).append(state)
    return Record(
        next(iter(roots), None),
        {key: join_keys(entries, key) for key, entries in keys.items()},
        {name: _join_clients(states, name) for name, states in clients.items()},
    )


# -- copies on disk ---------------------------------------------------------------------------------------------------


class _Copy(t.NamedTuple):
    path: str
    directory: int
    name: str
    before: Record | None


class Copies:
    """Copies of the record on this machine's disks, locked; the site's own among them."""

    def __init__(self, own: str, copies: list[_Copy]) -> None:
        self._own = own
        self._copies = copies

    @property
    def primary(self) -> Record | None:
        """The site's own; None when there is none yet."""
        return self.found.get(self._own)

    @property
    def found(self) -> dict[str, Record]:
        """What each holds."""
        return {copy.path: copy.before for copy in self._copies if copy.before is not None}

    def write(self, after: Record, make: bool = True) -> list[str]:
        """Bring all of them up to a record that lacks nothing of any, read back; which of them were changed."""
        written = []
        for copy in self._copies:
            if copy.before == after or (copy.before is None and not make):
                continue
            if copy.before is not None and join(copy.before, after) != after:
                raise StakingError(f"{copy.path}: was about to be lowered; nothing was written")
            try:
                replace_file(copy.directory, copy.name, render_record(after))
                if _read_copy(copy.directory, copy.name, copy.path) != after:
                    raise UnreadableError(copy.path, "does not hold what was written to it")
            except OSError as exc:
                raise UnreadableError(copy.path, f"cannot be written: {reason_of(exc)}") from exc
            written.append(copy.path)
        return written


def _read_copy(directory: int, name: str, path: str) -> Record | None:
    if status(name, follow=False, dir_fd=directory, what=path) is None:
        return None
    return parse_record(read_file(name, _LIMIT, directory, path), path)


def _real(path: str) -> str:
    """A path without links, but for the file itself, which must be none."""
    directory, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(directory), name)


def _make_directory(directory: str, parents: bool) -> None:
    if is_there(directory):
        return
    above = os.path.dirname(directory)
    if parents:
        os.makedirs(above, 0o755, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    parent = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync_directory(parent)
    finally:
        os.close(parent)


@contextlib.contextmanager
def locked(record: str, witnesses: t.Sequence[str] = (), seconds: float = 120, make: bool = True) -> t.Iterator[Copies]:
    """The record and its witnesses, each read after it was locked, and locked until this is left.

    make: whether directories that are missing are made, the last one of the record's, all of a witness's. The parent of
    the record's is where the data disk is mounted. Without it, a missing directory has no record and no lock.
    """
    with contextlib.ExitStack() as stack:
        opened: list[tuple[str, int, str]] = []
        # Whoever wants several takes them in one order.
        for path in sorted({_real(path) for path in (record, *witnesses)}):
            directory, name = os.path.split(path)
            try:
                if make:
                    _make_directory(directory, path != _real(record))
                elif not is_there(directory):
                    continue
                fd = open_directory(directory)
            except OSError as exc:
                raise UnreadableError(path, f"cannot be written: {reason_of(exc)}") from exc
            stack.callback(os.close, fd)
            own = os.fstat(fd)
            if not any(os.path.samestat(own, os.fstat(other)) for _path, other, _name in opened):
                _lock(fd, directory, seconds)
            opened.append((path, fd, name))
        yield Copies(_real(record), [_Copy(path, fd, name, _read_copy(fd, name, path)) for path, fd, name in opened])


def witnesses_of(record: str, config: str | None) -> list[str]:
    """The witness that the history watcher of this machine keeps, when it keeps one of this very record."""
    if config is None or not is_there(config):
        return []
    document = parse_json(read_file(config, _LIMIT), config)
    if not isinstance(document, dict) or not all(isinstance(document.get(n), str) for n in ("record", "witness")):
        raise UnreadableError(config, "is not the configuration of the history watcher")
    return [document["witness"]] if _real(document["record"]) == _real(record) else []


def _lock(fd: int, directory: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as exc:
            if time.monotonic() > deadline:
                raise UnreadableError(directory, f"is in use by another run for more than {seconds:.0f} s") from exc
            time.sleep(0.1)


# -- claims -----------------------------------------------------------------------------------------------------------


def claim(
    record: Record,
    claims: t.Mapping[str, t.Sequence[str]],
    released: t.Collection[tuple[str, str | None]] = (),
    reassign: t.Collection[str] = (),
) -> tuple[Record, list[str]]:
    """The claims to add to a record, and what speaks against them.

    released: keys that have left a client (None: that have left this site).
    """
    wanted: dict[str, str] = {}
    refusals = []
    for client, keys in claims.items():
        for key in keys:
            if wanted.setdefault(key, client) != client:
                refusals.append(f"{key} is claimed for {wanted[key]} and for {client}")
    news = {}
    for key, client in wanted.items():
        entry = record.keys.get(key, Key())
        owner = entry.client
        if owner is None:
            news[key] = Key(client=client, moves=entry.moves)
        elif owner == client:
            continue
        elif key in reassign or (key, owner) in released or (key, None) in released:
            news[key] = Key(client=client, moves=entry.moves + 1)
        else:
            refusals.append(
                f"{key} belongs to {owner}, by the site's record, and is claimed for {client}. Move it with"
                f" playbooks/move_key.yml; or, if {owner} has no copy of it any more and never starts again, name it in"
                " prysm_wallet_reassign"
            )
    return Record(None, {} if refusals else news), refusals
