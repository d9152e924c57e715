# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Is this the execution client that a beacon node of ours can use? Asked as a beacon node would ask."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _http

#: How far the clocks may be apart before an execution client refuses every token (the engine API's own rule).
_TOKEN_SECONDS = 60
#: Seconds after which a newest block is worth a word.
_BEHIND = 2 * 3600
_SECRET = re.compile(r"^(0x)?[0-9a-fA-F]{64}$")

_OF_TOKENS = re.compile(r"(?i)token|jwt|authenti|authori|signature|bearer|stale|\biat\b|secret")

#: How clients say that they do not have a method, by JSON-RPC's code or Besu's (not enabled at this port), or in words.
_NO_METHOD = (-32601, -32604)
_UNKNOWN_METHOD = re.compile(r"(?i)does not exist|not (?:found|available|supported|enabled)|unknown method")

CHAINS = {1: "mainnet", 560048: "hoodi", 11155111: "sepolia", 17000: "holesky", 5: "prater", 100: "gnosis"}

NO_SECRET = "was not asked: prysm_jwt_secret is not 64 hexadecimal digits"
_WAIT = (
    "Wait for it, or where it has no other beacon node to follow, start ours with "
    "-e prysm_helm_accept_syncing_execution=true: validator clients wait until both have caught up"
)


#: What a caller gives: Wanted, and the endpoints.
QUESTION: dict[str, dict[str, t.Any]] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "secret": {"type": "str", "default": "", "no_log": True},
    "chain_id": {"type": "int", "default": 0},
    "engine": {"type": "bool", "default": True},
    "may_sync": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 10},
}


class Wanted(t.NamedTuple):
    """What the endpoint has to be."""

    #: The chain's id; 0 where it is not known.
    chain_id: int
    #: Whether Prysm uses the engine API, and so needs the secret; before v3.0.0 it asks without.
    engine: bool
    #: The 64 digits.
    secret: str
    #: Whether an endpoint that is still syncing will do.
    may_sync: bool = False
    timeout: float = 10


class Finding(t.NamedTuple):
    """What was found. The problem is empty when the endpoint can be used; a note is worth saying all the same."""

    endpoint: str
    kind: str
    problem: str
    note: str = ""
    chain_id: int | None = None
    block: int | None = None
    block_time: int | None = None
    syncing: bool = False


class _Refusal(Exception):
    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


class _NoMethod(_Refusal):
    """It does not have the method at all."""


