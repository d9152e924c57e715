"""Every playbook does its whole work, or refuses before it acts; and one of them runs at a time.

Most of it is asked without Ansible, for every case there is. What only a real ansible-playbook can say is run for a
sample of the cases, a different one each day; PLAYBOOKS_WHOLE=1 runs them all, RUN_LOCK_OFFSETS=50 tries the lock that
often.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _controller, _requests, _site_run

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
TABLE = _requests.table(str(ROOT))
NAMES = sorted(TABLE["playbooks"])
ACTING = [name for name in NAMES if TABLE["playbooks"][name]["acts"]]
KNOWN = _requests.known(str(ROOT), TABLE)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WIRING = ROOT / "playbooks/vars/wiring.yml"
HOSTS = ["nfs-server", "master", "worker"]
GROUPS = {
    "site": HOSTS,
    "nfs": HOSTS[:1],
    "microk8s": HOSTS[1:],
    "control_plane": ["master"],
    "workers": ["worker"],
}
WHOLE = bool(os.environ.get("PLAYBOOKS_WHOLE"))
CHANCE = random.Random(datetime.date.today().toordinal())

Case = tuple[str, ...]


def load(path: Path) -> t.Any:
    # By libyaml, as Ansible does: every worker collects this file, and it reads every playbook and task there is.
    return yaml.load(path.read_text(encoding="utf-8"), LOADER)


def sample(cases: list[t.Any], count: int) -> list[t.Any]:
    return cases if WHOLE or len(cases) <= count else CHANCE.sample(cases, count)


# --- what the playbooks are made of -----------------------------------------------------------------------------------


def plays(path: Path) -> Iterator[dict[str, t.Any]]:
    for entry in load(path):
        if "hosts" in entry:
            yield entry


def imports(path: Path) -> list[str]:
    return [entry["import_playbook"] for entry in load(path) if "import_playbook" in entry]


def test_the_table_has_every_playbook() -> None:
    assert sorted(path.stem for path in ROOT.glob("playbooks/*.yml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_playbook_opens_and_closes(name: str) -> None:
    entries = load(ROOT / f"playbooks/{name}.yml")
    assert entries[0]["import_playbook"] == "internal/open.yml"
    assert entries[0]["vars"] == {"site_run_playbook": name}
    closes = entries[-1].get("import_playbook") == "internal/close.yml"
    assert closes == TABLE["playbooks"][name]["acts"]
    if closes:
        assert entries[-1]["vars"] == {"site_run_playbook": name}
    assert [entry for entry in entries[1:] if entry.get("import_playbook") == "internal/open.yml"] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/**/*.yml")), ids=lambda path: path.stem)
def test_every_play_asks_for_the_opening_where_no_option_passes_over_it(path: Path) -> None:
    """--start-at-task passes over tasks, --limit and --tags over plays; `hosts` is asked all the same."""
    if path.parent.name in ("tasks", "vars"):
        pytest.skip("no plays")
    found = list(plays(path))
    if path.name == "open.yml":
        first = found.pop(0)
        assert first["hosts"] == "{{ 'all:localhost' | eth2xk8s.staking.in_run(opening=true) }}"
        assert first["tags"] == ["always"]
    assert [play["hosts"] for play in found if "| eth2xk8s.staking.in_run }}" not in play["hosts"]] == []


@pytest.mark.parametrize("name", sorted({*NAMES} - {"site", "cluster_upgrade", "machines", "leave_node"}))
def test_an_operation_is_a_page_that_one_reads_at_a_glance(name: str) -> None:
    """Hosts and entry points; what a role keeps to itself stays there."""
    text = (ROOT / f"playbooks/{name}.yml").read_text()
    assert re.findall(r"__[a-z]\w*", text) == []
    assert len(text.splitlines()) <= 100
    assert "set _ =" not in text


@pytest.mark.parametrize(
    "path", sorted(path for path in ROOT.glob("playbooks/**/*") if path.is_file()), ids=lambda path: path.name
)
def test_no_playbook_uses_what_a_role_keeps_to_itself(path: Path) -> None:
    roles = "|".join(role.name for role in ROOT.glob("roles/*"))
    assert re.findall(rf"\b__(?:{roles})_\w+", path.read_text(encoding="utf-8")) == []


def entry_points() -> set[str]:
    """What the roles' argument specs check, besides `main`."""
    found: set[str] = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        found |= {name for name, spec in load(path)["argument_specs"].items() if spec["options"]}
    return found - {"main"}


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/**/*.yml")), ids=lambda path: path.name)
def test_entry_points_are_called_so_that_ansible_checks_their_options(path: Path) -> None:
    """By the name that their spec has: with .yml behind it, Ansible finds the tasks, and no spec."""
    called = re.findall(r"tasks_from: (.*)", path.read_text(encoding="utf-8"))
    assert [name for name in entry_points() for one in called if f"{name}.yml" in re.split(r"[ '\"]", one)] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/**/*.yml")), ids=lambda path: path.name)
