#!/usr/bin/python3
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher of silent clients: eth2xk8s-expire.py CONFIG.

Expires a client of this machine's NFS server that holds the lock of a validator client and has fallen silent, while
another node waits for that lock. Every decision is in the journal.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

# The parts of the collection that it needs lie beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _expiry, _nfsd


def log(words: str) -> None:
    """One line to the journal."""
    print(f"expire: {words}", flush=True)


def ready() -> None:
    """Tell systemd that the configuration is read, as sd_notify(3) does: until then the service has not started."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.sendall(b"READY=1")


class Watcher:
    """Looks twice a second, and has expired whom the judge names."""

    def __init__(self, config: _expiry.Config) -> None:
        self._config = config
        self._judge = _expiry.Judge(config.expire_after)
        self._unread = ""

    def look(self) -> None:
        """Once. What cannot be read judges no client, and is said once."""
        try:
            blind = _nfsd.blind()
            clients = _expiry.read_clients(self._config.locks) if blind is None else []
        except StakingError as exc:
            if str(exc) != self._unread:
                log(f"no client is expired: {exc}")
            self._unread = str(exc)
            return
        self._unread = ""
        verdicts = self._judge.look(time.clock_gettime(time.CLOCK_BOOTTIME), blind, clients)
        for words in self._judge.notes:
            log(words)
        for verdict in verdicts:
            # The server lets a request that is under way end first, and others must not wait for that.
            threading.Thread(target=self._carry_out, args=(verdict,), daemon=True).start()

    def _carry_out(self, verdict: _expiry.Verdict) -> None:
        if not _expiry.carry_out(verdict, self._config, log):
            self._judge.forgive(verdict.client.address)


def main(arguments: list[str]) -> int:
    """What was asked for, until SIGTERM."""
    if len(arguments) != 1:
        print(__doc__)
        return 2
    try:
        config = _expiry.read_config(arguments[0])
    except StakingError as exc:
        log(str(exc))
        return 1
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    signal.signal(signal.SIGINT, lambda _number, _frame: sys.exit(0))
    log(f"a client that holds the lock of {', '.join(sorted(config.locks))} is expired after {config.expire_after} s")
    watcher = Watcher(config)
    ready()
    while True:
        watcher.look()
        time.sleep(_expiry.PERIOD)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
