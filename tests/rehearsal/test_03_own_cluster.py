"""A cluster that is there already, used from outside: a kubeconfig, a storage class, and SSH to no machine.

The cluster is the lab's own, built without Prysm. Its storage class is made of volumes that both nodes can mount, and
what docs/own_cluster.md leaves to the operator (claims, wallets) is done here as an operator would. About 15 minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from lab import ROOT
from lab.layout import GATEWAY

from .conftest import Lab, Play, validators

pytestmark = pytest.mark.by_hand
MACHINES = ("-i", "inventory/testnet", "-i", "inventory/lab")
CLIENTS = ("validator1", "validator2")
SENTENCE = "the volumes of this class are on the NFS server of the lab, and nobody forces a pod"
OWN = "/data/prysm/own"


class Own:
    """The inventory of somebody whose cluster somebody else keeps."""

    def __init__(self, lab: Lab, folder: Path, kubeconfig: Path) -> None:
        self.lab, self.folder, self.kubeconfig = lab, folder, kubeconfig
        here = folder / "group_vars/all"
        here.mkdir(parents=True)
        (folder / "hosts.yml").write_text("site: {}\n")
        (here / "vault.yml").symlink_to(ROOT / "inventory/testnet/group_vars/all/vault.yml")
        self.write()

    def write(self, **more: t.Any) -> None:
        site = {
            "prysm_kubeconfig": str(self.kubeconfig),
            "prysm_context": "outside",
            # Beside the inventory: Ansible reads every file in it.
            "site_run_path": str(self.kubeconfig.parent / "state/run.json"),
            "prysm_helm_chart_dir": str(self.kubeconfig.parent / "charts"),
            "prysm_helm_values": {
                "persistentVolumeType": "storageClass",
                "storageClass": {"name": "own"},
                "validators": {name: {"walletExistingClaim": f"{name}-own-wallet"} for name in CLIENTS},
            },
            "prysm_validators": validators(),
            **more,
        }
        (self.folder / "group_vars/all/own.yml").write_text(yaml.safe_dump(site))

    def play(self, name: str, *words: str, check: bool = True) -> Play:
        return self.lab.play(
            name, "-i", "inventory/own_cluster", "-i", "inventory/lab", "-i", str(self.folder), *words, check=check
        )


def volume(name: str, server: str) -> dict[str, t.Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"own-{name}"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "250Gi" if name == "beacon" else "2Gi"},
            "storageClassName": "own",
            "persistentVolumeReclaimPolicy": "Retain",
            "mountOptions": ["nfsvers=4.2", "hard", "proto=tcp"],
            "nfs": {"server": server, "path": f"{OWN}/{name}"},
        },
    }


def wallet_claim(client: str) -> dict[str, t.Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{client}-own-wallet", "namespace": "prysm"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
            "storageClassName": "own",
            "volumeName": f"own-{client}-wallet",
        },
    }


@pytest.fixture(scope="module")
def own(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Own]:
    with pytest.MonkeyPatch.context() as patch:
        helm = subprocess.run(
            [sys.executable, "-m", "lab.kubernetes"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        binaries = tmp_path_factory.mktemp("bin")
        (binaries / "helm").symlink_to(helm)
        patch.setenv("PATH", str(binaries), prepend=":")
        kubeconfig = tmp_path_factory.mktemp("kube") / "config"
        yield Own(lab, tmp_path_factory.mktemp("own"), kubeconfig)


def test_the_cluster_is_somebody_else_s(lab: Lab, own: Own) -> None:
    """Machines and cluster, and nothing of Prysm; the kubeconfig is all that leaves it."""
    outside = json.dumps({"firewall_admin_networks": [f"{GATEWAY}/32"]})
    lab.play("site.yml", *MACHINES, "-e", outside, "--tags", "base,timesync,firewall,nfs_server,microk8s", timeout=3600)
    found = yaml.safe_load(lab.on("master", "sudo cat /var/snap/microk8s/current/credentials/client.config"))
    address = lab.kubectl("get node master")["status"]["addresses"][0]["address"]
    found["clusters"][0]["cluster"]["server"] = f"https://{address}:16443"
    found["contexts"][0]["name"] = "outside"
    found["current-context"] = ""
    own.kubeconfig.write_text(yaml.safe_dump(found))
    own.kubeconfig.chmod(0o600)


def test_its_storage_class_has_volumes_and_the_wallets_are_filled(lab: Lab, own: Own) -> None:
    server = "172.20.10.10"
    names = ["beacon", *(f"{client}-{what}" for client in CLIENTS for what in ("data", "wallet"))]
    made = " ".join(f"{OWN}/{name}" for name in names)
    # A node's root is nobody on the server, and has to get past this one.
    lab.on("nfs", f"sudo install -d -m 0711 -o 1001 -g 2000 {OWN} && sudo install -d -m 0700 -o 1001 -g 2000 {made}")
    site = {entry["name"]: entry for entry in validators()}
    for client in CLIENTS:
        wanted = {
            "wallet_dir": f"{OWN}/{client}-wallet",
            "wallet_password": f"{{{{ vault_{client}_wallet_password }}}}",
            "keystore_password": f"{{{{ vault_{client}_keystore_password }}}}",
            "keystore_contents": [
                {"name": Path(path).name, "content": Path(path).read_text()} for path in site[client]["keystores"]
            ],
            "owner": "1001",
            "group": "2000",
        }
        done = lab.command(
            "exec", "--", "ansible", "nfs", *MACHINES, "-b", "-m", "eth2xk8s.staking.prysm_wallet_import",
            "-a", json.dumps(wanted),
        )  # fmt: skip
        assert "CHANGED" in done.stdout
    objects: list[dict[str, t.Any]] = [
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "own"},
         "provisioner": "kubernetes.io/no-provisioner"},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prysm"}},
        *(volume(name, server) for name in names),
        *(wallet_claim(client) for client in CLIENTS),
    ]  # fmt: skip
    # Data volumes are taken by any claim of the class that fits, so a wallet's are bound by name first.
    for one in objects:
        if one["kind"] == "PersistentVolume" and one["metadata"]["name"].endswith("-wallet"):
            client = one["metadata"]["name"].removeprefix("own-").removesuffix("-wallet")
            one["spec"]["claimRef"] = {"namespace": "prysm", "name": f"{client}-own-wallet"}
        text = json.dumps(one)
        lab.on("master", f"echo '{text}' | sudo /snap/bin/microk8s kubectl apply -f -")


def test_nothing_starts_before_the_operator_says_why_that_will_do(own: Own) -> None:
    done = own.play("site.yml", check=False)
    assert done.failed
    assert "prysm_helm_no_storage_proofs_because" in done.said
    own.write(prysm_helm_no_storage_proofs_because=SENTENCE)


def test_the_site_is_installed_from_outside(lab: Lab, own: Own) -> None:
    done = own.play("site.yml")
    assert SENTENCE in done.said
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)
    claims = {claim["metadata"]["name"]: claim["spec"] for claim in lab.kubectl("get pvc -n prysm")["items"]}
    assert {claims[f"{client}-data"]["storageClassName"] for client in CLIENTS} == {"own"}


def test_a_second_run_changes_nothing(own: Own) -> None:
    assert set(own.play("site.yml").changed.values()) <= {0}


def test_the_status_says_what_is_not_proved(own: Own) -> None:
    said = own.play("playbooks/status.yml").said
    assert SENTENCE in said
    assert "validator1: performs its duties, v1.3.3" in said


def test_a_drain_moves_what_runs_on_a_node(lab: Lab, own: Own) -> None:
    where = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in lab.kubectl("get pods -n prysm")["items"]}
    node = where["validator1-0"]
    own.play("playbooks/drain.yml", "-e", f"node={node}")
    assert {pod["spec"]["nodeName"] for pod in lab.kubectl("get pods -n prysm")["items"]} == {"master", "worker"} - {
        node
    }
    lab.all_sign_on(seconds=90)
    own.play("playbooks/drain.yml", "-e", f"node={node}", "-e", "node_state=uncordoned")


def test_an_upgrade_and_the_way_back(lab: Lab, own: Own) -> None:
    own.play("upgrade.yml", "-e", "prysm_version=v1.3.4")
    lab.all_sign_on(seconds=90)
    own.play("playbooks/rollback.yml", "-e", "prysm_version=v1.3.3")
    lab.all_sign_on(seconds=90)


def test_what_the_cluster_cannot_do_is_refused(own: Own) -> None:
    for name, words in (
        ("cluster_upgrade", ["-e", "microk8s_channel=1.36/stable"]),
        ("leave_node", ["-e", "leave_node=worker"]),
    ):
        done = own.play(f"playbooks/{name}.yml", *words, check=False)
        assert done.failed, name
        assert "use what that cluster comes with" in done.said, done.output[-2000:]


def test_uninstall_leaves_the_claims_and_the_same_site_comes_back(lab: Lab, own: Own) -> None:
    own.play("playbooks/uninstall.yml", "-e", "prysm_uninstall=eth2prysm")
    claims = {claim["metadata"]["name"] for claim in lab.kubectl("get pvc -n prysm")["items"]}
    assert {f"{client}-{what}" for client in CLIENTS for what in ("data", "own-wallet")} <= claims
    own.play("site.yml")
    lab.all_sign_on(seconds=90)
