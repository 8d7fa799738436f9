"""A home's log against its own stores: whoever can write to the folder and to the data store makes no other history of it."""

import asyncio
import hashlib
import json
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, select, update

from governance import clock
from governance.datamap import DataUse, Store
from governance.errors import Conflict
from governance.evidence import own, pending
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.entry import Entry, EntryType, commitment
from governance.evidence.folder import Staged
from governance.evidence.log import KEY, Log
from governance.evidence.note import NoteKey
from governance.evidence.pending import DataEvidence, DataEvidenceState
from governance.evidence.verify import Report
from tests.governance.evidence.conftest import Stores
from tests.governance.evidence.test_log import add
from tests.governance.evidence.test_rebuild import remember
from tests.services.old_copy import OldCopy

FORGER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a forger of the tests").digest())


async def checked(log: Log) -> Report:
    report = await own.check(log)
    assert report is not None
    return report


async def what_is_wrong(log: Log) -> str:
    return "\n".join(each.what for each in (await checked(log)).findings)


async def filled(stores: Stores, log: Log) -> None:
    for _ in range(3):
        await add(stores[0], 2)
        await add(stores[1].db)
        await log.advance()


async def forged(stores: Stores, log: Log) -> None:
    """Another history with one entry less, of which everything fits but who signed it: folder, rows and positions."""
    log_id, origin = log.folder.log_id, log.folder.origin
    assert log_id is not None and origin is not None
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DataEvidence).where(DataEvidence.position == 4))
        for position in range(5, 9):
            row = update(DataEvidence).where(DataEvidence.position == position)
            await session.execute(row.values(position=position - 1))
    async with stores[1].db.transaction(DataUse.SECURITY) as session:  # more than the forger has: it doesn't help
        table = pending.KeysEvidence
        for position in range(5, 9):
            await session.execute(update(table).where(table.position == position).values(position=position - 1))
    rows = [
        each
        for store, db in zip(Store, (stores[0], stores[1].db), strict=True)
        for each in await pending.opened(store, db)
    ]
    leaves = [commitment(each.salt, each.entry) for each in sorted(rows, key=lambda each: each.position)]
    shutil.rmtree(log.folder.path)
    with log.folder.alone():
        log.folder.begin(log_id, origin)
        log.folder.add_key(NoteKey(origin, FORGER.public_key().public_bytes_raw()))
        log.folder.tiles.extend(0, leaves)
        head = Checkpoint(origin, len(leaves), log.folder.tiles.root(len(leaves))).signed(FORGER)
        log.folder.publish(head)
    await remember(stores, str(head), Store.DATA)


async def test_nothing_is_signed_that_follows_another_history(stores: Stores, log: Log) -> None:
    await filled(stores, log)
    assert await what_is_wrong(log) == ""
    await forged(stores, log)
    await add(stores[0])
    with pytest.raises(Conflict, match="isn't signed with the key"):
        await log.advance()
    wrong = await what_is_wrong(log)
    assert "lists a verifier key that isn't the log's" in wrong and "No known key signed it" in wrong
    assert "What the data store remembers of the transparency log isn't what was signed" in wrong


async def test_a_key_that_somebody_added_to_the_folder_is_found(stores: Stores, log: Log) -> None:
    await filled(stores, log)
    with log.folder.alone():
        log.folder.add_key(NoteKey(log.folder.origin or "", FORGER.public_key().public_bytes_raw()))
    assert "lists a verifier key that isn't the log's" in await what_is_wrong(log)


async def test_another_origin_signs_nothing(stores: Stores, log: Log) -> None:
    await filled(stores, log)
    path = log.folder.path / "origin"
    path.write_text(path.read_text().replace("log.example.com/t", "log.example.org/t"))
    await add(stores[0])
    with pytest.raises(Conflict):
        await log.advance()
    assert await what_is_wrong(log) != ""


