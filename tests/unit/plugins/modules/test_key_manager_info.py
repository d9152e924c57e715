"""A client says over HTTP which keys it has; whatever else it says is a refusal that names it."""

from __future__ import annotations

import json
import socket
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _key_manager
from ansible_collections.eth2xk8s.staking.plugins.modules import key_manager_info
from tests.unit.plugins.keys_support import PUBKEYS, run_module

TOKEN = "api-token-0x0123456789abcdef"
KEYSTORES, REMOTE = "/eth/v1/keystores", "/eth/v1/remotekeys"
NO_REMOTE = (500, {"message": "Prysm Wallet is not of type Web3Signer. Please execute validator client with ..."})
NO_LOCAL = (500, {"message": "Prysm validator keys are not stored locally with this keymanager type"})


def local(*keys: str) -> tuple[int, t.Any]:
    return 200, {"data": [{"validating_pubkey": key, "derivation_path": "", "readonly": False} for key in keys]}


def remote(*keys: str) -> tuple[int, t.Any]:
    return 200, {"data": [{"pubkey": key, "url": "http://signer", "readonly": True} for key in keys]}


class Client:
    """A validator client's API: path -> (status, JSON or bytes); what it was asked is in requests."""

    def __init__(self) -> None:
        self.answers: dict[str, t.Any] = {KEYSTORES: local(PUBKEYS[0]), REMOTE: remote()}
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                answer = outer.answers.get(self.path, (404, {}))
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    answer = (401, {"message": "no"})
                if answer == "silence":
                    stop.wait(10)
                    return
                if answer == "hang up":
                    return
                status, body = answer[:2]
                self.send_response(status)
                for name, value in answer[2:]:
                    self.send_header(name, value)
                self.end_headers()
                if body == "silence":
                    stop.wait(10)
                    return
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def log_message(self, *_: t.Any) -> None:
                pass

        stop = self.stop = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def look(self, **params: t.Any) -> dict[str, t.Any]:
        if "token_file" not in params:
            params.setdefault("token", TOKEN)
        return run_module(key_manager_info, **{"client": "v1", "url": self.url, "timeout": 1, **params})


@pytest.fixture
def client() -> t.Iterator[Client]:
    one = Client()
    yield one
    one.stop.set()
    one.server.shutdown()
    one.server.server_close()


def test_says_every_key_in_one_spelling(client: Client) -> None:
    client.answers[KEYSTORES] = local(PUBKEYS[1].upper().replace("0X", "0x"), PUBKEYS[0], PUBKEYS[0][2:])
    client.answers[REMOTE] = remote(PUBKEYS[2])
    result = client.look(url=client.url + "/")
    assert (result["client"], result["running"], result["changed"]) == ("v1", True, False)
    assert result["keys"] == sorted(PUBKEYS[:3]) and result["remotekeys"] == [PUBKEYS[2]]
    assert client.requests == [KEYSTORES, REMOTE]


def test_a_client_without_keys_has_none(client: Client) -> None:
    client.answers[KEYSTORES] = local()
    assert client.look()["keys"] == []


@pytest.mark.parametrize("answer", [(404, {}), (405, b""), (501, {}), NO_REMOTE, (400, NO_REMOTE[1])])
def test_a_client_that_knows_no_remote_keys_has_none(client: Client, answer: t.Any) -> None:
    client.answers[REMOTE] = answer
    assert client.look()["keys"] == [PUBKEYS[0]]


def test_prysm_with_a_remote_signer_has_only_remote_keys(client: Client) -> None:
    client.answers = {KEYSTORES: NO_LOCAL, REMOTE: remote(PUBKEYS[1])}
    assert client.look()["keys"] == [PUBKEYS[1]]
    client.answers[KEYSTORES] = "hang up"
    assert "closes the connection without an answer" in client.look()["msg"]
    assert client.look(ask=["remotekeys"])["keys"] == [PUBKEYS[1]]
    client.answers[REMOTE] = (404, {})
    assert "lists no kind of key" in client.look(ask=["remotekeys"])["msg"]


