"""The process that is the running lab: it owns the namespaces, the gateway, the chain and the machines.

Everything runs in a process namespace of its own, below an init that does nothing but reap. When that init or the
supervisor ends, however it ends, the kernel ends all the rest and drops networks and mounts with it: no lab can leave
anything behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from lab import gateway, namespaces, network, outside
from lab.errors import LabError
from lab.layout import CHAIN_PORT, GATEWAY, MACHINES, PROVIDER_ADDRESS, REGISTRY_PORT, Layout, spec
from lab.machine import LAUNCHER, Machine
from lab.placement import Placement

CONTROL = Path("/dev/shm/control.sock")
"""Reached from outside as /proc/PID/root/dev/shm/control.sock: /dev/shm is the lab's own there."""


class Supervisor:
    """The state of a running lab and what can be asked of it."""

    def __init__(self, layout: Layout, plan: dict[str, t.Any]) -> None:
        self.layout = layout
        self.plan = plan
        self.started = time.time()
        self.services: dict[str, subprocess.Popen[bytes]] = {}
        self.machines: dict[str, Machine] = {}
        self.wounds: dict[str, set[str]] = {}
        self.lock = threading.RLock()
        self._slot: t.TextIO | None = None

    def start(self) -> None:
        """Bring up the gateway and its network; machines are powered on by `power_on`."""
        logs = self.layout.logs
        root = Path(self.plan["gateway"])
        gateway.prepare(root)
        port = gateway.free_port()
        number, packages = self._package_cache()
        self.services["package proxy"] = gateway.start_package_proxy(root, logs / "proxy.log", packages, port)
        forwarder, channel = gateway.start_forwarder(port)
        self.services["package forwarder"] = forwarder
        namespaces.unshare(namespaces.CLONE_NEWNET)
        network.create_bridge()
        gateway.send_listener(channel)
        hosts = {name: machine.address for name, machine in MACHINES.items()}
        hosts.update(dict.fromkeys(outside.providers(), PROVIDER_ADDRESS))
        self.services["time source"] = gateway.start_time_source(root, logs / "time.log")
        self.services["name server"] = gateway.start_names(root, logs / "names.log", hosts)
        self.services["registry"] = self._service(
            "registry", sys.executable, "-m", "lab.registry", GATEWAY, str(REGISTRY_PORT), self.plan["registry"]
        )
        if self.plan.get("chain"):
            self.services["chain"] = self._service(
                "chain",
                self.plan["chain"],
                f"--listen={GATEWAY}:{CHAIN_PORT}",
                f"--dir={self.layout.chain}",
                f"--seconds-per-slot={self.plan['seconds_per_slot']}",
                f"--slots-per-epoch={self.plan['slots_per_epoch']}",
                *outside.options(self.layout),
            )
        launcher = Path("/dev/shm/machine")
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
        public_key = self.layout.key.with_suffix(".pub").read_text()
        placement = Placement(first=number)
        threading.Thread(target=placement.watch, daemon=True).start()
        for name in MACHINES:
            machine = Machine(
                spec=spec(name),
                kernel=Path(self.plan["kernel"]),
                base=Path(self.plan["base"]),
                disk=self.layout.disks / f"{name}.cow",
                launcher=launcher,
                console=logs / f"{name}.console",
                public_key=public_key,
                started=placement.add,
            )
            network.create_tap(machine.tap)
            self.machines[name] = machine

    def _service(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.layout.logs / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: namespaces.die_with_parent(signal.SIGKILL),
            )

    def _package_cache(self) -> tuple[int, Path]:
        """The first package cache that no other running lab uses, and its number: the proxy does not share one."""
        base = Path(self.plan["package_caches"])
        for number in range(16):
            place = base / f"slot-{number}"
            place.mkdir(parents=True, exist_ok=True)
            lock = (base / f"slot-{number}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self._slot = lock  # held as long as this process lives
            return number, place
        raise LabError(f"Sixteen labs use the package caches in {base}: take one of them down first.")

    def ask(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        """Answer one request: {"do": NAME, ...} -> {...} or {"error": sentence}."""
        action = getattr(self, "do_" + str(request.pop("do", "")).replace("-", "_"), None)
        if action is None:
            return {"error": "The lab does not know that request."}
        try:
            with self.lock:
                return {"result": action(**request)}
        except LabError as exc:
            return {"error": str(exc)}
        except TypeError as exc:
            return {"error": f"The request is not complete: {exc}."}
        except OSError as exc:
            return {"error": f"The host does not let the lab do that: {exc}."}

    def _machine(self, name: str) -> Machine:
        return self.machines[spec(name).name]

    def do_status(self) -> dict[str, t.Any]:
        """Machines, services, since when."""
        return {
            "since": self.started,
            "pid": os.getpid(),
            "machines": {
                name: {
                    "state": machine.state,
                    "address": machine.spec.address,
                    "memory_mib": machine.spec.memory_mib,
                    "faults": sorted(self.wounds.get(name, set())),
                }
                for name, machine in self.machines.items()
                if machine.state != "off" or machine.disk.exists()
            },
            "services": {name: process.poll() is None for name, process in self.services.items()},
        }

    def do_power_on(self, machine: str) -> None:
        """Start a machine with the disk it has."""
        self._machine(machine).power_on()

    def do_power_cut(self, machine: str) -> None:
        """Take a machine's power away."""
        self._machine(machine).power_cut()

    def do_wipe(self, machine: str) -> None:
        """Take the power away and forget the disk; heal the machine's link."""
        target = self._machine(machine)
        target.wipe()
        self.do_heal(machine)

    def do_freeze(self, machine: str) -> None:
        """Stop a machine's time."""
        self._machine(machine).freeze()
        self.wounds.setdefault(machine, set()).add("frozen")

    def do_thaw(self, machine: str) -> None:
        """Let a frozen machine go on."""
        self._machine(machine).thaw()
        self.wounds.get(machine, set()).discard("frozen")

    def do_cable_out(self, machine: str) -> None:
        """Pull the cable."""
        network.cable(self._machine(machine).tap, plugged=False)
        self.wounds.setdefault(machine, set()).add("cable out")

    def do_cable_in(self, machine: str) -> None:
        """Put the cable back."""
        network.cable(self._machine(machine).tap, plugged=True)
        self.wounds.get(machine, set()).discard("cable out")

    def do_partition(self, machines: list[str]) -> None:
        """Cut these machines off from all others and from the gateway; among themselves they still talk."""
        network.partition([self._machine(name).tap for name in machines], apart=True)
        for name in machines:
            self.wounds.setdefault(name, set()).add("partitioned")

    def do_note(self, machine: str, wound: str) -> None:
        """Remember a fault that was brought about inside the machine."""
        self.wounds.setdefault(spec(machine).name, set()).add(wound)

    def do_block(self, machine: str, address: str) -> None:
        """Drop what goes between a machine and one address of the site; the rest of the network stays."""
        self._drop(machine, f"cut off from {address}", f"ip daddr {address}", f"ip saddr {address}")

    def do_mute(self, machine: str) -> None:
        """Drop all that a machine sends; it still hears the others."""
        self._drop(machine, "mute", "", None)

    def do_hang(self, machine: str, port: int) -> None:
        """Drop what goes to and from one TCP port of a machine, which lives."""
        self._drop(machine, f"port {port} hangs", f"tcp sport {port}", f"tcp dport {port}")

    def _drop(self, machine: str, wound: str, sent: str | None, received: str | None) -> None:
        network.drop(self._machine(machine).tap, sent=sent, received=received)
        self.wounds.setdefault(machine, set()).add(wound)

    def do_heal(self, machine: str) -> None:
        """Undo every fault of a machine's link, and thaw it."""
        target = self._machine(machine)
        network.cable(target.tap, plugged=True)
        network.partition([target.tap], apart=False)
        network.drop_nothing(target.tap)
        if target.state == "frozen":
            target.thaw()
        self.wounds.pop(machine, None)

    def do_answers(self, machine: str) -> bool:
        """Whether a machine's SSH server says hello."""
        try:
            with socket.create_connection((self._machine(machine).spec.address, 22), timeout=1) as connection:
                connection.settimeout(1)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def serve(self, ready: int) -> None:
        """Answer requests until told to end; writes one byte to `ready` when it can be asked."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(CONTROL))
            server.listen()
            os.write(ready, b".")
            os.close(ready)
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with (
            connection,
            connection.makefile("rw", encoding="utf-8") as stream,
            contextlib.suppress(OSError, ValueError),
        ):
            for line in stream:
                stream.write(json.dumps(self.ask(json.loads(line))) + "\n")
                stream.flush()


def launch(layout: Layout, plan: dict[str, t.Any]) -> None:
    """Start the lab's processes from `lab up` and return when the supervisor can be asked.

    Raises LabError with what the supervisor said when it could not start.
    """
    layout.plan.write_text(json.dumps(plan, indent=1))
    reader, writer = os.pipe()
    complaint = layout.logs / "supervisor.log"
    with complaint.open("wb") as output, layout.lock.open("w") as lock:
        _claim(lock)
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.supervisor", str(layout.state), str(writer), str(lock.fileno())],
            pass_fds=[writer, lock.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.close(writer)
    try:
        process.wait()
        ready = os.read(reader, 1)
    except BaseException:
        process.kill()
        process.wait()
        begun = init_pid(layout)
        if begun is not None:
            os.kill(begun, signal.SIGKILL)
        raise
    finally:
        os.close(reader)
    if not ready:
        lines = complaint.read_text(errors="replace").strip().splitlines()
        raise LabError("The lab could not start: " + (lines[-1] if lines else f"see {complaint}."))


def _claim(lock: t.TextIO) -> None:
    """Take the lab's lock; one that was just killed needs a moment to let go of it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if time.monotonic() > deadline:
                raise LabError("The lab of this checkout is already running: end it by `lab down`.") from exc
        time.sleep(0.1)


def init_pid(layout: Layout) -> int | None:
    """The process whose end ends the lab, or None when no lab is running."""
    try:
        saved = json.loads(layout.running.read_text())
    except (OSError, ValueError):
        return None
    pid = int(saved["pid"])
    return pid if saved.get("start") is not None and start_time(pid) == saved["start"] else None


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks: with the pid it names one process for ever. None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def main() -> None:
    """Become the lab (called by `launch`)."""
    layout, ready = Layout(Path(sys.argv[1])), int(sys.argv[2])
    namespaces.unshare(namespaces.CLONE_NEWPID)
    namespaces.private_mounts()
    namespaces.mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=95%")
    go, written = os.pipe()
    init = os.fork()
    if init:
        # Both share these mounts: the child may only put its own /proc in place once its start time has been read here.
        layout.running.write_text(json.dumps({"pid": init, "start": start_time(init)}))
        os.write(written, b".")
        os._exit(0)
    os.close(written)
    if not os.read(go, 1):  # nobody could find and end this lab
        os._exit(1)
    os.close(go)
    namespaces.mount("proc", "/proc", "proc")
    worker = os.fork()
    if worker:
        os.close(ready)
        while os.waitpid(-1, 0)[0] != worker:  # reap whatever is orphaned; when the worker ends, so does the lab
            pass
        os._exit(0)
    try:
        supervisor = Supervisor(layout, json.loads(layout.plan.read_text()))
        supervisor.start()
        supervisor.serve(ready)
    except (LabError, OSError) as exc:
        print(exc, file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    main()
