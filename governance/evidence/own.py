"""This home's log against what its own stores hold: what the log has must be there, and what they remember must be in it.

Read in this order, so that a service that writes meanwhile makes no difference: the log's size, what waits for its position,
what has one, and then the folder, which has all of it by then.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

from governance.datamap import Store
from governance.errors import Conflict
from governance.evidence import pending, verify
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.entry import Entry, EntryType, Opened, read
from governance.evidence.log import Log
from governance.evidence.note import NoteKey
from governance.evidence.rows import Recorded
from governance.evidence.verify import Finding, Report, Waiting

_OTHER = {Store.DATA: Store.KEYS, Store.KEYS: Store.DATA}
_RESTORED = (EntryType.STORE_RESTORED, EntryType.LOG_RESTORED)


async def check(
    log: Log, registers: Iterable[Recorded] = (), *, keys: Sequence[NoteKey] = (), witnesses: Sequence[NoteKey] = ()
) -> Report | None:
    """Check all of it, and that rows of the registers are as their entries have them; None where nothing was published yet.
    `keys`: as known from elsewhere, in the place of the key store's own.
    """
    if log.folder.origin is None:
        if not await _anything(log):
            return None
        return Report(
            "", (), findings=[Finding("The log of these stores isn't here: it was lost, or is another machine's.")]
        )
    await log.trust()
    told: list[Finding] = []
    heads = await _remembered(log, told)
    sizes = {store: head.size for store, head in heads.items()}
    try:
        size = log.size()
    except Conflict as error:  # signed by nobody that we know
        size = 0
        told.append(Finding(str(error)))
    waiting = []
    for store, db in log.stores.items():
        ours, forged = await pending.waiting(store, db)
        waiting += [Waiting(row.salt, row.entry, sizes.get(store, 0)) for row in ours]
        told += [Finding(f"An entry in the {store} store wasn't recorded by this service: {each}.") for each in forged]
    # Also those of positions that there can't be.
    given = {store: await pending.opened(store, db, since=None) for store, db in log.stores.items()}
    report = await asyncio.to_thread(
        lambda: verify.folder(
            log.folder,
            keys=keys or log.folder.verifiers(),
            witnesses=witnesses,
            given=(each for rows in given.values() for each in rows),
            waiting=waiting,
            complete=size,
            remembered=[(f"the {store} store", head) for store, head in heads.items()],
        )
    )
    report.findings += [*told, *_undeclared(given)]
    for register in registers:
        wrong = await register.differences(log.stores[Store.DATA], report.entries)
        report.findings += [Finding(what) for what in wrong]
    return report


async def _anything(log: Log) -> bool:
    return any([await pending.newest(store, db, 1) for store, db in log.stores.items()])


async def _remembered(log: Log, told: list[Finding]) -> dict[Store, Checkpoint]:
    try:
        heads = await log.remembered()
    except Conflict as error:
        told.append(Finding(str(error)))
        return {}
    return {store: head for store, head in heads.items() if head is not None}


def _undeclared(given: Mapping[Store, Sequence[Opened]]) -> Iterator[Finding]:
    """Entries that were lost though nobody put their store back by `backup restore`, which says so in the other store:
    whoever deletes entries of one can't write there, and they aren't lost by a restore."""
    found = {store: list(_restores(rows)) for store, rows in given.items()}
    for store, rows in found.items():
        told, last = (-1, -1), -1
        before = 0  # the end of the restore before: what allowed that one allows no other
        for position, entry in rows:
            if entry.type is not EntryType.LOG_RESTORED or entry.detail["store"] != store.value:
                continue
            known, size, lost = entry.detail["known"], entry.detail["found"], entry.detail["lost"]
            if told != (known, size):
                before = last + 1
            told, last = (known, size), position
            since = max(before, size)
            if lost and not (lost[-1][1] <= size and _declared(found[_OTHER[store]], store, since, position)):
                what = f"Entries of the {store} store were lost, and no `backup restore` of it is recorded."
                yield Finding(what, lost[0][0], lost[-1][1])


def _declared(other: Sequence[tuple[int, Entry]], store: Store, since: int, end: int) -> bool:
    """Whether the other store says that this one was restored, between two positions; or lost what it said of them, since it
    was put back later."""
    for position, entry in other:
        if entry.type is EntryType.STORE_RESTORED:
            if since <= position < end and entry.detail["store"] == store.value:
                return True
        elif entry.detail["store"] != store.value and any(a < end and b > since for a, b in entry.detail["lost"]):
            return True
    return False


def _restores(rows: Sequence[Opened]) -> Iterator[tuple[int, Entry]]:
    marks = [each.value.encode() for each in _RESTORED]
    for row in rows:
        if any(mark in row.entry for mark in marks):
            entry = read(row.entry)
            if entry is not None and entry.type in _RESTORED:
                yield row.position, entry