def token(secret: str, now: float) -> str:
    """A token as the engine API has it: HS256, with the time it was made at and nothing else."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    head = part(b'{"alg":"HS256","typ":"JWT"}')
    claims = part(json.dumps({"iat": int(now)}, separators=(",", ":")).encode())
    key = bytes.fromhex(secret[2:] if secret[:2] in ("0x", "0X") else secret)
    return f"{head}.{claims}.{part(hmac.new(key, f'{head}.{claims}'.encode(), hashlib.sha256).digest())}"


def is_secret(text: str) -> bool:
    """Whether it has the form of a secret that Prysm and every execution client take."""
    return bool(_SECRET.match(text.strip()))


def _chain(number: int) -> str:
    return f"{number} ({CHAINS[number]})" if number in CHAINS else str(number)


def _code(error: t.Any) -> t.Any:
    return error.get("code") if isinstance(error, dict) else None


def _stands_still(block: int, behind: float) -> str:
    """One that no beacon node has told of a head says that there is nothing to sync; ours will tell it."""
    if behind < _BEHIND:
        return ""
    since = f"{behind / 86400:.0f} days" if behind >= 2 * 86400 else f"{behind / 3600:.0f} hours"
    return (
        f"says that it is in step, but its newest block ({block}) is {since} old: it catches up once a beacon node "
        "runs, and validator clients wait for that"
    )


def _quantity(value: t.Any, what: str) -> int:
    try:
        return int(value, 16)
    except (TypeError, ValueError) as exc:
        raise _Refusal("strange", f"says that {what} is {value!r:.40}, which is no number") from exc


class _Endpoint:
    """One endpoint, asked by JSON-RPC."""

    def __init__(self, url: str, wanted: Wanted, clock: t.Callable[[], float]) -> None:
        self.url = url
        self.wanted = wanted
        self.clock = clock
        self.secret = wanted.secret.strip()

    def post(self, method: str, params: list[t.Any], with_token: bool) -> _http.Answer:
        headers = {"Content-Type": "application/json"}
        if with_token:
            headers["Authorization"] = "Bearer " + token(self.secret, self.clock())
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        try:
            return _http.ask(self.url, body, headers, self.wanted.timeout)
        except _http.Unreachable as exc:
            raise _Refusal("dead", f"does not answer: {exc}") from exc

    def call(self, method: str, *params: t.Any, with_token: bool) -> t.Any:
        """The result of a method; a _Refusal where the answer is none."""
        answer = self.post(method, list(params), with_token)
        if answer.status in (401, 403):
            raise self.unauthorized(answer, with_token)
        if 300 <= answer.status < 400:
            to = f" to {_http.shown(answer.location)}" if "://" in answer.location else ""
            raise _Refusal("strange", f"sends its caller away (HTTP {answer.status}{to}): give the address it ends at")
        if answer.status != 200:
            raise _Refusal(
                "strange", f"answers HTTP {answer.status} to {method}: that is not an execution client's API"
            )
        found = reply(answer)
        if found is None:
            raise _Refusal("strange", "answers, but not in JSON-RPC: that is not an execution client's API")
        if found.get("error"):
            words = found["error"].get("message") if isinstance(found["error"], dict) else found["error"]
            unknown = _code(found["error"]) in _NO_METHOD or _UNKNOWN_METHOD.search(str(words))
            raise (_NoMethod if unknown else _Refusal)("method", f"answers to {method}: {str(words)[:120]}")
        return found.get("result")

    def unauthorized(self, answer: _http.Answer, with_token: bool) -> _Refusal:
        if not with_token:
            return _Refusal(
                "unauthorized",
                f"answers HTTP {answer.status} without a token: an engine API, and this Prysm has no token to give",
            )
        text = answer.body[:200].decode("utf-8", "replace")
        if answer.status == 403 and "host" in text.lower():
            return _Refusal(
                "host",
                "refuses the name it is asked by (HTTP 403): allow it there (--authrpc.vhosts), or give its address",
            )
        apart = self.clock() - answer.date if answer.date is not None else 0.0
        if abs(apart) > _TOKEN_SECONDS / 2:
            return _Refusal(
                "clock",
                f"refuses the token (HTTP {answer.status}), and its clock is {abs(apart):.0f} s "
                f"{'behind' if apart > 0 else 'ahead of'} this machine's: set both right, a token holds for 60 s",
            )
        # Execution clients say 401; older ones 403, and then why.
        if answer.status == 403 and not _OF_TOKENS.search(text):
            return _Refusal(
                "unauthorized",
                "does not let this machine in (HTTP 403): its own rules or what stands before it forbid it, which is "
                "not about the secret",
            )
        return _Refusal(
            "unauthorized",
            f"refuses the token (HTTP {answer.status}): prysm_jwt_secret is not the secret it was started with",
        )


def reply(answer: _http.Answer) -> dict[str, t.Any] | None:
    """The JSON-RPC object of an answer, if it is one."""
    try:
        found = _http.parse(answer.body)
    except ValueError:
        return None
    if isinstance(found, list):
        found = found[0] if len(found) == 1 else None
    return found if isinstance(found, dict) and ("result" in found or "error" in found) else None


def _locked(endpoint: _Endpoint) -> None:
    """The engine API gives nothing without a token. What does is the open port, or somebody's archive."""
    answer = endpoint.post("eth_chainId", [], False)
    if answer.status in (401, 403):
        return
    found = reply(answer)
    if answer.status == 200 and found is not None and _OF_TOKENS.search(str(found.get("error") or "")):
        return
    if answer.status == 200 and found is not None:
        raise _Refusal(
            "open",
            "answers without a token: it is not the engine API, but an open port such as 8545 or a public service. "
            "Give the engine API's own port (8551: --authrpc.port, --engine-rpc-port)",
        )
    if answer.status == 200:
        raise _Refusal("strange", "answers, but not in JSON-RPC: that is not an execution client's API")
    if answer.status >= 500:
        raise _Refusal("dead", f"answers HTTP {answer.status}: what stands before the execution client cannot reach it")
    # Some clients say 400 without a token: the question with one will tell.


