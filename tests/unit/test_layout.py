"""Promises of the repository itself, which no single role or module can keep."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import textwrap
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _requests

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
LINKED = ["galaxy.yml", "meta", "playbooks", "plugins", "roles"]
DESIGNED = ["base", "firewall", "microk8s", "nfs_server", "prysm_helm", "prysm_wallet", "timesync"]


def load(path: Path) -> dict[str, t.Any]:
    """A YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


@pytest.mark.parametrize("name", LINKED)
def test_fqcn_reaches_the_working_tree(name: str) -> None:
    """`ansible-galaxy collection install --force .` would replace the links by a stale copy."""
    link = ROOT / "collections/ansible_collections/eth2xk8s/staking" / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / name


def test_all_roles_are_there() -> None:
    assert [role.name for role in ROLES] == DESIGNED


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_documented_defaults_are_the_real_ones(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    documented = {name: spec["default"] for name, spec in options.items() if "default" in spec}
    worked_out = {}
    for name, default in load(role / "defaults/main.yml").items():
        # A template is a text, and no default of a number or a list: the page of such a role cannot be made.
        if "{{" in str(default) and options[name]["type"] not in ("str", "path", "raw"):
            worked_out[name] = default
            assert "The default is " in " ".join(options[name]["description"]), name
    assert {**documented, **worked_out} == load(role / "defaults/main.yml")
    assert documented.keys() & worked_out.keys() == set()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_what_a_default_is_worked_out_of_is_documented(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    for name, default in load(role / "defaults/main.yml").items():
        found = re.fullmatch(r"\{\{ (\w+)( \| default\(.*\))? \}\}", str(default))
        if found and "default" not in options[name]:
            assert found[1] in " ".join(options[name]["description"]), name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_option_has_a_type_and_a_description(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    silent = [name for name, spec in options.items() if not spec.get("description") or not spec.get("type")]
    assert silent == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_two_options_have_one_description(role: Path) -> None:
    """What was copied from the option above says nothing of this one."""
    for name, entry in load(role / "meta/argument_specs.yml")["argument_specs"].items():
        texts = ["".join(option["description"]) for option in entry.get("options", {}).values()]
        assert [text for text in texts if texts.count(text) > 1] == [], name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_has_a_readme_and_a_comment_above_each_default(role: Path) -> None:
    assert (role / "README.md").exists()
    lines = (role / "defaults/main.yml").read_text().splitlines()
    bare = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if re.match(r"[a-z_]+:", line) and not above.startswith("#") and not re.match(r"[a-z_]+:", above)
    ]
    assert bare == []


def test_the_product_does_not_know_of_its_rehearsal() -> None:
    found = subprocess.run(
        ["grep", "-rnwiE", "--include=*.yml", "--include=*.py", "--include=*.md", "--include=*.j2", "--include=*.yaml",
         "lab|double|stand-?in", "roles", "plugins", "playbooks"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    # "double vote" and its kin are words of the consensus rules.
    assert [
        line for line in found.splitlines() if not re.search(r"double[- _](vot|propos|sign|quot)", line, re.I)
    ] == []


def test_mainnet_is_never_the_default() -> None:
    assert "inventory = inventory/testnet\n" in (ROOT / "ansible.cfg").read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/modules/*_info.py")), ids=lambda path: path.stem)
def test_a_module_that_proves_is_no_info_module(path: Path) -> None:
    """By Ansible's convention such a module gathers facts: what it finds is no reason to fail, nor to wait at once."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^short_description: (Prove|Check|Refuse|Wait)", text, re.M)
    assert '"wait": {"type": "bool", "default": True}' not in text


# Modules that look into the release's namespace, by the name that the collection gives it.
IN_THE_NAMESPACE = {
    "kubernetes.core.k8s": "Pod",
    "kubernetes.core.k8s_info": "Pod",
    "kubernetes.core.helm_info": "",
    "eth2xk8s.staking.beacon_health": "",
    "eth2xk8s.staking.validator_duties": "",
    "eth2xk8s.staking.prysm_release_info": "",
    "eth2xk8s.staking.validator_stopped": "",
}


def all_tasks(items: list[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
    """Tasks of plays and blocks, however deep."""
    for item in items:
        yield item
        for part in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always"):
            yield from all_tasks(item.get(part) or [])


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("*.yml"), *ROOT.glob("playbooks/**/*.yml")]),
    ids=lambda path: path.name,
)
def test_playbooks_follow_the_release_into_another_namespace(path: Path) -> None:
    """drain.yml would evict validators that it does not find, all at once."""
    content = load(path)
    default = load(ROOT / "roles/prysm_helm/defaults/main.yml")["prysm_helm_namespace"]
    for task in all_tasks(content if isinstance(content, list) else []):
        for module, kind in IN_THE_NAMESPACE.items():
            words = task.get(module)
            if isinstance(words, dict) and words.get("kind", "") in ("", kind) and "definition" not in words:
                given = words.get("namespace", words.get("release_namespace"))
                assert given == f"{{{{ prysm_helm_namespace | default('{default}') }}}}", task["name"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/templates/*.j2")), ids=lambda path: path.name)
def test_templates_follow_it_as_well(path: Path) -> None:
    assert not re.search(r"namespace: *prysm\b", path.read_text(encoding="utf-8"))


PIPELINING = {"ansible_pipelining": True, "ansible_ssh_pipelining": True}


def test_the_opening_keeps_modules_and_their_secrets_out_of_files() -> None:
    """An ansible.cfg does not come with a collection, and an inventory may say otherwise. Facts outlast the play."""
    opening = load(ROOT / "playbooks/internal/open.yml")[0]
    assert "all:localhost" in opening["hosts"]
    assert PIPELINING.items() <= opening["tasks"][0]["ansible.builtin.set_fact"].items()


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/**/*.yml")), ids=lambda path: path.name)
def test_no_play_runs_without_the_opening_or_undoes_it(path: Path) -> None:
    content = load(path)
    for play in content if isinstance(content, list) else []:
        if "hosts" in play:
            assert "eth2xk8s.staking.in_run" in play["hosts"], play["name"]
            assert not {*PIPELINING, "ansible_connection"} & set(play.get("vars", {})), play["name"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_that_hands_secrets_to_modules_writes_none_to_files(role: Path) -> None:
    secret = any(
        "no_log: true" in path.read_text() or "_password" in path.read_text() for path in role.glob("tasks/*.yml")
    )
    if secret:
        assert PIPELINING.items() <= load(role / "vars/main.yml").items()


def test_what_is_promised_of_ansible_is_what_ci_tests() -> None:
    jobs = load(ROOT / ".github/workflows/ci.yml")["jobs"]
    promised = load(ROOT / "meta/runtime.yml")["requires_ansible"]
    first, last = re.fullmatch(r">=2\.(\d+)\.0,<2\.(\d+)\.0", promised).groups()  # type: ignore[union-attr]
    cores = {f"2.{minor}" for minor in range(int(first), int(last))}
    for job in ("artifact", "sanity"):
        assert {row["core"] for row in jobs[job]["strategy"]["matrix"]["include"]} == cores, job
    rows = [*jobs["artifact"]["strategy"]["matrix"]["include"], *jobs["units"]["strategy"]["matrix"]["include"]]
    assert {row["python"] for row in rows} == {"3.11", "3.12", "3.13"}
    assert f"ansible-core>=2.{first},<2.{last}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "ansible-core 2.19 to 2.21 on Python 3.11 to 3.13" in (ROOT / "README.md").read_text(encoding="utf-8")


IGNORED = sorted(ROOT.glob("tests/sanity/ignore-*.txt"))


@pytest.mark.parametrize("path", IGNORED, ids=lambda path: path.stem)
def test_what_sanity_ignores_is_there_and_has_a_reason(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == sorted(set(lines))
    for line in lines:
        found = re.fullmatch(r"(\S+) \S+ # \S.*", line)
        assert found, line
        assert (ROOT / found[1]).is_file(), line
    assert lines == IGNORED[0].read_text(encoding="utf-8").splitlines(), "one list for every ansible-core"


def test_programs_that_are_no_modules_are_known_to_sanity() -> None:
    """ansible-test refuses any other first line of a Python file, but only before a release."""
    lines = IGNORED[0].read_text(encoding="utf-8").splitlines()
    programs = {
        str(path.relative_to(ROOT)) for path in ROOT.glob("roles/*/files/**/*.py") if path.read_text().startswith("#!")
    }
    assert programs == {line.split()[0] for line in lines if " shebang!skip " in line}


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/**/*.py")), ids=lambda path: path.name)
def test_no_plugin_asserts(path: Path) -> None:
    """python -O leaves assertions out; ansible-test refuses them before a release."""
    assert not re.search(r"^ *assert\b", path.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/module*/**/*.py")), ids=lambda path: path.name)
def test_what_runs_on_a_target_does_without_methods_of_newer_pythons(path: Path) -> None:
    """Of 3.9 and later; ruff knows the newer syntax, and not these."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"[.](?:removeprefix|removesuffix|is_relative_to)[(]|zip[(].*strict=", text) == []


def test_ci_has_no_more_than_the_makefile() -> None:
    """What CI calls can be called here as well."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    called = re.findall(r"\bmake ([a-z-]+)", (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert called
    assert set(called) <= targets


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_command_of_the_documents_is_there(name: str) -> None:
    """Typed for real by tests/rehearsal/test_06_readme.py; a name that is gone is seen here."""
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.M)) <= targets
    assert [path for path in re.findall(r"ansible-playbook (\S+\.yml)", text) if not (ROOT / path).is_file()] == []
    assert [path for path in re.findall(r"`((?:docs|tests|lab|bin|scripts|inventory)/[\w./-]+)", text)
            if not (ROOT / path).exists()] == []  # fmt: skip


def test_a_user_types_the_lab_and_a_developer_finds_tools_in_scripts() -> None:
    assert [path.name for path in (ROOT / "bin").iterdir() if path.name != "__pycache__"] == ["lab"]
    text = "".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "CONTRIBUTING.md", "pyproject.toml")
    )
    tools = {path.name for path in (ROOT / "scripts").iterdir() if path.name != "__pycache__"}
    assert {name for name in tools if f"scripts/{name}" in text} == tools


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/**/*.md")])
SITE = _requests.table(str(ROOT))
#: In a page as an example of what is refused, or of a variable of the reader's own.
EXAMPLES = {"prysm_verison", "site_name", "firewall_vendor"}


def test_what_shows_an_incident_is_there() -> None:
    text = (ROOT / "docs/incidents.md").read_text()
    shown = [row.split("|")[5] for row in text.splitlines() if row.startswith("| ") and "`test_" in row]
    assert len(shown) > 5
    for cell in shown:
        # A test without a file is one of the file before it.
        file = ""
        for name in re.findall(r"`([^`]+)`", cell):
            path, _, test = name.rpartition("::")
            if not name.startswith("test_"):
                assert (ROOT / "molecule" / name / "molecule.yml").is_file(), name
                continue
            file = path or file
            assert re.search(rf"^def {test}\(", (ROOT / "tests/rehearsal" / file).read_text(), re.M), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_links_to_what_is_shipped_with_it(path: Path) -> None:
    shipped = re.findall(r"^    - include (.*)$", (ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.M)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    found = {str((path.parent / link).resolve().relative_to(ROOT)) for link in links}
    assert {
        name for name in found if name not in shipped and not any(one.startswith(f"{name}/") for one in shipped)
    } == set()


@functools.cache
def names() -> set[str]:
    """What may be written like a variable of this collection's: variables, facts, tags, and plugins."""
    specs = [load(role / "meta/argument_specs.yml")["argument_specs"] for role in ROLES]
    found = {option for spec in specs for entry in spec.values() for option in entry["options"]}
    found |= _requests.known(str(ROOT), SITE) | set(SITE["owned"]) | EXAMPLES | set(DESIGNED)
    found |= _requests.role_tags(str(ROOT), DESIGNED) | {file.stem for file in ROOT.glob("plugins/*/*.py")}
    for file in ROOT.glob("roles/*/tasks/*.yml"):
        found |= changed_by(_requests.load(str(file)) or [], {})
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_variables_of_a_page_are_there(path: Path) -> None:
    code = re.findall(r"`([^`\n]+)`|^    (.*)$", path.read_text(encoding="utf-8"), re.M)
    words = re.findall(r"(?<![\w./*-])[a-z]+_[a-z0-9_]*[a-z0-9](?![\w.*/-])", "\n".join(map(" ".join, code)))
    assert {word for word in words if word.startswith(tuple(SITE["prefixes"]))} - names() == set()


def test_the_page_of_the_playbooks_has_every_variable_of_the_site() -> None:
    """Those of the playbooks, and those that roles take through a default of their own."""
    defaults = [load(role / "defaults/main.yml") for role in ROLES]
    options = {
        name for role in ROLES for name in load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    }
    taken = set(re.findall(r"(?<![.\w])prysm_\w+", " ".join(str(value) for one in defaults for value in one.values())))
    text = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8").partition("## Variables of the site\n")[2]
    listed = re.findall(r"(?m)^\| `(\w+)` \|", text.partition("\n## ")[0])
    assert sorted(listed) == sorted({*SITE["site"], *taken - options - set(SITE["owned"])})


#: Words with a better one: "no client", "any program", "others". `root_squash` has a user of that name.
RULED_OUT = re.compile(r"(?<!`)\b(nobody|somebody|whoever|movers|silence|type there|cannot be told)\b(?!`)", re.I)


def texts_of(node: object, inside: bool = False) -> t.Iterator[str]:
    """What YAML says to its reader: messages and names in a task file, every text of what has no tasks."""
    if isinstance(node, str) and inside:
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from texts_of(value, inside or key in ("msg", "fail_msg", "success_msg", "name", "fail"))
    elif isinstance(node, list):
        for value in node:
            yield from texts_of(value, inside)


def literals_of(text: str) -> t.Iterator[str]:
    """What a Python file says to its reader: its texts, and not what it says to who changes it."""
    tree = ast.parse(text)
    places = (ast.Module, ast.ClassDef, ast.FunctionDef)
    above = {id(node.body[0].value) for node in ast.walk(tree)
             if isinstance(node, places) and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in above:
            yield node.value


READ = {
    "pages": PAGES,
    "defaults": sorted(ROOT.glob("roles/*/defaults/main.yml")),
    "options": sorted(ROOT.glob("roles/*/meta/argument_specs.yml")),
    "inventories": sorted(ROOT.glob("inventory/**/*.yml")),
    "tasks": sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/vars/*.yml")]),
    "playbooks": sorted(ROOT.glob("playbooks/**/*.yml")),
    "the table of versions": [ROOT / "roles/prysm_helm/files/eth2prysm/files/versions.yaml"],
    "programs": sorted([*ROOT.glob("plugins/**/*.py"), *ROOT.glob("roles/*/files/*.py")]),
}


@pytest.mark.parametrize("kind", READ)
def test_where_users_read_one_word_is_one_thing(kind: str) -> None:
    found = []
    for path in READ[kind]:
        text = path.read_text(encoding="utf-8")
        if kind == "programs":
            said = list(literals_of(text))
        elif kind in ("tasks", "playbooks", "the table of versions"):
            said = list(texts_of(yaml.safe_load(text), kind == "the table of versions"))
        else:
            said = [text]
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for one in said for hit in RULED_OUT.finditer(one)]
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_yaml_of_a_page_can_be_copied(path: Path) -> None:
    entries = _requests.entries(str(ROOT))
    for block in re.findall(r"^( *)```ya?ml\n(.*?)^\1```", path.read_text(encoding="utf-8"), re.S | re.M):
        content = yaml.safe_load(textwrap.dedent(block[1]))
        assert isinstance(content, (dict, list))
        for name, given in content.items() if isinstance(content, dict) else ():
            if name in entries:
                assert _requests.unknown_options(name, given, entries[name]) == [], path


Task = dict[str, t.Any]


def every(tasks: list[Task] | None) -> t.Iterator[Task]:
    """Tasks, and those in their blocks."""
    for task in tasks or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from every(task.get(part))


def names_in(expression: object, variables: dict[str, t.Any], seen: frozenset[str] = frozenset()) -> set[str]:
    """The words of an expression, and of the role's variables in it."""
    found = set(re.findall(r"[A-Za-z_]\w*", str(expression)))
    for word in found & set(variables) - seen:
        found |= names_in(variables[word], variables, seen | {word})
    return found


def changed_by(tasks: list[Task], files: dict[str, list[Task]], seen: frozenset[str] = frozenset()) -> set[str]:
    """The names that tasks register or set, also those of files that they include."""
    found: set[str] = set()
    for task in every(tasks):
        found |= {task["register"]} if "register" in task else set()
        found |= set(task.get("ansible.builtin.set_fact", ()))
        included = task.get("ansible.builtin.include_tasks") or task.get("ansible.builtin.import_tasks") or ""
        name = included["file"] if isinstance(included, dict) else included
        if name in files and name not in seen:
            found |= changed_by(files[name], files, seen | {name})
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_block_changes_what_it_depends_on(role: Path) -> None:
    """Ansible asks a block's condition before each of its tasks: what stopped a client must still start it."""
    files = {path.name: t.cast("list[Task]", load(path)) for path in (role / "tasks").glob("*.yml")}
    variables = load(role / "vars/main.yml") if (role / "vars/main.yml").exists() else {}
    for name, tasks in files.items():
        for task in every(tasks):
            if "block" in task and "when" in task:
                asked = names_in(task["when"], variables)
                assert not asked & {*changed_by(task["block"], files), "now"}, (name, task.get("name"))


def test_everything_that_asks_the_cluster_is_in_the_action_group() -> None:
    """A module that is not would take the kubeconfig's current context, whatever prysm_context says."""
    members = load(ROOT / "meta/runtime.yml")["action_groups"]["cluster"]
    ours = {
        path.stem
        for path in ROOT.glob("plugins/modules/*.py")
        if "CLUSTER_ARGUMENTS" in path.read_text(encoding="utf-8")
    }
    assert set(members[1:]) == ours
    assert members[0] == {"metadata": {"extend_group": ["kubernetes.core.k8s", "kubernetes.core.helm"]}}
    used = {
        name
        for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
        for name in re.findall(r"kubernetes\.core\.(\w+):", path.read_text(encoding="utf-8"))
    }
    # What only renders asks no cluster.
    assert used - {"helm_template"} <= {
        "k8s",
        "k8s_info",
        "k8s_scale",
        "k8s_drain",
        "k8s_log",
        "k8s_exec",
        "helm",
        "helm_info",
    }


#: Plays that are wired to the roles and only look at machines.
NO_CLUSTER = {
    "Check the fence",
    "Look at everything the site needs",
    "Measure every clock",
    "Prepare every machine",
    "Read every machine",
    "Serve the data",
}


@pytest.mark.parametrize("path", sorted(ROOT.glob("playbooks/**/*.yml")), ids=lambda path: path.name)
def test_every_play_that_asks_the_cluster_says_which(path: Path) -> None:
    content = load(path)
    for play in content if isinstance(content, list) else []:
        wired = any("wiring.yml" in file for file in play.get("vars_files", []))
        if (wired or "helm_client" in play.get("hosts", "")) and play["name"] not in NO_CLUSTER:
            given = play.get("module_defaults", {}).get("group/eth2xk8s.staking.cluster")
            assert given == "{{ cluster_access }}", play["name"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_by_itself_names_the_kubeconfig(role: Path) -> None:
    """Without it the modules would take whichever cluster the user's own kubeconfig has."""
    for path in role.glob("tasks/*.yml"):
        for task in all_tasks(load(path) or []):
            for module, words in task.items():
                if module.startswith("kubernetes.core.") and module != "kubernetes.core.helm_template":
                    assert "kubeconfig" in words, (path, task["name"])


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_arguments_are_a_template_as_a_whole(role: Path) -> None:
    """Ansible warns of it as unsafe, wherever this checkout's ansible.cfg is not read."""
    whole = [
        task["name"]
        for path in (role / "tasks").glob("*.yml")
        for task in every(t.cast("list[Task]", load(path)))
        for key, given in task.items()
        if "." in key and not key.endswith("_tasks") and str(given).strip().startswith("{{")
    ]
    assert whole == []


def test_no_expression_in_yaml_means_a_line_break_and_writes_two_characters() -> None:
    """Ansible doubles each backslash in an expression, so that '\\n' is a backslash and an n, but for a pattern."""
    found = []
    for path in [*ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/**/*.yml")]:
        text = path.read_text(encoding="utf-8")
        for hit in re.finditer(r"~\s*'[^'\n]*\\[ntr]|\\[ntr]'\s*~|(?:join|split|splitlines)\('\\[ntr]", text):
            line = text[: hit.start()].count("\n")
            # In double quotes of YAML it is one character before Ansible sees it.
            if not re.match(r'\s*(?:- )?[\w.]+: "|\s*- "', text.splitlines()[line]):
                found.append(f"{path.relative_to(ROOT)}:{line + 1}: {hit.group()}")
    assert found == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_variable_of_a_role_is_also_what_a_task_leaves(role: Path) -> None:
    """What a task registers or sets hides the variable from then on, on that machine and in every later play."""
    files = [t.cast("list[Task]", load(path)) for path in sorted((role / "tasks").glob("*.yml"))]
    left = {task["register"] for tasks in files for task in every(tasks) if "register" in task}
    left |= {name for tasks in files for task in every(tasks) for name in task.get("ansible.builtin.set_fact", ())}
    assert sorted(left & set(load(role / "vars/main.yml"))) == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_variable_of_a_role_is_also_what_a_loop_gives(role: Path) -> None:
    """Ansible warns of it in every run, and the value outside the loop is another one."""
    known = {name for place in ("defaults", "vars") for name in load(role / place / "main.yml")}
    given = {
        name for path in role.glob("tasks/**/*.yml") for name in re.findall(r"\bloop_var: (\w+)", path.read_text())
    }
    assert given & known == set()


def test_packages_of_module_utils_build_on_each_other() -> None:
    """docs/architecture.md has them in their order: each imports from those above it alone."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = text.partition("| package | holds |")[2].partition("\n\n")[0]
    order = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    base = ROOT / "plugins/module_utils"
    assert sorted(order) == sorted(path.name for path in base.iterdir() if path.name != "__pycache__")
    for path in base.glob("*/*.py"):
        used = set(re.findall(r"plugins\.module_utils\.(\w+)", path.read_text(encoding="utf-8")))
        assert used <= set(order[: order.index(path.parent.name) + 1]), path


#: Lines of a function, with its signature and its documentation.
SCREEN = 50


def test_a_function_fits_a_screen() -> None:
    found = []
    for path in sorted([*ROOT.glob("plugins/**/*.py"), *ROOT.glob("roles/*/files/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > SCREEN:
                    found.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert found == []


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("playbooks/*.yml"), *ROOT.glob("playbooks/internal/*.yml")]), ids=lambda path: path.name
)
def test_a_playbook_is_a_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]),
    ids=lambda path: f"{path.parts[-3]}-{path.name}",
)
def test_no_anchor_carries_variables(path: Path) -> None:
    """Arguments of one module that is called twice may have an anchor in a role; variables never."""
    carried = r"vars: [&*]\w|<<:" if "roles" in path.relative_to(ROOT).parts else r"[\w-]+: [&*]\w|<<:"
    assert re.findall(rf"(?m)^ *(?:{carried})", path.read_text(encoding="utf-8")) == []


BARE = ("when", "that", "until", "failed_when", "changed_when")


def evaluated(node: object, bare: bool = False) -> t.Iterator[str]:
    """The expressions of a YAML file: what stands in braces, and conditions."""
    if isinstance(node, str):
        yield from [node] if bare else re.findall(r"\{[{%].*?[%}]\}", node, re.DOTALL)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from evaluated(value, key in BARE)
    elif isinstance(node, list):
        for value in node:
            yield from evaluated(value, bare)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_is_given_lists_and_reads_no_groups(role: Path) -> None:
    """Which machine does what is the playbooks' to say: an inventory of others has other groups."""
    paths = [path for folder in ("tasks", "vars", "defaults", "handlers") for path in role.glob(f"{folder}/*.yml")]
    found = {path.relative_to(ROOT).as_posix(): list(evaluated(load(path))) for path in paths}
    found |= {path.name: evaluated(path.read_text(encoding="utf-8")) for path in role.glob("templates/*")}
    assert [name for name, said in found.items() if any(re.search(r"\bgroups\b", words) for words in said)] == []


#: Where MicroK8s' own paths and ports stand, and why there.
ITS_PROVIDER = {
    "roles/microk8s/": "builds it",
    "plugins/module_utils/cluster/_microk8s.py": "reads its files",
    "plugins/module_utils/site/_site_layout.py": "has the providers: all others ask the layout",
    "roles/firewall/": "opens its ports, in rules for its network alone (firewall_runs_microk8s)",
    "plugins/module_utils/hosts/_reach.py": "tries a rule for every port with ports that a site has",
}


def test_what_microk8s_has_is_named_where_it_is_the_provider() -> None:
    """Another Kubernetes would be wrong elsewhere, and none of its own is looked for."""
    own = re.compile(r"/var/snap/microk8s|(?<!\d)(?:16443|25000|19001)(?!\d)")
    files = [path for folder in ("playbooks", "roles", "plugins/module_utils") for path in (ROOT / folder).rglob("*")]
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file() and path.suffix != ".pyc" and own.search(path.read_text(encoding="utf-8"))
    }
    assert {name for name in naming if not name.startswith(tuple(ITS_PROVIDER))} == set()
    assert {place for place in ITS_PROVIDER if not any(name.startswith(place) for name in naming)} == set()


def waiting(tasks: t.Any) -> t.Iterator[dict[str, t.Any]]:
    """Every task that is tried again, also in blocks."""
    for task in tasks if isinstance(tasks, list) else []:
        yield from ([task] if "until" in task else [])
        for part in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"):
            yield from waiting(task.get(part))


def test_what_is_waited_for_may_fail_meanwhile() -> None:
    """A module that fails returns nothing but why: an `until` that cannot be read then would hide it."""
    found = []
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]:
        for task in waiting(yaml.safe_load(path.read_text(encoding="utf-8"))):
            own = re.escape(task["register"])
            # A command that ran has all of these.
            read = rf"{own}\.(?!(?:rc|stdout|stderr)\b)\w+(?! *\| *default\()\b"
            found += [f"{path.relative_to(ROOT)}: {hit}" for hit in re.findall(read, str(task["until"]))]
    assert found == []


LAID_OUT = sorted(path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("suffix", sorted({path.suffix for path in LAID_OUT} - {".pyc"}))
def test_jinja_only_lays_out(suffix: str) -> None:
    """What is gathered in a loop is a decision: a filter on a typed, tested function, or a chain of filters."""
    texts = {path: path.read_text(encoding="utf-8") for path in LAID_OUT if path.suffix == suffix}
    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if "set _" in text] == []
