"""Asking the cluster: the API server, the datastore's members, the join tokens."""

from __future__ import annotations

import base64
import fcntl
import http.client
import json
import os
import secrets
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

from . import layout, node
from .layout import API_PORT, CERTS, CNI, CREDENTIALS, DATASTORE_PORT, ETCD_PORT, GROUP, SNAP, write
from .system import fail, own_addresses

TUNNEL = "projectcalico.org/IPv4VXLANTunnelAddr"
"""The annotation by which a node tells the others which range of pods is its own."""


class Unreachable(Exception):
    """The API server does not answer."""


class Api:
    """The API server on this machine (a worker's own proxy leads to one)."""

    def __init__(self, identity: str = "client") -> None:
        self.identity = identity
        self._connection: http.client.HTTPSConnection | None = None

    def _connect(self) -> http.client.HTTPSConnection:
        ca = CERTS / ("ca.remote.crt" if layout.is_worker() else "ca.crt")
        context = ssl.create_default_context(cafile=str(ca))
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        context.load_cert_chain(str(CERTS / f"{self.identity}.crt"), str(CERTS / f"{self.identity}.key"))
        return http.client.HTTPSConnection("127.0.0.1", API_PORT, context=context, timeout=10)

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """One request: the status and the decoded answer."""
        data = None if body is None else json.dumps(body)
        for attempt in (1, 2):
            try:
                if self._connection is None:
                    self._connection = self._connect()
                self._connection.request(method, path, data, {"Content-Type": kind, "Accept": "application/json"})
                answer = self._connection.getresponse()
                text = answer.read()
                break
            except (OSError, http.client.HTTPException) as exc:
                # A connection that lay idle may have been closed by the other side: that is not "does not answer".
                self._connection = None
                if attempt == 2:
                    raise Unreachable(str(exc)) from exc
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")

    def get(self, path: str) -> Any:
        """An object, or nothing if it does not exist."""
        status, value = self.call("GET", path)
        if status == 200:
            return value
        if status == 404:
            return None
        raise Unreachable(f"{path}: {status}")

    def exists(self, path: str) -> bool:
        """Whether an object exists."""
        return self.get(path) is not None

    def nodes(self) -> list[dict[str, Any]]:
        """The cluster's nodes."""
        return self.get("/api/v1/nodes")["items"]


def is_ready(node: dict[str, Any]) -> bool:
    """Whether the cluster believes a node to be Ready."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node.get("status", {}).get("conditions", []))


def address_of(node: dict[str, Any], kind: str = "InternalIP") -> str:
    """A node's address."""
    return next((a["address"] for a in node.get("status", {}).get("addresses", []) if a["type"] == kind), "")


def range_of(node: dict[str, Any]) -> str:
    """The range of a node's pods, as it told by its annotation; nothing if it has not yet."""
    tunnel = node["metadata"].get("annotations", {}).get(TUNNEL, "")
    return f"{tunnel}/24" if tunnel else ""


def ready(api: Api | None = None) -> bool:
    """What `microk8s status` calls running: the service `kubernetes` exists and any node of the cluster is Ready."""
    api = api or Api()
    try:
        if not api.exists("/api/v1/namespaces/default/services/kubernetes"):
            return False
        return any(is_ready(node) for node in api.nodes())
    except (Unreachable, OSError):
        return False


# --- ranges of pods --------------------------------------------------------------------------------------------------


def range_for(hostname: str, nodes: list[dict[str, Any]]) -> str:
    """A range for a joining node: the one it had, or the lowest that nobody has."""
    path = CNI / "ranges.json"
    given: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    used = {range_of(node): node["metadata"]["name"] for node in nodes if range_of(node)}
    names = {node["metadata"]["name"] for node in nodes}
    for have, name in used.items():
        if name == hostname:
            return have
    taken = set(used) | {value for name, value in given.items() if name != hostname and name in names}
    recent = {value for name, value in given.items() if name != hostname}
    free = [f"10.1.{n}.0/24" for n in range(256)]
    # Handed out to a node that has not shown up yet: only when nothing else is left.
    choice = next((r for r in free if r not in taken | recent), None) or next((r for r in free if r not in taken), None)
    if choice is None:
        fail("the cluster's range of pods has no room for another node")
    given[hostname] = choice
    write(path, json.dumps(given) + "\n")
    return choice


# --- tokens ----------------------------------------------------------------------------------------------------------


def add_token(file: str, token: str, ttl: int = -1) -> None:
    """Add a join token: one use without a life time, any use until it ends with one."""
    path = CREDENTIALS / file
    with _locked(path) as f:
        f.write(f"{token}|{int(time.time()) + ttl}\n" if ttl > 0 else f"{token}\n")


