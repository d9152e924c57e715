"""The site's image registry: the read half of the OCI distribution protocol, over a directory of blobs.

A mirror in containerd's sense: the registry an image came from arrives as `?ns=`. What is not listed is a 404, so that
a version that does not exist is a real ImagePullBackOff on the machines.
"""

from __future__ import annotations

import http.server
import json
import re
import shutil
import sys
import typing as t
import urllib.parse
from pathlib import Path

PATH = re.compile(r"^/v2/(?P<name>[a-z0-9._/-]+)/(?P<kind>manifests|blobs)/(?P<reference>[\w.:+-]+)$")


class Catalogue:
    """Which reference is which manifest, and where blobs lie; read anew each time, so images can be added."""

    def __init__(self, index: Path) -> None:
        self.index = index

    def blob(self, digest: str) -> Path | None:
        """The file of a blob."""
        algorithm, _, value = digest.partition(":")
        for store in self._read()["stores"]:
            path = Path(store) / algorithm / value
            if path.is_file():
                return path
        return None

    def manifest(self, name: str, reference: str) -> tuple[str, Path] | None:
        """Digest and file of an image's manifest, by tag or by digest."""
        digest = reference if reference.startswith("sha256:") else self._read()["images"].get(f"{name}:{reference}")
        path = self.blob(digest) if digest else None
        return (digest, path) if digest and path else None

    def _read(self) -> dict[str, t.Any]:
        catalogue: dict[str, t.Any] = json.loads(self.index.read_text())
        return catalogue


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection to the registry."""

    catalogue: Catalogue
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the body."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path in ("/v2/", "/v2"):
            return self._send(200, b"{}", "application/json", body=body)
        found = PATH.match(url.path)
        if not found:
            return self._missing("NAME_UNKNOWN", body)
        origin = urllib.parse.parse_qs(url.query).get("ns", ["docker.io"])[0]
        if found["kind"] == "manifests":
            manifest = self.catalogue.manifest(f"{origin}/{found['name']}", found["reference"])
            if manifest is None:
                return self._missing("MANIFEST_UNKNOWN", body)
            digest, path = manifest
            data = path.read_bytes()
            kind = json.loads(data).get("mediaType", "application/vnd.oci.image.manifest.v1+json")
            return self._send(200, data, kind, digest=digest, body=body)
        blob = self.catalogue.blob(found["reference"])
        if blob is None:
            return self._missing("BLOB_UNKNOWN", body)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(blob.stat().st_size))
        self.send_header("Docker-Content-Digest", found["reference"])
        self.end_headers()
        if body:
            with blob.open("rb") as source:
                shutil.copyfileobj(source, self.wfile)
        return None

    def _missing(self, code: str, body: bool) -> None:
        self._send(
            404, json.dumps({"errors": [{"code": code, "message": "not here"}]}).encode(), "application/json", body=body
        )

    def _send(self, status: int, data: bytes, kind: str, *, body: bool, digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if body:
            self.wfile.write(data)


def serve(address: str, port: int, index: Path) -> None:
    """Serve until killed."""
    Handler.catalogue = Catalogue(index)
    http.server.ThreadingHTTPServer((address, port), Handler).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
