"""Which processor each machine runs on.

A machine has one processor, and every system call on it goes to another process of the host here and back. Left to the
host's scheduler, the two are put on different processors, and each call takes twice as long.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

#: When it was, seconds each machine has used, seconds each processor has worked.
Look = tuple[float, dict[int, float], dict[int, float]]
PROC = Path("/proc")
PERIOD_SECONDS = 1.0
#: A move costs what the caches held: only for a fullest processor that becomes this much emptier.
GAIN = 0.2


def place(loads: dict[int, float], where: dict[int, int], others: dict[int, float]) -> dict[int, int]:
    """A better place for every machine, or the one it has.

    Args:
        loads: What each machine (the id of its process) used of a processor, 0 to 1.
        where: The processor of each.
        others: What everybody else used of each processor, 0 to 1.
    """

    def fullest(places: dict[int, int]) -> float:
        return max(used + sum(loads[pid] for pid in loads if places[pid] == cpu) for cpu, used in others.items())

    found: dict[int, int] = {}
    filled = dict(others)
    for pid in sorted(loads, key=lambda pid: loads[pid], reverse=True):
        # Among equals the one where it is.
        found[pid] = min(filled, key=lambda cpu: (round(filled[cpu], 2), cpu != where[pid], cpu))
        filled[found[pid]] += loads[pid]
    return found if fullest(found) < fullest(where) - GAIN else where


def tasks(pid: int) -> list[str]:
    """The threads of a process; none of one that has ended, or ends while it is looked at."""
    with contextlib.suppress(OSError):
        return [thread.name for thread in (PROC / str(pid) / "task").iterdir()]
    return []


def family(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for thread in tasks(pid):
        with contextlib.suppress(OSError):
            found += map(int, (PROC / str(pid) / "task" / thread / "children").read_text().split())
    return found


def pin(pid: int, cpu: int) -> None:
    """Put a process, its children and all their threads on a processor."""

    def bind(one: int) -> None:
        for thread in tasks(one):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread), {cpu})

    bind(pid)  # first: its new children follow it
    for child in family(pid)[1:]:
        bind(child)


def used_by(pid: int) -> float:
    """Seconds that a process, its children and those that have ended spent on processors."""
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError, IndexError):
            ticks += sum(map(int, (PROC / str(one) / "stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def used_of(cpus: Iterable[int]) -> dict[int, float]:
    """Seconds that each processor has worked."""
    rows = dict(line.split(None, 1) for line in (PROC / "stat").read_text().splitlines() if line.startswith("cpu"))
    # user, nice, system, idle, iowait, irq, softirq, steal
    fields = {cpu: list(map(int, rows[f"cpu{cpu}"].split()[:8])) for cpu in cpus}
    return {cpu: (sum(of) - of[3] - of[4]) / os.sysconf("SC_CLK_TCK") for cpu, of in fields.items()}


class Placement:
    """Keeps each machine on one processor, and moves it when another one has more room."""

    def __init__(self, first: int) -> None:
        self.cpus = sorted(os.sched_getaffinity(0))
        self.next = first
        self.where: dict[int, int] = {}
        self.lock = threading.Lock()

    def add(self, pid: int) -> None:
        """Take on a machine that has just been started."""
        with self.lock:
            self.where[pid] = self.cpus[self.next % len(self.cpus)]
            self.next += 1
            pin(pid, self.where[pid])

    def watch(self) -> None:
        """Look once a second, for ever."""
        before = self._look()
        while True:
            time.sleep(PERIOD_SECONDS)
            now = self._look()
            self._adjust(before, now)
            before = now

    def _look(self) -> Look:
        with self.lock:
            self.where = {pid: cpu for pid, cpu in self.where.items() if (PROC / str(pid)).exists()}
            return time.monotonic(), {pid: used_by(pid) for pid in self.where}, used_of(self.cpus)

    def _adjust(self, before: Look, now: Look) -> None:
        passed = now[0] - before[0]
        with self.lock:
            # One that was started or ended in between is looked at the next time.
            where = {pid: cpu for pid, cpu in self.where.items() if pid in before[1] and pid in now[1]}
            loads = {pid: max(0.0, now[1][pid] - before[1][pid]) / passed for pid in where}
            busy = {cpu: (now[2][cpu] - before[2][cpu]) / passed for cpu in self.cpus}
            others = {cpu: max(0.0, busy[cpu] - sum(loads[pid] for pid in loads if where[pid] == cpu)) for cpu in busy}
            for pid, cpu in place(loads, where, others).items():
                if cpu != where[pid]:
                    self.where[pid] = cpu
                    pin(pid, cpu)
