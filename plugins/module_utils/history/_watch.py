# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The history watcher of the machine that has the data: it notes what clients sign while they run, on another disk too.

It takes no lock on a database, writes to none, and may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    flocked,
    fsync_directory,
    is_directory,
    is_there,
    open_regular,
    parse_json,
    read_file,
    reason_of,
    remove_if_there,
    replace_file,
    status,
    write_new,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import DATABASE, REPLACING
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._judge import (
    HOLD,
    HOLD_BEGINS,
    TRANSACTION,
    Notes,
    as_record,
    look,
    look_in,
    read_notes,
    read_transaction,
    shortfall,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import (
    EMPTY,
    ClientState,
    Record,
    join,
    locked,
    read_record,
)

#: What slashing_protection_replace leaves in a data directory until it has finished.
#: How often the same must be seen before a client is held: a database may be just about to be replaced, with a proof.
STRIKES = 3
#: Seconds until a record that could not be raised is raised again.
_AGAIN = 30.0
#: Seconds without a new transaction after which a database that lost its place is let go: nothing writes to it.
_FORGOTTEN = 3600.0
_LIMIT = 1 << 20
_SHOWN = 3

Log = t.Callable[[str], None]


class Client(t.NamedTuple):
    """A validator client whose database is watched."""

    name: str
    data_dir: str
    uid: int
    gid: int

    @property
    def database(self) -> str:
        """Where its database lies."""
        return os.path.join(self.data_dir, DATABASE)


class Config(t.NamedTuple):
    """What there is to watch."""

    record: str
    witness: str
    interval: float
    clients: tuple[Client, ...]


class Finding(t.NamedTuple):
    """What is wrong with the history of a client."""

    client: Client
    reason: str


def read_config(path: str) -> Config:
    """The configuration, as the role writes it; anything else is an error."""
    document = parse_json(read_file(path, _LIMIT), path)
    try:
        clients = tuple(
            Client(str(item["name"]), str(item["data_dir"]), int(item["uid"]), int(item["gid"]))
            for item in document["clients"]
        )
        config = Config(str(document["record"]), str(document["witness"]), float(document["interval"]), clients)
    except (KeyError, TypeError, ValueError) as exc:
        raise UnreadableError(path, f"is not the configuration of the history watcher: {exc!r}") from exc
    places = [config.record, config.witness, *(client.data_dir for client in clients)]
    if not all(os.path.isabs(place) for place in places) or not 1 <= config.interval <= 86400:
        raise UnreadableError(path, "is not the configuration of the history watcher: a path or the interval is wrong")
    return config


# -- transaction numbers ----------------------------------------------------------------------------------------------


def _write_note(client: Client, folder: int, number: int) -> None:
    replace_file(folder, TRANSACTION, b"%d\n" % number, 0o600, client.uid, client.gid)


def _is_noted(client: Client, number: int) -> bool:
    """Whether the note says no more than the database: not while slashing_protection_replace is at work."""
    return (read_transaction(client.data_dir) or 0) <= number


def _inode(path: str) -> tuple[int, int] | None:
    found = status(path)
    return None if found is None else (found.st_dev, found.st_ino)


def is_being_replaced(client: Client) -> bool:
    """Whether slashing_protection_replace is at work there, or was cut off: it goes on with its next run."""
    return is_there(os.path.join(client.data_dir, REPLACING))


@contextlib.contextmanager
def _numbers(client: Client) -> t.Iterator[int | None]:
    """Its directory, open, to change the number there; None while another process does that."""
    folder = os.open(client.data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder if flocked(folder) else None
    finally:
        os.close(folder)


def note(client: Client, known: int | None = None) -> int | None:
    """Note the database's transaction number when it rose; the number, or None without a database.

    Raises when it is below what was noted, or, where nothing was noted yet, what is known of it elsewhere. Whoever
    replaces a database has a lock on its directory until the number of the new one is noted.
    """
    if _inode(client.database) is None:
        return None
    try:
        with _numbers(client) as folder:
            return _boltdb.transaction(client.database) if folder is None else _note(client, folder, known)
    except OSError as exc:
        raise UnreadableError(client.data_dir, f"its transaction number cannot be noted: {reason_of(exc)}") from exc


def _note(client: Client, folder: int, known: int | None) -> int:
    noted = read_transaction(client.data_dir)
    for _attempt in range(5):
        before = _inode(client.database)
        number = _boltdb.transaction(client.database)
        if noted is not None and number == noted:
            return number
        least = noted if noted is not None else known
        if least is not None and number < least:
            if is_being_replaced(client):
                return number
            raise StakingError(
                f"{client.database} is an older copy: it is at transaction {number}, and {least} was there before"
            )
        _write_note(client, folder, number)
        if _inode(client.database) == before:
            return number
        # Replaced meanwhile by hand, and what was noted was the old one's: that of the new one counts.
        noted = known = None
    return number


# -- what is lost -----------------------------------------------------------------------------------------------------


class Survey(t.NamedTuple):
    """One look at every client."""

    findings: list[Finding]
    news: Record


def survey(clients: t.Sequence[Client], known: Record) -> Survey:
    """Compare each client's database with what is on record of it. A directory that is not there is not looked into."""
    findings: list[Finding] = []
    news = EMPTY
    for client in clients:
        try:
            if not is_directory(client.data_dir):
                if _has_signed(client, known):
                    findings.append(Finding(client, f"{client.data_dir} is not there, but its keys have signed"))
                continue
            notes = read_notes(client.data_dir)
            reasons, found = _compare(client, notes, known)
        except StakingError as exc:
            findings.append(Finding(client, str(exc)))
            continue
        except OSError as exc:
            findings.append(Finding(client, f"{client.data_dir}: {reason_of(exc)}"))
            continue
        findings += [Finding(client, reason) for reason in reasons]
        if found is not None:
            # What it has signed counts, whatever else is wrong with it; its numbers do not.
            news = join(news, found if not reasons else found.knowledge())
    return Survey(findings, news)


def _has_signed(client: Client, known: Record) -> bool:
    return any(entry.client == client.name and entry.has_signed() for entry in known.keys.values())


def _compare(client: Client, notes: Notes, known: Record) -> tuple[list[str], Record | None]:
    state = known.clients.get(client.name, ClientState())
    try:
        seen, place = look(client.data_dir)
    except _protection.NoDatabaseError as exc:
        had = notes.transaction is not None or state.transaction is not None or notes.expected
        gone = [f"its database is gone: {exc}"] if had or _has_signed(client, known) else []
        return gone, None
    if seen.format != "prysm":
        return [f"{place} is Prysm's minimal database, which is not locked"], None
    root = seen.genesis_validators_root
    if None not in (root, known.genesis_validators_root) and root != known.genesis_validators_root:
        return [f"{place} belongs to another network: {root} instead of {known.genesis_validators_root}"], None
    reasons = []
    # A database that was replaced on purpose has a note of its own, which was lowered with it.
    noted = notes.transaction if notes.transaction is not None else state.transaction
    older = noted is not None and seen.transaction is not None and seen.transaction < noted
    if older and not is_being_replaced(client):
        reasons.append(
            f"{place} is an older copy: it is at transaction {seen.transaction}, and {noted} was there before"
        )
    for key, entry in known.keys.items():
        if entry.client == client.name:
            short = [*seen.faults(key), *shortfall(entry.knowledge(), seen.keys.get(key))]
            if short:
                reasons.append(f"{key} has signed more than {place} knows: {', '.join(short)}")
    replaced = state.transaction is not None and seen.transaction is not None and seen.transaction < state.transaction
    own = ClientState(notes.identity or state.identity, seen.transaction, notes.version, state.replaced)
    clients = {} if replaced or state.identity not in (None, own.identity) else {client.name: own}
    return reasons, join(as_record(seen), Record(root, {}, clients))


# -- holds ------------------------------------------------------------------------------------------------------------


def hold(client: Client, reasons: t.Sequence[str], now: float | None = None) -> bool:
    """Keep a client from starting; False when it is held already, by whatever it may be."""
    path = os.path.join(client.data_dir, HOLD)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    text = (
        f"{HOLD_BEGINS} {'; '.join(reasons[:_SHOWN])}{more}. Mount the data disk, or put back the newest validator.db,"
        f" never an older copy; then run site.yml. (history watcher, {when})\n"
    )
    temporary = f".{HOLD}.history"
    try:
        fd = os.open(client.data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if is_there(path):
                return False
            remove_if_there(fd, temporary)
            write_new(fd, temporary, text.encode("utf-8", "replace"), 0o600, client.uid, client.gid)
            try:
                # Not a rename: a hold that another has set meanwhile stays.
                os.link(temporary, HOLD, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                return False
            finally:
                remove_if_there(fd, temporary)
            fsync_directory(fd)
        finally:
            os.close(fd)
    except OSError as exc:
        raise UnreadableError(path, f"cannot be written: {reason_of(exc)}") from exc
    return True


def hold_all(findings: t.Sequence[Finding], log: Log) -> None:
    """Hold every client that something is wrong with, and say so."""
    for client in dict.fromkeys(finding.client for finding in findings):
        reasons = [finding.reason for finding in findings if finding.client == client]
        log(f"{client.name}: {'; '.join(reasons[:_SHOWN])}")
        try:
            if not is_directory(client.data_dir):
                log(f"{client.name}: no hold can be written: {client.data_dir} is not there")
            elif hold(client, reasons):
                log(f"{client.name}: held by {os.path.join(client.data_dir, HOLD)}: it will not start")
        except StakingError as exc:
            log(f"{client.name}: no hold can be written: {exc}")


# -- before the NFS server starts -------------------------------------------------------------------------------------


def check(config: Config, log: Log) -> None:
    """Hold every client whose database falls short of what is known of it, on this disk or on the other."""
    everywhere = [client for client in config.clients if _is_directory_or_odd(client)]
    try:
        witness = read_record(config.witness)
    except StakingError as exc:
        hold_all([Finding(client, f"what it has signed is not known: {exc}") for client in everywhere], log)
        return
    known = witness
    try:
        if not is_there(config.record) and witness.keys:
            log(f"{config.record} is gone, but {config.witness} knows {len(witness.keys)} keys: is the disk mounted?")
        known = join(witness, read_record(config.record))
    except StakingError as exc:
        # It says more, if anything; without it the witness still counts.
        log(f"{config.record} is left out: {exc}")
    found = survey(config.clients, known)
    hold_all(found.findings, log)


def _is_directory_or_odd(client: Client) -> bool:
    try:
        return is_directory(client.data_dir)
    except StakingError:
        return True


# -- below a running client -------------------------------------------------------------------------------------------


class Below:
    """The database that a running client goes on with where another was put in its place.

    What is signed then is in no file that has a name. It is read through the file that was opened before.
    """

    def __init__(self, client: Client, fd: int, transaction: int | None, now: float) -> None:
        self.client = client
        self.fd = fd
        self.transaction = transaction
        self.changed = now
        #: Whether all that it knew when it lost its place is on record.
        self.recorded = False

    @property
    def place(self) -> str:
        """What it is called in messages."""
        return f"what {self.client.database} was before another took its place"

    def news(self) -> tuple[int, Record] | None:
        """Its newest transaction, and what it knows; None where nothing was written since."""
        number = _boltdb.transaction_in(self.fd, self.place)
        return None if number == self.transaction else (number, self.knows())

    def knows(self) -> Record:
        """All that it knows by now."""
        return as_record(look_in(self.fd, self.place)).knowledge()

    def seen(self, number: int, now: float) -> None:
        """Its news are on record: note the number, by which what lies in its place is the older one."""
        noted, self.transaction, self.changed = self.transaction, number, now
        with _numbers(self.client) as folder:
            # Another note is that of a database that was put there with a proof; whoever does that has the lock.
            if (
                folder is not None
                and read_transaction(self.client.data_dir) == noted
                and not is_being_replaced(self.client)
            ):
                _write_note(self.client, folder, number)


# -- while clients run ------------------------------------------------------------------------------------------------


class Watcher:
    """Notes transaction numbers at each tick, and raises the record every interval in which something was written."""

    def __init__(self, config: Config, log: Log, clock: t.Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.log = log
        self.clock = clock
        self.numbers: dict[str, int | None] = {}
        #: The last that was read of each; one that is gone for a while is still the one before.
        self.last: dict[str, int] = {}
        self.raised: dict[str, int | None] | None = None
        #: What is on record of each client's transactions.
        self.known: dict[str, int | None] = {}
        self.due = clock()
        #: Each client's database, open, and those that have lost their place to another.
        self.open: dict[str, int] = {}
        self.below: list[Below] = []
        self._strikes: dict[str, int] = {}
        self._said: dict[str, str] = {}

    def tick(self) -> None:
        """To be called every two seconds."""
        findings = []
        for client in self.config.clients:
            self._keep_open(client)
        self._raise_below()
        for client in self.config.clients:
            try:
                now = self.numbers[client.name] = note(client, self.known.get(client.name))
                if now is None:
                    continue  # the guard starts nothing without it, and it may come back
                if now < self.last.get(client.name, now) and _is_noted(client, now):
                    # Replaced, together with its note: by the playbooks, or by a whole directory from a backup.
                    self.raised, self.due = None, self.clock()
                self.last[client.name] = now
            except StakingError as exc:
                findings.append(Finding(client, str(exc)))
        self._judge(findings, "tick")
        if self.clock() < self.due:
            return
        if self.numbers != self.raised or self._strikes.get("survey"):
            self.raise_all()
        else:
            self.due = self.clock() + self.config.interval

    def _keep_open(self, client: Client) -> None:
        """The database of a client stays readable, whatever is put in its place."""
        try:
            there = _inode(client.database)
            fd = self.open.get(client.name)
            if fd is not None:
                seen = os.fstat(fd)
                if (seen.st_dev, seen.st_ino) == there:
                    return
                self.below.append(Below(client, self.open.pop(client.name), self.last.get(client.name), self.clock()))
            if there is not None:
                self.open[client.name] = open_regular(client.database)
        except (StakingError, OSError):
            return  # the rest of the tick says what is wrong with it

    def _raise_below(self) -> None:
        """Put on record what clients sign with databases that have lost their place."""
        for one in list(self.below):
            kind = f"below {one.fd}"
            try:
                if not one.recorded:
                    # Up to a whole interval of it is in no other place, and the next one may be a copy from before.
                    self._put_on_record(one.knows())
                    one.recorded = True
                news = one.news()
                if news is not None:
                    self._put_on_record(news[1])
                    one.seen(news[0], self.clock())
                    self._say(
                        kind,
                        f"{one.client.name} signs with {one.place}: it is on record, and what lies there now lacks it. "
                        f"Stop {one.client.name}, then run site.yml",
                    )
            except (StakingError, OSError) as exc:
                self._say(kind, f"{one.client.name}: {exc}")
            if self.clock() - one.changed > _FORGOTTEN:
                self._said.pop(kind, None)
                self.below.remove(one)
                os.close(one.fd)

    def start(self) -> None:
        """To be called once, before the first tick."""
        try:
            self._remember(join(read_record(self.config.record), read_record(self.config.witness)))
        except StakingError as exc:
            self._say("record", str(exc))

    def _remember(self, known: Record) -> None:
        self.known = {name: state.transaction for name, state in known.clients.items()}

    def _put_on_record(self, news: Record) -> None:
        with locked(self.config.record, [self.config.witness], seconds=5, make=False) as copies:
            # Where the disk with the record is not mounted, a new one would only be in the way.
            copies.write(join(*copies.found.values(), news), make=copies.primary is not None)

    def raise_all(self) -> None:
        """Put on record what every client has signed by now, on both disks."""
        numbers = dict(self.numbers)
        self.due = self.clock() + self.config.interval
        try:
            # Before the databases: whatever is on record of a running client by then, it has signed.
            known = join(read_record(self.config.record), read_record(self.config.witness))
            found = survey(self.config.clients, known)
            self._put_on_record(found.news)
        except StakingError as exc:
            self._say("record", str(exc))
            self.due = self.clock() + min(_AGAIN, self.config.interval)
            return
        self._said.pop("record", None)
        self._remember(known)
        self.raised = numbers
        self._judge(found.findings, "survey")
        if found.findings and self._strikes.get("survey", 0) < STRIKES:
            # Seen again before it counts.
            self.due = self.clock()

    def _judge(self, findings: t.Sequence[Finding], kind: str) -> None:
        if not findings:
            self._strikes[kind] = 0
            self._said.pop(kind, None)
            return
        self._strikes[kind] = self._strikes.get(kind, 0) + 1
        if self._strikes[kind] >= STRIKES:
            # Once; a hold that was taken away while nothing has changed is the operator's will.
            words = "; ".join(f"{finding.client.name}: {finding.reason}" for finding in findings)
            if self._said.get(kind) != words:
                self._said[kind] = words
                hold_all(findings, self.log)

    def _say(self, kind: str, words: str) -> None:
        if self._said.get(kind) != words:
            self._said[kind] = words
            self.log(words)
