from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils._metrics import (
    KeyDuties,
    MetricsError,
    current_slot,
    duties,
    missing_proof,
    version,
)

KEY = "0x" + "ab" * 48
OTHER = "0x" + "cd" * 48
V7 = f"""# HELP validator_statuses validator statuses: 0 UNKNOWN, 1 DEPOSITED, 2 PENDING, 3 ACTIVE
# TYPE validator_statuses gauge
prysm_version{{buildDate="1970",commit="0000",version="v7.1.6"}} 1
validator_statuses{{index="0x14",pubkey="{KEY}"}} 3
validator_last_attested_slot{{pubkey="{KEY}"}} 1.234e+03
go_gc_duration_seconds{{quantile="0"}} NaN
"""
V1_2 = f'validator_statuses{{pubkey="{KEY}"}} 2\nprocess_start_time_seconds 1.6e+09 1395066363000\n'


def test_reads_what_a_client_says_of_its_keys() -> None:
    found = duties(V7)
    assert found.version == "v7.1.6"
    assert found.keys == {KEY: KeyDuties("ACTIVE", 1234)}


def test_a_client_before_v1_3_3_does_not_say_its_version() -> None:
    assert duties(V1_2) == (None, {KEY: KeyDuties("PENDING", None)})
    assert version(V1_2) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<html>404</html>", id="a-web-page"),
        pytest.param('validator_statuses{pubkey="0x12"} 3', id="short-key"),
        pytest.param("validator_statuses 3", id="no-key"),
        pytest.param(f'validator_statuses{{pubkey="{KEY}"}} three', id="no-number"),
        pytest.param(f'validator_statuses{{pubkey="{KEY}" 3', id="cut-off"),
    ],
)
def test_what_cannot_be_understood_is_an_error(text: str) -> None:
    with pytest.raises(MetricsError):
        duties(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        duties(text)
        current_slot(text)
    except MetricsError:
        pass


def test_the_clock_of_the_beacon_is_ahead_of_its_head() -> None:
    assert current_slot("beacon_clock_time_slot 12\nbeacon_head_slot 10\n") == 12
    assert current_slot("beacon_head_slot 10\n") == 10
    assert current_slot("up 1\n") is None


@pytest.mark.parametrize(
    ("key", "first", "now", "pending", "expected"),
    [
        pytest.param(None, None, 100, False, "not known", id="not-loaded"),
        pytest.param(KeyDuties("PENDING", None), None, 100, False, "status PENDING", id="pending"),
        pytest.param(KeyDuties("PENDING", None), None, 100, True, "", id="pending-accepted"),
        pytest.param(KeyDuties("EXITED", 90), None, 100, True, "status EXITED", id="exited"),
        pytest.param(KeyDuties("ACTIVE", None), None, 100, False, "no attestation yet", id="active-is-no-proof"),
        pytest.param(KeyDuties("ACTIVE", 0), None, 100, False, "no attestation yet", id="zero-is-never"),
        pytest.param(KeyDuties("ACTIVE", 90), None, 100, False, "", id="recent"),
        pytest.param(KeyDuties("ACTIVE", 83), None, 100, False, "last attested slot 83", id="older-than-two-epochs"),
        pytest.param(KeyDuties("ACTIVE", 83), 75, None, False, "", id="advanced"),
        pytest.param(KeyDuties("ACTIVE", 83), 83, None, False, "last attested slot 83", id="stands-still"),
    ],
)
def test_only_an_attestation_by_this_process_is_a_proof(
    key: KeyDuties | None, first: int | None, now: int | None, pending: bool, expected: str
) -> None:
    words = missing_proof(key, first, now, slots_per_epoch=8, accept_pending=pending)
    assert (words == "") if expected == "" else (expected in words)
