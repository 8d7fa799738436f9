"""A charge that isn't what usage and price come to fails its control; a provider that wasn't offered fails the other."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from governance import clock
from governance.controls.control import Outcome
from governance.datamap import DataUse
from governance.db import Database
from governance.vault.keys import KeyStore
from router.accounts import probe_account
from router.billing import offered, usage_log
from router.billing.usage_log import Usage
from router.controls import usage_sample
from router.controls.charges_match_usage import ChargesMatchUsage
from router.controls.upstream_as_requested import UpstreamAsRequested
from router.providers.catalog import Catalog, Price
from router.providers.usage import Usage as Tokens
from tests.router.billing.book import Customer, customer

Stores = tuple[Database, KeyStore]
TOKENS = Tokens(11, 3, 7, estimated=False, cache_write_tokens=2)  # as the book's events have them
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def moved() -> Iterator[list[timedelta]]:
    """How far after the beginning it is now."""
    at = [timedelta()]
    clock.install(lambda: BEGAN + at[0])
    yield at
    clock.install(None)


def catalog() -> Catalog:
    return Catalog.load(None, production=False, allow_insecure=False, simulator_url="http://127.0.0.1:9")


def repriced(before: Catalog, times: int) -> Catalog:
    def dearer(price: Price) -> Price:
        return replace(price, rates=replace(price.rates, output=price.rates.output * times))

    models = tuple(
        replace(model, routes=tuple(replace(route, price=dearer(route.price)) for route in model.routes))
        for model in before.models
    )
    return Catalog(before.providers, models, {})


def charge_of(of: Catalog) -> int:
    return of.resolve("simulator/gpt").routes[0].price.charge_microcredits(TOKENS)


async def served(stores: Stores, charge: int, **changes: Any) -> None:
    data, keys = stores
    somebody: Customer = await customer(data, keys, 0)
    route = {"model": "simulator/gpt", "provider": "simulator-openai"}
    row = await usage_log.row_of(keys, somebody.event(charge, **(route | changes)))
    async with data.transaction(DataUse.PAYMENT) as session:
        await usage_log.add(session, [row])


async def test_charges_are_what_the_price_of_their_time_says(stores: Stores, moved: list[timedelta]) -> None:
    data = stores[0]
    control, first = ChargesMatchUsage(data), catalog()
    await served(stores, 123)  # before prices were recorded: nothing can be said of it
    found = await control.run()
    assert found.outcome is Outcome.UNPROVEN and found.counts == {"older_than_prices": 1}
    moved[0] = timedelta(days=1)
    assert await offered.record(data, first) > 0
    assert await offered.record(data, first) == 0
    await served(stores, charge_of(first))
    await served(stores, 0, provider="", input_tokens=0, output_tokens=0, cached_input_tokens=0, cache_write_tokens=0)
    assert (await control.run()).outcome is Outcome.PASSED
    moved[0] = timedelta(days=5)
    second = repriced(first, 3)
    assert charge_of(second) > charge_of(first)
    await offered.record(data, second)
    await served(stores, charge_of(second))
    await served(stores, charge_of(first))  # by a process that wasn't started anew yet
    found = await control.run()
    assert found.outcome is Outcome.PASSED and found.examined == 4
    moved[0] = timedelta(days=7)
    await served(stores, charge_of(first))
    assert (await control.run()).failures == ("1 of 5 charges aren't what usage and price come to.",)


@pytest.mark.parametrize("changed", ["charge_microcredits", "output_tokens", "input_tokens", "cached_input_tokens"])
async def test_a_changed_row_is_found(stores: Stores, moved: list[timedelta], changed: str) -> None:
    data, first = stores[0], catalog()
    await offered.record(data, first)
    for _ in range(3):
        await served(stores, charge_of(first))
    async with data.transaction(DataUse.PAYMENT) as session:
        newest = await session.scalar(select(Usage.id).order_by(Usage.id.desc()).limit(1))
        more = {changed: getattr(Usage, changed) + 1_000_000}
        await session.execute(update(Usage).where(Usage.id == newest).values(**more))
    assert (await ChargesMatchUsage(data).run()).failures == ("1 of 3 charges aren't what usage and price come to.",)


async def test_a_request_that_went_elsewhere_is_named(stores: Stores, moved: list[timedelta]) -> None:
    data, first = stores[0], catalog()
    control = UpstreamAsRequested(data)
    assert (await control.run()).outcome is Outcome.UNPROVEN
    await offered.record(data, first)
    await served(stores, 1, provider="", input_tokens=0, output_tokens=0)
    assert (await control.run()).outcome is Outcome.UNPROVEN
    await served(stores, charge_of(first))
    assert (await control.run()).outcome is Outcome.PASSED
    await served(stores, charge_of(first), provider="somebody-else")
    assert (await control.run()).failures == (
        "Requests went to somebody-else, which wasn't offered for simulator/gpt then.",
    )


async def test_a_model_that_is_offered_no_more_counts_for_a_day(stores: Stores, moved: list[timedelta]) -> None:
    data, first = stores[0], catalog()
    control = UpstreamAsRequested(data)
    await offered.record(data, first)
    moved[0] = timedelta(days=3)
    await offered.record(data, Catalog(first.providers, (), {}))
    assert (await offered.load(data)).hosts() == {"127.0.0.1"}  # what was offered stays known
    await served(stores, charge_of(first))
    assert (await control.run()).outcome is Outcome.PASSED
    moved[0] = timedelta(days=5)
    await served(stores, charge_of(first))
    assert (await control.run()).outcome is Outcome.FAILED
    moved[0] = timedelta(days=6)
    await offered.record(data, first)
    await served(stores, charge_of(first))
    assert len((await control.run()).failures) == 1


async def test_the_probes_own_requests_are_left_out(stores: Stores, moved: list[timedelta]) -> None:
    data, keys = stores
    await offered.record(data, catalog())
    account_id, _ = await probe_account.open_key(data, keys, bump=lambda: None)
    await served(stores, 0, account_id=account_id, subject_id=account_id, provider="probe-openai", model="probe/openai")
    for control in (ChargesMatchUsage(data), UpstreamAsRequested(data)):
        assert (await control.run()).outcome is Outcome.UNPROVEN


async def test_a_large_log_is_sampled(stores: Stores, moved: list[timedelta], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_sample, "_NEWEST", 3)
    for day in range(8):
        moved[0] = timedelta(days=day)
        await served(stores, 1)
    found = await usage_sample.usage_sample(stores[0])
    assert 3 < len(found) <= 8 and len({row.id for row in found}) == len(found)
