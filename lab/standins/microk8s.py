"""The program `microk8s` and its subcommands."""

from __future__ import annotations

import argparse
import getpass
import http.client
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import addons, certs, cluster, join, layout, node
from .cluster import Api
from .layout import CERTS, COMMON, CREDENTIALS, DATA, SNAP
from .system import default_address, fail, refuse, systemctl, wait_for

DEAF = "watches-stalled"
NOT_RUNNING = "microk8s is not running, try microk8s start"
CLUSTERED = "This MicroK8s deployment is acting as a node in a cluster."


def permitted() -> None:
    """The test of access is whether the caller can read the administrator's kubeconfig."""
    if os.access(CREDENTIALS / "client.config", os.R_OK):
        return
    user = getpass.getuser()
    lines = [
        "Insufficient permissions to access MicroK8s.",
        f"You can either try again with sudo or add the user {user} to the 'microk8s' group:",
        "",
        f"    sudo usermod -a -G microk8s {user}",
    ]
    if layout.minor() >= 21:
        lines += [
            f"    sudo chown -R {user} ~/.kube",
            "",
            "After this, reload the user groups either via a reboot or by running 'newgrp microk8s'.",
        ]
    else:
        lines += ["", "The new group will be available on the user's next login."]
    fail("\n".join(lines))


def root_only() -> None:
    """Some commands test for root themselves."""
    if os.geteuid() != 0:
        refuse("Elevated permissions is needed for this operation. Please run this command with sudo.", 50)


def running() -> None:
    """End if MicroK8s was stopped."""
    if layout.locked("stopped.lock"):
        fail(NOT_RUNNING)


# --- status ----------------------------------------------------------------------------------------------------------


def status(argv: list[str]) -> int:
    minor = layout.minor()
    parser = argparse.ArgumentParser("microk8s status")
    parser.add_argument("--format", default="pretty", choices=["pretty", "yaml", "short"])
    parser.add_argument("-w", "--wait-ready", action="store_true")
    parser.add_argument("-t", "--timeout", type=int, default=0)
    parser.add_argument("-a", "--addon", default="")
    parser.add_argument("--yaml", action="store_true")
    permitted()
    if layout.locked("stopped.lock"):
        print(NOT_RUNNING)
        return 0
    if layout.is_worker():
        if minor >= 24:
            print(f"{CLUSTERED}\nPlease use the control plane node.")
            return 0
        refuse(f"{CLUSTERED}\nPlease use the master node.")
    args = parser.parse_args(argv)
    # Without a time limit it waits for ever, as the real one does.
    ready = wait_for(cluster.ready, (args.timeout or float("inf")) if args.wait_ready else 0, 2)
    members = cluster.datastore_members() if ready else []
    code = 0 if ready or minor < 28 else 1
    if args.addon:
        addon = addons.find(args.addon.rpartition("/")[2], minor)
        print("enabled" if ready and addon and addon.enabled(Api()) else "disabled")
        return code
    # The deprecated option is a form of its own, and only where no other is asked for.
    form = "short_yaml" if args.yaml and args.format == "pretty" else args.format
    shown = {"pretty": _pretty, "yaml": _yaml, "short": _short, "short_yaml": _short_yaml}[form]
    states = []
    if ready:
        api = Api()
        states = [(addon, addon.enabled(api)) for addon in addons.addons(minor)]
        states.sort(key=lambda state: not state[1])  # in every form the enabled ones come first
    print(shown(ready, members, states, minor))
    return code


States = list[tuple[addons.Addon, bool]]
_NOT_READY = "microk8s is not running. Use microk8s inspect for a deeper inspection."


def _pretty(ready: bool, members: list[dict[str, str]], states: States, minor: int) -> str:
    if not ready:
        return _NOT_READY
    voters = [m["address"] for m in members if m["role"] == "voter"]
    standby = [m["address"] for m in members if m["role"] == "standby"]
    lines = [
        "microk8s is running",
        f"high-availability: {'yes' if len(voters) > 2 else 'no'}",
        f"  datastore master nodes: {' '.join(voters) or 'none'}",
        f"  datastore standby nodes: {' '.join(standby) or 'none'}",
        "addons:",
    ]
    repository = "(core) " if minor >= 24 else ""
    for word, wanted in (("enabled", True), ("disabled", False)):
        chosen = [addon for addon, enabled in states if enabled == wanted]
        if chosen:
            lines.append(f"  {word}:")
            lines += [f"{'':>3} {addon.name:<20} # {repository}{addon.description}" for addon in chosen]
    return "\n".join(lines)


