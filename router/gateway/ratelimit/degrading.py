"""What a limiter does while the counter that it shares with others is away."""

import time
from collections.abc import Sequence
from dataclasses import replace

from governance import events
from router.gateway.ratelimit.buckets import Verdict, Want
from router.gateway.ratelimit.limit_local import LocalRateLimiter


class Degrading:
    """Runs the fallback while the real counter is away, and asks it again only every `again_s` seconds."""

    def __init__(self, where: str, fallback: LocalRateLimiter | None, again_s: float = 1.0) -> None:
        self.fallback = fallback or LocalRateLimiter()
        self._where = where
        self._again_s = again_s
        self._again_at = 0.0
        self._away = False
        self.count = 0

    def skip(self) -> bool:
        return self._away and time.monotonic() < self._again_at

    async def lost(self) -> None:
        self._again_at = time.monotonic() + self._again_s
        if not self._away:
            self._away = True
            await events.emit_async("router:ratelimit:degraded", {"where": self._where})

    async def back(self) -> None:
        if self._away:
            self._away = False
            await events.emit_async("router:ratelimit:restored", {"where": self._where, "decided_locally": self.count})

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        self.count += 1
        return replace(await self.fallback.take(wanted), degraded=True)
