"""An incident with all that is known of it: what is still to be done, its end, and the register of breaches.

GDPR Art. 33(5): "The controller shall document any personal data breaches, comprising the facts relating to the personal
data breach, its effects and the remedial action taken."
"""

from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import Conflict, NotFound
from governance.ids import in_lists
from governance.incidents import affected, notice
from governance.incidents.assessment import IncidentAssessment, Kind, Risk
from governance.incidents.incident import CLOSED, Incident, plain
from governance.incidents.notice import IncidentNotice, Told
from governance.incidents.opening import locked

_closed = Incident.closed_at.is_not(None)


class Concerned(Protocol):
    """Tells which customers' people are on the lists of incidents: who is in which account the router knows."""

    def __call__(self, session: AsyncSession, incident_ids: Sequence[UUID], /) -> Awaitable[Mapping[UUID, Set[UUID]]]:
        """By incident: accounts, read in the caller's session."""


class State(StrEnum):
    """Where an incident stands."""

    OPEN = "open"  # nobody has assessed it
    ASSESSED = "assessed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Record:
    """`affected`: people on its list, `told` of them; `customers`: the accounts that these are in, where whoever read the
    record could tell. Assessments and notices are the oldest first."""

    incident: Incident
    assessments: tuple[IncidentAssessment, ...]
    notices: tuple[IncidentNotice, ...]
    affected: int
    told: int
    customers: Set[UUID] = frozenset()

    @property
    def assessment(self) -> IncidentAssessment | None:
        """The one that stands."""
        return self.assessments[-1] if self.assessments else None

    @property
    def breach(self) -> IncidentAssessment | None:
        """The same, of a personal data breach."""
        found = self.assessment
        return found if found is not None and found.kind == Kind.BREACH else None

    @property
    def state(self) -> State:
        if self.incident.closed_at is not None:
            return State.CLOSED
        return State.ASSESSED if self.assessments else State.OPEN

    def notices_to(self, to: Told, *, given: bool) -> list[IncidentNotice]:
        return [each for each in self.notices if each.recipient == to and each.given is given]

    @property
    def due_at(self) -> datetime | None:
        """When the authority must be told, while it is neither told nor need be."""
        breach = self.breach
        return breach.due_at if breach is not None and self._open(Told.AUTHORITY) else None

    def _open(self, to: Told) -> bool:
        """Neither told, nor a ground not to."""
        return self.breach is not None and not self.notices_to(to, given=True) and not self._ground(to)

    def _ground(self, to: Told) -> bool:
        """Whether a ground not to tell them still fits the risk."""
        breach = self.breach
        return breach is not None and any(
            notice.fits(each.ground, breach.risk) for each in self.notices_to(to, given=False)
        )

    @property
    def customers_untold(self) -> list[UUID]:
        """Accounts of customers who must be told (Art. 33(2)) and have no notice of their own, nor is there a ground."""
        breach = self.breach
        if breach is None or not breach.for_customers or self._ground(Told.CONTROLLER):
            return []
        told = {each.account_id for each in self.notices_to(Told.CONTROLLER, given=True)}
        return sorted(self.customers - told)

    def missing(self) -> list[str]:
        """What is to be done before it can be closed, a sentence each."""
        found, breach = [], self.breach
        if self.incident.control is not None and not self.incident.answered:
            found.append("Have an operator acknowledge what was seen.")
        if not self.assessments:
            found.append("Assess it: a personal data breach, a security event, or a defect.")
        if breach is None:
            return found
        if not breach.facts:
            found.append("Say what happened (Art. 33(3)(a), 33(5)).")
        if not breach.data_categories:
            found.append("Say which categories of data it is about (Art. 33(3)(a)).")
        if not breach.consequences:
            found.append("Say what its likely consequences are (Art. 33(3)(c)).")
        if not breach.measures:
            found.append("Say what was done about it (Art. 33(3)(d), 33(5)).")
        if self._open(Told.AUTHORITY):
            found.append("Tell the authority, or record why not (Art. 33(1)).")
        if breach.risk == Risk.HIGH and self._open(Told.SUBJECTS):
            found.append("Tell the people affected, or record why not (Art. 34(1), 34(3)).")
        if self.told and self.told < self.affected:
            found.append(f"{self.affected - self.told} of {self.affected} people on the list aren't told yet.")
        if untold := len(self.customers_untold):
            found.append(
                f"{untold} of {len(self.customers)} customers aren't told yet: record each with its account (Art. 33(2))."
            )
        elif breach.for_customers and self._open(Told.CONTROLLER):
            found.append("Tell the customers whose data it is (Art. 33(2)).")
        return found


