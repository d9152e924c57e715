"""The chain's clock and the head, in the words of both interfaces as real Prysm wrote them."""

from __future__ import annotations

import contextlib
import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import NotYet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _chain
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._chain import Chain, ChainError, Clock, Head

GENESIS = 1795882669
ROOT = "0x83431ec7fcf92cfc44947fc0418e831c25e1d0806590231c439830db7ad54fda"

# v7.1.6
STANDARD = {
    "/eth/v1/beacon/genesis": {
        "data": {
            "genesis_time": str(GENESIS),
            "genesis_validators_root": ROOT,
            "genesis_fork_version": "0x20000089",
        }
    },
    "/eth/v1/config/spec": {"data": {"SECONDS_PER_SLOT": "3", "SLOT_DURATION_MS": "3000", "SLOTS_PER_EPOCH": "32"}},
    "/eth/v1/node/syncing": {
        "data": {
            "head_slot": "100",
            "sync_distance": "0",
            "is_syncing": False,
            "is_optimistic": False,
            "el_offline": True,
        }
    },
}
# v1.3.4
ALPHA = {
    "/eth/v1alpha1/node/genesis": {
        "genesisTime": "2026-11-28T16:17:49Z",
        "depositContractAddress": "AAAAACGatUA1bLuDnL4FMD13Bfo=",
        "genesisValidatorsRoot": "g0Mex/z5LPxElH/AQY6DHCXh0IBlkCMcQ5gw23rVT9o=",
    },
    "/eth/v1alpha1/beacon/config": {"config": {"SecondsPerSlot": "3", "SlotsPerEpoch": "32"}},
    "/eth/v1alpha1/beacon/chainhead": {"headSlot": "100", "headEpoch": "3", "finalizedSlot": "32"},
}


class Node:
    """A beacon node behind the API server."""

    def __init__(self, answers: dict[str, t.Any], head: str = "beacon_head_slot 0") -> None:
        self.answers = dict(answers)
        self.head = head
        self.asked: list[str] = []

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> str:
        self.asked.append(path)
        assert (namespace, pod, port) == ("prysm", "beacon-0", 3500)
        if path not in self.answers:
            raise NotYet(f"{path}: 404 Not Found")
        answer = self.answers[path]
        return answer if isinstance(answer, str) else json.dumps(answer)

    def metrics(self, namespace: str, pod: str, port: int) -> str:
        assert (namespace, pod, port) == ("prysm", "beacon-0", 8080)
        if not self.head:
            raise NotYet("connection refused")
        return self.head


def chain(node: Node, **params: t.Any) -> Chain:
    given: dict[str, t.Any] = {
        "namespace": "prysm",
        "api_port": 3500,
        "genesis_time": 0,
        "seconds_per_slot": 0,
        "slots_per_epoch": 32,
        "head_slots_behind": 0,
        **params,
    }
    return Chain(node, "beacon", given, 8080)


def at(slot: float) -> t.Callable[[], float]:
    return lambda: GENESIS + slot * 3


@pytest.mark.parametrize("answers", [STANDARD, ALPHA], ids=["standard", "v1alpha1"])
def test_clock_and_head_are_read_from_either_interface(answers: dict[str, t.Any]) -> None:
    assert chain(Node(answers)).look(at(101.5)) == (101, 100, "")


def test_genesis_and_the_length_of_a_slot_are_asked_once() -> None:
    node = Node(STANDARD)
    one = chain(node)
    for _ in range(3):
        one.look(at(101))
    assert sorted(node.asked) == sorted([*STANDARD, "/eth/v1/node/syncing", "/eth/v1/node/syncing"])


def test_the_metric_of_the_clock_is_never_used() -> None:
    """It is 0 after a start and stands still with the chain: 68 while the clock ran to 95."""
    node = Node(STANDARD, "beacon_clock_time_slot 68\nbeacon_head_slot 68")
    node.answers["/eth/v1/node/syncing"] = {"data": {"head_slot": "68", "is_syncing": False, "is_optimistic": False}}
    view = chain(node).look(at(95))
    assert (view.slot, view.head) == (95, 68)
    assert view.problem == "the head is at slot 68, the clock is at 95: check the execution client"


def test_a_dead_execution_client_shows_as_a_head_that_stands_still() -> None:
    node = Node(STANDARD)
    one = chain(node)
    assert one.look(at(101)).problem == ""
    assert one.look(at(108)).problem == "", "some proposers miss their blocks"
    assert one.look(at(109)).problem == "the head is at slot 100, the clock is at 109: check the execution client"


