"""A control that ends as a test wants."""

from collections.abc import Awaitable, Callable

from governance.controls.control import Control, ControlResult
from governance.incidents.incident import Severity
from governance.period import Period


class Made(Control):
    id = "made"
    title = "Made by a test"
    rule = "As the test says."
    source = "tests"
    severity = Severity.HIGH
    cadence = Period.parse("PT1H")
    max_age = Period.parse("PT3H")
    seconds_max = 5

    def __init__(self, look: Callable[[], Awaitable[ControlResult]] | ControlResult) -> None:
        self.look = look

    async def run(self) -> ControlResult:
        return self.look if isinstance(self.look, ControlResult) else await self.look()


class Other(Made):
    id = "other"


PASSED = ControlResult(3)
FAILED = ControlResult(3, ("One of three isn't as it must be.",))
UNPROVEN = ControlResult(0)
CODE = "ab" * 32
