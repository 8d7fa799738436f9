"""Engines and sessions: transactions, time, and what a failing statement says."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from governance.datamap import METADATA, DataUse, Store
from governance.db import Database, UtcDateTime
from governance.ids import uuid7
from governance.subjects import DataSubject, SubjectState
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from tests.services import child
from tests.services.postgres import Postgres

Stores = tuple[Database, KeyStore]


def subject(at: datetime | None = None) -> DataSubject:
    return DataSubject(id=uuid7(), state=SubjectState.ACTIVE, created_at=at or datetime.now(UTC))


async def test_a_transaction_is_whole_or_nothing(stores: Stores) -> None:
    one = subject()
    with pytest.raises(RuntimeError):
        async with stores[0].transaction(DataUse.SERVICE) as session:
            session.add(one)
            await session.flush()
            raise RuntimeError
    async with stores[0].session(DataUse.SERVICE) as session:
        assert (await session.scalars(select(DataSubject))).all() == []


async def test_times_are_utc_whatever_they_were(stores: Stores) -> None:
    at = datetime(2026, 3, 29, 3, 30, tzinfo=timezone(timedelta(hours=2)))
    one = subject(at)
    async with stores[0].transaction(DataUse.SERVICE) as session:
        session.add(one)
    async with stores[0].session(DataUse.SERVICE) as session:
        found = (await session.scalars(select(DataSubject).where(DataSubject.id == one.id))).one()
    assert found.created_at == at and found.created_at.tzinfo is UTC
    with pytest.raises(TypeError):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), None)  # type: ignore[arg-type]


async def test_writers_wait_for_each_other_instead_of_failing(stores: Stores) -> None:
    async def add() -> None:
        async with stores[0].transaction(DataUse.SERVICE) as session:
            await session.scalars(select(DataSubject))  # a read first: a deferred SQLite transaction would fail here
            session.add(subject())

    await asyncio.gather(*(add() for _ in range(20)))
    async with stores[0].session(DataUse.SERVICE) as session:
        assert len((await session.scalars(select(DataSubject))).all()) == 20


async def test_an_error_shows_no_parameters(stores: Stores) -> None:
    one = subject()
    with pytest.raises(IntegrityError) as caught:
        async with stores[0].transaction(DataUse.SERVICE) as session:
            session.add_all([one, DataSubject(id=one.id, state="kanarie-state", created_at=one.created_at)])
    assert "kanarie" not in str(caught.value)


async def test_sqlite_is_set_up_for_safety(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/x/data.db")
    async with database.engine.connect() as connection:
        wanted = {"journal_mode": "wal", "foreign_keys": 1, "secure_delete": 1, "synchronous": 2}
        found = {name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one() for name in wanted}
    assert found == wanted
    assert (tmp_path / "x" / "data.db").stat().st_mode & 0o077 == 0
    await database.aclose()


async def test_what_is_deleted_is_overwritten_in_the_file(tmp_path: Path) -> None:
    """SQLite's secure_delete: without it a deleted row stays readable in free pages and free cells."""
    data = Database(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    async with data.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE forgotten (id INTEGER PRIMARY KEY, words TEXT)"))
        for number in range(300):
            await connection.execute(
                text("INSERT INTO forgotten (words) VALUES (:words)"), {"words": f"needle-{number:04}" * 20}
            )
    async with data.engine.begin() as connection:
        await connection.execute(text("DELETE FROM forgotten"))
    await data.aclose()
    assert (tmp_path / "x.db").stat().st_size > 4096
    assert b"needle-0" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


_DEFAULTS = "ALTER ROLE app SET {0}", "ALTER DATABASE {1} SET {0}", "ALTER ROLE app IN DATABASE {1} SET {0}"


async def shown(session: AsyncSession) -> str:
    """The setting as it is within the session's transaction."""
    connection = await session.connection()
    return str((await connection.execute(text("SHOW synchronous_commit"))).scalar_one())


@pytest.mark.parametrize("default", [*_DEFAULTS, None])
async def test_a_commit_is_on_disk_whatever_the_servers_default_is(postgres: Postgres, default: str | None) -> None:
    url = postgres.create_database()
    name = url.split("@/")[1].split("?")[0]
    off = default.format("synchronous_commit = off", name) if default is not None else None
    await _administer(url, off)
    database = Database(url)
    try:
        async with database.session(DataUse.SERVICE) as session:
            assert await shown(session) == ("off" if off else "on")
        for _ in range(2):  # the connection comes back from the pool as it was
            async with database.transaction(DataUse.SERVICE) as session:
                assert await shown(session) == "on"
    finally:
        await database.aclose()
        await _administer(url, off and off.replace("SET synchronous_commit = off", "RESET synchronous_commit"))


async def test_a_stricter_default_is_left(postgres: Postgres) -> None:
    url = postgres.create_database()
    await _administer(url, f"ALTER DATABASE {url.split('@/')[1].split('?')[0]} SET synchronous_commit = remote_apply")
    database = Database(url)
    async with database.transaction(DataUse.SERVICE) as session:
        assert await shown(session) == "remote_apply"
    await database.aclose()


async def test_making_and_destroying_a_key_is_on_disk_when_it_returns(fresh_postgres: str, tmp_path: Path) -> None:
    """The key store's own commits, seen where they end."""
    await _administer(fresh_postgres, "ALTER ROLE app SET synchronous_commit = off")
    database = Database(fresh_postgres)
    async with database.engine.begin() as connection:
        await connection.run_sync(METADATA[Store.KEYS].create_all)
    at_commit: list[str] = []

    @event.listens_for(database.engine.sync_engine, "commit")
    def _look(connection: Connection) -> None:
        at_commit.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    try:
        keys = KeyStore(database, FileKeyring.create(tmp_path / "root.key"))
        one = uuid7()
        await keys.create_subject_key(one)
        made = len(at_commit)
        await keys.erase_subject(one)
        assert made and len(at_commit) > made and set(at_commit) == {"on"}
    finally:
        await database.aclose()
        await _administer(fresh_postgres, "ALTER ROLE app RESET synchronous_commit")


async def _administer(url: str, statement: str | None) -> None:
    """As the administrator would, on a connection of its own."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        if statement is not None:
            await connection.execute(text(statement))
    await engine.dispose()


SORT = """
import asyncio, json, sys
from pathlib import Path
from sqlalchemy import text
from governance.bodies import landlock
from governance.db import Database
folder = Path(sys.argv[1])
landlock.restrict([folder])
LARGE = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
    "SELECT count(*) FROM (SELECT hex(randomblob(50)) AS x FROM n ORDER BY x LIMIT 100000 OFFSET 10)"
)

async def sorted_rows(*pragmas):
    database = Database(f"sqlite+aiosqlite:///{folder}/a.db")
    async with database.engine.connect() as connection:
        for pragma in ("cache_size=10", *pragmas):
            await connection.execute(text(f"PRAGMA {pragma}"))
        try:
            return await connection.scalar(text(LARGE))
        except Exception as error:
            return type(error).__name__
        finally:
            await database.aclose()

print(json.dumps([asyncio.run(sorted_rows()), asyncio.run(sorted_rows("temp_store=DEFAULT"))]))
"""


def test_a_large_sort_needs_no_temporary_folder(tmp_path: Path) -> None:
    """A confined process has none, and what is sorted is personal data. As SQLite comes, it would open a file there."""
    assert child.told(SORT, tmp_path) == [19990, "OperationalError"]
