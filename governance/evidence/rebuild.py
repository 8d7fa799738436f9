"""A log's folder made again out of the entries in the stores, where it was lost or only an old copy of it is left.

A leaf is computed from its salt and entry, a tree from its leaves: what was published is made again, bit for bit, and
signed with the same key. It is no second history as long as the stores know all that was published. Whether they do,
nobody can tell from within: a checkpoint that somebody outside holds (a witness, a mail) is what to compare with.
"""

import asyncio
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.datamap import DataUse, Store
from governance.errors import Conflict, NotFound, Rejected
from governance.evidence import checkpoint, merkle, note, pending
from governance.evidence.entry import EntryType, commitment
from governance.evidence.folder import Staged
from governance.evidence.log import KEY, Log
from governance.evidence.note import NoteKey

_AT_ONCE: Final = 4096


async def rebuild(log: Log, origin: str | None = None, known: bytes | None = None) -> tuple[int, int]:
    """Write what the folder lacks; its size before and now. May be repeated, after a crash too; the service is stopped.

    `origin`: what the log was begun with, where the folder is gone; `known`: a checkpoint that was published.
    Raises NotFound where the stores have no log, Rejected where there is nothing to rebuild or `known` is no checkpoint of
    this log, Conflict where entries are missing, another process writes, or what was published would be contradicted.
    """
    with log.folder.alone() as ours:
        if not ours:
            raise Conflict("The service writes to the transparency log: stop it first.")
        log_id, size = await _of_the_stores(log)
        if log.folder.log_id not in (None, log_id):
            raise Conflict("The folder holds another log: put it away first.")
        begun = log.folder.origin or origin or log.origin or f"valueapi.invalid/{log_id}"
        if not note.is_name(begun):
            raise Rejected("An origin is an address without scheme, blanks or plus signs.", field="origin")
        before = log.size()
        if before >= size:
            raise Rejected(f"The folder has all {size} entries that the stores know of: there is nothing to rebuild.")
        leaves = await _leaves(log, before, size)
        key = Ed25519PrivateKey.from_private_bytes((await log.keys.service_key(KEY)).secret)
        if known is not None:
            await asyncio.to_thread(_fits, log, begun, before, leaves, known, key)
        if log.folder.log_id is None:
            log.folder.begin(log_id, begun)
        for at in range(0, len(leaves), _AT_ONCE):
            # A crash between two: the folder is a smaller one of the same log, and what it lacks is written again.
            rows = tuple((Store.DATA, log_id, leaf) for leaf in leaves[at : at + _AT_ONCE])
            await asyncio.to_thread(log.publish, Staged(before + at, rows), key)
    async with log.stores[Store.DATA].transaction(DataUse.SECURITY) as session:
        await pending.record(session, EntryType.LOG_REBUILT, detail={"start": before, "end": size})
    return before, size


async def _of_the_stores(log: Log) -> tuple[UUID, int]:
    ids, size = set(), 0
    for store, database in log.stores.items():
        async with database.session(DataUse.SECURITY) as session:
            state = await session.get(pending.STATES[store], 1)
        if state is not None:
            ids.add(state.log_id)
            size = max(size, state.size)
    if len(ids) > 1:
        raise Conflict("The two stores are of two logs.")
    if not ids:
        raise NotFound("The stores have no transparency log: start the service, which begins one.")
    return ids.pop(), size


async def _leaves(log: Log, start: int, end: int) -> list[bytes]:
    found = {}
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


def _fits(log: Log, origin: str, before: int, leaves: list[bytes], known: bytes, key: Ed25519PrivateKey) -> None:
    """Compare before anything is written."""
    signed = note.parse(known)
    signed.signed_by([*log.folder.verifiers(), NoteKey(origin, key.public_key().public_bytes_raw())])
    head = checkpoint.read(signed)
    if head.origin != origin:
        raise Rejected("The checkpoint is another log's: give the log's --origin.", field="origin")
    end = before + len(leaves)
    if head.size > end:
        raise Conflict(
            f"{head.size} entries were published, the stores know {end}: to go on from there would be a second history."
        )
    first = [leaf for _, leaf in log.folder.tiles.between(0, before, before)] if before else []
    if merkle.root(merkle.leaf_hash(leaf) for leaf in [*first, *leaves][: head.size]) != head.root:
        raise Conflict("The entries in the stores aren't those that were published: the stores were changed.")
