"""What machines bring along: packages, Python, certificates of every age, and how the roles meet them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[3]
MICROK8S = ROOT / "roles/microk8s"


def tasks(path: Path) -> t.Iterator[dict[str, t.Any]]:
    def walk(items: t.Any) -> t.Iterator[dict[str, t.Any]]:
        for item in items if isinstance(items, list) else []:
            yield item
            for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
                yield from walk(item.get(part))

    yield from walk(yaml.safe_load(path.read_text(encoding="utf-8")))


def evaluate(role: str, expression: str, **variables: t.Any) -> t.Any:
    """An expression as the role would see it: its defaults and private variables below those given."""
    loader = DataLoader()
    merged: dict[str, t.Any] = {"microk8s_seed": "a", "inventory_hostname": "a"}
    for part in ("defaults", "vars"):
        merged.update(loader.load_from_file(str(ROOT / f"roles/{role}/{part}/main.yml"), trusted_as_template=True))
    merged.update(variables)
    return Templar(loader, variables=merged).template(trust_as_template("{{ " + expression + " }}"))


# --- packages -------------------------------------------------------------------------------------------------------

INSTALLS = re.compile(r"^(ansible\.builtin\.)?(apt|package|dnf|yum)$|\.(aptitude|apt_repository)$")


def test_packages_are_installed_in_one_way() -> None:
    """apt's lock is held for minutes after a boot, and a package's hook restarts services under running validators."""
    found = {
        f"{path.relative_to(ROOT)}: {task['name']}"
        for folder in ("roles", "playbooks")
        for path in (ROOT / folder).rglob("*.yml")
        for task in tasks(path)
        if any(INSTALLS.search(key) for key in task)
    }
    assert {name.split(":")[0] for name in found} == {"roles/base/tasks/install.yml", "roles/base/tasks/packages.yml"}


@pytest.mark.parametrize("name", ["install", "packages"])
def test_it_waits_for_apt_and_restarts_nothing(name: str) -> None:
    for task in tasks(ROOT / f"roles/base/tasks/{name}.yml"):
        words = task.get("ansible.builtin.apt")
        if words:
            assert words["lock_timeout"] == "{{ base_apt_lock_timeout_seconds }}"
            assert words.keys() <= {"update_cache", "lock_timeout"} or task["environment"] == (
                "{{ __base_apt_environment }}"
            )
    variables = yaml.safe_load((ROOT / "roles/base/vars/main.yml").read_text())
    assert variables["__base_apt_environment"]["NEEDRESTART_MODE"] == "l"


@pytest.mark.parametrize(
    ("said", "restarts"),
    [
        ("REBOOT='true'", True),
        ("REBOOT='True'", True),
        ("REBOOT='1'", True),
        ("REBOOT='yes'", True),
        ("REBOOT='on'", True),
        ("REBOOT='enable'", True),
        ("REBOOT='false'", False),
        ("REBOOT='0'", False),
        ("REBOOT='no'", False),
        ("REBOOT=''", False),
        ("", False),
    ],
)
def test_whether_unattended_upgrades_restart_the_machine(said: str, restarts: bool) -> None:
    """As apt itself reads the word, not as one spells it."""
    assert (
        evaluate("base", "__base_reboots_itself", __base_verified={"stdout_lines": [said, "10.0.0.1  STREAM x"]})
        is restarts
    )


def test_where_the_own_name_leads() -> None:
    lines = ["REBOOT='false'", "10.0.0.1  STREAM x", "10.0.0.1  DGRAM", "127.0.1.1  STREAM"]
    assert evaluate("base", "__base_own_addresses", __base_verified={"stdout_lines": lines}) == [
        "10.0.0.1",
        "127.0.1.1",
    ]
    assert evaluate("base", "__base_own_addresses", __base_verified={"stdout_lines": lines[:1]}) == []


# --- which ansible-core for which Python ----------------------------------------------------------------------------


def test_the_table_of_pythons_is_that_of_the_ansible_core_here() -> None:
    from ansible import release
    from ansible.module_utils import basic

    table = yaml.safe_load((ROOT / "roles/base/vars/main.yml").read_text())["__base_supported_python"]
    core = ".".join(release.__version__.split(".")[:2])
    assert tuple(map(int, table[core][0].split("."))) == basic._PY_MIN  # type: ignore[attr-defined]
    text = (Path(basic.__file__).parents[1] / "config/base.yml").read_text()
    assert max(int(minor) for minor in re.findall(r"^  - python3\.(\d+)$", text, re.M)) == int(table[core][1][2:])


@pytest.mark.parametrize(
    ("core", "python", "suits", "use"),
    [
        ("2.19.14", "3.8.10", True, ["2.19"]),
        ("2.20.1", "3.8.10", False, ["2.19"]),
        ("2.21.0", "3.8.10", False, ["2.19"]),
        ("2.19.14", "3.14.0", False, ["2.20", "2.21"]),
        ("2.21.0", "3.14.0", True, ["2.20", "2.21"]),
        ("2.20.1", "3.10.12", True, ["2.19", "2.20", "2.21"]),
        # What neither knows is not refused.
        ("2.22.0", "3.8.10", True, ["2.19"]),
        ("2.19.14", "3.15.0", True, []),
        ("2.19.14", "", True, []),
    ],
)
def test_a_python_that_the_core_does_not_run_on(
    tmp_path: Path, core: str, python: str, suits: bool, use: list[str]
) -> None:
    (task,) = [
        task
        for task in tasks(ROOT / "roles/base/tasks/preflight.yml")
        if task["name"] == "preflight | Refuse a Python that this ansible-core does not run on"
    ]
    (condition,) = task["ansible.builtin.assert"]["that"]
    given = {"ansible_version": {"full": core}, "ansible_facts": {"python_version": python}}
    assert evaluate("base", condition, **given) is suits
    if python:
        assert evaluate("base", "__base_cores_for_python", **given) == use


# --- certificates ---------------------------------------------------------------------------------------------------


def certificate(days: float) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubelet")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime.now(UTC) + timedelta(days=days))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Node:
    """A node's certificates, and the program that looks at them where the role puts it."""

    def __init__(self, root: Path) -> None:
        self.data, self.note = root / "current", root / "motd.d/note"
        (self.data / "certs").mkdir(parents=True)
        (self.data / "credentials").mkdir()
        (self.data / "var/lock").mkdir(parents=True)
        self.program = root / "lib/certificates.py"
        self.program.parent.mkdir()
        shutil.copy(MICROK8S / "files/certificates.py", self.program)
        shutil.copy(ROOT / "plugins/module_utils/cluster/_microk8s.py", self.program.parent)

    def look(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", self.program, "30"],
            env={**os.environ, "ETH2XK8S_SNAP_DATA": str(self.data), "ETH2XK8S_NOTE": str(self.note)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def certified(tmp_path: Path) -> Node:
    found = Node(tmp_path)
    for name in ("ca", "server", "kubelet", "front-proxy-client"):
        (found.data / f"certs/{name}.crt").write_bytes(certificate(300))
    return found


@pytest.mark.parametrize(
    ("name", "days", "says"),
    [
        ("kubelet", 12.5, "certs/kubelet.crt ends in 12 days"),
        ("server", 29.5, "certs/server.crt ends in 29 days"),
        ("ca", 1.5, "certs/ca.crt ends in 1 days"),
        ("front-proxy-client", -3, "certs/front-proxy-client.crt ended on"),
    ],
)
def test_the_machine_itself_says_which_certificates_end(certified: Node, name: str, days: float, says: str) -> None:
    assert certified.look().returncode == 0
    assert not certified.note.exists()
    (certified.data / f"certs/{name}.crt").write_bytes(certificate(days))
    done = certified.look()
    assert (done.returncode, done.stderr) == (1, ""), "a unit that failed is what monitoring sees"
    assert f"<4>MicroK8s: {says}" in done.stdout
    assert says in certified.note.read_text()
    (certified.data / f"certs/{name}.crt").write_bytes(certificate(300))
    assert certified.look().returncode == 0
    assert not certified.note.exists()


def test_a_certificate_that_cannot_be_read_is_said(certified: Node) -> None:
    (certified.data / "certs/server.crt").write_text("")
    done = certified.look()
    assert done.returncode == 1
    assert "could not be read" in certified.note.read_text()


def test_a_machine_without_microk8s_says_nothing(certified: Node) -> None:
    shutil.rmtree(certified.data)
    assert certified.look().returncode == 0


# --- what stands in the way -----------------------------------------------------------------------------------------


def condition(file: str, name: str) -> str:
    (task,) = [task for task in tasks(MICROK8S / f"tasks/{file}.yml") if task["name"] == f"{file} | {name}"]
    return " and ".join(f"({part})" for part in task["ansible.builtin.assert"]["that"])


def here(**more: t.Any) -> dict[str, t.Any]:
    return {"snap": None, "sudo": None, "foreign_launch_files": [], "bases": [], **more}


@pytest.mark.parametrize(
    ("sudo", "snap", "channel", "passes"),
    [
        ({"version": "sudo-rs 0.2.15", "keeps_environment": False}, None, "1.34/stable", False),
        ({"version": "sudo-rs 0.2.15", "keeps_environment": False}, None, "1.35/stable", True),
        ({"version": "Sudo version 1.9", "keeps_environment": False}, None, "1.28/stable", False),
        ({"version": "sudo-rs 0.9", "keeps_environment": True}, None, "1.28/stable", True),
        # What is installed counts, not what the inventory says.
        ({"version": "sudo-rs", "keeps_environment": False}, {"version": "v1.32.1"}, "1.36/stable", False),
        (None, None, "1.28/stable", True),
    ],
)
def test_a_sudo_that_drops_the_environment_is_refused(sudo: t.Any, snap: t.Any, channel: str, passes: bool) -> None:
    given = {"__microk8s_here": here(sudo=sudo, snap=snap), "microk8s_channel": channel}
    assert evaluate("microk8s", condition("sudo", "Check that sudo hands the environment on"), **given) is passes


@pytest.mark.parametrize(
    ("files", "snap", "channel", "passes"),
    [
        ([], None, "1.36/stable", True),
        (["/etc/microk8s.yaml"], None, "1.36/stable", False),
        (["/root/snap/microk8s/common/.microk8s.yaml"], None, "1.27/stable", False),
        (["/etc/microk8s.yaml"], None, "1.26/stable", True),
        (["/etc/microk8s.yaml"], {"version": "v1.36.0"}, "1.36/stable", True),
    ],
)
def test_a_launch_file_that_wins_over_the_roles_is_refused(
    files: list[str], snap: t.Any, channel: str, passes: bool
) -> None:
    given = {"__microk8s_here": here(foreign_launch_files=files, snap=snap), "microk8s_channel": channel}
    name = "Check that no other launch configuration wins"
    assert evaluate("microk8s", condition("preflight", name), **given) is passes


@pytest.mark.parametrize(
    ("other", "copies"),
    [
        ({"machine_id": "4f5a", "system_uuid": ""}, ["b"]),
        ({"machine_id": "4f5a", "system_uuid": "another"}, []),
        ({"machine_id": "99aa", "system_uuid": ""}, []),
        ({"machine_id": "", "system_uuid": ""}, []),
    ],
)
def test_a_copy_of_another_machine_is_refused_before_it_joins(other: dict[str, str], copies: list[str]) -> None:
    (task,) = [task for task in tasks(MICROK8S / "tasks/preflight.yml") if "not a copy of another" in task["name"]]
    text = task["vars"]["__microk8s_copies"]
    mine = {"machine_id": "4f5a", "system_uuid": ""}
    hosts = {"a": {"__microk8s_here": {"identity": mine}}, "b": {"__microk8s_here": {"identity": other}}, "c": {}}
    given = {"hostvars": hosts, "ansible_play_hosts": ["a", "b", "c"], "__microk8s_here": {"identity": mine}}
    variables = {"inventory_hostname": "a", **given}
    assert Templar(DataLoader(), variables=variables).template(trust_as_template(text)) == copies


def test_a_node_that_no_machine_of_the_run_has_stays_behind() -> None:
    (task,) = [task for task in tasks(MICROK8S / "tasks/upgrade_check.yml") if "every node of" in task["name"]]
    text = task["vars"]["__microk8s_absent_nodes"]
    nodes = [{"name": name, "addresses": [f"10.0.0.{n}"], "ready": True} for n, name in enumerate("abc", 1)]
    hosts = {
        "a": {"ansible_host": "10.0.0.1", "__microk8s_here": {"name": "a", "addresses": []}},
        "other": {"microk8s_address": "10.0.0.2", "__microk8s_here": {"name": "b", "addresses": []}},
        "c": {"ansible_host": "10.0.0.3", "__microk8s_here": {"unreachable": True}},
    }
    variables = {"hostvars": hosts, "ansible_play_hosts_all": list(hosts), "__microk8s_there": {"nodes": nodes}}
    assert Templar(DataLoader(), variables=variables).template(trust_as_template(text)) == ["c"]


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ("Connection failed. Failed waiting for dqlite cluster to come up (500).", True),
        ("Connection failed. Failed to list the cluster's nodes: timeout (500).", True),
        ("Connection failed. The joining node (10.0.0.2) is already known to dqlite (500).", False),
        ("Connection failed. Failed to retrieve nodes: the joining node is already known to dqlite (500).", False),
        ("Connection failed. Invalid token (500).", False),
        ("Connection failed. The hostname does not resolve (400).", False),
    ],
)
def test_only_what_cannot_come_by_itself_ends_the_attempts_to_join(said: str, again: bool) -> None:
    (join,) = [task for task in tasks(MICROK8S / "tasks/join_cluster.yml") if task["name"] == "join_cluster | Join"]
    done = evaluate("microk8s", join["until"], __microk8s_join={"rc": 6, "stdout": said})
    assert done is not again
    assert join["retries"] * join["delay"] >= 60


