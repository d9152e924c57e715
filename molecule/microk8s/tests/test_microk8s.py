"""What the role promises, read from the machines and from the cluster itself."""

from __future__ import annotations

import json
import typing as t

import pytest

KUBECTL = "/snap/bin/microk8s kubectl"
ADDRESSES = {"master": "172.20.10.11", "worker": "172.20.10.12"}
testinfra_hosts = ["ansible://microk8s"]


@pytest.fixture(scope="module")
def master(machine: t.Any) -> t.Any:
    return machine("master")


def answer(master: t.Any, command: str) -> t.Any:
    return json.loads(master.check_output(f"{KUBECTL} {command} -o json"))


def test_the_node_is_ready_under_its_address(host: t.Any, master: t.Any) -> None:
    name = host.check_output("hostname").lower()
    node = answer(master, f"get node {name}")
    addresses = {a["type"]: a["address"] for a in node["status"]["addresses"]}
    assert addresses["InternalIP"] == ADDRESSES[name]
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"


def test_refreshes_are_held(host: t.Any) -> None:
    row = host.check_output("snap list microk8s").splitlines()[1].split()
    assert row[3] == "1.36/stable"
    assert "held" in row[5].split(",")


def test_what_it_runs_on_is_held_as_well(host: t.Any) -> None:
    rows = [line.split() for line in host.check_output("snap list").splitlines()[1:]]
    assert {row[0] for row in rows} >= {"microk8s", "snapd"}
    assert [row[0] for row in rows if "held" not in row[-1].split(",")] == []


def test_it_registers_under_the_address_of_the_inventory(host: t.Any) -> None:
    name = host.check_output("hostname").lower()
    arguments = host.file("/var/snap/microk8s/current/args/kubelet").content_string
    assert f"--node-ip={ADDRESSES[name]}\n" in arguments


def test_it_looks_at_its_certificates_by_itself(host: t.Any) -> None:
    timer = host.service("eth2xk8s-certificates.timer")
    assert timer.is_running and timer.is_enabled
    assert host.run("systemctl start eth2xk8s-certificates.service").rc == 0
    assert not host.file("/run/motd.d/50-eth2xk8s-certificates").exists


def test_no_token_for_joining_is_left(master: t.Any) -> None:
    tokens = master.file("/var/snap/microk8s/current/credentials/cluster-tokens.txt")
    assert not tokens.exists or tokens.content_string.strip() == ""


@pytest.mark.parametrize("addon", ["coredns", "metrics-server"])
def test_the_addons_run(master: t.Any, addon: str) -> None:
    assert answer(master, f"-n kube-system get deployment {addon}")["status"]["availableReplicas"] == 1


def test_the_clusters_dns_asks_the_servers_that_were_given(master: t.Any) -> None:
    """Trap 6: from 1.27 dns is on by itself, and `enable dns:…` drops the servers."""
    assert "forward . 172.20.0.1" in answer(master, "-n kube-system get configmap coredns")["data"]["Corefile"]


def test_a_pods_token_is_not_that_of_an_administrator(master: t.Any) -> None:
    """Trap 12: without the addon rbac it is."""
    asked = master.run(f"{KUBECTL} auth can-i '*' '*' --as=system:serviceaccount:default:default")
    assert asked.stdout.strip() == "no"


def test_modules_for_kubernetes_have_their_python_package(master: t.Any) -> None:
    version = master.check_output("python3 -c 'import kubernetes; print(kubernetes.__version__)'")
    assert tuple(map(int, version.split(".")[:2])) >= (24, 2)
