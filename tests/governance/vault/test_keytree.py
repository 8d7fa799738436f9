"""The key tree: what is destroyed can't be had from anything that was ever at rest."""

import random
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import select, update

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyGone, KeyUnavailable, SealBroken
from governance.ids import uuid7
from governance.vault import envelope, keytree
from governance.vault.envelope import Key
from governance.vault.keyring import Keyring
from governance.vault.keys import KeyStore
from governance.vault.keytree import ROOT, KeyNode, KeyTree
from governance.vault.stored_key import Kind, StoredKey

Stores = tuple[Database, KeyStore]
Version = tuple[UUID, bytes, bytes | None]


async def versions(keys: KeyStore) -> list[Version]:
    """Every node as it rests now: what a backup, a WAL frame, a free page or a dead tuple may keep of it."""
    async with keys.db.session(DataUse.SECURITY) as session:
        rows = await session.execute(select(KeyNode.id, KeyNode.content, KeyNode.wrapped))
        return [(row.id, bytes(row.content), row.wrapped and bytes(row.wrapped)) for row in rows]


async def attack(retained: list[Version], keyrings: list[Keyring]) -> set[bytes]:
    """Every secret that can be had from retained bytes with these keyrings: each known key is tried on each node."""
    known: set[bytes] = set()
    for node_id, _, wrapped in retained:
        for keyring in keyrings if wrapped else ():
            try:
                known.add(await keyring.unwrap(wrapped or b"", node_id))
            except KeyUnavailable:
                continue
    fresh = set(known)
    closed = {(node_id, content) for node_id, content, _ in retained}
    while fresh:
        found: set[bytes] = set()
        for node_id, content in sorted(closed):
            for secret in fresh:
                try:
                    plain = envelope.open_envelope(Key(node_id, secret), content, b"node" + node_id.bytes)
                except SealBroken:
                    continue
                found |= set(msgspec.msgpack.decode(plain, type=dict[bytes, bytes]).values())
                closed.discard((node_id, content))
        fresh = found - known
        known |= found
    return known


@pytest.mark.parametrize("fan", [2, 5, keytree.FAN])
async def test_no_retained_byte_gives_a_destroyed_key_back(
    stores: Stores, fan: int, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    _, keys = stores
    monkeypatch.setattr(keytree, "FAN", fan)
    dice = random.Random(fan)
    living: dict[UUID, bytes] = {}
    destroyed: set[bytes] = set()
    retained: list[Version] = []
    for step in range(24):
        subject = uuid7()
        living[subject] = (await keys.create_subject_key(subject)).secret
        retained += await versions(keys)
        if step % 3 == 2:
            gone = dice.choice(sorted(living))
            destroyed.add(living.pop(gone))
            await keys.erase_subject(gone)
            retained += await versions(keys)
    had = await attack(retained, [keys.keyring])
    assert had >= set(living.values())
    assert not had & destroyed


async def test_the_attack_finds_the_key_while_the_root_key_of_before_exists(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the search above would see it."""
    _, keys = stores
    subject = uuid7()
    secret = (await keys.create_subject_key(subject)).secret
    retained = await versions(keys)

    async def survive(*_: object) -> None:
        raise KeyUnavailable("out of reach")

    monkeypatch.setattr(keys.keyring, "destroy", survive)
    await keys.erase_subject(subject)
    retained += await versions(keys)
    assert secret in await attack(retained, [keys.keyring])


async def test_a_destruction_writes_three_nodes_whatever_the_number_of_keys(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    monkeypatch.setattr(keytree, "FAN", 4)
    subjects = [uuid7() for _ in range(40)]
    for subject in subjects:
        await keys.create_subject_key(subject)
    before = set(await versions(keys))
    await keys.erase_subject(subjects[7])
    assert len(set(await versions(keys)) - before) == 3


async def test_room_is_used_again(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys = stores
    monkeypatch.setattr(keytree, "FAN", 3)
    for _ in range(10):
        subject = uuid7()
        await keys.create_subject_key(subject)
        await keys.erase_subject(subject)
    assert await keys.nodes() == 1


async def test_a_root_takes_more_than_its_share(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys = stores
    monkeypatch.setattr(keytree, "FAN", 2)
    subjects = [uuid7() for _ in range(17)]
    made = [await keys.create_subject_key(subject) for subject in subjects]
    keys.forget()
    assert [await keys.subject_key(subject) for subject in subjects] == made


async def test_a_damaged_path_is_a_named_error_and_no_erasure(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        content = await session.scalar(select(KeyNode.content).where(KeyNode.level == 2))
        broken = bytes(content or b"")[:-1] + bytes([(content or b"")[-1] ^ 1])
        await session.execute(update(KeyNode).where(KeyNode.level == 2).values(content=broken))
    keys.forget()
    with pytest.raises(KeyUnavailable) as caught:
        await keys.subject_key(subject)
    assert not isinstance(caught.value, KeyGone)


async def test_what_can_not_be_opened_is_counted_by_kind(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys = stores
    monkeypatch.setattr(keytree, "FAN", 2)
    for _ in range(5):
        await keys.create_subject_key(uuid7())
    await keys.service_key("one")
    assert await keys.unreadable() == {}
    async with keys.db.transaction(DataUse.SECURITY) as session:
        bucket = await session.scalar(select(StoredKey.node_id).where(StoredKey.kind == Kind.SERVICE))
        await session.execute(update(KeyNode).where(KeyNode.id == bucket).values(content=b"damaged"))
    assert await keys.unreadable() == {"service": 1, "subject": 1}


async def test_another_keys_root_is_refused(stores: Stores) -> None:
    _, keys = stores
    await keys.create_subject_key(uuid7())
    with pytest.raises(KeyUnavailable):
        await keys.adopt_root(bytes(32))


async def test_a_process_with_old_node_keys_reads_anew(stores: Stores) -> None:
    _, keys = stores
    first, second = uuid7(), uuid7()
    await keys.create_subject_key(first)
    made = await keys.create_subject_key(second)
    other = KeyTree(keys.keyring)
    async with keys.db.session(DataUse.SECURITY) as session:
        bucket = await session.scalar(select(KeyNode.id).where(KeyNode.level == 2))
        assert bucket is not None
        assert await other.read(session, bucket, made.id) == made.secret
    await keys.erase_subject(first)
    async with keys.db.session(DataUse.SECURITY) as session:
        assert await other.read(session, bucket, made.id) == made.secret


async def test_the_root_is_one_row_however_many_start(stores: Stores) -> None:
    _, keys = stores
    async with keys.db.transaction(DataUse.SECURITY) as session:
        root = await KeyTree(keys.keyring).lock(session)
        assert (root.id, root.level, root.rekeyed_at <= clock.now()) == (ROOT, 0, True)
