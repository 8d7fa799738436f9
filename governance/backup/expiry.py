"""The end of backups: an expired one is told in words, and deleted where it still lies as it was written."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from governance import clock
from governance.backup import registry
from governance.backup.form import sha256_of
from governance.backup.registry import Backup
from governance.db import Database
from governance.durable import sync_folder


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
    """What became of one expired backup."""

    backup: Backup
    removed: bool
    why: str


async def prune(db: Database) -> list[Pruned]:
    """Delete expired backups and their key files; what isn't the file that was written stays, and is said."""
    found = []
    for backup in await registry.rows(db):
        if backup.removed_at is None and backup.expires_at <= clock.now():
            kept = await asyncio.to_thread(_delete, Path(backup.path), backup.sha256)
            if kept is None:
                # A crash here leaves a row without its file; it is told as one that was moved.
                await registry.mark_removed(db, backup.id)
            found.append(Pruned(backup, kept is None, kept or "deleted"))
    return found


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
