"""An incident stays until an operator acknowledges it: one open one a control and cause, however many runs find the same.

The beginning of incident handling: who assesses one, and the register of breaches, are still to come.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import JSON, Integer, String, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock, events
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import Conflict, NotFound, Rejected
from governance.ids import uuid7

_REASON_CHARACTERS_MAX = 200


class Cause(StrEnum):
    """Why. That nobody could look is no leak, and closes nothing."""

    FAILED = "failed"  # the control looked, and saw what must not be
    NOT_RUN = "not-run"  # it couldn't look, died, or hasn't run for too long


class Incident(Base):
    """A control that was seen to fail. `probe_id`: the last run that saw it, `found`: what it saw, by where it was sent
    and where it rested; `runs`: how many did."""

    __tablename__ = "incident"

    id: Mapped[UUID] = impersonal(Uuid, 110, primary_key=True)
    control: Mapped[str] = impersonal(String(40), 111)
    cause: Mapped[str] = impersonal(String(10), 442)
    probe_id: Mapped[UUID] = impersonal(Uuid, 112)
    runs: Mapped[int] = impersonal(Integer, 113)
    found: Mapped[list[str]] = impersonal(JSON, 118)
    opened_at: Mapped[datetime] = impersonal(UtcDateTime, 114)
    acknowledged_at: Mapped[datetime | None] = impersonal(UtcDateTime, 115, nullable=True)
    acknowledged_by: Mapped[str | None] = impersonal(String(20), 116, nullable=True)
    reason: Mapped[str | None] = impersonal(String(_REASON_CHARACTERS_MAX), 117, nullable=True)


async def open_or_add(
    session: AsyncSession, control: str, probe_id: UUID, found: list[str], cause: Cause = Cause.FAILED
) -> Incident:
    """Open an incident in the caller's transaction, or count the run to the one that is open."""
    row = await open_one(session, control, cause, lock=True)
    if row is None:
        now = clock.now()
        row = Incident(id=uuid7(), control=control, cause=cause, probe_id=probe_id, runs=0, found=[], opened_at=now)
        session.add(row)
    row.probe_id, row.runs, row.found = probe_id, row.runs + 1, found
    return row


async def open_one(
    session: AsyncSession, control: str, cause: Cause = Cause.FAILED, *, lock: bool = False
) -> Incident | None:
    """The control's open incident of that cause, the oldest where two runs opened one each."""
    mine = Incident.control == control, Incident.cause == cause.value, Incident.acknowledged_at.is_(None)
    query = select(Incident).where(*mine).order_by(Incident.id).limit(1)
    row: Incident | None = await session.scalar(query.with_for_update() if lock else query)
    return row


async def acknowledge(db: Database, incident_id: UUID, *, by: str, reason: str) -> None:
    """Somebody in a role has looked into it and answers for what follows. `reason` names no person.

    Raises NotFound, Conflict where it was acknowledged before, Rejected.
    """
    plain = reason.strip()
    if not plain or len(plain) > _REASON_CHARACTERS_MAX or not plain.isprintable():
        raise Rejected(f"Give the reason in 1 to {_REASON_CHARACTERS_MAX} printable characters.", field="reason")
    async with db.transaction(DataUse.SECURITY) as session:
        row = await session.scalar(select(Incident).where(Incident.id == incident_id).with_for_update())
        if row is None:
            raise NotFound("There is no such incident.")
        if row.acknowledged_at is not None:
            raise Conflict("The incident was acknowledged already.")
        row.acknowledged_at, row.acknowledged_by, row.reason = clock.now(), by, plain
        control = row.control
    await events.emit_async(
        "bodies:incident:acknowledged", {"incident_id": str(incident_id), "control": control, "by": by}
    )


async def listed(db: Database, *, limit: int = 100) -> Sequence[Incident]:
    """The newest first."""
    async with db.session(DataUse.SECURITY) as session:
        return (await session.scalars(select(Incident).order_by(Incident.id.desc()).limit(limit))).all()
