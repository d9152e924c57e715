from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _uniqueness
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import Census, Entry, WalletEntry
from tests.unit.plugins.keys_support import PUBKEYS, SECRETS, WALLET_PASSWORD, write_database, write_keystores

K = PUBKEYS
R1 = b"\x01" * 32


def make_wallet(directory: Path, *numbers: int, manifest: bool = False, label: dict[int, int] | None = None) -> Path:
    """A wallet as Prysm makes it; label gives a key another one's name."""
    keys = [_wallet.Key(K[(label or {}).get(i, i)], SECRETS[i]) for i in numbers]
    data = _wallet.render(keys, WALLET_PASSWORD, cost=2)
    accounts = directory / "direct" / "accounts"
    accounts.mkdir(parents=True)
    (accounts / _wallet.FILE).write_bytes(data)
    if manifest:
        written = manifests.render_manifest(manifests.manifest_for(data, [key.pubkey for key in keys]))
        (directory / manifests.MANIFEST).write_bytes(written)
    return directory


def bury(directory: Path, *numbers: int) -> None:
    stones = [manifests.Tombstone(K[i], "2026-01-01T00:00:00Z", "moved") for i in numbers]
    (directory / manifests.TOMBSTONES).write_bytes(manifests.render_tombstones(stones))


def entry(directory: Path, client: str | None = None, password: str | None = WALLET_PASSWORD) -> WalletEntry:
    return WalletEntry(str(directory), client, password)


def reasons(census: Census) -> dict[str, str]:
    return {item.key: item.reason for item in census.duplicates()}


def signed(*numbers: int) -> t.Any:
    return {K[i]: ([(8, R1)], [(1, 2, R1)]) for i in numbers}


def test_a_clean_site_is_clean(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "wallet-a", 0, 1, manifest=True)
    b = make_wallet(tmp_path / "wallet-b", 2)
    write_database(tmp_path / "a", signed(0, 1))
    write_database(tmp_path / "b", signed(2))
    keys = write_keystores(tmp_path / "keys", 0, 1)
    census = Census()
    census.add_wallets([entry(a, "a", None), entry(b, "b"), entry(tmp_path / "wallet-new", "new", None)])
    owners = [Entry(str(tmp_path / "a"), "a"), Entry(str(tmp_path / "b"), "b"), Entry(str(tmp_path / "new"), "new")]
    census.add_data_dirs(owners)
    census.add_keystores([Entry(str(keys), "a")])
    census.add_listed("declared", {"a": [K[0], K[1]], "b": [K[2]]}, "inventory")
    census.add_listed("live", {"a": [K[0].upper().replace("0X", "0x"), K[1]]}, "running client")
    census.search(str(tmp_path), owners)
    assert census.duplicates() == [] and census.unreadable == [] and census.conflicts == []
    assert {place.kind for place in census.places[K[0]]} == {"wallet", "history", "keystore", "declared", "live"}
    assert [(seen.keys, seen.read) for seen in census.wallets] == [(2, "manifest"), (1, "password")]


def test_one_key_in_two_wallets(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0, 1, manifest=True)
    b = make_wallet(tmp_path / "b", 1, 2)
    census = Census()
    census.add_wallets([entry(a, "v1"), entry(b, "v2")])
    assert list(reasons(census)) == [K[1]]
    assert "is in 2 wallets" in reasons(census)[K[1]] and "belongs to 2 clients: v1, v2" in reasons(census)[K[1]]
    assert {place.where for place in census.duplicates()[0].places} == {str(a), str(b)}


def test_a_copy_of_a_wallet_that_nobody_declared(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0, manifest=True)
    make_wallet(tmp_path / "old" / "copy", 0, manifest=True)
    make_wallet(tmp_path / "older", 0)
    (tmp_path / "a" / "direct" / "accounts" / (_wallet.FILE + ".bak")).write_bytes(
        (tmp_path / "older/direct/accounts" / _wallet.FILE).read_bytes()
    )
    census = Census()
    census.add_wallets([entry(a, "v1")])
    census.search(str(tmp_path))
    assert census.unreadable == [] and "is in 4 wallets" in reasons(census)[K[0]]


