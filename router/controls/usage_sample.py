"""A bounded sample of the usage log: what the index gives at once, however many rows there are."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from governance.datamap import DataUse
from governance.db import Database
from governance.personal_data.columns import between
from router.accounts.account import PROBE, Account
from router.billing.usage_log import Usage
from router.providers.usage import Usage as Tokens

_NEWEST = 5_000
_PLACES = 50
_AT_A_PLACE = 50


@dataclass(frozen=True, slots=True)
class Metered:
    """What a request used and was charged; nothing of whose it was. `provider` is empty where none was reached."""

    id: UUID
    at: datetime
    model: str
    provider: str
    tokens: Tokens
    charge_microcredits: int


_COLUMNS = (
    Usage.id,
    Usage.at,
    Usage.model,
    Usage.provider,
    Usage.input_tokens,
    Usage.cached_input_tokens,
    Usage.output_tokens,
    Usage.estimated,
    Usage.cache_write_tokens,
    Usage.charge_microcredits,
)


async def usage_sample(data: Database) -> list[Metered]:
    """The newest rows, and some from places chosen at random between the first row's time and the last's."""
    # A probe that runs meanwhile has its own providers, and is charged nothing; its rows go when it ends.
    probes = select(Account.id).where(Account.kind == PROBE)
    rows = select(*_COLUMNS).where(Usage.account_id.not_in(probes))
    async with data.session(DataUse.PAYMENT) as session:
        found = {row.id: row for row in await session.execute(rows.order_by(Usage.at.desc()).limit(_NEWEST))}
        if len(found) == _NEWEST:
            first = await session.scalar(select(Usage.at).order_by(Usage.at).limit(1))
            last = min(row.at for row in found.values())
            for _ in range(_PLACES):
                some = rows.where(Usage.at >= between(first, last)).order_by(Usage.at).limit(_AT_A_PLACE)
                found.update((row.id, row) for row in await session.execute(some))
    return [Metered(*row[:4], Tokens(*row[4:9]), row[9]) for row in found.values()]
