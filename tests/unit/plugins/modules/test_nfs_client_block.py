"""A node is kept from the NFS server first, then forgotten; and what comes back is said."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _expiry, _nfs_block
from ansible_collections.eth2xk8s.staking.plugins.modules import nfs_client_block
from tests.unit.plugins.keys_support import run_module
from tests.unit.plugins.module_utils.test_expiry import ACTIVE, OTHER, Tree


class Firewall:
    """iptables, as far as rules of INPUT go; and what happened in which order."""

    def __init__(self) -> None:
        self.rules: list[list[str]] = []
        self.events: list[str] = []
        self.broken = ""

    def run(self, command: t.Sequence[str]) -> tuple[int, str]:
        program, _, action, chain, *words = command
        assert (program in ("iptables", "ip6tables"), chain) == (True, "INPUT")
        if self.broken:
            return 4, self.broken
        rule = [program, *(words[1:] if action == "-I" else words)]
        if action == "-C":
            return (0 if rule in self.rules else 1), ""
        self.events.append(action)
        if action == "-I":
            assert words[0] == "1"
            self.rules.insert(0, rule)
        else:
            self.rules.remove(rule)
        return 0, ""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


@pytest.fixture
def firewall(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Firewall:
    """And a server that forgets whom it is told to forget."""
    made = Firewall()
    monkeypatch.setattr(nfs_client_block, "WATCHED", 0.3)
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.run_command",
        lambda _self, command: (*made.run(command), ""),
    )

    def expire(number: str) -> None:
        made.events.append("expire")
        folder = tree.root / "clients" / number
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()

    monkeypatch.setattr(_expiry, "expire", expire)
    return made


def asked(**more: t.Any) -> dict[str, t.Any]:
    return run_module(nfs_client_block, addresses=[ACTIVE], **more)


def test_it_is_blocked_before_it_is_forgotten(tree: Tree, firewall: Firewall) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    tree.client(4, OTHER, 0, "open", "lock")
    result = asked()
    assert (result["changed"], result["blocked"], result["expired"]) == (True, [ACTIVE], 1)
    assert firewall.events == ["-I", "expire"]
    assert [path.name for path in (tree.root / "clients").iterdir()] == ["4"]
    assert asked()["changed"] is False


def test_it_is_let_in_again(tree: Tree, firewall: Firewall) -> None:
    asked()
    assert asked(state="allowed")["changed"] is True
    assert (firewall.rules, asked(state="allowed")["changed"]) == ([], False)


def test_every_address_has_the_program_of_its_family(tree: Tree, firewall: Firewall) -> None:
    run_module(nfs_client_block, addresses=[ACTIVE, "fd00::2"])
    assert sorted(rule[0] for rule in firewall.rules) == ["ip6tables", "iptables"]


def test_one_that_comes_back_is_no_success(tree: Tree, firewall: Firewall, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    monkeypatch.setattr(_expiry, "expire", lambda _number: None)
    result = asked(timeout=1)
    assert result["failed"] and f"still knows {ACTIVE}" in result["msg"]


def test_nothing_is_done_in_the_grace_period(tree: Tree, firewall: Firewall) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    (tree.root / "v4_end_grace").write_text("N\n")
    result = asked(timeout=0)
    assert result["failed"] and "grace period" in result["msg"] and firewall.events == []


def test_a_firewall_that_fails_is_said_and_nobody_is_forgotten(tree: Tree, firewall: Firewall) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    firewall.broken = "Permission denied (you must be root)"
    result = asked()
    assert result["failed"] and "Permission denied" in result["msg"] and firewall.events == []


def test_check_mode_changes_nothing(tree: Tree, firewall: Firewall) -> None:
    tree.client(3, ACTIVE, 0, "open", "lock")
    assert asked(check=True)["changed"] is True and firewall.events == []


def test_what_is_no_address_is_named() -> None:
    with pytest.raises(_nfs_block.BlockError, match="'worker' is no IP address"):
        _nfs_block.tool("worker")
