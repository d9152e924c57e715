# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""The little of the Kubernetes API that proofs are made of, with errors that tell "not yet" from "never"."""

from __future__ import annotations

import calendar
import json
import re
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._kubernetes import load

try:
    import urllib3

    _LIBRARY = load()
    config, ApiException = _LIBRARY.config, _LIBRARY.api_exception
    IMPORT_ERROR: Exception | None = None
except ImportError as exc:  # pragma: no cover
    IMPORT_ERROR = exc

# Arguments of every module that reads the cluster; documented in the fragment eth2xk8s.staking.cluster.
CLUSTER_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "namespace": {"type": "str", "default": "prysm"},
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
}

_STARTING = ("PodInitializing", "ContainerCreating")
_CRASHES, _FORGIVEN_AFTER = 3, 600.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WITH_WORDS = re.compile(r" \(exit code [^)]*\): (?!(?:Completed|Error|OOMKilled|no message)$)")
_TELLING = re.compile(r"(?i)\bpanic:|level=fatal|\bFATAL\b")
_STUCK_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


class NotYet(Exception):
    """Cannot be read now; may work later. `body` is what was answered all the same."""

    body = ""


class Never(Exception):
    """Will not get better by waiting."""


class Conflict(NotYet):
    """Somewhere else it was written at the same time; read again first."""


class Pod(t.NamedTuple):
    """A pod as the API server describes it."""

    name: str
    uid: str
    node: str
    image: str
    ready: bool
    terminating: bool
    started: bool
    restarts: int
    problem: str
    hopeless: bool
    #: Its main container runs, and has not started: a guard waits there.
    waiting: bool = False
    #: No node takes it.
    unscheduled: bool = False


class Client(t.NamedTuple):
    """The pods of a validator client: the one that signs, or is the nearest to it, and the node of one that waits."""

    pod: Pod | None
    standby: str


def client_of(pods: t.Iterable[Pod], name: str) -> Client:
    """The pods of one StatefulSet. Two that have both started Prysm are no proof of anything: NotYet.

    One on a node that is not heard of any more stays started as it was heard of last, and is no longer Ready.
    """
    own = [pod for pod in pods if re.fullmatch(re.escape(name) + "-[0-9]+", pod.name)]
    started = [pod for pod in own if pod.started and not pod.terminating]
    signing = [pod for pod in started if pod.ready] if len(started) > 1 else started
    if len(started) > 1 and len(signing) != 1:
        names = " and ".join(sorted(pod.name for pod in started))
        raise NotYet(f"{names} have both started Prysm: one of them has lost the lock, and is about to end")
    own.sort(key=lambda pod: (pod not in signing, pod.terminating, pod.hopeless, pod.name))
    standby = next((pod.node for pod in own[1:] if signing and pod.waiting and not pod.terminating), "")
    return Client(own[0] if own else None, standby)


