"""Two pods of a client: the lock says who signs, the beat keeps its node heard of, and a lost lock ends the signer."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._clients import Surroundings
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._command_lines import process as what_it_is
from tests.unit.test_guard import CHART, SHELLS, Place, a_place, database, free, until

PULSE = (CHART / "files/pulse.sh").read_text(encoding="utf-8")
SIGNS = 'echo "$0 signs"; exec sleep 60'

pytestmark = pytest.mark.skipif(not SHELLS, reason="no dash, bash or busybox with flock")


class Site:
    """The data directory of a client, and pods that want to sign with it."""

    def __init__(self, place: Place, shell: str) -> None:
        self.place = place
        self.shell = [place.shell[0], "sh"] if shell == "busybox" else [str(shutil.which(shell))]
        self.pulse = place.put(place.root / "pulse.sh", PULSE, 0o644)
        self.lock = place.data / ".validator-lock"
        self.started: list[subprocess.Popen[str]] = []
        place.database()

    def pod(self, name: str, script: str = SIGNS, **environment: str) -> subprocess.Popen[str]:
        program = ["/bin/sh", "-c", script, name]
        found = self.place.start(
            *self.shell, str(self.pulse), str(self.lock), *program, **{"PULSE_NAP": "0.05", **environment}
        )
        self.started.append(found)
        return found

    def fake_dd(self, words: str) -> Path:
        """A dd whose writes through the locked descriptor fail, once there is the file that is returned."""
        tools = self.place.root / "tools"
        tools.mkdir(exist_ok=True)
        lost = self.place.root / "lost"
        script = f'#!/bin/sh\n[ -e {lost} ] && [ "$1" = bs=1 ] && echo "dd: fsync failed: {words}" >&2 && exit 1\n'
        self.place.put(tools / "dd", f'{script}exec {shutil.which("dd")} "$@"\n').chmod(0o755)
        self.place.tools = f"{tools}:{os.environ['PATH']}"
        return lost

    def end(self) -> None:
        for one in self.started:
            with contextlib.suppress(ProcessLookupError):
                one.kill()
            one.communicate(timeout=20)


@contextlib.contextmanager
def a_site(shell: str) -> Iterator[Site]:
    with a_place(shell) as place:
        made = Site(place, shell)
        try:
            yield made
        finally:
            made.end()


@pytest.fixture(autouse=True)
def quit_is_not_ignored() -> Iterator[None]:
    """As in a container. What a shell runs in the background ignores it, and no shell below can trap it then."""
    before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGQUIT, before)


@pytest.fixture(params=SHELLS or ["none"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with a_site(request.param) as made:
        yield made


@pytest.fixture
def dash() -> Iterator[Site]:
    """Where programs of the path are replaced, which a busybox may not look at."""
    if not shutil.which("dash"):
        pytest.skip("no dash")
    with a_site("dash") as made:
        yield made


def test_the_standby_signs_once_the_first_has_died_and_not_before(site: Site) -> None:
    first = site.pod("first")
    until(first, "first signs")
    second = site.pod("second")
    until(second, "another process still holds the lock")
    time.sleep(1)
    assert second.poll() is None
    first.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    assert not free(site.lock), "one that stands still has its lock, until the server takes it away"
    first.kill()
    until(second, "second signs")


def test_of_many_that_wait_one_signs(site: Site) -> None:
    pods = [site.pod(f"pod{n}", 'echo "$0 signs"; exec sleep 1', PULSE_NAP="0.02") for n in range(4)]
    said = [one.communicate(timeout=30)[0] for one in pods]
    assert [words.count(" signs") for words in said] == [1, 1, 1, 1], said
    assert [words.count("waiting: another process") > 0 for words in said].count(False) <= 1


def test_the_signer_gets_the_signals_itself_and_takes_its_beat_along(site: Site) -> None:
    first = site.pod("first", "trap 'echo told to end; exit 7' TERM; echo runs; while :; do sleep 0.1; done")
    until(first, "runs")
    first.terminate()
    out, _ = first.communicate(timeout=10)  # until the beat, too, has closed it
    assert (first.returncode, "told to end" in out) == (7, True)
    assert free(site.lock)


def test_a_standby_that_is_told_to_end_does(site: Site) -> None:
    until(site.pod("first"), "first signs")
    second = site.pod("second")
    until(second, "another process still holds the lock")
    second.terminate()
    assert second.wait(timeout=10) == 143


def test_the_history_is_checked_after_the_lock_is_held(site: Site) -> None:
    first = site.pod("first")
    until(first, "first signs")
    second = site.pod("second")
    until(second, "another process still holds the lock")
    site.place.database(database(90))
    first.kill()
    out, _ = second.communicate(timeout=20)
    assert (second.returncode, "older copy" in out, "second signs" in out) == (1, True, False), out


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("trap 'exit 5' TERM; echo runs; while :; do sleep 0.1; done", 5, id="term"),
        pytest.param("trap '' TERM; trap 'exit 6' QUIT; echo runs; while :; do sleep 0.1; done", 6, id="quit"),
        pytest.param("trap '' TERM QUIT; echo runs; while :; do sleep 0.1; done", -9, id="kill"),
    ],
)
def test_a_lost_lock_ends_the_signer(dash: Site, script: str, code: int) -> None:
    """By every means: one that is slow to end is a second signer."""
    lost = dash.fake_dd("Input/output error")
    first = dash.pod("first", script, PULSE_PATIENCE="3")
    until(first, "runs")
    time.sleep(0.5)
    assert first.poll() is None
    lost.write_text("")
    out, _ = first.communicate(timeout=20)
    assert first.returncode == code, out
    assert "is lost" in out and "starts again as the standby" in out


def over(place: Place, path: Path, content: bytes) -> None:
    """As rsync and mv do: a new file takes the place of the old one."""
    place.put(path.with_name(f"{path.name}.new"), content).replace(path)


def test_a_directory_put_back_with_its_lock_makes_no_second_signer(site: Site) -> None:
    """The new file has a lock of its own, which the standby gets at once."""
    first = site.pod("first", PULSE_NAP="0.1", PULSE_PATIENCE="1")
    until(first, "first signs")
    second = site.pod("second", GUARD_SETTLE="4")
    until(second, "another process still holds the lock")
    over(site.place, site.lock, b"")
    until(second, "was replaced while another process held its lock")
    assert "was replaced, so another pod may lock the new one" in first.communicate(timeout=5)[0]
    until(second, "second signs")


@pytest.mark.parametrize("words", ["Stale file handle", "Bad file descriptor", "anything else"])
def test_what_is_no_proof_counts_as_a_loss(dash: Site, words: str) -> None:
    lost = dash.fake_dd(words)
    first = dash.pod("first")
    until(first, "first signs")
    lost.write_text("")
    out, _ = first.communicate(timeout=20)
    assert first.returncode == -signal.SIGTERM and "is lost" in out and words in out


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_does_not_end_the_signer(dash: Site, words: str) -> None:
    """It says nothing of the lock; and a restart could not even note its start."""
    lost = dash.fake_dd(words)
    first = dash.pod("first")
    until(first, "first signs")
    lost.write_text("")
    until(first, "the disk is full")
    time.sleep(0.5)
    assert first.poll() is None


def test_a_lock_that_was_lost_before_the_start_is_refused(dash: Site) -> None:
    dash.fake_dd("Input/output error").write_text("")
    first = dash.pod("first")
    out, _ = first.communicate(timeout=20)
    assert (first.returncode, "first signs" in out) == (1, False)
    assert "guard: REFUSED: the lock on" in out and "lost before the start" in out


@pytest.mark.parametrize("held", ["nothing", "another file"])
def test_nothing_starts_without_the_lock(site: Site, held: str) -> None:
    """As it would if somebody called it without the guard."""
    other = site.place.put(site.place.root / "other", "")
    site.place.put(site.lock, "")
    opened = "" if held == "nothing" else f"exec 8<> {other}; "
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f'{opened}exec "$@"',
            "sh",
            *site.shell,
            str(site.pulse),
            str(site.lock),
            "/bin/echo",
            "signs",
        ],
        env={"PATH": site.place.tools or os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "so the lock is not held" in done.stdout, "signs" in done.stdout) == (1, True, False)


def test_an_image_without_the_program_is_refused_before_its_turn(site: Site) -> None:
    """While another pod has the lock: one that waits, and cannot start, is found out in time."""
    site.lock.parent.mkdir(parents=True, exist_ok=True)
    with site.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = site.place.start(
            site.place.shell[0], "sh", str(site.pulse), str(site.lock), "/validator-of-another-version"
        )
        out, _ = done.communicate(timeout=20)
    assert (done.returncode, "has no program /validator-of-another-version" in out) == (1, True)


class Opens:
    """How often a file is opened."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK)
        assert self._fd >= 0 and libc.inotify_add_watch(self._fd, os.fsencode(path), 0x20) >= 0

    def count(self, seconds: float) -> int:
        """Those of the next seconds; the kernel makes one of equal ones that were not read yet."""
        found, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)
            with contextlib.suppress(BlockingIOError):
                found += len(os.read(self._fd, 1 << 16)) // 16
        return found

    def close(self) -> None:
        os.close(self._fd)


