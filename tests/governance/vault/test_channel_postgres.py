"""On PostgreSQL: silence means None, a stopped holder is waited for, a lost server comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from governance.datamap import KeysBase
from governance.db import Database
from governance.errors import ChannelDown
from governance.vault import channel_postgres
from governance.vault.channel_postgres import PostgresChannel
from tests.governance.vault.channel_driver import Process, assert_nothing_older, stamped
from tests.services.postgres import Postgres

FOREVER = 120.0
OTHERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
LONG_S = 60.0  # a wait of a noisy machine; nothing here takes it


@pytest.fixture
async def sql(postgres_keys: str) -> AsyncIterator[Any]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(postgres_keys.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@asynccontextmanager
async def started(url: str) -> AsyncIterator[PostgresChannel]:
    channel = PostgresChannel(url)
    await channel.start()
    try:
        yield channel
    finally:
        await channel.aclose()


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(LONG_S):
        while True:
            found = condition()
            if found is True or (not isinstance(found, bool) and await found):
                return
            await asyncio.sleep(0.01)


async def test_there_is_no_generation_before_the_first_beat_and_after_the_end(postgres_keys: str) -> None:
    channel = PostgresChannel(postgres_keys)
    assert channel.generation() is None
    await channel.start()
    await until(lambda: channel.generation() == 0)
    await channel.aclose()
    assert channel.generation() is None


async def test_a_process_that_never_beats_can_announce(postgres_keys: str) -> None:
    async with started(postgres_keys) as serving:
        await until(lambda: serving.generation() == 0)
        command = PostgresChannel(postgres_keys)
        assert await command.announce() == 1
        assert serving.generation() in (1, None)
        assert command.generation() is None
        await command.aclose()


async def test_whoever_moves_acknowledges_and_nobody_waits_a_life(
    postgres_keys: str, sql: Any, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The announcing side would wait for ever; the beats of this process come by NOTIFY alone."""
    for name in ("WAIT_S", "REACH_S", "LIFE_S", "BEAT_S"):
        monkeypatch.setattr(channel_postgres, name, FOREVER)
    holder = start("hold", postgres_keys)
    holder.is_up()
    async with started(postgres_keys) as channel:
        await until(lambda: channel.generation() == 0)
        async with asyncio.timeout(LONG_S):
            announced = stamped(await channel.announce())
        assert channel.generation() == announced[0] == 1
        await until(lambda: sql.fetchval("SELECT min(acknowledged) = 1 FROM key_holder"))
        assert_nothing_older(holder.seen(), [announced])


async def test_a_lost_notification_is_found_by_the_next_beat(postgres_keys: str, sql: Any) -> None:
    async with started(postgres_keys) as channel:
        await until(lambda: channel.generation() == 0)
        await sql.execute("INSERT INTO key_generation VALUES (1, 7)")
        await until(lambda: channel.generation() == 7)
        await until(lambda: sql.fetchval("SELECT acknowledged = 7 FROM key_holder"))


async def test_a_blocked_event_loop_loses_the_generation(postgres_keys: str) -> None:
    async with started(postgres_keys) as channel:
        await until(lambda: channel.generation() == 0)
        while channel.generation() is not None:
            pass  # no beat can come
        await until(lambda: channel.generation() == 0)


