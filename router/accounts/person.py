"""A person in an account: role, address and password. What names or opens them is sealed under their own key."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, String, Uuid, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import events
from governance.datamap import AtRest, Base, DataUse, OnErasure, declared
from governance.db import Database, UtcDateTime
from governance.errors import NotFound
from governance.incidents.affected import IncidentSubject
from governance.session_use import reading_for
from governance.subjects import DataSubject
from governance.vault.columns import SealedType
from governance.vault.sealed import Sealed
from router.accounts.account import Account
from router.accounts.roles import Role

_USES = (DataUse.SERVICE, DataUse.AUTHENTICATION, DataUse.SUPPORT, DataUse.LEGAL_OBLIGATION)


def _plain(kind: Any, seal_id: int, category: str, **options: Any) -> Mapped[Any]:
    return declared(kind, seal_id, category, _USES, retention="account", on_erasure=OnErasure.DELETE, **options)


class Person(Base):
    """One person. `first_password`: still the one that the first run made up."""

    __tablename__ = "person"

    id: Mapped[UUID] = _plain(Uuid, 210, "user.unique_id.pseudonymous", primary_key=True)
    subject_id: Mapped[UUID] = _plain(
        Uuid, 211, "user.unique_id.pseudonymous", args=(ForeignKey(DataSubject.id),), unique=True
    )
    account_id: Mapped[UUID] = _plain(
        Uuid, 212, "user.unique_id.pseudonymous", args=(ForeignKey(Account.id),), index=True
    )
    role: Mapped[str] = _plain(String(20), 213, "user.account.settings")
    email: Mapped[Sealed[str]] = declared(
        SealedType(str),
        214,
        "user.contact.email",
        (*_USES, DataUse.NOTICES),
        at_rest=AtRest.SEALED,
        retention="account",
        on_erasure=OnErasure.SHRED,
    )
    password_hash: Mapped[Sealed[str]] = declared(
        SealedType(str),
        215,
        "user.authorization.password",
        (DataUse.AUTHENTICATION,),
        at_rest=AtRest.SEALED,
        retention="account",
        on_erasure=OnErasure.SHRED,
    )
    email_confirmed_at: Mapped[datetime | None] = _plain(UtcDateTime, 216, "user.account", nullable=True)
    created_at: Mapped[datetime] = _plain(UtcDateTime, 217, "user.account")
    first_password: Mapped[bool] = _plain(Boolean, 218, "user.account.settings")


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """What lists show: ids, role and dates."""

    id: UUID
    subject_id: UUID
    account_id: UUID
    role: str
    email_confirmed_at: datetime | None
    created_at: datetime
    first_password: bool


async def person_of(session: AsyncSession, subject_id: UUID, *, lock: bool = False) -> Person | None:
    """The person whose data subject this is; with `lock` nobody else's transaction changes them, nor their links."""
    query = select(Person).where(Person.subject_id == subject_id)
    found: Person | None = await session.scalar(query.with_for_update() if lock else query)
    return found


async def list_people(db: Database, *, limit: int = 1000) -> list[PersonSummary]:
    """The newest people first."""
    columns = (
        Person.id,
        Person.subject_id,
        Person.account_id,
        Person.role,
        Person.email_confirmed_at,
        Person.created_at,
        Person.first_password,
    )
    async with db.session(DataUse.SUPPORT) as session:
        rows = await session.execute(select(*columns).order_by(Person.id.desc()).limit(limit))
        return [PersonSummary(*row) for row in rows]


async def with_roles(db: Database, roles: Collection[Role]) -> list[UUID]:
    """Data subjects of the people who have one of these roles."""
    query = select(Person.subject_id).where(Person.role.in_([role.value for role in roles])).order_by(Person.id)
    async with db.session(DataUse.SUPPORT) as session:
        return list(await session.scalars(query))


async def confirmed(db: Database, after: UUID | None, limit: int) -> list[tuple[UUID, UUID]]:
    """Ids and data subjects of people who confirmed their address and whose account isn't closed, by id; who restricted
    their data isn't among them."""
    query = select(Person.id, Person.subject_id).join(Account, Account.id == Person.account_id)
    query = query.where(Person.email_confirmed_at.is_not(None), Account.closed_at.is_(None))
    if after is not None:
        query = query.where(Person.id > after)
    async with db.session(DataUse.SUPPORT) as session:
        rows = await session.execute(query.order_by(Person.id).limit(limit))
        return [(row.id, row.subject_id) for row in rows]


async def subjects(db: Database, some_id: UUID) -> list[UUID]:
    """The data subject of that id, or those of everybody in the account of that id; none where it is neither's.

    Asked for whom a breach is about: also who restricted their data is to be told (Art. 18(2), 34)."""
    query = select(Person.subject_id).where(or_(Person.subject_id == some_id, Person.account_id == some_id))
    async with db.session(DataUse.LEGAL_OBLIGATION) as session:
        return list(await session.scalars(query.order_by(Person.id)))


async def customers_concerned(session: AsyncSession, incident_ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """By incident: the accounts of the people whom a breach is about, who restricted their data included (Art. 33(2))."""
    query = (
        select(IncidentSubject.incident_id, Person.account_id)
        .join(Person, Person.subject_id == IncidentSubject.subject_id)
        .where(IncidentSubject.incident_id.in_(incident_ids))
        .distinct()
    )
    found: dict[UUID, set[UUID]] = {}
    with reading_for(session, DataUse.LEGAL_OBLIGATION):
        for row in await session.execute(query):
            found.setdefault(row.incident_id, set()).add(row.account_id)
    return found


async def open_email(db: Database, subject_id: UUID, use: DataUse) -> str:
    """A person's address, for one declared use. Raises NotFound, UseRefused, KeyUnavailable."""
    async with db.session(use) as session:
        person = await person_of(session, subject_id)
    if person is None:
        raise NotFound("There is no such person.")
    return await person.email.open(use)


async def address_for_notice(db: Database, subject_id: UUID) -> str:
    """Where a person gets notices. Raises NotFound (also for who restricted them), UseRefused, KeyUnavailable."""
    async with db.session(DataUse.SUPPORT) as session:  # a row of roles and dates, which no notice needs
        person = await person_of(session, subject_id)
    if person is None:
        raise NotFound("There is no such person.")
    return await person.email.open(DataUse.NOTICES)


async def set_role(db: Database, subject_id: UUID, role: Role, *, bump: Callable[[], None]) -> None:
    """Give a person another role. Raises NotFound."""
    async with db.transaction(DataUse.SERVICE) as session:
        changed = await session.scalar(
            update(Person).where(Person.subject_id == subject_id).values(role=role.value).returning(Person.id)
        )
    if changed is None:
        raise NotFound("There is no such person.")
    await events.emit_async("account:role:changed", {"subject_id": str(subject_id), "role": role.value})
    # A crash before this line: other processes notice when their cached keys grow old.
    bump()


async def first_passwords(db: Database) -> int:
    """How many people still have the password that the first run made up; production refuses to start above 0."""
    async with db.session(DataUse.AUTHENTICATION) as session:
        return await session.scalar(select(func.count()).where(Person.first_password.is_(True))) or 0
