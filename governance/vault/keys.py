"""Keys: made, read, and destroyed. Values are sealed under them; the key tree holds their secrets.

A key is committed here before a value under it is written anywhere: the two stores share no transaction, and a value
without its key would be lost, a key without a value is nothing. Open keys are cached, bounded in number and time; a
cache lives under one generation of the channel, so a destruction anywhere ends it everywhere.
"""

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock, events
from governance.datamap import METADATA, DataUse, KeyBasis, OnErasure, Store
from governance.db import Database
from governance.errors import KeyGone, KeyUnavailable, PeriodOver
from governance.ids import in_lists, uuid7
from governance.vault import keyring as keyrings
from governance.vault.channel import Channel, OneProcess
from governance.vault.destroyed_list import DestroyedList
from governance.vault.destruction import Destroyed, DestroyedKey, Destructions, RootEpoch, Tombstone
from governance.vault.envelope import Key
from governance.vault.key_cache import KeyCache, OpenKey
from governance.vault.keyring import Keyring
from governance.vault.keytree import ROOT, KeyNode, KeyTree
from governance.vault.limits import NO_LIMIT, Limit, Starts
from governance.vault.mirrors import Mirror
from governance.vault.openings import Openings
from governance.vault.purpose import Purpose
from governance.vault.root_ends import RootEnds
from governance.vault.stored_key import (
    Kind,
    StoredKey,
    object_slot,
    old_slot,
    period_of,
    period_slot,
    service_slot,
    subject_slot,
)
from governance.vault.uses import Uses

StaffRecord = Callable[[UUID, str, DataUse, Purpose], Awaitable[None]]
ChangeRecord = Callable[[AsyncSession, str, Mapping[str, object], UUID | None], Awaitable[None]]
"""Adds what happened (`source:subject:action`, its detail, the person it is about) to the transaction that does it."""


