# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""The library kubernetes, as far as it reads kubeconfigs and sends requests.

Importing it whole loads some 700 models of objects, which takes longer than most modules do their work; here objects
are JSON, and no model is used. Where its parts cannot be loaded alone, the whole library is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import typing as t


class Library(t.NamedTuple):
    """What is used of it: kubernetes.config and kubernetes.client.rest.ApiException."""

    config: t.Any
    api_exception: t.Any


def _ours(name: str) -> bool:
    return name == "kubernetes" or name.startswith("kubernetes.")


def _parts() -> Library:
    """The parts, under packages that are empty but for them."""
    found = importlib.util.find_spec("kubernetes")
    if found is None or not found.submodule_search_locations:
        raise ImportError("no package kubernetes")
    place = next(iter(found.submodule_search_locations))
    for name, paths in (
        ("kubernetes", [place]),
        ("kubernetes.client", [f"{place}/client"]),
        ("kubernetes.client.models", []),
    ):
        package = types.ModuleType(name)
        package.__path__ = paths
        sys.modules[name] = package
    client = t.cast(t.Any, sys.modules["kubernetes.client"])
    sys.modules["kubernetes"].client = client  # type: ignore[attr-defined]
    client.models = sys.modules["kubernetes.client.models"]
    client.Configuration = importlib.import_module("kubernetes.client.configuration").Configuration
    client.ApiClient = importlib.import_module("kubernetes.client.api_client").ApiClient
    rest = importlib.import_module("kubernetes.client.rest")
    return Library(importlib.import_module("kubernetes.config"), rest.ApiException)


def load() -> Library:
    """The library's parts, or the library; ImportError if it is not there."""
    if not any(map(_ours, sys.modules)):
        try:
            return _parts()
        except (ImportError, AttributeError):
            pass
        finally:
            # Whoever imports the library gets all of it.
            for name in list(filter(_ours, sys.modules)):
                del sys.modules[name]
    return Library(
        importlib.import_module("kubernetes.config"),
        importlib.import_module("kubernetes.client.rest").ApiException,
    )
