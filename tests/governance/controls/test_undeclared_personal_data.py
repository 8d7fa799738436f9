"""An address that slips into a column or a log line that doesn't declare it fails the control, and is never quoted."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.controls.card_numbers_absent import CardNumbersAbsent
from governance.controls.control import Control, Outcome
from governance.controls.undeclared_personal_data import UndeclaredPersonalData
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.jobs.due import ScheduledJob
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]
CARD = "4111 1111 1111 1111"
AT = datetime(2026, 3, 1, tzinfo=UTC)
PAGES = {"The page sign_up.html": '<input name="email" autocomplete="email">'}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "events.jsonl"
    file.write_text('{"event": "service:started", "process_id": 12}\n')
    return file


@pytest.fixture
def undeclared(stores: Stores, log: Path) -> UndeclaredPersonalData:
    return UndeclaredPersonalData({Store.DATA: stores[0], Store.KEYS: stores[1].db}, lambda: [log])


@pytest.fixture
def cards(stores: Stores, log: Path) -> CardNumbersAbsent:
    return CardNumbersAbsent({Store.DATA: stores[0], Store.KEYS: stores[1].db}, lambda: [log], lambda: PAGES)


async def _slips_in(data: Database, words: str) -> None:
    """Into a column of machinery, as a failure's text would."""
    async with data.transaction(DataUse.SECURITY) as session:
        session.add(ScheduledJob(name="job", due_at=AT, failures=0, outcome=words))


async def test_what_nobody_declared_is_named_by_place_and_kind(
    undeclared: UndeclaredPersonalData, stores: Stores, log: Path
) -> None:
    found = await undeclared.run()
    assert found.outcome is Outcome.PASSED and found.counts["columns"] > 20 and found.counts["lines"] == 1, found
    await _slips_in(stores[0], "no mailbox anna@example.org")
    log.write_text(log.read_text() + '{"event": "mail:failed", "to": "bert@example.org"}\n')
    found = await undeclared.run()
    assert found.outcome is Outcome.FAILED and len(found.failures) == 2
    assert found.failures[0].startswith("scheduled_job.outcome holds EMAIL_ADDRESS in 1 values")
    assert found.failures[1].startswith("events.jsonl holds EMAIL_ADDRESS in 1 lines")
    assert "example.org" not in str(found)


async def test_a_card_number_is_found_in_columns_and_logs(cards: CardNumbersAbsent, stores: Stores, log: Path) -> None:
    found = await cards.run()
    assert found.outcome is Outcome.PASSED and found.counts["pages"] == 1, found
    await _slips_in(stores[0], f"paid with {CARD}")
    log.write_text(log.read_text() + f"refused {CARD}\n")
    found = await cards.run()
    assert found.failures == (
        "scheduled_job.outcome holds numbers of bank cards in 1 values.",
        "events.jsonl holds numbers of bank cards in 1 lines.",
    )


@pytest.mark.parametrize(
    "page",
    ['<input autocomplete="cc-number">', '<label>Card number</label>', '{"cardNumber": "string"}', '<input name="cvc">'],
)  # fmt: skip
async def test_a_page_that_asks_for_a_card_fails(stores: Stores, page: str) -> None:
    control = CardNumbersAbsent({Store.DATA: stores[0]}, list, lambda: {"The page buy.html": page})
    assert (await control.run()).failures == ("The page buy.html asks for the number or code of a card.",)


async def test_with_nothing_to_look_at_nothing_is_proven(tmp_path: Path) -> None:
    empty: list[Callable[[], Control]] = [
        lambda: UndeclaredPersonalData({}, lambda: [tmp_path / "not there"]),
        lambda: CardNumbersAbsent({}, list, dict),
    ]
    for made in empty:
        assert (await made().run()).outcome is Outcome.UNPROVEN


async def test_what_the_time_did_not_allow_is_told(
    undeclared: UndeclaredPersonalData, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _slips_in(stores[0], "all well")
    monkeypatch.setattr("governance.controls.undeclared_personal_data._STORE_SECONDS", 0.0)
    found = await undeclared.run()
    assert found.outcome is Outcome.UNPROVEN and "weren't looked at" in found.missing
