# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The report of keys.yml: where each key is, what it has signed, and what speaks against it."""

from __future__ import annotations

import base64
import json
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._readings import (
    Reading,
    below,
    has_history,
    wallets_not_read,
)

Report = t.Dict[str, t.Any]

_WATERMARKS = ("slot", "source", "target")


def never_signed(histories: t.Mapping[str, Reading], wallets: t.Mapping[str, t.Iterable[str]]) -> list[str]:
    """Keys in whose client's history, which was read, nothing is: they may wait for their activation."""
    return [
        key
        for client, history in histories.items()
        if has_history(history)
        for key in wallets.get(client, [])
        if all(below(history, "keys", key).get(f"highest_{name}") is None for name in _WATERMARKS)
    ]


def _not_read(storage: Reading, unread: t.Iterable[str], running: Reading) -> list[str]:
    """What could not be read, and why."""
    found = [str(storage["refused"])] if storage.get("refused") else wallets_not_read(storage)
    found += [
        f"{client}: {history.get('msg', 'its history could not be read')}"
        for client, history in below(storage, "histories").items()
        if not has_history(history)
    ]
    found += unread
    if "clients" not in running:
        found.append(f"the running clients could not be asked: {running.get('msg', 'no answer')}")
    return found


def _record(storage: Reading) -> tuple[Reading, list[str]]:
    """The record of signing, or why it could not be read. A site that has none yet has nothing on record."""
    seen = below(storage, "record")
    problem = "the record of signing could not be read: "
    if "content" not in seen:
        reason = str(seen.get("msg", "no answer"))
        return {}, [] if "not found" in reason else [problem + reason]
    try:
        found = json.loads(base64.b64decode(seen["content"]) or b"{}")
    except ValueError as exc:
        return {}, [problem + str(exc)]
    return (found, []) if isinstance(found, dict) else ({}, [problem + "it is no record"])


def unsigned(record: Reading, keys: t.Iterable[str]) -> list[str]:
    """Those of the keys, in lower case, of which the site's record says that nothing was ever signed."""
    known = below(record, "keys")
    found = []
    for key in (str(one).lower() for one in keys):
        signed = below(known, key)
        marks = [signed.get(name) for name in ("votes", *_WATERMARKS)]
        if not signed.get("blocks") and all(mark is None for mark in marks):
            found.append(key)
    return found


def _owner(places: t.Iterable[Reading]) -> tuple[bool, str]:
    """Whether any client has the key in its wallet, and which one; empty where it is not one alone."""
    owners = {place["client"] for place in places if place["kind"] == "wallet" and place.get("client")}
    return bool(owners), owners.pop() if len(owners) == 1 else ""


def _is_short(signed: int | None, recorded: int | None) -> bool:
    return recorded is not None and (signed is None or int(signed) < int(recorded))


def _speaks_against(key: str, owned: bool, signed: Reading, recorded: Reading) -> list[str]:
    short = [name for name in _WATERMARKS if owned and _is_short(signed.get(f"highest_{name}"), recorded.get(name))]
    found = [f"{key}: its database knows less than the record ({', '.join(short)})"] if short else []
    if signed.get("blacklisted"):
        found.append(f"{key}: Prysm refuses its duties because of an import")
    return found


def site_keys(storage: Reading, running: Reading) -> Report:
    """The report, out of what the storage and the running clients say."""
    record, unread = _record(storage)
    problems = _not_read(storage, unread, running)
    live = below(running, "clients")
    problems += [
        f"{name} signs with {key}, which is not in its wallet"
        for name, client in live.items()
        for key in client.get("unexpected") or []
    ]
    histories = below(storage, "histories")
    census = below(storage, "uniqueness")
    keys = []
    for key, places in below(census, "keys").items():
        owned, client = _owner(places)
        signed = below(histories, client, "keys", key)
        recorded = below(record, "keys", key)
        duty = below(live, client, "keys", key)
        problems += _speaks_against(key, owned, signed, recorded)
        keys.append(
            {
                "pubkey": key,
                "client": client,
                "places": places,
                "signed": {name: signed.get(f"highest_{name}") for name in _WATERMARKS},
                "record": recorded or None,
                "live": duty.get("status") or None,
                "last_attested_slot": duty.get("last_attested_slot"),
            }
        )
    return {"keys": keys, "wallets": census.get("wallets") or [], "problems": problems}