def test_who_holds_and_who_waits_touch_the_server_every_second(dash: Site) -> None:
    """Each look at the lock is an open, which an NFS server answers itself."""
    first = dash.pod("first", PULSE_NAP="1")
    until(first, "first signs")
    opens = Opens(dash.lock)
    held = opens.count(4.2)
    assert 3 <= held <= 8, "the beat of the holder"
    second = dash.pod("second", GUARD_NAP="1")
    until(second, "another process still holds the lock")
    both = opens.count(4.2)
    opens.close()
    assert both >= held + 3, "the one that waits, too"


def test_a_slow_disk_of_the_server_does_not_make_its_node_silent(dash: Site) -> None:
    """A proof takes as long as the disk does; the server has to hear of the node all the same."""
    lost = dash.fake_dd("")
    dd = dash.place.root / "tools/dd"
    text = dd.read_text().replace("&& echo", "&& sleep 4 && echo")
    dash.place.put(dd, text).chmod(0o755)
    first = dash.pod("first", PULSE_NAP="0.2", PULSE_PROOF_EVERY="1")
    until(first, "first signs")
    lost.write_text("")
    time.sleep(0.5)
    opens = Opens(dash.lock)
    assert opens.count(2.5) >= 3
    opens.close()
    assert first.poll() is None


