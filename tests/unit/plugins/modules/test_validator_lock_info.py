from __future__ import annotations

import fcntl
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.modules import validator_lock_info


def run(capsys: pytest.CaptureFixture[str], **params: t.Any) -> dict[str, t.Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        validator_lock_info.main()
    return json.loads(capsys.readouterr().out)


def test_says_missing_free_and_held(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    free, held, missing = (str(tmp_path / name) for name in ("free.db", "held.db", "missing.db"))
    Path(free).touch()
    Path(held).touch()
    with Path(held).open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        result = run(capsys, paths=[free, held, missing])
    assert {path: lock["state"] for path, lock in result["locks"].items()} == {
        free: "free",
        held: "held",
        missing: "missing",
    }


def test_a_lock_that_stays_is_a_failure_that_names_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    held = tmp_path / "validator.db"
    held.touch()
    with held.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        result = run(capsys, paths=[str(held)], wait_free=True, timeout=0)
    assert result["failed"] is True
    assert str(held) in result["msg"]


def test_what_cannot_be_read_counts_as_held(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "validator.db").symlink_to("/dev/null")
    result = run(capsys, paths=[str(tmp_path / "validator.db")])
    assert "counts as held" in result["msg"]


def test_names_the_client_that_holds_the_lock_on_this_very_file(tmp_path: Path) -> None:
    database = tmp_path / "validator.db"
    database.touch()
    status = database.stat()
    superblock = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for number, address, block, kind in (
        (1, "172.20.10.11:871", superblock, "open"),
        (2, "172.20.10.12:790", superblock, "lock"),
        (3, "172.20.10.13:790", "00:00:1", "lock"),
    ):
        folder = tmp_path / "clients" / str(number)
        folder.mkdir(parents=True)
        (folder / "info").write_text(f'clientid: 0x1\naddress: "{address}"\n')
        state = f'- 0x01: {{ type: {kind}, superblock: "{block}", filename: "validator1/validator.db" }}\n'
        (folder / "states").write_text(state)
    assert validator_lock_info.addresses(str(database), str(tmp_path / "clients")) == ["172.20.10.12"]
