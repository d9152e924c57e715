"""Keystores of the controller: what the role is given of them, with the controller's own reader."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.eth2xk8s.staking.plugins.lookup.keystores import LookupModule
from tests.unit.plugins.keys_support import KEYSTORE_PASSWORD, PUBKEYS, keystore, write_keystores


def look(*paths: t.Any, loader: DataLoader | None = None, **options: t.Any) -> dict[str, t.Any]:
    lookup = LookupModule(loader=loader or DataLoader())
    lookup._load_name = "eth2xk8s.staking.keystores"
    lookup.set_options = lambda **_kwargs: None  # type: ignore[method-assign]
    given = {"password": None, "passwords": {}, **options}
    lookup.get_option = given.__getitem__  # type: ignore[method-assign]
    [found] = lookup.run([str(path) if isinstance(path, Path) else path for path in paths], {})
    return found


def test_reads_what_lies_there_and_names_the_rest(tmp_path: Path) -> None:
    keys = write_keystores(tmp_path / "odd[1]", 0, 1)
    (keys / "deposit_data-1.json").write_text(json.dumps([{"pubkey": key[2:]} for key in PUBKEYS[:3]]))
    (keys / "slashing_protection.json").write_text("{}")
    (keys / "keystore-m_12381_3600_1_0_0.txt").write_text("beside\n")
    found = look(keys)
    assert [Path(item["name"]).name for item in found["files"]] == sorted(
        path.name for path in keys.glob("keystore*.json")
    )
    assert json.loads(found["files"][0]["content"])["pubkey"] == PUBKEYS[0][2:]
    assert [item.get("password") for item in found["files"]] == [None, "beside"]
    assert found["histories"] == [str(keys / "slashing_protection.json")]
    assert found["deposits"] == sorted(PUBKEYS[:3]) and found["problems"] == []
    assert {Path(item["path"]).name for item in found["passed_over"]} == {
        "deposit_data-1.json",
        "slashing_protection.json",
        "keystore-m_12381_3600_1_0_0.txt",
    }


def test_names_each_place_that_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = look(write_keystores(tmp_path / "keys", 0), tmp_path / "typo", tmp_path / "empty", tmp_path / "k*")
    assert [problem.split("/")[-1].partition(":")[0] for problem in found["problems"]] == ["typo", "empty", "k*"]


def test_a_password_goes_along_only_where_it_is_needed(tmp_path: Path) -> None:
    keys = write_keystores(tmp_path / "keys", 0)
    document = keystore(1)
    del document["pubkey"]
    (keys / "nameless.json").write_text(json.dumps(document))
    assert [item.get("password") for item in look(keys)["files"]] == [None, None]
    for options in ({"password": "x"}, {"passwords": {"nameless.json": "x"}}):
        assert [item.get("password") for item in look(keys, **options)["files"]] == [None, "x"]


def test_opens_files_of_the_vault(tmp_path: Path) -> None:
    secrets = [("default", VaultSecret(b"vault-password"))]
    path = tmp_path / "keystore-0.json"
    path.write_bytes(VaultLib(secrets).encrypt(json.dumps(keystore(0)).encode()))
    loader = DataLoader()
    assert "cannot be decrypted with the vault passwords given" in look(path, loader=loader)["problems"][0]
    loader.set_vault_secrets(secrets)
    assert json.loads(look(path, loader=loader)["files"][0]["content"])["pubkey"] == PUBKEYS[0][2:]


@pytest.mark.parametrize("term", [["a"], 5, None])
def test_only_paths_are_looked_for(term: t.Any) -> None:
    with pytest.raises(AnsibleError, match="must be a list of paths"):
        look(term)


def test_no_password_is_said(tmp_path: Path) -> None:
    keys = write_keystores(tmp_path / "keys", 0)
    (keys / "keystore-m_12381_3600_0_0_0.txt").write_text("x" * 5000 + KEYSTORE_PASSWORD)
    found = look(keys)
    assert "too long to be the password" in found["problems"][0] and KEYSTORE_PASSWORD not in str(found["problems"])
