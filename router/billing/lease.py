"""Leases: Credits that a serving process put aside durably, so that a request can be reserved for without I/O.

A lease has an `amount` (what was taken for it) and a `remaining` (what charges have left of it); both live in one row,
and its Credits on the account's `leased` side. The functions take *targets*, never differences: repeating one whose
outcome is unknown (a connection lost at commit) changes nothing more.

Who may close a lease:
- its process, when nothing is reserved or uncommitted on it;
- who holds the dead process's lock in the same journal folder, after replaying its journal;
- any process, where the lease's journal folder is on another machine and its process hasn't renewed it for the time to
  live. A process that can't renew its leases stops reserving from them after half that time.
A charge that arrives for a closed lease is still posted, from the customer's balance: nothing is lost either way.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, String, Table, Uuid, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared
from governance.db import UtcDateTime
from governance.ids import uuid7
from router.billing import ledger
from router.billing.ledger import AccountKind, Entry, EntryKind, ledger_account_id

_USES = (DataUse.PAYMENT,)
_CHUNK = 200


class LeaseState(StrEnum):
    """Open leases hold Credits; a closed one has returned them."""

    OPEN = "open"
    CLOSED = "closed"


def _account(kind: Any, seal_id: int, category: str, **options: Any) -> Mapped[Any]:
    return declared(kind, seal_id, category, _USES, retention="lease", on_erasure=OnErasure.DELETE, **options)


def _house(kind: Any, seal_id: int, **options: Any) -> Mapped[Any]:
    """What names a process of ours, and nobody."""
    return declared(
        kind, seal_id, "system.operations", _USES,
        retention="lease", on_erasure=OnErasure.NONE, legal_basis=LegalBasis.NOT_PERSONAL, **options,
    )  # fmt: skip


class Lease(Base):
    """Credits put aside for one account by one process. `folder_id` says whose journal folder covers it."""

    __tablename__ = "lease"

    id: Mapped[UUID] = _house(Uuid, 330, primary_key=True)
    account_id: Mapped[UUID] = _account(Uuid, 331, "user.unique_id.pseudonymous", index=True)
    process_id: Mapped[UUID] = _house(Uuid, 332, index=True)
    folder_id: Mapped[UUID] = _house(Uuid, 333)
    amount: Mapped[int] = _account(BigInteger, 334, "user.financial")
    remaining: Mapped[int] = _account(BigInteger, 335, "user.financial")
    state: Mapped[str] = _house(String(8), 336, index=True)
    created_at: Mapped[datetime] = _account(UtcDateTime, 337, "user.telemetry")
    seen_at: Mapped[datetime] = _house(UtcDateTime, 338)


@dataclass(frozen=True, slots=True)
class Holder:
    """The serving process, and the journal folder that its charges lie in."""

    process_id: UUID
    folder_id: UUID


@dataclass(frozen=True, slots=True)
class Hold:
    """What `hold` did. `amount` is the lease's, or None where nothing was taken.

    `available` is the customer's balance before, `elsewhere` what other leases of the account still hold, `closed` that
    the lease was closed by another.
    """

    amount: int | None
    available: int = 0
    elsewhere: int = 0
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    account_id: UUID
    amount: int
    remaining: int
    state: str


async def hold(
    session: AsyncSession, lease_id: UUID, account_id: UUID, holder: Holder, *, required: int, spare: int
) -> Hold:
    """Bring a lease's amount to `required` at least, and `spare` more, a quarter of what is available at most."""
    row = (await _locked(session, [lease_id])).get(lease_id)
    if row is not None and row.state != LeaseState.OPEN.value:
        return Hold(None, closed=True)
    amount = row.amount if row is not None else 0
    short = required - amount
    if short <= 0 and row is not None:
        return Hold(amount)
    customer = ledger_account_id(AccountKind.CUSTOMER, account_id)
    leased = ledger_account_id(AccountKind.LEASED, account_id)
    available = (await ledger.lock(session, [customer, leased])).get(customer, 0)
    if short > available and short > 0:
        elsewhere = await session.scalar(
            select(func.sum(Lease.remaining)).where(
                Lease.account_id == account_id, Lease.state == LeaseState.OPEN.value, Lease.id != lease_id
            )
        )
        return Hold(None, available, int(elsewhere or 0))
    take = max(0, min(short + max(0, min(spare, available // 4)), available))
    if row is None:
        session.add(
            Lease(
                id=lease_id, account_id=account_id, process_id=holder.process_id, folder_id=holder.folder_id,
                amount=take, remaining=take, state=LeaseState.OPEN.value, created_at=clock.now(), seen_at=clock.now(),
            )
        )  # fmt: skip
        await session.flush()
    else:
        await _write(session, {lease_id: (amount + take, row.remaining + take, LeaseState.OPEN)})
    if take:
        # The key is fresh: what makes a repeat harmless is the target, not the key.
        await ledger.post(session, f"lease:{uuid7()}", EntryKind.LEASE, [(customer, -take), (leased, take)])
    return Hold(amount + take, available)


async def shrink(session: AsyncSession, targets: Mapping[UUID, int]) -> dict[UUID, int]:
    """Bring leases' amounts down to `{lease id: amount}`, returning the difference. The amounts that they have then.

    Closed and unknown leases are left out.
    """
    rows = {key: row for key, row in (await _locked(session, targets)).items() if row.state == LeaseState.OPEN.value}
    back = {key: max(0, min(row.amount - targets[key], row.remaining)) for key, row in rows.items()}
    changes = {
        key: (row.amount - back[key], row.remaining - back[key], LeaseState.OPEN)
        for key, row in rows.items()
        if back[key]
    }
    await _write(session, changes)
    await _give_back(session, {key: (rows[key].account_id, back[key]) for key in changes})
    return {key: row.amount - back[key] for key, row in rows.items()}


async def close(session: AsyncSession, ids: Collection[UUID]) -> int:
    """Close leases and return what remains of each, in micro-credits in all. Closed and unknown ones are left out."""
    found = (await _locked(session, ids)).items()
    rows = {key: row for key, row in found if row.state == LeaseState.OPEN.value}
    changes = {key: (row.amount - row.remaining, 0, LeaseState.CLOSED) for key, row in rows.items()}
    await _write(session, changes)
    back = {key: (row.account_id, row.remaining) for key, row in rows.items() if row.remaining}
    await _give_back(session, back)
    return sum(amount for _, amount in back.values())


async def open_of(session: AsyncSession, process_id: UUID) -> list[UUID]:
    """Open leases of one process, by id; a chunk of them at most."""
    query = select(Lease.id).where(Lease.process_id == process_id, Lease.state == LeaseState.OPEN.value)
    return list(await session.scalars(query.order_by(Lease.id).limit(_CHUNK)))


async def aged(session: AsyncSession, folder_id: UUID, before: datetime) -> list[UUID]:
    """Open leases of *other* journal folders, not renewed since `before`; a chunk of them at most."""
    query = select(Lease.id).where(
        Lease.state == LeaseState.OPEN.value, Lease.folder_id != folder_id, Lease.seen_at < before
    )
    return list(await session.scalars(query.order_by(Lease.id).limit(_CHUNK)))


async def forget_closed(session: AsyncSession, before: datetime) -> None:
    """Delete leases that were closed before a moment: the retention rule `lease`."""
    gone = (Lease.state == LeaseState.CLOSED.value, Lease.seen_at < before)
    await session.execute(delete(Lease).where(*gone).execution_options(synchronize_session=False))


async def holders(session: AsyncSession, folder_id: UUID) -> set[UUID]:
    """Processes of this journal folder that have open leases."""
    query = select(Lease.process_id).where(Lease.folder_id == folder_id, Lease.state == LeaseState.OPEN.value)
    return set(await session.scalars(query.distinct()))


async def renew(session: AsyncSession, process_id: UUID) -> set[UUID]:
    """Say that the process lives. The leases that it still has: one that is missing was closed by another."""
    owned = (Lease.process_id == process_id, Lease.state == LeaseState.OPEN.value)
    await session.execute(
        update(Lease).where(*owned).values(seen_at=clock.now()).execution_options(synchronize_session=False)
    )
    return set(await session.scalars(select(Lease.id).where(*owned)))


async def draw(session: AsyncSession, charges: Mapping[UUID, int]) -> dict[UUID, int]:
    """Take `{lease id: micro-credits}` from what remains of leases; what each could pay. Closed ones pay nothing."""
    rows = {key: row for key, row in (await _locked(session, charges)).items() if row.state == LeaseState.OPEN.value}
    paid = {key: min(row.remaining, charges[key]) for key, row in rows.items()}
    changes = {key: (row.amount, row.remaining - paid[key], LeaseState.OPEN) for key, row in rows.items() if paid[key]}
    await _write(session, changes)
    return paid


async def differences(session: AsyncSession) -> list[tuple[UUID, int, int]]:
    """(account id, balance of its `leased` side, sum of its open leases' remainders) wherever the two differ."""
    held = (
        select(Lease.account_id, func.sum(Lease.remaining).label("held"))
        .where(Lease.state == LeaseState.OPEN.value)
        .group_by(Lease.account_id)
        .subquery()
    )
    side = ledger.LedgerAccount
    query = (
        select(side.account_id, side.balance_microcredits, func.coalesce(held.c.held, 0))
        .outerjoin(held, held.c.account_id == side.account_id)
        .where(side.kind == AccountKind.LEASED.value, side.balance_microcredits != func.coalesce(held.c.held, 0))
    )
    return [(owner, kept, int(held_now)) for owner, kept, held_now in await session.execute(query) if owner is not None]


async def _locked(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, _Row]:
    query = (
        select(Lease.id, Lease.account_id, Lease.amount, Lease.remaining, Lease.state)
        .where(Lease.id.in_(ids))
        .order_by(Lease.id)
        .with_for_update()
    )
    return {row.id: _Row(row.account_id, row.amount, row.remaining, row.state) for row in await session.execute(query)}


async def _write(session: AsyncSession, changes: Mapping[UUID, tuple[int, int, LeaseState]]) -> None:
    if not changes:
        return
    table = cast("Table", Lease.__table__)
    statement = (
        update(table)
        .where(table.c.id == bindparam("lease"))
        .values(amount=bindparam("taken"), remaining=bindparam("left"), state=bindparam("now"))
    )
    rows = [
        {"lease": key, "taken": amount, "left": remaining, "now": state.value}
        for key, (amount, remaining, state) in changes.items()
    ]
    await (await session.connection()).execute(statement, rows)


async def _give_back(session: AsyncSession, amounts: Mapping[UUID, tuple[UUID, int]]) -> None:
    """From `leased` back to `customer`: `{lease id: (account id, micro-credits)}`."""
    entries = []
    for account_id, amount in amounts.values():
        postings = (
            (ledger_account_id(AccountKind.LEASED, account_id), -amount),
            (ledger_account_id(AccountKind.CUSTOMER, account_id), amount),
        )
        key = ledger.key_hash(f"lease-return:{uuid7()}")
        entries.append(Entry(key, EntryKind.LEASE_RETURN, postings, key))
    await ledger.post_new(session, entries)
