"""The version table is asked on the controller, with the answers of the module."""

from __future__ import annotations

import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.eth2xk8s.staking.plugins.action.prysm_version_info import ActionModule
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import ARGUMENTS, answers

TABLE = str(Path(__file__).parents[3] / "roles/prysm_helm/files/eth2prysm/files/versions.yaml")


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


@pytest.mark.parametrize("text", ["", "releases: [", "[1]", "oldest: 1.2.2"])
def test_what_is_no_table_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    (tmp_path / "versions.yaml").write_text(text)
    told = ask(monkeypatch, version="v7.1.6", table=str(tmp_path / "versions.yaml"))
    assert told["failed"] and told["msg"].startswith("the version table ")
    assert ask(monkeypatch, version="v7.1.6", table=str(tmp_path / "gone"))["failed"]


def test_reasons_against_a_version_are_returned_and_never_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = {
        "oldest": "1.2.2",
        "newest": "7.1.6",
        "releases": ["1.2.2", "1.3.4", "7.1.6"],
        "registries": [{"repository": "r"}],
        "networks": {
            "hoodi": {
                "flag": {"first": "5.3.2"},
                "follow": [{"from": "2025-10-28", "fork": "Fulu", "releases": [{"first": "7.0.0"}]}],
            }
        },
        "together": [],
        "stop": {"beacon": [{"seconds": 60}], "validator": [{"seconds": 30}]},
        "allowedArgs": {"beacon": {}, "validator": {}},
        "refusedArgs": {"datadir": "another place"},
        "refusedPatterns": {},
        "features": {"doppelganger": {"first": "1.4.1"}},
        "validatorSchema": ["1.3.0"],
        "pairs": [{"validator": {"last": "1.4.4"}, "beacon": {"last": "2.1.4"}, "because": "StreamBlocks"}],
        "beaconDatabase": [],
    }
    table = str(tmp_path / "versions.yaml")
    Path(table).write_text(yaml.safe_dump(content))
    result = ask(
        monkeypatch,
        table=table,
        version="v1.2.2",
        network="hoodi",
        current="v1.3.4",
        emergency={"beacon": ["--datadir=/x"]},
    )
    assert len(result["refusals"]) == 2
    assert result["emergency_refusals"] == ["beacon: --datadir is refused: another place"]
    assert result["stop_seconds"] == {"beacon": 60, "validator": 30}
    assert (result["move"], result["schema_down"]) == ("downgrade", ["v1.3.0"])
    assert result["features"] == {"doppelganger": False}
    assert result["layout"] == 0
    assert (result["order"], result["beacon_together"], result["pair_refusal"]) == ("validators_first", False, "")
    assert (result["beacon_database_incompatible"], result["beacon_database_refusal"]) == (False, "")
    over = ask(monkeypatch, table=table, version="v7.1.6", network="hoodi", current="v1.3.4")
    assert (over["order"], over["beacon_together"]) == ("together", True)
    assert "StreamBlocks" in over["pair_refusal"]
    assert "not a Prysm release tag" in ask(monkeypatch, table=table, version="x", network="hoodi")["msg"]
