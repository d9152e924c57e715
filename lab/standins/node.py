"""A node's own files: arguments, credentials, locks, services; made by the install hook, changed by join and leave."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
from pathlib import Path

from . import certs, layout, releases
from .layout import (
    API_PORT,
    ARGS,
    BACKEND,
    CERTS,
    CNI,
    COMMON,
    CREDENTIALS,
    DATA,
    DATASTORE_PORT,
    DNS_IP,
    ETCD_PORT,
    GROUP,
    LOCKS,
    POD_CIDR,
    SERVICE_CIDR,
    SNAP,
    STORE,
    write,
)
from .system import default_address, fail, node_name, own_addresses, succeeds, systemctl

LAUNCH_FILES = (
    layout.ROOT / "etc/microk8s.yaml",
    layout.ROOT / "root/snap/microk8s/common/.microk8s.yaml",
    COMMON / ".microk8s.yaml",
)
DEFAULT_LAUNCH = "version: 0.1.0\naddons:\n  - name: dns\n"

# Order counts: the datastore and the container runtime first.
_SPLIT = ("apiserver", "controller-manager", "scheduler", "kubelet", "proxy")
_COMMON = ("containerd", "cluster-agent", "apiserver-kicker")


def daemons(minor: int) -> list[str]:
    """The snap's services, without their prefix."""
    if minor < 21:
        return ["etcd", *_COMMON, *_SPLIT]
    names = ["k8s-dqlite", *_COMMON, "kubelite"]
    return names if minor < 23 else [*names, "apiserver-proxy"]


def idle(minor: int) -> list[str]:
    """Services that the snap has and a cluster with its own datastore and Calico leaves off."""
    return ["control-plane-kicker", "flanneld"] if minor < 21 else ["etcd", "flanneld"]


def datastore_daemon(minor: int) -> str:
    """The service that keeps the datastore. 1.20 has it inside its API server; here it is the etcd service."""
    return "k8s-dqlite" if minor >= 21 else "etcd"


def kubernetes_daemons(minor: int) -> list[str]:
    """The services that are Kubernetes itself."""
    return ["kubelite"] if minor >= 21 else ["apiserver", "controller-manager", "scheduler", "kubelet", "proxy"]


def unit(daemon: str) -> str:
    """A service's systemd unit."""
    return f"snap.microk8s.daemon-{daemon}.service"


def units(names: list[str]) -> list[str]:
    """The systemd units of these services."""
    return [unit(name) for name in names]


# --- files -----------------------------------------------------------------------------------------------------------


