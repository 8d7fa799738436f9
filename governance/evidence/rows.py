"""Rows that count no further than their entry in the log: whoever can write to the store can write a row, and more of it.

An entry that is recorded with a row holds HMAC-SHA256 under the entry's own salt over what the row says: who is given both can
compare them, and who sees the log alone learns nothing. Columns about people aren't covered, since erasure changes them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from governance.datamap import DataUse
from governance.db import Database
from governance.evidence import pending
from governance.evidence.entry import Entry, EntryType, read, row_digest, stamp
from governance.evidence.pending import DataEvidence
from governance.ids import in_lists

_LAST = 1 << 62


@dataclass(frozen=True, slots=True)
class Recorded:
    """Rows of a table that entries of a type are recorded with. `columns`: what these cover; without, all that hold nothing
    of a person. `entry`: the column with the entry's id. `again`: a later entry of a row takes the place of an earlier one."""

    table: Any
    type: EntryType
    columns: tuple[str, ...] = ()
    entry: str = "entry_id"
    again: bool = False

    async def record(self, session: AsyncSession, row: Any, detail: Mapping[str, Any]) -> None:
        """Record the row's entry in its transaction. Raises DeclarationError as `pending.record` does."""
        setattr(row, self.entry, await pending.record(session, self.type, detail=detail, row=self._said(row)))

    async def held(self, session: AsyncSession, rows: Sequence[Any]) -> list[Any]:
        """Those that are as their entries have them, in the log's order; what waits for its position comes last."""
        entries = await self._entries(session, rows)
        fitting = [row for row in rows if self._fits(row, entries)]
        return sorted(fitting, key=lambda row: entries[getattr(row, self.entry)].place)

    async def differences(self, db: Database, logged: Iterable[Entry]) -> list[str]:
        """A sentence for each row that isn't as its entry has it, and each of the logged entries whose row is gone."""
        found, there = [], set()
        async with db.session(DataUse.SECURITY) as session:
            rows = (await session.scalars(select(self.table).where(self._entry_id.is_not(None)))).all()
            said = [getattr(self.table, name).is_not(None) for name in self.columns or ("id",)]
            without = select(self.table.id).where(self._entry_id.is_(None), or_(*said))
            lacking = (await session.scalars(without)).all()
            entries = await self._entries(session, rows)
        name = self.table.__tablename__
        for row in rows:
            there.add(getattr(row, self.entry))
            if not self._fits(row, entries):
                found.append(f"A row of {name} isn't as the log has it ({self.type}): {row.id}.")
        found += [f"A row of {name} has no entry in the log ({self.type}): {row_id}." for row_id in lacking]
        if not self.again:
            gone = (each.id for each in logged if each.type is self.type and each.id not in there)
            found += [
                f"The row of {name} that entry {entry_id} of the log was recorded with is gone." for entry_id in gone
            ]
        return found

    @property
    def _entry_id(self) -> Any:
        return getattr(self.table, self.entry)

    async def _entries(self, session: AsyncSession, rows: Iterable[Any]) -> dict[UUID, "_Held"]:
        found = {}
        columns = (DataEvidence.id, DataEvidence.position, DataEvidence.salt, DataEvidence.entry, DataEvidence.mac)
        for some in in_lists(entry_id for row in rows if (entry_id := getattr(row, self.entry)) is not None):
            there = (await session.execute(select(*columns).where(DataEvidence.id.in_(some)))).all()
            ours = await pending.authentic(session, there)
            for each in there:
                if each.id in ours:
                    place = (each.position if each.position is not None else _LAST, each.id)
                    found[each.id] = _Held(place, each.salt, each.entry)
        return found

    def _fits(self, row: Any, entries: Mapping[UUID, "_Held"]) -> bool:
        held = entries.get(getattr(row, self.entry))
        entry = read(held.entry) if held is not None else None
        if held is None or entry is None:
            return False
        return entry.type is self.type and entry.detail.get("row") == row_digest(held.salt, self._said(row))

    def _said(self, row: Any) -> bytes:
        names = self.columns or tuple(
            column.name
            for column in self.table.__table__.columns
            if column.name != self.entry and not column.info["declaration"].personal
        )
        said = {name: _plain(getattr(row, name)) for name in ("id", *names)}
        return json.dumps([self.table.__tablename__, said], sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Held:
    place: tuple[int, UUID]
    salt: bytes
    entry: bytes


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
