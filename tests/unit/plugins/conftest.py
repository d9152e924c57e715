"""A module is a process of its own: what another test did must not change what it says."""

from __future__ import annotations

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings


@pytest.fixture(autouse=True)
def a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No warnings of earlier modules; not the controller, which a test that loads Ansible's templates becomes."""
    warnings._global_warnings.clear()
    monkeypatch.setattr(_internal, "is_controller", False)
    # What a module allows itself would hold for all tests after it.
    monkeypatch.setattr("resource.setrlimit", lambda *_args: None)
