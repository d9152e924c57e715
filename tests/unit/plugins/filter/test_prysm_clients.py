"""One definition of where a client keeps what: names on disk are unchanged, and stand nowhere else."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.filter.clients_with_keys import clients_with_keys
from ansible_collections.eth2xk8s.staking.plugins.filter.keys_by_client import keys_by_client
from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_clients import prysm_clients
from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_directories import prysm_directories
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _data_dir
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _beacon_database

ROOT = Path(__file__).parents[4]
NAMES = {
    name: value
    for name, value in vars(_data_dir).items()
    if name.isupper() and isinstance(value, str) and name not in ("BEACON", "BEACON_DATABASE")
}


def test_what_an_entry_leaves_out_lies_below_the_data_directory() -> None:
    """As sites have it since the first version: an update is no move."""
    assert prysm_clients([{"name": "validator1", "wallet_password": "secret"}], "/data/prysm") == [
        {
            "name": "validator1",
            "data_dir": "/data/prysm/validator1",
            "wallet_dir": "/data/prysm/wallet-validator1",
            "database": "/data/prysm/validator1/validator.db",
            "hold": "/data/prysm/validator1/.validator-hold",
            "lock": "/data/prysm/validator1/.validator-lock",
            "expected": "/data/prysm/validator1/.validator-db-expected",
            "version": "/data/prysm/validator1/.validator-version",
            "replacing": "/data/prysm/validator1/.validator-replacing",
            "fee_recipient": "",
        }
    ]


text = st.text("abc/-.", min_size=1)


@given(st.dictionaries(st.sampled_from(["data_dir", "wallet_dir", "fee_recipient"]), text), text)
def test_what_an_entry_says_is_kept(entry: dict[str, t.Any], name: str) -> None:
    (client,) = prysm_clients([{"name": name, **entry}], "/data")
    assert {field: client[field] for field in entry} == entry
    assert client["database"] == f"{client['data_dir'].rstrip('/')}/validator.db" or client["data_dir"].endswith("/")


def test_the_directories_of_a_site_are_those_of_its_clients() -> None:
    entries = [{"name": "a"}, {"name": "b", "data_dir": "/other/b", "wallet_dir": "/other/w"}]
    assert prysm_directories(entries, "/data") == ["/data/beacon", "/data/a", "/other/b", "/data/wallet-a", "/other/w"]
    assert prysm_directories([], "/data") == ["/data/beacon"]


def test_keys_by_client() -> None:
    places = [{"kind": "wallet", "client": "a"}, {"kind": "history", "client": "b"}, {"kind": "wallet", "client": None}]
    assert keys_by_client({"0x1": places, "0x2": places[:1], "0x3": []}) == {"a": ["0x1", "0x2"]}
    assert keys_by_client({"0x1": places[:1]}, ["a", "z"]) == {"a": ["0x1"], "z": []}
    places = [{"kind": "wallet", "client": "a"}, {"kind": "keystore", "client": "a"}, {"kind": "keystore"}]
    assert keys_by_client({"0x1": places, "0x2": places[1:]}, kinds=["keystore", "wallet"]) == {"a": ["0x1", "0x2"]}


def test_clients_with_their_keys() -> None:
    clients = prysm_clients([{"name": "a"}, {"name": "b"}], "/data")
    keys = {"a": ["0x1"], "b": ["0x2"], "c": ["0x3"]}
    first, second = clients_with_keys(clients, keys)
    assert first == {"name": "a", "pubkeys": ["0x1"], "data_dir": "/data/a", "wallet_dir": "/data/wallet-a"}
    (only,) = clients_with_keys(
        clients, keys, names=["b"], version="v7.1.6", installed={"a": {"dataIdentity": "x"}, "b": None}
    )
    assert only == {**second, "version": "v7.1.6", "installed": ""}
    assert clients_with_keys(clients[:1], keys, directories=False, installed={"a": {"dataIdentity": "x"}}) == [
        {"name": "a", "pubkeys": ["0x1"], "installed": "x"}
    ]
    with pytest.raises(AnsibleFilterError, match="the public keys of b are not known"):
        clients_with_keys(clients, {"a": ["0x1"]})
    assert clients_with_keys(clients, {"a": ["0x1"]}, names=["a"]) == [first]


def sources() -> list[Path]:
    found = [*ROOT.glob("plugins/**/*.py"), *ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
    found += [*ROOT.glob("roles/*/templates/*"), *ROOT.glob("playbooks/templates/*")]
    return [path for path in found if path.name != "_data_dir.py"]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_name_on_disk_is_written_a_second_time(name: str) -> None:
    """In sentences, comments and documentation they may stand, in code they may not."""
    value = re.escape(NAMES[name])
    code = re.compile(rf"""["'/]{value}(\.\w+)?["']|/{value}(?=["'\s]|$)|\[{value}[],]""")
    found = []
    for path in sources():
        content = path.read_text(encoding="utf-8")
        for quoted in re.findall(r'r"""\n(?:.*\n)*?"""', content):  # documentation and examples of plugins
            content = content.replace(quoted, "\n" * quoted.count("\n"))
        for number, line in enumerate(content.splitlines(), 1):
            if code.search(line) and not line.lstrip().startswith(("#", "{#")):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


def test_a_beacon_node_begins_anew_without_any_of_its_own() -> None:
    tasks = (ROOT / "roles/prysm_helm/tasks/before_release.yml").read_text(encoding="utf-8")
    assert _beacon_database.PLACE.split("/")[0] == _data_dir.BEACON_DATABASE
    assert f"product({[_data_dir.BEACON_DATABASE, *_data_dir.BEACON_STORES]})" in tasks


def test_the_guard_has_the_same_names() -> None:
    guard = (ROOT / "roles/prysm_helm/files/eth2prysm/files/guard.sh").read_text()
    for name in ("DATABASE", "HOLD", "EXPECTED", "TRANSACTION", "VERSION", "IDENTITY"):
        assert NAMES[name] in guard, name
    assert ".$kind-lock" in guard and NAMES["LOCK"] == ".validator-lock"
