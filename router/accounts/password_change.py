"""Choosing a new password: by a mailed link, or signed in with the old one. Both end the person's other sessions."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock, events
from governance.datamap import DataUse
from governance.errors import KeyUnavailable, NotFound, Rejected, UseRefused
from governance.ids import uuid7
from governance.mail.outbox import enqueue
from governance.vault.columns import seal
from router.accounts.desk import Desk, even_time
from router.accounts.one_time import Purpose, count_usable, issue, look_up, redeem, void
from router.accounts.passwords import check_password
from router.accounts.person import Person, person_of
from router.accounts.session import end_sessions
from router.accounts.sign_in import SignInFailed

# The one answer, whoever asks.
RESET_ANSWER = "If the address has an account, a mail is on its way to it."
# More links than this at a time aren't sent to one person: asking again and again is no way to flood a mailbox.
_USABLE_LINKS_MAX = 3


async def request_reset(desk: Desk, email: str) -> str:
    """Mail a link; returns `RESET_ANSWER` whether the address is known or not, after about the same time."""
    async with even_time(desk.answer_seconds):
        try:
            subject_id = await desk.emails.find(email)
            if subject_id is not None:
                await _send_link(desk, subject_id)
        except (Rejected, KeyUnavailable, UseRefused):
            pass  # no address, one that is just being erased, or very many at once: the same answer
    return RESET_ANSWER


async def _send_link(desk: Desk, subject_id: UUID) -> None:
    async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
        person = await person_of(session, subject_id)
        if person is None or await count_usable(session, subject_id, Purpose.RESET) >= _USABLE_LINKS_MAX:
            return
        # To the address that was confirmed or signed up with, never to the one just typed: they may look alike.
        to = await person.email.open(DataUse.NOTICES)
        token_id, token = issue(session, subject_id, Purpose.RESET)
        await session.flush()
        values = {"link": desk.links.reset(token), "valid": "one hour"}
        await enqueue(session, desk.keys, subject_id, "password-reset", to, values, f"reset:{token_id}")


async def _set(desk: Desk, session: AsyncSession, person: Person, password_hash: str) -> None:
    await seal(desk.keys, person, password_hash=password_hash)
    person.first_password = False
    await session.flush()


async def _tell(desk: Desk, session: AsyncSession, person: Person) -> None:
    to = await person.email.open(DataUse.NOTICES)
    values = {"reset": desk.links.reset()}
    await enqueue(session, desk.keys, person.subject_id, "password-changed", to, values, f"password:{uuid7()}")


async def reset(desk: Desk, token: str, password: str) -> UUID:
    """Set a new password by a mailed link, which confirms the address too; the subject's id. Ends every session.

    Raises Rejected for a link that doesn't work (field `token`) or a password that breaks the rules (the link is kept).
    """
    person = await set_by_link(desk, token, Purpose.RESET, password)
    await events.emit_async("account:password:reset", {"subject_id": str(person.subject_id)})
    return person.subject_id


async def set_by_link(desk: Desk, token: str, purpose: Purpose, password: str) -> Person:
    """What `reset` and the confirmation of an address have in common: whoever read the mail chooses the password."""
    async with desk.db.session(DataUse.AUTHENTICATION) as session:
        person = await person_of(session, await look_up(session, token, purpose))
    if person is None:
        raise Rejected("This link doesn't work.", field="token")
    normal = check_password(password, await person.email.open(DataUse.AUTHENTICATION))
    password_hash = await desk.passwords.hash(normal)
    async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
        # Locked before any link: two links of one person void each other.
        found = await person_of(session, person.subject_id, lock=True)
        if found is None:
            raise Rejected("This link doesn't work.", field="token")
        # Of two at once one wins here, and nothing of the other's is kept.
        subject_id = await redeem(session, token, purpose)
        found.email_confirmed_at = found.email_confirmed_at or clock.now()
        await void(session, subject_id, Purpose.RESET)
        await void(session, subject_id, Purpose.CONFIRM)
        await end_sessions(session, subject_id)
        await _set(desk, session, found, password_hash)
        if purpose is Purpose.RESET:
            await _tell(desk, session, found)
    return found


async def change_password(desk: Desk, subject_id: UUID, current: str, password: str, *, session_id: UUID) -> None:
    """Set a new password, knowing the old one; every session but this one ends.

    Raises SignInFailed for a wrong current password, Rejected for a new one that breaks the rules, NotFound.
    """
    async with desk.db.session(DataUse.AUTHENTICATION) as session:
        person = await person_of(session, subject_id)
    if person is None:
        raise NotFound("There is no such person.")
    if not await desk.passwords.verify(current, await person.password_hash.open(DataUse.AUTHENTICATION)):
        raise SignInFailed
    normal = check_password(password, await person.email.open(DataUse.AUTHENTICATION))
    password_hash = await desk.passwords.hash(normal)
    async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
        found = await person_of(session, subject_id, lock=True)
        if found is None:
            raise NotFound("There is no such person.")
        await void(session, subject_id, Purpose.RESET)
        await end_sessions(session, subject_id, keep=session_id)
        await _set(desk, session, found, password_hash)
        await _tell(desk, session, found)
    await events.emit_async("account:password:changed", {"subject_id": str(subject_id)})
