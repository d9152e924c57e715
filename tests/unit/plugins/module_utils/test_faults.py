"""What cannot be looked at is never free, never absent and never less: every path in turn, every way it can fail."""

from __future__ import annotations

import errno
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, as_json, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import (
    _compare,
    _locks,
    _protection,
    _record,
    _replace,
)
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, failing, interchange, write_database

R1 = b"\x01" * 32
KEYS = {key: ([(5, R1)], [(1, 2, R1)]) for key in PUBKEYS[:2]}
#: Below the data directory's parent; the last is the parent itself.
PLACES = [
    "validator1",
    "validator1/validator.db",
    "validator1/.validator-lock",
    "validator1/.validator-transaction",
    "validator1/validator-client-data",
    "history.json",
    "record.json",
    "new/validator.db",
]
#: Names that a failing call may be given without their directory, relative to an open one.
SHORT = {".validator-lock", ".validator-transaction"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_replace, "SETTLE", 0.0)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    write_database(tmp_path / "validator1", KEYS)
    write_database(tmp_path / "new", KEYS)
    (tmp_path / "validator1/.validator-lock").touch(0o600)
    (tmp_path / "validator1/.validator-transaction").write_text("7\n")
    (tmp_path / "history.json").write_bytes(as_json(interchange(KEYS)))
    marks = {key: _record.Key(5, 1, 2) for key in KEYS}
    (tmp_path / "record.json").write_bytes(_record.render_record(_record.Record(ROOT_A, marks)))
    return tmp_path


def held(site: Path) -> bool:
    with _locks.hold_client(str(site / "validator1")) as taken:
        return taken


def replaced(site: Path) -> t.Any:
    wants = (str(site / "history.json"), str(site / "record.json"))
    request = _replace.Request(
        str(site / "validator1/validator.db"), str(site / "new/validator.db"), wants, "v7.1.6", 2
    )
    return _replace.preview(request)


ASKED: dict[str, t.Callable[[Path], t.Any]] = {
    "read_marks": lambda s: _protection.read_marks(str(s / "validator1/validator.db")),
    "read_database": lambda s: _protection.read_database(str(s / "validator1/validator.db")),
    "read_any": lambda s: _protection.read_any(str(s / "validator1")),
    "read_any_marks": lambda s: _protection.read_any_marks(str(s / "validator1")),
    "transaction": lambda s: _boltdb.transaction(str(s / "validator1/validator.db")),
    "read_transaction": lambda s: _replace.read_transaction(str(s / "validator1")),
    "summary of a directory": lambda s: _compare.summarised(str(s / "validator1")),
    "summary of an interchange file": lambda s: _compare.summarised(str(s / "history.json")),
    "summary of a record": lambda s: _compare.summarised(str(s / "record.json")),
    "compare": lambda s: _compare.compare(str(s / "validator1"), str(s / "history.json")),
    "compare with the record": lambda s: _compare.compare(str(s / "new/validator.db"), str(s / "record.json")),
    "lock_holder": lambda s: _locks.lock_holder(str(s / "validator1/validator.db")),
    "hold_client": held,
    "replace": replaced,
}


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ELOOP, errno.ENAMETOOLONG])
@pytest.mark.parametrize("asked", sorted(ASKED))
def test_what_cannot_be_looked_at_is_never_less(
    site: Path, monkeypatch: pytest.MonkeyPatch, asked: str, number: int
) -> None:
    normal = ASKED[asked](site)
    failed = 0
    for place in PLACES:
        name = place.rpartition("/")[2] if place.rpartition("/")[2] in SHORT else place
        for how in ("open", "read"):
            with failing(monkeypatch, name, number, how) as hits:
                try:
                    result = ASKED[asked](site)
                except (StakingError, OSError):
                    failed += 1
                    continue
            # EACCES and EAGAIN are what a lock says that another process has.
            if asked == "hold_client" and number == errno.EACCES and result is False:
                failed += 1
                continue
            if asked == "lock_holder" and number == errno.EACCES and result is not None:
                failed += 1
                continue
            assert not hits, f"{place} {how}: {hits}"
            assert result == normal, f"{place} {how}"
    assert failed >= 2


@pytest.mark.parametrize("call", ["flock", "fcntl"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOLCK, errno.ESTALE])
def test_a_lock_that_cannot_be_taken_is_not_held(
    site: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_args: t.Any) -> t.NoReturn:
        raise OSError(number, "no")

    monkeypatch.setattr(f"fcntl.{call}", fail)
    with pytest.raises(StakingError):
        held(site)
    with pytest.raises(StakingError):
        _locks.lock_holder(str(site / "validator1/validator.db"))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR])
def test_only_these_say_that_nothing_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with failing(monkeypatch, "x", number):
        assert not is_there(str(tmp_path / "x"))
