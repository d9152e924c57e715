"""A program and the modules that it imports: all that a machine without the collection needs, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._program import PACKAGE, needed

ROOT = Path(__file__).parents[4]
BELOW = PACKAGE.replace(".", "/")


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def parts(tmp_path: Path, source: str, modules: dict[str, str] | None = None) -> dict[str, str]:
    """Of a program, and a package of these modules."""
    program = written(tmp_path, {"program.py": source}) / "program.py"
    written(tmp_path / "utils", {"files/_lone.py": "", **(modules or {})})
    return needed(str(program), str(tmp_path / "utils"))


def names(found: dict[str, str]) -> list[str]:
    assert next(iter(found)) == "program.py"
    return [name.removeprefix(f"{BELOW}/") for name in found if name != "program.py"]


def test_a_program_alone(tmp_path: Path) -> None:
    assert parts(tmp_path, "#!/usr/bin/python3\r\nimport os, yaml\n") == {
        "program.py": "#!/usr/bin/python3\r\nimport os, yaml\n"
    }


@pytest.mark.parametrize(
    "words",
    [
        f"from {PACKAGE}.files import _a, _b",
        f"import {PACKAGE}.files._a as a, os\nimport {PACKAGE}.files._b",
        f"from {PACKAGE}.files._a import Thing\ndef later():\n    from {PACKAGE}.files._b import other",
        f"try:\n    import {PACKAGE}.files._a\nexcept ImportError:\n    from {PACKAGE}.files import _b",
    ],
)
def test_every_way_to_import_is_followed(tmp_path: Path, words: str) -> None:
    found = parts(tmp_path, words, {"files/_a.py": "Thing = 1\n", "files/_b.py": "other = 2\n"})
    assert found == {"program.py": words, f"{BELOW}/files/_a.py": "Thing = 1\n", f"{BELOW}/files/_b.py": "other = 2\n"}


def test_imports_of_imports_are_followed_also_in_a_circle(tmp_path: Path) -> None:
    found = parts(
        tmp_path,
        f"from {PACKAGE}.keys._a import a",
        {
            "keys/_a.py": f"from {PACKAGE}.files._b import b",
            "files/_b.py": f"from {PACKAGE}.hosts import _c",
            "hosts/_c.py": f"from {PACKAGE}.keys import _a",
            "hosts/_not_used.py": "",
        },
    )
    assert names(found) == ["files/_b.py", "hosts/_c.py", "keys/_a.py"]


def test_a_package_comes_with_what_python_reads_for_it(tmp_path: Path) -> None:
    found = parts(
        tmp_path,
        f"from {PACKAGE}.keys import _a, Thing",
        {"keys/__init__.py": f"from {PACKAGE}.files import _b", "keys/_a.py": "", "files/_b.py": ""},
    )
    assert names(found) == ["files/_b.py", "keys/__init__.py", "keys/_a.py"]


def test_a_name_that_is_gone_is_an_error_also_below_a_package_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"files\._gone, which is not there"):
        parts(tmp_path, f"from {PACKAGE}.files import _gone", {"__init__.py": ""})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("from . import _a", r"program\.py, line 1: an import must have its whole name"),
        (f"from {PACKAGE}.files._gone import x", r"program\.py imports .*files\._gone, which is not there"),
        (f"from {PACKAGE}.files import _gone", r"program\.py imports .*files\._gone, which is not there"),
        (f"import {PACKAGE}.gone", r"imports .*\.gone, which is not there"),
        ("import ansible_collections.eth2xk8s.staking.plugins.filter.x", "is not below"),
        (f"import {PACKAGE}_other", "is not below"),
        ("from ansible_collections.community.general import x", "is not below"),
        ("def", "invalid syntax"),
    ],
)
def test_what_cannot_be_followed_is_an_error(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises((ValueError, SyntaxError), match=words):
        parts(tmp_path, source)


@pytest.mark.parametrize(
    "path",
    [program for program in ROOT.glob("roles/*/files/*.py") if PACKAGE in program.read_text()],
    ids=lambda p: p.stem,
)
def test_of_our_programs_it_is_what_python_itself_loads(tmp_path: Path, path: Path) -> None:
    found = needed(str(path), str(ROOT / "plugins/module_utils"))
    program = written(tmp_path, found) / path.name
    asked = (
        f"import runpy, sys; runpy.run_path({str(program)!r})\n"
        "print(*filter(None, (getattr(one, '__file__', None) for one in sys.modules.values())), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", asked], capture_output=True, text=True, check=True, timeout=60, cwd="/"
    )
    loaded = {Path(line) for line in done.stdout.splitlines() if line.startswith(f"{tmp_path}/")}
    assert loaded == {tmp_path / name for name in found} - {program}
    assert loaded
