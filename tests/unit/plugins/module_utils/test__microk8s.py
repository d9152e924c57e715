"""What snap and MicroK8s print and write, read the way the role reads it."""

from __future__ import annotations

import base64
import json
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster import _microk8s as m

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def certificate(end: datetime, name: str = "kubernetes", version_3: bool = True) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1970, 1, 2, tzinfo=UTC))
        .not_valid_after(end)
    )
    if version_3:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


CA = certificate(NOW + timedelta(days=3650), "ca")
OTHER_CA = certificate(NOW + timedelta(days=3650), "ca")

SNAP_LIST = """\
Name      Version  Rev   Tracking       Publisher    Notes
core20    20220826 1623  latest/stable  canonical**  base
microk8s  v1.28.9  6743  1.28/stable    canonical**  {}
microk8s-helper  v2  1  latest/stable  somebody  -
"""


@pytest.mark.parametrize(
    ("notes", "held", "disabled"),
    [
        pytest.param("classic", False, False, id="free-to-refresh"),
        pytest.param("classic,held", True, False, id="held"),
        pytest.param("disabled,classic", False, True, id="left-disabled-by-a-failed-refresh"),
        pytest.param("-", False, False, id="no-notes"),
    ],
)
def test_reads_the_notes_of_a_snap(notes: str, held: bool, disabled: bool) -> None:
    row = m.parse_snap_list(SNAP_LIST.format(notes))
    assert row is not None
    assert (row["channel"], row["revision"], row["version"]) == ("1.28/stable", "6743", "v1.28.9")
    assert (row["held"], row["disabled"]) == (held, disabled)


@pytest.mark.parametrize("text", ["", SNAP_LIST.format("-").replace("microk8s  ", "microk9s  ")])
def test_a_snap_that_is_not_listed_is_not_installed(text: str) -> None:
    assert m.parse_snap_list(text) is None


def test_a_row_that_is_cut_short_is_not_believed() -> None:
    with pytest.raises(m.Microk8sError, match="unreadable row"):
        m.parse_snap_list("microk8s  v1.28.9")


@pytest.mark.parametrize(
    ("line", "can_hold"),
    [("snapd   2.57.6-1+b5", False), ("snapd   2.58", True), ("snapd   2.66.1+24.04", True), ("snapd  3.0", True)],
)
def test_knows_which_snapd_can_hold(line: str, can_hold: bool) -> None:
    assert (m.parse_snap_version(f"snap    2.70\n{line}\nseries  16\n") >= m.HOLD_SINCE) is can_hold


def test_a_snapd_that_does_not_run_is_an_error() -> None:
    with pytest.raises(m.Microk8sError):
        m.parse_snap_version("snap    2.70\nsnapd   unavailable\n")


@given(
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2400, 1, 1), timezones=st.just(UTC)).map(
        lambda moment: moment.replace(microsecond=0)
    ),
    st.booleans(),
)
def test_reads_when_any_certificate_ends(end: datetime, version_3: bool) -> None:
    assert m.certificate_expiry("text before\n" + certificate(end, version_3=version_3)) == end


@pytest.mark.parametrize("text", ["", "no", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", CA[:200]])
def test_what_is_no_certificate_is_an_error(text: str) -> None:
    with pytest.raises(m.Microk8sError):
        m.certificate_expiry(text)


def node(name: str, address: str, ready: str = "True", **labels: str) -> dict[str, t.Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
            "nodeInfo": {"kubeletVersion": "v1.36.0"},
        },
    }


def test_reads_nodes_namespaces_and_deployments() -> None:
    document = {
        "items": [
            node("worker", "172.20.10.12", "Unknown", **{"node.kubernetes.io/microk8s-worker": "microk8s-worker"}),
            node("master", "172.20.10.11"),
            {"kind": "Namespace", "metadata": {"name": "kube-system"}},
            {"kind": "Namespace", "metadata": {"name": "prysm"}},
            {
                "kind": "Deployment",
                "metadata": {"name": "coredns", "namespace": "kube-system", "generation": 2},
                "spec": {"replicas": 1},
                "status": {"observedGeneration": 2, "availableReplicas": 1, "updatedReplicas": 1},
            },
            {
                "kind": "Deployment",
                "metadata": {"name": "metrics-server", "namespace": "kube-system", "generation": 2},
                "spec": {"replicas": 1},
                "status": {"observedGeneration": 1, "availableReplicas": 1, "updatedReplicas": 1},
            },
        ]
    }
    read = m.parse_nodes(json.dumps(document))
    assert [(n["name"], n["ready"], n["worker"]) for n in read["nodes"]] == [
        ("master", True, False),
        ("worker", False, True),
    ]
    assert read["foreign_namespaces"] == ["prysm"]
    assert {d["name"]: d["available"] for d in read["deployments"]} == {"coredns": True, "metrics-server": False}


def lease(name: str, namespace: str, age: float) -> dict[str, t.Any]:
    renewed = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"kind": "Lease", "metadata": {"name": name, "namespace": namespace}, "spec": {"renewTime": renewed}}


