"""Policy section 2: "We do not store full credit card numbers on our servers"

The payment processor takes them. No number rests in a column or a log here, and no page and no API of ours asks for one.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from governance.controls.control import Control, ControlResult
from governance.controls.undeclared_personal_data import newest
from governance.datamap import Store
from governance.db import Database
from governance.incidents.incident import Severity
from governance.personal_data.columns import sample_columns
from governance.personal_data.detection import find_cards
from governance.personal_data.files import sample_file
from governance.personal_data.kinds import Kind

_ROWS = 2_000
_LINES = 4_000
_STORE_SECONDS = 60.0
# HTML's own autofill names (cc-…), and what forms and APIs call the rest.
_ASKS = re.compile(
    r"(?<![a-z])(?:cc-(?:number|csc|exp)|card[-_ ]?(?:number|no|num|code)|cvc2?|cvv2?|primary account number)(?![a-z])",
    re.IGNORECASE,
)


class CardNumbersAbsent(Control):
    """`logs` gives the files of logs that there are, `asked` our pages and the document of our API, by name."""

    id = "card-numbers-absent"
    title = "Numbers of bank cards neither rest here nor are asked for"
    rule = "We do not store full credit card numbers on our servers"
    source = "Privacy policy 2026-03, section 2; PCI DSS v4.0.1, requirement 3"
    severity = Severity.HIGH

    def __init__(
        self,
        stores: Mapping[Store, Database],
        logs: Callable[[], Iterable[Path]],
        asked: Callable[[], Mapping[str, str]],
    ) -> None:
        self._stores = stores
        self._logs = logs
        self._asked = asked

    async def run(self) -> ControlResult:
        counts = {"values": 0, "lines": 0, "pages": 0}
        failures: list[str] = []
        cut = 0
        for store, database in self._stores.items():
            async for seen in sample_columns(
                database, store, rows=_ROWS, characters=20_000, seconds=_STORE_SECONDS, search=find_cards
            ):
                counts["values"] += seen.values
                cut += not seen.whole
                found = seen.undeclared.get(Kind.CARD) or seen.declared.get(Kind.CARD)
                if found is not None:
                    failures.append(f"{seen.column.name} holds numbers of bank cards in {found.values} values.")
        for path in newest(self._logs()):
            read = await asyncio.to_thread(sample_file, path, lines=_LINES, search=find_cards)
            counts["lines"] += read.lines
            cut += not read.whole
            if Kind.CARD in read.found:
                failures.append(f"{path.name} holds numbers of bank cards in {read.found[Kind.CARD].values} lines.")
        pages = self._asked()
        counts["pages"] = len(pages)
        failures += [
            f"{name} asks for the number or code of a card." for name, text in pages.items() if _ASKS.search(text)
        ]
        missing = f"{cut} columns or files weren't looked at within the time." if cut else ""
        missing = missing or ("" if pages else "No page or API was looked at.")
        return ControlResult(counts["values"] + counts["lines"] + counts["pages"], tuple(failures), missing, counts)
