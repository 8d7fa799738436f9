"""Drafts of a version, until it is published: whoever writes it submits it, and somebody else approves it.

    draft -> submitted -> approved -> published, or withdrawn from any of them but the last

What is approved is what is published: the files are frozen under the digest that was submitted, and a changed draft is a
draft again. Published versions are `versions`' matter, and nothing changes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint, Uuid, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared, impersonal
from governance.db import Database, UtcDateTime, add_once
from governance.errors import Conflict, NotFound, Rejected
from governance.ids import uuid7
from governance.period import Period
from policies import version as folders
from policies import versions
from policies.version import Version

REASON_CHARACTERS_MAX: Final = 500
_USE: Final = DataUse.LEGAL_OBLIGATION
_of_staff = partial(
    declared,
    Uuid,
    category="user.unique_id.pseudonymous",
    uses=(DataUse.LEGAL_OBLIGATION, DataUse.SECURITY),
    retention="evidence",
    on_erasure=OnErasure.DETACH,
    legal_basis=LegalBasis.LEGAL_OBLIGATION,
    nullable=True,
)


class Stage(StrEnum):
    """How far a draft is."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class PolicyDraft(Base):
    """A version that somebody writes. `written_by`, `submitted_by`, `approved_by`: subject ids of staff."""

    __tablename__ = "policy_draft"
    __table_args__ = (UniqueConstraint("series", "version"),)

    id: Mapped[UUID] = impersonal(Uuid, 685, primary_key=True)
    series: Mapped[str] = impersonal(String(20), 686)
    version: Mapped[str] = impersonal(String(20), 687)
    digest: Mapped[str] = impersonal(String(64), 688)
    stage: Mapped[str] = impersonal(String(10), 689)
    changed_at: Mapped[datetime] = impersonal(UtcDateTime, 690)
    written_by: Mapped[UUID | None] = _of_staff(seal_id=691)
    submitted_by: Mapped[UUID | None] = _of_staff(seal_id=692)
    approved_by: Mapped[UUID | None] = _of_staff(seal_id=693)
    reason: Mapped[str] = impersonal(Text, 694)


