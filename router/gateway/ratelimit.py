"""Rate limits: token buckets kept as one time each (GCRA, ITU-T I.371 annex A), in shared memory or in Redis.

A bucket of `limit_per_minute` holds one minute's worth and refills evenly. Its whole state is the time at which it
will be full again, the theoretical arrival time (TAT): taking `cost` moves it by cost/limit minutes, and a request
fits when the TAT is then at most a minute ahead. A request takes from all its buckets or from none.

Tokens are taken by estimate before and corrected by `settle` after. A correction may leave a debt, of at most one
more minute: nobody waits longer than two minutes for something that was already served.

When Redis (or the shared file) can't be used, each process limits by itself until it answers again: callers keep
their service and get at most `processes x limit`. Each such outage is one event, `router:ratelimit:degraded`, and
`Verdict.degraded` says it of every request. Refusing everybody because a counter is away would be the larger harm.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import yaml
from redis.asyncio import Redis
from redis.exceptions import RedisError

from governance import clock, events
from governance.errors import ConfigurationError
from router.gateway.shared import KEY_BYTES, Shared, SharedBusy
from router.surface import Dialect

Kind = Literal["requests", "tokens"]
Headers = list[tuple[bytes, bytes]]

_MINUTE_NS: Final = 60_000_000_000
_OVERFLOW: Final[dict[Kind, int]] = {"requests": 0, "tokens": 1}
_SETTLED: Final = "tokens"


@dataclass(frozen=True, slots=True)
class Want:
    """`cost` units of one bucket. `key` is a `cell_key`; `limit_per_minute` 0 refuses everything."""

    key: bytes
    limit_per_minute: int
    cost: int
    kind: Kind

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES or self.limit_per_minute < 0 or self.cost < 0:
            raise ValueError("a want needs a 16-byte key, a limit and a cost of at least 0")


@dataclass(frozen=True, slots=True)
class Window:
    """A bucket as headers show it: `remaining` units now, full again in `reset_s` seconds."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of `take`. Per kind the bucket with the least left is shown.

    `retry_after_s` is 0 when allowed. `too_large`: the cost exceeds a whole bucket, so waiting won't help.
    """

    allowed: bool
    retry_after_s: float
    requests: Window | None
    tokens: Window | None
    too_large: bool = False
    degraded: bool = False


class RateLimiter(Protocol):
    """Takes from buckets, all or nothing."""

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        """Take every want, or none when one doesn't fit. Never raises for a counter that is away: see the module."""

    async def settle(self, wanted: Sequence[Want], actual_cost: int) -> None:
        """Replace the estimate in the `tokens` wants of an allowed `take` by `actual_cost` (0 when nothing was served).

        Call it once per allowed take; `requests` wants stay as they are.
        """


def cell_key(secret: bytes, kind: str, ident: bytes) -> bytes:
    """16-byte keyed hash (BLAKE2b, RFC 7693) of what is limited, so that no id and no address rests in a counter.

    Raises `ValueError` when the secret is shorter than 16 or longer than 64 bytes.
    """
    if not 16 <= len(secret) <= 64:
        raise ValueError("the secret for rate-limit keys must have 16 to 64 bytes")
    return hashlib.blake2b(kind.encode() + b"\0" + ident, digest_size=KEY_BYTES, key=secret).digest()


# --- the arithmetic, pure -------------------------------------------------------------------------------------------


