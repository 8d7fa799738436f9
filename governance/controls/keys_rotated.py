"""Policy section 7: "We use administrative, technical, and physical security measures to help protect your personal
information."

No key is used for longer than NIST SP 800-57 part 1 revision 5 (section 5.3.6, table 1) advises for its kind, none outlives
the period that it serves, and no rotation is left half done. Looked at are the keys that a rotation replaces; keys of single
values are derived, and used once.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select

from governance import clock
from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse
from governance.incidents.incident import Severity
from governance.period import Period
from governance.vault import rotation
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from governance.vault.rotation import What
from governance.vault.stored_key import Kind, StoredKey

_USED_MAX = timedelta(days=2 * 365)  # key-wrapping and data-encryption keys, originator's usage period
_DUE_MAX = timedelta(days=2)  # after the index's key was due: upkeep tries every minute
_ENDED_MAX = timedelta(hours=1)  # after a period was over
_ROTATING_MAX = timedelta(days=7)
_MEND = "run `valueapi keys rotate {}`"


class KeysRotated(Control):
    """`index_renewal`: how often the key of the blind index is to be replaced."""

    id = "keys-rotated"
    title = "No key is used, or kept, for too long"
    rule = "We use administrative, technical, and physical security measures to help protect your personal information."
    source = "Privacy policy 2026-03, section 7; NIST SP 800-57 part 1 rev. 5, 5.3.6; GDPR Art. 32(1), 5(1)(e)"
    severity = Severity.HIGH
    cadence = Period.parse("P1D")
    max_age = Period.parse("P2D")

    def __init__(self, keys: KeyStore, index_renewal: Period) -> None:
        self._keys = keys
        self._index_renewal = index_renewal

    async def run(self) -> ControlResult:
        now, keys = clock.now(), self._keys
        counts = {
            "nodes": await keys.nodes(),
            "subject_keys": await keys.older_subject_keys(now),
            "period_keys": await self._periods(),
        }
        found = {
            f"keys that others are wrapped under are older than two years: {_MEND.format('kek')}": await keys.nodes(
                now - _USED_MAX
            ),
            f"people's keys are older than two years: {_MEND.format('subjects')}": await keys.older_subject_keys(
                now - _USED_MAX
            ),
            "keys of periods that are over still exist": await self._periods(now - _ENDED_MAX),
        }
        failures = [f"{number} {what}." for what, number in found.items() if number]
        made_at = await keys.service_key_made_at(EmailIndex.KEY)
        if made_at is not None:
            counts["index_keys"] = 1
            if self._index_renewal.after(made_at) + _DUE_MAX < now:
                failures.append(f"The key of the blind index is overdue: {_MEND.format('index')}.")
        for what in What:
            last = await rotation.last(what, keys)
            if last is not None and last.finished_at is None and last.started_at + _ROTATING_MAX < now:
                failures.append(f"A rotation of {what.value} was begun a week ago, and isn't finished.")
        return ControlResult(sum(counts.values()), tuple(failures), counts=counts)

    async def _periods(self, ended: datetime | None = None) -> int:
        """Keys of periods: all, or those whose period was over by then."""
        which = [StoredKey.kind == Kind.PERIOD] + ([StoredKey.expires_at <= ended] if ended is not None else [])
        async with self._keys.db.session(DataUse.SECURITY) as session:
            return await session.scalar(select(func.count()).select_from(StoredKey).where(*which)) or 0
