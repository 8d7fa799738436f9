"""Whether the clock may be trusted with what can't be taken back.

A clock that jumps forward (no battery, a wrong time source) would end every period at once. The time of the last round
of upkeep is kept; where now is much later, the ends wait for an hour, in which a time source or an operator mends it.
A command has no hour to wait, and refuses.
"""

import time
from datetime import datetime, timedelta

from sqlalchemy import Integer, select
from sqlalchemy.orm import Mapped

from governance import clock, events
from governance.datamap import DataUse, KeysBase, impersonal
from governance.db import Database, UtcDateTime
from governance.errors import Conflict

STEP_MAX = timedelta(hours=1)
"""The longest time between two rounds that isn't a jump."""
HOLD_S = 3600.0
_MARK_EVERY = timedelta(minutes=5)


class ClockMark(KeysBase):
    """One row: when upkeep last trusted the clock."""

    __tablename__ = "clock_mark"

    id: Mapped[int] = impersonal(Integer, 85, primary_key=True)
    seen_at: Mapped[datetime] = impersonal(UtcDateTime, 86)


async def _seen_at(db: Database) -> datetime | None:
    async with db.session(DataUse.SECURITY) as session:
        return await session.scalar(select(ClockMark.seen_at))


async def check(db: Database) -> None:
    """For a command that acts on ends. Raises Conflict where now isn't to be trusted.

    A store that no service ever ran on has no mark, and nothing to compare now with.
    """
    now, seen_at = clock.now(), await _seen_at(db)
    if seen_at is not None and now - seen_at > STEP_MAX:
        raise Conflict(
            f"The clock says {now:%Y-%m-%d %H:%M} UTC, the service's last round was on {seen_at:%Y-%m-%d %H:%M}: the clock "
            "jumped, or the service was off. Mend it, or let the service run for an hour; --force believes it."
        )


class ClockWatch:
    """One process's. It counts its hour by a clock that can't be set."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._held_since: float | None = None

    async def is_trusted(self) -> bool:
        """Whether ends may be acted on now. A service that was off for long waits too; nothing is lost by that."""
        now, seen_at = clock.now(), await _seen_at(self._db)
        if seen_at is not None and now - seen_at > STEP_MAX:
            if self._held_since is None:
                self._held_since = time.monotonic()
                seconds = int((now - seen_at).total_seconds())
                await events.emit_async("vault:clock:jumped", {"seconds": seconds, "waits_seconds": int(HOLD_S)})
            if time.monotonic() - self._held_since < HOLD_S:
                return False
        self._held_since = None
        if seen_at is not None and abs(now - seen_at) < _MARK_EVERY:
            return True
        async with self._db.transaction(DataUse.SECURITY) as session:
            await session.merge(ClockMark(id=1, seen_at=now))
        return True
