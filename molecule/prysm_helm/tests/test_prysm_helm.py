"""What the role promises, read from the cluster, the nodes and the NFS server themselves."""

from __future__ import annotations

import json
import typing as t

import pytest

MASTER = "ansible://master"
KUBECTL = "/snap/bin/microk8s kubectl"
WORKLOADS = ["beacon", "validator1", "validator2"]
testinfra_hosts = [MASTER]


@pytest.fixture(scope="module")
def nfs(machine: t.Any) -> t.Any:
    return machine("nfs-server")


def answer(host: t.Any, command: str) -> t.Any:
    return json.loads(host.check_output(f"{KUBECTL} {command} -o json"))


@pytest.mark.parametrize("name", WORKLOADS)
def test_one_pod_runs_and_moves_only_when_told(host: t.Any, name: str) -> None:
    spec = answer(host, f"-n prysm get statefulset {name}")["spec"]
    assert (spec["replicas"], spec["updateStrategy"]["type"]) == (1, "OnDelete")
    pods = answer(host, f"-n prysm get pods -l app={name}")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Running"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_process_is_nobody_special(host: t.Any, machine: t.Any, name: str) -> None:
    node = answer(host, f"-n prysm get pod {name}-0")["spec"]["nodeName"]
    on = machine(node)
    program = "beacon-chain" if name == "beacon" else "validator"
    owners = on.check_output(f"ps -C {program} -o uid=,gid= | sort -u").split()
    assert owners == ["1001", "2000"]


def test_volumes_are_mounted_so_that_the_server_keeps_the_locks(machine: t.Any) -> None:
    for node in ("master", "worker"):
        on = machine(node)
        mounts = [line for line in on.file("/proc/mounts").content_string.splitlines() if ":/data/prysm" in line]
        for line in mounts:
            options = line.split()[3].split(",")
            assert line.split()[2] == "nfs4"
            assert {"vers=4.2", "hard", "local_lock=none", "timeo=50"} <= set(options)


def test_each_database_is_locked_on_the_server(nfs: t.Any) -> None:
    states = nfs.check_output("cat /proc/fs/nfsd/clients/*/states").splitlines()
    for name in ("validator1", "validator2"):
        assert any("type: lock" in line and f"{name}/validator.db" in line for line in states)


def test_wallets_keep_their_mode_although_the_pod_has_a_group(nfs: t.Any) -> None:
    for name in ("validator1", "validator2"):
        wallet = nfs.file(f"/data/prysm/wallet-{name}/direct/accounts/all-accounts.keystore.json")
        assert (wallet.mode, wallet.uid, wallet.gid) == (0o600, 1001, 2000)


def test_history_is_marked_and_recorded(nfs: t.Any) -> None:
    for name in ("validator1", "validator2"):
        assert nfs.file(f"/data/prysm/{name}/.validator-db-expected").exists
    record = nfs.file("/data/prysm/.history/record.json")
    assert (record.mode, record.user) == (0o600, "root")


def test_no_password_is_in_the_release_or_a_pod(host: t.Any, nfs: t.Any) -> None:
    secret = answer(host, "-n prysm get secret wallet-password-validator1")["data"]["password"]
    password = host.check_output(f"echo {secret} | base64 -d")
    said = host.check_output(
        f"/snap/bin/microk8s helm3 get all -n prysm eth2prysm; {KUBECTL} -n prysm get pods -o yaml"
    )
    assert password not in said


def test_a_validator_without_its_history_is_refused(host: t.Any, nfs: t.Any) -> None:
    """P2: the database is gone, and the pod says why it does not start; brought back, it starts."""
    host.check_output(f"{KUBECTL} -n prysm scale statefulset validator2 --replicas=0")
    host.check_output(f"{KUBECTL} -n prysm wait --for=delete pod/validator2-0 --timeout=120s")
    nfs.check_output("mv /data/prysm/validator2/validator.db /root/validator2.db")
    try:
        host.check_output(f"{KUBECTL} -n prysm scale statefulset validator2 --replicas=1")
        # In one look: its container is started again, and a second one may find nothing said yet.
        said = host.check_output(
            f"for i in $(seq 60); do said=$({KUBECTL} -n prysm logs validator2-0 -c guard 2>&1);"
            ' case "$said" in *REFUSED*) echo "$said"; exit 0;; esac; sleep 1; done; exit 1'
        )
        assert "these keys have signed before" in said
        assert not nfs.file("/data/prysm/validator2/validator.db").exists
    finally:
        nfs.check_output("mv /root/validator2.db /data/prysm/validator2/validator.db")
        host.check_output(f"{KUBECTL} -n prysm delete pod validator2-0 --wait=true")
    host.check_output(f"{KUBECTL} -n prysm wait --for=condition=Ready pod/validator2-0 --timeout=120s")
