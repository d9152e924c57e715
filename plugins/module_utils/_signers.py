# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Which workloads of a cluster can sign, and on whose disk their wallets and databases lie.

Everything is read from the API server's own objects (their JSON), in every namespace: a second signer is not where one
would look for it.
"""

from __future__ import annotations

import posixpath
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils._release import unpack

Json = t.Mapping[str, t.Any]

#: Kinds that start pods, with the path of their pod template.
TEMPLATES = {
    "StatefulSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}

_IMAGES = ("validator", "prysm-validator", "web3signer")
_FLAGS = ("--wallet-dir", "--wallet-password-file", "--interop-num-validators", "--validators-external-signer")
#: How other clients are told to sign.
_WORDS = ("vc", "validator", "validator_client", "validator-client", "nimbus_validator_client")
#: With these, Prysm's validator does something else and ends.
_COMMANDS = (
    "accounts",
    "wallet",
    "slashing-protection",
    "slashing-protection-history",
    "db",
    "web",
    "generate-auth-token",
)
_DEFAULT_PORT = 8081


class Disk(t.NamedTuple):
    """Where a directory of a container really lies; path is None unless it is on the storage host."""

    path: str | None
    where: str


class Signer(t.NamedTuple):
    """A workload that can sign, or a pod of one."""

    client: str
    kind: str
    namespace: str
    name: str
    wallet: Disk
    data: Disk
    #: Where a pod serves its metrics; None when it does not, or is no pod.
    port: int | None
    #: Whether a pod's container has been started.
    runs: bool


class Storage(t.NamedTuple):
    """What is needed to say whose disk a volume is."""

    #: Names and addresses of the machine that serves the site's data.
    hosts: frozenset[str]
    #: (namespace, claim) -> name of the volume; name -> the volume's spec.
    claims: dict[tuple[str, str], str]
    volumes: dict[str, Json]


def storage(hosts: t.Iterable[str], claims: t.Iterable[Json], volumes: t.Iterable[Json]) -> Storage:
    """From the API server's lists."""
    return Storage(
        frozenset(hosts),
        {
            (item["metadata"]["namespace"], item["metadata"]["name"]): (item.get("spec") or {}).get("volumeName") or ""
            for item in claims
        },
        {item["metadata"]["name"]: item.get("spec") or {} for item in volumes},
    )


def _words(container: Json) -> list[str]:
    return [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]


def _flag(words: t.Sequence[str], name: str) -> str | None:
    """The value of --name=value or --name value."""
    for i, word in enumerate(words):
        if word == name and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(name + "="):
            return word[len(name) + 1 :]
    return None


def signs(container: Json) -> bool:
    """Whether a container may sign, by its image, its program or its arguments."""
    words = _words(container)
    if any(word in _COMMANDS for word in words):
        return False
    image = str(container.get("image") or "").partition("@")[0]
    return (
        image.rsplit("/", 1)[-1].partition(":")[0] in _IMAGES
        or any(word.startswith(_FLAGS) for word in words)
        or any(posixpath.basename(word) in _WORDS for word in words if not word.startswith("-"))
    )


def _volume(volume: Json, namespace: str, node: str, known: Storage) -> tuple[bool, str, str]:
    """(on the storage host, path, in words) of a pod's volume."""
    source: Json = volume
    claim = volume.get("persistentVolumeClaim")
    if claim:
        name = known.claims.get((namespace, claim["claimName"]), "")
        if name not in known.volumes:
            return False, "", f"the claim {namespace}/{claim['claimName']}, which is bound to nothing"
        source = known.volumes[name]
    if source.get("nfs"):
        server, path = source["nfs"]["server"], source["nfs"]["path"]
        return server in known.hosts, path, f"{server}:{path}"
    for kind in ("hostPath", "local"):
        if source.get(kind):
            return False, source[kind]["path"], f"{source[kind]['path']} on {node or 'the disk of a node'}"
    return False, "", f"the volume {volume.get('name')}"


