"""The wallets on the disk are what Prysm opens: by its rules for modes and owners, each key in its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import testinfra

testinfra_hosts = ["ansible://nfs-server"]
KEYSTORES = Path(__file__).parents[3] / "examples/keystores"


def pubkeys(client: str) -> list[str]:
    return ["0x" + json.loads(path.read_text())["pubkey"] for path in sorted((KEYSTORES / client).iterdir())]


@pytest.mark.parametrize("client", ["validator1", "validator2"])
def test_a_wallet_holds_its_clients_keys_and_is_closed_to_others(host: testinfra.host.Host, client: str) -> None:
    wallet = f"/data/prysm/wallet-{client}"
    listing = host.check_output("find %s -printf '%%P %%m %%U:%%G\\n'", wallet).splitlines()
    assert sorted(listing) == sorted(
        [
            " 700 1001:2000",
            "direct 700 1001:2000",
            "direct/accounts 700 1001:2000",
            "direct/accounts/all-accounts.keystore.json 600 1001:2000",
            "key-manifest.json 600 1001:2000",
        ]
    )
    manifest = json.loads(host.file(f"{wallet}/key-manifest.json").content_string)
    assert sorted(manifest["pubkeys"]) == sorted(pubkeys(client))
    digest = host.check_output("sha256sum %s/direct/accounts/all-accounts.keystore.json", wallet).split()[0]
    assert manifest["wallet_sha256"] == digest


def test_a_keystore_of_the_controller_is_never_a_file_on_the_server(host: testinfra.host.Host) -> None:
    for client in ("validator1", "validator2"):
        for key in pubkeys(client):
            places = host.check_output("grep -rIl %s /data /root /tmp /var/tmp /home || true", key[2:]).splitlines()
            # Its public key is on record, as its client's.
            assert set(places) == {f"/data/prysm/wallet-{client}/key-manifest.json", "/data/prysm/.history/record.json"}
