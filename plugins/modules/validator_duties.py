#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_duties
short_description: Prove that validator clients perform their duties
version_added: 0.1.0
description:
  - Reads each validator pod's own metrics through the API server and waits until every expected key with duties has
    been attested for by the process that runs now, at the wanted version, while the beacon node's head keeps up with
    the chain's clock.
  - Fails when that does not happen in time, naming each client and key and what was last seen; at once when a client
    signs with a key that is not expected, refuses to start, or keeps ending.
  - A probe, a phase or a log line is not a proof; neither is a key's status alone, which Prysm keeps for deleted and
    blacklisted keys, nor an attestation to a head that stands still, which is what keys do when the execution client is
    dead.
  - Keys that have exited or are slashed have no duties; they are reported in RV(finished) and never block the others.
    Keys that the chain has not activated are waited for, unless accepted; RV(waiting) says for what.
options:
  clients:
    description: The validator clients to prove.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the StatefulSet; its pods are called NAME-0 and, with a standby, NAME-1. One of them signs.
        type: str
        required: true
      pubkeys:
        description: The keys it must sign for, all of them and no other.
        type: list
        elements: str
        required: true
  version:
    description: The release that must be running; empty to accept any.
    type: str
    default: ""
  beacons:
    description:
      - Names of the beacon nodes' StatefulSets. The head of one of them must keep up with the clock.
      - Empty when there is none in this namespace; then only what the clients say counts.
    type: list
    elements: str
    default: [beacon]
  beacon_version:
    description:
      - The version that all beacon nodes must run, and be of use at, as M(eth2xk8s.staking.beacon_health) proves it.
      - Empty where that was proved before, or is not asked.
    type: str
    default: ""
  metrics_port:
    description: Where validator clients serve metrics.
    type: int
    default: 8081
  beacon_metrics_port:
    description: Where the beacon node serves metrics.
    type: int
    default: 8080
  accept_pending:
    description: Whether any key that the chain has not activated yet is good enough.
    type: bool
    default: false
  accept_pending_keys:
    description: Public keys of which the same is said one by one.
    type: list
    elements: str
    default: []
  wait:
    description: Whether to wait for the proof and fail without it. Otherwise only report what is there.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for the proof.
    type: int
    default: 1200
  beacon_timeout:
    description: Seconds to wait for a beacon node that is of no use yet, before O(timeout) begins.
    type: int
    default: 0
  interval:
    description: Seconds between looks.
    type: float
    default: 2
  record:
    description:
      - The site's record of what was signed, to be kept in the cluster once the duties are proved, as
        M(eth2xk8s.staking.slashing_protection_witness) keeps it. Not in check mode.
    type: dict
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
  - eth2xk8s.staking.chain
"""

EXAMPLES = r"""
- name: See validator1 attest at the new version
  eth2xk8s.staking.validator_duties:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    version: v7.1.6
    clients:
      - name: validator1
        pubkeys: "{{ keys['validator1'] }}"
"""

RETURN = r"""
clients:
  description:
    - What was seen of each client. C(missing) says why a proof is not there, and is empty when it is.
    - C(node) is where it signs, with its C(addresses) once that is proved, and C(standby) where its other pod waits for
      the lock; empty without one.
    - C(waiting) and C(finished) say, by key, what keys without duties wait for or why they have none any more.
  returned: always
  type: dict
  sample:
    validator1:
      proved: true
      problem: ""
      node: worker
      addresses: [172.20.10.12]
      standby: worker2
      image: gcr.io/offchainlabs/prysm/validator:v7.1.6
      version: v7.1.6
      restarts: 0
      unexpected: []
      waiting: {}
      finished: {"0xb2...": "status EXITED: it has exited"}
      keys:
        "0xa1...":
          status: ACTIVE
          last_attested_slot: 1234
          missing: ""
slot:
  description: The slot by the chain's clock; none when that could not be read or the chain has not begun.
  returned: always
  type: int
  sample: 1235
head_slot:
  description: The slot of the beacon node's head, if it could be read.
  returned: always
  type: int
  sample: 1234
chain_problem:
  description: Why the beacon node does not follow the chain; empty when it does, or none was to be asked.
  returned: always
  type: str
  sample: ""
waiting:
  description: Keys that the chain has not activated yet, and what each waits for.
  returned: always
  type: dict
  sample: {"0xc3...": "status PENDING: it waits in the activation queue"}
finished:
  description: Keys that have no duties any more, and why.
  returned: always
  type: dict
  sample: {"0xb2...": "status EXITED: it has exited"}
proved:
  description: Whether every client performs all its duties.
  returned: always
  type: bool
  sample: true
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Crashes,
    Never,
    NotYet,
    Pod,
    client_of,
    tag,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._beacon import Beacons
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._chain import CHAIN_ARGUMENTS, View
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import (
    WAITS_FOR,
    Duties,
    KeyDuties,
    MetricsError,
    duties,
    judge,
)

