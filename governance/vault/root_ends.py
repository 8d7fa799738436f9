"""Root keys that nothing is wrapped under any more: closed, destroyed by the keyring, and watched from then on.

When that is real goes into receipts. So nothing is taken for destroyed before this process's keyring has opened the
store: a keyring that is the wrong one lacks a root key as well, and says so in the same words.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock, events
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import Conflict, KeyGone, KeyUnavailable
from governance.vault.destruction import RootEpoch
from governance.vault.keyring import Destruction, Keyring, RootState
from governance.vault.keytree import ROOT, KeyNode

_LATE: Final = timedelta(days=1)
"""A provider may take a day longer than it said. docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html"""


class RootEnds:
    """The ends of one store's root keys."""

    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring
        self._told: set[UUID] = set()

    async def close(self, session: AsyncSession, before: UUID, after: UUID) -> None:
        """The store went from one root key to another: nothing is under the former any more.

        Nor under those between the two, which no roll of ours left: made by hand, by the provider's own schedule, or by
        a process that died before it committed. Within the transaction that holds the tree's lock.
        """
        closed = dict.fromkeys([before])
        with suppress(KeyUnavailable):  # an erasure doesn't wait for this: the next roll looks again
            closed |= dict.fromkeys(await self._between(session, before, after))
        for root_id in closed:
            if await session.get(RootEpoch, root_id) is None:
                session.add(RootEpoch(root_id=root_id, closed_at=clock.now()))

    async def _between(self, session: AsyncSession, before: UUID, after: UUID) -> list[UUID]:
        """Oldest first. What is older than the store's first root key isn't known to be ours, and stays: a transit key
        may have had another use. Once one of ours is destroyed nothing older is left, where versions end in order."""
        listed = list(await self._keyring.root_ids())
        older = listed[: listed.index(after)] if after in listed else []
        if await session.scalar(select(RootEpoch.root_id).where(RootEpoch.destroyed_at.is_not(None)).limit(1)):
            return older
        known = {before, *await session.scalars(select(RootEpoch.root_id))}
        first = next((place for place, root_id in enumerate(older) if root_id in known), len(older))
        return older[first:]

    async def end(self) -> None:
        """Have the keyring destroy what is closed; what it can't is left for later."""
        async with self._db.session(DataUse.SECURITY) as session:
            roots = (await session.scalars(select(RootEpoch.root_id).where(RootEpoch.destroyed_at.is_(None)))).all()
        if not roots:
            return
        try:
            place = {root_id: number for number, root_id in enumerate(await self._own())}
        except KeyUnavailable:
            await self._later(roots)
            return
        # Oldest first: a provider that trims takes them in no other order.
        for root_id in sorted(roots, key=lambda root_id: place.get(root_id, -1)):
            try:
                await self._write_down(root_id, await self._keyring.destroy(root_id))
            except KeyGone:
                await self._write_down(root_id, None)
            except (KeyUnavailable, Conflict):
                await self._later([root_id])

    async def _write_down(self, root_id: UUID, ended: Destruction | None) -> None:
        """`ended` is None where the keyring lacked it already: another process was first, an earlier try crashed before
        this line, or it ended in a history that a restore took back."""
        now = clock.now()
        async with self._db.transaction(DataUse.SECURITY) as session:
            row = await session.get_one(RootEpoch, root_id, with_for_update=True)
            if ended is not None:
                row.destroyed_at, row.real_at, row.limit = now, ended.at, ended.limit
            elif row.destroyed_at is None:  # what who was first wrote down is more than this
                row.destroyed_at, row.real_at, row.limit = now, None, _gone(now) + self._keyring.destruction

    async def _own(self) -> list[UUID]:
        """The keyring's root keys, oldest first, once it has opened the store. Raises KeyUnavailable."""
        async with self._db.session(DataUse.SECURITY) as session:
            wrapped = await session.scalar(select(KeyNode.wrapped).where(KeyNode.id == ROOT)) or b""
        await self._keyring.unwrap(wrapped, ROOT)
        return list(await self._keyring.root_ids())

    async def _later(self, roots: Iterable[UUID]) -> None:
        """Until it succeeds the receipt says that it isn't real."""
        for root_id in roots:
            if root_id not in self._told:
                self._told.add(root_id)
                await events.emit_async("vault:root:pending", {"root": str(root_id)})

    async def recheck(self) -> None:
        """Find root keys that count as destroyed and that the keyring has after all: somebody cancelled the deletion, or
        brought a copy back. They count as not destroyed again, and the next `end` asks for it anew."""
        if not await self._revived(await self._keyring.root_ids()):
            return
        # Listed again, after the rows were read: another process may have destroyed one between the two.
        listed = await self._keyring.root_ids()
        back = await self._revived(listed)
        async with self._db.transaction(DataUse.SECURITY) as session:
            rows = (await session.scalars(_destroyed(back).with_for_update())).all()
            for row in rows:
                row.destroyed_at = row.real_at = row.limit = None
        for row in rows:
            await events.emit_async("vault:root:deletion_cancelled", {"root": str(row.root_id)})

    async def _revived(self, listed: dict[UUID, RootState]) -> list[UUID]:
        async with self._db.session(DataUse.SECURITY) as session:
            rows = (await session.scalars(_destroyed(listed))).all()
        return [row.root_id for row in rows if listed[row.root_id] is not RootState.DESTROYING or _is_late(row.real_at)]


def _gone(now: datetime) -> str:
    return f"Since when isn't known: on {now:%Y-%m-%d at %H:%M} UTC the keyring had the root key of before no longer. "


def _destroyed(root_ids: Iterable[UUID]) -> Select[RootEpoch]:
    return select(RootEpoch).where(RootEpoch.root_id.in_(list(root_ids)), RootEpoch.destroyed_at.is_not(None))


def _is_late(real_at: datetime | None) -> bool:
    """Still waiting after its time: it was cancelled and scheduled anew between two rounds."""
    return real_at is not None and real_at + _LATE < clock.now()
