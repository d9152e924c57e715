"""The collection as people install it, tarball and wheel: run from there, where no checkout's ansible.cfg reaches.

ARTIFACTS names environments that `scripts/try-artifact` has made (build/artifact-PYTHON-ANSIBLE); else they are made.
About 30 minutes, and ten more to make an environment; once a release. With REHEARSAL_KEEP the environments of several
versions of Ansible share a site: each ends as it began.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lab import ROOT

from .conftest import Inventory, Lab, Play, moved_validators
from .test_03_move_key import MOVED, metrics_keys

pytestmark = pytest.mark.by_hand
FORMS = ("wheel", "tarball")


@pytest.fixture(scope="module")
def environments() -> Path:
    named = os.environ.get("ARTIFACTS")
    if not named:
        subprocess.run([ROOT / "scripts/try-artifact"], check=True, stdin=subprocess.DEVNULL)
        return max(ROOT.glob("build/artifact-*"), key=lambda path: path.stat().st_mtime)
    return Path(named).resolve()


def installed(lab: Lab, place: Path, form: str, name: str, *words: str) -> Play:
    """A playbook of the installed collection, from a folder in which nothing lies."""
    script = (
        f'cd {place}/empty && ANSIBLE_HOME={place}/home-{form} PATH={place}/{form}/bin:$PATH exec ansible-playbook "$@"'
    )
    done = lab.command(
        "exec", "--", "sh", "-c", script, "sh", f"eth2xk8s.staking.{name}", *words, check=False, timeout=1800
    )
    play = Play(done.returncode, done.stdout + done.stderr)
    if play.failed:
        pytest.fail(f"{form}: {name} failed:\n{play.output[-8000:]}")
    return play


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    there = Inventory(tmp_path_factory.mktemp("moved") / "inventory", moved_validators())
    # The checkout is not where these commands run.
    there.words = tuple(str(ROOT / word) if word.startswith("inventory/") else word for word in there.words)
    return there


def test_the_site_is_built_by_the_wheel(lab: Lab, environments: Path) -> None:
    installed(lab, environments, "wheel", "site")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)


def test_the_tarball_finds_nothing_to_change(lab: Lab, environments: Path) -> None:
    assert set(installed(lab, environments, "tarball", "site").changed.values()) == {0}


@pytest.mark.parametrize("form", FORMS)
def test_both_report(lab: Lab, environments: Path, form: str, tmp_path: Path) -> None:
    report = tmp_path / "status.json"
    installed(lab, environments, form, "status", "-e", "status_format=json", "-e", f"status_file={report}")
    assert yaml.safe_load(report.read_text())
    keys = installed(lab, environments, form, "keys", "-vvv")
    assert MOVED in keys.output
    # A module that is put on a machine lies there with its arguments, which are passwords here.
    assert re.findall(r"PUT \S+ TO \S*AnsiballZ_\S+", keys.output) == []


def test_a_key_is_moved_by_the_tarball_and_stays_for_the_wheel(lab: Lab, environments: Path, moved: Inventory) -> None:
    """Of an artifact that lacked a template both clients were stopped, and then the move failed."""
    words = ("-e", f"move_key={MOVED}", "-e", "move_from=validator1", "-e", "move_to=validator2", *moved.words)
    installed(lab, environments, "tarball", "move_key", *words)
    assert MOVED in metrics_keys(lab, "validator2")
    assert MOVED not in metrics_keys(lab, "validator1")
    lab.all_sign_on(seconds=120)
    assert set(installed(lab, environments, "wheel", "move_key", *words).changed.values()) == {0}


#: Every other playbook, in an order in which each has something to do.
LIFE: list[tuple[str, ...]] = [
    ("machines",),
    ("upgrade", "-e", "prysm_version=v1.3.4"),
    ("rollback", "-e", "prysm_version=v1.3.3"),
    ("flag", "-e", "prysm_emergency_flag=--enable-larger-gossip-history", "-e", "prysm_emergency_on=beacon"),
    ("flag", "-e", "prysm_emergency_flag=none", "-e", "prysm_emergency_on=beacon"),
    ("drain", "-e", "node=worker"),
    ("drain", "-e", "node=worker", "-e", "node_state=uncordoned"),
    ("failover", "-e", "node=worker"),
    ("rejoin", "-e", "node=worker"),
    ("cluster_upgrade",),
    ("leave_node", "-e", "leave_node=worker"),
    ("site",),
    ("uninstall", "-e", "prysm_uninstall=eth2prysm"),
    # The newest release that has run: nothing is installed that a rollback could begin from.
    ("site", "-e", "prysm_version=v1.3.4"),
    ("rollback", "-e", "prysm_version=v1.3.3"),
]


def test_the_key_goes_back_by_the_wheel(lab: Lab, environments: Path) -> None:
    words = ("-e", f"move_key={MOVED}", "-e", "move_from=validator2", "-e", "move_to=validator1")
    installed(lab, environments, "wheel", "move_key", *words)
    assert MOVED in metrics_keys(lab, "validator1")


def test_the_release_is_written_as_manifests(lab: Lab, environments: Path, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    installed(lab, environments, "tarball", "manifests", "-e", f"manifests_file={file}")
    assert "StatefulSet" in file.read_text()


def befalls(lab: Lab, name: str) -> None:
    """What brings a user to this playbook."""
    if name == "failover":
        lab.fault("power-cut", "worker")
    elif name == "rejoin":
        lab.power_on("worker")
        lab.wait("worker is Ready", lambda: lab.nodes_ready()["worker"], seconds=180)


def test_every_other_playbook_runs_from_it(lab: Lab, environments: Path) -> None:
    names = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    assert names == {words[0] for words in LIFE} | {"status", "keys", "move_key", "manifests"}
    for words in LIFE:
        befalls(lab, words[0])
        installed(lab, environments, "tarball", *words)
        if words[0] not in ("uninstall", "leave_node"):
            lab.all_sign_on(seconds=180)
