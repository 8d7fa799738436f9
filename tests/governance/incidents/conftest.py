"""Staff and people to write to, a clock that can be moved, and a breach that is known well enough to be told."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.incidents import assessment, opening
from governance.incidents.assessment import Assessment, Kind, Nature, Risk
from governance.incidents.incident import Severity
from governance.subjects import add_subject, new_subject
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]
Later = Callable[[timedelta], None]
BREACH = Assessment(
    Kind.BREACH,
    risk=Risk.HIGH,
    nature=(Nature.CONFIDENTIALITY,),
    data_categories=("user.contact.email",),
    subjects=40,
    records=120,
    facts="A debug log kept addresses for two days.",
    consequences="Unwanted mail, attempts to guess passwords.",
    measures="The log was removed and its key destroyed; beware of mails that ask for a password.",
)


@pytest.fixture
def later() -> Iterator[Later]:
    """Moves a clock that stands still otherwise."""
    moved = timedelta()

    def on(by: timedelta) -> None:
        nonlocal moved
        moved += by

    clock.install(lambda: datetime(2026, 11, 26, 12, tzinfo=UTC) + moved)
    yield on
    clock.install(None)


@pytest.fixture
async def people(stores: Stores) -> list[UUID]:
    data, keys = stores
    made = [await new_subject(keys) for _ in range(3)]
    async with data.transaction(DataUse.SERVICE) as session:
        for subject_id in made:
            add_subject(session, subject_id)
    return made


@pytest.fixture
async def reported(stores: Stores, later: Later) -> UUID:
    return await opening.report(stores[0], "A debug log holds addresses.", Severity.HIGH, by="operator")


@pytest.fixture
async def breach(stores: Stores, reported: UUID) -> UUID:
    await assessment.assess(stores[0], reported, BREACH, by="privacy_officer")
    return reported
