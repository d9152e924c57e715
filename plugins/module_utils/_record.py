# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The site's own record of how far each key has signed, never lowered, and the refusal to start with less than it."""

from __future__ import annotations

import fcntl
import os
import re
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    StakingError,
    UnreadableError,
    as_json,
    fsync_directory,
    is_file,
    is_there,
    open_directory,
    open_regular,
    parse_json,
    read_file,
    reason_of,
    replace_file,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._history import (
    MAX_EPOCH,
    History,
    HistoryError,
    Marks,
    key_history,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._locks import lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils._pubkey import PubkeyError, normalise

_LIMIT = 64 << 20
_ROOT = re.compile(r"0x[0-9a-f]{64}\Z")
#: Interchange files, which are JSON too, have none of these names.
_FIRST_NAME = re.compile(rb'\s*\{\s*"(?:genesis_validators_root|keys|version)"')


class Record(t.NamedTuple):
    """How far each key has signed at this site."""

    genesis_validators_root: str | None
    keys: dict[str, Marks]

    def history(self) -> History:
        """The record as a history: what it forbids, without single records."""
        keys = {
            key: key_history([], [], marks, (marks.slot, marks.source, marks.target))
            for key, marks in self.keys.items()
        }
        return History(self.genesis_validators_root, keys, format="record")


def normalise_root(text: str) -> str:
    """A genesis validators root in the one spelling we compare."""
    if not _ROOT.match(text.lower()):
        raise StakingError(f"{text!r:.80} is not a genesis validators root (0x and 64 hexadecimal digits)")
    return text.lower()


def parse_record(data: bytes, place: str) -> Record:
    """A record from its text."""

    def fail(reason: str) -> t.NoReturn:
        raise UnreadableError(place, f"is not a record of signing: {reason}")

    document = parse_json(data, place)
    if not isinstance(document, dict) or set(document) != {"version", "genesis_validators_root", "keys"}:
        fail("its fields are others")
    if document["version"] != 1 or isinstance(document["version"], bool):
        fail("its version is not known")
    root = document["genesis_validators_root"]
    if root is not None and (not isinstance(root, str) or not _ROOT.match(root)):
        fail("its genesis validators root is damaged")
    if not isinstance(document["keys"], dict):
        fail("its keys are not an object")
    keys = {}
    for name, entry in document["keys"].items():
        try:
            key = normalise(name)
        except PubkeyError as exc:
            fail(str(exc))
        if not isinstance(entry, dict) or set(entry) != set(Marks._fields) or key in keys:
            fail(f"the entry of {key} is damaged")
        for value in entry.values():
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_EPOCH
            ):
                fail(f"the entry of {key} is damaged")
        keys[key] = Marks(**entry)
    return Record(root, keys)


def render_record(record: Record) -> bytes:
    """As it stands in the file."""
    return as_json(
        {
            "version": 1,
            "genesis_validators_root": record.genesis_validators_root,
            "keys": {key: marks._asdict() for key, marks in record.keys.items()},
        }
    )


def read_record(path: str) -> Record:
    """The record of a site; an empty one when there is none yet."""
    if not is_there(path):
        return Record(None, {})
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


def join(*records: Record) -> Record:
    """The higher of each mark; nothing is ever lowered."""
    roots = {record.genesis_validators_root for record in records} - {None}
    if len(roots) > 1:
        raise HistoryError(f"records of different networks: {' and '.join(sorted(map(str, roots)))}")
    keys: dict[str, Marks] = {}
    for record in records:
        for key, marks in record.keys.items():
            keys[key] = keys.get(key, Marks()).join(marks)
    return Record(next(iter(roots), None), keys)