def _disk(container: Json, spec: Json, directory: str, namespace: str, known: Storage) -> Disk:
    mounts = [
        mount
        for mount in container.get("volumeMounts") or []
        if (directory.rstrip("/") + "/").startswith(mount["mountPath"].rstrip("/") + "/")
    ]
    if not mounts:
        return Disk(None, f"{directory} inside its container")
    mount = max(mounts, key=lambda item: len(item["mountPath"]))
    volume: Json = next((item for item in spec.get("volumes") or [] if item.get("name") == mount["name"]), {})
    ours, path, words = _volume(volume, namespace, spec.get("nodeName") or "", known)
    rest = posixpath.relpath(directory, mount["mountPath"])
    if not ours:
        return Disk(None, words)
    full = posixpath.normpath(posixpath.join(path, mount.get("subPath") or "", rest))
    return Disk(full, words)


def _owner(item: Json) -> str:
    """The name of the workload that a pod or a replica set belongs to."""
    meta = item["metadata"]
    for owner in meta.get("ownerReferences") or []:
        name = str(owner["name"])
        # A deployment's replica sets and a cron job's jobs carry its name and a suffix.
        return name.rsplit("-", 1)[0] if owner["kind"] in ("ReplicaSet", "Job") else name
    return str(meta["name"])


def _port(words: t.Sequence[str]) -> int | None:
    if any(word.partition("=")[0] in ("--disable-monitoring", "--disable-account-metrics") for word in words):
        return None
    text = _flag(words, "--monitoring-port")
    return int(text) if text is not None and text.isdigit() else _DEFAULT_PORT


def signers(kind: str, item: Json, namespace: str, known: Storage) -> list[Signer]:
    """The signing containers of one object; clients of the site's namespace have their bare names."""
    meta = item["metadata"]
    status = item.get("status") or {}
    template: t.Any = item
    for step in TEMPLATES.get(kind, ()):
        template = template.get(step) or {}
    spec = template.get("spec") or {}
    if kind == "Pod" and status.get("phase") in ("Succeeded", "Failed"):
        return []
    space = meta["namespace"]
    name = _owner(item)
    started = {
        entry.get("name")
        for entry in status.get("containerStatuses") or []
        if kind == "Pod" and "running" in (entry.get("state") or {})
    }
    found = []
    for container in spec.get("containers") or []:
        if not signs(container):
            continue
        words = _words(container)
        wallet = _flag(words, "--wallet-dir") or "its default wallet directory"
        data = _flag(words, "--datadir") or "its default data directory"
        found.append(
            Signer(
                client=name if space == namespace else f"{space}/{name}",
                kind=kind,
                namespace=space,
                name=meta["name"],
                wallet=_disk(container, spec, wallet, space, known),
                data=_disk(container, spec, data, space, known),
                port=_port(words) if kind == "Pod" else None,
                runs=container.get("name") in started,
            )
        )
    return found


def released(secret: Json, namespace: str, known: Storage) -> list[Signer]:
    """The clients that the values of a Helm release of this collection's chart name; of other charts none."""
    meta = secret["metadata"]
    space, label = meta["namespace"], (meta.get("labels") or {}).get("name") or meta["name"]
    try:
        release = unpack((secret.get("data") or {})["release"])
        if release["chart"]["metadata"]["name"] != "eth2prysm":
            return []
        values = release.get("config") or {}
        server = (values.get("nfs") or {}).get("serverIp") or "an unnamed server"

        def disk(path: str) -> Disk:
            return Disk(path if server in known.hosts else None, f"{server}:{path}")

        return [
            Signer(
                client=name if space == namespace else f"{space}/{name}",
                kind="Helm release",
                namespace=space,
                name=label,
                wallet=disk(entry["walletVolumePath"]),
                data=disk(entry["dataVolumePath"]),
                port=None,
                runs=False,
            )
            for name, entry in (values.get("validators") or {}).items()
            if values.get("persistentVolumeType", "nfs") == "nfs"
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise StakingError(f"the Helm release {space}/{label} cannot be read: {type(exc).__name__}") from exc
