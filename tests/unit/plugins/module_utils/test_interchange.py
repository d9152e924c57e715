from __future__ import annotations

import copy
import json
import os
import typing as t
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _history, _interchange
from tests.unit.plugins.keys_support import FIXTURES, PUBKEYS, ROOT_A, ROOT_B, flipped, heavy, interchange

R1, R2 = b"\x01" * 32, b"\x02" * 32
EXPORTS = sorted([*FIXTURES.glob("prysm/v*/export.json"), *FIXTURES.glob("prysm-live/*.json")])
GOOD = interchange(
    {
        PUBKEYS[0]: ([(5, R1), (9, None)], [(1, 2, R1), (2, 4, None)]),
        PUBKEYS[1]: ([], []),
    }
)
SETTINGS = settings(
    max_examples=2000 if heavy() else 60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read(path: Path, document: t.Any) -> _history.History:
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return _interchange.read_interchange(str(path))


def test_reads_every_record(tmp_path: Path) -> None:
    history = read(tmp_path / "i.json", GOOD)
    assert history.genesis_validators_root == ROOT_A and list(history.keys) == PUBKEYS[:2]
    assert set(history.keys[PUBKEYS[0]].block_records()) == {(5, R1), (9, None)}
    assert set(history.keys[PUBKEYS[0]].attestation_records()) == {(1, 2, R1), (2, 4, None)}
    assert history.keys[PUBKEYS[0]].watermarks() == (9, 2, 4)
    assert history.findings == ()


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_reads_what_real_prysm_exported_and_writes_the_same_records(path: Path, tmp_path: Path) -> None:
    """Against the standard library's own reading of the file; Prysm writes zeros where it knows no root."""

    def root(record: dict[str, str]) -> str | None:
        return None if record.get("signing_root") == "0x" + "00" * 32 else record.get("signing_root")

    history = _interchange.read_interchange(str(path))
    plain = json.loads(path.read_text())
    for entry in plain["data"]:
        part = history.keys[entry["pubkey"]]
        blocks = {(int(b["slot"]), root(b)) for b in entry["signed_blocks"] or []}
        votes = {(int(a["source_epoch"]), int(a["target_epoch"]), root(a)) for a in entry["signed_attestations"] or []}
        assert {(b.slot, b.root and "0x" + b.root.hex()) for b in part.block_records()} == blocks
        assert {(a.source, a.target, a.root and "0x" + a.root.hex()) for a in part.attestation_records()} == votes
    assert len(history.keys) == len(plain["data"])
    again = read(tmp_path / "again.json", _interchange.document(history))
    assert (again.keys, again.genesis_validators_root) == (history.keys, history.genesis_validators_root)


def changed(path: str, value: t.Any) -> dict[str, t.Any]:
    document = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    inner: t.Any = document
    for name in parents:
        inner = inner[int(name) if name.isdigit() else name]
    if value is ...:
        del inner[last]
    else:
        inner[int(last) if last.isdigit() else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("metadata", ..., "metadata is missing"),
        ("data", ..., "data is missing"),
        ("metadata", [], "metadata is not an object"),
        ("metadata/interchange_format_version", "4", "is of version '4'"),
        ("metadata/interchange_format_version", 6, "is of version 6"),
        ("metadata/interchange_format_version", True, "is of version True"),
        ("metadata/genesis_validators_root", None, "metadata.genesis_validators_root is missing or null"),
        ("metadata/genesis_validators_root", ..., "metadata.genesis_validators_root is missing or null"),
        ("metadata/genesis_validators_root", "0x12", "lacks a genesis_validators_root"),
        ("metadata/genesis_validators_root", "aa" * 32, "lacks a genesis_validators_root"),
        ("data", {}, "data is not a list"),
        ("data/0", 5, "data[0] is not an object"),
        ("data/0/pubkey", ..., "data[0] lacks pubkey"),
        ("data/1/pubkey", "0x12", "data[1] pubkey '0x12' is not a 48-byte"),
        ("data/0/signed_blocks", ..., "data[0] lacks signed_blocks"),
        ("data/0/signed_attestations", {}, "signed_attestations is not a list"),
        ("data/0/signed_blocks/1", 5, "signed_blocks[1] is not an object"),
        ("data/0/signed_blocks/1/slot", ..., "signed_blocks[1] lacks slot"),
        ("data/0/signed_blocks/1/slot", True, "slot is not a whole number"),
        ("data/0/signed_blocks/1/slot", 9.0, "slot is not a whole number"),
        ("data/0/signed_blocks/1/slot", -9, "slot is not a whole number"),
        ("data/0/signed_attestations/1/target_epoch", 1 << 64, "signed_attestations[1]: target_epoch"),
        ("data/0/signed_blocks/1/slot", "-9", "slot is not a whole number"),
        ("data/0/signed_blocks/1/slot", "09", "slot is not a whole number"),
        ("data/0/signed_blocks/1/slot", "9e3", "slot is not a whole number"),
        ("data/0/signed_blocks/1/slot", "٣", "slot is not a whole number"),
        ("data/0/signed_blocks/1/slot", "18446744073709551616", "larger than any slot"),
        ("data/0/signed_blocks/0/signing_root", "0x12", "signing_root is not 32 bytes"),
        ("data/0/signed_blocks/0/signing_root", 0, "signing_root is not 32 bytes"),
        ("data/0/signed_blocks/0/signing_root", "0x0", "signing_root is not 32 bytes"),
        ("data/0/signed_attestations/0/source_epoch", "3", "the source 3 is later than the target 2"),
        ("extra", 1, "'extra' does not belong there"),
    ],
)
def test_says_what_is_wrong_and_where(tmp_path: Path, path: str, value: t.Any, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        read(tmp_path / "i.json", changed(path, value))
    assert str(refused.value).startswith(f"{tmp_path}/i.json: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"   ",
        b"[]",
        b"{",
        b"{}",
        b'{"metadata": {}',
        json.dumps(GOOD).encode()[:-1],
        json.dumps(GOOD).encode() + b"x",
        json.dumps(GOOD).encode() + json.dumps(GOOD).encode(),
        b'{"data": [],, "metadata": {}}',
        b'{"data": [1 2]}',
        b'{"data": [], "data": []}',
        b'{"metadata": ' + b"[" * 100_000,
        b'{"data": [{"pubkey": "' + b"a" * 1_000_000,
        b'{"data": [' + b"7" * 10_000 + b"]}",
        b"\xff\xfe{}",
        b'{"data": [NaN]}',
    ],
)
def test_anything_else_is_one_clear_error(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"is not|is of version None") as refused:
        read(tmp_path / "i.json", text)
    assert str(refused.value).startswith(f"{tmp_path}/i.json: ")


