# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""A small read-only reader of bbolt databases, strict about every page it touches.

bbolt never overwrites a page that the newest committed state uses, so a database can be read while its owner writes to
it, without any lock: if the newest state is still the same after reading, what was read was whole.

Pages are read one at a time and dropped again, so that memory does not grow with the database. Whatever bbolt writes
lies in one way only (elements without gaps, no empty pages below a branch, inline buckets of exactly their size), and
everything else is damage: a counter that was damaged would otherwise read as fewer records, without a word.
"""

from __future__ import annotations

import bisect
import itertools
import operator
import os
import struct
import tempfile
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    is_directory,
    open_regular,
    reason_of,
)

MAGIC = 0xED0CDAED
_VERSION = 2
_BRANCH, _LEAF, _META, _FREELIST = 0x01, 0x02, 0x04, 0x10
_BUCKET_LEAF = 0x01
_NO_FREELIST = (1 << 64) - 1
_MAX_DEPTH = 64
#: A value a reader could want is far below this; a bigger one is damage.
_MAX_VALUE = 64 << 20
#: How often a database is read where it lies before it is copied to a disk (which /tmp may not be) and read there.
_DIRECT = 3
_SPOOL = "/var/tmp"
_CHUNK = 1 << 20
#: 128 GiB of the usual pages.
_MAX_PAGES = 1 << 25

_PAGE = struct.Struct("<QHHI")
_META_BODY = struct.Struct("<IIIIQQQQQ")
_META_SIZE = _PAGE.size + _META_BODY.size + 8
_LEAF_SIZE = 16
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_BUCKET = struct.Struct("<QQ")

Result = t.TypeVar("Result")


#: Where its descriptions lie. Pages are as large as the kernel's; the second helps where the first is damaged.
_PLACES = (16, 4096 + 16, 16384 + 16, 65536 + 16)
_MAGIC = struct.pack("<I", MAGIC)
_MOST_PAGES = 256


class BoltError(UnreadableError):
    """A file is not a bbolt database, or a damaged one."""


class Bucket(t.Dict[bytes, t.Union[bytes, "Bucket"]]):
    """A bucket, read whole: values and buckets by key."""


class Leaf(t.NamedTuple):
    """The elements of one page, in order; where a flag is set, the value describes a bucket."""

    keys: t.Sequence[bytes]
    values: t.Sequence[bytes]
    flags: t.Sequence[int]


class Meta(t.NamedTuple):
    """One of the two descriptions of a database."""

    txid: int
    page_size: int
    root: int
    freelist: int
    pages: int


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _parse_meta(data: bytes, page_id: int) -> Meta | None:
    if len(data) < _META_SIZE:
        return None
    number, flags, _count, _overflow = _PAGE.unpack_from(data)
    body = data[_PAGE.size : _PAGE.size + _META_BODY.size]
    (checksum,) = struct.unpack_from("<Q", data, _PAGE.size + _META_BODY.size)
    magic, version, page_size, _flags, root, _sequence, freelist, pages, txid = _META_BODY.unpack(body)
    if magic != MAGIC or version != _VERSION or checksum != _fnv1a(body):
        return None
    if number != page_id or flags != _META or page_size < 512 or page_size > 65536 or page_size & (page_size - 1):
        return None
    return Meta(txid, page_size, root, freelist, pages)


def _is_older(data: bytes, page_id: int, other: Meta) -> bool:
    """Whether a damaged description is certainly the older one, so that nothing is lost with it.

    It then says of itself that it comes right before the other, and does not become whole by coming right after it.
    """
    if len(data) < _META_SIZE:
        return False
    number, flags, _count, _overflow = _PAGE.unpack_from(data)
    body = data[_PAGE.size : _PAGE.size + _META_BODY.size]
    magic, version, page_size, *_rest, txid = _META_BODY.unpack(body)
    if (number, flags, magic, version, page_size) != (page_id, _META, MAGIC, _VERSION, other.page_size):
        return False
    (checksum,) = struct.unpack_from("<Q", data, _PAGE.size + _META_BODY.size)
    return bool(txid + 1 == other.txid and checksum != _fnv1a(body[:-8] + struct.pack("<Q", other.txid + 1)))


class Subtree:
    """A bucket that is read only when it is asked for, page by page. Once: a page that is used twice is damage."""

    __slots__ = ("_database", "_depth", "_value")

    def __init__(self, database: Database, value: bytes, depth: int) -> None:
        self._database = database
        self._value = value
        self._depth = depth

    def leaves(self) -> t.Iterator[Leaf]:
        """Its elements, a page at a time."""
        database = self._database
        if len(self._value) < _BUCKET.size or self._depth > _MAX_DEPTH:
            database.fail("a bucket is damaged")
        root, _sequence = _BUCKET.unpack_from(self._value)
        if root:
            if len(self._value) != _BUCKET.size:
                database.fail("a bucket is damaged")
            yield from database.leaves(root)
            return
        if len(self._value) < _BUCKET.size + _PAGE.size:
            database.fail("a bucket is damaged")
        _own, flags, count, overflow = _PAGE.unpack_from(self._value, _BUCKET.size)
        if flags != _LEAF or overflow:
            database.fail("a bucket is damaged")
        yield database.leaf(self._value, _BUCKET.size, count, b"", None, exact=True)

    def items(self) -> t.Iterator[tuple[bytes, bytes | Subtree]]:
        """Its elements, one at a time."""
        for keys, values, flags in self.leaves():
            for key, value, flag in zip(keys, values, flags):
                yield key, Subtree(self._database, value, self._depth + 1) if flag else value

    def some(self, wanted: t.Sequence[bytes]) -> Bucket:
        """Those of the wanted elements that are there and are values; only the pages on the way to them are read."""
        root = _BUCKET.unpack_from(self._value)[0] if len(self._value) >= _BUCKET.size else 0
        found = Bucket()
        for leaf in self._database.leaves(root, wanted=wanted) if root else self.leaves():
            for key in wanted:
                at = bisect.bisect_left(leaf.keys, key)
                if at < len(leaf.keys) and leaf.keys[at] == key and not leaf.flags[at]:
                    found[key] = leaf.values[at]
        return found

    def whole(self) -> Bucket:
        """All of it at once."""
        return Bucket(
            (key, value if isinstance(value, bytes) else t.cast(Subtree, value).whole()) for key, value in self.items()
        )


class Database:
    """One committed state of a database."""

    def __init__(self, fd: int, place: str) -> None:
        self.fd = fd
        self.place = place
        self.size = os.fstat(fd).st_size
        #: What is unusual about the file, in words.
        self.notes: list[str] = []
        self.meta = self._newest()
        self._used = bytearray(self.meta.pages)

    def fail(self, reason: str) -> t.NoReturn:
        """What is wrong with the file."""
        raise BoltError(self.place, reason)

    def _read(self, offset: int, length: int) -> bytes:
        data = os.pread(self.fd, length, offset)
        if len(data) != length:
            self.fail("is not a whole bbolt database: it ends before its data does")
        return data

    def _newest(self) -> Meta:
        """The newer of the two descriptions of the database, which must not be the damaged one of them."""
        head = os.pread(self.fd, _META_SIZE, 0)
        first, second, tail = _parse_meta(head, 0), None, b""
        for size in [first.page_size] if first is not None else [1024 << i for i in range(7)]:
            tail = os.pread(self.fd, _META_SIZE, size)
            second = _parse_meta(tail, 1)
            if second is not None and second.page_size == size:
                break
            second = None
        found = [meta for meta in (first, second) if meta is not None]
        if not found:
            self.fail("is not a bbolt database, or both its descriptions are damaged")
        meta = max(found)
        if first is None or second is None:
            if not _is_older(tail if second is None else head, 1 if second is None else 0, meta):
                self.fail(
                    "one of its two descriptions (meta pages) is damaged, and it may be the newer one. Prysm would go"
                    f" on from the older state, transaction {meta.txid}, and forget what was signed after it. Bring"
                    " back a newer copy; or, if that state is proved to lack nothing, accept it with bbolt surgery"
                    " revert-meta-page"
                )
            self.notes.append(f"the older of its two descriptions is damaged; transaction {meta.txid} was read")
        elif first != second and first.txid == second.txid:
            self.fail("is not one bbolt database: its two descriptions have one number, and differ")
        if meta.pages * meta.page_size > self.size:
            # It may just have grown.
            self.size = os.fstat(self.fd).st_size
        if meta.pages < 3 or meta.pages * meta.page_size > self.size:
            self.fail("is not a whole bbolt database: it is shorter than it says")
        if meta.pages > _MAX_PAGES:
            self.fail("is larger than any validator's database")
        return meta

    def page(self, number: int, kinds: int) -> tuple[int, int, bytes]:
        """A page's kind, number of elements and bytes, overflow pages included."""
        if not 2 <= number < self.meta.pages:
            self.fail(f"refers to page {number}, which it does not have")
        size = self.meta.page_size
        data = self._read(number * size, size)
        own, flags, count, overflow = _PAGE.unpack_from(data)
        if own != number:
            self.fail(f"page {number} says it is page {own}")
        if not flags & kinds or flags & (flags - 1):
            self.fail(f"page {number} is of kind {flags:#x}, which does not belong there")
        if overflow:
            if number + overflow >= self.meta.pages:
                self.fail(f"page {number} runs over the end")
            if (overflow + 1) * size > _MAX_VALUE + size:
                self.fail(f"page {number} is larger than anything that belongs here")
            data = self._read(number * size, size * (overflow + 1))
        taken = self._used.find(1, number, number + overflow + 1)
        if taken >= 0:
            self.fail(f"page {taken} is used twice")
        self._used[number : number + overflow + 1] = b"\1" * (overflow + 1)
        return flags, count, data

    def _free(self) -> bytearray:
        """Which pages are said to be free, when the database keeps a list of them."""
        free = bytearray(self.meta.pages)
        if self.meta.freelist == _NO_FREELIST:
            return free
        _flags, count, data = self.page(self.meta.freelist, _FREELIST)
        start = _PAGE.size
        if count == 0xFFFF:
            (count,) = struct.unpack_from("<Q", data, start)
            start += 8
        if start + 8 * count > len(data):
            self.fail("its list of free pages runs over its page")
        for (number,) in struct.iter_unpack("<Q", data[start : start + 8 * count]):
            if not 2 <= number < self.meta.pages:
                self.fail(f"lists page {number} as free, which it does not have")
            free[number] = 1
        return free

    def leaves(self, number: int, top: bool = False, wanted: t.Sequence[bytes] | None = None) -> t.Iterator[Leaf]:
        """The leaves below a page, from left to right; of wanted keys only those in which they would be."""
        todo: list[tuple[int, bytes, bytes | None, int]] = [(number, b"", None, 0)]
        while todo:
            number, low, high, depth = todo.pop()
            if depth > _MAX_DEPTH:
                self.fail("is nested too deeply")
            flags, count, data = self.page(number, _BRANCH | _LEAF)
            if not count and not (flags == _LEAF and (top or wanted is not None)):
                self.fail(f"page {number} is empty")
            if flags == _LEAF:
                yield self.leaf(data, 0, count, low, high)
                continue
            for child in reversed(self._branch(number, count, data, low, high, depth)):
                _page, first, above, _level = child
                if wanted is None or any(first <= key and (above is None or key < above) for key in wanted):
                    todo.append(child)

    def _branch(
        self, number: int, count: int, data: bytes, low: bytes, high: bytes | None, depth: int
    ) -> list[tuple[int, bytes, bytes | None, int]]:
        children: list[tuple[bytes, int]] = []
        start = _PAGE.size + count * _BRANCH_ELEMENT.size
        for i in range(count):
            at = _PAGE.size + i * _BRANCH_ELEMENT.size
            if at + _BRANCH_ELEMENT.size > len(data):
                self.fail(f"page {number} is damaged")
            pos, key_size, child = _BRANCH_ELEMENT.unpack_from(data, at)
            if at + pos != start or start + key_size > len(data):
                self.fail(f"page {number} is damaged")
            children.append((data[start : start + key_size], child))
            start += key_size
        found = []
        for i, (key, child) in enumerate(children):
            above = children[i + 1][0] if i + 1 < count else high
            if key < low or (above is not None and key >= above):
                self.fail(f"page {number} is not in order")
            found.append((child, key, above, depth + 1))
        return found

    def leaf(self, data: bytes, base: int, count: int, low: bytes, high: bytes | None, exact: bool = False) -> Leaf:
        """The elements of a leaf; exact when nothing may follow them."""
        heads_end = base + _PAGE.size + count * _LEAF_SIZE
        if heads_end > len(data):
            self.fail("a leaf is damaged")
        if not count:
            if exact and heads_end != len(data):
                self.fail("a leaf is damaged")
            return Leaf((), (), ())
        heads = struct.unpack_from(f"<{4 * count}I", data, base + _PAGE.size)
        flags, positions, key_sizes, value_sizes = heads[0::4], heads[1::4], heads[2::4], heads[3::4]
        # bbolt writes them one after the other without gaps.
        starts = list(itertools.accumulate(map(operator.add, key_sizes, value_sizes), initial=heads_end))
        said = map(operator.add, positions, range(base + _PAGE.size, heads_end, _LEAF_SIZE))
        end = starts.pop()
        if end > len(data) or (exact and end != len(data)) or list(said) != starts or max(flags) > _BUCKET_LEAF:
            self.fail("a leaf is damaged")
        keys: t.Sequence[bytes]
        values: t.Sequence[bytes]
        if len(set(key_sizes)) == 1 and len(set(value_sizes)) == 1:
            keys, values = zip(*struct.iter_unpack(f"{key_sizes[0]}s{value_sizes[0]}s", data[heads_end:end]))
        else:
            middles = list(map(operator.add, starts, key_sizes))
            keys = [data[start:middle] for start, middle in zip(starts, middles)]
            values = [data[middle:stop] for middle, stop in zip(middles, [*starts[1:], end])]
        if not keys[0] or keys[0] < low or (high is not None and keys[-1] >= high):
            self.fail("a leaf is not in order")
        if not all(map(operator.lt, keys, keys[1:])):
            self.fail("a leaf is not in order")
        return Leaf(keys, values, flags)

    def buckets(self) -> dict[bytes, Subtree]:
        """The buckets at the top."""
        found = {}
        for keys, values, flags in self.leaves(self.meta.root, top=True):
            for key, value, flag in zip(keys, values, flags):
                if not flag:
                    self.fail(f"{key!r:.60} is a value where a bucket is expected")
                found[key] = Subtree(self, value, 1)
        return found

    def finish(self) -> None:
        """To be called when everything has been read: no page may be in use and free."""
        used = int.from_bytes(bytes(self._used), "little")
        if used & int.from_bytes(bytes(self._free()), "little"):
            self.fail("lists pages as free that it uses")


