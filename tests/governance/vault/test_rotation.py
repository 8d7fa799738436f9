"""Rotations: whole, resumable, and nothing unreadable on the way."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyGone
from governance.ids import uuid7
from governance.vault import blind_index, envelope, rotation
from governance.vault.blind_index import BlindIndex, EmailIndex
from governance.vault.keys import KeyStore
from governance.vault.rotation import What
from governance.vault.stored_key import StoredKey
from tests.governance.vault.test_sealed import Note, add, load

Stores = tuple[Database, KeyStore]


async def run(stores: Stores, what: What, *, stop_after: int | None = None) -> list[rotation.Progress]:
    data, keys = stores
    seen = []
    async for at in rotation.rotate(what, keys, data):
        seen.append(at)
        if stop_after is not None and len(seen) > stop_after:
            break
    return seen


async def test_the_root_key_is_replaced_and_every_node_has_a_fresh_key(stores: Stores) -> None:
    _, keys = stores
    note = await add(stores, uuid7(), "words")
    before, root = clock.now(), keys.keyring.current
    seen = await run(stores, What.KEK)
    assert seen[-1].done == seen[-1].total == await keys.nodes()
    assert await keys.nodes(before) == 0
    assert list(await keys.keyring.root_ids()) == [keys.keyring.current] != [root]
    assert await (await load(stores, note.id)).words.open(DataUse.SERVICE) == "words"


async def test_subjects_get_new_keys_and_their_values_move(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    data, keys = stores
    subjects = [uuid7() for _ in range(3)]
    notes = [await add(stores, subject, f"words {number}") for number, subject in enumerate(subjects)]
    old = [(await keys.subject_key(subject)).id for subject in subjects]
    seen = await run(stores, What.SUBJECTS)
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 3, 3)
    for number, (note, before) in enumerate(zip(notes, old, strict=True)):
        found = await load(stores, note.id)
        assert envelope.key_ids(found.words.envelope)[0] != before
        assert await found.words.open(DataUse.SERVICE) == f"words {number}"
        assert await keys.key(before)  # what is in flight may still be under it
    later = clock.now() + rotation.GRACE + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    await rotation.retire(keys, data)
    for before in old:
        with pytest.raises(KeyGone):
            await keys.key(before)
    assert await (await load(stores, notes[0].id)).words.open(DataUse.SERVICE) == "words 0"


async def test_what_a_kill_left_under_a_replaced_key_moves_before_it_ends(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    note = await add(stores, uuid7(), "words")
    await keys.replace_subject_keys(clock.now(), clock.now(), 10)  # and no value was moved
    await rotation.retire(keys, data)
    assert await (await load(stores, note.id)).words.open(DataUse.SERVICE) == "words"
    assert [row["replaced"] for row in await keys.counts() if row["kind"] == "subject"] == [0]


async def test_a_rotation_goes_on_where_it_was(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys = stores
    monkeypatch.setattr(rotation, "_BATCH", 2)
    for _ in range(6):
        await add(stores, uuid7(), "words")
    await run(stores, What.SUBJECTS, stop_after=1)
    cut = await rotation.last(What.SUBJECTS, keys)
    assert cut is not None and cut.finished_at is None and await rotation.left(cut, keys) == 4
    seen = await run(stores, What.SUBJECTS)
    again = await rotation.last(What.SUBJECTS, keys)
    assert again is not None and again.id == cut.id and again.finished_at is not None
    assert seen[-1].done == seen[-1].total == 6
    assert (await keys.counts())[-1] == {"kind": "subject", "basis": "erasable", "keys": 12, "replaced": 6}


async def test_a_value_written_meanwhile_is_not_lost(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing again compares with what it read: a newer value stays."""
    data, keys = stores
    subject = uuid7()
    note = await add(stores, subject, "old words")
    await keys.replace_subject_keys(clock.now(), clock.now() + rotation.GRACE, 10)
    reseal_value = rotation._reseal_value

    async def write_between(*given: object) -> object:
        fresh = await reseal_value(*given)  # type: ignore[arg-type]
        newer = Note(id=note.id, subject_id=subject)
        await rotation_seal(keys, newer, "new words")
        async with data.transaction(DataUse.SERVICE) as session:
            await session.execute(update(Note).where(Note.id == note.id).values(words=newer.words))
        return fresh

    monkeypatch.setattr(rotation, "_reseal_value", write_between)
    await rotation.reseal(keys, data, subject)
    assert await (await load(stores, note.id)).words.open(DataUse.SERVICE) == "new words"


