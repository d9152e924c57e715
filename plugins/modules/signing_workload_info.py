#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signing_workload_info
short_description: Find everything in a cluster that can sign, with which wallet and which keys
version_added: 0.1.0
description:
  - Looks in every namespace at pods, at what starts pods, also when it is scaled to nothing or suspended, and at the
    values of Helm releases of this collection's chart, whatever their status.
  - A workload can sign when one of its containers (of any kind) runs a validator client, a remote signer or a part of
    a distributed validator, or a beacon node that was given keys, by image, program, arguments, variables or
    configuration; and when it can read what holds keys, whatever it runs - a wallet or database of the site, or a
    Secret with keystores or the password of a wallet.
  - A host path that is the root of a node, C(/var) or C(/var/lib) does not count by itself.
  - Says for each Prysm where its wallet and its database lie, and asks the running ones which keys they have by their
    metrics. Prysm keeps a deleted key in its metrics until it is restarted, so that is never too few. The keys of other
    clients are theirs to say, to a key manager (O(asked)).
  - Fails when the cluster, or the keys of a running client, cannot be read.
  - Never changes anything.
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
options:
  kubeconfig:
    description: Path of the kubeconfig file.
    type: path
    required: true
  missing_ok:
    description: Whether a kubeconfig that is not there is reported by RV(exists), as a cluster that does not exist yet.
    type: bool
    default: false
  namespace:
    description: Namespace of the site; clients of other namespaces are called NAMESPACE/NAME.
    type: str
    default: prysm
  storage_hosts:
    description: Names and addresses of the machine that serves the site's data, as volumes name it.
    type: list
    elements: str
    default: []
  wallets:
    description: Wallet directories of the site's clients, on the machine that serves the data (client to path).
    type: dict
    default: {}
  data_dirs:
    description: The same of their data directories.
    type: dict
    default: {}
  claims:
    description:
      - The claims of the site's clients, where its storage is claims (client to C(wallet) and C(data), names in
        O(namespace)). What a claim holds is the directory that O(wallets) and O(data_dirs) have for the client; where
        they have none, no machine sees it, and the client is in RV(unseen) instead of RV(workloads).
    type: dict
    default: {}
  data_root:
    description: Directory on that machine in which the site's wallets and databases lie.
    type: path
  ignore:
    description:
      - Clients, as NAMESPACE/NAME (of what is behind the pods), that are known to have no key of this site, such as
        those of another chain.
    type: list
    elements: str
    default: []
  asked:
    description:
      - Clients, by name or as NAMESPACE/NAME, whose keys are asked for elsewhere, by
        M(eth2xk8s.staking.key_manager_info). Theirs need not be read here, unless they have a wallet of the site.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for answers that may yet come.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Find every signer of the cluster
  eth2xk8s.staking.signing_workload_info:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    storage_hosts: [172.20.10.10]
    data_root: /data/prysm
    wallets: {validator1: /data/prysm/wallet-validator1}
    data_dirs: {validator1: /data/prysm/validator1}
  register: signers
"""

RETURN = r"""
exists:
  description: Whether there is a cluster.
  returned: success
  type: bool
  sample: true
workloads:
  description: Everything that can sign.
  returned: success
  type: list
  elements: dict
  contains:
    client:
      description: Name of the client.
      type: str
    where:
      description: The object, why it counts, the disks of its wallet and its database, and how to name it as foreign.
      type: str
    wallet:
      description: The wallet's directory on the storage host; null when it lies elsewhere.
      type: str
    data_dir:
      description: The same of its database.
      type: str
unseen:
  description: Clients of the site on claims of their own that no machine sees.
  returned: success
  type: list
  elements: str
live:
  description: The keys of each client of which a pod runs.
  returned: success
  type: dict
  sample: {"validator1": ["0xa1..."]}
