"""What is different before 1.23."""

from __future__ import annotations

import typing as t

KUBECTL = "/snap/bin/microk8s kubectl"
testinfra_hosts = ["ansible://master"]


def test_every_node_is_a_control_plane(host: t.Any) -> None:
    members = host.file("/var/snap/microk8s/current/var/kubernetes/backend/cluster.yaml").content_string
    assert "172.20.10.11:" in members
    assert "172.20.10.12:" in members


def test_both_nodes_are_ready(host: t.Any) -> None:
    nodes = host.check_output(f"{KUBECTL} get nodes --no-headers").splitlines()
    assert sorted(line.split()[:2] for line in nodes) == [["master", "Ready"], ["worker", "Ready"]]


def test_the_seed_resolves_who_joined(host: t.Any) -> None:
    assert "172.20.10.12 worker" in host.file("/etc/hosts").content_string


def test_authorization_is_by_role(host: t.Any) -> None:
    asked = host.run(f"{KUBECTL} auth can-i '*' '*' --as=system:serviceaccount:default:default")
    assert asked.stdout.strip() == "no"
