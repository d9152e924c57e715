"""What allows a second pod of a validator client: the lock on the NFS server is proved to be a fence."""

from __future__ import annotations

import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.modules import storage_fence
from tests.unit.plugins.keys_support import run_module

ROOT = Path(__file__).parents[4]
NFS = "172.20.10.10"
OPTIONS = "rw,relatime,vers=4.2,hard,proto=tcp,timeo=50,sec=sys,local_lock=none,addr=172.20.10.10"
SERVER: dict[str, t.Any] = {
    "running": True,
    "versions": ["4", "4.1", "4.2"],
    "lease_seconds": 15,
    "grace_seconds": 15,
    "delegations": False,
    "problems": [],
}
SETTINGS = {"/proc/cmdline": "root=/dev/vda quiet\n", "/sys/module/nfs/parameters/recover_lost_locks": "N\n"}


def mounts(options: str = OPTIONS, kind: str = "nfs4", source: str = f"{NFS}:/data/prysm/validator1") -> str:
    return f"/dev/vda / ext4 rw 0 0\n{source} /var/lib/kubelet/pods/x {kind} {options} 0 0\n"


def node(name: str = "master", **more: t.Any) -> dict[str, t.Any]:
    given = {"mounts": mounts(), "settings": SETTINGS, **more}
    read = {} if given["mounts"] is None else {"/proc/mounts": given["mounts"]}
    return {"name": name, "texts": {**(given["settings"] or {}), **read}}


def judged(server: t.Any = None, nodes: t.Any = None, **more: t.Any) -> list[str]:
    given = {
        "server": SERVER if server is None else server,
        "nodes": [node(), node("worker")] if nodes is None else nodes,
        "addresses": [NFS],
        **more,
    }
    done = run_module(storage_fence, **given)
    assert done["proved"] is (not done["reasons"])
    return done["reasons"]


def test_a_server_and_nodes_as_the_roles_make_them_are_a_fence() -> None:
    assert judged() == []
    assert judged(nodes=[node(mounts=""), node("worker", mounts="")]) == [], "each start looks at its own mount"
    assert judged(nodes=[node(mounts=mounts("rw,vers=3,soft", "nfs", "10.0.0.1:/x")), node("worker")]) == [], (
        "another's"
    )


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({}, "does not run"),
        ({"running": False}, "does not run"),
        ({"versions": ["3", "4", "4.1"]}, "serves version 3"),
        ({"versions": ["4", "4.0", "4.2"]}, "serves version 4.0"),
        ({"versions": ["4"]}, "neither version 4.1 nor 4.2"),
        ({"versions": []}, "neither version 4.1 nor 4.2"),
        ({"delegations": True}, "fs.leases-enable"),
        ({"delegations": None}, "fs.leases-enable"),
        ({"lease_seconds": 0}, "lease of the NFS server was not read"),
        ({"grace_seconds": 10}, "shorter than its lease"),
        ({"problems": ["172.20.10.11 holds a delegation on x"]}, "holds a delegation"),
    ],
)
def test_a_server_that_is_no_fence(server: dict[str, t.Any], reason: str) -> None:
    given = {} if not server else {**SERVER, **server}
    if given.get("delegations", 0) is None:
        del given["delegations"]
    assert any(reason in words for words in judged(given))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"mounts": None}, "mounts of worker were not read"),
        ({"settings": None}, "recover_lost_locks) was not read"),
        ({"settings": {}}, "recover_lost_locks) was not read"),
        ({"settings": {**SETTINGS, "/sys/module/nfs/parameters/recover_lost_locks": "Y\n"}}, "takes lost locks back"),
        ({"settings": {"/proc/cmdline": "quiet nfs.recover_lost_locks=1 x\n"}}, "takes lost locks back"),
        ({"settings": {"/etc/modprobe.d/a.conf": "options nfs recover_lost_locks=Y\n"}}, "takes lost locks back"),
        ({"mounts": mounts(OPTIONS.replace("vers=4.2", "vers=4.0"))}, "mounted by NFS 4.0"),
        ({"mounts": mounts(OPTIONS.replace("vers=4.2", "vers=3"), "nfs")}, "mounted by NFS 3"),
        ({"mounts": mounts(OPTIONS.replace("vers=4.2,", ""))}, "an unknown version"),
        ({"mounts": mounts(OPTIONS.replace("local_lock=none", "local_lock=flock"))}, "local_lock=flock"),
        ({"mounts": mounts(OPTIONS.replace("local_lock=none,", ""))}, "local_lock=unknown"),
        ({"mounts": mounts(OPTIONS.replace("hard", "soft"))}, "not a hard mount"),
        ({"mounts": mounts(OPTIONS.replace("hard", "hard,soft"))}, "has the option soft"),
        ({"mounts": mounts(OPTIONS + ",nolock")}, "has the option nolock"),
        ({"mounts": mounts(OPTIONS.replace("hard", "soft"), source=f"[::ffff:{NFS}]:/data")}, "not a hard mount"),
    ],
)
def test_a_node_that_is_not_fenced(more: dict[str, t.Any], reason: str) -> None:
    assert any(reason in words for words in judged(nodes=[node(), node("worker", **more)]))


