"""What was edited by hand of a release's objects, and what the API server adds by itself."""

from __future__ import annotations

import copy
import typing as t

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster import _live

MANIFEST: dict[str, t.Any] = yaml.safe_load(
    """
kind: StatefulSet
metadata: {name: validator1}
spec:
  replicas: 1
  serviceName: validator1
  updateStrategy: {type: OnDelete}
  selector: {matchLabels: {app: validator1}}
  template:
    metadata:
      labels: {app: validator1}
      annotations: {checksum/config: abc}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 120
      securityContext: {runAsUser: 1001}
      nodeSelector: {}
      containers:
        - name: validator
          image: gcr.io/offchainlabs/prysm/validator:v7.1.6
          args: [validator, --datadir=/data, --wallet-dir=/wallet]
          env: [{name: HOME, value: /tmp}, {name: EMPTY, value: ""}]
          ports: [{name: metrics, containerPort: 8081}]
          resources: {requests: {cpu: 0.05, memory: 1024Mi}, limits: {memory: 1Gi}}
          readinessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 5}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes:
        - {name: data, persistentVolumeClaim: {claimName: validator1-data}}
        - {name: password, secret: {secretName: p, defaultMode: 0440}}
"""
)


def live() -> dict[str, t.Any]:
    """The same as a real API server (1.36) gives it back."""
    found = copy.deepcopy(MANIFEST)
    spec = found["spec"]
    spec.update(podManagementPolicy="OrderedReady", revisionHistoryLimit=10)
    spec["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    spec["template"]["metadata"]["creationTimestamp"] = None
    pod = spec["template"]["spec"]
    del pod["nodeSelector"]
    pod.update(restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    container = pod["containers"][0]
    container.update(terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    container["resources"] = {"requests": {"cpu": "50m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    container["ports"][0]["protocol"] = "TCP"
    container["readinessProbe"].update(successThreshold=1, failureThreshold=3, timeoutSeconds=1)
    container["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
    del container["env"][1]["value"]
    found["metadata"]["annotations"] = {"meta.helm.sh/release-name": "eth2prysm"}
    return found


def pod(item: dict[str, t.Any]) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", item["spec"]["template"]["spec"])


def test_what_the_api_server_fills_in_is_no_edit() -> None:
    assert _live.edits(MANIFEST, live()) == []


def change(path: str, value: t.Any) -> t.Callable[[dict[str, t.Any]], None]:
    def act(item: dict[str, t.Any]) -> None:
        place: t.Any = item
        *way, last = [int(part) if part.isdigit() else part.replace("|", "/") for part in path.split("/")]
        for part in way:
            place = place[part]
        if value is KeyError:
            del place[last]
        else:
            place[last] = value

    return act


C = "spec/template/spec/containers/0/"


@pytest.mark.parametrize(
    ("act", "words"),
    [
        pytest.param(change(C + "args", ["validator", "--datadir=/data", "--wallet-dir=/wallet", "--verbosity=debug"]),
                     "spec.template.spec.containers[validator].args has '--verbosity=debug'", id="one-more-argument"),
        pytest.param(change(C + "args", ["validator", "--datadir=/other", "--wallet-dir=/wallet"]),
                     "args has '--datadir=/other', lacks '--datadir=/data'", id="another-argument"),
        pytest.param(change(C + "args", ["validator", "--wallet-dir=/wallet", "--datadir=/data"]),
                     "args is in another order", id="order"),
        pytest.param(change(C + "image", "gcr.io/prysm/validator:v7.1.5"), "image is", id="kubectl-set-image"),
        pytest.param(change(C + "env", [{"name": "HOME", "value": "/tmp"}, {"name": "EMPTY"}, {"name": "DEBUG"}]),
                     "env has DEBUG", id="kubectl-set-env"),
        pytest.param(change(C + "resources/limits/memory", "2Gi"), "limits.memory is '2Gi' and not '1Gi'", id="memory"),
        pytest.param(change(C + "resources/limits", KeyError), "resources.limits is gone", id="no-limit"),
        pytest.param(change(C + "command", ["/validator"]), "command was added", id="past-the-guard"),
        pytest.param(change(C + "securityContext", {"privileged": True}), "securityContext was added", id="privileged"),
        pytest.param(change(C + "volumeMounts/0/mountPath", "/x"), "volumeMounts[data].mountPath is", id="mount"),
        pytest.param(change("spec/template/spec/hostNetwork", True), "hostNetwork was added", id="host-network"),
        pytest.param(change("spec/template/spec/nodeSelector", {"x": "y"}), "nodeSelector.x was added", id="node"),
        pytest.param(change("spec/template/spec/automountServiceAccountToken", KeyError),
                     "automountServiceAccountToken is gone", id="token"),
        pytest.param(change("spec/template/spec/automountServiceAccountToken", True),
                     "automountServiceAccountToken is 'True'", id="token-true"),
        pytest.param(change("spec/template/spec/volumes/0/persistentVolumeClaim/claimName", "other"),
                     "volumes[data].persistentVolumeClaim.claimName is 'other'", id="another-claim"),
        pytest.param(change("spec/template/metadata/annotations/kubectl.kubernetes.io|restartedAt", "now"),
                     "restartedAt was added", id="rollout-restart"),
        pytest.param(change("spec/updateStrategy", {"type": "RollingUpdate"}), "updateStrategy.type", id="strategy"),
        pytest.param(change("spec/replicas", 2), "spec.replicas is '2' and not '1'", id="two-signers"),
        pytest.param(change("spec/podManagementPolicy", "Parallel"), "podManagementPolicy was added", id="parallel"),
    ],
)  # fmt: skip
def test_an_edit_is_named_by_its_field(act: t.Callable[[dict[str, t.Any]], None], words: str) -> None:
    item = live()
    act(item)
    (found,) = _live.edits(MANIFEST, item)
    assert words in found


def test_a_second_container_is_named() -> None:
    item = live()
    pod(item)["containers"].append({"name": "sidecar", "image": "x"})
    assert _live.edits(MANIFEST, item) == ["spec.template.spec.containers has sidecar"]


def test_a_client_that_was_stopped_is_no_edit() -> None:
    item = live()
    item["spec"]["replicas"] = 0
    assert _live.edits(MANIFEST, item) == []


LEAVES = st.one_of(st.booleans(), st.integers(0, 10**6), st.text("abc0Gi:-", min_size=1, max_size=8))


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), LEAVES, max_size=6), st.data())
def test_whatever_leaf_is_changed_is_found(values: dict[str, t.Any], data: st.DataObject) -> None:
    assert not list(_live.differences(values, copy.deepcopy(values), ""))
    if values:
        key = data.draw(st.sampled_from(sorted(values)))
        other = data.draw(LEAVES.filter(lambda one: str(one) != str(values[key])))
        same_amount = _live._quantity(other) is not None and _live._quantity(other) == _live._quantity(values[key])
        found = list(_live.differences(values, {**values, key: other}, ""))
        assert bool(found) is not same_amount


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("1024Mi", "1Gi", True), ("1Gi", "1G", False), (0.5, "500m", True), ("50m", "0.05", True), ("2", 2, True),
        (True, 1, False), (False, 0, False), (True, "True", False), ("", None, True), ([], None, True),
        ({}, None, True), ("0", None, False), (0o440, 288, True), (False, None, False),
    ],
)  # fmt: skip
def test_one_amount_has_many_spellings(wanted: t.Any, found: t.Any, same: bool) -> None:
    assert (not list(_live.differences({"x": wanted}, {"x": found}, ""))) is same


def test_after_an_attempt_that_was_cut_off_either_revision_is_right() -> None:
    newer = copy.deepcopy(MANIFEST)
    pod(newer)["containers"][0]["image"] = "gcr.io/offchainlabs/prysm/validator:v7.3.1"
    item = live()
    assert _live.edited([[MANIFEST], [newer]], [item]) == ({}, {})
    pod(item)["containers"][0]["image"] = "gcr.io/offchainlabs/prysm/validator:v7.3.1"
    assert _live.edited([[MANIFEST], [newer]], [item]) == ({}, {})
    pod(item)["containers"][0]["image"] = "elsewhere/validator:v7.3.1"
    assert list(_live.edited([[MANIFEST], [newer]], [item]).by_hand) == ["StatefulSet validator1"]


def test_what_helm_cannot_merge_was_not_edited_by_hand() -> None:
    manifest, item = copy.deepcopy(MANIFEST), live()
    ports = [
        {"name": "p2p-tcp", "containerPort": 13000, "protocol": "TCP"},
        {"name": "p2p-quic", "containerPort": 13000, "protocol": "UDP"},
    ]
    pod(manifest)["containers"][0]["ports"] = ports
    pod(item)["containers"][0]["ports"] = ports[:1]
    found = _live.edited([[manifest]], [item])
    assert found.by_hand == {}
    assert found.unmerged == {
        "StatefulSet validator1": ["spec.template.spec.containers[validator].ports lacks p2p-quic"]
    }
    pod(item)["containers"][0]["args"] = []
    assert list(_live.edited([[manifest]], [item]).by_hand) == ["StatefulSet validator1"]


def test_what_was_deleted_is_made_again() -> None:
    found = _live.edited([[MANIFEST]], [])
    assert found == ({}, {"StatefulSet validator1": ["it is gone"]})
    assert _live.edited([[MANIFEST], [MANIFEST]], []) == ({}, {}), "Helm runs anyway"
    assert _live.edited([], []) == ({}, {})
    service = {"kind": "Service", "metadata": {"name": "beacon-service"}}
    assert _live.edited([[service]], []) == ({}, {})


def test_other_objects_are_compared_too() -> None:
    guard = {"kind": "ConfigMap", "metadata": {"name": "guard"}, "data": {"guard.sh": "exit 1\n"}}
    changed = {**guard, "data": {"guard.sh": "exit 0\n"}}
    assert _live.edited([[guard]], [guard]) == ({}, {})
    assert list(_live.edited([[guard]], [changed]).by_hand) == ["ConfigMap guard"]
    other = {**changed, "metadata": {"name": "of-another"}}
    assert _live.edited([[guard]], [guard, other]) == ({}, {})
