"""Who may open what: a purpose stated where work begins, counted, watched, and recorded where it is staff."""

import asyncio
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import DeclarationError, KeyGone, UseRefused
from governance.ids import uuid7
from governance.vault import envelope, openings, purpose
from governance.vault.keys import KeyStore
from governance.vault.openings import OpeningCount
from governance.vault.purpose import BULK_WORK, Actor, Bulk, Grant, grant, states, stating
from governance.vault.sealed import open_all, open_sealed
from governance.vault.staff_opening import Detail, StaffLog, StaffOpening
from tests.governance.vault import test_sealed
from tests.governance.vault.test_sealed import Note, load

Stores = tuple[Database, KeyStore]


@pytest.fixture(autouse=True)
def nothing_stated() -> Iterator[None]:
    """What the suite states for all other tests is put away."""
    token = purpose._current.set(None)
    yield
    purpose._current.reset(token)


async def add(stores: Stores, subject: UUID, words: str) -> Note:
    with stating(Actor.SYSTEM):
        return await test_sealed.add(stores, subject, words)


async def test_nothing_opens_where_no_purpose_was_stated(stores: Stores) -> None:
    note = await load(stores, (await add(stores, uuid7(), "words")).id)
    with pytest.raises(UseRefused, match="no purpose was stated"):
        await note.words.open(DataUse.SERVICE)
    with stating(Actor.PERSON, DataUse.SERVICE):
        assert await note.words.open(DataUse.SERVICE) == "words"
    with stating(Actor.PERSON, DataUse.AUTHENTICATION), pytest.raises(UseRefused, match="isn't what this work"):
        await note.words.open(DataUse.SERVICE)


async def test_a_purpose_covers_no_use_that_the_column_does_not_declare(stores: Stores) -> None:
    note = await add(stores, uuid7(), "words")
    with stating(Actor.PERSON, DataUse.ANALYTICS), pytest.raises(UseRefused, match="doesn't declare"):
        await note.words.open(DataUse.ANALYTICS)


async def test_the_gateway_opens_nothing(stores: Stores) -> None:
    note = await add(stores, uuid7(), "ada@example.org")
    with stating(Actor.GATEWAY, *DataUse), pytest.raises(UseRefused, match="opens nothing"):
        await note.words.open(DataUse.SERVICE)


