"""What becomes of a packet in the rules in force: texts of iptables-save, and nftables tried with real packets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _netfilter, _reach, _ufw
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._netfilter import FORWARD, INPUT, OUTPUT, Packet

NODE = Packet(INPUT, "tcp", "172.20.10.11", "172.20.10.12", 10250, "eth0")
BEACON = Packet(INPUT, "udp", "93.184.215.14", "172.20.10.12", 13000, "eth0")
OUT = Packet(OUTPUT, "tcp", "172.20.10.12", "172.20.10.10", 2049, "", "eth0")
POD = Packet(FORWARD, "tcp", "10.1.128.1", "172.20.10.11", 16443, "cali+", "eth0")
UFW = """\
:ufw-before-input - [0:0]
:ufw-after-input - [0:0]
:ufw-user-input - [0:0]
:ufw-not-local - [0:0]
:ufw-logging-deny - [0:0]
%s
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
-A ufw-not-local -j DROP
-A ufw-user-input -s 172.20.10.11/32 -p tcp -m multiport --dports 10250,25000 -m comment --comment "a 'word'" -j ACCEPT
-A ufw-user-input -p udp -m udp --dport 13000 -j ACCEPT
"""


def save(ahead: str = "", policy: str = "DROP") -> str:
    return f"*filter\n:INPUT {policy} [0:0]\n:FORWARD {policy} [0:0]\n:OUTPUT ACCEPT [0:0]\n" + UFW % ahead + "COMMIT\n"


def fate(text: str, packet: Packet = NODE, **options: t.Any) -> _netfilter.Fate:
    return _netfilter.fate(packet, [_netfilter.parse_save(text)], **options)


def test_what_ufw_opens_is_open_and_the_rest_is_closed() -> None:
    assert fate(save()).passes is True
    assert fate(save(), BEACON).passes is True
    assert fate(save(), NODE._replace(source="172.20.10.13")) == (False, "the policy of INPUT")
    assert fate(save(), NODE._replace(port=19001)).passes is False
    assert fate(save(policy="ACCEPT"), NODE._replace(port=19001)).passes is True


@pytest.mark.parametrize(
    ("ahead", "passes"),
    [
        pytest.param("-A INPUT -j REJECT --reject-with icmp-host-prohibited", False, id="reject"),
        pytest.param("-A INPUT -s 172.16.0.0/12 -j DROP", False, id="a-network"),
        pytest.param("-A INPUT ! -s 172.16.0.0/12 -j DROP", True, id="not-a-network"),
        pytest.param("-A INPUT -i eth0 -p tcp -m tcp --dport 10000:11000 -j DROP", False, id="a-range-of-ports"),
        pytest.param("-A INPUT -p tcp -m multiport --ports 111,10250 -j DROP", False, id="a-port-of-either-end"),
        pytest.param("-A INPUT -p tcp -m multiport --ports 111,2049 -j DROP", True, id="ports-of-neither-end"),
        pytest.param("-A INPUT -i eth1 -j DROP", True, id="another-interface"),
        pytest.param("-A INPUT -i en+ -j DROP", True, id="other-interfaces"),
        pytest.param("-A INPUT -p tcp ! --dport 22 -j REJECT", False, id="all-but-one-port"),
        pytest.param("-A INPUT -m iprange --src-range 172.20.10.1-172.20.10.20 -j DROP", False, id="a-range"),
        pytest.param("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", False, id="new-connections"),
        pytest.param("-A INPUT -p tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j DROP", True, id="odd"),
        pytest.param("-A INPUT -m mark --mark 0x8000/0x8000 -j DROP", True, id="the-kubelets-mark"),
        pytest.param(
            "-A INPUT -p tcp -j MARK --set-xmark 0x8000/0x8000\n-A INPUT -m mark --mark 0x8000/0x8000 -j DROP",
            False,
            id="marked",
        ),
        pytest.param(
            "-A INPUT -m limit --limit 1/sec -j MARK --set-xmark 0x1/0x1\n-A INPUT -m mark --mark 0x1/0x1 -j DROP",
            None,
            id="perhaps-marked",
        ),
        pytest.param("-A INPUT -m recent --rcheck --seconds 60 --name x --rsource -j DROP", None, id="recent"),
        pytest.param("-A INPUT -m recent --set --name x --rsource\n-A INPUT -p tcp -j REJECT", False, id="no-target"),
        pytest.param("-A INPUT -m set --match-set blacklist src -j DROP", None, id="a-set"),
        pytest.param("-A INPUT -m hashlimit --hashlimit-above 10/sec --hashlimit-name x -j DROP", None, id="a-limit"),
        pytest.param(
            "-A INPUT -p tcp -m multiport --dports 22,10250 -j f2b\n-A f2b -s 9.9.9.9/32 -j REJECT\n-A f2b -j RETURN",
            True,
            id="fail2ban",
        ),
        pytest.param("-A INPUT -j own\n-A own -p tcp -j RETURN\n-A own -j DROP", True, id="returned"),
        pytest.param("-A INPUT -g own\n-A own -p udp -j ACCEPT", False, id="goto-leaves-to-the-policy"),
        pytest.param(
            "-A INPUT -j own\n-A own -p tcp -g last\n-A own -j DROP\n-A last -p udp -j DROP",
            True,
            id="goto-returns-to-the-caller",
        ),
        pytest.param(
            "-A INPUT -m set --match-set x src -j own\n-A own -j ACCEPT\n-A INPUT -j REJECT", None, id="perhaps-let-in"
        ),
        pytest.param(
            "-A INPUT -m set --match-set x src -j own\n-A own -p udp -j ACCEPT\n-A INPUT -j REJECT",
            False,
            id="for-other-packets",
        ),
        pytest.param("-A INPUT -j NFQUEUE --queue-num 0", None, id="a-program-decides"),
        pytest.param(
            '-A INPUT -m comment --comment "-j DROP all" -j LOG --log-prefix "x -j DROP"', True, id="only-words"
        ),
    ],
)
def test_a_rule_ahead_of_ufw(ahead: str, passes: bool | None) -> None:
    text = "".join(f":{name} - [0:0]\n" for name in ("own", "last", "f2b") if f"-A {name}" in ahead) + ahead
    found = fate(save(text))
    assert found.passes is passes
    if passes is False and "goto" not in ahead and "-g own" not in ahead:
        assert found.by in ahead.splitlines(), "it is named"


SETS = _netfilter.Sets("""\
create fh hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x877482a6
add fh 172.16.0.0/12
add fh 10.0.0.0/8
add fh 172.20.10.12 nomatch
create few hash:ip family inet hashsize 1024 maxelem 65536 timeout 100 counters comment
add few 172.20.10.11 timeout 99 packets 0 bytes 0 comment "a b"
create block hash:ip family inet hashsize 1024 maxelem 65536 netmask 24
add block 172.20.10.0
create pairs hash:ip,port family inet hashsize 1024 maxelem 65536
add pairs 172.20.10.11,tcp:10250
create six hash:net family inet6 hashsize 1024 maxelem 65536
add six fd00::/8
create none hash:net family inet hashsize 1024 maxelem 65536
create all list:set size 8
add all six
add all few
""")


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("--match-set fh src", False),
        ("--match-set fh dst", True),
        ("! --match-set fh src", True),
        ("! --match-set fh dst", False),
        ("--match-set few src", False),
        ("--match-set none src", True),
        ("! --match-set none src", False),
        ("--match-set six src", True),
        ("--match-set all src", False),
        ("--match-set all dst", True),
        ("--match-set block src", None),
        ("--match-set pairs src,dst", None),
        ("--match-set unknown src", None),
        ("--match-set few src --packets-gt 5", None),
        ("--match-set few src --return-nomatch", None),
    ],
)
def test_who_is_in_a_set(condition: str, passes: bool | None) -> None:
    text = save(f"-A INPUT -m set {condition} -j DROP")
    assert _netfilter.fate(NODE, [_netfilter.parse_save(text, sets=SETS)]).passes is passes


@pytest.mark.parametrize(
    ("table", "by"),
    [
        ("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth0 -p tcp -j DROP\nCOMMIT\n", "-t raw -A PREROUTING"),
        ("*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 10250 -j DROP\nCOMMIT\n", "-t mangle -A INPUT"),
        ("*security\n:INPUT DROP [0:0]\nCOMMIT\n", "-t security the policy"),
    ],
)
def test_the_other_tables_count(table: str, by: str) -> None:
    found = fate(save() + table)
    assert found.passes is False
    assert found.by.startswith(by)
    assert fate(save() + "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j DNAT --to 1.2.3.4\n").passes is True


def test_what_is_about_to_change_does_not_count() -> None:
    pending = {"opaque": {"ufw-user-input"}, "policies": False}
    text = save()
    other = NODE._replace(port=19001)
    assert fate(text, other).passes is False
    assert fate(text, other, **pending).passes is not False
    assert fate(save("-A INPUT -j REJECT"), other, **pending).passes is False


def test_a_rule_that_cannot_be_understood_is_an_error() -> None:
    with pytest.raises(_netfilter.FilterError):
        _netfilter.parse_save('-A INPUT -m comment --comment "open -j DROP\n')


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("cali+", "cali+", True),
        ("cali0123", "cali+", None),
        ("c+", "cali+", True),
        ("eth0", "cali+", False),
        ("eth0", "", None),
        ("lo", "", False),
        ("docker0", "", False),
        ("eth+", "eth0", True),
    ],
)
def test_interfaces(pattern: str, name: str, found: bool | None) -> None:
    assert _netfilter._interface(pattern, name) is found


# --- Which packets -------------------------------------------------------------------------------------------------


def routes(address: str) -> _reach.Route | None:
    return None if address in ("172.20.10.12", "10.9.9.9") or ":" in address else _reach.Route("eth0", "172.20.10.12")


INSIDE = _reach.Inside("10.1.0.0/16", "cali+", "10.152.183.0/24")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            {"proto": "tcp", "port": "10250,25000", "from_ip": "172.20.10.11"},
            [[NODE], [NODE._replace(port=25000)]],
            id="ports",
        ),
        pytest.param({"proto": "tcp", "port": "22", "from_ip": "172.20.10.12"}, [], id="from-itself"),
        pytest.param({"proto": "tcp", "port": "2049", "direction": "out", "to_ip": "172.20.10.10"}, [[OUT]], id="out"),
        pytest.param(
            {"proto": "tcp", "port": "16443", "route": True, "from_ip": "10.1.0.0/16", "to_ip": "172.20.10.11"},
            [[POD._replace(source="10.1.128.1")]],
            id="routed",
        ),
        pytest.param(
            {"proto": "tcp", "port": "16443", "interface_in": "cali+"},
            [[Packet(INPUT, "tcp", "10.1.128.1", "172.20.10.12", 16443, "cali+")]],
            id="from-a-pod",
        ),
        pytest.param({"proto": "udp", "port": "5", "from_ip": "fd00::/8"}, [], id="no-way-there"),
    ],
)
def test_packets_of_a_rule(options: dict[str, t.Any], expected: list[list[Packet]]) -> None:
    assert _reach.packets(_ufw.wanted(options), 4, routes, INSIDE) == expected


def test_anybody_is_somebody_in_each_part_of_the_world() -> None:
    (group,) = _reach.packets(_ufw.wanted({"proto": "udp", "port": "13000"}), 4, routes, None)
    assert len(group) == 3
    blocked = _reach.blocked([group], lambda p: _netfilter.Fate("8.8.8.8" in (p.source, p.target), "x"))
    assert list(blocked) == [], "a rule for one part of the world is somebody's own affair"
    assert list(_reach.blocked([group], lambda _p: _netfilter.Fate(False, "-A INPUT -j DROP")))
    assert list(_reach.blocked([group], lambda _p: _netfilter.Fate(None, ""))) == []


@pytest.mark.parametrize(
    ("ahead", "by"),
    [
        pytest.param("-A OUTPUT -d 172.16.0.0/12 -j DROP", True, id="private-networks"),
        pytest.param("-A OUTPUT -d 172.16.0.0/12 -m conntrack --ctstate NEW -j DROP", False, id="new-connections"),
        pytest.param("-A OUTPUT -p tcp --syn -d 172.16.0.0/12 -j DROP", False, id="first-packets"),
        pytest.param("-A OUTPUT -p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK -j DROP", True, id="second-packets"),
        pytest.param("-A OUTPUT -p tcp -m tcp --sport 10250 -j DROP", True, id="from-the-port"),
        pytest.param("-A OUTPUT -p tcp -m tcp --dport 10250 -j DROP", False, id="to-the-port"),
        pytest.param("-A OUTPUT -o eth1 -j DROP", False, id="another-interface"),
        pytest.param("-A OUTPUT -m state --state ESTABLISHED -j ACCEPT\n-A OUTPUT -j DROP", False, id="let-out"),
    ],
)
def test_what_gets_in_must_be_answered(ahead: str, by: bool) -> None:
    tables = [_netfilter.parse_save(save(ahead))]
    assert _netfilter.fate(NODE, tables).passes is True
    found = list(_reach.blocked([[NODE]], lambda packet: _netfilter.fate(packet, tables)))
    assert [(_reach.says(packet), rule) for packet, rule in found] == (
        [("the answer, tcp 172.20.10.12:10250 -> 172.20.10.11", ahead)] if by else []
    )


@pytest.mark.parametrize(
    "options",
    [
        {"proto": "tcp", "port": "16443", "from_ip": "10.1.0.0/16"},
        {"direction": "out", "to_ip": "10.1.0.0/16"},
        {"direction": "out", "to_ip": "10.152.183.0/24"},
    ],
    ids=str,
)
def test_a_guard_against_forged_addresses_stops_no_pod(options: dict[str, t.Any]) -> None:
    """A usual rule of images: what says it is from a private network does not come from the world's side."""
    guard = "-A INPUT -i eth0 -s 10.0.0.0/8 -j DROP\n-A OUTPUT -o eth0 -d 10.0.0.0/8 -j DROP"
    pods = "-A INPUT -s 10.1.0.0/16 -j ACCEPT"
    for ahead, stops in ((guard, False), (guard.replace("-i eth0 ", "").replace("-o eth0 ", ""), True)):
        tables = [_netfilter.parse_save(save(f"{ahead}\n{pods}"))]
        groups = _reach.packets(_ufw.wanted(options), 4, routes, INSIDE)
        assert groups
        assert bool(list(_reach.blocked(groups, lambda packet: _netfilter.fate(packet, tables)))) is stops  # noqa: B023


