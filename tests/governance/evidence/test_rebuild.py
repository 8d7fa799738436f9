"""A lost folder is made again bit for bit, an old one is completed, and neither where it would contradict what was published."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from governance.datamap import DataUse, Store
from governance.errors import Conflict, NotFound, Rejected
from governance.evidence import pending, rebuild
from governance.evidence.entry import EntryType
from governance.evidence.log import Log
from governance.evidence.pending import DataEvidence
from governance.ids import uuid7
from tests.governance.evidence.conftest import Stores
from tests.governance.evidence.test_log import add, add_at_once, judged


def files(folder: Path) -> dict[str, bytes]:
    """What is published at the newest size; older checkpoints and their partial tiles depend on when rounds were."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "checkpoints" and ".p" not in str(path) and path.name != "lock"
    }


async def filled(stores: Stores, log: Log) -> bytes:
    """A log of 304 entries in several rounds; its checkpoint."""
    data, keys = stores
    for _ in range(2):
        await add(data)
        await add(keys.db)
        await log.advance()
    await add_at_once(data, 300)
    await log.advance()
    return (log.folder.path / "checkpoint").read_bytes()


async def remember(stores: Stores, head: str, *which: Store) -> None:
    """Both stores, or those named, remember that checkpoint and none that came later."""
    for store, db in ((Store.DATA, stores[0]), (Store.KEYS, stores[1].db)):
        if store in (which or Store):
            async with db.transaction(DataUse.SECURITY) as session:
                await session.execute(update(pending.STATES[store]).values(checkpoint=head))


async def test_a_lost_folder_is_made_again_bit_for_bit(stores: Stores, log: Log) -> None:
    head = await filled(stores, log)
    before = files(log.folder.path)
    shutil.rmtree(log.folder.path)
    with pytest.raises(Conflict, match="rebuild"):
        await log.advance()
    assert await rebuild.rebuild(log, known=head) == (0, 304)
    assert files(log.folder.path) == before
    # It goes on from there, with an entry that says so.
    await add(stores[0])
    done = await log.advance()
    assert done is not None and done.size == 306
    report = await judged(stores, log)
    assert [dict(each.detail) for each in report.entries if each.type is EntryType.LOG_REBUILT] == [
        {"start": 0, "end": 304}
    ]


async def test_an_old_folder_is_completed(stores: Stores, log: Log, tmp_path: Path) -> None:
    await add(stores[0], 3)
    await log.advance()
    shutil.copytree(log.folder.path, tmp_path / "old")
    head = await filled(stores, log)
    before = files(log.folder.path)
    shutil.rmtree(log.folder.path)
    shutil.copytree(tmp_path / "old", log.folder.path)
    with pytest.raises(Conflict, match="older copy"):
        await log.advance()
    assert await rebuild.rebuild(log, known=head) == (3, 307)
    assert files(log.folder.path) == before
    await log.advance()
    await judged(stores, log)


