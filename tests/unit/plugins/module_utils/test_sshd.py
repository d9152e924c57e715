"""Where a machine serves SSH, from the texts that Debian and Ubuntu give."""

from __future__ import annotations

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _sshd


def test_effective_ports() -> None:
    assert _sshd.effective_ports("port 2222\nport 22\naddressfamily any\nlistenaddress 0.0.0.0:22\n") == [22, 2222]


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        pytest.param("Listen=[::]:22 (Stream)\nActiveState=active\n", [22], id="ubuntu-22.10"),
        pytest.param("Listen=0.0.0.0:2222 (Stream)\nListen=[::]:2222 (Stream)\n", [2222], id="ubuntu-24.04-moved"),
        pytest.param("ActiveState=inactive\n", [], id="none"),
    ],
)
def test_ports_of_the_socket(text: str, ports: list[int]) -> None:
    assert _sshd.socket_ports(text) == ports


@pytest.mark.parametrize(
    ("text", "ports", "listens"),
    [
        pytest.param("#Port 22\nInclude /etc/ssh/sshd_config.d/*.conf\n", [], [], id="default"),
        pytest.param("port=2222\n  Port 22\n", ["port=2222", "Port 22"], [], id="spellings"),
        pytest.param("ListenAddress 172.20.10.10\nListenAddress ::\n", [], [], id="addresses-alone"),
        pytest.param("ListenAddress 0.0.0.0:22\n", [], ["ListenAddress 0.0.0.0:22"], id="address-and-port"),
        pytest.param("ListenAddress [::]:22\n", [], ["ListenAddress [::]:22"], id="address-and-port-6"),
        pytest.param("Match User git\n  Port 23\n", [], [], id="inside-match"),
    ],
)
def test_lines_that_set_a_port(text: str, ports: list[str], listens: list[str]) -> None:
    assert _sshd.port_lines(text) == ports
    assert _sshd.listen_lines(text) == listens


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0000 100 0 0 10 0
   1: 0A0A14AC:0016 010014AC:9C40 01 00000000:00000000 02:00000000 00000000     0        0 5678 2 0000 20 4 1 10 -1
"""


def test_only_listening_sockets_count() -> None:
    assert _sshd.listening(TCP) == {"1234": 22}


@pytest.mark.parametrize(
    ("client", "sources", "allowed"),
    [
        pytest.param("172.20.0.1", [], True, id="everybody"),
        pytest.param("172.20.0.1", ["172.20.0.0/20"], True, id="inside"),
        pytest.param("::ffff:172.20.0.1", ["172.20.0.0/20"], True, id="mapped"),
        pytest.param("10.0.0.1", ["172.20.0.0/20", "10.0.0.2"], False, id="outside"),
        pytest.param("fe80::1%eth0", ["fe80::/10"], True, id="scoped"),
    ],
)
def test_who_may_come_in(client: str, sources: list[str], allowed: bool) -> None:
    assert _sshd.allowed(client, sources) is allowed


def test_a_source_that_is_no_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="office"):
        _sshd.allowed("10.0.0.1", ["office"])


def test_the_connection_is_read_from_the_environment() -> None:
    words = {"SSH_CONNECTION": "172.20.0.1 40000 172.20.10.10 22"}
    assert _sshd.connection(words) == {"client": "172.20.0.1", "server": "172.20.10.10", "server_port": 22}
    assert _sshd.connection({}) is None
