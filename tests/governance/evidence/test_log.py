"""The sequencer: order, restores of either store, folders that are old, foreign or changed; on SQLite and PostgreSQL."""

import asyncio
import json
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from governance import events
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import ConfigurationError, Conflict
from governance.evidence import event_log, own, pending, verify
from governance.evidence import log as sequencer
from governance.evidence.entry import EntryType, Opened, parse
from governance.evidence.log import KEY, Log
from governance.ids import uuid7
from governance.vault.keys import KeyStore
from tests.governance.evidence.conftest import Stores
from tests.services.old_copy import OldCopy


async def add(db: Database, number: int = 1) -> list[UUID]:
    """Entries, each in a transaction of its own; their ids."""
    found = []
    for _ in range(number):
        async with db.transaction(DataUse.SECURITY) as session:
            found.append(
                await pending.record(session, EntryType.INCIDENT_CLOSED, detail={"incident": uuid7(), "row": "0" * 64})
            )
    return found


async def add_at_once(db: Database, number: int) -> None:
    async with db.transaction(DataUse.SECURITY) as session:
        for _ in range(number):
            await pending.record(session, EntryType.INCIDENT_CLOSED, detail={"incident": uuid7(), "row": "0" * 64})


async def given(stores: Stores) -> list[Opened]:
    return await pending.opened(Store.DATA, stores[0]) + await pending.opened(Store.KEYS, stores[1].db)


async def judged(stores: Stores, log: Log) -> verify.Report:
    """The whole log, found to be right, with everything that the stores have."""
    report = await own.check(log)
    assert report is not None and [each for each in report.findings if "no `backup restore`" not in each.what] == []
    return report


async def test_entries_of_both_stores_get_positions_in_their_order(stores: Stores, log: Log) -> None:
    data, keys = stores
    ids = [each for _ in range(3) for each in await add(data) + await add(keys.db)]
    done = await log.advance()
    assert done is not None and (done.appended, done.size) == (6, 6)
    assert [each.id for each in sorted(await given(stores), key=lambda each: each.position)] == ids
    again = await log.advance()
    assert again is not None and (again.appended, again.size) == (0, 6)
    await add_at_once(data, 300)  # more than a batch
    done = await log.advance()
    assert done is not None and (done.appended, done.size) == (300, 306)
    report = await judged(stores, log)
    assert (report.opened, report.not_given, report.checkpoints) == (306, 0, 3)
    assert log.folder.sizes() == [6, 262, 306] and log.folder.origin == "log.example.com/t"


async def test_one_at_a_time(stores: Stores, log: Log) -> None:
    await add(stores[0])
    with log.folder.alone() as ours:
        assert ours and await log.advance() is None
    done = await log.advance()
    assert done is not None and done.appended == 1


@pytest.mark.parametrize("which", [Store.DATA, Store.KEYS])
async def test_after_a_restore_the_log_goes_on_and_says_what_was_lost(stores: Stores, log: Log, which: Store) -> None:
    data, keys = stores
    db, other = (data, keys.db) if which is Store.DATA else (keys.db, data)
    await keys.service_key(KEY)
    await add(db, 2)
    await add(other)
    await log.advance()
    (waiting,) = await add(db)
    copy = OldCopy(db, which)
    await copy.take()
    # After the copy: the one that waited gets its position, three of this store follow, and one of the other.
    await log.advance()
    await add(db, 2)
    await add(other)
    await add(db)
    await log.advance()
    before = log.folder.latest()
    assert before is not None and before[0].size == 8
    await copy.put_back()
    keys.forget()
    done = await log.advance()
    assert done is not None and (done.appended, done.size) == (1, 9)
    report = await judged(stores, log)
    assert (report.opened, report.not_given, report.lost) == (6, 3, {4, 5, 7})
    told = report.entries[-1] if report.entries[-1].type is EntryType.LOG_RESTORED else None
    told = told or next(entry for entry in report.entries if entry.type is EntryType.LOG_RESTORED)
    assert dict(told.detail) == {"store": which.value, "known": 3, "found": 8, "lost": [[4, 6], [7, 8]]}
    assert next(each.position for each in await given(stores) if each.id == waiting) == 3
    # It is said once, and the log is a continuation of what was published.
    again = await log.advance()
    assert again is not None and again.appended == 0


async def test_an_old_folder_signs_nothing(stores: Stores, log: Log, tmp_path: Path) -> None:
    await add(stores[0], 3)
    await log.advance()
    shutil.copytree(log.folder.path, tmp_path / "old")
    await add(stores[0])
    await log.advance()
    newest = tmp_path / "newest"
    log.folder.path.rename(newest)
    shutil.copytree(tmp_path / "old", log.folder.path)
    await add(stores[0])
    with pytest.raises(Conflict, match="older copy"):
        await log.advance()
    assert log.folder.sizes() == [3]
    shutil.rmtree(log.folder.path)
    with pytest.raises(Conflict, match="isn't in this folder"):
        await log.advance()
    shutil.rmtree(log.folder.path)
    newest.rename(log.folder.path)
    done = await log.advance()
    assert done is not None and done.size == 5
    await judged(stores, log)


