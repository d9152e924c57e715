"""Promises of the role microk8s that can be read from its tasks, and its derived variables evaluated by Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles/microk8s"
FILES = sorted((ROLE / "tasks").glob("*.yml"))


def tasks(path: Path) -> t.Iterator[dict[str, t.Any]]:
    def walk(items: list[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
        for item in items:
            yield item
            for part in ("block", "rescue", "always"):
                yield from walk(item.get(part, []))

    yield from walk(yaml.safe_load(path.read_text(encoding="utf-8")))


def commands() -> t.Iterator[tuple[str, list[str], dict[str, t.Any]]]:
    for path in FILES:
        for task in tasks(path):
            if "ansible.builtin.command" in task:
                argv = task["ansible.builtin.command"]["argv"]
                words = argv if isinstance(argv, list) else [argv]
                yield f"{path.name}: {task['name']}", [str(word) for word in words], task


COMMANDS = list(commands())


def ids(case: t.Any) -> str:
    return case if isinstance(case, str) else ""


@pytest.mark.parametrize(("name", "argv", "task"), COMMANDS, ids=ids)
def test_every_command_is_safe_to_have_in_a_role(name: str, argv: list[str], task: dict[str, t.Any]) -> None:
    line = " ".join(argv)
    assert "microk8s reset" not in line and "destroy-storage" not in line, "a reset never happens by accident"
    assert "remove" not in argv, "the snap is never removed, and with it the datastore"
    assert "--grace-period" not in line, "a pod is never taken for dead before it is (P1)"
    assert not ("delete" in argv and any(word.startswith("--force") for word in argv))
    assert "--wait-ready" not in line, "it waits for ever where --timeout is forgotten (trap 5)"
    first = argv[1] if len(argv) > 1 and argv[0] == "timeout" else argv[0]
    assert not first.startswith("microk8s"), "/snap/bin is not in everybody's path"
    assert "changed_when" in task


@pytest.mark.parametrize(("name", "argv", "task"), COMMANDS, ids=ids)
def test_what_may_hang_is_bounded(name: str, argv: list[str], task: dict[str, t.Any]) -> None:
    line = " ".join(argv)
    for slow in ("leave", "dbctl", "'join'", "wait"):
        if slow in line.split() or slow in line.replace(",", " ").split():
            assert "timeout" in line, f"{slow} has no bound"


def test_tokens_are_hidden() -> None:
    for path in FILES:
        for task in tasks(path):
            body = json.dumps({key: value for key, value in task.items() if key not in ("block", "always")})
            if "__microk8s_token" in body and "assert" not in body:
                assert task.get("no_log") == "{{ microk8s_no_log | bool }}", task["name"]


def test_the_token_is_withdrawn_whatever_happens() -> None:
    (block,) = [task for task in tasks(ROLE / "tasks/join_cluster.yml") if "always" in task]
    (withdraw,) = block["always"]
    assert withdraw["ansible.builtin.lineinfile"]["state"] == "absent"
    assert withdraw["delegate_to"] == "{{ microk8s_seed }}"


def test_preflight_changes_nothing() -> None:
    allowed = {"ansible.builtin.assert", "ansible.builtin.set_fact", "eth2xk8s.staking.microk8s_info"}
    for name in ("preflight.yml", "check_clock.yml", "sudo.yml", "upgrade_check.yml"):
        for task in tasks(ROLE / "tasks" / name):
            included = task.get("ansible.builtin.include_tasks", {}).get("file") or task.get(
                "ansible.builtin.import_tasks"
            )
            assert allowed & task.keys() or included in ("check_clock.yml", "sudo.yml", "watches.yml"), task["name"]


def test_what_is_known_of_this_machine_is_never_lost_to_a_skipped_task() -> None:
    """A task that is skipped registers just that: the node would have no name any more, and nothing be done to it."""
    for path in FILES:
        for task in tasks(path):
            assert not (task.get("register") == "__microk8s_here" and "when" in task), f"{path.name}: {task['name']}"


def test_a_join_is_believed_only_from_the_seed() -> None:
    steps = list(tasks(ROLE / "tasks/join_cluster.yml"))
    names = [step["name"].partition("| ")[2] for step in steps]
    after = steps[names.index("Join") + 1 :]
    verify = next(step for step in after if (step.get("eth2xk8s.staking.microk8s_info") or {}).get("cluster"))
    assert verify["delegate_to"] == "{{ microk8s_seed }}"
    assert verify["eth2xk8s.staking.microk8s_info"]["wait_machine"] == "{{ __microk8s_here.identity }}"


def test_after_a_refresh_the_new_kubelet_is_waited_for() -> None:
    """A patch release does not show in the version, and for most of a minute Ready is what the kubelet before said."""
    steps = [
        (task.get("delegate_to"), task["eth2xk8s.staking.microk8s_info"] or {})
        for task in tasks(ROLE / "tasks/upgrade_wait.yml")
        if "eth2xk8s.staking.microk8s_info" in task
    ]
    (here, _), (seed, waits) = steps
    assert (here, seed) == (None, "{{ microk8s_seed }}")
    assert waits["wait_renewed_after"] == "{{ __microk8s_here.machine.time }}"
    refresh = [step["name"].partition("| ")[2] for step in tasks(ROLE / "tasks/upgrade_refresh.yml")]
    assert refresh.index("Refresh MicroK8s") < refresh.index("Wait until the node is Ready at the new version")


def test_the_store_is_asked_before_the_backup_and_not_again() -> None:
    """What is offered only after it would be moved to without one."""
    asking = {
        path.name
        for path in FILES
        for task in tasks(path)
        if "offered_in" in (task.get("eth2xk8s.staking.microk8s_info") or {})
    }
    assert asking == {"upgrade_check.yml"}


def test_only_a_node_without_a_datastore_is_told_to_be_purged() -> None:
    """One that may not leave because it holds the only copy of the datastore must never be told so."""
    (check,) = [task for task in tasks(ROLE / "tasks/leave.yml") if task["name"] == "leave | Check that it left"]
    said = " ".join(check["ansible.builtin.assert"]["fail_msg"].split())
    assert said.endswith("and __microk8s_here.membership.servers | length == 0 }}")
    assert said.count("--purge") == 1


def test_what_a_node_holds_by_itself_is_looked_at_before_it_joins() -> None:
    """One with the cluster's authority and no cluster is half joined, or left and was used since."""
    look, *_ = tasks(ROLE / "tasks/join_cluster.yml")
    assert look["register"] == "__microk8s_own"
    assert "__microk8s_plan.action == 'join' or __microk8s_here.membership.state == 'single'" in look["when"]


