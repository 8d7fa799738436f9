"""A command that holds a fragment of a body in flight isn't sent, and nobody keeps a limiter from its script."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from governance import sinks
from governance.sinks import Sink
from router.gateway.ratelimit import GuardedRedis, RedisRateLimiter, Want, cell_key
from router.gateway.ratelimit.guarded_redis import Withheld
from router.gateway.ratelimit.limit_redis import _LUA
from tests.services.guarding import PROMPT, guarding
from tests.services.redis import redis_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as made:
        yield made


@pytest.fixture
async def redis(url: str) -> AsyncIterator[GuardedRedis]:
    client = GuardedRedis.from_url(url)
    await client.flushall()
    yield client
    await client.aclose()


async def test_neither_a_key_nor_a_value_takes_it(redis: GuardedRedis, event_log: Path) -> None:
    with guarding():
        for command in (("SET", "cache", PROMPT), ("SET", PROMPT[:40], 1), ("LPUSH", "q", "fine", PROMPT.encode()),
                        ("PUBLISH", "c", f"saw {PROMPT}"), ("EVAL", f"return '{PROMPT}'", 0)):  # fmt: skip
            with pytest.raises(Withheld):
                await redis.execute_command(*command)
        await redis.set("cache", "a value that is in no body at all, I think")
        assert await redis.keys() == [b"cache"]
        with pytest.raises(TypeError):
            redis.pipeline()
    await redis.set("cache", PROMPT)
    assert await redis.get("cache") == PROMPT.encode()


async def test_writing_the_script_or_its_digest_into_a_prompt_changes_nothing(
    redis: GuardedRedis, event_log: Path
) -> None:
    limiter = RedisRateLimiter(redis, timeout_s=5)
    digest = redis.register_script(_LUA).sha
    want = Want(cell_key(bytes(32), "test", b"a"), 10, 1, "requests")
    await redis.script_flush()
    with guarding(_LUA, digest) as guard:
        verdict = await limiter.take([want])
        assert verdict.allowed and not verdict.degraded and not guard.places


async def test_a_withheld_command_is_an_outage_to_the_limiter(redis: GuardedRedis, event_log: Path) -> None:
    class Refusing:
        def withholds(self, sink: Sink, value: object) -> bool:
            return sink is Sink.REDIS

    limiter = RedisRateLimiter(redis, timeout_s=5)
    sinks.screen_with(Refusing())
    try:
        verdict = await limiter.take([Want(cell_key(bytes(32), "test", b"b"), 10, 1, "requests")])
    finally:
        sinks.screen_with(None)
    assert verdict.allowed and verdict.degraded
    assert await redis.keys() == []


async def test_every_requests_own_keys_put_the_guard_in_no_doubt(redis: GuardedRedis, event_log: Path) -> None:
    limiter = RedisRateLimiter(redis, timeout_s=5)
    cell = cell_key(bytes(32), "test", b"c")
    await limiter.take([Want(cell, 10, 1, "requests")])
    with guarding("{valueapi-rl}:" + cell.hex()) as guard:
        guard.watch.find = None  # type: ignore[assignment,method-assign]
        assert not (await limiter.take([Want(cell, 10, 1, "requests")])).degraded
    assert not guard.failures


def test_every_redis_client_of_the_service_is_guarded() -> None:
    root = Path(__file__).parents[4]
    found = [
        path.name
        for package in ("governance", "policies", "reports", "router")
        for path in (root / package).rglob("*.py")
        # The scanner looks through the Redis of whoever is searched.
        if "scanner" not in path.parts and re.search(r"\bRedis(\.from_url)?\(|from_url\(", path.read_text())
    ]
    assert found == ["service.py"]
    assert "GuardedRedis.from_url(" in (root / "router" / "app" / "service.py").read_text()
