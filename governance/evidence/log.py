"""The sequencer: gives pending entries of both stores their positions, each exactly once, and publishes a checkpoint.

One round, read from top to bottom: stage, apply, publish, mark. The staged batch is the commit point; whatever a SIGKILL
cuts short is finished by the next round through the same code, and every step may be repeated with the same outcome.

The folder is believed as far as our own signatures go: each store remembers the newest checkpoint that it has heard of, and
whoever can write to a folder, or to the data store, can't sign one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from governance import events
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import ConfigurationError, Conflict, Rejected
from governance.evidence import checkpoint, merkle, note, pending
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
    """The log of two stores and one folder. `origin`: what checkpoints name, fixed when the log begins; `known`: verifier keys
    of before, where the key store that had them was lost."""

    def __init__(
        self, folder: Path, data: Database, keys: KeyStore, origin: str | None = None, known: Sequence[NoteKey] = ()
    ) -> None:
        self.folder = LogFolder(folder)
        self.stores = {Store.DATA: data, Store.KEYS: keys.db}
        self.keys = keys
        self.origin = origin
        self._known = known
        self._forged: set[UUID] = set()  # told already

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

        Raises Conflict where the folder isn't this log's, was put back from an older copy, or was changed, or where a store
        remembers another history: nothing is signed then.
        """
        with self.folder.alone() as ours:
            if not ours:
                return None
            await self._begin()
            await self.trust()
            heard = await self._heard()
            appended = 0
            while True:
                batch = self.folder.staged(await self.mac_key())
                if batch is None:
                    await self._after_restore(heard)
                    batch = await self._stage()
                if batch is None:
                    return Round(appended, self.size())
                await self._finish(batch)
                appended += len(batch.rows)
                heard = await self._heard()

    # Which log this is

    async def _begin(self) -> None:
        """The folder first, then the stores: a crash between leaves a folder that the stores take over."""
        known = {store: await self._state(store, pending.STATES[store].log_id) for store in self.stores}
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
                row = pending.STATES[store](id=1, log_id=here, checkpoint="")
                async with self.stores[store].transaction(DataUse.SECURITY) as session:
                    session.add(row)

    async def trust(self) -> None:
        """From now on the folder's checkpoints count where our own key signed them, whatever keys the folder lists."""
        if (origin := self.folder.origin) is not None:
            self.folder.trusted = await self.trusted(origin)

    async def trusted(self, origin: str) -> list[NoteKey]:
        """The verifier key of what the key store signs with, and those that the settings name."""
        return [NoteKey(origin, (await self.signing_key()).public_key().public_bytes_raw()), *self._known]

    async def mac_key(self) -> bytes:
        """What checkpoints are signed with, and staged batches authenticated."""
        return (await self.keys.service_key(KEY)).secret

    async def signing_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(await self.mac_key())

    def size(self) -> int:
        """How many entries the newest checkpoint in the folder is of. Raises Conflict where nobody trusted signed it."""
        return self._newest().size

    def _newest(self) -> Checkpoint:
        try:
            latest = self.folder.latest()
        except Rejected:
            raise Conflict(
                "The newest checkpoint in the transparency log's folder isn't signed with the key that the key store has: "
                "the folder was changed, or the key store is another (VALUEAPI_LOG_KEYS)."
            ) from None
        return latest[0] if latest is not None else Checkpoint(self.folder.origin or "", 0, merkle.EMPTY_ROOT)

    # What the stores remember

    async def remembered(self) -> dict[Store, Checkpoint | None]:
        """The newest checkpoint that each store has heard of; None of one that has heard of none.

        Raises Conflict where one isn't as we signed it.
        """
        return {store: await self._remembered(store) for store in self.stores}

    async def _remembered(self, store: Store) -> Checkpoint | None:
        text = await self._state(store, pending.STATES[store].checkpoint)
        if not text:
            return None
        try:
            signed = note.parse(text.encode())
            found = checkpoint.read(signed)
            signed.signed_by(await self.trusted(found.origin))
        except Rejected:
            raise Conflict(
                f"What the {store} store remembers of the transparency log isn't what was signed: the store was changed."
            ) from None
        return found

    async def _heard(self) -> dict[Store, Checkpoint]:
        """The same, held against the folder. Raises Conflict where the folder has less, or another history."""
        newest = self._newest()
        found = {}
        for store, head in (await self.remembered()).items():
            found[store] = head = head or Checkpoint(newest.origin, 0, merkle.EMPTY_ROOT)
            if head.size > newest.size:
                raise Conflict(
                    f"The transparency log ends at {newest.size}, the stores know {head.size} entries of it: its folder was "
                    "put back from an older copy. Put back the newest one, or `valueapi audit rebuild`; nothing is signed "
                    "until then."
                )
            if head != newest and (head.origin, await self._root(newest.size, head.size)) != (newest.origin, head.root):
                raise Conflict(
                    f"The {store} store remembers another transparency log than the folder holds: nothing is signed."
                )
        return found

    async def _root(self, size: int, end: int) -> bytes:
        """Of the tree's beginning; partial tiles of that size may be gone."""
        return await asyncio.to_thread(self.folder.tiles.subtree(size), 0, end) if end else merkle.EMPTY_ROOT

    async def _state(self, store: Store, column: Any) -> Any:
        async with self.stores[store].session(DataUse.SECURITY) as session:
            return await session.scalar(select(column))

    # Stage

    async def _stage(self) -> Staged | None:
        waiting = [
            (row.id, store, commitment(row.salt, row.entry))
            for store in self.stores
            for row in await self._waiting(store)
        ]
        if not waiting:
            return None
        rows = tuple((store, entry_id, leaf) for entry_id, store, leaf in sorted(waiting)[:BATCH_MAX])
        batch = Staged(self.size(), rows)
        # A crash before this: the entries are pending still. After it: they have these positions, and no others.
        await asyncio.to_thread(self.folder.stage, batch, await self.mac_key())
        return batch

    async def _waiting(self, store: Store) -> list[Any]:
        ours, forged = await pending.waiting(store, self.stores[store], BATCH_MAX)
        if new := set(forged) - self._forged:
            self._forged |= new
            await events.emit_async("evidence:entry:forged", {"store": store.value, "number": len(new)})
        return ours

    # Apply, publish, mark

    async def _finish(self, batch: Staged) -> None:
        key = await self.signing_key()
        await asyncio.to_thread(self.publish, batch, key)
        head = str(self._newest().signed(key))
        for store in self.stores:
            # A crash between the two: the batch is still staged, and what is marked already is marked again.
            await self._mark(store, batch, head)
        await asyncio.to_thread(self.folder.unstage)
        await asyncio.to_thread(self.folder.tiles.prune, batch.first, batch.first + len(batch.rows))

    def publish(self, batch: Staged, key: Ed25519PrivateKey) -> None:
        """Tiles and checkpoint of a batch; may be repeated. The folder's lock is held. Raises Conflict as `advance` does."""
        old = self._newest()
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

    async def _mark(self, store: Store, batch: Staged, head: str) -> None:
        table = pending.ROWS[store]
        async with self.stores[store].transaction(DataUse.SECURITY) as session:
            for position, (whose, entry_id, _) in enumerate(batch.rows, batch.first):
                if whose is store:
                    free = (table.id == entry_id, table.position.is_(None))
                    await session.execute(update(table).where(*free).values(position=position))
            state = await session.get_one(pending.STATES[store], 1, with_for_update=True)
            # A store that was restored meanwhile doesn't know the log's size of before: that is found out later.
            if _size_of(state.checkpoint) == batch.first:
                state.checkpoint = head

    # After a restore

    async def _after_restore(self, heard: Mapping[Store, Checkpoint]) -> None:
        """A store that last heard of a smaller log came back from an older copy: say so, and what of it was lost."""
        size = self.size()
        known = {store: head.size for store, head in heard.items()}
        old = [store for store, end in known.items() if end < size]
        if not old:
            return
        leaves = dict(await asyncio.to_thread(self._leaves, min(known.values()), size))
        for store in old:
            await self._place(store, {leaf: position for position, leaf in leaves.items()})
        for store in old:
            lost = sorted(leaves.keys() - await self._placed(known[store]))
            await self._say(store, known[store], size, [each for each in lost if each >= known[store]])

    def _leaves(self, start: int, size: int) -> list[tuple[int, bytes]]:
        return list(self.folder.tiles.between(start, size, size))

    async def _place(self, store: Store, positions: dict[bytes, int]) -> None:
        """Entries that the copy has as pending, and that got their position after it was made."""
        table = pending.ROWS[store]
        async with self.stores[store].session(DataUse.SECURITY) as session:
            waits = select(table.id, table.salt, table.entry).where(table.position.is_(None))
            found = [(row.id, positions.get(commitment(row.salt, row.entry))) for row in await session.execute(waits)]
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
        head = str(self._newest().signed(await self.signing_key()))
        parts = list(ranges(lost))
        async with self.stores[store].transaction(DataUse.SECURITY) as session:
            for at in range(0, max(len(parts), 1), RANGES_MAX):
                detail = {"store": store, "known": known, "found": size, "lost": parts[at : at + RANGES_MAX]}
                await pending.record(session, EntryType.LOG_RESTORED, detail=detail)
            (await session.get_one(pending.STATES[store], 1, with_for_update=True)).checkpoint = head
        await events.emit_async(
            "evidence:log:restored", {"store": store.value, "known": known, "found": size, "lost": len(lost)}
        )


def _size_of(head: str) -> int:
    return checkpoint.read(note.parse(head.encode())).size if head else 0
