# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Which workloads of a cluster can sign, and on whose disk their wallets and databases lie.

Everything is read from the API server's own objects (their JSON), in every namespace: a second signer is not where one
would look for it. A workload counts by what it runs (`_clients`) and by what it can read: an image under another name
that has a wallet mounted is a signer.
"""

from __future__ import annotations

import posixpath
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._release import clients, unpack
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _clients, _command_lines

Json = t.Mapping[str, t.Any]

#: Kinds that start pods, with the path of their pod template.
TEMPLATES = {
    "StatefulSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
#: Lists of a pod's containers, with those of their states.
CONTAINERS = {
    "containers": "containerStatuses",
    "initContainers": "initContainerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}
_DEFAULT_PORT = 8081
#: Names of wallets that say nothing without the directory above.
_PLAIN_NAMES = ("wallet", "wallets", "direct", "keys", "validator", "prysm", "data")
#: Host paths that agents of every node mount: they show everything, which makes no signer of them.
_COMMON = ("/", "/var", "/var/lib")


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
    #: Where a pod of Prysm serves its metrics; None when it does not, or is no such pod.
    port: int | None
    #: Whether a pod's container has been started.
    runs: bool
    #: The program; empty when it counts only for what it can read.
    program: str = ""
    #: Why it counts.
    why: str = ""
    #: NAMESPACE/NAME of what to name it by.
    entry: str = ""
    #: Whether its container runs and has not started: the guard has the program's place, and waits there for a lock.
    waits: bool = False


class Place(t.NamedTuple):
    """A wallet or data directory of the site, on the storage host."""

    path: str
    client: str
    wallet: bool


def no_config_map(_namespace: str, _name: str) -> t.Mapping[str, str] | None:
    """Knows of none."""
    return None


class Claim(t.NamedTuple):
    """A claim that is a directory of a client of the site."""

    client: str
    #: The directory, as the storage host sees it; None when no machine sees it.
    path: str | None

    def words(self, namespace: str, name: str) -> str:
        return f"the claim {namespace}/{name} of {self.client}"


class Storage(t.NamedTuple):
    """What is needed to say whose disk a volume is, and what lies there."""

    #: Names and addresses of the machine that serves the site's data.
    hosts: frozenset[str]
    #: (namespace, claim) -> name of the volume; name -> the volume's spec.
    claims: dict[tuple[str, str], str]
    volumes: dict[str, Json]
    #: Wallets and data directories of the site, and the directory they lie in.
    places: tuple[Place, ...] = ()
    root: str | None = None
    #: (namespace, kind, name) of a listed object -> (kind, name) of what manages it.
    owners: t.Mapping[tuple[str, str, str], tuple[str, str] | None] = {}
    #: The data of a config map; None when there is none.
    config_map: t.Callable[[str, str], t.Mapping[str, str] | None] = no_config_map
    #: The text of a Secret, by key; None when there is none.
    secret: t.Callable[[str, str], t.Mapping[str, str] | None] = no_config_map
    #: (namespace, claim) -> whose directory it is, where the site's storage is claims.
    own: t.Mapping[tuple[str, str], Claim] = {}


def _host(name: str) -> str:
    return name.strip().strip("[]").rstrip(".").lower()


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def storage(
    hosts: t.Iterable[str],
    claims: t.Iterable[Json],
    volumes: t.Iterable[Json],
    wallets: t.Mapping[str, str] | None = None,
    data_dirs: t.Mapping[str, str] | None = None,
    root: str | None = None,
    owned: t.Iterable[tuple[str, Json]] = (),
    config_map: t.Callable[[str, str], t.Mapping[str, str] | None] = no_config_map,
    secret: t.Callable[[str, str], t.Mapping[str, str] | None] = no_config_map,
    own: t.Mapping[tuple[str, str], Claim] | None = None,
) -> Storage:
    """From the API server's lists. owned: objects that may be managed by others, each with its kind."""
    specs = {item["metadata"]["name"]: item.get("spec") or {} for item in volumes}
    bound = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): (item.get("spec") or {}).get("volumeName") or ""
        for item in claims
    }
    for name, spec in specs.items():
        # A volume kept for a claim that does not name it yet.
        kept = spec.get("claimRef") or {}
        key = (kept.get("namespace") or "", kept.get("name") or "")
        if not bound.get(key):
            bound[key] = name
    owners = {
        (item["metadata"]["namespace"], kind, item["metadata"]["name"]): _manager(item["metadata"])
        for kind, item in owned
    }
    places = [Place(_normal(path), client, True) for client, path in (wallets or {}).items()]
    places += [Place(_normal(path), client, False) for client, path in (data_dirs or {}).items()]
    return Storage(
        frozenset(map(_host, hosts)),
        bound,
        specs,
        tuple(places),
        _normal(root) if root else None,
        owners,
        config_map,
        secret,
        own or {},
    )


