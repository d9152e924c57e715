# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What a site lacks before it can be built, all of it in one list."""

from __future__ import annotations

import datetime
import os
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _http
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, is_file
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._address import is_mistyped

_ADDRESS = re.compile(r"^0x[0-9a-fA-F]{40}$")
_BURN = re.compile(r"^0x0{40}$")
#: Ansible's own words for a value that could not be decrypted.
_VAULT = re.compile(r"(?i)decrypt|vault (secret|password)")
#: Seconds that a machine's clock may differ from the controller's, with the time the question takes.
CLOCK_SECONDS = 60.0

#: What `helm version --short` says of a version that is used here.
_HELM = re.compile(r"v?[34]\.")

Seen = t.Mapping[str, t.Any]


def merged(by_machine: t.Mapping[str, Seen], kind: str) -> list[str]:
    """The sentences of one kind (problems, notes, unjudged); with the machines, where not all say the same."""
    found: dict[str, list[str]] = {}
    for machine, seen in by_machine.items():
        for sentence in seen.get(kind) or []:
            found.setdefault(sentence, []).append(machine)
    return [
        sentence if len(machines) == len(by_machine) > 1 else f"{sentence} (asked from {' and '.join(machines)})"
        for sentence, machines in found.items()
    ]


def is_locked(reason: str) -> bool:
    """Whether Ansible says that a value could not be decrypted."""
    return bool(_VAULT.search(reason))


def unreadable(name: str, reason: str) -> str:
    """A variable that cannot be had."""
    if is_locked(reason):
        return f"{name} cannot be decrypted: give the vault's password (--ask-vault-pass or --vault-password-file)"
    return f"{name} cannot be read: {reason.splitlines()[0][:200] if reason else 'no reason given'}"


def unreadable_secret(name: str, raw: t.Any, reason: str) -> str:
    """The same of a secret, of which Ansible's reason may show a part: `{{` in a password begins a template."""
    whole = re.fullmatch(r"\W*(\w+)\W*", raw) if isinstance(raw, str) else None
    if is_locked(reason) or (whole and reason == f"'{whole.group(1)}' is undefined"):
        return unreadable(name, reason)
    return (
        f"{name} cannot be read: Ansible takes {{{{, {{% and {{# in it for a template. Where they belong to the value, "
        "write !unsafe before it"
    )


def yaml_kind(value: t.Any) -> str:
    """What YAML has made of a value, without the value."""
    if value is None:
        return "nothing"
    for kinds, words in (
        (bool, "a boolean"),
        (int, "a number"),
        (float, "a number"),
        (str, "text"),
        ((datetime.date, datetime.datetime), "a date"),
        (t.Mapping, "a dictionary"),
        ((bytes, bytearray), "no text"),
        (t.Sequence, "a list"),
    ):
        if isinstance(value, kinds):
            return words
    return "no text"


def misread(name: str, value: t.Any) -> str:
    """The sentence about a value that is meant as text and that YAML reads as something else; empty for text."""
    kind = yaml_kind(value)
    if kind in ("text", "nothing"):
        return ""
    if kind in ("a boolean", "a number", "a date"):
        return f"YAML reads {name} as {kind}: put it in quotes"
    return f"YAML reads {name} as {kind}: it must be one value, in quotes"


def _of_fee_recipient(name: str, given: str) -> str:
    wanted = "your address for the rewards, 0x and 40 hexadecimal digits"
    if not given:
        return f"{name} has no fee_recipient: {wanted}"
    if not _ADDRESS.match(given):
        return f"fee_recipient of {name} is not an address: {wanted}"
    if _BURN.match(given):
        return f"fee_recipient of {name} is the zero address: {wanted}"
    if is_mistyped(given):
        return (
            f"fee_recipient of {name}, {given}, has letters in upper and lower case that are no checksum of it "
            "(EIP-55): one may be mistyped. Copy your address again; written in lower case it is taken as it is"
        )
    return ""


