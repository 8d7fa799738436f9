import pytest

from governance.errors import ConfigurationError
from router.gateway.breaker import Breaker, BreakerSettings, State

HOST = ("p", "h")


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker(**settings: float) -> tuple[Breaker, Time]:
    time = Time()
    return Breaker(BreakerSettings(failures_max=3, window_s=10, cooldown_s=5, **settings), time), time  # type: ignore[arg-type]


def fail(b: Breaker, times: int) -> None:
    for _ in range(times):
        assert b.allow(*HOST)
        b.failed(*HOST)


def test_opens_after_failures_in_a_row_and_only_for_that_host() -> None:
    b, _ = breaker()
    fail(b, 2)
    assert b.state(*HOST) is State.CLOSED
    fail(b, 1)
    assert b.state(*HOST) is State.OPEN
    assert not b.allow(*HOST)
    assert b.allow("p", "other")
    assert b.allow("other", "h")


def test_success_in_between_starts_over() -> None:
    b, _ = breaker()
    fail(b, 2)
    b.succeeded(*HOST)
    fail(b, 2)
    assert b.state(*HOST) is State.CLOSED


def test_failures_far_apart_do_not_open() -> None:
    b, time = breaker()
    for _ in range(5):
        fail(b, 1)
        time.now += 11
    assert b.state(*HOST) is State.CLOSED


def test_one_probe_after_cooldown_then_closed_again() -> None:
    b, time = breaker()
    fail(b, 3)
    time.now = 5
    assert b.state(*HOST) is State.HALF_OPEN
    assert [b.allow(*HOST) for _ in range(3)] == [True, False, False]
    b.succeeded(*HOST)
    assert [b.allow(*HOST) for _ in range(3)] == [True, True, True]


def test_failed_probe_opens_for_another_cooldown() -> None:
    b, time = breaker()
    fail(b, 3)
    time.now = 5
    assert b.allow(*HOST)
    b.failed(*HOST)
    time.now = 9.9
    assert not b.allow(*HOST)
    time.now = 10
    assert b.allow(*HOST)


def test_straggler_does_not_prolong_the_opening() -> None:
    b, time = breaker()
    fail(b, 3)
    time.now = 4
    b.failed(*HOST)
    time.now = 5
    assert b.allow(*HOST)


@pytest.mark.parametrize("abandons", [True, False])
def test_vanished_probe_does_not_block_for_ever(abandons: bool) -> None:
    b, time = breaker()
    fail(b, 3)
    time.now = 5
    assert b.allow(*HOST)
    if abandons:
        b.abandoned(*HOST)
    else:
        assert not b.allow(*HOST)
        time.now = 10
    assert b.allow(*HOST)


def test_off_lets_everything_through() -> None:
    b, _ = breaker(enabled=False)
    fail(b, 20)
    assert b.state(*HOST) is State.CLOSED


@pytest.mark.parametrize("bad", [{"failures_max": 0}, {"window_s": 0}, {"cooldown_s": -1}])
def test_settings_that_cannot_work_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        BreakerSettings(**bad)  # type: ignore[arg-type]
