"""What keys.yml makes of what it read: what speaks against a key is named, and what was not read stops nothing."""

from __future__ import annotations

import base64
import json
import re
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._site_keys import (
    never_signed,
    site_keys,
    unsigned,
)

ROOT = Path(__file__).parents[2]
KEY, OTHER = "0x" + "ab" * 48, "0x" + "cd" * 48
WALLET = {"kind": "wallet", "client": "validator1", "where": "/data/prysm/wallet-validator1"}
SIGNED = {"highest_slot": 1, "highest_source": 2, "highest_target": 3, "blacklisted": False}
RUNS = {"keys": {KEY: {"status": "ACTIVE", "last_attested_slot": 90}}, "unexpected": []}


def record(**watermarks: int | None) -> dict[str, str]:
    text = json.dumps({"keys": {KEY: {"slot": 1, "source": 2, "target": 3, **watermarks}}})
    return {"content": base64.b64encode(text.encode()).decode()}


def report(running: dict[str, t.Any] | None = None, **storage: t.Any) -> dict[str, t.Any]:
    kept = {
        "uniqueness": {"keys": {KEY: [WALLET]}, "wallets": []},
        "refused": "",
        "histories": {"validator1": {"keys": {KEY: SIGNED}}},
        "record": record(),
        **storage,
    }
    return site_keys(kept, {"clients": {"validator1": RUNS}} if running is None else running)


def test_a_key_that_lives_in_one_place_with_its_history() -> None:
    found = report()
    assert found["problems"] == []
    assert found["keys"] == [
        {
            "pubkey": KEY,
            "client": "validator1",
            "places": [WALLET],
            "signed": {"slot": 1, "source": 2, "target": 3},
            "record": {"slot": 1, "source": 2, "target": 3},
            "live": "ACTIVE",
            "last_attested_slot": 90,
        }
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"refused": "in two wallets"}, "in two wallets"),
        ({"record": record(slot=2)}, r"knows less than the record \(slot\)"),
        ({"record": record(source=3, target=4)}, r"knows less than the record \(source, target\)"),
        ({"histories": {"validator1": {"keys": {}}}}, r"knows less than the record \(slot, source, target\)"),
        ({"histories": {"validator1": {"keys": {KEY: {**SIGNED, "blacklisted": True}}}}}, "Prysm refuses its duties"),
        ({"record": {"msg": "permission denied"}}, "the record of signing could not be read: permission denied"),
        ({"record": {"content": base64.b64encode(b"{").decode()}}, "the record of signing could not be read: "),
        (
            {"record": {"content": base64.b64encode(b"[]").decode()}},
            "the record of signing could not be read: it is no",
        ),
        ({"uniqueness": {"unreachable": True, "msg": "no route"}}, "the wallets were not read: no route"),
        ({"uniqueness": None}, "the wallets were not read: no answer"),
        ({"running": {"msg": "no cluster"}}, "the running clients could not be asked: no cluster"),
        (
            {"running": {"clients": {"validator1": {**RUNS, "unexpected": [OTHER]}}}},
            f"validator1 signs with {OTHER}, which is not in its wallet",
        ),
    ],
)
def test_what_speaks_against_a_key_is_named(given: dict[str, t.Any], problem: str) -> None:
    (found,) = report(**given)["problems"]
    assert re.search(problem, found)


def test_a_history_that_was_not_read_is_named_and_counts_as_less() -> None:
    found = report(histories={"validator1": {"msg": "damaged"}})["problems"]
    assert found[0] == "validator1: damaged"
    assert "knows less than the record" in found[1]


def test_a_site_without_a_record_has_nothing_against_it() -> None:
    found = report(record={"msg": "file not found: /data/prysm/.history/record.json"})
    assert found["problems"] == []
    assert found["keys"][0]["record"] is None


@pytest.mark.parametrize("places", [[], [{**WALLET, "client": ""}], [{**WALLET, "kind": "keystore"}]])
def test_a_key_of_no_client_is_not_compared_with_the_record(places: list[dict[str, t.Any]]) -> None:
    found = report(uniqueness={"keys": {KEY: places}}, record=record(slot=9))
    assert found["problems"] == []
    assert found["keys"][0]["client"] == ""


def test_of_two_owners_neither_is_named() -> None:
    found = report(uniqueness={"keys": {KEY: [WALLET, {**WALLET, "client": "validator2"}]}})
    assert found["keys"][0]["client"] == ""


def test_nothing_read_at_all_is_a_report() -> None:
    assert len(site_keys({}, {})["problems"]) == 3


def test_keys_that_have_never_signed_are_those_of_histories_that_were_read() -> None:
    empty = {"highest_slot": None, "highest_source": None, "highest_target": None}
    wallets = {"validator1": [KEY, OTHER]}
    assert never_signed({"validator1": {"keys": {KEY: SIGNED}}}, wallets) == [OTHER]
    assert never_signed({"validator1": {"keys": {KEY: {**empty, "highest_slot": 0}, OTHER: empty}}}, wallets) == [OTHER]
    assert never_signed({"validator1": {"failed": True}}, wallets) == []
    assert never_signed({}, wallets) == []


def test_the_text_lays_out_what_the_report_says() -> None:
    text = (ROOT / "playbooks/templates/keys.txt.j2").read_text(encoding="utf-8")
    said = Templar(DataLoader(), variables={"site_keys": report()}).template(trust_as_template(text))
    assert "client: validator1; live, ACTIVE, attested slot 90" in said
    assert "signed up to block 1, source 2, target 3; on record" in said
    assert "Every key lives in one place, with its history." in said


@pytest.mark.parametrize(
    ("signed", "never"),
    [
        pytest.param({}, True, id="not-on-record"),
        pytest.param({"slot": None, "source": None, "target": None, "blocks": [], "votes": None}, True, id="nothing"),
        pytest.param({"slot": 0}, False, id="the-first-slot"),
        pytest.param({"target": 3}, False, id="a-vote"),
        pytest.param({"votes": {}}, False, id="votes-without-numbers"),
        pytest.param({"blocks": [{"slot": 4}]}, False, id="a-block"),
    ],
)
def test_a_key_has_never_signed_when_nothing_of_it_is_on_record(signed: dict[str, t.Any], never: bool) -> None:
    record = {"keys": {KEY: signed} if signed else {}}
    assert unsigned(record, [KEY.upper().replace("0X", "0x"), OTHER]) == ([KEY, OTHER] if never else [OTHER])
