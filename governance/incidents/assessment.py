"""What a person makes of an incident. Each assessment is a row of its own: what is known grows, nothing is overwritten.

GDPR Art. 4(12) says what a personal data breach is, Art. 33(3) what is to be known of one, Art. 33(4) that it may be told
in phases. The controller has 72 hours from having become aware (Art. 33(1)): from a reasonable degree of certainty that
personal data were compromised (EDPB Guidelines 9/2022). Plain hours are counted, which is never later than Regulation
1182/71 would have it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from fideslang.default_taxonomy import DEFAULT_TAXONOMY
from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Integer, String, Text, UniqueConstraint, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import Conflict, Rejected
from governance.evidence.entry import EntryType
from governance.evidence.fields import COUNT_MAX
from governance.evidence.rows import Recorded
from governance.ids import uuid7
from governance.incidents.incident import ROLE_CHARACTERS_MAX, Incident, Severity, plain
from governance.incidents.opening import locked

TO_AUTHORITY: Final = timedelta(hours=72)
_AWARE_BEFORE_MAX: Final = timedelta(days=365)
_CATEGORIES: Final = frozenset(c.fides_key for c in DEFAULT_TAXONOMY.data_category if c.fides_key.startswith("user"))


class Kind(StrEnum):
    """What it is. Only the first enters the register of Art. 33(5)."""

    BREACH = "personal-data-breach"
    EVENT = "security-event"
    DEFECT = "defect"


class Nature(StrEnum):
    """Of a breach, Art. 4(12): disclosure or access; alteration; loss or destruction."""

    CONFIDENTIALITY = "confidentiality"
    INTEGRITY = "integrity"
    AVAILABILITY = "availability"


class Risk(StrEnum):
    """To the rights and freedoms of people: Art. 33(1) turns on the first, Art. 34(1) on the last."""

    UNLIKELY = "unlikely"
    LIKELY = "likely"
    HIGH = "high"


class IncidentAssessment(Base):
    """One assessment, whole. `number`: the how manyeth of its incident, so that no clock decides which stands. `subjects` and
    `records` are approximate numbers (Art. 33(3)(a)); `for_customers`: data that the service processes for its customers, who
    are the controllers, is among it (Art. 33(2))."""

    __tablename__ = "incident_assessment"
    __table_args__ = (UniqueConstraint("incident_id", "number"),)

    id: Mapped[UUID] = impersonal(Uuid, 620, primary_key=True)
    incident_id: Mapped[UUID] = impersonal(Uuid, 621, args=(ForeignKey(Incident.id),), index=True)
    assessed_at: Mapped[datetime] = impersonal(UtcDateTime, 622)
    assessed_by: Mapped[str] = impersonal(String(ROLE_CHARACTERS_MAX), 623)
    kind: Mapped[str] = impersonal(String(24), 624)
    severity: Mapped[str] = impersonal(String(10), 625)
    aware_at: Mapped[datetime | None] = impersonal(UtcDateTime, 626, nullable=True)
    risk: Mapped[str | None] = impersonal(String(10), 627, nullable=True)
    nature: Mapped[list[str]] = impersonal(JSON, 628)
    data_categories: Mapped[list[str]] = impersonal(JSON, 629)
    subjects: Mapped[int] = impersonal(BigInteger, 630)
    records: Mapped[int] = impersonal(BigInteger, 631)
    facts: Mapped[str] = impersonal(Text, 632)
    consequences: Mapped[str] = impersonal(Text, 633)
    measures: Mapped[str] = impersonal(Text, 634)
    for_customers: Mapped[bool] = impersonal(Boolean, 635)
    number: Mapped[int] = impersonal(Integer, 636)
    entry_id: Mapped[UUID] = impersonal(Uuid, 637)

    @property
    def due_at(self) -> datetime | None:
        """When the authority must know; None of what is no breach."""
        return self.aware_at + TO_AUTHORITY if self.aware_at is not None else None


ASSESSED: Final = Recorded(IncidentAssessment, EntryType.INCIDENT_ASSESSED)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known now; what is None stays as the assessment before has it. `aware_at` counts for a breach alone."""

    kind: Kind
    severity: Severity | None = None
    aware_at: datetime | None = None
    risk: Risk | None = None
    nature: tuple[Nature, ...] | None = None
    data_categories: tuple[str, ...] | None = None
    subjects: int | None = None
    records: int | None = None
    facts: str | None = None
    consequences: str | None = None
    measures: str | None = None
    for_customers: bool | None = None


