"""Documents that show what code can't see: a processor's contract, an audit of a building. A live register.

The document itself stays where its owner keeps it; here rest its SHA-256 and until when it is good, so that who is shown a
document later can tell that it is the one. A newer one of the same name takes the older one's place; none is ever removed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import String, Uuid, select
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import Rejected
from governance.evidence.entry import EntryType
from governance.evidence.rows import Recorded
from governance.ids import uuid7
from policies.promises import Register


class AttestationDocument(Base):
    """A document that was recorded. `by`: the role that answers for it."""

    __tablename__ = "attestation_document"

    id: Mapped[UUID] = impersonal(Uuid, 465, primary_key=True)
    name: Mapped[str] = impersonal(String(64), 466, index=True)
    digest: Mapped[str] = impersonal(String(64), 467)
    recorded_at: Mapped[datetime] = impersonal(UtcDateTime, 468)
    expires_at: Mapped[datetime] = impersonal(UtcDateTime, 469)
    by: Mapped[str] = impersonal(String(20), 470)
    entry_id: Mapped[UUID] = impersonal(Uuid, 471)


RECORDED: Final = Recorded(AttestationDocument, EntryType.ATTESTATION_RECORDED)


@dataclass(frozen=True, slots=True)
class Document:
    """`digest`: SHA-256 in hex; `evidence_id`: its entry in the log."""

    name: str
    digest: str
    recorded_at: datetime
    expires_at: datetime
    by: str
    evidence_id: UUID

    @property
    def stands(self) -> bool:
        return clock.now() < self.expires_at


async def add(db: Database, register: Register, name: str, digest: str, expires_at: datetime, by: str) -> Document:
    """Record a document that a promise of the register asks for. Raises Rejected."""
    if name not in register.attestations:
        raise Rejected(f"No promise asks for that document; they ask for: {', '.join(sorted(register.attestations))}.")
    if expires_at <= clock.now():
        raise Rejected("The document's end lies in the past.", field="expires")
    row = AttestationDocument(
        id=uuid7(), name=name, digest=digest, recorded_at=clock.now(), expires_at=expires_at, by=by
    )
    async with db.transaction(DataUse.LEGAL_OBLIGATION) as session:
        await RECORDED.record(session, row, {"document": name, "digest": digest, "expires": expires_at})
        session.add(row)
    return _read(row)


async def current(db: Database) -> Mapping[str, Document]:
    """The document of each name that the log has last."""
    return {each.name: each for each in await history(db)}


async def history(db: Database) -> Sequence[Document]:
    """Every document that was recorded, in the log's order. A row that isn't as it was recorded is none."""
    async with db.session(DataUse.SECURITY) as session:
        rows = (await session.scalars(select(AttestationDocument))).all()
        return [_read(row) for row in await RECORDED.held(session, rows)]


def _read(row: AttestationDocument) -> Document:
    return Document(row.name, row.digest, row.recorded_at, row.expires_at, row.by, row.entry_id)
