"""Which rows a session sees: those of subjects whose keys still serve its use. GDPR Art. 17, 18, 21 and 7(3).

The truth lies with the keys (`subject_uses`, and tombstones). The data store has a projection of it: `use_refusal`, and
the erased in its copy of what was destroyed (`mirrors`). One criterion, added to every statement that reads a class with
a `subject_id`, leaves those rows out. The projection is versioned: before a session is opened, and the key channel has
moved since this process looked last, what changed is projected first. Two stores share no transaction: a crash between
them leaves the projection behind, which the next session of any process mends, and sealed values ask the keys themselves.

An erased person's rows are there for nothing but what is kept of them: a statement that reads columns kept for a basis
alone, for a use that the basis serves. Rows that are linked to an account and to no subject (Credits set aside, the
ledger) aren't filtered.

What is read is filtered, also where a change returns it (RETURNING) or selects it to write it elsewhere: such a change
changes what it may read alone. A change or deletion that reads nothing states its own conditions, subqueries in them
included: so erasure and retention delete the rows that nobody sees any more, and whether a restricted person's rows may
be deleted (Art. 18: deletion is processing too) is the retention schedule's decision.
"""

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Integer, String, Uuid, and_, delete, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, with_loader_criteria

from governance.datamap import (
    BASIS_USES,
    Base,
    DataUse,
    KeyBasis,
    LegalBasis,
    OnErasure,
    declared,
    impersonal,
)
from governance.db import Database
from governance.ids import in_lists
from governance.statement import Reads
from governance.vault.keys import KeyStore
from governance.vault.mirrors import DataMirror, DestroyedCopy
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
    """One row: the version of the keys' own list that `use_refusal` shows, and that version's state."""

    __tablename__ = "use_projection"

    id: Mapped[int] = impersonal(Integer, 143, primary_key=True)
    version: Mapped[int] = impersonal(Integer, 144)
    state: Mapped[UUID] = impersonal(Uuid, 145)


class Permitted:
    """One process's view."""

    def __init__(self, data: Database, keys: KeyStore) -> None:
        self._data = data
        self._keys = keys
        self._seen: int | None = None
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[object] | None = None
        self._erased = DataMirror(data)
        data.context["permitted"] = self
        data.prepare = self.refresh
        keys.uses.project = self.refresh

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
            row = await session.get(UseProjection, 1)
        version, state = (row.version, row.state) if row is not None else (0, None)
        restored = not await self._keys.uses.knows(version, state)
        if restored:
            # One of the two stores was restored: each may know refusals that the other lost.
            await self._keys.uses.unite(await self._shown())
        newest, newest_state, changed = await self._keys.uses.since(0 if restored else version)
        if newest_state is not None and newest_state != state:
            await self._show(newest, newest_state, changed)
        await self._project_erased()

    async def _show(self, version: int, state: UUID, changed: Iterable[Refusals]) -> None:
        async with self._data.transaction(DataUse.SECURITY) as session:
            row = await session.scalar(select(UseProjection).with_for_update())
            ours = row is not None and await self._keys.uses.knows(row.version, row.state)
            # Another process may have been here meanwhile, and further: then this is old news.
            if row is not None and ours and row.version >= version:
                return
            if row is None:
                session.add(UseProjection(id=1, version=version, state=state))
            else:
                row.version, row.state = version, state
            if not ours:
                await session.execute(delete(UseRefusal))
            for refusals in changed:
                await _write(session, refusals)

    async def _project_erased(self) -> None:
        """Who was erased is in the data store's copy of the list of what was destroyed: here it is brought up to date."""
        if gone := await self._keys.destroyed_list.show_erased(self._erased):
            async with self._data.transaction(DataUse.SECURITY) as session:
                for some in in_lists(gone):
                    await session.execute(delete(UseRefusal).where(UseRefusal.subject_id.in_(some)))

    def criteria(self, use: DataUse, reads: Reads) -> tuple[Any, ...]:
        """Options that leave out rows of those who refuse the use, or are erased: what is kept of them serves its basis."""
        found = []
        for mapper in sorted(reads.entities, key=lambda mapper: mapper.class_.__name__):
            if mapper.class_ not in (UseRefusal, DestroyedCopy) and "subject_id" in mapper.all_orm_descriptors:
                read = [column for column in reads.columns if column.table is mapper.local_table]
                mapped: Any = mapper.class_
                found.append(_criterion(mapped, use.value, erased=not _kept(read, use)))
        return tuple(found)

    async def _shown(self) -> list[Refusals]:
        """What the projection says of each subject."""
        async with self._data.session(DataUse.SECURITY) as session:
            rows = (await session.scalars(select(UseRefusal))).all()
        by_subject: dict[UUID, list[UseRefusal]] = {}
        for row in rows:
            by_subject.setdefault(row.subject_id, []).append(row)
        return [
            Refusals(
                subject_id,
                restricted=any(row.by == _RESTRICTION for row in mine),
                objected=frozenset(DataUse(row.use) for row in mine if row.by == _OBJECTION),
            )
            for subject_id, mine in by_subject.items()
        ]


async def _write(session: AsyncSession, refusals: Refusals) -> None:
    await session.execute(delete(UseRefusal).where(UseRefusal.subject_id == refusals.subject_id))
    restricted = frozenset(DataUse) - REQUEST_USES if refusals.restricted else frozenset()
    for by, uses in ((_OBJECTION, refusals.objected), (_RESTRICTION, restricted)):
        session.add_all(UseRefusal(subject_id=refusals.subject_id, use=use, by=by) for use in uses)


@cache
def _criterion(mapped: Any, use: str, *, erased: bool) -> Any:
    """Leaves out who refuses the use, and who is `erased`. As a function of the class, or an alias of it joined to the
    class itself would be compared with the wrong row."""
    if not erased:
        return with_loader_criteria(
            mapped,
            lambda cls: _is_in(UseRefusal, cls.subject_id, UseRefusal.use == use).is_distinct_from(true()),
            include_aliases=True,
        )
    return with_loader_criteria(
        mapped,
        lambda cls: and_(
            _is_in(UseRefusal, cls.subject_id, UseRefusal.use == use).is_distinct_from(true()),
            _is_in(DestroyedCopy, cls.subject_id).is_distinct_from(true()),
        ),
        include_aliases=True,
    )


def _is_in(listed: Any, subject_id: Any, *where: ColumnElement[bool]) -> ColumnElement[bool | None]:
    """True or NULL, by one look into the list's index for each row. As NOT EXISTS it is an anti-join to PostgreSQL, which
    takes most rows for listed ones and reads the whole list for a page of a hundred."""
    return select(true()).where(listed.subject_id == subject_id, *where).limit(1).scalar_subquery()


def _kept(columns: Iterable[Column[Any]], use: DataUse) -> bool:
    """Whether what is read of a table is what stays of a person after an erasure, for this use (Art. 17(3))."""
    personal = [each for column in columns if (each := column.info["declaration"]).personal]
    bases = {each.on_erasure.basis for each in personal}
    return bool(bases) and KeyBasis.ERASABLE not in bases and all(use in BASIS_USES[basis] for basis in bases)
