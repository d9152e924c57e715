"""A node that is gone, by command: what ran there starts elsewhere once the NFS server keeps the node from the data.

Without a standby nothing else starts it: Kubernetes does not remove the pods of a node that cannot answer.
"""

from __future__ import annotations

import time

import pytest

from .conftest import Lab

pytestmark = pytest.mark.by_hand
FAILOVER = ("playbooks/failover.yml", "-e", "node=worker")
REJOIN = ("playbooks/rejoin.yml", "-e", "node=worker")


def nodes(lab: Lab) -> dict[str, str]:
    """Pod of the site -> its node."""
    return {
        pod["metadata"]["name"]: pod["spec"].get("nodeName", "")
        for pod in lab.kubectl("get pods -n prysm -l app.kubernetes.io/name=eth2prysm")["items"]
    }


def restarts(lab: Lab) -> dict[str, int]:
    """Pod of the site -> how often its containers have started again."""
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
        for pod in lab.kubectl("get pods -n prysm -l app.kubernetes.io/name=eth2prysm")["items"]
    }


def to_worker(lab: Lab) -> None:
    """All that signs runs on the worker, which is what its name says."""
    lab.play("playbooks/drain.yml", "-e", "node=master")
    lab.play("playbooks/drain.yml", "-e", "node=master", "-e", "node_state=uncordoned")
    assert set(nodes(lab).values()) == {"worker"}


def test_the_site_is_built(lab: Lab) -> None:
    lab.play("site.yml")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)
    to_worker(lab)


def test_a_node_that_lives_is_not_taken_out(lab: Lab) -> None:
    refused = lab.play(*FAILOVER, check=False)
    assert refused.failed
    assert "worker is Ready, and its kubelet answers" in refused.said
    assert "playbooks/drain.yml -e node=worker" in refused.said
    lab.all_sign_on()


def test_the_only_control_plane_is_refused(lab: Lab) -> None:
    refused = lab.play("playbooks/failover.yml", "-e", "node=master", check=False)
    assert refused.failed
    assert "the group control_plane has no machine" in refused.said


def test_a_node_without_power_is_replaced_by_command(lab: Lab) -> None:
    begun = time.monotonic()
    lab.fault("power-cut", "worker")
    lab.play(*FAILOVER)
    lab.all_sign_on(seconds=120)
    print(f"every key signs again {time.monotonic() - begun:.0f} s after the power cut")
    assert set(nodes(lab).values()) == {"master"}
    assert lab.cordoned() == {"worker"}
    assert set(lab.play(*FAILOVER).changed.values()) == {0}


def test_drain_says_what_to_use_for_it(lab: Lab) -> None:
    refused = lab.play("playbooks/drain.yml", "-e", "node=worker", check=False)
    assert refused.failed
    assert "playbooks/failover.yml -e node=worker" in refused.said


def test_it_comes_back_and_reaches_no_data_until_it_rejoins(lab: Lab) -> None:
    lab.power_on("worker")
    lab.wait("worker is Ready", lambda: lab.nodes_ready()["worker"], seconds=180)
    reached = lab.on("worker", "timeout 5 bash -c 'exec 3<>/dev/tcp/nfs/2049' && echo reached", check=False)
    assert reached == ""
    lab.all_sign_on()
    assert set(nodes(lab).values()) == {"master"}
    lab.play(*REJOIN)
    assert lab.cordoned() == set()
    assert lab.on("worker", "timeout 5 bash -c 'exec 3<>/dev/tcp/nfs/2049' && echo reached") == "reached"
    assert set(lab.play(*REJOIN).changed.values()) == {0}
    lab.all_sign_on()


def test_the_site_is_as_it_was(lab: Lab) -> None:
    assert set(lab.play("site.yml").changed.values()) == {0}


def test_a_frozen_node_signs_nothing_when_it_thaws(lab: Lab) -> None:
    to_worker(lab)
    lab.fault("freeze", "worker")
    lab.play(*FAILOVER)
    lab.all_sign_on(seconds=120)
    lab.fault("thaw", "worker")
    time.sleep(60)
    assert lab.judge()["offences"] == []
    assert set(nodes(lab).values()) == {"master"}
    lab.wait("worker is Ready", lambda: lab.nodes_ready()["worker"], seconds=180)
    lab.play(*REJOIN)
    lab.all_sign_on()


def test_a_client_starts_again_without_the_clusters_dns(lab: Lab) -> None:
    kubectl = "sudo /snap/bin/microk8s kubectl"
    hosts = lab.on("master", f"{kubectl} exec -n prysm validator1-0 -c validator -- /guard-bin/busybox cat /etc/hosts")
    address = lab.kubectl("get service -n prysm beacon-service")["spec"]["clusterIP"]
    assert f"{address} beacon-service" in hosts
    lab.on("master", f"{kubectl} scale -n kube-system deployment coredns --replicas=0")
    lab.wait("no DNS", lambda: not lab.kubectl("get pods -n kube-system -l k8s-app=kube-dns")["items"], seconds=90)
    before = restarts(lab)["validator1-0"]
    lab.on("master", f"{kubectl} exec -n prysm validator1-0 -c validator -- /guard-bin/busybox kill 1")
    lab.wait("it has started again", lambda: restarts(lab)["validator1-0"] > before, seconds=60)
    lab.all_sign_on(seconds=120)
    lab.on("master", f"{kubectl} scale -n kube-system deployment coredns --replicas=1")
    assert set(lab.play("site.yml").changed.values()) == {0}


def test_clients_on_another_node_find_the_beacon_node_again(lab: Lab) -> None:
    """Their connections lead to a node that is gone, and nothing tells them."""
    to_worker(lab)
    lab.on("master", "sudo /snap/bin/microk8s kubectl cordon worker")
    lab.on("master", "sudo /snap/bin/microk8s kubectl delete pod -n prysm validator1-0 validator2-0")
    lab.wait(
        "both are on master", lambda: {nodes(lab).get(f"validator{n}-0") for n in (1, 2)} == {"master"}, seconds=60
    )
    lab.on("master", "sudo /snap/bin/microk8s kubectl uncordon worker")
    assert nodes(lab)["beacon-0"] == "worker"
    lab.all_sign_on(seconds=120)
    before = restarts(lab)
    begun = time.monotonic()
    lab.fault("power-cut", "worker")
    lab.play(*FAILOVER)
    lab.all_sign_on(seconds=120)
    print(f"every key signs again {time.monotonic() - begun:.0f} s after the power cut")
    after = restarts(lab)
    assert all(after[name] > before[name] for name in ("validator1-0", "validator2-0")), (before, after)
    lab.power_on("worker")
    lab.wait("worker is Ready", lambda: lab.nodes_ready()["worker"], seconds=180)
    lab.play(*REJOIN)
    lab.all_sign_on()


def test_a_node_without_a_kubelet_is_taken_out(lab: Lab) -> None:
    """It runs on, and signs until its locks are taken away."""
    to_worker(lab)
    lab.on("worker", "systemctl stop snap.microk8s.daemon-kubelite")
    lab.play(*FAILOVER)
    lab.all_sign_on(seconds=120)
    lab.on("worker", "systemctl start snap.microk8s.daemon-kubelite")
    lab.wait("worker is Ready", lambda: lab.nodes_ready()["worker"], seconds=180)
    lab.play(*REJOIN)
    assert set(lab.play("site.yml").changed.values()) == {0}
    lab.all_sign_on()
