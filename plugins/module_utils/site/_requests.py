# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What a command asks of a playbook, held against playbooks/vars/requests.yml. Names only: no value is looked into."""

from __future__ import annotations

import difflib
import functools
import os
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _site_layout

try:
    import yaml
except ImportError:  # every controller has it, and only an action plugin uses this
    yaml = None  # type: ignore[assignment]

Table = t.Dict[str, t.Any]
Groups = t.Mapping[str, t.Sequence[str]]

#: The roles whose steps may be left out: what they would have done is proved by the gates, or done by a later run.
_MAY_BE_SKIPPED = ("base", "timesync", "firewall", "nfs_server", "microk8s")
#: Variables of Ansible itself and of what starts it.
_FOREIGN = ("ansible_", "awx_", "tower_", "vault_", "molecule_")


@functools.lru_cache(maxsize=None)
def load(path: str) -> t.Any:
    """A YAML file of the collection's own, read once; nothing of it may be changed."""
    with open(path, encoding="utf-8") as handle:
        return yaml.load(handle, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@functools.lru_cache(maxsize=None)
def table(root: str) -> Table:
    """What can be asked of each playbook, read once; nothing of it may be changed."""
    found: Table = load(os.path.join(root, "playbooks/vars/requests.yml"))

    def whole(spec: Table) -> Table:
        """With what it has of another playbook's variable (`same_as: playbook.variable`)."""
        own = {key: value for key, value in spec.items() if key != "same_as"}
        if "same_as" not in spec:
            return own
        playbook, _dot, name = spec["same_as"].partition(".")
        return {**whole(found["playbooks"][playbook]["variables"][name]), **own}

    playbooks = {
        name: {**entry, "variables": {variable: whole(spec) for variable, spec in entry["variables"].items()}}
        for name, entry in found["playbooks"].items()
    }
    return {**found, "playbooks": playbooks}


def _roles(root: str) -> list[str]:
    base = os.path.join(root, "roles")
    return sorted(os.path.join(base, name) for name in os.listdir(base) if not name.startswith("."))


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def known(root: str, requests: Table) -> set[str]:
    """Every variable that somebody may set: of the playbooks, of the roles, and what the roles' defaults refer to."""
    prefixes = tuple(requests["prefixes"])
    found = {*requests["site"], *requests["everywhere"]}
    for playbook in requests["playbooks"].values():
        found.update(playbook["variables"])
    for role in _roles(root):
        defaults = load(os.path.join(role, "defaults/main.yml")) or {}
        found.update(defaults)
        found.update(load(os.path.join(role, "meta/argument_specs.yml"))["argument_specs"]["main"]["options"])
        for text in _texts(defaults):
            found.update(word for word in re.findall(r"\b[a-z]\w+", text) if word.startswith(prefixes))
    return found - set(requests["owned"])


def entries(root: str) -> dict[str, set[str]]:
    """The options of a list's entries, by each variable that gives the list."""
    found: dict[str, set[str]] = {}
    for role in _roles(root):
        main = load(os.path.join(role, "meta/argument_specs.yml"))["argument_specs"]["main"]["options"]
        defaults = load(os.path.join(role, "defaults/main.yml")) or {}
        for name, spec in main.items():
            if spec.get("elements") == "dict" and "options" in spec:
                given = re.fullmatch(r"\{\{ (\w+) \}\}", str(defaults.get(name, "")))
                for variable in {name, *(given.groups() if given else ())}:
                    found.setdefault(variable, set()).update(spec["options"])
    return found


def unknown_options(variable: str, given: t.Any, known_options: set[str]) -> list[str]:
    """Options of entries that are none, with the nearest one. Only names are read, and a template is not followed."""
    if not isinstance(given, (list, tuple)):
        return []
    found = []
    for number, entry in enumerate(given, 1):
        if not isinstance(entry, t.Mapping):
            continue
        name = entry.get("name")
        where = f"{name} in {variable}" if isinstance(name, str) and name else f"entry {number} of {variable}"
        for option in sorted(str(one) for one in set(entry) - known_options):
            near = _nearest(option, known_options, 0.6) or _part_of(option, known_options)
            found.append(
                f"{where} has an unknown option {option}"
                + (_meant(near) if near else f" (known are {', '.join(sorted(known_options))})")
            )
    return found


def _tags(tasks: list[Table]) -> t.Iterator[str]:
    for task in tasks:
        given = task.get("tags") or []
        yield from [given] if isinstance(given, str) else given


def role_tags(root: str, roles: t.Iterable[str]) -> set[str]:
    """The tags of these roles: their names, and those of their steps."""
    found: set[str] = set()
    for role in roles:
        found |= {role, *_tags(load(os.path.join(root, "roles", role, "tasks/main.yml")))}
    return found - {"always", "never"}


def options(arguments: t.Mapping[str, t.Any], name: str, root: str, requests: Table) -> list[str]:
    """What of the command's options would leave a part out that must not be left out."""
    found = []
    if arguments.get("start_at_task"):
        found.append("--start-at-task leaves out what must be checked first; run the whole playbook")
    if arguments.get("step"):
        found.append("--step can leave any check out; run the whole playbook")
    roles = requests["playbooks"][name].get("roles") or []
    tags = [str(tag) for tag in arguments.get("tags") or () if tag != "all"]
    skipped = [str(tag) for tag in arguments.get("skip_tags") or ()]
    if not roles:
        if tags:
            found.append(f"{name}.yml is one piece of work: run it without --tags")
        ours = role_tags(root, (os.path.basename(role) for role in _roles(root)))
        if ours.union(_SPECIAL).intersection(skipped):
            found.append(f"{name}.yml is one piece of work: run it without --skip-tags")
        return found
    allowed = role_tags(root, roles) | ({"gates"} if "prysm_helm" in roles else set())
    strange = [tag for tag in tags if tag not in allowed]
    if strange:
        near = difflib.get_close_matches(strange[0], allowed, 1, 0.6)
        found.append(
            f"{name}.yml has no tag {', '.join(strange)}"
            + _meant(near[0] if near else "")
            + f". Tags are the names of the roles ({', '.join(roles)}) and of their steps (--list-tags)"
        )
    kept = role_tags(root, (role for role in roles if role in _MAY_BE_SKIPPED))
    needed = [tag for tag in skipped if tag in _SPECIAL or (tag in allowed and tag not in kept)]
    if needed:
        found.append(
            f"--skip-tags {','.join(needed)} leaves out what must be proved before validators start; name the steps to "
            "run with --tags instead"
        )
    return found


_SPECIAL = {"always", "all", "tagged", "untagged", "gates"}


def machines(groups: Groups, present: t.Iterable[str], name: str, requests: Table) -> list[str]:
    """What is wrong with the inventory's groups, and which machines are missing from the run."""
    nfs, site = list(groups.get("nfs") or []), list(groups.get("site") or [])
    planes, workers = list(groups.get("control_plane") or []), list(groups.get("workers") or [])
    nodes = list(groups.get("microk8s") or [])
    found = []
    if not site:
        return [
            "the inventory has no machine in the group site. Name one with -i: inventory/testnet shows the groups nfs, "
            "control_plane and workers, below microk8s and site"
        ]
    if not _site_layout.layout(groups).built:
        needs = requests["playbooks"][name].get("needs") or []
        found += _site_layout.problems(groups) or _site_layout.missing(needs, name, groups)
        return found + _left_out_of_the_run(groups, present, name, requests)
    if len(nfs) != 1:
        found.append(f"the group nfs must have exactly one machine; it has {', '.join(nfs) or 'none'}")
    if not planes:
        found.append(
            "the group control_plane has no machine; its first is the one that Helm and Kubernetes are used on (for a "
            "cluster of yours, name one machine in the group helm_client: inventory/own_cluster)"
        )
    for host in sorted({*nfs, *planes, *workers, *nodes} - set(site)):
        found.append(f"{host} is not in the group site")
    for host in sorted({*planes, *workers} - set(nodes)):
        found.append(f"{host} is in control_plane or workers, but not in their parent microk8s")
    for host in sorted(set(nodes) - {*planes, *workers}):
        found.append(f"{host} is in microk8s, but neither in control_plane nor in workers")
    for host in sorted(set(planes) & set(workers)):
        found.append(f"{host} is both in control_plane and in workers")
    return found + _left_out_of_the_run(groups, present, name, requests)


def not_given(names: t.Container[str], name: str, requests: Table) -> list[str]:
    """What no inventory can do without, and this one lacks: a template would say so in the middle of the work."""
    return [
        f"{variable} is not set in the inventory: {spec['description']}"
        for variable, spec in requests["given"].items()
        if name not in spec["not_by"] and variable not in names
    ]


def no_address(hosts: t.Iterable[str], having: t.Container[str]) -> list[str]:
    """The machines that others are told to reach, and whose address nothing gives."""
    bare = [host for host in hosts if host not in having]
    return [f"ansible_host, the machine's address, is not set in the inventory for {', '.join(bare)}"] if bare else []


def _left_out_of_the_run(groups: Groups, present: t.Iterable[str], name: str, requests: Table) -> list[str]:
    wanted = [host for group in requests["playbooks"][name]["machines"] for host in groups.get(group) or []]
    missing = [host for host in dict.fromkeys(wanted) if host not in set(present)]
    if not missing:
        return []
    return [f"{name}.yml works on the whole site, and this run leaves {', '.join(missing)} out: run it without --limit"]


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name.strip().lower())


