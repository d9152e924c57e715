"""Playbooks that say all they can, and a search for secrets in what they said, logged and left behind."""

from __future__ import annotations

import base64
import subprocess
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _keystore
from lab import ROOT

from .conftest import KEYSTORES, Lab, Play

#: What every command of a file's tests printed.
OUTPUTS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ansible's own log of all runs."""
    path = tmp_path_factory.mktemp("log") / "ansible.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_LOG_PATH", str(path))
        yield path


@pytest.fixture(scope="module")
def vault(lab: Lab) -> dict[str, str]:
    """The passwords of the site's inventory."""
    text = lab.command("exec", "--", "ansible-vault", "view", "inventory/testnet/group_vars/all/vault.yml").stdout
    return t.cast("dict[str, str]", yaml.safe_load(text))


def play(lab: Lab, *words: str, check: bool = True) -> Play:
    """With everything said that can be said."""
    done = lab.play(*words, "-vvv", "--diff", check=check)
    OUTPUTS.append(done.output)
    return done


def assert_no_secret(lab: Lab, vault: dict[str, str], log: Path) -> None:
    """Every secret of these runs, in every spelling, in all that was printed, logged or left on a machine.

    Left out is where it must be: the memory of the cluster (its database, and the files it shows to the pods), and the
    test's own inventory.
    """
    assert len(vault) >= 5
    secrets = [value for value in vault.values() if isinstance(value, str)]
    secrets += [base64.b64encode(value.encode()).decode() for value in secrets]
    for path in KEYSTORES:
        keystore = _keystore.parse_keystore(path.read_bytes(), str(path))
        raw = keystore.open(vault[f"vault_{path.parent.name}_keystore_password"])
        secrets += [raw.hex(), base64.b64encode(raw).decode(), repr(raw), str(int.from_bytes(raw, "big"))]
    for text in [*OUTPUTS, log.read_text()]:
        assert [secret[:4] for secret in secrets if secret in text] == []
    patterns = base64.b64encode("\n".join(secrets).encode()).decode()
    places = "/root /home /tmp /var/tmp /var/log /etc /opt /srv /data /run /var/snap /var/lib /dev/shm"
    for machine in ("nfs", "master", "worker"):
        found = lab.command("ssh", machine, "--", "true", check=False)
        assert found.returncode == 0
        script = f"base64 -d | grep -rIlaF -D skip -f - {places} 2>/dev/null || true"
        done = subprocess.run(
            [str(ROOT / "bin/lab"), "ssh", machine, "--", script],
            cwd=ROOT, input=patterns, capture_output=True, text=True, timeout=600, check=True,
        )  # fmt: skip
        left = [
            line for line in done.stdout.splitlines()
            if "/etcd" not in line and "kubernetes.io~secret" not in line
        ]  # fmt: skip
        assert left == [], machine
