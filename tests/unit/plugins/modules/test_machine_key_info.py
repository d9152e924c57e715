"""Keys on a machine's own disks: real wallets, databases and keystores in real directories and mounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest as manifests
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _disks
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._disks import Mount
from ansible_collections.eth2xk8s.staking.plugins.modules import machine_key_info, validator_key_uniqueness
from tests.unit.plugins.keys_support import (
    FIXTURE_KEYS,
    PUBKEYS,
    WALLET_PASSWORD,
    keystore,
    run_module,
    tree_of,
    unpack,
    write_database,
    write_keystores,
)
from tests.unit.plugins.module_utils.test_uniqueness import bury, make_wallet, signed

K = PUBKEYS
ROOT = Path(__file__).parents[4]


def search(*paths: Path, exclude: t.Sequence[Path] = ()) -> dict[str, t.Any]:
    return run_module(machine_key_info, paths=[str(path) for path in paths], exclude=[str(path) for path in exclude])


def found(result: dict[str, t.Any]) -> set[tuple[str, str, str]]:
    return {(item["key"], item["kind"], item["where"]) for item in result["keys"]}


def test_finds_every_kind_wherever_it_lies(tmp_path: Path) -> None:
    layer = tmp_path / "var/lib/containerd/snapshots/17/fs"
    wallet = make_wallet(layer / "root/wallet", 0, manifest=True)
    bury(wallet, 3)
    database = write_database(tmp_path / "srv" / "v1", signed(0))
    write_keystores(tmp_path / "home" / "keys", 1)
    before = tree_of(tmp_path)
    result = search(tmp_path)
    assert not result["changed"] and result["searched"] and result["unreadable"] == []
    assert found(result) == {
        (K[0], "wallet", str(wallet)),
        (K[3], "tombstone", str(wallet)),
        (K[0], "history", str(database)),
        (K[1], "keystore", str(tmp_path / "home/keys/keystore-m_12381_3600_1_0_0.json")),
    }
    assert len(result["files"]) == 3 and tree_of(tmp_path) == before


def test_reads_the_database_of_a_real_prysm(tmp_path: Path) -> None:
    path = unpack("prysm/v7.1.6/validator.db.xz", tmp_path / "old" / "validator.db")
    unpack("prysm/v7.1.6/validator.db.xz", tmp_path / "validator.db.bak")
    result = search(tmp_path)
    assert {str(path), str(tmp_path / "validator.db.bak")} == {item["where"] for item in result["keys"]}
    assert {item["key"] for item in result["keys"]} == {key for key, _secret in FIXTURE_KEYS[:4]}


@pytest.mark.parametrize("name", ["voting-keystore", "my.keystore", "OLD_Keystore-m_12381.txt", "x.keystore.save"])
def test_a_keystore_under_any_name_that_says_so_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(keystore(1)), encoding="ascii")
    assert (K[1], str(tmp_path / name)) in {(key, where) for key, _kind, where in found(search(tmp_path))}


def test_a_backup_that_prysm_made_of_its_database_is_found(tmp_path: Path) -> None:
    """Its own name for it, from the backup webhook."""
    database = write_database(tmp_path / "made", signed(0))
    backup = tmp_path / "backups" / "prysm_validatordb_1029019.backup"
    backup.parent.mkdir()
    database.rename(backup)
    assert found(search(tmp_path)) == {(K[0], "history", str(backup))}


def test_reads_a_minimal_database(tmp_path: Path) -> None:
    minimal = tmp_path / "validator-client-data"
    (minimal / "slashing-protection").mkdir(parents=True)
    (minimal / "configuration.yaml").write_text("genesisValidatorsRoot: null\n")
    (minimal / "slashing-protection" / K[0]).write_text(
        "latestSignedBlockSlot: 8\nlastSignedAttestationSourceEpoch: 1\nlastSignedAttestationTargetEpoch: 2\n"
    )
    (tmp_path / "other" / "validator-client-data").mkdir(parents=True)
    assert found(search(tmp_path)) == {(K[0], "history", str(minimal))}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = make_wallet(tmp_path / "plain", 0) / "direct/accounts" / _wallet.FILE
    renamed = tmp_path / "old.json"
    renamed.write_bytes(file.read_bytes())
    backup = file.with_name(_wallet.FILE + ".2024")
    backup.write_bytes(file.read_bytes())
    (tmp_path / "broken").mkdir()
    damaged = tmp_path / "broken" / "validator.db"
    damaged.write_bytes(b"not a database")
    result = search(tmp_path)
    assert {item["place"] for item in result["unreadable"]} == set(map(str, (file, renamed, backup, damaged)))
    assert result["keys"] == [] and sorted(result["files"]) == sorted(map(str, (file, renamed, backup, damaged)))
    assert WALLET_PASSWORD not in result["_printed"]
    assert search(tmp_path, exclude=[file.parents[2], renamed, tmp_path / "broken"])["files"] == []


def test_what_is_no_validators_does_not_matter(tmp_path: Path) -> None:
    account = {"address": "00", "version": 3, "crypto": {"cipher": "aes-128-ctr", "ciphertext": "00", "kdf": "scrypt"}}
    (tmp_path / "keystore").mkdir()
    (tmp_path / "keystore" / "account.json").write_text(json.dumps(account))
    (tmp_path / "package.json").write_text(json.dumps({"browser": {}, "crypto": {"module": True}}))
    (tmp_path / "interchange.json").write_text(json.dumps({"metadata": {}, "data": [{"pubkey": K[0]}]}))
    (tmp_path / "validator.db.tar.xz").write_bytes(b"packed")
    (tmp_path / "validator.db").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nowhere")
    result = search(tmp_path, tmp_path / "nowhere")
    assert (result["keys"], result["unreadable"], result["files"]) == ([], [], [])


def test_a_keystore_that_another_client_signs_with_is_a_wallet(tmp_path: Path) -> None:
    """Lighthouse, Lodestar and Nimbus keep each in a directory named after its key."""
    folder = tmp_path / "validators" / K[0]
    folder.mkdir(parents=True)
    (folder / "voting-keystore.json").write_text(json.dumps(keystore(0)))
    assert [item["kind"] for item in search(tmp_path)["keys"]] == ["wallet"]


def test_a_link_counts_only_when_its_end_would_not_be_found(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0001").write_text(json.dumps(keystore(0)))
    (tmp_path / "keystore-0.json").symlink_to("blobs/0001")
    (tmp_path / "again.json").symlink_to("keystore-0.json")
    (tmp_path / "loop.json").symlink_to("loop")
    (tmp_path / "loop").symlink_to("loop.json")
    assert found(search(tmp_path)) == {(K[0], "keystore", str(tmp_path / "blobs/0001"))}


def test_only_root_can_say_that_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = run_module(machine_key_info)
    assert result["failed"] and result["searched"] is False and "only root" in result["msg"]


def test_a_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    (folder / "validator.db").write_bytes(b"x")
    assert search(tmp_path)["unreadable"][0]["place"].endswith("\\xff/validator.db")


# -- mounts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "point", "kind", "local"),
    [
        ("254:0", "/", "ext4", True),
        ("0:30", "/", "overlay", True),
        ("8:17", "/mnt/stick", "vfat", True),
        ("0:41", "/home", "btrfs", True),
        ("0:42", "/tank", "zfs", True),
        ("0:25", "/run", "tmpfs", True),
        ("0:26", "/dev/shm", "tmpfs", True),
        ("0:27", "/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/keys", "tmpfs", True),
        ("0:6", "/dev", "devtmpfs", False),
        ("0:28", "/sys/fs/cgroup", "tmpfs", False),
        ("0:22", "/proc", "proc", False),
        ("0:50", "/var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/data", "nfs4", False),
        ("0:51", "/mnt/share", "cifs", False),
        ("0:52", "/mnt/ssh", "fuse.sshfs", False),
        ("0:53", "/run/containerd/1/rootfs", "overlay", False),
        ("7:3", "/snap/microk8s/1", "squashfs", False),
    ],
)
def test_whose_disk_it_is(device: str, point: str, kind: str, local: bool) -> None:
    assert Mount(1, device, "/", point, kind).is_local() is local


def test_the_kernels_list_is_read_strictly() -> None:
    line = r"30 25 0:27 /a\040b /mnt/c\134d rw,relatime shared:1 - ext4 /dev/x rw"
    assert _disks.parse_mounts(line + "\n") == [Mount(30, "0:27", "/a b", "/mnt/c\\d", "ext4")]
    with pytest.raises(UnreadableError, match="is not a mount"):
        _disks.parse_mounts("30 25 0:27\n")


def test_a_server_is_not_looked_at(tmp_path: Path) -> None:
    """Not below its mount point, not by a link that leads there, not when it is named or hides a disk."""
    make_wallet(tmp_path / "nfs" / "wallet", 0, manifest=True)
    (tmp_path / "nfs" / "blob").write_text(json.dumps(keystore(1)))
    (tmp_path / "link.json").symlink_to(tmp_path / "nfs" / "blob")
    hidden, server = ("254:99", "ext4"), ("0:99", "nfs4")
    mounts = _disks.read_mounts()
    for number, (device, kind) in enumerate((hidden, server), 1 << 30):
        mounts.append(Mount(number, device, "/", str(tmp_path / "nfs"), kind))
    errors: list[UnreadableError] = []

    def candidates(path: Path) -> list[str]:
        return list(_disks.candidates(mounts, [str(path)], [], errors.append))

    assert candidates(tmp_path) == [] and errors == []
    assert candidates(tmp_path / "nfs" / "wallet") == []
    assert f"is not on a disk of this machine (but on {tmp_path}/nfs)" in str(errors[0])


_IN_A_ROOM = """
import json, subprocess, sys
sys.path.insert(0, {collections!r})
from ansible_collections.eth2xk8s.staking.plugins.modules import machine_key_info
for words in {mounts!r}:
    subprocess.run(["mount", *words], check=True)
