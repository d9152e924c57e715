"""A database is replaced with every lock held, proved before, and cut off anywhere without less history."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, as_json
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection, _replace
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd
from ansible_collections.eth2xk8s.staking.plugins.modules import slashing_protection_replace
from tests.unit.plugins.keys_support import (
    PUBKEYS,
    ROOT_A,
    ROOT_B,
    BoltWriter,
    interchange,
    older_layout,
    prysm_tree,
    run_module,
    tree_of,
)

R1, R2 = b"\x01" * 32, b"\x02" * 32
OLD = {PUBKEYS[0]: ([(5, R1)], [(1, 2, R1), (2, 3, R1)]), PUBKEYS[1]: ([], [(1, 2, R1)])}
MORE = {**OLD, PUBKEYS[2]: ([(9, R2)], [(7, 8, R2)])}
LESS = {PUBKEYS[0]: ([(5, R1)], [(2, 3, R1)])}
STEPS = ["proved", "noted", "moved", "read", "number", "version", "done"]


def database(path: Path, keys: t.Any, txid: int, root: str = ROOT_A, layout: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tree = prysm_tree(keys, root)
    if layout == 1:
        older_layout(tree)
    path.write_bytes(BoltWriter(txid=txid).dump(tree))
    return path


class Site:
    """A client's data directory with a database, and another beside it."""

    def __init__(self, path: Path) -> None:
        self.data = path / "validator1"
        self.old = self.data / "validator.db"
        self.new = self.data / ".rollback" / "validator.db"

    def fill(self, old: bool = True, new_txid: int = 12, layout: int = 2) -> Site:
        self.data.mkdir(exist_ok=True)
        database(self.new, MORE, new_txid, layout=layout)
        if old:
            database(self.old, OLD, 900)
            (self.data / ".validator-transaction").write_text("900\n")
            (self.data / ".validator-version").write_text("2 v7.1.6\n")
            (self.data / ".validator-db-expected").write_text("seen\n")
        return self

    def run(self, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        given = {
            "database": str(self.old),
            "replacement": str(self.new),
            "version": "v6.1.4",
            "layout": 2,
            **params,
        }
        return run_module(slashing_protection_replace, check, **given)

    def mark(self, name: str) -> str | None:
        path = self.data / f".validator-{name}"
        return path.read_text() if path.exists() else None


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_replace, "SETTLE", 0.0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("old", [True, False])
def test_replaces_and_writes_the_numbers_anew(site: Site, old: bool) -> None:
    site.fill(old)
    content = site.new.read_bytes()
    if os.getuid() == 0:
        os.chown(site.data, 1001, 2000)
    result = site.run()
    assert (result["changed"], result["transaction"], result["keys"]) == (True, 12, 3)
    assert site.old.read_bytes() == content and not site.new.exists()
    assert (site.mark("transaction"), site.mark("version")) == ("12\n", "2 v6.1.4\n")
    assert site.mark("db-expected") and site.mark("replacing") is None
    for path in site.data.iterdir():
        if path.is_file() and not (old and path.name == ".validator-db-expected"):
            found = path.stat()
            assert (found.st_uid, found.st_gid) == (site.data.stat().st_uid, site.data.stat().st_gid), path
            assert found.st_mode & 0o777 == 0o600, path
    assert site.run()["changed"] is False


def starts_on(site: Site) -> dict[str, t.Any] | None:
    """What a client would start on that checks the numbers as the guard does; None when it is refused."""
    if not site.old.exists():
        return None if site.mark("db-expected") or site.mark("transaction") else {}
    noted = site.mark("transaction")
    if noted is not None and _boltdb.transaction(str(site.old)) < int(noted):
        return None
    return {key: part.watermarks() for key, part in _protection.read_database(str(site.old)).keys.items()}


def cut_off(site: Site, step: str, **params: t.Any) -> None:
    """Run it in a process of its own that is killed at a step."""
    child = os.fork()
    if child == 0:
        _replace._step = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == step else None  # type: ignore
        request = _replace.Request(str(site.old), str(site.new), (), "v6.1.4", params.get("layout", 2))
        try:
            _replace.replace(request)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("new_txid", [12, 950])
@pytest.mark.parametrize("step", [*STEPS, "linked"])
def test_cut_off_at_any_step_it_leaves_no_less_history_and_is_finished_by_the_next_run(
    site: Site, step: str, new_txid: int, old: bool
) -> None:
    if step == "linked" and old:
        pytest.skip("a database that is there is renamed over")
    site.fill(old, new_txid)
    before = (
        {key: part.watermarks() for key, part in _protection.read_database(str(site.old)).keys.items()} if old else {}
    )
    content = site.new.read_bytes()
    cut_off(site, step)
    started = starts_on(site)
    assert started is None or all(started[key] == marks for key, marks in before.items())
    if old and step in ("proved", "noted"):
        # The numbers of the old database hold for as long as it is there.
        assert (site.mark("transaction"), site.mark("version")) == ("900\n", "2 v7.1.6\n")
    if old and step in ("moved", "read") and new_txid == 12:
        assert started is None
    result = site.run()
    assert "failed" not in result, result
    assert result["changed"] is (step != "done")
    assert site.old.read_bytes() == content and not site.new.exists() and site.old.stat().st_nlink == 1
    assert (site.mark("transaction"), site.mark("version")) == (f"{new_txid}\n", "2 v6.1.4\n")
    assert site.mark("replacing") is None
    assert site.run()["changed"] is False


@pytest.mark.parametrize("step", STEPS)
def test_cut_off_at_any_step_it_can_be_given_up_without_less_history(site: Site, step: str) -> None:
    site.fill()
    before = {key: part.watermarks() for key, part in _protection.read_database(str(site.old)).keys.items()}
    cut_off(site, step)
    begun = site.mark("replacing") is not None
    settled = {"state": "settled", "replacement": None, "version": None, "layout": None}
    assert site.run(check=True, **settled)["changed"] is begun
    assert site.run(**settled)["changed"] is begun
    assert site.mark("replacing") is None
    started = starts_on(site)
    assert started is not None and all(started[key] == marks for key, marks in before.items())
    moved = step not in ("proved", "noted")
    expected = ("12\n", "2 v6.1.4\n") if moved else ("900\n", "2 v7.1.6\n")
    assert (site.mark("transaction"), site.mark("version")) == expected
    assert site.new.exists() is not moved
    assert site.run(**settled)["changed"] is False


def test_an_older_copy_put_there_after_a_kill_is_not_taken_for_the_proved_one(site: Site) -> None:
    """Not even with the same inode number, which the disk may give out again."""
    site.fill()
    cut_off(site, "moved")
    with site.old.open("r+b") as file:
        file.write(BoltWriter(txid=100).dump(prysm_tree(LESS)))
    result = site.run()
    assert result["failed"] and "transaction 100 (noted: 900)" in result["msg"]
    assert site.mark("transaction") == "900\n"


def test_another_replacement_after_a_kill_begins_with_the_end_of_the_first(site: Site) -> None:
    site.fill()
    cut_off(site, "moved")
    database(site.new, {**MORE, PUBKEYS[3]: ([], [(1, 2, R1)])}, 20)
    assert site.run(version="v7.1.6")["keys"] == 4
    assert (site.mark("transaction"), site.mark("version")) == ("20\n", "2 v7.1.6\n")


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5 * 4096 + 10] ^= 1
    path.write_bytes(data)


