"""The program `snap`, held against what is known of the real one.

Each test names the claim it checks; together they are what `community.general.snap` and an administrator rely on.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from standin_machine import Machine

# What the lab stands on, tried with everything that needs the lab.
pytestmark = pytest.mark.thorough
INSTALL = ("snap", "install", "--classic", "--channel", "1.28/stable", "microk8s")


@pytest.fixture(scope="session")
def installed_once(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine.new(tmp_path_factory.mktemp("installed") / "root")
    done = machine.run(*INSTALL)
    assert done.returncode == 0, done
    return machine


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    return Machine.new(tmp_path / "root")


@pytest.fixture
def machine(installed_once: Machine, tmp_path: Path) -> Machine:
    return installed_once.copy(tmp_path / "installed")


# --- looking ---------------------------------------------------------------------------------------------------------


def test_version_is_lines_of_two_words(bare: Machine) -> None:
    lines = [line.split() for line in bare.ok("snap", "version").splitlines()]
    assert {words[0] for words in lines} >= {"snap", "snapd", "series", "kernel"}
    assert all(len(words) == 2 for words in lines)


def test_list_on_a_bare_machine_says_so_on_stderr_and_succeeds(bare: Machine) -> None:
    done = bare.run("snap", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "No snaps are installed yet. Try 'snap install hello-world'.\n"


def test_list_of_an_absent_snap_fails(machine: Machine) -> None:
    done = machine.run("snap", "list", "nothing")
    assert (done.returncode, done.stderr) == (1, "error: no matching snaps installed\n")


def test_list_has_the_columns_that_the_module_parses(machine: Machine) -> None:
    lines = machine.ok("snap", "list").splitlines()
    assert lines[0].split() == ["Name", "Version", "Rev", "Tracking", "Publisher", "Notes"]
    row = next(line for line in lines if line.startswith("microk8s"))
    assert re.fullmatch(r"microk8s\s+v1\.28\.15\s+7394\s+1\.28/stable\s+canonical\*\*\s+classic", row)
    assert {line.split()[0] for line in lines[1:]} == {"core20", "microk8s", "snapd"}


def test_info_names_the_snap_whether_installed_or_not(bare: Machine, machine: Machine) -> None:
    assert re.search(r"^name:\s+microk8s$", bare.ok("snap", "info", "microk8s"), re.M)
    shown = machine.ok("snap", "info", "microk8s")
    assert re.search(r"^tracking:\s+1\.28/stable$", shown, re.M)
    assert "microk8s.daemon-kubelite: simple, enabled, active" in shown
    assert re.search(r"^installed:\s+v1\.28\.15\s+\(7394\) 168MB classic$", shown, re.M)


def test_info_of_an_unknown_snap_fails(bare: Machine) -> None:
    done = bare.run("snap", "info", "x")
    assert (done.returncode, done.stderr) == (1, 'error: no snap found for "x"\n')


def test_several_infos_are_separated_and_the_missing_one_is_a_warning(machine: Machine) -> None:
    assert "\n---\n" in machine.ok("snap", "info", "microk8s", "core20")
    assert 'warning: no snap found for "x"' in machine.ok("snap", "info", "microk8s", "x")


def test_info_needs_the_store_only_for_what_is_not_installed(bare: Machine, machine: Machine) -> None:
    for each in (bare, machine):
        (each.root / "usr/lib/snapd/store/offline").touch()
    assert bare.run("snap", "info", "microk8s").returncode == 1
    assert machine.run("snap", "info", "microk8s").returncode == 0


# --- installing ------------------------------------------------------------------------------------------------------


def test_install_says_what_it_installed(bare: Machine) -> None:
    assert bare.ok(*INSTALL) == "microk8s (1.28/stable) v1.28.15 from Canonical** installed\n"


def test_install_twice_succeeds_and_changes_nothing(machine: Machine) -> None:
    before = (machine.root / "var/lib/snapd/state.json").read_text()
    done = machine.run(*INSTALL)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "snap \"microk8s\" is already installed, see 'snap help refresh'\n"
    assert (machine.root / "var/lib/snapd/state.json").read_text() == before


def test_install_without_classic_is_refused_and_leaves_nothing(bare: Machine) -> None:
    done = bare.run("snap", "install", "microk8s")
    assert done.returncode == 1
    assert done.stderr.startswith('error: This revision of snap "microk8s" was published using classic confinement')
    assert not (bare.root / "snap/microk8s").exists()


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("1.28/nonsense", 'error: requested channel "1.28/nonsense" is not valid'),
        ("9.9/stable", 'error: snap "microk8s" is not available on 9.9/stable but is available to install'),
    ],
)
def test_a_channel_that_is_not_there_is_refused(bare: Machine, channel: str, text: str) -> None:
    done = bare.run("snap", "install", "--classic", f"--channel={channel}", "microk8s")
    assert done.returncode == 1
    assert done.stderr.startswith(text)
    assert bare.ok("snap", "list") == ""


def test_a_channel_without_risk_is_listed_with_it(bare: Machine) -> None:
    bare.ok("snap", "install", "--classic", "--channel", "1.28", "microk8s")
    assert " 1.28/stable " in bare.ok("snap", "list", "microk8s")


def test_every_track_from_1_20_to_1_36_can_be_had(bare: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    releases = bare.modules(monkeypatch).releases
    for minor in range(20, 37):
        assert releases.find(f"1.{minor}/stable").version.startswith(f"v1.{minor}.")
    revisions = [releases.find(f"1.{minor}/stable").revision for minor in range(20, 37)]
    assert revisions == sorted(revisions)


def test_without_root_nothing_changes(bare: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    snap = bare.modules(monkeypatch).snap
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert snap.main(["snap", "install", "microk8s", "--classic"]) == 1
    assert not (bare.root / "snap/microk8s").exists()


def test_a_store_that_is_down_is_told(bare: Machine) -> None:
    (bare.root / "usr/lib/snapd/store/offline").touch()
    done = bare.run(*INSTALL)
    assert (done.returncode, done.stderr) == (1, "error: unable to contact snap store\n")


def test_install_makes_everything_of_the_real_layout(machine: Machine) -> None:
    assert (machine.root / "snap/microk8s/current").readlink() == Path("7394")
    assert machine.data.readlink() == Path("7394")
    for app in ("microk8s", "microk8s.kubectl", "microk8s.helm3", "microk8s.status", "microk8s.version"):
        assert (machine.root / "snap/bin" / app).is_symlink(), app
    for path in ("certs/ca.crt", "certs/server.crt", "certs/front-proxy-client.crt", "args/kubelite", "args/kubelet"):
        assert (machine.data / path).is_file(), path
    config = machine.data / "credentials/client.config"
    assert stat.S_IMODE(config.stat().st_mode) == 0o660
    assert str((machine.root / "var/lib/kubelet").readlink()).endswith("/var/snap/microk8s/common/var/lib/kubelet")
    locks = {path.name for path in (machine.data / "var/lock").iterdir()}
    assert locks >= {"ha-cluster", "lite.lock", "no-apiserver-proxy", "installed.lock"}
    assert not locks & {"clustered.lock", "no-cert-reissue", "stopped.lock"}


def test_private_keys_are_for_root_and_the_group_only(machine: Machine) -> None:
    keys = list((machine.data / "certs").glob("*.key"))
    assert len(keys) > 5
    assert all(stat.S_IMODE(key.stat().st_mode) & 0o007 == 0 for key in keys)


def test_services_are_enabled_and_started(machine: Machine) -> None:
    names = {"kubelite", "containerd", "cluster-agent", "k8s-dqlite", "apiserver-kicker", "apiserver-proxy"}
    units = {f"snap.microk8s.daemon-{name}.service" for name in names}
    assert units == set(machine.systemd["active"]) == set(machine.systemd["enabled"])
    containerd = (machine.root / "etc/systemd/system/snap.microk8s.daemon-containerd.service").read_text()
    assert "KillMode=process" in containerd  # containers survive its restart
    assert "ExecStart=/usr/bin/snap run microk8s.daemon-containerd" in containerd


def test_certificates_end_when_the_real_ones_do(machine: Machine) -> None:
    def days(name: str) -> int:
        shown = ["openssl", "x509", "-noout", "-startdate", "-enddate", "-dateopt", "iso_8601", "-in"]
        out = subprocess.run([*shown, machine.data / "certs" / name], capture_output=True, text=True, check=True).stdout
        start, end = (line.split("=")[1][:10].split("-") for line in out.splitlines())
        return (int(end[0]) - int(start[0])) * 365

    assert days("server.crt") == days("front-proxy-client.crt") == 365
    assert days("ca.crt") == days("kubelet.crt") == 3650


def test_a_failed_start_undoes_the_installation(bare: Machine) -> None:
    bare.break_unit("snap.microk8s.daemon-kubelite.service")
    done = bare.run(*INSTALL)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot perform the following tasks:")
    assert bare.run("snap", "list", "microk8s").returncode == 0  # nothing at all is installed
    assert not (bare.root / "var/snap/microk8s").exists()
    assert bare.systemd["active"] == []


# --- launch configuration --------------------------------------------------------------------------------------------


def test_a_launch_configuration_is_taken_by_the_install_hook(bare: Machine) -> None:
    bare.common.mkdir(parents=True)
    (bare.common / ".microk8s.yaml").write_text(
        "version: 0.1.0\naddons:\n  - name: dns\npersistentClusterToken: " + "t" * 32 + "\n"
        "extraKubeAPIServerArgs:\n  --authorization-mode: RBAC,Node\n"
        "extraKubeletArgs:\n  --cluster-dns: 10.152.183.11\n"
    )
    bare.ok(*INSTALL)
    assert "--authorization-mode=RBAC,Node\n" in (bare.data / "args/kube-apiserver").read_text()
    assert "--cluster-dns=10.152.183.11\n" in (bare.data / "args/kubelet").read_text()
    assert (bare.data / "credentials/persistent-cluster-tokens.txt").read_text() == "t" * 32 + "\n"
    assert "name: dns" in (bare.common / "etc/launcher/install.yaml").read_text()


def test_the_default_launch_configuration_enables_dns(machine: Machine) -> None:
    assert "name: dns" in (machine.common / "etc/launcher/install.yaml").read_text()


@pytest.mark.parametrize("text", ["[", "- a list", "version: 0.1.0\nnonsense: 1\n", "addons: []\n"])
def test_a_bad_launch_configuration_fails_the_installation(bare: Machine, text: str) -> None:
    bare.common.mkdir(parents=True)
    (bare.common / ".microk8s.yaml").write_text(text)
    done = bare.run(*INSTALL)
    assert done.returncode == 1
    assert 'run hook "install"' in done.stderr
    assert bare.ok("snap", "list") == ""


def test_before_1_27_nobody_reads_it(bare: Machine) -> None:
    (bare.root / "etc/microk8s.yaml").write_text("[")
    bare.ok("snap", "install", "--classic", "--channel", "1.26/stable", "microk8s")
    assert not (bare.common / "etc/launcher").exists()


# --- refresh, revert, hold -------------------------------------------------------------------------------------------


def test_refresh_to_another_channel(machine: Machine) -> None:
    (machine.data / "credentials/mine").write_text("kept")
    shown = machine.ok("snap", "refresh", "--classic", "--channel", "1.29/stable", "microk8s")
    assert shown == "microk8s (1.29/stable) v1.29.15 from Canonical** refreshed\n"
    assert " 1.29/stable " in machine.ok("snap", "list", "microk8s")
    assert machine.data.readlink() == Path("7729")
    assert (machine.data / "credentials/mine").read_text() == "kept"
    assert len(machine.systemd["active"]) == 6


def test_revert_brings_back_the_old_revision_and_its_data(machine: Machine) -> None:
    (machine.data / "mine").write_text("old")
    machine.ok("snap", "refresh", "--channel=1.29/stable", "microk8s")
    (machine.data / "mine").write_text("new")
    assert machine.ok("snap", "revert", "microk8s") == "microk8s reverted to v1.28.15\n"
    assert (machine.data / "mine").read_text() == "old"
    row = machine.ok("snap", "list", "microk8s").splitlines()[1].split()
    assert row[1:4] == ["v1.28.15", "7394", "1.29/stable"]  # the channel stays
    assert machine.run("snap", "revert", "microk8s").returncode == 1


def test_a_service_that_was_switched_off_stays_off_after_a_refresh(machine: Machine) -> None:
    machine.ok("snap", "stop", "--disable", "microk8s.daemon-kubelite")
    machine.ok("snap", "refresh", "--channel=1.29/stable", "microk8s")
    assert "snap.microk8s.daemon-kubelite.service" not in machine.systemd["active"]


def test_a_failed_refresh_is_undone(machine: Machine) -> None:
    machine.break_unit("snap.microk8s.daemon-kubelite.service")
    done = machine.run("snap", "refresh", "--channel=1.29/stable", "microk8s")
    assert done.returncode == 1
    assert machine.data.readlink() == Path("7394")
    assert " 1.28/stable " in machine.ok("snap", "list", "microk8s")


def test_refresh_with_nothing_new(machine: Machine) -> None:
    done = machine.run("snap", "refresh", "microk8s")
    assert (done.returncode, done.stderr) == (0, 'snap "microk8s" has no updates available\n')
    assert machine.run("snap", "refresh").stderr == "All snaps up to date.\n"


def test_refresh_of_what_is_not_installed(bare: Machine) -> None:
    done = bare.run("snap", "refresh", "microk8s", "--channel=1.29/stable")
    assert (done.returncode, done.stderr) == (1, 'error: snap "microk8s" is not installed\n')


def publish(machine: Machine) -> None:
    (machine.root / "usr/lib/snapd/store/channels.json").write_text(json.dumps({"1.28/stable": ["v1.28.16", 7500]}))


def test_a_hold_stops_the_general_refresh_but_not_one_by_name(machine: Machine) -> None:
    assert machine.ok("snap", "refresh", "--hold", "microk8s") == 'General refreshes of "microk8s" held indefinitely\n'
    assert machine.ok("snap", "list", "microk8s").splitlines()[1].split()[-1] == "classic,held"
    publish(machine)
    assert machine.run("snap", "refresh").stderr == "All snaps up to date.\n"
    assert "v1.28.15" in machine.ok("snap", "list", "microk8s")
    machine.ok("snap", "refresh", "microk8s")
    assert "v1.28.16" in machine.ok("snap", "list", "microk8s")


def test_without_a_hold_the_general_refresh_takes_a_new_revision(machine: Machine) -> None:
    publish(machine)
    assert "v1.28.16" in machine.ok("snap", "refresh")


def test_a_hold_can_end(machine: Machine) -> None:
    held = machine.ok("snap", "refresh", "--hold=48h", "microk8s")
    assert re.fullmatch(r'General refreshes of "microk8s" held until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n', held)
    assert machine.ok("snap", "refresh", "--unhold", "microk8s") == 'Removed general refresh hold of "microk8s"\n'
    assert machine.ok("snap", "list", "microk8s").splitlines()[1].split()[-1] == "classic"


def test_switch_changes_the_channel_only(machine: Machine) -> None:
    assert (
        machine.ok("snap", "switch", "--channel=1.29/stable", "microk8s")
        == '"microk8s" switched to the "1.29/stable" channel\n'
    )
    assert machine.ok("snap", "list", "microk8s").splitlines()[1].split()[1:4] == ["v1.28.15", "7394", "1.29/stable"]


# --- power cuts ------------------------------------------------------------------------------------------------------


def interrupted(machine: Machine, change: dict[str, object]) -> None:
    path = machine.root / "var/lib/snapd/state.json"
    state = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**state, "change": change}))


def test_an_interrupted_installation_is_undone_at_boot(machine: Machine) -> None:
    path = machine.root / "var/lib/snapd/state.json"
    path.write_text(json.dumps({"change": {"kind": "install"}}))
    machine.ok("snap", "recover")
    assert machine.ok("snap", "list") == ""
    assert not machine.data.exists()
    machine.ok(*INSTALL)


def test_an_interrupted_refresh_is_undone_at_boot(machine: Machine) -> None:
    (machine.root / "var/snap/microk8s/7729").mkdir()
    (machine.root / "var/snap/microk8s/current").unlink()
    (machine.root / "var/snap/microk8s/current").symlink_to("7729")
    interrupted(machine, {"kind": "refresh", "from": 7394, "to": 7729})
    machine.ok("snap", "recover")
    assert machine.data.readlink() == Path("7394")
    assert "change" not in json.loads((machine.root / "var/lib/snapd/state.json").read_text())


# --- the rest --------------------------------------------------------------------------------------------------------


def test_remove_leaves_nothing(machine: Machine) -> None:
    assert machine.ok("snap", "remove", "microk8s") == "microk8s removed (snap data snapshot saved)\n"
    assert not list((machine.root / "snap/bin").iterdir())
    assert not (machine.root / "var/snap/microk8s").exists()
    assert not list((machine.root / "etc/systemd/system").glob("snap.microk8s*"))
    assert machine.systemd["active"] == machine.systemd["enabled"] == []
    assert machine.run("snap", "list", "microk8s").returncode == 1
    again = machine.run("snap", "remove", "microk8s")
    assert (again.returncode, again.stderr) == (0, 'snap "microk8s" is not installed\n')


def test_remove_purge(machine: Machine) -> None:
    assert machine.ok("snap", "remove", "--purge", "microk8s") == "microk8s removed\n"


def test_start_stop_restart_services(machine: Machine) -> None:
    assert machine.ok("snap", "stop", "microk8s.daemon-kubelite") == "Stopped.\n"
    rows = {line.split()[0]: line.split()[1:3] for line in machine.ok("snap", "services").splitlines()[1:]}
    assert rows["microk8s.daemon-kubelite"] == ["enabled", "inactive"]
    assert rows["microk8s.daemon-containerd"] == ["enabled", "active"]
    assert rows["microk8s.daemon-flanneld"] == ["disabled", "inactive"]
    assert machine.ok("snap", "start", "microk8s.daemon-kubelite") == "Started.\n"
    assert machine.ok("snap", "restart", "microk8s.daemon-kubelite") == "Restarted.\n"
    assert machine.ok("snap", "stop", "--disable", "microk8s") == "Stopped.\n"
    assert machine.systemd["active"] == []


def test_disable_and_enable(machine: Machine) -> None:
    assert machine.ok("snap", "disable", "microk8s") == "microk8s disabled\n"
    assert machine.ok("snap", "list", "microk8s").splitlines()[1].split()[5] == "disabled,classic"
    assert machine.ok("snap", "enable", "microk8s") == "microk8s enabled\n"


def test_configuration(machine: Machine) -> None:
    done = machine.run("snap", "get", "-d", "microk8s")
    assert (done.returncode, done.stderr) == (1, 'error: snap "microk8s" has no configuration\n')
    machine.ok("snap", "set", "system", "refresh.timer=fri5,22:00-23:00")
    assert json.loads(machine.ok("snap", "get", "-d", "system", "refresh")) == {
        "refresh": {"timer": "fri5,22:00-23:00"}
    }
    assert machine.ok("snap", "get", "system", "refresh.timer") == "fri5,22:00-23:00\n"


def test_a_launch_configuration_can_be_given_later(machine: Machine) -> None:
    machine.ok("snap", "set", "microk8s", "config=version: 0.1.0\naddons:\n  - name: metrics-server\n")
    assert "metrics-server" in (machine.common / "etc/launcher/snap-config.yaml").read_text()


def test_aliases(machine: Machine) -> None:
    assert machine.run("snap", "aliases").stderr == "No aliases are currently defined.\n"
    added = machine.ok("snap", "alias", "microk8s.kubectl", "kubectl")
    assert added == "Added:\n  - microk8s.kubectl as kubectl\n"
    assert machine.ok("snap", "aliases").splitlines()[1].split() == ["microk8s.kubectl", "kubectl", "manual"]
    assert machine.ok("kubectl", "get", "nodes") == "kubectl get nodes\n"
    machine.ok("snap", "unalias", "kubectl")
    assert not (machine.root / "snap/bin/kubectl").is_symlink()


def test_unknown_commands_and_flags(machine: Machine) -> None:
    assert machine.run("snap", "frobnicate").returncode == 64
    done = machine.run("snap", "install", "--nonsense", "microk8s")
    assert (done.returncode, done.stderr) == (1, "error: unknown flag `nonsense'\n")
