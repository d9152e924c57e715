"""The README's commands, as they stand there and in their order, after `make rehearsal`.

About 25 minutes; once a release.
"""

from __future__ import annotations

import re
import shlex

import pytest

from lab import ROOT

from .conftest import Lab
from .test_03_move_key import MOVED

pytestmark = pytest.mark.by_hand


def commands(heading: str) -> list[str]:
    """The indented lines below a heading, without their remarks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in part.splitlines() if line.startswith("    ")]
    return [one.strip() for line in lines for one in line.split(";") if one.strip()]


TRY = [line for line in commands("Try it") if line.startswith("bin/lab") and line != "bin/lab down"]
#: A move of a key needs an edit of the inventory (test_03_move_key), a failover a node that is gone (test_04_failover).
ELSEWHERE = ("move_key", "failover")
#: What a reader puts in place of what stands there.
USE = [
    line
    for line in commands("Use it")
    if line.startswith("ansible-playbook") and not any(word in line for word in ELSEWHERE)
]


def test_the_readme_has_commands() -> None:
    assert "bin/lab exec -- ansible-playbook site.yml" in TRY
    assert len(TRY) >= 5
    assert len(USE) >= 9


def test_the_rehearsal_itself(lab: Lab) -> None:
    """What `make rehearsal` types, read from the Makefile."""
    recipe = (ROOT / "Makefile").read_text().partition("\nrehearsal:")[2].partition("\n\n")[0]
    lines = [line.strip().lstrip("@") for line in recipe.splitlines()[1:] if "$(LAB)" in line]
    for line in [line for line in lines if "lab up" not in line and "|| $(LAB) up" not in line]:
        typed(lab, line.replace("$(LAB)", "bin/lab"))


def typed(lab: Lab, line: str) -> str:
    words = shlex.split(line.replace(">/dev/null", ""))
    assert words.pop(0) == "bin/lab"
    return lab.command(*words, timeout=1800).stdout


@pytest.mark.parametrize("line", TRY)
def test_commands_to_try(lab: Lab, line: str) -> None:
    output = typed(lab, line)
    if line.endswith("site.yml"):
        assert set(re.findall(r"changed=(\d+)", output)) == {"0"}
    if "power-on" in line:
        lab.wait("both nodes are back", lambda: all(lab.nodes_ready().values()), seconds=180)
        lab.all_sign_on(seconds=120)


def test_the_line_that_moves_a_key_is_one_the_playbook_takes(lab: Lab) -> None:
    (line,) = [line for line in commands("Use it") if "move_key" in line]
    done = lab.play(*shlex.split(line.replace("0x…", MOVED))[1:], check=False)
    assert done.failed
    assert "First move the keystore" in done.said


@pytest.mark.parametrize("line", USE)
def test_commands_for_the_site(lab: Lab, line: str) -> None:
    words = shlex.split(line)
    if "node=worker" in words:
        lab.play(*words[1:])
        lab.play(*words[1:], "-e", "node_state=uncordoned")
    else:
        lab.play(*words[1:])
