# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Histories that arrive with their keys, put together into the one file that Prysm imports into a new database.

Prysm forbids what lies at or below the lowest records it is given (slots, targets; sources: below), and what its
records forbid one by one. So records of one source that lie below what another source forbids as a whole must not be in
the file: they would lower the floor of the database. They are left out, and the floor forbids everything they forbid.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    fsync_directory,
    is_directory,
    is_there,
    open_directory,
    open_regular,
    reason_of,
    remove_if_there,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import DATABASE
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import (
    Attestation,
    Block,
    KeyHistory,
    Marks,
    key_history,
    lacking,
    pack_attestation,
    pack_block,
    slashable_pairs,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._interchange import (
    FILLER,
    Listed,
    chunks,
    walk,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks import lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import read_history

#: Prysm drops blocks of this many epochs before the newest while it imports, and keeps its floor where it was.
_PRUNED_EPOCHS = 54000
_SLOTS_PER_EPOCH = 32
#: Votes of more than this many epochs before the newest become part of the floor. It is what Prysm and Lighthouse keep
#: where they prune. Prysm also compares each vote of a file with every other: v7.1.6 takes 37 seconds a key for 4,096.
KEPT_EPOCHS = 512
#: On a disk, which /tmp may not be.
_SPOOL = "/var/tmp"
_BOLT_MAGIC = _boltdb.MAGIC.to_bytes(4, "little")
_OF_TEKU = "is a file of Teku's own. Export it with `teku slashing-protection export` (see docs/guides)"
_PACKED = "is packed. Unpack it first"
_UTF16 = "is UTF-16 text. Write it again as UTF-8"
_NOT_MADE_FOR_THIS = (
    (b"SQLite format 3\0", "is the SQLite database of another client. Export it with that client (see docs/guides)"),
    (b"---\nlastSigned", _OF_TEKU),
    (b"lastSigned", _OF_TEKU),
    (b"---\ngenesisValidatorsRoot", _OF_TEKU),
    (b"BZh", _PACKED),
    (b"\xfd7zXZ\0", _PACKED),
    (b"\x28\xb5\x2f\xfd", _PACKED),
    (b"\xff\xfe", _UTF16),
    (b"\xfe\xff", _UTF16),
    (b"\x1f\x8b", _PACKED),
    (b"PK\x03\x04", _PACKED),
    (b"$ANSIBLE_VAULT", "is encrypted by Ansible Vault, and holds no secret. Decrypt it first"),
)


class ArrivalError(StakingError):
    """What arrives cannot be given to a client."""


def unfilled(part: KeyHistory) -> KeyHistory:
    """A history in which a signing root that we once made up is unknown again."""
    if FILLER not in part.blocks and FILLER not in part.attestations:
        return part
    return key_history(
        [pack_block(b.slot, None if b.root == FILLER else b.root) for b in part.block_records()],
        [
            pack_attestation(a.source, a.target, None if a.root == FILLER else a.root)
            for a in part.attestation_records()
        ],
        part.watermarks(),
        (part.floor_slot, part.floor_source, part.floor_target),
    )


def has_signed(part: KeyHistory) -> bool:
    """Whether a history says anything of its key; one that is listed with nothing might just not be known there."""
    return bool(part.blocks or part.attestations) or part.watermarks() != Marks()


# -- what arrives -----------------------------------------------------------------------------------------------------


class Arrival(t.NamedTuple):
    """A history that arrives for a client."""

    client: str
    #: Where it is, controller or nfs, and its path there.
    on: str
    path: str
    #: Its path on the NFS server once it was brought; that of one that is there is its own.
    dest: str


def arriving(
    entries: t.Iterable[t.Mapping[str, t.Any]], beside: t.Mapping[str, t.Mapping[str, t.Any]], directory: str
) -> list[Arrival]:
    """Each history that entries of prysm_validators name, or that lies beside their keystores, once and in their order.

    beside says of each client, by its name, `on` which machine and in which `paths` histories lie beside its keystores.
    Paths of the controller are relative to where Ansible was started. What is brought lies below the directory, and
    two files of one name do not meet there.
    """
    found: list[Arrival] = []
    for entry in entries:
        client, own = entry["name"], entry.get("keystores_on") or "controller"
        near = beside.get(client) or {"on": own, "paths": []}
        named = [(own, path) for path in entry.get("slashing_protection") or []]
        for on, path in [*named, *((near["on"], path) for path in near["paths"])]:
            dest = path
            if on == "controller":
                path = os.path.realpath(os.path.expanduser(path))
                digest = hashlib.sha1(path.encode("utf-8", "surrogateescape")).hexdigest()
                dest = f"{directory}/{client}/{digest[:8]}-{os.path.basename(path)}"
            found.append(Arrival(client, on, path, dest))
    return list(dict.fromkeys(found))


# -- one history out of several ---------------------------------------------------------------------------------------


def _settle_blocks(parts: t.Sequence[KeyHistory]) -> list[Block]:
    roots: dict[int, set[bytes | None]] = {}
    for part in parts:
        for block in part.block_records():
            roots.setdefault(block.slot, set()).add(block.root)
        # A database may know the number without the record.
        if part.highest_slot is not None:
            roots.setdefault(part.highest_slot, {None})
        if part.floor_slot is not None:
            roots.setdefault(part.floor_slot, {None})
    if not roots:
        return []
    floor = max((part.floor_slot for part in parts if part.floor_slot is not None), default=min(roots))
    newest = max(roots) // _SLOTS_PER_EPOCH
    kept = [slot for slot in roots if slot // _SLOTS_PER_EPOCH + _PRUNED_EPOCHS > newest]
    floor = max(floor, min(kept))
    return [Block(slot, root) for slot in sorted(roots) if slot >= floor for root in _known(roots[slot])]


def _known(roots: set[bytes | None]) -> list[bytes | None]:
    """The roots that are known, or one that is not: a record without a root describes the one that has one."""
    return [*sorted(root for root in roots if root is not None)] or [None]


def _settle_votes(parts: t.Sequence[KeyHistory]) -> list[Attestation]:
    """Votes above a floor that is itself a vote, and forbid all that any part forbids, record by record or as a whole.

    Where nothing from source S up and above target T is known but the floor (no vote with a source below S, none with a
    target up to T), a known vote with a lower source and a higher target forbids what T, raised to its target, forbids;
    one with a target up to T and a higher source forbids what S, raised to its source, forbids.
    """
    roots: dict[tuple[int, int], set[bytes | None]] = {}
    for part in parts:
        for vote in part.attestation_records():
            roots.setdefault((vote.source, vote.target), set()).add(vote.root)
    sources = [part.floor_source for part in parts if part.floor_source is not None]
    targets = [part.floor_target for part in parts if part.floor_target is not None]
    for part in parts:
        # A database may know the numbers without the records.
        if part.highest_target is not None and all(part.highest_target != target for _source, target in roots):
            targets.append(part.highest_target)
        if part.highest_source is not None and all(part.highest_source != source for source, _target in roots):
            sources.append(part.highest_source)
    if not roots and not sources and not targets:
        return []
    low_source = max(sources, default=min((pair[0] for pair in roots), default=0))
    low_target = max(targets, default=min((pair[1] for pair in roots), default=0))
    highest = max([low_target, *(target for _source, target in roots)])
    low_target = max([low_target, *(target for _source, target in roots if target + KEPT_EPOCHS <= highest)])
    by_source = sorted(roots)
    by_target = sorted(roots, key=lambda pair: (pair[1], pair[0]))
    i = j = 0
    while True:
        before = (low_source, low_target)
        low_target = max(low_target, low_source)
        while i < len(by_target) and by_target[i][1] <= low_target:
            low_source = max(low_source, by_target[i][0])
            i += 1
        while j < len(by_source) and by_source[j][0] < low_source:
            low_target = max(low_target, by_source[j][1])
            j += 1
        if before == (low_source, low_target):
            break
    kept = {pair: found for pair, found in roots.items() if pair[1] > low_target}
    kept[low_source, low_target] = roots.get((low_source, low_target), {None})
    return [Attestation(*pair, root) for pair in sorted(kept) for root in _known(kept[pair])]


def settle(parts: t.Sequence[KeyHistory]) -> tuple[KeyHistory, list[str]]:
    """One key's history out of several, signing roots filled in; and what its sources say against each other."""
    parts = [unfilled(part) for part in parts]
    blocks, votes = _settle_blocks(parts), _settle_votes(parts)
    against = slashable_pairs(
        key_history([pack_block(*block) for block in blocks], [pack_attestation(*vote) for vote in votes])
    )
    # What has a root has been signed, also where it lies below the floor by now.
    signed = key_history(
        {pack_block(*b) for part in parts for b in part.block_records() if b.root is not None},
        {pack_attestation(*v) for part in parts for v in part.attestation_records() if v.root is not None},
    )
    against += [pair for pair in slashable_pairs(signed) if pair not in against]
    filled = key_history(
        [pack_block(block.slot, block.root or FILLER) for block in blocks],
        [pack_attestation(vote.source, vote.target, vote.root or FILLER) for vote in votes],
    )
    return filled, against


# -- sources ----------------------------------------------------------------------------------------------------------


class Spool:
    """What the sources know of some keys, on the disk: its memory grows with the keys, not with their records."""

    def __init__(self, file: t.IO[bytes]) -> None:
        self._file = file
        #: Keys that Prysm refuses their duties, by database.
        self.barred: dict[str, list[str]] = {}
        self._places: dict[str, dict[str, list[tuple[int, Listed, int, int]]]] = {}

    def put(self, source: str, listed: Listed) -> None:
        """Keep what a source lists of a key, beside what it has listed before."""
        part = listed.history
        light = listed._replace(history=part._replace(blocks=b"", attestations=b""))
        self._file.seek(0, os.SEEK_END)
        place = (self._file.tell(), light, len(part.blocks), len(part.attestations))
        self._file.write(part.blocks + part.attestations)
        self._places.setdefault(listed.pubkey, {}).setdefault(source, []).append(place)

    def pubkeys(self) -> list[str]:
        return sorted(self._places)

    def get(self, pubkey: str) -> dict[str, Listed]:
        """What each source knows of a key."""
        found: dict[str, Listed] = {}
        for source, places in self._places.get(pubkey, {}).items():
            for offset, light, blocks, votes in places:
                self._file.seek(offset)
                data = self._file.read(blocks + votes)
                if len(data) != blocks + votes:
                    raise UnreadableError(source, "its copy on the disk ends too early")
                part = light.history._replace(blocks=data[:blocks], attestations=data[blocks:])
                listed = light._replace(history=part)
                found[source] = found[source].join(listed) if source in found else listed
        return found


def _begins_with(path: str) -> bytes:
    fd = open_regular(path)
    try:
        return os.pread(fd, 32, 0)
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)


def read_source(path: str, wanted: t.Container[str] | None, spool: Spool) -> tuple[str | None, int]:
    """Put what a source knows of the wanted keys (None: of all) into the spool; its network, how many others it has.

    A source is a file of any client, a validator.db, or a directory that has one.
    """
    if not is_directory(path):
        if not is_there(path):
            raise UnreadableError(path, "is not there")
        head = _begins_with(path)
        for begin, why in _NOT_MADE_FOR_THIS:
            if head.startswith(begin):
                raise UnreadableError(path, why)
        if not head:
            raise UnreadableError(path, "is empty")
        if path.lower().endswith((".yml", ".yaml")):
            raise UnreadableError(path, "is a file of Teku's own. Export it with that client (see docs/guides)")
        if head[16:20] != _BOLT_MAGIC:
            return _read_interchange(path, wanted, spool)
    elif not any(is_there(os.path.join(path, name)) for name in (DATABASE, _protection.MINIMAL)):
        if is_there(os.path.join(path, "CURRENT")):
            raise UnreadableError(path, "is Lodestar's database. Export it with that client (see docs/guides)")
        raise UnreadableError(path, "is a directory without a validator.db; name the files in it")
    history, place = _protection.read_any(path)
    barred = sorted(key for key in history.blacklisted if wanted is None or key in wanted)
    if barred:
        spool.barred[place] = barred
    others = 0
    for key, part in history.keys.items():
        if wanted is None or key in wanted:
            spool.put(path, Listed(key, part))
        else:
            others += 1
    return history.genesis_validators_root, others


def _read_interchange(path: str, wanted: t.Container[str] | None, spool: Spool) -> tuple[str, int]:
    others: set[str] = set()

    def take(listed: Listed) -> None:
        if wanted is None or listed.pubkey in wanted:
            spool.put(path, listed)
        else:
            others.add(listed.pubkey)

    fd = open_regular(path)
    try:
        root = walk(fd, path, take)
    finally:
        os.close(fd)
    return root, len(others)


# -- all of it --------------------------------------------------------------------------------------------------------


class Request(t.NamedTuple):
    """What shall be put together, for which client."""

    sources: tuple[str, ...]
    pubkeys: tuple[str, ...]
    #: The client's own database, which need not be there.
    database: str | None
    dest: str
    genesis_validators_root: str | None = None
    #: Further places that may know a key: the site's record.
    known_by: tuple[str, ...] = ()
    owner: int = -1
    group: int = -1


class Gathered(t.NamedTuple):
    """What came of it."""

    #: Whether the database lacks anything of the sources, by key.
    lacking: dict[str, list[str]]
    #: Keys of the client of which no source, no database and no record says that they have signed.
    without: list[str]
    #: Keys in the file.
    keys: list[str]
    #: How many keys that are not the client's each source has.
    others: dict[str, int]
    genesis_validators_root: str | None
    #: Whether the client's database is held.
    running: bool


def _networks(roots: dict[str, str | None], expected: str | None) -> str | None:
    for place, root in roots.items():
        if root is not None and int(root, 16) == 0:
            raise ArrivalError(
                f"{place}: metadata.genesis_validators_root is zero, so its network is not known. Export it again once"
                " the client that wrote it has been connected to its beacon node"
            )
    known = {place: root for place, root in roots.items() if root is not None}
    if expected is not None:
        known = {"this site": expected, **known}
    if len(set(known.values())) > 1:
        raise ArrivalError(
            "these are of different networks: "
            + ", ".join(f"{place} ({root[:10]}…)" for place, root in sorted(known.items()))
        )
    return next(iter(known.values()), None)


def gather(request: Request, pretend: bool = False) -> Gathered:
    """Put all sources together, and write the file when the client's database lacks anything of them."""
    try:
        with tempfile.TemporaryFile(dir=_SPOOL if is_directory(_SPOOL) else None) as file:
            return _gather(request, Spool(file), pretend)
    except OSError as exc:
        raise UnreadableError(request.dest, f"cannot be made: {reason_of(exc)}") from exc


def _gather(request: Request, spool: Spool, pretend: bool) -> Gathered:
    wanted = frozenset(request.pubkeys)
    root, others = _read_all(request, wanted, spool)
    found = _compare(spool, request.database)
    _refuse(found, root, spool.barred)
    known = set(found.signed)
    if len(known & wanted) < len(wanted):
        known.update(_known_by(request.known_by))
    if found.short and not pretend:
        _write(request, t.cast(str, root), found.signed, spool)
    running = request.database is not None and lock_holder(request.database) is not None
    return Gathered(found.short, sorted(wanted - known), found.signed if found.short else [], others, root, running)


def _read_all(request: Request, wanted: t.Container[str], spool: Spool) -> tuple[str | None, dict[str, int]]:
    """Put all sources and the client's own database into the spool: their network, and how many other keys each has."""
    roots: dict[str, str | None] = {}
    others = {}
    for source in dict.fromkeys(request.sources):
        roots[source], others[source] = read_source(source, wanted, spool)
    own = request.database
    if own is not None and is_there(own):
        # All its keys: what it knows of one that has left must not be lost with it.
        roots[own], _none = read_source(own, None, spool)
    return _networks(roots, request.genesis_validators_root), others


class _Compared(t.NamedTuple):
    """What the sources say of their keys, beside each other and beside the client's own database."""

    #: Keys that have signed, by any of them.
    signed: list[str]
    #: What the database lacks, by key.
    short: dict[str, list[str]]
    #: Where one contradicts itself, or another.
    against: list[str]


def _compare(spool: Spool, own: str | None) -> _Compared:
    signed: list[str] = []
    short: dict[str, list[str]] = {}
    against: list[str] = []
    for key in spool.pubkeys():
        found = spool.get(key)
        itself = [
            f"{source} contradicts itself about {key}: {finding}"
            for source, listed in found.items()
            for finding in listed.findings()
        ]
        against.extend(itself)
        parts = {source: listed.history for source, listed in found.items() if has_signed(listed.history)}
        if not parts:
            continue
        signed.append(key)
        _settled, pairs = settle(list(parts.values()))
        if not itself:
            against.extend(f"{' and '.join(parts)} contradict each other about {key}: {pair}" for pair in pairs)
        mine = parts.pop(own, KeyHistory()) if own is not None else KeyHistory()
        missing = [words for part in parts.values() for words in lacking(mine, unfilled(part))]
        if missing:
            short[key] = list(dict.fromkeys(missing))
    return _Compared(signed, short, against)


def _refuse(found: _Compared, root: str | None, barred: t.Mapping[str, t.Sequence[str]]) -> None:
    """Raise where the sources speak against each other, or a file cannot say all of it; barred are keys by database."""
    if found.against:
        more = f" | and {len(found.against) - 3} more" if len(found.against) > 3 else ""
        raise ArrivalError(
            "Slashing risk: " + " | ".join(found.against[:3]) + more + ". Such a key may have signed twice already;"
            " find out before it signs again"
        )
    if not found.short:
        return
    if root is None:
        raise ArrivalError("no source says of which network it is")
    for place, keys in barred.items():
        raise ArrivalError(
            f"{place} blacklists {len(keys)} keys, which contradicted themselves at an earlier import:"
            f" {', '.join(keys[:3])}{'…' if len(keys) > 3 else ''}. An interchange file cannot say that. Find out what"
            " these keys have signed before they sign again"
        )


def _known_by(places: t.Iterable[str]) -> t.Iterator[str]:
    for place in places:
        if is_there(place):
            history, _place = read_history(place)
            for key, part in history.keys.items():
                if part.watermarks() != Marks():
                    yield key


def _write(request: Request, root: str, keys: list[str], spool: Spool) -> None:
    """Write the file piece by piece, and read it back: it must not say less than any of the sources."""

    def entries() -> t.Iterator[tuple[str, KeyHistory]]:
        for key in keys:
            yield key, settle([listed.history for listed in spool.get(key).values()])[0]

    folder, name = os.path.split(request.dest)
    directory = open_directory(folder)
    temporary = f".{name}.tmp"
    try:
        remove_if_there(directory, temporary)
        fd = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
        )
        with os.fdopen(fd, "wb", buffering=1 << 20) as file:
            os.fchown(fd, request.owner, request.group)
            for chunk in chunks(root, entries()):
                file.write(chunk)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        fsync_directory(directory)
    finally:
        remove_if_there(directory, temporary)
        os.close(directory)
    _read_back(request.dest, root, keys, spool)


def _read_back(dest: str, root: str, keys: list[str], spool: Spool) -> None:
    left = set(keys)

    def take(listed: Listed) -> None:
        left.discard(listed.pubkey)
        for source, had in spool.get(listed.pubkey).items():
            short = lacking(listed.history, unfilled(had.history))
            if short:
                raise ArrivalError(f"{dest} lacks of what {source} knows of {listed.pubkey}: {'; '.join(short)}")
        if listed.findings():
            raise ArrivalError(f"{dest} contradicts itself about {listed.pubkey}: {listed.findings()[0]}")

    fd = open_regular(dest)
    try:
        if walk(fd, dest, take) != root or left:
            raise ArrivalError(f"{dest} does not hold what was written to it")
    finally:
        os.close(fd)