"""

import base64
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import MetricsError, duties
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._signers import (
    Claim,
    Signer,
    released,
    signers,
    storage,
)

_LISTS = {
    "Pod": "/api/v1/pods",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "Deployment": "/apis/apps/v1/deployments",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "ReplicationController": "/api/v1/replicationcontrollers",
    "CronJob": "/apis/batch/v1/cronjobs",
    "Job": "/apis/batch/v1/jobs",
}
#: Of the statuses of a release only these say that its values count no more.
_HELM = {"labelSelector": "owner=helm,status!=superseded,status!=uninstalled"}
_NO_HELM = {"fieldSelector": "type!=helm.sh/release.v1"}
_FOREIGN = "once you have made sure that it has no key of this site, add {0} to prysm_wallet_foreign_signers"


class Texts:
    """The data of all objects of a kind, read when the first of them is asked for. Nothing of it is returned."""

    def __init__(
        self,
        cluster: Cluster,
        path: str,
        query: t.Mapping[str, str] | None = None,
        decode: t.Callable[[str], str] = str,
    ) -> None:
        self._ask = lambda: cluster.items(path, query)
        self._decode = decode
        self._found: dict[tuple[str, str], dict[str, str]] | None = None

    def data(self, namespace: str, name: str) -> dict[str, str] | None:
        if self._found is None:
            self._found = {
                (item["metadata"]["namespace"], item["metadata"]["name"]): {
                    key: self._decode(value) for key, value in (item.get("data") or {}).items()
                }
                for item in self._ask()
            }
        return self._found.get((namespace, name))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text or "").decode("utf-8", "replace")
    except ValueError:
        return ""


def own_claims(params: dict[str, t.Any]) -> dict[tuple[str, str], Claim]:
    """Which claims of the site's namespace are whose, and where a machine sees them."""
    paths = {"wallet": params["wallets"], "data": params["data_dirs"]}
    return {
        (params["namespace"], claim): Claim(client, paths[what].get(client))
        for client, claims in params["claims"].items()
        for what, claim in claims.items()
    }


def is_unseen(signer: Signer, params: dict[str, t.Any]) -> bool:
    """Whether it is a client of the site, with its own two claims and no others, which no machine sees."""
    claims = params["claims"].get(signer.client) or {}
    own = {what: Claim(signer.client, None).words(signer.namespace, name) for what, name in claims.items()}
    return (
        signer.wallet.path is None
        and signer.namespace == params["namespace"]
        and (signer.wallet.where, signer.data.where) == (own.get("wallet"), own.get("data"))
    )


def find(cluster: Cluster, params: dict[str, t.Any]) -> list[Signer]:
    """Every signer of the cluster that is not to be ignored, each once."""
    objects = [(kind, item) for kind, path in _LISTS.items() for item in cluster.items(path)]
    known = storage(
        params["storage_hosts"],
        cluster.items("/api/v1/persistentvolumeclaims"),
        cluster.items("/api/v1/persistentvolumes"),
        params["wallets"],
        params["data_dirs"],
        params["data_root"],
        objects,
        Texts(cluster, "/api/v1/configmaps").data,
        Texts(cluster, "/api/v1/secrets", _NO_HELM, _decoded).data,
        own_claims(params),
    )
    found = [signer for kind, item in objects for signer in signers(kind, item, params["namespace"], known)]
    for secret in cluster.items("/api/v1/secrets", _HELM):
        found += released(secret, params["namespace"], known)
    # Pods come first; what started them says nothing new. Each that runs is asked for its keys.
    seen, kept = set(), []
    for signer in found:
        same = (signer.entry, signer.client, signer.program, signer.wallet.path, signer.data.path)
        if (same not in seen or signer.runs) and signer.entry not in params["ignore"]:
            kept.append(signer)
        seen.add(same)
    return kept


def keys_of(cluster: Cluster, signer: Signer) -> list[str]:
    """The keys a running pod has, as it says itself."""
    if signer.port is None:
        raise NotYet(f"{signer.namespace}/{signer.name} runs and says nothing of its keys: its metrics are off")
    try:
        return sorted(duties(cluster.metrics(signer.namespace, signer.name, signer.port)).keys)
    except MetricsError as exc:
        raise NotYet(f"the keys of {signer.namespace}/{signer.name}: {exc}") from exc


