"""The access log: how often which column was opened for which use, by whom, in which hour. No subject is in it; and the
watch over how many people's keys are taken, and values opened, by one process.

Counts are kept in memory and added up in the data store every minute, at shutdown and at a command's end: a SIGKILL
loses what was counted since, at most a minute. What staff opened of a person is apart (`staff_opening`), and never lost.
"""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, String, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped

from governance import clock, events
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import UseRefused
from governance.vault import purpose as purposes
from governance.vault.purpose import Purpose

PER_MINUTE_DEFAULT = 300
KEYS_PER_MINUTE_DEFAULT = 3000
WORK_PEOPLE_MAX = 50
"""People whose keys one piece of work may take: a request is its caller's, and a few others' whom it writes to."""
_KEY = "a person's key"
_MINUTE_S = 60.0


class OpeningCount(Base):
    """How many values of a column were opened for a use by an actor within an hour."""

    __tablename__ = "opening_count"

    hour: Mapped[datetime] = impersonal(UtcDateTime, 150, primary_key=True)
    column: Mapped[str] = impersonal(String(128), 151, primary_key=True)
    use: Mapped[str] = impersonal(String(64), 152, primary_key=True)
    actor: Mapped[str] = impersonal(String(16), 153, primary_key=True)
    count: Mapped[int] = impersonal(BigInteger, 154)


@dataclass(slots=True)
class _Minute:
    """People whom one kind of work has touched since `begun`."""

    begun: float
    subjects: set[UUID]
    told: bool = False


class Openings:
    """One process's counts and watch. `per_minute`: people whose values one actor may open for one use within a minute;
    `keys_per_minute`: whose keys it may take, which sealing needs as well."""

    def __init__(self, per_minute: int = PER_MINUTE_DEFAULT, keys_per_minute: int = KEYS_PER_MINUTE_DEFAULT) -> None:
        self.per_minute = per_minute
        self.keys_per_minute = keys_per_minute
        self._counts: Counter[tuple[datetime, str, str, str]] = Counter()
        self._minutes: dict[tuple[str, str], _Minute] = {}

    def count(self, column: str, use: DataUse, purpose: Purpose) -> None:
        """One value was opened."""
        hour = clock.now().replace(minute=0, second=0, microsecond=0)
        self._counts[hour, column, use.value, purpose.actor.value] += 1

    async def watch(self, subject_id: UUID, use: DataUse, purpose: Purpose) -> None:
        """Before an opening: many people within a minute, outside work declared to be so, is an incident.

        Said once a minute as `vault:opening:bulk`; from twice the number on, UseRefused until the minute is over. What is
        begun to sign up or in is said and never refused: the answer would tell who has an account, and lock everybody out.
        """
        if purpose.bulk is None:
            refuses = DataUse.AUTHENTICATION not in purpose.uses
            await self._in_a_minute(
                subject_id, purpose, use.value, self.per_minute, "vault:opening:bulk", refuses=refuses
            )

    async def take(self, subject_ids: Collection[UUID], *, to_open: bool = False) -> None:
        """Before people's keys are handed out. Who asks has stated a purpose, and where the key is `to_open` with, may open.

        The same watch, as `vault:key:bulk`; and one piece of work (a request, a command) that comes to more than
        `WORK_PEOPLE_MAX` people is refused at once. Raises UseRefused.
        """
        purpose = purposes.opening(_KEY) if to_open else purposes.stated(_KEY)
        if purpose.bulk is not None:
            return
        for subject_id in subject_ids:
            if subject_id in purpose.people:
                continue
            if len(purpose.people) >= WORK_PEOPLE_MAX:
                await self._in_a_minute(subject_id, purpose, "one piece of work", 0, "vault:key:bulk")
            refuses = DataUse.AUTHENTICATION not in purpose.uses
            # Counted apart: a flood of sign-ins must not shut what others do.
            what = _KEY if refuses else f"{_KEY} to sign in"
            await self._in_a_minute(subject_id, purpose, what, self.keys_per_minute, "vault:key:bulk", refuses=refuses)
            purpose.people.add(subject_id)

    async def _in_a_minute(
        self, subject_id: UUID, purpose: Purpose, what: str, people_max: int, event: str, *, refuses: bool = True
    ) -> None:
        now = time.monotonic()
        key = (purpose.actor.value, what)
        minute = self._minutes.get(key)
        if minute is None or now - minute.begun >= _MINUTE_S:
            minute = self._minutes[key] = _Minute(now, set())
        minute.subjects.add(subject_id)
        if len(minute.subjects) <= people_max:
            return
        if not minute.told:
            minute.told = True
            await events.emit_async(event, {"actor": key[0], "use": what, "people_min": len(minute.subjects)})
        if refuses and len(minute.subjects) > 2 * people_max:
            raise UseRefused(f"Too many people's values were opened for {what} within a minute.")

    async def flush(self, data: Database) -> None:
        """Add what was counted to the data store. What can't be written is counted on."""
        taken, self._counts = self._counts, Counter()
        if not taken:
            return
        insert = sqlite.insert if data.sqlite else postgresql.insert
        try:
            async with data.transaction(DataUse.SECURITY) as session:
                for (hour, column, use, actor), number in sorted(taken.items()):
                    row = {"hour": hour, "column": column, "use": use, "actor": actor, "count": number}
                    statement = insert(OpeningCount).values(row)
                    more = {"count": OpeningCount.count + statement.excluded["count"]}
                    key = ["hour", "column", "use", "actor"]
                    await session.execute(statement.on_conflict_do_update(index_elements=key, set_=more))
        except BaseException:
            self._counts.update(taken)
            raise

    async def seen(self, data: Database) -> Counter[tuple[str, str]]:
        """How often each column was opened for each use, of all processes."""
        await self.flush(data)
        async with data.session(DataUse.SECURITY) as session:
            rows = (await session.scalars(select(OpeningCount))).all()
        found: Counter[tuple[str, str]] = Counter()
        for row in rows:
            found[row.column, row.use] += row.count
        return found
