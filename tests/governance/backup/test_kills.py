"""SIGKILL before and after every durable step of a backup and of a restore, on both databases: all, or nothing.

On PostgreSQL the kills after a step are for `BATTERY=1`: the one before the next is much the same.
"""

import fcntl
import os
from pathlib import Path

import pytest

from governance.backup import registry
from governance.backup.expiry import key_file_of
from governance.backup.form import sha256_of
from governance.datamap import Store
from governance.db import Database
from governance.vault.keyring_file import FileKeyring
from governance.vault.stored_key import Kind
from tests.conftest import Postgres
from tests.governance.backup.killed import act, kill_at
from tests.governance.backup.rooted import RootedKeys
from tests.governance.backup.rows import add_mail, everything, integrity, run, tables

Urls = dict[str, str]
KILLED = pytest.mark.parametrize(
    "urls, after",
    [("sqlite", False), ("sqlite", True), ("postgresql", False)]
    + ([("postgresql", True)] if os.environ.get("BATTERY") else []),
    indirect=["urls"],
)


@pytest.fixture
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Urls:
    """Both stores with their tables and one person, closed."""
    if request.param == "sqlite":
        made = {name: f"sqlite+aiosqlite:///{tmp_path}/{name}/{name}.db" for name in ("data", "keys")}
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = {name: server.create_database() for name in ("data", "keys")}
    FileKeyring.create(tmp_path / "root.key")

    async def prepare() -> None:
        for store in Store:
            await tables(made[store.value], store)
        await add_person(made, tmp_path)

    run(prepare())
    return made


async def add_person(urls: Urls, home: Path) -> None:
    data, keys_db = Database(urls["data"]), Database(urls["keys"])
    keys = RootedKeys(keys_db, FileKeyring(home / "root.key"))
    await keys.export_root()
    await add_mail(data, keys, "someone")
    await data.aclose()
    await keys_db.aclose()


async def counts(urls: Urls, home: Path) -> tuple[int, int, int]:
    """People and mails in the data, subject keys that open; each store read whole."""
    data, keys_db = Database(urls["data"]), Database(urls["keys"])
    keys = RootedKeys(keys_db, FileKeyring(home / "root.key"))
    await keys.open(await keys.seal(b"x"))
    found, held = await everything(data, Store.DATA), await everything(keys_db, Store.KEYS)
    subjects = [row[3] for row in held["stored_key"] if row[1] == Kind.SUBJECT]
    for subject_id in subjects:
        await keys.subject_key(subject_id)
    await data.aclose()
    await keys_db.aclose()
    if data.sqlite:
        assert {integrity(Path(str(db.engine.url.database))) for db in (data, keys_db)} == {"ok"}
    return len(found["data_subject"]), len(found["outbox"]), len(subjects)


async def registered(urls: Urls) -> list[registry.Backup]:
    keys_db = Database(urls["keys"])
    rows = await registry.rows(keys_db)
    await keys_db.aclose()
    return rows


@KILLED
@pytest.mark.parametrize("store", ["data", "keys"])
def test_a_killed_backup_is_whole_or_not_there(urls: Urls, tmp_path: Path, store: str, after: bool) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    step, killed = 0, True
    while killed:
        step += 1
        out = folder / f"b{step}"
        killed = kill_at(step, after, f"create {store}", urls, str(tmp_path), str(out))
        rows = {row.path: row for row in run(registered(urls))}
        if out.exists():
            assert rows[str(out)].sha256 == sha256_of(out), "a file with a name is whole and known"
            assert store == "data" or key_file_of(out).exists()
        else:
            assert killed
            wait_for_orphans(out.with_name(f".{out.name}.part"))  # a pg_dump that outlived its parent
            # Nothing stands in the way of the same command again, but a key file that was finished.
            key_file_of(out).unlink(missing_ok=True)
            run(act(f"create {store}", urls, str(tmp_path), str(out)))
            assert out.exists()
    assert step > 5
    left = {path.name for path in folder.iterdir() if path.name.startswith(".")}
    assert left <= {f".{path.name}.part" for path in folder.iterdir() if path.exists()}


@KILLED
@pytest.mark.parametrize("store", ["data", "keys"])
def test_a_killed_restore_is_the_old_or_the_new(urls: Urls, tmp_path: Path, store: str, after: bool) -> None:
    out = tmp_path / "backup"
    run(act(f"create {store}", urls, str(tmp_path), str(out)))
    step, killed, seen = 0, True, set()
    while killed:
        run(add_person(urls, tmp_path))
        then = run(counts(urls, tmp_path))
        restored = (1, 1, then[2]) if store == "data" else (then[0], then[1], 1)
        step += 1
        killed = kill_at(step, after, f"restore {store}", urls, str(tmp_path), str(out))
        wait_for_orphans(tmp_path / "run" / "stores.lock")
        now = run(counts(urls, tmp_path))
        assert now in (then, restored)
        seen.add(now == restored)
        assert killed or now == restored
        # Forced: on PostgreSQL a key store that is restored but not adopted yet has the registry of then.
        run(act(f"restore {store}", urls, str(tmp_path), str(out), force=True))
        assert run(counts(urls, tmp_path)) == restored
    assert step > 3 and seen == {True, False}


def wait_for_orphans(locked: Path) -> None:
    """A program of PostgreSQL that outlived its parent holds the parent's lock until it has ended."""
    if locked.exists():
        with locked.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
