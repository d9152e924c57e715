from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.eth2xk8s.staking.plugins.modules import slashing_protection_gather
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, ROOT_B, interchange, run_module, tree_of, write_database

A, B = PUBKEYS[:2]
R1 = b"\x01" * 32


def run(tmp_path: Path, check: bool = False, **more: t.Any) -> dict[str, t.Any]:
    (tmp_path / "one.json").write_text(json.dumps(interchange({A: ([(5, R1)], [(1, 2, None)])})))
    params: dict[str, t.Any] = {
        "sources": [str(tmp_path / "one.json")],
        "pubkeys": [A.upper().replace("0X", "0x"), B],
        "database": str(tmp_path / "data/validator.db"),
        "dest": str(tmp_path / "history.json"),
        "owner": -1,
        "group": -1,
        **more,
    }
    return run_module(slashing_protection_gather, check, **params)


def test_writes_what_is_lacking_and_says_so(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result["changed"] and result["keys"] == 1 and result["without"] == [B]
    assert result["lacking"][A] and result["genesis_validators_root"] == ROOT_A
    assert (tmp_path / "history.json").exists()


def test_check_mode_writes_nothing_and_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text("")
    result = run(tmp_path, check=True)
    before = tree_of(tmp_path)
    assert result["changed"] and "history.json" not in before
    assert {k: v for k, v in run(tmp_path).items() if k != "_printed"} == {
        k: v for k, v in result.items() if k != "_printed"
    }


def test_a_database_that_knows_it_all_is_no_change(tmp_path: Path) -> None:
    write_database(tmp_path / "data", {A: ([(5, R1)], [(1, 2, R1)])})
    result = run(tmp_path)
    assert not result["changed"] and result["lacking"] == {} and result["keys"] == 0


def test_refusals_are_one_sentence(tmp_path: Path) -> None:
    result = run(tmp_path, genesis_validators_root=ROOT_B)
    assert result["failed"] and "different networks" in result["msg"]
    assert "not a 48-byte" in run(tmp_path, pubkeys=["0x12"])["msg"]


def test_keys_of_others_are_warned_about(tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(json.dumps(interchange({B: ([(5, R1)], []), A: ([(5, R1)], [])})))
    result = run(tmp_path, pubkeys=[B], sources=[str(tmp_path / "two.json")])
    assert result["changed"] and "1 keys that are not this client's" in result["_printed"]
    assert list(result["others"].values()) == [1]
