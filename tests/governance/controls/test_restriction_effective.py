"""A restriction that keys or rows don't heed fails the control."""

import pytest
from sqlalchemy import delete, func, select

from governance.controls.control import Outcome
from governance.controls.restriction_effective import RestrictionEffective
from governance.datamap import DataUse
from governance.db import Database
from governance.evidence.pending import DataEvidenceSubject
from governance.subjects import new_subject
from governance.vault.keys import KeyStore
from governance.vault.permitted import Permitted, UseRefusal
from governance.vault.uses import Uses

Stores = tuple[Database, KeyStore]


@pytest.fixture
def control(data: Database, stores: Stores) -> RestrictionEffective:
    return RestrictionEffective(*stores)


async def test_the_drill_passes_and_leaves_no_row(control: RestrictionEffective, stores: Stores) -> None:
    for _ in range(2):
        found = await control.run()
        assert found.outcome is Outcome.PASSED, found
        assert found.counts == {"restricted": 0, "drilled": 6}
    async with stores[0].session(DataUse.LEGAL_OBLIGATION) as session:
        assert await session.scalar(select(func.count()).select_from(DataEvidenceSubject)) == 0


async def test_restricted_people_whom_the_rows_do_not_heed_are_counted(
    control: RestrictionEffective, stores: Stores
) -> None:
    data, keys = stores
    people = [await new_subject(keys) for _ in range(3)]
    for person in people:
        await keys.uses.restrict(person, on=True)
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.counts["restricted"] == 3
    async with data.transaction(DataUse.LEGAL_OBLIGATION) as session:
        mine = UseRefusal.subject_id == people[1], UseRefusal.use == DataUse.ANALYTICS.value
        await session.execute(delete(UseRefusal).where(*mine))
    assert (await control.run()).failures == ("1 of 3 restricted people's rows are still read.",)


async def test_keys_that_serve_a_restricted_person_fail_the_drill(
    control: RestrictionEffective, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def anything(self: Uses, subject_id: object, basis: object, use: object) -> None:
        """Refuses nothing."""

    monkeypatch.setattr(Uses, "check", anything)
    assert (await control.run()).failures == ("A restricted person's value opens for a use that isn't left.",)


async def test_rows_that_heed_no_restriction_fail_the_drill(
    control: RestrictionEffective, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Permitted, "criteria", lambda self, use, reads: ())
    assert (await control.run()).failures == ("A restricted person's row is read for a use that isn't left.",)
