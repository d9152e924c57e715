# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Whether a beacon node is of use to validator clients."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Crashes, NotYet, Pod, tag
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._http import shown
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _chain
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._chain import View
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import MetricsError, version


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


class Beacons:
    """The beacon nodes of a release, looked at again and again. Validator clients need one of them."""

    def __init__(
        self, cluster: Proxy, names: t.Sequence[str], params: t.Mapping[str, t.Any], metrics_port: int
    ) -> None:
        self._place = Place(cluster, params["namespace"], metrics_port)
        self._chains = {name: _chain.Chain(cluster, name, params, metrics_port) for name in names}
        self._crashes = Crashes()
        #: Whether one of them will not get better by waiting.
        self.hopeless = False

    def any(self) -> View:
        """The chain as one of them has it that keeps up; where none does, why."""
        views: dict[str, View] = {}
        for name, chain in self._chains.items():
            views[name] = chain.look()
            if not views[name].problem:
                return views[name]
        return _together(views)

    def clock(self) -> tuple[_chain.Clock | None, str]:
        """The chain's clock, of the first beacon node that tells it, or why there is none."""
        why = "there is no beacon node to ask"
        for chain in self._chains.values():
            clock, why = chain.clock()
            if clock is not None:
                return clock, ""
        return None, why

    def all(self, pods: t.Mapping[str, Pod], wanted: str) -> View:
        """The chain as they have it, where all of them are of use at a version; else why one is not.

        One that no node takes is left out, where another one is of use: they are never on one node.
        """
        views = {name: self._one(name, pods.get(f"{name}-0"), wanted) for name in self._chains}
        if all(view.problem for view in views.values()):
            return _together(views)
        return _together({name: view for name, view in views.items() if not is_unscheduled(pods.get(f"{name}-0"))})

    def _one(self, name: str, pod: Pod | None, wanted: str) -> View:
        problem = not_running(pod, f"{name}-0")
        if problem or pod is None:
            if pod is not None and not pod.terminating and (pod.hopeless or self._crashes.again(pod)):
                self.hopeless = True
            return View(None, None, problem)
        try:
            return look(self._place, pod, self._chains[name], wanted).view
        except (NotYet, MetricsError) as exc:
            return View(None, None, str(exc))


def is_unscheduled(pod: Pod | None) -> bool:
    """Whether a pod waits for a node to take it."""
    return pod is not None and pod.unscheduled and not pod.terminating


def _together(views: t.Mapping[str, View]) -> View:
    """The latest that several have seen, and all their problems."""
    return View(
        max((view.slot for view in views.values() if view.slot is not None), default=None),
        max((view.head for view in views.values() if view.head is not None), default=None),
        ". ".join(f"{name}: {view.problem}" for name, view in views.items() if view.problem),
    )
