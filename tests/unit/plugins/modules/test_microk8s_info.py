"""The module against programs that lie the way snap and MicroK8s do."""

from __future__ import annotations

import json
import socket
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.modules import microk8s_info

WORKER_SAYS = (
    "This MicroK8s deployment is acting as a node in a cluster. Please use the microk8s kubectl on the master."
)
CLUSTER = json.dumps(
    {
        "items": [
            {
                "kind": "Lease",
                "metadata": {"name": "master", "namespace": "kube-node-lease"},
                "spec": {"renewTime": "2999-01-01T00:00:00.000000Z"},
            },
            {
                "kind": "Node",
                "metadata": {"name": "master"},
                "spec": {},
                "status": {
                    "addresses": [{"type": "InternalIP", "address": "172.20.10.11"}],
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "nodeInfo": {"kubeletVersion": "v1.36.0", "machineID": "4f5a", "bootID": "b-1"},
                },
            },
        ]
    }
)


class Machine:
    """A machine with a fake snap, and a fake MicroK8s whose answers a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.data = root / "current"

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def install(self, notes: str = "classic") -> None:
        self.program(
            "snap",
            'if [ "$1" = version ]; then printf "snap 2.66\\nsnapd   2.66\\n"; exit; fi\n'
            f'echo "microk8s  v1.36.0  9000  1.36/stable  canonical**  {notes}"',
        )
        (self.data / "var/lock").mkdir(parents=True)

    def listen(self) -> None:
        """An API server that accepts connections, on a port of its own."""
        self.server = socket.create_server(("127.0.0.1", 0))
        (self.data / "args").mkdir()
        (self.data / "args/kube-apiserver").write_text(f"--secure-port={self.server.getsockname()[1]}\n")

    def run(self, capsys: pytest.CaptureFixture[str], **arguments: t.Any) -> dict[str, t.Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            microk8s_info.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    made.program("ip", 'echo "2: eth0    inet 172.20.10.11/20 brd 172.20.15.255 scope global eth0"')
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    monkeypatch.setattr(microk8s_info, "PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(microk8s_info, "SNAPD_STATE", tmp_path / "state.json")
    monkeypatch.setattr(microk8s_info, "MICROK8S", str(made.bin / "microk8s"))
    monkeypatch.setattr(microk8s_info, "Files", lambda: microk8s_info_files(made.data))
    return made


def microk8s_info_files(data: Path) -> t.Any:
    from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import Files

    return Files(data)


def test_reads_a_bare_machine(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    result = machine.run(capsys, cluster=True, addons=["dns"], wait_seconds=60)
    assert result["snapd"]["present"] is False
    assert result["snap"] is None
    assert result["membership"]["state"] == "absent"
    assert result["api"] == {"ready": False, "reason": "MicroK8s is not installed", "answered": False}
    assert result["addresses"] == ["172.20.10.11"]
    assert result["changed"] is False


def test_reads_the_addresses_of_both_families(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """A node may be registered under IPv6 alone, and is this machine's all the same."""
    six = "2: eth0    inet6 {0}/64 scope {1} {2}\\       valid_lft forever preferred_lft forever"
    machine.program(
        "ip",
        "\n".join(
            f"echo '{line}'"
            for line in (
                "1: lo    inet6 ::1/128 scope host",
                "2: eth0    inet 172.20.10.11/20 brd 172.20.15.255 scope global eth0",
                six.format("2001:db8::12", "global", "dynamic mngtmpaddr"),
                six.format("fd00::c", "global", "").replace("scope", "metric 512 scope"),
                six.format("fe80::1", "link", ""),
            )
        ),
    )
    assert machine.run(capsys)["addresses"] == ["172.20.10.11", "2001:db8::12", "fd00::c"]


