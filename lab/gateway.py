"""What the site finds at its gateway: time, names, packages.

chronyd, dnsmasq and apt-cacher-ng run from the gateway's root directory. Only the package proxy touches the world: it
runs in the host's network, and its socket in the lab's network is handed to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

from lab import namespaces
from lab.errors import LabError
from lab.layout import GATEWAY, NETWORK, PROXY_PORT, TIME_ADDRESSES

# Public pools that a site may name; here they answer from the gateway's own clock.
TIME_NAMES = {
    "pool.ntp.org": TIME_ADDRESSES[0],
    "time.google.com": TIME_ADDRESSES[1],
    "ubuntu.pool.ntp.org": TIME_ADDRESSES[2],
    "debian.pool.ntp.org": TIME_ADDRESSES[3],
    "ntp.ubuntu.com": TIME_ADDRESSES[2],
}


def prepare(root: Path) -> None:
    """Mount what programs in the gateway's root need; to be called in a private mount namespace."""
    for name in ("dev", "proc"):
        namespaces.mount(f"/{name}", root / name, "", namespaces.MS_BIND | namespaces.MS_REC)
    for name in ("run", "tmp"):
        namespaces.mount("tmpfs", root / name, "tmpfs")


def _start(root: Path, log: Path, *command: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            ["chroot", str(root), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: namespaces.die_with_parent(signal.SIGKILL),
        )


def start_time_source(root: Path, log: Path) -> subprocess.Popen[bytes]:
    """A real NTP server that serves this host's clock and never sets it."""
    conf = root / "run" / "chrony.conf"
    conf.write_text(
        f"local stratum 3\nallow {NETWORK}\nallow 127.0.0.0/8\ncmdport 0\nbindcmdaddress /\npidfile /run/ntp.pid\n"
    )
    return _start(root, log, "chronyd", "-x", "-d", "-f", "/run/chrony.conf", "-u", "root")


def start_names(root: Path, log: Path, hosts: dict[str, str]) -> subprocess.Popen[bytes]:
    """A name server that knows the site's machines and the time pools, and nothing else."""
    words = ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--no-resolv", "--no-hosts", "--user=root"]
    words += [f"--listen-address={GATEWAY}", "--bind-interfaces", "--local=/#/", "--pid-file=/run/names.pid"]
    words += [f"--address=/{name}/{address}" for name, address in TIME_NAMES.items()]
    words += [f"--host-record={name},{address}" for name, address in hosts.items()]
    return _start(root, log, *words)


def start_package_proxy(root: Path, log: Path, cache: Path, port: int) -> subprocess.Popen[bytes]:
    """apt-cacher-ng on the host's loopback; https requests (pip) pass through as tunnels."""
    inside = root / "tmp" / "packages"
    inside.mkdir()
    namespaces.mount(cache, inside, "", namespaces.MS_BIND)
    (root / "run" / "resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    target = root / "etc" / "resolv.conf"
    if target.is_file() and not target.is_symlink():
        namespaces.mount(root / "run" / "resolv.conf", target, "", namespaces.MS_BIND)
    upstream = os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY")
    options = [
        "ForeGround=1",
        f"Port={port}",
        "BindAddress=127.0.0.1",
        "CacheDir=/tmp/packages",
        "LogDir=/tmp",
        "PidFile=/run/packages.pid",
        "SocketPath=/run/packages.socket",
        "PassThroughPattern=.*",
        "ReportPage=",
        "VerboseLog=0",
        *([f"Proxy={upstream}"] if upstream else []),
    ]
    return _start(root, log, "/usr/sbin/apt-cacher-ng", "-c", "/etc/apt-cacher-ng", *options)


def free_port() -> int:
    """A free port of the loopback, below 32768: apt-cacher-ng takes no higher one."""
    for port in random.sample(range(20000, 32768), 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise LabError("No port of 127.0.0.1 between 20000 and 32767 is free for the package proxy.")


def forward(listener: socket.socket, port: int) -> None:
    """Serve connections of `listener` from 127.0.0.1:`port`, until killed."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            if target.can_write_eof():
                target.write_eof()
        except OSError:
            target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        far_writer.close()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, sock=listener)
        await server.serve_forever()

    asyncio.run(main())


def start_forwarder(port: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A process in this network namespace that will serve the listener sent to the returned socket."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.gateway", str(theirs.fileno()), str(port)],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: namespaces.die_with_parent(signal.SIGKILL),
    )
    theirs.close()
    return process, ours


def send_listener(channel: socket.socket) -> None:
    """Listen at the gateway, in this process' network namespace, and hand the listener over."""
    with socket.create_server((GATEWAY, PROXY_PORT)) as listener:
        socket.send_fds(channel, [b"listener"], [listener.fileno()])
    channel.close()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as received:
        descriptors = socket.recv_fds(received, 16, 1)[1]
    forward(socket.socket(fileno=descriptors[0]), int(sys.argv[2]))
