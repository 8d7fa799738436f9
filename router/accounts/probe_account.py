"""The account that the service probes itself with: of a kind of its own, without a member, and with a key only while a
probe runs. Its data subject is nobody; it bears the account's id.
"""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import delete, select

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.ids import uuid7
from governance.subjects import add_subject
from governance.vault.keys import KeyStore
from router.accounts.account import DEFAULT_TIER, PROBE, Account
from router.accounts.api_key import ApiKey, NewKey, add_key


async def open_key(db: Database, keys: KeyStore, *, bump: Callable[[], None]) -> tuple[UUID, NewKey]:
    """The account, made where there is none, and a key for one run; keys that a crash left are gone first."""
    await remove_keys(db, bump=bump)
    async with db.session(DataUse.SERVICE) as session:
        query = select(Account.id).where(Account.kind == PROBE, Account.closed_at.is_(None)).limit(1)
        account_id: UUID | None = await session.scalar(query)
    known = account_id is not None
    account_id = account_id or uuid7()
    if not known:
        # A crash here leaves a key without values.
        await keys.create_subject_key(account_id)
    async with db.transaction(DataUse.SERVICE) as session:
        if not known:
            now = clock.now()
            session.add(Account(id=account_id, tier=DEFAULT_TIER, created_at=now, first_run=False, kind=PROBE))
            add_subject(session, account_id)
            await session.flush()
        made = await add_key(session, keys, account_id, account_id, "Probe", None)
    return account_id, made


async def remove_keys(db: Database, *, bump: Callable[[], None]) -> None:
    """Delete every key of the probe: none is listed or accepted afterwards, in any process."""
    async with db.transaction(DataUse.SERVICE) as session:
        accounts = list(await session.scalars(select(Account.id).where(Account.kind == PROBE)))
        if not accounts:
            return
        gone = delete(ApiKey).where(ApiKey.account_id.in_(accounts))
        await session.execute(gone.execution_options(synchronize_session=False))
    # A crash here: other processes notice when what they know grows old; the gateway serves no probe without its file.
    bump()
