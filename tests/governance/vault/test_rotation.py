"""Rotations: whole, resumable, and nothing unreadable on the way."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import Conflict, KeyGone, KeyUnavailable
from governance.ids import uuid7
from governance.vault import blind_index, envelope, rotation
from governance.vault.blind_index import BlindIndex, EmailIndex
from governance.vault.columns import seal
from governance.vault.keys import KeyStore
from governance.vault.rotation import What
from governance.vault.sealed import Sealed
from governance.vault.stored_key import StoredKey
from tests.governance.vault.test_sealed import Kept, Note, add, load

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
    await rotation.retire(keys, data, None)
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
    await rotation.retire(keys, data, None)
    assert await (await load(stores, note.id)).words.open(DataUse.SERVICE) == "words"
    assert [row["replaced"] for row in await keys.counts() if row["kind"] == "subject"] == [0]


async def test_a_replaced_key_stays_while_a_backup_of_the_data_needs_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everybody's values in older backups would be noise after a rotation."""
    data, keys = stores
    note = await add(stores, uuid7(), "words")
    copied = note.words.envelope
    made_at = clock.now()
    await run(stores, What.SUBJECTS)
    later = clock.now() + rotation.GRACE + timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    key_id = envelope.key_ids(copied)[0]
    await rotation.retire(keys, data, made_at)
    assert await keys.key(key_id)
    # A backup made after it was replaced holds nothing under it.
    await rotation.retire(keys, data, later)
    with pytest.raises(KeyGone):
        await keys.key(key_id)


async def test_a_person_is_erased_under_every_key_they_had(stores: Stores) -> None:
    data, keys = stores
    subject = uuid7()
    await add(stores, subject, "words")
    old = await keys.subject_key(subject)
    await run(stores, What.SUBJECTS)
    new = await keys.subject_key(subject)
    assert set(await keys.erase_subject(subject)) == {old.id, new.id}
    for each in (old, new):
        with pytest.raises(KeyGone):
            await keys.key(each.id)
    assert data


async def test_what_a_basis_keeps_of_an_erased_person_survives_a_rotation(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    kept = Kept(id=uuid7(), subject_id=subject)
    await seal(keys, kept, name="Ada", address="192.0.2.1", agent="x")
    async with data.transaction(DataUse.FINANCE) as session:
        session.add(kept)
    old = envelope.key_ids(kept.name.envelope)[0]
    await keys.erase_subject(subject)
    await run(stores, What.SUBJECTS)
    later = clock.now() + rotation.GRACE + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    await rotation.retire(keys, data, None)
    with pytest.raises(KeyGone):
        await keys.key(old)
    table = Kept.__table__
    async with data.session(DataUse.FINANCE) as session:
        with rotation.rewrapping(session):
            found = (await session.execute(select(table.c.name).where(table.c.id == kept.id))).scalar_one()
    found.bind(subject, kept.id, keys, Kept.__table__.c.name.info["declaration"], "name")
    assert await found.open(DataUse.FINANCE) == "Ada"


async def test_a_broken_value_keeps_no_old_key(stores: Stores, event_log: Path) -> None:
    data, keys = stores
    notes = [await add(stores, uuid7(), f"words {number}") for number in range(3)]
    old = [envelope.key_ids(note.words.envelope)[0] for note in notes]
    broken = bytearray(notes[1].words.envelope)
    broken[-1] ^= 1
    async with data.transaction(DataUse.SERVICE) as session:
        words = Sealed(bytes(broken), str)
        await session.execute(update(Note).where(Note.id == notes[1].id).values(words=words))
    await keys.replace_subject_keys(clock.now(), clock.now(), 10)
    await rotation.retire(keys, data, None)
    for each in old:
        with pytest.raises(KeyGone):
            await keys.key(each)
    for number in (0, 2):
        assert await (await load(stores, notes[number].id)).words.open(DataUse.SERVICE) == f"words {number}"
    assert event_log.read_text().count("vault:value:broken") == 1


async def test_one_damaged_key_keeps_nobody_elses(
    stores: Stores, event_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, keys = stores
    notes = [await add(stores, uuid7(), "words") for _ in range(3)]
    old = [envelope.key_ids(note.words.envelope)[0] for note in notes]
    await keys.replace_subject_keys(clock.now(), clock.now(), 10)
    reseal = rotation.reseal

    async def damaged(keys: KeyStore, data: Database, subject_id: UUID) -> int:
        if subject_id == notes[1].subject_id:
            raise KeyUnavailable("a node is damaged")
        return await reseal(keys, data, subject_id)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "reseal", damaged)
        await rotation.retire(keys, data, None)
    assert await keys.key(old[1])
    for each in (old[0], old[2]):
        with pytest.raises(KeyGone):
            await keys.key(each)
    assert "vault:reseal:failed" in event_log.read_text()
    await rotation.retire(keys, data, None)
    with pytest.raises(KeyGone):
        await keys.key(old[1])


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


async def test_an_address_is_not_taken_twice_when_a_renewal_begins_between(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sign-ups at once: one read the index key before a renewal began, the other after."""
    _, keys = stores
    await people(keys, 1)
    index, other = EmailIndex(KeyStore(keys.db, keys.keyring)), EmailIndex(keys)
    first, second = uuid7(), uuid7()
    for subject in (first, second):
        await keys.create_subject_key(subject)
    seal = blind_index.columns.seal
    begun = False

    async def begin_meanwhile(*given: object, **values: object) -> None:
        nonlocal begun
        await seal(*given, **values)  # type: ignore[arg-type]
        if not begun:
            begun = True
            await keys.replace_service_key(EmailIndex.KEY)
            await other.add("both@example.org", second)

    monkeypatch.setattr(blind_index.columns, "seal", begin_meanwhile)
    with pytest.raises(Conflict):
        await index.add("both@example.org", first)
    await run(stores, What.INDEX)
    assert await other.find("both@example.org") == second


async def test_a_broken_entry_ends_no_renewal(stores: Stores, event_log: Path) -> None:
    """It goes, and is said: the renewal, and after a restore every start, would wait for it for ever."""
    _, keys = stores
    found = await people(keys, 3)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        row = (
            await session.scalars(select(BlindIndex).where(BlindIndex.subject_id == found["person1@example.org"]))
        ).one()
        broken = bytearray(row.inner.envelope)
        broken[-1] ^= 1
        await session.execute(
            update(BlindIndex).where(BlindIndex.id == row.id).values(inner=Sealed(bytes(broken), bytes))
        )
    await run(stores, What.INDEX)
    assert await EmailIndex(keys).find("person0@example.org") == found["person0@example.org"]
    assert await EmailIndex(keys).find("person1@example.org") is None
    assert event_log.read_text().count("vault:value:broken") == 1


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
