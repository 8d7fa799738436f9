"""Until when a destroyed key is still within somebody's reach: the keyring's limit, key backups, the blind index.

What a receipt of an erasure says, and what `valueapi keys destroyed` shows. GDPR Art. 5(2), Art. 17.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from governance.backup.registry import Backup
from governance.datamap import DataUse, Store
from governance.period import Period
from governance.vault.blind_index import EmailIndex
from governance.vault.destruction import Destroyed
from governance.vault.keys import KeyStore
from governance.vault.stored_key import Kind


@dataclass(frozen=True, slots=True)
class Receipt:
    """One destroyed key.

    `destroyed`: when, and from when the keyring makes it real. `backup_until`: the end of the last key backup that holds
    it, None where none does. `confirmable_until`: until when an old copy of the key store could still confirm an address
    that somebody guesses, None where the index key of then is gone.
    """

    destroyed: Destroyed
    backup_until: datetime | None
    confirmable_until: datetime | None


async def receipts(keys: KeyStore, key_ids: Iterable[UUID], index_renewal: Period) -> list[Receipt]:
    """Of those of the keys that were destroyed."""
    destroyed = await keys.destroyed(key_ids)
    index_made_at = await keys.service_key_made_at(EmailIndex.KEY)
    found = []
    for each in destroyed:
        until = None
        # Of others than subjects there is no entry.
        if each.kind == Kind.SUBJECT and index_made_at is not None and index_made_at <= each.destroyed_at:
            until = index_renewal.after(index_made_at)
        found.append(Receipt(each, await _last_backup(keys, each.destroyed_at), until))
    return found


async def _last_backup(keys: KeyStore, destroyed_at: datetime) -> datetime | None:
    """A backup that has expired and wasn't pruned may still lie somewhere: its end is told, though it is over."""
    holding = (Backup.store == Store.KEYS.value, Backup.removed_at.is_(None), Backup.created_at <= destroyed_at)
    async with keys.db.session(DataUse.SECURITY) as session:
        return await session.scalar(select(func.max(Backup.expires_at)).where(*holding))
