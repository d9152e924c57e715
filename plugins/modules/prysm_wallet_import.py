#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prysm_wallet_import
short_description: Bring EIP-2335 keystores into a Prysm wallet, or take keys out of one
version_added: 0.1.0
description:
  - Writes the wallet that C(validator accounts import) would write, without any Prysm binary, in a form that every
    Prysm from v1.2.2 to the newest opens.
  - All or nothing. Every public key is derived from its secret and compared with what the keystore claims. The new
    wallet is opened on the disk before and after it takes the place of the old one, which is kept until then.
  - Idempotent by content. A key that is in the wallet already is not decrypted again.
  - Refuses to change a wallet whose client is running, because Prysm reloads wallets by itself and the change would
    be live at once. Whether a key lives in another place is for M(eth2xk8s.staking.validator_key_uniqueness) to say,
    before.
  - Beside the wallet it keeps a manifest (the public keys and the digest of the wallet file) and tombstones of keys
    removed.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.diff
options:
  wallet_dir:
    description:
      - The wallet directory, as given to Prysm by C(--wallet-dir). Made when missing; its parent must exist.
      - Exactly one of O(wallet_dir) and O(wallets) is required.
    type: path
  wallets:
    description:
      - Several wallets in one call, with O(state=present). Each is all or nothing by itself; one that is refused does
        not keep the others from being written, and the call then fails.
    type: list
    elements: dict
    suboptions:
      wallet_dir: {description: "As O(wallet_dir).", type: path, required: true}
      wallet_password: {description: "As O(wallet_password).", type: str}
      wallet_password_file: {description: "As O(wallet_password_file).", type: path}
      keystores: {description: "As O(keystores).", type: list, elements: path, default: []}
      keystore_contents:
        description: As O(keystore_contents).
        type: list
        elements: dict
        default: []
        suboptions:
          name: {description: "As O(keystore_contents[].name).", type: str, required: true}
          content: {description: "As O(keystore_contents[].content).", type: str, required: true}
          password: {description: "As O(keystore_contents[].password).", type: str}
      keystore_password: {description: "As O(keystore_password).", type: str}
      keystore_password_file: {description: "As O(keystore_password_file).", type: path}
      keystore_passwords: {description: "As O(keystore_passwords).", type: dict}
      deposit_data: {description: "As O(deposit_data).", type: list, elements: path}
      expected_pubkeys: {description: "As O(expected_pubkeys).", type: list, elements: str, default: []}
      data_dir: {description: "As O(data_dir).", type: path}
  wallet_password:
    description:
      - Password of the wallet. Printable ASCII only, because Prysm spells other characters in a way of its own. For a
        new wallet it needs 8 characters, with a letter, a digit and a symbol, as older releases of Prysm require.
      - Exactly one of O(wallet_password) and O(wallet_password_file) is required with O(wallet_dir).
    type: str
  wallet_password_file:
    description:
      - File on the target with the password of the wallet; line ends at its end are not part of it.
    type: path
  keystores:
    description:
      - Keystore files or directories on the target; each must give at least one keystore. Patterns are not expanded.
      - A directory is looked through as Prysm does, two levels deep, whatever the files are called. What is no keystore
        (deposit data, exits, lists of keys, archives, hidden files) is passed over and reported in RV(passed_over);
        what claims to be one and cannot be read is an error.
    type: list
    elements: path
    default: []
  keystore_contents:
    description:
      - Keystores by content, so that files of the controller need not be copied to the target.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: File name, for messages and for O(keystore_passwords).
        type: str
        required: true
      content:
        description: The keystore, as text.
        type: str
        required: true
      password:
        description: Its password, for when no other is given.
        type: str
  keystore_password:
    description:
      - Password of every keystore that O(keystore_passwords) does not name. Where neither is given, the password file
        beside a keystore counts (C(keystore-0.txt) beside C(keystore-0.json)).
    type: str
  keystore_password_file:
    description:
      - File on the target with that password; line ends at its end are not part of it.
    type: path
  keystore_passwords:
    description:
      - Passwords by public key, path, file name or directory of a keystore.
    type: dict
  deposit_data:
    description:
      - Deposit data files on the target. When given, a keystore whose public key none of them names is refused.
    type: list
    elements: path
  expected_pubkeys:
    description:
      - Public keys that are expected in the wallet, such as those that deposit data names; a warning names each that
        is not there in the end.
    type: list
    elements: str
    default: []
  data_dir:
    description:
      - Data directory of the client that uses the wallet. While the lock on its C(validator.db) is held, a
        change to the wallet is refused.
    type: path
  owner:
    description:
      - Name or number of the owner of everything in the wallet; unchanged when not given.
    type: str
  group:
    description:
      - Name or number of its group; unchanged when not given.
    type: str
  state:
    description:
      - V(present) brings the keystores' keys into the wallet.
      - V(absent) takes O(pubkeys) out of it and leaves a tombstone for each; without its tombstone lifted by
        O(reinstate) a key cannot come back.
    type: str
    choices: [present, absent]
    default: present
  pubkeys:
    description:
      - Public keys to remove, with O(state=absent).
    type: list
    elements: str
    default: []
  also_missing:
    description:
      - Whether keys that are not there get a tombstone as well, because their history has come to this client without
        them.
    type: bool
    default: false
  reason:
    description:
      - Why they are removed, for the tombstone.
    type: str
    default: removed
  reinstate:
    description:
      - Public keys that have left this wallet before and shall come back; their tombstones are removed.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Import the keystores of a client
  eth2xk8s.staking.prysm_wallet_import:
    wallet_dir: /data/prysm/wallet-validator1
    data_dir: /data/prysm/validator1
    wallet_password: "{{ vault_wallet_password }}"
    keystores:
      - /root/validator_keys
    keystore_password: "{{ vault_keystore_password }}"
    owner: "1001"
    group: "2000"

