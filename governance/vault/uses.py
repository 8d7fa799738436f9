"""What each subject's keys may still serve: objection, withdrawn consent, restriction. GDPR Art. 7(3), 18, 21.

Kept in the key store, beside the keys, so that it holds for every value of theirs in every process at once.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock, events
from governance.datamap import BASIS_USES, DataUse, KeyBasis
from governance.db import Database
from governance.errors import UseRefused
from governance.vault.channel import Channel
from governance.vault.destruction import Tombstone
from governance.vault.key_cache import KeyCache
from governance.vault.keytree import KeyNode
from governance.vault.subject_uses import Refusals, SubjectUses, UsesVersion, as_text


class Uses:
    """Of one key store. `lock` orders what changes it."""

    def __init__(
        self, db: Database, cache: KeyCache, channel: Channel, lock: Callable[[AsyncSession], Awaitable[KeyNode]]
    ) -> None:
        self._db = db
        self._cache = cache
        self._channel = channel
        self._lock = lock
        self.project: Callable[[], Awaitable[None]] | None = None
        """Set by `Permitted`: shows a change of uses to the data store. Not within one of its transactions."""

    async def check(self, subject_id: UUID, basis: KeyBasis, use: DataUse) -> None:
        """Raises UseRefused where the basis doesn't serve the use, or the person objected, withdrew or is restricted."""
        if use not in BASIS_USES[basis]:
            raise UseRefused(f"What is kept as {basis.value} may not be opened for {use.value}.")
        if use in await self.refused(subject_id):
            raise UseRefused(f"The data subject's keys don't serve {use.value}: objection, withdrawal or restriction.")

    async def refused(self, subject_id: UUID) -> frozenset[DataUse]:
        """Uses that the subject's keys don't serve."""
        cached = self._cache.refused(subject_id)
        if cached is not None:
            return cached
        generation = self._channel.generation()
        async with self._db.session(DataUse.SECURITY) as session:
            row = await session.get(SubjectUses, subject_id)
        uses = row.refusals().uses if row is not None else frozenset()
        self._cache.keep_refused(subject_id, uses, generation)
        return uses

    async def object_to(self, subject_id: UUID, uses: Iterable[DataUse]) -> None:
        """Objection or withdrawn consent: the keys serve these uses no more. In force everywhere when it returns."""
        await self._change_uses(subject_id, add=frozenset(uses))

    async def permit(self, subject_id: UUID, uses: Iterable[DataUse]) -> None:
        """Consent given again, or an objection taken back."""
        await self._change_uses(subject_id, drop=frozenset(uses))

    async def restrict(self, subject_id: UUID, *, on: bool) -> None:
        """Restriction of processing (Art. 18), or its lifting. In force everywhere when it returns."""
        await self._change_uses(subject_id, restricted=on)

    async def _change_uses(
        self,
        subject_id: UUID,
        *,
        add: frozenset[DataUse] = frozenset(),
        drop: frozenset[DataUse] = frozenset(),
        restricted: bool | None = None,
    ) -> None:
        async with self._db.transaction(DataUse.SECURITY) as session:
            await self._lock(session)
            row = await session.get(SubjectUses, subject_id)
            known = row.refusals() if row is not None else Refusals(subject_id, False, frozenset())
            wanted = Refusals(
                subject_id, known.restricted if restricted is None else restricted, (known.objected | add) - drop
            )
            await self._write_uses(session, wanted, await self._next_version(session))
        # A crash here leaves the change committed and caches at most `cache_seconds` behind.
        await self._channel.announce()
        if self.project is not None:
            await self.project()

    async def _write_uses(self, session: AsyncSession, refusals: Refusals, version: int) -> None:
        values = {"restricted": refusals.restricted, "objected": as_text(refusals.objected)}
        await session.merge(
            SubjectUses(subject_id=refusals.subject_id, version=version, changed_at=clock.now(), **values)
        )
        await session.flush()

    async def _next_version(self, session: AsyncSession) -> int:
        version = (await session.scalar(select(func.max(UsesVersion.version))) or 0) + 1
        session.add(UsesVersion(version=version, state=uuid4()))
        return version

    async def knows(self, version: int, state: UUID | None) -> bool:
        """Whether a version is of this store's own history; 0 without a state is its beginning."""
        if state is None:
            return version == 0
        async with self._db.session(DataUse.SECURITY) as session:
            found = await session.scalar(select(UsesVersion.state).where(UsesVersion.version == version))
        return found == state

    async def since(self, version: int) -> tuple[int, UUID | None, list[Refusals]]:
        """The newest version with its state, and what subjects refuse now who changed it after a version."""
        newest = select(UsesVersion).order_by(UsesVersion.version.desc()).limit(1)
        changed = select(SubjectUses).where(SubjectUses.version > version).order_by(SubjectUses.version)
        async with self._db.session(DataUse.SECURITY) as session:
            # Before the rows: what is changed meanwhile is read, and read again.
            last = await session.scalar(newest)
            rows = (await session.scalars(changed)).all()
        refusals = [row.refusals() for row in rows]
        return (last.version, last.state, refusals) if last is not None else (0, None, refusals)

    async def unite(self, known: Collection[Refusals]) -> int:
        """Add what another history knew; how many subjects it changes.

        A restore lost one of the two, and which of them was newer for a person can't be told: what either refuses stays
        refused, until the person says otherwise. One that is erased by now gets nothing.
        """
        united = 0
        async with self._db.transaction(DataUse.SECURITY) as session:
            await self._lock(session)
            for refusals in known:
                subject_id = refusals.subject_id
                row = await session.get(SubjectUses, subject_id)
                own = row.refusals() if row is not None else Refusals(subject_id, False, frozenset())
                wanted = Refusals(subject_id, own.restricted or refusals.restricted, own.objected | refusals.objected)
                if wanted != own and await session.get(Tombstone, subject_id) is None:
                    await self._write_uses(session, wanted, await self._next_version(session))
                    united += 1
            # A version of its own in any case: from here on both stores know one history.
            await self._next_version(session)
        await events.emit_async("vault:restore:uses", {"subjects": united})
        self._cache.forget(None)
        await self._channel.announce()
        return united
