"""The book balances, posts once, and its check finds what doesn't."""

from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update

from governance.datamap import DataUse
from governance.db import Database
from governance.errors import Conflict, NotFound
from router.billing import ledger
from router.billing.ledger import CREDIT, AccountKind, EntryKind, LedgerAccount, LedgerEntry, Posting, ledger_account_id


async def test_a_grant_has_its_counter_entry_and_counts_once(db: Database) -> None:
    account_id = uuid4()
    async with db.transaction(DataUse.PAYMENT) as session:
        assert await ledger.grant(session, account_id, 5 * CREDIT, "demo-1", EntryKind.DEMO)
        assert await ledger.grant(session, account_id, 2 * CREDIT, "paid-1")
    async with db.transaction(DataUse.PAYMENT) as session:
        assert not await ledger.grant(session, account_id, 2 * CREDIT, "paid-1")
    async with db.session(DataUse.PAYMENT) as session:
        assert await ledger.balance(session, account_id) == 7 * CREDIT
        assert await ledger.lifetime_top_up(session, account_id) == 2 * CREDIT
        assert await ledger.balance(session, uuid4()) == 0
        check = await ledger.verify(session)
        funding = await session.get(LedgerAccount, ledger_account_id(AccountKind.FUNDING))
    assert check.ok
    assert (check.entries, check.postings) == (2, 4)
    assert funding is not None
    assert funding.balance_microcredits == -7 * CREDIT


async def test_the_same_key_with_other_input_is_a_conflict(db: Database) -> None:
    account_id = uuid4()
    async with db.transaction(DataUse.PAYMENT) as session:
        await ledger.grant(session, account_id, CREDIT, "k")
    for amount, reason, owner in (
        (2 * CREDIT, EntryKind.TOP_UP, account_id),
        (CREDIT, EntryKind.DEMO, account_id),
        (CREDIT, EntryKind.TOP_UP, uuid4()),
    ):
        with pytest.raises(Conflict):
            async with db.transaction(DataUse.PAYMENT) as session:
                await ledger.grant(session, owner, amount, "k", reason)
    async with db.session(DataUse.PAYMENT) as session:
        assert await ledger.balance(session, account_id) == CREDIT
        assert (await ledger.verify(session)).entries == 1


async def test_postings_that_do_not_balance_never_reach_the_database(db: Database) -> None:
    side, other = ledger_account_id(AccountKind.FUNDING), ledger_account_id(AccountKind.REVENUE)
    bad: list[list[tuple[object, object]]] = [
        [(side, 1), (other, -2)],
        [(side, 0), (other, 0)],
        [(side, 1.0), (other, -1.0)],
        [(side, True), (other, -1)],
        [(side, 2**63), (other, -(2**63))],
        [],
    ]
    for postings in bad:
        with pytest.raises(ValueError, match="posting"):
            async with db.transaction(DataUse.PAYMENT) as session:
                await ledger.post(session, "bad", EntryKind.CORRECTION, postings)  # type: ignore[arg-type]
    async with db.session(DataUse.PAYMENT) as session:
        assert (await ledger.verify(session)).entries == 0


async def test_a_side_that_is_not_open_is_not_found(db: Database) -> None:
    lines = [(ledger_account_id(AccountKind.CUSTOMER, uuid4()), 1), (ledger_account_id(AccountKind.FUNDING), -1)]
    with pytest.raises(NotFound):
        async with db.transaction(DataUse.PAYMENT) as session:
            await ledger.post(session, "k", EntryKind.CORRECTION, lines)


async def test_a_failed_transaction_moves_nothing(db: Database) -> None:
    account_id = uuid4()
    with pytest.raises(ZeroDivisionError):
        async with db.transaction(DataUse.PAYMENT) as session:
            await ledger.grant(session, account_id, CREDIT, "k")
            raise ZeroDivisionError
    async with db.session(DataUse.PAYMENT) as session:
        assert await ledger.balance(session, account_id) == 0
        assert (await ledger.verify(session)).postings == 0


async def test_no_key_rests_in_clear(db: Database) -> None:
    async with db.transaction(DataUse.PAYMENT) as session:
        await ledger.grant(session, uuid4(), CREDIT, "cs_live_canary")
    async with db.session(DataUse.PAYMENT) as session:
        stored = await session.scalar(select(LedgerEntry.idempotency_key))
    assert stored == ledger.key_hash("grant:cs_live_canary")
    assert b"canary" not in stored


async def test_verify_finds_what_is_wrong(db: Database) -> None:
    """The control's failures: a balance changed alone, a posting changed, a posting gone."""
    account_id = uuid4()
    customer = ledger_account_id(AccountKind.CUSTOMER, account_id)
    async with db.transaction(DataUse.PAYMENT) as session:
        await ledger.grant(session, account_id, CREDIT, "k")

    async def broken(*statements: object) -> ledger.LedgerCheck:
        async with db.session(DataUse.PAYMENT) as session:
            for statement in statements:
                await session.execute(statement)  # type: ignore[call-overload]
            check = await ledger.verify(session)
            await session.rollback()
            return check

    assert (await broken()).ok
    check = await broken(
        update(LedgerAccount).where(LedgerAccount.id == customer).values(balance_microcredits=CREDIT + 1)
    )
    assert not check.ok
    assert check.wrong_balances == ((customer, CREDIT + 1, CREDIT),)
    check = await broken(
        update(Posting).where(Posting.ledger_account_id == customer).values(amount_microcredits=CREDIT - 3)
    )
    assert not check.ok
    assert check.total_microcredits == -3
    assert [rest for _, rest in check.unbalanced_entries] == [-3]
    check = await broken(delete(Posting))
    assert check.total_microcredits == 0
    assert len(check.unbalanced_entries) == 1
    assert len(check.wrong_balances) == 2
