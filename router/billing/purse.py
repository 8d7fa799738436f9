"""The purse of a serving process: reserve without I/O, settle with one write, commit behind.

    try_reserve | reserve -> Reservation -> settle | release

For each account the process holds one lease (lease.py), and in memory

    free = amount - used - reserved - withheld

`amount` is the lease's in the database, `used` what was settled less what the customer's balance paid beyond the lease,
`reserved` what running requests may still charge, `withheld` what is on its way back. What is given back is always
taken from `free`, so whatever was settled or is reserved stays covered by the lease: no charge has to be waited for.

One event loop owns a purse; its public methods without `await` run to their end undisturbed.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from governance import events
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import ValueAPIError
from governance.ids import uuid7
from governance.vault.envelope import Key
from governance.vault.keys import KeyStore
from router.billing import journal, lease
from router.billing.commit import Committed, Committer
from router.billing.journal import JournalWriter
from router.billing.lease import Hold, Holder
from router.billing.ledger import CREDIT
from router.billing.meter_event import MeterEvent
from router.errors import TooFewCredits, Unavailable

_log = structlog.get_logger(__name__)
_FAILURES = (SQLAlchemyError, OSError, ValueAPIError)
_CHUNK = 200


class RecallSignal(Protocol):
    """A counter that the processes of one machine share. Other machines give back what is idle, not what is asked."""

    def recall(self) -> int:
        """The counter."""

    def ask_recall(self) -> object:
        """Ask every process to give back what it holds unreserved."""


@dataclass(frozen=True, slots=True)
class PurseLimits:
    """Figures of a purse. A lease takes `spare_microcredits` more than is needed, or a quarter of what is available."""

    spare_microcredits: int = CREDIT
    uncommitted_records_max: int = 10_000
    tick_s: float = 0.05
    idle_s: float = 2.0
    recall_wait_s: float = 1.0
    recall_every_s: float = 0.25
    lease_ttl_s: float = 600.0
    adopt_every_s: float = 5.0
    failure_pause_s: float = 0.5


class _Held:
    """A lease in memory. `lock` orders its database steps; the numbers change without it, between awaits."""

    __slots__ = (
        "account_id", "amount", "id", "last_used", "lock", "reserved", "stored", "uncommitted", "used", "withheld",
    )  # fmt: skip

    def __init__(self, account_id: UUID) -> None:
        self.id = uuid7()
        self.account_id = account_id
        self.amount = 0
        self.used = 0
        self.reserved = 0
        self.withheld = 0
        self.uncommitted = 0
        self.stored = False
        """The database may have its row."""
        self.last_used = time.monotonic()
        self.lock = asyncio.Lock()

    @property
    def free(self) -> int:
        return self.amount - self.used - self.reserved - self.withheld

    @property
    def quiet(self) -> bool:
        """Nothing depends on it: it can be closed."""
        return not (self.reserved or self.uncommitted or self.withheld or self.lock.locked())


class Reservation:
    """Credits put aside for one request: settled or released once, anything more is a RuntimeError."""

    __slots__ = ("_held", "_open", "amount_microcredits")

    def __init__(self, held: _Held, amount_microcredits: int) -> None:
        self._held = held
        self._open = True
        self.amount_microcredits = amount_microcredits

    @property
    def account_id(self) -> UUID:
        return self._held.account_id

    @property
    def open(self) -> bool:
        return self._open

    def __repr__(self) -> str:
        return f"<Reservation {self.amount_microcredits} {'open' if self._open else 'done'}>"


@dataclass(frozen=True, slots=True)
class _Owed:
    """A charge on its way into the journal."""

    reservation: Reservation
    record: bytes
    charge_microcredits: int


class _Extended(NamedTuple):
    """What a database step found, and the reservation that it could make."""

    hold: Hold
    reservation: Reservation | None = None


class Purse:
    """Made by `open`, ended by `aclose`."""

    def __init__(
        self,
        db: Database,
        committer: Committer,
        writer: JournalWriter,
        money_key: Key,
        recall: RecallSignal,
        limits: PurseLimits,
    ) -> None:
        self._db = db
        self._committer = committer
        self._writer = writer
        self._money_key = money_key
        self._recall = recall
        self._limits = limits
        self._holder = Holder(writer.process_id, writer.folder_id)
        self._held: dict[UUID, _Held] = {}
        self._by_lease: dict[UUID, _Held] = {}
        self._closing: set[UUID] = set()
        self._uncommitted = 0
        self._recall_seen = recall.recall()
        self._recalled_at = self._renewed_at = self._adopted_at = time.monotonic()
        self._refused_until = 0.0
        self._owed: deque[_Owed] = deque()
        self._owed_said = 0
        self._stopping = asyncio.Event()
        self._committing = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []
        self._steps: set[asyncio.Task[_Extended]] = set()

    @classmethod
    async def open(
        cls, db: Database, keys: KeyStore, folder: Path, recall: RecallSignal, limits: PurseLimits | None = None
    ) -> Self:
        """Adopt what dead processes left in the journal folder, open an own journal, and start the commit loop."""
        limits = limits or PurseLimits()
        money_key = await keys.service_key(journal.MONEY_KEY)
        committer = Committer(db, keys, folder, lease_ttl_s=limits.lease_ttl_s)
        await committer.adopt_orphans()
        purse = cls(db, committer, JournalWriter(folder, uuid7()), money_key, recall, limits)
        purse._loops = [asyncio.create_task(purse._flush_loop()), asyncio.create_task(purse._work_loop())]
        return purse

    @property
    def process_id(self) -> UUID:
        return self._holder.process_id

    @property
    def uncommitted(self) -> int:
        """Records in the journal that the database doesn't have yet."""
        return self._uncommitted

    def try_reserve(self, account_id: UUID, amount_microcredits: int) -> Reservation | None:
        """Reserve from what the process holds already; None where `reserve` must be awaited. No I/O."""
        if type(amount_microcredits) is not int or amount_microcredits < 0:
            raise ValueError("a reservation is a whole number of micro-credits, zero or more")
        held = self._held.get(account_id)
        if held is None or amount_microcredits > held.free or not held.stored or self._refusal() is not None:
            return None
        if not self._writer.promise():
            return None
        held.reserved += amount_microcredits
        held.last_used = time.monotonic()
        return Reservation(held, amount_microcredits)

    async def reserve(self, account_id: UUID, amount_microcredits: int) -> Reservation:
        """Reserve, putting Credits aside durably first where the process holds too few.

        Raises TooFewCredits (402), or Unavailable (503) where the database or the journal can't keep up, or where the
        disk has no room for the record that the request will end in.
        """
        until = time.monotonic() + self._limits.recall_wait_s
        asked_at = 0.0
        while True:
            refusal = self._refusal()
            if refusal is not None:
                raise refusal
            self._make_room()
            reservation = self.try_reserve(account_id, amount_microcredits)
            if reservation is not None:
                return reservation
            held = self._held.get(account_id)
            if held is None:
                held = self._held[account_id] = _Held(account_id)
                self._by_lease[held.id] = held
            held.last_used = time.monotonic()
            found, reservation = await self._step(self._extend(held, amount_microcredits))
            if reservation is not None:
                return reservation
            if found.closed:
                self._forget(held)
                continue
            if found.amount is not None:
                # Others, who needed no step, took it while it was put aside.
                if time.monotonic() > until:
                    raise Unavailable("The account's Credits are in high demand at this moment.", retry_after_s=1)
                continue
            own = max(0, held.free)
            if found.available + own + found.elsewhere < amount_microcredits or time.monotonic() > until:
                raise TooFewCredits(
                    f"This request needs up to {_credits(amount_microcredits)} Credits, and "
                    f"{_credits(max(0, found.available + own))} are available."
                )
            if time.monotonic() - asked_at >= self._limits.recall_every_s:
                asked_at = time.monotonic()
                with contextlib.suppress(ValueAPIError):  # busy: asked again at the next round
                    self._recall.ask_recall()
            # The others answer within a tick of theirs; there is no event to wait for between processes.
            await asyncio.sleep(self._limits.tick_s)

    def reserve_nothing(self, account_id: UUID) -> Reservation:
        """For what costs nothing by its account, as the service's own probe: settled into the journal like any other
        request, with no lease and no Credits behind it. Raises Unavailable as `reserve` does."""
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        self._make_room()
        if not self._writer.promise():
            raise Unavailable("Charges can't be recorded fast enough at this moment.", retry_after_s=1)
        return Reservation(_Held(account_id), 0)

    def settle(self, reservation: Reservation, event: MeterEvent, key: Key | None, *, begun: bool = False) -> None:
        """Charge a request: one journal write, on the operating system's side when this returns.

        The charge may exceed the reservation. `key` is the open key of the event's subject, None where it has none.
        Raises Unavailable where the disk refuses the record all the same: the caller must not send the response's end.
        The reservation stays open then; or, where the response has `begun` and can't be taken back, the charge is owed:
        the record is kept and tried again while the process lives, and the Credits stay reserved until it is written.
        Raises RuntimeError for a second settle or another account's event.
        """
        if not reservation.open:
            raise RuntimeError("the reservation was settled or released already")
        held = reservation._held
        if event.account_id != held.account_id:
            raise RuntimeError("the event belongs to another account than the reservation")
        owed = _Owed(reservation, journal.seal_record(event, held.id, self._money_key, key), event.charge_microcredits)
        try:
            self._write(owed)
        except OSError as error:
            self._refused(error)
            if begun:
                reservation._open = False
                self._owed.append(owed)
            raise Unavailable("The request can't be accounted for at this moment.", retry_after_s=1) from None

    def _write(self, owed: _Owed) -> None:
        self._writer.append(owed.record)
        # A crash from here on: the next process posts the charge, and gives the rest of the lease back.
        self._writer.redeem()
        held = owed.reservation._held
        owed.reservation._open = False
        held.reserved -= owed.reservation.amount_microcredits
        held.used += owed.charge_microcredits
        held.uncommitted += 1
        held.last_used = time.monotonic()
        self._uncommitted += 1

    def release(self, reservation: Reservation) -> None:
        """Give a reservation back uncharged. Raises RuntimeError the second time."""
        if not reservation.open:
            raise RuntimeError("the reservation was settled or released already")
        held = reservation._held
        reservation._open = False
        self._writer.redeem()
        held.reserved -= reservation.amount_microcredits
        held.last_used = time.monotonic()
        if self._held.get(held.account_id) is not held:
            self._forget(held)

    async def drain(self) -> None:
        """Commit everything settled before this call. Raises what the database raises, OSError on a full disk."""
        async with self._committing:
            self._writer.retire()
            wanted = self._uncommitted
            while wanted > 0:
                done = await self._committer.commit_own(self._writer)
                self._apply(done)
                wanted = wanted - done.records - done.lost if done.records or done.lost else 0
            # Once more, for the file: a finished segment goes when its last record is seen to be committed.
            self._apply(await self._committer.commit_own(self._writer))

    async def aclose(self) -> None:
        """Reserve no more, commit everything, return every lease, give up the journal.

        Where the database fails, the journal stays for the next process, which does the same.
        """
        if self._writer.closed:
            return
        self._stopping.set()
        await asyncio.gather(*self._loops, *self._steps, return_exceptions=True)
        clean = False
        try:
            await self._write_owed()
        except OSError as error:
            self._refused(error)
            lost = {"records": len(self._owed), "microcredits": sum(owed.charge_microcredits for owed in self._owed)}
            await events.emit_async("billing:charge:lost", lost)
        # Nothing settles after this: an open reservation finds the journal closed.
        self._writer.rotate()
        try:
            await self._writer.flush()
            await self.drain()
            await self._committer.close_leases(self.process_id)
            clean = True
        except _FAILURES as error:
            _log.warning("billing:close:failed", error=type(error).__name__)
        finally:
            self._writer.close(remove=clean)

    def _refusal(self) -> Unavailable | None:
        """Why nothing may be reserved now, if so."""
        now = time.monotonic()
        if self._stopping.is_set():
            return Unavailable("The server is shutting down.", retry_after_s=1)
        if self._owed or self._uncommitted >= self._limits.uncommitted_records_max or now < self._refused_until:
            return Unavailable("Charges can't be recorded fast enough at this moment.", retry_after_s=1)
        if now - self._renewed_at > self._limits.lease_ttl_s / 2:
            # Past the time to live another machine may return these leases: stop well before.
            return Unavailable("The ledger can't be reached at this moment.", retry_after_s=5)
        return None

    def _make_room(self) -> None:
        """Room in the journal for one more request, before it costs anything. Raises Unavailable on a full disk."""
        try:
            self._writer.make_room()
        except OSError as error:
            self._refused(error)
            raise Unavailable("There is no room to record charges at this moment.", retry_after_s=5) from None

    def _refused(self, error: OSError) -> None:
        self._refused_until = time.monotonic() + 1.0
        _log.error("journal:write:failed", errno=error.errno)

    async def _step(self, work: Coroutine[Any, Any, _Extended]) -> _Extended:
        """Run a database step to its end even if the caller goes away: a transaction isn't cancelled half way."""
        task = asyncio.create_task(work)
        self._steps.add(task)
        task.add_done_callback(self._stepped)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._unwanted)
            raise
        except (SQLAlchemyError, OSError) as error:
            _log.warning("lease:hold:failed", error=type(error).__name__)
            raise Unavailable("The ledger can't be reached at this moment.", retry_after_s=1) from None

    def _stepped(self, task: "asyncio.Task[_Extended]") -> None:
        self._steps.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio doesn't print it

    def _unwanted(self, task: "asyncio.Task[_Extended]") -> None:
        """Its caller went away: give back what it reserved."""
        if not task.cancelled() and task.exception() is None and (reservation := task.result().reservation) is not None:
            self.release(reservation)

    async def _extend(self, held: _Held, need: int) -> _Extended:
        """Put aside what is needed and reserve it at once: who waits for the lock next would take it otherwise, and of
        many requests at once the last would wait for all others."""
        async with held.lock:
            if self._held.get(held.account_id) is not held:
                return _Extended(Hold(None, closed=True))
            if held.stored and held.free >= need:
                return _Extended(Hold(held.amount), self.try_reserve(held.account_id, need))
            was_stored = held.stored
            # From here the row may exist whatever is reported: a commit's answer can be lost.
            held.stored = True
            required = held.used + held.reserved + need
            async with self._db.transaction(DataUse.PAYMENT) as session:
                found = await lease.hold(
                    session, held.id, held.account_id, self._holder,
                    required=required, spare=self._limits.spare_microcredits,
                )  # fmt: skip
            # A crash here leaves Credits on a lease without charges: the adopter returns them.
            if found.amount is not None:
                # The row is the truth, whatever became of earlier steps.
                held.amount, held.withheld = found.amount, 0
            elif not found.closed:
                held.stored = was_stored
            return _Extended(found, self.try_reserve(held.account_id, need))

    def _forget(self, held: _Held) -> None:
        """Take a lease out of use. Reservations on it can still be settled: the customer's balance pays."""
        if self._held.get(held.account_id) is held:
            del self._held[held.account_id]
        if not held.uncommitted and not held.reserved:
            self._by_lease.pop(held.id, None)

    def _apply(self, done: Committed) -> None:
        self._uncommitted -= done.records + done.lost
        for lease_id, part in done.leases.items():
            held = self._by_lease.get(lease_id)
            if held is not None:
                held.uncommitted -= part.records
                held.used -= part.excess_microcredits
                if self._held.get(held.account_id) is not held:
                    self._forget(held)

    async def _flush_loop(self) -> None:
        """Bring the journal to the disk every tick, however slow the database is."""
        while not self._stopping.is_set():
            try:
                await self._write_owed()
                await self._writer.flush()
            except OSError as error:
                self._refused(error)
            await self._pause(self._limits.tick_s)

    async def _write_owed(self) -> None:
        """Write what the disk refused after its response had begun. Raises OSError where it still does."""
        if len(self._owed) > self._owed_said:
            self._owed_said = len(self._owed)
            await events.emit_async("billing:charge:owed", {"records": self._owed_said})
        while self._owed:
            self._write(self._owed[0])
            self._owed.popleft()
        if self._owed_said:
            await events.emit_async("billing:charge:recorded", {"records": self._owed_said})
            self._owed_said = 0

    async def _work_loop(self) -> None:
        while not self._stopping.is_set():
            pause = self._limits.tick_s
            try:
                if await self._tick():
                    pause = 0.0
            except _FAILURES as error:
                # Everything here is repeated at the next tick, and safe to repeat.
                _log.warning("billing:tick:failed", error=type(error).__name__)
                pause = self._limits.failure_pause_s
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _tick(self) -> bool:
        """One round; True where more records wait."""
        with contextlib.suppress(OSError):  # a full disk: the segment goes on, with the room that it has
            self._writer.retire_if_due()
        async with self._committing:
            done = await self._committer.commit_own(self._writer)
            self._apply(done)
        now = time.monotonic()
        asked = self._recall.recall()
        if asked != self._recall_seen and now - self._recalled_at >= self._limits.recall_every_s:
            self._recall_seen, self._recalled_at = asked, now
            await self._give_back([held for held in self._held.values() if held.free > 0])
        # A step whose outcome was unknown is looked at again.
        await self._give_back([held for held in self._held.values() if held.withheld])
        await self._close_idle(now)
        if now - self._renewed_at >= self._limits.lease_ttl_s / 10:
            await self._renew()
        if now - self._adopted_at >= self._limits.adopt_every_s:
            self._adopted_at = now
            await self._committer.adopt_orphans()
        return done.records > 0

    async def _give_back(self, candidates: list[_Held]) -> None:
        """Return what is unreserved on these leases, in few transactions."""
        for part in _chunks([held for held in candidates if held.stored and not held.lock.locked()]):
            async with AsyncExitStack() as locks:
                for held in part:
                    await locks.enter_async_context(held.lock)
                for held in part:
                    # Withheld before anything is awaited: nobody can reserve it meanwhile.
                    held.withheld += max(0, held.free)
                targets = {held.id: held.amount - held.withheld for held in part}
                async with self._db.transaction(DataUse.PAYMENT) as session:
                    amounts = await lease.shrink(session, targets)
                # A crash here has returned them; a failure keeps them withheld until a step reads the row again.
                for held in part:
                    if held.id in amounts:
                        held.amount, held.withheld = amounts[held.id], 0
                    else:
                        self._forget(held)

    async def _close_idle(self, now: float) -> None:
        for held in list(self._held.values()):
            if held.quiet and now - held.last_used >= self._limits.idle_s:
                self._forget(held)
                if held.stored:
                    self._closing.add(held.id)
        for part in _chunks(list(self._closing)):
            async with self._db.transaction(DataUse.PAYMENT) as session:
                await lease.close(session, part)
            self._closing.difference_update(part)

    async def _renew(self) -> None:
        before = [held for held in self._held.values() if held.stored and not held.lock.locked()]
        started = time.monotonic()
        async with self._db.transaction(DataUse.PAYMENT) as session:
            alive = await lease.renew(session, self.process_id)
        for held in before:
            if held.id not in alive:
                self._forget(held)
        self._renewed_at = started


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    return (items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK))


def _credits(microcredits: int) -> str:
    return f"{microcredits // CREDIT}.{microcredits % CREDIT:06d}"