def test_every_entry_point_is_described_by_its_role(path: Path) -> None:
    called = re.findall(r"name: eth2xk8s\.staking\.(\w+)\n\s+tasks_from: (.*)", path.read_text(encoding="utf-8"))
    for role, words in called:
        described = load(ROOT / f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
        for name in re.findall(r"'(\w+)(?:\.yml)?'", words) or [words.removesuffix(".yml")]:
            assert name in described, f"{role}: {name}"


@pytest.mark.parametrize("name", sorted({*ACTING} - {"machines", "uninstall"}))
def test_no_playbook_starts_validators_before_the_gates(name: str) -> None:
    assert "internal/gates.yml" in imports(ROOT / f"playbooks/{name}.yml")


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/*.yml")), ids=lambda path: path.stem)
def test_prysm_helm_is_told_what_the_gates_proved(path: Path) -> None:
    """Once for all plays: none of it is written a second time."""
    told = load(WIRING)
    assert {"prysm_helm_storage_host", "prysm_helm_nfs_server", "prysm_helm_gates", "prysm_helm_machines"} <= set(told)
    assert [name for name in told if f"{name}:" in path.read_text()] == []
    for play in plays(path):
        if "eth2xk8s.staking.prysm_helm" in yaml.safe_dump(play) and path.stem in ACTING:
            assert "vars/wiring.yml" in play.get("vars_files", []), play["name"]


def test_facts_are_kept_apart_before_anything_runs_once() -> None:
    """ansible-core 2.21 shares what the first task leaves between all machines when that task runs once."""
    first, *others = load(ROOT / "playbooks/internal/open.yml")[0]["tasks"]
    assert "ansible.builtin.set_fact" in first
    assert not {"run_once", "when", "delegate_to"} & first.keys()
    assert any(task.get("run_once") for task in others)


def set_by_playbooks() -> set[str]:
    """Every variable that the playbooks give to plays and roles, set, register or loop with; and what roles publish."""
    found: set[str] = set()

    def walk(part: t.Any) -> None:
        if isinstance(part, list):
            for one in part:
                walk(one)
        if isinstance(part, dict):
            for key, content in part.items():
                if key in ("vars", "ansible.builtin.set_fact"):
                    found.update(content)
                if key in ("register", "loop_var"):
                    found.add(content)
                if key == "roles":
                    found.update(name for role in content for name in role if name not in ("role", "tags", "when"))
                walk(content)

    for path in ROOT.glob("playbooks/**/*.yml"):
        if path.parent.name != "vars":
            walk(load(path))
    for path in ROOT.glob("playbooks/vars/*.yml"):
        if path.name != "requests.yml":
            walk({"vars": load(path)})
    playbooks = set(found)
    for path in ROOT.glob("roles/*/tasks/*.yml"):
        walk(load(path))
    found = playbooks | {name for name in found if name.startswith(tuple(TABLE["prefixes"]))}
    return {name for name in found if not name.startswith("__")}


#: What the playbooks set for a role, and an operator may still give with -e: no proof hangs on it.
STILL_THE_OPERATORS = {
    *(
        name
        for name in set_by_playbooks()
        if name.startswith(("base_", "firewall_", "microk8s_")) and not name.endswith(("_seen", "_left_alone"))
    ),
    "prysm_helm_accept_syncing_execution",
    "prysm_helm_emergency_flags",
    "prysm_helm_version",
    "prysm_wallet_key_manager_host",
    "prysm_wallet_key_managers",
    "prysm_wallet_reinstate",
    "prysm_wallet_storage_hosts",
}


def test_what_the_playbooks_work_out_cannot_be_given() -> None:
    assert set(TABLE["owned"]) == set_by_playbooks() - STILL_THE_OPERATORS


def test_a_run_that_was_taken_over_stops_at_the_gates() -> None:
    """Whatever the storage: a client must not be stopped, nor a key moved, by a run that lost its lock."""
    (held,) = [
        task
        for play in plays(ROOT / "playbooks/internal/gates.yml")
        for task in play["tasks"]
        if task.get("eth2xk8s.staking.site_run", {}).get("state") == "held"
    ]
    assert "when" not in held


def test_no_file_of_variables_leaves_the_key_managers_out() -> None:
    """A play that asks wallets alone says so itself: in a file it would reach the plays beside it."""
    for path in ROOT.glob("playbooks/vars/*.yml"):
        assert "prysm_wallet_key_managers" not in load(path), path


def test_the_tags_of_what_a_step_of_prysm_helm_needs() -> None:
    steps = _requests.role_tags(str(ROOT), ["prysm_helm"])
    needed = [*plays(ROOT / "playbooks/internal/gates.yml"), *plays(ROOT / "playbooks/internal/disks.yml")]
    needed += plays(ROOT / "playbooks/internal/keys.yml")
    needed += [entry for entry in load(ROOT / "playbooks/site.yml") if "kubernetes" in entry.get("import_playbook", "")]
    assert len(needed) == 5
    for play in needed:
        assert steps <= set(play["tags"]), play["name"]


def test_every_inventory_and_every_role_default_is_known() -> None:
    for path in ROOT.glob("inventory/*/group_vars/all/*.yml"):
        text = path.read_text()
        if not text.startswith("$ANSIBLE_VAULT"):
            named = {name for name in yaml.safe_load(text) or {} if name.startswith(tuple(TABLE["prefixes"]))}
            assert named <= KNOWN, path
    assert {"prysm_chain_config", "prysm_helm_values", "microk8s_channel", "site_run_path", "node"} <= KNOWN
    assert KNOWN & set(TABLE["owned"]) == set()


def test_the_page_shows_every_playbook_and_every_variable() -> None:
    page = (ROOT / "docs/playbooks.md").read_text()
    for name, entry in TABLE["playbooks"].items():
        assert f"`{name}.yml`" in page
        for variable in entry["variables"]:
            assert variable in page
    for variable in (*TABLE["everywhere"], "site_run_path"):
        assert variable in page


ENTRIES = _requests.entries(str(ROOT))


def test_entries_are_typed_alike_wherever_they_are_taken() -> None:
    assert ENTRIES["prysm_validators"] == ENTRIES["prysm_wallet_validators"] == ENTRIES["prysm_helm_validators"]
    specs = [
        load(ROOT / f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"][f"{role}_validators"]
        for role in ("prysm_helm", "prysm_wallet")
    ]
    assert specs[0] == specs[1]
    assert "mutually_exclusive" in specs[0] and "required_one_of" in specs[0]


@pytest.mark.parametrize("variable", sorted(ENTRIES))
def test_an_option_mistyped_is_named_with_the_right_one(variable: str) -> None:
    assert _requests.unknown_options(variable, [dict.fromkeys(ENTRIES[variable], "x")], ENTRIES[variable]) == []
    for option in sorted(ENTRIES[variable]):
        for slip in set(slips(option)) - ENTRIES[variable]:
            (problem,) = _requests.unknown_options(variable, [{slip: "{{ secret }}"}], ENTRIES[variable])
            assert f"entry 1 of {variable} has an unknown option {slip} (" in problem
            assert "did you mean" in problem or len(option) < 4, problem
    for given in (None, "{{ other }}", {}, ["{{ other }}"], 7):
        assert _requests.unknown_options(variable, given, ENTRIES[variable]) == []


# --- options, machines, names: every case -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("host", HOSTS)
def test_one_machine_alone_is_refused_and_what_is_missing_is_named(name: str, host: str) -> None:
    (problem,) = _requests.machines(GROUPS, [host], name, TABLE)
    needed = HOSTS if TABLE["playbooks"][name]["machines"] == ["site"] else HOSTS[:2]
    assert [other for other in needed if other != host and other not in problem] == []
    assert "--limit" in problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"site": []}, "no machine in the group site", id="no-site"),
        pytest.param({"nfs": []}, "nfs must have exactly one machine; it has none", id="no-nfs"),
        pytest.param({"nfs": ["nfs-server", "master"]}, "nfs must have exactly one machine", id="two-nfs"),
        pytest.param({"control_plane": []}, "control_plane has no machine", id="no-control-plane"),
        pytest.param({"site": ["nfs-server", "master"]}, "worker is not in the group site", id="outside"),
        pytest.param({"microk8s": ["master"]}, "worker is in control_plane or workers, but not", id="no-parent"),
        pytest.param({"workers": []}, "worker is in microk8s, but neither", id="no-kind"),
        pytest.param({"workers": ["worker", "master"]}, "master is both", id="both-kinds"),
    ],
)
def test_groups_that_say_nothing_clear(changes: dict[str, list[str]], words: str) -> None:
    assert words in " ".join(_requests.machines({**GROUPS, **changes}, HOSTS, "site", TABLE))