def link(path: Path, symbolic: bool) -> None:
    other = path.with_name("other.db")
    path.rename(other)
    if symbolic:
        path.symlink_to(other)
    else:
        path.hardlink_to(other)


REFUSALS: list[t.Any] = [
    pytest.param(lambda s: database(s.new, LESS, 12), {}, "protects less than .*validator1/validator.db", id="less"),
    pytest.param(lambda s: database(s.new, {}, 12), {}, "protects less than", id="empty"),
    pytest.param(lambda s: database(s.new, MORE, 12, ROOT_B), {}, "belongs to network", id="network"),
    pytest.param(lambda s: database(s.new, MORE, 12, layout=2), {"layout": 1}, "layout 2, newer than 1", id="layout"),
    pytest.param(lambda s: database(s.old, OLD, 899), {}, "older copy .transaction 899; 900 was seen", id="older-copy"),
    pytest.param(lambda s: s.old.unlink(), {}, "is missing, but there was one", id="missing"),
    pytest.param(
        lambda s: s.old.unlink(), {"database_lost": True}, "is missing, but there was one", id="lost-without-wants"
    ),
    pytest.param(lambda s: damaged(s.old), {}, "validator.db: ", id="old-damaged"),
    pytest.param(lambda s: damaged(s.new), {}, "validator.db: ", id="new-damaged"),
    pytest.param(lambda s: s.new.write_bytes(b""), {}, "is not a bbolt database", id="new-empty-file"),
    pytest.param(lambda s: s.new.write_bytes(as_json(interchange(MORE))), {}, "not a bbolt", id="new-interchange"),
    pytest.param(lambda s: link(s.new, True), {}, "is a link", id="new-is-a-link"),
    pytest.param(lambda s: link(s.old, True), {}, "is a (symbolic )?link", id="old-is-a-link"),
    pytest.param(lambda s: link(s.new, False), {}, "has another name", id="new-is-a-hard-link"),
    pytest.param(
        lambda s: (s.new.unlink(), s.new.hardlink_to(s.old)), {}, "are one file|is locked by", id="the-same-file"
    ),
    pytest.param(lambda s: (s.new.unlink(), s.new.mkdir()), {}, "is not a regular file", id="new-is-a-directory"),
    pytest.param(lambda s: s.new.unlink(), {}, "is not what it should have become", id="nothing-to-put-there"),
    pytest.param(lambda s: None, {"version": "latest"}, "must be a version", id="version"),
    pytest.param(lambda s: (s.data / ".validator-transaction").write_text("x"), {}, "not a transaction", id="number"),
]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("spoil", "params", "reason"), REFUSALS)
def test_refuses_and_changes_nothing(
    site: Site, spoil: t.Callable[[Site], object], params: dict[str, t.Any], reason: str, check: bool
) -> None:
    site.fill()
    (site.data / ".validator-lock").touch(0o600)
    spoil(site)
    before, inode = tree_of(site.data), site.old.lstat().st_ino if site.old.exists() else None
    result = site.run(check, **params)
    assert result["failed"] is True
    assert re.search(reason, result["msg"]), result["msg"]
    assert tree_of(site.data) == before
    assert inode is None or site.old.lstat().st_ino == inode


