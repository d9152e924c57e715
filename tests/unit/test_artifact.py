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
    ".env",
    ".vault_pass",
    "docs/.env",
    "meta/id_rsa",
    "roles/base/files/id_ed25519",
    "roles/prysm_wallet/files/direct/accounts/all-accounts.keystore.json",
    "roles/prysm_wallet/.vault-password",
    "roles/prysm_helm/files/eth2prysm/charts/own.tgz",
    "roles/prysm_helm/files/eth2prysm/templates/secret.yaml",
    "plugins/module_utils/__pycache__/own.cpython-311.pyc",
    "plugins/filter/validator.db",
)


def tracked() -> list[str]:
    """What git tracks: a file that merely lies there may be anything."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
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


def build(place: Path, umask: int, **environment: str) -> dict[str, Path]:
    """The three forms, by the ends of their names."""
    run(place, umask, [sys.executable, "scripts/dist", "build", "out"], environment)
    run(place, umask, [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", "out/source"], environment)
    made = [path for path in (place / "out").glob("**/*") if path.is_file()]
    return {"sdist" if path.parent.name == "source" else path.suffix: path for path in made}


def run(place: Path, umask: int, words: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        words, cwd=place, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, umask=umask,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Path]]:
    """What two people build of the same files."""
    mine, theirs = (checkout(tmp_path_factory.mktemp("check out"), umask) for umask in (0o022, 0o077))
    for path in theirs.glob("**/*"):
        os.utime(path, (981173100, 981173100))
    return [build(mine, 0o022), build(theirs, 0o077, LC_ALL="POSIX", TZ="Pacific/Auckland", PYTHONHASHSEED="7")]


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
    "sdist": {"PKG-INFO", "galaxy.yml", "pyproject.toml", "scripts/hatch_build.py", ".gitignore"},
}


def test_the_list_is_what_git_knows() -> None:
    _, _, listed = (ROOT / "galaxy.yml").read_text(encoding="utf-8").partition("\n  directives:\n")
    assert listed == "".join(f"    - include {name}\n" for name in sorted(wanted())), "git add, then `make manifest`"


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
        [sys.executable, "scripts/dist", "build", "out"], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "playbooks/templates/status.txt.j2" in done.stderr
    assert list((place / "out").glob("*")) == []


SECRETS = {
    "roles/base/files/keystore.json": b'\xef\xbb\xbf {"crypto": {"kdf": {}, "checksum": {}}, "version": 4}',
    "playbooks/list": b'[{"crypto": {"checksum": {}}}]',
    "roles/base/files/id_ed25519": b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "roles/base/vars/all.yml": b"$ANSIBLE_VAULT;1.1;AES256\n00\n",
    "roles/base/files/old.bin": bytes(16) + b"\xed\xda\x0c\xed",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository with the program that writes the list."""
    for name in ("scripts/dist", "galaxy.yml", "README.md", "roles/base/tasks/main.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def dist(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/dist", *words], cwd=place, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_what_git_does_not_track_is_not_listed_and_named(repository: Path) -> None:
    (repository / "roles/base/tasks/.env").write_text("SECRET=1")
    (repository / "roles/base/tasks/own.yml").write_text("[]")
    done = dist(repository, "list")
    assert done.returncode == 0
    assert "roles/base/tasks/.env, roles/base/tasks/own.yml" in done.stderr
    text = (repository / "galaxy.yml").read_text(encoding="utf-8")
    assert text.endswith("    - include README.md\n    - include roles/base/tasks/main.yml\n")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_neither_listed_nor_built_even_when_git_tracks_it(repository: Path, name: str) -> None:
    place = repository / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(SECRETS[name])
    assert dist(repository, "list").returncode == 0
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    refused = dist(repository, "list")
    assert refused.returncode != 0 and f"never shipped: {name}" in refused.stderr
    with (repository / "galaxy.yml").open("a", encoding="utf-8") as handle:
        handle.write(f"    - include {name}\n")
    refused = dist(repository, "build", "out")
    assert refused.returncode != 0 and f"never shipped: {name}" in refused.stderr
    assert not (repository / "out").exists()