#: Seconds for which the cluster is asked to keep the record.
_KEEP_SECONDS = 60

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "clients": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "pubkeys": {"type": "list", "elements": "str", "required": True, "no_log": False},
        },
    },
    "version": {"type": "str", "default": ""},
    "beacons": {"type": "list", "elements": "str", "default": ["beacon"]},
    "beacon_version": {"type": "str", "default": ""},
    "metrics_port": {"type": "int", "default": 8081},
    "beacon_metrics_port": {"type": "int", "default": 8080},
    "accept_pending": {"type": "bool", "default": False},
    "accept_pending_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 1200},
    "beacon_timeout": {"type": "int", "default": 0},
    "interval": {"type": "float", "default": 2},
    "record": {"type": "dict"},
    **CHAIN_ARGUMENTS,
    **CLUSTER_ARGUMENTS,
}


class Patience:
    """How long a proof is waited for; a beacon node that is of no use yet takes none of that time, up to a limit."""

    def __init__(self, seconds: float, beacon_seconds: float) -> None:
        now = time.monotonic()
        self._seconds = seconds
        self._ends = now + seconds
        self._beacon_ends = now + beacon_seconds

    def is_over(self, chain_problem: str) -> bool:
        """Whether the time for the proof has passed, by what a look at the chain has just said."""
        now = time.monotonic()
        if chain_problem and now < self._beacon_ends:
            # No duties are to be expected before the beacon node is of use.
            self._ends = now + self._seconds
        return now >= self._ends


class Proof:
    """Looks again and again, and remembers what it saw first."""

    def __init__(self, cluster: Cluster, params: dict[str, t.Any]) -> None:
        self.cluster = cluster
        self._params = params
        self._beacons = Beacons(cluster, params["beacons"], params, params["beacon_metrics_port"])
        self._crashes = Crashes()
        self._accepted = {key.lower() for key in params["accept_pending_keys"]}
        # (pod uid, key) -> slot at the first look, so that an advance is one of the same process.
        self._first: dict[tuple[str, str], int] = {}

    def wait(self, patience: Patience) -> tuple[dict[str, t.Any], str]:
        """Look until the proof is there, or not to be expected: what was seen last, and why it is no proof.

        The reason is empty where it is one, and where nothing is waited for: then one look is all that was asked for.
        """
        while True:
            seen = self.everything()
            if seen["proved"] or not self._params["wait"]:
                return seen, ""
            late = patience.is_over(seen["chain_problem"])
            if late or self._beacons.hopeless or any(one["hopeless"] for one in seen["clients"].values()):
                when = f" within {self._params['timeout']} s" if late else ""
                return seen, failure(seen, when)
            time.sleep(self._params["interval"])

    def everything(self) -> dict[str, t.Any]:
        """One look at the chain and at every client, as the module returns it."""
        chain = self.chain()
        seen = {client["name"]: self.look(client, chain) for client in self._params["clients"]}
        proved = all(one["proved"] for one in seen.values())
        if proved:
            self.add_addresses(seen)
        return {
            "clients": seen,
            "slot": chain.slot,
            "head_slot": chain.head,
            "chain_problem": chain.problem,
            "waiting": {key: words for one in seen.values() for key, words in one["waiting"].items()},
            "finished": {key: words for one in seen.values() for key, words in one["finished"].items()},
            "proved": proved,
        }

    def add_addresses(self, seen: dict[str, dict[str, t.Any]]) -> None:
        """The addresses of the nodes that sign: the NFS server knows who holds a lock by these."""
        try:
            found = self.cluster.items("/api/v1/nodes")
        except NotYet:
            return
        nodes = {node["metadata"]["name"]: node["status"]["addresses"] for node in found}
        for client in seen.values():
            addresses = nodes.get(client["node"], [])
            client["addresses"] = [one["address"] for one in addresses if one["type"] != "Hostname"]

    def chain(self) -> View:
        """One look at the chain. Without a beacon node to ask an advance of each key has to be waited for."""
        if not self._params["beacons"]:
            return View(None, None, "")
        if not self._params["beacon_version"]:
            return self._beacons.any()
        try:
            pods = {pod.name: pod for pod in self.cluster.pods(self._params["namespace"])}
        except NotYet as exc:
            return View(None, None, str(exc))
        return self._beacons.all(pods, self._params["beacon_version"])

    def look(self, client: dict[str, t.Any], chain: View) -> dict[str, t.Any]:
        """One look at one client."""
        expected = sorted(key.lower() for key in client["pubkeys"])
        seen: dict[str, t.Any] = {
            "proved": False,
            "problem": "",
            "hopeless": False,
            "node": "",
            "addresses": [],
            "standby": "",
            "image": "",
            "version": "",
            "restarts": 0,
            "unexpected": [],
            "waiting": {},
            "finished": {},
            "keys": {
                key: {"status": None, "last_attested_slot": None, "missing": "the client was not read"}
                for key in expected
            },
        }
        try:
            pod, standby = client_of(self.cluster.pods(self._params["namespace"]), client["name"])
            if pod is None:
                seen["problem"] = f"there is no pod {client['name']}-0"
                return seen
            seen.update(node=pod.node, standby=standby, image=pod.image, restarts=pod.restarts)
            if not pod.started or pod.terminating:
                seen["problem"] = "it is being deleted" if pod.terminating else pod.problem or "it has not started yet"
                seen["hopeless"] = pod.hopeless or self._crashes.again(pod)
                return seen
            report = duties(self.cluster.metrics(self._params["namespace"], pod.name, self._params["metrics_port"]))
        except (NotYet, MetricsError) as exc:
            seen["problem"] = str(exc)
            return seen
        self._judge(seen, pod, report, expected, chain)
        return seen

    def _judge(self, seen: dict[str, t.Any], pod: Pod, report: Duties, expected: list[str], chain: View) -> None:
        # Before v1.3.3 the process does not say its version; the image's tag has to do.
        seen["version"] = report.version or tag(pod.image)
        seen["unexpected"] = sorted(set(report.keys) - set(expected))
        seen["keys"] = {key: self._key(seen, pod.uid, key, report.keys.get(key), chain.slot) for key in expected}
        if seen["unexpected"]:
            seen["problem"] = "slashing risk: it has keys that are not expected there: " + ", ".join(seen["unexpected"])
            seen["hopeless"] = True
        elif self._params["version"] and seen["version"] != self._params["version"]:
            seen["problem"] = f"it runs {seen['version']}, not {self._params['version']}"
        proved = all(not key["missing"] for key in seen["keys"].values())
        seen["proved"] = proved and not seen["problem"] and not chain.problem

    def _key(
        self, seen: dict[str, t.Any], uid: str, key: str, state: KeyDuties | None, slot: int | None
    ) -> dict[str, t.Any]:
        verdict = judge(
            state,
            self._first.get((uid, key)),
            slot,
            self._params["slots_per_epoch"],
            self._params["accept_pending"] or key in self._accepted,
        )
        if state is not None and state.last_attested_slot is not None:
            self._first.setdefault((uid, key), state.last_attested_slot)
        if state is not None and state.status in WAITS_FOR:
            seen["waiting"][key] = verdict.words
        elif verdict.kind == "finished":
            seen["finished"][key] = verdict.words
        return {
            "status": state.status if state else None,
            "last_attested_slot": state.last_attested_slot if state else None,
            "missing": verdict.words if verdict.kind == "missing" else "",
        }


