"""Tries today's keys on old values. Whether a subject is erased is asked of the tombstones and the data store, not of
the keys: a key that outlived its subject must be found."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import KeyGone, SealBroken
from governance.subjects import DataSubject, SubjectState
from governance.vault import envelope
from governance.vault.keys import KeyStore
from governance.vault.limits import Limit, Starts
from governance.vault.sealed import open_sealed

_UUID7 = 7


class KeyOpener:
    """`limits`: the retention schedule's, by rule id."""

    def __init__(self, keys: KeyStore, data: Database, limits: Mapping[str, Limit]) -> None:
        self._keys = keys
        self._data = data
        self._limits = limits
        self._erased: dict[UUID, bool] = {}

    async def can_open(self, sealed: bytes, seal_id: int, subject_id: UUID, row_id: UUID) -> bool:
        """Whether it opens; the plaintext is dropped here. Raises KeyUnavailable where a key can't be unwrapped."""
        try:
            await open_sealed(self._keys, sealed, subject_id, envelope.column_context(seal_id, subject_id, row_id))
        except (KeyGone, SealBroken):
            return False
        return True

    async def erased(self, subject_id: UUID) -> bool:
        """Whether the subject has a tombstone, or the data store has no such subject, or has it as erased."""
        known = self._erased.get(subject_id)
        if known is None:
            async with self._data.session(DataUse.LEGAL_OBLIGATION) as session:
                state = await session.scalar(select(DataSubject.state).where(DataSubject.id == subject_id))
            gone = state is None or state == SubjectState.ERASED
            known = self._erased[subject_id] = gone or await self._keys.erased(subject_id)
        return known

    async def expired(self, retention: str, row_id: UUID) -> bool:
        """Whether the rule's time is over since the row was made, which its id tells (UUIDv7)."""
        limit = self._limits.get(retention)
        if limit is None or limit.starts not in (Starts.CREATION, Starts.YEAR_END) or row_id.version != _UUID7:
            return False
        made_at = datetime.fromtimestamp((row_id.int >> 80) / 1000, UTC)
        return limit.end(limit.begin(made_at)) <= clock.now()