def test_a_kubelet_that_ended_just_now_is_told_by_its_lease() -> None:
    items = [node("master", "172.20.10.11"), node("worker", "172.20.10.12"), lease("master", "kube-node-lease", 5)]
    items += [lease("worker", "kube-node-lease", 30), lease("worker", "elsewhere", 1)]
    nodes = m.parse_nodes(json.dumps({"items": items}))["nodes"]
    wanted = ["master", "worker", "gone"]
    assert m.missing_nodes(nodes, wanted) == ["gone"]
    assert m.missing_nodes(nodes, wanted, renewed_after=NOW.timestamp() - 10) == ["worker", "gone"]
    without = m.parse_nodes(json.dumps({"items": items[:2]}))["nodes"]
    assert m.missing_nodes(without, ["master"], renewed_after=1.0) == ["master"]


INFO = """name:      microk8s
channels:
  1.36/stable:           v1.36.3  2026-06-30 (9024) 168MB classic
  1.36/candidate:        ^
  1.36/beta:             v1.36.4  2026-07-02 (9100) 168MB classic
  1.36/edge:             \N{UPWARDS ARROW}
  1.35-strict/stable:    v1.35.4  2026-06-30 (8900) 168MB -
  1.37/stable:           --
  1.37/candidate:        --
installed:               v1.36.2             (8999) 168MB classic,held
"""


@pytest.mark.parametrize(
    ("channel", "revision"),
    [
        ("1.36/stable", 9024),
        ("1.36/candidate", 9024),
        ("1.36/beta", 9100),
        ("1.36/edge", 9100),
        ("1.37/stable", None),
        ("1.35/stable", None),
        ("1.3./stable", None),
        ("1.36", None),
        ("1.36/gold", None),
    ],
)
def test_what_the_store_offers_in_a_channel(channel: str, revision: int | None) -> None:
    assert m.parse_offered_revision(INFO, channel) == revision


@given(st.text(max_size=200), st.sampled_from(["1.36/stable", "1.36/edge", "x", ""]))
def test_reading_what_the_store_offers_never_ends_in_a_traceback(text: str, channel: str) -> None:
    m.parse_offered_revision("  1.36/stable: " + text, channel)


@pytest.mark.parametrize(
    ("ages", "work"),
    [
        pytest.param({"kube-controller-manager": 1, "kube-scheduler": 3}, True, id="both"),
        pytest.param({"kube-controller-manager": 45, "kube-scheduler": 3}, False, id="an-old-lease"),
        pytest.param({"kube-scheduler": 3}, False, id="none"),
    ],
)
def test_a_pod_gets_a_successor_only_when_there_are_leaders(ages: dict[str, int], work: bool) -> None:
    items = [lease(name, "kube-system", age) for name, age in ages.items()]
    leases = m.parse_nodes(json.dumps({"items": items}))["leases"]
    assert m.controllers_work(leases, NOW.timestamp()) is work


def test_a_workers_kubectl_is_not_believed_although_it_exits_0() -> None:
    said = "This MicroK8s deployment is acting as a node in a cluster. Please use the microk8s kubectl on the master.\n"
    with pytest.raises(m.Microk8sError):
        m.parse_nodes(said)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("microk8s is running\naddons:\ncore/dns: enabled\ncore/rbac: disabled\n", id="1.36"),
        pytest.param("microk8s is running\naddons:\ndns: enabled\nrbac: disabled\n", id="1.20"),
    ],
)
def test_reads_the_addons_of_every_version(text: str) -> None:
    assert m.parse_addons(text) == {"dns": True, "rbac": False}


@pytest.mark.parametrize(
    "text",
    [
        "This MicroK8s deployment is acting as a node in a cluster.\nPlease use the control plane node.\n",
        "microk8s is not running, try microk8s start\n",
        "microk8s is not running. Use microk8s inspect for a deeper inspection.\n",
    ],
)
def test_a_status_without_addons_is_not_a_status_with_all_disabled(text: str) -> None:
    with pytest.raises(m.Microk8sError):
        m.parse_addons(text)


@pytest.fixture
def files(tmp_path: Path) -> m.Files:
    (tmp_path / "var/lock").mkdir(parents=True)
    (tmp_path / "var/kubernetes/backend").mkdir(parents=True)
    (tmp_path / "certs").mkdir()
    (tmp_path / "credentials").mkdir()
    (tmp_path / "args/traefik").mkdir(parents=True)
    (tmp_path / "certs/ca.crt").write_text(CA)
    (tmp_path / "var/kubernetes/backend/cluster.yaml").write_text("- Address: 127.0.0.1:19001\n  ID: 3297\n  Role: 0\n")
    return m.Files(tmp_path)


def test_a_fresh_node_is_in_no_cluster_but_its_own(files: m.Files) -> None:
    membership = files.membership()
    assert (membership["state"], membership["half_joined"]) == ("single", False)
    assert membership["ca"] == m.fingerprint(CA)


def test_a_worker_belongs_to_the_remote_ca(files: m.Files) -> None:
    (files.data / "certs/ca.remote.crt").write_text(OTHER_CA)
    (files.data / "var/lock/clustered.lock").touch()
    (files.data / "var/lock/no-cert-reissue").touch()
    (files.data / "args/traefik/provider.yaml").write_text(
        "tcp:\n  services:\n    kube-apiserver:\n      loadBalancer:\n        servers:\n"
        "        - address: 172.20.10.11:16443\n        - address: '172.20.10.13:16443'\n"
    )
    membership = files.membership()
    assert membership["state"] == "worker"
    assert membership["half_joined"] is False
    assert membership["ca"] == m.fingerprint(OTHER_CA)
    assert membership["servers"] == ["172.20.10.11", "172.20.10.13"]


