"""What is known of the real `snap` and `microk8s`, claim by claim, and the test that holds the stand-ins to it.

A claim without a test is a claim that the stand-ins may break, so each must name one that exists. The claims come from
MicroK8s' own scripts (branches 1.20 to 1.36), and each trap of MicroK8s names a test that fails if the role falls
into it.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
MICROK8S, SNAP = "tests/unit/lab/test_standin_microk8s.py", "tests/unit/lab/test_standin_snap.py"
MODULE, PURE = "tests/unit/plugins/modules/test_microk8s_info.py", "tests/unit/plugins/module_utils/test__microk8s.py"
ROLE, CLUSTER = "tests/unit/roles/test_microk8s_tasks.py", "molecule/microk8s/tests/test_microk8s.py"
OLD = "molecule/microk8s_old/tests/test_microk8s_old.py"
HERE = "tests/unit/lab/test_standin_contract.py"

# (what, where it is tested, the test)
CLAIMS = [
    # entry points
    ("without a subcommand the list, exit 1; unknown: a sentence, exit 1", MICROK8S, "without_a_subcommand"),
    ("1.20 has no addons, images, version", MICROK8S, "what_1_20_does_not_have_yet"),
    ("exit codes of programs pass through", MICROK8S, "the_programs_pass_arguments_and_exit_codes_through"),
    ("who cannot read client.config is told to join the group, exit 1", MICROK8S, "who_cannot_read_the_kubeconfig"),
    ("reset, refresh-certs, addons repo update: exit 50 without root", MICROK8S, "root_only_commands_end_with_50"),
    ("version: MicroK8s vX revision N, from 1.25", MICROK8S, "version"),
    # exit codes that lie
    ("worker: kubectl, config, helm3, status, start, stop: a sentence, exit 0", MICROK8S, "on_a_worker_most_commands"),
    ("worker up to 1.23: status exits 1", MICROK8S, "on_a_worker_of_1_20_status_fails"),
    ("worker: enable, disable, add-node, remove-node, dbctl exit 1", MICROK8S, "on_a_worker_these_fail"),
    ("stopped: status exits 0", MICROK8S, "status_of_a_stopped_microk8s_succeeds"),
    ("not ready: status exits 0 up to 1.27, 1 from 1.28", MICROK8S, "status_when_not_ready_fails_from_1_28_on"),
    ("status --wait-ready ends only with --timeout", MICROK8S, "waiting_for_readiness_has_an_end_only_with_a_timeout"),
    ("status --addon of an unknown one: disabled, exit 0", MICROK8S, "status_of_an_unknown_addon_is_disabled"),
    ("helm3 before 1.25 without the addon: exit 0", MICROK8S, "helm_is_an_addon_up_to_1_24"),
    # texts
    ("status pretty, HA yes from three voters", MICROK8S, "status_pretty"),
    ("status short and yaml, enabled addons first, no repository in 1.20", MICROK8S, "status_short_and_yaml"),
    ("config prints the default route's address", MICROK8S, "config_has_the_default_route_s_address"),
    # add-node
    ("add-node pretty, with worker hint and fingerprint", MICROK8S, "add_node_pretty"),
    ("add-node of 1.20: no fingerprint, no --format", MICROK8S, "add_node_of_1_20_has_no_fingerprint"),
    ("add-node json: first interface first", MICROK8S, "add_node_json_begins_with_the_first_interface"),
    ("tokens in cluster-tokens.txt, with |expiry", MICROK8S, "tokens_are_kept_with_their_end"),
    ("token below 32 characters: exit 1", MICROK8S, "a_short_token_is_refused"),
    ("one-shot token: once, also when the join fails", MICROK8S, "a_failed_join_uses_a_one_shot_token_up"),
    ("token with a life time: any use until its end", MICROK8S, "a_token_without_life_time_is_good_once"),
    ("persistent token: never used up", MICROK8S, "a_persistent_token_is_never_used_up"),
    # join
    ("connection string is checked from 1.29", MICROK8S, "a_connection_string_is_checked"),
    ("port closed: traceback, exit 1", MICROK8S, "joining_through_a_closed_port_is_a_traceback"),
    ("1.20's own errors of join", MICROK8S, "joining_from_1_20"),
    ("refusals of the agent: status and text", MICROK8S, "refusals"),
    ("no HA: 501", MICROK8S, "a_cluster_without_ha_takes_nobody"),
    ("known to dqlite: 504 up to 1.29, 500 from 1.30", MICROK8S, "a_member_of_the_datastore_cannot_join_again"),
    ("name must resolve from 1.24 to 1.27", MICROK8S, "the_joiner_s_name_must_resolve_from_1_24_to_1_27_only"),
    ("seed joined by an address it does not carry: 500", MICROK8S, "the_seed_cannot_be_joined_by_an_address"),
    ("no workers before 1.23", MICROK8S, "1_20_to_1_22_have_no_workers"),
    ("worker gets no key of an authority", MICROK8S, "a_worker_is_told_what_it_needs_and_nothing_secret"),
    ("control plane gets the authority's keys", MICROK8S, "a_control_plane_is_given_the_authority"),
    # leave, remove-node
    ("leave outside a cluster: exit 1", MICROK8S, "leaving_without_a_cluster"),
    ("only copy of the datastore: exit 3", MICROK8S, "the_only_copy_of_the_datastore_cannot_leave"),
    ("a control plane that left keeps the cluster's CA", MICROK8S, "a_control_plane_that_leaves_keeps_the_clusters"),
    ("leave without a datastore: traceback", MICROK8S, "leaving_with_a_datastore_that_does_not_answer"),
    ("a worker that left is a fresh single node", MICROK8S, "a_worker_that_leaves_is_a_fresh_single_node"),
    ("a leave cut short cannot be repeated as it is", MICROK8S, "leaving_again_after_it_was_cut_short"),
    (
        "remove-node: needs a name; dqlite members need --force",
        MICROK8S,
        "remove_node_of_a_datastore_member_needs_force",
    ),
    # enable
    ("enabled already: exit 0, argument dropped", MICROK8S, "enabling_what_is_enabled"),
    ("1.20 applies an addon with an argument again", MICROK8S, "1_20_applies_an_addon_with_an_argument_again"),
    ("dns: texts, default servers, kubelet restart in 1.20", MICROK8S, "1_20_restarts_the_kubelet_for_dns"),
    ("1.20 ignores the script's exit code", MICROK8S, "a_bad_name_server_is_refused_but_1_20_ignores_the_script"),
    ("unknown addons; core/unknown exits 0", MICROK8S, "unknown_addons"),
    ("several at once are deprecated from 1.27", MICROK8S, "several_addons_at_once_are_deprecated"),
    ("rbac off in every version; enabling restarts", MICROK8S, "rbac_is_off_by_default_and_switched_on_by_a_restart"),
    ("disable ha-cluster asks for --force, exit 2", MICROK8S, "disabling_ha_asks_for_force"),
    # start, stop, certificates, datastore
    ("stop ends services, kills containers, sets stopped.lock", MICROK8S, "stop_and_start"),
    ("snap stop and containerd's restart leave containers", SNAP, "services_are_enabled_and_started"),
    ("server and front-proxy 365 days, the others ten years", SNAP, "certificates_end_when_the_real_ones_do"),
    ("refresh-certs: -c, -e, codes", MICROK8S, "certificates_are_checked_and_renewed"),
    ("dbctl without a datastore: exit 10", MICROK8S, "without_a_datastore_there_is_no_backup"),
    ("dbctl backup: key and data files; up to 1.31 not by a path", MICROK8S, "a_backup_by_a_path_fails_up_to_1_31"),
    ("inspect: 1 with a service down", MICROK8S, "inspect_fails_when_a_service_is_down"),
    # versions
    ("a daemon for each component before 1.21", MICROK8S, "1_20_has_a_service_for_each_component"),
    ("tokens before 1.28, certificates after", MICROK8S, "tokens_identify_before_1_28_and_certificates_after"),
    ("registries: template before 1.23, certs.d after", MICROK8S, "registries_are_where_the_release_has_them"),
    ("10255 open before 1.24", MICROK8S, "the_read_only_port_is_open_before_1_24"),
    ("kubelet start opens an active ufw, unless skip.ufw", MICROK8S, "ufw_is_opened_at_the_start_of_the_kubelet"),
    ("a worker's proxy reads traefik/provider.yaml", MICROK8S, "a_worker_s_proxy_reads_its_servers_from_the_file"),
    ("launch configuration: read at install from 1.27", SNAP, "a_launch_configuration_is_taken_by_the_install_hook"),
    ("launch configuration: not before", SNAP, "before_1_27_nobody_reads_it"),
    ("dns enabled by default from 1.27", SNAP, "the_default_launch_configuration_enables_dns"),
    ("a bad launch configuration fails the installation", SNAP, "a_bad_launch_configuration_fails"),
    ("the agent applies etc/launcher/*.yaml once", MICROK8S, "a_launch_configuration_is_applied_once"),
    # snap
    ("list: columns; nothing installed is on stderr, exit 0", SNAP, "list_on_a_bare_machine_says_so_on_stderr"),
    ("list of an absent snap: exit 1", SNAP, "list_of_an_absent_snap_fails"),
    ("info: sections, missing ones", SNAP, "several_infos_are_separated"),
    ("install twice: exit 0", SNAP, "install_twice_succeeds_and_changes_nothing"),
    ("install without --classic: refused", SNAP, "install_without_classic_is_refused"),
    ("channel 1.28 is listed as 1.28/stable", SNAP, "a_channel_without_risk_is_listed_with_it"),
    ("no such channel: the table of channels", SNAP, "a_channel_that_is_not_there_is_refused"),
    ("store down", SNAP, "a_store_that_is_down_is_told"),
    ("refresh restarts services and keeps data", SNAP, "refresh_to_another_channel"),
    ("revert: revision's own data, channel stays", SNAP, "revert_brings_back_the_old_revision_and_its_data"),
    ("a failed refresh is undone", SNAP, "a_failed_refresh_is_undone"),
    ("a hold stops the general refresh only", SNAP, "a_hold_stops_the_general_refresh_but_not_one_by_name"),
    ("aliases", SNAP, "aliases"),
]

# The role's own traps, by the number under which they are known.
TRAPS = [
    (1, "exit codes lie on a worker", MODULE, "does_not_take_a_workers_excuse_for_an_answer"),
    (2, "join succeeds without a node", ROLE, "a_join_is_believed_only_from_the_seed"),
    (3, "enable of 1.20 succeeds whatever happened", MODULE, "an_addon_is_there_when_it_is_enabled_and_runs"),
    (3, "and the role reads it back", ROLE, "addons_are_read_back"),
    (4, "status exits 0 when it is not ready", PURE, "a_status_without_addons_is_not_a_status_with_all_disabled"),
    (5, "--wait-ready waits for ever", ROLE, "every_command_is_safe_to_have_in_a_role"),
    (6, "dns:SERVERS is dropped from 1.27", CLUSTER, "the_clusters_dns_asks_the_servers_that_were_given"),
    (6, "and on a cluster that was there before", ROLE, "name_servers_that_were_dropped_are_named"),
    (7, "1.20 has no worker role", OLD, "every_node_is_a_control_plane"),
    (7, "and no option --worker, no fingerprint", ROLE, "how_a_node_joins"),
    (8, "a channel without a risk", HERE, "the_scenario_of_refusals_names_each"),
    (9, "add-node's first address may be any", ROLE, "how_a_node_joins"),
    (10, "a failed join uses the token up and leaves a lock", ROLE, "the_token_lives_and_is_withdrawn"),
    (10, "the lock counts as half a join", PURE, "half_a_join_is_seen"),
    (11, "certificates of one year are not renewed", HERE, "the_scenario_of_refusals_names_each"),
    (12, "every pod's token is an administrator's", CLUSTER, "a_pods_token_is_not_that_of_an_administrator"),
    (12, "also before 1.24", OLD, "authorization_is_by_role"),
]


@functools.cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("what", "path", "test"), CLAIMS, ids=[claim[0] for claim in CLAIMS])
def test_each_claim_has_its_test(what: str, path: str, test: str) -> None:
    assert any(name.startswith(f"test_{test}") for name in names_in(path)), f"{path} has no test of: {what}"


@pytest.mark.parametrize(
    ("number", "what", "path", "test"), TRAPS, ids=[f"{number}-{what}" for number, what, _, _ in TRAPS]
)
def test_each_trap_has_its_test(number: int, what: str, path: str, test: str) -> None:
    assert any(name.startswith(f"test_{test}") for name in names_in(path)), f"{path} has no test of trap {number}"


def test_no_trap_is_left_out() -> None:
    assert {trap[0] for trap in TRAPS} == set(range(1, 13))


def test_the_scenario_of_refusals_names_each() -> None:
    """What only machines can show: a channel without a risk (trap 8), a certificate that ends soon (trap 11)."""
    plays = yaml.safe_load((ROOT / "molecule/microk8s_refusals/verify.yml").read_text(encoding="utf-8"))
    cases = [task.get("vars", {}) for play in plays for task in play.get("tasks", [])]
    assert {"microk8s_channel": "1.36", "reason": "It must be a track and a risk"} in cases
    names = [task["name"] for play in plays for task in play.get("tasks", [])]
    assert "Check that the certificate was renewed" in names
