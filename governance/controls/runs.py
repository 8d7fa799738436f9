"""What runs of controls found. A run is recorded when it begins: one whose process died has failed, it isn't absent.

Its outcome is an entry of the transparency log, in the same transaction; the row beside it holds what was found, signed, and
is believed no further than that. A failed run opens the control's incident, or is counted to the one that is open.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import JSON, Integer, String, Text, Uuid, and_, delete, func, or_, select
from sqlalchemy.orm import Mapped

from governance import clock, events
from governance.bodies.attestation import Signer, statement
from governance.controls.control import Control, ControlResult, Outcome
from governance.controls.registry import Registry
from governance.datamap import Base, DataUse, Store, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import SealBroken, ValueAPIError
from governance.evidence import pending
from governance.evidence.entry import Entry, EntryType
from governance.evidence.pending import DataEvidence
from governance.ids import uuid7
from governance.incidents import opening
from governance.incidents.incident import Cause
from governance.period import Period

PREDICATE_TYPE: Final = "https://valueapi.ai/attestation/control-run/v1"
_LISTED: Final = 50
_ENTRIES: Final = 50_000  # the log's newest, that are held against the rows; a control runs every day at least
_FORGED: Final = "The record of the run isn't what this service signed."
_DIED: Final = "The run ended without a result: its process died or was stopped."
_STALE: Final = "It hasn't run for longer than its passes are good for"
_SLACK: Final = timedelta(minutes=1)  # between a run's time limit and what a look from outside takes for dead


class ControlRun(Base):
    """A run. `entry_id`: the evidence; `code`: digest of the program that ran; `ends_by`: when it is dead if not ended."""

    __tablename__ = "control_run"

    id: Mapped[UUID] = impersonal(Uuid, 450, primary_key=True)
    control: Mapped[str] = impersonal(String(64), 451, index=True)
    code: Mapped[str] = impersonal(String(64), 452)
    started_at: Mapped[datetime] = impersonal(UtcDateTime, 453)
    ends_by: Mapped[datetime] = impersonal(UtcDateTime, 454)
    ended_at: Mapped[datetime | None] = impersonal(UtcDateTime, 455, nullable=True)
    outcome: Mapped[str | None] = impersonal(String(10), 456, nullable=True)
    examined: Mapped[int] = impersonal(Integer, 457)
    failures: Mapped[list[str]] = impersonal(JSON, 458)
    failed: Mapped[int] = impersonal(Integer, 459)
    missing: Mapped[str] = impersonal(Text, 460)
    counts: Mapped[dict[str, int]] = impersonal(JSON, 461)
    entry_id: Mapped[UUID | None] = impersonal(Uuid, 462, nullable=True)
    attestation: Mapped[str] = impersonal(Text, 463)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended, or died. `evidence_id`: its entry in the log; None of one that died and wasn't recorded yet.
    `attestation`: what was signed of it, an in-toto statement in a DSSE envelope."""

    id: UUID
    control: str
    outcome: Outcome
    at: datetime
    examined: int
    failures: tuple[str, ...]
    failed: int
    missing: str
    evidence_id: UUID | None
    attestation: str = ""

    def fresh(self, max_age: Period) -> bool:
        """Whether it is as young as that, and not of a time that is yet to come."""
        return self.at <= clock.now() + clock.SKEW and max_age.after(self.at) > clock.now()