def is_asked(signer: Signer, params: dict[str, t.Any]) -> bool:
    """Whether a key manager says which keys this client has."""
    return signer.client in params["asked"] or signer.entry in params["asked"]


def stands_by(signer: Signer, found: t.Iterable[Signer]) -> bool:
    """Whether a pod only waits for the lock of another of its client, which has the same wallet and database.

    It serves no metrics yet, and the other one says which keys they are.
    """
    mine = (signer.entry, signer.program, signer.wallet, signer.data)
    return (
        signer.waits
        and None not in (signer.wallet.path, signer.data.path)
        and any(one.runs and not one.waits and mine == (one.entry, one.program, one.wallet, one.data) for one in found)
    )


def _other(signer: Signer) -> bool:
    """Whether it is a client whose keys no metrics tell."""
    return signer.program not in ("", "Prysm")


def ask(cluster: Cluster, found: t.Sequence[Signer], params: dict[str, t.Any]) -> dict[str, list[str]]:
    """The keys of the clients that run."""
    live: dict[str, list[str]] = {}
    hidden = []
    for signer in found:
        if (
            not signer.runs
            or not signer.program
            or stands_by(signer, found)
            or (is_asked(signer, params) and signer.port is None)
        ):
            continue
        if _other(signer):
            hidden.append(
                f"{signer.kind} {signer.namespace}/{signer.name} runs ({signer.why}), and which keys it has is not "
                f"known: name its key manager, with client {signer.entry}, in prysm_wallet_key_managers; or, "
                + _FOREIGN.format(signer.entry)
            )
        else:
            live[signer.client] = sorted({*live.get(signer.client, []), *keys_of(cluster, signer)})
    if hidden:
        raise StakingError(" | ".join(dict.fromkeys(hidden)))
    return live


def describe(signer: Signer) -> str:
    """A signer in words; the last of them is a way out, where its wallet cannot be looked into."""
    words = f"{signer.why}; wallet {signer.wallet.where}, database {signer.data.where}"
    if signer.wallet.path is None:
        words += "; " + _FOREIGN.format(signer.entry)
    return f"{signer.kind} {signer.namespace}/{signer.name} ({words})"


def look(cluster: Cluster, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """One look at all of it."""
    found = find(cluster, params)
    workloads = [
        {
            "client": signer.client,
            "where": describe(signer),
            "wallet": signer.wallet.path,
            "data_dir": signer.data.path,
        }
        for signer in found
        if not is_unseen(signer, params)
        and (signer.wallet.path is not None or not (_other(signer) and is_asked(signer, params)))
    ]
    unseen = sorted({signer.client for signer in found if is_unseen(signer, params)})
    return {"exists": True, "workloads": workloads, "unseen": unseen, "live": ask(cluster, found, params)}


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_ARGUMENTS,
            "kubeconfig": {"type": "path", "required": True},
            "missing_ok": {"type": "bool", "default": False},
            "storage_hosts": {"type": "list", "elements": "str", "default": []},
            "wallets": {"type": "dict", "default": {}},
            "data_dirs": {"type": "dict", "default": {}},
            "claims": {"type": "dict", "default": {}},
            "data_root": {"type": "path"},
            "ignore": {"type": "list", "elements": "str", "default": []},
            "asked": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["missing_ok"] and not is_there(params["kubeconfig"]):
        module.exit_json(changed=False, exists=False, workloads=[], unseen=[], live={})
    deadline = time.monotonic() + params["timeout"]
    try:
        cluster = Cluster(params["kubeconfig"], params["context"])
        while True:
            try:
                module.exit_json(changed=False, **look(cluster, params))
            except NotYet as exc:
                if time.monotonic() >= deadline:
                    module.fail_json(msg=f"Who signs in this cluster cannot be read, so any key may be in use: {exc}")
            time.sleep(2)
    except (Never, StakingError) as exc:
        module.fail_json(msg=f"Who signs in this cluster cannot be read, so any key may be in use: {exc}")


if __name__ == "__main__":
    main()
