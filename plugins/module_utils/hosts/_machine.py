# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Small facts of a machine: paths, files that should be there, units, packages, disks."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import stat
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    is_there,
    open_directory,
    replace_file,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _chrony

LARGEST = 1024 * 1024
# An image made freshly has this directory with a fresh date and nothing in it.
LISTS = "/var/lib/apt/lists"
NEVER = 10**9
#: Seconds for which what was seen of a machine may be used by others.
SEEN_FOR = 600
BOOTED = "/run/systemd/system"
# The third letter of a package's state: half installed, unpacked, half configured, waiting for a trigger.
INTERRUPTED = "HUFWt"


def expand(patterns: t.Sequence[str]) -> list[str]:
    """The paths that are meant; one without wildcards stands for itself."""
    found: list[str] = []
    for pattern in patterns:
        found += sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
    return found


def look(path: str) -> dict[str, t.Any] | None:
    """What lies at a path; None when nothing does. What cannot be looked at is there: it may be anything."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return {"type": "unreadable"}
    found: dict[str, t.Any] = {
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "type": "other",
    }
    if stat.S_ISLNK(status.st_mode):
        found.update(type="link", target=os.readlink(path))
    elif stat.S_ISDIR(status.st_mode):
        found["type"] = "directory"
    elif stat.S_ISREG(status.st_mode):
        found["type"] = "file"
        if status.st_size <= LARGEST:
            try:
                with open(path, "rb") as handle:
                    found["sha256"] = hashlib.sha256(handle.read()).hexdigest()
            except OSError:
                found["sha256"] = ""
    return found


def read(path: str) -> str | None:
    """The beginning of a text file; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(LARGEST)
    except OSError:
        return None


def mentioned(word: str, paths: t.Iterable[str]) -> list[str]:
    """Those of the files that have a word in them, in any case, or that cannot be read."""
    found = []
    for path in paths:
        text = read(path)
        if word.lower() in (text or "").lower() or (text is None and look(path) is not None):
            found.append(path)
    return found


def seen_at(seen: t.Mapping[str, t.Any], now: float) -> bool:
    """Whether what machine_info has returned is there, and of these minutes."""
    return "time" in seen and abs(now - seen["time"]) < SEEN_FOR


def _file(content: str, mode: str = "0644") -> dict[str, t.Any]:
    """What look() finds of a file of root's."""
    sha256 = hashlib.sha256(content.encode("utf-8")).hexdigest()
    return {"type": "file", "uid": 0, "gid": 0, "mode": mode, "sha256": sha256}