def _nearest(name: str, names: t.Iterable[str], cutoff: float) -> str:
    return next(iter(difflib.get_close_matches(_plain(name), sorted(names), 1, cutoff)), "")


def _part_of(name: str, names: t.Iterable[str]) -> str:
    """`version` for prysm_version: words of one of ours, if need be all of them in another order."""
    words = set(_plain(name).split("_"))
    return next((ours for ours in sorted(names) if words <= set(ours.split("_"))), "")


def _meant(near: str) -> str:
    return f" (did you mean {near}?)" if near else ""


def _unknown(name: str, near: str) -> str:
    return f"{name} is not a variable of this collection{_meant(near)}"


def unknown_typed(
    names: t.Iterable[str], own: t.Iterable[str], name: str, ours: set[str], requests: Table
) -> list[str]:
    """Variables given with -e that look like ours and are not."""
    prefixes = (*requests["prefixes"], *requests["typed_prefixes"])
    here = {*requests["playbooks"][name]["variables"], *requests["everywhere"]}
    found = []
    for given in sorted({str(one) for one in names} - ours - set(own)):
        if given in requests["owned"]:
            found.append(f"{given} is worked out by the playbooks themselves, and cannot be given with -e")
        elif given.startswith(_FOREIGN):
            continue
        else:
            near = (
                _nearest(given, here, 0.7)
                or _nearest(given, ours, 0.8)
                or _part_of(given, here | set(requests["site"]))
                or ("_" in _plain(given) and _part_of(given, ours))
                or (_nearest(given, ours, 0.6) if _plain(given).startswith(prefixes) else "")
            )
            if near or _plain(given).startswith(prefixes):
                found.append(_unknown(given, near))
    return found


