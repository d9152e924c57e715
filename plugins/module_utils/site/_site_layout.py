# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Who provides a site's cluster, and which machine does what: read from the groups of the inventory, and said once."""

from __future__ import annotations

import typing as t

Groups = t.Mapping[str, t.Sequence[str]]

#: The group whose one machine uses a cluster that others have built.
HELM_CLIENT = "helm_client"
#: The group whose one machine sees the wallets of a site that has no NFS server of this collection.
STORAGE = "storage"
#: Matches no machine, without Ansible's warning of a group that is not there.
NOWHERE = "!all"


class Provider(t.NamedTuple):
    """Where a cluster comes from, and how it is reached."""

    #: Where the kubeconfig lies on the machine that uses it; empty: prysm_kubeconfig says it.
    kubeconfig: str
    #: Helm on that machine.
    helm: str
    #: The machine, as a pattern of hosts.
    client: str
    #: The groups of the nodes that this collection builds, first the one that has them all; none: others build them.
    nodes: tuple[str, ...] = ()
    #: What is there on a node once it is installed, and the ports that it needs: from then on they are its own.
    installed_at: str = ""
    ports: tuple[str, ...] = ()
    #: Whether its control planes are asked for watch events, before a drain and by a report.
    watches: bool = False

    @property
    def built(self) -> bool:
        """Whether this collection builds it."""
        return bool(self.nodes)


PROVIDERS = {
    "microk8s": Provider(
        kubeconfig="/var/snap/microk8s/current/credentials/client.config",
        helm="/snap/bin/microk8s.helm3",
        client="control_plane[0]",
        nodes=("microk8s", "control_plane", "workers"),
        installed_at="/var/snap/microk8s/current",
        ports=("10250/tcp", "16443/tcp", "19001/tcp", "25000/tcp"),
        watches=True,
    ),
    "kubeconfig": Provider(kubeconfig="", helm="helm", client=HELM_CLIENT),
}
#: The groups of nodes, of all providers.
_NODES = tuple(name for provider in PROVIDERS.values() for name in provider.nodes)


class Layout(t.NamedTuple):
    """The machines of a site by what they do; empty where no machine does it."""

    provider: str
    #: Whether this collection builds the cluster: before that there is none.
    built: bool
    #: The default path of the kubeconfig, and Helm, on helm_client.
    kubeconfig: str
    helm: str
    #: What is there on a node once the provider is installed, and the ports that it needs.
    installed_at: str
    ports: list[str]
    #: Whether the control planes are asked for watch events.
    watches: bool
    helm_client: str
    #: The NFS server that this collection prepares: the one storage whose locks and histories it can prove.
    nfs: str
    #: The machine that sees the wallets.
    storage: str
    #: Where the keys of the clients are read: there, or else where the inventory's keystores are compared.
    keys_on: str
    #: Which machine keeps the run lock.
    lock: str
    #: Machines that are nodes; `members` are with the one that is away, which the NFS server's exports go on to name.
    nodes: list[str]
    members: list[str]
    control_planes: list[str]
    #: The machines that this collection prepares, and whose clocks and disks it looks at.
    prepared: list[str]
    #: What is left out on this site, and what is not proved there.
    left_out: list[str]
    #: The node that this run leaves out, because it is gone.
    away: str


def _first(groups: Groups, name: str) -> str:
    return next(iter(groups.get(name) or []), "")


def provider_of(groups: Groups) -> str:
    """A machine in helm_client says that the cluster is there already."""
    return "kubeconfig" if groups.get(HELM_CLIENT) else "microk8s"


def _remaining(groups: Groups, away: str) -> Groups:
    """The groups without a node that is gone."""
    return {name: [host for host in hosts if host != away] for name, hosts in groups.items()} if away else groups


def layout(groups: Groups, away: str = "", because: str = "") -> Layout:
    """Which machine does what, while a node is away. `because` says why storage without proofs will do."""
    everyone, groups = groups, _remaining(groups, away)
    name = provider_of(groups)
    provider = PROVIDERS[name]
    nfs = _first(groups, "nfs")
    client = _first(groups, provider.client.partition("[")[0])
    storage = nfs or _first(groups, STORAGE)
    return Layout(
        provider=name,
        built=provider.built,
        kubeconfig=provider.kubeconfig,
        helm=provider.helm,
        installed_at=provider.installed_at,
        ports=list(provider.ports),
        watches=provider.watches,
        helm_client=client,
        nfs=nfs,
        storage=storage,
        keys_on=storage or client,
        lock=storage or client,
        nodes=list(groups.get(provider.nodes[0]) or []) if provider.built else [],
        members=list(everyone.get(provider.nodes[0]) or []) if provider.built else [],
        control_planes=list(groups.get("control_plane") or []) if provider.built else [],
        prepared=list(groups.get("site") or []) if provider.built else [nfs] if nfs else [],
        left_out=[] if provider.built else _left_out(nfs, storage, client, because),
        away=away,
    )


