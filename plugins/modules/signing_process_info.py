#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signing_process_info
short_description: Say whether a validator client runs on this machine
version_added: 0.1.0
description:
  - Looks at every process of the machine, those of containers included, and names the ones that may sign.
  - A process that cannot be read, while it is still there, counts as a signer.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  names:
    description: Names of programs that sign.
    type: list
    elements: str
    default: [validator]
"""

EXAMPLES = r"""
- name: Look for signing processes
  eth2xk8s.staking.signing_process_info:
  register: signers
"""

RETURN = r"""
processes:
  description: Processes that may sign, each with pid and reason.
  returned: always
  type: list
  elements: dict
  sample: []
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import is_directory


def reason(folder: str, names: t.Sequence[str]) -> str:
    """Why this process may sign; empty when it cannot, or when it is gone."""
    try:
        with open(os.path.join(folder, "comm"), encoding="utf-8", errors="replace") as handle:
            comm = handle.read().strip()
        with open(os.path.join(folder, "cmdline"), "rb") as handle:
            words = handle.read().decode("utf-8", "replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError as exc:
        return "it cannot be read: {0}".format(exc.strerror) if is_directory(folder) else ""
    # The kernel keeps only 15 characters of a name.
    if comm in [name[:15] for name in names]:
        return "its name is {0}".format(comm)
    program = os.path.basename(words[0]) if words else ""
    if program in names:
        return "it was started as {0}".format(program)
    if any(word.split("=")[0] in ("--wallet-dir", "--wallet-password-file") for word in words[1:]):
        return "it was given a wallet"
    return ""


def signers(proc: str, names: t.Sequence[str]) -> t.List[t.Dict[str, t.Any]]:
    """Every process below proc that may sign."""
    found = []
    for entry in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int):
        why = reason(os.path.join(proc, entry), names)
        if why:
            found.append({"pid": int(entry), "reason": why})
    return found


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "default": ["validator"]}},
        supports_check_mode=True,
    )
    try:
        found = signers("/proc", module.params["names"])
    except OSError as exc:
        module.fail_json(msg="the processes of this machine cannot be read: {0}".format(exc))
    module.exit_json(changed=False, processes=found)


if __name__ == "__main__":
    main()