def test_what_others_know_must_not_be_lacking_either(site: Site, tmp_path: Path) -> None:
    site.fill()
    want = tmp_path / "history.json"
    want.write_bytes(as_json(interchange({PUBKEYS[2]: ([(10, R2)], [])})))
    result = site.run(wants=[str(want)])
    assert result["failed"] and f"protects less than {want}" in result["msg"]
    want.write_bytes(as_json(interchange({PUBKEYS[2]: ([(9, R2)], [])})))
    assert site.run(wants=[str(want)])["changed"] is True


@pytest.mark.parametrize("loss", ["missing", "older"])
def test_a_known_loss_is_made_good_from_what_is_left(site: Site, tmp_path: Path, loss: str) -> None:
    site.fill()
    if loss == "missing":
        site.old.unlink()
    else:
        database(site.old, LESS, 100)
    want = tmp_path / "history.json"
    want.write_bytes(as_json(interchange(OLD)))
    assert site.run()["failed"] is True
    assert site.run(database_lost=True, wants=[str(want)])["changed"] is True
    assert site.mark("transaction") == "12\n"


def test_another_file_system_is_refused(site: Site) -> None:
    site.fill()
    there = Path("/dev/shm") / f"replace-{os.getpid()}"
    if not there.parent.is_dir() or there.parent.stat().st_dev == site.data.stat().st_dev:
        pytest.skip("no second file system")
    try:
        database(there, MORE, 12)
        assert "another file system" in site.run(replacement=str(there))["msg"]
    finally:
        there.unlink()


