#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: key_manager_info
short_description: Ask a validator client which keys it has, over the key manager API
version_added: 0.1.0
description:
  - Asks for the keystores and the remote keys of a client over the standard key manager API of Ethereum, which Prysm,
    Lighthouse, Teku, Nimbus, Lodestar and Web3Signer have.
  - Fails when that cannot be read, whatever the reason; a client that says it has no remote keys has none.
  - Never changes anything. Follows no redirect and uses no proxy, so that the token goes nowhere else.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  client:
    description: Name of the client.
    type: str
    required: true
  url:
    description: Address of its API, such as V(http://172.20.10.12:7500).
    type: str
    required: true
  token:
    description: The token of the API.
    type: str
  token_file:
    description:
      - File on the target with the token, as the client wrote it (Prysm's C(auth-token)); the last line counts.
    type: path
  ask:
    description:
      - What to ask for. Prysm that signs with a Web3Signer closes the connection when it is asked for keystores, so
        ask it for V(remotekeys) alone.
    type: list
    elements: str
    choices: [keystores, remotekeys]
    default: [keystores, remotekeys]
  missing_ok:
    description:
      - Whether a client that does not run, because nothing listens at its address, is reported by RV(running). No
        answer at all is a failure all the same.
    type: bool
    default: false
  ca_path:
    description: File on the target with the certificates of authorities to trust.
    type: path
  validate_certs:
    description: Whether the client must prove who it is, when the address begins with C(https).
    type: bool
    default: true
  timeout:
    description: Seconds to wait for an answer, and for a client that is not ready yet.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Ask a Lighthouse outside the cluster for its keys
  eth2xk8s.staking.key_manager_info:
    client: lighthouse1
    url: http://127.0.0.1:5062
    token_file: /var/lib/lighthouse/validators/api-token.txt
  delegate_to: lighthouse1
  register: keys
"""

RETURN = r"""
client:
  description: Name of the client.
  returned: success
  type: str
  sample: lighthouse1
running:
  description: Whether something listens at the address.
  returned: success
  type: bool
  sample: true
keys:
  description: Every key the client has.
  returned: success
  type: list
  elements: str
  sample: ["0xa1..."]
remotekeys:
  description: Those that it lists as held by a remote signer.
  returned: success
  type: list
  elements: str
  sample: []
"""

import http.client
import ssl
import time
import typing as t
from urllib.error import HTTPError, URLError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._params import secret, secret_arguments
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._key_manager import (
    LIMIT,
    LISTS,
    Answer,
    KeyManagerError,
    NotReadyError,
    base_url,
    pubkeys,
    together,
    token_from,
)


class NobodyListensError(KeyManagerError):
    """The machine is there, and refuses the connection."""


def ask(place: str, token: str, params: dict[str, t.Any]) -> Answer:
    """One answer, whatever its status."""
    deadline = time.monotonic() + params["timeout"]
    try:
        try:
            response = open_url(
                place,
                headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
                timeout=params["timeout"],
                validate_certs=params["validate_certs"],
                ca_path=params["ca_path"],
                follow_redirects="no",
                use_proxy=False,
                # A .netrc would put its own password in the token's place.
                use_netrc=False,
                decompress=False,
            )
        except HTTPError as exc:
            response = exc  # an answer like any other, which may be slow or endless as well
        return Answer(response.code, body_of(response, place, deadline), response.headers.get("Location", ""))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise no_answer(place, exc) from exc


def body_of(response: t.Any, place: str, deadline: float) -> bytes:
    """What a client sends, in time and of a sane length."""
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk = response.read1(1 << 16)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        if size > LIMIT:
            raise KeyManagerError(f"{place} sends more than {LIMIT} bytes; is that a key manager?")
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")


def no_answer(place: str, exc: Exception) -> KeyManagerError:
    """What kept the answer from coming, and what to do."""
    cause = exc.reason if isinstance(exc, URLError) else exc
    if isinstance(cause, ConnectionRefusedError):
        return NobodyListensError(
            f"{place}: nothing listens there; start the client with its key manager API, mend the address, or, when the"
            " client is known not to run, set missing_ok"
        )
    if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return KeyManagerError(f"{place}: its certificate is not trusted; name the one that signed it in ca_path")
    if isinstance(cause, http.client.RemoteDisconnected):
        return KeyManagerError(
            f"{place} closes the connection without an answer; see the client's log, and the option ask"
        )
    return KeyManagerError(
        f"{place} does not answer ({cause or type(cause).__name__}); see whether the client runs there"
    )


def look(token: str, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Every list that is to be asked for, waiting a while for a client that has only just started."""
    url = base_url(params["url"])
    deadline = time.monotonic() + params["timeout"]
    while True:
        try:
            lists = {what: pubkeys(what, ask(f"{url}/eth/v1/{what}", token, params), url) for what in params["ask"]}
            return {"running": True, "keys": together(lists, url), "remotekeys": lists.get("remotekeys") or []}
        except NobodyListensError:
            if params["missing_ok"]:
                return {"running": False, "keys": [], "remotekeys": []}
            raise
        except NotReadyError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(1)


def main() -> None:
    """Read the parameters, ask, report."""
    module = AnsibleModule(
        argument_spec={
            "client": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            **secret_arguments("token"),
            "ask": {"type": "list", "elements": "str", "choices": list(LISTS), "default": list(LISTS)},
            "missing_ok": {"type": "bool", "default": False},
            "ca_path": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 10},
        },
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
        supports_check_mode=True,
    )
    params = module.params
    client = params["client"]
    try:
        place = params["token_file"] or "the option token"
        token = token_from(secret(params, "token") or "", place)
        module.no_log_values.add(token)
        module.exit_json(changed=False, client=client, **look(token, params))
    except StakingError as exc:
        module.fail_json(msg=f"Which keys {client} has cannot be read, so it may have any: {exc}")


if __name__ == "__main__":
    main()
