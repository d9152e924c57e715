"""What several tests of the key modules need: cheap keystores, a writer of bbolt databases, real Prysm's files."""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import hashlib
import io
import json
import lzma
import os
import struct
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore

FIXTURES = Path(__file__).parents[2] / "fixtures"
VERSIONS = ["v1.2.2", "v1.3.4", "v2.1.4", "v4.2.1", "v5.3.3", "v6.1.4", "v7.1.6"]
FIXTURE_KEYS = [
    ("0x" + item["pubkey"], bytes.fromhex(item["secret"]))
    for item in json.loads((FIXTURES / "prysm/keys.json").read_text(encoding="ascii"))
]
KEYSTORE_PASSWORD = "Fixture-pass-1!"
WALLET_PASSWORD = "Wallet-Fixture-pass-1!"
ROOT_A = "0x" + "aa" * 32
ROOT_B = "0x" + "bb" * 32


def secret(number: int) -> bytes:
    """A secret key that belongs to nobody."""
    return (int.from_bytes(hashlib.sha256(b"test key %d" % number).digest(), "big") % _bls.R).to_bytes(32, "big")


def pubkey(number: int) -> str:
    return "0x" + _bls.public_key(secret(number)).hex()


SECRETS = [secret(i) for i in range(8)]
PUBKEYS = ["0x" + raw.hex() for raw in _bls.public_keys(SECRETS)]


def keystore(number: int, password: str = KEYSTORE_PASSWORD, **changes: t.Any) -> dict[str, t.Any]:
    """A keystore that costs next to nothing to open."""
    kdf = _keystore.new_kdf("scrypt", 16) if number % 2 else _keystore.new_kdf("pbkdf2", 2)
    document = {
        "crypto": _keystore.encrypt(secret(number), _keystore.password_bytes(password), kdf),
        "description": "",
        "pubkey": (PUBKEYS[number] if number < len(PUBKEYS) else pubkey(number))[2:],
        "path": f"m/12381/3600/{number}/0/0",
        "uuid": "98672644-7618-45f7-86e2-5cea5f774894",
        "version": 4,
    }
    document.update(changes)
    return document


def write_keystores(directory: Path, *numbers: int, password: str = KEYSTORE_PASSWORD) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = directory / f"keystore-m_12381_3600_{number}_0_0.json"
        path.write_text(json.dumps(keystore(number, password)), encoding="ascii")
    return directory


