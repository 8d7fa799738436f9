"""Reserve, settle, release: never overspent, never lost, whatever the database, the disk or a sibling does."""

import asyncio
import errno
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from governance.datamap import DataUse
from governance.db import Database
from governance.vault.keys import KeyStore
from router.billing import journal, lease, ledger
from router.billing.journal import JournalWriter
from router.billing.lease import Lease
from router.billing.ledger import CREDIT, AccountKind, LedgerAccount, ledger_account_id
from router.billing.purse import Purse, PurseLimits, Reservation
from router.billing.usage_log import Usage
from router.errors import TooFewCredits, Unavailable
from tests.router.billing.book import Customer, Flaky, Signal, customer
from tests.services.small_disk import small_disk

QUICK = PurseLimits(tick_s=0.01, idle_s=60, failure_pause_s=0.02, recall_every_s=0.02)
GRANT = 2 * CREDIT


@asynccontextmanager
async def opened(
    db: Database, keys: KeyStore, folder: Path, signal: Signal, limits: PurseLimits = QUICK
) -> AsyncIterator[Purse]:
    purse = await Purse.open(db, keys, folder, signal, limits)
    try:
        yield purse
    finally:
        await purse.aclose()


async def books(db: Database, made: Customer) -> tuple[int, int]:
    """(balance, usage rows), after the book was added up again and no lease is open any more."""
    async with db.session(DataUse.PAYMENT) as session:
        assert (await ledger.verify(session)).ok
        assert await lease.differences(session) == []
        assert await session.scalar(select(func.count()).select_from(Lease).where(Lease.state == "open")) == 0
        rows = await session.scalar(select(func.count()).select_from(Usage))
        return await ledger.balance(session, made.account_id), int(rows or 0)


async def open_leases(db: Database) -> list[int]:
    async with db.session(DataUse.PAYMENT) as session:
        return list(await session.scalars(select(Lease.remaining).where(Lease.state == "open")))


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """The database has no event to wait for."""
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.01)


async def test_a_charge_is_in_the_journal_when_settle_returns_and_in_the_database_soon(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, GRANT)
    async with opened(db, keys, folder, signal) as purse:
        reservation = await purse.reserve(made.account_id, 5000)
        event = made.event(1234)
        purse.settle(reservation, event, made.key)
        # No await since settle: this is what SIGKILL would leave.
        (path,) = folder.glob("*.journal")
        (payload,), _, _ = journal.parse(path.read_bytes(), 9)
        money = journal.open_money(await keys.service_key(journal.MONEY_KEY), payload)
        assert (money.request_id, money.charge_microcredits) == (event.request_id, 1234)
        assert not reservation.open

        async def committed() -> bool:
            return purse.uncommitted == 0

        await eventually(committed)
        released = await purse.reserve(made.account_id, 7)
        purse.release(released)
    assert await books(db, made) == (GRANT - 1234, 1)
    assert [path.name for path in folder.iterdir()] == ["folder.id"]


async def test_reserving_from_a_lease_does_no_io(flaky: Flaky, keys: KeyStore, folder: Path, signal: Signal) -> None:
    made = await customer(flaky, keys, GRANT)
    async with opened(flaky, keys, folder, signal) as purse:
        assert purse.try_reserve(made.account_id, 1) is None
        purse.release(await purse.reserve(made.account_id, 10_000))
        before = flaky.transactions
        for _ in range(40):
            reservation = purse.try_reserve(made.account_id, 10_000)
            assert reservation is not None
        assert flaky.transactions == before
        # A quarter of what was available and the first need: now it is used up.
        assert purse.try_reserve(made.account_id, CREDIT) is None


async def test_a_reservation_ends_once(db: Database, keys: KeyStore, folder: Path, signal: Signal) -> None:
    made, other = await customer(db, keys, GRANT), await customer(db, keys, 0)
    async with opened(db, keys, folder, signal) as purse:
        settled, released = await purse.reserve(made.account_id, 5), await purse.reserve(made.account_id, 5)
        with pytest.raises(RuntimeError, match="another account"):
            purse.settle(settled, other.event(1), other.key)
        purse.settle(settled, made.event(1), made.key)
        purse.release(released)
        for done in (settled, released):
            with pytest.raises(RuntimeError, match="already"):
                purse.settle(done, made.event(1), made.key)
            with pytest.raises(RuntimeError, match="already"):
                purse.release(done)
        for wrong in (-1, 1.0, True):
            with pytest.raises(ValueError, match="micro-credits"):
                purse.try_reserve(made.account_id, wrong)  # type: ignore[arg-type]
    assert await books(db, made) == (GRANT - 1, 1)
    with pytest.raises(Unavailable):
        await purse.reserve(made.account_id, 5)


