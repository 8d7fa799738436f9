"""Opens the two stores and the keys, as every command does; the service adds its own on top."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from governance import events, pair
from governance.backup import in_use
from governance.datamap import Store
from governance.db import Database
from governance.errors import ConfigurationError, KeyUnavailable, Rejected
from governance.evidence import folder, pending
from governance.evidence.log import Log
from governance.evidence.note import NoteKey
from governance.vault import event_signature, restored
from governance.vault.channel import open_channel
from governance.vault.keyrings import create_keyring, open_keyring
from governance.vault.keys import KeyStore
from governance.vault.mirrors import DataMirror, LogMirror
from governance.vault.permitted import Permitted
from governance.vault.staff_opening import StaffLog
from policies import retention
from router.gateway.shared import Shared
from router.migrations import version
from router.recipients import outbound_host
from router.settings import Settings


@dataclass(slots=True)
class Stores:
    """Open databases, keys, and the file shared by this machine's processes."""

    settings: Settings
    data: Database
    keys: KeyStore
    permitted: Permitted
    log: Log
    shared: Shared
    in_use: int  # a lock: no restore runs while it is held

    async def aclose(self) -> None:
        self.shared.close()
        try:
            await self.keys.openings.flush(self.data)
            await outbound_host.flush(self.data)
        finally:
            await self._close()

    async def _close(self) -> None:
        await self.data.aclose()
        await self.keys.channel.aclose()
        await self.keys.db.aclose()
        await self.keys.keyring.aclose()
        os.close(self.in_use)


async def migrate(settings: Settings) -> None:
    """Make the folders and a first root key where there is none, and bring both stores to the newest version."""
    from router.migrations import run  # with Alembic, which nobody else needs

    settings.make_folders()
    held = in_use.share(settings.run_folder)
    try:
        await (await create_keyring(settings)).aclose()
        keys, data = Database(settings.key_store()), Database(settings.data_store())
        try:
            for store, database in ((Store.KEYS, keys), (Store.DATA, data)):
                await run.upgrade(database, store)
            await pair.join(data, keys)
        finally:
            await keys.aclose()
            await data.aclose()
    finally:
        os.close(held)


async def open_stores(settings: Settings) -> Stores:
    """Raises ConfigurationError where the home, a migration or the key file is missing, with what to do.

    Raises Conflict while a restore runs.
    """
    if not settings.home.is_dir():
        raise ConfigurationError(
            "There is no state under VALUEAPI_HOME yet: start with `valueapi migrate` or `make run`."
        )
    settings.make_folders()
    held = in_use.share(settings.run_folder)
    try:
        return await _open(settings, held)
    except BaseException:
        os.close(held)
        raise


async def _open(settings: Settings, held: int) -> Stores:
    events.open_sink(settings.log_folder)
    data, keys_db = Database(settings.data_store()), Database(settings.key_store())
    for database, store in ((data, Store.DATA), (keys_db, Store.KEYS)):
        if await version.pending(database, store):
            raise ConfigurationError(f"The {store.value} store is older than this program: run `valueapi migrate`.")
    await pair.check(data, keys_db)
    channel = open_channel(settings.key_store(), settings.run_folder)
    keys = KeyStore(
        keys_db,
        await open_keyring(settings),
        limits=retention.load().limits(),
        channel=channel,
        mirrors=(DataMirror(data), LogMirror(settings.log_folder)),
    )
    await channel.start()
    data.context["keys"] = keys
    permitted = Permitted(data, keys)
    # Before anything changes: each change is committed with its entry.
    pending.attach(data, keys)
    with suppress(KeyUnavailable):  # what needs it says so
        await keys.destroyed_list.begin()
    # Before anything is opened: what a crash left half done is finished, what a restore brought back is undone.
    await restored.reconcile(keys, data)
    await permitted.refresh()
    keys.openings.per_minute = settings.openings_per_minute
    keys.openings.keys_per_minute = settings.keys_per_minute
    StaffLog(keys)
    with suppress(KeyUnavailable):  # a root key that doesn't fit: who opened the stores says so, or asks why
        await event_signature.sign_events(keys, settings.log_folder)
    log = Log(settings.log_folder / folder.NAME, data, keys, settings.log_origin, _known_keys(settings))
    return Stores(settings, data, keys, permitted, log, Shared.open(settings.run_folder / "shared.mm"), held)


def _known_keys(settings: Settings) -> list[NoteKey]:
    try:
        return [NoteKey.parse(text) for text in settings.log_keys]
    except Rejected:
        raise ConfigurationError(
            "Setting VALUEAPI_LOG_KEYS: each is a verifier key, as `audit verify` shows it."
        ) from None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Stores]:
    """The stores for the time of a command."""
    stores = await open_stores(settings)
    try:
        yield stores
    finally:
        await stores.aclose()
