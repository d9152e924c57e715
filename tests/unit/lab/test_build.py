"""The lab's images are those that the chart asks for."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import yaml

from lab import build, images

CHART = Path(__file__).parents[3] / "roles/prysm_helm/files/eth2prysm"
TABLE = yaml.safe_load((CHART / "files/versions.yaml").read_text(encoding="utf-8"))


def paths(store: Path, reference: str) -> set[str]:
    """The files of an image in a store, links included."""
    blobs = store / "sha256"

    def blob(digest: str) -> Path:
        return blobs / digest.partition(":")[2]

    manifest = json.loads(blob(json.loads((store / "images.json").read_text())[reference]).read_text())
    found: set[str] = set()
    for layer in manifest["layers"]:
        with tarfile.open(blob(layer["digest"])) as tar:
            found |= {f"/{member.name}" for member in tar.getmembers() if not member.isdir()}
    return found


@pytest.mark.parametrize("version", build.PRYSM_VERSIONS)
def test_the_programs_are_where_the_chart_starts_them(tmp_path: Path, version: str) -> None:
    program = tmp_path / "prysm"
    program.write_bytes(b"program")
    made = build.prysm_images(program, version)
    images.write(tmp_path, made)
    number = tuple(int(part) for part in version[1:].split("."))
    (entry,) = [
        one for one in TABLE["entrypoints"]
        if tuple(map(int, one.get("first", "0.0.0").split("."))) <= number
        <= tuple(map(int, one.get("last", "99.0.0").split(".")))
    ]  # fmt: skip
    for image in made:
        wanted = entry["beacon" if "beacon-chain" in image.reference else "validator"]
        assert image.entrypoint == (wanted,)
        assert wanted in paths(tmp_path, image.reference)


def test_the_busybox_has_the_name_that_the_chart_asks_for() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert build.guard_image() == values["guard"]["image"]
