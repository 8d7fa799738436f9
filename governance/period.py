"""ISO 8601 durations as retention uses them: calendar years and months, weeks, days, hours, minutes, seconds."""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_FORM = re.compile(
    r"P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)


@dataclass(frozen=True, slots=True)
class Period:
    """A duration. Months are counted by the calendar (31 January + P1M is the last of February), the rest exactly."""

    months: int
    exact: timedelta

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Raises ValueError for what is no ISO 8601 duration."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("is no ISO 8601 duration")
        years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        exact = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return cls(years * 12 + months, exact)

    def after(self, start: datetime) -> datetime:
        """The moment when the period that began at `start` is over."""
        month = start.month - 1 + self.months
        year, month = start.year + month // 12, month % 12 + 1
        day = min(start.day, calendar.monthrange(year, month)[1])
        return start.replace(year=year, month=month, day=day) + self.exact
