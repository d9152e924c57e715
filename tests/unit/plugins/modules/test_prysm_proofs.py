"""The modules that prove: duties, beacon health. The cluster is a script of answers."""

from __future__ import annotations

import base64
import gzip
import json
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import Never, NotYet, Pod
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._cluster_history import Copy, copies, render
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import EMPTY, Key, to_document
from ansible_collections.eth2xk8s.staking.plugins.modules import (
    beacon_health,
    prysm_forks_info,
    prysm_release_info,
    validator_duties,
)

KEY = "0x" + "ab" * 48
OTHER = "0x" + "cd" * 48


def a_pod(name: str = "validator1-0", **changes: t.Any) -> Pod:
    fields: dict[str, t.Any] = {
        "name": name,
        "uid": "u1",
        "node": "worker",
        "image": "registry/validator:v7.1.6",
        "ready": True,
        "terminating": False,
        "started": True,
        "restarts": 0,
        "problem": "",
        "hopeless": False,
        **changes,
    }
    return Pod(**fields)


def metrics(slot: int | None = 95, key: str = KEY, status: int = 3, version: str = "v7.1.6") -> str:
    lines = [f'prysm_version{{version="{version}"}} 1', f'validator_statuses{{pubkey="{key}"}} {status}']
    if slot is not None:
        lines.append(f'validator_last_attested_slot{{pubkey="{key}"}} {slot}')
    return "\n".join(lines)


class Script:
    """A cluster whose answers are given, one look after the other; the last one stays."""

    def __init__(
        self,
        pods: list[list[Pod]] | None = None,
        texts: dict[str, list[str | Exception]] | None = None,
    ) -> None:
        self._pods = pods or [[]]
        self._texts = texts or {}
        self.kept: list[dict[str, t.Any]] = []
        self.unhealthy = ""
        addresses = [{"type": "InternalIP", "address": "10.0.0.2"}, {"type": "Hostname", "address": "worker"}]
        self.nodes: list[t.Any] = [[{"metadata": {"name": "worker"}, "status": {"addresses": addresses}}]]

    @staticmethod
    def _next(answers: list[t.Any]) -> t.Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pods(self, namespace: str, selector: str = "") -> list[Pod]:
        return self._next(self._pods)

    def pod(self, namespace: str, name: str) -> Pod | None:
        return next((pod for pod in self.pods(namespace) if pod.name == name), None)

    def metrics(self, namespace: str, pod: str, port: int) -> str:
        if pod not in self._texts:
            raise NotYet(f"no {pod}")
        return self._next(self._texts[pod])

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> str:
        refused = NotYet(f"{path}: 503 Service Unavailable")
        refused.body = self.unhealthy
        raise refused

    def items(self, path: str) -> list[dict[str, t.Any]]:
        if path == "/api/v1/nodes":
            return self._next(self.nodes)
        assert path == "/api/v1/namespaces/prysm/configmaps"
        return self.kept

    def write(self, method: str, path: str, body: dict[str, t.Any]) -> None:
        assert (method, path) == ("POST", "/api/v1/namespaces/prysm/configmaps")
        self.kept.append(body)


Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(module: t.Any, script: Script | Exception | None, **params: t.Any) -> dict[str, t.Any]:
        def make(*_: t.Any) -> t.Any:
            if isinstance(script, Exception):
                raise script
            return script

        if script is not None:
            monkeypatch.setattr(module, "Cluster", make)
        with patch_module_args(params), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


def prove(run: Run, script: Script | Exception, **params: t.Any) -> dict[str, t.Any]:
    given = {
        "clients": [{"name": "validator1", "pubkeys": [KEY.upper().replace("0X", "0x")]}],
        "version": "v7.1.6",
        "timeout": 0,
        "interval": 0,
        **slot_100(),
        **params,
    }
    return run(validator_duties, script, **given)


def slot_100() -> dict[str, t.Any]:
    """A chain that is at slot 100 by the clock, for some seconds."""
    return {"genesis_time": int(time.time()) - 100 * 12 - 3, "seconds_per_slot": 12, "slots_per_epoch": 8}


BEACON: dict[str, list[str | Exception]] = {"beacon-0": ["beacon_head_slot 100"]}


def test_a_recent_attestation_by_the_running_client_is_the_proof(run: Run) -> None:
    result = prove(run, Script([[a_pod()]], {**BEACON, "validator1-0": [metrics(95)]}))
    assert (result["proved"], result["changed"]) == (True, False)
    assert result["clients"]["validator1"]["keys"][KEY]["last_attested_slot"] == 95


