"""Rate limits: token buckets kept as one time each (GCRA, ITU-T I.371 annex A), in shared memory or in Redis.

A bucket of `limit_per_minute` holds one minute's worth and refills evenly. Its whole state is the time at which it
will be full again, the theoretical arrival time (TAT): taking `cost` moves it by cost/limit minutes, and a request
fits when the TAT is then at most a minute ahead. A request takes from all its buckets or from none.

Tokens are taken by estimate before and corrected by `settle` after. A correction may leave a debt, which is carried
whole: whoever's estimates are low is served less often, and gets the limit's tokens a minute over time, no more.

When Redis (or the shared file) can't be used, each process limits by itself until it answers again: callers keep
their service and get at most `processes x limit`. Each such outage is one event, `router:ratelimit:degraded`, and
`Verdict.degraded` says it of every request. Refusing everybody because a counter is away would be the larger harm.
"""

from router.gateway.ratelimit.buckets import RateLimiter, Verdict, Want, cell_key
from router.gateway.ratelimit.guarded_redis import GuardedRedis
from router.gateway.ratelimit.limit_headers import headers
from router.gateway.ratelimit.limit_local import LocalRateLimiter
from router.gateway.ratelimit.limit_redis import RedisRateLimiter
from router.gateway.ratelimit.limit_shared import SharedRateLimiter
from router.gateway.ratelimit.tiers import Tiers

__all__ = [
    "GuardedRedis",
    "LocalRateLimiter",
    "RateLimiter",
    "RedisRateLimiter",
    "SharedRateLimiter",
    "Tiers",
    "Verdict",
    "Want",
    "cell_key",
    "headers",
]
