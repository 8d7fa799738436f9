"""The only source of now. Tests move it; nothing else reads the system's clock for dates."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

SKEW: Final = timedelta(minutes=5)
"""What the clocks of two machines may differ by."""
_now: Callable[[], datetime] | None = None


def now() -> datetime:
    """Aware UTC time."""
    return _now() if _now is not None else datetime.now(UTC)


def unix_ms() -> int:
    """Milliseconds since the epoch, of `now()`."""
    return int(now().timestamp() * 1000) if _now is not None else time.time_ns() // 1_000_000


def install(source: Callable[[], datetime] | None) -> None:
    """Replace the clock (tests), or give the system's back with None."""
    global _now
    _now = source