def test_a_head_that_catches_up_is_waited_for() -> None:
    node = Node(STANDARD)
    one = chain(node)
    assert "the head is at slot" in one.look(at(400)).problem
    node.answers["/eth/v1/node/syncing"] = {"data": {"head_slot": "300", "is_syncing": False}}
    assert "it is catching up" in one.look(at(401)).problem
    node.answers["/eth/v1/node/syncing"] = {"data": {"head_slot": "400", "is_syncing": False}}
    assert one.look(at(402)).problem == ""


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"is_syncing": True}, "it is syncing"),
        ({"is_optimistic": True}, "is optimistic"),
        ({"head_slot": "0"}, "has not taken in a block yet"),
        ({"head_slot": "110"}, "set the clock right"),
        ({"head_slot": "x"}, "cannot be read"),
        ({"head_slot": None}, "cannot be read"),
    ],
)
def test_what_the_node_says_of_itself_counts(said: dict[str, t.Any], problem: str) -> None:
    node = Node({**STANDARD, "/eth/v1/node/syncing": {"data": {"head_slot": "100", **said}}}, head="")
    assert problem in chain(node).look(at(101)).problem


def test_without_a_clock_the_head_has_to_advance() -> None:
    node = Node({"/eth/v1/node/syncing": {"data": {"head_slot": "100"}}})
    one = chain(node)
    for _ in range(2):
        view = one.look(at(101))
        assert view.slot is None
        assert "the head is at slot 100, and the chain's clock cannot be read from beacon-0" in view.problem
    node.answers["/eth/v1/node/syncing"] = {"data": {"head_slot": "101"}}
    assert one.look(at(101)) == (None, 101, "")


def test_where_the_interface_cannot_be_reached_the_metrics_tell_the_head() -> None:
    node = Node({}, "beacon_head_slot 100")
    given = {"genesis_time": GENESIS, "seconds_per_slot": 3}
    assert chain(node, **given).look(at(101)) == (101, 100, "")
    node.head = "beacon_head_slot 0"
    assert "has not taken in a block yet" in chain(node, **given).look(at(101)).problem


def test_an_interface_that_hangs_is_not_waited_for_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(_chain.time, "monotonic", lambda: clock[0])

    class Hanging(Node):
        def proxy(self, namespace: str, pod: str, port: int, path: str) -> str:
            clock[0] += 10
            return super().proxy(namespace, pod, port, path)

    node = Hanging({}, "beacon_head_slot 100")
    one = chain(node, genesis_time=GENESIS, seconds_per_slot=3)
    for _ in range(5):
        assert one.look(at(101)).problem == ""
    assert len(node.asked) == 1
    clock[0] += 60
    one.look(at(101))
    assert len(node.asked) == 2


def test_a_head_that_cannot_be_read_is_no_proof() -> None:
    node = Node({}, "")
    view = chain(node, genesis_time=GENESIS, seconds_per_slot=3).look(at(101))
    assert view.head is None
    assert "cannot be read: connection refused" in view.problem


def test_a_beacon_of_another_chain_proves_nothing() -> None:
    view = chain(Node(STANDARD), genesis_time=GENESIS - 12).look(at(101))
    assert "follows another chain" in view.problem


def test_before_genesis_there_is_no_slot() -> None:
    view = chain(Node(STANDARD)).look(at(-20))
    assert view == (None, None, "the chain begins in 60 s")


def test_a_chain_that_consists_of_this_site_may_stand_still() -> None:
    assert chain(Node(STANDARD), head_slots_behind=-1).look(at(500)).problem == ""
    assert chain(Node(STANDARD), head_slots_behind=500).look(at(500)).problem == ""


@pytest.mark.parametrize(
    ("epoch", "seconds", "lag"), [(8, 12, 4), (8, 4, 4), (8, 2, 6), (16, 12, 4), (32, 12, 8), (32, 0, 8)]
)
def test_a_quarter_of_an_epoch_is_allowed_and_at_least_four_slots(epoch: int, seconds: float, lag: int) -> None:
    assert _chain.allowed_lag(epoch, seconds) == lag
    assert _chain.head_problem(Head(100), None, 100 + lag, lag, "") == ""
    assert "the head is at slot" in _chain.head_problem(Head(100), None, 101 + lag, lag, "")


def test_the_clock_counts_whole_slots_from_genesis() -> None:
    clock = Clock(100, 2.5)
    assert [clock.slot(now) for now in (99.9, 100, 102.4, 102.5, 200)] == [None, 0, 0, 1, 40]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "404",
        "[]",
        '{"data": []}',
        '{"data": {}}',
        '{"data": {"genesis_time": "0"}}',
        '{"genesisTime": "1970-01-01T00:00:00Z"}',
        '{"genesisTime": "soon"}',
    ],
)
def test_an_answer_without_genesis_is_none(text: str) -> None:
    with pytest.raises(ChainError):
        _chain.genesis_time(text)


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_any_answer_is_read_or_refused(text: str) -> None:
    for read in (_chain.genesis_time, _chain.seconds_per_slot, _chain.head):
        with contextlib.suppress(ChainError):
            read(text)
