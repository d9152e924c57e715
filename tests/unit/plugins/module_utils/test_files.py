"""What lies at a path: absent, there, or not to be looked at."""

from __future__ import annotations

import errno
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _files


@pytest.mark.parametrize("ask", [_files.is_there, _files.is_directory, _files.is_file, _files.status])
@pytest.mark.parametrize("number", sorted(set(errno.errorcode) - {errno.ENOENT, errno.ENOTDIR}))
def test_what_cannot_be_looked_at_is_not_absent(
    ask: t.Callable[[str], object], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> t.NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.stat", fail)
    with pytest.raises(_files.UnreadableError, match=r"/x/validator\.db: "):
        ask("/x/validator.db")


@pytest.mark.parametrize("path", ["nothing", "file/below", "dangling/below"])
def test_absent_is_absent(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    place = str(tmp_path / path)
    assert not (_files.is_there(place) or _files.is_directory(place) or _files.is_file(place))
    assert _files.is_there(str(tmp_path / "dangling")) and not _files.is_file(str(tmp_path / "dangling"))
