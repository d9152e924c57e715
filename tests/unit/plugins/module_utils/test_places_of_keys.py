"""Where keys lie: compared as places, not as text; taken for what a file holds, not for its name."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _places
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _stores, _uniqueness
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import Census, Entry, WalletEntry
from ansible_collections.eth2xk8s.staking.plugins.modules import machine_key_info, validator_key_uniqueness
from tests.unit.plugins.keys_support import (
    KEYSTORE_PASSWORD,
    PUBKEYS,
    SECRETS,
    WALLET_PASSWORD,
    BoltWriter,
    keystore,
    run_module,
    write_database,
    write_keystores,
)
from tests.unit.plugins.module_utils.test_uniqueness import bury, entry, make_wallet, reasons, signed

K = PUBKEYS
ROOT = Path(__file__).parents[4]


# -- one directory under many names -----------------------------------------------------------------------------------

FORMS: dict[str, t.Callable[[Path], str]] = {
    "itself": str,
    "slashes": lambda path: str(path).replace("/", "//"),
    "dots": lambda path: f"{path.parent}/./{path.name}/.",
    "up and down": lambda path: f"{path}/../{path.name}",
    "end": lambda path: f"{path}/",
    "link": lambda path: str(path.parent / "link"),
    "link above": lambda path: str(path.parent.parent / "above" / path.name),
    "link of a link": lambda path: str(path.parent / "chain"),
}


def linked(tmp_path: Path) -> Path:
    place = tmp_path / "site" / "one"
    place.parent.mkdir()
    (place.parent / "link").symlink_to("one")
    (place.parent / "chain").symlink_to("link")
    (tmp_path / "above").symlink_to(place.parent)
    return place


@pytest.mark.parametrize("there", [True, False], ids=["made", "not-made-yet"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", ["wallet", "data directory"])
def test_one_directory_of_two_clients_is_refused_by_any_name(tmp_path: Path, what: str, form: str, there: bool) -> None:
    place = linked(tmp_path)
    if there:
        place.mkdir()
    elif form == "up and down":
        pytest.skip("nothing is above what is not there")
    census = Census()
    if what == "wallet":
        census.add_wallets([entry(place, "v1"), WalletEntry(FORMS[form](place), "v2")])
    else:
        census.add_data_dirs([Entry(str(place), "v1"), Entry(FORMS[form](place), "v2")])
    assert [conflict.reason for conflict in census.conflicts] == [f"is the {what} of v1 and of v2"]
    assert census.unreadable == []


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(["a", "b", ".", "..", "", "link", "up"]), min_size=1, max_size=7))
def test_two_paths_are_one_place_exactly_when_the_kernel_says_so(tmp_path: Path, parts: list[str]) -> None:
    base = tmp_path / "base"
    if not base.exists():
        (base / "a" / "b").mkdir(parents=True)
        (base / "b").mkdir()
        (base / "link").symlink_to("a")
        (base / "a" / "up").symlink_to("..")
    path = f"{base}/{'/'.join(parts)}"
    for other in (base, base / "a", base / "a/b", base / "b"):
        if Path(path).exists():
            same = Path(path).samefile(other)
            assert (_places.identity(path) == _places.identity(str(other))) == same


@pytest.mark.parametrize("first", ["inner", "outer"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inner", ["wallet", "data directory"])
def test_a_place_below_another_clients_is_refused(tmp_path: Path, inner: str, form: str, first: str) -> None:
    place = linked(tmp_path)
    (place / "deep" / "inside").mkdir(parents=True)

    def declare(census: Census, which: str) -> None:
        if which == "outer":
            census.add_data_dirs([Entry(str(place), "v1")])
        elif inner == "wallet":
            census.add_wallets([WalletEntry(FORMS[form](place) + "/deep/inside", "v2")])
        else:
            census.add_data_dirs([Entry(FORMS[form](place) + "/deep/inside", "v2")])

    census = Census()
    for which in (first, "outer" if first == "inner" else "inner"):
        declare(census, which)
    assert [conflict.reason for conflict in census.conflicts] == [
        f"({inner} of v2) lies in {place}, the data directory of v1"
    ]


def test_a_clients_own_wallet_may_lie_in_its_own_data_directory(tmp_path: Path) -> None:
    make_wallet(tmp_path / "v1" / "wallet", 0)
    write_database(tmp_path / "v1", signed(0))
    make_wallet(tmp_path / "both", 1)
    write_database(tmp_path / "both", signed(1))
    census = Census()
    census.add_wallets([entry(tmp_path / "v1/wallet", "v1"), entry(tmp_path / "both", "v2")])
    census.add_data_dirs([Entry(str(tmp_path / "v1"), "v1"), Entry(str(tmp_path / "both"), "v2")])
    census.search(str(tmp_path))
    assert (census.conflicts, census.unreadable, reasons(census)) == ([], [], {})
    assert {place.kind for place in census.places[K[1]]} == {"wallet", "history"}, (
        "one directory for both is read twice"
    )


_MOUNTED = """
import json, subprocess, sys
sys.path.insert(0, {collections!r})
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import Census, Entry, WalletEntry
for words in {mounts!r}:
    subprocess.run(["mount", "--bind", *words], check=True)