@pytest.mark.parametrize("path", [KEYSTORES, REMOTE])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param((401, {}), "refuses the token (401); give the one in the client's own token file", id="401"),
        pytest.param((403, {}), "refuses the token (403)", id="403"),
        pytest.param((500, {"message": "out of\n memory"}), "answers 500: out of memory; which keys", id="500"),
        pytest.param((503, {"message": "not ready"}), "is not ready (503: not ready); run again", id="503"),
        pytest.param((204, b""), "answers 204; which keys it has is not known", id="204"),
        pytest.param(
            (302, b"", ("Location", "/elsewhere")), "redirects elsewhere (302 to '/elsewhere')", id="redirect"
        ),
        pytest.param((200, b"<html>"), "is not JSON", id="not-json"),
        pytest.param((200, b'{"data": []'), "is not JSON", id="cut-off"),
        pytest.param((200, []), "answers without a list of keys", id="no-object"),
        pytest.param((200, {"data": None}), "answers without a list of keys", id="null"),
        pytest.param((200, {"data": ["0x12"]}), "answers without a list of keys", id="no-entries"),
        pytest.param(
            (200, {"data": [{"pubkey": "0x12", "validating_pubkey": "0x12"}]}), "'0x12' is not a 48", id="key"
        ),
        pytest.param((200, {"data": [{}]}), "lists something else than keys: None is not", id="no-key"),
        pytest.param("silence", "does not answer (timed out)", id="timeout"),
        pytest.param((200, "silence"), "does not answer (timed out)", id="half-an-answer"),
        pytest.param((500, "silence"), "does not answer (timed out)", id="half-an-error"),
        pytest.param("hang up", "closes the connection without an answer", id="hang-up"),
    ],
)
def test_whatever_is_not_an_answer_is_a_refusal(client: Client, path: str, answer: t.Any, reason: str) -> None:
    client.answers[path] = answer
    result = client.look()
    assert result["failed"] and "keys" not in result
    assert result["msg"].startswith(f"Which keys v1 has cannot be read, so it may have any: {client.url}{path}")
    assert reason in result["msg"] and "\n" not in result["msg"] and "/elsewhere" not in client.requests


def test_keystores_that_are_not_there_are_not_none(client: Client) -> None:
    del client.answers[KEYSTORES]
    assert "is not there (404): start the client with its key manager API" in client.look()["msg"]


def test_waits_for_a_client_that_has_just_started(client: Client) -> None:
    client.answers[KEYSTORES] = [(503, {}), local(PUBKEYS[3])]
    assert client.look(timeout=3)["keys"] == [PUBKEYS[3]]


def test_an_endless_answer_is_a_refusal(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_manager_info, "LIMIT", 10)
    assert "sends more than 10 bytes" in client.look()["msg"]


def test_a_client_that_does_not_run_may_be_missing_only_when_that_is_said(client: Client) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert "nothing listens there" in client.look(url=url)["msg"]
        gone = client.look(url=url, missing_ok=True)
        assert (gone["running"], gone["keys"]) == (False, [])
    client.answers[KEYSTORES] = "silence"
    assert client.look(missing_ok=True)["failed"]


def test_a_token_from_a_file_and_never_in_a_result(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "auth-token"
    path.write_text(f"0123abcd\n{TOKEN}\n\n")
    client.answers[REMOTE] = (500, {"message": f"unexpected {TOKEN}"})
    for given in ({"token": TOKEN}, {"token_file": str(path)}):
        result = client.look(**given)
        assert result["failed"] and TOKEN not in result["_printed"] and "unexpected" in result["msg"]
    path.write_text("\n")
    assert "holds no token" in client.look(token_file=str(path))["msg"]
    assert "cannot be a token" in client.look(token="two words")["msg"]
    assert "No such file" in client.look(token_file=str(tmp_path / "none"))["msg"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("127.0.0.1:7500", "is not the address of a key manager"),
        ("ftp://here:7500", "is not the address of a key manager"),
        ("http://here:99999", "is not the address of a key manager"),
        ("http://", "is not the address of a key manager"),
        ("http://me:pass-word@here:7500", "here's has more"),
        ("http://here:7500/?x=1", "here's has more"),
    ],
)
def test_an_address_that_is_none(url: str, reason: str) -> None:
    with pytest.raises(_key_manager.KeyManagerError) as caught:
        _key_manager.base_url(url)
    assert reason in str(caught.value) and "pass-word" not in str(caught.value)


def test_the_environment_sends_the_token_nowhere(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert client.look()["keys"] == [PUBKEYS[0]]


def test_key_managers_add_to_what_is_known_and_take_nothing_away() -> None:
    known = {"a": ["0x2"], "b": ["0x9", "0x8"]}
    answers = [
        {"client": "a", "keys": ["0x3", "0x2"], "running": True},
        {"client": "a", "keys": ["0x1"]},
        {"client": "c", "keys": [], "running": True},
        {"client": "b", "keys": ["0x7"], "running": False},
        {"msg": "no answer"},
    ]
    assert _key_manager.live_keys(known, answers) == {"a": ["0x1", "0x2", "0x3"], "b": ["0x9", "0x8"], "c": []}
    assert known == {"a": ["0x2"], "b": ["0x9", "0x8"]}
