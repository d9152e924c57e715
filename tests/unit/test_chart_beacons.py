"""What the chart renders and refuses of several beacon nodes."""

from __future__ import annotations

import typing as t

import pytest

from .test_chart import BASE, args, client, needs_helm, pod, refusal, render

pytestmark = needs_helm
SECOND: dict[str, t.Any] = {
    "name": "beacon-2",
    "dataVolumePath": "/data/prysm/beacon-2",
    "p2pTcpPort": 13001,
    "p2pUdpPort": 12001,
    "p2pQuicPort": 13001,
}


def two(**more: t.Any) -> dict[str, t.Any]:
    return {"additionalBeacons": [{**SECOND, **more}]}


def test_a_second_beacon_node_moves_no_pod_of_the_first() -> None:
    one, both = render(), render(two())
    assert one["StatefulSet", "beacon"] == both["StatefulSet", "beacon"]
    assert (
        one["PersistentVolume", "prysm-eth2prysm-beacon-data"]
        == both["PersistentVolume", "prysm-eth2prysm-beacon-data"]
    )
    assert not [
        name for kind, name in one if "beacon-2" in name or (kind == "PodDisruptionBudget" and "beacons" in name)
    ]


def test_the_second_is_as_the_first_but_for_what_is_its_own() -> None:
    objects = render(two(web3Provider="http://172.20.10.21:8551"))
    first, second = args(objects, "beacon"), args(objects, "beacon-2")
    own = {"--p2p-tcp-port=13001", "--p2p-udp-port=12001", "--p2p-quic-port=13001"}
    assert set(second) - set(first) == own | {"--execution-endpoint=http://172.20.10.21:8551"}
    volume = objects["PersistentVolume", "prysm-eth2prysm-beacon-2-data"]["spec"]
    assert volume["nfs"]["path"] == "/data/prysm/beacon-2"
    apart = objects["StatefulSet", "beacon-2"]["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (term,) = apart["requiredDuringSchedulingIgnoredDuringExecution"]
    assert (
        term["labelSelector"]["matchLabels"].items()
        <= objects["StatefulSet", "beacon"]["spec"]["template"]["metadata"]["labels"].items()
    )


def test_clients_are_given_both_and_reach_only_one_that_is_synced() -> None:
    objects = render(two())
    assert "--beacon-rpc-provider=beacon-service:4000,beacon-2-service:4000" in args(objects, "validator1")
    assert [
        objects["Service", f"{name}-service"]["spec"]["publishNotReadyAddresses"] for name in ("beacon", "beacon-2")
    ] == [False, False]
    assert render()["Service", "beacon-service"]["spec"]["publishNotReadyAddresses"] is True
    for name in ("beacon", "beacon-2"):
        labels = objects["StatefulSet", name]["spec"]["template"]["metadata"]["labels"]
        for selector in (
            objects["NetworkPolicy", "eth2prysm-validators"]["spec"]["egress"][1]["to"][0]["podSelector"],
            objects["NetworkPolicy", "eth2prysm-beacon"]["spec"]["podSelector"],
            objects["PodDisruptionBudget", "eth2prysm-beacons"]["spec"]["selector"],
        ):
            assert selector["matchLabels"].items() <= labels.items()
    opened = objects["NetworkPolicy", "eth2prysm-beacon"]["spec"]["ingress"][0]["ports"]
    assert {(one["protocol"], one["port"]) for one in opened} == {
        ("TCP", 13000), ("UDP", 12000), ("UDP", 13000), ("TCP", 13001), ("UDP", 12001), ("UDP", 13001), ("TCP", 8080),
    }  # fmt: skip


def test_a_client_finds_them_without_the_clusters_dns() -> None:
    objects = render(two())
    spec = pod(objects, "validator1")
    (first,), (second,) = spec["initContainers"], spec["containers"]
    assert {"name": "GUARD_HOSTS", "value": "beacon-service beacon-2-service"} in first["env"]
    hosts = {"name": "guard-bin", "mountPath": "/etc/hosts", "subPath": "hosts", "readOnly": True}
    assert hosts in second["volumeMounts"]
    assert hosts not in pod(objects, "beacon")["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (two(name="beacon"), "two beacon nodes are named beacon"),
        (two(name="validator1"), "validators.validator1 has the beacon's name"),
        (two(name="Beacon"), "additionalBeacons"),
        (two(dataVolumePath="/data/prysm/beacon"), "are both /data/prysm/beacon"),
        (two(dataVolumePath="/data/prysm/validator1/b"), "one lies below the other"),
        (two(p2pTcpPort=13000), "additionalBeacons.0.p2pTcpPort is 13000/tcp, which beacon.p2pTcpPort has, too"),
        (two(p2pUdpPort=13000), "13000/udp, which beacon.p2pQuicPort has, too"),
        (two(web3Provider="http://127.0.0.1:8551"), "additionalBeacons.0.web3Provider leads to the pod"),
        (two(extraArgs=["--wallet-dir=/x"]), "additionalBeacons.0.extraArgs"),
        (two(unknown=1), "unknown"),
        ({"additionalBeacons": [{"dataVolumePath": "/b"}]}, "name"),
        ({**two(), "persistentVolumeType": "hostPath", "hostPath": {"node": "worker"}}, "never run on one node"),
        (
            {**two(), "persistentVolumeType": "existingClaim", "beacon": {"dataExistingClaim": "b"},
             "validators": {name: client(name, dataExistingClaim=f"{name}-d", walletExistingClaim=f"{name}-w")
                            for name in BASE["validators"]}},
            "beacon-2.dataExistingClaim is empty",
        ),
    ],
)  # fmt: skip
def test_beacon_nodes_in_each_others_way_are_refused(more: dict[str, t.Any], reason: str) -> None:
    assert reason in refusal(more)
