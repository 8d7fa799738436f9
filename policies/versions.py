"""Published versions of every document, as the running service keeps them: seeded from the folders, never changed.

The folders ship with the program; the first version of a series is in force as it is seeded. What was published can't be
published otherwise: same name and other content is refused, by whoever tries.
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import Boolean, Date, ForeignKey, LargeBinary, String, Text, UniqueConstraint, Uuid, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime, add_once
from governance.errors import Conflict, NotFound
from governance.evidence import fields
from governance.evidence.entry import EntryType
from governance.evidence.rows import Recorded
from governance.ids import uuid7
from policies import version as folders
from policies.version import SERIES, Version

BY_PROGRAM: Final = "program"
"""Who published what ships."""
SHIPPED: Final = Path(__file__).parent
_USE: Final = DataUse.LEGAL_OBLIGATION


class PolicyVersion(Base):
    """A published version. `digest` covers its files; `entry_id`: its entry in the transparency log."""

    __tablename__ = "policy_version"
    __table_args__ = (UniqueConstraint("series", "version"),)

    id: Mapped[UUID] = impersonal(Uuid, 670, primary_key=True)
    series: Mapped[str] = impersonal(String(20), 671)
    version: Mapped[str] = impersonal(String(20), 672)
    title: Mapped[str] = impersonal(String(100), 673)
    effective_on: Mapped[date] = impersonal(Date, 674)
    material: Mapped[bool] = impersonal(Boolean, 675)
    summary: Mapped[str] = impersonal(Text, 676)
    digest: Mapped[str] = impersonal(String(64), 677)
    published_at: Mapped[datetime] = impersonal(UtcDateTime, 678)
    published_by: Mapped[str] = impersonal(String(20), 679)
    entry_id: Mapped[UUID | None] = impersonal(Uuid, 680, nullable=True)


PUBLISHED: Final = Recorded(PolicyVersion, EntryType.POLICY_PUBLISHED)


class PolicyFile(Base):
    """A file of a version, byte for byte."""

    __tablename__ = "policy_file"
    __table_args__ = (UniqueConstraint("version_id", "name"),)

    id: Mapped[UUID] = impersonal(Uuid, 681, primary_key=True)
    version_id: Mapped[UUID] = impersonal(Uuid, 682, args=(ForeignKey(PolicyVersion.id),))
    name: Mapped[str] = impersonal(String(40), 683)
    content: Mapped[bytes] = impersonal(LargeBinary, 684)


def shipped() -> list[Version]:
    """The versions whose folders ship. Raises ConfigurationError where one isn't as it must be."""
    return [
        folders.read(folder)
        for series in SERIES
        for folder in sorted((SHIPPED / series).glob("*"))
        if folder.is_dir() and not folder.name.startswith((".", "_"))
    ]


async def seed(db: Database, versions: Sequence[Version]) -> list[str]:
    """Keep those that aren't kept yet, each with its entry; their names. Any number of processes may.

    One that is kept with another content stays as it was published.
    """
    new = []
    for each in versions:
        async with db.transaction(_USE) as session:
            if not await published(session, each.series, each.version) and await add(session, each, by=BY_PROGRAM):
                new.append(each.name)
    return new


async def history(db: Database, series: str | None = None) -> list[PolicyVersion]:
    """Every published version, the newest first; of one series or of all."""
    query = select(PolicyVersion).order_by(
        PolicyVersion.series, PolicyVersion.effective_on.desc(), PolicyVersion.id.desc()
    )
    async with db.session(_USE) as session:
        return list(await session.scalars(query if series is None else query.where(PolicyVersion.series == series)))


async def in_force(db: Database, series: str) -> PolicyVersion | None:
    """The version whose effective date came last; None where none has come."""
    return current(await history(db, series), series)


def current(rows: Sequence[PolicyVersion], series: str) -> PolicyVersion | None:
    """The same, of what `history` gave."""
    today = clock.now().date()
    return next((row for row in rows if row.series == series and row.effective_on <= today), None)


async def get(db: Database, series: str, version: str) -> Version:
    """A version with its files. Raises NotFound, Conflict where its files aren't those that were published."""
    if not folders.NAME.fullmatch(version):
        raise NotFound("There is no such version.")  # nor may a store be asked for every text
    async with db.session(_USE) as session:
        row = await _row(session, series, version)
        if row is None:
            raise NotFound("There is no such version.")
        query = select(PolicyFile).where(PolicyFile.version_id == row.id).order_by(PolicyFile.name)
        files = {file.name: file.content for file in await session.scalars(query)}
    found = folders.made(series, version, files)
    if found.digest != row.digest:
        raise Conflict("The files of this version aren't those that were published: the store was changed.")
    return found


async def _row(session: AsyncSession, series: str, version: str) -> PolicyVersion | None:
    mine = PolicyVersion.series == series, PolicyVersion.version == version
    row: PolicyVersion | None = await session.scalar(select(PolicyVersion).where(*mine))
    return row


async def published(session: AsyncSession, series: str, version: str) -> bool:
    """Whether a version of that name is."""
    return await _row(session, series, version) is not None


async def last_effective(session: AsyncSession, series: str) -> date | None:
    """When the last of a series' published versions comes into force; None where none is published."""
    mine = PolicyVersion.series == series
    found: date | None = await session.scalar(select(func.max(PolicyVersion.effective_on)).where(mine))
    return found


async def add(session: AsyncSession, version: Version, by: str) -> bool:
    """Publish a version with its entry in the transparency log; False where another process was first. `by`: a role."""
    fields.declare_names("policy", (version.name,))
    row = PolicyVersion(
        id=uuid7(), series=version.series, version=version.version, title=version.title, effective_on=version.effective,
        material=version.material, summary=version.summary, digest=version.digest, published_at=clock.now(),
        published_by=by,
    )  # fmt: skip
    if not await add_once(session, row):
        return False
    session.add_all(
        PolicyFile(id=uuid7(), version_id=row.id, name=name, content=data) for name, data in version.files.items()
    )
    await PUBLISHED.record(session, row, {"version": version.name, "digest": version.digest})
    return True