@pytest.mark.parametrize(
    ("present", "state"),
    [
        pytest.param(["certs/ca.remote.crt"], "single", id="power-cut-before-clustered.lock"),
        pytest.param(["var/lock/clustered.lock", "var/lock/no-cert-reissue"], "worker", id="lock-without-ca"),
        pytest.param(["var/lock/clustered.lock", "certs/ca.remote.crt"], "worker", id="cut-before-its-last-lock"),
        pytest.param(["var/lock/join-in-progress"], "single", id="join-refused"),
    ],
)
def test_half_a_join_is_seen(files: m.Files, present: list[str], state: str) -> None:
    for path in present:
        (files.data / path).write_text(OTHER_CA if path.endswith(".crt") else "")
    membership = files.membership()
    assert (membership["state"], membership["half_joined"]) == (state, True)


def test_a_member_before_1_21_is_known_by_its_datastore(files: m.Files) -> None:
    (files.data / "var/kubernetes/backend/cluster.yaml").write_text(
        "- Address: 172.20.10.11:19001\n  ID: 1\n- Address: 172.20.10.12:19001\n  ID: 2\n"
    )
    assert files.membership()["state"] == "control_plane"
    assert files.membership()["servers"] == ["172.20.10.11", "172.20.10.12"]


def test_counts_the_days_of_every_certificate(files: m.Files) -> None:
    (files.data / "certs/server.crt").write_text(certificate(NOW + timedelta(days=12, hours=5)))
    short = base64.b64encode(certificate(NOW - timedelta(days=3)).encode()).decode()
    (files.data / "credentials/client.config").write_text(f"users:\n- user:\n    client-certificate-data: {short}\n")
    assert [(c["name"], c["days_left"]) for c in files.certificates(NOW)] == [
        ("credentials/client.config", -3),
        ("certs/server.crt", 12),
        ("certs/ca.crt", 3650),
    ]


@pytest.mark.parametrize("form", ["{}", '"{}"', "'{}'", "{}  # renewed"])
def test_reads_the_certificate_in_a_kubeconfig_however_it_is_written(files: m.Files, form: str) -> None:
    data = base64.b64encode(certificate(NOW + timedelta(days=9)).encode()).decode()
    text = f"users:\n- user:\n    client-certificate-data: {form.format(data)}\n"
    (files.data / "credentials/client.config").write_text(text)
    assert [c["days_left"] for c in files.certificates(NOW) if c["name"].endswith("client.config")] == [9]


def test_a_workers_left_over_certificates_do_not_count(files: m.Files) -> None:
    (files.data / "certs/server.crt").write_text(certificate(NOW + timedelta(days=1)))
    (files.data / "certs/kubelet.crt").write_text(certificate(NOW + timedelta(days=99)))
    (files.data / "var/lock/clustered.lock").touch()
    assert [(c["name"], c["days_left"]) for c in files.certificates(NOW)] == [("certs/kubelet.crt", 99)]


def test_an_unreadable_certificate_is_an_error_that_names_it(files: m.Files) -> None:
    (files.data / "certs/server.crt").write_text("")
    with pytest.raises(m.Microk8sError, match=r"certs/server\.crt"):
        files.certificates(NOW)


@pytest.mark.parametrize("line", ["--authorization-mode=RBAC,Node", "--authorization-mode RBAC,Node"])
def test_reads_the_authorization_mode(files: m.Files, line: str) -> None:
    (files.data / "args/kube-apiserver").write_text(f"--cert-dir=x\n{line}\n#--authorization-mode-not=1\n")
    assert files.argument("kube-apiserver", "--authorization-mode") == "RBAC,Node"


# --- the plan -------------------------------------------------------------------------------------------------------


def machine(name: str = "worker", state: str = "single", ca: str | None = "own", **more: t.Any) -> dict[str, t.Any]:
    membership = {"state": state, "half_joined": False, "ca": ca, "servers": [], "stopped": False}
    return {
        "name": name,
        "snap": None if state == "absent" else {"disabled": more.pop("disabled", False)},
        "membership": {**membership, **more},
    }


def seed(*nodes: tuple[str, str, bool], state: str = "control_plane", reason: str = "") -> dict[str, t.Any]:
    return {
        **machine("master", state, "cluster"),
        "api": {"ready": not reason, "reason": reason},
        "nodes": [
            {"name": name, "addresses": [address], "ready": ready} for name, address, ready in nodes if not reason
        ],
    }


MASTER = ("master", "172.20.10.11", True)
WORKER = ("worker", "172.20.10.12", True)
DEAD_WORKER = ("worker", "172.20.10.12", False)


def plan(here: dict[str, t.Any], there: dict[str, t.Any], role: str = "worker", minor: int = 36) -> dict[str, t.Any]:
    return m.join_plan(here, there, is_seed=False, address="172.20.10.12", role=role, minor=minor)