async def test_after_a_crash_half_way_it_is_finished(stores: Stores, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(stores, log)
    before = files(log.folder.path)
    shutil.rmtree(log.folder.path)
    monkeypatch.setattr(rebuild, "_AT_ONCE", 100)
    whole, calls = log.publish, iter(range(10))

    def dies(*arguments: object) -> None:
        if next(calls) == 2:
            raise OSError
        whole(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as cut:
        cut.setattr(log, "publish", dies)
        with pytest.raises(OSError, match=r"^$"):
            await rebuild.rebuild(log)
    assert await rebuild.rebuild(log) == (200, 304)
    assert files(log.folder.path) == before
    # Each of them says so, also the one that was cut short.
    await log.advance()
    report = await judged(stores, log)
    assert sorted(each.detail["start"] for each in report.entries if each.type is EntryType.LOG_REBUILT) == [0, 200]


async def test_an_old_folder_with_a_batch_that_was_being_written(stores: Stores, log: Log, tmp_path: Path) -> None:
    await add(stores[0], 3)
    await log.advance()
    await add(stores[0], 2)
    batch = await log._stage()
    assert batch is not None
    shutil.copytree(log.folder.path, tmp_path / "old")
    head = await filled(stores, log)
    shutil.rmtree(log.folder.path)
    shutil.copytree(tmp_path / "old", log.folder.path)
    assert await rebuild.rebuild(log, known=head) == (3, 309)
    assert not (log.folder.path / "staged").exists()
    done = await log.advance()
    assert done is not None and done.size == 310
    await judged(stores, log)


async def test_a_kill_between_the_two_stores_and_then_a_lost_checkpoint(
    stores: Stores, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One store knows the batch, the other doesn't yet; the batch says what its leaves were."""
    await add(stores[0], 2)
    await log.advance()
    await add(stores[0], 2)
    await add(stores[1].db, 2)
    marked = log._mark

    async def dies(store: Store, *rest: object) -> None:
        if store is Store.KEYS:
            raise OSError
        await marked(store, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as cut:
        cut.setattr(log, "_mark", dies)
        with pytest.raises(OSError, match=r"^$"):
            await log.advance()
    folder = log.folder.path
    before = files(folder)
    for path in ("checkpoint", "checkpoints/6", "tile/0/000.p/6", "tile/entries/000.p/6"):
        (folder / path).unlink()
    shutil.copy(folder / "checkpoints" / "2", folder / "checkpoint")
    assert await rebuild.rebuild(log) == (2, 6)
    assert files(folder) == before
    done = await log.advance()
    assert done is not None and done.size == 7 and not (log.folder.path / "staged").exists()
    await judged(stores, log)


async def test_nothing_is_written_that_contradicts_what_was_published(stores: Stores, log: Log) -> None:
    data = stores[0]
    head = await filled(stores, log)
    folder = log.folder.path
    earlier = log.folder.raw_checkpoint(4).decode()
    shutil.rmtree(folder)
    async with data.transaction(DataUse.SECURITY) as session:
        salt = await session.scalar(select(DataEvidence.salt).where(DataEvidence.position == 7))
        await session.execute(update(DataEvidence).where(DataEvidence.position == 7).values(salt=b"\0" * 32))
    with pytest.raises(Conflict, match="aren't those that were published"):
        await rebuild.rebuild(log)
    assert not (folder / "origin").exists() and not (folder / "checkpoint").exists()
    async with data.transaction(DataUse.SECURITY) as session:
        await session.execute(update(DataEvidence).where(DataEvidence.position == 7).values(salt=salt))
    # The stores have forgotten that more was published.
    await remember(stores, earlier)
    with pytest.raises(Conflict, match="second history"):
        await rebuild.rebuild(log, known=head)
    assert not (folder / "origin").exists()


async def test_missing_entries_are_told_and_nothing_is_written(stores: Stores, log: Log) -> None:
    await filled(stores, log)
    shutil.rmtree(log.folder.path)
    async with stores[0].transaction(DataUse.SECURITY) as session:
        await session.execute(delete(DataEvidence).where(DataEvidence.position.in_([9, 20])))
    with pytest.raises(Conflict, match=r"^2 entries .* position 9:"):
        await rebuild.rebuild(log)
    assert not (log.folder.path / "origin").exists()


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_where_there_is_nothing_to_rebuild(stores: Stores, log: Log, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await rebuild.rebuild(log)
    head = await filled(stores, log)
    with pytest.raises(Rejected, match="nothing to rebuild"):
        await rebuild.rebuild(log)
    with log.folder.alone() as ours:
        assert ours
        with pytest.raises(Conflict, match="stop it first"):
            await rebuild.rebuild(log)
    shutil.rmtree(log.folder.path)
    elsewhere = Log(log.folder.path, stores[0], stores[1])  # no origin is set
    for wrong in ("no checkpoint", head.decode().replace("log.example.com/t", "log.example.org/t")):
        with pytest.raises(Rejected):
            await rebuild.rebuild(elsewhere, wrong.encode())
    assert await rebuild.rebuild(elsewhere, head) == (0, 304)  # under the origin that the stores remember
    assert (log.folder.path / "checkpoint").read_bytes() == head


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
async def test_another_logs_folder_is_left_alone(stores: Stores, log: Log, tmp_path: Path) -> None:
    await filled(stores, log)
    other = Log(tmp_path / "other", *stores)
    other.folder.path.mkdir()
    other.folder.begin(uuid7(), "log.example.com/t")
    with pytest.raises(Conflict, match="another log"):
        await rebuild.rebuild(other)
