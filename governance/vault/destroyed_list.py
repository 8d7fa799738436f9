"""The key store's own list of what was destroyed, and what its mirrors know beyond it.

Applied as sets of ids: numbers are given twice once a restored store destroys something of its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from governance import events
from governance.datamap import DataUse
from governance.db import Database
from governance.vault.destruction import NOTHING, DestroyedKey, Destructions, KeysEpoch, Tombstone
from governance.vault.envelope import Key
from governance.vault.mirrors import Mirror


class DestroyedList:
    """Of one key store."""

    KEY = "destroyed-list"
    """The service key that the mirrors' entries are under."""

    def __init__(self, db: Database, mirrors: Sequence[Mirror], key: Callable[[str], Awaitable[Key]]) -> None:
        self._db = db
        self._key = key
        self.mirrors = tuple(mirrors)

    async def begin(self) -> None:
        """Make the key that entries are under: it must be there before a backup is made, to know them after a restore."""
        await self._secret()

    async def epoch(self) -> int:
        """How many times keys were destroyed here."""
        row = await self._row()
        return row.epoch if row is not None else 0

    async def next_epoch(self, session: AsyncSession) -> int:
        """A new epoch, within a transaction that destroys."""
        row = await session.get(KeysEpoch, 1)
        if row is None:
            row = KeysEpoch(id=1, epoch=0, told=0)
            session.add(row)
        row.epoch += 1
        row.state = uuid4()
        return row.epoch

    async def is_told(self) -> bool:
        """Whether every mirror was last told this store's own state; a few reads."""
        row = await self._row()
        if row is not None and row.told < row.epoch:
            return False
        state = row.state if row is not None else None
        return all([await mirror.state() == state for mirror in self.mirrors])

    async def tell(self) -> None:
        """Tell the mirrors what was destroyed since they were last told.

        A mirror that knows another history keeps its state: what this store lacks of it must still be found.
        """
        row = await self._row()
        if row is None or row.told == row.epoch:
            return
        new = await self._since(row.told)
        for mirror in self.mirrors:
            ours = await mirror.state() in (row.told_state, row.state)
            await mirror.record(new, row.state if ours else None, await self._secret())
        await self._told(row)

    async def show_erased(self, mirror: Mirror) -> frozenset[UUID]:
        """Tell one mirror, ahead of all, who was erased since they were last told; whom."""
        row = await self._row()
        gone = (await self._since(row.told)).subject_ids if row is not None and row.told < row.epoch else frozenset()
        if gone:
            # Without the state: whether it knows all is for whoever tells every mirror.
            await mirror.record(Destructions(frozenset(), gone), None, await self._secret())
        return gone

    async def tell_all(self) -> None:
        """Tell each mirror all that it doesn't know, after this store has learned what they know."""
        known = [(await mirror.known(await self._secret()))[0] for mirror in self.mirrors]
        row = await self._row()
        if row is None:
            return
        own = await self._since(0)
        for mirror, each in zip(self.mirrors, known, strict=True):
            await mirror.record(own - each, row.state, await self._secret())
        await self._told(row)

    async def missing(self) -> Destructions:
        """What the mirrors know and this store doesn't: it was restored from before."""
        known = NOTHING
        for mirror in self.mirrors:
            found, foreign = await mirror.known(await self._secret())
            known |= found
            if foreign:
                # Of another key store, or of whoever could write there: they destroy nothing.
                await events.emit_async("vault:mirror:foreign", {"mirror": type(mirror).__name__, "entries": foreign})
        # Own last: what another process destroys meanwhile is here before it is in a mirror.
        return known - await self._since(0)

    async def _secret(self) -> bytes:
        return (await self._key(self.KEY)).secret

    async def _row(self) -> KeysEpoch | None:
        async with self._db.session(DataUse.SECURITY) as session:
            return await session.get(KeysEpoch, 1)

    async def _since(self, epoch: int) -> Destructions:
        keys = select(DestroyedKey.id).where(DestroyedKey.epoch > epoch)
        stones = select(Tombstone.subject_id).where(Tombstone.epoch > epoch)
        async with self._db.session(DataUse.SECURITY) as session:
            return Destructions(frozenset(await session.scalars(keys)), frozenset(await session.scalars(stones)))

    async def _told(self, row: KeysEpoch) -> None:
        # The row was read before the ids: what came after it is told by whoever did it.
        news = update(KeysEpoch).where(KeysEpoch.told < row.epoch).values(told=row.epoch, told_state=row.state)
        async with self._db.transaction(DataUse.SECURITY) as session:
            await session.execute(news)
