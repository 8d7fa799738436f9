"""Policy section 8: "The right to request that we restrict the processing of your personal data, under certain conditions."

What a restriction leaves is storage, and what the request itself needs (GDPR Art. 18(2)). A drill restricts nobody and tries
every use; and whatever the keys refuse of restricted people, the data store leaves out as well.
"""

from uuid import UUID, uuid4

from sqlalchemy import delete, select

from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import UseRefused
from governance.evidence.pending import DataEvidenceSubject
from governance.incidents.incident import Severity
from governance.subjects import new_subject
from governance.vault import columns
from governance.vault.keys import KeyStore
from governance.vault.permitted import UseRefusal
from governance.vault.purpose import Actor, states
from governance.vault.sealed import Sealed, bind_loaded
from governance.vault.subject_uses import REQUEST_USES, SubjectUses

_REFUSED, _LEFT = DataUse.SECURITY, DataUse.LEGAL_OBLIGATION  # the drill's column declares both
_LOOKED_AT = 1_000


class RestrictionEffective(Control):
    """Looks at restricted people, and drills. The drill's subject is nobody, and is erased at its end."""

    id = "restriction-effective"
    title = "What is restricted is stored, and used for the request alone"
    rule = "The right to request that we restrict the processing of your personal data, under certain conditions."
    source = "Privacy policy 2026-03, section 8; GDPR Art. 18(1), (2)"
    severity = Severity.HIGH

    def __init__(self, data: Database, keys: KeyStore) -> None:
        self._data = data
        self._keys = keys

    async def run(self) -> ControlResult:
        restricted, behind = await self._projected()
        failures = [f"{behind} of {restricted} restricted people's rows are still read."] if behind else []
        drilled = await self._drill()
        failures += [what for what, held in drilled.items() if not held]
        counts = {"restricted": restricted, "drilled": len(drilled)}
        return ControlResult(restricted + len(drilled), tuple(failures), counts=counts)

    async def _projected(self) -> tuple[int, int]:
        """Restricted people, and how many of them the data store doesn't leave out for a use that isn't left to it."""
        newest = select(SubjectUses.subject_id).where(SubjectUses.restricted.is_(True))
        async with self._keys.db.session(_REFUSED) as session:
            people = set(await session.scalars(newest.order_by(SubjectUses.version.desc()).limit(_LOOKED_AT)))
        wanted = {(person, use.value) for person in people for use in set(DataUse) - REQUEST_USES}
        async with self._data.session(_LEFT) as session:
            rows = select(UseRefusal.subject_id, UseRefusal.use).where(UseRefusal.subject_id.in_(people))
            known = {(person, use) for person, use in await session.execute(rows)}
        return len(people), len({person for person, _ in wanted - known})

    @states(Actor.JOB, _REFUSED, _LEFT)
    async def _drill(self) -> dict[str, bool]:
        """What must hold, and whether it does."""
        subject_id = await new_subject(self._keys)
        try:
            row = DataEvidenceSubject(id=uuid4(), subject_id=subject_id)
            await columns.seal(self._keys, row, entry_id=b"drill")
            bind_loaded(row, ("entry_id",), self._keys)
            value, row_id = row.entry_id, row.id
            async with self._data.transaction(_LEFT) as session:
                session.add(row)
            held = {"A value doesn't open before it is restricted.": await _opens(value, _REFUSED)}
            await self._keys.uses.restrict(subject_id, on=True)
            held |= {
                "A restricted person's value opens for a use that isn't left.": not await _opens(value, _REFUSED),
                "A restricted person's row is read for a use that isn't left.": not await self._sees(row_id, _REFUSED),
                "A restricted person's value doesn't open for the request.": await _opens(value, _LEFT),
                "A restricted person's row isn't read for the request.": await self._sees(row_id, _LEFT),
            }
            await self._keys.uses.restrict(subject_id, on=False)
            held["A value doesn't open after the restriction was lifted."] = await _opens(value, _REFUSED)
            return held
        finally:
            async with self._data.transaction(_LEFT) as session:
                mine = delete(DataEvidenceSubject).where(DataEvidenceSubject.subject_id == subject_id)
                await session.execute(mine.execution_options(synchronize_session=False))
            await self._keys.erase_subject(subject_id)

    async def _sees(self, row_id: UUID, use: DataUse) -> bool:
        async with self._data.session(use) as session:
            return (
                await session.scalar(select(DataEvidenceSubject.id).where(DataEvidenceSubject.id == row_id)) is not None
            )


async def _opens(value: Sealed[bytes], use: DataUse) -> bool:
    try:
        return await value.open(use) == b"drill"
    except UseRefused:
        return False
