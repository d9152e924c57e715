# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""EIP-3076 slashing-protection interchange files, version 5: read strictly, checked, written.

The file is read piece by piece, one validator key at a time, because a site's history can be larger than its memory.

Clients write what they do not know in different ways. Read as "no signing root": no field, null, "", "0x", zeros. Read
as empty: a list that is null. Read as well: numbers that are no text, a byte order mark, a key manager's answer with
the document in its field slashing_protection. Everything else is refused with the field's name.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    DECODER,
    StakingError,
    UnreadableError,
    open_regular,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import (
    MAX_EPOCH,
    History,
    KeyHistory,
    key_history,
    pack_attestation,
    pack_block,
    slashable_pairs,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, normalise

_CHUNK = 1 << 18
#: One key's records; a key that signed every epoch for thirty years stays below it.
_MAX_VALUE = 512 << 20

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,19})\Z")
#: Beyond it no chain gets: with a slot each second since 1970 that is in 2106. Damage, or a bar on the key for good.
MAX_NUMBER = (1 << 32) - 1
#: Stands for a signing root that is not known, where Prysm needs one: from v4.2 on an import that meets a record again
#: whose root is empty makes Prysm refuse the key all its duties. A real root is a SHA-256 digest, and no message with
#: this digest can be found; so Prysm refuses each later message for that slot or target, as it must. It is the same
#: everywhere, so that the same record imported twice is the same record.
FILLER = b"eth2xk8s: signing root not known"
_BLOCK_ROOT, _VOTE_ROOT = 8, 16
_BLOCK_SIZE, _VOTE_SIZE = 41, 49
_ROOT = re.compile(r"0[xX]([0-9a-fA-F]{64})\Z")


class InterchangeError(UnreadableError):
    """A file is not an EIP-3076 interchange file of version 5, or contradicts itself."""


class _Stream:
    """A JSON document from which values are taken one after the other."""

    def __init__(self, fd: int, place: str) -> None:
        self.fd = fd
        self.place = place
        # A byte order mark is dropped: editors and shells of Windows write one.
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text = ""
        self.at = 0
        self.ended = False

    @classmethod
    def of_text(cls, text: str, place: str) -> _Stream:
        """A document that was inside another."""
        stream = cls(-1, place)
        stream.text, stream.ended = text, True
        return stream

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
    number = record[name]
    text = str(number) if isinstance(number, int) and not isinstance(number, bool) else number
    if not isinstance(text, str) or not _NUMBER.match(text):
        raise ValueError(f"{name} is not a whole number: {number!r:.60}")
    value = int(text)
    if value > MAX_EPOCH:
        raise ValueError(f"{name} {value} is larger than any slot or epoch can be")
    return value


def _root(record: dict[str, t.Any]) -> bytes | None:
    text = record.get("signing_root")
    if text is None or text in ("", "0x"):
        return None
    match = _ROOT.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"signing_root is not 32 bytes in hexadecimal with 0x: {text!r:.80}")
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


class Listed(t.NamedTuple):
    """What one entry, or all entries of one key, list."""

    pubkey: str
    history: KeyHistory
    #: Records without a root that occur more than once: whether it was the same message is not known.
    twice: frozenset[bytes] = frozenset()

    def join(self, other: Listed) -> Listed:
        """This and another entry of the same key: one history, whose floors are its lowest records."""
        blocks = [_pieces(part.history.blocks, _BLOCK_SIZE) for part in (self, other)]
        votes = [_pieces(part.history.attestations, _VOTE_SIZE) for part in (self, other)]
        both = set(blocks[0]).intersection(blocks[1]) | set(votes[0]).intersection(votes[1])
        return Listed(
            self.pubkey,
            key_history(blocks[0] + blocks[1], votes[0] + votes[1]),
            self.twice | other.twice | {record for record in both if _is_rootless(record)},
        )

    def findings(self) -> list[str]:
        """What the file says against the key, in words."""
        found = []
        for record in sorted(self.twice) if not self._is_watermark() else ():
            what = "blocks for slot" if len(record) == _BLOCK_SIZE else "attestations for target"
            found.append(f"two {what} {int.from_bytes(record[:8], 'big')}, both without a root")
        marks = self.history.watermarks()._asdict()
        names = {"slot": "signed_blocks: slot", "source": "source_epoch", "target": "target_epoch"}
        found += [
            f"{names[name]} {value} is larger than any slot or epoch can be"
            for name, value in marks.items()
            if value is not None and value > MAX_NUMBER
        ]
        return found + slashable_pairs(self.history)

    def _is_watermark(self) -> bool:
        """Whether this is the minimal form: one block and one vote, and nothing at or below them is signed again."""
        blocks, votes = self.history.blocks, self.history.attestations
        if len(blocks) != _BLOCK_SIZE or len(votes) != _VOTE_SIZE:
            return False
        return _is_rootless(blocks) and _is_rootless(votes)


