"""What runs of the probe found: one row a run, the evidence of the control `bodies-not-stored`. Nothing of a person.

A canary never rests here, only where it was put and where it was found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Integer, String, Text, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import events
from governance.bodies.attestation import Signer, statement
from governance.bodies.verdict import Verdict
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import SealBroken
from governance.ids import uuid7
from governance.incidents import opening
from governance.incidents.incident import Severity

CONTROL = "bodies-not-stored"
_LISTED = 50


@dataclass(frozen=True, slots=True)
class Result:
    """One run. `missed`: planted controls that the search didn't find; `findings`: where canaries rest, by origin and
    place; `unread`: what couldn't be searched, and why; `searched`: kinds of places; `why`: of a void run.
    """

    verdict: Verdict
    started: datetime
    ended: datetime
    cases: int
    canaries: int
    planted: int
    missed: tuple[str, ...]
    findings: tuple[str, ...]
    unread: tuple[str, ...]
    searched: tuple[str, ...]
    bytes_read: int
    why: str = ""


class ProbeRun(Base):
    """A run and the attestation that was signed over it. `build`: digest of the program that was probed; `setup`: of how
    its processes were set up."""

    __tablename__ = "probe_run"

    id: Mapped[UUID] = impersonal(Uuid, 180, primary_key=True)
    verdict: Mapped[str] = impersonal(String(8), 181)
    started_at: Mapped[datetime] = impersonal(UtcDateTime, 182)
    ended_at: Mapped[datetime] = impersonal(UtcDateTime, 183)
    build: Mapped[str] = impersonal(String(64), 184)
    setup: Mapped[str] = impersonal(String(64), 441)
    version: Mapped[str] = impersonal(String(32), 185)
    cases: Mapped[int] = impersonal(Integer, 186)
    canaries: Mapped[int] = impersonal(Integer, 187)
    planted: Mapped[int] = impersonal(Integer, 188)
    missed: Mapped[list[str]] = impersonal(JSON, 189)
    findings: Mapped[list[str]] = impersonal(JSON, 190)
    found: Mapped[int] = impersonal(Integer, 191)
    unread: Mapped[list[str]] = impersonal(JSON, 192)
    searched: Mapped[list[str]] = impersonal(JSON, 193)
    bytes_read: Mapped[int] = impersonal(BigInteger, 194)
    why: Mapped[str] = impersonal(String(200), 195)
    attestation: Mapped[str] = impersonal(Text, 196)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the attestation says of its own age: ISO 8601, how often a probe runs, and how old a clean one may be."""

    every: str
    max_age: str


@dataclass(frozen=True, slots=True)
class About:
    """What a run is about: digests of the program and of its setup, in hex, and the setup's facts where they are known.

    `setup` is None where nothing runs whose setup could be told.
    """

    build: str
    setup: str | None
    facts: Mapping[str, object] = field(default_factory=dict, compare=False)


async def record(
    db: Database, signer: Signer, result: Result, about: About, *, version: str, limits: Limits
) -> ProbeRun:
    """Keep a run with its signed attestation; a leak opens an incident in the same transaction. Tells both as events."""
    row = ProbeRun(
        id=uuid7(),
        verdict=result.verdict.value,
        started_at=result.started,
        ended_at=result.ended,
        build=about.build,
        setup=about.setup or "",
        version=version[:32],
        cases=result.cases,
        canaries=result.canaries,
        planted=result.planted,
        missed=list(result.missed[:_LISTED]),
        findings=list(result.findings[:_LISTED]),
        found=len(result.findings),
        unread=list(result.unread[:_LISTED]),
        searched=list(result.searched),
        bytes_read=result.bytes_read,
        why=result.why[:200],
    )
    row.attestation = signer.sign(statement(row.build, _predicate(row, result, about, limits)))
    incident = None
    async with db.transaction(DataUse.SECURITY) as session:
        session.add(row)
        if result.verdict is Verdict.LEAK:
            incident = await opening.open_or_add(session, CONTROL, row.id, row.findings, Severity.CRITICAL)
    # A crash here: run and incident are kept, and everybody acts on them; only the two events are missing.
    detail: dict[str, events.Detail] = {
        "probe_id": str(row.id),
        "cases": row.cases,
        "found": row.found,
        "missed": len(result.missed),
    }
    await events.emit_async(f"bodies:probe:{row.verdict}", {**detail, "unread": len(result.unread)})
    if incident is not None and incident.runs == 1:
        await events.emit_async(
            "bodies:incident:opened", {"incident_id": str(incident.id), "control": CONTROL, "probe_id": str(row.id)}
        )
    return row


def _predicate(row: ProbeRun, result: Result, about: About, limits: Limits) -> dict[str, object]:
    """What the attestation says: what ran and what it saw, and nothing that didn't run."""
    return {
        **_stated(row),
        "setup": {"sha256": row.setup, **about.facts},
        "positive_control": {"planted": row.planted, "missed": len(result.missed)},
        "limits": {"every": limits.every, "clean_for_at_most": limits.max_age},
    }


def _stated(row: ProbeRun) -> dict[str, object]:
    """What row and attestation both say."""
    return {
        "control": CONTROL,
        "probe": str(row.id),
        "verdict": row.verdict,
        "why": row.why or None,
        "started": row.started_at.astimezone(UTC).isoformat(),
        "ended": row.ended_at.astimezone(UTC).isoformat(),
        "program": {"name": "valueapi", "version": row.version, "sha256": row.build},
        "sent": {"cases": row.cases, "canaries": row.canaries},
        "searched": {"places": row.searched, "bytes": row.bytes_read},
        "not_searched": row.unread,
        "found": row.found,
    }


def is_signed(row: ProbeRun, signer: Signer) -> bool:
    """Whether the row says what this service signed of that very run: a row alone can be written by whoever has the store."""
    try:
        signed = signer.opened(row.attestation)
    except SealBroken:
        return False
    told = signed["predicate"]
    return (
        signed == statement(row.build, told)
        and all(told.get(name) == value for name, value in _stated(row).items())
        and told["setup"]["sha256"] == row.setup
        and told["positive_control"]["planted"] == row.planted
    )


async def newest(session: AsyncSession, *, decisive: bool = False) -> ProbeRun | None:
    """The newest run, or the newest that isn't void."""
    query = select(ProbeRun).order_by(ProbeRun.id.desc()).limit(1)
    found: ProbeRun | None = await session.scalar(
        query.where(ProbeRun.verdict != Verdict.VOID.value) if decisive else query
    )
    return found
