"""One conformance suite for every limiter, then what is particular to each. Redis is a real, private server."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from governance import events
from router.gateway.ratelimit import (
    LocalRateLimiter,
    RateLimiter,
    RedisRateLimiter,
    SharedRateLimiter,
    Verdict,
    Want,
    cell_key,
)
from router.gateway.ratelimit.buckets import Kind, Window
from router.gateway.shared import WINDOW, Shared
from tests.services.redis import redis_server

SECRET = bytes(range(32))


def key(name: str) -> bytes:
    return cell_key(SECRET, "test", name.encode())


def want(name: str, limit: int, cost: int = 1, kind: Kind = "requests") -> Want:
    return Want(key(name), limit, cost, kind)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    await client.flushall()
    await client.script_flush()
    yield client
    await client.aclose()


@pytest.fixture(params=["local", "shared", "redis"])
def limiter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RateLimiter]:
    if request.param == "local":
        yield LocalRateLimiter()
    elif request.param == "redis":
        yield RedisRateLimiter(request.getfixturevalue("redis"), timeout_s=5)
    else:
        shared = Shared.open(tmp_path / "shared.mm", slots=64)
        yield SharedRateLimiter(shared)
        shared.close()


# --- conformance ------------------------------------------------------------------------------------------------------


async def test_a_bucket_holds_one_minute_then_refuses(limiter: RateLimiter) -> None:
    verdicts = [await limiter.take([want("a", 5)]) for _ in range(6)]
    assert [v.allowed for v in verdicts] == [True] * 5 + [False]
    assert [v.requests.remaining for v in verdicts if v.requests] == [4, 3, 2, 1, 0, 0]
    assert not any(v.degraded for v in verdicts)
    last = verdicts[-1]
    assert 11 < last.retry_after_s <= 12  # one of five comes back every 12 s
    assert last.requests is not None and 59 < last.requests.reset_s <= 60


async def test_buckets_are_apart(limiter: RateLimiter) -> None:
    assert (await limiter.take([want("a", 1)])).allowed
    assert not (await limiter.take([want("a", 1)])).allowed
    assert (await limiter.take([want("b", 1)])).allowed


async def test_it_refills(limiter: RateLimiter) -> None:
    limit = 600  # one every 100 ms
    assert (await limiter.take([want("a", limit, limit)])).allowed
    refused = await limiter.take([want("a", limit)])
    assert not refused.allowed
    await asyncio.sleep(refused.retry_after_s)  # the promise that retry-after makes, kept
    assert (await limiter.take([want("a", limit)])).allowed


async def test_all_or_nothing(limiter: RateLimiter) -> None:
    assert (await limiter.take([want("full", 1)])).allowed
    for _ in range(10):
        assert not (await limiter.take([want("open", 2), want("full", 1)])).allowed
        assert not (await limiter.take([want("full", 1), want("open", 2)])).allowed
    assert [(await limiter.take([want("open", 2)])).allowed for _ in range(3)] == [True, True, False]


async def test_the_tightest_bucket_of_a_kind_is_shown(limiter: RateLimiter) -> None:
    verdict = await limiter.take(
        [want("a", 9), want("b", 3), want("c", 100, 30, "tokens"), want("d", 50, 30, "tokens")]
    )
    assert verdict.requests is not None and verdict.tokens is not None
    assert (verdict.requests.limit, verdict.requests.remaining) == (3, 2)
    assert (verdict.tokens.limit, verdict.tokens.remaining) == (50, 20)
    assert 35 < verdict.tokens.reset_s <= 36


async def test_more_than_a_whole_bucket_never_fits_and_takes_nothing(limiter: RateLimiter) -> None:
    verdict = await limiter.take([want("r", 5), want("a", 100, 101, "tokens")])
    assert (verdict.allowed, verdict.too_large) == (False, True)
    after = await limiter.take([want("r", 5), want("a", 100, 100, "tokens")])
    assert after.allowed and after.requests is not None and after.requests.remaining == 4


async def test_limit_zero_refuses(limiter: RateLimiter) -> None:
    verdict = await limiter.take([want("a", 0, 0)])
    assert not verdict.allowed
    assert verdict.requests == Window(0, 0, 0)
    await limiter.settle([want("a", 0, 0, "tokens")], 5)


async def test_nothing_wanted_is_allowed(limiter: RateLimiter) -> None:
    assert await limiter.take([]) == Verdict(True, 0, None, None)
    await limiter.settle([], 5)


async def test_settle_gives_back_what_was_not_used(limiter: RateLimiter) -> None:
    wanted = [want("r", 10), want("t", 1000, 1000, "tokens")]
    assert (await limiter.take(wanted)).allowed
    await limiter.settle(wanted, 100)
    verdict = await limiter.take([want("r", 10), want("t", 1000, 899, "tokens")])
    assert verdict.allowed
    assert verdict.requests is not None and verdict.requests.remaining == 8  # requests aren't given back
    assert not (await limiter.take([want("t", 1000, 100, "tokens")])).allowed


async def test_settle_takes_what_was_used_beyond_the_estimate(limiter: RateLimiter) -> None:
    wanted = [want("t", 1000, 100, "tokens")]
    assert (await limiter.take(wanted)).allowed
    await limiter.settle(wanted, 950)
    assert not (await limiter.take([want("t", 1000, 200, "tokens")])).allowed


async def test_a_debt_is_carried_whole(limiter: RateLimiter) -> None:
    """Fifty minutes' worth was used: with less to wait, low estimates would pass many times the limit."""
    wanted = [want("t", 1000, 100, "tokens")]
    assert (await limiter.take(wanted)).allowed
    await limiter.settle(wanted, 50_000)
    verdict = await limiter.take([want("t", 1000, 0, "tokens")])
    assert not verdict.allowed and 48.5 * 60 < verdict.retry_after_s <= 49 * 60


