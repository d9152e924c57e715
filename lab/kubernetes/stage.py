"""Puts the stand-ins `snap` and `microk8s`, and what their store holds, into a machine's root directory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lab.cache import digest
from lab.commands import run
from lab.errors import LabError
from lab.kubernetes.build import COMPONENTS, VERSION, Payload

REGISTRY = "http://172.20.0.1:5000"
"""The lab's image registry, as the machines reach it."""

# Higher than any archive's, so that neither `apt install snapd` nor a full upgrade ever replaces it.
SNAPD_VERSION = "2.99-1"

STANDINS = Path(__file__).parents[1] / "standins"
PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "etcd", "etcdctl")
CNI_PLUGINS = ("host-local", "loopback", "portmap", "ptp")

_CONTROL = f"""Package: snapd
Version: {SNAPD_VERSION}
Architecture: amd64
Maintainer: the lab <lab@localhost>
Depends: python3
Section: devel
Priority: optional
Description: snap for a machine that cannot reach the snap store
"""

_LAUNCHER = """#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/snapd/programs")
from lab.standins.snap import main

sys.exit(main(sys.argv))
"""

# What a half-done change left behind is undone at boot, before the services of the snaps start.
_UNITS = {
    "snapd.service": """[Unit]
Description=Snap Daemon
Requires=snapd.socket

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/snap recover

[Install]
WantedBy=multi-user.target
""",
    "snapd.socket": """[Unit]
Description=Socket activation for snappy daemon

[Socket]
ListenStream=/run/snapd.socket
SocketMode=0666

[Install]
WantedBy=sockets.target
""",
    "snapd.seeded.service": """[Unit]
Description=Wait until snapd is fully seeded

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/snap wait system seed.loaded

[Install]
WantedBy=multi-user.target
""",
}


def stage_key(payload: Payload, debs: Path) -> str:
    """Changes when anything that stage() would put into a machine does."""
    # The payload lies in the cache by content, and so do the debs: their paths say it all.
    paths = [payload.kubelite, payload.addons, payload.helm, payload.pause, debs]
    return digest([STANDINS, Path(__file__), REGISTRY, *(str(path) for path in paths)])


def stage(root: Path, payload: Payload, debs: Path) -> None:
    """Install the dummy package snapd into `root`, and fill its store."""
    _snapd(root)
    store = root / "usr/lib/snapd/store"
    snap = store / "microk8s"
    kubernetes = snap / "kubernetes" / VERSION.rsplit(".", 1)[0]
    kubernetes.mkdir(parents=True)
    (store / "registry").write_text(REGISTRY + "\n")
    _program(payload.kubelite, kubernetes / "kubelite")
    for name in (*COMPONENTS, "yaml2json"):
        (kubernetes / name).symlink_to("kubelite")
    _program(payload.helm, snap / "bin/helm")
    (snap / "bin/helm3").symlink_to("helm")
    for name in PROGRAMS:
        _program(_find(debs, name, ("usr/bin", "usr/sbin")), snap / "bin" / name)
    for name in CNI_PLUGINS:
        _program(_find(debs, name, ("usr/lib/cni",)), snap / "cni" / name)
    _program(STANDINS / "cni_cali.py", snap / "cni" / "cali")


def _snapd(root: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lab-snapd-") as tmp:
        tree = Path(tmp) / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(_CONTROL)
        program = tree / "usr/bin/snap"
        program.parent.mkdir(parents=True)
        program.write_text(_LAUNCHER)
        program.chmod(0o755)
        programs = tree / "usr/lib/snapd/programs/lab"
        shutil.copytree(STANDINS, programs / "standins", ignore=shutil.ignore_patterns("__pycache__"))
        (programs / "__init__.py").write_text("")
        units = tree / "usr/lib/systemd/system"
        units.mkdir(parents=True)
        for name, text in _UNITS.items():
            (units / name).write_text(text)
        profile = tree / "etc/profile.d/apps-bin-path.sh"
        profile.parent.mkdir(parents=True)
        profile.write_text('case ":$PATH:" in *:/snap/bin:*) ;; *) PATH="$PATH:/snap/bin" ;; esac\nexport PATH\n')
        for empty in ("snap/bin", "var/snap", "var/lib/snapd"):
            (tree / empty).mkdir(parents=True)
        package = root / "var/cache/snapd.deb"
        run(["dpkg-deb", "--root-owner-group", "-b", tree, package], what="Packing the stand-in snapd")
    try:
        run(["chroot", root, "dpkg", "-i", "/var/cache/snapd.deb"], what="Installing the stand-in snapd")
    finally:
        package.unlink()
    run(
        ["chroot", root, "python3", "-m", "compileall", "-q", "/usr/lib/snapd/programs"],
        what="Compiling the stand-ins",
    )
    run(
        ["chroot", root, "systemctl", "enable", "snapd.service", "snapd.socket", "snapd.seeded.service"],
        what="Enabling snapd",
    )


def _find(debs: Path, name: str, folders: tuple[str, ...]) -> Path:
    for folder in folders:
        if (debs / folder / name).is_file():
            return debs / folder / name
    raise LabError(f"The unpacked packages in {debs} have no {name}: they are not the ones that MicroK8s needs.")


def _program(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
