"""Double-entry ledger in integer micro-credits: one Credit is 1_000_000.

Every entry's postings sum to zero, a balance is the materialised sum of its postings, and both change in one
transaction. Signs: what a customer may spend is positive on `customer`, what is put aside for their running requests is
positive on `leased`, what was earned is positive on `revenue`, what came in from outside is negative on `funding`.

Nothing here but the account id points to anyone: the ledger is kept for the tax term (GDPR Art. 17(3)(b)) and survives
a person's erasure. Idempotency keys rest as SHA-256, since one may hold a request's or a payment provider's id.

Call the writing functions inside `Database.transaction`. Locks are taken in one order everywhere, so that no two
transactions wait for each other: leases by id, then ledger accounts by id.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast
from uuid import UUID, uuid5

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Table, Uuid, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, Base, DataUse, LegalBasis, OnErasure, declared
from governance.db import UtcDateTime
from governance.errors import Conflict, NotFound
from governance.ids import uuid7

CREDIT = 1_000_000
"""Micro-credits in one Credit."""

_USES = (DataUse.PAYMENT, DataUse.FINANCE, DataUse.LEGAL_OBLIGATION)
_NAMESPACE = UUID("b7c5e6a0-5d0e-4c0a-9f0b-6f1d7a3c2e11")
_INT64_MAX = 2**63 - 1
_LISTED = 100


class AccountKind(StrEnum):
    """The sides of the book: two per customer, three of the house."""

    CUSTOMER = "customer"
    LEASED = "leased"
    REVENUE = "revenue"
    FUNDING = "funding"
    CORRECTION = "correction"


class EntryKind(StrEnum):
    """Why money moved."""

    TOP_UP = "top_up"
    DEMO = "demo"
    LEASE = "lease"
    LEASE_RETURN = "lease_return"
    CHARGE = "charge"
    CORRECTION = "correction"


_HOUSE = (AccountKind.REVENUE, AccountKind.FUNDING, AccountKind.CORRECTION)


def _kept(kind: Any, seal_id: int, category: str, **options: Any) -> Mapped[Any]:
    """Whose money moved: kept for the tax term."""
    return declared(
        kind, seal_id, category, _USES,
        retention="ledger", on_erasure=OnErasure.KEEP_TAX, legal_basis=LegalBasis.LEGAL_OBLIGATION, **options,
    )  # fmt: skip


def _house(kind: Any, seal_id: int, **options: Any) -> Mapped[Any]:
    """What names nobody."""
    return declared(
        kind, seal_id, "system.operations", _USES,
        retention="ledger", on_erasure=OnErasure.NONE, legal_basis=LegalBasis.NOT_PERSONAL, **options,
    )  # fmt: skip


class LedgerAccount(Base):
    """One side of the book. Its id follows from its kind and owner, so nothing has to be looked up to post."""

    __tablename__ = "ledger_account"

    id: Mapped[UUID] = _kept(Uuid, 300, "user.unique_id.pseudonymous", primary_key=True)
    kind: Mapped[str] = _house(String(16), 301)
    account_id: Mapped[UUID | None] = _kept(Uuid, 302, "user.unique_id.pseudonymous", nullable=True, index=True)
    balance_microcredits: Mapped[int] = _kept(BigInteger, 303, "user.financial")


class LedgerEntry(Base):
    """One movement: at least two postings that sum to zero, recorded once per idempotency key."""

    __tablename__ = "ledger_entry"

    id: Mapped[UUID] = _house(Uuid, 310, primary_key=True)
    idempotency_key: Mapped[bytes] = _house(LargeBinary(32), 311, at_rest=AtRest.HASHED, unique=True)
    kind: Mapped[str] = _house(String(16), 312)
    digest: Mapped[bytes] = _house(LargeBinary(32), 313)
    created_at: Mapped[datetime] = _kept(UtcDateTime, 314, "user.financial")


class Posting(Base):
    """An amount on one side of the book."""

    __tablename__ = "posting"

    id: Mapped[UUID] = _house(Uuid, 320, primary_key=True)
    entry_id: Mapped[UUID] = _house(Uuid, 321, args=(ForeignKey("ledger_entry.id"),), index=True)
    ledger_account_id: Mapped[UUID] = _kept(
        Uuid, 322, "user.unique_id.pseudonymous", args=(ForeignKey("ledger_account.id"),), index=True
    )
    amount_microcredits: Mapped[int] = _kept(BigInteger, 323, "user.financial")


@dataclass(frozen=True, slots=True)
class Entry:
    """A movement to record. `digest` says what was asked for: the same key with another digest is a conflict."""

    key: bytes
    kind: EntryKind
    postings: tuple[tuple[UUID, int], ...]
    digest: bytes

    def __post_init__(self) -> None:
        amounts = [amount for _, amount in self.postings]
        if any(type(amount) is not int or amount == 0 or abs(amount) > _INT64_MAX for amount in amounts):
            raise ValueError("a posting is a whole number of micro-credits that isn't zero and fits 64 bits")
        if len(amounts) < 2 or sum(amounts) != 0:
            raise ValueError("an entry has two postings at least, and they sum to zero")


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """What `verify` found: counts, and the differences (the first hundred of each kind)."""

    accounts: int
    entries: int
    postings: int
    total_microcredits: int
    unbalanced_entries: tuple[tuple[UUID, int], ...]
    wrong_balances: tuple[tuple[UUID, int, int], ...]
    """(ledger account id, stored balance, sum of its postings)"""

    @property
    def ok(self) -> bool:
        return self.total_microcredits == 0 and not self.unbalanced_entries and not self.wrong_balances


def ledger_account_id(kind: AccountKind, account_id: UUID | None = None) -> UUID:
    """The id of a side of the book. A customer's side names its account, the house's don't."""
    if (account_id is None) != (kind in _HOUSE):
        raise ValueError("customer and leased belong to an account, the others to the house")
    return uuid5(_NAMESPACE, f"{kind.value}:{account_id or ''}")


