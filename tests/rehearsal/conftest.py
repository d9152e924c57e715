"""The running lab, as the rehearsal tests use it.

Tests run in the order they stand: each file begins with bare machines, each test goes on from the one before.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab import ROOT
from lab.layout import CHAIN_PORT, GATEWAY, Layout

Judge = dict[str, t.Any]


class Lab:
    """What a test may do: what a person could type, and nothing else."""

    def command(self, *words: str, check: bool = True, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run `lab WORDS`."""
        done = subprocess.run(
            [str(ROOT / "bin/lab"), *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,  # Ansible refuses one that does not block
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(
                f"lab {' '.join(words)} ended with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
            )
        return done

    def play(self, *words: str, check: bool = True, timeout: float = 1800) -> Play:
        """Run ansible-playbook inside the lab's network."""
        done = self.command("exec", "--", "ansible-playbook", *words, check=False, timeout=timeout)
        play = Play(done.returncode, done.stdout + done.stderr)
        if check and play.failed:
            pytest.fail(f"ansible-playbook {' '.join(words)} failed:\n{play.output[-8000:]}")
        return play

    def during(self, machine: str, condition: str, act: Callable[[], None], *play: str) -> Play:
        """Run a playbook, and do something as soon as a command succeeds on a machine."""
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            run = pool.submit(self.play, *play, check=False)
            while not run.done():
                if self.command("ssh", machine, "--", condition, check=False).returncode == 0:
                    act()
                    break
                time.sleep(0.2)
            else:
                pytest.fail(f"the run ended before `{condition}` was true on {machine}:\n{run.result().output[-4000:]}")
            return run.result()

    def on(self, machine: str, command: str, *, check: bool = True) -> str:
        """What a shell command prints on a machine."""
        return self.command("ssh", machine, "--", command, check=check).stdout.strip()

    def kubectl(self, words: str) -> t.Any:
        """What kubectl on the first control plane says, as JSON."""
        return json.loads(self.on("master", f"/snap/bin/microk8s kubectl {words} -o json"))

    def chain(self, path: str, *posted: str) -> t.Any:
        """What the chain answers, also to a file that is posted to it."""
        address = f"http://{GATEWAY}:{CHAIN_PORT}{path}"
        answer = self.command("exec", "--", sys.executable, "-m", "lab.fetch", address, *posted).stdout
        return json.loads(answer or "null")

    def judge(self) -> Judge:
        """All signatures the chain has seen, and the offences among them."""
        verdict: Judge = json.loads(self.command("judge", "--format", "json", check=False).stdout)
        return verdict

    def beacons_show(self, **troubles: bool | str) -> None:
        """Troubles of beacon nodes, as lab/prysm/README.md has them; only= a release."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as posted:
            posted.write(json.dumps(troubles))
            posted.flush()
            self.chain("/faults", posted.name)

    def fault(self, name: str, *words: str) -> None:
        """Break something."""
        self.command("fault", name, *words)

    def power_on(self, machine: str) -> None:
        """Give a machine its power back, and wait until one can log in."""
        self.fault("power-on", machine)
        self.wait(
            f"{machine} answers",
            lambda: self.command("ssh", machine, "--", "true", check=False).returncode == 0,
            seconds=60,
        )

    def wait(self, what: str, true: Callable[[], bool], *, seconds: float) -> None:
        """Until `true`, or fail."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if true():
                    return
            except (Exception, pytest.fail.Exception) as exc:  # a machine that does not answer yet, too
                last: object = exc
            else:
                last = "not yet"
            time.sleep(2)
        pytest.fail(f"after {seconds} s still not: {what} ({last})")

    def nodes_ready(self) -> dict[str, bool]:
        """Node -> whether Kubernetes calls it Ready."""
        return {
            node["metadata"]["name"]: any(
                c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"]
            )
            for node in self.kubectl("get nodes")["items"]
        }

    def versions(self) -> dict[str, str]:
        """Node -> Kubernetes' version there without the patch, as in v1.36."""
        return {
            node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"].rpartition(".")[0]
            for node in self.kubectl("get nodes")["items"]
        }

    def cordoned(self) -> set[str]:
        """The nodes that take no new pods."""
        return {n["metadata"]["name"] for n in self.kubectl("get nodes")["items"] if n["spec"].get("unschedulable")}

    def attested(self) -> dict[str, int]:
        """Key -> number of attestations the judge has."""
        return {key: seen["attestations"] for key, seen in self.judge()["keys"].items()}

    def all_sign_on(self, *, seconds: float = 60) -> None:
        """Every key the judge knows signs again from now on."""
        before = self.attested()
        self.wait(
            "every key signs again", lambda: all(n > before[k] for k, n in self.attested().items()), seconds=seconds
        )


class Play:
    """The outcome of one ansible-playbook run."""

    def __init__(self, code: int, output: str) -> None:
        self.failed = code != 0
        self.output = output

    @property
    def said(self) -> str:
        """All it printed on one line: Ansible breaks sentences into several."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> dict[str, int]:
        """Machine -> number of changed tasks. The controller, where a run is only opened, is none."""
        told = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", self.output, re.M)
        return {name: int(n) for name, n in told if name != "localhost" or int(n) > 0}


class Inventory:
    """The site's inventory with other variables on top, as an operator would have edited it."""

    def __init__(self, folder: Path, validators: list[dict[str, t.Any]], **more: t.Any) -> None:
        (folder / "group_vars").mkdir(parents=True)
        (folder / "hosts.yml").write_text("site: {}\n")
        (folder / "group_vars/all.yml").write_text(yaml.safe_dump({"prysm_validators": validators, **more}))
        self.words = ("-i", "inventory/testnet", "-i", "inventory/lab", "-i", str(folder))


def history(lab: Lab, client: str, key: str) -> dict[str, t.Any]:
    """Everything a client's database knows of a key, read on the NFS server."""
    done = lab.command(
        "exec", "--", "ansible", "nfs", "-b", "-o", "-m", "eth2xk8s.staking.slashing_protection_info",
        "-a", f"path=/data/prysm/{client}/validator.db records=true pubkeys={key}",
    )  # fmt: skip
    found = json.loads(done.stdout[done.stdout.index("{") :])["keys"]
    return t.cast("dict[str, t.Any]", found.get(key, {"blocks": [], "attestations": []}))


def records(found: dict[str, t.Any]) -> set[str]:
    return {json.dumps(record, sort_keys=True) for record in [*found["blocks"], *found["attestations"]]}


KEYSTORES = sorted((ROOT / "examples/keystores").glob("validator*/*.json"))


def validators() -> list[dict[str, t.Any]]:
    """As the site has them, so that a test can change them."""
    site = yaml.safe_load((ROOT / "inventory/testnet/group_vars/all/site.yml").read_text())["prysm_validators"]
    for number, entry in enumerate(site, 1):
        entry["keystores"] = [str(path) for path in KEYSTORES if path.parent.name == f"validator{number}"]
    return t.cast("list[dict[str, t.Any]]", site)


def moved_validators() -> list[dict[str, t.Any]]:
    """The second keystore stands under the other client, with the password it has."""
    site = validators()
    site[0]["keystores"].remove(str(KEYSTORES[1]))
    site[1]["keystores"].append(str(KEYSTORES[1]))
    site[1]["keystore_passwords"] = {KEYSTORES[1].name: "{{ vault_validator1_keystore_password }}"}
    return site


def begin(*words: str) -> subprocess.Popen[str]:
    """A playbook that runs beside the test, in a session of its own."""
    return subprocess.Popen(
        [str(ROOT / "bin/lab"), "exec", "--", "ansible-playbook", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
    )


def killed_when(there: Callable[[str], bool], seconds: float, *words: str) -> tuple[bool, str]:
    """Run a playbook and kill it, with all it has started here, seconds after a line for which there is true.

    Whether that line came, and the output until then. there is asked of every line, in their order.
    """
    run = begin(*words)
    assert run.stdout is not None
    seen, came = [], False
    for line in run.stdout:
        seen.append(line)
        if there(line):
            came = True
            time.sleep(seconds)
            os.killpg(run.pid, signal.SIGKILL)
            break
    run.wait()
    return came, "".join(seen)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Bare machines and a chain that has seen nothing. With REHEARSAL_KEEP a lab that runs is used, and kept.

    A file that needs another chain names it: UP = ("--seconds-per-slot", "12", ...).
    """
    ours, keep = Lab(), bool(os.environ.get("REHEARSAL_KEEP"))
    if not (keep and json.loads(ours.command("status", "--format", "json").stdout)["running"]):
        ours.command("down")
        shutil.rmtree(Layout.here().state, ignore_errors=True)
        ours.command("up", *getattr(request.module, "UP", ()), timeout=3600)
    yield ours
    if not keep:
        ours.command("down")


@pytest.fixture(autouse=True)
def no_offence(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every chapter, whatever it did: the judge has seen no offence."""
    yield
    if "lab" in request.fixturenames:
        assert request.getfixturevalue("lab").judge()["offences"] == []
