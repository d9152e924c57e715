"""Two pods a client on two nodes: one signs, the other waits for the lock, and signs when the first cannot.

Whoever signs is told by the chain: a client is called after its pod. Each step prints what it has seen; pytest shows
that of a step which fails, and with -s all of it. Figures count from before the fault is brought about, so that they
are a second or so too high. A key has a duty every 16 s, so that the lock has passed well before a key signs.

There is one beacon node and one name server. A fault takes the validators' node alone: both are kept on master.
"""

from __future__ import annotations

import json
import time
import typing as t

import pytest

from .conftest import Inventory, Lab, validators
from .standby import CLIENTS, KUBECTL, PINNED, pods

pytestmark = pytest.mark.by_hand
OTHER = {"master": "worker", "worker": "master"}
#: Silence, one try of the lock, the checks of the guard, the start of Prysm, and a whole epoch until a key's next duty.
SUCCEEDED = 60.0
OLDER, NEWER = "v1.3.3", "v1.3.4"
#: It has no client in it.
BEACON_IMAGE = "gcr.io/prysmaticlabs/prysm/beacon-chain"


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The site with a standby."""
    folder = tmp_path_factory.mktemp("standby") / "inventory"
    return Inventory(folder, validators(), prysm_standby=True, prysm_helm_values=PINNED).words


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The same site without."""
    folder = tmp_path_factory.mktemp("plain") / "inventory"
    return Inventory(folder, validators(), prysm_helm_values=PINNED).words


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def seen(lab: Lab, when: str, *, logs: str = "") -> None:
    """Print what there is: pods, the watcher's decisions, and the last words of the pods whose node is `logs`."""
    say(f"-- {when}")
    there = pods(lab)
    for pod in there:
        say(f"   {pod.name} on {pod.node or 'no node'}: started {pod.started}, {pod.restarts} restarts")
    journal = "journalctl -u eth2xk8s-expire -n 8 -o short-precise --no-pager 2>&1"
    say(f"   watcher:\n{lab.on('nfs', journal, check=False)}")
    for pod in there:
        if logs and pod.node == logs:
            last = lab.on("master", f"{KUBECTL} logs -n prysm {pod.name} --tail=6 --timestamps 2>&1", check=False)
            before = lab.on("master", f"{KUBECTL} logs -n prysm {pod.name} --previous --tail=4 2>&1", check=False)
            say(f"   log of {pod.name}:\n{last}\n   and of the container before:\n{before}")


def release(lab: Lab) -> dict[str, t.Any]:
    """What the release says of its standby."""
    values = lab.on("master", "/snap/bin/microk8s.helm3 get values eth2prysm -n prysm -o json")
    found = json.loads(values).get("standby") or {}
    say(f"   the release says of its standby: {found}")
    return t.cast("dict[str, t.Any]", found)


def signatures(lab: Lab, since: int = 0) -> list[dict[str, t.Any]]:
    """What was signed, from a number on."""
    return t.cast("list[dict[str, t.Any]]", lab.chain(f"/judge/signatures?since={since}"))


def mark(lab: Lab) -> int:
    """The number of the next signature."""
    return len(signatures(lab))


def pod_of(signature: dict[str, t.Any]) -> str:
    return str(signature["client"]).partition("/")[0]


def signers(lab: Lab) -> dict[str, str]:
    """Client -> the pod that signed for it last."""
    last = {}
    for one in signatures(lab):
        last[pod_of(one).rpartition("-")[0]] = pod_of(one)
    return {client: last.get(client, "") for client in CLIENTS}


def signs_on(lab: Lab, node: str) -> bool:
    """Whether each client's last signature came from its pod on this node, and no other pod of it has started."""
    where = {pod.name: pod for pod in pods(lab)}
    who = signers(lab)
    return all(name in where and where[name].node == node for name in who.values()) and all(
        not pod.started for pod in where.values() if pod.name not in who.values()
    )


def waits(lab: Lab, node: str) -> bool:
    """Whether a pod of each client waits on this node."""
    there = [pod for pod in pods(lab) if pod.node == node]
    return sorted(pod.client for pod in there if pod.runs and not pod.started) == list(CLIENTS)


