"""Which provider was offered for which model at which price, and since when: what usage is judged by later.

A row tells what holds from a time on; a model that a provider no longer serves has a row without prices.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.ids import uuid7
from router.billing.offer import Offer
from router.providers.catalog import Catalog, Price, Rates

OVERLAP = timedelta(days=1)
"""How long an earlier offer may still be charged by: processes of one service aren't all started at once."""

Prices = list[dict[str, Any]]


async def record(data: Database, catalog: Catalog) -> int:
    """Remember what the catalog offers now, where that is news; how many offers changed."""
    offered: dict[tuple[str, str], Prices] = {}
    for model in catalog.models:
        for route in model.routes:
            entry = asdict(route.price) | {"host": route.base.host}
            offered.setdefault((model.id, route.provider.id), []).append(entry)
    async with data.transaction(DataUse.SECURITY) as session:
        rows = await session.scalars(select(Offer).order_by(Offer.at, Offer.id))
        known = {(row.model, row.provider): row.prices for row in rows}
        now = clock.now()
        changed = [
            Offer(id=uuid7(), model=key[0], provider=key[1], at=now, prices=offered.get(key, []))
            for key in sorted(known.keys() | offered.keys())
            if known.get(key, []) != offered.get(key, [])
        ]
        session.add_all(changed)
    return len(changed)


class Offers:
    """All offers there ever were, for look-ups."""

    def __init__(self, rows: Iterable[Offer]) -> None:
        self._by_key: dict[tuple[str, str], list[tuple[datetime, Prices]]] = {}
        for row in sorted(rows, key=lambda row: (row.at, row.id)):
            self._by_key.setdefault((row.model, row.provider), []).append((row.at, row.prices))

    def since(self) -> datetime | None:
        """When the first was recorded: what is older can't be judged."""
        return min((history[0][0] for history in self._by_key.values()), default=None)

    def prices(self, model: str, provider: str, at: datetime) -> list[Price]:
        """What a request that ended at `at` may have been charged by; empty where that wasn't offered then."""
        history = self._by_key.get((model, provider), [])
        times = [each[0] for each in history]
        first = max(bisect_right(times, at - OVERLAP) - 1, 0)
        return [_price(each) for _, prices in history[first : bisect_right(times, at)] for each in prices]

    def hosts(self) -> set[str]:
        """Of every provider that was ever offered."""
        return {each["host"] for history in self._by_key.values() for _, prices in history for each in prices}


async def load(data: Database) -> Offers:
    async with data.session(DataUse.SECURITY) as session:
        return Offers((await session.scalars(select(Offer))).all())


def _price(stored: Mapping[str, Any]) -> Price:
    long = stored["long"]
    return Price(Rates(**stored["rates"]), Rates(**long) if long is not None else None, stored["long_above"])
