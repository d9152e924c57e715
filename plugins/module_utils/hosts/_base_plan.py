# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What a machine's packages and names leave to do: what was seen of it against what is wanted."""

from __future__ import annotations

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _machine

Seen = t.Mapping[str, t.Any]

#: A file here is what dpkg was writing when it was cut off.
DPKG_UPDATES = "/var/lib/dpkg/updates/"
#: Machines are sold in units of ten, not of two.
GB = 1000**3


def too_small(machine: Seen, wanted: Seen) -> list[str]:
    """What the machine has less of than it should.

    Keys of wanted: min_memory_gb, min_cores, min_disk_gb, disk (the path that it is mounted at).
    """
    memory = round(machine["memory_bytes"] / GB, 1)
    disk = round(machine["disks"][wanted["disk"]]["size"] / GB, 1)
    found = []
    if memory < wanted["min_memory_gb"]:
        found.append(f"memory {memory} GB of {wanted['min_memory_gb']}")
    if machine["cores"] < wanted["min_cores"]:
        found.append(f"cores {machine['cores']} of {wanted['min_cores']}")
    if disk < wanted["min_disk_gb"]:
        found.append(f"disk {disk} GB of {wanted['min_disk_gb']} at {wanted['disk']}")
    return found


def _has_time_zone(machine: Seen, name: str) -> bool:
    return str((machine["paths"].get("/etc/localtime") or {}).get("target", "")).endswith(f"zoneinfo/{name}")


def plan(machine: Seen, wanted: Seen) -> dict[str, t.Any]:
    """What is to be done, by step (packages, identity) and by part; machine is the answer of machine_info.

    `apt_overruled`: a file that apt reads after this role's own speaks of restarts, or brings in another file.

    Keys of wanted: packages, upgrade, lists_valid_seconds, timezone, files (content by path), apt_file, cloud_file,
    hosts (the text that /etc/hosts should have; empty when it is left alone).
    """
    paths = machine["paths"]
    unlike = _machine.unlike(wanted["files"], paths)
    interrupted = bool(machine["broken_packages"]) or any(path.startswith(DPKG_UPDATES) for path in paths)
    stale = machine["package_lists_age_seconds"] > wanted["lists_valid_seconds"]
    missing = [name for name in wanted["packages"] if name not in machine["packages"]]
    names = {
        "timezone": not _has_time_zone(machine, wanted["timezone"]),
        # cloud-init writes /etc/hosts anew at each boot.
        "cloud": bool(wanted["hosts"])
        and wanted["cloud_file"].rpartition("/")[0] in paths
        and wanted["cloud_file"] in unlike,
        "hosts": bool(wanted["hosts"]) and wanted["hosts"] not in machine["texts"].get("/etc/hosts", ""),
    }
    work = {
        "interrupted": interrupted,
        "upgrade": bool(wanted["upgrade"] and (stale or machine["pending"])),
        "missing": missing,
        "apt": wanted["apt_file"] in unlike,
    }
    # apt reads them by their names, and the last one wins. What else they say may be a proxy's password.
    folder = wanted["apt_file"].rpartition("/")[0]
    speaking = {path for found in machine["mentions"].values() for path in found}
    later = [path for path in speaking if path.rpartition("/")[0] == folder and path > wanted["apt_file"]]
    return {
        **work,
        **names,
        "lists_stale": stale,
        "packages": any(work.values()),
        "identity": any(names.values()),
        "apt_overruled": bool(later),
    }
