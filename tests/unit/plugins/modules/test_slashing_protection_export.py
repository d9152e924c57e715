from __future__ import annotations

import fcntl
import json
import lzma
import stat
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._interchange import read_interchange
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._protection import read_database
from ansible_collections.eth2xk8s.staking.plugins.modules import (
    slashing_protection_compare,
    slashing_protection_export,
)
from tests.unit.plugins.keys_support import PUBKEYS, BoltWriter, prysm_tree, unpack, write_database

R1, R2 = b"\x01" * 32, b"\x02" * 32
FIXTURES = Path(__file__).parents[3] / "fixtures"
LIVE = "prysm-live/phase0-v1.3.4"


def run(module: t.Any, capsys: pytest.CaptureFixture[str], **params: t.Any) -> dict[str, t.Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The database of validators that really signed."""
    path = tmp_path / "validator1/validator.db"
    path.parent.mkdir()
    path.write_bytes(lzma.decompress((FIXTURES / f"{LIVE}.db.xz").read_bytes()))
    return path


def test_writes_all_that_prysm_itself_would_export(
    capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "history.json"
    result = run(slashing_protection_export, capsys, path=str(database.parent), dest=str(dest))
    assert result["changed"] is True
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    theirs = read_interchange(str(FIXTURES / f"{LIVE}.export-by-v4.2.1.json"))
    ours = read_interchange(str(dest))
    assert ours.genesis_validators_root == theirs.genesis_validators_root
    for key, want in theirs.keys.items():
        assert set(want.attestation_records()) <= set(ours.keys[key].attestation_records())
        assert set(want.block_records()) <= set(ours.keys[key].block_records())
    compared = run(slashing_protection_compare, capsys, have=str(dest), want=str(database))
    assert (compared.get("failed", False), compared["lacking"]) == (False, {})


@pytest.mark.parametrize("version", ["v1.2.2", "v1.3.4"])
def test_a_key_that_never_signed_is_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path, version: str) -> None:
    """These databases know six keys: real Prysm makes room for a wallet's keys as it starts. Two never signed."""
    path = unpack(f"prysm/{version}/validator.db.xz", tmp_path / "validator.db")
    assert len(read_database(str(path)).keys) == 6
    given = {"path": str(path), "dest": str(tmp_path / "history.json")}
    written = run(slashing_protection_export, capsys, **given)
    assert (written["changed"], written["keys"]) == (True, 4)
    assert all(part.watermarks().target is not None for part in read_interchange(given["dest"]).keys.values())
    assert len(read_interchange(given["dest"]).keys) == 4
    again = run(slashing_protection_export, capsys, **given)
    assert (again["changed"], again["keys"]) == (False, 4)


def test_a_second_time_changes_nothing(capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path) -> None:
    given = {"path": str(database), "dest": str(tmp_path / "history.json")}
    assert run(slashing_protection_export, capsys, **given)["changed"] is True
    assert run(slashing_protection_export, capsys, **given)["changed"] is False


def test_check_mode_writes_nothing(capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path) -> None:
    dest = tmp_path / "history.json"
    result = run(slashing_protection_export, capsys, path=str(database), dest=str(dest), _ansible_check_mode=True)
    assert (result["changed"], dest.exists()) == (True, False)


def test_a_running_validator_is_refused(capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path) -> None:
    with database.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        result = run(slashing_protection_export, capsys, path=str(database), dest=str(tmp_path / "history.json"))
    assert "still runs" in result["msg"]
    assert not (tmp_path / "history.json").exists()


def test_a_blacklisted_key_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "validator.db"
    path.write_bytes(lzma.decompress((FIXTURES / "prysm-live/blacklisted-v7.1.6.db.xz").read_bytes()))
    result = run(slashing_protection_export, capsys, path=str(path), dest=str(tmp_path / "history.json"))
    assert "blacklists" in result["msg"]


def test_one_record_less_is_a_refusal_that_names_it(
    capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "history.json"
    run(slashing_protection_export, capsys, path=str(database), dest=str(dest))
    document = json.loads(dest.read_text(encoding="utf-8"))
    entry = next(one for one in document["data"] if len(one["signed_attestations"]) > 2)
    entry["signed_attestations"].pop(1)
    dest.write_text(json.dumps(document), encoding="utf-8")
    result = run(slashing_protection_compare, capsys, have=str(dest), want=str(database))
    assert result["failed"] is True
    assert list(result["lacking"]) == [entry["pubkey"]]
    assert "1 attestations" in result["msg"]


def test_another_network_is_a_refusal(capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path) -> None:
    dest = tmp_path / "history.json"
    run(slashing_protection_export, capsys, path=str(database), dest=str(dest))
    document = json.loads(dest.read_text(encoding="utf-8"))
    document["metadata"]["genesis_validators_root"] = "0x" + "11" * 32
    dest.write_text(json.dumps(document), encoding="utf-8")
    result = run(slashing_protection_compare, capsys, have=str(dest), want=str(database))
    assert "belongs to network" in result["msg"]


def test_what_is_not_there_cannot_be_compared(capsys: pytest.CaptureFixture[str], database: Path) -> None:
    result = run(slashing_protection_compare, capsys, have=str(database.parent / "other.db"), want=str(database))
    assert result["failed"] is True


def test_a_longer_file_of_an_earlier_time_is_replaced(
    capsys: pytest.CaptureFixture[str], database: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "history.json"
    dest.write_text(" " * 1_000_000)
    assert run(slashing_protection_export, capsys, path=str(database), dest=str(dest))["changed"] is True
    assert read_interchange(str(dest)).keys


def test_leaves_out_what_is_known_already(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A record that is imported twice stands there twice; without its root it costs the key its duties."""
    votes = [(1, 2, R1), (2, 3, bytes(32)), (3, 4, R1)]
    write_database(tmp_path / "from", {PUBKEYS[0]: ([(8, R1), (9, bytes(32))], votes), PUBKEYS[1]: ([], [(5, 6, R1)])})
    write_database(tmp_path / "to", {PUBKEYS[0]: ([(9, R2)], [(1, 2, R1), (2, 3, R2)])})
    given = {"path": str(tmp_path / "from"), "dest": str(tmp_path / "news.json"), "known_by": str(tmp_path / "to")}
    assert run(slashing_protection_export, capsys, **given)["changed"] is True
    news = read_interchange(given["dest"]).keys
    assert list(news[PUBKEYS[0]].block_records()) == [(8, R1)]
    assert list(news[PUBKEYS[0]].attestation_records()) == [(3, 4, R1)]
    assert list(news[PUBKEYS[1]].attestation_records()) == [(5, 6, R1)]


def test_marks_that_no_record_carries_are_not_lost_in_silence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An interchange file cannot say them, so there is none."""
    tree = prysm_tree({PUBKEYS[0]: ([(8, R1)], [])})
    tree[b"highest-signed-proposals-bucket"] = {bytes.fromhex(PUBKEYS[0][2:]): (77).to_bytes(8, "big")}
    path = tmp_path / "validator.db"
    path.write_bytes(BoltWriter().dump(tree))
    result = run(slashing_protection_export, capsys, path=str(path), dest=str(tmp_path / "history.json"))
    assert result["failed"] and "highest slot 8 instead of 77" in result["msg"]
