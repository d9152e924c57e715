"""The guard and the claims as Ansible runs them, against what was found about them."""

from __future__ import annotations

import errno
import json
import os
import threading
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _identity, _record
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _controller, _site_run
from ansible_collections.eth2xk8s.staking.plugins.modules import slashing_protection_guard, validator_key_claim
from tests.unit.plugins.keys_support import (
    PUBKEYS,
    ROOT_A,
    BoltWriter,
    older_layout,
    prysm_tree,
    run_module,
    write_database,
)

K = PUBKEYS
R1 = b"\x01" * 32


class Site:
    """One NFS server: a data disk with the record, a root disk with a witness."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.data = base / "data"
        self.data.mkdir()
        self.record = self.data / ".history/record.json"
        self.witness = base / "var/history/record.json"

    def write(self, name: str, transaction: int, *targets: int, key: int = 0, layout: int = 2) -> None:
        directory = self.data / name
        directory.mkdir(exist_ok=True)
        votes = [(target - 1, target, R1) for target in targets]
        tree = prysm_tree({K[key]: ([], votes)})
        if layout == 1:
            older_layout(tree)
        (directory / "validator.db").write_bytes(BoltWriter(transaction).dump(tree))

    def guard(self, name: str = "v1", key: int = 0, check: bool = False, **more: t.Any) -> dict[str, t.Any]:
        own = {n: more.pop(n) for n in ("wallet_dir", "version", "installed") if n in more}
        return run_module(
            slashing_protection_guard,
            check=check,
            record=str(self.record),
            clients=[{"name": name, "data_dir": str(self.data / name), "pubkeys": [K[key]], **own}],
            **{"witnesses": [str(self.witness)], **more},
        )

    def claim(self, claims: dict[str, list[str]], check: bool = False, **more: t.Any) -> dict[str, t.Any]:
        return run_module(
            validator_key_claim,
            check=check,
            record=str(self.record),
            claims=claims,
            **{"witnesses": [str(self.witness)], **more},
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_clients_sign_after_their_start_is_raised_by_a_later_call(site: Site) -> None:
    """F1: a whole first site.yml leaves every number null; after the proof of duties it must not be so."""
    assert site.guard()["keys"][K[0]] == {"slot": None, "source": None, "target": None}
    site.write("v1", 40, 5, 6)
    after = site.guard()
    assert after["keys"][K[0]]["target"] == 6 and after["raised"] == [K[0]] and not after["changed"]
    site.write("v1", 34, 5)
    refused = site.guard()
    assert "highest target 5 instead of 6" in refused["msg"] and "older copy" in refused["msg"]


def test_a_rebuilt_server_and_an_unmounted_disk_are_refused_by_the_witness(site: Site) -> None:
    """F1 and keys 2: data disk, record and notes are gone at once."""
    site.write("v1", 40, 5, 6)
    site.guard()
    site.data.rename(site.base / "unmounted")
    site.data.mkdir()
    for check in (True, False):
        refused = site.guard(check=check)
        assert refused["failed"] and "data disk is not mounted" in refused["msg"]
        assert str(site.witness) in refused["msg"] and refused["refusals"][0]["client"] is None
        assert not site.record.exists(), "nothing is written where the disk belongs"
    without = site.guard(witnesses=[])
    assert not without.get("failed"), "nobody is left who knows"
    site.record.unlink()
    copy = json.loads(site.witness.read_text())
    assert site.guard(witnesses=[], records=[copy])["failed"], "the copy of the cluster knows as well"
    site.write("v1", 40, 5, 6)
    back = site.guard()
    assert not back.get("failed") and back["changed"] and site.record.exists()


def test_the_witness_alone_cannot_be_lost_or_damaged_unseen(site: Site) -> None:
    site.write("v1", 40, 5, 6)
    site.guard()
    site.witness.unlink()
    site.guard()
    assert site.witness.exists() and oct(site.witness.stat().st_mode & 0o777) == "0o600"
    site.witness.write_text("{}")
    assert "is not a record of signing" in site.guard()["msg"]


def test_the_whole_record_can_be_kept_elsewhere_and_given_back(site: Site) -> None:
    site.write("v1", 40, 4, 5, 6)
    kept = site.guard()["record"]
    assert _record.from_document(json.loads(json.dumps(kept)), "x") == _record.read_record(str(site.record))
    site.record.unlink()
    site.witness.unlink()
    site.write("v1", 41, 4, 6)
    assert "1 vote is missing, the first for target 5" in site.guard(records=[kept])["msg"]
    assert "records[0]" in site.guard(records=[{"version": 7}])["msg"]


def test_the_watchers_configuration_names_the_witness(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    site.write("v1", 40, 5, 6)
    site.guard(witnesses=[], watch_config=str(config))
    assert not site.witness.exists()
    config.write_text(json.dumps({"record": str(site.record), "witness": str(site.witness)}))
    site.guard(witnesses=[], watch_config=str(config))
    assert _record.read_record(str(site.witness)) == _record.read_record(str(site.record))


def test_uninstalled_and_back_at_an_older_version(site: Site) -> None:
    """F2: by official commands only; the release that said which version ran is gone."""
    site.write("v1", 40, 5, 6)
    (site.data / "v1/.validator-version").write_text("2 v1.3.4\n")
    assert not site.guard(version="v1.3.4").get("failed")
    assert "rollback.yml" in site.guard(version="v1.2.2")["msg"]
    (site.data / "v1/.validator-version").unlink()
    assert "rollback.yml" in site.guard(version="v1.2.2")["msg"]
    (site.data / "v1/.validator-version").write_text("1 v1.2.2\n")
    site.write("v1", 12, 5, 6, layout=1)
    back = site.guard(version="v1.2.2", replaced=["v1"])
    assert not back.get("failed") and back["record"]["clients"]["v1"]["version"] == "v1.2.2"
    assert not site.guard(version="v1.2.2").get("failed")


def test_a_client_out_of_the_inventory_still_knows(site: Site) -> None:
    """Keys 4: validator1 with its tombstone is no client of the run, and its database knows more."""
    site.write("v1", 40, 5, 500)
    site.write("v2", 40, 5, 200)
    assert not site.guard("v2", data_root=str(site.data), exclude=["v1"]).get("failed")
    assert "highest target 200 instead of 500" in site.guard("v2", data_root=str(site.data))["msg"]
    assert site.guard("v2")["failed"], "what was seen once goes on record"


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_record_that_cannot_be_looked_at_once_is_not_lowered(
    site: Site, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Keys 5: 100/50/60 became 5/1/2, and the next run accepted."""
    site.write("v1", 40, 100)
    site.guard(witnesses=[])
    site.write("v1", 40, 5)
    real = os.stat
    for number in range(30):
        calls = [0]

        def fails(path: t.Any, *args: t.Any, calls: list[int] = calls, number: int = number, **more: t.Any) -> t.Any:
            if "record.json" in str(path):
                calls[0] += 1
                if calls[0] == number + 1:
                    raise OSError(code, os.strerror(code))
            return real(path, *args, **more)

        monkeypatch.setattr(os, "stat", fails)
        assert site.guard(witnesses=[])["failed"]
        monkeypatch.setattr(os, "stat", real)
        assert _record.read_record(str(site.record)).keys[K[0]].target == 100
        if calls[0] <= number:
            break
    assert number > 0


