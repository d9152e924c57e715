"""The watchman of a node: the pods' network between the nodes, the datastore's member list, the server certificate.

Real MicroK8s has Calico for the first. As there, a node tells its range by an annotation, and the others reach it by
the VXLAN device `vxlan.calico` (4789/udp, network 4096), so that firewalls meet what they would meet.
"""

from __future__ import annotations

import json
import subprocess
import time

from . import certs, layout, node
from .cluster import TUNNEL, Api, Unreachable, address_of, datastore_members, range_of
from .layout import CERTS, CNI, POD_CIDR, write
from .system import addresses, default_address, default_interface, node_name, output, own_addresses, succeeds

DEVICE = "vxlan.calico"
VNI = 4096
PORT = 4789
MTU = 1450
PERIOD = 3.0

_NAT = f"""table ip calico-nat
delete table ip calico-nat
table ip calico-nat {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {POD_CIDR} ip daddr != {POD_CIDR} masquerade
  }}
}}
"""


def own_range() -> str:
    """The range of this node's pods."""
    return (CNI / "subnet").read_text().strip()


def tunnel_address(pods: str) -> str:
    """The address of a node's VXLAN device: the first of its pods' range."""
    return pods.split("/")[0]


def hardware_address(pods: str) -> str:
    """The hardware address of a node's VXLAN device; it follows from its range, so nobody has to be asked for it."""
    return "66:c4:" + ":".join(f"{int(part):02x}" for part in tunnel_address(pods).split("."))


def link_up(pods: str, local: str) -> None:
    """The VXLAN device, as this node's range wants it."""
    shown = json.loads(output("ip", "-j", "-d", "link", "show", "dev", DEVICE) or "[]")
    data = shown[0].get("linkinfo", {}).get("info_data", {}) if shown else {}
    if shown and (shown[0].get("address") != hardware_address(pods) or data.get("local") != local):
        succeeds("ip", "link", "delete", DEVICE)
        shown = []
    if not shown:
        succeeds(
            *("ip", "link", "add", DEVICE, "address", hardware_address(pods), "type", "vxlan", "id", str(VNI)),
            *("dev", default_interface(), "local", local, "dstport", str(PORT), "nolearning"),
        )
    succeeds("ip", "link", "set", DEVICE, "mtu", str(MTU), "up")
    succeeds("ip", "addr", "replace", f"{tunnel_address(pods)}/32", "dev", DEVICE)


def join_peers(peers: dict[str, str], local: str) -> None:
    """Reach the other nodes' pods: {range: node's address}."""
    batch = []
    wanted = {pods for pods in peers if peers[pods] != local}
    for line in output("ip", "-o", "route", "show", "dev", DEVICE).splitlines():
        pods = line.split()[0]
        if "/" in pods and pods not in wanted:
            batch.append(f"route del {pods} dev {DEVICE}")
    for pods in sorted(wanted):
        tunnel = tunnel_address(pods)
        mac = hardware_address(pods)
        batch.append(f"neigh replace {tunnel} lladdr {mac} nud permanent dev {DEVICE}")
        batch.append(f"route replace {pods} via {tunnel} dev {DEVICE} onlink src {tunnel_address(own_range())}")
    subprocess.run(
        ["ip", "-force", "-batch", "-"], input="\n".join(batch) + "\n", text=True, check=False, capture_output=True
    )
    have = output("bridge", "fdb", "show", "dev", DEVICE)
    for line in have.splitlines():
        words = line.split()
        macs = {hardware_address(pods): peers[pods] for pods in wanted}
        if "dst" in words and macs.get(words[0]) != words[words.index("dst") + 1]:
            succeeds("bridge", "fdb", "del", words[0], "dev", DEVICE, "dst", words[words.index("dst") + 1])
    for pods in sorted(wanted):
        succeeds(
            "bridge", "fdb", "replace", hardware_address(pods), "dev", DEVICE, "dst", peers[pods], "self", "permanent"
        )


def masquerade() -> None:
    """Pods that leave the cluster do so by their node's address."""
    if not succeeds("nft", "list", "table", "ip", "calico-nat"):
        subprocess.run(["nft", "-f", "-"], input=_NAT, text=True, check=False, capture_output=True)


class Kicker:
    """One node's watchman."""

    def __init__(self) -> None:
        self.reader = Api("proxy")
        self.writer = Api("kubelet")
        self.done: tuple[str, ...] = ()
        self.turn = 0
        self.kicked = False

    def network(self) -> None:
        """Set the pods' network up, as far as it is known."""
        local = default_address()
        pods = own_range()
        if not local:
            return
        path = CNI / "peers.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        try:
            nodes = self.reader.nodes()
        except (Unreachable, OSError):
            nodes = None
        if nodes is not None:
            known = {range_of(n): address_of(n) for n in nodes if range_of(n) and address_of(n)}
            known = {have: address for have, address in known.items() if have != pods}
            own = next((n for n in nodes if n["metadata"]["name"] == node_name()), None)
            if own is not None and range_of(own) != pods:
                self.announce(pods, local)
            text = json.dumps(known, sort_keys=True) + "\n"
            if not path.exists() or path.read_text() != text:
                write(path, text)
        state = (pods, local, json.dumps(known, sort_keys=True))
        # Somebody may have taken the device away (an administrator, `systemctl restart systemd-networkd`).
        if state == self.done and DEVICE in {interface for interface, _, _ in addresses()}:
            return
        link_up(pods, local)
        join_peers(known, local)
        self.done = state

    def announce(self, pods: str, local: str) -> None:
        """Tell the other nodes which range is this one's."""
        prefix = next((bits for _, address, bits in addresses() if address == local), 32)
        notes = {"projectcalico.org/IPv4Address": f"{local}/{prefix}", TUNNEL: tunnel_address(pods)}
        try:
            self.writer.call(
                "PATCH",
                f"/api/v1/nodes/{node_name()}",
                {"metadata": {"annotations": notes}},
                "application/merge-patch+json",
            )
        except (Unreachable, OSError):
            return  # the next turn tries again

    def members(self) -> None:
        """cluster.yaml follows the datastore."""
        found = datastore_members()
        if found:
            node.write_members([member["address"] for member in found])

    def certificate(self) -> None:
        """A new address needs a new server certificate, as long as this node is in no cluster."""
        if layout.locked("no-cert-reissue") or layout.locked("join-in-progress"):
            return
        have = own_addresses()
        conf = CERTS / "csr.conf"
        if have and conf.exists() and conf.read_text() != certs.server_config(have):
            certs.new_server(have)
            node.kill_containers()
            node.restart(
                [
                    "cluster-agent",
                    *[d for d in node.kubernetes_daemons(layout.minor()) if d in ("kubelite", "apiserver")],
                ]
            )

    def changed(self) -> None:
        """Any failure of openssl is taken for a changed certificate, in a cluster as well: all containers end."""
        if not certs.openssl_fails():
            self.kicked = False
        elif not self.kicked:
            self.kicked = True
            print("cert change detected. Reconfiguring the kube-apiserver", flush=True)
            daemons = node.kubernetes_daemons(layout.minor())
            node.stop(daemons)
            node.kill_containers()
            node.start(daemons)

    def step(self) -> None:
        """One turn."""
        self.network()
        if not layout.is_worker():
            self.changed()
        if self.turn % 10 == 0:
            masquerade()
            if not layout.is_worker():
                self.members()
                self.certificate()
        self.turn += 1


def watch() -> int:
    """Run until told to end."""
    kicker = Kicker()
    while True:
        kicker.step()
        time.sleep(1 if kicker.turn < 60 else PERIOD)
