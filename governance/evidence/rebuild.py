"""A log's folder made again out of the entries in the stores, where it was lost or only an old copy of it is left.

A leaf is computed from its salt and entry, a tree from its leaves: what was published is made again, bit for bit, and
signed with the same key. It must have the root of the newest checkpoint that each store remembers. Whether the stores know
all that was published, nobody can tell from within: a checkpoint that somebody outside holds (a witness, a mail) is what to
compare with.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from governance.datamap import DataUse, Store
from governance.errors import Conflict, NotFound, Rejected
from governance.evidence import checkpoint, merkle, note, pending
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.entry import EntryType, commitment
from governance.evidence.folder import Staged
from governance.evidence.log import Log

_AT_ONCE: Final = 4096


async def rebuild(log: Log, known: bytes | None = None) -> tuple[int, int]:
    """Write what the folder lacks; its size before and now. May be repeated, after a crash too; the service is stopped.

    `known`: a checkpoint that was published. Raises NotFound where the stores have no log, Rejected where there is nothing to
    rebuild or `known` is no checkpoint of this log, Conflict where entries are missing, another process writes, or what was
    published would be contradicted.
    """
    with log.folder.alone() as ours:
        if not ours:
            raise Conflict("The service writes to the transparency log: stop it first.")
        log_id, heads = await _of_the_stores(log)
        if log.folder.log_id not in (None, log_id):
            raise Conflict("The folder holds another log: put it away first.")
        newest = max(heads, key=lambda head: head.size)
        if log.folder.origin not in (None, newest.origin):
            raise Conflict("The folder has another origin than the stores remember: put it away first.")
        log.folder.trusted = await log.trusted(newest.origin)
        before = log.size()
        if before >= newest.size:
            raise Rejected(f"The folder has all {before} entries that the stores know of: there is nothing to rebuild.")
        if known is not None:
            heads.append(_published(log, known, newest))
        leaves = await _leaves(log, before, newest.size)
        await asyncio.to_thread(_fits, log, before, leaves, heads)
        # Before anything is written: a kill from here on leaves no rebuild that nobody hears of.
        async with log.stores[Store.DATA].transaction(DataUse.SECURITY) as session:
            await pending.record(session, EntryType.LOG_REBUILT, detail={"start": before, "end": newest.size})
        await _write(log, log_id, newest.origin, before, leaves)
    return before, newest.size


async def _of_the_stores(log: Log) -> tuple[UUID, list[Checkpoint]]:
    ids = set()
    for store, database in log.stores.items():
        async with database.session(DataUse.SECURITY) as session:
            state = await session.get(pending.STATES[store], 1)
        if state is not None:
            ids.add(state.log_id)
    if len(ids) > 1:
        raise Conflict("The two stores are of two logs.")
    heads = [head for head in (await log.remembered()).values() if head is not None]
    if not ids or not heads:
        raise NotFound("The stores remember no transparency log: start the service, which begins one.")
    return ids.pop(), heads


def _published(log: Log, known: bytes, newest: Checkpoint) -> Checkpoint:
    """Raises Rejected for what is no checkpoint of this log, Conflict where it is of more entries than the stores know."""
    signed = note.parse(known)
    signed.signed_by(log.folder.verifiers())
    head = checkpoint.read(signed)
    if head.size > newest.size:
        raise Conflict(
            f"{head.size} entries were published, the stores know {newest.size}: to go on from there would be a second "
            "history."
        )
    return head


async def _leaves(log: Log, start: int, end: int) -> list[bytes]:
    """Of the entries in the stores; those that a crash left without their position are in the staged batch, with it."""
    found = {}
    if (batch := log.folder.staged(await log.mac_key())) is not None:
        found = {position: leaf for position, (_, _, leaf) in enumerate(batch.rows, batch.first)}
    for store, database in log.stores.items():
        for each in await pending.opened(store, database, start):
            found[each.position] = commitment(each.salt, each.entry)
    missing = [position for position in range(start, end) if position not in found]
    if missing:
        raise Conflict(
            f"{len(missing)} entries aren't in the stores any more, the first at position {missing[0]}: what was published of "
            "them can't be made again. Put back a copy of the folder that has them."
        )
    return [found[position] for position in range(start, end)]


def _fits(log: Log, before: int, leaves: list[bytes], heads: Iterable[Checkpoint]) -> None:
    """Compare before anything is written."""
    first = [leaf for _, leaf in log.folder.tiles.between(0, before, before)] if before else []
    whole = [merkle.leaf_hash(leaf) for leaf in [*first, *leaves]]
    for head in heads:
        if merkle.root(whole[: head.size]) != head.root:
            raise Conflict("The entries in the stores aren't those that were published: the stores were changed.")


async def _write(log: Log, log_id: UUID, origin: str, before: int, leaves: list[bytes]) -> None:
    if log.folder.log_id is None:
        log.folder.begin(log_id, origin)
    key = await log.signing_key()
    for at in range(0, len(leaves), _AT_ONCE):
        # A crash between two: the folder is a smaller one of the same log, and what it lacks is written again.
        rows = tuple((Store.DATA, log_id, leaf) for leaf in leaves[at : at + _AT_ONCE])
        await asyncio.to_thread(log.publish, Staged(before + at, rows), key)
    batch = log.folder.staged(await log.mac_key())
    if batch is not None and batch.first + len(batch.rows) < before + len(leaves):
        log.folder.unstage()  # an old copy's, and done long ago
