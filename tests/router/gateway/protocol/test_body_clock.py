"""Whose time is charged to a slow body."""

from router.gateway.protocol.body_clock import BodyClock
from router.gateway.protocol.limits import Limits


def test_the_body_clock_runs_only_while_waited_for() -> None:
    clock = BodyClock(Limits(body_seconds_idle_max=5, body_window_seconds=10, body_bytes_per_second_min=10))
    clock.wait(0)
    assert not clock.late(4.9)
    assert clock.late(5)
    clock.got(1, 4)
    clock.pause(4)
    assert not clock.late(1000)
    clock.wait(1000)  # 4 s spent, 1 byte
    for second in range(1001, 1006):
        clock.got(1, second)
        assert not clock.late(second)
    clock.got(1, 1006)
    assert clock.late(1006)  # 10 s waited, 7 bytes came, 100 were due


def test_defaults_are_the_documented_numbers() -> None:
    limits = Limits()
    assert (limits.head_bytes_max, limits.headers_max, limits.head_seconds_max) == (32 << 10, 100, 10)
    assert (limits.body_bytes_max, limits.body_seconds_idle_max, limits.keepalive_seconds) == (32 << 20, 20, 75)
