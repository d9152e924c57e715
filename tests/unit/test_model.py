"""The formal model of tests/model, searched whole by SPIN: it breaks no promise, and needs each of its protections.

docs/model.md is the table of these runs in plain words. It says as well how a trace is read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

from lab import host
from lab.errors import LabError

MODELS = Path(__file__).parents[1] / "model"
DOCUMENT = Path(__file__).parents[2] / "docs/model.md"
PROGRAMS = {"spin": "spin", "gcc": "gcc"}
FILES = {Path("/usr/include/stdlib.h"): "libc6-dev"}
#: What is asked of a run: -DASK=... asks for one kind alone, so that an error is of that kind.
DOUBLE, LESS, TWO, NOBODY_SIGNS = "DOUBLE", "LESS", "TWO", "LIVE"
MIB = 1800


class Found(t.NamedTuple):
    """What the search says."""

    errors: int
    states: int
    text: str


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    missing += [package for path, package in FILES.items() if not path.exists()]
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            host.install(PROGRAMS, FILES, "The formal model")
        except LabError as exc:
            pytest.fail(str(exc))
        return
    words = f"the formal model needs {' and '.join(missing)}: `apt-get install spin gcc libc6-dev` as root"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


def defined(*names: str) -> list[str]:
    return [f"-D{name}" for name in names]


def search(folder: Path, model: str, *names: str, whole: bool, depth: int = 400000) -> Found:
    """All states of a model with these definitions, or those up to the first error."""
    live = "LIVE" in names

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    said = run("spin", "-a", *defined(*names), str(MODELS / f"{model}.pml"))
    assert "rror" not in said, said
    kind = ["-DNFAIR=3"] if live else ["-DSAFETY", "-DNOFAIR"]
    # A search of all states is worth a better program, one that soon finds an error is not.
    run("gcc", "-w", "-O1" if whole else "-O0", *kind, "-DNOREDUCE", f"-DMEMLIM={MIB}", "-o", "pan", "pan.c")
    text = run("./pan", f"-m{depth}", "-w22" if whole else "-w18", *(["-a", "-f"] if live else []))
    errors, states = re.search(r"errors: (\d+)", text), re.search(r"([\d.e+]+) states, stored", text)
    assert errors and states, text
    # What was cut short proves nothing.
    for words in ("max search depth too small", "out of memory", "hash table too full", "resources exhausted"):
        assert words not in text, text
    assert int(errors[1]) or "Search not completed" not in text, text
    return Found(int(errors[1]), int(float(states[1])), text)


def flags(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: model, definitions: the mechanism as it is.
RIGHT = [
    ("fence", ""),
    ("fence", "LIVE"),
    ("fence", "UNFENCED ONE_REPLICA"),
    ("move", "MOVE_KEY"),
    ("move", "MOVE_KEY UNFENCED"),
    ("move", "ROLLBACK"),
    ("move", "MOVE_CLIENT"),
    ("move", "MOVE_CLIENT UNFENCED"),
]
DEEPER = [
    ("fence", "SLOTS=3"),
    ("move", "MOVE_KEY SLOTS=3"),
    ("move", "ROLLBACK SLOTS=3"),
    ("move", "MOVE_CLIENT SLOTS=3"),
]

#: model, what is taken away, and what it breaks.
REMOVED = [
    ("fence", "NO_LOCK_ACROSS_EXEC", DOUBLE),
    ("fence", "NO_FENCED_WRITES", DOUBLE),
    ("fence", "NO_LOCAL_LOCK_CHECK", DOUBLE),
    ("fence", "NO_VERSION_CHECK", DOUBLE),
    ("fence", "NO_IDENTITY_CHECK", LESS),
    ("fence", "DELEGATIONS", DOUBLE),
    ("fence", "RECOVER_LOST_LOCKS", LESS),
    ("fence", "NO_CLIENT_LIST", LESS),
    ("fence", "NO_BEAT", TWO),
    ("fence", "UNFENCED", TWO),
    ("fence", "CHECK_BEFORE_LOCK", LESS),
    ("fence", "NO_HISTORY_CHECK", LESS),
    ("fence", "NO_RISING_NOTE", LESS),
    ("fence", "NO_HISTORY_WATCHER", LESS),
    ("fence", "NO_WATCH_BELOW", LESS),
    ("fence", "LIVE TOO_EAGER", NOBODY_SIGNS),
    ("fence", "LIVE NO_EXPIRY", NOBODY_SIGNS),
    ("fence", "LIVE ONE_REPLICA", NOBODY_SIGNS),
    ("move", "MOVE_KEY NO_HOLD", DOUBLE),
    ("move", "MOVE_KEY NO_STOP_PROOF", LESS),
    ("move", "MOVE_KEY UNFENCED NO_NODE_PROOF", TWO),
    ("move", "MOVE_KEY NO_MERGE", LESS),
    ("move", "ROLLBACK NO_VERSION_NOTE", LESS),
    ("move", "ROLLBACK NO_REWRITE", LESS),
    ("move", "MOVE_CLIENT NO_RECORD_CHECK", LESS),
    ("move", "MOVE_CLIENT UNFENCED NO_NODE_PROOF", TWO),
]

#: What nothing but another protection makes up for: both taken away.
BOTH = [
    ("move", "MOVE_KEY NO_NODE_PROOF NO_LOCK_PROOF", LESS),
    ("move", "MOVE_KEY NO_NODE_PROOF NO_GRACE_WAIT", LESS),
    ("move", "MOVE_KEY NO_NODE_PROOF NO_SECOND_LOOK", LESS),
    ("move", "MOVE_KEY NO_LOCKS_HELD NO_STOP_PROOF", TWO),
    ("move", "ROLLBACK NO_LOCKS_HELD NO_STOP_PROOF", LESS),
    ("move", "ROLLBACK NO_LOCKS_HELD NO_HOLD", LESS),
    ("move", "ROLLBACK NO_REPLACE_PROOF NO_HOLD", LESS),
    ("move", "ROLLBACK NO_REPLACE_PROOF NO_STOP_PROOF", LESS),
]
#: Each of those alone, and others that another protection makes up for: nothing breaks.
SPARED = [
    ("fence", "NO_GRACE"),
    ("fence", "NO_LOCK_ACROSS_EXEC NO_COPIES"),
    ("fence", "NO_BEAT NO_COPIES"),
    ("fence", "CHECK_BEFORE_LOCK NO_COPIES"),
    ("fence", "ONE_REPLICA FORCE"),
    ("move", "MOVE_KEY NO_NODE_PROOF"),
    ("move", "MOVE_KEY NO_LOCK_PROOF"),
    ("move", "MOVE_KEY NO_GRACE_WAIT"),
    ("move", "MOVE_KEY NO_SECOND_LOOK"),
    ("move", "MOVE_KEY NO_LOCKS_HELD"),
    ("move", "MOVE_KEY NO_REPLACE_PROOF"),
    ("move", "MOVE_KEY NO_ABORT_RULE"),
    ("move", "ROLLBACK NO_HOLD"),
    ("move", "ROLLBACK NO_STOP_PROOF"),
    ("move", "ROLLBACK NO_LOCKS_HELD"),
    ("move", "ROLLBACK NO_REPLACE_PROOF"),
    ("move", "MOVE_CLIENT NO_STOP_PROOF"),
    ("move", "MOVE_CLIENT UNFENCED NO_LOCK_PROOF"),
]

#: What the mechanism does not stand; docs/model.md names each.
LIMITS = [
    ("fence", "LATE_WATCHER", LESS),
    ("fence", "BACK_DURING_START", LESS),
    ("fence", "NOTE_BACK", LESS),
    ("fence", "LOCK_REPLACED", TWO),
    ("fence", "UNFENCED ONE_REPLICA FORCE", TWO),
    ("move", "MOVE_CLIENT LATE_RECORD", LESS),
]


def passes(folder: Path, model: str, names: str) -> Found:
    found = search(folder, model, *flags(names), whole=True)
    assert found.errors == 0, found.text
    assert found.states > 1000
    return found


@pytest.mark.parametrize(("model", "names"), RIGHT)
def test_no_promise_is_broken(tmp_path: Path, model: str, names: str) -> None:
    found = passes(tmp_path, model, names)
    if not {"LIVE", "UNFENCED"} & set(flags(names)):
        # Each step can be taken; but for the end of a process, which goes on for ever.
        unreached = re.findall(r"unreached in proctype \w+\n((?:\t.*\n)+)", found.text)
        assert unreached and all(len(re.findall(r"state \d+", one)) <= 1 for one in unreached), found.text


def test_a_search_that_was_cut_short_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="max search depth too small"):
        search(tmp_path, "move", "MOVE_CLIENT", whole=False, depth=100)


@pytest.mark.thorough
@pytest.mark.parametrize(("model", "names"), [*DEEPER, *SPARED])
def test_nor_with_more_slots_or_where_another_protection_makes_up_for_it(
    tmp_path: Path, model: str, names: str
) -> None:
    passes(tmp_path, model, names)


@pytest.mark.parametrize(("model", "names", "kind"), [*REMOVED, *BOTH, *LIMITS])
def test_without_a_protection_a_promise_is_broken(tmp_path: Path, model: str, names: str, kind: str) -> None:
    found = search(tmp_path, model, *flags(names), *([f"ASK={kind}"] if kind != NOBODY_SIGNS else []), whole=False)
    assert found.errors == 1, found.text
    assert ("acceptance cycle" if kind == NOBODY_SIGNS else "assertion violated") in found.text
    assert list(tmp_path.glob("*.trail"))


@pytest.mark.parametrize("model", ["fence", "move"])
def test_every_switch_of_a_model_is_tried_and_explained(model: str) -> None:
    text = (MODELS / f"{model}.pml").read_text(encoding="utf-8")
    switches = set(re.findall(r"^#if(?:n?def | .*?defined\()(\w+)", text, re.M)) - {"ASK", "SLOTS"}
    runs = [*RIGHT, *DEEPER, *SPARED, *((run[0], run[1]) for run in (*REMOVED, *BOTH, *LIMITS))]
    tried = {name for one, names in runs if one == model for name in flags(names)}
    assert switches <= tried
    words = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in sorted(switches) if f"`{name}`" not in words] == []
