"""Backups of both stores on both databases, made while writes go on, restored, and compared byte for byte."""

import asyncio
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from governance.backup import create, in_use, postgres, registry, restore
from governance.backup.container import read_key
from governance.backup.expiry import key_file_of
from governance.datamap import METADATA, DataUse, Store
from governance.db import Database
from governance.errors import Conflict, KeyUnavailable, Rejected, SealBroken
from governance.ids import uuid7
from governance.mail.outbox import OutboxMail
from governance.subjects import DataSubject
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from tests.governance.backup.rooted import RootedKeys, adopter
from tests.governance.backup.rows import add_mail, everything, integrity, subjects, url_of

Stores = tuple[Database, KeyStore]
DAYS = timedelta(days=90)


def order(out: Path) -> create.Order:
    return create.Order(out, DAYS, epoch=3)


async def put_back(out: Path, keys: KeyStore, url: str, run_folder: Path, *, force: bool = False) -> None:
    source = restore.choose(out, Store.DATA, await registry.rows(keys.db), force=force)
    lock = in_use.alone(run_folder)
    try:
        await restore.restore_data(source, url, lock, run_folder)
    finally:
        os.close(lock)


async def test_a_copy_made_among_writes_is_one_moment(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    before = await add_mail(data, keys, "before")
    stop = asyncio.Event()

    async def write() -> int:
        written = 0
        while not stop.is_set() or written < 5:
            await add_mail(data, keys, f"mail {written}")
            written += 1
        return written

    writer = asyncio.create_task(write())
    await create.create_data(order(tmp_path / "b"), data, keys.db)
    stop.set()
    assert await writer >= 5
    after = await add_mail(data, keys, "after")
    await data.aclose()
    await put_back(tmp_path / "b", keys, url_of(data), tmp_path / "run")
    restored = Database(url_of(data))
    async with restored.session(DataUse.SUPPORT) as session:
        people = set(await session.scalars(select(DataSubject.id)))
        mails = set(await session.scalars(select(OutboxMail.subject_id)))
    await restored.aclose()
    # A subject and their mail are one transaction: both are in the copy, or neither.
    assert people == mails and before in people and after not in people


async def test_a_data_backup_is_registered_and_restores_every_byte(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    for number in range(20):
        await add_mail(data, keys, f"n{number}" * number)
    wanted = await everything(data, Store.DATA)
    told: list[int] = []
    out = tmp_path / "b"
    made = await create.create_data(create.Order(out, DAYS, 3, told.append), data, keys.db)
    assert told and told[-1] > 0
    (row,) = await registry.rows(keys.db)
    assert (row.id, row.store, row.path, row.epoch) == (made.id, "data", str(out), 3)
    assert row.size_bytes == out.stat().st_size and row.expires_at - row.created_at == DAYS
    assert out.stat().st_mode & 0o777 == 0o600
    await add_mail(data, keys, "later")
    await data.aclose()
    await put_back(out, keys, url_of(data), tmp_path / "run")
    restored = Database(url_of(data))
    assert await everything(restored, Store.DATA) == wanted
    await restored.aclose()
    if data.sqlite:
        assert integrity(Path(str(data.engine.url.database))) == "ok"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["stores.lock"]


async def test_what_was_deleted_before_does_not_travel(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    subject = await add_mail(data, keys, "x")
    async with data.transaction(DataUse.SUPPORT) as session:
        row = (await session.scalars(select(OutboxMail).where(OutboxMail.subject_id == subject))).one()
        row.template = "deleted-before-backup"
    async with data.transaction(DataUse.SUPPORT) as session:
        await session.delete(row)
    await create.create_data(order(tmp_path / "b"), data, keys.db)
    assert b"deleted-before-backup" not in (tmp_path / "b").read_bytes()


async def test_a_key_backup_outlives_the_loss_of_everything(stores: Stores, tmp_path: Path) -> None:
    data, plain = stores
    keys = RootedKeys(plain.db, plain.keyring)
    sealed = await keys.seal(b"secret")
    subject = await add_mail(data, keys, "x")
    out, key_file = tmp_path / "k", tmp_path / "apart" / "k.key"
    key_file.parent.mkdir()
    run_folder = tmp_path / "run"
    made = await create.create_keys(order(out), keys, key_file, run_folder)
    wanted = await everything(keys.db, Store.KEYS, but=("backup", "key_node", "root_epoch"))
    assert key_file.stat().st_mode & 0o777 == 0o600 and out.stat().st_mode & 0o777 == 0o600
    for needle in (str(subject).encode(), subject.bytes, subject.hex.encode(), await keys.export_root()):
        assert needle not in out.read_bytes()
    # Lost: the key file, and all that was written since.
    lost = await add_mail(data, keys, "later")
    await keys.db.aclose()
    other = FileKeyring.create(tmp_path / "other" / "root.key")
    source = restore.choose(out, Store.KEYS, [], force=True)
    lock = in_use.alone(run_folder)
    await restore.restore_keys(source, url_of(keys.db), lock, run_folder, read_key(key_file), adopter(other), [])
    os.close(lock)
    restored = RootedKeys(Database(url_of(keys.db)), other)
    assert await restored.open(sealed) == b"secret"
    assert await everything(restored.db, Store.KEYS, but=("backup", "key_node", "root_epoch")) == wanted
    with pytest.raises(KeyUnavailable):
        await restored.subject_key(lost)
    (row,) = await registry.rows(restored.db)
    assert (row.sha256, row.store, row.epoch) == (made.sha256, "keys", 3)
    assert row.expires_at == made.expires_at.replace(microsecond=row.expires_at.microsecond)
    await restored.db.aclose()


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_key_backup_made_while_keys_are_destroyed_opens(
    stores: Stores, tmp_path: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root's key is another one after each destruction: what is exported may not be the copy's own."""
    _, plain = stores
    keys = RootedKeys(plain.db, plain.keyring)
    sealed = await keys.seal(b"secret")
    victims = [uuid7() for _ in range(times)]
    for victim in victims:
        await keys.create_subject_key(victim)
    copy = create.copy_store

    async def destroy_first(*given: object) -> None:
        if victims:
            await keys.erase_subject(victims.pop())
        await copy(*given)  # type: ignore[arg-type]
        if victims:
            await keys.erase_subject(victims.pop())

    monkeypatch.setattr(create, "copy_store", destroy_first)
    out = tmp_path / "k"
    await create.create_keys(order(out), keys, key_file_of(out), tmp_path / "run")
    assert victims == [] or not keys.db.sqlite  # there the root key isn't replaced with each, and opens any copy
    rows = await registry.rows(keys.db)
    await keys.db.aclose()
    lock = in_use.alone(tmp_path / "run")
    source = restore.choose(out, Store.KEYS, rows, force=False)
    key, adopt = read_key(key_file_of(out)), adopter(keys.keyring)
    await restore.restore_keys(source, url_of(keys.db), lock, tmp_path / "run", key, adopt, rows)
    os.close(lock)
    restored = RootedKeys(Database(url_of(keys.db)), keys.keyring)
    assert await restored.open(sealed) == b"secret"
    await restored.db.aclose()


async def test_a_copy_without_its_root_is_no_backup(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, keys = stores
    copy = create.copy_store

    async def destroy_first(*given: object) -> None:
        victim = uuid7()
        await keys.create_subject_key(victim)
        await keys.erase_subject(victim)
        await copy(*given)  # type: ignore[arg-type]

    async def ended(_: bytes) -> bytes:
        raise KeyUnavailable("the root key of the copy was destroyed meanwhile")

    monkeypatch.setattr(create, "copy_store", destroy_first)
    monkeypatch.setattr(create, "_TRIES", 3)
    monkeypatch.setattr(keys, "open_root", ended)
    with pytest.raises(Conflict, match="try again"):
        await create.create_keys(order(tmp_path / "k"), keys, tmp_path / "k.key", tmp_path / "run")
    assert await registry.rows(keys.db) == []
    assert not (tmp_path / "k").exists() and not (tmp_path / "k.key").exists()


async def test_a_whole_key_store_is_not_replaced_by_an_older_one(stores: Stores, tmp_path: Path) -> None:
    """What was sealed since the backup would be lost; and a store that this keyring doesn't open may open by another."""
    _, keys = stores
    await keys.create_subject_key(uuid7())
    out = tmp_path / "k"
    await create.create_keys(order(out), keys, key_file_of(out), tmp_path / "run")
    await restore.check_loss(keys, out)
    await keys.create_subject_key(uuid7())
    with pytest.raises(Rejected, match="holds 1 keys of people that are newer"):
        await restore.check_loss(keys, out)
    with pytest.raises(Rejected, match="holds 1 keys of people that are newer"):
        await restore.check_loss(KeyStore(keys.db, FileKeyring.create(tmp_path / "other" / "root.key")), out)


async def test_a_wrong_key_or_an_altered_backup_changes_nothing(stores: Stores, tmp_path: Path) -> None:
    _, plain = stores
    keys = RootedKeys(plain.db, plain.keyring)
    sealed = await keys.seal(b"secret")
    out = tmp_path / "k"
    await create.create_keys(order(out), keys, key_file_of(out), tmp_path / "run")
    before = await everything(keys.db, Store.KEYS)
    rows = await registry.rows(keys.db)
    await keys.db.aclose()
    url, adopt, key = url_of(keys.db), adopter(keys.keyring), read_key(key_file_of(out))
    lock = in_use.alone(tmp_path / "run")
    source = restore.choose(out, Store.KEYS, rows, force=False)
    with pytest.raises(SealBroken):
        await restore.restore_keys(source, url, lock, tmp_path / "run", os.urandom(32), adopt, rows)
    out.write_bytes(out.read_bytes()[:-1])
    with pytest.raises(Rejected, match="SHA-256 differs"):
        restore.choose(out, Store.KEYS, rows, force=False)
    source = restore.choose(out, Store.KEYS, rows, force=True)
    with pytest.raises(SealBroken):
        await restore.restore_keys(source, url, lock, tmp_path / "run", key, adopt, rows)
    os.close(lock)
    again = RootedKeys(Database(url), keys.keyring)
    assert await everything(again.db, Store.KEYS) == before and await again.open(sealed) == b"secret"
    await again.db.aclose()


async def test_a_key_restore_keeps_what_the_registry_knows_today(stores: Stores, tmp_path: Path) -> None:
    data, plain = stores
    keys = RootedKeys(plain.db, plain.keyring)
    await keys.export_root()
    out, run_folder = tmp_path / "k", tmp_path / "run"
    await create.create_keys(order(out), keys, key_file_of(out), run_folder)
    await create.create_data(order(tmp_path / "d"), data, keys.db)
    rows = await registry.rows(keys.db)
    await keys.db.aclose()
    lock = in_use.alone(run_folder)
    source = restore.choose(out, Store.KEYS, rows, force=False)
    key = read_key(key_file_of(out))
    await restore.restore_keys(source, url_of(keys.db), lock, run_folder, key, adopter(keys.keyring), rows)
    os.close(lock)
    restored = Database(url_of(keys.db))
    assert {row.id for row in await registry.rows(restored)} == {row.id for row in rows}
    await restored.aclose()


async def test_a_backup_overwrites_nothing(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    (tmp_path / "b").write_text("there")
    with pytest.raises(Conflict):
        await create.create_data(order(tmp_path / "b"), data, keys.db)
    (tmp_path / "k.key").write_text("there")
    with pytest.raises(Conflict):
        await create.create_keys(order(tmp_path / "k"), keys, tmp_path / "k.key", tmp_path / "run")
    assert (tmp_path / "b").read_text() == (tmp_path / "k.key").read_text() == "there"
    assert await registry.rows(keys.db) == [] and not (tmp_path / "k").exists()


async def test_a_restore_refuses_while_others_are_connected(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    await add_mail(data, keys, "x")
    await create.create_data(order(tmp_path / "b"), data, keys.db)
    later = await add_mail(data, keys, "later")
    async with data.session(DataUse.SUPPORT) as session:
        await session.scalars(select(DataSubject.id))
        with pytest.raises(Conflict):
            await put_back(tmp_path / "b", keys, url_of(data), tmp_path / "run")
    assert later in await subjects(data)


async def test_a_damaged_or_foreign_backup_changes_nothing(stores: Stores, tmp_path: Path) -> None:
    data, keys = stores
    await add_mail(data, keys, "x" * 5000)
    out = tmp_path / "b"
    await create.create_data(order(out), data, keys.db)
    before = await subjects(data)
    await data.aclose()
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Rejected, match="SHA-256 differs"):
        await put_back(out, keys, url_of(data), tmp_path / "run")
    for wrong in (whole[: len(whole) // 2], b"SQLite format 3\0" + os.urandom(5000), b"PGDMP" + os.urandom(5000)):
        out.write_bytes(wrong)
        with pytest.raises(Exception, match=r"damaged|failed|is of a"):
            await put_back(out, keys, url_of(data), tmp_path / "run", force=True)
    again = Database(url_of(data))
    assert await subjects(again) == before
    await again.aclose()


async def test_the_password_is_in_no_argument(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, keys = stores
    if data.sqlite:
        return
    seen: list[tuple[list[str], dict[str, str]]] = []
    real = postgres.run

    async def spied(command, environment, **options):  # type: ignore[no-untyped-def]
        seen.append((list(command), dict(environment)))
        await real(command, environment, **options)

    monkeypatch.setattr(postgres, "run", spied)
    with_password = Database(url_of(data).replace("app@", "app:hunter2-secret@"))
    await create.create_data(order(tmp_path / "b"), with_password, keys.db)
    await with_password.aclose()
    ((command, environment),) = seen
    assert environment["PGPASSWORD"] == "hunter2-secret" and "hunter2-secret" not in " ".join(command)


async def test_a_wal_left_by_a_killed_service_is_not_played_into_the_restored_store(tmp_path: Path) -> None:
    live, keys_db = (
        Database(f"sqlite+aiosqlite:///{tmp_path}/live.db"),
        Database(f"sqlite+aiosqlite:///{tmp_path}/keys.db"),
    )
    for db, store in ((live, Store.DATA), (keys_db, Store.KEYS)):
        async with db.engine.begin() as connection:
            await connection.run_sync(METADATA[store].create_all)
    keys = KeyStore(keys_db, FileKeyring.create(tmp_path / "root.key"))
    for number in range(20):
        await add_mail(live, keys, f"n{number}" * 100)
    await create.create_data(order(tmp_path / "b"), live, keys_db)
    wanted = await everything(live, Store.DATA)
    await add_mail(live, keys, "later")
    # As SIGKILL leaves it: the newest pages are in the WAL alone.
    for end in ("", "-wal"):
        shutil.copyfile(f"{tmp_path}/live.db{end}", f"{tmp_path}/killed.db{end}")
    assert (tmp_path / "killed.db-wal").stat().st_size > 0
    url = f"sqlite+aiosqlite:///{tmp_path}/killed.db"
    await put_back(tmp_path / "b", keys, url, tmp_path / "run")
    restored = Database(url)
    assert await everything(restored, Store.DATA) == wanted
    for db in (restored, live, keys_db):
        await db.aclose()
    assert integrity(tmp_path / "killed.db") == "ok"
