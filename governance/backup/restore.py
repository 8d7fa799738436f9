"""Puts a backup in the place of a store, wholly or not at all. The caller holds the home alone (`in_use.alone`).

SQLite: a new file beside, made whole and durable, then renamed over the old one. PostgreSQL: one transaction.
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import column, func, inspect, make_url, select, table

from governance import clock
from governance.backup import container, postgres, registry
from governance.backup.draft import draft
from governance.backup.form import Form, form_of, sha256_of
from governance.backup.read import dumped_tables
from governance.backup.registry import Backup
from governance.backup.scratch import scratch
from governance.datamap import Store
from governance.db import Database
from governance.errors import Conflict, Rejected
from governance.ids import uuid7
from governance.vault.keys import KeyStore

Adopt = Callable[[Database, bytes], Awaitable[None]]
"""Brings a restored key store to the newest version and wraps its root node key under today's keyring."""

_LOOKS = 20
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Source:
    """A backup that may be restored. `known` is its row, None where the registry doesn't have it."""

    file: Path
    form: Form
    sha256: str
    known: Backup | None


def choose(file: Path, store: Store, rows: Sequence[Backup], *, force: bool) -> Source:
    """Check a file against the registry. Raises Rejected with what `--force` would overrule, or what nothing does."""
    form = form_of(file)
    if (form is Form.SEALED) != (store is Store.KEYS):
        kind = (
            "a sealed backup of the key store" if form is Form.SEALED else "not sealed, so no backup of the key store"
        )
        raise Rejected(f"{file} is {kind}.", field="store")
    digest = sha256_of(file)
    known = next((row for row in rows if row.sha256 == digest), None)
    if known is not None and known.store != store.value:
        raise Rejected(f"{file} is a backup of the {known.store} store.", field="store")
    expires_at = known.expires_at if known is not None else None
    if form is Form.SEALED:
        expires_at = container.read_header(file).expires_at
    if not force and known is None:
        there = any(row.path == str(file.absolute()) for row in rows)
        what = "is not what was written there (its SHA-256 differs)" if there else "is unknown to this home's registry"
        raise Rejected(f"{file} {what}. --force restores it all the same.", field="backup")
    if not force and expires_at is not None and expires_at <= clock.now():
        raise Rejected(
            f"{file} expired on {expires_at.date()}: it may bring back what was erased since. --force restores it all the "
            "same.",
            field="backup",
        )
    return Source(file, form, digest, known)


async def check_loss(keys: KeyStore, file: Path) -> None:
    """Raises Rejected where today's key store holds keys that the backup can't: what they seal would be lost.

    Also where this keyring doesn't open it: another may.
    """
    newer = await keys.made_since(container.read_header(file).created_at)
    if newer:
        raise Rejected(
            f"Today's key store holds {newer} keys of people that are newer than the backup: what is sealed under them "
            "would be lost for ever. --force restores it all the same.",
            field="backup",
        )


async def restore_data(source: Source, url: str, lock: int, run_folder: Path) -> None:
    """Put a data backup in the place of the data store."""
    if _sqlite(source.form, url):
        with draft(Path(str(make_url(url).database))) as opened:
            await asyncio.to_thread(_copy, source.file, opened.fd)
            await asyncio.to_thread(_check, opened.path)
            _settle(opened.final)
            opened.replace()
    else:
        with scratch(run_folder) as folder, draft(folder / "data") as opened:
            # A copy of our own: what was checked is what is restored, whoever writes to the file meanwhile.
            await asyncio.to_thread(_copy, source.file, opened.fd)
            await _same(source, opened.path)
            await _pg_restore(opened.path, url, lock)


async def restore_keys(
    source: Source, url: str, lock: int, run_folder: Path, key: bytes, adopt: Adopt, carried: Sequence[Backup]
) -> None:
    """Put a key backup in the place of the key store. `carried`: rows of today's registry, which is older in the copy.

    Raises SealBroken for another key or an altered file; nothing has changed then.
    """
    if _sqlite(None, url):
        with draft(Path(str(make_url(url).database))) as opened:
            header, root = await asyncio.to_thread(_unseal, source.file, key, opened.fd)
            await asyncio.to_thread(_check, opened.path)
            await _adopt(
                f"sqlite+aiosqlite:///{opened.path}", root, adopt, [*carried, _self(source, header, opened.fd)]
            )
            _settle(opened.path)
            _settle(opened.final)
            opened.replace()
    else:
        with scratch(run_folder) as folder, draft(folder / "keys") as opened:
            # Whole before anything runs: that the container wasn't cut is known at its end alone.
            header, root = await asyncio.to_thread(_unseal, source.file, key, opened.fd)
            if form_of(opened.path) is not Form.POSTGRESQL:
                raise Rejected("The backup is of a SQLite store, the key store is PostgreSQL.", field="backup")
            await _pg_restore(opened.path, url, lock)
            # A crash here leaves the store under the root key of before: where the keyring has it still all is well,
            # where it hasn't no key opens. The same restore, with --force, completes it: the registry is that of then.
            await _adopt(url, root, adopt, [*carried, _self(source, header, opened.fd)])


