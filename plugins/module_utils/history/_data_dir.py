# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Where a site keeps what: the one place for the names of its directories and files.

guard.sh, in the pods, has the same names in shell.
"""

from __future__ import annotations

import os
import typing as t

#: Prysm's slashing protection database, in a client's data directory (Prysm v1.2.2 to v7.1.6, validator/db/kv).
DATABASE = "validator.db"
#: Held by the guard of a client from before its checks until its pod ends.
LOCK = ".validator-lock"
#: While it is there, the client does not start.
HOLD = ".validator-hold"
#: There has been a database.
EXPECTED = ".validator-db-expected"
#: The highest transaction number of bbolt that was seen in the database.
TRANSACTION = ".validator-transaction"
#: The highest layout and version of Prysm that have opened it.
VERSION = ".validator-version"
#: Which wallet and release the database belongs to.
IDENTITY = ".validator-id"
#: A database is being put in the place of another.
REPLACING = ".validator-replacing"
#: The beacon node's directory, below the site's data directory.
BEACON = "beacon"
#: What Prysm keeps in it: its database, and beside that hundreds of thousands of files, none of them a validator's.
BEACON_DATABASE = "beaconchaindata"
BEACON_STORES = ("blobs", "data-columns")


class Client(t.NamedTuple):
    """What a validator client is called, and where it keeps what."""

    name: str
    data_dir: str
    wallet_dir: str


def client(entry: t.Mapping[str, t.Any], data_dir: str) -> Client:
    """An entry of prysm_validators; what it leaves out lies below the site's data directory."""
    name = str(entry["name"])
    return Client(
        name,
        entry.get("data_dir") or os.path.join(data_dir, name),
        entry.get("wallet_dir") or os.path.join(data_dir, f"wallet-{name}"),
    )


def beacon_names(count: int, first: str = BEACON) -> list[str]:
    """What the beacon nodes of a site are called: beacon, beacon-2, beacon-3."""
    return [first, *(f"{first}-{number}" for number in range(2, count + 1))]


def beacon_dirs(count: int, data_dir: str) -> list[str]:
    """Where they keep their data, below the site's data directory."""
    return [os.path.join(data_dir, name) for name in beacon_names(count)]
