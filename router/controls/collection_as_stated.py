"""Policy section 2: "We collect several types of information from and about users of our Services, including: …"

What is stored is what its columns declare; each category of personal data must be one that the text states, in words that
`collection.yaml` of the version quotes.
"""

from collections.abc import Callable, Iterable, Mapping

from governance.controls.control import Control, ControlResult
from governance.datamap import DeclaredColumn
from governance.incidents.incident import Severity


class CollectionAsStated(Control):
    """`columns` gives every declared column of both stores, `stated` the categories that the version in force states."""

    id = "collection-as-stated"
    title = "What is stored of people is what the policy says is collected"
    rule = "We collect several types of information from and about users of our Services, including: …"
    source = "Privacy policy 2026-03, section 2; GDPR Art. 13(1), 14(1)(d)"
    severity = Severity.HIGH

    def __init__(
        self, columns: Callable[[], Iterable[DeclaredColumn]], stated: Callable[[], Mapping[str, str | None]]
    ) -> None:
        self._columns = columns
        self._stated = stated

    async def run(self) -> ControlResult:
        stated = self._stated()
        personal = [each for each in self._columns() if each.declaration.personal]
        failures = tuple(
            f"{each.name} holds {each.declaration.data_category}, which section 2 doesn't state."
            for each in personal
            if each.declaration.data_category not in stated
        )
        return ControlResult(len(personal), failures, counts={"categories": len(stated)})