def test_a_snapd_that_does_not_answer_is_a_failure_not_a_bare_machine(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.program("snap", 'echo "error: cannot communicate with server" >&2; exit 1')
    result = machine.run(capsys)
    assert result["failed"] is True
    assert "cannot communicate with server" in result["msg"]


@pytest.mark.parametrize(
    ("until", "held"),
    [
        pytest.param("2026-12-02T10:00:00Z", False, id="for-some-days"),
        pytest.param("2318-03-10T09:47:16.854775807Z", True, id="for-good"),
        pytest.param(None, True, id="by-a-snapd-that-does-not-say"),
    ],
)
def test_what_is_held_for_a_time_is_not_held(
    machine: Machine, capsys: pytest.CaptureFixture[str], until: str | None, held: bool
) -> None:
    """`snap list` says held all the same, and snapd refreshes when the time is over."""
    machine.install("classic,held")
    hold = {"first-held": "2026-11-29T10:00:00Z", "hold-until": until, "level": 1}
    state = {"data": {"snaps-hold": {"microk8s": {"system": hold}}} if until else {"auth": {}}}
    (machine.root / "state.json").write_text(json.dumps(state))
    result = machine.run(capsys)
    assert result["snap"]["held"] is held
    assert result["snapd"]["can_hold"] is True


def test_does_not_take_a_workers_excuse_for_an_answer(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program("microk8s", f'echo "{WORKER_SAYS}"; exit 0')
    result = machine.run(capsys, cluster=True)
    assert result["api"] == {"ready": False, "reason": WORKER_SAYS, "answered": False}
    assert result["nodes"] == []


def test_waits_until_the_node_is_there(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.listen()
    machine.program(
        "microk8s",
        f'echo x >> {machine.root}/calls; if [ "$(wc -l < {machine.root}/calls)" -lt 2 ]; then\n'
        f"echo refused >&2; exit 1; fi; echo '{CLUSTER}'",
    )
    result = machine.run(capsys, cluster=True, wait_for=["Master"], wait_seconds=30)
    assert result["missing"] == []
    assert result["api"]["ready"] is True


def test_a_cluster_that_only_starts_is_left_to_its_work(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.listen()
    machine.server.close()
    machine.program("microk8s", f"echo x >> {machine.root}/calls; echo refused >&2; exit 1")
    result = machine.run(capsys, cluster=True, wait_for=["master"], wait_seconds=4)
    assert result["api"]["reason"] == "refused"
    assert (machine.root / "calls").read_text().count("x") == 2


@pytest.mark.parametrize("port", ["${PORT}", "99999999", "-1"])
def test_a_port_that_is_none_is_not_waited_for(machine: Machine, capsys: pytest.CaptureFixture[str], port: str) -> None:
    """MicroK8s' files of arguments take what an operator writes into them; the waiting must not end in a traceback."""
    machine.install()
    (machine.data / "args").mkdir()
    (machine.data / "args/kube-apiserver").write_text(f"--secure-port={port}\n")
    machine.program("microk8s", "echo refused >&2; exit 1")
    result = machine.run(capsys, cluster=True, wait_for=["master"], wait_seconds=1)
    assert result["api"]["reason"] == "refused"


def test_waiting_ends(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program("microk8s", f"echo '{CLUSTER}'")
    result = machine.run(capsys, cluster=True, wait_for=["worker"], wait_seconds=1)
    assert result["missing"] == ["worker"]


def test_does_not_wait_for_what_somebody_stopped(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    (machine.data / "var/lock/stopped.lock").touch()
    machine.program("microk8s", 'echo "microk8s is not running, try microk8s start" >&2; exit 1')
    result = machine.run(capsys, cluster=True, wait_seconds=600)
    assert result["membership"]["stopped"] is True
    assert "not running" in result["api"]["reason"]


def test_addons_unknown_are_none_rather_than_disabled(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program(
        "microk8s",
        f"if [ \"$1\" = kubectl ]; then echo '{CLUSTER}'; else echo 'microk8s is not running.'; fi",
    )
    result = machine.run(capsys, cluster=True, addons=["dns"])
    assert result["api"]["ready"] is True
    assert result["addons"] is None


COREDNS = {
    "kind": "Deployment",
    "metadata": {"name": "coredns", "namespace": "kube-system", "generation": 1},
    "spec": {"replicas": 1},
    "status": {"observedGeneration": 1, "updatedReplicas": 1},
}


STATUS = "printf 'microk8s is running\\naddons:\\ncore/metallb: %s\\n'"


@pytest.mark.parametrize(
    ("available", "state", "calls"),
    [
        pytest.param(1, "enabled", 1, id="all-there"),
        pytest.param(0, "enabled", 0, id="its-pods-do-not-run"),
        pytest.param(1, "disabled", 1, id="enable-said-0-and-did-nothing"),
    ],
)
def test_an_addon_is_there_when_it_is_enabled_and_runs(
    machine: Machine, capsys: pytest.CaptureFixture[str], available: int, state: str, calls: int
) -> None:
    """`microk8s enable` returns before anything runs, and that of 1.20 succeeds whatever happens (trap 3)."""
    machine.install()
    status = {**COREDNS["status"], "availableReplicas": available}  # type: ignore[dict-item]
    cluster = json.dumps({"items": [*json.loads(CLUSTER)["items"], {**COREDNS, "status": status}]})
    machine.program(
        "microk8s",
        f"if [ \"$1\" = kubectl ]; then echo '{cluster}'; exit; fi; echo x >> {machine.root}/asked\n{STATUS} {state}",
    )
    wait = {"wait_addons": True, "wait_deployments": ["kube-system/coredns"]}
    result = machine.run(capsys, cluster=True, addons=["dns", "metallb"], **wait)
    asked = machine.root / "asked"
    assert len(asked.read_text().splitlines() if asked.exists() else []) == calls
    assert result.get("addons") == ({"metallb": state == "enabled"} if calls else None)
    assert result["deployments"][0]["available"] is bool(available)


def test_what_the_cluster_shows_need_not_be_asked(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    cluster = json.dumps({"items": [*json.loads(CLUSTER)["items"], COREDNS]})
    machine.program("microk8s", f"[ \"$1\" = kubectl ] || exit 1; echo '{cluster}'")
    (machine.data / "bin").mkdir()
    (machine.data / "bin/helm3").touch()
    assert machine.run(capsys, cluster=True, addons=["dns", "helm3"])["addons"] == {"dns": True, "helm3": True}


def test_waits_for_an_addon_that_is_not_enabled_yet(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program(
        "microk8s",
        f"if [ \"$1\" = kubectl ]; then echo '{CLUSTER}'; exit; fi; echo x >> {machine.root}/calls\n"
        f'state=disabled; [ "$(wc -l < {machine.root}/calls)" -lt 2 ] || state=enabled\n{STATUS} $state',
    )
    result = machine.run(capsys, cluster=True, addons=["metallb"], wait_addons=True, wait_seconds=30)
    assert result["addons"] == {"metallb": True}


def test_reads_whom_the_clusters_dns_asks(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program(
        "microk8s",
        f"case \"$*\" in *coredns*) echo '    forward . 1.1.1.1 9.9.9.9';; *) echo '{CLUSTER}';; esac",
    )
    assert machine.run(capsys, cluster=True, dns=True)["dns_servers"] == ["1.1.1.1", "9.9.9.9"]


def test_ready_at_the_old_version_is_not_ready(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program("microk8s", f"echo '{CLUSTER}'")
    assert machine.run(capsys, cluster=True, wait_for=["master"], wait_version="1.36.")["missing"] == []
    assert machine.run(capsys, cluster=True, wait_for=["master"], wait_version="1.37.")["missing"] == ["master"]


@pytest.mark.parametrize(
    ("rule", "forgets"),
    [
        ("# by hand\nR! /var/lib/cni/results - - - - -\n", True),
        ("R /var/lib/cni\n", True),
        ("# R! /var/lib/cni/results - - - - -\n", False),
        ("R! /var/lib/cni/networks - - - - -\n", False),
    ],
)
def test_whether_a_start_of_the_machine_forgets_pods_networks(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rule: str, forgets: bool
) -> None:
    monkeypatch.setattr(microk8s_info, "TMPFILES", machine.root)
    assert machine.run(capsys)["machine"]["forgets_pod_networks"] is False
    (machine.root / "own.conf").write_text(rule)
    assert machine.run(capsys)["machine"]["forgets_pod_networks"] is forgets


def test_asks_the_store_only_when_told_to(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    with (machine.bin / "snap").open("a") as f:
        f.write("if [ \"$1\" = info ]; then echo '  1.36/stable:  v1.36.3  2026-06-30 (9024) 168MB classic'; fi\n")
    assert "offered_revision" not in machine.run(capsys)
    assert machine.run(capsys, offered_in="1.36/stable")["offered_revision"] == 9024
    assert machine.run(capsys, offered_in="1.37/stable")["offered_revision"] is None


def test_remembers_an_api_that_answered_and_fell_silent(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """A control plane whose new API server answered even once is not reverted."""
    machine.install()
    machine.program(
        "microk8s",
        f'echo x >> {machine.root}/calls; if [ "$(wc -l < {machine.root}/calls)" -gt 1 ]; then\n'
        f"echo refused >&2; exit 1; fi; echo '{CLUSTER}'",
    )
    result = machine.run(capsys, cluster=True, wait_for=["worker"], wait_seconds=2)
    assert result["api"] == {"ready": False, "reason": "refused", "answered": True}


def test_waits_for_a_machine_whatever_it_is_called(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program("microk8s", f"echo '{CLUSTER}'")
    ids = {"machine_id": "4f5a", "system_uuid": "", "boot_id": "b-1", "booted": 1.0}
    assert machine.run(capsys, cluster=True, wait_machine=ids)["missing"] == []
    assert machine.run(capsys, cluster=True, wait_machine={**ids, "machine_id": "other"})["missing"] == [""]
    assert machine.run(capsys, cluster=True, wait_machine=ids, wait_version="1.37.")["missing"] == ["master"]


def test_a_node_whose_lease_is_old_is_waited_for(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    machine.program("microk8s", f"echo '{CLUSTER.replace('2999', '1999')}'")
    result = machine.run(capsys, cluster=True, wait_for=["master"])
    assert result["missing"] == ["master"]
    assert result["nodes"][0]["reported_ready"] is True


def test_names_the_kubelets_own_name_and_address(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    assert machine.run(capsys)["node_ip"] is None
    (machine.data / "args").mkdir()
    (machine.data / "args/kubelet").write_text("--hostname-override=rack2\n--node-ip=172.20.10.12\n")
    result = machine.run(capsys)
    assert (result["name"], result["node_ip"]) == ("rack2", "172.20.10.12")
    assert set(result["identity"]) == {"machine_id", "system_uuid", "boot_id", "booted"}


def test_says_who_votes_only_when_asked(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install()
    members = "high-availability:\\n  enabled: True\\n  nodes:\\n    - address: 10.0.0.1:19001\\n      role: voter\\n"
    machine.program("microk8s", f"case \"$1\" in kubectl) echo '{CLUSTER}';; *) printf '{members}';; esac")
    assert "datastore" not in machine.run(capsys, cluster=True)
    found = machine.run(capsys, cluster=True, datastore=True)["datastore"]
    assert found == [{"address": "10.0.0.1:19001", "role": "voter"}]


def test_reads_what_snapd_may_refresh_below_microk8s(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.install("classic,held")
    with (machine.bin / "snap").open("a") as f:
        f.write(
            'echo "core22  1  2411  latest/stable  canonical**  base"\n'
            'if [ "$1" = info ]; then echo "  latest/stable:  20260801 2026-08-02 (2500) 66MB base"; fi\n'
        )
    script = (machine.bin / "snap").read_text().replace('echo "microk8s', 'echo "Name  Version  Rev"\necho "microk8s')
    (machine.bin / "snap").write_text(script)
    (base,) = machine.run(capsys)["bases"]
    assert (base["name"], base["held"], "offered_revision" in base) == ("core22", False, False)
    assert machine.run(capsys, offered_in="1.36/stable")["bases"][0]["offered_revision"] == 2500


SUDOS = {
    "sudo": ("Sudo version 1.9.15p5", 'shift 2; exec "$@"', True),
    "sudo-rs": ("sudo-rs 0.2.15", 'shift 2; unset SNAP_DATA; exec "$@"', False),
    "a-policy-that-forbids-it": ("Sudo version 1.9.15p5", 'echo "sorry, you are not allowed" >&2; exit 1', False),
    "another-program": ("doas", "exit 1", False),
}


@pytest.mark.parametrize(("version", "does", "keeps"), SUDOS.values(), ids=SUDOS)
def test_sudo_is_judged_by_what_it_does(
    machine: Machine, capsys: pytest.CaptureFixture[str], version: str, does: str, keeps: bool
) -> None:
    machine.program("sudo", f'if [ "$1" = --version ]; then echo "{version}"; exit; fi\n{does}')
    assert "sudo" not in machine.run(capsys)
    assert machine.run(capsys, sudo=True)["sudo"] == {"version": version, "keeps_environment": keeps}


def test_names_the_launch_files_of_others(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (machine.root / "etc.yaml", machine.root / "root.yaml", machine.root / "own.yaml")
    monkeypatch.setattr(microk8s_info, "LAUNCH_FILES", places)
    assert machine.run(capsys)["foreign_launch_files"] == []
    for place in places:
        place.touch()
    assert machine.run(capsys)["foreign_launch_files"] == [str(places[0]), str(places[1])]
