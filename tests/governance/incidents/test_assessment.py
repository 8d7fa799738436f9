"""What is known of an incident grows by assessments; a breach's clock starts at awareness and is never put back."""

from datetime import timedelta
from uuid import UUID

import pytest

from governance import clock
from governance.errors import Conflict, Rejected
from governance.evidence.entry import EntryType
from governance.incidents import assessment, drafts, opening, record
from governance.incidents.assessment import Assessment, Kind, Nature, Risk
from governance.incidents.incident import Severity
from governance.incidents.notice import Told
from tests.governance.incidents.conftest import BREACH, Later, Stores
from tests.governance.incidents.test_opening import entries, seen

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
HOUR = timedelta(hours=1)


async def test_the_72_hours_start_at_recorded_awareness(stores: Stores, reported: UUID, later: Later) -> None:
    later(5 * HOUR)
    known = Assessment(Kind.BREACH, risk=Risk.LIKELY, nature=(Nature.INTEGRITY,), aware_at=clock.now() - 2 * HOUR)
    await assessment.assess(stores[0], reported, known, by="privacy_officer")
    found = await record.get(stores[0], reported)
    assert found.due_at == clock.now() + 70 * HOUR
    for again in (None, clock.now()):
        later(HOUR)
        await assessment.assess(stores[0], reported, Assessment(Kind.BREACH, aware_at=again), by="legal")
        assert (await record.get(stores[0], reported)).due_at == found.due_at
    earlier = Assessment(Kind.BREACH, aware_at=clock.now() - 40 * HOUR)
    await assessment.assess(stores[0], reported, earlier, by="legal")
    assert (await record.get(stores[0], reported)).due_at == clock.now() + 32 * HOUR


async def test_without_a_time_awareness_is_now(stores: Stores, breach: UUID) -> None:
    assert (await record.get(stores[0], breach)).due_at == clock.now() + 72 * HOUR


async def test_what_isnt_given_stays_and_nothing_is_overwritten(stores: Stores, breach: UUID) -> None:
    known = Assessment(Kind.BREACH, severity=Severity.CRITICAL, subjects=41, risk=Risk.LIKELY)
    await assessment.assess(stores[0], breach, known, by="legal")
    found = await record.get(stores[0], breach)
    first, last = found.assessments
    assert (first.subjects, first.severity, first.risk) == (40, "high", "high")
    assert (last.subjects, last.severity, last.risk, last.facts) == (41, "critical", "likely", BREACH.facts)
    assert found.incident.severity == "critical"
    assert [detail for kind, detail in await entries(stores[0]) if kind is EntryType.INCIDENT_ASSESSED] == [
        {
            "incident": str(breach),
            "as": "personal-data-breach",
            "aware": "2026-11-26T12:00:00Z",
            "subjects": number,
            "records": 120,
        }
        for number in (40, 41)
    ]


async def test_a_breach_that_becomes_a_defect_stays_in_the_register(stores: Stores, breach: UUID) -> None:
    other = await opening.report(stores[0], "A page is slow.", Severity.LOW, by="operator")
    await assessment.assess(stores[0], other, Assessment(Kind.DEFECT), by="operator")
    await assessment.assess(stores[0], breach, Assessment(Kind.DEFECT), by="legal")
    [found] = await record.register(stores[0])
    assert found.incident.id == breach and [each.kind for each in found.assessments] == [
        "personal-data-breach",
        "defect",
    ]
    assert found.due_at is None
    # Called a breach again, its clock is the first one's.
    await assessment.assess(stores[0], breach, Assessment(Kind.BREACH), by="legal")
    assert (await record.get(stores[0], breach)).due_at == found.assessments[0].due_at


@pytest.mark.parametrize(
    "known",
    [
        Assessment(Kind.BREACH),
        Assessment(Kind.BREACH, risk=Risk.HIGH),
        Assessment(Kind.BREACH, nature=(Nature.AVAILABILITY,)),
        Assessment(Kind.DEFECT, facts="two\nlines"),
        Assessment(Kind.DEFECT, measures=""),
        Assessment(Kind.DEFECT, subjects=-1),
        Assessment(Kind.DEFECT, records=2**60),
        Assessment(Kind.DEFECT, data_categories=("user.shoe_size",)),
        Assessment(Kind.DEFECT, data_categories=("system.operations",)),
    ],
)
async def test_what_contradicts_itself_is_refused_whole(stores: Stores, reported: UUID, known: Assessment) -> None:
    with pytest.raises(Rejected):
        await assessment.assess(stores[0], reported, known, by="operator")
    assert (await record.get(stores[0], reported)).assessments == ()
    assert [kind for kind, _ in await entries(stores[0])] == [EntryType.INCIDENT_OPENED]


async def test_nobody_is_aware_in_the_future(stores: Stores, reported: UUID) -> None:
    with pytest.raises(Rejected):
        known = Assessment(Kind.BREACH, risk=Risk.HIGH, nature=(Nature.INTEGRITY,), aware_at=clock.now() + HOUR)
        await assessment.assess(stores[0], reported, known, by="operator")


async def test_a_closed_one_is_assessed_no_more(stores: Stores, reported: UUID) -> None:
    await assessment.assess(stores[0], reported, Assessment(Kind.EVENT), by="operator")
    await record.close(stores[0], reported, by="operator", reason="an attempt that failed")
    with pytest.raises(Conflict):
        await assessment.assess(stores[0], reported, BREACH, by="operator")


async def test_what_a_control_found_is_told_to_nobody_by_itself(stores: Stores, later: Later) -> None:
    row = await seen(stores[0])
    known = Assessment(Kind.BREACH, risk=Risk.HIGH, nature=(Nature.CONFIDENTIALITY,))
    await assessment.assess(stores[0], row.id, known, by="legal")
    found = await record.get(stores[0], row.id)
    assert found.assessments[-1].facts == "" and any("what happened" in each for each in found.missing())
    assert row.found[0] not in drafts.draft(found, Told.SUBJECTS, "privacy@example.org")[1]
