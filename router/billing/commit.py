"""From the journal to the database: postings, usage rows and lease remainders in one transaction a batch.

The owner's records and a dead sibling's go through the same code. A record is posted once, whatever is repeated: its
request id is the ledger entry's idempotency key. Nothing durable says how far a reader is; a segment is read from its
start again after a crash, and what is posted already is skipped.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock, events, sinks
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyGone, SealBroken
from governance.vault.keys import KeyStore
from governance.vault.purpose import Actor, Bulk, states
from router.billing import journal, lease, ledger, usage_log
from router.billing.journal import JournalWriter, Money, Segment
from router.billing.ledger import AccountKind, Entry, EntryKind, ledger_account_id

_YIELD_EVERY = 16
_CLOSED_KEPT = timedelta(days=7)  # the retention rule `lease`


@dataclass(slots=True)
class LeaseCommit:
    """What a commit did to one lease: records, and micro-credits that the customer's balance paid in its place."""

    records: int = 0
    excess_microcredits: int = 0


@dataclass(slots=True)
class Committed:
    """One batch. `unreadable` of its records open under no key; `lost` own records were taken away by damage."""

    records: int = 0
    unreadable: int = 0
    lost: int = 0
    leases: dict[UUID, LeaseCommit] = field(default_factory=dict)


@dataclass(slots=True)
class Adopted:
    """What adoption did: dead processes, their records, micro-credits returned from their leases."""

    processes: int = 0
    records: int = 0
    returned_microcredits: int = 0


@dataclass(frozen=True, slots=True)
class _Opened:
    """A batch of records, opened. `rows` lacks those whose subject is erased."""

    money: list[Money]
    rows: list[dict[str, Any]]
    unreadable: int


class Committer:
    """Commits journals of one folder. One run at a time a process; the folder's locks order the processes."""

    def __init__(
        self, db: Database, keys: KeyStore, folder: Path, *, batch: int = 200, lease_ttl_s: float = 600.0
    ) -> None:
        self._db = db
        self._keys = keys
        self._folder = folder
        self._batch = batch
        self._ttl = timedelta(seconds=lease_ttl_s)

    async def commit_own(self, writer: JournalWriter) -> Committed:
        """Commit the own journal's next batch, and delete the finished segments before it. Empty when all is committed.

        One batch a call, so that what is known of it isn't lost with a failure in the next.
        """
        while writer.segments:
            segment = writer.segments[0]
            done, whole = await self._step(segment)
            if done.records:
                return done
            if not whole:
                # Nothing behind the damage can be reached: write elsewhere.
                writer.rotate()
                done.lost = segment.appended - segment.committed
            if not segment.complete:
                return done
            await self._finish(segment)
            writer.segments.popleft()
            if done.lost:
                return done
        return Committed()

    async def adopt_orphans(self) -> Adopted:
        """Replay dead processes' journals, return their leases, and other machines' leases past their time to live.

        A process is dead when its lock is free; exactly one sibling gets it.
        """
        adopted = Adopted()
        folder_id = journal.open_folder(self._folder)
        async with self._db.session(DataUse.PAYMENT) as session:
            found = journal.processes(self._folder) | await lease.holders(session, folder_id)
        for process_id in sorted(found):
            handle = journal.take_lock(self._folder, process_id)
            if handle is None:
                continue
            try:
                await self._adopt(process_id, adopted)
            finally:
                os.close(handle)
        await self._return_aged(folder_id, adopted)
        return adopted

    async def _adopt(self, process_id: UUID, adopted: Adopted) -> None:
        segments = journal.segments_of(self._folder, process_id)
        records = 0
        for segment in segments:
            while (await self._step(segment))[0].records:
                pass
            records += segment.committed
            await self._finish(segment)
        # A crash here leaves open leases and a free lock: the next adopter finds no segment and goes on below.
        returned = await self.close_leases(process_id)
        journal.lock_path(self._folder, process_id).unlink(missing_ok=True)
        adopted.processes += 1
        adopted.records += records
        adopted.returned_microcredits += returned
        if segments or returned:
            await events.emit_async(
                "journal:orphan:adopted",
                {"process": str(process_id), "records": records, "returned_microcredits": returned},
            )

    async def close_leases(self, process_id: UUID) -> int:
        """Close every lease of a process whose charges are all committed. Micro-credits returned."""
        returned = 0
        while True:
            async with self._db.transaction(DataUse.PAYMENT) as session:
                ids = await lease.open_of(session, process_id)
                returned += await lease.close(session, ids)
            # A crash between two rounds leaves the rest open; closing is safe to repeat.
            if not ids:
                return returned

    async def _return_aged(self, folder_id: UUID, adopted: Adopted) -> None:
        async with self._db.transaction(DataUse.PAYMENT) as session:
            await lease.forget_closed(session, clock.now() - _CLOSED_KEPT)
            ids = await lease.aged(session, folder_id, clock.now() - self._ttl)
            adopted.returned_microcredits += await lease.close(session, ids)
        if ids:
            await events.emit_async("lease:aged:returned", {"leases": len(ids)})

    async def _step(self, segment: Segment) -> tuple[Committed, bool]:
        """Commit a segment's next batch; without records when there is none, and False where damage ends it there."""
        payloads, end, damaged = segment.read(self._batch)
        if payloads:
            done = await self._commit(payloads)
            # A crash here, before the offset moves, repeats the batch: every record of it is skipped.
            segment.offset = end
            segment.committed += len(payloads)
            segment.unreadable += done.unreadable
            return done, True
        if damaged:
            kept, dropped = segment.committed, segment.bytes_left()
            stem: str = segment.path.stem
            await events.emit_async(
                "journal:tail:truncated", {"segment": stem, "records_kept": kept, "bytes_dropped": dropped}
            )
        return Committed(), not damaged

    async def _finish(self, segment: Segment) -> None:
        """Every record that can be committed is: delete the file. A crash before this reads it once more."""
        if segment.unreadable:
            # Sealed under a money key that this service doesn't have: kept for the operator, out of the readers' way.
            segment.path.replace(segment.path.with_suffix(".unreadable"))
            await events.emit_async(
                "journal:record:unreadable", {"segment": segment.path.stem, "records": segment.unreadable}
            )
        else:
            with contextlib.suppress(FileNotFoundError):
                segment.path.unlink()

    async def _commit(self, payloads: Sequence[bytes]) -> Committed:
        # The journal held its records' words before any prompt that repeats them now.
        told: list[str] = []
        with sinks.given(lambda: told):
            return await self._commit_given(payloads, told)

    async def _commit_given(self, payloads: Sequence[bytes], told: list[str]) -> Committed:
        opened = await self._open(payloads, told)
        async with self._db.transaction(DataUse.PAYMENT) as session:
            # A crash anywhere in this block changes nothing: the records are still in the journal.
            excess, conflicts = await _post(session, opened.money)
            await usage_log.add(session, opened.rows)
        # A crash here has committed them: the next reader finds their entries and skips them.
        for request_id in conflicts:
            await events.emit_async("ledger:charge:conflict", {"request": str(request_id)})
        done = Committed(records=len(payloads), unreadable=opened.unreadable)
        for money in opened.money:
            entry = done.leases.setdefault(money.lease_id, LeaseCommit())
            entry.records += 1
            entry.excess_microcredits += excess.pop(money.request_id, 0)
        return done

    @states(Actor.JOB, bulk=Bulk.SETTLEMENT)
    async def _open(self, payloads: Sequence[bytes], told: list[str]) -> _Opened:
        money_key = await self._keys.service_key(journal.MONEY_KEY)
        opened: list[Money] = []
        rows: list[dict[str, Any]] = []
        for number, payload in enumerate(payloads):
            if number % _YIELD_EVERY == _YIELD_EVERY - 1:
                # Opening and sealing again take tens of microseconds each: requests go first.
                await asyncio.sleep(0)
            try:
                money = journal.open_money(money_key, payload)
            except SealBroken:
                continue
            opened.append(money)
            try:
                key = (await self._keys.key(journal.key_of_event(payload))).key
                event = journal.open_event(key, payload, money)
                told += event.texts()
                rows.append(await usage_log.row_of(self._keys, event))
            except KeyGone:
                # Art. 17: the subject is erased. The money is posted, the rest is noise.
                continue
            except SealBroken:
                await events.emit_async("journal:usage:unreadable", {"request": str(money.request_id)})
        return _Opened(opened, rows, len(payloads) - len(opened))