@pytest.mark.parametrize("nodes", [[], [node()], [node(), node()]])
def test_one_node_needs_no_standby(nodes: list[dict[str, t.Any]]) -> None:
    assert any("fewer than two nodes" in words for words in judged(nodes=nodes))


# ---- The probe.

LOST = "probe: locked\nprobe: wrote\nprobe: write refused: dd: fsync failed: Input/output error\n"
GOT = "probe: refused\nprobe: locked\n"


def probed(**more: t.Any) -> list[str]:
    told = {"first": "master", "second": "worker", "first_log": LOST, "second_log": GOT, "known": True, "expired": True}
    return judged(probe={**told, **more})


def test_a_lock_that_passes_and_leaves_the_loser_without_a_write_is_a_fence() -> None:
    assert probed() == []
    assert probed(first_log=LOST.replace("Input/output", "I/O")) == [], "as a busybox of musl says it"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"second": "master"}, "not tried from two nodes"),
        ({"second_log": "probe: locked\n"}, "got the lock while master held it"),
        ({"known": False}, "did not know of the lock"),
        ({"known": None}, "not tried to its end"),
        ({"second_log": "probe: refused\n"}, "did not get the lock"),
        ({"first_log": "probe: locked\nprobe: wrote\nprobe: wrote\n"}, "could still write"),
        ({"first_log": LOST + "probe: wrote\n"}, "could still write"),
        ({"first_log": "probe: locked\nprobe: write refused: No space left on device\n"}, "could still write"),
        ({"first_log": "probe: locked\n"}, "not tried to its end"),
        ({"first_log": ""}, "not tried to its end"),
        ({"second_log": ""}, "not tried to its end"),
        ({"expired": False}, "not tried to its end"),
    ],
)
def test_a_probe_that_proves_nothing(more: dict[str, t.Any], reason: str) -> None:
    assert any(reason in words for words in probed(**more))


def test_what_the_pods_of_the_probe_say(tmp_path: Path) -> None:
    """On this machine's own locks, which pass when their holder ends."""
    file = tmp_path / "lock"
    file.write_text("")

    def start(mode: str) -> subprocess.Popen[str]:
        words = ["/bin/sh", str(ROOT / "roles/prysm_helm/files/fence-probe.sh"), mode, str(file)]
        return subprocess.Popen(
            words, env={"PATH": "/usr/bin:/bin", "PROBE_NAP": "0.1"}, stdout=subprocess.PIPE, text=True
        )

    first = start("hold")
    assert first.stdout is not None and first.stdout.readline() == "probe: locked\n"
    second = start("want")
    assert second.stdout is not None and second.stdout.readline() == "probe: refused\n"
    time.sleep(0.5)
    assert second.poll() is None
    first.kill()
    said, _ = first.communicate(timeout=10)
    assert said.count("probe: wrote\n") >= 2
    rest, _ = second.communicate(timeout=10)
    assert rest == "probe: locked\n" and second.returncode == 0
    reasons = probed(first_log="probe: locked\n" + said, second_log="probe: refused\n" + rest, expired=True)
    assert reasons == ["master could still write after it had lost the lock"], "nobody was expired here"
