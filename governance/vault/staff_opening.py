"""What staff opened of a person: told to that person (CJEU C-579/21, GDPR Art. 15), sealed under their own key.

It rests with the keys, since the use of a key is what it records; one row is committed before the value is given.
"""

from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec
from sqlalchemy import Uuid, select
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import AtRest, DataUse, KeysBase, LegalBasis, OnErasure, declared
from governance.db import UtcDateTime
from governance.ids import uuid7
from governance.vault import columns
from governance.vault.columns import SealedType
from governance.vault.keys import KeyStore
from governance.vault.purpose import Purpose
from governance.vault.sealed import Sealed, bind_loaded

_of_person = partial(
    declared,
    uses=(DataUse.LEGAL_OBLIGATION, DataUse.SECURITY),
    retention="staff-opening",
    legal_basis=LegalBasis.LEGAL_OBLIGATION,
)


class StaffOpening(KeysBase):
    """One opening by staff."""

    __tablename__ = "staff_opening"

    id: Mapped[UUID] = _of_person(
        Uuid, 160, "user.unique_id.pseudonymous", primary_key=True, on_erasure=OnErasure.DELETE
    )
    subject_id: Mapped[UUID] = _of_person(
        Uuid, 161, "user.unique_id.pseudonymous", index=True, on_erasure=OnErasure.DELETE
    )
    at: Mapped[datetime] = _of_person(
        UtcDateTime, 162, "user.privacy_preferences", index=True, on_erasure=OnErasure.DELETE
    )
    detail: Mapped[Sealed[bytes]] = _of_person(
        SealedType(bytes), 163, "user.privacy_preferences", at_rest=AtRest.SEALED, on_erasure=OnErasure.SHRED
    )


class Detail(msgspec.Struct, frozen=True):
    """What was opened, for what, by which role, on which case."""

    column: str
    use: str
    actor: str
    case: str | None


class StaffLog:
    """Records for one key store. Made, it is what the store's staff openings need to happen at all."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        keys.record_staff = self.record

    async def record(self, subject_id: UUID, column: str, use: DataUse, purpose: Purpose) -> None:
        """Commit one record. Raises what the store raises: then nothing is opened."""
        row = StaffOpening(id=uuid7(), subject_id=subject_id, at=clock.now())
        detail = Detail(column, use.value, purpose.actor.value, purpose.case)
        await columns.seal(self._keys, row, detail=msgspec.msgpack.encode(detail))
        told = {"column": column, "use": use.value, "actor": purpose.actor.value, "on_case": purpose.case is not None}
        async with self._keys.db.transaction(DataUse.SECURITY) as session:
            session.add(row)
            await self._keys.changed(session, "vault:value:opened", told, subject_id)

    async def of(self, subject_id: UUID) -> list[tuple[datetime, Detail]]:
        """What staff opened of a person, oldest first; for the person's own access (Art. 15)."""
        mine = select(StaffOpening).where(StaffOpening.subject_id == subject_id).order_by(StaffOpening.at)
        async with self._keys.db.session(DataUse.LEGAL_OBLIGATION) as session:
            rows = (await session.scalars(mine)).all()
        found = []
        for row in rows:
            bind_loaded(row, ("detail",), self._keys)
            plain = await row.detail.open(DataUse.LEGAL_OBLIGATION)
            found.append((row.at, msgspec.msgpack.decode(plain, type=Detail)))
        return found
