# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Duties, read from the metrics of a Prysm process."""

from __future__ import annotations

import re
import typing as t

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_PUBKEY = re.compile(r"^0x[0-9a-f]{96}$")

STATUS_NAMES = ("UNKNOWN", "DEPOSITED", "PENDING", "ACTIVE", "EXITING", "SLASHING", "EXITED")
_ACTIVE = 3.0


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


def duties(text: str) -> Duties:
    """What a validator client says of its keys."""
    samples = parse(text, {"prysm_version", "validator_statuses", "validator_last_attested_slot"})
    status: dict[str, str] = {}
    slots: dict[str, int] = {}
    for sample in samples:
        if sample.name == "prysm_version":
            continue
        pubkey = sample.labels.get("pubkey", "").lower()
        if not _PUBKEY.match(pubkey):
            raise MetricsError(f"{sample.name} has {pubkey!r} where a public key should be")
        if sample.name == "validator_statuses":
            number = int(sample.value)
            known = 0 <= number < len(STATUS_NAMES)
            status[pubkey] = STATUS_NAMES[number] if known else f"status {number}"
        else:
            slots[pubkey] = int(sample.value)
    keys = {key: KeyDuties(status.get(key), slots.get(key)) for key in sorted({*status, *slots})}
    return Duties(_version(samples), keys)


def current_slot(text: str) -> int | None:
    """The slot the beacon node's clock is at, from its metrics."""
    samples = parse(text, {"beacon_clock_time_slot", "beacon_head_slot"})
    return max((int(sample.value) for sample in samples), default=None)


def missing_proof(
    key: KeyDuties | None,
    first_slot: int | None,
    now_slot: int | None,
    slots_per_epoch: int,
    accept_pending: bool,
) -> str:
    """Why it is not yet proved that this process performs the key's duties; empty when it is.

    A status alone proves nothing: Prysm keeps it for keys that were deleted or blacklisted. An attestation by this very
    process does: its slot has advanced since the first look, or lies within the last two epochs.
    """
    if key is None or key.status is None:
        return "not known to the running client"
    if accept_pending and key.status in ("UNKNOWN", "DEPOSITED", "PENDING"):
        return ""
    if key.status != STATUS_NAMES[int(_ACTIVE)]:
        return f"status {key.status}, not ACTIVE"
    if key.last_attested_slot is None or key.last_attested_slot <= 0:
        return "no attestation yet since the client started"
    if first_slot is not None and key.last_attested_slot > first_slot:
        return ""
    if now_slot is not None and now_slot - key.last_attested_slot <= 2 * slots_per_epoch:
        return ""
    behind = f", the chain is at {now_slot}" if now_slot is not None else ""
    return f"last attested slot {key.last_attested_slot}{behind}"
