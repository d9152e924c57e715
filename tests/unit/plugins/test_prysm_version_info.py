"""The version table is asked on the controller, with the answers of the module."""

from __future__ import annotations

import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.eth2xk8s.staking.plugins.action.prysm_version_info import ActionModule
from ansible_collections.eth2xk8s.staking.plugins.modules.prysm_version_info import ARGUMENTS, answers

TABLE = yaml.safe_load(
    (Path(__file__).parents[3] / "roles/prysm_helm/files/eth2prysm/files/versions.yaml").read_text(encoding="utf-8")
)


def ask(monkeypatch: pytest.MonkeyPatch, **args: t.Any) -> dict[str, t.Any]:
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={"table": TABLE, "network": "hoodi", **args})
    found: dict[str, t.Any] = action.run(task_vars={})
    return found


def test_it_answers_as_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"version": "v7.1.6", "current": "v1.3.4", "now": "2026-11-01"}
    told = ask(monkeypatch, **given)
    defaults = {name: option.get("default") for name, option in ARGUMENTS.items()}
    alone = answers({**defaults, "table": TABLE, "network": "hoodi", **given})
    assert {name: value for name, value in told.items() if name in alone} == alone
    assert told["changed"] is False and told["warnings"] == alone["notes"]


def test_what_is_no_release_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ask(monkeypatch, version="latest")
    assert told["failed"] and "not a Prysm release tag" in told["msg"]
