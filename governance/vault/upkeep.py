"""What the vault does by itself while the service runs: ends what is over, and renews the blind index when it is due."""

import asyncio

from governance import clock, events
from governance.db import Database
from governance.period import Period
from governance.vault import rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from governance.vault.rotation import What

EVERY_S = 60.0


async def run(keys: KeyStore, data: Database, index_renewal: Period) -> None:
    """Forever, a round a minute; every process may run it, since each step changes nothing where there is nothing to do."""
    while True:
        try:
            await once(keys, data, index_renewal)
        except Exception as error:
            # The next round tries again; the text could hold what was being worked on.
            await events.emit_async("vault:upkeep:failed", {"type": type(error).__name__})
        await asyncio.sleep(EVERY_S)


async def once(keys: KeyStore, data: Database, index_renewal: Period) -> None:
    """One round."""
    await keys.openings.flush(data)
    await keys.close_roots()
    await rotation.retire(keys, data)
    await keys.roll_root_if_due()
    made_at = await keys.service_key_made_at(EmailIndex.KEY)
    cut_short = await rotation.last(What.INDEX, keys)
    unfinished = cut_short is not None and cut_short.finished_at is None
    if unfinished or (made_at is not None and index_renewal.after(made_at) <= clock.now()):
        async for _ in rotation.rotate(What.INDEX, keys, data):
            pass
    # Last: a key service out of reach keeps nothing else from being done.
    await keys.root_ends.recheck()
