"""ufw's files, as ufw 0.36 writes them, and what is to be done about them."""

from __future__ import annotations

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _ufw

PREFIX = "eth2xk8s: "
OURS = PREFIX.encode().hex()
USER_RULES = f"""\
*filter
:ufw-user-input - [0:0]
### RULES ###

### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment={OURS}535348
-A ufw-user-input -p tcp --dport 22 -j ACCEPT

### tuple ### allow tcp 10250,16443,25000 0.0.0.0/0 any 172.20.10.11 in comment={OURS}6e6f6465
-A ufw-user-input -p tcp -m multiport --dports 10250,16443,25000 -s 172.20.10.11 -j ACCEPT

### tuple ### allow any any 0.0.0.0/0 any 0.0.0.0/0 in_cali+
-A ufw-user-input -i cali+ -j ACCEPT

### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_vxlan.calico!out_cali+
-A ufw-user-forward -i vxlan.calico -o cali+ -j ACCEPT

### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in
-A ufw-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_Nginx%20Full'

### END RULES ###
"""
SSH = {"proto": "tcp", "port": "22"}


def plan(*options: dict[str, object], text: str = USER_RULES) -> _ufw.Plan:
    known = _ufw.parse_rules(text, 4)
    return _ufw.plan([_ufw.wanted(item) for item in options], known, PREFIX, ipv6=False)


NODE = {"proto": "tcp", "port": "25000,16443,10250", "from_ip": "172.20.10.11"}


def test_what_is_there_is_left_alone() -> None:
    assert plan(SSH, NODE) == _ufw.Plan([], [])


def test_a_rule_of_ours_that_nobody_wants_any_more_goes() -> None:
    assert [str(rule) for rule in plan(SSH).remove] == [
        "allow in proto tcp from 172.20.10.11 to any port 10250,16443,25000"
    ]


def test_rules_of_others_stay_and_count_as_present() -> None:
    cali = {"interface_in": "cali+"}
    routed = {"route": True, "interface_in": "vxlan.calico", "interface_out": "cali+"}
    web = {"proto": "tcp", "port": "443,80"}
    assert plan(SSH, NODE, cali, routed, web) == _ufw.Plan([], [])
    assert plan(SSH, NODE).remove == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(SSH, "allow in proto tcp from any to any port 22", id="port"),
        pytest.param(
            {"direction": "out", "interface_out": "cali+"}, "allow out on cali+ from any to any", id="interface-out"
        ),
        pytest.param(
            {"route": True, "interface_in": "cali+", "interface_out": "vxlan.calico"},
            "route allow in on cali+ out on vxlan.calico from any to any",
            id="routed-between-interfaces",
        ),
        pytest.param(
            {"route": True, "from_ip": "172.20.10.11", "to_ip": "10.1.0.0/16"},
            "route allow from 172.20.10.11 to 10.1.0.0/16",
            id="routed-to-a-network",
        ),
    ],
)
def test_the_words_ufw_is_given(options: dict[str, object], words: str) -> None:
    rule = _ufw.wanted(options)
    assert str(rule) == words
    assert rule.arguments(delete=True) == [
        *(["route"] if rule.route else []),
        "delete",
        *[word for word in words.split() if word != "route"],
    ]


