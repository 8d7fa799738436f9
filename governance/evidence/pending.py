"""Entries in the store and the transaction of the change that they tell of: both are committed, or neither.

A row without a position waits for the sequencer (`log`). Afterwards it is what opens its leaf: salt and entry. Whom an
entry is about stands in a table of its own, sealed under that person's key: with the key gone, or the row, nothing links
the pseudonym to anybody.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, LargeBinary, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, Base, DataUse, KeysBase, LegalBasis, OnErasure, Store, declared, impersonal
from governance.db import Database
from governance.evidence.entry import SALT_BYTES, Entry, EntryType, Opened, checked, parse, read, row_digest
from governance.ids import NIL, in_lists, uuid7
from governance.vault import columns
from governance.vault.columns import SealedType
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed, bind_loaded

_PAGE = 256
KEY = "evidence"
"""The service key that entries of the data store are authenticated with (HMAC-SHA256)."""
_entry = partial(
    declared,
    LargeBinary,
    category="user.unique_id.pseudonymous",
    uses=(DataUse.SECURITY, DataUse.LEGAL_OBLIGATION),
    retention="evidence",
    on_erasure=OnErasure.DETACH,
    legal_basis=LegalBasis.LEGAL_OBLIGATION,
)
_link = partial(
    declared,
    uses=(DataUse.LEGAL_OBLIGATION, DataUse.SECURITY),
    category="user.unique_id.pseudonymous",
    retention="account",
    legal_basis=LegalBasis.LEGAL_OBLIGATION,
)


class DataEvidence(Base):
    """An entry about a change of the data store. `entry` is canonical JSON; `position` in the log, once it has one; `mac`: that
    this service recorded it, and not whoever else can write to the store."""

    __tablename__ = "data_evidence"

    id: Mapped[UUID] = impersonal(Uuid, 380, primary_key=True)
    position: Mapped[int | None] = impersonal(BigInteger, 381, nullable=True, unique=True)
    salt: Mapped[bytes] = impersonal(LargeBinary, 382)
    entry: Mapped[bytes] = _entry(seal_id=383)
    mac: Mapped[bytes] = impersonal(LargeBinary, 404)


class KeysEvidence(KeysBase):
    """An entry about a change of the key store."""

    __tablename__ = "keys_evidence"

    id: Mapped[UUID] = impersonal(Uuid, 384, primary_key=True)
    position: Mapped[int | None] = impersonal(BigInteger, 385, nullable=True, unique=True)
    salt: Mapped[bytes] = impersonal(LargeBinary, 386)
    entry: Mapped[bytes] = _entry(seal_id=387)


class DataEvidenceSubject(Base):
    """Whom an entry is about: the entry's id, sealed under the person's key."""

    __tablename__ = "data_evidence_subject"

    id: Mapped[UUID] = _link(Uuid, 388, primary_key=True, on_erasure=OnErasure.DELETE)
    subject_id: Mapped[UUID] = _link(Uuid, 389, index=True, on_erasure=OnErasure.DELETE)
    entry_id: Mapped[Sealed[bytes]] = _link(SealedType(bytes), 390, at_rest=AtRest.SEALED, on_erasure=OnErasure.SHRED)


class KeysEvidenceSubject(KeysBase):
    """The same, of an entry in the key store."""

    __tablename__ = "keys_evidence_subject"

    id: Mapped[UUID] = _link(Uuid, 391, primary_key=True, on_erasure=OnErasure.DELETE)
    subject_id: Mapped[UUID] = _link(Uuid, 392, index=True, on_erasure=OnErasure.DELETE)
    entry_id: Mapped[Sealed[bytes]] = _link(SealedType(bytes), 393, at_rest=AtRest.SEALED, on_erasure=OnErasure.SHRED)


class DataEvidenceState(Base):
    """One row: which log this store's entries are in, and the newest checkpoint that this store has heard of, as it was signed;
    empty before the first."""

    __tablename__ = "data_evidence_state"

    id: Mapped[int] = impersonal(BigInteger, 394, primary_key=True)
    log_id: Mapped[UUID] = impersonal(Uuid, 395)
    checkpoint: Mapped[str] = impersonal(Text, 402)


class KeysEvidenceState(KeysBase):
    """One row, the same."""

    __tablename__ = "keys_evidence_state"

    id: Mapped[int] = impersonal(BigInteger, 399, primary_key=True)
    log_id: Mapped[UUID] = impersonal(Uuid, 400)
    checkpoint: Mapped[str] = impersonal(Text, 403)


ROWS: dict[Store, Any] = {Store.DATA: DataEvidence, Store.KEYS: KeysEvidence}
LINKS: dict[Store, Any] = {Store.DATA: DataEvidenceSubject, Store.KEYS: KeysEvidenceSubject}
STATES: dict[Store, Any] = {Store.DATA: DataEvidenceState, Store.KEYS: KeysEvidenceState}


class Recorder:
    """Adds entries to transactions of one store."""

    def __init__(self, store: Store, keys: KeyStore) -> None:
        self._store = store
        self._keys = keys

    async def mac_key(self) -> bytes:
        """What entries of the data store are authenticated with; it rests in the key store."""
        return (await self._keys.service_key(KEY)).secret

    async def record(
        self,
        session: AsyncSession,
        entry_type: EntryType,
        detail: Mapping[str, Any],
        subject_id: UUID | None,
        row: bytes | None = None,
    ) -> UUID:
        """As `record` below."""
        pseudonym = uuid4() if subject_id is not None else None
        salt = os.urandom(SALT_BYTES)
        if row is not None:
            detail = {**detail, "row": row_digest(salt, row)}
        entry = Entry(uuid7(), clock.now(), entry_type, checked(entry_type, detail), pseudonym)
        made = ROWS[self._store](id=entry.id, salt=salt, entry=entry.canonical)
        if isinstance(made, DataEvidence):
            made.mac = _mac(await self.mac_key(), salt, entry.canonical)
        session.add(made)
        if subject_id is not None:
            # A random id: one that sorts by time would sort with its entry.
            link = LINKS[self._store](id=uuid4(), subject_id=subject_id)
            await columns.seal(self._keys, link, entry_id=entry.id.bytes)
            session.add(link)
        return entry.id


def attach(data: Database, keys: KeyStore) -> None:
    """From now on transactions of both stores know where their entries go, and the vault records what it does to keys."""
    recorders = {Store.DATA: Recorder(Store.DATA, keys), Store.KEYS: Recorder(Store.KEYS, keys)}
    data.context["evidence"] = recorders[Store.DATA]
    keys.db.context["evidence"] = recorders[Store.KEYS]

    async def of_the_vault(
        session: AsyncSession, event: str, detail: Mapping[str, Any], subject_id: UUID | None
    ) -> None:
        await recorders[Store.KEYS].record(session, EntryType(event), detail, subject_id)

    keys.record_change = of_the_vault


async def record(
    session: AsyncSession,
    entry_type: EntryType,
    *,
    detail: Mapping[str, Any],
    subject: UUID | None = None,
    row: bytes | None = None,
) -> UUID:
    """Add an entry to the transaction of the change that it tells of, in either store; the entry's id.

    `subject`: the person it is about, who appears under a pseudonym of this entry alone. `row`: what a row says whose digest
    the entry holds (`rows.Recorded`). Raises DeclarationError where the
    detail isn't what the type declares, KeyGone where the subject is erased, RuntimeError where `attach` wasn't called.
    """
    return await _recorder(session).record(session, entry_type, detail, subject, row)


async def authentic(session: AsyncSession, rows: Iterable[Any]) -> set[UUID]:
    """Ids of those entries of the data store that this service recorded; each with id, salt, entry and mac."""
    key = await _recorder(session).mac_key()
    return {each.id for each in rows if hmac.compare_digest(each.mac, _mac(key, each.salt, each.entry))}


def _recorder(session: AsyncSession) -> Recorder:
    recorder = session.info.get("evidence")
    if not isinstance(recorder, Recorder):
        raise RuntimeError("this session's store has no recorder: call pending.attach first")
    return recorder


def _mac(key: bytes, salt: bytes, entry: bytes) -> bytes:
    """The salt's length is fixed."""
    return hmac.digest(key, salt + entry, hashlib.sha256)


