"""The host roles on releases that no test machine runs: variables and templates on the facts of each."""

from __future__ import annotations

import hashlib
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleUndefinedVariable
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _ufw
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._site_layout import PROVIDERS

ROOT = Path(__file__).parents[3]
TASKS = ROOT / "playbooks/tasks"
SITE = {
    "ansible_managed": "Ansible managed",
    "inventory_hostname": "machine",
    "prysm_data_dir": "/data/prysm",
    "prysm_user_id": 1001,
    "prysm_group_id": 2000,
}


def facts(distribution: str, version: str, **more: t.Any) -> dict[str, t.Any]:
    return {
        "distribution": distribution,
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        **more,
    }


RELEASES = {
    "debian-11": facts("Debian", "11.9"),
    "debian-12": facts("Debian", "12.5"),
    "debian-13": facts("Debian", "13.1"),
    "ubuntu-20.04": facts("Ubuntu", "20.04"),
    "ubuntu-22.04": facts("Ubuntu", "22.04"),
    "ubuntu-24.04": facts("Ubuntu", "24.04"),
    "ubuntu-26.04": facts("Ubuntu", "26.04"),
}


def evaluate(role: str, expression: str, **variables: t.Any) -> t.Any:
    """An expression as the role would see it: its defaults and private variables below those given."""
    loader = DataLoader()
    merged: dict[str, t.Any] = dict(SITE)
    for part in ("defaults", "vars"):
        merged.update(loader.load_from_file(str(ROOT / f"roles/{role}/{part}/main.yml"), trusted_as_template=True))
    merged.update(variables)
    return Templar(loader, variables=merged).template(trust_as_template("{{ " + expression + " }}"))


def render(role: str, name: str, **variables: t.Any) -> list[str]:
    path = ROOT / f"roles/{role}/templates/{name}"
    return str(evaluate(role, f"lookup('ansible.builtin.template', '{path}')", **variables)).splitlines()


@pytest.mark.parametrize("release", RELEASES)
def test_chrony_3_is_not_given_words_that_it_does_not_know(release: str) -> None:
    lines = render("timesync", "chrony.conf.j2", ansible_facts=RELEASES[release])
    words = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert ({"confdir", "ntsdumpdir"} <= words) is (release != "ubuntu-20.04")


def test_the_fence_is_judged_where_no_facts_were_read() -> None:
    """As the gates do before every operation: what cannot be named then is left out, the rest is judged."""
    assert evaluate("nfs_server", "__nfs_server_settings_here", ansible_facts={}) == {}
    wanted = evaluate("nfs_server", "__nfs_server_settings_here", ansible_facts=RELEASES["debian-12"])
    assert int(wanted["threads"]) == 8


def test_the_tutorials_values_and_the_bound_are_chronys_configuration() -> None:
    lines = render("timesync", "chrony.conf.j2", ansible_facts=RELEASES["debian-13"])
    assert "pool time.google.com iburst minpoll 1 maxpoll 2 maxsources 3" in lines
    assert {"maxupdateskew 5.0", "makestep 0.1 -1", "maxchange 10 1 -1", "port 0"} <= set(lines)


@pytest.mark.parametrize("release", RELEASES)
def test_an_old_nfs_server_is_configured_where_it_looks(release: str) -> None:
    old = release in ("ubuntu-20.04", "debian-11")
    assert evaluate("nfs_server", "__nfs_server_has_conf | bool", ansible_facts=RELEASES[release]) is not old


def test_only_version_4_with_a_short_lease() -> None:
    lines = render("nfs_server", "nfs.conf.j2")
    assert {"vers3=n", "vers4.0=n", "vers4.1=y", "vers4.2=y", "lease-time=15", "grace-time=15"} <= set(lines)


def test_the_export_names_every_node_and_nobody_else() -> None:
    lines = render("nfs_server", "exports.j2", nfs_server_clients=["172.20.10.11", "172.20.10.12"])
    options = "(rw,sync,no_subtree_check,root_squash,sec=sys,fsid=1001)"
    assert [line for line in lines if line][-1] == f"/data/prysm 172.20.10.11{options} 172.20.10.12{options}"


