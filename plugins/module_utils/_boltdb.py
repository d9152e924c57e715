# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""A small read-only reader of bbolt databases, strict about every page it touches.

bbolt never overwrites a page that the newest committed state uses, so a database can be read while its owner writes to
it, without any lock: if the newest state is still the same after reading, what was read was whole.
"""

from __future__ import annotations

import os
import struct
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    UnreadableError,
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

_PAGE = struct.Struct("<QHHI")
_META_BODY = struct.Struct("<IIIIQQQQQ")
_LEAF_ELEMENT = struct.Struct("<IIII")
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_BUCKET = struct.Struct("<QQ")


class BoltError(UnreadableError):
    """A file is not a bbolt database, or a damaged one."""


class Bucket(t.Dict[bytes, t.Union[bytes, "Bucket"]]):
    """A bucket: values and buckets by key."""

    def bucket(self, name: bytes) -> Bucket:
        """A bucket inside; an empty one when it is missing."""
        inner = self.get(name)
        if isinstance(inner, bytes):
            raise BoltError("database", f"{name!r} is a value where a bucket is expected")
        return inner if inner is not None else Bucket()

    def value(self, name: bytes) -> bytes | None:
        """A value inside."""
        inner = self.get(name)
        if isinstance(inner, Bucket):
            raise BoltError("database", f"{name!r} is a bucket where a value is expected")
        return inner


class _Meta(t.NamedTuple):
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


class _Database:
    def __init__(self, fd: int, place: str) -> None:
        self.fd = fd
        self.place = place
        self.size = os.fstat(fd).st_size
        self.meta = self.newest()
        self.seen: set[int] = set()

    def fail(self, reason: str) -> t.NoReturn:
        raise BoltError(self.place, reason)

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self.fd, length, offset)
        if len(data) != length:
            self.fail("is not a whole bbolt database: it ends before its data does")
        return data

    def newest(self) -> _Meta:
        """The newer of the two descriptions of the database, of those that are whole."""
        found = []
        head = os.pread(self.fd, 16 + _META_BODY.size + 8, 0)
        first = self.parse_meta(head, 0)
        if first is not None:
            found.append(first)
            sizes: t.Iterable[int] = [first.page_size]
        else:
            sizes = [1024 << i for i in range(7)]
        for size in sizes:
            second = self.parse_meta(os.pread(self.fd, len(head), size), 1)
            if second is not None and second.page_size == size:
                found.append(second)
                break
        if not found:
            self.fail("is not a bbolt database, or both its descriptions are damaged")
        meta = max(found)
        if meta.pages * meta.page_size > self.size:
            # It may just have grown.
            self.size = os.fstat(self.fd).st_size
        if meta.pages < 3 or meta.pages * meta.page_size > self.size:
            self.fail("is not a whole bbolt database: it is shorter than it says")
        return meta

    def parse_meta(self, data: bytes, page_id: int) -> _Meta | None:
        if len(data) < 16 + _META_BODY.size + 8:
            return None
        number, flags, _count, _overflow = _PAGE.unpack_from(data)
        body = data[16 : 16 + _META_BODY.size]
        (checksum,) = struct.unpack_from("<Q", data, 16 + _META_BODY.size)
        magic, version, page_size, _flags, root, _sequence, freelist, pages, txid = _META_BODY.unpack(body)
        if magic != MAGIC or version != _VERSION or checksum != _fnv1a(body):
            return None
        if (
            number != page_id
            or not flags & _META
            or page_size < 512
            or page_size > 65536
            or page_size & (page_size - 1)
        ):
            return None
        return _Meta(txid, page_size, root, freelist, pages)

    def page(self, number: int, kinds: int) -> tuple[int, int, bytes]:
        """A page's kind, number of elements and bytes, overflow pages included."""
        if not 2 <= number < self.meta.pages:
            self.fail(f"refers to page {number}, which it does not have")
        size = self.meta.page_size
        data = self.read(number * size, size)
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
            data = self.read(number * size, size * (overflow + 1))
        for used in range(number, number + overflow + 1):
            if used in self.seen:
                self.fail(f"page {used} is used twice")
            self.seen.add(used)
        return flags, count, data

    def free(self) -> set[int]:
        """The pages that are said to be free, when the database keeps a list of them."""
        if self.meta.freelist == _NO_FREELIST:
            return set()
        _flags, count, data = self.page(self.meta.freelist, _FREELIST)
        start = 16
        if count == 0xFFFF:
            (count,) = struct.unpack_from("<Q", data, 16)
            start = 24
        if start + 8 * count > len(data):
            self.fail("its list of free pages runs over its page")
        return set(struct.unpack_from(f"<{count}Q", data, start))

    def walk(self, number: int, depth: int, low: bytes, high: bytes | None, into: Bucket) -> None:
        """Read the tree below a page; its keys must lie from low up to, not including, high."""
        if depth > _MAX_DEPTH:
            self.fail("is nested too deeply")
        flags, count, data = self.page(number, _BRANCH | _LEAF)
        if flags == _LEAF:
            self.leaf(data, 0, count, depth, low, high, into)
            return
        if not count:
            self.fail(f"page {number} is an empty branch")
        children = []
        for i in range(count):
            at = 16 + i * _BRANCH_ELEMENT.size
            if at + _BRANCH_ELEMENT.size > len(data):
                self.fail(f"page {number} is damaged")
            pos, key_size, child = _BRANCH_ELEMENT.unpack_from(data, at)
            if at + pos + key_size > len(data):
                self.fail(f"page {number} is damaged")
            children.append((data[at + pos : at + pos + key_size], child))
        for i, (key, child) in enumerate(children):
            above = children[i + 1][0] if i + 1 < count else high
            if key < low or (above is not None and key >= above):
                self.fail(f"page {number} is not in order")
            self.walk(child, depth + 1, key, above, into)

    def leaf(
        self, data: bytes, base: int, count: int, depth: int, low: bytes, high: bytes | None, into: Bucket
    ) -> None:
        end = len(data)
        last: bytes | None = None
        for i in range(count):
            at = base + 16 + i * 16
            if at + 16 > end:
                self.fail("a leaf is damaged")
            flags, pos, key_size, value_size = _LEAF_ELEMENT.unpack_from(data, at)
            start = at + pos
            middle = start + key_size
            stop = middle + value_size
            if stop > end or flags > _BUCKET_LEAF:
                self.fail("a leaf is damaged")
            key = data[start:middle]
            if key < low or (last is not None and key <= last) or (high is not None and key >= high):
                self.fail("a leaf is not in order")
            last = key
            value = data[middle:stop]
            into[key] = self.bucket(value, depth) if flags else value

    def bucket(self, value: bytes, depth: int) -> Bucket:
        if len(value) < _BUCKET.size:
            self.fail("a bucket is damaged")
        root, _sequence = _BUCKET.unpack_from(value)
        inner = Bucket()
        if root:
            self.walk(root, depth + 1, b"", None, inner)
            return inner
        if depth > _MAX_DEPTH or len(value) < _BUCKET.size + 16:
            self.fail("a bucket is damaged")
        _own, flags, count, _overflow = _PAGE.unpack_from(value, _BUCKET.size)
        if flags != _LEAF:
            self.fail("a bucket is damaged")
        self.leaf(value, _BUCKET.size, count, depth + 1, b"", None, inner)
        return inner

    def all(self) -> Bucket:
        content = Bucket()
        self.walk(self.meta.root, 0, b"", None, content)
        used = set(self.seen)
        if used & self.free():
            self.fail("lists pages as free that it uses")
        return content


def read(path: str, attempts: int = 20, pause: float = 0.2) -> Bucket:
    """Everything in a database, as one committed state of it."""
    fd = open_regular(path)
    try:
        failure: BoltError | None = None
        for attempt in range(attempts):
            database = _Database(fd, path)
            failure = None
            content = Bucket()
            try:
                content = database.all()
            except BoltError as exc:
                failure = exc
            # Damage, or a page its owner has just used again? Only the second goes away by itself.
            if _Database(fd, path).meta == database.meta:
                if failure is not None:
                    raise failure
                return content
            if attempt + 1 < attempts:
                time.sleep(pause)
        raise failure or BoltError(path, f"was written to during each of {attempts} attempts to read it")
    except OSError as exc:
        raise BoltError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)


def transaction(path: str) -> int:
    """The number of the newest transaction; it only ever grows, so an older copy has a lower one."""
    fd = open_regular(path)
    try:
        return _Database(fd, path).meta.txid
    except OSError as exc:
        raise BoltError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)
