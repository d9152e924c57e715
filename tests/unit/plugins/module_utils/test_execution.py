"""What cannot be used as an execution client is refused in its own sentence, whatever it is."""

from __future__ import annotations

import contextlib
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _http
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _execution
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._execution import Finding, Wanted, examine
from tests.unit.plugins.upstream_support import SECRET, Execution, Reply, closed, raw, serve

ENGINE = Wanted(560048, True, SECRET, timeout=5)
PLAIN = Wanted(0, False, "", timeout=5)


def find(server: t.Any, wanted: Wanted = ENGINE, ahead: float = 0) -> Finding:
    with serve(server, ahead) as url:
        return examine(url, wanted)


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(Execution(), id="geth"),
        pytest.param(Execution(refusal=(403, b"")), id="forbidden-without-token"),
        pytest.param(Execution(refusal=(400, b"Bad Request")), id="bad-request-without-token"),
        pytest.param(Execution(engine="old"), id="before-exchangeCapabilities"),
        pytest.param(Execution(age=86400), id="stands-still-without-a-beacon-node"),
        pytest.param(Execution(block=0, age=1e8), id="fresh"),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, "0x" + SECRET, SECRET.upper(), f" {SECRET}\n"])
def test_what_can_be_used(server: Execution, secret: str) -> None:
    found = find(server, ENGINE._replace(secret=secret))
    assert (found.kind, found.problem, found.chain_id) == ("", "", 560048)
    assert found.block == server.block


def _reply(*reply: t.Any) -> t.Callable[..., Reply]:
    return lambda *_words: t.cast(Reply, reply)


