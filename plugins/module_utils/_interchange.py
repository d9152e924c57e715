# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""EIP-3076 slashing-protection interchange files, version 5: read strictly, checked, written.

The file is read piece by piece, one validator key at a time, because a site's history can be larger than its memory.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    DECODER,
    StakingError,
    UnreadableError,
    open_regular,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._history import (
    MAX_EPOCH,
    History,
    KeyHistory,
    key_history,
    merge,
    pack_attestation,
    pack_block,
    slashable_pairs,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._pubkey import PubkeyError, normalise

_CHUNK = 1 << 18
#: One key's records; a key that signed every epoch for thirty years stays below it.
_MAX_VALUE = 512 << 20

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,19})\Z")
_ROOT = re.compile(r"0[xX]([0-9a-fA-F]{64})\Z")


class InterchangeError(UnreadableError):
    """A file is not an EIP-3076 interchange file of version 5, or contradicts itself."""


class _Stream:
    """A JSON document from which values are taken one after the other."""

    def __init__(self, fd: int, place: str) -> None:
        self.fd = fd
        self.place = place
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text = ""
        self.at = 0
        self.ended = False

    def fail(self, reason: str) -> t.NoReturn:
        raise InterchangeError(self.place, reason)

    def more(self, size: int = _CHUNK) -> bool:
        """Read on; what has been used is dropped."""
        if self.ended:
            return False
        try:
            data = os.read(self.fd, size)
            self.ended = not data
            new = self.decoder.decode(data, final=self.ended)
        except OSError as exc:
            self.fail(reason_of(exc))
        except UnicodeDecodeError:
            self.fail("is not UTF-8 text")
        self.text = self.text[self.at :] + new
        self.at = 0
        return True

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            self.at = t.cast("re.Match[str]", _SPACE.match(self.text, self.at)).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def expect(self, wanted: str) -> str:
        found = self.peek()
        if not found or found not in wanted:
            self.fail(f"is not JSON: {found or 'its end'!r} stands where one of {' '.join(wanted)} should")
        self.at += 1
        return found

    def value(self) -> t.Any:
        """The next value, whole."""
        first = self.peek()
        if not first:
            self.fail("is not JSON: it ends too early")
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
                # A number or a word at the end of what was read might go on.
                if end < len(self.text) or first in '{["' or not self.more():
                    self.at = end
                    return value
                continue
            except json.JSONDecodeError as exc:
                left = len(self.text) - exc.pos
                # What is wrong far from the end stays wrong, unless it is a string that just has not ended yet.
                if left > 4096 or (self.ended and left >= 0):
                    self.fail(f"is not JSON: {exc.msg}")
            except RecursionError:
                self.fail("is not JSON: it is nested too deeply")
            except ValueError as exc:
                self.fail(f"is not JSON: {exc}")
            if len(self.text) - self.at > _MAX_VALUE:
                self.fail("holds a value larger than anything that belongs here")
            # Ever larger steps, so that reading one long value again and again stays cheap.
            if not self.more(max(_CHUNK, len(self.text) - self.at)):
                self.fail("is not JSON: it ends too early")

    def items(self) -> t.Iterator[str]:
        """The names of an object; after each, its value must be taken."""
        self.expect("{")
        if self.peek() == "}":
            self.at += 1
            return
        seen = set()
        while True:
            if self.peek() != '"':
                self.fail("is not JSON: a name is missing")
            name = self.value()
            if name in seen:
                self.fail(f"is not JSON: the name {name!r} occurs more than once")
            seen.add(name)
            self.expect(":")
            yield name
            if self.expect(",}") == "}":
                return

    def elements(self) -> t.Iterator[t.Any]:
        """The elements of a list, one at a time."""
        self.expect("[")
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return


def _number(record: t.Any, name: str) -> int:
    text = record[name]
    if not isinstance(text, str) or not _NUMBER.match(text):
        raise ValueError(f"{name} is not a whole number written as text")
    value = int(text)
    if value > MAX_EPOCH:
        raise ValueError(f"{name} is larger than any slot or epoch")
    return value


def _root(record: dict[str, t.Any]) -> bytes | None:
    text = record.get("signing_root")
    if text is None and "signing_root" not in record:
        return None
    match = _ROOT.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("signing_root is not 32 bytes in hexadecimal with 0x")
    root = bytes.fromhex(match.group(1))
    # Prysm keeps an unknown root as zeros.
    return root if any(root) else None


def _records(entry: dict[str, t.Any], name: str, pack: t.Callable[[dict[str, t.Any]], bytes]) -> list[bytes]:
    listed = entry[name]
    if listed is None:
        return []  # what a Go program writes for an empty list
    if not isinstance(listed, list):
        raise ValueError(f"{name} is not a list")
    packed = []
    for i, record in enumerate(listed):
        if not isinstance(record, dict):
            raise ValueError(f"{name}[{i}] is not an object")
        try:
            packed.append(pack(record))
        except KeyError as exc:
            raise ValueError(f"{name}[{i}] lacks {exc.args[0]}") from None
        except ValueError as exc:
            raise ValueError(f"{name}[{i}]: {exc}") from None
    return packed


def _pack_block(record: dict[str, t.Any]) -> bytes:
    return pack_block(_number(record, "slot"), _root(record))


def _pack_attestation(record: dict[str, t.Any]) -> bytes:
    source, target = _number(record, "source_epoch"), _number(record, "target_epoch")
    if source > target:
        raise ValueError(f"the source {source} is later than the target {target}")
    return pack_attestation(source, target, _root(record))


