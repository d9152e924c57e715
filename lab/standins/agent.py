"""The cluster agent: HTTPS on port 25000, by which nodes join and control planes talk to each other.

It also applies launch configurations, some seconds after a start, as the real one does.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from . import certs, cluster, layout, node
from .cluster import Api, Unreachable
from .layout import AGENT_PORT, ARGS, CERTS, COMMON, CREDENTIALS, GROUP, POD_CIDR, write
from .system import Failed, own_addresses, wait_for

LAUNCH_PERIOD = 5


class Refused(Exception):
    """The agent's answer is an error: this status, this text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


# One join at a time: each changes the datastore's members and hands out a range.
_joining = threading.Lock()


def join(body: dict[str, Any], remote: str, contacted: str) -> dict[str, Any]:
    """A node wants to join: what it has to know."""
    minor = layout.minor()
    token = str(body.get("token", ""))
    persistent = cluster.known_token("persistent-cluster-tokens.txt", token)
    if not persistent and not cluster.consume_token("cluster-tokens.txt", token):
        raise Refused(500, "invalid token")
    if not layout.locked("ha-cluster"):
        raise Refused(501, "not possible to join. This is not an HA MicroK8s cluster")
    if str(body.get("port", "")) != str(AGENT_PORT):
        raise Refused(502, "the port of the cluster agent port has to be set to 25000")
    if minor >= 21 and remote == contacted:
        raise Refused(503, f"the joining node has the same IP ({remote}) as the node we contact")
    hostname = str(body.get("hostname", ""))
    _hostname_resolves(minor, hostname, remote)
    worker = bool(body.get("worker")) and minor >= 23
    layout.lock("no-cert-reissue")
    with _joining:
        try:
            nodes = Api().nodes()
        except Unreachable as exc:
            raise Refused(500, f"failed to list the cluster's nodes: {exc}") from exc
        answer: dict[str, Any] = {
            "ca": (CERTS / "ca.crt").read_text(),
            "apiport": str(layout.API_PORT),
            "kubelet_args": (ARGS / "kubelet").read_text(),
            "hostname_override": remote,
            "cluster_cidr": POD_CIDR,
            "pods": cluster.range_for(hostname, nodes),
            "api_authn_strategy": "x509",
        }
        bind_datastore(contacted)
        if worker:
            answer |= _worker(token, contacted, nodes)
        else:
            answer |= _control_plane(hostname, remote, contacted)
    return answer


def _hostname_resolves(minor: int, hostname: str, remote: str) -> None:
    """The API server of 1.24 to 1.27 reaches kubelets by name only."""
    preferred = node.get_arg("kube-apiserver", "--kubelet-preferred-address-types")
    if minor < 24 or (minor >= 28 and preferred.startswith("InternalIP")):
        return
    try:
        found = {info[4][0] for info in socket.getaddrinfo(hostname, None, socket.AF_INET)}
    except OSError:
        found = set()
    if remote not in found:
        raise Refused(
            400, f'the hostname ({hostname}) of the joining node does not resolve to the IP "{remote}". Refusing join'
        )


