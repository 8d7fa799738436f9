"""One open incident a control and cause, however many see the same; each report is one of its own; each has its entry."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import Conflict, NotFound, Rejected
from governance.evidence import pending
from governance.evidence.entry import EntryType
from governance.ids import uuid7
from governance.incidents import assessment, opening, record
from governance.incidents.assessment import Assessment, Kind
from governance.incidents.incident import Cause, Incident, Severity
from tests.governance.incidents.conftest import Later, Stores

LOW = Severity.LOW


async def seen(db: Database, *, control: str = "made", cause: Cause = Cause.FAILED) -> Incident:
    async with db.transaction(DataUse.SECURITY) as session:
        return await opening.open_or_add(session, control, uuid4(), ["one thing."], Severity.HIGH, cause)


async def entries(db: Database) -> list[tuple[EntryType, dict[str, object]]]:
    """Type and detail, without the digest of the row."""
    found = [entry for _, entry in reversed(await pending.newest(Store.DATA, db, 100))]
    return [(each.type, {name: value for name, value in each.detail.items() if name != "row"}) for each in found]


async def test_runs_of_one_cause_are_one_incident_with_one_entry(stores: Stores) -> None:
    first, *others = [await seen(stores[0]) for _ in range(3)]
    assert {row.id for row in others} == {first.id} and others[-1].runs == 3
    other = await seen(stores[0], cause=Cause.NOT_RUN)
    assert await entries(stores[0]) == [
        (EntryType.INCIDENT_OPENED, {"incident": str(row.id), "severity": "high"}) for row in (first, other)
    ]


async def test_runs_at_once_open_one_incident(stores: Stores) -> None:
    await asyncio.gather(*(seen(stores[0]) for _ in range(12)))
    [row] = await opening.listed(stores[0])
    assert row.runs == 12 and len(await entries(stores[0])) == 1


async def test_the_store_itself_holds_no_second_open_one(stores: Stores) -> None:
    row = await seen(stores[0])
    copy = {name: getattr(row, name) for name in ("control", "cause", "severity", "opened_at", "opened_by", "summary")}
    with pytest.raises(IntegrityError):
        async with stores[0].transaction(DataUse.SECURITY) as session:
            session.add(Incident(id=uuid7(), runs=1, last_at=row.last_at, found=[], **copy))


async def test_after_its_end_the_same_cause_is_another_incident(stores: Stores, later: Later) -> None:
    first = await seen(stores[0])
    await assessment.assess(stores[0], first.id, Assessment(Kind.DEFECT), by="operator")
    with pytest.raises(Conflict, match="acknowledge"):  # else whoever closes it would let the gateway serve again
        await record.close(stores[0], first.id, by="legal", reason="x")
    await opening.acknowledge(stores[0], first.id, by="operator", reason="a test of the control itself")
    await record.close(stores[0], first.id, by="operator", reason="a test of the control itself")
    assert (await seen(stores[0])).id != first.id


async def test_what_is_seen_after_an_answer_wants_another(stores: Stores) -> None:
    db, row = stores[0], await seen(stores[0])
    await opening.acknowledge(db, row.id, by="operator", reason="the log was off by noon")
    async with db.session(DataUse.SECURITY) as session:
        assert await opening.unanswered(session, "made") is None
    with pytest.raises(Conflict):
        await opening.acknowledge(db, row.id, by="operator", reason="again")
    await seen(db)
    async with db.session(DataUse.SECURITY) as session:
        again = await opening.unanswered(session, "made")
    assert again is not None and again.reason == "the log was off by noon"
    await opening.acknowledge(db, row.id, by="operator", reason="now it is")


async def test_reports_are_incidents_of_their_own(stores: Stores) -> None:
    for _ in range(2):
        await opening.report(stores[0], " A laptop was lost. ", LOW, by="operator")
    one, other = await opening.listed(stores[0])
    assert one.id != other.id and {row.summary for row in (one, other)} == {"A laptop was lost."}
    assert (one.control, one.cause, one.opened_by, one.runs) == (None, "reported", "operator", 0)


@pytest.mark.parametrize("text", ["", " ", "a\nb", "x" * 2001, "\x1b[31m"])
async def test_a_text_is_one_printable_line(stores: Stores, text: str) -> None:
    with pytest.raises(Rejected) as refused:
        await opening.report(stores[0], text, LOW, by="operator")
    assert text.strip() == "" or text not in str(refused.value)
    assert await opening.listed(stores[0]) == [] and await entries(stores[0]) == []


async def test_an_unknown_one_is_nobodys(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await opening.acknowledge(stores[0], uuid4(), by="operator", reason="x")
    with pytest.raises(NotFound):
        await record.get(stores[0], uuid4())
