"""What was destroyed, and from when that is real.

Destroying a key re-keys its path in the tree at once; older copies of the key store stay readable to whoever also has
the root key of before. So it is real when the keyring has destroyed that root key, which each provider does in its own
time: the answer here is that time and that limit, never "at once" for all. GDPR Art. 17, Art. 5(2).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, LargeBinary, String, Text, Uuid
from sqlalchemy.orm import Mapped

from governance.datamap import DataUse, KeysBase, LegalBasis, OnErasure, declared, impersonal
from governance.db import UtcDateTime


class DestroyedKey(KeysBase):
    """A key that exists no longer. The list outlives the oldest backup of the key store, and is applied to it."""

    __tablename__ = "destroyed_key"

    id: Mapped[UUID] = impersonal(Uuid, 60, primary_key=True)
    kind: Mapped[str] = impersonal(String(8), 61)
    epoch: Mapped[int] = impersonal(Integer, 62, index=True)
    root_id: Mapped[UUID] = impersonal(Uuid, 63, index=True)
    """The root key that opens copies of the store from before."""
    destroyed_at: Mapped[datetime] = impersonal(UtcDateTime, 64)


class Tombstone(KeysBase):
    """A subject that was erased: a random id that nothing else bears any more, so that no restore brings it back."""

    __tablename__ = "tombstone"

    subject_id: Mapped[UUID] = declared(
        Uuid, 65, "user.unique_id.pseudonymous", (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION), primary_key=True,
        retention="tombstone", on_erasure=OnErasure.KEEP_REQUEST, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip
    epoch: Mapped[int] = impersonal(Integer, 66, index=True)
    erased_at: Mapped[datetime] = declared(
        UtcDateTime, 67, "user.privacy_preferences", (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION),
        retention="tombstone", on_erasure=OnErasure.KEEP_REQUEST, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip
    plan_digest: Mapped[bytes | None] = impersonal(LargeBinary, 68, nullable=True)


class RootEpoch(KeysBase):
    """A root key that no node is wrapped under any more, until its provider has destroyed it, and when that is real."""

    __tablename__ = "root_epoch"

    root_id: Mapped[UUID] = impersonal(Uuid, 70, primary_key=True)
    closed_at: Mapped[datetime] = impersonal(UtcDateTime, 71)
    destroyed_at: Mapped[datetime | None] = impersonal(UtcDateTime, 72, nullable=True)
    real_at: Mapped[datetime | None] = impersonal(UtcDateTime, 73, nullable=True)
    limit: Mapped[str | None] = impersonal(Text, 74, nullable=True)


class KeysEpoch(KeysBase):
    """One row: how many times keys of this store have been destroyed, and up to which of them the mirrors were told.

    `state` is random and new with each epoch, `told_state` was it at `told`: a mirror that was last told another one
    knows another history, which is what a restore leaves. A number alone would be given twice then.
    """

    __tablename__ = "keys_epoch"

    id: Mapped[int] = impersonal(Integer, 75, primary_key=True)
    epoch: Mapped[int] = impersonal(Integer, 76)
    state: Mapped[UUID] = impersonal(Uuid, 77)
    told: Mapped[int] = impersonal(Integer, 78)
    told_state: Mapped[UUID | None] = impersonal(Uuid, 79, nullable=True)


@dataclass(frozen=True, slots=True)
class Destroyed:
    """A destroyed key as its receipt tells it. `real_at` is None while, or where, no time can be promised; `limit` says
    why."""

    key_id: UUID
    kind: str
    destroyed_at: datetime
    real_at: datetime | None
    limit: str


@dataclass(frozen=True, slots=True)
class Destructions:
    """Keys destroyed and subjects erased."""

    key_ids: frozenset[UUID]
    subject_ids: frozenset[UUID]

    def __sub__(self, other: "Destructions") -> "Destructions":
        return Destructions(self.key_ids - other.key_ids, self.subject_ids - other.subject_ids)

    def __or__(self, other: "Destructions") -> "Destructions":
        return Destructions(self.key_ids | other.key_ids, self.subject_ids | other.subject_ids)

    def __bool__(self) -> bool:
        return bool(self.key_ids or self.subject_ids)


NOTHING = Destructions(frozenset(), frozenset())
