"""What a release can do is asked of one table, however it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_features import prysm_features
from ansible_collections.eth2xk8s.staking.plugins.filter.prysm_network import prysm_network
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import Table

TABLE = str(Path(__file__).parents[4] / "roles/prysm_helm/files/eth2prysm/files/versions.yaml")


@pytest.mark.parametrize("version", ["v1.2.2", "v2.0.4", "v2.1.0-rc.1", "v2.1.0", "v3.0.0", "v7.1.6", "v7.3.1"])
def test_the_filter_and_the_module_say_the_same(version: str) -> None:
    features = prysm_features(TABLE, version)
    assert features == Table.read(TABLE).features(version)
    assert features["feeRecipient"] is features["checkpointSync"] is (version not in ("v1.2.2", "v2.0.4"))
    assert features["executionEndpoint"] is (version[1] in "37")


@pytest.mark.parametrize("version", ["latest", "v7.1", ""])
def test_what_is_no_release_is_said(version: str) -> None:
    with pytest.raises(AnsibleFilterError, match="is not a Prysm release tag"):
        prysm_features(TABLE, version)


def test_what_the_table_says_of_a_network() -> None:
    assert prysm_network(TABLE, "mainnet")["chainId"] == 1
    assert prysm_network(TABLE, "custom") == {}
    with pytest.raises(AnsibleFilterError, match="the version table gone cannot be read"):
        prysm_network("gone", "mainnet")
