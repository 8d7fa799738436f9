"""The accounts of the first start, in development mode alone: one person per role, with a made-up password each."""

import secrets
from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.ids import uuid7
from governance.mail.outbox import OutboxMail
from governance.subjects import DataSubject, add_subject, new_subject
from governance.vault.blind_index import EmailIndex
from governance.vault.columns import seal
from governance.vault.keys import KeyStore
from router.accounts.account import DEFAULT_TIER, Account
from router.accounts.api_key import ApiKey, add_key
from router.accounts.one_time import OneTimeToken
from router.accounts.passwords import Passwords
from router.accounts.person import Person
from router.accounts.roles import Role
from router.accounts.session import SignInSession

# Who is made, under the name that first-run.json gives them.
PEOPLE = {
    "user": Role.USER,
    "legal": Role.LEGAL,
    "approver": Role.LEGAL,  # a second legal person: nobody approves their own draft
    "auditor": Role.AUDITOR,
    "privacy_officer": Role.PRIVACY_OFFICER,
    "operator": Role.OPERATOR,
}
DOMAIN = "first-run.example"  # RFC 2606 section 2: never anybody's
FirstRun = dict[str, str | dict[str, str]]


async def make_first_run(
    db: Database, keys: KeyStore, passwords: Passwords, ledger_grant: Callable[[UUID], Awaitable[None]]
) -> FirstRun:
    """Make the people and keys of the first start; what `first-run.json` holds, but for `base_url`.

    Shape: `{"api_key", "api_key_without_credits", "user": {"email", "password"}, "legal": …}`, one entry per PEOPLE.
    `ledger_grant(account_id)` gives the user's account its demo Credits. The caller calls this while no other process
    starts and `first-run.json` doesn't exist, and then writes it: passwords and keys are kept nowhere else. So whatever
    an earlier start made and didn't get written is known to nobody, and is removed first.
    """
    await remove_first_run(db, keys)
    made: dict[str, tuple[UUID, str, str, str]] = {}
    for name in PEOPLE:
        email = f"{name.replace('_', '-')}-{secrets.token_hex(5)}@{DOMAIN}"
        password = secrets.token_urlsafe(18)
        # A crash in this loop leaves keys and index entries that lead to no rows, of addresses that nobody has.
        subject_id = await new_subject(keys)
        await EmailIndex(keys).add(email, subject_id)
        made[name] = subject_id, email, password, await passwords.hash(password)
    async with db.transaction(DataUse.SERVICE) as session:
        accounts: dict[str, UUID] = {}
        for name, (subject_id, email, _, password_hash) in made.items():
            accounts[name] = await _add_account(session)
            add_subject(session, subject_id)
            await session.flush()
            person = Person(
                id=uuid7(),
                subject_id=subject_id,
                account_id=accounts[name],
                role=PEOPLE[name].value,
                email_confirmed_at=clock.now(),
                created_at=clock.now(),
                first_password=True,
            )
            await seal(keys, person, email=email, password_hash=password_hash)
            session.add(person)
        user = made["user"][0]
        key = await add_key(session, keys, accounts["user"], user, "First key", None)
        # The user's second key is of an account that has no Credits and no member.
        poor = await add_key(session, keys, await _add_account(session), user, "First key without Credits", None)
    # A crash here: people whose passwords nobody has; the next start removes them and begins anew.
    await ledger_grant(accounts["user"])
    # A crash here: the same; the granted Credits stay with an account that the next start closes.
    people: FirstRun = {name: {"email": email, "password": password} for name, (_, email, password, _) in made.items()}
    return {"api_key": key.secret, "api_key_without_credits": poor.secret, **people}


async def _add_account(session: AsyncSession) -> UUID:
    account = Account(id=uuid7(), tier=DEFAULT_TIER, data_policy=None, created_at=clock.now(), first_run=True)
    session.add(account)
    await session.flush()
    return account.id


async def remove_first_run(db: Database, keys: KeyStore) -> int:
    """Remove first-run people who still have their first password, with all that is theirs; close empty accounts.

    Accounts stay as closed ones, since the ledger may name them. Whoever chose a password of their own is kept.
    The number of people removed.
    """
    unused = (
        select(Person.subject_id)
        .join(Account, Account.id == Person.account_id)
        .where(Account.first_run.is_(True), Person.first_password.is_(True))
    )
    async with db.transaction(DataUse.SERVICE) as session:
        subjects = list(await session.scalars(unused))
        for table in (ApiKey, SignInSession, OneTimeToken, OutboxMail, Person):
            await session.execute(delete(table).where(table.subject_id.in_(subjects)))
        await session.execute(delete(DataSubject).where(DataSubject.id.in_(subjects)))
        nobody = ~exists().where(Person.account_id == Account.id), ~exists().where(ApiKey.account_id == Account.id)
        await session.execute(
            update(Account)
            .where(Account.first_run.is_(True), Account.closed_at.is_(None), *nobody)
            .values(closed_at=clock.now())
            .execution_options(synchronize_session=False)
        )
    # A crash here leaves keys without values, and index entries that lead to no rows, of addresses that nobody has.
    for subject_id in subjects:
        await EmailIndex(keys).remove(subject_id)
        await keys.erase_subject(subject_id)
    return len(subjects)
