"""An opening for an undeclared use fails the control, and so does each check that is taken away."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from governance import clock, session_use
from governance.controls.control import Outcome
from governance.controls.purpose_limited import PurposeLimited
from governance.datamap import DataUse, registry
from governance.db import Database
from governance.evidence.pending import DataEvidenceSubject
from governance.vault import purpose
from governance.vault.keys import KeyStore
from governance.vault.openings import OpeningCount
from governance.vault.uses import Uses

Stores = tuple[Database, KeyStore]


@pytest.fixture
def control(data: Database, stores: Stores) -> PurposeLimited:
    return PurposeLimited(*stores, registry)


async def test_the_drill_passes_and_leaves_no_row(control: PurposeLimited, stores: Stores) -> None:
    for _ in range(2):
        found = await control.run()
        assert found.outcome is Outcome.PASSED and found.examined >= 5, found.failures
    async with stores[0].session(DataUse.SECURITY) as session:
        assert await session.scalar(select(func.count()).select_from(DataEvidenceSubject)) == 0
    assert (await control.run()).counts["openings"] == 2  # each drill's own, of the runs before


async def test_an_opening_for_an_undeclared_use_is_named(control: PurposeLimited, stores: Stores) -> None:
    opened = {"hour": clock.now(), "column": "usage.ip", "use": DataUse.ANALYTICS.value, "actor": "job", "count": 3}
    async with stores[0].transaction(DataUse.SECURITY) as session:
        session.add(OpeningCount(**opened))
    found = await control.run()
    assert found.failures == ("usage.ip was opened for analytics.reporting.system 3 times, which it doesn't declare.",)


async def _nothing(*_: object) -> None: ...


def _no_refusals(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Uses, "check", _nothing)


def _any_purpose(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(purpose, "current", lambda _, name: purpose.stated(name))


def _any_use(patch: pytest.MonkeyPatch) -> None:
    info = DataEvidenceSubject.__table__.c.entry_id.info
    patch.setitem(info, "declaration", replace(info["declaration"], data_uses=frozenset(DataUse)))


def _any_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session_use, "_undeclared", lambda *_: [])


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("take_away", "said"),
    [
        (_no_refusals, "A value opens for a use that the person objected to."),
        (_any_purpose, "A value opens for a use that the work wasn't begun for."),
        (_any_use, "A value opens for a use that its column doesn't declare."),
        (_any_read, "Rows are read for a use that their columns don't declare."),
    ],
)
async def test_a_check_that_is_taken_away_fails_the_drill(
    control: PurposeLimited, monkeypatch: pytest.MonkeyPatch, take_away: Callable[[pytest.MonkeyPatch], None], said: str
) -> None:
    take_away(monkeypatch)
    found = await control.run()
    assert found.outcome is Outcome.FAILED and said in found.failures
