from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import (
    FINISHED,
    STATUS_NAMES,
    WAITS_FOR,
    KeyDuties,
    MetricsError,
    duties,
    head_slot,
    judge,
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
        head_slot(text)
    except MetricsError:
        pass


def sample(status: int, index: str = "") -> str:
    label = f',index="{index}"' if index else ""
    return f'validator_statuses{{pubkey="{KEY}"{label}}} {status}\n'


NONE = "0xffffffffffffffff"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param(sample(0, NONE), "UNKNOWN", id="no-deposit"),
        pytest.param(sample(0, NONE) + sample(3, "0x14"), "ACTIVE", id="activated-while-it-ran"),
        pytest.param(sample(3, "0x14") + sample(0, NONE), "ACTIVE", id="whatever-the-order"),
        pytest.param(sample(1, NONE) + sample(2, "0x0"), "PENDING", id="index-zero-is-one"),
        pytest.param(sample(3, NONE) + sample(6, "0x14"), "EXITED", id="the-real-index-wins"),
        pytest.param(sample(2), "PENDING", id="before-v5.2.0"),
        pytest.param(sample(0, "18446744073709551615") + sample(3, "20"), "ACTIVE", id="decimal"),
        pytest.param(sample(2, "0x14") + sample(3, "0x15"), "ACTIVE", id="two-real-ones-demand-duties"),
    ],
)
def test_of_two_statuses_of_one_key_the_real_index_counts(text: str, status: str) -> None:
    assert duties(text).keys[KEY].status == status


def test_statuses_have_the_names_of_prysms_enum() -> None:
    names = [duties(sample(number)).keys[KEY].status for number in range(10)]
    assert names == [
        "UNKNOWN",
        "DEPOSITED",
        "PENDING",
        "ACTIVE",
        "EXITING",
        "SLASHING",
        "EXITED",
        "INVALID",
        "PARTIALLY_DEPOSITED",
        "status 9",
    ]


@pytest.mark.parametrize("text", [sample(3, "x"), sample(3).replace(" 3", " NaN"), sample(3).replace(" 3", " +Inf")])
def test_a_status_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(MetricsError):
        duties(text)


def test_the_head_is_read_and_the_metric_of_the_clock_never() -> None:
    assert head_slot("beacon_clock_time_slot 12\nbeacon_head_slot 10\n") == 10
    assert head_slot("beacon_clock_time_slot 12\n") is None
    assert head_slot("beacon_head_slot NaN\n") is None


@pytest.mark.parametrize(
    ("key", "first", "now", "pending", "kind", "words"),
    [
        pytest.param(None, None, 100, False, "missing", "not known", id="not-loaded"),
        pytest.param(KeyDuties(None, 99), None, 100, True, "missing", "not known", id="no-status"),
        pytest.param(KeyDuties("ACTIVE", None), None, 100, False, "missing", "no attestation yet", id="active-only"),
        pytest.param(KeyDuties("ACTIVE", 0), None, 100, False, "missing", "no attestation yet", id="zero-is-never"),
        pytest.param(KeyDuties("ACTIVE", 90), None, 100, False, "proved", "", id="recent"),
        pytest.param(KeyDuties("EXITING", 90), None, 100, False, "proved", "", id="exiting-has-duties"),
        pytest.param(
            KeyDuties("EXITING", None), None, 100, True, "missing", "no attestation", id="exiting-must-attest"
        ),
        pytest.param(KeyDuties("ACTIVE", 84), None, 100, False, "proved", "", id="two-epochs-old"),
        pytest.param(KeyDuties("ACTIVE", 83), None, 100, False, "missing", "last attested slot 83", id="older"),
        pytest.param(KeyDuties("ACTIVE", 83), 75, None, False, "proved", "", id="advanced"),
        pytest.param(KeyDuties("ACTIVE", 83), 83, None, False, "missing", "has to advance", id="stands-still"),
        pytest.param(KeyDuties("ACTIVE", 83), None, None, False, "missing", "has to advance", id="no-clock-first-look"),
        pytest.param(
            KeyDuties("ACTIVE", 12345), None, 0, False, "missing", "by the clock", id="a-clock-that-is-behind"
        ),
        pytest.param(KeyDuties("ACTIVE", 83), 75, 10**6, False, "proved", "", id="advance-counts-by-any-clock"),
    ],
)
def test_only_an_attestation_by_this_process_is_a_proof(
    key: KeyDuties | None, first: int | None, now: int | None, pending: bool, kind: str, words: str
) -> None:
    verdict = judge(key, first, now, slots_per_epoch=8, accept_pending=pending)
    assert verdict.kind == kind
    assert words in verdict.words


@pytest.mark.parametrize("status", sorted(WAITS_FOR))
@pytest.mark.parametrize("attested", [None, 99])
def test_a_key_the_chain_has_not_activated_waits_or_is_accepted(status: str, attested: int | None) -> None:
    key = KeyDuties(status, attested)
    assert judge(key, None, 100, 8, accept_pending=False).kind == "missing"
    accepted = judge(key, None, 100, 8, accept_pending=True)
    assert accepted.kind == "waiting"
    assert WAITS_FOR[status] in accepted.words


@pytest.mark.parametrize("status", sorted(FINISHED))
@pytest.mark.parametrize("pending", [False, True])
def test_a_key_whose_duties_are_over_blocks_nothing(status: str, pending: bool) -> None:
    assert judge(KeyDuties(status, None), None, 100, 8, pending).kind == "finished"


def test_every_status_of_prysm_is_judged() -> None:
    judged = {"ACTIVE", "EXITING", *WAITS_FOR, *FINISHED}
    assert judged == set(STATUS_NAMES)
