#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_guard
short_description: Refuse to start a validator with less history than its keys have, and keep the record of it
version_added: 0.1.0
description:
  - To be called on the machine that has the databases (the NFS server) before any start of a validator client, and as
    often as you like beside running ones.
  - Keeps a record for the site of the highest slot, source and target each key has signed, of its newest blocks and
    votes, of the client that it belongs to, and of each client's database. The record is only ever raised; several
    copies of it (O(witnesses), O(records)) are judged and raised as one. It is locked from before it is read until it
    is written.
  - Fails when a key of a client has a record and the client's C(validator.db) is missing, empty, older than the
    record, without votes or blocks that are on record, or of another network; also when a database cannot be read, is
    Prysm's minimal (file) database, or when a key, a database or a data directory is named for two clients.
  - Fails when the record gives a key to another client; M(eth2xk8s.staking.validator_key_claim) moves it.
  - Fails when a database is an older copy than the one whose transaction number was noted beside it or on record, or
    was opened by a release with another layout than the one about to run (O(clients[].version)).
  - A key without a record may start without a database. A key that signed elsewhere must bring its history first, by
    C(slashing_protection) of its entry of C(prysm_validators), which the role C(prysm_helm) imports before the start.
  - When it does not fail it adds the clients' keys, and what their databases know, to the record. What databases know
    is added even when it fails, since that only makes the record stricter, except from a database of another network.
  - The way out of a refusal is to bring the history back (a backup newer than the record, or an interchange file made
    from what is left), never to remove the record.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  record:
    description:
      - The file that holds the record. It and its directory (not that one's parent) are made when missing, closed to
        others.
    type: path
    required: true
  clients:
    description:
      - The clients about to start, or running.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the client, for messages.
        type: str
        required: true
      data_dir:
        description: Its data directory.
        type: path
        required: true
      pubkeys:
        description: Public keys in its wallet.
        type: list
        elements: str
        required: true
      wallet_dir:
        description: Its wallet's directory; an identity (C(.validator-id)) there must be that of the database.
        type: path
      version:
        description: The version of Prysm that is about to run. Without it, the layout of the database is not judged.
        type: str
      installed:
        description: The identity that its release was installed with; empty without a release. Read with O(bind).
        type: str
        default: ""
  witnesses:
    description:
      - Further copies of the record on this machine, on disks that do not share the data disk's fate. They are joined
        with the record before anything is judged, raised with it, and made when they are missing.
    type: list
    elements: path
    default: []
  watch_config:
    description:
      - The configuration of this machine's history watcher. When it is there and names this O(record), the watcher's
        own copy is one of the O(witnesses).
    type: path
  records:
    description:
      - Copies of the record from elsewhere (RV(record) of an earlier run), such as the one in the cluster. They are
        joined with the record before anything is judged.
    type: list
    elements: dict
    default: []
  data_root:
    description:
      - A directory. Every C(validator.db) and minimal database below it counts as knowledge of the keys in it, also
        those of clients that are not declared any more. One that cannot be read is a refusal.
    type: path
  exclude:
    description: Files and directories below O(data_root) that are left out.
    type: list
    elements: str
    default: []
  live:
    description: Clients that run, or are in the release. One of O(clients) without a database is refused then.
    type: list
    elements: str
    default: []
  replaced:
    description:
      - Clients whose database was replaced on purpose, by M(eth2xk8s.staking.slashing_protection_replace), since the
        record was last raised. Their keys' history is judged as ever; the transaction number, version and identity on
        record are taken anew.
    type: list
    elements: str
    default: []
  schema_changes:
    description: Releases that changed the layout of C(validator.db).
    type: list
    elements: str
    default: ["1.1.0", "1.3.0"]
  lift_history_hold:
    description:
      - Whether to remove a hold that the history watcher has set (its text begins with C(history:)) from clients that
        nothing speaks against. Other holds stay.
    type: bool
    default: false
  genesis_validators_root:
    description:
      - The network all of it must belong to. Without it, the record's own, and without that, the first database's.
    type: str
  stopped:
    description:
      - Whether to fail also when the lock on a database is held, because the client is meant to be stopped.
    type: bool
    default: false
  bind:
    description:
      - Give the data directory and the wallet directory of each client one identity (a UUID in C(.validator-id)), once,
        before anything is judged.
      - Fails when they carry different ones, or when the data directory has lost the one that the release or the wallet
        knows. An empty directory where a data disk should be mounted is told apart from a first start by that.
    type: dict
    suboptions:
      adopt:
        description:
          - Clients whose data directory is known to hold the newest database although it has lost its identity.
        type: list
        elements: str
        default: []
      owner:
        description: User ID of the files.
        type: int
        default: -1
      group:
        description: Group ID of the files.
        type: int
        default: -1
  first_starts:
    description:
      - The file in which M(eth2xk8s.staking.validator_first_starts) keeps what the chain said of keys that start
        without a history; to say which clients still wait.
    type: path
  notes:
    description: Files that hold clients back or say that they have a history; to say which of them are there.
    type: list
    elements: path
    default: []
  run_lock:
    description:
      - The run lock that this run has taken on this machine (M(eth2xk8s.staking.site_run)). Fails, and changes nothing,
        when it is another run's by now. Not asked in check mode, which takes no lock.
    type: dict
    suboptions:
      path:
        description: The lock.
        type: path
        default: /var/lib/eth2xk8s/run.json
      run:
        description: The number of the run that has it.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Refuse to start a validator that has lost its history
  eth2xk8s.staking.slashing_protection_guard:
    record: /data/prysm/.history/record.json
    watch_config: /var/lib/eth2xk8s/history/config.json
    data_root: /data/prysm
    clients:
      - name: validator1
        data_dir: /data/prysm/validator1
        wallet_dir: /data/prysm/wallet-validator1
        version: v7.1.6
        pubkeys: "{{ prysm_wallet_keys.validator1 }}"
"""

RETURN = r"""
changed:
  description:
    - Whether a key was new to the record. That numbers of known keys rise is not a change; it happens by itself as
      validators sign.
  returned: always
  type: bool
refusals:
  description: What speaks against starting.
  returned: always
  type: list
  elements: dict
  contains:
    client:
      description: The client that must not start; null when none must.
      type: str
    pubkey:
      description: The key it is about; null when it is about the whole client.
      type: str
    reason:
      description: Why.
      type: str
added:
  description: Keys that were new to the record.
  returned: always
  type: list
  elements: str
raised:
  description: Keys of which more is on record now.
  returned: always
  type: list
  elements: str
blacklisted:
  description: Keys, by client, that Prysm refuses all duties because of an import; they start, but do nothing.
  returned: always
  type: dict
locked:
  description: Who holds the lock on the database of a client, by client.
  returned: always
  type: dict
genesis_validators_root:
  description: The network of the record.
  returned: always
  type: str
keys:
  description: The highest slot, source and target of each key on record after this run.
  returned: always
  type: dict
  sample:
    "0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07":
      slot: 100
      source: 11
      target: 12
record:
  description: The whole record after this run, to be kept elsewhere and given back by O(records).
  returned: always
  type: dict
foreign:
  description: Databases below O(data_root) that are of another network, and were left out.
  returned: always
  type: list
  elements: str
lifted:
  description: Clients whose hold by the history watcher was removed.
  returned: always
  type: list
  elements: str
identities:
  description: The identity of each client; without those that check mode would only make.
  returned: with O(bind)
  type: dict
  sample: {"validator1": "2c4f4f0e-2f43-4b3a-9a53-5d4d2b0b8f9e"}
wait:
  description: Seconds, by client, until the last of its keys that started without a history may sign.
  returned: always
  type: dict
  sample: {}
there:
  description: Those of O(notes) that are there.
  returned: always
  type: list
  elements: path
  sample: []
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, is_there, reason_of
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _first_starts, _identity
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._judge import (
    HOLD,
    SCHEMA_CHANGES,
    Client,
    Request,
    Verdict,
    judge,
    lift_hold,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import (
    EMPTY,
    Record,
    from_document,
    join,
    locked,
    normalise_root,
    to_document,
    witnesses_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._site_run import PATH, demand

_SHOWN = 5

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "record": {"type": "path", "required": True},
    "clients": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "data_dir": {"type": "path", "required": True},
            "pubkeys": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "wallet_dir": {"type": "path"},
            "version": {"type": "str"},
            "installed": {"type": "str", "default": ""},
        },
    },
    "witnesses": {"type": "list", "elements": "path", "default": []},
    "watch_config": {"type": "path"},
    "records": {"type": "list", "elements": "dict", "default": []},
    "data_root": {"type": "path"},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "live": {"type": "list", "elements": "str", "default": []},
    "replaced": {"type": "list", "elements": "str", "default": []},
    "schema_changes": {"type": "list", "elements": "str", "default": list(SCHEMA_CHANGES)},
    "lift_history_hold": {"type": "bool", "default": False},
    "genesis_validators_root": {"type": "str"},
    "stopped": {"type": "bool", "default": False},
    "bind": {
        "type": "dict",
        "options": {
            "adopt": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "int", "default": -1},
            "group": {"type": "int", "default": -1},
        },
    },
    "first_starts": {"type": "path"},
    "notes": {"type": "list", "elements": "path", "default": []},
    "run_lock": {
        "type": "dict",
        "options": {"path": {"type": "path", "default": PATH}, "run": {"type": "str", "required": True}},
    },
}


