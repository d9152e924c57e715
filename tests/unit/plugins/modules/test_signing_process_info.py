"""A machine may be restarted only when nothing on it can sign: what counts as signing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.modules.signing_process_info import is_ending, signers


def process(proc: Path, pid: int, comm: str, *words: str, exe: str = "") -> Path:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(comm[:15] + "\n")
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (folder / "environ").write_bytes(b"HOME=/\0")
    (folder / "mountinfo").write_text("")
    if exe:
        (folder / "exe").symlink_to(exe)
    return folder


def found(proc: Path) -> list[dict[str, t.Any]]:
    (proc / "self").mkdir(exist_ok=True)
    if not (proc / "self/mountinfo").exists():
        (proc / "self/mountinfo").write_text("")
    return signers(str(proc), ["validator"])


SIGNS = {
    "prysm": ["/app/cmd/validator/validator", "--accept-terms-of-use"],
    "prysm-release": ["/opt/prysm/dist/validator-v7.1.6-linux-amd64", "--datadir=/d"],
    "prysm-launcher": ["bash", "./prysm.sh", "validator", "--datadir=/d"],
    "prysm-renamed": ["/app/image.binary", "--wallet-dir=/wallet"],
    "prysm-renamed-single-dash": ["/app/image.binary", "-wallet-dir=/wallet"],
    "prysm-graffiti": ["validator", "--graffiti", "web"],
    "guard-that-waits": ["sh", "/guard/guard.sh", "validator", "/d", "nfs", "5", "/w", "--", "/app/validator"],
    "lighthouse": ["/usr/local/bin/lighthouse", "vc", "--datadir", "/d"],
    "lighthouse-options-first": ["lighthouse", "--network", "hoodi", "--datadir", "/d", "validator_client"],
    "lighthouse-unknown": ["lighthouse", "600"],
    "lighthouse-shell": ["sh", "-c", "sleep 60; exec lighthouse vc"],
    "teku": ["/usr/bin/java", "-Dx=y", "-cp", "/opt/teku/lib/*", "tech.pegasys.teku.Teku", "validator-client"],
    "teku-jar": ["java", "-jar", "/opt/teku-25.4.1.jar", "vc"],
    "teku-one-process": ["java", "-cp", "/opt/teku/lib/*", "tech.pegasys.teku.Teku", "--validator-keys=/k:/p"],
    "teku-launcher": ["/bin/sh", "/opt/teku/bin/teku", "validator-client"],
    "nimbus": ["/opt/nimbus/nimbus_validator_client", "--data-dir=/d"],
    "nimbus-one-process": ["/opt/nimbus/nimbus_beacon_node", "--validators-dir=/k"],
    "teku-config-in-short": ["java", "-cp", "/opt/teku/lib/*", "tech.pegasys.teku.Teku", "-c", "/none/teku.yaml"],
    "by-the-linker": ["/lib64/ld-linux-x86-64.so.2", "/opt/validator", "--datadir=/d"],
    "emulated": ["/usr/bin/qemu-aarch64", "/opt/validator", "--datadir=/d"],
    "lodestar-bun": ["/usr/bin/bun", "run", "/opt/lodestar/packages/cli/bin/lodestar.js", "validator"],
    "terms-of-use": ["/opt/app", "--accept-terms-of-use", "--config-file=/c.yaml"],
    "lodestar": ["node", "--max-old-space-size=8192", "/usr/app/packages/cli/bin/lodestar.js", "validator"],
    "lodestar-module": ["/usr/bin/node", "/usr/app/node_modules/.bin/lodestar", "validator", "--network", "hoodi"],
    "grandine": ["grandine", "--keystore-dir", "/k"],
    "vero": ["python", "/vero/src/main.py", "--network=hoodi"],
    "vero-relative": ["python3.12", "src/main.py", "--remote-signer-url=http://w"],
    "vouch": ["/app/vouch"],
    "dirk": ["/app/dirk", "--base-dir=/d"],
    "web3signer": ["java", "-cp", "/opt/web3signer/lib/*", "tech.pegasys.web3signer.Web3SignerApp", "eth2"],
    "charon": ["/usr/local/bin/charon", "run"],
    "ssv": ["/go/bin/ssvnode", "start-node"],
    "rocket-pool": ["/go/bin/rocketpoold", "node"],
}
ORDINARY = {
    "systemd": ["/sbin/init"],
    "cron": ["/usr/sbin/cron", "-f"],
    "sshd": ["sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"],
    "sshd-user": ["sshd: validator@pts/0"],
    "rsyslogd": ["/usr/sbin/rsyslogd", "-n"],
    "chronyd": ["/usr/sbin/chronyd", "-F", "1"],
    "dbus": ["/usr/bin/dbus-daemon", "--system"],
    "journald": ["/lib/systemd/systemd-journald"],
    "unattended": [
        "/usr/bin/python3",
        "/usr/share/unattended-upgrades/unattended-upgrade-shutdown",
        "--wait-for-signal",
    ],
    "strongswan": ["/usr/lib/ipsec/charon", "--debug-ike", "1"],
    "strongswan-syslog": ["charon", "--use-syslog"],
    "containerd": ["/snap/microk8s/current/bin/containerd", "--config", "/c.toml"],
    "kubelite": ["/snap/microk8s/current/kubelite", "--scheduler-args-file=/s", "--kubelet-args-file=/k"],
    "dqlite": ["/snap/microk8s/current/bin/k8s-dqlite", "--storage-dir=/d"],
    "calico": ["calico-node", "-felix"],
    "coredns": ["/coredns", "-conf", "/etc/coredns/Corefile"],
    "geth": ["geth", "--datadir", "/data/validator"],
    "prometheus": ["/bin/prometheus", "--config.file=/etc/prometheus/validator.yml"],
    "node-exporter": ["/bin/node_exporter", "--path.rootfs=/host"],
    "postgres": ["postgres: web3signer validator 10.1.2.3(4711) idle"],
    "beacon": ["/app/cmd/beacon-chain/beacon-chain", "--datadir=/data/validator"],
    "beacon-words": ["/app/cmd/beacon-chain/beacon-chain", "--datadir", "/data/validator"],
    "guarded-beacon": ["sh", "/guard/guard.sh", "beacon", "/d", "nfs", "0", "--", "/app/cmd/beacon-chain/beacon-chain"],
    "lighthouse-beacon": ["lighthouse", "bn", "--graffiti", "vc"],
    "teku-beacon": ["java", "-cp", "/opt/teku/lib/*", "tech.pegasys.teku.Teku", "--data-path=/d"],
    "nimbus-beacon": ["/opt/nimbus_beacon_node", "--data-dir=/d", "--nat", "any"],
    "lodestar-beacon": ["node", "/usr/app/packages/cli/bin/lodestar.js", "beacon"],
    "tail": ["tail", "-f", "/var/log/validator"],
    "editor": ["vim", "validator"],
    "grep": ["grep", "-r", "validator", "/etc"],
    "journalctl": ["journalctl", "-fu", "validator"],
    "sudo": ["sudo", "-u", "validator", "bash"],
    "bash": ["bash", "/usr/local/bin/check.sh", "validator"],
    "login-shell": ["-bash"],
    "kubectl": ["kubectl", "logs", "-f", "validator1-0", "-c", "validator"],
    "python-at-home": ["python3", "/home/dirk/app.py"],
    "validator-exporter": ["/usr/bin/validator-exporter", "--web.listen-address=:1"],
    "python-script": ["python3", "/opt/tool.py", "lighthouse", "vc"],
}


@pytest.mark.parametrize("words", SIGNS.values(), ids=SIGNS)
def test_a_signer_is_found(tmp_path: Path, words: list[str]) -> None:
    process(tmp_path, 1, "systemd", "/sbin/init")
    process(tmp_path, 77, Path(words[0]).name, *words)
    (seen,) = found(tmp_path)
    assert (seen["pid"], seen["volumes"]) == (77, []) and seen["client"] and seen["reason"]


@pytest.mark.parametrize("words", SIGNS.values(), ids=SIGNS)
def test_no_word_at_the_end_hides_a_signer(tmp_path: Path, words: list[str]) -> None:
    for pid, word in enumerate(("web", "accounts", "--graffiti=list", "/data", "help"), 1):
        process(tmp_path, pid, Path(words[0]).name, *words, word)
    assert len(found(tmp_path)) == 5


@pytest.mark.parametrize("words", ORDINARY.values(), ids=ORDINARY)
def test_others_are_not(tmp_path: Path, words: list[str]) -> None:
    process(tmp_path, 2, "kthreadd")
    process(tmp_path, 9, Path(words[0].split()[0].rstrip(":")).name, *words)
    (tmp_path / "sys").mkdir()
    assert found(tmp_path) == []


@pytest.mark.parametrize("how", ["argument", "default", "relative", "its-own-history-open"])
@pytest.mark.parametrize("keys", [True, False])
def test_a_beacon_node_of_nimbus_signs_with_the_keys_in_its_directory(tmp_path: Path, how: str, keys: bool) -> None:
    """Nobody has to tell it of them, and the usual way to run Nimbus is this one."""
    words = ["/opt/nimbus_beacon_node", "--network=hoodi"]
    words += {"argument": ["--data-dir=/d/n"], "relative": ["--data-dir", "n"]}.get(how, [])
    folder = process(tmp_path, 7, "nimbus_beacon_n", *words)
    place = {"argument": "root/d/n", "default": "root/.cache/nimbus/BeaconNode", "relative": "cwd/n"}.get(how, "root/k")
    place = folder / place / "validators"
    (place / ("0x" + "ab" * 48) if keys else place).mkdir(parents=True)
    if how == "its-own-history-open":
        (folder / "fd/9").symlink_to("/k/validators/slashing_protection.sqlite3")
    assert [seen["client"] for seen in found(tmp_path)] == (["Nimbus"] if keys else [])


@pytest.mark.parametrize("name", ["validator", "lighthouse", "nimbus_validator_client", "vouch", "web3signer"])
def test_a_name_is_enough_wherever_it_stands(tmp_path: Path, name: str) -> None:
    process(tmp_path, 1, name, "other", "vc")
    process(tmp_path, 2, "main", f"/x/{name}", "vc")
    process(tmp_path, 3, "main", "other", "vc", exe=f"/x/{name}")
    process(tmp_path, 4, "main", "other", "vc", exe=f"/x/{name} (deleted)")
    assert [seen["pid"] for seen in found(tmp_path)] == [1, 2, 3, 4]


def test_further_names_can_be_given(tmp_path: Path) -> None:
    process(tmp_path, 1, "signer-of-ours-with-a-long-name", "x")
    process(tmp_path, 2, "main", "/opt/signer-of-ours-with-a-long-name")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("")
    assert len(signers(str(tmp_path), ["signer-of-ours-with-a-long-name"])) == 2


@pytest.mark.parametrize(
    ("variable", "config", "signs"),
    [
        ("TEKU_VALIDATOR_KEYS=/k:/p", None, True),
        ("TEKU_DATA_PATH=/d", None, False),
        ("HOME=/", "validator-keys: /k:/p", True),
        ("HOME=/", "data-path: /d", False),
        ("HOME=/", "", True),
    ],
)
def test_a_beacon_node_is_asked_for_its_keys(tmp_path: Path, variable: str, config: str | None, signs: bool) -> None:
    words = ["java", "tech.pegasys.teku.Teku", "--data-path=/d"]
    folder = process(tmp_path, 5, "java", *words, *(["--config-file=/etc/t.yaml"] if config is not None else []))
    (folder / "environ").write_text(variable + "\0")
    if config:
        (folder / "root/etc").mkdir(parents=True)
        (folder / "root/etc/t.yaml").write_text(config)
    assert bool(found(tmp_path)) is signs


def test_a_process_that_cannot_be_read_counts_as_one(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "comm").mkdir()
    assert "cannot be read" in found(tmp_path)[0]["reason"]
    folder = process(tmp_path, 6, "validator", "validator")
    (folder / "mountinfo").unlink()
    (folder / "mountinfo").mkdir()
    assert "its mounts cannot be read" in found(tmp_path)[1]["reason"]


def test_a_process_that_has_just_gone_does_not(tmp_path: Path) -> None:
    (tmp_path / "6").mkdir()
    assert found(tmp_path) == []


HOST = """22 1 254:1 / / rw - ext4 /dev/root rw
30 22 0:40 / /sys rw - sysfs sysfs rw
31 22 254:9 / /srv/big\\040disk rw - xfs /dev/vdb rw
32 22 254:1 /data /export rw - ext4 /dev/root rw
"""
CONTAINER = """90 80 0:90 / / rw - overlay overlay rw
91 90 254:1 /data/prysm/wallet /wallet ro - ext4 /dev/root rw
92 90 254:9 /w /big rw - xfs /dev/vdb rw
93 90 0:99 / /data/prysm/validator rw - nfs4 172.20.10.10:/data/prysm/validator1 rw,vers=4.2
94 90 254:1 /var/lib/kubelet/pods/1/etc-hosts /etc/hosts rw - ext4 /dev/root rw
95 90 0:33 / /proc rw - proc proc rw
"""


def test_says_whose_disks_a_process_has(tmp_path: Path) -> None:
    folder = process(tmp_path, 5, "validator", "validator")
    (folder / "mountinfo").write_text(CONTAINER)
    (folder / "fd/3").symlink_to("/data/prysm/validator/validator.db")
    (folder / "fd/4").symlink_to("/data/prysm/validator/beaconchaindata/x.db")
    (folder / "fd/5").symlink_to("/wallet/validator.db (deleted)")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(HOST)
    assert found(tmp_path)[0]["volumes"] == [
        "/export/prysm/wallet",
        "/export/prysm/wallet/validator.db",
        "/srv/big disk/w",
        "172.20.10.10:/data/prysm/validator1",
        "172.20.10.10:/data/prysm/validator1/validator.db",
    ]


def test_a_process_outside_of_containers_has_the_whole_disk_and_says_only_its_servers(tmp_path: Path) -> None:
    nfs = HOST + "33 22 0:50 / /mnt rw - nfs4 10.0.0.1:/w rw\n"
    folder = process(tmp_path, 5, "validator", "validator")
    (folder / "mountinfo").write_text(nfs)
    (folder / "fd/3").symlink_to("/mnt/validator.db")
    (folder / "fd/4").symlink_to("/home/me/validator.db")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(nfs)
    assert found(tmp_path)[0]["volumes"] == ["/home/me/validator.db", "10.0.0.1:/w", "10.0.0.1:/w/validator.db"]


@pytest.mark.parametrize(
    ("name", "words", "script"),
    [
        ("validator", [], False),
        ("lighthouse", [], False),
        ("nimbus_validator_client", [], False),
        ("teku", [], False),
        ("grandine", [], False),
        ("vouch", [], False),
        ("charon", [], False),
        ("lodestar", ["validator"], True),
        ("lighthouse", ["vc"], True),
        ("teku.py", ["vc"], True),
        ("sleeper", [], False),
    ],
)
def test_real_processes(tmp_path: Path, name: str, words: list[str], script: bool) -> None:
    program = tmp_path / name
    if script:
        program.write_text("import time\ntime.sleep(60)\n")
    else:
        shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    command = [sys.executable, str(program), *words] if script else [str(program), "60"]
    with subprocess.Popen(command) as child:
        try:
            deadline = time.monotonic() + 10
            while str(program).encode() not in Path(f"/proc/{child.pid}/cmdline").read_bytes():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            pids = [seen["pid"] for seen in signers("/proc", ["validator"])]
        finally:
            child.kill()
    assert (child.pid in pids) is (name != "sleeper")


def test_is_fast_with_thousands_of_processes(tmp_path: Path) -> None:
    for pid in range(1, 3001):
        process(tmp_path, pid, "containerd-shim", "/snap/microk8s/current/bin/containerd-shim-runc-v2", "-id", "f" * 64)
    start = time.process_time()
    assert found(tmp_path) == []
    assert time.process_time() - start < 3


STATUS = "Name:\tvalidator\nState:\t{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\n"


def thread(
    folder: Path, number: int, state: str = "D (disk sleep)", own: int = 0, shared: int = 0, flags: int = 0
) -> None:
    place = folder / "task" / str(number)
    place.mkdir(parents=True)
    (place / "status").write_text(STATUS.format(state, own, shared))
    (place / "stat").write_text(f"{number} (a) D (b) {state[0]} 1 1 1 0 -1 {flags} 0 0")


ALIVE, KILLED = {}, {"own": 1 << 8}


@pytest.mark.parametrize(
    ("threads", "ending"),
    [
        pytest.param([ALIVE], False, id="alive"),
        pytest.param([{"own": 1 << 14, "shared": 1 << 14}], False, id="terminated"),
        pytest.param([KILLED], True, id="killed"),
        pytest.param([{"shared": 1 << 8}], True, id="killed-as-a-whole"),
        pytest.param([{"flags": 0x400000 | 0x4}], True, id="exits"),
        pytest.param([{"flags": 0x400000 | 0x100}], False, id="other-flags"),
        pytest.param([{"state": "Z (zombie)"}], True, id="zombie"),
        pytest.param([KILLED, ALIVE], False, id="one-thread-alive"),
        pytest.param([KILLED, {"flags": 0x4}], True, id="both"),
    ],
)
def test_a_process_that_was_killed_signs_no_more(tmp_path: Path, threads: list[dict[str, t.Any]], ending: bool) -> None:
    folder = process(tmp_path, 7, "validator", *SIGNS["prysm"])
    for number, given in enumerate(threads, 7):
        thread(folder, number, **given)
    (item,) = found(tmp_path)
    assert (item["ending"], is_ending(str(folder))) == (ending, ending)


def test_one_that_cannot_be_read_may_live(tmp_path: Path) -> None:
    folder = process(tmp_path, 7, "validator", *SIGNS["prysm"])
    assert is_ending(str(folder)) is False
    thread(folder, 7, **KILLED)
    (folder / "task/7/status").write_text("State:\tD\n")
    assert is_ending(str(folder)) is False


def test_a_real_process_ends_when_it_is_killed() -> None:
    with subprocess.Popen(["sleep", "60"]) as real:
        folder = f"/proc/{real.pid}"
        assert is_ending(folder) is False
        real.kill()
        deadline = time.monotonic() + 10
        while not is_ending(folder) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_ending(folder) is True
