"""What the snap's services run: each prepares its machine and becomes the real program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from . import layout, node, releases
from .layout import ARGS, BACKEND, COMMON, DATASTORE_PORT, ETCD_PORT, POD_CIDR, SNAP, write
from .system import accepts, default_interface, fail, node_name, output, succeeds, systemctl, wait_for


def run(daemon: str, _: list[str]) -> int:
    """Become a service."""
    if daemon in node.idle(layout.minor()):
        print("Not starting: this cluster has its own datastore and network")
    elif daemon == "kubelite":
        kubelite()
    elif daemon == "containerd":
        containerd()
    elif daemon in ("k8s-dqlite", "etcd"):
        datastore()
    elif daemon == "cluster-agent":
        from .agent import serve

        return serve()
    elif daemon == "apiserver-kicker":
        from .kicker import watch

        return watch()
    elif daemon == "apiserver-proxy":
        return proxy()
    elif daemon in ("apiserver", "controller-manager", "scheduler", "kubelet", "proxy"):
        component(daemon)
    else:
        fail(f'error: snap "microk8s" has no service "daemon-{daemon}"')
    return 0


def become(program: Path, args: list[str]) -> None:
    """Replace this process."""
    os.execve(program, [str(program), *args], layout.environment())


# --- Kubernetes ------------------------------------------------------------------------------------------------------


def kubelite() -> None:
    """All Kubernetes components of this node in one process."""
    control_plane = node.get_arg("kubelite", "--start-control-plane") != "false"
    prepare_machine()
    wait_for_runtime()
    if control_plane and not wait_for(lambda: accepts(("127.0.0.1", ETCD_PORT)), 60):
        fail("the datastore does not answer")
    args = node.read_args("kubelite")
    if releases.build_for(layout.minor()) != f"1.{layout.minor()}":
        args.append(f"--report-version={layout.version()}")
    become(SNAP / "kubelite", args)


def component(name: str) -> None:
    """One component of a release that has a service for each."""
    program = {"apiserver": "kube-apiserver", "proxy": "kube-proxy", "kubelet": "kubelet"}.get(name, f"kube-{name}")
    if name == "kubelet":
        prepare_machine()
        wait_for_runtime()
    elif name == "apiserver":
        wait_for(lambda: accepts(("127.0.0.1", ETCD_PORT)), 60)
    elif not layout.is_worker():
        wait_for(lambda: accepts(("127.0.0.1", layout.API_PORT)), 60)
    args = []
    for line in (ARGS / program).read_text().splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            option, equals, value = node.expand(line).partition("=")
            args.append(option + equals + value.strip("\"'"))
    become(SNAP / program, args)


def wait_for_runtime() -> None:
    """The kubelet ends when the container runtime does not answer."""
    if not wait_for(lambda: accepts(str(COMMON / "run/containerd.sock")), 60):
        fail("containerd does not answer")


def prepare_machine() -> None:
    """What MicroK8s does to a machine before each start of the kubelet."""
    if not wait_for(lambda: bool(default_interface()), 10):
        print("No default route: the cluster's network will not work", flush=True)
    clock_speed()
    for key in ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"):
        path = Path("/proc/sys") / key.replace(".", "/")
        if path.read_text().strip() != "1":
            path.write_text("1\n")
    firewall()


def clock_speed() -> None:
    """The kubelet ends on a machine whose processors do not tell their clock speed: show it one that does."""
    text = Path("/proc/cpuinfo").read_text()
    if "cpu MHz" in text:
        return
    copy = Path("/run/cpuinfo")
    copy.write_text(text.replace("bogomips", "cpu MHz\t\t: 2000.000\nbogomips"))
    subprocess.run(["mount", "--bind", str(copy), "/proc/cpuinfo"], check=False)


def firewall() -> None:
    """Open an active ufw to the pods' interfaces, and the forward chain to their range."""
    ufw = output("ufw", "status") if Path("/usr/sbin/ufw").exists() else ""
    if layout.minor() >= 22 and ufw.startswith("Status: active") and not layout.locked("skip.ufw"):
        for interface in ("vxlan.calico", "cali+"):
            for direction in ("in", "out"):
                if f"on {interface}" not in ufw or direction == "out":
                    subprocess.run(["ufw", "allow", direction, "on", interface], check=False, capture_output=True)
    for program in ("/usr/sbin/iptables",):
        if not Path(program).exists():
            continue
        for flag in ("-s", "-d"):
            rule = [flag, POD_CIDR, "-m", "comment", "--comment", "generated for MicroK8s pods", "-j", "ACCEPT"]
            if not succeeds(program, "-C", "FORWARD", *rule):
                succeeds(program, "-A", "FORWARD", *rule)


# --- container runtime -----------------------------------------------------------------------------------------------


def containerd() -> None:
    """The container runtime, with its configuration made from the template at each start."""
    values = {
        "SNAPSHOTTER": "overlayfs",
        "RUNTIME": "runc",
        "RUNTIME_TYPE": "io.containerd.runc.v2",
    }
    text = node.expand((ARGS / "containerd-template.toml").read_text())
    for name, value in values.items():
        text = text.replace("${" + name + "}", value)
    write(ARGS / "containerd.toml", text, 0o600)
    (COMMON / "run").mkdir(parents=True, exist_ok=True)
    forget_other_boot()
    become(SNAP / "bin/containerd", node.read_args("containerd"))


def forget_other_boot() -> None:
    """The runtime's state of before a reboot names processes and mounts that are gone."""
    import shutil

    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    known = COMMON / "run/boot-id"
    if known.exists() and known.read_text() != boot:
        shutil.rmtree(COMMON / "run/containerd", ignore_errors=True)
    write(known, boot)


# --- datastore -------------------------------------------------------------------------------------------------------


def datastore() -> None:
    """The cluster's datastore."""
    if layout.locked("no-k8s-dqlite"):
        return
    address = node.datastore_address()
    url = f"http://{address}:{DATASTORE_PORT}"
    client = f"http://127.0.0.1:{ETCD_PORT}"
    name = node_name()
    initial = BACKEND / "initial-cluster"
    joining = node.joined_datastore()
    become(
        SNAP / "bin/etcd",
        [
            f"--name={name}",
            f"--data-dir={os.path.realpath(BACKEND)}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={url}",
            f"--initial-advertise-peer-urls={url}",
            f"--initial-cluster={initial.read_text().strip() if joining else f'{name}={url}'}",
            f"--initial-cluster-state={'existing' if joining else 'new'}",
            "--log-level=warn",
            "--auto-compaction-retention=5m",
        ],
    )


# --- a worker's way to the API server --------------------------------------------------------------------------------


def proxy() -> int:
    """A worker's proxy to the API servers; on a control plane there is nothing to do."""
    if layout.locked("no-apiserver-proxy"):
        print("Not starting API proxy")
        systemctl("--no-block", "disable", "--now", "--no-reload", node.unit("apiserver-proxy"))
        return 0
    from .proxy import serve

    return serve()
