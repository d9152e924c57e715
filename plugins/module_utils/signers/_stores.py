# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What a file is, by its content, and whether a client of any make signs with it.

A keystore alone signs nothing. What makes it a client's are its companions: a directory of its own name, a list of
accounts, a directory of passwords, a password file beside it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb, _places
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    UnreadableError,
    open_regular,
    parse_json,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _keystore

BOLT, JSON, YAML = "bolt", "json", "yaml"

#: A list of accounts and a key configuration are small; so is a password.
YAML_LIMIT = 8 << 20
PASSWORD_LIMIT = 4096

_HEAD = 4096

DEFINITIONS = "validator_definitions.yml"
_DEFINED = re.compile(r"voting_public_key[\"']?\s*:\s*[\"']?(0x[0-9a-fA-F]{96})\b")
_CONFIG = re.compile(
    r"\btype[\"']?\s*:\s*[\"']?(file-raw|file-keystore|hashicorp|azure-secret|aws-secret|gcp-secret|yubihsm2?|pkcs11)\b"
)
_RAW = re.compile(r"\bprivateKey[\"']?\s*:\s*[\"']?(?:0x)?([0-9a-fA-F]{64})\b")
_FILE = re.compile(r"\bkeystoreFile[\"']?\s*:\s*(?:\"([^\"\n]+)\"|'([^'\n]+)'|([^\s,}\"']+))")
_GLANCE = re.compile(rb"voting_public_key|keystoreFile|privateKey|file-raw|file-keystore|\btype[\"']?\s*:\s*[\"']?(?:"
                     rb"hashicorp|azure-secret|aws-secret|gcp-secret|yubihsm|pkcs11)")  # fmt: skip

#: What a directory or a file of passwords is called.
_SECRET = re.compile(r"pass|secret|pwd", re.I)
_PASSWORD_ENDS = (".txt", ".pass", ".password", ".passwd", ".pwd", ".secret")
_COMMON = re.compile(r"(?:password|passphrase|passwd)(?!.*\.(?:json|md)\Z)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.I)


def may_matter(name: str) -> bool:
    """Whether a file of this name, on a machine's own disk, may hold keys or what they signed.

    Prefixes, suffixes and capitals do not matter: old-validator.db, WALLET.JSON, keystore-0.json.bak, my.keystore, and
    prysm_validatordb_1029019.backup, as Prysm calls its own backups.
    """
    name = name.lower()
    if name.endswith(_NOT_OPENED):
        return False
    return (
        ".json" in name
        or "keystore" in name
        or "all-accounts" in name
        or ("validator" in name and "db" in name)
        or ("wallet" in name and _PLAIN_END.search(name) is not None)
        or name.endswith((".yaml", ".yml"))
        or _UUID.match(name) is not None
    )


#: Programs' own files, of which a machine has many thousands.
_NOT_OPENED = (".py", ".pyc", ".pyi", ".js", ".mjs", ".ts", ".map", ".go", ".h", ".so", ".html", ".svg", ".png", ".gz")
#: A wallet is called so with no ending, or with one that people give to copies.
_PLAIN_END = re.compile(r"(?:^[^.]*|\.(?:bak|old|orig|save|copy|tmp|previous|prev|dat|wallet|txt|keystore|[0-9]+)|~)\Z")


def kind_of(path: str) -> str:
    """What a file may be: bolt, json, yaml (by its name as well), or nothing that matters (empty)."""
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        head = os.pread(fd, _HEAD, 0)
        if _boltdb.is_bolt(fd, size, head):
            return BOLT
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)
    text = head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")
    if text[:1] in (b"{", b"["):
        return JSON
    return YAML if path.lower().endswith((".yml", ".yaml")) and size <= YAML_LIMIT else ""


