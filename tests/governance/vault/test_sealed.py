"""Sealed values: what prints, what opens, for which use."""

import copy
import json
import pickle
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Column, MetaData, Table, Uuid, select, text
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, Base, DataUse, Declaration, LegalBasis, OnErasure, Store, declared
from governance.db import Database
from governance.errors import DeclarationError, KeyGone, KeyUnavailable, SealBroken, UseRefused
from governance.ids import uuid7
from governance.vault.columns import SealedType, seal
from governance.vault.keys import KeyStore
from governance.vault.sealed import Sealed
from governance.vault.subject_uses import Refusals

Stores = tuple[Database, KeyStore]
_ROW = {"retention": "account", "on_erasure": OnErasure.DELETE}
_USES = (DataUse.SERVICE,)
_KEPT_FOR = (DataUse.SECURITY, DataUse.FINANCE, DataUse.LEGAL_OBLIGATION)


class Kept(Base):
    """What two bases and two limits in time make of values."""

    __tablename__ = "test_kept"
    id: Mapped[UUID] = declared(Uuid, 9110, "user.unique_id", _KEPT_FOR, primary_key=True, **_ROW)
    subject_id: Mapped[UUID | None] = declared(Uuid, 9111, "user.unique_id", _KEPT_FOR, nullable=True, **_ROW)
    name: Mapped[Sealed[str]] = declared(
        SealedType(str), 9112, "user.name", (DataUse.FINANCE, DataUse.LEGAL_OBLIGATION), at_rest=AtRest.SEALED,
        retention="ledger", on_erasure=OnErasure.KEEP_TAX,
    )  # fmt: skip
    address: Mapped[Sealed[str]] = declared(
        SealedType(str), 9113, "user.device.ip_address", (DataUse.SECURITY,), at_rest=AtRest.SEALED,
        retention="usage-network", on_erasure=OnErasure.SHRED,
    )  # fmt: skip
    agent: Mapped[Sealed[str]] = declared(
        SealedType(str), 9114, "user.device", (DataUse.SECURITY, DataUse.FRAUD), at_rest=AtRest.SEALED,
        retention="session", on_erasure=OnErasure.SHRED,
    )  # fmt: skip


class Note(Base):
    """A table of this test alone."""

    __tablename__ = "test_note"
    id: Mapped[UUID] = declared(Uuid, 9100, "user.unique_id", _USES, primary_key=True, **_ROW)
    subject_id: Mapped[UUID | None] = declared(Uuid, 9101, "user.unique_id", _USES, nullable=True, **_ROW)
    words: Mapped[Sealed[str]] = declared(
        SealedType(str), 9102, "user.content.private", _USES, at_rest=AtRest.SEALED, **_ROW
    )
    other: Mapped[Sealed[str] | None] = declared(
        SealedType(str), 9103, "user.content.private", _USES, at_rest=AtRest.SEALED, nullable=True, **_ROW
    )


async def add(stores: Stores, subject: UUID | None, words: str) -> Note:
    data, keys = stores
    if subject is not None and keys.cached_subject_key(subject) is None:
        await keys.create_subject_key(subject)
    note = Note(id=uuid7(), subject_id=subject)
    await seal(keys, note, words=words)
    async with data.transaction(DataUse.SERVICE) as session:
        session.add(note)
    return note


async def load(stores: Stores, note_id: UUID) -> Note:
    async with stores[0].session(DataUse.SERVICE) as session:
        return (await session.execute(select(Note).where(Note.id == note_id))).scalar_one()


async def test_a_value_opens_for_its_declared_use_and_is_counted(stores: Stores) -> None:
    note = await load(stores, (await add(stores, uuid7(), "ada@example.org")).id)
    keys = stores[1]
    assert await note.words.open(DataUse.SERVICE) == "ada@example.org"
    assert await note.words.open(DataUse.SERVICE) == "ada@example.org"
    assert await keys.openings.seen(stores[0]) == {("test_note.words", DataUse.SERVICE.value): 2}


