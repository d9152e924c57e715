# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The little of the Kubernetes API that proofs are made of, with errors that tell "not yet" from "never"."""

from __future__ import annotations

import json
import typing as t

try:
    import urllib3
    from kubernetes import config
    from kubernetes.client.rest import ApiException

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
_STUCK_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


class NotYet(Exception):
    """Cannot be read now; may work later."""


class Never(Exception):
    """Will not get better by waiting."""


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


def _containers(status: t.Mapping[str, t.Any], kind: str) -> list[dict[str, t.Any]]:
    return status.get(kind) or []


def _problem(status: t.Mapping[str, t.Any]) -> tuple[str, bool]:
    """What keeps the pod from running, in words, and whether waiting is pointless."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for entry in _containers(status, kind):
            state, last = entry.get("state") or {}, entry.get("lastState") or {}
            for holder in (state, last):
                ended = holder.get("terminated") or {}
                message = (ended.get("message") or "").strip()
                # The guard runs again in Prysm's own container; one that runs now has the refusal behind it.
                again = kind == "initContainerStatuses" or "running" not in state
                if again and "guard: REFUSED" in message and not entry.get("ready"):
                    return message[message.index("REFUSED") :].splitlines()[0], True
            waiting = state.get("waiting") or {}
            reason = waiting.get("reason") or ""
            if reason in _STUCK_IMAGE:
                return f"{reason}: {waiting.get('message') or entry.get('image')}", reason == "InvalidImageName"
            if reason == "CrashLoopBackOff" and last.get("terminated"):
                ended = last.get("terminated") or {}
                words = (ended.get("message") or "").strip().splitlines()
                return (
                    f"{entry.get('name')} keeps ending (exit code {ended.get('exitCode')}): {' '.join(words[-2:])}",
                    False,
                )
            if reason and reason not in _STARTING:
                return f"{entry.get('name')}: {reason}: {waiting.get('message') or 'no message'}", False
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"not scheduled: {condition.get('message')}", False
    for entry in _containers(status, "initContainerStatuses"):
        if "running" in (entry.get("state") or {}):
            return f"waiting in the init container {entry.get('name')}; its log says for what", False
    for entry in _containers(status, "containerStatuses"):
        if "running" in (entry.get("state") or {}) and not (entry.get("started") or entry.get("ready")):
            return f"waiting or starting in the container {entry.get('name')}; its log says for what", False
    return "", False


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
    )


class Cluster:
    """Reads. Never writes."""

    def __init__(self, kubeconfig: str | None, context: str | None = None) -> None:
        if IMPORT_ERROR is not None:
            raise Never(f"the Python library kubernetes is missing: {IMPORT_ERROR}")
        try:
            self._api = config.new_client_from_config(config_file=kubeconfig or None, context=context or None)
        except (config.ConfigException, OSError, ValueError) as exc:
            raise Never(f"the kubeconfig {kubeconfig or 'of this user'} cannot be used: {exc}") from exc

    def get(self, path: str, query: t.Mapping[str, str] | None = None) -> str:
        """The text behind a path of the API server."""
        try:
            response = self._api.call_api(
                path,
                "GET",
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, text/plain, */*"},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=10,
            )
            return bytes(response.data).decode("utf-8")
        except ApiException as exc:
            words = f"{path}: {exc.status} {exc.reason}"
            if exc.status in (401, 403):
                raise Never(words) from exc
            raise NotYet(words) from exc
        except (urllib3.exceptions.HTTPError, OSError, UnicodeDecodeError) as exc:
            raise NotYet(f"{path}: {exc}") from exc

    def items(self, path: str, query: t.Mapping[str, str] | None = None) -> list[dict[str, t.Any]]:
        """The objects of a list."""
        try:
            return json.loads(self.get(path, query)).get("items") or []
        except ValueError as exc:
            raise NotYet(f"{path}: not JSON: {exc}") from exc

    def pods(self, namespace: str, selector: str = "") -> list[Pod]:
        query = {"labelSelector": selector} if selector else {}
        return [describe(item) for item in self.items(f"/api/v1/namespaces/{namespace}/pods", query)]

    def pod(self, namespace: str, name: str) -> Pod | None:
        return next((pod for pod in self.pods(namespace) if pod.name == name), None)

    def metrics(self, namespace: str, pod: str, port: int) -> str:
        return self.get(f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics")

    def nodes(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.items("/api/v1/nodes")]

    def running(self, node: str) -> list[tuple[str, str, str]]:
        """(namespace, name, uid) of the pods whose containers the node's own runtime knows as running."""
        return [
            (item["metadata"].get("namespace", ""), item["metadata"]["name"], item["metadata"].get("uid", ""))
            for item in self.items(f"/api/v1/nodes/{node}/proxy/runningpods/")
        ]
