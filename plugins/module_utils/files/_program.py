# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""A program with the parts of this collection that it imports: all that it needs on a machine besides Python."""

from __future__ import annotations

import ast
import functools
import os
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import is_directory, is_file

COLLECTIONS = "ansible_collections"
#: What a program may import of the collection. No __init__.py above it is ours.
PACKAGE = f"{COLLECTIONS}.eth2xk8s.staking.plugins.module_utils"


def imported(source: str, where: str) -> list[tuple[str, tuple[str, ...]]]:
    """What a source imports of the collection, anywhere in it: a name, and those that it takes from there."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(source, where)):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{where}, line {node.lineno}: an import must have its whole name")
            found.append((node.module or "", tuple(alias.name for alias in node.names)))
    found = [one for one in found if one[0].partition(".")[0] == COLLECTIONS]
    for name, _taken in found:
        if not f"{name}.".startswith(f"{PACKAGE}."):
            raise ValueError(f"{where} imports {name}, which is not below {PACKAGE}")
    return found


def _place(name: str, utils: str) -> str:
    return os.path.join(utils, *name[len(PACKAGE) :].split("."))


def _files_of(name: str, utils: str) -> list[str] | None:
    """The files that Python reads for a name, as modules below the package; None where it is no module."""
    place = _place(name, utils)
    if not is_file(f"{place}.py") and not is_directory(place):
        return None
    parts = name[len(PACKAGE) :].split(".")
    above = [".".join([PACKAGE, *parts[1:count]]) for count in range(1, len(parts) + 1)]
    found = [f"{package}.__init__" for package in above if is_file(os.path.join(_place(package, utils), "__init__.py"))]
    return [*found, name] if is_file(f"{place}.py") else found


def _read_by(source: str, where: str, utils: str) -> t.Iterator[str]:
    """The modules that Python reads for the imports of a source."""
    for name, taken in imported(source, where):
        files = _files_of(name, utils)
        if files is None:
            raise ValueError(f"{where} imports {name}, which is not there")
        yield from files
        # What a file gives is rarely a module; a directory without one holds nothing else.
        of_a_file = files[-1:] in ([name], [f"{name}.__init__"])
        for one in taken:
            below = _files_of(f"{name}.{one}", utils)
            if below is None and not of_a_file:
                raise ValueError(f"{where} imports {name}.{one}, which is not there")
            yield from below or []


def _text(path: str) -> str:
    with open(path, "rb") as handle:
        return handle.read().decode("utf-8")


@functools.lru_cache(maxsize=None)
def _needed(path: str, utils: str) -> tuple[tuple[str, str], ...]:
    source = _text(path)
    found: dict[str, str] = {}
    waiting = list(_read_by(source, path, utils))
    while waiting:
        name = waiting.pop()
        below = f"{name.replace('.', '/')}.py"
        if below not in found:
            place = f"{_place(name, utils)}.py"
            found[below] = _text(place)
            waiting += _read_by(found[below], place, utils)
    return ((os.path.basename(path), source), *sorted(found.items()))


def needed(path: str, utils: str) -> dict[str, str]:
    """Content by path below the directory of the program: it, and each module that it imports, however indirectly.

    utils is the directory of the package on this machine. OSError, StakingError, SyntaxError or ValueError where
    something cannot be read or followed. A program is read once in a process.
    """
    return dict(_needed(path, utils))
