"""Policy section 3: "We do NOT store the content of your API requests (prompts) or the resulting completions."

The probe sends canaries through the running service and searches every byte that came to rest (`bodies/standing` judges
what it found). Where nothing is verified now, the control has it run; a leak it reports as the probe found it.
"""

from collections.abc import Awaitable, Callable

from governance.bodies import probe_run
from governance.bodies.probe_run import CONTROL
from governance.bodies.standing import Standing
from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import ValueAPIError
from governance.incidents import opening
from governance.incidents.incident import Severity
from governance.period import Period


class BodiesNotStored(Control):
    """`standing` reads how the control stands; `probe` runs one probe to its end, raising a ValueAPIError where it can't."""

    id = CONTROL
    title = "Prompts and completions come to rest nowhere"
    rule = "We do NOT store the content of your API requests (prompts) or the resulting completions."
    source = "Privacy policy 2026-03, section 3; GDPR Art. 5(1)(c)"
    severity = Severity.CRITICAL
    cadence = Period.parse("PT6H")
    seconds_max = 900.0

    def __init__(
        self, data: Database, standing: Callable[[], Awaitable[Standing]], probe: Callable[[], Awaitable[object]]
    ) -> None:
        self._data = data
        self._standing = standing
        self._probe = probe

    async def run(self) -> ControlResult:
        standing, missing = await self._standing(), ""
        if standing.state == "unverified":
            try:
                await self._probe()
            except ValueAPIError as error:
                missing = str(error)
            standing = await self._standing()
        async with self._data.session(DataUse.SECURITY) as session:
            last = await probe_run.newest(session, decisive=True)
            incident = await opening.unanswered(session, CONTROL)
        if incident is not None:
            return ControlResult(last.canaries if last is not None else 0, tuple(incident.found) or (standing.why,))
        if not standing.stands or last is None:
            return ControlResult(0, missing=missing or standing.why)
        return ControlResult(
            last.canaries, counts={"cases": last.cases, "planted": last.planted, "bytes": last.bytes_read}
        )
