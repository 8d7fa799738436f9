"""The account: what Credits, keys and data policy hang on. It outlives its members, so no person is named here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, String, Uuid, select, update
from sqlalchemy.orm import Mapped

from governance import clock, events
from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared
from governance.db import Database, UtcDateTime
from governance.errors import NotFound, Rejected

_USES = (DataUse.SERVICE, DataUse.AUTHENTICATION, DataUse.PAYMENT, DataUse.SUPPORT, DataUse.LEGAL_OBLIGATION)
_POLICY_BYTES_MAX = 16_384
DEFAULT_TIER = "free"
CUSTOMER, PROBE = "customer", "probe"

Policy = dict[str, Any]


class Account(Base):
    """One customer, or the service's own probe (`kind`), which nobody is a member of. `first_run` marks those that
    `make run` made."""

    __tablename__ = "account"

    id: Mapped[UUID] = declared(
        Uuid,
        200,
        "user.unique_id.pseudonymous",
        _USES,
        primary_key=True,
        retention="account",
        on_erasure=OnErasure.DETACH,
    )
    tier: Mapped[str] = declared(
        String(32), 201, "user.account.settings", _USES, retention="account", on_erasure=OnErasure.DETACH
    )
    data_policy: Mapped[Policy | None] = declared(
        JSON(none_as_null=True),
        202,
        "user.account.settings",
        _USES,
        retention="account",
        on_erasure=OnErasure.DETACH,
        nullable=True,
    )
    created_at: Mapped[datetime] = declared(
        UtcDateTime, 203, "user.account", _USES, retention="account", on_erasure=OnErasure.DETACH
    )
    closed_at: Mapped[datetime | None] = declared(
        UtcDateTime, 204, "user.account", _USES, retention="account", on_erasure=OnErasure.DETACH, nullable=True
    )
    first_run: Mapped[bool] = declared(
        Boolean,
        205,
        "system.operations",
        _USES,
        retention="account",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    kind: Mapped[str] = declared(
        String(16),
        206,
        "system.operations",
        _USES,
        retention="account",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
        default=CUSTOMER,
    )


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """What `valueapi accounts` lists: nothing that names a person."""

    id: UUID
    tier: str
    created_at: datetime
    closed_at: datetime | None
    first_run: bool
    kind: str


def check_policy(policy: Policy | None) -> Policy | None:
    """A data policy as it may be stored. Its meaning is checked by the web, which knows the providers' constraints.

    Raises Rejected for what isn't plain JSON of at most 16 KiB.
    """
    if policy is None:
        return None
    try:
        size = len(json.dumps(policy, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError):
        raise Rejected("The data policy must be a JSON object.", field="data_policy") from None
    if size > _POLICY_BYTES_MAX:
        raise Rejected("The data policy is too long.", field="data_policy")
    return policy


async def account_policy(db: Database, account_id: UUID) -> Policy | None:
    """The constraints that the account chose. Raises NotFound."""
    async with db.session(DataUse.SERVICE) as session:
        account = await session.get(Account, account_id)
    if account is None:
        raise NotFound("There is no such account.")
    return account.data_policy


async def account_tier(db: Database, account_id: UUID) -> str:
    """The account's tier of rate limits. Raises NotFound."""
    async with db.session(DataUse.SERVICE) as session:
        tier: str | None = await session.scalar(select(Account.tier).where(Account.id == account_id))
    if tier is None:
        raise NotFound("There is no such account.")
    return tier


async def set_account_policy(
    db: Database, account_id: UUID, policy: Policy | None, *, bump: Callable[[], None]
) -> None:
    """Replace the account's constraints; every serving process follows at once. Raises NotFound, Rejected."""
    await _change(db, account_id, bump, data_policy=check_policy(policy))


async def set_tier(db: Database, account_id: UUID, tier: str, *, bump: Callable[[], None]) -> None:
    """Move the account to another tier. Raises NotFound."""
    await _change(db, account_id, bump, tier=tier)


async def close_account(db: Database, account_id: UUID, *, bump: Callable[[], None]) -> None:
    """Close the account: no key of it is accepted, nobody signs in to it. Raises NotFound, also where it is closed."""
    await _change(db, account_id, bump, closed_at=clock.now())
    await events.emit_async("account:account:closed", {"account_id": str(account_id)})


async def _change(db: Database, account_id: UUID, bump: Callable[[], None], **values: object) -> None:
    open_one = Account.id == account_id, Account.closed_at.is_(None)
    async with db.transaction(DataUse.SERVICE) as session:
        changed = await session.scalar(update(Account).where(*open_one).values(**values).returning(Account.id))
    if changed is None:
        raise NotFound("There is no such account.")
    # A crash here: other processes notice when their cached keys grow old (`principal_cache_seconds`).
    bump()


async def list_accounts(db: Database, *, limit: int = 1000) -> list[AccountSummary]:
    """The newest accounts first."""
    columns = Account.id, Account.tier, Account.created_at, Account.closed_at, Account.first_run, Account.kind
    async with db.session(DataUse.SUPPORT) as session:
        rows = await session.execute(select(*columns).order_by(Account.id.desc()).limit(limit))
        return [AccountSummary(*row) for row in rows]
