"""A key, a row or a list that survives an erasure as it must not fails the control."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select

from governance import clock
from governance.controls.control import Outcome
from governance.controls.erasure_complete import ErasureComplete
from governance.datamap import DataUse
from governance.db import Database
from governance.subjects import new_subject
from governance.vault.destruction import DestroyedKey, Tombstone
from governance.vault.keys import KeyStore
from governance.vault.mirrors import DestroyedCopy
from governance.vault.stored_key import StoredKey
from governance.vault.subject_uses import SubjectUses
from tests.governance.backup.rows import add_mail

Stores = tuple[Database, KeyStore]


@pytest.fixture
def control(data: Database, stores: Stores) -> ErasureComplete:
    return ErasureComplete(*stores)


async def test_the_drill_passes_and_each_is_counted_from_then_on(control: ErasureComplete, stores: Stores) -> None:
    for before in range(2):
        found = await control.run()
        assert found.outcome is Outcome.PASSED, found
        assert found.counts == {"erased": before, "drilled": 4}
    person = await add_mail(*stores, "anna@example.org")
    await stores[1].erase_subject(person)
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.counts["erased"] == 3


async def test_a_tombstone_without_destruction_is_found(control: ErasureComplete, stores: Stores) -> None:
    keys = stores[1]
    person = await new_subject(keys)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        session.add(Tombstone(subject_id=person, epoch=1, erased_at=clock.now(), plan_digest=None))
    assert (await control.run()).failures == ("1 people who were erased have keys.",)


async def test_a_key_that_came_back_is_found(control: ErasureComplete, stores: Stores) -> None:
    """As a restore of the table, past the program, would leave it."""
    keys = stores[1]
    person = await new_subject(keys)
    async with keys.db.session(DataUse.SECURITY) as session:
        found = (await session.scalars(select(StoredKey).where(StoredKey.subject_id == person))).one()
        row = {column.name: getattr(found, column.name) for column in StoredKey.__table__.columns}
    await keys.erase_subject(person)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        await session.execute(insert(StoredKey).values(**row))
    assert set((await control.run()).failures) == {
        "1 people who were erased have keys.",
        "1 keys that were destroyed are there again.",
    }
    async with keys.db.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DestroyedKey))
    assert len((await control.run()).failures) == 1


async def test_what_is_found_by_who_somebody_was_is_found(control: ErasureComplete, stores: Stores) -> None:
    keys = stores[1]
    person = await new_subject(keys)
    await keys.erase_subject(person)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        more = {"restricted": True, "objected": "", "version": 7, "changed_at": clock.now()}
        session.add(SubjectUses(subject_id=person, **more))
    assert (await control.run()).failures == ("1 rows of erased people are in subject_uses.",)


async def test_an_erasure_that_an_older_copy_would_undo_is_found(
    control: ErasureComplete, stores: Stores, later: Callable[[timedelta], None]
) -> None:
    data, keys = stores
    await keys.erase_subject(await new_subject(keys))
    later(timedelta(minutes=6))
    assert (await control.run()).outcome is Outcome.PASSED
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DestroyedCopy))
    failures = (await control.run()).failures
    assert any("come back with an older copy" in failure for failure in failures), failures


async def test_a_store_that_erases_nothing_fails_the_drill(
    control: ErasureComplete, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(subject_id: object) -> tuple[object, ...]:
        """Says that it is done."""
        return ()

    monkeypatch.setattr(stores[1], "erase_subject", nothing)
    assert (await control.run()).failures == (
        "Erasing somebody destroys no key.",
        "A value opens after its person was erased.",
        "A value is sealed for somebody who was erased.",
    )
