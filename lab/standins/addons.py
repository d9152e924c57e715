"""`microk8s enable` and `disable`: the core addons that a cluster without an internet can have."""

from __future__ import annotations

import contextlib
import fcntl
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import cluster, layout, node
from .cluster import Api, Unreachable
from .layout import DNS_IP, LOCKS
from .system import refuse, wait_for

COREDNS_IMAGE = "docker.io/coredns/coredns:1.14.3"
METRICS_IMAGE = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"


@dataclass(frozen=True)
class Addon:
    """One addon, as `microk8s status` lists it."""

    name: str
    description: str
    version: str
    enabled: Callable[[Api], bool]
    since: int = 20
    until: int = 99


def _object(path: str) -> Callable[[Api], bool]:
    return lambda api: api.exists(path)


def _pods(prefix: str, namespace: str = "kube-system") -> Callable[[Api], bool]:
    """Enabled means, as in `kubectl get all -A`, that such a pod is there, not that it runs."""

    def check(api: Api) -> bool:
        pods = api.get(f"/api/v1/namespaces/{namespace}/pods") or {"items": []}
        return any(pod["metadata"]["name"].startswith(prefix) for pod in pods["items"])

    return check


def _helm(_: Api) -> bool:
    return (layout.SNAP / "bin/helm").exists() or (layout.DATA / "bin/helm3").exists()


def _never(_: Api) -> bool:
    return False


def _ha(_: Api) -> bool:
    return layout.locked("ha-cluster")


_RBAC = "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin"
_ADDONS = (
    Addon("cert-manager", "Cloud native certificate management", "1.18.2", _never, 25),
    Addon("cis-hardening", "Apply CIS K8s hardening", "1.32.0", _never, 28),
    Addon("community", "The community addons repository", "", _never, 24),
    Addon("dashboard", "The Kubernetes dashboard", "2.7.0", _never, 20, 35),
    Addon("dns", "CoreDNS", "1.13.1", _pods("coredns")),
    Addon("gpu", "Alias to nvidia add-on", "25.10.0", _never),
    Addon("ha-cluster", "Configure high availability on the current node", "1.0.0", _ha),
    Addon("helm", "Helm - the package manager for Kubernetes", "3.20.2", _helm, 25),
    Addon("helm3", "Helm 3 - the package manager for Kubernetes", "3.20.2", _helm),
    Addon("host-access", "Allow Pods connecting to Host services smoothly", "1.0.0", _never),
    Addon("hostpath-storage", "Storage class; allocates storage from host directory", "1.5.0", _never, 24),
    Addon("ingress", "Ingress controller for external access", "39.0.7", _never),
    Addon("kube-ovn", "An advanced network fabric for Kubernetes", "1.10.0", _never, 25),
    Addon("mayastor", "OpenEBS MayaStor", "2.0.0", _never, 24),
    Addon("metallb", "Loadbalancer for your Kubernetes cluster", "0.15.3", _never),
    Addon("metrics-server", "K8s Metrics Server for API access to service metrics", "0.8.1", _pods("metrics-server")),
    Addon("minio", "MinIO object storage", "4.5.1", _never, 26),
    Addon("nvidia", "NVIDIA hardware (GPU and network) support", "25.10.0", _never, 30),
    Addon("observability", "A lightweight observability stack for logs, traces and metrics", "83.4.2", _never, 25),
    Addon("prometheus", "Prometheus operator for monitoring and logging", "", _never),
    Addon("rbac", "Role-Based Access Control for authorisation", "1.0.0", _object(_RBAC)),
    Addon("registry", "Private image registry exposed on localhost:32000", "2.8.3", _never),
    Addon("rook-ceph", "Distributed Ceph storage using Rook", "1.11.9", _never, 28),
    Addon("storage", "Alias to hostpath-storage add-on, deprecated", "1.5.0", _never),
)


def addons(minor: int) -> list[Addon]:
    """The addons of a release."""
    return [addon for addon in _ADDONS if addon.since <= minor <= addon.until]


def find(name: str, minor: int) -> Addon | None:
    """An addon by its name."""
    return next((addon for addon in addons(minor) if addon.name == name), None)


# --- the commands ----------------------------------------------------------------------------------------------------


