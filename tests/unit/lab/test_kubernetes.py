"""Kubernetes for the lab: what is pinned agrees everywhere, and what goes into a machine is the whole of it."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from lab import kubernetes
from lab.errors import LabError
from lab.standins import addons, releases

# The package's functions have the names of its modules.
build, images, stage = (importlib.import_module(f"lab.kubernetes.{name}") for name in ("build", "images", "stage"))
HERE = Path(kubernetes.__file__).parent


def module(name: str) -> str:
    return (HERE / name / "go.mod").read_text()


def test_kubernetes_is_one_version_throughout() -> None:
    assert f"k8s.io/kubernetes v{build.VERSION}\n" in module("kubelite")
    staging = "v0." + build.VERSION.split(".", 1)[1]
    for name in ("kubelite", "addons"):
        replaced = re.findall(r"^\t(k8s\.io/\S+) => \1 (\S+)$", module(name), re.M)
        assert len(replaced) > 30
        assert {version for _, version in replaced} == {staging}


def test_the_addons_are_the_versions_that_their_images_say() -> None:
    assert f"github.com/coredns/coredns v{images.COREDNS.rsplit(':')[-1]}\n" in module("addons")
    assert f"sigs.k8s.io/metrics-server {images.METRICS_SERVER.rsplit(':')[-1]}\n" in module("addons")
    assert f"helm.sh/helm/v3 {build.HELM_VERSION} " in module("addons")
    assert (addons.COREDNS_IMAGE, addons.METRICS_IMAGE) == (images.COREDNS, images.METRICS_SERVER)


def test_the_newest_track_is_the_kubernetes_that_is_built() -> None:
    newest = max(releases.TRACKS)
    assert f"1.{newest}.{releases.TRACKS[newest][0]}" == build.VERSION


def test_both_addons_share_their_layer() -> None:
    payload = build.Payload(Path("kubelite"), Path("addons"), Path("helm"), Path("pause"))
    pause, coredns, metrics = images.images(payload)
    assert (coredns.files, coredns.links) == (metrics.files, metrics.links)
    for image in (coredns, metrics):
        assert image.entrypoint[0] in image.links
    assert pause.entrypoint[0] in pause.files


@pytest.fixture
def parts(tmp_path: Path) -> tuple[kubernetes.Payload, Path]:
    debs = tmp_path / "debs"
    files = [f"usr/bin/{name}" for name in stage.PROGRAMS] + [f"usr/lib/cni/{name}" for name in stage.CNI_PLUGINS]
    for name in files:
        path = debs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name in ("kubelite", "addons", "helm", "pause"):
        (tmp_path / name).write_text(name)
    return build.Payload(*(tmp_path / name for name in ("kubelite", "addons", "helm", "pause"))), debs


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root directory; what would run inside it is only told, but the package is really made and unpacked."""
    path = tmp_path / "root"
    (path / "var/cache").mkdir(parents=True)
    real = stage.run

    def run(command: list[object], **more: object) -> str:
        if command[0] != "chroot":
            return real(command, **more)  # type: ignore[arg-type]
        if command[2:4] == ["dpkg", "-i"]:
            subprocess.run(["dpkg-deb", "-x", path / "var/cache/snapd.deb", path], check=True)
            shown = subprocess.run(["dpkg-deb", "-f", path / "var/cache/snapd.deb"], capture_output=True, check=True)
            (path / "control").write_bytes(shown.stdout)
        return ""

    monkeypatch.setattr(stage, "run", run)
    return path


def test_a_machine_gets_a_snap_and_a_full_store(root: Path, parts: tuple[kubernetes.Payload, Path]) -> None:
    kubernetes.stage(root, *parts)
    assert "Package: snapd\nVersion: 2.99-1\n" in (root / "control").read_text()
    assert (root / "usr/bin/snap").stat().st_mode & 0o111
    store = root / "usr/lib/snapd/store"
    assert (store / "registry").read_text() == f"{kubernetes.REGISTRY}\n"
    for name in ("kubelite", "kubelet", "kubectl", "yaml2json"):
        assert (store / "microk8s/kubernetes/1.36" / name).read_text() == "kubelite"
    for name in (*stage.PROGRAMS, "helm", "helm3"):
        assert (store / "microk8s/bin" / name).stat().st_mode & 0o111
    assert (store / "microk8s/cni/cali").read_text().startswith("#!/usr/bin/python3")
    # Nothing of MicroK8s before `snap install microk8s`.
    assert list((root / "snap/bin").iterdir()) == []
    assert not list(root.glob("**/snap.microk8s*"))
    assert not (root / "var/cache/snapd.deb").exists()


def test_what_the_package_runs_is_the_checkout_s_stand_ins(root: Path, parts: tuple[kubernetes.Payload, Path]) -> None:
    kubernetes.stage(root, *parts)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import lab.standins.snap as snap; snap.main(['snap'])"
    done = subprocess.run(
        ["python3", "-I", "-c", code, str(root / "usr/lib/snapd/programs")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    assert done.stdout.startswith("The snap command lets you install")


def test_a_missing_program_is_named(root: Path, parts: tuple[kubernetes.Payload, Path]) -> None:
    (parts[1] / "usr/bin/runc").unlink()
    with pytest.raises(LabError, match="have no runc"):
        kubernetes.stage(root, *parts)


def test_the_key_follows_what_is_staged(
    parts: tuple[kubernetes.Payload, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kubernetes.stage_key(*parts)
    assert kubernetes.stage_key(*parts) == before
    (tmp_path / "standins").mkdir()
    (tmp_path / "standins/snap.py").write_text("changed")
    monkeypatch.setattr(stage, "STANDINS", tmp_path / "standins")
    assert kubernetes.stage_key(*parts) != before


def test_arguments_files_are_read_as_microk8s_reads_them() -> None:
    done = subprocess.run(
        [build.go(), "test", "-trimpath", "./args/"],
        cwd=HERE / "kubelite",
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
