"""Duties and beacon health as real Prysm shows them: keys of every status, heads that stand still, pods that end."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import NotYet, describe
from ansible_collections.eth2xk8s.staking.plugins.modules import beacon_health, validator_duties

KEYS = ["0x" + f"{n:02x}" * 48 for n in range(1, 5)]
STATUSES = {"UNKNOWN": 0, "DEPOSITED": 1, "PENDING": 2, "ACTIVE": 3, "EXITING": 4, "SLASHING": 5, "EXITED": 6}
STATUSES["PARTIALLY_DEPOSITED"] = 8


def pod(name: str, uid: str = "u1", **container: t.Any) -> dict[str, t.Any]:
    entry = {"name": "main", "ready": True, "started": True, "restartCount": 0, "state": {"running": {}}, **container}
    ready = "True" if entry["ready"] else "False"
    return {
        "metadata": {"name": name, "uid": uid},
        "spec": {"nodeName": "worker", "containers": [{"image": "registry/prysm:v7.1.6"}]},
        "status": {"containerStatuses": [entry], "conditions": [{"type": "Ready", "status": ready}]},
    }


def crashed(name: str, restarts: int, message: str, code: int = 1, lasted: int = 2) -> dict[str, t.Any]:
    last = {
        "terminated": {
            "exitCode": code,
            "message": message,
            "startedAt": "2026-11-28T16:00:00Z",
            "finishedAt": f"2026-11-28T16:{lasted // 60:02d}:{lasted % 60:02d}Z",
        }
    }
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    return pod(name, ready=False, started=False, restartCount=restarts, state=waiting, lastState=last)


class Site:
    """A cluster with a beacon node at slot 100 and a client, look after look; the last one stays."""

    def __init__(self, *looks: dict[str, t.Any]) -> None:
        self.looks = list(looks)
        self.now: dict[str, t.Any] = {}

    def pods(self, namespace: str, selector: str = "") -> list[t.Any]:
        return [describe(item) for item in self.now.get("pods", [pod("beacon-0"), pod("validator1-0")])]

    def pod(self, namespace: str, name: str) -> t.Any:
        return next((one for one in self.pods(namespace) if one.name == name), None)

    def items(self, path: str) -> list[dict[str, t.Any]]:
        raise NotYet(f"{path}: 503 Service Unavailable")

    def step(self) -> None:
        self.now = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def proxy(self, namespace: str, name: str, port: int, path: str) -> str:
        if (name, path) == ("beacon-0", "/eth/v1/node/syncing") and "head" in self.now:
            return json.dumps({"data": {"head_slot": str(self.now["head"]), "is_syncing": False}})
        raise NotYet(f"{path}: 404 Not Found")

    def metrics(self, namespace: str, name: str, port: int) -> str:
        if name == "beacon-0":
            return 'prysm_version{version="v7.1.6"} 1\nbeacon_head_slot 100\nbeacon_clock_time_slot 0'
        lines = ['prysm_version{version="v7.1.6"} 1']
        for number, (key, (status, slot)) in enumerate(self.now["keys"].items()):
            if status in ("UNKNOWN", "DEPOSITED", "PARTIALLY_DEPOSITED"):
                lines.append(f'validator_statuses{{index="0xffffffffffffffff",pubkey="{key}"}} {STATUSES[status]}')
            else:
                # Real Prysm keeps the sample of before the activation.
                lines.append(f'validator_statuses{{index="0xffffffffffffffff",pubkey="{key}"}} 0')
                lines.append(f'validator_statuses{{index="{number:#x}",pubkey="{key}"}} {STATUSES[status]}')
            if slot:
                lines.append(f'validator_last_attested_slot{{pubkey="{key}"}} {slot}')
        return "\n".join(lines)


Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(module: t.Any, site: Site, **params: t.Any) -> dict[str, t.Any]:
        site.step()
        monkeypatch.setattr(module, "Cluster", lambda *_: site)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            assert len(slept) < 50, "it waits for ever"
            site.step()

        monkeypatch.setattr(module.time, "sleep", sleep)
        given = {
            "genesis_time": int(time.time()) - 100 * 12 - 3,
            "seconds_per_slot": 12,
            "slots_per_epoch": 8,
            "version": "v7.1.6",
            "timeout": 3600,
            "interval": 0,
            **params,
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


def prove(run: Run, site: Site, keys: t.Sequence[str] = KEYS, **params: t.Any) -> dict[str, t.Any]:
    return run(validator_duties, site, clients=[{"name": "validator1", "pubkeys": list(keys)}], **params)


def keys(*of: tuple[str, int]) -> dict[str, tuple[str, int]]:
    return dict(zip(KEYS, of, strict=False))


def test_a_key_activated_while_its_client_ran_is_active(run: Run) -> None:
    assert prove(run, Site({"keys": keys(("ACTIVE", 95)), "head": 100}), KEYS[:1])["proved"] is True


@pytest.mark.parametrize("over", ["EXITED", "SLASHING"])
def test_keys_whose_duties_are_over_are_reported_and_block_no_other(run: Run, over: str) -> None:
    result = prove(run, Site({"keys": keys(("ACTIVE", 95), (over, 0)), "head": 100}), KEYS[:2])
    assert result["proved"] is True
    assert list(result["finished"]) == [KEYS[1]]
    assert list(result["clients"]["validator1"]["finished"]) == [KEYS[1]]
    assert over in result["finished"][KEYS[1]]


def test_an_exiting_key_is_proved_like_an_active_one(run: Run) -> None:
    assert prove(run, Site({"keys": keys(("EXITING", 95)), "head": 100}), KEYS[:1])["proved"] is True
    result = prove(run, Site({"keys": keys(("EXITING", 0)), "head": 100}), KEYS[:1], timeout=0)
    assert "no attestation yet" in result["msg"]


@pytest.mark.parametrize("status", ["UNKNOWN", "DEPOSITED", "PENDING", "PARTIALLY_DEPOSITED"])
def test_a_key_that_waits_is_accepted_by_name_and_said_to_wait(run: Run, status: str) -> None:
    site = {"keys": keys(("ACTIVE", 95), (status, 0)), "head": 100}
    refused = prove(run, Site(site), KEYS[:2], timeout=0)
    assert refused["failed"] and status in refused["msg"]
    assert "prysm_helm_accept_pending=true" in refused["msg"] and "prysm_helm_accept_pending_keys" in refused["msg"]
    assert list(refused["waiting"]) == [KEYS[1]]
    for accept in ({"accept_pending": True}, {"accept_pending_keys": [KEYS[1].upper().replace("0X", "0x")]}):
        result = prove(run, Site(site), KEYS[:2], **accept)
        assert result["proved"] is True
        assert status in result["waiting"][KEYS[1]]
    other = prove(run, Site(site), KEYS[:2], timeout=0, accept_pending_keys=[KEYS[0]])
    assert other["failed"], "of another key nothing was said"


def test_a_key_that_becomes_active_is_waited_for(run: Run) -> None:
    site = Site(*({"keys": keys((status, slot)), "head": 100} for status, slot in (("PENDING", 0), ("ACTIVE", 100))))
    assert prove(run, site, KEYS[:1])["proved"] is True


def test_accepting_keys_that_wait_excuses_no_active_one(run: Run) -> None:
    result = prove(run, Site({"keys": keys(("ACTIVE", 0)), "head": 100}), KEYS[:1], accept_pending=True, timeout=0)
    assert "no attestation yet" in result["msg"]
    assert "accept_pending" not in result["msg"]


def test_attestations_to_a_head_that_stands_still_prove_nothing(run: Run) -> None:
    """A dead execution client: Ready, not syncing, keys attest to the old head."""
    result = prove(run, Site({"keys": keys(("ACTIVE", 99)), "head": 82}), KEYS[:1], timeout=0)
    assert result["failed"]
    assert "beacon: the head is at slot 82, the clock is at 100: check the execution client" in result["msg"]
    assert result["msg"].count("execution client") == 1
    assert (result["slot"], result["head_slot"]) == (100, 82)


def test_without_the_clock_only_an_advance_counts(run: Run) -> None:
    looks = [{"keys": keys(("ACTIVE", 99)), "head": 100}] * 3 + [{"keys": keys(("ACTIVE", 100)), "head": 101}]
    result = prove(run, Site(*looks), KEYS[:1], genesis_time=0)
    assert (result["proved"], result["slot"]) == (True, None)
    stands = prove(run, Site({"keys": keys(("ACTIVE", 99)), "head": 100}), KEYS[:1], genesis_time=0, timeout=0)
    assert "the chain's clock cannot be read" in stands["msg"]


PANIC = (
    "goroutine 1 [running]:\n\x1b[31mpanic: runtime error: invalid memory address\x1b[0m\nmain.main()\n\tmain.go:1\n"
)
FATAL = (
    "\x1b[90m[2026-11-28 16:16:{0}]\x1b[0m \x1b[31mFATAL\x1b[0m main: unable to start beacon node: could not "
    "initialize genesis state: new genesis data: genesis state has not been initialized\n"
)


def beacon(run: Run, site: Site, **params: t.Any) -> dict[str, t.Any]:
    return run(beacon_health, site, **params)


def test_a_beacon_that_keeps_ending_ends_the_wait_with_its_last_words(run: Run) -> None:
    site = Site({"pods": [crashed("beacon-0", 3, FATAL.format("13.71"))]})
    result = beacon(run, site)
    assert result["failed"] and result["hopeless"]
    assert "genesis state has not been initialized" in result["msg"]
    assert "\x1b" not in result["msg"]


def test_a_beacon_that_ends_twice_with_the_same_words_ends_the_wait(run: Run) -> None:
    looks = [{"pods": [crashed("beacon-0", n, FATAL.format(f"{n}.{n}{n}"))]} for n in (0, 0, 1)]
    assert "genesis state" in beacon(run, Site(*looks))["msg"]


def test_a_beacon_that_ends_once_is_given_time(run: Run) -> None:
    looks: list[dict[str, t.Any]] = [{"pods": [crashed("beacon-0", 1, FATAL.format("1"))]}] * 5
    assert beacon(run, Site(*looks, {"pods": [pod("beacon-0", restartCount=2)], "head": 100}))["ready"] is True


def test_a_first_crash_after_a_long_run_is_given_time_whatever_the_count(run: Run) -> None:
    looks: list[dict[str, t.Any]] = [{"pods": [crashed("beacon-0", 9, PANIC, 2, lasted=900)]}] * 3
    assert beacon(run, Site(*looks, {"pods": [pod("beacon-0", restartCount=10)], "head": 100}))["ready"] is True


@pytest.mark.parametrize("restarts", [3, 7])
def test_a_client_that_keeps_ending_ends_the_wait_for_the_beacon_and_for_duties(run: Run, restarts: int) -> None:
    looks = {"pods": [pod("beacon-0", ready=False), crashed("validator1-0", restarts, PANIC, 2)], "head": 100}
    result = beacon(run, Site(looks), clients=["validator1"])
    assert "validator1: main keeps ending (exit code 2): panic: runtime error" in result["msg"]
    result = prove(run, Site(looks), KEYS[:1])
    assert "validator1: main keeps ending (exit code 2): panic: runtime error" in result["msg"]


def test_a_refusal_in_the_main_container_is_not_waited_for(run: Run) -> None:
    words = "guard: REFUSED: validator.db is older than the one that was here"
    looks = {"pods": [pod("beacon-0"), crashed("validator1-0", 0, words)], "head": 100}
    result = prove(run, Site(looks), KEYS[:1])
    assert "validator1: REFUSED: validator.db is older" in result["msg"]


def test_a_beacon_is_healthy_only_while_its_head_keeps_up(run: Run) -> None:
    site = {"pods": [pod("beacon-0")]}
    assert beacon(run, Site({**site, "head": 98}))["ready"] is True
    result = beacon(run, Site({**site, "head": 82}), timeout=0)
    assert "the head is at slot 82, the clock is at 100: check the execution client" in result["msg"]
    assert (result["slot"], result["head_slot"]) == (100, 82)


def test_a_beacon_that_is_not_ready_says_what_its_head_tells(run: Run) -> None:
    result = beacon(run, Site({"pods": [pod("beacon-0", ready=False)], "head": 3}), timeout=0)
    assert "not Ready" in result["msg"] and "slot 3" in result["msg"]


# ---- Two pods, of which one signs.


def a_standby(name: str, **container: t.Any) -> dict[str, t.Any]:
    return pod(name, f"uid-{name}", ready=False, started=False, **container)


def two(*pods: dict[str, t.Any], slot: int = 100) -> dict[str, t.Any]:
    return {"pods": [pod("beacon-0"), *pods], "head": 100, "keys": {KEYS[0]: ("ACTIVE", slot)}}


@pytest.mark.parametrize("signer", ["validator1-0", "validator1-1"])
def test_whichever_of_two_pods_signs_is_proved(run: Run, signer: str) -> None:
    other = "validator1-0" if signer.endswith("1") else "validator1-1"
    waits = a_standby(other)
    waits["spec"]["nodeName"] = "worker2"
    done = prove(run, Site(two(pod(signer), waits)), KEYS[:1])
    assert done["proved"] is True
    assert (done["clients"]["validator1"]["node"], done["clients"]["validator1"]["standby"]) == ("worker", "worker2")


def test_a_pod_that_is_being_deleted_does_not_sign_for_its_client(run: Run) -> None:
    going = pod("validator1-0", "old")
    going["metadata"]["deletionTimestamp"] = "2026-11-28T16:00:00Z"
    site = Site(two(going, a_standby("validator1-1")), two(going, pod("validator1-1", "new")))
    assert prove(run, site, KEYS[:1])["proved"] is True
    assert prove(run, Site(two(going, a_standby("validator1-1"))), KEYS[:1], wait=False)["proved"] is False


def test_two_that_have_both_started_are_no_proof(run: Run) -> None:
    both = two(pod("validator1-0"), pod("validator1-1", "u2"))
    done = prove(run, Site(both), KEYS[:1], wait=False)
    assert done["proved"] is False
    assert "validator1-0 and validator1-1 have both started" in done["clients"]["validator1"]["problem"]
    assert prove(run, Site(both, two(pod("validator1-0"), a_standby("validator1-1"))), KEYS[:1])["proved"] is True


def test_of_a_node_that_is_not_heard_of_the_pod_is_started_for_ever(run: Run) -> None:
    """Until it is back: the other one is Ready, and is asked. Nobody waits."""
    dead = pod("validator1-0", ready=False)
    dead["status"]["containerStatuses"][0].update(started=True, ready=True)
    signs = pod("validator1-1", "u2")
    signs["spec"]["nodeName"] = "worker2"
    done = prove(run, Site(two(dead, signs)), KEYS[:1])
    assert done["proved"] is True
    assert (done["clients"]["validator1"]["node"], done["clients"]["validator1"]["standby"]) == ("worker2", "")


def test_one_that_cannot_start_is_hopeless_only_when_the_other_is(run: Run) -> None:
    refused = a_standby(
        "validator1-0",
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        lastState={"terminated": {"message": "guard: REFUSED: it is an older copy"}},
    )
    assert prove(run, Site(two(refused, a_standby("validator1-1")), two(refused, pod("validator1-1"))), KEYS[:1])[
        "proved"
    ]
    done = prove(run, Site(two(refused)), KEYS[:1])
    assert done["failed"] and "older copy" in done["msg"]


def test_the_pod_of_a_client_with_a_longer_name_is_not_its_own(run: Run) -> None:
    done = prove(run, Site(two(pod("validator1-extra-0"), pod("validator10-0"))), KEYS[:1], wait=False)
    assert done["clients"]["validator1"]["problem"] == "there is no pod validator1-0"
