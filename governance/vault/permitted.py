"""Which rows a session sees: those of subjects whose keys still serve its use. GDPR Art. 18, 21 and 7(3).

The truth lies with the keys (`subject_uses`). The data store has a projection of it, so that one criterion, added to
every SELECT of a class with a `subject_id`, leaves those rows out. It is versioned: before a session is opened, and the
key channel has moved since this process looked last, what changed is projected first. Two stores share no transaction:
a crash between them leaves the projection behind, which the next session of any process mends, and sealed values ask
the keys themselves.

Only SELECT is filtered. A change or deletion of rows that were not read states its own conditions, and whether a
restricted person's rows may be deleted (Art. 18: deletion is processing too) is the retention schedule's decision.
Uses that no restriction takes away (the law's own, signing in) have no criterion, and nor has any use that nobody
refuses.
"""

import asyncio
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, String, Table, Uuid, delete, event, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, ORMExecuteState, with_loader_criteria
from sqlalchemy.sql import visitors

from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared, impersonal
from governance.db import Database
from governance.errors import UseRefused
from governance.session_use import GovernedSession
from governance.vault.keys import KeyStore
from governance.vault.subject_uses import REQUEST_USES, Refusals

_SEES = (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION)
_OBJECTION, _RESTRICTION = "objection", "restriction"


class UseRefusal(Base):
    """One use that a subject's keys don't serve, and whether objection (or withdrawal) or restriction took it away."""

    __tablename__ = "use_refusal"

    subject_id: Mapped[UUID] = declared(
        Uuid, 140, "user.unique_id.pseudonymous", tuple(DataUse), primary_key=True,
        retention="account", on_erasure=OnErasure.DELETE, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip
    use: Mapped[str] = declared(
        String(64), 141, "user.privacy_preferences", tuple(DataUse), primary_key=True,
        retention="account", on_erasure=OnErasure.DELETE, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip
    by: Mapped[str] = declared(
        String(16), 142, "user.privacy_preferences", _SEES, primary_key=True,
        retention="account", on_erasure=OnErasure.DELETE, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip


class UseProjection(Base):
    """One row: the version of the keys' own list that `use_refusal` shows."""

    __tablename__ = "use_projection"

    id: Mapped[int] = impersonal(Integer, 143, primary_key=True)
    version: Mapped[int] = impersonal(Integer, 144)


class Permitted:
    """One process's view. `refused`: uses that somebody refuses, so that other uses cost no criterion."""

    def __init__(self, data: Database, keys: KeyStore) -> None:
        self._data = data
        self._keys = keys
        self._seen: int | None = None
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[object] | None = None
        self.refused: frozenset[str] = frozenset()
        data.context["permitted"] = self
        data.prepare = self.refresh
        keys.project = self.refresh

    async def refresh(self) -> None:
        """Bring the projection up to date where the keys may have changed; one load otherwise."""
        if self._is_fresh() or self._owner is asyncio.current_task():
            return  # the second: a session of the projection itself
        async with self._lock:
            if self._is_fresh():
                return
            self._owner = asyncio.current_task()
            # Taken before the reads: what changes meanwhile is read again.
            generation = self._keys.channel.generation()
            try:
                await self._project()
            finally:
                self._owner = None
            self._seen = generation

    def _is_fresh(self) -> bool:
        generation = self._keys.channel.generation()
        return generation is not None and generation == self._seen

    async def _project(self) -> None:
        async with self._data.session(DataUse.SECURITY) as session:
            known = await session.scalar(select(UseProjection.version)) or 0
        newest, changed = await self._keys.uses_since(known)
        if newest > known:
            async with self._data.transaction(DataUse.SECURITY) as session:
                row = await session.scalar(select(UseProjection).with_for_update())
                if row is None:
                    row = UseProjection(id=1, version=0)
                    session.add(row)
                # Another process may have been here meanwhile, and further: then this is old news.
                if row.version < newest:
                    row.version = newest
                    for refusals in changed:
                        await _write(session, refusals)
        async with self._data.session(DataUse.SECURITY) as session:
            self.refused = frozenset(await session.scalars(select(UseRefusal.use).distinct()))

    async def reconcile(self) -> int:
        """After an old key store was restored: give it back the objections and restrictions that this store knows of.

        How many subjects'. Before the service is ready, as `KeyStore.reconcile`.
        """
        async with self._data.session(DataUse.SECURITY) as session:
            version = await session.scalar(select(UseProjection.version)) or 0
            if version <= await self._keys.uses_version():
                return 0
            rows = (await session.scalars(select(UseRefusal))).all()
        by_subject: dict[UUID, list[UseRefusal]] = {}
        for row in rows:
            by_subject.setdefault(row.subject_id, []).append(row)
        known = [
            Refusals(
                subject_id,
                restricted=any(row.by == _RESTRICTION for row in mine),
                objected=frozenset(DataUse(row.use) for row in mine if row.by == _OBJECTION),
            )
            for subject_id, mine in by_subject.items()
        ]
        return await self._keys.give_back_uses(version, known)


async def _write(session: AsyncSession, refusals: Refusals) -> None:
    await session.execute(delete(UseRefusal).where(UseRefusal.subject_id == refusals.subject_id))
    restricted = frozenset(DataUse) - REQUEST_USES if refusals.restricted else frozenset()
    for by, uses in ((_OBJECTION, refusals.objected), (_RESTRICTION, restricted)):
        session.add_all(UseRefusal(subject_id=refusals.subject_id, use=use, by=by) for use in uses)


@event.listens_for(GovernedSession, "do_orm_execute")
def _filter(state: ORMExecuteState) -> None:
    permitted, use = state.session.info.get("permitted"), state.session.info.get("use")
    if not state.is_select or permitted is None or use not in permitted.refused:
        return
    if state.is_orm_statement:
        state.statement = state.statement.options(*_criteria(use))
    elif "rewrapping" not in state.session.info and _reads_subjects(state.statement):
        raise UseRefused("A plain table can't be read for a use that somebody refuses: select its mapped class.")


def _reads_subjects(statement: Any) -> bool:
    tables = {element for element in visitors.iterate(statement) if isinstance(element, Table)}
    return any("subject_id" in table.columns and table.name != UseRefusal.__tablename__ for table in tables)


@cache
def _criteria(use: DataUse) -> tuple[Any, ...]:
    refusing = select(UseRefusal.subject_id).where(UseRefusal.use == use)
    return tuple(
        with_loader_criteria(mapped, column.not_in(refusing) | column.is_(None), include_aliases=True)
        for mapped, column in _of_subjects()
    )


def _of_subjects() -> Iterator[tuple[type[Any], Any]]:
    """Every mapped class of the data store whose rows belong to a subject, and the column that says whose."""
    for mapper in Base.registry.mappers:
        if mapper.class_ is not UseRefusal and "subject_id" in mapper.columns:
            yield mapper.class_, mapper.class_.subject_id
