"""Importing and removing keys, and what is left when the machine dies on the way."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, as_json
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _importer
from tests.unit.plugins.keys_support import (
    KEYSTORE_PASSWORD,
    PUBKEYS,
    WALLET_PASSWORD,
    heavy,
    keystore,
    tree_of,
    write_keystores,
)

PASSWORDS = _importer.Passwords(KEYSTORE_PASSWORD)
KEYSTORES = {i: _importer.gather([], [(f"k{i}", json.dumps(keystore(i)))])[0] for i in range(6)}


def present(directory: Path, *numbers: int, **more: t.Any) -> _importer.Request:
    return _importer.Request(
        str(directory / "wallet"),
        WALLET_PASSWORD,
        keystores=tuple(KEYSTORES[i] for i in numbers),
        passwords=PASSWORDS,
        cost=2,
        **more,
    )


def absent(directory: Path, *numbers: int) -> _importer.Request:
    return _importer.Request(
        str(directory / "wallet"),
        WALLET_PASSWORD,
        remove=tuple(PUBKEYS[i] for i in numbers),
        reason="test",
        now="2026-01-01T00:00:00Z",
        cost=2,
    )


def keys_in(directory: Path) -> list[int] | None:
    """Which keys the wallet on the disk opens with; None when there is no wallet."""
    found = _wallet.find(str(directory / "wallet"))
    if not found.exists:
        return None
    keys = _wallet.parse(found.read(), found.path, WALLET_PASSWORD)
    _wallet.check_pairs(keys, found.path)
    return [PUBKEYS.index(key.pubkey) for key in keys]


def manifest_fits(directory: Path) -> bool:
    manifest = manifests.read_manifest(str(directory / "wallet"))
    found = _wallet.find(str(directory / "wallet"))
    return (
        manifest is not None
        and manifest.describes(found.read())
        and manifest.pubkeys == tuple(PUBKEYS[i] for i in keys_in(directory) or [])
    )


# -- what it does -----------------------------------------------------------------------------------------------------


def test_imports_merges_and_keeps_the_order(tmp_path: Path) -> None:
    first = _importer.run(present(tmp_path, 2, 0))
    assert (first.changed, first.imported) == (True, [PUBKEYS[2], PUBKEYS[0]])
    second = _importer.run(present(tmp_path, 0, 1, 2, 3))
    assert second.imported == [PUBKEYS[1], PUBKEYS[3]]
    assert keys_in(tmp_path) == [2, 0, 1, 3]
    assert second.pubkeys == [PUBKEYS[i] for i in (2, 0, 1, 3)]
    assert manifest_fits(tmp_path)


def test_a_second_run_touches_nothing(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0, 1))
    before = tree_of(tmp_path)
    again = _importer.run(present(tmp_path, 1, 0))
    assert (again.changed, again.imported, again.mended) == (False, [], [])
    assert tree_of(tmp_path) == before


def test_check_mode_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    for request in (present(tmp_path, 0, 1), present(tmp_path, 2), absent(tmp_path, 0)):
        before = tree_of(tmp_path)
        told = _importer.run(request, check=True)
        assert tree_of(tmp_path) == before
        assert told == _importer.run(request)


def test_modes_are_what_prysm_insists_on(tmp_path: Path) -> None:
    os.umask(0o022)
    _importer.run(present(tmp_path, 0))
    wallet = tmp_path / "wallet"
    accounts = wallet / "direct" / "accounts"
    assert [oct(path.stat().st_mode & 0o777) for path in (wallet, wallet / "direct", accounts)] == ["0o700"] * 3
    files = (accounts / _wallet.FILE, wallet / manifests.MANIFEST)
    assert [oct(path.stat().st_mode & 0o777) for path in files] == ["0o600"] * 2
    files[0].chmod(0o644)
    wallet.chmod(0o755)
    assert _importer.run(present(tmp_path, 0), check=True).mended == [str(wallet), str(files[0])]
    assert _importer.run(present(tmp_path, 0)).changed
    assert oct(files[0].stat().st_mode & 0o777) == "0o600"
    assert not _importer.run(present(tmp_path, 0)).changed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_everything_belongs_to_its_owner(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0, owner=1001, group=2000))
    for path in [tmp_path / "wallet", *(tmp_path / "wallet").rglob("*")]:
        assert (path.stat().st_uid, path.stat().st_gid) == (1001, 2000), path


def test_removing_leaves_a_tombstone_that_holds(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0, 1))
    gone = _importer.run(absent(tmp_path, 0, 5))
    assert (gone.removed, gone.pubkeys) == ([PUBKEYS[0]], [PUBKEYS[1]])
    assert keys_in(tmp_path) == [1] and manifest_fits(tmp_path)
    stones = manifests.read_tombstones(str(tmp_path / "wallet"))
    assert stones == [(PUBKEYS[0], "2026-01-01T00:00:00Z", "test")]
    assert not _importer.run(absent(tmp_path, 0)).changed
    with pytest.raises(StakingError, match="may live elsewhere now; to bring it back"):
        _importer.run(present(tmp_path, 0))
    back = _importer.run(present(tmp_path, 0, reinstate=(PUBKEYS[0],)))
    assert back.imported == [PUBKEYS[0]] and manifests.read_tombstones(str(tmp_path / "wallet")) == []
    assert not _importer.run(present(tmp_path, 0, reinstate=(PUBKEYS[0],))).changed


def test_a_key_whose_history_came_without_it_gets_a_tombstone(tmp_path: Path) -> None:
    """As of a move that is given up: else that history would be taken for a second signer's."""
    _importer.run(present(tmp_path, 0, 1))
    buried = _importer.run(absent(tmp_path, 5)._replace(also_missing=True))
    assert (buried.changed, buried.removed, buried.pubkeys) == (True, [], PUBKEYS[:2])
    assert manifests.read_tombstones(str(tmp_path / "wallet")) == [(PUBKEYS[5], "2026-01-01T00:00:00Z", "test")]
    assert not _importer.run(absent(tmp_path, 5)._replace(also_missing=True)).changed
    with pytest.raises(StakingError, match="may live elsewhere now; to bring it back"):
        _importer.run(present(tmp_path, 5))


