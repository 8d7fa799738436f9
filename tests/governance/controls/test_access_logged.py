"""An opening by staff that isn't recorded fails the control; with none there is a drill, which each missing part fails."""

import pytest
from sqlalchemy import delete

from governance import clock
from governance.controls.access_logged import AccessLogged
from governance.controls.control import Outcome
from governance.datamap import DataUse
from governance.db import Database
from governance.evidence.pending import KeysEvidence
from governance.mail import outbox
from governance.vault.keys import KeyStore
from governance.vault.openings import OpeningCount
from governance.vault.purpose import Actor, stating
from tests.governance.backup.rows import add_mail

Stores = tuple[Database, KeyStore]


@pytest.fixture
def control(data: Database, stores: Stores) -> AccessLogged:
    return AccessLogged(*stores)


async def opened_by_staff(data: Database, keys: KeyStore) -> None:
    """A mail of somebody, all three parts of it."""
    await add_mail(data, keys, "anna@example.org")
    (mail,) = await outbox.list_outbox(data)
    with stating(Actor.OPERATOR, DataUse.SUPPORT, case="T-1"):
        await outbox.read_mail(data, mail.id)


async def test_without_openings_a_drill_shows_that_they_are_recorded(control: AccessLogged) -> None:
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.counts["drilled"] == 2, found
    found = await control.run()  # the drill's own opening is one by staff
    assert found.outcome is Outcome.PASSED
    assert found.counts == {"openings": 1, "recorded": 1, "drilled": 0}


async def test_an_opening_that_is_in_no_record_is_named(control: AccessLogged, stores: Stores) -> None:
    data, keys = stores
    await opened_by_staff(data, keys)
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.counts["openings"] == 3
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    async with data.transaction(DataUse.SECURITY) as session:
        more = {"column": "person.email", "use": DataUse.SUPPORT.value, "actor": Actor.LEGAL.value}
        session.add(OpeningCount(hour=hour, count=2, **more))
    found = await control.run()
    assert found.failures == (
        "person.email was opened by legal for essential.service.operations.support 2 times, and recorded 0 times.",
    )


async def test_entries_that_are_gone_are_missed(control: AccessLogged, stores: Stores) -> None:
    data, keys = stores
    await opened_by_staff(data, keys)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(KeysEvidence))
    assert len((await control.run()).failures) == 3


async def test_staff_openings_that_go_nowhere_fail_the_drill(
    control: AccessLogged, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = stores[1]

    async def nowhere(*args: object) -> None:
        """Says that it recorded, and didn't."""

    with monkeypatch.context() as patched:
        patched.setattr(keys, "record_staff", None)
        assert (await control.run()).failures == ("Staff's openings can't be recorded here, and so none happens.",)
        patched.setattr(keys, "record_staff", nowhere)
        assert len((await control.run()).failures) == 2