async def test_a_store_that_remembers_something_else_signs_nothing(stores: Stores, log: Log) -> None:
    """A root that we never published, signed with our own key: as a copy of the log that went on elsewhere would be."""
    await filled(stores, log)
    origin = log.folder.origin or ""
    elsewhere = Checkpoint(origin, 5, hashlib.sha256(b"elsewhere").digest()).signed(await log.signing_key())
    await remember(stores, str(elsewhere), Store.KEYS)
    with pytest.raises(Conflict, match="another transparency log"):
        await log.advance()
    assert "What the keys store remembers isn't a beginning of this log." in await what_is_wrong(log)


async def test_entries_that_were_deleted_arent_lost_by_a_restore(stores: Stores, log: Log) -> None:
    """With what the data store remembers put back to a checkpoint that everybody can read."""
    await filled(stores, log)
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DataEvidence).where(DataEvidence.position.in_([4, 6])))
    assert "The stores lack entries" in await what_is_wrong(log)
    await remember(stores, log.folder.raw_checkpoint(3).decode(), Store.DATA)
    await log.advance()
    report = await checked(log)
    assert report.lost == {4, 6}
    found = [(each.what, each.first) for each in report.findings]
    assert found == [("Entries of the data store were lost, and no `backup restore` of it is recorded.", 4)]
    # Nor does it help to write the entry that tells of a restore, in the store that one can write to.
    async with stores[0].transaction(DataUse.SECURITY) as session:
        detail = {"store": Store.DATA, "backup": hashlib.sha256(b"no backup").digest()}
        await pending.record(session, EntryType.STORE_RESTORED, detail=detail)
    await log.advance()
    assert [each.what for each in (await checked(log)).findings] == [what for what, _ in found]


@pytest.mark.parametrize("both", [False, True], ids=["one store", "both stores, one after the other"])
async def test_a_restore_that_says_so_in_the_other_store_has_lost_them(stores: Stores, log: Log, both: bool) -> None:
    data, keys = stores
    await keys.service_key(KEY)
    await filled(stores, log)
    databases = {Store.DATA: data, Store.KEYS: keys.db}
    copies = {store: OldCopy(db, store) for store, db in databases.items()}
    for copy in copies.values():
        await copy.take()
    await filled(stores, log)
    for store, other in ((Store.DATA, keys.db), (Store.KEYS, data)):
        if store is Store.DATA or both:
            await copies[store].put_back()
            keys.forget()
            async with other.transaction(DataUse.SECURITY) as session:
                detail = {"store": store, "backup": hashlib.sha256(store.encode()).digest()}
                await pending.record(session, EntryType.STORE_RESTORED, detail=detail)
            await log.advance()
    report = await checked(log)
    assert report.findings == [] and len(report.lost) == (10 if both else 6)
    # What allowed that one allows no other.
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DataEvidence).where(DataEvidence.position == 1))
    await remember(stores, log.folder.raw_checkpoint(3).decode(), Store.DATA)
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(update(DataEvidenceState).values(checkpoint=""))
    await log.advance()
    assert "no `backup restore` of it" in await what_is_wrong(log)


@pytest.mark.parametrize("marked", [0, 1])
async def test_a_kill_between_publication_and_memory_is_no_false_alarm(
    stores: Stores, log: Log, monkeypatch: pytest.MonkeyPatch, marked: int
) -> None:
    await filled(stores, log)
    await add(stores[0])
    await add(stores[1].db)
    real, calls = log._mark, iter(range(9))

    async def dies(*arguments: object) -> None:
        if next(calls) == marked:
            raise OSError
        await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(log, "_mark", dies)
    with pytest.raises(OSError, match=r"^$"):
        await log.advance()
    report = await checked(log)
    assert report.findings == [] and report.size == report.opened == 11


async def test_beside_a_service_that_writes_there_is_no_false_alarm(stores: Stores, log: Log) -> None:
    async def writes() -> None:
        for _ in range(30):
            await add(stores[0])
            await add(stores[1].db)
            await log.advance()

    reader = Log(log.folder.path, *stores)
    await add(stores[0])
    await log.advance()
    task, looked = asyncio.ensure_future(writes()), 0
    try:
        while not task.done():
            assert await what_is_wrong(reader) == ""
            looked += 1
            await asyncio.sleep(0)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert looked > 2


