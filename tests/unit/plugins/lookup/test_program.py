"""A program of a role with its modules, as text_tree writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader

ROOT = Path(__file__).parents[4]
UTILS = "ansible_collections/eth2xk8s/staking/plugins/module_utils"


def look_up(*terms: str, role: str) -> list[dict[str, str]]:
    return lookup_loader.get("eth2xk8s.staking.program").run(list(terms), {}, role=role)


def test_a_program_of_a_role_by_its_name() -> None:
    (found,) = look_up("eth2xk8s-expire.py", role="nfs_server")
    assert found["eth2xk8s-expire.py"] == (ROOT / "roles/nfs_server/files/eth2xk8s-expire.py").read_text()
    assert found[f"{UTILS}/hosts/_expiry.py"] == (ROOT / "plugins/module_utils/hosts/_expiry.py").read_text()


@pytest.mark.parametrize(("name", "role"), [("gone.py", "nfs_server"), ("eth2xk8s-expire.py", "gone")])
def test_one_that_is_not_there_is_an_error(name: str, role: str) -> None:
    with pytest.raises(AnsibleError, match=r"A program cannot be put together: .*gone"):
        look_up(name, role=role)
