"""No statement of either store takes a fragment of a body: as a parameter, among many rows, or quoted in its text."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    LargeBinary,
    String,
    Text,
    Uuid,
    func,
    insert,
    literal,
    select,
    text,
    update,
)  # fmt: skip
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from governance.bodies.fragments import Holding
from governance.bodies.guard_sql import watch_engine
from governance.bodies.guards import Guard
from governance.datamap import DataUse
from governance.db import Database
from tests.services.guarding import PROMPT

Ask = Callable[..., Holding]
LEAK = PROMPT[20:80]


class Forgetful(DeclarativeBase):
    """Tables that somebody forgot to declare."""


class Note(Forgetful):
    __tablename__ = "forgetful"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    words: Mapped[str | None] = mapped_column(Text, nullable=True)
    must: Mapped[str] = mapped_column(String(60), unique=True)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    extra: Mapped[Any] = mapped_column(JSON, nullable=False)
    charge: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


NOTES = Note.__table__


def note(**values: Any) -> dict[str, Any]:
    return {
        "id": uuid4(), "words": "fine", "must": uuid4().hex, "raw": b"\x00fine", "extra": {"a": 1}, "charge": 4321,
        "at": datetime(2026, 11, 26, tzinfo=UTC), **values,
    }  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, guard: Guard) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/notes.db"
    else:
        url = request.getfixturevalue("fresh_postgres")
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(Forgetful.metadata.create_all)
    watch_engine(database, guard)
    yield database
    await database.aclose()


async def rows(database: Database) -> list[Any]:
    async with database.engine.connect() as connection:
        return list((await connection.execute(select(NOTES).order_by(NOTES.c.charge))).all())


async def test_an_orm_column_that_holds_it_is_left_out_and_the_money_goes_on(
    database: Database, guard: Guard, asked: Ask, event_log: Path
) -> None:
    made = note(words=f"they said {LEAK}", must=LEAK[:50], raw=LEAK.encode(), extra={"prompt": LEAK})
    async with database.transaction(DataUse.PAYMENT) as session:
        session.add(Note(**made))
    [row] = await rows(database)
    assert (row.id, row.charge, row.words, row.extra) == (made["id"], 4321, None, None)
    assert row.must.startswith("withheld-") and row.raw.startswith(b"withheld-")
    guard.said()
    told = [json.loads(line) for line in event_log.read_text().splitlines()]
    assert [each["sink"] for each in told] == ["sql"] and len(guard.places) == 1
    # The line that wrote it, although the statement ran in a greenlet of SQLAlchemy's.
    assert str(told[0]["place"]).startswith("tests/governance/bodies/test_guard_sql.py:")


async def test_many_rows_at_once_lose_only_what_holds_it(database: Database, asked: Ask) -> None:
    several = [
        note(charge=number, words=LEAK if number == 2 else "fine", must=f"{LEAK[:40]}{number}") for number in range(4)
    ]
    async with database.engine.begin() as connection:
        await connection.execute(insert(NOTES), several)
    found = await rows(database)
    assert [row.words for row in found] == ["fine", "fine", None, "fine"]
    # Marks differ as the values did: a unique column takes them all.
    assert len({row.must for row in found}) == 4 and all(row.must.startswith("withheld-") for row in found)


async def test_rows_that_return_something_and_rows_in_one_statement(database: Database, asked: Ask) -> None:
    async with database.engine.begin() as connection:
        made = await connection.execute(
            insert(NOTES).returning(NOTES.c.id, NOTES.c.words),
            [note(words=LEAK, charge=1), note(charge=2), note(words=LEAK + "!", charge=3)],
        )
        assert len(made.all()) == 3
        await connection.execute(insert(NOTES).values([note(words=LEAK, charge=4), note(charge=5)]))
    assert [row.words == "fine" for row in await rows(database)] == [False, True, False, False, True]
    assert not any(LEAK[:32] in str(tuple(row)) for row in await rows(database))


async def test_an_update_and_a_literal_in_the_statements_text(database: Database, asked: Ask) -> None:
    made = note()
    quoted = LEAK.replace("'", "''")
    async with database.engine.begin() as connection:
        await connection.execute(insert(NOTES), made)
        await connection.execute(update(NOTES).where(NOTES.c.id == made["id"]).values(words=f"now {LEAK}"))
    assert (await rows(database))[0].words is None
    async with database.engine.begin() as connection:
        await connection.execute(text(f"UPDATE forgetful SET words = 'so: {quoted}', charge = 7"))
        assert (await connection.execute(select(literal(LEAK, literal_execute=True)))).scalar_one() == "withheld"
        await connection.exec_driver_sql(f"SELECT 1 /* {LEAK} */")
    [row] = await rows(database)
    assert (row.words, row.charge) == ("withheld", 7)


async def test_what_no_body_holds_passes_unchanged(database: Database, guard: Guard, asked: Ask) -> None:
    made = note(words="Dear doctor, it is my right knee, and it makes no sound at all.", extra={"long": "x" * 200})
    async with database.engine.begin() as connection:
        await connection.execute(insert(NOTES), made)
        await connection.execute(text("UPDATE forgetful SET must = 'a literal of ours that is as long as any other'"))
    [row] = await rows(database)
    assert (row.words, row.extra) == (made["words"], made["extra"]) and not guard.places


async def test_nobody_stops_charges_by_writing_ids_or_statements(database: Database, guard: Guard, asked: Ask) -> None:
    """A caller who knows our source, and ids: their own, and those that a statement will bind."""
    made = note()
    statements = [str(insert(NOTES)), str(insert(NOTES).compile(database.engine.sync_engine)), str(select(NOTES))]
    asked(*statements, made["id"].hex, str(made["id"]), f"ids {made['id'].hex} and so on", made["must"])
    async with database.engine.begin() as connection:
        await connection.execute(insert(NOTES), made)
        assert (await connection.execute(select(func.count()).where(NOTES.c.id == made["id"]))).scalar_one() == 1
    [row] = await rows(database)
    assert tuple(row)[:3] == (made["id"], "fine", made["must"]) and not guard.places


async def test_an_id_of_any_form_is_an_id(database: Database, guard: Guard, asked: Ask) -> None:
    """Written into a prompt it stays the id of its row; as a text it is one like any other."""
    odd = [UUID(hex=f"{number}23456789abcdef0" * 2) for number in range(1, 5)]
    asked(*(each.hex for each in odd))
    async with database.engine.begin() as connection:
        for charge, each in enumerate(odd[:2]):
            await connection.execute(insert(NOTES), note(id=each, charge=charge, words=each.hex))
        await connection.execute(insert(NOTES).returning(NOTES.c.id), [note(id=each, charge=9) for each in odd[2:]])
        await connection.execute(update(NOTES).where(NOTES.c.id == odd[0]).values(charge=0))
    found = await rows(database)
    assert {row.id for row in found} == set(odd) and [row.words for row in found][:2] == [None, None]
    assert sum(guard.places.values()) == 2


async def test_a_guard_that_fails_loses_no_statement(
    database: Database, guard: Guard, asked: Ask, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard.watch, "find", lambda value: 1 / 0)
    async with database.engine.begin() as connection:
        await connection.execute(insert(NOTES), note(words="x" * 40))
    guard.said()
    assert (await rows(database))[0].charge == 4321
    assert json.loads(event_log.read_text().splitlines()[0])["event"] == "bodies:guard:failed"


RUSSIAN = "Уважаемый доктор, колено свистит"
CODE = "".join(f'if x{number}:\n\tx = "a"\n' for number in range(9))
QUOTES = "'twas John's, Ann's, Tim's, Bob's, Sue's, Joe's, Max's, Ida's, and Ray's knee"


async def test_what_json_writes_otherwise_and_quotes_that_are_doubled_are_seen(database: Database, asked: Ask) -> None:
    asked(RUSSIAN, CODE, QUOTES)
    async with database.engine.begin() as connection:
        for charge, extra in enumerate([{"seen": RUSSIAN}, [CODE], RUSSIAN, {RUSSIAN: 1}, {"fine": "\u0414\u0430\n"}]):
            await connection.execute(insert(NOTES), note(extra=extra, charge=charge))
        doubled = QUOTES.replace("'", "''")
        await connection.execute(text(f"UPDATE forgetful SET words = '{doubled}' WHERE charge = 4"))
    found = await rows(database)
    assert [row.extra for row in found] == [None, None, None, None, {"fine": "\u0414\u0430\n"}]
    assert found[4].words == "withheld"
