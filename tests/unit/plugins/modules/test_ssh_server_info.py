"""What is read of a machine's SSH server, with sshd itself where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _ssh_server, _sshd
from ansible_collections.eth2xk8s.staking.plugins.modules import ssh_server_info

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")

# As sshd 9.2: fatal without the local port, whatever else is said of the connection.
MATCHES_A_PORT = """\
#!/bin/sh
case "$*" in
  *lport=*) echo "port 22"; echo "port 2222"; echo "listenaddress [::]:22" ;;
  *) echo "'Match LocalPort' in configuration but 'lport' not in connection test specification." >&2; exit 255 ;;
esac
"""
BROKEN = "#!/bin/sh\necho '/etc/ssh/sshd_config: line 3: Bad configuration option: Prot' >&2\nexit 255\n"


def run(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, t.Any]:
    program = tmp_path / "sshd"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setattr(_ssh_server, "is_directory", lambda _path: True)
    monkeypatch.setattr(
        AnsibleModule, "get_bin_path", lambda _self, name, **_options: str(program) if name == "sshd" else None
    )
    with patch_module_args({}), pytest.raises(SystemExit):
        ssh_server_info.main()
    return json.loads(capsys.readouterr().out)


def test_ports_are_read_where_a_match_asks_for_the_local_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(MATCHES_A_PORT, tmp_path, monkeypatch, capsys)
    assert (found["configured_ports"], found["problems"]) == ([22, 2222], [])


def test_a_configuration_that_sshd_refuses_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(BROKEN, tmp_path, monkeypatch, capsys)
    assert found["problems"] == ["sshd -T failed: /etc/ssh/sshd_config: line 3: Bad configuration option: Prot"]


@pytest.fixture(scope="module")
def host_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sshd answers nothing without one."""
    if SSHD is None:
        pytest.skip("sshd is not installed")
    path = tmp_path_factory.mktemp("sshd") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def ask(configuration: str, host_key: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "sshd_config"
    path.write_text(configuration)
    argv = [str(SSHD), "-T", "-C", _sshd.CONNECTION, "-f", str(path), "-h", str(host_key)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "Privilege separation" in done.stderr or "Missing privilege separation" in done.stderr:
        pytest.skip("sshd is not set up here: " + done.stderr.strip())
    return done


@pytest.mark.parametrize(
    "condition",
    [
        "LocalPort 2222",
        "LocalPort 22",
        "LocalAddress 10.0.0.1",
        "Address 10.0.0.0/8,!10.0.0.1",
        "Host *.example.org",
        "User git",
        "Group sudo",
        "RDomain vrf1",
        "User git LocalPort 2222 LocalAddress ::1 Address fe80::/10 Host other Group sudo",
    ],
)
def test_sshd_answers_whatever_a_match_asks_for(condition: str, host_key: Path, tmp_path: Path) -> None:
    done = ask(f"Port 22\nPort 2222\nMatch {condition}\n  DenyUsers *\n", host_key, tmp_path)
    assert done.returncode == 0, done.stderr
    assert _sshd.effective_ports(done.stdout) == [22, 2222]


@pytest.mark.parametrize("line", ["Port 33", "ListenAddress 10.0.0.1"])
def test_no_match_block_can_change_the_ports(line: str, host_key: Path, tmp_path: Path) -> None:
    included = tmp_path / "included"
    included.write_text(line + "\n")
    for block in (line, f"Include {included}"):
        done = ask(f"Match LocalPort 22\n  {block}\n", host_key, tmp_path)
        assert "not allowed within a Match block" in done.stderr
