"""The artifact that people install: everything the playbooks need, and nothing that lies about in a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What an installed collection is made of.
SHIPPED = ("changelogs/", "docs/", "meta/", "playbooks/", "plugins/", "roles/")
SINGLE = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"}
#: What may lie in a checkout and must never leave it, whatever it is called; much is called as files of ours are.
PLANTED = (
    "keystore-m_12381_3600_0_0_0-1.json",
    "roles/prysm_wallet/files/keystore-m_12381_3600_0_0_0-1.json",
    "roles/prysm_wallet/files/keys/1.json",
    "roles/prysm_wallet/files/own.yml",
    "roles/prysm_wallet/vars/vault.yml",
    "roles/prysm_helm/tasks/own.yml",
    "roles/prysm_helm/files/jwt.hex",
    "roles/prysm_helm/files/validator.db",
    "roles/prysm_helm/files/eth2prysm/values-mainnet.yaml",
    "roles/prysm_helm/templates/secret.yml.j2",
    "playbooks/keystore-1.json",
    "playbooks/passwords.txt",
    "playbooks/passwords.yml",
    "playbooks/group_vars/all/vault.yml",
    "playbooks/host_vars/nfs-server.yml",
    "playbooks/templates/mnemonic.j2",
    "plugins/all-accounts.keystore.json",
    "plugins/modules/own_secret.py",
    "tests/keystore-2.json",
    "examples/keystores/own/keystore-3.json",
    "inventory/mainnet/group_vars/all/own.yml",
    "docs/mnemonic.md",
    "docs/validator.db",
    "changelogs/fragments/own.yml",
    "meta/own.yml",
    "dist/own.yml",
    "README.md.orig",
)


def tracked() -> list[str]:
    """What git knows, or will: new files count before they are committed."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def wanted() -> set[str]:
    return {name for name in tracked() if name.startswith(SHIPPED) or name in SINGLE}


def checkout(place: Path, umask: int) -> Path:
    """A checkout as another person has it, in which keystores lie about."""
    before = os.umask(umask)
    try:
        for name in tracked():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place / name)
        for name in PLANTED:
            assert not (place / name).exists()
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("{}")
    finally:
        os.umask(before)
    return place


def build(place: Path, umask: int) -> dict[str, Path]:
    """The three forms, by the ends of their names."""
    run(place, umask, [sys.executable, "bin/dist", "build", "out"])
    run(place, umask, [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", "out/source"])
    made = [path for path in (place / "out").glob("**/*") if path.is_file()]
    return {"sdist" if path.parent.name == "source" else path.suffix: path for path in made}


def run(place: Path, umask: int, words: list[str]) -> None:
    done = subprocess.run(
        words, cwd=place, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, umask=umask,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Path]]:
    """What two people build of the same files."""
    return [build(checkout(tmp_path_factory.mktemp("checkout"), umask), umask) for umask in (0o022, 0o077)]


def inside(archive: Path) -> set[str]:
    """The files in it, as they lie in the collection."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as packed:
            names = {name for name in packed.namelist() if ".dist-info/" not in name}
        prefix = "ansible_collections/eth2xk8s/staking/"
        assert {name for name in names if not name.startswith(prefix)} == set()
        return {name[len(prefix) :] for name in names}
    with tarfile.open(archive) as tar:
        names = {entry.name for entry in tar.getmembers() if not entry.isdir()}
    if archive.parent.name == "source":
        names = {name.partition("/")[2] for name in names}
    return names


#: What each form needs beside the collection's own files.
MADE: dict[str, set[str]] = {
    ".gz": {"MANIFEST.json", "FILES.json"},
    ".whl": {"galaxy.yml"},
    "sdist": {"PKG-INFO", "galaxy.yml", "pyproject.toml", "bin/hatch_build.py", ".gitignore"},
}


def test_the_list_is_what_git_knows() -> None:
    _, _, listed = (ROOT / "galaxy.yml").read_text(encoding="utf-8").partition("\n  directives:\n")
    assert listed == "".join(f"    - include {name}\n" for name in sorted(wanted())), "run `make manifest`"


@pytest.mark.thorough
@pytest.mark.parametrize("form", MADE)
def test_what_is_used_is_shipped_and_nothing_else(builds: list[dict[str, Path]], form: str) -> None:
    found = inside(builds[0][form]) - MADE[form]
    assert found - wanted() == set()
    assert wanted() - found == set()
    assert inside(builds[0][form]) & set(PLANTED) == set()


@pytest.mark.thorough
@pytest.mark.parametrize("form", MADE)
def test_two_builds_are_one(builds: list[dict[str, Path]], form: str) -> None:
    assert builds[0][form].name == builds[1][form].name
    assert builds[0][form].read_bytes() == builds[1][form].read_bytes()


@pytest.mark.thorough
def test_a_list_that_names_what_is_not_there_builds_nothing(tmp_path: Path) -> None:
    place = checkout(tmp_path, 0o022)
    (place / "playbooks/templates/status.txt.j2").unlink()
    done = subprocess.run(
        [sys.executable, "bin/dist", "build", "out"], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "playbooks/templates/status.txt.j2" in done.stderr
    assert list((place / "out").glob("*")) == []
