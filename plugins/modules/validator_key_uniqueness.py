#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_key_uniqueness
short_description: Make sure that every validator key lives in one wallet of one client
version_added: 0.1.0
description:
  - Gathers every place in which a validator key can be, on this machine and as told, and fails when a key is in two
    of them that contradict each other, when a wallet or a data directory serves two clients, or when anything cannot
    be read.
  - A wallet is read by the manifest that M(eth2xk8s.staking.prysm_wallet_import) keeps beside it, if the manifest
    belongs to this very file, and else by decrypting it.
  - Never changes anything.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  wallets:
    description:
      - Wallet directories. One that does not exist yet holds no keys.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The wallet directory.
        type: path
        required: true
      client:
        description: Name of the client that uses it.
        type: str
      password:
        description: Its password, for when there is no manifest that belongs to it.
        type: str
      password_file:
        description: File on the target with the password.
        type: path
  data_dirs:
    description:
      - Data directories of clients; which keys ever signed there is read from the database.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The data directory.
        type: path
        required: true
      client:
        description: Name of the client that uses it.
        type: str
  keystores:
    description:
      - EIP-2335 keystore files or directories on the target. Each must give at least one keystore.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file or directory.
        type: path
        required: true
      client:
        description: Name of the client they are meant for.
        type: str
      password:
        description: Password of keystores that do not say their public key.
        type: str
      password_file:
        description: File on the target with that password.
        type: path
  keystore_contents:
    description:
      - Keystores by content, so that files of the controller need not be copied to the target.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: File name, for messages.
        type: str
        required: true
      content:
        description: The keystore, as text.
        type: str
        required: true
      client:
        description: Name of the client it is meant for.
        type: str
      password:
        description: Its password, for when it does not say its public key.
        type: str
  declared:
    description:
      - Public keys by client, as the inventory means it.
    type: dict
    default: {}
  live:
    description:
      - Public keys by client, as running clients say it (key manager API or metrics).
    type: dict
    default: {}
  workloads:
    description:
      - What can sign in the cluster, as M(eth2xk8s.staking.signing_workload_info) finds it. One whose wallet lies on
        another machine cannot be looked into, which counts as danger.
    type: list
    elements: dict
    default: []
    suboptions:
      client:
        description: Name of the client.
        type: str
        required: true
      where:
        description: The object, for messages.
        type: str
        required: true
      wallet:
        description: Its wallet, on the target; not given when it lies elsewhere.
        type: path
      data_dir:
        description: Its data directory, on the target; not given when it lies elsewhere.
        type: path
  machines:
    description:
      - What the machines of the site have on their own disks, as M(eth2xk8s.staking.machine_key_info) finds it. A
        machine that has not been searched, or something there that cannot be read, counts as danger.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name of the machine.
        type: str
        required: true
      searched:
        description: Whether it has been searched.
        type: bool
        default: true
      msg:
        description: Why it has not.
        type: str
        default: ""
      here:
        description:
          - Whether it is the machine this module runs on. Then O(machines[].files) are looked into once more, because
            the passwords and the declared places are known only here.
        type: bool
        default: false
      keys:
        description: The keys found there.
        type: list
        elements: dict
        default: []
        suboptions:
          key:
            description: The public key.
            type: str
            required: true
          kind:
            description: What it was found in.
            type: str
            choices: [history, keystore, tombstone, wallet]
            required: true
          where:
            description: Path on that machine.
            type: str
            required: true
      unreadable:
        description: What could not be read there.
        type: list
        elements: dict
        default: []
        suboptions:
          place:
            description: Path on that machine.
            type: str
            required: true
          reason:
            description: Why.
            type: str
            required: true
      files:
        description: The files that all this was found in.
        type: list
        elements: str
        default: []
  tombstones:
    description:
      - Files of tombstones of keys that have left a client (O(tombstones[].client)) or the site. Those beside the
        wallets given are read anyway.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file, or a wallet directory that has one.
        type: path
        required: true
      client:
        description: Name of the client the keys have left; without it they have left the site.
        type: str
  reinstate:
    description:
      - Keys that may come back to a client of this site which they have left; where they have been stays known.
    type: list
    elements: str
    default: []
  elsewhere:
    description:
      - Files on the target with the public keys of other sites, one a line, or key manifests.
    type: list
    elements: path
    default: []
  root:
    description:
      - Directory to search for wallets, databases, keystores and key stores of other clients that are not declared, by
        what the files hold, whatever they are called.
    type: path
  exclude:
    description:
      - Directories and files below O(root) not to search, such as your own backups; paths that are not absolute are
        below O(root). One that holds a client's wallet or database is refused.
    type: list
    elements: path
    default: []
  derive:
    description:
      - Whether to derive the public key of every secret decrypted, so that a mislabelled key is found. Whether two
        wallets share a secret is looked at anyway.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Refuse to go on unless every key lives in one place
  eth2xk8s.staking.validator_key_uniqueness:
    wallets:
      - path: /data/prysm/wallet-validator1
        client: validator1
        password: "{{ vault_wallet_password }}"
    data_dirs:
      - path: /data/prysm/validator1
        client: validator1
    declared:
      validator1: "{{ validator1_pubkeys }}"
    root: /data/prysm