def test_two_runs_at_once_never_pass_with_one_key(site: Site) -> None:
    """Keys 1: judged and raised in one critical section."""
    for number in range(12):
        key, results = number % 4, {}
        site.record.unlink(missing_ok=True)
        site.witness.unlink(missing_ok=True)
        start = threading.Barrier(2)

        def run(name: str, key: int = key, results: t.Any = results, start: t.Any = start) -> None:
            clients = [slashing_protection_guard.Client(name, str(site.data / name), (K[key],))]
            params = {n: spec.get("default") for n, spec in slashing_protection_guard.ARGUMENTS.items()}
            params.update(record=str(site.record), witnesses=[str(site.witness)])
            params["clients"] = [{**clients[0]._asdict(), "pubkeys": [K[key]]}]
            start.wait()
            results[name] = slashing_protection_guard.guard(params, False)

        threads = [threading.Thread(target=run, args=(name,)) for name in ("v1", "v2")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        passed = [name for name, result in results.items() if not result["refusals"]]
        assert len(passed) == 1 and _record.read_record(str(site.record)).keys[K[key]].client == passed[0]
        loser = next(result for name, result in results.items() if name not in passed)
        assert f"belongs to {passed[0]}, by the site's record" in loser["refusals"][0]["reason"]


def test_check_mode_judges_and_writes_nothing(site: Site) -> None:
    site.write("v1", 40, 5)
    told = site.guard(check=True)
    assert told["changed"] and told["keys"][K[0]]["target"] == 5
    assert not site.record.parent.exists() and not site.witness.exists()
    assert site.claim({"v1": [K[0]]}, check=True)["claimed"] == [K[0]]
    assert not site.record.parent.exists() and not site.witness.exists()


def test_the_watchers_hold_is_lifted_where_nothing_speaks_against_it(site: Site) -> None:
    site.write("v1", 40, 5)
    hold = site.data / "v1/.validator-hold"
    hold.write_text("history: older copy\n")
    assert site.guard()["lifted"] == [] and hold.exists()
    (site.data / "v1/.validator-transaction").write_text("41\n")
    assert site.guard(lift_history_hold=True)["failed"] and hold.exists()
    (site.data / "v1/.validator-transaction").unlink()
    assert site.guard(lift_history_hold=True, check=True)["lifted"] == [] and hold.exists()
    lifted = site.guard(lift_history_hold=True)
    assert lifted["lifted"] == ["v1"] and lifted["changed"] and not hold.exists()
    hold.write_text("moving a key\n")
    assert site.guard(lift_history_hold=True)["lifted"] == [] and hold.exists()


# -- claims -----------------------------------------------------------------------------------------------------------


def test_claims_are_kept_refused_and_passed_on(site: Site) -> None:
    first = site.claim({"v1": [K[0]], "v2": [K[1]]})
    assert first["changed"] and first["claimed"] == sorted([K[0], K[1]]) and first["moved"] == []
    assert site.claim({"v1": [K[0]], "v2": [K[1]]})["changed"] is False
    before = site.record.read_bytes()
    refused = site.claim({"v2": [K[0], K[2]]})
    assert refused["failed"] and f"{K[0]} belongs to v1" in refused["msg"] and site.record.read_bytes() == before
    assert "two" not in refused["msg"] and site.claim({"v1": [K[5]], "v2": [K[5]]})["failed"]
    moved = site.claim({"v2": [K[0]]}, released=[{"key": K[0], "client": "v1"}])
    assert moved["moved"] == [K[0]] and moved["record"]["keys"][K[0]]["client"] == "v2"
    assert site.claim({"v1": [K[0]]})["failed"], "a release counts for the client it names"
    assert site.claim({"v1": [K[0]]}, released=[{"key": K[0], "client": "v1"}])["failed"]
    assert site.claim({"v1": [K[0]]}, reassign=[K[0].upper().replace("0X", "0x")])["moved"] == [K[0]]
    assert not site.guard("v1").get("failed") and site.guard("v2")["failed"]


def test_an_older_copy_of_the_record_does_not_bring_an_old_claim_back(site: Site) -> None:
    old = site.claim({"v1": [K[0]]})["record"]
    site.claim({"v2": [K[0]]}, reassign=[K[0]])
    site.witness.write_text(json.dumps(old))
    assert not site.guard("v2", records=[old]).get("failed")
    assert _record.read_record(str(site.witness)).keys[K[0]].client == "v2"


def test_tombstones_release_a_claim_also_those_of_clients_that_are_gone(site: Site) -> None:
    site.claim({"v1": [K[0], K[1]]})
    wallet = site.data / "wallet-v1"
    wallet.mkdir()
    stones = _manifest.render_tombstones([_manifest.Tombstone(K[0], "2026-11-28", "moved")])
    (wallet / _manifest.TOMBSTONES).write_bytes(stones)
    assert site.claim({"v2": [K[0]]})["failed"]
    assert site.claim({"v2": [K[0]]}, check=True, tombstones=[{"path": str(wallet), "client": "v1"}])["moved"]
    file = str(wallet / _manifest.TOMBSTONES)
    assert site.claim({"v2": [K[0]]}, check=True, tombstones=[{"path": file}])["moved"]
    assert site.claim({"v2": [K[0]]}, tombstones=[{"path": file, "client": "v3"}])["failed"]
    assert site.claim({"v2": [K[1]]}, data_root=str(site.data))["failed"]
    assert site.claim({"v1": [], "v2": [K[0]]}, data_root=str(site.data))["failed"], "it is declared: named, or not"
    assert site.claim({"v2": [K[0]]}, data_root=str(site.data))["moved"] == [K[0]]
    (wallet / _manifest.TOMBSTONES).write_text("[]")
    site.claim({"v1": [K[2]]})
    assert "not a list of tombstones" in site.claim({"v2": [K[2]]}, data_root=str(site.data))["msg"]


def test_a_running_client_without_its_database_is_refused_before_anything_is_written(site: Site) -> None:
    """Keys 2: the data directory is empty while the cluster runs both clients."""
    params = {"live": {"v1": [K[0]]}, "data_dirs": {"v1": str(site.data / "v1")}}
    refused = site.claim({"v1": [K[0]]}, **params)
    assert "data disk is not mounted" in refused["msg"] and list(site.data.iterdir()) == []
    site.write("v1", 3, 5)
    assert not site.claim({"v1": [K[0]]}, **params).get("failed")


def test_a_claim_makes_no_record_where_the_witness_says_that_it_is_lost(site: Site) -> None:
    site.claim({"v1": [K[0]]})
    site.record.unlink()
    assert site.claim({"v2": [K[0]]})["failed"]
    assert not site.claim({"v1": [K[0], K[1]]}).get("failed") and not site.record.exists()
    assert site.claim({"v2": [K[1]]})["failed"]


def test_the_network_of_the_record_stays(site: Site) -> None:
    write_database(site.data / "v1", {K[0]: ([], [(1, 2, R1)])})
    assert site.guard()["genesis_validators_root"] == ROOT_A


@pytest.mark.parametrize("module", [slashing_protection_guard, validator_key_claim])
def test_options_and_documentation_are_the_same(module: t.Any, site: Site) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)
    result = run_module(module)
    missing = result["msg"].rsplit(": ", 1)[-1].split(", ")
    assert sorted(missing) == sorted(name for name, spec in documented["options"].items() if spec.get("required"))
    given = {"record": "/x", "clients": [], "claims": {}}
    given = {name: value for name, value in given.items() if name in documented["options"]}
    known = run_module(module, nonsense=1, **given)["msg"].split("Supported parameters include: ")[-1]
    assert set(known.rstrip(".").split(", ")) == set(documented["options"])
    for task in yaml.safe_load(module.EXAMPLES):
        assert set(task[f"eth2xk8s.staking.{documented['module']}"]) <= set(documented["options"])
    assert yaml.safe_load(module.RETURN)


