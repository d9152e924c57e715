"""The liveness probe of a validator client: is there a connection of its own that nothing answers on?"""

from __future__ import annotations

import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.test_guard import BUSYBOX, CHART, busybox_alone

PROBE = CHART / "files/connections.sh"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENS, ESTABLISHED, DIALS = "0A", "01", "02"


class Line(t.NamedTuple):
    """A connection as the kernel lists it."""

    state: str
    own: int
    other: int
    unanswered: int = 0
    wide: bool = False

    def __str__(self) -> str:
        local, remote = ("0" * 32, "F" * 32) if self.wide else ("0200620A", "0A00630A")
        return (
            f"   0: {local}:{self.own:04X} {remote}:{self.other:04X} {self.state} 00000D2A:00000000 01:00000020"
            f" {self.unanswered:08X}     0        0 1234 2 0000000000000000 20 4 30 10 -1\n"
        )


def probe(folder: Path, lines: t.Iterable[Line], shell: str = "sh") -> subprocess.CompletedProcess[str]:
    tables = {wide: folder / f"tcp{6 if wide else ''}" for wide in (False, True)}
    for wide, path in tables.items():
        path.write_text(HEADER + "".join(str(line) for line in lines if line.wide == wide))
    environment, command = {}, [str(shutil.which("sh"))]
    if shell == "busybox":
        environment, command = {"PATH": str(busybox_alone())}, [str(BUSYBOX), "sh"]
    return subprocess.run(
        [*command, str(PROBE), *map(str, tables.values())],
        capture_output=True, text=True, check=False, timeout=20, env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", pytest.param("busybox", marks=pytest.mark.skipif(not BUSYBOX, reason="none"))])
@pytest.mark.parametrize(
    ("line", "silent"),
    [
        pytest.param(Line(ESTABLISHED, 40000, 4000), False, id="it answers"),
        pytest.param(Line(ESTABLISHED, 40000, 4000, 5), False, id="6 seconds"),
        pytest.param(Line(ESTABLISHED, 40000, 4000, 6), True, id="13 seconds"),
        pytest.param(Line(ESTABLISHED, 40000, 4000, 15), True, id="minutes"),
        pytest.param(Line(ESTABLISHED, 40000, 4000, 16), True, id="two digits"),
        pytest.param(Line(ESTABLISHED, 40000, 4000, 6, wide=True), True, id="IPv6"),
        pytest.param(Line(DIALS, 40000, 4000, 6), False, id="it is being opened"),
        pytest.param(Line(ESTABLISHED, 8081, 40000, 9), False, id="who reads the metrics is gone"),
    ],
)
def test_a_connection_that_nothing_answers_on_is_told(tmp_path: Path, line: Line, silent: bool, shell: str) -> None:
    done = probe(tmp_path, [Line(LISTENS, 8081, 0, wide=True), line], shell)
    assert (done.returncode, done.stderr) == (int(silent), "")
    assert ("connection to port 4000 any more" in done.stdout) == silent


def test_no_table_is_no_reason(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(PROBE), str(tmp_path / "none")], capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


LINES = st.builds(
    Line, st.sampled_from([LISTENS, ESTABLISHED, DIALS, "06"]), st.integers(1, 9), st.integers(1, 65535),
    st.integers(0, 20), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=6))
def test_only_what_the_client_opened_counts(tmp_path: Path, lines: list[Line]) -> None:
    accepts = {line.own for line in lines if line.state == LISTENS}
    silent = any(line.state == ESTABLISHED and line.unanswered >= 6 and line.own not in accepts for line in lines)
    assert probe(tmp_path, lines).returncode == int(silent)
