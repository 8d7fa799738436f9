"""A session reads what declares its use, and nothing else, however it asks."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Integer,
    String,
    Uuid,
    cast,
    delete,
    desc,
    exists,
    extract,
    func,
    insert,
    literal,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Mapped, aliased
from sqlalchemy.sql.elements import quoted_name

from governance.datamap import Base, DataUse, OnErasure, declared
from governance.db import Database
from governance.errors import UseRefused
from governance.ids import uuid7
from governance.session_use import reading_for, rewrapping
from governance.subjects import DataSubject, add_subject
from governance.vault.keys import KeyStore
from governance.vault.permitted import Permitted, UseProjection, UseRefusal
from governance.vault.subject_uses import SubjectUses, UsesVersion

Stores = tuple[Database, KeyStore]
_ROW: dict[str, Any] = {"retention": "account", "on_erasure": OnErasure.DELETE}
_KEPT: dict[str, Any] = {"retention": "ledger", "on_erasure": OnErasure.KEEP_TAX}
_BOOKS = (DataUse.FINANCE, DataUse.PAYMENT)
_BOTH = (DataUse.SERVICE, DataUse.SECURITY)


class Trace(Base):
    """A table of this test alone: `score` may be read for security only."""

    __tablename__ = "test_trace"
    id: Mapped[UUID] = declared(Uuid, 9120, "user.unique_id", _BOTH, primary_key=True, **_ROW)
    subject_id: Mapped[UUID | None] = declared(Uuid, 9121, "user.unique_id", _BOTH, nullable=True, **_ROW)
    place: Mapped[str] = declared(String(20), 9122, "user.location", _BOTH, **_ROW)
    score: Mapped[int] = declared(Integer, 9123, "user.behavior", (DataUse.SECURITY,), **_ROW)


class Voucher(Base):
    """A table of this test alone: the amount is kept for tax, the note isn't."""

    __tablename__ = "test_voucher"
    id: Mapped[UUID] = declared(Uuid, 9124, "user.unique_id", _BOOKS, primary_key=True, **_KEPT)
    subject_id: Mapped[UUID] = declared(Uuid, 9125, "user.unique_id", _BOOKS, **_KEPT)
    amount: Mapped[int] = declared(Integer, 9126, "user.financial", _BOOKS, **_KEPT)
    note: Mapped[str] = declared(String(20), 9127, "user.financial", _BOOKS, **_ROW)


