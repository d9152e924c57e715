# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import glob
import time
import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _first_starts
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _execution, _versions
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _needs

#: What is read of each entry; other values may be anything.
_SECRETS = ("wallet_password", "keystore_password")
_FILES = ("wallet_password_file", "keystore_password_file")
_OPENING = ("keystore_password", "keystore_password_file", "keystore_passwords")
_LISTS = ("keystores", "slashing_protection")
#: What is text in an entry, and what YAML likes to change.
_TEXTS = ("name", "fee_recipient", "graffiti", "keystores_on", *_SECRETS, *_FILES)


class _Found(t.NamedTuple):
    """What the entries lack, and what they name on the machine that stores the data: what it is, and its path."""

    problems: list[str]
    on_nfs: list[tuple[str, str]]
    #: Whether each entry is a client with a name, so that what it keeps where is known.
    named: bool


class ActionModule(ActionBase):
    """Reads the inventory's variables, and puts everything that is missing into one list."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(
        ["fee_recipient", "engine", "inventory", "machines", "needs", "named", "table", "version", "untested"]
    )

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        args = self._task.args
        if args.get("machines") is None:
            found = self._inventory(task_vars or {})
            return {**result, "changed": False, **found}
        problems = list(args.get("inventory") or [])
        for name, seen in args["machines"].items():
            problems += _needs.of_machine(name, seen)
        for host, seen in (args.get("named") or {}).items():
            problems += _needs.not_there(map(tuple, seen["named"]), seen["there"], host)
        asked = _needs.merged(args.get("needs") or {}, "problems")
        # Where there is no secret to ask with, that is said already.
        problems += [one for one in asked if _execution.NO_SECRET not in one or not problems]
        notes = _needs.merged(args.get("needs") or {}, "unjudged")
        result["changed"] = False
        if problems:
            lines = "\n".join(f"- {one}" for one in problems)
            result.update(failed=True, msg=f"Refused, nothing was changed. The site lacks:\n{lines}")
        elif notes:
            result["msg"] = ". ".join(notes)
        return result

    def _value(self, raw: t.Any) -> tuple[t.Any, str]:
        """(the value, why it cannot be had)."""
        try:
            found = self._templar.template(raw)
            return found, ""
        except AnsibleError as exc:
            return None, str(exc) or type(exc).__name__

    def _inventory(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        args = self._task.args
        problems: list[str] = []
        network = self._text(task_vars, "prysm_network", problems)
        if not network and not problems:
            problems.append("prysm_network is not set: mainnet, hoodi, sepolia or custom. There is no default")
        problems += self._release(network)
        endpoints, why = self._value(task_vars.get("prysm_execution_endpoints") or [])
        if why:
            problems.append(_needs.unreadable("prysm_execution_endpoints", why))
        elif not endpoints and network and network != "custom":
            problems.append(_needs.no_endpoint(network))
        elif boolean(args.get("engine", True)):
            problems += _needs.of_addresses("prysm_execution_endpoints", endpoints)
        # One that cannot be had is not needed at every start: what asks for it says so.
        providers, why = self._value(task_vars.get("prysm_checkpoint_sync_url") or [])
        problems += [] if why else _needs.of_addresses("prysm_checkpoint_sync_url", providers)
        because, why = self._value(task_vars.get("prysm_no_history_because") or {})
        # Which keys the site has is not known here; a reason that is none need not wait for that.
        wrong = _first_starts.faults(because, (), all_known=False)
        problems += [_needs.unreadable("prysm_no_history_because", why)] if why else wrong
        readable = self._secret(task_vars, network, boolean(args.get("engine", True)), problems)
        placed = self._placed(task_vars, problems)
        entries = self._clients(task_vars, boolean(args.get("fee_recipient", True)))
        # The path of another's home is not known here.
        on_nfs = [(what, path) for what, path in entries.on_nfs if path.startswith("/")]
        return {
            "problems": problems + entries.problems,
            "placed": placed and entries.named,
            "secret_readable": readable,
            "on_nfs": on_nfs,
            "nfs_paths": [glob.escape(path) for _what, path in on_nfs],
        }

    def _release(self, network: str) -> list[str]:
        """Why the release does not follow the network, which the machines need not be built to find out."""
        args = self._task.args
        if not (network and args.get("table") and args.get("version")):
            return []
        try:
            table = _versions.Table.read(str(args["table"]))
            return table.fit(str(args["version"]), network, time.time(), str(args.get("untested") or "")).refusals
        except _versions.VersionError as exc:
            return [f"prysm_version: {exc}"]

    def _placed(self, task_vars: dict[str, t.Any], problems: list[str]) -> bool:
        """Whether the site's data directory is known."""
        value, why = self._value(task_vars.get("prysm_data_dir"))
        wrong = _needs.unreadable("prysm_data_dir", why) if why else _needs.of_data_dir(value)
        problems += filter(None, [wrong])
        return not wrong

    def _text(self, task_vars: dict[str, t.Any], name: str, problems: list[str]) -> str:
        if name not in task_vars:
            return ""
        value, why = self._value(task_vars[name])
        if why:
            problems.append(
                _needs.unreadable_secret(name, task_vars[name], why)
                if name == "prysm_jwt_secret"
                else _needs.unreadable(name, why)
            )
            return ""
        wrong = _needs.misread(name, value)
        if wrong:
            problems.append(wrong)
            return ""
        return str(value if value is not None else "")

    def _secret(self, task_vars: dict[str, t.Any], network: str, engine: bool, problems: list[str]) -> bool:
        before = len(problems)
        text = self._text(task_vars, "prysm_jwt_secret", problems)
        path = "" if text else self._text(task_vars, "prysm_jwt_secret_file", problems)
        if len(problems) > before:
            return False
        if path:
            text, why = self._text_of(path, task_vars)
            text = text.strip()
            if why:
                problems.append(f"prysm_jwt_secret_file: {path} {why}")
                return False
        if network == "custom" and not text:
            return True
        if engine and not _execution.is_secret(text):
            problems.append(
                "prysm_jwt_secret (or prysm_jwt_secret_file) "
                + ("is not set" if not text else "is not a JWT secret")
                + ": the 64 hexadecimal digits that the execution client was started with (--authrpc.jwtsecret)"
            )
            return False
        return True

    def _clients(self, task_vars: dict[str, t.Any], fee_recipient: bool) -> _Found:
        raw = task_vars.get("prysm_validators")
        if raw is None:
            return _Found(["prysm_validators is not set: name at least one validator client"], [], False)
        if isinstance(raw, str):
            raw, why = self._value(raw)
            if why:
                problem = _needs.unreadable_secret("prysm_validators", task_vars["prysm_validators"], why)
                return _Found([problem], [], False)
        if not isinstance(raw, list):
            return _Found(["prysm_validators must be a list of validator clients"], [], False)
        found = _Found([], [], True)
        clients, named = [], 0
        for number, entry in enumerate(raw, 1):
            where = f"entry {number} of prysm_validators"
            if isinstance(entry, str):
                value, why = self._value(entry)
                if why:
                    found.problems.append(_needs.unreadable_secret(where, entry, why))
                    continue
                entry = value
            if not isinstance(entry, dict):
                found.problems.append(f"{where} is {_needs.yaml_kind(entry)}; it must be a dictionary with a name")
                continue
            if entry.get("name"):
                named += 1
            else:
                found.problems.append(f"{where} has no name")
            clients.append(self._client(entry, where, task_vars, found))
        found.problems.extend(_needs.of_keys(clients, fee_recipient))
        return found._replace(named=named == len(raw))

    def _client(
        self, entry: dict[str, t.Any], where: str, task_vars: dict[str, t.Any], into: _Found
    ) -> dict[str, t.Any]:
        problems = into.problems
        name, why = self._value(entry.get("name") or where)
        named = not why and not _needs.misread("name", name)
        found: dict[str, t.Any] = {"name": name if named else where}
        values: dict[str, t.Any] = {}
        for key in (*_TEXTS, *_LISTS, "keystore_passwords"):
            if key not in entry:
                continue
            of = f"{key} of {found['name']}"
            value, why = self._value(entry[key])
            if why:
                hidden = key in (*_SECRETS, "keystore_passwords")
                problems.append(_needs.unreadable_secret(of, entry[key], why) if hidden else _needs.unreadable(of, why))
            elif key in _LISTS and not _needs.is_paths(value):
                problems.append(f"{of} must be a list of paths, each behind a dash")
            elif key == "keystore_passwords" and not _needs.is_texts(value):
                problems.append(f"{of} must be a dictionary (key or file name: password), all in quotes")
            elif key in _TEXTS and _needs.misread(of, value):
                problems.append(_needs.misread(of, value))
            else:
                values[key] = value
        # One that is there and cannot be read is not said to be missing as well.
        found["fee_recipient"] = values.get("fee_recipient", "0x" + "1" * 40 if "fee_recipient" in entry else "")
        found["has_password"] = "wallet_password" in entry or "wallet_password_file" in entry
        if not values.get("keystores", "keystores" in entry):
            problems.append(f"{found['name']} has no keystores: name files or directories of EIP-2335 keystores")
        self._files(found["name"], entry, values, task_vars, into)
        return found

    def _files(
        self, name: str, entry: dict[str, t.Any], values: dict[str, t.Any], task_vars: dict[str, t.Any], into: _Found
    ) -> None:
        """Look for the files that an entry names, as the role prysm_wallet reads them."""
        on_nfs = values.get("keystores_on") == "nfs"
        texts: dict[str, str] = {}
        for key in _FILES:
            path = values.get(key)
            if not path:
                continue
            if on_nfs and key == "keystore_password_file":
                into.on_nfs.append((f"{key} of {name}", path))
                continue
            texts[key], why = self._text_of(path, task_vars)
            if why:
                into.problems.append(f"{key} of {name}: {path} {why}")
        if on_nfs:
            into.on_nfs.extend((f"{key} of {name}", path) for key in _LISTS for path in values.get(key) or [])
            return
        for path in values.get("slashing_protection") or []:
            into.problems.extend(_needs.of_history(name, path))
        if values.get("keystores"):
            try:
                [keystores] = self._lookup("eth2xk8s.staking.keystores").run(
                    values["keystores"],
                    task_vars,
                    password=texts.get("keystore_password_file", values.get("keystore_password")),
                    passwords=values.get("keystore_passwords") or {},
                )
            except AnsibleError as exc:
                into.problems.append(_needs.unreadable(f"keystores of {name}", str(exc)))
                return
            given = any(key in entry for key in _OPENING)
            into.problems.extend(_needs.of_keystores(name, keystores, given))

    def _lookup(self, name: str) -> t.Any:
        return self._shared_loader_obj.lookup_loader.get(name, loader=self._loader, templar=self._templar)

    def _text_of(self, path: str, task_vars: dict[str, t.Any]) -> tuple[str, str]:
        """(a file of the controller, why it cannot be had), found where a role would find it."""
        try:
            text = self._lookup("ansible.builtin.file").run([path], task_vars, rstrip=False)[0]
            # Ansible goes on with what it could not decode.
            text.encode("utf-8")
            return text, ""
        except UnicodeError:
            return "", "is not UTF-8 text"
        except AnsibleError as exc:
            if _needs.is_locked(str(exc)):
                return "", "cannot be decrypted: give the vault's password (--ask-vault-pass or --vault-password-file)"
            return "", "cannot be read on this controller"