@pytest.mark.parametrize(
    ("here", "there", "action", "remove"),
    [
        pytest.param(machine(state="absent", ca=None), seed(state="absent", reason="no"), "join", "", id="both-bare"),
        pytest.param(machine(), seed(MASTER), "join", "", id="fresh"),
        pytest.param(machine(), seed(MASTER, DEAD_WORKER), "join", "worker", id="stale-object-of-a-reinstalled-host"),
        pytest.param(machine(), seed(MASTER, WORKER), "join", "worker", id="stale-object-whose-lease-still-runs"),
        pytest.param(machine(state="worker", ca="cluster"), seed(MASTER, WORKER), "none", "", id="joined"),
        pytest.param(machine(state="worker", ca="cluster"), seed(MASTER, DEAD_WORKER), "wait", "", id="rebooting"),
        pytest.param(machine(state="worker", ca="cluster"), seed(MASTER), "repair", "", id="unknown-to-the-cluster"),
        pytest.param(
            machine(state="worker", ca="cluster", half_joined=True), seed(MASTER), "repair", "", id="half-a-worker"
        ),
        pytest.param(
            machine(state="worker", ca="cluster", half_joined=True), seed(MASTER, WORKER), "tidy", "", id="lock-left"
        ),
        pytest.param(machine(state="single", ca="cluster"), seed(MASTER), "repair", "", id="half-a-control-plane"),
        pytest.param(machine(state="single", ca="cluster"), seed(MASTER, WORKER), "tidy", "", id="cut-at-its-end"),
        pytest.param(
            machine(state="single", ca="cluster"), seed(MASTER, DEAD_WORKER), "wait", "", id="cut-and-booting"
        ),
        pytest.param(machine(ca="foreign", half_joined=True), seed(MASTER), "join", "", id="half-joined-elsewhere"),
        pytest.param(
            machine(state="worker", ca=None, half_joined=True), seed(MASTER), "join", "", id="lock-without-ca"
        ),
    ],
)
def test_plans_the_way_into_the_cluster(
    here: dict[str, t.Any], there: dict[str, t.Any], action: str, remove: str
) -> None:
    assert plan(here, there)["action"] == action
    assert plan(here, there)["remove"] == remove


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        pytest.param(
            machine(state="worker", ca="foreign", servers=["10.9.9.9"]),
            seed(MASTER),
            "another cluster.*10.9.9.9",
            id="a",
        ),
        pytest.param(
            machine(state="control_plane", ca="foreign"), seed(state="absent", reason="no"), "another cluster", id="b"
        ),
        pytest.param(
            machine(),
            seed(MASTER, ("worker", "172.20.10.99", False)),
            "may be another machine",
            id="same-name-elsewhere",
        ),
        pytest.param(
            machine(), seed(MASTER, ("old-name", "172.20.10.12", False)), "node old-name .*the address", id="renamed"
        ),
        pytest.param(
            machine(state="control_plane", ca="cluster"), seed(MASTER, WORKER), "is a control_plane", id="wrong-role"
        ),
        pytest.param(machine(state="worker", ca="cluster", stopped=True), seed(MASTER), "stopped", id="stopped"),
        pytest.param(machine(state="worker", ca="cluster", disabled=True), seed(MASTER), "stopped", id="disabled"),
        pytest.param(machine(), seed(reason="connection refused"), "connection refused", id="unreadable-seed"),
        pytest.param(machine(), seed(state="worker"), "is a worker", id="seed-is-a-worker"),
    ],
)
def test_refuses_what_only_a_person_may_decide(here: dict[str, t.Any], there: dict[str, t.Any], why: str) -> None:
    result = plan(here, there)
    assert result["action"] == "refuse"
    assert m.re.search(why, result["reason"])


IDS = {"machine_id": "4f5a0c", "system_uuid": "03D1-AA", "boot_id": "b-1", "booted": 1000.0}
OTHERS = {"machine_id": "99aa11", "system_uuid": "77ff-bb", "boot_id": "b-9"}
COPIED = {"machine_id": "4f5a0c", "system_uuid": "03d1-aa", "boot_id": "b-9"}
LIVE, LONG_AGO = 9000.0, 1010.0


def known(
    name: str, address: str, ids: dict[str, t.Any], ready: bool = True, renewed: float = LIVE, worker: bool = True
) -> dict[str, t.Any]:
    """A Node object with the marks of a machine, as microk8s_info returns it."""
    return {
        "name": name,
        "addresses": [address],
        "ready": ready,
        "renewed": renewed,
        "worker": worker,
        **{key: value for key, value in ids.items() if key != "booted"},
    }


MASTERS = known("master", "172.20.10.11", {"machine_id": "aa", "system_uuid": "cc", "boot_id": "b-0"}, worker=False)
CP3 = known("cp3", "172.20.10.13", {"machine_id": "bb", "system_uuid": "dd", "boot_id": "b-3"}, worker=False)


def identified(state: str = "worker", ca: str = "cluster", **more: t.Any) -> dict[str, t.Any]:
    return {**machine(state=state, ca=ca, **more), "identity": IDS, "addresses": ["172.20.10.12", "203.0.113.12"]}


def among(*nodes: dict[str, t.Any]) -> dict[str, t.Any]:
    there = seed(MASTER)
    there["nodes"] = [MASTERS, CP3, *nodes]
    there["membership"]["servers"] = ["172.20.10.11", "172.20.10.12", "172.20.10.13"]
    return there


REGISTERED = {
    "as-it-should": ("worker", "172.20.10.12"),
    "under-its-other-card": ("worker", "203.0.113.12"),
    "under-an-address-of-a-nat": ("worker", "198.51.100.7"),
    "by-hostname-override": ("rack2-worker", "172.20.10.12"),
    "by-both": ("rack2-worker", "203.0.113.12"),
    "by-its-address-as-a-name": ("172.20.10.12", "203.0.113.12"),
}