def test_where_a_proved_client_signs_is_said_with_its_addresses(run: Run) -> None:
    script = Script([[a_pod()]], {**BEACON, "validator1-0": [metrics(95)]})
    assert prove(run, script)["clients"]["validator1"]["addresses"] == ["10.0.0.2"]
    script = Script([[a_pod()]], {**BEACON, "validator1-0": [metrics(10)]})
    assert prove(run, script, wait=False)["clients"]["validator1"]["addresses"] == [], "nothing is proved"
    script = Script([[a_pod()]], {**BEACON, "validator1-0": [metrics(95)]})
    script.nodes = [NotYet("503")]
    result = prove(run, script)
    assert (result["proved"], result["clients"]["validator1"]["addresses"]) == (True, [])


def test_what_was_signed_is_kept_once_the_duties_are_proved(run: Run) -> None:
    signed = EMPTY._replace(keys={KEY: Key(slot=95)})

    def look(slot: int, **params: t.Any) -> tuple[dict[str, t.Any], list[Copy]]:
        script = Script([[a_pod()]], {**BEACON, "validator1-0": [metrics(slot)]})
        return prove(run, script, **{"record": to_document(signed), **params}), copies(script.kept)

    result, kept = look(95)
    assert result["proved"] and [copy.record.keys[KEY].slot for copy in kept] == [95]
    assert look(10)[1] == look(10, wait=False)[1] == [], "nothing is proved"
    assert look(95, _ansible_check_mode=True)[1] == []
    result, kept = look(95, record={"version": 9})
    assert result["failed"] and kept == []
    assert result["msg"].startswith("The copy of the record in the cluster cannot be read or raised: ")


def test_without_a_beacon_to_ask_an_advance_is_waited_for(run: Run) -> None:
    script = Script([[a_pod()]], {"validator1-0": [metrics(95), metrics(95), metrics(97)]})
    assert prove(run, script, beacons=[], timeout=60)["proved"] is True


@pytest.mark.parametrize(
    ("beacon", "reason"),
    [
        pytest.param(None, "there is no pod beacon-0", id="gone"),
        pytest.param({"terminating": True}, "it is being deleted", id="ends"),
        pytest.param({"started": False, "problem": "it pulls its image"}, "it pulls its image", id="not-started"),
        pytest.param({"ready": False}, "it runs, but is not Ready", id="not-ready"),
        pytest.param({"image": "registry/beacon:v7.1.5"}, "it runs v7.1.5, not v7.1.6", id="other-version"),
        pytest.param({}, "", id="of-use"),
    ],
)
def test_the_beacon_node_is_proved_with_the_duties_where_that_is_asked(
    run: Run, beacon: dict[str, t.Any] | None, reason: str
) -> None:
    pods = [a_pod()] + ([] if beacon is None else [a_pod("beacon-0", **beacon)])
    script = Script([pods], {**BEACON, "validator1-0": [metrics(95)]})
    result = prove(run, script, beacon_version="v7.1.6")
    assert result["proved"] is (reason == "")
    assert not reason or f"beacon: {reason}" in result["msg"]
    assert prove(run, Script([pods], {**BEACON, "validator1-0": [metrics(95)]}))["proved"] is True


def test_a_beacon_node_that_cannot_get_better_is_not_waited_for(run: Run) -> None:
    pods = [a_pod(), a_pod("beacon-0", started=False, problem="no such image", hopeless=True)]
    result = prove(run, Script([pods], {"validator1-0": [metrics(95)]}), beacon_version="v7.1.6", timeout=3600)
    assert "beacon: no such image" in result["msg"]


TWO = {"beacons": ["beacon", "beacon-2"]}
WAITS = {"started": False, "ready": False, "unscheduled": True, "problem": "not scheduled: no node"}


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        pytest.param({}, {}, "", id="both"),
        pytest.param({}, WAITS, "", id="second-waits"),
        pytest.param(WAITS, {}, "", id="first-waits"),
        pytest.param(WAITS, WAITS, "beacon: not scheduled", id="both-wait"),
        pytest.param({}, {"ready": False}, "beacon-2: it runs, but is not Ready", id="second-syncs"),
        pytest.param({"ready": False}, WAITS, "beacon: it runs, but is not Ready", id="first-syncs"),
        pytest.param({}, {"image": "registry/beacon:v7.1.5"}, "beacon-2: it runs v7.1.5", id="other-version"),
        pytest.param({}, {**WAITS, "terminating": True}, "beacon-2: it is being deleted", id="second-ends"),
    ],
)
def test_all_beacon_nodes_are_proved_but_for_one_that_no_node_takes(
    run: Run, first: dict[str, t.Any], second: dict[str, t.Any], reason: str
) -> None:
    pods = [a_pod(), a_pod("beacon-0", **first), a_pod("beacon-2-0", **second)]
    heads: dict[str, list[str | Exception]] = {
        "beacon-0": ["beacon_head_slot 100"],
        "beacon-2-0": ["beacon_head_slot 99"],
    }
    result = prove(run, Script([pods], {**heads, "validator1-0": [metrics(95)]}), beacon_version="v7.1.6", **TWO)
    assert result["proved"] is (reason == "")
    assert reason in result.get("msg", "")