def unlike(files: t.Mapping[str, str], seen: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """Those of the files (content by path) that look() has not found as they should be, readable by all."""
    return service_differing({"files": files}, {"paths": seen})


def service_differing(wanted: t.Mapping[str, t.Any], machine: t.Mapping[str, t.Any]) -> list[str]:
    """What of a service is not as it should be: paths, and names of its units.

    wanted: files and private_files (content by path), directories (mode by path), units (`running` or `enabled` by
    name); a unit that runs is enabled too. machine: paths and units as machine_info returns them.
    """
    paths, units = machine.get("paths", {}), machine.get("units", {})
    there = {path: _file(content) for path, content in wanted.get("files", {}).items()}
    there.update({path: _file(content, "0600") for path, content in wanted.get("private_files", {}).items()})
    there.update(
        {
            path: {"type": "directory", "uid": 0, "gid": 0, "mode": mode}
            for path, mode in wanted.get("directories", {}).items()
        }
    )
    found = [path for path, like in there.items() if paths.get(path) != like]
    for name, state in wanted.get("units", {}).items():
        unit = units[name]
        if unit["file_state"] != "enabled" or (state == "running" and not unit["active"]):
            found.append(name)
    return found


def parse_units(text: str) -> dict[str, dict[str, t.Any]]:
    """The blocks of `systemctl show -p Names -p ActiveState -p UnitFileState`."""
    found = {}
    for block in text.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name in fields.get("Names", "").split():
            found[name] = {
                "active": fields.get("ActiveState") in ("active", "activating", "reloading"),
                "file_state": fields.get("UnitFileState", ""),
            }
    return found


def parse_packages(text: str) -> tuple[list[str], list[str]]:
    """Installed and interrupted packages in the answer of dpkg-query."""
    installed, broken = [], []
    for line in text.splitlines():
        # Two letters and a third for errors, kept apart by a tab from the name: `ii \tufw`.
        letters, _unused, name = line.partition("\t")
        state, error = (letters + "   ")[1], (letters + "   ")[2]
        if state in INTERRUPTED or error == "R":
            broken.append(name)
        elif state == "i":
            installed.append(name)
    return sorted(set(installed)), sorted(set(broken))


def parse_pending(rc: int, out: str, err: str) -> list[str]:
    """What a simulation of apt-get would install and remove, or why it cannot tell."""
    if rc != 0:
        return [(err or out).strip()[-500:] or "apt-get failed"]
    return re.findall(r"^((?:Inst|Remv|Purg) \S+)", out, re.MULTILINE)


class Apt(t.NamedTuple):
    """What an upgrade depends on, and the file that says at which state of it nothing was to be done."""

    known: t.Sequence[str] = (
        "/etc/apt",
        "/var/lib/apt/lists",
        "/var/lib/apt/extended_states",
        "/var/lib/dpkg/status",
        "/var/lib/dpkg/arch",
    )
    kept: str = "/var/cache/eth2xk8s/nothing-to-upgrade"

    def state(self) -> str:
        """A name for all that an upgrade depends on: each file by its times, its size and its number.

        Raises StakingError where a file cannot be looked at.
        """
        found = [os.uname().release]
        for top in self.known:
            places = [top] if is_there(top) else []
            places += glob.glob(glob.escape(top) + "/**", recursive=True)
            for path in sorted(set(places)):
                known = status(path)
                if known is not None:
                    found.append(f"{path} {known.st_mtime_ns} {known.st_ctime_ns} {known.st_size} {known.st_ino}")
        return hashlib.sha256("\n".join(found).encode()).hexdigest()


def pending(module: AnsibleModule, apt: Apt) -> list[str]:
    """What an upgrade would install and remove. apt takes longer to say so than all else that is asked of a machine, so
    that nothing is to be done is kept, until something that it depends on changes."""
    before = None
    with contextlib.suppress(StakingError):
        before = apt.state()
        if read(apt.kept) == before:
            return []
    found = parse_pending(*ask(module, ["apt-get", "--simulate", "--auto-remove", "dist-upgrade"]))
    # Without it apt is asked again; no reason to fail.
    with contextlib.suppress(OSError, StakingError):
        if before is not None and not found and not module.check_mode and apt.state() == before:
            os.makedirs(os.path.dirname(apt.kept), mode=0o755, exist_ok=True)
            folder = open_directory(os.path.dirname(apt.kept))
            try:
                replace_file(folder, os.path.basename(apt.kept), before.encode("ascii"))
            finally:
                os.close(folder)
    return found


def lists_age(folder: str) -> int:
    """Seconds since apt last fetched its lists."""
    releases = glob.glob(folder + "/*Release")
    stamps = [folder, os.path.dirname(folder) + "/periodic/update-success-stamp"]
    times = [os.path.getmtime(stamp) for stamp in stamps if is_there(stamp)]
    return max(0, int(time.time() - max(times))) if releases and times else NEVER


def memory(meminfo: str) -> int:
    """MemTotal in bytes."""
    match = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def space(path: str) -> dict[str, int]:
    """Size and free space of the file system a path is on, or will be on."""
    while not is_there(path):
        path = os.path.dirname(path.rstrip("/")) or "/"
    status = os.statvfs(path)
    return {"size": status.f_blocks * status.f_frsize, "free": status.f_bavail * status.f_frsize}


def ask(module: AnsibleModule, question: t.Sequence[str]) -> tuple[int, str, str]:
    """Run a command that only reads, in plain English."""
    rc, out, err = module.run_command(list(question), environ_update={"LC_ALL": "C.UTF-8"})
    return int(rc), str(out), str(err)


def measure_clock(module: AnsibleModule, limits: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What chronyd says of the clock, and what is wrong with it, see _chrony.measure."""
    return _chrony.measure(lambda question: ask(module, question), module.get_bin_path("chronyc"), limits)


def read_units(module: AnsibleModule, wanted: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
    """The state of systemd units by name; one that does not exist is not active. Fails where systemd does not say."""
    units: dict[str, dict[str, t.Any]] = {unit: {"active": False, "file_state": ""} for unit in wanted}
    # Where another program is the init (sd_booted(3)), no unit is active.
    if units and is_there(BOOTED):
        question = ["systemctl", "show", "-p", "Names", "-p", "ActiveState", "-p", "UnitFileState", "--", *units]
        rc, out, err = ask(module, question)
        if rc != 0:
            module.fail_json(msg=f"systemctl cannot show the units: {(err or out).strip()}")
        units.update({name: state for name, state in parse_units(out).items() if name in units})
    return units


def differing(files: t.Mapping[str, str]) -> list[str]:
    """Those of the files (content by path) that are not as they should be."""
    return unlike(files, {path: look(path) or {} for path in files})
