# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What a validator key has signed, wherever it was read from, and whether one history covers another.

A million records must fit into little memory, so a key's records are kept packed: sorted, without repetition, 41 bytes
a block and 49 bytes an attestation.
"""

from __future__ import annotations

import struct
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError

MAX_EPOCH = (1 << 64) - 1

_BLOCK = struct.Struct(">Q?32s")
_ATTESTATION = struct.Struct(">QQ?32s")
_NO_ROOT = bytes(32)


class HistoryError(StakingError):
    """Two histories cannot be put together."""


class Block(t.NamedTuple):
    """A signed block; the root is None when it was not recorded."""

    slot: int
    root: bytes | None


class Attestation(t.NamedTuple):
    """A signed attestation; the root is None when it was not recorded."""

    source: int
    target: int
    root: bytes | None


def pack_block(slot: int, root: bytes | None) -> bytes:
    """A block as one sortable piece."""
    return _BLOCK.pack(slot, root is not None, root or _NO_ROOT)


def pack_attestation(source: int, target: int, root: bytes | None) -> bytes:
    """An attestation as one sortable piece: by target, then by source."""
    return _ATTESTATION.pack(target, source, root is not None, root or _NO_ROOT)


def _highest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _lowest(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


class KeyHistory(t.NamedTuple):
    """Everything known to be signed by one key.

    The marks are kept beside the records because a database may know them without the records (pruned, or the
    remains of a migration).
    """

    blocks: bytes = b""
    attestations: bytes = b""
    highest_slot: int | None = None
    highest_source: int | None = None
    highest_target: int | None = None
    #: Nothing at or below these is signed again (sources: nothing below); None when nothing is known.
    floor_slot: int | None = None
    floor_source: int | None = None
    floor_target: int | None = None

    def block_records(self) -> t.Iterator[Block]:
        """Its blocks, by slot."""
        for slot, known, root in _BLOCK.iter_unpack(self.blocks):
            yield Block(slot, root if known else None)

    def attestation_records(self) -> t.Iterator[Attestation]:
        """Its attestations, by target, then by source."""
        for target, source, known, root in _ATTESTATION.iter_unpack(self.attestations):
            yield Attestation(source, target, root if known else None)

    @property
    def block_count(self) -> int:
        return len(self.blocks) // _BLOCK.size

    @property
    def attestation_count(self) -> int:
        return len(self.attestations) // _ATTESTATION.size

    def watermarks(self) -> Marks:
        """The three numbers that must never go down."""
        return Marks(self.highest_slot, self.highest_source, self.highest_target)

    def summary(self) -> KeySummary:
        """The same without its records."""
        return summarise(
            (slot for slot, _known, _root in _BLOCK.iter_unpack(self.blocks)),
            {target for target, _source, _known, _root in _ATTESTATION.iter_unpack(self.attestations)},
            self.watermarks(),
            (self.floor_slot, self.floor_source, self.floor_target),
            self.attestation_count,
        )


class Marks(t.NamedTuple):
    """The highest slot, source and target a key has signed; None where it has signed none."""

    slot: int | None = None
    source: int | None = None
    target: int | None = None

    def join(self, other: Marks) -> Marks:
        """The higher of each."""
        return Marks(*(_highest(a, b) for a, b in zip(self, other)))

    def missing(self, record: Marks) -> list[str]:
        """In what these fall short of a record, in words."""
        short = []
        for name, have, want in zip(self._fields, self, record):
            if want is not None and (have is None or have < want):
                short.append(f"highest {name} {'none' if have is None else have} instead of {want}")
        return short


#: How many of a key's newest block slots, and how many epochs of its votes, a summary names one by one.
SUMMARY_SLOTS = 32
SUMMARY_EPOCHS = 512


class KeySummary(t.NamedTuple):
    """What one key's history amounts to: its size does not grow with the records."""

    highest_slot: int | None = None
    highest_source: int | None = None
    highest_target: int | None = None
    floor_slot: int | None = None
    floor_source: int | None = None
    floor_target: int | None = None
    #: The slots of its newest blocks on record, upwards.
    slots: tuple[int, ...] = ()
    #: The newest target on record, and which of the epochs up to it have a vote: bit 0 is that target, bit n the
    #: epoch n before it.
    last_target: int | None = None
    targets: int = 0
    blocks: int = 0
    attestations: int = 0

    def watermarks(self) -> Marks:
        """The three numbers that must never go down."""
        return Marks(self.highest_slot, self.highest_source, self.highest_target)


