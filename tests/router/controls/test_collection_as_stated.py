"""A column that holds what the policy doesn't state fails the control."""

import pytest

from governance.controls.control import Outcome
from governance.datamap import (
    AtRest,
    DataUse,
    Declaration,
    DeclaredColumn,
    LegalBasis,
    OnErasure,
    Store,
)
from policies import collection
from router.controls.collection_as_stated import CollectionAsStated
from tests.shipped import shipped

BIRTH = DeclaredColumn(
    Store.DATA, "person", "born_on",
    Declaration(
        1, "user.demographic.age_range", frozenset((DataUse.SERVICE,)), AtRest.PLAIN, "account", OnErasure.DELETE,
        LegalBasis.CONTRACT,
    ),
)  # fmt: skip


async def test_what_is_stored_today_is_stated() -> None:
    found = await CollectionAsStated(shipped, collection.load).run()
    assert found.outcome is Outcome.PASSED and found.examined > 50


@pytest.mark.parametrize("columns", [[BIRTH], [*shipped(), BIRTH]])
async def test_a_column_that_is_not_stated_is_named(columns: list[DeclaredColumn]) -> None:
    found = await CollectionAsStated(lambda: columns, collection.load).run()
    assert found.outcome is Outcome.FAILED
    assert found.failures == ("person.born_on holds user.demographic.age_range, which section 2 doesn't state.",)


async def test_nothing_is_no_proof() -> None:
    assert (await CollectionAsStated(lambda: [], collection.load).run()).outcome is Outcome.UNPROVEN
