"""Where a running lab keeps its things, and the machines it has."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from lab import ROOT
from lab.errors import LabError

NETWORK = "172.20.0.0/20"
PREFIX = 20
GATEWAY = "172.20.0.1"
CHAIN_PORT, REGISTRY_PORT, PROXY_PORT = 9000, 5000, 3142
# Public time sources answer at addresses of their own, so that chrony sees several sources as it would outside.
TIME_ADDRESSES = ("172.20.0.2", "172.20.0.3", "172.20.0.4", "172.20.0.5")

# Outside of the site: the execution client that inventory/testnet names, and the providers of checkpoints.
EXECUTION_ADDRESS, PROVIDER_ADDRESS = "172.20.10.20", "172.20.0.6"


@dataclass(frozen=True)
class MachineSpec:
    """One machine of the lab."""

    name: str
    address: str
    memory_mib: int


MACHINES = {
    spec.name: spec
    for spec in (
        MachineSpec("nfs", "172.20.10.10", 1024),
        MachineSpec("master", "172.20.10.11", 4096),
        MachineSpec("worker", "172.20.10.12", 3072),
        # Only started when asked for: a third and fourth node for tests of high availability.
        MachineSpec("spare1", "172.20.10.13", 3072),
        MachineSpec("spare2", "172.20.10.14", 3072),
    )
}
DEFAULT_MACHINES = ("nfs", "master", "worker")


@dataclass(frozen=True)
class Layout:
    """The files of one lab; two labs differ in `state`."""

    state: Path

    @classmethod
    def here(cls) -> Layout:
        """The lab of this checkout, or the one LAB_STATE_DIR names."""
        return cls(Path(os.environ.get("LAB_STATE_DIR") or ROOT / ".lab").resolve())

    @property
    def identity(self) -> str:
        """A short name that no other lab on this host has."""
        return "lab-" + hashlib.sha256(str(self.state).encode()).hexdigest()[:8]

    @property
    def disks(self) -> Path:
        return self.state / "disks"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def chain(self) -> Path:
        return self.state / "chain"

    @property
    def engine_secret(self) -> Path:
        return self.state / "jwt.hex"

    @property
    def registry(self) -> Path:
        return self.state / "registry.json"

    @property
    def plan(self) -> Path:
        return self.state / "plan.json"

    @property
    def running(self) -> Path:
        return self.state / "running.json"

    @property
    def inventory(self) -> Path:
        """A file that names the inventories of `lab exec`, where they are not the usual ones."""
        return self.state / "inventory"

    @property
    def faults(self) -> Path:
        """What `lab fault` has done, one line each."""
        return self.state / "faults.jsonl"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def key(self) -> Path:
        return self.state / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.state / "ssh" / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh" / "config"

    @property
    def resolv_conf(self) -> Path:
        return self.state / "resolv.conf"


def spec(name: str) -> MachineSpec:
    """The machine called `name`; LabError names those there are."""
    try:
        return MACHINES[name]
    except KeyError:
        raise LabError(f"There is no machine {name!r} in the lab; there are {', '.join(MACHINES)}.") from None
