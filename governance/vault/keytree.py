"""Where keys rest: a tree of wrapping keys, of which one small root alone must lie where overwriting is real.

A node's content is a table of key ids to 256-bit secrets, sealed under the node's own key; the parent's content holds
that key, and the root node's key is wrapped by the keyring. Buckets (level 2) hold the keys that values are sealed under.

    keyring root key > root node > level 1 > bucket > keys of subjects, periods, objects, services

To destroy a key its entry is dropped and each node on its path gets a fresh key: 3 rows, however many keys there are.
What older copies, WAL frames, free pages or dead tuples still hold is sealed under node keys that exist nowhere, as
soon as the keyring has destroyed the root key of before. After Reardon, Basin, Capkun, "On Secure Data Deletion",
IEEE Security & Privacy 12(3), 2014. Keys destroyed together share their paths: a batch costs little more than one.
"""

import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import msgspec
from sqlalchemy import Index, Integer, LargeBinary, Uuid, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, KeysBase, impersonal
from governance.db import UtcDateTime
from governance.errors import KeyGone, KeyUnavailable, SealBroken
from governance.ids import uuid7
from governance.vault import envelope
from governance.vault.envelope import Key
from governance.vault.keyring import Keyring

ROOT = UUID(int=1)
"""The root node's id, the same in every store."""
FAN = 128
"""Entries of a node; the root alone takes more, when 2 million keys are not enough."""
_BUCKET = 2
_CACHED_NODES_MAX = 4096


class KeyNode(KeysBase):
    """One node. `wrapped` is set on the root alone."""

    __tablename__ = "key_node"
    __table_args__ = (Index(None, "level", "entries"),)

    id: Mapped[UUID] = impersonal(Uuid, 32, primary_key=True)
    parent_id: Mapped[UUID | None] = impersonal(Uuid, 33, nullable=True)
    level: Mapped[int] = impersonal(Integer, 34)
    entries: Mapped[int] = impersonal(Integer, 35)
    content: Mapped[bytes] = impersonal(LargeBinary, 36, AtRest.WRAPPED)
    wrapped: Mapped[bytes | None] = impersonal(LargeBinary, 37, AtRest.WRAPPED, nullable=True)
    rekeyed_at: Mapped[datetime] = impersonal(UtcDateTime, 38)


_Table = dict[bytes, bytes]


def _seal(node_id: UUID, node_key: bytes, table: _Table) -> bytes:
    return envelope.seal(Key(node_id, node_key), msgspec.msgpack.encode(table), b"node" + node_id.bytes)


def _open(node: KeyNode, node_key: bytes) -> _Table:
    """Raises SealBroken where the node has been given another key."""
    plain = envelope.open_envelope(Key(node.id, node_key), node.content, b"node" + node.id.bytes)
    return msgspec.msgpack.decode(plain, type=_Table)


def opens_root(content: bytes, secret: bytes) -> bool:
    """Whether a key is that of a copied root node."""
    try:
        envelope.open_envelope(Key(ROOT, secret), content, b"node" + ROOT.bytes)
    except SealBroken:
        return False
    return True


def _open_or_nothing(node: KeyNode, node_key: bytes | None) -> _Table:
    try:
        return _open(node, node_key) if node_key is not None else {}
    except SealBroken:
        return {}


