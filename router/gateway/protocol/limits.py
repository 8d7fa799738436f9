"""What one connection may cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost. Sizes in bytes, times in seconds; all are settings.

    `head_seconds_max` runs from the connection's start, or from a later head's first byte. The body's times count
    only while the application waits for it: in each `body_window_seconds` at least `body_bytes_per_second_min` times
    that many bytes must come, never nothing for `body_seconds_idle_max`, and all of it within `body_seconds_max`.
    `write_seconds_stalled_max` cuts a client that doesn't read. `connections_max` is per process; beyond it 503.
    """

    head_bytes_max: int = 32 * 1024
    target_bytes_max: int = 8 * 1024
    headers_max: int = 100
    head_seconds_max: float = 10.0
    body_bytes_max: int = 32 * 1024 * 1024
    body_seconds_idle_max: float = 20.0
    body_bytes_per_second_min: int = 100
    body_window_seconds: float = 10.0
    body_seconds_max: float = 600.0
    keepalive_seconds: float = 75.0
    write_seconds_stalled_max: float = 60.0
    linger_seconds: float = 1.0
    connections_max: int = 10_000
