"""Which published versions everybody was told of. Who is told, and how, is the router's matter; here rests that it was done."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Integer, Uuid, select
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime, add_once
from policies.versions import BY_PROGRAM, PolicyVersion

_USE = DataUse.LEGAL_OBLIGATION


class PolicyAnnouncement(Base):
    """That a version was announced. `told`: mails that were queued; `untold`: people who couldn't be written to."""

    __tablename__ = "policy_announcement"

    version_id: Mapped[UUID] = impersonal(Uuid, 705, primary_key=True, args=(ForeignKey(PolicyVersion.id),))
    told: Mapped[int] = impersonal(Integer, 706)
    untold: Mapped[int] = impersonal(Integer, 707)
    done_at: Mapped[datetime] = impersonal(UtcDateTime, 708)


async def waiting(db: Database) -> list[PolicyVersion]:
    """Versions that were published here and that not everybody was told of yet, the oldest first. What ships with the program
    was in force before anybody was here."""
    announced = select(PolicyAnnouncement.version_id)
    query = select(PolicyVersion).where(PolicyVersion.published_by != BY_PROGRAM, PolicyVersion.id.not_in(announced))
    async with db.session(_USE) as session:
        return list(await session.scalars(query.order_by(PolicyVersion.published_at)))


async def done(db: Database, version_id: UUID, *, told: int, untold: int) -> None:
    """Everybody was gone through. May be said twice; the first counts."""
    async with db.transaction(_USE) as session:
        row = PolicyAnnouncement(version_id=version_id, told=told, untold=untold, done_at=clock.now())
        await add_once(session, row)


async def told(db: Database) -> Mapping[UUID, PolicyAnnouncement]:
    """By version, of those that were announced."""
    async with db.session(_USE) as session:
        return {row.version_id: row for row in await session.scalars(select(PolicyAnnouncement))}