def _short(ready: bool, members: list[dict[str, str]], states: States, minor: int) -> str:
    if not ready:
        return _NOT_READY
    prefix = "core/" if minor >= 24 else ""
    lines = [f"{prefix}{addon.name}: {'enabled' if enabled else 'disabled'}" for addon, enabled in states]
    return "\n".join(["microk8s is running", "addons:", *lines])


def _short_yaml(ready: bool, members: list[dict[str, str]], states: States, minor: int) -> str:
    lines = ["microk8s:", f"  running: {ready}"]
    if not ready:
        return "\n".join([*lines, "  message: " + _NOT_READY])
    listed = _short(ready, members, states, minor).splitlines()[2:]
    return "\n".join([*lines, "addons:", *(f"  {line}" for line in listed)])


def _yaml(ready: bool, members: list[dict[str, str]], states: States, minor: int) -> str:
    # Not whether there are enough voters: whether the node could be one of them.
    enabled = layout.locked("ha-cluster")
    lines = ["microk8s:", f"  running: {ready}", "high-availability:", f"  enabled: {enabled}"]
    if enabled:
        lines.append("  nodes:")
        lines += [f"    - address: {m['address']}\n      role: {m['role']}" for m in members]
    if not ready:
        lines += ["  message: " + _NOT_READY]
        return "\n".join(lines)
    lines.append("addons:")
    for addon, is_enabled in states:
        lines.append(f"  - name: {addon.name}")
        if minor >= 24:
            lines.append("    repository: core")
        lines += [
            f"    description: {addon.description}",
            f"    version: {addon.version}",
            f"    status: {'enabled' if is_enabled else 'disabled'}",
        ]
    return "\n".join(lines)


# --- programs of the snap --------------------------------------------------------------------------------------------


def kubectl(argv: list[str]) -> int:
    permitted()
    if layout.is_worker():
        print(f"{CLUSTERED} Please use the microk8s kubectl on the master.")
        return 0
    running()
    if layout.locked(DEAF) and any(word in ("-w", "--watch") or "watch=" in word for word in argv):
        time.sleep(3600)  # the datastore delivers no events: nothing comes, and nothing says so
    env = {**layout.environment(), "KUBECONFIG": os.environ.get("KUBECONFIG", str(CREDENTIALS / "client.config"))}
    os.execve(SNAP / "kubectl", [str(SNAP / "kubectl"), *argv], env)
    return 0


def helm(argv: list[str]) -> int:
    permitted()
    if layout.is_worker() and layout.minor() >= 25:
        print(f"{CLUSTERED} Please use the microk8s helm on the master.")
        return 0
    running()
    program = SNAP / "bin/helm" if layout.minor() >= 25 else DATA / "bin/helm3"
    if not program.exists():
        print("Helm 3 not available, try enabling it with 'microk8s enable helm3'", file=sys.stderr)
        return 0
    env = layout.environment()
    os.execve(program, [str(program), f"--kubeconfig={CREDENTIALS / 'client.config'}", *argv], env)
    return 0


def ctr(argv: list[str]) -> int:
    permitted()
    program = SNAP / "bin/ctr"
    os.execve(
        program,
        [str(program), "--address", str(COMMON / "run/containerd.sock"), "--namespace", "k8s.io", *argv],
        layout.environment(),
    )
    return 0


def config(argv: list[str]) -> int:
    permitted()
    if layout.is_worker():
        print(f"{CLUSTERED} Please use the microk8s config on the master.")
        return 0
    text = (CREDENTIALS / "client.config").read_text()
    if not set(argv) & {"-l", "--use-loopback"}:
        text = text.replace("127.0.0.1", default_address())
    print(text)
    return 0


def version(_: list[str]) -> int:
    print(f"MicroK8s {layout.version()} revision {layout.revision()}")
    return 0


# --- start and stop --------------------------------------------------------------------------------------------------