def _manager(meta: Json) -> tuple[str, str] | None:
    references = meta.get("ownerReferences") or []
    found = next((one for one in references if one.get("controller")), references[0] if references else None)
    return (found["kind"], found["name"]) if found else None


def owner(kind: str, meta: Json, known: Storage) -> tuple[str, str]:
    """(kind, name) of what is behind an object: a cron job behind its pod."""
    found = (kind, str(meta["name"]))
    manager = _manager(meta)
    for _unused in range(8):
        if manager is None:
            break
        found = manager
        key = (meta["namespace"], *found)
        if key not in known.owners and found[0] == "ReplicaSet":
            # Gone, or not listed: a deployment's replica sets carry its name and a suffix.
            return "Deployment", found[1].rsplit("-", 1)[0]
        manager = known.owners.get(key)
    return found


# -- volumes ----------------------------------------------------------------------------------------------------------


#: SERVER:/PATH, //SERVER/PATH, nfs://SERVER/PATH
_SHARE = re.compile(r"(?:[a-z0-9]+:)?(?://)?(\[[0-9A-Fa-f:]+\]|[^/:\s]+)(?::\d+)?:?(/\S*)$")


class _Source(t.NamedTuple):
    """A volume: a path of an NFS server, a path of a node, or neither."""

    server: str | None
    path: str | None
    words: str


def _claim(namespace: str, name: str, node: str, known: Storage) -> _Source:
    own = known.own.get((namespace, name))
    if own is not None:
        server = min(known.hosts, default=None) if own.path is not None else None
        return _Source(server, own.path, own.words(namespace, name))
    volume = known.claims.get((namespace, name), "")
    if volume not in known.volumes:
        return _Source(None, None, f"the claim {namespace}/{name}, which is bound to nothing")
    return _source(known.volumes[volume], namespace, node, known, f"the volume {volume}")


def _source(source: Json, namespace: str, node: str, known: Storage, words: str = "") -> _Source:
    words = words or f"the volume {source.get('name')}"
    claim = source.get("persistentVolumeClaim")
    if claim:
        return _claim(namespace, claim["claimName"], node, known)
    if source.get("nfs"):
        server, path = source["nfs"]["server"], source["nfs"]["path"]
        return _Source(server, path, f"{server}:{path}")
    attributes = (source.get("csi") or {}).get("volumeAttributes") or {}
    server, share = attributes.get("server"), attributes.get("share") or attributes.get("path")
    if server and share:
        path = posixpath.join(share, (attributes.get("subDir") or attributes.get("subdir") or "").lstrip("/"))
        return _Source(server, path, f"{server}:{path}")
    # Drivers of other makers name server and path in one word, each in an option of its own.
    options = {**attributes, **((source.get("flexVolume") or {}).get("options") or {})}
    for text in options.values():
        shared = _SHARE.match(str(text))
        if shared and _host(shared.group(1)) in known.hosts:
            return _Source(shared.group(1), shared.group(2), f"{shared.group(1)}:{shared.group(2)}")
    for kind in ("hostPath", "local"):
        if source.get(kind):
            path = source[kind]["path"]
            return _Source(None, path, f"{path} on {node or 'the disk of a node'}")
    return _Source(None, None, words)


