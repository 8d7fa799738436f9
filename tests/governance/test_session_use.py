"""A session reads what declares its use, and nothing else, however it asks."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Integer, String, Uuid, delete, func, select, update
from sqlalchemy.orm import Mapped, aliased

from governance.datamap import Base, DataUse, OnErasure, declared
from governance.db import Database
from governance.errors import UseRefused
from governance.ids import uuid7
from governance.session_use import reading_for, rewrapping
from governance.subjects import DataSubject, add_subject
from governance.vault.keys import KeyStore
from governance.vault.permitted import Permitted
from governance.vault.subject_uses import SubjectUses, UsesVersion

Stores = tuple[Database, KeyStore]
_ROW: dict[str, Any] = {"retention": "account", "on_erasure": OnErasure.DELETE}
_BOTH = (DataUse.SERVICE, DataUse.SECURITY)


class Trace(Base):
    """A table of this test alone: `score` may be read for security only."""

    __tablename__ = "test_trace"
    id: Mapped[UUID] = declared(Uuid, 9120, "user.unique_id", _BOTH, primary_key=True, **_ROW)
    subject_id: Mapped[UUID | None] = declared(Uuid, 9121, "user.unique_id", _BOTH, nullable=True, **_ROW)
    place: Mapped[str] = declared(String(20), 9122, "user.location", _BOTH, **_ROW)
    score: Mapped[int] = declared(Integer, 9123, "user.behavior", (DataUse.SECURITY,), **_ROW)


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
    "the table itself": select(Trace.__table__),
    "in a union": select(Trace.place).union(select(OTHER.place).where(OTHER.score == 1)),
    "what a deletion returns": delete(Trace).returning(Trace.score),
    "what an update returns": update(Trace).values(place="x").returning(Trace),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_a_column_that_does_not_declare_the_use_is_not_read(stores: Stores, how: str) -> None:
    async with stores[0].session(DataUse.SERVICE) as session:
        with pytest.raises(UseRefused, match=r"test_trace\.score may not be read for essential\.service"):
            await session.execute(REFUSED[how])
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(REFUSED[how])


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
    await keys.object_to(objector, [DataUse.SECURITY])
    await keys.restrict(restricted, on=True)
    assert await seen(data, DataUse.SECURITY) == {other, None}
    assert await seen(data, DataUse.SERVICE) == {objector, other, None}
    async with data.session(DataUse.SECURITY) as session:
        assert await session.scalar(select(func.sum(Trace.score))) == 2
        alias = aliased(Trace)
        assert set(await session.scalars(select(alias.subject_id))) == {other, None}
    await keys.permit(objector, [DataUse.SECURITY])
    await keys.restrict(restricted, on=False)
    assert await seen(data, DataUse.SECURITY) == everybody


async def test_signing_in_and_the_law_s_own_uses_see_everybody(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    async with data.transaction(DataUse.SERVICE) as session:
        add_subject(session, subject)
    await keys.restrict(subject, on=True)
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
    await keys.restrict(subject, on=True)
    assert await seen(elsewhere, DataUse.SECURITY) == set()
    await keys.restrict(subject, on=False)
    assert await seen(elsewhere, DataUse.SECURITY) == {subject}
    await elsewhere.aclose()


async def test_processes_that_project_at_once_agree(stores: Stores) -> None:
    data, keys = stores
    subjects = [uuid7() for _ in range(6)]
    for subject in subjects:
        await add(data, subject)

    async def change(subject: UUID) -> None:
        await keys.restrict(subject, on=True)
        await seen(data, DataUse.SECURITY)

    await asyncio.gather(*(change(subject) for subject in subjects), *(seen(data, DataUse.SECURITY) for _ in range(8)))
    assert await seen(data, DataUse.SECURITY) == set()


async def test_a_restored_key_store_is_given_its_restrictions_back(stores: Stores) -> None:
    data, keys = stores
    restricted, objector, erased = uuid7(), uuid7(), uuid7()
    for subject in (restricted, objector, erased):
        await add(data, subject)
    await keys.restrict(restricted, on=True)
    await keys.object_to(objector, [DataUse.SECURITY])
    await keys.object_to(erased, [DataUse.SECURITY])
    assert await seen(data, DataUse.SECURITY) == set()
    await keys.create_subject_key(erased)
    await keys.erase_subject(erased)
    async with keys.db.transaction(DataUse.SECURITY) as session:  # the store of before all that, but for the tombstone
        await session.execute(delete(SubjectUses))
        await session.execute(update(UsesVersion).values(version=0))
    keys.forget()
    assert await keys.refused(restricted) == frozenset()
    permitted = Permitted(data, keys)
    assert await permitted.reconcile() == 2
    assert await keys.refused(objector) == {DataUse.SECURITY}
    assert DataUse.SERVICE in await keys.refused(restricted)
    assert await keys.refused(erased) == frozenset()
    assert await permitted.reconcile() == 0


async def test_a_plain_table_is_no_way_round_the_criterion(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    await add(data, subject)
    whole = select(Trace.__table__)
    async with data.session(DataUse.SECURITY) as session:
        assert len((await session.execute(whole)).all()) == 1
    await keys.restrict(subject, on=True)
    async with data.session(DataUse.SECURITY) as session:
        with pytest.raises(UseRefused, match="plain table"):
            await session.execute(whole)


async def test_rewrapping_reads_envelopes_and_whose_they_are_and_no_more(stores: Stores) -> None:
    async with stores[0].session(DataUse.ANALYTICS) as session:
        with rewrapping(session):
            await session.execute(select(Trace.__table__.c.id, Trace.__table__.c.subject_id))
            with pytest.raises(UseRefused, match=r"test_trace\.score"):
                await session.execute(select(Trace.__table__.c.score))
        with pytest.raises(UseRefused):
            await session.execute(select(Trace.__table__.c.id))
