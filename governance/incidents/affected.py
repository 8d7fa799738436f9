"""The people whose data a breach is about. GDPR Art. 34: told by name, so kept by id; erasure takes them off the list."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint, Uuid, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance.datamap import Base, DataUse, OnErasure, impersonal
from governance.db import Database, UtcDateTime
from governance.ids import in_lists, uuid7
from governance.incidents.incident import Incident, of_breach
from governance.incidents.opening import locked
from governance.session_use import reading_for
from governance.subjects import DataSubject

_of_person = partial(of_breach, on_erasure=OnErasure.DELETE)


class IncidentSubject(Base):
    """Somebody affected. `told_at`: when their notice was queued, or it was recorded that they were told otherwise."""

    __tablename__ = "incident_subject"
    __table_args__ = (UniqueConstraint("incident_id", "subject_id"),)

    id: Mapped[UUID] = impersonal(Uuid, 655, primary_key=True)
    incident_id: Mapped[UUID] = impersonal(Uuid, 656, args=(ForeignKey(Incident.id),))
    subject_id: Mapped[UUID] = _of_person(Uuid, 657, args=(ForeignKey(DataSubject.id),), index=True)
    told_at: Mapped[datetime | None] = _of_person(UtcDateTime, 658, nullable=True)


async def add(db: Database, incident_id: UUID, people: Iterable[UUID]) -> int:
    """Put people on the list; how many weren't on it.

    Raises NotFound for the incident; IntegrityError, and nobody is put on it, where somebody has no row.
    """
    wanted, added = set(people), 0
    async with db.transaction(DataUse.LEGAL_OBLIGATION) as session:
        await locked(session, incident_id)
        mine = IncidentSubject.incident_id == incident_id
        for some in in_lists(wanted):
            known = set(
                await session.scalars(
                    select(IncidentSubject.subject_id).where(mine, IncidentSubject.subject_id.in_(some))
                )
            )
            new = [each for each in some if each not in known]
            session.add_all(IncidentSubject(id=uuid7(), incident_id=incident_id, subject_id=each) for each in new)
            added += len(new)
    return added


async def listed(db: Database, incident_id: UUID) -> list[tuple[UUID, datetime | None]]:
    """Subject ids, and when each was told; in the order in which they were put on."""
    query = select(IncidentSubject.subject_id, IncidentSubject.told_at).where(
        IncidentSubject.incident_id == incident_id
    )
    async with db.session(DataUse.LEGAL_OBLIGATION) as session:
        return [(row.subject_id, row.told_at) for row in await session.execute(query.order_by(IncidentSubject.id))]


async def counted(session: AsyncSession, incident_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """By incident: how many are on the list, and how many of them were told; who restricted their data counts as well."""
    query = select(
        IncidentSubject.incident_id, func.count(IncidentSubject.subject_id), func.count(IncidentSubject.told_at)
    )
    mine = query.where(IncidentSubject.incident_id.in_(incident_ids)).group_by(IncidentSubject.incident_id)
    with reading_for(session, DataUse.LEGAL_OBLIGATION):  # Art. 34 has no exception for them
        return {row[0]: (row[1], row[2]) for row in await session.execute(mine)}


async def untold(session: AsyncSession, incident_id: UUID, subject_id: UUID) -> IncidentSubject | None:
    """The row of somebody who isn't told yet, locked; None where they are, or were erased."""
    mine = IncidentSubject.incident_id == incident_id, IncidentSubject.subject_id == subject_id
    query = select(IncidentSubject).where(*mine, IncidentSubject.told_at.is_(None))
    row: IncidentSubject | None = await session.scalar(query.with_for_update())
    return row