def change(command: str, argv: list[str]) -> int:
    """`microk8s enable ADDON[:ARGUMENTS] [FLAGS]`, `microk8s disable …`."""
    minor = layout.minor()
    if not argv or argv[0] in ("-h", "--help"):
        print(f"Usage: microk8s {command} ADDON [ARGUMENTS]")
        return 0 if argv else 1
    if layout.is_worker():
        refuse("This MicroK8s deployment is acting as a node in a cluster.\nPlease use the master node.")
    names = [word for word in argv if not word.startswith("-")]
    flags = [word for word in argv if word.startswith("-")]
    if not all(find(name.partition(":")[0].rpartition("/")[2], minor) for name in names):
        # One addon and its arguments; several addons at once are told by all of them being addons.
        names, flags = names[:1], [*names[1:], *flags]
    if len(names) > 1 and minor >= 27:
        print(
            "WARNING: Do not enable or disable multiple addons in one command.\n"
            "         This form of chained operations on addons will be DEPRECATED in the future.\n"
            f"         Please, {command} one addon at a time: 'microk8s {command} <addon>'"
        )
    with _exclusive(minor):
        wait_for(cluster.ready, 30, 1)
        for name in names:
            code = _one(command, name, flags, minor)
            if code and minor >= 21:  # 1.20 does not look at it
                return code
    return 0


@contextlib.contextmanager
def _exclusive(minor: int) -> Iterator[None]:
    if minor < 27:
        yield
        return
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / ".microk8s-addon-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _one(command: str, word: str, flags: list[str], minor: int) -> int:
    full, _, argument = word.partition(":")
    repository, slash, name = full.rpartition("/")
    addon = find(name, minor)
    if slash and (repository != "core" or addon is None):
        print(f"Addon {repository}/{name} not found")
        return 0
    if addon is None:
        if minor < 24:
            print(f"Nothing to do for `{name}`.", file=sys.stderr)
        else:
            print(f"Addon {name} was not found in any repository", file=sys.stderr)
        return 1
    if not slash and minor >= 24:
        print(f"Infer repository core for addon {name}", file=sys.stderr, flush=True)
    try:
        enabled = addon.enabled(Api())
    except Unreachable:
        enabled = False
    shown = f"Addon core/{name} is already" if minor >= 24 else f"Addon {name} is already"
    dot = "" if minor >= 24 else "."
    # 1.20 compares the whole word, so an addon with an argument is applied again.
    again = minor < 21 and bool(argument)
    if command == "enable" and enabled and not again:
        print(f"{shown} enabled{dot}")
        return 0
    if command == "disable" and not enabled:
        print(f"{shown} disabled{dot}")
        return 0
    function = _SCRIPTS.get((command, name))
    if function is None:
        print(f"Addon {name} cannot be had here: its images are not in the registry.", file=sys.stderr)
        return 1
    return function(argument or next((flag for flag in flags if not flag.startswith("-")), ""), flags)


# --- dns -------------------------------------------------------------------------------------------------------------

_DNS = """apiVersion: v1
kind: ServiceAccount
metadata:
  name: coredns
  namespace: kube-system
  labels: {k8s-app: kube-dns}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: coredns
  namespace: kube-system
  labels: {k8s-app: kube-dns}
data:
  Corefile: |
    .:53 {
        errors
        health {
          lameduck 5s
        }
        ready
        log . {
          class error
        }
        kubernetes cluster.local in-addr.arpa ip6.arpa {
          pods insecure
          fallthrough in-addr.arpa ip6.arpa
        }
        prometheus :9153
        forward . $NAMESERVERS
        cache 30
        loop
        reload
        loadbalance
    }
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: coredns
  namespace: kube-system
  labels: {k8s-app: kube-dns, kubernetes.io/name: CoreDNS}
spec:
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 1}
  selector:
    matchLabels: {k8s-app: kube-dns}
  template:
    metadata:
      labels: {k8s-app: kube-dns}
    spec:
      priorityClassName: system-cluster-critical
      serviceAccountName: coredns
      dnsPolicy: Default
      tolerations:
      - {key: CriticalAddonsOnly, operator: Exists}
      - {key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}
      containers:
      - name: coredns
        image: $IMAGE
        imagePullPolicy: IfNotPresent
        args: [-conf, /etc/coredns/Corefile]
        resources:
          limits: {memory: 170Mi}
          requests: {cpu: 100m, memory: 70Mi}
        volumeMounts:
        - {name: config-volume, mountPath: /etc/coredns, readOnly: true}
        ports:
        - {containerPort: 53, name: dns, protocol: UDP}
        - {containerPort: 53, name: dns-tcp, protocol: TCP}
        - {containerPort: 9153, name: metrics, protocol: TCP}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}
          readOnlyRootFilesystem: true
        livenessProbe:
          httpGet: {path: /health, port: 8080, scheme: HTTP}
          initialDelaySeconds: 60
          timeoutSeconds: 5
          successThreshold: 1
          failureThreshold: 5
        readinessProbe:
          httpGet: {path: /ready, port: 8181, scheme: HTTP}
          periodSeconds: 2
      volumes:
      - name: config-volume
        configMap:
          name: coredns
          items: [{key: Corefile, path: Corefile}]
---
apiVersion: v1
kind: Service
metadata:
  name: kube-dns
  namespace: kube-system
  annotations: {prometheus.io/port: "9153", prometheus.io/scrape: "true"}
  labels: {k8s-app: kube-dns, kubernetes.io/cluster-service: "true", kubernetes.io/name: CoreDNS}
spec:
  selector: {k8s-app: kube-dns}
  clusterIP: $DNS_IP
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
  - {name: metrics, port: 9153, protocol: TCP}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: coredns
  labels: {k8s-app: kube-dns}
rules:
- {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: coredns
  labels: {k8s-app: kube-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coredns}
subjects:
- {kind: ServiceAccount, name: coredns, namespace: kube-system}
"""

