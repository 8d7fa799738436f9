"""API keys: made, named, given a data policy, revoked. The secret is shown once; its SHA-256 rests."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, Uuid, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock, events
from governance.datamap import AtRest, Base, DataUse, OnErasure, declared
from governance.db import Database, UtcDateTime
from governance.errors import Conflict, NotFound, Rejected
from governance.ids import uuid7
from governance.mail.outbox import enqueue
from governance.subjects import DataSubject
from governance.vault.columns import SealedType, seal
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed
from router.accounts.account import Account, Policy, check_policy
from router.accounts.desk import Links
from router.accounts.key_format import key_hash, new_secret, shown_prefix
from router.accounts.person import person_of

_USES = (DataUse.SERVICE, DataUse.AUTHENTICATION, DataUse.SECURITY, DataUse.SUPPORT)
_NAME_CHARACTERS_MAX = 80
_LIVE_KEYS_MAX = 100


def _column(kind: Any, seal_id: int, category: str, **options: Any) -> Mapped[Any]:
    return declared(kind, seal_id, category, _USES, retention="api-key", on_erasure=OnErasure.DELETE, **options)


class ApiKey(Base):
    """One key: of an account, made by a person."""

    __tablename__ = "api_key"

    id: Mapped[UUID] = _column(Uuid, 230, "user.unique_id.pseudonymous", primary_key=True)
    account_id: Mapped[UUID] = _column(
        Uuid, 231, "user.unique_id.pseudonymous", args=(ForeignKey(Account.id),), index=True
    )
    subject_id: Mapped[UUID] = _column(
        Uuid, 232, "user.unique_id.pseudonymous", args=(ForeignKey(DataSubject.id),), index=True
    )
    name: Mapped[Sealed[str]] = declared(
        SealedType(str),
        233,
        "user.account",
        (DataUse.SERVICE, DataUse.SUPPORT),
        at_rest=AtRest.SEALED,
        retention="api-key",
        on_erasure=OnErasure.SHRED,
    )
    prefix: Mapped[str] = _column(String(16), 234, "user.authorization.credentials")
    key_hash: Mapped[bytes] = _column(
        LargeBinary, 235, "user.authorization.credentials", at_rest=AtRest.HASHED, unique=True
    )
    data_policy: Mapped[Policy | None] = _column(JSON(none_as_null=True), 236, "user.account.settings", nullable=True)
    created_at: Mapped[datetime] = _column(UtcDateTime, 237, "user.account")
    revoked_at: Mapped[datetime | None] = _column(UtcDateTime, 238, "user.account", nullable=True)


@dataclass(frozen=True, slots=True, repr=False)
class KeyView:
    """A key as its owner sees it."""

    id: UUID
    name: str
    prefix: str
    data_policy: Policy | None
    created_at: datetime
    revoked_at: datetime | None

    def __repr__(self) -> str:
        return f"<KeyView {self.id} ***>"


@dataclass(frozen=True, slots=True, repr=False)
class NewKey:
    """A key just made. `secret` is shown once and kept nowhere."""

    id: UUID
    secret: str

    def __repr__(self) -> str:
        return f"<NewKey {self.id} ***>"


class KeyChanges(TypedDict, total=False):
    """What to change of a key: a new name, or its own constraints (None takes them away)."""

    name: str
    data_policy: Policy | None


def check_name(name: str) -> str:
    """A key's name: one printable line of 1 to 80 characters. Raises Rejected."""
    plain = name.strip()
    if not plain or len(plain) > _NAME_CHARACTERS_MAX or not plain.isprintable():
        raise Rejected(f"Name the key with 1 to {_NAME_CHARACTERS_MAX} printable characters.", field="name")
    return plain


async def add_key(
    session: AsyncSession, keys: KeyStore, account_id: UUID, subject_id: UUID, name: str, policy: Policy | None
) -> NewKey:
    """Add a key to the caller's transaction."""
    secret = new_secret()
    row = ApiKey(
        id=uuid7(),
        account_id=account_id,
        subject_id=subject_id,
        prefix=shown_prefix(secret),
        key_hash=key_hash(secret),
        data_policy=policy,
        created_at=clock.now(),
    )
    await seal(keys, row, name=name)
    session.add(row)
    return NewKey(row.id, secret)


