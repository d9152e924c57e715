# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What the final values of the release may say: only the clients, paths and storage that were checked before."""

from __future__ import annotations

import posixpath
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._release import clients
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _data_dir
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _signers

Json = t.Mapping[str, t.Any]

#: Values that the inventory decides. `prysm_helm_values` may not change them: every check before has seen others.
_DECIDED = (
    ("network",),
    ("ethereumTestnet",),
    ("namespace",),
    ("customNetwork", "chainConfig"),
    ("persistentVolumeType",),
    ("nfs", "serverIp"),
    ("nfs", "user"),
    ("nfs", "group"),
    ("image", "version"),
    ("image", "untestedVersion"),
    ("image", "beaconDigest"),
    ("image", "validatorDigest"),
    ("emergency",),
    ("chartDigest",),
    ("standby",),
    ("podManagementPolicy",),
    # What was proved of others, from each machine: another address would be believed unasked.
    ("beacon", "web3Provider"),
    ("beacon", "fallbackWeb3Providers"),
    ("beacon", "jwtSecretName"),
    ("beacon", "checkpointSyncUrl"),
    ("additionalBeacons",),
)
#: The same of each client, and of what is common to all clients.
_CLIENT = (
    "name",
    "dataVolumePath",
    "walletVolumePath",
    "dataExistingClaim",
    "walletExistingClaim",
    "walletPasswordSecretName",
    "walletPassword",
    "dataIdentity",
    "feeRecipient",
)
#: What another kind of storage needs (`prysm_helm_no_storage_proofs_because`).
_STORAGE = ("persistentVolumeType", "dataExistingClaim", "walletExistingClaim")
#: What a name in the values is called in the inventory.
_SAYS = {
    "network": "prysm_network",
    "chainConfig": "prysm_chain_config",
    "version": "prysm_version",
    "untestedVersion": "prysm_untested_version",
    "beaconDigest": "prysm_image_digests",
    "validatorDigest": "prysm_image_digests",
    "emergency": "it with playbooks/flag.yml, and not in the inventory,",
    "standby": "prysm_standby, which holds where the lock is proved to be a fence,",
    "podManagementPolicy": "prysm_standby",
    "web3Provider": "prysm_execution_endpoints",
    "fallbackWeb3Providers": "prysm_execution_endpoints",
    "jwtSecretName": "prysm_jwt_secret",
    "checkpointSyncUrl": "prysm_checkpoint_sync_url",
    "additionalBeacons": "prysm_beacon_nodes and prysm_execution_endpoints",
    "dataVolumePath": "data_dir in prysm_validators",
    "walletVolumePath": "wallet_dir in prysm_validators",
    "name": "name in prysm_validators",
    "feeRecipient": "fee_recipient in prysm_validators",
}


class Place(t.NamedTuple):
    """A directory or a claim that one workload uses."""

    what: str
    where: str


def claims(values: Json, names: t.Iterable[str]) -> dict[str, dict[str, str]]:
    """The claims of each client that these values (`prysm_helm_values`) give it; none where the storage is NFS."""
    if (values.get("persistentVolumeType") or "nfs") == "nfs":
        return {}
    given = clients(values)
    return {
        name: {what: str(_at(given, (name, f"{what}ExistingClaim")) or f"{name}-{what}") for what in ("wallet", "data")}
        for name in names
    }


def _at(values: t.Any, path: t.Sequence[str]) -> t.Any:
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def changed(wanted: Json, final: Json, other_storage: bool = False) -> list[str]:
    """What `prysm_helm_values` changed of the values that the inventory decides, one sentence each."""
    found = []

    def compare(where: str, name: str, before: t.Any, after: t.Any) -> None:
        if (after or None) != (before or None) and not (other_storage and name in _STORAGE):
            remedy = f"; set {_SAYS[name]} instead" if name in _SAYS else ""
            found.append(f"prysm_helm_values sets {where}, which the inventory decides{remedy}")

    for path in _DECIDED:
        compare(".".join(path), path[-1], _at(wanted, path), _at(final, path))
    before, after = clients(wanted), clients(final)
    for name in sorted(set(after) - set(before)):
        found.append(f"prysm_helm_values adds the client {name}, which prysm_validators does not have")
    for name in sorted(set(before) - set(after)):
        found.append(f"prysm_helm_values takes the client {name} out of the release; remove it from prysm_validators")
    for name in sorted(set(before) & set(after)):
        for field in _CLIENT:
            compare(f"validators.{name}.{field}", field, before[name].get(field), after[name].get(field))
    for field in _CLIENT:
        compare(f"validatorDefaults.{field}", field, None, _at(final, ("validatorDefaults", field)))
    return found


def canonical(path: str) -> str | None:
    """A path in the one spelling that can be compared; None for one that is not absolute or climbs."""
    if not path.startswith("/") or ".." in path.split("/"):
        return None
    return "/" + posixpath.normpath(path).lstrip("/")


