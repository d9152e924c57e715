"""A site on a cluster that is there already: inventory/own_cluster, and what its machines do or do not do.

An API server of a few objects answers where the context leads; the kubeconfig's current context leads nowhere.
"""

from __future__ import annotations

import json
import threading
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

pytest.importorskip("kubernetes")

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _requests
from tests.unit.test_playbooks import NAMES, ROOT, TABLE, Done, Site, hollow, load, ran, sample

__all__ = ["hollow"]
pytestmark = pytest.mark.thorough

CLAIMS = {"site": ["laptop"], "helm_client": ["laptop"]}
SEEN = {"site": ["laptop", "disk"], "helm_client": ["laptop"], "storage": ["disk"]}
PROVED = {"site": ["laptop", "nfs-server"], "helm_client": ["laptop"], "nfs": ["nfs-server"]}
RESOURCES = {"nodes": "Node", "namespaces": "Namespace", "pods": "Pod", "secrets": "Secret"}


@pytest.fixture
def api() -> Iterator[tuple[int, list[str]]]:
    """The port of an API server with one node and nothing else; and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            found: t.Any = {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}
            if path == "/version":
                found = {"major": "1", "minor": "36", "gitVersion": "v1.36.0"}
            elif path == "/api":
                found = {"kind": "APIVersions", "versions": ["v1"]}
            elif path == "/apis":
                found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
            elif path == "/api/v1":
                found = {
                    "kind": "APIResourceList",
                    "groupVersion": "v1",
                    "resources": [
                        {"name": name, "singularName": "", "namespaced": kind in ("Pod", "Secret"), "kind": kind,
                         "verbs": ["get", "list"]}
                        for name, kind in RESOURCES.items()
                    ],
                }  # fmt: skip
            elif path == "/api/v1/nodes":
                found["kind"] = "NodeList"
                found["items"] = [{"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node1"}, "spec": {}}]
            elif path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
                self.send_response(404)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: t.Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


class Own(Site):
    """inventory/own_cluster as it is shipped, with what everybody has to add to it."""

    def __init__(self, place: Path, port: int, collections: Path = ROOT / "collections") -> None:
        super().__init__(place, collections)
        self.inventory = place / "inventory"
        (self.inventory / "group_vars/all").mkdir(parents=True)
        shipped = ROOT / "inventory/own_cluster"
        self.hosts = load(shipped / "hosts.yml")
        text = (shipped / "group_vars/all/site.yml").read_text()
        # inventory_dir is this one.
        text = text.replace("{{ inventory_dir }}/../../examples", str(ROOT / "examples"))
        (self.inventory / "group_vars/all/site.yml").write_text(text)
        config = {
            "current-context": "another",
            "clusters": [
                {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}},
                {"name": "another", "cluster": {"server": "http://127.0.0.1:1"}},
            ],
            "users": [{"name": "u", "user": {"token": "x"}}],
            "contexts": [
                {"name": "staking", "context": {"cluster": "c", "user": "u"}},
                {"name": "another", "context": {"cluster": "another", "user": "u"}},
            ],
        }
        (place / "config").write_text(json.dumps(config))
        helm = place / "helm"
        helm.write_text("#!/bin/sh\necho v3.20.2\n")
        helm.chmod(0o755)
        self.says: dict[str, t.Any] = {
            "prysm_kubeconfig": str(place / "config"),
            "prysm_helm_binary": str(helm),
            "site_run_path": str(self.lock),
            "prysm_helm_chart_dir": str(place / "charts"),
            "prysm_helm_beacon_machines": [],
            "prysm_helm_no_storage_proofs_because": "the class keeps a volume on one node at a time",
            "vault_prysm_jwt_secret": "ab" * 32,
            "vault_validator1_keystore_password": "Keystore-1-password",
            "vault_validator1_wallet_password": "Wallet-1-password",
        }

    def with_group(self, name: str) -> None:
        """Another machine, which is this one as well."""
        here = {"ansible_connection": "local", "ansible_become": False, "ansible_host": "127.0.0.2"}
        here["ansible_python_interpreter"] = "{{ ansible_playbook_python }}"
        self.hosts["site"]["children"][name] = {"hosts": {f"{name}-machine": here}}

    def play(self, playbook: Path, *words: str) -> Done:
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(self.hosts))
        (self.inventory / "group_vars/all/yours.yml").write_text(yaml.safe_dump(self.says))
        return super().play(playbook, *words)


@pytest.fixture
def own(tmp_path: Path, api: tuple[int, list[str]]) -> Own:
    return Own(tmp_path / "own", api[0])


def test_the_example_is_a_first_run_that_would_install(own: Own, api: tuple[int, list[str]]) -> None:
    """Of the real roles, in check mode: against the cluster of the context, and no other machine."""
    done = own.play(ROOT / "site.yml", "--check")
    assert done.code == 0, done.output[-3000:]
    assert "MicroK8s is not installed" in done.said
    assert "nothing proves that it keeps the locks" in done.said
    for left_out in ("Prepare every machine", "Serve the data", "Build the cluster", "Search the disks of"):
        assert f"PLAY [{left_out}" in done.output
    assert done.output.count("skipping: no hosts matched") == 6
    assert "Could not match supplied host pattern" not in done.output
    assert {"/api/v1/nodes", "/api/v1/pods", "/api/v1/secrets"} <= set(api[1])


@pytest.mark.parametrize(
    ("says", "words"),
    sample(
        [
            pytest.param(
                {"prysm_helm_no_storage_proofs_because": ""}, "prysm_helm_no_storage_proofs_because", id="proofs"
            ),
            pytest.param({"prysm_context": "another"}, "its nodes cannot be read", id="cluster"),
            pytest.param({"prysm_context": "typo"}, "its nodes cannot be read", id="context"),
            pytest.param({"prysm_kubeconfig": "/nowhere/config"}, "its nodes cannot be read", id="kubeconfig"),
            pytest.param({"prysm_kubeconfig": "config"}, "must be an absolute path", id="relative"),
            pytest.param({"prysm_helm_binary": "/nowhere/helm"}, "Helm does not run", id="helm"),
        ],
        3,
    ),
)
def test_what_is_missing_is_said_before_anything_is_changed(own: Own, says: dict[str, t.Any], words: str) -> None:
    own.says.update(says)
    done = own.play(ROOT / "site.yml")
    assert done.code != 0, done.output
    assert "Refused, nothing was changed" in done.said
    assert words in done.said
    assert "Install Prysm and prove its duties" not in done.plays


@pytest.mark.parametrize(
    ("group", "there", "missing"),
    [
        ("", {"prysm_wallet/declared"}, {"prysm_wallet/directories", "prysm_wallet/witness", "nfs_server/verify"}),
        ("storage", {"prysm_wallet/directories"}, {"prysm_wallet/declared", "prysm_wallet/witness", "base/packages"}),
        ("nfs", {"nfs_server/verify", "timesync/gate", "prysm_wallet/witness", "base/packages"},
         {"prysm_wallet/directories", "prysm_wallet/declared"}),
    ],
    ids=["claims", "seen", "proved"],
)  # fmt: skip
def test_each_kind_of_storage_gets_its_part_of_the_work(
    hollow: Path, tmp_path: Path, api: tuple[int, list[str]], group: str, there: set[str], missing: set[str]
) -> None:
    site = Own(tmp_path / "own", api[0], hollow)
    if group:
        site.with_group(group)
    site.says.update({"prysm_helm_values": {}, "site_node_addresses": ["127.0.0.3"]})
    done = site.play(hollow / "ansible_collections/eth2xk8s/staking/playbooks/site.yml")
    assert done.code == 0, done.output[-3000:]
    found = {name.partition("RAN ")[2] for name in ran(done)}
    assert there | {"prysm_helm/preflight", "prysm_helm/validators"} <= found
    assert missing & found == set()
    assert [name for name in found if name.startswith("microk8s/")] == []
    assert not site.lock.exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("groups", [CLAIMS, SEEN, PROVED], ids=["claims", "seen", "proved"])
def test_a_playbook_works_there_or_says_in_one_sentence_why_not(groups: dict[str, list[str]], name: str) -> None:
    refused = {
        "cluster_upgrade": True,
        "failover": groups is not PROVED,
        "leave_node": True,
        "machines": groups is not PROVED,
        "move_key": groups is not PROVED,
        "rejoin": groups is not PROVED,
        "keys": groups is CLAIMS,
    }
    found = _requests.machines(groups, groups["site"], name, TABLE)
    assert len(found) == int(refused.get(name, False)), found
    for host in groups["site"]:
        problems = _requests.machines(groups, [host], name, TABLE)
        assert len(groups["site"]) == 1 or "--limit" in problems[-1]


@pytest.mark.parametrize("built", ["control_plane", "workers", "microk8s"])
def test_a_cluster_of_yours_and_one_of_ours_are_refused_together(built: str) -> None:
    both = {**CLAIMS, "site": ["laptop", "x"], built: ["x"]}
    assert "two clusters are two places for one key" in " ".join(_requests.machines(both, both["site"], "site", TABLE))


@pytest.mark.parametrize("lost", ["nfs", "control_plane"])
def test_on_microk8s_an_empty_group_makes_no_site_of_yours(lost: str) -> None:
    groups = {"site": ["n", "m"], "nfs": ["n"], "control_plane": ["m"], "microk8s": ["m"], "workers": []}
    assert _requests.machines(groups, ["n", "m"], "site", TABLE) == []
    assert _requests.machines({**groups, lost: [], "helm_client": []}, ["n", "m"], "site", TABLE)


@pytest.mark.parametrize(
    ("tasks_from", "says", "words"),
    [
        ("rollback_abort.yml", {}, "none can have been begun"),
        ("rollback.yml", {"schema_down": ["v1.3.0"]}, "no database is replaced"),
        ("before_release.yml", {"beacon_database_incompatible": True, "beacon_together": True}, "cannot be emptied"),
    ],
)
def test_nothing_is_looked_for_or_removed_on_a_machine_that_does_not_store_it(
    own: Own, tasks_from: str, says: dict[str, t.Any], words: str
) -> None:
    """Where no machine stores the databases, their paths on the helm client are other directories."""
    play = own.place / "play.yml"
    play.write_text(
        yaml.safe_dump(
            [{
                "hosts": "localhost",
                "gather_facts": False,
                "vars": {"__prysm_helm_wanted": says, "__prysm_helm_found": {"workloads": {}}},
                "tasks": [{"ansible.builtin.include_role": {"name": "eth2xk8s.staking.prysm_helm",
                                                            "tasks_from": tasks_from}}],
            }]
        )
    )  # fmt: skip
    done = own.play(play)
    assert done.code != 0, done.output
    assert "Refused, nothing was changed" in done.said
    assert words in done.said


def test_without_proofs_of_locks_the_role_asks_for_the_reason(own: Own) -> None:
    """Also where a machine sees the databases: that it does is no proof that a lost node loses its lock."""
    task = next(
        task
        for task in load(ROOT / "roles/prysm_helm/tasks/preflight_values.yml")
        if "do without the proofs" in task.get("name", "")
    )
    cases = [
        ("", "", "", True), ("", "", "short", True), ("", "", "because I say so", False),
        ("disk", "", "", True), ("disk", "", "because I say so", False), ("disk", "disk", "", False),
    ]  # fmt: skip
    tasks = []
    for number, (storage, fence, reason, _refused) in enumerate(cases):
        given = {"prysm_helm_storage_host": storage, "prysm_helm_fence_host": fence}
        given["prysm_helm_no_storage_proofs_because"] = reason
        tasks.append({**task, "vars": given, "register": f"case{number}", "ignore_errors": True})
    results = [f"{{{{ case{number} is failed }}}}" for number in range(len(cases))]
    tasks.append({"ansible.builtin.assert": {"that": "found == wanted"},
                  "vars": {"found": results, "wanted": [case[3] for case in cases]}})  # fmt: skip
    play = own.place / "play.yml"
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = own.play(play)
    assert done.code == 0, done.output
