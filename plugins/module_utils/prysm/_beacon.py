# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Whether a beacon node is of use to validator clients."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import NotYet, Pod, tag
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._http import shown
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._chain import View
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import version


class Chain(t.Protocol):
    """As much of a chain as it takes."""

    def look(self) -> View: ...


class Proxy(t.Protocol):
    """As much of a cluster as it takes."""

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> str: ...

    def metrics(self, namespace: str, pod: str, port: int) -> str: ...


class Place(t.NamedTuple):
    """Where a beacon node answers."""

    cluster: Proxy
    namespace: str
    port: int


class Seen(t.NamedTuple):
    """What a beacon node runs, and the chain as it has it; the problem is why the node is of no use."""

    version: str
    view: View


def not_running(pod: Pod | None, name: str) -> str:
    """Why it cannot be asked; empty when it can."""
    if pod is None:
        return f"there is no pod {name}"
    if pod.terminating:
        return "it is being deleted"
    return "" if pod.started else pod.problem or "it has not started yet"


def complaints(text: str) -> str:
    """What /healthz says is wrong: a line a service, `*execution.Service: ERROR, why` (v1.2.2 to v7.1.6).

    An error that names the address of an execution client may have its key in the path.
    """
    text = re.sub(r"https?://[^\s\"']+", lambda url: shown(url.group()), text)
    found = re.findall(r"^\W*([\w.]+): ERROR,?[ \t]*(.*)$", text, re.MULTILINE)
    return "; ".join(f"{name}: {why[:200].strip() or 'ERROR'}" for name, why in found[:5])


def _unhealthy(place: Place, pod: str) -> str:
    try:
        return complaints(place.cluster.proxy(place.namespace, pod, place.port, "/healthz"))
    except NotYet as exc:
        return complaints(exc.body)


def look(place: Place, pod: Pod, chain: Chain, wanted: str) -> Seen:
    """One look at a beacon node that runs, for the version wanted (any, when empty)."""
    metrics = place.cluster.metrics(place.namespace, pod.name, place.port)
    # Before v1.3.3 the process does not say its version; the image's tag has to do.
    runs = version(metrics) or tag(pod.image)
    view = chain.look()
    if wanted and runs != wanted:
        return Seen(runs, view._replace(problem=f"it runs {runs}, not {wanted}"))
    if not pod.ready:
        told = "; ".join(filter(None, (_unhealthy(place, pod.name), view.problem)))
        more = f" ({told})" if told else ""
        problem = f"it runs, but is not Ready: it is syncing, or cannot use its execution client{more}"
        return Seen(runs, view._replace(problem=problem))
    return Seen(runs, view)
