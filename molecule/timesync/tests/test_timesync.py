"""What the role promises of every clock, asked of chronyd and of the kernel."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable

testinfra_hosts = ["ansible://worker"]


def tracking(host: t.Any) -> list[str]:
    return host.check_output("chronyc -c -n tracking").split(",")


def ahead(host: t.Any) -> float:
    """Seconds the machine's clock is ahead of this one, give or take the way there."""
    return float(host.check_output("date +%s.%N")) - time.time()


def soon(true: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether something becomes true before long."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def test_the_clock_is_right(host: t.Any) -> None:
    fields = tracking(host)
    assert fields[13] == "Normal"
    assert abs(float(fields[4])) < 0.5
    assert abs(ahead(host)) < 5


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
        seen: dict[str, t.Any] = {}

        def noticed() -> bool:
            seen.update(host.ansible("eth2xk8s.staking.clock_info", check=False))
            return any("s ahead" in problem for problem in seen["problems"])

        assert soon(noticed), seen
        # Several more measurements, each of which could have stepped it: makestep knows no limit.
        time.sleep(8)
        assert ahead(host) > 14000
        # A person decides, and says so by a restart.
        host.check_output("systemctl restart chrony")
        assert soon(lambda: abs(ahead(host)) < 5)
    finally:
        if abs(ahead(host)) > 5:
            host.check_output(f"date --set=@{time.time()}")