async def test_a_person_s_key_is_handed_to_nobody_who_stated_nothing(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    key = await keys.create_subject_key(subject)
    for take in (
        lambda: keys.subject_key(subject),
        lambda: keys.key(key.id),
        lambda: keys.preload([subject]),
    ):
        with pytest.raises(UseRefused, match="no purpose was stated"):
            await take()
        with stating(Actor.PERSON):
            await take()


async def test_the_gateway_takes_keys_to_seal_under_and_none_to_open_with(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    key = await keys.create_subject_key(subject)
    with stating(Actor.GATEWAY):
        assert await keys.subject_key(subject) == key
        with pytest.raises(UseRefused, match="opens nothing"):
            await keys.key(key.id)
        with pytest.raises(UseRefused, match="opens nothing"):
            await keys.preload([subject])


async def test_one_piece_of_work_takes_few_people_s_keys(
    stores: Stores, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    monkeypatch.setattr(openings, "WORK_PEOPLE_MAX", 3)
    subjects = [uuid7() for _ in range(5)]
    for subject in subjects:
        await keys.create_subject_key(subject)
    with stating(Actor.GATEWAY):
        for subject in subjects[:3] * 2:
            await keys.subject_key(subject)
        assert not event_log.exists() or "vault:key:bulk" not in event_log.read_text()
        for subject in subjects[3:]:
            with pytest.raises(UseRefused, match="one piece of work"):
                await keys.subject_key(subject)
        assert event_log.read_text().count("vault:key:bulk") == 1
    with stating(Actor.PERSON), pytest.raises(UseRefused, match="one piece of work"):
        await keys.preload(subjects)
    with stating(Actor.JOB, granted=Grant(Bulk.ROTATION)):
        await keys.preload(subjects)


async def test_taking_many_people_s_keys_is_an_incident_and_then_refused(stores: Stores, event_log: Path) -> None:
    """However many pieces of work it is done in; also where the key is cached."""
    _, keys = stores
    keys.openings.keys_per_minute = 2
    subjects = [uuid7() for _ in range(5)]
    for subject in subjects:
        await keys.create_subject_key(subject)
    for number, subject in enumerate(subjects, 1):
        with stating(Actor.GATEWAY):
            if number < 5:
                await keys.subject_key(subject)
                told = event_log.read_text().count("vault:key:bulk") if event_log.exists() else 0
                assert told == (number > 2)
            else:
                with pytest.raises(UseRefused, match="Too many"):
                    await keys.subject_key(subject)


async def test_bulk_work_is_what_is_listed_and_nothing_else() -> None:
    async def export() -> None:
        raise AssertionError

    for bulk in Bulk:
        with pytest.raises(DeclarationError, match="isn't listed"):
            states(Actor.JOB, bulk=bulk)(export)
    for name, bulk in BULK_WORK.items():
        function = pkgutil.resolve_name(name)
        assert grant(function, bulk).bulk is bulk
        for other in set(Bulk) - {bulk}:
            with pytest.raises(DeclarationError):
                grant(function, other)


async def test_a_task_that_outlives_its_request_has_no_purpose_any_more(stores: Stores) -> None:
    note = await add(stores, uuid7(), "words")
    go_on = asyncio.Event()

    async def later() -> str:
        await go_on.wait()
        return await note.words.open(DataUse.SERVICE)

    @states(Actor.PERSON, DataUse.SERVICE)
    async def handler() -> "asyncio.Task[str]":
        assert await note.words.open(DataUse.SERVICE) == "words"
        return asyncio.create_task(later())

    task = await handler()
    go_on.set()
    with pytest.raises(UseRefused):
        await task


async def test_openings_are_counted_by_column_use_actor_and_hour(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    note = await add(stores, uuid7(), "words")
    first = clock.now()
    with stating(Actor.PERSON, DataUse.SERVICE):
        await open_all([note.words, note.words], DataUse.SERVICE)
        await keys.openings.flush(data)
        await note.words.open(DataUse.SERVICE)
        await keys.openings.flush(data)
        monkeypatch.setattr(clock, "now", lambda: first + timedelta(hours=1))
        await note.words.open(DataUse.SERVICE)
    with stating(Actor.JOB, DataUse.SERVICE):
        await note.words.open(DataUse.SERVICE)
    await keys.openings.flush(data)
    async with data.session(DataUse.SECURITY) as session:
        rows = (await session.scalars(select(OpeningCount).order_by(OpeningCount.hour, OpeningCount.actor))).all()
    assert [(row.column, row.use, row.actor, row.count) for row in rows] == [
        ("test_note.words", "essential.service", "person", 3),
        ("test_note.words", "essential.service", "job", 1),
        ("test_note.words", "essential.service", "person", 1),
    ]
    assert rows[1].hour - rows[0].hour == timedelta(hours=1)
    assert await keys.openings.seen(data) == {("test_note.words", "essential.service"): 5}


async def test_counts_that_can_not_be_written_are_counted_on(stores: Stores) -> None:
    data, keys = stores
    note = await add(stores, uuid7(), "words")
    with stating(Actor.PERSON, DataUse.SERVICE):
        await note.words.open(DataUse.SERVICE)
    nowhere = Database("sqlite+aiosqlite://")
    with pytest.raises(Exception, match="no such table"):
        await keys.openings.flush(nowhere)
    await nowhere.aclose()
    assert sum((await keys.openings.seen(data)).values()) == 1


async def test_a_refused_opening_is_not_counted(stores: Stores) -> None:
    data, keys = stores
    note = await add(stores, uuid7(), "words")
    with stating(Actor.PERSON, DataUse.AUTHENTICATION), pytest.raises(UseRefused):
        await note.words.open(DataUse.SERVICE)
    assert not await keys.openings.seen(data)


async def test_what_staff_open_is_recorded_for_the_person_and_sealed(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    note = await add(stores, subject, "words")
    log = StaffLog(keys)
    with stating(Actor.OPERATOR, DataUse.SERVICE, case="case-7"):
        await note.words.open(DataUse.SERVICE)
    with stating(Actor.PERSON, DataUse.SERVICE, DataUse.LEGAL_OBLIGATION):
        await note.words.open(DataUse.SERVICE)
        (recorded,) = await log.of(subject)
    assert recorded[1] == Detail("test_note.words", "essential.service", "operator", "case-7")
    async with keys.db.session(DataUse.SECURITY) as session:
        row = (await session.scalars(select(StaffOpening))).one()
    assert b"case-7" not in row.detail.envelope and b"test_note" not in row.detail.envelope
    await keys.erase_subject(subject)
    with stating(Actor.PERSON, DataUse.LEGAL_OBLIGATION):
        assert await log.of(subject) == []
    context = envelope.column_context(163, subject, row.id)
    with pytest.raises(KeyGone):  # in a copy from before
        await open_sealed(keys, row.detail.envelope, subject, context)
    assert data


async def test_what_can_not_be_recorded_is_not_opened_by_staff(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys = stores
    note = await add(stores, uuid7(), "words")

    async def fail(*_: object) -> None:
        raise OSError("disk")

    with stating(Actor.AUDITOR, DataUse.SERVICE):
        monkeypatch.setattr(keys, "record_staff", fail)
        with pytest.raises(OSError, match="disk"):
            await note.words.open(DataUse.SERVICE)
        monkeypatch.setattr(keys, "record_staff", None)
        with pytest.raises(UseRefused, match="nowhere to record"):
            await note.words.open(DataUse.SERVICE)


async def test_opening_many_people_is_an_incident_and_then_refused(
    stores: Stores, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    keys.openings.per_minute = 3
    notes = [await add(stores, uuid7(), "words") for _ in range(7)]
    for bulk in Bulk:
        with stating(Actor.JOB, DataUse.SERVICE, granted=Grant(bulk)):
            assert len(await open_all([note.words for note in notes], DataUse.SERVICE)) == 7
    with stating(Actor.PERSON, DataUse.SERVICE):
        for _ in range(10):
            await notes[0].words.open(DataUse.SERVICE)  # one person, however often
        for note in notes[:3]:
            await note.words.open(DataUse.SERVICE)
        assert not event_log.exists() or "vault:opening:bulk" not in event_log.read_text()
        for note in notes[3:6]:
            await note.words.open(DataUse.SERVICE)
        assert event_log.read_text().count("vault:opening:bulk") == 1
        with pytest.raises(UseRefused, match="Too many"):
            await notes[6].words.open(DataUse.SERVICE)
        monkeypatch.setattr(openings, "_MINUTE_S", 0.0)
        await notes[6].words.open(DataUse.SERVICE)  # the minute is over
