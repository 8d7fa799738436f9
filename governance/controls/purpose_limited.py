"""Policy section 2: "This is strictly for billing, rate-limiting, and security monitoring."

Every opening of a sealed value was counted by column and use: none may be for a use that the column doesn't declare. And a
drill through the real code shows that what isn't declared, isn't stated or was objected to is refused, not only unseen.
"""

from collections.abc import Awaitable, Callable, Iterable
from uuid import uuid4

from sqlalchemy import select

from governance.controls.control import Control, ControlResult
from governance.datamap import AtRest, DataUse, DeclaredColumn
from governance.db import Database
from governance.errors import UseRefused
from governance.evidence.pending import DataEvidenceSubject
from governance.incidents.incident import Severity
from governance.subjects import new_subject
from governance.vault import columns
from governance.vault.keys import KeyStore
from governance.vault.purpose import Actor, states
from governance.vault.sealed import bind_loaded

_DECLARED, _OTHER, _UNSTATED = DataUse.SECURITY, DataUse.ANALYTICS, DataUse.LEGAL_OBLIGATION


class PurposeLimited(Control):
    """`declared` gives every declared column. The drill's subject is nobody, and is erased at its end; one that a crash
    leaves has a key and nothing else."""

    id = "purpose-limited"
    title = "Personal values are opened for declared uses alone"
    rule = "This is strictly for billing, rate-limiting, and security monitoring."
    source = "Privacy policy 2026-03, sections 2 and 4; GDPR Art. 5(1)(b), 21"
    severity = Severity.HIGH

    def __init__(self, data: Database, keys: KeyStore, declared: Callable[[], Iterable[DeclaredColumn]]) -> None:
        self._data = data
        self._keys = keys
        self._declared = declared

    async def run(self) -> ControlResult:
        seen = await self._keys.openings.seen(self._data)
        sealed = {
            column.name: {use.value for use in column.declaration.data_uses}
            for column in self._declared()
            if column.declaration.at_rest is AtRest.SEALED
        }
        failures = [
            f"{column} was opened for {use} {number} times, which it doesn't declare."
            for (column, use), number in sorted(seen.items())
            if use not in sealed.get(column, ())
        ]
        drilled = await self._drill()
        failures += [what for what, held in drilled.items() if not held]
        counts = {"openings": sum(seen.values()), "drilled": len(drilled)}
        return ControlResult(len(seen) + len(drilled), tuple(failures), counts=counts)

    @states(Actor.JOB, _DECLARED, _OTHER)
    async def _drill(self) -> dict[str, bool]:
        """What must hold, and whether it does."""
        subject_id = await new_subject(self._keys)
        try:
            row = DataEvidenceSubject(id=uuid4(), subject_id=subject_id)
            await columns.seal(self._keys, row, entry_id=b"drill")
            bind_loaded(row, ("entry_id",), self._keys)
            value = row.entry_id
            held = {
                "A value doesn't open for a use that its column declares.": await value.open(_DECLARED) == b"drill",
                "A value opens for a use that its column doesn't declare.": await _refused(lambda: value.open(_OTHER)),
                "A value opens for a use that the work wasn't begun for.": await _refused(
                    lambda: value.open(_UNSTATED)
                ),
                "Rows are read for a use that their columns don't declare.": await _refused(self._read),
            }
            await self._keys.uses.object_to(subject_id, [_DECLARED])
            held["A value opens for a use that the person objected to."] = await _refused(lambda: value.open(_DECLARED))
            return held
        finally:
            await self._keys.erase_subject(subject_id)

    async def _read(self) -> object:
        async with self._data.session(_OTHER) as session:
            return await session.scalar(select(DataEvidenceSubject.subject_id).limit(1))


async def _refused(step: Callable[[], Awaitable[object]]) -> bool:
    try:
        await step()
    except UseRefused:
        return True
    return False