async def test_an_entry_that_somebody_else_put_into_the_store_is_never_taken_in(
    stores: Stores, log: Log, event_log: Path
) -> None:
    """However many there are, and before those that are ours."""
    await filled(stores, log)
    detail = {"version": "privacy/2026-03", "statement": "2.6", "controls": [], "row": "00" * 32}
    forged = [Entry(UUID(int=n), clock.now(), EntryType.PROMISE_BOUND, detail) for n in range(1, 600)]
    async with stores[0].engine.begin() as connection:
        row = {"position": None, "salt": b"s" * 32, "mac": b"m" * 32}
        await connection.execute(
            DataEvidence.__table__.insert(), [row | {"id": each.id, "entry": each.canonical} for each in forged]
        )
    [ours] = await add(stores[0])
    for _ in range(2):
        done = await log.advance()
    assert done is not None and done.size == 10
    given = await pending.opened(Store.DATA, stores[0])
    assert given[-1].id == ours and not {each.id for each in forged} & {each.id for each in given}
    report = await checked(log)
    assert len(report.findings) == 599 and "wasn't recorded by this service" in report.findings[0].what
    assert [json.loads(line)["event"] for line in event_log.read_text().splitlines()] == ["evidence:entry:forged"] * 1


async def test_a_batch_that_somebody_else_staged_is_never_published(stores: Stores, log: Log) -> None:
    """Nor is one of ours, put back or changed."""
    await filled(stores, log)
    await add(stores[0])
    batch = await log._stage()
    assert batch is not None
    ours = (log.folder.path / "staged").read_bytes()
    leaf = json.loads(ours)["rows"][0][2]
    for wrong in (
        ours.replace(leaf.encode(), b"00" * 32),
        ours.replace(b'"first": 9', b'"first": 8'),
        Staged(9, ((Store.DATA, uuid4(), b"x" * 32),)).encoded(b"k" * 32),
        b"{}",
    ):
        assert wrong != ours
        (log.folder.path / "staged").write_bytes(wrong)
        with pytest.raises(Conflict, match="isn't ours"):
            await log.advance()
    (log.folder.path / "staged").write_bytes(ours)
    done = await log.advance()
    assert done is not None and done.size == 10
    (log.folder.path / "staged").write_bytes(ours)  # once more: it has its end already
    done = await log.advance()
    assert done is not None and done.size == 10
    await add(stores[0])
    await log.advance()
    (log.folder.path / "staged").write_bytes(ours)
    with pytest.raises(Conflict, match="don't fit"):
        await log.advance()
    assert log.folder.sizes()[-1] == 11


@pytest.mark.parametrize("position", [None, -1, 10**9])
async def test_a_position_that_was_taken_away_or_cant_be_is_found(
    stores: Stores, log: Log, position: int | None
) -> None:
    """Also of an entry that waits: it would never be published."""
    await filled(stores, log)
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(update(DataEvidence).where(DataEvidence.position == 1).values(position=position))
    assert (1, 2) in [(each.first, each.end) for each in (await checked(log)).findings]
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(update(DataEvidence).where(DataEvidence.position == position).values(position=1))
    [waits] = await add(stores[0])
    if position is not None:
        assert await what_is_wrong(log) == ""
        async with stores[0].transaction(DataUse.SECURITY) as session:
            await session.execute(update(DataEvidence).where(DataEvidence.id == waits).values(position=position))
        assert f"for {position}" in await what_is_wrong(log)


async def test_what_a_store_lacks_is_found_while_other_entries_wait(stores: Stores, log: Log) -> None:
    await filled(stores, log)
    await add(stores[0])
    async with stores[0].transaction(DataUse.SECURITY) as session:
        gone = await session.scalar(select(DataEvidence.id).where(DataEvidence.position == 7))
        await session.execute(delete(DataEvidence).where(DataEvidence.id == gone))
    report = await checked(log)
    assert [(each.first, each.end) for each in report.findings] == [(7, 8)]


async def test_nothing_published_is_nothing_to_check_and_a_lost_folder_is_a_finding(stores: Stores, log: Log) -> None:
    assert await own.check(log) is None
    await filled(stores, log)
    shutil.rmtree(log.folder.path)
    assert "it was lost" in await what_is_wrong(log)
