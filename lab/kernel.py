"""The machines' kernel: User Mode Linux, built from Debian's kernel source package with our fragment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab import ROOT
from lab.cache import cached
from lab.commands import Log, quiet, run
from lab.errors import LabError

SERIES = "7.2"
"""From 6.16 on, User Mode Linux can run its processes under seccomp, which is what makes it fast."""

SOURCE_SUITE = "trixie-backports"
FRAGMENT = ROOT / "lab" / "machine-files" / "uml.config"


def build(debian_root: Path, log: Log = quiet) -> Path:
    """The path of the kernel's binary; `debian_root` is a Debian tree whose apt fetches the source package."""
    entry = cached("kernel", [SERIES, SOURCE_SUITE, FRAGMENT], lambda work: _build(work, debian_root, log), log=log)
    return entry / "linux"


def _build(work: Path, debian_root: Path, log: Log) -> None:
    source, objects = work / "source", work / "objects"
    source.mkdir()
    objects.mkdir()
    package = _fetch(work, debian_root, log)
    run(["dpkg-deb", "-x", package, work / "package"], what="Unpacking the kernel's source package")
    tarball = next((work / "package").glob("usr/src/*.tar.xz"), None)
    if tarball is None:
        raise LabError(f"The package {package.name} has no source archive in usr/src: its layout has changed.")
    log(f"unpacking {tarball.name}")
    run(["tar", "-C", source, "--strip-components=1", "-xf", tarball], what="Unpacking the kernel's source")
    make = ["make", "-C", str(source), "ARCH=um", f"O={objects}", f"KCONFIG_ALLCONFIG={FRAGMENT}"]
    run([*make, "allnoconfig"], what="Configuring the kernel", log=log)
    run([*make, f"-j{os.cpu_count() or 2}", "linux"], what="Building the kernel", log=log)
    (work / "version").write_text(package.name.split("_")[1] + "\n")
    run(["strip", "-o", work / "linux", objects / "linux"], what="Stripping the kernel")
    for left in (source, objects, work / "package"):
        shutil.rmtree(left)
    package.unlink()


def _fetch(work: Path, debian_root: Path, log: Log) -> Path:
    """Download the source package with the mirror and the keys of `debian_root`, on a private apt state."""
    state = work / "apt"
    for name in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    mirror = debian_mirror(debian_root)
    keys = debian_root / "usr/share/keyrings/debian-archive-keyring.gpg"
    if not keys.exists():
        keys = keys.with_suffix(".pgp")
    (state / "sources.list").write_text(f"deb [signed-by={keys}] {mirror} {SOURCE_SUITE} main\n")
    (state / "apt.conf").write_text(
        f'Dir "{state}"; Dir::State "{state}"; Dir::State::status "{state}/status"; Dir::Cache "{state}/cache";\n'
        f'Dir::Etc "{state}/etc"; Dir::Etc::sourcelist "{state}/sources.list"; Dir::Etc::sourceparts "/dev/null";\n'
        'Dir::Etc::trustedparts "/dev/null"; APT::Architecture "amd64"; APT::Sandbox::User "root";\n'
    )
    env = {"APT_CONFIG": str(state / "apt.conf")}
    name = f"linux-source-{SERIES}"
    run(["apt-get", "update"], what="Reading the list of kernel sources", log=log, env=env)
    run(["apt-get", "download", name], what=f"Downloading {name}", log=log, env=env, cwd=work)
    shutil.rmtree(state)
    return next(work.glob(f"{name}_*.deb"))


def debian_mirror(debian_root: Path) -> str:
    """The mirror a Debian tree was made from."""
    for line in (debian_root / "etc/apt/sources.list").read_text().splitlines():
        words = [word for word in line.split() if not word.startswith("[")]
        if words[:1] == ["deb"] and not words[2].endswith("-security"):
            return words[1]
    raise LabError(f"{debian_root}/etc/apt/sources.list names no Debian mirror.")
