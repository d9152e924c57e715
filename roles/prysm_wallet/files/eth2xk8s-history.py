#!/usr/bin/python3
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history watcher: eth2xk8s-history.py watch|check CONFIG.

watch: notes what validator clients sign, on the data disk and on the root disk, until it is told to end.
check: run before the NFS server starts; holds every client whose history falls short of what is known of it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from pathlib import Path

# The parts of the collection that it needs lie beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _watch

PERIOD = 2.0


def log(words: str) -> None:
    """One line to the journal."""
    priority = "<3>" if "JOURNAL_STREAM" in os.environ else ""
    print(f"{priority}history: {words}", flush=True)


def watch(config: _watch.Config) -> None:
    """Until SIGTERM. Whatever is being written then is written whole, or not at all."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    signal.signal(signal.SIGINT, lambda _number, _frame: sys.exit(0))
    watcher = _watch.Watcher(config, log)
    watcher.start()
    while True:
        watcher.tick()
        time.sleep(PERIOD)


def check(path: str) -> None:
    """Never a failure: the NFS server must start, whatever is wrong with one client."""
    try:
        _watch.check(_watch.read_config(path), log)
    except Exception:  # said in the journal
        log(traceback.format_exc())


def main(arguments: list[str]) -> int:
    """What was asked for."""
    if len(arguments) != 2 or arguments[0] not in ("watch", "check"):
        print(__doc__)
        return 2
    mode, path = arguments
    if mode == "check":
        check(path)
        return 0
    try:
        config = _watch.read_config(path)
    except StakingError as exc:
        log(str(exc))
        return 1
    watch(config)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
