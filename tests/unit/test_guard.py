"""The step before Prysm: it refuses a history that is not the newest, and holds the lock over check, start and life."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import lzma
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).parents[2] / "roles/prysm_helm/files/eth2prysm"
FIXTURES = Path(__file__).parents[1] / "fixtures"
GUARD = (CHART / "files/guard.sh").read_text(encoding="utf-8")
FLOCK = Path(__file__).parents[2] / "lab/machine-files/flock.c"
GOOD = "nfs4 rw,relatime,vers=4.2,hard,proto=tcp,timeo=50,retrans=2,sec=sys,local_lock=none,addr=172.20.10.10"
ENVIRONMENT = {"GUARD_VERSION": "v7.1.6", "GUARD_LAYOUT": "2"}
IDENTITY = "0c5f6e0e-7d0f-4a0e-9d64-1d6f0a1f7a10"
# Root reads everything, so what cannot be read is tried as the user that the pods have.
AS: dict[str, t.Any] = {"user": 1001, "group": 2000, "extra_groups": []} if os.geteuid() == 0 else {}


def find_busybox() -> str | None:
    """BUSYBOX, the PATH, or the one that the rehearsal unpacked."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "eth2xk8s-lab"
    unpacked = sorted(str(path) for path in cache.glob("debs/*/tree/usr/bin/busybox"))
    return os.environ.get("BUSYBOX") or shutil.which("busybox") or (unpacked[0] if unpacked else None)


BUSYBOX = find_busybox()
#: The guard's image has busybox, so `make check` tries that; any other shell must do as well.
HERE = [
    shell
    for shell in ("busybox", "dash", "bash")
    if shutil.which("flock") and (BUSYBOX if shell == "busybox" else shutil.which(shell))
]
SHELLS = [pytest.param(shell, id=shell, marks=[pytest.mark.thorough] * (shell != HERE[0])) for shell in HERE]

pytestmark = pytest.mark.skipif(not SHELLS, reason="no dash, bash or busybox with flock")


@functools.lru_cache
def busybox_alone() -> Path:
    """A directory with nothing but busybox, as in the image of the guard; one without flock gets that beside it."""
    assert BUSYBOX
    tools = Path(tempfile.mkdtemp(prefix="guard-tools-"))
    atexit.register(shutil.rmtree, tools)
    tools.chmod(0o755)
    shutil.copy(BUSYBOX, tools / "busybox")
    for name in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            (tools / name).symlink_to("busybox")
    if not (tools / "flock").is_symlink():
        (tools / "flock").symlink_to(t.cast(str, shutil.which("flock")))
    return tools


class Place:
    """Where a guard runs: a data directory and a wallet that the pods' user owns, and a shell with its tools."""

    def __init__(self, root: Path, shell: str) -> None:
        self.root = root
        root.chmod(0o755)
        self.guard = self.put(root / "guard.sh", GUARD)
        self.data = root / "validator1"
        self.wallet = root / "wallet-validator1"
        self.tools: str | None = None
        self.shell = [shell]
        for directory in (self.data, self.wallet):
            directory.mkdir()
            self.own(directory)
        self.own_wallet()
        if shell == "busybox":
            self.tools = str(busybox_alone())
            self.shell = [f"{self.tools}/busybox", "sh"]
        self.mounts = root / "mounts"
        self.mounted(GOOD)

    def own_wallet(self) -> None:
        """One that was filled before the first start."""
        self.put(self.own_directory(self.wallet / "direct") / "all-accounts.keystore.json", "{}")

    def own_directory(self, path: Path) -> Path:
        path.mkdir(exist_ok=True)
        return self.own(path)

    @staticmethod
    def own(path: Path) -> Path:
        if AS:
            os.chown(path, AS["user"], AS["group"], follow_symlinks=False)
        return path

    def put(self, path: Path, content: str | bytes, mode: int = 0o600) -> Path:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode if path.name != "guard.sh" else 0o755)
        return self.own(path)

    def database(self, content: bytes | None = None) -> Path:
        return self.put(self.data / "validator.db", database() if content is None else content)

    def mounted(self, options: str, at: Path | None = None, more: str = "") -> None:
        self.mounts.write_text(
            f"/dev/root / ext4 rw 0 0\n172.20.10.10:/data {at or self.data} {options} 0 0\n{more}", encoding="utf-8"
        )

    def start(
        self,
        *program: str,
        kind: str = "validator",
        storage: str = "nfs",
        seconds: str = "0",
        wallet: bool = True,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """The guard, as an init container, or with a program as the container's own command."""
        words = [kind, str(self.data), storage, seconds, *([str(self.wallet)] if wallet else [])]
        if program:
            words += ["--", *program]
        return subprocess.Popen(
            [*self.shell, str(self.guard), *words],
            env={
                "PATH": self.tools or os.environ["PATH"],
                "GUARD_MOUNTS": str(self.mounts),
                "GUARD_NAP": "0.05",
                "GUARD_SETTLE": "0.5",
                **ENVIRONMENT,
                **environment,
            },
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **AS,
        )

    def run(self, *program: str, **options: t.Any) -> tuple[int, str]:
        process = self.start(*program, **options)
        try:
            out, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"it did not end: {process.communicate()[0]}")
        return process.returncode, out

    def note(self, name: str) -> str:
        return (self.data / name).read_text(encoding="utf-8")


