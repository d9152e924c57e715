"""What the kernel's NFS server says about itself, as Linux 5.4 to 7.2 say it."""

from __future__ import annotations

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd

STATES = """\
- 0x00000001a2f3: { type: open, access: rw, superblock: "fe:00:1234", filename: "/data/v1/validator.db" }
- 0x00000002a2f3: { type: lock, superblock: "fe:00:1234", filename: "/data/v1/validator.db", owner: "lock id:\\x01" }
- 0x00000003a2f3: { type: deleg, access: w, superblock: "fe:00:1234", filename: "/data/v1/prysm.lock" }
"""
ETAB = (
    "/data/prysm\t172.20.10.11(rw,sync,wdelay,hide,root_squash,fsid=1001,sec=sys,rw,secure)\n"
    "/data/prysm\t172.20.10.12(rw,sync,wdelay,hide,root_squash,fsid=1001,sec=sys,rw,secure)\n"
)


def test_versions() -> None:
    assert _nfsd.parse_versions("-3 +4 -4.0 +4.1 +4.2\n") == ["4", "4.1", "4.2"]


def test_states_name_their_type_and_file() -> None:
    found = _nfsd.parse_states(STATES)
    assert [state["type"] for state in found] == ["open", "lock", "deleg"]
    assert {state["filename"] for state in found[:2]} == {"/data/v1/validator.db"}


@pytest.mark.parametrize("text", ["something else\n", "- 0x1: { access: rw }\n"])
def test_a_state_that_is_not_understood_is_no_guess(text: str) -> None:
    with pytest.raises(_nfsd.NfsdError):
        _nfsd.parse_states(text)


@pytest.mark.parametrize(
    ("address", "host"),
    [("172.20.10.11:871", "172.20.10.11"), ("[fd00::1]:871", "fd00::1")],
)
def test_the_host_of_an_address(address: str, host: str) -> None:
    assert _nfsd.host_of(address) == host


@pytest.mark.parametrize(
    ("text", "clients"),
    [
        pytest.param(ETAB, ["172.20.10.11", "172.20.10.12"], id="etab"),
        pytest.param("/data *(rw,sync,no_subtree_check) # tutorial\n", ["*"], id="the-tutorials-line"),
        pytest.param("/data a(rw) \\\n b(ro)\n", ["a", "b"], id="continued"),
        pytest.param("/data\n", ["*"], id="everybody"),
        pytest.param("/data node1 @group\n", ["node1", "@group"], id="without-options"),
        pytest.param('"/my data" a(rw)\n', ["a"], id="quoted"),
        pytest.param("# /data *(rw)\n\n", [], id="comment"),
        # As exportfs 2.6.2 does.
        pytest.param("#/data a(rw) \\\n/data b(rw)\n", ["b"], id="a-comment-is-not-continued"),
        pytest.param("/data a(rw) # c \\\n/srv b(rw)\n", ["a", "b"], id="a-comment-ends-the-line"),
        pytest.param("/data \\052(rw)\n", ["*"], id="everybody-by-number"),
        pytest.param("/data a(rw) -ro\n", ["a", "*"], id="options-without-a-client"),
        pytest.param("/data -ro a -rw b\n", ["a", "b"], id="options-before-clients"),
    ],
)
def test_who_is_given_what(text: str, clients: list[str]) -> None:
    assert sorted(item["client"] for item in _nfsd.parse_exports(text)) == sorted(clients)


@pytest.mark.parametrize(
    ("exported", "stranger"),
    [
        pytest.param("/data *(rw)", True, id="the-directory-above-to-everybody"),
        pytest.param("/ 10.0.0.1(ro)", True, id="everything"),
        pytest.param("/data/prysm/beacon 10.0.0.1(ro)", True, id="one-directory-below"),
        pytest.param("/data/prysm-old *(rw)", False, id="a-name-that-begins-alike"),
        pytest.param("/srv *(ro)", False, id="something-else"),
        pytest.param("/data/prysm 172.20.10.11(rw)", False, id="a-node"),
    ],
)
def test_strangers(exported: str, stranger: bool) -> None:
    found = _nfsd.strangers(_nfsd.parse_exports(exported), "/data/prysm", ["172.20.10.11", "172.20.10.12"])
    assert bool(found) is stranger


@pytest.mark.parametrize(
    ("exported", "root"),
    [
        pytest.param("/srv/nfs4 *(rw,fsid=0)", True, id="everybody"),
        pytest.param("/srv/nfs4 172.20.0.0/20(ro,fsid=root)", True, id="the-network"),
        pytest.param("/srv/nfs4 172.20.10.12(ro,fsid=0)", True, id="a-node"),
        pytest.param("/srv/nfs4 -fsid=0 worker", True, id="a-name-may-be-a-node"),
        pytest.param("/srv/nfs4 10.0.0.0/8(ro,fsid=0) fd00::/8(fsid=0)", False, id="others"),
        pytest.param("/srv/nfs4 *(rw,fsid=10)", False, id="another-number"),
        pytest.param("/ 172.20.10.11(ro,fsid=0)", False, id="the-usual-root"),
    ],
)
def test_another_root_of_nfsv4(exported: str, root: bool) -> None:
    """The nodes would look for the data below it."""
    found = _nfsd.roots(_nfsd.parse_exports(exported), ["172.20.10.11", "172.20.10.12"])
    assert bool(found) is root