def test_directories_are_bound_before_anything_is_judged(site: Site) -> None:
    wallet = site.data / "wallet-v1"
    wallet.mkdir()
    (site.data / "v1").mkdir()
    own: dict[str, t.Any] = {"wallet_dir": str(wallet), "bind": {}}
    foreseen = site.guard(check=True, **own)
    assert foreseen["changed"] and foreseen["identities"] == {} and list(wallet.iterdir()) == []
    first = site.guard(**own)
    assert first["changed"] and list(first["identities"]) == ["v1"]
    again = site.guard(installed=first["identities"]["v1"], **own)
    assert again["identities"] == first["identities"] and not again["changed"]
    assert "identities" not in site.guard(wallet_dir=str(wallet))

    (site.data / "v1/.validator-id").unlink()  # the disk is not mounted
    site.record.unlink()
    lost = site.guard(**own)
    assert (
        lost["failed"] and lost["msg"].startswith("Slashing risk: v1: ") and "Is the data disk mounted" in lost["msg"]
    )
    assert not site.record.exists(), "nothing was judged or raised"
    adopted = site.guard(**{**own, "bind": {"adopt": ["v1"]}})
    assert adopted["identities"] == first["identities"]


def test_an_identity_that_cannot_be_written_is_no_slashing_risk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_options: object) -> t.NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device", ".validator-id")

    for name in ("v1", "wallet-v1"):
        (site.data / name).mkdir()
    monkeypatch.setattr(_identity, "write", full)
    said = site.guard(wallet_dir=str(site.data / "wallet-v1"), bind={})
    assert said["failed"]
    assert said["msg"] == "An identity cannot be written: .validator-id: No space left on device"


