"""The modules that ask execution clients and providers: all sentences at once, and no secret in what they return."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.eth2xk8s.staking.plugins.modules import (
    checkpoint_provider_info,
    machine_info,
)
from tests.unit.plugins.upstream_support import ROOT, SECRET, Execution, Provider, closed, serve

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(module: t.Any, **params: t.Any) -> dict[str, t.Any]:
        with patch_module_args(params), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_every_endpoint_has_its_sentence(run: Run) -> None:
    syncing = {"currentBlock": "0x1", "highestBlock": "0xa"}
    with serve(Execution()) as good, serve(Execution(chain=1)) as other, serve(Execution(syncing=syncing)) as late:
        urls = [good, other, closed(), late]
        params = {"endpoints": urls, "secret": SECRET, "chain_id": 560048}
        whole = run(machine_info, execution=params)
        result = whole["execution"]
        assert [one["kind"] for one in result["endpoints"]] == ["", "chain", "dead", "syncing"]
        assert [one.split()[3] for one in result["problems"]] == urls[1:]
        assert result["notes"] == []
        may = run(machine_info, execution={**params, "may_sync": True})["execution"]
    assert len(may["problems"]) == 2
    assert "still syncing" in may["notes"][0]
    assert whole["invocation"]["module_args"]["execution"]["chain_id"] == 560048
    assert SECRET not in json.dumps(whole)


def ask(run: Run, *urls: str, **params: t.Any) -> dict[str, t.Any]:
    given = {"network": "hoodi", "genesis_validators_root": ROOT, "timeout": 5, "compare_timeout": 0, **params}
    return run(checkpoint_provider_info, urls=list(urls), **given)


def test_no_provider_at_all_is_a_problem(run: Run) -> None:
    assert "cannot begin on hoodi" in ask(run)["problems"][0]
    assert "would sync for weeks" in ask(run, network="mainnet")["problems"][0]


def test_every_provider_has_its_sentence(run: Run) -> None:
    with serve(Provider()) as good, serve(Provider(root="0x" + "4b" * 32)) as other:
        result = ask(run, good, closed(), other)
    assert ["connection refused" in result["problems"][0], "another network" in result["problems"][1]] == [True, True]
    assert len(result["problems"]) == 2
    assert [bool(one["problem"]) for one in result["providers"]] == [False, True, True]


@pytest.mark.parametrize(("fork", "problems"), [("", 0), ("other", 1)])
def test_several_have_to_agree(run: Run, fork: str, problems: int) -> None:
    first, second, third = Provider(), Provider(epoch=97, fork=fork), Provider()
    first.genesis = second.genesis = third.genesis
    with serve(first) as one, serve(second) as two, serve(third) as three:
        result = ask(run, one, two, three)
    assert len(result["problems"]) == problems
    assert all("disagree" in words for words in result["problems"])


def test_the_genesis_state_is_asked_for_where_it_is_needed(run: Run) -> None:
    with serve(Provider(status={"/states/genesis": (404, {})})) as url:
        assert ask(run, url)["problems"] == []
        assert "has no genesis state" in ask(run, url, genesis_state_from=url)["problems"][0]
    dead = closed()
    assert len(ask(run, dead, genesis_state_from=dead)["problems"]) == 1, "one sentence is enough"


def test_what_cannot_be_judged_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ansible_collections.eth2xk8s.staking.plugins.module_utils.files._http.has_authorities", lambda: False
    )
    result = ask(run, "https://a.invalid", genesis_state_from="https://a.invalid")
    assert result["problems"] == []
    assert "before ca-certificates is installed" in result["unjudged"][0]


def test_how_a_database_has_begun_or_why_it_cannot_be_read(run: Run, tmp_path: t.Any) -> None:
    assert run(machine_info, beacon_database=str(tmp_path))["beacon_database"] == {"begun": "none"}
    (tmp_path / "beaconchaindata").mkdir()
    (tmp_path / "beaconchaindata/beaconchain.db").write_text("no")
    said = run(machine_info, beacon_database=str(tmp_path))["beacon_database"]
    assert list(said) == ["msg"]
    assert "cannot be read" in said["msg"]


def test_the_ports_of_this_machine(run: Run) -> None:
    assert run(machine_info, ports=["1/tcp"])["taken"] == []