class _Pod(t.NamedTuple):
    """A pod, or the template of one, with what its containers are read with."""

    kind: str
    meta: Json
    spec: Json
    namespace: str
    known: Storage

    @property
    def node(self) -> str:
        return self.spec.get("nodeName") or ""

    def volume(self, name: str) -> tuple[Json, list[_Source]]:
        """A volume by its name, and what is behind it: one place, or one for each pod of a stateful set."""
        found: Json = next((item for item in self.spec.get("volumes") or [] if item.get("name") == name), {})
        if found.get("ephemeral") and self.kind == "Pod":
            return found, [_claim(self.namespace, f"{self.meta['name']}-{name}", self.node, self.known)]
        if found:
            return found, [_source(found, self.namespace, self.node, self.known)]
        # What a stateful set makes for each of its pods.
        pattern = re.compile(rf"{re.escape(name)}-{re.escape(self.meta['name'])}-\d+$")
        claims = sorted(claim for space, claim in self.known.claims if space == self.namespace and pattern.match(claim))
        if self.kind != "StatefulSet" or not claims:
            return found, [_Source(None, None, f"the volume {name}")]
        return found, [_claim(self.namespace, claim, self.node, self.known) for claim in claims]

    def environment(self, container: Json) -> dict[str, str]:
        """Variables whose values are known."""
        env: dict[str, str] = {}
        for item in container.get("envFrom") or []:
            data = self.known.config_map(self.namespace, (item.get("configMapRef") or {}).get("name") or "")
            env.update({(item.get("prefix") or "") + name: value or "" for name, value in (data or {}).items()})
        for item in container.get("env") or []:
            source = item.get("valueFrom") or {}
            env.pop(item["name"], None)
            if not source:
                env[item["name"]] = _command_lines.expand(item.get("value") or "", env)
            elif source.get("configMapKeyRef"):
                wanted = source["configMapKeyRef"]
                data = self.known.config_map(self.namespace, wanted.get("name") or "") or {}
                if wanted.get("key") in data:
                    env[item["name"]] = data[wanted["key"]] or ""
            else:
                field = (source.get("fieldRef") or {}).get("fieldPath") or ""
                fields = {"metadata.namespace": self.namespace}
                if self.kind == "Pod":
                    fields.update({"metadata.name": self.meta["name"], "spec.nodeName": self.node})
                if fields.get(field):
                    env[item["name"]] = fields[field]
        return env

    def read(self, container: Json, path: str) -> str | None:
        """The text of a file of a container; None when it cannot be looked into."""
        mount = _mount(container, _normal(path))
        if mount is None:
            return None
        volume, _unused = self.volume(mount["name"])
        rest = posixpath.relpath(_normal(path), _normal(mount["mountPath"]))
        rest = posixpath.normpath(posixpath.join(mount.get("subPath") or "", rest))
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            for shown, data in self._texts(source):
                if shown == rest:
                    return data
        return self._written(mount["name"], rest)

    def _texts(self, source: Json) -> t.Iterator[tuple[str, str]]:
        """What a config map or Secret shows in a volume: paths, and texts."""
        for kind, data_of in (("configMap", self.known.config_map), ("secret", self.known.secret)):
            wanted = source.get(kind)
            if not wanted:
                continue
            data = data_of(self.namespace, wanted.get("name") or wanted.get("secretName") or "") or {}
            if wanted.get("items"):
                items = ((item.get("path") or "", item.get("key")) for item in wanted["items"])
                yield from ((path, data[key]) for path, key in items if key in data)
            else:
                yield from data.items()

    def texts(self, container: Json) -> t.Iterator[tuple[str, str]]:
        """Every file of config maps and Secrets that a container can read: its name, and its text."""
        for mount in container.get("volumeMounts") or []:
            volume, _unused = self.volume(mount["name"])
            for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
                yield from ((posixpath.basename(path), text) for path, text in self._texts(source))

    def _written(self, volume: str, path: str) -> str | None:
        """What the pod's own scripts write anew into a file of a volume, word for word; None when they do not."""
        text: list[str] | None = None
        for container in _containers(self.spec):
            for word in [*(container.get("command") or []), *(container.get("args") or [])]:
                for command in _command_lines.commands(str(word), {}) if ">" in str(word) else ():
                    target = command[-1]
                    mount = _mount(container, _normal(target)) if target.startswith("/") else None
                    if len(command) < 3 or mount is None or mount["name"] != volume:
                        continue
                    rest = posixpath.relpath(_normal(target), _normal(mount["mountPath"]))
                    if posixpath.normpath(posixpath.join(mount.get("subPath") or "", rest)) != path:
                        continue
                    if command[0] not in ("echo", "printf") or command[-2] not in (">", ">>"):
                        return None
                    text = [] if command[-2] == ">" else text
                    if text is None:
                        return None
                    text.append(" ".join(command[1:-2]))
        return None if text is None else "\n".join(text)


