"""The sequencer: gives pending entries of both stores their positions, each exactly once, and publishes a checkpoint.

One round, read from top to bottom: stage, apply, publish, mark. The staged batch is the commit point; whatever a SIGKILL
cuts short is finished by the next round through the same code, and every step may be repeated with the same outcome.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from governance import events
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import ConfigurationError, Conflict
from governance.evidence import merkle, note, pending
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.entry import EntryType, commitment
from governance.evidence.fields import RANGES_MAX
from governance.evidence.folder import LogFolder, Staged
from governance.evidence.note import NoteKey
from governance.evidence.positions import ranges
from governance.vault.keys import KeyStore

KEY = "transparency-log"
"""The service key that checkpoints are signed with (Ed25519)."""
BATCH_MAX = 256
EVERY_S = 2.0
_PAUSE_S = 60.0  # after a round that failed


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did: entries that got a position, and the log's size."""

    appended: int
    size: int


class Log:
    """The log of two stores and one folder. `origin`: what checkpoints name, fixed when the log begins."""

    def __init__(self, folder: Path, data: Database, keys: KeyStore, origin: str | None = None) -> None:
        self.folder = LogFolder(folder)
        self.stores = {Store.DATA: data, Store.KEYS: keys.db}
        self.keys = keys
        self.origin = origin

    def check_origin(self) -> None:
        """Raises ConfigurationError where the setting names another origin than the log was begun with."""
        begun = self.folder.origin
        if self.origin is not None and begun is not None and self.origin != begun:
            raise ConfigurationError(
                f"VALUEAPI_LOG_ORIGIN differs from {begun!r}, which the transparency log was begun with: an origin is for ever."
            )
        if self.origin is not None and not note.is_name(self.origin):
            raise ConfigurationError("VALUEAPI_LOG_ORIGIN is an address without scheme, blanks or plus signs.")

    async def run(self) -> None:
        """Rounds for ever. Any number of processes may: one works, the others find the lock taken."""
        told = ""
        while True:
            try:
                await self.advance()
                told = ""
            except Exception as error:
                # Its text could hold what was being worked on. The next round tries again; the same is said once.
                if (name := type(error).__name__) != told:
                    await events.emit_async("evidence:log:stopped", {"type": name})
                told = name
                await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(EVERY_S)

    async def advance(self) -> Round | None:
        """Take in all that is pending; None where another process is at it.

        Raises Conflict where the folder isn't this log's, was put back from an older copy, or was changed: nothing is
        signed then.
        """
        with self.folder.alone() as ours:
            if not ours:
                return None
            await self._begin()
            appended = 0
            while True:
                batch = self.folder.staged()
                if batch is None:
                    await self._after_restore()
                    batch = await self._stage()
                if batch is None:
                    return Round(appended, self.size())
                await self._finish(batch)
                appended += len(batch.rows)

    # Which log this is

    async def _begin(self) -> None:
        """The folder first, then the stores: a crash between leaves a folder that the stores take over."""
        known = {store: await self._log_id(store) for store in self.stores}
        ids = {each for each in known.values() if each is not None}
        here = self.folder.log_id
        if here is None and not ids:
            here = uuid4()
            self.check_origin()
            self.folder.begin(here, self.origin or f"valueapi.invalid/{here}")
        if here is None or ids - {here}:
            raise Conflict(
                "The transparency log of these stores isn't in this folder: it is on another machine, or was lost "
                "(`valueapi audit rebuild`)."
            )
        for store, log_id in known.items():
            if log_id is None:
                row = pending.STATES[store](id=1, log_id=here, size=0)
                if store is Store.DATA:
                    row.events_first, row.events_bytes = "", 0
                async with self.stores[store].transaction(DataUse.SECURITY) as session:
                    session.add(row)

    async def _log_id(self, store: Store) -> UUID | None:
        async with self.stores[store].session(DataUse.SECURITY) as session:
            return await session.scalar(select(pending.STATES[store].log_id))

    def size(self) -> int:
        """How many entries the newest checkpoint in the folder is of."""
        latest = self.folder.latest()
        return latest[0].size if latest is not None else 0

    # Stage

    async def _stage(self) -> Staged | None:
        waiting = [(entry_id, store, leaf) for store in self.stores for entry_id, leaf in await self._waiting(store)]
        if not waiting:
            return None
        rows = tuple((store, entry_id, leaf) for entry_id, store, leaf in sorted(waiting)[:BATCH_MAX])
        batch = Staged(self.size(), rows)
        # A crash before this: the entries are pending still. After it: they have these positions, and no others.
        await asyncio.to_thread(self.folder.stage, batch)
        return batch

    async def _waiting(self, store: Store, limit: int = BATCH_MAX) -> list[tuple[UUID, bytes]]:
        table = pending.ROWS[store]
        query = (
            select(table.id, table.salt, table.entry).where(table.position.is_(None)).order_by(table.id).limit(limit)
        )
        async with self.stores[store].session(DataUse.SECURITY) as session:
            return [(row.id, commitment(row.salt, row.entry)) for row in await session.execute(query)]

    # Apply, publish, mark

    async def _finish(self, batch: Staged) -> None:
        key = Ed25519PrivateKey.from_private_bytes((await self.keys.service_key(KEY)).secret)
        await asyncio.to_thread(self.publish, batch, key)
        for store in self.stores:
            # A crash between the two: the batch is still staged, and what is marked already is marked again.
            await self._mark(store, batch)
        await asyncio.to_thread(self.folder.unstage)
        await asyncio.to_thread(self.folder.tiles.prune, batch.first, batch.first + len(batch.rows))

    def publish(self, batch: Staged, key: Ed25519PrivateKey) -> None:
        """Tiles and checkpoint of a batch; may be repeated. The folder's lock is held. Raises Conflict as `advance` does."""
        origin, latest = self.folder.origin, self.folder.latest()
        old = latest[0] if latest is not None else Checkpoint(origin or "", 0, merkle.EMPTY_ROOT)
        end = batch.first + len(batch.rows)
        if old.size == end:
            return  # published already
        if old.size != batch.first or self.folder.tiles.root(old.size) != old.root:
            raise Conflict("The tiles don't fit the newest checkpoint: somebody changed the log's folder.")
        self.folder.tiles.extend(batch.first, [leaf for _, _, leaf in batch.rows])
        # A crash here leaves tiles that no checkpoint names; they are written again with the same content.
        new = Checkpoint(old.origin, end, self.folder.tiles.root(end))  # of what rests on the disk
        proof = merkle.consistency(old.size, end, self.folder.tiles.subtree(end))
        if not merkle.extends(old.size, end, old.root, new.root, proof):
            raise Conflict("The log as it rests doesn't extend its newest checkpoint: nothing is signed.")
        self.folder.add_key(NoteKey(old.origin, key.public_key().public_bytes_raw()))
        self.folder.publish(new.signed(key))

    async def _mark(self, store: Store, batch: Staged) -> None:
        table, state = pending.ROWS[store], pending.STATES[store]
        async with self.stores[store].transaction(DataUse.SECURITY) as session:
            for position, (whose, entry_id, _) in enumerate(batch.rows, batch.first):
                if whose is store:
                    free = (table.id == entry_id, table.position.is_(None))
                    await session.execute(update(table).where(*free).values(position=position))
            # A store that was restored meanwhile doesn't know the log's size of before: that is found out later.
            current = (state.id == 1, state.size == batch.first)
            await session.execute(update(state).where(*current).values(size=batch.first + len(batch.rows)))

    # After a restore

    async def _after_restore(self) -> None:
        """A store that last heard of a smaller log came back from an older copy: say so, and what of it was lost.

        Raises Conflict where a store has heard of a larger log than there is: the folder is what is old.
        """
        size = self.size()
        known = {store: await self._known(store) for store in self.stores}
        if max(known.values()) > size:
            raise Conflict(
                f"The transparency log ends at {size}, the stores know {max(known.values())} entries of it: its folder was "
                "put back from an older copy. Put back the newest one, or `valueapi audit rebuild`; nothing is signed until then."
            )
        old = [store for store, heard in known.items() if heard < size]
        if not old:
            return
        leaves = dict(await asyncio.to_thread(self._leaves, min(known.values()), size))
        for store in old:
            await self._place(store, {leaf: position for position, leaf in leaves.items()})
        for store in old:
            lost = sorted(leaves.keys() - await self._placed(known[store]))
            await self._say(store, known[store], size, [each for each in lost if each >= known[store]])

    async def _known(self, store: Store) -> int:
        async with self.stores[store].session(DataUse.SECURITY) as session:
            return await session.scalar(select(pending.STATES[store].size)) or 0

    def _leaves(self, start: int, size: int) -> list[tuple[int, bytes]]:
        return list(self.folder.tiles.between(start, size, size))

    async def _place(self, store: Store, positions: dict[bytes, int]) -> None:
        """Entries that the copy has as pending, and that got their position after it was made."""
        table = pending.ROWS[store]
        async with self.stores[store].session(DataUse.SECURITY) as session:
            waiting = select(table.id, table.salt, table.entry).where(table.position.is_(None))
            found = [(row.id, positions.get(commitment(row.salt, row.entry))) for row in await session.execute(waiting)]
        async with self.stores[store].transaction(DataUse.SECURITY) as session:
            for entry_id, position in found:
                if position is not None:
                    await session.execute(update(table).where(table.id == entry_id).values(position=position))

    async def _placed(self, start: int) -> set[int]:
        """Positions from `start` on whose entries are in one of the stores."""
        found: set[int] = set()
        for store, database in self.stores.items():
            position = pending.ROWS[store].position
            async with database.session(DataUse.SECURITY) as session:
                found.update(await session.scalars(select(position).where(position >= start)))
        return found

    async def _say(self, store: Store, known: int, size: int, lost: Sequence[int]) -> None:
        """In one transaction of that store, so that it is said once."""
        state = pending.STATES[store]
        parts = list(ranges(lost))
        async with self.stores[store].transaction(DataUse.SECURITY) as session:
            for at in range(0, max(len(parts), 1), RANGES_MAX):
                detail = {"store": store, "known": known, "found": size, "lost": parts[at : at + RANGES_MAX]}
                await pending.record(session, EntryType.LOG_RESTORED, detail=detail)
            await session.execute(update(state).where(state.id == 1).values(size=size))
        await events.emit_async(
            "evidence:log:restored", {"store": store.value, "known": known, "found": size, "lost": len(lost)}
        )