def _open(fd: int, place: str) -> Database:
    """The newest state. Its owner may write a description at this very moment, so a damaged one is looked at again."""
    for pause in (0.0, 0.01, 0.05):
        try:
            time.sleep(pause)
            return Database(fd, place)
        except BoltError as exc:
            failure = exc
    raise failure


def spool() -> str | None:
    """Where large temporary files belong; None for the system's own choice."""
    return _SPOOL if is_directory(_SPOOL) else None


def _copy(fd: int, place: str, file: t.IO[bytes]) -> bool:
    """Copy a database; whether the copy is one state of it. Quicker than reading it, so its owner may be busier."""
    before = _open(fd, place)
    offset, end = 0, before.meta.pages * before.meta.page_size
    while offset < end:
        chunk = os.pread(fd, min(_CHUNK, end - offset), offset)
        if not chunk:
            return False
        file.write(chunk)
        offset += len(chunk)
    file.flush()
    return _open(fd, place).meta == before.meta


def _read_copy(fd: int, place: str, work: t.Callable[[Database], Result]) -> tuple[Result] | None:
    """What some work makes of a copy; None when the owner has written to the database while it was copied."""
    with tempfile.TemporaryFile(dir=spool()) as file:
        if not _copy(fd, place, file):
            return None
        database = Database(file.fileno(), place)
        result = work(database)
        database.finish()
        return (result,)


