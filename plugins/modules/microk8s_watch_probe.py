#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microk8s_watch_probe
short_description: Try whether a control plane of MicroK8s still delivers watch events
version_added: 0.1.0
description:
  - After an outage of the network of less than a minute, the datastore of a control plane may deliver no more watch
    events until it is restarted, while reads, writes, leases and health checks go on as if nothing had happened. Then
    no controller and no kubelet hears of a pod that is deleted or created.
  - Writes an object of its own into the namespace C(kube-system), opens a watch on it, writes again, and expects the
    event. The object is removed afterwards.
  - Each control plane has to be tried by itself, as root.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  seconds:
    description: How long after the write the event may come.
    type: float
    default: 5
"""

EXAMPLES = r"""
- name: Try whether this control plane delivers watch events
  eth2xk8s.staking.microk8s_watch_probe:
  register: probe

- name: Do not drain a node when it does not
  ansible.builtin.assert:
    that: probe.delivered
    fail_msg: "{{ probe.reason }}"
"""

RETURN = r"""
delivered:
  description: Whether the event came in time; null in check mode, where nothing is written.
  returned: success
  type: bool
  sample: true
seconds:
  description: How long the event took after the write had been answered.
  returned: success
  type: float
  sample: 0.01
reason:
  description: Why it is not delivered, and what to run.
  returned: success
  type: str
  sample: ""
"""

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

MICROK8S = "/snap/bin/microk8s"
NAMESPACE = "kube-system"
# Neither ends a container.
RESTART = "snap restart microk8s.daemon-k8s-dqlite microk8s.daemon-kubelite"
LANGUAGE = {"LANGUAGE": "C", "LC_ALL": "C"}


class ProbeError(Exception):
    """The probe could not be made: nothing is known of the watches, which counts as a fault."""


def kubectl(module: AnsibleModule, *argv: str, data: str | None = None) -> str:
    """What a command of kubectl prints."""
    code, out, err = module.run_command(
        [MICROK8S, "kubectl", "--request-timeout=10s", "--namespace", NAMESPACE, *argv],
        data=data,
        environ_update=LANGUAGE,
    )
    if code != 0:
        raise ProbeError((err.strip() or out.strip())[:300])
    return str(out)


def write_first(module: AnsibleModule, name: str) -> str:
    """Write the object; the version from which on to watch."""
    labels = {"app.kubernetes.io/managed-by": "eth2xk8s.staking"}
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "data": {"written": secrets.token_hex(8)},
    }
    out = kubectl(module, "apply", "--filename=-", "--output=json", data=json.dumps(manifest))
    try:
        return str(json.loads(out)["metadata"]["resourceVersion"])
    except (KeyError, TypeError, ValueError) as exc:
        # A worker answers with a sentence and exit code 0.
        raise ProbeError(out.strip()[:300] or "kubectl printed nothing") from exc


def watch(name: str, version: str, seconds: float) -> subprocess.Popen[bytes]:
    """A watch from one version on, so that what it shows has come as an event and in no other way."""
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=1&resourceVersion={version}"
    path += f"&fieldSelector=metadata.name%3D{name}&timeoutSeconds={int(seconds) + 60}"
    return subprocess.Popen(
        [MICROK8S, "kubectl", "get", "--raw", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **LANGUAGE},
        start_new_session=True,
    )


def wait(process: subprocess.Popen[bytes], token: str, seconds: float) -> tuple[bool, float, str]:
    """Whether the token comes out of a watch in time, after how long, and what came instead."""
    begun = time.monotonic()
    if process.stdout is None:
        raise ProbeError("the output of the watch cannot be read")
    seen = b""
    while True:
        left = begun + seconds - time.monotonic()
        ready = select.select([process.stdout], [], [], max(0.0, left))[0]
        chunk = os.read(process.stdout.fileno(), 65536) if ready else b""
        seen += chunk
        if token.encode("ascii") in seen:
            return True, time.monotonic() - begun, ""
        if ready and not chunk:
            return False, time.monotonic() - begun, seen.decode("utf-8", "replace").strip()[-300:] or "it ended"
        if left <= 0:
            return False, time.monotonic() - begun, ""


def probe(module: AnsibleModule, name: str, seconds: float) -> dict[str, t.Any]:
    """Write, watch, write again, and see."""
    token = secrets.token_hex(16)
    patch = json.dumps({"data": {"written": token}})
    try:
        process = watch(name, write_first(module, name), seconds)
        try:
            kubectl(module, "patch", "configmap", name, "--type=merge", "--patch", patch)
            delivered, took, instead = wait(process, token, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        kubectl(module, "delete", "configmap", name, "--ignore-not-found", "--wait=false")
    except (ProbeError, OSError) as exc:
        return {"delivered": False, "seconds": 0.0, "reason": f"watches could not be tried: {exc}"}
    reason = f"a change was not delivered to a watch within {seconds:g} seconds"
    if instead:
        reason = f"a watch ended: {instead}"
    return {
        "delivered": delivered,
        "seconds": round(took, 3),
        "reason": "" if delivered else f"{reason}; restart the datastore and the API server there: {RESTART}",
    }


def main() -> None:
    """Probe, and report; the verdict is the caller's."""
    module = AnsibleModule(
        argument_spec={"seconds": {"type": "float", "default": 5.0}},
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, delivered=None, seconds=0.0, reason="")
    name = "eth2xk8s-watch-probe-" + socket.gethostname().lower().split(".")[0]
    module.exit_json(changed=False, **probe(module, name, module.params["seconds"]))


if __name__ == "__main__":
    main()