def overlapping(places: t.Sequence[Place]) -> list[str]:
    """Places that are one another, or lie in one another, one sentence each."""
    found = []
    known: list[tuple[str, Place]] = []
    for place in places:
        path = canonical(place.where)
        if path is None:
            found.append(f"{place.what} is {place.where}: write an absolute path without `..`")
            continue
        for other_path, other in known:
            if path == other_path:
                found.append(f"Slashing risk: {place.what} and {other.what} are both {path}")
            elif (path + "/").startswith(other_path.rstrip("/") + "/"):
                found.append(f"Slashing risk: {place.what} ({path}) lies in {other.what} ({other_path})")
            elif (other_path + "/").startswith(path.rstrip("/") + "/"):
                found.append(f"Slashing risk: {other.what} ({other_path}) lies in {place.what} ({path})")
        known.append((path, place))
    return found


def places(values: Json) -> list[Place]:
    """Every directory that the release mounts."""
    beacon = str(_at(values, ("beacon", "dataVolumePath")) or "/data/prysm/beacon")
    return [
        Place("beacon.dataVolumePath", beacon),
        *(
            Place(f"additionalBeacons.{index}.dataVolumePath", str(entry.get("dataVolumePath") or ""))
            for index, entry in enumerate(values.get("additionalBeacons") or [])
        ),
        *(
            Place(f"validators.{name}.{field}", str(entry.get(field) or ""))
            for name, entry in clients(values).items()
            for field in ("dataVolumePath", "walletVolumePath")
        ),
    ]


def problems(wanted: Json, final: Json, other_storage: bool = False) -> list[str]:
    """Everything that speaks against installing these values.

    wanted are the values that the inventory gives, final are those with `prysm_helm_values` merged over them;
    other_storage says that the operator does without the proofs that the NFS server gives.
    """
    return changed(wanted, final, other_storage) + overlapping(places(final))


def undeclared_signers(
    manifests: t.Iterable[Json], allowed: t.Iterable[Json], server: str, namespace: str
) -> list[str]:
    """Signers in rendered manifests that the inventory does not have, one sentence each.

    allowed are the clients: name, data_dir and wallet_dir on the server. Whatever signs must be one of them, with its
    own two directories there.
    """
    objects = [{**item, "metadata": {"namespace": namespace, **item["metadata"]}} for item in manifests if item]

    def listed(kind: str) -> list[Json]:
        return [item for item in objects if item.get("kind") == kind]

    wanted = {client["name"]: (canonical(client["wallet_dir"]), canonical(client["data_dir"])) for client in allowed}
    known = _signers.storage(
        [server],
        listed("PersistentVolumeClaim"),
        listed("PersistentVolume"),
        {client["name"]: client["wallet_dir"] for client in allowed},
        {client["name"]: client["data_dir"] for client in allowed},
    )
    found = []
    for kind in ("Pod", *_signers.TEMPLATES):
        for item in listed(kind):
            for signer in _signers.signers(kind, item, namespace, known):
                if wanted.get(signer.client) != (signer.wallet.path, signer.data.path):
                    found.append(
                        f"Slashing risk: the chart would install {kind} {signer.name}, which can sign ({signer.why})"
                        f" with {signer.wallet.where} and {signer.data.where}; prysm_validators has no such client"
                    )
    return found


#: Options of an entry of `prysm_validators` that say where its keys, its wallet and its history are. Every other one is
#: a value of the chart, by the same name in camel case.
_OF_KEYS = frozenset(
    {
        "name",
        "keystores",
        "keystores_on",
        "keystore_password",
        "keystore_password_file",
        "keystore_passwords",
        "wallet_password",
        "wallet_password_file",
        "slashing_protection",
        "data_dir",
        "wallet_dir",
    }
)


def of_entries(
    entries: t.Iterable[Json], data_dir: str, identities: t.Mapping[str, str] | None = None
) -> dict[str, dict[str, t.Any]]:
    """The chart's `validators` for the entries of `prysm_validators`: what each says, by its client's name.

    identities has the UUIDs that bind the directories of each client, as far as they are known.
    """
    found: dict[str, dict[str, t.Any]] = {}
    for entry in entries:
        client = _data_dir.client(entry, data_dir)
        found[client.name] = {
            "name": client.name,
            "dataVolumePath": client.data_dir,
            "walletVolumePath": client.wallet_dir,
            "walletPasswordSecretName": _password_secret(client.name),
            "dataIdentity": (identities or {}).get(client.name, ""),
            "feeRecipient": "",
            "graffiti": "",
            **{_camel(name): value for name, value in entry.items() if name not in _OF_KEYS and value is not None},
        }
    return found


def _password_secret(client: str) -> str:
    return f"wallet-password-{client}"


def secrets(names: t.Iterable[str], passwords: t.Mapping[str, t.Any], jwt: str = "") -> dict[str, dict[str, str]]:
    """The texts in each Secret that the pods mount, by its name.

    Those are the password of each wallet, where there is one, and the secret shared with the execution client. Of a
    password only line ends are dropped, as by Prysm and by the import: a space at its end belongs to it.
    """
    found = {
        _password_secret(name): {"password": str(passwords[name]).rstrip("\r\n")} for name in names if name in passwords
    }
    return {**found, **({"jwt-secret": {"jwt.hex": jwt}} if jwt else {})}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)