def test_addons_are_read_back() -> None:
    """Trap 3: `microk8s enable` of 1.20 succeeds whatever its script said, and none waits for pods."""
    main = yaml.safe_load((ROLE / "tasks/main.yml").read_text(encoding="utf-8"))
    files = [
        task["ansible.builtin.import_tasks"]
        if "ansible.builtin.import_tasks" in task
        else task["ansible.builtin.include_tasks"]["file"]
        for task in main
    ]
    assert files.index("addons.yml") < files.index("rollout.yml")
    read, check = tasks(ROLE / "tasks/rollout.yml")
    assert read["eth2xk8s.staking.microk8s_info"]["wait_addons"] is True
    assert read["register"] == "__microk8s_there"
    assert "__microk8s_absent_addons | length == 0" in check["ansible.builtin.assert"]["that"]


def test_name_servers_that_were_dropped_are_named(evaluate: t.Callable[..., t.Any]) -> None:
    """Trap 6: with dns enabled before, the servers given to `enable` are dropped without a word."""
    expression = "__microk8s_other_dns | bool"
    wanted = {"microk8s_dns_servers": ["1.1.1.1"]}
    cases = {
        "same": ({**wanted, "__microk8s_there": {"dns_servers": ["1.1.1.1"]}}, expression),
        "other": ({**wanted, "__microk8s_there": {"dns_servers": ["8.8.8.8"]}}, expression),
        "unknown": ({**wanted, "__microk8s_there": {}}, expression),
        "unasked": ({"microk8s_dns_servers": [], "__microk8s_there": {"dns_servers": ["8.8.8.8"]}}, expression),
    }
    assert evaluate(cases) == {"same": False, "other": True, "unknown": False, "unasked": False}
    warnings = [task for task in tasks(ROLE / "tasks/warnings.yml") if task["when"] == "__microk8s_remarks.dns | bool"]
    assert "WARNING" in warnings[0]["ansible.builtin.debug"]["msg"]