async def test_a_debt_adds_up_over_requests_that_ran_at_once(limiter: RateLimiter) -> None:
    wanted = [want("t", 1000, 100, "tokens")]
    for _ in range(5):
        assert (await limiter.take(wanted)).allowed
    for _ in range(5):
        await limiter.settle(wanted, 1000)
    verdict = await limiter.take([want("t", 1000, 0, "tokens")])
    assert not verdict.allowed and 3.5 * 60 < verdict.retry_after_s <= 4 * 60


async def test_no_debt_is_too_large_for_its_cell(limiter: RateLimiter) -> None:
    wanted = [want("t", 1, 0, "tokens")]
    assert (await limiter.take(wanted)).allowed
    for _ in range(20):
        await limiter.settle(wanted, 100_000_000)
    verdict = await limiter.take([want("t", 1, 0, "tokens")])
    assert not verdict.allowed and verdict.retry_after_s > 300 * 24 * 3600


async def test_no_credit_is_banked(limiter: RateLimiter) -> None:
    wanted = [want("t", 100, 50, "tokens")]
    assert (await limiter.take(wanted)).allowed
    for _ in range(3):
        await limiter.settle(wanted, 0)
    assert (await limiter.take([want("t", 100, 100, "tokens")])).allowed
    assert not (await limiter.take([want("t", 100, 10, "tokens")])).allowed


async def test_concurrent_takes_are_exact(limiter: RateLimiter) -> None:
    verdicts = await asyncio.gather(*(limiter.take([want("a", 20), want("b", 100)]) for _ in range(60)))
    assert sum(v.allowed for v in verdicts) == 20


