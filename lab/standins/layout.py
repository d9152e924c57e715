"""Where everything lies on a machine, and which release is installed."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(os.environ.get("SNAPD_ROOT", "/"))
"""The machine's root directory; another one lets the programs be tried without a machine."""

BIN = ROOT / "snap/bin"
SNAPS = ROOT / "snap"
SNAPD = ROOT / "var/lib/snapd"
STORE = ROOT / "usr/lib/snapd/store"
UNITS = ROOT / "etc/systemd/system"
SNAP_PROGRAM = Path("/usr/bin/snap")

SNAP = ROOT / "snap/microk8s/current"
DATA = ROOT / "var/snap/microk8s/current"
COMMON = ROOT / "var/snap/microk8s/common"

ARGS = DATA / "args"
CERTS = DATA / "certs"
CREDENTIALS = DATA / "credentials"
LOCKS = DATA / "var/lock"
BACKEND = DATA / "var/kubernetes/backend"
CNI = ARGS / "cni-network"

GROUP = "microk8s"
POD_CIDR = "10.1.0.0/16"
SERVICE_CIDR = "10.152.183.0/24"
SERVICE_IP = "10.152.183.1"
DNS_IP = "10.152.183.10"
API_PORT = 16443
AGENT_PORT = 25000
DATASTORE_PORT = 19001
ETCD_PORT = 12379


def version() -> str:
    """The installed snap's version, such as `v1.28.15`; empty when there is none."""
    try:
        text = (SNAP / "meta/snap.yaml").read_text()
    except OSError:
        return ""
    found = re.search(r"^version: (\S+)$", text, re.M)
    return found.group(1) if found else ""


def minor() -> int:
    """The installed snap's minor: 28 for v1.28.15."""
    return int(version().split(".")[1])


def revision() -> str:
    """The installed snap's revision."""
    return os.path.realpath(SNAP).rsplit("/", 1)[-1]


def environment() -> dict[str, str]:
    """What snapd gives every program of the snap."""
    data = os.path.realpath(DATA)
    return {
        **os.environ,
        "SNAP": os.path.realpath(SNAP),
        "SNAP_NAME": "microk8s",
        "SNAP_INSTANCE_NAME": "microk8s",
        "SNAP_REVISION": revision(),
        "SNAP_VERSION": version(),
        "SNAP_DATA": data,
        "SNAP_COMMON": str(COMMON),
        "PATH": f"{os.path.realpath(SNAP)}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin",
    }


def locked(name: str) -> bool:
    """Whether the lock file exists: MicroK8s keeps most of its state in these."""
    return (LOCKS / name).exists()


def lock(name: str) -> None:
    """Make the lock file."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    (LOCKS / name).touch()


def unlock(name: str) -> None:
    """Remove the lock file."""
    (LOCKS / name).unlink(missing_ok=True)


def is_worker() -> bool:
    """Whether this node is a worker of somebody else's cluster."""
    return locked("clustered.lock")


def write(path: Path, text: str, mode: int = 0o644, group: str | None = None) -> None:
    """Write a file so that it is whole or absent, and never readable by more than `mode` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:  # noqa: PTH123
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    if group:
        give_to_group(new, group)
    new.chmod(mode)
    new.rename(path)


def give_to_group(path: Path, group: str) -> None:
    """Hand a file to root:group, if the group exists."""
    import grp

    try:
        os.chown(path, 0, grp.getgrnam(group).gr_gid)
    except (KeyError, PermissionError):
        return
