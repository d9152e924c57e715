"""The `lab` command."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from lab import control, faults, host, missed, outside
from lab.build import build_all
from lab.commands import run
from lab.errors import LabError
from lab.images import catalogue
from lab.layout import CHAIN_PORT, DEFAULT_MACHINES, GATEWAY, Layout, spec
from lab.progress import Progress
from lab.supervisor import launch

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
console = Console(stderr=True)

Archives = t.Annotated[Path | None, typer.Option(help="Archives of Prysm's own images, used instead of the double.")]
Format = t.Annotated[str, typer.Option("--format", help="text or json")]


@app.command()
def build(
    prysm_images: t.Annotated[Path | None, typer.Option(help="Archives of Prysm's images to use.")] = None,
) -> None:
    """Build everything the lab is made of, without starting it."""
    layout = Layout.here()
    host.check(layout, building=True, log=console.print)
    with Progress(console, "Building the lab") as progress:
        build_all(progress.step, prysm_images=prysm_images)


@app.command()
def up(
    machines: t.Annotated[list[str] | None, typer.Argument(help="Machines to power on.")] = None,
    prysm_images: Archives = None,
    seconds_per_slot: t.Annotated[int, typer.Option(min=1, help="Of the chain; mainnet has 12.")] = 2,
    slots_per_epoch: t.Annotated[int, typer.Option(min=2, help="Of the chain; mainnet has 32.")] = 8,
) -> None:
    """Start the lab: the gateway, the chain and the machines, until they answer."""
    layout = Layout.here()
    names = list(machines or DEFAULT_MACHINES)
    specs = [spec(name) for name in names]
    if control.init_pid(layout) is not None:
        if not machines:
            raise LabError("The lab of this checkout is already running: see `lab status`, end it by `lab down`.")
        return _power_on(layout, names)  # more machines for a running lab
    need = sum(one.memory_mib for one in specs) / 1024 * 0.75
    if host.memory_available_gib() < need:
        raise LabError(
            f"The machines need about {need:.0f} GiB of memory and the host has {host.memory_available_gib():.1f} free."
        )
    host.check(layout, building=not (layout.state / "disks").exists(), log=console.print)
    for place in (layout.disks, layout.logs, layout.chain, layout.key.parent):
        place.mkdir(parents=True, exist_ok=True)
    with Progress(console, "Starting the lab") as progress:
        parts = build_all(progress.step, prysm_images=prysm_images)
        progress.step("namespaces, gateway, registry and chain")
        _identity(layout, parts.machine.host_key)
        layout.engine_secret.write_text(outside.secret())
        catalogue(layout.registry, parts.stores)
        _forget_other_disks(layout, parts.machine.base)
        launch(
            layout,
            {
                "kernel": str(parts.kernel),
                "base": str(parts.machine.base),
                "gateway": str(parts.gateway),
                "registry": str(layout.registry),
                "chain": str(parts.chain),
                "package_caches": str(host.cache_root() / "packages"),
                "seconds_per_slot": seconds_per_slot,
                "slots_per_epoch": slots_per_epoch,
            },
        )
        try:
            progress.step("machines: " + ", ".join(names))
            _power_on(layout, names)
            _services_live(layout)
        except BaseException:
            _kill(layout)
            raise
    console.print("The lab is up. `lab exec -- ansible-playbook site.yml` works on it; `lab status` shows it.")


@app.command()
def down() -> None:
    """End the lab and everything in it; the machines keep their disks for the next `lab up`."""
    layout = Layout.here()
    if control.init_pid(layout) is None:
        console.print("The lab is not running.")
        return
    try:
        for name, machine in control.ask(layout, "status")["machines"].items():
            if machine["state"] == "on" and not machine["faults"]:
                with contextlib.suppress(LabError, OSError, subprocess.TimeoutExpired):
                    control.on_machine(layout, spec(name).address, "sync", timeout=5)
        _close_connections(layout)
    except LabError:
        pass  # it does not answer: the power is cut all the same
    _kill(layout)


@app.command()
def status(format: Format = "text") -> None:
    """What runs: machines, services, the chain."""
    layout = Layout.here()
    if control.init_pid(layout) is None:
        if format == "json":
            print(json.dumps({"running": False}))
        else:
            print("The lab is not running.")
        raise typer.Exit(0)
    state = {
        "running": True,
        **control.ask(layout, "status"),
        "memory_mib": host.resident_mib(control.init_pid(layout) or 0),
    }
    if format == "json":
        print(json.dumps(state, indent=1))
        return
    table = Table("machine", "address", "memory", "state", "faults", title=f"Lab, up for {_ago(state['since'])}")
    for name, machine in state["machines"].items():
        colour = {"on": "green", "off": "red", "frozen": "cyan"}[machine["state"]]
        given = f"{machine['memory_mib']} MiB"
        table.add_row(
            name, machine["address"], given, f"[{colour}]{machine['state']}[/]", ", ".join(machine["faults"]) or "-"
        )
    out = Console()
    out.print(table)
    out.print(
        "  ".join(
            f"[{'green' if alive else 'red'}]{'●' if alive else '✗'}[/] {name}"
            for name, alive in state["services"].items()
        )
    )
    out.print(f"memory of the whole lab: {state['memory_mib']} MiB")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def exec(context: typer.Context) -> None:
    """Run a command inside the lab's network, with Ansible set up for the lab's machines."""
    command = list(context.args)
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise LabError("Say what to run: lab exec -- ansible-playbook site.yml")
    layout = Layout.here()
    enter = control.entrance(layout)
    environment = control.environment(layout)
    enter()
    os.environ.update(environment)
    try:
        os.execvpe(command[0], command, environment)
    except FileNotFoundError as exc:
        raise LabError(f"There is no program {command[0]!r}.") from exc


@app.command()
def inventory(paths: t.Annotated[list[Path] | None, typer.Argument(help="Inventories for `lab exec`.")] = None) -> None:
    """Say which inventories `lab exec` gives to Ansible, until `lab reset`; without one, show them."""
    layout = Layout.here()
    for path in paths or []:
        if not path.exists():
            raise LabError(f"There is no inventory {path}.")
    if paths:
        layout.inventory.parent.mkdir(parents=True, exist_ok=True)
        layout.inventory.write_text("\n".join(str(path.resolve()) for path in paths), encoding="utf-8")
    print("\n".join(control.inventories(layout)))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def ssh(context: typer.Context, machine: str) -> None:
    """Log in to a machine as root, or run a command there."""
    layout = Layout.here()
    words = [word for word in context.args if word != "--"]
    control.entrance(layout)()
    os.execvp("ssh", ["ssh", *control.ssh_options(layout), f"root@{spec(machine).address}", *words])


@app.command()
def reset(machines: t.Annotated[list[str] | None, typer.Argument(help="Machines to make bare again.")] = None) -> None:
    """Make machines bare again: power off, a new disk, power on."""
    layout = Layout.here()
    running = control.ask(layout, "status")["machines"]
    names = list(machines or running)
    if not machines:
        layout.inventory.unlink(missing_ok=True)
    for name in names:
        control.ask(layout, "wipe", machine=name)
    _close_connections(layout)
    with Progress(console, "Resetting the machines") as progress:
        progress.step(", ".join(names))
        _power_on(layout, names)


def _ask_the_judge(path: str, *posted: str) -> t.Any:
    answer = control.run_inside(
        Layout.here(),
        [sys.executable, "-m", "lab.fetch", f"http://{GATEWAY}:{CHAIN_PORT}{path}", *posted],
        capture=True,
        timeout=60,
    )
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LabError(f"The judge does not answer: {reason}.")
    return json.loads(answer.stdout)


@app.command()
def judge(
    format: Format = "text",
    elsewhere: t.Annotated[
        Path | None, typer.Option(help="An EIP-3076 file: what keys have signed before, with another program.")
    ] = None,
) -> None:
    """What the judge has seen: signatures, by key, and offences."""
    if elsewhere is not None:
        answer = _ask_the_judge("/judge/elsewhere", str(elsewhere.resolve()))
        print(f"The judge knows {answer['records']} more records.")
        return
    verdict = _ask_the_judge("/judge")
    if format == "json":
        print(json.dumps(verdict, indent=1))
        return
    out = Console()
    table = Table(
        "key",
        "attestations",
        "blocks",
        "last slot",
        "last target",
        "clients",
        title=f"{verdict['signatures']} signatures",
    )
    for key, seen in verdict["keys"].items():
        row = [str(seen.get(name, "-")) for name in ("attestations", "blocks", "last_slot", "last_target")]
        table.add_row(f"{key[:12]}…{key[-6:]}", *row, ", ".join(map(str, seen.get("clients", []))))
    out.print(table)
    for offence in verdict["offences"]:
        out.print(f"[red]offence[/] {json.dumps(offence)}")
    out.print("[green]no offence[/]" if not verdict["offences"] else f"[red]{len(verdict['offences'])} offences[/]")
    raise typer.Exit(1 if verdict["offences"] else 0)


@app.command("missed")
def missed_duties(
    since: t.Annotated[int, typer.Option(min=0, help="The slot to begin with.")] = 0, format: Format = "text"
) -> None:
    """Missed duties by key, and the faults that were in play."""
    found = missed.by_key(_ask_the_judge(f"/judge/missed?since={since}"), missed.read(Layout.here().faults))
    if format == "json":
        print(json.dumps(found, indent=1))
        return
    table = Table("key", "attestations", "blocks", "in play", title=f"Missed since slot {since}")
    for key, row in found.items():
        why = ", ".join(f"{name} ({times})" for name, times in row["causes"].most_common())
        table.add_row(f"{key[:12]}…{key[-6:]}", str(row["attestation"]), str(row["block"]), why)
    Console().print(table if found else f"[green]no duty missed since slot {since}[/]")


# A fault's own value may be negative, which looks like an option.
@app.command(context_settings={"ignore_unknown_options": True})
def fault(
    name: t.Annotated[
        str, typer.Argument(help="; ".join(f"{key}: {one.summary}" for key, one in faults.FAULTS.items()))
    ],
    machines: t.Annotated[list[str], typer.Argument(help="The machines it befalls, then its own values.")],
) -> None:
    """Break something, for real; `lab fault heal MACHINE` undoes what can be undone."""
    faults.inflict(Layout.here(), name, machines)


def _power_on(layout: Layout, names: list[str]) -> None:
    for name in names:
        control.ask(layout, "power-on", machine=name)
    waiting = set(names)
    deadline = time.monotonic() + 120
    while waiting:
        for name in sorted(waiting):
            if control.ask(layout, "answers", machine=name):
                waiting.discard(name)
                continue
            if control.ask(layout, "status")["machines"].get(name, {}).get("state") == "off":
                raise LabError(f"The machine {name} did not start: see {layout.logs / name}.console.")
        if waiting and time.monotonic() > deadline:
            raise LabError(
                f"No answer after two minutes from {', '.join(sorted(waiting))}: see {layout.logs}/*.console."
            )
        time.sleep(0.2)
    for name in names:
        done = control.on_machine(layout, spec(name).address, outside.trust(layout))
        if done.returncode:
            raise LabError(f"The machine {name} does not take an authority: {done.stderr.strip()}")


def _services_live(layout: Layout) -> None:
    dead = [name for name, alive in control.ask(layout, "status")["services"].items() if not alive]
    if dead:
        raise LabError(f"The lab's {', '.join(dead)} ended at once: see {layout.logs}.")


def _identity(layout: Layout, host_key: str) -> None:
    if not layout.key.exists():
        run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", layout.identity, "-f", layout.key],
            what="Making the lab's SSH key",
        )
    addresses = [spec(name).address for name in ("nfs", "master", "worker", "spare1", "spare2")]
    lines = [f"{address} {host_key}\n[{address}]:* {host_key}\n" for address in addresses]
    layout.known_hosts.write_text("".join(lines))
    layout.ssh_config.write_text(
        f"Host *\n  User root\n  IdentityFile {layout.key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {layout.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
    )
    layout.resolv_conf.write_text(f"nameserver {GATEWAY}\n")


def _forget_other_disks(layout: Layout, base: Path) -> None:
    """A copy-on-write disk belongs to the image it was made from."""
    mark = layout.disks / "base"
    if not mark.exists() or mark.read_text() != str(base):
        for disk in layout.disks.glob("*.cow"):
            disk.unlink()
        mark.write_text(str(base))


def _close_connections(layout: Layout) -> None:
    """End Ansible's kept SSH connections: they would hold the lab's network for another minute."""
    directory = Path(control.environment(layout)["ANSIBLE_SSH_CONTROL_PATH_DIR"])
    for path in directory.glob("*") if directory.is_dir() else ():
        with contextlib.suppress(LabError, OSError, subprocess.TimeoutExpired):
            control.run_inside(layout, ["ssh", "-O", "exit", "-S", str(path), "x"], capture=True, timeout=5)
    shutil.rmtree(directory, ignore_errors=True)


def _kill(layout: Layout) -> None:
    pid = control.init_pid(layout)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while control.init_pid(layout) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        if control.init_pid(layout) is not None:
            raise LabError(f"The lab (process {pid}) does not end, though it was killed: the host has a problem.")
    layout.running.unlink(missing_ok=True)


def _ago(moment: float) -> str:
    minutes, seconds = divmod(int(time.time() - moment), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"


def main() -> None:
    """Run the command; one clear sentence when it cannot be done."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started us with the first ignored
        signal.signal(number, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except LabError as exc:
        console.print(f"[red]lab:[/] {exc}", highlight=False)
        sys.exit(1)
    except typer.Exit as exc:
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        console.print("[red]lab:[/] stopped; nothing was left running by this command.")
        sys.exit(130)
    except Exception as exc:
        shown = getattr(exc, "show", None)
        if shown is None:
            raise
        shown()
        sys.exit(getattr(exc, "exit_code", 2))