def consistently(path: str, work: t.Callable[[Database], Result], attempts: int = 20, pause: float = 0.2) -> Result:
    """What some work makes of one committed state of a database; it is done again when that state has gone."""
    fd = open_regular(path)
    try:
        return consistently_in(fd, path, work, attempts, pause)
    finally:
        os.close(fd)


def consistently_in(
    fd: int, place: str, work: t.Callable[[Database], Result], attempts: int = 20, pause: float = 0.2
) -> Result:
    """The same of an open file, which may have lost its name since."""
    try:
        for attempt in range(attempts):
            if attempt:
                time.sleep(pause)
            if attempt >= _DIRECT:
                copied = _read_copy(fd, place, work)
                if copied is not None:
                    return copied[0]
                continue
            database = _open(fd, place)
            failure: StakingError | None = None
            try:
                result = work(database)
                database.finish()
            except StakingError as exc:
                failure = exc
            # Damage, or a page its owner has just used again? Only the second goes away by itself.
            if _open(fd, place).meta == database.meta:
                if failure is not None:
                    raise failure
                return result
        raise BoltError(place, f"was written to during each of {attempts} attempts to read it")
    except OSError as exc:
        raise BoltError(place, reason_of(exc)) from exc


def read(path: str, attempts: int = 20, pause: float = 0.2) -> Bucket:
    """Everything in a database, as one committed state of it."""
    return consistently(
        path,
        lambda database: Bucket((name, tree.whole()) for name, tree in database.buckets().items()),
        attempts,
        pause,
    )