def consume_token(file: str, token: str) -> bool:
    """Whether a token is good; a one-use token is not any more after this."""
    path = CREDENTIALS / file
    with _locked(path) as f:
        f.seek(0)
        lines = [line.strip() for line in f if line.strip()]
        good = False
        kept = []
        for line in lines:
            known, _, end = line.partition("|")
            if end and int(end) < time.time():
                continue
            if not good and secrets.compare_digest(known.encode(), token.encode()):
                good = True
                if not end:
                    continue
            kept.append(line)
        f.seek(0)
        f.truncate()
        f.write("".join(f"{line}\n" for line in kept))
    return good


def known_token(file: str, token: str) -> bool:
    """Whether a token stands in a file whose tokens are never used up."""
    try:
        lines = (CREDENTIALS / file).read_text().split()
    except OSError:
        return False
    return any(secrets.compare_digest(line.encode(), token.encode()) for line in lines)


def _locked(path: Path) -> Any:
    if not path.exists():
        write(path, "", 0o660, GROUP)
    f = path.open("r+")
    fcntl.flock(f, fcntl.LOCK_EX)
    f.seek(0, os.SEEK_END)
    return f


# --- the datastore ---------------------------------------------------------------------------------------------------


def etcdctl(*args: str, timeout: str = "5s") -> str | None:
    """Ask the datastore; None when it does not answer or refuses."""
    command = [str(SNAP / "bin/etcdctl"), f"--endpoints=http://127.0.0.1:{ETCD_PORT}", f"--command-timeout={timeout}"]
    try:
        done = subprocess.run([*command, *args], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def datastore_members() -> list[dict[str, Any]]:
    """The datastore's members, as it tells itself: name, peer address, ID, whether it votes."""
    text = etcdctl("member", "list", "-w", "json")
    if text is None:
        return []
    return with_roles(
        [
            {
                "id": f"{member['ID']:x}",
                "name": member.get("name", ""),
                "url": member["peerURLs"][0],
                "address": member["peerURLs"][0].split("//")[1],
            }
            for member in json.loads(text).get("members", [])
        ],
        own_addresses(),
        node.joined_datastore(),
    )


VOTERS = STANDBYS = 3


def with_roles(members: list[dict[str, Any]], own: list[str], joined: bool) -> list[dict[str, Any]]:
    """The roles that dqlite gives: of two members the first one votes alone, of more three do, then come standbys.

    What is below is etcd, where all of them vote; only what is said is dqlite's.
    """

    def is_own(member: dict[str, Any]) -> bool:
        return member["address"].rsplit(":", 1)[0] in own

    if len(members) == 2:
        return [{**m, "role": "voter" if is_own(m) != joined else "spare"} for m in members]
    names = ["voter"] * VOTERS + ["standby"] * STANDBYS + ["spare"] * len(members)
    order = sorted(members, key=lambda member: member["id"])
    return [{**member, "role": names[order.index(member)]} for member in members]


def datastore_members_by_file() -> list[dict[str, Any]]:
    """The members as those in cluster.yaml tell, this node itself last: it may not know that it is none any more."""
    known = node.members()
    others = [address for address in known if address.rsplit(":", 1)[0] not in own_addresses()]
    for address in [*others, *(a for a in known if a not in others)]:
        connection = http.client.HTTPConnection(address, timeout=4)
        try:
            connection.request("GET", "/members")
            found = json.loads(connection.getresponse().read())
            return [{"id": f"{m['id']:x}", "address": m["peerURLs"][0].split("//")[1]} for m in found]
        except (OSError, ValueError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return []


class Keys:
    """The datastore's entries, key by key, as the program behind `dbctl` reads and writes them."""

    def __init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", ETCD_PORT, timeout=60)

    def _call(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        self.connection.request("POST", f"/v3/kv/{path}", json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError(f"the datastore answers {answer.status}: {text.decode(errors='replace')[:200]}")
        return json.loads(text)

    def all(self) -> list[tuple[bytes, bytes]]:
        """Every key below /registry with its value."""
        found = self._call("range", {"key": _base64(b"/registry/"), "range_end": _base64(b"/registry0")})
        return [(base64.b64decode(kv["key"]), base64.b64decode(kv.get("value", ""))) for kv in found.get("kvs", [])]

    def put(self, key: bytes, value: bytes) -> None:
        """Write one key, whatever it held."""
        self._call("put", {"key": _base64(key), "value": _base64(value)})


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def peer_url(address: str) -> str:
    """The datastore's peer address on a machine."""
    return f"http://{address}:{DATASTORE_PORT}"


def kubectl(*args: str, stdin: str | None = None, quiet: bool = False) -> int:
    """Run kubectl as the administrator."""
    env = {**layout.environment(), "KUBECONFIG": str(CREDENTIALS / "client.config")}
    return subprocess.run(
        [str(SNAP / "kubectl"), *args], input=stdin, text=True, env=env, check=False, capture_output=quiet
    ).returncode
