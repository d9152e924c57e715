"""When a client has nothing to do: of its metrics, and waited for."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import NotYet, Pod
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._gap import Schedule, gap, schedule
from ansible_collections.eth2xk8s.staking.plugins.modules import validator_duty_gap

KEYS = ["0x" + digits * 48 for digits in ("ab", "cd", "ef")]
EPOCH = 32


def metrics(*attests: int | None, proposes: int | None = None, syncs: bool = False, status: int = 3) -> str:
    """Of a client with a key for each slot; None: it does not say when."""
    lines = [f'validator_statuses{{pubkey="{key}"}} {status}' for key, _slot in zip(KEYS, attests, strict=False)]
    for key, slot in zip(KEYS, attests, strict=False):
        if slot is not None:
            lines.append(f'validator_next_attestation_slot{{pubkey="{key}"}} {slot}')
    if proposes is not None:
        lines.append(f'validator_next_proposal_slot{{pubkey="{KEYS[0]}"}} {proposes}')
    lines.append(f'validator_in_sync_committee{{pubkey="{KEYS[0]}"}} {int(syncs)}')
    return "\n".join(lines)


def test_the_schedule_is_that_of_keys_with_duties() -> None:
    assert schedule(metrics(40, 50, proposes=45)) == Schedule((40, 45, 50), 0, 0)
    assert schedule(metrics(40, None)) == Schedule((40,), 1, 0)
    assert schedule(metrics(40, syncs=True)) == Schedule((40,), 0, 1)
    assert schedule(metrics(40, 50, syncs=True, status=2)) == Schedule((), 0, 0), "keys that wait for their activation"


@pytest.mark.parametrize(
    ("slots", "now", "free", "hope"),
    [
        pytest.param((40, 50), 41.5, 8.5, True, id="between-two"),
        pytest.param((40, 50), 50.9, 0, True, id="in-a-duty"),
        pytest.param((40, 50), 51.0, 13.0, True, id="the-next-epoch-is-not-known"),
        pytest.param((40, 50), 33.0, 7.0, True, id="before-the-first"),
        pytest.param((20, 40, 50), 41.0, 9.0, True, id="of-the-epoch-before"),
        pytest.param(tuple(range(32, 64, 4)), 33.0, 3.0, False, id="many-keys"),
        pytest.param(tuple(range(32, 64)), 33.0, 0, False, id="a-duty-in-every-slot"),
        pytest.param((30, 31), 33.0, 0, True, id="not-fetched-yet"),
        pytest.param((), 33.0, 31.0, True, id="no-key-on-duty"),
    ],
)
def test_the_gap_goes_to_the_next_duty(slots: tuple[int, ...], now: float, free: float, hope: bool) -> None:
    found = gap([Schedule(slots, 0, 0)], now, EPOCH, 5)
    assert (pytest.approx(found.slots), found.hope) == (free, hope)


def test_of_several_clients_the_first_to_have_a_duty_counts() -> None:
    assert gap([Schedule((40,), 0, 0), Schedule((35, 60), 0, 0)], 33.5, EPOCH, 5).slots == pytest.approx(1.5)
    assert not gap([Schedule((40,), 0, 0), Schedule((41,), 1, 0)], 33.5, EPOCH, 5).hope
    assert "sync committee" in gap([Schedule((40,), 0, 1)], 33.5, EPOCH, 5).problem
    found = gap([Schedule((40,), 0, 0), Schedule((31,), 0, 0)], 33.5, EPOCH, 5)
    assert (found.slots, found.hope) == (0, True), "one has not fetched its duties"


@given(st.sets(st.integers(32, 63), max_size=12), st.floats(32, 63.99), st.floats(0, 31))
def test_no_duty_lies_in_a_gap(slots: set[int], now: float, wanted: float) -> None:
    found = gap([Schedule(tuple(sorted(slots)), 0, 0)], now, EPOCH, wanted)
    end = now + found.slots
    assert end <= 64 + 1e-9
    assert found.slots == 0 or not [slot for slot in slots if slot + 1 > now and slot < end - 1e-9]
    assert found.hope or found.slots < wanted, "what there is now is worth having"


class Site:
    """A cluster with one client; its beacon node tells the clock."""

    def __init__(self, looks: list[str | Exception], started: bool = True) -> None:
        self.looks = looks
        self.started = started

    def pods(self, namespace: str, selector: str = "") -> list[Pod]:
        return [Pod("validator1-0", "u", "worker", "i", self.started, False, self.started, 0, "", False)]

    def metrics(self, namespace: str, pod: str, port: int) -> str:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return look

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> str:
        raise NotYet("no interface")


def wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Site, **more: t.Any
) -> dict[str, t.Any]:
    """At slot 100 of the chain, which is slot 4 of its epoch."""
    monkeypatch.setattr(validator_duty_gap, "Cluster", lambda *_: site)
    given_ = {
        "clients": ["validator1"],
        "seconds": 60,
        "interval": 0.1,
        "timeout": 5,
        "genesis_time": int(time.time()) - 100 * 12 - 1,
        "seconds_per_slot": 12,
        **more,
    }
    with patch_module_args(given_), pytest.raises(SystemExit):
        validator_duty_gap.main()
    return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


def test_a_gap_is_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*looks: str | Exception, **more: t.Any) -> dict[str, t.Any]:
        return wait(monkeypatch, capsys, Site(list(looks)), **more)

    now = ask(metrics(99, 110))
    assert (now["found"], now["problem"]) == (True, "") and 100 < now["gap"] < 120
    later = ask(metrics(80), metrics(80), metrics(110))
    assert later["found"] and later["waited"] > 0
    assert ask(metrics(101, 120), timeout=0.3)["problem"] == "its keys have a duty within 60 s, whenever it is"
    assert ask(metrics(101, 120), timeout=0.3)["waited"] >= 0.3
    assert ask(metrics(101), seconds=0)["found"]


@pytest.mark.parametrize(
    ("look", "problem"),
    [
        (metrics(None), "does not say when 1 of its keys"),
        (metrics(101, syncs=True), "sync committee"),
        (NotYet("no answer"), "no answer"),
        ("<html>", "not a metric"),
    ],
)
def test_what_has_no_gap_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], look: str | Exception, problem: str
) -> None:
    found = wait(monkeypatch, capsys, Site([look]), timeout=3600)
    assert not found["found"] and not found["changed"] and problem in found["problem"] and found["waited"] < 60
    assert wait(monkeypatch, capsys, Site([look], started=False))["problem"] == "no client runs"


def test_many_keys_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = wait(monkeypatch, capsys, Site([metrics(101, 108, 118)]), seconds=150, timeout=3600)
    assert not found["found"] and "have a duty within 150 s" in found["problem"]
