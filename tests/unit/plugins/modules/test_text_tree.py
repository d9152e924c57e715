from __future__ import annotations

import json
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
