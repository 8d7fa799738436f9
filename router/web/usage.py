"""An account's balance and usage, read for showing. Address and browser of a request stay sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from router.billing import ledger, usage_log
from router.billing.usage_log import Total, Usage


@dataclass(frozen=True, slots=True)
class Overview:
    """`totals` by day and model since `since`; `rows` newest first, `more` where older ones follow."""

    balance_microcredits: int
    totals: list[Total]
    rows: Sequence[Usage]
    more: bool


@dataclass(frozen=True, slots=True)
class ModelTotal:
    """One model's usage over the whole time."""

    model: str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charge_microcredits: int


async def overview(db: Database, account_id: UUID, *, days: int, limit: int, before: UUID | None) -> Overview:
    """The owner's view of one account. Money that runs in requests not yet settled still counts as theirs."""
    since = clock.now() - timedelta(days=days)
    async with db.session(DataUse.PAYMENT) as session:
        balance = await ledger.balance(session, account_id)
    async with db.session(DataUse.SERVICE) as session:
        totals = await usage_log.totals(session, account_id, since)
        rows = await usage_log.list_usage(session, account_id, limit + 1, before)
    return Overview(balance, totals, rows[:limit], len(rows) > limit)


def by_model(totals: Sequence[Total]) -> list[ModelTotal]:
    """The days of each model summed, the dearest first."""
    summed: dict[str, list[int]] = {}
    for row in totals:
        numbers = summed.setdefault(row.model, [0] * 5)
        day = (row.requests, row.input_tokens, row.cached_input_tokens, row.output_tokens, row.charge_microcredits)
        for place, number in enumerate(day):
            numbers[place] += number
    found = [ModelTotal(model, *numbers) for model, numbers in summed.items()]
    return sorted(found, key=lambda row: (-row.charge_microcredits, row.model))