async def test_what_a_slow_beat_read_is_good_from_its_start(
    postgres_keys: str, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was long under way may be old: another process may have been told that it is dead."""
    now = 1000.0
    monkeypatch.setattr(channel_postgres, "_clock", lambda: now)

    class Slow:
        """A connection whose answers take 0.9 s by the clock."""

        async def execute(self, *arguments: Any) -> None:
            await sql.execute(*arguments)

        async def fetchval(self, *arguments: Any) -> Any:
            nonlocal now
            found = await sql.fetchval(*arguments)
            now += 0.9
            return found

    channel = PostgresChannel(postgres_keys)
    await channel._beat(Slow())
    assert channel.generation() == 0
    now += 0.2
    assert channel.generation() is None


async def test_presence_is_committed_before_the_generation_is_read(postgres_keys: str, sql: Any) -> None:
    """Else a beat could read the old generation, and be missed by an announcement that looks between the two."""
    channel = PostgresChannel(postgres_keys)

    class Watched:
        async def execute(self, *arguments: Any) -> None:
            await sql.execute(*arguments)

        async def fetchval(self, *arguments: Any) -> Any:
            assert await sql.fetchval("SELECT count(*) FROM key_holder") == 1
            return await sql.fetchval(*arguments)

    await channel._beat(Watched())
    assert channel.generation() == 0


async def test_a_stopped_holder_is_waited_for_though_the_server_goes(
    postgres_keys: str, sql: Any, start: Callable[..., Process]
) -> None:
    holder = start("hold", postgres_keys)
    holder.is_up()
    holder.signal(signal.SIGSTOP)
    holder.is_stopped()

    class Cut(PostgresChannel):
        """Loses its connection as soon as its generation is out."""

        @asynccontextmanager
        async def _connected(self) -> AsyncIterator[Any]:
            yield self

        async def fetchval(self, statement: str, *arguments: Any) -> Any:
            if statement == channel_postgres._BEHIND:
                raise ConnectionResetError
            return await sql.fetchval(statement, *arguments)

    announced = stamped(await Cut(postgres_keys).announce())
    holder.signal(signal.SIGCONT)
    assert announced[0] == 1
    assert_nothing_older(holder.seen(), [announced])


async def test_a_key_store_put_back_in_time_is_not_believed(postgres_keys: str, sql: Any) -> None:
    await sql.execute("INSERT INTO key_generation VALUES (1, 7)")
    async with started(postgres_keys) as channel:
        await until(lambda: channel.generation() == 7)
        await sql.execute("UPDATE key_generation SET value = 3")
        await until(lambda: channel.generation() is None)


async def test_rows_of_the_gone_are_removed(postgres_keys: str, sql: Any) -> None:
    await sql.execute("INSERT INTO key_holder VALUES (gen_random_uuid(), 0, now() - interval '2 hours')")
    async with started(postgres_keys) as channel:
        await until(lambda: channel.generation() == 0)
        await channel.announce()
        assert await sql.fetchval("SELECT array_agg(id) FROM key_holder") == [channel._id]
    assert await sql.fetchval("SELECT count(*) FROM key_holder") == 0


async def test_a_server_that_hangs_is_left(postgres_keys: str, sql: Any) -> None:
    async with started(postgres_keys) as channel:
        await until(lambda: channel.generation() == 0)
        stopped: set[int] = set()

        async def is_silent() -> bool:
            for backend in {row["pid"] for row in await sql.fetch(OTHERS)} - stopped:
                stopped.add(backend)
                os.kill(backend, signal.SIGSTOP)
            return channel.generation() is None

        try:
            await until(is_silent)
            await until(lambda: channel.generation() == 0)  # over a new connection
        finally:
            for backend in stopped:
                with suppress(ProcessLookupError):
                    os.kill(backend, signal.SIGCONT)


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A server that a test may kill."""
    server = Postgres()
    yield server
    server.stop()


async def test_a_killed_server_means_none_until_it_is_back(own_server: Postgres) -> None:
    url = own_server.create_database()
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(KeysBase.metadata.create_all)
    await database.aclose()
    async with started(url) as channel:
        await until(lambda: channel.generation() == 0)
        assert await channel.announce() == 1
        own_server.kill()
        await until(lambda: channel.generation() is None)
        with pytest.raises(ChannelDown):
            await channel.announce()
        own_server.start()
        await until(lambda: channel.generation() == 1)
        assert await channel.announce() == 2


async def test_an_unreachable_server_ends_quietly() -> None:
    async with started("postgresql+asyncpg://app@/none?host=/nowhere") as channel:
        with pytest.raises(ChannelDown) as caught:
            await channel.announce()
        assert channel.generation() is None
    assert caught.value.__cause__ is None


def test_the_engines_own_options_are_kept_from_the_driver() -> None:
    channel = PostgresChannel(
        "postgresql+asyncpg://app:s3cret@db:5433/keys?prepared_statement_cache_size=0&ssl=require"
    )
    assert channel._options == {
        "user": "app", "password": "s3cret", "host": "db", "port": 5433, "database": "keys", "ssl": "require"
    }  # fmt: skip