def _left_out(nfs: str, storage: str, client: str, because: str) -> list[str]:
    found = [
        "the cluster: it is yours, so MicroK8s is not installed, and its nodes are not prepared",
        "the clocks and the disks of its nodes: nothing of this run has looked at them",
    ]
    if not nfs:
        found.append(
            "the NFS server: the storage is yours, so nothing proves that it keeps the locks of a node until that "
            "node is gone; what clients sign goes on record at each run only"
            + (f" (you say why that will do: {because})" if because else "")
        )
    if not storage:
        found.append(
            "histories: no run compares a database with what its keys have signed before; the guard in each pod "
            "refuses one that is older than the last it has seen, and no more. Bring only keys that have never signed"
        )
        found += [
            "the wallets: no machine sees them, so they must be filled by you before their clients start",
            f"runs from elsewhere: the run lock is on {client}, and a run that uses another machine does not see it",
        ]
    return found


def pattern(groups: Groups, name: str, away: str = "") -> str:
    """The hosts of a play that asks for `name`: a group, or one of the jobs in Layout; never a node that is away.

    A group that a site of this collection's own cannot be without is an error when it is empty; what a site with a
    cluster of its own leaves out matches no machine.
    """
    if away:
        left = _remaining(groups, away)
        found = pattern(left, name)
        # By its number in the group it would be the one that is away.
        return layout(left).helm_client if name == "helm_client" else f"{found}:!{away}"
    site = layout(groups)
    ours = site.built
    if name == "helm_client":
        return _demanded(groups, PROVIDERS[site.provider].client)
    if name == "gates":
        name = "site" if ours else "lock"
    if name in ("storage", "keys", "lock"):
        if ours or site.nfs:
            return _demanded(groups, "nfs")
        if site.storage:
            return STORAGE
        return NOWHERE if name == "storage" else _demanded(groups, HELM_CLIENT)
    group = name.partition("[")[0]
    if name == "nodes":
        # One after the other, control planes first, whatever the order of the inventory.
        return f"{_demanded(groups, 'control_plane')}:workers" if ours else NOWHERE
    if name == "prepared":
        return _demanded(groups, "site") if ours else "nfs" if site.nfs else NOWHERE
    if group == "workers":
        return name if ours else NOWHERE
    if group in ("site", "nfs", *_NODES):
        return _demanded(groups, name) if ours else name if groups.get(group) else NOWHERE
    return name


def _demanded(groups: Groups, name: str) -> str:
    if not groups.get(name.partition("[")[0]):
        raise LookupError(f"the group {name.partition('[')[0]} has no machine")
    return name


def problems(groups: Groups) -> list[str]:
    """What is wrong with the groups of a site whose cluster others have built."""
    site = set(groups.get("site") or [])
    found = []
    for name, fewest in ((HELM_CLIENT, 1), ("nfs", 0), (STORAGE, 0)):
        hosts = list(groups.get(name) or [])
        if not fewest <= len(hosts) <= 1:
            found.append(f"the group {name} must have exactly one machine; it has {', '.join(hosts) or 'none'}")
        found += [f"{host} is not in the group site" for host in hosts if host not in site]
    built = sorted({host for name in _NODES for host in groups.get(name) or []})
    if built:
        found.append(
            f"{', '.join(groups.get(HELM_CLIENT) or [])} in helm_client uses a cluster of yours, and "
            f"{', '.join(built)} would build another: two clusters are two places for one key. Empty helm_client, or "
            "control_plane and workers"
        )
    if groups.get("nfs") and groups.get(STORAGE):
        found.append("the wallets are on the machine of the group nfs: remove the group storage")
    used = {host for name in (HELM_CLIENT, "nfs", STORAGE) for host in groups.get(name) or []}
    for host in sorted(site - used - set(built)):
        found.append(f"{host} is in the group site, but in none of helm_client, nfs and storage")
    return found


#: What a playbook needs of a site, with what is said where that is not there.
_NEEDS: dict[str, tuple[t.Callable[[Layout], t.Any], str]] = {
    "cluster": (
        lambda site: site.built,
        "changes a cluster that this collection has built, and this site uses one of yours (the group helm_client): "
        "use what that cluster comes with",
    ),
    "machines": (
        lambda site: site.prepared,
        "prepares machines, and this site has none to prepare: its cluster and its storage are yours",
    ),
    "wallets": (
        lambda site: site.storage,
        "reads wallets and databases, and no machine of this site sees them: name one in the group storage",
    ),
    "fence": (
        lambda site: site.nfs,
        "takes the locks of a node away, which only an NFS server of the group nfs does. Without one, make sure that "
        "the node is switched off before you delete its pods",
    ),
    "proofs": (
        lambda site: site.nfs,
        "moves keys with their history, which must be proved where the databases are stored; only the group nfs allows "
        "that. Nothing else moves a key safely: leave it where it is",
    ),
}


def missing(needs: t.Iterable[str], name: str, groups: Groups) -> list[str]:
    """Why a playbook cannot do its work on this site."""
    site = layout(groups)
    return [f"{name}.yml {_NEEDS[need][1]}" for need in needs if not _NEEDS[need][0](site)]
