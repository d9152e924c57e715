# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What Prysm's own slashing-protection databases know, read without Prysm."""

from __future__ import annotations

import os
import struct
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._boltdb import Database, Subtree
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    UnreadableError,
    is_directory,
    is_there,
    open_regular,
    read_file,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import DATABASE
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import (
    MAX_EPOCH,
    History,
    KeyHistory,
    KeySummary,
    Marks,
    Summary,
    key_history,
    pack_attestation,
    pack_block,
    summarise,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._interchange import read_interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, from_bytes, normalise

MINIMAL = "validator-client-data"

#: Of the format before v1.1: 8 bytes for the newest epoch, then 48 bytes an epoch, wrapping after this many.
_OLD_WRAP = 54000
_OLD_ENTRY = struct.Struct("<Q32s8x")
_MINIMAL_LIMIT = 1 << 20


class ProtectionError(UnreadableError):
    """A database is not one of Prysm's, or holds something that cannot be."""


class NoDatabaseError(ProtectionError):
    """There is no database where one was looked for."""


#: Every Prysm from v1.2.2 on makes these as it opens a database: one that is missing is damage, not an empty history.
_BUCKETS = (
    b"attestation-history-bucket-interchange",
    b"genesis-info-bucket",
    b"highest-signed-proposals-bucket",
    b"lowest-signed-proposals-bucket",
    b"lowest-signed-source-bucket",
    b"lowest-signed-target-bucket",
    b"migrations",
    b"proposal-history-bucket-interchange",
    b"pubkeys-bucket",
    b"slashable-public-keys",
)
_GENESIS = b"genesis-info-bucket"
_BY_KEY = tuple(name for name in _BUCKETS if name not in (_GENESIS, b"migrations"))
_NO_ROOT = bytes(32)
#: Buckets that a validator's database has, in any version; a beacon node's, etcd's and containerd's have none.
_OF_A_VALIDATOR = (b"pubkeys-bucket", b"genesis-info-bucket", b"history-bucket", b"lowest-signed", b"highest-signed")
#: Epochs that Prysm keeps where it is told to prune.
_KEPT = 512


class Entry(t.NamedTuple):
    """All that a database has of one key, as numbers."""

    pubkey: str
    #: Blocks: slot -> signing root.
    blocks: dict[int, bytes | None]
    #: Attestations: (source, target), and the signing root by target.
    votes: t.Collection[tuple[int, int]]
    roots: dict[int, bytes | None]
    #: Attestations in the format before v1.1: (source, target, root).
    old: list[tuple[int, int, bytes | None]]
    marks: Marks
    floors: tuple[int | None, int | None, int | None]
    blacklisted: bool
    #: Whether anything but the list of blacklisted keys knows it.
    known: bool
    findings: tuple[str, ...]

    def history(self) -> KeyHistory:
        """With every record."""
        return key_history(
            [pack_block(slot, root) for slot, root in self.blocks.items()],
            [
                *(pack_attestation(source, target, self.roots.get(target)) for source, target in self.votes),
                *(pack_attestation(*vote) for vote in self.old),
            ],
            self.marks,
            self.floors,
        )

    def summary(self) -> KeySummary:
        """Without the records."""
        targets = {*self.roots, *(vote[1] for vote in self.votes), *(vote[1] for vote in self.old)}
        marks = self.marks
        if self.votes or self.old:
            sources = [vote[0] for vote in self.votes] + [vote[0] for vote in self.old]
            marks = marks.join(Marks(None, max(sources), max(targets)))
        return summarise(
            self.blocks, targets, marks.join(Marks(max(self.blocks, default=None))), self.floors, self._count()
        )

    def _count(self) -> int:
        if not self.old:
            return len(set(self.votes))
        spans = {(source, target, self.roots.get(target)) for source, target in self.votes}
        return len(spans.union(self.old))


#: What Prysm notes of a key's records beside them, each in a bucket of its own.
_BOUNDS = (
    b"highest-signed-proposals-bucket",
    b"lowest-signed-proposals-bucket",
    b"lowest-signed-source-bucket",
    b"lowest-signed-target-bucket",
)


class _Bounds(t.NamedTuple):
    """The numbers in the buckets of `_BOUNDS`, in their order; None where a bucket has none of the key."""

    high_slot: int | None
    low_slot: int | None
    low_source: int | None
    low_target: int | None

    def marks(self) -> Marks:
        """What was signed at least."""
        return Marks(self.high_slot if self.high_slot is not None else self.low_slot, self.low_source, self.low_target)


class Reader:
    """Reads one committed state of a validator.db, key by key and in the order of the keys."""

    def __init__(self, database: Database) -> None:
        self.place = database.place
        self.transaction = database.meta.txid
        self.notes = tuple(database.notes)
        self._buckets = database.buckets()
        if not {_GENESIS, b"pubkeys-bucket", b"proposal-history-bucket-interchange"} & set(self._buckets):
            self.fail("is a database, but not a validator's")
        missing = [name.decode() for name in _BUCKETS if name not in self._buckets]
        if missing:
            self.fail(f"lacks the bucket {missing[0]}, which every Prysm from v1.2.2 on makes: it is damaged, or older")
        self.root = self._root_of_network()
        # What does not count here is read all the same: damage shows in any page.
        others = {name: tree.whole() for name, tree in self._buckets.items() if name not in (*_BY_KEY, _GENESIS)}
        self._by_epoch = b"optimal_attester_protection_0" in others[b"migrations"]
        self._by_target = b"source_target_epochs_bucket_0" in others[b"migrations"]
        #: Known when every entry was read: an import alone does not note its migrations.
        self.layout = 2 if self._by_target else 1

    def fail(self, reason: str) -> t.NoReturn:
        """What is wrong with the database."""
        raise ProtectionError(self.place, reason)

    def _root_of_network(self) -> str | None:
        root = self._buckets[_GENESIS].whole().get(b"genesis-val-root")
        if root is not None and (not isinstance(root, bytes) or len(root) != 32):
            self.fail("its genesis validators root is not 32 bytes long")
        return "0x" + root.hex() if isinstance(root, bytes) and any(root) else None

    def _number(self, raw: t.Any, what: str) -> int:
        if not isinstance(raw, bytes) or len(raw) != 8:
            self.fail(f"{what} is not a number of 8 bytes")
        return int.from_bytes(raw, "big")

    def _numbers(self, raws: t.Sequence[bytes], what: str) -> tuple[int, ...]:
        if not set(map(len, raws)) <= {8}:
            self.fail(f"{what} is not a number of 8 bytes")
        return struct.unpack(f">{len(raws)}Q", b"".join(raws))

    def _root(self, raw: bytes, what: str) -> bytes | None:
        if len(raw) > 32:
            self.fail(f"{what} is not a signing root")
        return raw.ljust(32, b"\0") if any(raw) else None

    def _rooted(self, tree: t.Any, number: str, root: str, bucket: str) -> dict[int, bytes | None]:
        if not isinstance(tree, Subtree):
            self.fail(f"{bucket} is not a bucket")
        found: dict[int, bytes | None] = {}
        for keys, values, flags in tree.leaves():
            if any(flags):
                self.fail(f"{root} is not a signing root")
            roots: t.Sequence[bytes | None] = values
            if _NO_ROOT in values or not set(map(len, values)) <= {32}:
                roots = [self._root(value, root) for value in values]
            found.update(zip(self._numbers(keys, number), roots))
        return found

    def _pairs(self, tree: Subtree, one: str, others: str) -> list[tuple[int, int]]:
        """The pairs of a bucket that lists, for a number, the numbers it occurs with."""
        found: list[tuple[int, int]] = []
        for keys, values, flags in tree.leaves():
            if any(flags):
                self.fail(f"{others} is not a list of 8-byte numbers")
            numbers = self._numbers(keys, one)
            lengths = set(map(len, values))
            if lengths <= {8}:
                found.extend(zip(numbers, struct.unpack(f">{len(values)}Q", b"".join(values))))
                continue
            if any(length % 8 for length in lengths):
                self.fail(f"{others} is not a list of 8-byte numbers")
            for number, value in zip(numbers, values):
                found.extend((number, other) for other in struct.unpack(f">{len(value) // 8}Q", value))
        return found

    def _votes(self, tree: t.Any) -> tuple[t.Collection[tuple[int, int]], dict[int, bytes | None], tuple[str, ...]]:
        """A key's attestations, their roots (which may have outlived them), and what does not agree."""
        if not isinstance(tree, Subtree):
            self.fail("an attestation history is not a bucket")
        roots: dict[int, bytes | None] = {}
        by_source: list[tuple[int, int]] = []
        by_target: list[tuple[int, int]] | None = None
        for name, inner in tree.items():
            if not isinstance(inner, Subtree):
                self.fail(f"{name!r} is a value where a bucket is expected")
            if name == b"att-signing-roots-bucket":
                roots = self._rooted(inner, "a target", "an attestation's root", "a list of roots")
            elif name == b"att-source-epochs-bucket":
                by_source = self._pairs(inner, "a source", "a source's targets")
            elif name == b"att-target-epochs-bucket":
                self.layout = 2
                by_target = [
                    (source, target) for target, source in self._pairs(inner, "a target", "a target's sources")
                ]
            else:
                self.fail(f"an attestation history has a part {name!r:.60} that is not known")
        if by_target is None and self._by_target:
            by_target = []
        # Which is how it always is, unless votes share a source or a target.
        if by_target is None or by_source == by_target:
            votes: t.Collection[tuple[int, int]] = set(by_source) if by_target is None else by_source
            sources, targets = votes, votes
        else:
            sources, targets = set(by_source), set(by_target)
            votes = sources | targets
        return votes, roots, self._disagreement(sources, targets, roots)

    def _disagreement(
        self,
        by_source: t.Collection[tuple[int, int]],
        by_target: t.Collection[tuple[int, int]],
        roots: t.Collection[int],
    ) -> tuple[str, ...]:
        """What Prysm writes together and no longer is together, pruning apart."""
        found = []
        if by_source is not by_target:
            last_source = max((pair[0] for pair in by_source), default=0)
            last_target = max((pair[1] for pair in by_target), default=0)
            lost = {pair for pair in set(by_source) - set(by_target) if pair[1] > last_target - _KEPT}
            lost |= {pair for pair in set(by_target) - set(by_source) if pair[0] > last_source - _KEPT}
            if lost:
                source, target = min(lost)
                found.append(
                    f"the vote from {source} to {target} is on record by its source or by its target only"
                    f" ({len(lost)} such votes): the file is damaged, or an older Prysm has written to it"
                )
        targets = {pair[1] for pair in by_target} | {pair[1] for pair in by_source}
        bare = [target for target in targets.difference(roots) if target > max(targets) - _KEPT]
        if bare:
            found.append(f"{len(bare)} votes have no signing root on record, the first for target {min(bare)}")
        return tuple(found)

    def _old_votes(self, raw: t.Any) -> tuple[list[tuple[int, int, bytes | None]], Marks]:
        """A key's attestations in the format before v1.1, which a migration down writes again."""
        if not isinstance(raw, bytes) or len(raw) < 8 or (len(raw) - 8) % _OLD_ENTRY.size:
            self.fail("an attestation history of the old format is damaged")
        newest = int.from_bytes(raw[:8], "little")
        votes = []
        for i, (source, root) in enumerate(_OLD_ENTRY.iter_unpack(raw[8:])):
            if source == MAX_EPOCH or (source == 0 and not any(root)):
                continue
            target = i if newest < _OLD_WRAP else newest - (newest - i) % _OLD_WRAP
            votes.append((source, target, root if any(root) else None))
        return votes, Marks(None, None, newest or None)

    def _by_key(self) -> t.Iterator[tuple[bytes, dict[bytes, t.Any]]]:
        """What each of the buckets has of one key, for one key after the other."""
        streams = {name: self._buckets[name].items() for name in _BY_KEY}
        heads = {name: next(stream, None) for name, stream in streams.items()}
        # A database that was migrated down has the votes of all its keys in the format before v1.1.
        self._old_counts = not self._by_epoch and heads[b"attestation-history-bucket-interchange"] is not None
        while True:
            keys = [head[0] for head in heads.values() if head is not None]
            if not keys:
                return
            key = min(keys)
            if len(key) != 48:
                name = next(name for name, head in heads.items() if head is not None and head[0] == key)
                self.fail(f"{name.decode()} has an entry for something that is not a public key")
            at = {name: head[1] for name, head in heads.items() if head is not None and head[0] == key}
            yield key, at
            for name in at:
                heads[name] = next(streams[name], None)

    def entries(self) -> t.Iterator[Entry]:
        """One key after the other, by public key."""
        for raw, at in self._by_key():
            yield self._entry(from_bytes(raw), at)

    def _entry(self, pubkey: str, at: dict[bytes, t.Any]) -> Entry:
        """All that the buckets have of a key; `at` is what each of them has."""
        bounds = _Bounds(*(self._number(at[name], name.decode()) if name in at else None for name in _BOUNDS))
        blocks: dict[int, bytes | None] = {}
        if b"proposal-history-bucket-interchange" in at:
            blocks = self._rooted(
                at[b"proposal-history-bucket-interchange"], "a slot", "a block's root", "a proposal history"
            )
        votes: t.Collection[tuple[int, int]] = ()
        roots: dict[int, bytes | None] = {}
        findings: tuple[str, ...] = ()
        if b"pubkeys-bucket" in at:
            votes, roots, findings = self._votes(at[b"pubkeys-bucket"])
        old: list[tuple[int, int, bytes | None]] = []
        marks = Marks(None, None, max(roots, default=None))
        if b"attestation-history-bucket-interchange" in at:
            old, newest = self._old_votes(at[b"attestation-history-bucket-interchange"])
            marks = marks.join(newest)
        findings += self._against(pubkey, bounds, blocks, old if self._old_counts else votes or roots)
        if self._old_counts and old:
            findings += (
                "its votes were migrated down to the format before v1.1, which mixes up those of several keys",
            )
        return Entry(
            pubkey,
            blocks,
            votes,
            roots,
            old,
            marks.join(bounds.marks()),
            (bounds.low_slot, bounds.low_source, bounds.low_target),
            b"slashable-public-keys" in at,
            set(at) != {b"slashable-public-keys"},
            findings,
        )

    def _against(
        self, pubkey: str, bounds: _Bounds, blocks: t.Collection[int], votes: t.Collection[t.Any]
    ) -> tuple[str, ...]:
        """What the bounds of a key's records say against these. Bounds without any record are damage."""
        # Prysm writes these beside the first record and removes neither.
        if (bounds.low_source is not None or bounds.low_target is not None) and not votes:
            self.fail(f"has the lowest vote of {pubkey}, but none of its votes: it is damaged")
        if (bounds.high_slot is not None or bounds.low_slot is not None) and not blocks:
            self.fail(f"has the lowest or highest block of {pubkey}, but none of its blocks: it is damaged")
        if bounds.high_slot is not None and bounds.high_slot != max(blocks):
            return (f"the highest block should be at slot {bounds.high_slot}, and is on record at slot {max(blocks)}",)
        return ()


def read_database(path: str, attempts: int = 20) -> History:
    """A validator.db with all its records; also while its validator runs."""
    return _boltdb.consistently(path, lambda database: History(*_read(database, Entry.history)), attempts)


def read_marks(path: str, attempts: int = 20) -> Summary:
    """What a validator.db amounts to; memory does not grow with its records, and it may run meanwhile."""
    return _boltdb.consistently(path, lambda database: Summary(*_read(database, Entry.summary)), attempts)


def read_marks_in(fd: int, place: str, attempts: int = 20) -> Summary:
    """The same of an open validator.db, which may have lost its name since."""
    return _boltdb.consistently_in(fd, place, lambda database: Summary(*_read(database, Entry.summary)), attempts)


def _read(database: Database, take: t.Callable[[Entry], t.Any]) -> tuple[t.Any, ...]:
    """The fields of a History or Summary, with what is taken of each key."""
    reader = Reader(database)
    keys, barred, findings = {}, set(), []
    for entry in reader.entries():
        if entry.known:
            keys[entry.pubkey] = take(entry)
        if entry.blacklisted:
            barred.add(entry.pubkey)
        findings += [f"{entry.pubkey}: {finding}" for finding in entry.findings]
    return (
        reader.root,
        keys,
        frozenset(barred),
        "prysm",
        tuple(findings),
        reader.notes,
        reader.transaction,
        reader.layout,
    )


def _yaml(path: str) -> t.Any:
    try:
        import yaml
    except ImportError as exc:
        raise ProtectionError(path, "cannot be read: the Python package yaml is missing") from exc
    try:
        return yaml.safe_load(read_file(path, _MINIMAL_LIMIT))
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise ProtectionError(path, "is not YAML") from exc


def read_minimal(directory: str) -> History:
    """Prysm's minimal database: a directory of small files, without any lock."""
    settings = _yaml(os.path.join(directory, "configuration.yaml"))
    root = settings.get("genesisValidatorsRoot") if isinstance(settings, dict) else None
    keys = {}
    folder = os.path.join(directory, "slashing-protection")
    for name in sorted(os.listdir(folder)) if is_directory(folder) else []:
        path = os.path.join(folder, name)
        entry = _yaml(path)
        numbers = {}
        for field in ("latestSignedBlockSlot", "lastSignedAttestationSourceEpoch", "lastSignedAttestationTargetEpoch"):
            value = entry.get(field) if isinstance(entry, dict) else "nothing"
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_EPOCH
            ):
                raise ProtectionError(path, f"{field} is not a slot or an epoch")
            numbers[field] = value
        slot, source, target = numbers.values()
        try:
            pubkey = normalise(name[: -len(".yaml")] if name.endswith(".yaml") else name)
        except PubkeyError as exc:
            raise ProtectionError(path, str(exc)) from exc
        keys[pubkey] = key_history(
            [], [], Marks(slot, source if target is not None else None, target), (slot, source, target)
        )
    return History(root if isinstance(root, str) else None, keys, format="prysm-minimal")