def test_sources_that_must_get_through_are_given() -> None:
    ssh = _ufw.wanted({"proto": "tcp", "port": "22"})
    assert _reach.packets(ssh, 4, routes, None, []) == []
    assert _reach.packets(ssh, 4, routes, None, ["172.20.0.1"])[0][0].source == "172.20.0.1"


# --- nftables, with real packets -----------------------------------------------------------------------------------

RULESETS = {
    "none": "",
    "other-table": "table inet a {{ chain c {{ type filter hook input priority 10; policy accept;\n{0}\n}}\n}}",
    "drop-policy": (
        "table ip a {{ chain c {{ type filter hook input priority -5; policy drop;\nct state established accept\n"
        'iifname "lo" accept\n{0}\n}}\n}}'
    ),
    "jumps": (
        "table inet a {{\nset s {{ type ipv4_addr; flags interval; elements = {{ 172.20.10.0/28, 9.9.9.9 }}; }}\n"
        "set p {{ type inet_service; elements = {{ 10250, 25000 }}; }}\n"
        "set every {{ type ipv4_addr; elements = {{ 9.9.9.9, * }}; }}\n"
        "chain z {{\n{0}\n}}\n"
        'chain c {{ type filter hook input priority 0; policy accept;\niifname "lo" accept\n'
        "ct state vmap {{ established : accept, related : accept, invalid : drop }}\njump z\n}}\n}}"
    ),
    "nat": "table inet a {{ chain c {{ type nat hook prerouting priority dstnat; policy accept;\n{0}\n}}\n}}",
    "nat-and-filter": (
        "table ip a {{ chain c {{ type nat hook prerouting priority dstnat;\n{0}\n}}\n"
        "chain d {{ type filter hook input priority 0;\ntcp dport 9 accept\ntcp dport 10250 drop\n}}\n}}"
    ),
    "dormant": (
        "table inet a {{\nflags dormant\nchain c {{ type filter hook input priority 0; policy drop;\n{0}\n}}\n}}"
    ),
    "before-connections": (
        "table inet a {{ chain c {{ type filter hook prerouting priority -300; policy accept;\n{0}\n}}\n}}"
    ),
    "untracked": (
        "table inet a {{ chain c {{ type filter hook prerouting priority -300;\ntcp dport 10250 {0}\n}}\n"
        "chain d {{ type filter hook input priority 0;\nct state new accept\nct state untracked drop\n}}\n}}"
    ),
    "proxied": (
        "table ip a {{ chain c {{ type filter hook prerouting priority -150;\n{0}\n}}\n"
        "chain d {{ type filter hook input priority 0;\ntcp dport 10250 drop\n}}\n}}"
    ),
    "answers": "table inet a {{ chain c {{ type filter hook output priority 0; policy accept;\n{0}\n}}\n}}",
    "nat-answers": "table ip a {{ chain c {{ type nat hook output priority -100; policy accept;\n{0}\n}}\n}}",
    "one-device": (
        "table netdev a {{ chain c {{ type filter hook ingress device eth0 priority 0; policy accept;\n{0}\n}}\n}}"
    ),
    "another-device": (
        "table netdev a {{ chain c {{ type filter hook ingress device lo priority 0; policy accept;\n{0}\n}}\n}}"
    ),
}
LINES = [
    ("ip saddr 172.20.10.11 drop", ("other-table", "drop-policy", "jumps")),
    ("tcp dport 10250 accept", ("other-table", "drop-policy", "jumps")),
    ("tcp dport { 22, 10200-10300 } reject", ("other-table", "drop-policy", "jumps")),
    ("ip saddr @s tcp dport @p drop", ("jumps",)),
    ("ip saddr != 172.20.10.0/28 drop", ("other-table", "jumps")),
    ("meta l4proto udp drop", ("other-table",)),
    ("tcp dport vmap { 10250 : drop, 25000 : accept }", ("other-table", "jumps")),
    ("tcp dport 25000 return\ntcp dport 1-65535 drop", ("jumps", "other-table")),
    ("ip6 saddr ::1 accept\nmeta nfproto ipv6 drop", ("other-table",)),
    ('iifname "eth*" tcp dport 25000 drop', ("other-table",)),
    ('iifname != "eth0" drop', ("other-table",)),
    ("ct state new tcp dport 10250 counter log drop", ("jumps",)),
    ("tcp dport vmap { 10250 : drop, * : accept }\ntcp dport 25000 drop", ("other-table",)),
    ("tcp dport vmap { 10250 : continue, * : drop }", ("other-table",)),
    ("ip saddr @every drop", ("jumps",)),
    ("ct state established accept\ntcp dport 10250 drop", ("nat", "dormant")),
    ("tcp dport 10250 drop", ("before-connections",)),
    ("ct state new drop", ("before-connections",)),
    ("ct state invalid drop", ("before-connections", "other-table")),
    ("ct mark 0 drop", ("before-connections",)),
    ("meta nfproto ipv6 reject", ("other-table", "answers")),
    ("meta nfproto ipv4 reject with icmp type port-unreachable", ("other-table",)),
    ("reject with icmpx type admin-prohibited", ("other-table",)),
    ("meta l4proto udp reject\ntcp dport 10250 reject with tcp reset", ("other-table",)),
    ("ip daddr 172.20.10.11 drop", ("answers",)),
    ("tcp sport 10250 drop", ("answers", "nat-answers")),
    ("ct state new drop", ("answers",)),
    ("ct state established tcp sport 25000 drop", ("answers",)),
    ('oifname "eth0" drop', ("answers",)),
    ("tcp dport 10250 drop", ("answers",)),
]
#: Of these nothing more is asked than that what is said be so.
UNSURE = [
    ("tcp dport 10250 drop", ("one-device", "another-device", "nat")),
    ("tcp dport 10250 redirect to :25000", ("nat",)),
    ("tcp dport 25000 redirect to :9", ("nat",)),
    ("ip saddr 172.20.10.11 meta l4proto tcp dnat to 172.20.10.12:9", ("nat-and-filter",)),
    ("tcp dport 10250 redirect to :25000", ("nat-and-filter",)),
    ("notrack", ("untracked",)),
    ("tcp dport 10250 tproxy to :9 accept", ("proxied",)),
    ("meta cpu vmap { 0-1000 : drop }", ("other-table",)),
]
NAMESPACE = """
import json, socket, subprocess, sys
def run(*words, text=None):
    return subprocess.run(words, input=text, text=True, check=True, capture_output=True).stdout
run("mount", "-t", "tmpfs", "none", "/run"); run("mkdir", "/run/netns")
run("ip", "netns", "add", "peer")
run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "peer")
run("ip", "link", "set", "lo", "up")
run("ip", "address", "add", "172.20.10.12/20", "dev", "eth0"); run("ip", "link", "set", "eth0", "up")
for address in ("172.20.10.11/20", "172.20.10.99/20"):
    run("ip", "-n", "peer", "address", "add", address, "dev", "eth0")
run("ip", "-n", "peer", "link", "set", "eth0", "up")
TRY = '''
import concurrent.futures, json, socket, sys
def passes(wanted):
    with socket.socket() as sock:
        sock.settimeout(0.15)
        sock.bind((wanted[0], 0))
        try:
            sock.connect(("172.20.10.12", wanted[1]))
            return True
        except OSError as exc:
            return False
with concurrent.futures.ThreadPoolExecutor() as pool:
    print(json.dumps(list(pool.map(passes, json.loads(sys.argv[1])))))
'''
servers = [socket.create_server(("172.20.10.12", port)) for port in (10250, 25000)]
asked = [(source, port) for source in ("172.20.10.11", "172.20.10.99") for port in (10250, 25000)]
run("ip", "netns", "exec", "peer", sys.executable, "-c", TRY, json.dumps(asked))
found = []
for text in json.load(sys.stdin):
    run("nft", "flush", "ruleset")
    # With the flags of a table some versions list no JSON.
    run("nft", "-f", "-", text=text.replace("flags dormant\\n", ""))
    rules = [json.loads(run("nft", "-j", "list", "ruleset"))]
    if "dormant" in text:
        run("nft", "add table inet a { flags dormant; }")
    rules.append(run("nft", "list", "ruleset"))
    real = json.loads(run("ip", "netns", "exec", "peer", sys.executable, "-c", TRY, json.dumps(asked)))
    found.append([text, rules, list(zip(asked, real))])
print(json.dumps(found))
"""


