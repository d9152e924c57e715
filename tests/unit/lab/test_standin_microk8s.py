"""The program `microk8s` and its services, held against what is known of the real one, in its two profiles.

1.20 is the oldest release and 1.28 and later the present ones; between them stands what changed when. Each test names
the claim that it checks.
"""

from __future__ import annotations

import json
import stat
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from standin_machine import Machine, Modules

# What the lab stands on, tried with everything that needs the lab.
pytestmark = pytest.mark.thorough

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    made = {}
    for track in ("1.20", "1.27", "1.28", "1.36"):
        made[track] = Machine.new(tmp_path_factory.mktemp("installed") / "root")
        done = made[track].run("snap", "install", "--classic", f"--channel={track}/stable", "microk8s")
        assert done.returncode == 0, done
    return made


@pytest.fixture
def old(installed: dict[str, Machine], tmp_path: Path) -> Machine:
    return installed["1.20"].copy(tmp_path / "old")


@pytest.fixture
def new(installed: dict[str, Machine], tmp_path: Path) -> Machine:
    return installed["1.36"].copy(tmp_path / "new")


def worker(machine: Machine) -> Machine:
    for name in ("clustered.lock", "no-cert-reissue", "no-k8s-dqlite"):
        machine.lock(name)
    return machine


def refused(machine: Machine, *words: str, code: int) -> str:
    done = machine.run("microk8s", *words)
    assert done.returncode == code, done
    return done.stdout + done.stderr


# --- entry points ----------------------------------------------------------------------------------------------------


def test_without_a_subcommand_they_are_listed(new: Machine) -> None:
    done = new.run("microk8s")
    assert done.returncode == 1
    assert done.stdout.startswith("Available subcommands are:\n\t")
    assert new.run("microk8s", "help").returncode == 0
    assert refused(new, "foo", code=1).startswith("'foo' is not a valid MicroK8s subcommand.\n")


def test_what_1_20_does_not_have_yet(old: Machine, new: Machine) -> None:
    for name in ("version", "images", "addons"):
        assert f"\t{name}\n" in new.run("microk8s").stdout + "\n"
        assert refused(old, name, code=1).startswith(f"'{name}' is not a valid MicroK8s subcommand.")
        assert not (old.root / f"snap/bin/microk8s.{name}").is_symlink()


def test_the_programs_pass_arguments_and_exit_codes_through(new: Machine) -> None:
    assert new.ok("microk8s", "kubectl", "get", "nodes", "-A") == "kubectl get nodes -A\n"
    assert new.ok("microk8s.kubectl", "get") == "kubectl get\n"
    config = new.data / "credentials/client.config"
    assert new.ok("microk8s.helm3", "list") == f"helm --kubeconfig={config} list\n"
    new.program(new.root / "snap/microk8s/current/broken", "")
    (new.root / "snap/microk8s/current/kubectl").unlink()
    new.program(new.root / "snap/microk8s/current/kubectl", "#!/bin/sh\nexit 7\n")
    assert new.run("microk8s", "kubectl", "get").returncode == 7