def default_args(minor: int) -> dict[str, list[str]]:
    """The components' flags as the snap brings them, for the Kubernetes that really runs."""
    apiserver = [
        "--cert-dir=${SNAP_DATA}/certs",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=AlwaysAllow",
        "--service-account-key-file=${SNAP_DATA}/certs/serviceaccount.key",
        "--client-ca-file=${SNAP_DATA}/certs/ca.crt",
        "--tls-cert-file=${SNAP_DATA}/certs/server.crt",
        "--tls-private-key-file=${SNAP_DATA}/certs/server.key",
        "--kubelet-client-certificate=${SNAP_DATA}/certs/apiserver-kubelet-client.crt",
        "--kubelet-client-key=${SNAP_DATA}/certs/apiserver-kubelet-client.key",
        f"--secure-port={API_PORT}",
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        "--allow-privileged=true",
        "--service-account-issuer='https://kubernetes.default.svc'",
        "--service-account-signing-key-file=${SNAP_DATA}/certs/serviceaccount.key",
        "--event-ttl=5m",
        "--profiling=false",
        "# Enable the aggregation layer",
        "--requestheader-client-ca-file=${SNAP_DATA}/certs/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        "--proxy-client-cert-file=${SNAP_DATA}/certs/front-proxy-client.crt",
        "--proxy-client-key-file=${SNAP_DATA}/certs/front-proxy-client.key",
        "#~Enable the aggregation layer",
        "--kubelet-preferred-address-types=InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
    ]
    if minor < 28:
        apiserver.insert(4, "--token-auth-file=${SNAP_DATA}/credentials/known_tokens.csv")
    kubelet = [
        "--kubeconfig=${SNAP_DATA}/credentials/kubelet.config",
        "--cert-dir=${SNAP_DATA}/certs",
        "--tls-cert-file=${SNAP_DATA}/certs/kubelet.crt",
        "--tls-private-key-file=${SNAP_DATA}/certs/kubelet.key",
        "--client-ca-file=${SNAP_DATA}/certs/ca.crt",
        "--anonymous-auth=false",
        "--root-dir=${SNAP_COMMON}/var/lib/kubelet",
        "--fail-swap-on=false",
        '--eviction-hard="memory.available<100Mi,nodefs.available<1Gi,imagefs.available<1Gi"',
        "--container-runtime-endpoint=unix://${SNAP_COMMON}/run/containerd.sock",
        "--cgroup-driver=systemd",
        f'--node-labels="{labels(minor, "controlplane")}"',
        "--authentication-token-webhook=true",
        "--serialize-image-pulls=false",
    ]
    if minor >= 24:
        kubelet.append("--read-only-port=0")
    else:
        kubelet.append("--read-only-port=10255")
    if minor >= 27:
        kubelet += ["--cluster-domain=cluster.local", f"--cluster-dns={DNS_IP}"]
    return {
        "kube-apiserver": apiserver,
        "kubelet": kubelet,
        "kube-proxy": [
            "--kubeconfig=${SNAP_DATA}/credentials/proxy.config",
            f"--cluster-cidr={POD_CIDR}",
            "--healthz-bind-address=127.0.0.1",
            "--profiling=false",
            "--proxy-mode=nftables",
        ],
        "kube-controller-manager": [
            "--kubeconfig=${SNAP_DATA}/credentials/controller.config",
            "--authentication-kubeconfig=${SNAP_DATA}/credentials/controller.config",
            "--authorization-kubeconfig=${SNAP_DATA}/credentials/controller.config",
            "--service-account-private-key-file=${SNAP_DATA}/certs/serviceaccount.key",
            "--root-ca-file=${SNAP_DATA}/certs/ca.crt",
            "--cluster-signing-cert-file=${SNAP_DATA}/certs/ca.crt",
            "--cluster-signing-key-file=${SNAP_DATA}/certs/ca.key",
            "--requestheader-client-ca-file=${SNAP_DATA}/certs/front-proxy-ca.crt",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
            f"--cluster-cidr={POD_CIDR}",
            "--leader-elect=true",
            "--leader-elect-lease-duration=60s",
            "--leader-elect-renew-deadline=30s",
            "--profiling=false",
        ],
        "kube-scheduler": [
            "--kubeconfig=${SNAP_DATA}/credentials/scheduler.config",
            "--authentication-kubeconfig=${SNAP_DATA}/credentials/scheduler.config",
            "--authorization-kubeconfig=${SNAP_DATA}/credentials/scheduler.config",
            "--leader-elect=true",
            "--leader-elect-lease-duration=60s",
            "--leader-elect-renew-deadline=30s",
            "--profiling=false",
        ],
        "kubelite": [
            "--scheduler-args-file=${SNAP_DATA}/args/kube-scheduler",
            "--controller-manager-args-file=${SNAP_DATA}/args/kube-controller-manager",
            "--proxy-args-file=${SNAP_DATA}/args/kube-proxy",
            "--kubelet-args-file=${SNAP_DATA}/args/kubelet",
            "--apiserver-args-file=${SNAP_DATA}/args/kube-apiserver",
            "--kubeconfig-file=${SNAP_DATA}/credentials/client.config",
            "--start-control-plane=true",
        ],
        "containerd": [
            "--config ${SNAP_DATA}/args/containerd.toml",
            "--root ${SNAP_COMMON}/var/lib/containerd",
            "--state ${SNAP_COMMON}/run/containerd",
            "--address ${SNAP_COMMON}/run/containerd.sock",
        ],
        "cluster-agent": [
            "--bind=0.0.0.0:25000",
            "--keyfile=${SNAP_DATA}/certs/server.key",
            "--certfile=${SNAP_DATA}/certs/server.crt",
            "--timeout=240",
        ],
        "k8s-dqlite": [
            "--storage-dir=${SNAP_DATA}/var/kubernetes/backend/",
            f"--listen=http://127.0.0.1:{ETCD_PORT}",
        ],
        "apiserver-proxy": [
            "--traefik-config=${SNAP_DATA}/args/traefik/provider.yaml",
            "--kubeconfig=${SNAP_DATA}/credentials/kubelet.config",
            "--refresh-interval=30s",
        ],
        "kubectl-env": ["export KUBECONFIG=${SNAP_DATA}/credentials/client.config"],
        "ctr": ["--address=${SNAP_COMMON}/run/containerd.sock", "--namespace k8s.io"],
        "containerd-env": [
            "# Environment of containerd; HTTPS_PROXY and NO_PROXY belong here.",
            "ulimit -n 65536 || true",
        ],
    }