def unpack(name: str, to: Path) -> Path:
    """A database that real Prysm wrote; only its used pages, so that it is small."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(FIXTURES / name) as packed:
        to.write_bytes(packed.read())
    return to


# -- a writer of bbolt databases --------------------------------------------------------------------------------------

Tree = t.Mapping[bytes, t.Union[bytes, "Tree"]]
PAGE = 4096


class BoltWriter:
    """Writes nested buckets as bbolt would: inline where they are small, on pages and branches where not."""

    def __init__(self, txid: int = 7, fill: int = PAGE - 200) -> None:
        self.pages: list[bytes] = [b"", b"", b""]
        self.txid = txid
        self.fill = fill

    def dump(self, tree: Tree) -> bytes:
        root = self.bucket(tree)
        freelist = 2
        self.pages[2] = self.page(2, 0x10, 0, b"")
        for slot in (0, 1):
            txid = self.txid - slot
            body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, PAGE, 0, root, 0, freelist, len(self.pages), txid)
            meta = struct.pack("<QHHI", slot, 0x04, 0, 0) + body + struct.pack("<Q", _boltdb._fnv1a(body))
            self.pages[slot] = meta.ljust(PAGE, b"\0")
        # Pages that run over take several numbers; the fillers behind them are empty.
        return b"".join(self.pages)

    def page(self, number: int, flags: int, count: int, content: bytes) -> bytes:
        size = 16 + len(content)
        overflow = max(0, -(-size // PAGE) - 1)
        return (struct.pack("<QHHI", number, flags, count, overflow) + content).ljust((overflow + 1) * PAGE, b"\0")

    def add(self, flags: int, count: int, content: bytes) -> int:
        number = len(self.pages)
        page = self.page(number, flags, count, content)
        self.pages.append(page)
        self.pages.extend(b"" for _ in range(len(page) // PAGE - 1))
        return number

    def elements(self, items: list[tuple[int, bytes, bytes]]) -> bytes:
        heads, data = b"", b""
        for i, (flags, key, value) in enumerate(items):
            pos = (len(items) - i) * 16 + len(data)
            heads += struct.pack("<IIII", flags, pos, len(key), len(value))
            data += key + value
        return heads + data

    def bucket(self, tree: Tree) -> int:
        items = []
        for key in sorted(tree):
            value = tree[key]
            items.append((0, key, value) if isinstance(value, bytes) else (1, key, self.inner(value)))
        leaves: list[tuple[bytes, int]] = []
        chunk: list[tuple[int, bytes, bytes]] = []
        size = 0
        for item in items:
            if chunk and size + 16 + len(item[1]) + len(item[2]) > self.fill:
                leaves.append((chunk[0][1], self.add(0x02, len(chunk), self.elements(chunk))))
                chunk, size = [], 0
            chunk.append(item)
            size += 16 + len(item[1]) + len(item[2])
        leaves.append((chunk[0][1] if chunk else b"", self.add(0x02, len(chunk), self.elements(chunk))))
        while len(leaves) > 1:
            above = []
            for i in range(0, len(leaves), 50):
                group = leaves[i : i + 50]
                heads, data = b"", b""
                for j, (key, child) in enumerate(group):
                    heads += struct.pack("<IIQ", (len(group) - j) * 16 + len(data), len(key), child)
                    data += key
                above.append((group[0][0], self.add(0x01, len(group), heads + data)))
            leaves = above
        return leaves[0][1]

    def inner(self, tree: Tree) -> bytes:
        if all(isinstance(value, bytes) for value in tree.values()):
            content = self.elements([(0, key, t.cast(bytes, tree[key])) for key in sorted(tree)])
            if len(content) < 700:
                return struct.pack("<QQ", 0, 0) + struct.pack("<QHHI", 0, 0x02, len(tree), 0) + content
        return struct.pack("<QQ", self.bucket(tree), 0)


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def prysm_tree(
    keys: t.Mapping[str, tuple[t.Iterable[tuple[int, bytes]], t.Iterable[tuple[int, int, bytes]]]],
    root: str | None = ROOT_A,
    blacklisted: t.Iterable[str] = (),
) -> dict[bytes, t.Any]:
    """A validator.db's buckets, from blocks (slot, root) and attestations (source, target, root) by key."""
    proposals: dict[bytes, t.Any] = {}
    pubkeys: dict[bytes, t.Any] = {}
    marks: dict[str, dict[bytes, bytes]] = {"high": {}, "low": {}, "source": {}, "target": {}}
    for key, (blocks, votes) in keys.items():
        raw = bytes.fromhex(key[2:])
        blocks, votes = list(blocks), list(votes)
        proposals[raw] = {u64(slot): signing_root for slot, signing_root in blocks}
        sources: dict[bytes, bytes] = {}
        targets: dict[bytes, bytes] = {}
        for source, target, _root in votes:
            sources[u64(source)] = sources.get(u64(source), b"") + u64(target)
            targets[u64(target)] = targets.get(u64(target), b"") + u64(source)
        pubkeys[raw] = {
            b"att-signing-roots-bucket": {u64(target): signing_root for _source, target, signing_root in votes},
            b"att-source-epochs-bucket": sources,
            b"att-target-epochs-bucket": targets,
        }
        if blocks:
            marks["high"][raw] = u64(max(blocks)[0])
            marks["low"][raw] = u64(min(blocks)[0])
        if votes:
            marks["source"][raw] = u64(min(vote[0] for vote in votes))
            marks["target"][raw] = u64(min(vote[1] for vote in votes))
    return {
        b"genesis-info-bucket": {b"genesis-val-root": bytes.fromhex(root[2:])} if root else {},
        b"proposal-history-bucket-interchange": proposals,
        b"attestation-history-bucket-interchange": {},
        b"highest-signed-proposals-bucket": marks["high"],
        b"lowest-signed-proposals-bucket": marks["low"],
        b"lowest-signed-source-bucket": marks["source"],
        b"lowest-signed-target-bucket": marks["target"],
        b"migrations": {b"optimal_attester_protection_0": b"done", b"source_target_epochs_bucket_0": b"done"},
        b"pubkeys-bucket": pubkeys,
        b"slashable-public-keys": {bytes.fromhex(key[2:]): b"\x01" for key in blacklisted},
    }