def _mount(container: Json, directory: str) -> Json | None:
    """The mount through which a container sees a directory."""
    mounts = [
        mount
        for mount in container.get("volumeMounts") or []
        if (directory + "/").replace("//", "/").startswith((_normal(mount["mountPath"]) + "/").replace("//", "/"))
    ]
    return max(mounts, key=lambda item: len(_normal(item["mountPath"])), default=None)


def _below(mount: Json, env: t.Mapping[str, str]) -> str | None:
    """What a mount shows of its volume; None when that is not known before it is mounted."""
    if mount.get("subPathExpr"):
        path = _command_lines.expand(mount["subPathExpr"], env)
        return None if "$(" in path else path
    return mount.get("subPath") or ""


def _disks(pod: _Pod, container: Json, directory: str, env: t.Mapping[str, str]) -> list[Disk]:
    """Where a directory of a container really lies; more than one when its pods each have their own."""
    if not directory.startswith(("/", "$")) and container.get("workingDir"):
        directory = posixpath.join(container["workingDir"], directory)
    if "$" in directory or not directory.startswith("/"):
        return [Disk(None, f"{directory}, which is known only inside its container")]
    directory = _normal(directory)
    mount = _mount(container, directory)
    if mount is None:
        return [Disk(None, f"{directory} inside its container")]
    rest = posixpath.relpath(directory, _normal(mount["mountPath"]))
    below = _below(mount, env)
    found = []
    for source in pod.volume(mount["name"])[1]:
        if source.path is None or source.server is None or _host(source.server) not in pod.known.hosts:
            found.append(Disk(None, source.words))
        elif below is None:
            found.append(Disk(None, f"{source.words}, below it {mount['subPathExpr']}, which is not known"))
        elif mount.get("mountPropagation") not in (None, "None") and rest != ".":
            found.append(Disk(None, f"{source.words}, over which something else may be mounted"))
        else:
            found.append(Disk(_normal(posixpath.join(source.path, below.lstrip("/"), rest)), source.words))
    return found


# -- what a pod can read ----------------------------------------------------------------------------------------------


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith(other.rstrip("/") + "/")


def _readable(pod: _Pod) -> list[tuple[Place, Disk]]:
    """Wallets and databases of the site that lie in, are, or hold what a pod mounts."""
    known = pod.known
    found: dict[tuple[str, bool], tuple[Place, Disk]] = {}
    for container in _containers(pod.spec):
        env = pod.environment(container)
        for mount in container.get("volumeMounts") or []:
            for source in pod.volume(mount["name"])[1]:
                if source.path is None:
                    continue
                below = _below(mount, env)
                # A part that is not known yet may be any.
                path = _normal(posixpath.join(source.path, (below or "").lstrip("/")))
                ours = source.server is not None and _host(source.server) in known.hosts
                for place in _covered(path, source.server is None, known):
                    disk = Disk(place.path if ours and place.path != known.root else None, source.words)
                    found.setdefault((place.path, place.wallet), (place, disk))
    return list(found.values())