def test_bases_are_held_and_refreshed_with_microk8s() -> None:
    bases = [
        {"name": "core22", "revision": "2411", "held": False},
        {"name": "snapd", "revision": "24792", "held": True},
    ]
    snap = {"held": True, "version": "v1.36.3", "revision": "9024", "channel": "1.36/stable"}
    given = {"__microk8s_here": here(bases=bases, snap=snap)}
    assert evaluate("microk8s", "__microk8s_free_snaps", **given) == ["core22"]
    given["__microk8s_here"]["snap"] = {**snap, "held": False}
    assert evaluate("microk8s", "__microk8s_free_snaps", **given) == ["microk8s", "core22"]
    assert evaluate("microk8s", "__microk8s_old_bases", **given) == []
    offered = {"core22": 2412, "snapd": 24792, "core24": 99999}
    assert evaluate("microk8s", "__microk8s_old_bases", **given, __microk8s_offered_bases=offered) == ["core22"]


def test_a_node_is_drained_only_while_changes_are_delivered() -> None:
    """Every way to drain comes through the probe first, before anything is changed."""
    first = next(tasks(MICROK8S / "tasks/drain_node.yml"))
    assert first["ansible.builtin.include_tasks"]["file"] == "watches.yml"
    steps = [
        (task["ansible.builtin.include_role"]["name"], task["ansible.builtin.include_role"]["tasks_from"])
        for task in tasks(ROOT / "playbooks/drain.yml")
        if "ansible.builtin.include_role" in task
    ]
    collection = "eth2xk8s.staking"
    assert steps.index((f"{collection}.microk8s", "watches.yml")) < steps.index((f"{collection}.prysm_helm", "drain"))


