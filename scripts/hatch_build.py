"""Hatch's part of packaging: the files that galaxy.yml lists go into the wheel, and nothing else does."""

from __future__ import annotations

import typing as t
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INTO = "ansible_collections/eth2xk8s/staking"
#: What a wheel is built from, besides.
SOURCES = ("galaxy.yml", "scripts/hatch_build.py")


def shipped(root: Path) -> list[str]:
    """The directives of galaxy.yml, each of which must name one file."""
    _, found, listed = (root / "galaxy.yml").read_text(encoding="utf-8").partition("\n  directives:\n")
    names = [line.removeprefix("    - include ") for line in listed.splitlines()]
    wrong = [name for name in names if set(name) & set("*?[] ") or not (root / name).is_file()]
    if not found or not names or wrong:
        raise ValueError(f"galaxy.yml must list files, one a line, that are there: {wrong} (make manifest)")
    return names


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Replaces Hatch's own choice of files."""

    def initialize(self, version: str, build_data: dict[str, t.Any]) -> None:
        root = Path(self.root)
        names = shipped(root)
        if self.target_name == "wheel":
            places = {name: f"{INTO}/{name}" for name in [*names, "galaxy.yml"]}
        else:
            places = {name: name for name in [*names, *SOURCES]}
        build_data["force_include"].update({str(root / name): place for name, place in places.items()})