async def test_another_use_is_refused(stores: Stores) -> None:
    note = await load(stores, (await add(stores, uuid7(), "x")).id)
    with pytest.raises(UseRefused, match=r"test_note\.words"):
        await note.words.open(DataUse.ANALYTICS)


async def test_a_value_without_a_subject_is_under_a_service_key(stores: Stores) -> None:
    note = await load(stores, (await add(stores, None, "contact")).id)
    assert await note.words.open(DataUse.SERVICE) == "contact"


@pytest.mark.parametrize("move", ["row", "column", "subject"])
async def test_a_value_moved_in_the_database_fails_to_open(stores: Stores, move: str) -> None:
    data, _ = stores
    subject = uuid7()
    first, second = await add(stores, subject, "one"), await add(stores, subject, "two")
    stranger = await add(stores, uuid7(), "three")
    statement = {
        "row": "UPDATE test_note SET words = (SELECT words FROM test_note WHERE id = :a) WHERE id = :b",
        "column": "UPDATE test_note SET other = (SELECT words FROM test_note WHERE id = :b) WHERE id = :b",
        "subject": "UPDATE test_note SET subject_id = (SELECT subject_id FROM test_note WHERE id = :c) WHERE id = :b",
    }[move]
    plain = (lambda value: value.hex) if data.sqlite else (lambda value: value)
    bound = {
        name: plain(note.id) for name, note in (("a", first), ("b", second), ("c", stranger)) if f":{name}" in statement
    }
    async with data.engine.begin() as connection:
        await connection.execute(text(statement), bound)
    moved = await load(stores, second.id)
    handle = moved.other if move == "column" else moved.words
    assert handle is not None
    with pytest.raises(SealBroken):
        await handle.open(DataUse.SERVICE)


async def test_nothing_opens_after_the_key_is_gone(stores: Stores) -> None:
    _, keys = stores
    note = await load(stores, (await add(stores, uuid7(), "gone")).id)
    assert note.subject_id is not None
    await keys.erase_subject(note.subject_id)
    with pytest.raises(KeyUnavailable):
        await note.words.open(DataUse.SERVICE)


async def test_a_plain_value_can_not_be_stored(stores: Stores) -> None:
    note = Note(id=uuid7(), subject_id=None, words="plain secret")
    with pytest.raises(Exception) as caught:
        async with stores[0].transaction(DataUse.SERVICE) as session:
            session.add(note)
    assert "plain secret" not in str(caught.value)


async def test_a_handle_shows_nothing(stores: Stores) -> None:
    handle = (await load(stores, (await add(stores, uuid7(), "secret words")).id)).words
    assert {repr(handle), str(handle), f"{handle}", f"{handle}"} == {"***"}
    refused = (
        lambda: pickle.dumps(handle),
        lambda: copy.copy(handle),
        lambda: json.dumps({"a": handle}),
        lambda: handle == "secret words",
        lambda: list(handle),  # type: ignore[call-overload]
        lambda: len(handle),  # type: ignore[arg-type]
        lambda: handle.__html__(),
    )
    for attempt in refused:
        with pytest.raises(TypeError) as caught:
            attempt()
        assert "secret words" not in str(caught.value)


async def test_a_handle_that_was_not_loaded_with_its_row_opens_nothing(stores: Stores) -> None:
    note = await add(stores, uuid7(), "x")
    async with stores[0].session(DataUse.SERVICE) as session:
        handle = (await session.execute(select(Note.words).where(Note.id == note.id))).scalar_one()
    with pytest.raises(RuntimeError):
        await handle.open(DataUse.SERVICE)


async def kept(stores: Stores, subject: UUID) -> Kept:
    data, keys = stores
    await keys.create_subject_key(subject)
    row = Kept(id=uuid7(), subject_id=subject)
    await seal(keys, row, name="Ada", address="203.0.113.9", agent="curl")
    async with data.transaction(DataUse.SECURITY) as session:
        session.add(row)
    return row


