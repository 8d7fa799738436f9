"""The incident: what was seen to go wrong, by a control or a person, until somebody closes it. GDPR Art. 33, Art. 32(1).

The texts of an incident name no person and quote nothing: they are kept for good, and the register is shown to the
authority (Art. 33(5)). The control `undeclared-personal-data` samples them.
"""

from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import JSON, Index, Integer, String, Text, Uuid
from sqlalchemy.orm import Mapped

from governance.datamap import Base, DataUse, LegalBasis, declared, impersonal
from governance.db import UtcDateTime
from governance.errors import Rejected
from governance.evidence.entry import EntryType
from governance.evidence.rows import Recorded

TEXT_CHARACTERS_MAX: Final = 2000
ROLE_CHARACTERS_MAX: Final = 20
of_breach = partial(
    declared,
    category="user.unique_id.pseudonymous",
    uses=(DataUse.LEGAL_OBLIGATION, DataUse.SECURITY),
    retention="breach",
    legal_basis=LegalBasis.LEGAL_OBLIGATION,
)
"""A column that says whom a breach was about, or who was told: an id, under the register's period."""


class Severity(StrEnum):
    """How grave it is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Cause(StrEnum):
    """Why it was opened. That nobody could look is no leak, and closes nothing."""

    FAILED = "failed"  # the control looked, and saw what must not be
    NOT_RUN = "not-run"  # it couldn't look, died, or hasn't run for too long
    EVENT = "event"  # the event log told of it
    REPORTED = "reported"  # by a person


class Incident(Base):
    """`control`: which, or the event that told of it; None where a person reported it. `run_id`: the last run that saw it;
    `runs`: how many did, at `last_at` the last; `found`: what the last one saw, by where it was (of events: of all);
    `acknowledged_runs`: how many were known when it was acknowledged."""

    __tablename__ = "incident"

    id: Mapped[UUID] = impersonal(Uuid, 110, primary_key=True)
    control: Mapped[str | None] = impersonal(String(64), 111, nullable=True)
    cause: Mapped[str] = impersonal(String(10), 442)
    severity: Mapped[str] = impersonal(String(10), 600)
    opened_at: Mapped[datetime] = impersonal(UtcDateTime, 114)
    opened_by: Mapped[str] = impersonal(String(ROLE_CHARACTERS_MAX), 601)
    summary: Mapped[str] = impersonal(Text, 602)
    run_id: Mapped[UUID | None] = impersonal(Uuid, 112, nullable=True)
    runs: Mapped[int] = impersonal(Integer, 113)
    last_at: Mapped[datetime] = impersonal(UtcDateTime, 603)
    found: Mapped[list[str]] = impersonal(JSON, 118)
    acknowledged_at: Mapped[datetime | None] = impersonal(UtcDateTime, 115, nullable=True)
    acknowledged_runs: Mapped[int | None] = impersonal(Integer, 607, nullable=True)
    acknowledged_by: Mapped[str | None] = impersonal(String(ROLE_CHARACTERS_MAX), 116, nullable=True)
    reason: Mapped[str | None] = impersonal(Text, 117, nullable=True)
    closed_at: Mapped[datetime | None] = impersonal(UtcDateTime, 604, nullable=True)
    closed_by: Mapped[str | None] = impersonal(String(ROLE_CHARACTERS_MAX), 605, nullable=True)
    closed_because: Mapped[str | None] = impersonal(Text, 606, nullable=True)
    entry_id: Mapped[UUID | None] = impersonal(Uuid, 608, nullable=True)
    acknowledged_entry: Mapped[UUID | None] = impersonal(Uuid, 609, nullable=True)
    closed_entry: Mapped[UUID | None] = impersonal(Uuid, 610, nullable=True)

    @property
    def answered(self) -> bool:
        """Whether somebody answers for all that was seen of it so far."""
        return self.closed_at is not None or (
            self.acknowledged_runs is not None and self.acknowledged_runs >= self.runs
        )


OPENED: Final = Recorded(Incident, EntryType.INCIDENT_OPENED, ("control", "cause", "opened_at", "opened_by", "summary"))
ACKNOWLEDGED: Final = Recorded(
    Incident,
    EntryType.INCIDENT_ACKNOWLEDGED,
    ("acknowledged_at", "acknowledged_by", "acknowledged_runs", "reason"),
    "acknowledged_entry",
    again=True,
)
CLOSED: Final = Recorded(
    Incident, EntryType.INCIDENT_CLOSED, ("closed_at", "closed_by", "closed_because"), "closed_entry"
)

_open = Incident.closed_at.is_(None)
# Two processes can't open one each for the same cause; what people report has no control, and NULLs differ.
Index("uq_incident_open", Incident.control, Incident.cause, unique=True, sqlite_where=_open, postgresql_where=_open)


def plain(value: str, field: str) -> str:
    """A text as it may be kept, and stand in a mail: one line. Raises Rejected."""
    stripped = value.strip()
    if not stripped or len(stripped) > TEXT_CHARACTERS_MAX or not stripped.isprintable():
        raise Rejected(f"Give it in 1 to {TEXT_CHARACTERS_MAX} printable characters, without line breaks.", field=field)
    return stripped
