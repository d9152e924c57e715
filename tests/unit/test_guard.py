"""The step before Prysm: it waits for the lock and refuses a history that is not there."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

GUARD = Path(__file__).parents[2] / "roles/prysm_helm/files/eth2prysm/files/guard.sh"
SHELLS = [
    pytest.param(shell, id=shell[0])
    for shell in (["dash"], ["bash"], ["busybox", "sh"])
    if shutil.which(shell[0]) and shutil.which("flock")
]
GOOD = "nfs4 rw,relatime,vers=4.2,hard,proto=tcp,timeo=50,retrans=2,sec=sys,local_lock=none,addr=172.20.10.10"

pytestmark = pytest.mark.skipif(not SHELLS, reason="no dash, bash or busybox with flock")


@pytest.fixture(params=SHELLS or [["none"]])
def shell(request: pytest.FixtureRequest) -> list[str]:
    return request.param


def start(
    shell: list[str], data: Path, *more: str, kind: str = "validator", mount: str = GOOD
) -> subprocess.Popen[str]:
    """The guard, on a data directory that looks mounted."""
    mounts = data.parent / "mounts"
    mounts.write_text(f"/dev/root / ext4 rw 0 0\n172.20.10.10:/data {data} {mount} 0 0\n", encoding="utf-8")
    return subprocess.Popen(
        [*shell, str(GUARD), kind, str(data), "nfs", "0", *more],
        env={**os.environ, "GUARD_MOUNTS": str(mounts), "GUARD_NAP": "0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(process: subprocess.Popen[str], words: str) -> None:
    """Read what it says up to these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"it ended without saying {words!r}")


def run(shell: list[str], data: Path, *more: str, **options: t.Any) -> tuple[int, str]:
    process = start(shell, data, *more, **options)
    out, _ = process.communicate(timeout=10)
    return process.returncode, out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "validator1"
    directory.mkdir()
    return directory


def test_a_first_start_is_let_through_and_leaves_nothing_behind(shell: list[str], data: Path) -> None:
    code, out = run(shell, data)
    assert (code, list(data.iterdir())) == (0, [])
    assert "first start" in out


def test_a_known_history_that_is_missing_is_refused(shell: list[str], data: Path) -> None:
    (data / "validator.db").write_bytes(b"history")
    assert run(shell, data)[0] == 0
    (data / "validator.db").unlink()
    code, out = run(shell, data)
    assert code == 1
    assert "REFUSED" in out
    assert "have signed before" in out


def test_an_empty_database_is_no_history(shell: list[str], data: Path) -> None:
    (data / ".validator-db-expected").write_text("duties proved: 2 keys\n")
    (data / "validator.db").write_bytes(b"")
    code, out = run(shell, data)
    assert code == 1
    assert "missing or empty" in out


def test_waits_until_the_old_holder_is_gone(shell: list[str], data: Path) -> None:
    database = data / "validator.db"
    database.write_bytes(b"history")
    with database.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = start(shell, data)
        until(process, "another process still holds the lock")
        assert process.poll() is None
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert database.read_bytes() == b"history"


def test_a_database_that_vanishes_while_it_waits_is_refused(shell: list[str], data: Path) -> None:
    database = data / "validator.db"
    database.write_bytes(b"history")
    (data / ".validator-db-expected").write_text("duties proved: 2 keys\n")
    with database.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = start(shell, data)
        until(process, "still holds the lock")
        database.unlink()
    process.communicate(timeout=10)
    assert process.returncode == 1


def test_stops_waiting_when_it_is_told_to_end(shell: list[str], data: Path) -> None:
    database = data / "validator.db"
    database.write_bytes(b"history")
    with database.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = start(shell, data)
        until(process, "still holds the lock")
        process.terminate()
        process.communicate(timeout=5)
    assert process.returncode == 143


def test_is_held_back_until_the_hold_is_lifted(shell: list[str], data: Path) -> None:
    hold = data / ".validator-hold"
    hold.write_text("rollback to v1.2.2\n")
    process = start(shell, data)
    until(process, "rollback to v1.2.2")
    assert process.poll() is None
    hold.unlink()
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_minimal_database_is_refused_because_it_has_no_lock(shell: list[str], data: Path) -> None:
    (data / "validator-client-data").mkdir()
    code, out = run(shell, data)
    assert code == 1
    assert "no lock" in out


def test_a_history_in_the_old_place_is_not_left_behind(shell: list[str], data: Path, tmp_path: Path) -> None:
    old = tmp_path / "wallet/direct/validator.db"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"history")
    code, out = run(shell, data, str(tmp_path / "wallet"))
    assert code == 1
    assert "Move it first" in out


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        pytest.param(GOOD.replace("nfs4 ", "nfs "), "should be on NFSv4", id="nfs3"),
        pytest.param(GOOD.replace("vers=4.2", "vers=4.0"), "NFS 4.1 or later", id="nfs4.0"),
        pytest.param(
            GOOD.replace("local_lock=none", "local_lock=flock"), "would not reach the server", id="local-lock"
        ),
        pytest.param(GOOD.replace("hard", "soft"), "not a hard mount", id="soft"),
        pytest.param("ext4 rw", "should be on NFSv4", id="local-disk"),
    ],
)
def test_refuses_a_mount_that_does_not_fence(shell: list[str], data: Path, mount: str, reason: str) -> None:
    code, out = run(shell, data, mount=mount)
    assert code == 1
    assert reason in out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_it_cannot_write_is_refused(shell: list[str], data: Path) -> None:
    data.chmod(0o500)
    code, out = run(shell, data)
    assert code == 1
    assert "cannot be written" in out


def test_an_image_without_flock_is_refused(shell: list[str], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which(shell[0])
    assert found is not None
    monkeypatch.setenv("PATH", "/nowhere")
    code, out = run([found, *shell[1:]], data)
    assert code == 1
    assert "has no flock" in out


def test_the_beacon_waits_for_its_own_lock(shell: list[str], data: Path) -> None:
    database = data / "beaconchaindata/beaconchain.db"
    database.parent.mkdir()
    database.write_bytes(b"chain")
    with database.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = start(shell, data, kind="beacon")
        until(process, "still holds the lock")
        assert process.poll() is None
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert [path.name for path in data.iterdir()] == ["beaconchaindata"]