def succeeded(lab: Lab, since: int, begun: float, old: dict[str, str], what: str) -> dict[str, float]:
    """Wait until another pod of each client signs; seconds from `begun` to its first signature, printed."""
    found: dict[str, float] = {}

    def all_sign() -> bool:
        for one in signatures(lab, since):
            client = pod_of(one).rpartition("-")[0]
            if client in old and pod_of(one) != old[client]:
                found.setdefault(client, round(one["at"] - begun, 1))
        return sorted(found) == sorted(old)

    lab.wait(f"another pod of {', '.join(old)} signs", all_sign, seconds=SUCCEEDED + 60)
    say(f"FIGURE {what}: first signature of the other pod after {found} s")
    return found


def missed(lab: Lab, since: int, what: str) -> dict[str, int]:
    """Duties missed by each key since a signature, between its first and its last since then: printed."""
    targets: dict[str, set[int]] = {}
    for one in signatures(lab, since):
        if one["kind"] == "attestation":
            targets.setdefault(one["key"], set()).add(one["target"])
    found = {key[:10]: max(had) - min(had) + 1 - len(had) for key, had in targets.items()}
    say(f"FIGURE {what}: attestations missed by key {found}")
    return found


def keep_on_master(lab: Lab) -> None:
    """The beacon node is pinned there; the name server is moved by hand where it is not."""
    names = "get pods -n kube-system -l k8s-app=kube-dns"
    if any(pod["spec"].get("nodeName") != "master" for pod in lab.kubectl(names)["items"]):
        lab.on("master", f"{KUBECTL} cordon worker && {KUBECTL} delete pod -n kube-system -l k8s-app=kube-dns")
        lab.wait(
            "the name server is Ready on master",
            lambda: all(
                pod["spec"].get("nodeName") == "master"
                and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])
                for pod in lab.kubectl(names)["items"]
            ),
            seconds=120,
        )
        lab.on("master", f"{KUBECTL} uncordon worker")
    beacon = lab.kubectl("get pod -n prysm beacon-0")["spec"]["nodeName"]
    assert beacon == "master", f"the beacon node is on {beacon}"


def delete_signer(lab: Lab, client: str) -> None:
    """By hand, past every playbook: the other pod signs, and the successor of the deleted one waits."""
    since, old = mark(lab), signers(lab)[client]
    uid = {pod.name: pod.uid for pod in pods(lab)}[old]
    begun = time.time()
    lab.on("master", f"{KUBECTL} delete pod -n prysm {old} --wait=false")
    figure = succeeded(lab, since, begun, {client: old}, f"kubectl delete pod {old}")
    assert max(figure.values()) <= SUCCEEDED, figure

    def is_back() -> bool:
        there = {pod.name: pod for pod in pods(lab)}
        return old in there and there[old].uid != uid and there[old].runs and not there[old].started

    lab.wait(f"{old} is back, and waits", is_back, seconds=120)


def bring_to(lab: Lab, node: str) -> None:
    """Both clients sign from this node, and wait on the other."""
    for client in CLIENTS:
        where = {pod.name: pod.node for pod in pods(lab)}
        if where[signers(lab)[client]] != node:
            delete_signer(lab, client)
    lab.wait(f"both clients sign on {node}", lambda: signs_on(lab, node), seconds=60)
    lab.wait(f"a pod of both waits on {OTHER[node]}", lambda: waits(lab, OTHER[node]), seconds=120)


def identities(lab: Lab) -> dict[str, tuple[str, int]]:
    return {pod.name: (pod.uid, pod.restarts) for pod in pods(lab)}


def test_a_bare_site_gets_two_pods_a_client(lab: Lab, on: tuple[str, ...]) -> None:
    lab.play("site.yml", *on, timeout=3600)
    seen(lab, "after the first run", logs="worker")
    values = release(lab)
    assert values.get("enabled") is True, f"no standby, because {values.get('because')}"
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=120)
    there = pods(lab)
    assert [pod.name for pod in there] == ["validator1-0", "validator1-1", "validator2-0", "validator2-1"]
    for client in CLIENTS:
        assert {pod.node for pod in there if pod.client == client} == {"master", "worker"}, client
        assert sum(pod.started for pod in there if pod.client == client) == 1, client
    assert all(pod.runs for pod in there)
    assert lab.on("nfs", "systemctl is-active eth2xk8s-expire") == "active"


