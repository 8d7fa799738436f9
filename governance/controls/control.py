"""What a control is, and what a run of one comes to.

A control looks at what there is, or runs a drill on a synthetic subject through the real code. One that had nothing to
look at proves nothing: `examined: 0` is unproven, never a pass.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from governance.incidents.incident import Severity
from governance.period import Period


class Outcome(StrEnum):
    """How a run ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class ControlResult:
    """One run. `examined`: how many things were looked at; `failures`: a sentence for each that isn't as it must be, with
    places and counts, never a value or who it is about; `missing`: what would be needed for a proof, where there is none;
    `counts`: further figures, by a plain name. `looked`: False where it failed without having looked.
    """

    examined: int
    failures: tuple[str, ...] = ()
    missing: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    looked: bool = True

    @property
    def outcome(self) -> Outcome:
        if self.failures:
            return Outcome.FAILED
        return Outcome.PASSED if self.examined > 0 and not self.missing else Outcome.UNPROVEN


class Control(ABC):
    """`id` and what it is about; made with what it looks at, by the composition root.

    `rule`: the rule, quoted; `source`: its citation. `severity`: how grave it is when it fails; `cadence`: how often it
    runs; `max_age`: how old a pass may be before it shows nothing any more. `seconds_max`: a run that takes
    longer is cut off, and has failed.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    rule: ClassVar[str]
    source: ClassVar[str]
    severity: ClassVar[Severity]
    cadence: ClassVar[Period] = Period.parse("PT12H")
    max_age: ClassVar[Period] = Period.parse("P1D")
    seconds_max: ClassVar[float] = 600.0

    @abstractmethod
    async def run(self) -> ControlResult:
        """Look. What it raises is a failed run: a control that can't look hasn't seen that all is well."""
