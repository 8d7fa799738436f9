"""Columns are sampled on both databases, what nobody declared is seen, and no value comes out."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import JSON, LargeBinary, String, Text, Uuid
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, Base, DataUse, OnErasure, Store, declared, impersonal
from governance.db import Database
from governance.ids import uuid7
from governance.personal_data import columns
from governance.personal_data.columns import ColumnSample, covers, sample_columns, sampled
from governance.personal_data.kinds import Kind
from governance.vault.keys import KeyStore
from tests.shipped import shipped

Stores = tuple[Database, KeyStore]
_ROW: dict[str, Any] = {"retention": "account", "on_erasure": OnErasure.DELETE}
_USES = (DataUse.SERVICE, DataUse.SUPPORT)


class Remark(Base):
    """A table of this test alone: machinery, a hash, a document, and a contact; none may be read for security but the first."""

    __tablename__ = "test_remark"
    id: Mapped[UUID] = declared(Uuid, 9140, "user.unique_id", _USES, primary_key=True, **_ROW)
    failure: Mapped[str | None] = impersonal(Text, 9141, nullable=True)
    digest: Mapped[bytes | None] = impersonal(LargeBinary, 9142, AtRest.HASHED, nullable=True)
    document: Mapped[Any] = declared(JSON, 9143, "user.account.settings", _USES, nullable=True, **_ROW)
    contact: Mapped[str | None] = declared(String(80), 9144, "user.contact", _USES, nullable=True, **_ROW)


async def fill(data: Database, count: int, **last: Any) -> None:
    """Rows as they should be, and one more."""
    async with data.transaction(DataUse.SERVICE) as session:
        for number in range(count):
            session.add(
                Remark(id=uuid7(), failure="timeout", digest=bytes([number % 256]) * 32, document={"tier": "free"})
            )
        session.add(Remark(id=uuid7(), **last))


async def remarks(data: Database, **options: Any) -> dict[str, ColumnSample]:
    found = [each async for each in sample_columns(data, Store.DATA, **options)]
    return {each.column.column: each for each in found if each.column.table == "test_remark"}


async def test_what_nobody_declared_is_seen_in_every_form(stores: Stores) -> None:
    await fill(
        stores[0], 20,
        failure="550 unknown: anna.schmidt@example.org",
        digest=b"DE50526018159083016613",
        document={"note": {"by": ["my name is Anna Schmidt"]}, "email": "anna@example.org"},
        contact="anna@example.org; card 4111 1111 1111 1111",
    )  # fmt: skip
    seen = await remarks(stores[0])
    assert {name: set(each.undeclared) for name, each in seen.items()} == {
        "failure": {Kind.EMAIL},
        "digest": {Kind.IBAN},
        "document": {Kind.EMAIL, Kind.PERSON},
        "contact": {Kind.CARD},
    }
    assert set(seen["contact"].declared) == {Kind.EMAIL}
    assert seen["failure"].rows == 21 and seen["failure"].values == 21 and seen["failure"].whole
    assert (
        seen["failure"].undeclared[Kind.EMAIL].values == 1 and seen["failure"].undeclared[Kind.EMAIL].score_max == 1.0
    )
    assert seen["contact"].use is DataUse.SERVICE
    assert "anna" not in repr(seen) and "4111" not in repr(seen)


async def test_without_it_nothing_is_seen(stores: Stores) -> None:
    await fill(stores[0], 20, failure="timeout", contact="anna@example.org")
    assert all(not each.undeclared for each in (await remarks(stores[0])).values())


async def test_every_column_of_both_stores_can_be_read_and_its_empty_table_is_no_find(stores: Stores) -> None:
    for database, store in ((stores[0], Store.DATA), (stores[1].db, Store.KEYS)):
        seen = [each async for each in sample_columns(database, store)]
        assert [each.column for each in seen] == sampled(store) and len(seen) > 10
        assert all(each.whole and not each.undeclared for each in seen)


async def test_old_rows_are_reached_at_random(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "find", lambda text: [])
    ids = []
    async with stores[0].transaction(DataUse.SERVICE) as session:
        for number in range(400):
            ids.append(UUID(int=(number << 112) | (7 << 76)))
            session.add(Remark(id=ids[-1], failure=str(number)))
    declaration = next(each for each in sampled(Store.DATA) if each.name == "test_remark.failure")
    taken: set[int] = set()
    for _ in range(6):
        async with stores[0].session(DataUse.SERVICE) as session:
            values = [int(str(each)) for each in await columns._values(session, declaration, 40)]
        assert len(values) <= 60 and set(range(380, 400)) <= set(values)
        taken.update(values)
    # Eight places, thrice, among 380 older rows: some are in the oldest half but for a chance of one in 2**48.
    assert min(taken) < 190


async def test_it_stops_at_its_time_and_says_so(stores: Stores) -> None:
    await fill(stores[0], 3, failure="550 unknown: anna@example.org")
    seen = await remarks(stores[0], seconds=0.0)
    assert not seen["failure"].whole and seen["failure"].rows == 4 and seen["failure"].values == 0


async def test_a_long_value_is_looked_at_at_both_ends(stores: Stores) -> None:
    await fill(stores[0], 0, failure="anna@example.org " + "x " * 5000 + "+49 30 901820")
    seen = (await remarks(stores[0], characters=500))["failure"]
    assert set(seen.undeclared) == {Kind.EMAIL, Kind.PHONE} and seen.characters == 1001


def test_sealed_and_wrapped_columns_and_numbers_are_left() -> None:
    names = {each.name for store in Store for each in sampled(store)}
    assert {"outbox.idempotency_key", "account.data_policy", "ledger_entry.digest", "usage.model"} <= names
    assert not names & {"person.email", "key_node.content", "usage.id", "lease.amount", "account.created_at"}
    # Whatever is declared and isn't looked at holds no text, or is sealed.
    left = [each for each in shipped() if each.name not in names]
    kinds = {
        type(columns._plain_type(columns._column(each))).__name__
        for each in left
        if each.declaration.at_rest is AtRest.PLAIN
    }
    assert kinds <= {"Uuid", "Integer", "BigInteger", "Boolean", "DateTime", "Date"}


@pytest.mark.parametrize(
    ("category", "kind", "covered"),
    [
        ("user.contact.email", Kind.EMAIL, True),
        ("user.contact", Kind.EMAIL, True),
        ("user.contact.phone_number", Kind.EMAIL, False),
        ("user.telemetry", Kind.IP, False),
        ("user.device", Kind.IP, True),
        ("system.operations", Kind.PERSON, False),
        ("user", Kind.PERSON, False),
        ("user.authorization.credentials", Kind.SECRET, True),
        ("user.name.first", Kind.PERSON, True),
    ],
)
def test_what_a_declaration_covers(category: str, kind: Kind, covered: bool) -> None:
    assert covers(category, kind) is covered


@pytest.mark.parametrize("pair", [(UUID(int=5), UUID(int=9)), (3, 3), (1, 90), ("", "z"), ("b", "a"), (b"a", b"b")])
def test_a_place_lies_between(pair: tuple[Any, Any]) -> None:
    for _ in range(20):
        place = columns.between(*pair)
        assert place == pair[0] or min(pair) <= place <= max(pair)
    now = clock.now()
    assert columns.between(now, now) == now