def test_the_head_of_one_beacon_node_will_do(run: Run) -> None:
    def proof(**heads: int) -> dict[str, t.Any]:
        texts: dict[str, list[str | Exception]] = {
            f"{name.replace('_', '-')}-0": [f"beacon_head_slot {head}"] for name, head in heads.items()
        }
        return prove(run, Script([[a_pod()]], {**texts, "validator1-0": [metrics(95)]}), **TWO)

    assert proof(beacon=100, beacon_2=10)["head_slot"] == 100
    assert proof(beacon=10, beacon_2=99)["head_slot"] == 99
    assert proof(beacon_2=99)["proved"]
    told = proof(beacon=10, beacon_2=20)["msg"]
    assert "beacon: the head is at slot 10" in told and "beacon-2: the head is at slot 20" in told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(metrics(None), "no attestation yet", id="no-attestation"),
        pytest.param(metrics(50), "last attested slot 50", id="stale-attestation"),
        pytest.param(metrics(95, status=9), "status 9", id="unknown-status"),
        pytest.param(metrics(95, version="v7.1.5"), "it runs v7.1.5, not v7.1.6", id="other-version"),
        pytest.param("up 1", "not known to the running client", id="no-keys"),
        pytest.param("<html>", "not a metric", id="no-metrics"),
        pytest.param(NotYet("503"), "503", id="unreachable"),
    ],
)
def test_without_a_proof_it_fails_and_says_what_is_missing(run: Run, text: str | Exception, reason: str) -> None:
    result = prove(run, Script([[a_pod()]], {**BEACON, "validator1-0": [text]}))
    assert result["failed"] is True
    assert "validator1" in result["msg"]
    assert reason in result["msg"]


def test_a_key_that_nobody_expects_there_is_a_danger_at_once(run: Run) -> None:
    text = metrics(95) + "\n" + metrics(95, key=OTHER)
    result = prove(run, Script([[a_pod()]], {**BEACON, "validator1-0": [text]}), timeout=3600)
    assert "slashing risk" in result["msg"]
    assert result["clients"]["validator1"]["unexpected"] == [OTHER]


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        pytest.param([], "there is no pod validator1-0", id="no-pod"),
        pytest.param([a_pod(started=False, problem="ImagePullBackOff: x")], "ImagePullBackOff", id="no-image"),
        pytest.param([a_pod(terminating=True)], "being deleted", id="terminating"),
    ],
)
def test_a_pod_that_does_not_run_proves_nothing(run: Run, pods: list[Pod], reason: str) -> None:
    assert reason in prove(run, Script([pods], {**BEACON, "validator1-0": [metrics(95)]}))["msg"]


def test_a_refusal_to_start_is_not_waited_for(run: Run) -> None:
    pods = [[a_pod(started=False, problem="REFUSED: validator.db is missing", hopeless=True)]]
    assert "validator.db is missing" in prove(run, Script(pods), timeout=3600)["msg"]


def test_an_advance_counts_only_within_one_process(run: Run) -> None:
    script = Script([[a_pod()], [a_pod(uid="u2")]], {"validator1-0": [metrics(95), metrics(97)]})
    assert prove(run, script, beacons=[])["failed"] is True


def test_nothing_expected_is_nothing_proved(run: Run) -> None:
    result = prove(run, Script(), clients=[{"name": "validator1", "pubkeys": []}])
    assert "nothing to prove" in result["msg"]


def test_an_api_that_says_no_is_not_asked_again(run: Run) -> None:
    assert "403" in prove(run, Never("403 Forbidden"), timeout=3600)["msg"]


