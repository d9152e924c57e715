"""Whom the watcher of silent NFS clients expires, and whom not, on trees as the kernel's NFS server makes them."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _expiry, _nfsd

ROOT = Path(__file__).parents[4]
PROGRAM = ROOT / "roles/nfs_server/files/eth2xk8s-expire.py"
ACTIVE, OTHER = "172.20.10.11", "172.20.10.12"
HOLDS, OPEN = frozenset({"validator1"}), frozenset({"validator1"})
NOTHING: frozenset[str] = frozenset()


def client(address: str, silent: int | None, holds: t.Any = NOTHING, opens: t.Any = NOTHING) -> _expiry.Client:
    number = f"{address}-{bool(holds)}"
    return _expiry.Client(number, address, silent, frozenset(holds), frozenset(opens))


def waits(silent: int | None = 0, name: str = "validator1", address: str = OTHER) -> _expiry.Client:
    return client(address, silent, opens={name})


class Watch:
    """A judge, and the time that passes between its looks."""

    def __init__(self, expire_after: int = 5) -> None:
        self.judge = _expiry.Judge(expire_after)
        self.now = 1000.0
        self.said: list[str] = []

    def look(self, clients: t.Sequence[_expiry.Client], blind: str | None = None) -> list[str]:
        self.now += 0.5
        found = self.judge.look(self.now, blind, clients)
        self.said += self.judge.notes
        return [verdict.client.address for verdict in found]

    def long(self, seconds: float, clients: t.Sequence[_expiry.Client], blind: str | None = None) -> list[str]:
        return [one for _ in range(int(seconds * 2)) for one in self.look(clients, blind)]


def test_a_silent_holder_is_expired_once_and_another_takes_over() -> None:
    watch = Watch()
    assert watch.long(20, [client(ACTIVE, 1, HOLDS), waits()]) == []
    assert watch.look([client(ACTIVE, 4, HOLDS), waits()]) == []
    assert watch.look([client(ACTIVE, 5, HOLDS), waits()]) == [ACTIVE]
    assert watch.long(10, [client(ACTIVE, 9, HOLDS), waits()]) == [], "the server may still be at it"


@pytest.mark.parametrize("expire_after", [3, 5, 14])
def test_the_threshold_is_what_was_asked_for(expire_after: int) -> None:
    watch = Watch(expire_after)
    watch.long(20, [client(ACTIVE, 0, HOLDS), waits()])
    assert watch.look([client(ACTIVE, expire_after - 1, HOLDS), waits()]) == []
    assert watch.look([client(ACTIVE, expire_after, HOLDS), waits()]) == [ACTIVE]


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([], id="alone"),
        pytest.param([waits(3)], id="the-other-is-silent-too"),
        pytest.param([waits(None)], id="not-known-of-the-other"),
        pytest.param([client(OTHER, 0)], id="the-other-wants-nothing"),
        pytest.param([waits(0, "validator2")], id="it-waits-for-another-lock"),
        pytest.param([client(ACTIVE, 0, opens=OPEN)], id="another-mount-of-the-same-node"),
    ],
)
def test_nobody_is_expired_for_nothing(others: list[_expiry.Client]) -> None:
    """A server that is cut off hears of nobody; and without a standby a hand-over only costs."""
    watch = Watch()
    assert watch.long(60, [client(ACTIVE, 50, HOLDS), *others]) == []
    assert [words for words in watch.said if "no other node waits" in words] and len(watch.said) == 1


@pytest.mark.parametrize("holds", [NOTHING, frozenset()])
def test_a_node_without_a_lock_is_left_alone(holds: frozenset[str]) -> None:
    """A beacon node writes once a slot, and a pod that waits has nothing to lose."""
    watch = Watch()
    assert watch.long(60, [client(ACTIVE, 50, holds, OPEN), waits()]) == [] and watch.said == []


def test_nothing_in_the_grace_period_nor_right_after_it() -> None:
    watch = Watch()
    watch.long(20, [client(ACTIVE, 0, HOLDS), waits()])
    assert watch.long(30, [], "grace period") == []
    assert watch.long(4.5, [client(ACTIVE, 30, HOLDS), waits()]) == [], "nobody was seen to be silent yet"
    assert watch.long(1, [client(ACTIVE, 31, HOLDS), waits()]) == [ACTIVE]
    assert [words for words in watch.said if "grace period" in words] == ["no client is expired: grace period"]


def test_a_server_that_stood_still_watches_anew() -> None:
    """Frozen, or asleep: when it wakes, everybody seems silent."""
    watch = Watch()
    watch.long(20, [client(ACTIVE, 0, HOLDS), waits()])
    watch.now += 40
    assert watch.look([client(ACTIVE, 40, HOLDS), waits()]) == []
    assert watch.long(4, [client(ACTIVE, 41, HOLDS), waits()]) == []
    assert any("stood still" in words for words in watch.said)
    assert watch.long(1, [client(ACTIVE, 45, HOLDS), waits()]) == [ACTIVE]


def test_nobody_is_judged_before_it_was_watched() -> None:
    watch = Watch()
    assert watch.long(4.5, [client(ACTIVE, 60, HOLDS), waits()]) == []


def test_two_slow_nodes_do_not_take_turns() -> None:
    watch = Watch()
    watch.long(20, [client(ACTIVE, 0, HOLDS), waits()])
    assert watch.look([client(ACTIVE, 5, HOLDS), waits()]) == [ACTIVE]
    other = [client(OTHER, 6, HOLDS), waits(address=ACTIVE)]
    assert watch.look(other) == [OTHER]
    assert watch.long(50, [client(ACTIVE, 6, HOLDS), waits()]) == []
    assert any("the lease decides" in words for words in watch.said)
    assert watch.long(15, [client(ACTIVE, 6, HOLDS), waits()]) == [ACTIVE]


def test_one_that_was_heard_of_again_may_be_judged_again() -> None:
    watch = Watch()
    watch.long(20, [client(ACTIVE, 0, HOLDS), waits()])
    assert watch.look([client(ACTIVE, 5, HOLDS), waits()]) == [ACTIVE]
    watch.judge.forgive(ACTIVE)
    assert watch.look([client(ACTIVE, 5, HOLDS), waits()]) == [ACTIVE]


def test_a_kernel_that_does_not_say_is_said_once() -> None:
    watch = Watch()
    assert watch.long(30, [client(ACTIVE, None, HOLDS), waits()]) == []
    assert len(watch.said) == 1 and "Linux 5.19" in watch.said[0]


def test_a_verdict_says_who_and_why() -> None:
    words = str(_expiry.Verdict(client(ACTIVE, 6, {"validator1", "validator2"}), (OTHER,)))
    assert ACTIVE in words and "6 s" in words and "validator1, validator2" in words and f"{OTHER} waits for" in words


# ---- What the kernel shows.


class Tree:
    """/proc/fs/nfsd, made up."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root / "nfsd"
        (self.root / "clients").mkdir(parents=True)
        (self.root / "threads").write_text("8\n")
        (self.root / "v4_end_grace").write_text("Y\n")
        self.lock = root / ".validator-lock"
        self.lock.write_text("")
        monkeypatch.setattr(_nfsd, "ROOT", str(self.root))
        self.locks = {"validator1": str(self.lock)}

    def inode(self) -> str:
        now = self.lock.stat()
        return f"{os.major(now.st_dev):02x}:{os.minor(now.st_dev):02x}:{now.st_ino}"

    def client(self, number: int, address: str, silent: int | None, *states: str, name: str | None = None) -> Path:
        folder = self.root / "clients" / str(number)
        folder.mkdir(exist_ok=True)
        seconds = "" if silent is None else f"seconds from last renew: {silent}\n"
        (folder / "info").write_text(
            f'clientid: 0x1\naddress: "{address}:871"\nstatus: confirmed\n{seconds}name: "Linux NFSv4.2 node"\n'
        )
        file = name if name is not None else str(self.lock)
        (folder / "states").write_text(
            "".join(
                f'- 0x{i}: {{ type: {kind}, superblock: "{self.inode()}", filename: "{file}", owner: "x" }}\n'
                for i, kind in enumerate(states)
            )
        )
        (folder / "ctl").write_text("")
        return folder

    def ctl(self, number: int) -> str:
        return (self.root / "clients" / str(number) / "ctl").read_text()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", [None, "/", "validator1/.validator-lock (deleted)"])