def may_be_sealed(data: bytes) -> bool:
    """Whether a file's content can be a keystore, a wallet, or say that keys are signed for, as far as a glance tells.

    Names are compared as Go's decoder does, in any case; within a string the quotes are escaped.
    """
    if _SEALED.search(data) is not None or (b'"pubkey"' in data and b'"url"' in data):
        return True
    if b'"publicKey"' in data and b'"operators"' in data:
        return True
    return data[:2] in (b"\xff\xfe", b"\xfe\xff") and b"c\0r\0y\0p\0t\0o" in data


_SEALED = re.compile(rb"\"crypto\\?\"|\"remotes?\"|\"keystores\"|\"distributed_public_key\"", re.I)


def may_be_listed(data: bytes) -> bool:
    """Whether a YAML file can say that keys are signed for, as far as a glance tells."""
    return _GLANCE.search(data) is not None


# -- documents --------------------------------------------------------------------------------------------------------


def sealed_documents(document: t.Any, path: str, depth: int = 3) -> list[dict[str, t.Any]]:
    """The keystores and wallets in a JSON document: itself, or those in it, also as text (a key manager's request)."""
    if isinstance(document, dict) and _keystore.is_keystore(document):
        unused = _keystore.is_seed(document) or _keystore.is_cache(document)
        return [document] if _keystore.is_sealed(document) and not unused else []
    if not depth:
        return []
    inner: t.Any = document
    if isinstance(document, dict):
        inner = list(document.values())
    found = []
    for item in inner if isinstance(inner, list) else []:
        if isinstance(item, str):
            if not (item.lstrip()[:1] in ("{", "[") and may_be_sealed(item.encode("utf-8", "replace"))):
                continue
            item = parse_json(item.encode("utf-8", "replace"), path)
        found.extend(sealed_documents(item, path, depth - 1))
    return found


def remote_key(document: t.Any, path: str) -> str | None:
    """The key that Nimbus or Lodestar has another program sign with, by its own file for it."""
    if not isinstance(document, dict) or not isinstance(document.get("pubkey"), str):
        return None
    folder = os.path.basename(os.path.dirname(path)).lower()
    if {"remote", "remotes"} & set(document) or ("url" in document and folder == "remotekeys"):
        return t.cast(str, document["pubkey"])
    return None


def distributed_keys(document: t.Any) -> list[str]:
    """The keys that a cluster signs for: by Charon's cluster lock, whose keystores are shares with other names, and by
    the shares that an owner has made for operators of SSV.
    """
    if not isinstance(document, dict):
        return []
    locked = document.get("distributed_validators")
    found = [item.get("distributed_public_key") for item in _dictionaries(locked)]
    shares = document.get("shares") if isinstance(document.get("shares"), list) else [document]
    for data in _dictionaries([item.get("data") for item in _dictionaries(shares)]):
        found += [data.get("publicKey")] if "operators" in data else []
    return [key for key in found if isinstance(key, str)]


def _dictionaries(listed: t.Any) -> list[dict[str, t.Any]]:
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


class Listed(t.NamedTuple):
    """What a client's list of accounts names: keys, secrets in the clear, keystore files, and what it hides."""

    keys: tuple[str, ...] = ()
    secrets: tuple[bytes, ...] = ()
    files: tuple[str, ...] = ()
    hidden: str = ""


def listed(text: str, path: str) -> Listed:
    """Lighthouse's validator_definitions.yml, and Web3Signer's key configurations (without a reader of YAML)."""
    keys, secrets, files, hidden = list(_DEFINED.findall(text)), [], [], ""
    for part in re.split(r"(?m)^---", text):
        kind = _CONFIG.search(part)
        if kind is None or re.search(r"keyType[\"']?\s*:\s*[\"']?SECP256K1", part, re.I):
            continue
        raw = [bytes.fromhex(digits) for digits in _RAW.findall(part)]
        named = ["".join(groups) for groups in _FILE.findall(part)]
        secrets += raw
        files += [os.path.join(os.path.dirname(path), name) for name in named]
        if not raw and not named:
            hidden = kind.group(1)
    return Listed(tuple(keys), tuple(secrets), tuple(files), hidden)


