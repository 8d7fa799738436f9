"""Rows to back up, and every row of a store as it rests."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, select, type_coerce

from governance import clock
from governance.datamap import METADATA, DataUse, Store
from governance.db import Database
from governance.ids import uuid7
from governance.mail.outbox import MailState, OutboxMail
from governance.subjects import DataSubject, add_subject, new_subject
from governance.vault.columns import seal
from governance.vault.keys import KeyStore


async def add_mail(data: Database, keys: KeyStore, text: str) -> UUID:
    """A subject with one mail, in one transaction; the subject's id."""
    subject_id = await new_subject(keys)
    mail = OutboxMail(
        id=uuid7(), subject_id=subject_id, template="t", state=MailState.QUEUED, attempts=0, created_at=clock.now(),
        due_at=clock.now(), idempotency_key=str(subject_id),
    )  # fmt: skip
    await seal(keys, mail, recipient=text, subject_line=text, body=text)
    async with data.transaction(DataUse.SUPPORT) as session:
        add_subject(session, subject_id)
        await session.flush()
        session.add(mail)
    return subject_id


async def everything(db: Database, store: Store, *, but: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Every row of every table with its values as they rest."""
    found: dict[str, list[Any]] = {}
    async with db.engine.connect() as connection:
        for table in METADATA[store].sorted_tables:
            if table.name not in but and not table.name.startswith("test_"):
                columns = [type_coerce(c, LargeBinary) if getattr(c.type, "seals", False) else c for c in table.columns]
                found[table.name] = sorted(map(tuple, await connection.execute(select(*columns))), key=repr)
    return found


async def subjects(db: Database) -> set[UUID]:
    async with db.session(DataUse.SUPPORT) as session:
        return set(await session.scalars(select(DataSubject.id)))


def integrity(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


def url_of(db: Database) -> str:
    return db.engine.url.render_as_string(hide_password=False)


async def tables(url: str, store: Store) -> None:
    db = Database(url)
    async with db.engine.begin() as connection:
        await connection.run_sync(METADATA[store].create_all)
    await db.aclose()


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)
