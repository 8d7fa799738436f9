"""Policy section 8: "The right to request that we erase your personal data, under certain conditions."

What is sealed under a key ends with the key. Nobody who was erased has a key, or a row that is found by who they are; no key
that was destroyed is there again; both lists that keep a restore from reviving them hold them; and a drill erases nobody's
values through the real code and tries to open them.
"""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock
from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse, KeyBasis, KeysBase, OnErasure
from governance.db import Database
from governance.errors import VaultError
from governance.evidence.pending import DataEvidenceSubject
from governance.incidents.incident import Severity
from governance.subjects import new_subject
from governance.vault import columns
from governance.vault.destruction import DestroyedKey, Tombstone
from governance.vault.keys import KeyStore
from governance.vault.mirrors import DestroyedCopy
from governance.vault.purpose import Actor, states
from governance.vault.sealed import bind_loaded
from governance.vault.stored_key import StoredKey

_USE = DataUse.SECURITY
_MIRRORED = 1_000  # of the newest erasures, which is what a restore would revive
_SETTLED = timedelta(minutes=5)


class ErasureComplete(Control):
    """Looks at everybody who was erased. The drill's subject is nobody, and is left erased."""

    id = "erasure-complete"
    title = "Nothing of erased people opens"
    rule = "The right to request that we erase your personal data, under certain conditions."
    source = "Privacy policy 2026-03, sections 6 and 8; GDPR Art. 17(1), 5(2)"
    severity = Severity.CRITICAL

    def __init__(self, data: Database, keys: KeyStore) -> None:
        self._data = data
        self._keys = keys

    async def run(self) -> ControlResult:
        async with self._keys.db.session(_USE) as session:
            erased = await session.scalar(select(func.count()).select_from(Tombstone)) or 0
            found = {
                "people who were erased have keys": await _left_keys(session),
                "keys that were destroyed are there again": await _again(session),
            } | {
                f"rows of erased people are in {table}": number for table, number in (await _left_rows(session)).items()
            }
        found["people who were erased could come back with an older copy of the keys"] = await self._unmirrored()
        failures = [f"{number} {what}." for what, number in found.items() if number]
        drilled = await self._drill()
        failures += [what for what, held in drilled.items() if not held]
        counts = {"erased": erased, "drilled": len(drilled)}
        return ControlResult(erased + len(drilled), tuple(failures), counts=counts)

    async def _unmirrored(self) -> int:
        """Of the newest erasures, those that the data store doesn't remember."""
        newest = select(Tombstone.subject_id).where(Tombstone.erased_at <= clock.now() - _SETTLED)
        async with self._keys.db.session(_USE) as session:
            gone = set(await session.scalars(newest.order_by(Tombstone.erased_at.desc()).limit(_MIRRORED)))
        async with self._data.session(_USE) as session:
            known = await session.scalars(select(DestroyedCopy.subject_id).where(DestroyedCopy.subject_id.in_(gone)))
            return len(gone - set(known))

    @states(Actor.JOB, _USE)
    async def _drill(self) -> dict[str, bool]:
        """What must hold, and whether it does."""
        subject_id = await new_subject(self._keys)
        row = DataEvidenceSubject(id=uuid4(), subject_id=subject_id)
        await columns.seal(self._keys, row, entry_id=b"drill")
        bind_loaded(row, ("entry_id",), self._keys)
        opened = await row.entry_id.open(_USE) == b"drill"
        destroyed = await self._keys.erase_subject(subject_id)
        return {
            "A value of somebody who isn't erased doesn't open.": opened,
            "Erasing somebody destroys no key.": bool(destroyed),
            "A value opens after its person was erased.": await self._refuses(row),
            "A value is sealed for somebody who was erased.": await self._refuses_new(row),
        }

    async def _refuses(self, row: DataEvidenceSubject) -> bool:
        try:
            await row.entry_id.open(_USE)
        except VaultError:
            return True
        return False

    async def _refuses_new(self, row: DataEvidenceSubject) -> bool:
        try:
            await columns.seal(self._keys, row, entry_id=b"again")
        except VaultError:
            return True
        return False


async def _left_keys(session: AsyncSession) -> int:
    mine = StoredKey.subject_id == Tombstone.subject_id, StoredKey.basis == KeyBasis.ERASABLE
    return await session.scalar(select(func.count()).select_from(StoredKey).where(*mine)) or 0


async def _again(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(StoredKey).where(StoredKey.id == DestroyedKey.id)) or 0


async def _left_rows(session: AsyncSession) -> dict[str, int]:
    """Rows beside the keys that go with their person, by table."""
    found = {}
    for kind in sorted((mapper.class_ for mapper in KeysBase.registry.mappers), key=lambda kind: kind.__tablename__):
        if _goes_with_person(kind.__table__):
            erased = kind.subject_id == Tombstone.subject_id
            found[kind.__tablename__] = await session.scalar(select(func.count()).select_from(kind).where(erased)) or 0
    return found


def _goes_with_person(table: Table) -> bool:
    column = table.columns.get("subject_id")
    if column is None or table is StoredKey.__table__:
        return False
    return column.info["declaration"].on_erasure is OnErasure.DELETE
