"""The history watcher: what it notes, raises and holds, against databases that are replaced, damaged or gone."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._program import needed
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _record, _watch
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import ClientState, Key, Record
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, ROOT_B, BoltWriter, prysm_tree, tree_of

ROOT = Path(__file__).parents[4]
ROLE = ROOT / "roles/prysm_wallet"
K = PUBKEYS
R1 = b"\x01" * 32


class Site:
    """A data disk, a root disk, and what the watcher is told."""

    def __init__(self, base: Path) -> None:
        self.data = base / "data"
        self.data.mkdir()
        self.var = base / "var"
        self.var.mkdir()
        self.record = self.data / ".history/record.json"
        self.witness = self.var / "record.json"
        self.config_file = self.var / "config.json"
        self.logged: list[str] = []
        self.now = 0.0
        self.config_file.write_text(
            json.dumps(
                {
                    "record": str(self.record),
                    "witness": str(self.witness),
                    "interval": 384,
                    "clients": [
                        {"name": n, "data_dir": str(self.data / n), "uid": os.getuid(), "gid": os.getgid()}
                        for n in ("v1", "v2")
                    ],
                }
            )
        )
        self.config = _watch.read_config(str(self.config_file))
        self.v1, self.v2 = self.config.clients

    def write(self, name: str, transaction: int, *targets: int, key: int = 0, root: str = ROOT_A) -> None:
        directory = self.data / name
        directory.mkdir(exist_ok=True)
        tree = prysm_tree({K[key]: ([], [(target - 1, target, R1) for target in targets])}, root)
        temporary = directory / "new"
        temporary.write_bytes(BoltWriter(transaction).dump(tree))
        temporary.rename(directory / "validator.db")

    def claimed(self, *names: str, **numbers: t.Any) -> None:
        """The record as the guard leaves it before the first start."""
        self.record.parent.mkdir(exist_ok=True)
        keys = {K[i]: Key(client=name) for i, name in enumerate(names)}
        self.record.write_bytes(_record.render_record(Record(ROOT_A, keys, numbers)))

    def watcher(self) -> _watch.Watcher:
        watcher = _watch.Watcher(self.config, self.logged.append, lambda: self.now)
        watcher.start()
        return watcher

    def ticks(self, watcher: _watch.Watcher, count: int = 1) -> None:
        for _ in range(count):
            watcher.tick()
            self.now += 2

    def noted(self, name: str) -> str:
        return (self.data / name / ".validator-transaction").read_text()

    def hold(self, name: str) -> str:
        path = self.data / name / ".validator-hold"
        return path.read_text() if path.exists() else ""

    def check(self) -> None:
        _watch.check(self.config, self.logged.append)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_clients_sign_is_noted_at_once_and_raised_on_both_disks(site: Site) -> None:
    site.claimed("v1", "v2")
    watcher = site.watcher()
    site.ticks(watcher)
    site.write("v1", 10, 5)
    site.ticks(watcher)
    assert site.noted("v1") == "10\n"
    assert oct((site.data / "v1/.validator-transaction").stat().st_mode & 0o777) == "0o600"
    assert _record.read_record(str(site.record)).keys[K[0]].target is None, "not before its time"
    site.write("v1", 11, 5, 6)
    site.now += 384
    site.ticks(watcher)
    record = _record.read_record(str(site.record))
    assert record == _record.read_record(str(site.witness))
    assert record.keys[K[0]] == Key(None, 5, 6, "v1", 0, (), 6, 0b11)
    assert record.clients["v1"] == ClientState(None, 11)
    assert site.logged == [] and not site.hold("v1")


def test_nothing_is_read_while_nothing_was_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.claimed("v1")
    site.write("v1", 10, 5)
    watcher = site.watcher()
    looks: list[str] = []
    real = _watch.look
    monkeypatch.setattr(_watch, "look", lambda path: looks.append(path) or real(path))
    for _ in range(5):
        site.ticks(watcher, 3)
        site.now += 384
    assert looks == [str(site.data / "v1")]
    site.write("v1", 11, 5)
    site.ticks(watcher)
    assert len(looks) == 2


def test_an_older_copy_put_back_below_is_held_and_no_database_is_touched(site: Site) -> None:
    site.claimed("v1", "v2")
    site.write("v1", 10, 5)
    site.write("v2", 10, 5, key=1)
    watcher = site.watcher()
    site.ticks(watcher)
    site.write("v1", 9, 5)
    before = (site.data / "v1/validator.db").read_bytes()
    site.ticks(watcher, 2)
    assert not site.hold("v1"), "it may be about to be replaced, with a proof"
    site.ticks(watcher)
    assert site.hold("v1").startswith("history: ") and "is at transaction 9, and 10 was there before" in site.hold("v1")
    assert "never an older copy" in site.hold("v1") and not site.hold("v2")
    assert site.noted("v1") == "10\n" and (site.data / "v1/validator.db").read_bytes() == before
    assert any(line.startswith("v1: ") for line in site.logged)


class Signer:
    """A client that has its database open, whatever is put in its place."""

    def __init__(self, site: Site, name: str) -> None:
        self.file = (site.data / name / "validator.db").open("r+b")

    def sign(self, transaction: int, *targets: int) -> None:
        tree = prysm_tree({K[0]: ([], [(target - 1, target, R1) for target in targets])}, ROOT_A)
        self.file.seek(0)
        self.file.write(BoltWriter(transaction).dump(tree))
        self.file.truncate()
        self.file.flush()


@pytest.mark.parametrize("tick", [True, False], ids=["between-two-looks", "before-the-next-look"])
def test_what_is_signed_below_another_database_goes_on_record(site: Site, tick: bool) -> None:
    """Renamed over while a client runs: what it signs from then on is in no file that has a name."""
    site.claimed("v1")
    site.write("v1", 10, 5)
    watcher = site.watcher()
    site.ticks(watcher)
    running = Signer(site, "v1")
    site.write("v1", 10, 5)  # even the newest copy there is
    if tick:
        site.ticks(watcher)
        assert site.logged == []
    running.sign(12, 5, 6)
    site.ticks(watcher)
    for place in (site.record, site.witness):
        assert _record.read_record(str(place)).keys[K[0]].target == 6
    assert site.noted("v1") == "12\n"
    assert any("v1 signs with what" in line for line in site.logged)
    site.ticks(watcher, 3)
    assert "is at transaction 10, and 12 was there before" in site.hold("v1")
    running.sign(13, 5, 6, 7)
    site.ticks(watcher)
    assert _record.read_record(str(site.record)).keys[K[0]].target == 7


def test_a_database_put_there_with_a_proof_keeps_its_own_number(site: Site) -> None:
    site.claimed("v1")
    site.write("v1", 10, 5)
    watcher = site.watcher()
    site.ticks(watcher)
    running = Signer(site, "v1")
    site.write("v1", 3, 5)
    (site.data / "v1/.validator-transaction").write_text("3\n")
    running.sign(12, 5, 6)
    site.ticks(watcher)
    assert site.noted("v1") == "3\n"
    assert _record.read_record(str(site.record)).keys[K[0]].target == 6, "what it has signed counts all the same"


def test_a_directory_from_a_backup_that_the_record_is_no_younger_than_is_held(site: Site) -> None:
    """What was signed since the last raise is in the file that lost its name, and in no other place."""
    site.claimed("v1", "v2")
    site.write("v1", 10, 5)
    watcher = site.watcher()
    site.ticks(watcher)
    running = Signer(site, "v1")
    running.sign(11, 5, 6)
    site.now += 400
    site.ticks(watcher)
    running.sign(12, 5, 6, 7)
    site.ticks(watcher)
    assert (site.noted("v1"), _record.read_record(str(site.record)).keys[K[0]].target) == ("12\n", 6)
    site.write("v1", 11, 5, 6)
    (site.data / "v1/.validator-transaction").write_text("11\n")
    site.ticks(watcher, 5)
    assert _record.read_record(str(site.record)).keys[K[0]].target == 7
    assert "highest target 6 instead of 7" in site.hold("v1")


def test_a_database_that_nothing_writes_to_is_let_go(site: Site) -> None:
    site.claimed("v1")
    site.write("v1", 10, 5)
    watcher = site.watcher()
    site.ticks(watcher)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(11, 16):
        site.write("v1", number, 5)
        site.ticks(watcher)
    assert len(watcher.below) == 5
    site.now += 3601
    site.ticks(watcher)
    assert watcher.below == [] and len(list(Path("/proc/self/fd").iterdir())) == before
    (site.data / "v1/validator.db").unlink()
    site.ticks(watcher)
    assert watcher.open == {} and len(watcher.below) == 1


def test_a_record_that_is_locked_is_raised_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.claimed("v1")
    site.write("v1", 10, 5)
    watcher = site.watcher()
    site.ticks(watcher)
    running = Signer(site, "v1")
    site.write("v1", 10, 5)
    running.sign(12, 5, 6)
    real = _watch.locked

    def busy(*_args: object, **_options: object) -> t.NoReturn:
        raise StakingError("locked by another")

    monkeypatch.setattr(_watch, "locked", busy)
    site.ticks(watcher)
    assert site.noted("v1") == "10\n"
    monkeypatch.setattr(_watch, "locked", real)
    site.ticks(watcher)
    assert _record.read_record(str(site.record)).keys[K[0]].target == 6 and site.noted("v1") == "12\n"


def test_lost_votes_are_held_though_the_number_rose(site: Site) -> None:
    site.claimed("v1")
    site.write("v1", 10, 4, 5, 6)
    watcher = site.watcher()
    site.ticks(watcher)
    site.write("v1", 50, 4, 6, 7)
    site.now += 384
    site.ticks(watcher, 5)
    assert "1 vote is missing, the first for target 5" in site.hold("v1")
    assert _record.read_record(str(site.witness)).keys[K[0]].target == 7, "what it signed meanwhile counts"


def test_a_replacement_with_its_note_is_no_older_copy(site: Site) -> None:
    """As slashing_protection_replace leaves it: less transactions, the same history, the note written anew."""
    site.claimed("v1")
    site.write("v1", 900, 4, 5)
    watcher = site.watcher()
    site.ticks(watcher)
    site.write("v1", 12, 4, 5)
    site.ticks(watcher, 2)
    (site.data / "v1/.validator-transaction").write_text("12\n")
    site.now += 384
    site.ticks(watcher, 6)
    assert not site.hold("v1")
    site.check()
    assert not site.hold("v1")


@pytest.mark.parametrize("away", [False, True])
def test_a_whole_directory_put_back_is_held_at_once(site: Site, away: bool) -> None:
    """The note is older with the database, and says nothing against it; also when none was there for a while."""
    site.claimed("v1")
    site.write("v1", 10, 4, 5)
    watcher = site.watcher()
    site.ticks(watcher)
    shutil.copytree(site.data / "v1", site.data / "backup")
    site.write("v1", 20, 4, 5, 6)
    site.now += 384
    site.ticks(watcher, 2)
    assert _record.read_record(str(site.witness)).keys[K[0]].target == 6
    shutil.rmtree(site.data / "v1")
    if away:
        (site.data / "v1").mkdir()
        site.ticks(watcher, 4)
        assert not site.hold("v1"), "the guard starts nothing without a database, and this one may come back"
        (site.data / "v1").rmdir()
    (site.data / "backup").rename(site.data / "v1")
    site.ticks(watcher, 4)
    assert "has signed more than" in site.hold("v1")
    assert _record.read_record(str(site.witness)).keys[K[0]].target == 6


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_note_never_outlives_the_database_it_is_of(site: Site, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Replaced by hand, with the note, between the watcher's reading and its writing: the note is the new one's."""
    site.write("v1", 900, 4)
    real = _watch._write_note

    def replaced_meanwhile(client: _watch.Client, folder: int, number: int) -> None:
        if number == 900 and moment == "after":
            real(client, folder, number)
        if number == 900:
            site.write("v1", 12, 4)
            (site.data / "v1/.validator-transaction").write_text("12\n")
        if number != 900 or moment == "before":
            real(client, folder, number)

    monkeypatch.setattr(_watch, "_write_note", replaced_meanwhile)
    _watch.note(site.v1)
    assert site.noted("v1") == "12\n"


