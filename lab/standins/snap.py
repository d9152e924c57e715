"""The program `snap`: snapd's command line, over a store that holds one snap."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import certs, layout, node, releases
from .layout import SNAPD, STORE, write
from .releases import NoSuchChannel, Release
from .system import Failed, fail, finish, output, systemctl

SNAPD_VERSION = "2.68.3"
NAME = "microk8s"
PUBLISHER = "Canonical**"
_BASES = {"core": 17292, "core18": 2976, "core20": 2717, "core22": 2411}

_CLASSIC = """error: This revision of snap "microk8s" was published using classic confinement and thus may perform
       arbitrary system changes outside of the security sandbox that snaps are usually confined to,
       which may put your system at risk.

       If you understand and want to proceed repeat the command including --classic."""


# --- state -----------------------------------------------------------------------------------------------------------


def load() -> dict[str, Any]:
    """What is installed."""
    try:
        return json.loads((SNAPD / "state.json").read_text())
    except FileNotFoundError:
        return {}


def save(state: dict[str, Any]) -> None:
    """Keep what is installed, across a power cut too."""
    write(SNAPD / "state.json", json.dumps(state, indent=1) + "\n", 0o600)


@contextlib.contextmanager
def changing() -> Iterator[dict[str, Any]]:
    """The state, for one change at a time; only root may."""
    if os.geteuid() != 0:
        fail("error: access denied (try with sudo)")
    SNAPD.mkdir(parents=True, exist_ok=True)
    with (SNAPD / "change.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(f'error: snap "{NAME}" has "install-snap" change in progress')
        yield load()


def installed(name: str) -> dict[str, Any]:
    """The entry of an installed snap."""
    entry = load().get(name)
    if not entry:
        fail(f'error: snap "{name}" is not installed')
    return entry


def store() -> None:
    """End if the store cannot be reached."""
    if (STORE / "offline").exists():
        fail("error: unable to contact snap store")


# --- the command line ------------------------------------------------------------------------------------------------


def parse(argv: list[str], flags: str = "", values: str = "") -> tuple[dict[str, str], list[str]]:
    """Options and the rest, as snapd reads them: `--channel X`, `--channel=X`, options anywhere."""
    options: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += words
        elif not word.startswith("-") or word == "-":
            rest.append(word)
        else:
            name, has_value, value = word.lstrip("-").partition("=")
            if name in values.split():
                if not has_value:
                    value = next(words, "")
                    if not value:
                        fail(f"error: expected argument for flag `--{name}'")
                options[name] = value
            elif name in flags.split():
                options[name] = value if has_value else "true"
            else:
                fail(f"error: unknown flag `{name}'")
    return options, rest


_RISK_FLAGS = " ".join(releases.RISKS)


def wanted_channel(options: dict[str, str], current: str = "") -> str:
    """The channel a command line asks for."""
    asked = options.get("channel", "") or next((risk for risk in releases.RISKS if risk in options), "")
    return releases.full_channel(asked, current)


def no_channel(problem: NoSuchChannel) -> None:
    """Say that the store has no such channel."""
    if not problem.valid:
        fail(
            f'error: requested channel "{problem.channel}" is not valid. A channel name consists of track, risk and'
            " branch, with the risk being one of: stable, candidate, beta, edge"
        )
    rows = [f"       {name:<18}{release.version}" for name, release in releases.published().items()]
    fail(
        f'error: snap "{NAME}" is not available on {problem.channel} but is available to install on the following\n'
        "       channels:\n\n" + "\n".join(rows[::-1]) + "\n\n"
        "       Please be mindful pre-release channels may include features not completely\n"
        "       tested or implemented."
    )


def table(rows: list[list[str]]) -> str:
    """Columns as snapd's tabwriter makes them."""
    widths = [max(5, *(len(row[i]) + 2 for row in rows)) for i in range(len(rows[0]))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1] for row in rows
    )


def unsupported(name: str) -> None:
    """Anything but MicroK8s and what it needs is not in this store."""
    fail(f'error: snap "{name}" not found')


# --- looking ---------------------------------------------------------------------------------------------------------


