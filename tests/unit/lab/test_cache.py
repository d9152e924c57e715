"""The cache: whole entries or none, by content."""

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import pytest

from lab.cache import cached, digest


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def write(text: str) -> t.Callable[[Path], None]:
    def build(work: Path) -> None:
        (work / "thing").write_text(text)

    return build


def test_an_entry_is_made_once() -> None:
    first = cached("thing", ["a"], write("one"))
    assert cached("thing", ["a"], write("two")) == first
    assert (first / "thing").read_text() == "one"


def test_other_inputs_are_another_entry(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("1")
    first = cached("thing", [source], write("one"))
    source.write_text("2")
    assert cached("thing", [source], write("two")) != first


def test_a_failed_build_leaves_nothing() -> None:
    def fail(work: Path) -> None:
        (work / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("thing", ["a"], fail)
    assert (cached("thing", ["a"], write("whole")) / "thing").read_text() == "whole"


def test_what_a_killed_build_left_is_not_taken_for_an_entry(tmp_path: Path) -> None:
    place = tmp_path / "cache/eth2xk8s-lab/thing" / f"{digest(['a'])}.making"
    place.mkdir(parents=True)
    (place / "half").write_text("half")
    entry = cached("thing", ["a"], write("whole"))
    assert sorted(path.name for path in entry.iterdir()) == ["thing"]


def test_two_that_need_one_thing_make_it_once() -> None:
    made = []

    def build(work: Path) -> None:
        made.append(work)
        (work / "thing").write_text("x")

    threads = [threading.Thread(target=cached, args=("thing", ["a"], build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_digest_tells_a_moved_boundary() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