def test_a_second_run_changes_nothing(lab: Lab, on: tuple[str, ...]) -> None:
    before = identities(lab)
    assert set(lab.play("site.yml", *on).changed.values()) == {0}
    assert identities(lab) == before
    status = lab.play("playbooks/status.yml", *on)
    say("\n".join(line for line in status.output.splitlines() if "standby" in line or "duties" in line))
    assert status.said.count("standby on") == len(CLIENTS)


def test_nobody_is_expired_while_all_is_well(lab: Lab) -> None:
    """Waiting and signing alike are heard of: a minute without a word of the watcher, and without a restart."""
    before, when = identities(lab), lab.on("nfs", "date '+%F %T'")
    time.sleep(60)
    said = lab.on("nfs", f"journalctl -u eth2xk8s-expire --since '{when}' --no-pager -o cat")
    say(f"watcher within a minute: {said or 'nothing'}")
    assert "expired" not in said
    assert identities(lab) == before


def test_a_pod_that_is_deleted_is_succeeded(lab: Lab) -> None:
    for client in CLIENTS:
        delete_signer(lab, client)
    bring_to(lab, "worker")
    keep_on_master(lab)
    seen(lab, "after the pods were deleted")
    lab.all_sign_on(seconds=90)


def test_a_machine_that_stands_still_is_succeeded_and_signs_no_more(lab: Lab) -> None:
    keep_on_master(lab)
    bring_to(lab, "worker")
    since, old, before = mark(lab), signers(lab), {pod.name: pod for pod in pods(lab)}
    begun = time.time()
    lab.fault("freeze", "worker")
    still = time.time()
    try:
        figure = succeeded(lab, since, begun, old, "freeze")
        seen(lab, "while worker stands still", logs="master")
        # Longer than any lease, and than Kubernetes waits before it calls the node dead.
        time.sleep(max(0.0, still + 70 - time.time()))
        say(f"   nodes: {lab.nodes_ready()}")
        assert sorted(pod.name for pod in pods(lab)) == sorted(before), "no pod was removed for it"
    finally:
        lab.fault("thaw", "worker")
    lab.wait("both nodes are Ready", lambda: all(lab.nodes_ready().values()), seconds=120)

    def has_ended() -> bool:
        there = {pod.name: pod for pod in pods(lab)}
        return all(
            there[name].restarts > before[name].restarts and there[name].runs and not there[name].started
            for name in old.values()
        )

    lab.wait("the signers of before have ended, and wait", has_ended, seconds=180)
    seen(lab, "after worker went on", logs="worker")
    missed(lab, since, "freeze")
    late = [one for one in signatures(lab, since) if pod_of(one) in old.values() and one["at"] > still]
    assert late == [], "the one that stood still has signed after it"
    assert max(figure.values()) <= SUCCEEDED, figure
    lab.all_sign_on(seconds=90)


def test_a_machine_without_power_is_succeeded(lab: Lab, on: tuple[str, ...]) -> None:
    keep_on_master(lab)
    bring_to(lab, "worker")
    since, old = mark(lab), signers(lab)
    begun = time.time()
    lab.fault("power-cut", "worker")
    try:
        figure = succeeded(lab, since, begun, old, "power cut")
        seen(lab, "while worker has no power", logs="master")
        lab.wait("Kubernetes calls the node dead", lambda: not lab.nodes_ready()["worker"], seconds=120)
        time.sleep(10)
        # Its pods are called started for as long as it is away.
        status = lab.play("playbooks/status.yml", *on, "-e", "status_fail=false", check=False)
        say("\n".join(line for line in status.output.splitlines() if "standby" in line or "duties" in line))
        assert status.said.count("performs its duties") >= len(CLIENTS), status.output[-6000:]
        assert "has no standby now" in status.said
    finally:
        lab.power_on("worker")
    lab.wait("both nodes are Ready", lambda: all(lab.nodes_ready().values()), seconds=180)
    lab.wait("a pod of both waits on worker", lambda: waits(lab, "worker"), seconds=240)
    seen(lab, "after worker came back", logs="worker")
    missed(lab, since, "power cut")
    assert max(figure.values()) <= SUCCEEDED, figure
    assert signs_on(lab, "master"), "nothing goes back by itself"
    lab.all_sign_on(seconds=90)