def test_it_says_who_waits_and_which_notes_are_there(site: Site) -> None:
    site.write("v1", 4, 10)
    starts = site.data / ".history/first-starts.json"
    starts.parent.mkdir()
    start = {"status": "active_ongoing", "slot": 1, "because": "x", "epoch": 1, "not_before": 1 << 40}
    starts.write_text(json.dumps({"version": 1, "keys": {K[0]: start}}))
    hold, gone = str(site.data / "v1/validator.db"), str(site.data / "v1/.gone")
    result = site.guard(first_starts=str(starts), notes=[hold, gone])
    assert list(result["wait"]) == ["v1"] and result["there"] == [hold]
    assert (site.guard()["wait"], site.guard()["there"]) == ({}, [])
    starts.write_text("{")
    assert site.guard(first_starts=str(starts))["failed"]


def test_nothing_starts_once_the_run_lock_is_another_run_s(site: Site) -> None:
    """A controller that slept while another took over does not start on what it knew before."""
    site.write("v1", 4, 10)
    (site.data / "wallet-v1").mkdir()
    lock = site.base / "run.json"
    mine = _controller.describe(os.getpid(), "site", "ansible-playbook site.yml")
    asked = {"wallet_dir": str(site.data / "wallet-v1"), "bind": {}}
    asked["run_lock"] = {"path": str(lock), "run": mine["id"]}

    gone = site.guard(**asked)
    assert gone["failed"] and f"{lock} was removed" in gone["msg"]
    _site_run.take(str(lock), {**mine, "id": "b" * 12, "user": "else"})
    taken = site.guard(**asked)
    assert taken["failed"] and "else on " in taken["msg"] and "took it over" in taken["msg"]
    assert not site.record.exists() and not (site.data / "v1/.validator-id").exists(), "nothing was written"
    assert not site.guard(check=True, **asked).get("failed"), "check mode has no lock"

    _site_run.take(str(lock), mine, over="b" * 12)
    assert site.guard(**asked)["added"] == [K[0]]
    lock.write_text("{")
    assert "is not" in site.guard(**asked)["msg"]