@pytest.mark.parametrize(("name", "address"), REGISTERED.values(), ids=REGISTERED)
@pytest.mark.parametrize("role", ["worker", "control_plane"])
def test_a_node_is_who_it_is_by_its_machine(name: str, address: str, role: str) -> None:
    """A healthy node is neither refused, nor joined again, whatever it is called and wherever it is reached."""
    here = identified(role, servers=["172.20.10.11", "172.20.10.12", "172.20.10.13"])
    result = plan(here, among(known(name, address, IDS, worker=role == "worker")), role=role)
    assert (result["action"], result["remove"], result["node"]) == ("none", "", name)
    assert bool(result["note"]) is ((name, address) != ("worker", "172.20.10.12"))
    down = plan(here, among(known(name, address, IDS, ready=False, worker=role == "worker")), role=role)
    assert (down["action"], down["remove"]) == ("wait", "")


@pytest.mark.parametrize(("name", "address"), list(REGISTERED.values())[1:], ids=list(REGISTERED)[1:])
@pytest.mark.parametrize("state", ["worker", "control_plane"])
def test_without_marks_a_healthy_node_is_never_joined_again(name: str, address: str, state: str) -> None:
    """What cannot be compared is left to a person, and where name or address agree it is this machine."""
    there = seed(MASTER)
    there["nodes"] += [{"name": name, "addresses": [address], "ready": True, "worker": state == "worker"}]
    there["membership"]["servers"] = ["172.20.10.11"]
    here = machine(state=state, ca="cluster", servers=["172.20.10.11"])
    result = plan(here, there, role=state)
    assert result["action"] == ("none" if name == "worker" or address == "172.20.10.12" else "refuse")
    assert "remove-node" not in result["reason"]


@pytest.mark.parametrize(
    ("node", "action", "remove"),
    [
        pytest.param(known("worker", "172.20.10.12", IDS), "join", "worker", id="installed-anew-in-this-boot"),
        pytest.param(known("worker", "172.20.10.12", COPIED, False), "join", "worker", id="installed-anew-and-booted"),
        pytest.param(
            known("worker", "172.20.10.12", COPIED, True, LONG_AGO), "join", "worker", id="booted-just-now-lease-runs"
        ),
        pytest.param(known("old", "10.0.0.7", IDS, False), "join", "", id="neither-its-name-nor-its-address"),
        pytest.param(known("worker", "10.0.0.7", OTHERS, False), "refuse", "", id="another-dead-machine-of-its-name"),
        pytest.param(known("worker", "10.0.0.7", OTHERS), "refuse", "", id="another-live-machine-of-its-name"),
        pytest.param(known("other", "172.20.10.12", OTHERS), "refuse", "", id="another-live-machine-at-its-address"),
        pytest.param(known("worker", "172.20.10.12", COPIED), "refuse", "", id="a-copy-of-its-disk-runs"),
        pytest.param(known("other", "10.0.0.7", COPIED), "join", "", id="a-copy-of-its-disk-runs-elsewhere"),
    ],
)
def test_a_node_object_is_removed_only_for_the_machine_that_was_it(
    node: dict[str, t.Any], action: str, remove: str
) -> None:
    result = plan(identified("single", "own"), among(node))
    assert (result["action"], result["remove"]) == (action, remove)
    if node["ready"]:
        assert "remove-node" not in result["reason"]


@pytest.mark.parametrize("ready", [True, False])
def test_a_copy_of_a_disk_with_its_name_does_not_remove_the_other_machine(ready: bool) -> None:
    """A machine restored from a backup under another address, while the first one hangs and may run its pods."""
    node = known("worker", "172.20.10.14", COPIED, ready, LONG_AGO)
    result = plan(identified("single", "own"), among(node))
    assert (result["action"], result["remove"]) == ("refuse", "")
    assert "copied to both" in result["reason"]
    assert "remove-node" not in result["reason"]
    assert ("delete node worker" in result["reason"]) is not ready


def test_a_former_installation_under_ipv6_alone_is_its_own() -> None:
    here = {**identified("single", "own"), "addresses": ["172.20.10.12", "fd00::c"]}
    result = plan(here, among(known("worker", "fd00::c", IDS)))
    assert (result["action"], result["remove"]) == ("join", "worker")


@pytest.mark.parametrize("state", ["worker", "control_plane"])
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("ids", [OTHERS, {**IDS, "machine_id": "new"}], ids=["all", "machine-id"])
def test_marks_given_anew_do_not_make_a_member_another_machine(ids: dict[str, t.Any], ready: bool, state: str) -> None:
    """The kubelet has not told the cluster yet; the advice was to rename a node that runs, or to remove it."""
    result = plan(identified(state), among(known("worker", "172.20.10.12", ids, ready)), role=state)
    assert (result["action"], result["node"]) == ("none" if ready else "wait", "worker")


@pytest.mark.parametrize("state", ["worker", "control_plane"])
def test_what_a_renamed_machine_was_before_is_not_removed_from_the_datastore(state: str) -> None:
    """`remove-node NAME --force` takes out the address of the object, which is that of a live member."""
    former = known("old", "172.20.10.12", COPIED, False, LONG_AGO, worker=state == "worker")
    result = plan(identified(state), among(known("worker", "172.20.10.12", IDS), former), role=state)
    assert result["action"] == "refuse"
    assert result["reason"].endswith("microk8s kubectl delete node old")


