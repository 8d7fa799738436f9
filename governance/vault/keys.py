"""Keys at rest: one erasable key per data subject, and service keys for values that belong to none.

A key is committed here before a value under it is written anywhere: the two stores share no transaction, and a value
without its key would be lost, a key without a value is nothing.
"""

import asyncio
import os
import time
from collections import OrderedDict
from datetime import datetime
from uuid import UUID

from sqlalchemy import LargeBinary, String, UniqueConstraint, Uuid, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, DataUse, KeysBase, LegalBasis, OnErasure, declared
from governance.db import Database, UtcDateTime
from governance.errors import KeyGone, KeyUnavailable
from governance.ids import uuid7
from governance.vault import envelope
from governance.vault.envelope import Key
from governance.vault.keyring import Keyring

_USES = (DataUse.SECURITY,)


class SubjectKey(KeysBase):
    """A subject's key, wrapped under the root key. Erasure destroys the one with basis `erasable`."""

    __tablename__ = "subject_key"
    __table_args__ = (UniqueConstraint("subject_id", "basis"),)

    id: Mapped[UUID] = declared(
        Uuid,
        1,
        "user.unique_id.pseudonymous",
        _USES,
        primary_key=True,
        retention="account",
        on_erasure=OnErasure.DELETE,
    )
    subject_id: Mapped[UUID] = declared(
        Uuid,
        2,
        "user.unique_id.pseudonymous",
        _USES,
        retention="account",
        on_erasure=OnErasure.DELETE,
    )
    basis: Mapped[str] = declared(
        String(32),
        3,
        "system.operations",
        _USES,
        retention="account",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    wrapped: Mapped[bytes] = declared(
        LargeBinary,
        4,
        "system.operations",
        _USES,
        at_rest=AtRest.WRAPPED,
        retention="account",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    created_at: Mapped[datetime] = declared(
        UtcDateTime,
        5,
        "user.unique_id.pseudonymous",
        _USES,
        retention="account",
        on_erasure=OnErasure.DELETE,
    )


class ServiceKey(KeysBase):
    """A key of the service itself, by name."""

    __tablename__ = "service_key"

    id: Mapped[UUID] = declared(
        Uuid,
        10,
        "system.operations",
        _USES,
        primary_key=True,
        retention="service",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    name: Mapped[str] = declared(
        String(64),
        11,
        "system.operations",
        _USES,
        unique=True,
        retention="service",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    wrapped: Mapped[bytes] = declared(
        LargeBinary,
        12,
        "system.operations",
        _USES,
        at_rest=AtRest.WRAPPED,
        retention="service",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )
    created_at: Mapped[datetime] = declared(
        UtcDateTime,
        13,
        "system.operations",
        _USES,
        retention="service",
        on_erasure=OnErasure.NONE,
        legal_basis=LegalBasis.NOT_PERSONAL,
    )


ERASABLE = "erasable"


class KeyStore:
    """Reads and makes keys. Open keys are cached, bounded in number and time."""

    def __init__(
        self, db: Database, keyring: Keyring, *, cache_size: int = 100_000, cache_seconds: float = 60.0
    ) -> None:
        self.db = db
        self.keyring = keyring
        self._subjects: OrderedDict[UUID, tuple[float, Key]] = OrderedDict()
        self._service: dict[str, Key] = {}
        self._size = cache_size
        self._seconds = cache_seconds
        self._making = asyncio.Lock()

    async def create_subject_key(self, subject_id: UUID) -> Key:
        """Commit a fresh erasable key for a new subject, then return it."""
        key = Key(uuid7(), os.urandom(32))
        wrapped = await self.keyring.wrap(key.secret, key.id)
        row = SubjectKey(id=key.id, subject_id=subject_id, basis=ERASABLE, wrapped=wrapped, created_at=clock.now())
        async with self.db.transaction(DataUse.SECURITY) as session:
            session.add(row)
        # A crash here leaves a key without values, which nothing refers to.
        self._remember(subject_id, key)
        return key

    async def subject_key(self, subject_id: UUID) -> Key:
        """The subject's erasable key. Raises KeyGone where there is none, KeyUnavailable where it can't be unwrapped."""
        cached = self.cached_subject_key(subject_id)
        if cached is not None:
            return cached
        async with self.db.session(DataUse.SECURITY) as session:
            row = await session.scalar(
                select(SubjectKey).where(SubjectKey.subject_id == subject_id, SubjectKey.basis == ERASABLE)
            )
        if row is None:
            raise KeyGone("The subject has no key: erased, or never known here.")
        key = Key(row.id, await self.keyring.unwrap(row.wrapped, row.id))
        self._remember(subject_id, key)
        return key

    def cached_subject_key(self, subject_id: UUID) -> Key | None:
        """The key if it is open already; no I/O."""
        entry = self._subjects.get(subject_id)
        if entry is None or entry[0] < time.monotonic():
            return None
        self._subjects.move_to_end(subject_id)
        return entry[1]

    async def service_key(self, name: str) -> Key:
        """The service key of that name, made and committed at first use; one, however many processes ask at once."""
        if name in self._service:
            return self._service[name]
        async with self._making:
            key = await self._read_service_key(name)
            if key is None:
                fresh = Key(uuid7(), os.urandom(32))
                wrapped = await self.keyring.wrap(fresh.secret, fresh.id)
                row = ServiceKey(id=fresh.id, name=name, wrapped=wrapped, created_at=clock.now())
                try:
                    async with self.db.transaction(DataUse.SECURITY) as session:
                        session.add(row)
                    key = fresh
                except IntegrityError:
                    # Another process was first: its key is the one.
                    key = await self._read_service_key(name)
            if key is None:
                raise KeyUnavailable(f"The service key {name} can't be made or read.")
            self._service[name] = key
            return key

    async def _read_service_key(self, name: str) -> Key | None:
        async with self.db.session(DataUse.SECURITY) as session:
            row = await session.scalar(select(ServiceKey).where(ServiceKey.name == name))
        return Key(row.id, await self.keyring.unwrap(row.wrapped, row.id)) if row is not None else None

    async def counts(self) -> dict[str, dict[str, int]]:
        """How many keys of each kind are wrapped under each root key: `{"subject": {root key id: n}, "service": …}`."""
        found: dict[str, dict[str, int]] = {"subject": {}, "service": {}}
        async with self.db.session(DataUse.SECURITY) as session:
            for kind, model in (("subject", SubjectKey), ("service", ServiceKey)):
                # The root key's id stands at bytes 3 to 18 of a wrapped key (SQL counts from 1).
                root = func.substr(model.wrapped, 3, 16)
                for value, number in await session.execute(select(root, func.count()).group_by(root)):
                    found[kind][str(UUID(bytes=bytes(value)))] = number
        return found

    def forget(self, subject_id: UUID | None = None) -> None:
        """Drop open keys from memory: one subject's, or all."""
        if subject_id is None:
            self._subjects.clear()
        else:
            self._subjects.pop(subject_id, None)

    def _remember(self, subject_id: UUID, key: Key) -> None:
        self._subjects[subject_id] = (time.monotonic() + self._seconds, key)
        self._subjects.move_to_end(subject_id)
        while len(self._subjects) > self._size:
            self._subjects.popitem(last=False)

    async def seal_for(self, subject_id: UUID, context: bytes, plaintext: bytes) -> bytes:
        """Seal bytes under a subject's key."""
        return envelope.seal(await self.subject_key(subject_id), plaintext, context)
