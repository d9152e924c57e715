"""Which inventories `lab exec` gives to Ansible."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab import ROOT, control
from lab.cli import app
from lab.layout import Layout

USUAL = f"{ROOT / 'inventory/testnet'},{ROOT / 'inventory/lab'}"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "state"


def given() -> str:
    return control.environment(Layout.here())["ANSIBLE_INVENTORY"]


def test_the_testnet_with_the_lab_on_top_unless_told_otherwise() -> None:
    assert given() == USUAL


def test_what_was_chosen_holds_for_every_later_command() -> None:
    """After `make rehearsal` the site is the testnet's: the lab's own release would be a rollback of it."""
    assert CliRunner().invoke(app, ["inventory", "inventory/testnet"]).exit_code == 0
    assert given() == str(ROOT / "inventory/testnet")
    assert CliRunner().invoke(app, ["inventory", "inventory/testnet", "inventory/lab"]).exit_code == 0
    assert given() == USUAL


def test_one_that_is_not_there_is_refused_and_changes_nothing() -> None:
    assert CliRunner().invoke(app, ["inventory", "inventory/tesnet"]).exit_code != 0
    assert given() == USUAL


def test_shown_without_a_word() -> None:
    assert CliRunner().invoke(app, ["inventory"]).output.splitlines() == USUAL.split(",")