def labels(minor: int, kind: str) -> str:
    """The labels that a node registers with."""
    role = f",node.kubernetes.io/microk8s-{kind}=microk8s-{kind}" if minor >= 23 else ""
    return f"microk8s.io/cluster=true{role}"


def registry() -> str:
    """Where images come from."""
    try:
        return (STORE / "registry").read_text().strip()
    except OSError:
        return "http://127.0.0.1:5000"


def default_hosts() -> str:
    """args/certs.d/_default/hosts.toml: every image comes from there."""
    return f'server = "{registry()}"\n\n[host."{registry()}"]\n  capabilities = ["pull", "resolve"]\n'


def containerd_template(minor: int) -> str:
    """args/containerd-template.toml: from 1.23 on registries are in args/certs.d, before that in this file."""
    if minor >= 23:
        registries = '    config_path = "${SNAP_DATA}/args/certs.d"\n'
    else:
        registries = (
            '    [plugins."io.containerd.grpc.v1.cri".registry.mirrors]\n'
            '      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."*"]\n'
            f'        endpoint = ["{registry()}"]\n'
        )
    return f"""# Use config version 2 to enable new configuration fields.
version = 2
oom_score = 0

[grpc]
  uid = 0
  gid = 0
  max_recv_message_size = 16777216
  max_send_message_size = 16777216

[debug]
  address = ""
  uid = 0
  gid = 0

[metrics]
  address = "127.0.0.1:1338"
  grpc_histogram = false

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_selinux = false
  sandbox_image = "registry.k8s.io/pause:3.10"
  enable_tls_streaming = false
  max_container_log_line_size = 16384

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "${{SNAPSHOTTER}}"
    default_runtime_name = "${{RUNTIME}}"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "${{RUNTIME_TYPE}}"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = true
        BinaryName = "${{SNAP}}/bin/runc"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${{SNAP_DATA}}/opt/cni/bin"
    conf_dir = "${{SNAP_DATA}}/args/cni-network"

  [plugins."io.containerd.grpc.v1.cri".registry]
{registries}"""


def write_cni(subnet: str) -> None:
    """The pods' network: a range of this node's own, links with Calico's names."""
    conf = {
        "name": "k8s-pod-network",
        "cniVersion": "1.0.0",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "mtu": 1450,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(COMMON / "var/lib/cni/networks"),
                },
            },
            {"type": "cali"},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    write(CNI / "subnet", subnet + "\n")
    write(CNI / "10-calico.conflist", json.dumps(conf, indent=2) + "\n", 0o600)


def kubeconfig(user: str, ca: Path, cert: Path | None = None, token: str = "") -> str:
    """A kubeconfig with everything inside it."""
    b64 = lambda path: base64.b64encode(path.read_bytes()).decode()  # noqa: E731
    if token:
        identity = f"    token: {token}\n"
    else:
        assert cert is not None
        identity = f"    client-certificate-data: {b64(cert)}\n    client-key-data: {b64(cert.with_suffix('.key'))}\n"
    return (
        "apiVersion: v1\nclusters:\n- cluster:\n"
        f"    certificate-authority-data: {b64(ca)}\n    server: https://127.0.0.1:{API_PORT}\n"
        "  name: microk8s-cluster\ncontexts:\n- context:\n    cluster: microk8s-cluster\n"
        f"    user: {user}\n  name: microk8s\ncurrent-context: microk8s\nkind: Config\npreferences: {{}}\nusers:\n"
        f"- name: {user}\n  user:\n{identity}"
    )


