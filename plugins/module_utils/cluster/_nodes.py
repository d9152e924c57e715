# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""Which Node object a machine is, while the machine itself cannot be asked."""

from __future__ import annotations

import typing as t

Node = t.Mapping[str, t.Any]
#: Set on a node whose pods may be removed without its kubelet's word (Kubernetes 1.24 and later).
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


class Named(t.NamedTuple):
    """A node by what is known of its machine."""

    #: As Kubernetes calls it; empty where no node is meant, or more than one.
    node: str
    #: Every address of it: those that Kubernetes knows, and those that were given.
    addresses: list[str]
    #: Where its kubelet listens.
    kubelet: tuple[str, int]
    out_of_service: bool


def _addresses(node: Node) -> list[str]:
    """Addresses of a Node object, without names."""
    found = (node.get("status") or {}).get("addresses") or []
    return [item["address"] for item in found if item["type"] in ("InternalIP", "ExternalIP")]


def is_out_of_service(node: Node) -> bool:
    """Whether a node was taken out of service."""
    return any(taint["key"] == OUT_OF_SERVICE for taint in (node.get("spec") or {}).get("taints") or [])


def node_named(nodes: t.Iterable[Node], name: str, addresses: t.Sequence[str] = ()) -> Named:
    """The node of this name; else the one node that has one of the machine's addresses."""
    there = list(nodes)
    found = [node for node in there if node["metadata"]["name"] == name] or [
        node for node in there if set(_addresses(node)).intersection(addresses)
    ]
    if len(found) != 1:
        return Named("", list(addresses), ("", 0), False)
    [node] = found
    own = _addresses(node)
    endpoint = ((node["status"].get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
    return Named(
        node=node["metadata"]["name"],
        addresses=list(dict.fromkeys([*own, *addresses])),
        kubelet=(own[0] if own else "", int(endpoint)),
        out_of_service=is_out_of_service(node),
    )