def is_validators_database(path: str) -> bool:
    """Whether a bbolt database is a validator client's, by the names of its buckets alone.

    One that cannot be taken apart counts as such: reading it whole says what is wrong.
    """
    fd = open_regular(path)
    try:
        names = _boltdb.top_names(fd)
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    except (struct.error, ValueError):
        return True
    finally:
        os.close(fd)
    return any(part in name for name in names for part in _OF_A_VALIDATOR)


def may_be_a_database(path: str) -> bool:
    """Whether a regular file of any name is a validator's database, whole or damaged."""
    fd = open_regular(path)
    try:
        found = _boltdb.is_bolt(fd, os.fstat(fd).st_size, os.pread(fd, 64, 0))
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)
    return found and is_validators_database(path)


def find(path: str) -> tuple[str, str]:
    """What a path leads to (prysm, prysm-minimal or interchange), and the file or directory that holds it."""
    if is_directory(path):
        database, small = os.path.join(path, DATABASE), os.path.join(path, MINIMAL)
        both = [place for place in (database, small) if is_there(place)]
        if len(both) > 1:
            raise ProtectionError(path, f"holds both {DATABASE} and {MINIMAL}; Prysm starts with neither")
        if not both:
            raise NoDatabaseError(path, f"holds no {DATABASE}")
        return ("prysm", database) if both == [database] else ("prysm-minimal", small)
    if not is_there(path):
        raise NoDatabaseError(path, "is not there")
    fd = open_regular(path)
    try:
        first = os.pread(fd, 256, 0).lstrip()[:1]
    except OSError as exc:
        raise ProtectionError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)
    return ("interchange" if first == b"{" else "prysm"), path


def read_any(path: str) -> tuple[History, str]:
    """A validator.db, an interchange file, or a data directory; and the path that was read in the end."""
    kind, place = find(path)
    if kind == "prysm":
        return read_database(place), place
    return (read_minimal if kind == "prysm-minimal" else read_interchange)(place), place


def read_any_marks(path: str) -> tuple[Summary, str]:
    """The same without the records; the memory for a validator.db does not grow with them."""
    kind, place = find(path)
    if kind == "prysm":
        return read_marks(place), place
    return (read_minimal if kind == "prysm-minimal" else read_interchange)(place).summary(), place
