"""Keys: one place each, refused wherever a second one is found, and no secret anywhere on the way."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore

from .conftest import KEYSTORES, Inventory, Lab, validators
from .secret_search import assert_no_secret, log, play, vault

__all__ = ["log", "vault"]

PUBKEYS = ["0x" + json.loads(path.read_text())["pubkey"] for path in KEYSTORES]


def test_the_site_is_built(lab: Lab) -> None:
    play(lab, "site.yml")
    lab.wait("four keys have attested", lambda: len(lab.attested()) == 4, seconds=90)


def test_the_report_says_where_every_key_lives(lab: Lab, tmp_path: Path) -> None:
    report = tmp_path / "keys.json"
    play(lab, "playbooks/keys.yml", "-e", "keys_format=json", "-e", f"keys_file={report}")
    said = json.loads(report.read_text())
    assert said["problems"] == []
    assert {entry["pubkey"]: entry["client"] for entry in said["keys"]} == dict(
        zip(PUBKEYS, ["validator1"] * 2 + ["validator2"] * 2, strict=True)
    )
    assert all(entry["live"] == "ACTIVE" and entry["signed"]["target"] for entry in said["keys"])


def test_a_keystore_that_its_password_does_not_open_stops_the_site(lab: Lab, tmp_path: Path) -> None:
    secret = (5).to_bytes(32, "big")
    crypto = _keystore.encrypt(secret, b"another password", _keystore.new_kdf("pbkdf2", 2))
    pubkey = _bls.public_key(secret).hex()
    new = tmp_path / "keystore-new.json"
    new.write_text(json.dumps({"crypto": crypto, "pubkey": pubkey, "path": "", "uuid": "x", "version": 4}))
    site = validators()
    site[0]["keystores"].append(str(new))
    inventory = Inventory(tmp_path / "inventory", site)
    done = play(lab, "site.yml", *inventory.words, "--tags", "prysm_wallet", check=False)
    assert done.failed
    assert f"{new.name}: the password is wrong" in done.output
    assert set(done.changed.values()) == {0}


def test_a_wallet_that_nobody_can_read_stops_the_site(lab: Lab) -> None:
    accounts = "/data/prysm/found/direct/accounts"
    lab.on("nfs", f"mkdir -p {accounts} && cp /data/prysm/wallet-validator1/direct/accounts/*.json {accounts}/")
    lab.on("nfs", f"sed -i 's/262144/262143/' {accounts}/*.json")
    done = play(lab, "site.yml", "--tags", "prysm_wallet", check=False)
    lab.on("nfs", "rm -r /data/prysm/found")
    assert done.failed
    assert (
        "/data/prysm/found/direct/accounts/all-accounts.keystore.json: it belongs to no declared client" in done.output
    )


def test_a_wallet_on_a_nodes_own_disk_stops_the_site(lab: Lab) -> None:
    """A copy that somebody kept, with its manifest: every key of it is named, with machine and place."""
    packed = lab.on("nfs", "tar -C /data/prysm -c wallet-validator1 | base64 -w0")
    lab.on("worker", f"echo {packed} | base64 -d | tar -C /var/tmp -x")
    done = play(lab, "site.yml", "--tags", "prysm_wallet", check=False)
    lab.on("worker", "rm -r /var/tmp/wallet-validator1")
    assert done.failed
    assert "worker:/var/tmp/wallet-validator1" in done.output
    assert f"{PUBKEYS[0]} is in 2 wallets" in done.output


def test_a_second_client_on_a_wallet_stops_the_site_before_it_ever_runs(lab: Lab) -> None:
    """In another namespace, scaled to nothing: it would sign on the day somebody scales it."""
    second = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "second", "namespace": "default"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "second"}},
            "template": {
                "metadata": {"labels": {"app": "second"}},
                "spec": {
                    "containers": [
                        {
                            "name": "v",
                            "image": "prysm/validator:v1.3.3",
                            "args": ["--wallet-dir=/w", "--datadir=/d"],
                            "volumeMounts": [{"name": "w", "mountPath": "/w"}],
                        }
                    ],
                    "volumes": [
                        {"name": "w", "nfs": {"server": "172.20.10.10", "path": "/data/prysm/wallet-validator1"}}
                    ],
                },
            },
        },
    }
    text = base64.b64encode(json.dumps(second).encode()).decode()
    lab.on("master", f"echo {text} | base64 -d | /snap/bin/microk8s kubectl apply -f -")
    done = play(lab, "site.yml", "--tags", "prysm_wallet", check=False)
    lab.on("master", "/snap/bin/microk8s kubectl delete deployment second")
    assert done.failed
    assert "/data/prysm/wallet-validator1 is the wallet of validator1 and of Deployment default/second" in done.output


def test_no_secret_is_in_any_output_log_or_file(lab: Lab, vault: dict[str, str], log: Path) -> None:
    assert_no_secret(lab, vault, log)