def bind(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Give the directories of each client one identity, where that is asked for."""
    given = params["bind"]
    if given is None:
        return {"changed": False}
    clients = [
        _identity.Client(item["name"], item["data_dir"], item["wallet_dir"], item["installed"])
        for item in params["clients"]
    ]
    return _identity.bind(clients, given["adopt"], given["owner"], given["group"], check)._asdict()


def beside(params: dict[str, t.Any], now: float) -> dict[str, t.Any]:
    """What lies beside the databases and the record: who waits, and which notes are there."""
    path = params["first_starts"]
    clients = {item["name"]: normalise_all(item["pubkeys"]) for item in params["clients"]}
    return {
        "wait": {} if path is None else _first_starts.waiting(_first_starts.read(path), clients, now),
        "there": [note for note in params["notes"] if is_there(note)],
    }


def clients_of(params: dict[str, t.Any]) -> list[Client]:
    """The clients that are judged."""
    return [
        Client(
            item["name"], item["data_dir"], tuple(normalise_all(item["pubkeys"])), item["wallet_dir"], item["version"]
        )
        for item in params["clients"]
    ]


def request_of(params: dict[str, t.Any], lost: str | None, copies: tuple[str, ...]) -> Request:
    """What is to be judged; lost is the record's path where only copies of it are there."""
    root = params["genesis_validators_root"]
    return Request(
        genesis_validators_root=None if root is None else normalise_root(root),
        stopped=params["stopped"],
        data_root=params["data_root"],
        exclude=tuple(params["exclude"]),
        schema_changes=tuple(params["schema_changes"]),
        live=tuple(params["live"]),
        replaced=tuple(params["replaced"]),
        lost=lost,
        copies=copies,
    )


def guard(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Judge, and raise the record, under its lock; the result says whether it failed."""
    clients = clients_of(params)
    path = params["record"]
    given = [from_document(item, f"records[{i}]") for i, item in enumerate(params["records"])]
    elsewhere = ["the copy of it from elsewhere"] if any(item.keys for item in given) else []
    witnesses = [*params["witnesses"], *witnesses_of(path, params["watch_config"])]
    with locked(path, witnesses, make=not check) as copies:
        before = join(*copies.found.values(), *given)
        lost = copies.primary is None and before != EMPTY
        verdict = judge(before, clients, request_of(params, path if lost else None, (*copies.found, *elsewhere)))
        after = join(before, verdict.news)
        # Where a disk is not mounted, a new record would only be in the way.
        if not check:
            copies.write(after, make=not (lost and verdict.refusals))
        lifted = [
            client.name
            for client in clients
            if params["lift_history_hold"] and not verdict.refusals and not check and lift_hold(client.data_dir)
        ]
    return report(copies.primary, after, verdict, lifted)


def report(own: Record | None, after: Record, verdict: Verdict, lifted: list[str]) -> dict[str, t.Any]:
    """The verdict, and what is on record now beyond the site's own record, as the module returns it."""
    known = (own or EMPTY).keys
    added = sorted(set(after.keys) - set(known))
    return {
        "changed": bool(added or lifted) or own is None,
        "refusals": [refusal._asdict() for refusal in verdict.refusals],
        "added": added,
        "raised": sorted(key for key, entry in after.keys.items() if known.get(key, entry) != entry),
        "blacklisted": verdict.blacklisted,
        "locked": verdict.locked,
        "foreign": verdict.foreign,
        "lifted": lifted,
        "genesis_validators_root": after.genesis_validators_root,
        "keys": {key: entry.watermarks()._asdict() for key, entry in sorted(after.keys.items())},
        "record": to_document(after),
    }


def complaint(refusals: list[dict[str, t.Any]]) -> str:
    """What speaks against starting, in one message."""
    lines = [
        (f"{item['client']}: " if item["client"] else "")
        + (f"{item['pubkey']} " if item["pubkey"] else "")
        + item["reason"]
        for item in refusals
    ]
    more = f" | and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "Slashing risk: " + " | ".join(lines[:_SHOWN]) + more


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    lock = module.params["run_lock"]
    try:
        if lock is not None and not module.check_mode:
            demand(lock["path"], lock["run"])
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc), refusals=[])
    try:
        bound = bind(module.params, module.check_mode)
    except StakingError as exc:
        module.fail_json(msg=f"Slashing risk: {exc}", refusals=[])
    except OSError as exc:
        module.fail_json(msg=f"An identity cannot be written: {exc.filename}: {reason_of(exc)}", refusals=[])
    try:
        result = guard(module.params, module.check_mode)
        result.update(beside(module.params, time.time()))
        result.update({**bound, "changed": result["changed"] or bound["changed"]})
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc), refusals=[])
    for client, keys in result["blacklisted"].items():
        module.warn(f"Prysm refuses all duties of {len(keys)} keys of {client} because of an import: {', '.join(keys)}")
    for name in result["lifted"]:
        module.warn(f"{name} is not held by the history watcher any more ({HOLD} was removed)")
    if result["refusals"]:
        module.fail_json(msg=complaint(result["refusals"]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
