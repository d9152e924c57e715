"""The locks of a validator client, with real processes: what bbolt, busybox and the NFS server's clients would take."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _locks
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd

KINDS = ["flock", "range"]
_TRY = """
import fcntl, sys
with open(sys.argv[1], 'r+b') as file:
    try:
        getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(75)
"""


def can_take(path: Path, kind: str) -> bool:
    """Whether another process gets the lock now."""
    call = {"flock": "flock", "range": "lockf"}[kind]
    code = subprocess.run([sys.executable, "-c", _TRY, str(path), call], check=False).returncode
    assert code in (0, 75)
    return code == 0


@pytest.fixture
def nfsd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., None]:
    """What the kernel's NFS server says about itself."""
    root = tmp_path / "nfsd"
    root.mkdir()
    monkeypatch.setattr(_nfsd, "ROOT", str(root))
    monkeypatch.setattr(_locks, "PATIENCE", 0.0)

    def say(threads: str | None = "8\n", end_grace: str | None = "Y\n") -> None:
        for name, text in (("threads", threads), ("v4_end_grace", end_grace)):
            if text is not None:
                (root / name).write_text(text)
            else:
                (root / name).unlink(missing_ok=True)

    return say


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("database", [True, False])
def test_a_client_is_kept_from_starting(tmp_path: Path, kind: str, database: bool) -> None:
    names = [".validator-lock"] + (["validator.db"] if database else [])
    if database:
        (tmp_path / "validator.db").touch()
    with _locks.hold_client(str(tmp_path)) as held:
        assert held
        assert not any(can_take(tmp_path / name, kind) for name in names)
    assert all(can_take(tmp_path / name, kind) for name in names)
    assert (tmp_path / "validator.db").exists() is database


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [".validator-lock", "validator.db"])
def test_a_client_that_runs_is_not_held(tmp_path: Path, kind: str, name: str) -> None:
    """Whichever of the two locks it has, and however it has taken it."""
    for one in (".validator-lock", "validator.db"):
        (tmp_path / one).touch()
    before = (tmp_path / ".validator-lock").stat().st_ino
    with (tmp_path / name).open("r+b") as other:
        if kind == "flock":
            fcntl.flock(other, fcntl.LOCK_EX)
            with _locks.hold_client(str(tmp_path)) as held:
                assert not held
        else:
            # A byte range belongs to a process, so it has to be another one.
            script = (
                "import fcntl, sys\nf = open(sys.argv[1], 'r+b')\nfcntl.lockf(f, fcntl.LOCK_EX)\n"
                "print(flush=True)\nsys.stdin.read()"
            )
            with subprocess.Popen(
                [sys.executable, "-c", script, str(tmp_path / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as holder:
                assert holder.stdout is not None
                holder.stdout.readline()
                with _locks.hold_client(str(tmp_path)) as held:
                    assert not held
                holder.communicate()
    assert (tmp_path / ".validator-lock").stat().st_ino == before


def test_the_lock_file_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    if os.getuid() == 0:
        os.chown(tmp_path, 1001, 2000)
    with _locks.hold_client(str(tmp_path)):
        pass
    found = (tmp_path / ".validator-lock").stat()
    assert (found.st_uid, found.st_gid) == (tmp_path.stat().st_uid, tmp_path.stat().st_gid)
    assert (found.st_mode & 0o7777, found.st_size) == (0o600, 0)
    assert [path.name for path in tmp_path.iterdir()] == [".validator-lock"]


@pytest.mark.parametrize("make", ["link", "dangling", "directory", "fifo"])
@pytest.mark.parametrize("name", [".validator-lock", "validator.db"])
def test_what_is_no_file_is_no_lock(tmp_path: Path, name: str, make: str) -> None:
    place = tmp_path / "data" / name
    place.parent.mkdir()
    if make in ("link", "dangling"):
        place.symlink_to(tmp_path / "other")
        if make == "link":
            (tmp_path / "other").touch()
    elif make == "directory":
        place.mkdir()
    else:
        os.mkfifo(place)
    with pytest.raises(UnreadableError), _locks.hold_client(str(place.parent)):
        pass


def test_a_file_that_is_replaced_while_it_is_locked_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "validator.db").touch()
    real = _locks._take_both

    def replace(fd: int, path: str) -> bool:
        if path.endswith("validator.db"):
            (tmp_path / "new").touch()
            (tmp_path / "new").replace(path)
        return real(fd, path)

    monkeypatch.setattr(_locks, "_take_both", replace)
    with pytest.raises(UnreadableError, match="was replaced"), _locks.hold_client(str(tmp_path)):
        pass


UNKNOWN = [
    pytest.param({"end_grace": "N\n"}, "grace period", id="grace"),
    pytest.param({"threads": "0\n"}, "is stopped", id="stopped"),
    pytest.param({"end_grace": None}, "v4_end_grace", id="no-word-of-grace"),
    pytest.param({"end_grace": ""}, "grace period", id="empty"),
]


@pytest.mark.parametrize(("says", "reason"), UNKNOWN)
def test_nothing_is_free_while_the_nfs_server_does_not_know(
    tmp_path: Path, nfsd: t.Callable[..., None], says: dict[str, t.Any], reason: str
) -> None:
    """A client that never stopped has no lock at the server then, and takes it back a moment later."""
    database = tmp_path / "data" / "validator.db"
    database.parent.mkdir()
    database.touch()
    nfsd(**says)
    with pytest.raises(UnreadableError, match=reason), _locks.hold_client(str(database.parent)):
        pass
    try:
        found = _locks.lock_holder(str(database))
    except UnreadableError as exc:
        found = str(exc)
    assert found is not None and reason in found
    nfsd()
    assert _locks.lock_holder(str(database)) is None
    with _locks.hold_client(str(database.parent)) as held:
        assert held


def test_a_server_that_restarts_while_the_lock_is_taken_makes_it_worthless(
    tmp_path: Path, nfsd: t.Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    nfsd()
    real = _locks._take_both

    def restart(fd: int, path: str) -> bool:
        nfsd(end_grace="N\n")
        return real(fd, path)

    monkeypatch.setattr(_locks, "_take_both", restart)
    with pytest.raises(UnreadableError, match="grace period"), _locks.hold_client(str(tmp_path)):
        pass


def test_the_grace_period_is_waited_for(tmp_path: Path, nfsd: t.Callable[..., None]) -> None:
    nfsd(end_grace="N\n")
    looks = 0
    real = _nfsd._word

    def look(path: str) -> str:
        nonlocal looks
        looks += 1
        if looks == 6:
            nfsd()
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_nfsd, "_word", look)
        assert _nfsd.blind(30, pause=0) is None
    assert looks >= 6


def test_a_machine_without_an_nfs_server_has_no_grace_period(tmp_path: Path, nfsd: t.Callable[..., None]) -> None:
    nfsd(threads=None, end_grace=None)
    assert _nfsd.blind() is None