def write_credentials(minor: int) -> None:
    """A kubeconfig for each component and the administrator."""
    ca = CERTS / "ca.crt"
    node = node_name()
    for name, user in {
        "kubelet": f"system:node:{node}",
        "controller": "system:kube-controller-manager",
        "scheduler": "system:kube-scheduler",
        "proxy": "system:kube-proxy",
    }.items():
        write(CREDENTIALS / f"{name}.config", kubeconfig(user, ca, CERTS / f"{name}.crt"), 0o660, GROUP)
    token = ""
    if minor < 28:
        known = CREDENTIALS / "known_tokens.csv"
        if known.exists():
            token = known.read_text().split(",")[0]
        else:
            token = secrets.token_urlsafe(33)
            write(known, f'{token},admin,admin,"system:masters"\n', 0o660, GROUP)
    write(CREDENTIALS / "client.config", kubeconfig("admin", ca, CERTS / "client.crt", token), 0o660, GROUP)


def set_arg(file: str, option: str, value: str | None) -> bool:
    """Set `--option=value` in an arguments file, or remove it; whether that changed anything."""
    path = ARGS / file
    lines = path.read_text().splitlines()
    kept = [line for line in lines if line.split("=", 1)[0].strip() != option]
    if value is not None:
        at = next((i for i, line in enumerate(lines) if line.split("=", 1)[0].strip() == option), len(kept))
        kept.insert(at, f"{option}={value}")
    if kept == lines:
        return False
    write(path, "\n".join(kept) + "\n")
    return True


def get_arg(file: str, option: str) -> str:
    """The value of an option in an arguments file, or nothing."""
    try:
        lines = (ARGS / file).read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.strip().partition("=")
        if name == option:
            return value.strip("\"'")
    return ""


# --- the datastore ---------------------------------------------------------------------------------------------------


def write_datastore(address: str, members: list[tuple[str, str]] | None = None) -> None:
    """What the datastore's service starts with: the peer address, and the other members when joining a cluster."""
    write(
        BACKEND / "info.yaml", f"Address: {address}:{DATASTORE_PORT}\nID: 3297041220608546238\nRole: 0\n", 0o660, GROUP
    )
    write_members([f"{address}:{DATASTORE_PORT}"] if not members else [url.split("//")[1] for _, url in members])
    cluster = BACKEND / "initial-cluster"
    if members:
        write(cluster, ",".join(f"{name}={url}" for name, url in members) + "\n")
    else:
        cluster.unlink(missing_ok=True)


def write_members(members: list[str]) -> None:
    """cluster.yaml: the members of the datastore."""
    text = "".join(f"- Address: {address}\n  ID: {1000 + i}\n  Role: 0\n" for i, address in enumerate(members))
    path = BACKEND / "cluster.yaml"
    if not path.exists() or path.read_text() != text:
        write(path, text, 0o660, GROUP)


def joined_datastore() -> bool:
    """Whether this node joined others' datastore; otherwise the cluster was formed around it."""
    return (BACKEND / "initial-cluster").exists()


def datastore_address() -> str:
    """The address that the datastore's peers reach this node at."""
    return (BACKEND / "info.yaml").read_text().split()[1].rsplit(":", 1)[0]


def members() -> list[str]:
    """The members of the datastore as cluster.yaml has them."""
    try:
        lines = (BACKEND / "cluster.yaml").read_text().splitlines()
    except OSError:
        return []
    return [line.split(" ", 2)[2] for line in lines if line.startswith("- Address: ")]


# --- the hooks -------------------------------------------------------------------------------------------------------


