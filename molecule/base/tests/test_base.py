"""What the role promises of every machine."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

testinfra_hosts = ["ansible://microk8s"]
ADDRESSES = {"nfs": "172.20.10.10", "master": "172.20.10.11", "worker": "172.20.10.12"}


def test_every_machine_finds_every_other_and_itself(host: t.Any) -> None:
    for name, address in ADDRESSES.items():
        found = {line.split()[0] for line in host.check_output(f"getent ahostsv4 {name}").splitlines()}
        assert address in found
        assert host.check_output(f"getent hosts {name}").split()[0] == address


def test_no_timer_may_restart_the_machine(host: t.Any) -> None:
    merged = host.check_output("apt-config dump Unattended-Upgrade")
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in merged
    assert 'APT::Periodic::Unattended-Upgrade "1";' in host.check_output("apt-config dump APT::Periodic")


def test_nothing_is_half_installed_and_nothing_is_left_to_upgrade(host: t.Any) -> None:
    assert host.check_output("dpkg --audit") == ""
    assert "0 upgraded" in host.check_output("apt-get --simulate dist-upgrade")


def test_logs_of_all_machines_are_in_one_time_zone(host: t.Any) -> None:
    assert host.check_output("timedatectl show --property=Timezone --value") == "Etc/UTC"


def test_the_interrupted_package_is_installed_and_the_held_one_still_held(host: t.Any) -> None:
    if host.check_output("hostname") != "worker":
        pytest.skip("planted on the worker")
    assert host.check_output("dpkg-query -W -f='${db:Status-Abbrev}' hello").startswith("ii")
    assert host.check_output("apt-mark showhold") == "curl"


def test_a_machine_that_asked_for_a_restart_got_one(host: t.Any) -> None:
    assert host.check_output("cat /proc/sys/kernel/random/boot_id") != host.check_output("cat /var/tmp/boot-that-asked")
    assert not host.file("/run/reboot-required").exists


def test_machines_were_restarted_one_after_the_other() -> None:
    notes = (Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "restarts").read_text().split("\n")[:-1]
    machines = [note.split()[1] for note in notes[::2]]  # in whatever order
    assert sorted(machines) == ["master", "worker"]
    assert notes == [f"{way} {machine}" for machine in machines for way in ("down", "up")]
