"""That a key store opens no data but its own."""

import shutil
from pathlib import Path

import pytest

from governance.datamap import DataUse
from governance.errors import ConfigurationError
from governance.ids import uuid7
from governance.subjects import add_subject
from router.app.stores import migrate, opened
from router.settings import Settings


async def home(folder: Path, *, people: bool = True) -> Settings:
    settings = Settings(home=folder)
    await migrate(settings)
    async with opened(settings) as stores:
        if people:
            subject_id = uuid7()
            await stores.keys.create_subject_key(subject_id)
            async with stores.data.transaction(DataUse.SERVICE) as session:
                add_subject(session, subject_id)
    return settings


async def test_an_empty_key_store_beside_data_is_refused(tmp_path: Path) -> None:
    """Nothing of the data would open, and fresh keys would be taken beside it."""
    settings = await home(tmp_path / "one")
    kept = shutil.move(settings.home / "keys", tmp_path / "kept")
    await migrate(settings)
    with pytest.raises(ConfigurationError, match="key store is empty"):
        async with opened(settings):
            pass
    shutil.rmtree(settings.home / "keys")
    shutil.move(kept, settings.home / "keys")
    await migrate(settings)
    async with opened(settings) as stores:
        assert not await stores.keys.unreadable()


async def test_another_homes_keys_are_refused(tmp_path: Path) -> None:
    one, other = await home(tmp_path / "one"), await home(tmp_path / "other")
    for name in ("keys.db", "keys.db-wal", "keys.db-shm"):
        (one.home / "keys" / name).unlink(missing_ok=True)
    shutil.copy(other.home / "keys" / "keys.db", one.home / "keys" / "keys.db")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="belongs to other data"):
            async with opened(one):
                pass
        await migrate(one)  # doesn't join what isn't its own


async def test_a_fresh_data_store_takes_the_keys_that_are_there(tmp_path: Path) -> None:
    settings = await home(tmp_path / "one")
    shutil.rmtree(settings.home / "data")
    await migrate(settings)
    async with opened(settings) as stores:
        assert not await stores.keys.unreadable()


async def test_a_home_without_people_takes_another_key_store(tmp_path: Path) -> None:
    """There is nothing to lose yet."""
    settings = await home(tmp_path / "one", people=False)
    shutil.rmtree(settings.home / "keys")
    await migrate(settings)
    async with opened(settings) as stores:
        assert not await stores.keys.unreadable()
