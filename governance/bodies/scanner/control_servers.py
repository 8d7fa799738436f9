"""Sinks of the positive control in PostgreSQL and Redis: by their wire, and in the files that they write."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from governance.bodies.scanner import postgres_sql
from governance.bodies.scanner.control_sinks import Planted, Sink
from governance.bodies.scanner.search import Search

_LOG_FILE = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
_LARGE = 20_000  # bytes: TOAST takes it out of the row


@dataclass
class _Postgres:
    """Rows of a table of our own. `storage` and `compression` are how its column rests."""

    url: str
    name: str
    data_folder: Path | None = None
    padding: int = 0
    storage: str = "EXTENDED"
    compression: str = "pglz"
    takes_headless: bool = True
    table: str = ""
    files: list[Path] = field(default_factory=list)

    async def plant(self, values: Planted) -> None:
        self.table = f"control_{secrets.token_hex(8)}"
        async with postgres_sql.connected(self.url, writes=True) as connection:
            await connection.execute(f"CREATE TABLE {self.table} (id serial, t text, b bytea)")
            for column in "t", "b":
                await connection.execute(f"ALTER TABLE {self.table} ALTER {column} SET STORAGE {self.storage}")
                if self.compression != "pglz":
                    await connection.execute(
                        f"ALTER TABLE {self.table} ALTER {column} SET COMPRESSION {self.compression}"
                    )
            for encoding, data in values:
                row = (None, data) if encoding.binary else (data.decode(), None)
                await connection.execute(f"INSERT INTO {self.table} (t, b) VALUES ($1, $2)", *row)  # noqa: S608
            await self._planted(connection)

    async def _planted(self, connection: postgres_sql.Connection) -> None:
        return

    async def look(self, search: Search) -> None:
        await search.postgres(self.url)

    async def clear(self) -> None:
        async with postgres_sql.connected(self.url, writes=True) as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {self.table}")


class _Files(_Postgres):
    """The files of the table and of its TOAST table."""

    async def _planted(self, connection: postgres_sql.Connection) -> None:
        assert self.data_folder is not None
        await connection.execute("CHECKPOINT")
        paths = await connection.fetchrow(
            "SELECT pg_relation_filepath(c.oid), pg_relation_filepath(c.reltoastrelid) FROM pg_class c WHERE relname = $1",
            self.table,
        )
        self.files = [self.data_folder / path for path in paths if path]

    async def look(self, search: Search) -> None:
        for file in self.files:
            search.path(file)


class _DeadRows(_Files):
    """Rows that were deleted and not vacuumed."""

    async def _planted(self, connection: postgres_sql.Connection) -> None:
        await connection.execute(f"DELETE FROM {self.table}")  # noqa: S608
        await super()._planted(connection)


class _Log(_Postgres):
    """The write-ahead log, as far as it tells of these rows."""

    first = "000000000000000000000000"

    async def plant(self, values: Planted) -> None:
        async with postgres_sql.connected(self.url) as connection:
            self.first = await connection.fetchval(_LOG_FILE)
        await super().plant(values)

    async def _planted(self, connection: postgres_sql.Connection) -> None:
        assert self.data_folder is not None
        last = await connection.fetchval(_LOG_FILE)
        logs = self.data_folder / "pg_wal"
        self.files = sorted(path for path in logs.iterdir() if len(path.name) == 24 and self.first <= path.name <= last)

    async def look(self, search: Search) -> None:
        for file in self.files:
            search.path(file)


class _LogImages(_Log):
    """Images of whole pages in the log, which the server writes after a checkpoint, compressed."""

    async def _planted(self, connection: postgres_sql.Connection) -> None:
        await connection.execute(f"SET wal_compression = {self.compression}")
        await connection.execute("SELECT pg_switch_wal()")
        await connection.execute("CHECKPOINT")
        self.first = await connection.fetchval(_LOG_FILE)
        await connection.execute(f"UPDATE {self.table} SET id = id + 1")  # noqa: S608
        await super()._planted(connection)


async def postgres_sinks(url: str) -> list[Sink]:
    """By SQL, and in files where the server's data directory can be read from here. Raises OSError where it isn't reached."""
    try:
        async with postgres_sql.connected(url) as connection:
            found = Path(await connection.fetchval("SHOW data_directory"))
            methods = await connection.fetchval(
                "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
            )
    except postgres_sql.Refused:
        found, methods = Path("/nonexistent"), []
    sinks: list[Sink] = [
        _Postgres(url, "PostgreSQL by SQL"),
        _Postgres(url, "PostgreSQL by SQL, large values", padding=_LARGE),
    ]
    if not (found / "pg_wal").is_dir():
        return sinks
    sinks += [
        _Files(url, "PostgreSQL table file", found, storage="PLAIN"),
        _Files(url, "PostgreSQL TOAST, not compressed", found, padding=_LARGE, storage="EXTERNAL"),
        _DeadRows(url, "PostgreSQL dead rows", found),
        _Log(url, "PostgreSQL log", found),
        _Log(url, "PostgreSQL log, large values", found, padding=_LARGE),
    ]
    for method in methods:
        sinks += [
            _Files(url, f"PostgreSQL TOAST, {method}", found, padding=_LARGE, compression=method),
            _Files(url, f"PostgreSQL compressed in the row, {method}", found, padding=3_000, compression=method),
            _LogImages(url, f"PostgreSQL page images, {method}", found, storage="PLAIN", compression=method),
        ]
    return sinks


@dataclass
class _Redis:
    """Keys of our own; each value as a string and within each other type."""

    url: str
    name: str
    kind: str
    padding: int = 0
    takes_headless: bool = True
    prefix: str = ""

    async def plant(self, values: Planted) -> None:
        self.prefix = f"control:{secrets.token_hex(8)}"
        client: Any = Redis.from_url(self.url)
        try:
            for number, (_, data) in enumerate(values):
                await client.execute_command(*self._command(f"{self.prefix}:{number}", data))
        finally:
            await client.aclose()

    def _command(self, key: str, data: bytes) -> Sequence[Any]:
        match self.kind:
            case "list":
                return "RPUSH", key, data
            case "set":
                return "SADD", key, data
            case "zset":
                return "ZADD", key, "1", data
            case "hash":
                return "HSET", key, "field", data
            case "stream":
                return "XADD", key, "*", "field", data
        return "SET", key, data

    async def look(self, search: Search) -> None:
        await search.redis(self.url)

    async def clear(self) -> None:
        client: Any = Redis.from_url(self.url)
        try:
            async for key in client.scan_iter(match=f"{self.prefix}:*"):
                await client.delete(key)
        finally:
            await client.aclose()


@dataclass
class _RedisDump(_Redis):
    """A dump file of our own, each value as the server itself writes it into one."""

    folder: Path = Path()

    async def look(self, search: Search) -> None:
        client: Any = Redis.from_url(self.url)
        file = self.folder / f"{self.prefix.replace(':', '-')}.rdb"
        try:
            with file.open("wb") as dump:
                dump.write(b"REDIS0010\xfe\0")
                async for key in client.scan_iter(match=f"{self.prefix}:*"):
                    value = await client.dump(key)  # its type, its value, two bytes of version and eight of checksum
                    dump.write(value[:1] + bytes((len(key),)) + key + value[1:-10])
                dump.write(b"\xff" + bytes(8))
        finally:
            await client.aclose()
        search.path(file)


def redis_sinks(folder: Path, url: str) -> list[Sink]:
    """By the wire, and in a dump."""
    return [
        *(_Redis(url, f"Redis {kind}", kind) for kind in ("string", "list", "set", "zset", "hash", "stream")),
        *(_RedisDump(url, f"Redis dump, {kind}", kind, folder=folder) for kind in ("string", "list", "set", "hash")),
        _RedisDump(url, "Redis dump, large values", "string", padding=_LARGE, folder=folder),
    ]
