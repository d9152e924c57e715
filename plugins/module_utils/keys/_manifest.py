# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Two small files beside a wallet: which keys it holds (readable without its password), and which keys have left it."""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    UnreadableError,
    as_json,
    is_there,
    parse_json,
    read_file,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, normalise

MANIFEST = "key-manifest.json"
TOMBSTONES = "key-tombstones.json"
#: Room for several hundred thousand keys.
LIMIT = 64 << 20

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class Manifest(t.NamedTuple):
    """The public keys of one exact wallet file."""

    sha256: str
    pubkeys: tuple[str, ...]

    def describes(self, wallet: bytes) -> bool:
        """Whether it was written for this very content."""
        return hashlib.sha256(wallet).hexdigest() == self.sha256


class Tombstone(t.NamedTuple):
    """A key that has left a client for good."""

    pubkey: str
    removed: str
    reason: str


def manifest_for(wallet: bytes, pubkeys: t.Iterable[str]) -> Manifest:
    """What to write beside a wallet file of this content."""
    return Manifest(hashlib.sha256(wallet).hexdigest(), tuple(pubkeys))


def render_manifest(manifest: Manifest) -> bytes:
    """As it stands in the file."""
    return as_json({"version": 1, "wallet_sha256": manifest.sha256, "pubkeys": list(manifest.pubkeys)})


def _list(document: t.Any, place: str, what: str, *names: str) -> list[t.Any]:
    if not isinstance(document, dict) or set(document) != {"version", *names}:
        raise UnreadableError(place, f"is not a {what}")
    if document["version"] != 1 or isinstance(document["version"], bool):
        raise UnreadableError(place, f"is a {what} of a version this program does not know")
    items = document[names[0]]
    if not isinstance(items, list):
        raise UnreadableError(place, f"is not a {what}: {names[0]} is not a list")
    return items


def parse_manifest(data: bytes, place: str) -> Manifest:
    """A manifest from its text."""
    document = parse_json(data, place)
    listed = _list(document, place, "key manifest", "pubkeys", "wallet_sha256")
    digest = document["wallet_sha256"]
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise UnreadableError(place, "is not a key manifest: wallet_sha256 is not a digest")
    try:
        pubkeys = tuple(normalise(key) for key in listed)
    except PubkeyError as exc:
        raise UnreadableError(place, str(exc)) from exc
    if len(set(pubkeys)) != len(pubkeys):
        raise UnreadableError(place, "names a key more than once")
    return Manifest(digest, pubkeys)


def read_manifest(wallet_dir: str) -> Manifest | None:
    """The manifest of a wallet directory; None when there is none."""
    path = os.path.join(wallet_dir, MANIFEST)
    if not is_there(path):
        return None
    return parse_manifest(read_file(path, LIMIT), path)


def render_tombstones(tombstones: t.Iterable[Tombstone]) -> bytes:
    """As they stand in the file."""
    return as_json({"version": 1, "tombstones": [stone._asdict() for stone in tombstones]})


def parse_tombstones(data: bytes, place: str) -> list[Tombstone]:
    """Tombstones from their text."""
    stones = []
    for item in _list(parse_json(data, place), place, "list of tombstones", "tombstones"):
        if not isinstance(item, dict) or set(item) != set(Tombstone._fields):
            raise UnreadableError(place, "holds something that is not a tombstone")
        if not isinstance(item["removed"], str) or not isinstance(item["reason"], str):
            raise UnreadableError(place, "holds a tombstone whose texts are not texts")
        try:
            stones.append(Tombstone(normalise(item["pubkey"]), item["removed"], item["reason"]))
        except PubkeyError as exc:
            raise UnreadableError(place, str(exc)) from exc
    return stones


def read_tombstones(wallet_dir: str) -> list[Tombstone]:
    """The tombstones beside a wallet; none when there is no such file."""
    path = os.path.join(wallet_dir, TOMBSTONES)
    if not is_there(path):
        return []
    return parse_tombstones(read_file(path, LIMIT), path)
