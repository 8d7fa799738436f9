"""Reads a PostgreSQL database by SQL: every table of every schema, large objects, and what the server remembers of queries.

Rows come by COPY, once as text and once as bytes, so that no type can hide a value behind how it prints.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]

_HEAD_SIZE = 19  # with the length of what may follow it
_OBJECT_PIECE = 1 << 20
_TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'S') AND c.relname <> 'pg_largeobject' AND c.relpersistence <> 't' ORDER BY 1
"""
_FOREIGN = "SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class WHERE relkind = 'f'"
_STATEMENTS = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND c.relname IN ('pg_stat_statements', 'pg_stat_activity', 'pg_prepared_xacts',
                                            'pg_replication_slots', 'pg_stat_replication')
"""
_SEES_ALL = "SELECT rolsuper OR pg_has_role(current_user, 'pg_read_all_stats', 'usage') FROM pg_roles WHERE rolname = current_user"
Take = Callable[[bytes], None]
Refused: tuple[type[Exception], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError)
Unreachable: tuple[type[Exception], ...] = (OSError, *Refused)
Connection = asyncpg.Connection


@asynccontextmanager
async def connected(url: str, *, writes: bool = False) -> AsyncIterator[asyncpg.Connection]:
    """A connection that can't write unless it is to. Raises OSError or Refused where there is none."""
    settings = {
        "default_transaction_read_only": "off" if writes else "on",
        "row_security": "off",
        "application_name": "scan",
    }
    connection = await asyncpg.connect(url.replace("+asyncpg", "").replace("+psycopg", ""), server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def tables(connection: asyncpg.Connection) -> list[str]:
    """Names of tables, materialised views and sequences, the catalogue's too, then of the server's views on queries."""
    found = [*await connection.fetch(_TABLES), *await connection.fetch(_STATEMENTS)]
    return [row[0] for row in found]


async def out_of_reach(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    """(place, why) for what SQL doesn't show us."""
    gaps = [(str(row[0]), "a foreign table: its rows are elsewhere") for row in await connection.fetch(_FOREIGN)]
    if not await connection.fetchval(_SEES_ALL):
        gaps.append(("pg_stat_activity", "queries of others are hidden from this role"))
    return gaps


async def copy_text(connection: asyncpg.Connection, table: str, take: Take) -> None:
    """Hand the table over as COPY's text. Raises Refused."""
    await _copy(connection, table, "text", take)


async def copy_binary(connection: asyncpg.Connection, table: str, take: Take) -> None:
    """Hand the table over as COPY's bytes. Raises Refused, also where a type has no binary form."""
    await _copy(connection, table, "binary", take)


async def _copy(connection: asyncpg.Connection, table: str, how: str, take: Take) -> None:
    async def taken(data: bytes) -> None:
        take(data)

    await connection.copy_from_query(f"SELECT * FROM {table}", output=taken, format=how)  # noqa: S608


class Fields:
    """Cuts COPY's bytes into values."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._fields = 0  # of the row that were not read yet
        self._started = self._over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Every whole value, in order."""
        held = self._held
        held += data
        at = 0
        if not self._started and len(held) >= _HEAD_SIZE:
            at = _HEAD_SIZE + int.from_bytes(held[15:_HEAD_SIZE], "big")
            self._started = True
        while self._started and not self._over:
            if not self._fields:
                if len(held) < at + 2:
                    break
                self._fields = int.from_bytes(held[at : at + 2], "big", signed=True)
                at += 2
                self._over = self._fields < 0
                continue
            if len(held) < at + 4:
                break
            size = int.from_bytes(held[at : at + 4], "big", signed=True)
            if len(held) < at + 4 + max(size, 0):
                break
            at += 4
            self._fields -= 1
            if size > 0:
                yield bytes(held[at : at + size])
                at += size
        del held[:at]


async def large_objects(connection: asyncpg.Connection) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
    """(id, its bytes in pieces) of every large object. Raises Refused."""
    for row in await connection.fetch("SELECT oid FROM pg_largeobject_metadata ORDER BY oid"):
        yield row[0], _object(connection, row[0])


async def _object(connection: asyncpg.Connection, oid: int) -> AsyncIterator[bytes]:
    at = 0
    while piece := await connection.fetchval("SELECT lo_get($1, $2, $3)", oid, at, _OBJECT_PIECE):
        yield piece
        at += len(piece)
