"""`valueapi backup`: copies of the two stores, each apart, with an end."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich import progress
from sqlalchemy.exc import SQLAlchemyError

from governance import clock
from governance.backup import container, create, expiry, in_use, registry, restore
from governance.backup.copy import Progress
from governance.backup.registry import Backup
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import ConfigurationError, Conflict, Rejected, VaultError
from governance.evidence import pending
from governance.evidence.entry import EntryType
from governance.period import Period
from governance.vault.keyring import Keyring
from governance.vault.keyrings import open_keyring
from governance.vault.keys import KeyStore
from governance.vault.keytree import ROOT
from router.app.stores import opened
from router.cli.output import Json, err, fail, out, print_json, table, verb
from router.settings import Settings

app = typer.Typer(help="Backups of the two stores: registered, with an end.", no_args_is_help=True)
StoreOption = Annotated[Store, typer.Option("--store", help="Which of the two stores.")]


def _keep(store: Store, text: str | None) -> timedelta:
    if text is None:
        return timedelta(days=create.DAYS[store])
    try:
        period = Period.parse(text)
    except ValueError:
        raise Rejected("--expires takes an ISO 8601 duration, such as P90D or P3M.", field="expires") from None
    now = clock.now()
    return period.after(now) - now


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fail(f"A file can't be read or written: {error.strerror}.")


@contextmanager
def _shown() -> Iterator[Progress]:
    """Bytes written so far, for people alone."""
    with progress.Progress(
        "copying", progress.DownloadColumn(), progress.TimeElapsedColumn(), console=err, transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda written: bar.update(task, completed=written)


def _row(backup: Backup) -> dict[str, object]:
    return {
        "id": str(backup.id),
        "store": backup.store,
        "path": backup.path,
        "size_bytes": backup.size_bytes,
        "sha256": backup.sha256,
        "epoch": backup.epoch,
        "created": backup.created_at.isoformat(timespec="seconds"),
        "expires": backup.expires_at.isoformat(timespec="seconds"),
        "state": expiry.state(backup),
    }


def _print(rows: list[dict[str, object]], as_json: bool) -> None:
    # A terminal's line has no room for all of it; scripts get it.
    shown = ("store", "path", "size_bytes", "created", "state", "id")
    table(rows if as_json else [{name: row[name] for name in shown} for row in rows], as_json)


@app.command("create")
@verb()
def create_(
    store: StoreOption,
    file: Annotated[Path, typer.Option("--out", help="The file to write; it must not exist.")],
    expires: Annotated[str | None, typer.Option(help="Kept for: P90D (default: data 90 days, keys 30).")] = None,
    key_out: Annotated[Path | None, typer.Option(help="Keys: where the backup's key goes; default FILE.key.")] = None,
    as_json: Json = False,
) -> None:
    """Copy a store while the service runs; a key backup is sealed under a key of its own."""
    if key_out is not None and store is Store.DATA:
        raise Rejected(
            "--key-out is for key backups: a data backup holds sealed values and has no key.", field="key_out"
        )
    keep = _keep(store, expires)
    key_file = key_out or expiry.key_file_of(file)

    async def make() -> Backup:
        async with opened(Settings.load()) as stores:
            with _shown() as told:
                order = create.Order(file, keep, await stores.keys.destroyed_list.epoch(), told)
                if store is Store.DATA:
                    return await create.create_data(order, stores.data, stores.keys.db)
                return await create.create_keys(order, stores.keys, key_file, stores.settings.run_folder)

    with _disk():
        made = asyncio.run(make())
    row = _row(made) | ({"key_file": str(key_file.absolute())} if store is Store.KEYS else {})
    if as_json:
        print_json(row)
        return
    _print([row], False)
    if store is Store.KEYS:
        out.print(
            f"Its key is in {key_file}. Keep it apart from the backup: who has both has every key, who has lost it has "
            "no backup.",
            markup=False,
            soft_wrap=True,
        )


@app.command("list")
@verb()
def list_(as_json: Json = False) -> None:
    """Every backup, where it was written, and until when it may be kept."""

    async def read() -> list[Backup]:
        async with opened(Settings.load()) as stores:
            return await registry.rows(stores.keys.db)

    _print([_row(backup) for backup in asyncio.run(read())], as_json)


@app.command("prune")
@verb()
def prune(
    backup_ids: Annotated[
        list[UUID] | None, typer.Argument(help="Ids of backups to delete now, before their end; default: the expired.")
    ] = None,
    gone: Annotated[
        bool,
        typer.Option("--gone", help="With ids: a backup that isn't where it was written no longer exists anywhere."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Believe the clock, though it is far from the service's last round.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete expired backups, and their keys, that still lie where they were written."""
    if gone and not backup_ids:
        raise Rejected("--gone needs the ids of the backups that no longer exist.", field="gone")

    async def end() -> list[expiry.Pruned]:
        async with opened(Settings.load()) as stores:
            if backup_ids:
                return await expiry.remove(stores.keys.db, backup_ids, gone=gone)
            return await expiry.prune(stores.keys.db, force=force)

    with _disk():
        found = asyncio.run(end())
    table([{"store": one.backup.store, "path": one.backup.path, "removed": one.removed, "what": one.why} for one in found],
          as_json)  # fmt: skip
    if backup_ids and not all(one.removed for one in found):
        fail("Not all of them: delete a backup that was moved where it is kept, then say --gone.")


