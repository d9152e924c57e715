"""What the role prysm_wallet hands on of key managers and machines: never less than they said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from tests.unit.plugins.keys_support import KEYSTORE_PASSWORD, PUBKEYS, keystore, write_keystores
from tests.unit.roles.test_host_roles import evaluate

ROOT = Path(__file__).parents[3]


def live(**variables: t.Any) -> t.Any:
    return evaluate("prysm_wallet", "__prysm_wallet_live", **variables)


def test_what_key_managers_say_joins_what_the_cluster_says() -> None:
    answers = [
        {"client": "v1", "keys": ["b", "c"], "running": True},
        {"client": "lighthouse1", "keys": ["d"], "running": True},
        {"client": "lighthouse1", "keys": ["e"], "running": True},
        {"msg": "silent"},
    ]
    cluster = {"live": {"v1": ["a", "b"]}}
    assert live() == {}
    assert live(__prysm_wallet_cluster=cluster, prysm_wallet_live={"x": ["f"], "v1": ["g"]}) == {
        "v1": ["a", "b", "g"],
        "x": ["f"],
    }
    assert live(__prysm_wallet_cluster=cluster, __prysm_wallet_key_manager_answers={"results": answers}) == {
        "v1": ["a", "b", "c"],
        "lighthouse1": ["d", "e"],
    }


def test_a_client_that_does_not_run_is_not_live() -> None:
    """Asked with missing_ok before its first start, it has no wallet yet, and that is right."""
    answers = [{"client": "v1", "keys": [], "running": False}, {"client": "v2", "keys": ["d"], "running": True}]
    assert live(__prysm_wallet_key_manager_answers={"results": answers}) == {"v2": ["d"]}


def test_a_stopped_client_is_not_asked() -> None:
    managers = [{"client": "v1", "url": "http://a"}, {"client": "v2", "url": "http://b", "host": "worker"}]

    def urls(*stopped: str) -> t.Any:
        return evaluate(
            "prysm_wallet",
            "__prysm_wallet_key_manager_urls",
            prysm_wallet_key_managers=managers,
            prysm_wallet_stopped=list(stopped),
        )

    assert (urls(), urls("v1"), urls("v1", "v2")) == (["http://a", "http://b"], ["http://b"], [])


def test_who_asks_a_key_manager() -> None:
    managers = [{"client": "v1", "url": "http://a"}, {"client": "v2", "url": "http://b", "host": "worker"}]

    def asker(url: str, **variables: t.Any) -> t.Any:
        return evaluate(
            "prysm_wallet",
            "__prysm_wallet_key_manager_asker",
            prysm_wallet_key_managers=managers,
            __prysm_wallet_key_manager_url=url,
            **variables,
        )

    assert asker("http://a") == "localhost"
    assert asker("http://a", prysm_wallet_cluster_host="master") == "master"
    assert asker("http://b", prysm_wallet_cluster_host="master") == "worker"


def test_a_machine_that_was_not_asked_has_not_been_searched() -> None:
    disks = {"searched": True, "keys": [{"key": "a"}], "unreadable": [], "files": ["/x"], "failed": False}
    hosts = {
        "nfs": {"__prysm_wallet_disks": disks},
        "worker": {"__prysm_wallet_disks": {"unreachable": True, "msg": "no route"}},
        "spare": {},
    }
    found = evaluate(
        "prysm_wallet",
        "__prysm_wallet_machine_reports",
        prysm_wallet_machines=["nfs", "worker", "spare"],
        hostvars=hosts,
        inventory_hostname="nfs",
    )
    assert [(one["host"], one["here"], one["searched"], one["msg"]) for one in found] == [
        ("nfs", True, True, ""),
        ("worker", False, False, "no route"),
        ("spare", False, False, ""),
    ]
    assert found[0]["keys"] == [{"key": "a"}] and found[1]["keys"] == []


def test_what_opens_keystores_that_do_not_say_whose_they_are(tmp_path: Path) -> None:
    keys = write_keystores(tmp_path / "keys", 0)
    document = keystore(1)
    del document["pubkey"]
    (keys / "nameless.json").write_text(json.dumps(document))

    def found(expression: str, **entry: t.Any) -> t.Any:
        entry = {"name": "v1", "keystores": [str(keys)], **entry}
        return evaluate(
            "prysm_wallet", expression, prysm_wallet_validators=[entry], __prysm_wallet_name="v1", prysm_validators=[]
        )

    contents = "__prysm_wallet_contents | map(attribute='password', default='-') | list"
    assert found(contents, keystore_password="a") == ["-", "a"]
    assert found(contents, keystore_passwords={"nameless.json": "b"}) == ["-", "b"]
    (tmp_path / "file").write_text("c\n")
    assert found(contents, keystore_password_file=str(tmp_path / "file")) == ["-", "c"]
    assert found(contents) == ["-", "-"]
    assert found("__prysm_wallet_contents", keystores_on="nfs") == []
    assert found("__prysm_wallet_nfs_password", keystore_password="a") == {"password": "a"}
    assert found("__prysm_wallet_nfs_password", keystore_password_file="/p") == {"password_file": "/p"}
    assert found("__prysm_wallet_nfs_password") == {}


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles: [eth2xk8s.staking.prysm_wallet]
  tasks:
    - name: Tell
      ansible.builtin.copy:
        dest: "{{ work }}/told.json"
        content: "{{ {'keys': prysm_wallet_keys, 'histories': prysm_wallet_histories} | to_json }}"
"""


