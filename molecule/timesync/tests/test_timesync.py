"""What the role promises of every clock, asked of chronyd and of the kernel."""

from __future__ import annotations

import time
import typing as t

testinfra_hosts = ["ansible://site"]


def tracking(host: t.Any) -> list[str]:
    return host.check_output("chronyc -c -n tracking").split(",")


def test_the_clock_is_right(host: t.Any) -> None:
    fields = tracking(host)
    assert fields[13] == "Normal"
    assert abs(float(fields[4])) < 0.5
    assert abs(float(host.check_output("date +%s.%N")) - time.time()) < 5


def test_several_sources_are_asked_every_few_seconds(host: t.Any) -> None:
    sources = [line.split(",") for line in host.check_output("chronyc -c -n sources").splitlines()]
    assert len(sources) >= 2
    assert {source[4] for source in sources} <= {"1", "2"}


def test_no_other_time_service_runs(host: t.Any) -> None:
    for unit in ("systemd-timesyncd", "ntp", "ntpsec", "openntpd"):
        assert host.run(f"systemctl is-active {unit}").stdout.strip() != "active"


def test_nobody_is_given_the_time(host: t.Any) -> None:
    assert not host.socket("udp://0.0.0.0:123").is_listening


def test_a_clock_that_was_right_is_never_moved_far(host: t.Any) -> None:
    """Four hours, as in the incident that slashed thousands: chronyd sees it, and leaves the clock alone."""
    host.check_output("date --set='+4 hours'")
    try:
        time.sleep(20)
        ahead = float(host.check_output("date +%s.%N")) - time.time()
        assert ahead > 14000
        info = host.ansible("eth2xk8s.staking.clock_info", check=False)
        assert any("s ahead" in problem for problem in info["problems"]), info
        # A person decides, and says so by a restart.
        host.check_output("systemctl restart chrony")
        time.sleep(20)
        assert abs(float(host.check_output("date +%s.%N")) - time.time()) < 5
    finally:
        if abs(float(host.check_output("date +%s.%N")) - time.time()) > 5:
            host.check_output(f"date --set=@{time.time()}")