def raise_record(path: str, news: Record) -> tuple[Record, Record]:
    """Add news to the record on disk; the record before and after. Two runs at a time do not lose each other's news."""
    directory, name = os.path.split(os.path.abspath(path))
    try:
        if not is_there(directory):
            os.mkdir(directory, 0o700)
            parent = os.open(os.path.dirname(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fsync_directory(parent)
            finally:
                os.close(parent)
        fd = open_directory(directory)
        try:
            _lock(fd, directory)
            before = read_record(path)
            after = join(before, news)
            if after != before or not is_there(path):
                replace_file(fd, name, render_record(after))
                if read_record(path) != after:
                    raise UnreadableError(path, "does not hold what was written to it")
            return before, after
        finally:
            os.close(fd)
    except OSError as exc:
        raise UnreadableError(path, f"cannot be written: {reason_of(exc)}") from exc


def _lock(fd: int, directory: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as exc:
            if time.monotonic() > deadline:
                raise UnreadableError(directory, f"is in use by another run for more than {seconds:.0f} s") from exc
            time.sleep(0.1)


class Client(t.NamedTuple):
    """A validator client that is about to start, or runs."""

    name: str
    data_dir: str
    pubkeys: tuple[str, ...]


class Refusal(t.NamedTuple):
    """Why a client must not start."""

    client: str
    pubkey: str | None
    reason: str


class Verdict(t.NamedTuple):
    """What the databases know, and what speaks against starting."""

    refusals: list[Refusal]
    news: Record
    blacklisted: dict[str, list[str]]
    locked: dict[str, str]


def judge(
    record: Record, clients: t.Sequence[Client], genesis_validators_root: str | None = None, stopped: bool = False
) -> Verdict:
    """Compare what each client's database knows of its keys with the record. Nothing is written."""
    refusals: list[Refusal] = []
    blacklisted: dict[str, list[str]] = {}
    locked: dict[str, str] = {}
    owners: dict[str, str] = {}
    directories: dict[str, str] = {}
    expected = genesis_validators_root or record.genesis_validators_root
    if record.genesis_validators_root not in (None, expected):
        raise StakingError(
            f"the record is of network {record.genesis_validators_root}, not of {expected}: another network needs"
            " another data directory"
        )
    news = Record(expected, {key: Marks() for client in clients for key in client.pubkeys})
    read: list[tuple[Client, History, str]] = []
    for client in clients:
        real = os.path.realpath(client.data_dir)
        if real in directories:
            refusals.append(
                Refusal(client.name, None, f"{client.data_dir} is the data directory of {directories[real]} too")
            )
        directories[real] = client.name
        for key in client.pubkeys:
            if owners.setdefault(key, client.name) != client.name:
                refusals.append(Refusal(client.name, key, f"is a key of {owners[key]} too"))
        try:
            history, place = _protection.read_any(client.data_dir)
            holder = lock_holder(place) if is_file(place) else None
        except _protection.NoDatabaseError as exc:
            history, place, holder = History(None, {}, format="none"), str(exc), None
        except StakingError as exc:
            refusals.append(Refusal(client.name, None, str(exc)))
            continue
        if history.format not in ("prysm", "none"):
            refusals.append(
                Refusal(
                    client.name,
                    None,
                    f"{place} is Prysm's minimal database, which is not locked: two clients can use it",
                )
            )
            continue
        if holder is not None:
            locked[client.name] = holder
            if stopped:
                refusals.append(Refusal(client.name, None, f"{place} is locked by {holder}: a client still runs"))
        root = history.genesis_validators_root
        if root is not None and expected is not None and root != expected:
            refusals.append(
                Refusal(client.name, None, f"{place} belongs to another network: {root} instead of {expected}")
            )
            continue
        if root is not None and expected is None:
            expected = root
        read.append((client, history, place))
        barred = [key for key in client.pubkeys if key in history.blacklisted]
        if barred:
            blacklisted[client.name] = barred
        found = {key: part.marks() for key, part in history.keys.items()}
        if root is not None or any(marks != Marks() for marks in found.values()):
            news = join(news._replace(genesis_validators_root=expected), Record(root, found))
    # What any of these databases knows counts, also for the client that starts with another one.
    known = join(record._replace(genesis_validators_root=None), news._replace(genesis_validators_root=None))
    for client, history, place in read:
        for key in client.pubkeys:
            reason = _short(known.keys.get(key, Marks()), history, key, place)
            if reason is not None:
                refusals.append(Refusal(client.name, key, reason))
    return Verdict(refusals, news, blacklisted, locked)


def _short(record: Marks, history: History, key: str, place: str) -> str | None:
    part = history.keys.get(key)
    missing = (part.marks() if part is not None else Marks()).missing(record)
    if not missing:
        return None
    if history.format == "none":
        return f"has signed at this site, but its database is missing: {place}"
    if part is None or part.marks() == Marks():
        return f"has signed at this site, but {place} knows nothing of it"
    return f"has signed more than {place} knows: {', '.join(missing)}"
