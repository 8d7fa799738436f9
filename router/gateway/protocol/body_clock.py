"""When a request's body is too slow. Pure: the time comes in."""

from router.gateway.protocol.limits import Limits


class BodyClock:
    """Says when a body is late. Runs only between `wait` and `pause`: the application's own pauses aren't charged."""

    __slots__ = ("_last_at", "_limits", "_spent", "_wait_at", "_window_bytes", "_window_spent")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._wait_at: float | None = None
        self._last_at = 0.0
        self._spent = 0.0
        self._window_spent = 0.0
        self._window_bytes = 0

    def wait(self, now: float) -> None:
        """The application began to wait."""
        self._wait_at = self._last_at = now

    def pause(self, now: float) -> None:
        """The application has what it waited for, or gave up."""
        if self._wait_at is not None:
            self._spent += now - self._wait_at
            self._wait_at = None

    def got(self, count: int, now: float) -> None:
        """`count` bytes came."""
        self._last_at = now
        self._window_bytes += count

    def late(self, now: float) -> bool:
        """Is a limit broken? To be asked from time to time."""
        if self._wait_at is None:
            return False
        limits = self._limits
        spent = self._spent + now - self._wait_at
        if now - self._last_at >= limits.body_seconds_idle_max or spent >= limits.body_seconds_max:
            return True
        window = spent - self._window_spent
        if window >= limits.body_window_seconds:
            if self._window_bytes < limits.body_bytes_per_second_min * window:
                return True
            self._window_spent, self._window_bytes = spent, 0
        return False
