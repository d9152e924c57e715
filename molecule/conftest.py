"""What the tests of several scenarios share."""

from __future__ import annotations

import os
import typing as t

import pytest
import testinfra


@pytest.fixture(scope="module")
def machine(host: t.Any) -> t.Callable[[str], t.Any]:
    """Another machine of the inventory by its name, logged in to as `lab exec` says."""
    inventory, config = host.backend.ansible_runner.inventory_file, os.environ["LAB_SSH_CONFIG"]
    return lambda name: testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory, ssh_config=config)
