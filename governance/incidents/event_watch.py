"""Incidents of what the event log says: rooms that have no database of their own report there (`governance/events.py`).

Each line is given once, in the transaction that records it in the transparency log (`evidence/event_log`): none counts twice,
and none is left out after a kill. A line counts as what it says where our own key signed it; whoever can write to the file
could say anything.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from governance.evidence.event_log import Follow
from governance.incidents import opening
from governance.incidents.incident import Cause, Severity
from governance.vault import event_signature
from governance.vault.keys import KeyStore

WATCHED: Final[Mapping[str, Severity]] = {
    "bodies:guard:hit": Severity.HIGH,
    "bodies:write:outside": Severity.HIGH,
    "vault:opening:bulk": Severity.HIGH,
    "vault:key:bulk": Severity.HIGH,
    "vault:value:broken": Severity.HIGH,
    "vault:keys:unreadable": Severity.HIGH,
    "vault:mirror:foreign": Severity.HIGH,
    "vault:root:deletion_cancelled": Severity.HIGH,
    "evidence:log:stopped": Severity.MEDIUM,
    "evidence:log:restored": Severity.HIGH,
    "evidence:entry:forged": Severity.HIGH,
    "ledger:charge:conflict": Severity.HIGH,
    "billing:charge:lost": Severity.HIGH,
    "journal:record:unreadable": Severity.HIGH,
    "journal:usage:unreadable": Severity.MEDIUM,
}
"""Events that are incidents. What a caller can bring about at will isn't among them."""
_SHOWN: Final = ("sink", "place", "what", "where", "table", "column", "mirror", "actor", "use", "type")
UNSIGNED: Final = "events:log:unsigned"
_FOUND_MAX: Final = 50


def watch(keys: KeyStore) -> Follow:
    """What opens or counts to the incidents of lines that are new."""

    async def follow(session: AsyncSession, lines: Sequence[bytes]) -> None:
        told = [(line, said) for line in lines if (said := _watched(line)) is not None]
        if not told:
            return
        is_ours = await event_signature.checker(keys)
        unsigned: Counter[str] = Counter()
        for line, said in told:
            if is_ours(line):
                await _count(session, said["event"], WATCHED[said["event"]], _shown(said))
            else:
                # Also what was said before the keys were open: not believed, and not hidden.
                unsigned[said["event"]] += 1
        for event, number in sorted(unsigned.items()):
            await _count(session, UNSIGNED, Severity.MEDIUM, f"{number} of {event}")

    return follow


async def _count(session: AsyncSession, event: str, severity: Severity, said: str) -> None:
    incident = await opening.open_or_count(session, event, severity, Cause.EVENT)
    if said not in incident.found and len(incident.found) < _FOUND_MAX:
        incident.found = [*incident.found, said]


def _watched(line: bytes) -> dict[str, Any] | None:
    """What a line says of a watched event; None of any other line, and of one that isn't ours, which `audit verify` finds."""
    try:
        said = json.loads(line)
        event = said["event"]
    except (ValueError, KeyError, TypeError):
        return None
    return said if isinstance(event, str) and event in WATCHED else None


def _shown(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {said[name]}" for name in _SHOWN if name in said) or said["event"]