def test_how_a_node_joins(evaluate: t.Callable[..., t.Any]) -> None:
    """Traps 7 and 9: the seed's address of the inventory, no fingerprint, and --worker only where it exists."""
    (join,) = [task for task in tasks(ROLE / "tasks/join_cluster.yml") if task["name"] == "join_cluster | Join"]
    expression = join["ansible.builtin.command"]["argv"].strip().removeprefix("{{").removesuffix("}}")
    given = {"microk8s_seed_address": "10.0.0.2", "__microk8s_token": "T"}
    cases = {
        f"{role}_{minor}": ({**given, "microk8s_channel": f"1.{minor}/stable", "microk8s_node_role": role}, expression)
        for role in ("worker", "control_plane")
        for minor in (20, 22, 23, 36)
    }
    found = evaluate(cases)
    assert {tuple(argv[:5]) for argv in found.values()} == {
        ("timeout", "300", "/snap/bin/microk8s", "join", "10.0.0.2:25000/T")
    }
    assert {name for name, argv in found.items() if argv[5:] == ["--worker"]} == {"worker_23", "worker_36"}
    assert all(argv[5:] in ([], ["--worker"]) for argv in found.values())


def test_the_token_lives_and_is_withdrawn() -> None:
    """Trap 10: a token without a life time is used up by a join that fails, so that nothing could be repeated."""
    (add,) = [argv for name, argv, _ in COMMANDS if "add-node" in argv]
    assert add[add.index("--token-ttl") + 1] == "{{ microk8s_join_token_ttl_seconds }}"


def test_a_backup_is_asked_for_by_its_bare_name(evaluate: t.Callable[..., t.Any]) -> None:
    """Up to 1.31 `dbctl backup -o` fails for a name with a directory in it."""
    steps = {step["name"].partition("| ")[2]: step for step in tasks(ROLE / "tasks/upgrade_backup.yml")}
    assert steps["Back the datastore up"]["ansible.builtin.command"]["chdir"] == "{{ microk8s_backup_dir }}"
    name = steps["Name the backup"]["ansible.builtin.set_fact"]["__microk8s_backup"]
    expression = name.strip().replace("{{", "' ~ (").replace("}}", ") ~ '")
    found = evaluate({"name": ({"microk8s_channel": "1.28/stable"}, f"'{expression}'")})["name"]
    assert found.startswith("before-1.28-stable-") and "/" not in found


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> t.Callable[..., t.Any]:
    """Evaluate expressions with the role's defaults and variables, all cases in one run of Ansible."""
    place = tmp_path_factory.mktemp("evaluate")

    def run(cases: dict[str, tuple[dict[str, t.Any], str]]) -> dict[str, t.Any]:
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
            "tasks": [
                {
                    "name": name,
                    "ansible.builtin.set_fact": {f"out_{name}": "{{ " + expression + " }}"},
                    "vars": variables,
                }
                for name, (variables, expression) in cases.items()
            ]
            + [
                {
                    "name": "Write the values",
                    "ansible.builtin.copy": {
                        "content": "{{ {" + ",".join(f"'{name}': out_{name}" for name in cases) + "} | to_json }}",
                        "dest": str(place / "out"),
                        "mode": "0600",
                    },
                }
            ],
        }
        (place / "play.yml").write_text(json.dumps([play]))
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", place / "play.yml"],
            cwd=ROOT,
            env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return t.cast("dict[str, t.Any]", json.loads((place / "out").read_text()))

    return run


