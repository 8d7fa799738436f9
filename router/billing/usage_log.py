"""The usage log: one row a request, with what section 2 of the privacy policy lists and nothing else.

Rows rest for the `usage` period; address and user agent are sealed under the subject's key and go after the shorter
`usage-network` period. The money of a request is in the ledger, which this log doesn't carry.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Date, Index, Integer, String, Uuid, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance.datamap import AtRest, Base, DataUse, LegalBasis, OnErasure, declared
from governance.db import UtcDateTime
from governance.errors import PeriodOver
from governance.vault import columns
from governance.vault.columns import SealedType
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed
from router.billing.ledger import insert_absent
from router.billing.meter_event import MeterEvent

# "This is strictly for billing, rate-limiting, and security monitoring" (policy, section 2); access requests are law.
_USES = (DataUse.PAYMENT, DataUse.SERVICE, DataUse.SECURITY, DataUse.LEGAL_OBLIGATION)
_NETWORK = (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION)
_PAGE_MAX = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _plain(kind: Any, seal_id: int, category: str = "user.telemetry", **options: Any) -> Mapped[Any]:
    return declared(kind, seal_id, category, _USES, retention="usage", on_erasure=OnErasure.DELETE, **options)


def _network(seal_id: int, category: str) -> Mapped[Sealed[str] | None]:
    return declared(
        SealedType(str), seal_id, category, _NETWORK, at_rest=AtRest.SEALED, nullable=True,
        retention="usage-network", on_erasure=OnErasure.SHRED, legal_basis=LegalBasis.LEGITIMATE_INTEREST,
    )  # fmt: skip


class Usage(Base):
    """One request. Its id is the request id, made when the request came in (UUIDv7), so it sorts by time."""

    __tablename__ = "usage"
    __table_args__ = (Index(None, "account_id", "id"), Index(None, "account_id", "at"))

    id: Mapped[UUID] = _plain(Uuid, 350, "user.unique_id.pseudonymous", primary_key=True)
    account_id: Mapped[UUID] = _plain(Uuid, 351, "user.unique_id.pseudonymous")
    subject_id: Mapped[UUID | None] = _plain(Uuid, 352, "user.unique_id.pseudonymous", nullable=True, index=True)
    api_key_id: Mapped[UUID] = _plain(Uuid, 353, "user.unique_id.pseudonymous")
    at: Mapped[datetime] = _plain(UtcDateTime, 354, index=True)
    endpoint: Mapped[str] = _plain(String(32), 355)
    model: Mapped[str] = _plain(String(200), 356)
    provider: Mapped[str] = _plain(String(64), 357)
    input_tokens: Mapped[int] = _plain(BigInteger, 358)
    cached_input_tokens: Mapped[int] = _plain(BigInteger, 359)
    cache_write_tokens: Mapped[int] = _plain(BigInteger, 369)
    output_tokens: Mapped[int] = _plain(BigInteger, 360)
    estimated: Mapped[bool] = _plain(Boolean, 361)
    charge_microcredits: Mapped[int] = _plain(BigInteger, 362, "user.financial")
    latency_ms: Mapped[int] = _plain(BigInteger, 363)
    first_byte_ms: Mapped[int | None] = _plain(BigInteger, 364, nullable=True)
    status: Mapped[int] = _plain(Integer, 365)
    outcome: Mapped[str] = _plain(String(16), 366)
    ip: Mapped[Sealed[str] | None] = _network(367, "user.device.ip_address")
    user_agent: Mapped[Sealed[str] | None] = _network(368, "user.device")


_NAMES = tuple(column.name for column in Usage.__table__.columns)


@dataclass(frozen=True, slots=True)
class Total:
    """One model's usage on one UTC day."""

    day: date
    model: str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    charge_microcredits: int


async def row_of(keys: KeyStore, event: MeterEvent) -> dict[str, Any]:
    """The row of an event, its personal values sealed for it. Raises KeyUnavailable where the subject is erased."""
    row = Usage(
        id=event.request_id,
        account_id=event.account_id,
        subject_id=event.subject_id,
        api_key_id=event.api_key_id,
        at=_EPOCH + timedelta(milliseconds=event.at_ms),
        endpoint=_text(event.endpoint, 32),
        model=_text(event.model, 200),
        provider=_text(event.provider, 64),
        input_tokens=event.input_tokens,
        cached_input_tokens=event.cached_input_tokens,
        cache_write_tokens=event.cache_write_tokens,
        output_tokens=event.output_tokens,
        estimated=event.estimated,
        charge_microcredits=event.charge_microcredits,
        latency_ms=event.latency_ms,
        first_byte_ms=event.first_byte_ms,
        status=event.status,
        outcome=event.outcome,
    )
    network = {"ip": event.ip, "user_agent": event.user_agent}
    with suppress(PeriodOver):  # committed later than it may be kept: the row stays without it
        await columns.seal(
            keys, row, at=row.at, **{name: value for name, value in network.items() if value is not None}
        )
    return {name: getattr(row, name) for name in _NAMES}


def _text(value: str, length: int) -> str:
    """What PostgreSQL takes: one bad name must not stop the charges behind it."""
    return value.replace("\0", "")[:length]


async def add(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows made by `row_of`; one whose request is there already is left as it is."""
    await insert_absent(session, Usage, rows)


async def forget(session: AsyncSession, account_id: UUID) -> int:
    """Delete an account's rows, as the service's own probe leaves some that are nobody's use; how many there were."""
    mine = delete(Usage).where(Usage.account_id == account_id).execution_options(synchronize_session=False)
    return int((await session.execute(mine)).rowcount)  # type: ignore[attr-defined]


async def list_usage(
    session: AsyncSession, account_id: UUID, limit: int = 100, before: UUID | None = None
) -> Sequence[Usage]:
    """An account's requests, newest first; the next page begins before the last row's id. At most 1000 rows."""
    query = select(Usage).where(Usage.account_id == account_id)
    if before is not None:
        query = query.where(Usage.id < before)
    return (await session.scalars(query.order_by(Usage.id.desc()).limit(max(1, min(limit, _PAGE_MAX))))).all()


async def totals(session: AsyncSession, account_id: UUID, since: datetime) -> list[Total]:
    """An account's usage since an aware time, by UTC day and model, the latest day first."""
    sqlite = (await session.connection()).dialect.name == "sqlite"
    # SQLite keeps UTC text whose date is its first part; PostgreSQL would take the session's time zone.
    day = func.date(Usage.at, type_=String) if sqlite else func.date(func.timezone("UTC", Usage.at), type_=Date)
    query = (
        select(
            day.label("day"),
            Usage.model,
            func.count(),
            func.sum(Usage.input_tokens),
            func.sum(Usage.cached_input_tokens),
            func.sum(Usage.cache_write_tokens),
            func.sum(Usage.output_tokens),
            func.sum(Usage.charge_microcredits),
        )
        .where(Usage.account_id == account_id, Usage.at >= since)
        .group_by("day", Usage.model)
        .order_by(day.desc(), Usage.model)
    )
    found = []
    for on, model, *sums in await session.execute(query):
        numbers = [int(number) for number in sums]
        found.append(Total(on if isinstance(on, date) else date.fromisoformat(str(on)), model, *numbers))
    return found
