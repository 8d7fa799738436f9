"""The key channel of many machines: the generation is a row of the key store on PostgreSQL.

A beat, every 250 ms and at once on NOTIFY: (1) "I am here, and hold generation g" is committed, (2) the generation is
read, (3) a newer one is taken and acknowledged. What was read is good for one second from the beat's *start*. An
announcement: (1) a new generation is committed, (2) who holds an older one is looked up, and waited for. In whichever
order these come, nobody is missed: who isn't found at (2) committed its presence later, so it reads later too, and reads
the new generation. And who doesn't move at all has stopped believing an older one a second after (1).

NOTIFY only makes it quick. A holder that missed one, or sits behind a proxy that eats them, learns it by its next beat.
The holders' table is logged: after a crash of the server those who may still use their caches must be known.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import BigInteger, Integer, Uuid, make_url
from sqlalchemy.orm import Mapped

from governance.datamap import KeysBase, impersonal
from governance.db import UtcDateTime
from governance.errors import ChannelDown

LIFE_S: Final = 1.0  # how long what a beat read is good
BEAT_S: Final = 0.25
WAIT_S: Final = LIFE_S + 0.1  # room for timers that fire early and clocks that don't run alike
REACH_S: Final = 5.0  # how long to try to reach the server
_POLL_S: Final = 0.005
_RETRY_S: Final = 0.05  # doubles to LIFE_S

_NAME: Final = "valueapi_keys"
_HERE: Final = """
    INSERT INTO key_holder (id, acknowledged, seen_at) VALUES ($1, $2, now())
    ON CONFLICT (id) DO UPDATE SET acknowledged = excluded.acknowledged, seen_at = excluded.seen_at"""
_GONE: Final = "DELETE FROM key_holder WHERE id = $1"
_READ: Final = "SELECT coalesce((SELECT value FROM key_generation WHERE id = 1), 0)"
# One statement: a process that stops half way holds no lock on the row.
_RAISE: Final = f"""
    WITH raised AS (
        INSERT INTO key_generation (id, value) VALUES (1, 1)
        ON CONFLICT (id) DO UPDATE SET value = key_generation.value + 1 RETURNING value
    ) SELECT value, pg_notify('{_NAME}', '') FROM raised"""  # noqa: S608
# Twice a life: the server's clock may be set meanwhile, and to wait for a dead one costs a second at most.
_BEHIND: Final = """
    SELECT EXISTS (SELECT FROM key_holder WHERE acknowledged < $1 AND seen_at > now() - interval '2 seconds')"""
_SWEEP: Final = "DELETE FROM key_holder WHERE seen_at < now() - interval '1 hour'"

_LOST: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)  # TimeoutError is an OSError


class KeyGeneration(KeysBase):
    """One row: the generation that caches of open keys must be of. Empty on SQLite, as is the next table."""

    __tablename__ = "key_generation"

    id: Mapped[int] = impersonal(Integer, 50, primary_key=True, autoincrement=False)
    value: Mapped[int] = impersonal(BigInteger, 51)


class KeyHolder(KeysBase):
    """A process that may cache open keys, by a random id; `seen_at` by the server's clock."""

    __tablename__ = "key_holder"

    id: Mapped[UUID] = impersonal(Uuid, 52, primary_key=True)
    acknowledged: Mapped[int] = impersonal(BigInteger, 53)
    seen_at: Mapped[datetime] = impersonal(UtcDateTime, 54)


class PostgresChannel:
    """One process's end: a connection of its own for beats, and one for the time of each announcement."""

    def __init__(self, url: str) -> None:
        """`url` as the key store's engine takes it."""
        parsed = make_url(url)
        _, self._options = parsed.get_dialect()().create_connect_args(parsed)
        for option in ("prepared_statement_cache_size", "prepared_statement_name_func"):
            self._options.pop(option, None)  # the engine's, not the driver's
        self._id = uuid4()
        self._generation = 0
        self._good_until = 0.0
        self._woken = asyncio.Event()
        self._closing = False
        self._beats: asyncio.Task[None] | None = None

    def generation(self) -> int | None:
        """What the last beat read; None where it is older than a second."""
        return self._generation if _clock() < self._good_until else None

    async def announce(self) -> int:
        """A new generation, when no process can believe an older one. Raises ChannelDown."""
        generation = None
        dead_at = 0.0
        try:
            async with asyncio.timeout(REACH_S), self._connected() as connection:
                generation = await connection.fetchval(_RAISE)
                # Who read an older one did so before this line, and believes it a second from there at most.
                dead_at = _clock() + WAIT_S
                async with asyncio.timeout(WAIT_S):
                    while await connection.fetchval(_BEHIND, generation):  # noqa: ASYNC110  others, not tasks
                        await asyncio.sleep(_POLL_S)
                    dead_at = 0.0
                await connection.execute(_SWEEP)
        except _LOST:
            if generation is None:
                raise ChannelDown("The key store can't be reached to announce a change of keys.") from None
        # Somebody doesn't move, or the server went and nobody can be asked: let the second pass.
        await asyncio.sleep(dead_at - _clock())
        return int(generation)

    async def start(self) -> None:
        """Begin beats; `generation()` is None until the first has come back."""
        if self._beats is None:
            self._beats = asyncio.create_task(self._live())

    async def aclose(self) -> None:
        """End them, and leave no row that an announcement would wait for."""
        if self._beats is None:
            return
        self._closing = True
        self._woken.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(REACH_S):
                await self._beats
        self._beats = None
        self._good_until = 0.0

    async def _live(self) -> None:
        pause = _RETRY_S
        while not self._closing:
            self._woken.clear()
            # Whatever is lost, `generation()` is None a second after the last whole beat: nothing to undo here.
            with suppress(*_LOST):
                async with self._connected() as connection:
                    async with asyncio.timeout(LIFE_S):
                        await connection.add_listener(_NAME, self._wake)
                    while not self._closing:
                        self._woken.clear()
                        async with asyncio.timeout(LIFE_S):
                            await self._beat(connection)
                        pause = _RETRY_S
                        await self._rest(BEAT_S)
                    await connection.execute(_GONE, self._id)
            await self._rest(pause * random.uniform(0.5, 1.5))  # noqa: S311  not all machines at once
            pause = min(pause * 2, LIFE_S)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _beat(self, connection: Any) -> None:
        began = _clock()
        await connection.execute(_HERE, self._id, self._generation)
        generation = await connection.fetchval(_READ)
        if generation < self._generation:
            # An older key store was put back under a running process: what is cached here may not exist there.
            return
        if generation > self._generation:
            self._generation = generation
            await connection.execute(_HERE, self._id, generation)
        self._good_until = began + LIFE_S

    def _wake(self, *_: object) -> None:
        self._woken.set()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(**self._options, timeout=REACH_S)
        try:
            yield connection
            await connection.close(timeout=LIFE_S)
        finally:
            connection.terminate()  # nothing where it is closed already; a lost one mustn't be waited for


def _clock() -> float:
    """Seconds. Runs on while the machine sleeps, unlike `time.monotonic`: a cache must not wake up still good."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
