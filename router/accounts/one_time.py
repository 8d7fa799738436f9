"""Links that work once: they confirm an address or let a new password be chosen. Only a token's hash rests."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKey, LargeBinary, String, Uuid, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, Base, DataUse, OnErasure, declared
from governance.db import UtcDateTime
from governance.errors import Rejected
from governance.ids import uuid7
from governance.subjects import DataSubject
from router.accounts.secret_token import new_token, token_hash

_USES = (DataUse.AUTHENTICATION, DataUse.SERVICE)


class Purpose(StrEnum):
    """What the link does. A link for one purpose is worth nothing for the other."""

    CONFIRM = "confirm"
    RESET = "reset"


VALID_FOR = {Purpose.CONFIRM: timedelta(hours=24), Purpose.RESET: timedelta(hours=1)}


def _column(kind: Any, seal_id: int, category: str = "user.authorization.credentials", **options: Any) -> Mapped[Any]:
    return declared(kind, seal_id, category, _USES, retention="one-time-token", on_erasure=OnErasure.DELETE, **options)


class OneTimeToken(Base):
    """One link that was sent."""

    __tablename__ = "one_time_token"

    id: Mapped[UUID] = _column(Uuid, 260, "user.unique_id.pseudonymous", primary_key=True)
    subject_id: Mapped[UUID] = _column(
        Uuid, 261, "user.unique_id.pseudonymous", args=(ForeignKey(DataSubject.id),), index=True
    )
    purpose: Mapped[str] = _column(String(16), 262)
    token_hash: Mapped[bytes] = _column(LargeBinary, 263, at_rest=AtRest.HASHED, unique=True)
    created_at: Mapped[datetime] = _column(UtcDateTime, 264)
    expires_at: Mapped[datetime] = _column(UtcDateTime, 265)
    used_at: Mapped[datetime | None] = _column(UtcDateTime, 266, nullable=True)


def _usable(purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        OneTimeToken.purpose == purpose.value,
        OneTimeToken.used_at.is_(None),
        OneTimeToken.expires_at > clock.now(),
    )


def issue(session: AsyncSession, subject_id: UUID, purpose: Purpose) -> tuple[UUID, str]:
    """Add a token to the caller's transaction: its row id, and the token itself, which exists nowhere else."""
    token, now = new_token(), clock.now()
    row = OneTimeToken(
        id=uuid7(),
        subject_id=subject_id,
        purpose=purpose.value,
        token_hash=token_hash(token),
        created_at=now,
        expires_at=now + VALID_FOR[purpose],
    )
    session.add(row)
    return row.id, token


async def count_usable(session: AsyncSession, subject_id: UUID, purpose: Purpose) -> int:
    """How many links of this kind a person holds that would still work."""
    mine = OneTimeToken.subject_id == subject_id
    return await session.scalar(select(func.count(OneTimeToken.id)).where(mine, *_usable(purpose))) or 0


async def look_up(session: AsyncSession, token: str, purpose: Purpose) -> UUID:
    """The subject that a usable token belongs to; it stays usable. Raises Rejected."""
    this = OneTimeToken.token_hash == token_hash(token)
    subject_id: UUID | None = await session.scalar(select(OneTimeToken.subject_id).where(this, *_usable(purpose)))
    if subject_id is None:
        raise _unusable()
    return subject_id


async def redeem(session: AsyncSession, token: str, purpose: Purpose) -> UUID:
    """Use a token up and return its subject. Raises Rejected for one that is unknown, used, expired or for another use.

    One UPDATE decides, so of two at once one wins: the other waits for its row, then finds `used_at` set.
    """
    this = OneTimeToken.token_hash == token_hash(token)
    subject_id: UUID | None = await session.scalar(
        update(OneTimeToken)
        .where(this, *_usable(purpose))
        .values(used_at=clock.now())
        .returning(OneTimeToken.subject_id)
        .execution_options(synchronize_session=False)
    )
    if subject_id is None:
        raise _unusable()
    return subject_id


async def void(session: AsyncSession, subject_id: UUID, purpose: Purpose) -> None:
    """Make every other link of this kind worthless."""
    mine = OneTimeToken.subject_id == subject_id
    await session.execute(
        update(OneTimeToken)
        .where(mine, *_usable(purpose))
        .values(used_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def _unusable() -> Rejected:
    return Rejected("This link doesn't work: it was used already, or it is too old. Ask for a new one.", field="token")
