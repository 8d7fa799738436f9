"""Opening an incident: one open one a control and cause, however many runs see the same, and one for each report."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock, events
from governance.datamap import DataUse
from governance.db import Database, add_once
from governance.errors import Conflict, NotFound
from governance.ids import uuid7
from governance.incidents.incident import ACKNOWLEDGED, OPENED, Cause, Incident, Severity, plain

_OURSELVES = "service"


async def open_or_add(
    session: AsyncSession, control: str, run_id: UUID, found: list[str], severity: Severity, cause: Cause = Cause.FAILED
) -> Incident:
    """Open an incident in the caller's transaction, or count the run to the one that is open, which then is
    unacknowledged again."""
    row = await open_or_count(session, control, severity, cause)
    row.run_id, row.found = run_id, found
    return row


async def open_or_count(session: AsyncSession, origin: str, severity: Severity, cause: Cause) -> Incident:
    """The same, for what isn't a control's run. `origin`: the control, or the event that told of it."""
    row = await open_one(session, origin, cause, lock=True)
    while row is None:
        row = await _opened(session, origin, severity, cause) or await open_one(session, origin, cause, lock=True)
    row.runs, row.last_at = row.runs + 1, clock.now()
    return row


async def open_one(
    session: AsyncSession, control: str, cause: Cause = Cause.FAILED, *, lock: bool = False
) -> Incident | None:
    """The control's open incident of that cause."""
    mine = Incident.control == control, Incident.cause == cause.value, Incident.closed_at.is_(None)
    query = select(Incident).where(*mine)
    row: Incident | None = await session.scalar(query.with_for_update() if lock else query)
    return row


async def unanswered(session: AsyncSession, control: str) -> Incident | None:
    """The control's open incident that it failed by, where nobody answers for it yet."""
    row = await open_one(session, control)
    return row if row is not None and not row.answered else None


async def report(db: Database, summary: str, severity: Severity, *, by: str) -> UUID:
    """Open an incident that a person saw; its id. `by`: their role; `summary` names no person. Raises Rejected."""
    row = _row(None, severity, Cause.REPORTED, by, plain(summary, "summary"))
    async with db.transaction(DataUse.SECURITY) as session:
        session.add(row)
        await _record(session, row)
    return row.id


async def acknowledge(db: Database, incident_id: UUID, *, by: str, reason: str) -> None:
    """Somebody in a role has looked into it and answers for what follows; it stays open. `reason` names no person.

    Raises NotFound, Conflict where it is answered for already, Rejected.
    """
    text = plain(reason, "reason")
    async with db.transaction(DataUse.SECURITY) as session:
        row = await locked(session, incident_id)
        if row.answered:
            raise Conflict("The incident was acknowledged already, and nothing new was seen since.")
        row.acknowledged_at, row.acknowledged_by, row.reason = clock.now(), by, text
        row.acknowledged_runs = row.runs
        await ACKNOWLEDGED.record(session, row, {"incident": row.id})
        control = row.control or ""
    await events.emit_async(
        "incidents:record:acknowledged", {"incident_id": str(incident_id), "control": control, "by": by}
    )


async def locked(session: AsyncSession, incident_id: UUID) -> Incident:
    """The row, for a change of it. Raises NotFound."""
    row = await session.scalar(select(Incident).where(Incident.id == incident_id).with_for_update())
    if row is None:
        raise NotFound("There is no such incident.")
    return row


async def listed(db: Database, *, limit: int = 100) -> Sequence[Incident]:
    """The newest first."""
    async with db.session(DataUse.SECURITY) as session:
        return (await session.scalars(select(Incident).order_by(Incident.id.desc()).limit(limit))).all()


async def _opened(session: AsyncSession, control: str, severity: Severity, cause: Cause) -> Incident | None:
    """None where another transaction was first."""
    row = _row(control, severity, cause, _OURSELVES, "")
    if not await add_once(session, row):
        return None
    await _record(session, row)
    return row


def _row(control: str | None, severity: Severity, cause: Cause, by: str, summary: str) -> Incident:
    now = clock.now()
    return Incident(
        id=uuid7(), control=control, cause=cause.value, severity=severity.value, opened_at=now, opened_by=by,
        summary=summary, runs=0, last_at=now, found=[],
    )  # fmt: skip


async def _record(session: AsyncSession, row: Incident) -> None:
    await OPENED.record(session, row, {"incident": row.id, "severity": row.severity})
