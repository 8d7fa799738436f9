"""Buckets of one process by itself."""

import time
from collections.abc import Callable, Sequence

from router.gateway.ratelimit.buckets import SETTLED, Verdict, Want, settled_ns, take


class LocalRateLimiter:
    """Buckets of this process alone: the fallback of the two others, and for a single-process library use.

    Holds at most `keys_max` buckets; full ones are forgotten first, then the oldest.
    """

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns, keys_max: int = 65536) -> None:
        self._now_ns = now_ns
        self._keys_max = keys_max
        self._tats: dict[bytes, int] = {}

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        """See `RateLimiter.take`."""
        now = self._now_ns()
        return take(wanted, now, [self._tats.get(want.key, 0) for want in wanted], self._store)

    async def settle(self, wanted: Sequence[Want], actual_cost: int) -> None:
        """See `RateLimiter.settle`."""
        now = self._now_ns()
        for want in wanted:
            if want.kind == SETTLED and not want.too_large and want.key in self._tats:
                self._tats[want.key] = settled_ns(self._tats[want.key], now, want, actual_cost)

    def _store(self, wanted: Sequence[Want], tats: Sequence[int]) -> None:
        if len(self._tats) + len(wanted) > self._keys_max:
            now = self._now_ns()
            self._tats = {key: tat for key, tat in self._tats.items() if tat > now}
            while self._tats and len(self._tats) + len(wanted) > self._keys_max:
                del self._tats[next(iter(self._tats))]
        for want, tat in zip(wanted, tats, strict=True):
            self._tats[want.key] = tat
