"""What whoever opens the stores begins with: finish what a crash cut short, and undo what a restore brought back."""

from uuid import UUID

from governance.db import Database
from governance.vault import rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from governance.vault.purpose import Actor, Bulk, states
from governance.vault.rotation import What


@states(Actor.JOB, bulk=Bulk.ROTATION)
async def reconcile(keys: KeyStore, data: Database) -> list[UUID]:
    """What a mirror knows and the key store doesn't was destroyed after the copy was made that the store comes from: it is
    destroyed again. Ids of the keys that were revived. A few reads where nothing is to do."""
    if await keys.destroyed_list.is_told():
        return []
    await _keep_index(keys, data)
    again = await keys.destroy_again()
    await keys.destroyed_list.tell_all()
    await keys.settle()
    return sorted(again)


async def _keep_index(keys: KeyStore, data: Database) -> None:
    """An index key that has been renewed since still holds the copy's entries: without this nobody would be found."""
    lost = (await keys.destroyed_list.missing()).key_ids
    # Twice where the copy was made in the middle of a renewal: both of its keys may be gone since.
    while lost and lost & {key.id for key in await keys.service_keys(EmailIndex.KEY)}:
        async for _ in rotation.rotate(What.INDEX, keys, data):
            pass