def install(release: releases.Release) -> None:
    """The snap's install hook: everything of a fresh single node, nothing running yet."""
    minor = release.minor
    if not succeeds("getent", "group", GROUP):
        flags = ["--system"] if minor < 21 else []
        subprocess.run(["groupadd", *flags, GROUP], check=False)
    launch = _launch_configuration(minor)
    for folder in (ARGS, CERTS, CREDENTIALS, LOCKS, BACKEND, CNI, COMMON / "var/lib/kubelet", COMMON / "run"):
        folder.mkdir(parents=True, exist_ok=True)
    kubelet_root = layout.ROOT / "var/lib/kubelet"
    if not kubelet_root.exists() and not kubelet_root.is_symlink():
        kubelet_root.parent.mkdir(parents=True, exist_ok=True)
        kubelet_root.symlink_to(COMMON / "var/lib/kubelet")
    write_args(minor)
    fresh_node(minor)
    for name in ("ha-cluster", "no-etcd", "no-flanneld", "no-apiserver-proxy", "installed.lock", "cni-loaded"):
        layout.lock(name)
    if minor >= 21:
        layout.lock("lite.lock")
    if launch is not None:
        write(COMMON / "etc/launcher/install.yaml", launch, 0o600)
        apply_launch_args(read_yaml(launch))


def fresh_node(minor: int) -> None:
    """Certificates, credentials and an empty datastore of a node that is in no cluster."""
    address = default_address()
    certs.new_all(node_name(), own_addresses() or ([address] if address else []))
    write_credentials(minor)
    for name in (
        "cluster-tokens.txt",
        "certs-request-tokens.txt",
        "callback-tokens.txt",
        "persistent-cluster-tokens.txt",
    ):
        write(CREDENTIALS / name, "", 0o660, GROUP)
    shutil.rmtree(BACKEND / "etcd", ignore_errors=True)
    begin_anew()


def begin_anew() -> None:
    """The datastore and the pods' network of a node that is in no cluster."""
    write_datastore("127.0.0.1")
    write_cni("10.1.0.0/24")
    (CNI / "peers.json").unlink(missing_ok=True)
    (CNI / "ranges.json").unlink(missing_ok=True)


def write_args(minor: int) -> None:
    """The arguments files as the snap brings them."""
    for name, lines in default_args(minor).items():
        write(ARGS / name, "\n".join(lines) + "\n")
    write(ARGS / "containerd-template.toml", containerd_template(minor))
    write(ARGS / "ha-conf", "failure-domain=1\n")
    if minor >= 23:
        write(ARGS / "certs.d/_default/hosts.toml", default_hosts())
        write(ARGS / "traefik/provider.yaml", provider([]))


def provider(addresses: list[str]) -> str:
    """args/traefik/provider.yaml: the API servers that a worker's own proxy leads to."""
    servers = "".join(f"        - address: {address}:{API_PORT}\n" for address in addresses) or "        []\n"
    return (
        "tcp:\n  routers:\n    Router-1:\n      rule: HostSNI(`*`)\n      service: kube-apiserver\n"
        "      tls:\n        passthrough: true\n  services:\n    kube-apiserver:\n      loadBalancer:\n"
        f"        servers:\n{servers}"
    )


def refreshed(minor: int) -> None:
    """The configure hook after a refresh: arguments that the new release brings and the old one did not have."""
    for name, lines in default_args(minor).items():
        if not (ARGS / name).exists():
            write(ARGS / name, "\n".join(lines) + "\n")
    if minor >= 23:
        (ARGS / "certs.d").mkdir(parents=True, exist_ok=True)
    if minor >= 21:
        layout.lock("lite.lock")
    write(ARGS / "containerd-template.toml", containerd_template(minor))
    default = ARGS / "certs.d/_default/hosts.toml"
    if minor >= 23 and not default.exists():
        write(default, default_hosts())


def _launch_configuration(minor: int) -> str | None:
    """The text of the launch configuration; a file that is not valid ends the installation."""
    if minor < 27:
        return None
    for path in LAUNCH_FILES:
        if path.exists():
            text = path.read_text()
            check_launch(read_yaml(text))
            return text
    return DEFAULT_LAUNCH


_LAUNCH_KEYS = {
    *("version", "addons", "addonRepositories", "extraKubeletArgs", "extraKubeAPIServerArgs", "extraKubeProxyArgs"),
    *("extraKubeControllerManagerArgs", "extraKubeSchedulerArgs", "extraKubeliteEnv", "extraSANs", "extraCNIEnv"),
    *("containerdRegistryConfigs", "extraContainerdArgs", "extraContainerdEnv", "extraDqliteArgs", "extraDqliteEnv"),
    *("extraConfigFiles", "persistentClusterToken", "join", "extraFIPSEnv", "extraMicroK8sClusterAgentArgs"),
    *("extraMicroK8sAPIServerProxyArgs", "extraEtcdArgs", "extraEtcdEnv", "extraFlanneldArgs", "extraFlanneldEnv"),
}
_LAUNCH_ARGS = {
    "extraKubeletArgs": "kubelet",
    "extraKubeAPIServerArgs": "kube-apiserver",
    "extraKubeProxyArgs": "kube-proxy",
    "extraKubeControllerManagerArgs": "kube-controller-manager",
    "extraKubeSchedulerArgs": "kube-scheduler",
}


