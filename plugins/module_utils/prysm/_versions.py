# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""What a Prysm version can do, read from the chart's table (files/versions.yaml)."""

from __future__ import annotations

import calendar
import re
import time
import typing as t

_TAG = re.compile(r"^v?(\d+)\.(\d+)\.(\d+)(?:-(alpha|beta|rc)\.(\d+)|(-hotfix))?$")
_RANK = {"alpha": 0, "beta": 1, "rc": 2, None: 3}

Base = t.Tuple[int, int, int]


class VersionError(ValueError):
    """A version, or the table itself, that cannot be understood."""


class Version(t.NamedTuple):
    """A release tag. Compares in the order in which the releases came."""

    base: Base
    rank: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Version:
        match = _TAG.match(text)
        if match is None:
            raise VersionError(f"{text!r} is not a Prysm release tag such as v7.1.6")
        major, minor, patch, stage, number, hotfix = match.groups()
        rank = 4 if hotfix else _RANK[stage]
        return cls((int(major), int(minor), int(patch)), rank, int(number or 0))


class Fit(t.NamedTuple):
    """Whether a version may be run for a network at a moment."""

    refusals: list[str]
    warnings: list[str]


_ARGUMENT = re.compile(r"^--([a-z0-9][a-z0-9.-]*)(?:=(?!.*\$\()[!-~]*)?\Z")
#: An epoch that never comes; more than this is one, too.
FAR_FUTURE = 2**64 - 1
_DAY = 24 * 3600


def _base(text: t.Any) -> Base:
    return Version.parse(str(text)).base


def moment(text: str) -> float:
    """A moment of the table, or of an inventory, in Unix seconds: 2026-10-06T13:53:36Z, or a date alone."""
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"):
        try:
            return float(calendar.timegm(time.strptime(text, form)))
        except ValueError:
            continue
    raise VersionError(f"{text!r} is not a moment such as 2026-10-06T13:53:36Z")


def _span(interval: t.Mapping[str, t.Any]) -> str:
    first, last = interval.get("first"), interval.get("last")
    if first is None or first == last:
        return f"v{last} or earlier" if first is None else f"v{first}"
    return f"v{first} to v{last}" if last is not None else f"v{first} or later"


def _in_time(seconds: float) -> str:
    return f"{seconds / _DAY:.0f} days" if seconds >= 2 * _DAY else f"{seconds / 3600:.0f} hours"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _why(begins: float, entry: t.Mapping[str, t.Any], now: float) -> str:
    """What an entry of a network's list asks, and since or from when on."""
    spans = ", or ".join(_span(interval) for interval in entry["releases"])
    if "because" in entry:
        return f"{entry['because']} ({_when(begins)}), so it needs {spans}"
    if "fork" in entry:
        verb = "it went through" if begins <= now else "it goes through"
        return f"{verb} the {entry['fork']} fork ({_when(begins)}), which needs {spans}"
    return f"it needs {spans}"


def chosen_images(images: t.Mapping[str, str], values: t.Mapping[str, t.Any], version: str) -> dict[str, str]:
    """The images of a version as the chart takes them: from a mirror, and pinned to a digest, where its values say so.

    values are those of `image`: beaconImage and validatorImage without a tag, beaconDigest and validatorDigest.
    """
    found = {}
    for name, image in images.items():
        mirror, digest = values.get(f"{name}Image"), values.get(f"{name}Digest")
        found[name] = (f"{mirror}:{version}" if mirror else image) + (f"@{digest}" if digest else "")
    return found


