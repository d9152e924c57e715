"""Keys that come from six other clients, each with a file as that client writes it, and sign no offence here.

Lighthouse, Nimbus and Lodestar export all they have, with signing roots (validator_client/slashing_protection,
slashing_protection_v2.nim, formats/v5.ts); Teku the highest block and vote without roots (SigningHistory.java);
Web3Signer leaves out a root it does not have (SignedBlock.java); Grandine does so too, one root of two here
(interchange_format.rs).
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore

from .conftest import Inventory, Lab, history

pytestmark = pytest.mark.by_hand
PASSWORD = "correct horse battery"
CLIENTS = ["lighthouse", "teku", "nimbus", "lodestar", "web3signer", "grandine"]
EPOCHS = 24
SLOTS = 8

Entry = dict[str, t.Any]


def root_of(*words: object) -> str:
    return "0x" + hashlib.sha256(repr(words).encode()).hexdigest()


def signed(client: str, key: str, first: int, last: int) -> Entry:
    """What a client exports of a key that has voted in each of these epochs, and proposed in every third."""
    votes = [
        {
            "source_epoch": str(epoch - 1),
            "target_epoch": str(epoch),
            "signing_root": root_of(client, key, "vote", epoch),
        }
        for epoch in range(first, last + 1)
    ]
    blocks = [
        {"slot": str(epoch * SLOTS + 3), "signing_root": root_of(client, key, "block", epoch)}
        for epoch in range(first, last + 1, 3)
    ]
    if client == "teku":
        votes, blocks = votes[-1:], blocks[-1:]
    for number, record in enumerate([*votes, *blocks]):
        if client == "teku" or (client == "web3signer") or (client == "grandine" and number % 2):
            del record["signing_root"]
    pubkey = key.upper().replace("0X", "0x") if client == "nimbus" else key
    return {"pubkey": pubkey, "signed_blocks": blocks, "signed_attestations": votes}


class Site:
    """Six keys, each with its keystore and its file."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.keys: dict[str, str] = {}
        self.files: dict[str, dict[str, t.Any]] = {}
        genesis, head = lab.chain("/genesis"), lab.chain("/head")
        #: Their last votes are ahead of the chain: until then nobody may sign again.
        self.last = int(head["slot"]) // SLOTS + 30
        entries: list[dict[str, t.Any]] = []
        for number, client in enumerate(CLIENTS):
            secret = (1000 + number).to_bytes(32, "big")
            crypto = _keystore.encrypt(secret, PASSWORD.encode(), _keystore.new_kdf("pbkdf2", 2))
            key = "0x" + _bls.public_key(secret).hex()
            place = folder / client
            place.mkdir(parents=True)
            keystore = {"crypto": crypto, "pubkey": key[2:], "path": "", "uuid": f"u{number}", "version": 4}
            (place / f"keystore-{number}.json").write_text(json.dumps(keystore))
            self.keys[client] = key
            self.files[client] = {
                "metadata": {
                    "interchange_format_version": "5",
                    "genesis_validators_root": genesis["genesis_validators_root"],
                },
                "data": [signed(client, key, self.last - EPOCHS, self.last)],
            }
            (place / "slashing_protection.json").write_text(json.dumps(self.files[client], indent=number % 3 or None))
            if number % 3 == 0:
                entries.append(
                    {
                        "name": f"validator{len(entries) + 1}",
                        "keystores": [],
                        "keystore_password": PASSWORD,
                        "slashing_protection": [],
                        "wallet_password": "Wallet-password-1",
                        "fee_recipient": "0x000000000000000000000000000000000000dEaD",
                    }
                )
            entries[-1]["keystores"].append(str(place / f"keystore-{number}.json"))
            entries[-1]["slashing_protection"].append(str(place / "slashing_protection.json"))
        self.folder = folder
        self.inventory = Inventory(
            folder / "inventory", entries, prysm_helm_duties_timeout=900, prysm_no_history_because={}
        )


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(lab, tmp_path_factory.mktemp("clients"))
    for client in CLIENTS:
        lab.command("judge", "--elsewhere", str(made.folder / client / "slashing_protection.json"))
    return made


def known(found: dict[str, t.Any], last: int) -> set[tuple[int, ...]]:
    """Votes up to an epoch and blocks up to its end, as a database has them."""
    votes = {(v["source_epoch"], v["target_epoch"]) for v in found["attestations"] if v["target_epoch"] <= last}
    return votes | {(record["slot"],) for record in found["blocks"] if record["slot"] < (last + 1) * SLOTS}


def signed_here(lab: Lab) -> list[dict[str, t.Any]]:
    """What the chain was sent, without what it was told of."""
    signatures = t.cast("list[dict[str, t.Any]]", lab.chain("/judge/signatures"))
    return [one for one in signatures if not one.get("elsewhere")]


def test_six_clients_keys_arrive_and_sign(lab: Lab, site: Site) -> None:
    lab.play("site.yml", *site.inventory.words, timeout=3600)
    lab.all_sign_on(seconds=600)


@pytest.mark.parametrize("client", CLIENTS)
def test_every_record_has_arrived(lab: Lab, site: Site, client: str) -> None:
    key = site.keys[client]
    (entry,) = site.files[client]["data"]
    wanted: set[tuple[int, ...]] = {
        (int(v["source_epoch"]), int(v["target_epoch"])) for v in entry["signed_attestations"]
    }
    wanted |= {(int(b["slot"]),) for b in entry["signed_blocks"]}
    have = history(lab, f"validator{CLIENTS.index(client) // 3 + 1}", key)
    # Prysm proposes between slots of before, as EIP-3076 allows, once it is past the lowest of them.
    here: set[tuple[int, ...]] = {
        (one["slot"],) for one in signed_here(lab) if one["kind"] == "block" and one["key"] == key
    }
    assert known(have, site.last) - here == wanted
    # From its own roots on, a vote that is there can be told from another one.
    roots = {v["target_epoch"]: v["signing_root"] for v in entry["signed_attestations"] if "signing_root" in v}
    kept = {str(v["target_epoch"]): v["signing_root"] for v in have["attestations"] if str(v["target_epoch"]) in roots}
    assert kept == roots


def test_a_second_run_changes_nothing(lab: Lab, site: Site) -> None:
    assert set(lab.play("site.yml", *site.inventory.words).changed.values()) == {0}


def test_nothing_was_signed_up_to_where_the_other_clients_were(lab: Lab, site: Site) -> None:
    for key in site.keys.values():
        seen = lab.judge()["keys"][key]
        assert seen["attestations"] and seen["last_target"] > site.last
    assert min(one["target"] for one in signed_here(lab) if one["kind"] == "attestation") > site.last
