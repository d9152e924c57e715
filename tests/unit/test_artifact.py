"""The artifact that people install: everything the playbooks need, and nothing that lies about in a checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What an installed collection is made of.
SHIPPED = ("changelogs/", "docs/", "meta/", "playbooks/", "plugins/", "roles/")
SINGLE = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"}
#: What may lie in a checkout and must never leave it.
PLANTED = (
    "keystore-m_12381_3600_0_0_0-1.json",
    "roles/prysm_wallet/files/keystore-m_12381_3600_0_0_0-1.json",
    "playbooks/keystore-1.json",
    "playbooks/passwords.txt",
    "plugins/all-accounts.keystore.json",
    "tests/keystore-2.json",
    "examples/keystores/own/keystore-3.json",
    "inventory/mainnet/group_vars/all/own.yml",
    "docs/validator.db",
    "roles/prysm_helm/files/validator.db",
)


def tracked() -> list[str]:
    """What git knows, or will: new files count before they are committed."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def build(checkout: Path) -> set[str]:
    """The files in the tarball of a checkout."""
    tool = Path(sys.executable).parent / "ansible-galaxy"
    done = subprocess.run(
        [tool, "collection", "build", "--force", "--output-path", checkout / "out", checkout],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (archive,) = (checkout / "out").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        listed = json.load(tar.extractfile("FILES.json"))["files"]  # type: ignore[arg-type]
    return {entry["name"] for entry in listed if entry["ftype"] == "file"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The tarball's files, made from a checkout in which keystores lie about."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in tracked():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    for name in PLANTED:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("{}")
    return build(checkout)


def test_everything_that_is_used_is_shipped(shipped: set[str]) -> None:
    wanted = {name for name in tracked() if name.startswith(SHIPPED) or name in SINGLE}
    assert wanted - shipped == set()


def test_nothing_else_is(shipped: set[str]) -> None:
    assert {name for name in shipped if not name.startswith(SHIPPED) and name not in SINGLE} == set()
    assert shipped & set(PLANTED) == set()
