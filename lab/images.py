"""Container images without a container engine: OCI layers, configurations and manifests written by hand.

Images written here are reproducible: all times are 0, all owners are root. A store is a directory of blobs
(`sha256/DIGEST`) with `images.json`, which says what reference is what manifest; the lab's registry serves stores.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Image:
    """What an image holds and how it starts."""

    reference: str
    """With registry and tag, as in docker.io/library/busybox:1.37.0-musl."""
    files: Mapping[str, Path]
    """Path in the image -> program to copy there."""
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    """Path in the image -> target of the symbolic link there."""
    user: str = ""


def write(store: Path, images: Iterable[Image]) -> None:
    """Write the blobs of `images` into `store` and list them."""
    listed = {}
    for image in images:
        layers = [_add(store, _layer(image.files, {}))]
        if image.links:
            layers.append(_add(store, _layer({}, image.links)))
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": list(image.entrypoint),
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *(f"{name}={value}" for name, value in image.env.items())],
                "WorkingDir": "/",
                **({"User": image.user} if image.user else {}),
            },
            "rootfs": {"type": "layers", "diff_ids": [digest for digest, _ in layers]},
            "history": [{"created": "1970-01-01T00:00:00Z"} for _ in layers],
        }
        config_digest, config_size = _add(store, json.dumps(config, sort_keys=True).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_size},
            "layers": [{"mediaType": LAYER, "digest": digest, "size": size} for digest, size in layers],
        }
        listed[image.reference] = _add(store, json.dumps(manifest, sort_keys=True).encode())[0]
    _list(store, listed)


def take_archives(directory: Path, store: Path) -> list[str]:
    """Take every image archive (*.tar, OCI layout) of `directory` into `store`; the references found.

    LabError names an archive that is none.
    """
    listed: dict[str, str] = {}
    archives = sorted(directory.glob("*.tar"))
    if not archives:
        raise LabError(f"There is no image archive (*.tar) in {directory}.")
    for archive in archives:
        try:
            listed.update(_take(archive, store))
        except (tarfile.TarError, KeyError, ValueError, OSError) as exc:
            raise LabError(
                f"{archive} is not an OCI image archive: {exc}. Save it with `docker save` 25 or newer."
            ) from exc
    _list(store, listed)
    return sorted(listed)


def catalogue(index: Path, stores: Iterable[Path]) -> None:
    """Write the registry's index over several stores; a later store wins."""
    chosen = list(stores)
    images: dict[str, str] = {}
    for store in chosen:
        images.update(json.loads((store / "images.json").read_text()))
    index.write_text(
        json.dumps({"stores": [str(store) for store in chosen], "images": images}, indent=1, sort_keys=True)
    )


def _take(archive: Path, store: Path) -> dict[str, str]:
    found = {}
    with tarfile.open(archive) as tar:

        def read(name: str) -> bytes:
            member = tar.extractfile(name)
            if member is None:
                raise ValueError(f"{name} is not a file")
            return member.read()

        index = json.loads(read("index.json"))
        tags: list[str] = []
        with contextlib.suppress(KeyError):
            tags = [tag for entry in json.loads(read("manifest.json")) for tag in entry.get("RepoTags") or ()]
        for member in tar.getmembers():
            if member.isfile() and member.name.startswith("blobs/sha256/"):
                _add(store, read(member.name))
        for position, entry in enumerate(index["manifests"]):
            names = entry.get("annotations", {})
            reference = names.get("io.containerd.image.name") or (tags[position] if position < len(tags) else None)
            if not reference:
                raise ValueError("it does not say what image it is")
            found[_full(reference)] = entry["digest"]
    return found


def _full(reference: str) -> str:
    head, _, rest = reference.partition("/")
    if not rest:
        return f"docker.io/library/{reference}"
    return reference if "." in head or ":" in head or head == "localhost" else f"docker.io/{reference}"


def _layer(files: Mapping[str, Path], links: Mapping[str, str]) -> bytes:
    raw = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def directory(name: str, mode: int = 0o755) -> None:
            if name and name not in made:
                directory(name.rpartition("/")[0])
                made.add(name)
                info = tarfile.TarInfo(name)
                info.type, info.mode = tarfile.DIRTYPE, mode
                tar.addfile(info)

        if files:
            directory("tmp", 0o1777)
        for target, source in sorted(files.items()):
            name = target.lstrip("/")
            directory(name.rpartition("/")[0])
            info = tarfile.TarInfo(name)
            info.size, info.mode = source.stat().st_size, 0o755
            with source.open("rb") as content:
                tar.addfile(info, content)
        for target, destination in sorted(links.items()):
            name = target.lstrip("/")
            directory(name.rpartition("/")[0])
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, destination
            tar.addfile(info)
    return raw.getvalue()


def _add(store: Path, data: bytes) -> tuple[str, int]:
    value = hashlib.sha256(data).hexdigest()
    path = store / "sha256" / value
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return f"sha256:{value}", len(data)


def _list(store: Path, images: Mapping[str, t.Any]) -> None:
    index = store / "images.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    index.write_text(json.dumps({**known, **images}, indent=1, sort_keys=True))