PROGRAM = ("/bin/sh", "-c", "echo Prysm runs")


@contextlib.contextmanager
def a_place(shell: str) -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="guard-"))
    try:
        yield Place(root, shell)
    finally:
        shutil.rmtree(root)


@pytest.fixture(params=[shell for shell in SHELLS if shell.id != "bash"] or SHELLS or ["none"])
def sparse(request: pytest.FixtureRequest) -> str:
    """The shells of the tables: bash is only what /bin/sh may be elsewhere."""
    return request.param


@pytest.fixture(params=SHELLS or ["none"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with a_place(request.param) as made:
        yield made


def fnv(data: bytes) -> int:
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


def database(
    transaction: int = 900, *, size: int = 4096, damage: t.Sequence[int] = (), cut: int = 0, text: bytes = b""
) -> bytes:
    """The shape of a bbolt database at a transaction; `damage` names states (0, 1) with one wrong bit."""
    pages = bytearray(4 * size)
    for page in (0, 1):
        number = transaction if transaction % 2 == page else transaction - 1
        body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, size, 0, 3, 0, 2, 4, number)
        at = page * size
        pages[at : at + 16] = struct.pack("<QHHI", page, 4, 0, 0)
        pages[at + 16 : at + 72] = body
        pages[at + 72 : at + 80] = struct.pack("<Q", fnv(body))
        if page in damage:
            pages[at + 64] ^= 1
    pages[2 * size + 16 : 2 * size + 16 + len(text)] = text
    return bytes(pages[: len(pages) - cut])


def until(process: subprocess.Popen[str], words: str) -> str:
    """Read what it says up to these words."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    pytest.fail(f"it ended without saying {words!r}: {seen}")


def free(path: Path) -> bool:
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


# ---- What a start leaves behind, and the lock.


def test_a_first_start_is_let_through(place: Place) -> None:
    code, out = place.run()
    assert (code, "first start" in out) == (0, True)
    assert [path.name for path in place.data.iterdir()] == [".validator-lock"]


def test_a_first_start_that_failed_may_be_tried_again(place: Place) -> None:
    """Prysm ends before it makes its database when the wallet's password is wrong, for instance."""
    for _ in range(2):
        code, out = place.run(*PROGRAM)
        assert (code, "Prysm runs" in out) == (0, True)


@pytest.mark.parametrize("state", ["empty", "missing"])
def test_without_a_wallet_there_is_no_first_start(place: Place, state: str) -> None:
    """A data disk that is not mounted leaves neither."""
    shutil.rmtree(place.wallet / "direct")
    if state == "missing":
        place.wallet.rmdir()
    for program in ([], PROGRAM):
        code, out = place.run(*program)
        assert (code, "Is the data disk mounted?" in " ".join(out.split())) == (1, True), out
    place.database()
    if state == "empty":
        assert place.run()[0] == 0


def test_a_start_notes_what_opened_the_database(place: Place) -> None:
    place.database(database(900))
    code, out = place.run(*PROGRAM)
    assert (code, "Prysm runs" in out) == (0, True), out
    assert place.note(".validator-transaction") == "900\n"
    assert place.note(".validator-version") == "2 v7.1.6\n"
    assert place.note(".validator-db-expected").startswith("seen 20")
    assert (place.data / ".validator-lock").read_bytes() == b""
    for path in place.data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert sorted(path.name for path in place.data.iterdir()) == [
        ".validator-db-expected", ".validator-lock", ".validator-transaction", ".validator-version", "validator.db",
    ]  # fmt: skip


def test_a_look_before_the_image_is_there_notes_no_version(place: Place) -> None:
    """The init container runs before it is known whether the wanted image can be had at all."""
    place.database()
    assert place.run()[0] == 0
    assert not (place.data / ".validator-version").exists()


def test_what_is_noted_never_goes_down(place: Place) -> None:
    place.database(database(900))
    place.put(place.data / ".validator-version", "2 v7.1.6\n")
    assert place.run(*PROGRAM, GUARD_VERSION="v6.1.4")[0] == 0, "the same layout may be gone back in"
    assert place.note(".validator-version") == "2 v7.1.6\n"
    assert place.run(*PROGRAM, GUARD_VERSION="v7.1.10")[0] == 0
    assert place.note(".validator-version") == "2 v7.1.10\n", "numbers, not text"
    assert place.run(*PROGRAM, GUARD_VERSION="v10.0.0-rc.1", GUARD_LAYOUT="3")[0] == 0
    assert place.note(".validator-version") == "3 v10.0.0\n"
    place.database(database(901))
    assert place.run(*PROGRAM, GUARD_VERSION="v10.0.0", GUARD_LAYOUT="3")[0] == 0
    assert place.note(".validator-transaction") == "901\n"


def test_the_program_holds_the_lock_for_as_long_as_it_lives(place: Place) -> None:
    path = place.database()
    process = place.start("/bin/sh", "-c", "echo Prysm runs; exec sleep 60")
    until(process, "Prysm runs")
    assert not free(place.data / ".validator-lock")
    assert free(path), "Prysm takes this one itself"
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM, "the signal must reach the program itself"
    assert free(place.data / ".validator-lock")


def test_the_program_gets_its_arguments_and_its_umask_as_they_are(place: Place) -> None:
    process = place.run("/bin/sh", "-c", 'umask; for w in "$@"; do echo "<$w>"; done', "-", "a b", "", "*", "--", "-x")
    assert process[1].splitlines()[1:] == ["0022", "<a b>", "<>", "<*>", "<-->", "<-x>"]


def test_of_many_guards_exactly_one_starts_its_program(place: Place) -> None:
    place.database()
    process = place.start("/bin/sh", "-c", "echo Prysm runs; exec sleep 60")
    until(process, "Prysm runs")
    others = [place.start("/bin/sh", "-c", "echo Prysm too; exec sleep 60") for _ in range(3)]
    for other in others:
        until(other, "another process still holds the lock")
    time.sleep(0.5)
    assert [other.poll() for other in others] == [None, None, None]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(
        Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n" for other in others
    ):
        time.sleep(0.1)
    time.sleep(0.5)
    for other in others:
        other.terminate()
    said = [other.communicate(timeout=10)[0] for other in others]
    assert sum("Prysm too" in words for words in said) == 1, said
    assert sorted(other.returncode for other in others) == [-signal.SIGTERM, 143, 143]


def test_a_restart_of_the_container_checks_again(place: Place) -> None:
    place.database(database(900))
    assert place.run(*PROGRAM)[0] == 0
    place.database(database(90))
    code, out = place.run(*PROGRAM)
    assert code == 1
    assert "REFUSED" in out and "older copy" in out and "Prysm runs" not in out


def test_waits_until_the_old_holder_is_gone(place: Place) -> None:
    path = place.database()
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = place.start(*PROGRAM)
        until(process, f"another process still holds the lock on {path}")
        assert process.poll() is None
        assert not free(place.data / ".validator-lock"), "held while it waits, so that its turn is not lost"
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, "Prysm runs" in out) == (0, True)