def cmd_version(_: list[str]) -> int:
    os_release = dict(re.findall(r'^(\w+)="?([^"\n]*)', (Path("/etc/os-release").read_text()), re.M))
    rows = {
        "snap": SNAPD_VERSION,
        "snapd": SNAPD_VERSION,
        "series": "16",
        os_release.get("ID", "linux"): os_release.get("VERSION_ID", "-"),
        "kernel": os.uname().release,
    }
    print("\n".join(f"{name:<8}{value}" for name, value in rows.items()))
    return 0


def notes(entry: dict[str, Any]) -> str:
    parts = [entry.get("type", "")] if entry.get("type") else []
    if not entry.get("enabled", True):
        parts.append("disabled")
    if entry.get("classic"):
        parts.append("classic")
    if is_held(entry):
        parts.append("held")
    return ",".join(parts) or "-"


def is_held(entry: dict[str, Any]) -> bool:
    until = entry.get("held", "")
    return until == "forever" or (bool(until) and datetime.datetime.fromisoformat(until) > _now())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def cmd_list(argv: list[str]) -> int:
    options, names = parse(argv, flags="all unicode color")
    state = load()
    if not state:
        print("No snaps are installed yet. Try 'snap install hello-world'.", file=sys.stderr)
        return 0
    rows = [["Name", "Version", "Rev", "Tracking", "Publisher", "Notes"]]
    for name in sorted(state):
        if names and name not in names:
            continue
        entry = state[name]
        rows.append(
            [name, entry["version"], str(entry["revision"]), entry["tracking"], PUBLISHER.lower(), notes(entry)]
        )
        if "all" in options and entry.get("previous"):
            old = entry["previous"]
            shown = "disabled,classic"
            rows.append([name, old["version"], str(old["revision"]), old["channel"], PUBLISHER.lower(), shown])
    if len(rows) == 1:
        fail("error: no matching snaps installed")
    print(table(rows))
    return 0


def cmd_info(argv: list[str]) -> int:
    _, names = parse(argv, flags="verbose unicode color")
    if not names:
        fail("error: the required argument `<snap> (at least 1 argument)` was not provided")
    shown = 0
    for name in names:
        if shown:
            print("---")
        entry = load().get(name)
        if not entry and ((STORE / "offline").exists() or name != NAME):
            if len(names) > 1:
                print(f'warning: no snap found for "{name}"')
            continue
        shown += 1
        print(_info(name, entry))
    if not shown:
        fail(f'error: no snap found for "{names[0]}"')
    return 0


def _info(name: str, entry: dict[str, Any] | None) -> str:
    lines = [
        f"name:      {name}",
        "summary:   Kubernetes for workstations and appliances" if name == NAME else "summary:   Runtime environment",
        f"publisher: {PUBLISHER}",
        f"store-url: https://snapcraft.io/{name}",
        "license:   Apache-2.0",
        "description: |",
        "  MicroK8s is a small, fast, secure, certified Kubernetes distribution that",
        "  installs on just about any Linux box." if name == NAME else "  The base of other snaps.",
    ]
    if entry and name == NAME:
        minor = int(entry["version"].split(".")[1])
        lines.append("commands:")
        lines += [f"  - {app}" for app in sorted(node.apps(minor))]
        lines.append("services:")
        for daemon in sorted([*node.daemons(minor), *node.idle(minor)]):
            enabled, active = _service(daemon)
            lines.append(f"  microk8s.daemon-{daemon}: simple, {enabled}, {active}")
    lines.append(
        f"snap-id:      {'EaXqgt1lyCaxKaQCU349mlodBkDCXRcg' if name == NAME else '99T7MUlRhtI3U0QFgl5mXXESAiSwt776'}"
    )
    if entry:
        lines.append(f"tracking:     {entry['tracking']}")
        lines.append(f"refresh-date: {entry['date'][:10]}")
    if name == NAME and not (STORE / "offline").exists():
        lines.append("channels:")
        for channel, release in sorted(releases.published().items(), key=lambda item: -item[1].revision):
            lines.append(f"  {channel + ':':<18}{release.version} 2026-06-15 ({release.revision}) 168MB classic")
    if entry and name != NAME and not (STORE / "offline").exists():
        version, revision = newer_base(load(), name) or (entry["version"], entry["revision"])
        lines += ["channels:", f"  latest/stable:    {version} 2026-06-15 ({revision}) 66MB -"]
    if entry:
        lines.append(f"installed:{'':<10}{entry['version']:<10}            ({entry['revision']}) 168MB {notes(entry)}")
    return "\n".join(lines)