HAMMER = """
import asyncio, sys
from pathlib import Path
from redis.asyncio import Redis
from router.gateway.ratelimit import *
from router.gateway.shared import Shared
async def main():
    kind, where = sys.argv[1:]
    shared = kind == "shared"
    redis = None if shared else Redis.from_url(where)
    limiter = SharedRateLimiter(Shared.open(Path(where))) if shared else RedisRateLimiter(redis, timeout_s=9)
    await limiter.take([Want(bytes([7]) * 16, 10, 1, "requests")])  # connect
    print("up", flush=True)
    sys.stdin.readline()
    print(sum([(await limiter.take([Want(bytes([9]) * 16, 300, 1, "requests")])).allowed for _ in range(300)]))
asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["shared", "redis"])
def test_two_processes_share_one_limit(kind: str, tmp_path: Path, redis_url: str) -> None:
    where = str(tmp_path / "shared.mm") if kind == "shared" else redis_url
    began = time.monotonic()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, kind, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "up\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    counts = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    refilled = int((time.monotonic() - began) * 5) + 1  # five a second
    assert 300 <= sum(counts) <= 300 + refilled


# --- shared memory ----------------------------------------------------------------------------------------------------


async def test_a_full_table_limits_the_overflow_together(tmp_path: Path) -> None:
    shared = Shared.open(tmp_path / "shared.mm", slots=WINDOW)
    limiter = SharedRateLimiter(shared)
    for n in range(WINDOW):
        await limiter.take([Want((n + 1).to_bytes(16, "big"), 1, 1, "requests")])
    extra = [await limiter.take([Want((n + 100).to_bytes(16, "big"), 5, 1, "requests")]) for n in range(8)]
    assert sum(v.allowed for v in extra) == 5
    assert shared.overflows() == 8
    shared.close()


async def test_a_stopped_lock_holder_degrades_and_is_one_event(tmp_path: Path) -> None:
    events.open_sink(tmp_path / "log")
    mine, holder = Shared.open(tmp_path / "shared.mm"), Shared.open(tmp_path / "shared.mm")
    limiter = SharedRateLimiter(mine)
    with holder:
        began = time.monotonic()
        verdicts = [await limiter.take([want("a", 10)]) for _ in range(20)]
        assert time.monotonic() - began < 0.9  # only the first waits
    assert all(v.degraded for v in verdicts)
    assert sum(v.allowed for v in verdicts) == 10
    lines = (tmp_path / "log" / "events.jsonl").read_text().splitlines()
    assert len(lines) == 1 and "router:ratelimit:degraded" in lines[0]
    mine.close()
    holder.close()


# --- Redis ------------------------------------------------------------------------------------------------------------


async def test_redis_holds_only_hashes_and_lets_them_go(redis: Redis) -> None:
    limiter = RedisRateLimiter(redis)
    ident = b"account-7 198.51.100.9"
    wanted = [Want(cell_key(SECRET, "account", ident), 100, 1, "requests")]
    assert (await limiter.take(wanted)).allowed
    (name,) = await redis.keys()
    assert name == b"{valueapi-rl}:" + wanted[0].key.hex().encode()
    value = await redis.get(name)
    assert isinstance(value, bytes)
    assert ident not in name + value and b"198.51" not in name + value
    assert 0 < await redis.pttl(name) <= 602
    tokens = [Want(wanted[0].key, 100, 1, "tokens")]
    await limiter.settle(tokens, 0)
    assert await redis.keys() == []


async def test_redis_restarted_without_its_scripts(redis: Redis) -> None:
    limiter = RedisRateLimiter(redis)
    assert (await limiter.take([want("a", 10)])).allowed
    await redis.script_flush()
    assert not (await limiter.take([want("a", 10)])).degraded


async def test_decoded_answers_are_understood(redis_url: str, redis: Redis) -> None:
    client = Redis.from_url(redis_url, decode_responses=True)
    assert (await RedisRateLimiter(client).take([want("a", 10)])).allowed
    await client.aclose()


async def test_redis_away_and_back(tmp_path: Path, redis: Redis, redis_url: str) -> None:
    events.open_sink(tmp_path / "log")
    limiter = RedisRateLimiter(redis, timeout_s=0.2)
    assert not (await limiter.take([want("a", 3)])).degraded
    await redis.client_pause(700)  # Redis hangs, the worst way to be away
    began = time.monotonic()
    verdicts = [await limiter.take([want("b", 3)]) for _ in range(5)]
    assert time.monotonic() - began < 0.6
    assert [(v.allowed, v.degraded) for v in verdicts] == [(True, True)] * 3 + [(False, True)] * 2
    await limiter.settle([want("b", 3, 1, "tokens")], 0)
    while (await limiter.take([want("c", 1000)])).degraded:
        await asyncio.sleep(0.05)
    lines = (tmp_path / "log" / "events.jsonl").read_text().splitlines()
    assert ["degraded" in lines[0], "restored" in lines[1], len(lines)] == [True, True, 2]


async def test_redis_not_there_at_all(tmp_path: Path) -> None:
    client = Redis.from_url(f"unix://{tmp_path}/none.sock")
    verdict = await RedisRateLimiter(client).take([want("a", 3)])
    assert (verdict.allowed, verdict.degraded) == (True, True)
    await client.aclose()


# --- local ------------------------------------------------------------------------------------------------------------


async def test_local_memory_is_bounded() -> None:
    limiter = LocalRateLimiter(keys_max=10)
    for n in range(100):
        assert (await limiter.take([want(str(n), 5)])).allowed
    assert len(limiter._tats) <= 10
