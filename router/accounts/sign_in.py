"""Signing in with address and password. Limits on attempts are the web's, which knows where they come from."""

from uuid import UUID

from sqlalchemy import select

from governance.datamap import DataUse
from governance.errors import KeyUnavailable, Rejected
from governance.subjects import DataSubject, SubjectState
from governance.vault.columns import seal
from router.accounts.account import Account
from router.accounts.desk import Desk, even_time
from router.accounts.person import Person
from router.accounts.roles import Role
from router.accounts.session import NewSession, open_session
from router.errors import GatewayError


class SignInFailed(GatewayError):
    """Unknown or unconfirmed address, wrong password, closed account: one text and one time for all."""

    status = 401
    code = "sign_in_failed"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


async def sign_in(desk: Desk, email: str, password: str, *, ip: str | None, user_agent: str | None) -> NewSession:
    """A new session. Raises SignInFailed, or Unavailable under too much load."""
    async with even_time(desk.answer_seconds):
        person, encoded = await _proved(desk, email, password)
        fresh = await desk.passwords.hash(password) if desk.passwords.outdated(encoded) else None
        async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
            if fresh is not None:
                await _rehash(desk, await session.get(Person, person.id), encoded, fresh)
            return await open_session(
                session,
                desk.keys,
                person.subject_id,
                ip=ip,
                user_agent=user_agent,
                hours=desk.session_hours,
            )


async def who_is(desk: Desk, email: str, password: str) -> tuple[UUID, Role]:
    """Who proves to be somebody, for one act: data subject and role. Raises as `sign_in` does; nobody is signed in."""
    async with even_time(desk.answer_seconds):
        person, _ = await _proved(desk, email, password)
    return person.subject_id, Role(person.role)


async def _proved(desk: Desk, email: str, password: str) -> tuple[Person, str]:
    """The person, and the hash that their password fits."""
    person = await _find(desk, email)
    encoded = await _password_hash(person)
    right = await desk.passwords.verify(password, encoded)  # on both paths, and as long
    if person is None or encoded is None or not right:
        raise SignInFailed
    return person, encoded


async def _find(desk: Desk, email: str) -> Person | None:
    try:
        subject_id: UUID | None = await desk.emails.find(email)
    except Rejected:
        return None
    if subject_id is None:
        return None
    query = (
        select(Person)
        .join(Account, Account.id == Person.account_id)
        .join(DataSubject, DataSubject.id == Person.subject_id)
        .where(Person.subject_id == subject_id, Account.closed_at.is_(None), DataSubject.state != SubjectState.ERASED)
    )
    async with desk.db.session(DataUse.AUTHENTICATION) as session:
        person: Person | None = await session.scalar(query)
    return person


async def _password_hash(person: Person | None) -> str | None:
    if person is None or person.email_confirmed_at is None:
        return None
    try:
        return await person.password_hash.open(DataUse.AUTHENTICATION)
    except KeyUnavailable:
        return None  # an erasure has taken the key and not yet the row


async def _rehash(desk: Desk, person: Person | None, before: str, fresh: str) -> None:
    """Seal the hash under today's parameters, unless the password was changed meanwhile."""
    if person is not None and await person.password_hash.open(DataUse.AUTHENTICATION) == before:
        await seal(desk.keys, person, password_hash=fresh)