def stop(_: list[str]) -> int:
    permitted()
    if layout.is_worker():
        print(f"{CLUSTERED}\nUse 'snap stop microk8s' to stop services on this node.")
        return 0
    minor = layout.minor()
    _need_root("stop")
    node.stop(node.kubernetes_daemons(minor), disable=True)
    print("Stopped.", flush=True)
    node.kill_containers()
    node.stop(node.daemons(minor), disable=True)
    print("Stopped.")
    layout.lock("stopped.lock")
    return 0


def start(_: list[str]) -> int:
    permitted()
    if layout.is_worker():
        print(f"{CLUSTERED}\nUse 'snap start microk8s' to start services on this node.")
        return 0
    _need_root("start")
    node.start(
        [d for d in node.daemons(layout.minor()) if d != "apiserver-proxy" or not layout.locked("no-apiserver-proxy")]
    )
    layout.unlock("stopped.lock")
    wait_for(cluster.ready, 60, 1)
    return 0


def _need_root(command: str) -> None:
    """The wrappers call sudo themselves; a mere member of the group is asked for a password."""
    if os.geteuid() != 0:
        raise SystemExit(subprocess.run(["sudo", "/snap/bin/microk8s", command], check=False).returncode)


def reset(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("microk8s reset")
    parser.add_argument("--destroy-storage", action="store_true")
    parser.parse_args(argv)
    root_only()
    if layout.is_worker():
        refuse(f"{CLUSTERED} Please use microk8s leave.")
    running()
    if len(Api().nodes()) > 1:
        print("This is a multi-node MicroK8s deployment. Reset is applicable for single node clusters.")
        print("Please remove all joined nodes before calling reset.")
        return 0
    minor = layout.minor()
    print("Disabling all addons", flush=True)
    for addon in addons.addons(minor):
        print(f"Disabling addon : core/{addon.name}", flush=True)
    daemons = [d for d in node.daemons(minor) if d != "apiserver-proxy"]
    node.stop([*node.kubernetes_daemons(minor), node.datastore_daemon(minor)])
    node.kill_containers()
    print("Restarting cluster", flush=True)
    join.fresh(minor)
    node.start(daemons)
    node.restart(["cluster-agent", "apiserver-kicker"])
    print("Setting up the CNI", flush=True)
    wait_for(cluster.ready, 60, 1)
    return 0


# --- certificates ----------------------------------------------------------------------------------------------------


def refresh_certs(argv: list[str]) -> int:
    minor = layout.minor()
    parser = argparse.ArgumentParser("microk8s refresh-certs")
    parser.add_argument("ca_dir", nargs="?")
    parser.add_argument("-c", "--check", action="store_true")
    parser.add_argument("-u", "--undo", action="store_true")
    if minor >= 21:
        parser.add_argument("-e", "--cert", choices=["server.crt", "front-proxy-client.crt", "ca.crt"])
    args = parser.parse_args(argv)
    root_only()
    if layout.is_worker():
        print(f"{CLUSTERED} Please use the microk8s refresh-certs on the master.")
        return 0
    if args.check:
        for title, file in (("CA", "ca"), ("server", "server"), ("front proxy client", "front-proxy-client")):
            print(f"The {title} certificate will expire in {certs.days_left(CERTS / f'{file}.crt')} days.")
        return 0
    backup = COMMON / "var/log/microk8s-certs-backup"
    if args.undo:
        if not backup.is_dir():
            refuse("There are no previous certificates to restore.", 10)
        shutil.copytree(backup, CERTS, dirs_exist_ok=True)
        node.write_credentials(minor)
        _restart_control_plane(minor)
        return 20
    cert = getattr(args, "cert", None) or ("ca.crt" if minor < 21 else None)
    if args.ca_dir:
        refuse("Certificates of one's own are not taken here.", 30)
    if cert is None:
        print("Please use the -e flag to select the certificate to refresh: server.crt, front-proxy-client.crt, ca.crt")
        return 3
    print(f"Taking a backup of the current certificates under {backup}", flush=True)
    shutil.rmtree(backup, ignore_errors=True)
    shutil.copytree(CERTS, backup)
    print("Creating new certificates", flush=True)
    from .system import node_name, own_addresses

    if cert == "server.crt":
        certs.new_server(own_addresses())
    elif cert == "front-proxy-client.crt":
        certs.new_front_proxy()
    else:
        certs.new_authority("ca", layout.SERVICE_IP)
        certs.new_server(own_addresses())
        certs.new_components(node_name())
        node.write_credentials(minor)
    _restart_control_plane(minor)
    return 0


def _restart_control_plane(minor: int) -> None:
    node.restart(["cluster-agent", *node.kubernetes_daemons(minor)])
    wait_for(cluster.ready, 60, 1)


# --- datastore -------------------------------------------------------------------------------------------------------


def dbctl(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("microk8s dbctl")
    parser.add_argument("--debug", action="store_true")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("backup").add_argument("-o", "--fname-backup")
    commands.add_parser("restore").add_argument("backup_file")
    args = parser.parse_args(argv)
    permitted()
    if layout.is_worker():
        refuse(f"{CLUSTERED}\nPlease run dbctl on a control plane node.")
    if not cluster.datastore_members():
        refuse("Please ensure the kubernetes apiserver is running and HA is enabled.", 10)
    return _backup(args.fname_backup) if args.command == "backup" else _restore(args.backup_file)


def _backup(name: str | None) -> int:
    stem = (name or time.strftime("backup-%Y-%m-%d-%H-%M-%S")).removesuffix(".tar.gz")
    target = Path(f"{stem}.tar.gz")
    print("Backing up the datastore", flush=True)
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp) / stem.lstrip("/")
        # Up to 1.31 the program that writes the keys makes no directory but the last one.
        if layout.minor() >= 32:
            folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
            for number, (key, value) in enumerate(cluster.Keys().all()):
                (folder / f"{number}.key").write_bytes(key)
                (folder / f"{number}.data").write_bytes(value)
        except (OSError, http.client.HTTPException) as exc:
            print(f"panic: {exc}", file=sys.stderr)
            refuse("Backup process failed. 2", 1)
        try:
            with tarfile.open(target, "w:gz") as tar:
                tar.add(folder, target.name.removesuffix(".tar.gz"))
        except OSError as exc:
            refuse(f"Backup process failed. {exc}", 2)
    print(f"The backup is: {target}")
    return 0


def _restore(name: str) -> int:
    """Write every entry of a backup over what is there: what was deleted comes back, what is newer stays."""
    print(f"Restoring from {name}", flush=True)
    with tempfile.TemporaryDirectory() as tmp:
        try:
            with tarfile.open(name) as tar:
                tar.extractall(tmp, filter="data")
        except (OSError, tarfile.TarError) as exc:
            refuse(f"{name} is no backup: {exc}", 3)
        keys = cluster.Keys()
        for path in sorted(Path(tmp).rglob("*.key")):
            try:
                keys.put(path.read_bytes(), path.with_suffix(".data").read_bytes())
            except (OSError, http.client.HTTPException) as exc:
                refuse(f"The datastore could not be restored: {exc}", 4)
    return 0


# --- the rest --------------------------------------------------------------------------------------------------------


def inspect(_: list[str]) -> int:
    permitted()
    code = 0
    print("Inspecting system\nInspecting Certificates\nInspecting services")
    for daemon in node.daemons(layout.minor()):
        if daemon == "apiserver-proxy":
            continue
        name = f"snap.microk8s.daemon-{daemon}"
        if layout.is_worker() and daemon == node.datastore_daemon(layout.minor()):
            continue
        if systemctl("is-active", "--quiet", node.unit(daemon)):
            print(f"  Service {name} is running")
        else:
            print(f"\033[31m FAIL: \033[0m Service {name} is not running")
            print(f"For more details look at: sudo journalctl -u {name}")
            code = 1
    import socket

    hostname = socket.gethostname()
    if hostname != hostname.lower() or "_" in hostname:
        print(
            "\033[0;33mWARNING: \033[0m This machine's hostname contains capital letters and/or underscores. This is"
            " not a valid name for a Kubernetes node, causing node registration to fail."
        )
    report = Path(os.path.realpath(DATA)) / time.strftime("inspection-report-%Y%m%d_%H%M%S.tar.gz")
    with tarfile.open(report, "w:gz") as tar:
        tar.add(DATA / "args", "inspection-report/args")
    print(f"Building the report tarball\n  Report tarball is at {report}")
    return code


def images(argv: list[str]) -> int:
    permitted()
    if not argv or argv[0] not in ("import", "export-local"):
        print("Usage: microk8s images [import|export-local]")
        return 1
    if argv[0] == "export-local":
        return ctr(["images", "export", *argv[1:]])
    name = next((word for word in argv[1:] if not word.startswith("--")), "-")
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as exc:
        fail(f"Error: failed to read {name}: {exc}")
    print(f"Pushing OCI images to {default_address()}:25000", flush=True)
    command = [str(SNAP / "bin/ctr"), "--address", str(COMMON / "run/containerd.sock"), "--namespace", "k8s.io"]
    done = subprocess.run([*command, "image", "import", "-"], input=data, check=False, capture_output=True)
    if done.returncode:
        print(f"Failed: {done.stderr.decode(errors='replace').strip()}")
    return 0


def repositories(argv: list[str]) -> int:
    permitted()
    words = argv[1:] if argv[:1] == ["repo"] else argv
    if words[:1] == ["list"] or not words:
        kind = words[words.index("--format") + 1] if "--format" in words else "table"
        source = "https://github.com/canonical/microk8s-core-addons"
        if kind == "json":
            print(f'[{{"name": "core", "source": "{source}"}}]')
        elif kind == "yaml":
            print(f"- name: core\n  source: {source}")
        else:
            print(f"{'REPO':<10} ADDONS SOURCE\n{'core':<10} (built-in) {source}")
        return 0
    if words[0] == "update":
        root_only()
        print("Updating repository core\nAlready up to date.")
        return 0
    fail("Error: other repositories of addons cannot be reached from here")


def available() -> list[str]:
    """The subcommands of this release."""
    return sorted(app.partition(".")[2] for app in node.apps(layout.minor()) if "." in app)


def _listing() -> str:
    return "Available subcommands are:\n" + "\n".join(f"\t{name}" for name in available())


def _missing(argv: list[str]) -> int:
    fail("This command cannot be had here.")


def _not_stopped() -> None:
    if not layout.is_worker():
        running()


def _sudo(words: list[str]) -> None:
    """The wrappers call sudo themselves."""
    if os.geteuid() != 0:
        raise SystemExit(subprocess.run(["sudo", "/snap/bin/microk8s", *words], check=False).returncode)


def _add_node(argv: list[str]) -> int:
    permitted()
    running()
    return join.add_node(argv)


def _join(argv: list[str]) -> int:
    permitted()
    _sudo(["join", *argv])
    return join.join(argv)


def _leave(argv: list[str]) -> int:
    permitted()
    _sudo(["leave", *argv])
    return join.leave(argv)


def _remove_node(argv: list[str]) -> int:
    permitted()
    return join.remove_node(argv)


def _enable(argv: list[str]) -> int:
    permitted()
    _not_stopped()
    return addons.change("enable", argv)


def _disable(argv: list[str]) -> int:
    permitted()
    _not_stopped()
    return addons.change("disable", argv)


def _ctr(argv: list[str]) -> int:
    _sudo(["ctr", *argv])
    return ctr(argv)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "status": status,
    "add-node": _add_node,
    "join": _join,
    "leave": _leave,
    "remove-node": _remove_node,
    "enable": _enable,
    "disable": _disable,
    "kubectl": kubectl,
    "helm": helm,
    "helm3": helm,
    "config": config,
    "start": start,
    "stop": stop,
    "reset": reset,
    "refresh-certs": refresh_certs,
    "dbctl": dbctl,
    "inspect": inspect,
    "images": images,
    "addons": repositories,
    "version": version,
    "ctr": _ctr,
}


def main(argv: list[str]) -> int:
    """`microk8s SUBCOMMAND …`."""
    if not layout.version():
        fail('error: snap "microk8s" is not installed')
    if not argv:
        print(_listing())
        return 1
    if argv[0] in ("help", "--help", "-h"):
        print(_listing())
        return 0
    if argv[0] not in available():
        print(f"'{argv[0]}' is not a valid MicroK8s subcommand.\n{_listing()}")
        return 1
    return COMMANDS.get(argv[0], _missing)(argv[1:])