def _service(daemon: str) -> tuple[str, str]:
    unit = node.unit(daemon)
    enabled = output("systemctl", "is-enabled", unit).strip() == "enabled"
    active = systemctl("is-active", "--quiet", unit)
    return ("enabled" if enabled else "disabled", "active" if active else "inactive")


def cmd_services(argv: list[str]) -> int:
    _, names = parse(argv)
    installed(NAME)
    rows = [["Service", "Startup", "Current", "Notes"]]
    minor = layout.minor()
    for daemon in sorted([*node.daemons(minor), *node.idle(minor)]):
        service = f"microk8s.daemon-{daemon}"
        if not names or NAME in names or service in names:
            rows.append([service, *_service(daemon), "-"])
    if len(rows) == 1:
        fail(f'error: snap "{names[0].split(".")[0]}" has no service "{names[0].split(".")[-1]}"')
    print(table(rows))
    return 0


# --- changing --------------------------------------------------------------------------------------------------------


def activate(revision: int) -> None:
    """Make a revision's programs and data the current ones."""
    for folder in (layout.SNAPS / NAME, layout.ROOT / "var/snap" / NAME):
        (folder / str(revision)).mkdir(parents=True, exist_ok=True)
        node.link(folder / "current", str(revision))
    layout.COMMON.mkdir(parents=True, exist_ok=True)
    node.link_plugins()


def link_apps(minor: int) -> None:
    """The snap's commands in /snap/bin."""
    layout.BIN.mkdir(parents=True, exist_ok=True)
    wanted = node.apps(minor)
    for path in layout.BIN.glob("microk8s*"):
        if path.name not in wanted:
            path.unlink()
    for app in wanted:
        node.link(layout.BIN / app, layout.SNAP_PROGRAM)


def entry_of(release: Release, **more: Any) -> dict[str, Any]:
    return {
        "version": release.version,
        "revision": release.revision,
        "tracking": release.channel,
        "classic": True,
        "enabled": True,
        "date": _now().isoformat(timespec="seconds"),
        "aliases": {},
        "config": {},
        **more,
    }


def add_bases(state: dict[str, Any], release: Release) -> None:
    """The snaps that come along."""
    date = _now().isoformat(timespec="seconds")
    for name, revision, kind in ((release.base, _BASES[release.base], "base"), ("snapd", 24792, "snapd")):
        state.setdefault(
            name,
            {
                "version": "20250730" if kind == "base" else SNAPD_VERSION,
                "revision": revision,
                "tracking": "latest/stable",
                "type": "core" if name == "core" else kind,
                "date": date,
            },
        )


def wipe() -> None:
    """Remove every trace of the snap, as far as there is any."""
    names = sorted(path.name for path in layout.UNITS.glob("snap.microk8s.daemon-*.service"))
    if names:
        systemctl("disable", "--now", *names)
    node.kill_containers()
    for name in names:
        (layout.UNITS / name).unlink(missing_ok=True)
    systemctl("daemon-reload")
    for path in layout.BIN.glob("microk8s*"):
        path.unlink()
    for name in output("sh", "-c", r"ls /sys/class/net").split():
        if name.startswith(("vxlan.calico", "cali")) and Path("/") == layout.ROOT:
            subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)
    # Volumes of pods that are still mounted there must not be emptied through their mount.
    busy = node.unmount(layout.ROOT / "var/snap" / NAME)
    if busy:
        fail(f'error: cannot perform the following tasks:\n- Remove data for snap "{NAME}" ({busy[0]} is busy)')
    kubelet = layout.ROOT / "var/lib/kubelet"
    if kubelet.is_symlink():
        kubelet.unlink()
    shutil.rmtree(layout.SNAPS / NAME, ignore_errors=True)
    shutil.rmtree(layout.ROOT / "var/snap" / NAME, ignore_errors=True)


