"""What is known of each stored key beside its secret, which rests in the key tree."""

from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from uuid import UUID

from sqlalchemy import String, Uuid
from sqlalchemy.orm import Mapped

from governance.datamap import DataUse, KeyBasis, KeysBase, OnErasure, declared, impersonal
from governance.db import UtcDateTime


class Kind(StrEnum):
    """What a key is for."""

    SUBJECT = "subject"  # a data subject's, one per basis
    PERIOD = "period"  # a retention rule's, for one of its periods
    OBJECT = "object"  # a row's own, ended by that row's event
    SERVICE = "service"


_of_person = partial(
    declared,
    category="user.unique_id.pseudonymous",
    uses=(DataUse.SECURITY,),
    retention="account",
    on_erasure=OnErasure.DELETE,
)


class StoredKey(KeysBase):
    """One key. `slot` says which one is current for its purpose; a replaced key has none and goes at `expires_at`."""

    __tablename__ = "stored_key"

    id: Mapped[UUID] = impersonal(Uuid, 24, primary_key=True)
    kind: Mapped[str] = impersonal(String(8), 25)
    slot: Mapped[str | None] = _of_person(String(128), 26, unique=True, nullable=True)
    subject_id: Mapped[UUID | None] = _of_person(Uuid, 27, index=True, nullable=True)
    basis: Mapped[str | None] = impersonal(String(16), 28, nullable=True)
    expires_at: Mapped[datetime | None] = impersonal(UtcDateTime, 29, nullable=True, index=True)
    node_id: Mapped[UUID] = impersonal(Uuid, 30, index=True)
    created_at: Mapped[datetime] = impersonal(UtcDateTime, 31, index=True)


def subject_slot(subject_id: UUID, basis: KeyBasis) -> str:
    return f"subject:{subject_id}:{basis}"


def service_slot(name: str) -> str:
    return f"service:{name}"


def old_slot(slot: str) -> str:
    """Where a service key lies that is being replaced."""
    return f"{slot}:old"


def period_slot(rule: str, begin: datetime) -> str:
    return f"period:{rule}:{begin:%Y-%m-%d}"


def period_of(slot: str) -> tuple[str, datetime]:
    """The rule and the begin that `period_slot` was given."""
    _, rule, begin = slot.split(":")
    return rule, datetime.fromisoformat(begin).replace(tzinfo=UTC)


def object_slot(rule: str, object_id: UUID, basis: KeyBasis) -> str:
    return f"object:{rule}:{object_id}:{basis}"