@SETTINGS
@given(
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 2000),
)
def test_damage_is_never_a_crash(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    damaged = flipped(json.dumps(GOOD).encode(), changes)
    if cut % 2:
        damaged = damaged[:cut]
    try:
        history = read(tmp_path / "i.json", damaged)
    except StakingError as exc:
        assert str(exc).startswith(f"{tmp_path}/i.json: ")
    else:
        plain = json.loads(damaged)
        assert len(plain["data"]) >= len(history.keys)


@SETTINGS
@given(chunk=st.integers(1, 700), indent=st.sampled_from([None, 0, 4]))
def test_where_the_file_is_cut_into_pieces_does_not_matter(tmp_path: Path, chunk: int, indent: int | None) -> None:
    path = tmp_path / "i.json"
    path.write_text(json.dumps(GOOD, indent=indent) + "\n")
    whole = _interchange.read_interchange(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_interchange, "_CHUNK", chunk)
        patch.setattr(_interchange._Stream.more, "__defaults__", (chunk,))
        assert _interchange.read_interchange(str(path)) == whole


@pytest.mark.parametrize(
    ("blocks", "votes", "finding"),
    [
        pytest.param([(5, R1), (5, R2)], [], "two blocks for slot 5", id="two-blocks"),
        pytest.param([(5, R1), (5, None)], [], "two blocks for slot 5", id="block-without-root"),
        pytest.param([(5, None), (5, None)], [], "two blocks for slot 5, both without", id="blocks-without-roots"),
        pytest.param([], [(1, 3, None)] * 2, "two attestations for target 3, both without", id="votes-without-roots"),
        pytest.param([], [(1, 3, R1), (2, 3, R2)], "two attestations for target 3", id="two-votes"),
        pytest.param([], [(1, 3, R1), (1, 3, None)], "two attestations for target 3", id="vote-without-root"),
        pytest.param([], [(1, 9, R1), (2, 8, R2)], "from 1 to 9 surrounds that from 2 to 8", id="surround"),
        pytest.param([], [(2, 8, R2), (1, 9, R1)], "from 1 to 9 surrounds that from 2 to 8", id="surrounded"),
        pytest.param([(5, R1), (5, R1)], [(1, 3, R1), (1, 3, R1), (3, 4, R1), (1, 4, R2)][:3], None, id="repeated"),
        pytest.param([], [(1, 3, R1), (1, 4, R1), (3, 5, R1)], None, id="same-source"),
    ],
)
def test_says_what_a_file_says_against_itself(
    tmp_path: Path, blocks: list[t.Any], votes: list[t.Any], finding: str | None
) -> None:
    history = read(tmp_path / "i.json", interchange({PUBKEYS[0]: (blocks, votes)}))
    assert len(history.findings) == (0 if finding is None else 1)
    if finding is None:
        _interchange.check_interchange(history, "i.json", ROOT_A)
        return
    assert finding in history.findings[0]
    with pytest.raises(StakingError, match=r"^i\.json: contradicts itself"):
        _interchange.check_interchange(history, "i.json", ROOT_A)


def test_a_key_listed_twice_is_joined_and_reported(tmp_path: Path) -> None:
    document = interchange({PUBKEYS[0]: ([(5, R1)], [])})
    document["data"] += interchange({PUBKEYS[0].upper().replace("0X", "0x"): ([(7, R1)], [(1, 2, R1)])})["data"]
    history = read(tmp_path / "i.json", document)
    assert history.keys[PUBKEYS[0]].watermarks() == (7, 1, 2) and history.keys[PUBKEYS[0]].block_count == 2
    assert history.notes == (f"{PUBKEYS[0]}: is listed more than once",) and history.findings == ()
    _interchange.check_interchange(history, "i.json", ROOT_A)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    history = read(tmp_path / "i.json", GOOD)
    _interchange.check_interchange(history, "i.json", ROOT_A.upper().replace("0X", "0x"))
    with pytest.raises(StakingError, match=f"of another network: genesis_validators_root {ROOT_A} instead of {ROOT_B}"):
        _interchange.check_interchange(history, "i.json", ROOT_B)


def test_the_minimal_form_keeps_the_marks_and_the_protection(tmp_path: Path) -> None:
    history = read(tmp_path / "i.json", GOOD)
    small = read(tmp_path / "m.json", _interchange.document(_interchange.minimal(history)))
    for key, part in history.keys.items():
        assert small.keys[key].watermarks() == part.watermarks()
        assert _history.lacking(small.keys[key], part) == []


def test_a_history_without_a_network_is_not_written() -> None:
    with pytest.raises(StakingError, match="without a genesis_validators_root"):
        _interchange.document(_history.History(None, {}))


# -- the official vectors ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    "EIP3076_VECTORS" not in os.environ,
    reason="EIP3076_VECTORS does not name tests/generated of eth-clients/slashing-protection-interchange-tests",
)
def test_the_official_vectors(tmp_path: Path) -> None:
    """What is imported is what we read; whether a message may be signed then follows from our records and floors."""
    vectors = sorted(Path(os.environ["EIP3076_VECTORS"]).glob("*.json"))
    assert len(vectors) >= 38
    for path in vectors:
        vector = json.loads(path.read_text())
        signer = _history.History(None, {})
        for step in vector["steps"]:
            try:
                imported = read(tmp_path / "i.json", step["interchange"])
                _interchange.check_interchange(imported, "i.json", vector["genesis_validators_root"])
            except StakingError as exc:
                # A file that contradicts itself, or is of another network, need not be taken.
                assert step["contains_slashable_data"] or not step["should_succeed"], (path.name, exc)
                break
            assert step["should_succeed"], path.name
            signer = _history.merge([signer, imported])
            for kind, forbidden in (("blocks", block_forbidden), ("attestations", vote_forbidden)):
                for message in step[kind]:
                    part = signer.keys.get(message["pubkey"], _history.KeyHistory())
                    if forbidden(part, message):
                        assert not message["should_succeed"], (path.name, message)
                    else:
                        assert message["should_succeed_complete"], (path.name, message)
                        packed = signed(message)
                        signer = _history.merge([signer, packed])