async def test_after_an_erasure_what_is_kept_opens_for_its_basis_alone(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    row = await kept(stores, subject)
    await keys.erase_subject(subject)
    assert await row.name.open(DataUse.FINANCE) == "Ada"
    for handle in (row.address, row.agent):
        with pytest.raises(KeyGone):
            await handle.open(DataUse.SECURITY)


async def test_the_end_of_a_period_ends_its_values_and_no_others(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    row = await kept(stores, uuid7())
    later = clock.now() + timedelta(days=31)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert len(await keys.expire()) == 1
    with pytest.raises(KeyGone):
        await row.address.open(DataUse.SECURITY)
    assert await row.agent.open(DataUse.SECURITY) == "curl"
    assert await row.name.open(DataUse.FINANCE) == "Ada"


async def test_the_end_of_an_object_ends_its_values(stores: Stores) -> None:
    _, keys = stores
    row, other = await kept(stores, uuid7()), await kept(stores, uuid7())
    assert len(await keys.end_object("session", row.id)) == 1
    with pytest.raises(KeyGone):
        await row.agent.open(DataUse.SECURITY)
    assert await other.agent.open(DataUse.SECURITY) == "curl"


async def test_objection_and_restriction_remove_the_uses_they_name(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    row = await kept(stores, subject)
    await keys.uses.object_to(subject, [DataUse.FRAUD])
    with pytest.raises(UseRefused):
        await row.agent.open(DataUse.FRAUD)
    assert await row.agent.open(DataUse.SECURITY) == "curl"
    await keys.uses.restrict(subject, on=True)
    with pytest.raises(UseRefused):
        await row.agent.open(DataUse.SECURITY)
    with pytest.raises(UseRefused):
        await row.name.open(DataUse.FINANCE)
    assert await row.name.open(DataUse.LEGAL_OBLIGATION) == "Ada"
    await keys.uses.restrict(subject, on=False)
    assert await row.agent.open(DataUse.SECURITY) == "curl"
    with pytest.raises(UseRefused):
        await row.agent.open(DataUse.FRAUD)  # the objection stands
    await keys.uses.permit(subject, [DataUse.FRAUD])
    assert await row.agent.open(DataUse.FRAUD) == "curl"


async def test_a_change_of_uses_is_told_by_version(stores: Stores) -> None:
    _, keys = stores
    first, second = uuid7(), uuid7()
    await keys.uses.object_to(first, [DataUse.ANALYTICS])
    version, state, changed = await keys.uses.since(0)
    assert await keys.uses.knows(version, state) and not await keys.uses.knows(version, uuid7())
    assert changed == [Refusals(first, False, frozenset({DataUse.ANALYTICS}))]
    await keys.uses.restrict(second, on=True)
    await keys.uses.permit(first, [DataUse.ANALYTICS])
    later, _, changed = await keys.uses.since(version)
    assert later == version + 2
    assert [(each.subject_id, each.restricted) for each in changed] == [(second, True), (first, False)]
    assert changed[1].uses == frozenset()
    await keys.create_subject_key(second)
    await keys.erase_subject(second)
    await keys.uses.object_to(first, [DataUse.FRAUD])
    assert (await keys.uses.since(later))[0] == later + 1  # no number is given twice, though a row went


def test_a_kept_column_declares_no_use_that_its_key_does_not_serve() -> None:
    with pytest.raises(DeclarationError, match="serves tax"):
        Table(
            "test_beyond",
            MetaData(info={"store": Store.DATA}),
            Column(
                "x",
                SealedType(str),
                info={
                    "declaration": Declaration(
                        9199,
                        "user.name",
                        frozenset({DataUse.ANALYTICS}),
                        AtRest.SEALED,
                        "ledger",
                        OnErasure.KEEP_TAX,
                        LegalBasis.LEGAL_OBLIGATION,
                    )
                },
            ),
        )
