# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What Prysm's own slashing-protection databases know, read without Prysm."""

from __future__ import annotations

import os
import struct
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils._boltdb import Bucket
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    UnreadableError,
    is_directory,
    is_there,
    open_regular,
    read_file,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._history import (
    MAX_EPOCH,
    History,
    KeyHistory,
    Marks,
    key_history,
    pack_attestation,
    pack_block,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._interchange import read_interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils._pubkey import PubkeyError, from_bytes, normalise

DATABASE = "validator.db"
MINIMAL = "validator-client-data"

#: Of the format before v1.1: 8 bytes for the newest epoch, then 48 bytes an epoch, wrapping after this many.
_OLD_WRAP = 54000
_OLD_ENTRY = struct.Struct("<Q32s8x")
_MINIMAL_LIMIT = 1 << 20


class ProtectionError(UnreadableError):
    """A database is not one of Prysm's, or holds something that cannot be."""


class NoDatabaseError(ProtectionError):
    """There is no database where one was looked for."""


class _Reader:
    def __init__(self, content: Bucket, place: str) -> None:
        self.content = content
        self.place = place

    def fail(self, reason: str) -> t.NoReturn:
        raise ProtectionError(self.place, reason)

    def number(self, raw: t.Any, what: str) -> int:
        if not isinstance(raw, bytes) or len(raw) != 8:
            self.fail(f"{what} is not a number of 8 bytes")
        return int.from_bytes(raw, "big")

    def numbers(self, raw: t.Any, what: str) -> tuple[int, ...]:
        if not isinstance(raw, bytes) or len(raw) % 8:
            self.fail(f"{what} is not a list of 8-byte numbers")
        return struct.unpack(f">{len(raw) // 8}Q", raw)

    def root(self, raw: t.Any, what: str) -> bytes | None:
        if not isinstance(raw, bytes) or len(raw) > 32:
            self.fail(f"{what} is not a signing root")
        return raw.ljust(32, b"\0") if any(raw) else None

    def bucket(self, within: Bucket, name: bytes) -> Bucket:
        try:
            return within.bucket(name)
        except _boltdb.BoltError as exc:
            self.fail(exc.reason)

    def per_key(self, name: bytes) -> dict[bytes, t.Any]:
        found = self.bucket(self.content, name)
        for key in found:
            if len(key) != 48:
                self.fail(f"{name.decode()} has an entry for something that is not a public key")
        return found

    def marks(self, name: bytes) -> dict[bytes, int]:
        return {key: self.number(raw, name.decode()) for key, raw in self.per_key(name).items()}

    def blocks(self, bucket: t.Any) -> list[bytes]:
        if not isinstance(bucket, Bucket):
            self.fail("a proposal history is not a bucket")
        return [
            pack_block(self.number(slot, "a slot"), self.root(raw, "a block's root")) for slot, raw in bucket.items()
        ]

    def votes(self, bucket: t.Any) -> tuple[list[bytes], Marks]:
        """A key's attestations, and the marks its bucket knows of (roots may have outlived their records)."""
        if not isinstance(bucket, Bucket):
            self.fail("an attestation history is not a bucket")
        roots = {
            self.number(target, "a target"): self.root(raw, "an attestation's root")
            for target, raw in self.bucket(bucket, b"att-signing-roots-bucket").items()
        }
        marks = Marks(None, None, max(roots, default=None))
        pairs: set[tuple[int, int]] = set()
        for key, raw in self.bucket(bucket, b"att-source-epochs-bucket").items():
            source = self.number(key, "a source")
            pairs.update((source, target) for target in self.numbers(raw, "a source's targets"))
        for key, raw in self.bucket(bucket, b"att-target-epochs-bucket").items():
            target = self.number(key, "a target")
            pairs.update((source, target) for source in self.numbers(raw, "a target's sources"))
        return [pack_attestation(source, target, roots.get(target)) for source, target in pairs], marks

    def old_votes(self, raw: t.Any) -> tuple[list[bytes], Marks]:
        """A key's attestations in the format before v1.1, which a migration down writes again."""
        if not isinstance(raw, bytes) or len(raw) < 8 or (len(raw) - 8) % _OLD_ENTRY.size:
            self.fail("an attestation history of the old format is damaged")
        newest = int.from_bytes(raw[:8], "little")
        votes = []
        for i, (source, root) in enumerate(_OLD_ENTRY.iter_unpack(raw[8:])):
            if source == MAX_EPOCH or (source == 0 and not any(root)):
                continue
            target = i if newest < _OLD_WRAP else newest - (newest - i) % _OLD_WRAP
            votes.append(pack_attestation(source, target, root if any(root) else None))
        return votes, Marks(None, None, newest or None)

    def history(self) -> History:
        known = {b"genesis-info-bucket", b"pubkeys-bucket", b"proposal-history-bucket-interchange"}
        if not known & set(self.content):
            self.fail("is a database, but not a validator's")
        root = self.bucket(self.content, b"genesis-info-bucket").get(b"genesis-val-root")
        if root is not None and (not isinstance(root, bytes) or len(root) != 32):
            self.fail("its genesis validators root is not 32 bytes long")
        proposals = self.per_key(b"proposal-history-bucket-interchange")
        votes = self.per_key(b"pubkeys-bucket")
        old = self.per_key(b"attestation-history-bucket-interchange")
        high_slots = self.marks(b"highest-signed-proposals-bucket")
        low_slots = self.marks(b"lowest-signed-proposals-bucket")
        low_sources = self.marks(b"lowest-signed-source-bucket")
        low_targets = self.marks(b"lowest-signed-target-bucket")
        keys: dict[str, KeyHistory] = {}
        for raw in sorted({*proposals, *votes, *old, *high_slots, *low_slots, *low_sources, *low_targets}):
            records, marks = self.votes(votes[raw]) if raw in votes else ([], Marks())
            if raw in old:
                more, more_marks = self.old_votes(old[raw])
                records, marks = records + more, marks.join(more_marks)
            marks = marks.join(
                Marks(high_slots.get(raw, low_slots.get(raw)), low_sources.get(raw), low_targets.get(raw))
            )
            keys[from_bytes(raw)] = key_history(
                self.blocks(proposals[raw]) if raw in proposals else [],
                records,
                marks,
                (low_slots.get(raw), low_sources.get(raw), low_targets.get(raw)),
            )
        return History(
            "0x" + root.hex() if isinstance(root, bytes) and any(root) else None,
            keys,
            frozenset(from_bytes(raw) for raw in self.per_key(b"slashable-public-keys")),
            "prysm",
        )


def read_database(path: str, attempts: int = 20) -> History:
    """A validator.db; also while its validator runs."""
    return _Reader(_boltdb.read(path, attempts), path).history()


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


def read_any(path: str) -> tuple[History, str]:
    """A validator.db, an interchange file, or a data directory; and the path that was read in the end."""
    if is_directory(path):
        database, small = os.path.join(path, DATABASE), os.path.join(path, MINIMAL)
        both = [place for place in (database, small) if is_there(place)]
        if len(both) > 1:
            raise ProtectionError(path, f"holds both {DATABASE} and {MINIMAL}; Prysm starts with neither")
        if not both:
            raise NoDatabaseError(path, f"holds no {DATABASE}")
        return (read_database(database), database) if both == [database] else (read_minimal(small), small)
    if not is_there(path):
        raise NoDatabaseError(path, "is not there")
    fd = open_regular(path)
    try:
        first = os.pread(fd, 256, 0).lstrip()[:1]
    finally:
        os.close(fd)
    return (read_interchange(path) if first == b"{" else read_database(path)), path
