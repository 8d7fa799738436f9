"""The list of people whom a breach is about: each once, by id, and off it with their erasure."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from governance.errors import Conflict, NotFound
from governance.incidents import affected, assessment, notice, record, telling
from governance.incidents.assessment import Assessment, Kind
from governance.incidents.notice import Told
from tests.governance.incidents.conftest import Stores


async def test_people_are_put_on_the_list_once(stores: Stores, breach: UUID, people: list[UUID]) -> None:
    db = stores[0]
    assert await affected.add(db, breach, people[:2]) == 2
    assert await affected.add(db, breach, [*people, *people]) == 1
    listed = await affected.listed(db, breach)
    assert {each for each, _ in listed} == set(people) and [told for _, told in listed] == [None] * 3
    found = await record.get(db, breach)
    assert (found.affected, found.told) == (3, 0)


async def test_nobody_unknown_and_no_unknown_incident(stores: Stores, breach: UUID, people: list[UUID]) -> None:
    with pytest.raises(IntegrityError):
        await affected.add(stores[0], breach, [people[0], uuid4()])
    assert await affected.listed(stores[0], breach) == []
    with pytest.raises(NotFound):
        await affected.add(stores[0], uuid4(), people)


async def test_who_is_erased_is_seen_no_more(stores: Stores, breach: UUID, people: list[UUID]) -> None:
    data, keys = stores
    await affected.add(data, breach, people)
    await keys.erase_subject(people[1])
    await data.context["permitted"].refresh()
    assert {each for each, _ in await affected.listed(data, breach)} == {people[0], people[2]}
    assert (await record.get(data, breach)).affected == 2


async def test_who_restricted_their_data_is_listed_counted_and_left_to_be_told_otherwise(
    stores: Stores, breach: UUID, people: list[UUID]
) -> None:
    data, keys = stores
    await keys.uses.restrict(people[0], on=True)
    assert await affected.add(data, breach, people) == 3
    await notice.given(data, breach, Told.AUTHORITY, by="legal")
    assert await telling.told_otherwise(data, breach, people[1:], by="legal") == 2
    assert dict(await affected.listed(data, breach))[people[0]] is None
    for found in (await record.get(data, breach), *await record.records(data), *await record.register(data)):
        assert (found.affected, found.told) == (3, 2)
        assert found.missing() == ["1 of 3 people on the list aren't told yet."]
    with pytest.raises(Conflict, match="1 of 3 people"):
        await record.close(data, breach, by="legal", reason="All were told.")
    assert await telling.told_otherwise(data, breach, [*people, uuid4()], by="operator") == 1
    assert await telling.told_otherwise(data, breach, people, by="operator") == 0
    found = await record.get(data, breach)
    assert [each.recorded_by for each in found.notices] == ["legal", "legal", "operator"]
    await record.close(data, breach, by="legal", reason="All were told.")


async def test_nobody_is_told_otherwise_of_what_is_no_breach(stores: Stores, breach: UUID, people: list[UUID]) -> None:
    await affected.add(stores[0], breach, people)
    await assessment.assess(stores[0], breach, Assessment(Kind.EVENT), by="legal")
    with pytest.raises(Conflict):
        await telling.told_otherwise(stores[0], breach, people, by="legal")
    assert (await record.get(stores[0], breach)).told == 0
    with pytest.raises(NotFound):
        await telling.told_otherwise(stores[0], uuid4(), people, by="legal")
