"""Backups end: told in words, pruned where they lie, and reckoned with until then."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance import clock
from governance.backup import create, expiry, registry, restore
from governance.backup.container import read_key
from governance.backup.expiry import key_file_of
from governance.datamap import Store
from governance.db import Database
from governance.errors import Conflict, Rejected
from governance.ids import uuid7
from governance.vault import clock_watch
from governance.vault.clock_watch import ClockWatch
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fixed() -> Iterator[None]:
    at(0)
    yield
    clock.install(None)


def at(days: float) -> None:
    clock.install(lambda: START + timedelta(days=days))


async def backups(stores: Stores, folder: Path) -> None:
    data, keys = stores
    await create.create_data(create.Order(folder / "d", timedelta(days=90), 1), data, keys.db)
    at(1)
    order = create.Order(folder / "k", timedelta(days=30), 1)
    await create.create_keys(order, keys, key_file_of(folder / "k"), folder / "run")


async def states(keys: KeyStore) -> dict[str, str]:
    return {row.store: expiry.state(row) for row in await registry.rows(keys.db)}


async def test_expired_backups_are_told_and_pruned_with_their_keys(stores: Stores, tmp_path: Path) -> None:
    _, keys = stores
    await backups(stores, tmp_path)
    assert await states(keys) == {"data": "kept until 2026-05-30", "keys": "kept until 2026-04-01"}
    assert await expiry.prune(keys.db) == []
    at(31)
    assert (await states(keys))["keys"] == "expired on 2026-04-01: prune it"
    (pruned,) = await expiry.prune(keys.db)
    assert pruned.removed and not (tmp_path / "k").exists() and not key_file_of(tmp_path / "k").exists()
    assert (tmp_path / "d").exists()
    assert (await states(keys))["keys"] == "removed on 2026-04-01"
    assert await expiry.prune(keys.db) == []


async def test_what_was_moved_or_replaced_is_left_and_said(stores: Stores, tmp_path: Path) -> None:
    _, keys = stores
    await backups(stores, tmp_path)
    (tmp_path / "d").rename(tmp_path / "elsewhere")
    (tmp_path / "k").write_text("something else")
    at(91)
    assert (await states(keys))["data"].endswith("delete it where it is kept; not where it was written")
    found = {one.backup.store: one for one in await expiry.prune(keys.db)}
    assert not found["data"].removed and not found["keys"].removed
    assert (tmp_path / "k").read_text() == "something else" and read_key(key_file_of(tmp_path / "k"))


async def test_a_clock_that_jumped_prunes_nothing(stores: Stores, tmp_path: Path) -> None:
    _, keys = stores
    await backups(stores, tmp_path)
    watch = ClockWatch(keys.db)
    assert await watch.is_trusted()
    at(400)
    with pytest.raises(Conflict, match="service's last round was on 2026-03-02 00:00"):
        await expiry.prune(keys.db)
    assert (tmp_path / "d").exists() and (tmp_path / "k").exists() and key_file_of(tmp_path / "k").exists()
    at(30)
    assert await expiry.prune(keys.db) == []  # nothing to delete, so nothing to refuse
    at(400)
    assert not await watch.is_trusted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock_watch, "HOLD_S", 0)
        assert await watch.is_trusted()  # the service has waited for its hour
    assert {one.removed for one in await expiry.prune(keys.db)} == {True}


async def test_the_operator_may_believe_the_clock(stores: Stores, tmp_path: Path) -> None:
    _, keys = stores
    await backups(stores, tmp_path)
    assert await ClockWatch(keys.db).is_trusted()
    at(31)
    (pruned,) = await expiry.prune(keys.db, force=True)
    assert pruned.removed and not (tmp_path / "k").exists()


async def test_named_backups_end_before_their_time(stores: Stores, tmp_path: Path) -> None:
    _, keys = stores
    await backups(stores, tmp_path)
    ids = {row.store: row.id for row in await registry.rows(keys.db)}
    with pytest.raises(Rejected, match="no backup"):
        await expiry.remove(keys.db, [ids["keys"], uuid7()])
    assert (tmp_path / "k").exists()
    (removed,) = await expiry.remove(keys.db, [ids["keys"]])
    assert removed.removed and not (tmp_path / "k").exists() and not key_file_of(tmp_path / "k").exists()
    assert (tmp_path / "d").exists() and await registry.oldest(keys.db, Store.KEYS) is None
    (again,) = await expiry.remove(keys.db, [ids["keys"]], gone=True)
    assert again.removed and again.why == "removed on 2026-03-02"


async def test_a_backup_that_was_moved_counts_until_somebody_says_that_it_is_gone(
    stores: Stores, tmp_path: Path
) -> None:
    _, keys = stores
    await backups(stores, tmp_path)
    ids = [row.id for row in await registry.rows(keys.db) if row.store == Store.DATA]
    (tmp_path / "d").rename(tmp_path / "elsewhere")
    (tmp_path / "d").write_text("something else")
    (kept,) = await expiry.remove(keys.db, ids)
    assert not kept.removed and await registry.oldest(keys.db, Store.DATA) == START
    (gone,) = await expiry.remove(keys.db, ids, gone=True)
    assert gone.removed and await registry.oldest(keys.db, Store.DATA) is None
    assert (tmp_path / "d").read_text() == "something else"


async def test_the_oldest_counts_while_it_may_be_restored(stores: Stores, tmp_path: Path) -> None:
    _, keys = stores
    assert await registry.oldest(keys.db) is None
    await backups(stores, tmp_path)
    assert await registry.oldest(keys.db) == START
    assert await registry.oldest(keys.db, Store.KEYS) == START + timedelta(days=1)
    at(31)
    assert await registry.oldest(keys.db, Store.KEYS) is None and await registry.oldest(keys.db) == START
    at(90)
    assert await registry.oldest(keys.db) is None


async def test_an_expired_or_unknown_backup_needs_force(stores: Stores, tmp_path: Path) -> None:
    _, keys = stores
    await backups(stores, tmp_path)
    rows = await registry.rows(keys.db)
    assert restore.choose(tmp_path / "d", Store.DATA, rows, force=False).known is not None
    for file, store in ((tmp_path / "d", Store.KEYS), (tmp_path / "k", Store.DATA)):
        with pytest.raises(Rejected):
            restore.choose(file, store, rows, force=True)
    with pytest.raises(Rejected, match="unknown to this home"):
        restore.choose(tmp_path / "d", Store.DATA, [], force=False)
    assert restore.choose(tmp_path / "d", Store.DATA, [], force=True).known is None
    at(91)
    for file, store in ((tmp_path / "d", Store.DATA), (tmp_path / "k", Store.KEYS)):
        with pytest.raises(Rejected, match="expired on"):
            restore.choose(file, store, rows, force=False)
        assert restore.choose(file, store, rows, force=True).known is not None
