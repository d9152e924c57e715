"""Who provides the cluster, and which machine does what: the groups of an inventory decide, and nothing by accident."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _site_layout
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._site_layout import (
    NOWHERE,
    layout,
    pattern,
    problems,
)

ROOT = Path(__file__).parents[4]
OURS = {
    "site": ["nfs-server", "master", "worker"],
    "nfs": ["nfs-server"],
    "microk8s": ["master", "worker"],
    "control_plane": ["master"],
    "workers": ["worker"],
}
CLAIMS = {"site": ["laptop"], "helm_client": ["laptop"]}
SEEN = {"site": ["laptop", "disk"], "helm_client": ["laptop"], "storage": ["disk"]}
ONE = {"site": ["node"], "helm_client": ["node"], "storage": ["node"]}
PROVED = {"site": ["laptop", "nfs-server"], "helm_client": ["laptop"], "nfs": ["nfs-server"]}
YOURS = [pytest.param(groups, id=name) for name, groups in
         (("claims", CLAIMS), ("seen", SEEN), ("one", ONE), ("proved", PROVED))]  # fmt: skip


def asked_for() -> dict[str, list[str]]:
    """What every play asks for in its hosts, with the files that do."""
    found: dict[str, list[str]] = {}
    for path in sorted(ROOT.glob("playbooks/**/*.yml")):
        for name in re.findall(r"hosts: \"\{\{ '([^']+)' \| eth2xk8s.staking.in_run \}\}\"", path.read_text()):
            found.setdefault(name, []).append(path.name)
    return found


def hosts_of(groups: dict[str, list[str]], wanted: str) -> list[str] | None:
    """The machines of a pattern as Ansible would match them; None for one that it does not know."""
    name, _, index = wanted.partition("[")
    if wanted == NOWHERE:
        return []
    if name not in groups:
        return None
    return groups[name][:1] if index else groups[name]


def test_the_tutorial_s_site() -> None:
    site = layout(OURS)
    assert (site.provider, site.helm_client, site.nfs, site.storage) == ("microk8s", "master", *["nfs-server"] * 2)
    assert (site.keys_on, site.lock, site.nodes) == ("nfs-server", "nfs-server", ["master", "worker"])
    assert (site.prepared, site.left_out, site.control_planes) == (OURS["site"], [], ["master"])
    assert (site.built, site.watches, site.installed_at) == (True, True, "/var/snap/microk8s/current")
    assert site.ports == ["10250/tcp", "16443/tcp", "19001/tcp", "25000/tcp"]
    assert problems({**CLAIMS}) == []


def test_no_name_of_the_layout_is_one_of_a_dictionary_s_own() -> None:
    """In a template `site.keys` would be the method of a dictionary, and every key of the site unknown."""
    assert set(_site_layout.Layout._fields) & set(dir(dict)) == set()


@pytest.mark.parametrize(
    ("groups", "storage", "keys_on", "lock", "prepared"),
    [
        pytest.param(CLAIMS, "", "laptop", "laptop", [], id="claims"),
        pytest.param(SEEN, "disk", "disk", "disk", [], id="seen"),
        pytest.param(ONE, "node", "node", "node", [], id="one"),
        pytest.param(PROVED, "nfs-server", "nfs-server", "nfs-server", ["nfs-server"], id="proved"),
    ],
)
def test_a_cluster_that_is_there(groups: t.Any, storage: str, keys_on: str, lock: str, prepared: list[str]) -> None:
    site = layout(groups)
    assert (site.provider, site.kubeconfig, site.helm) == ("kubeconfig", "", "helm")
    assert (site.storage, site.keys_on, site.lock, site.prepared) == (storage, keys_on, lock, prepared)
    assert (site.built, site.watches, site.installed_at) == (False, False, "")
    assert site.nodes == site.control_planes == site.ports == []
    assert problems(groups) == []
    said = " ".join(site.left_out)
    assert "MicroK8s is not installed" in said
    assert ("keeps the locks" in said) == (not site.nfs)
    assert ("no run compares" in said) == ("filled by you" in said) == (not storage)
    assert ("nobody forces a pod" in " ".join(layout(groups, because="nobody forces a pod").left_out)) == (not site.nfs)


@pytest.mark.parametrize("groups", YOURS)
def test_what_a_play_asks_for_is_there_or_left_out_on_purpose(groups: dict[str, list[str]]) -> None:
    for name in asked_for():
        matched = hosts_of(groups, pattern(groups, name))
        assert matched is not None, name
        assert set(matched) <= set(groups["site"])
    for job in ("helm_client", "keys", "lock"):
        assert hosts_of(groups, pattern(groups, job)) == [
            {"helm_client": layout(groups).helm_client, "keys": layout(groups).keys_on, "lock": layout(groups).lock}[
                job
            ]
        ]
    for cluster in ("microk8s", "control_plane", "control_plane[0]", "workers", "nodes"):
        assert pattern(groups, cluster) == NOWHERE
    assert hosts_of(groups, pattern(groups, "prepared")) == layout(groups).prepared


def test_on_microk8s_a_play_matches_what_it_always_did() -> None:
    assert {job: pattern(OURS, job) for job in ("helm_client", "storage", "keys", "lock", "gates", "prepared")} == {
        "helm_client": "control_plane[0]", "storage": "nfs", "keys": "nfs", "lock": "nfs", "gates": "site",
        "prepared": "site",
    }  # fmt: skip
    for name in ("site", "nfs", "microk8s", "control_plane", "control_plane[0]", "workers", "worker"):
        assert pattern(OURS, name) == name
    assert pattern(OURS, "nodes") == "control_plane:workers", "control planes first"


@pytest.mark.parametrize("empty", ["site", "nfs", "microk8s", "control_plane"])
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "empty"])
def test_on_microk8s_an_empty_group_is_an_error_and_no_play_passed_over(empty: str, gone: bool) -> None:
    groups = {name: hosts for name, hosts in OURS.items() if name != empty}
    if not gone:
        groups[empty] = []
    hit = 0
    for name in asked_for():
        needed = hosts_of(OURS, pattern(OURS, name)) and pattern(OURS, name).partition("[")[0] == empty
        if needed:
            with pytest.raises(LookupError, match=f"the group {empty} has no machine"):
                pattern(groups, name)
            hit += 1
    assert hit


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {"helm_client": ["laptop", "other"], "site": ["laptop", "other"]}, "exactly one machine", id="two"
        ),
        pytest.param({"helm_client": ["other"]}, "other is not in the group site", id="outside"),
        pytest.param({"control_plane": ["m"], "site": ["laptop", "m"]}, "two clusters are two places", id="plane"),
        pytest.param({"workers": ["w"], "site": ["laptop", "w"]}, "two clusters are two places", id="worker"),
        pytest.param({"microk8s": ["laptop"]}, "two clusters are two places", id="itself"),
        pytest.param({"nfs": ["a", "b"], "site": ["laptop", "a", "b"]}, "nfs must have exactly one", id="two-nfs"),
        pytest.param({"storage": ["a", "b"], "site": ["laptop", "a", "b"]}, "storage must have exactly", id="storages"),
        pytest.param({"storage": ["a"]}, "a is not in the group site", id="storage-outside"),
        pytest.param({"nfs": ["a"], "storage": ["a"], "site": ["laptop", "a"]}, "remove the group storage", id="both"),
        pytest.param({"site": ["laptop", "x"]}, "x is in the group site, but in none of", id="idle"),
    ],
)
def test_groups_that_say_nothing_clear(changes: dict[str, list[str]], words: str) -> None:
    assert words in " ".join(problems({**CLAIMS, **changes}))


def test_only_one_place_knows_where_a_provider_keeps_what() -> None:
    """Another provider is an entry there, what builds its cluster, and a line where its client is made ready."""
    paths = [*ROOT.glob("playbooks/**/*"), *ROOT.glob("roles/*/*/*"), *ROOT.glob("plugins/module_utils/*/*.py")]
    for kind in (provider for provider in _site_layout.PROVIDERS.values() if provider.kubeconfig):
        for words in (kind.kubeconfig, kind.helm, kind.installed_at):
            known = {path.name for path in paths if path.is_file() and "roles/microk8s" not in str(path)
                     and words in path.read_text(encoding="utf-8", errors="replace")}  # fmt: skip
            assert known - {"_microk8s.py"} == {"_site_layout.py"}, words
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and re.search(r"provider [=!]= '", path.read_text(encoding="utf-8", errors="replace"))
    }
    assert naming == {"playbooks/tasks/cluster_client.yml"}


def test_the_example_is_a_cluster_of_yours() -> None:
    site = yaml.safe_load((ROOT / "inventory/own_cluster/hosts.yml").read_text())["site"]["children"]
    assert list(site["helm_client"]["hosts"]) == ["localhost"]
    assert set(site) == {"helm_client"}


def test_a_node_that_is_away_is_in_no_play() -> None:
    site = layout(OURS, "worker")
    assert (site.away, site.nodes, site.prepared) == ("worker", ["master"], ["nfs-server", "master"])
    assert site.members == ["master", "worker"], "exports go on to name it"
    assert pattern(OURS, "gates", "worker") == "site:!worker"
    assert pattern(OURS, "nfs", "worker") == "nfs:!worker"
    # By its number the first of the group would be the one that is away.
    more = {**OURS, "control_plane": ["master", "worker"], "workers": []}
    assert pattern(more, "helm_client", "master") == "worker"
    assert layout(more, "master").helm_client == "worker"


def test_nothing_is_left_without_the_only_control_plane_or_the_data() -> None:
    for name, asked in (("master", "helm_client"), ("nfs-server", "lock")):
        with pytest.raises(LookupError):
            pattern(OURS, asked, name)


def test_a_node_of_a_cluster_of_others_is_in_no_group() -> None:
    assert layout(PROVED, "node-7")._replace(away="") == layout(PROVED)
