"""A change and its entry are committed together, and a pseudonym belongs to nobody once its person is erased."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from governance import clock
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import DeclarationError, KeyGone
from governance.evidence import pending
from governance.evidence.entry import Entry, EntryType
from governance.evidence.fields import declare_names
from governance.evidence.log import Log
from governance.ids import uuid7
from governance.mail.outbox import OutboxMail
from governance.vault import rotation
from governance.vault.purpose import Actor, stating
from governance.vault.staff_opening import StaffLog
from tests.governance.backup.rows import add_mail, everything
from tests.governance.evidence.conftest import Stores

CONSENT = {"purpose": DataUse.NOTICES, "version": "2026-03"}


declare_names("policy", ["2026-03"])


async def entries(store: Store, db: Database) -> list[Entry]:
    return [entry for _, entry in reversed(await pending.newest(store, db, 1000))]


async def test_no_entry_without_its_change_and_no_change_without_its_entry(stores: Stores, log: Log) -> None:
    data, keys = stores
    for store, db in ((Store.DATA, data), (Store.KEYS, keys.db)):
        with pytest.raises(ZeroDivisionError):
            async with db.transaction(DataUse.SECURITY) as session:
                await pending.record(session, EntryType.INCIDENT_CLOSED, detail={"incident": uuid7(), "row": "0" * 64})
                raise ZeroDivisionError
        assert await entries(store, db) == []
        with pytest.raises(DeclarationError):
            async with db.transaction(DataUse.SECURITY) as session:
                await pending.record(
                    session, EntryType.INCIDENT_CLOSED, detail={"incident": "ada@example.org", "row": "0" * 64}
                )


async def test_the_vault_records_what_it_does_to_keys(stores: Stores, log: Log) -> None:
    keys = stores[1]
    person = uuid7()
    await keys.create_subject_key(person)
    await keys.service_key("a")
    assert await entries(Store.KEYS, keys.db) == []
    old = await keys.replace_service_key("a")
    await keys.replace_service_key("a")  # once more makes nothing, and says nothing
    await keys.destroy([old.id])
    await keys.erase_subject(person)
    await keys.erase_subject(person)
    await keys.roll_root()
    told = [(entry.type, dict(entry.detail)) for entry in await entries(Store.KEYS, keys.db)]
    none = {"subject": 0, "period": 0, "object": 0, "service": 0}
    assert told == [
        (EntryType.KEY_ROTATED, {"kind": "service", "keys": 1}),
        (EntryType.KEY_DESTROYED, none | {"service": 1, "epoch": 1}),
        (EntryType.KEY_DESTROYED, none | {"subject": 1, "epoch": 3}),
        (EntryType.KEY_ROTATED, {"kind": "root", "keys": 1}),
    ]
    assert all(entry.subject is None for entry in await entries(Store.KEYS, keys.db))


async def test_a_key_isnt_destroyed_where_its_entry_cant_be_written(stores: Stores, log: Log) -> None:
    keys = stores[1]
    key = await keys.service_key("a")

    async def refuse(*_: object) -> None:
        raise OSError("no room")

    keys.record_change = refuse
    with pytest.raises(OSError):
        await keys.destroy([key.id])
    keys.forget()
    assert (await keys.service_key("a")).secret == key.secret


async def test_staff_who_open_a_value_leave_an_entry_without_the_person(stores: Stores, log: Log) -> None:
    data, keys = stores
    person = await add_mail(data, keys, "a text that staff read")
    async with data.session(DataUse.SUPPORT) as session:
        mail = (await session.scalars(select(OutboxMail))).one()
    with stating(Actor.OPERATOR, DataUse.SUPPORT, case="T-1"):
        await mail.body.open(DataUse.SUPPORT)
        await mail.recipient.open(DataUse.SUPPORT)
    found = await entries(Store.KEYS, keys.db)
    assert [dict(entry.detail) for entry in found] == [
        {"column": f"outbox.{name}", "use": DataUse.SUPPORT.value, "actor": "operator", "on_case": True}
        for name in ("body", "recipient")
    ]
    # A pseudonym is of one entry alone, and no entry names the person or the case.
    assert len({entry.subject for entry in found} | {person}) == 3
    assert not any(str(person) in text or "T-1" in text for text in (entry.canonical.decode() for entry in found))
    assert [entry.id for entry in await pending.of_subject(Store.KEYS, keys.db, keys, person)] == [e.id for e in found]
    assert len(await StaffLog(keys).of(person)) == 2


async def test_nothing_links_an_entry_to_a_person_who_was_erased(stores: Stores, log: Log) -> None:
    data, keys = stores
    person, other = uuid7(), uuid7()
    for each in (person, other):
        await keys.create_subject_key(each)
        async with keys.db.transaction(DataUse.SECURITY) as session:
            await pending.record(session, EntryType.CONSENT_GIVEN, subject=each, detail=CONSENT)
    await keys.erase_subject(person)
    assert await pending.of_subject(Store.KEYS, keys.db, keys, person) == []
    assert len(await pending.of_subject(Store.KEYS, keys.db, keys, other)) == 1
    assert len([each for each in await entries(Store.KEYS, keys.db) if each.type is EntryType.CONSENT_GIVEN]) == 2
    with pytest.raises(KeyGone):
        async with data.transaction(DataUse.SECURITY) as session:
            await pending.record(session, EntryType.CONSENT_GIVEN, subject=person, detail=CONSENT)
    assert [row[1] for row in (await everything(keys.db, Store.KEYS))["keys_evidence_subject"]] == [other]


async def test_what_a_row_shows_of_its_person_is_sealed(stores: Stores, log: Log) -> None:
    """The link row has the person, the entry row the pseudonym, and no value is in both."""
    data, keys = stores
    person = uuid7()
    await keys.create_subject_key(person)
    async with data.transaction(DataUse.SECURITY) as session:
        await pending.record(session, EntryType.CONSENT_WITHDRAWN, subject=person, detail=CONSENT)
    rows = await everything(data, Store.DATA)
    (row,), (link,) = rows["data_evidence"], rows["data_evidence_subject"]
    entry_id, pseudonym = row[0], (await entries(Store.DATA, data))[0].subject
    assert person in link and person not in row and str(person).encode() not in row[3]
    sealed = link[2]
    assert pseudonym is not None and entry_id.bytes not in sealed and pseudonym.bytes not in sealed
    assert entry_id != link[0]
    restored = await pending.of_subject(Store.DATA, data, keys, person)
    assert [each.subject for each in restored] == [pseudonym]


async def test_a_rotation_of_the_persons_keys_keeps_the_link(stores: Stores, log: Log) -> None:
    data, keys = stores
    person = uuid7()
    await keys.create_subject_key(person)
    for db in (data, keys.db):
        async with db.transaction(DataUse.SECURITY) as session:
            await pending.record(session, EntryType.CONSENT_GIVEN, subject=person, detail=CONSENT)
    async for _ in rotation.rotate(rotation.What.SUBJECTS, keys, data):
        pass
    later = clock.now() + rotation.GRACE + timedelta(seconds=1)
    clock.install(lambda: later)
    try:
        await rotation.retire(keys, data, None)
    finally:
        clock.install(None)
    for store, db in ((Store.DATA, data), (Store.KEYS, keys.db)):
        assert len(await pending.of_subject(store, db, keys, person)) == 1
    told = [entry.type for entry in await entries(Store.KEYS, keys.db)]
    assert told[1:] == [EntryType.KEY_ROTATED, EntryType.KEY_DESTROYED]


async def test_a_session_without_a_recorder_refuses(stores: Stores) -> None:
    data = stores[0]
    data.context.pop("evidence", None)
    with pytest.raises(RuntimeError, match="attach"):
        async with data.transaction(DataUse.SECURITY) as session:
            await pending.record(session, EntryType.INCIDENT_CLOSED, detail={"incident": uuid7(), "row": "0" * 64})
    async with data.session(DataUse.SECURITY) as session:
        assert await session.scalar(select(func.count()).select_from(pending.DataEvidence)) == 0