def test_every_client_has_directories_of_its_own() -> None:
    validators = [{"name": "validator1"}, {"name": "v2", "data_dir": "/data/prysm/a", "wallet_dir": "/data/prysm/b"}]
    assert sorted(evaluate("nfs_server", "nfs_server_directories", prysm_validators=validators)) == [
        "/data/prysm/a",
        "/data/prysm/b",
        "/data/prysm/beacon",
        "/data/prysm/validator1",
        "/data/prysm/wallet-validator1",
    ]


@pytest.mark.parametrize(
    ("ipv6", "streams"),
    [
        pytest.param(True, {"0.0.0.0:22", "[::]:22", "0.0.0.0:2222", "[::]:2222"}, id="both"),
        # A socket that names a family the kernel does not have fails as a whole, and locks everybody out.
        pytest.param(False, {"0.0.0.0:22", "0.0.0.0:2222"}, id="ipv6-switched-off"),
    ],
)
def test_the_socket_of_newer_ubuntus_names_only_addresses_there_are(ipv6: bool, streams: set[str]) -> None:
    lines = render("firewall", "ssh.socket.conf.j2", __firewall_ssh={"ipv6": ipv6}, __firewall_socket_ports=[22, 2222])
    assert lines.index("ListenStream=") < lines.index("ListenStream=0.0.0.0:22"), (
        "the unit's own ports are dropped first"
    )
    assert {line.partition("=")[2] for line in lines if line.startswith("ListenStream=")} - {""} == streams


def test_the_socket_keeps_its_addresses_and_what_else_it_has() -> None:
    ssh = {"ipv6": True, "socket_addresses": ["10.0.0.5", "[fd00::5]"], "socket_others": ["/run/ssh.sock"]}
    lines = render("firewall", "ssh.socket.conf.j2", __firewall_ssh=ssh, __firewall_socket_ports=[22, 2222])
    streams = {line.partition("=")[2] for line in lines if line.startswith("ListenStream=")} - {""}
    assert streams == {"/run/ssh.sock", "10.0.0.5:22", "[fd00::5]:22", "10.0.0.5:2222", "[fd00::5]:2222"}


SSH = {
    "serving_ports": [22],
    "configured_ports": [22],
    "socket_ports": [],
    "connection": {"server_port": 22},
}
NODES = ["172.20.10.11", "172.20.10.12"]


def rules(**variables: t.Any) -> set[str]:
    options = {"__firewall_ssh": SSH, "__firewall_ssh_open": [22], "firewall_cluster_addresses": NODES, **variables}
    return {str(_ufw.wanted(dict(item))) for item in evaluate("firewall", "__firewall_rules", **options)}


def test_a_machine_that_runs_nothing_opens_ssh_alone() -> None:
    assert rules() == {"allow in proto tcp from any to any port 22"}


def test_ssh_for_some_on_two_ports() -> None:
    found = rules(firewall_ssh_sources=["10.0.0.0/8", "172.20.0.1"], __firewall_ssh_open=[22, 2222])
    assert found == {
        f"allow in proto tcp from {source} to any port {port}"
        for source in ("10.0.0.0/8", "172.20.0.1")
        for port in (22, 2222)
    }


@pytest.mark.parametrize(
    ("channel", "opened"),
    [
        ("1.20/stable", True),
        ("1.23/edge", True),
        ("1.24/stable", False),
        ("1.36/stable", False),
        ("latest/edge", False),
    ],
)
def test_the_kubelets_unprotected_port_is_opened_only_where_it_exists(channel: str, opened: bool) -> None:
    found = rules(firewall_runs_microk8s=True, firewall_microk8s_channel=channel)
    assert any("10255" in rule for rule in found) is opened
    assert not any("port 10255" in rule and "from any" in rule for rule in found)


def test_what_nodes_need_is_opened_to_nodes_and_the_beacon_to_anybody() -> None:
    found = rules(
        firewall_runs_microk8s=True,
        firewall_runs_control_plane=True,
        firewall_runs_beacon=True,
        firewall_control_plane_addresses=NODES[:1],
        firewall_admin_networks=["192.0.2.0/24"],
    )
    assert "allow in proto tcp from 172.20.10.12 to any port 10250,16443,25000" in found
    assert "allow in proto udp from 172.20.10.11 to any port 4789" in found
    assert "allow in proto tcp from 192.0.2.0/24 to any port 16443" in found
    assert "route allow in on vxlan.calico out on cali+ from any to any" in found
    assert [rule for rule in found if "19001" in rule] == ["allow in proto tcp from 172.20.10.11 to any port 19001"]
    to_anybody = {rule for rule in found if rule.startswith("allow in proto") and "from any" in rule}
    assert {rule.rpartition("port ")[2] for rule in to_anybody} == {"22", "12000", "13000"}


