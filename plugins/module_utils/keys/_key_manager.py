# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What a client's answers over the standard key manager API mean: which keys it has, or one sentence why not.

An answer that is not understood is never "no keys".
"""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    parse_json,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import PubkeyError, normalise

#: What there is to ask, and what each calls a key.
LISTS = {"keystores": "validating_pubkey", "remotekeys": "pubkey"}
#: About 200 bytes a key: room for a quarter of a million keys.
LIMIT = 64 << 20

#: A client that knows only keystores has no second list.
_NO_SUCH_LIST = (404, 405, 501)
#: Prysm has one kind of key at a time, and refuses to list the other: with 500, before v5 with 400.
_OTHER_KIND = {
    "keystores": "not stored locally with this keymanager type",
    "remotekeys": "is not of type Web3Signer",
}


class KeyManagerError(StakingError):
    """A key manager did not say which keys it has."""


class NotReadyError(KeyManagerError):
    """It says that it is not ready yet."""


class Answer(t.NamedTuple):
    """What came back."""

    status: int
    body: bytes
    location: str = ""


def base_url(url: str) -> str:
    """The address below which the API lies; an error unless it is one."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise KeyManagerError(f"{url!r} is not the address of a key manager; it looks like http://172.20.10.12:7500")
    if parts.username is not None or parts.query or parts.fragment:
        raise KeyManagerError(
            f"the address of a key manager is only scheme, host, port and path; {parts.hostname}'s has more"
        )
    return url.rstrip("/")


def token_from(text: str, place: str) -> str:
    """The token in a client's token file: its last line (Prysm up to v5.0.3 keeps a second secret above it)."""
    lines = text.split("\n")
    token = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if not token:
        raise KeyManagerError(f"{place} holds no token")
    if any(not "!" <= c <= "~" for c in token):
        raise KeyManagerError(f"{place} holds something that cannot be a token")
    return token


def _said(answer: Answer) -> str:
    """The client's own words, as far as they can be shown."""
    try:
        document = parse_json(answer.body[:4096], "answer")
        text = document.get("message") if isinstance(document, dict) else None
    except UnreadableError:
        text = None
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split()) if isinstance(text, str) else ""
    return f": {words[:160]}" if words else ""


def pubkeys(what: str, answer: Answer, url: str) -> list[str] | None:
    """The keys of one list; None when the client says that it has no such list."""
    place = f"{url}/eth/v1/{what}"
    status, said = answer.status, _said(answer) if answer.status != 200 else ""
    if status == 200:
        return _listed(LISTS[what], answer.body, place)
    if status in (401, 403):
        raise KeyManagerError(f"{place} refuses the token ({status}); give the one in the client's own token file")
    if status == 503:
        raise NotReadyError(f"{place} is not ready (503{said}); run again when the client has started")
    if (what == "remotekeys" and status in _NO_SUCH_LIST) or (status in (400, 500) and _OTHER_KIND[what] in said):
        return None
    if 300 <= status < 400:
        to = "".join(c for c in answer.location if c.isprintable())[:160]
        raise KeyManagerError(f"{place} redirects elsewhere ({status} to {to!r}); give the client's own address")
    if status == 404:
        raise KeyManagerError(
            f"{place} is not there (404): start the client with its key manager API, or mend the address"
        )
    raise KeyManagerError(f"{place} answers {status}{said}; which keys it has is not known")


def _listed(field: str, body: bytes, place: str) -> list[str]:
    try:
        document = parse_json(body, place)
    except UnreadableError as exc:
        raise KeyManagerError(f"{exc}; is that a key manager?") from exc
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise KeyManagerError(f"{place} answers without a list of keys; is that a key manager?")
    try:
        return list(dict.fromkeys(normalise(item.get(field)) for item in data))
    except PubkeyError as exc:
        raise KeyManagerError(f"{place} lists something else than keys: {exc}") from exc


def together(lists: t.Mapping[str, list[str] | None], url: str) -> list[str]:
    """The keys of all lists that were asked for; an error when the client refused every one."""
    if all(keys is None for keys in lists.values()):
        raise KeyManagerError(f"{url} lists no kind of key; which keys it has is not known")
    return sorted({key for keys in lists.values() for key in keys or ()})


def live_keys(
    known: t.Mapping[str, t.Sequence[str]], answers: t.Iterable[t.Mapping[str, t.Any]]
) -> dict[str, t.Sequence[str]]:
    """The keys of each running client: those that are known, and those that its key managers say besides.

    answers are what key_manager_info returned. One without a client got no answer, which is refused elsewhere.
    """
    found = dict(known)
    for answer in answers:
        # Switched off, where it may be, it signs with none of its keys.
        if "client" in answer and answer.get("running", True):
            found[answer["client"]] = sorted({*found.get(answer["client"], ()), *answer["keys"]})
    return found