def cmd_install(argv: list[str]) -> int:
    options, names = parse(
        argv,
        flags=f"classic dangerous devmode jailmode unaliased prefer no-wait ignore-running {_RISK_FLAGS}",
        values="channel revision cohort name",
    )
    if not names:
        fail("error: the required argument `<snap> (at least 1 argument)` was not provided")
    with changing() as state:
        for name in names:
            if name in state:
                print(f"snap \"{name}\" is already installed, see 'snap help refresh'", file=sys.stderr)
                continue
            store()
            if name in _BASES or name == "snapd":
                release = Release("latest/stable", "v1.36.0", 1)
                add_bases(state, release)
                save(state)
                print(f"{name} {state.get(name, {}).get('version', '')} from {PUBLISHER} installed")
                continue
            if name != NAME:
                unsupported(name)
            _install(state, options)
    return 0


def _install(state: dict[str, Any], options: dict[str, str]) -> None:
    try:
        channel = wanted_channel(options)
        release = by_revision(options["revision"], channel) if "revision" in options else releases.find(channel)
    except NoSuchChannel as problem:
        no_channel(problem)
        raise
    if "classic" not in options:
        fail(_CLASSIC)
    save({**state, "change": {"kind": "install"}})
    kept = _kept_launch()
    try:
        wipe()
        kept()
        node.make_snap_tree(release)
        activate(release.revision)
        node.install(release)
        link_apps(release.minor)
        daemons = node.write_units(release.minor)
        if not node.start(daemons):
            fail('error: cannot perform the following tasks:\n- Start snap "microk8s" services (systemctl failed)')
    except Failed as failed:
        wipe()
        save(state)
        raise Failed(
            f'error: cannot perform the following tasks:\n- Run install hook of "{NAME}" snap if present'
            f' (run hook "install": {failed.text})',
            failed.code,
        ) from failed
    add_bases(state, release)
    more = {"held": "forever"} if "revision" in options else {}
    state[NAME] = entry_of(release, **more)
    save(state)
    where = f" ({release.channel})" if release.channel != "latest/stable" else ""
    print(f"{NAME}{where} {release.version} from {PUBLISHER} installed")


def _kept_launch() -> Any:
    """What an administrator put below /var/snap/microk8s/common before the installation survives a clean start."""
    common = layout.COMMON
    found = [common / ".microk8s.yaml", *sorted(common.glob("sideload/*.tar"))]
    kept = {path: path.read_bytes() for path in found if path.is_file()}

    def put_back() -> None:
        for path, data in kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return put_back


def by_revision(revision: str, channel: str) -> Release:
    """The release of a revision, tracked by a channel."""
    for release in releases.published().values():
        if str(release.revision) == revision:
            return Release(
                channel if releases.published().get(channel) else release.channel, release.version, release.revision
            )
    fail(f'error: cannot install snap "{NAME}": no snap revision available as specified')


def cmd_refresh(argv: list[str]) -> int:
    options, names = parse(
        argv,
        flags="classic list time hold unhold devmode jailmode amend ignore-running ignore-validation no-wait "
        + _RISK_FLAGS,
        values="channel revision cohort",
    )
    if "time" in options:
        print("timer: 00:00~24:00/4\nlast: today at 05:12 UTC\nnext: today at 11:33 UTC")
        return 0
    if "list" in options:
        store()
        return _refresh_list()
    with changing() as state:
        if "hold" in options or "unhold" in options:
            return _hold(state, options, names)
        store()
        if not names:
            return _refresh_all(state)
        for name in names:
            if name not in state:
                fail(f'error: snap "{name}" is not installed')
            if name != NAME:
                if not _refresh_base(state, name):
                    print(f'snap "{name}" has no updates available', file=sys.stderr)
                continue
            _refresh_one(state, options)
    return 0


def newer_base(state: dict[str, Any], name: str) -> tuple[str, int] | None:
    """What the store has of a base or of snapd beyond the installed revision; its own file says so."""
    more = STORE / "bases.json"
    version, revision = (json.loads(more.read_text()) if more.exists() else {}).get(name, ("", 0))
    return (version, revision) if int(revision) > int(state[name]["revision"]) else None