def test_clients_are_read_as_the_kernel_shows_them(tree: Tree, name: str | None) -> None:
    """After a restart the server knows no names: the inode counts."""
    tree.client(3, ACTIVE, 7, "open", "lock", name=name)
    tree.client(4, OTHER, 0, "open", name=name)
    tree.client(5, "172.20.10.13", None)
    found = _expiry.read_clients(tree.locks)
    assert found == [
        _expiry.Client("3", ACTIVE, 7, HOLDS, OPEN),
        _expiry.Client("4", OTHER, 0, NOTHING, OPEN),
        _expiry.Client("5", "172.20.10.13", None, NOTHING, NOTHING),
    ]


def test_a_client_that_leaves_while_it_is_read_is_no_error(tree: Tree) -> None:
    folder = tree.client(3, ACTIVE, 7, "lock")
    (folder / "info").unlink()
    assert _expiry.read_clients(tree.locks) == []


def test_what_is_not_understood_is_an_error(tree: Tree) -> None:
    (tree.client(3, ACTIVE, 7) / "states").write_text("lock of somebody\n")
    with pytest.raises(UnreadableError, match="not understood"):
        _expiry.read_clients(tree.locks)


CONFIG = _expiry.Config({}, 5)


def carried_out(tree: Tree, silent: int = 7) -> tuple[bool, str]:
    said: list[str] = []
    verdict = _expiry.Verdict(_expiry.Client("3", ACTIVE, silent, HOLDS, OPEN), (OTHER,))
    done = _expiry.carry_out(verdict, CONFIG._replace(locks=tree.locks), said.append)
    return done, "; ".join(said)


