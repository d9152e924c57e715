from __future__ import annotations

import json
import time
import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Never, NotYet
from ansible_collections.eth2xk8s.staking.plugins.modules import validator_activity_info
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A, run_module

A, B = PUBKEYS[:2]
PROXY = "/api/v1/namespaces/prysm/pods/beacon-0:3500/proxy"


class Api:
    """The API server in front of a beacon node."""

    def __init__(self, *answers: dict[str, t.Any] | Exception) -> None:
        self.answers = list(answers)

    def get(self, path: str) -> str:
        assert path.startswith(PROXY)
        answer = self.answers[0]
        if isinstance(answer, Exception):
            if len(self.answers) > 1:
                self.answers.pop(0)
            raise answer
        return json.dumps(answer[path[len(PROXY) :].partition("?")[0]])


def node(syncing: bool = False, head: int = 99) -> dict[str, t.Any]:
    return {
        "/eth/v1/node/syncing": {"data": {"head_slot": str(head), "is_syncing": syncing, "is_optimistic": False}},
        "/eth/v1/beacon/genesis": {
            "data": {"genesis_time": str(int(time.time()) - 12 * 100), "genesis_validators_root": ROOT_A}
        },
        "/eth/v1/beacon/states/head/validators": {"data": [{"status": "active_ongoing", "validator": {"pubkey": A}}]},
    }


def run(monkeypatch: pytest.MonkeyPatch, api: Api, **more: t.Any) -> dict[str, t.Any]:
    monkeypatch.setattr(validator_activity_info, "Cluster", lambda *_: api)
    for answer in api.answers:  # made when the tests were collected, which may be long ago
        if isinstance(answer, dict) and "/eth/v1/beacon/genesis" in answer:
            answer["/eth/v1/beacon/genesis"]["data"]["genesis_time"] = str(int(time.time()) - 12 * 100)
    return run_module(
        validator_activity_info, **{"pubkeys": [A, B], "version": "v7.1.6", "timeout": 0, "interval": 0, **more}
    )


def test_says_which_keys_are_active_and_where_the_chain_is(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Api(node()))
    assert result["active"] == [A] and result["statuses"] == {A: "active_ongoing", B: "unknown"}
    assert result["current_slot"] in (100, 101) and result["current_epoch"] == 3
    assert result["genesis_validators_root"] == ROOT_A and not result["changed"]


@pytest.mark.parametrize(
    ("api", "words"),
    [
        (Api(node(syncing=True)), "still syncing"),
        (Api(node(head=3)), "slots behind the clock"),
        (Api(NotYet("/x?id=0xabc&id=0xdef: 503 Service Unavailable")), "503 Service Unavailable"),
        (Api(Never("403 Forbidden")), "403 Forbidden"),
        (Api({**node(), "/eth/v1/beacon/states/head/validators": {}}), "lacks data"),
    ],
)
def test_a_beacon_that_cannot_be_asked_is_a_refusal(monkeypatch: pytest.MonkeyPatch, api: Api, words: str) -> None:
    result = run(monkeypatch, api)
    assert result["failed"] and words in result["msg"] and "0xabc" not in result["msg"]


def test_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Api(NotYet("no"), NotYet("no"), node()), timeout=30)
    assert result["active"] == [A]