def _same_tail(path: str, place: str) -> bool:
    """Whether a path goes through a directory called as a wallet is; and one called as what it lies in, if need be."""
    words, wanted = path.strip("/").split("/"), place.strip("/").split("/")
    if wanted[-1] in _PLAIN_NAMES:
        return any(words[i : i + 2] == wanted[-2:] for i in range(len(words)))
    return wanted[-1] in words


def _covered(path: str, on_node: bool, known: Storage) -> list[Place]:
    if on_node and path in _COMMON:
        return []
    found = [place for place in known.places if _within(path, place.path) or _within(place.path, path)]
    # A wallet by another way: a server's root above it (fsid=0), a bind mount, a node's own mount of the server.
    found = found or [place for place in known.places if place.wallet and _same_tail(path, place.path)]
    if not found and known.root and _within(known.root, path):
        found = [Place(known.root, "", True)]
    elif not found and known.root and _within(path, known.root) and path != known.root:
        # A wallet that no entry names any more.
        first = path[len(known.root) :].lstrip("/").split("/")[0]
        found = [Place(posixpath.join(known.root, first), "", True)] if "wallet" in first.lower() else []
    return found


_KEY_SECRET = re.compile(
    r"wallet[-_.]?pass|(^|[-_.])(validators?|vc|voting|signing|bls|eth2?|eth2-?validators?|staking|stakers?|prysm|lighthouse|teku"
    r"|nimbus|lodestar|grandine|web3signer|dirk|vouch|charon|obol|ssv)[-_.]?\d*[-_.]?"
    r"(keystore|key|secret|account|wallet|mnemonic|password|(enr-)?private-key)s?($|[-_.])"
    r"|(^|[-_.])keystores?($|[-_.])|(^|[-_.])validators($)|(^|[-_.])wallet[-_.]direct($|[-_.])"
)
_KEY_ITEM = re.compile(
    r"(^|/)(keystore[^/]*|[^/]*\.keystore|voting-keystore|all-accounts\.keystore)\.json$"
    r"|(^|/)(0x)?[0-9a-f]{96}(\.(json|ya?ml|txt))?$"
)
_KEY_TEXT = (
    re.compile(r"[\"']crypto[\"']?\s*:.*[\"'](kdf|checksum|cipher)[\"']?\s*:", re.S),
    re.compile(r"\btype[\"']?\s*:\s*[\"']?(file-raw|file-keystore)\b"),
    re.compile(r"\bprivateKey[\"']?\s*:\s*[\"']?(0x)?[0-9a-fA-F]{64}\b"),
)
#: Keystores of Java, and of what is written in it.
_NO_KEYS = re.compile(
    r"jks|p12|pkcs|tls|trust|kafka|elastic|opensearch|logstash|kibana|java|tomcat|keycloak|jetty|ssl|jwt|android|oauth"
    r"|oidc|cosign|cookie|session|ssh|gpg"
)


def _is_key_secret(name: str, items: t.Iterable[str]) -> bool:
    listed = [item.lower() for item in items]
    if any(_KEY_ITEM.search(item) for item in listed):
        return True
    return bool(_KEY_SECRET.search(name.lower())) and not any(_NO_KEYS.search(word) for word in (name.lower(), *listed))


def _holds_keys(data: t.Mapping[str, str] | None, wanted: str = "") -> bool:
    """Whether what a Secret or config map says is a keystore, or a signer's list of them."""
    return any(
        _KEY_ITEM.search(name.lower()) or any(pattern.search(text) for pattern in _KEY_TEXT)
        for name, text in (data or {}).items()
        if wanted in ("", name)
    )


def _is_key_source(pod: _Pod, name: str, items: t.Sequence[str], wanted: str = "") -> bool:
    """Whether a Secret holds keys, or what opens them: by what it says, or by its name."""
    return bool(name) and (_is_key_secret(name, items) or _holds_keys(pod.known.secret(pod.namespace, name), wanted))


