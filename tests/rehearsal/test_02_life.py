"""Upgrade, rollback (also across the schema change), drain and uninstall, on the chain that old releases follow."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from .conftest import Lab

KEYS = 4
OLDEST = ("-e", "prysm_version=v1.2.2")  # what an operator would now have in the inventory


def running_versions(lab: Lab) -> set[str]:
    """The image tags of the site's pods that run."""
    pods = lab.kubectl("get pods -n prysm")["items"]
    return {container["image"].rpartition(":")[2] for pod in pods for container in pod["spec"]["containers"]}


def uids(lab: Lab) -> dict[str, str]:
    """Pod -> its identity, which a new pod of that name does not have."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in lab.kubectl("get pods -n prysm")["items"]}


def revisions(lab: Lab) -> list[int]:
    """The release's, as `helm history` has them."""
    found = lab.kubectl("get secrets -n prysm -l owner=helm,name=eth2prysm")["items"]
    return [int(one["metadata"]["labels"]["version"]) for one in found]


def pods(lab: Lab) -> dict[str, str]:
    """Pod -> node."""
    return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in lab.kubectl("get pods -n prysm")["items"]}


def test_a_site_of_the_tutorials_time(lab: Lab) -> None:
    lab.play("site.yml")
    assert running_versions(lab) == {"v1.3.3"}
    lab.wait("four keys have attested", lambda: len(lab.attested()) == KEYS, seconds=90)


def test_a_version_that_cannot_follow_the_network_is_refused_with_the_reason(lab: Lab) -> None:
    """The command of the tutorial, on the public testnet: nothing is touched."""
    before = lab.kubectl("get pods -n prysm")
    play = lab.play("upgrade.yml", "-i", "inventory/testnet", "-e", "prysm_version=v1.3.4", check=False)
    assert play.failed
    assert "v1.3.4" in play.output
    assert "hoodi" in play.output
    after = lab.kubectl("get pods -n prysm")
    assert [p["metadata"]["uid"] for p in after["items"]] == [p["metadata"]["uid"] for p in before["items"]]
    assert set(play.changed.values()) <= {0}


def test_upgrade(lab: Lab) -> None:
    lab.play("upgrade.yml", "-e", "prysm_version=v1.3.4")
    assert running_versions(lab) == {"v1.3.4"}
    lab.all_sign_on()


def test_an_upgrade_to_a_release_that_does_not_exist_leaves_the_site_signing(lab: Lab) -> None:
    play = lab.play("upgrade.yml", "-e", "prysm_version=v1.3.99", check=False)
    assert play.failed
    assert "v1.3.99" in play.output
    assert running_versions(lab) == {"v1.3.4"}
    lab.all_sign_on()


def test_rollback(lab: Lab) -> None:
    lab.play("playbooks/rollback.yml", "-e", "prysm_version=v1.3.3")
    assert running_versions(lab) == {"v1.3.3"}
    lab.all_sign_on()


def test_an_upgrade_to_a_beacon_node_of_no_use_undoes_itself(lab: Lab) -> None:
    """The new version never gets in sync, so no validator performs its duties until the old one is there."""
    before = uids(lab)
    lab.beacons_show(syncing=True, only="v1.3.4")
    done = lab.play("upgrade.yml", "-e", "prysm_version=v1.3.4", check=False)
    assert done.failed
    assert "The upgrade was undone: v1.3.3 runs again" in done.said
    assert "The beacon node is not healthy after" in done.said
    assert running_versions(lab) == {"v1.3.3"}
    after = uids(lab)
    assert {name for name in after if after[name] != before[name]} == {"beacon-0"}, "no client was touched"
    lab.all_sign_on()


