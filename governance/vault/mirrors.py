"""Where the list of destroyed keys is kept besides the key store, so that restoring an old copy of it revives nothing.

The data store has one copy, the log folder another: each store may be restored alone, and the log never is.
"""

import asyncio
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from uuid import UUID

from sqlalchemy import Integer, Uuid, func, select
from sqlalchemy.orm import Mapped

from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared, impersonal
from governance.db import Database
from governance.ids import uuid7
from governance.vault.destruction import Destructions, by_epoch


class Mirror(Protocol):
    """A copy of what was destroyed, by epoch."""

    async def epoch(self) -> int:
        """The last epoch recorded; 0 where there is none."""

    async def record(self, happened: Destructions) -> None:
        """Keep one epoch durably. May be repeated."""

    async def since(self, epoch: int) -> list[Destructions]:
        """What was recorded after an epoch, in order."""


class DestroyedCopy(Base):
    """One destroyed key or erased subject, as the data store remembers it."""

    __tablename__ = "destroyed_copy"

    id: Mapped[UUID] = impersonal(Uuid, 130, primary_key=True)
    epoch: Mapped[int] = impersonal(Integer, 131, index=True)
    key_id: Mapped[UUID | None] = impersonal(Uuid, 132, nullable=True)
    subject_id: Mapped[UUID | None] = declared(
        Uuid, 133, "user.unique_id.pseudonymous", (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION), nullable=True, index=True,
        retention="tombstone", on_erasure=OnErasure.KEEP_REQUEST, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip


class DataMirror:
    """In the data store."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def epoch(self) -> int:
        async with self._db.session(DataUse.SECURITY) as session:
            return await session.scalar(select(func.max(DestroyedCopy.epoch))) or 0

    async def record(self, happened: Destructions) -> None:
        async with self._db.transaction(DataUse.SECURITY) as session:
            if await session.scalar(select(DestroyedCopy.id).where(DestroyedCopy.epoch == happened.epoch).limit(1)):
                return
            for key_id in happened.key_ids:
                session.add(DestroyedCopy(id=uuid7(), epoch=happened.epoch, key_id=key_id))
            for subject_id in happened.subject_ids:
                session.add(DestroyedCopy(id=uuid7(), epoch=happened.epoch, subject_id=subject_id))

    async def since(self, epoch: int) -> list[Destructions]:
        async with self._db.session(DataUse.SECURITY) as session:
            rows = (await session.scalars(select(DestroyedCopy).where(DestroyedCopy.epoch > epoch))).all()
        return by_epoch(
            ((row.epoch, row.key_id) for row in rows if row.key_id is not None),
            ((row.epoch, row.subject_id) for row in rows if row.subject_id is not None),
        )


class LogMirror:
    """One JSON line an epoch in `destroyed-keys.jsonl` of the log folder. A line cut short by a crash is no line."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "destroyed-keys.jsonl"
        self._last: int | None = None

    async def epoch(self) -> int:
        """Read once: what a sibling appended since is at worst appended again."""
        if self._last is None:
            self._last = max((happened.epoch for happened in await self.since(0)), default=0)
        return self._last

    async def record(self, happened: Destructions) -> None:
        line = json.dumps(
            {
                "epoch": happened.epoch,
                "keys": [str(key_id) for key_id in happened.key_ids],
                "subjects": [str(subject_id) for subject_id in happened.subject_ids],
            }
        )
        await asyncio.to_thread(self._append, f"\n{line}\n".encode())
        self._last = max(self._last or 0, happened.epoch)

    def _append(self, data: bytes) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(handle, data) != len(data):
                raise OSError("short write")
            os.fsync(handle)
        finally:
            os.close(handle)

    async def since(self, epoch: int) -> list[Destructions]:
        found = await asyncio.to_thread(lambda: list(self._lines()))
        return sorted((each for each in found if each.epoch > epoch), key=lambda each: each.epoch)

    def _lines(self) -> Iterable[Destructions]:
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                read = json.loads(line)
                yield Destructions(
                    read["epoch"],
                    tuple(UUID(text) for text in read["keys"]),
                    tuple(UUID(text) for text in read["subjects"]),
                )
            except (ValueError, KeyError, TypeError):
                continue
