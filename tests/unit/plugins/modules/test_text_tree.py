from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.modules import text_tree

FILES = {"Chart.yaml": "name: x\n", "templates/a.yaml": "{{ .Values.x }}\n"}


def run(capsys: pytest.CaptureFixture[str], **params: t.Any) -> dict[str, t.Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        text_tree.main()
    return json.loads(capsys.readouterr().out)


def test_writes_what_differs_and_only_that(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    dest = tmp_path / "chart"
    assert run(capsys, dest=str(dest), files=FILES)["written"] == ["Chart.yaml", "templates/a.yaml"]
    assert run(capsys, dest=str(dest), files=FILES)["changed"] is False
    (dest / "Chart.yaml").write_text("name: y\n")
    assert run(capsys, dest=str(dest), files=FILES)["written"] == ["Chart.yaml"]
    assert (dest / "templates/a.yaml").read_text() == "{{ .Values.x }}\n"


def test_check_mode_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    dest = tmp_path / "chart"
    assert run(capsys, dest=str(dest), files=FILES, _ansible_check_mode=True)["changed"] is True
    assert not dest.exists()


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a//b", "a/../../x"])
def test_a_path_outside_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, path: str) -> None:
    result = run(capsys, dest=str(tmp_path / "chart"), files={path: "x"})
    assert "not a path below" in result["msg"]


def test_absolute_paths_without_a_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one, other = tmp_path / "one/note", tmp_path / "other/note"
    assert run(capsys, files={str(one): "1\n", str(other): "2\n"})["changed"] is True
    assert (one.read_text(), other.read_text()) == ("1\n", "2\n")
    assert "is not a path below" in run(capsys, files={f"{tmp_path}/../x": "x"})["msg"]


def test_writes_over_nothing_where_that_is_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("of another\n")
    result = run(capsys, dest=str(tmp_path), files={"note": "x", "new": "y"}, overwrite=False, private=True)
    assert result["written"] == ["new"]
    assert note.read_text() == "of another\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_missing_directory_is_an_error_where_none_is_to_be_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = run(capsys, files={str(tmp_path / "gone/note"): "x"}, make_directories=False)
    assert "gone" in result["msg"]
    assert not (tmp_path / "gone").exists()


def test_what_differs_in_its_mode_alone_is_written_anew(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("x")
    note.chmod(0o666)
    assert run(capsys, dest=str(tmp_path), files={"note": "x"})["changed"] is True
    assert note.stat().st_mode & 0o777 == 0o644
    assert run(capsys, dest=str(tmp_path), files={"note": "x"})["changed"] is False
    assert run(capsys, dest=str(tmp_path), files={"note": "x"}, private=True)["changed"] is True
    assert note.stat().st_mode & 0o777 == 0o600


def test_shows_what_changes_but_nothing_private(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "note").write_text("old\n")
    shown = run(capsys, dest=str(tmp_path), files={"note": "new\n", "more": "more\n"}, _ansible_check_mode=True)["diff"]
    assert [(one["before"], one["after"]) for one in shown] == [("", "more\n"), ("old\n", "new\n")]
    assert run(capsys, dest=str(tmp_path), files={"note": "secret"}, private=True)["diff"] == []


def test_files_of_another_user(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(capsys, dest=str(tmp_path), files={"note": "x"}, owner=os.getuid(), group=os.getgid())
    assert ((tmp_path / "note").stat().st_uid, (tmp_path / "note").stat().st_gid) == (os.getuid(), os.getgid())
