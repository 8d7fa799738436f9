"""GDPR Art. 5(2): "The controller shall be responsible for, and be able to demonstrate compliance with, paragraph 1".

A log that only we hold could be written anew. The newest checkpoint goes to every witness that the settings name, and a
witness that holds one which isn't a beginning of today's log says so.
"""

from collections.abc import Awaitable, Callable, Mapping

from governance.controls.control import Control, ControlResult
from governance.errors import Conflict, ValueAPIError
from governance.incidents.incident import Severity
from governance.period import Period

_UNSET = "No witness is set: name one by VALUEAPI_WITNESS_FOLDERS, VALUEAPI_WITNESSES or VALUEAPI_WITNESS_MAIL."


class LogWitnessed(Control):
    """`witnesses`: by a name that holds no address, what shows the newest checkpoint to one: Conflict where that one knows
    another history, another ValueAPIError or OSError where it couldn't be shown."""

    id = "log-witnessed"
    title = "The transparency log extends what witnesses outside our reach hold of it"
    rule = "The controller shall be responsible for, and be able to demonstrate compliance with, paragraph 1"
    source = "GDPR Art. 5(2); c2sp.org/tlog-witness"
    severity = Severity.CRITICAL
    cadence = Period.parse("P1D")
    max_age = Period.parse("P2D")

    def __init__(self, witnesses: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        self._witnesses = witnesses

    async def run(self) -> ControlResult:
        if not self._witnesses:
            return ControlResult(0, missing=_UNSET)
        shown, contradicted, unseen = 0, [], []
        for name, show in self._witnesses.items():
            try:
                await show()
                shown += 1
            except Conflict as error:
                contradicted.append(f"{name}: {error}")
            except ValueAPIError as error:
                unseen.append(f"{name}: {error}")
            except OSError:
                unseen.append(f"{name}: it can't be read or written.")
        # One that can't be reached is no sign of another history.
        return ControlResult(shown + len(contradicted), (*contradicted, *unseen), looked=bool(contradicted))
