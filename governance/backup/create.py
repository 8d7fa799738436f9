"""Makes one backup: draft, digest, row, name. In this order, so that no file is ever about that nobody knows of.

Data rest sealed or pseudonymous and are copied as they are. The key store travels sealed, with the one key that its copy
lacks, under a fresh key of the backup's own: it can be restored when everything else is lost, the root key file included.
That one key is tried on the copy itself before it is sealed: keys may be destroyed at any moment, and it changes with each.
"""

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from governance import clock
from governance.backup import container, read, registry
from governance.backup.copy import Progress, copy_store
from governance.backup.draft import Draft, draft
from governance.backup.form import sha256_of
from governance.backup.registry import Backup
from governance.backup.scratch import scratch
from governance.datamap import Store
from governance.db import Database
from governance.errors import Conflict, KeyUnavailable
from governance.ids import uuid7
from governance.vault.keys import KeyStore
from governance.vault.keytree import ROOT, KeyNode, opens_root

DAYS = {Store.DATA: 90, Store.KEYS: 30}
"""How long a backup is kept unless said otherwise: an old copy of the keys brings erased people back."""
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted. `epoch` is the store's at this moment."""

    out: Path
    keep: timedelta
    epoch: int
    progress: Progress = lambda written: None


async def create_data(order: Order, data: Database, keys: Database) -> Backup:
    """A backup of the data store, registered in the key store."""
    _free(order.out)
    with draft(order.out) as opened:
        made_at = clock.now()  # before the snapshot: what is destroyed from here on may be in it
        await copy_store(data, opened.path, opened.fd, order.progress)
        backup = await _row(opened, Store.DATA, order, container.Header(made_at, made_at + order.keep, order.epoch))
        await _publish(backup, opened, keys)
    return backup


async def create_keys(order: Order, keys: KeyStore, key_out: Path, run_folder: Path) -> Backup:
    """A sealed backup of the key store; the backup's key goes into `key_out`, 0600.

    Raises Conflict where keys are destroyed again and again while the copy begins.
    """
    _free(order.out)
    _free(key_out)
    with draft(order.out) as sealed, draft(key_out) as key_file:
        made_at = clock.now()
        header = container.Header(made_at, made_at + order.keep, order.epoch)
        key = os.urandom(32)
        await _seal_copy(order, keys, header, key, run_folder, sealed.fd)
        os.write(key_file.fd, container.key_text(key, order.out.name).encode())
        # The key first: a backup without its key would be worthless, a key without its backup is nothing.
        key_file.publish()
        sealed.sync()
        backup = await _row(sealed, Store.KEYS, order, header)
        await _publish(backup, sealed, keys.db)
    return backup


async def _seal_copy(
    order: Order, keys: KeyStore, header: container.Header, key: bytes, run_folder: Path, target: int
) -> None:
    for _ in range(_TRIES):
        with scratch(run_folder) as folder, draft(folder / "keys") as plain:
            root = await keys.export_root()
            await copy_store(keys.db, plain.path, plain.fd, order.progress)
            fitting = await _root_of(plain.path, keys, root, run_folder)
            if fitting is not None:
                await asyncio.to_thread(_seal, header, key, fitting, plain.fd, target)
                return
    raise Conflict("Keys were destroyed each time that the copy began, and it lacks their root: try again later.")


async def _root_of(copy: Path, keys: KeyStore, root: bytes, run_folder: Path) -> bytes | None:
    """The key that opens the copy's own root node; None where a destruction between export and copy has ended it."""
    found = await asyncio.to_thread(_root_row, copy, run_folder)
    if opens_root(found["content"], root):
        return root
    try:
        root = await keys.open_root(found["wrapped"])
    except KeyUnavailable:
        return None
    return root if opens_root(found["content"], root) else None


def _root_row(copy: Path, run_folder: Path) -> dict[str, Any]:
    nodes: Any = KeyNode.__table__
    with read.opened(copy, run_folder) as opened:
        return next(row for _, row in opened.rows({nodes: ("id", "content", "wrapped")}) if row["id"] == ROOT)


def _free(out: Path) -> None:
    if out.exists():
        raise Conflict(f"{out} exists already: a backup overwrites nothing, nor does its key. Name another file.")


def _seal(header: container.Header, key: bytes, root: bytes, source: int, target: int) -> None:
    os.lseek(source, 0, os.SEEK_SET)
    reading: BinaryIO
    with os.fdopen(source, "rb", closefd=False) as reading, os.fdopen(target, "wb", closefd=False) as writing:
        container.seal(header, key, root, reading, writing)


async def _row(opened: Draft, store: Store, order: Order, header: container.Header) -> Backup:
    return Backup(
        id=uuid7(),
        store=store.value,
        path=str(opened.final),
        sha256=await asyncio.to_thread(sha256_of, opened.path),
        size_bytes=os.fstat(opened.fd).st_size,
        epoch=header.epoch,
        created_at=header.created_at,
        expires_at=header.expires_at,
    )


async def _publish(backup: Backup, opened: Draft, keys: Database) -> None:
    await registry.record(keys, [backup])
    # A crash here leaves a row without a file, which `backup list` says; never a file without a row.
    try:
        opened.publish()
    except Conflict:
        await registry.forget(keys, backup.id)
        raise
