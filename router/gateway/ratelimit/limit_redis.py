"""Buckets shared by machines, in Redis or Valkey."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from router.gateway.ratelimit.buckets import SETTLED, Verdict, Want, make_verdict
from router.gateway.ratelimit.degrading import Degrading
from router.gateway.ratelimit.guarded_redis import PREFIX
from router.gateway.ratelimit.limit_local import LocalRateLimiter

# ARGV: mode, then per key limit, cost, actual cost (-1: leave it). Times are microseconds of Redis' own clock: a double
# holds them exactly, nanoseconds since 1970 it doesn't. Answers `TAT - now` and the wait, for each key.
_LUA: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local minute = 60000000
local debt_max = 366 * 24 * 60 * minute
local fits = 1
local before, after, out = {}, {}, {}
for i, key in ipairs(KEYS) do
  local limit, cost, actual = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), tonumber(ARGV[3*i+1])
  local tat = tonumber(redis.call('GET', key) or '0')
  if ARGV[1] == 'settle' then
    if actual >= 0 then
      local moved = math.ceil(actual * minute / limit) - math.ceil(cost * minute / limit)
      if moved > 0 then tat = math.min(math.max(tat, now) + moved, now + debt_max)
      else tat = math.max(tat + moved, now) end
      if tat > now then redis.call('SET', key, string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
      else redis.call('DEL', key) end
    end
  else
    before[i] = math.max(tat, now)
    after[i] = before[i] + math.ceil(cost * minute / limit)
    if after[i] - now > minute then fits = 0 end
  end
end
if ARGV[1] == 'settle' then return {} end
for i, key in ipairs(KEYS) do
  local wait = math.max(0, after[i] - now - minute)
  if fits == 1 then
    redis.call('SET', key, string.format('%.0f', after[i]), 'PX', math.ceil((after[i] - now) / 1000) + 1)
    out[i] = string.format('%.0f', after[i] - now) .. ' 0'
  else
    out[i] = string.format('%.0f', before[i] - now) .. ' ' .. string.format('%.0f', wait)
  end
end
return out
"""


class RedisRateLimiter:
    """`RateLimiter` over Redis or Valkey: one script call (EVALSHA) a request, on Redis' clock.

    Keys are `{valueapi-rl}:` and the hash in hex, with an expiry; the braces keep one request's keys on one cluster
    node. A call that takes longer than `timeout_s` counts as an outage.
    """

    def __init__(self, redis: "Redis", *, timeout_s: float = 0.5, fallback: LocalRateLimiter | None = None) -> None:
        self._script = redis.register_script(_LUA)
        self._timeout_s = timeout_s
        self._degraded = Degrading("redis", fallback)

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        """See `RateLimiter.take`."""
        if any(want.limit_per_minute == 0 for want in wanted):
            return make_verdict(wanted, [0] * len(wanted), [0] * len(wanted))
        if self._degraded.skip():
            return await self._degraded.take(wanted)
        answer = await self._run("take", wanted, -1)
        if answer is None:
            return await self._degraded.take(wanted)
        pairs = [line.split() for line in answer]
        return make_verdict(wanted, [int(pair[0]) * 1000 for pair in pairs], [int(pair[1]) * 1000 for pair in pairs])

    async def settle(self, wanted: Sequence[Want], actual_cost: int) -> None:
        """See `RateLimiter.settle`."""
        counted = [want for want in wanted if want.kind == SETTLED and not want.too_large]
        if not counted:
            return
        if self._degraded.skip():
            return await self._degraded.fallback.settle(counted, actual_cost)
        await self._run("settle", counted, actual_cost)

    async def _run(self, mode: str, wanted: Sequence[Want], actual_cost: int) -> list[bytes | str] | None:
        args: list[str | int] = [mode]
        for want in wanted:
            args += (want.limit_per_minute, want.cost, actual_cost)
        keys = [PREFIX + want.key.hex().encode() for want in wanted]
        try:
            async with asyncio.timeout(self._timeout_s):
                answer: Any = await self._script(keys, args)
        except (RedisError, OSError, TimeoutError):
            await self._degraded.lost()
            return None
        await self._degraded.back()
        return list(answer)