@pytest.mark.parametrize("name", [".validator-lock", "validator.db"])
def test_a_file_that_takes_the_place_of_the_locked_one_is_noticed(place: Place, name: str) -> None:
    place.database(database(900))
    path = place.put(place.data / name, (place.data / name).read_bytes() if (place.data / name).exists() else "")
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = place.start(*PROGRAM)
        until(process, "still holds the lock")
        other = place.put(place.root / "other", path.read_bytes())
        with other.open("r+b") as second:
            fcntl.flock(second, fcntl.LOCK_EX)
            other.rename(path)
            holder.close()
            time.sleep(0.5)
            assert process.poll() is None, "the lock of a file that is gone says nothing of the one that is there"
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, "Prysm runs" in out) == (0, True)


@pytest.mark.skipif(not shutil.which("dash"), reason="no dash")
def test_a_file_replaced_between_opening_and_locking_is_noticed() -> None:
    """The lock is on the file that was opened, which no other guard will ever see again."""
    with a_place("dash") as place:
        path = place.database()
        tools = place.root / "tools"
        tools.mkdir()
        other = place.put(place.root / "other", path.read_bytes())
        script = f'[ ! -e {other} ] || [ "$2" = 8 ] || mv {other} {path}\nexec {shutil.which("flock")} "$@"\n'
        place.put(tools / "flock", f"#!/bin/sh\n{script}").chmod(0o755)
        place.tools = f"{tools}:{os.environ['PATH']}"
        place.own(place.root)
        process = place.start("/bin/sh", "-c", "echo Prysm runs")
        said = until(process, "Prysm runs")
        process.communicate(timeout=10)
        assert not other.exists(), "it was not replaced"
        assert "still holds the lock" in said, "the lock on a file without a name was taken for the lock"


def test_a_database_that_changes_while_it_waits_is_looked_at_anew(place: Place) -> None:
    path = place.database(database(900))
    place.put(place.data / ".validator-transaction", "900\n")
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = place.start(*PROGRAM)
        until(process, "still holds the lock")
        place.put(place.root / "other", database(90)).rename(path)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, "older copy" in out) == (1, True), out


def test_a_database_that_vanishes_while_it_waits_is_refused(place: Place) -> None:
    path = place.database()
    place.put(place.data / ".validator-db-expected", "duties proved: 2 keys\n")
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = place.start(*PROGRAM)
        until(process, "still holds the lock")
        path.unlink()
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "Prysm runs" not in out