def older_layout(tree: dict[bytes, t.Any]) -> dict[bytes, t.Any]:
    """The same as Prysm before v1.3.0 has it."""
    del tree[b"migrations"][b"source_target_epochs_bucket_0"]
    for bucket in tree[b"pubkeys-bucket"].values():
        del bucket[b"att-target-epochs-bucket"]
    return tree


def write_database(directory: Path, *args: t.Any, **kwargs: t.Any) -> Path:
    """A validator.db in a data directory."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "validator.db"
    path.write_bytes(BoltWriter().dump(prysm_tree(*args, **kwargs)))
    return path


def interchange(
    keys: t.Mapping[str, tuple[t.Iterable[t.Any], t.Iterable[t.Any]]], root: str = ROOT_A
) -> dict[str, t.Any]:
    """An EIP-3076 document from blocks (slot, root or None) and attestations (source, target, root or None) by key."""

    def rooted(record: dict[str, str], signing_root: bytes | None) -> dict[str, str]:
        return record if signing_root is None else {**record, "signing_root": "0x" + signing_root.hex()}

    return {
        "metadata": {"interchange_format_version": "5", "genesis_validators_root": root},
        "data": [
            {
                "pubkey": key,
                "signed_blocks": [rooted({"slot": str(slot)}, r) for slot, r in blocks],
                "signed_attestations": [
                    rooted({"source_epoch": str(source), "target_epoch": str(target)}, r) for source, target, r in votes
                ],
            }
            for key, (blocks, votes) in keys.items()
        ],
    }


# -- running modules --------------------------------------------------------------------------------------------------


def run_module(module: t.Any, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
    """A module's result; what it printed is in _printed."""
    arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_verbosity": 4}
    out = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        module.main()
    result = t.cast("dict[str, t.Any]", json.loads(out.getvalue()))
    result["_printed"] = out.getvalue()
    return result


def tree_of(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a directory, with mode and content: to see that nothing changed."""
    return {
        str(path.relative_to(directory)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(directory.rglob("*"))
    }


def flipped(data: bytes, changes: t.Iterable[tuple[int, int]]) -> bytes:
    """Data with some bytes changed; positions wrap around."""
    changed = bytearray(data)
    for position, value in changes:
        if changed:
            changed[position % len(changed)] = value
    return bytes(changed)


@contextlib.contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, how: str = "open") -> t.Iterator[list[str]]:
    """Every system call on a path that ends with a name fails: all of them, or those after it was opened.

    Yields the calls that failed.
    """
    hits: list[str] = []
    opened: set[int] = set()

    def matches(path: t.Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and f"/{os.fspath(path)}".endswith(f"/{name}")

    def fail(call: str) -> t.NoReturn:
        hits.append(call)
        raise OSError(number, os.strerror(number), name)

    def by_path(module: t.Any, call: str) -> None:
        real = getattr(module, call)

        def wrapped(path: t.Any = ".", *args: t.Any, **kwargs: t.Any) -> t.Any:
            if how == "open" and matches(path):
                fail(call)
            result = real(path, *args, **kwargs)
            if isinstance(result, int):
                (opened.add if matches(path) else opened.discard)(result)
            return result

        patch.setattr(module, call, wrapped)

    def by_descriptor(module: t.Any, call: str) -> None:
        real = getattr(module, call)

        def wrapped(fd: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
            if how == "read" and fd in opened:
                fail(call)
            return real(fd, *args, **kwargs)

        patch.setattr(module, call, wrapped)

    with monkeypatch.context() as patch:
        for call in ("open", "stat", "lstat", "listdir", "scandir"):
            by_path(os, call)
        by_path(builtins, "open")
        for call in ("read", "pread"):
            by_descriptor(os, call)
        for call in ("flock", "fcntl"):
            by_descriptor(fcntl, call)
        yield hits


def heavy() -> bool:
    """Whether the long runs are wanted: KEYS_HEAVY=1."""
    return os.environ.get("KEYS_HEAVY") == "1"
