"""How histories come from the inventory to the databases: what the roles make of what they are given."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_clients import prysm_clients
from tests.unit.roles.test_host_roles import ROOT, evaluate, render

pytestmark = pytest.mark.thorough


def pod(**variables: t.Any) -> dict[str, t.Any]:
    lines = render(
        "prysm_helm",
        "import-pod.yml.j2",
        **{
            "role_path": str(ROOT / "roles/prysm_helm"),
            "prysm_helm_version": "v7.1.6",
            "prysm_helm_namespace": "prysm",
            "prysm_helm_user_id": 1001,
            "prysm_helm_group_id": 2000,
            "prysm_helm_nfs_server": "172.20.10.10",
            "__prysm_helm_client": prysm_clients([{"name": "validator1"}], "/data/prysm")[0],
            "__prysm_helm_import_dir": ".rollback",
            "__prysm_helm_import_file": "history.json",
            "__prysm_helm_wanted": {"images": {"validator": "registry/validator:v7.1.6"}},
            "__prysm_helm_release_values": {"persistentVolumeType": "nfs", "image": {"version": "v7.1.6"}},
            **variables,
        },
    )
    return t.cast("dict[str, t.Any]", yaml.safe_load("\n".join(lines)))


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("v1.2.2", "slashing-protection"),
        ("v1.3.4", "slashing-protection"),
        ("v2.0.2", "slashing-protection"),
        ("v2.0.3", "slashing-protection-history"),
        ("v7.1.6", "slashing-protection-history"),
        ("v10.0.0", "slashing-protection-history"),
    ],
)
def test_the_import_speaks_the_version_s_language(version: str, command: str) -> None:
    spec = pod(prysm_helm_version=version)["spec"]
    assert spec["initContainers"][1]["args"][:4] == [
        "--accept-terms-of-use",
        command,
        "import",
        "--accept-terms-of-use",
    ]
    assert [c["name"] for c in spec["initContainers"] + spec["containers"]] == ["prepare", "import", "keep"]


def test_the_import_cannot_sign() -> None:
    spec = pod(__prysm_helm_import_dir=".import")["spec"]
    assert spec["volumes"][0] == {"name": "data", "nfs": {"server": "172.20.10.10", "path": "/data/prysm/validator1"}}
    assert "wallet" not in yaml.safe_dump(spec) and spec["restartPolicy"] == "Never"
    for container in spec["initContainers"] + spec["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_other_storage_is_mounted_by_its_claim() -> None:
    values = {"persistentVolumeType": "storageClass", "image": {"pullSecrets": [{"name": "x"}]}}
    spec = pod(__prysm_helm_release_values=values)
    assert spec["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "validator1-data"}
    assert spec["spec"]["imagePullSecrets"] == [{"name": "x"}]


def test_a_directory_of_a_node_is_mounted_there_before_it_has_a_claim() -> None:
    values = {"persistentVolumeType": "hostPath", "hostPath": {"node": "node1"}, "image": {}}
    spec = pod(__prysm_helm_release_values=values)["spec"]
    assert spec["volumes"][0]["hostPath"] == {"path": "/data/prysm/validator1", "type": "Directory"}
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "node1"}
    assert "nodeSelector" not in pod()["spec"]


def run_steps(spec: dict[str, t.Any], data: Path, scratch: Path, prysm: str) -> None:
    """Run the pod's containers one after the other with this machine's shell."""
    for container in spec["initContainers"] + spec["containers"]:
        script = prysm if container["name"] == "import" else container["args"][0]
        script = script.replace("/data/prysm/validator", str(data)).replace("/import/", f"{scratch}/")
        subprocess.run(["sh", "-c", script.replace("\nsync\n", "\n")], check=True)


@pytest.mark.parametrize("before", [None, b"", b"old"])
def test_a_new_database_begins_empty_and_another_is_added_to(tmp_path: Path, before: bytes | None) -> None:
    room, scratch = tmp_path / "data/.import", tmp_path / "scratch"
    room.mkdir(parents=True)
    scratch.mkdir()
    if before is not None:
        (room / "validator.db").write_bytes(before)
    run_steps(
        pod(__prysm_helm_import_dir=".import")["spec"], tmp_path / "data", scratch, "printf new >> /import/validator.db"
    )
    assert (room / "validator.db").read_bytes() == (before or b"") + b"new"
    assert [path.name for path in room.iterdir()] == ["validator.db"]
    assert (room / "validator.db").stat().st_mode & 0o777 == 0o600


def test_an_import_that_fails_leaves_nothing_new(tmp_path: Path) -> None:
    room, scratch = tmp_path / "data/.import", tmp_path / "scratch"
    room.mkdir(parents=True)
    scratch.mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        run_steps(pod(__prysm_helm_import_dir=".import")["spec"], tmp_path / "data", scratch, "exit 1")
    assert list(room.iterdir()) == []


# -- what prysm_wallet brings -----------------------------------------------------------------------------------------


def arriving(*entries: dict[str, t.Any], **more: t.Any) -> t.Any:
    given = {"prysm_wallet_arriving_dir": "/in", "prysm_wallet_validators": list(entries), **more}
    return evaluate("prysm_wallet", "__prysm_wallet_arriving", **given)


def test_histories_come_from_entries_and_from_beside_keystores() -> None:
    found = arriving(
        {"name": "v1", "slashing_protection": ["/a/one.json"], "wallet_password": "x"},
        {"name": "v2", "slashing_protection": ["/b/validator.db"], "keystores_on": "nfs"},
        {"name": "v3"},
        prysm_wallet_histories={
            "v1": {"on": "controller", "paths": ["/k/slashing_protection.json", "/a/one.json"]},
            "v2": {"on": "nfs", "paths": ["/k2/sp.json"]},
        },
    )
    one, beside = (f"/in/v1/{hashlib.sha1(path.encode()).hexdigest()[:8]}-{path.rpartition('/')[2]}"
                   for path in ("/a/one.json", "/k/slashing_protection.json"))  # fmt: skip
    assert found == [
        {"client": "v1", "on": "controller", "path": "/a/one.json", "dest": one},
        {"client": "v1", "on": "controller", "path": "/k/slashing_protection.json", "dest": beside},
        {"client": "v2", "on": "nfs", "path": "/b/validator.db", "dest": "/b/validator.db"},
        {"client": "v2", "on": "nfs", "path": "/k2/sp.json", "dest": "/k2/sp.json"},
    ]
    assert arriving({"name": "v1"}) == []


def test_where_histories_are_is_said_of_those_that_are_there() -> None:
    entries = [
        {"name": "v1", "slashing_protection": ["/a/one.json", "/a/two.json"]},
        {"name": "v2", "slashing_protection": ["/b/validator.db"], "keystores_on": "nfs"},
    ]
    one, two, three = arriving(*entries)
    results = [
        {"__prysm_wallet_arrival": one, "changed": True},
        {"__prysm_wallet_arrival": two, "changed": False},
    ]
    for check_mode, of_v1 in ((False, [one["dest"], two["dest"]]), (True, [two["dest"]])):
        files = evaluate(
            "prysm_wallet",
            "__prysm_wallet_history_files",
            prysm_wallet_validators=entries,
            prysm_wallet_arriving_dir="/in",
            __prysm_wallet_brought={"results": results},
            ansible_check_mode=check_mode,
        )
        assert files == {"v1": of_v1, "v2": [three["path"]]}


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: eth2xk8s.staking.prysm_wallet
        tasks_from: history.yml
    - ansible.builtin.copy:
        content: "{{ prysm_wallet_history_files | to_json }}"
        dest: "{{ work }}/published"
        mode: "0600"
      check_mode: false
"""