@pytest.mark.parametrize("manifest", [True, False])
def test_a_wallet_behind_a_link(tmp_path: Path, manifest: bool) -> None:
    """The client that is given the link follows it; a link to what is above must not make the search endless."""
    a = make_wallet(tmp_path / "site" / "a", 0)
    make_wallet(tmp_path / "other-disk" / "b", 0, manifest=manifest)
    (tmp_path / "site" / "b").symlink_to(tmp_path / "other-disk" / "b")
    (tmp_path / "site" / "a" / "up").symlink_to(tmp_path / "site")
    census = Census()
    census.add_wallets([entry(a, "v1")])
    census.search(str(tmp_path / "site"))
    assert census.unreadable == [] and reasons(census) == {K[0]: "is in 2 wallets"}


@pytest.mark.parametrize("keys", [2, 400])
def test_a_wallet_under_another_name(tmp_path: Path, keys: int) -> None:
    """However large: a copy of a wallet is a wallet."""
    a = make_wallet(tmp_path / "a", 0)
    many = [_wallet.Key(K[0], SECRETS[0])]
    many += [_wallet.Key(f"0x{i:096x}", i.to_bytes(32, "big")) for i in range(1, keys)]
    (tmp_path / "copy.json").write_bytes(_wallet.render(many, WALLET_PASSWORD, cost=2))
    census = Census()
    census.add_wallets([entry(a, "v1")])
    census.search(str(tmp_path))
    assert census.unreadable == [] and reasons(census) == {K[0]: "is in 2 wallets"}
    census = Census()
    census.add_wallets([entry(a, "v1", "Other-password-1")])
    census.search(str(tmp_path))
    assert "none of the known passwords opens it" in str(census.unreadable[-1])


def test_a_key_that_moved_from_a_client_which_the_site_no_longer_has(tmp_path: Path) -> None:
    """Its wallet and database stay, and still say that the key has left; those of somebody else do not."""
    a = make_wallet(tmp_path / "wallet-a", 0)
    bury(make_wallet(tmp_path / "wallet-b", 1, manifest=True), 0)
    write_database(tmp_path / "b", signed(0, 1))

    def census() -> Census:
        found = Census()
        found.add_wallets([entry(a, "a")])
        found.search(str(tmp_path), [Entry(str(tmp_path / "a"), "a")])
        return found

    assert reasons(census()) == {}
    (tmp_path / "b").rename(tmp_path / "c")
    assert set(reasons(census())) == {K[0], K[1]}


def test_a_wallet_that_nobody_can_read_is_danger(tmp_path: Path) -> None:
    make_wallet(tmp_path / "unknown", 0)
    census = Census()
    census.search(str(tmp_path))
    assert "it belongs to no declared client, and no password is known" in str(census.unreadable[0])
    census = Census()
    census.add_wallets([entry(make_wallet(tmp_path / "other", 1), "v1", "Other-password-1")])
    assert "the password is wrong" in str(census.unreadable[0])


def test_a_manifest_that_does_not_belong_to_the_file_is_no_answer(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0, manifest=True)
    make_wallet(tmp_path / "b", 0, 1)
    new = (tmp_path / "b/direct/accounts" / _wallet.FILE).read_bytes()
    (a / "direct/accounts" / _wallet.FILE).write_bytes(new)
    census = Census()
    census.add_wallets([entry(a, "v1", None)])
    assert "is not the file its manifest was written for, and no password" in str(census.unreadable[0])
    census = Census()
    census.add_wallets([entry(a, "v1")])
    assert census.unreadable == [] and set(census.places) == {K[0], K[1]}
    (a / "direct/accounts" / _wallet.FILE).unlink()
    census = Census()
    census.add_wallets([entry(a, "v1")])
    assert "is gone, though there is a manifest" in str(census.unreadable[0])


