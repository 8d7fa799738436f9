"""Policy section 6: "We will retain your personal information only for as long as is necessary for the purposes set out in
this Privacy Policy."

A backup can't be rewritten, so what was erased since must be noise in it: registered backups are opened in a scratch place,
and today's keys are tried on every sealed value. None lies there past its end.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from governance import clock
from governance.backup import read, registry
from governance.backup.erase_check import EraseCheck, check, wanted
from governance.backup.opener import KeyOpener
from governance.backup.registry import Backup
from governance.controls.control import Control, ControlResult
from governance.datamap import Base, Store
from governance.db import Database
from governance.errors import Rejected
from governance.incidents.incident import Severity
from governance.period import Period
from governance.vault.keys import KeyStore
from governance.vault.limits import Limit
from governance.vault.purpose import Actor, Bulk, states

_ALEMBIC = {"alembic_version"}


class BackupsErased(Control):
    """Opens the oldest backup of the data, the newest, and one between them; those of the keys hold no personal value.

    `limits`: the retention schedule's, by rule. `run_folder`: where a scratch place may be made.
    """

    id = "backups-erased"
    title = "Backups give away nothing of what was erased since"
    rule = "We will retain your personal information only for as long as is necessary"
    source = "Privacy policy 2026-03, sections 6 and 8; GDPR Art. 17(1), 32(1)(a)"
    severity = Severity.CRITICAL
    cadence = Period.parse("P1D")
    max_age = Period.parse("P2D")
    seconds_max = 3600.0

    def __init__(self, data: Database, keys: KeyStore, limits: Mapping[str, Limit], run_folder: Path) -> None:
        self._data = data
        self._keys = keys
        self._limits = limits
        self._run_folder = run_folder

    async def run(self) -> ControlResult:
        kept = [each for each in await registry.rows(self._keys.db) if each.removed_at is None]
        here = [each for each in kept if _is_here(each)]
        over = [each for each in here if each.expires_at <= clock.now()]
        failures = [f"Backup {each.id} is past its end and still there." for each in over]
        counts = {"elsewhere": len(kept) - len(here), "values": 0, "of_erased": 0}
        chosen = _some([each for each in here if each.store == Store.DATA])
        missing = "" if chosen else "No backup of the data is where it was written." if kept else "There is no backup."
        for backup in chosen:
            try:
                found = await self._look(Path(backup.path))
            except Rejected:
                failures.append(f"Backup {backup.id} can't be read.")
                continue
            counts["values"] += sum(each.values for each in found.findings)
            counts["of_erased"] += sum(each.of_erased for each in found.findings)
            opened = sum(each.of_erased_opened for each in found.findings)
            if opened:
                failures.append(
                    f"{opened} values of erased people or of periods that are over open in backup {backup.id}."
                )
            if found.unknown_tables:
                missing = f"Backup {backup.id} holds tables that nobody declares."
        return ControlResult(len(chosen), tuple(failures), missing, counts)

    @states(Actor.JOB, bulk=Bulk.CHECK)
    async def _look(self, path: Path) -> EraseCheck:
        opener = KeyOpener(self._keys, self._data, self._limits)
        with read.opened(path, self._run_folder) as copy:
            findings = await check(copy.rows(wanted()), opener)
            return EraseCheck(findings, sorted(copy.tables() - Base.metadata.tables.keys() - _ALEMBIC))


def _is_here(backup: Backup) -> bool:
    return Path(backup.path).is_file()


def _some(newest_first: Sequence[Backup]) -> list[Backup]:
    if len(newest_first) < 3:
        return list(newest_first)
    return [newest_first[-1], random.choice(newest_first[1:-1]), newest_first[0]]  # noqa: S311  a sample, no secret