@pytest.mark.parametrize("name", NAMES)
def test_what_no_site_can_do_without_is_asked_for(name: str) -> None:
    """site.yml says it in the list of all that is missing."""
    missing = [problem.partition(" ")[0] for problem in _requests.not_given({"prysm_version"}, name, TABLE)]
    expected = {"site": [], "machines": ["prysm_data_dir"]}.get(name, ["prysm_data_dir", "prysm_validators"])
    assert missing == expected
    assert _requests.not_given({"prysm_data_dir", "prysm_validators"}, name, TABLE) == []
    assert set(TABLE["given"]) <= KNOWN


def test_machines_without_an_address_are_named() -> None:
    """Exports, firewall rules and joins are by address; an inventory may call machines by their names alone."""
    (problem,) = _requests.no_address(HOSTS, {"nfs-server"})
    assert problem == "ansible_host, the machine's address, is not set in the inventory for master, worker"
    assert _requests.no_address(HOSTS, set(HOSTS)) == []


def test_a_whole_site_is_taken() -> None:
    for name in NAMES:
        assert _requests.machines(GROUPS, HOSTS, name, TABLE) == []
        assert _requests.options({"tags": ["all"], "skip_tags": ["molecule-notest"]}, name, str(ROOT), TABLE) == []


TAGS = _requests.role_tags(str(ROOT), TABLE["playbooks"]["site"]["roles"]) | {"gates"}


@pytest.mark.parametrize("name", NAMES)
def test_tags_are_for_what_is_made_of_roles(name: str) -> None:
    roles = TABLE["playbooks"][name].get("roles", [])
    own = _requests.role_tags(str(ROOT), roles) | ({"gates"} if "prysm_helm" in roles else set())
    for tag in [*TAGS, "always", "never", "tagged", "untagged", "no_such", "prysm", "prysm_hlm"]:
        problems = _requests.options({"tags": [tag]}, name, str(ROOT), TABLE)
        assert (problems == []) == (tag in own), tag


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_skipped_that_proves_something(name: str) -> None:
    machines = _requests.role_tags(str(ROOT), ["base", "timesync", "firewall", "nfs_server", "microk8s"])
    for tag in [*TAGS, "always", "tagged", "untagged", "all"]:
        problems = _requests.options({"tags": ["all"], "skip_tags": [tag]}, name, str(ROOT), TABLE)
        if tag not in machines or not TABLE["playbooks"][name].get("roles"):
            if name == "machines" and tag.startswith("prysm_"):
                continue  # nothing of it is there
            assert problems, tag