def test_a_wallet_or_a_data_directory_of_two_clients(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0)
    (tmp_path / "link").symlink_to(a)
    write_database(tmp_path / "data", {})
    census = Census()
    census.add_wallets([entry(a, "v1"), entry(tmp_path / "link", "v2"), entry(a, "v1")])
    census.add_data_dirs([Entry(str(tmp_path / "data"), "v1"), Entry(str(tmp_path / "data/../data"), "v2")])
    assert [conflict.reason for conflict in census.conflicts] == [
        "is the wallet of v1 and of v2",
        "is the data directory of v1 and of v2",
    ]


def test_the_same_key_in_two_spellings(tmp_path: Path) -> None:
    census = Census()
    census.add_listed("declared", {"v1": [K[0][2:].upper()], "v2": [K[0]], "v3": [K[1], K[1][2:]]}, "inventory")
    assert reasons(census) == {K[0]: "belongs to 2 clients: v1, v2"}
    assert [conflict.where for conflict in census.conflicts] == ["inventory of v3"]


@pytest.mark.parametrize("listed", [{"v1": ["0x12"]}, {"v1": "0x12"}, {"v1": [5]}, {"v1": None}])
def test_a_list_that_is_not_one_is_danger(listed: t.Any) -> None:
    census = Census()
    census.add_listed("live", listed, "running client")
    assert census.unreadable[0].place == "running client of v1"


def test_a_key_that_signed_with_another_client_and_did_not_leave_it(tmp_path: Path) -> None:
    a, b = make_wallet(tmp_path / "wallet-a", 0), make_wallet(tmp_path / "wallet-b", 1)
    owners = [Entry(str(tmp_path / "a"), "a"), Entry(str(tmp_path / "b"), "b")]
    write_database(tmp_path / "a", signed(0))
    path = write_database(tmp_path / "b", signed(0, 1))

    def census() -> Census:
        found = Census()
        found.add_wallets([entry(a, "a"), entry(b, "b")])
        found.add_data_dirs(owners)
        return found

    assert reasons(census()) == {K[0]: f"has also signed with {path}, and no tombstone says that it left there"}
    bury(b, 0)
    assert reasons(census()) == {}


def test_a_database_that_nobody_declared(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "wallet-a", 0)
    write_database(tmp_path / "a", signed(0))
    write_database(tmp_path / "stray", signed(0, 5))
    (tmp_path / "a" / "validator.db.before").write_bytes((tmp_path / "a" / "validator.db").read_bytes())
    census = Census()
    owners = [Entry(str(tmp_path / "a"), "a")]
    census.add_wallets([entry(a, "a")])
    census.add_data_dirs(owners)
    census.search(str(tmp_path), owners)
    assert reasons(census) == {
        K[0]: f"has also signed with {tmp_path}/stray/validator.db, and no tombstone says that it left there"
    }
    excluded = Census()
    excluded.add_wallets([entry(a, "a")])
    excluded.search(str(tmp_path), owners, [str(tmp_path / "stray")])
    assert reasons(excluded) == {}


def test_a_key_that_only_stands_in_a_database_has_not_signed(tmp_path: Path) -> None:
    """Older versions of Prysm make empty buckets for every key of the wallet."""
    write_database(tmp_path / "b", {K[0]: ([], [])})
    census = Census()
    census.add_wallets([entry(make_wallet(tmp_path / "wallet-a", 0), "a")])
    census.add_data_dirs([Entry(str(tmp_path / "b"), "b")])
    assert reasons(census) == {}


def test_a_key_left_in_the_old_wallet_after_a_move(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0)
    bury(a, 0)
    census = Census()
    census.add_wallets([entry(a, "v1")])
    assert reasons(census) == {K[0]: f"is in {a}, which it has left"}