@pytest.mark.parametrize(
    ("port", "serving", "configured", "moves"),
    [
        pytest.param(0, [22], [22], False, id="not-asked-for"),
        pytest.param("2222", [22], [22], True, id="given-on-the-command-line"),
        pytest.param(2222, [2222], [2222], False, id="already-there"),
        pytest.param(2222, [22, 2222], [22, 2222], True, id="cut-off-half-way"),
        pytest.param(2222, [22], [2222], True, id="configured-but-not-loaded"),
    ],
)
def test_when_ssh_moves(port: t.Any, serving: list[int], configured: list[int], moves: bool) -> None:
    ssh = dict(SSH, serving_ports=serving, configured_ports=configured)
    assert evaluate("firewall", "__firewall_ssh_moves | bool", firewall_ssh_port=port, __firewall_ssh=ssh) is moves


@pytest.mark.parametrize(
    ("megabytes", "cores", "disk", "small"),
    [
        pytest.param(7940, 1, 21_000_000_000, [], id="sold-as-8-GB"),
        pytest.param(4000, 1, 21_000_000_000, ["memory"], id="too-little-memory"),
        pytest.param(7940, 1, 12_000_000_000, ["disk"], id="too-small-a-disk"),
    ],
)
def test_when_a_machine_is_too_small(megabytes: int, cores: int, disk: int, small: list[str]) -> None:
    found = evaluate(
        "base",
        "__base_too_small",
        __base_machine={
            "memory_bytes": megabytes * 1048576,
            "cores": cores,
            "disks": {"/": {"size": disk, "free": disk}},
        },
    )
    assert [item.split()[0] for item in found] == small


HOSTS = [{"name": "worker", "address": "172.20.10.12"}, {"name": "nfs", "address": "172.20.10.10"}]
BLOCK = (
    "# BEGIN eth2xk8s: machines of the site\n172.20.10.10 nfs\n172.20.10.12 worker\n"
    "# END eth2xk8s: machines of the site\n"
)
CLOUD = "/etc/cloud/cloud.cfg.d/99-eth2xk8s-hosts.cfg"
APT = "/etc/apt/apt.conf.d/99eth2xk8s"
UTC = {"/etc/localtime": {"type": "link", "target": "/usr/share/zoneinfo/Etc/UTC"}}


def base_plan(changes: dict[str, t.Any], differing: list[str], **more: t.Any) -> dict[str, t.Any]:
    """The plan of the role, for a machine that is as wanted but for the changes and these files."""
    plain = {"type": "file", "uid": 0, "gid": 0, "mode": "0644"}
    wanted = {path: f"content of {path}" for path in (APT, CLOUD)}
    files = {
        path: {**plain, "sha256": hashlib.sha256(content.encode()).hexdigest()}
        for path, content in wanted.items()
        if path not in differing
    }
    machine = {
        "pending": [],
        "package_lists_age_seconds": 10,
        "packages": ["ca-certificates", "curl", "unattended-upgrades"],
        "broken_packages": [],
        "texts": {},
        "mentions": {},
        **changes,
        "paths": {**files, **changes.get("paths", {})},
    }
    found = evaluate(
        "base",
        "__base_machine | eth2xk8s.staking.base_plan(__base_wanted)",
        __base_machine=machine,
        __base_files=wanted,
        **more,
    )
    return t.cast("dict[str, t.Any]", found)