def summarise(
    slots: t.Iterable[int],
    targets: t.Collection[int],
    marks: Marks,
    floors: tuple[int | None, int | None, int | None],
    attestations: int,
) -> KeySummary:
    """A summary of records that are given as numbers, in any order and with repetitions."""
    ordered = sorted(set(slots))
    last = max(targets, default=None)
    bits = 0
    if last is not None:
        for target in targets:
            if last - target < SUMMARY_EPOCHS:
                bits |= 1 << (last - target)
    return KeySummary(
        *marks, *floors, tuple(ordered[-SUMMARY_SLOTS:]), last, bits, blocks=len(ordered), attestations=attestations
    )


class Summary(t.NamedTuple):
    """What one place knows, key by key, without its records."""

    genesis_validators_root: str | None
    keys: dict[str, KeySummary]
    blacklisted: frozenset[str] = frozenset()
    format: str = "prysm"
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    #: bbolt's number of the state that was read.
    transaction: int | None = None
    #: How many changes of layout the database has seen: 2 from Prysm v1.3.0 on.
    layout: int | None = None


class History(t.NamedTuple):
    """What one place knows: a database, an interchange file, or several joined."""

    genesis_validators_root: str | None
    keys: dict[str, KeyHistory]
    blacklisted: frozenset[str] = frozenset()
    format: str = "interchange"
    #: What a file says against itself, and what is only unusual.
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    #: bbolt's number of the state that was read; None where it was no database.
    transaction: int | None = None
    #: How many changes of layout the database has seen: 2 from Prysm v1.3.0 on.
    layout: int | None = None

    def summary(self) -> Summary:
        """The same without its records."""
        keys = {key: part.summary() for key, part in self.keys.items()}
        return Summary(
            self.genesis_validators_root,
            keys,
            self.blacklisted,
            self.format,
            self.findings,
            self.notes,
            self.transaction,
            self.layout,
        )


def _split(packed: bytes, size: int) -> list[bytes]:
    return [packed[i : i + size] for i in range(0, len(packed), size)]


def key_history(
    blocks: t.Collection[bytes],
    attestations: t.Collection[bytes],
    extra: Marks = Marks(),  # noqa: B008 - a tuple never changes
    floors: tuple[int | None, int | None, int | None] | None = None,
) -> KeyHistory:
    """A key's history from packed records, in any order and with repetitions.

    extra are marks known beside the records; floors (slot, source, target), when not given, are the lowest records:
    that is how EIP-3076 wants a history to be used.
    """
    packed_blocks = b"".join(sorted(set(blocks)))
    packed = sorted(set(attestations))
    packed_attestations = b"".join(packed)
    marks = extra
    lowest_slot = lowest_source = lowest_target = None
    if packed_blocks:
        lowest_slot = int.from_bytes(packed_blocks[:8], "big")
        last = int.from_bytes(packed_blocks[-_BLOCK.size : -_BLOCK.size + 8], "big")
        marks = marks.join(Marks(slot=last))
    if packed:
        lowest_target = int.from_bytes(packed[0][:8], "big")
        sources = [record[8:16] for record in packed]
        lowest_source = int.from_bytes(min(sources), "big")
        marks = marks.join(
            Marks(None, int.from_bytes(max(sources), "big"), int.from_bytes(packed[-1][:8], "big")),
        )
    if floors is None:
        floors = (lowest_slot, lowest_source, lowest_target)
    return KeyHistory(packed_blocks, packed_attestations, *marks, *floors)


def unknown_to(known: KeyHistory, history: KeyHistory) -> KeyHistory:
    """The records of a history that another one has not.

    A record without a root is known when there is any record of the same message.
    """

    def news(mine: bytes, theirs: bytes, size: int, root: int) -> list[bytes]:
        there = set(_split(theirs, size))
        messages = {record[:root] for record in there}
        return [r for r in _split(mine, size) if r not in there and (r[root] or r[:root] not in messages)]

    return key_history(
        news(history.blocks, known.blocks, _BLOCK.size, 8),
        news(history.attestations, known.attestations, _ATTESTATION.size, 16),
    )


