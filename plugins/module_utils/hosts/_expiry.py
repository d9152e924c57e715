# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""Which NFS client has been silent for too long, so that its locks pass to the standby that waits for them.

The kernel takes a silent client's locks away after the lease, and only when another asks. Here they are taken away
sooner, by the same way: the client is expired, and whatever it writes later is refused. A wrong verdict costs a
hand-over, never a second signer; so it is passed only where a hand-over can follow.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    parse_json,
    read_file,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd

#: Seconds between two looks. The server counts in whole seconds.
PERIOD = 0.5
#: A look that comes later than this after the one before saw nothing of what was between: this machine stood still, and
#: with it the clock by which everybody seems silent.
LATE = 2.0
#: A client that was heard of this many seconds ago lives.
FRESH = 2
#: Whoever has or wants a lock touches the server every second. Below this one late touch is a hand-over.
LEAST = 3
#: Seconds in which a client is not expired a second time: two nodes that are both slow must not take turns.
PAUSE = 60.0
LIMIT = 1 << 20


class Config(t.NamedTuple):
    """What is watched."""

    #: Name of each client of the site -> the file whose lock says who signs.
    locks: t.Mapping[str, str]
    #: Seconds after which a client that says nothing is expired.
    expire_after: int


class Client(t.NamedTuple):
    """A client of the NFS server, as far as the locks that are watched go."""

    number: str
    address: str
    #: Seconds since the server has heard of it; None when the kernel does not say.
    silent: int | None
    #: Names of those whose lock it has, and of those whose lock file it has open: it waits for these, or has them.
    holds: frozenset[str]
    opens: frozenset[str]


class Verdict(t.NamedTuple):
    """A client that is to be expired, and who takes over."""

    client: Client
    takers: tuple[str, ...]

    def __str__(self) -> str:
        names, takers = ", ".join(sorted(self.client.holds)), ", ".join(self.takers)
        return (
            f"{self.client.address} has been silent for {self.client.silent} s and holds the lock of {names}, which "
            f"{takers} waits for"
        )


def read_config(path: str) -> Config:
    """The configuration, as the role writes it."""
    found = parse_json(read_file(path, LIMIT), path)
    try:
        locks = {str(name): str(lock) for name, lock in found["locks"].items()}
        expire_after = found["expire_after"]
    except (KeyError, TypeError, AttributeError) as exc:
        raise UnreadableError(path, f"is not a configuration of the watcher of silent clients: {exc}") from exc
    if not isinstance(expire_after, int) or isinstance(expire_after, bool) or expire_after < LEAST:
        raise UnreadableError(
            path, f"expire_after is {expire_after!r}; it should be a number of seconds, {LEAST} or more"
        )
    return Config(locks, expire_after)


def _seconds(info: t.Mapping[str, str]) -> int | None:
    """From Linux 5.19 on the server says it."""
    text = info.get("seconds from last renew", "")
    return int(text) if text.isdigit() else None


def read_client(folder: str, locks: t.Mapping[str, str], inodes: t.Mapping[str, str | None]) -> Client | None:
    """One client, from its directory; None when it has left."""
    info = _nfsd.parse_info(_nfsd.client_file(folder, "info") or "")
    if not info:
        return None
    kinds: dict[str, set[str]] = {"lock": set(), "open": set()}
    for state in _nfsd.parse_states(_nfsd.client_file(folder, "states") or ""):
        for name, path in locks.items():
            if _nfsd.is_of(state, path, inodes[name]):
                kinds.setdefault(state["type"], set()).add(name)
    address = _nfsd.host_of(info.get("address", ""))
    return Client(os.path.basename(folder), address, _seconds(info), frozenset(kinds["lock"]), frozenset(kinds["open"]))


def read_clients(locks: t.Mapping[str, str]) -> list[Client]:
    """Every client that the server knows."""
    root = os.path.join(_nfsd.ROOT, "clients")
    inodes = {name: _nfsd.inode_of(path) for name, path in locks.items()}
    try:
        numbers = sorted(os.listdir(root))
    except OSError as exc:
        raise UnreadableError(root, reason_of(exc)) from exc
    try:
        found = [read_client(os.path.join(root, number), locks, inodes) for number in numbers]
    except _nfsd.NfsdError as exc:
        raise UnreadableError(root, str(exc)) from exc
    return [client for client in found if client is not None]


