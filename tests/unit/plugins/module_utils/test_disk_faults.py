"""A disk that fails at one place, in one way: nothing that reads keys may then say less and call it success."""

from __future__ import annotations

import builtins
import errno
import json
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _disks, _importer
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import Census, Entry, WalletEntry
from ansible_collections.eth2xk8s.staking.plugins.modules import prysm_wallet_info
from tests.unit.plugins.keys_support import (
    KEYSTORE_PASSWORD,
    PUBKEYS,
    WALLET_PASSWORD,
    heavy,
    keystore,
    run_module,
    write_database,
    write_keystores,
)
from tests.unit.plugins.module_utils.test_uniqueness import bury, make_wallet, signed

K = PUBKEYS
CALLS = ("stat", "lstat", "open", "scandir", "listdir", "readlink")
#: For the wrapper itself.
READLINK = os.readlink
ERRORS = (errno.EIO, errno.EACCES, errno.ESTALE) if heavy() else (errno.EIO,)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole site: two clients, an old wallet, a stray database, another client's store, links, keystores."""
    root = tmp_path_factory.mktemp("site")
    data = root / "data"
    bury(make_wallet(data / "wallet-a", 0, manifest=True), 5)
    left = make_wallet(data / "wallet-b", 1) / "direct/accounts"
    (left / _wallet.PREVIOUS).write_bytes((left / _wallet.FILE).read_bytes())
    write_database(data / "a", signed(0))
    write_database(data / "b", signed(1))
    (data / "a" / "validator.db.before").write_bytes((data / "a" / "validator.db").read_bytes())
    write_database(data / "old", signed(2))
    (data / "old" / "validator.db").rename(data / "old" / "renamed")
    make_wallet(data / "spare" / "wallet", 3, manifest=True)
    validators = data / "lighthouse" / "validators"
    (validators / K[4]).mkdir(parents=True)
    (validators / K[4] / "voting-keystore.json").write_text(json.dumps(keystore(4)))
    (validators / "validator_definitions.yml").write_text(f'- enabled: true\n  voting_public_key: "{K[6]}"\n')
    teku = write_keystores(data / "teku", 7)
    (teku / "keystore-m_12381_3600_7_0_0.txt").write_text(KEYSTORE_PASSWORD)
    keys = write_keystores(root / "keys", 0)
    write_keystores(keys / "more", 1)
    (data / "link").symlink_to(root / "elsewhere")
    make_wallet(root / "elsewhere", 2, manifest=True)
    (data / "pointer.json").symlink_to(keys / "keystore-m_12381_3600_0_0_0.json")
    return root


class Broken:
    """Makes one way of looking at one path fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, path: str, number: int) -> None:
        self.hits = 0

        def wrap(real: t.Any) -> t.Any:
            def broken(*args: t.Any, **kwargs: t.Any) -> t.Any:
                given = args[0] if args else "."
                if isinstance(given, (str, bytes, os.PathLike)):
                    within = kwargs.get("dir_fd")
                    base = Path.cwd() if within is None else Path(READLINK(f"/proc/self/fd/{within}"))
                    if os.path.normpath(base / os.fsdecode(given)) == path:
                        self.hits += 1
                        raise OSError(number, os.strerror(number), given)
                return real(*args, **kwargs)

            return broken

        monkeypatch.setattr(os, call, wrap(getattr(os, call)))
        if call == "open":
            monkeypatch.setattr(builtins, "open", wrap(builtins.open))


def everything(root: Path) -> list[str]:
    return [str(root), *map(str, sorted(root.rglob("*")))]


def census(root: Path) -> tuple[t.Any, set[str]]:
    """What is found, and what cannot be read, which is a refusal."""
    data = root / "data"
    found = Census()
    found.add_wallets([WalletEntry(str(data / f"wallet-{c}"), c, WALLET_PASSWORD) for c in "ab"])
    owners = [Entry(str(data / c), c) for c in "ab"]
    found.add_data_dirs(owners)
    found.add_keystores([Entry(str(root / "keys"), "a")])
    found.search(str(data), owners)
    found.settle()
    answer = {key: set(places) for key, places in found.places.items()}
    return (answer, sorted(found.conflicts)), set(map(str, found.unreadable))


def machine(root: Path) -> tuple[t.Any, set[str]]:
    found = Census()
    errors: list[UnreadableError] = []
    for path in _disks.candidates(_disks.read_mounts(), [str(root)], [], errors.append):
        found.look(path)
    return {key: set(places) for key, places in found.places.items()}, set(map(str, [*errors, *found.unreadable]))


def keystores(root: Path) -> tuple[t.Any, set[str]]:
    found = _importer.collect([str(root / "keys")])
    return ([item.pubkey for item in found.keystores], found.passed_over), set(map(str, found.problems))


def importing(root: Path) -> tuple[t.Any, set[str]]:
    """Of each wallet, what an import would find; a fault must not make it begin a new one."""
    try:
        return [
            _importer.run(
                _importer.Request(str(root / "data" / name), WALLET_PASSWORD, data_dir=str(root / "data/a")), check=True
            ).pubkeys
            for name in ("wallet-a", "wallet-b")
        ], set()
    except (StakingError, OSError) as exc:
        return None, {str(exc)}


def stones(root: Path) -> tuple[t.Any, set[str]]:
    result = run_module(prysm_wallet_info, wallet_dir=str(root / "data/wallet-a"))
    return (result.get("exists"), result.get("pubkeys"), result.get("tombstones")), {result["msg"]} if result.get(
        "failed"
    ) else set()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("ask", [census, machine, keystores, importing, stones], ids=lambda ask: ask.__name__)
def test_what_cannot_be_looked_at_is_never_absent(
    site: Path, ask: t.Callable[[Path], tuple[t.Any, set[str]]], call: str
) -> None:
    whole = ask(site)
    # A wallet without a manifest, for a machine that has no password.
    assert not whole[1] or ask is machine
    hits = 0
    for number in ERRORS:
        for path in everything(site):
            with pytest.MonkeyPatch.context() as monkeypatch:
                broken = Broken(monkeypatch, call, path, number)
                try:
                    answer = ask(site)
                except (StakingError, OSError) as exc:
                    answer = (None, {str(exc)})
            hits += broken.hits
            assert answer[1] - whole[1] or answer == whole, f"{call} of {path} fails, and less is found"
    assert hits or call not in ("stat", "open"), "the fault was never met"


def test_a_tombstone_file_that_cannot_be_looked_at_is_not_an_empty_one(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken(monkeypatch, "stat", str(site / "data/wallet-a" / manifests.TOMBSTONES), errno.EIO)
    with pytest.raises(UnreadableError, match="Input/output error"):
        manifests.read_tombstones(str(site / "data/wallet-a"))
