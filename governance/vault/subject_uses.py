"""The uses that a subject's keys may no longer serve, kept with the keys: one fact for every replica and job.

Objection (Art. 21) and withdrawn consent (Art. 7(3)) refuse the uses they name. Restriction (Art. 18) refuses all but
storage, and the uses of the request itself: the law's own, and signing in to pursue it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import Boolean, Integer, Text, Uuid
from sqlalchemy.orm import Mapped

from governance.datamap import DataUse, KeysBase, LegalBasis, OnErasure, declared, impersonal
from governance.db import UtcDateTime

REQUEST_USES = frozenset((DataUse.LEGAL_OBLIGATION, DataUse.AUTHENTICATION))
"""What a restriction leaves besides storage."""

_preference = partial(
    declared,
    category="user.privacy_preferences",
    uses=(DataUse.SECURITY, DataUse.LEGAL_OBLIGATION),
    retention="account",
    on_erasure=OnErasure.DELETE,
    legal_basis=LegalBasis.LEGAL_OBLIGATION,
)


@dataclass(frozen=True, slots=True)
class Refusals:
    """What a subject refuses now."""

    subject_id: UUID
    restricted: bool
    objected: frozenset[DataUse]

    @property
    def uses(self) -> frozenset[DataUse]:
        """All uses that the subject's keys don't serve."""
        return self.objected | (frozenset(DataUse) - REQUEST_USES) if self.restricted else self.objected


class UsesVersion(KeysBase):
    """One row a change, with a random state: who knows the number and another state knows another history, which is what
    a restore leaves. They outlive the rows of subjects, so no number is given twice within one history."""

    __tablename__ = "uses_version"

    version: Mapped[int] = impersonal(Integer, 97, primary_key=True, autoincrement=False)
    state: Mapped[UUID] = impersonal(Uuid, 98)


class SubjectUses(KeysBase):
    """A subject with less than all uses. `version` orders the changes of the whole store."""

    __tablename__ = "subject_uses"

    subject_id: Mapped[UUID] = declared(
        Uuid, 90, "user.unique_id.pseudonymous", (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION), primary_key=True,
        retention="account", on_erasure=OnErasure.DELETE, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip
    restricted: Mapped[bool] = _preference(Boolean, 91)
    objected: Mapped[str] = _preference(Text, 92)
    """Uses refused by objection or withdrawal, comma-separated in order."""
    version: Mapped[int] = impersonal(Integer, 93, unique=True)
    changed_at: Mapped[datetime] = _preference(UtcDateTime, 94)

    def refusals(self) -> Refusals:
        objected = frozenset(DataUse(use) for use in self.objected.split(",") if use)
        return Refusals(self.subject_id, self.restricted, objected)


def as_text(uses: Iterable[DataUse]) -> str:
    """As `objected` keeps them."""
    return ",".join(sorted(uses))