async def _post(session: AsyncSession, charges: Sequence[Money]) -> tuple[dict[UUID, int], list[UUID]]:
    """Post what isn't posted yet: from the lease what remains of it, the excess from the customer's balance.

    The excess by request, and requests whose entry exists with another charge.
    """
    keyed: dict[bytes, Money] = {}
    conflicts: list[UUID] = []
    for money in charges:
        if money.charge_microcredits:
            first = keyed.setdefault(ledger.key_hash(f"charge:{money.request_id}"), money)
            if _digest(first) != _digest(money):
                conflicts.append(money.request_id)
    # Nobody else posts these: the folder's locks give a journal one reader. Were it not so, the unique key would
    # refuse the second transaction whole, and its repetition would skip what the first posted.
    known = await ledger.recorded(session, keyed)
    fresh = {key: money for key, money in keyed.items() if key not in known}
    conflicts += [keyed[key].request_id for key, digest in known.items() if digest != _digest(keyed[key])]
    wanted: dict[UUID, int] = {}
    for money in fresh.values():
        wanted[money.lease_id] = wanted.get(money.lease_id, 0) + money.charge_microcredits
    left = await lease.draw(session, wanted)
    revenue = ledger_account_id(AccountKind.REVENUE)
    excess: dict[UUID, int] = {}
    entries = []
    for key, money in fresh.items():
        paid = min(left.get(money.lease_id, 0), money.charge_microcredits)
        over = money.charge_microcredits - paid
        postings = [(revenue, money.charge_microcredits)]
        if paid:
            left[money.lease_id] -= paid
            postings.append((ledger_account_id(AccountKind.LEASED, money.account_id), -paid))
        if over:
            excess[money.request_id] = over
            postings.append((ledger_account_id(AccountKind.CUSTOMER, money.account_id), -over))
            # An account that was never granted anything may still have been charged beyond a reservation of zero.
            await ledger.open_accounts(session, money.account_id)
        entries.append(Entry(key, EntryKind.CHARGE, tuple(postings), _digest(money)))
    await ledger.post_new(session, entries)
    return excess, conflicts


def _digest(money: Money) -> bytes:
    """What was asked for, not how lease and balance shared it: a replay may find another share."""
    return sha256(f"{money.account_id}:{money.lease_id}:{money.charge_microcredits}".encode()).digest()
