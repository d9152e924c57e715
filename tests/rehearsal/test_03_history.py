"""Less history than a key has: older copies, disks that are not there, rebuilt servers, older versions. All refused."""

from __future__ import annotations

import json
import shlex
import time
import typing as t

import pytest

from .conftest import Lab, Play

pytestmark = pytest.mark.by_hand
DATA = "/data/prysm"
FIRST = f"{DATA}/validator1"
DATABASE = f"{FIRST}/validator.db"
KUBECTL = "/snap/bin/microk8s kubectl -n prysm"
#: The server's own note of which data it exports.
MARK = "/var/lib/nfs/eth2xk8s-data-id"
SLOT = 2.0


def keys_of_first(lab: Lab) -> set[str]:
    """The keys of validator1."""
    wallet = json.loads(lab.on("nfs", f"cat {DATA}/wallet-validator1/key-manifest.json"))
    return set(wallet["pubkeys"])


def scale(lab: Lab, replicas: int) -> None:
    """As an operator would by hand, past every playbook."""
    lab.on("master", f"{KUBECTL} scale statefulset validator1 --replicas={replicas}")
    if not replicas:
        lab.wait("no pod of validator1 is left", lambda: pod(lab) is None, seconds=240)


def pod(lab: Lab) -> dict[str, t.Any] | None:
    """The pod of validator1."""
    found = lab.kubectl("get pods -n prysm -l app=validator1")["items"]
    return t.cast("dict[str, t.Any]", found[0]) if found else None


def refusal(lab: Lab) -> str:
    """What the guard of validator1's pod says against starting; empty when it says nothing."""
    status = (pod(lab) or {}).get("status", {})
    for entry in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        for state in (entry.get("state", {}), entry.get("lastState", {})):
            message = state.get("terminated", {}).get("message", "")
            if "REFUSED" in message:
                return t.cast("str", message)
    return ""


def hold(lab: Lab) -> str:
    """What the watcher of the histories holds validator1 back for."""
    return lab.on("nfs", f"cat {FIRST}/.validator-hold 2>/dev/null | grep ^history: || true")


def signs_no_more(lab: Lab, keys: set[str], seconds: float = 30) -> None:
    """None of these keys gets a new signature."""
    before = {key: n for key, n in lab.attested().items() if key in keys}
    time.sleep(seconds)
    assert {key: n for key, n in lab.attested().items() if key in keys} == before


def refused(play: Play, *words: str) -> None:
    """The run failed, and for this reason."""
    assert play.failed
    assert any(word in play.said for word in words), play.output[-3000:]


def put_back(lab: Lab, copy: str) -> None:
    """A copy takes the place of the database, as a restore by hand would do it."""
    lab.on("nfs", f"cp -p {copy} {DATABASE}.new && mv -T {DATABASE}.new {DATABASE}")


def test_the_site_is_built_and_its_record_knows_what_was_signed(lab: Lab) -> None:
    lab.play("site.yml")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=240)
    for place in (f"{DATA}/.history/record.json", "/var/lib/eth2xk8s/history/record.json"):
        record = json.loads(lab.on("nfs", f"cat {place}"))
        assert len(record["keys"]) == 4
        assert all(entry["target"] is not None for entry in record["keys"].values()), place
    copies = lab.kubectl("get configmaps -n prysm -l eth2xk8s.staking/history=true")["items"]
    assert copies


def test_an_older_copy_is_refused_by_the_pod_itself_and_by_the_playbook(lab: Lab) -> None:
    keys = keys_of_first(lab)
    lab.on("nfs", f"cp -p {DATABASE} /root/before.db")
    lab.all_sign_on(seconds=240)
    time.sleep(20 * SLOT)
    scale(lab, 0)
    lab.on("nfs", f"cp -p {DATABASE} /root/newest.db")
    put_back(lab, "/root/before.db")
    scale(lab, 1)
    lab.wait("the guard refuses", lambda: bool(refusal(lab)), seconds=240)
    signs_no_more(lab, keys)
    scale(lab, 0)
    refused(lab.play("site.yml", check=False), "older copy", "has signed more", "Slashing risk")
    put_back(lab, "/root/newest.db")
    lab.play("site.yml")
    lab.all_sign_on(seconds=240)


def test_an_older_copy_below_a_running_client_is_refused_at_its_restart(lab: Lab) -> None:
    """Renamed over while it runs; then the container ends and is started again by Kubernetes alone."""
    keys = keys_of_first(lab)
    there = pod(lab)
    assert there is not None
    node = there["spec"]["nodeName"]
    scale_free = lab.on("nfs", f"stat -c %i {DATABASE}")
    # Another name, and no copy: the client goes on with it, and signs until it is ended.
    lab.on("nfs", f"ln -f {DATABASE} /root/newest.db")
    put_back(lab, "/root/before.db")
    assert lab.on("nfs", f"stat -c %i {DATABASE}") != scale_free
    lab.on(node, "pkill -TERM -f -- '--datadir=/data/prysm/validator( |$)' || pkill -TERM validator")
    lab.wait("the guard refuses", lambda: bool(refusal(lab)), seconds=120)
    signs_no_more(lab, keys)
    scale(lab, 0)
    refused(lab.play("site.yml", check=False), "older copy", "has signed more", "Slashing risk", "history:")


