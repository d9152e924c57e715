"""How long the role waits until every node has the images: a look that fails decides nothing."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from tests.unit.roles.test_host_roles import ROOT, evaluate


def until(path: Path) -> str:
    block = next(task for task in yaml.safe_load(path.read_text(encoding="utf-8")) if "block" in task)
    return str(block["block"][0]["until"])


def pod(phase: str, message: str = "") -> dict[str, t.Any]:
    return {"status": {"phase": phase, "containerStatuses": [{"state": {"waiting": {"message": message}}}]}}


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        pytest.param({"resources": [pod("Succeeded"), pod("Succeeded")]}, True, id="all"),
        pytest.param({"resources": [pod("Succeeded"), pod("Running")]}, False, id="one-runs"),
        pytest.param({"resources": [pod("Pending", "dial tcp: timeout")]}, False, id="registry-is-slow"),
        pytest.param({"resources": [pod("Running"), pod("Failed")]}, True, id="failed"),
        pytest.param({"resources": [pod("Pending", "manifest unknown")]}, True, id="no-such-image"),
        pytest.param({"resources": []}, False, id="none-yet"),
        pytest.param({"failed": True, "msg": "the API server does not answer"}, False, id="no-answer"),
    ],
)
def test_it_waits_until_there_is_something_to_say(answer: dict[str, t.Any], done: bool) -> None:
    expression = until(ROOT / "roles/prysm_helm/tasks/images.yml")
    assert evaluate("prysm_helm", expression, __prysm_helm_fetch=answer) is done