class ApiKeys:
    """The keys of accounts. `bump` tells every serving process that what it knows of keys is old."""

    def __init__(self, db: Database, keys: KeyStore, links: Links, *, bump: Callable[[], None]) -> None:
        self._db = db
        self._keys = keys
        self._links = links
        self._bump = bump

    async def create(self, account_id: UUID, subject_id: UUID, name: str, policy: Policy | None = None) -> NewKey:
        """A new key, and a mail that says so. Raises Rejected, or Conflict where the account has 100 live keys."""
        plain, policy = check_name(name), check_policy(policy)
        async with self._db.transaction(DataUse.SERVICE) as session:
            live = ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None)
            count = await session.scalar(select(func.count(ApiKey.id)).where(*live)) or 0
            if count >= _LIVE_KEYS_MAX:
                raise Conflict(f"An account has at most {_LIVE_KEYS_MAX} keys: revoke one first.")
            made = await add_key(session, self._keys, account_id, subject_id, plain, policy)
            await session.flush()
            person = await person_of(session, subject_id)
            if person is not None:
                values = {"prefix": shown_prefix(made.secret), "name": plain, "page": self._links.keys}
                to = await person.email.open(DataUse.NOTICES)
                await enqueue(session, self._keys, subject_id, "key-created", to, values, f"key-created:{made.id}")
        # A crash here: the key exists, and nobody has its secret; it is revoked like any other.
        await events.emit_async("account:api_key:created", {"account_id": str(account_id), "api_key_id": str(made.id)})
        return made

    async def list(self, account_id: UUID, *, names: bool = True) -> list[KeyView]:
        """Every key of the account, the newest first, revoked ones too until retention takes them.

        Without `names` these stay sealed, and are empty: they are the person's own.
        """
        query = select(ApiKey).where(ApiKey.account_id == account_id).order_by(ApiKey.id.desc())
        async with self._db.session(DataUse.SERVICE) as session:
            rows = (await session.scalars(query)).all()
        return [
            KeyView(
                row.id,
                await row.name.open(DataUse.SERVICE) if names else "",
                row.prefix,
                row.data_policy,
                row.created_at,
                row.revoked_at,
            )
            for row in rows
        ]

    async def change(self, account_id: UUID, key_id: UUID, changes: KeyChanges) -> None:
        """Change what is named, all of it or nothing; every serving process follows at once.

        Raises NotFound for a key that isn't the account's, or is revoked; Rejected.
        """
        name = check_name(changes["name"]) if "name" in changes else None
        policy = check_policy(changes.get("data_policy"))
        async with self._db.transaction(DataUse.SERVICE) as session:
            row = await _live(session, account_id, key_id)
            if name is not None:
                await seal(self._keys, row, name=name)
            if "data_policy" in changes:
                row.data_policy = policy
        if "data_policy" in changes:
            # A crash here: other processes notice when what they know grows old (`principal_cache_seconds`).
            self._bump()

    async def revoke(self, account_id: UUID, key_id: UUID) -> None:
        """Refuse the key from now on. Raises NotFound for a key that isn't the account's, or is revoked already."""
        async with self._db.transaction(DataUse.SERVICE) as session:
            (await _live(session, account_id, key_id)).revoked_at = clock.now()
        # A crash here: other processes notice when what they know grows old (`principal_cache_seconds`).
        self._bump()
        await events.emit_async("account:api_key:revoked", {"account_id": str(account_id), "api_key_id": str(key_id)})


async def _live(session: AsyncSession, account_id: UUID, key_id: UUID) -> ApiKey:
    row: ApiKey | None = await session.scalar(
        select(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None))
        .with_for_update()
    )
    if row is None:
        raise NotFound("There is no such key.")
    return row
