"""The work that needs a lab: all of it stands in the table, and is spread by how long it takes."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest
import yaml

from lab import control
from lab.layout import Layout

ROOT = Path(__file__).parents[2]
_LOADER = importlib.machinery.SourceFileLoader("lab_units", str(ROOT / "scripts/lab-units"))
_SPEC = importlib.util.spec_from_loader("lab_units", _LOADER)
assert _SPEC
lab_units = importlib.util.module_from_spec(_SPEC)
_LOADER.exec_module(lab_units)
UNITS = lab_units.table()
#: Left out of the table: they hold what others use, or need machines that a usual lab does not have.
BY_NAME_ONLY = {"molecule/default", "molecule/shared", "molecule/microk8s_ha"}


def test_nothing_that_is_there_is_forgotten() -> None:
    there = {f"molecule/{path.parent.name}" for path in ROOT.glob("molecule/*/molecule.yml")} - BY_NAME_ONLY
    there |= {f"rehearsal/{path.name}" for path in ROOT.glob("tests/rehearsal/test_*.py")}
    assert set(UNITS) == there


def test_connections_of_a_scenario_stay_within_its_lab(tmp_path: Path) -> None:
    """testinfra reads the folder from Molecule's configuration; two labs have the same addresses."""
    config = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text(encoding="utf-8"))
    folder = config["ansible"]["cfg"]["persistent_connection"]["control_path_dir"]
    name = folder.removeprefix("${").removesuffix("}")
    assert folder == f"${{{name}}}"
    assert len({control.environment(Layout(tmp_path / lab))[name] for lab in ("a", "b")}) == len("ab")


def test_what_would_rot_is_run_every_time() -> None:
    every = {name for name, unit in UNITS.items() if unit["when"] == "test"}
    assert {
        "molecule/host_refusals", "molecule/prysm_helm_refusals", "molecule/prysm_wallet_refusals",
        "rehearsal/test_01_site.py", "rehearsal/test_02_life.py",
    } <= every  # fmt: skip


def test_a_file_of_by_hand_tests_is_not_taken_for_one_of_every_day() -> None:
    """Where pytest selects nothing it ends with 5, and the run would fail."""
    for name, unit in UNITS.items():
        if name.startswith("rehearsal/"):
            text = (ROOT / "tests" / name).read_text(encoding="utf-8")
            assert (unit["when"] == "release") == ("pytestmark = pytest.mark.by_hand" in text), name
            assert (unit.get("whole") == "release") == ("\n@pytest.mark.by_hand" in text), name


def test_a_part_runs_every_day_and_the_whole_before_a_release() -> None:
    name = "rehearsal/test_02_life.py"
    assert "not by_hand" in lab_units.command(name, UNITS[name], "test")
    assert "not by_hand" not in lab_units.command(name, UNITS[name], "release")


def test_a_round_of_days_leaves_nothing_out_and_neither_does_a_release() -> None:
    days = [set(lab_units.wanted(UNITS, "test", str(turn))) for turn in range(lab_units.TURNS)]
    every_day = {name for name, unit in UNITS.items() if unit["when"] == "test" and "turn" not in unit}
    assert set.union(*days) == {name for name, unit in UNITS.items() if unit["when"] == "test"}
    assert set.union(*days) == set(lab_units.wanted(UNITS, "test", "all"))
    assert set.intersection(*days) == every_day
    assert set(UNITS) - set(lab_units.wanted(UNITS, "release", "0")) == {
        name for name in every_day if "whole" not in UNITS[name]
    }


@pytest.mark.parametrize("turn", range(lab_units.TURNS))
def test_the_table_fits_the_budget(turn: int) -> None:
    """Half an hour: a slow machine takes twice that, and has as much to do that needs no lab."""
    names = lab_units.wanted(UNITS, "test", str(turn))
    longest = max(sum(UNITS[name]["seconds"] for name in share) for share in lab_units.shares(names, UNITS, 2))
    assert longest <= 25 * 60


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_whole_and_about_equal(count: int) -> None:
    shares = lab_units.shares(list(UNITS), UNITS, count)
    assert sorted(name for share in shares for name in share) == sorted(UNITS)
    sums = [sum(UNITS[name]["seconds"] for name in share) for share in shares]
    assert max(sums) - min(sums) <= max(unit["seconds"] for unit in UNITS.values())


def test_what_was_measured_is_written_and_the_rest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "units.yml"
    copy.write_text(lab_units.TABLE.read_text())
    monkeypatch.setattr(lab_units, "TABLE", copy)
    lab_units.record({"molecule/base": 7})
    assert lab_units.table() == {**UNITS, "molecule/base": {**UNITS["molecule/base"], "seconds": 7}}
    assert copy.read_text().startswith("---\n# What needs a lab")
