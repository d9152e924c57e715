"""Keys: one place each, moved with their history whatever cuts the move off, and no secret anywhere on the way."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _bls, _keystore
from lab import ROOT

from .conftest import KEYSTORES, Inventory, Lab, Play, history, killed_when, moved_validators, records, validators

PUBKEYS = ["0x" + json.loads(path.read_text())["pubkey"] for path in KEYSTORES]
MOVED = PUBKEYS[1]
MOVE = ("playbooks/move_key.yml", "-e", f"move_key={MOVED}", "-e", "move_from=validator1", "-e", "move_to=validator2")
LOG = "ANSIBLE_LOG_PATH"

#: What every command of these tests printed, for the last of them.
OUTPUTS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ansible's own log of all runs."""
    path = tmp_path_factory.mktemp("log") / "ansible.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOG, str(path))
        yield path


@pytest.fixture(scope="module")
def vault(lab: Lab) -> dict[str, str]:
    """The passwords of the site's inventory."""
    text = lab.command("exec", "--", "ansible-vault", "view", "inventory/testnet/group_vars/all/vault.yml").stdout
    return t.cast("dict[str, str]", yaml.safe_load(text))


def play(lab: Lab, *words: str, check: bool = True) -> Play:
    """With everything said that can be said."""
    done = lab.play(*words, "-vvv", "--diff", check=check)
    OUTPUTS.append(done.output)
    return done


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """The keystore stands under the other client, with the password it has."""
    return Inventory(tmp_path_factory.mktemp("moved") / "inventory", moved_validators())


def metrics_keys(lab: Lab, client: str) -> set[str]:
    """The keys a running client says it has."""
    path = f"/api/v1/namespaces/prysm/pods/{client}-0:8081/proxy/metrics"
    text = lab.on("master", f"/snap/bin/microk8s kubectl get --raw {path}")
    return {key for key in PUBKEYS if re.search(rf"^validator_statuses\{{[^}}]*{key}", text, re.M)}


def killed_at(task: str, *words: str) -> bool:
    """Run a playbook and kill it in a task; whether it came there."""
    came, output = killed_when(lambda line: line.startswith("TASK [") and task in line, 1.5, *words)
    OUTPUTS.append(output)
    return came


def leftovers(lab: Lab) -> str:
    """What a move keeps in the data directories while it is not done."""
    return lab.on(
        "nfs", "ls -A /data/prysm/validator1 /data/prysm/validator2 | grep -e hold -e '[.]move' -e replacing || true"
    )


def test_the_site_is_built(lab: Lab, vault: dict[str, str]) -> None:
    assert len(vault) >= 5
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


def test_a_move_that_the_inventory_does_not_want_is_refused(lab: Lab) -> None:
    done = play(lab, *MOVE, check=False)
    assert done.failed
    assert f"First move the keystore of {MOVED} in the inventory" in done.output
    lab.all_sign_on()


def give_up(lab: Lab, moved: Inventory, task: str) -> None:
    """A move that is cut off in a task, before the key has left its wallet: both clients go on as they were."""
    assert killed_at(task, *MOVE, *moved.words), f"the move never came to {task!r}"
    done = play(lab, "site.yml", check=False)
    assert done.failed
    assert "move_abort=true" in done.output
    play(lab, *MOVE, "-e", "move_abort=true")
    assert metrics_keys(lab, "validator1") == set(PUBKEYS[:2])
    lab.all_sign_on(seconds=120)
    assert leftovers(lab) == ""
    assert set(play(lab, *MOVE, "-e", "move_abort=true").changed.values()) == {0}
    assert set(play(lab, "site.yml").changed.values()) == {0}


def test_a_move_that_was_begun_is_given_up(lab: Lab, moved: Inventory) -> None:
    give_up(lab, moved, "Wait for it to end")


@pytest.mark.by_hand
@pytest.mark.parametrize("task", ["Put both clients on hold", "Take its database on record"])
def test_wherever_it_was_cut_off_it_is_given_up(lab: Lab, moved: Inventory, task: str) -> None:
    give_up(lab, moved, task)


def cut_off(lab: Lab, moved: Inventory, task: str) -> None:
    """Killed in a task; between two attempts, the two clients stay silent or sign what is theirs."""
    assert killed_at(task, *MOVE, *moved.words), f"the move never came to {task!r}"
    lab.on("nfs", "sleep 8")
    assert lab.judge()["offences"] == []
    holders = [lab.on("nfs", f"grep -c {MOVED} /data/prysm/wallet-{name}/key-manifest.json || true")
               for name in ("validator1", "validator2")]  # fmt: skip
    assert holders.count("0") >= 1


