"""What the vault does by itself while the service runs: ends what is over, and renews the blind index when it is due."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from governance import clock, events
from governance.db import Database
from governance.period import Period
from governance.vault import restored, rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.clock_watch import ClockWatch
from governance.vault.keys import KeyStore
from governance.vault.rotation import What

EVERY_S = 60.0
OldestBackup = Callable[[], Awaitable[datetime | None]]
"""When the oldest data backup that may still be restored was made."""


class Upkeep:
    """Every process may run it: each step changes nothing where there is nothing to do."""

    def __init__(self, keys: KeyStore, data: Database, *, index_renewal: Period, oldest_backup: OldestBackup) -> None:
        self._keys = keys
        self._data = data
        self._index_renewal = index_renewal
        self._oldest_backup = oldest_backup
        self._clock = ClockWatch(keys.db)
        self._shortened = False

    async def run(self) -> None:
        """Forever, a round a minute."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY_S)

    async def once(self) -> list[str]:
        """One round; names of the steps that failed. None keeps another from being done, and the next round tries again."""
        failed = []
        for step in (
            self._flush,
            self._reconcile,
            self._close_roots,
            self._expire,
            self._retire,
            self._roll,
            self._renew,
            self._recheck_roots,
        ):
            try:
                await step()
            except Exception as error:
                # Its text could hold what was being worked on.
                name = step.__name__.strip("_")
                failed.append(name)
                await events.emit_async("vault:upkeep:failed", {"step": name, "type": type(error).__name__})
        return failed

    async def _flush(self) -> None:
        await self._keys.openings.flush(self._data)

    async def _reconcile(self) -> None:
        await restored.reconcile(self._keys, self._data)

    async def _close_roots(self) -> None:
        await self._keys.close_roots()

    async def _expire(self) -> None:
        if not self._shortened:
            await self._keys.shorten_periods()
            self._shortened = True
        if await self._clock.is_trusted():
            await self._keys.expire()

    async def _retire(self) -> None:
        if await self._clock.is_trusted():
            await rotation.retire(self._keys, self._data, await self._oldest_backup())

    async def _roll(self) -> None:
        await self._keys.roll_root_if_due()

    async def _renew(self) -> None:
        made_at = await self._keys.service_key_made_at(EmailIndex.KEY)
        cut_short = await rotation.last(What.INDEX, self._keys)
        unfinished = cut_short is not None and cut_short.finished_at is None
        if unfinished or (made_at is not None and self._index_renewal.after(made_at) <= clock.now()):
            async for _ in rotation.rotate(What.INDEX, self._keys, self._data):
                pass

    async def _recheck_roots(self) -> None:
        await self._keys.root_ends.recheck()