@pytest.mark.parametrize(
    ("address", "command"),
    [
        pytest.param("172.20.10.13", "kubectl delete node worker", id="of-a-live-control-plane"),
        pytest.param("10.9.9.9", "remove-node worker --force", id="of-nobody"),
    ],
)
def test_the_address_of_a_stale_node_may_be_anothers_now(address: str, command: str) -> None:
    result = plan(identified("single", "own"), among(known("worker", address, OTHERS, False, worker=False)))
    assert result["action"] == "refuse"
    assert result["reason"].endswith(f"microk8s {command}")


def test_a_copy_that_runs_is_not_taken_for_this_machine_just_after_its_start() -> None:
    """Both have the ids of the disk that was copied, and this one's kubelet has not told its new boot yet."""
    own = known("worker", "172.20.10.12", COPIED, ready=False, renewed=900.0)
    copy = known("other", "172.20.10.14", {**COPIED, "boot_id": "b-7"}, renewed=1005.0)
    for nodes in ([own, copy], [copy, own]):
        found = m.own_node(identified(), nodes, "172.20.10.12", member=True)
        assert found is not None and found["name"] == "worker"


@given(
    here_id=st.sampled_from(["a", "b", ""]),
    node_id=st.sampled_from(["a", "b", ""]),
    name=st.sampled_from(["worker", "rack2"]),
    address=st.sampled_from(["172.20.10.12", "203.0.113.12", "10.9.9.9"]),
    ready=st.booleans(),
    state=st.sampled_from(["single", "worker", "control_plane"]),
    ca=st.sampled_from(["own", "cluster"]),
    same_boot=st.booleans(),
)
def test_no_message_advises_to_remove_a_node_that_runs(
    here_id: str, node_id: str, name: str, address: str, ready: bool, state: str, ca: str, same_boot: bool
) -> None:
    marks = {"machine_id": node_id, "system_uuid": "", "boot_id": "b-1" if same_boot else "b-2"}
    here = {
        **machine(state=state, ca=ca),
        "identity": {"machine_id": here_id, "system_uuid": "", "boot_id": "b-1", "booted": 1000.0},
        "addresses": ["172.20.10.12", "203.0.113.12"],
    }
    result = plan(here, among(known(name, address, marks, ready)), role="worker" if state == "single" else state)
    if ready:
        assert "remove-node" not in result["reason"]
        if here_id == node_id == "a" and ca == "cluster" and (same_boot or name == "worker") and same_boot:
            assert result["action"] in ("none", "tidy")
    if result["remove"]:
        assert result["remove"] == name
        assert here_id == node_id or not (here_id and node_id)
        assert name == "worker" or address == "172.20.10.12"
        assert address != "10.9.9.9", "a copy of its disk may have its name"


def test_a_kubelet_that_does_not_renew_its_lease_is_not_ready() -> None:
    """Its condition stays True for as long as no controller hears of anything."""
    items = [node("master", "172.20.10.11"), node("worker", "172.20.10.12"), lease("master", "kube-node-lease", 5)]
    items += [lease("worker", "kube-node-lease", m.NODE_LEASE_SECONDS + 1)]
    nodes = m.parse_nodes(json.dumps({"items": items}), NOW.timestamp())["nodes"]
    assert [(n["name"], n["ready"], n["reported_ready"]) for n in nodes] == [
        ("master", True, True),
        ("worker", False, True),
    ]
    objects = [node("master", "172.20.10.11"), node("worker", "172.20.10.12"), node("cut", "172.20.10.13", "Unknown")]
    leases = [lease("master", "kube-node-lease", 5), lease("worker", "kube-node-lease", 99)]
    leases += [lease("cut", "kube-node-lease", 5)]
    assert m.ready_nodes(objects, leases, NOW.timestamp()) == ["master"]
    assert m.ready_nodes(objects) == ["master", "worker"], "by their conditions alone"
    assert m.ready_nodes(objects, [], NOW.timestamp()) == []
    with pytest.raises(ValueError, match="the time when they were read"):
        m.ready_nodes(objects, leases)


@pytest.mark.parametrize(
    ("spec", "takes"), [({}, True), ({"unschedulable": False}, True), ({"unschedulable": True}, False)]
)
def test_a_cordoned_node_takes_no_pods(spec: dict[str, t.Any], takes: bool) -> None:
    objects = [{**node("master", "172.20.10.11"), "spec": spec}]
    assert m.ready_nodes(objects) == ["master"]
    assert m.ready_nodes(objects, taking_pods=True) == (["master"] if takes else [])


def test_reads_the_marks_of_a_node() -> None:
    item = node("worker", "172.20.10.12")
    item["status"]["nodeInfo"].update(machineID="4f5a", systemUUID="03d1", bootID="b-1")
    item["metadata"]["annotations"] = {m.TUNNEL: "10.1.1.0"}
    (read,) = m.parse_nodes(json.dumps({"items": [item]}))["nodes"]
    assert (read["machine_id"], read["system_uuid"], read["boot_id"], read["tunnel"]) == (
        "4f5a",
        "03d1",
        "b-1",
        "10.1.1.0",
    )