def _refresh_base(state: dict[str, Any], name: str) -> bool:
    """A base under a running snap: its programs, openssl among them, fail for some seconds."""
    newer = newer_base(state, name)
    if not newer:
        return False
    state[name].update(version=newer[0], revision=int(newer[1]), date=_now().isoformat(timespec="seconds"))
    save(state)
    if NAME in state:
        certs.break_openssl(9)
    print(f"{name} {newer[0]} from {PUBLISHER} refreshed")
    return True


def _hold(state: dict[str, Any], options: dict[str, str], names: list[str]) -> int:
    for name in names:
        if name not in state:
            fail(f'error: snap "{name}" is not installed')
        if "unhold" in options:
            state[name].pop("held", None)
            print(f'Removed general refresh hold of "{name}"')
            continue
        if options["hold"] in ("true", "forever"):
            state[name]["held"] = "forever"
            print(f'General refreshes of "{name}" held indefinitely')
        else:
            until = _now() + _duration(options["hold"])
            state[name]["held"] = until.isoformat(timespec="seconds")
            print(f'General refreshes of "{name}" held until {until.strftime("%Y-%m-%dT%H:%M:%SZ")}')
    if not names:
        print(
            "Auto-refresh of all snaps held indefinitely"
            if "hold" in options
            else "Removed auto-refresh hold on all snaps"
        )
        for entry in state.values():
            entry.pop("held", None)
            if "hold" in options:
                entry["held"] = "forever"
    save(state)
    return 0


def _duration(text: str) -> datetime.timedelta:
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not found or not text:
        fail(f"error: hold value must be a number of hours, minutes or seconds, or \"forever\", not '{text}'")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _refresh_list() -> int:
    entry = load().get(NAME)
    release = releases.published().get(entry["tracking"]) if entry else None
    if not entry or not release or release.revision == entry["revision"]:
        print("All snaps up to date.", file=sys.stderr)
        return 0
    row = [NAME, release.version, str(release.revision), "168MB", PUBLISHER.lower(), notes(entry)]
    print(table([["Name", "Version", "Rev", "Size", "Publisher", "Notes"], row]))
    return 0


def _refresh_all(state: dict[str, Any]) -> int:
    """What snapd also does by itself four times a day."""
    others = [name for name in sorted(state) if name != NAME and "revision" in state[name] and not is_held(state[name])]
    refreshed = [name for name in others if _refresh_base(state, name)]
    entry = state.get(NAME)
    release = releases.published().get(entry["tracking"]) if entry else None
    if not entry or not release or release.revision == entry["revision"] or is_held(entry):
        if not refreshed:
            print("All snaps up to date.", file=sys.stderr)
        return 0
    _switch_revision(state, release, "refresh")
    print(f"{NAME} ({release.channel}) {release.version} from {PUBLISHER} refreshed")
    return 0


def _refresh_one(state: dict[str, Any], options: dict[str, str]) -> None:
    entry = state[NAME]
    try:
        channel = wanted_channel(options, entry["tracking"])
        release = by_revision(options["revision"], channel) if "revision" in options else releases.find(channel)
    except NoSuchChannel as problem:
        no_channel(problem)
        raise
    if release.revision == entry["revision"]:
        if channel != entry["tracking"]:
            entry["tracking"] = channel
            save(state)
            print(f"{NAME} ({channel}) {release.version} from {PUBLISHER} refreshed")
        else:
            print(f'snap "{NAME}" has no updates available', file=sys.stderr)
        return
    _switch_revision(state, release, "refresh")
    print(f"{NAME} ({release.channel}) {release.version} from {PUBLISHER} refreshed")


def disabled_daemons() -> list[str]:
    """The services that somebody switched off: they stay so."""
    names = node.daemons(layout.minor())
    states = output("sh", "-c", f"systemctl is-enabled {' '.join(node.units(names))} || true").split()
    return [name for name, state in zip(names, states, strict=False) if state == "disabled"]


