"""What the source of a release of Prysm says that the chart's version table does not: see scripts/propose-versions.

Go is read as text, as far as Prysm's own habits go: flags are package variables of the urfave/cli package, listed in
main.go and in the package of the feature flags; the networks' forks are fields of their configuration.
"""

from __future__ import annotations

import re
import sys
import typing as t
from pathlib import Path

import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import FAR_FUTURE, Table

CHART = Path(__file__).parents[1] / "roles/prysm_helm/files/eth2prysm"
PROGRAMS = {"beacon": "beacon-chain", "validator": "validator"}
#: Where flags are defined, and where a program lists those it takes, in all the years.
DEFINITIONS = ("cmd", "config/features", "shared/cmd", "shared/featureconfig", "beacon-chain/flags", "validator/flags")
_FLAG = re.compile(r"^\t*(\w+)\s*=\s*(?:cmd\.Wrap\w+\()?&?cli\.(\w+?)Flag\{(.*?)^\t*\}", re.M | re.S)
_STRING = r"(?:\"((?:[^\"\\]|\\.)*)\"|`([^`]*)`)"
_NAME = re.compile(r"\bName:\s*(?:" + _STRING + r"|(\w+),)")
_CONSTANT = re.compile(r"^\s*(?:const\s+)?(\w+)\s*=\s*\"([^\"]+)\"\s*$", re.M)
_ALIASES = re.compile(r"\bAliases:\s*\[\]string\{([^}]*)\}")
_USAGE = re.compile(r"\bUsage:\s*(?:\"((?:[^\"\\]|\\.)*)\"|`([^`]*)`)")
_LIST = re.compile(r"^var\s+(\w+)\s*=\s*([^\n]*\{\n.*?^\}[^\n]*)", re.M | re.S)
_ITEM = re.compile(r"\b([A-Za-z]\w*(?:\.[A-Za-z]\w*)?)\b")
_EPOCH = re.compile(r"(?:\bcfg\.|\bmainnet)?([A-Z][a-z]+)ForkEpoch\s*[:=]+\s*(math\.MaxUint64|\d+)")


class Flag(t.NamedTuple):
    """A flag as the source defines it."""

    name: str
    value: bool
    usage: str
    aliases: tuple[str, ...]


def _text(match: re.Match[str] | None) -> str:
    return "" if match is None else (match.group(1) or match.group(2) or "")


def definitions(source: Path) -> dict[str, Flag]:
    """Every flag that the source defines, by the name of its variable, with and without the package."""
    found: dict[str, Flag] = {}
    for folder in DEFINITIONS:
        for file in sorted((source / folder).rglob("*.go")) if (source / folder).is_dir() else []:
            if file.name.endswith("_test.go"):
                continue
            content = file.read_text(encoding="utf-8")
            constants = dict(_CONSTANT.findall(content))
            package = _text(re.search(r"^package (\w+)()", content, re.M))
            for variable, kind, body in _FLAG.findall(content):
                named = _NAME.search(body)
                name = _text(named) or constants.get(named.group(3) if named else "", "")
                if not name:
                    continue
                usage = " ".join(_text(_USAGE.search(body)).split())
                aliases = _ALIASES.search(body)
                names = tuple(re.findall(r"\"([^\"]+)\"", aliases.group(1))) if aliases else ()
                flag = Flag(name, kind != "Bool", usage, names)
                found[f"{package}.{variable}"] = flag
                found.setdefault(variable, flag)
    return found


def _lists(source: Path) -> dict[str, list[str]]:
    """Lists of flags in the packages of feature flags: what stands in each, other lists included."""
    found: dict[str, list[str]] = {}
    for folder in ("config/features", "shared/featureconfig"):
        for file in sorted((source / folder).glob("*.go")) if (source / folder).is_dir() else []:
            for name, body in _LIST.findall(file.read_text(encoding="utf-8")):
                found[name] = _ITEM.findall(re.sub(r"//[^\n]*", "", body))
    return found


def flags(source: Path, program: str) -> dict[str, Flag]:
    """The flags that a program takes, by name and alias."""
    mains = [source / "cmd" / program / "main.go", source / program / "main.go"]
    main = next((one for one in mains if one.is_file()), None)
    if main is None:
        raise SystemExit(f"{source} is no source tree of Prysm: it has no {mains[0].relative_to(source)}")
    content = main.read_text(encoding="utf-8")
    listed = re.search(r"^var appFlags\s*=\s*\[\]cli\.Flag\{(.*?)^\}", content, re.M | re.S)
    if listed is None:
        raise SystemExit(f"{main} lists no flags (appFlags)")
    wanted = _ITEM.findall(re.sub(r"//[^\n]*", "", listed.group(1)))
    wanted += re.findall(r"\b(\w+\.\w+Flags)\.\.\.", content)
    known, lists = definitions(source), _lists(source)
    found: dict[str, Flag] = {}
    seen: set[str] = set()
    while wanted:
        item = wanted.pop()
        if item in seen:
            continue
        seen.add(item)
        bare = item.rpartition(".")[2]
        flag = known.get(item) or known.get(bare)
        if flag is not None:
            for name in (flag.name, *flag.aliases):
                found[name] = flag
        else:
            wanted += lists.get(bare, [])
    return found


