"""Stores with their tables, copied from one that was made once: to make thirty tables for each test takes longer than it.

A PostgreSQL database that a test is done with is emptied and given to the next one: to make another takes half a second.
"""

from pathlib import Path

import asyncpg

from governance.datamap import METADATA, Store
from governance.db import Database
from tests.services.postgres import Postgres

_files: dict[Store, bytes] = {}
_databases: dict[tuple[int, Store], str] = {}
_free: dict[tuple[int, Store], list[str]] = {}


async def _made(url: str, store: Store) -> None:
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(METADATA[store].create_all)
    await database.aclose()


async def sqlite(path: Path, store: Store) -> str:
    """A fresh SQLite store at the path; its async URL."""
    url = f"sqlite+aiosqlite:///{path}"
    if store in _files:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_bytes(_files[store])
    else:
        await _made(url, store)
        assert not path.with_name(path.name + "-wal").exists()
        _files[store] = path.read_bytes()
    return url


async def postgresql(server: Postgres, store: Store) -> str:
    """A fresh database of the server; its async URL."""
    key = (id(server), store)
    if _free.get(key):
        return _free[key].pop()
    if key not in _databases:
        _databases[key] = server.create_database()
        await _made(_databases[key], store)
    return server.create_database(like=_databases[key])


async def done_with(server: Postgres, store: Store, url: str) -> None:
    """Empty a database that `postgresql` gave, whatever a test left in it; who is still connected is cut off."""
    name, host = url.split("@/")[1].split("?host=")
    connection = await asyncpg.connect(host=host, user="app", database=name)
    try:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        emptied = [f'DELETE FROM "{row["tablename"]}"' for row in tables]
        await connection.execute("; ".join(["SET session_replication_role = replica", *emptied]))
    finally:
        await connection.close()
    _free.setdefault((id(server), store), []).append(url)