def test_while_a_database_is_replaced_nothing_is_noted_and_nothing_held(site: Site) -> None:
    """Its directory is locked for as long as database and note do not belong together."""
    site.claimed("v1")
    site.write("v1", 900, 4)
    watcher = site.watcher()
    site.ticks(watcher)
    folder = os.open(site.data / "v1", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    site.write("v1", 12, 4)
    site.ticks(watcher, 6)
    assert site.noted("v1") == "900\n" and not site.hold("v1")
    os.close(folder)
    # Cut off at that moment: its next run goes on.
    (site.data / "v1/.validator-replacing").write_text("{}")
    site.now += 384
    site.ticks(watcher, 6)
    site.check()
    assert not site.hold("v1") and site.noted("v1") == "900\n"
    (site.data / "v1/.validator-replacing").unlink()
    site.ticks(watcher, 3)
    assert "is an older copy" in site.hold("v1")


def test_a_directory_made_anew_does_not_note_an_older_copy(site: Site) -> None:
    """Without a note, what is on record of the client counts."""
    site.claimed("v1", v1=ClientState(transaction=900))
    site.write("v1", 90, 4)
    site.ticks(site.watcher(), 4)
    assert not (site.data / "v1/.validator-transaction").exists() and "900 was there before" in site.hold("v1")


@pytest.mark.parametrize("text", ["moving a key\n", "", "history: earlier\n"])
def test_a_hold_that_is_there_stays_as_it_is(site: Site, text: str) -> None:
    site.claimed("v1", v1=ClientState(transaction=900))
    site.write("v1", 90, 4)
    (site.data / "v1/.validator-hold").write_text(text)
    site.check()
    assert site.hold("v1") == text
    (site.data / "v1/.validator-hold").unlink()
    (site.data / "v1/.validator-hold").symlink_to("/nowhere")
    site.check()
    assert (site.data / "v1/.validator-hold").is_symlink()


def test_a_hold_taken_away_by_the_operator_does_not_come_back_by_itself(site: Site) -> None:
    site.claimed("v1", v1=ClientState(transaction=900))
    site.write("v1", 90, 4)
    watcher = site.watcher()
    site.ticks(watcher, 4)
    (site.data / "v1/.validator-hold").unlink()
    site.ticks(watcher, 4)
    assert not site.hold("v1")


def test_a_disk_that_is_not_mounted_gets_no_record(site: Site) -> None:
    site.claimed("v1")
    site.write("v1", 10, 4)
    watcher = site.watcher()
    site.ticks(watcher)
    shutil.rmtree(site.data)
    site.data.mkdir()
    site.now += 384
    site.ticks(watcher, 10)
    assert list(site.data.iterdir()) == []
    assert "is not there, but its keys have signed" in " ".join(site.logged)
    assert _record.read_record(str(site.witness)).keys[K[0]].target == 4


def test_only_the_guard_makes_the_record(site: Site) -> None:
    site.claimed("v1")
    site.write("v1", 10, 4)
    site.ticks(site.watcher())
    site.record.unlink()
    site.write("v1", 11, 4, 5)
    site.ticks(site.watcher())
    assert not site.record.exists() and _record.read_record(str(site.witness)).keys[K[0]].target == 5


def test_a_watcher_that_cannot_read_the_record_says_so_and_goes_on(site: Site) -> None:
    site.claimed("v1")
    site.write("v1", 10, 4)
    site.witness.write_text("{}")
    watcher = site.watcher()
    site.ticks(watcher, 50)
    assert len(site.logged) == 1 and "is not a record of signing" in site.logged[0] and site.noted("v1") == "10\n"
    site.witness.unlink()
    site.ticks(watcher, 50)
    assert _record.read_record(str(site.witness)).keys[K[0]].target == 4


# -- before the NFS server starts -------------------------------------------------------------------------------------


def known(site: Site) -> None:
    """Both have signed, and it is known on both disks; then the machine went down."""
    site.claimed("v1", "v2")
    site.write("v1", 10, 4, 5)
    site.write("v2", 10, 4, 5, key=1)
    site.ticks(site.watcher())
    site.logged.clear()


def test_at_a_start_nothing_is_held_that_lacks_nothing(site: Site) -> None:
    site.check()
    assert site.logged == []
    known(site)
    before = tree_of(site.data)
    site.check()
    assert site.logged == [] and tree_of(site.data) == before


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("older", "is an older copy"),
        ("unnoted", "is an older copy"),
        ("votes", "has signed more than"),
        ("gone", "its database is gone"),
        ("empty-directory", "its database is gone"),
        ("damaged", "is not a bbolt database"),
        ("network", "belongs to another network"),
        ("minimal", "minimal database"),
        ("note", "does not hold a transaction number"),
    ],
)
@pytest.mark.parametrize("record", [True, False], ids=["with-record", "record-gone"])
def test_at_a_start_a_client_with_less_than_is_known_is_held(
    site: Site, damage: str, reason: str, record: bool
) -> None:
    known(site)
    directory = site.data / "v1"
    if damage in ("older", "unnoted"):
        site.write("v1", 9, 4, 5)
        if damage == "unnoted":
            (directory / ".validator-transaction").unlink()
    elif damage == "votes":
        site.write("v1", 10, 4)
    elif damage == "gone":
        (directory / "validator.db").unlink()
    elif damage == "empty-directory":
        shutil.rmtree(directory)
        directory.mkdir()
    elif damage == "damaged":
        (directory / "validator.db").write_bytes(b"x" * 9000)
    elif damage == "network":
        site.write("v1", 10, 4, 5, root=ROOT_B)
    elif damage == "minimal":
        (directory / "validator.db").unlink()
        (directory / "validator-client-data/slashing-protection").mkdir(parents=True)
        (directory / "validator-client-data/configuration.yaml").write_text("{}")
    else:
        (directory / ".validator-transaction").write_text("x")
    if not record:
        shutil.rmtree(site.record.parent)
    site.check()
    assert site.hold("v1").startswith("history: ") and reason in site.hold("v1"), site.hold("v1")
    assert "\n" not in site.hold("v1").rstrip("\n") and not site.hold("v2")
    assert any("it will not start" in line for line in site.logged)
    assert record or any("is the disk mounted?" in line for line in site.logged)