class KeyTree:
    """Puts, reads and removes secrets inside the caller's transaction. Node keys once opened are cached, bounded."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self._nodes: OrderedDict[UUID, bytes] = OrderedDict()

    def forget(self) -> None:
        """Drop open node keys."""
        self._nodes.clear()

    async def lock(self, session: AsyncSession) -> KeyNode:
        """The root, locked until the transaction ends: whoever changes the tree does it alone. Planted at first use."""
        root = await session.scalar(select(KeyNode).where(KeyNode.id == ROOT).with_for_update())
        return root if root is not None else await self._plant(session)

    async def _plant(self, session: AsyncSession) -> KeyNode:
        secret = os.urandom(32)
        values = {
            "id": ROOT,
            "parent_id": None,
            "level": 0,
            "entries": 0,
            "content": _seal(ROOT, secret, {}),
            "wrapped": await self.keyring.wrap(secret, ROOT),
            "rekeyed_at": clock.now(),
        }
        on_sqlite = (await session.connection()).dialect.name == "sqlite"
        insert = sqlite.insert(KeyNode) if on_sqlite else postgresql.insert(KeyNode)
        # Two first starts at once: one row stays, and both go on with that one.
        await session.execute(insert.values(values).on_conflict_do_nothing())
        return (await session.scalars(select(KeyNode).where(KeyNode.id == ROOT).with_for_update())).one()

    async def _root_key(self, root: KeyNode) -> bytes:
        if root.wrapped is None:
            raise KeyUnavailable("The key store's root has no wrapped key: the store is damaged.")
        return await self.keyring.unwrap(root.wrapped, ROOT)

    async def put(self, session: AsyncSession, key: Key) -> UUID:
        """Store a secret; the bucket it rests in. The caller holds `lock`."""
        root = await self.lock(session)
        root_key = await self._root_key(root)
        roots = _open(root, root_key)
        bucket = await self._with_room(session, _BUCKET)
        if bucket is None:
            parent = await self._with_room(session, 1)
            if parent is None:
                parent, parent_key = self._new(session, ROOT, 1)
                roots[parent.id.bytes] = parent_key
                root.content, root.entries = _seal(ROOT, root_key, roots), len(roots)
            parent_key = roots[parent.id.bytes]
            buckets = _open(parent, parent_key)
            bucket, bucket_key = self._new(session, parent.id, _BUCKET)
            buckets[bucket.id.bytes] = bucket_key
            parent.content, parent.entries = _seal(parent.id, parent_key, buckets), len(buckets)
        else:
            parent = await session.get_one(KeyNode, bucket.parent_id)
            bucket_key = _open(parent, roots[parent.id.bytes])[bucket.id.bytes]
        table = _open(bucket, bucket_key)
        table[key.id.bytes] = key.secret
        bucket.content, bucket.entries = _seal(bucket.id, bucket_key, table), len(table)
        await session.flush()
        return bucket.id

    async def _with_room(self, session: AsyncSession, level: int) -> KeyNode | None:
        room = select(KeyNode).where(KeyNode.level == level, KeyNode.entries < FAN)
        return await session.scalar(room.order_by(KeyNode.entries.desc()).limit(1))

    def _new(self, session: AsyncSession, parent_id: UUID, level: int) -> tuple[KeyNode, bytes]:
        secret, node_id = os.urandom(32), uuid7()
        node = KeyNode(
            id=node_id, parent_id=parent_id, level=level, entries=0, content=_seal(node_id, secret, {}),
            rekeyed_at=clock.now(),
        )  # fmt: skip
        session.add(node)
        return node, secret

    async def read(self, session: AsyncSession, bucket_id: UUID, key_id: UUID) -> bytes:
        """A secret. Raises KeyGone where its bucket holds it no longer, KeyUnavailable where the path doesn't open."""
        table = await self._bucket(session, bucket_id)
        secret = table.get(key_id.bytes)
        if secret is None:
            raise KeyGone("The key was destroyed.")
        return secret

    async def _bucket(self, session: AsyncSession, bucket_id: UUID) -> _Table:
        known = self._nodes.get(bucket_id)
        if known is not None:
            bucket = await session.scalar(select(KeyNode).where(KeyNode.id == bucket_id))
            if bucket is not None:
                try:
                    return _open(bucket, known)
                except SealBroken:
                    # It has another key since: read its path anew.
                    del self._nodes[bucket_id]
        # One statement, so that a change by another process is seen whole or not at all.
        step = select(KeyNode.id, KeyNode.parent_id).where(KeyNode.id == bucket_id).cte("step", recursive=True)
        step = step.union_all(select(KeyNode.id, KeyNode.parent_id).join(step, KeyNode.id == step.c.parent_id))
        path = (
            await session.scalars(select(KeyNode).join(step, KeyNode.id == step.c.id).order_by(KeyNode.level))
        ).all()
        if not path or path[0].id != ROOT or path[-1].id != bucket_id:
            raise KeyUnavailable("The key store lacks a node: it is damaged, or was copied while it changed.")
        node_key = await self._root_key(path[0])
        try:
            for node, child in pairwise(path):
                node_key = _open(node, node_key)[child.id.bytes]
            table = _open(path[-1], node_key)
        except (SealBroken, KeyError):
            raise KeyUnavailable("The key store's nodes don't fit each other: it is damaged.") from None
        self._nodes[bucket_id] = node_key
        while len(self._nodes) > _CACHED_NODES_MAX:
            self._nodes.popitem(last=False)
        return table

    async def remove(self, session: AsyncSession, gone: Mapping[UUID, Collection[UUID]]) -> None:
        """Drop keys by bucket and give every node on their paths a fresh key; an empty collection re-keys a bucket.

        The caller holds `lock`, and has the keyring destroy the former root key once this is committed.
        """
        root = await self.lock(session)
        roots = _open(root, await self._root_key(root))
        now = clock.now()
        buckets = (await session.scalars(select(KeyNode).where(KeyNode.id.in_(gone)))).all()
        parents = {bucket.parent_id for bucket in buckets}
        for parent in (await session.scalars(select(KeyNode).where(KeyNode.id.in_(parents)))).all():
            below = _open(parent, roots[parent.id.bytes])
            for bucket in buckets:
                if bucket.parent_id == parent.id:
                    table = _open(bucket, below[bucket.id.bytes])
                    for key_id in gone[bucket.id]:
                        table.pop(key_id.bytes, None)
                    below[bucket.id.bytes] = fresh = os.urandom(32)
                    bucket.content, bucket.entries = _seal(bucket.id, fresh, table), len(table)
                    bucket.rekeyed_at = now
            roots[parent.id.bytes] = fresh = os.urandom(32)
            parent.content, parent.rekeyed_at = _seal(parent.id, fresh, below), now
        fresh = os.urandom(32)
        root.content, root.rekeyed_at = _seal(ROOT, fresh, roots), now
        root.wrapped = await self.keyring.wrap(fresh, ROOT)
        await session.flush()
        self.forget()

    async def rekeyed_before(self, session: AsyncSession, moment: datetime, limit: int) -> list[UUID]:
        """Buckets whose key is older than a moment, the oldest first."""
        old = select(KeyNode.id).where(KeyNode.level == _BUCKET, KeyNode.rekeyed_at < moment)
        return list(await session.scalars(old.order_by(KeyNode.rekeyed_at).limit(limit)))

    async def buckets(self, session: AsyncSession, before: datetime | None = None) -> int:
        """How many buckets there are, or how many have a key older than a moment."""
        count = select(func.count()).where(KeyNode.level == _BUCKET)
        return await session.scalar(count if before is None else count.where(KeyNode.rekeyed_at < before)) or 0

    async def readable(self, session: AsyncSession) -> AsyncIterator[tuple[UUID, frozenset[UUID]]]:
        """Every bucket and the keys in it that open; empty where its path is damaged. Raises KeyUnavailable where the
        root doesn't open."""
        root = await session.scalar(select(KeyNode).where(KeyNode.id == ROOT))
        if root is None:
            return
        roots = _open_or_nothing(root, await self._root_key(root))
        parents = await session.stream_scalars(select(KeyNode).where(KeyNode.level == 1))
        below: _Table = {}
        async for parent in parents:
            below |= _open_or_nothing(parent, roots.get(parent.id.bytes))
        buckets = await session.stream_scalars(select(KeyNode).where(KeyNode.level == _BUCKET))
        async for bucket in buckets:
            table = _open_or_nothing(bucket, below.get(bucket.id.bytes))
            yield bucket.id, frozenset(UUID(bytes=key_id) for key_id in table)

    async def export_root(self, session: AsyncSession) -> bytes:
        """The root node's key, for a sealed backup of the whole store."""
        return await self._root_key(await self.lock(session))

    async def adopt_root(self, session: AsyncSession, secret: bytes) -> None:
        """Wrap a restored store's root node key under today's keyring. Raises KeyUnavailable where it isn't that key."""
        root = await self.lock(session)
        try:
            _open(root, secret)
        except SealBroken:
            raise KeyUnavailable("The backup's root key doesn't open the store it came with.") from None
        root.wrapped = await self.keyring.wrap(secret, ROOT)
        await session.flush()
