"""GDPR Art. 5(2): "The controller shall be responsible for, and be able to demonstrate compliance with, paragraph 1".

What shows that the other promises are kept rests in the transparency log, and beside it. Every entry is opened against its
leaf, every checkpoint against the tree and our signature; the stores must lack nothing of the log and remember no other; the
event log must have what was recorded of it; and rows of the live registers must be as their entries have them.
"""

from collections.abc import Awaitable, Callable

from governance.controls.control import Control, ControlResult
from governance.evidence.verify import Report
from governance.incidents.incident import Severity
from governance.period import Period


class LogIntact(Control):
    """`check`: what `own.check` says of this home's log; `events`: what the event log lacks of what a report's entries
    recorded, a sentence each."""

    id = "log-intact"
    title = "The transparency log is as it was published, and what rests beside it as it was recorded"
    rule = "The controller shall be responsible for, and be able to demonstrate compliance with, paragraph 1"
    source = "GDPR Art. 5(2); RFC 6962 section 2; c2sp.org/tlog-checkpoint"
    severity = Severity.CRITICAL
    cadence = Period.parse("P1D")
    max_age = Period.parse("P2D")

    def __init__(
        self, check: Callable[[], Awaitable[Report | None]], events: Callable[[Report], Awaitable[list[str]]]
    ) -> None:
        self._check = check
        self._events = events

    async def run(self) -> ControlResult:
        report = await self._check()
        if report is None:
            return ControlResult(0, missing="Nothing was published yet.")
        failures = [each.what for each in report.findings] + await self._events(report)
        counts = {"entries": report.size, "opened": report.opened, "checkpoints": report.checkpoints}
        return ControlResult(report.size, tuple(failures), counts=counts)