@pytest.mark.thorough
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nft")
def test_nftables_does_what_is_said_of_it() -> None:
    sure = {RULESETS[kind].format(line) for line, kinds in LINES for kind in kinds}
    texts = sorted(sure) + [RULESETS[kind].format(line) for line, kinds in UNSURE for kind in kinds]
    done = subprocess.run(
        ["unshare", "-n", "-m", sys.executable, "-c", NAMESPACE],
        input=json.dumps(texts), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "not permitted" in done.stderr:
        pytest.skip("needs namespaces")
    assert done.returncode == 0, done.stderr
    for text, (rules, listed), answers in json.loads(done.stdout):
        ruleset = _netfilter.Ruleset(rules, (), _netfilter.dormant(listed))
        for (source, port), real in answers:
            packet = NODE._replace(source=source, port=port)
            found = _netfilter.fate(packet, [], ruleset)
            if found.passes:
                found = _netfilter.fate(packet.answer(), [], ruleset)
            assert found.passes in (real, None), f"{text}\n{packet}\n{found}"
            assert found.passes is not None or text not in sure, f"not understood: {text}\n{packet}\n{found}"


def test_tables_of_iptables_are_left_to_its_own_words() -> None:
    chain = {"family": "ip", "table": "filter", "name": "INPUT", "type": "filter", "hook": "input", "policy": "drop"}
    document = {"nftables": [{"chain": chain}]}
    assert _netfilter.Ruleset(document).fate(NODE).passes is False
    assert _netfilter.Ruleset(document, {("ip", "filter")}).fate(NODE).passes is True


def nft(*expressions: t.Any, first: t.Any = None, elements: t.Any = None) -> _netfilter.Ruleset:
    """A chain on input with one rule, behind one on prerouting."""
    chain = {"family": "inet", "table": "f", "type": "filter", "policy": "accept"}
    rule = {"family": "inet", "table": "f", "handle": 1}
    items: list[dict[str, t.Any]] = [
        {"chain": {**chain, "name": "p", "hook": "prerouting", "prio": -150}},
        {"chain": {**chain, "name": "i", "hook": "input", "prio": 0}},
        {"rule": {**rule, "chain": "i", "expr": [*expressions, {"drop": None}]}},
        {"set": {"family": "inet", "table": "f", "name": "s", "elem": elements or []}},
    ]
    if first is not None:
        items.append({"rule": {**rule, "chain": "p", "expr": [first]}})
    return _netfilter.Ruleset({"nftables": items})


MARKED = {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 5}}


