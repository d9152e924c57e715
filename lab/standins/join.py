"""`microk8s add-node`, `join`, `leave` and `remove-node`."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import secrets
import shutil
import ssl
import subprocess
import sys
import time
from typing import Any

from . import certs, cluster, layout, node
from .cluster import Api, Unreachable
from .layout import AGENT_PORT, ARGS, CERTS, CNI, CREDENTIALS, GROUP, write
from .system import default_address, node_name, own_addresses, refuse, wait_for

_OTHERWISE = (
    "If the node you are adding is not reachable through the default interface you can use one of the following:"
)
WORKER = "This MicroK8s deployment is acting as a node in a cluster."


# --- add-node --------------------------------------------------------------------------------------------------------


def add_node(argv: list[str]) -> int:
    """Make a token and print how to use it."""
    minor = layout.minor()
    parser = argparse.ArgumentParser("microk8s add-node")
    parser.add_argument("-l", "--token-ttl", type=int, default=-1)
    parser.add_argument("-t", "--token")
    if minor >= 23:
        formats = ["pretty", "short", "token", "token-check", *(["json", "yaml"] if minor >= 24 else [])]
        parser.add_argument("--format", default="pretty", choices=formats)
    args = parser.parse_args(argv)
    if layout.is_worker():
        refuse(f"{WORKER} Please use the microk8s add-node on the master.")
    token = args.token or secrets.token_hex(16)
    if len(token) < 32:
        refuse("Invalid token size.  It must be 32 characters long.")
    cluster.add_token("cluster-tokens.txt", token, args.token_ttl)
    default = default_address()
    rest = [address for address in own_addresses() if address != default]
    shown = f"{token}/{certs.fingerprint()}" if minor >= 21 else token
    urls = [f"{address}:{AGENT_PORT}/{shown}" for address in [default, *rest]]
    kind = getattr(args, "format", "pretty")
    if kind == "token":
        print(token)
    elif kind == "token-check":
        print(shown)
    elif kind == "short":
        print("\n".join(f"microk8s join {url}" for url in urls))
    elif kind == "json":
        # In the order of the machine's interfaces, not the default route's first.
        listed = [f"{address}:{AGENT_PORT}/{shown}" for address in own_addresses()]
        print(json.dumps({"token": shown, "urls": listed}, indent=2))
    elif kind == "yaml":
        print(f"token: {shown}\nurls:")
        print("\n".join(f"- {address}:{AGENT_PORT}/{shown}" for address in own_addresses()))
    elif minor < 23:
        print(f"From the node you wish to join to this cluster, run the following:\nmicrok8s join {urls[0]}\n")
        print(_OTHERWISE)
        print("\n".join(f" microk8s join {url}" for url in urls))
    else:
        print(f"From the node you wish to join to this cluster, run the following:\nmicrok8s join {urls[0]}\n")
        print("Use the '--worker' flag to join a node as a worker not running the control plane, eg:")
        print(f"microk8s join {urls[0]} --worker\n")
        print(_OTHERWISE)
        print("\n".join(f"microk8s join {url}" for url in urls))
    return 0


# --- join ------------------------------------------------------------------------------------------------------------


def parse_connection(text: str, minor: int) -> tuple[str, int, str, str]:
    """(address, port, token, fingerprint) of a connection string; from 1.29 on it is checked."""
    server, slash, rest = text.partition("/")
    token, _, fingerprint = rest.partition("/")
    address, colon, port = server.rpartition(":")
    if minor >= 29:

        def invalid(why: str) -> None:
            refuse(f"Invalid connection: {why}")

        if not slash or server.count(":") != 1:
            invalid("Expected format: <master_IP>:<master_PORT>/<token>[/<fingerprint>]")
        parts = address.split(".")
        if len(parts) != 4 or not all(part.isdigit() and int(part) < 256 for part in parts):
            invalid("Invalid master IP")
        if not port.isdigit():
            invalid("Master PORT not a number")
        if not 1 <= int(port) <= 65535:
            invalid("Master PORT not in range 1:65535")
        if len(token) < 32:
            invalid("Cluster token size should be at least 32 bytes")
        if fingerprint and len(fingerprint) < 12:
            invalid("Fingerprint should be at least 12 bytes")
    if not colon or not port.isdigit() or not token:
        refuse("Please provide a connection string.", 4)
    return address, int(port), token, fingerprint


class Agent:
    """The cluster agent of a node."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port

    def _connection(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint is what identifies it
        return http.client.HTTPSConnection(self.address, self.port, context=context, timeout=240)

    def fingerprint(self) -> str:
        """The hash of its certificate."""
        connection = self._connection()
        connection.connect()
        found = connection.sock.getpeercert(binary_form=True)
        connection.close()
        return hashlib.sha256(found or b"").hexdigest()

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One request."""
        connection = self._connection()
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, {"error": text.decode(errors="replace")}


def join(argv: list[str]) -> int:
    """Make this node one of another node's cluster."""
    minor = layout.minor()
    parser = argparse.ArgumentParser("microk8s join")
    parser.add_argument("connection", nargs="?" if minor < 21 else None)
    if minor >= 21:
        parser.add_argument("--skip-verify", action="store_true")
    if minor >= 23:
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--worker", action="store_true")
        kind.add_argument("--controlplane", action="store_true")
    if minor >= 25:
        parser.add_argument("--disable-low-memory-guard", action="store_true")
    args = parser.parse_args(argv)
    if not args.connection:
        refuse("Please provide a connection string.", 4)
    address, port, token, fingerprint = parse_connection(args.connection, minor)
    worker = getattr(args, "worker", False)
    keep_environment(minor)
    if (layout.COMMON / "default-storage").exists():
        print("WARNING: Hostpath storage is enabled and is not suitable for multi node clusters.\n")
    if minor >= 27:
        layout.lock("join-in-progress")
    print(f"Contacting cluster at {address}", flush=True)
    agent = Agent(address, port)
    if fingerprint and not getattr(args, "skip_verify", False):
        _verify(agent, fingerprint)
    body: dict[str, Any] = {
        "token": token,
        "hostname": node_name(),
        "port": str(AGENT_PORT),
        "worker": "as-worker" if worker else False,
        "can_handle_x509_auth": True,
        "can_handle_custom_etcd": True,
    }
    try:
        status, answer = agent.post("/cluster/api/v2.0/join", body)
    except ConnectionRefusedError:
        if minor < 21:
            refuse("Please ensure the master node is reachable.\nJoin a cluster: microk8s join <master>:<port>/<token>")
        raise
    if status != 200:
        error = str(answer.get("error", "unknown error"))
        error = error[:1].upper() + error[1:]
        if minor < 21:
            refuse(f"Failed to join cluster. Error code {status}. {error}")
        refuse(f"Connection failed. {error} ({status}).", 6)
    cidr = node.get_arg("kube-proxy", "--cluster-cidr")
    if answer.get("cluster_cidr") and answer["cluster_cidr"] != cidr:
        print(
            "WARNING: Joining a cluster that has a different CIDR."
            " The kube-proxy CIDR configuration will be overwritten."
        )
        print(f"Cluster CIDR: {answer['cluster_cidr']} -- Node CIDR: {cidr}(will be overwritten)")
        node.set_arg("kube-proxy", "--cluster-cidr", answer["cluster_cidr"])
    if worker:
        _join_worker(agent, token, answer)
        print(
            "\nThe node has joined the cluster and will appear in the nodes list in a few seconds.\n\n"
            "This worker node gets automatically configured with the API server endpoints.\n"
            "If the API servers are behind a loadbalancer please set the '--refresh-interval' to '0s' in:\n"
            "    /var/snap/microk8s/current/args/apiserver-proxy\n"
            "and replace the API server endpoints with the one provided by the loadbalancer in:\n"
            "    /var/snap/microk8s/current/args/traefik/provider.yaml\n"
        )
    else:
        _join_control_plane(answer)
    layout.unlock("join-in-progress")
    if minor >= 29:
        print("Successfully joined the cluster.")
    return 0


def keep_environment(minor: int) -> None:
    """Up to 1.34 the wrappers run themselves anew by `sudo -E`; without the environment they end in a traceback."""
    sudo = shutil.which("sudo")
    if minor >= 35 or sudo is None:
        return
    done = subprocess.run(
        [sudo, "-n", "-E", "printenv", "SNAP_DATA"],
        env=layout.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        raise RuntimeError("SNAP_DATA is None")


def _verify(agent: Agent, fingerprint: str) -> None:
    if len(fingerprint) < 12:
        refuse(
            "Joining cluster failed. Fingerprint too short. Use '--skip-verify' to skip server certificate check.", 4
        )
    if not agent.fingerprint().startswith(fingerprint):
        refuse(
            f"Joining cluster failed. Could not verify the identity of {agent.address}."
            " Use '--skip-verify' to skip server certificate check.",
            4,
        )


def _signed(agent: Agent, token: str, name: str, subject: str) -> None:
    """A new key of this node, with a certificate of the cluster's authority."""
    certs.new_key(CERTS / f"{name}.key")
    request = certs.request(CERTS / f"{name}.key", subject)
    status, answer = agent.post("/cluster/api/v1.0/sign-cert", {"token": f"{token}-{name}", "request": request})
    if status != 200:
        refuse(f"Failed to sign {name} certificate ({status}). {answer.get('error', '')}")
    write(CERTS / f"{name}.crt", answer["certificate"])


def _join_worker(agent: Agent, token: str, answer: dict[str, Any]) -> None:
    minor = layout.minor()
    if "control_plane_nodes" not in answer:
        refuse("Joining process failed. Make sure the cluster you connect to supports joining worker nodes.")
    write(CERTS / "ca.remote.crt", answer["ca"])
    node.stop([*node.kubernetes_daemons(minor), node.datastore_daemon(minor)])
    name = node_name()
    _signed(agent, token, "kubelet", f"/O=system:nodes/CN=system:node:{name}")
    _signed(agent, token, "proxy", "/CN=system:kube-proxy")
    ca = CERTS / "ca.remote.crt"
    users = {"kubelet": f"system:node:{name}", "proxy": "system:kube-proxy"}
    for file, user in users.items():
        write(CREDENTIALS / f"{file}.config", node.kubeconfig(user, ca, CERTS / f"{file}.crt"), 0o660, GROUP)
    write(ARGS / "traefik/provider.yaml", node.provider(answer["control_plane_nodes"]))
    _take_kubelet_args(answer, "worker")
    node.set_arg("kubelet", "--client-ca-file", "${SNAP_DATA}/certs/ca.remote.crt")
    node.set_arg("kubelite", "--start-control-plane", "false")
    _forget_old_cluster()
    node.write_cni(answer["pods"])
    layout.unlock("no-apiserver-proxy")
    for lock in ("clustered.lock", "no-k8s-dqlite"):
        layout.lock(lock)
    node.start(["apiserver-proxy"])
    node.restart(["apiserver-kicker"])
    node.start(node.kubernetes_daemons(minor))
    layout.lock("no-cert-reissue")  # the last one, as everywhere


def _take_kubelet_args(answer: dict[str, Any], kind: str) -> None:
    """The seed's kubelet arguments replace this node's own, but for its labels.

    What names the seed itself does not: an address becomes the one by which the seed saw this node, a name goes.
    """
    write(ARGS / "kubelet", answer["kubelet_args"])
    node.set_arg("kubelet", "--node-labels", f'"{node.labels(layout.minor(), kind)}"')
    if node.get_arg("kubelet", "--node-ip"):
        node.set_arg("kubelet", "--node-ip", answer["hostname_override"])
    node.set_arg("kubelet", "--hostname-override", None)


def _forget_old_cluster() -> None:
    """The cluster that this node was alone: its datastore is kept aside, its containers end."""
    backup = layout.DATA / "var/kubernetes/backend.backup"
    etcd = layout.BACKEND / "etcd"
    if etcd.exists():
        shutil.rmtree(backup, ignore_errors=True)
        backup.mkdir(parents=True)
        etcd.rename(backup / "etcd")
    node.kill_containers()
    (CNI / "peers.json").unlink(missing_ok=True)


def _join_control_plane(answer: dict[str, Any]) -> None:
    minor = layout.minor()
    print("Waiting for this node to finish joining the cluster. ", end="", flush=True)
    node.stop([*node.kubernetes_daemons(minor), node.datastore_daemon(minor)])
    shared = {"ca": "ca.crt", "ca_key": "ca.key", "service_account_key": "serviceaccount.key"}
    shared |= {"front_proxy_ca": "front-proxy-ca.crt", "front_proxy_ca_key": "front-proxy-ca.key"}
    for key, file in shared.items():
        write(CERTS / file, answer[key], 0o660 if file.endswith(".key") else 0o644, GROUP)
    certs.new_server(own_addresses())
    certs.new_front_proxy()
    certs.new_components(node_name())
    if answer.get("known_tokens"):
        write(CREDENTIALS / "known_tokens.csv", answer["known_tokens"], 0o660, GROUP)
    node.write_credentials(minor)
    write(CREDENTIALS / "callback-token.txt", answer["callback_token"] + "\n", 0o660, GROUP)
    _take_kubelet_args(answer, "controlplane")
    own = node.get_arg("kube-apiserver", "--advertise-address")
    write(ARGS / "kube-apiserver", answer["apiserver_args"])
    node.set_arg("kube-apiserver", "--advertise-address", own or None)
    _forget_old_cluster()
    own = next(url for name, url in answer["members"] if name == node_name())
    node.write_datastore(own.split("//")[1].rsplit(":", 1)[0], [(name, url) for name, url in answer["members"]])
    node.write_cni(answer["pods"])
    node.start([node.datastore_daemon(minor)])
    node.restart(["cluster-agent", "apiserver-kicker"])
    node.start(node.kubernetes_daemons(minor))
    for _ in range(10):
        print(".. ", end="", flush=True)
        if cluster.datastore_members():
            break
        time.sleep(2)
    print()
    # The file with the other members stays: a datastore that has not started yet would begin a cluster of its own
    # without it, and one that has does not read it any more.
    layout.lock("no-cert-reissue")


# --- leave -----------------------------------------------------------------------------------------------------------

SETTLE_SECONDS = 10
"""How long the real one waits between the end of its services and that of its membership."""


def leave(argv: list[str]) -> int:
    """Become a single node again, with a datastore of its own."""
    minor = layout.minor()
    argparse.ArgumentParser("microk8s leave").parse_args(argv)
    keep_environment(minor)
    if not (layout.locked("no-cert-reissue") and (layout.is_worker() or (ARGS / "k8s-dqlite").exists())):
        refuse("This MicroK8s deployment is not acting as a node in a cluster.")
    # What tells a worker is taken away by the very first step of leaving.
    if layout.is_worker() and not layout.locked("no-apiserver-proxy"):
        _leave_as_worker(minor)
    else:
        _leave_as_control_plane(minor)
    return 0


def _start_alone(minor: int) -> None:
    node.kill_containers()
    node.start([d for d in node.daemons(minor) if d != "apiserver-proxy"])
    node.restart(["cluster-agent", "apiserver-kicker"])
    print("Waiting for node to start. ", end=" ", flush=True)
    wait_for(cluster.ready, 60, 1)
    print()


def _leave_as_worker(minor: int) -> None:
    print("Configuring services.", flush=True)
    layout.lock("no-apiserver-proxy")
    node.stop(["apiserver-proxy"])
    (CERTS / "ca.remote.crt").unlink()
    node.stop(node.kubernetes_daemons(minor))
    print("Generating new cluster certificates.", flush=True)
    _alone(minor)
    layout.unlock("no-cert-reissue")
    for lock in ("clustered.lock", "no-k8s-dqlite"):
        if not layout.locked(lock):
            refuse("Not in clustering mode.", 2)
        layout.unlock(lock)
    _default_args(minor)
    _start_alone(minor)


def _leave_as_control_plane(minor: int) -> None:
    members = cluster.datastore_members_by_file()
    if not members:
        raise RuntimeError("the datastore does not answer")  # a traceback in the real one as well
    own = next((m for m in members if m["address"].rsplit(":", 1)[0] in own_addresses()), None)
    if own and len(members) == 2 and not node.joined_datastore():
        # Of two members only the first one votes.
        refuse(
            "This node currently holds the only copy of the Kubernetes database so it cannot leave the cluster.\n"
            "To remove this node you can either first remove all other nodes with 'microk8s remove-node' or\n"
            "form a highly available cluster by adding at least three nodes.",
            3,
        )
    node.stop(node.kubernetes_daemons(minor))
    time.sleep(SETTLE_SECONDS)
    if own and len(members) > 1 and cluster.etcdctl("member", "remove", own["id"], timeout="20s") is None:
        refuse(f"Contacting node {members[0]['address']} failed. Error:", 2)
    node.stop([node.datastore_daemon(minor)])
    print("Generating new cluster certificates.", flush=True)
    _alone(minor)
    _start_alone(minor)
    layout.unlock("no-cert-reissue")


def _alone(minor: int) -> None:
    """A datastore of its own. The certificate authority stays what it is: a control plane's, the cluster's."""
    shutil.rmtree(layout.BACKEND, ignore_errors=True)
    layout.BACKEND.mkdir(parents=True)
    certs.new_components(node_name())
    node.write_credentials(minor)
    node.begin_anew()


def _default_args(minor: int) -> None:
    keep = {"certs.d", "containerd-env", "containerd-template.toml"}
    for path in ARGS.iterdir():
        if path.is_file() and path.name not in keep:
            path.unlink()
    node.write_args(minor)


def fresh(minor: int) -> None:
    """This node's files as after an installation; images stay."""
    for name in ("clustered.lock", "no-k8s-dqlite", "no-cert-reissue", "join-in-progress"):
        layout.unlock(name)
    layout.lock("no-apiserver-proxy")
    (CERTS / "ca.remote.crt").unlink(missing_ok=True)
    (CREDENTIALS / "callback-token.txt").unlink(missing_ok=True)
    _default_args(minor)
    node.fresh_node(minor)


# --- remove-node -----------------------------------------------------------------------------------------------------


def remove_node(argv: list[str]) -> int:
    """Forget a node that has left, or will never come back."""
    parser = argparse.ArgumentParser("microk8s remove-node")
    parser.add_argument("node", nargs="?")
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args(argv)
    if layout.is_worker():
        refuse(f"{WORKER} Please use microk8s leave.")
    if not args.node:
        refuse("Please provide the node you want to remove.")
    api = Api()
    try:
        nodes = api.nodes()
    except Unreachable:
        refuse("microk8s is not running. Please run microk8s start and try again")
    found = next((n for n in nodes if args.node in (n["metadata"]["name"], cluster.address_of(n))), None)
    address = cluster.address_of(found) if found else args.node
    member = next(
        (m for m in cluster.datastore_members() if address and m["address"].rsplit(":", 1)[0] == address), None
    )
    if found is None:
        print(f"Node {args.node} does not exist in Kubernetes.")
        if args.force:
            print(f"Attempting to remove {args.node} from dqlite.")
            if member:
                print("Removing node entry found in dqlite.")
                cluster.etcdctl("member", "remove", member["id"], timeout="20s")
        return 1
    if member:
        if not args.force:
            refuse(
                f"Removal failed. Node {args.node} is registered with dqlite. Please, run first 'microk8s leave' on the"
                " departing node. \nIf the node is not available anymore and will never attempt to join the cluster"
                " in the future use the '--force' flag \nto unregister the node while removing it."
            )
        cluster.etcdctl("member", "remove", member["id"], timeout="20s")
    api.call("DELETE", f"/api/v1/nodes/{found['metadata']['name']}")
    path = CREDENTIALS / "callback-tokens.txt"
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{address}:")]
        write(path, "".join(f"{line}\n" for line in lines), 0o660, GROUP)
    return 0


def set_on_others(services: list[dict[str, Any]]) -> None:
    """Change arguments on the other control planes too."""
    path = CREDENTIALS / "callback-tokens.txt"
    for line in path.read_text().splitlines() if path.exists() else []:
        place, _, token = line.partition(" ")
        address, _, port = place.rpartition(":")
        try:
            status, answer = Agent(address, int(port)).post(
                "/cluster/api/v1.0/configure", {"callback": token, "service": services}
            )
        except OSError as exc:
            status, answer = 0, {"error": str(exc)}
        if status != 200:
            print(f"Failed to reach node {address}: {answer.get('error')}", file=sys.stderr)