def test_removing_the_last_key_leaves_an_empty_wallet(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0))
    _importer.run(absent(tmp_path, 0))
    assert keys_in(tmp_path) == [] and manifest_fits(tmp_path)


def test_removing_from_nothing_makes_nothing(tmp_path: Path) -> None:
    assert not _importer.run(absent(tmp_path, 0)).changed
    assert tree_of(tmp_path) == {}


# -- what it refuses --------------------------------------------------------------------------------------------------


def test_one_bad_keystore_and_nothing_is_imported(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0))
    before = tree_of(tmp_path)
    bad = _importer.gather([], [("bad", json.dumps(keystore(2, pubkey=PUBKEYS[3][2:])))])[0]
    request = present(tmp_path, 1)
    with pytest.raises(StakingError, match="its secret belongs to"):
        _importer.run(request._replace(keystores=(*request.keystores, bad)))
    with pytest.raises(StakingError, match="k2: the password is wrong"):
        _importer.run(
            present(tmp_path, 1, 2)._replace(passwords=_importer.Passwords("no", {PUBKEYS[1]: KEYSTORE_PASSWORD}))
        )
    assert tree_of(tmp_path) == before


@pytest.mark.parametrize("where", ["data", "wallet/direct"])
@pytest.mark.parametrize("how", ["flock", "range"])
def test_a_running_client_is_refused_but_an_unchanged_wallet_is_not(tmp_path: Path, where: str, how: str) -> None:
    _importer.run(present(tmp_path, 0))
    database = tmp_path / where / "validator.db"
    database.parent.mkdir(exist_ok=True)
    database.touch()
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with database.open("r+b") as held:
            (fcntl.flock if how == "flock" else fcntl.lockf)(held, fcntl.LOCK_EX)
            os.write(ready[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        assert not _importer.run(present(tmp_path, 0, data_dir=str(tmp_path / "data"))).changed
        for check in (True, False):
            with pytest.raises(StakingError, match="a validator client is running on this wallet"):
                _importer.run(present(tmp_path, 1, data_dir=str(tmp_path / "data")), check=check)
        assert keys_in(tmp_path) == [0]
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
    assert _importer.run(present(tmp_path, 1, data_dir=str(tmp_path / "data"))).changed


@pytest.mark.parametrize("how", ["flock", "range"])
def test_no_client_can_start_while_its_wallet_is_written(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the lock and the last byte of the wallet, nobody gets the lock."""
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "validator.db"
    database.touch()
    script = (
        "import fcntl, sys\n"
        f"with open(sys.argv[1], 'r+b') as f:\n    fcntl.{'flock' if how == 'flock' else 'lockf'}"
        "(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    )
    started = []
    real = _wallet.Store.save

    def save(self: _wallet.Store, *args: t.Any) -> None:
        done = subprocess.run([sys.executable, "-c", script, str(database)], capture_output=True, check=False)
        started.append(done.returncode == 0)
        real(self, *args)

    monkeypatch.setattr(_wallet.Store, "save", save)
    _importer.run(present(tmp_path, 0, data_dir=str(tmp_path / "data")))
    assert started == [False]
    subprocess.run([sys.executable, "-c", script, str(database)], check=True)


def test_a_client_with_the_database_that_nobody_locks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "validator-client-data").mkdir(parents=True)
    for check in (True, False):
        with pytest.raises(StakingError, match="minimal database, which has no lock"):
            _importer.run(present(tmp_path, 0, data_dir=str(tmp_path / "data")), check=check)
    assert keys_in(tmp_path) is None


def test_an_old_file_does_not_go_back_under_a_running_client(tmp_path: Path) -> None:
    """What an interrupted run left is put in order only when nobody would sign with it at once."""
    _importer.run(present(tmp_path, 0))
    accounts = tmp_path / "wallet" / "direct" / "accounts"
    (accounts / _wallet.FILE).rename(accounts / _wallet.PREVIOUS)
    (accounts / _wallet.FILE).write_bytes(b"half a wal")
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "validator.db").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StakingError, match="a validator client is running on this wallet"):
            _importer.run(present(tmp_path, 0, data_dir=str(tmp_path / "data")))
        assert (accounts / _wallet.FILE).read_bytes() == b"half a wal"
    assert _importer.run(present(tmp_path, 0, data_dir=str(tmp_path / "data"))).changed
    assert keys_in(tmp_path) == [0]


def test_a_wrong_wallet_password_changes_nothing(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0))
    before = tree_of(tmp_path)
    for password, reason in (("Other-password-1", "the password is wrong"), ("Pässword-1", "outside printable ASCII")):
        with pytest.raises(StakingError, match=reason):
            _importer.run(present(tmp_path, 1)._replace(password=password))
    assert tree_of(tmp_path) == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "wallet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StakingError, match="is not a directory of its own"):
        _importer.run(present(tmp_path, 0))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_two_runs_at_a_time_do_not_lose_each_others_keys(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0))
    with _wallet.Store(str(tmp_path / "wallet")):  # noqa: SIM117 - the second one must fail inside the first
        with pytest.raises(StakingError, match="changed by another run right now"):
            _importer.run(present(tmp_path, 1))
    store = _wallet.Store(str(tmp_path / "wallet"))
    with store, pytest.raises(StakingError, match="changed while its new content was prepared"):
        store.save(b"what it was once", b"new", lambda _data: None)
    assert keys_in(tmp_path) == [0]


def test_takes_files_and_directories_and_passes_deposit_data_over(tmp_path: Path) -> None:
    directory = write_keystores(tmp_path / "keys", 0, 1)
    (directory / "deposit_data-1618800000.json").write_text(json.dumps([{"pubkey": PUBKEYS[0][2:]}]))
    (directory / "notes.txt").write_text("not a keystore")
    alone = write_keystores(tmp_path / "more", 2) / "keystore-m_12381_3600_2_0_0.json"
    found = _importer.gather([str(directory), str(alone)])
    assert [item.pubkey for item in found] == PUBKEYS[:3]
    assert _importer.deposited([str(directory / "deposit_data-1618800000.json")]) == {PUBKEYS[0]}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("keystore-1.json", "{", "is not JSON"),
        ("other.json", "{", "is not JSON"),
        ("other.json", '{"crypto": {}}', "version is missing"),
        ("keystore-1.json", "{}", "crypto is missing"),
        ("KEYSTORE-1.JSON", "{}", "crypto is missing"),
        ("cut", '{"crypto": {"kdf": {"function": "scr', "is not JSON"),
        ("list.json", '[{"crypto": {"kdf": {}}, "version": 4}]', "keystores in a list"),
        ("request.json", '{"keystores": ["{\\"crypto\\": {\\"kdf\\": {}}, \\"version\\": 4}"]}', "keystores in a list"),
        ("keystore-1.json", "$ANSIBLE_VAULT;1.1;AES256\n00", "encrypted by Ansible Vault"),
        ("wide.json", "\ufeff{}", "UTF-16"),
        ("keystore", "", "is not JSON"),
        (None, None, "holds no keystore"),
    ],
)
def test_nothing_in_a_directory_is_silently_left_out(
    tmp_path: Path, name: str | None, content: str | None, reason: str
) -> None:
    (tmp_path / "keys").mkdir()
    if name is not None and content is not None:
        write_keystores(tmp_path / "keys", 0)
        encoding = "utf-16-le" if reason == "UTF-16" else "utf-8"
        (tmp_path / "keys" / name).write_text(content, encoding=encoding)
    with pytest.raises(StakingError, match=reason) as refused:
        _importer.gather([str(tmp_path / "keys")])
    assert str(tmp_path / "keys") in str(refused.value)


def keyshares(number: int) -> dict[str, t.Any]:
    """What SSV's tool writes for the owner of a key."""
    return {
        "data": {"ownerNonce": 1, "publicKey": PUBKEYS[number], "operators": [{"id": 1, "operatorKey": "LS0t"}]},
        "payload": {"publicKey": PUBKEYS[number], "operatorIds": [1], "sharesData": "0x"},
    }


@pytest.mark.parametrize("document", [keyshares(1), {"version": "v1.1.0", "shares": [keyshares(5), keyshares(1)]}])
def test_a_key_that_operators_of_a_cluster_have_shares_of_is_refused(
    tmp_path: Path, document: dict[str, t.Any]
) -> None:
    directory = write_keystores(tmp_path / "keys", 0, 1)
    (directory / "keyshares-1.json").write_text(json.dumps(document), encoding="ascii")
    [problem] = _importer.collect([str(directory)]).problems
    assert str(problem).startswith(f"Slashing risk: {directory / 'keyshares-1.json'} says that a cluster signs for")
    assert PUBKEYS[1] in str(problem)
    (directory / "keyshares-1.json").write_text(json.dumps({"data": {"publicKey": "0x12", "operators": []}}))
    [problem] = _importer.collect([str(directory)]).problems
    assert "keyshares-1.json: '0x12' is not a 48-byte" in str(problem)


@pytest.mark.parametrize("version", [3, 5])
def test_a_keystore_of_another_version_is_not_left_out(tmp_path: Path, version: int) -> None:
    directory = write_keystores(tmp_path / "keys", 0)
    (directory / "validator-1.json").write_text(json.dumps(keystore(1, version=version)), encoding="ascii")
    [problem] = _importer.collect([str(directory)]).problems
    assert str(problem) == f"{directory / 'validator-1.json'}: is not version 4 of the keystore format"


BESIDE = {
    "deposit_data-1618800000.json": lambda: json.dumps([{"pubkey": PUBKEYS[0][2:]}]),
    "bls_to_execution_change-1.json": lambda: json.dumps([{"message": {"validator_index": "1"}, "signature": "0x"}]),
    "signed_exit_transaction-1-1.json": lambda: json.dumps({"message": {"epoch": "1"}, "signature": "0x"}),
    "voluntary_exit.json": lambda: "not even JSON",
    "pubkeys.json": lambda: json.dumps(PUBKEYS[:2]),
    "keystores.zip": lambda: "PK",
    "keystore-1.json.gpg": lambda: "\x85",
    "keystore-m_12381_3600_0_0_0.txt": lambda: KEYSTORE_PASSWORD,
    "notes.txt": lambda: "mine",
    "README": lambda: "",
    "._keystore-m_12381_3600_0_0_0.json": lambda: "\0\5\26\7Mac OS X",
    ".DS_Store": lambda: "x",
    "config.json": lambda: "{}",
    "UTC--2024-01-01--00.json": lambda: json.dumps(
        {"version": 3, "crypto": {"cipher": "aes-128-ctr", "kdf": "scrypt"}}
    ),
    "slashing_protection.json": lambda: json.dumps({"metadata": {"interchange_format_version": "5"}, "data": []}),
    "history.json": lambda: json.dumps({"data": [], "metadata": {"interchange_format_version": "5"}}),
    "Slashing-Protection-2024.json": lambda: "cut off",
    "history-of-a-key-manager.json": lambda: json.dumps(
        {"data": [], "slashing_protection": json.dumps({"metadata": {"interchange_format_version": "5"}, "data": []})}
    ),
    "history-without-metadata.json": lambda: json.dumps(
        [{"pubkey": PUBKEYS[0], "signed_blocks": [], "signed_attestations": []}]
    ),
    "history-of-teku.yml": lambda: "---\nlastSignedBlockSlot: 5\nlastSignedAttestationSourceEpoch: 1\n",
    "history-of-nimbus.sqlite3": lambda: "SQLite format 3\0 CREATE TABLE SignedAttestations(x)",
    "validator.db": lambda: "\0" * 16 + "\xed\xda\x0c\xed",
    "old-validator.db.bak": lambda: "damaged",
    "slashprotection.yml": lambda: "x",
    f"{PUBKEYS[0][2:]}.yml": lambda: 'genesisValidatorsRoot: "0x"\nlastSignedBlockSlot: "9"\n',
    "keystore-password": lambda: KEYSTORE_PASSWORD,
    "keystore_passphrase": lambda: KEYSTORE_PASSWORD,
    "validator_keys_secrets": lambda: KEYSTORE_PASSWORD,
    "validator_definitions.yml": lambda: f"- voting_public_key: {PUBKEYS[0]}",
    "index": lambda: json.dumps([{"uuid": "0", "name": "1"}]),
    "validator_key_cache.json": lambda: json.dumps(
        {"crypto": {"kdf": {}, "checksum": {}, "cipher": {"message": ""}}, "uuids": ["0"]}
    ),
    "cache-of-lighthouse": lambda: json.dumps({"crypto": {"kdf": {}, "cipher": {}}, "uuids": []}),
    "keystores.cache": lambda: json.dumps({**keystore(0), "pubkey": PUBKEYS[0] + PUBKEYS[1][2:]}),
    "network_keystore.json": lambda: json.dumps({**keystore(0), "pubkey": "0802" * 9, "version": 1}),
    "wallet": lambda: json.dumps(
        {
            "name": "w",
            "nextaccount": 2,
            "type": "hierarchical deterministic",
            "uuid": "0",
            "version": 1,
            "crypto": {"kdf": {}, "checksum": {}, "cipher": {"message": "00" * 64}},
        }
    ),
    "keyshares-of-another-key.json": lambda: json.dumps({"shares": [keyshares(3)]}),
    "cluster-lock.json": lambda: json.dumps({"distributed_validators": [{"distributed_public_key": PUBKEYS[3]}]}),
    "wallet-of-rocket-pool": lambda: json.dumps(
        {
            "crypto": {"kdf": {}, "checksum": {}, "cipher": {"message": "00" * 64}},
            "name": "w",
            "version": 4,
            "uuid": "0",
            "derivationPath": "m/44'/60'/0'/0/%d",
            "next_account": 2,
        }
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_other_tools_leave_beside_keystores_is_passed_over_and_told(tmp_path: Path, name: str) -> None:
    directory = write_keystores(tmp_path / "keys", 0, 1)
    (directory / name).write_text(BESIDE[name](), encoding="latin-1")
    found = _importer.collect([str(directory)])
    assert [item.pubkey for item in found.keystores] == PUBKEYS[:2] and found.problems == []
    assert [item.path for item in found.passed_over] == [str(directory / name)]
    is_history = (
        "lash" in name or "validator.db" in name or name.startswith("history") or name == f"{PUBKEYS[0][2:]}.yml"
    )
    assert found.histories == ([str(directory / name)] if is_history else [])


def test_databases_of_other_clients_that_are_directories_are_histories(tmp_path: Path) -> None:
    """Teku's files below its own directory, and Lodestar's database, however deep."""
    directory = write_keystores(tmp_path / "keys", 0)
    teku = directory / "slashprotection" / f"{PUBKEYS[0][2:]}.yml"
    lodestar = directory / "cache" / "validator-db"
    beacon = directory / "chain-db"
    for place in (teku.parent, lodestar, beacon):
        place.mkdir(parents=True)
    teku.write_text('lastSignedAttestationTargetEpoch: "9"\n')
    (lodestar / "CURRENT").write_text("MANIFEST-000001\n")
    (beacon / "CURRENT").write_text("MANIFEST-000001\n")
    assert _importer.collect([str(directory)]).histories == [str(lodestar), str(teku)]
    (directory / "validator-client-data").mkdir()
    # Named by what it is in, as everywhere.
    assert _importer.collect([str(directory)]).histories == [str(lodestar), str(teku), str(directory)]


def test_a_wallet_of_prysm_among_keystores_is_named(tmp_path: Path) -> None:
    directory = write_keystores(tmp_path / "keys", 0)
    document = keystore(1)
    document["crypto"]["cipher"]["message"] = "00" * 300
    del document["pubkey"]
    (directory / "all-accounts.keystore.json").write_text(json.dumps(document))
    (problem,) = _importer.collect([str(directory)]).problems
    assert "all-accounts.keystore.json: is a wallet of Prysm" in str(problem) and "accounts backup" in str(problem)


def test_takes_whatever_is_a_keystore_by_any_name_and_names_the_rest(tmp_path: Path) -> None:
    """Two levels deep, as Prysm; links followed; nothing left out without a word."""
    directory = tmp_path / "keys"
    places = ["UPPER.JSON", "no-ending", "sub/inner.json", "sub/deeper/never.json", "two/x"]
    for number, name in enumerate(places):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(json.dumps(keystore(number)))
    (tmp_path / "outside").write_text(json.dumps(keystore(5)))
    (directory / "linked").symlink_to(tmp_path / "outside")
    (directory / "round").symlink_to(directory)
    os.mkfifo(directory / "keystore-pipe.json")
    found = _importer.collect([str(directory)])
    assert found.problems == []
    assert {item.pubkey for item in found.keystores} == {PUBKEYS[i] for i in (0, 1, 2, 4, 5)}
    assert {os.path.relpath(item.path, directory) for item in found.passed_over} == {"sub/deeper", "keystore-pipe.json"}
    (directory / "dangling.json").symlink_to("nowhere")
    assert "dangling.json: is a broken symbolic link" in str(_importer.collect([str(directory)]).problems[0])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("typo", "typo: No such file or directory"),
        ("empty", "empty: holds no keystore"),
        ("others", "others: holds no keystore (only notes.txt)"),
        ("hollow", "hollow: holds no keystore"),
        ("ke*", "ke*: No such file or directory (patterns are not expanded: name the directory)"),
        ("others/notes.txt", "notes.txt: is not JSON"),
        ("keys/keystore-m_12381_3600_0_0_0.json/", "Not a directory"),
        ("deposits.json", "deposits.json: is deposit data, not a keystore"),
    ],
)
def test_each_place_that_is_named_gives_a_keystore_or_nothing_is_imported(
    tmp_path: Path, path: str, reason: str
) -> None:
    write_keystores(tmp_path / "keys", 0)
    odd = write_keystores(tmp_path / "odd[1]*", 2)
    for name in ("empty", "others", "hollow/inner"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "others/notes.txt").write_text("x")
    (tmp_path / "deposits.json").write_text(json.dumps([{"pubkey": PUBKEYS[0][2:]}]))
    found = _importer.collect([str(tmp_path / "keys"), f"{tmp_path}/{path}", str(odd)])
    assert [item.pubkey for item in found.keystores] == [PUBKEYS[0], PUBKEYS[2]]
    assert len(found.problems) == 1 and reason in str(found.problems[0])
    with pytest.raises(StakingError):
        _importer.gather([str(tmp_path / "keys"), f"{tmp_path}/{path}", str(odd)])


def test_the_password_beside_a_keystore_counts_where_no_other_is_given(tmp_path: Path) -> None:
    directory = write_keystores(tmp_path / "keys", 0, 1)
    (directory / "keystore-m_12381_3600_0_0_0.txt").write_text(KEYSTORE_PASSWORD + "\r\n")
    found = _importer.collect([str(directory)])
    first, second = found.keystores

    def passwords(*given: t.Any) -> _importer.Passwords:
        return _importer.Passwords(*given, beside=found.beside)

    assert passwords().of(first) == KEYSTORE_PASSWORD
    assert passwords("common").of(first) == "common"
    assert passwords(None, {PUBKEYS[0]: "own"}).of(first) == "own"
    with pytest.raises(StakingError, match="no password is given"):
        passwords().of(second)


def test_keystores_that_do_not_say_whose_they_are(tmp_path: Path) -> None:
    document = keystore(0)
    del document["pubkey"]
    nameless = _importer.gather([], [("nameless", json.dumps(document))])
    request = present(tmp_path)._replace(keystores=tuple(nameless))
    assert _importer.run(request).imported == [PUBKEYS[0]] and keys_in(tmp_path) == [0]
    assert not _importer.run(request).changed
    with pytest.raises(StakingError, match="has no pubkey field, and no password is given"):
        _importer.run(request._replace(passwords=_importer.Passwords(None)))


@pytest.mark.parametrize("there", [False, True], ids=["new", "in-the-wallet"])
def test_every_file_that_claims_a_key_is_opened_when_there_are_several(tmp_path: Path, there: bool) -> None:
    if there:
        _importer.run(present(tmp_path, 0))
    liar = json.dumps(keystore(3, pubkey=PUBKEYS[0][2:]))
    files = [("k0", json.dumps(keystore(0))), ("liar", liar)]
    for order in (files, files[::-1]):
        request = present(tmp_path)._replace(keystores=tuple(_importer.gather([], order)))
        with pytest.raises(StakingError, match=r"liar: says it is .*, but its secret belongs to"):
            _importer.run(request)
    assert keys_in(tmp_path) == ([0] if there else None)
    # Another encryption of the same secret is no contradiction, nor is the same file twice.
    twice = [("a", json.dumps(keystore(0))), ("b", json.dumps(keystore(0)))]
    assert _importer.run(
        present(tmp_path)._replace(keystores=tuple(_importer.gather([], twice + twice[:1])))
    ).pubkeys == [PUBKEYS[0]]


def test_deposit_data_must_name_every_key(tmp_path: Path) -> None:
    with pytest.raises(StakingError, match=f"k1: {PUBKEYS[1]} is not in the deposit data"):
        _importer.run(present(tmp_path, 0, 1, deposits=frozenset(PUBKEYS[:1])))
    assert keys_in(tmp_path) is None


def test_a_password_is_found_by_key_path_name_and_directory() -> None:
    item = _importer.gather([], [("/keys/a/keystore-0.json", json.dumps(keystore(0)))])[0]
    for name in (
        PUBKEYS[0].upper().replace("0X", ""),
        "/keys/a/keystore-0.json",
        "keystore-0.json",
        "/keys/a",
        "/keys/a/",
    ):
        assert _importer.Passwords("common", {name: "its own"}).of(item) == "its own"
    assert _importer.Passwords("common", {"other": "x"}).of(item) == "common"
    with pytest.raises(StakingError, match=r"/keys/a/keystore-0\.json: no password is given"):
        _importer.Passwords(None, {"other": "x"}).of(item)


# -- what is left when it is stopped ----------------------------------------------------------------------------------

#: Everything that changes a disk, as the writer calls it.
CALLS = ("mkdir", "write", "fsync", "fchmod", "fchown", "rename", "replace", "link", "unlink", "open")


class Countdown:
    """Makes the system fail at the n-th call that can change the disk."""

    def __init__(self, calls: int, act: t.Callable[[], None], names: t.Iterable[str] = CALLS) -> None:
        self.left = calls
        self.act = act
        self.real = {name: getattr(os, name) for name in names}

    def __enter__(self) -> Countdown:
        for name, real in self.real.items():
            setattr(os, name, self.wrap(name, real))
        return self

    def __exit__(self, *_exc: object) -> None:
        for name, real in self.real.items():
            setattr(os, name, real)

    def wrap(self, name: str, real: t.Any) -> t.Any:
        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            self.left -= 1
            if self.left == 0:
                self.act()
            return real(*args, **kwargs)

        return call


@pytest.fixture
def memory(tmp_path: Path) -> t.Iterator[Path]:
    """A directory that need not wait for a disk: these tests write the same wallet hundreds of times."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def die() -> None:
    os._exit(9)


def killed(request: _importer.Request, calls: int) -> bool:
    """Run in a process of its own that dies at the n-th call; whether it did."""
    child = os.fork()
    if child == 0:
        try:
            with Countdown(calls, die):
                _importer.run(request)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def finish(tmp_path: Path, request: _importer.Request, wanted: list[int]) -> None:
    """The same run again must do the rest, and a third nothing."""
    _importer.run(request)
    assert keys_in(tmp_path) == wanted
    assert manifest_fits(tmp_path)
    left = {path.name for path in (tmp_path / "wallet").rglob("*") if path.is_file()}
    assert left <= {_wallet.FILE, manifests.MANIFEST, manifests.TOMBSTONES}
    assert not _importer.run(request).changed


@pytest.mark.parametrize("what", ["second import", "first import", "removal", "return"])
def test_killed_at_any_call_it_leaves_the_old_wallet_or_the_new(memory: Path, what: str) -> None:
    calls = 0
    while True:
        # Every call of the fullest case; of its variations every third, unless there is time.
        calls += 1 if what == "second import" or heavy() else 3
        directory = memory / str(calls)
        directory.mkdir()
        old: list[int] | None = None
        if what != "first import":
            _importer.run(present(directory, 0, 1))
            old = [0, 1]
        request, new = present(directory, 0, 2), [0, 1, 2] if old else [0, 2]
        if what == "removal":
            request, new = absent(directory, 0), [1]
        if what == "return":
            _importer.run(absent(directory, 0))
            request, old, new = present(directory, 0, reinstate=(PUBKEYS[0],)), [1], [1, 0]
        died = killed(request, calls)
        assert keys_in(directory) in (old, new), f"killed at call {calls}"
        if what == "removal" and 0 in (keys_in(directory) or []) and not died:
            pytest.fail("removed, but still there")
        finish(directory, request, new)
        if not died:
            break
    assert calls > 10


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", ["write", "fsync", "rename", "link", "open"])
def test_a_disk_that_fails_or_is_full_leaves_the_old_wallet_or_the_new(memory: Path, name: str, number: int) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    calls = 0
    while True:
        calls += 1
        directory = memory / str(calls)
        directory.mkdir()
        _importer.run(present(directory, 0))
        try:
            with Countdown(calls, fail, [name]) as countdown:
                _importer.run(present(directory, 1))
        except (StakingError, OSError) as exc:
            assert os.strerror(number) in str(exc)
            if isinstance(exc, StakingError):
                assert str(directory / "wallet") in str(exc)
        assert keys_in(directory) in ([0], [0, 1])
        finish(directory, present(directory, 1), [0, 1])
        if countdown.left > 0:
            break
    assert calls > 1


def test_a_file_that_is_not_what_was_written_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _importer.run(present(tmp_path, 0))
    real = os.rename
    accounts = tmp_path / "wallet/direct/accounts"

    def rename_and_damage(source: t.Any, target: t.Any, **kwargs: t.Any) -> None:
        real(source, target, **kwargs)
        if source == _wallet.TEMPORARY:
            (accounts / _wallet.FILE).write_bytes(b"\0" * 100)

    monkeypatch.setattr(os, "rename", rename_and_damage)
    with pytest.raises(StakingError, match="is not JSON"):
        _importer.run(present(tmp_path, 1))
    monkeypatch.undo()
    assert keys_in(tmp_path) == [0]
    finish(tmp_path, present(tmp_path, 1), [0, 1])


def test_the_previous_file_is_used_when_the_current_one_does_not_open(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0))
    accounts = tmp_path / "wallet/direct/accounts"
    (accounts / _wallet.FILE).rename(accounts / _wallet.PREVIOUS)
    (accounts / _wallet.FILE).write_bytes(b"")
    finish(tmp_path, present(tmp_path, 1), [0, 1])


def left_over(tmp_path: Path, *numbers: int, password: str = WALLET_PASSWORD) -> Path:
    """A wallet with key 0, and beside it what an interrupted run is supposed to have left."""
    _importer.run(present(tmp_path, 0))
    accounts = tmp_path / "wallet/direct/accounts"
    keys = [_wallet.Key(PUBKEYS[i], KEYSTORES[i].open(KEYSTORE_PASSWORD)) for i in numbers]
    (accounts / _wallet.PREVIOUS).write_bytes(_wallet.render(keys, password, 2))
    (accounts / _wallet.PREVIOUS).chmod(0o600)
    return accounts


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("what", ["present", "absent"])
def test_a_wrong_password_is_no_damage(tmp_path: Path, what: str, check: bool) -> None:
    """A previous file of another password must not take the place of the wallet."""
    left_over(tmp_path, 1, password="Other-password-1")
    before = tree_of(tmp_path)
    request = present(tmp_path, 2) if what == "present" else absent(tmp_path, 0)
    with pytest.raises(StakingError, match=r"keystore\.json: the password is wrong"):
        _importer.run(request._replace(password="Other-password-1"), check=check)
    assert tree_of(tmp_path) == before


@pytest.mark.parametrize(
    ("numbers", "password", "reason"),
    [
        ([0, 3], WALLET_PASSWORD, f"holds {PUBKEYS[3]}, which the wallet lacks; move it away by hand"),
        ([0], "Other-password-1", "cannot be read .*the password is wrong.*; move it away by hand"),
        (None, "", "cannot be read .*is not JSON"),
    ],
)
def test_what_was_left_is_not_removed_unread(
    tmp_path: Path, numbers: list[int] | None, password: str, reason: str
) -> None:
    accounts = left_over(tmp_path, *(numbers or []), password=password or WALLET_PASSWORD)
    if numbers is None:
        (accounts / _wallet.PREVIOUS).write_bytes(b"half")
    before = tree_of(tmp_path)
    for request in (present(tmp_path, 1), present(tmp_path, 0), absent(tmp_path, 0)):
        for check in (True, False):
            with pytest.raises(StakingError, match=reason):
                _importer.run(request, check=check)
    assert tree_of(tmp_path) == before


def test_with_the_wallet_gone_the_previous_keys_are_kept(tmp_path: Path) -> None:
    accounts = left_over(tmp_path, 0, 3)
    (accounts / _wallet.FILE).unlink()
    assert _importer.run(present(tmp_path, 1), check=True).pubkeys == [PUBKEYS[i] for i in (0, 3, 1)]
    finish(tmp_path, present(tmp_path, 1), [0, 3, 1])


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_key_that_was_removed_does_not_come_back_with_an_old_file(tmp_path: Path, damage: str) -> None:
    _importer.run(present(tmp_path, 0, 1))
    old = tmp_path / "wallet/direct/accounts" / _wallet.FILE
    kept = old.read_bytes()
    _importer.run(absent(tmp_path, 0))
    old.with_name(_wallet.PREVIOUS).write_bytes(kept)
    old.unlink() if damage == "gone" else old.write_bytes(b"half")
    before = tree_of(tmp_path)
    for request in (present(tmp_path, 2), absent(tmp_path, 1)):
        with pytest.raises(StakingError, match=f"is {damage}, and .* holds {PUBKEYS[0]}, which has left this wallet"):
            _importer.run(request)
    assert tree_of(tmp_path) == before


def test_a_wallet_that_is_gone_is_not_begun_anew_while_its_list_is_there(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0))
    (tmp_path / "wallet/direct/accounts" / _wallet.FILE).unlink()
    with pytest.raises(StakingError, match=r"is gone, though .* lists its keys"):
        _importer.run(present(tmp_path, 1))


Step = tuple[str, list[int], int]


@settings(
    max_examples=300 if heavy() else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["import", "remove"]),
            st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True),
            st.integers(1, 60),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_sequence_of_changes_and_power_cuts_leaves_a_wallet_that_opens(memory: Path, steps: list[Step]) -> None:
    directory = Path(tempfile.mkdtemp(dir=memory))
    model: list[int] = []
    for action, numbers, calls in steps:
        if action == "import":
            request = present(directory, *numbers, reinstate=tuple(PUBKEYS))
            after = model + [i for i in numbers if i not in model]
        else:
            request = absent(directory, *numbers)
            after = [i for i in model if i not in numbers]
        died = killed(request, calls)
        now = keys_in(directory) or []
        assert now in (model, after) if died else now == after
        model = now
        # What can be found out without the password is either right or refused.
        manifest = manifests.read_manifest(str(directory / "wallet")) if (directory / "wallet").exists() else None
        found = _wallet.find(str(directory / "wallet"))
        if manifest is not None and found.exists and manifest.describes(found.read()):
            assert manifest.pubkeys == tuple(PUBKEYS[i] for i in now)


def test_a_manifest_of_another_wallet_is_noticed(tmp_path: Path) -> None:
    _importer.run(present(tmp_path, 0))
    path = tmp_path / "wallet" / manifests.MANIFEST
    path.write_bytes(manifests.render_manifest(manifests.manifest_for(b"other", [PUBKEYS[3]])))
    path.chmod(0o600)
    mended = _importer.run(present(tmp_path, 0))
    assert mended.mended == [str(path)] and manifest_fits(tmp_path)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "is not a key manifest"),
        ({"version": 1, "pubkeys": []}, "is not a key manifest"),
        ({"version": 2, "pubkeys": [], "wallet_sha256": "00" * 32}, "version this program does not know"),
        ({"version": 1, "pubkeys": {}, "wallet_sha256": "00" * 32}, "pubkeys is not a list"),
        ({"version": 1, "pubkeys": [], "wallet_sha256": "00"}, "not a digest"),
        ({"version": 1, "pubkeys": ["0x12"], "wallet_sha256": "00" * 32}, "not a 48-byte"),
        ({"version": 1, "pubkeys": [PUBKEYS[0], PUBKEYS[0].upper()], "wallet_sha256": "00" * 32}, "more than once"),
    ],
)
def test_a_damaged_manifest_is_one_clear_error(document: t.Any, reason: str) -> None:
    with pytest.raises(StakingError, match=reason) as refused:
        manifests.parse_manifest(as_json(document), "the/manifest")
    assert str(refused.value).startswith("the/manifest: ")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 1, "tombstones": [5]},
        {"version": 1, "tombstones": [{"pubkey": PUBKEYS[0]}]},
        {"version": 1, "tombstones": [{"pubkey": "x", "removed": "", "reason": ""}]},
        {"version": 1, "tombstones": [{"pubkey": PUBKEYS[0], "removed": 1, "reason": ""}]},
    ],
)
def test_damaged_tombstones_are_one_clear_error(document: t.Any) -> None:
    with pytest.raises(StakingError, match=r"^the/stones: "):
        manifests.parse_tombstones(as_json(document), "the/stones")