def tag(image: str) -> str:
    """The tag of an image, which may be pinned to a digest and lie in a registry with a port; empty without one."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def _containers(status: t.Mapping[str, t.Any], kind: str) -> list[dict[str, t.Any]]:
    return status.get(kind) or []


def last_words(message: str) -> str:
    """What a program said before it ended, of what its container keeps of that: without colours, in one line."""
    lines = [line.strip() for line in _COLOURS.sub("", message).splitlines() if line.strip()]
    told = [line for line in lines if _TELLING.search(line)]
    return " ".join(told[-1:] or lines[-2:])[:600]


def _refusal(message: str) -> str:
    return last_words(message[message.index("REFUSED") :].splitlines()[0]) if "REFUSED" in message else ""


def _seconds(ended: t.Mapping[str, t.Any]) -> float | None:
    """How long a container ran; None if that is not said."""
    try:
        first, last = (
            calendar.timegm(time.strptime(str(ended[name])[:19], "%Y-%m-%dT%H:%M:%S"))
            for name in ("startedAt", "finishedAt")
        )
    except (KeyError, ValueError):
        return None
    return float(last - first)


def _ended(entry: t.Mapping[str, t.Any], ended: t.Mapping[str, t.Any]) -> tuple[str, bool]:
    """A main container that has ended: its last words, and whether another start would do the same."""
    words = last_words(ended.get("message") or "") or ended.get("reason") or "no message"
    lasted = _seconds(ended)
    # The kubelet forgives after ten minutes of running: then this is a first crash, whatever the count says.
    again = (entry.get("restartCount") or 0) >= _CRASHES and (lasted is None or lasted < _FORGIVEN_AFTER)
    verb = "keeps ending" if again else "has ended"
    return f"{entry.get('name')} {verb} (exit code {ended.get('exitCode')}): {words}", again


def _container_problem(kind: str, entry: t.Mapping[str, t.Any]) -> tuple[str, bool]:
    """What keeps one container from running, in words, and whether waiting is pointless."""
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    runs, ended = "running" in state, state.get("terminated") or {}
    # The guard runs before the program and in its place until it lets it go. Where it runs again it may say otherwise.
    if not entry.get("ready") and not (runs and kind == "containerStatuses"):
        for holder in (state, last):
            words = _refusal((holder.get("terminated") or {}).get("message") or "")
            if words:
                return words, True
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason in _STUCK_IMAGE:
        return f"{reason}: {waiting.get('message') or entry.get('image')}", reason == "InvalidImageName"
    if reason == "CrashLoopBackOff" and last.get("terminated"):
        return _ended(entry, last["terminated"])
    if ended and kind == "containerStatuses":
        return _ended(entry, ended)
    if reason and reason not in _STARTING:
        return f"{entry.get('name')}: {reason}: {waiting.get('message') or 'no message'}", False
    return "", False


def _has_not_started(entry: t.Mapping[str, t.Any]) -> bool:
    """Whether a container runs, and what it is for has not started: a guard waits there."""
    return "running" in (entry.get("state") or {}) and not (entry.get("started") or entry.get("ready"))


def _problem(status: t.Mapping[str, t.Any]) -> tuple[str, bool]:
    """What keeps the pod from running, in words, and whether waiting is pointless."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for entry in _containers(status, kind):
            found = _container_problem(kind, entry)
            if found[0]:
                return found
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"not scheduled: {condition.get('message')}", False
    for entry in _containers(status, "initContainerStatuses"):
        if "running" in (entry.get("state") or {}):
            return f"waiting in the init container {entry.get('name')}; its log says for what", False
    for entry in _containers(status, "containerStatuses"):
        if _has_not_started(entry):
            return f"waiting or starting in the container {entry.get('name')}; its log says for what", False
    return "", False


class Crashes:
    """Remembers how pods ended: the same last words twice will not get better by waiting."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, str]] = {}

    def again(self, pod: Pod) -> bool:
        """Has this pod's container ended twice in the same way while this looked on?"""
        if not _WITH_WORDS.search(pod.problem):
            return False
        # Times, slots and addresses differ from one end to the next.
        words = re.sub(r"0x[0-9a-f]+|[0-9]+", "#", pod.problem.replace("keeps ending", "has ended"))
        before = self._seen.setdefault(pod.uid, (pod.restarts, words))
        if before[0] == pod.restarts:
            return False
        self._seen[pod.uid] = (pod.restarts, words)
        return before[1] == words


def describe(pod: t.Mapping[str, t.Any]) -> Pod:
    """A pod's JSON in the words that proofs need."""
    meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    main = _containers(status, "containerStatuses")
    problem, hopeless = _problem(status)
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        node=spec.get("nodeName") or "",
        image=((spec.get("containers") or [{}])[0]).get("image") or "",
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or []),
        terminating=bool(meta.get("deletionTimestamp")),
        started=any(entry.get("started") or entry.get("ready") for entry in main),
        restarts=sum(entry.get("restartCount") or 0 for entry in main),
        problem=problem,
        hopeless=hopeless,
        waiting=any(map(_has_not_started, main)),
        unscheduled=any(
            one.get("type") == "PodScheduled" and one.get("status") == "False" for one in status.get("conditions") or []
        ),
    )


