"""Policy section 10: "We will notify you of any material changes by posting the new Privacy Policy on this page and updating the
"Last updated" date."

The page is rendered as it is served and read back: every sentence of the version in force must stand on it, in order, and its
"Last updated" must be the month from which it is in force. Every version must be what its entry in the transparency log says,
and the program must work by the one in force.
"""

import html
import re
from collections.abc import Callable, Iterator

from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse
from governance.db import Database
from governance.errors import ValueAPIError
from governance.incidents.incident import Severity
from policies import versions
from policies.version import SERIES, Version
from policies.versions import PolicyVersion

_SERIES = "privacy"
_UPDATED = re.compile(r"Last updated: (?P<when>.+)")


class PolicyCurrent(Control):
    """`page` renders a version as it is served, to HTML; `worked_by`: the version that the program's own registers are of."""

    id = "policy-current"
    title = "The policy's page shows the version in force, and earlier ones stay readable"
    rule = (
        "We will notify you of any material changes by posting the new Privacy Policy on this page and updating the "
        '"Last updated" date.'
    )
    source = "Privacy policy 2026-03, sections 0 and 10; GDPR Art. 12(1), 13"
    severity = Severity.HIGH

    def __init__(
        self, data: Database, page: Callable[[Version, PolicyVersion], str], worked_by: Callable[[], Version]
    ) -> None:
        self._data = data
        self._page = page
        self._worked_by = worked_by

    async def run(self) -> ControlResult:
        failures: list[str] = []
        rows = await versions.history(self._data)
        async with self._data.session(DataUse.SECURITY) as session:
            recorded = {row.id for row in await versions.PUBLISHED.held(session, rows)}
        readable: dict[str, Version] = {}
        for row in rows:
            name = f"{row.series}/{row.version}"
            if row.id not in recorded:
                failures.append(f"{name} isn't what the transparency log has of its publication.")
            try:
                readable[name] = await versions.get(self._data, row.series, row.version)
            except ValueAPIError as error:
                failures.append(f"{name} can't be read: {error}")
        now = versions.current(rows, _SERIES)
        if now is None:
            return ControlResult(len(rows), tuple(failures), f"No {SERIES[_SERIES].lower()} is in force.")
        if (found := readable.get(f"{now.series}/{now.version}")) is not None:
            failures += self._of(found, now)
        return ControlResult(len(rows), tuple(failures), counts={"versions": len(rows)})

    def _of(self, found: Version, row: PolicyVersion) -> Iterator[str]:
        shown = _words(html.unescape(re.sub(r"<[^>]*>", " ", self._page(found, row))))
        sentences = [sentence for section in found.sections for sentence in section.sentences]
        place = 0
        for sentence in sentences:
            place = shown.find(_words(sentence.text), place)
            if place < 0:
                yield f"The page doesn't show sentence {sentence.id} of {found.name} in its place."
                break
        month = f"{found.effective:%B %Y}"
        told = [match["when"] for sentence in sentences if (match := _UPDATED.fullmatch(sentence.text))]
        if not any(month in when for when in told):
            yield f"{found.name} is in force since {month}, and its text doesn't say that it was last updated then."
        if self._worked_by().digest != found.digest:
            yield f"The program works by another version than {found.name}, which is in force."


def _words(text: str) -> str:
    return " ".join(text.split())