KINDS = {
    "no-token-needed": (Execution(secret=None), "open", "answers without a token"),
    "no-token-needed-other-chain": (Execution(secret=None, chain=1), "open", "8545"),
    "error-without-token": (Execution(secret=None, errors={"eth_chainId": "rate limited"}), "open", "without a token"),
    "other-secret": (Execution(secret="5e" * 32), "unauthorized", "prysm_jwt_secret is not the secret"),
    "no-secret-accepted": (_reply(401, b"nope"), "unauthorized", "prysm_jwt_secret is not the secret"),
    "forbidden": (_reply(403, b"<html>403 Forbidden"), "unauthorized", "not about the secret"),
    "forbidden-token": (_reply(403, b"stale token"), "unauthorized", "prysm_jwt_secret is not the secret"),
    "unauthorized-in-json": (
        _reply(200, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": "Unauthorized"}}),
        "method", "Unauthorized",
    ),
    "vhosts": (_reply(403, b"invalid host specified"), "host", "--authrpc.vhosts"),
    "mainnet": (Execution(chain=1), "chain", "follows chain 1 (mainnet), not 560048 (hoodi)"),
    "unknown-chain": (Execution(chain=1337), "chain", "follows chain 1337, not 560048 (hoodi)"),
    "no-engine": (Execution(engine=None), "open", "no engine API"),
    "no-engine-by-another-word": (
        Execution(engine=None, errors=dict.fromkeys(
            ("engine_exchangeCapabilities", "engine_exchangeTransitionConfigurationV1"), "Method not enabled")),
        "open", "no engine API",
    ),
    "refused-in-json-by-another-word": (
        _reply(200, {"jsonrpc": "2.0", "id": 1, "error": {"code": -40001, "message": "Authorization failed"}}),
        "method", "Authorization failed",
    ),
    "syncing": (
        Execution(syncing={"currentBlock": "0x64", "highestBlock": "0x3e8"}, block=100),
        "syncing",
        "still syncing: block 100 of 1000",
    ),
    "syncing-without-goal": (Execution(syncing={"stages": []}, block=7), "syncing", "still syncing: block 7"),
    "syncing-from-nothing": (
        Execution(syncing={"currentBlock": "0x0", "highestBlock": "0x0"}, block=0), "syncing", "block 0",
    ),
    "syncing-yes": (Execution(syncing=True, block=7), "syncing", "still syncing: block 7"),
    "syncing-strange": (Execution(syncing="maybe"), "strange", "whether it is syncing"),
    "moved": (_reply(307, b""), "strange", "sends its caller away (HTTP 307)"),
    "nested": (_reply(200, b"[" * 200000), "strange", "not in JSON-RPC"),
    "web-page": (_reply(200, b"<html>"), "strange", "not in JSON-RPC"),
    "json-of-others": (_reply(200, {"version": "1"}), "strange", "not in JSON-RPC"),
    "not-found": (_reply(404, b""), "strange", "HTTP 404"),
    "bad-gateway": (_reply(502, b""), "dead", "HTTP 502"),
    "strange-chain-id": (Execution(chain=1), "chain", "not 560048"),
    "broken": (Execution(errors={"eth_syncing": "database closed"}), "method", "database closed"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_what_cannot_be_used_says_why(name: str) -> None:
    server, kind, words = KINDS[name]
    found = find(server)
    assert (found.kind, words in found.problem) == (kind, True), found
    assert SECRET not in str(found)


@pytest.mark.parametrize("apart", [-3600, -90, 90, 3600])
def test_clocks_that_differ_are_named(apart: float) -> None:
    """A token is refused for its time, too: then the secret is not to blame."""
    found = find(Execution(clock=apart), ahead=apart)
    assert found.kind == "clock"
    assert f"{abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'}" in found.problem.replace(
        "89 s", "90 s"
    ).replace("91 s", "90 s").replace("3599 s", "3600 s").replace("3601 s", "3600 s")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        pytest.param(lambda: contextlib.nullcontext(closed()), "connection refused", id="nothing-listens"),
        pytest.param(lambda: raw(None), "no answer within 0.5 s", id="nothing-comes"),
        pytest.param(lambda: raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "not HTTP", id="ssh"),
        pytest.param(lambda: raw(b""), "closed without an answer", id="hangs-up"),
        pytest.param(
            lambda: contextlib.nullcontext("http://no-such-host.invalid:8551"), "has no address", id="no-such-name"
        ),
    ],
)
def test_what_does_not_answer_says_why(place: t.Any, words: str) -> None:
    with place() as url:
        found = examine(url, ENGINE._replace(timeout=0.5))
    assert found.kind == "dead"
    assert words in found.problem


def test_tls_where_there_is_none_and_the_other_way_round() -> None:
    with serve(Execution()) as url:
        assert "no TLS there" in examine(url.replace("http:", "https:"), ENGINE).problem


@pytest.mark.parametrize(
    "url",
    ["", "172.20.10.20:8551", "ws://a:8551", "/run/geth.ipc", "http://", "http://a:b", "http://a:0", "http://a b:1",
     "http://a:99999"],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    found = examine(url, ENGINE)
    assert found.kind == "address"
    assert "http://HOST:PORT" in found.problem


def test_a_name_that_pods_do_not_know_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine would find it, and the proof succeed; the beacon node would not."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n172.20.10.12\tWorker worker.lan # geth\n# 172.20.10.13 other\n")
    monkeypatch.setattr(_http, "_HOSTS", str(hosts))
    for url in ("http://worker:8551", "http://WORKER.lan:8551/"):
        found = examine(url, ENGINE)
        assert found.kind == "address" and "which pods do not read: give its address" in found.problem
    assert find(Execution()).problem == ""
    monkeypatch.setattr(_http, "_HOSTS", str(tmp_path / "none"))
    assert examine("http://worker.invalid:8551", ENGINE).kind == "dead"


@pytest.mark.parametrize("url", ["http://a:8551/?apikey=SECRET", "http://a:8551/#SECRET"])
def test_a_query_is_refused_and_not_shown(url: str) -> None:
    found = examine(url, ENGINE)
    assert found.kind == "address" and "query" in found.problem and "SECRET" not in str(found)


def test_a_token_goes_to_no_other_address() -> None:
    """What answers with another address is told; the token is not carried there."""
    other = Execution()
    with serve(other) as there, serve(_reply(301, b""), headers={"Location": there}) as url:
        found = examine(url, ENGINE)
    assert (found.kind, other.asked) == ("strange", [])
    assert f"(HTTP 301 to {there}): give the address it ends at" in found.problem


@pytest.mark.parametrize(
    ("age", "words"), [(600 * 86400, "600 days old"), (3 * 3600, "3 hours old"), (600, ""), (-60, "")]
)
def test_one_that_stands_still_and_says_nothing_of_it_is_noted(age: float, words: str) -> None:
    """One that has no beacon node to follow says that there is nothing to sync: no reason against ours."""
    found = find(Execution(block=0, age=age))
    assert found.problem == "" and words in found.note and bool(found.note) == bool(words)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    found = examine("http://me:hunter2@127.0.0.1:8551/key/abc?x=1", ENGINE)
    assert found.kind == "address"
    assert "hunter2" not in str(found)
    assert "abc" not in str(found)


@pytest.mark.parametrize("secret", ["", "abc", "0x", SECRET[:-1], SECRET + "0", "g" * 64])
def test_without_a_secret_nothing_is_asked_but_whether_it_is_there_and_closed(secret: str) -> None:
    """All that is missing is said at once."""
    wanted = ENGINE._replace(secret=secret)
    server = Execution()
    assert find(server, wanted).kind == "secret"
    assert server.asked == []
    assert find(Execution(secret=None), wanted).kind == "open"
    assert find(_reply(200, b"<html>"), wanted).kind == "strange"
    assert examine(closed(), wanted).kind == "dead"


def test_one_that_may_sync_is_noted_and_not_refused() -> None:
    server = Execution(syncing={"currentBlock": "0x64", "highestBlock": "0x3e8"}, block=100)
    found = find(server, ENGINE._replace(may_sync=True))
    assert (found.problem, found.note) == ("", "is still syncing: block 100 of 1000")


def test_before_the_engine_api_no_token_is_given() -> None:
    assert find(Execution(secret=None, engine=None, chain=5), PLAIN).problem == ""
    assert "no token to give" in find(Execution(), PLAIN).problem
    assert find(Execution(secret=None, engine=None, chain=1), PLAIN._replace(chain_id=5)).kind == "chain"


def test_any_chain_will_do_where_none_is_known() -> None:
    assert find(Execution(chain=1337), ENGINE._replace(chain_id=0)).problem == ""


def test_the_token_is_what_the_engine_api_wants() -> None:
    """The example of RFC 7515 has other claims; this one was made with another program (openssl dgst -hmac)."""
    made = _execution.token(SECRET, 1700000000.9)
    assert made.count(".") == 2
    assert "=" not in made
    assert Execution(clock=1700000000 - time.time()).token_is_good("Bearer " + made)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a:8551", "http://a:8551"),
        ("http://a:8551/", "http://a:8551"),
        ("https://a.b/v3/SECRET", "https://a.b/…"),
        ("https://u:p@a.b?apikey=SECRET", "https://a.b/…"),
        ("http://[::1]:8551", "http://[::1]:8551"),
        ("nonsense", "the address"),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert _http.shown(url) == shown