def unknown_stored(
    places: t.Mapping[str, t.Iterable[str]], own: t.Iterable[str], ours: set[str], requests: Table
) -> list[str]:
    """Variables of the inventory (name -> hosts that have it) that begin like ours and are not."""
    prefixes, typed = tuple(requests["prefixes"]), tuple(requests["typed_prefixes"])
    working = {"site_gates", "site_run_id", "site_run_playbook", "prysm_helm_gates"}
    found = []
    for given in sorted(set(places) - ours - set(own)):
        if given in requests["owned"] and given not in working:
            continue
        near = _nearest(given, ours, 0.6 if given.startswith(prefixes) else 0.8)
        if given.startswith(prefixes) or (given.startswith(typed) and near):
            found.append(f"{_unknown(given, near)}, and is set for {', '.join(sorted(places[given]))}")
    return found


def resembling(names: t.Iterable[str], own: t.Iterable[str], ours: set[str], requests: Table) -> list[str]:
    """Variables of the inventory under another prefix that differ from one of ours by a slip: worth a warning only."""
    prefixes = (*requests["prefixes"], *requests["typed_prefixes"], *_FOREIGN)
    found = []
    for given in sorted(set(names) - ours - set(own) - set(requests["owned"])):
        near = "" if given.startswith(prefixes) else _nearest(given, ours, 0.9)
        if near:
            found.append(f"{given} in the inventory is not a variable of this collection{_meant(near)}")
    return found


def say(name: str, wrong: str, spec: Table) -> str:
    """What is wrong with a variable, what it is for, and what to type."""
    return f"{name} {wrong} ({spec['description'].strip().rstrip('.')}): use -e {spec['say']}"


def value(name: str, given: t.Any, spec: Table, groups: Groups) -> str:
    """What is wrong with a value that has the right type; nothing when it is right."""
    text = given if isinstance(given, str) else ""
    if spec.get("pattern") and not re.fullmatch(spec["pattern"], text):
        return say(name, "has an invalid value", spec)
    hosts = groups.get(spec.get("host_of", "")) or []
    # On a cluster of others the group is empty, and a node is what Kubernetes calls so.
    if spec.get("host_of") and text not in hosts and not (spec.get("or_node") and not hosts):
        names = ", ".join(hosts) or "which is empty"
        return say(name, f"must be one machine of the group {spec['host_of']} ({names}), not a group or pattern", spec)
    return ""