def test_who_cannot_read_the_kubeconfig_is_told_how(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    program = new.modules(monkeypatch).microk8s
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(Exception, match=r"(?s)^Insufficient permissions to access MicroK8s\..*newgrp microk8s'\.$"):
        program.main(["status"])


def test_version(new: Machine) -> None:
    assert new.ok("microk8s", "version") == "MicroK8s v1.36.3 revision 9024\n"


# --- exit codes lie --------------------------------------------------------------------------------------------------

MASTER = "This MicroK8s deployment is acting as a node in a cluster. Please use the microk8s {} on the master.\n"


def test_on_a_worker_most_commands_succeed_and_do_nothing(new: Machine) -> None:
    worker(new)
    assert new.ok("microk8s", "kubectl", "get", "nodes") == MASTER.format("kubectl")
    assert new.ok("microk8s", "config") == MASTER.format("config")
    assert new.ok("microk8s", "helm3", "list") == MASTER.format("helm")
    assert new.ok("microk8s", "refresh-certs", "-c") == MASTER.format("refresh-certs")
    assert new.ok("microk8s", "start") == (
        "This MicroK8s deployment is acting as a node in a cluster.\n"
        "Use 'snap start microk8s' to start services on this node.\n"
    )
    assert new.ok("microk8s", "stop").endswith("\nUse 'snap stop microk8s' to stop services on this node.\n")
    assert new.ok("microk8s", "status") == (
        "This MicroK8s deployment is acting as a node in a cluster.\nPlease use the control plane node.\n"
    )


def test_on_a_worker_of_1_20_status_fails(old: Machine) -> None:
    assert refused(worker(old), "status", code=1).endswith("Please use the master node.\n")


@pytest.mark.parametrize(
    "words", [("enable", "dns"), ("disable", "dns"), ("add-node",), ("remove-node", "x"), ("dbctl", "backup")]
)
def test_on_a_worker_these_fail(new: Machine, words: tuple[str, ...]) -> None:
    refused(worker(new), *words, code=1)


def test_status_of_a_stopped_microk8s_succeeds(old: Machine, new: Machine) -> None:
    for machine in (old, new):
        machine.lock("stopped.lock")
        assert machine.ok("microk8s", "status") == "microk8s is not running, try microk8s start\n"
        done = machine.run("microk8s", "kubectl", "get", "nodes")
        assert (done.returncode, done.stderr) == (1, "microk8s is not running, try microk8s start\n")


@pytest.mark.parametrize(("track", "code"), [("1.27", 0), ("1.28", 1)])
def test_status_when_not_ready_fails_from_1_28_on(installed: dict[str, Machine], track: str, code: int) -> None:
    done = installed[track].run("microk8s", "status")
    assert done.returncode == code
    assert done.stdout == "microk8s is not running. Use microk8s inspect for a deeper inspection.\n"


def test_waiting_for_readiness_has_an_end_only_with_a_timeout(new: Machine) -> None:
    begin = time.monotonic()
    assert new.run("microk8s", "status", "--wait-ready", "--timeout", "1").returncode == 1
    assert time.monotonic() - begin >= 1


def test_root_only_commands_end_with_50(new: Machine, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    modules = new.modules(monkeypatch)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for words in (["reset"], ["refresh-certs", "-c"], ["addons", "repo", "update"]):
        with pytest.raises(modules.system.Failed) as failed:
            modules.microk8s.main(words)
        assert failed.value.code == 50
        assert failed.value.text.startswith("Elevated permissions is needed for this operation.")


# --- status ----------------------------------------------------------------------------------------------------------


def members(*addresses: str) -> list[dict[str, str]]:
    return [{"address": f"{address}:19001", "role": "voter", "name": address} for address in addresses]


def states(modules: Modules, minor: int) -> Any:
    found = {addon.name: addon for addon in modules.addons.addons(minor)}
    return [(found["dns"], True), (found["ha-cluster"], True), (found["metrics-server"], False)]


def test_status_pretty(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = new.modules(monkeypatch)
    shown = modules.microk8s._pretty(True, members("10.0.0.2", "10.0.0.3", "10.0.0.4"), states(modules, 36), 36)
    assert shown == (
        "microk8s is running\n"
        "high-availability: yes\n"
        "  datastore master nodes: 10.0.0.2:19001 10.0.0.3:19001 10.0.0.4:19001\n"
        "  datastore standby nodes: none\n"
        "addons:\n"
        "  enabled:\n"
        "    dns                  # (core) CoreDNS\n"
        "    ha-cluster           # (core) Configure high availability on the current node\n"
        "  disabled:\n"
        "    metrics-server       # (core) K8s Metrics Server for API access to service metrics"
    )
    single = modules.microk8s._pretty(True, members("127.0.0.1"), states(modules, 20), 20).splitlines()
    assert single[1:3] == ["high-availability: no", "  datastore master nodes: 127.0.0.1:19001"]
    assert single[6] == "    dns                  # CoreDNS"


def test_status_short_and_yaml(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = new.modules(monkeypatch)
    program = modules.microk8s
    assert program._short(True, members("a"), states(modules, 36), 36).splitlines()[2:4] == [
        "core/dns: enabled",
        "core/ha-cluster: enabled",
    ]
    assert "\ndns: enabled\n" in program._short(True, members("a"), states(modules, 20), 20)
    import yaml

    text = program._yaml(True, members("10.0.0.2"), states(modules, 36), 36)
    assert text.startswith("microk8s:\n  running: True\nhigh-availability:\n  enabled: True\n  nodes:\n    - address:")
    value = yaml.safe_load(text)
    assert value["addons"][0] == {
        "name": "dns",
        "repository": "core",
        "description": "CoreDNS",
        "version": "1.13.1",
        "status": "enabled",
    }
    assert "repository" not in yaml.safe_load(program._yaml(True, members("a"), states(modules, 20), 20))["addons"][0]
    # A node that could be highly available counts as that, also when it is alone.
    assert value["high-availability"]["enabled"] is True
    short = program._short_yaml(True, members("a"), states(modules, 36), 36)
    assert short.startswith("microk8s:\n  running: True\naddons:\n  core/dns: enabled\n")
    down = yaml.safe_load(program._yaml(False, [], [], 36))
    assert down["microk8s"] == {"running": False}
    assert "addons" not in down


def test_status_of_an_unknown_addon_is_disabled(installed: dict[str, Machine]) -> None:
    assert installed["1.27"].ok("microk8s", "status", "--addon", "nonsense") == "disabled\n"


# --- add-node --------------------------------------------------------------------------------------------------------


def test_add_node_pretty(new: Machine) -> None:
    fingerprint = new.ok("microk8s", "add-node", "--format", "token-check").strip().split("/")[1]
    assert len(fingerprint) == 12
    url = f"172.20.10.11:25000/{TOKEN}/{fingerprint}"
    assert new.ok("microk8s", "add-node", "--token", TOKEN) == (
        "From the node you wish to join to this cluster, run the following:\n"
        f"microk8s join {url}\n\n"
        "Use the '--worker' flag to join a node as a worker not running the control plane, eg:\n"
        f"microk8s join {url} --worker\n\n"
        "If the node you are adding is not reachable through the default interface you can use one of the following:\n"
        f"microk8s join {url}\n"
        f"microk8s join 172.17.0.1:25000/{TOKEN}/{fingerprint}\n"
    )


def test_add_node_of_1_20_has_no_fingerprint_and_no_format(old: Machine) -> None:
    shown = old.ok("microk8s", "add-node", "-t", TOKEN).splitlines()
    assert shown[1] == f"microk8s join 172.20.10.11:25000/{TOKEN}"
    assert shown[-1] == f" microk8s join 172.17.0.1:25000/{TOKEN}"
    assert old.run("microk8s", "add-node", "--format", "json").returncode == 2


def test_add_node_json_begins_with_the_first_interface_not_the_default_route(new: Machine) -> None:
    value = json.loads(new.ok("microk8s", "add-node", "--token", TOKEN, "--format", "json"))
    assert value["token"].startswith(f"{TOKEN}/")
    assert [url.split(":")[0] for url in value["urls"]] == ["172.17.0.1", "172.20.10.11"]


def test_tokens_are_kept_with_their_end(new: Machine) -> None:
    path = new.data / "credentials/cluster-tokens.txt"
    new.ok("microk8s", "add-node", "--token", TOKEN)
    new.ok("microk8s", "add-node", "--token", TOKEN, "--token-ttl", "600")
    first, second = path.read_text().split()
    assert first == TOKEN
    assert second.startswith(f"{TOKEN}|")
    assert 500 < int(second.split("|")[1]) - time.time() <= 600
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_short_token_is_refused(new: Machine) -> None:
    assert refused(new, "add-node", "--token", "short", code=1) == (
        "Invalid token size.  It must be 32 characters long.\n"
    )


def test_a_token_without_life_time_is_good_once_one_with_it_until_its_end(
    new: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = new.modules(monkeypatch).cluster
    cluster.add_token("cluster-tokens.txt", TOKEN)
    assert [cluster.consume_token("cluster-tokens.txt", TOKEN) for _ in range(2)] == [True, False]
    cluster.add_token("cluster-tokens.txt", TOKEN, 600)
    assert [cluster.consume_token("cluster-tokens.txt", TOKEN) for _ in range(3)] == [True] * 3
    now = time.time()
    monkeypatch.setattr(cluster.time, "time", lambda: now + 601)
    assert not cluster.consume_token("cluster-tokens.txt", TOKEN)


# --- join ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        ("seed", "Expected format: <master_IP>:<master_PORT>/<token>[/<fingerprint>]"),
        (f"fe80::1:25000/{TOKEN}", "Expected format: <master_IP>:<master_PORT>/<token>[/<fingerprint>]"),
        (f"master:25000/{TOKEN}", "Invalid master IP"),
        (f"10.0.0.2:70000/{TOKEN}", "Master PORT not in range 1:65535"),
        (f"10.0.0.2:x/{TOKEN}", "Master PORT not a number"),
        ("10.0.0.2:25000/short", "Cluster token size should be at least 32 bytes"),
        (f"10.0.0.2:25000/{TOKEN}/ab", "Fingerprint should be at least 12 bytes"),
    ],
)
def test_a_connection_string_is_checked(new: Machine, connection: str, why: str) -> None:
    assert refused(new, "join", connection, code=1) == f"Invalid connection: {why}\n"


def test_joining_through_a_closed_port_is_a_traceback(new: Machine) -> None:
    done = new.run("microk8s", "join", f"127.0.0.1:1/{TOKEN}")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ConnectionRefusedError" in done.stderr
    assert (new.data / "var/lock/join-in-progress").exists()  # and stays


def test_joining_from_1_20(old: Machine) -> None:
    assert refused(old, "join", code=4) == "Please provide a connection string.\n"
    shown = refused(old, "join", f"127.0.0.1:1/{TOKEN}", code=1)
    assert shown.endswith(
        "Please ensure the master node is reachable.\nJoin a cluster: microk8s join <master>:<port>/<token>\n"
    )
    assert old.run("microk8s", "join", f"127.0.0.1:1/{TOKEN}", "--worker").returncode == 2  # not yet known


class Seed:
    """The agent's own functions, with a cluster that is only told."""

    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch, minor: int | None = None) -> None:
        self.machine = machine
        self.modules = machine.modules(monkeypatch)
        self.agent = self.modules.agent
        cluster = self.modules.cluster
        self.nodes: list[dict[str, Any]] = [node("master", "172.20.10.11", "10.1.0.0")]
        self.members = [
            {"id": "1", "name": "master", "url": "http://172.20.10.11:19001", "address": "172.20.10.11:19001"}
        ]
        monkeypatch.setattr(self.agent, "Api", lambda: SimpleNamespace(nodes=lambda: self.nodes))
        monkeypatch.setattr(cluster, "datastore_members", lambda: self.members)
        monkeypatch.setattr(cluster, "etcdctl", self.etcdctl)
        if minor is not None:
            monkeypatch.setattr(self.modules.layout, "minor", lambda: minor)
        self.asked: list[tuple[str, ...]] = []

    def etcdctl(self, *args: str, timeout: str = "") -> str:
        self.asked.append(args)
        if args[:2] == ("member", "add"):
            url = args[3].split("=")[1]
            self.members.append({"id": "2", "name": "", "url": url, "address": url.split("//")[1]})
        return "ok"

    def join(self, **more: Any) -> dict[str, Any]:
        self.modules.cluster.add_token("cluster-tokens.txt", TOKEN)
        body = {"token": TOKEN, "hostname": "worker", "port": "25000", "worker": "as-worker", **more}
        remote = body.pop("remote", "172.20.10.12")
        contacted = body.pop("contacted", "172.20.10.11")
        return self.agent.join(body, remote, contacted)

    def refusal(self, **more: Any) -> tuple[int, str]:
        with pytest.raises(self.agent.Refused) as refused:
            self.join(**more)
        return refused.value.status, refused.value.text


def node(name: str, address: str, tunnel: str = "", role: str = "controlplane") -> dict[str, Any]:
    notes = {"projectcalico.org/IPv4VXLANTunnelAddr": tunnel} if tunnel else {}
    labels = {f"node.kubernetes.io/microk8s-{role}": f"microk8s-{role}"}
    return {
        "metadata": {"name": name, "annotations": notes, "labels": labels},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }


def test_a_worker_is_told_what_it_needs_and_nothing_secret(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = Seed(new, monkeypatch)
    answer = seed.join()
    assert answer["control_plane_nodes"] == ["172.20.10.11"]
    assert answer["pods"] == "10.1.1.0/24"
    assert "PRIVATE KEY" not in json.dumps(answer)
    assert (new.data / "var/lock/no-cert-reissue").exists()
    requests = (new.data / "credentials/certs-request-tokens.txt").read_text().split()
    assert requests == [f"{TOKEN}-kubelet", f"{TOKEN}-proxy"]


def test_a_certificate_request_needs_its_token_and_uses_it_up(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = Seed(new, monkeypatch)
    seed.join()
    certs = seed.modules.certs
    certs.new_key(new.data / "certs/x.key")
    body = {
        "token": f"{TOKEN}-kubelet",
        "request": certs.request(new.data / "certs/x.key", "/O=system:nodes/CN=system:node:worker"),
    }
    signed = seed.agent.sign_cert(body)["certificate"]
    (new.data / "certs/x.crt").write_text(signed)
    assert "system:node:worker" in certs.subject(new.data / "certs/x.crt")
    with pytest.raises(seed.agent.Refused) as refused:
        seed.agent.sign_cert(body)
    assert (refused.value.status, refused.value.text) == (500, "Invalid token")


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ({"token": "x" * 32}, 500, "invalid token"),
        ({"port": "25001"}, 502, "the port of the cluster agent port has to be set to 25000"),
        ({"remote": "172.20.10.11"}, 503, "the joining node has the same IP (172.20.10.11) as the node we contact"),
    ],
)
def test_refusals(new: Machine, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], status: int, text: str) -> None:
    assert Seed(new, monkeypatch).refusal(**more) == (status, text)


def test_a_cluster_without_ha_takes_nobody(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (new.data / "var/lock/ha-cluster").unlink()
    assert Seed(new, monkeypatch).refusal() == (501, "not possible to join. This is not an HA MicroK8s cluster")


def test_a_failed_join_uses_a_one_shot_token_up(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = Seed(new, monkeypatch)
    seed.refusal(port="1")
    assert TOKEN not in (new.data / "credentials/cluster-tokens.txt").read_text()


def test_a_persistent_token_is_never_used_up(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (new.data / "credentials/persistent-cluster-tokens.txt").write_text("p" * 32 + "\n")
    seed = Seed(new, monkeypatch)
    for _ in range(2):
        assert seed.join(token="p" * 32)["apiport"] == "16443"


@pytest.mark.parametrize(
    ("minor", "refuses"), [(20, False), (23, False), (24, True), (27, True), (28, False), (36, False)]
)
def test_the_joiner_s_name_must_resolve_from_1_24_to_1_27_only(
    new: Machine, monkeypatch: pytest.MonkeyPatch, minor: int, refuses: bool
) -> None:
    seed = Seed(new, monkeypatch, minor)
    if refuses:
        status, text = seed.refusal(hostname="nowhere.invalid")
        assert status == 400
        assert text == (
            "the hostname (nowhere.invalid) of the joining node does not resolve"
            ' to the IP "172.20.10.12". Refusing join'
        )
        monkeypatch.setattr("socket.getaddrinfo", lambda *_: [(0, 0, 0, "", ("172.20.10.12", 0))])
    assert seed.join(hostname="nowhere.invalid")["pods"]


@pytest.mark.parametrize(("minor", "status"), [(22, 504), (29, 504), (30, 500)])
def test_a_member_of_the_datastore_cannot_join_again(
    new: Machine, monkeypatch: pytest.MonkeyPatch, minor: int, status: int
) -> None:
    seed = Seed(new, monkeypatch, minor)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [(0, 0, 0, "", ("172.20.10.12", 0))])
    seed.members.append(
        {"id": "2", "name": "worker", "url": "http://172.20.10.12:19001", "address": "172.20.10.12:19001"}
    )
    found, text = seed.refusal(worker=False)
    assert found == status
    assert text.endswith("the joining node (172.20.10.12) is already known to dqlite")


def test_a_control_plane_is_given_the_authority_and_becomes_a_member(
    new: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = Seed(new, monkeypatch)
    answer = seed.join(worker=False)
    assert ("member", "add", "worker", "--peer-urls=http://172.20.10.12:19001") in seed.asked
    assert answer["members"] == [["master", "http://172.20.10.11:19001"], ["worker", "http://172.20.10.12:19001"]]
    assert "PRIVATE KEY" in answer["ca_key"]


def test_1_20_to_1_22_have_no_workers(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ca_key" in Seed(new, monkeypatch, 22).join()


def test_the_seed_cannot_be_joined_by_an_address_it_does_not_carry(
    new: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = Seed(new, monkeypatch)
    seed.members[0].update(address="127.0.0.1:19001", url="http://127.0.0.1:19001")
    status, text = seed.refusal(worker=False, contacted="203.0.113.9")
    assert status == 500
    assert "address 203.0.113.9 was not found in any host interface" in text


def test_ranges_of_pods_are_never_given_twice(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = Seed(new, monkeypatch)
    give = seed.modules.cluster.range_for
    assert give("a", seed.nodes) == "10.1.1.0/24"
    assert give("b", seed.nodes) == "10.1.2.0/24"  # `a` has not shown up yet, and still has its own
    assert give("a", seed.nodes) == "10.1.1.0/24"
    seed.nodes.append(node("c", "172.20.10.14", "10.1.3.0"))
    assert give("d", seed.nodes) == "10.1.4.0/24"
    assert give("c", seed.nodes) == "10.1.3.0/24"


# --- leave and remove-node -------------------------------------------------------------------------------------------


def test_leaving_without_a_cluster(new: Machine) -> None:
    assert refused(new, "leave", code=1) == "This MicroK8s deployment is not acting as a node in a cluster.\n"


def members_by_file(*addresses: str) -> Any:
    return lambda: [{"id": f"{i}", "address": f"{address}:19001"} for i, address in enumerate(addresses)]


def test_the_only_copy_of_the_datastore_cannot_leave(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two members only the first one votes."""
    new.lock("no-cert-reissue")
    modules = new.modules(monkeypatch)
    monkeypatch.setattr(modules.cluster, "datastore_members_by_file", members_by_file("172.20.10.11", "172.20.10.12"))
    with pytest.raises(modules.system.Failed) as failed:
        modules.join.leave([])
    assert failed.value.code == 3
    assert str(failed.value).startswith("This node currently holds the only copy of the Kubernetes database so it")


def test_leaving_with_a_datastore_that_does_not_answer_is_a_traceback(
    new: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new.lock("no-cert-reissue")
    modules = new.modules(monkeypatch)
    with pytest.raises(RuntimeError, match="datastore does not answer"):
        modules.join.leave([])
    assert (new.data / "var/lock/no-cert-reissue").exists()


@pytest.mark.parametrize(
    ("members", "removed"),
    [
        (["172.20.10.12", "172.20.10.11"], [("member", "remove", "1")]),
        (["172.20.10.12"], []),  # it was cut short after that
        (["127.0.0.1"], []),  # and after it had got a datastore of its own
    ],
)
def test_a_control_plane_that_leaves_keeps_the_clusters_authority(
    new: Machine, monkeypatch: pytest.MonkeyPatch, capsys: Any, members: list[str], removed: list[tuple[str, ...]]
) -> None:
    """Its datastore is taken out of the cluster's first, the lock of a clustered node is the last to go."""
    new.lock("no-cert-reissue")
    modules = new.modules(monkeypatch)
    modules.node.write_datastore(
        "172.20.10.11", [("a", "http://172.20.10.12:19001"), ("b", "http://172.20.10.11:19001")]
    )
    modules.node.set_arg("kube-apiserver", "--authorization-mode", "RBAC,Node")
    before = (new.data / "certs/ca.crt").read_text()
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(modules.cluster, "datastore_members_by_file", members_by_file(*members))
    monkeypatch.setattr(modules.cluster, "etcdctl", lambda *a, **_: asked.append(a) or "ok")
    monkeypatch.setattr(modules.join, "SETTLE_SECONDS", 0)
    locked_at_the_end: list[bool] = []
    monkeypatch.setattr(
        modules.join,
        "wait_for",
        lambda *_: locked_at_the_end.append((new.data / "var/lock/no-cert-reissue").exists()) or True,
    )
    assert modules.join.leave([]) == 0
    assert capsys.readouterr().out.startswith("Generating new cluster certificates.\nWaiting for node to start.")
    assert asked == removed
    assert locked_at_the_end == [True]
    assert not (new.data / "var/lock/no-cert-reissue").exists()
    assert modules.node.members() == ["127.0.0.1:19001"]
    assert not modules.node.joined_datastore()
    assert (new.data / "certs/ca.crt").read_text() == before
    assert modules.node.get_arg("kube-apiserver", "--authorization-mode") == "RBAC,Node"


def test_a_worker_that_leaves_is_a_fresh_single_node(
    new: Machine, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    worker(new)
    (new.data / "var/lock/no-apiserver-proxy").unlink()
    modules = new.modules(monkeypatch)
    (new.data / "certs/ca.remote.crt").write_text("the cluster's")
    modules.node.set_arg("kubelite", "--start-control-plane", "false")
    before = (new.data / "certs/ca.crt").read_text()
    monkeypatch.setattr(modules.join, "wait_for", lambda *_: True)
    assert modules.join.leave([]) == 0
    assert capsys.readouterr().out.startswith(
        "Configuring services.\nGenerating new cluster certificates.\nWaiting for node"
    )
    locks = {path.name for path in (new.data / "var/lock").iterdir()}
    assert not locks & {"clustered.lock", "no-cert-reissue", "no-k8s-dqlite"}
    assert "no-apiserver-proxy" in locks
    assert (new.data / "certs/ca.crt").read_text() == before
    assert not (new.data / "certs/ca.remote.crt").exists()
    assert modules.node.get_arg("kubelite", "--start-control-plane") == "true"


def test_leaving_again_after_it_was_cut_short(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one takes away, one after the other, what it knows a worker by."""
    worker(new)
    (new.data / "var/lock/no-apiserver-proxy").unlink()
    modules = new.modules(monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"ca\.remote\.crt"):
        modules.join.leave([])
    assert "no-apiserver-proxy" in {path.name for path in (new.data / "var/lock").iterdir()}
    with pytest.raises(RuntimeError, match="datastore does not answer"):
        modules.join.leave([])  # it is not a worker any more
    (new.data / "var/lock/no-cert-reissue").unlink()
    with pytest.raises(modules.system.Failed, match="not acting as a node in a cluster"):
        modules.join.leave([])


def test_remove_node_needs_a_name(new: Machine) -> None:
    assert refused(new, "remove-node", code=1) == "Please provide the node you want to remove.\n"


class Cluster:
    """An API server that only knows nodes."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.known = list(nodes)
        self.calls: list[tuple[str, str]] = []

    def nodes(self) -> list[dict[str, Any]]:
        return self.known

    def call(self, method: str, path: str, *_: Any) -> tuple[int, Any]:
        self.calls.append((method, path))
        return 200, {}


def test_remove_node_of_a_datastore_member_needs_force(
    new: Machine, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    modules = new.modules(monkeypatch)
    api = Cluster(node("b", "172.20.10.12"), node("w", "172.20.10.13", role="worker"))
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(modules.join, "Api", lambda: api)
    monkeypatch.setattr(modules.cluster, "datastore_members", lambda: members("172.20.10.11", "172.20.10.12"))
    monkeypatch.setattr(modules.cluster, "etcdctl", lambda *a, **_: asked.append(a) or "ok")
    for member in modules.cluster.datastore_members():
        member["id"] = "x"
    monkeypatch.setattr(
        modules.cluster, "datastore_members", lambda: [{**m, "id": "7"} for m in members("172.20.10.12")]
    )
    with pytest.raises(modules.system.Failed, match=r"Removal failed\. Node b is registered with dqlite"):
        modules.join.remove_node(["b"])
    assert api.calls == []
    assert modules.join.remove_node(["b", "--force"]) == 0
    assert asked == [("member", "remove", "7")]
    assert api.calls == [("DELETE", "/api/v1/nodes/b")]
    assert modules.join.remove_node(["172.20.10.13"]) == 0  # a worker is in no datastore
    assert api.calls[-1] == ("DELETE", "/api/v1/nodes/w")
    assert capsys.readouterr().out == ""
    assert modules.join.remove_node(["nobody"]) == 1
    assert capsys.readouterr().out == "Node nobody does not exist in Kubernetes.\n"


# --- enable and disable ----------------------------------------------------------------------------------------------


@pytest.fixture
def addons_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(machine: Machine, *enabled: str) -> tuple[Any, list[str]]:
        modules = machine.modules(monkeypatch)
        applied: list[str] = []
        monkeypatch.setattr(modules.cluster, "ready", lambda *_: True)
        monkeypatch.setattr(modules.cluster, "kubectl", lambda *a, stdin="", **_: applied.append(stdin) or 0)

        class Api:
            def get(self, path: str) -> Any:
                return {"items": [{"metadata": {"name": name}} for name in enabled]}

            def exists(self, path: str) -> bool:
                return any(name in path for name in enabled)

        monkeypatch.setattr(modules.addons, "Api", Api)
        return modules.addons, applied

    return make


def test_enabling_what_is_enabled(new: Machine, old: Machine, addons_of: Any, capsys: Any) -> None:
    addons, applied = addons_of(new, "coredns-1")
    assert addons.change("enable", ["dns:1.1.1.1"]) == 0  # the argument is dropped
    shown = capsys.readouterr()
    assert shown.out == "Addon core/dns is already enabled\n"
    assert shown.err == "Infer repository core for addon dns\n"
    assert applied == []
    addons, applied = addons_of(old, "coredns-1")
    assert addons.change("enable", ["dns"]) == 0
    assert capsys.readouterr().out == "Addon dns is already enabled.\n"


def test_1_20_applies_an_addon_with_an_argument_again(old: Machine, addons_of: Any) -> None:
    addons, applied = addons_of(old, "coredns-1")
    assert addons.change("enable", ["dns:1.1.1.1"]) == 0
    assert "forward . 1.1.1.1\n" in applied[0]


def test_enabling_dns(new: Machine, addons_of: Any, capsys: Any) -> None:
    addons, applied = addons_of(new)
    assert addons.change("enable", ["dns", "1.1.1.1,8.8.8.8"]) == 0
    assert "forward . 1.1.1.1 8.8.8.8\n" in applied[0]
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["Enabling DNS", "Will use  1.1.1.1 8.8.8.8 as upstream nameservers", "Applying manifest"]
    assert out[-1] == "DNS is enabled"
    assert "Restarting kubelet" not in out  # the kubelet has the flags from the beginning


def test_1_20_restarts_the_kubelet_for_dns(old: Machine, addons_of: Any, capsys: Any) -> None:
    addons, applied = addons_of(old)
    assert addons.change("enable", ["dns"]) == 0
    assert "forward . 8.8.8.8 8.8.4.4\n" in applied[0]
    assert "Restarting kubelet" in capsys.readouterr().out
    assert ["restart", "snap.microk8s.daemon-kubelet.service"] in old.systemd["calls"]
    assert "--cluster-dns=10.152.183.10" in (old.data / "args/kubelet").read_text()


def test_a_bad_name_server_is_refused_but_1_20_ignores_the_script(
    new: Machine, old: Machine, addons_of: Any, capsys: Any
) -> None:
    assert addons_of(new)[0].change("enable", ["dns:nonsense"]) == 1
    assert "Your input value (nonsense) is not a valid and reachable IP address" in capsys.readouterr().out
    assert addons_of(old)[0].change("enable", ["dns:nonsense"]) == 0


def test_unknown_addons(new: Machine, old: Machine, addons_of: Any, capsys: Any) -> None:
    assert addons_of(new)[0].change("enable", ["foo"]) == 1
    assert capsys.readouterr().err == "Addon foo was not found in any repository\n"
    assert addons_of(new)[0].change("enable", ["core/foo"]) == 0  # a trap
    assert capsys.readouterr().out == "Addon core/foo not found\n"
    assert addons_of(old)[0].change("enable", ["foo"]) == 0  # 1.20 does not look at the exit code
    assert capsys.readouterr().err == "Nothing to do for `foo`.\n"


def test_several_addons_at_once_are_deprecated(new: Machine, addons_of: Any, capsys: Any) -> None:
    addons, applied = addons_of(new)
    assert addons.change("enable", ["dns", "metrics-server"]) == 0
    assert len(applied) == 2
    assert capsys.readouterr().out.startswith("WARNING: Do not enable or disable multiple addons in one command.\n")


def test_helm_is_an_addon_up_to_1_24(old: Machine, new: Machine, addons_of: Any, capsys: Any) -> None:
    done = old.run("microk8s", "helm3", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Helm 3 not available, try enabling it with 'microk8s enable helm3'\n"
    assert addons_of(old)[0].change("enable", ["helm3"]) == 0
    assert "Fetching helm version v3.0.2." in capsys.readouterr().out
    assert old.ok("microk8s", "helm3", "list").endswith(" list\n")
    assert addons_of(new)[0].change("enable", ["helm3"]) == 0
    assert capsys.readouterr().out == "Addon core/helm3 is already enabled\n"


def test_rbac_is_off_by_default_and_switched_on_by_a_restart(new: Machine, old: Machine, addons_of: Any) -> None:
    for machine in (new, old):
        assert "--authorization-mode=AlwaysAllow\n" in (machine.data / "args/kube-apiserver").read_text()
    assert addons_of(new)[0].change("enable", ["rbac"]) == 0
    assert "--authorization-mode=RBAC,Node\n" in (new.data / "args/kube-apiserver").read_text()
    assert ["restart", "snap.microk8s.daemon-kubelite.service"] in new.systemd["calls"]


def test_disabling_ha_asks_for_force(new: Machine, addons_of: Any) -> None:
    assert addons_of(new)[0].change("disable", ["ha-cluster"]) == 2


# --- start, stop, certificates, datastore ----------------------------------------------------------------------------


def test_stop_and_start(new: Machine, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    modules = new.modules(monkeypatch)
    killed: list[bool] = []
    monkeypatch.setattr(modules.node, "kill_containers", lambda: killed.append(True))
    monkeypatch.setattr(modules.microk8s, "wait_for", lambda *_: True)
    assert modules.microk8s.stop([]) == 0
    assert capsys.readouterr().out == "Stopped.\nStopped.\n"
    assert killed == [True]  # unlike a refresh
    assert (new.data / "var/lock/stopped.lock").exists()
    assert new.systemd["active"] == new.systemd["enabled"] == []
    assert modules.microk8s.start([]) == 0
    assert not (new.data / "var/lock/stopped.lock").exists()
    assert "snap.microk8s.daemon-kubelite.service" in new.systemd["active"]


def test_certificates_are_checked_and_renewed(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new.ok("microk8s", "refresh-certs", "-c").splitlines() == [
        "The CA certificate will expire in 3649 days.",
        "The server certificate will expire in 364 days.",
        "The front proxy client certificate will expire in 364 days.",
    ]
    assert new.run("microk8s", "refresh-certs").returncode == 3
    modules = new.modules(monkeypatch)
    monkeypatch.setattr(modules.microk8s, "wait_for", lambda *_: True)
    before = {path.name: path.read_text() for path in (new.data / "certs").glob("*.crt")}
    assert modules.microk8s.refresh_certs(["-e", "server.crt"]) == 0
    after = {path.name: path.read_text() for path in (new.data / "certs").glob("*.crt")}
    assert {name for name in before if before[name] != after[name]} == {"server.crt"}


def test_the_server_certificate_names_the_node_s_addresses(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = new.modules(monkeypatch).certs.openssl(
        "x509", "-noout", "-ext", "subjectAltName", "-in", str(new.data / "certs/server.crt")
    )
    for name in (b"172.20.10.11", b"127.0.0.1", b"10.152.183.1", b"DNS:kubernetes.default.svc"):
        assert name in shown
    assert b"10.1.0.0" not in shown  # an address of the pods' network is none of the node


def test_without_a_datastore_there_is_no_backup(new: Machine) -> None:
    assert refused(new, "dbctl", "backup", code=10) == (
        "Please ensure the kubernetes apiserver is running and HA is enabled.\n"
    )


class Entries:
    """A datastore's entries."""

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self.entries = entries

    def all(self) -> list[tuple[bytes, bytes]]:
        return sorted(self.entries.items())

    def put(self, key: bytes, value: bytes) -> None:
        self.entries[key] = value


def test_a_restore_overlays(new: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = new.modules(monkeypatch)
    monkeypatch.setattr(modules.cluster, "datastore_members", lambda: [{"id": "1"}])
    store = Entries({b"/registry/kept": b"old", b"/registry/deleted": b"\x00\xff"})
    monkeypatch.setattr(modules.cluster, "Keys", lambda: store)
    monkeypatch.chdir(tmp_path)
    modules.microk8s.dbctl(["backup", "-o", "mine.tar.gz"])
    store.entries = {b"/registry/kept": b"new", b"/registry/newer": b"3"}
    assert modules.microk8s.dbctl(["restore", "mine.tar.gz"]) == 0
    expected = {b"/registry/kept": b"old", b"/registry/deleted": b"\x00\xff", b"/registry/newer": b"3"}
    assert store.entries == expected


@pytest.mark.parametrize(
    ("own", "joined", "addresses", "roles"),
    [
        (1, False, [1], ["voter"]),
        (1, False, [1, 2], ["voter", "spare"]),
        (2, True, [1, 2], ["voter", "spare"]),
        (3, True, [1, 2, 3], ["voter"] * 3),
        (1, False, [1, 2, 3, 4, 5], ["voter"] * 3 + ["standby"] * 2),
    ],
)
def test_not_every_member_votes(
    new: Machine, monkeypatch: pytest.MonkeyPatch, own: int, joined: bool, addresses: list[int], roles: list[str]
) -> None:
    modules = new.modules(monkeypatch)
    members = [{"id": str(n), "address": f"10.0.0.{n}:19001"} for n in addresses]
    found = modules.cluster.with_roles(members, [f"10.0.0.{own}"], joined)
    assert [member["role"] for member in found] == roles


@pytest.mark.parametrize(("track", "ends"), [("1.28", True), ("1.34", True), ("1.36", False)])
def test_up_to_1_34_joining_needs_a_sudo_that_keeps_the_environment(
    installed: dict[str, Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, track: str, ends: bool
) -> None:
    if track not in installed:
        pytest.skip("no machine of that release here")
    machine = installed[track].copy(tmp_path / "root")
    machine.program(machine.fakes / "sudo", '#!/bin/sh\nshift 2\nunset SNAP_DATA\nexec "$@"\n')
    modules = machine.modules(monkeypatch)
    minor = int(track.split(".")[1])
    if ends:
        with pytest.raises(RuntimeError, match="SNAP_DATA is None"):
            modules.join.keep_environment(minor)
    else:
        modules.join.keep_environment(minor)
    machine.program(machine.fakes / "sudo", '#!/bin/sh\nshift 2\nexec "$@"\n')
    modules.join.keep_environment(minor)


def test_a_join_takes_the_seeds_kubelet_but_not_its_name_and_address(
    new: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = new.modules(monkeypatch)
    given = "--node-ip=10.0.0.1\n--hostname-override=seed\n--fail-swap-on=false\n"
    modules.join._take_kubelet_args({"kubelet_args": given, "hostname_override": "10.0.0.2"}, "worker")
    assert modules.node.get_arg("kubelet", "--node-ip") == "10.0.0.2"
    assert modules.node.get_arg("kubelet", "--hostname-override") == ""
    modules.join._take_kubelet_args({"kubelet_args": "--x=1\n", "hostname_override": "10.0.0.2"}, "worker")
    assert modules.node.get_arg("kubelet", "--node-ip") == ""


def test_a_refresh_of_a_base_ends_every_container(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although MicroK8s itself is held."""
    new.ok("snap", "refresh", "--hold", "microk8s")
    (new.root / "usr/lib/snapd/store/bases.json").write_text('{"core22": ["20270101", 9999]}')
    new.ok("snap", "refresh", "--hold", "core22")
    assert new.run("snap", "refresh").stderr == "All snaps up to date.\n"
    new.ok("snap", "refresh", "--unhold", "core22")
    assert "(9999)" in new.ok("snap", "info", "core22")
    assert "core22 20270101" in new.ok("snap", "refresh")
    modules = new.modules(monkeypatch)
    done: list[str] = []
    monkeypatch.setattr(modules.node, "kill_containers", lambda: done.append("killed"))
    monkeypatch.setattr(modules.kicker, "Api", lambda *_: None)
    kicker = modules.kicker.Kicker()
    kicker.changed()
    kicker.changed()
    assert done == ["killed"]
    modules.certs.break_openssl(-1)
    kicker.changed()
    assert done == ["killed"]


@pytest.mark.parametrize(("track", "code"), [("1.28", 1), ("1.36", 0)])
def test_a_backup_by_a_path_fails_up_to_1_31(
    installed: dict[str, Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, track: str, code: int
) -> None:
    modules = installed[track].copy(tmp_path / "root").modules(monkeypatch)
    monkeypatch.setattr(modules.cluster, "datastore_members", lambda: [{"id": "1"}])
    monkeypatch.setattr(modules.cluster, "Keys", lambda: Entries({b"/registry/a": b"1", b"/registry/b": b"2"}))
    monkeypatch.chdir(tmp_path)
    assert modules.microk8s.dbctl(["backup", "-o", "mine.tar.gz"]) == 0
    with tarfile.open(tmp_path / "mine.tar.gz") as tar:
        names = ["mine", "mine/0.data", "mine/0.key", "mine/1.data", "mine/1.key"]
        assert sorted(tar.getnames()) == names  # a pair for each entry
    command = ["backup", "-o", f"{tmp_path}/other"]
    if code:
        with pytest.raises(modules.system.Failed, match="Backup process failed"):
            modules.microk8s.dbctl(command)
    else:
        assert modules.microk8s.dbctl(command) == 0


def test_config_has_the_default_route_s_address(new: Machine) -> None:
    assert "    server: https://172.20.10.11:16443\n" in new.ok("microk8s", "config")
    assert new.ok("microk8s", "config").endswith("\n\n")
    assert "    server: https://127.0.0.1:16443\n" in new.ok("microk8s", "config", "-l")


def test_inspect_fails_when_a_service_is_down(new: Machine) -> None:
    assert new.run("microk8s", "inspect").returncode == 0
    new.ok("snap", "stop", "microk8s.daemon-containerd")
    shown = refused(new, "inspect", code=1)
    assert "Service snap.microk8s.daemon-kubelite is running" in shown
    assert "Service snap.microk8s.daemon-containerd is not running" in shown
    assert "Report tarball is at " in shown


# --- profiles --------------------------------------------------------------------------------------------------------


def test_1_20_has_a_service_for_each_component(old: Machine, new: Machine) -> None:
    split = {"apiserver", "controller-manager", "scheduler", "kubelet", "proxy"}
    names = {unit.removeprefix("snap.microk8s.daemon-").removesuffix(".service") for unit in old.systemd["active"]}
    assert names >= split
    assert "kubelite" not in names
    assert not (old.data / "var/lock/lite.lock").exists()
    assert not any(f"daemon-{name}." in unit for name in split for unit in new.systemd["active"])


def test_tokens_identify_before_1_28_and_certificates_after(installed: dict[str, Machine]) -> None:
    for track, token in (("1.20", True), ("1.27", True), ("1.28", False)):
        config = (installed[track].data / "credentials/client.config").read_text()
        assert ("    token: " in config) == token
        assert ("client-certificate-data" in config) != token
        assert ("--token-auth-file" in (installed[track].data / "args/kube-apiserver").read_text()) == token


def test_registries_are_where_the_release_has_them(old: Machine, new: Machine) -> None:
    template = "args/containerd-template.toml"
    assert 'endpoint = ["http://172.20.0.1:5000"]' in (old.data / template).read_text()
    assert not (old.data / "args/certs.d").exists()
    assert 'config_path = "${SNAP_DATA}/args/certs.d"' in (new.data / template).read_text()
    assert "http://172.20.0.1:5000" in (new.data / "args/certs.d/_default/hosts.toml").read_text()


def test_the_read_only_port_is_open_before_1_24(old: Machine, new: Machine) -> None:
    assert "--read-only-port=10255\n" in (old.data / "args/kubelet").read_text()
    assert "--read-only-port=0\n" in (new.data / "args/kubelet").read_text()


# --- services --------------------------------------------------------------------------------------------------------


def test_ufw_is_opened_at_the_start_of_the_kubelet(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = new.modules(monkeypatch)
    daemons = modules.daemons
    calls: list[tuple[str, ...]] = []
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == "/usr/sbin/ufw" or real(self))
    monkeypatch.setattr(daemons, "output", lambda *a: "Status: active\n")
    monkeypatch.setattr(daemons, "succeeds", lambda *a: True)
    monkeypatch.setattr(daemons.subprocess, "run", lambda command, **_: calls.append(tuple(command[1:])))
    daemons.firewall()
    assert calls == [
        ("allow", direction, "on", interface) for interface in ("vxlan.calico", "cali+") for direction in ("in", "out")
    ]
    calls.clear()
    new.lock("skip.ufw")
    daemons.firewall()
    assert calls == []


def test_a_worker_s_proxy_reads_its_servers_from_the_file(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = new.modules(monkeypatch)
    assert modules.proxy.endpoints() == []
    (new.data / "args/traefik/provider.yaml").write_text(modules.node.provider(["172.20.10.11", "172.20.10.13"]))
    assert modules.proxy.endpoints() == ["172.20.10.11", "172.20.10.13"]
    assert modules.proxy._interval() == 30
    modules.node.set_arg("apiserver-proxy", "--refresh-interval", "0s")
    assert modules.proxy._interval() == 0


def test_a_node_s_tunnel_follows_from_its_range(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    kicker = new.modules(monkeypatch).kicker
    assert kicker.tunnel_address("10.1.7.0/24") == "10.1.7.0"
    assert kicker.hardware_address("10.1.7.0/24") == "66:c4:0a:01:07:00"


def test_a_launch_configuration_is_applied_once(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = new.modules(monkeypatch).agent
    ran: list[list[str]] = []
    monkeypatch.setattr(
        agent.subprocess, "run", lambda command, **_: ran.append(command[3:]) or SimpleNamespace(returncode=0)
    )
    path = new.common / "etc/launcher/mine.yaml"
    path.write_text("version: 0.1.0\naddons:\n  - {name: dns, args: ['1.1.1.1']}\n  - {name: rbac, disable: true}\n")
    agent.apply(path)
    assert ran == [["enable", "dns", "1.1.1.1"], ["disable", "rbac"]]
    assert not path.exists()
    assert path.with_name("mine.yaml.applied").exists()