def play(tmp_path: Path, sources: list[str], *flags: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "play.yml").write_text(PLAY)
    variables = {
        "work": str(tmp_path),
        "ansible_python_interpreter": sys.executable,
        "prysm_data_dir": str(tmp_path / "data"),
        "prysm_user_id": 0,
        "prysm_group_id": 0,
        "prysm_wallet_arriving_dir": str(tmp_path / "arriving"),
        "prysm_validators": [{"name": "v1", "slashing_protection": sources}, {"name": "v2"}],
    }
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", str(tmp_path / "play.yml"), *flags,
         "-e", yaml.safe_dump(variables, default_flow_style=True, width=9999).strip()],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_histories_of_the_controller_are_brought_once(tmp_path: Path) -> None:
    one, two = tmp_path / "x/history.json", tmp_path / "y/history.json"
    for path in (one, two):
        path.parent.mkdir()
        path.write_text(f"of {path}")
    checked = play(tmp_path, [str(one), str(two)], "--check")
    assert checked.returncode == 0, checked.stdout
    assert (tmp_path / "published").read_text() == "{}" and not (tmp_path / "arriving").exists()
    first = play(tmp_path, [str(one), str(two)])
    assert first.returncode == 0, first.stdout
    published = yaml.safe_load((tmp_path / "published").read_text())
    assert list(published) == ["v1"] and len(set(published["v1"])) == 2
    assert {Path(path).read_text() for path in published["v1"]} == {f"of {one}", f"of {two}"}
    assert all(Path(path).stat().st_mode & 0o777 == 0o600 for path in published["v1"])
    assert "changed=0" in play(tmp_path, [str(one), str(two)]).stdout


def test_a_history_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    result = play(tmp_path, [str(tmp_path / "none.json"), str(tmp_path / "dir")])
    assert result.returncode != 0
    assert "names what is not a file on the controller" in result.stdout and "none.json" in result.stdout


def test_the_wait_is_the_longest_of_all_clients() -> None:
    def wait(**variables: t.Any) -> int:
        return int(evaluate("prysm_helm", "__prysm_helm_first_wait", role_path="/x", **variables))

    asked = {"ask": {}, "wait": {"v1": 5, "v2": 90}}
    assert wait(__prysm_helm_starts=asked) == 90
    assert wait(__prysm_helm_starts=asked, __prysm_helm_decided={"wait": {"v1": 120}}) == 120
    assert wait(__prysm_helm_starts={"wait": {}}, __prysm_helm_decided={"skipped": True}) == 0
    assert wait(__prysm_helm_starts={"skipped": True}) == 0
