"""Mails about incidents: each person affected is told once, staff are reminded once a stage, and gaps are told to nobody."""

import asyncio
import contextlib
from datetime import timedelta
from uuid import UUID

import pytest

from governance import clock
from governance.datamap import DataUse
from governance.errors import Conflict, VaultError
from governance.incidents import affected, assessment, drafts, notice, opening, record, telling
from governance.incidents.assessment import Assessment, Kind, Nature, Risk
from governance.incidents.incident import Severity
from governance.incidents.notice import Ground, Told
from governance.mail import outbox
from governance.subjects import add_subject, new_subject
from tests.governance.incidents.conftest import BREACH, Later, Stores

CONTACT = "privacy@valueapi.ai"
HOUR = timedelta(hours=1)


async def mails(stores: Stores) -> list[outbox.OutboxEntry]:
    return await outbox.list_outbox(stores[0])


async def test_each_person_is_told_once_however_often_it_is_tried(
    stores: Stores, breach: UUID, people: list[UUID]
) -> None:
    data, keys = stores
    await affected.add(data, breach, people[:2])
    found = await record.get(data, breach)
    telling.ready(found, CONTACT)
    told = await asyncio.gather(
        *(telling.tell(data, keys, found, each, "a@example.org", CONTACT) for each in (*people, *people))
    )
    assert told.count(True) == 2 and len(await mails(stores)) == 2
    mail = await outbox.read_mail(data, (await mails(stores))[0].id)
    for part in (BREACH.facts, BREACH.consequences, BREACH.measures, CONTACT, "user.contact.email"):
        assert part is not None and part in mail.text
    assert (await record.get(data, breach)).told == 2