def of_keys(clients: t.Sequence[Seen], fee_recipient: bool) -> list[str]:
    """What the entries of prysm_validators lack."""
    found = []
    if not clients:
        found.append("prysm_validators is empty: name at least one validator client")
    for client in clients:
        name = client.get("name", "an entry of prysm_validators")
        given = str(client.get("fee_recipient") or "")
        if fee_recipient:
            found += filter(None, [_of_fee_recipient(name, given)])
        if not client.get("has_password"):
            found.append(f"{name} has no wallet_password (from Ansible Vault) or wallet_password_file")
    names = [client["name"] for client in clients if "name" in client]
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.append(f"{names.count(name)} entries of prysm_validators are called {name}: give each a name of its own")
    return found


def of_data_dir(value: t.Any) -> str:
    """What is wrong with the directory that has no default; empty when it can be used."""
    if value is None or value == "":
        return (
            "prysm_data_dir is not set: where wallets and databases are kept, such as /data/prysm. There is no default"
        )
    if not isinstance(value, str) or not os.path.isabs(value):
        return "prysm_data_dir must be an absolute path, such as /data/prysm"
    return ""


def is_paths(value: t.Any) -> bool:
    """Whether a value is a list of paths; nothing is an empty one."""
    return value is None or (isinstance(value, list) and all(isinstance(path, str) and path for path in value))


def is_texts(value: t.Any) -> bool:
    """Whether a value is a dictionary of texts; nothing is an empty one."""
    return value is None or (
        isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)
    )


def of_history(name: str, path: str) -> list[str]:
    """Why what an entry names in slashing_protection cannot be taken from this controller."""
    try:
        if is_file(os.path.realpath(os.path.expanduser(path))):
            return []
        return [
            f"slashing_protection of {name}: {path} is not a file on this controller; of a data directory of Prysm, "
            "name its validator.db"
        ]
    except StakingError as exc:
        return [f"slashing_protection of {name}: {exc}"]


def of_keystores(name: str, found: Seen, has_password: bool) -> list[str]:
    """What the keystores of a client on the controller lack, as the lookup keystores has found them."""
    problems = [f"keystores of {name}: {problem}" for problem in found["problems"]]
    alone = [item["name"] for item in found["files"] if "password" not in item]
    if alone and not has_password:
        problems.append(
            f"{name} has no keystore_password, keystore_password_file or keystore_passwords, and no password lies "
            f"beside {alone[0]}"
        )
    return problems


def not_there(named: t.Iterable[tuple[str, str]], there: t.Container[str], machine: str) -> list[str]:
    """What of these (what it is, its path) does not lie on a machine."""
    return [f"{what}: {path} is not there on {machine}" for what, path in named if path not in there]


def no_endpoint(network: str) -> str:
    """The sentence about a beacon node without an execution client."""
    return (
        f"prysm_execution_endpoints is empty: {network} cannot be followed without an execution client, such as "
        "http://172.20.10.20:8551"
    )


def of_addresses(name: str, given: t.Any) -> list[str]:
    """What a machine may reach and the beacon node's pod never does: what listens on the machine's own loopback."""
    listed = given.split(",") if isinstance(given, str) else [] if given is None else given
    if not isinstance(listed, (list, tuple)) or not all(isinstance(url, str) for url in listed):
        return [f"{name} must be an address, or a list of addresses, each behind a dash"]
    return [
        f"{name}: {_http.shown(url.strip())} is the pod itself where the beacon node runs: give the address of the "
        "machine, and have the program there listen on it"
        for url in listed
        if _http.leads_back(url)
    ]


def no_checkpoint(network: str) -> str:
    """The sentence about a first start without a provider."""
    return (
        "prysm_checkpoint_sync_url is not set: the beacon node has no database yet, and "
        + ("would sync for weeks" if network == "mainnet" else f"cannot begin on {network}")
        + " without a checkpoint. Give the address of a beacon node that you trust, or of a public provider, better "
        "two that do not know each other; later starts do not need it"
    )