def _pieces(packed: bytes, size: int) -> list[bytes]:
    return [packed[i : i + size] for i in range(0, len(packed), size)]


def _is_rootless(record: bytes) -> bool:
    return not record[_BLOCK_ROOT if len(record) == _BLOCK_SIZE else _VOTE_ROOT]


def _rootless_twice(records: list[bytes]) -> set[bytes]:
    seen: set[bytes] = set()
    twice: set[bytes] = set()
    for record in records:
        if _is_rootless(record):
            (twice if record in seen else seen).add(record)
    return twice


def _listed(entry: t.Any) -> Listed:
    if not isinstance(entry, dict):
        raise ValueError("is not an object")
    for name in ("pubkey", "signed_blocks", "signed_attestations"):
        if name not in entry:
            raise ValueError(f"lacks {name}")
    try:
        pubkey = normalise(entry["pubkey"])
    except PubkeyError as exc:
        raise ValueError(f"pubkey {exc}") from None
    try:
        blocks = _records(entry, "signed_blocks", _pack_block)
        attestations = _records(entry, "signed_attestations", _pack_attestation)
    except ValueError as exc:
        raise ValueError(f"({pubkey[:12]}…) {exc}") from None
    twice = frozenset(_rootless_twice(blocks) | _rootless_twice(attestations))
    return Listed(pubkey, key_history(blocks, attestations), twice)


def _metadata(document: t.Any, place: str) -> str:
    if not isinstance(document, dict):
        raise InterchangeError(place, "is not an interchange file: metadata is not an object")
    version = document.get("interchange_format_version")
    if version not in ("5", 5) or isinstance(version, bool):
        raise InterchangeError(
            place,
            f'is of version {version!r:.40} (metadata.interchange_format_version); only "5" is known. Export it again'
            " with a newer release of the client that wrote it",
        )
    if document.get("genesis_validators_root") is None:
        raise InterchangeError(
            place,
            "metadata.genesis_validators_root is missing or null, so its network is not known. Export it again once the"
            " client that wrote it has been connected to its beacon node",
        )
    root = document["genesis_validators_root"]
    match = _ROOT.match(root) if isinstance(root, str) else None
    if match is None:
        raise InterchangeError(
            place,
            "lacks a genesis_validators_root: metadata.genesis_validators_root is not a root of 32 bytes in hexadecimal"
            f" with 0x: {root!r:.80}",
        )
    return "0x" + match.group(1).lower()


def walk(fd: int, place: str, take: t.Callable[[Listed], None]) -> str:
    """Give every entry of an open file to take, as they come; the network's root."""
    return _walk(_Stream(fd, place), take)


