"""From a draft to a published version: by two people, on time, as it was approved, and never changed afterwards."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from governance import clock
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import Conflict, NotFound, Rejected, ValueAPIError
from governance.evidence import pending
from governance.evidence.entry import EntryType
from governance.period import Period
from governance.vault.keys import KeyStore
from policies import drafts, version, versions
from policies.drafts import PolicyDraftFile, Stage
from policies.version import Version
from tests.policies.conftest import Made

WRITER, SUBMITTER, APPROVER = (uuid4() for _ in range(3))
MONTH = Period.parse("P30D")


@pytest.fixture
def db(stores: tuple[Database, KeyStore]) -> Database:
    pending.attach(*stores)
    return stores[0]


@pytest.fixture
def today() -> Iterator[None]:
    clock.install(lambda: datetime(2026, 11, 27, 12, tzinfo=UTC))
    yield
    clock.install(None)


@pytest.fixture
def terms(made: Made, today: None) -> Version:
    return version.read(made("2027-01", series="terms"))


async def submitted(db: Database, found: Version) -> None:
    await drafts.keep(db, found, WRITER)
    await drafts.submit(db, found, SUBMITTER, MONTH)


async def stage(db: Database) -> Stage:
    [row] = await drafts.listed(db)
    return row.stage


async def test_a_draft_is_written_submitted_approved_and_published(db: Database, terms: Version) -> None:
    await drafts.keep(db, terms, WRITER)
    assert (await drafts.get(db, "terms", "2027-01")).digest == terms.digest
    await drafts.submit(db, terms, SUBMITTER, MONTH)
    await drafts.approve(db, "terms", "2027-01", terms.digest, APPROVER)
    assert await versions.history(db, "terms") == []
    await drafts.publish(db, "terms", "2027-01", "legal", MONTH)
    assert await stage(db) is Stage.PUBLISHED
    [row] = await versions.history(db, "terms")
    assert (row.digest, row.published_by, row.effective_on.isoformat()) == (terms.digest, "legal", "2027-01-01")
    assert (await versions.get(db, "terms", "2027-01")).files == terms.files
    [entry] = [entry for _, entry in await pending.newest(Store.DATA, db, 9)]
    assert entry.type is EntryType.POLICY_PUBLISHED and entry.detail["digest"] == terms.digest
    assert await versions.in_force(db, "terms") is None  # until its date
    clock.install(lambda: datetime(2027, 1, 1, tzinfo=UTC))
    now = await versions.in_force(db, "terms")
    assert now is not None and now.version == "2027-01"


@pytest.mark.parametrize("who", [WRITER, SUBMITTER], ids=["who wrote it", "who submitted it"])
async def test_nobody_approves_their_own(db: Database, terms: Version, who: UUID) -> None:
    await submitted(db, terms)
    with pytest.raises(Rejected, match="a second person"):
        await drafts.approve(db, "terms", "2027-01", terms.digest, who)
    assert await stage(db) is Stage.SUBMITTED


async def test_no_step_is_skipped(db: Database, terms: Version) -> None:
    with pytest.raises(NotFound):
        await drafts.submit(db, terms, SUBMITTER, MONTH)
    await drafts.keep(db, terms, WRITER)
    for too_early in (
        drafts.approve(db, "terms", "2027-01", terms.digest, APPROVER),
        drafts.publish(db, "terms", "2027-01", "legal", MONTH),
    ):
        with pytest.raises(Conflict, match="is draft"):
            await too_early
    await drafts.submit(db, terms, SUBMITTER, MONTH)
    with pytest.raises(Conflict, match="is submitted"):
        await drafts.publish(db, "terms", "2027-01", "legal", MONTH)
    with pytest.raises(Conflict, match="withdraw it first"):
        await drafts.keep(db, terms, WRITER)
    with pytest.raises(Conflict, match="isn't the text"):
        await drafts.approve(db, "terms", "2027-01", "00" * 32, APPROVER)
    await drafts.approve(db, "terms", "2027-01", terms.digest, APPROVER)
    await drafts.publish(db, "terms", "2027-01", "legal", MONTH)
    for too_late in (
        drafts.keep(db, terms, WRITER),
        drafts.publish(db, "terms", "2027-01", "legal", MONTH),
        drafts.withdraw(db, "terms", "2027-01", "A slip."),
    ):
        with pytest.raises(Conflict):
            await too_late
    assert len(await versions.history(db, "terms")) == 1


async def test_what_ships_is_published_and_is_no_draft(db: Database) -> None:
    [ships] = versions.shipped()
    await versions.seed(db, [ships])
    with pytest.raises(Conflict, match="is published, and isn't changed"):
        await drafts.keep(db, ships, WRITER)
    assert await drafts.listed(db) == []


async def test_a_draft_that_was_changed_since_is_not_what_was_checked_or_approved(
    db: Database, terms: Version, made: Made
) -> None:
    await drafts.keep(db, terms, WRITER)
    other = version.made("terms", "2027-01", {"policy.md": terms.files["policy.md"] + b"\nMore.\n"})
    await drafts.keep(db, other, WRITER)
    with pytest.raises(Conflict, match="changed since it was checked"):
        await drafts.submit(db, terms, SUBMITTER, MONTH)
    await drafts.submit(db, other, SUBMITTER, MONTH)
    await drafts.approve(db, "terms", "2027-01", other.digest, APPROVER)
    async with db.transaction(DataUse.SECURITY) as session:
        await session.execute(update(PolicyDraftFile).values(content=terms.files["policy.md"]))
    with pytest.raises(Conflict, match="aren't those that were approved"):
        await drafts.publish(db, "terms", "2027-01", "legal", MONTH)
    with pytest.raises(Conflict, match="aren't those that were kept"):
        await drafts.get(db, "terms", "2027-01")
    assert await versions.history(db, "terms") == [] and await stage(db) is Stage.APPROVED


async def test_what_is_withdrawn_is_written_and_approved_anew(db: Database, terms: Version) -> None:
    await submitted(db, terms)
    await drafts.approve(db, "terms", "2027-01", terms.digest, APPROVER)
    for wrong in ("", " ", "x" * 501, "two\nlines"):
        with pytest.raises(Rejected):
            await drafts.withdraw(db, "terms", "2027-01", wrong)
    await drafts.withdraw(db, "terms", "2027-01", "A clause is missing.")
    with pytest.raises(Conflict, match="is withdrawn"):
        await drafts.publish(db, "terms", "2027-01", "legal", MONTH)
    await drafts.keep(db, terms, APPROVER)
    await drafts.submit(db, terms, SUBMITTER, MONTH)
    with pytest.raises(Rejected, match="a second person"):  # the approver of before wrote it now
        await drafts.approve(db, "terms", "2027-01", terms.digest, APPROVER)


def dated(found: Version, effective: str, material: bool) -> Version:
    text = found.files["policy.md"].decode()
    text = text.replace("effective: 2027-01-01", f"effective: {effective}")
    text = text.replace("material: true", f"material: {str(material).lower()}")
    return version.made("terms", "2027-01", {"policy.md": text.encode()})


@pytest.mark.parametrize(
    ("effective", "material", "said"),
    [
        ("2026-12-26", True, "from 2026-12-27 on: a material change is announced"),
        ("2026-12-27", True, None),
        ("2026-11-27", False, None),
        ("2026-11-26", False, "from 2026-11-27 on: nothing is back-dated"),
    ],
)
async def test_a_material_change_is_announced_and_nothing_is_back_dated(
    db: Database, terms: Version, effective: str, material: bool, said: str | None
) -> None:
    found = dated(terms, effective, material)
    await drafts.keep(db, found, WRITER)
    if said is None:
        await drafts.submit(db, found, SUBMITTER, MONTH)
    else:
        with pytest.raises(Rejected, match=said):
            await drafts.submit(db, found, SUBMITTER, MONTH)


async def test_an_approval_that_lies_too_long_publishes_nothing(db: Database, terms: Version) -> None:
    await submitted(db, terms)
    await drafts.approve(db, "terms", "2027-01", terms.digest, APPROVER)
    clock.install(lambda: datetime(2026, 11, 27, 12, tzinfo=UTC) + timedelta(days=9))
    with pytest.raises(Rejected, match="a material change"):
        await drafts.publish(db, "terms", "2027-01", "legal", MONTH)


async def test_a_version_comes_into_force_after_those_that_are_published(db: Database, made: Made, today: None) -> None:
    first, second = version.read(made("2027-02", series="terms")), version.read(made("2027-01", series="terms"))
    for found in (first, second):
        await drafts.keep(db, found, WRITER)
        await drafts.submit(db, found, SUBMITTER, MONTH)
        await drafts.approve(db, "terms", found.version, found.digest, APPROVER)
    await drafts.publish(db, "terms", "2027-02", "legal", MONTH)
    with pytest.raises(Rejected, match="after the version of 2027-02-01"):
        await drafts.publish(db, "terms", "2027-01", "legal", MONTH)


async def test_of_several_who_act_at_once_one_does(db: Database, terms: Version) -> None:
    def outcomes(results: list[object]) -> list[bool]:
        assert all(result is None or isinstance(result, ValueAPIError | Version) for result in results), results
        return sorted(not isinstance(result, ValueAPIError) for result in results)

    await asyncio.gather(*(drafts.keep(db, terms, WRITER) for _ in range(4)), return_exceptions=True)
    assert await stage(db) is Stage.DRAFT
    for act in (
        lambda: drafts.submit(db, terms, SUBMITTER, MONTH),
        lambda: drafts.approve(db, "terms", "2027-01", terms.digest, APPROVER),
        lambda: drafts.publish(db, "terms", "2027-01", "legal", MONTH),
    ):
        results = await asyncio.gather(*(act() for _ in range(4)), return_exceptions=True)
        assert outcomes(list(results)) == [False, False, False, True]
    assert len(await versions.history(db, "terms")) == 1
