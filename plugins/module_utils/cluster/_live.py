# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Live objects held against the manifest that Helm installed: what was edited by hand since.

The API server fills in defaults and writes quantities in its own way; what is left after that was changed by a person
or by another program.
"""

from __future__ import annotations

import re
import typing as t
from fractions import Fraction

Json = t.Mapping[str, t.Any]

#: Which part of an object of a kind is compared.
PARTS = {"StatefulSet": "spec", "ConfigMap": "data", "NetworkPolicy": "spec"}
#: What the API server adds where a manifest says nothing. A missing value here means: whatever it is.
_ANY = object()
_DEFAULTS: dict[str, tuple[t.Any, ...]] = {
    "creationTimestamp": (_ANY,),
    "podManagementPolicy": ("OrderedReady",),
    "revisionHistoryLimit": (10,),
    "persistentVolumeClaimRetentionPolicy": ({"whenDeleted": "Retain", "whenScaled": "Retain"},),
    "minReadySeconds": (0,),
    "restartPolicy": ("Always",),
    "dnsPolicy": ("ClusterFirst",),
    "schedulerName": ("default-scheduler",),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "successThreshold": (1,),
    "timeoutSeconds": (1,),
    "periodSeconds": (10,),
    "failureThreshold": (3,),
    "initialDelaySeconds": (0,),
    "scheme": ("HTTP",),
    "protocol": ("TCP",),
    "apiVersion": ("v1",),
    "defaultMode": (420,),
    "procMount": ("Default",),
}
_SUFFIXES = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000 ** (number + 1)) for number, suffix in enumerate("kMGT")},
    **{f"{suffix}i": Fraction(1024 ** (number + 1)) for number, suffix in enumerate("KMGT")},
}
_QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(m|[kMGT]|[KMGT]i)?$")
_EMPTY: tuple[t.Any, ...] = (None, "", [], {})


def _quantity(value: t.Any) -> Fraction | None:
    match = _QUANTITY.match(str(value)) if not isinstance(value, bool) else None
    return Fraction(match.group(1)) * _SUFFIXES[match.group(2) or ""] if match else None


def _same(wanted: t.Any, live: t.Any) -> bool:
    if wanted == live:
        return isinstance(wanted, bool) is isinstance(live, bool)
    if isinstance(wanted, bool) or isinstance(live, bool):
        return False
    if str(wanted) == str(live):
        return True
    amount = _quantity(wanted)
    return amount is not None and amount == _quantity(live)


def _short(value: t.Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _label(entry: t.Any, number: int) -> str:
    return str(entry["name"]) if isinstance(entry, dict) and "name" in entry else str(number)


def _lists(wanted: t.Sequence[t.Any], live: t.Sequence[t.Any], where: str) -> t.Iterator[str]:
    if all(not isinstance(one, (dict, list)) for one in (*wanted, *live)):
        added = [one for one in live if one not in wanted]
        gone = [one for one in wanted if one not in live]
        if added or gone:
            parts = [f"has {_short(one)}" for one in added] + [f"lacks {_short(one)}" for one in gone]
            yield f"{where} {', '.join(parts[:4])}{' and more' if len(parts) > 4 else ''}"
        elif list(wanted) != list(live):
            yield f"{where} is in another order"
        return
    if len(wanted) != len(live):
        names = [{_label(one, number) for number, one in enumerate(side)} for side in (wanted, live)]
        parts = [f"has {name}" for name in sorted(names[1] - names[0])]
        parts += [f"lacks {name}" for name in sorted(names[0] - names[1])]
        yield f"{where} {', '.join(parts) or f'has {len(live)} entries and not {len(wanted)}'}"
        return
    for number, (one, other) in enumerate(zip(wanted, live)):
        yield from differences(one, other, f"{where}[{_label(one, number)}]")


def differences(wanted: t.Any, live: t.Any, where: str) -> t.Iterator[str]:
    """What differs, one sentence each, by the path of the field."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            here = f"{where}.{key}" if where else str(key)
            if key not in live:
                if value not in _EMPTY:
                    yield f"{here} is gone"
            else:
                yield from differences(value, live[key], here)
        for key, value in live.items():
            if key in wanted or value in _EMPTY:
                continue
            usual = _DEFAULTS.get(key, ())
            if _ANY not in usual and value not in usual:
                yield f"{where}.{key} was added" if where else f"{key} was added"
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _lists(wanted, live, where)
    elif wanted in _EMPTY and live in _EMPTY:
        return
    elif not _same(wanted, live):
        yield f"{where} is {_short(live)} and not {_short(wanted)}"


def edits(manifest: Json, live: Json) -> list[str]:
    """What was changed of one object. How many pods run is a matter of starting and stopping, not of editing."""
    kind = str(manifest["kind"])
    part = PARTS[kind]
    wanted, found = manifest.get(part) or {}, live.get(part) or {}
    # 0 is a client that was stopped.
    if kind == "StatefulSet" and found.get("replicas", 1) in (0, wanted.get("replicas", 1)):
        wanted, found = ({k: v for k, v in one.items() if k != "replicas"} for one in (wanted, found))
    return list(differences(wanted, found, part))


def _unmergeable(manifest: Json) -> set[str]:
    """Lists of ports that Helm cannot merge: its key is the number, and here TCP and UDP share one."""
    spec = (((manifest.get("spec") or {}).get("template") or {}).get("spec")) or {}
    found = set()
    for container in spec.get("containers") or []:
        numbers = [port.get("containerPort") for port in container.get("ports") or []]
        if len(set(numbers)) < len(numbers):
            found.add(f"spec.template.spec.containers[{container.get('name')}].ports")
    return found


class Edited(t.NamedTuple):
    """Objects that are not as Helm's manifest has them, by kind and name."""

    by_hand: dict[str, list[str]]
    #: Helm itself could not write these, or they are gone: they are made again as they were.
    unmerged: dict[str, list[str]]


def edited(manifests: t.Sequence[t.Sequence[Json]], live: t.Sequence[Json]) -> Edited:
    """What differs of the live objects.

    manifests are those an object may be of: the one that is installed and, after an attempt that never finished, the
    newer one. An object that is of neither is held against the nearest.
    """
    found = Edited({}, {})
    there = {(item["kind"], item["metadata"]["name"]) for item in live}
    # After an attempt that never finished Helm runs again anyway.
    for one in manifests[0] if len(manifests) == 1 else ():
        if one["kind"] in PARTS and (one["kind"], one["metadata"]["name"]) not in there:
            found.unmerged[f"{one['kind']} {one['metadata']['name']}"] = ["it is gone"]
    for item in live:
        same = [
            one
            for manifest in manifests
            for one in manifest
            if one["kind"] == item["kind"] and one["metadata"]["name"] == item["metadata"]["name"]
        ]
        if not same:
            continue
        nearest = min(same, key=lambda one: len(edits(one, item)))
        excused = tuple(_unmergeable(nearest))
        for words in edits(nearest, item):
            kind = found.unmerged if excused and words.startswith(excused) else found.by_hand
            kind.setdefault(f"{item['kind']} {item['metadata']['name']}", []).append(words)
    return found