def root_of(message: dict[str, str]) -> bytes | None:
    return bytes.fromhex(message["signing_root"][2:]) if "signing_root" in message else None


def signed(message: dict[str, str]) -> _history.History:
    if "slot" in message:
        part = _history.key_history([_history.pack_block(int(message["slot"]), root_of(message))], [], floors=NO_FLOORS)
    else:
        source, target = int(message["source_epoch"]), int(message["target_epoch"])
        part = _history.key_history([], [_history.pack_attestation(source, target, root_of(message))], floors=NO_FLOORS)
    return _history.History(None, {message["pubkey"]: part})


NO_FLOORS = (None, None, None)


def block_forbidden(part: _history.KeyHistory, message: dict[str, str]) -> bool:
    slot, root = int(message["slot"]), root_of(message)
    if root is not None and (slot, root) in set(part.block_records()):
        return False
    return (part.floor_slot is not None and slot <= part.floor_slot) or any(
        b.slot == slot for b in part.block_records()
    )


def vote_forbidden(part: _history.KeyHistory, message: dict[str, str]) -> bool:
    source, target, root = int(message["source_epoch"]), int(message["target_epoch"]), root_of(message)
    if source > target:
        return True
    if root is not None and (source, target, root) in set(part.attestation_records()):
        return False
    return (
        (part.floor_source is not None and source < part.floor_source)
        or (part.floor_target is not None and target <= part.floor_target)
        or any(
            a.target == target or a.source < source < target < a.target or source < a.source < a.target < target
            for a in part.attestation_records()
        )
    )