OTHER = aliased(Trace)
REFUSED = {
    "the whole row": select(Trace),
    "the column": select(Trace.score),
    "under another name": select(Trace.score.label("harmless")),
    "in a condition": select(Trace.id).where(Trace.score > 3),
    "in the order": select(Trace.id).order_by(Trace.score),
    "in a sum": select(func.sum(Trace.score)),
    "in a group": select(func.count()).select_from(Trace).group_by(Trace.score),
    "in a join": select(Trace.id).join(OTHER, OTHER.score == Trace.score),
    "through an alias": select(OTHER.score),
    "in a subquery": select(func.count()).select_from(select(Trace.score).subquery()),
    "a whole row in a subquery": select(func.count()).select_from(select(Trace).subquery()),
    "in an IN": select(Trace.id).where(Trace.place.in_(select(OTHER.place).where(OTHER.score == 1))),
    "in a union": select(Trace.place).union(select(OTHER.place).where(OTHER.score == 1)),
    "what a deletion returns": delete(Trace).returning(Trace.score),
    "what an update returns": update(Trace).values(place="x").returning(Trace),
    "in the condition of an update that returns": update(Trace)
    .where(Trace.score > 3)
    .values(place="x")
    .returning(Trace.id),
    "in the condition of a subquery": select(select(Trace.id).where(Trace.score > 3).subquery().c.id),
    "in what an update writes": update(DataSubject).values(state=select(Trace.score).limit(1).scalar_subquery()),
    "in what an insert writes": insert(DataSubject).from_select(["state"], select(Trace.score)),
    "copied into a column that declares the use": update(Trace).values(place=cast(Trace.score, String)),
    "the same by the column": update(Trace).values({Trace.place: cast(Trace.score, String)}),
    "the same in a subquery": update(Trace).values(place=select(cast(OTHER.score, String)).limit(1).scalar_subquery()),
    "copied by an insert": insert(Trace).from_select(
        ["id", "place", "score"], select(literal(uuid7(), Uuid), cast(Trace.score, String), literal(1))
    ),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_a_column_that_does_not_declare_the_use_is_not_read(stores: Stores, how: str) -> None:
    async with stores[0].session(DataUse.SERVICE) as session:
        with pytest.raises(UseRefused, match=r"test_trace\.score may not be read for essential\.service"):
            await session.execute(REFUSED[how])
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(REFUSED[how])


_WINDOW = func.row_number()
# What each would read isn't in it, or not for SQLAlchemy's traversal to see: nobody runs them, whatever the use.
UNTOLD = {
    "a name in the order": select(Trace.id).order_by("score"),
    "a name in a descending order": select(Trace.id).order_by(desc("score")),
    "a name in a group": select(func.count()).select_from(Trace).group_by("score"),
    "a name in a union's order": union(select(Trace.id), select(OTHER.id)).order_by("score"),
    "a name in a window's order": select(Trace.id, _WINDOW.over(order_by="score")),
    "a name in a window's parts": select(Trace.id, _WINDOW.over(partition_by="score")),
    "a label that a window takes for the column": select(
        Trace.place.label("score"), func.count().over(partition_by="score")
    ),
    "a function that runs text": select(func.query_to_xml("select score from test_trace", True, False, "")),
    "a function of a schema's": select(func.pg_catalog.max(Trace.id)),
    "any function": select(func.pg_read_file("postgresql.conf")),
    "text for a part of a time": select(
        extract("year from now()), (select max(score) from test_trace", func.date("now"))
    ),
    "text for what conflicts": sqlite.insert(Trace).on_conflict_do_nothing(
        index_elements=[text("id) DO UPDATE SET place = (SELECT max(score) FROM test_trace) --")]
    ),
    "another's row that a conflict copies": sqlite.insert(Trace).on_conflict_do_update(
        index_elements=["id"], set_={"place": cast(Trace.score, String)}
    ),
}


@pytest.mark.parametrize("how", UNTOLD)
async def test_what_can_not_be_told_is_not_run_for_any_use(stores: Stores, how: str) -> None:
    for use in _BOTH:
        async with stores[0].session(use) as session:
            with pytest.raises(UseRefused):
                await session.execute(UNTOLD[how])


async def test_an_order_or_a_group_may_name_what_is_selected(stores: Stores) -> None:
    where = func.lower(Trace.place).label("where")
    query = select(where, func.count()).group_by("where").order_by("where")
    await add(stores[0], None)
    async with stores[0].session(DataUse.SERVICE) as session:
        assert (await session.execute(query)).all() == [("home", 1)]


async def test_a_row_that_is_loaded_is_written_values_alone(stores: Stores) -> None:
    copied: Any = select(cast(Trace.score, String)).limit(1).scalar_subquery()
    async with stores[0].transaction(DataUse.SERVICE) as session:
        session.add(row := Trace(id=uuid7(), subject_id=None, place=copied, score=1))
        with pytest.raises(UseRefused, match=r"Trace\.place"):
            await session.flush()
        row.place = "home"
        await session.flush()
        row.place = copied
        with pytest.raises(UseRefused, match=r"Trace\.place"):
            await session.flush()
        session.expunge_all()


async def test_rows_are_not_even_counted_for_a_use_that_no_column_declares(stores: Stores) -> None:
    count = select(func.count()).select_from(Trace)
    async with stores[0].session(DataUse.ANALYTICS) as session:
        with pytest.raises(UseRefused, match="test_trace may not be read"):
            await session.execute(count)
    async with stores[0].session(DataUse.SERVICE) as session:
        assert await session.scalar(count) == 0


async def test_get_and_refresh_are_reads(stores: Stores) -> None:
    row = Trace(id=uuid7(), subject_id=None, place="home", score=1)
    async with stores[0].transaction(DataUse.SERVICE) as session:
        session.add(row)
    async with stores[0].session(DataUse.SERVICE) as session:
        with pytest.raises(UseRefused):
            await session.get(Trace, row.id)
    async with stores[0].session(DataUse.SECURITY) as session:
        found = await session.get_one(Trace, row.id)
        session.info["use"] = DataUse.SERVICE
        with pytest.raises(UseRefused):
            await session.refresh(found)


async def test_a_session_without_a_use_reads_nothing(stores: Stores) -> None:
    async with stores[0].session(DataUse.SERVICE) as session:
        del session.info["use"]
        with pytest.raises(UseRefused, match="states no use"):
            await session.execute(select(Trace.id))


async def test_reading_for_another_use_ends_with_its_block(stores: Stores) -> None:
    async with stores[0].session(DataUse.SERVICE) as session:
        with reading_for(session, DataUse.SECURITY):
            await session.execute(select(Trace.score))
        with pytest.raises(UseRefused):
            await session.execute(select(Trace.score))


# Whose rows


async def add(data: Database, subject: UUID | None) -> None:
    async with data.transaction(DataUse.SECURITY) as session:
        session.add(Trace(id=uuid7(), subject_id=subject, place="home", score=1))


async def seen(data: Database, use: DataUse) -> set[UUID | None]:
    async with data.session(use) as session:
        return set(await session.scalars(select(Trace.subject_id)))


async def test_rows_of_who_refuses_a_use_are_not_there_for_it(stores: Stores) -> None:
    data, keys = stores
    objector, restricted, other = uuid7(), uuid7(), uuid7()
    for subject in (objector, restricted, other, None):
        await add(data, subject)
    everybody = {objector, restricted, other, None}
    assert await seen(data, DataUse.SERVICE) == everybody
    await keys.uses.object_to(objector, [DataUse.SECURITY])
    await keys.uses.restrict(restricted, on=True)
    assert await seen(data, DataUse.SECURITY) == {other, None}
    assert await seen(data, DataUse.SERVICE) == {objector, other, None}
    async with data.session(DataUse.SECURITY) as session:
        assert await session.scalar(select(func.sum(Trace.score))) == 2
        alias = aliased(Trace)
        assert set(await session.scalars(select(alias.subject_id))) == {other, None}
    await keys.uses.permit(objector, [DataUse.SECURITY])
    await keys.uses.restrict(restricted, on=False)
    assert await seen(data, DataUse.SECURITY) == everybody


async def test_signing_in_and_the_law_s_own_uses_see_everybody(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    async with data.transaction(DataUse.SERVICE) as session:
        add_subject(session, subject)
    await keys.uses.restrict(subject, on=True)
    for use in (DataUse.AUTHENTICATION, DataUse.LEGAL_OBLIGATION):
        async with data.session(use) as session:
            assert await session.scalar(select(DataSubject.id)) == subject


async def test_a_change_holds_in_another_process_at_once(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    await add(data, subject)
    url = data.engine.url.render_as_string(hide_password=False)
    elsewhere = Database(url)
    Permitted(elsewhere, KeyStore(keys.db, keys.keyring, channel=keys.channel))
    assert await seen(elsewhere, DataUse.SECURITY) == {subject}
    await keys.uses.restrict(subject, on=True)
    assert await seen(elsewhere, DataUse.SECURITY) == set()
    await keys.uses.restrict(subject, on=False)
    assert await seen(elsewhere, DataUse.SECURITY) == {subject}
    await elsewhere.aclose()


async def test_processes_that_project_at_once_agree(stores: Stores) -> None:
    data, keys = stores
    subjects = [uuid7() for _ in range(6)]
    for subject in subjects:
        await add(data, subject)

    async def change(subject: UUID) -> None:
        await keys.uses.restrict(subject, on=True)
        await seen(data, DataUse.SECURITY)

    await asyncio.gather(*(change(subject) for subject in subjects), *(seen(data, DataUse.SECURITY) for _ in range(8)))
    assert await seen(data, DataUse.SECURITY) == set()


async def test_a_restored_key_store_is_given_its_restrictions_back(stores: Stores, event_log: Path) -> None:
    data, keys = stores
    restricted, objector, erased = uuid7(), uuid7(), uuid7()
    for subject in (restricted, objector, erased):
        await add(data, subject)
    await keys.uses.restrict(restricted, on=True)
    await keys.uses.object_to(objector, [DataUse.SECURITY])
    await keys.uses.object_to(erased, [DataUse.SECURITY])
    assert await seen(data, DataUse.SECURITY) == set()
    await keys.create_subject_key(erased)
    await keys.erase_subject(erased)
    async with keys.db.transaction(DataUse.SECURITY) as session:  # the store of before all that, but for the tombstone
        await session.execute(delete(SubjectUses))
        await session.execute(delete(UsesVersion))
    keys.forget()
    assert await keys.uses.refused(restricted) == frozenset()
    await Permitted(data, keys).refresh()
    assert await keys.uses.refused(objector) == {DataUse.SECURITY}
    assert DataUse.SERVICE in await keys.uses.refused(restricted)
    assert await keys.uses.refused(erased) == frozenset()
    assert event_log.read_text().count("vault:restore:uses") == 1
    await Permitted(data, keys).refresh()
    assert event_log.read_text().count("vault:restore:uses") == 1


async def rows_of(db: Database, *classes: type[Any]) -> dict[type[Any], list[dict[str, Any]]]:
    """Tables as they are now."""
    async with db.session(DataUse.SECURITY) as session:
        return {
            each: [
                {column.key: getattr(row, column.key) for column in each.__mapper__.column_attrs}
                for row in await session.scalars(select(each))
            ]
            for each in classes
        }


async def put_back(db: Database, copy: dict[type[Any], list[dict[str, Any]]]) -> None:
    async with db.transaction(DataUse.SECURITY) as session:
        for each, rows in copy.items():
            await session.execute(delete(each))
            session.add_all(each(**row) for row in rows)


@pytest.mark.parametrize("changes", [0, 1, 5])
async def test_an_objection_outlives_restores_of_both_stores_in_either_order(stores: Stores, changes: int) -> None:
    """Keys first, then the data of a later day of the same history: its numbers are given anew meanwhile."""
    data, keys = stores
    one, other = uuid7(), uuid7()
    for subject in (one, other):
        await add(data, subject)
    keys_then = await rows_of(keys.db, SubjectUses, UsesVersion)
    for _ in range(changes):
        await keys.uses.object_to(other, [DataUse.ANALYTICS])
    assert await seen(data, DataUse.SECURITY) == {one, other}
    data_then = await rows_of(data, UseRefusal, UseProjection)
    await put_back(keys.db, keys_then)
    await put_back(data, {UseRefusal: [], UseProjection: []})
    keys.forget()
    await keys.channel.announce()
    for subject in (one, other):
        await keys.uses.object_to(subject, [DataUse.SECURITY])
    assert await seen(data, DataUse.SECURITY) == set()
    await put_back(data, data_then)
    await Permitted(data, keys).refresh()
    assert DataUse.SECURITY in await keys.uses.refused(one)
    assert {DataUse.SECURITY, *([DataUse.ANALYTICS] if changes else [])} == await keys.uses.refused(other)
    assert await seen(data, DataUse.SECURITY) == set()


async def test_a_plain_table_and_text_are_no_way_round(stores: Stores) -> None:
    async with stores[0].session(DataUse.SECURITY) as session:
        for round_it in (select(Trace.__table__), text("SELECT * FROM test_trace")):
            with pytest.raises(UseRefused):
                await session.execute(round_it)


# Every way to a row that a session takes; `hers` stands on each, if she is seen.
HERS = select(func.max(OTHER.place)).where(OTHER.subject_id == DataSubject.id)
COPIED: Any = Trace.__table__
FROM_SUBQUERY, FROM_CTE = select(Trace.place).subquery(), select(Trace.place).cte()
WAYS: dict[str, Any] = {
    "a row": select(Trace),
    "a column": select(Trace.place),
    "an alias": select(OTHER.place),
    "an alias beside the class": select(Trace.place, OTHER.place).where(OTHER.id != Trace.id),
    "a join of the class to itself": select(Trace.place, OTHER.place).join(OTHER, OTHER.id != Trace.id),
    "an outer join of the class to itself": select(Trace.place, OTHER.place).outerjoin(OTHER, OTHER.id != Trace.id),
    "a join from an alias": select(Trace.place, OTHER.place).select_from(OTHER).join(Trace, OTHER.id != Trace.id),
    "a join with the left side named": select(Trace.place, OTHER.place).join_from(OTHER, Trace, OTHER.id != Trace.id),
    "an aggregate": select(func.max(Trace.place)),
    "a label": select(Trace.place.label("where")),
    "an expression": select(func.lower(Trace.place) + "!"),
    "a subquery": select(FROM_SUBQUERY.c.place),
    "a CTE": select(FROM_CTE.c.place),
    "a scalar subquery": select(DataSubject.id, select(func.max(Trace.place)).scalar_subquery()),
    "a correlated one": select(DataSubject.id, HERS.scalar_subquery()),
    "a class over a subquery": select(aliased(Trace, select(Trace).subquery()).place),
    "a union": select(Trace.place).union(select(OTHER.place)),
    "a distinct group": select(Trace.place).group_by(Trace.place).order_by(Trace.place),
    "an EXISTS": select(DataSubject.id, literal("hers")).where(exists().where(Trace.place == "hers")),
    "a condition": select(literal("hers")).where(Trace.place == "hers"),
    "an IN": select(DataSubject.id, literal("hers")).where(DataSubject.id.in_(select(Trace.subject_id))),
    "what an update returns": update(Trace).values(score=2).returning(Trace.place),
    "a whole row that an update returns": update(Trace).values(score=2).returning(Trace),
    "what a deletion returns": delete(Trace).returning(Trace.place),
}  # fmt: skip
CHANGES: dict[str, Any] = {
    "an update": update(DataSubject).values(
        state=select(func.coalesce(func.max(Trace.place), "none")).scalar_subquery()
    ),
    "an insert": insert(Trace).from_select(
        ["id", "subject_id", "place", "score"],
        select(literal(uuid7(), Uuid), literal(None, Uuid), func.max(Trace.place), literal(7)),
    ),
}


def shown(rows: Any) -> str:
    return " ".join(value.place if isinstance(value, Trace) else str(value) for row in rows for value in row)


@pytest.mark.parametrize("why", ["objection", "restriction", "erasure"])
async def test_no_way_leads_to_a_row_that_is_not_there_for_the_use(stores: Stores, why: str) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    async with data.transaction(DataUse.SERVICE) as session:
        add_subject(session, subject)
        session.add_all(Trace(id=uuid7(), subject_id=subject, place="hers", score=1) for _ in range(2))
        session.add(Trace(id=uuid7(), subject_id=uuid7(), place="another's", score=1))

    async def ways() -> dict[str, str]:
        found = {}
        for name, statement in WAYS.items():
            async with data.session(DataUse.SECURITY) as session:
                if "data_subject" in str(statement):
                    session.info["use"] = DataUse.SERVICE
                found[name] = shown((await session.execute(statement)).all())
        return found

    before = await ways()
    assert [name for name, rows in before.items() if "hers" not in rows] == []
    match why:
        case "objection":
            await keys.uses.object_to(subject, [DataUse.SECURITY, DataUse.SERVICE])
        case "restriction":
            await keys.uses.restrict(subject, on=True)
        case "erasure":
            await keys.erase_subject(subject)
    assert [name for name, rows in (await ways()).items() if "hers" in rows] == []
    for statement in CHANGES.values():
        async with data.transaction(DataUse.SECURITY) as session:
            session.info["use"] = DataUse.SERVICE if statement is CHANGES["an update"] else DataUse.SECURITY
            await session.execute(statement)
    async with data.engine.connect() as connection:
        assert "hers" not in shown(await connection.execute(select(COPIED.c.place).where(COPIED.c.score == 7)))
        assert "hers" not in shown(await connection.execute(select(DataSubject.__table__.c.state)))


async def test_what_erasure_and_retention_delete_is_deleted(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    await add(data, subject)
    await add(data, other := uuid7())
    await keys.erase_subject(subject)
    hers = select(OTHER.id).where(OTHER.subject_id == subject)
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(Trace).where(Trace.id.in_(hers)).execution_options(synchronize_session=False))
    async with data.engine.connect() as connection:
        assert [row[0] for row in await connection.execute(select(Trace.__table__.c.subject_id))] == [other]


async def test_a_change_that_copies_a_column_copies_none_of_who_refuses(stores: Stores) -> None:
    data, keys = stores
    objector, other = uuid7(), uuid7()
    for subject in (objector, other):
        await add(data, subject)
    await keys.uses.object_to(objector, [DataUse.SECURITY])
    async with data.transaction(DataUse.SECURITY) as session:
        copy = update(Trace).values(place=cast(Trace.score, String))
        await session.execute(copy.execution_options(synchronize_session=False))
    async with data.session(DataUse.SERVICE) as session:
        places = {row[0]: row[1] for row in await session.execute(select(Trace.subject_id, Trace.place))}
    assert places == {objector: "home", other: "1"}


async def test_who_was_erased_is_seen_for_no_use_in_any_process(stores: Stores) -> None:
    data, keys = stores
    erased, other = uuid7(), uuid7()
    for subject in (erased, other):
        await keys.create_subject_key(subject)
        await add(data, subject)
        async with data.transaction(DataUse.SERVICE) as session:
            add_subject(session, subject)
    elsewhere = Database(data.engine.url.render_as_string(hide_password=False))
    Permitted(elsewhere, KeyStore(keys.db, keys.keyring, channel=keys.channel))
    await keys.uses.object_to(erased, [DataUse.SUPPORT])
    assert await seen(elsewhere, DataUse.SECURITY) == {erased, other}
    await keys.erase_subject(erased)
    for store in (data, elsewhere):
        for use in _BOTH:
            assert await seen(store, use) == {other}
        for use in (DataUse.SERVICE, DataUse.AUTHENTICATION, DataUse.SUPPORT, DataUse.LEGAL_OBLIGATION):
            async with store.session(use) as session:
                assert set(await session.scalars(select(DataSubject.id))) == {other}
    async with data.session(DataUse.SECURITY) as session:
        assert (await session.scalars(select(UseRefusal))).all() == []
    await elsewhere.aclose()


async def test_an_erasure_that_died_before_it_was_written_down_is_seen_by_the_next_session(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    await add(data, subject)
    assert await seen(data, DataUse.SECURITY) == {subject}

    class Died(Exception):
        pass

    async def die() -> None:
        raise Died

    settle, keys.settle = keys.settle, die  # type: ignore[method-assign]
    with pytest.raises(Died):
        await keys.erase_subject(subject)
    keys.settle = settle  # type: ignore[method-assign]
    await keys.channel.announce()
    assert await seen(data, DataUse.SECURITY) == set()


async def test_what_is_kept_of_an_erased_person_is_there_for_its_basis_alone(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    async with data.transaction(DataUse.FINANCE) as session:
        session.add(Voucher(id=uuid7(), subject_id=subject, amount=5, note="gift"))
    amount, note = select(Voucher.amount), select(Voucher.note)
    wants = [
        (amount, DataUse.FINANCE),
        (amount, DataUse.PAYMENT),
        (note, DataUse.FINANCE),
        (select(Voucher), DataUse.FINANCE),
    ]

    async def rows() -> list[int]:
        found = []
        for statement, use in wants:
            async with data.session(use) as session:
                found.append(len((await session.execute(statement)).all()))
        return found

    assert await rows() == [1, 1, 1, 1]
    await keys.erase_subject(subject)
    assert await rows() == [1, 0, 0, 0]


async def test_rewrapping_reads_envelopes_and_whose_they_are_and_no_more(stores: Stores) -> None:
    async with stores[0].session(DataUse.ANALYTICS) as session:
        with rewrapping(session):
            await session.execute(select(Trace.__table__.c.id, Trace.__table__.c.subject_id))
            with pytest.raises(UseRefused, match=r"test_trace\.score"):
                await session.execute(select(Trace.__table__.c.score))
        with pytest.raises(UseRefused):
            await session.execute(select(Trace.__table__.c.id))


@pytest.mark.parametrize(
    "statement",
    [
        select(Trace.id).order_by(Trace.place.collate(quoted_name("nocase, score desc", quote=False))),
        select(Trace.id.label(quoted_name("x, score", quote=False))),
        select(aliased(Trace, name=quoted_name("x, test_trace", quote=False)).id),
    ],
)
async def test_a_name_that_is_not_quoted_is_text(stores: Stores, statement: Any) -> None:
    async with stores[0].session(DataUse.SERVICE) as session:
        with pytest.raises(UseRefused):
            await session.execute(statement)
