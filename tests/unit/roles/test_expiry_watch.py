"""How the role nfs_server installs the watcher of silent clients."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _expiry
from tests.unit.roles.test_host_roles import evaluate, render

ROOT = Path(__file__).parents[3]
SITE: dict[str, t.Any] = {
    "prysm_validators": [{"name": "validator1"}, {"name": "validator2", "data_dir": "/data/prysm/v2"}],
    "nfs_server_export": "/data/prysm",
}


def install(folder: Path) -> None:
    """What the role puts on the NFS server."""
    for name, text in evaluate("nfs_server", "__nfs_server_watch_files", **SITE).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_it_is_off_unless_a_standby_is_wanted() -> None:
    assert evaluate("nfs_server", "nfs_server_watch", **SITE) is False
    assert evaluate("nfs_server", "nfs_server_watch", **SITE, prysm_standby=True) is True


@pytest.mark.parametrize(
    ("watch", "expire_after", "taken"), [(True, 5, True), (True, 2, False), (True, 15, False), (False, 2, True)]
)
def test_a_time_that_is_no_measure_is_refused(watch: bool, expire_after: int, taken: bool) -> None:
    tasks = yaml.safe_load((ROOT / "roles/nfs_server/tasks/preflight.yml").read_text(encoding="utf-8"))
    (task,) = [one["ansible.builtin.assert"] for one in tasks if "Refuse times" in one["name"]]
    given = {**SITE, "nfs_server_watch": watch, "nfs_server_expire_after_seconds": expire_after}
    assert all(evaluate("nfs_server", words, **given) for words in task["that"]) is taken


def test_the_watcher_understands_what_the_role_tells_it(tmp_path: Path) -> None:
    install(tmp_path)
    assert _expiry.read_config(str(tmp_path / "config.json")) == _expiry.Config(
        {"validator1": "/data/prysm/validator1/.validator-lock", "validator2": "/data/prysm/v2/.validator-lock"}, 5
    )


def test_everything_it_imports_is_installed(tmp_path: Path) -> None:
    """As it lies on the NFS server, without the collection."""
    install(tmp_path)
    program = tmp_path / "eth2xk8s-expire.py"
    (tmp_path / "config.json").write_text('{"locks": {}, "expire_after": 2}')
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(program), str(tmp_path / "config.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert re.match(r"expire: .*config\.json: expire_after is 2; it should be", done.stdout)


def test_systemd_hears_of_it_once_its_configuration_is_read(tmp_path: Path) -> None:
    install(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        with subprocess.Popen(
            [sys.executable, "-I", "-B", str(tmp_path / "eth2xk8s-expire.py"), str(tmp_path / "config.json")],
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdout=subprocess.DEVNULL,
        ) as watcher:
            assert manager.recv(100) == b"READY=1"
            watcher.terminate()
    assert "Type=notify" in render("nfs_server", "eth2xk8s-expire.service.j2", **SITE)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    lines = render("nfs_server", "eth2xk8s-expire.service.j2", **SITE)
    assert "ProtectKernelTunables=yes" not in lines, "it writes below /proc/fs"
    assert "CapabilityBoundingSet=CAP_DAC_READ_SEARCH" in lines and "ProtectSystem=strict" in lines
    assert any(line.endswith("/expire/eth2xk8s-expire.py /usr/local/lib/eth2xk8s/expire/config.json") for line in lines)
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "eth2xk8s-expire.service"
    unit.write_text("\n".join(lines) + "\n")
    done = subprocess.run([verify, "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in done.stderr.splitlines() if "eth2xk8s-expire.service" in line] == [], done.stderr