def test_at_a_start_on_an_empty_mount_point_it_is_only_said(site: Site) -> None:
    known(site)
    shutil.rmtree(site.data)
    site.data.mkdir()
    site.check()
    assert list(site.data.iterdir()) == [] and "is the disk mounted?" in site.logged[0]
    assert sum("no hold can be written" in line for line in site.logged) == 2


def test_at_a_start_a_damaged_record_leaves_the_witness_and_a_damaged_witness_holds_all(site: Site) -> None:
    known(site)
    site.record.write_text("{}")
    site.check()
    assert not site.hold("v1") and "is left out" in site.logged[0]
    site.witness.write_text("{}")
    site.check()
    assert "what it has signed is not known" in site.hold("v1") and site.hold("v2")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_hold_that_cannot_be_written_is_said(site: Site, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    known(site)
    site.write("v1", 9, 4)
    site.write("v2", 9, 4, key=1)
    monkeypatch.setattr(os, "link", lambda *_args, **_more: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
    site.check()
    assert sum("no hold can be written" in line and os.strerror(code) in line for line in site.logged) == 2
    assert not list(site.data.glob("v*/*hold*"))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"record": "/r", "witness": "/w", "interval": 5, "clients": [{"name": "x"}]}',
     '{"record": "r", "witness": "/w", "interval": 5, "clients": []}',
     '{"record": "/r", "witness": "/w", "interval": 0, "clients": []}'],
)  # fmt: skip
def test_a_damaged_configuration_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "c").write_text(content)
    with pytest.raises(StakingError):
        _watch.read_config(str(tmp_path / "c"))


