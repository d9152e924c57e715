"""Where a machine serves SSH, from the texts that Debian and Ubuntu give."""

from __future__ import annotations

import fnmatch

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _sshd


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
        pytest.param('"Port" 22 # before\n', ['"Port" 22 # before'], [], id="quoted"),
        pytest.param(
            "ListenAddress \"127.0.0.1:22\"\nListenAddress = '[::1]:22' # one\n",
            [],
            ['ListenAddress "127.0.0.1:22"', "ListenAddress = '[::1]:22' # one"],
            id="quoted-address-and-port",
        ),
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


MAIN = "/etc/ssh/sshd_config"
OWN = "/etc/ssh/sshd_config.d/10-eth2xk8s-port.conf"
DROP_IN = "Include /etc/ssh/sshd_config.d/*.conf\n"


def configuration(texts: dict[str, str]) -> tuple[dict[str, list[str]], bool]:
    """Lines that set a port, by file, and whether a file of ours would be read."""

    def read(path: str) -> str:
        return texts.get(path, "")

    def find(pattern: str) -> list[str]:
        return sorted(path for path in texts if fnmatch.fnmatchcase(path, pattern))

    found = _sshd.files(MAIN, read, find)
    ports = {path: _sshd.port_lines("\n".join(lines)) for path, lines in found}
    return {path: lines for path, lines in ports.items() if lines}, _sshd.reads(found, OWN, MAIN, read)


@pytest.mark.parametrize(
    ("texts", "ports", "reads"),
    [
        pytest.param({MAIN: DROP_IN + "Port 22\n"}, {MAIN: ["Port 22"]}, True, id="default"),
        pytest.param({MAIN: "Port 22\n"}, {MAIN: ["Port 22"]}, False, id="nothing-is-included"),
        pytest.param(
            {MAIN: DROP_IN + "Include /etc/own/ssh.conf\n", "/etc/own/ssh.conf": "Port 22\n"},
            {"/etc/own/ssh.conf": ["Port 22"]},
            True,
            id="from-elsewhere",
        ),
        pytest.param(
            {
                MAIN: 'include = "hard/*.conf" other\n',
                "/etc/ssh/hard/a.conf": "Port 22\n",
                "/etc/ssh/other": "port=23\n",
            },
            {"/etc/ssh/hard/a.conf": ["Port 22"], "/etc/ssh/other": ["port=23"]},
            False,
            id="relative-quoted-and-several",
        ),
        pytest.param(
            {MAIN: DROP_IN, "/etc/ssh/sshd_config.d/a.conf": "Include /x\n", "/x": "Include /y\n", "/y": "Port 1\n"},
            {"/y": ["Port 1"]},
            True,
            id="included-by-what-is-included",
        ),
        pytest.param({MAIN: "Match User git\n" + DROP_IN, OWN: "Port 22\n"}, {}, False, id="behind-a-match-line"),
        pytest.param(
            {MAIN: "Match User git\nMatch all\n" + DROP_IN, OWN: "Port 22\n"},
            {OWN: ["Port 22"]},
            True,
            id="for-all-again",
        ),
        pytest.param(
            {MAIN: "Match All # again\nInclude '/etc/ssh/sshd_config.d/*.conf' # all\n", OWN: "Port 22\n"},
            {OWN: ["Port 22"]},
            True,
            id="with-comments",
        ),
        pytest.param(
            {MAIN: "Include /m\nPort 22\n", "/m": "Match User git\nX11Forwarding no\n"},
            {MAIN: ["Port 22"]},
            False,
            id="a-match-line-ends-with-its-file",
        ),
        pytest.param({MAIN: "Include /etc/ssh/sshd_config\nPort 22\n"}, {MAIN: ["Port 22"]}, False, id="in-a-circle"),
        pytest.param({MAIN: "#" + DROP_IN + " Include " + OWN}, {}, True, id="our-file-alone"),
    ],
)
def test_files_are_read_as_sshd_reads_them(texts: dict[str, str], ports: dict[str, list[str]], reads: bool) -> None:
    assert configuration(texts) == (ports, reads)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", []),
        ("-D -4", []),
        ("-p 2222", ["-p 2222"]),
        ("-4 -p2222", ["-p2222"]),
        ("-o Port=2222", ["-o Port=2222"]),
        ("-oListenAddress=10.0.0.1", ["-oListenAddress=10.0.0.1"]),
        ("-o PermitRootLogin=no", []),
        ("-f /etc/own", ["-f /etc/own"]),
    ],
)
def test_what_the_command_line_says_of_ports(options: str, told: list[str]) -> None:
    assert _sshd.told(options) == told


@pytest.mark.parametrize(
    ("text", "both", "addresses", "others"),
    [
        pytest.param("Listen=[::]:22 (Stream)\n", True, ["0.0.0.0", "[::]"], [], id="ubuntu"),
        pytest.param("Listen=[::]:22 (Stream)\n", False, ["[::]"], [], id="ipv6-alone"),
        pytest.param(
            "Listen=0.0.0.0:22 (Stream)\nListen=[::]:22 (Stream)\n", False, ["0.0.0.0", "[::]"], [], id="each"
        ),
        pytest.param("Listen=172.20.10.12:22 (Stream)\n", True, ["172.20.10.12"], [], id="one-address"),
        pytest.param(
            "Listen=10.0.0.5:22 (Stream) [fd00::5]:22 (Stream) /run/ssh.sock (Stream)\n",
            True,
            ["10.0.0.5", "[fd00::5]"],
            ["/run/ssh.sock"],
            id="several-and-a-path",
        ),
        pytest.param(
            "Listen=10.0.0.5:22 (Stream)\nListen=10.0.0.5:2222 (Stream)\n", True, ["10.0.0.5"], [], id="two-ports"
        ),
    ],
)
def test_the_addresses_of_the_socket(text: str, both: bool, addresses: list[str], others: list[str]) -> None:
    assert _sshd.addresses(_sshd.listens(text), both) == (addresses, others)