def test_the_newest_database_brings_it_back(lab: Lab) -> None:
    put_back(lab, "/root/newest.db")
    lab.play("site.yml")
    lab.all_sign_on(seconds=240)


def test_a_client_that_is_still_there_keeps_a_second_one_out(lab: Lab) -> None:
    """Another database under the same name, and a new pod by force: the lock file is the same."""
    there = pod(lab)
    assert there is not None
    other = {"master": "worker", "worker": "master"}[there["spec"]["nodeName"]]
    lab.fault("freeze", there["spec"]["nodeName"]) if there["spec"]["nodeName"] == "worker" else None
    try:
        lab.on("master", f"{KUBECTL} delete pod validator1-0 --force --grace-period=0", check=False)
        time.sleep(40)
    finally:
        lab.fault("thaw", "worker")
    assert other
    lab.wait("both nodes are Ready", lambda: all(lab.nodes_ready().values()), seconds=120)
    lab.all_sign_on(seconds=240)


def stop_all(lab: Lab) -> None:
    """Both clients."""
    lab.on("master", f"{KUBECTL} scale statefulset validator1 validator2 --replicas=0")
    lab.wait(
        "no validator pod is left",
        lambda: not lab.kubectl("get pods -n prysm -l app.kubernetes.io/component=validator")["items"],
        seconds=90,
    )


def start_all(lab: Lab) -> None:
    """Both clients, by hand."""
    lab.on("master", f"{KUBECTL} scale statefulset validator1 validator2 --replicas=1")


@pytest.mark.parametrize("rebuilt", [False, True], ids=["disk-not-mounted", "server-rebuilt"])
def test_an_empty_data_disk_is_no_first_start(lab: Lab, rebuilt: bool) -> None:
    keys = set(lab.attested())
    stop_all(lab)
    lab.on("nfs", f"mkdir /root/away && mv {DATA}/* {DATA}/.[!.]* /root/away/")
    names = ("beacon", "validator1", "validator2", "wallet-validator1", "wallet-validator2")
    lab.on("nfs", f"cd {DATA} && mkdir {' '.join(names)} && chown 1001:2000 {' '.join(names)} && chmod 700 *")
    if rebuilt:
        lab.on("nfs", f"mkdir /root/away-root && mv /var/lib/eth2xk8s {MARK} /root/away-root/")
    start_all(lab)
    lab.wait(
        "the guard refuses, or the watcher has put it on hold", lambda: bool(refusal(lab) or hold(lab)), seconds=120
    )
    signs_no_more(lab, keys)
    stop_all(lab)
    refused(lab.play("site.yml", check=False), "Slashing risk" if rebuilt else "is not the directory exported before")
    signs_no_more(lab, keys)
    lab.on("nfs", f"rm -rf {DATA}/* {DATA}/.[!.]*; mv /root/away/* /root/away/.[!.]* {DATA}/ && rmdir /root/away")
    if rebuilt:
        lab.on("nfs", f"rm -rf /var/lib/eth2xk8s {MARK}")
        lab.on("nfs", "cd /root/away-root && mv eth2xk8s /var/lib/ && mv eth2xk8s-data-id /var/lib/nfs/ && rmdir $PWD")
    lab.play("site.yml")
    lab.all_sign_on(seconds=120)


def test_an_older_version_after_an_uninstall_is_refused(lab: Lab) -> None:
    lab.play("playbooks/uninstall.yml", "-e", "prysm_uninstall=eth2prysm")
    play = lab.play("site.yml", "-e", "prysm_version=v1.2.2", check=False)
    refused(play, "has been run by Prysm v1.3.3")
    lab.play("site.yml")
    lab.all_sign_on(seconds=120)


def test_the_record_deleted_by_hand_is_known_by_its_copies(lab: Lab) -> None:
    scale(lab, 0)
    lab.on("nfs", f"cp -p {DATABASE} /root/newest.db && rm -rf {DATA}/.history")
    lab.on("nfs", f"rm -f {FIRST}/.validator-transaction")
    put_back(lab, "/root/before.db")
    refused(lab.play("site.yml", check=False), "Slashing risk", "history:")
    put_back(lab, shlex.quote("/root/newest.db"))
    lab.play("site.yml")
    lab.all_sign_on(seconds=120)
