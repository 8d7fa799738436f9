"""Engines and sessions of the two stores, the same on SQLite and PostgreSQL.

A session is opened with a data use: plain columns linked to a subject are personal data too, and a read without a
purpose has no place to happen. A transaction takes the write lock at its start on SQLite (BEGIN IMMEDIATE), so that
read-then-write never fails half way. Its commit is on disk when it returns, whatever a server, database or role has as
its default: keys that were made or destroyed, and money, must not come back or go with a power loss.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Dialect, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from governance.datamap import DataUse
from governance.session_use import GovernedSession


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes on both databases; SQLite keeps no offset, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise TypeError("a datetime without offset can't be stored")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


async def _nothing() -> None:
    """What a store without subjects needs before a session."""


class Database:
    """One store: an engine, and sessions that state their use. `context` is what sealed columns need to open."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.sqlite = url.startswith("sqlite")
        # hide_parameters keeps values out of exception text; callers still log the type alone.
        options: dict[str, Any] = {"hide_parameters": True, "echo": False}
        if not self.sqlite:
            options |= {"pool_size": pool_size, "max_overflow": pool_size, "pool_pre_ping": True}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        self.context: dict[str, Any] = {}
        self.prepare: Callable[[], Awaitable[None]] = _nothing
        """Runs before each session: what decides which rows it sees is brought up to date."""
        if self.sqlite:
            _prepare_sqlite(self.engine)
        else:
            _prepare_postgresql(self.engine)
        self._writing = self.engine.execution_options(writing=True)

    @asynccontextmanager
    async def session(self, use: DataUse) -> AsyncIterator[AsyncSession]:
        """A session for reading, for one declared use."""
        await self.prepare()
        info = {**self.context, "use": use}
        async with AsyncSession(
            self.engine, sync_session_class=GovernedSession, expire_on_commit=False, info=info
        ) as session:
            yield session

    @asynccontextmanager
    async def transaction(self, use: DataUse) -> AsyncIterator[AsyncSession]:
        """A session that commits durably at the end of the block, or changes nothing."""
        await self.prepare()
        info = {**self.context, "use": use}
        opened = AsyncSession(self._writing, sync_session_class=GovernedSession, expire_on_commit=False, info=info)
        async with opened as session, session.begin():
            yield session

    async def aclose(self) -> None:
        await self.engine.dispose()


async def add_once(session: AsyncSession, row: DeclarativeBase) -> bool:
    """Add a row that another process may be adding at this moment; False where it was first, and nothing is added."""
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


def _prepare_sqlite(engine: AsyncEngine) -> None:
    path = engine.url.database
    if path:
        # Created before the driver does, so that it is never readable by others.
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        Path(path).touch(mode=0o600)

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "busy_timeout=15000",
            "temp_store=MEMORY",  # no sort of personal data spills into a temporary folder
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _prepare_postgresql(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        # By statement: a startup parameter isn't taken by every pooler. What is stricter than `on` is left.
        if _writes(connection):
            connection.exec_driver_sql(
                "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
            )


def _writes(connection: Any) -> bool:
    return bool(connection.get_execution_options().get("writing", False))