async def rotation_seal(keys: KeyStore, note: Note, words: str) -> None:
    from governance.vault.columns import seal

    await seal(keys, note, words=words)


async def people(keys: KeyStore, number: int) -> dict[str, UUID]:
    index = EmailIndex(keys)
    found = {f"person{each}@example.org": uuid7() for each in range(number)}
    for address, subject in found.items():
        await keys.create_subject_key(subject)
        await index.add(address, subject)
    return found


async def test_the_index_is_renewed_without_opening_an_address(stores: Stores) -> None:
    _, keys = stores
    index = EmailIndex(keys)
    found = await people(keys, 5)
    old = await index.digests("person1@example.org")
    await run(stores, What.INDEX)
    assert {address: await index.find(address) for address in found} == found
    async with keys.db.session(DataUse.SECURITY) as session:
        assert await session.scalar(select(func.count()).where(BlindIndex.digest.in_(old))) == 0
    assert len(await index.digests("person1@example.org")) == 1


async def test_while_the_index_is_renewed_everybody_is_found_and_no_address_is_taken_twice(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from governance.errors import Conflict

    _, keys = stores
    monkeypatch.setattr(rotation, "_BATCH", 2)
    index = EmailIndex(keys)
    found = await people(keys, 6)
    await run(stores, What.INDEX, stop_after=2)
    assert {address: await index.find(address) for address in found} == found
    newcomer = uuid7()
    await keys.create_subject_key(newcomer)
    for address in found:
        with pytest.raises(Conflict):
            await index.add(address, newcomer)
    await run(stores, What.INDEX)
    assert {address: await index.find(address) for address in found} == found


async def test_an_erased_persons_entry_is_dropped_at_renewal(stores: Stores) -> None:
    _, keys = stores
    found = await people(keys, 2)
    address, subject = next(iter(found.items()))
    await keys.erase_subject(subject)
    await run(stores, What.INDEX)
    assert await EmailIndex(keys).find(address) is None


async def test_an_entry_that_is_added_while_the_index_key_ends_is_found(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-up read the old index key and commits while the renewal has counted nothing left under it."""
    _, keys = stores
    await people(keys, 1)
    late, subject = EmailIndex(KeyStore(keys.db, keys.keyring)), uuid7()
    await keys.create_subject_key(subject)
    seal = blind_index.columns.seal
    renewed = False

    async def renew_meanwhile(*given: object, **values: object) -> None:
        nonlocal renewed
        await seal(*given, **values)  # type: ignore[arg-type]
        if not renewed:
            renewed = True
            await run(stores, What.INDEX)

    monkeypatch.setattr(blind_index.columns, "seal", renew_meanwhile)
    await late.add("late@example.org", subject)
    assert renewed
    assert await EmailIndex(keys).find("late@example.org") == subject


async def test_an_index_key_waits_for_who_is_writing_under_it(stores: Stores) -> None:
    """On PostgreSQL the entry isn't to be seen before its commit; the key's row is held until then."""
    data, keys = stores
    index = EmailIndex(keys)
    old = await keys.replace_service_key(EmailIndex.KEY)
    if data.sqlite:
        assert await index.end(old.id)
        return
    subject = uuid7()
    await keys.create_subject_key(subject)
    row = BlindIndex(id=uuid7(), name="email", digest=b"x", subject_id=subject, key_id=old.id)
    await blind_index.columns.seal(keys, row, inner=b"y")
    async with keys.db.transaction(DataUse.SECURITY) as session:
        await session.scalar(select(StoredKey.id).where(StoredKey.id == old.id).with_for_update(read=True))
        ending = asyncio.create_task(index.end(old.id))
        await asyncio.sleep(0)
        session.add(row)
        await session.flush()
    assert not await ending
    assert await keys.key(old.id)