class Judge:
    """Looks again and again; says whom to expire, and of others why not. Pure: clocks and clients are given to it."""

    def __init__(self, expire_after: int) -> None:
        self._expire_after = expire_after
        self._since: float | None = None
        self._last: float | None = None
        self._expired: dict[str, float] = {}
        #: What was last said of a client: each word once.
        self._said: dict[str, str] = {}
        self.notes: list[str] = []

    def _note(self, about: str, words: str) -> None:
        if self._said.get(about, "") != words:
            self._said[about] = words
            if words:
                self.notes.append(words)

    def _watching(self, now: float, blind: str | None) -> bool:
        """Whether this has looked on for that long, without a break."""
        late = self._last is not None and now - self._last > LATE
        self._last = now
        if late:
            self.notes.append("this machine stood still; every client is watched anew")
        if blind is not None or late:
            self._since = None
        self._note("blind", f"no client is expired: {blind}" if blind is not None else "")
        if blind is not None:
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= self._expire_after

    def forgive(self, address: str) -> None:
        """A client that was not expired after all may be at once, should it fall silent."""
        self._expired.pop(address, None)

    def look(self, now: float, blind: str | None, clients: t.Sequence[Client]) -> list[Verdict]:
        """One look. now runs while the machine sleeps; blind is why the server does not know its locks."""
        self.notes = []
        watching = self._watching(now, blind)
        there = {client.number for client in clients} | {"blind"}
        self._said = {about: words for about, words in self._said.items() if about in there}
        found = []
        for client in clients:
            if not client.holds:
                self._note(client.number, "")
                continue
            if client.silent is None:
                self._note(
                    client.number,
                    f"this kernel does not say when it heard of {client.address} (Linux 5.19 and later do); the lease "
                    "alone decides",
                )
                continue
            if client.silent < self._expire_after:
                self._note(client.number, "")
                continue
            verdict = self._verdict(now, client, clients) if watching else None
            if verdict is not None:
                found.append(verdict)
        return found

    def _verdict(self, now: float, client: Client, clients: t.Sequence[Client]) -> Verdict | None:
        takers = sorted(
            other.address
            for other in clients
            if other.address != client.address
            and other.silent is not None
            and other.silent <= FRESH
            and other.opens & client.holds
        )
        names = ", ".join(sorted(client.holds))
        if not takers:
            self._note(
                client.number,
                f"{client.address} is silent and holds the lock of {names}, but no other node waits for it: nothing is "
                "gained by expiring it",
            )
            return None
        if now - self._expired.get(client.address, -PAUSE) < PAUSE:
            self._note(
                client.number,
                f"{client.address} is silent again; it was expired less than {PAUSE:.0f} s ago, so the lease decides",
            )
            return None
        self._expired[client.address] = now
        return Verdict(client, tuple(takers))


def still_silent(verdict: Verdict, config: Config) -> bool:
    """Whether a client is as it was when it was judged: read once more, right before."""
    folder = os.path.join(_nfsd.ROOT, "clients", verdict.client.number)
    inodes = {name: _nfsd.inode_of(path) for name, path in config.locks.items()}
    now = read_client(folder, config.locks, inodes)
    return (
        now is not None
        and now.address == verdict.client.address
        and now.silent is not None
        and now.silent >= config.expire_after
        and bool(now.holds)
        and _nfsd.blind() is None
    )


def expire(number: str) -> None:
    """Have the server forget a client, with all that it has. Waits for requests of it that are under way."""
    path = os.path.join(_nfsd.ROOT, "clients", number, "ctl")
    try:
        # Not created: one that has left has no such file.
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"expire\n")
        finally:
            os.close(fd)
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc


def carry_out(verdict: Verdict, config: Config, log: t.Callable[[str], None]) -> bool:
    """Expire a client, if it is still silent; what became of it is said."""
    try:
        if not still_silent(verdict, config):
            log(f"{verdict.client.address} was heard of again, and is not expired")
            return False
        log(f"{verdict}: it is expired")
        expire(verdict.client.number)
    except (StakingError, _nfsd.NfsdError) as exc:
        log(f"{verdict.client.address} cannot be expired, so the lease decides: {exc}")
        return False
    log(f"{verdict.client.address} was expired; whatever it still writes is refused")
    return True
