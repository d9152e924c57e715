"""A machine for the stand-ins that is only a directory: a store with programs that say what they were called with."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]

# Keeps which units are enabled and active; a unit named in `broken` does not start.
SYSTEMCTL = """#!/usr/bin/python3
import json, os, sys
path = os.environ["FAKE_STATE"]
state = json.load(open(path)) if os.path.exists(path) else {"enabled": [], "active": [], "calls": [], "broken": []}
words = [w for w in sys.argv[1:] if not w.startswith("-")]
now = "--now" in sys.argv
verb, units = words[0], words[1:]
state["calls"].append(sys.argv[1:])
code = 0
def put(name, unit, present):
    if present and unit not in state[name]: state[name].append(unit)
    if not present and unit in state[name]: state[name].remove(unit)
for unit in units:
    if verb == "enable": put("enabled", unit, True)
    if verb == "disable": put("enabled", unit, False)
    if verb in ("start", "restart") or verb == "enable" and now:
        if unit in state["broken"]: code = 1
        else: put("active", unit, True)
    if verb == "stop" or verb == "disable" and now: put("active", unit, False)
    if verb == "is-active" and unit not in state["active"]: code = 3
    if verb == "is-enabled":
        print("enabled" if unit in state["enabled"] else "disabled")
        if unit not in state["enabled"]: code = 1
json.dump(state, open(path, "w"))
sys.exit(code)
"""
IP = """#!/bin/sh
case "$*" in
*"route show default"*) echo '[{"dst":"default","gateway":"172.20.0.1","dev":"eth0"}]' ;;
*"addr show dev eth0"*)
 echo '[{"ifname":"eth0","addr_info":[{"family":"inet","local":"172.20.10.11","prefixlen":20}]}]' ;;
*"addr show"*) echo '[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
 {"ifname":"docker0","addr_info":[{"family":"inet","local":"172.17.0.1","prefixlen":16}]},
 {"ifname":"eth0","addr_info":[{"family":"inet","local":"172.20.10.11","prefixlen":20}]},
 {"ifname":"vxlan.calico","addr_info":[{"family":"inet","local":"10.1.0.0","prefixlen":32}]}]' ;;
*) echo '[]' ;;
esac
"""
ECHO = '#!/bin/sh\necho "$(basename "$0")" "$@"\n'


class Machine:
    """A root directory with the stand-ins' store, and fakes of what only a real machine has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fakes = root / "fakes"

    @classmethod
    def new(cls, root: Path) -> Machine:
        machine = cls(root)
        store = root / "usr/lib/snapd/store"
        programs = ["kubernetes/1.36/kubelite", "kubernetes/1.36/kubectl", "kubernetes/1.36/yaml2json"]
        programs += [f"bin/{name}" for name in ("helm", "helm3", "ctr", "containerd", "etcd")] + ["cni/ptp"]
        for name in programs:
            machine.program(store / "microk8s" / name, ECHO)
        machine.program(store / "microk8s/bin/etcdctl", "#!/bin/sh\nexit 1\n")
        (store / "registry").write_text("http://172.20.0.1:5000\n")
        machine.program(machine.fakes / "systemctl", SYSTEMCTL)
        machine.program(machine.fakes / "ip", IP)
        for name in ("groupadd", "getent"):
            machine.program(machine.fakes / name, "#!/bin/sh\nexit 0\n")
        (root / "etc/systemd/system").mkdir(parents=True)
        return machine

    def copy(self, root: Path) -> Machine:
        shutil.copytree(self.root, root, symlinks=True)
        return Machine(root)

    @staticmethod
    def program(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "SNAPD_ROOT": str(self.root),
            "FAKE_STATE": str(self.root / "systemd.json"),
            "PATH": f"{self.fakes}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *words: str, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `snap …` or `microk8s …`."""
        code = "import sys; from lab.standins.snap import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            input=stdin,
        )

    def ok(self, *words: str) -> str:
        """Run it, expect success, hand back stdout."""
        done = self.run(*words)
        assert done.returncode == 0, done
        return done.stdout

    @property
    def systemd(self) -> dict[str, list[str]]:
        return json.loads((self.root / "systemd.json").read_text())

    def break_unit(self, unit: str) -> None:
        path = self.root / "systemd.json"
        state = self.systemd if path.exists() else {"enabled": [], "active": [], "calls": [], "broken": []}
        path.write_text(json.dumps({**state, "broken": [unit]}))

    @property
    def data(self) -> Path:
        return self.root / "var/snap/microk8s/current"

    @property
    def common(self) -> Path:
        return self.root / "var/snap/microk8s/common"

    def lock(self, name: str) -> None:
        (self.data / "var/lock" / name).touch()

    def modules(self, monkeypatch: object) -> Modules:
        """The stand-ins' modules, looking at this machine."""
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)  # type: ignore[attr-defined]
        for name in [name for name in sys.modules if name.startswith("lab.standins")]:
            monkeypatch.delitem(sys.modules, name)  # type: ignore[attr-defined]
        return Modules()


class Modules:
    """`modules.agent` is lab.standins.agent."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(f"lab.standins.{name}")