def _key_sources(pod: _Pod) -> list[str]:
    """Secrets and config maps that hold keys, or what opens them."""
    found: dict[str, None] = {}
    mounted = {mount["name"] for one in _containers(pod.spec) for mount in one.get("volumeMounts") or []}
    for volume in pod.spec.get("volumes") or []:
        if volume.get("name") not in mounted:
            continue
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            secret = source.get("secret") or {}
            name = secret.get("secretName") or secret.get("name") or ""
            items = [word for item in secret.get("items") or [] for word in (item.get("key", ""), item.get("path", ""))]
            if _is_key_source(pod, name, items):
                found[f"the Secret {pod.namespace}/{name}"] = None
            name = (source.get("configMap") or {}).get("name") or ""
            data = (pod.known.config_map(pod.namespace, name) if name else None) or {}
            if _holds_keys(data):
                found[f"the ConfigMap {pod.namespace}/{name}"] = None
        csi = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if _is_key_secret(csi.get("secretProviderClass") or "", ()):
            found[f"the secret provider {pod.namespace}/{csi['secretProviderClass']}"] = None
    for container in _containers(pod.spec):
        for item in container.get("env") or []:
            wanted = (item.get("valueFrom") or {}).get("secretKeyRef") or {}
            if _is_key_source(pod, wanted.get("name") or "", [wanted.get("key") or ""], wanted.get("key") or ""):
                found[f"the Secret {pod.namespace}/{wanted['name']}"] = None
        for item in container.get("envFrom") or []:
            name = (item.get("secretRef") or {}).get("name") or ""
            if _is_key_source(pod, name, ()):
                found[f"the Secret {pod.namespace}/{name}"] = None
    return list(found)


# -- who signs --------------------------------------------------------------------------------------------------------


def _containers(spec: Json) -> list[Json]:
    return [container for kind in CONTAINERS for container in spec.get(kind) or []]


def judge(container: Json, pod: _Pod | None = None) -> _clients.Verdict | None:
    """Whether a container may sign, by its image, its program, its arguments and variables."""
    pod = pod or _Pod("Pod", {"name": ""}, {}, "", storage([], [], []))
    env = pod.environment(container)
    names = [*env, *(item["name"] for item in container.get("env") or [])]

    def words(kind: str) -> list[str]:
        return [_command_lines.expand(str(word), env) for word in container.get(kind) or []]

    around = _clients.Surroundings(env, names, lambda path: pod.read(container, path))
    given = (str(container.get("image") or ""), words("command"), words("args"), around)
    found = _command_lines.container(*given)
    for told in _hooks(container) if found is None else ():
        found = found or _command_lines.hook([_command_lines.expand(word, env) for word in told], around)
    if found is None and not _command_lines.is_decided(*given):
        scripts = (_command_lines.script(name, text, around) for name, text in pod.texts(container))
        found = next((verdict for verdict in scripts if verdict is not None), None)
    return found