class Runs:
    """Runs controls and keeps what they found; `signer`: the service's own, whose word alone is believed of a row."""

    def __init__(self, db: Database, signer: Signer) -> None:
        self._db = db
        self._signer = signer

    async def run(self, control: Control, code: str) -> Run:
        """Run a control and record what it found; `code`: digest of the program, SHA-256 in hex.

        Whatever it raises is a failure that is recorded. Called off (a shutdown), it leaves nothing.
        """
        run_id = await self._begin(control, code)
        # A crash from here to `_end`: the row says that it began, and `bury` records it as failed.
        try:
            result = await _result(control)
        except BaseException:
            await asyncio.shield(self._call_off(run_id))
            raise
        return await self._end(run_id, control, result)

    async def bury(self, registry: Registry) -> None:
        """Record the runs whose process died as failed."""
        over = clock.now() - _SLACK
        dead = select(ControlRun.id, ControlRun.control).where(ControlRun.ended_at.is_(None), ControlRun.ends_by < over)
        async with self._db.session(DataUse.SECURITY) as session:
            rows = (await session.execute(dead)).all()
        for run_id, control_id in rows:
            if control_id in registry.ids:
                await self._end(run_id, registry.get(control_id), _blind(_DIED))

    async def open_stale(self, registry: Registry) -> None:
        """Open an incident for each control whose newest run is too old: what isn't looked at isn't known to be well."""
        last = await self.latest()
        for control in registry:
            run = last.get(control.id)
            if run is None or run.fresh(control.max_age):
                continue
            async with self._db.transaction(DataUse.SECURITY) as session:
                if await opening.open_one(session, control.id, Cause.NOT_RUN, lock=True) is None:
                    found = [f"{_STALE}: the last was at {run.at:%Y-%m-%d %H:%M} UTC."]
                    await opening.open_or_add(session, control.id, run.id, found, control.severity, Cause.NOT_RUN)

    async def latest(self) -> dict[str, Run]:
        """The newest run of each control that ended or died; one that goes on isn't seen. By the log's order: a clock that was
        ahead for a while would hide what came after it."""
        over = clock.now() - _SLACK
        done = or_(ControlRun.ended_at.is_not(None), ControlRun.ends_by < over)
        removed = and_(ControlRun.entry_id.is_not(None), DataEvidence.id.is_(None))
        order = (removed, DataEvidence.position.is_not(None), DataEvidence.position.desc(), ControlRun.id.desc())
        place = func.row_number().over(partition_by=ControlRun.control, order_by=order).label("place")
        joined = select(ControlRun.id, place).join(DataEvidence, DataEvidence.id == ControlRun.entry_id, isouter=True)
        newest = joined.where(done).subquery()
        query = select(ControlRun).join(newest, newest.c.id == ControlRun.id).where(newest.c.place == 1)
        async with self._db.session(DataUse.SECURITY) as session:
            return {row.control: self._read(row) for row in await session.scalars(query)}

    async def judged(self) -> dict[str, Run]:
        """`latest`, held against the log: a control whose newest run there has no row any more has failed, since whoever
        removed it may have removed what it found. Looks at the log's last entries."""
        entries: dict[str, Entry] = {}
        for _, entry in await pending.newest(Store.DATA, self._db, _ENTRIES):
            if entry.type is EntryType.CONTROL_RUN:
                entries.setdefault(entry.detail["control"], entry)
        columns = (ControlRun.entry_id, ControlRun.control, ControlRun.ended_at)
        query = select(*columns).where(ControlRun.entry_id.in_([entry.id for entry in entries.values()]))
        async with self._db.session(DataUse.SECURITY) as session:
            # A row that says it is another control's, or goes on, isn't that run's any more.
            there = {(row.entry_id, row.control) for row in await session.execute(query) if row.ended_at is not None}
        runs = await self.latest()  # last: what ends meanwhile is among them
        gone = [entry for entry in entries.values() if (entry.id, entry.detail["control"]) not in there]
        return runs | {entry.detail["control"]: _removed(entry) for entry in gone}

    async def history(self, control_id: str, *, limit: int = 20) -> list[Run]:
        """A control's last runs that ended, the newest first."""
        query = select(ControlRun).where(ControlRun.control == control_id, ControlRun.ended_at.is_not(None))
        async with self._db.session(DataUse.SECURITY) as session:
            return [self._read(row) for row in await session.scalars(query.order_by(ControlRun.id.desc()).limit(limit))]

    async def _begin(self, control: Control, code: str) -> UUID:
        now = clock.now()
        row = ControlRun(
            id=uuid7(), control=control.id, code=code, started_at=now,
            ends_by=now + timedelta(seconds=control.seconds_max),
            examined=0, failures=[], failed=0, missing="", counts={}, attestation="",
        )  # fmt: skip
        async with self._db.transaction(DataUse.SECURITY) as session:
            session.add(row)
        return row.id

    async def _call_off(self, run_id: UUID) -> None:
        async with self._db.transaction(DataUse.SECURITY) as session:
            await session.execute(delete(ControlRun).where(ControlRun.id == run_id))

    async def _end(self, run_id: UUID, control: Control, result: ControlResult) -> Run:
        """Result, evidence and incident in one transaction: all of them, or none."""
        opened = None
        async with self._db.transaction(DataUse.SECURITY) as session:
            row = await session.get_one(ControlRun, run_id, with_for_update=True)
            if row.ended_at is not None:
                return self._read(row)  # buried by another, whose word stands
            row.ended_at, row.outcome = clock.now(), result.outcome.value
            row.examined, row.failed, row.counts = result.examined, len(result.failures), dict(result.counts)
            row.failures, row.missing = list(result.failures[:_LISTED]), result.missing
            row.entry_id = await pending.record(session, EntryType.CONTROL_RUN, detail=_detail(row))
            row.attestation = self._signer.sign(statement(row.code, _predicate(row), PREDICATE_TYPE))
            if result.failures:
                cause = Cause.FAILED if result.looked else Cause.NOT_RUN
                opened = await opening.open_or_add(session, control.id, row.id, row.failures, control.severity, cause)
        # A crash here: run, entry and incident are kept; only the event is missing.
        if opened is not None:
            await events.emit_async(
                "controls:check:failed",
                {"control": control.id, "run": str(row.id), "incident_id": str(opened.id), "failed": row.failed},
            )
        return self._read(row)

    def _read(self, row: ControlRun) -> Run:
        """What the row says, where it is what was signed; a failed run where it isn't."""
        why = _DIED if row.ended_at is None else _FORGED if not self._is_signed(row) else None
        return Run(
            id=row.id,
            control=row.control,
            outcome=Outcome.FAILED if why is not None or row.outcome is None else Outcome(row.outcome),
            at=row.ended_at or row.ends_by,
            examined=row.examined,
            failures=(why,) if why is not None else tuple(row.failures),
            failed=1 if why is not None else row.failed,
            missing=row.missing,
            evidence_id=row.entry_id,
            attestation=row.attestation,
        )

    def _is_signed(self, row: ControlRun) -> bool:
        try:
            return self._signer.opened(row.attestation) == statement(row.code, _predicate(row), PREDICATE_TYPE)
        except SealBroken:
            return False


