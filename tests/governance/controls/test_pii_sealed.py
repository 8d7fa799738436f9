"""A value that rests readable anywhere fails the control: in a sealed column, in a column in clear, in any file."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, type_coerce, update
from sqlalchemy.types import LargeBinary

from governance.bodies.scanner.search import Search
from governance.controls import pii_sealed
from governance.controls.control import Outcome
from governance.controls.pii_sealed import PiiSealed
from governance.datamap import AtRest, DataUse, DeclaredColumn
from governance.db import Database
from governance.mail.outbox import OutboxMail
from governance.subjects import DataSubject
from governance.vault import columns
from governance.vault.keys import KeyStore
from tests.governance.backup.rows import add_mail, url_of
from tests.shipped import shipped

Stores = tuple[Database, KeyStore]


@pytest.fixture
def sweep(stores: Stores, tmp_path: Path) -> Callable[[Search], Awaitable[None]]:
    async def look(search: Search) -> None:
        search.path(tmp_path)
        for db in (stores[0], stores[1].db):
            if not db.sqlite:
                await search.postgres(url_of(db))

    return look


@pytest.fixture
def control(data: Database, stores: Stores, sweep: Callable[[Search], Awaitable[None]]) -> PiiSealed:
    return PiiSealed(*stores, shipped, sweep)


async def rows(data: Database) -> tuple[int | None, int | None]:
    async with data.session(DataUse.SUPPORT) as session:
        count = func.count()
        return (
            await session.scalar(select(count).select_from(OutboxMail)),
            await session.scalar(select(count).select_from(DataSubject)),
        )


async def test_what_is_sealed_is_found_nowhere_and_the_drill_leaves_nothing(control: PiiSealed, stores: Stores) -> None:
    await add_mail(*stores, "anna@example.org")
    before = await rows(stores[0])
    found = await control.run()
    assert found.outcome is Outcome.PASSED, found
    assert found.counts["drilled"] == 3 and found.counts["envelopes"] >= 3 and found.counts["bytes"] > 10_000
    assert await rows(stores[0]) == before


async def test_a_value_that_is_written_past_the_vault_is_found(control: PiiSealed, stores: Stores) -> None:
    await add_mail(*stores, "anna@example.org")
    async with stores[0].transaction(DataUse.NOTICES) as session:
        plain = type_coerce(b"anna@example.org", LargeBinary)
        await session.execute(update(OutboxMail).values(recipient=plain))
    found = await control.run()
    assert found.failures == ("outbox.recipient holds 1 values that aren't sealed.",)


async def test_a_column_in_clear_that_tells_who_somebody_is_is_named(stores: Stores, control: PiiSealed) -> None:
    email = next(each for each in shipped() if each.name == "outbox.recipient")
    bare = DeclaredColumn(email.store, email.table, "bare", replace(email.declaration, at_rest=AtRest.PLAIN))
    control._declared = lambda: [bare]
    assert (await control.run()).failures == ("outbox.bare holds user.contact.email in clear.",)


async def test_a_leak_of_what_is_being_sealed_is_found(
    control: PiiSealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A debug log of the code that seals, as one may be left in."""
    seal = columns.seal

    async def leaky(keys: KeyStore, row: OutboxMail, **values: str) -> None:
        (tmp_path / "debug.log").write_text(f"sealing {values}")
        await seal(keys, row, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(pii_sealed.columns, "seal", leaky)
    found = await control.run()
    assert found.failures == tuple(
        f"{name} of the drill rests readable in 1 places." for name in ("recipient", "subject_line", "body")
    )


async def test_a_search_that_misses_the_row_proves_nothing(stores: Stores, data: Database, tmp_path: Path) -> None:
    async def elsewhere(search: Search) -> None:
        search.path(tmp_path / "keys")

    found = await PiiSealed(*stores, shipped, elsewhere).run()
    assert found.outcome is Outcome.UNPROVEN and "didn't reach" in found.missing


async def test_what_a_killed_drill_left_goes_with_the_next(
    control: PiiSealed, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = PiiSealed._forget

    async def never(self: PiiSealed) -> None:
        """As after a SIGKILL."""

    monkeypatch.setattr(PiiSealed, "_forget", never)
    await control.run()
    assert await rows(stores[0]) == (1, 1)
    monkeypatch.setattr(PiiSealed, "_forget", forget)
    assert (await control.run()).outcome is Outcome.PASSED
    assert await rows(stores[0]) == (0, 0)
