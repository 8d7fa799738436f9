"""The end of backups: told in words, and made where a file still lies as it was written, sooner where somebody says so."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from governance import clock
from governance.backup import registry
from governance.backup.form import sha256_of
from governance.backup.registry import Backup
from governance.db import Database
from governance.durable import sync_folder
from governance.errors import Rejected
from governance.vault import clock_watch


def key_file_of(backup: Path) -> Path:
    """Where a backup's key goes unless another place is named."""
    return backup.with_name(backup.name + ".key")


def state(backup: Backup) -> str:
    """In words."""
    if backup.removed_at is not None:
        return f"removed on {backup.removed_at.date()}"
    place = "" if Path(backup.path).is_file() else "; not where it was written"
    if backup.expires_at <= clock.now():
        return f"expired on {backup.expires_at.date()}: {'delete it where it is kept' if place else 'prune it'}{place}"
    return f"kept until {backup.expires_at.date()}{place}"


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of one backup."""

    backup: Backup
    removed: bool
    why: str


async def prune(db: Database, *, force: bool = False) -> list[Pruned]:
    """Delete expired backups and their key files; what isn't the file that was written stays, and is said.

    Raises Conflict where something has expired by a clock that may have jumped, unless `force`.
    """
    over = [each for each in await registry.rows(db) if each.removed_at is None and each.expires_at <= clock.now()]
    if over and not force:
        await clock_watch.check(db)
    return [await _end(db, backup, gone=False) for backup in over]


async def remove(db: Database, ids: Sequence[UUID], *, gone: bool = False) -> list[Pruned]:
    """The same for these, before their end. `gone`: what can't be deleted here no longer exists, the operator says.

    Raises Rejected for an id that no backup has; nothing is deleted then.
    """
    known = {backup.id: backup for backup in await registry.rows(db)}
    for backup_id in ids:
        if backup_id not in known:
            raise Rejected(f"There is no backup {backup_id}: see `valueapi backup list`.", field="backup_ids")
    return [await _end(db, known[backup_id], gone=gone) for backup_id in dict.fromkeys(ids)]


async def _end(db: Database, backup: Backup, *, gone: bool) -> Pruned:
    if backup.removed_at is not None:
        return Pruned(backup, True, state(backup))
    kept = await asyncio.to_thread(_delete, Path(backup.path), backup.sha256)
    if kept is not None and not gone:
        return Pruned(backup, False, kept)
    # A crash here leaves a row without its file; it is told as one that was moved.
    await registry.mark_removed(db, backup.id)
    return Pruned(backup, True, "deleted" if kept is None else "gone, as you say")


def _delete(path: Path, sha256: str) -> str | None:
    """Why it was left alone, if it was."""
    if not path.is_file():
        return "not where it was written: delete it where it is kept"
    if sha256_of(path) != sha256:
        return "another file lies there now: it was left alone"
    key_file_of(path).unlink(missing_ok=True)  # first: what a crash here leaves can't be opened
    path.unlink()
    sync_folder(path.parent)
    return None
