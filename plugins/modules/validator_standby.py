#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_standby
short_description: Bring the waiting pod of a validator client to its StatefulSet's newest template
version_added: 0.1.0
description:
  - Of a client with a standby, deletes the pod that waits for the lock where it is not of the newest template, and
    waits until its successor waits for the lock. The pod that signs is not touched.
  - A successor that cannot wait (no image, no such program in it) is a failure, and the other pod still signs.
  - Where the client has no pod that signs and another one that waits, on two nodes and with the same claims, nothing is
    done, and RV(ready) says so.
options:
  client:
    description: The name of the StatefulSet.
    type: str
    required: true
  settle:
    description: Seconds that the successor has to wait without an end.
    type: float
    default: 5
  timeout:
    description: Seconds until it has to.
    type: float
    default: 300
  interval:
    description: Seconds between looks.
    type: float
    default: 1
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
"""

EXAMPLES = r"""
- name: Let the standby have the new version first
  eth2xk8s.staking.validator_standby:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    client: validator1
"""

RETURN = r"""
ready:
  description:
    - Whether a pod of the newest template waits for the lock now, and can take over. In check mode, whether one would.
  returned: always
  type: bool
  sample: true
reason:
  description: Why there is none; empty where there is.
  returned: always
  type: str
  sample: ""
signer:
  description: The pod that signs, with its C(name), C(uid), C(node), and C(stale), whether it is of an older template.
  returned: when RV(ready)
  type: dict
  sample: {"name": "validator1-0", "uid": "8f7f…", "node": "worker", "stale": true}
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
    describe,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._standby import Turn, turn

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "client": {"type": "str", "required": True},
    "settle": {"type": "float", "default": 5},
    "timeout": {"type": "float", "default": 300},
    "interval": {"type": "float", "default": 1},
    **CLUSTER_ARGUMENTS,
}


class Failed(Exception):
    """The successor does not wait."""


class Client:
    """One client, looked at again and again."""

    def __init__(self, cluster: Cluster, params: dict[str, t.Any]) -> None:
        self._cluster = cluster
        self._params = params
        self._pods = f"/api/v1/namespaces/{params['namespace']}/pods"

    def turn(self) -> Turn:
        name = self._params["client"]
        sets = [one for one in self._cluster.sets(self._params["namespace"]) if one["metadata"]["name"] == name]
        return turn(sets[0] if sets else {}, self._cluster.items(self._pods, {"labelSelector": f"app={name}"}))

    def delete(self, pod: t.Mapping[str, t.Any]) -> None:
        """This very pod, and none that has come in its place."""
        meta = pod["metadata"]
        self._cluster.write("DELETE", f"{self._pods}/{meta['name']}", {"preconditions": {"uid": meta["uid"]}})

    def read(self) -> Turn:
        """A turn, as soon as it can be read."""
        begun = time.monotonic()
        while True:
            try:
                return self.turn()
            except NotYet:
                if time.monotonic() - begun >= self._params["timeout"]:
                    raise
            time.sleep(self._params["interval"])

    def wait(self, old: str) -> None:
        """Until the other pod, no longer the one with this UID, has waited for `settle` seconds."""
        begun, since, crashes = time.monotonic(), None, Crashes()
        while True:
            pod, problem = None, "it has not come yet"
            try:
                found = self.turn()
                pod, problem = describe(found.other) if found.other else None, found.reason or problem
            except NotYet as exc:
                problem = str(exc)
            now = time.monotonic()
            if pod is None or pod.uid == old or not pod.waiting:
                since = None
            else:
                since = since or now
                if now - since >= self._params["settle"]:
                    return
            if pod is not None and pod.uid != old:
                problem = pod.problem or problem
                if pod.hopeless or crashes.again(pod):
                    raise Failed(f"{pod.name}: {problem}")
            if now - begun >= self._params["timeout"]:
                raise Failed(f"after {self._params['timeout']:g} s: {problem}")
            time.sleep(self._params["interval"])


def renew(client: Client, *, dry: bool) -> dict[str, t.Any]:
    """Do it, unless it is a dry run."""
    found = client.read()
    changed = found.renew and not found.reason
    if not found.reason and not dry:
        if found.renew:
            client.delete(found.other)
        client.wait(found.other["metadata"]["uid"] if found.renew else "")
        found = client.read()
    if found.reason:
        return {"changed": changed, "ready": False, "reason": found.reason}
    signer = describe(found.signer)
    seen = {"name": signer.name, "uid": signer.uid, "node": signer.node, "stale": found.stale}
    return {"changed": changed, "ready": True, "reason": "", "signer": seen}


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    name = params["client"]
    try:
        client = Client(Cluster(params["kubeconfig"], params["context"]), params)
        module.exit_json(**renew(client, dry=module.check_mode))
    except Failed as exc:
        module.fail_json(
            msg=f"The standby of {name} does not wait for its lock; {name} signs as before: {str(exc).rstrip('.')}. "
            "Once that is cured, run the same playbook again.",
            ready=False,
        )
    except (Never, NotYet) as exc:
        module.fail_json(msg=f"The standby of {name} cannot be looked at: {exc}", ready=False)


if __name__ == "__main__":
    main()
