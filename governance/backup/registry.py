"""Which backups there are, and until when. The list lies with the keys: a key destroyed must stay destroyed for longer
than the oldest backup that could bring its person back (Art. 17; EDPB, erasure in backups)."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, String, Uuid, delete, func, select, update
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import DataUse, KeysBase, Store, impersonal
from governance.db import Database, UtcDateTime

_PATH_MAX = 4096


class Backup(KeysBase):
    """One backup. `path` is where it was written (absolute), `sha256` in hex, `epoch` that of its store then."""

    __tablename__ = "backup"

    id: Mapped[UUID] = impersonal(Uuid, 40, primary_key=True)
    store: Mapped[str] = impersonal(String(8), 41)
    path: Mapped[str] = impersonal(String(_PATH_MAX), 42)
    sha256: Mapped[str] = impersonal(String(64), 43)
    size_bytes: Mapped[int] = impersonal(BigInteger, 44)
    epoch: Mapped[int] = impersonal(BigInteger, 45)
    created_at: Mapped[datetime] = impersonal(UtcDateTime, 46)
    expires_at: Mapped[datetime] = impersonal(UtcDateTime, 47)
    removed_at: Mapped[datetime | None] = impersonal(UtcDateTime, 48, nullable=True)


async def record(db: Database, backups: Iterable[Backup]) -> None:
    """Commit rows; one that is there already is brought up to date."""
    async with db.transaction(DataUse.SECURITY) as session:
        for backup in backups:
            await session.merge(backup)


async def forget(db: Database, backup_id: UUID) -> None:
    """Take back a row whose file never got its name."""
    async with db.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(Backup).where(Backup.id == backup_id))


async def rows(db: Database) -> list[Backup]:
    """Every backup ever registered, the newest first."""
    async with db.session(DataUse.SECURITY) as session:
        return list(await session.scalars(select(Backup).order_by(Backup.created_at.desc())))


async def mark_removed(db: Database, backup_id: UUID) -> None:
    """Its file is gone: it counts no more, here or in a receipt."""
    async with db.transaction(DataUse.SECURITY) as session:
        await session.execute(update(Backup).where(Backup.id == backup_id).values(removed_at=clock.now()))


async def oldest(db: Database, store: Store | None = None) -> datetime | None:
    """When the oldest backup that may still be restored was made: lists of what was destroyed must reach back to it."""
    living = select(func.min(Backup.created_at)).where(Backup.removed_at.is_(None), Backup.expires_at > clock.now())
    if store is not None:
        living = living.where(Backup.store == store.value)
    async with db.session(DataUse.SECURITY) as session:
        return await session.scalar(living)
