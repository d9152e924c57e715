"""What the lab needs of the host, checked before anything is begun."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from lab.cache import cache_root
from lab.commands import Log, quiet, run
from lab.errors import LabError
from lab.layout import Layout

# Program -> Debian and Ubuntu package that has it. Nothing here starts a service on the host.
PROGRAMS = {
    "bc": "bc",
    "bison": "bison",
    "flex": "flex",
    "gcc": "gcc",
    "ip": "iproute2",
    "make": "make",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ssh": "openssh-client",
    "xz": "xz-utils",
}
FILES = {
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"): "debian-archive-keyring",
    Path("/usr/include/stdlib.h"): "libc6-dev",
}
TUN = Path("/dev/net/tun")
NEEDED_GIB = 25
RUNNING_GIB = 8


def check(layout: Layout, *, building: bool, log: Log = quiet) -> None:
    """Raise LabError with the one thing to do when the host cannot carry the lab; install missing packages."""
    if os.geteuid() != 0:
        raise LabError("The lab needs root (namespaces, tap devices, file ownership): run it as root or by sudo.")
    if os.uname().machine != "x86_64":
        raise LabError(f"The lab's machines need an x86-64 host; this one is {os.uname().machine}.")
    try:
        TUN.open("rb").close()
    except OSError as exc:
        raise LabError(
            f"{TUN} cannot be opened ({exc.strerror}): load the kernel module tun, or give the container that device."
        ) from exc
    _proxies()
    _packages(log)
    need = NEEDED_GIB if building else RUNNING_GIB
    for place in (cache_root(), layout.state):
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free / (1 << 30)
        if free < need:
            raise LabError(
                f"The disk under {place} has {free:.1f} GiB free and the lab needs {need} GiB: free some space."
            )


def _proxies() -> None:
    """A proxy that is named but down would show only as a long list of failed downloads."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        if not os.environ.get(name):
            continue
        address = urlsplit(os.environ[name] if "://" in os.environ[name] else f"http://{os.environ[name]}")
        try:
            where = (address.hostname or "", address.port or (443 if address.scheme == "https" else 80))
            socket.create_connection(where, timeout=5).close()
        except (OSError, ValueError) as exc:
            raise LabError(
                f"The proxy that {name} names does not answer at {address.netloc.rpartition('@')[2]} ({exc}): "
                f"start it, or unset {name}."
            ) from exc


def _packages(log: Log) -> None:
    install(PROGRAMS, FILES, "The lab", log)


def install(programs: dict[str, str], files: dict[Path, str], who: str, log: Log = quiet) -> None:
    """Have apt install the packages of programs and files that are not there; LabError names those it could not."""
    missing = {package for program, package in programs.items() if not shutil.which(program)}
    missing |= {package for path, package in files.items() if not path.exists()}
    if not missing:
        return
    names = " ".join(sorted(missing))
    if not shutil.which("apt-get"):
        raise LabError(f"These packages are missing and there is no apt to install them: {names}.")
    log(f"installing {names}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(["apt-get", "update", "-q"], what="Reading the package lists", env=env)
        run(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", *sorted(missing)],
            what=f"Installing {names}",
            log=log,
            env=env,
        )
    except LabError as exc:
        raise LabError(f"{who} needs these packages and could not install them: {names}. {exc}") from exc


def memory_available_gib() -> float:
    """What the host can still give to machines."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / (1 << 20)
    return 0.0


def resident_mib(pid: int) -> int:
    """Memory of a process and all its descendants, shared pages counted once (PSS)."""
    listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listing.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        try:
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total >> 10