@pytest.mark.parametrize("option", ["start_at_task", "step"])
@pytest.mark.parametrize("name", NAMES)
def test_no_playbook_starts_in_its_middle(name: str, option: str) -> None:
    assert _requests.options({option: "x", "tags": ["all"]}, name, str(ROOT), TABLE)


def slips(name: str) -> Iterator[str]:
    """A name mistyped: two letters the wrong way round, one missing, one twice, dashes, capitals, no prefix."""
    for i in range(len(name) - 1):
        yield name[:i] + name[i + 1] + name[i] + name[i + 2 :]
    for i in range(len(name)):
        yield name[:i] + name[i + 1 :]
        yield name[: i + 1] + name[i:]
    yield name + "s"
    yield name.upper()
    yield name.replace("_", "-")
    yield name.replace("_", "")
    if "_" in name:
        yield name.partition("_")[2]


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_misspelt_is_refused(name: str) -> None:
    for variable in [*TABLE["playbooks"][name]["variables"], *TABLE["everywhere"]]:
        for slip in {*slips(variable)} - KNOWN - {""}:
            assert _requests.unknown_typed([slip], [], name, KNOWN, TABLE), slip
            if slip.startswith((*TABLE["prefixes"],)):
                assert _requests.unknown_stored({slip: ["master"]}, [], KNOWN, TABLE), slip


@pytest.mark.parametrize("variable", sorted(KNOWN | set(TABLE["site"])))
def test_every_variable_of_a_role_misspelt_is_refused(variable: str) -> None:
    for slip in sample(sorted({*slips(variable)} - KNOWN), 12):
        if len(slip) > 4 and "_" in slip:
            found = _requests.unknown_typed([slip], [], "site", KNOWN, TABLE)
            assert found or not slip.startswith(tuple(TABLE["prefixes"])), slip
    assert _requests.unknown_typed([variable], [], "site", KNOWN, TABLE) == []


@pytest.mark.parametrize("variable", sorted(name for name in KNOWN if name.count("_") > 1))
def test_its_words_alone_or_in_another_order_are_refused(variable: str) -> None:
    words = variable.split("_")
    for slip in {"_".join(reversed(words)), "_".join(words[1:]), "-".join(words[1:])} - KNOWN:
        assert _requests.unknown_typed([slip], [], "site", KNOWN, TABLE), slip


def test_a_misspelt_variable_is_answered_with_the_right_one() -> None:
    for wrong, right in (("prysm_verison", "prysm_version"), ("leave-node", "leave_node"), ("nodes", "node")):
        assert right in _requests.unknown_typed([wrong], [], "drain", KNOWN, TABLE)[0]


def test_other_peoples_variables_are_none_of_our_business() -> None:
    theirs = {"node_exporter_version": ["master"], "vault_prysm_jwt_secret": ["master"], "ntp_servers": ["master"],
              "ansible_host": ["master"], "company": ["master"], "docker_version": ["master"]}  # fmt: skip
    assert _requests.unknown_stored(theirs, [], KNOWN, TABLE) == []
    typed = ["ansible_user", "awx_job_id", "tower_job_id", "stage", "company"]
    assert _requests.unknown_typed(typed, [], "site", KNOWN, TABLE) == []
    assert _requests.unknown_typed(["site_name"], ["site_name"], "site", KNOWN, TABLE) == []
    assert _requests.unknown_stored({"site_name": ["master"]}, ["site_name"], KNOWN, TABLE) == []


@pytest.mark.parametrize("name", TABLE["owned"])
def test_a_proof_cannot_be_given_with_e(name: str) -> None:
    assert _requests.unknown_typed([name], [], "site", KNOWN, TABLE)


# --- the real thing ---------------------------------------------------------------------------------------------------


