"""No beacon node begins from a provider of another network, of old states, or against another provider's word."""

from __future__ import annotations

import time
import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _checkpoint
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._checkpoint import Finding, Wanted, examine
from tests.unit.plugins.upstream_support import ROOT, Provider, Reply, closed, raw, serve

WANTED = Wanted("hoodi", ROOT, "", 0, 12, 32, 86400, 5)
OTHER = "0x" + "4b" * 32


def find(server: t.Any, wanted: Wanted = WANTED) -> Finding:
    with serve(server) as url:
        return examine(url + "/", wanted)


def test_a_sound_provider() -> None:
    found = find(Provider())
    assert found.problem == ""
    assert found.epoch == 98
    assert 700 < (found.age or 0) < 900


KINDS: dict[str, tuple[t.Any, str]] = {
    "other-network": (Provider(root=OTHER), "another network"),
    "state-of-other-network": (Provider(state_root=OTHER), "a finalized state of another network"),
    "old": (Provider(genesis=int(time.time()) - 10_000 * 384), "is too old to be trusted"),
    "old-state": (Provider(genesis=int(time.time()) - 1000 * 384, epoch=998, state_slot=100), "state of 4 days ago"),
    "in-the-future": (Provider(epoch=200), "in the future"),
    "nothing-finalized": (Provider(epoch=0), "no finalized checkpoint but genesis"),
    "no-state": (Provider(status={"/debug/": (404, {})}), "does not serve checkpoints"),
    "state-not-given": (Provider(status={"/debug/": (500, {})}), "HTTP 500"),
    "state-cut-off": (Provider(status={"/debug/": (200, b"abc")}), "gives no state"),
    "state-in-json": (Provider(json_state=True), "in another form"),
    "not-a-beacon-api": (lambda *_: (404, b""), "does not serve checkpoints"),
    "web-page": (lambda *_: (200, b"<html></html>"), "a web page"),
    "a-list": (lambda *_: (200, []), "a web page"),
    "asked-too-often": (lambda *_: (429, b""), "asked too often"),
    "closed-door": (lambda *_: (403, b""), "does not let this machine in"),
    "nested": (lambda *_: (200, b"[" * 200000), "a web page"),
    "syncing": (Provider(status={"/head/": (503, {})}), "HTTP 503"),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_no_beacon_node_can_begin_from(name: str) -> None:
    server, words = KINDS[name]
    assert words in find(server).problem


@pytest.mark.parametrize("secret", ["http://u:p@127.0.0.1:1", "127.0.0.1:3500", "ftp://a"])
def test_what_is_no_address(secret: str) -> None:
    assert examine(secret, WANTED).problem


@pytest.mark.parametrize("more", ["/hoodi/KEY", "/eth/v1/beacon/genesis", "/KEY/", "?key=KEY", "/#KEY"])
def test_prysm_asks_the_host_alone(more: str) -> None:
    """Prysm puts its own path in the place of the one that is given: a key in a path never reaches the provider."""
    with serve(Provider()) as url:
        found = examine(url + more, WANTED)
        assert "leaves out" in found.problem or "query or fragment" in found.problem
        assert _checkpoint.examine_genesis(url + more, WANTED) == found.problem
    assert "KEY" not in found.problem + found.provider


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_provider_may_have_moved(status: int) -> None:
    """Prysm follows, on every version of Python that we have to do as it does."""
    with serve(Provider()) as there:

        def sends(_command: str, path: str, *_more: t.Any) -> Reply:
            headers["Location"] = there + path
            return status, b""

        headers: dict[str, str] = {}
        with serve(sends, headers=headers) as url:
            assert examine(url, WANTED).problem == ""


def test_what_does_not_answer() -> None:
    assert "connection refused" in examine(closed(), WANTED).problem
    with raw(None) as url:
        assert "no answer within" in examine(url, WANTED._replace(timeout=0.3)).problem


def test_a_chain_without_a_known_root_is_known_by_the_rest() -> None:
    wanted = WANTED._replace(genesis_validators_root="", genesis_fork_version="0x10000910")
    assert find(Provider(root=OTHER), wanted).problem == ""
    assert "genesis fork version" in find(Provider(fork_version="0x20000089"), wanted).problem
    assert "began at" in find(Provider(), WANTED._replace(genesis_time=5)).problem


def test_the_genesis_state() -> None:
    with serve(Provider()) as url:
        assert _checkpoint.examine_genesis(url, WANTED) == ""
    with serve(Provider(status={"/genesis": (404, {})})) as url:
        assert "has no genesis state" in _checkpoint.examine_genesis(url, WANTED)
    with serve(Provider(state_root=OTHER)) as url:
        assert "another network" in _checkpoint.examine_genesis(url, WANTED)


def verdict(first: Provider, second: Provider) -> tuple[str, bool]:
    first.genesis = second.genesis
    with serve(first) as one, serve(second) as two:
        return _checkpoint.agree(examine(one, WANTED), examine(two, WANTED), WANTED)


@pytest.mark.parametrize("skipped", [set(), {97 * 32}, {97 * 32, 97 * 32 - 1, 97 * 32 - 2}], ids=str)
@pytest.mark.parametrize(("low", "high"), [(98, 98), (97, 98)])
def test_two_that_agree(skipped: set[int], low: int, high: int) -> None:
    for first, second in ((low, high), (high, low)):
        assert verdict(Provider(epoch=first, skipped=skipped), Provider(epoch=second, skipped=skipped)) == ("", False)


@pytest.mark.parametrize(("low", "high"), [(98, 98), (97, 98), (98, 97)])
def test_two_that_disagree(low: int, high: int) -> None:
    words, again = verdict(Provider(epoch=low), Provider(epoch=high, fork="other"))
    assert "disagree about the finalized block" in words
    assert not again


def test_two_that_cannot_be_compared_are_asked_again() -> None:
    """A provider may keep nothing but its newest checkpoint."""
    words, again = verdict(Provider(epoch=97), Provider(keeps=lambda slot: slot == 98 * 32))
    assert "could not be compared" in words
    assert again


def test_two_networks() -> None:
    one = Finding("a", "a", "", ROOT, 1, 1, ROOT, 1.0)
    assert "two different networks" in _checkpoint.agree(one, one._replace(root=OTHER), WANTED)[0]