def _worker(token: str, contacted: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    for name in ("kubelet", "proxy"):
        cluster.add_token("certs-request-tokens.txt", f"{token}-{name}")
    planes = [
        cluster.address_of(n)
        for n in nodes
        if n["metadata"].get("labels", {}).get("node.kubernetes.io/microk8s-controlplane") and cluster.address_of(n)
    ]
    return {"control_plane_nodes": sorted({*planes, contacted}, key=lambda a: (a != contacted, a))}


def _control_plane(hostname: str, remote: str, contacted: str) -> dict[str, Any]:
    members = cluster.datastore_members()
    known = f"{remote}:{layout.DATASTORE_PORT}"
    if layout.minor() >= 21 and known in [member["address"] for member in members]:
        text = f"the joining node ({remote}) is already known to dqlite"
        if layout.minor() >= 30:
            raise Refused(500, f"failed to retrieve dqlite cluster nodes: {text}")
        raise Refused(504, text)
    if not members:
        raise Refused(500, "failed to retrieve dqlite cluster nodes: the datastore does not answer")
    # Read before: between the addition to a single member and the start of the new one there is no majority to ask.
    peers = [[member["name"], member["url"]] for member in members]
    if cluster.etcdctl("member", "add", hostname, f"--peer-urls={cluster.peer_url(remote)}", timeout="20s") is None:
        raise Refused(500, "failed to add the joining node to the datastore")
    callback = secrets.token_hex(32)
    with (CREDENTIALS / "callback-tokens.txt").open("a") as f:
        f.write(f"{remote}:{AGENT_PORT} {callback}\n")
    own = CREDENTIALS / "callback-token.txt"
    if not own.exists():
        write(own, secrets.token_hex(32) + "\n", 0o660, GROUP)
    read = {name: (CERTS / file).read_text() for name, file in _SHARED.items()}
    known_tokens = CREDENTIALS / "known_tokens.csv"
    return {
        **read,
        "voters": [member["address"] for member in members],
        "members": [*peers, [hostname, cluster.peer_url(remote)]],
        "callback_token": callback,
        "known_tokens": known_tokens.read_text() if known_tokens.exists() else "",
        "apiserver_args": (ARGS / "kube-apiserver").read_text(),
    }


_SHARED = {
    "ca_key": "ca.key",
    "front_proxy_ca": "front-proxy-ca.crt",
    "front_proxy_ca_key": "front-proxy-ca.key",
    "service_account_key": "serviceaccount.key",
}


def bind_datastore(contacted: str) -> None:
    """The first join of any kind, a worker's as well, takes the datastore from the loopback to a real address."""
    members = cluster.datastore_members()
    if [member["address"] for member in members] != [f"127.0.0.1:{layout.DATASTORE_PORT}"]:
        return
    if contacted not in own_addresses():
        raise Refused(
            500,
            "failed to retrieve dqlite cluster nodes: failed to find matching dqlite bind address for"
            f" {contacted}:{AGENT_PORT}: address {contacted} was not found in any host interface. refuse to update"
            f" dqlite bind address to {contacted} as it would break the cluster",
        )
    rebind(contacted)


def rebind(address: str) -> None:
    """The datastore listens on the loopback until the first join: from now on on the address the joiner used."""
    members = cluster.datastore_members()
    node.write_datastore(address)
    cluster.etcdctl("member", "update", members[0]["id"], f"--peer-urls={cluster.peer_url(address)}")
    node.restart([node.datastore_daemon(layout.minor())])
    if not wait_for(lambda: bool(cluster.datastore_members()), 30):
        raise Refused(500, "failed waiting for dqlite cluster to come up")
    wait_for(lambda: cluster.ready(), 20)


def sign_cert(body: dict[str, Any]) -> dict[str, Any]:
    """A joining worker's certificate request."""
    request = str(body.get("request", ""))
    if not cluster.consume_token("certs-request-tokens.txt", str(body.get("token", ""))):
        raise Refused(500, "Invalid token")
    try:
        return {"certificate": certs.sign(request)}
    except Failed as failed:
        raise Refused(500, f"failed to sign the certificate: {failed.text}") from failed


def _callback(body: dict[str, Any]) -> None:
    token = str(body.get("callback", ""))
    own = CREDENTIALS / "callback-token.txt"
    if not token or not own.exists() or not secrets.compare_digest(own.read_text().strip().encode(), token.encode()):
        raise Refused(500, "invalid token")


def configure(body: dict[str, Any]) -> dict[str, Any]:
    """Another control plane changed arguments of the cluster's components."""
    _callback(body)
    for service in body.get("service", []):
        for option in service.get("arguments_update", []):
            for name, value in option.items():
                node.set_arg(service["name"], name, value)
        for name in service.get("arguments_remove", []):
            node.set_arg(service["name"], name, None)
    if any(service.get("restart") for service in body.get("service", [])):
        threading.Timer(0.2, node.restart, [node.kubernetes_daemons(layout.minor())]).start()
    return {"result": "ok"}


POSTS = {
    "/cluster/api/v1.0/sign-cert": lambda body, *_: sign_cert(body),
    "/cluster/api/v2.0/join": join,
    "/cluster/api/v1.0/configure": lambda body, *_: configure(body),
    "/cluster/api/v2.0/configure": lambda body, *_: configure(body),
}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = 30
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/health" and layout.minor() >= 24:
            self._answer(200, {"status": "OK"})
        else:
            self._answer(404, {"error": "not found"})

    def do_POST(self) -> None:
        function = POSTS.get(self.path.rstrip("/"))
        if function is None:
            self._answer(404, {"error": "not found"})
            return
        try:
            length = int(self.headers.get("Content-Length", "0"))
            if not 0 <= length < 1 << 20:
                raise Refused(400, "request too large")
            body = json.loads(self.rfile.read(length))
            contacted = self.headers.get("Host", "").rsplit(":", 1)[0]
            self._answer(200, function(body, self.client_address[0], contacted))
        except Refused as refused:
            self._answer(refused.status, {"error": refused.text})
        except (ValueError, TypeError, AttributeError) as exc:
            self._answer(400, {"error": f"bad request: {exc}"})
        except Exception as exc:
            # Whatever it was: the joiner gets an answer, the journal the reason.
            print(f"{self.path}: {type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
            self._answer(500, {"error": str(exc)})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        print(f"{self.client_address[0]} {format % args}", flush=True)


class Server(ThreadingHTTPServer):
    """TLS is agreed on in the request's own thread: a silent client must not hold up the others."""

    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(30)
        with self.context.wrap_socket(request, server_side=True) as tls:
            Handler(tls, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        print(f"{client_address[0]}: {sys.exc_info()[1]}", file=sys.stderr, flush=True)


# --- launch configurations -------------------------------------------------------------------------------------------


def launcher() -> None:
    """Apply each file in etc/launcher once the cluster runs, and rename it."""
    folder = COMMON / "etc/launcher"
    while True:
        time.sleep(LAUNCH_PERIOD)
        for path in sorted(folder.glob("*.yaml")):
            if layout.is_worker() or layout.locked("stopped.lock") or not cluster.ready():
                continue
            try:
                apply(path)
            except Failed as failed:
                print(f"{path}: {failed.text}", file=sys.stderr, flush=True)


def apply(path: Path) -> None:
    """Apply one launch configuration."""
    config = node.check_launch(node.read_yaml(path.read_text()))
    if path.name != "install.yaml":
        node.apply_launch_args(config)
    for addon in config.get("addons") or []:  # type: ignore[attr-defined]
        command = "disable" if addon.get("disable") else "enable"
        subprocess.run(
            ["/usr/bin/snap", "run", "microk8s", command, addon["name"], *(addon.get("args") or [])], check=False
        )
    target = config.get("join")
    if isinstance(target, dict) and not layout.locked("no-cert-reissue"):
        worker = ["--worker"] if target.get("worker") else []
        done = subprocess.run(["/usr/bin/snap", "run", "microk8s", "join", str(target["url"]), *worker], check=False)
        if done.returncode:
            return  # it is tried again
    path.rename(path.with_name(path.name + ".applied"))


def serve() -> int:
    """Run until told to end."""
    if layout.minor() >= 27:
        threading.Thread(target=launcher, daemon=True).start()
    server = Server(("0.0.0.0", AGENT_PORT), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(str(CERTS / "server.crt"), str(CERTS / "server.key"))
    server.serve_forever()
    return 0


def others() -> list[str]:
    """The other control planes' addresses."""
    own = set(own_addresses()) | {"127.0.0.1"}
    found = [address.rsplit(":", 1)[0] for address in node.members()]
    return [address for address in found if address not in own]