print(json.dumps(machine_key_info.search({paths!r}, {exclude!r})))
"""


def search_mounted(mounts: list[list[str]], path: Path, exclude: Path | None = None) -> dict[str, t.Any]:
    """What is found with these mounts, which nobody else sees."""
    program = _IN_A_ROOM.format(
        collections=str(ROOT / "collections"),
        mounts=mounts,
        paths=[str(path)],
        exclude=[] if exclude is None else [str(exclude)],
    )
    command = ["unshare", "--mount", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "not permitted" in done.stderr:
        pytest.skip("mounting is not permitted here")
    assert done.returncode == 0, done.stderr
    return t.cast("dict[str, t.Any]", json.loads(done.stdout))


def test_what_is_seen_at_two_places_is_one(tmp_path: Path) -> None:
    wallet = make_wallet(tmp_path / "data" / "wallet", 0, manifest=True)
    for name in ("export", "memory"):
        (tmp_path / name).mkdir()
    mounts = [["--bind", str(tmp_path / "data"), str(tmp_path / "export")]]
    result = search_mounted(mounts, tmp_path)
    assert found(result) == {(K[0], "wallet", str(wallet))}
    assert found(search_mounted(mounts, tmp_path, exclude=tmp_path / "data")) == set()


def test_what_a_mount_hides_and_shows_elsewhere_is_found(tmp_path: Path) -> None:
    make_wallet(tmp_path / "data" / "wallet", 0, manifest=True)
    (tmp_path / "export").mkdir()
    bind = ["--bind", str(tmp_path / "data"), str(tmp_path / "export")]
    hide = ["-t", "tmpfs", "none", str(tmp_path / "data")]
    assert found(search_mounted([bind, hide], tmp_path)) == {(K[0], "wallet", str(tmp_path / "export/wallet"))}


# -- the verdict ------------------------------------------------------------------------------------------------------


def judge(tmp_path: Path, *machines: dict[str, t.Any], **params: t.Any) -> dict[str, t.Any]:
    return run_module(
        validator_key_uniqueness,
        wallets=[{"path": str(tmp_path / "site/wallet-v1"), "client": "v1", "password": WALLET_PASSWORD}],
        root=str(tmp_path / "site"),
        machines=list(machines),
        **params,
    )


def report(host: str, result: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    return {"host": host, **{name: result[name] for name in ("searched", "keys", "unreadable", "files")}, **more}


def test_a_wallet_on_a_nodes_own_disk_is_refused_with_its_place(tmp_path: Path) -> None:
    make_wallet(tmp_path / "site/wallet-v1", 0)
    make_wallet(tmp_path / "node/old", 0, manifest=True)
    refused = judge(tmp_path, report("worker", search(tmp_path / "node")))
    assert f"{K[0]} is in 2 wallets ({tmp_path}/site/wallet-v1; worker:{tmp_path}/node/old)" in refused["msg"]
    assert not judge(tmp_path, report("worker", search(tmp_path / "nothing"))).get("failed")


def test_a_wallet_on_a_node_is_refused_before_its_key_is_imported(tmp_path: Path) -> None:
    make_wallet(tmp_path / "node/old", 1, manifest=True)
    contents = [{"name": "k1.json", "content": json.dumps(keystore(1)), "client": "v1"}]
    refused = judge(tmp_path, report("worker", search(tmp_path / "node")), keystore_contents=contents)
    assert "belongs to v1, and is in a wallet of no declared client" in refused["msg"]
    assert f"worker:{tmp_path}/node/old" in refused["msg"]


def test_a_history_on_a_nodes_own_disk_is_refused(tmp_path: Path) -> None:
    make_wallet(tmp_path / "site/wallet-v1", 0)
    database = write_database(tmp_path / "node", signed(0, 5))
    refused = judge(tmp_path, report("worker", search(tmp_path / "node")))
    assert [item["key"] for item in refused["duplicates"]] == [K[0]]
    assert f"has also signed with worker:{database}, and no tombstone says" in refused["msg"]


def test_keystores_of_the_same_key_are_told_and_are_no_contradiction(tmp_path: Path) -> None:
    make_wallet(tmp_path / "site/wallet-v1", 0)
    keys = write_keystores(tmp_path / "node/keys", 0)
    machines = [report(name, search(tmp_path / "node")) for name in ("master", "worker")]
    result = judge(tmp_path, *machines, keystores=[{"path": str(keys), "client": "v1"}])
    assert not result.get("failed")
    assert {f"{host}:{keys}/keystore-m_12381_3600_0_0_0.json" for host in ("master", "worker")} <= {
        place["where"] for place in result["keys"][K[0]]
    }


def test_a_machine_that_could_not_be_read_is_refused(tmp_path: Path) -> None:
    make_wallet(tmp_path / "node/old", 0)
    result = judge(tmp_path, report("worker", search(tmp_path / "node")))
    assert [item["place"] for item in result["unreadable"]] == [
        f"worker:{tmp_path}/node/old/direct/accounts/{_wallet.FILE}"
    ]
    assert "name it in prysm_wallet_search_exclude" in result["msg"]
    for message in ("", "it is not reachable"):
        silent = judge(tmp_path, {"host": "worker", "searched": False, "msg": message})
        assert silent["failed"] and "the disks of worker: " + (message or "they were not searched") in silent["msg"]
    forged = judge(tmp_path, {"host": "worker", "keys": [{"key": "0x12", "kind": "wallet", "where": "/x"}]})
    assert "worker:/x: '0x12' is not a 48-byte" in forged["msg"]


def test_the_machine_of_the_data_knows_more(tmp_path: Path) -> None:
    """What is declared there, or opens with a known password, is no riddle."""
    make_wallet(tmp_path / "site/wallet-v1", 0)
    keys = write_keystores(tmp_path / "keys", 0)
    write_database(tmp_path / "own-data", signed(0))
    make_wallet(tmp_path / "other", 2)
    params = {
        "keystores": [{"path": str(keys), "client": "v1"}],
        "data_dirs": [{"path": str(tmp_path / "own-data"), "client": "v1"}],
    }
    everything = search(tmp_path)
    assert len(everything["unreadable"]) == 2
    result = judge(tmp_path, report("nfs", everything, here=True), **params)
    assert not result.get("failed"), result["msg"]
    assert [place["kind"] for place in result["keys"][K[0]]] == ["wallet", "history", "keystore"]
    assert [place["kind"] for place in result["keys"][K[2]]] == ["wallet"]
    make_wallet(tmp_path / "third", 0)
    twice = judge(tmp_path, report("nfs", search(tmp_path), here=True), **params)
    assert "is in 2 wallets" in twice["msg"] and "third" in twice["msg"]
    (tmp_path / "third/direct/accounts" / _wallet.FILE).write_text('{"crypto": {}, "version": 4}')
    damaged = judge(tmp_path, report("nfs", search(tmp_path), here=True), **params)
    assert f"nfs:{tmp_path}/third" in damaged["msg"] and "prysm_wallet_search_exclude" in damaged["msg"]


def test_a_manifest_of_another_file_explains_nothing(tmp_path: Path) -> None:
    wallet = make_wallet(tmp_path / "w", 0, manifest=True)
    other = manifests.render_manifest(manifests.manifest_for(b"another file", [K[1]]))
    (wallet / manifests.MANIFEST).write_bytes(other)
    result = search(tmp_path)
    assert result["keys"] == [] and len(result["unreadable"]) == 1