def test_a_rule_without_an_address_is_wanted_for_both_families() -> None:
    known = _ufw.parse_rules(USER_RULES, 4)
    ssh, node = _ufw.wanted(SSH), _ufw.wanted(NODE)
    assert _ufw.plan([ssh, node], known, PREFIX, ipv6=True).add == [ssh]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"port": "70000", "proto": "tcp"}, "is not a port", id="port-out-of-range"),
        pytest.param({"port": "80,443"}, "wants a protocol", id="ports-without-a-protocol"),
        pytest.param({"from_ip": "node1"}, "neither an address nor a network", id="a-name-for-an-address"),
        pytest.param({"interface_in": "a", "interface_out": "b"}, "only a routed rule", id="two-interfaces"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(_ufw.UfwError, match=reason):
        _ufw.wanted(options)


@pytest.mark.parametrize("line", ["allow tcp 22", "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 sideways"])
def test_a_line_that_is_not_understood_is_no_guess(line: str) -> None:
    with pytest.raises(_ufw.UfwError):
        _ufw.parse_rules("### tuple ### " + line, 4)


JUMPS = "".join(
    f"-A {chain} -j ufw-{step}-{chain.lower()}\n"
    for chain in ("INPUT", "FORWARD", "OUTPUT")
    for step in ("before-logging", "before", "after", "after-logging", "reject", "track")
)
LIVE = """\
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N ufw-user-input
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -s 172.20.10.11/32 -p tcp -m multiport --dports 10250,16443,25000 -j ACCEPT
-A ufw-user-input -i cali+ -j ACCEPT
-A ufw-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT
-A ufw-user-forward -i vxlan.calico -o cali+ -j ACCEPT
"""
LIVE = LIVE.replace("-N ufw-user-input\n", "-N ufw-before-logging-input\n-N ufw-user-input\n" + JUMPS)
POLICIES = {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}


def test_a_kernel_that_does_as_told_has_no_drift() -> None:
    assert _ufw.drift(USER_RULES, LIVE, POLICIES, 4) == []


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(LIVE.replace("-P INPUT DROP", "-P INPUT ACCEPT"), id="policy-opened"),
        pytest.param(LIVE.replace("-A ufw-user-input -i cali+ -j ACCEPT\n", ""), id="rule-flushed"),
        pytest.param(LIVE.replace("-A INPUT -j ufw-before-input\n", ""), id="way-to-ufw-flushed"),
        pytest.param("", id="everything-flushed"),
    ],
)
def test_a_kernel_that_does_not_do_as_told_is_noticed(live: str) -> None:
    assert _ufw.drift(USER_RULES, live, POLICIES, 4) != []


def test_lost_ways_to_ufws_chains_are_put_back_in_their_order() -> None:
    """After `iptables -F`, ufw switched on would drop everything: it makes these only together with its chains."""
    flushed = LIVE.replace("-A INPUT -j ufw-before-input\n", "").replace("-A FORWARD -j ufw-track-forward\n", "")
    commands = _ufw.repair(flushed, 4).splitlines()
    assert (commands[0], commands[-1]) == ("*filter", "COMMIT")
    assert [line for line in commands if line.startswith("-A INPUT")] == [
        line for line in JUMPS.splitlines() if line.startswith("-A INPUT")
    ]
    assert "-D INPUT -j ufw-after-input" in commands, "what is left goes first, or it would stand in the wrong order"
    assert "-D INPUT -j ufw-before-input" not in commands


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(LIVE, id="nothing-lost"),
        pytest.param("-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n", id="ufw-will-make-them-itself"),
    ],
)
def test_where_no_way_is_lost_nothing_is_put_back(live: str) -> None:
    assert _ufw.repair(live, 4) == ""