def test_a_server_that_restarts_costs_no_lock(lab: Lab) -> None:
    """During its grace period nobody is expired, and whoever signs goes on."""
    before = identities(lab)
    lab.fault("nfs-restart", "nfs")
    time.sleep(60)
    seen(lab, "a minute after the NFS server was restarted", logs="master")
    lab.all_sign_on(seconds=120)
    assert {name: uid for name, (uid, _) in identities(lab).items()} == {n: uid for n, (uid, _) in before.items()}


def test_a_node_that_is_emptied_hands_over(lab: Lab, on: tuple[str, ...]) -> None:
    keep_on_master(lab)
    bring_to(lab, "worker")
    since, old = mark(lab), signers(lab)
    begun = time.time()
    done = lab.play("playbooks/drain.yml", *on, "-e", "node=worker")
    succeeded(lab, since, begun, old, "drain, from its beginning")
    missed(lab, since, "drain")
    seen(lab, "while worker is empty", logs="master")
    assert done.output.count("hand_over | Prove that it has ended") == len(CLIENTS)
    assert "stop | Scale it to nothing" not in done.output
    assert [pod.name for pod in pods(lab) if pod.node == "worker"] == []
    lab.play("playbooks/drain.yml", *on, "-e", "node=worker", "-e", "node_state=uncordoned")
    lab.wait("a pod of both waits on worker", lambda: waits(lab, "worker"), seconds=180)
    assert set(lab.play("site.yml", *on).changed.values()) == {0}
    lab.all_sign_on(seconds=90)


def test_an_upgrade_reaches_the_standby_first(lab: Lab, on: tuple[str, ...]) -> None:
    keep_on_master(lab)
    bring_to(lab, "worker")
    since, old, slot = mark(lab), signers(lab), lab.chain("/head")["slot"]
    done = lab.play("upgrade.yml", *on, "-e", f"prysm_version={NEWER}", timeout=3600)
    assert done.output.count("take_over | Hand over from") == len(CLIENTS)
    assert "stop | Scale it to nothing" not in done.output
    assert {pod.version for pod in pods(lab)} == {NEWER}
    assert all(pod_of(one) not in old.values() for one in signatures(lab, since) if one["version"] == NEWER)
    lab.wait("a pod of both waits on worker", lambda: waits(lab, "worker"), seconds=120)
    lab.all_sign_on(seconds=90)
    say(lab.command("missed", "--since", str(slot)).stdout)
    missed(lab, since, "upgrade")
    assert lab.play("playbooks/status.yml", *on, "-e", f"prysm_version={NEWER}").said.count("standby on") == len(
        CLIENTS
    )


def test_what_cannot_start_touches_no_signer(lab: Lab, on: tuple[str, ...]) -> None:
    """An image without the program: the standby never waits, the run fails, and the same site mends it."""
    before, since, slot = identities(lab), mark(lab), lab.chain("/head")["slot"]
    signing = signers(lab)
    wrong = json.dumps({"prysm_helm_values": {**PINNED, "image": {"validatorImage": BEACON_IMAGE}}})
    done = lab.play("site.yml", *on, "-e", f"prysm_version={NEWER}", "-e", wrong, check=False, timeout=3600)
    assert done.failed
    assert "does not wait for its lock" in done.said, done.output[-6000:]
    assert "this image has no program" in done.said, done.output[-6000:]
    seen(lab, "while a standby cannot start", logs="worker")
    after = identities(lab)
    assert all(after[pod] == before[pod] for pod in signing.values()), "who signs was not touched"
    assert sum(after[pod] != before[pod] for pod in before) == 1, "one client was touched"
    lab.play("site.yml", *on, "-e", f"prysm_version={NEWER}", timeout=3600)
    assert signers(lab) == signing, "nobody had to hand over"
    say(lab.command("missed", "--since", str(slot)).stdout)
    assert set(missed(lab, since, "what cannot start").values()) == {0}


