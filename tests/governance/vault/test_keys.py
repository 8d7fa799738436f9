"""Subject and service keys on both databases."""

import asyncio

import pytest
from sqlalchemy import delete

from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyUnavailable
from governance.ids import uuid7
from governance.vault.keys import KeyStore, SubjectKey

Stores = tuple[Database, KeyStore]


async def test_a_subject_key_is_committed_before_it_is_returned(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    made = await keys.create_subject_key(subject)
    apart = KeyStore(keys.db, keys.keyring)
    assert await apart.subject_key(subject) == made
    assert apart.cached_subject_key(subject) == made
    apart.forget(subject)
    assert apart.cached_subject_key(subject) is None


async def test_a_destroyed_key_is_unavailable(stores: Stores) -> None:
    _, keys = stores
    subject = uuid7()
    await keys.create_subject_key(subject)
    async with keys.db.transaction(DataUse.SECURITY) as session:
        await session.execute(delete(SubjectKey).where(SubjectKey.subject_id == subject))
    keys.forget()
    with pytest.raises(KeyUnavailable):
        await keys.subject_key(subject)


async def test_the_cache_is_bounded(stores: Stores) -> None:
    _, keys = stores
    small = KeyStore(keys.db, keys.keyring, cache_size=2)
    subjects = [uuid7() for _ in range(3)]
    for subject in subjects:
        await small.create_subject_key(subject)
    assert [small.cached_subject_key(subject) is None for subject in subjects] == [True, False, False]


async def test_a_cached_key_ages(stores: Stores) -> None:
    _, keys = stores
    brief = KeyStore(keys.db, keys.keyring, cache_seconds=-1)
    subject = uuid7()
    await brief.create_subject_key(subject)
    assert brief.cached_subject_key(subject) is None


async def test_a_service_key_is_one_however_many_ask(stores: Stores) -> None:
    _, keys = stores
    replicas = [KeyStore(keys.db, keys.keyring) for _ in range(8)]
    found = await asyncio.gather(*(replica.service_key("journal") for replica in replicas))
    assert len({key.secret for key in found}) == 1


async def test_counts_say_which_root_key_wraps_what(stores: Stores) -> None:
    _, keys = stores
    await keys.create_subject_key(uuid7())
    await keys.create_subject_key(uuid7())
    await keys.service_key("journal")
    root = str(keys.keyring.current)
    assert await keys.counts() == {"subject": {root: 2}, "service": {root: 1}}