async def test_a_folder_that_was_changed_signs_nothing(stores: Stores, log: Log) -> None:
    await add(stores[0], 3)
    await log.advance()
    tile = log.folder.path / "tile/0/000.p/3"
    good = tile.read_bytes()
    tile.write_bytes(good[:-1] + bytes((good[-1] ^ 1,)))
    await add(stores[0])
    with pytest.raises(Conflict, match="don't fit"):
        await log.advance()
    assert log.folder.sizes() == [3]
    tile.write_bytes(good)
    done = await log.advance()
    assert done is not None and done.size == 4
    (log.folder.path / "staged").write_text("[]")
    with pytest.raises(Conflict, match="staged"):
        await log.advance()


async def test_an_entry_that_lost_its_position_is_found_when_it_comes_twice(stores: Stores, log: Log) -> None:
    await add(stores[0], 3)
    await log.advance()
    async with stores[0].transaction(DataUse.SECURITY) as session:
        row = pending.DataEvidence
        await session.execute(update(row).where(row.position == 1).values(position=None))
    report = verify.folder(log.folder, given=await given(stores), complete=3)
    assert [(each.first, each.end) for each in report.findings] == [(1, 2)]
    await log.advance()
    report = verify.folder(log.folder, given=await given(stores), complete=4)
    assert {each.first for each in report.findings} == {1, 3}


async def test_an_origin_is_for_ever(stores: Stores, log: Log) -> None:
    await add(stores[0])
    await log.advance()
    log.check_origin()
    with pytest.raises(ConfigurationError, match="for ever"):
        Log(log.folder.path, *stores, "other.example.com").check_origin()
    for wrong in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(ConfigurationError):
            Log(log.folder.path.with_name("fresh"), *stores, wrong).check_origin()


async def test_another_signing_key_goes_on_where_the_settings_name_the_one_of_before(stores: Stores, log: Log) -> None:
    keys = stores[1]
    await add(stores[0])
    await log.advance()
    (old,) = log.folder.listed()
    await keys.destroy([(await keys.service_key(KEY)).id])
    with pytest.raises(Conflict, match="VALUEAPI_LOG_KEYS"):
        await log.advance()
    assert log.folder.sizes() == [1]
    log = Log(log.folder.path, *stores, "log.example.com/t", [old])
    done = await log.advance()
    assert done is not None and done.size == 2
    assert len(log.folder.listed()) == 2
    await judged(stores, log)


async def test_the_event_log_cant_lose_a_line_that_was_recorded(
    stores: Stores, log: Log, event_log_folder: Path
) -> None:
    for number in range(3):
        events.emit("test:line:written", {"number": number})
    assert await event_log.take_over(event_log_folder, stores[0]) == 1
    assert await event_log.take_over(event_log_folder, stores[0]) == 0
    # The segment is closed with a line that no entry knows yet, and another begins.
    events.emit("test:line:written", {"number": 3})
    (event_log_folder / "events.jsonl").rename(event_log_folder / "events-1.jsonl")
    events.emit("test:line:written", {"number": 4})
    assert await event_log.take_over(event_log_folder, stores[0]) == 2
    await log.advance()
    entries = [parse(each.entry) for each in await given(stores)]
    assert event_log.differences(event_log_folder, entries) == []
    file = event_log_folder / "events-1.jsonl"
    good = file.read_bytes()
    for bad in (
        good.replace(b'"number":2', b'"number":7'), b"".join(good.splitlines(keepends=True)[:-1]),
        b"".join(good.splitlines(keepends=True)[::-1]), b"",
    ):  # fmt: skip
        file.write_bytes(bad)
        assert event_log.differences(event_log_folder, entries)
    file.write_bytes(good)
    with (event_log_folder / "events.jsonl").open("a") as later:
        later.write(json.dumps({"event": "later"}) + "\n")
    assert event_log.differences(event_log_folder, entries) == []


@pytest.fixture
def event_log_folder(event_log: Path) -> Path:
    return event_log.parent


async def test_a_log_that_cant_be_written_is_said_once_and_goes_on(
    stores: Stores, log: Log, event_log_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "EVERY_S", 0.0)
    monkeypatch.setattr(sequencer, "_PAUSE_S", 0.0)
    staged = log.folder.path / "staged"
    staged.parent.mkdir(parents=True)
    staged.write_text("[]")
    await add(stores[0])
    running = asyncio.create_task(log.run())
    await asyncio.sleep(0.5)
    staged.unlink()
    for _ in range(400):
        if log.folder.sizes() == [1]:
            break
        await asyncio.sleep(0.05)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running  # before the stores are closed under it
    assert log.folder.sizes() == [1]
    assert [json.loads(line)["event"] for line in (event_log_folder / "events.jsonl").read_text().splitlines()] == [
        "evidence:log:stopped"
    ]


async def test_stores_of_another_log_are_refused(stores: Stores, log: Log, tmp_path: Path) -> None:
    keys: KeyStore = stores[1]
    await add(stores[0])
    await log.advance()
    elsewhere = Log(tmp_path / "elsewhere", stores[0], keys)
    elsewhere.folder.path.mkdir()
    elsewhere.folder.begin(uuid7(), "other")
    with pytest.raises(Conflict, match="another machine"):
        await elsewhere.advance()
