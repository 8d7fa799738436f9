"""Reads a running Redis or Valkey: every key of every database with its value, and what the server remembers of commands."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

_PAGE = 500
_STRING_PIECE = 1 << 20
_MEMORIES = (
    ("SLOWLOG", "GET", "1000000"),
    ("ACL", "LOG", "1000000"),
    ("CLIENT", "LIST"),
    ("PUBSUB", "CHANNELS"),
    ("FUNCTION", "LIST", "WITHCODE"),
    ("CONFIG", "GET", "*"),
)
Refused = RedisError


async def values(url: str) -> AsyncIterator[tuple[str, bytes, bool]]:
    """(place, bytes, whether it goes on what came before at this place) for all that the server holds.

    Raises Refused or OSError where it can't be reached."""
    client: Any = Redis.from_url(url)
    try:
        numbers = sorted(int(name[2:]) for name in await client.info("keyspace"))
        for command in _MEMORIES:
            # What an older server doesn't know, or what is switched off there, it holds nothing in.
            with suppress(ResponseError):
                for part in flat(await client.execute_command(*command)):
                    yield " ".join(command[:2]), part, False
    finally:
        await client.aclose()
    for number in numbers:
        database: Any = Redis.from_url(url, db=number)
        try:
            count = 0
            async for key in database.scan_iter(count=_PAGE):
                count += 1
                yield f"db{number} key {count}", key, False
                async for part, goes_on in _value(database, key):
                    yield f"db{number} key {count} value", part, goes_on
        finally:
            await database.aclose()


def flat(answer: Any) -> list[bytes]:
    """Every string in an answer, however it is nested."""
    match answer:
        case bytes():
            return [answer]
        case str():
            return [answer.encode()]
        case dict():
            return [part for pair in answer.items() for part in flat(pair)]
        case list() | tuple() | set():
            return [part for each in answer for part in flat(each)]
    return []


async def _value(client: Any, key: bytes) -> AsyncIterator[tuple[bytes, bool]]:
    kind = (await client.type(key)).decode()
    if kind == "string":
        at = 0
        while piece := await client.getrange(key, at, at + _STRING_PIECE - 1):
            yield piece, at > 0
            at += len(piece)
        return
    if kind == "none":  # it has expired meanwhile
        return
    async for answer in _pages(client, key, kind):
        for part in flat(answer):
            yield part, False


async def _pages(client: Any, key: bytes, kind: str) -> AsyncIterator[Any]:
    if kind == "list":
        at = 0
        while page := await client.lrange(key, at, at + _PAGE - 1):
            yield page
            at += len(page)
    elif kind in ("set", "hash", "zset"):
        scan = {"set": client.sscan_iter, "hash": client.hscan_iter, "zset": client.zscan_iter}[kind]
        async for item in scan(key, count=_PAGE):
            yield item
    elif kind == "stream":
        first = "-"
        while page := await client.xrange(key, first, "+", count=_PAGE):
            yield page
            first = "(" + page[-1][0].decode()
        yield await client.xinfo_stream(key, full=True)
    else:
        yield await client.dump(key)