def slashable_pairs(history: KeyHistory) -> list[str]:
    """Pairs of records that would be a slashable offence, in words; a missing root counts as another root."""
    found = []
    last_slot: int | None = None
    for slot, _known, _root in _BLOCK.iter_unpack(history.blocks):
        if slot == last_slot:
            found.append(f"two blocks for slot {slot}")
        last_slot = slot
    last_target: int | None = None
    spans = []
    for target, source, _known, _root in _ATTESTATION.iter_unpack(history.attestations):
        if source > target:
            found.append(f"an attestation from {source} to {target}, backwards")
        if target == last_target:
            found.append(f"two attestations for target {target}")
        last_target = target
        spans.append((source, -target))
    # By source upwards: an earlier one with a higher target surrounds this one. At equal sources the highest target
    # comes first, and only those of lower sources count.
    spans.sort()
    reach, reach_source = -1, -1
    group_source, group_reach = -1, -1
    for source, negative in spans:
        target = -negative
        if source != group_source:
            if group_reach > reach:
                reach, reach_source = group_reach, group_source
            group_source, group_reach = source, target
        if reach > target:
            found.append(f"the attestation from {reach_source} to {reach} surrounds that from {source} to {target}")
    return found


def lacking(have: KeyHistory, want: KeyHistory) -> list[str]:
    """What a history lacks of another, in words; empty when it protects at least as well.

    A record may be missing where the history's floor forbids everything the record forbids.
    """
    short = have.watermarks().missing(want.watermarks())
    if have.blocks != want.blocks:
        there = set(_split(have.blocks, _BLOCK.size))
        floor = -1 if have.floor_slot is None else have.floor_slot
        gone = [b for b in _split(want.blocks, _BLOCK.size) if b not in there and int.from_bytes(b[:8], "big") > floor]
        slots = {block[:8] for block in there}
        gone = [b for b in gone if b[8] or b[:8] not in slots]
        if gone:
            short.append(f"{len(gone)} blocks, the first at slot {int.from_bytes(gone[0][:8], 'big')}")
    if have.attestations != want.attestations:
        there = set(_split(have.attestations, _ATTESTATION.size))
        source_floor = -1 if have.floor_source is None else have.floor_source
        target_floor = -1 if have.floor_target is None else have.floor_target
        missing = []
        spans = None
        for record in _split(want.attestations, _ATTESTATION.size):
            if record in there:
                continue
            target, source, known, _root = _ATTESTATION.unpack(record)
            if target <= target_floor and source <= source_floor:
                continue
            if not known:
                # Without a root it forbids every vote for that target; any record of the same vote does nearly that.
                spans = spans if spans is not None else {other[:16] for other in there}
                if record[:16] in spans:
                    continue
            missing.append((source, target))
        if missing:
            source, target = missing[0]
            short.append(f"{len(missing)} attestations, the first from {source} to {target}")
    return short


def merge(histories: t.Sequence[History]) -> History:
    """Everything that any of them knows."""
    roots = {history.genesis_validators_root for history in histories} - {None}
    if len(roots) > 1:
        raise HistoryError(f"histories of different networks cannot be joined: {' and '.join(sorted(map(str, roots)))}")
    keys: dict[str, KeyHistory] = {}
    for pubkey in dict.fromkeys(key for history in histories for key in history.keys):
        parts = [history.keys[pubkey] for history in histories if pubkey in history.keys]
        marks = Marks()
        for part in parts:
            marks = marks.join(part.watermarks())
        keys[pubkey] = key_history(
            [block for part in parts for block in _split(part.blocks, _BLOCK.size)],
            [vote for part in parts for vote in _split(part.attestations, _ATTESTATION.size)],
            marks,
            # A client that is given all of them goes by the lowest.
            (
                _lowest(*(part.floor_slot for part in parts)),
                _lowest(*(part.floor_source for part in parts)),
                _lowest(*(part.floor_target for part in parts)),
            ),
        )
    blacklisted: frozenset[str] = frozenset().union(*(history.blacklisted for history in histories))
    return History(next(iter(roots), None), keys, blacklisted)
