"""One machine: a User Mode Linux process with a tap device and a copy-on-write disk."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.layout import GATEWAY, PREFIX, MachineSpec

# User Mode Linux starts itself anew as argv[0] when the machine reboots, and leaks the tap's descriptor into the new
# kernel, which then has no network: so argv[0] is this program, which closes it first.
LAUNCHER = """#!/bin/bash
for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    if ((fd > 2 && fd < 250)); then eval "exec $fd>&-"; fi
done
exec -a "$0" "$LAB_KERNEL" "$@"
"""


@dataclass
class Machine:
    """A machine that can be powered on and off, frozen and thawed."""

    spec: MachineSpec
    kernel: Path
    base: Path
    disk: Path
    launcher: Path
    console: Path
    public_key: str
    started: Callable[[int], None]
    process: subprocess.Popen[bytes] | None = field(default=None)
    frozen: bool = False

    @property
    def tap(self) -> str:
        """The name of the machine's tap device in the lab's network namespace."""
        return f"tap-{self.spec.name}"

    @property
    def state(self) -> str:
        """`off`, `frozen` or `on`."""
        if self.process is None or self.process.poll() is not None:
            return "off"
        return "frozen" if self.frozen else "on"

    def power_on(self) -> None:
        """Start the machine; its disk is made when it has none."""
        if self.state != "off":
            return
        address = f"{self.spec.address}/{PREFIX}"
        command = [
            str(self.launcher),
            f"ubd0={self.disk},{self.base}",
            "root=/dev/ubda",
            "rw",
            f"mem={self.spec.memory_mib}M",
            f"systemd.hostname={self.spec.name}",
            f"machine.address={address}",
            f"machine.gateway={GATEWAY}",
            "machine.key=" + ",".join(self.public_key.split()[:2]),
            f"vec0:transport=tap,ifname={self.tap},depth=128,gro=1",
            "con0=null,fd:1",
            "con=null",
            "ssl=null",
            f"umid={self.spec.name}",
            "uml_dir=/dev/shm/uml",
            "seccomp=on",
            "quiet",
        ]
        with self.console.open("ab") as console:
            # A process group of its own: a power cut takes the kernel and all its user-space children at once.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LAB_KERNEL": str(self.kernel), "TMPDIR": "/dev/shm"},
                start_new_session=True,
            )
        self.started(self.process.pid)
        self.frozen = False

    def _signal(self, number: signal.Signals) -> None:
        if self.state == "off" or self.process is None:
            raise LabError(f"The machine {self.spec.name} is off.")
        os.killpg(self.process.pid, number)

    def power_cut(self) -> None:
        """Take the power away: nothing is written any more, nothing is said to anybody."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # the tap is free only when the last of the group is gone
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        self.process = None
        self.frozen = False

    def freeze(self) -> None:
        """Stop the machine's time; it may come back."""
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let a frozen machine run on, not knowing that it stood."""
        self._signal(signal.SIGCONT)
        self.frozen = False

    def wipe(self) -> None:
        """Power off and forget the disk: the next start is that of a bare machine."""
        self.power_cut()
        self.disk.unlink(missing_ok=True)