class Cluster:
    """Reads, and writes with write() alone."""

    def __init__(self, kubeconfig: str | None, context: str | None = None) -> None:
        if IMPORT_ERROR is not None:
            raise Never(f"the Python library kubernetes is missing: {IMPORT_ERROR}")
        try:
            self._api = config.new_client_from_config(config_file=kubeconfig or None, context=context or None)
        except (config.ConfigException, OSError, ValueError) as exc:
            raise Never(f"the kubeconfig {kubeconfig or 'of this user'} cannot be used: {exc}") from exc

    def get(self, path: str, query: t.Mapping[str, str] | None = None) -> str:
        """The text behind a path of the API server."""
        return self._call("GET", path, query)

    def write(self, method: str, path: str, body: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """POST or PUT an object; what the server made of it. One that was written since it was read is a Conflict."""
        try:
            return json.loads(self._call(method, path, body=body))
        except ValueError as exc:
            raise NotYet(f"{path}: not JSON: {exc}") from exc

    def _call(
        self,
        method: str,
        path: str,
        query: t.Mapping[str, str] | None = None,
        body: t.Mapping[str, t.Any] | None = None,
    ) -> str:
        sent = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = self._api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, text/plain, */*", **sent},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=10,
            )
            return bytes(response.data).decode("utf-8")
        except ApiException as exc:
            words = f"{path}: {exc.status} {exc.reason}"
            # A body that is refused will be refused again.
            if exc.status in (401, 403) or (body is not None and exc.status in (400, 404, 413, 422)):
                raise Never(words) from exc
            if exc.status == 409:
                raise Conflict(words) from exc
            refused = NotYet(words)
            refused.body = (
                bytes(exc.body or b"").decode("utf-8", "replace") if not isinstance(exc.body, str) else exc.body
            )
            raise refused from exc
        except (urllib3.exceptions.HTTPError, OSError, UnicodeDecodeError) as exc:
            raise NotYet(f"{path}: {exc}") from exc

    def items(self, path: str, query: t.Mapping[str, str] | None = None) -> list[dict[str, t.Any]]:
        """The objects of a list."""
        try:
            return json.loads(self.get(path, query)).get("items") or []
        except ValueError as exc:
            raise NotYet(f"{path}: not JSON: {exc}") from exc

    def everywhere(self, kind: str) -> list[dict[str, t.Any]]:
        """Pods, persistentvolumeclaims, persistentvolumes of every namespace, as the API server has them."""
        return self.items(f"/api/v1/{kind}")

    def sets(self, namespace: str) -> list[dict[str, t.Any]]:
        """The StatefulSets of a namespace."""
        return self.items(f"/apis/apps/v1/namespaces/{namespace}/statefulsets")

    def pods(self, namespace: str, selector: str = "") -> list[Pod]:
        query = {"labelSelector": selector} if selector else {}
        return [describe(item) for item in self.items(f"/api/v1/namespaces/{namespace}/pods", query)]

    def pod(self, namespace: str, name: str) -> Pod | None:
        return next((pod for pod in self.pods(namespace) if pod.name == name), None)

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> str:
        """What a pod answers, asked through the API server."""
        return self.get(f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}")

    def metrics(self, namespace: str, pod: str, port: int) -> str:
        return self.proxy(namespace, pod, port, "/metrics")

    def nodes(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.items("/api/v1/nodes")]

    def running(self, node: str) -> list[tuple[str, str, str]]:
        """(namespace, name, uid) of the pods whose containers the node's own runtime knows as running."""
        return [
            (item["metadata"].get("namespace", ""), item["metadata"]["name"], item["metadata"].get("uid", ""))
            for item in self.items(f"/api/v1/nodes/{node}/proxy/runningpods/")
        ]