def _sync(endpoint: _Endpoint, with_token: bool) -> tuple[bool, str, int, int | None]:
    """(is it syncing, how far in words, its newest block, that block's time)."""
    told = endpoint.call("eth_syncing", with_token=with_token)
    latest = endpoint.call("eth_getBlockByNumber", "latest", False, with_token=with_token)
    if not isinstance(latest, dict):
        raise _Refusal("strange", "has no newest block")
    block = _quantity(latest.get("number"), "its newest block")
    made = _quantity(latest.get("timestamp"), "the time of its newest block")
    if told is False:
        return False, "", block, made
    if told is not True and not isinstance(told, dict):
        raise _Refusal("strange", f"answers {told!r:.40} when asked whether it is syncing")
    progress = told if isinstance(told, dict) else {}
    try:
        done, goal = (int(progress[name], 16) for name in ("currentBlock", "highestBlock"))
        words = f"block {max(done, block)} of {goal}" if goal > 0 else f"block {block}"
    except (KeyError, TypeError, ValueError):
        words = f"block {block}"
    return True, words, block, made


def examine(url: str, wanted: Wanted, clock: t.Callable[[], float] = time.time) -> Finding:
    """One endpoint, seen from this machine."""
    place = _http.shown(url)
    try:
        endpoint = _Endpoint(_http.check(url), wanted, clock)
    except _http.AddressError as exc:
        return Finding(place, "address", str(exc))
    if wanted.engine and not is_secret(wanted.secret):
        # Whether anything is there, and closed, can be seen without.
        try:
            _locked(endpoint)
        except _Refusal as exc:
            return Finding(place, exc.kind, str(exc))
        return Finding(place, "secret", NO_SECRET)
    chain_id: int | None = None
    block: int | None = None
    made: int | None = None
    syncing = False
    try:
        if wanted.engine:
            _locked(endpoint)
        chain_id = _quantity(endpoint.call("eth_chainId", with_token=wanted.engine), "its chain id")
        if wanted.chain_id and chain_id != wanted.chain_id:
            raise _Refusal("chain", f"follows chain {_chain(chain_id)}, not {_chain(wanted.chain_id)}")
        if wanted.engine:
            _engine(endpoint)
        syncing, how_far, block, made = _sync(endpoint, wanted.engine)
        if syncing and not wanted.may_sync:
            raise _Refusal("syncing", f"is still syncing: {how_far}. {_WAIT}")
    except _Refusal as exc:
        return Finding(place, exc.kind, str(exc), "", chain_id, block, made, syncing)
    note = f"is still syncing: {how_far}" if syncing else _stands_still(block, clock() - (made or 0))
    return Finding(place, "", "", note, chain_id, block, made, syncing)


def _engine(endpoint: _Endpoint) -> None:
    """A port that asks for a token, but has no engine API behind it, is of no use."""
    try:
        endpoint.call("engine_exchangeCapabilities", [], with_token=True)
    except _Refusal as exc:
        # A client older than the question answers that it does not know it, and has the API all the same.
        if exc.kind != "method":
            raise
        try:
            endpoint.call("engine_exchangeTransitionConfigurationV1", {}, with_token=True)
        except _NoMethod as older:
            raise _Refusal(
                "open", "takes the token, but has no engine API: give the engine API's own port (8551)"
            ) from older
        except _Refusal:
            pass


def report(asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Every endpoint of a QUESTION: those of no use, what is worth saying of the others, and all that was found."""
    wanted = Wanted(**{name: asked[name] for name in Wanted._fields})
    found = [examine(url, wanted) for url in asked["endpoints"]]
    return {
        "problems": [f"the execution endpoint {one.endpoint} {one.problem}" for one in found if one.problem],
        "notes": [f"the execution endpoint {one.endpoint} {one.note}" for one in found if one.note],
        "endpoints": [one._asdict() for one in found],
    }