def _walk(stream: _Stream, take: t.Callable[[Listed], None], inside: bool = False) -> str:
    root: str | None = None
    data_seen = False
    answered: t.Any = None
    is_answer = False
    for name in stream.items():
        if name == "metadata":
            root = _metadata(stream.value(), stream.place)
        elif name == "data" and stream.peek() != "[":
            if stream.value() is not None:
                stream.fail("is not JSON of an interchange file: data is not a list")
            data_seen = True
        elif name == "data":
            data_seen = True
            for i, entry in enumerate(stream.elements()):
                # A key manager says of each key whether it is deleted, and what was signed in the field after it.
                if isinstance(entry, dict) and "status" in entry and "pubkey" not in entry and not inside:
                    is_answer = True
                    if entry["status"] == "error":
                        # What it says of that key is not its last word: it goes on signing.
                        stream.fail(
                            f"is a key manager's answer that says error of the key in place {i + 1} of the request:"
                            " it has not deleted that key, and may sign with it. Delete it there, and keep the answer"
                        )
                    continue
                try:
                    listed = _listed(entry)
                except ValueError as exc:
                    stream.fail(f"is not an interchange file: data[{i}] {exc}")
                take(listed)
        elif name == "slashing_protection" and not inside:
            answered = stream.value()
        else:
            stream.fail(f"is not an interchange file: {name!r:.60} does not belong there")
    if stream.peek():
        stream.fail("is not JSON: something follows its end")
    if answered is not None:
        if root is not None:
            stream.fail("is not an interchange file: 'slashing_protection' does not belong there")
        text = answered if isinstance(answered, str) else json.dumps(answered)
        return _walk(_Stream.of_text(text, f"{stream.place} (slashing_protection)"), take, inside=True)
    if is_answer:
        stream.fail("is a key manager's answer without slashing_protection")
    if root is None or not data_seen:
        stream.fail(f"is not an interchange file: {'metadata' if root is None else 'data'} is missing")
    return root


def read_interchange(path: str) -> History:
    """A file's whole history; what it says against itself stands in the findings."""
    keys: dict[str, Listed] = {}
    notes: list[str] = []

    def take(listed: Listed) -> None:
        if listed.pubkey in keys:
            notes.append(f"{listed.pubkey}: is listed more than once")
            listed = keys[listed.pubkey].join(listed)
        keys[listed.pubkey] = listed

    fd = open_regular(path)
    try:
        root = walk(fd, path, take)
    finally:
        os.close(fd)
    findings = tuple(f"{key}: {finding}" for key, listed in keys.items() for finding in listed.findings())
    return History(root, {key: listed.history for key, listed in keys.items()}, findings=findings, notes=tuple(notes))


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


def _entry_of(pubkey: str, part: KeyHistory) -> dict[str, t.Any]:
    def rooted(record: dict[str, str], root: bytes | None) -> dict[str, str]:
        if root is not None:
            record["signing_root"] = "0x" + root.hex()
        return record

    return {
        "pubkey": pubkey,
        "signed_blocks": [rooted({"slot": str(b.slot)}, b.root) for b in part.block_records()],
        "signed_attestations": [
            rooted({"source_epoch": str(a.source), "target_epoch": str(a.target)}, a.root)
            for a in part.attestation_records()
        ],
    }


def document(history: History) -> dict[str, t.Any]:
    """A history as the document that EIP-3076 describes."""
    if history.genesis_validators_root is None:
        raise StakingError("a history without a genesis_validators_root cannot be written as an interchange file")
    return {
        "metadata": {
            "interchange_format_version": "5",
            "genesis_validators_root": history.genesis_validators_root,
        },
        "data": [_entry_of(pubkey, part) for pubkey, part in sorted(history.keys.items())],
    }


def chunks(root: str, entries: t.Iterable[tuple[str, KeyHistory]]) -> t.Iterator[bytes]:
    """The same document in pieces, a key at a time."""
    metadata = {"genesis_validators_root": root, "interchange_format_version": "5"}
    yield f'{{"metadata": {json.dumps(metadata)}, "data": ['.encode()
    comma = "\n"
    for pubkey, part in entries:
        yield f"{comma}{json.dumps(_entry_of(pubkey, part))}".encode()
        comma = ",\n"
    yield b"\n]}\n"


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