def _step_ns(want: Want, cost: int) -> int:
    """How far `cost` moves the TAT; rounded up, so that rounding never lets more through."""
    return -(-cost * _MINUTE_NS // want.limit_per_minute)


def _too_large(want: Want) -> bool:
    return want.limit_per_minute == 0 or want.cost > want.limit_per_minute


def _verdict(wanted: Sequence[Want], ahead_ns: Sequence[int], waits_ns: Sequence[int]) -> Verdict:
    """`ahead_ns`: each TAT minus now, after the taking; `waits_ns`: how long until each fits, 0 when it does."""
    shown: dict[Kind, Window] = {}
    for want, ahead in zip(wanted, ahead_ns, strict=True):
        left = max(0, (_MINUTE_NS - ahead) * want.limit_per_minute // _MINUTE_NS)
        window = Window(want.limit_per_minute, left, max(0, ahead) / 1e9)
        if want.kind not in shown or window.remaining < shown[want.kind].remaining:
            shown[want.kind] = window
    too_large = any(_too_large(want) for want in wanted)
    wait_ns = max(waits_ns, default=0)
    return Verdict(
        allowed=not too_large and wait_ns <= 0,
        retry_after_s=60.0 if too_large else max(0, wait_ns) / 1e9,
        requests=shown.get("requests"),
        tokens=shown.get("tokens"),
        too_large=too_large,
    )


def _settled_ns(tat_ns: int, now_ns: int, want: Want, actual_cost: int) -> int:
    moved = _step_ns(want, actual_cost) - _step_ns(want, want.cost)
    # Never before now (no credit is banked), never more than one minute of debt beyond an empty bucket.
    return min(max(tat_ns, now_ns) + moved, now_ns + 2 * _MINUTE_NS) if moved > 0 else max(tat_ns + moved, now_ns)


# --- shared memory, and a process by itself ---------------------------------------------------------------------------


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
        return _take(wanted, now, [self._tats.get(want.key, 0) for want in wanted], self._store)

    async def settle(self, wanted: Sequence[Want], actual_cost: int) -> None:
        """See `RateLimiter.settle`."""
        now = self._now_ns()
        for want in wanted:
            if want.kind == _SETTLED and not _too_large(want) and want.key in self._tats:
                self._tats[want.key] = _settled_ns(self._tats[want.key], now, want, actual_cost)

    def _store(self, wanted: Sequence[Want], tats: Sequence[int]) -> None:
        if len(self._tats) + len(wanted) > self._keys_max:
            now = self._now_ns()
            self._tats = {key: tat for key, tat in self._tats.items() if tat > now}
            while self._tats and len(self._tats) + len(wanted) > self._keys_max:
                del self._tats[next(iter(self._tats))]
        for want, tat in zip(wanted, tats, strict=True):
            self._tats[want.key] = tat


def _take(
    wanted: Sequence[Want], now: int, tats: Sequence[int], store: Callable[[Sequence[Want], Sequence[int]], None]
) -> Verdict:
    before = [max(tat, now) for tat in tats]
    if any(_too_large(want) for want in wanted):
        return _verdict(wanted, [tat - now for tat in before], [0] * len(wanted))
    after = [tat + _step_ns(want, want.cost) for want, tat in zip(wanted, before, strict=True)]
    waits = [max(0, tat - now - _MINUTE_NS) for tat in after]
    if any(waits):
        return _verdict(wanted, [tat - now for tat in before], waits)
    store(wanted, after)
    return _verdict(wanted, [tat - now for tat in after], waits)


class _Degrading:
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
        self._degraded = _Degrading("shared_memory", fallback)

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        """See `RateLimiter.take`."""
        if self._degraded.skip():
            return await self._degraded.take(wanted)
        try:
            with self._shared as shared:
                now = self._now_ns()
                cells = [shared.find(want.key, now, _OVERFLOW[want.kind]) for want in wanted]

                def store(_: Sequence[Want], tats: Sequence[int]) -> None:
                    for cell, tat in zip(cells, tats, strict=True):
                        shared.set_time(cell, tat)

                verdict = _take(wanted, now, [shared.time_of(cell) for cell in cells], store)
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
                    if want.kind == _SETTLED and not _too_large(want):
                        cell = shared.find(want.key, now, _OVERFLOW[want.kind])
                        shared.set_time(cell, _settled_ns(shared.time_of(cell), now, want, actual_cost))
        except SharedBusy:
            await self._degraded.lost()


# --- Redis or Valkey --------------------------------------------------------------------------------------------------

# ARGV: mode, then per key limit, cost, actual cost (-1: leave it). Times are microseconds of Redis' own clock: a double
# holds them exactly, nanoseconds since 1970 it doesn't. Answers `TAT - now` and the wait, for each key.
_LUA: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local minute = 60000000
local fits = 1
local before, after, out = {}, {}, {}
for i, key in ipairs(KEYS) do
  local limit, cost, actual = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), tonumber(ARGV[3*i+1])
  local tat = tonumber(redis.call('GET', key) or '0')
  if ARGV[1] == 'settle' then
    if actual >= 0 then
      local moved = math.ceil(actual * minute / limit) - math.ceil(cost * minute / limit)
      if moved > 0 then tat = math.min(math.max(tat, now) + moved, now + 2 * minute)
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
        self._degraded = _Degrading("redis", fallback)

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        """See `RateLimiter.take`."""
        if any(want.limit_per_minute == 0 for want in wanted):
            return _verdict(wanted, [0] * len(wanted), [0] * len(wanted))
        if self._degraded.skip():
            return await self._degraded.take(wanted)
        answer = await self._run("take", wanted, -1)
        if answer is None:
            return await self._degraded.take(wanted)
        pairs = [line.split() for line in answer]
        return _verdict(wanted, [int(pair[0]) * 1000 for pair in pairs], [int(pair[1]) * 1000 for pair in pairs])

    async def settle(self, wanted: Sequence[Want], actual_cost: int) -> None:
        """See `RateLimiter.settle`."""
        counted = [want for want in wanted if want.kind == _SETTLED and not _too_large(want)]
        if not counted:
            return
        if self._degraded.skip():
            return await self._degraded.fallback.settle(counted, actual_cost)
        await self._run("settle", counted, actual_cost)

    async def _run(self, mode: str, wanted: Sequence[Want], actual_cost: int) -> list[bytes | str] | None:
        args: list[str | int] = [mode]
        for want in wanted:
            args += (want.limit_per_minute, want.cost, actual_cost)
        keys = [b"{valueapi-rl}:" + want.key.hex().encode() for want in wanted]
        try:
            async with asyncio.timeout(self._timeout_s):
                answer: Any = await self._script(keys, args)
        except (RedisError, OSError, TimeoutError):
            await self._degraded.lost()
            return None
        await self._degraded.back()
        return list(answer)


# --- what callers see -------------------------------------------------------------------------------------------------


def headers(verdict: Verdict, dialect: Dialect) -> Headers:
    """The usual headers: `x-ratelimit-*` as OpenAI's, and `anthropic-ratelimit-*` on the Anthropic wire.

    A refusal adds `retry-after` (whole seconds, at least 1): leave out the one of `errors.headers` then, or a client
    sees two. Sources: platform.openai.com/docs/guides/rate-limits, docs.anthropic.com/en/api/rate-limits.
    """
    out: Headers = []
    for kind, window in (("requests", verdict.requests), ("tokens", verdict.tokens)):
        if window is None:
            continue
        out.append((f"x-ratelimit-limit-{kind}".encode(), str(window.limit).encode()))
        out.append((f"x-ratelimit-remaining-{kind}".encode(), str(window.remaining).encode()))
        out.append((f"x-ratelimit-reset-{kind}".encode(), _duration(window.reset_s).encode()))
        if dialect is Dialect.ANTHROPIC:
            full_at = clock.now() + timedelta(seconds=ceil(window.reset_s))
            out.append((f"anthropic-ratelimit-{kind}-limit".encode(), str(window.limit).encode()))
            out.append((f"anthropic-ratelimit-{kind}-remaining".encode(), str(window.remaining).encode()))
            out.append((f"anthropic-ratelimit-{kind}-reset".encode(), f"{full_at:%Y-%m-%dT%H:%M:%SZ}".encode()))
    if not verdict.allowed:
        out.append((b"retry-after", str(max(1, ceil(verdict.retry_after_s))).encode()))
    return out


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `1s`, `6m0s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


# --- tiers ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rates:
    """Limits of one bucket owner."""

    requests_per_minute: int
    tokens_per_minute: int


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier of `limits.yaml`; `lifetime_top_up_microcredits_min` is what an account must have paid in so far."""

    name: str
    lifetime_top_up_microcredits_min: int
    account: Rates
    key: Rates

    def wants(self, account_cell: bytes, key_cell: bytes, tokens: int) -> list[Want]:
        """One request of `tokens` estimated tokens, as wants on the account's and the key's buckets.

        The two cells must differ: make them by `cell_key` with kinds of their own. A request larger than a whole
        bucket takes the whole bucket, or it could never be served.
        """
        return [
            Want(_kinded(cell, kind), limit, cost, kind)
            for cell, rates in ((account_cell, self.account), (key_cell, self.key))
            for kind, limit, cost in _costs(rates, tokens)
        ]


def _costs(rates: Rates, tokens: int) -> tuple[tuple[Kind, int, int], tuple[Kind, int, int]]:
    return ("requests", rates.requests_per_minute, 1), (
        "tokens",
        rates.tokens_per_minute,
        min(tokens, rates.tokens_per_minute),
    )


def _kinded(cell: bytes, kind: Kind) -> bytes:
    """Requests and tokens of one owner are two buckets: the last bit tells them apart."""
    return cell[:-1] + bytes([cell[-1] & 0xFE | _OVERFLOW[kind]])


class Tiers:
    """All tiers, lowest first."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        """Raises `ConfigurationError` unless the first asks for nothing and each next for more, under unique names."""
        if not tiers or tiers[0].lifetime_top_up_microcredits_min != 0:
            raise ConfigurationError("rate limits: the first tier must have lifetime_top_up_microcredits_min 0")
        least = [tier.lifetime_top_up_microcredits_min for tier in tiers]
        if any(a >= b for a, b in pairwise(least)):
            raise ConfigurationError("rate limits: lifetime_top_up_microcredits_min must rise from tier to tier")
        self._by_name = {tier.name: tier for tier in tiers}
        if len(self._by_name) != len(tiers):
            raise ConfigurationError("rate limits: two tiers have the same name")

    @classmethod
    def load(cls, path: Path | None = None) -> "Tiers":
        """Read `path`, or the `limits.yaml` that ships. Raises `ConfigurationError`, which says what is wrong where."""
        path = path or Path(__file__).with_name("limits.yaml")
        try:
            read = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            raise ConfigurationError(f"rate limits: {path.name} can't be read as YAML with unique keys") from None
        rows = _fields(read, "the file", {"tiers": list})["tiers"]
        return cls([_tier(row, f"tiers[{at}]") for at, row in enumerate(rows)])

    def __iter__(self) -> Iterator[Tier]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Tier:
        """Raises `ConfigurationError` for a name that no tier has."""
        if name not in self._by_name:
            raise ConfigurationError("rate limits: an account names a tier that the file doesn't have")
        return self._by_name[name]

    def for_top_up(self, lifetime_microcredits: int) -> Tier:
        """The highest tier that this much paid-in Credit reaches."""
        reached = [t for t in self._by_name.values() if t.lifetime_top_up_microcredits_min <= lifetime_microcredits]
        return reached[-1] if reached else next(iter(self._by_name.values()))


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys; a limit that is silently overridden is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        built = super().construct_mapping(node, deep=deep)
        if len(built) != len(node.value):
            raise yaml.constructor.ConstructorError(problem="a key stands twice")
        return built


def _fields(read: object, where: str, wanted: dict[str, type]) -> dict[str, Any]:
    if not isinstance(read, dict) or set(read) != set(wanted):
        raise ConfigurationError(f"rate limits: {where} must have exactly {', '.join(wanted)}")
    for name, kind in wanted.items():
        value = read[name]
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise ConfigurationError(f"rate limits: {where}.{name} must be of type {kind.__name__} and not negative")
    return read


def _tier(read: object, where: str) -> Tier:
    wanted = {"name": str, "lifetime_top_up_microcredits_min": int, "account": dict, "key": dict}
    row = _fields(read, where, wanted)
    return Tier(
        row["name"],
        row["lifetime_top_up_microcredits_min"],
        _rates(row["account"], f"{where}.account"),
        _rates(row["key"], f"{where}.key"),
    )


def _rates(read: object, where: str) -> Rates:
    row = _fields(read, where, {"requests_per_minute": int, "tokens_per_minute": int})
    return Rates(row["requests_per_minute"], row["tokens_per_minute"])