@pytest.mark.parametrize(
    ("hosts", "text", "paths", "differing", "due"),
    [
        pytest.param([], "127.0.0.1 localhost\n", UTC, [CLOUD], False, id="nothing-asked-for"),
        pytest.param(HOSTS, "127.0.0.1 localhost\n", UTC, [CLOUD], True, id="hosts-missing"),
        pytest.param(HOSTS, BLOCK + "127.0.0.1 localhost\n", UTC, [CLOUD], False, id="all-there-and-no-cloud-init"),
        pytest.param(HOSTS, BLOCK, {**UTC, "/etc/cloud/cloud.cfg.d": {}}, [CLOUD], True, id="cloud-init-would-rewrite"),
        pytest.param(HOSTS, BLOCK, {**UTC, "/etc/cloud/cloud.cfg.d": {}}, [], False, id="cloud-init-has-been-told"),
        pytest.param(HOSTS, BLOCK.replace(".12", ".13"), UTC, [CLOUD], True, id="another-address"),
        pytest.param(HOSTS, BLOCK, {}, [CLOUD], True, id="another-time-zone"),
    ],
)
def test_when_names_have_to_be_set(hosts: t.Any, text: str, paths: t.Any, differing: list[str], due: bool) -> None:
    assert base_plan({"texts": {"/etc/hosts": text}, "paths": paths}, differing, base_hosts=hosts)["identity"] is due


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        pytest.param({}, False, id="nothing-to-do"),
        pytest.param({"pending": ["Inst openssl"]}, True, id="an-upgrade"),
        pytest.param({"package_lists_age_seconds": 3601}, True, id="old-lists-know-nothing"),
        pytest.param({"packages": ["curl", "unattended-upgrades"]}, True, id="a-package-is-missing"),
        pytest.param({"broken_packages": ["chrony"]}, True, id="half-installed"),
        pytest.param({"paths": {"/var/lib/dpkg/updates/0001": {}}}, True, id="dpkg-was-cut-off"),
        pytest.param({"differing": ["/etc/apt/apt.conf.d/99eth2xk8s"]}, True, id="a-timer-may-restart-it"),
    ],
)
def test_when_packages_have_to_be_touched(changes: t.Any, due: bool) -> None:
    differing = changes.pop("differing", [])
    assert base_plan(changes, differing)["packages"] is due


@pytest.mark.parametrize(
    ("name", "due"),
    [
        pytest.param("99zz-local", True, id="read-later"),
        pytest.param("local", True, id="without-a-number"),
        pytest.param("52local", False, id="read-before"),
    ],
)
def test_apt_is_asked_where_it_reads_a_file_later(name: str, due: bool) -> None:
    for word in ("Automatic-Reboot", "#include"):
        assert base_plan({"mentions": {word: [f"/etc/apt/apt.conf.d/{name}"]}}, [])["apt_overruled"] is due
    assert base_plan({"paths": {f"/etc/apt/apt.conf.d/{name}": {}}}, [])["apt_overruled"] is False


def test_what_apt_reads_is_not_brought_to_the_controller() -> None:
    """A file there may hold the password of a proxy, which -v would print."""
    assert evaluate("base", "base_question.texts") == ["/etc/hosts"]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        pytest.param({"/sys/module/nfs/parameters/recover_lost_locks": "Y\n"}, True, id="the-kernel-does"),
        pytest.param({"/sys/module/nfs/parameters/recover_lost_locks": "N\n"}, False, id="the-kernel-does-not"),
        pytest.param({"/etc/modprobe.d/nfs.conf": "options nfs recover_lost_locks=1\n"}, True, id="it-will"),
        pytest.param({"/etc/modprobe.d/nfs.conf": "# recover_lost_locks=1\n"}, False, id="a-comment"),
        pytest.param({"/proc/cmdline": "ro nfs.recover_lost_locks=1 quiet\n"}, True, id="on-the-command-line"),
        pytest.param({"/proc/cmdline": "ro nfs.recover_lost_locks=0 quiet\n"}, False, id="switched-off"),
    ],
)
def test_a_kernel_that_takes_lost_locks_back_is_found(text: dict[str, str], refused: bool) -> None:
    found = evaluate("nfs_server", "__nfs_server_recovers", __nfs_server_machine={"texts": text})
    assert bool(found) is refused