# -- the program, as it is installed ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only what the role copies."""
    base = tmp_path_factory.mktemp("lib")
    for name, text in needed(str(ROLE / "files/eth2xk8s-history.py"), str(ROOT / "plugins/module_utils")).items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    return base / "eth2xk8s-history.py"


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(program), *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd="/", env={},
    )  # fmt: skip


def test_it_runs_with_what_the_role_copies_and_the_standard_library(installed: Path, site: Site) -> None:
    known(site)
    site.write("v1", 9, 4, 5)
    done = run(installed, "check", str(site.config_file))
    assert (done.returncode, done.stderr) == (0, "") and "history: v1: " in done.stdout
    assert site.hold("v1").startswith("history: ")
    assert run(installed).returncode == run(installed, "other").returncode == 2
    assert run(installed, "watch", "/nowhere").returncode == 1


def test_whatever_happens_the_check_lets_the_server_start(installed: Path, site: Site) -> None:
    for path in ("/nowhere", str(site.data)):
        done = run(installed, "check", path)
        assert done.returncode == 0 and done.stdout.startswith("history: ")


def test_it_watches_until_it_is_told_to_end(installed: Path, site: Site) -> None:
    site.claimed("v1")
    site.write("v1", 10, 4)
    process = subprocess.Popen([sys.executable, "-I", "-S", "-B", str(installed), "watch", str(site.config_file)])
    try:
        deadline = time.monotonic() + 30
        while not site.witness.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        site.write("v1", 11, 4, 5)
        while site.noted("v1") != "11\n":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_killed_at_any_moment_it_leaves_whole_files(installed: Path, site: Site) -> None:
    site.claimed("v1")
    for number in range(12):
        site.write("v1", 10 + number, *range(4, 5 + number))
        process = subprocess.Popen([sys.executable, "-I", "-S", "-B", str(installed), "watch", str(site.config_file)])
        time.sleep(0.12 + number * 0.012)
        process.kill()
        process.wait()
        for path in (site.record, site.witness):
            if path.exists():
                _record.read_record(str(path))
        note = site.data / "v1/.validator-transaction"
        assert not note.exists() or 10 <= int(note.read_text()) <= 10 + number
        assert not site.hold("v1")
    assert _boltdb.transaction(str(site.data / "v1/validator.db")) == 21
    site.ticks(site.watcher())
    assert _record.read_record(str(site.witness)).keys[K[0]].target == 15