@pytest.mark.parametrize(
    ("first", "passes"),
    [
        (None, True),
        ({"mangle": {"key": {"meta": {"key": "mark"}}, "value": 5}}, None),
        ({"mangle": {"key": {"ct": {"key": "mark"}}, "value": 5}}, True),
    ],
    ids=["not-set", "set-before", "of-the-connection"],
)
def test_a_mark_that_a_rule_sets_is_not_known(first: t.Any, passes: bool | None) -> None:
    assert nft(MARKED, first=first).fate(NODE).passes is passes


@pytest.mark.parametrize(
    ("raw", "rule", "passes"),
    [
        ("-A PREROUTING -m conntrack --ctstate INVALID -j DROP", "", False),
        ("-A PREROUTING -m conntrack --ctstate NEW -j DROP", "", True),
        ("", "-A INPUT -m conntrack --ctstate INVALID -j DROP", True),
        ("-A PREROUTING -p tcp -j CT --notrack", "-A INPUT -m conntrack --ctstate NEW -j DROP", None),
        ("-A PREROUTING -p tcp -j CT --helper ftp", "-A INPUT -m conntrack --ctstate NEW -j DROP", False),
    ],
)
def test_before_the_kernel_knows_the_connection(raw: str, rule: str, passes: bool | None) -> None:
    text = f"*raw\n:PREROUTING ACCEPT [0:0]\n{raw}\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n{rule}\nCOMMIT\n"
    assert _netfilter.fate(NODE, [_netfilter.parse_save(text)]).passes is passes


