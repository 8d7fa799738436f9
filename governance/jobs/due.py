"""When each job is due, and how its last run ended: one row a job, so that no restart forgets one or repeats it.

A row holds a name and times, never an argument: nothing that is read here can be made to run anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, String, delete, select, update
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime, add_once
from governance.errors import NotFound

DONE = "done"


class ScheduledJob(Base):
    """One job. `failures` counts the runs since the last that ended well, one that runs now included."""

    __tablename__ = "scheduled_job"

    name: Mapped[str] = impersonal(String(40), 170, primary_key=True)
    due_at: Mapped[datetime] = impersonal(UtcDateTime, 171)
    started_at: Mapped[datetime | None] = impersonal(UtcDateTime, 172, nullable=True)
    ended_at: Mapped[datetime | None] = impersonal(UtcDateTime, 173, nullable=True)
    failures: Mapped[int] = impersonal(Integer, 174)
    outcome: Mapped[str | None] = impersonal(String(64), 175, nullable=True)


@dataclass(frozen=True, slots=True)
class JobState:
    """A row. `outcome` is `done` or the type of what the last run failed with; `cut`: a run began and didn't end."""

    name: str
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    failures: int
    outcome: str | None

    @property
    def cut(self) -> bool:
        return self.started_at is not None and (self.ended_at is None or self.ended_at < self.started_at)


async def declare(db: Database, first_due: Mapping[str, datetime]) -> None:
    """Make rows for jobs that have none, and drop those of jobs that aren't declared: for the one process that leads. Another
    version of the program may declare others, and does when it leads."""
    async with db.transaction(DataUse.SECURITY) as session:
        known = set(await session.scalars(select(ScheduledJob.name)))
        for name, due_at in first_due.items():
            if name not in known:
                # All workers of a first start come here at once.
                await add_once(session, ScheduledJob(name=name, due_at=due_at, failures=0))
        if gone := known - first_due.keys():
            await session.execute(delete(ScheduledJob).where(ScheduledJob.name.in_(gone)))


async def states(db: Database) -> list[JobState]:
    """Every job, by name."""
    columns = (
        ScheduledJob.name,
        ScheduledJob.due_at,
        ScheduledJob.started_at,
        ScheduledJob.ended_at,
        ScheduledJob.failures,
        ScheduledJob.outcome,
    )
    async with db.session(DataUse.SECURITY) as session:
        return [JobState(*row) for row in await session.execute(select(*columns).order_by(ScheduledJob.name))]


async def begin(db: Database, name: str) -> int:
    """A run begins; it counts as failed until it has ended well. How many have in a row."""
    async with db.transaction(DataUse.SECURITY) as session:
        began = {"started_at": clock.now(), "failures": ScheduledJob.failures + 1}
        which = update(ScheduledJob).where(ScheduledJob.name == name).values(began)
        return await session.scalar(which.returning(ScheduledJob.failures)) or 1


async def end(db: Database, name: str, outcome: str, due_at: datetime) -> None:
    """A run ended; the next is due then."""
    ended: dict[str, object] = {"ended_at": clock.now(), "outcome": outcome[:64], "due_at": due_at}
    if outcome == DONE:
        ended["failures"] = 0
    async with db.transaction(DataUse.SECURITY) as session:
        await session.execute(update(ScheduledJob).where(ScheduledJob.name == name).values(ended))


async def ask(db: Database, name: str) -> None:
    """Make a job due now: the leader sees it within seconds. Raises NotFound."""
    async with db.transaction(DataUse.SECURITY) as session:
        asked = update(ScheduledJob).where(ScheduledJob.name == name).values(due_at=clock.now())
        if await session.scalar(asked.returning(ScheduledJob.name)) is None:
            raise NotFound("There is no such job: `valueapi jobs list` names them, once the service has run.")


async def sooner(db: Database, name: str, at: datetime) -> None:
    """Make a job due at a moment, unless it is due before."""
    async with db.transaction(DataUse.SECURITY) as session:
        later = update(ScheduledJob).where(ScheduledJob.name == name, ScheduledJob.due_at > at)
        await session.execute(later.values(due_at=at).execution_options(synchronize_session=False))
