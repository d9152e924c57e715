"""The container images that a cluster needs before anything of the user's runs in it."""

from __future__ import annotations

from lab.images import Image
from lab.kubernetes.build import Payload

PAUSE = "registry.k8s.io/pause:3.10"
COREDNS = "docker.io/coredns/coredns:1.14.3"
METRICS_SERVER = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"


def images(payload: Payload) -> list[Image]:
    """CoreDNS and metrics-server are one program: the same layer, so a node fetches and unpacks it once."""
    files = {"/addons": payload.addons}
    links = {"/coredns": "addons", "/metrics-server": "addons"}
    return [
        Image(PAUSE, {"/pause": payload.pause}, ("/pause",)),
        Image(COREDNS, files, ("/coredns",), links=links),
        Image(METRICS_SERVER, files, ("/metrics-server",), links=links, user="1000"),
    ]