def test_derived_variables(evaluate: t.Callable[..., t.Any]) -> None:
    pods = {
        "items": [
            {"metadata": {"name": "static"}},
            {"metadata": {"name": "coredns", "ownerReferences": [{"kind": "ReplicaSet"}]}},
            {"metadata": {"name": "validator1-0", "ownerReferences": [{"kind": "StatefulSet"}]}},
        ]
    }
    python = {"kubernetes_python": {"system": None, "venv": None}}
    cases = {
        "minor": ({"microk8s_channel": "1.28/candidate"}, "__microk8s_minor | int"),
        "installed_minor": (
            {"__microk8s_here": {"snap": {"channel": "1.29/stable", "version": "v1.28.15"}}},
            "__microk8s_installed_minor | int",
        ),
        # channel, version, what the store offers: whether 1.29/stable has to be fetched
        **{
            f"due_{name}": (
                {
                    "__microk8s_here": {"snap": {"channel": channel, "version": version, "revision": "7729"}},
                    "__microk8s_offered_revision": offered,
                    "microk8s_channel": "1.29/stable",
                },
                "__microk8s_refresh_due | bool",
            )
            for name, channel, version, offered in (
                ("next", "1.28/stable", "v1.28.15", 7729),
                ("reverted", "1.29/stable", "v1.28.15", 0),
                ("risk", "1.29/edge", "v1.29.15", 7729),
                ("patch", "1.29/stable", "v1.29.15", 7730),
                ("done", "1.29/stable", "v1.29.15", 7729),
                ("older", "1.29/stable", "v1.29.15", 7000),
                ("offline", "1.29/stable", "v1.29.15", 0),
            )
        },
        "addons": ({"microk8s_addons": ["dns", "helm3"]}, "__microk8s_wanted_addons"),
        "addons_dns": (
            {"microk8s_addons": ["dns", "metallb:10.0.0.1-10.0.0.9"], "microk8s_dns_servers": ["1.1.1.1", "9.9.9.9"]},
            "__microk8s_wanted_addons",
        ),
        "launch_dns": ({"microk8s_dns_servers": ["1.1.1.1", "9.9.9.9"]}, "__microk8s_launch_dns.addons[0].args"),
        "pods": (
            {"__microk8s_pods": {"stdout": json.dumps(pods)}},
            "__microk8s_stateful_pods | map(attribute='metadata.name')",
        ),
        "python_none": ({"__microk8s_python": python}, "__microk8s_python_suits | bool"),
        "python_old": (
            {"__microk8s_python": {"kubernetes_python": {"system": "22.6.0", "venv": "31.0.0"}}},
            "[__microk8s_python_suits | bool, __microk8s_python_venv_suits | bool]",
        ),
        "offered": (
            {
                "__microk8s_python_offer": {
                    "stdout": "python3-kubernetes:\n  Installed: (none)\n  Candidate: 22.6.0-2\n"
                }
            },
            "__microk8s_python_offered",
        ),
        "offered_none": ({"__microk8s_python_offer": {"stdout": ""}}, "__microk8s_python_offered"),
        "rbac_off": ({"__microk8s_there": {"authorization": "AlwaysAllow"}}, "__microk8s_rbac_missing | bool"),
        "rbac_on": ({"__microk8s_there": {"authorization": "RBAC,Node"}}, "__microk8s_rbac_missing | bool"),
        "rbac_default": ({"__microk8s_there": {"authorization": None}}, "__microk8s_rbac_missing | bool"),
    }
    assert evaluate(cases) == {
        "minor": 28,
        "installed_minor": 28,
        "due_next": True,
        "due_reverted": True,
        "due_risk": True,
        "due_patch": True,
        "due_done": False,
        "due_older": False,
        "due_offline": False,
        "addons": ["dns", "helm3"],
        "addons_dns": ["dns:1.1.1.1,9.9.9.9", "metallb:10.0.0.1-10.0.0.9"],
        "launch_dns": ["1.1.1.1,9.9.9.9"],
        "pods": ["validator1-0"],
        "python_none": False,
        "python_old": [False, True],
        "offered": "22.6.0",
        "offered_none": "0",
        "rbac_off": True,
        "rbac_on": False,
        "rbac_default": True,
    }
