#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prysm_duties_info
short_description: Prove that validator clients perform their duties
version_added: 0.1.0
description:
  - Reads each validator pod's own metrics through the API server and waits until every expected key is active and has
    been attested for by the process that runs now, at the wanted version.
  - Fails when that does not happen in time, naming each client and key and what was last seen; at once when a client
    signs with a key nobody expects, or refuses to start.
  - A probe, a phase or a log line is not a proof; neither is a key's status alone, which Prysm keeps for deleted and
    blacklisted keys.
options:
  clients:
    description: The validator clients to prove.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the StatefulSet; its pod is called NAME-0.
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
  beacon:
    description: Name of the beacon node's StatefulSet, whose clock says which slot it is. Empty when there is none.
    type: str
    default: beacon
  metrics_port:
    description: Where validator clients serve metrics.
    type: int
    default: 8081
  beacon_metrics_port:
    description: Where the beacon node serves metrics.
    type: int
    default: 8080
  slots_per_epoch:
    description: Slots in an epoch of this chain.
    type: int
    default: 32
  accept_pending:
    description: Whether a key that the chain has not activated yet is good enough.
    type: bool
    default: false
  wait:
    description: Whether to wait for the proof and fail without it. Otherwise only report what is there.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for the proof.
    type: int
    default: 1200
  interval:
    description: Seconds between looks.
    type: float
    default: 2
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
"""

EXAMPLES = r"""
- name: See validator1 attest at the new version
  eth2xk8s.staking.prysm_duties_info:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    version: v7.1.6
    clients:
      - name: validator1
        pubkeys: "{{ keys['validator1'] }}"
"""

RETURN = r"""
clients:
  description: What was seen of each client. C(missing) says why a proof is not there, and is empty when it is.
  returned: always
  type: dict
  sample:
    validator1:
      proved: true
      problem: ""
      node: worker
      image: gcr.io/offchainlabs/prysm/validator:v7.1.6
      version: v7.1.6
      restarts: 0
      unexpected: []
      keys:
        "0xa1...":
          status: ACTIVE
          last_attested_slot: 1234
          missing: ""
slot:
  description: The chain's slot by the beacon node's clock, if it could be read.
  returned: always
  type: int
  sample: 1235
proved:
  description: Whether every client performs all its duties.
  returned: always
  type: bool
  sample: true
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
    Pod,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils._metrics import (
    Duties,
    KeyDuties,
    MetricsError,
    current_slot,
    duties,
    missing_proof,
)


