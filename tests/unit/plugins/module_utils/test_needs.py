"""Everything that is missing is said, each once, and nothing that is there."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _ports
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _needs

FEE = "0x000000000000000000000000000000000000dEaD"
SOUND = {"name": "validator1", "fee_recipient": FEE, "has_password": True}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"fee_recipient": ""}, ["no fee_recipient"]),
        ({"fee_recipient": None}, ["no fee_recipient"]),
        ({"fee_recipient": "0x" + "0" * 40}, ["fee_recipient of validator1 is the zero address"]),
        ({"fee_recipient": "vitalik.eth"}, ["fee_recipient of validator1 is not an address"]),
        ({"has_password": False}, ["no wallet_password"]),
        ({"has_password": False, "fee_recipient": "0x1"}, ["not an address", "no wallet_password"]),
    ],
)
def test_of_each_client(changes: dict[str, t.Any], words: list[str]) -> None:
    found = _needs.of_keys([{**SOUND, **changes}], True)
    assert [word in one for word, one in zip(words, found, strict=False)] == [True] * len(words)
    assert len(found) == len(words)
    assert _needs.of_keys([{**SOUND, "fee_recipient": ""}], False) == []


def test_an_address_with_a_mistyped_letter_is_named() -> None:
    wrong = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee"
    client = {"name": "v1", "has_password": True, "fee_recipient": wrong}
    (found,) = _needs.of_keys([client], True)
    assert "fee_recipient of v1" in found and "EIP-55" in found
    for right in ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", wrong.lower()):
        assert _needs.of_keys([{**client, "fee_recipient": right}], True) == []


def test_no_clients_at_all() -> None:
    assert "empty" in _needs.of_keys([], True)[0]


@pytest.mark.parametrize(
    ("url", "back"),
    [
        ("http://127.0.0.1:8551", True),
        ("http://127.9.9.9", True),
        ("https://LocalHost.:3500/", True),
        ("http://a.localhost", True),
        ("http://[::1]:8551", True),
        ("http://0.0.0.0:8551", True),
        ("http://[::]:8551", True),
        ("http://10.127.0.1:8551", False),
        ("http://localhost.example.org", False),
        ("http://[fd00::1]:8551", False),
        ("http://172.20.10.20:8551", False),
        ("http://[bad", False),
        ("", False),
    ],
)
def test_addresses_that_lead_back_to_the_pod(url: str, back: bool) -> None:
    assert len(_needs.of_addresses("x", [url, ""])) == back == len(_needs.of_addresses("x", f" {url} ,"))


@pytest.mark.parametrize("given", [8551, False, {"a": "b"}, ["http://a", 8551], [None]])
def test_addresses_that_are_none(given: t.Any) -> None:
    assert _needs.of_addresses("x", given) == ["x must be an address, or a list of addresses, each behind a dash"]
    assert _needs.of_addresses("x", None) == []


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Attempting to decrypt but no vault secrets found", "--ask-vault-pass"),
        ("Decryption failed (no vault secrets were found that could decrypt)", "--ask-vault-pass"),
        ("'vault_prysm_jwt_secret' is undefined", "'vault_prysm_jwt_secret' is undefined"),
        ("", "no reason given"),
    ],
)
def test_a_value_that_cannot_be_had(reason: str, words: str) -> None:
    assert words in _needs.unreadable("prysm_jwt_secret", reason)


@pytest.mark.parametrize(
    ("raw", "reason", "words"),
    [
        ("{{ vault_password }}", "'vault_password' is undefined", "'vault_password' is undefined"),
        ("{{ vault_password }}", "Decryption failed (no vault secrets)", "--ask-vault-pass"),
        ("{{ vault_password }}", "'cret' is undefined", "!unsafe"),
        ("se{{cret}}Pass1!", "'cret' is undefined", "!unsafe"),
        ("se{%cret%}1!", "Syntax error in template: Encountered unknown tag 'cret'.", "!unsafe"),
        ({"keystore-0.json": "se{{cret}}1!"}, "'cret' is undefined", "!unsafe"),
    ],
)
def test_a_secret_that_is_taken_for_a_template_is_not_shown(raw: t.Any, reason: str, words: str) -> None:
    said = _needs.unreadable_secret("wallet_password of v1", raw, reason)
    assert words in said and "cret'" not in said


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({}, []),
        ({"apart": 59.0}, []),
        ({"apart": 61.0}, ["61 s ahead of"]),
        ({"apart": -3600.0}, ["3600 s behind"]),
        ({"unreachable": "Failed\nssh: No route to host"}, ["cannot be reached by SSH: ssh: No route to host"]),
        ({"failed": "Missing sudo password"}, ["worker is reached, but cannot be checked: Missing sudo password"]),
        ({"taken": [{"port": "13000/tcp", "program": "lighthouse", "pid": 7}]}, ["lighthouse (process 7)"]),
        ({"taken": [{"port": "13000/tcp", "program": "", "pid": 0}]}, ["the kernel"]),
        ({"taken": [{"port": "13000/tcp", "program": "kubelite", "pid": 7}]}, []),
        ({"memory_bytes": 4e9, "min_memory": 8}, ["4.0 GB of memory, and needs 8 GB"]),
        ({"disk_bytes": 9e9, "min_disk": 20}, ["9.0 GB of disk"]),
        ({"disk_bytes": 9e9, "min_disk": 0}, []),
        ({"problems": ["the database is torn"], "apart": 99.0}, ["torn", "ahead of"]),
    ],
)  # fmt: skip
def test_of_each_machine(seen: dict[str, t.Any], words: list[str]) -> None:
    found = _needs.of_machine("worker", seen)
    assert len(found) == len(words)
    assert all(word in one for word, one in zip(words, found, strict=False))


def test_a_sentence_is_said_once_with_the_machines_that_say_it() -> None:
    both, one = {"problems": ["a", "b"]}, {"problems": ["a"]}
    assert _needs.merged({"master": both, "worker": one}, "problems") == ["a", "b (asked from master)"]
    assert _needs.merged({"master": one}, "problems") == ["a (asked from master)"]
    assert _needs.merged({"master": one}, "notes") == []


NET = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:32C8 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
   1: 0100007F:32C9 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 0
"""


