"""A first start is one of a beacon node that has no first block, whatever lies in its directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _beacon_database
from tests.unit.plugins.keys_support import BoltWriter

HEAD, ORIGIN = {b"head-root": bytes(32)}, {b"origin-checkpoint-block-root": bytes(32)}
#: More blocks than one page has, on both sides of the names.
MANY = {bytes([first]) * 31 + bytes([last]): bytes(300) for first in range(0, 256, 3) for last in range(3)}


def place(tmp_path: Path, blocks: object) -> str:
    path = tmp_path / "beaconchaindata/beaconchain.db"
    path.parent.mkdir()
    tree = {b"chain-metadata": {b"a": b"b"}, b"migrations": {b"x": b"y"}}
    path.write_bytes(BoltWriter().dump(tree if blocks is None else {**tree, b"blocks": blocks}))
    return str(tmp_path)


@pytest.mark.parametrize("more", [{}, MANY], ids=["few", "many"])
@pytest.mark.parametrize(
    ("blocks", "begun"),
    [
        ({}, "none"),
        (HEAD, "genesis"),
        ({**HEAD, b"genesis-root": bytes(32)}, "genesis"),
        ({**HEAD, **ORIGIN}, "checkpoint"),
        ({**HEAD, **ORIGIN, b"genesis-root": bytes(32)}, "checkpoint"),
    ],
)
def test_how_it_has_begun(tmp_path: Path, blocks: dict[bytes, bytes], more: dict[bytes, bytes], begun: str) -> None:
    assert _beacon_database.begun(place(tmp_path, {**more, **blocks})) == begun


def test_one_that_could_not_begin_leaves_a_database(tmp_path: Path) -> None:
    """Seen of v6.1.4 and v7.1.6 on hoodi without a checkpoint: buckets, and nothing in them."""
    assert _beacon_database.begun(place(tmp_path, None)) == "none"


def test_nothing_there(tmp_path: Path) -> None:
    assert _beacon_database.begun(str(tmp_path)) == "none"
    assert _beacon_database.begun(str(tmp_path / "nowhere")) == "none"


def test_what_cannot_be_read_is_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "beaconchaindata").mkdir()
    (tmp_path / "beaconchaindata/beaconchain.db").write_bytes(b"x" * 9000)
    with pytest.raises(UnreadableError):
        _beacon_database.begun(str(tmp_path))


def test_a_large_one_has_begun(tmp_path: Path) -> None:
    (tmp_path / "beaconchaindata").mkdir()
    with (tmp_path / "beaconchaindata/beaconchain.db").open("wb") as handle:
        handle.truncate(5 << 30)
    assert _beacon_database.begun(str(tmp_path)) == "unknown"


def test_few_pages_are_read_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place(tmp_path, {**MANY, **HEAD})
    pages: list[int] = []
    whole = _boltdb.Database.page

    def page(self: _boltdb.Database, number: int, kinds: int) -> tuple[int, int, bytes]:
        pages.append(number)
        return whole(self, number, kinds)

    monkeypatch.setattr(_boltdb.Database, "page", page)
    assert _beacon_database.begun(path) == "genesis"
    few = len(pages)
    pages.clear()
    _boltdb.read(path + "/beaconchaindata/beaconchain.db")
    assert few <= 6 < len(pages)