def test_reports_without_waiting_when_asked_to(run: Run) -> None:
    result = prove(run, Script([[]]), wait=False)
    assert "failed" not in result
    assert result["proved"] is False


def beacon(run: Run, script: Script, **params: t.Any) -> dict[str, t.Any]:
    given = {"version": "v7.1.6", "timeout": 0, "interval": 0, **slot_100(), **params}
    return run(beacon_health, script, **given)


READY = 'prysm_version{version="v7.1.6"} 1\nbeacon_head_slot 100'


def test_a_beacon_is_of_use_when_ready_at_the_wanted_version(run: Run) -> None:
    result = beacon(run, Script([[a_pod("beacon-0")]], {"beacon-0": [READY]}))
    assert (result["ready"], result["version"], result["slot"]) == (True, "v7.1.6", 100)


@pytest.mark.parametrize(
    ("pods", "text", "reason"),
    [
        pytest.param([], READY, "there is no pod", id="no-pod"),
        pytest.param([a_pod("beacon-0", ready=False)], READY, "not Ready", id="syncing"),
        pytest.param([a_pod("beacon-0")], READY.replace("7.1.6", "7.1.5"), "it runs v7.1.5", id="other-version"),
        pytest.param([a_pod("beacon-0", started=False, problem="crash")], READY, "crash", id="crash"),
    ],
)
def test_a_beacon_that_is_of_no_use_is_told_why(run: Run, pods: list[Pod], text: str, reason: str) -> None:
    result = beacon(run, Script([pods], {"beacon-0": [text]}))
    assert result["failed"] is True
    assert reason in result["msg"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "*sync.Service: OK\n*execution.Service: ERROR, HeaderByNumber: no 'hash'\n",
            "(execution.Service: HeaderByNum",
        ),
        ("*powchain.Service: ERROR\n*p2p.Service: OK", "(powchain.Service: ERROR)"),
        ("the server is currently unable to handle the request", "cannot use its execution client. Longer"),
    ],
)
def test_a_beacon_that_is_not_ready_says_itself_what_is_wrong(run: Run, body: str, reason: str) -> None:
    """As real Prysm's /healthz has it, which the API server hands on with its 503."""
    script = Script([[a_pod("beacon-0", ready=False)]], {"beacon-0": [READY]})
    script.unhealthy = body
    assert reason in beacon(run, script)["msg"]


@pytest.mark.parametrize("secret", ["user:hunter2@eth.example/v3/hunter2", "eth.example/v3/hunter2?key=hunter2"])
def test_a_key_in_the_address_of_an_execution_client_is_not_told(run: Run, secret: str) -> None:
    script = Script([[a_pod("beacon-0", ready=False)]], {"beacon-0": [READY]})
    script.unhealthy = f'*execution.Service: ERROR, Post "https://{secret}": dial tcp: no such host'
    told = beacon(run, script)["msg"]
    assert "eth.example" in told and "no such host" in told and "hunter2" not in told


def test_a_beacon_that_no_node_takes_will_do_while_another_is_of_use(run: Run) -> None:
    def look(second: str, **params: t.Any) -> dict[str, t.Any]:
        script = Script([[a_pod("beacon-0", **WAITS), a_pod("beacon-2-0")]], {"beacon-2-0": [second]})
        return beacon(run, script, **params)

    result = look(READY, others=["beacon-2"])
    assert (result["ready"], result["unscheduled"], result["problem"]) == (True, True, "")
    assert "beacon is not healthy" in look("beacon_head_slot 10", others=["beacon-2"])["msg"]
    assert "not scheduled" in look(READY)["msg"], "it is not said that there are others"


def test_a_missing_image_is_not_waited_for_as_long_as_a_sync(run: Run) -> None:
    pods = [[a_pod("beacon-0", started=False, problem="ImagePullBackOff: x")]]
    result = beacon(run, Script(pods), timeout=3600, image_timeout=0)
    assert "ImagePullBackOff" in result["msg"]


class Objects:
    """A cluster that answers lists by path, one look after the other; the last one stays."""

    def __init__(self, **lists: list[t.Any]) -> None:
        node = {"metadata": {}, "status": {"addresses": [{"type": "InternalIP", "address": "172.20.10.11"}]}}
        empty: dict[str, list[t.Any]] = {
            name: [[]] for name in ("persistentvolumes", "configmaps", "networkpolicies", "secrets", "pods")
        }
        self._lists: dict[str, list[t.Any]] = {"nodes": [[node]], **empty, **lists}

    def items(self, path: str, query: dict[str, str] | None = None) -> list[dict[str, t.Any]]:
        return Script._next(self._lists[path.rsplit("/", 1)[-1]])