def seen_of(
    given: Seen, played: bool, stores: bool, size: Seen, cluster_ports: t.Container[str] = (), installed_at: str = ""
) -> dict[str, t.Any]:
    """What was seen of one machine, as of_machine takes it, out of what the preflight's tasks have registered there.

    played says that none of them has failed there; stores, that it has the data; size is what it should have at least.
    Where installed_at is there, the cluster's ports are its own.
    """
    machine, apart = given.get("prysm_helm_machine_seen") or {}, given.get("__site_apart")
    if not machine and (given.get("__site_run_taken") or {}).get("unreachable"):
        machine = given["__site_run_taken"]
    unreachable = bool(machine.get("unreachable"))
    failed = ""
    if not played and not unreachable:
        failed = "a task ended with the error shown above"
    elif apart is None and not unreachable:
        failed = machine.get("msg", "no answer")
    database = given.get("prysm_helm_beacon_database") or {}
    unread = stores and "begun" not in database and "msg" in database
    own = cluster_ports if installed_at in (machine.get("paths") or {}) else ()
    return {
        "unreachable": machine.get("msg", "no answer") if unreachable else "",
        "failed": failed,
        "problems": [database["msg"]] if unread else [],
        "apart": apart,
        "taken": [one for one in machine.get("taken") or [] if one["port"] not in own],
        "memory_bytes": machine.get("memory_bytes"),
        "disk_bytes": (machine.get("disks") or {}).get("/", {}).get("size"),
        "min_memory": size.get("memory_gb", 0),
        "min_disk": size.get("disk_gb", 0),
    }


def of_machine(name: str, seen: Seen) -> list[str]:
    """What one machine lacks."""
    if seen.get("unreachable"):
        return [f"{name} cannot be reached by SSH: {_first(seen['unreachable'])}"]
    if seen.get("failed"):
        return [f"{name} is reached, but cannot be checked: {_first(seen['failed'])}"]
    found = list(seen.get("problems") or [])
    apart = seen.get("apart")
    if apart is not None and abs(apart) > CLOCK_SECONDS:
        found.append(
            f"the clock of {name} is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this controller's: the "
            "execution client would refuse its tokens. Set the wrong one right (timedatectl set-ntp true)"
        )
    for port in seen.get("taken") or []:
        if port["program"] in ("kubelite", "kubelet"):
            continue
        who = f"{port['program']} (process {port['pid']})" if port["program"] else "the kernel"
        found.append(f"port {port['port']} of {name}, which this site needs, is taken by {who}: stop that first")
    memory, disk = seen.get("memory_bytes"), seen.get("disk_bytes")
    for what, size, least in (("memory", memory, seen.get("min_memory")), ("disk", disk, seen.get("min_disk"))):
        if size is not None and least and size < float(least) * 1e9:
            found.append(f"{name} has {size / 1e9:.1f} GB of {what}, and needs {least} GB (base_size_policy is error)")
    return found


def of_cluster(nodes: Seen, host: str, kubeconfig: str, context: str, binary: str, helm: Seen) -> list[str]:
    """Why a cluster that others provide cannot be used from a machine: its nodes, and Helm, as they answered there."""
    found = []
    if not kubeconfig.startswith("/"):
        found.append(f"prysm_kubeconfig must be an absolute path of its kubeconfig on {host}")
    elif "nodes" not in nodes:
        which = f"{kubeconfig} and the context {context}" if context else kubeconfig
        reason = (str(nodes.get("msg") or "").splitlines() or ["no answer"])[0]
        found.append(f"with {which} its nodes cannot be read: {reason}")
    elif not nodes["nodes"]:
        found.append("it has no nodes")
    if not _HELM.match(helm.get("stdout") or ""):
        said = helm.get("stderr") or helm.get("msg") or "no answer"
        found.append(f"Helm does not run (prysm_helm_binary: {binary}): {said}")
    return [problem.rstrip(".\n ") for problem in found]


def _first(text: t.Any) -> str:
    told = re.findall(r"ssh: [^\n]+", str(text))
    if told:
        return told[-1].rstrip(". ")[:200]
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:200]