def forks(source: Path) -> dict[str, dict[str, int]]:
    """The forks of each network, by epoch; one that is not scheduled is left out."""
    found: dict[str, dict[str, int]] = {}
    for folder in ("config/params", "shared/params"):
        for file in sorted((source / folder).glob("*_config.go")) if (source / folder).is_dir() else []:
            network = file.name[: -len("_config.go")].replace("testnet_", "")
            content = re.sub(r"//[^\n]*", "", file.read_text(encoding="utf-8"))
            epochs = {name: int(at) for name, at in _EPOCH.findall(content) if at.isdigit() and int(at) < FAR_FUTURE}
            found[network] = epochs
    return found


def own_arguments(features: t.Mapping[str, bool]) -> set[str]:
    """The arguments that the chart's own templates give a release with these features."""
    found: set[str] = set()
    for name in ("beacon.yaml", "validators.yaml"):
        given = [True]
        for line in (CHART / "templates" / name).read_text(encoding="utf-8").splitlines():
            feature = re.search(r'"eth2prysm.has" \(list \S+ "(\w+)"\)', line)
            if re.search(r"\{\{-? *(if|with|range) ", line):
                # What the chart gives where its table has the argument is no news to the table.
                listed = "eth2prysm.takes" in line
                given.append(given[-1] and not listed and (feature is None or features[feature.group(1)]))
            elif re.search(r"\{\{-? *else", line):
                given[-1] = given[-2] and not given[-1]
            elif all(given):
                found |= set(re.findall(r"--([a-z0-9][a-z0-9.-]+)(?==|\s|\"|$)", line))
            given = given[: len(given) - len(re.findall(r"\{\{-? *end *-?\}\}", line))]
    return found


def _program_lines(
    table: Table,
    content: t.Mapping[str, t.Any],
    program: str,
    taken: dict[str, Flag],
    known: set[str],
    release: str,
) -> t.Iterator[str]:
    allowed, refused = content["allowedArgs"][program], content["refusedArgs"]
    for name, interval in allowed.items():
        if table.within(release, interval) and name not in taken:
            yield f"allowedArgs.{program}.{name}: {release} does not take it; `last:` is the release before"
        elif name in taken and table.within(release, interval) and taken[name].value != bool(interval.get("value")):
            yield f"allowedArgs.{program}.{name}: it is {'no switch' if taken[name].value else 'a switch'} in {release}"
        elif name in taken and not table.within(release, interval):
            yield f"allowedArgs.{program}.{name}: {release} takes it, and the table says otherwise ({interval})"
    for name in sorted(set(taken) - set(allowed) - set(refused) - known):
        flag = taken[name]
        kind = ", value: true" if flag.value else ""
        yield (
            f"{program} takes --{name}, of which the table knows nothing: to refusedArgs with a reason, to "
            f"allowedArgs as `{name}: {{first: {release[1:]}{kind}}}`, or neither. {flag.usage[:160]}"
        )


def _network_lines(
    table: Table, content: t.Mapping[str, t.Any], found: dict[str, dict[str, int]], release: str
) -> t.Iterator[str]:
    for name, network in content["networks"].items():
        entries = {str(one["fork"]): one for one in network.get("follow", []) if "epoch" in one and "fork" in one}
        for fork, epoch in sorted(found.get(name, {}).items(), key=lambda one: one[1]):
            entry = entries.get(fork)
            at = network["genesis"] + epoch * 384
            if entry is None and epoch * 384 > 30 * 24 * 3600 and not network.get("dead"):
                yield f"networks.{name}.follow: {release} takes the {fork} fork at epoch {epoch} (Unix time {at})"
            elif entry is not None and entry["epoch"] != epoch:
                yield f"networks.{name}.follow: {release} takes {fork} at {epoch}, the table says {entry['epoch']}"
            elif entry is not None and not any(table.within(release, one) for one in entry["releases"]):
                yield f"networks.{name}.follow: {release} knows {fork} at epoch {epoch}, and the table says it does not"
        for fork, entry in entries.items():
            if (
                name in found
                and fork not in found[name]
                and any(table.within(release, one) for one in entry["releases"])
            ):
                yield f"networks.{name}.follow: {release} does not know the {fork} fork, and the table says it does"


def propose(source: Path, release: str, content: t.Mapping[str, t.Any], before: Path | None = None) -> list[str]:
    """What to change in the table, one line each. Arguments that the release before had are not proposed again."""
    table = Table(content)
    found = []
    if not table.known(release):
        found.append(f"releases: add {release[1:]}; newest is {content['newest']}")
    takes = {name: flags(source, program) for name, program in PROGRAMS.items()}
    for name, program in PROGRAMS.items():
        known = set(flags(before, program)) if before else set()
        found += _program_lines(table, content, name, takes[name], known, release)
    for name in sorted(own_arguments(table.features(release)) - {*takes["beacon"], *takes["validator"]}):
        found.append(f"the chart's templates give {release} --{name}, which it does not take")
    return found + list(_network_lines(table, content, forks(source), release))


def main(arguments: list[str]) -> int:
    """SOURCE RELEASE [BEFORE]"""
    if len(arguments) not in (2, 3) or not re.match(r"^v\d+\.\d+\.\d+", arguments[1]):
        print("propose-versions SOURCE RELEASE [SOURCE OF THE RELEASE BEFORE]", file=sys.stderr)
        return 2
    content = yaml.safe_load((CHART / "files/versions.yaml").read_text(encoding="utf-8"))
    before = Path(arguments[2]) if len(arguments) == 3 else None
    lines = propose(Path(arguments[0]), arguments[1], content, before)
    print("\n".join(f"- {line}" for line in lines) or f"The table says of {arguments[1]} what its source says.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
