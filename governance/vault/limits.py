"""What limits a sealed value in time besides its subject's key, by retention rule.

A rule that starts at the row's creation has a *period key* per day, or per year where it starts at the year's end; one
that starts at another event (a key revoked, a session expired) has a key per object, which that event's period ends.
A rule that starts with the end of the account needs none: the subject's key itself ends then. GDPR Art. 5(1)(e).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from governance.period import Period


class Starts(StrEnum):
    """What a rule's period counts from, as far as keys are concerned."""

    CREATION = "creation"
    YEAR_END = "year_end"
    OBJECT = "object"  # the end of the row's own object
    SUBJECT = "subject"  # the end of the subject's account, or of the service: no second key


@dataclass(frozen=True, slots=True)
class Limit:
    """How the values of one rule end."""

    starts: Starts
    period: Period

    def begin(self, at: datetime) -> datetime:
        """First moment of the period that a value made at `at` belongs to: its day, or its year."""
        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return day if self.starts is Starts.CREATION else day.replace(month=1, day=1)

    def end(self, begin: datetime) -> datetime:
        """When the period's key is destroyed. A day's key goes with the day's first value, so none outlives its rule;
        a year's goes that period after the year's end."""
        if self.starts is Starts.CREATION:
            return max(self.period.after(begin), begin + timedelta(days=1))
        return self.period.after(begin.replace(year=begin.year + 1))


NO_LIMIT = Limit(Starts.SUBJECT, Period(0, timedelta()))