TUPLE = "### tuple ### "
HETZNER = "".join(
    f"{TUPLE}deny any any {network} any 0.0.0.0/0 out\n"
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
NFS_NODE = {"proto": "tcp", "port": "2049", "from_ip": "172.20.10.11"}
OURS_NFS = f"{TUPLE}allow tcp 2049 0.0.0.0/0 any 172.20.10.11 in comment={OURS}4e4653\n"
TO_NFS = {"direction": "out", "to_ip": "172.20.10.10"}
TO_PODS = {"direction": "out", "interface_out": "cali+"}


@pytest.mark.parametrize(
    ("rule", "before", "first"),
    [
        pytest.param(NFS_NODE, "deny tcp 2049 0.0.0.0/0 any 0.0.0.0/0 in", True, id="the-port"),
        pytest.param(NFS_NODE, "reject any any 0.0.0.0/0 any 172.16.0.0/12 in", True, id="a-network"),
        pytest.param(NFS_NODE, "deny tcp 2000:3000 0.0.0.0/0 any 0.0.0.0/0 in_eth0", True, id="on-an-interface"),
        pytest.param(NFS_NODE, "deny_log tcp 2049 0.0.0.0/0 any 0.0.0.0/0 in", True, id="with-a-log"),
        pytest.param(NFS_NODE, "reject_log-all any any 0.0.0.0/0 any 0.0.0.0/0 in", True, id="with-a-log-of-all"),
        pytest.param(NFS_NODE, "deny udp 2049 0.0.0.0/0 any 0.0.0.0/0 in", False, id="another-protocol"),
        pytest.param(NFS_NODE, "deny tcp 2049 0.0.0.0/0 any 0.0.0.0/0 out", False, id="the-other-direction"),
        pytest.param(NFS_NODE, "route:deny any any 0.0.0.0/0 any 0.0.0.0/0 in", False, id="routed"),
        pytest.param(NFS_NODE, "deny tcp 2049 0.0.0.0/0 any 10.0.0.0/8 in", False, id="for-others"),
        pytest.param(NFS_NODE, "allow tcp 2049 0.0.0.0/0 any 0.0.0.0/0 in", False, id="opened-by-others"),
        pytest.param(NFS_NODE, "limit tcp 2049 0.0.0.0/0 any 0.0.0.0/0 in", False, id="limited-by-others"),
        pytest.param(TO_PODS, "deny any any 10.0.0.0/8 any 0.0.0.0/0 out", True, id="scans-of-private-networks"),
        pytest.param(TO_PODS, "deny any any 0.0.0.0/0 any 0.0.0.0/0 out_eth+", False, id="another-interface"),
        pytest.param({"proto": "tcp", "port": "13000"}, "deny any any 0.0.0.0/0 any 9.9.9.9 in", False, id="an-abuser"),
        pytest.param(SSH, "deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", False, id="ssh-is-narrowed-by-the-operator"),
        pytest.param(
            {"route": True, "from_ip": "10.1.0.0/16"},
            "route:deny any any 10.0.0.0/8 any 0.0.0.0/0 in",
            False,
            id="the-world-but-private-networks",
        ),
        pytest.param(
            {"route": True, "interface_in": "cali+", "interface_out": "vxlan.calico"},
            "route:deny any any 10.0.0.0/8 any 0.0.0.0/0 in",
            True,
            id="between-pods",
        ),
    ],
)
def test_ours_is_met_before_what_keeps_it_out(rule: dict[str, object], before: str, first: bool) -> None:
    found = plan(rule, text=TUPLE + before + "\n")
    assert found.add == [_ufw.wanted(rule)]
    assert bool(found.first) is first
    # The same where ours is there, behind it; and nothing to do where it is there, before it.
    ours = _ufw.Known(_ufw.wanted(rule), PREFIX + "x", 4)
    theirs = _ufw.parse_rules(TUPLE + before, 4)
    assert bool(_ufw.plan([ours.rule], [*theirs, ours], PREFIX, ipv6=False).first) is first
    assert _ufw.plan([ours.rule], [ours, *theirs], PREFIX, ipv6=False) == _ufw.Plan([], [])


def test_what_the_machine_needs_is_opened_only_where_it_is_denied() -> None:
    needs = [_ufw.wanted(TO_NFS)]

    def planned(text: str) -> _ufw.Plan:
        return _ufw.plan([], _ufw.parse_rules(text, 4), PREFIX, False, needs)

    assert planned("") == _ufw.Plan([], [])
    assert planned(HETZNER).add == needs
    assert [str(other) for other in planned(HETZNER).first[0][1]] == ["deny out from any to 172.16.0.0/12"]
    ours = f"{TUPLE}allow any any 172.20.10.10 any 0.0.0.0/0 out comment={OURS}78\n"
    assert planned(ours + HETZNER) == _ufw.Plan([], [])
    assert planned(ours).remove == needs, "with the denial gone it has no use"


def test_words_that_put_a_rule_first() -> None:
    assert _ufw.wanted(TO_NFS).arguments(first=True)[:2] == ["prepend", "allow"]
    assert _ufw.wanted({"route": True}).arguments(first=True)[:3] == ["route", "prepend", "allow"]


@pytest.mark.parametrize(
    ("ahead", "noticed"),
    [
        pytest.param("-A INPUT -j REJECT --reject-with icmp-host-prohibited", True, id="reject"),
        pytest.param("-A INPUT -j ACCEPT", True, id="accept"),
        pytest.param('-A FORWARD -m comment --comment "the end" -j DROP', True, id="with-a-comment"),
        pytest.param("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", False, id="for-some-packets"),
        pytest.param("-A INPUT -j KUBE-FIREWALL", False, id="another-chain"),
    ],
)
def test_a_rule_for_everything_ahead_of_ufws_chains_is_noticed(ahead: str, noticed: bool) -> None:
    found = _ufw.drift(USER_RULES, LIVE.replace("-A INPUT", ahead + "\n-A INPUT", 1), POLICIES, 4)
    assert bool(found) is noticed
    assert _ufw.drift(USER_RULES, LIVE + ahead + "\n", POLICIES, 4) == [], "behind them it has its place"