census = Census()
census.add_wallets([WalletEntry(p, c, {password!r}) for p, c in {wallets!r}])
census.add_data_dirs([Entry(p, c) for p, c in {data!r}])
census.search({root!r})
print(json.dumps([census.conflicts, list(map(str, census.unreadable))]))
"""


def mounted(tmp_path: Path, mounts: list[tuple[Path, Path]], wallets: t.Any, data: t.Any) -> list[str]:
    program = _MOUNTED.format(
        collections=str(ROOT / "collections"),
        mounts=[[str(a), str(b)] for a, b in mounts],
        password=WALLET_PASSWORD,
        wallets=[(str(path), client) for path, client in wallets],
        data=[(str(path), client) for path, client in data],
        root=str(tmp_path),
    )
    command = ["unshare", "--mount", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "not permitted" in done.stderr:
        pytest.skip("mounting is not permitted here")
    assert done.returncode == 0, done.stderr
    conflicts, unreadable = json.loads(done.stdout)
    assert unreadable == []
    return [reason for _where, reason in conflicts]


def test_bind_mounts_of_directories_and_files(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_database(a, signed(0))
    b.mkdir()
    assert mounted(tmp_path, [(a, b)], [], [(a, "v1"), (b, "v2")]) == ["is the data directory of v1 and of v2"]
    # One file instead of the directory.
    (b / "validator.db").write_bytes(b"")
    files = mounted(tmp_path, [(a / "validator.db", b / "validator.db")], [], [(a, "v1"), (b, "v2")])
    assert files == [f"is the same file as {a}/validator.db: the database of v1 and of v2"]
    # A place of one client, mounted below a place of the other.
    (b / "validator.db").unlink()
    (b / "deep").mkdir()
    nested = mounted(tmp_path, [(a, b / "deep")], [], [(a, "v1"), (b, "v2")])
    assert nested == [f"(data directory of v1) lies in {b}, the place of v2"]


@pytest.mark.parametrize("what", ["database", "wallet"])
def test_a_hard_link_is_one_file_of_two_clients(tmp_path: Path, what: str) -> None:
    if what == "wallet":
        make_wallet(tmp_path / "wallet-a", 0)
        accounts = tmp_path / "wallet-b/direct/accounts"
        accounts.mkdir(parents=True)
        (accounts / _wallet.FILE).hardlink_to(tmp_path / "wallet-a/direct/accounts" / _wallet.FILE)
    write_database(tmp_path / "a", signed(0))
    (tmp_path / "b").mkdir()
    if what == "database":
        (tmp_path / "b" / "validator.db").hardlink_to(tmp_path / "a" / "validator.db")
    census = Census()
    census.add_wallets([entry(tmp_path / f"wallet-{c}", c) for c in "ab"])
    census.add_data_dirs([Entry(str(tmp_path / c), c) for c in "ab"])
    assert [c.reason.partition(":")[2] for c in census.conflicts] == [f" the {what} of a and of b"]


# -- content, not names -----------------------------------------------------------------------------------------------

INSIDE = [
    "direct.old/accounts/all-accounts.keystore.json",
    "direct/accounts.old/all-accounts.keystore.json",
    "direct/accounts/all-accounts.keystore.json.bak",
    "direct/accounts/.all-accounts.keystore.json.previous",
    "direct/accounts/.all-accounts.keystore.json.tmp",
    "direct/accounts/deeper/all-accounts.keystore.json",
    "direct/accounts/x",
    "a/b",
    "wallet.bak",
    "WALLET.JSON",
    ".hidden",
    "no-ending",
    "picture.png",
]


def with_and_without(directory: Path, client: str) -> tuple[Census, Census]:
    """What is found with the password, and what a search without any says."""
    known, blind = Census(), Census()
    for census in (known, blind):
        census.add_wallets([entry(directory / f"wallet-{name}", name) for name in ("a", "b")])
        owners = [Entry(str(directory / name), name) for name in ("a", "b")]
        census.add_data_dirs(owners)
        if census is blind:
            census._passwords.clear()
        census.search(str(directory), owners)
    return known, blind


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("where", ["wallet-a", "a", "elsewhere"])
def test_another_clients_key_is_found_in_any_file(tmp_path: Path, where: str, name: str) -> None:
    make_wallet(tmp_path / "wallet-a", 0, manifest=True)
    make_wallet(tmp_path / "wallet-b", 1, manifest=True)
    hidden = tmp_path / where / name
    hidden.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / "wallet-b/direct/accounts" / _wallet.FILE, hidden)
    known, blind = with_and_without(tmp_path, where)
    assert "is in 2 wallets" in reasons(known)[K[1]] and set(reasons(known)) == {K[1]}
    assert [error.place for error in blind.unreadable] == [str(hidden)] or "is in 2 wallets" in reasons(blind)[K[1]]


@pytest.mark.parametrize(
    "name", ["old-validator.db", "validator.db.bak", "VALIDATOR.DB", "copy", "x/validator.db", "d.txt"]
)
@pytest.mark.parametrize("where", ["wallet-b", "b", "elsewhere"])
def test_a_history_is_found_in_any_file(tmp_path: Path, where: str, name: str) -> None:
    make_wallet(tmp_path / "wallet-a", 0, manifest=True)
    make_wallet(tmp_path / "wallet-b", 1, manifest=True)
    hidden = tmp_path / where / name
    hidden.parent.mkdir(parents=True, exist_ok=True)
    write_database(tmp_path / "made", signed(0)).rename(hidden)
    (tmp_path / "made").rmdir()
    known, _blind = with_and_without(tmp_path, where)
    assert reasons(known) == {K[0]: f"has also signed with {hidden}, and no tombstone says that it left there"}


def test_a_keystore_is_found_in_any_file_and_its_damage_is_told(tmp_path: Path) -> None:
    text = json.dumps(keystore(0))
    for number, name in enumerate(["plain", "k.json", "BOM.JSON", "list", "request", "spelt"]):
        content = {
            "BOM.JSON": "\ufeff" + text,
            "list": f"[{text}]",
            "request": json.dumps({"keystores": [text], "passwords": ["x"]}),
            "spelt": text.replace('"crypto"', '"Crypto"'),
        }.get(name, text)
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / name).write_text(content, encoding="utf-8")
    census = Census()
    census.search(str(tmp_path))
    assert len(census.places[K[0]]) == 6 and {place.kind for place in census.places[K[0]]} == {"keystore"}
    for damage in (text[:-1], text + "x", text[:200], text.replace(":", "", 1), "\x00" + text):
        (tmp_path / "damaged").write_text(damage)
        broken = Census()
        broken.search(str(tmp_path))
        assert "looks like a keystore or a wallet, but is not JSON" in str(broken.unreadable[0])
    (tmp_path / "damaged").write_bytes(text.encode("utf-16"))
    broken = Census()
    broken.search(str(tmp_path))
    assert "UTF-16" in str(broken.unreadable[0])


def test_what_is_no_validators_is_passed_over_by_content(tmp_path: Path) -> None:
    """A beacon node's database, etcd's, a packed copy, programs and settings with a word in them."""
    beacon = tmp_path / "beaconchaindata"
    (beacon / "blobs").mkdir(parents=True)
    tree = {b"blocks": {b"1": b"x"}, b"state": {b"%d" % i: b"y" * 40 for i in range(400)}, b"chain-metadata": {}}
    (beacon / "beaconchain.db").write_bytes(BoltWriter().dump(tree))
    (tmp_path / "other.db").write_bytes(BoltWriter().dump(tree))
    (tmp_path / "meta.db").write_bytes(BoltWriter().dump({b"v1": {b"k8s.io": {}}}))
    (tmp_path / "empty.db").write_bytes(BoltWriter().dump({}))
    (tmp_path / "validator.db.tar.xz").write_bytes(b"packed")
    (tmp_path / "package.json").write_text('{"browser": {"crypto": false}, "crypto": {"module": true}}')
    (tmp_path / "settings.yml").write_text("type: file\nname: x\n")
    (tmp_path / "tls.yaml").write_text("privateKey: 00\nkind: Secret\n")
    (tmp_path / "broken.json").write_text('{"crypto": ')
    census = Census()
    census.search(str(tmp_path))
    assert (census.places, census.unreadable) == ({}, [])


def test_in_a_beacon_nodes_own_directories_names_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("beaconchaindata", "blobs"):
        (tmp_path / "beacon" / name / "0x00").mkdir(parents=True)
        (tmp_path / "beacon" / name / "0x00" / "0.ssz").write_bytes(b"x")
        write_database(tmp_path / "beacon" / name / "0x00", signed(0))
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0.ssz").write_bytes(b"x")
    looked: list[str] = []
    real = _stores.kind_of
    monkeypatch.setattr(_stores, "kind_of", lambda path: looked.append(path) or real(path))
    census = Census()
    census.search(str(tmp_path))
    assert looked == [str(tmp_path / "blobs/0.ssz")]
    assert len(census.places[K[0]]) == 2


def test_a_damaged_database_of_another_name_is_danger(tmp_path: Path) -> None:
    path = write_database(tmp_path / "x", signed(0)).rename(tmp_path / "old")
    data = bytearray(path.read_bytes())
    # The first description gone: the second still says that it is one. Then a page of the root.
    data[16:20] = b"\0" * 4
    path.write_bytes(data)
    census = Census()
    census.search(str(tmp_path))
    assert K[0] in census.places or [error.place for error in census.unreadable] == [str(path)]
    root = struct.unpack_from("<Q", data, 4096 + 32)[0]
    data[root * 4096 : root * 4096 + 8] = b"\xff" * 8
    path.write_bytes(data)
    census = Census()
    census.search(str(tmp_path))
    assert [error.place for error in census.unreadable] == [str(path)]


def test_what_an_interrupted_import_left_is_read(tmp_path: Path) -> None:
    accounts = make_wallet(tmp_path / "wallet-a", 0, manifest=True) / "direct/accounts"
    other = make_wallet(tmp_path / "made", 0, 2) / "direct/accounts" / _wallet.FILE

    def census(*passwords: str) -> Census:
        found = Census()
        found.add_wallets([entry(tmp_path / "wallet-a", "a", *passwords)])
        return found

    (accounts / _wallet.TEMPORARY).write_bytes(other.read_bytes()[:300])
    assert census().unreadable == [] and K[2] not in census().places
    (accounts / _wallet.PREVIOUS).write_bytes(other.read_bytes())
    assert [place.where for place in census().places[K[2]]] == [str(accounts / _wallet.PREVIOUS)]
    assert census("Other-password-1").unreadable[0].place == str(accounts / _wallet.PREVIOUS)
    bury(tmp_path / "wallet-a", 2)
    assert reasons(census()) == {}, "a removal that was interrupted is finished by the next import"
    (accounts / _wallet.FILE).unlink()
    (tmp_path / "wallet-a" / manifests.MANIFEST).unlink()
    assert "is gone, though" in str(census().unreadable[0])


# -- key stores of other clients --------------------------------------------------------------------------------------


def lighthouse(home: Path) -> None:
    folder = home / "validators" / K[0]
    folder.mkdir(parents=True)
    (folder / "voting-keystore.json").write_text(json.dumps(keystore(0)))
    (home / "validators/validator_definitions.yml").write_text(
        f'---\n- enabled: true\n  voting_public_key: "{K[0]}"\n  type: local_keystore\n'
        f"  voting_keystore_path: {folder}/voting-keystore.json\n"
    )
    (home / "secrets").mkdir()
    (home / "secrets" / K[0]).write_text(KEYSTORE_PASSWORD)


def lighthouse_with_keys_elsewhere(home: Path) -> None:
    (home / "validators").mkdir(parents=True)
    (home / "validators/validator_definitions.yml").write_text(f"- voting_public_key: {K[0]}\n  type: web3signer\n")


def lighthouse_definitions_beside_keystores(home: Path) -> None:
    write_keystores(home / "validators", 0)
    (home / "validators/validator_definitions.yml").write_text("[]")


def teku(home: Path) -> None:
    (write_keystores(home / "validator-keys", 0) / "keystore-m_12381_3600_0_0_0.txt").write_text(KEYSTORE_PASSWORD)


def teku_in_two_directories(home: Path) -> None:
    write_keystores(home / "keys", 0)
    (home / "passwords").mkdir()
    (home / "passwords" / "keystore-m_12381_3600_0_0_0.txt").write_text(KEYSTORE_PASSWORD)


def teku_key_manager(home: Path) -> None:
    for name, content in (("local", json.dumps(keystore(0))), ("local-passwords", KEYSTORE_PASSWORD)):
        (home / "validator/key-manager" / name).mkdir(parents=True)
        ending = "json" if name == "local" else "txt"
        (home / "validator/key-manager" / name / f"{K[0][2:]}.{ending}").write_text(content)


def nimbus(home: Path) -> None:
    (home / "validators" / K[0]).mkdir(parents=True)
    (home / "validators" / K[0] / "keystore.json").write_text(json.dumps(keystore(0)))
    (home / "secrets").mkdir()
    (home / "secrets" / K[0]).write_text(KEYSTORE_PASSWORD)


def nimbus_remote(home: Path) -> None:
    (home / "validators" / K[0]).mkdir(parents=True)
    (home / "validators" / K[0] / "remote_keystore.json").write_text(
        json.dumps({"version": 3, "pubkey": K[0], "remotes": [{"url": "http://signer"}], "type": "web3signer"})
    )


def lodestar(home: Path) -> None:
    (home / "keystores" / K[0]).mkdir(parents=True)
    (home / "keystores" / K[0] / "voting-keystore.json").write_text(json.dumps(keystore(0)))
    (home / "secrets").mkdir()
    (home / "secrets" / K[0]).write_text(KEYSTORE_PASSWORD)


def lodestar_remote(home: Path) -> None:
    (home / "remoteKeys").mkdir(parents=True)
    (home / "remoteKeys" / f"{K[0]}.json").write_text(
        json.dumps({"pubkey": K[0], "url": "http://s", "readonly": False})
    )


def grandine(home: Path) -> None:
    write_keystores(home / "keystores", 0)
    (home / "keystores" / "password.txt").write_text(KEYSTORE_PASSWORD)


def web3signer_raw(home: Path) -> None:
    home.mkdir()
    (home / "key.yaml").write_text(f'type: "file-raw"\nkeyType: "BLS"\nprivateKey: "0x{SECRETS[0].hex()}"\n')


def web3signer_keystore(home: Path) -> None:
    write_keystores(home / "keys", 0)
    (home / "key.yaml").write_text(
        "type: file-keystore\nkeyType: BLS\nkeystoreFile: keys/keystore-m_12381_3600_0_0_0.json\n"
    )


def web3signer_in_a_container(home: Path) -> None:
    write_keystores(home, 0)
    (home / "key.yml").write_text(
        '{type: "file-keystore", keystoreFile: "/config/keystore-m_12381_3600_0_0_0.json", keyType: BLS}'
    )


def charon(home: Path) -> None:
    folder = home / ".charon/validator_keys"
    folder.mkdir(parents=True)
    (folder / "keystore-0.json").write_text(json.dumps(keystore(0)))
    (folder / "keystore-0.txt").write_text(KEYSTORE_PASSWORD)


def charon_with_its_lock_alone(home: Path) -> None:
    (home / ".charon").mkdir(parents=True)
    validators = [{"distributed_public_key": K[0], "public_shares": ["0x" + "ab" * 48]}]
    (home / ".charon/cluster-lock.json").write_text(json.dumps({"distributed_validators": validators}))


def shares_of_ssv(home: Path) -> None:
    (home / "ssv").mkdir(parents=True)
    share = {"data": {"publicKey": K[0], "operators": [{"id": 1}]}, "payload": {"sharesData": "0x"}}
    (home / "ssv/keyshares-20260101.json").write_text(json.dumps({"version": "v1.1.0", "shares": [share]}))


def lighthouse_under_another_name(home: Path) -> None:
    (home / "validators/mine").mkdir(parents=True)
    (home / "validators/mine/voting-keystore.json").write_text(json.dumps(keystore(0)))


def dirk(home: Path) -> None:
    folder = home / "wallets/5d1a7b64-4b61-4c8b-8a4a-1c0e0f0f7c11"
    folder.mkdir(parents=True)
    account = {**keystore(0), "encryptor": "keystore", "name": "one"}
    (folder / "0f1a7b64-4b61-4c8b-8a4a-1c0e0f0f7c12").write_text(json.dumps(account))
    (folder / "5d1a7b64-4b61-4c8b-8a4a-1c0e0f0f7c11").write_text(
        '{"name": "w", "type": "non-deterministic", "version": 1}'
    )


STORES = [
    lighthouse,
    lighthouse_with_keys_elsewhere,
    lighthouse_definitions_beside_keystores,
    teku,
    teku_in_two_directories,
    teku_key_manager,
    nimbus,
    nimbus_remote,
    lodestar,
    lodestar_remote,
    grandine,
    web3signer_raw,
    web3signer_keystore,
    web3signer_in_a_container,
    charon,
    charon_with_its_lock_alone,
    shares_of_ssv,
    lighthouse_under_another_name,
    dirk,
]


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("text", [False, True])
def test_a_keystore_within_another_document_is_found(tmp_path: Path, text: bool, depth: int) -> None:
    inner: t.Any = json.dumps(keystore(0)) if text else keystore(0)
    document: t.Any = {"password": "x", "keystore": inner}
    for _level in range(depth):
        document = [document]
    (tmp_path / "validators.json").write_text(json.dumps(document))
    result = run_module(validator_key_uniqueness, root=str(tmp_path))
    assert not result.get("failed") and list(result["keys"]) == [K[0]]
    for harmless in ({"browser": {"crypto": False}}, {"dependencies": {"crypto": "1.0"}}):
        (tmp_path / "validators.json").write_text(json.dumps(harmless))
        result = run_module(validator_key_uniqueness, root=str(tmp_path))
        assert not result.get("failed"), result["msg"]


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.__name__)
def test_what_another_client_signs_with_is_in_use(tmp_path: Path, store: t.Callable[[Path], None]) -> None:
    """Found below the data directory and on a machine's own disk; alone it is no contradiction, with ours it is."""
    (tmp_path / "site").mkdir()
    store(tmp_path / "site" / "other")
    alone = run_module(validator_key_uniqueness, root=str(tmp_path / "site"))
    assert not alone.get("failed"), alone["msg"]
    assert "wallet" in {place["kind"] for place in alone["keys"][K[0]]}
    make_wallet(tmp_path / "site" / "wallet-v1", 0, manifest=True)
    wallets = [{"path": str(tmp_path / "site/wallet-v1"), "client": "v1", "password": WALLET_PASSWORD}]
    both = run_module(validator_key_uniqueness, root=str(tmp_path / "site"), wallets=wallets)
    assert "is in 2 wallets" in both["msg"] and "prysm_wallet_exclude" in both["msg"]
    seen = run_module(machine_key_info, paths=[str(tmp_path / "site/other")])
    assert "wallet" in {item["kind"] for item in seen["keys"]} and seen["unreadable"] == []
    machine = {"host": "worker", **{name: seen[name] for name in ("searched", "keys", "unreadable", "files")}}
    away = run_module(validator_key_uniqueness, wallets=wallets, machines=[machine])
    assert "is in 2 wallets" in away["msg"] and "prysm_wallet_search_exclude" in away["msg"]


