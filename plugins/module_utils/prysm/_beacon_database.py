# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Whether a beacon node has begun its database, and where from.

A beacon node that could not begin leaves a database behind, too: one without a first block. So it is looked into.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import is_there, status

#: Below the beacon node's data directory, in every release.
PLACE = "beaconchaindata/beaconchain.db"

NONE, GENESIS, CHECKPOINT, UNKNOWN = "none", "genesis", "checkpoint", "unknown"

#: So much is written only once it follows the chain: such a database is not looked into.
_BEGUN_FROM = 4 << 30
_BLOCKS, _ORIGIN, _HEAD = b"blocks", b"origin-checkpoint-block-root", b"head-root"


def _begun(database: _boltdb.Database) -> str:
    blocks = database.buckets().get(_BLOCKS)
    found = blocks.some((_HEAD, _ORIGIN)) if blocks is not None else {}
    if _HEAD not in found:
        return NONE
    return CHECKPOINT if _ORIGIN in found else GENESIS


def begun(directory: str) -> str:
    """none, genesis, checkpoint; unknown for one that is too large to be looked into, and has begun."""
    path = os.path.join(directory, PLACE)
    if not is_there(path):
        return NONE
    if t.cast(os.stat_result, status(path)).st_size >= _BEGUN_FROM:
        return UNKNOWN
    return _boltdb.consistently(path, _begun)