class Table:
    """The table, with the questions that roles and playbooks ask it."""

    def __init__(self, table: t.Mapping[str, t.Any]) -> None:
        missing = [
            key
            for key in (
                "oldest",
                "newest",
                "releases",
                "registries",
                "networks",
                "features",
                "validatorSchema",
                "pairs",
                "together",
                "stop",
                "allowedArgs",
                "refusedArgs",
                "refusedPatterns",
                "beaconDatabase",
            )
            if key not in table
        ]
        if missing:
            raise VersionError(f"the version table lacks {', '.join(missing)}")
        self._table = table

    @classmethod
    def read(cls, path: str) -> Table:
        """The chart's files/versions.yaml, on the controller. VersionError when it cannot be read."""
        # Ansible brings it along; machines, which other questions are asked on, need not have it.
        import yaml

        try:
            with open(path, encoding="utf-8") as handle:
                return cls(yaml.load(handle, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        except (OSError, UnicodeError, TypeError, yaml.YAMLError) as exc:
            raise VersionError(f"the version table {path} cannot be read: {exc}") from exc

    def network(self, network: str) -> dict[str, t.Any]:
        """What the table says of a network; nothing of one that it does not know."""
        return dict(self._table["networks"].get(network) or {})

    def within(self, version: str, interval: t.Mapping[str, t.Any] | None) -> bool:
        """Is it between first and last, both included? A hotfix or candidate has the abilities of its release."""
        if interval is None:
            return False
        base = Version.parse(version).base
        if "first" in interval and base < _base(interval["first"]):
            return False
        return not ("last" in interval and base > _base(interval["last"]))

    def features(self, version: str) -> dict[str, bool]:
        return {name: self.within(version, interval) for name, interval in self._table["features"].items()}

    def images(self, version: str) -> dict[str, str]:
        for entry in self._table["registries"]:
            if self.within(version, entry):
                return {
                    "beacon": f"{entry['repository']}/beacon-chain:{version}",
                    "validator": f"{entry['repository']}/validator:{version}",
                }
        raise VersionError(f"no registry is known for {version}")

    def known(self, version: str) -> bool:
        """Whether the table was checked against this very release. Candidates are none."""
        return version.startswith("v") and version[1:] in {str(one) for one in self._table["releases"]}

    def _follow(self, network: str) -> list[tuple[float, t.Mapping[str, t.Any]]]:
        """What the network asked of a release, from when on, in order."""
        entry = self._table["networks"].get(network) or {}
        return [(moment(one["from"]), one) for one in entry.get("follow") or []]

    def _follows(self, version: str, entry: t.Mapping[str, t.Any]) -> bool:
        return any(self.within(version, interval) for interval in entry["releases"])

    def forked(self, network: str, fork: str, now: float, chain_config: t.Mapping[str, t.Any] | None = None) -> bool:
        """Whether a network is in a fork. Of a private chain its configuration says so, from its first slot on."""
        if network == "custom":
            try:
                epoch = int(str((chain_config or {}).get(f"{fork.upper()}_FORK_EPOCH", FAR_FUTURE)), 0)
            except ValueError:
                return True
            return epoch < FAR_FUTURE
        return any(begins <= now and one.get("fork") == fork for begins, one in self._follow(network))

    def fit(self, version: str, network: str, now: float, untested: str = "") -> Fit:
        """Whether this version may be run for this network at that moment (Unix seconds), and for how long.

        untested names a release that the table does not know and that is run all the same.
        """
        refusals, warnings = [], []
        if Version.parse(version).base < _base(self._table["oldest"]):
            refusals.append(
                f"{version} is older than v{self._table['oldest']}, the oldest release this collection can run"
            )
        elif not version.startswith("v"):
            refusals.append(f"{version} is not an image tag: release tags begin with v")
        elif not self.known(version):
            words = (
                f"the version table was never checked against Prysm {version} (the newest it knows is "
                f"v{self._table['newest']}): whether it has the arguments it is given, and follows the network, is not "
                "known"
            )
            if untested == version:
                warnings.append(words)
            else:
                refusals.append(
                    f"{words}. Read its release notes; to run it all the same, set prysm_untested_version to {version}"
                )
        entry = self._table["networks"].get(network)
        if entry is None:
            known = ", ".join(sorted(self._table["networks"]))
            return Fit([*refusals, f"network {network!r} is unknown; known are {known}"], warnings)
        dead = entry.get("dead")
        if dead and moment(dead["from"]) <= now:
            refusals.append(str(dead["because"]))
        else:
            late, ahead = self._chain(version, network, now)
            refusals += late
            warnings += ahead
        if "flag" in entry and not self.within(version, entry["flag"]):
            refusals.append(f"Prysm {version} has no --{network}; it would not start, or would follow mainnet instead")
        return Fit(refusals, warnings)

    def _chain(self, version: str, network: str, now: float) -> tuple[list[str], list[str]]:
        """Why the version does not follow the network now, or will not for long."""
        follow = self._follow(network)
        begun = [one for one in follow if one[0] <= now] or follow[:1]
        if begun and not self._follows(version, begun[-1][1]):
            # The newest fork that it does not know tells more than a hole in the middle.
            lacking = [one for one in begun if "fork" in one[1] and not self._follows(version, one[1])]
            begins, one = (lacking or begun)[-1]
            words = _why(begins, {**one, "releases": begun[-1][1]["releases"]}, now)
            return [f"Prysm {version} cannot follow {network}: {words}"], []
        for begins, one in follow[len(begun) :]:
            if not self._follows(version, one):
                words = f"in {_in_time(begins - now)} Prysm {version} leaves {network}: {_why(begins, one, now)}"
                return [], [f"{words}. Move there before"]
        return [], []

    def schedule(self, version: str, network: str, spec: t.Mapping[str, t.Any], now: float) -> list[str]:
        """Where a beacon node's own schedule (/eth/v1/config/spec) and the table's differ, ahead or already past.

        A fork that the network has and the beacon node does not, and one that it would take alone.
        """
        begins_at = {str(one["fork"]): (begins, one) for begins, one in self._follow(network) if "fork" in one}
        genesis, found = self.genesis(network), []
        if not genesis:
            return []
        for name, text in spec.items():
            if not name.endswith("_FORK_EPOCH") or not str(text).isdigit():
                continue
            fork, epoch = name[: -len("_FORK_EPOCH")].capitalize(), int(text)
            known = begins_at.get(fork)
            if known is None:
                begins = float(genesis + epoch * 384)
                wrong = [
                    one for _unused, one in self._follow(network) if one.get("epoch") == epoch and "because" in one
                ]
                if epoch < FAR_FUTURE and (wrong or (fork not in _OLD_FORKS and begins > now)):
                    reason = wrong[0]["because"] if wrong else "the version table does not know of it"
                    found.append(
                        f"the beacon node (Prysm {version}) takes the {fork} fork at {_when(begins)}, and {reason}"
                    )
            elif "epoch" in known[1] and known[1]["epoch"] != epoch:
                begins, one = known
                when = f"in {_in_time(begins - now)}" if begins > now else "already"
                found.append(
                    f"the beacon node (Prysm {version}) does not take the {fork} fork of {network} at {_when(begins)} "
                    f"({when}): it needs {', or '.join(map(_span, one['releases']))}"
                )
        return found

    def layout(self, version: str) -> int:
        """How many changes of validator.db's layout a version knows."""
        base = Version.parse(version).base
        return sum(_base(change) <= base for change in self._table["validatorSchema"])

    def schema_changes(self, current: str, wanted: str) -> tuple[list[str], list[str]]:
        """The changes of validator.db's layout crossed going up, and going down, from current to wanted."""
        before, after = Version.parse(current).base, Version.parse(wanted).base
        up, down = [], []
        for change in self._table["validatorSchema"]:
            at = _base(change)
            if before < at <= after:
                up.append(f"v{change}")
            if after < at <= before:
                down.append(f"v{change}")
        return up, down

    def pair_refusal(self, validator: str, beacon: str, forks: t.Container[str] = ()) -> str:
        """Why a validator client must not run on this beacon node, on a network that is in these forks."""
        rules = [entry for entry in self._table["pairs"] if self.within(validator, entry["validator"])]
        if not rules:
            return (
                f"the version table does not say which beacon nodes a validator client of Prysm {validator} works with"
            )
        why = "" if self.within(beacon, rules[0]["beacon"]) else rules[0]["because"]
        for entry in self._table["together"]:
            if entry["fork"] in forks and self.within(validator, entry["validator"]):
                why = why or (entry["because"] if self.within(beacon, entry["beacon"]) else "")
        if not why:
            return ""
        return f"a validator client of Prysm {validator} does not work with a beacon node of {beacon}: {why}"

    def forks_together(self, network: str, now: float, chain_config: t.Mapping[str, t.Any] | None = None) -> list[str]:
        """The forks that the network is in, of those whose beacon nodes and validator clients move together."""
        named = {str(entry["fork"]) for entry in self._table["together"]}
        return sorted(fork for fork in named if self.forked(network, fork, now, chain_config))

    def order(self, current: str, wanted: str, forks: t.Container[str] = ()) -> tuple[str, str]:
        """In which order a site moves, and why it cannot move one after the other.

        Going up the beacon node goes first, going down the validators do: for a while the older validators run on the
        newer beacon node. Where they cannot, nothing of either may run while the other moves: together.
        """
        way = move(current, wanted)
        if way in ("install", "same"):
            return "beacon_first", ""
        old, new = (current, wanted) if way == "upgrade" else (wanted, current)
        why = self.pair_refusal(old, new, forks)
        if why:
            return "together", why
        return ("beacon_first" if way == "upgrade" else "validators_first"), ""

    def emergency_refusals(self, given: t.Mapping[str, t.Any]) -> list[str]:
        """Why arguments of an emergency must not be given to a program. They need not be on the list of allowed."""
        found = []
        for program, arguments in given.items():
            if program not in ("beacon", "validator") or not isinstance(arguments, (list, tuple)):
                found.append(f"{program}: give a list of arguments for beacon or validator")
                continue
            for argument in arguments:
                found += [f"{program}: {why}" for why in self._emergency_refusal(program, str(argument))]
        return found

    def _emergency_refusal(self, program: str, argument: str) -> list[str]:
        match = _ARGUMENT.match(argument)
        if match is None:
            return [f"{argument!r} is not understood; write --flag or --flag=value, without spaces"]
        name = match.group(1)
        if name in self._table["refusedArgs"]:
            return [f"--{name} is refused: {self._table['refusedArgs'][name]}"]
        if name in self._table["allowedArgs"][program]:
            return []
        return [
            f"--{name} is refused: its name says that it touches {what}"
            for what, pattern in self._table["refusedPatterns"].items()
            if re.search(pattern, name)
        ]

    def stop_seconds(self, version: str, program: str, arguments: t.Iterable[str] = ()) -> int:
        """How long a program of this version may take to end after SIGTERM."""
        given = {argument.lstrip("-").partition("=")[0] for argument in arguments if not argument.endswith("=false")}
        return max(
            int(entry["seconds"])
            for entry in self._table["stop"][program]
            if self.within(version, entry) and entry.get("with", "") in {"", *given}
        )

    def beacon_database_refusal(self, current: str, wanted: str) -> str:
        """Why the wanted release cannot open the beacon node's database of the current one; empty when it can."""
        if move(current, wanted) in ("install", "same"):
            return ""
        for entry in self._table["beaconDatabase"]:
            if self.within(current, entry["from"]) and self.within(wanted, entry["to"]):
                return (
                    f"Prysm {wanted} cannot open the beacon node's database of {current}: {entry['because']}. Its "
                    "directory has to be emptied, and it syncs anew (validator.db is not touched): run again with "
                    "-e prysm_helm_empty_beacon_database=true"
                )
        return ""

    def genesis(self, network: str) -> int:
        """When the network's slot 0 began, in Unix seconds; 0 when only its beacon nodes know."""
        return int((self._table["networks"].get(network) or {}).get("genesis", 0))

    def needs_checkpoint(self, network: str) -> bool:
        """Whether a beacon node without a database must be given a checkpoint or a genesis state."""
        return bool((self._table["networks"].get(network) or {}).get("checkpoint", False))


#: Forks that every network of today took at its beginning, or long ago.
_OLD_FORKS = ("Altair", "Bellatrix", "Capella", "Deneb", "Electra", "Fulu")


def move(current: str, wanted: str) -> str:
    """install, same, upgrade or downgrade."""
    if not current:
        return "install"
    before, after = Version.parse(current), Version.parse(wanted)
    if before == after:
        return "same"
    return "upgrade" if before < after else "downgrade"


#: What prysm_version_info is asked with.
ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "table": {"type": "path", "required": True},
    "version": {"type": "str", "required": True},
    "network": {"type": "str", "required": True},
    "current": {"type": "str", "default": ""},
    "untested": {"type": "str", "default": ""},
    "now": {"type": "str", "default": ""},
    "emergency": {"type": "dict", "default": {}},
    "beacon_args": {"type": "list", "elements": "str", "default": []},
    "chain_config": {"type": "dict", "default": {}},
}


def answers(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the table says of a version; VersionError when there is no such release."""
    version, current, network = (params[name] for name in ("version", "current", "network"))
    table = Table.read(params["table"])
    now = moment(params["now"]) if params["now"] else time.time()
    fit = table.fit(version, network, now, params["untested"])
    up, down = table.schema_changes(current, version) if current else ([], [])
    forks = table.forks_together(network, now, params["chain_config"])
    order, pair_refusal = table.order(current, version, forks)
    database_refusal = table.beacon_database_refusal(current, version)
    return {
        "refusals": fit.refusals,
        "notes": fit.warnings,
        "move": move(current, version),
        "schema_up": up,
        "schema_down": down,
        "layout": table.layout(version),
        "order": order,
        "beacon_together": order == "together",
        "pair_refusal": pair_refusal,
        "beacon_database_incompatible": bool(database_refusal),
        "beacon_database_refusal": database_refusal,
        "genesis_time": table.genesis(network),
        "needs_checkpoint": table.needs_checkpoint(network),
        "emergency_refusals": table.emergency_refusals(params["emergency"]),
        "stop_seconds": {
            "beacon": table.stop_seconds(version, "beacon", params["beacon_args"]),
            "validator": table.stop_seconds(version, "validator"),
        },
        "images": table.images(version),
        "features": table.features(version),
    }
