"""What strangers can mount, and which file decides how the server runs: by what is there, not by how it is spelled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd
from ansible_collections.eth2xk8s.staking.plugins.modules import nfs_server_info as module

ROOT = Path(__file__).parents[4]
NODES = ["172.20.10.11", "172.20.10.12"]
OPTIONS = "rw,sync,no_subtree_check,root_squash,sec=sys,fsid=1001"
OURS = "".join(f"/data/prysm\t{node}({OPTIONS})\n" for node in NODES)
CONF = "/etc/nfs.conf.d/zz-eth2xk8s.conf"
WANTED = {"threads": 8, "vers3": "n", "vers4": "y", "lease-time": 15, "grace-time": 15}


def machine(root: Path, **files: str) -> Path:
    """A machine's files below a root; names with `__` for `/`, and `_._` for a dot."""
    texts = {
        "proc/fs/nfsd/threads": "8\n",
        "proc/fs/nfsd/versions": "-3 +4 -4.0 +4.1 +4.2\n",
        "proc/fs/nfsd/nfsv4leasetime": "15\n",
        "proc/fs/nfsd/nfsv4gracetime": "15\n",
        "proc/sys/fs/leases-enable": "0\n",
        "var/lib/nfs/etab": OURS,
        **files,
    }
    for folder in ("proc/fs/nfsd/clients", "data/prysm/validator1", "data/old"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def report(root: Path, **options: t.Any) -> dict[str, t.Any]:
    return module.report(module.Reader(str(root)), "/data/prysm", NODES, **options)


def given(root: Path) -> set[tuple[str, str]]:
    return {(item["path"], item["client"]) for item in report(root)["strangers"]}


@pytest.mark.parametrize(
    ("line", "clients"),
    [
        pytest.param(
            "/data/prysm\t10.0.0.0/24(rw,sync) 10.1.0.0/24(rw,sync)", {"10.0.0.0/24", "10.1.0.0/24"}, id="tab"
        ),
        pytest.param("/data/prysm \t  a(rw)\t\tb(ro)", {"a", "b"}, id="tabs-and-spaces"),
        pytest.param("/data/prysm 172.20.10.11 (rw,sync)", {"*"}, id="space-before-the-bracket"),
        pytest.param("/data/prysm -rw,sync 172.20.10.11 10.9.9.9", {"10.9.9.9"}, id="default-options"),
        pytest.param("/data/prysm", {"*"}, id="no-client"),
        pytest.param("/data/prysm -ro", {"*"}, id="options-alone"),
        pytest.param("/data/old/../prysm *(rw)", {"*"}, id="dot-dot"),
        pytest.param("//data//prysm/ *(rw)", {"*"}, id="slashes"),
        pytest.param("/data/./prysm/validator1/. @group(rw)", {"@group"}, id="below-with-dots"),
        pytest.param('"/data/prysm" "*"(rw)', {"*"}, id="quoted"),
        pytest.param("/data/pr\\171sm *.lan(rw)", {"*.lan"}, id="octal"),
        pytest.param("/data/prysm 172.20.10.11(rw) \\\n\t172.20.10.13(rw)", {"172.20.10.13"}, id="continued"),
        pytest.param("/ gss/krb5(ro)", {"gss/krb5"}, id="everything"),
        pytest.param("/data/prysm 172.20.10.11/24(rw)", {"172.20.10.11/24"}, id="a-network-around-a-node"),
        pytest.param("/data/prysm 172.20.10.11/32(rw) 172.20.10.12(rw)", set(), id="nodes-alone"),
        pytest.param("/data/prysm-old *(rw)\n/srv *(ro,fsid=0)", set(), id="something-else"),
        pytest.param("# /data *(rw)\n/srv/x 172.20.10.11 # /data/prysm *(rw)", set(), id="comments"),
        pytest.param("/srv/gone *(rw)", set(), id="nothing-is-there"),
        pytest.param("/srv/v4 *(ro,fsid=0)\n/srv/v4/prysm *(rw,nohide)", {"*"}, id="to-be-bound-below-the-pseudo-root"),
    ],
)
@pytest.mark.parametrize("file", ["etc/exports", "etc/exports.d/other.exports", "var/lib/nfs/etab"])
def test_who_is_given_the_data(tmp_path: Path, file: str, line: str, clients: set[str]) -> None:
    (tmp_path / "srv").mkdir()
    assert {client for _path, client in given(machine(tmp_path, **{file: line + "\n"}))} == clients


@pytest.mark.parametrize("name", ["old.exports~", ".hidden.exports", "readme"])
def test_a_file_that_exportfs_does_not_read_gives_nothing(tmp_path: Path, name: str) -> None:
    assert given(machine(tmp_path, **{f"etc/exports.d/{name}": "/data *(rw)\n"})) == set()


def test_another_name_for_the_data_is_the_data(tmp_path: Path) -> None:
    root = machine(tmp_path, **{"etc/exports": "/link *(rw)\n/up *(rw)\n/down *(rw)\n/aside *(rw)\n"})
    for name, target in (
        ("link", "data/prysm"),
        ("up", "data"),
        ("down", "data/prysm/validator1"),
        ("aside", "data/old"),
    ):
        (root / name).symlink_to(root / target)
    assert {path for path, _client in given(root)} == {"/link", "/up", "/down"}


BIND = """
set -e; cd {root}
mkdir -p srv/v4/prysm srv/below srv/above srv/other music
mount --bind data/prysm srv/v4/prysm
mount --bind data/prysm/validator1 srv/below
mount --bind data srv/above
mount --bind data/old srv/other
exec {python} -c '{code}' {root} {nodes}
"""
CODE = """
import json, sys
from ansible_collections.eth2xk8s.staking.plugins.modules import nfs_server_info as module
root, *nodes = sys.argv[1:]
print(json.dumps(module.report(module.Reader(root), "/data/prysm", nodes, directories=["/data/prysm/validator1"])))
"""
BOUND = (
    "/srv/v4/prysm *(rw)\n/srv/below *(rw)\n/srv/above/prysm *(rw)\n/srv/other *(rw)\n/music *(rw)\n"
    "/srv/v4 10.0.0.1(ro,crossmnt)\n/srv 10.0.0.2(ro)\n"
)


def in_namespace(script: str) -> str:
    """Run a script that mounts, where nobody else sees it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode and "not permitted" in done.stderr:
        pytest.skip("needs root")
    assert done.returncode == 0, done.stderr
    return done.stdout


def bound(root: Path, more: str = "") -> dict[str, t.Any]:
    script = BIND.format(root=root, python=sys.executable, code=CODE, nodes=" ".join(NODES))
    return t.cast("dict[str, t.Any]", json.loads(in_namespace(more.format(root=root) + script)))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("file", ["etc/exports", "var/lib/nfs/etab"])
def test_bind_mounts_of_the_data_above_it_and_below_it_are_the_data(tmp_path: Path, file: str) -> None:
    found = bound(machine(tmp_path, **{file: BOUND}))
    assert {item["path"] for item in found["strangers"]} == {
        "/srv/v4/prysm",
        "/srv/below",
        "/srv/above/prysm",
        "/srv/v4",
    }
    assert found["unseen"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_directory_on_a_mount_of_its_own_is_not_what_the_nodes_see(tmp_path: Path) -> None:
    found = bound(machine(tmp_path), "mount -t tmpfs none {root}/data/prysm/validator1\n")
    assert found["unseen"] == [
        f"/data/prysm/validator1 is on a mount of its own ({os.path.realpath(tmp_path)}/data/prysm/validator1)"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_disk_below_the_data_may_be_given_by_another_name(tmp_path: Path) -> None:
    root = machine(tmp_path, **{"etc/exports": "/srv/below *(rw)\n/srv/other *(rw)\n/music *(rw)\n"})
    found = bound(root, "mount -t tmpfs none {root}/data/prysm/validator1\n")
    assert {item["path"] for item in found["strangers"]} == {"/srv/below"}


def test_a_directory_that_is_a_link_is_not_what_the_nodes_see(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "data/prysm/v2").symlink_to(root / "data/old")
    found = report(root, directories=["/data/prysm/validator1", "/data/prysm/v2", "/data/prysm/to-come"])
    assert [item.split()[0] for item in found["unseen"]] == ["/data/prysm/v2"]


def test_where_a_linked_export_leads(tmp_path: Path) -> None:
    root = machine(tmp_path)
    assert report(root)["real_path"] == "/data/prysm"
    (root / "data").rename(root / "big")
    (root / "data").symlink_to("big")
    assert report(root)["real_path"] == "/big/prysm"


def test_everybody_is_said_in_words(tmp_path: Path) -> None:
    found = report(machine(tmp_path, **{"etc/exports": "/data/prysm 172.20.10.11 (rw)\n"}))["strangers"]
    assert [item["who"] for item in found] == ["* (everybody)"]


@pytest.mark.parametrize("file", ["etc/exports", "etc/exports.d/media.exports", "var/lib/nfs/etab"])
def test_another_root_of_nfsv4_is_named(tmp_path: Path, file: str) -> None:
    found = report(machine(tmp_path, **{file: "/data/old *(ro,fsid=0)\n"}))
    assert [(item["path"], item["file"], item["who"]) for item in found["roots"]] == [
        ("/data/old", "/" + file, "* (everybody)")
    ]
    assert found["strangers"] == []


def test_exports_that_cannot_be_read_are_a_problem(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "etc/exports.d/other.exports").mkdir(parents=True)
    assert any("other.exports cannot be read" in problem for problem in report(root)["problems"])


def test_another_file_that_exports_to_a_node_is_named(tmp_path: Path) -> None:
    root = machine(tmp_path, **{"etc/exports": "/data/prysm 172.20.10.11(rw,no_root_squash)\n"})
    assert [item["file"] for item in report(root)["rivals"]] == ["/etc/exports"]


THREADS = "[nfsd]\nthreads = 16\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param({}, [], id="none"),
        pytest.param({"etc/nfs.conf": THREADS}, [], id="read-before"),
        pytest.param({"etc/nfs.conf.d/local.conf": THREADS}, [], id="local.conf-is-read-before"),
        pytest.param({"etc/nfs.conf.d/zzz.conf": THREADS}, [("zzz.conf", "threads", "16")], id="read-after"),
        pytest.param({"etc/nfs.conf.d/zzz.conf": "[nfsd]\nthreads=8\nvers3=no\n"}, [], id="read-after-and-the-same"),
        pytest.param(
            {"etc/nfs.conf.d/zzz.conf": '[ nfsd ]\n Vers3 = "YES"  # old clients\n; vers4=n\n'},
            [("zzz.conf", "vers3", "YES")],
            id="other-spellings",
        ),
        pytest.param({"etc/nfs.conf.d/zzz.conf": "[mountd]\nthreads=16\n"}, [], id="another-section"),
        pytest.param({"etc/nfs.conf.d/zzz.bak": THREADS}, [], id="not-read"),
        pytest.param(
            {"etc/nfs.conf.d/zzz.conf": "include = /etc/mine\n", "etc/mine": THREADS},
            [("mine", "threads", "16")],
            id="included",
        ),
        pytest.param({"etc/nfs.conf": "[nfsd]\nhost=127.0.0.1\n"}, [("nfs.conf", "host", "127.0.0.1")], id="bound"),
        pytest.param({"etc/nfs.conf": "[nfsd]\n# port=0\nport=2049\n"}, [], id="the-usual-port"),
        pytest.param(
            {"etc/nfs.conf.d/zzz.conf": THREADS, "etc/nfs.conf.d/zzzz.conf": "[nfsd]\nthreads=8\n"},
            [],
            id="overridden-in-turn",
        ),
        pytest.param(
            {"etc/systemd/system/nfs-server.service.d/x.conf": "[Service]\nExecStart=\nExecStart=rpc.nfsd 16\n"},
            [("x.conf", "ExecStart", "rpc.nfsd 16")],
            id="in-the-unit",
        ),
        pytest.param(
            {
                "etc/systemd/system/nfs-server.service": (
                    "[Service]\nExecStart=/bin/sh -c '/usr/sbin/nfsdctl autostart || /usr/sbin/rpc.nfsd'\n"
                )
            },
            [],
            id="a-unit-without-settings",
        ),
    ],
)
@pytest.mark.parametrize("written", [True, False])
def test_values_that_win_over_ours(tmp_path: Path, files: dict[str, str], found: list[t.Any], written: bool) -> None:
    text = "[nfsd]\n" + "".join(f"{key}={value}\n" for key, value in WANTED.items())
    root = machine(tmp_path, **files, **({CONF[1:]: text} if written else {}))
    overrides = report(root, wanted=WANTED, file=CONF)["overrides"]
    assert [(Path(item["file"]).name, item["key"], item["value"]) for item in overrides] == found


def test_files_are_read_in_the_order_of_their_numbers() -> None:
    assert _nfsd.conf_order(["10-a.conf", "9-a.conf", "a.conf", "x", ".b.conf"]) == ["9-a.conf", "10-a.conf", "a.conf"]
    ours = "zz-eth2xk8s.conf"
    assert _nfsd.conf_order(["zz-eth2xk8s10.conf", "zz-eth2xk8s9.conf", ours, "zz-Z.conf", "009.conf"]) == [
        "009.conf", "zz-Z.conf", ours, "zz-eth2xk8s9.conf", "zz-eth2xk8s10.conf",
    ]  # fmt: skip