@pytest.mark.parametrize("family", ["", "6"])
@pytest.mark.parametrize(("protocol", "state"), [("tcp", "0A"), ("udp", "07")])
def test_a_port_that_is_taken(tmp_path: Path, protocol: str, state: str, family: str) -> None:
    (tmp_path / "1/net").mkdir(parents=True)
    (tmp_path / f"1/net/{protocol}{family}").write_text(NET.format(state))
    (tmp_path / "77/fd").mkdir(parents=True)
    (tmp_path / "77/comm").write_text("geth\n")
    (tmp_path / "77/fd/3").symlink_to("socket:[4242]")
    wanted = [f"{port}/{kind}" for port in (13000, 13001) for kind in ("tcp", "udp")]
    assert _ports.taken(wanted, str(tmp_path)) == [(f"13000/{protocol}", "geth", 77)]
    (tmp_path / "77/fd/3").unlink()
    assert _ports.taken(wanted, str(tmp_path)) == [(f"13000/{protocol}", "", 0)]


KUBECONFIG = "/root/.kube/config"
ONE_NODE: dict[str, t.Any] = {"nodes": ["worker"]}
HELM = {"stdout": "v3.20.2+g8fb76d6"}


@pytest.mark.parametrize(
    ("nodes", "changes", "words"),
    [
        pytest.param(ONE_NODE, {}, [], id="sound"),
        pytest.param(ONE_NODE, {"helm": {"stdout": "v4.0.1"}}, [], id="helm-4"),
        pytest.param(
            {"skipped": True},
            {"kubeconfig": "~/.kube/config"},
            ["an absolute path of its kubeconfig on client"],
            id="relative",
        ),
        pytest.param(
            {"msg": "refused.\nTraceback"}, {}, [f"with {KUBECONFIG} its nodes cannot be read: refused"], id="dead"
        ),
        pytest.param(
            {"msg": ""}, {"context": "a"}, ["and the context a its nodes cannot be read: no answer"], id="silent"
        ),
        pytest.param({"nodes": []}, {}, ["it has no nodes"], id="empty"),
        pytest.param(
            ONE_NODE,
            {"helm": {"stdout": "v2.17.0", "stderr": ""}},
            ["(prysm_helm_binary: helm): no answer"],
            id="helm-2",
        ),
        pytest.param({"nodes": []}, {"helm": {"msg": "No such file"}}, ["it has no nodes", "No such file"], id="both"),
    ],
)
def test_why_a_cluster_of_others_cannot_be_used(
    nodes: dict[str, t.Any], changes: dict[str, t.Any], words: list[str]
) -> None:
    given = {"host": "client", "kubeconfig": KUBECONFIG, "context": "", "binary": "helm", "helm": HELM, **changes}
    found = _needs.of_cluster(nodes, **given)
    assert [one.endswith(word) or word in one for one, word in zip(found, words, strict=True)] == [True] * len(words)
    assert not any(one.endswith(".") for one in found)