"""

RETURN = r"""
keys:
  description: Every public key found, with its places.
  returned: always
  type: dict
  sample:
    "0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07":
      - kind: wallet
        where: /data/prysm/wallet-validator1
        client: validator1
wallets:
  description: Every wallet read, how many keys it has, and whether that came from its manifest or by its password.
  returned: always
  type: list
  elements: dict
  sample:
    - path: /data/prysm/wallet-validator1
      client: validator1
      keys: 1
      read: manifest
duplicates:
  description: Keys whose places contradict each other.
  returned: always
  type: list
  elements: dict
  contains:
    key:
      description: The public key.
      type: str
    reason:
      description: What is wrong.
      type: str
    places:
      description: Where it was found.
      type: list
      elements: dict
conflicts:
  description: Directories that serve two clients, and lists that name a key twice.
  returned: always
  type: list
  elements: dict
  contains:
    where:
      description: The place.
      type: str
    reason:
      description: What is wrong.
      type: str
passed_over:
  description: Files among the keystores that are none, and what they are.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    reason:
      description: What it is.
      type: str
missing_packages:
  description: Packages of the distribution that the key modules use and this machine lacks.
  returned: always
  type: list
  elements: str
  sample: []
unreadable:
  description: Places that could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    place:
      description: The place.
      type: str
    reason:
      description: Why.
      type: str