async def load(session: AsyncSession, incident_id: UUID, customers: Concerned | None = None) -> Record:
    """Raises NotFound."""
    [found] = await _records(session, [await _incident(session, incident_id)], customers)
    return found


async def get(db: Database, incident_id: UUID, customers: Concerned | None = None) -> Record:
    """Raises NotFound."""
    async with db.session(DataUse.SECURITY) as session:
        return await load(session, incident_id, customers)


async def records(
    db: Database, *, unclosed: bool = False, customers: Concerned | None = None, closed_max: int = 1000
) -> list[Record]:
    """All that are open, and unless `unclosed` the newest of those that are closed; the newest first."""
    newest_closed = select(Incident.id).where(_closed).order_by(Incident.id.desc()).limit(closed_max)
    shown = ~_closed if unclosed else or_(~_closed, Incident.id.in_(newest_closed))
    async with db.session(DataUse.SECURITY) as session:
        rows = await session.scalars(select(Incident).where(shown).order_by(Incident.id.desc()))
        return await _records(session, rows.all(), customers)


async def closed(db: Database) -> int:
    """How many are closed."""
    async with db.session(DataUse.SECURITY) as session:
        return await session.scalar(select(func.count(Incident.id)).where(_closed)) or 0


async def register(db: Database, customers: Concerned | None = None) -> list[Record]:
    """Every incident that is or was assessed as a personal data breach, the oldest first (Art. 33(5))."""
    of_breaches = select(IncidentAssessment.incident_id).where(IncidentAssessment.kind == Kind.BREACH.value)
    async with db.session(DataUse.SECURITY) as session:
        rows = await session.scalars(select(Incident).where(Incident.id.in_(of_breaches)).order_by(Incident.id))
        return await _records(session, rows.all(), customers)


async def close(db: Database, incident_id: UUID, *, by: str, reason: str, customers: Concerned | None = None) -> None:
    """End it: nothing is left to be done. Raises NotFound, Conflict where something is, Rejected."""
    text = plain(reason, "reason")
    async with db.transaction(DataUse.SECURITY) as session:
        row = await locked(session, incident_id)
        if row.closed_at is not None:
            raise Conflict("The incident is closed already.")
        if missing := (await load(session, incident_id, customers)).missing():
            raise Conflict(" ".join(["It can't be closed yet.", *missing]))
        row.closed_at, row.closed_by, row.closed_because = clock.now(), by, text
        await CLOSED.record(session, row, {"incident": incident_id})


async def _incident(session: AsyncSession, incident_id: UUID) -> Incident:
    row = await session.get(Incident, incident_id)
    if row is None:
        raise NotFound("There is no such incident.")
    return row


async def _records(session: AsyncSession, rows: Sequence[Incident], customers: Concerned | None) -> list[Record]:
    ids = [row.id for row in rows]
    assessments: dict[UUID, list[IncidentAssessment]] = defaultdict(list)
    notices: dict[UUID, list[IncidentNotice]] = defaultdict(list)
    people: dict[UUID, tuple[int, int]] = {}
    accounts: dict[UUID, Set[UUID]] = {}
    for some in in_lists(ids):
        for each in await session.scalars(_of(IncidentAssessment, some).order_by(IncidentAssessment.number)):
            assessments[each.incident_id].append(each)
        for notice_row in await session.scalars(_of(IncidentNotice, some).order_by(IncidentNotice.id)):
            notices[notice_row.incident_id].append(notice_row)
        people |= await affected.counted(session, some)
        accounts |= await customers(session, some) if customers is not None else {}
    return [
        Record(
            row, tuple(assessments[row.id]), tuple(notices[row.id]), *people.get(row.id, (0, 0)),
            accounts.get(row.id, frozenset()),
        )
        for row in rows
    ]  # fmt: skip


def _of(table: Any, ids: Sequence[UUID]) -> Select[Any]:
    return select(table).where(table.incident_id.in_(ids))