LISTED = """\
table ip filter {
\tflags dormant

\tchain INPUT {
\t\ttype filter hook input priority filter; policy drop;
\t\tip saddr 1.2.3.4 log prefix "flags dormant" accept
\t}
}
table inet kept { # progname nftd
\tcomment "flags dormant"
\tflags owner

\tset s {
\t\ttype ipv4_addr
\t\tflags interval
\t}
}
table ip6 two { # progname nftd
\tflags dormant,owner,persist
}
table inet none {
}
"""


def test_dormant_tables_are_known_by_their_flags() -> None:
    assert _netfilter.dormant(LISTED) == {("ip", "filter"), ("ip6", "two")}


def test_a_mark_that_iptables_sets_is_not_known_to_nftables() -> None:
    tables = _netfilter.parse_save(
        "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j MARK --set-mark 5\nCOMMIT\n"
    )
    assert _netfilter.fate(NODE, [tables], nft(MARKED)).passes is None


@pytest.mark.parametrize(
    ("element", "op", "passes"),
    [
        ([NODE.source, NODE.port], "==", False),
        ([NODE.source, NODE.port], "!=", True),
        ([NODE.source, 1], "==", True),
        ([{"prefix": {"addr": "172.20.0.0", "len": 16}}, {"range": [10000, 11000]}], "==", False),
        ([NODE.source], "==", None),
        ([NODE.source, {"&": [1, 2]}], "==", None),
    ],
)
def test_fields_that_are_asked_together(element: list[t.Any], op: str, passes: bool | None) -> None:
    left = {
        "concat": [
            {"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}},
        ]
    }  # fmt: skip
    for right in ("@s", {"set": [{"concat": element}]}, {"concat": element}):
        match = {"match": {"op": op, "left": left, "right": right}}
        assert nft(match, elements=[{"concat": element}]).fate(NODE).passes is passes


@pytest.mark.parametrize(("table", "passes"), [("kube-proxy", True), ("calico-nat", True), ("mine", False)])
def test_kubernetes_own_tables_are_its_affair(table: str, passes: bool) -> None:
    """As kube-proxy has it from 1.29 on: what goes to an address of the services that is none is dropped."""
    base = {"family": "ip", "table": table}
    match = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": NODE.target}}
    document = {
        "nftables": [
            {
                "chain": {
                    **base,
                    "name": "filter-input",
                    "type": "filter",
                    "hook": "input",
                    "prio": 0,
                    "policy": "accept",
                }
            },
            {"rule": {**base, "chain": "filter-input", "handle": 39, "expr": [match, {"drop": None}]}},
        ]
    }
    assert _netfilter.Ruleset(document).fate(NODE).passes is passes


# --- What Kubernetes and Calico write, ahead of ufw ----------------------------------------------------------------

NODE_FILTER = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:cali-INPUT - [0:0]
:cali-FORWARD - [0:0]
:cali-wl-to-host - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-fw-cali0a - [0:0]
:cali-tw-cali0a - [0:0]
:cali-pro-x - [0:0]
:ufw-user-input - [0:0]
:ufw-user-forward - [0:0]
:ufw-before-forward - [0:0]
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -j KUBE-FIREWALL
-A INPUT -j ufw-user-input
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-user-forward
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD -m comment --comment "cali:mp77cMpurHhyjLrM" -j MARK --set-xmark 0x10000/0x10000
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A cali-INPUT -p udp -m comment --comment "Allow" -m multiport --dports 4789 -m set --match-set cali40v src -j ACCEPT
-A cali-INPUT -p udp -m comment --comment "Drop" -m multiport --dports 4789 -m addrtype --dst-type LOCAL -j DROP
-A cali-INPUT -i cali+ -g cali-wl-to-host
-A cali-INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-INPUT -j MARK --set-xmark 0x0/0xf0000
-A cali-wl-to-host -j cali-from-wl-dispatch
-A cali-wl-to-host -j ACCEPT
-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -i cali+ -j cali-from-wl-dispatch
-A cali-FORWARD -o cali+ -j cali-to-wl-dispatch
%s-A cali-from-wl-dispatch -m comment --comment "Unknown interface" -j DROP
-A cali-to-wl-dispatch -m comment --comment "Unknown interface" -j DROP
-A cali-fw-cali0a -m conntrack --ctstate INVALID -j DROP
-A cali-fw-cali0a -j MARK --set-xmark 0x0/0x10000
-A cali-fw-cali0a -p udp -m multiport --dports 4789 -j DROP
-A cali-fw-cali0a -j cali-pro-x
-A cali-fw-cali0a -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-fw-cali0a -j DROP
-A cali-pro-x -j MARK --set-xmark 0x10000/0x10000
-A cali-tw-cali0a -m set --match-set cali40s src -j RETURN
-A cali-tw-cali0a -j DROP
-A ufw-user-input -s 172.20.10.11/32 -j ACCEPT
-A ufw-user-input -i cali+ -j ACCEPT
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-user-forward -i cali+ -o cali+ -j ACCEPT
-A ufw-user-forward -s 10.1.0.0/16 -j ACCEPT
-A ufw-user-forward -p udp -m udp --dport 13000 -j ACCEPT
COMMIT
"""
PODS = """\
-A cali-from-wl-dispatch -i cali0a -g cali-fw-cali0a
-A cali-to-wl-dispatch -o cali0a -g cali-tw-cali0a
"""
NEEDED = [
    {"proto": "tcp", "port": "10250,25000", "from_ip": "172.20.10.11"},
    {"proto": "udp", "port": "4789", "from_ip": "172.20.10.11"},
    {"interface_in": "cali+"},
    {"direction": "out", "interface_out": "cali+"},
    {"route": True, "interface_in": "cali+", "interface_out": "cali+"},
    {"route": True, "from_ip": "10.1.0.0/16"},
    {"route": True, "from_ip": "10.1.0.0/16", "to_ip": "172.20.10.11"},
    {"route": True, "proto": "udp", "port": "13000", "to_ip": "10.1.0.0/16"},
]


@pytest.mark.parametrize("pods", ["", PODS], ids=["no-pods", "pods"])
@pytest.mark.parametrize(
    ("ahead", "stopped"),
    [
        pytest.param("", set(), id="nothing-else"),
        pytest.param("-A INPUT -p tcp -j REJECT\n", {0}, id="tcp"),
        pytest.param("-A FORWARD -j REJECT\n", {4, 5, 6, 7}, id="forward"),
        pytest.param("-A FORWARD -d 172.16.0.0/12 -j DROP\n", {6}, id="private-networks"),
    ],
)
def test_what_kubernetes_writes_stops_nothing_and_hides_nothing(pods: str, ahead: str, stopped: set[int]) -> None:
    text = NODE_FILTER % pods
    # After Calico's and Kubernetes' rules, as those of an image that is there first come to stand.
    for chain in ("INPUT", "FORWARD"):
        text = text.replace(f"-A {chain} -j ufw", "".join(
            line + "\n" for line in ahead.splitlines() if f"-A {chain} " in line
        ) + f"-A {chain} -j ufw")  # fmt: skip
    tables = [_netfilter.parse_save(text)]
    found = set()
    for number, options in enumerate(NEEDED):
        groups = _reach.packets(_ufw.wanted(options), 4, routes, INSIDE)
        assert groups
        if list(_reach.blocked(groups, lambda packet: _netfilter.fate(packet, tables))):
            found.add(number)
    assert found == stopped


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        pytest.param(None, False, id="any"),
        pytest.param({"type": "icmpv6", "expr": "port-unreachable"}, True, id="only-ipv6"),
        pytest.param({"type": "icmp", "expr": "port-unreachable"}, False, id="only-ipv4"),
        pytest.param({"type": "icmpx", "expr": "admin-prohibited"}, False, id="both"),
        pytest.param({"type": "tcp reset"}, False, id="only-tcp"),
    ],
)
def test_a_rejection_is_for_the_packets_that_it_answers(answer: t.Any, passes: bool) -> None:
    """`meta nfproto ipv6 reject` is listed in JSON as a rejection without a condition."""
    base = {"family": "inet", "table": "a"}
    chain = {**base, "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}
    rule = {**base, "chain": "c", "handle": 2, "expr": [{"reject": answer}]}
    ruleset = _netfilter.Ruleset({"nftables": [{"chain": chain}, {"rule": rule}]})
    assert ruleset.fate(NODE).passes is passes
    assert ruleset.fate(BEACON).passes is (passes or answer == {"type": "tcp reset"})


@pytest.mark.parametrize("pods", ["", PODS])
def test_what_kubernetes_writes_opens_nothing(pods: str) -> None:
    tables = [_netfilter.parse_save(NODE_FILTER % pods)]
    ports = [("tcp", 10250), ("tcp", 2049), ("udp", 4789), ("tcp", 47011)]
    assert list(_reach.exposed(ports, 4, routes, lambda packet: _netfilter.fate(packet, tables))) == []
