"""chronyc's answers, as chrony 3.5 to 4.6 give them, and what they mean for a validator."""

from __future__ import annotations

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _chrony

TRACKING = (
    "AC140002,172.20.0.2,4,1795452168.430186741,0.000001824,0.000000188,0.000000500,"
    "-0.017,0.000,0.046,0.000077582,0.000033436,4.1,Normal\n"
)
SOURCES = """\
^,+,172.20.0.3,3,2,377,5,0.000016678,0.000016678,0.000068591
^,+,172.20.0.4,3,2,377,5,0.000013487,0.000013487,0.000150571
^,*,172.20.0.2,3,2,377,7,0.000057465,0.000057653,0.000115852
"""
UNSYNCHRONISED = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,"
    "1.000000000,0.0,Not synchronised\n"
)


def problems(tracking: str = TRACKING, sources: str = SOURCES, min_sources: int = 1) -> list[str]:
    return _chrony.problems(_chrony.parse_tracking(tracking), _chrony.parse_sources(sources), 0.5, 100, min_sources)


def test_a_good_clock_is_good() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("tracking", "sources", "reason"),
    [
        pytest.param(
            TRACKING,
            SOURCES.replace(",0.000013487,0", ",3600.25,0"),
            "3600.250 s ahead",
            id="change-too-large-was-ignored",
        ),
        pytest.param(
            TRACKING.replace(",0.000001824,", ",2.5,"), SOURCES, "2.500 s behind", id="slow-clock-being-slewed"
        ),
        pytest.param(
            TRACKING.replace(",0.000001824,", ",-2.5,"), SOURCES, "2.500 s ahead", id="fast-clock-being-slewed"
        ),
        pytest.param(UNSYNCHRONISED, "", "no time source", id="no-source"),
        pytest.param(
            UNSYNCHRONISED, "^,?,172.20.0.3,0,2,0,4294967295,0.0,0.0,0.0\n", "none of its 1", id="unreachable"
        ),
        pytest.param(TRACKING, SOURCES.replace("*", "-"), "has not settled", id="nothing-selected"),
        pytest.param(TRACKING.replace("Normal", "Insert second"), SOURCES, "leap second", id="leap-second-announced"),
        pytest.param(TRACKING.replace(",0.046,", ",250.0,"), SOURCES, "uncertain by 250 ppm", id="skew"),
        pytest.param(
            TRACKING,
            "^,*,10.0.0.1,3,2,377,5,0.0001,0.0001,0.0001\n^,x,10.0.0.2,3,2,377,5,14400.0,14400.0,0.0001\n",
            "sources disagree: 10.0.0.2 sees it 14400.000 s ahead",
            id="one-against-one",
        ),
    ],
)
def test_a_bad_clock_is_named(tracking: str, sources: str, reason: str) -> None:
    assert reason in "; ".join(problems(tracking, sources))


def test_one_liar_among_three_does_not_stop_a_validator() -> None:
    liar = "^,x,10.0.0.2,3,2,377,5,14400.0,14400.0,0.0001\n"
    assert problems(sources=SOURCES + liar) == []


def test_fewer_sources_than_wanted_are_a_problem() -> None:
    assert problems(min_sources=4) == ["only 3 of its sources are used (wanted: 4)"]


@pytest.mark.parametrize("text", ["", "506 Cannot talk to daemon", TRACKING.replace("0.046", "?")])
def test_an_answer_that_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(_chrony.ChronyError):
        _chrony.parse_tracking(text)
