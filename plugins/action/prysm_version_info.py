# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import ARGUMENTS, VersionError, answers


class ActionModule(ActionBase):
    """Asks the table on the controller: it is long to send, and nothing of a machine is read."""

    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validated, params = self.validate_argument_spec(ARGUMENTS)
        try:
            found = answers(params)
        except VersionError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        return {**result, "changed": False, "warnings": list(found["notes"]), **found}