# -- what other clients write -----------------------------------------------------------------------------------------

KEY = PUBKEYS[0]


def entry(blocks: t.Any, votes: t.Any, key: str = KEY) -> dict[str, t.Any]:
    return {"pubkey": key, "signed_blocks": blocks, "signed_attestations": votes}


def whole(*entries: dict[str, t.Any], **metadata: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {"interchange_format_version": "5", "genesis_validators_root": ROOT_A, **metadata},
        "data": list(entries),
    }


VOTES = [{"source_epoch": "2", "target_epoch": "4"}]
PLAIN = whole(entry([{"slot": "9"}], VOTES))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            whole(
                entry(
                    [{"slot": "9", "signing_root": root}],
                    [{"source_epoch": "2", "target_epoch": "4", "signing_root": root}],
                )
            ),
            id=f"root-{root!r:.8}",
        )
        for root in (None, "", "0x", "0x" + "00" * 32, "0X" + "00" * 32)
    ]
    + [
        pytest.param(whole(entry([{"slot": 9}], [{"source_epoch": 2, "target_epoch": 4}])), id="numbers"),
        pytest.param({**PLAIN, "metadata": {**PLAIN["metadata"], "interchange_format_version": 5}}, id="version"),
        pytest.param(whole(*PLAIN["data"], interchange_format="minimal"), id="more-metadata"),
        pytest.param({"data": PLAIN["data"], "metadata": PLAIN["metadata"]}, id="data-first"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(PLAIN).encode(), id="byte-order-mark"),
        pytest.param(json.dumps(PLAIN, indent=2).replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(
            {"data": [{"status": "deleted", "message": ""}], "slashing_protection": json.dumps(PLAIN)},
            id="key-manager",
        ),
        pytest.param({"data": [{"status": "deleted"}], "slashing_protection": PLAIN}, id="key-manager-object"),
        pytest.param({"slashing_protection": json.dumps(PLAIN), "data": [{"status": "x"}]}, id="key-manager-order"),
        pytest.param(whole(entry([{"slot": "9"}], None), entry(None, VOTES)), id="nulls"),
        pytest.param(whole(*PLAIN["data"], *PLAIN["data"]), id="watermark-twice"),
        pytest.param(whole(entry([{"slot": "9"}] * 2, VOTES * 2)), id="repeated"),
    ],
)  # fmt: skip
def test_what_other_clients_write_is_read(tmp_path: Path, document: t.Any) -> None:
    history = read(tmp_path / "i.json", document)
    assert history.findings == () and history.genesis_validators_root == ROOT_A
    assert list(history.keys[KEY].block_records()) == [(9, None)]
    assert list(history.keys[KEY].attestation_records()) == [(2, 4, None)]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "metadata is missing"),
        ({"metadata": PLAIN["metadata"]}, "data is missing"),
        ({"metadata": PLAIN["metadata"], "data": "x"}, "data is not a list"),
        ({"data": [{"status": "deleted"}]}, "without slashing_protection"),
        (
            {
                "data": [{"status": "deleted"}, {"status": "error", "message": "locked"}],
                "slashing_protection": json.dumps(PLAIN),
            },
            "error of the key in place 2 of the request: it has not deleted that key",
        ),
        (
            {"data": [{"status": "deleted"}], "slashing_protection": "{}"},
            "(slashing_protection): is not an interchange",
        ),
        ({"data": [{"status": "deleted"}], "slashing_protection": 5}, "(slashing_protection): is not JSON"),
        ({**PLAIN, "slashing_protection": json.dumps(PLAIN)}, "'slashing_protection' does not belong there"),
        ({"slashing_protection": json.dumps({"slashing_protection": "{}"})}, "does not belong there"),
        (json.dumps(PLAIN).encode("utf-16"), "is not UTF-8 text"),
        (whole({"pubkey": KEY, "signed_blocks": []}), "data[0] lacks signed_attestations"),
        (whole(entry([], [{"source_epoch": "1"}])), "signed_attestations[0] lacks target_epoch"),
        (whole(entry([], []), entry([{"slot": "x"}], [])), "data[1]"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(tmp_path: Path, document: t.Any, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        read(tmp_path / "i.json", document)
    assert str(refused.value).startswith(f"{tmp_path}/i.json") and reason in str(refused.value)


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_listed_twice_is_one_history_with_the_lowest_floors(tmp_path: Path, order: int) -> None:
    one = entry([{"slot": "10"}], [{"source_epoch": "1", "target_epoch": "2"}])
    other = entry([{"slot": "100"}], [{"source_epoch": "7", "target_epoch": "8"}], KEY.upper().replace("0X", "0x"))
    part = read(tmp_path / "i.json", whole(*[one, other][::order])).keys[KEY]
    assert (part.floor_slot, part.floor_source, part.floor_target) == (10, 1, 2)
    assert part.watermarks() == (100, 7, 8)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (([{"slot": "5"}], []), ([{"slot": "5"}], [])),
        (([{"slot": "5"}, {"slot": "6"}], []), ([{"slot": "5"}], [])),
        (([], [{"source_epoch": "1", "target_epoch": "2"}]), ([], [{"source_epoch": "1", "target_epoch": "2"}])),
        (
            ([{"slot": "5"}], [{"source_epoch": "1", "target_epoch": "2"}]),
            ([{"slot": "5"}], [{"source_epoch": "3", "target_epoch": "4"}]),
        ),
    ],
)
def test_equal_records_without_a_root_in_two_entries_are_found(tmp_path: Path, first: t.Any, second: t.Any) -> None:
    history = read(tmp_path / "i.json", whole(entry(*first), entry(*second)))
    assert len(history.findings) == 1 and "both without a root" in history.findings[0]


@pytest.mark.parametrize("number", [1 << 32, 1 << 50, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize(
    ("path", "name"),
    [("data/0/signed_blocks/1/slot", "slot"), ("data/0/signed_attestations/1/target_epoch", "target_epoch")],
)
def test_a_number_that_no_chain_reaches_may_be_read_but_not_given_to_a_client(
    tmp_path: Path, path: str, name: str, number: int
) -> None:
    """A database can hold it, so it must be possible to look at it; to import it would bar the key for good."""
    history = read(tmp_path / "i.json", changed(path, str(number)))
    with pytest.raises(StakingError, match=f"{name} {number} is larger than any"):
        _interchange.check_interchange(history, "i.json", ROOT_A)


def test_written_in_pieces_it_is_the_same_document(tmp_path: Path) -> None:
    history = read(tmp_path / "i.json", GOOD)
    again = read(tmp_path / "j.json", b"".join(_interchange.chunks(ROOT_A, sorted(history.keys.items()))))
    assert again == history
    assert len(_interchange.FILLER) == 32