def test_a_beacon_node_that_broke_is_put_back_by_a_person(lab: Lab) -> None:
    left = lab.play("upgrade.yml", "-e", "prysm_version=v1.3.4", "-e", "prysm_helm_undo_upgrade=false",
                    "-e", "prysm_helm_beacon_timeout=45", check=False)  # fmt: skip
    assert left.failed
    assert "prysm_helm_beacon_timeout" in left.said
    assert running_versions(lab) == {"v1.3.3", "v1.3.4"}
    refused = lab.play("playbooks/rollback.yml", "-e", "revision=99", check=False)
    assert "Helm has no revision 99" in refused.said
    lab.play("playbooks/rollback.yml", "-e", f"revision={max(revisions(lab)) - 1}")
    assert running_versions(lab) == {"v1.3.3"}
    lab.all_sign_on()
    lab.beacons_show(syncing=False, only="")


def arguments(lab: Lab) -> str:
    """What the beacon node was started with."""
    return str(lab.kubectl("get pod -n prysm beacon-0")["spec"]["containers"][0])


@pytest.mark.by_hand
def test_an_argument_for_an_emergency(lab: Lab) -> None:
    """Asked of the program itself, given, reported while it stays, and taken off again."""
    flag = ("playbooks/flag.yml", "-e", "prysm_emergency_on=beacon", "-e")
    before = pods(lab)
    play = lab.play(*flag, "prysm_emergency_flag=--no-such-flag", check=False)
    assert play.failed and "not defined: -no-such-flag" in play.said
    assert pods(lab) == before
    lab.play(*flag, "prysm_emergency_flag=--enable-larger-gossip-history")
    assert "--enable-larger-gossip-history" in arguments(lab)
    status = lab.play("playbooks/status.yml", check=False)
    assert status.failed and "--enable-larger-gossip-history" in status.output
    lab.play("playbooks/status.yml", "-e", "status_fail=false")
    lab.play(*flag, "prysm_emergency_flag=none")
    assert "--enable-larger-gossip-history" not in arguments(lab)
    lab.all_sign_on()


def test_rollback_across_the_schema_change(lab: Lab) -> None:
    """v1.3.0 changed validator.db: what v1.2.2 finds must still hold every signature (the judge knows)."""
    lab.play("playbooks/rollback.yml", *OLDEST)
    assert running_versions(lab) == {"v1.2.2"}
    lab.all_sign_on()


def test_drain(lab: Lab) -> None:
    """A node is emptied; its validators move one at a time and sign on from the other."""
    lab.play("playbooks/drain.yml", *OLDEST, "-e", "node=worker")
    assert "worker" not in pods(lab).values()
    lab.all_sign_on()
    assert lab.kubectl("get node worker")["spec"].get("unschedulable") is True


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifests") / "site.yaml"


def test_the_release_as_plain_manifests(lab: Lab, manifests: Path) -> None:
    lab.play("playbooks/manifests.yml", *OLDEST, "-e", f"manifests_file={manifests}")
    text = manifests.read_text()
    assert text.count("kind: StatefulSet") == 3 and "kind: Secret" not in text
    assert "wallet-password-validator1: password" in text


def test_uninstall_silences_and_keeps_what_must_be_kept(lab: Lab) -> None:
    kept = "find /data/prysm -name all-accounts.keystore.json -o -name validator.db | sort"
    before = lab.on("nfs", kept)
    assert before.count("validator.db") == 2
    lab.play("playbooks/uninstall.yml", *OLDEST, "-e", "prysm_uninstall=eth2prysm")
    assert pods(lab) == {}
    silent = lab.attested()
    lab.on("nfs", "sleep 20")
    assert lab.attested() == silent
    assert lab.on("nfs", kept) == before


def test_plain_manifests_bring_it_back(lab: Lab, manifests: Path) -> None:
    """The tutorial's other way: kubectl, and no Helm. The guard in each pod finds directories and histories its own."""
    packed = base64.b64encode(gzip.compress(manifests.read_bytes())).decode()
    lab.on("master", f"echo {packed} | base64 -d | gunzip | /snap/bin/microk8s kubectl apply -n prysm -f -")
    lab.all_sign_on(seconds=240)
