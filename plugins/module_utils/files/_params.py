# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Reading module parameters that several modules share."""

from __future__ import annotations

import grp
import os
import pwd
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    read_file,
)

_SECRET_LIMIT = 4096


def read_secret(path: str) -> str:
    """A password from a file; line ends at its end are not part of it, as in Prysm."""
    try:
        # The file may be reached through links, as mounted secrets are.
        text = read_file(os.path.realpath(path), _SECRET_LIMIT, what=path).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise UnreadableError(path, "is not UTF-8 text") from exc
    return text.rstrip("\r\n")


def secret_arguments(name: str) -> dict[str, t.Any]:
    """The two arguments by which a password is given; a module must refuse both at a time."""
    return {name: {"type": "str", "no_log": True}, f"{name}_file": {"type": "path", "no_log": False}}


def keystore_contents(**more: t.Any) -> dict[str, t.Any]:
    """The argument by which keystores are given by content, with what else is said of each."""
    return {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "content": {"type": "str", "required": True, "no_log": True},
            "password": {"type": "str", "no_log": True},
            **more,
        },
    }


def secret(params: t.Mapping[str, t.Any], name: str) -> str | None:
    """A password given as itself or as the name of a file."""
    path = params.get(f"{name}_file")
    return read_secret(path) if path is not None else params.get(name)


def user_id(name: str | None) -> int:
    """A user by name or number; -1 for none."""
    if name is None:
        return -1
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as exc:
        raise StakingError(f"there is no user {name!r}") from exc


def group_id(name: str | None) -> int:
    """A group by name or number; -1 for none."""
    if name is None:
        return -1
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as exc:
        raise StakingError(f"there is no group {name!r}") from exc
