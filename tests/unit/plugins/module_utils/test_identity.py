"""A data directory that is not the client's own is never taken for a new one."""

from __future__ import annotations

import itertools
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _identity

A, B, NEW = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")


def decide(installed: str, data: str | None, wallet: str | None, adopt: bool = False) -> str | None:
    """The identity, or None for a refusal."""
    client = _identity.Client("validator1", "/data", "/wallet", installed)
    try:
        return _identity.decide(client, data, wallet, NEW, adopt).identity
    except StakingError:
        return None


def test_every_combination() -> None:
    """Only what agrees is accepted; only where nothing knows an identity is a new one made."""
    for installed, data, wallet in itertools.product(("", A, B), (None, A, B), (None, A, B)):
        known = {one for one in (installed, data, wallet) if one}
        decided = decide(installed, data, wallet)
        if not known:
            assert decided == NEW
        elif len(known) > 1 or data is None:
            assert decided is None, (installed, data, wallet)
        else:
            assert {decided} == known


def test_an_operator_may_adopt_a_restored_directory_but_not_another_clients() -> None:
    assert decide(A, None, A, adopt=True) == A
    assert decide(A, B, A, adopt=True) is None


def test_the_disk_is_told_apart_from_a_first_start(tmp_path: Path) -> None:
    client = _identity.Client("validator1", str(tmp_path / "data"), str(tmp_path / "wallet"))
    with pytest.raises(StakingError, match="not there"):
        _identity.look(client, NEW)
    for name in ("data", "wallet"):
        (tmp_path / name).mkdir()
    first = _identity.look(client, NEW)
    _identity.write(first, -1, -1)
    assert _identity.look(client, "another") == (NEW, ())
    (tmp_path / "data/.validator-id").unlink()  # the disk is not mounted: the directory below it is empty
    with pytest.raises(StakingError, match="Is the data disk mounted"):
        _identity.look(client, "another")


@pytest.mark.parametrize("content", [b"", b"\xff", b"x", A.upper().encode(), A.encode() + b"0"])
def test_what_is_no_identity_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".validator-id").write_bytes(content)
    with pytest.raises(StakingError):
        _identity.read(str(tmp_path))


def test_an_identity_that_cannot_be_looked_at_is_not_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> t.NoReturn:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.stat", fail)
    with pytest.raises(StakingError, match="Input/output error"):
        _identity.read(str(tmp_path))