def _subject_keys_before(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    """Current keys of subjects that were made before a moment."""
    return StoredKey.kind == Kind.SUBJECT, StoredKey.slot.is_not(None), StoredKey.created_at < moment


class KeyStore:
    """The keys of one store. `limits` come from the retention schedule, by rule id."""

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        *,
        limits: Mapping[str, Limit] | None = None,
        channel: Channel | None = None,
        mirrors: Sequence[Mirror] = (),
        cache_size: int = 100_000,
        cache_seconds: float = 60.0,
    ) -> None:
        self.db = db
        self.keyring = keyring
        self.channel = channel or OneProcess()
        self.destroyed_list = DestroyedList(db, mirrors, self.service_key)
        self.openings = Openings()
        self.record_staff: StaffRecord | None = None
        """Set by `StaffLog`; without it nothing is opened for staff."""
        self.record_change: ChangeRecord | None = None
        """Set by the room above that keeps the transparency log (`evidence.pending.attach`)."""
        self._limits = limits or {}
        self._tree = KeyTree(keyring)
        self._cache = KeyCache(self.channel.generation, self._tree.forget, cache_size, cache_seconds)
        self.uses = Uses(db, self._cache, self.channel, self._tree.lock)
        self.root_ends = RootEnds(db, keyring)

    # Making and reading

    async def create_subject_key(self, subject_id: UUID) -> Key:
        """Commit a fresh erasable key for a new subject, then return it. A crash after it leaves a key without values."""
        slot = subject_slot(subject_id, KeyBasis.ERASABLE)
        return (await self._current(slot, Kind.SUBJECT, subject_id, KeyBasis.ERASABLE)).key

    async def subject_key(self, subject_id: UUID, basis: KeyBasis = KeyBasis.ERASABLE) -> Key:
        """The subject's current key for a basis; a basis key is made at its first use.

        Raises KeyGone where the subject was erased or never known, KeyUnavailable where it can't be unwrapped, UseRefused
        as `Openings.take` does.
        """
        await self.openings.take((subject_id,))
        slot = subject_slot(subject_id, basis)
        cached = self._cache.in_slot(slot)
        if cached is not None:
            return cached.key
        found = await self._read(StoredKey.slot == slot)
        if found is not None:
            return found.key
        if basis is KeyBasis.ERASABLE:
            raise KeyGone("The subject has no key: erased, or never known here.")
        await self.subject_key(subject_id)  # Nothing new is kept of a subject that was erased.
        return (await self._current(slot, Kind.SUBJECT, subject_id, basis)).key

    def cached_subject_key(self, subject_id: UUID) -> Key | None:
        """The erasable key if it is open already; no I/O."""
        found = self._cache.in_slot(subject_slot(subject_id, KeyBasis.ERASABLE))
        return found.key if found is not None else None

    async def service_key(self, name: str) -> Key:
        """The service key of that name, made and committed at first use; one, however many processes ask at once."""
        return (await self._current(service_slot(name), Kind.SERVICE)).key

    async def service_keys(self, name: str) -> list[Key]:
        """The current service key of that name, and the one that it is replacing."""
        current = await self.service_key(name)
        old = old_slot(service_slot(name))
        found = self._cache.in_slot(old)
        if found is None and not self._cache.is_absent(old):
            generation = self.channel.generation()
            found = await self._read(StoredKey.slot == old)
            if found is None:
                self._cache.keep_absent(old, generation)
        return [current] if found is None else [current, found.key]

    async def service_key_made_at(self, name: str) -> datetime | None:
        """When the current service key of that name was made; None where there is none yet."""
        async with self.db.session(DataUse.SECURITY) as session:
            return await session.scalar(select(StoredKey.created_at).where(StoredKey.slot == service_slot(name)))

    async def limit_key(
        self, rule: str, basis: KeyBasis, subject_id: UUID | None, row_id: UUID, at: datetime
    ) -> Key | None:
        """The key that limits a value of that rule in time; None where the subject's own is enough.

        Raises PeriodOver where the rule's period is over for a value made at `at`: it must not be kept.
        """
        limit = self._limits.get(rule, NO_LIMIT)
        if limit.starts is Starts.SUBJECT:
            return None
        if limit.starts is Starts.OBJECT:
            slot = object_slot(rule, row_id, basis)
            return (await self._current(slot, Kind.OBJECT, subject_id, basis)).key
        begin = limit.begin(at)
        end = limit.end(begin)
        if end <= clock.now():
            raise PeriodOver("The period that this value belongs to is over.")
        return (await self._current(period_slot(rule, begin), Kind.PERIOD, expires_at=end)).key

    async def key(self, key_id: UUID) -> OpenKey:
        """A key by its id, replaced ones included: to open with. Raises KeyGone where it was destroyed, or is of another
        store, UseRefused as `Openings.take` does."""
        found = self._cache.key(key_id) or await self._read(StoredKey.id == key_id)
        if found is None:
            raise KeyGone("The key was destroyed.")
        await self.openings.take((found.subject_id,) if found.subject_id is not None else (), to_open=True)
        return found

    async def _current(
        self,
        slot: str,
        kind: Kind,
        subject_id: UUID | None = None,
        basis: KeyBasis | None = None,
        expires_at: datetime | None = None,
    ) -> OpenKey:
        found = self._cache.in_slot(slot) or await self._read(StoredKey.slot == slot)
        if found is not None:
            return found
        generation = self.channel.generation()
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            row = await session.scalar(select(StoredKey).where(StoredKey.slot == slot))
            if row is not None:
                # Another was first: its key is the one.
                return self._keep(row, await self._tree.read(session, row.node_id, row.id), generation)
            if subject_id is not None and await session.get(Tombstone, subject_id) is not None:
                raise KeyGone("The subject was erased.")
            row, secret = await self._add(session, slot, kind, subject_id, basis, expires_at)
        return self._keep(row, secret, generation)

    async def _add(
        self,
        session: AsyncSession,
        slot: str,
        kind: Kind,
        subject_id: UUID | None = None,
        basis: KeyBasis | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[StoredKey, bytes]:
        key = Key(uuid7(), os.urandom(32))
        row = StoredKey(
            id=key.id, kind=kind, slot=slot, subject_id=subject_id, basis=basis, expires_at=expires_at,
            node_id=await self._tree.put(session, key), created_at=clock.now(),
        )  # fmt: skip
        session.add(row)
        await session.flush()
        return row, key.secret

    async def _read(self, which: ColumnElement[bool]) -> OpenKey | None:
        generation = self.channel.generation()
        async with self.db.session(DataUse.SECURITY) as session:
            row = await session.scalar(select(StoredKey).where(which))
            if row is None:
                return None
            secret = await self._tree.read(session, row.node_id, row.id)
        return self._keep(row, secret, generation)

    async def preload(self, subject_ids: Collection[UUID]) -> None:
        """Fill the cache with several subjects' erasable keys, found by one read; those that are gone are left out."""
        await self.openings.take(subject_ids, to_open=True)
        wanted = [each for each in subject_ids if self.cached_subject_key(each) is None]
        generation = self.channel.generation()
        mine = (StoredKey.subject_id.in_(wanted), StoredKey.basis == KeyBasis.ERASABLE, StoredKey.kind == Kind.SUBJECT)
        async with self.db.session(DataUse.SECURITY) as session:
            for row in (await session.scalars(select(StoredKey).where(*mine))).all():
                self._keep(row, await self._tree.read(session, row.node_id, row.id), generation)

    async def changed(
        self, session: AsyncSession, event: str, detail: Mapping[str, object], subject_id: UUID | None = None
    ) -> None:
        """Record a change within its own transaction: both are committed, or neither."""
        if self.record_change is not None:
            await self.record_change(session, event, detail, subject_id)

    # Replacing

    async def replace_service_key(self, name: str) -> Key:
        """A new current key; the old one stays under `service_keys` until destroyed. The old one's key.

        May be repeated: while an old one is left it is that one, and nothing is made.
        """
        slot = service_slot(name)
        await self.service_key(name)
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            row = await session.scalar(select(StoredKey).where(StoredKey.slot == old_slot(slot)))
            if row is None:
                row = (await session.scalars(select(StoredKey).where(StoredKey.slot == slot))).one()
                row.slot = old_slot(slot)
                await session.flush()
                await self._add(session, slot, Kind.SERVICE)
                await self._rotated(session, Kind.SERVICE, 1)
            key = Key(row.id, await self._tree.read(session, row.node_id, row.id))
        # In force everywhere before anything is moved to the new key.
        await self.channel.announce()
        return key

    async def replace_subject_keys(self, made_before: datetime, until: datetime, limit: int) -> list[UUID]:
        """New current keys for some subjects whose keys are older than a moment; the old ones open until `until`."""
        old = _subject_keys_before(made_before)
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            rows = (await session.scalars(select(StoredKey).where(*old).order_by(StoredKey.id).limit(limit))).all()
            for row in rows:
                slot, row.slot, row.expires_at = row.slot or "", None, until
                await session.flush()
                await self._add(session, slot, Kind.SUBJECT, row.subject_id, KeyBasis(row.basis or ""))
            if rows:
                await self._rotated(session, Kind.SUBJECT, len(rows))
        if rows:
            await self.channel.announce()
        return list({row.subject_id for row in rows if row.subject_id is not None})

    async def _rotated(self, session: AsyncSession, kind: str, number: int) -> None:
        await self.changed(session, "vault:key:rotated", {"kind": str(kind), "keys": number})

    async def older_subject_keys(self, made_before: datetime) -> int:
        """How many current subject keys are older than a moment."""
        old = _subject_keys_before(made_before)
        async with self.db.session(DataUse.SECURITY) as session:
            return await session.scalar(select(func.count()).where(*old)) or 0

    async def replaced_keys_over(self, needed_since: datetime | None = None) -> dict[UUID, UUID]:
        """Keys that a rotation replaced and whose time is over, with their subject's id; not those that were still in
        use at `needed_since` or later."""
        until = clock.now() if needed_since is None else min(clock.now(), needed_since)
        over = (StoredKey.kind == Kind.SUBJECT, StoredKey.expires_at <= until)
        async with self.db.session(DataUse.SECURITY) as session:
            rows = await session.execute(select(StoredKey.id, StoredKey.subject_id).where(*over))
            return {row.id: row.subject_id for row in rows if row.subject_id is not None}

    async def destroy(self, key_ids: Collection[UUID]) -> tuple[UUID, ...]:
        """Destroy keys by id: replaced ones, when nothing is under them any more."""
        return await self._destroy_where(StoredKey.id.in_(key_ids))

    async def destroy_if(self, key_id: UUID, clear: Callable[[AsyncSession], Awaitable[bool]]) -> bool:
        """Destroy a key if nothing is under it: `clear` looks within the same transaction, and who holds the key's row
        (`FOR SHARE`) to write under it is waited for. Whether it is gone."""
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            row = await session.scalar(select(StoredKey).where(StoredKey.id == key_id).with_for_update())
            if row is None:
                return True
            if not await clear(session):
                return False
            await self._destroy(session, [row])
        await self.settle()
        return True

    async def rekey_nodes(self, made_before: datetime, limit: int) -> int:
        """Give the nodes of some buckets fresh keys where theirs are older than a moment; how many buckets."""
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            buckets = await self._tree.rekeyed_before(session, made_before, limit)
            await self._rekey(session, {bucket: () for bucket in buckets}, roll=False)
        return len(buckets)

    async def nodes(self, made_before: datetime | None = None) -> int:
        """How many buckets there are, or how many have a key older than a moment."""
        async with self.db.session(DataUse.SECURITY) as session:
            return await self._tree.buckets(session, made_before)

    # Destroying

    async def erase_subject(self, subject_id: UUID, plan_digest: bytes | None = None) -> tuple[UUID, ...]:
        """Destroy the subject's erasable key, replaced ones too, and leave its tombstone; basis keys stay (Art. 17(3)).

        Ids of the destroyed keys. May be repeated; no process opens anything under them when it returns.
        """
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            if await session.get(Tombstone, subject_id) is None:
                epoch = await self.destroyed_list.next_epoch(session)
                session.add(
                    Tombstone(subject_id=subject_id, epoch=epoch, erased_at=clock.now(), plan_digest=plan_digest)
                )
            mine = (StoredKey.subject_id == subject_id, StoredKey.basis == KeyBasis.ERASABLE)
            gone = await self._destroy(session, (await session.scalars(select(StoredKey).where(*mine))).all())
            await self._erase_rows(session, [subject_id])
        await self.settle()
        return gone

    async def _erase_rows(self, session: AsyncSession, subject_ids: Collection[UUID]) -> None:
        """Delete what else this store holds of erased subjects, as the declarations say: how they are found, what they
        refuse, who looked."""
        for table in METADATA[Store.KEYS].sorted_tables:
            column = table.columns.get("subject_id")
            if column is None or table is StoredKey.__table__:
                continue
            if column.info["declaration"].on_erasure is OnErasure.DELETE:
                await session.execute(delete(table).where(column.in_(subject_ids)))

    async def end_basis(self, subject_id: UUID, basis: KeyBasis) -> tuple[UUID, ...]:
        """Destroy what a basis keeps of a subject, when the basis's period is over."""
        return await self._destroy_where(StoredKey.subject_id == subject_id, StoredKey.basis == basis)

    async def end_object(self, rule: str, object_id: UUID) -> tuple[UUID, ...]:
        """Destroy the keys of one row's own object, when the period after its event is over."""
        slots = [object_slot(rule, object_id, basis) for basis in KeyBasis]
        return await self._destroy_where(StoredKey.slot.in_(slots))

    async def shorten_periods(self) -> int:
        """End periods when today's schedule says, where that is sooner than when their key was made; how many.

        A longer period doesn't reach what was kept under a shorter one: nobody was told so then (Art. 13(2)(a)).
        """
        shortened = 0
        async with self.db.transaction(DataUse.SECURITY) as session:
            for row in await session.scalars(select(StoredKey).where(StoredKey.kind == Kind.PERIOD)):
                rule, begin = period_of(row.slot or "")
                limit = self._limits.get(rule)
                if limit is not None and row.expires_at is not None and limit.end(begin) < row.expires_at:
                    row.expires_at = limit.end(begin)
                    shortened += 1
        return shortened

    async def expire(self) -> tuple[UUID, ...]:
        """Destroy the keys of the periods that are over."""
        return await self._destroy_where(StoredKey.kind == Kind.PERIOD, StoredKey.expires_at <= clock.now())

    async def _destroy_where(self, *which: ColumnElement[bool]) -> tuple[UUID, ...]:
        async with self.db.session(DataUse.SECURITY) as session:
            if await session.scalar(select(StoredKey.id).where(*which).limit(1)) is None:
                return ()
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            rows = (await session.scalars(select(StoredKey).where(*which))).all()
            gone = await self._destroy(session, rows)
        await self.settle()
        return gone

    async def _destroy(self, session: AsyncSession, rows: Sequence[StoredKey]) -> tuple[UUID, ...]:
        """Within a transaction that holds the tree's lock; `settle` follows its commit."""
        if not rows:
            return ()
        gone: dict[UUID, list[UUID]] = {}
        for row in rows:
            gone.setdefault(row.node_id, []).append(row.id)
        epoch = await self.destroyed_list.next_epoch(session)
        before = await self._rekey(session, gone, roll=self.keyring.root_lifetime == timedelta())
        now = clock.now()
        for row in rows:
            session.add(DestroyedKey(id=row.id, kind=row.kind, epoch=epoch, root_id=before, destroyed_at=now))
            await session.delete(row)
        kinds = Counter(row.kind for row in rows)
        await self.changed(
            session, "vault:key:destroyed", {kind.value: kinds[kind] for kind in Kind} | {"epoch": epoch}
        )
        return tuple(row.id for row in rows)

    async def _rekey(self, session: AsyncSession, gone: Mapping[UUID, Sequence[UUID]], *, roll: bool) -> UUID:
        """Re-key the paths, under a new root key where `roll`; the root key that opens what was before."""
        root = await self._tree.lock(session)
        before = keyrings.root_id(root.wrapped or b"")
        if roll and self.keyring.current == before:
            # A crash between this and the commit leaves a root key that nothing is under; a later roll closes it.
            await self.keyring.rotate()
        await self._tree.remove(session, gone)
        after = keyrings.root_id(root.wrapped or b"")
        if await session.get(RootEpoch, after) is not None:
            # Another process closed it, and may be destroying it now: what hangs on it would be lost.
            raise KeyUnavailable("The keyring still takes a closed root key for the current one: try again.")
        if after != before:
            await self.root_ends.close(session, before, after)
        return before

    async def settle(self) -> None:
        """After a destruction was committed: make it real, tell every process, and write it down where no restore of
        this store reaches. Start-up runs it too, so a crash at any line is finished by the same code."""
        self.forget()
        await self.close_roots()
        await self.channel.announce()
        if self.db.sqlite:
            async with self.db.engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        await self.destroyed_list.tell()

    async def close_roots(self) -> None:
        """Have the keyring destroy the root keys that nothing is under any more; those it can't are left for later."""
        await self.root_ends.end()

    async def roll_root(self) -> None:
        """A new root key, and the end of the former one. Raises Conflict where that is done by hand."""
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._rekey(session, {}, roll=True)
            await self._rotated(session, "root", 1)
        await self.settle()

    async def roll_root_if_due(self) -> None:
        """For keyrings whose root key can't be replaced with each destruction, because one costs money there."""
        lifetime = self.keyring.root_lifetime
        if lifetime is None:
            return
        # Of the current root key alone: no new one ends those before it.
        waiting = select(func.min(DestroyedKey.destroyed_at)).where(DestroyedKey.root_id == await self.root_id())
        async with self.db.session(DataUse.SECURITY) as session:
            since = await session.scalar(waiting)
        if since is not None and since + lifetime <= clock.now():
            await self.roll_root()

    async def last_destroyed(self, limit: int) -> list[UUID]:
        """Ids of the keys that were destroyed last, the newest first."""
        newest = select(DestroyedKey.id).order_by(DestroyedKey.destroyed_at.desc()).limit(limit)
        async with self.db.session(DataUse.SECURITY) as session:
            return list(await session.scalars(newest))

    async def destroyed(self, key_ids: Iterable[UUID]) -> list[Destroyed]:
        """For receipts: what was destroyed, and from when that is real."""
        joined = select(DestroyedKey, RootEpoch).outerjoin(RootEpoch, RootEpoch.root_id == DestroyedKey.root_id)
        async with self.db.session(DataUse.SECURITY) as session:
            rows = (await session.execute(joined.where(DestroyedKey.id.in_(list(key_ids))))).all()
        return [
            Destroyed(key.id, key.kind, key.destroyed_at, root.real_at if root else None, self._limit(root))
            for key, root in rows
        ]

    def _limit(self, root: RootEpoch | None) -> str:
        if root is None or root.limit is None:
            return "Not yet: the root key that opens copies from before still exists. " + self.keyring.destruction
        return root.limit

    async def erased(self, subject_id: UUID) -> bool:
        """Whether the subject has a tombstone."""
        async with self.db.session(DataUse.SECURITY) as session:
            return await session.get(Tombstone, subject_id) is not None

    # Restores

    async def destroy_again(self) -> tuple[UUID, ...]:
        """Destroy what the mirrors know to be destroyed and a restore brought back; ids of those that were here."""
        if not await self.destroyed_list.missing():
            return ()
        async with self.db.transaction(DataUse.SECURITY) as session:
            await self._tree.lock(session)
            # Read again under the lock: another process may have been first.
            missing = await self.destroyed_list.missing()
            again = await self._destroy_again(session, missing)
        counts = {"keys": len(missing.key_ids), "subjects": len(missing.subject_ids), "revived": len(again)}
        await events.emit_async("vault:restore:found", counts)
        return again

    async def _destroy_again(self, session: AsyncSession, missing: Destructions) -> tuple[UUID, ...]:
        epoch = await self.destroyed_list.next_epoch(session)
        rows: dict[UUID, StoredKey] = {}
        for some in in_lists(missing.subject_ids):
            stones = (Tombstone(subject_id=subject_id, epoch=epoch, erased_at=clock.now()) for subject_id in some)
            session.add_all(stones)
            mine = (StoredKey.subject_id.in_(some), StoredKey.basis == KeyBasis.ERASABLE)
            rows |= {row.id: row for row in await session.scalars(select(StoredKey).where(*mine))}
            await self._erase_rows(session, some)
        for some in in_lists(missing.key_ids):
            rows |= {row.id: row for row in await session.scalars(select(StoredKey).where(StoredKey.id.in_(some)))}
        before = keyrings.root_id((await self._tree.lock(session)).wrapped or b"")
        gone = await self._destroy(session, list(rows.values()))
        # Keys that aren't here at all are listed too: a copy that has them may yet be put in this one's place.
        absent = missing.key_ids - rows.keys()
        session.add_all(
            DestroyedKey(
                id=key_id, kind="unknown", epoch=epoch, root_id=before, destroyed_at=clock.now(),
            )
            for key_id in absent
        )  # fmt: skip
        return gone

    async def export_root(self) -> bytes:
        """The root node's key as it is now, for a sealed backup."""
        async with self.db.transaction(DataUse.SECURITY) as session:
            return await self._tree.export_root(session)

    async def open_root(self, wrapped: bytes) -> bytes:
        """The key of a copied root node. Raises KeyUnavailable where the keyring opens that one no longer."""
        return await self.keyring.unwrap(wrapped, ROOT)

    async def adopt_root(self, secret: bytes) -> None:
        """Wrap a restored store's root under today's keyring: what was destroyed under the copy's root key waits for that
        one's end, as after any other change of root keys."""
        async with self.db.transaction(DataUse.SECURITY) as session:
            root = await self._tree.lock(session)
            before = keyrings.root_id(root.wrapped or b"")
            await self._tree.adopt_root(session, secret)
            after = keyrings.root_id(root.wrapped or b"")
            if after != before:
                await self.root_ends.close(session, before, after)
        self.forget()

    # What is there

    async def root_id(self) -> UUID | None:
        """The root key that the store hangs on; None before its first key."""
        async with self.db.session(DataUse.SECURITY) as session:
            wrapped = await session.scalar(select(KeyNode.wrapped).where(KeyNode.id == ROOT))
        return keyrings.root_id(wrapped) if wrapped is not None else None

    async def counts(self) -> list[dict[str, object]]:
        """Stored keys by kind and basis: `{"kind", "basis", "keys", "replaced"}`."""
        group = (StoredKey.kind, StoredKey.basis)
        current = StoredKey.slot.is_not(None) & StoredKey.slot.not_like(old_slot("%"))
        query = select(*group, func.count(), func.sum(case((current, 0), else_=1))).group_by(*group).order_by(*group)
        async with self.db.session(DataUse.SECURITY) as session:
            return [
                {"kind": kind, "basis": basis, "keys": number, "replaced": int(replaced)}
                for kind, basis, number, replaced in await session.execute(query)
            ]

    async def made_since(self, moment: datetime) -> int:
        """How many stored keys of people are newer than a moment; the service makes others by itself every day."""
        newer = (StoredKey.created_at > moment, StoredKey.subject_id.is_not(None))
        async with self.db.session(DataUse.SECURITY) as session:
            return await session.scalar(select(func.count()).where(*newer)) or 0

    async def unreadable(self) -> dict[str, int]:
        """Keys that are listed and can't be opened, by kind: damage, or a store put together from two days.

        Raises KeyUnavailable where the keyring doesn't open the root: then none can.
        """
        lost: Counter[str] = Counter()
        async with self.db.session(DataUse.SECURITY) as session:
            found = {key_id async for _, keys in self._tree.readable(session) for key_id in keys}
            async for row in await session.stream(select(StoredKey.id, StoredKey.kind)):
                if row.id not in found:
                    lost[row.kind] += 1
        return dict(lost)

    def forget(self, subject_id: UUID | None = None) -> None:
        """Drop open keys from memory: one subject's, or all."""
        self._cache.forget(subject_id)

    def _keep(self, row: StoredKey, secret: bytes, generation: int | None) -> OpenKey:
        basis = KeyBasis(row.basis) if row.basis is not None else None
        found = OpenKey(Key(row.id, secret), Kind(row.kind), row.subject_id, basis, row.slot)
        self._cache.keep(found, generation)
        return found
