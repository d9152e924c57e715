"""The machines' disk: a bare Debian with SSH, as an ext4 image that every machine uses copy-on-write.

Beside it stands the gateway's root directory: a second small Debian tree, from which the time source, the name server
and the package proxy of the lab's network run (by chroot), so that nothing has to be installed on the host.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import ROOT
from lab.cache import cached
from lab.commands import Log, quiet, run

SUITE = "trixie"
DISK_GIB = 12
GATEWAY = "172.20.0.1"
PROXY = f"http://{GATEWAY}:3142"
MACHINE_FILES = ROOT / "lab" / "machine-files"

# What a fresh server installation has (Debian's images for clouds); everything else is for the roles to install.
MACHINE_PACKAGES = (
    "apt-utils,ca-certificates,curl,dbus,debian-archive-keyring,iproute2,iputils-ping,less,libpam-systemd,netbase,nftables,"
    "openssh-server,openssl,procps,python3,python3-apt,sudo,systemd,systemd-sysv,systemd-timesyncd,tzdata,udev,"
    "unattended-upgrades"
)
GATEWAY_PACKAGES = "apt-cacher-ng,ca-certificates,chrony,dnsmasq-base,debian-archive-keyring,netbase"

# What the MicroK8s snap brings along; only unpacked, never installed as packages.
SNAP_DEBS = ("containerd", "runc", "containernetworking-plugins", "etcd-server", "etcd-client")
BUSYBOX_DEBS = ("busybox-static",)

# Modules that the machines' kernel does not have, timers that would wake three machines for nothing.
DISABLED = ("apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer", "e2scrub_all.timer", "man-db.timer")
MASKED = (
    "systemd-firstboot.service",
    "systemd-modules-load.service",
    "ldconfig.service",
    "systemd-hwdb-update.service",
)
# They find nothing on these machines, and every `systemctl daemon-reload` would run them all.
MASKED_GENERATORS = ("debug", "gpt-auto", "hibernate-resume", "rc-local", "run", "ssh", "system-update", "tpm2")


@dataclass(frozen=True)
class Image:
    """What the machines boot from."""

    base: Path
    """The ext4 image below every machine's copy-on-write disk."""
    host_key: str
    """The machines' SSH host key, as in a known_hosts file without the names."""


def gateway_root(log: Log = quiet) -> Path:
    """The gateway's root directory."""

    def build(work: Path) -> None:
        _debootstrap(work / "root", GATEWAY_PACKAGES, log)

    return cached("gateway", [SUITE, GATEWAY_PACKAGES], build, log=log) / "root"


def debs(gateway: Path, log: Log = quiet) -> Path:
    """A directory with the files of SNAP_DEBS and BUSYBOX_DEBS, unpacked over each other."""

    def build(work: Path) -> None:
        names = [*SNAP_DEBS, *BUSYBOX_DEBS]
        _use_host_names(gateway)
        inside = gateway / "tmp" / f"debs-{os.getpid()}"
        inside.mkdir()
        try:
            run(
                [
                    "chroot",
                    str(gateway),
                    "sh",
                    "-c",
                    f"apt-get update && cd /tmp/{inside.name} && apt-get download $*",
                    "-",
                    *names,
                ],
                what="Downloading the packages that MicroK8s brings",
                log=log,
            )
            for deb in sorted(inside.glob("*.deb")):
                run(["dpkg-deb", "-x", deb, work / "tree"], what=f"Unpacking {deb.name}")
        finally:
            shutil.rmtree(inside)

    return cached("debs", [SUITE, *SNAP_DEBS, *BUSYBOX_DEBS], build, log=log) / "tree"


def machine_image(stage: list[tuple[str, object]], log: Log = quiet) -> Image:
    """Build the machines' image; each of `stage` is (content key, function that adds files to the root directory)."""
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    inputs: list[bytes | str | Path] = [
        SUITE,
        MACHINE_PACKAGES,
        " ".join((*DISABLED, *MASKED)),
        str(DISK_GIB),
        MACHINE_FILES,
        Path(__file__),
        *(key for key, _ in stage),
    ]
    if authorities.exists():
        inputs.append(authorities)

    def bootstrap(work: Path) -> None:
        _debootstrap(work / "root", MACHINE_PACKAGES, log)

    bare = cached("machine-root", [SUITE, MACHINE_PACKAGES], bootstrap, log=log) / "root"

    def build(work: Path) -> None:
        root = work / "root"
        run(["cp", "-a", "--reflink=auto", bare, root], what="Copying the machines' root directory")
        _configure(root, authorities)
        for _, add in stage:
            add(root)  # type: ignore[operator]
        key = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
        (work / "host_key").write_text(" ".join(key) + "\n")
        base = work / "base.img"
        with base.open("wb") as image:
            image.truncate(DISK_GIB << 30)
        run(
            ["mkfs.ext4", "-q", "-d", root, "-E", "lazy_itable_init=1,lazy_journal_init=1", base],
            what="Writing the machines' disk image",
        )
        shutil.rmtree(root)

    entry = cached("machine-image", inputs, build, log=log)
    return Image(base=entry / "base.img", host_key=(entry / "host_key").read_text().strip())


def _debootstrap(root: Path, packages: str, log: Log) -> None:
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=apt",
            f"--include={packages}",
            '--aptopt=APT::Install-Recommends "false"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            SUITE,
            root,
        ],
        what=f"Making a Debian {SUITE} root directory",
        log=log,
    )


def _use_host_names(root: Path) -> None:
    (root / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())


def _configure(root: Path, authorities: Path) -> None:
    shutil.copytree(MACHINE_FILES / "root", root, symlinks=True, dirs_exist_ok=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/fstab").write_text("/dev/ubda / ext4 defaults,noatime 0 1\n")
    # The lists of packages as of now, as an installer leaves them: the first `apt update` only asks whether they hold.
    _use_host_names(root)
    run(["chroot", root, "apt-get", "update"], what="Reading the lists of packages for the machines")
    (root / "etc/resolv.conf").write_text(f"nameserver {GATEWAY}\n")
    (root / "etc/apt/apt.conf.d/90proxy").write_text(
        f'Acquire::http::Proxy "{PROXY}";\nAcquire::https::Proxy "{PROXY}";\n'
    )
    # Compiling every Python file at installation takes longer here than all else; what is used is compiled when used.
    (root / "usr/bin/py3compile").unlink()
    (root / "usr/bin/py3compile").symlink_to("true")
    (root / "etc/pip.conf").write_text(f"[global]\nproxy = {PROXY}\n")
    if authorities.exists():  # the machines trust what the host trusts: its network may have an authority of its own
        shutil.copy(authorities, root / "etc/ssl/certs/ca-certificates.crt")
    run(["chroot", root, "systemctl", "disable", *DISABLED], what="Disabling the machines' timers")
    run(["chroot", root, "systemctl", "mask", *MASKED], what="Masking what the machines cannot run")
    generators = root / "etc/systemd/system-generators"
    generators.mkdir()
    for name in MASKED_GENERATORS:
        (generators / f"systemd-{name}-generator").symlink_to("/dev/null")
    run(
        ["chroot", root, "systemctl", "enable", "systemd-networkd", "systemd-networkd-wait-online", "ssh"],
        what="Enabling the machines' network",
    )
