"""What YAML makes of values without quotes: each form is named, and none is quoted."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.filter.validator_entry_faults import validator_entry_faults

GOOD = """
- name: v1
  keystores: [/secure/keys]
  keystore_password: "01234567"
  wallet_password: Wallet-pass-123
  fee_recipient: "0x000000000000000000000000000000000000dEaD"
- name: "2"
  keystores:
    - /secure/more
  keystore_passwords:
    "0x00": "1e10"
  wallet_password_file: /secure/password
"""

#: Not 1e10: for YAML 1.1 that is text.
CHANGED = [
    "01234567",
    "1_000_000",
    "1.0e+10",
    "2021-12-01",
    "yes",
    "Off",
    "0x1F",
    "1:30",
    ".inf",
    "12",
    "2021-12-01 10:00:00",
]


def faults(text: str, **lists: t.Any) -> list[str]:
    return validator_entry_faults(yaml.safe_load(text), **lists)


def test_what_is_in_order_has_no_fault() -> None:
    assert faults(GOOD, prysm_wallet_reinstate=["0x00"]) == []


@pytest.mark.parametrize("value", CHANGED)
@pytest.mark.parametrize("field", ["keystore_password", "wallet_password", "fee_recipient", "graffiti", "data_dir"])
def test_a_value_that_is_no_text_is_named_and_not_quoted(field: str, value: str) -> None:
    [fault] = faults(f"- name: v1\n  {field}: {value}\n")
    assert fault.startswith(f"v1: YAML reads {field} as a") and fault.endswith("; put it in quotes")
    assert value not in fault and str(yaml.safe_load(value)) not in fault
    assert faults(f"- name: v1\n  {field}: '{value}'\n") == []


@pytest.mark.parametrize("value", CHANGED)
def test_passwords_by_key_are_looked_at_too(value: str) -> None:
    text = f"- name: v1\n  keystore_passwords:\n    0x{'12' * 48}: {value}\n"
    assert [fault.partition(" as ")[0] for fault in faults(text)] == [
        "v1: YAML reads key 1 of keystore_passwords",
        "v1: YAML reads password 1 of keystore_passwords",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- name: v1\n  keystores: /x\n", "v1: keystores must be a list, each path behind a dash"),
        ("- name: v1\n  keystores: {a: b}\n", "v1: keystores must be a list, each path behind a dash"),
        ("- name: v1\n  keystores: [5]\n", "v1: keystores has an entry that is not a path; put it in quotes"),
        ("- name: v1\n  keystores: [[a]]\n", "v1: keystores has an entry that is not a path; put it in quotes"),
        (
            "- name: v1\n  keystore_passwords: x\n",
            "v1: keystore_passwords must be a dictionary (key or file name: password)",
        ),
        ("- name: v1\n  wallet_password:\n", "v1: wallet_password is empty; give it a value, or leave it out"),
        ("- name: 1\n", "entry 1 of prysm_validators: YAML reads name as a number; put it in quotes"),
        ("- v1\n", "entry 1 of prysm_validators is text; it must be a dictionary with a name"),
        ("name: v1\n", "prysm_validators is a dictionary; it must be a list, each entry behind a dash"),
        ("", "prysm_validators is nothing; it must be a list, each entry behind a dash"),
    ],
)
def test_what_is_no_list_and_no_entry_is_named(text: str, fault: str) -> None:
    assert faults(text) == [fault]


def test_other_lists_of_text_are_looked_at() -> None:
    assert faults(GOOD, prysm_wallet_reinstate=[0xAB]) == [
        "prysm_wallet_reinstate: YAML reads item 1 as a number; put it in quotes"
    ]
    assert faults(GOOD, prysm_wallet_reinstate="0xab") == [
        "prysm_wallet_reinstate must be a list, each item behind a dash"
    ]
