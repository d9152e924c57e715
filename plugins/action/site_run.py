# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _controller, _site_run


class ActionModule(ActionBase):
    """Tells the module who runs, and judges whoever has the lock: only the controller sees its own processes."""

    TRANSFERS_FILES = False
    _MODULE = "eth2xk8s.staking.site_run"

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments.pop("run", None)
        self._host = (task_vars or {}).get("inventory_hostname", "")
        self._path = arguments.get("path") or _site_run.PATH
        mine = _controller.describe(
            _controller.controller_pid(),
            str(arguments.get("playbook") or ""),
            _controller.command_line(context.CLIARGS, load_extra_vars(self._loader)),
        )
        named = str(arguments.pop("take_over", "") or "")
        state = arguments.get("state", "taken")
        done = self._asked(arguments, mine, "", task_vars)
        if state == "taken":
            done = self._judged(done, arguments, mine, named, task_vars)
        elif state == "held" and not done.get("failed") and not self._task.check_mode and not done.get("held"):
            done = {"failed": True, "msg": _site_run.lost(self._path, done.get("holder"), self._host)}
        elif state == "released" and done.get("holder") and not self._task.check_mode:
            done["warnings"] = [_site_run.lost(self._path, done["holder"], self._host)]
        result.update(done)
        return result

    def _asked(
        self, arguments: dict[str, t.Any], mine: _site_run.Run, over: str, task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        done: dict[str, t.Any] = self._execute_module(
            module_name=self._MODULE, module_args={**arguments, "run": mine, "take_over": over}, task_vars=task_vars
        )
        # What the module was given is of no use to a reader.
        done.pop("invocation", None)
        return done

    def _judged(
        self,
        done: dict[str, t.Any],
        arguments: dict[str, t.Any],
        mine: _site_run.Run,
        named: str,
        task_vars: dict[str, t.Any] | None,
    ) -> dict[str, t.Any]:
        """Take over a run that is gone, or that was named; refuse beside any other."""
        notes: list[str] = []
        for _again in range(3):
            holder = done.get("holder")
            if done.get("failed") or not holder:
                return {**done, "warnings": [*done.get("warnings", []), *notes]}
            judged = _controller.verdict(holder, mine)
            refused = _controller.refusal(holder, judged, self._path, self._host, named)
            if self._task.check_mode:
                note = f"{refused} Check mode goes on, and what it says may be out of date by then."
                return {**done, "warnings": [note.replace("Refused, nothing was changed: a", "A", 1)]}
            if judged != _controller.GONE and not (judged == _controller.UNSEEN and named == holder["id"]):
                return {"failed": True, "msg": refused, "holder": holder}
            why = "its process is gone" if judged == _controller.GONE else "as site_run_take_over says"
            notes.append(
                f"Run {holder['id']} of {holder['user']} on {holder['controller']} (`{holder['command']}`, since "
                f"{holder['since']}) ended before its work was done; this run takes over ({why})."
            )
            done = {**self._asked(arguments, mine, holder["id"], task_vars), "taken_over": holder}
        return {"failed": True, "msg": "The run lock changes hands too fast. Run this again."}