def a_set(observed: int) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "validator1", "generation": 2},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": observed, "updateRevision": "r2"},
    }


def test_a_release_is_read_once_its_controllers_have_seen_it(run: Run) -> None:
    cluster = Objects(
        namespaces=[[{"metadata": {"name": "prysm"}}]], secrets=[[]], pods=[[]], statefulsets=[[a_set(1)], [a_set(2)]]
    )
    result = run(prysm_release_info, cluster, timeout=5, interval=0)
    assert result["workloads"]["validator1"]["settled"]
    assert (result["status"], result["values"]) == ("", {})
    assert result["node_addresses"] == ["172.20.10.11"]


def test_the_copy_of_the_record_comes_with_the_release(run: Run) -> None:
    kept = Copy("eth2prysm-history-0", "1", EMPTY._replace(keys={KEY: Key(slot=5)}))
    lists = {"namespaces": [[{"metadata": {"name": "prysm"}}]], "statefulsets": [[]]}
    cluster = Objects(**lists, configmaps=[[render(kept, "prysm")]])
    assert run(prysm_release_info, cluster, timeout=0, history=True)["history"]["keys"][KEY]["slot"] == 5
    assert "history" not in run(prysm_release_info, Objects(**lists), timeout=0)
    broken = {**render(kept, "prysm"), "binaryData": {}}
    result = run(prysm_release_info, Objects(**lists, configmaps=[[broken]]), timeout=0, history=True)
    assert "eth2prysm-history-0" in result["msg"]


def record(revision: int, status: str, manifest: str) -> dict[str, t.Any]:
    """A record of Helm."""
    content = json.dumps({"config": {"image": {"version": "v7.1.6"}}, "manifest": manifest}).encode()
    packed = base64.b64encode(base64.b64encode(gzip.compress(content))).decode()
    labels = {"owner": "helm", "status": status, "version": str(revision)}
    return {"metadata": {"name": f"r{revision}", "labels": labels}, "data": {"release": packed}}


def test_what_was_edited_by_hand_and_what_is_gone_are_told_apart(run: Run) -> None:
    manifest = """
kind: StatefulSet
metadata: {name: validator1}
spec: {replicas: 1, template: {spec: {hostNetwork: true}}}
---
kind: ConfigMap
metadata: {name: guard}
data: {guard.sh: "exit 1"}
"""
    cluster = Objects(
        namespaces=[[{"metadata": {}}]], secrets=[[record(1, "deployed", manifest)]], statefulsets=[[a_set(2)]]
    )
    result = run(prysm_release_info, cluster, timeout=0)
    assert result["edited"] == {"StatefulSet validator1": ["spec.template is gone"]}
    assert result["unmerged"] == {"ConfigMap guard": ["it is gone"]}
    assert [one["kind"] for one in result["wanted"]] == ["StatefulSet", "ConfigMap"]
    assert (result["recorded"], result["unfinished"]) == (True, [])


@pytest.mark.parametrize("status", ["uninstalling", "failed", "pending-install", "unknown"])
def test_a_half_done_release_is_there_and_its_record_is_named(run: Run, status: str) -> None:
    cluster = Objects(namespaces=[[{"metadata": {}}]], secrets=[[record(1, status, "")]], statefulsets=[[a_set(2)]])
    result = run(prysm_release_info, cluster, timeout=0)
    assert (result["status"], result["unfinished"]) == (status, ["r1"])
    assert result["values"] == {"image": {"version": "v7.1.6"}}


def test_without_any_record_what_is_there_tells_its_version(run: Run) -> None:
    item = a_set(2)
    item["metadata"]["labels"] = {"app.kubernetes.io/version": "v7.1.6"}
    result = run(prysm_release_info, Objects(namespaces=[[{"metadata": {}}]], statefulsets=[[item]]), timeout=0)
    assert (result["recorded"], result["status"]) == (False, "")
    assert result["values"] == {"image": {"version": "v7.1.6"}}


def test_the_version_of_each_revision_on_record_is_told(run: Run) -> None:
    kept = [record(4, "superseded", ""), record(5, "deployed", "")]
    objects: dict[str, list[t.Any]] = {"namespaces": [[{"metadata": {}}]], "secrets": [kept], "statefulsets": [[]]}
    assert run(prysm_release_info, Objects(**objects), timeout=0, revisions=True)["versions"] == {
        "4": "v7.1.6",
        "5": "v7.1.6",
    }
    assert run(prysm_release_info, Objects(**objects), timeout=0)["versions"] == {}
    assert run(prysm_release_info, Objects(namespaces=[[]]), timeout=0, revisions=True)["versions"] == {}