async def opened(store: Store, db: Database, since: int | None = 0) -> list[Opened]:
    """What a store has of the log's entries from a position on; None: of all that have one, be it one that can't be."""
    table = ROWS[store]
    which = table.position >= since if since is not None else table.position.is_not(None)
    query = select(table.position, table.salt, table.entry, table.id).where(which)
    async with db.session(DataUse.SECURITY) as session:
        return [Opened(*row) for row in await session.execute(query.order_by(table.position))]


async def waiting(store: Store, db: Database, limit: int | None = None) -> tuple[list[Any], list[UUID]]:
    """Entries that a store doesn't know the position of, by id, each with id, salt and entry; and the ids of those met that
    this service didn't record, which the log never takes in. `limit`: as many of the former are enough."""
    table = ROWS[store]
    columns = (table.id, table.salt, table.entry, *((table.mac,) if store is Store.DATA else ()))
    query = select(*columns).where(table.position.is_(None)).order_by(table.id).limit(_PAGE)
    found: list[Any] = []
    forged: list[UUID] = []
    after = NIL
    async with db.session(DataUse.SECURITY) as session:
        while True:
            rows = (await session.execute(query.where(table.id > after))).all()
            ours = await authentic(session, rows) if store is Store.DATA and rows else {row.id for row in rows}
            found += [row for row in rows if row.id in ours]
            forged += [row.id for row in rows if row.id not in ours]
            if len(rows) < _PAGE or (limit is not None and len(found) >= limit):
                return found[:limit], forged
            after = rows[-1].id


async def newest(store: Store, db: Database, limit: int) -> list[tuple[int | None, Entry]]:
    """A store's last entries and their positions, the newest first: by the log's order, which no clock decides. What waits for
    its position is newer than what has one."""
    table = ROWS[store]
    query = select(table.position, table.entry)
    async with db.session(DataUse.SECURITY) as session:
        waits = query.where(table.position.is_(None)).order_by(table.id.desc())
        rows = list(await session.execute(waits.limit(limit)))
        placed = query.where(table.position.is_not(None)).order_by(table.position.desc())
        rows += await session.execute(placed.limit(limit - len(rows)))
        return [
            (row.position, entry) for row in rows if (entry := read(row.entry)) is not None
        ]  # `verify` finds the rest


async def of_subject(store: Store, db: Database, keys: KeyStore, subject_id: UUID) -> list[Entry]:
    """What a store's entries say of a person, oldest first; for that person's own access (Art. 15)."""
    link, row = LINKS[store], ROWS[store]
    async with db.session(DataUse.LEGAL_OBLIGATION) as session:
        links = (await session.scalars(select(link).where(link.subject_id == subject_id))).all()
    ids = []
    for each in links:
        bind_loaded(each, ("entry_id",), keys)
        ids.append(UUID(bytes=await each.entry_id.open(DataUse.LEGAL_OBLIGATION)))
    found: list[Entry] = []
    async with db.session(DataUse.LEGAL_OBLIGATION) as session:
        for some in in_lists(ids):
            found += [parse(each) for each in await session.scalars(select(row.entry).where(row.id.in_(some)))]
    return sorted(found, key=lambda entry: entry.id)
