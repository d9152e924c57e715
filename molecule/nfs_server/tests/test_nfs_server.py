"""The fence between two signers, tried with locks: on one node, from the other, across a restart and a power cut."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVER = "172.20.10.10"
EXPORT = "/data/prysm/validator1"
FILE = "/mnt/fence/validator.db"
OPTIONS = "vers=4.2,hard,timeo=50"
POD = "setpriv --reuid 1001 --regid 2000 --clear-groups"
testinfra_hosts = ["ansible://nfs-server"]

# Holds the lock, and writes ten numbers a second, each to the disk: no write may be lost.
HOLDER = f"""
import fcntl, itertools, os, time
with open("{FILE}", "a+") as db:
    fcntl.flock(db, fcntl.LOCK_EX)
    for number in itertools.count():
        print(number, file=db, flush=True)
        os.fsync(db.fileno())
        time.sleep(0.1)
"""
# Asks for the lock all the time, as a contender does: this is what makes a server with delegations forget whose it is.
# And waits for it, as the pod of a second validator does.
ASKER = f"""
import fcntl, pathlib, threading, time
def ask(how):
    while True:
        try:
            with open("{FILE}", "r+") as db:
                fcntl.flock(db, how)
                pathlib.Path("{FILE}.taken").touch()
        except OSError:
            pass
        time.sleep(0.5)
