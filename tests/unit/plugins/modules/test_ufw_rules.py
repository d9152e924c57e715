"""What the module reads of the packet filters of a machine, and what it says of them."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _netfilter, _ufw
from ansible_collections.eth2xk8s.staking.plugins.modules import ufw_rules as module

ROUTES = {
    "172.20.10.11": "172.20.10.11 dev eth0 src 172.20.10.12 uid 0 \\    cache",
    "172.20.10.12": "local 172.20.10.12 dev lo src 172.20.10.12 uid 0",
}
WORLD = "via 172.20.0.1 dev eth0 src 172.20.10.12 uid 0"
UFW = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:ufw-user-input - [0:0]\n"
OPEN = "-A ufw-user-input -s 172.20.10.11/32 -p tcp -m tcp --dport 10250 -j ACCEPT\n"
NODE = {"name": "MicroK8s from a node", "proto": "tcp", "port": "10250", "from_ip": "172.20.10.11"}
CLOSED = [{"name": "the kubelet", "proto": "tcp", "port": 10250}]


class Machine:
    """Stands where AnsibleModule does: programs by their last name, with what they answer."""

    def __init__(self, **programs: t.Any) -> None:
        self.programs = {name.replace("_", "-"): answer for name, answer in programs.items()}
        self.params = {"inside": {}, "prefix": "eth2xk8s: ", "closed": CLOSED}
        self.batch = True
        self.asked: list[str] = []

    def way(self, address: str) -> str:
        return "" if ":" in address else ROUTES.get(address, f"{address} {WORLD}")

    def get_bin_path(self, name: str, **_options: t.Any) -> str | None:
        return name if name in self.programs or name == "ip" else None

    def run_command(self, command: list[str], **options: t.Any) -> tuple[int, str, str]:
        if command[0] == "ip":
            self.asked.append(options.get("data") or command[-1])
            if command[-1] == "-" and not self.batch:
                return 255, "", "Option -batch is unknown"
            asked = options["data"].split() if command[-1] == "-" else command
            found = [self.way(address) for address in asked if address not in ("ip", "-o", "route", "get")]
            wrong = [f"Command failed -:{number}\n" for number, way in enumerate(found, 1) if not way]
            return len(wrong) and 2, "".join(f"{way}\n" for way in found if way), "unreachable\n" + "".join(wrong)
        answer = self.programs[command[0]]
        if isinstance(answer, dict):
            answer = answer[" ".join(command[1:])]
        return answer if isinstance(answer, tuple) else (0, answer, "")


@pytest.fixture()
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    texts: dict[str, str] = {}
    monkeypatch.setattr(module, "read", lambda path: texts.get(str(path), ""))
    monkeypatch.setattr(module, "is_there", lambda path: str(path) in texts)
    return texts


def effect(machine: Machine, changed: bool = False, *rules: dict[str, t.Any]) -> tuple[list[str], list[str]]:
    names = {_ufw.wanted(rule): "eth2xk8s: " + rule["name"] for rule in rules or (NODE,)}
    result: dict[str, t.Any] = {"changed": changed}
    module.effect(module.Firewall(t.cast("t.Any", machine)), names, {}, result)
    return result["blocked"], result["exposed"]


def rules(ahead: str = "") -> str:
    return f"{UFW}{ahead}-A INPUT -j ufw-user-input\n{OPEN}COMMIT\n"


def test_as_wanted(files: dict[str, str]) -> None:
    assert effect(Machine(iptables_nft_save=rules())) == ([], [])
    assert effect(Machine(iptables_save=rules())) == ([], []), "a system without the two forms"


def test_all_ways_are_asked_for_at_once_where_ip_can(files: dict[str, str]) -> None:
    files["/proc/net/if_inet6"] = files["/etc/default/ufw"] = "IPV6=yes"
    both, reject = {"iptables_nft_save": rules(), "ip6tables_nft_save": ""}, "-A INPUT -j REJECT\n"
    machine = Machine(**both)
    assert effect(machine) == ([], [])
    assert [words.count("route get") for words in machine.asked] == [7]
    machine.batch = False
    machine.asked.clear()
    assert effect(machine) == ([], [])
    assert len(machine.asked) == 1 + 7
    for batch in (True, False):
        machine = Machine(**{**both, "iptables_nft_save": rules(reject)})
        machine.batch = batch
        assert len(effect(machine)[0]) == 1


def test_a_rule_ahead_is_named_with_the_file_that_loads_it(files: dict[str, str]) -> None:
    files["/etc/iptables/rules.v4"] = "*filter\n-A INPUT  -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n"
    ahead = "-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"
    blocked, exposed = effect(Machine(iptables_nft_save=rules(ahead)))
    assert blocked == [
        "-A INPUT -j REJECT --reject-with icmp-host-prohibited (/etc/iptables/rules.v4) stops"
        " MicroK8s from a node (tcp 172.20.10.11 -> 172.20.10.12:10250)"
    ]
    assert exposed == []


def test_a_set_of_bad_addresses_may_hold_those_of_the_site(files: dict[str, str]) -> None:
    """Lists of addresses that nobody has in the Internet (bogons, FireHOL level 1) have the private ones."""
    text = rules("-A INPUT -m set --match-set firehol_level1 src -j DROP\n")
    listed = "create firehol_level1 hash:net family inet\nadd firehol_level1 172.16.0.0/12\n"
    assert effect(Machine(iptables_nft_save=text, ipset={"save": listed})) == (
        [
            "-A INPUT -m set --match-set firehol_level1 src -j DROP stops MicroK8s from a node (tcp 172.20.10.11 ->"
            " 172.20.10.12:10250)"
        ],
        [],
    )
    for unknown in (Machine(iptables_nft_save=text), Machine(iptables_nft_save=text, ipset={"save": (1, "", "no")})):
        assert effect(unknown) == ([], [])


def test_what_is_open_is_named_once_for_each_rule(files: dict[str, str]) -> None:
    blocked, exposed = effect(Machine(iptables_nft_save=rules("-A INPUT -p tcp -j ACCEPT\n")))
    assert blocked == []
    assert exposed == [
        "-A INPUT -p tcp -j ACCEPT lets in anybody to the kubelet (tcp 10250), a port that no rule opens (tcp 47011)"
    ]


def test_what_is_open_on_purpose_is_not_named(files: dict[str, str]) -> None:
    text = rules().replace(OPEN, "-A ufw-user-input -p tcp -m tcp --dport 10250 -j ACCEPT\n")
    machine = Machine(iptables_nft_save=text)
    assert effect(machine)[1] == [
        "-A ufw-user-input -p tcp -m tcp --dport 10250 -j ACCEPT lets in anybody to the kubelet (tcp 10250)"
    ]
    assert effect(machine, False, {"name": "mine", "proto": "tcp", "port": "10250"}) == ([], [])


def test_before_ufw_is_as_wanted_only_what_comes_before_it_counts(files: dict[str, str]) -> None:
    empty = UFW + "-A INPUT -j ufw-user-input\nCOMMIT\n"
    assert effect(Machine(iptables_nft_save=empty))[0] != []
    assert effect(Machine(iptables_nft_save=empty), True) == ([], [])
    assert effect(Machine(iptables_nft_save=""), True) == ([], []), "ufw has never been on"
    rejected = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT\nCOMMIT\n"
    assert effect(Machine(iptables_nft_save=rejected), True)[0] != []


LEGACY = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 10250 -j DROP\nCOMMIT\n"
NOT_SUPPORTED = (1, "", "iptables-nft-save: Failed to initialize nft: Protocol not supported")


def test_both_forms_of_iptables_count_but_the_older_one_is_not_woken(files: dict[str, str]) -> None:
    machine = Machine(iptables_nft_save=rules(), iptables_legacy_save=LEGACY)
    assert effect(machine)[0] == [], "its tables are not there"
    files["/proc/net/ip_tables_names"] = "filter\n"
    assert effect(machine)[0][0].startswith("(iptables-legacy) -A INPUT -p tcp --dport 10250 -j DROP stops")


def test_a_kernel_without_nftables_has_the_older_form_alone(files: dict[str, str]) -> None:
    files["/proc/net/ip_tables_names"] = "filter\n"
    nft = (1, "", "netlink: Error: cache initialization failed: Protocol not supported")
    machine = Machine(iptables_nft_save=NOT_SUPPORTED, iptables_legacy_save=rules(), nft=nft)
    assert effect(machine) == ([], [])


CHAIN = {"chain": {"family": "inet", "table": "own", "name": "in", "type": "filter", "hook": "input", "prio": 0}}
RULE = {"rule": {"family": "inet", "table": "own", "chain": "in", "handle": 2, "expr": [{"drop": None}]}}


def listed(*tables: str, flags: str = "x", broken: bool = False) -> dict[str, str]:
    """As nft 1.0.6 lists a chain that drops everything: where a table has flags, with text that it has freed."""
    whole = json.dumps({"nftables": [{"table": {"family": "inet", "name": "own", "flags": flags}}, CHAIN, RULE]})
    nothing = json.dumps({"nftables": []})
    return {
        "-j list ruleset": whole[: whole.index('"flags": ') + 9] if broken else whole,
        "-j list sets": nothing,
        "-j list maps": nothing,
        "-j list chains": json.dumps({"nftables": [CHAIN]}),
        "-j list chain inet own in": json.dumps({"nftables": [CHAIN, RULE]}),
        "list ruleset": "".join(f"table {name} {{\n\tflags dormant\n}}\n" for name in tables),
    }


@pytest.mark.parametrize("broken", [False, True], ids=["wrong-flags", "broken-off"])
@pytest.mark.parametrize(("tables", "stops"), [((), True), (("inet own",), False), (("inet other", "ip own"), True)])
def test_a_dormant_table_stops_nothing(
    files: dict[str, str], tables: tuple[str, ...], stops: bool, broken: bool
) -> None:
    blocked, exposed = effect(Machine(iptables_nft_save=rules(), nft=listed(*tables, broken=broken)))
    assert (bool(blocked), exposed) == (stops, [])


@pytest.mark.parametrize("changed", [False, True])
def test_a_dormant_table_of_iptables_closes_nothing(files: dict[str, str], changed: bool) -> None:
    nft = listed("inet own", "ip filter")
    assert effect(Machine(iptables_nft_save=rules(), nft=nft), changed)[1] == [
        "table ip filter, which is dormant until `nft add table ip filter`, lets in anybody to"
        " the kubelet (tcp 10250), a port that no rule opens (tcp 47011)"
    ]
    assert effect(Machine(iptables_nft_save=rules(), nft=listed("inet own", "ip6 filter")), changed)[1] == []


@pytest.mark.parametrize(
    "programs",
    [
        pytest.param({"iptables_nft_save": (4, "", "Permission denied")}, id="iptables"),
        pytest.param({"iptables_nft_save": rules(), "nft": (1, "", "Permission denied")}, id="nft"),
        pytest.param({"iptables_nft_save": rules(), "nft": "no JSON"}, id="another-answer"),
        pytest.param({"iptables_nft_save": rules(), "nft": '{"nftables": [{"chain": {}}]}'}, id="another-chain"),
        pytest.param(
            {"iptables_nft_save": rules(), "nft": {**listed(broken=True), "-j list chains": '{"nftables": [{'}},
            id="chains-that-break-off",
        ),
    ],
)
def test_rules_that_cannot_be_read_are_an_error(files: dict[str, str], programs: dict[str, t.Any]) -> None:
    with pytest.raises(_netfilter.FilterError):
        effect(Machine(**programs))


def test_the_words_of_a_refusal_say_what_to_do() -> None:
    said: dict[str, t.Any] = {}

    class Refused(Exception):
        pass

    def fail_json(**result: t.Any) -> None:
        said.update(result)
        raise Refused

    refusing = t.cast("t.Any", type("Module", (), {"fail_json": staticmethod(fail_json)}))
    module.refuse(refusing, {"blocked": [], "exposed": []})
    with pytest.raises(Refused):
        module.refuse(refusing, {"blocked": ["A stops b"], "exposed": ["C lets in anybody to d"]})
    assert "A stops b" in said["msg"]
    assert "C lets in anybody to d" in said["msg"]
    assert "iptables -D" in said["msg"]


def test_places_are_files_of_programs_that_load_rules() -> None:
    assert all(Path(place).is_absolute() for place in module.PLACES)