_IP = re.compile(r"(\d{1,3}\.){3}\d{1,3}")


def _dns_manifest(nameservers: str) -> str:
    return _DNS.replace("$NAMESERVERS", nameservers).replace("$IMAGE", COREDNS_IMAGE).replace("$DNS_IP", DNS_IP)


def enable_dns(argument: str, _: list[str]) -> int:
    minor = layout.minor()
    print("Enabling DNS", flush=True)
    if argument:
        servers = argument.split(",")
        for server in servers:
            if not _IP.fullmatch(server):
                print(f"Your input value ({server}) is not a valid and reachable IP address")
                return 1
        nameservers = " ".join(servers)
        print(f"Will use  {nameservers} as upstream nameservers", flush=True)
    elif minor < 22:
        nameservers = "8.8.8.8 8.8.4.4"
    else:
        resolv = Path("/run/systemd/resolve/resolv.conf")
        if not resolv.exists():
            resolv = Path("/etc/resolv.conf")
        if re.search(r"^nameserver (?!127\.)", resolv.read_text(), re.M):
            print(f"Using host configuration from {resolv}", flush=True)
            nameservers = "/etc/resolv.conf"  # the node's own: the pod's dnsPolicy is Default
        else:
            nameservers = "8.8.8.8 8.8.4.4"
            print(f"No valid resolv.conf file could be found\nFalling back to {nameservers} as upstream nameservers")
    print("Applying manifest", flush=True)
    code = cluster.kubectl("apply", "-f", "-", stdin=_dns_manifest(nameservers))
    if code:
        return code
    if minor >= 22:
        print(f"CoreDNS service deployed with IP address {DNS_IP}", flush=True)
        print("Adding argument --cluster-domain to nodes.\nAdding argument --cluster-dns to nodes.", flush=True)
    changed = node.set_arg("kubelet", "--cluster-domain", "cluster.local")
    changed = node.set_arg("kubelet", "--cluster-dns", DNS_IP) or changed
    if changed or minor < 22:
        print("Restarting kubelet", flush=True)
        node.restart(["kubelite" if minor >= 21 else "kubelet"])
        wait_for(cluster.ready, 60, 1)
    print("DNS is enabled")
    return 0


def disable_dns(_: str, __: list[str]) -> int:
    print("Disabling DNS\nReconfiguring kubelet\nRemoving DNS manifest", flush=True)
    cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=_dns_manifest("/etc/resolv.conf"))
    print("DNS is disabled")
    return 0


# --- metrics-server --------------------------------------------------------------------------------------------------

_METRICS = """apiVersion: v1
kind: ServiceAccount
metadata: {name: metrics-server, namespace: kube-system, labels: {k8s-app: metrics-server}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: system:aggregated-metrics-reader
  labels:
    k8s-app: metrics-server
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules:
- {apiGroups: [metrics.k8s.io], resources: [pods, nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:metrics-server, labels: {k8s-app: metrics-server}}
rules:
- {apiGroups: [""], resources: [nodes/metrics], verbs: [get]}
- {apiGroups: [""], resources: [pods, nodes, namespaces, configmaps], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: metrics-server-auth-reader, namespace: kube-system, labels: {k8s-app: metrics-server}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "metrics-server:system:auth-delegator", labels: {k8s-app: metrics-server}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:metrics-server, labels: {k8s-app: metrics-server}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:metrics-server}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system, labels: {k8s-app: metrics-server}}
spec:
  ports: [{name: https, port: 443, protocol: TCP, targetPort: https}]
  selector: {k8s-app: metrics-server}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: metrics-server, namespace: kube-system, labels: {k8s-app: metrics-server}}
spec:
  selector: {matchLabels: {k8s-app: metrics-server}}
  strategy: {rollingUpdate: {maxUnavailable: 0}}
  template:
    metadata: {labels: {k8s-app: metrics-server}}
    spec:
      priorityClassName: system-cluster-critical
      serviceAccountName: metrics-server
      containers:
      - name: metrics-server
        image: $IMAGE
        imagePullPolicy: IfNotPresent
        args:
        - --cert-dir=/tmp
        - --secure-port=10250
        - --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname
        - --kubelet-use-node-status-port
        - --metric-resolution=15s
        - --kubelet-insecure-tls
        ports: [{containerPort: 10250, name: https, protocol: TCP}]
        livenessProbe: {httpGet: {path: /livez, port: https, scheme: HTTPS}, periodSeconds: 10, failureThreshold: 3}
        readinessProbe:
          {httpGet: {path: /readyz, port: https, scheme: HTTPS}, periodSeconds: 2}
        resources: {requests: {cpu: 100m, memory: 200Mi}}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
          readOnlyRootFilesystem: true
          runAsNonRoot: true
          runAsUser: 1000
          seccompProfile: {type: RuntimeDefault}
        volumeMounts: [{mountPath: /tmp, name: tmp-dir}]
      nodeSelector: {kubernetes.io/os: linux}
      volumes: [{name: tmp-dir, emptyDir: {}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io, labels: {k8s-app: metrics-server}}
spec:
  group: metrics.k8s.io
  groupPriorityMinimum: 100
  insecureSkipTLSVerify: true
  service: {name: metrics-server, namespace: kube-system}
  version: v1beta1
  versionPriority: 100
"""


