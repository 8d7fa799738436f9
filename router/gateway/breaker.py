"""Circuit breaker per provider and host: stop asking an upstream that only fails, and try it again with one request.

closed --failures_max failures in a row within window_s--> open --cooldown_s--> half-open (one probe)
half-open --probe succeeds--> closed; --probe fails--> open; --probe never reports for cooldown_s--> another probe

Pure: no I/O, no task, time comes in. Each process has its own: a wrong guess costs one fallback, never a request.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from governance.errors import ConfigurationError


class State(StrEnum):
    """What `Breaker.state` reports, also as a metric's label."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """`enabled=False` lets everything through. Times in seconds. Raises `ConfigurationError` on values too small."""

    enabled: bool = True
    failures_max: int = 5
    window_s: float = 30.0
    cooldown_s: float = 15.0

    def __post_init__(self) -> None:
        if self.failures_max < 1:
            raise ConfigurationError("breaker failures_max must be at least 1")
        if self.window_s <= 0 or self.cooldown_s <= 0:
            raise ConfigurationError("breaker window_s and cooldown_s must be positive")


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    first_failure_at: float = 0.0
    open_until: float | None = None
    probe_until: float | None = None


class Breaker:
    """Ask `allow` before an attempt, then tell `succeeded`, `failed` or `abandoned`. Keys are (provider, host)."""

    def __init__(self, settings: BreakerSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._circuits: dict[tuple[str, str], _Circuit] = {}

    def allow(self, provider: str, host: str) -> bool:
        """False: skip to the next provider. True while half-open hands out the one probe."""
        circuit = self._circuits.get((provider, host))
        if circuit is None or circuit.open_until is None or not self._settings.enabled:
            return True
        now = self._now()
        if now < circuit.open_until or (circuit.probe_until is not None and now < circuit.probe_until):
            return False
        circuit.probe_until = now + self._settings.cooldown_s  # a probe whose caller vanished can't block for ever
        return True

    def succeeded(self, provider: str, host: str) -> None:
        """The upstream answered, be it with a 4xx: it is alive."""
        self._circuits.pop((provider, host), None)

    def failed(self, provider: str, host: str) -> None:
        """No connection, a timeout, a broken answer or a 5xx."""
        if not self._settings.enabled:
            return
        now = self._now()
        circuit = self._circuits.setdefault((provider, host), _Circuit())
        if circuit.open_until is not None:
            # A failed probe opens again; a straggler from before the opening changes nothing.
            if circuit.probe_until is not None:
                circuit.open_until, circuit.probe_until = now + self._settings.cooldown_s, None
            return
        if circuit.failures == 0 or now - circuit.first_failure_at > self._settings.window_s:
            circuit.failures, circuit.first_failure_at = 0, now
        circuit.failures += 1
        if circuit.failures >= self._settings.failures_max:
            circuit.open_until = now + self._settings.cooldown_s

    def abandoned(self, provider: str, host: str) -> None:
        """The caller left before the upstream showed either: hand the probe to the next."""
        circuit = self._circuits.get((provider, host))
        if circuit is not None:
            circuit.probe_until = None

    def state(self, provider: str, host: str) -> State:
        """For metrics and `doctor`."""
        circuit = self._circuits.get((provider, host))
        if circuit is None or circuit.open_until is None or not self._settings.enabled:
            return State.CLOSED
        return State.OPEN if self._now() < circuit.open_until else State.HALF_OPEN