class Api:
    """A cluster whose beacon node answers with this, or not at all."""

    def __init__(self, answer: str | Exception) -> None:
        self._answer = answer

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> str:
        assert (pod, port, path) == ("beacon-0", 3500, "/eth/v1/config/spec")
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "problem", "unread"),
    [
        pytest.param('{"data": {"GLOAS_FORK_EPOCH": "353024"}}', "leaves sepolia", "", id="only-the-table"),
        pytest.param(f'{{"data": {{"GLOAS_FORK_EPOCH": "{2**64 - 1}"}}}}', "does not take the Gloas", "", id="both"),
        pytest.param("[]", "leaves sepolia", "cannot be read", id="no-mapping"),
        pytest.param("<html>", "leaves sepolia", "cannot be read", id="no-json"),
        pytest.param(NotYet("it is starting"), "leaves sepolia", "it is starting", id="no-answer"),
    ],
)
def test_a_fork_ahead_is_said_whether_the_beacon_answers_or_not(
    run: Run, answer: t.Any, problem: str, unread: str
) -> None:
    chart = Path(__file__).parents[4] / "roles/prysm_helm/files/eth2prysm/files/versions.yaml"
    result = run(
        prysm_forks_info,
        Api(answer),
        table=yaml.safe_load(chart.read_text(encoding="utf-8")),
        network="sepolia",
        version="v7.1.8",
        now="2026-10-05T13:00:00Z",
    )
    assert any(problem in one for one in result["problems"])
    assert unread in result["unread"]


def test_secrets_are_compared_and_never_shown(run: Run) -> None:
    mounted = {"metadata": {"name": "wallet-password-a", "labels": {"version": "1"}}, "data": {"password": "c2FtZQ=="}}
    cluster = Objects(namespaces=[[{"metadata": {}}]], secrets=[[], [mounted]], pods=[[]], statefulsets=[[]])
    wanted = {"wallet-password-a": {"password": "same"}, "wallet-password-b": {"password": "Unspoken-1"}}
    result = run(prysm_release_info, cluster, timeout=0, secrets=wanted)
    assert result["differing_secrets"] == ["wallet-password-b"]
    assert "Unspoken-1" not in json.dumps(result) and "c2FtZQ" not in json.dumps(result)


def test_a_controller_that_never_sees_it_is_named(run: Run) -> None:
    cluster = Objects(namespaces=[[{"metadata": {}}]], secrets=[[]], pods=[[]], statefulsets=[[a_set(1)]])
    result = run(prysm_release_info, cluster, timeout=0)
    assert result["failed"]
    assert "has not seen the newest validator1" in result["msg"]


def test_a_site_without_a_cluster_or_namespace_has_nothing(run: Run, tmp_path: t.Any) -> None:
    result = run(prysm_release_info, None, kubeconfig=str(tmp_path / "none"))
    assert not result["cluster"] and not result["namespace"]
    result = run(prysm_release_info, Objects(namespaces=[[]]), timeout=0)
    assert result["cluster"] and not result["namespace"]


def test_a_cluster_that_cannot_be_read_is_no_empty_cluster(run: Run) -> None:
    result = run(prysm_release_info, Objects(namespaces=[NotYet("503")]), timeout=0)
    assert result["failed"] and "503" in result["msg"]


def test_a_beacon_node_that_is_not_ready_yet_takes_none_of_the_time_for_duties(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(1000))
    monkeypatch.setattr(validator_duties.time, "monotonic", lambda: float(next(seconds)))
    away, there = [a_pod()], [a_pod(), a_pod("beacon-0")]
    script = Script([away] * 40 + [there], {**BEACON, "validator1-0": [metrics(95)]})
    given = {"beacon_version": "v7.1.6", "timeout": 5, **slot_100()}
    assert prove(run, script, **given, beacon_timeout=500)["proved"] is True
    script = Script([there], {**BEACON, "validator1-0": [metrics(None)]})
    result = prove(run, script, **given, beacon_timeout=500)
    assert "within 5 s" in result["msg"]
    script = Script([away], {"validator1-0": [metrics(95)]})
    assert "there is no pod beacon-0" in prove(run, script, **given, beacon_timeout=20)["msg"]
    assert next(seconds) < 400