async def test_a_sending_is_on_record_with_its_first_notice_or_tells_nobody(
    stores: Stores, breach: UUID, people: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    await affected.add(data, breach, people)
    found = await record.get(data, breach)

    async def broken(*_: object, **__: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(notice, "subjects_told", broken)
        with pytest.raises(OSError, match=r"^$"):
            await telling.tell(data, keys, found, people[0], "a@example.org", CONTACT, begun_by="legal")
    assert await mails(stores) == [] and (await record.get(data, breach)).told == 0
    for number, each in enumerate(people):
        begun_by = None if number else "legal"
        assert await telling.tell(data, keys, found, each, "a@example.org", CONTACT, begun_by=begun_by)
        told = await record.get(data, breach)
        assert (told.told, [each.recorded_by for each in told.notices]) == (number + 1, ["legal"])
    await assessment.assess(data, breach, Assessment(Kind.EVENT), by="legal")
    await record.close(data, breach, by="legal", reason="No breach after all.")
    late = await new_subject(keys)
    async with data.transaction(DataUse.SERVICE) as session:
        add_subject(session, late)
    await affected.add(data, breach, [late])
    with pytest.raises(Conflict):
        await telling.tell(data, keys, found, late, "a@example.org", CONTACT, begun_by="legal")
    assert len(await mails(stores)) == 3


async def test_who_is_erased_is_told_nothing(stores: Stores, breach: UUID, people: list[UUID]) -> None:
    data, keys = stores
    await affected.add(data, breach, people)
    found = await record.get(data, breach)
    await keys.erase_subject(people[0])
    with contextlib.suppress(VaultError):
        assert not await telling.tell(data, keys, found, people[0], "a@example.org", CONTACT)
    assert await mails(stores) == []


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_people_are_told_nothing_with_gaps(stores: Stores, reported: UUID) -> None:
    with pytest.raises(Conflict):
        telling.ready(await record.get(stores[0], reported), CONTACT)
    known = Assessment(Kind.BREACH, risk=Risk.HIGH, nature=(Nature.CONFIDENTIALITY,))
    await assessment.assess(stores[0], reported, known, by="legal")
    found = await record.get(stores[0], reported)
    with pytest.raises(Conflict, match="categories, consequences, measures"):
        telling.ready(found, CONTACT)
    subject, text = drafts.draft(found, Told.AUTHORITY, CONTACT)
    assert str(reported) in subject and text.count(drafts.UNKNOWN) == 5
    assert drafts.gaps(found, CONTACT) == ["categories", "consequences", "measures", "records", "subjects"]


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize("to", list(Told))
async def test_a_draft_has_what_the_law_asks_for(stores: Stores, breach: UUID, to: Told) -> None:
    _, text = drafts.draft(await record.get(stores[0], breach), to, CONTACT)
    assert drafts.UNKNOWN not in text
    wanted = [
        BREACH.facts,
        BREACH.consequences,
        BREACH.measures,
        CONTACT,
        "loss of confidentiality",
        "2026-11-26 12:00 UTC",
    ]
    wanted += ["40", "120", "2026-11-29 12:00 UTC"] if to is Told.AUTHORITY else []
    assert [each for each in wanted if each is None or each not in text] == []


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_the_authority_reads_of_delay_phases_and_people(stores: Stores, breach: UUID, later: Later) -> None:
    later(80 * HOUR)
    await notice.given(stores[0], breach, Told.AUTHORITY, by="legal", late_because="The form was down.")
    await notice.withheld(
        stores[0], breach, Told.SUBJECTS, Ground.AVERTED, because="All passwords were reset.", by="legal"
    )
    _, text = drafts.draft(await record.get(stores[0], breach), Told.AUTHORITY, CONTACT)
    assert "Art. 33(1): The form was down." in text and "to the notification of 2026-11-29 20:00 UTC" in text
    assert "not made, Art. 34(3)(b): All passwords were reset." in text


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_reminders_come_nearer_as_the_time_does(
    stores: Stores, breach: UUID, people: list[UUID], later: Later
) -> None:
    data, keys = stores
    stages = []
    for _ in range(80):
        found = await record.get(data, breach)
        for each in await telling.unreminded(data, found, people[:2]):
            await telling.remind(data, keys, found, each, "staff@example.org")
            stages.append(telling.stage(found, clock.now()))
        later(HOUR)
    assert stages == ["72h"] * 2 + ["48h"] * 2 + ["24h"] * 2 + ["6h"] * 2 + ["0h"] * 2
    subjects = [(await outbox.read_mail(data, each.id)).subject for each in await mails(stores)]
    assert (
        subjects[0].startswith("Overdue")
        and subjects[-1] == "A breach of personal data must be notified by 2026-11-29 12:00 UTC"
    )
    later(15 * HOUR)
    assert await reminded(stores, breach, people[:1]) is None
    later(HOUR)
    assert (await reminded(stores, breach, people[:1]) or "").startswith("Overdue")  # each day from now on
    assert await reminded(stores, breach, people[:1]) is None


async def reminded(stores: Stores, incident_id: UUID, people: list[UUID]) -> str | None:
    """The mail that one of the staff gets by now, subject and text; None where they get none."""
    data, keys = stores
    found, before = await record.get(data, incident_id), {each.id for each in await mails(stores)}
    for each in await telling.unreminded(data, found, people):
        await telling.remind(data, keys, found, each, "staff@example.org")
    new = [each.id for each in await mails(stores) if each.id not in before]
    assert len(new) <= 1
    mail = await outbox.read_mail(data, new[0]) if new else None
    return f"{mail.subject}\n{mail.text}" if mail is not None else None


async def told_in_time(stores: Stores, breach: UUID) -> None:
    await notice.given(stores[0], breach, Told.AUTHORITY, by="legal")


async def days_reminded(stores: Stores, incident_id: UUID, staff: list[UUID], later: Later, days: int) -> list[str]:
    """What the staff read within so many days, looking every three hours."""
    read = []
    for _ in range(days * 8):
        read.append(await reminded(stores, incident_id, staff))
        later(3 * HOUR)
    return [mail for mail in read if mail is not None]


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_people_who_arent_told_are_reminded_of_each_day(
    stores: Stores, breach: UUID, people: list[UUID], later: Later
) -> None:
    data = stores[0]
    await told_in_time(stores, breach)
    read = await days_reminded(stores, breach, people[:1], later, 5)
    assert len(read) == 5
    for mail in read:
        assert mail.startswith("A breach of personal data isn't dealt with yet\n")
        assert "- Tell the people affected" in mail and "72 hours" not in mail and "assess" not in mail
    await affected.add(data, breach, people)
    await telling.told_otherwise(data, breach, people[:2], by="legal")
    [mail] = await days_reminded(stores, breach, people[:1], later, 1)
    assert "- 1 of 3 people on the list aren't told yet." in mail
    await telling.told_otherwise(data, breach, people, by="legal")
    assert await days_reminded(stores, breach, people[:1], later, 1) == []


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ground", [None, Ground.NOT_THEIRS])
async def test_customers_who_arent_told_are_reminded_of_until_there_is_a_ground(
    stores: Stores, breach: UUID, people: list[UUID], later: Later, ground: Ground | None
) -> None:
    data = stores[0]
    await told_in_time(stores, breach)
    await assessment.assess(data, breach, Assessment(Kind.BREACH, risk=Risk.LIKELY, for_customers=True), by="legal")
    if ground is not None:
        await notice.withheld(data, breach, Told.CONTROLLER, ground, because="None is among it.", by="legal")
    read = await days_reminded(stores, breach, people[:1], later, 3)
    assert ["Art. 33(2)" in mail for mail in read] == ([True] * 3 if ground is None else [])


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", [Kind.BREACH, Kind.DEFECT])
async def test_what_is_only_to_be_closed_is_reminded_of_weekly(
    stores: Stores, breach: UUID, people: list[UUID], later: Later, kind: Kind
) -> None:
    data = stores[0]
    await told_in_time(stores, breach)
    await assessment.assess(data, breach, Assessment(kind, risk=Risk.LIKELY), by="legal")
    later(20 * HOUR)
    assert await days_reminded(stores, breach, people[:1], later, 6) == []
    read = await days_reminded(stores, breach, people[:1], later, 21)
    assert len(read) == 3
    for mail in read:
        assert mail.startswith("An incident waits to be closed\n") and f"assessed as a {kind.value}" in mail
        assert "- Close it: nothing else is left to be done." in mail
    await record.close(data, breach, by="legal", reason="Done.")
    assert await days_reminded(stores, breach, people[:1], later, 8) == []


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_a_light_one_that_nobody_assessed_is_reminded_of_after_a_day_and_weekly(
    stores: Stores, people: list[UUID], later: Later
) -> None:
    light = await opening.report(stores[0], "A page is slow.", Severity.LOW, by="operator")
    assert await days_reminded(stores, light, people[:1], later, 1) == []
    assert len(await days_reminded(stores, light, people[:1], later, 6)) == 1
    read = await days_reminded(stores, light, people[:1], later, 21)
    assert len(read) == 3 and all("An incident waits for assessment" in mail for mail in read)


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_a_grave_one_waits_for_an_assessment_at_once_and_each_day(
    stores: Stores, reported: UUID, people: list[UUID], later: Later
) -> None:
    data, keys = stores
    light = await opening.report(data, "A page is slow.", Severity.MEDIUM, by="operator")
    assert telling.stage(await record.get(data, light), clock.now()) is None
    for expected in ("opened", "unassessed", "unassessed-1"):
        found = await record.get(data, reported)
        assert telling.stage(found, clock.now()) == expected
        [who] = await telling.unreminded(data, found, people[:1])
        await telling.remind(data, keys, found, who, "staff@example.org")
        assert await telling.unreminded(data, found, people[:1]) == []
        later(25 * HOUR)
    mail = await outbox.read_mail(data, (await mails(stores))[0].id, DataUse.SUPPORT)
    assert str(reported) in mail.text and "- Assess it:" in mail.text
    await assessment.assess(data, reported, Assessment(Kind.DEFECT), by="operator")
    assert telling.stage(await record.get(data, reported), clock.now()) is None