def play(tmp_path: Path, entries: list[dict[str, t.Any]], **more: t.Any) -> str:
    """The role, on this machine."""
    (tmp_path / "play.yml").write_text(PLAY)
    variables = {
        "work": str(tmp_path),
        "prysm_data_dir": str(tmp_path / "data"),
        "prysm_user_id": os.getuid(),
        "prysm_group_id": os.getgid(),
        "prysm_validators": entries,
        "ansible_python_interpreter": sys.executable,
        **more,
    }
    (tmp_path / "vars.json").write_text(json.dumps(variables))
    (tmp_path / "data").mkdir(exist_ok=True)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "localhost,",
            "-e",
            f"@{tmp_path}/vars.json",
            str(tmp_path / "play.yml"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.thorough
def test_the_role_from_the_first_run_to_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    keys = write_keystores(tmp_path / "odd[1]", 0, 1)
    (keys / "slashing_protection.json").write_text("{}")
    (keys / "deposit_data-1.json").write_text(json.dumps([{"pubkey": PUBKEYS[5][2:]}]))
    one = {
        "name": "v1",
        "keystores": [str(keys)],
        "keystore_password": KEYSTORE_PASSWORD,
        "wallet_password": "Wallet-pass-1!",
    }
    refused = play(tmp_path, [{**one, "keystores": [str(keys), str(tmp_path / "typo")]}])
    assert "Keystores of v1:" in refused and "typo" in refused and not list((tmp_path / "data").iterdir())
    question, again = "Refuse a key that is in two places", []
    first = play(tmp_path, [one])
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["keys"] == {"v1": PUBKEYS[:2]}, first
    assert told["histories"] == {"v1": {"on": "controller", "paths": [str(keys / "slashing_protection.json")]}}
    assert "names 1 keys that no keystore holds" in " ".join(first.split())
    again = [play(tmp_path, [one]), first]
    # Once more after a change, because something else may have written meanwhile; not after none.
    assert [text.count(question) for text in again] == [1, 2]
    (tmp_path / "data").rename(tmp_path / "unmounted")
    gone = " ".join(play(tmp_path, [one], prysm_wallet_live={"v1": PUBKEYS[:2]}).split())
    assert "holds no wallet, although v1 runs or is installed" in gone and "failed=1" in gone
    assert not list((tmp_path / "data").iterdir())


def test_only_a_key_manager_that_must_answer_counts_as_asked() -> None:
    managers = [
        {"client": "v1", "url": "http://a"},
        {"client": "old/lh", "url": "http://b", "missing_ok": False},
        {"client": "v3", "url": "http://c", "missing_ok": True},
        {"client": "v3", "url": "http://e", "missing_ok": "yes"},
        {"url": "http://d"},
    ]

    def asked(*stopped: str) -> t.Any:
        return evaluate(
            "prysm_wallet",
            "__prysm_wallet_asked",
            prysm_wallet_key_managers=managers,
            prysm_wallet_stopped=list(stopped),
        )

    assert (asked(), asked("v1")) == (["v1", "old/lh"], ["old/lh"])


def test_the_cluster_is_told_where_the_sites_own_data_lie_and_no_password() -> None:
    places = [
        {
            "wallet": {"path": f"/data/wallet-{name}", "client": name, "password": "secret"},
            "data_dir": {"path": f"/data/{name}", "client": name},
        }
        for name in ("v1", "v2")
    ]

    def told(name: str) -> t.Any:
        return evaluate("prysm_wallet", name, __prysm_wallet_places=places)

    assert told("__prysm_wallet_site_wallets") == {"v1": "/data/wallet-v1", "v2": "/data/wallet-v2"}
    assert told("__prysm_wallet_site_data_dirs") == {"v1": "/data/v1", "v2": "/data/v2"}
