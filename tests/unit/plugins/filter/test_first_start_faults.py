"""Reasons for starting keys without their history are judged before any machine is asked."""

from __future__ import annotations

import pytest

from ansible_collections.eth2xk8s.staking.plugins.filter.first_start_faults import first_start_faults

KEY, OTHER = "0x" + "ab" * 48, "0x" + "cd" * 48
SITE = {"validator1": [KEY.upper().replace("0X", "0x")]}


def test_a_reason_for_a_key_of_the_site_is_one() -> None:
    assert first_start_faults({KEY: "the old disk is broken"}, SITE) == []


def test_a_key_that_has_left_one_wallet_and_is_not_yet_in_the_other_is_the_sites() -> None:
    """Else a move that was cut off there could not be finished."""
    assert first_start_faults({OTHER: "the old disk is broken"}, SITE, OTHER) == []


@pytest.mark.parametrize(
    ("because", "words"),
    [
        ({OTHER: "the old disk is broken"}, "is not a key of this site"),
        ({KEY: "yes"}, "say in a few words why"),
        ("yes", "must be a dictionary"),
        ({"0x12": "the old disk is broken"}, "in quotes"),
    ],
)
def test_what_is_no_reason_is_said(because: object, words: str) -> None:
    (fault,) = first_start_faults(because, SITE)
    assert words in fault
