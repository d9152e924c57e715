# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Prysm version can do, read from the chart's table (files/versions.yaml)."""

from __future__ import annotations

import re
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


def _base(text: t.Any) -> Base:
    return Version.parse(str(text)).base


class Table:
    """The table, with the questions that roles and playbooks ask it."""

    def __init__(self, table: t.Mapping[str, t.Any]) -> None:
        missing = [
            key
            for key in (
                "oldest",
                "newest",
                "registries",
                "networks",
                "features",
                "validatorSchema",
                "pairs",
                "beaconDatabase",
            )
            if key not in table
        ]
        if missing:
            raise VersionError(f"the version table lacks {', '.join(missing)}")
        self._table = table

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

    def refusals(self, version: str, network: str) -> list[str]:
        """Why this version must not be run for this network; empty when it may."""
        found = []
        if Version.parse(version).base < _base(self._table["oldest"]):
            found.append(
                f"{version} is older than v{self._table['oldest']}, the oldest release this collection can run"
            )
        if not version.startswith("v"):
            found.append(f"{version} is not an image tag: release tags begin with v")
        entry = self._table["networks"].get(network)
        if entry is None:
            known = ", ".join(sorted(self._table["networks"]))
            return [*found, f"network {network!r} is unknown; known are {known}"]
        if "dead" in entry:
            found.append(str(entry["dead"]))
        elif not self.within(version, entry.get("follow")):
            because = f"{entry['because']}, which needs " if "because" in entry else "it needs "
            found.append(f"Prysm {version} cannot follow {network}: {because}v{entry['follow']['first']} or later")
        if "flag" in entry and not self.within(version, entry["flag"]):
            found.append(f"Prysm {version} has no --{network}; it would not start, or would follow mainnet instead")
        return found

    def warnings(self, version: str) -> list[str]:
        if Version.parse(version).base > _base(self._table["newest"]):
            return [
                f"Prysm {version} is newer than v{self._table['newest']}, the newest release the version table was "
                "checked against. Read its release notes for removed flags first."
            ]
        return []

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

    def pair_refusal(self, validator: str, beacon: str) -> str:
        """Why a validator client must not run on this beacon node; empty when it may."""
        for entry in self._table["pairs"]:
            if self.within(validator, entry["validator"]):
                if self.within(beacon, entry["beacon"]):
                    return ""
                return (
                    f"a validator client of Prysm {validator} does not work with a beacon node of {beacon}: "
                    f"{entry['because']}"
                )
        return f"the version table does not say which beacon nodes a validator client of Prysm {validator} works with"

    def order(self, current: str, wanted: str) -> tuple[str, str]:
        """In which order a site moves, and why it cannot move one after the other.

        Going up the beacon node goes first, going down the validators do: for a while the older validators run on the
        newer beacon node. Where they cannot, nothing of either may run while the other moves: together.
        """
        way = move(current, wanted)
        if way in ("install", "same"):
            return "beacon_first", ""
        old, new = (current, wanted) if way == "upgrade" else (wanted, current)
        why = self.pair_refusal(old, new)
        if why:
            return "together", why
        return ("beacon_first" if way == "upgrade" else "validators_first"), ""

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


def move(current: str, wanted: str) -> str:
    """install, same, upgrade or downgrade."""
    if not current:
        return "install"
    before, after = Version.parse(current), Version.parse(wanted)
    if before == after:
        return "same"
    return "upgrade" if before < after else "downgrade"