def test_a_rollback_reaches_the_standby_first(lab: Lab, on: tuple[str, ...]) -> None:
    since, slot = mark(lab), lab.chain("/head")["slot"]
    done = lab.play("playbooks/rollback.yml", *on, "-e", f"prysm_version={OLDER}", timeout=3600)
    assert done.output.count("take_over | Hand over from") == len(CLIENTS)
    assert {pod.version for pod in pods(lab)} == {OLDER}
    say(lab.command("missed", "--since", str(slot)).stdout)
    missed(lab, since, "rollback")
    lab.wait("a pod of both waits", lambda: any(waits(lab, node) for node in OTHER), seconds=120)
    assert set(lab.play("site.yml", *on).changed.values()) == {0}


def one_pod_each(lab: Lab) -> None:
    """And nothing of a standby is left."""
    there = pods(lab)
    assert [pod.name for pod in there] == ["validator1-0", "validator2-0"]
    assert all(pod.started for pod in there)
    assert lab.on("nfs", "systemctl is-active eth2xk8s-expire; true") != "active"
    assert lab.on("nfs", "test ! -e /etc/systemd/system/eth2xk8s-expire.service && echo gone") == "gone"


def test_turned_off_one_pod_of_each_is_left(lab: Lab, off: tuple[str, ...]) -> None:
    since = mark(lab)
    lab.play("site.yml", *off, timeout=3600)
    seen(lab, "after it was turned off")
    missed(lab, since, "turned off")
    assert release(lab) == {}
    one_pod_each(lab)
    lab.all_sign_on(seconds=90)
    assert set(lab.play("site.yml", *off).changed.values()) == {0}


def test_a_site_that_signs_gets_its_standby(lab: Lab, on: tuple[str, ...], off: tuple[str, ...]) -> None:
    """Its StatefulSets start their pods in order, which cannot be changed: they are made anew below their pods."""
    lab.play("playbooks/uninstall.yml", *off, "-e", "prysm_uninstall=eth2prysm")
    lab.play("site.yml", *off, timeout=3600)
    policies = "get statefulsets -n prysm -l app.kubernetes.io/component=validator"
    assert {one["spec"]["podManagementPolicy"] for one in lab.kubectl(policies)["items"]} == {"OrderedReady"}
    # The fence is tried on a node that holds no lock.
    lab.play("playbooks/drain.yml", *off, "-e", "node=worker")
    lab.play("playbooks/drain.yml", *off, "-e", "node=worker", "-e", "node_state=uncordoned")
    since = mark(lab)
    done = lab.play("site.yml", *on, timeout=3600)
    seen(lab, "after it was turned on at a site that signs", logs="worker")
    missed(lab, since, "turned on")
    values = release(lab)
    assert values.get("enabled") is True, f"no standby, because {values.get('because')}"
    assert "recreate_statefulsets | Remove the StatefulSets" in done.output
    assert {one["spec"]["podManagementPolicy"] for one in lab.kubectl(policies)["items"]} == {"Parallel"}
    assert len(pods(lab)) == 2 * len(CLIENTS)
    assert set(lab.play("site.yml", *on).changed.values()) == {0}
    lab.all_sign_on(seconds=90)


def test_a_fence_that_is_not_proved_is_one_pod_and_the_reason(lab: Lab, on: tuple[str, ...]) -> None:
    """No gate refuses a mount of the operator's own; two pods may not rely on a node that has it."""
    place = "/srv/rehearsal"
    lab.on("nfs", "install -d -m 0755 /data/prysm/.rehearsal")
    lab.on("worker", f"mkdir -p {place} && mount -t nfs4 -o soft,vers=4.2 172.20.10.10:/data/prysm/.rehearsal {place}")
    try:
        lab.play("site.yml", *on, timeout=3600)
        seen(lab, "where the fence is not proved")
        values = release(lab)
        assert values["enabled"] is False
        assert "not a hard mount" in values["because"]
        assert [pod.name for pod in pods(lab)] == ["validator1-0", "validator2-0"]
        status = lab.play("playbooks/status.yml", *on, check=False)
        assert status.failed
        assert "no client has a standby" in status.said
    finally:
        lab.on("worker", f"umount {place}")
        lab.on("nfs", "rmdir /data/prysm/.rehearsal")
    lab.all_sign_on(seconds=120)