@pytest.mark.parametrize(
    "other",
    [
        "deposit_data-1.json",
        "README.md",
        "pubkeys.json",
        "notes.txt",
        "keystore-9.txt",
        "backup.zip",
        "secrets",
        "empty/x",
    ],
)
def test_a_keystore_that_no_client_uses_is_no_contradiction(tmp_path: Path, other: str) -> None:
    keys = write_keystores(tmp_path / "site" / "old", 0)
    (keys / other).parent.mkdir(exist_ok=True)
    (keys / other).write_text("[]")
    make_wallet(tmp_path / "site" / "wallet-v1", 0, manifest=True)
    wallets = [{"path": str(tmp_path / "site/wallet-v1"), "client": "v1"}]
    result = run_module(validator_key_uniqueness, root=str(tmp_path / "site"), wallets=wallets)
    assert not result.get("failed"), result["msg"]
    assert {place["kind"] for place in result["keys"][K[0]]} == {"wallet", "keystore"}


def test_keystores_to_be_imported_from_a_store_that_is_in_use_are_refused(tmp_path: Path) -> None:
    """After a reboot that client would sign again; a password beside the keystore alone says nothing of that kind."""
    lighthouse(tmp_path / "lighthouse")
    teku(tmp_path / "teku")
    for name, refused in (("lighthouse/validators", True), ("teku/validator-keys", False)):
        keystores = [{"path": str(tmp_path / name), "client": "v1"}]
        result = run_module(validator_key_uniqueness, keystores=keystores)
        assert bool(result.get("failed")) is refused, name
        assert not refused or "is in a wallet of no declared client" in result["msg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type: hashicorp\nkeyType: BLS\nkeyPath: /v1/x\n", "hashicorp"),
        ("type: file-keystore\nkeystoreFile: /nowhere/k.json\n", "/nowhere/k.json, which is not there"),
        ("type: file-raw\nkeyType: BLS\n", "file-raw"),
    ],
)
def test_a_signers_key_that_cannot_be_read_is_danger(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "key.yaml").write_text(text)
    census = Census()
    census.search(str(tmp_path))
    assert reason in str(census.unreadable[0])
    (tmp_path / "key.yaml").write_text("type: file-raw\nkeyType: SECP256K1\nprivateKey: 0x" + "01" * 32 + "\n")
    census = Census()
    census.search(str(tmp_path))
    assert (census.places, census.unreadable) == ({}, [])


