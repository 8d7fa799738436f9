"""Policy section 2: "We collect several types of information from and about users of our Services, including:"

What the list doesn't say isn't collected, and isn't to slip in either: columns that hold text, and lines of logs, are
sampled for personal data that no declaration names.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from governance.controls.control import Control, ControlResult
from governance.datamap import Store
from governance.db import Database
from governance.incidents.incident import Severity
from governance.personal_data.columns import Tally, sample_columns
from governance.personal_data.files import sample_file
from governance.personal_data.kinds import Kind

_STORE_SECONDS = 120.0
_FILES_MAX = 50  # the newest


class UndeclaredPersonalData(Control):
    """`logs` gives the files of logs that there are. A find tells column or file, kind and count, never the value."""

    id = "undeclared-personal-data"
    title = "No personal data rests in columns or log lines that don't declare it"
    rule = "We collect several types of information from and about users of our Services, including:"
    source = "Privacy policy 2026-03, section 2; GDPR Art. 5(1)(c), 25(1), 30(1)(c)"
    severity = Severity.HIGH

    def __init__(self, stores: Mapping[Store, Database], logs: Callable[[], Iterable[Path]]) -> None:
        self._stores = stores
        self._logs = logs

    async def run(self) -> ControlResult:
        counts = {"columns": 0, "values": 0, "lines": 0}
        failures: list[str] = []
        cut = 0
        for store, database in self._stores.items():
            async for seen in sample_columns(database, store, seconds=_STORE_SECONDS):
                counts["columns"] += 1
                counts["values"] += seen.values
                cut += not seen.whole
                failures += _found(seen.column.name, seen.undeclared, "values")
        for path in newest(self._logs()):
            read = await asyncio.to_thread(sample_file, path)
            counts["lines"] += read.lines
            cut += not read.whole
            failures += _found(path.name, read.found, "lines")
        missing = f"{cut} columns or files weren't looked at within the time." if cut else ""
        return ControlResult(counts["values"] + counts["lines"], tuple(failures), missing, counts)


def newest(files: Iterable[Path]) -> list[Path]:
    """The files that were written last, as many as one run looks at."""
    there = [path for path in files if path.is_file()]
    return sorted(there, key=lambda path: path.stat().st_mtime, reverse=True)[:_FILES_MAX]


def _found(place: str, kinds: Mapping[Kind, Tally], unit: str) -> list[str]:
    return [
        f"{place} holds {kind.value} in {tally.values} {unit} (score up to {tally.score_max:.2f}), which it doesn't declare."
        for kind, tally in sorted(kinds.items())
    ]