def enable_metrics(_: str, __: list[str]) -> int:
    print("Enabling Metrics-Server", flush=True)
    code = cluster.kubectl("apply", "-f", "-", stdin=_METRICS.replace("$IMAGE", METRICS_IMAGE))
    if code:
        return code
    print("Metrics-Server is enabled")
    return 0


def disable_metrics(_: str, __: list[str]) -> int:
    print("Disabling Metrics-Server", flush=True)
    cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=_METRICS.replace("$IMAGE", METRICS_IMAGE))
    print("Metrics-Server is disabled")
    return 0


# --- rbac ------------------------------------------------------------------------------------------------------------


def enable_rbac(_: str, __: list[str]) -> int:
    print("Enabling RBAC\nReconfiguring apiserver", flush=True)
    _authorization("RBAC,Node")
    print("RBAC is enabled")
    return 0


def disable_rbac(_: str, __: list[str]) -> int:
    print("Disabling RBAC\nReconfiguring apiserver", flush=True)
    _authorization("AlwaysAllow")
    cluster.kubectl("delete", "clusterrole", "cluster-admin", "--ignore-not-found", quiet=True)
    print("RBAC is disabled")
    return 0


def _authorization(mode: str) -> None:
    from .join import set_on_others

    node.set_arg("kube-apiserver", "--authorization-mode", mode)
    restarted = "kubelite" if layout.minor() >= 21 else "apiserver"
    node.restart([restarted])
    set_on_others([{"name": "kube-apiserver", "arguments_update": [{"--authorization-mode": mode}], "restart": True}])
    wait_for(cluster.ready, 60, 1)


# --- helm ------------------------------------------------------------------------------------------------------------


def enable_helm(_: str, __: list[str]) -> int:
    """Up to 1.24 the addon fetches Helm; from 1.25 on it is in the snap."""
    version = "v3.0.2" if layout.minor() < 21 else "v3.5.0"
    print(f"Enabling Helm 3\nFetching helm version {version}.", flush=True)
    node.link(_made(layout.DATA / "bin") / "helm3", layout.STORE / "microk8s/bin/helm")
    print("Helm 3 is enabled")
    return 0


def disable_helm(_: str, __: list[str]) -> int:
    print("Disabling Helm 3", flush=True)
    (layout.DATA / "bin/helm3").unlink(missing_ok=True)
    print("Helm 3 is disabled")
    return 0


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def disable_ha(_: str, flags: list[str]) -> int:
    if layout.minor() >= 21 and "--force" not in flags and len(node.members()) <= 1:
        print("Disabling HA will reset your cluster in order to clean things up.")
        print("All workloads and configuration will be lost.")
        print("If you are sure you want to continue run:")
        print("    microk8s disable ha-cluster --force")
        return 2
    print("A cluster without high availability cannot be had here.", file=sys.stderr)
    return 1


_SCRIPTS: dict[tuple[str, str], Callable[[str, list[str]], int]] = {
    ("enable", "dns"): enable_dns,
    ("disable", "dns"): disable_dns,
    ("enable", "metrics-server"): enable_metrics,
    ("disable", "metrics-server"): disable_metrics,
    ("enable", "rbac"): enable_rbac,
    ("disable", "rbac"): disable_rbac,
    ("enable", "helm3"): enable_helm,
    ("disable", "helm3"): disable_helm,
    ("disable", "ha-cluster"): disable_ha,
}