def test_a_client_is_expired_by_its_ctl(tree: Tree) -> None:
    tree.client(3, ACTIVE, 7, "lock")
    done, said = carried_out(tree)
    assert (done, tree.ctl(3)) == (True, "expire\n")
    assert "is expired" in said and "was expired" in said


def test_one_that_was_heard_of_meanwhile_is_not_expired(tree: Tree) -> None:
    tree.client(3, ACTIVE, 0, "lock")
    done, said = carried_out(tree)
    assert (done, tree.ctl(3), "heard of again" in said) == (False, "", True)


def test_another_client_with_the_number_is_not_expired(tree: Tree) -> None:
    tree.client(3, OTHER, 9, "lock")
    assert carried_out(tree)[0] is False and tree.ctl(3) == ""


def test_one_that_has_let_go_meanwhile_is_not_expired(tree: Tree) -> None:
    tree.client(3, ACTIVE, 9, "open")
    assert carried_out(tree)[0] is False and tree.ctl(3) == ""


@pytest.mark.parametrize(("file", "text"), [("v4_end_grace", "N\n"), ("threads", "0\n")])
def test_nobody_is_expired_when_the_server_has_just_restarted(tree: Tree, file: str, text: str) -> None:
    tree.client(3, ACTIVE, 7, "lock")
    (tree.root / file).write_text(text)
    assert carried_out(tree)[0] is False and tree.ctl(3) == ""


def test_a_client_that_has_left_is_said_and_nothing_is_made(tree: Tree) -> None:
    done, _ = carried_out(tree)
    assert done is False and not (tree.root / "clients/3").exists()
    (tree.client(3, ACTIVE, 7, "lock") / "ctl").unlink()
    done, said = carried_out(tree)
    assert done is False and "the lease decides" in said and not (tree.root / "clients/3/ctl").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"locks": {}, "expire_after": 2}',
        '{"locks": {}, "expire_after": "5"}',
        '{"locks": {}, "expire_after": true}',
        "[]",
    ],
)
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UnreadableError):
        _expiry.read_config(str(tmp_path / "config.json"))


def test_the_program_expires_a_client_that_falls_silent(tree: Tree, tmp_path: Path) -> None:
    """The whole of it: it sees the time grow, and what it does is said."""
    spec = importlib.util.spec_from_file_location("eth2xk8s_expire", PROGRAM)
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = program
    spec.loader.exec_module(program)
    said: list[str] = []
    program.log = said.append
    watcher = program.Watcher(_expiry.Config(tree.locks, 3))
    tree.client(4, OTHER, 0, "open")
    tree.client(3, ACTIVE, 0, "open", "lock")
    begin = time.monotonic()
    while time.monotonic() < begin + 20 and not tree.ctl(3):
        info = tree.root / "clients/3/info"
        info.write_text(f'address: "{ACTIVE}:871"\nseconds from last renew: {int(time.monotonic() - begin)}\n')
        watcher.look()
        time.sleep(0.25)
    assert tree.ctl(3) == "expire\n"
    assert 2.5 < time.monotonic() - begin < 10
    assert any("it is expired" in words for words in said)