CLIENTS = ["172.20.10.11", "172.20.10.12"]
OPTIONS = ["rw", "sync", "no_subtree_check", "root_squash", "sec=sys", "fsid=1001", "wdelay"]
SERVER = {
    "running": True,
    "delegations": False,
    "versions": ["4", "4.1", "4.2"],
    "threads": 8,
    "lease_seconds": 15,
    "grace_seconds": 15,
    "strangers": [],
    "roots": [],
    "exports": [{"path": "/data/prysm", "client": client, "options": OPTIONS} for client in CLIENTS],
}
OURS = {"type": "directory", "uid": 1001, "gid": 2000}
V3_UNITS = ("rpcbind.socket", "rpcbind.service", "rpc-statd.service", "rpc-statd-notify.service")
DISK = {
    "/data": {},
    "/data/prysm": {**OURS, "mode": "0711"},
    "/data/prysm/beacon": {**OURS, "mode": "0700"},
    "/data/prysm/.eth2xk8s-data-id": {"sha256": "a"},
    "/var/lib/nfs/eth2xk8s-data-id": {"sha256": "a"},
    "/usr/sbin/rpc.nfsd": {},
    **{f"/etc/systemd/system/{unit}": {"target": "/dev/null"} for unit in V3_UNITS},
}
UNITS = {
    "nfs-server.service": {"active": True, "file_state": "enabled"},
    **{unit: {"active": False, "file_state": "masked"} for unit in V3_UNITS},
}


EXPORTS = "/etc/exports.d/eth2xk8s.exports"
SYSCTL = "/etc/sysctl.d/60-eth2xk8s-nfs.conf"


def planned(server: t.Any, paths: t.Any, units: t.Any, differing: list[str], **more: t.Any) -> dict[str, t.Any]:
    """The plan of the role, for a machine whose files are as wanted but for those named."""
    release = {"ansible_facts": RELEASES["debian-13"], "nfs_server_clients": CLIENTS, "nfs_server_directories": []}
    plain = {"type": "file", "uid": 0, "gid": 0, "mode": "0644"}
    wanted = {
        path: f"content of {path}"
        for path in (EXPORTS, SYSCTL, "/etc/nfs.conf.d/zz-eth2xk8s.conf")
    }  # fmt: skip
    files = {
        path: {**plain, "sha256": "" if path in differing else hashlib.sha256(content.encode()).hexdigest()}
        for path, content in wanted.items()
    }
    machine = {
        "paths": {path: {**plain, **found} for path, found in {**DISK, **files, **paths}.items() if found is not None},
        "units": {**UNITS, **units},
    }
    return t.cast(
        "dict[str, t.Any]",
        evaluate(
            "nfs_server",
            "__nfs_server_machine | eth2xk8s.staking.nfs_server_plan(__nfs_server_now, __nfs_server_wanted_here)",
            __nfs_server_now={**SERVER, **server},
            __nfs_server_machine=machine,
            __nfs_server_files=wanted,
            **{**release, **more},
        ),
    )


@pytest.mark.parametrize(
    ("server", "paths", "units", "differing", "due"),
    [
        pytest.param({}, {}, {}, [], set(), id="all-as-wanted"),
        pytest.param({"delegations": True}, {}, {}, [], {"configure"}, id="delegations-switched-on"),
        pytest.param({}, {}, {}, [SYSCTL], {"configure"}, id="or-after-the-next-boot"),
        pytest.param({}, {"/etc/systemd/system/rpcbind.socket": {}}, {}, [], {"configure"}, id="rpcbind-unmasked"),
        pytest.param({}, {"/usr/sbin/rpc.nfsd": None}, {}, [], {"install"}, id="not-installed"),
        pytest.param({}, {"/data/prysm": {**OURS, "mode": "0755"}}, {}, [], {"export"}, id="anybody-may-list-it"),
        pytest.param({}, {"/data/prysm/beacon": {}}, {}, [], {"export"}, id="somebody-else's-directory"),
        pytest.param({}, {"/var/lib/nfs/eth2xk8s-data-id": None}, {}, [], {"export"}, id="not-marked"),
        pytest.param({}, {}, {}, [EXPORTS], {"export"}, id="another-export"),
        pytest.param({"lease_seconds": 90}, {}, {}, [], {"run"}, id="started-with-another-lease"),
        pytest.param({"exports": SERVER["exports"][:1]}, {}, {}, [], {"run"}, id="a-node-is-not-let-in"),
        pytest.param(
            {}, {}, {"nfs-server.service": {"active": True, "file_state": "disabled"}}, [], {"run"}, id="not-at-boot"
        ),
    ],
)
def test_what_has_to_be_done_to_the_nfs_server(
    server: t.Any, paths: t.Any, units: t.Any, differing: list[str], due: set[str]
) -> None:
    found = planned(server, paths, units, differing, nfs_server_directories=["/data/prysm/beacon"])
    assert {step for step in ("configure", "install", "export", "run") if found[step]} == due
    assert found["as_found"] is not bool(due)


