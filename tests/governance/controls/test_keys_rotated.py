"""A key that is used or kept for too long fails the control, and each mends by what the sentence says."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from governance import clock
from governance.controls.control import Outcome
from governance.controls.keys_rotated import KeysRotated
from governance.datamap import DataUse
from governance.db import Database
from governance.ids import uuid7
from governance.period import Period
from governance.subjects import new_subject
from governance.vault import rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from governance.vault.rotation import Rotation, What
from governance.vault.stored_key import KeyBasis

Stores = tuple[Database, KeyStore]
Later = Callable[[timedelta], None]


@pytest.fixture
def control(data: Database, stores: Stores) -> KeysRotated:
    return KeysRotated(stores[1], Period.parse("P1M"))


async def test_an_empty_key_store_proves_nothing_and_young_keys_pass(control: KeysRotated, stores: Stores) -> None:
    await new_subject(stores[1])
    await stores[1].service_key(EmailIndex.KEY)
    found = await control.run()
    assert found.outcome is Outcome.PASSED, found
    assert found.counts["subject_keys"] == found.counts["index_keys"] == 1


async def test_old_keys_are_named_and_pass_once_rotated(control: KeysRotated, stores: Stores, later: Later) -> None:
    data, keys = stores
    await new_subject(keys)
    later(timedelta(days=2 * 365 + 1))
    found = await control.run()
    assert [failure.split(":")[-1] for failure in found.failures] == [
        " run `valueapi keys rotate kek`.",
        " run `valueapi keys rotate subjects`.",
    ]
    for what in (What.KEK, What.SUBJECTS):
        async for _ in rotation.rotate(what, keys, data):
            pass
    assert (await control.run()).outcome is Outcome.PASSED


async def test_an_index_key_that_upkeep_does_not_renew_is_named(
    control: KeysRotated, stores: Stores, later: Later
) -> None:
    await stores[1].service_key(EmailIndex.KEY)
    later(timedelta(days=31))
    assert (await control.run()).outcome is Outcome.PASSED  # due, and a little time for upkeep
    later(timedelta(days=3))
    assert "blind index is overdue" in (await control.run()).failures[0]


async def test_a_periods_key_that_outlives_it_is_named(control: KeysRotated, stores: Stores, later: Later) -> None:
    keys = stores[1]
    subject_id = await new_subject(keys)
    key = await keys.limit_key("outbox", KeyBasis.ERASABLE, subject_id, subject_id, clock.now())
    assert key is not None
    assert (await control.run()).counts["period_keys"] == 1
    later(timedelta(days=30))
    assert any("periods that are over" in failure for failure in (await control.run()).failures)
    await keys.expire()
    assert (await control.run()).outcome is Outcome.PASSED


async def test_a_rotation_that_is_left_half_done_is_named(control: KeysRotated, stores: Stores, later: Later) -> None:
    await new_subject(stores[1])
    async with stores[1].db.transaction(DataUse.SECURITY) as session:
        session.add(Rotation(id=uuid7(), what=What.KEK, started_at=clock.now(), total=1))
    assert (await control.run()).outcome is Outcome.PASSED
    later(timedelta(days=8))
    assert (await control.run()).failures == ("A rotation of kek was begun a week ago, and isn't finished.",)