def _hooks(container: Json) -> t.Iterator[list[str]]:
    """Commands that a container runs beside its own."""
    hooks = list((container.get("lifecycle") or {}).values())
    hooks += [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
    for one in hooks:
        command = ((one or {}).get("exec") or {}).get("command")
        if command:
            yield [str(word) for word in command]


def signs(container: Json) -> bool:
    """Whether a container, seen alone, may sign."""
    return judge(container) is not None


def _port(words: t.Sequence[str]) -> int | None:
    found = _clients.flags(words)
    if any(name in found for name in ("disablemonitoring", "disableaccountmetrics")):
        return None
    ports = _clients.values(words, "monitoring-port")
    return int(ports[-1]) if ports and ports[-1].isdigit() else _DEFAULT_PORT


def _homes(pod: _Pod, container: Json, verdict: _clients.Verdict) -> list[tuple[Disk, Disk]]:
    """Wallet and database of a client; more than one when it is told more than one, or has pods of their own."""
    if verdict.client.name != _clients.PRYSM.name:
        mounts = sorted(
            {words.words for mount in container.get("volumeMounts") or [] for words in pod.volume(mount["name"])[1]}
        )
        where = Disk(None, "in a form of its own, on " + (", ".join(mounts) or "no volume"))
        return [(where, where)]
    env = pod.environment(container)
    home = env.get("HOME", "/root")
    config = _clients.values(verdict.words, "config-file")

    def disks(name: str, default: str) -> list[Disk]:
        told = list(dict.fromkeys(reversed(_clients.values(verdict.words, name))))
        if not told and config:
            text = pod.read(container, config[-1])
            if text is None:
                return [Disk(None, f"named in {config[-1]}, which cannot be looked into")]
            told = re.findall(rf"(?m)^\s*[\"']?{name}[\"']?\s*[:=]\s*[\"']?([^\"'\s,]+)", text)
        found = [disk for one in told or [default] for disk in _disks(pod, container, one, env)]
        return list(dict.fromkeys(found))

    wallets = disks("wallet-dir", posixpath.join(home, ".eth2validators/prysm-wallet-v2"))
    data = disks("datadir", posixpath.join(home, ".eth2"))
    return [
        (wallets[min(i, len(wallets) - 1)], data[min(i, len(data) - 1)]) for i in range(max(len(wallets), len(data)))
    ]


def _finished(kind: str, item: Json) -> bool:
    status = item.get("status") or {}
    if kind == "Pod":
        return status.get("phase") in ("Succeeded", "Failed")
    return kind == "Job" and any(
        one.get("type") in ("Complete", "Failed") and one.get("status") == "True"
        for one in status.get("conditions") or []
    )


def signers(kind: str, item: Json, namespace: str, known: Storage) -> list[Signer]:
    """What can sign in one object. Only stateful sets of the site's namespace are clients of the site, by their names.

    Everything else is called NAMESPACE/NAME: a deployment that has the name of a client is another signer.
    """
    if _finished(kind, item):
        return []
    pod = _pod(kind, item, known)
    base = _base(pod, namespace)
    found = [
        signer
        for group, states in CONTAINERS.items()
        for container in pod.spec.get(group) or []
        for signer in _of_container(pod, container, base, _started(kind, item, states), _waiting(kind, item, states))
    ]
    found += _readers(pod, base, found)
    if not found:
        found = [base._replace(wallet=Disk(None, source), why=f"it can read {source}") for source in _key_sources(pod)]
    return list(dict.fromkeys(found))


def _pod(kind: str, item: Json, known: Storage) -> _Pod:
    """An object's pod, or the template of its pods."""
    template: t.Any = item
    for step in TEMPLATES.get(kind, ()):
        template = template.get(step) or {}
    meta = item["metadata"]
    return _Pod(kind, meta, template.get("spec") or {}, meta["namespace"], known)


def _base(pod: _Pod, namespace: str) -> Signer:
    """What is said of every signer in a pod: what it is called, and which object it is."""
    top, name = owner(pod.kind, pod.meta, pod.known)
    entry = f"{pod.namespace}/{name}"
    return Signer(
        client=name if pod.namespace == namespace and top == "StatefulSet" else entry,
        kind=pod.kind,
        namespace=pod.namespace,
        name=pod.meta["name"],
        wallet=Disk(None, ""),
        data=Disk(None, ""),
        port=None,
        runs=False,
        entry=entry,
    )


def _readers(pod: _Pod, base: Signer, signing: t.Sequence[Signer]) -> list[Signer]:
    """What a pod counts for beside its signing containers: wallets and databases of the site that it can read."""
    known_paths = {path for signer in signing for path in (signer.wallet.path, signer.data.path)}
    innocent = not signing and _only_known(pod)
    nowhere = Disk(None, "none")
    found: list[Signer] = []
    for place, disk in _readable(pod):
        if disk.path in known_paths or (innocent and not place.wallet):
            continue
        if (signing or found) and place.client == base.client and disk.path is not None:
            # Its own: a guard, or what stands beside the client in its pod.
            continue
        found.append(
            base._replace(
                wallet=disk if place.wallet else nowhere,
                data=nowhere if place.wallet else disk,
                why=f"it can read the {'wallet' if place.wallet else 'database'} {place.path}",
            )
        )
    return found


def _started(kind: str, item: Json, states: str) -> frozenset[str]:
    return frozenset(
        entry.get("name") or ""
        for entry in ((item.get("status") or {}).get(states) or [] if kind == "Pod" else [])
        if "running" in (entry.get("state") or {})
    )


def _waiting(kind: str, item: Json, states: str) -> frozenset[str]:
    return frozenset(
        entry.get("name") or ""
        for entry in ((item.get("status") or {}).get(states) or [] if kind == "Pod" else [])
        if "running" in (entry.get("state") or {}) and entry.get("started") is False and not entry.get("ready")
    )


def _of_container(
    pod: _Pod, container: Json, base: Signer, started: frozenset[str], waiting: frozenset[str]
) -> list[Signer]:
    verdict = judge(container, pod)
    if verdict is None:
        return []
    metrics = pod.kind == "Pod" and verdict.client.name == _clients.PRYSM.name
    return [
        base._replace(
            wallet=wallet,
            data=data,
            port=_port(verdict.words) if metrics else None,
            runs=container.get("name") in started,
            waits=container.get("name") in waiting,
            program=verdict.client.name,
            why=verdict.why,
        )
        for wallet, data in _homes(pod, container, verdict)
    ]


def _only_known(pod: _Pod) -> bool:
    """Whether all of a pod's containers are clients that were told to do something else than sign."""
    containers = _containers(pod.spec)
    return bool(containers) and all(
        _clients.image_client(str(container.get("image") or "")) is not None and not container.get("command")
        for container in containers
    )


def released(secret: Json, namespace: str, known: Storage) -> list[Signer]:
    """The clients that the values of a Helm release of this collection's chart name; of other charts none."""
    meta = secret["metadata"]
    space, label = meta["namespace"], (meta.get("labels") or {}).get("name") or meta["name"]
    try:
        release = unpack((secret.get("data") or {})["release"])
        if release["chart"]["metadata"]["name"] != "eth2prysm":
            return []
        values = {**(release["chart"].get("values") or {}), **(release.get("config") or {})}
        server = (values.get("nfs") or {}).get("serverIp") or "an unnamed server"

        def disk(entry: Json, what: str) -> Disk:
            claim = entry.get(what + "ExistingClaim")
            source = (
                _claim(space, claim, "", known)
                if claim
                else _Source(server, entry[what + "VolumePath"], f"{server}:{entry[what + 'VolumePath']}")
            )
            ours = source.path is not None and source.server is not None and _host(source.server) in known.hosts
            return Disk(_normal(source.path or "") if ours else None, source.words)

        return [
            Signer(
                client=name if space == namespace else f"{space}/{name}",
                kind="Helm release",
                namespace=space,
                name=label,
                wallet=disk(entry, "wallet"),
                data=disk(entry, "data"),
                port=None,
                runs=False,
                program=_clients.PRYSM.name,
                why="its values name it",
                entry=f"{space}/{name}",
            )
            for name, given in clients(values).items()
            for entry in ({**(values.get("validatorDefaults") or {}), **given},)
            if values.get("persistentVolumeType", "nfs") == "nfs"
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise StakingError(f"the Helm release {space}/{label} cannot be read: {type(exc).__name__}") from exc


def processes_using(machines: t.Mapping[str, t.Iterable[Json]], directories: t.Iterable[str]) -> list[str]:
    """Processes of machines that have something of these directories mounted or open: which, where, and why they count.

    machines are what signing_process_info found on each; it says PATH, or SERVER:PATH of what an NFS server has.
    """
    within = re.compile(f"(^|:)({'|'.join(map(re.escape, directories))})(/|$)")
    return [
        f"process {one['pid']} on {machine} ({one['reason']})"
        for machine, processes in machines.items()
        for one in processes
        if any(within.search(volume) for volume in one.get("volumes", ()))
    ]
