# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The identity that binds a client's database, its wallet and its release, so that none is taken for another's."""

from __future__ import annotations

import os
import re
import typing as t
import uuid

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    is_directory,
    is_there,
    open_directory,
    read_file,
    replace_file,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import IDENTITY

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class Client(t.NamedTuple):
    """A client's directories, and the identity that its release was installed with (empty without one)."""

    name: str
    data_dir: str
    wallet_dir: str
    installed: str = ""

    @property
    def directories(self) -> tuple[str, str]:
        """Those that carry the identity."""
        return self.data_dir, self.wallet_dir


class Decision(t.NamedTuple):
    """The identity of a client, and the directories that must be given it."""

    identity: str
    write: tuple[str, ...] = ()


class Bound(t.NamedTuple):
    """Whether anything was given (or would be), and the identity of each client that has one."""

    changed: bool
    identities: dict[str, str]


def read(directory: str) -> str | None:
    """The identity that a directory carries; None without one, an error when it cannot be read."""
    path = os.path.join(directory, IDENTITY)
    if not is_there(path):
        return None
    try:
        text = read_file(path, 256).decode("ascii").strip()
    except UnicodeDecodeError as exc:
        raise UnreadableError(path, "is not an identity") from exc
    if not _UUID.match(text):
        raise UnreadableError(path, "is not an identity (a UUID in lower case)")
    return text


def decide(client: Client, data: str | None, wallet: str | None, new: str, adopt: bool = False) -> Decision:
    """Which identity a client has, from what its directories carry; StakingError when they contradict each other.

    adopt says that the operator has made sure that the data directory holds the newest database of this client.
    """
    wanted = client.installed or data or wallet
    if wanted is None:
        return Decision(new, client.directories)
    for what, directory, found in (("data", client.data_dir, data), ("wallet", client.wallet_dir, wallet)):
        if found not in (None, wanted):
            raise StakingError(
                f"{client.name}: the {what} directory {directory} belongs to another client or another site (its"
                f" {IDENTITY} is {found}, not {wanted}). Bring back the directory that belongs to {client.name}"
            )
    if data is None and not adopt:
        known = "its release" if client.installed else "its wallet"
        raise StakingError(
            f"{client.name}: {client.data_dir} is not the data directory that {known} knows: it has no {IDENTITY}."
            " Is the data disk mounted, was the server rebuilt? Mount it, or restore the newest validator.db. Once"
            f' you are sure that it is the newest, run again with -e \'{{"prysm_helm_adopt_data": ["{client.name}"]}}\''
        )
    lacking = [place for place, found in ((client.data_dir, data), (client.wallet_dir, wallet)) if found is None]
    return Decision(wanted, tuple(lacking))


def look(client: Client, new: str, adopt: bool = False) -> Decision:
    """Decide from the disk."""
    for directory in client.directories:
        if not is_directory(directory):
            raise UnreadableError(directory, f"the directory of {client.name} is not there")
    return decide(client, read(client.data_dir), read(client.wallet_dir), new, adopt)


def write(decision: Decision, owner: int, group: int) -> None:
    """Give the directories their identity, and read it back. The wallet goes last: it alone is no proof of a disk."""
    for directory in decision.write:
        fd = open_directory(directory)
        try:
            replace_file(fd, IDENTITY, (decision.identity + "\n").encode("ascii"), 0o600, owner, group)
        finally:
            os.close(fd)
        if read(directory) != decision.identity:
            raise UnreadableError(os.path.join(directory, IDENTITY), "does not hold what was written to it")


def bind(clients: t.Sequence[Client], adopt: t.Container[str], owner: int, group: int, check: bool) -> Bound:
    """Give the directories of each client one identity; in check mode, say what that would be.

    Nothing is written unless all of them agree: StakingError. An identity that would only be made is left out.
    """
    decisions = {client.name: look(client, str(uuid.uuid4()), client.name in adopt) for client in clients}
    made = {client.name for client in clients if len(decisions[client.name].write) == len(client.directories)}
    if not check:
        for decision in decisions.values():
            write(decision, owner, group)
    return Bound(
        any(decision.write for decision in decisions.values()),
        {name: decision.identity for name, decision in decisions.items() if not (check and name in made)},
    )
