"""Rotation while the service runs: root key and node keys, subjects' keys, the blind index.

A rotation is a row that says when it began: what is older than that is still to do, so a killed one goes on where it
was. Nothing is opened for a use: envelopes are opened and sealed again inside the vault.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, String, Table, Uuid, select, update
from sqlalchemy.orm import Mapped

from governance import clock, events
from governance.datamap import METADATA, DataUse, KeysBase, Store, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import KeyGone, SealBroken, VaultError
from governance.ids import uuid7
from governance.session_use import rewrapping
from governance.vault import envelope
from governance.vault.blind_index import EmailIndex
from governance.vault.columns import sealed_names
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed, open_sealed

GRACE = timedelta(days=7)
"""How long replaced keys of subjects stay at least: the journals of a dead machine may still be under them."""
_BATCH = 32


class What(StrEnum):
    """What can be rotated."""

    KEK = "kek"
    SUBJECTS = "subjects"
    INDEX = "index"


class Rotation(KeysBase):
    """One rotation, going on until it is finished."""

    __tablename__ = "rotation"

    id: Mapped[UUID] = impersonal(Uuid, 80, primary_key=True)
    what: Mapped[str] = impersonal(String(16), 81)
    started_at: Mapped[datetime] = impersonal(UtcDateTime, 82)
    finished_at: Mapped[datetime | None] = impersonal(UtcDateTime, 83, nullable=True)
    total: Mapped[int] = impersonal(Integer, 84)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: keys, nodes or entries."""

    done: int
    total: int


async def rotate(what: What, keys: KeyStore, data: Database) -> AsyncIterator[Progress]:
    """Run a rotation to its end, or go on with one that was cut short. Raises Conflict where the keyring can't roll."""
    step = {What.KEK: _kek, What.SUBJECTS: _subjects, What.INDEX: _index}[what]
    current = await _begin(what, keys)
    yield Progress(0, current.total)
    async for left in step(keys, data, current.started_at):
        yield Progress(max(current.total - left, 0), current.total)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        row = await session.get_one(Rotation, current.id)
        row.finished_at = clock.now()
    await events.emit_async("vault:rotation:finished", {"what": what.value, "rewrapped": current.total})


async def last(what: What, keys: KeyStore) -> Rotation | None:
    """The newest rotation of a kind."""
    newest = select(Rotation).where(Rotation.what == what).order_by(Rotation.started_at.desc()).limit(1)
    async with keys.db.session(DataUse.SECURITY) as session:
        return await session.scalar(newest)


async def left(row: Rotation, keys: KeyStore) -> int:
    """What a rotation has still to do."""
    if row.finished_at is not None:
        return 0
    if row.what == What.KEK:
        return await keys.nodes(row.started_at)
    if row.what == What.SUBJECTS:
        return await keys.older_subject_keys(row.started_at)
    index_keys = await keys.service_keys(EmailIndex.KEY)
    return await EmailIndex(keys).under(index_keys[-1].id) if len(index_keys) > 1 else 0


async def _begin(what: What, keys: KeyStore) -> Rotation:
    newest = await last(what, keys)
    if newest is not None and newest.finished_at is None:
        return newest
    now = clock.now()
    row = Rotation(id=uuid7(), what=what, started_at=now, total=await _total(what, keys, now))
    async with keys.db.transaction(DataUse.SECURITY) as session:
        session.add(row)
    await events.emit_async("vault:rotation:started", {"what": what.value, "total": row.total})
    return row


async def _total(what: What, keys: KeyStore, now: datetime) -> int:
    if what is What.KEK:
        return await keys.nodes()
    if what is What.SUBJECTS:
        return await keys.older_subject_keys(now)
    return await EmailIndex(keys).under((await keys.service_key(EmailIndex.KEY)).id)


async def _kek(keys: KeyStore, data: Database, started_at: datetime) -> AsyncIterator[int]:
    # First the new root key, so that no node gets a fresh key under the one that may be known to others.
    await keys.roll_root()
    while left := await keys.nodes(started_at):
        yield left
        await keys.rekey_nodes(started_at, _BATCH)
    yield 0


