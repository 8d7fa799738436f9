"""Who was told of a breach, and why somebody was not. Both are kept: Art. 33(5) has the authority verify it.

Told are the authority (Art. 33(1), in phases by 33(4)), the people affected (Art. 34(1)), and the controllers whose data
the service processes for them (Art. 33(2)).
"""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, String, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, OnErasure, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import Conflict, Rejected
from governance.evidence.entry import EntryType
from governance.evidence.rows import Recorded
from governance.ids import uuid7
from governance.incidents.assessment import IncidentAssessment, Kind, Risk, newest
from governance.incidents.incident import ROLE_CHARACTERS_MAX, Incident, of_breach, plain
from governance.incidents.opening import locked


class Told(StrEnum):
    """To whom a notice goes."""

    AUTHORITY = "authority"
    SUBJECTS = "subjects"
    CONTROLLER = "controller"


class Ground(StrEnum):
    """Why somebody need not be told."""

    NO_RISK = "33(1)"  # unlikely to result in a risk
    UNINTELLIGIBLE = "34(3)(a)"  # encrypted, or otherwise of no use to who has it
    AVERTED = "34(3)(b)"  # later measures make the high risk unlikely
    PUBLIC = "34(3)(c)"  # disproportionate effort: a public communication instead
    NO_HIGH_RISK = "34(1)"  # not likely to result in a high risk
    NOT_THEIRS = "33(2)"  # none of the controllers' data is among it


GROUNDS: Final = {
    Told.AUTHORITY: (Ground.NO_RISK,),
    Told.SUBJECTS: (Ground.UNINTELLIGIBLE, Ground.AVERTED, Ground.PUBLIC, Ground.NO_HIGH_RISK),
    Told.CONTROLLER: (Ground.NOT_THEIRS,),
}
_AT_RISK: Final = {Ground.NO_RISK: (Risk.UNLIKELY,), Ground.NO_HIGH_RISK: (Risk.UNLIKELY, Risk.LIKELY)}


class IncidentNotice(Base):
    """A notice that was given at `at`, or the `ground` on which none was. `reason`: why late, or why not; `reference`: the
    receiver's file number; `account_id`: the customer's that was told."""

    __tablename__ = "incident_notice"

    id: Mapped[UUID] = impersonal(Uuid, 640, primary_key=True)
    incident_id: Mapped[UUID] = impersonal(Uuid, 641, args=(ForeignKey(Incident.id),), index=True)
    recipient: Mapped[str] = impersonal(String(10), 642)
    given: Mapped[bool] = impersonal(Boolean, 643)
    at: Mapped[datetime] = impersonal(UtcDateTime, 644)
    ground: Mapped[str | None] = impersonal(String(10), 645, nullable=True)
    reason: Mapped[str] = impersonal(Text, 646)
    reference: Mapped[str] = impersonal(String(100), 647)
    account_id: Mapped[UUID | None] = of_breach(Uuid, 648, on_erasure=OnErasure.DETACH, nullable=True)
    recorded_at: Mapped[datetime] = impersonal(UtcDateTime, 649)
    recorded_by: Mapped[str] = impersonal(String(ROLE_CHARACTERS_MAX), 650)
    entry_id: Mapped[UUID] = impersonal(Uuid, 651)


NOTIFIED: Final = Recorded(IncidentNotice, EntryType.INCIDENT_NOTIFIED)


async def given(
    db: Database, incident_id: UUID, to: Told, *, by: str, at: datetime | None = None, reference: str = "",
    account_id: UUID | None = None, late_because: str = "",
) -> None:  # fmt: skip
    """Record that somebody was told. Raises NotFound, Conflict where it is no breach or is closed, Rejected."""
    now = clock.now()
    if at is not None and at > now:
        raise Rejected("A notice can't have been given in the future.", field="at")
    at = at or now
    reason = plain(late_because, "late_because") if late_because else ""
    async with db.transaction(DataUse.SECURITY) as session:
        breach = await _breach(session, incident_id)
        if breach.aware_at is not None and at < breach.aware_at:
            raise Rejected("A notice can't have been given before anybody was aware of the breach.", field="at")
        late = to is Told.AUTHORITY and breach.due_at is not None and at > breach.due_at
        if late and not reason and not await _any_given(session, incident_id, to):
            raise Rejected("More than 72 hours have passed: say why it is late (Art. 33(1)).", field="late_because")
        await _add(
            session, incident_id, to, True, at=at, reason=reason, by=by, reference=reference, account_id=account_id
        )


async def subjects_told(session: AsyncSession, incident_id: UUID, *, by: str) -> None:
    """Record in the caller's transaction that people are told now. Raises NotFound, Conflict as `given` does."""
    await _breach(session, incident_id)
    await _add(session, incident_id, Told.SUBJECTS, True, at=clock.now(), reason="", by=by)


async def withheld(db: Database, incident_id: UUID, to: Told, ground: Ground, *, because: str, by: str) -> None:
    """Record why somebody isn't told. Raises NotFound, Conflict where it is no breach, is closed, or the risk is another,
    Rejected."""
    if ground not in GROUNDS[to]:
        allowed = " or ".join(GROUNDS[to])
        raise Rejected(f"That is no ground for not telling them: give {allowed}.", field="ground")
    reason = plain(because, "because")
    async with db.transaction(DataUse.SECURITY) as session:
        breach = await _breach(session, incident_id)
        if not fits(ground, breach.risk):
            raise Conflict(f"The breach is assessed with another risk ({breach.risk}): assess it anew, or tell them.")
        await _add(session, incident_id, to, False, at=clock.now(), ground=ground, reason=reason, by=by)


def fits(ground: str | None, risk: str | None) -> bool:
    """Whether the ground stands with that risk: an assessment may have changed since it was recorded."""
    return ground is not None and risk in _AT_RISK.get(Ground(ground), tuple(Risk))


async def _any_given(session: AsyncSession, incident_id: UUID, to: Told) -> bool:
    """Whether they were told before."""
    mine = IncidentNotice.incident_id == incident_id, IncidentNotice.recipient == to.value, IncidentNotice.given
    return await session.scalar(select(IncidentNotice.id).where(*mine).limit(1)) is not None


async def _breach(session: AsyncSession, incident_id: UUID) -> IncidentAssessment:
    incident = await locked(session, incident_id)
    if incident.closed_at is not None:
        raise Conflict("The incident is closed.")
    assessment = await newest(session, incident_id)
    if assessment is None or assessment.kind != Kind.BREACH:
        raise Conflict("The incident isn't assessed as a personal data breach: nobody need be told.")
    return assessment


async def _add(
    session: AsyncSession, incident_id: UUID, to: Told, is_given: bool, *, at: datetime, reason: str, by: str,
    ground: Ground | None = None, reference: str = "", account_id: UUID | None = None,
) -> None:  # fmt: skip
    if reference and (len(reference) > 100 or not reference.isprintable()):
        raise Rejected("Give the reference in 100 printable characters at most.", field="reference")
    row = IncidentNotice(
        id=uuid7(), incident_id=incident_id, recipient=to.value, given=is_given, at=at, ground=ground, reason=reason,
        reference=reference, account_id=account_id, recorded_at=clock.now(), recorded_by=by,
    )  # fmt: skip
    await NOTIFIED.record(session, row, {"incident": incident_id, "recipient": to.value, "given": is_given})
    session.add(row)