def sentence(name: str, seen: dict[str, t.Any]) -> str:
    """What stands between a client and its proof; empty when only the chain does."""
    if seen["problem"]:
        return f"{name}: {seen['problem']}"
    keys = [f"{key[:12]}… {state['missing']}" for key, state in seen["keys"].items() if state["missing"]]
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return f"{name}: " + "; ".join(keys[:5]) + more if keys else ""


def failure(result: dict[str, t.Any], when: str) -> str:
    """The message: what is wrong, and what to do where that is known."""
    clients = result["clients"].values()
    words = [result["chain_problem"]]
    words += [sentence(name, one) for name, one in result["clients"].items() if not one["proved"]]
    if any(one["keys"][key]["missing"] for one in clients for key in one["waiting"]):
        words.append(
            "Keys that have signed before, and are not active on this chain, are accepted with "
            "-e prysm_helm_accept_pending=true, or one by one in prysm_helm_accept_pending_keys; but first see that "
            "the beacon node follows the chain they have signed for"
        )
    elif when:
        words.append("Longer is waited with -e prysm_helm_duties_timeout=SECONDS")
    return f"Duties not proved{when}: " + ". ".join(filter(None, words))


def keep(module: AnsibleModule, cluster: Cluster, result: dict[str, t.Any]) -> None:
    """Keep the site's record in the cluster, or fail with what was proved."""
    # Half of this module's time, where nobody asks for it.
    from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _cluster_history, _record

    params = module.params
    try:
        news = _record.from_document(params["record"], "record")
        _cluster_history.keep(cluster, params["namespace"], news, module.check_mode, time.monotonic() + _KEEP_SECONDS)
    except (NotYet, Never, StakingError) as exc:
        module.fail_json(msg=f"{_cluster_history.CANNOT}{exc}", **result)


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    for client in params["clients"]:
        if not client["pubkeys"]:
            module.fail_json(msg=f"no keys are expected of {client['name']}: there would be nothing to prove")
    patience = Patience(params["timeout"], params["beacon_timeout"])
    try:
        proof = Proof(Cluster(params["kubeconfig"], params["context"]), params)
        result, missing = proof.wait(patience)
    except Never as exc:
        module.fail_json(msg=f"Duties cannot be read: {exc}", clients={}, proved=False)
    if missing:
        module.fail_json(msg=missing, **result)
    if result["proved"] and params["record"] is not None:
        keep(module, proof.cluster, result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