def _switch_revision(state: dict[str, Any], release: Release, kind: str) -> None:
    """Stop the services, copy the data (refresh) or take the kept copy (revert), start again."""
    entry = state[NAME]
    old = entry["revision"]
    enabled = entry.get("enabled", True)
    save({**state, "change": {"kind": kind, "from": old, "to": release.revision}})
    disabled = disabled_daemons()
    if enabled:
        node.stop(node.daemons(layout.minor()))
    try:
        data = layout.ROOT / "var/snap" / NAME
        if kind == "refresh":
            shutil.rmtree(data / str(release.revision), ignore_errors=True)
            subprocess.run(["cp", "-a", str(data / str(old)), str(data / str(release.revision))], check=True)
            node.make_snap_tree(release)
        activate(release.revision)
        if kind == "refresh":
            node.refreshed(release.minor)
        link_apps(release.minor)
        daemons = node.write_units(release.minor)
        if enabled and not node.start([name for name in daemons if name not in disabled]):
            fail("services did not start")
    except (Failed, OSError, subprocess.CalledProcessError) as failed:
        activate(old)
        link_apps(layout.minor())
        node.start([name for name in node.write_units(layout.minor()) if name not in disabled])
        save(state)
        raise Failed(f"error: cannot perform the following tasks:\n- {kind} (undone: {failed})") from failed
    previous = {"version": entry["version"], "revision": old, "channel": entry["tracking"]}
    state[NAME] = {
        **entry,
        "version": release.version,
        "revision": release.revision,
        "tracking": release.channel,
        "date": _now().isoformat(timespec="seconds"),
        # One step back is possible, and only one.
        "previous": previous if kind == "refresh" else None,
    }
    save(state)
    # snapd keeps the last revision for a revert, and removes older ones.
    for folder in (layout.SNAPS / NAME, layout.ROOT / "var/snap" / NAME):
        for path in folder.iterdir():
            if path.name not in ("current", "common", str(old), str(release.revision)):
                shutil.rmtree(path, ignore_errors=True)


def cmd_revert(argv: list[str]) -> int:
    _, names = parse(argv, flags="classic devmode jailmode no-wait ignore-validation", values="revision")
    for name in names:
        with changing() as state:
            if name not in state:
                fail(f'error: snap "{name}" is not installed')
            previous = state[name].get("previous")
            if not previous:
                fail(f"error: cannot revert: no revision to revert to\n({name})")
            # The channel stays as it is: only the revision goes back.
            release = Release(state[name]["tracking"], previous["version"], previous["revision"])
            _switch_revision(state, release, "revert")
            print(f"{name} reverted to {release.version}")
    return 0


def cmd_remove(argv: list[str]) -> int:
    options, names = parse(argv, flags="purge no-wait terminate", values="revision")
    with changing() as state:
        for name in names:
            if name not in state:
                print(f'snap "{name}" is not installed', file=sys.stderr)
                continue
            if name == NAME:
                save({**state, "change": {"kind": "remove"}})
                wipe()
            del state[name]
            save(state)
            print(f"{name} removed" + ("" if "purge" in options or name != NAME else " (snap data snapshot saved)"))
    return 0


def cmd_recover(_: list[str]) -> int:
    """What snapd does at its start with a change that a power cut interrupted: it is undone."""
    with changing() as state:
        change = state.pop("change", None)
        if not change:
            return 0
        if change["kind"] in ("install", "remove"):
            wipe()
            state.pop(NAME, None)
        else:
            activate(change["from"])
            link_apps(layout.minor())
            node.write_units(layout.minor())
            # Not at once: snapd's own unit is still starting, and theirs come after it.
            systemctl("--no-block", "start", *node.units(node.daemons(layout.minor())))
        save(state)
    return 0


def cmd_switch(argv: list[str]) -> int:
    options, names = parse(argv, flags=_RISK_FLAGS, values="channel cohort")
    with changing() as state:
        for name in names:
            if name not in state:
                fail(f'error: snap "{name}" is not installed')
            channel = wanted_channel(options, state[name]["tracking"])
            state[name]["tracking"] = channel
            save(state)
            print(f'"{name}" switched to the "{channel}" channel')
    return 0


