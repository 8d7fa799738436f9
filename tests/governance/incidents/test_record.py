"""What is left to be done says what the law asks for, and an incident is closed only when nothing is."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from governance.datamap import DataUse
from governance.errors import Conflict, Rejected
from governance.evidence.entry import EntryType
from governance.incidents import affected, assessment, notice, opening, record
from governance.incidents.assessment import Assessment, Kind, Nature, Risk
from governance.incidents.incident import Severity
from governance.incidents.notice import Ground, Told
from governance.incidents.record import State
from tests.governance.incidents.conftest import Stores
from tests.governance.incidents.test_opening import entries, seen

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


async def refused(stores: Stores, incident_id: UUID) -> str:
    with pytest.raises(Conflict) as error:
        await record.close(stores[0], incident_id, by="operator", reason="done")
    return str(error.value)


async def test_a_breach_is_closed_when_everybody_was_told(stores: Stores, breach: UUID) -> None:
    db = stores[0]
    assert "Art. 33(1)" in await refused(stores, breach) and "Art. 34(1)" in await refused(stores, breach)
    await notice.given(db, breach, Told.AUTHORITY, by="legal")
    assert "Art. 33(1)" not in await refused(stores, breach)
    await notice.withheld(db, breach, Told.SUBJECTS, Ground.PUBLIC, because="Told on the website.", by="legal")
    await assessment.assess(db, breach, Assessment(Kind.BREACH, for_customers=True), by="legal")
    assert "Art. 33(2)" in await refused(stores, breach)
    await notice.given(db, breach, Told.CONTROLLER, by="legal")
    await record.close(db, breach, by="legal", reason="Everybody was told.")
    found = await record.get(db, breach)
    assert (found.state, found.incident.closed_by, found.missing()) == (State.CLOSED, "legal", [])
    assert (await entries(db))[-1] == (EntryType.INCIDENT_CLOSED, {"incident": str(breach)})
    for again in (
        record.close(db, breach, by="legal", reason="x"),
        notice.given(db, breach, Told.AUTHORITY, by="legal"),
    ):
        with pytest.raises(Conflict):
            await again


async def test_a_bare_breach_says_all_that_is_missing(stores: Stores, reported: UUID) -> None:
    known = Assessment(Kind.BREACH, risk=Risk.LIKELY, nature=(Nature.AVAILABILITY,))
    await assessment.assess(stores[0], reported, known, by="legal")
    sentences = (await record.get(stores[0], reported)).missing()
    assert [sentence.rpartition("(Art. ")[2] for sentence in sentences] == [
        "33(3)(a)).",
        "33(3)(c)).",
        "33(3)(d), 33(5)).",
        "33(1)).",
    ]


async def test_nothing_is_closed_unassessed(stores: Stores, reported: UUID) -> None:
    assert "Assess it" in await refused(stores, reported)
    await assessment.assess(stores[0], reported, Assessment(Kind.DEFECT), by="operator")
    with pytest.raises(Rejected):
        await record.close(stores[0], reported, by="operator", reason="")
    await record.close(stores[0], reported, by="operator", reason="mended")


async def test_half_a_list_that_was_told_is_not_all_of_it(stores: Stores, breach: UUID, people: list[UUID]) -> None:
    db = stores[0]
    await affected.add(db, breach, people)
    await notice.given(db, breach, Told.AUTHORITY, by="legal")
    await notice.given(db, breach, Told.SUBJECTS, by="legal")  # by a letter to each, and none by mail
    assert (await record.get(db, breach)).missing() == []
    async with db.transaction(DataUse.LEGAL_OBLIGATION) as session:
        row = await affected.untold(session, breach, people[0])
        assert row is not None
        row.told_at = (await record.get(db, breach)).incident.opened_at
    assert (await record.get(db, breach)).missing() == ["2 of 3 people on the list aren't told yet."]


async def test_each_customer_concerned_is_told_or_a_ground_is_recorded(stores: Stores, breach: UUID) -> None:
    db, one, two = stores[0], uuid4(), uuid4()

    async def concerned(_: AsyncSession, incident_ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
        return {each: {one, two} for each in incident_ids}

    async def left() -> list[str]:
        return (await record.get(db, breach, concerned)).missing()

    await notice.given(db, breach, Told.AUTHORITY, by="legal")
    await notice.withheld(db, breach, Told.SUBJECTS, Ground.AVERTED, because="Reset.", by="legal")
    assert await left() == []  # it isn't said to be about customers' data
    await assessment.assess(db, breach, Assessment(Kind.BREACH, for_customers=True), by="legal")
    assert await left() == ["2 of 2 customers aren't told yet: record each with its account (Art. 33(2))."]
    await notice.given(db, breach, Told.CONTROLLER, by="legal")  # to whom isn't said
    assert (await record.get(db, breach)).missing() == []  # and of no account it is known that it is concerned
    await notice.given(db, breach, Told.CONTROLLER, by="legal", account_id=two)
    assert (await record.get(db, breach, concerned)).customers_untold == [one]
    assert await left() == ["1 of 2 customers aren't told yet: record each with its account (Art. 33(2))."]
    for found in (*await record.records(db, customers=concerned), *await record.register(db, concerned)):
        assert found.customers_untold == [one]
    with pytest.raises(Conflict, match="1 of 2 customers"):
        await record.close(db, breach, by="legal", reason="One was told.", customers=concerned)
    await notice.withheld(db, breach, Told.CONTROLLER, Ground.NOT_THEIRS, because="The other's isn't.", by="legal")
    assert await left() == []
    await record.close(db, breach, by="legal", reason="All were told.", customers=concerned)


async def test_every_open_one_is_listed_and_of_the_closed_the_newest(stores: Stores) -> None:
    db = stores[0]
    made = [await opening.report(db, "Seen.", Severity.LOW, by="operator") for _ in range(6)]
    for each in made[2:]:
        await assessment.assess(db, each, Assessment(Kind.DEFECT), by="operator")
        await record.close(db, each, by="operator", reason="mended")
    assert [each.incident.id for each in await record.records(db, closed_max=2)] == [*made[5:3:-1], *made[1::-1]]
    assert await record.closed(db) == 4
    assert [each.incident.id for each in await record.records(db, unclosed=True, closed_max=2)] == made[1::-1]
    assert len(await record.records(db)) == 6


async def test_lists_are_newest_first_and_the_register_oldest_first(stores: Stores, breach: UUID) -> None:
    db = stores[0]
    other = await opening.report(db, "Another log.", Severity.LOW, by="operator")
    await seen(db)
    assert [each.state for each in await record.records(db)][-1] is State.ASSESSED
    known = Assessment(Kind.BREACH, risk=Risk.UNLIKELY, nature=(Nature.CONFIDENTIALITY,))
    await assessment.assess(db, other, known, by="legal")
    assert [each.incident.id for each in await record.register(db)] == [breach, other]
    await assessment.assess(db, other, Assessment(Kind.EVENT), by="legal")
    await record.close(db, other, by="operator", reason="nothing was lost")
    assert other not in {each.incident.id for each in await record.records(db, unclosed=True)}