class Site:
    """Three machines that are this one, in a place of its own."""

    def __init__(self, place: Path, collections: Path = ROOT / "collections") -> None:
        self.place, self.lock = place, place / "lock/run.json"
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(place / "local"),
            "ANSIBLE_REMOTE_TEMP": str(place / "remote"),
        }
        place.mkdir(exist_ok=True)
        self.inventory = place / "hosts.yml"
        self.write({})

    def write(self, variables: dict[str, t.Any], **groups: t.Any) -> None:
        everything = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "site_run_path": str(self.lock),
            "prysm_data_dir": str(self.place / "data"),
            "prysm_version": "v7.1.6",
            "prysm_network": "hoodi",
            "prysm_user_id": 1001,
            "prysm_group_id": 2000,
            "prysm_validators": [],
            **variables,
        }
        nfs = groups.get("nfs", {"nfs-server": {"ansible_host": "127.0.0.1"}})
        planes = groups.get("control_plane", {"master": {"ansible_host": "127.0.0.2"}})
        workers = groups.get("workers", {"worker": {"ansible_host": "127.0.0.3"}})
        site = {
            "vars": everything,
            "children": {
                "nfs": {"hosts": nfs},
                "microk8s": {"children": {"control_plane": {"hosts": planes}, "workers": {"hosts": workers}}},
            },
        }
        self.inventory.write_text(yaml.safe_dump({"site": site}))

    def command(self, playbook: Path, *words: str) -> list[str]:
        return [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(self.inventory),
            str(playbook),
            *words,
        ]

    def play(self, playbook: Path, *words: str) -> Done:
        done = subprocess.run(
            self.command(playbook, *words),
            cwd=self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout + done.stderr)

    def start(self, playbook: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(playbook, *words), cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip


class Done:
    def __init__(self, code: int, output: str) -> None:
        self.code, self.output = code, output
        self.said = " ".join(output.split())
        # A name that is cut between two lines of a report is still one sentence in the error above it.
        self.plays = re.findall(r"^PLAY \[(.+?)\] \*", output, re.M)

    def refused(self) -> bool:
        """With a sentence, and before any play but those that look at the request."""
        return self.code != 0 and "Refused, nothing was changed" in self.said and set(self.plays) <= {"Open the run"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def good(name: str) -> list[str]:
    """The variables of a right request."""
    answers = {"node": "worker", "node_state": "drained", "move_key": "0x" + "a" * 96, "move_from": "validator1",
               "move_to": "validator2", "microk8s_channel": "1.36/stable", "leave_node": "worker",
               "prysm_uninstall": "eth2prysm", "prysm_version": "v7.1.6",
               "prysm_emergency_flag": "none", "prysm_emergency_on": "beacon",
               "manifests_file": "/nowhere/site.yaml"}  # fmt: skip
    words = []
    for variable, spec in TABLE["playbooks"][name]["variables"].items():
        if spec.get("required"):
            words += ["-e", f"{variable}={answers[variable]}"]
    return words


def listed_tasks(name: str) -> list[str]:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [program, "-i", "nfs,", f"playbooks/{name}.yml", "--list-tasks"],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return list(dict.fromkeys(re.findall(r"^      (\S.*?)\tTAGS", done.stdout, re.M)))


def matrix() -> list[tuple[str, Case]]:
    """(playbook, more words): every machine alone, every tag where none is taken, every slip of each variable, and what
    an operator might forget."""
    cases: list[tuple[str, Case]] = []
    for name in NAMES:
        entry = TABLE["playbooks"][name]
        cases += [(name, ("--limit", host)) for host in HOSTS]
        cases += [(name, ("--limit", "localhost")), (name, ("--skip-tags", "always")), (name, ("--skip-tags", "gates"))]
        cases += [(name, ("--step",)), (name, ("--tags", "nonsense")), (name, ("--tags", "always"))]
        if not entry.get("roles"):
            cases += [(name, ("--tags", tag)) for tag in sorted(TAGS)]
            cases += [(name, ("--skip-tags", tag)) for tag in CHANCE.sample(sorted(TAGS), 3)]
        for variable, spec in entry["variables"].items():
            wrong = CHANCE.sample(sorted({*slips(variable)} - KNOWN), 2)
            cases += [(name, ("-e", f"{slip}=x")) for slip in [*wrong, variable.replace("_", "-") + "-"]]
            cases.append((name, ("-e", f"{variable}=")))
            if spec.get("choices") or spec.get("pattern") or spec.get("host_of"):
                cases += [(name, ("-e", f"{variable}=all,!nobody")), (name, ("-e", json.dumps({variable: ["a"]})))]
        cases += [(name, ("-e", f"{owned}=x")) for owned in ("site_gates", "site_run_id", "site_run_playbook")]
    cases += [
        ("leave_node", ("-e", f"leave_node={word}")) for word in ("workers", "microk8s", "all", "nfs-server", "w*")
    ]
    cases += [("uninstall", ("-e", "prysm_uninstall=yes"))]
    return cases


def cases_started_in_the_middle() -> list[tuple[str, Case]]:
    names = NAMES if WHOLE else [CHANCE.choice(NAMES)]
    return [(name, ("--start-at-task", task)) for name in names for task in sample(listed_tasks(name), 2)]


def run_all(site: Site, cases: list[tuple[str, Case]]) -> dict[tuple[str, Case], Done]:
    def one(case: tuple[str, Case]) -> Done:
        name, words = case
        return site.play(ROOT / f"playbooks/{name}.yml", *good(name), *words)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(cases, pool.map(one, cases), strict=True))


def test_whatever_is_left_out_is_refused_before_anything_acts(site: Site) -> None:
    outcomes = run_all(site, sample(matrix(), 5) + cases_started_in_the_middle())
    # An empty --limit is Ansible's own refusal.
    wrong = {
        case: done.output[-1500:]
        for case, done in outcomes.items()
        if not done.refused() and "leaves us with no hosts" not in done.said
    }
    assert wrong == {}
    assert not site.lock.exists()


def test_empty_groups_and_stored_requests_are_refused(tmp_path: Path) -> None:
    host = {"ansible_host": "127.0.0.9"}
    variants: list[tuple[str, dict[str, t.Any], dict[str, t.Any]]] = [
        ("nfs must have exactly one machine", {}, {"nfs": {}}),
        ("nfs must have exactly one machine", {}, {"nfs": {"a": host, "b": host}}),
        ("control_plane has no machine", {}, {"control_plane": {}}),
        ("prysm_uninstall is in the inventory", {"prysm_uninstall": "eth2prysm"}, {}),
        ("prysm_validatorz is not a variable", {"prysm_validatorz": []}, {}),
    ]
    for number, (words, variables, groups) in enumerate(sample(variants, 2)):
        place = Site(tmp_path / str(number))
        place.write(variables, **groups)
        done = place.play(ROOT / "playbooks/uninstall.yml")
        assert done.refused(), done.output
        assert words in done.said


def test_a_vaulted_variable_is_neither_opened_nor_shown(site: Site) -> None:
    """Without the vault's password the request is checked all the same, and only names are said."""
    text = site.inventory.read_text().replace(
        "    prysm_version:",
        "    prysm_secrett: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      6162\n    prysm_version:",
    )
    site.inventory.write_text(text)
    done = site.play(ROOT / "playbooks/upgrade.yml")
    assert done.refused(), done.output
    assert "prysm_secrett is not a variable" in done.said
    assert "decrypt" not in done.said


#: What is said of a port where nothing listens; the second where ssh has ended before it was given the module.
REFUSED = "refused|Broken pipe"
DOWN = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


@pytest.mark.parametrize(
    ("groups", "words", "fail"),
    [
        pytest.param(
            {"control_plane": {"master": DOWN}}, ["clock of master", "the cluster cannot be read"], None, id="master"
        ),
        pytest.param(
            {"nfs": {"nfs-server": DOWN}}, ["clock of nfs-server", "the wallets were not read"], "false", id="nfs"
        ),
    ],
)
def test_the_status_is_reported_with_half_of_the_site_down(
    site: Site, groups: t.Any, words: list[str], fail: str | None
) -> None:
    """What is down is said, and nothing else is missing because of it; then the run fails, if it may."""
    site.write({"prysm_validators": [{"name": "validator1", "keystores": ["/x"], "wallet_password": "Xx-1-abcdefgh"}],
                "prysm_jwt_secret": "ab" * 32}, **groups)  # fmt: skip
    report = site.place / "report.json"
    done = site.play(
        ROOT / "playbooks/status.yml", "--check", "-e", f"status_file={report}",
        "-e", f"status_fail={fail}" if fail else "status_format=json",
    )  # fmt: skip
    assert (done.code == 0) is (fail == "false"), done.output
    assert ("Fail if the report has problems" in done.output and "The report has" in done.output) is (fail is None)
    (text,) = re.findall(r"^    msg: \|-\n((?:        .*\n|\n)+)", done.output, re.M)
    if fail:
        assert all(re.search(f"- {word}.*({REFUSED})", text) for word in words), text
        return
    found = json.loads(text)
    assert [machine["name"] for machine in found["machines"]] == HOSTS
    assert [one["name"] for one in found["clients"]] == ["validator1"]
    for word in words:
        assert [problem for problem in found["problems"] if problem.startswith(word) and re.search(REFUSED, problem)]


# --- the run lock -----------------------------------------------------------------------------------------------------

HOLD = """
- import_playbook: {root}/playbooks/internal/open.yml
  vars: {{site_run_playbook: site}}
- hosts: "{{{{ 'nfs' | eth2xk8s.staking.in_run }}}}"
  gather_facts: false
  tasks:
    - ansible.builtin.shell: "touch {place}/acting.{{{{ site_run_id }}}} && sleep {{{{ company_seconds }}}}"
    - eth2xk8s.staking.site_run:
        state: held
        path: "{{{{ site_run_path }}}}"
- import_playbook: {root}/playbooks/internal/close.yml
  vars: {{site_run_playbook: site}}
"""


@pytest.fixture
def holding(site: Site) -> Path:
    path = site.place / "hold.yml"
    path.write_text(HOLD.format(root=ROOT, place=site.place))
    return path


def acting(site: Site) -> set[str]:
    return {path.name for path in site.place.glob("acting.*")}


def wait_for(true: t.Callable[[], t.Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def record(**changes: t.Any) -> _site_run.Run:
    mine = _controller.describe(os.getpid(), "site", "ansible-playbook site.yml")
    return {**mine, "id": "0123456789ab", **changes}


def stored(site: Site, run: _site_run.Run) -> None:
    site.lock.parent.mkdir(exist_ok=True)
    site.lock.write_text(json.dumps(run))


def test_two_runs_at_once_one_acts_and_the_other_says_why(tmp_path: Path) -> None:
    def once(number: int) -> None:
        site = Site(tmp_path / str(number))
        play = site.place / "hold.yml"
        play.write_text(HOLD.format(root=ROOT, place=site.place))
        first = site.start(play, "-e", "company_seconds=3")
        time.sleep(CHANCE.uniform(0, 1.2))
        second = site.start(play, "-e", "company_seconds=3")
        said = [process.communicate()[0] for process in (first, second)]
        codes = sorted(process.returncode for process in (first, second))
        assert codes[0] == 0, said
        assert codes[1] != 0, said
        loser = " ".join(said[0 if first.returncode else 1].split())
        assert "another playbook runs on this site" in loser
        assert f"(kill {(second if first.returncode else first).pid})" in loser
        assert len(acting(site)) == 1
        assert not site.lock.exists()

    for number in range(int(os.environ.get("RUN_LOCK_OFFSETS", "1"))):
        once(number)


def test_a_run_that_was_killed_is_taken_over_and_one_that_lives_is_not(site: Site, holding: Path) -> None:
    process = site.start(holding, "-e", "company_seconds=60", "-e", "prysm_jwt_secret=hush-hush")
    wait_for(lambda: acting(site))
    assert "hush-hush" not in site.lock.read_text()
    assert "-e prysm_jwt_secret" in site.lock.read_text()
    (run,) = acting(site)
    number = run.partition(".")[2]
    # Its number alone takes nothing from a process that can be seen to live.
    beside = site.play(holding, "-e", "company_seconds=0", "-e", f"site_run_take_over={number}")
    assert beside.code != 0
    assert "another playbook runs on this site" in beside.said
    checked = site.play(holding, "-e", "company_seconds=0", "--check")
    assert "Check mode goes on" in checked.said
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    after = site.play(holding, "-e", "company_seconds=0")
    assert after.code == 0, after.output
    assert f"Run {number} of " in after.said
    assert "ended before its work was done; this run takes over" in after.said
    assert not site.lock.exists()


def test_a_run_from_another_controller_is_taken_over_only_by_its_number(site: Site, holding: Path) -> None:
    theirs = record(machine="f" * 16, user="alice", controller="laptop", since="2026-01-02 03:04:05 UTC")
    stored(site, theirs)
    done = site.play(holding, "-e", "company_seconds=0")
    assert done.code != 0
    for words in ("alice on laptop runs `ansible-playbook site.yml` since 2026-01-02 03:04:05 UTC", "0123456789ab"):
        assert words in done.said
    assert "-e site_run_take_over=0123456789ab" in done.said
    wrong = site.play(holding, "-e", "company_seconds=0", "-e", "site_run_take_over=aaaaaaaaaaaa")
    assert wrong.code != 0
    assert json.loads(site.lock.read_text()) == theirs
    assert site.play(holding, "-e", "company_seconds=0", "-e", "site_run_take_over=0123456789ab").code == 0
    assert acting(site)


def test_a_run_that_was_taken_over_goes_no_further_and_releases_nothing(site: Site, holding: Path) -> None:
    process = site.start(holding, "-e", "company_seconds=2")
    wait_for(lambda: acting(site))
    theirs = record(machine="f" * 16, user="alice", controller="laptop")
    stored(site, theirs)
    said = process.communicate()[0]
    assert process.returncode != 0
    assert "alice on laptop took it over" in " ".join(said.split())
    assert json.loads(site.lock.read_text()) == theirs


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "0123456789ab"}', "\0" * 100])
def test_a_damaged_record_is_no_free_lock(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(UnreadableError):
        _site_run.take(str(path), record())
    assert path.read_text() == text


@pytest.mark.parametrize("kind", ["directory", "dangling"])
def test_whatever_has_the_name_of_the_record_is_no_free_lock(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.json"
    if kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UnreadableError):
        _site_run.take(str(path), record())


def contend(path: str, number: int, gate: t.Any, won: t.Any) -> None:
    gate.wait()
    if _site_run.take(path, record(id=f"{number:012x}")) is None:
        won.put(number)


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_that_ask_in_the_same_moment_one_has_it(tmp_path: Path, attempt: int) -> None:
    context = multiprocessing.get_context("fork")
    gate, won = context.Event(), context.Queue()
    path = str(tmp_path / "run.json")
    asking = [context.Process(target=contend, args=(path, number, gate, won)) for number in range(12)]
    for process in asking:
        process.start()
    gate.set()
    for process in asking:
        process.join()
        assert process.exitcode == 0
    winner = won.get(timeout=5)
    assert won.empty()
    held = _site_run.read_run(path)
    assert held is not None
    assert held["id"] == f"{winner:012x}"
    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]


def test_the_same_run_takes_it_twice_and_only_its_own_is_given_back(tmp_path: Path) -> None:
    path = str(tmp_path / "run.json")
    mine, other = record(), record(id="a" * 12)
    assert _site_run.take(path, mine) is None
    assert _site_run.take(path, {**mine, "since": "later"}) is None
    assert _site_run.take(path, other) == mine
    assert _site_run.take(path, other, over="b" * 12) == mine
    assert _site_run.release(path, other["id"]) == mine
    assert _site_run.take(path, other, over=mine["id"]) is None
    assert _site_run.release(path, mine["id"]) == other
    assert _site_run.release(path, other["id"]) is None
    assert _site_run.read_run(path) is None


@pytest.mark.parametrize(
    ("changes", "started", "verdict"),
    [
        pytest.param({}, "same", _controller.ALIVE, id="lives"),
        pytest.param({}, "", _controller.ALIVE, id="cannot-be-looked-at"),
        pytest.param({}, None, _controller.GONE, id="no-such-process"),
        pytest.param({}, "another", _controller.GONE, id="the-number-was-used-again"),
        pytest.param({"boot": "another"}, "same", _controller.GONE, id="restarted"),
        pytest.param({"boot": "another", "controller": "b"}, None, _controller.UNSEEN, id="a-clone"),
        pytest.param({"boot": "another", "cards": ["b"]}, None, _controller.UNSEEN, id="a-clone-of-the-same-name"),
        pytest.param({"boot": ""}, None, _controller.UNSEEN, id="no-boot"),
        pytest.param({"machine": "b"}, None, _controller.UNSEEN, id="another-machine"),
        pytest.param({"machine": ""}, None, _controller.UNSEEN, id="no-machine"),
        pytest.param({"namespace": "pid:[1]"}, None, _controller.UNSEEN, id="a-container"),
    ],
)
def test_when_a_run_is_gone(changes: dict[str, t.Any], started: str | None, verdict: str) -> None:
    base = {"machine": "a", "boot": "a", "namespace": "pid:[4026531836]", "controller": "a", "cards": ["a"]}
    mine = record(**base, id="a" * 12, started="same")
    assert _controller.verdict({**mine, "id": "b" * 12, **changes}, mine, lambda pid: started) == verdict


def test_containers_of_one_image_do_not_take_over_from_each_other() -> None:
    """They share the machine's number and the name, and a boot of another host is no restart of this one."""
    base = {"machine": "a", "boot": "a", "namespace": "pid:[4026532999]", "controller": "a", "cards": []}
    mine = record(**base, id="a" * 12)
    assert _controller.verdict({**mine, "id": "b" * 12, "boot": "b"}, mine, lambda pid: None) == _controller.UNSEEN


def test_the_command_is_kept_without_its_secrets() -> None:
    arguments = {"args": ["playbooks/site.yml"], "inventory": [str(Path.cwd() / "inventory/x")], "subset": None,
                 "tags": ("base", "timesync"), "skip_tags": ()}  # fmt: skip
    line = _controller.command_line(arguments, ["prysm_jwt_secret", "b`$(x)"])
    assert line == "ansible-playbook site.yml -i inventory/x --tags base,timesync -e b???x? -e prysm_jwt_secret"


# --- the whole work of a part -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection with roles that only say that they ran: with the tags they have, and nothing of what they do."""
    top = tmp_path_factory.mktemp("hollow")
    place = top / "ansible_collections/eth2xk8s/staking"
    place.mkdir(parents=True)
    for name in ("plugins", "playbooks", "galaxy.yml", "meta"):
        (place / name).symlink_to(ROOT / name)
    for role in sorted((ROOT / "roles").iterdir()):
        to = place / "roles" / role.name
        for part in ("defaults", "meta"):
            shutil.copytree(role / part, to / part)
        shutil.copytree(role / "tasks", to / "tasks")
        specs = load(to / "meta/argument_specs.yml")
        for option in specs["argument_specs"]["main"]["options"].values():
            option["required"] = False
        (to / "meta/argument_specs.yml").write_text(yaml.safe_dump(specs))
        for path in (to / "tasks").glob("*.yml"):
            ran = {"name": f"RAN {role.name}/{path.stem}", "ansible.builtin.debug": {"msg": "ran"}}
            tasks: list[dict[str, t.Any]] = [ran]
            if path.stem == "machine":
                # What it answers says that the machine was reached.
                seen = {"prysm_helm_machine_seen": {"time": "{{ now().timestamp() | int }}"}}
                tasks.append({"name": "Answer", "ansible.builtin.set_fact": seen})
            if path.stem == "question":
                # It makes known what the role looks at: nothing here.
                known: dict[str, t.Any] = {f"{role.name}_question": {}}
                known.update({"nfs_server": {"nfs_server_client_question": {}}}.get(role.name, {}))
                known.update({"firewall": {"firewall_p2p_ports": []}}.get(role.name, {}))
                tasks.append({"name": "Make it known", "ansible.builtin.set_fact": known})
            if path.stem == "main":
                tasks = load(path)
                for task in tasks:
                    for word in ("when", "loop", "loop_control", "vars"):
                        task.pop(word, None)
            path.write_text(yaml.safe_dump(tasks))
    (top / "collections").mkdir()
    return top


def ran(done: Done) -> list[str]:
    return [name.partition(" : ")[2] or name for name in re.findall(r"^TASK \[(.*RAN .+?)\] \*", done.output, re.M)]


def hollow_site(hollow: Path, place: Path) -> Site:
    return Site(place, hollow)


def test_a_part_of_the_site_brings_along_what_has_to_be_true_before_it(hollow: Path, tmp_path: Path) -> None:
    steps = sorted(_requests.role_tags(str(ROOT), ["prysm_helm"]))
    chosen = sorted(TAGS) if WHOLE else [CHANCE.choice([*steps, "firewall"])]
    playbook = hollow / "ansible_collections/eth2xk8s/staking/playbooks/site.yml"
    for tag in chosen:
        done = hollow_site(hollow, tmp_path / tag).play(playbook, "--tags", tag)
        assert done.code == 0, (tag, done.output[-4000:])
        found = [name.partition("RAN ")[2] for name in ran(done)]
        assert any(name.startswith(tag.split("_")[0]) for name in found) or tag == "gates", (tag, found)
        if tag in steps:
            step = found.index("prysm_helm/preflight")
            for needed in ("prysm_wallet/disks", "prysm_wallet/uniqueness", "nfs_server/verify", "timesync/gate"):
                assert needed in found[:step], (tag, needed, found)
        if tag in _requests.role_tags(str(ROOT), ["firewall", "timesync"]):
            assert "base/packages" not in found
            assert "base/reboot" not in found


def test_the_gates_publish_what_they_proved(hollow: Path, tmp_path: Path) -> None:
    site = hollow_site(hollow, tmp_path / "site")
    base = hollow / "ansible_collections/eth2xk8s/staking/playbooks/internal"
    play = site.place / "gates.yml"
    play.write_text(
        f"- import_playbook: {base}/open.yml\n  vars: {{site_run_playbook: drain}}\n"
        f"- import_playbook: {base}/gates.yml\n"
        "- hosts: \"{{ 'site' | eth2xk8s.staking.in_run }}\"\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.assert:\n        that:\n"
        "          - site_gates.run == site_run_id\n"
        "          - site_gates.clocks | sort == (groups['site'] | sort if not ansible_check_mode else [])\n"
        "          - site_gates.fence == ('' if ansible_check_mode else groups['nfs'][0])\n"
    )
    done = site.play(play, "-e", "node=worker")
    assert done.code == 0, done.output
    # Not this run's lock any more: the file stays, and the next run, from this controller, sees that it has ended.
    assert site.lock.exists()
    assert site.play(play, "-e", "node=worker", "--check").code == 0
