"""The usage log: its columns, pages and sums; personal values rest sealed."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import LargeBinary, select, type_coerce

from governance.datamap import DataUse
from governance.db import Database
from governance.errors import UseRefused
from governance.vault.keys import KeyStore
from router.billing import usage_log
from router.billing.usage_log import Usage
from tests.router.billing.book import IP, USER_AGENT, customer


def test_the_row_is_what_the_policy_lists_and_nothing_else() -> None:
    assert set(Usage.__table__.columns.keys()) == {
        "id", "account_id", "subject_id", "api_key_id", "at", "endpoint", "model", "provider", "input_tokens",
        "cached_input_tokens", "cache_write_tokens", "output_tokens", "estimated", "charge_microcredits", "latency_ms",
        "first_byte_ms", "status", "outcome", "ip", "user_agent",
    }  # fmt: skip


async def test_pages_are_the_account_s_own_newest_first(db: Database, keys: KeyStore) -> None:
    one, other = await customer(db, keys, 0), await customer(db, keys, 0)
    events = [one.event(n) for n in range(5)]
    rows = [await usage_log.row_of(keys, event) for event in [*events, other.event(1)]]
    async with db.transaction(DataUse.PAYMENT) as session:
        await usage_log.add(session, rows)
        await usage_log.add(session, rows[:2])
    async with db.session(DataUse.PAYMENT) as session:
        first = await usage_log.list_usage(session, one.account_id, limit=3)
        second = await usage_log.list_usage(session, one.account_id, limit=3, before=first[-1].id)
    ids = sorted((event.request_id for event in events), reverse=True)
    assert [row.id for row in [*first, *second]] == ids


async def test_address_and_agent_open_for_security_alone(db: Database, keys: KeyStore) -> None:
    made = await customer(db, keys, 0)
    row = await usage_log.row_of(keys, made.event(1))
    bare = await usage_log.row_of(keys, made.event(1, ip=None, user_agent=None, first_byte_ms=None))
    async with db.transaction(DataUse.PAYMENT) as session:
        await usage_log.add(session, [row, bare])
    async with db.session(DataUse.SECURITY) as session:
        stored = (await session.scalars(select(Usage).where(Usage.id == row["id"]))).one()
        empty = (await session.scalars(select(Usage).where(Usage.id == bare["id"]))).one()
        plain = [type_coerce(column, LargeBinary) for column in (Usage.ip, Usage.user_agent)]
        raw = await session.execute(select(*plain))
        assert not any(IP.encode() in value or USER_AGENT.encode() in value for pair in raw for value in pair if value)
    assert stored.ip is not None
    assert stored.user_agent is not None
    assert await stored.ip.open(DataUse.SECURITY) == IP
    assert await stored.user_agent.open(DataUse.SECURITY) == USER_AGENT
    with pytest.raises(UseRefused):
        await stored.ip.open(DataUse.ANALYTICS)
    assert (empty.ip, empty.user_agent, empty.first_byte_ms) == (None, None, None)


async def test_totals_are_by_utc_day_and_model(db: Database, keys: KeyStore) -> None:
    made = await customer(db, keys, 0)
    midnight = datetime(2026, 3, 2, tzinfo=UTC)

    def at(moment: datetime) -> int:
        return int(moment.timestamp() * 1000)

    events = [
        made.event(5, at_ms=at(midnight - timedelta(milliseconds=1))),
        made.event(7, at_ms=at(midnight)),
        made.event(9, at_ms=at(midnight + timedelta(hours=23, minutes=59)), model="other"),
        made.event(11, at_ms=at(midnight + timedelta(hours=3))),
        made.event(100, at_ms=at(midnight - timedelta(days=9))),
    ]
    async with db.transaction(DataUse.PAYMENT) as session:
        await usage_log.add(session, [await usage_log.row_of(keys, event) for event in events])
    async with db.session(DataUse.PAYMENT) as session:
        found = await usage_log.totals(session, made.account_id, midnight - timedelta(days=2))
        assert await usage_log.totals(session, uuid4(), midnight - timedelta(days=2)) == []
    assert [(total.day, total.model, total.requests, total.charge_microcredits) for total in found] == [
        (date(2026, 3, 2), "other", 1, 9),
        (date(2026, 3, 2), "simulator/small", 2, 18),
        (date(2026, 3, 1), "simulator/small", 1, 5),
    ]
    assert (found[1].input_tokens, found[1].cached_input_tokens, found[1].output_tokens) == (22, 6, 14)
    assert found[1].cache_write_tokens == 4


async def test_a_name_that_no_database_takes_does_not_stop_the_commit(db: Database, keys: KeyStore) -> None:
    made = await customer(db, keys, 0)
    event = made.event(1, model="a\0" + "b" * 500, provider="c" * 500)
    async with db.transaction(DataUse.PAYMENT) as session:
        await usage_log.add(session, [await usage_log.row_of(keys, event)])
    async with db.session(DataUse.PAYMENT) as session:
        (row,) = await usage_log.list_usage(session, made.account_id)
    assert row.model == "a" + "b" * 199
    assert row.provider == "c" * 64
