"""Running programs, asking the machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn


class Failed(Exception):
    """A command ends with this text on stderr and this exit code."""

    def __init__(self, text: str, code: int = 1, *, stdout: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.stdout = stdout


def fail(text: str, code: int = 1) -> NoReturn:
    """End with a message on stderr."""
    raise Failed(text, code)


def refuse(text: str, code: int = 1) -> NoReturn:
    """End with a message on stdout: MicroK8s prints most of its refusals there."""
    raise Failed(text, code, stdout=True)


def finish(main: Callable[[], int | None]) -> int:
    """Run a command's main function and turn its end into output and an exit code."""
    try:
        return main() or 0
    except Failed as failed:
        if failed.text:
            print(failed.text, file=sys.stdout if failed.stdout else sys.stderr)
        return failed.code
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130


def output(*command: str, check: bool = False) -> str:
    """What a program prints; empty when it fails, unless `check`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        if check:
            fail(f"{command[0]}: not found")
        return ""
    if done.returncode:
        if check:
            fail(f"{' '.join(command[:3])}: {done.stderr.strip()}")
        return ""
    return done.stdout


def succeeds(*command: str) -> bool:
    """Whether a program ends with 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def systemctl(*args: str) -> bool:
    """Ask systemd for something; False when it refused."""
    return succeeds("systemctl", *args)


def node_name() -> str:
    """This machine's name as Kubernetes knows it."""
    return socket.gethostname().lower()


def default_interface() -> str:
    """The interface of the default route, or nothing."""
    routes = json.loads(output("ip", "-j", "-4", "route", "show", "default") or "[]")
    return routes[0]["dev"] if routes else ""


def addresses(interface: str = "") -> list[tuple[str, str, int]]:
    """(interface, IPv4 address, prefix length) of the machine, loopback aside."""
    command = ["ip", "-j", "-4", "addr", "show", *(["dev", interface] if interface else [])]
    found = []
    for link in json.loads(output(*command) or "[]"):
        for info in link.get("addr_info", []):
            if info.get("family", "inet") == "inet" and link["ifname"] != "lo":
                found.append((link["ifname"], info["local"], info["prefixlen"]))
    return found


def default_address() -> str:
    """The first address of the default route's interface, or nothing."""
    interface = default_interface()
    found = addresses(interface) if interface else []
    return found[0][1] if found else ""


def own_addresses() -> list[str]:
    """The addresses other machines can reach this one by: not those of the cluster's own network.

    The host's end of a pod's link has an address here (Calico's has none), under a name of its own for a moment.
    """
    return [
        address
        for interface, address, _ in addresses()
        if not interface.startswith(("vxlan.calico", "flannel.1", "cni0", "ovn0", "cali", "veth"))
        and not address.startswith("169.254.")
    ]


def wait_for(check: Callable[[], bool], seconds: float, pause: float = 0.2) -> bool:
    """Whether `check` became true within this time."""
    end = time.monotonic() + seconds
    while True:
        if check():
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(pause)


def accepts(address: tuple[str, int] | str, timeout: float = 1) -> bool:
    """Whether somebody listens at this address and port, or at this path."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout)
        return probe.connect_ex(address) == 0
