"""Sign-up and the confirmation of the address. Nobody learns here whether an address is known already.

Anybody may sign up with anybody's address, so a sign-up sets no password: who reads the mailbox does, with the link. A
password from before would open the account to whoever typed it, as soon as the address's owner confirmed it.
"""

import unicodedata
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from governance import clock, events
from governance.datamap import DataUse
from governance.errors import Conflict, KeyUnavailable, UseRefused
from governance.ids import uuid7
from governance.mail.outbox import enqueue
from governance.subjects import add_subject, new_subject
from governance.vault.blind_index import normalise_email
from governance.vault.columns import seal
from router.accounts.account import DEFAULT_TIER, Account
from router.accounts.desk import Desk, even_time
from router.accounts.one_time import Purpose, issue, look_up
from router.accounts.password_change import set_by_link
from router.accounts.passwords import NO_PASSWORD
from router.accounts.person import Person, person_of
from router.accounts.roles import Role

# The one answer, whoever asks.
ANSWER = "If the address can be used, a mail is on its way to it. Open the link in it to go on."


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Whose address was confirmed."""

    account_id: UUID
    subject_id: UUID


async def sign_up(desk: Desk, email: str) -> str:
    """Start an account; returns `ANSWER` whether the address is known or not, after about the same time.

    Unknown address: an unconfirmed account and a mail with a link. Known: its owner gets a mail, nothing changes.
    Raises Rejected for what isn't an address.
    """
    normalise_email(email)
    address = unicodedata.normalize("NFKC", email.strip())  # what is indexed and what is mailed to are one address
    async with even_time(desk.answer_seconds):
        subject_id = await _claim(desk, address)
        try:
            if not await _create(desk, subject_id, address):
                await _tell_owner(desk, subject_id)
        except (KeyUnavailable, UseRefused):
            # The second: very many at once, which is an incident and said.
            pass  # the address is just being erased: the same answer, and the next sign-up is a new subject's
    return ANSWER


async def _claim(desk: Desk, address: str) -> UUID:
    """The subject that holds the address: a known one, or a new one whose key and index entry are committed."""
    known = await desk.emails.find(address)
    if known is not None:
        return known
    subject_id = await new_subject(desk.keys)
    # A crash here leaves a key that nothing refers to.
    try:
        await desk.emails.add(address, subject_id)
    except Conflict:
        # Another sign-up was first: its subject is the one, and our key stays without values.
        return await desk.emails.find(address) or subject_id
    # A crash here leaves an entry for a subject without rows: the next sign-up finds it and goes on from here.
    return subject_id


async def _create(desk: Desk, subject_id: UUID, address: str) -> bool:
    """Commit subject, account, person, link and mail at once; False where the subject has a person already."""
    try:
        async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
            if await person_of(session, subject_id) is not None:
                return False
            now = clock.now()
            add_subject(session, subject_id)
            account = Account(id=uuid7(), tier=DEFAULT_TIER, data_policy=None, created_at=now, first_run=False)
            session.add(account)
            await session.flush()
            person = Person(
                id=uuid7(),
                subject_id=subject_id,
                account_id=account.id,
                role=Role.USER.value,
                created_at=now,
                first_password=False,
            )
            await seal(desk.keys, person, email=address, password_hash=NO_PASSWORD)
            session.add(person)
            token_id, token = issue(session, subject_id, Purpose.CONFIRM)
            await session.flush()
            values = {"link": desk.links.confirm(token), "valid": "24 hours"}
            await enqueue(session, desk.keys, subject_id, "confirm", address, values, f"confirm:{token_id}")
    except IntegrityError:
        # Two sign-ups for one address: the other's rows are committed, and these are none.
        return False
    # A crash here, after the commit: the mail is in the outbox, and the person is as if the answer had been lost.
    return True


async def _tell_owner(desk: Desk, subject_id: UUID) -> None:
    async with desk.db.transaction(DataUse.AUTHENTICATION) as session:
        person = await person_of(session, subject_id)
        if person is None:
            return
        to = await person.email.open(DataUse.NOTICES)
        values = {"sign_in": desk.links.sign_in, "reset": desk.links.reset()}
        # At most one an hour: signing up again and again is no way to flood somebody's mailbox.
        key = f"existing-account:{subject_id}:{clock.now():%Y%m%d%H}"
        await enqueue(session, desk.keys, subject_id, "existing-account", to, values, key)


async def unconfirmed_account(desk: Desk, token: str, purpose: Purpose) -> UUID | None:
    """The account that this link would confirm for the first time; the link stays usable. Raises Rejected."""
    async with desk.db.session(DataUse.AUTHENTICATION) as session:
        person = await person_of(session, await look_up(session, token, purpose))
    return person.account_id if person is not None and person.email_confirmed_at is None else None


async def confirm(desk: Desk, token: str, password: str) -> Confirmed:
    """Confirm the address that the link was sent to, and set the password that its reader chose.

    Raises Rejected for a link that doesn't work (field `token`) or a password that breaks the rules (the link is kept).
    """
    person = await set_by_link(desk, token, Purpose.CONFIRM, password)
    await events.emit_async("account:email:confirmed", {"subject_id": str(person.subject_id)})
    return Confirmed(person.account_id, person.subject_id)