def check_launch(config: object) -> dict[str, object]:
    """Refuse what is no launch configuration."""
    if not isinstance(config, dict):
        fail("Failed to parse launch configuration: it is not a map")
    unknown = sorted(set(config) - _LAUNCH_KEYS)
    if unknown:
        fail(f"Failed to parse launch configuration: unknown field {unknown[0]!r}")
    if "version" not in config:
        fail("Failed to parse launch configuration: version is missing")
    token = config.get("persistentClusterToken")
    if token is not None and len(str(token)) < 32:
        fail("Failed to parse launch configuration: persistentClusterToken must be at least 32 characters long")
    return config


def apply_launch_args(config: object) -> None:
    """The part of a launch configuration that is applied before anything runs."""
    checked = check_launch(config)
    for key, file in _LAUNCH_ARGS.items():
        for option, value in (checked.get(key) or {}).items():  # type: ignore[attr-defined]
            set_arg(file, option, None if value is None else str(value))
    token = checked.get("persistentClusterToken")
    if token:
        write(CREDENTIALS / "persistent-cluster-tokens.txt", f"{token}\n", 0o660, GROUP)
    for name, text in (checked.get("containerdRegistryConfigs") or {}).items():  # type: ignore[attr-defined]
        write(ARGS / "certs.d" / name / "hosts.toml", str(text))
    sans = checked.get("extraSANs") or []
    if sans:
        template = CERTS / "csr.conf.template"
        names = "\n".join(f"{'IP' if str(s)[-1].isdigit() else 'DNS'}.{200 + i} = {s}" for i, s in enumerate(sans))  # type: ignore[arg-type,var-annotated]
        write(template, template.read_text().replace("#MOREIPS", f"{names}\n#MOREIPS"))
        certs.new_server(own_addresses())


