"""The probe of the fence expires the client that it means, and no other."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.modules import nfs_client_expire
from tests.unit.plugins.keys_support import run_module
from tests.unit.plugins.module_utils.test_expiry import ACTIVE, OTHER, Tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


def expired(tree: Tree, **more: t.Any) -> dict[str, t.Any]:
    return run_module(nfs_client_expire, path=str(tree.lock), addresses=[ACTIVE], **more)


def test_the_holder_is_expired(tree: Tree) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    tree.client(4, OTHER, 0, "open")
    result = expired(tree)
    assert (result["known"], result["expired"], result["changed"], result["problem"]) == (True, True, True, "")
    assert (tree.ctl(3), tree.ctl(4)) == ("expire\n", "")


def test_nothing_is_written_in_check_mode(tree: Tree) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    assert expired(tree, check=True)["expired"] is True and tree.ctl(3) == ""


@pytest.mark.parametrize("kind", ["lock", "deleg"])
def test_one_that_would_lose_more_is_not(tree: Tree, kind: str) -> None:
    folder = tree.client(3, ACTIVE, 0, "open", "lock")
    more = f'- 0x9: {{ type: {kind}, superblock: "00:00:1", filename: "beacon/beaconchain.db", owner: "x" }}\n'
    (folder / "states").write_text((folder / "states").read_text() + more)
    result = expired(tree)
    assert (result["known"], result["expired"], tree.ctl(3)) == (True, False, "")
    assert "beacon/beaconchain.db" in result["problem"]


def test_a_lock_that_the_server_does_not_know_is_no_proof(tree: Tree) -> None:
    for states in (["open"], ["open", "deleg"]):
        tree.client(3, ACTIVE, 0, *states)
        result = expired(tree)
        assert (result["known"], result["expired"], tree.ctl(3)) == (False, False, "")


def test_a_lock_of_another_node_is_not_touched(tree: Tree) -> None:
    tree.client(4, OTHER, 0, "open", "lock")
    assert OTHER in expired(tree)["problem"] and tree.ctl(4) == ""


def test_nobody_is_expired_in_the_grace_period(tree: Tree) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    (tree.root / "v4_end_grace").write_text("N\n")
    assert "grace period" in expired(tree)["problem"] and tree.ctl(3) == ""