BASES = """\
Name      Version        Rev    Tracking       Publisher    Notes
core20    20250730       2717   latest/stable  canonical**  base,held
core22    20250730       2411   latest/stable  canonical**  base
core      16-2.61.4      17292  latest/stable  canonical**  core
hello     2.10           42     latest/stable  canonical**  -
lxd       5.21           33110  5.21/stable    canonical**  held
microk8s  v1.36.3        9024   1.36/stable    canonical**  classic,held
core24    20250730       1006   latest/stable  canonical**  base,disabled
snapd     2.68.3         24792  latest/stable  canonical**  snapd
"""


def test_what_a_refresh_of_restarts_microk8s_as_well() -> None:
    found = m.parse_bases(BASES)
    assert {row["name"]: row["held"] for row in found} == {
        "core": False,
        "core20": True,
        "core22": False,
        "snapd": False,
    }
    assert m.parse_bases("") == []


def test_the_last_hold_of_a_snap_counts() -> None:
    held = {
        "core22": {"system": {"hold-until": "2026-12-02T10:00:00Z"}, "other": {"hold-until": "2318-03-10T09:47:16Z"}},
        "snapd": {"other": {"hold-until": "2027-01-02T10:00:00Z"}},
        "core20": {},
    }
    now = datetime(2026, 11, 29, tzinfo=UTC)
    assert m.short_holds(json.dumps({"data": {"snaps-hold": held}}), now) == {"snapd"}
    for text in ("{}", '{"data": {}}', '{"data": null}'):
        assert m.short_holds(text, now) == set()
    for text in ("", "[]", '{"data": {"snaps-hold": {"snapd": {"system": {}}}}}'):
        with pytest.raises(m.Microk8sError, match="how long refreshes are held"):
            m.short_holds(text, now)


STATUS_YAML = """microk8s:
  running: True
high-availability:
  enabled: True
  nodes:
{}addons:
  - name: dns
    address: 1.2.3.4
    role: voter
"""
MEMBER = "    - address: 10.0.0.{}:19001\n      role: {}\n"


@pytest.mark.parametrize(
    "roles",
    [["voter"], ["voter", "spare"], ["voter"] * 3, ["voter", "voter", "voter", "standby", "standby"]],
    ids=len,
)
def test_reads_who_votes(roles: list[str]) -> None:
    members = "".join(MEMBER.format(number, role) for number, role in enumerate(roles))
    assert [member["role"] for member in m.parse_members(STATUS_YAML.format(members))] == roles


@pytest.mark.parametrize("text", ["", "microk8s is not running, try microk8s start\n", STATUS_YAML.format("")])
def test_a_status_without_members_is_an_error(text: str) -> None:
    with pytest.raises(m.Microk8sError):
        m.parse_members(text)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("", "worker"),
        ("--node-ip=172.20.10.12\n", "worker"),
        ("--hostname-override=Rack2-Worker\n", "rack2-worker"),
        ('--hostname-override "rack2"\n', "rack2"),
        ("#--hostname-override=rack2\n", "worker"),
        ("--hostname-override=a\n--hostname-override=b\n", "b"),
    ],
)
def test_the_name_that_the_kubelet_registers(files: m.Files, arguments: str, name: str) -> None:
    (files.data / "args/kubelet").write_text(arguments)
    assert files.node_name("worker") == name


@pytest.mark.parametrize("members", [["127.0.0.1"], ["172.20.10.12", "172.20.10.13"]])
def test_a_control_plane_that_left_and_is_a_clusters_of_its_own(members: list[str]) -> None:
    """It keeps the authority of the cluster that it left."""
    there = seed(MASTER)
    there["membership"]["servers"] = ["172.20.10.11"]
    result = plan(machine(state="control_plane", ca="cluster", servers=members), there, role="control_plane")
    assert result["action"] == "refuse"
    assert m.re.search("a datastore of its own .*purge", result["reason"])


def test_a_control_plane_that_was_removed_while_it_was_away_comes_back() -> None:
    there = seed(MASTER)
    there["membership"]["servers"] = ["172.20.10.11"]
    here = machine(state="control_plane", ca="cluster", servers=["172.20.10.11", "172.20.10.12"])
    assert plan(here, there, role="control_plane")["action"] == "repair"


def test_before_1_23_a_worker_is_a_control_plane_and_stays_so() -> None:
    here = machine(state="control_plane", ca="cluster")
    assert plan(here, seed(MASTER, WORKER), minor=22)["action"] == "none"


@given(
    state=st.sampled_from(["absent", "single", "worker", "control_plane"]),
    ca=st.sampled_from([None, "own", "cluster", "foreign"]),
    half=st.booleans(),
    name=st.sampled_from(["worker", "other"]),
    address=st.sampled_from(["172.20.10.12", "172.20.10.99"]),
    ready=st.booleans(),
    role=st.sampled_from(["worker", "control_plane"]),
    minor=st.sampled_from([20, 22, 23, 36]),
)
def test_never_removes_the_node_object_of_another_machine(
    state: str, ca: str | None, half: bool, name: str, address: str, ready: bool, role: str, minor: int
) -> None:
    """P1: without its Node object Kubernetes starts a node's pods elsewhere, though they may still run."""
    here = machine(state=state, ca=ca, half_joined=half)
    result = plan(here, seed(MASTER, (name, address, ready)), role, minor)
    if result["action"] == "repair":
        assert name != "worker", "a node that the cluster knows is waited for first"
    if result["remove"]:
        assert (name, address) == ("worker", "172.20.10.12")
        assert ca != "cluster", "the machine still runs this very node"
        assert state in ("absent", "single") or ca is None