def test_the_lock_file_does_not_grow_with_the_starts(dash: Site) -> None:
    for _ in range(3):
        first = dash.pod("first", "echo runs; exec sleep 1", PULSE_NAP="0.02", PULSE_PROOF_EVERY="1")
        until(first, "runs")
        before = dash.lock.stat().st_ino
        first.communicate(timeout=10)
        assert 2 <= dash.lock.stat().st_size < 100, "one byte a proof, from the beginning at each start"
        assert dash.lock.stat().st_ino == before


def test_a_beat_is_no_signer_and_a_pod_that_waits_may_become_one() -> None:
    bare = Surroundings({}, (), lambda _path: None)
    shell = ["/guard-bin/busybox", "sh"]
    lock = "/data/prysm/validator/.validator-lock"
    beat = ["sh", "/guard/pulse.sh", "beat", lock, "1"]
    assert what_it_is(beat, ["/guard-bin/busybox", "sh"], bare) is None
    given = ["/validator", "--accept-terms-of-use", "--wallet-dir=/data/prysm/wallet"]
    guard = [*shell, "/guard/guard.sh", "validator", "/data/prysm/validator", "nfs", "0", "/data/prysm/wallet", "--"]
    waits = [*guard, *shell, "/guard/pulse.sh", lock, *given]
    for words in (waits, [*shell, "/guard/pulse.sh", lock, *given]):
        found = what_it_is(words, ["/guard-bin/busybox", "busybox"], bare)
        assert found is not None and found.signs


@pytest.mark.parametrize(
    ("name", "before", "meanwhile"),
    [
        (".validator-transaction", "900\n", "950\n"),
        (".validator-version", "1 v1.2.0\n", "1 v1.2.9\n"),
        (".validator-version", "1 v1.2.0\n", "2 v1.2.2\n"),
    ],
)
def test_a_node_that_stood_still_notes_nothing_older(dash: Site, name: str, before: str, meanwhile: str) -> None:
    """Between the guard's check and its note another pod may have signed: the notes only rise."""
    place = dash.place
    note = place.put(place.data / name, before)
    place.put(place.data / ".validator-db-expected", "seen\n")
    (place.root / "tools").mkdir()
    stall, stalled = place.put(place.root / "stall", ""), place.data / ".stalled"
    wait = f'case "$1" in of=*.guard-note*) : > {stalled}; while [ -e {stall} ]; do sleep 0.05; done;; esac\n'
    dd = place.put(place.root / "tools/dd", f'#!/bin/sh\n{wait}exec {shutil.which("dd")} "$@"\n')
    dd.chmod(0o755)
    place.tools = f"{dd.parent}:{os.environ['PATH']}"
    first = dash.pod("first", GUARD_VERSION="v1.2.2", GUARD_LAYOUT="1")
    deadline = time.monotonic() + 10
    while not stalled.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stalled.exists()
    over(place, note, meanwhile.encode())
    stall.unlink()
    out, _ = first.communicate(timeout=10)
    assert first.returncode == 1 and "another pod has gone on with" in out
    assert note.read_text() == meanwhile