# -- companions -------------------------------------------------------------------------------------------------------


class Store(t.NamedTuple):
    """What a client signs with: the directory of its key store, and whether that is beyond doubt."""

    path: str
    sure: bool


class Companions:
    """Looks for what makes a keystore a client's own; each directory is listed once."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, bool]] = {}
        self._secret_names: dict[str, frozenset[str]] = {}
        self._files: dict[str, frozenset[str]] = {}

    def names(self, directory: str) -> dict[str, bool]:
        """What lies in a directory, and whether each is a directory itself."""
        if directory not in self._names:
            found = {}
            try:
                with os.scandir(directory or os.curdir) as entries:
                    for entry in entries:
                        found[entry.name] = _places.kind(entry) == stat.S_IFDIR
            except OSError as exc:
                if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise UnreadableError(directory, reason_of(exc)) from exc
            self._names[directory] = found
        return self._names[directory]

    def store(self, path: str, key: str, document: t.Mapping[str, t.Any]) -> Store | None:
        """The key store that a keystore belongs to; None when no client signs with it, as far as its companions say."""
        folder, name = os.path.split(path)
        above = os.path.dirname(folder)
        own = {key.lower(), key[2:].lower()} if key else set()
        if os.path.basename(folder).lower() in own:
            # Lighthouse, Lodestar, Nimbus: validators/0x.../voting-keystore.json
            return Store(above, True)
        if name.lower() == "voting-keystore.json":
            # Lighthouse and Lodestar alone call one so.
            return Store(above, False)
        if "encryptor" in document:
            # ethdo, Dirk, Vouch: accounts of a wallet
            return Store(folder, True)
        for place in (folder, above):
            if DEFINITIONS in self.names(place):
                return Store(place, True)
        stem = name.lower().rpartition(".")[0] or name.lower()
        secrets = self._secrets(folder) | self._secrets(above)
        if secrets & {*own, stem, name.lower()}:
            # Lighthouse, Nimbus: secrets/0x...; Teku: keys/ beside passwords/, local/ beside local-passwords/
            return Store(folder, bool(secrets & own))
        # Teku, Web3Signer, Charon: keystore-0.json with keystore-0.txt. Lodestar, Grandine: one for all.
        if self._password_files(folder) & {"", *(stem + end for end in _PASSWORD_ENDS)} - {name.lower()}:
            return Store(folder, False)
        return None

    def _secrets(self, place: str) -> frozenset[str]:
        """Whose passwords lie in directories of passwords in this one: names, with and without their endings."""
        if place not in self._secret_names:
            found = set()
            for name, is_directory in self.names(place).items():
                if is_directory and _SECRET.search(name):
                    for entry, inner in self.names(os.path.join(place, name)).items():
                        if not inner:
                            found |= {entry.lower(), entry.lower().rpartition(".")[0]} - {""}
            self._secret_names[place] = frozenset(found)
        return self._secret_names[place]

    def _password_files(self, place: str) -> frozenset[str]:
        """The files in a directory that may be passwords; the empty name is for one that is for all."""
        if place not in self._files:
            names = [name.lower() for name, is_directory in self.names(place).items() if not is_directory]
            found = {name for name in names if name.endswith(_PASSWORD_ENDS)}
            if any(_COMMON.search(name) for name in names):
                found.add("")
            self._files[place] = frozenset(found)
        return self._files[place]


def password_beside(path: str, names: t.Collection[str]) -> str | None:
    """The file with the password of this keystore alone, by the name that Teku, Charon and others give it."""
    folder, name = os.path.split(path)
    stem = name[: -len(".json")] if name.lower().endswith(".json") else name
    for end in _PASSWORD_ENDS:
        if stem + end in names:
            return os.path.join(folder, stem + end)
    return None