def test_nfsv3_s_helpers_may_be_left_to_others() -> None:
    assert planned({}, {"/etc/systemd/system/rpcbind.socket": {}}, {}, [], nfs_server_mask_rpcbind=False)["as_found"]


@pytest.mark.parametrize(
    ("server", "words"),
    [
        pytest.param({}, [], id="a-fence"),
        pytest.param({"running": False, "problems": ["no /proc"]}, ["does not run", "no /proc"], id="not-running"),
        pytest.param({"problems": ["delegations are on"]}, ["delegations are on"], id="delegations"),
        pytest.param({"versions": ["3", "4", "4.1", "4.2"]}, ["serves NFS 3, 4, 4.1, 4.2, wanted 4, 4.1"], id="nfsv3"),
        pytest.param(
            {"threads": 16, "overrides": [{"file": "/etc/nfs.conf.d/zzz.conf", "key": "threads", "value": "16"}]},
            ["16 threads, wanted 8", "/etc/nfs.conf.d/zzz.conf sets threads=16"],
            id="a-file-that-wins",
        ),
        pytest.param({"lease_seconds": 90}, ["90 s lease, wanted 15"], id="another-lease"),
        pytest.param(
            {"strangers": [{"file": "/etc/exports", "path": "/data", "who": "everybody"}]},
            ["/etc/exports gives /data to everybody"],
            id="strangers",
        ),
        pytest.param(
            {"roots": [{"file": "/etc/exports", "path": "/srv/nfs4", "who": "everybody"}]},
            ["/srv/nfs4 is the root of NFSv4 (fsid=0) for everybody, by /etc/exports"],
            id="another-root",
        ),
        pytest.param(
            {"exports": [{"path": "/data/prysm", "client": one, "options": ["rw", "sync"]} for one in CLIENTS]},
            ["to 172.20.10.11 without no_subtree_check, root_squash", "to 172.20.10.12 without"],
            id="options",
        ),
        pytest.param(
            {"exports": SERVER["exports"][:1], "rivals": [{"file": "/etc/exports"}, {"file": EXPORTS}]},
            ["is exported to 172.20.10.11, wanted 172.20.10.11, 172.20.10.12", "also exported by /etc/exports"],
            id="a-rival",
        ),
    ],
)
def test_why_a_server_is_no_fence(server: t.Any, words: list[str]) -> None:
    """As many sentences as there are faults, and none without."""
    found = evaluate(
        "nfs_server",
        "__nfs_server_now | eth2xk8s.staking.nfs_server_faults(__nfs_server_wanted)",
        nfs_server_clients=CLIENTS,
        __nfs_server_now={**SERVER, "problems": [], "overrides": [], "rivals": [], **server},
    )
    assert len(found) == len(words)
    for sentence, part in zip(found, words, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        pytest.param({}, False, id="all-as-wanted"),
        pytest.param({"added": ["allow in 22"]}, True, id="a-rule-is-missing"),
        pytest.param({"drift": ["ufw-user-input has 0 rules"]}, True, id="somebody-flushed-it"),
        pytest.param({"enabled": True}, True, id="switched-off"),
    ],
)
def test_when_the_firewall_has_to_be_touched(changes: t.Any, due: bool) -> None:
    planned = {"added": [], "removed": [], "policies": [], "drift": [], "enabled": False, **changes}
    assert evaluate("firewall", "__firewall_rules_due", __firewall_plan=planned) is due


def test_nothing_of_nfs_starts_as_its_package_would_have_it() -> None:
    """The packages come in base's transaction, so what the server is to be is there before."""
    base = yaml.safe_load((ROOT / "playbooks/vars/machines.yml").read_text())
    assert {"nfs-common", "nfs-kernel-server"} <= set(re.findall(r"[\w-]+", base["base_packages"]))
    hook = re.findall(r"/tasks/([\w.]+)$", base["base_before_packages_tasks"])
    included = [task["ansible.builtin.include_role"] for task in yaml.safe_load((TASKS / hook[0]).read_text())]
    assert {role["tasks_from"] for role in included} == {"mask_first.yml", "configure_first.yml"}
    packages = (ROOT / "roles/base/tasks/packages.yml").read_text()
    assert packages.index("base_before_packages_tasks") < packages.index('name: "{{ __base_plan.missing }}"')