async def _index(keys: KeyStore, data: Database, started_at: datetime) -> AsyncIterator[int]:
    index = EmailIndex(keys)
    old = await keys.replace_service_key(EmailIndex.KEY)
    while not await index.end(old.id):
        yield await index.under(old.id)
        await index.rehash(old.id, _BATCH)
    yield 0


async def _subjects(keys: KeyStore, data: Database, started_at: datetime) -> AsyncIterator[int]:
    while subjects := await keys.replace_subject_keys(started_at, clock.now() + GRACE, _BATCH):
        for subject_id in subjects:
            await reseal(keys, data, subject_id)
        yield await keys.older_subject_keys(started_at)
    # A kill between the two lines above leaves values under replaced keys: `retire` moves them before those end.
    yield 0


async def retire(keys: KeyStore, data: Database, oldest_backup: datetime | None) -> None:
    """Destroy subjects' replaced keys once nothing needs them any more: no value here, and no backup of the data.

    `oldest_backup`: when the oldest data backup that may still be restored was made; keys that were in use then stay.
    """
    by_subject: dict[UUID, list[UUID]] = {}
    for key_id, subject_id in (await keys.replaced_keys_over(oldest_backup)).items():
        by_subject.setdefault(subject_id, []).append(key_id)
    ended: list[UUID] = []
    for subject_id, key_ids in by_subject.items():
        try:
            await reseal(keys, data, subject_id)
        except VaultError as error:
            # Theirs stay, and the next round tries again: one damaged key must not keep everybody's.
            await events.emit_async("vault:reseal:failed", {"type": type(error).__name__, "keys": len(key_ids)})
            continue
        ended += key_ids
    if ended:
        await keys.destroy(ended)


async def reseal(keys: KeyStore, data: Database, subject_id: UUID) -> int:
    """Seal a subject's values that are under replaced keys under the current ones; how many. May be repeated."""
    moved = 0
    for store, db in ((Store.DATA, data), (Store.KEYS, keys.db)):
        for table in METADATA[store].sorted_tables:
            names = sealed_names(table)
            if names and "subject_id" in table.columns:
                moved += await _reseal_table(keys, db, table, names, subject_id)
    return moved


async def _reseal_table(keys: KeyStore, db: Database, table: Table, names: tuple[str, ...], subject_id: UUID) -> int:
    moved = 0
    mine = select(table.c.id, *(table.c[name] for name in names)).where(table.c.subject_id == subject_id)
    async with db.session(DataUse.SECURITY) as session:
        with rewrapping(session):
            rows = (await session.execute(mine)).all()
    for row_id, *values in rows:
        for name, value in zip(names, values, strict=True):
            fresh = await _reseal_value(keys, table, name, value, subject_id, row_id)
            if fresh is not None:
                # Only where it is still what was read: a value written meanwhile is under the new key already.
                same = (table.c.id == row_id, table.c[name] == value)
                async with db.transaction(DataUse.SECURITY) as session:
                    await session.execute(update(table).where(*same).values({name: fresh}))
                moved += 1
    return moved


async def _reseal_value(
    keys: KeyStore, table: Table, name: str, value: Sealed[Any] | None, subject_id: UUID, row_id: UUID
) -> Sealed[Any] | None:
    if value is None:
        return None
    column = table.c[name]
    declaration = column.info["declaration"]
    first, second = envelope.key_ids(value.envelope)
    try:
        current = await keys.subject_key(subject_id, declaration.on_erasure.basis)
        if first == current.id:
            return None
        context = envelope.column_context(declaration.seal_id, subject_id, row_id)
        plain = await open_sealed(keys, value.envelope, subject_id, context)
        limit = (await keys.key(second)).key if second is not None else None
    except KeyGone:
        return None  # noise already
    except SealBroken:
        # It opens under no key: to keep its old key would keep everybody's.
        await events.emit_async("vault:value:broken", {"table": str(table.name), "column": name, "row": str(row_id)})
        return None
    return Sealed(envelope.seal(current, plain, context, limit=limit), column.type.kind)  # type: ignore[attr-defined]
