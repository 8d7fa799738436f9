"""Policy section 7: "We use administrative, technical, and physical security measures to help protect your personal
information."

Whenever staff opened somebody's value, that person can read it, and the transparency log holds it (CJEU C-579/21, GDPR
Art. 15). Openings are counted apart from where they are recorded: more counted than recorded means unrecorded ones. With
nothing counted, a drill has staff open a value of nobody.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, select

from governance import clock
from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse, Store
from governance.db import Database
from governance.errors import UseRefused
from governance.evidence import pending
from governance.evidence.entry import EntryType, parse
from governance.evidence.pending import DataEvidenceSubject, KeysEvidence
from governance.incidents.incident import Severity
from governance.subjects import new_subject
from governance.vault import columns
from governance.vault.keys import KeyStore
from governance.vault.openings import OpeningCount
from governance.vault.purpose import STAFF, Actor, stating
from governance.vault.sealed import bind_loaded
from governance.vault.staff_opening import StaffOpening

_LOOKED_BACK = timedelta(days=7)
_BEFORE = timedelta(minutes=5)  # a record is committed before its opening is counted, maybe in the next hour
_USE = DataUse.LEGAL_OBLIGATION
_CASE = "drill"

Opening = tuple[str, str, str]  # column, use, actor


class AccessLogged(Control):
    """Compares a week's counts with the entries of the transparency log, and these with what people can read."""

    id = "access-logged"
    title = "What staff open of a person is recorded for that person"
    rule = "We use administrative, technical, and physical security measures to help protect your personal information."
    source = "Privacy policy 2026-03, section 7; GDPR Art. 15, 32(4); CJEU C-579/21"
    severity = Severity.CRITICAL

    def __init__(self, data: Database, keys: KeyStore) -> None:
        self._data = data
        self._keys = keys

    async def run(self) -> ControlResult:
        since = (clock.now() - _LOOKED_BACK).replace(minute=0, second=0, microsecond=0)
        await self._keys.openings.flush(self._data)
        counted = await self._counted(since)  # first: what is recorded meanwhile is no surplus of these
        recorded = await self._recorded(since - _BEFORE)
        failures = [
            f"{column} was opened by {actor} for {use} {number} times, and recorded {recorded[column, use, actor]} times."
            for (column, use, actor), number in sorted(counted.items())
            if number > recorded[column, use, actor]
        ]
        counts = {"openings": counted.total(), "recorded": recorded.total(), "drilled": 0}
        if not counted:
            drilled = await self._drill()
            failures += [what for what, held in drilled.items() if not held]
            counts["drilled"] = len(drilled)
        return ControlResult(counts["openings"] + counts["drilled"], tuple(failures), counts=counts)

    async def _counted(self, since: datetime) -> Counter[Opening]:
        staff = [actor.value for actor in STAFF]
        which = OpeningCount.hour >= since, OpeningCount.actor.in_(staff)
        total = func.sum(OpeningCount.count)
        query = select(OpeningCount.column, OpeningCount.use, OpeningCount.actor, total).where(*which)
        async with self._data.session(DataUse.SECURITY) as session:
            rows = await session.execute(query.group_by(OpeningCount.column, OpeningCount.use, OpeningCount.actor))
            return Counter({(column, use, actor): int(number) for column, use, actor, number in rows})

    async def _recorded(self, since: datetime) -> Counter[Opening]:
        """Entries of the log; those of people who were erased since stay in it."""
        return Counter(
            (entry.detail["column"], entry.detail["use"], entry.detail["actor"])
            for entry in map(parse, await self._entries(since))
            if entry.type is EntryType.STAFF_ACCESS
        )

    async def _entries(self, since: datetime) -> Iterable[bytes]:
        async with self._keys.db.session(DataUse.SECURITY) as session:
            return (await session.scalars(select(KeysEvidence.entry).where(KeysEvidence.id >= _first_id(since)))).all()

    async def _drill(self) -> dict[str, bool]:
        """What must hold, and whether it does."""
        subject_id = await new_subject(self._keys)
        try:
            row = DataEvidenceSubject(id=uuid4(), subject_id=subject_id)
            await columns.seal(self._keys, row, entry_id=b"drill")
            bind_loaded(row, ("entry_id",), self._keys)
            with stating(Actor.AUDITOR, _USE, case=_CASE):
                try:
                    await row.entry_id.open(_USE)
                except UseRefused:
                    return {"Staff's openings can't be recorded here, and so none happens.": False}
            with stating(Actor.JOB, _USE):
                entries = await pending.of_subject(Store.KEYS, self._keys.db, self._keys, subject_id)
            async with self._keys.db.session(_USE) as session:
                mine = StaffOpening.subject_id == subject_id
                listed = await session.scalar(select(func.count()).select_from(StaffOpening).where(mine))
            return {
                "What staff opened in a drill isn't in the person's list.": listed == 1,
                "What staff opened in a drill isn't in the transparency log.": [each.type for each in entries]
                == [EntryType.STAFF_ACCESS],
            }
        finally:
            await self._keys.erase_subject(subject_id)


def _first_id(at: datetime) -> UUID:
    """No entry from then on has an earlier id (RFC 9562 section 5.7)."""
    return UUID(int=int(at.timestamp() * 1000) << 80)