@pytest.mark.parametrize("name", ["tcp", "udp", "quic"])
def test_the_firewall_opens_the_ports_that_the_chart_gives_the_beacon_node(name: str) -> None:
    chart = yaml.safe_load((ROOT / "roles/prysm_helm/files/eth2prysm/values.yaml").read_text(encoding="utf-8"))
    key = f"p2p{name.capitalize()}Port"
    assert evaluate("firewall", f"firewall_beacon_{name}_port") == chart["beacon"][key]
    values = {"beacon": {key: 13999}}
    assert evaluate("firewall", f"firewall_beacon_{name}_port", prysm_helm_values=values) == 13999


def test_both_roles_look_for_the_record_in_one_place() -> None:
    """A copy of the record that one of them does not find would not count."""
    given = {"prysm_data_dir": "/data/prysm", "prysm_wallet_data_dir": "/data/prysm"}
    for more in ({}, {"prysm_wallet_history_record": "/other/record.json", "prysm_wallet_history_dir": "/other/watch"}):
        record = evaluate("prysm_wallet", "prysm_wallet_history_record", **given, **more)
        assert evaluate("prysm_helm", "prysm_helm_history_record", **given, **more) == record
        folder = evaluate("prysm_wallet", "prysm_wallet_history_dir", **given, **more)
        assert evaluate("prysm_helm", "prysm_helm_watch_config", **given, **more) == f"{folder}/config.json"


def test_neither_role_takes_the_cluster_of_the_user_s_own_kubeconfig() -> None:
    """The inventory says which one, else the playbooks; without them it is that of MicroK8s."""
    for given, path in (
        ({"prysm_helm_kubeconfig": "/h", "prysm_kubeconfig": "/p", "site_kubeconfig": "/s"}, "/h"),
        ({"prysm_kubeconfig": "/p", "site_kubeconfig": "/s"}, "/p"),
        ({"site_kubeconfig": "/s"}, "/s"),
        ({}, PROVIDERS["microk8s"].kubeconfig),
    ):
        assert evaluate("prysm_helm", "prysm_helm_kubeconfig", **given) == path
        assert evaluate("prysm_wallet", "prysm_wallet_kubeconfig", **given) == path
    asked = yaml.safe_load((ROOT / "roles/prysm_wallet/tasks/cluster.yml").read_text(encoding="utf-8"))[0]
    expression = asked["eth2xk8s.staking.signing_workload_info"]["kubeconfig"].strip("{} ")
    assert evaluate("prysm_wallet", expression, prysm_kubeconfig="/p") == "/p"
    with pytest.raises(AnsibleUndefinedVariable, match="kubeconfig"):
        evaluate("prysm_wallet", expression, prysm_kubeconfig="")


def test_a_kubeconfig_that_is_named_must_be_there() -> None:
    assert evaluate("prysm_wallet", "prysm_wallet_cluster_may_be_missing") is True
    assert evaluate("prysm_wallet", "prysm_wallet_cluster_may_be_missing", prysm_kubeconfig="/p") is False


def test_helm_is_the_provider_s() -> None:
    assert evaluate("prysm_helm", "prysm_helm_binary") == PROVIDERS["microk8s"].helm
    assert evaluate("prysm_helm", "prysm_helm_binary", site_helm="helm") == "helm"


def test_more_rules_are_typed_as_the_module_takes_them() -> None:
    """A misspelt key is then refused before any machine is asked."""
    text = (ROOT / "plugins/modules/ufw_rules.py").read_text(encoding="utf-8")
    wanted = yaml.safe_load(text.split('DOCUMENTATION = r"""')[1].split('"""')[0])["options"]["rules"]["suboptions"]
    specs = yaml.safe_load((ROOT / "roles/firewall/meta/argument_specs.yml").read_text(encoding="utf-8"))
    assert specs["argument_specs"]["main"]["options"]["firewall_extra_rules"]["options"] == wanted
