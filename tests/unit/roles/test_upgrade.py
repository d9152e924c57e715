"""An upgrade goes back by itself after a proof of the new version that fails, and after nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.unit.roles.test_host_roles import ROOT

Task = dict[str, t.Any]
PROOF: Task = {"eth2xk8s.staking.beacon_health": {"kubeconfig": "/there/is/none", "wait": False}}
DUTIES: Task = {"eth2xk8s.staking.validator_duties": {"kubeconfig": "/there/is/none", "clients": [], "timeout": 1}}
OTHER: Task = {"ansible.builtin.fail": {"msg": "the disk is full"}}
DONE: Task = {"ansible.builtin.debug": {"msg": "at {{ prysm_helm_version }}"}}
WANTED = {
    "move": "upgrade",
    "schema_up": [],
    "beacon_together": False,
    "beacon_database_incompatible": False,
}


def upgrade(folder: Path, failing: Task, back: Task = DONE, **given: t.Any) -> str:
    """What upgrade.yml and upgrade_undo.yml do with tasks of the test in place of what they include; the output."""
    tasks = folder / "roles/prysm_helm/tasks"
    tasks.mkdir(parents=True)
    for name in ("upgrade.yml", "upgrade_before.yml", "upgrade_undo.yml"):
        shutil.copy(ROOT / "roles/prysm_helm/tasks" / name, tasks)
    of_use = {"ansible.builtin.set_fact": {"__prysm_helm_beacon_of_use": given.pop("of_use", True)}}
    instead = {"main": failing, "version_check": DONE, "rollback": back, "beacon_of_use": of_use}
    instead["duties"] = given.pop("duties", DONE)
    for name, task in instead.items():
        (tasks / f"{name}.yml").write_text(json.dumps([{"name": f"{name} ran", **task}]))
    variables = {
        "ansible_python_interpreter": sys.executable,
        "prysm_helm_version": "v1.3.4",
        "prysm_helm_undo_upgrade": True,
        "__prysm_helm_installed": {"image": {"version": "v1.3.3"}},
        "__prysm_helm_states": {"halted": []},
        "__prysm_helm_wanted": {**WANTED, **given.pop("wanted", {})},
        **given,
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "any_errors_fatal": True,
        "vars": variables,
        "tasks": [{"ansible.builtin.include_role": {"name": "prysm_helm", "tasks_from": "upgrade.yml"}}],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "play.yml"],
        cwd=folder,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("failing", [PROOF, DUTIES], ids=["beacon", "duties"])
def test_a_version_that_is_of_no_use_is_given_up(tmp_path: Path, failing: Task) -> None:
    said = upgrade(tmp_path, failing)
    assert "The upgrade was undone: v1.3.3 runs again" in said
    assert "What failed with v1.3.4: " in said
    assert [said.count(f"{name} ran") > 0 for name in ("version_check", "rollback", "duties")] == [True] * 3
    assert "at v1.3.3" in said and "at v1.3.4" not in said, "all of the way back is to the version of before"


@pytest.mark.parametrize(
    ("failing", "given"),
    [
        pytest.param(OTHER, {}, id="no proof"),
        pytest.param(PROOF, {"prysm_helm_undo_upgrade": False}, id="asked not to"),
        pytest.param(PROOF, {"of_use": False}, id="of no use before"),
        pytest.param(PROOF, {"wanted": {"move": "same"}}, id="the version of before is not known"),
        pytest.param(PROOF, {"wanted": {"schema_up": ["v1.3.0"]}}, id="over a change of layout"),
        pytest.param(PROOF, {"wanted": {"beacon_together": True}}, id="together"),
        pytest.param(PROOF, {"wanted": {"beacon_database_incompatible": True}}, id="database"),
    ],
)
def test_everything_else_is_left_to_a_person(tmp_path: Path, failing: Task, given: dict[str, t.Any]) -> None:
    said = upgrade(tmp_path, failing, **given)
    assert "rollback ran" not in said
    assert "The upgrade was undone" not in said
    assert said.count("the disk is full" if failing is OTHER else "The beacon node") >= 2, "the reason comes last"


def test_a_way_back_that_fails_is_named_with_its_command(tmp_path: Path) -> None:
    said = upgrade(tmp_path, PROOF, back=OTHER)
    assert "The way back to v1.3.3 failed, too: the disk is full" in said
    assert "playbooks/rollback.yml -e prysm_version=v1.3.3" in said
    assert "The upgrade was undone" not in said


def test_what_proves_to_be_of_use_stays(tmp_path: Path) -> None:
    said = upgrade(tmp_path, DONE)
    assert "at v1.3.4" in said and "failed=0" in said and "rollback ran" not in said


def test_what_does_not_work_before_is_not_upgraded(tmp_path: Path) -> None:
    said = upgrade(tmp_path, DONE, duties=OTHER)
    assert "Refused, nothing was changed: the disk is full. Cure that at v1.3.3 first" in said
    assert "main ran" not in said and "rollback ran" not in said


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"prysm_helm_undo_upgrade": False}, id="the upgrade is the cure"),
        pytest.param({"of_use": False}, id="nothing could perform"),
        pytest.param({"__prysm_helm_states": {"halted": ["validator1"]}}, id="an earlier run was cut off"),
        pytest.param({"wanted": {"beacon_together": True}}, id="clients that were stopped before the release"),
    ],
)
def test_where_it_cannot_or_need_not_it_goes_on(tmp_path: Path, given: dict[str, t.Any]) -> None:
    said = upgrade(tmp_path, DONE, duties=OTHER, **given)
    assert "main ran" in said and "failed=0" in said
