"""Who was told, and why somebody was not: each with the ground that the law has for it, or it is refused."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from governance import clock
from governance.errors import Conflict, Rejected
from governance.evidence.entry import EntryType
from governance.incidents import assessment, notice, record
from governance.incidents.assessment import Assessment, Kind, Risk
from governance.incidents.notice import Ground, Told
from tests.governance.incidents.conftest import Later, Stores
from tests.governance.incidents.test_opening import entries

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


async def test_telling_the_authority_in_time_stops_its_clock(stores: Stores, breach: UUID, later: Later) -> None:
    later(timedelta(hours=71))
    await notice.given(stores[0], breach, Told.AUTHORITY, by="legal", reference="AZ 12/26")
    found = await record.get(stores[0], breach)
    [told] = found.notices
    assert found.due_at is None and (told.reference, told.reason, told.recorded_by) == ("AZ 12/26", "", "legal")
    assert (await entries(stores[0]))[-1] == (
        EntryType.INCIDENT_NOTIFIED,
        {"incident": str(breach), "recipient": "authority", "given": True},
    )


async def test_after_72_hours_the_reason_must_be_said_once(stores: Stores, breach: UUID, later: Later) -> None:
    later(timedelta(hours=72, seconds=1))
    with pytest.raises(Rejected):
        await notice.given(stores[0], breach, Told.AUTHORITY, by="legal")
    assert (await record.get(stores[0], breach)).notices == ()
    # It was told in time, and that is recorded late.
    in_time = clock.now() - timedelta(hours=1)
    await notice.given(stores[0], breach, Told.AUTHORITY, by="legal", at=in_time)
    await notice.given(stores[0], breach, Told.AUTHORITY, by="legal")  # further information, Art. 33(4)
    assert len((await record.get(stores[0], breach)).notices) == 2


async def test_a_late_one_says_why(stores: Stores, breach: UUID, later: Later) -> None:
    later(timedelta(days=4))
    await notice.given(stores[0], breach, Told.AUTHORITY, by="legal", late_because="The authority's form was down.")
    assert (await record.get(stores[0], breach)).notices[0].reason == "The authority's form was down."


@pytest.mark.parametrize("hours", [1, -1000])
async def test_nothing_is_told_before_it_is_known_or_in_the_future(stores: Stores, breach: UUID, hours: int) -> None:
    with pytest.raises(Rejected):
        at = clock.now() + timedelta(hours=hours)
        await notice.given(stores[0], breach, Told.SUBJECTS, by="legal", at=at)


@pytest.mark.parametrize(
    ("to", "ground", "risk", "refused"),
    [
        (Told.AUTHORITY, Ground.NO_RISK, Risk.UNLIKELY, None),
        (Told.AUTHORITY, Ground.NO_RISK, Risk.LIKELY, Conflict),
        (Told.AUTHORITY, Ground.PUBLIC, Risk.HIGH, Rejected),
        (Told.SUBJECTS, Ground.UNINTELLIGIBLE, Risk.HIGH, None),
        (Told.SUBJECTS, Ground.NO_HIGH_RISK, Risk.LIKELY, None),
        (Told.SUBJECTS, Ground.NO_HIGH_RISK, Risk.HIGH, Conflict),
        (Told.CONTROLLER, Ground.NOT_THEIRS, Risk.HIGH, None),
        (Told.CONTROLLER, Ground.NO_RISK, Risk.UNLIKELY, Rejected),
    ],
)
async def test_a_ground_fits_the_recipient_and_the_risk(
    stores: Stores, breach: UUID, to: Told, ground: Ground, risk: Risk, refused: type[Exception] | None
) -> None:
    await assessment.assess(stores[0], breach, Assessment(Kind.BREACH, risk=risk), by="legal")
    if refused is not None:
        with pytest.raises(refused):
            await notice.withheld(stores[0], breach, to, ground, because="It was sealed.", by="legal")
        assert (await record.get(stores[0], breach)).notices == ()
        return
    await notice.withheld(stores[0], breach, to, ground, because="It was sealed.", by="legal")
    [kept] = (await record.get(stores[0], breach)).notices
    assert (kept.given, kept.ground, kept.reason) == (False, ground, "It was sealed.")


async def test_a_ground_holds_no_longer_than_its_risk(stores: Stores, breach: UUID) -> None:
    await assessment.assess(stores[0], breach, Assessment(Kind.BREACH, risk=Risk.UNLIKELY), by="legal")
    await notice.withheld(stores[0], breach, Told.AUTHORITY, Ground.NO_RISK, because="It was sealed.", by="legal")
    assert (await record.get(stores[0], breach)).due_at is None
    await assessment.assess(stores[0], breach, Assessment(Kind.BREACH, risk=Risk.LIKELY), by="legal")
    assert (await record.get(stores[0], breach)).due_at == clock.now() + timedelta(hours=72)


async def test_of_what_is_no_breach_nobody_is_told(stores: Stores, reported: UUID) -> None:
    for known in (None, Assessment(Kind.EVENT)):
        if known is not None:
            await assessment.assess(stores[0], reported, known, by="legal")
        with pytest.raises(Conflict):
            await notice.given(stores[0], reported, Told.AUTHORITY, by="legal")
        with pytest.raises(Conflict):
            await notice.withheld(stores[0], reported, Told.AUTHORITY, Ground.NO_RISK, because="x", by="legal")


async def test_a_customer_that_was_told_is_kept_by_account(stores: Stores, breach: UUID) -> None:
    account = uuid4()
    await notice.given(stores[0], breach, Told.CONTROLLER, by="legal", account_id=account)
    assert (await record.get(stores[0], breach)).notices[0].account_id == account
    with pytest.raises(Rejected):
        await notice.given(stores[0], breach, Told.CONTROLLER, by="legal", reference="x" * 101)