"""

import importlib.util
import resource
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._params import (
    keystore_contents,
    secret,
    secret_arguments,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._importer import Passwords
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import (
    Census,
    Entry,
    InputError,
    Machine,
    MachineKey,
    WalletEntry,
    Workload,
)

_SHOWN = 5

_PLACE: dict[str, t.Any] = {"path": {"type": "path", "required": True}, "client": {"type": "str"}}
_PLACES: dict[str, t.Any] = {"type": "list", "elements": "dict", "default": [], "options": _PLACE}
_SECRET_PLACES: dict[str, t.Any] = {
    **_PLACES,
    "options": {**_PLACE, **secret_arguments("password")},
    "mutually_exclusive": [("password", "password_file")],
}
_TEXT: dict[str, t.Any] = {"type": "str", "required": True, "no_log": False}
_LIST: dict[str, t.Any] = {"type": "list", "elements": "dict", "default": [], "no_log": False}
_KINDS = ["history", "keystore", "tombstone", "wallet"]

#: What a machine says of its own disks.
_MACHINE: dict[str, t.Any] = {
    "host": _TEXT,
    "searched": {"type": "bool", "default": True},
    "msg": {"type": "str", "default": ""},
    "here": {"type": "bool", "default": False},
    "keys": {**_LIST, "options": {"key": _TEXT, "kind": {**_TEXT, "choices": _KINDS}, "where": _TEXT}},
    "unreadable": {**_LIST, "options": {"place": _TEXT, "reason": _TEXT}},
    "files": {"type": "list", "elements": "str", "default": []},
}

#: What can sign in the cluster.
_WORKLOAD: dict[str, t.Any] = {
    "client": {"type": "str", "required": True},
    "where": {"type": "str", "required": True},
    "wallet": {"type": "path"},
    "data_dir": {"type": "path"},
}

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "wallets": _SECRET_PLACES,
    "data_dirs": _PLACES,
    "keystores": {**_SECRET_PLACES, "no_log": False},
    "keystore_contents": keystore_contents(client={"type": "str"}),
    "declared": {"type": "dict", "default": {}},
    "live": {"type": "dict", "default": {}},
    "workloads": {"type": "list", "elements": "dict", "default": [], "options": _WORKLOAD},
    "machines": {"type": "list", "elements": "dict", "default": [], "options": _MACHINE},
    "tombstones": _PLACES,
    "reinstate": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "elsewhere": {"type": "list", "elements": "path", "default": []},
    "root": {"type": "path"},
    "exclude": {"type": "list", "elements": "path", "default": []},
    "derive": {"type": "bool", "default": False},
}


def take(params: dict[str, t.Any]) -> Census:
    """Look into every place the parameters name."""
    census = Census(derive=params["derive"])
    wallets = []
    for item in params["wallets"]:
        try:
            wallets.append(WalletEntry(item["path"], item["client"], secret(item, "password")))
        except StakingError as exc:
            census.fail(exc, item["path"])
    census.add_wallets(wallets)
    data_dirs = _entries(params["data_dirs"])
    census.add_data_dirs(data_dirs, census.excluded(params["root"], params["exclude"]))
    census.add_workloads([Workload(**item) for item in params["workloads"]])
    for item in params["keystores"]:
        try:
            password = secret(item, "password")
        except StakingError as exc:
            census.fail_input(exc, item["path"])
            password = None
        census.add_keystores([Entry(item["path"], item["client"], Passwords(password))])
    for item in params["keystore_contents"]:
        census.add_keystore_contents([(item["name"], item["content"], item["client"])], Passwords(item["password"]))
    census.add_listed("declared", params["declared"], "inventory")
    census.add_listed("live", params["live"], "running client")
    census.add_tombstones(_entries(params["tombstones"]))
    census.add_elsewhere(params["elsewhere"])
    if params["root"] is not None:
        census.search(params["root"], data_dirs, params["exclude"])
    census.add_machines(_machine(item) for item in params["machines"])
    census.settle()
    return census


def _machine(item: dict[str, t.Any]) -> Machine:
    return Machine(
        **{
            **item,
            "keys": tuple(MachineKey(**found) for found in item["keys"]),
            "unreadable": tuple((problem["place"], problem["reason"]) for problem in item["unreadable"]),
            "files": tuple(item["files"]),
        }
    )


def _entries(items: list[dict[str, t.Any]]) -> list[Entry]:
    return [Entry(item["path"], item["client"]) for item in items]


def complaint(census: Census, result: dict[str, t.Any], hosts: set[str]) -> str:
    """What is wrong, in one message; empty when nothing is."""
    risks = [
        f"{item['key']} {item['reason']} ({'; '.join(place['where'] for place in item['places'])})"
        + _advice(item, hosts)
        for item in result["duplicates"]
    ]
    risks += [f"{item['where']} {item['reason']}" for item in result["conflicts"]]
    unread = [str(item) for item in census.unreadable if not isinstance(item, InputError)]
    inputs = [str(item) for item in census.unreadable if isinstance(item, InputError)]
    parts = []
    if risks:
        parts.append("Slashing risk: " + _joined(risks))
    if unread:
        parts.append("What cannot be read may hold a key a second time: " + _joined(unread))
    if inputs:
        parts.append("Keystores that cannot be used: " + _joined(inputs))
    return " | ".join(parts)


def _joined(lines: list[str]) -> str:
    more = f" | and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return " | ".join(lines[:_SHOWN]) + more


def _advice(item: dict[str, t.Any], hosts: set[str]) -> str:
    """What to do about a wallet or a database that no client of the inventory has."""
    stray = [
        place["where"] for place in item["places"] if place["client"] is None and place["kind"] in ("wallet", "history")
    ]
    if not stray:
        return ""
    away = any(where.partition(":")[0] in hosts for where in stray)
    names = "prysm_wallet_search_exclude" if away else "prysm_wallet_exclude"
    return f"; a backup that no client is given can be named in {names}"


def report(census: Census, reinstate: t.Collection[str]) -> dict[str, t.Any]:
    """What was found, as the module returns it."""
    return {
        "changed": False,
        "keys": {key: [p._asdict() for p in places] for key, places in sorted(census.places.items())},
        "wallets": [seen._asdict() for seen in census.wallets],
        "duplicates": [
            {"key": item.key, "reason": item.reason, "places": [p._asdict() for p in item.places]}
            for item in census.duplicates(reinstate)
        ],
        "conflicts": [item._asdict() for item in census.conflicts],
        "missing_packages": [
            f"python3-{name}" for name in ("cryptography", "yaml") if importlib.util.find_spec(name) is None
        ],
        "unreadable": [{"place": item.place, "reason": item.reason} for item in census.unreadable],
        "passed_over": [item._asdict() for item in census.passed_over],
    }


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        census = take(module.params)
        reinstate = normalise_all(module.params["reinstate"])
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    result = report(census, reinstate)
    message = complaint(census, result, {machine["host"] for machine in module.params["machines"]})
    if message:
        module.fail_json(msg=message, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
