# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""Duties, read from the metrics of a Prysm process."""

from __future__ import annotations

import math
import re
import typing as t

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_PUBKEY = re.compile(r"^0x[0-9a-f]{96}$")

# By Prysm's own enum (proto/prysm/v1alpha1/validator.proto, the same from v1.2.2 to v7.1.6).
STATUS_NAMES = (
    "UNKNOWN",
    "DEPOSITED",
    "PENDING",
    "ACTIVE",
    "EXITING",
    "SLASHING",
    "EXITED",
    "INVALID",
    "PARTIALLY_DEPOSITED",
)

# What a key without duties waits for.
WAITS_FOR = {
    "UNKNOWN": "the chain knows no deposit for it",
    "DEPOSITED": "its deposit waits to be taken in",
    "PENDING": "it waits in the activation queue",
    "INVALID": "its deposit is invalid: it needs another",
    "PARTIALLY_DEPOSITED": "too little is deposited for it",
}

# Keys whose duties are over. A slashed key has none either, and waits for its exit.
FINISHED = {"SLASHING": "it is slashed", "EXITED": "it has exited"}

# Keys with duties. An exiting key has them until its exit.
ON_DUTY = ("ACTIVE", "EXITING")

# What Prysm gives as the index of a key that is not in the chain's state. From v5.2.0 on this sample stays, with the
# status of then, beside the one with the real index.
_NO_INDEX = 0xFFFFFFFFFFFFFFFF


class MetricsError(ValueError):
    """Text that is not Prometheus metrics."""


class Sample(t.NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


class KeyDuties(t.NamedTuple):
    """What one process says of one key. None: it has said nothing yet."""

    status: str | None
    last_attested_slot: int | None


class Duties(t.NamedTuple):
    version: str | None
    keys: dict[str, KeyDuties]


def _labels(text: str, line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _LABEL.match(text, position)
        if match is None:
            raise MetricsError(f"cannot read the labels of {line!r}")
        found[match.group(1)] = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), match.group(2))
        position = match.end()
    return found


def parse(text: str, wanted: t.Container[str]) -> list[Sample]:
    """The samples whose names are wanted. Any other line must at least look like metrics."""
    samples = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        if match is None:
            raise MetricsError(f"not a metric: {line[:80]!r}")
        name, labels, value = match.groups()
        if name not in wanted:
            continue
        try:
            number = float(value)
        except ValueError as exc:
            raise MetricsError(f"not a number in {line[:80]!r}") from exc
        samples.append(Sample(name, _labels(labels or "", line[:80]), number))
    return samples


def _version(samples: t.Iterable[Sample]) -> str | None:
    for sample in samples:
        if sample.name == "prysm_version" and sample.value == 1:
            return sample.labels.get("version")
    return None


def version(text: str) -> str | None:
    """The version that runs, if it says so (from v1.3.3 on)."""
    return _version(parse(text, {"prysm_version"}))


def _status(number: float) -> str:
    if number == int(number) and 0 <= number < len(STATUS_NAMES):
        return STATUS_NAMES[int(number)]
    return f"status {number:g}"


def _index(sample: Sample) -> int | None:
    """The validator index of a status; None where the release gives none."""
    text = sample.labels.get("index", "")
    if not text:
        return None
    try:
        return int(text, 0)
    except ValueError as exc:
        raise MetricsError(f"{sample.name} has {text!r} where an index should be") from exc


def _of_one_key(statuses: t.Sequence[tuple[int | None, str]]) -> str:
    """The status that counts: one with a real index before one without, and of those one that has duties."""
    real = [name for index, name in statuses if index != _NO_INDEX] or [name for _unused, name in statuses]
    return next((name for name in real if name in ON_DUTY), real[-1])


def duties(text: str) -> Duties:
    """What a validator client says of its keys."""
    samples = parse(text, {"prysm_version", "validator_statuses", "validator_last_attested_slot"})
    statuses: dict[str, list[tuple[int | None, str]]] = {}
    slots: dict[str, int] = {}
    for sample in samples:
        if sample.name == "prysm_version":
            continue
        pubkey = sample.labels.get("pubkey", "").lower()
        if not _PUBKEY.match(pubkey):
            raise MetricsError(f"{sample.name} has {pubkey!r} where a public key should be")
        if not math.isfinite(sample.value):
            raise MetricsError(f"{sample.name} of {pubkey[:12]}… is {sample.value}")
        if sample.name == "validator_statuses":
            statuses.setdefault(pubkey, []).append((_index(sample), _status(sample.value)))
        else:
            slots[pubkey] = int(sample.value)
    status = {key: _of_one_key(found) for key, found in statuses.items()}
    keys = {key: KeyDuties(status.get(key), slots.get(key)) for key in sorted({*status, *slots})}
    return Duties(_version(samples), keys)


def head_slot(text: str) -> int | None:
    """The head by a beacon node's metrics: 0 from its start to the first block it takes in."""
    for sample in parse(text, {"beacon_head_slot"}):
        if math.isfinite(sample.value) and sample.value >= 0:
            return int(sample.value)
    return None


class Verdict(t.NamedTuple):
    """What is proved of one key: proved, waiting (accepted so), finished or missing; and why."""

    kind: str
    words: str


def judge(
    key: KeyDuties | None,
    first_slot: int | None,
    now_slot: int | None,
    slots_per_epoch: int,
    accept_pending: bool,
) -> Verdict:
    """Whether it is proved that this process performs the key's duties.

    A status alone proves nothing: Prysm keeps it for keys that were deleted or blacklisted. An attestation by this very
    process does: its slot has advanced since the first look, or lies within the last two epochs by the chain's clock.
    """
    if key is None or key.status is None:
        return Verdict("missing", "not known to the running client")
    if key.status in WAITS_FOR:
        words = f"status {key.status}: {WAITS_FOR[key.status]}"
        return Verdict("waiting" if accept_pending else "missing", words)
    if key.status in FINISHED:
        return Verdict("finished", f"status {key.status}: {FINISHED[key.status]}")
    if key.status not in ON_DUTY:
        return Verdict("missing", f"{key.status}, which is not a status known here")
    last = key.last_attested_slot
    if last is None or last <= 0:
        return Verdict("missing", "no attestation yet since the client started")
    if first_slot is not None and last > first_slot:
        return Verdict("proved", "")
    if now_slot is None:
        return Verdict("missing", f"last attested slot {last}; without the chain's clock it has to advance")
    if last > now_slot + 1:
        return Verdict("missing", f"last attested slot {last}, but by the clock of this machine it is {now_slot}")
    if now_slot - last <= 2 * slots_per_epoch:
        return Verdict("proved", "")
    return Verdict("missing", f"last attested slot {last}, the chain is at {now_slot}")