def key_hash(idempotency_key: str) -> bytes:
    """What rests of an idempotency key."""
    return hashlib.sha256(idempotency_key.encode()).digest()


async def insert_absent(session: AsyncSession, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows by column name, leaving out those that exist already."""
    if not rows:
        return
    connection = await session.connection()
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    await connection.execute(make(cast("Table", model.__table__)).on_conflict_do_nothing(), rows)


async def open_accounts(session: AsyncSession, account_id: UUID) -> None:
    """Open a customer's two sides, and the house's on first use. Safe to repeat."""
    sides = [(kind, None) for kind in _HOUSE] + [(AccountKind.CUSTOMER, account_id), (AccountKind.LEASED, account_id)]
    rows = [
        {"id": ledger_account_id(kind, owner), "kind": kind.value, "account_id": owner, "balance_microcredits": 0}
        for kind, owner in sides
    ]
    await insert_absent(session, LedgerAccount, rows)


async def lock(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, int]:
    """Balances of ledger accounts, locked to the transaction's end; those that aren't open are left out."""
    query = (
        select(LedgerAccount.id, LedgerAccount.balance_microcredits)
        .where(LedgerAccount.id.in_(ids))
        .order_by(LedgerAccount.id)
        .with_for_update()
    )
    return {row_id: balance for row_id, balance in await session.execute(query)}


async def recorded(session: AsyncSession, keys: Collection[bytes]) -> dict[bytes, bytes]:
    """Digests of the entries that exist already, by key hash."""
    query = select(LedgerEntry.idempotency_key, LedgerEntry.digest).where(LedgerEntry.idempotency_key.in_(keys))
    return {key: digest for key, digest in await session.execute(query)}


async def post_new(session: AsyncSession, entries: Sequence[Entry]) -> None:
    """Record entries known to be new. Raises NotFound where a side isn't open."""
    if not entries:
        return
    deltas: dict[UUID, int] = {}
    entry_rows: list[dict[str, Any]] = []
    posting_rows: list[dict[str, Any]] = []
    for entry in entries:
        entry_id = uuid7()
        entry_rows.append(
            {
                "id": entry_id,
                "idempotency_key": entry.key,
                "kind": entry.kind.value,
                "digest": entry.digest,
                "created_at": clock.now(),
            }
        )
        for side, amount in entry.postings:
            posting_rows.append(
                {"id": uuid7(), "entry_id": entry_id, "ledger_account_id": side, "amount_microcredits": amount}
            )
            deltas[side] = deltas.get(side, 0) + amount
    if len(await lock(session, deltas)) != len(deltas):
        raise NotFound("A ledger account isn't open.")
    connection = await session.connection()
    await connection.execute(insert(LedgerEntry), entry_rows)
    await connection.execute(insert(Posting), posting_rows)
    table = cast("Table", LedgerAccount.__table__)
    change = (
        update(table)
        .where(table.c.id == bindparam("side"))
        .values(balance_microcredits=table.c.balance_microcredits + bindparam("delta", type_=BigInteger))
    )
    await connection.execute(change, [{"side": side, "delta": deltas[side]} for side in sorted(deltas)])


async def post(
    session: AsyncSession, idempotency_key: str, kind: EntryKind, postings: Iterable[tuple[UUID, int]]
) -> bool:
    """Record one entry; False where the same entry is recorded already.

    Raises Conflict (the same key with other input), NotFound (a side isn't open), ValueError (postings that don't
    balance).
    """
    lines = tuple(postings)
    entry = Entry(key_hash(idempotency_key), kind, lines, _digest(kind, lines))
    # The lock comes first: a second writer of the same entry waits here, and then sees it.
    await lock(session, {side for side, _ in lines})
    known = await recorded(session, [entry.key])
    if entry.key in known:
        if known[entry.key] != entry.digest:
            raise Conflict("The idempotency key was used for another entry.")
        return False
    try:
        await post_new(session, [entry])
    except IntegrityError:
        raise Conflict("The idempotency key was used for another entry.") from None
    return True


def _digest(kind: EntryKind, postings: Iterable[tuple[UUID, int]]) -> bytes:
    lines = sorted(f"{side}:{amount}" for side, amount in postings)
    return hashlib.sha256("\n".join([kind.value, *lines]).encode()).digest()


async def grant(
    session: AsyncSession, account_id: UUID, amount_microcredits: int, key: str, reason: EntryKind = EntryKind.TOP_UP
) -> bool:
    """Credit a customer from funding, opening their sides first. `reason` is TOP_UP (paid) or DEMO.

    False where this key was granted already. Raises Conflict (the key with other input) or ValueError.
    """
    if reason not in (EntryKind.TOP_UP, EntryKind.DEMO) or amount_microcredits <= 0:
        raise ValueError("a grant is a positive top-up or demo amount")
    await open_accounts(session, account_id)
    return await post(
        session,
        f"grant:{key}",
        reason,
        [
            (ledger_account_id(AccountKind.CUSTOMER, account_id), amount_microcredits),
            (ledger_account_id(AccountKind.FUNDING), -amount_microcredits),
        ],
    )


async def balance(session: AsyncSession, account_id: UUID) -> int:
    """What a customer has, in micro-credits: available and put aside for running requests. 0 where unknown."""
    total = await session.scalar(
        select(func.sum(LedgerAccount.balance_microcredits)).where(LedgerAccount.account_id == account_id)
    )
    return int(total or 0)


async def lifetime_top_up(session: AsyncSession, account_id: UUID) -> int:
    """All paid top-ups of an account, in micro-credits; demo Credits don't count. It decides the tier."""
    total = await session.scalar(
        select(func.sum(Posting.amount_microcredits))
        .join(LedgerEntry, LedgerEntry.id == Posting.entry_id)
        .where(
            Posting.ledger_account_id == ledger_account_id(AccountKind.CUSTOMER, account_id),
            LedgerEntry.kind == EntryKind.TOP_UP.value,
        )
    )
    return int(total or 0)


async def verify(session: AsyncSession) -> LedgerCheck:
    """Add up the whole book again from its postings. Reads everything; changes nothing."""
    total = func.sum(Posting.amount_microcredits)
    # Grouped from the entries, so that one without any posting shows as well.
    unbalanced = (
        select(LedgerEntry.id, func.coalesce(total, 0))
        .outerjoin(Posting, Posting.entry_id == LedgerEntry.id)
        .group_by(LedgerEntry.id)
        .having((func.coalesce(total, 0) != 0) | (func.count(Posting.id) < 2))
        .limit(_LISTED)
    )
    stored = LedgerAccount.balance_microcredits
    wrong = (
        select(LedgerAccount.id, stored, func.coalesce(total, 0))
        .outerjoin(Posting, Posting.ledger_account_id == LedgerAccount.id)
        .group_by(LedgerAccount.id, stored)
        .having(stored != func.coalesce(total, 0))
        .limit(_LISTED)
    )
    return LedgerCheck(
        accounts=int(await session.scalar(select(func.count()).select_from(LedgerAccount)) or 0),
        entries=int(await session.scalar(select(func.count()).select_from(LedgerEntry)) or 0),
        postings=int(await session.scalar(select(func.count()).select_from(Posting)) or 0),
        total_microcredits=int(await session.scalar(select(total)) or 0),
        unbalanced_entries=tuple((row_id, int(rest)) for row_id, rest in await session.execute(unbalanced)),
        wrong_balances=tuple((row_id, kept, int(rest)) for row_id, kept, rest in await session.execute(wrong)),
    )
