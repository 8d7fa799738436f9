"""The list of people whom a breach is about: each once, by id, and off it with their erasure."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from governance.errors import NotFound
from governance.incidents import affected, record
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