async def test_what_costs_nothing_by_its_account_is_recorded_without_lease_or_credits(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, 0)
    async with opened(db, keys, folder, signal) as purse:
        given_back, settled = purse.reserve_nothing(made.account_id), purse.reserve_nothing(made.account_id)
        purse.release(given_back)
        purse.settle(settled, made.event(0), made.key)
        with pytest.raises(RuntimeError):
            purse.settle(settled, made.event(0), made.key)
        assert await open_leases(db) == []
        await purse.drain()
        assert purse.uncommitted == 0
    async with db.session(DataUse.PAYMENT) as session:
        assert await session.scalar(select(func.count()).select_from(Lease)) == 0
        assert await session.scalar(select(func.count()).select_from(LedgerAccount)) == 0
        assert await session.scalar(select(func.count()).select_from(Usage)) == 1


async def test_too_few_credits_says_how_many(db: Database, keys: KeyStore, folder: Path, signal: Signal) -> None:
    made, poor = await customer(db, keys, GRANT), await customer(db, keys, 0)
    async with opened(db, keys, folder, signal) as purse:
        with pytest.raises(TooFewCredits) as caught:
            await purse.reserve(poor.account_id, 250_000)
        assert caught.value.message == "This request needs up to 0.250000 Credits, and 0.000000 are available."
        await purse.reserve(made.account_id, GRANT // 2)
        with pytest.raises(TooFewCredits, match=r"needs up to 1\.000001 Credits, and 1\.000000 are available"):
            await purse.reserve(made.account_id, GRANT // 2 + 1)
        # What is free still serves, and zero always does.
        purse.release(await purse.reserve(made.account_id, GRANT // 2))
        purse.settle(await purse.reserve(poor.account_id, 0), poor.event(0), poor.key)
    assert (await books(db, poor)) == (0, 1)


async def test_concurrent_requests_never_overspend(db: Database, keys: KeyStore, folder: Path, signal: Signal) -> None:
    made = await customer(db, keys, CREDIT)
    async with opened(db, keys, folder, signal) as purse:
        served = 0

        async def request() -> None:
            nonlocal served
            try:
                reservation = await purse.reserve(made.account_id, 9_000)
            except TooFewCredits:
                return
            await asyncio.sleep(0)
            purse.settle(reservation, made.event(9_000), made.key)
            served += 1

        await asyncio.gather(*(request() for _ in range(200)))
        assert served == CREDIT // 9_000
    assert await books(db, made) == (CREDIT - served * 9_000, served)


async def test_of_many_requests_at_once_none_waits_for_all_others(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, CREDIT)
    # Whoever isn't served by its own step is refused.
    limits = PurseLimits(tick_s=0.01, idle_s=60, spare_microcredits=0, recall_wait_s=0)
    async with opened(db, keys, folder, signal, limits) as purse:
        reservations = await asyncio.gather(*(purse.reserve(made.account_id, 1000) for _ in range(60)))
        for reservation in reservations:
            purse.release(reservation)


async def test_a_caller_that_leaves_within_a_step_reserves_nothing(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    async with opened(db, keys, folder, signal) as purse:
        for turns in range(10):
            made = await customer(db, keys, CREDIT)
            leaving = asyncio.create_task(purse.reserve(made.account_id, CREDIT))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaving.cancel()
            [left] = await asyncio.gather(leaving, return_exceptions=True)
            if isinstance(left, Reservation):  # it was too late
                purse.release(left)
            await asyncio.gather(*purse._steps)
            await asyncio.sleep(0.01)
            purse.release(await purse.reserve(made.account_id, CREDIT))


async def test_one_settle_may_exceed_its_reserve_and_nothing_more_follows(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, 1000)
    async with opened(db, keys, folder, signal) as purse:
        reservation = await purse.reserve(made.account_id, 900)
        purse.settle(reservation, made.event(1500), made.key)
        with pytest.raises(TooFewCredits):
            await purse.reserve(made.account_id, 1)
        await purse.drain()
        with pytest.raises(TooFewCredits):
            await purse.reserve(made.account_id, 1)
        async with db.transaction(DataUse.PAYMENT) as session:
            await ledger.grant(session, made.account_id, 700, "later")
        # 200 are there after the debt of 500: exactly those can be spent.
        with pytest.raises(TooFewCredits):
            await purse.reserve(made.account_id, 201)
        purse.settle(await purse.reserve(made.account_id, 200), made.event(200), made.key)
    assert await books(db, made) == (0, 2)


async def test_a_database_that_does_not_answer_bounds_what_is_uncommitted(
    flaky: Flaky, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(flaky, keys, GRANT)
    limits = PurseLimits(tick_s=0.01, idle_s=60, failure_pause_s=0.02, uncommitted_records_max=5)
    async with opened(flaky, keys, folder, signal, limits) as purse:
        purse.release(await purse.reserve(made.account_id, 1000))
        flaky.lose = 10**9
        for _ in range(5):
            reservation = purse.try_reserve(made.account_id, 10)
            assert reservation is not None
            purse.settle(reservation, made.event(10), made.key)
        with pytest.raises(Unavailable) as caught:
            await purse.reserve(made.account_id, 10)
        assert caught.value.retry_after_s == 1
        flaky.lose = 0

        async def again() -> bool:
            return purse.try_reserve(made.account_id, 10) is not None

        await eventually(again)
    assert await books(flaky, made) == (GRANT - 50, 5)


@pytest.mark.parametrize("fault", ["lose", "misreport"])
async def test_a_hold_with_unknown_outcome_costs_nothing(
    flaky: Flaky, keys: KeyStore, folder: Path, signal: Signal, fault: str
) -> None:
    made = await customer(flaky, keys, GRANT)
    # No tick may meet the fault in the hold's place.
    limits = PurseLimits(tick_s=30, idle_s=60)
    async with opened(flaky, keys, folder, signal, limits) as purse:
        await asyncio.sleep(0)
        for need in (1000, CREDIT):
            setattr(flaky, fault, 1)
            with pytest.raises(Unavailable):
                await purse.reserve(made.account_id, need)
            purse.settle(await purse.reserve(made.account_id, need), made.event(need), made.key)
        left = await purse.reserve(made.account_id, GRANT - CREDIT - 1000)
        purse.settle(left, made.event(GRANT - CREDIT - 1000), made.key)
        with pytest.raises(TooFewCredits):
            await purse.reserve(made.account_id, 1)
    assert await books(flaky, made) == (0, 3)


async def test_a_caller_that_goes_away_while_reserving_leaves_nothing_behind(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, GRANT)
    async with opened(db, keys, folder, signal) as purse:
        tasks = [asyncio.create_task(purse.reserve(made.account_id, GRANT)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        purse.release(await purse.reserve(made.account_id, GRANT))
    assert await books(db, made) == (GRANT, 0)


async def test_a_transaction_is_not_cut_by_the_caller_s_leaving(
    flaky: Flaky, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(flaky, keys, GRANT)
    async with opened(flaky, keys, folder, signal, PurseLimits(tick_s=30)) as purse:
        flaky.gate = asyncio.Event()
        task = asyncio.create_task(purse.reserve(made.account_id, 1000))
        await flaky.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        flaky.gate.set()

        async def taken() -> bool:
            return purse.try_reserve(made.account_id, 1000) is not None

        await eventually(taken)
    assert await books(flaky, made) == (GRANT, 0)


async def test_idle_leases_go_back(db: Database, keys: KeyStore, folder: Path, signal: Signal) -> None:
    made = await customer(db, keys, GRANT)
    limits = PurseLimits(tick_s=0.01, idle_s=0.05)
    async with opened(db, keys, folder, signal, limits) as purse:
        held = await purse.reserve(made.account_id, 1000)
        await asyncio.sleep(0.2)
        # A reservation keeps its lease, however long it takes.
        assert len(await open_leases(db)) == 1
        purse.settle(held, made.event(600), made.key)

        async def none_open() -> bool:
            return await open_leases(db) == []

        await eventually(none_open)

        async def forgotten() -> bool:
            return not (purse._held or purse._by_lease or purse._closing)

        await eventually(forgotten)
        purse.release(await purse.reserve(made.account_id, GRANT - 600))
    assert await books(db, made) == (GRANT - 600, 1)


@pytest.mark.parametrize("fault", ["", "lose", "misreport"])
async def test_a_sibling_s_recall_brings_back_what_is_unreserved(
    db: Database, flaky: Flaky, keys: KeyStore, folder: Path, signal: Signal, fault: str
) -> None:
    made = await customer(db, keys, GRANT)
    async with opened(flaky, keys, folder, signal) as one, opened(db, keys, folder, signal) as other:
        kept = await one.reserve(made.account_id, 1000)
        one.release(await one.reserve(made.account_id, GRANT - 1000))
        settled = await one.reserve(made.account_id, 500)
        one.settle(settled, made.event(500), made.key)
        await one.drain()
        if fault:
            setattr(flaky, fault, 1)
        most = await other.reserve(made.account_id, GRANT - 1500)
        # What is reserved there stays there.
        assert one.try_reserve(made.account_id, 1) is None
        with pytest.raises(TooFewCredits):
            await other.reserve(made.account_id, 1)
        one.settle(kept, made.event(1000), made.key)
        other.settle(most, made.event(GRANT - 1500), made.key)
    assert await books(db, made) == (0, 3)


async def test_without_a_recall_the_sibling_waits_and_then_refuses(
    db: Database, keys: KeyStore, folder: Path, signal: Signal, tmp_path: Path
) -> None:
    """The control of the test above: with a signal that doesn't arrive the Credits don't come back."""
    made = await customer(db, keys, GRANT)
    limits = PurseLimits(tick_s=0.01, idle_s=60, recall_wait_s=0.2)
    deaf = Signal(tmp_path / "another counter")
    async with opened(db, keys, folder, signal, limits) as one, opened(db, keys, folder, deaf, limits) as other:
        one.release(await one.reserve(made.account_id, GRANT))
        started = time.monotonic()
        with pytest.raises(TooFewCredits):
            await other.reserve(made.account_id, GRANT)
        assert 0.2 <= time.monotonic() - started < 5
        assert deaf.recall() > 0
        # Where all leases together hold too few, nobody is asked.
        asked = deaf.recall()
        with pytest.raises(TooFewCredits):
            await other.reserve(made.account_id, GRANT + 1)
        assert deaf.recall() == asked
    assert await books(db, made) == (GRANT, 0)


async def test_a_disk_that_refuses_charges_nobody_and_stops_reserving(
    db: Database, keys: KeyStore, folder: Path, signal: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await customer(db, keys, GRANT)
    async with opened(db, keys, folder, signal) as purse:
        first, second = await purse.reserve(made.account_id, 100), await purse.reserve(made.account_id, 100)

        def full(_: int, __: bytes) -> int:
            raise OSError(errno.ENOSPC, "full")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(Unavailable):
                purse.settle(first, made.event(100), made.key)
        assert first.open
        assert purse.try_reserve(made.account_id, 1) is None
        with pytest.raises(Unavailable):
            await purse.reserve(made.account_id, 1)
        purse.release(first)
        purse.settle(second, made.event(100), made.key)
    assert await books(db, made) == (GRANT - 100, 1)


async def test_a_full_disk_admits_only_what_it_has_room_for(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, GRANT)
    with small_disk(folder) as disk:
        async with opened(db, keys, folder, signal) as purse:
            held = [await purse.reserve(made.account_id, 10)]
            disk.fill()
            while (reservation := purse.try_reserve(made.account_id, 10)) is not None:
                held.append(reservation)
            with pytest.raises(Unavailable, match="no room") as caught:
                await purse.reserve(made.account_id, 10)
            assert caught.value.retry_after_s == 5
            purse.release(held.pop())
            for reservation in held:
                purse.settle(reservation, made.event(10), made.key)
            disk.free()

            async def again() -> bool:
                return purse.try_reserve(made.account_id, 10) is not None

            purse._make_room()
            await eventually(again)
        # What was admitted was recorded, to the last.
        assert await books(db, made) == (GRANT - 10 * len(held), len(held))
        assert len(held) == 2**20 // journal.RECORD_BYTES_MAX - 1


async def test_what_the_disk_refuses_after_the_response_began_is_owed(
    db: Database, keys: KeyStore, folder: Path, signal: Signal, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await customer(db, keys, GRANT)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    async with opened(db, keys, folder, signal) as purse:
        first, second = await purse.reserve(made.account_id, 100), await purse.reserve(made.account_id, 100)
        with monkeypatch.context() as patch:
            patch.setattr(JournalWriter, "append", broken)
            with pytest.raises(Unavailable):
                purse.settle(first, made.event(70), made.key, begun=True)
            assert not first.open and first._held.reserved == 200
            with pytest.raises(RuntimeError, match="already"):
                purse.release(first)
            purse._refused_until = 0.0
            assert purse.try_reserve(made.account_id, 1) is None

            async def said() -> bool:
                return "billing:charge:owed" in event_log.read_text()

            await eventually(said)

        async def written() -> bool:
            return first._held.reserved == 100

        await eventually(written)
        purse.settle(second, made.event(100), made.key)
    assert await books(db, made) == (GRANT - 170, 2)


async def test_what_is_owed_to_the_end_is_said(
    db: Database, keys: KeyStore, folder: Path, signal: Signal, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await customer(db, keys, GRANT)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    async with opened(db, keys, folder, signal) as purse:
        reservation = await purse.reserve(made.account_id, 100)
        monkeypatch.setattr(JournalWriter, "append", broken)
        with pytest.raises(Unavailable):
            purse.settle(reservation, made.event(70), made.key, begun=True)
    (line,) = [line for line in event_log.read_text().splitlines() if "billing:charge:lost" in line]
    assert json.loads(line)["records"] == 1 and json.loads(line)["microcredits"] == 70


async def test_a_close_without_database_leaves_the_journal_to_the_next(
    db: Database, flaky: Flaky, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, GRANT)
    async with opened(flaky, keys, folder, signal) as purse:
        reservation = await purse.reserve(made.account_id, 100)
        flaky.lose = 10**9
        purse.settle(reservation, made.event(100), made.key)
    assert purse.uncommitted == 1
    assert len(list(folder.glob("*.journal"))) == 1
    async with opened(db, keys, folder, signal):
        assert await books(db, made) == (GRANT - 100, 1)


async def test_a_lease_closed_by_another_machine_is_replaced_and_its_charges_count(
    db: Database, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(db, keys, GRANT)
    async with opened(db, keys, folder, signal) as purse:
        running = await purse.reserve(made.account_id, 1000)
        async with db.transaction(DataUse.PAYMENT) as session:
            await lease.close(session, list(await session.scalars(select(Lease.id))))
        purse.release(await purse.reserve(made.account_id, CREDIT))
        purse.settle(running, made.event(900), made.key)
        await purse.drain()
    assert await books(db, made) == (GRANT - 900, 1)


async def test_leases_that_can_not_be_renewed_are_not_used(
    flaky: Flaky, keys: KeyStore, folder: Path, signal: Signal
) -> None:
    made = await customer(flaky, keys, GRANT)
    limits = PurseLimits(tick_s=0.01, idle_s=60, failure_pause_s=0.02, lease_ttl_s=0.6)
    async with opened(flaky, keys, folder, signal, limits) as purse:
        purse.release(await purse.reserve(made.account_id, 100))
        await asyncio.sleep(0.5)
        # Renewed meanwhile.
        assert purse.try_reserve(made.account_id, 1) is not None
        flaky.lose = 10**9

        async def refused() -> bool:
            return purse.try_reserve(made.account_id, 1) is None

        await eventually(refused)
        with pytest.raises(Unavailable) as caught:
            await purse.reserve(made.account_id, 1)
        assert caught.value.retry_after_s == 5
        flaky.lose = 0


async def test_two_processes_never_overspend(db: Database, keys: KeyStore, folder: Path, tmp_path: Path) -> None:
    made = await customer(db, keys, CREDIT // 2)
    plan = {
        "home": str(tmp_path), "data": db.engine.url.render_as_string(hide_password=False),
        "keys": keys.db.engine.url.render_as_string(hide_password=False),
        "subject": str(made.subject_id), "account": str(made.account_id),
    }  # fmt: skip

    async def child(seed: str) -> list[str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.router.billing.spender", json.dumps(plan | {"seed": seed}),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        lines = out.decode().splitlines()
        assert process.returncode == 0
        assert lines[-1] == "done"
        return lines[:-1]

    one, other = await asyncio.gather(child("one"), child("other"))
    settled = dict(line.split() for line in one + other)
    assert len(settled) == len(one) + len(other)
    assert one
    assert other
    spent = sum(int(charge) for charge in settled.values())
    balance, rows = await books(db, made)
    assert (balance, rows) == (CREDIT // 2 - spent, len(settled))
    # It was spent nearly to the end: a task gives up when its need of up to 2000 isn't met.
    assert 0 <= balance < 40_000
    async with db.session(DataUse.PAYMENT) as session:
        revenue = await session.get(LedgerAccount, ledger_account_id(AccountKind.REVENUE))
    assert revenue is not None
    assert revenue.balance_microcredits == spent