- name: Take a key out of a stopped client's wallet
  eth2xk8s.staking.prysm_wallet_import:
    wallet_dir: /data/prysm/wallet-validator1
    data_dir: /data/prysm/validator1
    wallet_password: "{{ vault_wallet_password }}"
    state: absent
    pubkeys:
      - "0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07"
    reason: moved to validator2
"""

RETURN = r"""
imported:
  description: Public keys that were brought into the wallet.
  returned: success
  type: list
  elements: str
  sample: ["0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07"]
removed:
  description: Public keys that were taken out of it.
  returned: success
  type: list
  elements: str
  sample: []
pubkeys:
  description: Every public key in the wallet now, in its order.
  returned: success
  type: list
  elements: str
  sample: ["0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07"]
mended:
  description: Paths whose mode, owner or content was put right beside that.
  returned: success
  type: list
  elements: str
  sample: []
passed_over:
  description: Files and directories among O(keystores) that are none, and what they are.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file or directory.
      type: str
    reason:
      description: What it is.
      type: str
histories:
  description: Slashing-protection files and databases that lie among O(keystores).
  returned: success
  type: list
  elements: str
  sample: [/root/validator_keys/slashing_protection.json]
wallet_file:
  description: The file that holds the keys.
  returned: success
  type: str
  sample: /data/prysm/wallet-validator1/direct/accounts/all-accounts.keystore.json
wallets:
  description: The same of each of O(wallets), in their order, with its C(wallet_dir).
  returned: success, when O(wallets) is given
  type: list
  elements: dict
"""

import datetime
import resource
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._params import (
    group_id,
    keystore_contents,
    secret,
    secret_arguments,
    user_id,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._importer import (
    Collected,
    Outcome,
    Passwords,
    Request,
    collect,
    deposited,
    gather,
    run,
    together,
)


def request_from(params: dict[str, t.Any], found: Collected) -> Request:
    """The module's parameters, and what lies at the places they name, as the request they stand for."""
    request = Request(
        wallet_dir=params["wallet_dir"],
        password=secret(params, "wallet_password") or "",
        owner=user_id(params["owner"]),
        group=group_id(params["group"]),
        data_dir=params["data_dir"],
    )
    if params["state"] == "absent":
        remove = tuple(normalise_all(params["pubkeys"]))
        if not remove:
            raise StakingError("state is absent, but no key is named in 'pubkeys'")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return request._replace(remove=remove, also_missing=params["also_missing"], reason=params["reason"], now=now)
    if params["pubkeys"]:
        raise StakingError("'pubkeys' belongs to state 'absent'")
    if not params["keystores"] and not params["keystore_contents"]:
        raise StakingError("no keystore is given")
    if found.problems:
        raise together(found.problems)
    given = params["keystore_contents"]
    beside = {item["name"]: item["password"] for item in given if item["password"] is not None}
    return request._replace(
        keystores=(*found.keystores, *gather([], [(item["name"], item["content"]) for item in given])),
        passwords=Passwords(
            secret(params, "keystore_password"), params["keystore_passwords"], {**found.beside, **beside}
        ),
        deposits=None if params["deposit_data"] is None else frozenset(deposited(params["deposit_data"])),
        reinstate=tuple(normalise_all(params["reinstate"])),
    )


