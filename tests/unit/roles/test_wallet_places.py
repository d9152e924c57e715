"""What the role prysm_wallet hands on of key managers and machines: never less than they said."""

from __future__ import annotations

import typing as t

from tests.unit.roles.test_host_roles import evaluate


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


def test_only_a_key_manager_that_must_answer_counts_as_asked() -> None:
    managers = [
        {"client": "v1", "url": "http://a"},
        {"client": "old/lh", "url": "http://b", "missing_ok": False},
        {"client": "v3", "url": "http://c", "missing_ok": True},
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
