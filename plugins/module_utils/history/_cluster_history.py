# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""A copy of the site's record in ConfigMaps, each a record of its own: joined they are the whole.

So each can be raised by itself, with the version of it that was read, and two writers at a time lower nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
import typing as t
import zlib

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Cluster, Conflict, NotYet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import (
    EMPTY,
    Key,
    Record,
    join,
    parse_record,
    render_record,
    to_document,
)

LABEL = "eth2xk8s.staking/history"
PREFIX = "eth2prysm-history-"
FIELD = "record.json.gz"
#: Keys in one ConfigMap, and how many bytes it may have; the API server takes 1 MiB.
KEYS = 2000
LIMIT = 700_000

#: What is said where it is of no use.
CANNOT = "The copy of the record in the cluster cannot be read or raised: "

_NAME = re.compile(re.escape(PREFIX) + r"([0-9]{1,4})\Z")
_UNPACKED = 64 << 20
_GZIP = 16 + zlib.MAX_WBITS


class Copy(t.NamedTuple):
    """A ConfigMap with a part of the record."""

    name: str
    version: str
    record: Record


def slim(record: Record) -> Record:
    """Without single votes and blocks."""
    keys = {key: entry._replace(blocks=(), last=None, votes=0) for key, entry in record.keys.items()}
    return record._replace(keys=keys)


def parse(item: t.Mapping[str, t.Any]) -> Copy | None:
    """A part of the record from a ConfigMap; None where it is none."""
    meta = item.get("metadata") or {}
    name = str(meta.get("name"))
    if not _NAME.match(name) and (meta.get("labels") or {}).get(LABEL) != "true":
        return None
    place = f"ConfigMap {meta.get('namespace')}/{name}"
    try:
        packed = base64.b64decode((item.get("binaryData") or {})[FIELD], validate=True)
        reader = zlib.decompressobj(_GZIP)
        data = reader.decompress(packed, _UNPACKED)
    except (KeyError, TypeError, binascii.Error, ValueError, zlib.error) as exc:
        raise UnreadableError(place, f"holds no {FIELD} that can be unpacked") from exc
    if not reader.eof or reader.unused_data:
        raise UnreadableError(place, f"its {FIELD} does not end where it should")
    return Copy(name, str(meta.get("resourceVersion")), parse_record(data, place))


def render(copy: Copy, namespace: str) -> dict[str, t.Any]:
    """The ConfigMap of a part; with a version, only in the place of that one."""
    writer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    packed = base64.b64encode(writer.compress(render_record(copy.record)) + writer.flush()).decode("ascii")
    if len(packed) > LIMIT:
        raise StakingError(f"{copy.name} would be {len(packed)} bytes long; at most {LIMIT} are allowed")
    meta: dict[str, t.Any] = {"name": copy.name, "namespace": namespace, "labels": {LABEL: "true"}}
    if copy.version:
        meta["resourceVersion"] = copy.version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "binaryData": {FIELD: packed}}


def copies(items: t.Iterable[t.Mapping[str, t.Any]]) -> list[Copy]:
    """The parts of the record among ConfigMaps."""
    return sorted(copy for copy in map(parse, items) if copy is not None)


def whole(copies: t.Iterable[Copy]) -> Record:
    """The record that all parts make."""
    return join(*(copy.record for copy in copies))


def raised(copies: t.Sequence[Copy], news: Record) -> list[Copy]:
    """The parts to write so that all together know the news; each lacks nothing of what it was."""
    # Contradictions are found over the whole, before anything is written.
    wanted = join(whole(copies), slim(news))
    parts = {copy.name: copy for copy in copies if _NAME.match(copy.name)}
    where = {key: copy.name for copy in parts.values() for key in copy.record.keys}
    keys: dict[str, dict[str, Key]] = {}
    sizes = {name: len(copy.record.keys) for name, copy in parts.items()}
    number = 0
    for key, entry in sorted(wanted.keys.items()):
        name = where.get(key)
        if name is None:
            while sizes.get(f"{PREFIX}{number}", 0) >= KEYS:
                number += 1
            name = f"{PREFIX}{number}"
            sizes[name] = sizes.get(name, 0) + 1
        keys.setdefault(name, {})[key] = entry
    first = f"{PREFIX}0"
    if wanted != EMPTY:
        keys.setdefault(first, {})
    changed = []
    for name, entries in sorted(keys.items()):
        before = parts.get(name, Copy(name, "", EMPTY))
        clients = wanted.clients if name == first else {}
        after = join(before.record, Record(wanted.genesis_validators_root, entries, clients))
        if after != before.record:
            changed.append(Copy(name, before.version, after))
    return changed


def _parts(cluster: Cluster, namespace: str) -> list[Copy]:
    """The parts that are there."""
    return copies(cluster.items(f"/api/v1/namespaces/{namespace}/configmaps"))


def _write(cluster: Cluster, namespace: str, copy: Copy) -> None:
    """Write one part, in the place of the one that was read, or where none was."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    if copy.version:
        cluster.write("PUT", f"{path}/{copy.name}", render(copy, namespace))
    else:
        cluster.write("POST", path, render(copy, namespace))


def _keep(cluster: Cluster, namespace: str, news: Record | None, check: bool) -> dict[str, t.Any]:
    """One attempt; the result."""
    there = _parts(cluster, namespace)
    before = whole(there)
    after, written = before, []
    if news is not None:
        after = join(before, slim(news))
        changes = raised(there, news)
        written = [copy.name for copy in changes]
        if changes and not check:
            for copy in changes:
                _write(cluster, namespace, copy)
            there = _parts(cluster, namespace)
            now = whole(there)
            if join(now, after) != now:
                raise NotYet("the ConfigMaps do not hold what was written to them")
            after = now
    return {
        "changed": set(after.keys) != set(before.keys) or set(after.clients) != set(before.clients),
        "record": to_document(after),
        "configmaps": sorted({copy.name for copy in there} | set(written)),
        "written": written,
    }


def keep(cluster: Cluster, namespace: str, news: Record | None, check: bool, deadline: float) -> dict[str, t.Any]:
    """Raise the copy by what is new, if anything is given, and read it back; what slashing_protection_witness returns.

    Tried again until the deadline (of time.monotonic); then NotYet. Never where it cannot be, StakingError where what
    is there is no record.
    """
    while True:
        try:
            return _keep(cluster, namespace, news, check)
        except NotYet as exc:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1 if isinstance(exc, Conflict) else 2)