class PolicyDraftFile(Base):
    """A file of a draft, byte for byte."""

    __tablename__ = "policy_draft_file"
    __table_args__ = (UniqueConstraint("draft_id", "name"),)

    id: Mapped[UUID] = impersonal(Uuid, 695, primary_key=True)
    draft_id: Mapped[UUID] = impersonal(Uuid, 696, args=(ForeignKey(PolicyDraft.id),))
    name: Mapped[str] = impersonal(String(40), 697)
    content: Mapped[bytes] = impersonal(LargeBinary, 698)


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as lists show it. `reason`: why it was withdrawn."""

    series: str
    version: str
    digest: str
    stage: Stage
    changed_at: datetime
    reason: str


async def keep(db: Database, version: Version, by: UUID) -> None:
    """Keep a version's files as the draft of its name, in the place of what was kept before. `by`: who wrote it.

    Raises Conflict where it was published, or is submitted or approved: what is being approved doesn't change.
    """
    async with db.transaction(_USE) as session:
        if await versions.published(session, version.series, version.version):
            raise Conflict(f"{version.name} is published, and isn't changed any more.")
        row = await _row(session, version.series, version.version)
        if row is None:
            row = PolicyDraft(id=uuid7(), series=version.series, version=version.version)
            _written(row, version, by)
            if not await add_once(session, row):
                raise Conflict("Somebody else keeps a draft of that name at this moment: try again.")
        elif row.stage not in (Stage.DRAFT, Stage.WITHDRAWN):
            raise Conflict(f"{version.name} is {row.stage}: withdraw it first.")
        else:
            _written(row, version, by)
        await session.execute(delete(PolicyDraftFile).where(PolicyDraftFile.draft_id == row.id))
        session.add_all(
            PolicyDraftFile(id=uuid7(), draft_id=row.id, name=name, content=data)
            for name, data in version.files.items()
        )


def _written(row: PolicyDraft, version: Version, by: UUID) -> None:
    row.digest, row.stage, row.changed_at, row.reason = version.digest, Stage.DRAFT.value, clock.now(), ""
    row.written_by, row.submitted_by, row.approved_by = by, None, None


async def submit(db: Database, version: Version, by: UUID, notice: Period) -> None:
    """Ask for approval of a draft as it is. The caller has checked it (`check`), and that nothing blocks.

    Raises NotFound, Conflict where it is no draft or was changed since it was checked, Rejected as `on_time` does.
    """
    async with db.transaction(_USE) as session:
        row = await _at(session, version.series, version.version, Stage.DRAFT)
        if row.digest != version.digest:
            raise Conflict("The draft was changed since it was checked: check it again.")
        await on_time(session, version, notice)
        row.stage, row.submitted_by, row.changed_at = Stage.SUBMITTED.value, by, clock.now()


async def approve(db: Database, series: str, version: str, digest: str, by: UUID) -> None:
    """Approve what was submitted, as somebody else than who wrote or submitted it; `digest`: of what was read.

    Raises NotFound, Conflict where it isn't submitted or isn't what was read, Rejected where it is one's own.
    """
    async with db.transaction(_USE) as session:
        row = await _at(session, series, version, Stage.SUBMITTED)
        if by in (row.written_by, row.submitted_by):
            raise Rejected("Nobody approves what they wrote or submitted: a second person does.")
        if row.submitted_by is None:
            raise Conflict("Whoever submitted it was erased since: submit it again.")
        if row.digest != digest:
            raise Conflict("That isn't the text that was submitted: read it again.")
        row.stage, row.approved_by, row.changed_at = Stage.APPROVED.value, by, clock.now()


async def publish(db: Database, series: str, version: str, role: str, notice: Period) -> Version:
    """Publish what was approved, with its entry in the transparency log, in one transaction. `role`: who answers for it.

    Raises NotFound, Conflict where it isn't approved or its files aren't what was approved, Rejected as `on_time` does.
    """
    async with db.transaction(_USE) as session:
        row = await _at(session, series, version, Stage.APPROVED)
        found = folders.made(series, version, await _files(session, row.id))
        if found.digest != row.digest:
            raise Conflict("The files aren't those that were approved: the store was changed.")
        await on_time(session, found, notice)
        if not await versions.add(session, found, by=role):
            raise Conflict(f"{found.name} was published by another process.")
        row.stage, row.changed_at = Stage.PUBLISHED.value, clock.now()
    return found


async def withdraw(db: Database, series: str, version: str, reason: str) -> None:
    """Take back a draft at any stage before it is published; it may be written anew. Raises NotFound, Conflict, Rejected."""
    text = reason.strip()
    if not text or len(text) > REASON_CHARACTERS_MAX or not text.isprintable():
        raise Rejected(f"Give a reason in 1 to {REASON_CHARACTERS_MAX} printable characters.", field="reason")
    async with db.transaction(_USE) as session:
        row = await _at(session, series, version, Stage.DRAFT, Stage.SUBMITTED, Stage.APPROVED)
        row.stage, row.reason, row.changed_at = Stage.WITHDRAWN.value, text, clock.now()
        row.submitted_by = row.approved_by = None


async def listed(db: Database) -> list[Draft]:
    """Every draft, also what became of it; the last changed first."""
    async with db.session(_USE) as session:
        rows = await session.scalars(select(PolicyDraft).order_by(PolicyDraft.changed_at.desc()))
        return [
            Draft(row.series, row.version, row.digest, Stage(row.stage), row.changed_at, row.reason) for row in rows
        ]


async def get(db: Database, series: str, version: str) -> Version:
    """A draft's files. Raises NotFound, Conflict where they aren't as they were kept."""
    async with db.session(_USE) as session:
        row = await _row(session, series, version)
        if row is None:
            raise NotFound("There is no such draft.")
        files = await _files(session, row.id)
    found = folders.made(series, version, files)
    if found.digest != row.digest:
        raise Conflict("The files of this draft aren't those that were kept: the store was changed.")
    return found


async def on_time(session: AsyncSession, version: Version, notice: Period) -> None:
    """Raises Rejected where it would come into force before it can be read: material changes are announced so long before,
    and none is back-dated, or comes into force before one that is published."""
    today = clock.now().date()
    earliest = notice.after(clock.now()).date() if version.material else today
    if version.effective < earliest:
        why = "a material change is announced before it is" if version.material else "nothing is back-dated"
        raise Rejected(f"It can be in force from {earliest} on: {why}.", field="effective")
    last: date | None = await versions.last_effective(session, version.series)
    if last is not None and version.effective <= last:
        raise Rejected(f"It must come into force after the version of {last}.", field="effective")


async def _row(session: AsyncSession, series: str, version: str) -> PolicyDraft | None:
    mine = PolicyDraft.series == series, PolicyDraft.version == version
    row: PolicyDraft | None = await session.scalar(select(PolicyDraft).where(*mine).with_for_update())
    return row


async def _at(session: AsyncSession, series: str, version: str, *stages: Stage) -> PolicyDraft:
    row = await _row(session, series, version)
    if row is None:
        raise NotFound("There is no such draft.")
    if row.stage not in stages:
        raise Conflict(f"{series}/{version} is {row.stage}, not {' or '.join(stages)}.")
    return row


async def _files(session: AsyncSession, draft_id: UUID) -> Mapping[str, bytes]:
    query = select(PolicyDraftFile).where(PolicyDraftFile.draft_id == draft_id).order_by(PolicyDraftFile.name)
    return {row.name: row.content for row in await session.scalars(query)}