def test_the_seed_is_the_one_control_plane_unless_others_are_named() -> None:
    (probe, *_) = tasks(MICROK8S / "tasks/watches.yml")
    tried = probe["loop"].strip("{} ")
    assert evaluate("microk8s", tried) == ["a"]
    assert evaluate("microk8s", tried, microk8s_control_planes=["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("results", "without"),
    [
        ([{"host": "a", "delivered": True}, {"host": "b", "delivered": True}], []),
        ([{"host": "a", "delivered": False, "reason": "no event"}, {"host": "b", "delivered": True}], ["a: no event"]),
        ([{"host": "a", "delivered": True}, {"host": "b", "msg": "timed out", "unreachable": True}], ["b: timed out"]),
        # The cluster knows that this one is away.
        ([{"host": "a", "delivered": True}, {"host": "c", "msg": "timed out", "unreachable": True}], []),
    ],
)
def test_which_control_planes_deliver_no_watch_events(results: list[dict[str, t.Any]], without: list[str]) -> None:
    nodes = [
        {"name": "a", "addresses": ["10.0.0.1"], "ready": True},
        {"name": "b", "addresses": ["10.0.0.2"], "ready": True},
        {"name": "c", "addresses": ["10.0.0.3"], "ready": False},
    ]
    watches = [
        {**{k: v for k, v in one.items() if k != "host"}, "__microk8s_watched_host": one["host"]} for one in results
    ]
    hosts = {name: {"ansible_host": f"10.0.0.{number}"} for number, name in enumerate("abc", 1)}
    given = {"__microk8s_there": {"nodes": nodes}, "__microk8s_watches": {"results": watches}, "hostvars": hosts}
    assert evaluate("microk8s", "__microk8s_without_watch_events", **given) == without


# --- what the role writes -------------------------------------------------------------------------------------------


def launch(role: str, seed: str, **more: t.Any) -> dict[str, t.Any]:
    given = {"microk8s_address": "10.0.0.2", "microk8s_node_role": role, "microk8s_seed": seed, **more}
    return t.cast("dict[str, t.Any]", yaml.safe_load(evaluate("microk8s", "__microk8s_launch_text", **given)))


def test_a_node_registers_under_the_address_of_the_inventory() -> None:
    worker, plane, seed = launch("worker", "b"), launch("control_plane", "b"), launch("control_plane", "a")
    for written in (worker, plane, seed):
        assert written["extraKubeletArgs"]["--node-ip"] == "10.0.0.2"
        assert written["extraKubeletArgs"]["--cluster-dns"] == "10.152.183.10"
    assert "extraKubeAPIServerArgs" not in worker
    assert plane["extraKubeAPIServerArgs"] == {"--advertise-address": "10.0.0.2"}
    assert seed["extraKubeAPIServerArgs"] == {
        "--advertise-address": "10.0.0.2",
        "--authorization-mode": "RBAC,Node",
    }
    own = launch("worker", "b", microk8s_launch_configuration={"extraKubeletArgs": {"--node-ip": "10.9.9.9"}})
    assert own["extraKubeletArgs"]["--node-ip"] == "10.9.9.9"


def test_the_daily_look_is_the_modules_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MICROK8S)
    files = evaluate("microk8s", "__microk8s_certificate_timer_files", role_path=str(MICROK8S))
    assert (
        files["/usr/local/lib/eth2xk8s/_microk8s.py"]
        == (ROOT / "plugins/module_utils/cluster/_microk8s.py").read_text()
    )
    assert files["/usr/local/lib/eth2xk8s/certificates.py"] == (MICROK8S / "files/certificates.py").read_text()
    service = files["/etc/systemd/system/eth2xk8s-certificates.service"]
    assert "\nExecStart=/usr/bin/python3 -I /usr/local/lib/eth2xk8s/certificates.py 30\n" in service
    assert "\nPersistent=true\n" in files["/etc/systemd/system/eth2xk8s-certificates.timer"]