@pytest.mark.parametrize("where", ["hold", "lock"])
def test_stops_waiting_when_it_is_told_to_end(place: Place, where: str) -> None:
    path = place.database()
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        if where == "hold":
            place.put(place.data / ".validator-hold", "rollback\n")
        process = place.start(*PROGRAM)
        until(process, "on hold" if where == "hold" else "still holds the lock")
        process.terminate()
        process.communicate(timeout=5)
    assert process.returncode == 143
    assert free(path) and (where == "hold" or free(place.data / ".validator-lock"))


def test_is_held_back_until_the_hold_is_lifted(place: Place) -> None:
    hold = place.put(place.data / ".validator-hold", "rollback to v1.2.2\n")
    process = place.start(*PROGRAM)
    until(process, "rollback to v1.2.2")
    assert process.poll() is None
    hold.unlink()
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, "Prysm runs" in out) == (0, True)


def test_a_hold_that_comes_while_it_waits_gets_the_lock(place: Place) -> None:
    """Whoever holds the client back wants the lock next."""
    path = place.database()
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = place.start(*PROGRAM)
        until(process, "still holds the lock")
        hold = place.put(place.data / ".validator-hold", "move\n")
    until(process, "on hold")
    assert free(path) and free(place.data / ".validator-lock")
    assert process.poll() is None
    hold.unlink()
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, "Prysm runs" in out) == (0, True)


# ---- Tables: each thing that is noted, in each form, at both times.


def at(name: str) -> Callable[[Place], Path]:
    return lambda place: (place.wallet if name.startswith("wallet/") else place.data) / name.rpartition("/")[2]


def absent(place: Place, path: Path) -> None:
    del place, path


def unreadable(place: Place, path: Path) -> None:
    place.put(path, "900\n", 0o000)


def of_root(place: Place, path: Path) -> None:
    path.write_text("900\n", encoding="utf-8")
    path.chmod(0o600)
    if not AS:
        path.chmod(0o000)


def directory(place: Place, path: Path) -> None:
    path.mkdir()
    place.own(path)


def dangling(place: Place, path: Path) -> None:
    path.symlink_to("nowhere")


def loop(place: Place, path: Path) -> None:
    path.symlink_to(path.name)


def fifo(place: Place, path: Path) -> None:
    os.mkfifo(path)
    place.own(path)