def _named_daemons(names: list[str]) -> list[str]:
    chosen: list[str] = []
    for name in names:
        snap, _, app = name.partition(".")
        installed(snap)
        all_daemons = [*node.daemons(layout.minor()), *node.idle(layout.minor())]
        if not app:
            chosen += node.daemons(layout.minor())
        elif app.removeprefix("daemon-") in all_daemons and app.startswith("daemon-"):
            chosen.append(app.removeprefix("daemon-"))
        else:
            fail(f'error: snap "{snap}" has no service "{app}"')
    return chosen


def cmd_start(argv: list[str]) -> int:
    options, names = parse(argv, flags="enable no-wait")
    with changing():
        daemons = _named_daemons(names)
        if not node.start(daemons, enable="enable" in options):
            fail(f"error: cannot perform the following tasks:\n- start of [{' '.join(names)}]")
    print("Started.")
    return 0


def cmd_stop(argv: list[str]) -> int:
    options, names = parse(argv, flags="disable no-wait")
    with changing():
        node.stop(_named_daemons(names), disable="disable" in options)
    print("Stopped.")
    return 0


def cmd_restart(argv: list[str]) -> int:
    _, names = parse(argv, flags="reload no-wait")
    with changing():
        daemons = _named_daemons(names)
        node.restart(daemons)
        if node.datastore_daemon(layout.minor()) in daemons:
            layout.unlock("watches-stalled")
    print("Restarted.")
    return 0


def cmd_enable(argv: list[str]) -> int:
    return _enable(parse(argv)[1], True)


def cmd_disable(argv: list[str]) -> int:
    return _enable(parse(argv)[1], False)


def _enable(names: list[str], enable: bool) -> int:
    with changing() as state:
        for name in names:
            if name not in state:
                fail(f'error: snap "{name}" is not installed')
            word = "enabled" if enable else "disabled"
            if state[name].get("enabled", True) == enable:
                fail(f'error: snap "{name}" is already {word}')
            daemons = node.daemons(layout.minor())
            (node.start if enable else lambda names: node.stop(names, disable=True))(daemons)
            state[name]["enabled"] = enable
            save(state)
            print(f"{name} {word}")
    return 0


# --- configuration and aliases ---------------------------------------------------------------------------------------


def cmd_get(argv: list[str]) -> int:
    options, words = parse(argv, flags="d l t")
    if not words:
        fail("error: the required argument `<snap>` was not provided")
    config = (_system() if words[0] == "system" else installed(words[0])).get("config", {})
    keys = words[1:]
    if not keys and not config:
        fail(f'error: snap "{words[0]}" has no configuration')
    document = _nested(config)
    values: dict[str, Any] = {}
    for key in keys:
        value: Any = document
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            fail(f'error: snap "{words[0]}" has no "{key}" configuration option')
        values[key] = value
    shown = values or document
    if "d" in options or len(shown) > 1 or any(isinstance(value, dict) for value in shown.values()):
        print(json.dumps(shown, indent="\t"))
    else:
        print("\n".join(str(value) for value in shown.values()))
    return 0


def _nested(config: dict[str, Any]) -> dict[str, Any]:
    """`refresh.hold` is the option `hold` of the document `refresh`."""
    document: dict[str, Any] = {}
    for key, value in config.items():
        *folders, name = key.split(".")
        inner = document
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = value
    return document


def _system() -> dict[str, Any]:
    try:
        return json.loads((SNAPD / "system.json").read_text())
    except FileNotFoundError:
        return {"config": {}}


def cmd_set(argv: list[str]) -> int:
    _, words = parse(argv, flags="t s no-wait")
    with changing() as state:
        entry = _system() if words[0] == "system" else state.get(words[0])
        if entry is None:
            fail(f'error: snap "{words[0]}" is not installed')
        for word in words[1:]:
            key, equals, value = word.partition("=")
            if not equals:
                fail(f'error: invalid configuration: "{word}" (want key=value)')
            entry.setdefault("config", {})[key] = value
            if words[0] == NAME and key == "config" and layout.minor() >= 27:
                # The configure hook hands it to the cluster agent.
                node.check_launch(node.read_yaml(value))
                write(layout.COMMON / "etc/launcher/snap-config.yaml", value, 0o600)
        if words[0] == "system":
            write(SNAPD / "system.json", json.dumps(entry) + "\n", 0o600)
        else:
            save(state)
    return 0


