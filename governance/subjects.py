"""The data subject: a random id that everything about a person hangs on, and the state of their rights."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import String, Uuid
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, synonym

from governance import clock
from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared
from governance.db import UtcDateTime
from governance.ids import uuid7
from governance.vault.keys import KeyStore

_USES = (DataUse.SERVICE, DataUse.AUTHENTICATION, DataUse.SUPPORT, DataUse.LEGAL_OBLIGATION)


class SubjectState(StrEnum):
    """Where the subject stands: Art. 18 restricts, Art. 17 erases."""

    ACTIVE = "active"
    RESTRICTED = "restricted"
    ERASED = "erased"


class DataSubject(Base):
    """A person, as far as other tables know: an id. Who it is rests sealed under the subject's key."""

    __tablename__ = "data_subject"

    id: Mapped[UUID] = declared(
        Uuid,
        100,
        "user.unique_id.pseudonymous",
        _USES,
        primary_key=True,
        retention="account",
        on_erasure=OnErasure.DELETE,
    )
    state: Mapped[str] = declared(
        String(16),
        101,
        "user.privacy_preferences",
        _USES,
        retention="account",
        on_erasure=OnErasure.DELETE,
        legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )
    created_at: Mapped[datetime] = declared(
        UtcDateTime,
        102,
        "user.unique_id.pseudonymous",
        _USES,
        retention="account",
        on_erasure=OnErasure.DELETE,
    )
    subject_id: Mapped[UUID] = synonym("id")  # whose row it is, as every table of a person's says


async def new_subject(keys: KeyStore) -> UUID:
    """A fresh subject id whose key is committed; the row follows with `add_subject` in the caller's transaction."""
    subject_id = uuid7()
    await keys.create_subject_key(subject_id)
    return subject_id


def add_subject(session: AsyncSession, subject_id: UUID) -> None:
    """Add the subject's row to a transaction."""
    session.add(DataSubject(id=subject_id, state=SubjectState.ACTIVE, created_at=clock.now()))