def _removed(entry: Entry) -> Run:
    why = f"The log has a run of {entry.time:%Y-%m-%d %H:%M} UTC, and its record was removed from the store or changed."
    return Run(
        entry.id, entry.detail["control"], Outcome.FAILED, entry.time, entry.detail["examined"], (why,), 1, "", entry.id
    )


async def _result(control: Control) -> ControlResult:
    try:
        async with asyncio.timeout(control.seconds_max):
            return await control.run()
    except TimeoutError:
        return _blind(f"It didn't come to an end within {control.seconds_max:g} seconds.")
    except ValueAPIError as error:
        return _blind(f"It couldn't look: {error}")  # a text of ours
    except Exception as error:
        return _blind(f"It couldn't look: {type(error).__name__}.")


def _blind(why: str) -> ControlResult:
    return ControlResult(0, (why,), looked=False)


def _detail(row: ControlRun) -> dict[str, object]:
    """As the entry of the log has it."""
    return {
        "control": row.control,
        "code": row.code,
        "result": row.outcome,
        "examined": row.examined,
        "failed": row.failed,
    }


def _predicate(row: ControlRun) -> dict[str, object]:
    """As it is signed: all that the row says of a run that ended."""
    return {
        "control": row.control,
        "run": str(row.id),
        "evidence": str(row.entry_id),
        "started": row.started_at.astimezone(UTC).isoformat(),
        "ended": (row.ended_at or row.ends_by).astimezone(UTC).isoformat(),
        "result": row.outcome,
        "examined": row.examined,
        "failed": row.failed,
        "failures": row.failures,
        "missing": row.missing,
        "counts": row.counts,
    }