def _rootless_twice(blocks: list[bytes], attestations: list[bytes]) -> list[str]:
    """Records without a root that occur more than once: nobody knows that it was the same message."""
    found = []
    for packed, root, what in ((blocks, 8, "blocks for slot"), (attestations, 16, "attestations for target")):
        seen = set()
        for record in packed:
            if not record[root]:
                if record in seen:
                    found.append(f"two {what} {int.from_bytes(record[:8], 'big')}, both without a root")
                seen.add(record)
    return found


def _entry(entry: t.Any) -> tuple[str, KeyHistory, list[str]]:
    if not isinstance(entry, dict):
        raise ValueError("is not an object")
    for name in ("pubkey", "signed_blocks", "signed_attestations"):
        if name not in entry:
            raise ValueError(f"lacks {name}")
    try:
        pubkey = normalise(entry["pubkey"])
    except PubkeyError as exc:
        raise ValueError(str(exc)) from None
    blocks = _records(entry, "signed_blocks", _pack_block)
    attestations = _records(entry, "signed_attestations", _pack_attestation)
    return pubkey, key_history(blocks, attestations), _rootless_twice(blocks, attestations)


def _metadata(document: t.Any, place: str) -> str:
    if not isinstance(document, dict):
        raise InterchangeError(place, "is not an interchange file: metadata is not an object")
    version = document.get("interchange_format_version")
    if version != "5":
        raise InterchangeError(place, f'is of version {version!r:.40}; only "5" is known')
    root = document.get("genesis_validators_root")
    match = _ROOT.match(root) if isinstance(root, str) else None
    if match is None:
        raise InterchangeError(place, "lacks a genesis_validators_root of 32 bytes in hexadecimal with 0x")
    return "0x" + match.group(1).lower()


def read_interchange(path: str) -> History:
    """A file's whole history; what it says against itself stands in the findings."""
    fd = open_regular(path)
    try:
        return _read(_Stream(fd, path))
    finally:
        os.close(fd)


def _read(stream: _Stream) -> History:
    root: str | None = None
    keys: dict[str, KeyHistory] = {}
    findings: list[str] = []
    notes: list[str] = []
    data_seen = False
    for name in stream.items():
        if name == "metadata":
            root = _metadata(stream.value(), stream.place)
        elif name == "data":
            data_seen = True
            for i, entry in enumerate(stream.elements()):
                try:
                    pubkey, history, twice = _entry(entry)
                except ValueError as exc:
                    stream.fail(f"is not an interchange file: data[{i}] {exc}")
                findings.extend(f"{pubkey}: {pair}" for pair in twice)
                if pubkey in keys:
                    notes.append(f"{pubkey}: is listed more than once")
                    parts = [History(None, {pubkey: part}) for part in (keys[pubkey], history)]
                    history = merge(parts).keys[pubkey]
                keys[pubkey] = history
        else:
            stream.fail(f"is not an interchange file: {name!r:.60} does not belong there")
    if stream.peek():
        stream.fail("is not JSON: something follows its end")
    if root is None or not data_seen:
        stream.fail(f"is not an interchange file: {'metadata' if root is None else 'data'} is missing")
    for pubkey, history in keys.items():
        findings.extend(f"{pubkey}: {pair}" for pair in slashable_pairs(history))
    return History(root, keys, findings=tuple(findings), notes=tuple(notes))


def check_interchange(history: History, place: str, genesis_validators_root: str | None = None) -> None:
    """An error unless a file may be given to a client: the right network, and nothing said against itself."""
    if genesis_validators_root is not None and history.genesis_validators_root != genesis_validators_root.lower():
        raise InterchangeError(
            place,
            f"is of another network: genesis_validators_root {history.genesis_validators_root}"
            f" instead of {genesis_validators_root.lower()}",
        )
    if history.findings:
        more = f" (and {len(history.findings) - 1} more)" if len(history.findings) > 1 else ""
        raise InterchangeError(place, f"contradicts itself: {history.findings[0]}{more}")


def rootless(history: History) -> list[str]:
    """Keys with records that lack their signing root: Prysm blacklists such a key when it has the record already."""
    return [
        pubkey
        for pubkey, part in history.keys.items()
        if any(b.root is None for b in part.block_records()) or any(a.root is None for a in part.attestation_records())
    ]


def document(history: History) -> dict[str, t.Any]:
    """A history as the document that EIP-3076 describes."""
    if history.genesis_validators_root is None:
        raise StakingError("a history without a genesis_validators_root cannot be written as an interchange file")

    def rooted(record: dict[str, str], root: bytes | None) -> dict[str, str]:
        if root is not None:
            record["signing_root"] = "0x" + root.hex()
        return record

    return {
        "metadata": {
            "interchange_format_version": "5",
            "genesis_validators_root": history.genesis_validators_root,
        },
        "data": [
            {
                "pubkey": pubkey,
                "signed_blocks": [rooted({"slot": str(b.slot)}, b.root) for b in part.block_records()],
                "signed_attestations": [
                    rooted({"source_epoch": str(a.source), "target_epoch": str(a.target)}, a.root)
                    for a in part.attestation_records()
                ],
            }
            for pubkey, part in sorted(history.keys.items())
        ],
    }


def minimal(history: History) -> History:
    """The same protection in two records a key: everything up to the highest slot, source and target."""
    keys = {}
    for pubkey, part in history.keys.items():
        blocks = [] if part.highest_slot is None else [pack_block(part.highest_slot, None)]
        votes = []
        if part.highest_target is not None:
            votes = [pack_attestation(part.highest_source or 0, part.highest_target, None)]
        keys[pubkey] = key_history(blocks, votes)
    return history._replace(keys=keys, findings=(), notes=())
