# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Whether a beacon node is of use to validator clients."""

from __future__ import annotations

from ansible_collections.eth2xk8s.staking.plugins.module_utils._chain import View
from ansible_collections.eth2xk8s.staking.plugins.module_utils._cluster import Pod


def not_running(pod: Pod | None, name: str) -> str:
    """Why it cannot be asked; empty when it can."""
    if pod is None:
        return f"there is no pod {name}"
    if pod.terminating:
        return "it is being deleted"
    return "" if pod.started else pod.problem or "it has not started yet"


def of_no_use(pod: Pod, runs: str, wanted: str, view: View) -> str:
    """Why a running beacon node is of no use at the version wanted (any, when empty); empty when it is."""
    if wanted and runs != wanted:
        return f"it runs {runs}, not {wanted}"
    if not pod.ready:
        more = f" ({view.problem})" if view.problem else ""
        return f"it runs, but is not Ready: it is syncing, or cannot use its execution client{more}"
    return view.problem
