"""A worker's own way to the API servers: 127.0.0.1:16443 leads to the first of them that answers."""

from __future__ import annotations

import asyncio
import contextlib
import re

from . import layout, node
from .cluster import Api, Unreachable
from .layout import API_PORT, ARGS, write

PROVIDER = ARGS / "traefik/provider.yaml"


def endpoints() -> list[str]:
    """The API servers' addresses, as the file has them: an administrator may have put a load balancer's there."""
    try:
        return re.findall(r"- address: ([0-9.]+):", PROVIDER.read_text())
    except OSError:
        return []


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


class Proxy:
    """Connections to API servers, the last good one first."""

    def __init__(self) -> None:
        self.good = ""

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lead one connection to an API server."""
        for address in sorted(endpoints(), key=lambda a: a != self.good):
            try:
                up = await asyncio.wait_for(asyncio.open_connection(address, API_PORT), 3)
            except (TimeoutError, OSError):
                continue
            self.good = address
            await asyncio.gather(_copy(reader, up[1]), _copy(up[0], writer))
            return
        writer.close()


def refresh() -> None:
    """Learn the API servers of today from the cluster."""
    try:
        slices = Api("kubelet").get("/api/v1/namespaces/default/endpoints/kubernetes")
    except (Unreachable, OSError):
        return
    found = [a["ip"] for subset in (slices or {}).get("subsets", []) for a in subset.get("addresses", [])]
    if found and sorted(found) != sorted(endpoints()):
        write(PROVIDER, node.provider(found))


def _interval() -> float:
    text = node.get_arg("apiserver-proxy", "--refresh-interval") or "30s"
    found = re.fullmatch(r"(\d+)(s|m)", text)
    return int(found[1]) * (60 if found[2] == "m" else 1) if found else 0


async def _serve() -> None:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.connection, "0.0.0.0", API_PORT)
    async with server:
        while True:
            interval = _interval()
            await asyncio.sleep(interval or 30)
            if interval and layout.is_worker():
                await asyncio.to_thread(refresh)


def serve() -> int:
    """Run until told to end."""
    asyncio.run(_serve())
    return 0