def test_check_mode_changes_nothing(site: Site) -> None:
    site.fill()
    before = tree_of(site.data)
    assert site.run(check=True)["changed"] is True
    assert tree_of(site.data) == before


@pytest.mark.parametrize("kind", ["flock", "lockf"])
@pytest.mark.parametrize("which", [".validator-lock", "validator.db", ".rollback/validator.db"])
def test_a_running_client_is_a_refusal(site: Site, which: str, kind: str) -> None:
    site.fill()
    (site.data / ".validator-lock").touch()
    script = (
        "import fcntl, sys\nf = open(sys.argv[1], 'r+b')\ngetattr(fcntl, sys.argv[2])(f, 2)\nprint(flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(site.data / which), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        client.stdout.readline()
        before = tree_of(site.data)
        for check in (True, False):
            result = site.run(check)
            assert result["failed"] and "is locked by" in result["msg"], result["msg"]
        assert tree_of(site.data) == before
        client.communicate("\n")
    assert site.run()["changed"] is True


def test_the_grace_period_is_a_refusal(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fill()
    server = tmp_path / "nfsd"
    server.mkdir()
    (server / "threads").write_text("8\n")
    (server / "v4_end_grace").write_text("N\n")
    monkeypatch.setattr(_nfsd, "ROOT", str(server))
    monkeypatch.setattr("ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks.PATIENCE", 0)
    result = site.run()
    assert result["failed"] and "grace period" in result["msg"]
    assert site.old.stat().st_ino and site.new.exists()


#: What bbolt does: open, then try for a second; by name, or on an inode that was opened before.
_CLIENT = """
import fcntl, os, sys, time
path, wait, stop = sys.argv[1], float(sys.argv[2]), sys.argv[3]
while not os.path.exists(stop):
    fd = os.open(path, os.O_RDWR)
    inode = os.fstat(fd).st_ino
    end = time.monotonic() + wait
    while time.monotonic() < end:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print(inode, flush=True)
            fcntl.flock(fd, fcntl.LOCK_UN)
            break
        except OSError:
            time.sleep(0.01)
    os.close(fd)
"""


def test_no_client_ever_gets_the_old_file(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that open and wait for a second, as Prysm does, all through the replacement."""
    monkeypatch.setattr(_replace, "SETTLE", 2.0)
    site.fill()
    old, stop = site.old.stat().st_ino, tmp_path / "stop"
    held: list[float] = []
    clients: list[subprocess.Popen[str]] = []

    def step(name: str) -> None:
        if name == "proved":
            # From here on every lock is held.
            for _ in range(4):
                clients.append(
                    subprocess.Popen(
                        [sys.executable, "-c", _CLIENT, str(site.old), "1", str(stop)],
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            time.sleep(0.5)
        held.append(time.monotonic())

    monkeypatch.setattr(_replace, "_step", step)
    try:
        assert site.run()["changed"] is True
        assert time.monotonic() - held[STEPS.index("moved")] >= 2
        time.sleep(0.5)
    finally:
        stop.touch()
        seen = {int(line) for client in clients for line in client.communicate()[0].split()}
    assert seen == {site.old.stat().st_ino}
    assert old not in seen


def test_the_old_file_stays_locked_when_reading_back_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_replace, "SETTLE", 1.0)
    site.fill()
    monkeypatch.setattr(_replace, "_step", lambda name: damaged(site.old) if name == "moved" else None)
    with site.old.open("r+b") as old:
        began = time.monotonic()
        result = site.run()
        assert result["failed"] and time.monotonic() - began >= 1
        fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert site.mark("transaction") == "900\n"


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "12 13", "0x1f", "9" * 30])
def test_a_number_that_cannot_be_read_is_no_number(site: Site, text: str) -> None:
    site.fill(old=False)
    (site.data / ".validator-transaction").write_text(text)
    with pytest.raises(StakingError, match="is not a transaction number"):
        _replace.read_transaction(str(site.data))