def test_a_key_that_is_declared_or_live_where_it_has_left(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 1)
    bury(a, 0, 2)
    census = Census()
    census.add_wallets([entry(a, "v1")])
    census.add_listed("declared", {"v1": [K[0]], "v2": [K[2]]}, "inventory")
    assert reasons(census) == {K[0]: "is with v1, which it has left"}


def test_keys_that_left_the_site_or_live_at_another(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0, 1, 2)
    stones = [manifests.Tombstone(K[0], "2026-01-01T00:00:00Z", "exited")]
    (tmp_path / "stones").write_bytes(manifests.render_tombstones(stones))
    (tmp_path / "other").write_text(f"# our other site\n{K[1][2:].upper()}, {K[5]}\n")
    census = Census()
    census.add_wallets([entry(a, "v1")])
    census.add_tombstones([Entry(str(tmp_path / "stones"))])
    census.add_elsewhere([str(tmp_path / "other")])
    assert reasons(census) == {K[0]: "has left this site", K[1]: "lives at another site"}
    (tmp_path / "other").write_text(f"{K[1]}\nnot a key\n")
    census.add_elsewhere([str(tmp_path / "other"), str(tmp_path / "missing")])
    assert "line 2" in str(census.unreadable[0]) and census.unreadable[1].place == str(tmp_path / "missing")


def test_a_live_key_in_no_wallet(tmp_path: Path) -> None:
    """A wallet on a node's own disk."""
    census = Census()
    census.add_wallets([entry(make_wallet(tmp_path / "a", 0), "v1")])
    census.add_listed("live", {"v1": [K[0], K[1]]}, "running client")
    assert list(reasons(census)) == [K[1]] and "from a place that is not declared" in reasons(census)[K[1]]


def test_what_the_cluster_starts_is_looked_into(tmp_path: Path) -> None:
    """A second client on a declared wallet or database, one with a wallet of its own, one on a node's own disk."""
    a, b = make_wallet(tmp_path / "a", 0), make_wallet(tmp_path / "b", 0, manifest=True)
    write_database(tmp_path / "data", {})

    def census(*workloads: _uniqueness.Workload) -> Census:
        found = Census()
        found.add_wallets([entry(a, "v1")])
        found.add_data_dirs([Entry(str(tmp_path / "data"), "v1")])
        found.add_workloads(workloads)
        return found

    ours = _uniqueness.Workload("v1", "StatefulSet prysm/v1", str(a), str(tmp_path / "data"))
    assert census(ours, ours._replace(where="Pod prysm/v1-0")).conflicts == []
    other = _uniqueness.Workload("other/x", "Pod other/x", str(tmp_path / "a" / "."), str(tmp_path / "data"))
    assert [conflict.reason for conflict in census(ours, other).conflicts] == [
        "is the wallet of v1 and of Pod other/x",
        "is the data directory of v1 and of Pod other/x",
    ]
    own = census(ours, other._replace(wallet=str(b), data_dir=None))
    assert own.conflicts == [] and "belongs to 2 clients: other/x, v1" in reasons(own)[K[0]]
    away = census(ours, other._replace(wallet=None, data_dir=None, where="Pod other/x (wallet /w on worker)"))
    assert [(c.where, c.reason) for c in away.conflicts] == [
        ("Pod other/x (wallet /w on worker)", "signs with a wallet that cannot be looked into from here")
    ]


def test_a_secret_under_two_names(tmp_path: Path) -> None:
    a, b = make_wallet(tmp_path / "a", 0), make_wallet(tmp_path / "b", 0, label={0: 1})
    census = Census()
    census.add_wallets([entry(a, "v1"), entry(b, "v2")])
    assert "has the same secret as" in reasons(census)[K[1]]
    census = Census(derive=True)
    census.add_wallets([entry(b, "v2")])
    assert f"lists a secret under {K[1]} that belongs to {K[0]}" in str(census.unreadable[0])


