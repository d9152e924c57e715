# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""What `chronyc -c` says about a clock, and whether a validator may be started on it."""

from __future__ import annotations

import typing as t

SELECTED, COMBINED, FALSETICKER = "*", "+", "x"


class ChronyError(Exception):
    """An answer of chronyc that cannot be understood."""


class Tracking(t.NamedTuple):
    """The clock as chronyd believes it to be."""

    reference: str
    stratum: int
    offset: float  # seconds the clock is ahead of (negative: behind) the time chronyd believes in
    skew_ppm: float
    leap: str


class Source(t.NamedTuple):
    """One time source as last measured."""

    name: str
    state: str
    stratum: int
    reachable: bool
    offset: float  # seconds the clock is ahead of (negative: behind) this source
    error: float


def parse_tracking(text: str) -> Tracking:
    """The one line of `chronyc -c tracking`."""
    fields = text.strip().split(",")
    if len(fields) < 14:
        raise ChronyError(f"chronyc -c tracking gave {len(fields)} fields instead of 14: {text[:200]!r}")
    try:
        return Tracking(
            reference=fields[1] or fields[0],
            stratum=int(fields[2]),
            # chronyc counts a slow clock as positive here, and a fast one as positive in `sources`.
            offset=-float(fields[4]),
            skew_ppm=float(fields[9]),
            leap=fields[13].strip(),
        )
    except ValueError as exc:
        raise ChronyError(f"chronyc -c tracking is not understood: {text[:200]!r}") from exc


def parse_sources(text: str) -> list[Source]:
    """The lines of `chronyc -c sources`."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        fields = line.strip().split(",")
        if len(fields) < 10:
            raise ChronyError(f"this line of chronyc -c sources is not understood: {line[:200]!r}")
        try:
            found.append(
                Source(
                    name=fields[2],
                    state=fields[1],
                    stratum=int(fields[3]),
                    reachable=int(fields[5], 8) != 0,
                    offset=float(fields[7]),
                    error=float(fields[9]),
                )
            )
        except ValueError as exc:
            raise ChronyError(f"this line of chronyc -c sources is not understood: {line[:200]!r}") from exc
    return found


def worst_offset(tracking: Tracking, sources: t.Sequence[Source]) -> float:
    """How far the clock is off, at worst: chronyd's own belief, or what any source it has not rejected measured.

    A change larger than chronyd's bound is ignored and then shows in the sources alone.
    """
    offsets = [tracking.offset]
    offsets += [source.offset for source in sources if source.reachable and source.state != FALSETICKER]
    return max(offsets, key=abs)


def way(offset: float) -> str:
    """An offset in words."""
    return "{:.3f} s {}".format(abs(offset), "ahead" if offset > 0 else "behind")


def problems(
    tracking: Tracking, sources: t.Sequence[Source], max_offset: float, max_skew_ppm: float, min_sources: int
) -> list[str]:
    """Why no validator may be started on this clock; empty when one may."""
    found = []
    reachable = [source for source in sources if source.reachable]
    if not sources:
        found.append("chronyd has no time source")
    elif not reachable:
        found.append(f"none of its {len(sources)} time sources answers")
    offset = worst_offset(tracking, sources)
    if abs(offset) > max_offset:
        found.append(f"its clock is {way(offset)} (allowed: {max_offset:g} s)")
    if tracking.leap == "Not synchronised" or tracking.stratum == 0:
        found.append("its clock is not synchronised")
    elif tracking.leap not in ("Normal", "Insert second", "Delete second"):
        found.append(f"its leap status is '{tracking.leap}'")
    elif tracking.leap != "Normal":
        found.append(f"a leap second is announced ('{tracking.leap}'): start after it has passed")
    if tracking.skew_ppm > max_skew_ppm:
        found.append(f"its frequency is uncertain by {tracking.skew_ppm:g} ppm (allowed: {max_skew_ppm:g})")
    used = [source for source in reachable if source.state in (SELECTED, COMBINED)]
    liars = [source for source in reachable if source.state == FALSETICKER]
    if reachable and not any(source.state == SELECTED for source in sources):
        found.append("chronyd has not settled on a source")
    elif reachable and len(used) < min_sources:
        found.append(f"only {len(used)} of its sources are used (wanted: {min_sources})")
    if liars and len(liars) >= len(used):
        found.append(
            "its sources disagree: {}".format(
                ", ".join(f"{source.name} sees it {way(source.offset)}" for source in liars + used)
            )
        )
    return found


#: Runs a command: its exit code, what it says, and what it complains of.
Run = t.Callable[[t.Sequence[str]], t.Tuple[int, str, str]]

#: What a clock may be like where a validator is started, as options of a module.
LIMITS: dict[str, dict[str, t.Any]] = {
    "max_offset_seconds": {"type": "float", "default": 0.5},
    "max_skew_ppm": {"type": "float", "default": 100},
    "min_sources": {"type": "int", "default": 1},
}


def measure(run: Run, chronyc: str | None, limits: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Ask chronyd and judge its answer by LIMITS: offset_seconds, skew_ppm, leap, sources, problems; problems alone
    where it gives none."""
    if chronyc is None:
        return {"problems": ["chrony is not installed"]}
    answers = {}
    for question in ("tracking", "sources"):
        rc, out, err = run([chronyc, "-c", "-n", question])
        if rc != 0:
            return {"problems": [f"chronyd does not answer: {(err or out).strip() or rc}"]}
        answers[question] = out
    try:
        tracking, sources = parse_tracking(answers["tracking"]), parse_sources(answers["sources"])
    except ChronyError as exc:
        return {"problems": [str(exc)]}
    return {
        "offset_seconds": worst_offset(tracking, sources),
        "skew_ppm": tracking.skew_ppm,
        "leap": tracking.leap,
        "sources": [source._asdict() for source in sources],
        "problems": problems(
            tracking, sources, limits["max_offset_seconds"], limits["max_skew_ppm"], limits["min_sources"]
        ),
    }