def difference(outcome: Outcome) -> dict[str, str]:
    """Before and after, as public keys and paths."""

    def text(lines: list[str]) -> str:
        return "".join(f"{line}\n" for line in lines)

    return {
        "before_header": outcome.wallet_file,
        "after_header": outcome.wallet_file,
        "before": text(outcome.before),
        "after": text(outcome.pubkeys + [f"put right: {path}" for path in outcome.mended]),
    }


def absent(found: Collected, expected: list[str], pubkeys: list[str]) -> list[str]:
    """What deposit data names and the wallet does not hold in the end."""
    named = {**found.unmatched(), "deposit data": expected}
    texts = []
    for place, keys in named.items():
        missing = sorted(set(keys) - set(pubkeys))
        if missing:
            texts.append(f"{place} names {len(missing)} keys that no keystore holds: {', '.join(missing)}")
    return texts


#: What is said of one wallet; `keystores` and what opens them belong to state `present`.
_WALLET: dict[str, t.Any] = {
    **secret_arguments("wallet_password"),
    "keystores": {"type": "list", "elements": "path", "default": [], "no_log": False},
    "keystore_contents": keystore_contents(),
    **secret_arguments("keystore_password"),
    "keystore_passwords": {"type": "dict", "no_log": True},
    "deposit_data": {"type": "list", "elements": "path"},
    "expected_pubkeys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "data_dir": {"type": "path"},
}
_TWICE = [("wallet_password", "wallet_password_file"), ("keystore_password", "keystore_password_file")]


def bring(params: dict[str, t.Any], check: bool) -> tuple[dict[str, t.Any], list[str]]:
    """Do the work for one wallet: the result, and what deserves a warning."""
    found = collect(params["keystores"])
    expected = normalise_all(params["expected_pubkeys"])
    outcome = run(request_from(params, found), check=check)
    result = {
        "changed": outcome.changed,
        "imported": outcome.imported,
        "removed": outcome.removed,
        "pubkeys": outcome.pubkeys,
        "mended": outcome.mended,
        "passed_over": [item._asdict() for item in found.passed_over],
        "histories": found.histories,
        "wallet_file": outcome.wallet_file,
        "diff": difference(outcome),
    }
    return result, absent(found, expected, outcome.pubkeys)


def bring_all(module: AnsibleModule) -> dict[str, t.Any]:
    """The same for each of several wallets. One that is refused does not keep the others from what is theirs."""
    done, refused = [], []
    for item in module.params["wallets"]:
        try:
            result, warnings = bring({**module.params, **item}, module.check_mode)
        except (StakingError, OSError) as exc:
            refused.append(f"{item['wallet_dir']}: {exc}")
            continue
        done.append({"wallet_dir": item["wallet_dir"], **result})
        for text in warnings:
            module.warn(text)
    changed = any(one["changed"] for one in done)
    diff = [one.pop("diff") for one in done]
    if refused:
        module.fail_json(msg=" | ".join(refused), changed=changed, wallets=done)
    return {"changed": changed, "wallets": done, "diff": diff}


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            **_WALLET,
            "wallet_dir": {"type": "path"},
            "wallets": {
                "type": "list",
                "elements": "dict",
                "no_log": False,
                "options": {**_WALLET, "wallet_dir": {"type": "path", "required": True}},
                "mutually_exclusive": _TWICE,
                "required_one_of": _TWICE[:1],
            },
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "pubkeys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "also_missing": {"type": "bool", "default": False},
            "reason": {"type": "str", "default": "removed"},
            "reinstate": {"type": "list", "elements": "str", "default": [], "no_log": False},
        },
        mutually_exclusive=[*_TWICE, ("wallet_dir", "wallets")],
        required_one_of=[("wallet_dir", "wallets")],
        supports_check_mode=True,
    )
    # A crash must not leave decrypted keys in a core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if module.params["wallet_dir"] is None:
        module.exit_json(**bring_all(module))
    if module.params["wallet_password"] is None and module.params["wallet_password_file"] is None:
        module.fail_json(msg="one of the following is required: wallet_password, wallet_password_file")
    try:
        result, warnings = bring(module.params, module.check_mode)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    for text in warnings:
        module.warn(text)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
