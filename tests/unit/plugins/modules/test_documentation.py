"""Every module documents the options it takes; ansible-test asks the same before a release, and takes minutes."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import get_docstring

ROOT = Path(__file__).parents[4]
PREFIX = "ansible_collections.eth2xk8s.staking.plugins.modules."
#: Those that are an action plugin: what they take is read on the controller.
ACTIONS = {path.stem for path in ROOT.glob("plugins/action/*.py")}
MODULES = sorted({path.stem for path in ROOT.glob("plugins/modules/*.py")} - ACTIONS)
COMPARED = {"type": "str", "required": False, "default": None, "choices": None, "elements": None}

Options = dict[str, dict[str, t.Any]]


class Taken(Exception):
    """What a module gives to AnsibleModule."""


def spec_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Options:
    module = importlib.import_module(PREFIX + name)

    def take(*args: t.Any, **given: t.Any) -> t.NoReturn:
        raise Taken(args[0] if args else given["argument_spec"])

    monkeypatch.setattr(module, "AnsibleModule", take)
    with pytest.raises(Taken) as taken:
        module.main()
    return t.cast("Options", taken.value.args[0])


def plain(options: Options, nested: str) -> Options:
    """Of each option what both sides say, in one form."""
    found: Options = {}
    for name, given in options.items():
        found[name] = {key: given.get(key) or missing for key, missing in COMPARED.items()}
        if given.get("type") == "bool" and "default" in given:
            found[name]["default"] = basic.boolean(given["default"])
        if given.get(nested):
            found[name]["options"] = plain(given[nested], nested)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_the_options_are_those_that_are_documented(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    doc = get_docstring(
        str(ROOT / f"plugins/modules/{name}.py"), fragment_loader, collection_name="eth2xk8s.staking", is_module=True
    )[0]
    assert plain(spec_of(name, monkeypatch), "options") == plain(doc["options"], "suboptions")
