"""Buckets shared by the processes of one machine, in memory."""

import time
from collections.abc import Callable, Sequence

from router.gateway.ratelimit.buckets import KIND_NUMBER, SETTLED, Verdict, Want, settled_ns, take
from router.gateway.ratelimit.degrading import Degrading
from router.gateway.ratelimit.limit_local import LocalRateLimiter
from router.gateway.shared import Shared, SharedBusy


class SharedRateLimiter:
    """`RateLimiter` over `Shared`: exact across the worker processes of one machine, a few microseconds a request."""

    def __init__(
        self,
        shared: Shared,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
        fallback: LocalRateLimiter | None = None,
    ) -> None:
        self._shared = shared
        self._now_ns = now_ns
        self._degraded = Degrading("shared_memory", fallback)

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        """See `RateLimiter.take`."""
        if self._degraded.skip():
            return await self._degraded.take(wanted)
        try:
            with self._shared as shared:
                now = self._now_ns()
                cells = [shared.find(want.key, now, KIND_NUMBER[want.kind]) for want in wanted]

                def store(_: Sequence[Want], tats: Sequence[int]) -> None:
                    for cell, tat in zip(cells, tats, strict=True):
                        shared.set_time(cell, tat)

                verdict = take(wanted, now, [shared.time_of(cell) for cell in cells], store)
        except SharedBusy:
            await self._degraded.lost()
            return await self._degraded.take(wanted)
        await self._degraded.back()
        return verdict

    async def settle(self, wanted: Sequence[Want], actual_cost: int) -> None:
        """See `RateLimiter.settle`."""
        if self._degraded.skip():
            return await self._degraded.fallback.settle(wanted, actual_cost)
        try:
            with self._shared as shared:
                now = self._now_ns()
                for want in wanted:
                    if want.kind == SETTLED and not want.too_large:
                        cell = shared.find(want.key, now, KIND_NUMBER[want.kind])
                        shared.set_time(cell, settled_ns(shared.time_of(cell), now, want, actual_cost))
        except SharedBusy:
            await self._degraded.lost()
