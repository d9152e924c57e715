# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Whether a validator client may start: what its database knows, beside all that is on record of its keys."""

from __future__ import annotations

import os
import re
import stat
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    fsync_directory,
    is_directory,
    is_file,
    is_there,
    read_file,
    reason_of,
    remove_if_there,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import (
    BEACON_DATABASE,
    BEACON_STORES,
    DATABASE,
    EXPECTED,
    HOLD,
    IDENTITY,
    TRANSACTION,
    VERSION,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import MAX_EPOCH, KeySummary, Marks
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks import lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import (
    BLOCKS,
    EPOCHS,
    ClientState,
    Key,
    Record,
    join,
    join_keys,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import Version, VersionError

#: Releases that changed the layout of validator.db.
SCHEMA_CHANGES = ("1.1.0", "1.3.0")

#: How the history watcher begins a hold; whatever begins otherwise is not its.
HOLD_BEGINS = "history:"

_NOTE_LIMIT = 4096
_TRANSACTION = re.compile(r"[0-9]{1,20}\n?\Z")
_VERSION = re.compile(r"([0-9]{1,4}) (\S{1,100})\n?\Z")
_IDENTITY = re.compile(r"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\n?\Z")

#: Prysm prunes a block that is older than this behind the next one it signs (54000 epochs; on mainnet, of 32 slots).
_PRUNED_SLOTS = 54000 * 32


# -- what a place knows -----------------------------------------------------------------------------------------------


class Known(t.NamedTuple):
    """What a database knows."""

    genesis_validators_root: str | None
    keys: dict[str, KeySummary]
    blacklisted: frozenset[str] = frozenset()
    format: str = "none"
    transaction: int | None = None
    #: What speaks against it by itself, each with the public key in front.
    findings: tuple[str, ...] = ()
    #: How many changes of layout it has seen; None where it does not tell.
    layout: int | None = None

    def faults(self, key: str) -> list[str]:
        """What it says against its own history of a key."""
        return [text[len(key) + 2 :] for text in self.findings if text.startswith(f"{key}: ")]


NOTHING = Known(None, {})


def look(path: str) -> tuple[Known, str]:
    """What the database of a data directory, or a database itself, knows; and the path that was read in the end."""
    found, place = _protection.read_any_marks(path)
    return _known(found), place


def look_in(fd: int, place: str) -> Known:
    """The same of an open validator.db, which may have lost its name since."""
    return _known(_protection.read_marks_in(fd, place))


def _known(found: _protection.Summary) -> Known:
    return Known(
        found.genesis_validators_root,
        found.keys,
        found.blacklisted,
        found.format,
        found.transaction,
        found.findings,
        found.layout,
    )


def as_record(known: Known) -> Record:
    """What a database knows, as it goes on record."""
    return Record(None, {key: _as_key(part) for key, part in known.keys.items()})


def _as_key(part: KeySummary) -> Key:
    # A database can know a highest number without the record of it, not the other way round.
    marks = part.watermarks().join(Marks(max(part.slots, default=None), None, part.last_target))
    return Key(*marks, blocks=tuple(part.slots), last=part.last_target, votes=part.targets)


def shortfall(want: Key, part: KeySummary | None) -> list[str]:
    """What a database lacks of what is on record of a key, in words.

    Records may be missing where the database forbids them all the same (its floors), or where Prysm has pruned.
    """
    if part is None:
        part = KeySummary()
    have = _as_key(part)
    short = have.watermarks().missing(want.watermarks())
    if want.last is not None and not any(text.startswith("highest target") for text in short):
        gone = want.votes & ~_votes_at(have, want.last)
        for floor in (
            -1 if part.floor_target is None else part.floor_target,
            -1 if have.last is None else have.last - EPOCHS,
        ):
            # Targets above the floor, which are the lower bits.
            above = want.last - floor
            gone &= (1 << min(above, EPOCHS)) - 1 if above > 0 else 0
        if gone:
            count = bin(gone).count("1")
            short.append(f"{_count(count, 'vote')} missing, the first for target {want.last - gone.bit_length() + 1}")
    pruned = -1 if have.slot is None else have.slot - _PRUNED_SLOTS
    lowest = part.slots[0] if len(part.slots) >= BLOCKS else -1
    floor_slot = -1 if part.floor_slot is None else part.floor_slot
    lost = [slot for slot in want.blocks if slot not in part.slots and slot > max(floor_slot, pruned, lowest)]
    if lost and not any(text.startswith("highest slot") for text in short):
        short.append(f"{_count(len(lost), 'block')} missing, the first at slot {lost[0]}")
    return short


def _votes_at(have: Key, last: int) -> int:
    """Its votes up to a target, bit 0 being that target."""
    if have.last is not None and have.last > last:
        return have.votes >> min(have.last - last, EPOCHS)
    return have.votes_until(last)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"


# -- notes beside a database ------------------------------------------------------------------------------------------


class Notes(t.NamedTuple):
    """What was noted beside a database, at each start and while it ran."""

    transaction: int | None = None
    layout: int | None = None
    version: str | None = None
    identity: str | None = None
    expected: bool = False


def _note(data_dir: str, name: str, form: t.Pattern[str], what: str) -> t.Match[str] | None:
    path = os.path.join(data_dir, name)
    if not is_there(path):
        return None
    found = form.match(read_file(path, _NOTE_LIMIT).decode("utf-8", "replace"))
    if found is None:
        raise UnreadableError(
            path, f"does not hold {what}. It was damaged: bring it back from a backup of this directory"
        )
    return found


def layout(version: str, changes: t.Iterable[str] = SCHEMA_CHANGES) -> int:
    """How often the layout of validator.db had changed up to a release."""
    try:
        base = Version.parse(version).base
        return sum(Version.parse(change).base <= base for change in changes)
    except VersionError as exc:
        raise StakingError(str(exc)) from exc


def read_transaction(data_dir: str) -> int | None:
    """The transaction number noted beside a database; None where there is none yet."""
    found = _note(data_dir, TRANSACTION, _TRANSACTION, "a transaction number")
    if found is None:
        return None
    number = int(found.group())
    if number > MAX_EPOCH:
        raise UnreadableError(os.path.join(data_dir, TRANSACTION), "does not hold a transaction number")
    return number


def read_notes(data_dir: str, changes: t.Sequence[str] = SCHEMA_CHANGES) -> Notes:
    """What lies beside a database; a note that cannot be read is an error."""
    version = _note(data_dir, VERSION, _VERSION, "a layout and a version (2 v7.1.6)")
    identity = _note(data_dir, IDENTITY, _IDENTITY, "an identity (a UUID)")
    high, text = None, None
    if version is not None:
        text = version.group(2)
        high = max(int(version.group(1)), layout(text, changes))
    return Notes(
        read_transaction(data_dir),
        high,
        text,
        identity.group(1).lower() if identity is not None else None,
        is_there(os.path.join(data_dir, EXPECTED)),
    )


def lift_hold(data_dir: str) -> bool:
    """Remove a hold that the history watcher has set; whether there was one. Any other stays."""
    path = os.path.join(data_dir, HOLD)
    found = status(path, follow=False)
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    if not read_file(path, 1 << 20).startswith(HOLD_BEGINS.encode()):
        return False
    try:
        fd = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_if_there(fd, HOLD)
            fsync_directory(fd)
        finally:
            os.close(fd)
    except OSError as exc:
        raise UnreadableError(path, f"cannot be removed: {reason_of(exc)}") from exc
    return True


def _is_a_database(path: str, there: os.stat_result | None) -> bool:
    """Whether a file of any name is a validator's database, or may be one that is damaged."""
    if there is None or not stat.S_ISREG(there.st_mode):
        return False
    return _protection.may_be_a_database(os.path.realpath(path))


def _has_gone(path: str) -> bool:
    try:
        return status(path, follow=False) is None
    except UnreadableError:
        return False


# -- every database below a directory ---------------------------------------------------------------------------------


def _excluded(path: str, root: str, exclude: t.Iterable[str]) -> bool:
    for entry in exclude:
        place = os.path.normpath(os.path.join(root, entry))
        if path == place or path.startswith(place.rstrip("/") + "/"):
            return True
    return False


def databases(
    root: str, exclude: t.Sequence[str] = (), fail: t.Callable[[UnreadableError], None] | None = None
) -> t.Iterator[str]:
    """Every validator's database and every minimal one below a directory, each once, whatever it is called.

    What a file holds decides, except of validator.db, which must be one. A link to a file is followed. A link to a
    directory is followed for what lies in it, not deeper. What cannot be looked at goes to fail.
    """
    yield from _Search(root, exclude, fail).databases()


class _Entry(t.NamedTuple):
    """What a directory lists."""

    name: str
    link: bool
    folder: bool


class _Search:
    """A search for databases below a directory."""

    def __init__(self, root: str, exclude: t.Sequence[str], fail: t.Callable[[UnreadableError], None] | None) -> None:
        self.root = root
        self.exclude = [*exclude, *(os.path.realpath(os.path.join(root, entry)) for entry in exclude)]
        self.fail = fail
        #: Directories still to look into, and whether into those below them as well.
        self.waiting = [(os.path.realpath(root), True)]
        #: Directories and databases that were met, by device and inode.
        self.visited: set[tuple[int, int]] = set()
        self.given: set[tuple[int, int]] = set()

    def databases(self) -> t.Iterator[str]:
        while self.waiting:
            directory, deeper = self.waiting.pop()
            if not self._excluded(directory):
                yield from self._in(directory, deeper)

    def _in(self, directory: str, deeper: bool) -> t.Iterator[str]:
        """The databases of a directory; directories below it wait for their turn."""
        entries = self._entries(directory, deeper)
        of_beacon = BEACON_DATABASE in (entry.name for entry in entries)
        for entry in entries:
            path = os.path.join(directory, entry.name)
            if self._excluded(path):
                continue
            try:
                found = self._look(path, entry, deeper, of_beacon)
            except UnreadableError as exc:
                # A link in a circle leads nowhere, unless it claims to be a database; what has just gone is not there.
                if not _has_gone(path) and (not entry.link or entry.name in (DATABASE, _protection.MINIMAL)):
                    self._complain(exc)
                continue
            if found is not None:
                yield found

    def _excluded(self, path: str) -> bool:
        return _excluded(path, self.root, self.exclude)

    def _complain(self, exc: UnreadableError) -> None:
        if self.fail is None:
            raise exc
        self.fail(exc)

    def _entries(self, directory: str, deeper: bool) -> list[_Entry]:
        """What lies in a directory, by name; nothing where it was looked into before, has gone, or cannot be read."""
        try:
            own = status(directory)
            if own is None or ((own.st_dev, own.st_ino) in self.visited and deeper):
                return []
            if deeper:
                self.visited.add((own.st_dev, own.st_ino))
            with os.scandir(directory) as entries:
                return sorted(
                    _Entry(entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in entries
                )
        except FileNotFoundError:
            pass  # It has just gone.
        except OSError as exc:
            self._complain(UnreadableError(directory, reason_of(exc)))
        except UnreadableError as exc:
            self._complain(exc)
        return []

    def _look(self, path: str, entry: _Entry, deeper: bool, of_beacon: bool) -> str | None:
        """The path of a database that was not met before; a directory that is none waits for its turn.

        of_beacon says that a beacon node's database lies in its directory: folders of that are not looked into.
        """
        there = status(path)
        if entry.name in (DATABASE, _protection.MINIMAL) or _is_a_database(path, there):
            if there is None:
                raise UnreadableError(path, "is a broken symbolic link")
            if (there.st_dev, there.st_ino) not in self.given:
                self.given.add((there.st_dev, there.st_ino))
                return os.path.realpath(path)
        elif entry.folder and deeper and not (of_beacon and entry.name in (BEACON_DATABASE, *BEACON_STORES)):
            self.waiting.append((path, True))
        elif entry.link and deeper and there is not None and stat.S_ISDIR(there.st_mode):
            self.waiting.append((os.path.realpath(path), False))
        return None


# -- the judgement ----------------------------------------------------------------------------------------------------


class Client(t.NamedTuple):
    """A validator client that is about to start, or runs."""

    name: str
    data_dir: str
    pubkeys: tuple[str, ...]
    wallet_dir: str | None = None
    #: The version of Prysm that is about to run.
    version: str | None = None


class Refusal(t.NamedTuple):
    """Why a client must not start; without a client, why none must."""

    client: str | None
    pubkey: str | None
    reason: str


class Verdict(t.NamedTuple):
    """What the databases know, and what speaks against starting."""

    refusals: list[Refusal]
    news: Record
    blacklisted: dict[str, list[str]]
    locked: dict[str, str]
    #: Databases below the data directory that are of another network.
    foreign: list[str]


class Request(t.NamedTuple):
    """What is to be judged, beside the clients."""

    genesis_validators_root: str | None = None
    stopped: bool = False
    data_root: str | None = None
    exclude: tuple[str, ...] = ()
    schema_changes: tuple[str, ...] = SCHEMA_CHANGES
    #: Clients that run, or are in the release: they have a database.
    live: tuple[str, ...] = ()
    #: Clients whose database was replaced on purpose; their history counts as ever, their numbers do not.
    replaced: tuple[str, ...] = ()
    #: The record's own path when it is not there, and the copies that are.
    lost: str | None = None
    copies: tuple[str, ...] = ()


def judge(record: Record, clients: t.Sequence[Client], request: Request = Request()) -> Verdict:  # noqa: B008
    """Compare what each client's database knows of its keys with the record. Nothing is written."""
    return _Judge(record, clients, request).verdict()


class _Seen(t.NamedTuple):
    client: Client
    known: Known
    place: str
    notes: Notes


class _Judge:
    def __init__(self, record: Record, clients: t.Sequence[Client], request: Request) -> None:
        self.record = record
        self.clients = clients
        self.request = request
        self.refusals: list[Refusal] = []
        self.blacklisted: dict[str, list[str]] = {}
        self.locked: dict[str, str] = {}
        self.foreign: list[str] = []
        self.states: dict[str, ClientState] = {}
        #: What each database knows, by the path of it; and what of it goes on record.
        self.known: dict[str, Record] = {}
        self.news: list[Record] = []
        self.places: dict[tuple[int, int], str] = {}
        self.root = request.genesis_validators_root or record.genesis_validators_root
        if record.genesis_validators_root not in (None, self.root):
            raise StakingError(
                f"the record is of network {record.genesis_validators_root}, not of {self.root}: another network needs"
                " another data directory"
            )

    def refuse(self, client: str | None, reason: str, pubkey: str | None = None) -> None:
        self.refusals.append(Refusal(client, pubkey, reason))

    def verdict(self) -> Verdict:
        self._claims()
        read = [seen for seen in (self._look(client) for client in self.clients) if seen is not None]
        if self.request.data_root is not None:
            self._others(self.request.data_root)
        # What any of these databases knows counts, also for the client that starts with another one.
        for seen in read:
            self._short(seen)
            self._notes(seen)
        self._lost()
        news = join(*self.news, Record(self.root, {}, self.states))
        if self.refusals:
            # A key is on record once it may start, or has signed.
            news = news.knowledge()
        else:
            claims = {key: Key(client=self._claim(key, c.name)) for c in self.clients for key in c.pubkeys}
            news = join(news, Record(None, claims))
        return Verdict(self.refusals, news, self.blacklisted, self.locked, self.foreign)

    def _claim(self, key: str, client: str) -> str | None:
        entry = self.record.keys.get(key)
        return client if entry is None or entry.client is None else None

    def _claims(self) -> None:
        owners: dict[str, str] = {}
        for client in self.clients:
            for key in client.pubkeys:
                entry = self.record.keys.get(key, Key())
                if owners.setdefault(key, client.name) != client.name:
                    self.refuse(client.name, f"is a key of {owners[key]} too", key)
                elif entry.client not in (None, client.name):
                    self.refuse(
                        client.name,
                        f"belongs to {entry.client}, by the site's record. Move it with playbooks/move_key.yml; or, if"
                        f" {entry.client} has no copy of it any more, name it in prysm_wallet_reassign",
                        key,
                    )

    def _same(self, path: str, name: str, what: str) -> str | None:
        """Whose this is already, by device and inode."""
        found = status(path)
        if found is None:
            return None
        other = self.places.setdefault((found.st_dev, found.st_ino), name)
        return f"{path} is the {what} of {other} too" if other != name else None

    def _look(self, client: Client) -> _Seen | None:
        try:
            twice = self._same(client.data_dir, client.name, "data directory")
            # One that is not there yet has no inode; its name must do.
            for other in self.clients:
                if other is client:
                    break
                if twice is None and os.path.realpath(other.data_dir) == os.path.realpath(client.data_dir):
                    twice = f"{client.data_dir} is the data directory of {other.name} too"
            if twice is not None:
                self.refuse(client.name, twice)
            for name in (DATABASE, _protection.MINIMAL) if twice is None else ():
                shared = self._same(os.path.join(client.data_dir, name), client.name, "database")
                if shared is not None:
                    self.refuse(client.name, shared)
            # Before the database: they rise while it runs.
            notes = read_notes(client.data_dir, self.request.schema_changes)
            try:
                known, place = look(client.data_dir)
                holder = lock_holder(place) if is_file(place) else None
            except _protection.NoDatabaseError as exc:
                known, place, holder = NOTHING, str(exc), None
        except StakingError as exc:
            self.refuse(client.name, str(exc))
            return None
        if known.format not in ("prysm", "none"):
            self.refuse(
                client.name, f"{place} is Prysm's minimal database, which is not locked: two clients can use it"
            )
            return None
        if holder is not None:
            self.locked[client.name] = holder
            if self.request.stopped:
                self.refuse(client.name, f"{place} is locked by {holder}: a client still runs")
        root = known.genesis_validators_root
        if root is not None and self.root is not None and root != self.root:
            self.refuse(client.name, f"{place} belongs to another network: {root} instead of {self.root}")
            return None
        if self.root is None:
            self.root = root
        barred = [key for key in client.pubkeys if key in known.blacklisted]
        if barred:
            self.blacklisted[client.name] = barred
        if known is not NOTHING:
            self.known[place] = as_record(known)
            self.news.append(self.known[place])
        return _Seen(client, known, place, notes)

    def _others(self, data_root: str) -> None:
        """Databases of clients that nobody declares any more, and copies."""

        def fail(exc: UnreadableError) -> None:
            self.refuse(
                None,
                f"{exc}. What it holds may be the only history of a key: make it readable, or take it away and name it"
                " in prysm_wallet_exclude if it has nothing to do with this site's keys",
            )

        for path in databases(data_root, self.request.exclude, fail):
            try:
                if self._same(path, path, "database") is not None:
                    continue
                known, place = look(path) if not is_directory(path) else (_minimal(path), path)
            except UnreadableError as exc:
                fail(exc)
                continue
            root = known.genesis_validators_root
            if root is not None and self.root is not None and root != self.root:
                self.foreign.append(place)
                continue
            self.known[place] = as_record(known)
            # What may be of another network is no reason to bar a key for good.
            if root is not None and self.root is not None:
                self.news.append(self.known[place])

    def _short(self, seen: _Seen) -> None:
        for key in seen.client.pubkeys:
            part = seen.known.keys.get(key)
            for fault in seen.known.faults(key):
                self.refuse(seen.client.name, f"its history in {seen.place} is not to be trusted: {fault}", key)
            known = {
                path: found.keys[key].knowledge()
                for path, found in self.known.items()
                if key in found.keys and path != seen.place
            }
            if key in self.record.keys:
                known["the site's record"] = self.record.keys[key].knowledge()
            short = shortfall(join_keys(list(known.values()), key), part)
            if not short:
                continue
            by = " and ".join(sorted(path for path, found in known.items() if shortfall(found, part))[:3])
            by = f" (known from {by})" if by else ""
            if seen.known.format == "none":
                self.refuse(
                    seen.client.name, f"has signed at this site, but its database is missing: {seen.place}{by}", key
                )
            elif part is None or not _as_key(part).has_signed():
                self.refuse(seen.client.name, f"has signed at this site, but {seen.place} knows nothing of it{by}", key)
            else:
                self.refuse(seen.client.name, f"has signed more than {seen.place} knows: {', '.join(short)}{by}", key)

    def _notes(self, seen: _Seen) -> None:
        """What was noted beside the database, and on record of it."""
        client, notes, known = seen.client, seen.notes, seen.known
        name, before = client.name, self.record.clients.get(client.name, ClientState())
        counted = before if name not in self.request.replaced else ClientState()
        if known.format == "none":
            had = max((n for n in (notes.transaction, counted.transaction) if n is not None), default=None)
            if had is not None or notes.expected or name in self.request.live:
                why = "it runs, or is in the release" if name in self.request.live else "it has had one"
                self.refuse(
                    name,
                    f"its database is missing ({seen.place}), but {why}. Is the data disk mounted? Put back the newest"
                    " validator.db, never an older copy",
                )
        else:
            own = known.transaction
            for where, number in ((TRANSACTION, notes.transaction), ("the site's record", counted.transaction)):
                if own is not None and number is not None and own < number:
                    self.refuse(
                        name,
                        f"{seen.place} is an older copy: it is at transaction {own}, and {where} has seen {number}. Put"
                        " back the database that was there; if this one was put in place on purpose, do it with"
                        " slashing_protection_replace, which proves that nothing is missing, and name the client in"
                        " prysm_history_replaced",
                    )
                    break
        self._layout(client, seen, counted)
        identity = self._identity(client, notes, counted)
        if client.name in self.request.replaced:
            now = ClientState(identity, known.transaction, notes.version, before.replaced)
            changed = (before.identity not in (None, identity), _is_below(now, before))
            self.states[name] = now._replace(replaced=before.replaced + any(changed))
        elif identity is not None or known.transaction is not None or notes.version is not None:
            self.states[name] = ClientState(identity, known.transaction, notes.version, before.replaced)

    def _layout(self, client: Client, found: _Seen, counted: ClientState) -> None:
        if client.version is None:
            return
        try:
            wanted = layout(client.version, self.request.schema_changes)
            notes = found.notes
            seen = [(notes.layout, notes.version, VERSION)]
            if counted.version is not None:
                seen.append(
                    (layout(counted.version, self.request.schema_changes), counted.version, "the site's record")
                )
            seen.append((found.known.layout, "of a newer layout", found.place))
        except StakingError as exc:
            self.refuse(client.name, str(exc))
            return
        for number, version, where in seen:
            if number is not None and number > wanted:
                self.refuse(
                    client.name,
                    f"its database was opened by Prysm {version} ({where}), whose layout {client.version} does not"
                    " read: it would forget what was signed since. Run that version or a newer one; to go back, use"
                    " playbooks/rollback.yml",
                )
                return

    def _identity(self, client: Client, notes: Notes, counted: ClientState) -> str | None:
        try:
            wallet = read_notes(client.wallet_dir).identity if client.wallet_dir is not None else None
        except StakingError as exc:
            self.refuse(client.name, str(exc))
            return None
        pair = [("its wallet", wallet), ("the site's record", counted.identity)]
        for where, other in pair:
            if notes.identity is not None and other is not None and notes.identity != other.lower():
                self.refuse(
                    client.name,
                    f"{os.path.join(client.data_dir, IDENTITY)} is {notes.identity}, but {where} has {other}: wallet"
                    " and database are of different clients, or this directory was made anew. Put the right one back",
                )
        return notes.identity or counted.identity

    def _lost(self) -> None:
        """Say what has probably happened when all of it is gone at once."""
        if self.request.lost is None or not self.refusals or not self.record.keys:
            return
        signed = sum(entry.has_signed() for entry in self.record.keys.values())
        self.refusals.insert(
            0,
            Refusal(
                None,
                None,
                f"{self.request.lost} is gone, but {' and '.join(self.request.copies) or 'a copy of it'} knows"
                f" {len(self.record.keys)} keys, of which {signed} have signed. Most likely the data disk is not"
                " mounted, or this server was rebuilt: mount it and run this again; or put back the newest"
                " validator.db of each client (and .history, if you have it), never an older copy. Only if no copy is"
                " left anywhere, make a new history (an EIP-3076 file) from what the chain has seen of these keys, and"
                " wait two epochs",
            ),
        )


def _is_below(now: ClientState, before: ClientState) -> bool:
    """Whether a join would bring the old numbers back."""
    if before.transaction is not None and (now.transaction is None or now.transaction < before.transaction):
        return True
    if before.version is None:
        return False
    return now.version is None or Version.parse(now.version) < Version.parse(before.version)


def _minimal(path: str) -> Known:
    history = _protection.read_minimal(path)
    return Known(history.genesis_validators_root, history.summary().keys, format=history.format)


def lost_clients(live: t.Mapping[str, t.Sequence[str]], data_dirs: t.Mapping[str, str]) -> list[str]:
    """Clients that run with keys, and whose database is not where it belongs: what speaks against going on."""
    found = []
    for client, keys in sorted(live.items()):
        if not keys or client not in data_dirs:
            continue
        try:
            _protection_place(data_dirs[client])
        except StakingError as exc:
            found.append(
                f"{client} runs with {len(keys)} key{'s' * (len(keys) > 1)}, but {exc}: most likely the data disk is"
                " not mounted, or this server was rebuilt. Mount it and run this again; or put back the newest"
                " validator.db, never an older copy"
            )
    return found


def _protection_place(data_dir: str) -> None:
    for name in (DATABASE, _protection.MINIMAL):
        if is_there(os.path.join(data_dir, name)):
            return
    raise _protection.NoDatabaseError(data_dir, f"holds no {DATABASE}")