def read_yaml(text: str) -> object:
    """YAML as Python values. A bare machine's Python has no YAML, but the snap's own programs do."""
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        done = subprocess.run([str(SNAP / "yaml2json")], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            fail(f"Failed to parse YAML: {done.stderr.strip()}")
        return json.loads(done.stdout)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        fail(f"Failed to parse YAML: {exc}")


# --- services --------------------------------------------------------------------------------------------------------

_UNIT = """[Unit]
# Auto-generated, DO NOT EDIT
Description=Service for snap application microk8s.daemon-{daemon}
Wants=network-online.target
After=network-online.target snapd.service
X-Snappy=yes
# However often it ended: when the reason is gone, it has to come back by itself.
StartLimitIntervalSec=0

[Service]
EnvironmentFile=-/etc/environment
ExecStart=/usr/bin/snap run microk8s.daemon-{daemon}
SyslogIdentifier=microk8s.daemon-{daemon}
Restart={restart}
RestartSec=1
WorkingDirectory={data}
TimeoutStopSec=30
Type=simple
{more}
[Install]
WantedBy=multi-user.target
"""


def write_units(minor: int) -> list[str]:
    """The services' unit files; returns the services."""
    names = [*daemons(minor), *idle(minor)]
    for old in layout.UNITS.glob("snap.microk8s.daemon-*.service"):
        if old.name not in units(names):
            old.unlink()
    for daemon in names:
        more = ""
        if daemon == "containerd":
            # snapcraft's `stop-mode: sigterm`: only containerd itself is told to end, the containers go on.
            more = "KillMode=process\nDelegate=yes\nLimitNOFILE=65536\nTasksMax=infinity\nOOMScoreAdjust=-999\n"
        elif daemon in ("kubelite", "kubelet"):
            more = "Delegate=yes\nLimitNOFILE=65536\nTasksMax=infinity\n"
        text = _UNIT.format(daemon=daemon, data=f"/var/snap/microk8s/{layout.revision()}", more=more, restart="always")
        # A service that has nothing to do on this node ends well, and stays so.
        if daemon in ("apiserver-proxy", "flanneld", "control-plane-kicker", "k8s-dqlite", "etcd"):
            text = text.replace("Restart=always", "Restart=on-failure")
        write(layout.UNITS / unit(daemon), text)
    systemctl("daemon-reload")
    return daemons(minor)


def start(names: list[str], *, enable: bool = True) -> bool:
    """Start services, at boot too. systemd knows the units by now, and takes a second or two to read all again."""
    return systemctl("enable", "--now", "--no-reload", *units(names)) if enable else systemctl("start", *units(names))


def stop(names: list[str], *, disable: bool = False) -> bool:
    """Stop services, for good with `disable`."""
    return systemctl("disable", "--now", "--no-reload", *units(names)) if disable else systemctl("stop", *units(names))


def restart(names: list[str]) -> bool:
    """Restart services."""
    return systemctl("restart", *units(names))


def kill_containers() -> None:
    """Kill every container of this node: its processes are those in Kubernetes' control groups."""
    top = layout.ROOT / "sys/fs/cgroup/kubepods.slice"
    kill = top / "cgroup.kill"
    if kill.exists():
        kill.write_text("1")
    unmount(COMMON / "run/containerd")


def unmount(below: Path) -> list[str]:
    """Unmount everything below a directory; what could not be unmounted."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    inner = sorted((mount for mount in mounts if mount.startswith(f"{below}/")), reverse=True)
    return [mount for mount in inner if not succeeds("umount", "-l", mount)]


def make_snap_tree(release: releases.Release) -> None:
    """/snap/microk8s/REVISION, out of the store."""
    tree = layout.SNAPS / "microk8s" / str(release.revision)
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "meta").mkdir(parents=True)
    (tree / "bin").mkdir()
    yaml = (
        f"name: microk8s\nversion: {release.version}\nsummary: Kubernetes for workstations and appliances\n"
        f"base: {release.base}\nconfinement: classic\ngrade: stable\ntype: app\n"
    )
    write(tree / "meta/snap.yaml", yaml)
    kubernetes = STORE / "microk8s/kubernetes" / releases.build_for(release.minor)
    for program in kubernetes.iterdir():
        (tree / program.name).symlink_to(program)
    for program in (STORE / "microk8s/bin").iterdir():
        if program.name in ("helm", "helm3") and release.minor < 25:
            continue  # an addon brings it
        (tree / "bin" / program.name).symlink_to(program)
    (tree / "opt/cni").mkdir(parents=True)
    (tree / "opt/cni/bin").symlink_to(STORE / "microk8s/cni")


def link_plugins() -> None:
    """The CNI plugins in the snap's data directory."""
    target = DATA / "opt/cni/bin"
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    target.symlink_to(STORE / "microk8s/cni")


def apps(minor: int) -> list[str]:
    """The snap's commands, as files in /snap/bin."""
    names = [
        *(
            "kubectl",
            "add-node",
            "refresh-certs",
            "join",
            "remove-node",
            "leave",
            "ctr",
            "inspect",
            "enable",
            "disable",
        ),
        *("start", "stop", "status", "config", "reset", "istioctl", "linkerd", "helm", "helm3", "dbctl"),
    ]
    if minor >= 24:
        names.append("addons")
    if minor >= 25:
        names += ["images", "version"]
    if minor < 24:
        names += ["dashboard-proxy", "cilium", "juju"]
    return ["microk8s", *(f"microk8s.{name}" for name in names)]


def expand(text: str) -> str:
    """Variables of the snap's environment in a line of an arguments file."""
    env = layout.environment()
    for name in ("SNAP_DATA", "SNAP_COMMON", "SNAP"):
        text = text.replace("${" + name + "}", env[name])
    return text


def read_args(name: str) -> list[str]:
    """The words of an arguments file: `--option value` lines give two."""
    words: list[str] = []
    for line in (ARGS / name).read_text().splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            words += expand(line).replace('"', "").replace("'", "").split()
    return words


def link(path: Path, target: str | Path) -> None:
    """Point a link somewhere, in one step."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