async def assess(db: Database, incident_id: UUID, known: Assessment, *, by: str) -> IncidentAssessment:
    """Add an assessment; of a breach the clock starts at `aware_at` (now, where it isn't given) and is never put back.

    Raises NotFound, Conflict where the incident is closed, Rejected.
    """
    _check(known)
    async with db.transaction(DataUse.SECURITY) as session:
        incident = await locked(session, incident_id)
        if incident.closed_at is not None:
            raise Conflict("The incident is closed: open another for what has become known since.")
        if known.aware_at is not None and known.aware_at < incident.opened_at - _AWARE_BEFORE_MAX:
            # The clock is never put back, so a slip of the pen would stand.
            raise Rejected(
                "That is more than a year before the incident was opened: say when you became aware of it.",
                field="aware_at",
            )
        before = await newest(session, incident_id)
        row = _merged(incident, before, known, by)
        incident.severity = row.severity
        detail = {
            "incident": incident_id,
            "as": row.kind,
            "aware": row.aware_at,
            "subjects": row.subjects,
            "records": row.records,
        }
        await ASSESSED.record(session, row, detail)
        session.add(row)
    return row


async def newest(session: AsyncSession, incident_id: UUID) -> IncidentAssessment | None:
    """The assessment that stands."""
    mine = select(IncidentAssessment).where(IncidentAssessment.incident_id == incident_id)
    found: IncidentAssessment | None = await session.scalar(mine.order_by(IncidentAssessment.number.desc()).limit(1))
    return found


def _merged(incident: Incident, before: IncidentAssessment | None, known: Assessment, by: str) -> IncidentAssessment:
    breach = known.kind is Kind.BREACH
    earlier = before.aware_at if before is not None else None
    row = IncidentAssessment(
        id=uuid7(),
        incident_id=incident.id,
        number=before.number + 1 if before is not None else 1,
        assessed_at=clock.now(),
        assessed_by=by,
        kind=known.kind.value,
        severity=incident.severity,
        # What was called a breach once keeps its clock, also where it is no breach for a while.
        aware_at=earlier,
        risk=before.risk if before is not None else None,
        nature=before.nature if before is not None else [],
        data_categories=before.data_categories if before is not None else [],
        subjects=before.subjects if before is not None else 0,
        records=before.records if before is not None else 0,
        # What a control found names places of ours: what people and the authority read is said by a person.
        facts=before.facts if before is not None else incident.summary,
        consequences=before.consequences if before is not None else "",
        measures=before.measures if before is not None else "",
        for_customers=before.for_customers if before is not None else False,
    )
    for field in fields(known):
        value = getattr(known, field.name)
        if value is not None and field.name not in ("kind", "aware_at"):
            setattr(row, field.name, list(dict.fromkeys(value)) if isinstance(value, tuple) else value)
    if breach:
        row.aware_at = min(each for each in (earlier, known.aware_at or clock.now()) if each is not None)
        if row.risk is None or not row.nature:
            raise Rejected("Of a breach say what its nature is, and what risk it is to people.", field="risk")
    return row


def _check(known: Assessment) -> None:
    if known.aware_at is not None and known.aware_at > clock.now():
        raise Rejected("Nobody becomes aware of something in the future.", field="aware_at")
    for name in ("subjects", "records"):
        value = getattr(known, name)
        if value is not None and not 0 <= value <= COUNT_MAX:
            raise Rejected("Give an approximate number.", field=name)
    for name in ("facts", "consequences", "measures"):
        if (value := getattr(known, name)) is not None:
            plain(value, name)
    if unknown := _unknown(known.data_categories or ()):
        raise Rejected(f"{unknown!r} is no data category of people (Fides taxonomy).", field="data_categories")


def _unknown(categories: Iterable[str]) -> str | None:
    # Only its length and letters were seen to be ours, so it is cut.
    return next((each[:40] for each in categories if each not in _CATEGORIES), None)
