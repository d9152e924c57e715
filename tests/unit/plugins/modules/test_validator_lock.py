from __future__ import annotations

import errno
import fcntl
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd
from ansible_collections.eth2xk8s.staking.plugins.modules import validator_lock
from tests.unit.plugins.keys_support import failing


def run(capsys: pytest.CaptureFixture[str], **params: t.Any) -> dict[str, t.Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        validator_lock.main()
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


class Server:
    """What the kernel's NFS server shows of itself and its clients."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "clients").mkdir(parents=True)
        self.say()

    def say(self, threads: str = "8\n", end_grace: str = "Y\n") -> None:
        (self.root / "threads").write_text(threads)
        (self.root / "v4_end_grace").write_text(end_grace)

    def client(self, address: str, *states: str) -> Path:
        folder = self.root / "clients" / str(len(list((self.root / "clients").iterdir())) + 1)
        folder.mkdir()
        (folder / "info").write_text(f'clientid: 0x1\naddress: "{address}"\n')
        (folder / "states").write_text("".join(f"- 0x01: {{ {state} }}\n" for state in states))
        return folder


def state(path: Path, kind: str = "lock", name: str = "/", inode: int | None = None) -> str:
    found = path.stat() if path.exists() else path.parent.stat()
    number = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{inode or found.st_ino}"
    return f'type: {kind}, superblock: "{number}", filename: "{name}"'


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(_nfsd, "ROOT", str(tmp_path / "nfsd"))
    return Server(tmp_path / "nfsd")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "validator1" / "validator.db"
    path.parent.mkdir()
    path.touch()
    return path


def lock(capsys: pytest.CaptureFixture[str], path: Path) -> dict[str, t.Any]:
    result = run(capsys, paths=[str(path)])
    assert "locks" in result, result
    return result["locks"][str(path)]


def test_names_the_client_that_holds_the_lock_on_this_very_file(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path
) -> None:
    """By device and inode: after a restart of the server every name is "/"."""
    server.client("172.20.10.11:871", state(database, "open"))
    server.client("172.20.10.12:790", state(database))
    server.client("172.20.10.13:790", state(database, inode=1))
    found = lock(capsys, database)
    assert (found["state"], found["addresses"], found["files"]) == ("held", ["172.20.10.12"], ["validator.db"])


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "name", ["{path}", "{path} (deleted)", "validator1/validator.db", "validator1/validator.db\\040(deleted)"]
)
def test_a_client_on_a_file_that_was_renamed_over_or_removed_is_seen(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path, name: str, exists: bool
) -> None:
    if not exists:
        database.unlink()
    server.client("172.20.10.12:790", state(database, name=name.format(path=database), inode=1))
    found = lock(capsys, database)
    assert (found["state"], found["addresses"]) == ("held", ["172.20.10.12"])
    assert "removed or renamed over" in found["holder"]


def test_another_clients_lock_is_not_this_ones(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path
) -> None:
    for name in ("/", "/elsewhere/validator1/validator.db", "validator2/validator.db", "xvalidator1/validator.db"):
        server.client("172.20.10.12:790", state(database, name=name, inode=1))
    assert lock(capsys, database)["state"] == "free"


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("kind", ["local", "nfs"])
def test_the_guards_lock_beside_it_counts(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path, kind: str, missing: bool
) -> None:
    """A client that has just started has no database yet."""
    beside = database.with_name(".validator-lock")
    beside.touch()
    if missing:
        database.unlink()
    assert lock(capsys, database)["state"] == ("missing" if missing else "free")
    with beside.open("r+b") as holder:
        if kind == "local":
            fcntl.flock(holder, fcntl.LOCK_EX)
        else:
            server.client("[fd00::12]:790", state(beside))
        found = lock(capsys, database)
    assert (found["state"], found["files"]) == ("held", [".validator-lock"])
    assert found["addresses"] == ([] if kind == "local" else ["fd00::12"])


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("says", "reason"),
    [({"end_grace": "N\n"}, "grace period"), ({"threads": "0\n"}, "is stopped"), ({"end_grace": ""}, "grace period")],
)
def test_the_grace_period_is_not_free(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path, says: dict[str, str], reason: str, exists: bool
) -> None:
    if not exists:
        database.unlink()
    server.say(**says)
    found = lock(capsys, database)
    assert found["state"] == "unknown" and reason in found["holder"]
    result = run(capsys, paths=[str(database)], wait_free=True, timeout=0)
    assert result["failed"] and reason in result["msg"]


def test_waits_through_the_grace_period(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say(end_grace="N\n")
    monkeypatch.setattr("time.sleep", lambda _seconds: server.say())
    result = run(capsys, paths=[str(database)], wait_free=True, timeout=60)
    assert result["locks"][str(database)]["state"] == "free"


def test_a_client_that_took_its_lock_back_is_found_after_the_grace_period(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say(end_grace="N\n")

    def reclaim(_seconds: float) -> None:
        server.client("172.20.10.12:790", state(database))
        server.say()
        monkeypatch.setattr("time.sleep", lambda _seconds: None)

    monkeypatch.setattr("time.sleep", reclaim)
    result = run(capsys, paths=[str(database)], wait_free=True, timeout=1)
    assert result["failed"] and "held by 172.20.10.12" in result["msg"]


def test_a_delegation_hides_locks(capsys: pytest.CaptureFixture[str], server: Server, database: Path) -> None:
    server.client("172.20.10.12:790", state(database, "deleg"))
    found = lock(capsys, database)
    assert found["state"] == "unknown" and "172.20.10.12 has a delegation" in found["holder"]


def test_a_machine_that_serves_no_nfs_has_no_grace_period(
    capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_nfsd, "ROOT", str(tmp_path / "none"))
    assert lock(capsys, database)["state"] == "free"


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("172.20.10.12", True),
        (["172.20.10.99", "172.20.10.12"], True),
        ("::ffff:172.20.10.12", True),
        ([], True),
        ("172.20.10.11", False),
        ("172.20.10.1", False),
    ],
)
def test_after_a_start_the_lock_is_read_back(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path, address: t.Any, held: bool
) -> None:
    server.client("172.20.10.12:790", state(database))
    result = run(capsys, wait_held=[{"path": str(database), "address": address}], timeout=0)
    assert result.get("failed", False) is not held
    if not held:
        assert "is held by 172.20.10.12 instead of held by" in result["msg"]


@pytest.mark.parametrize("what", ["free", "missing", "grace", "two"])
def test_a_client_that_does_not_hold_its_lock_alone_has_not_started(
    capsys: pytest.CaptureFixture[str], server: Server, database: Path, what: str
) -> None:
    if what == "missing":
        database.unlink()
    elif what == "grace":
        server.say(end_grace="N\n")
    elif what == "two":
        beside = database.with_name(".validator-lock")
        beside.touch()
        server.client("172.20.10.12:790", state(database))
        server.client("172.20.10.11:790", state(beside))
    result = run(capsys, wait_held=[{"path": str(database), "address": "172.20.10.12"}], timeout=0)
    assert result["failed"] and "instead of held by 172.20.10.12" in result["msg"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize(
    "name",
    [
        "validator.db",
        ".validator-lock",
        "validator1",
        "nfsd/threads",
        "nfsd/v4_end_grace",
        "nfsd/clients",
        "nfsd/clients/1/states",
        "nfsd/clients/1/info",
    ],
)
def test_what_cannot_be_looked_at_is_never_free(
    capsys: pytest.CaptureFixture[str],
    server: Server,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
) -> None:
    database.with_name(".validator-lock").touch()
    server.client("172.20.10.12:790", state(database))
    with failing(monkeypatch, name, number):
        result = run(capsys, paths=[str(database)])
    assert result.get("failed") or result["locks"][str(database)]["state"] == "held"
    database.unlink()
    with failing(monkeypatch, name, number):
        result = run(capsys, paths=[str(database)])
    assert result.get("failed") or name in ("validator.db", "nfsd/clients/1/states", "nfsd/clients/1/info"), result


def test_absence_is_proved_by_a_directory_that_was_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "validator9" / "validator.db"
    assert lock(capsys, path)["state"] == "missing"
    with failing(monkeypatch, tmp_path.name, errno.EACCES):
        assert "counts as held" in run(capsys, paths=[str(path)])["msg"]
