# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What an NFS server, or a node that mounts from one, leaves to do: what was seen of it against what is wanted."""

from __future__ import annotations

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _machine

Seen = t.Mapping[str, t.Any]

SERVER = "nfs-server.service"
PROGRAM = "/usr/sbin/rpc.nfsd"
#: What the kernel was told when the server started, and not what a file says.
IN_FORCE = "/var/lib/nfs/etab"


def exports_in_force(server: Seen, wanted: Seen) -> bool:
    """Whether the running server gives the export to the wanted clients with the wanted options, and to no other."""
    ours = [one for one in server.get("exports") or [] if one["path"] == wanted["export"]]
    return (
        all(one["file"] != IN_FORCE for one in server.get("strangers") or [])
        and not server.get("roots")
        and sorted(one["client"] for one in ours) == sorted(wanted["clients"])
        and all(set(wanted["options"]) <= set(one["options"]) for one in ours)
    )


def settings_in_force(server: Seen, wanted: Seen) -> bool:
    """Whether the running server has the wanted versions, threads, lease and grace period."""
    return sorted(server.get("versions") or []) == sorted(wanted["versions"]) and all(
        server.get(name) == wanted[name] for name in ("threads", "lease_seconds", "grace_seconds")
    )


def _is_directory(found: Seen | None, wanted: Seen, mode: str) -> bool:
    ours = {"type": "directory", "uid": wanted["user_id"], "gid": wanted["group_id"], "mode": mode}
    return found is not None and all(found.get(name) == value for name, value in ours.items())


def helpers(machine: Seen, units: t.Iterable[str]) -> dict[str, list[str]]:
    """Of these units: the links that would mask them and are not there (mask), and those that run (stop)."""
    links = {unit: f"/etc/systemd/system/{unit}" for unit in units}
    return {
        "mask": [link for link in links.values() if (machine["paths"].get(link) or {}).get("target") != "/dev/null"],
        "stop": [unit for unit in links if (machine["units"].get(unit) or {}).get("active")],
    }


def plan(machine: Seen, server: Seen, wanted: Seen) -> dict[str, t.Any]:
    """What is to be done, by step: configure, install, export, run; and what those steps work on.

    machine is the answer of machine_info, server that of nfs_server_info. Keys of wanted: export, directories, clients,
    options, user_id, group_id, versions, threads, lease_seconds, grace_seconds, helpers (units of NFSv3 that are not
    to run), data_id_system, files (content by path), exports_file, old_file, reads_conf_files.
    """
    paths = machine["paths"]
    unlike = _machine.unlike(wanted["files"], paths)
    unit = machine["units"].get(SERVER) or {}
    v3 = helpers(machine, wanted["helpers"])
    exported = _is_directory(paths.get(wanted["export"]), wanted, "0711")
    directories = [path for path in wanted["directories"] if not _is_directory(paths.get(path), wanted, "0700")]
    above = wanted["export"].rpartition("/")[0]
    runs = bool(unit.get("active")) and unit.get("file_state") == "enabled"
    served = {
        "exports_in_force": exports_in_force(server, wanted),
        "settings_in_force": settings_in_force(server, wanted),
    }
    steps = {
        # The configuration of an older server is a block in a file of the package; only its own task can tell.
        "configure": bool(
            server.get("delegations")
            or v3["mask"]
            or v3["stop"]
            or not wanted["reads_conf_files"]
            or wanted["old_file"] in paths
            or [path for path in unlike if path != wanted["exports_file"]]
        ),
        "install": PROGRAM not in paths,
        "export": bool(
            (above and above not in paths)
            or not exported
            or directories
            or not (paths.get(wanted["data_id_system"]) or {}).get("sha256")
            or wanted["exports_file"] in unlike
        ),
        "run": not (runs and all(served.values())),
    }
    return {
        **steps,
        **served,
        "as_found": not any(steps.values()),
        "runs": runs,
        "unlike": unlike,
        "exported": exported,
        "directories": directories,
    }


def faults(server: Seen, wanted: Seen) -> list[str]:
    """Why the running server is not the fence it must be, a sentence each; none when it is."""
    if not server["running"]:
        return ["it does not run", *server["problems"]]
    found = list(server["problems"])
    if sorted(server["versions"]) != sorted(wanted["versions"]):
        found.append(
            f"it serves NFS {', '.join(server['versions']) or 'in no version'}, wanted {', '.join(wanted['versions'])}"
        )
    for name, what in (("threads", "threads"), ("lease_seconds", "s lease"), ("grace_seconds", "s grace period")):
        if server[name] != wanted[name]:
            found.append(f"it runs with {server[name]} {what}, wanted {wanted[name]}")
    if not settings_in_force(server, wanted):
        found += [f"{one['file']} sets {one['key']}={one['value']}" for one in server["overrides"]]
    found += [f"{one['file']} gives {one['path']} to {one['who']}" for one in server["strangers"]]
    found += [
        f"{one['path']} is the root of NFSv4 (fsid=0) for {one['who']}, by {one['file']}" for one in server["roots"]
    ]
    if not exports_in_force(server, wanted):
        ours = [one for one in server["exports"] if one["path"] == wanted["export"]]
        found += [
            f"{wanted['export']} is exported to {one['client']} without {', '.join(missing)}"
            for one in ours
            if (missing := [option for option in wanted["options"] if option not in one["options"]])
        ]
        given, asked = sorted(one["client"] for one in ours), sorted(wanted["clients"])
        if given != asked:
            found.append(
                f"{wanted['export']} is exported to {', '.join(given) or 'no address'}, wanted {', '.join(asked)}"
            )
        rivals = sorted({one["file"] for one in server["rivals"] if one["file"] != wanted["exports_file"]})
        if rivals:
            found.append(f"{wanted['export']} is also exported by {', '.join(rivals)}")
    return found