class Proof:
    """Looks again and again, and remembers what it saw first."""

    def __init__(self, cluster: Cluster, params: dict[str, t.Any]) -> None:
        self._cluster = cluster
        self._params = params
        # (pod uid, key) -> slot at the first look, so that an advance is one of the same process.
        self._first: dict[tuple[str, str], int] = {}

    def slot(self) -> int | None:
        """The slot by the beacon's clock. Only a help: without it an advance has to be waited for."""
        if not self._params["beacon"]:
            return None
        try:
            name = f"{self._params['beacon']}-0"
            text = self._cluster.metrics(self._params["namespace"], name, self._params["beacon_metrics_port"])
            return current_slot(text)
        except (NotYet, MetricsError):
            return None

    def look(self, client: dict[str, t.Any], slot: int | None) -> dict[str, t.Any]:
        """One look at one client."""
        expected = sorted(key.lower() for key in client["pubkeys"])
        seen: dict[str, t.Any] = {
            "proved": False,
            "problem": "",
            "hopeless": False,
            "node": "",
            "image": "",
            "version": "",
            "restarts": 0,
            "unexpected": [],
            "keys": {
                key: {"status": None, "last_attested_slot": None, "missing": "the client was not read"}
                for key in expected
            },
        }
        name = f"{client['name']}-0"
        try:
            pod = self._cluster.pod(self._params["namespace"], name)
            if pod is None:
                seen["problem"] = f"there is no pod {name}"
                return seen
            seen.update(node=pod.node, image=pod.image, restarts=pod.restarts)
            if not pod.started or pod.terminating:
                seen["problem"] = "it is being deleted" if pod.terminating else pod.problem or "it has not started yet"
                seen["hopeless"] = pod.hopeless
                return seen
            report = duties(self._cluster.metrics(self._params["namespace"], name, self._params["metrics_port"]))
        except (NotYet, MetricsError) as exc:
            seen["problem"] = str(exc)
            return seen
        self._judge(seen, pod, report, expected, slot)
        return seen

    def _judge(self, seen: dict[str, t.Any], pod: Pod, report: Duties, expected: list[str], slot: int | None) -> None:
        # Before v1.3.3 the process does not say its version; the image's tag has to do.
        seen["version"] = report.version or pod.image.rpartition(":")[2]
        seen["unexpected"] = sorted(set(report.keys) - set(expected))
        seen["keys"] = {key: self._key(pod.uid, key, report.keys.get(key), slot) for key in expected}
        if seen["unexpected"]:
            seen["problem"] = "slashing risk: it has keys that nobody expects there: " + ", ".join(seen["unexpected"])
            seen["hopeless"] = True
        elif self._params["version"] and seen["version"] != self._params["version"]:
            seen["problem"] = f"it runs {seen['version']}, not {self._params['version']}"
        seen["proved"] = not seen["problem"] and all(not key["missing"] for key in seen["keys"].values())

    def _key(self, uid: str, key: str, state: KeyDuties | None, slot: int | None) -> dict[str, t.Any]:
        missing = missing_proof(
            state,
            self._first.get((uid, key)),
            slot,
            self._params["slots_per_epoch"],
            self._params["accept_pending"],
        )
        if state is not None and state.last_attested_slot is not None:
            self._first.setdefault((uid, key), state.last_attested_slot)
        return {
            "status": state.status if state else None,
            "last_attested_slot": state.last_attested_slot if state else None,
            "missing": missing,
        }


def sentence(name: str, seen: dict[str, t.Any]) -> str:
    """What stands between a client and its proof."""
    if seen["problem"]:
        return f"{name}: {seen['problem']}"
    keys = [f"{key[:12]}… {state['missing']}" for key, state in seen["keys"].items() if state["missing"]]
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return f"{name}: " + "; ".join(keys[:5]) + more


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
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
            "beacon": {"type": "str", "default": "beacon"},
            "metrics_port": {"type": "int", "default": 8081},
            "beacon_metrics_port": {"type": "int", "default": 8080},
            "slots_per_epoch": {"type": "int", "default": 32},
            "accept_pending": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 1200},
            "interval": {"type": "float", "default": 2},
            **CLUSTER_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    params = module.params
    for client in params["clients"]:
        if not client["pubkeys"]:
            module.fail_json(msg=f"no keys are expected of {client['name']}: there would be nothing to prove")
    deadline = time.monotonic() + params["timeout"]
    try:
        proof = Proof(Cluster(params["kubeconfig"], params["context"]), params)
        while True:
            slot = proof.slot()
            seen = {client["name"]: proof.look(client, slot) for client in params["clients"]}
            result = {"clients": seen, "slot": slot, "proved": all(one["proved"] for one in seen.values())}
            if result["proved"] or not params["wait"]:
                module.exit_json(changed=False, **result)
            late = time.monotonic() >= deadline
            if late or any(one["hopeless"] for one in seen.values()):
                when = f"within {params['timeout']} s" if late else ""
                words = ". ".join(sentence(name, one) for name, one in seen.items() if not one["proved"])
                module.fail_json(msg=f"Duties not proved {when}: {words}".replace(" :", ":"), **result)
            time.sleep(params["interval"])
    except Never as exc:
        module.fail_json(msg=f"Duties cannot be read: {exc}", clients={}, proved=False)


if __name__ == "__main__":
    main()