# -- who runs without a wallet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["live", "live without keys", "workload"])
@pytest.mark.parametrize("what", ["nothing", "another client's"])
def test_a_client_that_runs_without_a_wallet_is_refused(tmp_path: Path, how: str, what: str) -> None:
    """The data disk is not mounted."""
    if what != "nothing":
        make_wallet(tmp_path / "wallet-v2", 1)
    census = Census()
    census.add_wallets([entry(tmp_path / "wallet-v1", "v1"), entry(tmp_path / "wallet-v2", "v2")])
    if how == "workload":
        census.add_workloads([_uniqueness.Workload("v1", "StatefulSet p/v1", str(tmp_path / "wallet-v1"), None)])
    else:
        census.add_listed("live", {"v1": [K[0]] if how == "live" else []}, "running client")
    census.settle()
    assert [(c.where, c.reason.partition(",")[0]) for c in census.conflicts] == [
        (str(tmp_path / "wallet-v1"), "holds no wallet")
    ]
    assert (K[0] in reasons(census)) is (how == "live")


def test_a_client_elsewhere_needs_no_wallet_here(tmp_path: Path) -> None:
    census = Census()
    census.add_wallets([entry(make_wallet(tmp_path / "a", 0), "v1")])
    census.add_listed("live", {"v1": [K[0]], "lighthouse1": [K[3]]}, "running client")
    census.settle()
    assert census.conflicts == [] and reasons(census) == {}


