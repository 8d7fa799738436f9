"""Every settled record is posted once, whatever is lost, repeated, torn or erased on the way."""

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from governance import clock
from governance.datamap import METADATA, DataUse, Store
from governance.db import Database
from governance.vault.envelope import Key
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from router.billing import journal, lease, ledger, usage_log
from router.billing.commit import Committer
from router.billing.journal import JournalWriter
from router.billing.lease import Holder
from router.billing.ledger import AccountKind, LedgerAccount, ledger_account_id
from router.billing.meter_event import MeterEvent
from router.billing.usage_log import Usage
from tests.router.billing.book import Customer, Flaky, customer

GRANT = 1000


class Desk:
    """A process's side without a purse: a lease, a journal, and events settled by hand."""

    def __init__(self, db: Database, keys: KeyStore, folder: Path, made: Customer, money_key: Key) -> None:
        self.db, self.keys, self.folder, self.made, self.money_key = db, keys, folder, made, money_key
        self.process_id = uuid4()
        self.writer = JournalWriter(folder, self.process_id)
        self.lease_id = uuid4()
        self.settled: list[MeterEvent] = []

    async def take(self, amount: int) -> None:
        async with self.db.transaction(DataUse.PAYMENT) as session:
            holder = Holder(self.process_id, self.writer.folder_id)
            found = await lease.hold(session, self.lease_id, self.made.account_id, holder, required=amount, spare=0)
        assert found.amount == amount

    def settle(self, charge: int, **changes: object) -> MeterEvent:
        event = self.made.event(charge, **changes)
        self.writer.append(journal.seal_record(event, self.lease_id, self.money_key, self.made.key))
        self.settled.append(event)
        return event

    def die(self) -> None:
        self.writer.close(remove=False)

    async def books(self) -> tuple[int, int, int]:
        """(the customer's balance, revenue, usage rows), after the whole book was added up again."""
        async with self.db.session(DataUse.PAYMENT) as session:
            assert (await ledger.verify(session)).ok
            assert await lease.differences(session) == []
            revenue = await session.get(LedgerAccount, ledger_account_id(AccountKind.REVENUE))
            rows = await session.scalar(select(func.count()).select_from(Usage))
            assert revenue is not None
            return await ledger.balance(session, self.made.account_id), revenue.balance_microcredits, int(rows or 0)


@pytest.fixture
async def desk(db: Database, keys: KeyStore, folder: Path) -> Desk:
    made = await customer(db, keys, GRANT)
    desk = Desk(db, keys, folder, made, await keys.service_key(journal.MONEY_KEY))
    await desk.take(500)
    return desk


