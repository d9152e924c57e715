"""Servers that answer as execution clients and providers of checkpoints do, each in its own way."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import struct
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

SECRET = "5f" * 32
Reply = tuple[int, t.Any]


class _Handler(http.server.BaseHTTPRequestHandler):
    def _go(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, content = self.server.answer(self.command, self.path, self.headers, body)  # type: ignore[attr-defined]
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in self.server.extra.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(raw)

    do_GET = do_POST = _go

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.server.ahead)  # type: ignore[attr-defined]

    def log_message(self, *_words: t.Any) -> None:
        pass


@contextlib.contextmanager
def serve(answer: Callable[..., Reply], ahead: float = 0, headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server; the address of it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.answer, server.ahead, server.extra = answer, ahead, headers if headers is not None else {}  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def raw(greeting: bytes | None) -> Iterator[str]:
    """A port on which something else answers; nothing at all for None."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    kept.append(client)
                    if greeting is not None:
                        client.recv(1 << 16)
                        client.sendall(greeting)
                        client.close()

        kept: list[socket.socket] = []
        threading.Thread(target=work, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for client in kept:
            client.close()


def closed() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Execution:
    """An execution client's engine API, checked as the specification says; written apart from what it tests."""

    def __init__(self, **changes: t.Any) -> None:
        self.chain = 560048
        self.secret: str | None = SECRET
        self.clock = 0.0
        self.syncing: t.Any = False
        self.block, self.age = 1000, 5.0
        self.refusal: Reply = (401, b"missing token\n")
        self.engine: str | None = "new"
        self.errors: dict[str, str] = {}
        self.asked: list[str] = []
        for name, value in changes.items():
            setattr(self, name, value)

    def token_is_good(self, header: str) -> bool:
        try:
            head, claims, signature = header.removeprefix("Bearer ").split(".")
            assert json.loads(_decode(head))["alg"] == "HS256"
            right = hmac.new(bytes.fromhex(self.secret or ""), f"{head}.{claims}".encode(), hashlib.sha256).digest()
            iat = json.loads(_decode(claims))["iat"]
            assert isinstance(iat, int)
            return hmac.compare_digest(right, _decode(signature)) and abs(time.time() + self.clock - iat) <= 60
        except (ValueError, KeyError, AssertionError):
            return False

    def __call__(self, command: str, path: str, headers: t.Any, body: bytes) -> Reply:
        if self.secret is not None and not self.token_is_good(headers.get("Authorization") or ""):
            return self.refusal
        asked = json.loads(body)
        method = asked["method"]
        self.asked.append(method)
        answers = {
            "eth_chainId": hex(self.chain),
            "eth_syncing": self.syncing,
            "eth_getBlockByNumber": {"number": hex(self.block), "timestamp": hex(int(time.time() - self.age))},
        }
        if self.engine == "new":
            answers["engine_exchangeCapabilities"] = ["engine_newPayloadV4"]
        if self.engine == "old":
            answers["engine_exchangeTransitionConfigurationV1"] = {"terminalTotalDifficulty": "0x0"}
        base = {"jsonrpc": "2.0", "id": asked["id"]}
        if method in self.errors:
            return 200, {**base, "error": {"code": -32000, "message": self.errors[method]}}
        if method not in answers:
            words = f"the method {method} does not exist/is not available"
            return 200, {**base, "error": {"code": -32601, "message": words}}
        return 200, {**base, "result": answers[method]}


ROOT = "0x" + "21" * 32


def block_root(slot: int, fork: str = "") -> str:
    return "0x" + hashlib.sha256(f"{slot}{fork}".encode()).hexdigest()


class Provider:
    """A provider of checkpoints, of a chain with 32 slots of 12 seconds in an epoch."""

    def __init__(self, **changes: t.Any) -> None:
        self.root = ROOT
        self.state_root: str | None = None
        self.genesis = int(time.time()) - 100 * 384 - 10
        self.fork_version = "0x10000910"
        self.epoch = 98
        self.state_slot: int | None = None
        self.fork = ""
        self.skipped: set[int] = set()
        self.keeps: Callable[[int], bool] = lambda _slot: True
        self.status: dict[str, Reply] = {}
        self.json_state = False
        self.asked: list[str] = []
        for name, value in changes.items():
            setattr(self, name, value)

    def at(self, slot: int) -> str:
        while slot in self.skipped:
            slot -= 1
        return block_root(slot, self.fork)

    def state(self, slot: int) -> bytes:
        root = bytes.fromhex((self.state_root or self.root)[2:])
        return struct.pack("<Q32sQ", self.genesis, root, slot) + bytes(1 << 20)

    def __call__(self, command: str, path: str, headers: t.Any, body: bytes) -> Reply:
        self.asked.append(path)
        for part, reply in self.status.items():
            if part in path:
                return reply
        if path == "/eth/v1/beacon/genesis":
            return 200, {"data": {"genesis_time": str(self.genesis), "genesis_validators_root": self.root,
                                  "genesis_fork_version": self.fork_version}}  # fmt: skip
        if path == "/eth/v1/beacon/states/head/finality_checkpoints":
            return 200, {"data": {"finalized": {"epoch": str(self.epoch), "root": self.at(self.epoch * 32)}}}
        if path == "/eth/v2/debug/beacon/states/finalized":
            if self.json_state:
                return 200, {"version": "fulu", "data": {"genesis_time": "1", "padding": "x" * 100}}
            return 200, self.state(self.epoch * 32 if self.state_slot is None else self.state_slot)
        if path == "/eth/v2/debug/beacon/states/genesis":
            return 200, self.state(0)
        if path.startswith("/eth/v1/beacon/blocks/") and path.endswith("/root"):
            slot = int(path.split("/")[-2])
            if slot in self.skipped or not self.keeps(slot):
                return 404, {"code": 404, "message": "not found"}
            return 200, {"data": {"root": self.at(slot)}}
        return 404, {"code": 404, "message": "no route"}
