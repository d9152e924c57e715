"""Images written by hand, taken from archives, and served by the registry."""

from __future__ import annotations

import http.server
import io
import json
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import images, registry
from lab.errors import LabError


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF...")
    return path


@pytest.fixture
def store(tmp_path: Path, program: Path) -> Path:
    place = tmp_path / "store"
    place.mkdir()
    links = {"/bin/alias": "/bin/program"}
    images.write(
        place,
        [
            images.Image(f"gcr.io/x/{tag}:{tag}", {"/bin/program": program}, ("/bin/program",), {"V": tag}, links)
            for tag in "ab"
        ],
    )
    return place


@pytest.fixture
def address(tmp_path: Path, store: Path) -> Iterator[str]:
    index = tmp_path / "registry.json"
    images.catalogue(index, [store])
    handler = type(
        "Handler", (registry.Handler,), {"catalogue": registry.Catalogue(index), "log_message": lambda *_: None}
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        data: bytes = answer.read()
        return data


def test_an_image_is_served_whole(address: str) -> None:
    manifest = json.loads(get(f"{address}/v2/x/a/manifests/a?ns=gcr.io"))
    config = json.loads(get(f"{address}/v2/x/a/blobs/{manifest['config']['digest']}?ns=gcr.io"))
    assert "V=a" in config["config"]["Env"]
    names = []
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(get(f"{address}/v2/x/a/blobs/{layer['digest']}"))) as tar:
            names += [(member.name, member.mode & 0o111, member.linkname) for member in tar if not member.isdir()]
    assert names == [("bin/program", 0o111, ""), ("bin/alias", 0o111 & 0o644, "/bin/program")]


def test_two_versions_share_their_layers(store: Path) -> None:
    manifests = [json.loads((store / "sha256" / digest[7:]).read_text()) for digest in
                 json.loads((store / "images.json").read_text()).values()]  # fmt: skip
    assert manifests[0]["layers"] == manifests[1]["layers"]
    assert manifests[0]["config"] != manifests[1]["config"]


@pytest.mark.parametrize(
    "path",
    [
        "x/a/manifests/b?ns=gcr.io",
        "x/a/manifests/a?ns=docker.io",
        "x/a/manifests/a",
        "x/a/blobs/sha256:00",
        "../etc/passwd",
    ],
)
def test_what_is_not_there_is_missing(address: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(f"{address}/v2/{path}")
    assert caught.value.code == 404


def test_archives_of_real_images_are_taken(tmp_path: Path, store: Path) -> None:
    listed = json.loads((store / "images.json").read_text())
    archives = tmp_path / "archives"
    archives.mkdir()
    entry = {"digest": listed["gcr.io/x/a:a"], "annotations": {"io.containerd.image.name": "gcr.io/x/a:a"}}
    with tarfile.open(archives / "a.tar", "w") as tar:
        data = json.dumps({"manifests": [entry]}).encode()
        info = tarfile.TarInfo("index.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        for blob in (store / "sha256").iterdir():
            tar.add(blob, f"blobs/sha256/{blob.name}")
    other = tmp_path / "other"
    other.mkdir()
    assert images.take_archives(archives, other) == ["gcr.io/x/a:a"]
    index = tmp_path / "index.json"
    images.catalogue(index, [other])
    assert registry.Catalogue(index).manifest("gcr.io/x/a", "a")


def test_an_archive_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"nothing")
    with pytest.raises(LabError, match=r"bad\.tar is not an OCI image archive"):
        images.take_archives(tmp_path, tmp_path)