def test_the_seed_needs_nobody_but_its_own_api() -> None:
    there = seed(MASTER)
    assert m.join_plan(there, there, True, "172.20.10.11", "control_plane", 36)["action"] == "none"
    silent = seed(reason="connection refused")
    assert "connection refused" in m.join_plan(silent, silent, True, "172.20.10.11", "control_plane", 36)["reason"]
    gone = seed(state="worker", reason="no")
    assert "worker of another" in m.join_plan(gone, gone, True, "172.20.10.11", "control_plane", 36)["reason"]


@pytest.mark.parametrize(
    ("corefile", "servers"),
    [
        pytest.param(".:53 {\n    forward . 1.1.1.1 9.9.9.9\n    cache 30\n}\n", ["1.1.1.1", "9.9.9.9"], id="given"),
        pytest.param(".:53 {\n    forward . /etc/resolv.conf\n}\n", [], id="the-nodes-own"),
        pytest.param(
            ".:53 {\n    forward . 8.8.8.8 {\n      policy random\n    }\n}\n", ["8.8.8.8"], id="with-a-block"
        ),
        pytest.param("", [], id="nothing"),
    ],
)
def test_reads_the_name_servers_of_a_corefile(corefile: str, servers: list[str]) -> None:
    assert m.parse_dns_servers(corefile) == servers


def test_tunnels_are_those_of_nodes_that_have_one() -> None:
    def node(name: str, notes: dict[str, str] | None) -> dict[str, t.Any]:
        return {"metadata": {"name": name, **({} if notes is None else {"annotations": notes})}}

    nodes = [node("a", {m.TUNNEL: "10.1.0.1"}), node("b", {m.TUNNEL: "10.1.0.2"}), node("c", {}), node("d", None)]
    assert m.pod_tunnels(nodes) == [{"name": "a", "address": "10.1.0.1"}, {"name": "b", "address": "10.1.0.2"}]
    assert m.pod_tunnels(nodes, "a") == [{"name": "b", "address": "10.1.0.2"}]


def test_what_the_store_has_newer_revisions_of() -> None:
    snaps = [
        {"name": "core20", "revision": "9"},
        {"name": "core22", "revision": "2411"},
        {"name": "snapd", "revision": "x1"},
    ]
    assert m.snaps_behind(snaps, {}) == []
    assert m.snaps_behind(snaps, {"core20": 10, "core22": 2411, "core24": 7}) == ["core20"]
    assert m.snaps_behind(snaps, {"core22": 2410, "snapd": 1}) == ["snapd"], "installed from a file"


def test_a_node_that_is_none_of_the_machines_is_absent() -> None:
    def node(name: str, address: str, **more: t.Any) -> dict[str, t.Any]:
        return {"name": name, "addresses": [address], "ready": True, "machine_id": f"id-of-{name}", **more}

    def machine(name: str, known: str) -> dict[str, t.Any]:
        return {"name": name, "identity": {"machine_id": f"id-of-{known}"}, "membership": {"ca": "x"}}

    there = {"membership": {"ca": "x"}, "nodes": [node("old-name", "10.0.0.1"), node("b", "10.0.0.2")]}
    renamed, lost = machine("a", "old-name"), {"unreachable": True, "msg": "no route"}
    assert m.absent_nodes(there, [(renamed, "10.0.0.1"), (machine("b", "b"), "10.0.0.2")]) == []
    assert m.absent_nodes(there, [(renamed, "10.0.0.9"), (lost, "10.0.0.2")]) == ["b"]
    assert m.absent_nodes(there, [({}, "10.0.0.1")]) == ["old-name", "b"]


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"microk8s_address": "10.0.0.1", "ansible_host": "192.0.2.1"}, "10.0.0.1"),
        ({"ansible_host": "192.0.2.1"}, "192.0.2.1"),
        ({}, "a"),
    ],
)
def test_the_address_that_the_inventory_has(variables: dict[str, str], address: str) -> None:
    assert m.address_of("a", variables) == address


OTHER, SAME = {"revision": 7}, {"revision": 8}
SILENT, ANSWERED = {"api": {"answered": False}}, {"api": {"answered": True}}


@pytest.mark.parametrize(
    ("before", "worker", "alone", "now", "waited", "may"),
    [
        (OTHER, True, False, ANSWERED, ANSWERED, True),
        (OTHER, True, False, {}, SILENT, True),
        (SAME, True, True, SILENT, SILENT, False),
        (OTHER, False, True, SILENT, SILENT, True),
        (OTHER, False, True, ANSWERED, SILENT, False),
        (OTHER, False, True, SILENT, ANSWERED, False),
        # Not waited for: it may have answered.
        (OTHER, False, True, SILENT, {}, False),
        (OTHER, False, False, SILENT, SILENT, False),
    ],
)
def test_a_control_plane_goes_back_only_where_nothing_is_forgotten(
    before: dict[str, t.Any], worker: bool, alone: bool, now: dict[str, t.Any], waited: dict[str, t.Any], may: bool
) -> None:
    here = {"snap": SAME, **now}
    assert m.may_revert(here, before, worker=worker, alone=alone, waited=waited) is may
