"""Faults that befall machines: each is the real thing, done to the process, the link, the clock or the disk."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab import control, missed
from lab.errors import LabError
from lab.layout import Layout, spec

KUBELITE, CONTAINERD = "snap.microk8s.daemon-kubelite", "snap.microk8s.daemon-containerd"
FILLER = "/var/tmp/fill-the-disk"
# Nearly all by reservation, which takes no room on the host; the rest, whose size nobody can ask for, by writing.
FILL = (
    f"fallocate -l $(( $(stat -f -c %f /) * $(stat -f -c %S /) / 100 * 98 )) {FILLER} && "
    f"cat /dev/zero > {FILLER}-rest 2> /dev/null; true"
)


@dataclass(frozen=True)
class Fault:
    """A fault and how it is brought about."""

    summary: str
    act: Callable[[Layout, Sequence[str]], t.Any]


def inflict(layout: Layout, name: str, words: Sequence[str]) -> None:
    """Bring about fault `name`; LabError lists the faults when there is none of that name."""
    if name not in FAULTS:
        raise LabError(f"There is no fault {name!r}; there are {', '.join(FAULTS)}.")
    # Before it, for its first second counts; what fails is written down, too.
    missed.note(layout.faults, missed.Event(time.time(), name, tuple(words)))
    FAULTS[name].act(layout, words)


def _each(request: str) -> Callable[[Layout, Sequence[str]], None]:
    def act(layout: Layout, words: Sequence[str]) -> None:
        for machine in words:
            control.ask(layout, request, machine=spec(machine).name)

    return act


def _inside(command: str) -> Callable[[Layout, Sequence[str]], None]:
    def act(layout: Layout, words: Sequence[str]) -> None:
        for machine in words:
            _shell(layout, machine, command)

    return act


def _shell(layout: Layout, machine: str, command: str) -> str:
    done = control.on_machine(layout, spec(machine).address, command, timeout=120)
    if done.returncode:
        raise LabError(f"On {machine}, `{command}` failed: {done.stderr.strip() or done.stdout.strip()}.")
    return done.stdout


def _number(words: Sequence[str], what: str) -> float:
    try:
        return float(words[1])
    except (IndexError, ValueError):
        raise LabError(f"Say the machine and {what}, as in: {what} of a machine is `worker 3600`.") from None


def _clock(layout: Layout, words: Sequence[str]) -> None:
    seconds = _number(words, "seconds to move the clock by")
    _shell(layout, words[0], f'date -s "@$(( $(date +%s) + {int(seconds)} ))"')


def _slow(layout: Layout, words: Sequence[str]) -> None:
    delay = int(_number(words, "milliseconds of delay"))
    loss = float(words[2]) if len(words) > 2 else 0.0
    # In the machine's own kernel: the host's may lack netem. What the machine sends is delayed and lost.
    _shell(layout, words[0], f"tc qdisc replace dev vec0 root netem delay {delay}ms loss {loss}%")
    control.ask(layout, "note", machine=words[0], wound=f"slow link ({delay} ms, {loss} %)")


def _heal(layout: Layout, words: Sequence[str]) -> None:
    state = control.ask(layout, "status")["machines"]
    for machine in words:
        wounds = state.get(spec(machine).name, {}).get("faults", [])
        control.ask(layout, "heal", machine=machine)
        if any(wound.startswith("slow link") for wound in wounds):
            _shell(layout, machine, "tc qdisc del dev vec0 root")


def _partition(layout: Layout, words: Sequence[str]) -> None:
    control.ask(layout, "partition", machines=[spec(word).name for word in words])


def _nfs_hang(layout: Layout, words: Sequence[str]) -> None:
    for machine in words:
        control.ask(layout, "hang", machine=spec(machine).name, port=2049)


def _block(layout: Layout, words: Sequence[str]) -> None:
    if len(words) != 2:
        raise LabError("Say the two machines that shall not reach each other.")
    control.ask(layout, "block", machine=spec(words[0]).name, address=spec(words[1]).address)


FAULTS: dict[str, Fault] = {
    "freeze": Fault("stop a machine's time", _each("freeze")),
    "thaw": Fault("let it run on", _each("thaw")),
    "power-cut": Fault("take the power away", _each("power-cut")),
    "power-on": Fault("give it back", _each("power-on")),
    "cable-out": Fault("pull the network cable", _each("cable-out")),
    "cable-in": Fault("put it back", _each("cable-in")),
    "partition": Fault("cut machines off from all others", _partition),
    "block": Fault("cut one machine off from one other", _block),
    "mute": Fault("drop all that a machine sends; it still hears", _each("mute")),
    "nfs-hang": Fault("its NFS server does not answer, and lives", _nfs_hang),
    "slow-link": Fault("MACHINE MILLISECONDS [LOSS%]", _slow),
    "heal": Fault("undo every fault of the link, thaw", _heal),
    "clock": Fault("MACHINE SECONDS: move its clock", _clock),
    "disk-full": Fault("fill its disk", _inside(FILL)),
    "disk-free": Fault("make room again", _inside(f"rm -f {FILLER} {FILLER}-rest")),
    "nfs-restart": Fault("restart the NFS server", _inside("systemctl restart nfs-server")),
    # systemd starts both again; the pods' processes go on meanwhile.
    "kubelet-killed": Fault("kill Kubernetes on it", _inside(f"systemctl kill -s KILL {KUBELITE}")),
    "containerd-killed": Fault("kill its container runtime", _inside(f"systemctl kill -s KILL {CONTAINERD}")),
    "api-down": Fault("stop the Kubernetes API", _inside(f"systemctl stop {KUBELITE}")),
    "api-up": Fault("start the Kubernetes API", _inside(f"systemctl start {KUBELITE}")),
}