def cmd_unset(argv: list[str]) -> int:
    _, words = parse(argv)
    with changing() as state:
        entry = _system() if words[0] == "system" else state[words[0]]
        for key in words[1:]:
            entry.get("config", {}).pop(key, None)
        if words[0] == "system":
            write(SNAPD / "system.json", json.dumps(entry) + "\n", 0o600)
        else:
            save(state)
    return 0


def cmd_alias(argv: list[str]) -> int:
    _, words = parse(argv, flags="no-wait prefer")
    if len(words) != 2:
        fail("error: the required arguments `<snap.app>` and `<alias>` were not provided")
    app, alias = words
    with changing() as state:
        if NAME not in state or app not in node.apps(layout.minor()):
            fail(f'error: cannot perform the following tasks:\n- Setup manual alias "{alias}" => "{app}"')
        state[NAME]["aliases"][alias] = app
        node.link(layout.BIN / alias, app)
        save(state)
    print(f"Added:\n  - {app} as {alias}")
    return 0


def cmd_unalias(argv: list[str]) -> int:
    _, words = parse(argv)
    with changing() as state:
        aliases = state.get(NAME, {}).get("aliases", {})
        gone = {alias: app for alias, app in aliases.items() if alias in words or words == [NAME]}
        if not gone:
            fail(f'error: cannot find manual alias "{words[0] if words else ""}" in any snap')
        for alias in gone:
            del aliases[alias]
            (layout.BIN / alias).unlink(missing_ok=True)
        save(state)
    print("Removed:\n" + "\n".join(f"  - {app} as {alias}" for alias, app in gone.items()))
    return 0


def cmd_aliases(argv: list[str]) -> int:
    parse(argv)
    aliases = load().get(NAME, {}).get("aliases", {})
    if not aliases:
        print("No aliases are currently defined.", file=sys.stderr)
        return 0
    rows = [["Command", "Alias", "Notes"], *([app, alias, "manual"] for alias, app in sorted(aliases.items()))]
    print(table(rows))
    return 0


def cmd_wait(argv: list[str]) -> int:
    return 0


def cmd_changes(argv: list[str]) -> int:
    print("ID   Status  Spawn                 Ready                 Summary")
    return 0


# --- running the snap's programs -------------------------------------------------------------------------------------


def cmd_run(argv: list[str]) -> int:
    """`snap run microk8s.APP`: what the services and the links in /snap/bin come to."""
    app = argv[0]
    if app.startswith("microk8s.daemon-"):
        from .daemons import run

        return run(app.removeprefix("microk8s.daemon-"), argv[1:])
    return run_app(app, argv[1:])


def run_app(app: str, argv: list[str]) -> int:
    """One of the snap's commands."""
    from .microk8s import main as microk8s

    alias = load().get(NAME, {}).get("aliases", {}).get(app)
    app = alias or app
    command = app.partition(".")[2]
    return microk8s([*([command] if command else []), *argv])


COMMANDS = {
    name.removeprefix("cmd_"): function for name, function in list(globals().items()) if name.startswith("cmd_")
}


def main(argv: list[str]) -> int:
    """The program: `snap COMMAND`, or an app of the snap by the name of its link."""
    name = os.path.basename(argv[0])  # noqa: PTH119
    if name != "snap":
        return finish(lambda: run_app(name, argv[1:]))
    words = argv[1:]
    if not words or words[0] in ("help", "--help", "-h"):
        print("The snap command lets you install, configure, refresh and remove snaps.")
        print("\nUsage: snap <command> [<options>...]")
        return 0
    if words[0] == "--version":
        words = ["version"]
    command = COMMANDS.get(words[0])
    if not command:
        print(f"error: unknown command \"{words[0]}\", see 'snap help'.", file=sys.stderr)
        return 64
    return finish(lambda: command(words[1:]))