def _sqlite(form: Form | None, url: str) -> bool:
    sqlite = url.startswith("sqlite")
    if form is not None and form is not (Form.SQLITE if sqlite else Form.POSTGRESQL):
        kinds = ("PostgreSQL", "SQLite") if sqlite else ("SQLite", "PostgreSQL")
        raise Rejected(f"The backup is of a {kinds[0]} store, the store is {kinds[1]}.", field="backup")
    return sqlite


def _copy(file: Path, target: int) -> None:
    with file.open("rb") as stream, os.fdopen(target, "wb", closefd=False) as writing:
        while piece := stream.read(2**20):
            writing.write(piece)


async def _same(source: Source, copied: Path) -> None:
    if await asyncio.to_thread(sha256_of, copied) != source.sha256:
        raise Conflict("The backup changed while it was read.")


def _unseal(file: Path, key: bytes, target: int) -> tuple[container.Header, bytes]:
    with os.fdopen(target, "wb", closefd=False) as writing:
        return container.open_to(file, key, writing)


def _self(source: Source, header: container.Header, fd: int) -> Backup:
    """The restored backup's own row, which its copy can't hold."""
    known = source.known
    return Backup(
        id=known.id if known else uuid7(),
        store=Store.KEYS.value,
        path=known.path if known else str(source.file.absolute()),
        sha256=source.sha256,
        size_bytes=source.file.stat().st_size,
        epoch=header.epoch,
        created_at=header.created_at,
        expires_at=header.expires_at,
    )


async def _adopt(url: str, root: bytes, adopt: Adopt, rows: Sequence[Backup]) -> None:
    database = Database(url)
    try:
        await adopt(database, root)
        await registry.record(database, rows)
    finally:
        await database.aclose()


def _check(path: Path) -> None:
    """Raises Rejected for a damaged copy."""
    try:
        connection = sqlite3.connect(path)
        try:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        said = "damaged"
    if said != "ok":
        raise Rejected("The backup is damaged, or of a PostgreSQL store: SQLite finds no whole database in it.")


def _settle(path: Path) -> None:
    """Fold a database's WAL into it and remove it. A WAL left beside a new file would be played into that.

    Raises Conflict where another process has the database open.
    """
    if path.exists() and path.stat().st_size:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
            if mode != "delete":
                raise Conflict(f"{path.name} is open elsewhere.")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Conflict(f"{path.name} is open elsewhere.") from None
        except sqlite3.DatabaseError:
            pass  # damaged: the reason for this restore, and nothing of it is worth keeping
        finally:
            connection.close()
    for end in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


async def _pg_restore(file: Path, url: str, lock: int) -> None:
    database = Database(url)
    try:
        await _alone(database)
        async with database.engine.connect() as opened:
            present = set(await opened.run_sync(lambda connection: inspect(connection).get_table_names()))
        beyond = sorted(present - dumped_tables(file))
        if beyond:
            raise Conflict(
                f"The database holds tables that the backup doesn't know ({', '.join(beyond)}): restore into an empty "
                "database, then run `valueapi migrate`."
            )
        version = await postgres.server_version(database)
    finally:
        await database.aclose()
    command = [
        postgres.program("pg_restore", version),
        "--clean", "--if-exists", "--single-transaction", "--no-owner", "--no-privileges", "--no-password",
        "--dbname", str(make_url(url).database), str(file),
    ]  # fmt: skip
    await postgres.run(command, postgres.connection(make_url(url)), hold=[lock])


async def _alone(database: Database) -> None:
    """Raises Conflict where another machine's service is connected: locks of this home don't reach it."""
    activity = table("pg_stat_activity", column("pid"), column("datname"), column("backend_type"))
    others = select(func.count()).where(
        activity.c.datname == func.current_database(),
        # Without the right to see more of them the type of others' connections is NULL.
        func.coalesce(activity.c.backend_type, "client backend") == "client backend",
        activity.c.pid != func.pg_backend_pid(),
    )
    async with database.engine.connect() as opened:
        for _ in range(_LOOKS):
            count = (await opened.execute(others)).scalar_one()
            if not count:
                return
            # Our own last connections take a moment to end.
            await asyncio.sleep(_LOOK_SECONDS)
        raise Conflict(f"{count} other connections use this database: stop every service that does first.")
