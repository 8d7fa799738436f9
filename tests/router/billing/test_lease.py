"""Leases take targets: a repeated step moves nothing more, and the leased side equals what open leases hold."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from router.billing import lease, ledger
from router.billing.lease import Hold, Holder, Lease
from router.billing.ledger import CREDIT

HOLDER = Holder(uuid4(), uuid4())


async def granted(db: Database, amount: int) -> tuple[UUID, UUID]:
    account_id = uuid4()
    async with db.transaction(DataUse.PAYMENT) as session:
        await ledger.grant(session, account_id, amount, str(account_id))
    return account_id, uuid4()


async def check(db: Database) -> None:
    async with db.session(DataUse.PAYMENT) as session:
        assert (await ledger.verify(session)).ok
        assert await lease.differences(session) == []


async def test_hold_takes_what_is_needed_and_a_bounded_spare(db: Database) -> None:
    account_id, lease_id = await granted(db, 8 * CREDIT)
    async with db.transaction(DataUse.PAYMENT) as session:
        first = await lease.hold(session, lease_id, account_id, HOLDER, required=100, spare=CREDIT)
        assert first.amount == CREDIT + 100
        # Held already: nothing moves, however often it is repeated.
        assert await lease.hold(session, lease_id, account_id, HOLDER, required=100, spare=CREDIT) == Hold(CREDIT + 100)
    async with db.transaction(DataUse.PAYMENT) as session:
        found = await lease.hold(session, lease_id, account_id, HOLDER, required=8 * CREDIT - 4, spare=CREDIT)
        # 4 micro-credits are left over: the spare is what is there.
        assert found.amount == 8 * CREDIT
    few, other = await granted(db, 1000)
    async with db.transaction(DataUse.PAYMENT) as session:
        assert (await lease.hold(session, other, few, HOLDER, required=100, spare=CREDIT)).amount == 100 + 250
    await check(db)


async def test_too_few_says_what_other_leases_hold_and_takes_nothing(db: Database) -> None:
    account_id, lease_id = await granted(db, 1000)
    async with db.transaction(DataUse.PAYMENT) as session:
        await lease.hold(session, lease_id, account_id, HOLDER, required=400, spare=0)
        found = await lease.hold(session, uuid4(), account_id, Holder(uuid4(), uuid4()), required=601, spare=CREDIT)
        assert found == Hold(None, available=600, elsewhere=400)
        unknown = await lease.hold(session, uuid4(), uuid4(), HOLDER, required=1, spare=CREDIT)
        assert unknown == Hold(None)
    async with db.session(DataUse.PAYMENT) as session:
        assert await ledger.balance(session, account_id) == 1000
    await check(db)


async def test_shrink_draw_and_close(db: Database) -> None:
    account_id, lease_id = await granted(db, 1000)
    async with db.transaction(DataUse.PAYMENT) as session:
        await lease.hold(session, lease_id, account_id, HOLDER, required=900, spare=0)
    async with db.transaction(DataUse.PAYMENT) as session:
        for _ in range(2):
            assert await lease.shrink(session, {lease_id: 500, uuid4(): 3}) == {lease_id: 500}
        # Never up, and never below what charges have left.
        assert await lease.shrink(session, {lease_id: 700}) == {lease_id: 500}
    await check(db)
    async with db.transaction(DataUse.PAYMENT) as session:
        for _ in range(2):
            assert await lease.close(session, [lease_id, uuid4()]) in (500, 0)
        assert await lease.draw(session, {lease_id: 10}) == {}
        assert (await lease.hold(session, lease_id, account_id, HOLDER, required=1, spare=0)).closed
        assert await lease.shrink(session, {lease_id: 0}) == {}
    async with db.session(DataUse.PAYMENT) as session:
        assert await ledger.balance(session, account_id) == 1000
    await check(db)


async def test_draw_pays_no_more_than_remains(db: Database) -> None:
    account_id, lease_id = await granted(db, 1000)
    async with db.transaction(DataUse.PAYMENT) as session:
        await lease.hold(session, lease_id, account_id, HOLDER, required=100, spare=0)
        assert await lease.draw(session, {lease_id: 60}) == {lease_id: 60}
        assert await lease.draw(session, {lease_id: 60}) == {lease_id: 40}
        assert await lease.draw(session, {lease_id: 60}) == {lease_id: 0}
        # Nothing remains, so nothing can be given back.
        assert await lease.shrink(session, {lease_id: 0}) == {lease_id: 100}


async def test_differences_finds_a_lease_that_its_side_does_not_cover(db: Database) -> None:
    account_id, lease_id = await granted(db, 1000)
    async with db.transaction(DataUse.PAYMENT) as session:
        await lease.hold(session, lease_id, account_id, HOLDER, required=100, spare=0)
        await session.execute(update(Lease).where(Lease.id == lease_id).values(remaining=99))
    async with db.session(DataUse.PAYMENT) as session:
        assert await lease.differences(session) == [(account_id, 100, 99)]


async def test_renewing_keeps_leases_from_ageing_and_only_other_folders_age(db: Database) -> None:
    account_id, lease_id = await granted(db, 1000)
    now = clock.now()
    try:
        async with db.transaction(DataUse.PAYMENT) as session:
            await lease.hold(session, lease_id, account_id, HOLDER, required=100, spare=0)
        clock.install(lambda: now + timedelta(minutes=30))
        async with db.transaction(DataUse.PAYMENT) as session:
            limit = clock.now() - timedelta(minutes=10)
            assert await lease.aged(session, uuid4(), limit) == [lease_id]
            assert await lease.aged(session, HOLDER.folder_id, limit) == []
            assert await lease.renew(session, HOLDER.process_id) == {lease_id}
            assert await lease.aged(session, uuid4(), limit) == []
            assert await lease.holders(session, HOLDER.folder_id) == {HOLDER.process_id}
            assert await lease.open_of(session, HOLDER.process_id) == [lease_id]
            await lease.close(session, [lease_id])
            assert await lease.renew(session, HOLDER.process_id) == set()
            assert await lease.holders(session, HOLDER.folder_id) == set()
    finally:
        clock.install(None)


@pytest.mark.parametrize("required", [0, 5])
async def test_a_failed_hold_leaves_nothing(db: Database, required: int) -> None:
    account_id, lease_id = await granted(db, 1000)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction(DataUse.PAYMENT) as session:
            await lease.hold(session, lease_id, account_id, HOLDER, required=required, spare=7)
            raise ZeroDivisionError
    async with db.session(DataUse.PAYMENT) as session:
        assert await lease.open_of(session, HOLDER.process_id) == []
    await check(db)