threading.Thread(target=ask, args=[fcntl.LOCK_EX]).start()
ask(fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


def soon(true: t.Callable[[], bool], seconds: float) -> bool:
    """Whether something becomes true before long."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def start(machine: t.Any, name: str, code: str) -> None:
    """Run a program on a machine as the pods' user."""
    text = base64.b64encode(code.encode()).decode()
    machine.check_output(f"echo {text} | base64 -d > /var/tmp/{name}.py")
    # The one before may still wait for a server that was away; its unit goes when its last process does.
    machine.run(f"systemctl kill --signal=SIGKILL {name}; systemctl reset-failed {name}")
    assert soon(lambda: machine.run(f"systemctl is-active {name}").stdout.strip() == "inactive", 90)
    machine.check_output(f"systemd-run --collect --unit={name} {POD} python3 /var/tmp/{name}.py")


@pytest.fixture(scope="module")
def machines(machine: t.Any) -> dict[str, t.Any]:
    return {name: machine(name) for name in ("nfs-server", "master", "worker")}


def test_no_client_asks_for_delegations_of_directories(machines: dict[str, t.Any]) -> None:
    """With them, a squashed root's first look at a mounted directory is refused (Linux 6.19 and later)."""
    for name in ("master", "worker"):
        assert machines[name].check_output("cat /sys/module/nfsv4/parameters/directory_delegations") == "N"


@pytest.fixture(scope="module")
def mounted(machines: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    for name in ("master", "worker"):
        machines[name].check_output("mkdir -p /mnt/fence")
        machines[name].check_output(f"mount -t nfs -o {OPTIONS} {SERVER}:{EXPORT} /mnt/fence")
    yield machines
    for name in ("master", "worker"):
        machines[name].run("systemctl stop holder asker; umount -f -l /mnt/fence")


@pytest.fixture()
def held(mounted: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    master, worker = mounted["master"], mounted["worker"]
    master.check_output(f"{POD} rm -f {FILE} {FILE}.taken")
    start(master, "holder", HOLDER)
    assert goes_on(mounted, 0, 30)
    start(worker, "asker", ASKER)
    time.sleep(2)
    yield mounted
    master.run("systemctl stop holder")
    worker.run("systemctl stop asker")


def states(machines: dict[str, t.Any]) -> list[tuple[str, str]]:
    """Client and type of each state of the file, told by its number: a restarted server knows no name for it."""
    info = machines["nfs-server"].ansible("eth2xk8s.staking.nfs_server_info", check=False)
    inode = machines["nfs-server"].check_output(f"stat -c %i {EXPORT}/validator.db")
    return [
        (client["address"], state["type"])
        for client in info["clients"]
        for state in client["states"]
        if state["superblock"].endswith(f":{inode}")
    ]


def written(machines: dict[str, t.Any]) -> list[int]:
    return [int(line) for line in machines["nfs-server"].check_output(f"cat {EXPORT}/validator.db").splitlines()]


def converge_again(**variables: t.Any) -> None:
    """Run the role once more on the server, with other variables."""
    inventories = ["-i", str(ROOT / "inventory/testnet"), "-i", str(ROOT / "inventory/lab")]
    play = str(ROOT / "molecule/nfs_server/converge.yml")
    options = ["--limit", "nfs-server", "-e", json.dumps(variables)]
    subprocess.run(["ansible-playbook", *inventories, *options, play], cwd=ROOT, check=True)


def goes_on(machines: dict[str, t.Any], before: int, seconds: float) -> bool:
    """Whether the holder has written twenty more numbers before long; the server may be away meanwhile."""

    def more() -> bool:
        try:
            return len(written(machines)) > before + 20
        except (AssertionError, RuntimeError):  # no file yet; no server just now
            return False

    return soon(more, seconds)


def fence_holds(machines: dict[str, t.Any]) -> None:
    found = states(machines)
    assert ("172.20.10.11", "lock") in found
    assert not [state for state in found if state[1] == "deleg"]
    assert not machines["nfs-server"].file(f"{EXPORT}/validator.db.taken").exists
    numbers = written(machines)
    assert numbers == list(range(len(numbers)))


def test_the_pods_user_writes_and_nobody_else(mounted: dict[str, t.Any]) -> None:
    master = mounted["master"]
    assert master.run(f"{POD} touch /mnt/fence/mine").rc == 0
    assert master.run("setpriv --reuid 1002 --regid 2000 --clear-groups ls /mnt/fence").rc != 0
    assert master.run("ls /mnt/fence").rc != 0, "root on a node is nobody"
    assert mounted["worker"].run(f"{POD} ls /mnt/fence").stdout.split() == ["mine"]
    master.check_output(f"{POD} rm /mnt/fence/mine")


def test_a_machine_that_is_no_node_is_refused(machines: dict[str, t.Any]) -> None:
    tried = machines["nfs-server"].run(f"mkdir -p /mnt/no; mount -t nfs -o {OPTIONS},retry=0 {SERVER}:{EXPORT} /mnt/no")
    assert tried.rc != 0
    assert "denied" in tried.stderr or "No such file" in tried.stderr


def test_only_version_4_is_served(machines: dict[str, t.Any]) -> None:
    worker, nfs = machines["worker"], machines["nfs-server"]
    assert worker.run(
        f"mkdir -p /mnt/v3; timeout 60 mount -t nfs -o vers=3,nolock,retry=0 {SERVER}:{EXPORT} /mnt/v3"
    ).rc
    assert not nfs.socket("tcp://0.0.0.0:111").is_listening
    assert not worker.socket("tcp://0.0.0.0:111").is_listening


def test_a_lock_is_seen_from_the_other_node_and_by_the_server(held: dict[str, t.Any]) -> None:
    assert held["worker"].run(f"{POD} flock -n {FILE} true").rc == 1
    fence_holds(held)


def test_a_change_of_exports_loses_no_write_and_no_lock(held: dict[str, t.Any]) -> None:
    before = len(written(held))
    converge_again(nfs_server_clients=["172.20.10.11", "172.20.10.12", "172.20.10.13"])
    assert "172.20.10.13" in held["nfs-server"].check_output("exportfs -s")
    assert goes_on(held, before, 20)
    converge_again()
    assert "172.20.10.13" not in held["nfs-server"].check_output("exportfs -s")
    assert goes_on(held, before + 20, 20)
    fence_holds(held)


def test_a_restart_of_the_server_loses_no_write_and_no_lock(held: dict[str, t.Any]) -> None:
    """The role restarts a server whose settings are not those that are wanted."""
    converge_again(nfs_server_threads=6)
    assert held["nfs-server"].check_output("cat /proc/fs/nfsd/threads") == "6"
    assert goes_on(held, len(written(held)), 90)
    fence_holds(held)


def test_a_power_cut_of_the_server_loses_no_write_and_no_lock(held: dict[str, t.Any]) -> None:
    before = len(written(held))
    subprocess.run(["lab", "fault", "power-cut", "nfs"], check=True)
    time.sleep(5)
    subprocess.run(["lab", "fault", "power-on", "nfs"], check=True)
    assert goes_on(held, before, 180)
    fence_holds(held)


def test_a_node_that_dies_loses_the_lock_soon(held: dict[str, t.Any]) -> None:
    subprocess.run(["lab", "fault", "freeze", "master"], check=True)
    try:
        assert soon(lambda: bool(held["nfs-server"].file(f"{EXPORT}/validator.db.taken").exists), 40), "lease 15 s"
    finally:
        subprocess.run(["lab", "fault", "thaw", "master"], check=True)
    # It has come back without its lock, and knows: its writer has been told so by an error.
    assert soon(lambda: held["master"].run("systemctl is-active holder").stdout.strip() != "active", 30)