# -- what is left out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["backups", "{root}/backups", "{root}/./backups/", "backups/wallet/direct/accounts/" + _wallet.FILE]
)
def test_backups_can_be_left_out_by_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / "site"
    make_wallet(root / "wallet-v1", 0, manifest=True)
    make_wallet(root / "backups" / "wallet", 0, manifest=True)
    params = {"root": str(root), "wallets": [{"path": str(root / "wallet-v1"), "client": "v1"}]}
    assert "named in prysm_wallet_exclude" in run_module(validator_key_uniqueness, **params)["msg"]
    left = run_module(validator_key_uniqueness, exclude=[name.format(root=root)], **params)
    assert not left.get("failed"), left["msg"]


@pytest.mark.parametrize("name", [".", "wallet-v1", "..", "v1", "v1/."])
def test_a_clients_own_place_cannot_be_left_out(tmp_path: Path, name: str) -> None:
    root = tmp_path / "site"
    make_wallet(root / "wallet-v1", 0, manifest=True)
    write_database(root / "v1", signed(0))
    result = run_module(
        validator_key_uniqueness,
        root=str(root),
        wallets=[{"path": str(root / "wallet-v1"), "client": "v1"}],
        data_dirs=[{"path": str(root / "v1"), "client": "v1"}],
        exclude=[name],
    )
    assert result.get("failed") and "is excluded" in result["msg"]