def test_keystores_lying_about_and_files_that_are_none(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0)
    write_keystores(tmp_path / "forgotten", 0, 5)
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "nameless.json").write_text(json.dumps({"crypto": {}, "version": 4}))
    os.mkfifo(tmp_path / "pipe.json")
    census = Census()
    census.add_wallets([entry(a, "v1")])
    census.search(str(tmp_path))
    assert set(census.places) == {K[0], K[5]} and reasons(census) == {}
    assert [error.place for error in census.unreadable] == [f"{tmp_path}/nameless.json"]
    census.add_keystores([Entry(str(tmp_path / "forgotten"), "v2")])
    assert reasons(census)[K[0]] == "belongs to 2 clients: v1, v2"


def test_a_file_that_cannot_be_read_is_danger_while_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_keystores(tmp_path, 0) / "keystore-m_12381_3600_0_0_0.json"

    def broken(place: str, *_: t.Any, **__: t.Any) -> bytes:
        raise UnreadableError(place, "Input/output error")

    monkeypatch.setattr(_uniqueness, "read_file", broken)
    census = Census()
    census.search(str(tmp_path))
    [error] = census.unreadable
    assert error.place == str(path) and error.reason.startswith("Input/output error; remove it, or")
    assert "prysm_wallet_exclude" in error.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_directory_that_cannot_be_searched_is_danger(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    census = Census()
    census.search(str(tmp_path))
    assert census.unreadable[0].place == str(tmp_path / "closed")


def test_damaged_things_beside_a_wallet_are_danger(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0)
    (a / manifests.TOMBSTONES).write_text("[]")
    b = make_wallet(tmp_path / "b", 1)
    (b / manifests.MANIFEST).write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "validator.db").write_bytes(b"")
    census = Census()
    census.add_wallets([entry(a, "v1"), entry(b, "v2")])
    census.add_data_dirs([Entry(str(tmp_path / "data"), "v1")])
    assert [error.place for error in census.unreadable] == [
        str(a / manifests.TOMBSTONES),
        str(b / manifests.MANIFEST),
        str(tmp_path / "data" / "validator.db"),
    ]


def test_a_left_over_of_an_interrupted_import_is_not_a_second_wallet(tmp_path: Path) -> None:
    a = make_wallet(tmp_path / "a", 0)
    accounts = a / "direct" / "accounts"
    (accounts / _wallet.PREVIOUS).write_bytes((accounts / _wallet.FILE).read_bytes())
    census = Census()
    census.add_wallets([entry(a, "v1")])
    census.search(str(tmp_path))
    assert census.duplicates() == [] and census.unreadable == []


def test_finds_every_kind_of_contradiction_in_bare_places() -> None:
    Place = _uniqueness.Place
    assert _uniqueness.contradictions([Place("history", "/x/validator.db")]) == []
    assert _uniqueness.contradictions([Place("tombstone", "/w", "a"), Place("wallet", "/v", "b")]) == []
    assert _uniqueness.contradictions([Place("declared", "i", "a"), Place("live", "r", "b")]) == [
        "belongs to 2 clients: a, b"
    ]


def test_a_machine_that_found_nothing_out_is_not_one_that_found_nothing() -> None:
    nothing = {"keys": [], "unreadable": [], "files": []}
    assert _uniqueness.machine_report("a", {}, True) == {
        "host": "a", "here": True, "searched": False, "msg": "", **nothing
    }  # fmt: skip
    lost = _uniqueness.machine_report("b", {"unreachable": True, "msg": "no route", "changed": False}, False)
    assert lost == {"host": "b", "here": False, "searched": False, "msg": "no route", **nothing}
    seen = {"searched": True, "keys": [{"key": K[0]}], "unreadable": [{}], "files": ["/x"], "failed": False}
    assert _uniqueness.machine_report("c", seen, False) == {
        "host": "c", "here": False, "msg": "", **{name: seen[name] for name in ("searched", *nothing)}
    }  # fmt: skip
