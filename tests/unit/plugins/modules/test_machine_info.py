"""The probe of the host roles: what it says of paths, units, packages and disks."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.modules import machine_info


def run(capsys: pytest.CaptureFixture[str], **params: t.Any) -> dict[str, t.Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        machine_info.main()
    return json.loads(capsys.readouterr().out)


def test_paths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a1").write_text("x")
    (tmp_path / "a2").mkdir(mode=0o711)
    (tmp_path / "null").symlink_to("/dev/null")
    result = run(capsys, paths=[f"{tmp_path}/a*", f"{tmp_path}/null", f"{tmp_path}/gone"])
    assert result["changed"] is False
    found = {Path(path).name: entry for path, entry in result["paths"].items()}
    assert set(found) == {"a1", "a2", "null"}
    assert (found["a1"]["type"], found["a2"]["type"], found["null"]["target"]) == ("file", "directory", "/dev/null")
    assert found["a2"]["mode"] == "0711"
    assert found["a1"]["sha256"].startswith("2d711642")


def test_space_of_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    assert machine_info.space(f"{tmp_path}/not/yet")["size"] == machine_info.space(str(tmp_path))["size"]


UNITS = """\
Names=rpcbind.service
ActiveState=inactive
UnitFileState=masked

Names=ssh.service sshd.service
ActiveState=active
UnitFileState=enabled
"""


def test_units() -> None:
    found = machine_info.parse_units(UNITS)
    assert found["rpcbind.service"] == {"active": False, "file_state": "masked"}
    assert found["sshd.service"] == {"active": True, "file_state": "enabled"}


@pytest.mark.parametrize(
    ("line", "installed", "broken"),
    [
        pytest.param("ii \tufw", ["ufw"], [], id="installed"),
        pytest.param("hi \tmicrok8s", ["microk8s"], [], id="held"),
        pytest.param("rc \tntp", [], [], id="removed-with-configuration"),
        pytest.param("iF \tchrony", [], ["chrony"], id="half-configured"),
        pytest.param("iU \tchrony", [], ["chrony"], id="unpacked"),
        pytest.param("iHR\tchrony", [], ["chrony"], id="needs-reinstallation"),
        pytest.param("it \tman-db", [], ["man-db"], id="trigger-pending"),
    ],
)
def test_packages(line: str, installed: list[str], broken: list[str]) -> None:
    assert machine_info.parse_packages(line + "\n") == (installed, broken)