@app.command("restore")
@verb()
def restore_(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    store: StoreOption,
    key: Annotated[Path | None, typer.Option(help="Keys: the backup's key file; default FILE.key.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Restore what is unknown, expired or older than today's keys.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of a store, wholly or not at all; the service must be stopped."""
    settings = Settings.load()
    if not settings.home.is_dir():
        raise ConfigurationError("There is no state under VALUEAPI_HOME yet: run `valueapi migrate` first.")
    with _disk():
        lock = in_use.alone(settings.run_folder)
        try:
            source = asyncio.run(_restore(settings, file, store, key or expiry.key_file_of(file), lock, force=force))
        finally:
            os.close(lock)
    waits = asyncio.run(_reconcile(settings, store, source.sha256))
    if as_json:
        row = {"store": store.value, "path": str(file.absolute()), "sha256": source.sha256, "known": bool(source.known)}
        print_json(row | {"reconciled": waits is None, "waits_for": waits})
    else:
        undone = "What was destroyed since it was made is destroyed again." if waits is None else waits
        out.print(f"The {store.value} store is the backup's now. {undone}", markup=False, soft_wrap=True)


async def _reconcile(settings: Settings, store: Store, sha256: str) -> str | None:
    """Opening the stores undoes what the restore brought back; why that can't be yet, where it can't."""
    try:
        async with opened(settings) as stores:
            # In the other store: who deletes entries of this one can't say there that a restore has lost them.
            database = stores.keys.db if store is Store.DATA else stores.data
            async with database.transaction(DataUse.SECURITY) as session:
                detail = {"store": store, "backup": sha256}
                await pending.record(session, EntryType.STORE_RESTORED, detail=detail)
            try:
                await stores.log.advance()  # before the other store is restored as well
            except (Conflict, Rejected) as error:
                return f"What was destroyed since is destroyed again; the transparency log waits. {error}"
            return None
    except (ConfigurationError, VaultError) as error:
        # Nothing opens the stores until it is mended, and whoever opens them then begins with it.
        return f"What was destroyed since isn't destroyed again yet. {error}"


async def _restore(
    settings: Settings, file: Path, store: Store, key: Path, lock: int, *, force: bool
) -> restore.Source:
    rows = await _registered(settings)
    source = restore.choose(file, store, rows, force=force)
    if store is Store.DATA:
        await restore.restore_data(source, settings.data_store(), lock, settings.run_folder)
        return source

    async def adopt(database: Database, root: bytes) -> None:
        from router.migrations import run  # with Alembic, which nobody else needs

        await run.upgrade(database, Store.KEYS)
        await KeyStore(database, keyring).adopt_root(root)

    secret = container.read_key(key)
    keyring = await open_keyring(settings)
    try:
        if rows and not force:
            await _check_loss(settings, keyring, file)
        # A keyring that can't wrap now would leave a PostgreSQL store under the root key of then.
        await keyring.wrap(os.urandom(32), ROOT)
        await restore.restore_keys(source, settings.key_store(), lock, settings.run_folder, secret, adopt, rows)
    finally:
        await keyring.aclose()
    return source


async def _check_loss(settings: Settings, keyring: Keyring, file: Path) -> None:
    database = Database(settings.key_store())
    try:
        await restore.check_loss(KeyStore(database, keyring), file)
    finally:
        await database.aclose()


async def _registered(settings: Settings) -> list[Backup]:
    """What today's registry knows; nothing where the key store is lost, empty or damaged."""
    url = settings.key_store()
    if url.startswith("sqlite") and not Path(url.split(":///", 1)[1]).is_file():  # noqa: ASYNC240
        return []
    database = Database(url)
    try:
        return await registry.rows(database)
    except (SQLAlchemyError, OSError):
        return []
    finally:
        await database.aclose()
