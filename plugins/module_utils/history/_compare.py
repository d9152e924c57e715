# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Whether one history protects at least as well as another, key by key: memory does not grow with the records."""

from __future__ import annotations

import os
import tempfile
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    is_directory,
    is_file,
    open_regular,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _interchange, _protection, _record
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import (
    History,
    KeyHistory,
    KeySummary,
    Summary,
    lacking,
)

Result = t.TypeVar("Result")


class Side(t.NamedTuple):
    """One history, its keys in order: (public key, records, whether Prysm refuses its duties)."""

    kind: str
    place: str
    root: str | None
    entries: t.Iterator[tuple[str, KeyHistory, bool]]
    findings: list[str]
    notes: list[str]


class _Spool:
    """An interchange file, whose keys stand in any order: their packed records wait on the disk."""

    def __init__(self, path: str, file: t.IO[bytes]) -> None:
        self.path = path
        self.file = file
        self.places: dict[str, list[tuple[int, _interchange.Listed, int, int]]] = {}
        self.findings: list[str] = []
        self.notes: list[str] = []
        fd = open_regular(path)
        try:
            self.root = _interchange.walk(fd, path, self._put)
        finally:
            os.close(fd)

    def _put(self, listed: _interchange.Listed) -> None:
        if listed.pubkey in self.places:
            self.notes.append(f"{listed.pubkey}: is listed more than once")
        history = listed.history
        light = listed._replace(history=history._replace(blocks=b"", attestations=b""))
        place = (self.file.tell(), light, len(history.blocks), len(history.attestations))
        self.file.write(history.blocks + history.attestations)
        self.places.setdefault(listed.pubkey, []).append(place)

    def _get(self, offset: int, light: _interchange.Listed, blocks: int, attestations: int) -> _interchange.Listed:
        self.file.seek(offset)
        data = self.file.read(blocks + attestations)
        if len(data) != blocks + attestations:
            raise UnreadableError(self.path, "its copy on the disk ends too early")
        whole = light.history._replace(blocks=data[:blocks], attestations=data[blocks:])
        return light._replace(history=whole)

    def entries(self) -> t.Iterator[tuple[str, KeyHistory, bool]]:
        for pubkey in sorted(self.places):
            listed, *others = [self._get(*place) for place in self.places[pubkey]]
            for other in others:
                listed = listed.join(other)
            self.findings.extend(f"{pubkey}: {finding}" for finding in listed.findings())
            yield pubkey, listed.history, False


def _from_history(history: History, place: str) -> Side:
    keys = sorted({*history.keys, *history.blacklisted})
    empty = KeyHistory()
    return Side(
        history.format,
        place,
        history.genesis_validators_root,
        ((key, history.keys.get(key, empty), key in history.blacklisted) for key in keys),
        list(history.findings),
        list(history.notes),
    )


def opened(path: str, work: t.Callable[[Side], Result]) -> Result:
    """What some work makes of a history of any form; for a running database it may be done more than once."""
    if not is_directory(path) and is_file(path) and _record.is_record(path):
        return work(_from_history(_record.read_record(path).history(), path))
    kind, place = _protection.find(path)
    if kind == "prysm-minimal":
        return work(_from_history(_protection.read_minimal(place), place))
    if kind == "prysm":

        def read(database: _boltdb.Database) -> Result:
            reader = _protection.Reader(database)
            findings: list[str] = []
            side = Side(kind, place, reader.root, _rows(reader, findings), findings, list(reader.notes))
            result = work(side)
            # Also what was not asked for: damage may be in any page.
            for _row in side.entries:
                pass
            return result

        return _boltdb.consistently(place, read)
    try:
        with tempfile.TemporaryFile(dir=_boltdb.spool()) as file:
            spool = _Spool(place, file)
            return work(Side(kind, place, spool.root, spool.entries(), spool.findings, spool.notes))
    except OSError as exc:
        raise UnreadableError(path, f"cannot be read: {reason_of(exc)}") from exc


def _rows(reader: _protection.Reader, findings: list[str]) -> t.Iterator[tuple[str, KeyHistory, bool]]:
    for entry in reader.entries():
        findings.extend(f"{entry.pubkey}: {finding}" for finding in entry.findings)
        yield entry.pubkey, entry.history(), entry.blacklisted


class Comparison(t.NamedTuple):
    """What the first history lacks of the second, by key."""

    lacking: dict[str, list[str]]
    keys: int
    #: What the first says against itself, when it is a database: Prysm would see less of it than was read.
    findings: tuple[str, ...]


def compare(have: str, want: str) -> Comparison:
    """Compare two histories record by record, signing roots included; another network is an error."""
    return opened(have, lambda one: opened(want, lambda other: _join(one, other)))


def _join(have: Side, want: Side) -> Comparison:
    # A database that has never seen its network has signed nothing.
    if want.root is not None and have.root != want.root:
        raise StakingError(f"{have.place} belongs to network {have.root}, {want.place} to {want.root}")
    found, keys = {}, 0
    row = next(have.entries, None)
    for key, wanted, barred in want.entries:
        keys += 1
        while row is not None and row[0] < key:
            row = next(have.entries, None)
        had, now_barred = (row[1], row[2]) if row is not None and row[0] == key else (KeyHistory(), False)
        short = lacking(had, wanted)
        if now_barred and not barred:
            short.append("it would get no duties any more: the import has blacklisted it")
        if short:
            found[key] = short
    for _row in have.entries:
        pass
    return Comparison(found, keys, tuple(have.findings) if have.kind == "prysm" else ())


def summarised(path: str) -> tuple[Summary, str]:
    """What a history of any form amounts to; and the path that was read in the end."""
    if not is_directory(path) and is_file(path) and _record.is_record(path):
        return _record.read_record(path).history().summary(), path
    kind, place = _protection.find(path)
    if kind != "interchange":
        return _protection.read_any_marks(path)

    def work(side: Side) -> Summary:
        keys: dict[str, KeySummary] = {key: part.summary() for key, part, _barred in side.entries}
        return Summary(side.root, keys, format="interchange", findings=tuple(side.findings), notes=tuple(side.notes))

    return opened(path, work), place
