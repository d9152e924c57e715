"""A machine may be restarted only when nothing on it can sign: what counts as signing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.eth2xk8s.staking.plugins.modules.signing_process_info import signers


def process(proc: Path, pid: int, comm: str, *words: str) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "comm").write_text(comm + "\n")
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))


@pytest.mark.parametrize(
    ("comm", "words"),
    [
        pytest.param("validator", ["/app/cmd/validator/validator", "--accept-terms-of-use"], id="prysm"),
        pytest.param("main", ["/validator", "--datadir=/data"], id="renamed-thread"),
        pytest.param("image.binary", ["/app/image.binary", "--wallet-dir=/wallet"], id="another-name-with-a-wallet"),
    ],
)
def test_a_validator_is_found(tmp_path: Path, comm: str, words: list[str]) -> None:
    process(tmp_path, 1, "systemd", "/sbin/init")
    process(tmp_path, 77, comm, *words)
    assert [found["pid"] for found in signers(str(tmp_path), ["validator"])] == [77]


def test_others_are_not(tmp_path: Path) -> None:
    process(tmp_path, 1, "systemd", "/sbin/init")
    process(tmp_path, 2, "kthreadd")
    process(tmp_path, 9, "beacon-chain", "/app/cmd/beacon-chain/beacon-chain", "--datadir=/data/validator")
    (tmp_path / "sys").mkdir()
    assert signers(str(tmp_path), ["validator"]) == []


def test_a_process_that_cannot_be_read_counts_as_one(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "comm").mkdir()
    assert "cannot be read" in signers(str(tmp_path), ["validator"])[0]["reason"]


def test_a_process_that_has_just_gone_does_not(tmp_path: Path) -> None:
    (tmp_path / "6").mkdir()
    assert signers(str(tmp_path), ["validator"]) == []