def unix_socket(place: Place, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    place.own(path)


def link_to(content: str) -> Callable[[Place, Path], None]:
    def make(place: Place, path: Path) -> None:
        path.symlink_to(place.put(place.root / f"elsewhere-{path.name}", content))

    make.__name__ = "link"
    return make


def holding(content: str | bytes) -> Callable[[Place, Path], None]:
    def make(place: Place, path: Path) -> None:
        place.put(path, content)

    make.__name__ = f"holding {content[:20]!r}"
    return make


NO_FILE = [unreadable, of_root, directory, dangling, loop, fifo, unix_socket]
# Where it is, what a start says to it: (forms that are let through, forms that are refused).
NOTES: dict[str, tuple[list[t.Any], list[t.Any]]] = {
    ".validator-transaction": (
        [absent, *map(holding, ("900\n", "899\n", "0\n"))],
        [
            *NO_FILE,
            link_to("900\n"),
            *map(holding, (
                "901\n", "999999999999999999\n", "18446744073709551615\n", "99999999999999999999999\n",
                "", "\n", "900", "900\n900\n", "900\n\n", " 900\n", "900 \n", "-1\n", "+900\n", "0900\n", "0x384\n",
                "9e2\n", "900.0\n", "nine\n", "900\r\n", "90\x000\n", "\uff19\n", b"\xff\n",
                "9" * 5000 + "\n", "$(date)\n",
            )),
        ],
    ),
    ".validator-version": (
        [absent, *map(holding, ("2 v7.1.6\n", "2 v1.3.0\n", "1 v1.2.2\n", "2 v99.0.0\n", "2 v7.0.0-rc.1\n"))],
        [
            *NO_FILE,
            link_to("2 v7.1.6\n"),
            *map(holding, (
                "3 v8.0.0\n", "10 v7.1.6\n", "", "\n", "2\n", "v7.1.6\n", "2 v7.1.6", "2  v7.1.6\n", "2 7.1.6\n",
                "2 v7.1\n", "2 v7.1.6.1\n", "2 v7.1.x\n", "2 v7..6\n", "2 v\n", "2 v7.1.6 3\n", "2 v7.1.6\n3 v8.0.0\n",
                "x v7.1.6\n", "02 v7.1.6\n", "-2 v7.1.6\n", "2\tv7.1.6\n", "2 v7.1.6\r\n", "2 v7.1.6\x00\n",
            )),
        ],
    ),
    **{
        place: (
            [holding(f"{IDENTITY}\n")],
            [
                absent,
                *NO_FILE,
                link_to(f"{IDENTITY}\n"),
                *map(holding, (
                    "11111111-7d0f-4a0e-9d64-1d6f0a1f7a10\n", IDENTITY, "", "\n", f"{IDENTITY}\n\n", f" {IDENTITY}\n",
                    f"{IDENTITY.upper()}\n", f"{IDENTITY}x\n", f"{IDENTITY[:-1]}\n", f"{IDENTITY}\x00\n",
                )),
            ],
        )
        for place in (".validator-id", "wallet/.validator-id")
    },
}  # fmt: skip
MODES = [pytest.param((), id="init"), pytest.param(PROGRAM, id="exec")]


@pytest.mark.thorough
@pytest.mark.parametrize("program", MODES)
@pytest.mark.parametrize("name", NOTES)
def test_each_note_in_each_form(sparse: str, name: str, program: tuple[str, ...]) -> None:
    wrong = []
    allowed, refused = NOTES[name]
    for make in [*allowed, *refused]:
        with a_place(sparse) as fresh:
            fresh.database(database(900))
            ids = [fresh.data / ".validator-id", fresh.wallet / ".validator-id"]
            path = at(name)(fresh)
            for other in ids:
                if other != path:
                    fresh.put(other, f"{IDENTITY}\n")
            make(fresh, path)
            code, out = fresh.run(*program, GUARD_IDENTITY=IDENTITY)
            runs = "Prysm runs" in out
            good = make in allowed
            if (code, runs) != ((0, bool(program)) if good else (1, False)) or (not good and "REFUSED" not in out):
                wrong.append((make.__name__, code, out))
            if not good and path.name not in out and "older copy" not in out and "was opened by" not in out \
                    and "identity" not in out:  # fmt: skip
                wrong.append((make.__name__, "it does not say what is wrong", out))
    assert wrong == []


@pytest.mark.parametrize("program", MODES)
def test_a_hold_in_each_form_holds(sparse: str, program: tuple[str, ...]) -> None:
    for make in [*NO_FILE, link_to("x\n"), *map(holding, ("move\n", "", b"\xff\x00"))]:
        with a_place(sparse) as fresh:
            fresh.database()
            make(fresh, fresh.data / ".validator-hold")
            process = fresh.start(*program)
            until(process, "on hold")
            assert process.poll() is None, make.__name__
            process.terminate()
            out, _ = process.communicate(timeout=10)
            assert (process.returncode, "Prysm runs" in out) == (143, False), make.__name__


DATABASES: dict[str, t.Any] = {
    "good": (holding(database()), None),
    "pages of 16 KiB": (holding(database(size=16384)), None),
    "pages of 64 KiB": (holding(database(size=65536)), None),
    "first transaction": (holding(database(1)), None),
    "beyond 32 bits": (holding(database(2**40 + 1)), None),
    "empty": (holding(b""), "is empty"),
    "text": (holding(b"history"), "damaged"),
    "zeros": (holding(bytes(16384)), "damaged"),
    "one page": (holding(database()[:4096]), "damaged"),
    "cut": (holding(database(cut=1)), "damaged"),
    "cut in the second state": (holding(database()[: 4096 + 70]), "damaged"),
    "first state damaged": (holding(database(damage=[0])), "damaged"),
    "second state damaged": (holding(database(damage=[1])), "damaged"),
    "both damaged": (holding(database(damage=[0, 1])), "damaged"),
    "endless": (holding(database(2**63)), "damaged"),
    "another version of bbolt": (holding(database().replace(struct.pack("<I", 2), struct.pack("<I", 3), 1)), "damaged"),
    "unreadable": (unreadable, "cannot be opened"),
    "of root": (of_root, "cannot be opened"),
    "directory": (directory, "not a regular file"),
    "dangling": (dangling, "not a regular file"),
    "loop": (loop, "not a regular file"),
    "link": (link_to("history"), "not a regular file"),
    "fifo": (fifo, "not a regular file"),
}


@pytest.mark.parametrize("program", MODES)
@pytest.mark.parametrize("form", DATABASES)
def test_each_form_of_database(sparse: str, form: str, program: tuple[str, ...]) -> None:
    make, reason = DATABASES[form]
    with a_place(sparse) as place:
        make(place, place.data / "validator.db")
        code, out = place.run(*program)
    if reason is None:
        assert (code, "Prysm runs" in out) == (0, bool(program)), out
    else:
        assert (code, "Prysm runs" in out) == (1, False), out
        assert "REFUSED" in out and reason in out


@pytest.mark.parametrize("program", MODES)
@pytest.mark.parametrize("left", [".validator-db-expected", ".validator-transaction", ".validator-version"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_history_that_should_be_there_and_is_not(
    sparse: str, left: str, empty: bool, program: tuple[str, ...]
) -> None:
    for form in [holding("900\n"), *NO_FILE]:
        with a_place(sparse) as place:
            if empty:
                place.database(b"")
            form(place, place.data / left)
            code, out = place.run(*program)
            assert (code, "Prysm runs" in out) == (1, False), form.__name__
            assert "missing or empty" in out and "have signed before" in out, form.__name__


REAL = sorted(path for path in FIXTURES.glob("prysm*/**/validator*.db.xz")) + sorted(
    FIXTURES.glob("prysm-live/*.db.xz")
)


@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parent.name}-{path.name.partition('.db')[0]}")
def test_databases_of_real_prysm(place: Place, path: Path) -> None:
    content = lzma.decompress(path.read_bytes())
    place.database(content)
    assert place.run(*PROGRAM)[0] == 0
    newest = max(struct.unpack_from("<Q", content, offset)[0] for offset in (64, 4160))
    assert place.note(".validator-transaction") == f"{newest}\n"
    for name in (".validator-version", ".validator-transaction"):
        (place.data / name).unlink()
    # What a database tells by itself when nothing was noted: v1.2.2 must not take one of a newer layout.
    code, out = place.run(*PROGRAM, GUARD_VERSION="v1.2.2", GUARD_LAYOUT="1")
    if path.parent.name == "v1.2.2":
        assert (code, place.note(".validator-version")) == (0, "1 v1.2.2\n")
    else:
        assert code == 1
        assert "v1.3.0 or later" in out and "playbooks/rollback.yml" in out


def test_an_older_layout_is_refused_with_both_releases(place: Place) -> None:
    place.database()
    place.put(place.data / ".validator-version", "2 v7.1.6\n")
    code, out = place.run(*PROGRAM, GUARD_VERSION="v1.2.2", GUARD_LAYOUT="1")
    assert code == 1
    assert all(words in out for words in ("v7.1.6 (layout 2", "v1.2.2 (layout 1", "playbooks/rollback.yml"))
    # What a rollback has made of it is taken: it notes the layout anew.
    place.put(place.data / ".validator-version", "1 v1.2.2\n")
    assert place.run(*PROGRAM, GUARD_VERSION="v1.2.2", GUARD_LAYOUT="1")[0] == 0


def test_an_identity_is_compared_only_when_the_release_has_one(place: Place) -> None:
    place.put(place.data / ".validator-id", "one\n")
    assert place.run(*PROGRAM)[0] == 0
    code, out = place.run(*PROGRAM, wallet=False, GUARD_IDENTITY=IDENTITY)
    assert (code, "no wallet directory" in out) == (1, True)


@pytest.mark.parametrize("lacking", ["GUARD_VERSION", "GUARD_LAYOUT"])
@pytest.mark.parametrize("value", ["", "x", "7.1.6", "v7.1", "-1", "v7.1.6 ", "2 "])
def test_a_start_without_a_release_to_note_is_refused(place: Place, lacking: str, value: str) -> None:
    code, out = place.run(*PROGRAM, **{lacking: value})
    assert (code, "GUARD_VERSION" in out, "Prysm runs" in out) == (1, True, False)


# ---- The directory and its mount.


def test_a_minimal_database_is_refused_because_it_has_no_lock(place: Place) -> None:
    (place.data / "validator-client-data").mkdir()
    code, out = place.run()
    assert code == 1
    assert "no lock" in out


def test_a_history_in_the_old_place_is_not_left_behind(place: Place) -> None:
    old = place.wallet / "direct/validator.db"
    place.put(old, b"history")
    code, out = place.run()
    assert code == 1
    assert "Move it first" in out
    old.parent.chmod(0o000)
    code, out = place.run()
    assert code == 1
    assert "it is not known whether" in out
    old.parent.chmod(0o700)


MOUNTS = [
    pytest.param(GOOD.replace("nfs4 ", "nfs "), "should be on NFSv4", id="nfs3"),
    pytest.param(GOOD.replace("vers=4.2", "vers=4.0"), "NFS 4.1 or later", id="nfs4.0"),
    pytest.param(GOOD.replace("local_lock=none", "local_lock=flock"), "would not reach the server", id="local-lock"),
    pytest.param(GOOD.replace("hard", "soft"), "not a hard mount", id="soft"),
]


@pytest.mark.parametrize("storage", ["nfs", "other"])
@pytest.mark.parametrize(("mount", "reason"), MOUNTS)
def test_refuses_nfs_that_does_not_fence_whatever_the_values_say(
    place: Place, mount: str, reason: str, storage: str
) -> None:
    for at_ in (place.data, place.root):
        place.mounted(mount, at_)
        code, out = place.run(storage=storage)
        assert (code, reason in out) == (1, True), out


def test_another_file_system_is_taken_only_where_the_values_say_so(place: Place) -> None:
    place.mounted("ext4 rw")
    code, out = place.run(storage="nfs")
    assert (code, "should be on NFSv4" in out) == (1, True)
    assert place.run(storage="other")[0] == 0


def test_the_deepest_mount_decides(place: Place) -> None:
    bad = GOOD.replace("hard", "soft")
    place.mounted(bad, place.root, f"server:/x {place.data} {GOOD} 0 0\nserver:/y {place.data}-2 {bad} 0 0\n")
    assert place.run()[0] == 0
    place.mounted(GOOD, place.root, f"server:/x {place.data} {bad} 0 0\n")
    assert place.run()[0] == 1
    place.mounted(GOOD, place.data, f"server:/x {place.data} {bad} 0 0\n")
    code, out = place.run()
    assert (code, "hard" in out) == (1, True), "of two mounts on one place the later one is seen"
    place.mounted(GOOD, place.root, f"server:/x {str(place.data)[:-1]} {bad} 0 0\n")
    assert place.run()[0] == 0, "a mount whose name only begins alike"


def test_a_directory_reached_by_a_link_is_judged_where_it_lies(place: Place) -> None:
    place.mounted("ext4 rw", place.root / "elsewhere")
    (place.root / "link").symlink_to(place.data)
    place.mounted(GOOD.replace("hard", "soft"))
    place.data = place.root / "link"
    code, out = place.run(storage="other")
    assert (code, "hard" in out) == (1, True)


def test_a_mount_point_with_a_space_is_understood(place: Place) -> None:
    spaced = place.root / "a b\\c"
    spaced.mkdir()
    place.own(spaced)
    place.data = spaced
    place.mounts.write_text(
        f"/dev/root / ext4 rw 0 0\ns:/x {place.root}/a\\040b\\134c {GOOD.replace('hard', 'soft')} 0 0\n"
    )
    code, out = place.run(storage="other")
    assert (code, "hard" in out) == (1, True), out


@pytest.mark.parametrize("content", [None, "", "server:/x /somewhere/else nfs4 rw 0 0\n"])
def test_mounts_that_cannot_be_read_are_a_refusal(place: Place, content: str | None) -> None:
    if content is None:
        place.mounts.unlink()
    else:
        place.mounts.write_text(content)
    assert place.run(storage="other")[0] == 1


def test_a_directory_it_cannot_write_or_list_is_refused(place: Place) -> None:
    place.data.chmod(0o500)
    code, out = place.run()
    assert (code, "cannot be written" in out) == (1, True)
    place.data.chmod(0o300)
    code, out = place.run()
    assert (code, "it is not known whether" in out) == (1, True)
    place.data.chmod(0o000)
    assert place.run()[0] == 1
    place.data.chmod(0o700)


@pytest.mark.parametrize("form", NO_FILE)
def test_a_lock_file_that_cannot_be_locked_is_refused(place: Place, form: t.Any) -> None:
    form(place, place.data / ".validator-lock")
    code, out = place.run(*PROGRAM)
    assert (code, "Prysm runs" in out, ".validator-lock" in out) == (1, False, True)


def test_an_image_without_flock_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which(place.shell[0])
    assert found is not None
    place.shell[0], place.tools = found, "/nowhere"
    code, out = place.run()
    assert code == 1
    assert "has no flock" in out and "guard.image" in out


def test_an_image_without_the_program_is_refused(place: Place) -> None:
    place.put(place.root / "prysm", "#!/bin/sh\n", 0o644)
    for program in ("/nowhere/validator", str(place.root), str(place.root / "prysm")):
        code, out = place.run(program)
        assert (code, f"no program {program}" in out, "image.version" in out) == (1, True, True)


@pytest.mark.parametrize(
    "words",
    [
        [], ["validator"], ["validator", "D"], ["validator", "D", "other"], ["validator", "D", "other", "x"],
        ["validator", "D", "other", "-1"], ["validator", "D", "ceph", "0"], ["web", "D", "other", "0"],
        ["", "D", "other", "0"], ["validator", "D", "other", "0", "W", "more"],
        ["validator", "D", "other", "0", "W", "--"], ["validator", "D", "other", "0", "--"],
    ],
)  # fmt: skip
def test_words_it_does_not_understand_are_refused(place: Place, words: list[str]) -> None:
    given = [str(place.data) if word == "D" else word for word in words]
    done = subprocess.run(
        [*place.shell, str(place.guard), *given],
        env={"PATH": place.tools or os.environ["PATH"], **ENVIRONMENT}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "REFUSED" in done.stdout) == (1, True)
    assert list(place.data.iterdir()) == []


def test_waits_as_long_as_it_is_told_to(place: Place) -> None:
    begun = time.monotonic()
    code, out = place.run(seconds="1")
    assert (code, "validatorStartWaitTime" in out) == (0, True)
    assert time.monotonic() - begun >= 1


# ---- The beacon node, and the busybox that goes along.


def test_the_beacon_waits_for_its_own_lock(place: Place) -> None:
    path = place.data / "beaconchaindata/beaconchain.db"
    path.parent.mkdir()
    place.own(path.parent)
    place.put(path, b"chain")
    place.put(place.data / ".validator-hold", "not for a beacon node\n")
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        process = place.start("/bin/sh", "-c", "echo Prysm runs; exec sleep 60", kind="beacon", wallet=False)
        until(process, "still holds the lock")
        assert process.poll() is None
    until(process, "Prysm runs")
    assert not free(place.data / ".beacon-lock")
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    assert sorted(path.name for path in place.data.iterdir()) == [".beacon-lock", ".validator-hold", "beaconchaindata"]


def own_copy(place: Place) -> Path:
    tools = place.root / "tools"
    shutil.copytree(busybox_alone(), tools, symlinks=True)
    place.shell, place.tools = [str(tools / "busybox"), "sh"], str(tools)
    return tools


def a_static_flock(root: Path) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("no gcc to make a static flock with")
    made = root / "flock"
    subprocess.run(["gcc", "-static", "-Os", "-o", made, FLOCK], check=True)
    return made


def static_flock(tools: Path, made: Path) -> None:
    """A busybox without flock gets a static one beside it."""
    if (tools / "flock").resolve().name != "busybox":
        (tools / "flock").unlink()
        a_static_flock(made).rename(tools / "flock")


@pytest.mark.skipif(not BUSYBOX, reason="no static busybox: set BUSYBOX, or install busybox-static")
def test_a_static_busybox_is_all_that_a_start_needs(tmp_path: Path) -> None:
    with a_place("busybox") as place:
        tools = own_copy(place)
        static_flock(tools, tmp_path)
        into = place.root / "guard-bin"
        into.mkdir()
        place.own(into)
        place.database()
        for _ in range(2):  # the second time over what the first has left
            code, out = place.run(GUARD_INSTALL=str(into))
            assert code == 0, out
        shutil.rmtree(tools)
        place.shell, place.tools = [str(into / "busybox"), "sh"], str(into)
        code, out = place.run(*PROGRAM)
        assert (code, "Prysm runs" in out) == (0, True), out
        place.database(database(90))
        assert place.run(*PROGRAM)[0] == 1


SERVER = "Server:\t\t10.152.183.10\nAddress:\t10.152.183.10:53\n\n"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param(f"{SERVER}Name:\tNAME\nAddress: 10.152.183.44\n", ["10.152.183.44 beacon-service"], id="one"),
        pytest.param(
            f"{SERVER}Name:\tNAME\nAddress: 10.152.183.44\n\nName:\tNAME\nAddress: fd98::2f1a\n",
            ["10.152.183.44 beacon-service", "fd98::2f1a beacon-service"],
            id="both families",
        ),
        pytest.param(
            "Server:    10.152.183.10\nAddress 1: 10.152.183.10 kube-dns.kube-system.svc.cluster.local\n\n"
            "Name:      NAME\nAddress 1: 10.152.183.44 NAME\n",
            ["10.152.183.44 beacon-service"],
            id="before busybox 1.29",
        ),
        pytest.param(f"{SERVER}** server can't find NAME: NXDOMAIN\n\n", [], id="not there"),
        pytest.param(";; connection timed out; no servers could be reached\n\n", [], id="no DNS"),
    ],
)
@pytest.mark.skipif(not BUSYBOX, reason="no static busybox: set BUSYBOX, or install busybox-static")
def test_addresses_are_found_while_the_pod_begins(tmp_path: Path, answer: str, found: list[str]) -> None:
    with a_place("busybox") as place:
        tools, into = own_copy(place), place.root / "guard-bin"
        static_flock(tools, tmp_path)
        into.mkdir()
        place.own(into)
        resolv = place.root / "resolv.conf"
        place.put(
            resolv, "search prysm.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.152.183.10\n", 0o644
        )
        name = "beacon-service.prysm.svc.cluster.local"
        place.put(place.root / "answer", answer.replace("NAME", name), 0o644)
        lookup = place.put(place.root / "lookup", f"#!{tools}/sh\n[ $1 = {name} ] && cat {place.root}/answer\n", 0o755)
        places = {"GUARD_RESOLV": str(resolv), "GUARD_LOOKUP": str(lookup)}
        for _ in range(2):
            code, out = place.run(GUARD_INSTALL=str(into), GUARD_HOSTS="beacon-service", **places)
            assert code == 0, out
        assert ("the cluster's DNS is asked" in out) == (not found)
        hosts = (into / "hosts").read_text(encoding="utf-8").split("\n")
        assert [line for line in hosts if line] == ["127.0.0.1 localhost", "::1 localhost", *found]
        assert (into / "hosts").stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("name", ["busybox", "flock"])
@pytest.mark.skipif(not BUSYBOX, reason="no static busybox: set BUSYBOX, or install busybox-static")
def test_a_busybox_that_needs_libraries_is_refused(name: str) -> None:
    with a_place("busybox") as place:
        tools = own_copy(place)
        dynamic = shutil.which("flock")
        assert dynamic
        if name == "busybox":
            (tools / "busybox").rename(tools / "box")
            for link in tools.iterdir():
                if link.is_symlink() and link.resolve().name != "flock":
                    link.unlink()
                    link.symlink_to("box")
            place.shell = [str(tools / "sh")]
            shutil.copy(dynamic, tools / "busybox")
        elif (tools / "flock").resolve().name == "busybox":
            pytest.skip("this busybox has a flock of its own")
        into = place.root / "guard-bin"
        into.mkdir()
        place.own(into)
        code, out = place.run(GUARD_INSTALL=str(into))
        assert (code, "REFUSED" in out, "guard.image" in out) == (1, True, True), out
        assert "static" in out


def test_the_chart_names_an_image_whose_busybox_is_static() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert values["guard"]["image"] in GUARD, "the advice must name the image that the chart uses"
    assert values["guard"]["image"].endswith("-musl"), "the default one of busybox links against glibc"