@pytest.mark.by_hand
@pytest.mark.parametrize("task", ["Wait for it to end", "Put the copy in the place of the database"])
def test_a_move_that_is_cut_off_early_signs_nothing_twice(lab: Lab, moved: Inventory, task: str) -> None:
    cut_off(lab, moved, task)


@pytest.mark.parametrize("task", ["Take the key out of its wallet", "Import the keys of every client"])
def test_a_move_that_is_cut_off_signs_nothing_twice(lab: Lab, moved: Inventory, task: str) -> None:
    """Where it hurts: around the moment at which the key is in no wallet."""
    cut_off(lab, moved, task)


@pytest.mark.by_hand
def test_a_move_that_is_cut_off_at_its_end_signs_nothing_twice(lab: Lab, moved: Inventory) -> None:
    cut_off(lab, moved, "Lift the hold of validator2")


def not_given_up(lab: Lab, moved: Inventory) -> None:
    done = play(lab, *MOVE, *moved.words, "-e", "move_abort=true", check=False)
    assert done.failed
    assert "Run the command without move_abort to finish the move" in done.output


def test_a_move_whose_key_has_left_is_not_given_up(lab: Lab, moved: Inventory) -> None:
    not_given_up(lab, moved)


def test_run_again_the_move_finishes(lab: Lab, moved: Inventory) -> None:
    play(lab, *MOVE, *moved.words)
    assert metrics_keys(lab, "validator1") == {PUBKEYS[0]}
    assert metrics_keys(lab, "validator2") == {MOVED, *PUBKEYS[2:]}
    lab.all_sign_on(seconds=120)
    missing = records(history(lab, "validator1", MOVED)) - records(history(lab, "validator2", MOVED))
    assert missing == set()
    assert history(lab, "validator1", MOVED)["attestations"], "it had a history to bring along"
    assert leftovers(lab) == ""


def test_a_move_that_was_made_is_not_given_up(lab: Lab, moved: Inventory) -> None:
    """No client is on hold for it any more. Who reads that all is well would think that it was undone."""
    not_given_up(lab, moved)


def test_a_second_time_it_changes_nothing(lab: Lab, moved: Inventory) -> None:
    assert set(play(lab, *MOVE, *moved.words).changed.values()) == {0}


def test_the_site_agrees_with_the_inventory_that_was_moved(lab: Lab, moved: Inventory) -> None:
    assert set(play(lab, "site.yml", *moved.words).changed.values()) == {0}


def test_the_site_refuses_the_inventory_of_before(lab: Lab) -> None:
    """Who forgets to keep the edit does not get the key back by accident."""
    done = play(lab, "site.yml", "--tags", "prysm_wallet", check=False)
    assert done.failed
    assert f"{MOVED} belongs to 2 clients" in done.output
    assert "is with validator1, which it has left" in done.output


def test_no_secret_is_in_any_output_log_or_file(lab: Lab, vault: dict[str, str], log: Path) -> None:
    """Every secret of these runs, in every spelling, in all that was printed, logged or left on a machine.

    Left out is where it must be: the memory of the cluster (its database, and the files it shows to the pods), and the
    test's own inventory.
    """
    secrets = [value for value in vault.values() if isinstance(value, str)]
    secrets += [base64.b64encode(value.encode()).decode() for value in secrets]
    for path in KEYSTORES:
        keystore = _keystore.parse_keystore(path.read_bytes(), str(path))
        raw = keystore.open(vault[f"vault_{path.parent.name}_keystore_password"])
        secrets += [raw.hex(), base64.b64encode(raw).decode(), repr(raw), str(int.from_bytes(raw, "big"))]
    for text in [*OUTPUTS, log.read_text()]:
        assert [secret[:4] for secret in secrets if secret in text] == []
    patterns = base64.b64encode("\n".join(secrets).encode()).decode()
    places = "/root /home /tmp /var/tmp /var/log /etc /opt /srv /data /run /var/snap /var/lib /dev/shm"
    for machine in ("nfs", "master", "worker"):
        found = lab.command("ssh", machine, "--", "true", check=False)
        assert found.returncode == 0
        script = f"base64 -d | grep -rIlaF -D skip -f - {places} 2>/dev/null || true"
        done = subprocess.run(
            [str(ROOT / "bin/lab"), "ssh", machine, "--", script],
            cwd=ROOT, input=patterns, capture_output=True, text=True, timeout=600, check=True,
        )  # fmt: skip
        left = [
            line for line in done.stdout.splitlines()
            if "/etcd" not in line and "kubernetes.io~secret" not in line
        ]  # fmt: skip
        assert left == [], machine
