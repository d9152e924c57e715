# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _controller, _requests, _site_layout

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ActionModule(ActionBase):
    """Holds the command, the inventory and the variables against what a playbook takes; contacts no machine."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(["playbook"])

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        name = self._task.args.get("playbook")
        requests = _requests.table(ROOT)
        if name not in requests["playbooks"]:
            names = ", ".join(requests["playbooks"])
            raise AnsibleError(
                f"Refused, nothing was changed: playbook must be one of {names}, not {name!r}. Leave "
                "-e site_run_playbook out: the playbooks set it themselves."
            )
        groups: _requests.Groups = task_vars.get("groups", {})
        typed = set(load_extra_vars(self._loader))
        stored = self._stored(groups.get("site") or [], task_vars["hostvars"])
        ours = _requests.known(ROOT, requests)
        own, problems = self._own(task_vars)
        problems += _requests.options(context.CLIARGS, name, ROOT, requests)
        if C.DEFAULT_STRATEGY not in ("linear", "ansible.builtin.linear"):
            problems.append(f"the strategy is {C.DEFAULT_STRATEGY}; only linear takes one machine after the other")
        problems += _requests.machines(groups, task_vars.get("ansible_play_hosts_all", []), name, requests)
        problems += _requests.not_given({*stored, *task_vars}, name, requests)
        if "ansible_host" not in typed:
            problems += _requests.no_address(_site_layout.layout(groups).prepared, stored.get("ansible_host", ()))
        problems += _requests.unknown_typed(typed, own, name, ours, requests)
        problems += _requests.unknown_stored(stored, own, ours, requests)
        for variable, known_options in _requests.entries(ROOT).items():
            given = self._raw(variable, groups.get("site") or [], task_vars["hostvars"])
            problems += _requests.unknown_options(variable, given, known_options)
        specs = {**requests["playbooks"][name]["variables"], **requests["everywhere"]}
        for variable, spec in specs.items():
            problem = self._wrong(variable, spec, variable in stored and variable not in typed, task_vars)
            problems += [problem] if problem else []
        if problems:
            return {**result, "failed": True, "msg": f"Refused, nothing was changed: {'; '.join(problems)}."}
        result.update(
            changed=False,
            run=_controller.identify(_controller.controller_pid())["id"],
            acts=requests["playbooks"][name]["acts"],
            away=self._templar.template(task_vars.get(requests["playbooks"][name].get("away", ""), "")),
            playbooks=os.path.join(ROOT, "playbooks"),
            warnings=_requests.resembling(stored, own, ours, requests),
        )
        return result

    def _stored(self, hosts: t.Sequence[str], hostvars: t.Any) -> dict[str, set[str]]:
        """Names of the inventory's variables, with the machines that have them. No value is read or decrypted."""
        manager = hostvars._variable_manager
        made = (manager._nonpersistent_fact_cache, manager._vars_cache)
        typed = set(manager.extra_vars)
        found: dict[str, set[str]] = {}
        for host in hosts:
            names = set(hostvars.raw_get(host)) - typed
            for cache in made:
                names -= set(cache.get(host) or ())
            for name in names:
                if not name.startswith("_"):
                    found.setdefault(str(name), set()).add(host)
        return found

    def _raw(self, variable: str, hosts: t.Sequence[str], hostvars: t.Any) -> t.Any:
        """A variable as the inventory has it: no template is followed, and nothing is decrypted."""
        for host in hosts:
            if variable in hostvars.raw_get(host):
                return hostvars.raw_get(host)[variable]
        return None

    def _own(self, task_vars: dict[str, t.Any]) -> tuple[list[str], list[str]]:
        own = self._templar.template(task_vars.get("site_extra_variables") or [])
        if isinstance(own, list) and all(isinstance(name, str) for name in own):
            return own, []
        return [], ["site_extra_variables must be a list of names"]

    def _wrong(self, name: str, spec: dict[str, t.Any], stored: bool, task_vars: dict[str, t.Any]) -> str:
        if spec.get("typed") and stored:
            return f"{name} is in the inventory, but names a single act: remove it there, and use -e {spec['say']}"
        given = self._templar.template(task_vars[name]) if name in task_vars else None
        if given is None or given == "":
            return _requests.say(name, "is missing", spec) if spec.get("required") or given == "" else ""
        if isinstance(given, (dict, list)) != (spec["type"] in ("dict", "list")):
            return _requests.say(name, f"must be a {spec['type']}", spec)
        rules = {name: {key: spec[key] for key in ("type", "choices") if key in spec}}
        checked = ArgumentSpecValidator(rules).validate({name: given})
        if checked.error_messages:
            return _requests.say(name, "has an invalid value", spec)
        return _requests.value(name, checked.validated_parameters[name], spec, task_vars.get("groups", {}))
