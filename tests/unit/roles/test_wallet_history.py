"""What the role prysm_wallet claims, and how it installs the history watcher."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _watch
from tests.unit.roles.test_host_roles import ROOT, evaluate, render

VALIDATORS = [{"name": "validator1"}, {"name": "validator2", "data_dir": "/mnt/other/v2"}]
SITE = {
    "prysm_wallet_validators": VALIDATORS,
    "prysm_wallet_data_dir": "/data/prysm",
    "prysm_wallet_user_id": 1001,
    "prysm_wallet_group_id": 2000,
    "prysm_wallet_history_record": "/data/prysm/.history/record.json",
}


def test_the_watcher_understands_what_the_role_tells_it(tmp_path: Path) -> None:
    told = evaluate("prysm_wallet", "__prysm_wallet_history_config", **SITE)
    (tmp_path / "config.json").write_text(json.dumps(told))
    config = _watch.read_config(str(tmp_path / "config.json"))
    assert config == _watch.Config(
        "/data/prysm/.history/record.json",
        "/var/lib/eth2xk8s/history/record.json",
        384,
        (
            _watch.Client("validator1", "/data/prysm/validator1", 1001, 2000),
            _watch.Client("validator2", "/mnt/other/v2", 1001, 2000),
        ),
    )


def test_keys_are_claimed_for_the_wallet_that_has_them_and_the_entry_that_brings_them() -> None:
    def place(kind: str, client: str | None) -> dict[str, t.Any]:
        return {"kind": kind, "where": "/x", "client": client}

    found = {
        "a": [place("wallet", "validator1"), place("keystore", "validator1"), place("history", "validator2")],
        "b": [place("keystore", "validator2"), place("tombstone", "validator1")],
        "c": [place("live", "validator1"), place("wallet", None), place("wallet", "stranger")],
    }
    claims = evaluate("prysm_wallet", "__prysm_wallet_claims", **SITE, __prysm_wallet_uniqueness={"keys": found})
    assert claims == {"validator1": ["a"], "validator2": ["b"]}


def test_a_key_is_new_until_a_wallet_has_it() -> None:
    def new(**kinds: list[str]) -> t.Any:
        keys = {key: [{"kind": kind, "where": "/x", "client": None} for kind in found] for key, found in kinds.items()}
        return evaluate("prysm_wallet", "__prysm_wallet_new_keys", **SITE, __prysm_wallet_uniqueness={"keys": keys})

    assert new() == []
    assert new(a=["wallet", "keystore"], b=["history", "keystore", "keystore"], c=["wallet"], d=["live"]) == ["b"]


def test_no_password_is_told_with_the_tombstones() -> None:
    places = [
        {"wallet": {"path": "/data/prysm/wallet-validator1", "client": "validator1", "password": "x"}, "data_dir": {}}
    ]
    assert evaluate("prysm_wallet", "__prysm_wallet_left", **SITE, __prysm_wallet_places=places) == [
        {"path": "/data/prysm/wallet-validator1", "client": "validator1"}
    ]


@pytest.mark.parametrize("unit", ["eth2xk8s-history", "eth2xk8s-history-check"])
def test_systemd_takes_the_units(tmp_path: Path, unit: str) -> None:
    lines = render("prysm_wallet", "eth2xk8s-history.service.j2", **SITE, __prysm_wallet_unit=unit)
    checks = unit.endswith("check")
    assert ("Before=nfs-server.service" in lines) is checks
    assert ("WantedBy=nfs-server.service" in lines) is checks
    places = ["/data/prysm", "/var/lib/eth2xk8s/history", "/data/prysm/.history", "/data/prysm/validator1"]
    places.append("/mnt/other/v2")
    assert f"RequiresMountsFor={' '.join(places)}" in lines
    assert f"ReadWritePaths={' '.join('-' + place for place in places)}" in lines
    # The check is wanted by the server and never required: it must not keep it from starting.
    assert not any(line.startswith(("RequiredBy", "OnFailure", "Requires=")) for line in lines)
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not here")
    (tmp_path / f"{unit}.service").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [verify, "verify", str(tmp_path / f"{unit}.service")], capture_output=True, text=True, check=False, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if f"{unit}.service" in line and "nfs-server" not in line]
    assert said == [], done.stderr


def test_what_holds_a_client_back_and_cannot_be_read_may_be_a_move_that_was_begun() -> None:
    first, second = evaluate("prysm_wallet", "__prysm_wallet_hold_files", **SITE)

    def seen(paths: list[str], texts: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        given = {**SITE, "__prysm_wallet_machine": {"paths": {path: {} for path in paths}, "texts": texts}}
        return (
            evaluate("prysm_wallet", "__prysm_wallet_hold_files_unread", **given),
            evaluate("prysm_wallet", "__prysm_wallet_begun", **given),
        )

    assert seen([], {}) == ([], {})
    assert seen([first], {first: "upgrade of v1.3.4\n"}) == ([], {})
    assert seen([first], {first: "move of 0xab\n"}) == ([], {first: "move of 0xab\n"})
    assert seen([first, second], {second: "upgrade\n"}) == ([first], {})


def test_every_file_of_the_watcher_is_looked_at_and_none_is_needed_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = evaluate("prysm_wallet", "prysm_wallet_question.paths", **SITE)
    role = ROOT / "roles/prysm_wallet"
    monkeypatch.chdir(role)
    wanted = evaluate("prysm_wallet", "__prysm_wallet_watcher_service", **SITE, role_path=str(role))
    assert len(wanted["files"]) > 10
    paths = {**wanted["files"], **wanted["private_files"], **wanted["directories"]}
    assert set(paths) <= set(asked)
    assert sorted(wanted["units"]) == sorted(evaluate("prysm_wallet", "prysm_wallet_question.units", **SITE))