def named(path: Path, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


async def test_own_records_become_postings_and_usage(desk: Desk) -> None:
    committer = Committer(desk.db, desk.keys, desk.folder, batch=2)
    for charge in (100, 50, 0):
        desk.settle(charge)
    first = await committer.commit_own(desk.writer)
    second = await committer.commit_own(desk.writer)
    assert (first.records, second.records, (await committer.commit_own(desk.writer)).records) == (2, 1, 0)
    assert first.leases[desk.lease_id].records == 2
    assert await desk.books() == (GRANT - 150, 150, 3)
    async with desk.db.session(DataUse.SECURITY) as session:
        rows = await usage_log.list_usage(session, desk.made.account_id)
        assert {row.id for row in rows} == {event.request_id for event in desk.settled}
        for row in rows:
            assert row.ip is not None
            assert await row.ip.open(DataUse.SECURITY) == desk.settled[0].ip
    # The open segment stays, a finished one goes.
    assert len(list(desk.folder.glob("*.journal"))) == 1
    desk.writer.rotate()
    await committer.commit_own(desk.writer)
    assert list(desk.folder.glob("*.journal")) == []
    desk.die()


async def test_what_exceeds_the_lease_is_paid_by_the_balance(desk: Desk) -> None:
    committer = Committer(desk.db, desk.keys, desk.folder)
    desk.settle(480)
    desk.settle(900)
    done = await committer.commit_own(desk.writer)
    assert done.leases[desk.lease_id].excess_microcredits == 880
    assert await desk.books() == (GRANT - 1380, 1380, 2)
    desk.die()
    adopted = await committer.adopt_orphans()
    assert (adopted.processes, adopted.returned_microcredits) == (1, 0)
    assert await desk.books() == (GRANT - 1380, 1380, 2)


@pytest.mark.parametrize("fault", ["lose", "misreport"])
@pytest.mark.parametrize("step", range(4))
async def test_adoption_survives_a_failure_at_every_transaction(
    desk: Desk, flaky: Flaky, fault: str, step: int
) -> None:
    """Each step fails twice: lost, and done but reported as failed. The next adopter goes through the same code."""
    for charge in (100, 50, 7):
        desk.settle(charge)
    desk.die()
    committer = Committer(flaky, desk.keys, desk.folder, batch=2)
    failures = 0
    real = Flaky.transaction

    def armed(self: Flaky, use: DataUse) -> object:
        if self.transactions == step and not failures:
            setattr(self, fault, 1)
        return real(self, use)

    flaky.transaction = armed.__get__(flaky)  # type: ignore[method-assign]
    try:
        await committer.adopt_orphans()
    except OperationalError:
        failures += 1
    assert failures == 1
    await committer.adopt_orphans()
    assert await desk.books() == (GRANT - 157, 157, 3)
    async with desk.db.session(DataUse.PAYMENT) as session:
        assert await lease.open_of(session, desk.process_id) == []
    assert [path.name for path in desk.folder.iterdir()] == ["folder.id"]


@pytest.mark.parametrize("fault", ["lose", "misreport"])
async def test_an_own_commit_that_fails_is_repeated_to_the_same_end(desk: Desk, flaky: Flaky, fault: str) -> None:
    committer = Committer(flaky, desk.keys, desk.folder)
    desk.settle(100)
    desk.settle(700)
    setattr(flaky, fault, 1)
    with pytest.raises(OperationalError):
        await committer.commit_own(desk.writer)
    assert (await committer.commit_own(desk.writer)).records == 2
    assert await desk.books() == (GRANT - 800, 800, 2)
    desk.die()


async def test_a_segment_that_comes_back_is_posted_once(desk: Desk) -> None:
    """A loss of power may undo the deletion of a committed segment."""
    committer = Committer(desk.db, desk.keys, desk.folder)
    desk.settle(100)
    desk.settle(0)
    (path,) = desk.folder.glob("*.journal")
    content = path.read_bytes()
    desk.die()
    await committer.adopt_orphans()
    path.write_bytes(content)
    adopted = await committer.adopt_orphans()
    assert adopted.records == 2
    assert await desk.books() == (GRANT - 100, 100, 2)


async def test_a_living_process_is_not_adopted(desk: Desk) -> None:
    desk.settle(100)
    adopted = await Committer(desk.db, desk.keys, desk.folder).adopt_orphans()
    assert (adopted.processes, adopted.records, adopted.returned_microcredits) == (0, 0, 0)
    assert (await desk.books())[1] == 0
    desk.die()


async def test_leases_of_a_dead_process_without_any_file_are_returned(desk: Desk) -> None:
    desk.die()
    for path in desk.folder.glob(f"{desk.process_id}*"):
        path.unlink()
    adopted = await Committer(desk.db, desk.keys, desk.folder).adopt_orphans()
    assert adopted.returned_microcredits == 500
    async with desk.db.session(DataUse.PAYMENT) as session:
        assert await lease.open_of(session, desk.process_id) == []


async def test_another_machine_s_leases_are_returned_by_age_and_a_late_charge_still_counts(
    desk: Desk, tmp_path: Path
) -> None:
    elsewhere = Committer(desk.db, desk.keys, tmp_path / "other machine", lease_ttl_s=600)
    assert (await elsewhere.adopt_orphans()).returned_microcredits == 0
    now = clock.now()
    clock.install(lambda: now + timedelta(seconds=601))
    try:
        assert (await elsewhere.adopt_orphans()).returned_microcredits == 500
    finally:
        clock.install(None)
    desk.settle(30)
    done = await Committer(desk.db, desk.keys, desk.folder).commit_own(desk.writer)
    assert done.leases[desk.lease_id].excess_microcredits == 30
    assert await desk.books() == (GRANT - 30, 30, 1)
    desk.die()


async def test_replay_after_an_erasure_posts_the_money_and_drops_the_rest(desk: Desk) -> None:
    desk.settle(100)
    desk.die()
    assert desk.made.subject_id is not None
    await desk.keys.erase_subject(desk.made.subject_id)
    await Committer(desk.db, desk.keys, desk.folder).adopt_orphans()
    assert await desk.books() == (GRANT - 100, 100, 0)


async def test_a_request_settled_twice_with_other_charges_is_posted_once_and_said(desk: Desk, event_log: Path) -> None:
    first = desk.settle(100)
    committer = Committer(desk.db, desk.keys, desk.folder)
    desk.settle(70, request_id=first.request_id)
    await committer.commit_own(desk.writer)
    desk.settle(60, request_id=first.request_id)
    await committer.commit_own(desk.writer)
    assert await desk.books() == (GRANT - 100, 100, 1)
    said = [line["request"] for line in named(event_log, "ledger:charge:conflict")]
    assert said == [str(first.request_id)] * 2
    desk.die()


async def test_records_under_an_unknown_money_key_are_kept_aside(desk: Desk, event_log: Path) -> None:
    event = desk.made.event(40)
    desk.writer.append(journal.seal_record(event, desk.lease_id, Key(uuid4(), b"x" * 32), desk.made.key))
    desk.settle(100)
    desk.die()
    await Committer(desk.db, desk.keys, desk.folder).adopt_orphans()
    assert await desk.books() == (GRANT - 100, 100, 1)
    assert len(list(desk.folder.glob("*.unreadable"))) == 1
    assert [line["records"] for line in named(event_log, "journal:record:unreadable")] == [1]


async def test_an_orphan_s_allocated_room_is_no_record_and_no_damage(desk: Desk, event_log: Path) -> None:
    """SIGKILL leaves the blocks behind the last record, and segments that nothing was written to yet."""
    desk.writer.make_room()
    while desk.writer.promise():
        pass
    desk.settle(100)
    desk.writer.make_room()
    used, unused = sorted(desk.folder.glob("*.journal"), key=lambda path: path.stem)
    assert used.stat().st_blocks * 512 >= desk.writer.segment_bytes and unused.stat().st_size == 0
    os.close(desk.writer._lock)  # all that a kill does to the folder
    adopted = await Committer(desk.db, desk.keys, desk.folder).adopt_orphans()
    assert (adopted.records, adopted.returned_microcredits) == (1, 400)
    assert await desk.books() == (GRANT - 100, 100, 1)
    assert named(event_log, "journal:tail:truncated") == []
    assert [path.name for path in desk.folder.iterdir()] == ["folder.id"]


async def test_a_torn_tail_is_counted_and_said(desk: Desk, event_log: Path) -> None:
    desk.settle(100)
    (path,) = desk.folder.glob("*.journal")
    whole = path.stat().st_size
    desk.settle(50)
    desk.die()
    os.truncate(path, path.stat().st_size - 1)
    rest = path.stat().st_size - whole
    await Committer(desk.db, desk.keys, desk.folder).adopt_orphans()
    assert await desk.books() == (GRANT - 100, 100, 1)
    said = [(line["records_kept"], line["bytes_dropped"]) for line in named(event_log, "journal:tail:truncated")]
    assert said == [(1, rest)]


async def test_damage_in_the_own_open_segment_moves_on_to_another(desk: Desk, event_log: Path) -> None:
    committer = Committer(desk.db, desk.keys, desk.folder)
    desk.settle(100)
    (path,) = desk.folder.glob("*.journal")
    whole = path.stat().st_size
    desk.settle(50)
    with path.open("r+b") as file:
        file.seek(whole + 40)
        file.write(b"\xff\xff\xff")
    assert (await committer.commit_own(desk.writer)).records == 1
    assert (await committer.commit_own(desk.writer)).lost == 1
    desk.settle(7)
    assert (await committer.commit_own(desk.writer)).records == 1
    assert await desk.books() == (GRANT - 107, 107, 2)
    assert len(named(event_log, "journal:tail:truncated")) == 1
    desk.die()


async def test_an_account_never_granted_anything_can_still_be_charged(
    db: Database, keys: KeyStore, folder: Path
) -> None:
    made = await customer(db, keys, 0)
    desk = Desk(db, keys, folder, made, await keys.service_key(journal.MONEY_KEY))
    desk.settle(9)
    await Committer(db, keys, folder).commit_own(desk.writer)
    assert await desk.books() == (-9, 9, 1)
    desk.die()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_anywhere_loses_the_tail_alone(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Through files and the real replay, on SQLite: what lies whole before the cut is posted, all else is returned."""

    async def run(folder: Path) -> None:
        db, keys_db = Database(f"sqlite+aiosqlite:///{folder}/d.db"), Database(f"sqlite+aiosqlite:///{folder}/k.db")
        for database, store in ((db, Store.DATA), (keys_db, Store.KEYS)):
            async with database.engine.begin() as connection:
                await connection.run_sync(METADATA[store].create_all)
        keys = KeyStore(keys_db, FileKeyring.create(folder / "root.key"))
        db.context["keys"] = keys
        made = await customer(db, keys, GRANT)
        desk = Desk(db, keys, folder / "journal", made, await keys.service_key(journal.MONEY_KEY))
        await desk.take(500)
        ends, charges = [0], (100, 50, 7)
        for charge in charges:
            desk.settle(charge)
            ends.append(next(desk.folder.glob("*.journal")).stat().st_size)
        desk.die()
        cut = data.draw(st.integers(0, ends[-1]))
        os.truncate(next(desk.folder.glob("*.journal")), cut)
        await Committer(db, keys, desk.folder).adopt_orphans()
        kept = sum(charge for charge, end in zip(charges, ends[1:], strict=True) if end <= cut)
        balance, revenue, rows = await desk.books()
        assert (balance, revenue, rows) == (GRANT - kept, kept, sum(end <= cut for end in ends[1:]))
        await db.aclose()
        await keys_db.aclose()

    asyncio.run(run(tmp_path_factory.mktemp("cut")))
