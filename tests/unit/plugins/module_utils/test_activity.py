from __future__ import annotations

import base64
import json
import typing as t

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _activity
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._activity import ActivityError, Head, behind
from tests.unit.plugins.keys_support import PUBKEYS, ROOT_A

A, B, C = PUBKEYS[:3]


def b64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text[2:])).decode()


class Node:
    """A beacon node: path (without its question) -> answer; it keeps what it was asked."""

    def __init__(self, answers: dict[str, t.Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, path: str) -> str:
        self.asked.append(path)
        answer = self.answers[path.partition("?")[0]]
        return answer if isinstance(answer, str) else json.dumps(answer)


def standard(*validators: tuple[str, str], **changes: t.Any) -> Node:
    return Node(
        {
            "/eth/v1/node/syncing": {"data": {"head_slot": "99", "is_syncing": False, "is_optimistic": False}},
            "/eth/v1/beacon/genesis": {"data": {"genesis_time": "1000", "genesis_validators_root": ROOT_A}},
            "/eth/v1/beacon/states/head/validators": {
                "data": [{"status": status, "validator": {"pubkey": key}} for key, status in validators]
            },
            **changes,
        }
    )


def old(*validators: tuple[str, str], **changes: t.Any) -> Node:
    return Node(
        {
            "/eth/v1alpha1/node/syncing": {"syncing": False},
            "/eth/v1alpha1/beacon/chainhead": {"headSlot": "99"},
            "/eth/v1alpha1/node/genesis": {
                "genesisTime": "1970-01-01T00:16:40Z",
                "genesisValidatorsRoot": b64(ROOT_A),
            },
            "/eth/v1alpha1/validator/statuses": {
                "publicKeys": [b64(key) for key, _status in validators],
                "statuses": [{"status": status, "activationEpoch": "0"} for _key, status in validators],
            },
            **changes,
        }
    )


@pytest.mark.parametrize("version", ["v2.0.0", "v2.1.4", "v7.1.6", "v10.0.0-rc.1"])
def test_the_standard_api(version: str) -> None:
    node = standard(
        (A, "active_ongoing"), (B.upper().replace("0X", "0x"), "pending_queued"), (PUBKEYS[3], "active_exiting")
    )
    api = _activity.api_of(version, node)
    assert api.head() == Head(1000, ROOT_A, 99, False, False)
    assert api.statuses([A, B, C]) == {A: "active_ongoing", B: "pending_queued", C: "unknown"}
    assert node.asked[-1].endswith(f"/validators?id={A}&id={B}&id={C}")


@pytest.mark.parametrize("version", ["v1.2.2", "v1.3.4", "v1.4.4"])
def test_the_api_before_it(version: str) -> None:
    node = old((A, "ACTIVE"), (B, "PENDING"), (C, "UNKNOWN_STATUS"))
    api = _activity.api_of(version, node)
    assert api.head() == Head(1000, ROOT_A, 99, False, False)
    assert api.statuses([A, B, C]) == {A: "active_ongoing", B: "pending_queued", C: "unknown"}
    assert "public_keys=" in node.asked[-1] and "+" not in node.asked[-1]


def test_many_keys_are_asked_for_in_several_questions() -> None:
    keys = [f"0x{i:096x}" for i in range(45)]
    node = standard(*[(key, "active_ongoing") for key in keys])
    assert set(_activity.api_of("v7.1.6", node).statuses(keys).values()) == {"active_ongoing"}
    assert [path.count("id=") for path in node.asked] == [20, 20, 5]


@pytest.mark.parametrize(
    ("status", "active"),
    [(status, status.startswith("active")) for status in _activity._STATUSES] + [("unknown", False)],
)
def test_what_has_duties(status: str, active: bool) -> None:
    assert _activity.is_active(status) == active


@pytest.mark.parametrize(
    ("name", "active"), [("ACTIVE", 1), ("EXITING", 1), ("SLASHING", 1), ("EXITED", 0), ("PENDING", 0)]
)
def test_what_has_duties_by_its_old_name(name: str, active: bool) -> None:
    assert _activity.is_active(_activity.api_of("v1.3.4", old((A, name))).statuses([A])[A]) == active


@pytest.mark.parametrize(
    "node",
    [
        standard((A, "active")),
        standard((A, "asleep")),
        standard(("0x12", "active_ongoing")),
        standard(**{"/eth/v1/beacon/states/head/validators": {}}),
        standard(**{"/eth/v1/beacon/states/head/validators": {"data": None}}),
        standard(**{"/eth/v1/beacon/states/head/validators": {"data": [5]}}),
        standard(**{"/eth/v1/beacon/states/head/validators": "<html>"}),
        standard(**{"/eth/v1/node/syncing": {"data": {"head_slot": "99"}}}),
        standard(**{"/eth/v1/node/syncing": {"data": {"head_slot": "x", "is_syncing": False}}}),
        standard(**{"/eth/v1/node/syncing": {"data": {"head_slot": "9", "is_syncing": "false"}}}),
        standard(**{"/eth/v1/beacon/genesis": {"data": {"genesis_time": "1", "genesis_validators_root": "0x"}}}),
    ],
)
def test_an_answer_that_cannot_be_relied_on_is_an_error(node: Node) -> None:
    api = _activity.api_of("v7.1.6", node)
    with pytest.raises(ActivityError):
        api.head()
        api.statuses([A])


@pytest.mark.parametrize(
    "node",
    [
        old(),
        old((B, "ACTIVE")),
        old((A, "AWAKE")),
        old(**{"/eth/v1alpha1/validator/statuses": {"publicKeys": [b64(A)], "statuses": []}}),
        old(**{"/eth/v1alpha1/validator/statuses": {"publicKeys": ["x"], "statuses": [{"status": "ACTIVE"}]}}),
        old(**{"/eth/v1alpha1/node/genesis": {"genesisTime": 5, "genesisValidatorsRoot": b64(ROOT_A)}}),
        old(**{"/eth/v1alpha1/node/genesis": {"genesisTime": "1970-01-01T00:16:40Z", "genesisValidatorsRoot": ""}}),
    ],
)
def test_nor_is_one_of_the_old_api(node: Node) -> None:
    api = _activity.api_of("v1.3.4", node)
    with pytest.raises(ActivityError):
        api.head()
        api.statuses([A])


@pytest.mark.parametrize(
    ("head", "now", "words"),
    [
        (Head(1000, ROOT_A, 99, False, False), 1000 + 12 * 100, ""),
        (Head(1000, ROOT_A, 99, True, False), 1000 + 12 * 100, "syncing"),
        (Head(1000, ROOT_A, 99, False, True), 1000 + 12 * 100, "not verified"),
        (Head(1000, ROOT_A, 99, False, False), 1000 + 12 * 200, "101 slots behind"),
        (Head(1000, ROOT_A, 199, False, False), 1000 + 12 * 100, "99 slots ahead"),
        (Head(1000, ROOT_A, 0, True, False), 500, ""),
    ],
)
def test_a_node_that_is_behind_knows_nothing(head: Head, now: float, words: str) -> None:
    assert words in behind(head, now, 12, 32)[1] and bool(words) == bool(behind(head, now, 12, 32)[1])


NAMES = st.sampled_from(["data", "status", "validator", "pubkey", "publicKeys", "statuses"])
ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@example({"data": None, "publicKeys": ["\x80"], "statuses": [None]})
@given(answer=ANSWERS)
def test_no_answer_makes_a_key_inactive_by_mistake_or_crashes(answer: t.Any) -> None:
    for version, path in (
        ("v7.1.6", "/eth/v1/beacon/states/head/validators"),
        ("v1.3.4", "/eth/v1alpha1/validator/statuses"),
    ):
        try:
            found = _activity.api_of(version, Node({path: answer})).statuses([A])
        except ActivityError:
            continue
        # Only a list without the key says that it is not known.
        assert found == {A: "unknown"} and answer["data"] == []


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ActivityError, match="is not a version"):
        _activity.api_of("latest", standard())
