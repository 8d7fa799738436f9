"""Sign-in sessions: a random token with the browser, its hash here, and where it began, sealed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, Uuid, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, Base, DataUse, LegalBasis, OnErasure, declared
from governance.db import Database, UtcDateTime
from governance.ids import uuid7
from governance.subjects import DataSubject, SubjectState
from governance.vault.columns import SealedType, seal
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed
from router.accounts.account import Account
from router.accounts.person import Person
from router.accounts.secret_token import LENGTH, new_token, token_hash

_USES = (DataUse.AUTHENTICATION, DataUse.SECURITY, DataUse.SERVICE)
_USER_AGENT_CHARACTERS_MAX = 256


def _plain(kind: Any, seal_id: int, category: str = "user.account", **options: Any) -> Mapped[Any]:
    return declared(kind, seal_id, category, _USES, retention="session", on_erasure=OnErasure.DELETE, **options)


def _sealed(seal_id: int, category: str) -> Mapped[Sealed[str] | None]:
    return declared(
        SealedType(str),
        seal_id,
        category,
        (DataUse.SECURITY,),
        at_rest=AtRest.SEALED,
        retention="session",
        on_erasure=OnErasure.SHRED,
        legal_basis=LegalBasis.LEGITIMATE_INTEREST,
        nullable=True,
    )


class SignInSession(Base):
    """One sign-in. Signing out deletes the row."""

    __tablename__ = "session"

    id: Mapped[UUID] = _plain(Uuid, 245, "user.unique_id.pseudonymous", primary_key=True)
    subject_id: Mapped[UUID] = _plain(
        Uuid, 246, "user.unique_id.pseudonymous", args=(ForeignKey(DataSubject.id),), index=True
    )
    token_hash: Mapped[bytes] = _plain(
        LargeBinary, 247, "user.authorization.credentials", at_rest=AtRest.HASHED, unique=True
    )
    created_at: Mapped[datetime] = _plain(UtcDateTime, 248)
    expires_at: Mapped[datetime] = _plain(UtcDateTime, 249, index=True)
    ip: Mapped[Sealed[str] | None] = _sealed(250, "user.device.ip_address")
    user_agent: Mapped[Sealed[str] | None] = _sealed(251, "user.device")


@dataclass(frozen=True, slots=True, repr=False)
class NewSession:
    """A session just begun: the token goes to the browser and is kept nowhere."""

    session_id: UUID
    subject_id: UUID
    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"<NewSession {self.session_id} ***>"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a valid session token belongs to."""

    session_id: UUID
    subject_id: UUID
    account_id: UUID
    role: str
    subject_state: str
    first_password: bool
    expires_at: datetime


async def open_session(
    session: AsyncSession, keys: KeyStore, subject_id: UUID, *, ip: str | None, user_agent: str | None, hours: int
) -> NewSession:
    """Add a session to the caller's transaction."""
    token, now = new_token(), clock.now()
    row = SignInSession(
        id=uuid7(),
        subject_id=subject_id,
        token_hash=token_hash(token),
        created_at=now,
        expires_at=now + timedelta(hours=hours),
    )
    where = {"ip": ip, "user_agent": user_agent and user_agent[:_USER_AGENT_CHARACTERS_MAX]}
    # From outside: a lone surrogate can't be encoded, and the encoder's exception would quote it.
    known: dict[str, Any] = {
        name: value.encode(errors="replace").decode() for name, value in where.items() if value is not None
    }
    await seal(keys, row, **known)
    session.add(row)
    return NewSession(row.id, subject_id, token, row.expires_at)


async def find_session(db: Database, token: str) -> SignedIn | None:
    """Who is signed in with this token; None when it is unknown, expired or signed out, or its account closed."""
    if len(token) != LENGTH:
        return None
    query = (
        select(
            SignInSession.id,
            SignInSession.subject_id,
            Person.account_id,
            Person.role,
            DataSubject.state,
            Person.first_password,
            SignInSession.expires_at,
        )
        .join(Person, Person.subject_id == SignInSession.subject_id)
        .join(Account, Account.id == Person.account_id)
        .join(DataSubject, DataSubject.id == SignInSession.subject_id)
        .where(
            SignInSession.token_hash == token_hash(token),
            SignInSession.expires_at > clock.now(),
            Account.closed_at.is_(None),
            DataSubject.state != SubjectState.ERASED,
        )
    )
    async with db.session(DataUse.AUTHENTICATION) as session:
        row = (await session.execute(query)).one_or_none()
    return SignedIn(*row) if row is not None else None


async def sign_out(db: Database, token: str) -> None:
    """End the session with this token; nothing happens where there is none."""
    async with db.transaction(DataUse.AUTHENTICATION) as session:
        await session.execute(delete(SignInSession).where(SignInSession.token_hash == token_hash(token)))


async def end_sessions(session: AsyncSession, subject_id: UUID, *, keep: UUID | None = None) -> None:
    """End a person's sessions in the caller's transaction, but for one."""
    ended = delete(SignInSession).where(SignInSession.subject_id == subject_id)
    if keep is not None:
        ended = ended.where(SignInSession.id != keep)
    await session.execute(ended.execution_options(synchronize_session=False))