def is_bolt(fd: int, size: int, head: bytes) -> bool:
    """Whether an open file is a bbolt database."""
    if head[16:20] == _MAGIC:
        return True
    return any(size > place and os.pread(fd, 4, place) == _MAGIC for place in _PLACES[1:])


def top_names(fd: int) -> list[bytes]:
    """The names at the top, read with as little as needed; struct.error or ValueError when that is damaged."""
    metas = []
    for place in _PLACES:
        raw = os.pread(fd, 64, place)
        if raw[:4] == _MAGIC:
            _magic, _version, size, _flags, root, _sequence, _free, _pages, txid = struct.unpack_from("<IIIIQQQQQ", raw)
            metas.append((txid, size, root))
    _txid, size, root = max(metas)
    if not 512 <= size <= 65536:
        raise ValueError("no page size")
    names: list[bytes] = []
    waiting, left = [root], _MOST_PAGES
    while waiting:
        number, left = waiting.pop(), left - 1
        head = os.pread(fd, 16, number * size)
        own, flags, count, overflow = struct.unpack("<QHHI", head)
        if own != number or not left or overflow > _MOST_PAGES:
            raise ValueError("no page")
        data = os.pread(fd, size * (overflow + 1), number * size)
        for i in range(count):
            if flags == _LEAF:
                _kind, pos, length, _value = struct.unpack_from("<IIII", data, 16 + i * 16)
                names.append(data[16 + i * 16 + pos :][:length])
            elif flags == _BRANCH:
                waiting.append(struct.unpack_from("<IIQ", data, 16 + i * 16)[2])
            else:
                raise ValueError("no kind")
    return names


def transaction(path: str) -> int:
    """The number of the newest transaction; it only ever grows, so an older copy has a lower one."""
    fd = open_regular(path)
    try:
        return transaction_in(fd, path)
    finally:
        os.close(fd)


def transaction_in(fd: int, place: str) -> int:
    """The same of an open file."""
    try:
        return _open(fd, place).meta.txid
    except OSError as exc:
        raise BoltError(place, reason_of(exc)) from exc
